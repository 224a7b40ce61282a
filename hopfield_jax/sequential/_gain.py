"""Gains of the full network: scans, and thresholds by bisection."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._checks import Rules, as_real, at_least, fail
from .._misc import as_inexact, binomial_error
from .._results import (
    RESULTS,
    Setting,
    card,
    describe_result,
    is_okay,
    outcome,
    raise_unless_okay,
    with_error,
)
from .._threshold import Threshold, bisect
from .._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, Scalar, ScalarLike
from ._network import InputDrivenNetwork
from ._outcome import Ending
from ._retrieve import SequenceRun, check_key, conditions, enough_steps, retrieve_sequence
from ._saliency import period


class GainScan(eqx.Module):
    r"""Result of `hopfield_jax.sequential.scan_gains`; every field but the setting has shape (gains,).

    **Attributes:**

    - `gain`: κ.
    - `period`: last dwell time if retrieval goes on until the end, else NaN. `period_limit`: $\tau_s\log Z_+$, its
      limit for fast neurons, weak input coupling and a long cycle; NaN below the gain 4.
    - `num_transitions`, `collapsed`, `ending`: as in `SequenceRun`. `result`: how each run ended.
    - `setting`: the conditions.
    """

    gain: Float[Array, " gains"]
    period: Float[Array, " gains"]
    period_limit: Float[Array, " gains"]
    num_transitions: Int[Array, " gains"]
    collapsed: Bool[Array, " gains"]
    ending: Ending
    result: RESULTS
    setting: Setting

    def __str__(self) -> str:
        def text():
            going = np.isfinite(np.asarray(self.period))
            found = f"retrieval goes on at {going.sum()} of them"
            if going.any():
                gains, periods = np.asarray(self.gain)[going], np.asarray(self.period)[going]
                found += f", from gain {gains.min():.4g} on, with periods {periods.min():.4g} to {periods.max():.4g}"
            return (
                f"{len(self.gain)} gains from {jnp.min(self.gain):.4g} to {jnp.max(self.gain):.4g}: {found}\n  "
                f"{self.setting}\n  result: {describe_result(self.result)}"
            )

        return card(self, jnp.sum(self.num_transitions), text)


def scan_gains(
    network: InputDrivenNetwork,
    gains: Float[Array, " gains"],
    *,
    t1: ScalarLike,
    saliency: ScalarLike | None = None,
    start: int = 0,
    key: PRNGKey | None = None,
    batch_size: int = 128,
    **options: Any,
) -> GainScan:
    r"""Retrieves sequences at many gains.

    **Arguments:**

    - `network`: its own gain is ignored.
    - `gains`: κ > 0, shape (gains,).
    - `t1`, `start`, `key`, and any other option of `retrieve_sequence` except `saveat` and `throw`. All gains share one
      path of the noise, so that there are no errors: see `find_critical_gain` for the effect of noise on the critical
      gain.
    - `saliency`: of the first memory; default the gain itself, the largest saliency of a memory.
    - `batch_size`: number of parallel runs.

    **Returns:** a `GainScan`. Failed runs have a code in `result` and NaN, and do not stop the scan.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(8, 64), gain=5.0, transitions=hj.sequential.cycle(8), tau_fast=0.02
    )
    scan = hj.sequential.scan_gains(network, jnp.array([3.0, 5.0]), t1=8.0)
    assert scan.collapsed.tolist() == [True, False]
    ```
    """
    gains = check_gains(gains)
    at_least("batch_size", batch_size, 1)
    t1, saliency = as_real("t1", t1), None if saliency is None else as_real("saliency", saliency)
    options = options_of(network, start=start, t1=t1, key=key, **options)
    found = _scan(network, gains, saliency, options, batch_size)
    numbers = {"t1": t1} | ({} if saliency is None else {"saliency": saliency})
    limit = period(gains) * network.tau_slow
    return GainScan(gain=gains, period_limit=limit, setting=_without_gain(network, numbers), **found)


class CriticalGain(eqx.Module):
    r"""Result of `hopfield_jax.sequential.find_critical_gain`.

    **Attributes:**

    - `value`: middle of the bracket, NaN unless retrieval differs at the two bounds.
    - `lower`, `upper`: the bracket of the search, which does not include the effect of noise.
    - `value_error`: with noise, the standard error of the value: half of the distance between the quantiles
      $\frac12 \pm \frac1{2\sqrt{n + 1}}$ of the thresholds of the n trials, and so at least half of the bracket.
      Infinite if these lie beyond the bounds, NaN for one trial, 0 without noise.
    - `probability`, `probability_error`: fraction of the trials that go on until the end at the two ends of the bracket
      and its standard error (half of the width of Wilson's interval), shape (2,); 0 or 1 for one trial.
    - `result`: the result code. `setting`: the conditions.
    """

    value: Scalar
    value_error: Scalar
    lower: Scalar
    upper: Scalar
    probability: Float[Array, "2"]
    probability_error: Float[Array, "2"]
    result: RESULTS
    setting: Setting

    def __str__(self) -> str:
        def text():
            one = not np.all(np.isfinite(self.probability_error))
            value = f"{self.value:.6g}" if one else with_error(self.value, self.value_error)
            ends = zip(self.probability, self.probability_error, strict=True)
            of_trials = " and ".join(with_error(p, error) for p, error in ends)
            return (
                f"{value}, bracket of the search [{self.lower:.6g}, {self.upper:.6g}]"
                f"{'' if one else f', at whose ends {of_trials} of the trials go on'}\n  {self.setting}\n  "
                f"result: {describe_result(self.result)}"
            )

        return card(self, self.value, text)


def find_critical_gain(
    network: InputDrivenNetwork,
    *,
    t1: ScalarLike,
    lower: ScalarLike = 1.0,
    upper: ScalarLike = 8.0,
    saliency: ScalarLike | None = None,
    key: PRNGKey | None = None,
    num_trials: int = 1,
    num_iterations: int = 10,
    throw: bool = True,
    **options: Any,
) -> CriticalGain:
    r"""Finds the smallest gain at which retrieval goes on until `t1`, by bisection of the full network.

    With noise every trial, with the same noise at all gains, is bisected separately, and the value is the median of the
    thresholds. Just below the threshold a sequence takes long to collapse (about $\pi/\sqrt{1 - \kappa/\kappa_c}$
    transitions), so that the threshold for a finite time is lower than that of endless sequences, by about
    $\kappa_c(\pi/n)^2$ with n transitions until `t1`. Use `jax.vmap` over networks (with `throw=False`).

    **Arguments:**

    - `network`: its own gain is ignored.
    - `t1`, `key`, and any other option of `retrieve_sequence` except `saveat`.
    - `lower`, `upper`, `num_iterations`: as in `hopfield_jax.bisect`.
    - `saliency`: of the first memory; default the gain itself.
    - `num_trials`: number of runs with independent noise.
    - `throw`: whether to raise on failure; otherwise the code is in `result`.

    **Returns:** a `CriticalGain`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.
    """
    at_least("num_trials", num_trials, 1)
    at_least("num_iterations", num_iterations, 1)
    if num_trials > 1 and key is None:
        fail("key", "a key for several trials", None)
    t1, saliency = as_real("t1", t1), None if saliency is None else as_real("saliency", saliency)
    rules = Rules()
    lower, upper = rules.real("lower", lower, "positive"), rules.real("upper", upper, "positive")
    rules.holds("upper", lambda upper, lower: upper > lower, "a gain above lower = {1:g}", upper, lower)
    options = options_of(network, t1=t1, key=key, **options)
    keys = None if key is None else jr.split(key, num_trials)
    out = _find(network, lower, upper, saliency, options, keys, num_iterations)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _find(network, lower, upper, saliency, options, keys, num_iterations: int) -> CriticalGain:
    def goes_on(key: PRNGKey | None, gain: Scalar) -> tuple[Array, Array]:
        run = run_at(network, gain, saliency, options | {"key": key})
        going = (run.ending == Ending.running) & (run.num_transitions > 0)
        return going, is_okay(run.result) | (run.result == RESULTS.no_room)  # full capacity: retrieval goes on

    def threshold(key: PRNGKey | None) -> Threshold:
        return bisect(lambda gain: goes_on(key, gain), lower, upper, num_iterations=num_iterations, throw=False)

    if keys is None:
        found = threshold(None)
        error = jnp.zeros_like(found.value)
    else:
        found, error = _median(jax.vmap(threshold)(keys), lower, upper)
    num_trials = 1 if keys is None else len(keys)
    if num_trials == 1:
        probability = jnp.stack([found.at_lower, found.at_upper]).astype(found.lower.dtype)
        probability_error = jnp.full(2, jnp.nan, probability.dtype)
    else:
        going = lambda gain: jnp.mean(jax.vmap(lambda key: goes_on(key, gain)[0])(keys), dtype=gain.dtype)  # noqa: E731
        probability = jax.lax.map(going, jnp.stack([found.lower, found.upper]))
        probability_error = binomial_error(probability, num_trials)
    numbers = {"t1": options["t1"], "num_trials": as_real("num_trials", num_trials)}
    return CriticalGain(
        value=found.value,
        value_error=jnp.where(jnp.isfinite(found.value), error, jnp.nan),
        lower=found.lower,
        upper=found.upper,
        probability=probability,
        probability_error=probability_error,
        result=found.result,
        setting=_without_gain(network, numbers | ({} if saliency is None else {"saliency": saliency})),
    )


def _median(each: Threshold, lower: Scalar, upper: Scalar) -> tuple[Threshold, Scalar]:
    """The smallest threshold above which at least half of the trials go on, and its standard error."""
    n = len(each.value)
    place = jnp.where(each.at_lower, -jnp.inf, jnp.where(each.at_upper, each.value, jnp.inf))
    order = jnp.argsort(place)
    middle = order[(n + 1) // 2 - 1]
    invalid, undecided = (jnp.any(each.result == code) for code in (RESULTS.invalid_parameter, RESULTS.undecided))
    found = jnp.isfinite(place[middle]) & ~invalid & ~undecided
    away = binomial_error(0.5, n).astype(place.dtype)
    # The outer ends of the brackets, which limit the resolution of the spread.
    ends = jnp.where(jnp.isfinite(place), each.lower, place), jnp.where(jnp.isfinite(place), each.upper, place)
    low = jnp.quantile(ends[0], 0.5 - away, method="lower")
    high = jnp.quantile(ends[1], 0.5 + away, method="higher")
    median = Threshold(
        value=jnp.where(found, each.value[middle], jnp.nan),
        lower=jnp.where(found, each.lower[middle], lower),
        upper=jnp.where(found, each.upper[middle], upper),
        at_lower=each.at_lower[middle],
        at_upper=each.at_upper[middle],
        result=outcome(
            (~found, RESULTS.not_bracketed), (undecided, RESULTS.undecided), (invalid, RESULTS.invalid_parameter)
        ),
    )
    return median, 0.5 * (high - low) if n > 1 else jnp.full_like(low, jnp.nan)


def options_of(network: InputDrivenNetwork, **options: Any) -> dict[str, Any]:
    """Options of all runs: a static `max_steps`, computed from known numbers; no saved trajectory."""
    for name in ("saveat", "throw"):
        if name in options:
            fail(name, "no such option here: no trajectory is kept and no run raises", options[name])
    check_key(network, options.get("key"), Rules())
    dt0, key, solver = (options.get(name) for name in ("dt0", "key", "solver"))
    room = enough_steps(network, options["t1"], dt0, key, solver, options.get("max_transitions", 64))
    least = {"max_steps": room, "until_collapse": network.input is None}
    numbers = {
        name: as_inexact(x) for name, x in options.items() if name in ("dt0", "level", "margin") and x is not None
    }
    return least | options | numbers | {"throw": False, "saveat": jnp.zeros(1)}


def check_gains(gains: ArrayLike) -> Array:
    gains = Rules().real("gains", gains, "positive", shape=(None,), names="(gains,)")
    if not gains.size:
        fail("gains", "at least one", f"shape {gains.shape}")
    return gains


@eqx.filter_jit
def _scan(network, gains, saliency, options, batch_size: int) -> dict[str, Any]:
    def one(gain: Scalar) -> dict[str, Any]:
        run = run_at(network, gain, saliency, options)
        return {name: getattr(run, name) for name in ("period", "num_transitions", "collapsed", "ending", "result")}

    return jax.lax.map(one, gains, batch_size=min(batch_size, len(gains)))


def _without_gain(network: InputDrivenNetwork, numbers: dict[str, Array]) -> Setting:
    where = conditions(network, **numbers)
    return Setting(where.source, where.parts, {name: x for name, x in where.numbers.items() if name != "gain"})


def run_at(network: InputDrivenNetwork, gain: Scalar, saliency: ScalarLike | None, options: dict) -> SequenceRun:
    network = eqx.tree_at(lambda n: n.gain, network, gain)
    return retrieve_sequence(network, saliency=gain if saliency is None else saliency, **options)
