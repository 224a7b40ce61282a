"""Newton's method for numbers measured on runs of a network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._results import RESULTS, is_okay, outcome
from .._types import Array, Bool, Float, Scalar

_FARTHEST = 0.7  # largest Newton step, in the logarithm of a weight
_ASCENT = 0.1  # step in the same logarithm while sequences collapse
_SMALLEST = 1e-6


class Measured(NamedTuple):
    """Dwell times of a network, their distance from a settled state, and the result code."""

    values: Float[Array, " numbers"]
    unsettled: Scalar
    result: RESULTS


class _Found(NamedTuple):
    """The best point so far."""

    x: Float[Array, " numbers"]
    jacobian: Float[Array, "numbers numbers"]
    measured: Measured
    error: Scalar


def search(
    measure: Callable, network: Any, x: Array, wanted: Array, tolerance: Array, most: int, valid: Bool[Array, ""]
) -> tuple:
    """Damped Newton's method for measure(network, x).values = wanted; the root is differentiable with respect to the
    network and the required values. Returns the root, its measurement, and the number of evaluations."""

    at = jax.lax.stop_gradient
    still, target = jax.tree_util.tree_map(lambda a: at(a) if eqx.is_array(a) else a, (network, wanted))
    with_jacobian = jax.jacfwd(lambda x: (lambda m: (m.values, m))(measure(still, x)), has_aux=True)

    def go_on(state):
        best, _, step, count = state
        return (count < most) & ~(best.error <= 0.3 * tolerance) & (jnp.max(jnp.abs(step)) > _SMALLEST)

    def move(state):
        best, x, step, count = state
        jacobian, measured = with_jacobian(x)
        error = jnp.max(jnp.abs(measured.values / target - 1))
        better = (error < best.error) & jnp.all(jnp.isfinite(jacobian))
        lost = jnp.isinf(best.error) & ~better  # only collapses so far: increase the gain
        here = _Found(x, jacobian, measured, jnp.where(better, error, jnp.inf))
        best = jax.tree_util.tree_map(lambda a, b: jnp.where(better | lost, a, b), here, best)
        newton = jnp.linalg.solve(jnp.where(better, jacobian, jnp.eye(x.size, dtype=x.dtype)), target - measured.values)
        newton *= jnp.minimum(1, _FARTHEST / jnp.max(jnp.abs(newton)))
        step = jnp.where(better, newton, jnp.where(lost, _ASCENT, 0.25 * step))
        step = jnp.where(jnp.all(jnp.isfinite(step)), step, 0)
        return best, best.x + step, step, count + 1

    x = at(x)
    shapes = jax.eval_shape(with_jacobian, x)[1]
    nothing = jax.tree_util.tree_map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    none = _Found(x, jnp.eye(x.size, dtype=x.dtype), nothing, jnp.array(jnp.inf, x.dtype))
    best, _, _, count = jax.lax.while_loop(go_on, move, (none, x, jnp.ones_like(x), jnp.array(0)))
    best = jax.tree_util.tree_map(lambda a, b: a if eqx.is_array(a) else b, at(best), best)

    root = jax.lax.custom_root(
        lambda x: measure(network, x).values - wanted,
        best.x,
        lambda _, found: found,
        lambda _, residual: jnp.linalg.solve(best.jacobian, residual),
    )
    reached = (best.error <= tolerance) & (best.measured.unsettled <= tolerance)
    result = outcome((~reached, RESULTS.no_period))
    result = RESULTS.where(is_okay(best.measured.result), result, best.measured.result)
    result = RESULTS.where(valid, result, RESULTS.invalid_parameter)
    return root, best, count, result
