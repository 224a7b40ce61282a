"""Coordinates with unit scales and smooth bounds."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._checks import as_real, describe, fail
from .._types import Array, ScalarLike

Bounds = Mapping[str, tuple[ScalarLike | None, ScalarLike | None]]


class Scales(eqx.Module):
    """Unbounded coordinates u of the parameters, in units of their scales s, with bounds at finite u: p = p0 + s (u −
    1), l + s(√(1 + u²) − 1), h − s(√(1 + u²) − 1), or (l + h)/2 + (h − l)/2 sin u."""

    start: Array
    lower: Array
    upper: Array

    @property
    def unit(self) -> Array:
        """The scale of each parameter."""
        below, above = self.start - self.lower, self.upper - self.start
        free = jnp.where(self.start == 0, 1, jnp.abs(self.start))
        return jnp.where(jnp.isfinite(below), below, jnp.where(jnp.isfinite(above), above, free))

    def outside(self, u: Array) -> Array:
        unit, low, high = self.unit, jnp.isfinite(self.lower), jnp.isfinite(self.upper)
        # Double `where`, so that unselected branches give no NaN in the gradient.
        lower, upper = jnp.where(low, self.lower, 0), jnp.where(high, self.upper, 0)
        grown = unit * (jnp.sqrt(1 + u * u) - 1)
        both = 0.5 * (lower + upper) + 0.5 * (upper - lower) * jnp.sin(u)
        one = jnp.where(low, lower + grown, jnp.where(high, upper - grown, self.start + unit * (u - 1)))
        return jnp.where(low & high, both, one)

    def inside(self) -> Array:
        """u at the start."""
        low, high = jnp.isfinite(self.lower), jnp.isfinite(self.upper)
        width = jnp.where(low & high, self.upper - self.lower, 1)
        both = jnp.arcsin(jnp.clip(2 * (self.start - jnp.where(low, self.lower, 0)) / width - 1, -1, 1))
        return jnp.where(low & high, both, jnp.where(low | high, jnp.sqrt(3.0).astype(both.dtype), 1))

    def at_bound(self, p: Array, gradient: Array) -> Array:
        """Whether a parameter is within a thousandth of its scale of a bound towards which the objective falls."""
        near = 1e-3 * jnp.where(jnp.isfinite(self.upper - self.lower), self.upper - self.lower, self.unit)
        return ((p - self.lower < near) & (gradient > 0)) | ((self.upper - p < near) & (gradient < 0))


def scales_of(start: dict[str, Array], bounds: Bounds) -> tuple[Scales, Callable[[Array], dict[str, Array]]]:
    for name in bounds:
        if name not in start:
            fail("bounds", f"names out of {', '.join(start)}", repr(name))
    limits = []
    for name, x in start.items():
        pair = bounds.get(name, (None, None))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            fail("bounds", "a pair (lower, upper) for every name", repr(pair))
        lower = as_real("bounds", -jnp.inf if pair[0] is None else pair[0])
        upper = as_real("bounds", jnp.inf if pair[1] is None else pair[1])
        if not bool(jnp.all(lower < upper)):
            fail("bounds", f"a lower bound of {name} below the upper one", f"{describe(lower)} and {describe(upper)}")
        if not bool(jnp.all((lower < x) & (x < upper))):
            fail(name, f"first values strictly between {describe(lower)} and {describe(upper)}", describe(x))
        limits.append([jnp.broadcast_to(b, x.shape) for b in (lower, upper)])
    flat, unravel = ravel_pytree(start)
    lower, upper = (
        ravel_pytree({name: pair[i] for name, pair in zip(start, limits, strict=True)})[0] for i in range(2)
    )
    return Scales(flat, lower.astype(flat.dtype), upper.astype(flat.dtype)), unravel
