"""One segment of an integration: Diffrax's solvers and step-size controllers in a loop without callbacks.

`diffrax.diffeqsolve` checks step size and times inside the program, through callbacks into Python, which keep it out of
JAX's compilation cache and from being lowered for another platform. `integrate` has validated them already.
"""

from collections.abc import Callable
from typing import Any, cast

import diffrax as dfx
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import optimistix as optx

from .._checks import fail
from .._results import RESULTS
from .._roots import bracket
from .._types import Array, Bool, Int, PyTree, Scalar, State

_OF_CONTROLLER = dfx.with_stepsize_controller_tols(optx.Newton)().rtol  # stands for "the controller's tolerance"

LOOPS: dict[type, Any] = {
    dfx.RecursiveCheckpointAdjoint: "checkpointed",
    dfx.ForwardMode: "lax",
    dfx.DirectAdjoint: "bounded",
}
"""The kind of loop that such derivatives go through."""

FIRST_STEP = 0.01
"""The first step that is tried where none is given, or the shortest one that the times resolve; the controller takes it
back if it is too long."""

_GOOD, _EVENT, _OUT_OF_STEPS = (
    cast(RESULTS, code) for code in (RESULTS.successful, RESULTS.event_occurred, RESULTS.max_steps_reached)
)


class Segment(eqx.Module):
    """One segment of a trajectory, without events inside: statistics at the times that were `reached`, and its end."""

    reached: Bool[Array, " times"]
    values: PyTree
    final: State
    final_time: Scalar
    result: RESULTS
    stats: dict[str, Array]
    steps: tuple[Array, PyTree] | None  # times and what `every_step` kept, in room for all steps


def with_tolerances(solver: Any, controller: Any, kind: str) -> tuple[Any, Any]:
    """Solver and controller as Diffrax combines them: an implicit solver takes tolerances from the controller."""
    if getattr(solver, "scan_kind", kind) is None and kind != "checkpointed":  # of the loop over stages
        solver = eqx.tree_at(lambda s: s.scan_kind, solver, kind, is_leaf=lambda x: x is None)
    if isinstance(solver, dfx.AbstractImplicitSolver):
        names = [n for n in ("rtol", "atol", "norm") if getattr(solver.root_finder, n) is _OF_CONTROLLER]
        if names and not isinstance(controller, dfx.AbstractAdaptiveStepSizeController):
            expected = "an adaptive one for an implicit solver, or tolerances of the solver's own root finder"
            fail("stepsize_controller", expected, type(controller).__name__)
        pick = lambda x: [getattr(x, name) for name in names]  # noqa: E731
        solver = eqx.tree_at(lambda s: pick(s.root_finder), solver, pick(controller)) if names else solver
    if not isinstance(controller, dfx.StepTo):  # which would check its times in the program
        controller = controller.wrap(1)
    return solver, controller


class _State(eqx.Module):
    """What a step hands to the next one."""

    t: Scalar
    t_next: Scalar
    y: State
    made_jump: Any
    solver_state: PyTree
    controller_state: PyTree
    result: RESULTS
    num_steps: Int[Array, ""]
    num_accepted: Int[Array, ""]
    progress: PyTree
    saved: tuple[Int[Array, ""], PyTree] | None  # how many times, and the statistics there
    kept: PyTree  # times and what `every_step` gave
    value: Scalar | None  # of the condition
    last_step: tuple[Scalar, Scalar, PyTree] | None  # from, to, and what interpolates between


class Loop(eqx.Module):
    """Steps from `t0` until `t1`, or until `condition` falls from positive to not positive, or `until` holds.

    `times` lie within [t0, t1]; `None` stands for `t1` alone. `condition` is told the start of the segment by its value
    at `t0`.
    """

    terms: PyTree
    solver: Any
    controller: Any
    adjoint: dfx.AbstractAdjoint
    meter: dfx.AbstractProgressMeter
    max_steps: int = eqx.field(static=True)
    args: Any
    times: Array | None
    statistics: Callable
    every_step: Callable | None
    until: Callable | None
    condition: Callable | None

    def run(self, y0: State, t0: Scalar, t1: Scalar, dt0: Scalar | None) -> Segment:
        """A segment."""
        kind, checkpoints = LOOPS[type(self.adjoint)], getattr(self.adjoint, "checkpoints", None)
        prepared = with_tolerances(self.solver, self.controller, kind)
        self = eqx.tree_at(lambda loop: (loop.solver, loop.controller), self, prepared)

        def going(state: _State) -> Array:
            return (state.t < t1) & (state.result == _GOOD)

        def buffers(state: _State) -> list[PyTree]:
            saved = [] if self.times is None else [state.saved[1]]  # pyright: ignore[reportOptionalSubscript]
            return saved if self.every_step is None else [*saved, state.kept]

        last = eqxi.while_loop(
            going,
            lambda state: self._step(state, t0, t1, kind),
            self._start(y0, t0, t1, dt0),
            max_steps=self.max_steps,
            buffers=buffers,
            kind=kind,
            checkpoints=checkpoints,
        )
        self.meter.close(last.progress)
        t, y = (last.t, last.y) if self.condition is None else self._located(last)
        if self.times is None or last.saved is None:
            reached = (t >= t1)[None]
            values = jtu.tree_map(lambda x: x[None], self.statistics(t, y, self.args))
        else:
            count, values = last.saved
            reached = (jnp.arange(len(self.times)) < count) & (self.times <= t)
        stats = {
            "num_steps": last.num_steps,
            "num_accepted_steps": last.num_accepted,
            "num_rejected_steps": last.num_steps - last.num_accepted,
        }
        result = RESULTS.where(going(last), _OUT_OF_STEPS, last.result)
        return Segment(reached, values, y, t, result, stats, last.kept)

    def steps_that_meet_times(self, y0: State, t0: Scalar, t1: Scalar) -> Segment:
        """Constant steps of an explicit solver, each of which ends at one of the `times`: one scan.

        Step and statistics start from the same state in the same body, so that they share their products. The scan
        takes a step beyond the end, which is cheaper than to write the statistics at the end into a copy of the others.
        """
        times: Any = self.times
        size = len(times) - 1
        solver_state = self.solver.init(self.terms, t0, t1, y0, self.args)
        time = lambda i: jnp.where(i == size, t1, t0 + (t1 - t0) * (i.astype(t0.dtype) / size))  # noqa: E731

        def step(carry: tuple, i: Array) -> tuple[tuple, PyTree]:
            y, _ = carry
            new, *_ = self.solver.step(self.terms, time(i), time(i + 1), y, self.args, solver_state, False)
            return (new, y), self.statistics(time(i), y, self.args)

        (_, final), values = jax.lax.scan(step, (y0, y0), jnp.arange(size + 1))
        count = jnp.array(size)
        stats = {"num_steps": count, "num_accepted_steps": count, "num_rejected_steps": 0 * count}
        return Segment(jnp.ones_like(times, dtype=bool), values, final, t1, _GOOD, stats, None)

    def _start(self, y0: State, t0: Scalar, t1: Scalar, dt0: Scalar | None) -> _State:
        solver, controller, args = self.solver, self.controller, self.args
        if dt0 is None and isinstance(controller, dfx.PIDController | dfx.ClipStepSizeController):
            dt0 = jnp.maximum(jnp.asarray(FIRST_STEP, t0.dtype), 4 * jnp.finfo(t0.dtype).eps * jnp.abs(t0))
        if isinstance(controller, dfx.StepTo):
            t_next, controller_state = controller.ts[1], jnp.asarray(2)
        else:
            order = solver.error_order(self.terms)
            t_next, controller_state = controller.init(self.terms, t0, t1, y0, dt0, args, solver.func, order)
        t_next = jnp.minimum(t_next, t1)
        solver_state = solver.init(self.terms, t0, t_next, y0, args)
        smooth = isinstance(controller, dfx.PIDController | dfx.ConstantStepSize | dfx.StepTo)
        made_jump = False if smooth else jnp.array(False)
        room = lambda size, fn: jtu.tree_map(  # noqa: E731
            lambda x: jnp.full((size, *x.shape), jnp.inf, x.dtype), eqx.filter_eval_shape(fn, t0, y0, args)
        )
        zero = jnp.asarray(0)
        saved = None if self.times is None else (zero, room(len(self.times), self.statistics))
        kept, value, last_step, result = None, None, None, _GOOD
        if self.every_step is not None:
            values = room(self.max_steps + 1, self.every_step)
            values = jtu.tree_map(lambda x, v: x.at[0].set(v), values, self.every_step(t0, y0, args))
            kept = jnp.full(self.max_steps + 1, jnp.inf, t0.dtype).at[0].set(t0), values
        if self.condition is not None:
            given = self.terms, t0, t_next, y0, args, solver_state, made_jump
            dense = jtu.tree_map(lambda x: jnp.zeros(x.shape, x.dtype), eqx.filter_eval_shape(solver.step, *given)[2])
            value, last_step = self.condition(t0, y0, args), (t0, t0, dense)
        if self.until is not None:
            result = RESULTS.where(self.until(t0, y0, args), _EVENT, _GOOD)
        return _State(
            t0, t_next, y0, made_jump, solver_state, controller_state, result, zero, zero, self.meter.init(), saved,
            kept, value, last_step,
        )  # fmt: skip

    def _step(self, state: _State, t0: Scalar, t1: Scalar, kind: str) -> _State:
        """A step, which the controller accepts or not, and what is to be remembered of it."""
        args = self.args
        y, error, dense, solver_state, solved = self.solver.step(
            self.terms, state.t, state.t_next, state.y, args, state.solver_state, state.made_jump
        )
        error = jtu.tree_map(lambda x: jnp.where(jnp.isnan(x), jnp.inf, x), error)
        accepted, t, t_next, made_jump, controller_state, controlled = self.controller.adapt_step_size(
            state.t, state.t_next, state.y, y, args, error, self.solver.error_order(self.terms), state.controller_state
        )
        t = jnp.minimum(t, t1)
        end = t1 - 100 * (t1 - eqxi.prevbefore(t1))  # what comes as close as this ends at `t1`
        t_next = jnp.where(t_next > end, jnp.where(accepted, t1, t + 0.5 * (t1 - t)), t_next)
        new, old = (y, solver_state, made_jump), (state.y, state.solver_state, state.made_jump)
        if accepted is not True:
            new = jtu.tree_map(lambda a, b: jnp.where(accepted, a, b) if eqx.is_array(a) else a, new, old)
        y, solver_state, made_jump = new
        result = _GOOD if solved is dfx.RESULTS.successful else RESULTS.where(accepted, RESULTS.promote(solved), _GOOD)
        if controlled is not dfx.RESULTS.successful:
            result = RESULTS.where(result == _GOOD, RESULTS.promote(controlled), result)
        num_accepted = state.num_accepted + jnp.where(accepted, 1, 0)
        saved, kept, value, last_step = state.saved, state.kept, state.value, state.last_step
        if self.times is not None:
            between = self.solver.interpolation_cls(t0=state.t, t1=state.t_next, **dense)
            saved = self._save(saved, between, jnp.where(accepted, state.t_next, -jnp.inf), kind)
        if self.every_step is not None:
            taken: Any = jnp.asarray(accepted)
            put = lambda v, x: eqxi.buffer_at_set(x, num_accepted, v, pred=taken)  # noqa: E731
            kept = jtu.tree_map(put, (t, self.every_step(t, y, args)), kept)
        if self.condition is not None:
            value, last_step = self.condition(t, y, args), (state.t, state.t_next, dense)
            before: Any = state.value
            result = RESULTS.where((before > 0) & (value <= 0), _EVENT, result)
        if self.until is not None:
            result = RESULTS.where(self.until(t, y, args), _EVENT, result)
        progress = self.meter.step(state.progress, (t - t0) / (t1 - t0))
        return _State(
            t, t_next, y, made_jump, solver_state, controller_state, result, state.num_steps + 1, num_accepted,
            progress, saved, kept, value, last_step,
        )  # fmt: skip

    def _save(self, saved: Any, between: Any, now: Scalar, kind: str) -> tuple:
        """The statistics at all times up to `now`, by interpolation."""
        times: Any = self.times

        def put(saved: tuple) -> tuple:
            i, values = saved
            found = self.statistics(times[i], between.evaluate(times[i]), self.args)
            return i + 1, jtu.tree_map(lambda v, x: x.at[i].set(v), found, values)

        due = lambda saved: (saved[0] < len(times)) & (times[saved[0]] <= now)  # noqa: E731
        options: dict[str, Any] = {"max_steps": len(times), "checkpoints": len(times), "kind": kind}
        return eqxi.while_loop(due, put, saved, buffers=lambda saved: saved[1], **options)

    def _located(self, last: _State) -> tuple[Scalar, State]:
        """Time and state at which the condition fell to zero in the last step, or the end of it where it did not.

        The time is the first one found, to its last bits, at which it is not positive, and a constant: a steep, jumping
        or flat condition need not come close to zero.
        """
        condition: Any = self.condition
        last_step: Any = last.last_step
        (start, end, dense), happened = last_step, last.result == _EVENT
        between = self.solver.interpolation_cls(t0=start, t1=jnp.where(happened, end, start + 1), **dense)
        # Where interpolation rounds the start to the other side, the start is found.
        positive = lambda t: (t <= start) | (condition(t, between.evaluate(t), self.args) > 0)  # noqa: E731
        found = bracket(positive, start, end, jnp.finfo(end.dtype).nmant + 4).high
        t = jnp.where(happened, found, last.t)
        return t, jtu.tree_map(lambda a, b: jnp.where(happened, a, b), between.evaluate(found), last.y)
