"""Okada's hierarchy of approximate retrieval dynamics, whose first member is Amari and Maginu's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf

from .._checks import Rules, at_least
from .._misc import default_float, matmul
from .._results import raise_unless_okay
from .._types import Array, Bool, Scalar, ScalarLike
from ._overlap_dynamics import OverlapDynamics

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def okada_hierarchy(
    load: ScalarLike, cue_overlap: ScalarLike, *, num_steps: int, order: int = 4, throw: bool = True
) -> OverlapDynamics:
    r"""Approximate overlap at every step of a Hopfield network of sign units, updated all at once from a ±1 cue.

        m_{t+1} = erf(m_t/√(2v_t)),    h_{t+1} = √(2/(πv_t)) e^{−m_t²/(2v_t)},    v_t = α (R C Rᵀ)_tt,
        R_ts = h_{s+1} h_{s+2} ⋯ h_t  for s ≤ t,

    with v_t the variance of the crosstalk, and C the correlation of the outputs at two times: 1 on the diagonal, for
    times less than `order` apart that of the signs of two Gaussian fields, whose covariance is α(R C Rᵀ); m_t m_s for
    times `order` apart; none for times further apart. The first order is Amari and Maginu's theory,
    v_{t+1} = α + h²v_t + 2αh m_{t+1} m_t.

    Exact for the first step only, at any order, because the feedback of a site's own output is neglected. The exact
    theory (`hopfield_jax.dmft.solve`, within 1e-4) and the deviations of the orders from it:

    | from               | step | exact | order 1 | order 2 | order 3 | order 4 |
    |--------------------|------|-------|---------|---------|---------|---------|
    | α = 0.10, m₀ = 0.5 | 2    | .9505 | −.0072  | −.0072  | −.0072  | −.0072  |
    |                    | 3    | .9786 | +.0017  | −.0075  | −.0075  | −.0075  |
    |                    | 5    | .9962 | +.0011  | −.0004  | −.0009  | −.0009  |
    | α = 0.12, m₀ = 0.4 | 2    | .8040 | −.0225  | −.0225  | −.0225  | −.0225  |
    |                    | 3    | .8171 | −.0012  | −.0533  | −.0533  | −.0533  |
    |                    | 5    | .8112 | +.0825  | −.0934  | −.1451  | −.1561  |
    |                    | 19   | .618  | +.375   | −.491   | −.576   | −.591   |

    So higher orders improve the critical load, not the transient. Their stationary states exist up to loads of
    0.1596082, 0.1408906, 0.1387401 and 0.1382967 (orders 1 to 4), and 0.1381257 in the limit, where outputs still
    differ from one step to the next; the stationary theory (`critical_load`) ends at 0.1379056.

    **Arguments:**

    - `load`: patterns per neuron, α, positive.
    - `cue_overlap`: m₀, within [-1, 1].
    - `num_steps`: number of steps.
    - `order`: of the hierarchy, at least 1.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** an `OverlapDynamics`.

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` on failure if `throw`.

    **Example:**

    ```python
    import hopfield_jax as hj

    dynamics = hj.theory.okada_hierarchy(0.1, 0.5, num_steps=3, order=1)
    assert abs(dynamics.overlap[3] - 0.9803123) < 1e-6
    ```

    Amari and Maginu, Neural Networks 1, 63 (1988); Okada, Neural Networks 8, 833 (1995).
    """
    rules = Rules(dtype=default_float())
    load, cue = rules.real("load", load, "positive"), rules.real("cue_overlap", cue_overlap, "cosine")
    at_least("num_steps", num_steps, 1)
    at_least("order", order, 1)
    out = _hierarchy(load, cue, num_steps, order, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _hierarchy(load: Scalar, cue: Scalar, num_steps: int, order: int, valid: Bool[Array, ""]) -> OverlapDynamics:
    # Windows hold the present value and those of the last `order` steps, zero before the cue. Crosstalk in units of √α
    # is the sum over s of R_ts u_s, with u of covariance C.
    def step(carry, _):
        overlaps, responses, deviations, covariances = carry
        signal = overlaps / jnp.where(deviations > 0, deviations, 1) / jnp.sqrt(load)
        correlations = covariances / jnp.where(deviations > 0, deviations * deviations[0], 1)
        overlap = erf(signal[0] / np.sqrt(2).item())
        response = _density(signal[0]) / jnp.sqrt(load) / deviations[0]
        # `signal` and `correlations` at lag k give the outputs one step later, which are correlated with the present
        # one.
        joint = jax.vmap(_excess, in_axes=(None, 0, 0))(signal[0], signal[1:order], correlations[1:order])
        overlaps, responses = _push(overlaps, overlap), _push(responses, response)
        correlations = overlap * overlaps[1:]
        correlations = correlations.at[: order - 1].add(joint)
        projections = [correlations[-1]]  # of the new output on older crosstalk, oldest first
        for k in range(order - 1, 0, -1):
            projections.insert(0, correlations[k - 1] + responses[k] * projections[0])
        covariances = jnp.stack(projections) + response * covariances[:-1]
        variance = 1 + response * (projections[0] + covariances[0])
        covariances = jnp.concatenate([variance[None], covariances])
        carry = overlaps, responses, _push(deviations, jnp.sqrt(variance)), covariances
        return carry, (overlap, variance)

    first = jnp.zeros_like(cue, shape=order + 1)
    carry = first.at[0].set(cue), first, first.at[0].set(1), first.at[0].set(1)
    _, (overlaps, variances) = jax.lax.scan(step, carry, length=num_steps)
    overlaps = jnp.concatenate([cue[None], overlaps])
    variances = load * jnp.concatenate([jnp.ones_like(load)[None], variances])
    return OverlapDynamics.of(overlaps, variances, valid)


def _push(window: Array, value: Scalar) -> Array:
    return jnp.concatenate([value[None], window[:-1]])


def _density(x: Scalar) -> Scalar:
    """2 times the density of a standard normal."""
    return np.sqrt(2 / np.pi).item() * jnp.exp(-0.5 * jnp.square(x))


def _excess(a: Scalar, b: Scalar, correlation: Scalar) -> Scalar:
    """⟨sign(a + z) sign(b + z')⟩ − ⟨sign(a + z)⟩⟨sign(b + z')⟩ of correlated standard normals (Plackett's identity:
    the derivative with respect to the correlation is 4 times their density at (a, b))."""
    limit = 1 - jnp.finfo(a.dtype).eps
    angle = jnp.arcsin(jnp.clip(correlation, -limit, limit))
    angles = angle * jnp.asarray(0.5 + 0.5 * _NODES, a.dtype)
    # The exponent (a² − 2ab sin + b²)/(2 cos²) in a form without cancellation.
    sine = jnp.sin(angles)
    exponent = 0.25 * (jnp.square(a + b) / (1 + sine) + jnp.square(a - b) / (1 - sine))
    return 2 / np.pi * angle * matmul(jnp.exp(-exponent), jnp.asarray(0.5 * _WEIGHTS, a.dtype))
