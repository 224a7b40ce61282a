r"""Synapses that store patterns other than by Hebb's rule, and what they amount to in a large network.

There, $J = g\,(\text{Hebb's rule}) + W$ with independent Gaussian $W$, $\langle W_{ij}^2\rangle = \Delta^2/N$,
$\langle W_{ij}W_{ji}\rangle = \epsilon\Delta^2/N$. A function of Hebb's sum, $f(T_{ij})$ with $T = P^{-1/2}\sum_\mu
\xi^\mu\xi^{\mu\top}$, is projected on its linear part $a = \langle Tf\rangle$; the rest acts as $W$ (Sompolinsky 1986).
"""

import abc
import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.stats import norm
from scipy.special import ndtr, ndtri

from ._checks import Checked, Rules, at_least, domain, fail, is_concrete, kind, shape_is
from ._misc import default_float, matmul
from ._types import Array, Float, Parameter, Patterns, PRNGKey, Scalar

_ROOT = np.sqrt(2 * np.pi)


class AbstractSynapses(Checked):
    r"""Stored couplings $J$ with Hebb's rule of weight $g$ in them, and their equivalent noise of variance $\Delta^2 =
    \text{background} + \alpha g^2\,\text{excess}$ for random patterns of load $\alpha$."""

    @property
    @abc.abstractmethod
    def background(self) -> Scalar | float:
        r"""The part of $\Delta^2$ that depends neither on the load nor on $g$."""

    @property
    @abc.abstractmethod
    def excess(self) -> Scalar | float:
        r"""$\delta$, the other part over $\alpha g^2$."""

    @property
    @abc.abstractmethod
    def reciprocity(self) -> Scalar | float:
        r"""$\epsilon = \langle W_{ij}W_{ji}\rangle/\langle W_{ij}^2\rangle$, in [-1, 1]."""

    @abc.abstractmethod
    def matrix(self, patterns: Patterns, coupling: Scalar, *, key: PRNGKey) -> Float[Array, "neurons neurons"]:
        """$J$ of a finite network, of zero diagonal; rows of zeros are no patterns."""

    def noise(self, load: Scalar, coupling: Scalar) -> Scalar:
        r"""$\Delta^2$."""
        return self.background + load * coupling**2 * self.excess


class Noisy(AbstractSynapses):
    r"""Hebb's rule and independent Gaussian couplings $W$, which alone remain in a network of `coupling` = 0.

    **Arguments:**

    - `variance`: $\Delta^2$, of $\sqrt N W_{ij}$; not negative.
    - `symmetry`: $\epsilon$, from -1 (antisymmetric) over 0 (independent) to 1 (symmetric).
    """

    variance: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"))
    symmetry: Parameter[Scalar] = eqx.field(metadata=domain("cosine"), default=1.0)

    @property
    def background(self) -> Scalar:
        r"""$\Delta^2$."""
        return self.variance

    @property
    def excess(self) -> float:
        """Zero."""
        return 0.0

    @property
    def reciprocity(self) -> Scalar:
        r"""$\epsilon$."""
        return self.symmetry

    def matrix(self, patterns: Patterns, coupling: Scalar, *, key: PRNGKey) -> Float[Array, "neurons neurons"]:
        r"""$g\frac{\sqrt P}{N}T$ and a draw of $W$."""
        size = patterns.shape[1]
        drawn = jr.normal(key, (size, size), patterns.dtype) / jnp.sqrt(2.0 * size).astype(patterns.dtype)
        even, odd = (jnp.sqrt(jnp.maximum(0.5 * (1 + sign * self.symmetry), 0)) for sign in (1, -1))
        noise = even * (drawn + drawn.T) + odd * (drawn - drawn.T)
        return _hollow(coupling * matmul(patterns.T, patterns) / size + jnp.sqrt(self.variance) * noise)


class AbstractStepwise(AbstractSynapses):
    r"""Synapses of a few values, $J_{ij} = g\frac{\sqrt P}{Na}f(T_{ij})$, where $f$ has the value $v_k$ between
    the thresholds $\theta_k$ and $\theta_{k+1}$. Divided by $a = \langle Tf\rangle$, the signal is that of Hebb's rule.

    At a threshold either value is taken at random, as for $T = 0$ of an even number of patterns.
    """

    @abc.abstractmethod
    def steps(self) -> tuple[Float[Array, " levels"], Float[Array, " thresholds"]]:
        r"""Increasing values $v_k$ of mean $\langle f\rangle = 0$, and thresholds $\theta_k$, one less."""

    @property
    def moments(self) -> tuple[Scalar, Scalar]:
        r"""$a = \sum_k v_k[\varphi(\theta_k) - \varphi(\theta_{k+1})]$ and $\langle f^2\rangle = \sum_k v_k^2
        [\Phi(\theta_{k+1}) - \Phi(\theta_k)]$, with the normal density and distribution."""
        levels, slope, share = self._shares(Rules())
        dtype = self.steps()[0].dtype
        return jnp.asarray((levels * slope).sum(), dtype), jnp.asarray((levels**2 * share).sum(), dtype)

    def relations(self, rules: Rules) -> None:
        """Levels and thresholds increase, and the mean level is zero."""
        self._shares(rules)

    def _shares(self, rules: Rules) -> tuple[Any, Any, Any]:
        r"""$v$, and $\langle T\rangle$ and $\langle 1\rangle$ over each step; validates the steps. Known ones by NumPy,
        since JAX would compile a program for every operation."""
        named = zip(("levels", "thresholds"), self.steps(), strict=True)
        (of_levels, levels), (of_ends, ends) = ((f"{type(self).__name__}.{name}", x) for name, x in named)
        shape_is(of_ends, ends, (levels.size - 1,), "(levels - 1,)")
        for name, values in ((of_levels, levels), (of_ends, ends)):
            rules.holds(name, lambda x: x[1:] > x[:-1], "increasing values", values)
        if is_concrete(levels) and is_concrete(ends):
            levels, ends = np.asarray(levels, np.float64), np.pad(ends, 1, constant_values=(-np.inf, np.inf))
            share, slope = np.diff(ndtr(ends)), -np.diff(np.exp(-0.5 * ends.astype(np.float64) ** 2) / _ROOT)
        else:
            ends = jnp.pad(ends, 1, constant_values=(-jnp.inf, jnp.inf))
            share, slope = jnp.diff(norm.cdf(ends)), -jnp.diff(norm.pdf(ends))
        centred = lambda levels, share: abs((levels * share).sum()) <= 1e-5 * abs(levels).max()  # noqa: E731
        rules.holds(of_levels, centred, "values whose mean is zero for a normal T", levels, share)
        return levels, slope, share

    @property
    def background(self) -> float:
        """Zero."""
        return 0.0

    @property
    def excess(self) -> Scalar:
        r"""$\langle f^2\rangle/a^2 - 1$."""
        slope, square = self.moments
        return square / slope**2 - 1

    @property
    def reciprocity(self) -> float:
        """One."""
        return 1.0

    def relative(self, sums: Float[Array, "neurons neurons"], key: PRNGKey) -> Float[Array, "neurons neurons"]:
        """$f(T)/a$."""
        tie = 1e-4 * (_symmetric(jr.uniform(key, sums.shape, sums.dtype)) - 0.5) / len(sums) ** 0.5
        levels, thresholds = self.steps()
        index = jnp.searchsorted(thresholds.astype(sums.dtype), (sums + tie).reshape(-1)).reshape(sums.shape)
        return (levels / self.moments[0]).astype(sums.dtype)[index]

    def matrix(self, patterns: Patterns, coupling: Scalar, *, key: PRNGKey) -> Float[Array, "neurons neurons"]:
        r"""$g\frac{\sqrt P}{N}f(T)/a$."""
        sums, size = _sums(patterns)
        return _hollow(coupling * size * self.relative(sums, key))


class Stepwise(AbstractStepwise):
    r"""Synapses of given values.

    **Arguments:**

    - `levels`: $v_k$, shape (levels,), increasing; their mean over a standard normal $T$ must be zero.
    - `thresholds`: $\theta_k$, shape (levels - 1,), increasing.
    """

    levels: Parameter[Float[Array, " levels"]] = eqx.field(metadata=domain("finite", ndim=(1,)))
    thresholds: Parameter[Float[Array, " thresholds"]] = eqx.field(metadata=domain("finite", ndim=(1,)))

    def __check_init__(self):
        if self.levels.size < 2:
            fail("Stepwise.levels", "at least two values", f"{self.levels.size}")

    def steps(self) -> tuple[Array, Array]:
        """The given ones."""
        return self.levels, self.thresholds


class Clipped(AbstractStepwise):
    r"""Synapses of one bit, $f = \mathrm{sign}$: $\delta = \pi/2 - 1$ (Sompolinsky 1986).

    ```python
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(load=0.05, units=hj.LogCosh(beta=4.0), synapses=hj.dmft.Clipped())
    assert abs(model.synapses.excess - 0.5707963) < 1e-6
    ```
    """

    def steps(self) -> tuple[Array, Array]:
        r"""$\mp 1$, and zero."""
        return _known(-1, 1), _known(0)


class Ternary(AbstractStepwise):
    r"""Synapses of three values: $\mathrm{sign}(T)$ beyond a dead zone, zero within.

    **Arguments:**

    - `dead_zone`: $\theta$ > 0; .612003, by default, stores most.
    """

    dead_zone: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=0.612003)

    def steps(self) -> tuple[Array, Array]:
        r"""-1, 0, 1, and $\mp\theta$."""
        return _known(-1, 0, 1), self.dead_zone * _known(-1, 1).astype(self.dead_zone.dtype)


class Quantised(AbstractStepwise):
    r"""Synapses of $2^b$ values, those of least error for a Gaussian $T$ (Lloyd and Max).

    **Arguments:**

    - `bits`: $b$, from 1 to 8 (static).
    """

    bits: int = eqx.field(static=True)

    def __check_init__(self):
        at_least("Quantised.bits", self.bits, 1)
        if self.bits > 8:
            fail("Quantised.bits", "at most 8", self.bits)

    def steps(self) -> tuple[Array, Array]:
        """The values, and the middles between them."""
        levels = _lloyd_max(self.bits)
        return _known(*levels), _known(*(0.5 * (levels[1:] + levels[:-1])))


class Diluted(AbstractSynapses):
    r"""A random fraction of the synapses, the others are missing: $\delta = \frac1{c}\langle f^2\rangle/a^2 - 1$.

    The load is still $P/N$, not that of the synapses left, and the signal that of Hebb's rule.

    **Arguments:**

    - `connectivity`: $c$, in (0, 1].
    - `symmetric`: whether $J_{ij}$ and $J_{ji}$ are missing together; otherwise independently (static).
    - `synapses`: those that are left, by default Hebb's; of a few values as `Clipped()`.
    """

    connectivity: Parameter[Scalar] = eqx.field(metadata=domain("share"))
    symmetric: bool = eqx.field(static=True, default=True)
    synapses: AbstractStepwise | None = None

    def __check_init__(self):
        if not isinstance(self.synapses, AbstractStepwise | None):
            fail("Diluted.synapses", "synapses of a few values such as Clipped(), or None", kind(self.synapses))

    @property
    def background(self) -> float:
        """Zero."""
        return 0.0

    @property
    def excess(self) -> Scalar:
        r"""$\langle f^2\rangle/(ca^2) - 1$."""
        return self._square / self.connectivity - 1

    @property
    def reciprocity(self) -> Scalar | float:
        r"""1, or $c\frac{\langle f^2\rangle - a^2}{\langle f^2\rangle - ca^2}$ of independent ones."""
        if self.symmetric:
            return 1.0
        noise = self._square - self.connectivity
        return jnp.where(noise > 0, self.connectivity * (self._square - 1) / jnp.where(noise > 0, noise, 1), 1)

    @property
    def _square(self) -> Scalar | float:
        r"""$\langle f^2\rangle/a^2$."""
        return 1.0 if self.synapses is None else self.synapses.excess + 1

    def matrix(self, patterns: Patterns, coupling: Scalar, *, key: PRNGKey) -> Float[Array, "neurons neurons"]:
        """As that of the synapses, with missing ones."""
        of_ties, of_places = jr.split(key)
        sums, size = _sums(patterns)
        places = jr.uniform(of_places, sums.shape, sums.dtype)
        there = (_symmetric(places) if self.symmetric else places) < self.connectivity
        values = sums if self.synapses is None else self.synapses.relative(sums, of_ties)
        return _hollow(coupling * size / self.connectivity * jnp.where(there, values, 0))


def _known(*values: Any) -> Array:
    return jnp.asarray(np.array(values, default_float()))


def _sums(patterns: Patterns) -> tuple[Float[Array, "neurons neurons"], Scalar]:
    r"""$T$ and $\sqrt P/N$."""
    root = jnp.sqrt(jnp.sum(patterns[:, 0] ** 2))
    return matmul(patterns.T, patterns) / root, root / patterns.shape[1]


def _symmetric(x: Float[Array, "neurons neurons"]) -> Float[Array, "neurons neurons"]:
    """The upper triangle on both sides."""
    return jnp.triu(x) + jnp.triu(x, 1).T


def _hollow(x: Float[Array, "neurons neurons"]) -> Float[Array, "neurons neurons"]:
    return jnp.where(jnp.eye(len(x), dtype=bool), 0, x)


@functools.lru_cache
def _lloyd_max(bits: int) -> np.ndarray:
    """Values equal to the means of a Gaussian between their middles, by Newton's method from those of a fine
    quantiser, whose density is that of a variance of 3."""
    size = 2**bits
    values = np.sqrt(3) * ndtri((np.arange(size) + 0.5) / size)
    for _ in range(20):
        ends = np.concatenate([[-np.inf], 0.5 * (values[1:] + values[:-1]), [np.inf]])
        density, share = np.exp(-0.5 * ends**2) / np.sqrt(2 * np.pi), np.diff(ndtr(ends))
        means = -np.diff(density) / share
        inner = np.where(np.isfinite(ends), ends, 0)
        left, right = density[:-1] * (means - inner[:-1]) / share, density[1:] * (inner[1:] - means) / share
        slopes = np.diag(1 - 0.5 * (left + right)) - np.diag(0.5 * left[1:], -1) - np.diag(0.5 * right[:-1], 1)
        values = values - np.linalg.solve(slopes, values - means)
    return values
