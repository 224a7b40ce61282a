"""Rules by which memories and couplings change (Lotito 2025, eq. 12 to 14 and 23)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import Rules, as_real, domain, fail, is_concrete
from .._dynamics import AbstractDynamics
from .._misc import matmul
from .._types import Array, Float, Parameter, Patterns, Scalar, ScalarLike, State


class SoftmaxPlasticity(AbstractDynamics):
    r"""Memories drift towards the visible state, at rates that grow with their similarity to it (eq. 12 to 14):

    $$\tau_\Xi \dot\Xi_\mu = w_\mu\,(-\Xi_\mu + \Lambda_\mu + v), \qquad w = \mathrm{softmax}(\beta\,\Xi v).$$

    The state is the memories $\Xi$, shape (patterns, neurons); `args` of the vector field is $v$, shape (neurons,).

    **Arguments:**

    - `beta`: selectivity $\beta$ > 0. `tau_memory`: $\tau_\Xi$ > 0.
    - `bias`: $\Lambda$, one number or shape (patterns, neurons).
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    tau_memory: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    bias: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(0, 2)), default=0.0)

    def weights(self, memories: Patterns, v: Float[Array, " neurons"]) -> Float[Array, " patterns"]:
        r"""$w = \mathrm{softmax}(\beta\,\Xi v)$ (eq. 13)."""
        return jax.nn.softmax(self.beta * matmul(memories, v))

    def vector_field(self, t: Any, y: Patterns, args: Float[Array, " neurons"]) -> Patterns:  # pyright: ignore
        r"""$\dot\Xi$ (eq. 14), with $v$ = `args`."""
        if self.bias.ndim and self.bias.shape != y.shape:
            fail("SoftmaxPlasticity.bias", f"one number or shape {y.shape}", f"shape {self.bias.shape}")
        pull = jnp.broadcast_to(args, y.shape) + jnp.broadcast_to(self.bias, y.shape) - y
        return self.weights(y, args)[:, None] * pull / self.tau_memory


class PavlovianPlasticity(AbstractDynamics):
    r"""The rule of classical conditioning, on the couplings themselves (eq. 23):

    $$\tau \frac{d}{dt}(\Xi^\top\Xi) = -\Xi^\top\Xi + P\,\Xi'^\top \mathrm{diag}(p)\,\Xi'$$

    for $P$ observed patterns. Its fixed point is the generalised Hebb rule, `target()`; that of `SoftmaxPlasticity` is
    $\Xi'^\top\Xi'$ for any $p$, and the two agree only for $p_\mu = 1/P$. The state has shape (neurons, neurons).

    **Arguments:**

    - `observed`: $\Xi'$, shape (patterns, neurons). `probabilities`: $p$, shape (patterns,). `tau` > 0.
    """

    observed: Parameter[Patterns] = eqx.field(metadata=domain("finite", ndim=2))
    probabilities: Parameter[Float[Array, " patterns"]] = eqx.field(metadata=domain("probability", ndim=1))
    tau: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def __check_init__(self):
        rules = Rules()
        rules.patterns("PavlovianPlasticity.observed", self.observed)
        probabilities_fit(rules, "PavlovianPlasticity.probabilities", self.probabilities, len(self.observed))

    def target(self) -> Float[Array, "neurons neurons"]:
        r"""$P\,\Xi'^\top \mathrm{diag}(p)\,\Xi'$."""
        return len(self.observed) * matmul(self.observed.T, self.probabilities[:, None] * self.observed)

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        r"""Rate of change of $\Xi^\top\Xi$ (eq. 23)."""
        return (self.target() - y) / self.tau

    def solution(self, t: ScalarLike, y0: Float[Array, "neurons neurons"]) -> Float[Array, "neurons neurons"]:
        r"""$e^{-t/\tau} y_0 + (1 - e^{-t/\tau})\,\mathrm{target}$."""
        decay = jnp.exp(-as_real("t", t) / self.tau)
        return decay * y0 + (1 - decay) * self.target()


def probabilities_fit(rules: Rules, argument: str, probabilities: Any, size: int | None) -> Array:
    """Probabilities, one per pattern with sum one."""
    p = rules.real(argument, probabilities, "probability", shape=(size,), names="(one a pattern)")
    got = f"a sum of {np.sum(np.asarray(p)):g}" if is_concrete(p) else None
    rules.holds(argument, lambda p: abs(p.sum() - 1) <= 1e-5, "numbers that add up to 1", p, got=got)
    return p
