"""What a pass of mean-field theory measures at every time."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Bool, Float, Int


class Drive(NamedTuple):
    """What acts on the paths: $m_t$, $L_t$, $b_t$, and the coefficients $L^p_t$ and $L^q_t$ of what plasticity sees."""

    overlap: Float[Array, " condensed"]
    outputs: Float[Array, " rank"]
    answers: Float[Array, " normals"]
    post: Float[Array, " rank"]
    pre: Float[Array, " rank"]

    @staticmethod
    def of(overlap: Array, answers: Array, outputs: Array, traces: "dict[str, Trace]") -> "Drive":
        """`traces` are those that are not the outputs: `post` and `pre`, or one for `both`."""
        both = traces["both"].outputs if "both" in traces else outputs
        post, pre = (traces[name].outputs if name in traces else both for name in ("post", "pre"))
        return Drive(overlap, outputs, answers, post, pre)


class Trace(eqx.Module):
    """What plasticity sees behind or before a synapse: coefficients and residual as those of outputs in `Rows`."""

    outputs: Float[Array, "*batch rank"]
    innovation: Float[Array, "*batch"]
    relative: Float[Array, "*batch"]
    new: Bool[Array, "*batch"]


class Activity(eqx.Module):
    r"""$\langle\xi\phi_t\rangle$ and $\langle\phi_t\phi_0\rangle$."""

    overlap: Float[Array, "*batch condensed"]
    cue_overlap: Float[Array, "*batch"]


class Rows(eqx.Module):
    """Measurements of one pass, one row per time (leading axes: times; in a result, randomisations before them)."""

    overlap: Float[Array, "*batch condensed"]
    """$m_t$"""
    outputs: Float[Array, "*batch rank"]
    """$L_t$, coefficients of the outputs on the directions"""
    innovation: Float[Array, "*batch"]
    """root mean square of the residual of the outputs after projection onto the earlier directions"""
    relative: Float[Array, "*batch"]
    """`residual` over the largest root mean square of outputs up to t"""
    new: Bool[Array, "*batch"]
    """whether the residual became a direction"""
    noise: Float[Array, "*batch normals"]
    """$u_t + p\\,b_t$, weights of the normals in the noise (`AbstractPlasticModel.crosstalk`)"""
    answers: Float[Array, "*batch normals"]
    r"""$b_t = \langle\phi_tz\rangle = \sum_s G_{ts}(u_s + p\,b_s)$"""
    crosstalk: Float[Array, "*batch rank"]
    r"""weights of the directions in the crosstalk's feedback $\sum_{s<t}F_{ts}\phi_s$"""
    own: Float[Array, "*batch"]
    """$F_{tt}$"""
    energy: Float[Array, "*batch"]
    error_fraction: Float[Array, "*batch"]
    finite: Bool[Array, "*batch"]
    activity: Activity | None = None
    """of activities that are not sent as they are"""
    traces: dict[str, Trace] = eqx.field(default_factory=dict)
    """those that plasticity sees, where they are not the outputs: `post` and `pre`, or one for `both`"""

    @property
    def drive(self) -> Drive:
        """What acts on the paths."""
        return Drive.of(self.overlap, self.answers, self.outputs, self.traces)

    @property
    def num_new(self) -> Int[Array, "*batch"]:
        """How many directions are new."""
        return sum((one.new.astype(int) for one in self.traces.values()), self.new.astype(int))

    @property
    def rest(self) -> Float[Array, "*batch"]:
        """The largest of the relative residuals that are not a direction."""
        rests = [jnp.where(one.new, 0, one.relative) for one in (self, *self.traces.values())]
        return functools.reduce(jnp.maximum, rests)
