"""Transitions learned from a sequence that was shown."""

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
    r"""Transition weights by asymmetric Hebbian learning, online, while a sequence is shown.

    With the overlaps $m = \Xi\phi/N$ of what is shown and their trace $\tau\dot r = -r + m$,

    $$\dot Q_{\nu\mu} \propto m_\nu r_\mu - r_\nu m_\mu:$$

    a connection grows from the memory that was shown before to the one that is shown now, and shrinks in the opposite
    sense. Weights below zero end as zero, and those from each memory are scaled so that the largest is 1 (if any is
    left), which is what a network's gain refers to. After a dwell time D the trace still holds $e^{-D/\tau}$ of the
    memory before: that is about the weight which the memory after next receives, so choose τ well below D.

    **Arguments:**

    - `patterns`: ξ, shape (patterns, neurons).
    - `shown`: neurons' outputs at times `dt` apart, shape (times, neurons).
    - `dt`: positive. `tau_trace`: τ, positive.

    **Returns:** Q, shape (patterns, patterns), row = target, column = source; differentiable.

    **Raises:** `ValueError` for arguments that do not fit.

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
        # While m is constant the trace tends to it, and its mean over the step is exact.
        mean = m + (trace - m) * (1 - keep) * tau_trace / dt
        growth = dt * (m[:, None] * mean[None] - mean[:, None] * m[None])
        return (m + (trace - m) * keep, weights + growth), None

    start = jnp.zeros_like(overlaps[0]), jnp.zeros((len(patterns), len(patterns)), overlaps.dtype)
    weights = jnp.maximum(jax.lax.scan(show, start, overlaps)[0][1], 0)
    largest = jnp.max(weights, axis=0, keepdims=True)
    return nan_unless(valid, weights / jnp.where(largest > 0, largest, 1))
