"""Couplings between neurons: outer products without a matrix, a matrix, or few neighbours a neuron."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Real

from .._checks import Checked, Rules, as_real, domain, fail, is_concrete, kind, shape_is
from .._misc import compiled, inner, matmul
from .._types import Array, ArrayLike, Float, Int, Parameter, PyTree, Scalar


class AbstractCouplings(Checked):
    r"""Couplings $J$, where $J_{ij}$ is the weight of neuron $j$ in the field of neuron $i$.

    Asynchronous updates use a cache of the state, from which the fields of a few `sites` are computed cheaply, and
    which is updated cheaply when these change.
    """

    symmetric: eqx.AbstractVar[bool]

    @property
    @abc.abstractmethod
    def num_neurons(self) -> int:
        """$N$."""

    @abc.abstractmethod
    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$h_i = \sum_j J_{ij}s_j$ of all neurons."""

    @abc.abstractmethod
    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        r"""$J_{ij}$ for the $j$ in `others`."""

    @abc.abstractmethod
    def start(self, state: Float[Array, " neurons"]) -> PyTree:
        """The cache of a state."""

    @abc.abstractmethod
    def local(
        self, cache: PyTree, state: Float[Array, " neurons"], sites: Int[Array, " sites"]
    ) -> Float[Array, " sites"]:
        r"""$h_i$ for the $i$ in `sites`."""

    @abc.abstractmethod
    def moved(self, cache: PyTree, sites: Int[Array, " sites"], change: Float[Array, " sites"]) -> PyTree:
        """The cache after the states of `sites` have changed by `change`."""

    @abc.abstractmethod
    def quadratic(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$\frac12 s^\top Js$, whose gradient is the field of symmetric couplings."""

    def among(self, sites: Int[Array, " sites"]) -> Float[Array, "sites sites"]:
        r"""$J_{ij}$ between all pairs of `sites`."""
        return jax.vmap(lambda i: self.entries(i, sites))(sites)

    def matrix(self) -> Float[Array, "neurons neurons"]:
        r"""$J$ as a matrix, for small networks."""
        return self.among(jnp.arange(self.num_neurons))


class OuterProducts(AbstractCouplings):
    r"""Sums of outer products, applied without a matrix:

    $$J_{ij} = \frac{1}{N}\sum_{r} u_{ir} w_r v_{jr}, \qquad J_{ii} = 0 \text{ unless } \texttt{self_coupling}.$$

    A field costs $2NR$ multiplications for $R$ terms, that of a single neuron $R$. Where terms and state are whole
    numbers, so are the sums before the division by $N$: ties are exact.

    **Arguments:**

    - `left`: $u$, shape (neurons, terms). `right`: $v$, of the same shape; by default `left` (then $J$ is symmetric).
    - `weights`: $w$, shape (terms,); by default ones.
    - `self_coupling`: whether the diagonal is kept.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    couplings = hj.classical.OuterProducts(jnp.array([[1.0], [-1.0], [1.0]]))
    assert jnp.allclose(3 * couplings.matrix(), jnp.array([[0, -1, 1], [-1, 0, -1], [1, -1, 0]]))
    ```
    """

    left: Float[Array, "neurons terms"] = eqx.field(metadata=domain("finite", ndim=2))
    right: Float[Array, "neurons terms"] | None
    weights: Float[Array, " terms"] = eqx.field(metadata=domain("finite", ndim=1))
    symmetric: bool = eqx.field(static=True)
    self_coupling: bool = eqx.field(static=True)

    def __init__(
        self,
        left: Real[ArrayLike, "neurons terms"],
        right: Real[ArrayLike, "neurons terms"] | None = None,
        weights: Real[ArrayLike, " terms"] | None = None,
        *,
        self_coupling: bool = False,
    ):
        self.left = as_real("OuterProducts.left", left)
        shape_is("OuterProducts.left", self.left, (None, None), "(neurons, terms)")
        if 0 in self.left.shape:
            fail("OuterProducts.left", "at least one neuron and one term", f"shape {self.left.shape}")
        self.right = None if right is None else as_real("OuterProducts.right", right)
        self.weights = jnp.ones_like(self.left[0]) if weights is None else as_real("OuterProducts.weights", weights)
        shape_is("OuterProducts.weights", self.weights, self.left.shape[1:], "(terms,)")
        if self.right is not None:
            Rules().real("OuterProducts.right", self.right, "finite", shape=self.left.shape, names="(neurons, terms)")
        self.symmetric, self.self_coupling = right is None, self_coupling

    @property
    def num_neurons(self) -> int:
        return self.left.shape[0]

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$\frac1N\sum_r u_{ir} w_r \sum_j v_{jr} s_j - J_{ii} s_i$."""
        return self.local(self.start(state), state, slice(None))

    def quadratic(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$\frac{1}{2N}\sum_r w_r(\sum_i u_{ir}s_i)(\sum_j v_{jr}s_j) - \frac12\sum_i J_{ii}s_i^2$."""
        sums = self.start(state)
        products = jnp.square(sums) if self.symmetric else matmul(state, self.left) * sums
        total = inner(self.weights, products)
        return 0.5 * (total if self.self_coupling else total - inner(self._own(), jnp.square(state))) / self.num_neurons

    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        r"""$\frac1N\sum_r u_{ir} w_r v_{jr}$."""
        out = matmul(self._right[others], self.weights * self.left[i])
        return (out if self.self_coupling else jnp.where(others == i, 0, out)) / self.num_neurons

    def start(self, state: Float[Array, " neurons"]) -> Float[Array, " terms"]:
        r"""The sums $\sum_j v_{jr} s_j$."""
        return matmul(state, self._right)

    def local(
        self, cache: Float[Array, " terms"], state: Float[Array, " neurons"], sites: Int[Array, " sites"] | slice
    ) -> Float[Array, " sites"]:
        """From the sums."""
        sums = matmul(self.left[sites], self.weights * cache)
        return (sums if self.self_coupling else sums - self._own(sites) * state[sites]) / self.num_neurons

    def moved(
        self, cache: Float[Array, " terms"], sites: Int[Array, " sites"], change: Float[Array, " sites"]
    ) -> Float[Array, " terms"]:
        """The sums, brought up to date."""
        return cache + matmul(change, self._right[sites])

    @property
    def _right(self) -> Float[Array, "neurons terms"]:
        return self.left if self.right is None else self.right

    def _own(self, sites: Int[Array, " sites"] | slice = slice(None)) -> Float[Array, " sites"]:
        r"""$\sum_r u_{ir} w_r v_{ir}$, $N$ times the diagonal."""
        return jnp.sum(self.left[sites] * self.weights[None] * self._right[sites], axis=1)


class _AbstractListed(AbstractCouplings):
    """Couplings whose weights are stored."""

    weights: eqx.AbstractVar[Parameter[Array]]

    def __check_init__(self):
        """Validates that couplings declared symmetric are, by two random states: x·Jy = y·Jx."""
        if not self.symmetric or not all(map(is_concrete, jax.tree.leaves(self))):
            return
        with jax.ensure_compile_time_eval():
            states = np.random.default_rng(0).normal(size=(2, self.num_neurons))
            x, y = states.astype(self.weights.dtype)
            apart, size = _asymmetry(self, x, y)
        if float(apart) > 8 * jnp.finfo(x.dtype).eps * float(size):
            fail(f"{type(self).__name__}.symmetric", "False, as the weights are not symmetric", True)

    @property
    def num_neurons(self) -> int:
        return self.weights.shape[0]

    def quadratic(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$\frac12 s^\top Js$, from the field."""
        return 0.5 * inner(state, self.field(state))


@compiled
def _asymmetry(couplings: _AbstractListed, x: Array, y: Array) -> tuple[Scalar, Scalar]:
    """|x·Jy − y·Jx|, and the sum of all couplings' sizes."""
    apart = inner(x, couplings.field(y)) - inner(y, couplings.field(x))
    return jnp.abs(apart), jnp.sum(jnp.abs(couplings.weights))


class DenseCouplings(_AbstractListed):
    r"""Couplings as a matrix, including its diagonal.

    **Arguments:**

    - `weights`: $J$, shape (neurons, neurons).
    - `symmetric`: whether $J_{ij} = J_{ji}$, which gives the network an energy (checked, up to rounding).

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    couplings = hj.classical.DenseCouplings(jnp.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert couplings.field(jnp.ones(2)).tolist() == [1, -1] and not couplings.symmetric
    ```
    """

    weights: Parameter[Float[Array, "neurons neurons"]] = eqx.field(metadata=domain("finite", ndim=2))
    symmetric: bool = eqx.field(static=True, default=False, kw_only=True)

    def __check_init__(self):
        shape_is("DenseCouplings.weights", self.weights, (None, None), "(neurons, neurons)")
        shape_is("DenseCouplings.weights", self.weights, (self.num_neurons, self.num_neurons), "(neurons, neurons)")

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$Js$."""
        return matmul(self.weights, state)

    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        """Entries of the matrix."""
        return self.weights[i, others]

    def start(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        """The fields."""
        return self.field(state)

    def local(
        self, cache: Float[Array, " neurons"], state: Float[Array, " neurons"], sites: Int[Array, " sites"]
    ) -> Float[Array, " sites"]:
        """From the fields."""
        return cache[sites]

    def moved(
        self, cache: Float[Array, " neurons"], sites: Int[Array, " sites"], change: Float[Array, " sites"]
    ) -> Float[Array, " neurons"]:
        """The fields, brought up to date for one changed site after the other: most do not change."""
        (changed,) = jnp.nonzero(change, size=change.size, fill_value=0)

        def add(i: Array, fields: Array) -> Array:
            site = sites[changed[i]]
            return fields + change[changed[i]] * (self.weights[site] if self.symmetric else self.weights[:, site])

        return jax.lax.fori_loop(0, jnp.count_nonzero(change), add, cache)


class SparseCouplings(_AbstractListed):
    r"""Couplings to $K$ neighbours of each neuron: $h_i = \sum_{k \le K} w_{ik} s_{n_{ik}}$.

    **Arguments:**

    - `neighbours`: $n$, indices of neurons, shape (neurons, neighbours). A neighbour that is listed twice counts twice.
    - `weights`: $w$, of the same shape.
    - `symmetric`: whether $J_{ij} = J_{ji}$, which gives the network an energy (checked, up to rounding).

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    ring = jnp.stack([jnp.roll(jnp.arange(6), 1), jnp.roll(jnp.arange(6), -1)], axis=1)
    couplings = hj.classical.SparseCouplings(ring, jnp.ones((6, 2)), symmetric=True)
    assert couplings.field(jnp.ones(6)).tolist() == [2] * 6
    ```
    """

    neighbours: Int[Array, "neurons neighbours"] = eqx.field(converter=jnp.asarray)
    weights: Parameter[Float[Array, "neurons neighbours"]] = eqx.field(metadata=domain("finite", ndim=2))
    symmetric: bool = eqx.field(static=True, default=False, kw_only=True)

    def __check_init__(self):
        Rules().index(
            "SparseCouplings.neighbours",
            self.neighbours,
            self.num_neurons,
            "neurons",
            shape=self.weights.shape,
            names="(neurons, neighbours)",
        )

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$\sum_k w_{ik} s_{n_{ik}}$."""
        return jnp.sum(self.weights * state[self.neighbours], axis=1)

    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        """By comparing with all neighbours."""
        return jnp.sum(jnp.where(self.neighbours[i][None] == others[:, None], self.weights[i][None], 0), axis=1)

    def start(self, state: Float[Array, " neurons"]) -> None:
        """Nothing."""

    def moved(self, cache: None, sites: Int[Array, " sites"], change: Float[Array, " sites"]) -> None:
        """Nothing."""

    def local(self, cache: None, state: Float[Array, " neurons"], sites: Int[Array, " sites"]) -> Any:
        """From the neighbours of the sites."""
        return jnp.sum(self.weights[sites] * state[self.neighbours[sites]], axis=1)


def couplings_fit(argument: str, couplings: Any, *, symmetric: bool = False) -> None:
    """Raises unless `couplings` are couplings, and symmetric if they must be."""
    if not isinstance(couplings, AbstractCouplings):
        fail(argument, "couplings, of `hopfield_jax.classical.hebbian` for example", kind(couplings))
    if symmetric and not couplings.symmetric:
        fail(argument, "symmetric ones", f"{kind(couplings)} that says it is not")
