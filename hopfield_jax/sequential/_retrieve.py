"""Sequential retrieval: which memories follow each other, when, and how it ends."""

import math
from typing import Any, cast

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import at_least, describe, fail, in_domain, increasing, is_concrete
from .._integrate import Noise, integrate
from .._misc import as_inexact
from .._results import RESULTS, Setting, Steps, card, describe_result, is_okay, raise_unless_okay
from .._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, Scalar, ScalarLike
from ._dwell import ExactDwell
from ._network import InputDrivenNetwork
from ._outcome import Ending

_STEPS_OF_NOISE = 20  # steps in one fast time constant


class SequenceRun(eqx.Module):
    r"""What `hopfield_jax.sequential.retrieve_sequence` returns.

    **Attributes:** room for R = `max_transitions` is kept; what is not needed holds -1 (`order`), 0 (`sign`) or NaN.

    - `order`: memories in the order of their retrieval, the first is the start; shape (R + 1,). `sign`: +1, or -1
      where the memory's negative was retrieved.
    - `switch_times`: when the successor's |overlap| exceeds that of the memory before; shape (R,), in the units of the
      time constants. `dwell_times`: how long each memory led until then.
    - `switch_saliency`: all saliencies at the switches, shape (R, patterns).
    - `num_transitions`: number of switches; `num_correct`: of those before the first that follows no transition of the
      network or goes to a memory's negative.
    - `period`: last dwell time if retrieval goes on until `t1`, else NaN.
    - `collapsed`: whether at the end no |overlap| reaches `level` and no saliency exceeds the level at which a memory
      is stable (1 for `HardTanh`). `collapse_time`: when the overlap was last at `level`, NaN unless collapsed.
    - `ending`: how it ended and why.
    - `times`, `overlap`, `saliency`: the trajectory at `saveat`, shapes (times,) and (times, patterns).
    - `final`: the state at the end. `num_steps`: steps of the solver. `result`: whether the numbers can be trusted.
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
            going = f", settled period {self.period:.5g}" if np.isfinite(self.period) else ""
            stop = f", collapsed at {self.collapse_time:.4g}" if self.collapsed else ""
            return (
                f"{self.num_transitions} transitions until t = {self.times[-1]:.4g} ({self.num_steps} steps): "
                f"{' → '.join(names[:12])}{more}{going}{stop}\n  {Ending[self.ending]}\n  {self.setting}\n  result: "
                f"{describe_result(self.result)}"
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
    r"""Lets memories follow each other from a start until `t1`.

    Switches are located between the solver's own steps (Diffrax; no sampling in time) as roots of the difference of
    two overlaps, cubic in each step; they are differentiable in everything that is a number.

    **Main arguments:**

    - `network`: an `InputDrivenNetwork`.
    - `start`, `saliency`: the memory that is active at first, and its saliency. At most 1 it decays at once, which is
      an outcome (`ending`), no error.
    - `t1`: end, in the units of the time constants.
    - `key`: of the noise; needed if the network has any.

    **Other arguments:**

    - `saveat`: times of the trajectory that is kept; default 201 evenly spaced ones.
    - `max_transitions`: room for switches; more of them end with the code `no_room`.
    - `level`: overlap below which nothing is retrieved. `margin`: by how much the largest |overlap| must exceed the
      others before its memory counts as leading (so that noise at a switch is one switch).
    - `until_collapse`: whether to end there, which saves time; the trajectory is NaN from then on.
    - `dt0`, `solver`, `stepsize_controller`, `adjoint`, `max_steps`: as in `hopfield_jax.integrate`. With noise the
      step is `dt0`, by default $\tau_f/20$ (Euler–Maruyama: the variance of a free fast unit is then 2.5 % too large).
      `max_steps` is by default what the time constants ask for. `ExactDwell()` as solver is quicker.
    - `throw`: whether an unsuccessful end raises; else it is in `result`.

    **Returns:** a `SequenceRun`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.

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
        fail("network", "an InputDrivenNetwork", type(network).__name__)
    at_least("max_transitions", max_transitions, 1)
    saliency, t1, level, margin = map(as_inexact, (saliency, t1, level, margin))
    for name, x, kind in (("saliency", saliency, "finite"), ("t1", t1, "positive")):
        in_domain(name, x, kind)
    for name, x in (("level", level), ("margin", margin)):
        in_domain(name, x, "probability")
    noisy = [is_concrete(s) and float(s) > 0 for s in (network.noise_fast, network.noise_slow)]
    if any(noisy) and key is None:
        fail("key", "a key, as the network has noise", None)
    if key is not None and dt0 is None:
        dt0 = network.tau_fast / _STEPS_OF_NOISE
    if until_collapse and network.input is not None:
        fail("until_collapse", "False, as external input may wake the network again", True)
    if saveat is not None:
        saveat = as_inexact(saveat)
        increasing("saveat", saveat)
        if is_concrete(saveat) and is_concrete(t1) and (saveat[0] < 0 or saveat[-1] > t1):
            fail("saveat", f"times between 0 and t1 = {float(t1):g}", describe(saveat))
    if dt0 is not None:
        dt0 = as_inexact(dt0)
    if max_steps is None:
        max_steps = enough_steps(network, t1, dt0, key, solver, max_transitions)
    options = {
        "dt0": dt0,
        "solver": solver,
        "stepsize_controller": stepsize_controller,
        "adjoint": adjoint,
        "max_steps": max_steps,
    }
    state = network.begin(start, saliency=saliency)  # checks the start
    if isinstance(solver, ExactDwell) and key is not None:
        fail("solver", "another solver with noise", "ExactDwell")
    elif isinstance(solver, ExactDwell):
        solver.parts(network, state)  # checks the network
    start = jnp.asarray(start, jnp.int32)
    out = _retrieve(network, start, saliency, t1, key, saveat, level, margin, options, max_transitions, until_collapse)
    return raise_unless_okay(out, out.result) if throw else out


def enough_steps(
    network: InputDrivenNetwork, t1: Scalar, dt0: Any, key: PRNGKey | None, solver: Any, max_transitions: int
) -> int:
    """Room for steps, a power of two: stability holds them to 3.3 times the fast time constant, switches take more."""
    if isinstance(solver, ExactDwell):
        per_switch = 30 if network.patterns.dtype == jnp.float32 else 75
        # No dwell much shorter than this is seen before a collapse.
        known = is_concrete(t1) and is_concrete(network.tau_slow)
        switches = max(max_transitions, float(t1) / (0.3 * float(network.tau_slow)) if known else 0)
        return 2 ** math.ceil(math.log2(per_switch * (switches + 2)))
    if not all(map(is_concrete, (network.tau_fast, t1, dt0))):
        return 16384
    time, tau = float(t1), float(network.tau_fast)
    needed = time / (2 * tau) + 2048 if key is None else time / (tau / _STEPS_OF_NOISE if dt0 is None else float(dt0))
    return 2 ** math.ceil(math.log2(needed + 16))


@eqx.filter_jit
def _retrieve(
    network, start, saliency, t1, key, times, level, margin, options, max_transitions: int, until_collapse: bool
) -> SequenceRun:
    def read(t, y, args) -> dict[str, Array]:
        """Overlaps, saliencies and their rates of change."""
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

    path = integrate(
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
    steps = cast(Steps, path.steps)
    if times is None:
        times = jnp.linspace(0, 1, 201, dtype=steps.times.dtype) * t1.astype(steps.times.dtype)
    found = _switches(steps, start, level, margin, max_transitions, smooth=key is None)
    last = jnp.sum(jnp.isfinite(steps.times)) - 1
    overlap, salient = steps.values["overlap"], steps.values["saliency"]
    size = jnp.abs(overlap)
    strong = jnp.max(size, axis=1) >= level.astype(size.dtype)
    held = jnp.max(jnp.where(strong, jnp.arange(len(strong)), 0))
    stable = network.escape_level().astype(salient.dtype)
    collapsed = ~strong[last] & (jnp.max(salient[last]) <= stable)
    leader, sign = found["order"][found["count"]], found["sign"][found["count"]]

    at_switch = _interpolate(steps, found["times"], network.tau_slow, smooth=key is None)[1]

    # Why it ended. What was there to follow when the active memory was lost:
    others = jnp.arange(len(network.patterns), dtype=leader.dtype) != leader
    able = others & (salient[held] > stable)
    pushed = able & (size[held] > 1e-4)
    column = network.transitions[:, leader]
    holds = network.gain * column[leader] >= 1
    ending = cast(Ending, Ending.running)
    for reason, why in (
        (collapsed, Ending.collapse),
        (collapsed & jnp.any(able) & ~jnp.any(pushed), Ending.not_nucleated),
        (collapsed & ~jnp.any(column > 0), Ending.end_of_chain),
        (~collapsed & holds, Ending.no_escape),
        (collapsed & (found["count"] == 0) & (saliency <= stable), Ending.decayed_at_start),
        (_tied(found, at_switch) & (key is None), Ending.tie),
        (sign < 0, Ending.wrong_sign),
        (path.result == RESULTS.invalid_parameter, Ending.invalid),
    ):
        ending = Ending.where(reason, why, ending)
    result = RESULTS.where(is_okay(path.result) & found["overflow"], RESULTS.no_room, path.result)
    going = is_okay(path.result) & (ending == Ending.running) & (found["count"] > 0)
    dwell = jnp.diff(found["times"], prepend=jnp.zeros(1, found["times"].dtype))
    source, target = found["order"][:-1], found["order"][1:]
    correct = (network.transitions[target, source] > 0) & (found["sign"][1:] > 0) & (target >= 0)
    trajectory = _interpolate(steps, times, network.tau_slow, smooth=key is None)
    return SequenceRun(
        order=found["order"],
        sign=found["sign"],
        switch_times=found["times"],
        dwell_times=dwell,
        switch_saliency=at_switch,
        num_transitions=found["count"],
        num_correct=jnp.sum(jnp.cumprod(correct)),
        period=jnp.where(going, dwell[jnp.maximum(found["count"] - 1, 0)], jnp.nan),
        collapsed=collapsed,
        collapse_time=jnp.where(collapsed, steps.times[held], jnp.nan),
        ending=ending,
        times=times,
        overlap=trajectory[0],
        saliency=trajectory[1],
        final=path.final,
        num_steps=path.stats["num_steps"],
        result=result,
        setting=conditions(network, saliency=saliency, start=start.astype(saliency.dtype), t1=t1, level=level),
    )


def conditions(network: InputDrivenNetwork, **numbers: Array) -> Setting:
    """The `Setting` of a network (but for its patterns, transitions and input) and of further numbers."""
    num_patterns, num_neurons = network.patterns.shape
    parts = [("units", type(network.units).__name__), ("N", str(num_neurons)), ("P", str(num_patterns))]
    model = eqx.tree_at(lambda n: (n.patterns, n.transitions, n.input), network, (None, None, None), is_leaf=_absent)
    return Setting.of("sequential retrieval", parts, {"": model, **numbers})


def _absent(x: Any) -> bool:
    return x is None


def _switches(
    steps: Steps, start: Array, level: Scalar, margin: Scalar, room: int, *, smooth: bool
) -> dict[str, Array]:
    """Who leads after whom. A memory leads at a step if its |overlap| reaches the level and exceeds all others by the
    margin; between two leaders, the switch is where the later one's |overlap| last overtook the earlier one's."""
    overlap, rate, t = steps.values["overlap"], steps.values["overlap_rate"], steps.times
    index = jnp.arange(len(t))
    size = jnp.where(jnp.isnan(overlap), 0, jnp.abs(overlap))
    memory = jnp.argmax(size, axis=1).astype(start.dtype)
    others = jnp.where(jnp.arange(size.shape[1], dtype=start.dtype)[None] == memory[:, None], 0, size)
    top = _take(size, memory)
    leads = (top - jnp.max(others, axis=1) > margin.astype(size.dtype)) & (top >= level.astype(size.dtype))
    before = jax.lax.cummax(jnp.where(leads, index, -1))  # the last step that had a leader
    after = jax.lax.cummin(jnp.where(leads, index, len(t)), reverse=True)
    past = jnp.where(before >= 0, memory[before], start)
    future = jnp.where(after < len(t), memory[jnp.minimum(after, len(t) - 1)], past)
    old, new = past[:-1], future[1:]  # of the interval from each step to the next
    ahead = lambda k: _take(size[k:][: len(old)], new) - _take(size[k:][: len(old)], old)  # noqa: E731
    crossing = (old != new) & (ahead(0) <= 0) & (ahead(1) > 0)
    latest = jax.lax.cummax(jnp.where(crossing, index[:-1], -1))
    changed = leads[1:] & (past[1:] != past[:-1])
    at = jnp.nonzero(changed, size=room + 1, fill_value=-1)[0]
    count = jnp.sum(changed)
    happened = (at >= 0)[:room]
    at = jnp.where(happened, at[:room], 0)
    step = jnp.maximum(latest[at], 0)
    p, q = past[at], past[at + 1]

    # The difference of the two overlaps within that step, as a cubic of θ in [0, 1].
    width = t[step + 1] - t[step]

    def ends(k):
        i = step + k
        signs = jax.lax.stop_gradient((jnp.sign(overlap[i, q]), jnp.sign(overlap[i, p])))
        return tuple(signs[0] * x[i, q] - signs[1] * x[i, p] for x in (overlap, rate))

    (d0, r0), (d1, r1) = ends(0), ends(1)
    r0, r1 = (r0 * width, r1 * width) if smooth else (d1 - d0, d1 - d0)
    root = _cubic_root(*jax.lax.stop_gradient((d0, d1, r0, r1)))
    value, slope = _hermite(root, d0, d1, r0, r1)
    # One Newton step from the root: nothing in value, all of the derivative.
    root -= value / jax.lax.stop_gradient(jnp.where(slope == 0, 1, slope))
    order = jnp.concatenate([start[None], jnp.where(happened, q, -1)]).astype(jnp.int32)
    first = jnp.sign(jnp.nan_to_num(_take(overlap[:1], start[None])))
    sign = jnp.concatenate([first, jnp.where(happened, jnp.sign(overlap[at + 1, q]), 0)]).astype(jnp.int32)
    return {
        "order": order,
        "sign": sign,
        "times": jnp.where(happened, t[step] + root * width, jnp.nan),
        "count": jnp.minimum(count, room),
        "overflow": count > room,
    }


def _tied(found: dict[str, Array], saliency: Array) -> Array:
    """Whether at a switch another memory was as salient as the one that followed, to rounding: then chance decided."""
    source, target = found["order"][:-1], found["order"][1:]
    memory = jnp.arange(saliency.shape[1], dtype=source.dtype)[None]
    rivals = jnp.where((memory == source[:, None]) | (memory == target[:, None]), -jnp.inf, saliency)
    winner = _take(saliency, jnp.maximum(target, 0))
    return jnp.any(jnp.abs(jnp.max(rivals, axis=1) - winner) < 1e-4 * jnp.abs(winner))


def _take(rows: Array, columns: Array) -> Array:
    return jnp.take_along_axis(rows, columns[:, None], axis=1)[:, 0]


def _hermite(x: Array, y0: Array, y1: Array, r0: Array, r1: Array) -> tuple[Array, Array]:
    """Cubic on [0, 1] with given values and slopes at the ends, and its slope."""
    a, b = 2 * (y0 - y1) + r0 + r1, 3 * (y1 - y0) - 2 * r0 - r1
    return ((a * x + b) * x + r0) * x + y0, (3 * a * x + 2 * b) * x + r0


def _cubic_root(y0: Array, y1: Array, r0: Array, r1: Array) -> Array:
    """Where the cubic passes from y0 <= 0 to y1 > 0, by bisection to the last bits."""

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        beyond = _hermite(middle, y0, y1, r0, r1)[0] > 0
        return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

    bits = jnp.finfo(y0.dtype).nmant + 2
    low, high = jax.lax.fori_loop(0, bits, halve, (jnp.zeros_like(y0), jnp.ones_like(y0)))
    return 0.5 * (low + high)


def _interpolate(steps: Steps, times: Array, tau: Scalar, *, smooth: bool) -> tuple[Array, Array]:
    """Overlaps and saliencies at any times, NaN beyond the end. In a step overlaps are cubic, saliencies what their own
    equation makes of a drive that changes linearly in time; with noise both are linear."""
    t = steps.times
    last = jnp.sum(jnp.isfinite(t)) - 1
    i = jnp.searchsorted(jnp.where(jnp.isfinite(t), t, jnp.inf), times, side="right").astype(last.dtype)
    i = jnp.clip(i - 1, 0, last - 1)
    h = (t[i + 1] - t[i])[:, None]
    x = (times[:, None] - t[i][:, None]) / h
    (m0, m1), (a0, a1) = ((v[i], v[i + 1]) for v in (steps.values["overlap"], steps.values["saliency"]))
    if smooth:
        p0, p1 = (steps.values["overlap_rate"][k] for k in (i, i + 1))
        # Slopes that would leave the range of the two ends are cut: units with an edge have none there.
        p0, p1 = (jnp.clip(h * p, 3 * jnp.minimum(m1 - m0, 0), 3 * jnp.maximum(m1 - m0, 0)) for p in (p0, p1))
        overlap = _hermite(x, m0, m1, p0, p1)[0]
        s, drive = h / tau, a0 + tau * steps.values["saliency_rate"][i]
        free = lambda x: a0 + (a0 - drive) * jnp.expm1(-x * s)  # with the drive of the step's beginning  # noqa: E731
        saliency = free(x) + (a1 - free(1)) * _ramp(x * s) / _ramp(s)
    else:
        overlap, saliency = (1 - x) * m0 + x * m1, (1 - x) * a0 + x * a1
    known = ((times >= t[0]) & (times <= t[last]))[:, None]
    return jnp.where(known, overlap, jnp.nan), jnp.where(known, saliency, jnp.nan)


def _ramp(s: Array) -> Array:
    """s − 1 + e^{−s}: the response to a drive that grows linearly."""
    return jnp.where(s < 0.1, 0.5 * s**2 * (1 - s / 3 * (1 - s / 4 * (1 - s / 5))), s + jnp.expm1(-s))
