"""Sequential retrieval: order, switch times and ending."""

import math
from typing import Any, cast

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import Rules, as_real, at_least, fail, is_concrete, key_fits, kind
from .._integrate import Noise, integrate
from .._misc import matmul
from .._results import RESULTS, Setting, Steps, Trajectory, card, describe_result, is_okay, raise_unless_okay
from .._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, Scalar, ScalarLike
from ._dwell import ExactDwell
from ._network import InputDrivenNetwork
from ._outcome import Ending
from ._switches import interpolate, last_time_above, switches, tied

_STEPS_OF_NOISE = 20  # steps per fast time constant


class SequenceRun(eqx.Module):
    r"""Result of `hopfield_jax.sequential.retrieve_sequence`.

    **Attributes:** with R = `max_transitions`; padded with -1 (`order`), 0 (`sign`) or NaN.

    - `order`: memories in the order of their retrieval, the first is the start; shape (R + 1,). `sign`: +1, or -1
      where the memory's negative was retrieved.
    - `switch_times`: when the successor's |overlap| exceeds that of the previous memory; shape (R,), in the units of
      the time constants. `dwell_times`: how long each memory was leading before.
    - `switch_saliency`: all saliencies at the switches, shape (R, patterns).
    - `num_transitions`: number of switches; `num_correct`: of those before the first that is no transition of the
      network or leads to a memory's negative (including a start that is replaced by an input).
    - `period`: last dwell time if retrieval goes on until `t1`, else NaN; the settled period if it has settled.
    - `collapsed`: whether at the end no |overlap| reaches `level` and no saliency exceeds the level at which a memory
      is stable (1 for `HardTanh`). `collapse_time`: when the overlap was last at `level`, NaN unless collapsed.
    - `ending`: how it ended and why. `chance`: whether at some switch two successors were equally salient, so that
      rounding decided (only without noise).
    - `times`, `overlap`, `saliency`: the trajectory at `saveat`, shapes (times,) and (times, patterns).
    - `final`: the final state. `num_steps`: steps of the solver. `result`: the result code.
    - `setting`: the conditions.
    """

    order: Int[Array, " visits"]
    sign: Int[Array, " visits"]
    switch_times: Float[Array, " switches"]
    dwell_times: Float[Array, " switches"]
    switch_saliency: Float[Array, "switches patterns"]
    num_transitions: Int[Array, ""]
    num_correct: Int[Array, ""]
    period: Scalar
    collapsed: Bool[Array, ""]
    collapse_time: Scalar
    ending: Ending
    chance: Bool[Array, ""]
    times: Float[Array, " times"]
    overlap: Float[Array, "times patterns"]
    saliency: Float[Array, "times patterns"]
    final: dict[str, Float[Array, " neurons"]]
    num_steps: Int[Array, ""]
    result: RESULTS
    setting: Setting

    def __str__(self) -> str:
        def text():
            order, sign = np.asarray(self.order), np.asarray(self.sign)
            names = [("-" if s < 0 else "") + str(k) for k, s in zip(order, sign, strict=True) if k >= 0]
            more = " …" if len(names) > 12 else ""
            going = f", last dwell time {self.period:.5g}" if np.isfinite(self.period) else ""
            stop = f", collapsed at {self.collapse_time:.4g}" if self.collapsed else ""
            until = f"until t = {self.setting.numbers['t1']:.4g} ({self.num_steps} steps)"
            return (
                f"{self.num_transitions} transitions {until}: {' → '.join(names[:12])}{more}{going}{stop}\n  "
                f"{Ending[self.ending]}\n  {self.setting}\n  result: {describe_result(self.result)}"
            )

        return card(self, self.num_transitions, text)


def retrieve_sequence(
    network: InputDrivenNetwork,
    *,
    start: int | Int[Array, ""] = 0,
    saliency: ScalarLike,
    t1: ScalarLike,
    key: PRNGKey | None = None,
    saveat: ArrayLike | None = None,
    max_transitions: int = 64,
    level: ScalarLike = 0.5,
    margin: ScalarLike = 0.1,
    until_collapse: bool = False,
    dt0: ScalarLike | None = None,
    solver: dfx.AbstractSolver | ExactDwell | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    adjoint: dfx.AbstractAdjoint | None = None,
    max_steps: int | None = None,
    throw: bool = True,
) -> SequenceRun:
    r"""Integrates a network through a sequence of retrievals until `t1`.

    Switches are located within the solver's steps (without sampling in time) as roots of the difference of two
    overlaps, cubic in each step; they are differentiable with respect to all numeric parameters.

    **Main arguments:**

    - `network`: an `InputDrivenNetwork`.
    - `start`, `saliency`: the first active memory, and its saliency. A saliency of at most 1 decays at once, which is
      reported in `ending` and is no error.
    - `t1`: final time, in the units of the time constants.
    - `key`: random key, required with noise.

    **Other arguments:**

    - `saveat`: times of the saved trajectory; default 201 evenly spaced ones.
    - `max_transitions`: capacity for switches; more give the code `no_room`.
    - `level`: overlap below which nothing counts as retrieved. `margin`: by how much the largest |overlap| must exceed
      the others for its memory to count as leading (so that noise at a switch is not counted as several switches).
    - `until_collapse`: whether to stop at a collapse, which saves time; the trajectory is NaN from then on.
    - `dt0`, `solver`, `stepsize_controller`, `adjoint`, `max_steps`: as in `hopfield_jax.integrate`. With noise the
      step is `dt0`, by default $\tau_f/20$ (Euler–Maruyama: the variance of a free fast unit is then 2.5 % too large).
      The default of `max_steps` depends on the time constants. The solver `ExactDwell()` is faster.
    - `throw`: whether to raise on failure; otherwise the code is in `result`.

    **Returns:** a `SequenceRun`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import hopfield_jax as hj

    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(8, 64), gain=5.0, transitions=hj.sequential.cycle(8), tau_fast=0.02
    )
    run = hj.sequential.retrieve_sequence(network, saliency=5.0, t1=6.0)
    assert run.order[:4].tolist() == [0, 1, 2, 3] and not run.collapsed
    ```
    """
    if not isinstance(network, InputDrivenNetwork):
        fail("network", "an InputDrivenNetwork", kind(network))
    at_least("max_transitions", max_transitions, 1)
    rules = Rules()
    start = rules.index("start", start, len(network.patterns), "a memory")
    saliency, t1 = rules.real("saliency", saliency, "finite"), rules.real("t1", t1, "positive")
    level, margin = rules.real("level", level, "probability"), rules.real("margin", margin, "probability")
    check_key(network, key, rules)
    if network.input is not None:
        rules.times("InputProtocol.times", network.input.times)
    if until_collapse and network.input is not None:
        fail("until_collapse", "False, as external input may wake the network again", True)
    if saveat is not None:
        saveat = rules.times("saveat", saveat)
        within = lambda times, t1: (times[0] >= 0) & (times[-1] <= t1)  # noqa: E731
        rules.holds("saveat", within, "times between 0 and t1 = {1:g}", saveat, t1)
    if dt0 is not None:
        dt0 = as_real("dt0", dt0)
    elif key is not None:
        dt0 = network.tau_fast / _STEPS_OF_NOISE
    if max_steps is None:
        max_steps = enough_steps(network, t1, dt0, key, solver, max_transitions)
    control = {"stepsize_controller": stepsize_controller}
    options = control | {"dt0": dt0, "solver": solver, "adjoint": adjoint, "max_steps": max_steps}
    if isinstance(solver, ExactDwell):
        solver.fits(network, key, stepsize_controller)
    numbers = start, saliency, t1, level, margin
    out = _retrieve(network, *numbers, key, saveat, options, max_transitions, until_collapse, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


def check_key(network: InputDrivenNetwork, key: PRNGKey | None, rules: Rules) -> None:
    """Validates that a network with noise has a key."""
    if key is not None:
        return key_fits("key", key)
    for noise in (network.noise_fast, network.noise_slow):
        rules.holds("key", lambda noise: noise == 0, "a key, as the network has noise", noise, got="None")


def enough_steps(
    network: InputDrivenNetwork, t1: Scalar, dt0: Any, key: PRNGKey | None, solver: Any, max_transitions: int
) -> int:
    """Default `max_steps`, a power of two: stability limits steps to 3.3 fast time constants; switches need more."""
    if isinstance(solver, ExactDwell):
        per_switch = 30 if network.patterns.dtype == jnp.float32 else 75
        # No dwell much shorter than this is seen before a collapse.
        known = is_concrete(t1) and is_concrete(network.tau_slow)
        switches = max(max_transitions, float(t1) / (0.3 * float(network.tau_slow)) if known else 0)
        return 2 ** math.ceil(math.log2(per_switch * (switches + 2)))
    if not all(map(is_concrete, (network.tau_fast, t1, dt0))):
        return 16384
    time, tau = float(t1), float(network.tau_fast)
    if key is None:  # twice as many at float64's tolerance
        needed = (time / (2.2 * tau) + 1024) * (1 if network.patterns.dtype == jnp.float32 else 2)
    else:
        needed = time / (tau / _STEPS_OF_NOISE if dt0 is None else float(dt0))
    return 2 ** math.ceil(math.log2(needed + 16))


@eqx.filter_jit
def _retrieve(
    network, start, saliency, t1, level, margin, key, times, options, max_transitions: int, until_collapse: bool, valid
) -> SequenceRun:
    t1 = jnp.where(valid, t1, jnp.nan)  # skips the integration; the result is NaN
    path = _path(network, start, saliency, t1, level, key, options, until_collapse)
    steps = cast(Steps, path.steps)
    if times is None:
        times = jnp.linspace(0, 1, 201, dtype=steps.times.dtype) * t1.astype(steps.times.dtype)
    smooth = key is None
    found = switches(steps, start, level, margin, max_transitions, smooth=smooth)
    at_switch = interpolate(steps, found["times"], network.tau_slow, smooth=smooth)[1]
    held, lost_at = last_time_above(steps, level, smooth=smooth)
    last = jnp.sum(jnp.isfinite(steps.times)) - 1
    size, salient = jnp.abs(steps.values["overlap"]), steps.values["saliency"]
    stable = network.escape_level().astype(salient.dtype)
    collapsed = (held < last) & (jnp.max(salient[last]) <= stable)
    chance = tied(found, at_switch) if smooth else jnp.array(False)
    ending = _ending(
        network, found, size[held], salient[held], salient[last], stable, saliency, collapsed, chance, path.result
    )
    result = RESULTS.where(is_okay(path.result) & found["overflow"], RESULTS.no_room, path.result)
    going = is_okay(path.result) & (ending == Ending.running) & (found["count"] > 0)
    dwell = jnp.diff(found["times"], prepend=jnp.zeros(1, found["times"].dtype))
    source, target = found["order"][:-1], found["order"][1:]
    correct = (network.transitions[target, source] > 0) & (found["sign"][1:] > 0) & (target >= 0)
    trajectory = interpolate(steps, times, network.tau_slow, smooth=smooth)
    return SequenceRun(
        order=jnp.where(path.result != RESULTS.invalid_parameter, found["order"], -1),
        sign=jnp.where(path.result != RESULTS.invalid_parameter, found["sign"], 0),
        switch_times=found["times"],
        dwell_times=dwell,
        switch_saliency=at_switch,
        num_transitions=found["count"],
        num_correct=jnp.sum(jnp.cumprod(correct)),
        period=jnp.where(going, dwell[jnp.maximum(found["count"] - 1, 0)], jnp.nan),
        collapsed=collapsed,
        collapse_time=jnp.where(collapsed, lost_at, jnp.nan),
        ending=ending,
        chance=chance,
        times=times,
        overlap=trajectory[0],
        saliency=trajectory[1],
        final=path.final,
        num_steps=path.stats["num_steps"],
        result=result,
        setting=conditions(
            network, saliency=saliency, start=start.astype(saliency.dtype), t1=t1, level=level, margin=margin
        ),
    )


def _path(network, start, saliency, t1, level, key, options, until_collapse: bool) -> Trajectory:
    """The solve, which saves overlaps, saliencies and their rates of change at every step."""

    def read(t, y, args) -> dict[str, Array]:
        values, rates = jax.jvp(
            lambda y: (network.overlap(y), network.saliency(y)), (y,), (network.vector_field(t, y),)
        )
        return {"overlap": values[0], "saliency": values[1], "overlap_rate": rates[0], "saliency_rate": rates[1]}

    state = network.begin(start, saliency=saliency)
    if isinstance(options["solver"], ExactDwell):
        parts = options["solver"].parts(network, state)
        options = options | dict(zip(("solver", "stepsize_controller"), parts, strict=True))

    def lost(t, y, args) -> Array:
        weak = jnp.max(jnp.abs(network.overlap(y))) < level
        return weak & (jnp.max(network.saliency(y)) <= network.escape_level())

    return integrate(
        network,
        state,
        until=lost if until_collapse else None,
        t1=t1,
        noise=None if key is None else Noise(network.diffusion, key),
        jump_times=None if network.input is None else network.input.times,
        every_step=read,
        throw=False,
        **options,
    )


def _ending(network, found, size, salient, salient_at_end, stable, first_saliency, collapsed, chance, result) -> Ending:
    """The ending; `size` and `salient` are |overlaps| and saliencies when the last memory was lost."""
    leader = found["leader"]
    # The possible successors.
    able = (jnp.arange(len(network.patterns), dtype=leader.dtype) != leader) & (salient > stable)
    pushed = able & (size > 1e-4)
    column = network.transitions[:, leader]
    # The saliency tends to the memory's own drive; it is held if the saliency has reached a sufficient drive.
    drive = network.gain * network.saliency({"slow": matmul(network.successors_of(leader), network.patterns)})[leader]
    at_rest = jnp.abs(salient_at_end[leader.astype(jnp.int32)] - drive) < 1e-3 * drive
    ending = cast(Ending, Ending.running)
    for reason, why in (
        (collapsed, Ending.collapse),
        (collapsed & jnp.any(able) & ~jnp.any(pushed), Ending.not_nucleated),
        (collapsed & ~jnp.any(column > 0), Ending.end_of_chain),
        (collapsed & chance, Ending.tie),
        (~collapsed & (drive >= stable) & at_rest, Ending.no_escape),
        (collapsed & (found["count"] == 0) & (first_saliency <= stable), Ending.decayed_at_start),
        ((found["count"] > 0) & (found["sign"][found["count"]] < 0), Ending.wrong_sign),
        (~is_okay(result), Ending.invalid),
    ):
        ending = Ending.where(reason, why, ending)
    return ending


def conditions(network: InputDrivenNetwork, **numbers: Array) -> Setting:
    """The `Setting` of a network (without patterns, transitions and input) and of further numbers."""
    num_patterns, num_neurons = network.patterns.shape
    parts = [("units", type(network.units).__name__), ("N", str(num_neurons)), ("P", str(num_patterns))]
    model = eqx.tree_at(lambda n: (n.patterns, n.transitions, n.input), network, (None, None, None), is_leaf=_absent)
    return Setting.of("sequential retrieval", parts, {"": model, **numbers})


def _absent(x: Any) -> bool:
    return x is None
