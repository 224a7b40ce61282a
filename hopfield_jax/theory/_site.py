"""One site of a network in a Gaussian field with feedback from its own output: states, branches, averages."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .._checks import Checked, domain, fail, kind
from .._misc import default_float, in_type, matmul
from .._types import Array, Parameter, Scalar
from .._units import AbstractElementwise, elementwise_fit

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_REACH = np.linspace(-9, 9, 13)  # standard deviations
_SCALES = np.concatenate([-(0.25 ** np.arange(13)), [0], 0.25 ** np.arange(13)])


class FieldAverages(eqx.Module):
    """Averages over z of one unit's output φ in the field h = mean + deviation z, with u = h + feedback φ(u)."""

    output: Scalar
    """⟨φ⟩"""
    square: Scalar
    """⟨φ²⟩"""
    slope: Scalar
    """⟨φ z⟩, which is the deviation times ⟨∂φ/∂h⟩, jumps included (Stein's lemma)"""
    mass: Scalar
    """⟨1⟩; less than one if the unit has no state at some fields, more if the branch rule leaves several"""


@eqx.filter_jit  # traced once, however often it is called
def field_averages(
    units: AbstractElementwise, mean: Scalar, deviation: Scalar, feedback: Scalar, cut: tuple[Scalar, Scalar]
) -> FieldAverages:
    """Averages over a Gaussian field, with `u` as the variable of integration: h = u − feedback φ(u) is explicit. (Of
    sites with inner variables φ stands for what they send at rest, and the field that holds them there is not u.)

    The unit's states are u < cut[0] and u > cut[1], two points of the same field between which its output jumps.
    Between jumps and kinks the integrand is smooth in u, even at the end of a branch, where φ(h) has a square-root
    singularity. Gauss–Legendre quadrature on panels as wide as the field's spread, which shrink geometrically towards u
    = 0: this resolves any slope, and the jump of sign units lies between two panels.
    """
    dtype = mean.dtype
    field = mean + deviation * jnp.asarray(_REACH, dtype)
    pull = jnp.maximum(feedback, 0)  # from here to `scales`: positions of panels only
    field = jnp.concatenate([field, field])
    end = jnp.max(jnp.abs(field)) + pull
    spread = field + pull * jnp.repeat(units.activation(jnp.stack([-end, end])), _REACH.size)
    for _ in range(3):
        spread = field + pull * units.activation(spread)
    lift = None if units.memoryless else getattr(units, "lift")  # noqa: B009
    if lift is not None:  # the state is the field less this
        reach = jnp.max(jnp.abs(lift(jnp.stack([-end, end]))))
        spread = jnp.concatenate([spread - reach, spread + reach])
    spread = jax.lax.stop_gradient(spread)
    low, high = jnp.min(spread), jnp.max(spread)
    scales = jnp.maximum(-low, high) * jnp.asarray(_SCALES, dtype)
    edges = jnp.concatenate([spread, scales, jnp.asarray(units.kinks, dtype), jnp.stack(cut)])
    edges = jnp.clip(edges, low, high)
    edges = edges[jnp.argsort(jax.lax.stop_gradient(edges))]
    left, width = edges[:-1], jnp.diff(edges)
    u = left[:, None] + width[:, None] * jnp.asarray(0.5 + 0.5 * _NODES, dtype)[None, :]
    middle = left + 0.5 * width
    width = jnp.where((middle > cut[0]) & (middle < cut[1]), 0, width)
    du = (width[:, None] * jnp.asarray(0.5 * _WEIGHTS, dtype)[None, :]).reshape(-1)
    u = u.reshape(-1)
    output, slope = output_and_slope(units, u)
    field, rise = u - feedback * output, 1 - feedback * slope
    if lift is not None:
        more, steeper = jax.jvp(lift, (u,), (jnp.ones_like(u),))
        field, rise = field + more, rise + steeper
    z = (field - mean) / deviation
    weight = jnp.exp(-0.5 * jnp.square(z)) * rise * du / (deviation * np.sqrt(2 * np.pi).item())
    sums = matmul(jnp.stack([output, jnp.square(output), output * z]), weight)
    return FieldAverages(sums[0], sums[1], sums[2], jnp.sum(jnp.abs(weight)))


@eqx.filter_jit  # traced once, however often it is called
def output_and_slope(units: AbstractElementwise, u: Array) -> tuple[Array, Array]:
    """φ(u) and φ'(u), elementwise; the slope of a jump is zero."""
    flat = jnp.reshape(u, (-1,))
    output, slope = jax.jvp(units.activation, (flat,), (jnp.ones_like(flat),))
    return output.reshape(u.shape), slope.reshape(u.shape)


class Folds(eqx.Module):
    """Lengths of the curve h(u) = u − Γφ(u), which falls between ∓`fold` and rises elsewhere; zero where it only rises.

    Holds for odd units whose slope falls away from zero.
    """

    balance: Scalar
    """the largest u with h(u) = 0"""
    fold: Scalar
    """where the upper branch ends, h'(u) = 0 or a kink at which its sign changes; zero for units that jump at zero"""
    depth: Scalar
    """fields from −depth to depth have several states"""
    landing: Scalar
    """the largest u with h(u) = depth, opposite the end of the lower branch"""


@eqx.filter_jit  # traced once, however often it is called
def find_folds(units: AbstractElementwise, feedback: Scalar) -> Folds:
    """Differentiable in the feedback and in the units' parameters."""

    def field(u):
        output, slope = output_and_slope(units, u)
        return u - feedback * output, 1 - feedback * slope

    def slope(u):
        return field(u)[1]

    scale = jnp.where(feedback > 0, jax.lax.stop_gradient(feedback), 1)
    several = (feedback > 0) & (field(1e-8 * scale)[0] < 0)
    far = 1e4 * scale
    balance = _newton(field, _narrow(lambda u: field(u)[0] < 0, 1e-8 * scale, far)[1])
    corners = jnp.asarray(units.kinks, scale.dtype)
    least = 1e-6 * jax.lax.stop_gradient(jnp.min(jnp.abs(jnp.append(corners, balance))))
    low, high = _narrow(lambda u: slope(u) < 0, least, jax.lax.stop_gradient(balance))
    middle = 0.5 * (low + high)
    fold = _newton(lambda u: jax.jvp(slope, (u,), (jnp.ones_like(u),)), middle)
    fold = jnp.where(slope(least) < 0, fold, 0)
    if corners.size:
        corner = corners[jnp.argmin(jnp.abs(corners - middle))]
        fold = jnp.where(jnp.abs(corner - middle) <= high - low, corner, fold)
    depth = -field(jnp.maximum(fold, 1e-12 * scale))[0]
    above = lambda u: (field(u)[0] - depth, slope(u))  # noqa: E731
    landing = _newton(above, _narrow(lambda u: above(u)[0] < 0, balance, far)[1])
    return jtu.tree_map(lambda x: jnp.where(several, x, 0), Folds(balance, fold, depth, landing))


def _narrow(holds: Callable[[Array], Array], low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    """The bracket in which `holds`, true at `low`, first fails, to a relative precision of 10⁻⁵ or better."""

    def zoom(_, ends):
        low, high = ends
        points = low * (high / low) ** jnp.linspace(0, 1, 65, dtype=low.dtype)
        last = jnp.clip(jnp.sum(jnp.cumprod(holds(points).astype(int))) - 1, 0, 63)
        return points[last], points[last + 1]

    return jax.lax.stop_gradient(jax.lax.fori_loop(0, 4, zoom, jax.lax.stop_gradient((low, high))))


def _newton(function: Callable[[Scalar], tuple[Scalar, Scalar]], u: Scalar) -> Scalar:
    """Two Newton steps from a close guess: the value to rounding, and its first three derivatives."""
    for _ in range(2):
        value, slope = function(u)
        flat = slope == 0
        u = u - jnp.where(flat, 0, value / jnp.where(flat, 1, slope))
    return u


class AbstractBranch(Checked):
    """Selects a site's state where u = h + Γφ(u) has several solutions."""

    @abc.abstractmethod
    def pieces(self, folds: Folds) -> list[tuple[Scalar, Scalar, Scalar]]:
        """Groups of sites: the fraction of each, and the interval of u that it jumps over."""


class Maxwell(AbstractBranch):
    """The odd branch: a site's state has the sign of its field (by symmetry, the rule of equal areas)."""

    def pieces(self, folds: Folds) -> list[tuple[Scalar, Scalar, Scalar]]:
        """One group of sites, jumping from −balance to balance."""
        return [(jnp.ones_like(folds.balance), -folds.balance, folds.balance)]


class Upper(AbstractBranch):
    """The largest state, along the pattern, as if all sites had been imprinted with it."""

    def pieces(self, folds: Folds) -> list[tuple[Scalar, Scalar, Scalar]]:
        """One group of sites, jumping from −landing to fold."""
        return [(jnp.ones_like(folds.fold), -folds.landing, folds.fold)]


class Cue(AbstractBranch):
    r"""Along the spin s = ±1 of a cue: the largest state where s = 1, a fraction (1 + m₀)/2 of the sites, the smallest
    one elsewhere.

    **Arguments:**

    - `overlap`: of the cue with the pattern, m₀, within [-1, 1].

    **Raises:** `ValueError` for another `overlap`.
    """

    overlap: Parameter[Scalar] = eqx.field(metadata=domain("cosine"))

    def pieces(self, folds: Folds) -> list[tuple[Scalar, Scalar, Scalar]]:
        """Two groups of sites."""
        m0 = self.overlap.astype(folds.fold.dtype)
        return [(0.5 * (1 + m0), -folds.landing, folds.fold), (0.5 * (1 - m0), -folds.fold, folds.landing)]


def as_units(units: Any) -> AbstractElementwise:
    """Odd units that act each on their own, their parameters in the default float type."""
    elementwise_fit("units", units)
    if not units.odd:
        fail("units", "units with an odd activation, φ(-x) = -φ(x), which declare `odd = True`", kind(units))
    return in_type(units, default_float())
