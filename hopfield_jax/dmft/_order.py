"""The common result type of theory and simulation."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu

from .._results import RESULTS, Setting, card, describe_result, with_error
from .._types import Array, Float, Int, PyTree, Scalar


def setting(source: str, model: eqx.Module, cue: eqx.Module) -> Setting:
    """The `Setting` of a model and a cue."""
    parts = [("model", type(model).__name__), ("units", type(getattr(model, "units")).__name__)]  # noqa: B009
    kernel = getattr(model, "kernel", None)
    parts += [("kernel", "none" if kernel is None else type(kernel).__name__), ("cue", type(cue).__name__)]
    if (synapses := getattr(model, "synapses", None)) is not None:
        parts += [("synapses", type(synapses).__name__)]
    parts += [(n, str(getattr(model, n))) for n in ("self_coupling", "equal_indices", "n") if hasattr(model, n)]
    if (scheme := type(getattr(model, "scheme", None)).__name__) not in ("Euler", "NoneType"):
        parts += [("scheme", scheme)]
    return Setting.of(source, parts, {"": model, "cue": cue})


class AbstractTwoTime(eqx.Module):
    """Source of two-time quantities: `of(name)` is a matrix (times, times) and its standard error, or `None` for
    unknown ones."""

    @abc.abstractmethod
    def of(self, name: str) -> tuple[Array | None, Array | None]:
        """One of `correlation`, `response`, `noise_covariance`, `crosstalk_feedback`, `plastic_feedback`."""


class Measured(AbstractTwoTime):
    """Measured matrices by name, each with its error (or `None`)."""

    matrices: dict[str, tuple[Array, Array | None]]

    def of(self, name: str) -> tuple[Array | None, Array | None]:
        """The measured matrix and its error."""
        return self.matrices.get(name, (None, None))


class OrderParameters(eqx.Module):
    r"""Macroscopic trajectory of a network; index t counts updates, 0 is the cue.

    Shapes: (times,) with times = num_steps + 1, or (times, times) for two-time quantities, whose row is the later time.
    For several condensed patterns, `overlap` has shape (times, condensed). `*_error` are standard errors: over
    randomisations (theory) or networks (simulation). Quantities that were not measured are `None`.

    **Attributes:**

    - `times`: in units of the neurons' time constant.
    - `overlap`: $m_t = \langle\xi s_t\rangle$ of what neurons send, which is $\phi$ unless they have inner variables.
    - `activity`: $\langle\xi\phi_t\rangle$. `cue_overlap`: $\langle\phi_t\phi_0\rangle$.
    - `energy`: per neuron, $\langle x\phi - L(x)\rangle - \frac12\langle\phi I\rangle - \langle\theta\phi\rangle$; NaN
      where couplings are not symmetric or neurons have inner variables, since nothing then descends.
    - `error_fraction`: $P(\xi\phi_t < 0) + \frac12 P(\phi_t = 0)$.
    - `rank`: of theory, the number of directions, the largest over randomisations. `dropped`: the largest dropped
      residual, relative to the size of the outputs (at most `tolerance`). `orthogonality`: the largest entry of
      $|\langle qq^\top\rangle - 1|$.
    - `residual`: largest change, in standard errors, of overlaps and correlations when fresh paths are driven by the
      solved order parameters (`None` unless `check`).
    - `two_time`: source of the matrices. `setting`: the conventions. `result`: the code; numbers after a failure are
      NaN.

    **Computed lazily:**

    - `correlation`: $C_{ts} = \langle s_ts_s\rangle$. `response`: $G_{ts} = \langle\partial s_t/\partial\theta_s
      \rangle$. Where the noise is nearly the same at two times, single entries are ill-determined and only their sums
      are accurate; NaN where it is smaller than rounding (at loads below 1e-14 in float32).
    - `noise_covariance`: of the crosstalk. `crosstalk_feedback`: $F_{ts}$, weight of $s_s$ in the field of the
      stored patterns at t. `plastic_feedback`: $\lambda K_{ts}C_{ts}$, its weight in that of the plastic synapses;
      with traces $\lambda K_{ts}\langle s_tq_s\rangle$, the weight of $p_s$.
    """

    times: Float[Array, " times"]
    overlap: Float[Array, "times *condensed"]
    overlap_error: Float[Array, "times *condensed"]
    activity: Float[Array, "times *condensed"]
    activity_error: Float[Array, "times *condensed"]
    cue_overlap: Float[Array, " times"]
    cue_overlap_error: Float[Array, " times"]
    energy: Float[Array, " times"]
    energy_error: Float[Array, " times"]
    error_fraction: Float[Array, " times"]
    error_fraction_error: Float[Array, " times"]
    two_time: AbstractTwoTime
    rank: Int[Array, ""] | None
    dropped: Scalar | None
    orthogonality: Scalar | None
    residual: Scalar | None
    setting: Setting
    result: RESULTS

    @property
    def correlation(self) -> Any:
        """$C_{ts}$."""
        return self.two_time.of("correlation")[0]

    @property
    def correlation_error(self) -> Any:
        """Of $C_{ts}$."""
        return self.two_time.of("correlation")[1]

    @property
    def response(self) -> Any:
        """$G_{ts}$, or `None`."""
        return self.two_time.of("response")[0]

    @property
    def response_error(self) -> Any:
        """Of $G_{ts}$, or `None`."""
        return self.two_time.of("response")[1]

    @property
    def noise_covariance(self) -> Any:
        r"""$\langle\eta_t\eta_s\rangle$, or `None`."""
        return self.two_time.of("noise_covariance")[0]

    @property
    def crosstalk_feedback(self) -> Any:
        """$F_{ts}$, or `None`."""
        return self.two_time.of("crosstalk_feedback")[0]

    @property
    def crosstalk_feedback_error(self) -> Any:
        """Of $F_{ts}$, or `None`."""
        return self.two_time.of("crosstalk_feedback")[1]

    @property
    def plastic_feedback(self) -> Any:
        r"""$\lambda K_{ts}C_{ts}$."""
        return self.two_time.of("plastic_feedback")[0]

    def __str__(self) -> str:
        def text():
            last, error = jnp.atleast_1d(self.overlap[-1])[0], jnp.atleast_1d(self.overlap_error[-1])[0]
            first = jnp.atleast_1d(self.overlap[0])[0]
            lines = [
                f"{len(self.times) - 1} steps: overlap {first:.4f} -> {with_error(last, error)}, overlap with the cue "
                f"{self.cue_overlap[-1]:.4f}, energy {self.energy[0]:.4g} -> {self.energy[-1]:.4g}",
                str(self.setting),
            ]
            if self.rank is not None:
                residual = "not computed" if self.residual is None else f"{self.residual:.2g} standard errors"
                lines.append(
                    f"rank {self.rank}, dropped at most {self.dropped:.1e}, orthogonal to {self.orthogonality:.1e}, "
                    f"self-consistency {residual}"
                )
            return "\n  ".join([*lines, f"result: {describe_result(self.result)}"])

        return card(self, self.times[..., -1], text)


def mean_and_error(x: PyTree) -> tuple[PyTree, PyTree]:
    """Mean over the leading axis and its standard error, which is infinite for a single member."""

    def error(a: Array) -> Array:
        if len(a) < 2:
            return jnp.full(a.shape[1:], jnp.inf, a.dtype)
        variance = jnp.sum((a - jnp.mean(a, axis=0, keepdims=True)) ** 2, axis=0) / (len(a) * (len(a) - 1))
        positive = variance > 0  # the square root has no derivative at zero
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)

    return jtu.tree_map(lambda a: jnp.mean(a, axis=0), x), jtu.tree_map(error, x)
