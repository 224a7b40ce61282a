"""The smallest gain of endless sequences, for the saliency map and its extensions."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import at_least, sieved
from .._misc import as_inexact
from .._roots import bracket, implicit
from .._types import Array, Scalar, ScalarLike
from ._delay import SwitchDelay


def critical_gain(num_patterns: int | None = None, delay: ScalarLike | Callable[[Scalar], ScalarLike] = 0.0) -> Scalar:
    """Smallest gain of endless sequences.

    If a memory becomes active with saliency Z, and the switch is delayed by d after its saliency has reached 1, it is
    active for τ = log Z + d. In a cycle of P memories the periodic state, with the remainder of the last visit after
    P − 1 dwells, is Z = κ(1 − e^{−τ}) + e^{−d} e^{−(P−1)τ}, and with τ = log Z + d(Z) that is

        κ(Z) = Z (1 + e^{−τ} + … + e^{−(P−1)τ}),    without a cycle (P → ∞) Z/(1 − e^{−τ}).

    The critical gain is its minimum over Z ≥ 1 and τ ≥ 0 (of several the one at the largest Z, the fold where the
    states of large gains end): 4 without a cycle and a delay, and 4 e^{−d} with a constant delay. For delays above
    about log 2 (exactly for P → ∞) there is no fold above Z = 1, and the minimum lies at Z = 1. For P = 2 and 3 and
    d = 0 it lies at a dwell time of 0 and is an infimum, 2 and 3: the period tends to zero as κ approaches it.

    **Arguments:**

    - `num_patterns`: P, at least 2; `None` for a long chain or cycle.
    - `delay`: d in units of the slow time constant, negative if switches are early: a number, or a function of the
      successor's saliency Z ≥ 1 at the switch. May be traced, or close over traced numbers. The search goes up to
      Z = 1e6.

    **Returns:** κ_c, twice differentiable with respect to the delay and to variables that it closes over; NaN if there
    is none, if a traced delay is not finite, or if the minimum lies outside the measured range of a `SwitchDelay`.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import math
    from hopfield_jax import sequential

    assert abs(sequential.critical_gain(delay=-0.1) - 4 * math.exp(0.1)) < 1e-5
    assert abs(sequential.critical_gain(4) - 3.61072) < 1e-5
    ```
    """
    if num_patterns is not None:
        at_least("num_patterns", num_patterns, 2)
    if not callable(delay):
        delay = sieved("delay", delay, "finite", shape=())
    return _critical_gain(num_patterns, delay)


@eqx.filter_jit
def _critical_gain(num_patterns: int | None, delay: Array | Callable) -> Scalar:
    def dwell(z: Scalar) -> Scalar:
        return jnp.log(z) + (as_inexact(delay(z)).astype(z.dtype) if callable(delay) else delay)

    def gain(z: Scalar) -> Scalar:
        if num_patterns is None:
            return z / -jnp.expm1(-dwell(z))
        return z * jnp.sum(jnp.exp(-dwell(z) * jnp.arange(num_patterns, dtype=z.dtype)))

    def allowed_gain(z: Scalar) -> Scalar:
        return jnp.where((dwell(z) >= 0) & jnp.isfinite(gain(z)), gain(z), jnp.inf)

    dtype = as_inexact(1.0 if callable(delay) else delay).dtype
    grid = jnp.asarray(1 + np.concatenate([[0], np.geomspace(1e-4, 1e6, 201)]), dtype)
    values = jax.vmap(allowed_gain)(grid)
    falls = values <= jnp.concatenate([jnp.full((1,), jnp.inf, dtype), values[:-1]])
    best = grid.size - 1 - jnp.argmax(falls[::-1])  # the last one: the end of the branch of large Z

    def rises(z: Scalar) -> Array:
        return (dwell(z) < 0) | (jax.grad(gain)(z) < 0)

    low, high = grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, grid.size - 1)]
    fold = bracket(lambda z: ~rises(z), low, high, jnp.finfo(dtype).nmant + 6).high
    z = jax.lax.stop_gradient(jnp.where(allowed_gain(fold) < allowed_gain(grid[best]), fold, grid[best]))
    # The derivative of Z with respect to the delay: from τ = 0 on that edge, from the vanishing slope of the gain at a
    # smooth minimum, zero at the bound Z = 1 or at a kink.
    inner = jnp.where(z > 1, z, 2)
    tau, tau_slope = jax.value_and_grad(dwell)(inner)
    slope, curvature = jax.value_and_grad(jax.grad(gain))(inner)
    edge = tau < 8 * jnp.finfo(dtype).eps
    smooth = jnp.abs(slope) <= jnp.finfo(dtype).eps ** 0.5 * z * curvature
    free = (z > 1) & (edge | smooth) & (jnp.where(edge, tau_slope, curvature) != 0)
    ahead = implicit(lambda z: jnp.where(edge, dwell(z), jax.grad(gain)(z)), inner)
    value = gain(jnp.where(free, ahead, z))
    unknown = (z < delay.lower) | (z > delay.upper) if isinstance(delay, SwitchDelay) else False
    return jnp.where((best < grid.size - 1) & ~jnp.asarray(unknown) & jnp.isfinite(value), value, jnp.nan)
