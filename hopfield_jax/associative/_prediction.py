"""Predictions for learning memories: closed forms and their conditions (Lotito 2025, section 4 and appendix B)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Rules, fail, is_valid, kind, shape_is, sieved
from .._misc import alike, nan_unless
from .._patterns import cosine_similarity
from .._results import card
from .._types import Array, ArrayLike, Float, Patterns, Scalar, ScalarLike
from ._plasticity import SoftmaxPlasticity, probabilities_fit


def similarity_curve(
    exponent: Float[ArrayLike, "*#times"] | ScalarLike,
    initial: Float[ArrayLike, "*#times"] | ScalarLike,
    norm_ratio: Float[ArrayLike, "*#times"] | ScalarLike = 1.0,
) -> Float[Array, "*#times"]:
    r"""Cosine between a memory and its target while it learns (eq. 40, corrected for norms):

    $$\frac{e^{-s}a + \rho(1 - e^{-s})}{\sqrt{e^{-2s} + \rho^2(1 - e^{-s})^2 + 2\rho e^{-s}(1 - e^{-s})a}}.$$

    **Arguments** (which broadcast):

    - `exponent`: not negative, $s = t/\tau_\mu$ with $\tau_\mu = \tau_\Xi/p_\mu$ (eq. 35), or the realised
      visits · dwell/$\tau_\Xi$.
    - `initial`: the initial cosine $a$, within [-1, 1].
    - `norm_ratio`: $\rho = \lVert\xi'_\mu\rVert/\lVert\Xi_\mu(0)\rVert$; 1 gives the paper's equation.
    """
    exponent, initial = sieved("exponent", exponent, "duration"), sieved("initial", initial, "cosine")
    norm_ratio = sieved("norm_ratio", norm_ratio, "positive")
    s, a, rho = jnp.broadcast_arrays(*alike(exponent, initial, norm_ratio))
    kept, taken = jnp.exp(-s), -rho * jnp.expm1(-s)
    return (kept * a + taken) / jnp.sqrt(jnp.square(kept) + jnp.square(taken) + 2 * kept * taken * a)


def learned_memories(
    t: ScalarLike,
    memories: Patterns,
    observed: Patterns,
    *,
    probabilities: Float[Array, " patterns"],
    tau_memory: ScalarLike,
) -> Patterns:
    r"""Prediction for large β: $\Xi_\mu(t) = e^{-t/\tau_\mu}\Xi_\mu(0) + (1 - e^{-t/\tau_\mu})\xi'_\mu$, $\tau_\mu =
    \tau_\Xi/p_\mu$ (eq. 34 and 35; section 4 of the paper calls the rate $\tau_\mu$).

    $\Xi(t)^\top\Xi(t)$ is the Hebbian time course of eq. 24, which tends to $\Xi'^\top\Xi'$ (eq. 25).
    """
    rules = Rules()
    memories, observed = memories_fit(rules, memories, observed)
    t, tau_memory = rules.real("t", t, "duration"), rules.real("tau_memory", tau_memory, "positive")
    probabilities = probabilities_fit(rules, "probabilities", probabilities, len(memories))
    exponent = jnp.where(probabilities == 0, 0, t * probabilities) / tau_memory  # 0 also at infinite time
    kept = jnp.exp(-exponent)[:, None]
    return nan_unless(rules.valid, kept * memories + (1 - kept) * observed)


class LearningConditions(eqx.Module):
    r"""Result of `hopfield_jax.associative.learning_conditions`: the conditions of sections 4, 5.3.2 and B.2.

    **Attributes:**

    - `interference`: largest |cosine| between two memories; eq. 15 assumes 0.
    - `initial_similarity`: smallest cosine between an observed pattern and its own memory.
    - `selectivity`: smallest weight $w_\mu$ of memory μ when its own pattern is presented; 1 is ideal.
    - `leakage`: largest $p_\nu w_\mu$ from a foreign pattern ν, summed over ν, relative to $p_\mu w_\mu$.
    - `smallest_probability`: a memory with 0 never learns.
    - `dwell_ratio`: largest dwell/$\tau_\mu$; should be much smaller than 1.
    """

    interference: Scalar
    initial_similarity: Scalar
    selectivity: Scalar
    leakage: Scalar
    smallest_probability: Scalar
    dwell_ratio: Scalar

    def __str__(self) -> str:
        rows = (
            ("interference between memories (eq. 15: 0)", self.interference),
            ("smallest similarity of a pattern to its memory", self.initial_similarity),
            ("smallest weight of the right memory (1)", self.selectivity),
            ("largest share learned from foreign patterns (0)", self.leakage),
            ("smallest probability (> 0)", self.smallest_probability),
            ("largest dwell/tau_mu (<< 1)", self.dwell_ratio),
        )
        return card(
            self, self.interference, lambda: "\n  ".join(f"{name:<50}{float(value):.4g}" for name, value in rows)
        )


def learning_conditions(
    rule: SoftmaxPlasticity,
    memories: Patterns,
    observed: Patterns,
    *,
    probabilities: Float[Array, " patterns"],
    dwell: ScalarLike = 1.0,
) -> LearningConditions:
    """Measures the conditions under which each memory converges to its own observed pattern.

    **Arguments:** as `learn`, and the `probabilities` of presentation (uniform for the cyclic protocol).

    **Returns:** a `LearningConditions`, NaN if traced arguments lie outside their domain.
    """
    if not isinstance(rule, SoftmaxPlasticity):
        fail("rule", "a SoftmaxPlasticity", kind(rule))
    rules = Rules()
    memories, observed = memories_fit(rules, memories, observed)
    probabilities = probabilities_fit(rules, "probabilities", probabilities, len(memories))
    dwell = rules.real("dwell", dwell, "positive")
    cosines = jax.vmap(lambda m: cosine_similarity(memories, m))(memories)
    weights = jax.vmap(lambda v: rule.weights(memories, v))(observed).T  # [memory, shown]
    share = weights * probabilities[None, :]
    own, own_weight = jnp.diagonal(share), jnp.diagonal(weights)
    foreign = jnp.sum(share, axis=1) - own
    found = LearningConditions(
        interference=jnp.max(jnp.abs(cosines - jnp.diag(jnp.diagonal(cosines)))),
        initial_similarity=jnp.min(own_similarity(memories, observed)),
        selectivity=jnp.min(own_weight),
        leakage=jnp.max(jnp.where(own > 0, foreign / jnp.where(own > 0, own, 1), jnp.inf)),
        smallest_probability=jnp.min(probabilities),
        dwell_ratio=dwell * jnp.max(probabilities) / rule.tau_memory,
    )
    return nan_unless(rules.valid & is_valid(rule), found)


def own_similarity(memories: Patterns, observed: Patterns) -> Float[Array, " patterns"]:
    return jax.vmap(lambda m, o: cosine_similarity(m[None], o)[0])(memories, observed)


def memories_fit(rules: Rules, memories: Any, observed: Any) -> tuple[Array, Array]:
    """Memories, and observed patterns of the same shape."""
    memories, observed = rules.patterns("memories", memories), rules.patterns("observed", observed)
    shape_is("observed", observed, memories.shape, "(that of the memories)")
    return memories, observed
