"""Layers of neural networks whose states descend the energy of an associative network."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._checks import at_least, fail, is_concrete, is_valid, key_fits, kind
from .._misc import matmul, method, nan_unless, widened
from .._types import Array, Bool, Float, PRNGKey
from .._units import AbstractGeneratingFunction, LogSumExp, Quadratic, generating_fits
from ._maps import MemoryMap
from ._network import AdiabaticNetwork
from ._settle import AbstractSettling, Unrolled


class AssociationLayer(eqx.Module):
    r"""Queries meet memories (Ramsauer et al. 2021): attention whose updates descend an energy. In every head,

    $$v \leftarrow K^\top p(K v), \quad v_0 = W_Q x, \quad K = Y W_K^\top, \qquad
      \text{output } W_O\,[\,p(K v)\,Y W_V^\top\,] ,$$

    with $p = \nabla L$ of the generating function `units`: $p = \mathrm{softmax}(\beta\,\cdot)$ of `LogSumExp(beta)`
    and one update is `equinox.nn.MultiheadAttention`. The values are read after the last update, so that what iterates
    is the network that `network` returns: `hopfield_jax.check_descent`, `linearise`, `associative.retrieve` and all
    other verbs take it, before and after training.

    For one set of queries and memories; batch with `jax.vmap`. A mask needs `units` that are silent at −inf, such as
    `LogSumExp`, `Sparsemax` and `Entmax`. A query without any memory gets zeros from all heads.

    **Arguments:**

    - `num_heads`, `query_size`: heads, and features of a query.
    - `memory_size`, `output_size`: features of a memory and of the output, by default `query_size`.
    - `head_size`: neurons of a head's network and of its values, by default `query_size`/`num_heads`.
    - `units`: $L_h$, by default `LogSumExp(1/√head_size)`. Its numbers are trained too.
    - `visible`: $L_v$, by default `Quadratic()`; `LayerNorm()` or `Spherical()` normalise the state in every update.
    - `settle`: `Unrolled(num_updates)` (one by default) or `Implicit()`.
    - `use_bias`: whether the projections have one.
    - `key`: draws the weights.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    A = hj.associative
    key, data_key = jax.random.split(jax.random.key(0))
    layer = A.AssociationLayer(2, 8, units=hj.Sparsemax(), settle=A.Unrolled(3), key=key)
    queries, memories = jax.random.normal(data_key, (2, 5, 8))
    assert layer(queries, memories, mask=jnp.arange(5) < 4).shape == (5, 8)
    state = layer.states(queries)[0, 0]  # of the first head and query
    assert hj.check_descent(layer.network(memories), state).descends
    ```
    """

    query_proj: Any
    key_proj: Any
    value_proj: Any
    output_proj: Any
    units: AbstractGeneratingFunction
    visible: AbstractGeneratingFunction
    settle: AbstractSettling
    num_heads: int = eqx.field(static=True)

    def __init__(
        self,
        num_heads: int,
        query_size: int,
        *,
        memory_size: int | None = None,
        output_size: int | None = None,
        head_size: int | None = None,
        units: AbstractGeneratingFunction | None = None,
        visible: AbstractGeneratingFunction | None = None,
        settle: AbstractSettling | None = None,
        use_bias: bool = False,
        key: PRNGKey,
    ):
        at_least("num_heads", num_heads, 1)
        at_least("query_size", query_size, 1)
        if head_size is None and query_size % num_heads:
            fail("num_heads", f"a divisor of the query size {query_size}, or `head_size`", num_heads)
        head_size = query_size // num_heads if head_size is None else head_size
        memory_size = query_size if memory_size is None else memory_size
        output_size = query_size if output_size is None else output_size
        for name, size in (("head_size", head_size), ("memory_size", memory_size), ("output_size", output_size)):
            at_least(name, size, 1)
        key_fits("key", key)
        self.units = LogSumExp(head_size**-0.5) if units is None else units
        self.visible = Quadratic() if visible is None else visible
        generating_fits("units", self.units)
        generating_fits("visible", self.visible)
        self.settle = Unrolled() if settle is None else settle
        if not isinstance(self.settle, AbstractSettling):
            fail("settle", "`Unrolled(num_updates)` or `Implicit()`", kind(self.settle))
        inner = num_heads * head_size
        sizes = (query_size, inner), (memory_size, inner), (memory_size, inner), (inner, output_size)
        linear = [eqx.nn.Linear(*s, use_bias=use_bias, key=k) for s, k in zip(sizes, jr.split(key, 4), strict=True)]
        self.query_proj, self.key_proj, self.value_proj, self.output_proj = linear
        self.num_heads = num_heads

    def __call__(
        self,
        queries: Float[Array, "queries query_size"],
        memories: Float[Array, "memories memory_size"],
        *,
        values: Float[Array, "memories value_size"] | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "queries output_size"]:
        """**Arguments:** `queries`, shape (queries, query_size); `memories`, shape (memories, memory_size); `values`,
        by default the memories; `mask`, true where a memory may be seen, shape (memories,), (queries, memories) or
        (heads, queries, memories). **Returns:** shape (queries, output_size)."""
        weights = self.weights(queries, memories, mask=mask)
        values = self._heads(self.value_proj, memories if values is None else values)
        out = jax.vmap(matmul)(weights, values)  # (heads, queries, head_size)
        return jax.vmap(self.output_proj)(out.swapaxes(0, 1).reshape(len(queries), -1))

    def weights(
        self,
        queries: Float[Array, "queries query_size"],
        memories: Float[Array, "memories memory_size"],
        *,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "heads queries memories"]:
        """The weight $p$ of every memory after the last update, shape (heads, queries, memories)."""
        start, keys = self.states(queries), self._heads(self.key_proj, memories)
        seen = None if mask is None else self._seen(mask, (*start.shape[:-1], len(memories)), keys.dtype)
        layer, v, k = widened((self, start, keys)) if self.settle.widens else (self, start, keys)
        return layer._weights(v, k, seen).astype(start.dtype)

    @method
    def _weights(self, start: Array, keys: Array, seen: Array | None) -> Array:
        bias, some = jnp.zeros_like(start[..., 0]), True  # one number a query, or one a memory too
        if seen is not None:  # a query that sees nothing does as if it saw all, for finite numbers, and gets zeros
            some = jnp.any(seen, axis=-1, keepdims=True)
            bias = jnp.where(seen | ~some, 0, -jnp.inf).astype(keys.dtype)

        def everywhere(function: Callable[[AdiabaticNetwork, Array], Array]) -> Callable[[Array], Array]:
            def one(v: Array, keys: Array, bias: Array, start: Array) -> Array:
                return function(self._network(keys, bias, self.settle.input(start)), v)

            of_heads = jax.vmap(jax.vmap(one, in_axes=(0, None, 0, 0)))
            return lambda v: of_heads(v, keys, bias, start)

        state = self.settle(everywhere(lambda network, v: network.update(v)), start)
        weights = everywhere(lambda net, v: net.hidden.activation(net.hidden_map(net.visible.activation(v))))(state)
        valid = is_valid((self.units, self.visible, self.settle))
        valid = valid if seen is None else valid & _silent(self.units, keys.dtype)
        return nan_unless(valid, jnp.where(some, weights, 0))

    def network(
        self,
        memories: Float[Array, "memories memory_size"],
        *,
        head: int = 0,
        query: Float[Array, " query_size"] | None = None,
        mask: Bool[Array, " memories"] | None = None,
    ) -> AdiabaticNetwork:
        """The energy network of one head: its patterns are the keys of `memories`, its state that of `states`. With
        `Implicit` settling the input is that of the `query`, if there is one."""
        if head not in range(self.num_heads):
            fail("head", f"one of {self.num_heads} heads, from 0", head)
        start = 0.0 if query is None else self.settle.input(self.states(query[None])[head, 0])
        bias = 0 if mask is None else jnp.where(mask, 0, -jnp.inf)
        return self._network(self._heads(self.key_proj, memories)[head], bias, start)

    def states(self, queries: Float[Array, "queries query_size"]) -> Float[Array, "heads queries head_size"]:
        """The states at which the networks start, shape (heads, queries, head_size)."""
        return self._heads(self.query_proj, queries)

    def _network(self, keys: Array, bias: Any, input: Any) -> AdiabaticNetwork:
        bias, input, tau = (jnp.asarray(x, keys.dtype) for x in (bias, input, 1))
        return AdiabaticNetwork(
            MemoryMap(keys, bias), visible=self.visible, hidden=self.units, input=input, tau_visible=tau
        )

    def _heads(self, projection: Any, x: Array) -> Array:
        """A projection of rows, split: shape (heads, rows, size)."""
        return jax.vmap(projection)(x).reshape(len(x), self.num_heads, -1).swapaxes(0, 1)

    def _seen(self, mask: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """The mask of every head and query, validated."""
        if mask.dtype != bool or mask.ndim > 3 or mask.shape != shape[3 - mask.ndim :]:
            one_of = ", ".join(str(shape[i:]) for i in (2, 1, 0))
            fail("mask", f"booleans of one of the shapes {one_of}", f"{mask.dtype} of shape {mask.shape}")
        silent = _silent(self.units, dtype)
        if is_concrete(silent) and not silent:
            fail("mask", f"none, as {kind(self.units)} is not silent at -inf", "a mask")
        return jnp.broadcast_to(mask.reshape((1,) * (3 - mask.ndim) + mask.shape), shape)


def _silent(units: AbstractGeneratingFunction, dtype: Any) -> Bool[Array, ""]:
    """Whether a masked memory has no weight beside another one."""
    low = -(float(jnp.finfo(dtype).max) ** 0.75)
    return units.activation(jnp.array([0, low], dtype))[1] == 0


class PoolingLayer(eqx.Module):
    r"""Learned queries pool a set of memories (Ramsauer et al. 2021), whatever their order: an `AssociationLayer` whose
    queries are weights, for learning from bags of instances.

    **Arguments:** `num_queries`; `query_size`, features of the queries; `num_heads`; others as of `AssociationLayer`.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    layer = hj.associative.PoolingLayer(1, 8, num_heads=2, memory_size=3, key=jax.random.key(0))
    bag = jax.random.normal(jax.random.key(1), (6, 3))
    assert layer(bag).shape == (1, 8) and jnp.allclose(layer(bag), layer(bag[::-1]), atol=1e-6)
    ```
    """

    queries: Float[Array, "queries query_size"]
    association: AssociationLayer

    def __init__(self, num_queries: int, query_size: int, *, num_heads: int = 1, key: PRNGKey, **options: Any):
        at_least("num_queries", num_queries, 1)
        at_least("query_size", query_size, 1)
        key_fits("key", key)
        query_key, key = jr.split(key)
        self.queries = jr.normal(query_key, (num_queries, query_size))
        self.association = AssociationLayer(num_heads, query_size, key=key, **options)

    def __call__(
        self,
        memories: Float[Array, "memories memory_size"],
        *,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "queries output_size"]:
        """**Arguments:** `memories`, shape (memories, memory_size); `mask`, true for those that are no padding, shape
        (memories,). **Returns:** shape (queries, output_size)."""
        return self.association(self.queries, memories, mask=mask)

    def network(self, memories: Float[Array, "memories memory_size"], **options: Any) -> AdiabaticNetwork:
        """As `AssociationLayer.network`."""
        return self.association.network(memories, **options)


class MemoryLayer(eqx.Module):
    r"""Learned memories answer queries (the Hopfield layer of Ramsauer et al. 2021): an `AssociationLayer` whose keys
    and values are weights.

    **Arguments:** `num_memories`; `query_size`; `num_heads`; others as of `AssociationLayer`, without `memory_size`.

    ```python
    import jax
    import hopfield_jax as hj

    layer = hj.associative.MemoryLayer(16, 8, units=hj.Entmax(), key=jax.random.key(0))
    queries = jax.random.normal(jax.random.key(1), (5, 8))
    assert layer(queries).shape == (5, 8)
    found = hj.steady_state(layer.network(), layer.association.states(queries)[0, 0])  # at rest, without the layer
    assert hj.linearise(layer.network(), found.state).stable
    ```
    """

    keys: Float[Array, "memories inner"]
    values: Float[Array, "memories inner"]
    association: AssociationLayer

    def __init__(self, num_memories: int, query_size: int, *, num_heads: int = 1, key: PRNGKey, **options: Any):
        at_least("num_memories", num_memories, 1)
        if "memory_size" in options:
            fail("memory_size", "none: memories have the size of the heads", options["memory_size"])
        key_fits("key", key)
        keys_key, values_key, key = jr.split(key, 3)
        whole = AssociationLayer(num_heads, query_size, key=key, **options)
        identity = eqx.nn.Identity(), eqx.nn.Identity()
        self.association = eqx.tree_at(lambda layer: (layer.key_proj, layer.value_proj), whole, identity)
        shape = (num_memories, whole.output_proj.in_features)
        self.keys, self.values = jr.normal(keys_key, shape), jr.normal(values_key, shape)

    def __call__(
        self, queries: Float[Array, "queries query_size"], *, mask: Bool[Array, "..."] | None = None
    ) -> Float[Array, "queries output_size"]:
        """**Arguments:** `queries`, shape (queries, query_size); `mask` as of `AssociationLayer`. **Returns:** shape
        (queries, output_size)."""
        return self.association(queries, self.keys, values=self.values, mask=mask)

    def network(self, **options: Any) -> AdiabaticNetwork:
        """As `AssociationLayer.network`, of the learned memories."""
        return self.association.network(self.keys, **options)
