"""The one result type of theory and simulation."""

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu

from .._results import RESULTS, Setting, card, describe_result, with_error
from .._types import Array, Float, PyTree, Scalar


def setting(source: str, model: eqx.Module, cue: eqx.Module) -> Setting:
    """The `Setting` of a model and a cue."""
    parts = [("model", type(model).__name__), ("units", type(getattr(model, "units")).__name__)]  # noqa: B009
    kernel = getattr(model, "kernel", None)
    parts += [("kernel", "none" if kernel is None else type(kernel).__name__), ("cue", type(cue).__name__)]
    parts += [(n, str(getattr(model, n))) for n in ("self_coupling", "equal_indices", "n") if hasattr(model, n)]
    return Setting.of(source, parts, {"": model, "cue": cue})


class OrderParameters(eqx.Module):
    r"""Macroscopic trajectory of a network; index t counts updates, 0 is the cue.

    Shapes: (times,) with times = num_steps + 1, or (times, times) for two-time quantities, whose row is the later time.
    Of several condensed patterns, `overlap` has shape (times, condensed). `*_error` are standard errors: over
    randomisations (theory) or networks (simulation). What was not measured is `None`.

    **Attributes:**

    - `times`: in units of the neurons' time constant.
    - `overlap`: $m_t = \langle\xi\phi_t\rangle$. `cue_overlap`: $C_{t0}$.
    - `correlation`: $C_{ts} = \langle\phi_t\phi_s\rangle$. `response`: $G_{ts} = \langle\partial\phi_t/
      \partial\theta_s\rangle$.
      Where the noise is nearly the same at two times, single entries are ill-determined and only their sums are sharp;
      NaN where it is smaller than rounding (by `Novikov`, at loads below 1e-14 in float32).
    - `noise_covariance`: of the crosstalk. `crosstalk_feedback`: $F_{ts}$, weight of $\phi_s$ in the field of the
      stored patterns at t. `plastic_feedback`: $\lambda K_{ts}C_{ts}$, its weight in that of the plastic synapses.
    - `energy`: per neuron, $\langle x\phi - L(x)\rangle - \frac12\langle\phi I\rangle - \langle\theta\phi\rangle$.
    - `error_fraction`: $P(\xi\phi_t < 0) + \frac12 P(\phi_t = 0)$.
    - `jitter`: added to the diagonal of the covariance, relative to it. `smallest_pivot`: of its factor, relative to
      the diagonal. `residual`: largest change, in standard errors, of overlaps and correlations when fresh paths are
      driven by the solved order parameters (`None` unless asked for).
    - `setting`: the conventions. `result`: how it ended; numbers after a failure are NaN.
    """

    times: Float[Array, " times"]
    overlap: Float[Array, "times *condensed"]
    overlap_error: Float[Array, "times *condensed"]
    cue_overlap: Float[Array, " times"]
    cue_overlap_error: Float[Array, " times"]
    correlation: Float[Array, "times times"]
    correlation_error: Float[Array, "times times"]
    response: Float[Array, "times times"] | None
    response_error: Float[Array, "times times"] | None
    noise_covariance: Float[Array, "times times"] | None
    crosstalk_feedback: Float[Array, "times times"] | None
    crosstalk_feedback_error: Float[Array, "times times"] | None
    plastic_feedback: Float[Array, "times times"]
    energy: Float[Array, " times"]
    energy_error: Float[Array, " times"]
    error_fraction: Float[Array, " times"]
    error_fraction_error: Float[Array, " times"]
    jitter: Scalar | None
    smallest_pivot: Scalar | None
    residual: Scalar | None
    setting: Setting
    result: RESULTS

    def __str__(self) -> str:
        def text():
            last, error = jnp.atleast_1d(self.overlap[-1])[0], jnp.atleast_1d(self.overlap_error[-1])[0]
            first = jnp.atleast_1d(self.overlap[0])[0]
            lines = [
                f"{len(self.times) - 1} steps: overlap {first:.4f} -> {with_error(last, error)}, overlap with the cue "
                f"{self.cue_overlap[-1]:.4f}, energy {self.energy[0]:.4g} -> {self.energy[-1]:.4g}",
                str(self.setting),
            ]
            if self.smallest_pivot is not None:
                residual = "not computed" if self.residual is None else f"{self.residual:.2g} standard errors"
                lines.append(
                    f"jitter {self.jitter:.1e}, smallest pivot {self.smallest_pivot:.1e}, self-consistency {residual}"
                )
            return "\n  ".join([*lines, f"result: {describe_result(self.result)}"])

        return card(self, self.times[..., -1], text)


def mean_and_error(x: PyTree) -> tuple[PyTree, PyTree]:
    """Mean over the leading axis and its standard error, infinite for one member only."""

    def error(a: Array) -> Array:
        if len(a) < 2:
            return jnp.full(a.shape[1:], jnp.inf, a.dtype)
        variance = jnp.sum((a - jnp.mean(a, axis=0, keepdims=True)) ** 2, axis=0) / (len(a) * (len(a) - 1))
        positive = variance > 0  # the square root has no derivative at zero
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)

    return jtu.tree_map(lambda a: jnp.mean(a, axis=0), x), jtu.tree_map(error, x)
