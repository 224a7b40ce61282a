"""Phases of the Hopfield model in replica-symmetric theory, and how each is solved for."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf

from .._checks import at_least
from .._misc import inner
from .._roots import newton
from .._types import Array, Bool, Float, Scalar
from ._spin import spin_averages

_RATIOS = np.geomspace(60, 0.3, 56)


class AbstractPhase(eqx.Module):
    """A kind of solution of the replica-symmetric equations."""

    num_condensed: eqx.AbstractVar[int]
    """number of patterns with an overlap of order one"""

    @abc.abstractmethod
    def find(self, load: Scalar, temperature: Scalar) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
        """Overlap and deviation √(αr) of the crosstalk, and whether there is such a solution."""


class Retrieval(AbstractPhase):
    """One pattern is retrieved."""

    num_condensed: int = eqx.field(default=1, init=False, static=True)

    def find(self, load: Scalar, temperature: Scalar) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
        """The solution that continues to the Curie–Weiss magnetisation at load zero."""
        return find_on(branch(1, temperature), load)


class Mixture(AbstractPhase):
    r"""Several patterns have the same overlap.

    **Arguments:**

    - `num_condensed`: number of patterns, at least 1 (which is `Retrieval()`). Mixtures of an even number are saddles
      at all temperatures (`pattern_stability`), since the signal cancels at some sites; those of an odd number at high
      ones.

    **Raises:** `ValueError` for another number.
    """

    num_condensed: int = eqx.field(static=True)

    def __check_init__(self):
        at_least("Mixture.num_condensed", self.num_condensed, 1)

    def find(self, load: Scalar, temperature: Scalar) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
        """The symmetric solution that continues to small loads."""
        return find_on(branch(self.num_condensed, temperature), load)


class SpinGlass(AbstractPhase):
    """Frozen spins without overlap with any pattern."""

    num_condensed: int = eqx.field(default=0, init=False, static=True)

    def find(self, load: Scalar, temperature: Scalar) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
        """The solution with q > 0, below the temperature 1 + √α."""
        deviation = glass_deviation(load, temperature)
        guess = jnp.stack([jnp.zeros_like(deviation), deviation])
        return _polished(0, guess, load, temperature, 1), temperature < 1 + jnp.sqrt(load)


class Paramagnet(AbstractPhase):
    """No frozen spins, at temperatures above 1 (below 1 + √α unstable against the spin glass)."""

    num_condensed: int = eqx.field(default=0, init=False, static=True)

    def find(self, load: Scalar, temperature: Scalar) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
        """Zeros."""
        return jnp.zeros_like(load, shape=2), temperature > 1


def sites(num_condensed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums s = Σ ξ over the condensed patterns, not negative, and the fractions of sites where |Σ ξ| is s."""
    n = num_condensed
    flips = np.arange(n // 2 + 1)
    signals = n - 2.0 * flips
    fractions = np.array([math.comb(n, k) for k in flips]) / 2.0**n * np.where(signals > 0, 2, 1)
    return signals, fractions


def glass_deviation(load: Scalar, temperature: Scalar) -> Scalar:
    """√(αr) of the spin glass; gradients are blocked."""

    def reach(deviation):
        average = site_averages(0, jnp.zeros_like(deviation), deviation, temperature)
        return jnp.sqrt(load * average.square) + deviation * average.susceptibility

    load, temperature = jax.lax.stop_gradient((load, temperature))
    coldest, highest = jnp.sqrt(load) + np.sqrt(2 / np.pi).item(), 1 + jnp.sqrt(load)
    return positive_root(reach, coldest, temperature / highest)


class SiteAverages(eqx.Module):
    """Averages over all sites, with fields s m + δ z, of a spin's thermal mean φ."""

    output: Scalar
    """⟨s φ⟩/n, the next overlap"""
    square: Scalar
    """⟨φ²⟩"""
    susceptibility: Scalar
    """C = β⟨1 − φ²⟩"""
    entropy: Scalar
    """entropy of a spin in its field"""
    curvature: Scalar
    """T⟨(∂φ/∂h)²⟩"""
    transverse: Scalar
    """β⟨ξ¹(ξ¹ − ξ²)(1 − φ²)⟩, the linear response of a difference between two overlaps"""


def site_averages(num_condensed: int, overlap: Scalar, deviation: Scalar, temperature: Scalar) -> SiteAverages:
    n, (signals, fractions) = num_condensed, sites(num_condensed)
    alike = (signals**2 - n) / (n * (n - 1)) if n > 1 else 0 * signals  # ⟨ξ¹ξ²⟩ at sites of this sum
    rows = [fractions * signals / max(n, 1), *[fractions] * 4, fractions * (1 - alike)]
    fields = jnp.asarray(signals, overlap.dtype) * overlap
    each = jax.vmap(spin_averages, in_axes=(0, None, None))(fields, deviation, temperature)
    numbers = each.output, each.square, each.susceptibility, each.entropy, each.curvature, each.susceptibility
    return SiteAverages(*(inner(jnp.asarray(row, x.dtype), x) for row, x in zip(rows, numbers, strict=True)))


def imbalance(num_condensed: int, x: Float[Array, "2"], load: Scalar, temperature: Scalar) -> Float[Array, "2"]:
    return unbalanced(x, site_averages(num_condensed, x[0], x[1], temperature), load)


def unbalanced(x: Float[Array, "2"], average: SiteAverages, load: Scalar) -> Float[Array, "2"]:
    """m' − m, and √(αq) + δC − δ, which is δ = √(αr) with r = q/(1 − C)² without denominators."""
    deviation = jnp.sqrt(load * average.square) + x[1] * average.susceptibility
    return jnp.stack([average.output - x[0], deviation - x[1]])


def root_load(deviation: Scalar, average: SiteAverages) -> Scalar:
    """√α from the second equation."""
    return deviation * (1 - average.susceptibility) / jnp.sqrt(average.square)


class Ridge(eqx.Module):
    """Solutions with n condensed patterns at one temperature, by their ratio y = m/δ, down to the fold."""

    num_condensed: int = eqx.field(static=True)
    temperature: Scalar
    ratio: Float[Array, " ratios"]
    overlap: Float[Array, " ratios"]
    root_load: Float[Array, " ratios"]
    fold: Float[Array, "2"]
    """overlap and deviation at the largest load"""
    top: Scalar
    """√α at the fold"""
    exists: Bool[Array, ""]

    def down_to_fold(self) -> Float[Array, "ratios 2"]:
        """Overlaps and deviations along the curve; points beyond the fold are replaced by the fold."""
        points = jnp.stack([self.overlap, self.overlap / self.ratio], axis=1)
        return jnp.where((self.ratio > self.fold[0] / self.fold[1])[:, None], points, self.fold)

    def load_at(self, x: Float[Array, "2"]) -> Scalar:
        """α of a solution."""
        return jnp.square(root_load(x[1], site_averages(self.num_condensed, x[0], x[1], self.temperature)))


def branch(num_condensed: int, temperature: Scalar) -> Ridge:
    """All solutions at one temperature.

    At given y the overlap is the positive root of m = M(m, m/y), and then α is explicit. The largest load is a fold,
    where the determinant of ∂(M − m, √α)/∂(m, δ) vanishes.
    """
    n, cold = num_condensed, jnp.minimum(temperature, 1)
    frozen = jax.lax.stop_gradient(cold)
    ratios = jnp.asarray(_RATIOS, frozen.dtype)
    signals, fractions = (jnp.asarray(x, frozen.dtype) for x in sites(n))

    def solve(y):
        coldest = inner(fractions * signals / n, erf(signals * y * np.sqrt(0.5).item())) / y
        reach = lambda deviation: site_averages(n, y * deviation, deviation, frozen).output / y  # noqa: E731
        deviation = positive_root(reach, coldest, frozen)
        overlap = y * deviation
        return overlap, root_load(deviation, site_averages(n, overlap, deviation, frozen))

    overlaps, loads = jax.vmap(solve)(ratios)
    falls = (loads[1:] < loads[:-1]) & (loads[:-1] > 0)
    best = jnp.argmax(falls)

    def both(x):
        average = site_averages(n, x[0], x[1], cold)
        return jnp.stack([average.output - x[0], root_load(x[1], average)])

    def conditions(x):
        jacobian, value = jax.jacfwd(lambda x: (both(x),) * 2, has_aux=True)(x)
        return jnp.stack([value[0], jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0]])

    guess = jax.lax.stop_gradient(jnp.stack([overlaps[best], overlaps[best] / ratios[best]]))
    fold = newton(conditions, guess)
    near = jnp.abs(fold[0] / fold[1] / ratios[best] - 1) < 0.2
    top = both(fold)[1]
    exists = falls[best] & near & (top > 0) & (temperature < 1)
    return Ridge(n, temperature, ratios, overlaps, loads, fold, top, exists)


def find_on(ridge: Ridge, load: Scalar) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
    """The solution at a load, between the fold and load zero."""
    largest, eps = jnp.square(ridge.top), jnp.finfo(load.dtype).eps
    x = _polished(ridge.num_condensed, _guess(ridge, jnp.sqrt(load)), load, ridge.temperature, 5)
    # At the fold, within rounding, Newton's method is singular.
    x = jnp.where(load >= largest * (1 - 32 * eps), ridge.fold, x)
    beyond = x[0] / x[1] < ridge.fold[0] / ridge.fold[1] * (1 - eps**0.4)
    return x, ridge.exists & (load <= largest) & ~beyond


def _guess(ridge: Ridge, a: Scalar) -> Float[Array, "2"]:
    """Interpolates in √(a_c² − a²)/a, a = √α, in which the ratio is close to linear: it goes as 1/a at small loads and
    as √(a_c − a) at the fold."""
    fold_ratio = ridge.fold[0] / ridge.fold[1]
    distance = lambda a: jnp.sqrt(jnp.maximum(jnp.square(ridge.top) - jnp.square(a), 0)) / a  # noqa: E731
    # Points beyond the fold are replaced by it; points without a load (even mixtures at small noise) are far away.
    beyond, none = ridge.ratio <= fold_ratio, ridge.root_load <= 0
    place = jnp.where(none, jnp.finfo(a.dtype).max ** 0.5, distance(jnp.where(none, 1, ridge.root_load)))
    place = jnp.where(beyond, 0, place)[::-1]
    fill = lambda values, at_fold: jnp.where(beyond, at_fold, values)[::-1]  # noqa: E731
    here = distance(a)
    ratio = jnp.interp(here, place, fill(ridge.ratio, fold_ratio)) * jnp.maximum(here / place[-1], 1)
    overlap = jnp.interp(here, place, fill(ridge.overlap, ridge.fold[0]))
    return jnp.stack([overlap, overlap / ratio])


def positive_root(reach, coldest: Scalar, temperature: Scalar) -> Scalar:
    """The δ > 0 with δ = reach(δ), a concave function that rises with slope 1/temperature and ends at `coldest`.

    v/reach² is close to linear in v = δ², from temperature² to v/coldest²: Newton's method on it needs a few steps.
    """
    square = jnp.square(coldest)

    def improve(_, v):
        def excess(v):
            return v / jnp.square(reach(jnp.sqrt(v))) - 1

        value, slope = jax.jvp(excess, (v,), (jnp.ones_like(v),))
        new = v - value / slope
        return jnp.where(new > 0, new, 0.5 * v)

    tiny = jnp.finfo(square.dtype).eps
    v = jax.lax.fori_loop(0, 6, improve, square * jnp.maximum(1 - jnp.square(temperature), tiny))
    return jax.lax.stop_gradient(jnp.sqrt(v))


def _polished(num_condensed: int, guess: Float[Array, "2"], load: Scalar, temperature: Scalar, num_steps: int):
    return newton(lambda x: imbalance(num_condensed, x, load, temperature), jax.lax.stop_gradient(guess), num_steps)
