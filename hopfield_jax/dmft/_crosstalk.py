"""The crosstalk noise of simulated networks, and its deviation from a Gaussian."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._checks import fail, kind
from .._misc import default_float
from .._results import RESULTS, Setting, card, outcome, raise_unless_okay
from .._types import Array, Float, PRNGKey
from ._cue import AbstractCue
from ._model import AbstractPlasticModel, keep, memory_suffices, prepared
from ._order import OrderParameters, mean_and_error, setting
from ._trial import Sizes, counted, one_trial


class NoiseStatistics(eqx.Module):
    r"""Result of `hopfield_jax.dmft.crosstalk_noise`: statistics of the crosstalk noise over the neurons at each time.

    **Attributes:** shape (times,) each

    - `times`; `variance` and `excess_kurtosis` with their standard errors over networks; a Gaussian has 0.
    - `predicted_variance`: the theory's. `setting`: the conventions. `result`: the code.
    """

    times: Float[Array, " times"]
    variance: Float[Array, " times"]
    variance_error: Float[Array, " times"]
    excess_kurtosis: Float[Array, " times"]
    excess_kurtosis_error: Float[Array, " times"]
    predicted_variance: Float[Array, " times"]
    setting: Setting
    result: RESULTS

    def __str__(self) -> str:
        def text():
            worst = jnp.argmax(jnp.abs(self.excess_kurtosis))
            return (
                f"excess kurtosis between {jnp.min(self.excess_kurtosis):.3g} and {jnp.max(self.excess_kurtosis):.3g} "
                f"(± {self.excess_kurtosis_error[worst]:.1g}), variance/theory between "
                f"{jnp.min(self.variance / self.predicted_variance):.4g} and "
                f"{jnp.max(self.variance / self.predicted_variance):.4g}\n  {self.setting}"
            )

        return card(self, self.times[..., -1], text)


def crosstalk_noise(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    theory: OrderParameters,
    *,
    num_neurons: int,
    num_trials: int,
    key: PRNGKey,
    max_patterns: int | None = None,
    batch_size: int = 1,
    max_bytes: float = 24 * 2.0**30,
    throw: bool = True,
) -> NoiseStatistics:
    r"""Extracts the crosstalk noise of every neuron, $\xi_i[h_i - g m_t\xi_i - \sum_s F_{ts}\phi_i(s)]$ with $h$ the
    field of the stored patterns, and measures its variance and excess kurtosis.

    Without subtracting the feedback $F$ it is not Gaussian even in the limit.

    **Arguments:** as `simulate`, and `theory`, the solution for the same model and cue (not verified).

    **Returns:** a `NoiseStatistics` for all times but the last.

    **Raises:** `ValueError` for invalid arguments.
    """
    if not isinstance(theory, OrderParameters):
        fail("theory", "the solution of `solve`", kind(theory))
    feedback, covariance = theory.crosstalk_feedback, theory.noise_covariance
    if feedback is None or covariance is None:
        fail("theory", "a result of `solve`", theory.setting.source)
    run = Sizes.of(model, cue, len(theory.times) - 1, num_neurons, num_trials, key, max_patterns, batch_size)
    memory_suffices(run.bytes_needed(min(batch_size, num_trials), num_trials), max_bytes)
    out = _noise(model, cue, theory.times, feedback, covariance, run, key, num_trials, batch_size)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _noise(model, cue, times, feedback, covariance, run: Sizes, key, num_trials, batch_size) -> NoiseStatistics:
    model, cue, valid = prepared(model, cue)
    (model, cue), valid = counted(model, cue), valid & run.valid
    feedback = feedback.astype(default_float())
    trial = functools.partial(one_trial, model, cue, run, feedback=feedback, probe=None)
    mean, error = mean_and_error(jax.lax.map(lambda k: trial(key=k), jr.split(key, num_trials), batch_size=batch_size))
    last = slice(run.num_steps)
    numbers = mean["variance"], error["variance"], mean["kurtosis"], error["kurtosis"]
    variance, variance_error, kurtosis, kurtosis_error = keep(
        [x[last] for x in numbers], jnp.broadcast_to(valid, (run.num_steps,))
    )
    finite = jnp.all(jnp.isfinite(variance) & jnp.isfinite(kurtosis))
    return NoiseStatistics(
        times=times[last],
        variance=variance,
        variance_error=variance_error,
        excess_kurtosis=kurtosis,
        excess_kurtosis_error=kurtosis_error,
        predicted_variance=jnp.diagonal(covariance)[last],
        setting=setting(f"simulation (N = {run.num_neurons}, {num_trials} networks)", model, cue),
        result=outcome((~finite, RESULTS.not_finite), (~valid, RESULTS.invalid_parameter)),
    )
