"""Gains and weights of the full network for given dwell times, by Newton's method through its switch times."""

from typing import Any, cast

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import Rules, at_least, fail, is_concrete, kind
from .._misc import nan_unless
from .._results import RESULTS, Setting, card, describe_result, is_okay, raise_unless_okay
from .._types import Array, Float, Int, Scalar, ScalarLike
from ._dwell import ExactDwell
from ._gain import options_of
from ._network import InputDrivenNetwork
from ._retrieve import SequenceRun, conditions, retrieve_sequence
from ._saliency import gain_for_period
from ._search import Measured, search


class TunedGain(eqx.Module):
    r"""Result of `hopfield_jax.sequential.tune_gain`; NaN (but for the limit) unless the result is a success.

    **Attributes:**

    - `gain`: κ. `period`: the mean of the last P dwell times there. `slope`: of the period by the gain, $dT/d\kappa$.
    - `gain_limit`: $\kappa = e^{2T}/(e^T - 1)$ (T in units of $\tau_s$, κ in units of the level at which a memory is
      lost), for fast neurons, weak input coupling and a long cycle; NaN for a period below $\tau_s\log 2$.
    - `residual`: of the period, relative to the required one. `unsettled`: largest relative difference of the last P
      dwell times from their mean.
    - `num_evaluations`: runs of the network with their derivative. `result`: the result code. `setting`: the
      conditions, including the required period.
    """

    gain: Scalar
    period: Scalar
    slope: Scalar
    gain_limit: Scalar
    residual: Scalar
    unsettled: Scalar
    num_evaluations: Int[Array, ""]
    result: RESULTS
    setting: Setting

    def __str__(self) -> str:
        return card(
            self,
            self.gain,
            lambda: (
                f"gain {self.gain:.6g} for a period of {self.setting.numbers['wanted']:.6g} (in the limit of fast "
                f"neurons {self.gain_limit:.6g}); reached {self.period:.6g}, off by {float(self.residual):.1e}, "
                f"settled within {float(self.unsettled):.1e}, slope {self.slope:.4g}\n  "
                f"{self.num_evaluations} runs, {self.setting}\n  result: {describe_result(self.result)}"
            ),
        )


class TunedDwellTimes(eqx.Module):
    r"""Result of `hopfield_jax.sequential.tune_dwell_times`; NaN unless the result is a success.

    **Attributes:**

    - `transitions`: Q with the weights found, shape (patterns, patterns), row = target, column = source.
    - `dwell_times`: of each memory in the last round, shape (patterns,).
    - `residual`: the largest relative difference from the required ones. `unsettled`: from those of the previous round.
    - `num_evaluations`: runs of the network with their derivatives. `result`: the result code. `setting`: the
      conditions.
    """

    transitions: Float[Array, "patterns patterns"]
    dwell_times: Float[Array, " patterns"]
    residual: Scalar
    unsettled: Scalar
    num_evaluations: Int[Array, ""]
    result: RESULTS
    setting: Setting

    def __str__(self) -> str:
        def text():
            weights, times = (np.round(np.asarray(x), 5).tolist() for x in (self.transitions.sum(1), self.dwell_times))
            return (
                f"dwell times {times}, off by at most {float(self.residual):.1e}, settled within "
                f"{float(self.unsettled):.1e}, by transitions into the memories of weights {weights}\n  "
                f"{self.num_evaluations} runs, {self.setting}\n  result: {describe_result(self.result)}"
            )

        return card(self, self.residual, text)


def tune_gain(
    network: InputDrivenNetwork,
    *,
    period: ScalarLike,
    tolerance: ScalarLike = 3e-4,
    num_transitions: int | None = None,
    max_evaluations: int = 24,
    throw: bool = True,
    **options: Any,
) -> TunedGain:
    r"""Finds the gain of the full network for a given period.

    Newton's method for $T(\kappa)$ in $\log\kappa$, in which it is nearly linear, from the closed form of the limit
    (`gain_for_period`). The derivative is that of the switch times, in forward mode. Steps are shortened if the
    sequence collapses or the error grows. If no gain gives the period, because sequences of shorter periods collapse,
    the result is `no_period` and the numbers are NaN. Use `jax.vmap` over periods and networks (with `throw=False`).

    The gain is differentiable with respect to the period and the network's parameters by the implicit function theorem,
    in forward mode (`jax.jvp`, `jax.jacfwd`).

    **Arguments:**

    - `network`: without noise and with cyclic transitions; its own gain is ignored.
    - `period`: T > 0, in the units of the time constants.
    - `tolerance`: relative, of the period and of the differences among the last P dwell times, P memories.
    - `num_transitions`: length of a run in required periods; default three rounds of the memories, and at least 24.
      Near the shortest period dwell times settle slowly and need more.
    - `max_evaluations`: largest number of runs.
    - `throw`: whether to raise on failure; otherwise the code is in `result`.
    - `options`: other options of `retrieve_sequence` except `saliency`, `t1`, `key`, `saveat`. The default solver is
      `ExactDwell()` for units that saturate (`HardTanh`) without input.

    **Returns:** a `TunedGain`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import hopfield_jax as hj

    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(4, 8), gain=1.0, transitions=hj.sequential.cycle(4), tau_fast=0.01
    )
    found = hj.sequential.tune_gain(network, period=1.5)
    assert abs(found.period - 1.5) < 1e-3 and abs(found.gain / found.gain_limit - 1) < 0.1
    ```
    """
    options, num_transitions = _prepare(network, num_transitions, max_evaluations, options, 3)
    rules = Rules()
    period, tolerance = rules.real("period", period, "positive"), rules.real("tolerance", tolerance, "positive")
    out = _tune_gain(network, period, tolerance, options, num_transitions, max_evaluations, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


def tune_dwell_times(
    network: InputDrivenNetwork,
    dwell_times: Float[Array, " patterns"],
    *,
    tolerance: ScalarLike = 1e-3,
    num_transitions: int | None = None,
    max_evaluations: int = 24,
    throw: bool = True,
    **options: Any,
) -> TunedDwellTimes:
    r"""Finds the transition weights of a cycle for a given dwell time at each memory.

    The weight $w_\mu$ of the transition into memory μ scales its initial saliency. In the limit of fast neurons and
    weak input coupling a periodic cycle with dwell times $D_\mu$ (in units of $\tau_s$), sum S, and predecessor ν of μ,
    has

    $$\kappa w_\mu = e^{D_\mu}\,\frac{1 - e^{-S}}{1 - e^{-D_\nu}},$$

    and a deviation grows by $\prod_\mu 1/(e^{D_\mu} - 1)$ per round of many memories: single dwell times may be shorter
    than log 2 if others are longer. Newton's method in $\log w$ starts from these weights, with the derivatives of the
    switch times of the full network. The weights are differentiable like the gain of `tune_gain`.

    **Arguments:**

    - `network`: without noise, with one cycle of transitions through all memories, whose weights are ignored. Its gain
      is kept, and scales all weights.
    - `dwell_times`: D > 0 of each memory, in the units of the time constants, shape (patterns,).
    - `tolerance`: relative, of each dwell time and of its change in the last round.
    - `num_transitions`: length of a run in mean dwell times; default four rounds, and at least 24.
    - `max_evaluations`, `throw`, `options`: as in `tune_gain`.

    **Returns:** a `TunedDwellTimes`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import equinox as eqx
    import jax.numpy as jnp
    import hopfield_jax as hj

    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(4, 8), gain=5.0, transitions=hj.sequential.cycle(4), tau_fast=0.01
    )
    found = hj.sequential.tune_dwell_times(network, jnp.array([1.0, 1.5, 1.0, 2.0]))
    network = eqx.tree_at(lambda n: n.transitions, network, found.transitions)
    assert found.residual < 1e-3
    ```
    """
    options, num_transitions = _prepare(network, num_transitions, max_evaluations, options, 4)
    rules, shape = Rules(), (len(network.patterns),)
    dwell_times = rules.real("dwell_times", dwell_times, "positive", shape=shape, names="(patterns,)")
    tolerance = rules.real("tolerance", tolerance, "positive")
    out = _tune_dwell_times(network, dwell_times, tolerance, options, num_transitions, max_evaluations, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


def _prepare(
    network: Any, num_transitions: int | None, max_evaluations: int, options: dict, rounds: int
) -> tuple[dict, int]:
    """Validates the arguments of both functions; returns options and the length of a run (default in rounds)."""
    if not isinstance(network, InputDrivenNetwork):
        fail("network", "an InputDrivenNetwork", kind(network))
    for name in ("saliency", "t1", "key", "until_collapse"):
        if name in options:
            fail(name, "no such option here: the wanted times set it, and there is no noise", options[name])
    for name in ("noise_fast", "noise_slow"):
        noise = getattr(network, name)
        if is_concrete(noise) and np.asarray(noise) > 0:
            fail(f"network.{name}", "no noise, with which no period settles", f"{float(noise):g}")
    num_patterns = len(network.patterns)
    if is_concrete(network.transitions) and not _is_cycle(np.asarray(network.transitions)):
        fail("network.transitions", f"one cycle through all {num_patterns} memories", "others")
    if num_transitions is None:
        num_transitions = max(rounds * num_patterns, 24)
    at_least("num_transitions", num_transitions, 2 * num_patterns)
    at_least("max_evaluations", max_evaluations, 1)
    exact = network.units.saturation is not None and network.input is None
    least = {"solver": ExactDwell() if exact else None, "adjoint": dfx.ForwardMode()}
    # No event to stop at a collapse: it would double the compilation, and the rest of the run is short.
    return least | {"max_transitions": 2 * num_transitions, "until_collapse": False} | options, num_transitions


def _is_cycle(transitions: np.ndarray) -> bool:
    edges = transitions > 0
    memory, seen = 0, set()
    while memory not in seen:
        seen.add(memory)
        memory = int(np.argmax(edges[:, memory]))
    return memory == 0 and len(seen) == len(edges) == int(edges.sum())


def _rounds(run: SequenceRun, num_patterns: int) -> tuple[Array, Array, Array]:
    """Dwell times of the last two rounds, shape (2, P), their memories, and whether there were enough and retrieval
    continues."""
    count = jnp.sum(jnp.isfinite(run.dwell_times))
    index = count - 2 * num_patterns + jnp.arange(2 * num_patterns)
    going = (index[0] >= 0) & (jnp.isfinite(run.period) | (run.result == RESULTS.no_room))
    index = jnp.maximum(index, 0)
    times = jnp.where(going, run.dwell_times[index], jnp.nan)
    return times.reshape(2, -1), run.order[index[num_patterns:]], going


def _run(network: InputDrivenNetwork, first: Array, t1: Array, options: dict) -> tuple[SequenceRun, RESULTS]:
    """A run that starts near the settled saliency of the first memory."""
    start = network.escape_level() * jnp.exp(first / network.tau_slow)
    run = retrieve_sequence(network, saliency=jax.lax.stop_gradient(start), t1=jax.lax.stop_gradient(t1), **options)
    return run, RESULTS.where(run.result == RESULTS.no_room, cast(RESULTS, RESULTS.successful), run.result)


@eqx.filter_jit
def _tune_gain(network, period, tolerance, options, num_transitions: int, most: int, valid) -> TunedGain:
    t1 = num_transitions * period
    options = options_of(network, t1=t1, **options)
    options.pop("t1")

    def measure(network: InputDrivenNetwork, x: Array) -> Measured:
        network = eqx.tree_at(lambda n: n.gain, network, jnp.exp(x[0]))
        run, result = _run(network, period, t1, options)
        last = _rounds(run, len(network.patterns))[0][1]
        value = jnp.mean(last)
        return Measured(value[None], jnp.max(jnp.abs(last / value - 1)), result)

    scaled = period / network.tau_slow
    limit = jnp.exp(2 * scaled) / jnp.expm1(scaled)
    level = network.escape_level()
    first = jnp.log(level * jnp.where(scaled < jnp.log(2.0), 4, limit))
    x, best, count, result = search(measure, network, first[None], period[None], tolerance, most, valid)
    fine = is_okay(result)
    gain = jnp.exp(x[0])
    keep = lambda value: nan_unless(fine, value, constant=True)  # noqa: E731
    return TunedGain(
        gain=keep(gain),
        period=keep(best.measured.values[0]),
        slope=keep(best.jacobian[0, 0] / gain),
        gain_limit=level * gain_for_period(jnp.asarray(scaled)),
        residual=keep(best.measured.values[0] / period - 1),
        unsettled=keep(best.measured.unsettled),
        num_evaluations=count,
        result=result,
        setting=_setting(network, ("gain",), wanted=period, tolerance=tolerance),
    )


@eqx.filter_jit
def _tune_dwell_times(
    network, dwell_times, tolerance, options, num_transitions: int, most: int, valid
) -> TunedDwellTimes:
    num_patterns = len(network.patterns)
    t1 = num_transitions * jnp.mean(dwell_times)
    options = options_of(network, t1=t1, **options)
    options.pop("t1")
    edges = (network.transitions > 0).astype(network.transitions.dtype)
    source = jnp.argmax(edges, axis=1)

    def measure(network: InputDrivenNetwork, x: Array) -> Measured:
        network = eqx.tree_at(lambda n: n.transitions, network, edges * jnp.exp(x)[:, None])
        run, result = _run(network, dwell_times[0], t1, options)
        (before, last), memories, _ = _rounds(run, num_patterns)
        values = jnp.full(num_patterns, jnp.nan, last.dtype).at[memories].set(last)
        return Measured(values, jnp.max(jnp.abs(last / before - 1)), result)

    scaled = dwell_times / network.tau_slow
    # The logarithm of the closed form; S is the sum over one round.
    limit = scaled + jnp.log(-jnp.expm1(-jnp.sum(scaled))) - jnp.log(-jnp.expm1(-scaled[source]))
    first = limit + jnp.log(network.escape_level() / network.gain)
    x, best, count, result = search(measure, network, first, dwell_times, tolerance, most, valid)
    fine = is_okay(result)
    keep = lambda value: nan_unless(fine, value, constant=True)  # noqa: E731
    return TunedDwellTimes(
        transitions=keep(edges * jnp.exp(x)[:, None]),
        dwell_times=keep(best.measured.values),
        residual=keep(best.error),
        unsettled=keep(best.measured.unsettled),
        num_evaluations=count,
        result=result,
        setting=_setting(network, (), wanted=dwell_times, tolerance=tolerance),
    )


def _setting(network: InputDrivenNetwork, without: tuple[str, ...], **numbers: Array) -> Setting:
    where = conditions(network, **numbers)
    return Setting(where.source, where.parts, {k: x for k, x in where.numbers.items() if k not in without})
