"""Transitions learned from a presented sequence."""

import jax
import jax.numpy as jnp

from .._checks import Rules, fail
from .._misc import matmul, nan_unless
from .._types import Array, Float, Patterns, ScalarLike


def learn_transitions(
    patterns: Patterns,
    shown: Float[Array, "times neurons"],
    *,
    dt: ScalarLike,
    tau_trace: ScalarLike,
) -> Float[Array, "patterns patterns"]:
    r"""Transition weights by online asymmetric Hebbian learning from a presented sequence.

    With the overlaps $m = \Xi\phi/N$ of the presented outputs and their trace $\tau\dot r = -r + m$,

    $$\dot Q_{\nu\mu} \propto m_\nu r_\mu - r_\nu m_\mu:$$

    a connection from the previous memory to the present one grows, and the opposite one shrinks. Negative weights are
    set to zero, and the weights from each memory are scaled to a largest one of 1 (if any is positive), the
    normalisation that a network's gain assumes. After a dwell time D the trace still contains $e^{-D/\tau}$ of the
    previous memory, which is about the weight of transitions that skip one memory: choose τ well below D.

    **Arguments:**

    - `patterns`: ξ, shape (patterns, neurons).
    - `shown`: neurons' outputs at times `dt` apart, shape (times, neurons).
    - `dt`: positive. `tau_trace`: τ, positive.

    **Returns:** Q, shape (patterns, patterns), row = target, column = source; differentiable.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    patterns = hj.hadamard_patterns(4, 16)
    shown = jnp.repeat(patterns[jnp.array([0, 2, 1, 3])], 20, axis=0)
    learned = hj.sequential.learn_transitions(patterns, shown, dt=0.05, tau_trace=0.2)
    assert jnp.argmax(learned, axis=0)[:3].tolist() == [2, 3, 1]  # 0 → 2 → 1 → 3
    ```
    """
    rules = Rules()
    patterns = rules.patterns("patterns", patterns)
    shown = rules.real("shown", shown, "finite", shape=(None, patterns.shape[1]), names="(times, neurons)")
    if len(shown) < 2:
        fail("shown", "at least two times", len(shown))
    dt, tau_trace = rules.real("dt", dt, "positive"), rules.real("tau_trace", tau_trace, "positive")
    return _learn(patterns, shown, dt, tau_trace, rules.valid)


@jax.jit
def _learn(patterns, shown, dt, tau_trace, valid) -> Array:
    overlaps = matmul(shown, patterns.T) / patterns.shape[1]
    keep = jnp.exp(-dt / tau_trace)

    def show(carry: tuple[Array, Array], m: Array) -> tuple[tuple[Array, Array], None]:
        trace, weights = carry
        # For constant m the trace relaxes to it, and its mean over the step is exact.
        mean = m + (trace - m) * (1 - keep) * tau_trace / dt
        growth = dt * (m[:, None] * mean[None] - mean[:, None] * m[None])
        return (m + (trace - m) * keep, weights + growth), None

    start = jnp.zeros_like(overlaps[0]), jnp.zeros((len(patterns), len(patterns)), overlaps.dtype)
    weights = jnp.maximum(jax.lax.scan(show, start, overlaps)[0][1], 0)
    largest = jnp.max(weights, axis=0, keepdims=True)
    return nan_unless(valid, weights / jnp.where(largest > 0, largest, 1))
