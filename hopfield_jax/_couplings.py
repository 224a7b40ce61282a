"""Couplings between neurons: outer products without a matrix, a matrix, or few neighbours a neuron."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int as IntOf
from jaxtyping import Real

from ._checks import Checked, as_real, domain, fail, in_domain, is_concrete, shape_is
from ._misc import inner, matmul, outer_form
from ._types import Array, ArrayLike, Float, Int, PyTree, Scalar


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
    def energy(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$-\frac12 s^\top Js$."""

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
    own: Float[Array, " neurons"] | None
    symmetric: bool = eqx.field(static=True)

    def __init__(
        self,
        left: Real[ArrayLike, "neurons terms"],
        right: Real[ArrayLike, "neurons terms"] | None = None,
        weights: Real[ArrayLike, " terms"] | None = None,
        *,
        self_coupling: bool = False,
    ):
        self.left = as_real("left", left)
        if 0 in self.left.shape:
            fail("OuterProducts.left", "at least one neuron and one term", f"shape {self.left.shape}")
        self.right = None if right is None else as_real("right", right)
        self.symmetric = right is None
        self.weights = (
            jnp.ones_like(self.left, shape=self.left.shape[1:]) if weights is None else as_real("weights", weights)
        )
        shape_is("OuterProducts.weights", self.weights, self.left.shape[1:], "(terms,)")
        if self.right is not None:
            shape_is("OuterProducts.right", self.right, self.left.shape, "(neurons, terms)")
            in_domain("OuterProducts.right", self.right, "finite")
        self.own = None if self_coupling else jnp.sum(self.left * self.weights[None] * self._right, axis=1)

    @property
    def _right(self) -> Float[Array, "neurons terms"]:
        return self.left if self.right is None else self.right

    @property
    def num_neurons(self) -> int:
        return self.left.shape[0]

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$\frac1N\sum_r u_{ir} w_r \sum_j v_{jr} s_j - J_{ii} s_i$."""
        sums = matmul(self.left, self.weights * self.start(state))
        return (sums if self.own is None else sums - self.own * state) / self.num_neurons

    def energy(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$-\frac12 s^\top Js$; of symmetric couplings without a field, so that its derivative costs one."""
        if not self.symmetric:
            return -0.5 * inner(state, self.field(state))
        return -outer_form(self.left.T, self.weights, self.own, state) / self.num_neurons

    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        r"""$\frac1N\sum_r u_{ir} w_r v_{jr}$."""
        out = matmul(self._right[others], self.weights * self.left[i])
        return (out if self.own is None else jnp.where(others == i, 0, out)) / self.num_neurons

    def start(self, state: Float[Array, " neurons"]) -> Float[Array, " terms"]:
        r"""The sums $\sum_j v_{jr} s_j$."""
        return matmul(state, self._right)

    def local(
        self, cache: Float[Array, " terms"], state: Float[Array, " neurons"], sites: Int[Array, " sites"]
    ) -> Float[Array, " sites"]:
        """The fields from the cached sums."""
        sums = matmul(self.left[sites], self.weights * cache)
        return (sums if self.own is None else sums - self.own[sites] * state[sites]) / self.num_neurons

    def moved(
        self, cache: Float[Array, " terms"], sites: Int[Array, " sites"], change: Float[Array, " sites"]
    ) -> Float[Array, " terms"]:
        """The updated sums."""
        return cache + matmul(change, self._right[sites])


class DenseCouplings(AbstractCouplings):
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

    weights: Float[Array, "neurons neurons"] = eqx.field(metadata=domain("finite", ndim=2))
    symmetric: bool = eqx.field(static=True)

    def __init__(self, weights: Real[ArrayLike, "neurons neurons"], *, symmetric: bool = False):
        self.weights = as_real("weights", weights)
        self.symmetric = symmetric

    def __check_init__(self):
        shape_is("DenseCouplings.weights", self.weights, (self.num_neurons, self.num_neurons), "(neurons, neurons)")
        _symmetric_if_said(self)

    @property
    def num_neurons(self) -> int:
        return self.weights.shape[0]

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$Js$."""
        return matmul(self.weights, state)

    def energy(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$-\frac12 s^\top Js$."""
        return -0.5 * inner(state, self.field(state))

    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        """Entries of the matrix."""
        return self.weights[i, others]

    def start(self, state: Float[Array, " neurons"]) -> None:
        """Nothing: the state is enough."""

    def local(self, cache: None, state: Float[Array, " neurons"], sites: Int[Array, " sites"]) -> Any:
        """From the rows of the matrix."""
        return matmul(self.weights[sites], state)

    def moved(self, cache: None, sites: Int[Array, " sites"], change: Float[Array, " sites"]) -> None:
        """Nothing."""


class SparseCouplings(AbstractCouplings):
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

    neighbours: Int[Array, "neurons neighbours"]
    weights: Float[Array, "neurons neighbours"] = eqx.field(metadata=domain("finite", ndim=2))
    symmetric: bool = eqx.field(static=True)

    def __init__(
        self,
        neighbours: IntOf[ArrayLike, "neurons neighbours"],
        weights: Real[ArrayLike, "neurons neighbours"],
        *,
        symmetric: bool = False,
    ):
        self.neighbours = jnp.asarray(neighbours)
        self.weights = as_real("weights", weights)
        self.symmetric = symmetric

    def __check_init__(self):
        if not jnp.issubdtype(self.neighbours.dtype, jnp.integer):
            fail("SparseCouplings.neighbours", "indices of neurons", self.neighbours.dtype)
        shape_is("SparseCouplings.neighbours", self.neighbours, self.weights.shape, "(neurons, neighbours)")
        if is_concrete(self.neighbours) and self.neighbours.size:
            low, high = int(np.min(np.asarray(self.neighbours))), int(np.max(np.asarray(self.neighbours)))
            if low < 0 or high >= self.num_neurons:
                fail("SparseCouplings.neighbours", f"indices from 0 to {self.num_neurons - 1}", f"{low} to {high}")
        _symmetric_if_said(self)

    @property
    def num_neurons(self) -> int:
        return self.weights.shape[0]

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$\sum_k w_{ik} s_{n_{ik}}$."""
        return jnp.sum(self.weights * state[self.neighbours], axis=1)

    def energy(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$-\frac12 s^\top Js$."""
        return -0.5 * inner(state, self.field(state))

    def entries(self, i: Int[Array, ""], others: Int[Array, " others"]) -> Float[Array, " others"]:
        """By comparing with all neighbours."""
        return jnp.sum(jnp.where(self.neighbours[i][None] == others[:, None], self.weights[i][None], 0), axis=1)

    def start(self, state: Float[Array, " neurons"]) -> None:
        """Nothing: the state is enough."""

    def local(self, cache: None, state: Float[Array, " neurons"], sites: Int[Array, " sites"]) -> Any:
        """From the neighbours of the sites."""
        return jnp.sum(self.weights[sites] * state[self.neighbours[sites]], axis=1)

    def moved(self, cache: None, sites: Int[Array, " sites"], change: Float[Array, " sites"]) -> None:
        """Nothing."""


def _symmetric_if_said(couplings: DenseCouplings | SparseCouplings) -> None:
    """Validates that couplings declared symmetric are, by two random states: x·Jy = y·Jx."""
    if not couplings.symmetric or not all(map(is_concrete, jax.tree.leaves(couplings))):
        return
    with jax.ensure_compile_time_eval():
        states = np.random.default_rng(0).normal(size=(2, couplings.num_neurons))
        x, y = jnp.asarray(states, couplings.weights.dtype)
        there, back = (float(inner(a, couplings.field(b))) for a, b in ((x, y), (y, x)))
        size: Scalar = jnp.sum(jnp.abs(couplings.weights))
    if abs(there - back) > 8 * jnp.finfo(x.dtype).eps * float(size):
        fail(f"{type(couplings).__name__}.symmetric", "False, as the weights are not symmetric", True)
