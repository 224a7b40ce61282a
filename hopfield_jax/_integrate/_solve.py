"""Integration of any dynamics: the only call of Diffrax's solve stands here."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import diffrax as dfx
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import (
    all_finite,
    as_real,
    at_least,
    describe,
    fail,
    in_domain,
    increasing,
    is_concrete,
    is_valid,
    key_fits,
    kind,
    no_list,
    takes,
)
from .._dynamics import AbstractDynamics
from .._misc import as_inexact, in_type, inner, widened
from .._results import RESULTS, Occurrences, Steps, Trajectory, is_okay, outcome, raise_unless_okay
from .._types import Array, ArrayLike, PyTree, Scalar, ScalarLike, State
from ._event import Event, Locate, moved
from ._noise import Diagonal, Noise, StepNoise

_Model = TypeVar("_Model", bound=AbstractDynamics)

_ADJOINTS = (
    "`adjoint`: reverse mode (jax.grad) needs `adjoint=diffrax.RecursiveCheckpointAdjoint()`, the default; forward "
    "mode (jax.jvp, jax.jacfwd) needs `adjoint=diffrax.ForwardMode()`; second derivatives (jax.hessian) need "
    "`adjoint=diffrax.DirectAdjoint()`, which takes both. Got "
)


def integrate(
    model: AbstractDynamics,
    y0: State,
    *,
    t1: ScalarLike,
    t0: ScalarLike = 0.0,
    args: Any = None,
    saveat: ArrayLike | None = None,
    statistics: Callable | None = None,
    every_step: Callable | None = None,
    until: Callable | None = None,
    dt0: ScalarLike | None = None,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    adjoint: dfx.AbstractAdjoint | None = None,
    event: Event | None = None,
    noise: Noise | None = None,
    jump_times: ArrayLike | None = None,
    max_steps: int = 16384,
    progress_meter: dfx.AbstractProgressMeter | None = None,
    throw: bool = True,
) -> Trajectory:
    r"""Integrates $\dot y = f(t, y)$ from `t0` to `t1`.

    **Main arguments:**

    - `model`: what to integrate.
    - `y0`: initial state, an array or a pytree of arrays.
    - `t1`, `t0`: end and start, `t1 > t0`.
    - `saveat`: increasing times at which statistics are kept (default: `t1` alone).
    - `statistics`: `(t, y, args) -> pytree` kept at those times instead of the state; save overlaps, not states.

    **Other arguments:**

    - `every_step`: `(t, y, args) -> pytree` kept at the start and after every step that was accepted, in room for
      `max_steps` of them (not together with `event`).
    - `until`: `(t, y, args) -> bool`; integration ends with the first step after which it holds, and the code is
      `event_occurred` (not together with `event`).
    - `args`: handed to the vector field.
    - `dt0`: first step; **the** step for solvers without error estimate and for noise (then it must be given).
    - `solver`: default `diffrax.Tsit5()`, for fast–slow networks too: stability holds its steps to about 3.3 times the
      shortest time constant, and at ratios of 1e-1 and 1e-3 that was still 6 times or more quicker than Kvaerno's
      implicit methods, which in float32 stall on the rounding of $h(g)/\tau_h$ (docs, sharp bits). `diffrax.Euler()`
      with noise.
    - `stepsize_controller`: default a PID controller with relative tolerance 1e-5 in float32 and 1e-8 in float64
      (absolute: a tenth of it), constant steps where the solver has no error estimate.
    - `adjoint`: default `diffrax.RecursiveCheckpointAdjoint()`, for `jax.grad`; `jax.jvp` and `jax.jacfwd` need
      `diffrax.ForwardMode()`, second derivatives (`jax.hessian`) `diffrax.DirectAdjoint()`.
    - `event`: an `Event` to locate.
    - `noise`: a `Noise`; the step is then constant, `dt0`.
    - `jump_times`: times at which the vector field jumps, known to the step-size control; constant steps pass over
      them, with an error of their length.
    - `max_steps`: largest number of steps (between two occurrences of an event).
    - `progress_meter`: for example `diffrax.TqdmProgressMeter()`.
    - `throw`: whether an unsuccessful end raises; else it is in `result`, and the outputs are NaN from there on.

    **Returns:** a `Trajectory`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    network = hj.associative.AdiabaticNetwork(hj.associative.MemoryMap(jnp.eye(2)), hidden=hj.LogSumExp(beta=8.0))
    path = hj.integrate(network, jnp.array([0.7, 0.2]), t1=10.0, saveat=jnp.linspace(0.0, 10.0, 5))
    assert path.values.shape == (5, 2)
    ```
    """
    if not isinstance(model, AbstractDynamics):
        fail("model", "a dynamics with a vector field", kind(model))
    at_least("max_steps", max_steps, 1)
    for name, given, a_kind, wanted in (
        ("solver", solver, dfx.AbstractSolver, "a solver of diffrax such as `diffrax.Tsit5()`"),
        ("event", event, Event, "an `Event`"),
        ("noise", noise, Noise, "a `Noise`"),
    ):
        if given is not None and not isinstance(given, a_kind):
            fail(name, wanted, kind(given))
    if noise is not None:
        key_fits("Noise.key", noise.key)
    t0, t1 = as_real("t0", t0), as_real("t1", t1)
    for name, t in (("t0", t0), ("t1", t1)):
        if t.ndim:
            fail(name, "a number", f"shape {t.shape}")
        in_domain(name, t, "finite")
    if is_concrete(t0) and is_concrete(t1) and not float(t1) > float(t0):
        fail("t1", f"a time after t0 = {float(t0):g}", float(t1))
    times = t1[None] if saveat is None else as_real("saveat", saveat)
    increasing("saveat", times)
    if all(map(is_concrete, (times, t0, t1))) and (
        np.asarray(times)[0] < float(t0) or np.asarray(times)[-1] > float(t1)
    ):
        fail("saveat", f"times between t0 = {float(t0):g} and t1 = {float(t1):g}", describe(times))
    if jump_times is not None:
        jump_times = as_real("jump_times", jump_times)
        increasing("jump_times", jump_times)
    if dt0 is not None:
        dt0 = as_real("dt0", dt0)
        in_domain("dt0", dt0, "positive")
    model, y0, dtype = as_problem("y0", model, y0)
    args = as_args(args)
    if solver is None:
        solver = dfx.Tsit5() if noise is None else dfx.Euler()
    fixed = noise is not None or not isinstance(solver, dfx.AbstractAdaptiveSolver)
    if fixed and dt0 is None and not isinstance(stepsize_controller, dfx.StepTo):
        fail("dt0", f"a step size ({'noise' if noise is not None else type(solver).__name__} has constant steps)", None)
    if noise is not None and not isinstance(stepsize_controller, dfx.ConstantStepSize | dfx.StepTo | None):
        fail("stepsize_controller", "constant steps with noise", kind(stepsize_controller))
    if stepsize_controller is None:
        stepsize_controller = dfx.ConstantStepSize() if fixed else dfx.PIDController(*tolerances(y0))
    if adjoint is None:
        adjoint = dfx.RecursiveCheckpointAdjoint()
    if isinstance(adjoint, dfx.BacksolveAdjoint):  # it knows no derivative but that of y0 and `args`
        fail("adjoint", "RecursiveCheckpointAdjoint (the default), ForwardMode or DirectAdjoint", "BacksolveAdjoint")
    if progress_meter is None:
        progress_meter = dfx.NoProgressMeter()
    for name, given in (("statistics", statistics), ("every_step", every_step), ("until", until)):
        if given is not None:
            takes(name, given, "t, y, args")
            if event is not None and name != "statistics":
                fail(name, "no event beside it", "both")
    event, noise, functions = widened((event, noise, (statistics, every_step, until)))
    setup = _Setup(solver, stepsize_controller, adjoint, progress_meter, max_steps, event, noise, *functions)
    try:
        trajectory = _integrate(setup, model, y0, t0, t1, args, times, dt0, jump_times)
    except TypeError as error:
        if "custom_vjp" in str(error) and not isinstance(adjoint, dfx.ForwardMode):
            raise ValueError(f"{_ADJOINTS}{type(adjoint).__name__}, in forward mode.") from error
        raise
    states = lambda path: [  # noqa: E731
        path.final,
        *([path.values] if statistics is None else []),
        *([path.occurrences.states] if path.occurrences is not None else []),
    ]
    trajectory = eqx.tree_at(states, trajectory, in_type(states(trajectory), dtype))
    return raise_unless_okay(trajectory, trajectory.result) if throw else trajectory


def tolerances(y: State) -> tuple[float, float]:
    """Relative and absolute tolerance for a state's precision: (1e-5, 1e-6) in float32, (1e-8, 1e-9) in float64."""
    return (1e-5, 1e-6) if jnp.finfo(jnp.result_type(*jtu.tree_leaves(y))).bits < 64 else (1e-8, 1e-9)


def as_problem(argument: str, model: _Model, y: Any) -> tuple[_Model, State, jnp.dtype]:
    """Model and state, finite and real, in the common type of both, and that type.

    16 bits are too few for steps, derivatives and sums: with such a type both are of float32, and a state that is
    returned takes its type again.
    """
    no_list(argument, y)
    y = jtu.tree_map(lambda x: as_real(argument, x), y)
    for leaf in jtu.tree_leaves(y):
        in_domain(argument, leaf, "finite")
    floats = [x.dtype for x in jtu.tree_leaves((y, model)) if eqx.is_inexact_array(x)]
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*floats)
    return widened(model), widened(in_type(y, dtype)), dtype


def as_args(args: Any) -> Any:
    """Numbers among a vector field's arguments as arrays, so that another value is no other trace."""

    def convert(x: Any) -> Any:
        if isinstance(x, float | np.floating) or (isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)):
            return as_inexact(x)
        return jnp.asarray(x) if isinstance(x, int | np.integer) and not isinstance(x, bool) else x

    return widened(jtu.tree_map(convert, args))


class _Setup(eqx.Module):
    """Everything of a call that is not a number of the problem itself."""

    solver: dfx.AbstractSolver
    stepsize_controller: dfx.AbstractStepSizeController
    adjoint: dfx.AbstractAdjoint
    progress_meter: dfx.AbstractProgressMeter
    max_steps: int = eqx.field(static=True)
    event: Event | None
    noise: Noise | None
    statistics: Callable | None
    every_step: Callable | None
    until: Callable | None


class _Segment(eqx.Module):
    """One uninterrupted piece of a trajectory."""

    times: Array
    values: PyTree
    final: State
    final_time: Scalar
    result: RESULTS
    stats: dict[str, Array]
    steps: Steps | None


@eqx.filter_jit
def _integrate(setup: _Setup, model, y0, t0, t1, args, times, dt0, jump_times) -> Trajectory:
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(t0, t1, times, *jtu.tree_leaves(y0))
    t0, t1, times = (x.astype(dtype) for x in (t0, t1, times))
    dt0, jump_times = (None if x is None else x.astype(dtype) for x in (dt0, jump_times))
    valid = is_valid(model) & all_finite((y0, t0, t1, times, dt0, jump_times)) & (t1 > t0)
    valid &= jnp.all(times[1:] > times[:-1]) & (times[0] >= t0) & (times[-1] <= t1)
    if jump_times is not None:
        valid &= jnp.all(jump_times[1:] > jump_times[:-1])
    if dt0 is not None:
        valid &= dt0 > 0
        dt0 = jnp.where(valid, dt0, 1)
    rate = eqx.filter_eval_shape(model.vector_field, t0, y0, args)
    shapes = jtu.tree_map(jnp.shape, y0), jtu.tree_map(lambda x: x.shape, rate)
    if shapes[0] != shapes[1]:
        fail("y0", f"a state of the vector field's own shape {shapes[1]}", shapes[0])
    t1 = jnp.where(valid, t1, t0)  # nothing is integrated, and the answer is NaN
    if setup.event is None:
        piece, occurrences = _solve(setup, model, y0, t0, t1, args, times, dt0, jump_times), None
        values = _keep(piece.values, piece.times <= times)
    else:
        piece, values, occurrences = _solve_with_event(setup, model, y0, t0, t1, args, times, dt0, jump_times)
    okay = is_okay(piece.result)
    blown = jnp.where(okay, ~all_finite(piece.final), _blows_up(model, piece.final_time, piece.final, args, t0, t1))
    result = RESULTS.where(blown, RESULTS.not_finite, piece.result)
    result = RESULTS.where(valid, result, RESULTS.invalid_parameter)
    kept = values, piece.final, piece.steps
    if isinstance(setup.adjoint, dfx.ForwardMode):
        kept = eqxi.nondifferentiable_backward(kept, msg=f"{_ADJOINTS}ForwardMode, in reverse mode.")
    values, final, steps = kept
    if steps is not None:
        steps = jtu.tree_map(lambda x: _keep(x, jnp.broadcast_to(valid, x.shape[:1])), steps)
    return Trajectory(
        times=times,
        values=_keep(values, jnp.broadcast_to(valid, times.shape)),
        final=_keep(final, is_okay(result)),
        final_time=piece.final_time,
        result=result,
        stats=piece.stats,
        occurrences=occurrences,
        steps=steps,
    )


def _blows_up(model, t: Array, y: State, args, t0: Array, t1: Array) -> Array:
    """Whether the solver got no further than `t` because of the vector field itself.

    So it is if the field is not finite there, or one step on that is as short as times can be told apart (or, if it
    never left the start, as short against all of the time); or if the field grows along itself so quickly that it
    doubles within that step. Fields that are merely stiff shrink along themselves.
    """
    t, y, args = jax.lax.stop_gradient((t, y, args))
    dt = 64 * jnp.finfo(t.dtype).eps * jnp.where(t > t0, jnp.abs(t), t1 - t0)
    rate = model.vector_field(t, y, args)
    ahead = jtu.tree_map(lambda x, f: x + dt.astype(x.dtype) * f, y, rate)
    flat, flat_ahead = (ravel_pytree(x)[0] for x in (rate, model.vector_field(t + dt, ahead, args)))
    size = jnp.max(jnp.abs(flat))
    grows = inner(flat / size, flat_ahead / size) > 2 * inner(flat / size, flat / size)
    return ~all_finite((flat, flat_ahead)) | grows


def _solve(setup, model, y0, t0, t1, args, times, dt0, jump_times, condition=None) -> _Segment:
    """One call of Diffrax; `times` outside [t0, t1] are clipped into it."""
    terms = dfx.ODETerm(model.vector_field)
    if setup.noise is not None:
        path = StepNoise(shape=jax.eval_shape(lambda: y0), key=setup.noise.key)  # pyright: ignore
        terms = dfx.MultiTerm(terms, dfx.ControlTerm(Diagonal(setup.noise.diffusion), path))
    controller = setup.stepsize_controller
    if jump_times is not None and not isinstance(controller, dfx.ConstantStepSize | dfx.StepTo):
        controller = dfx.ClipStepSizeController(controller, jump_ts=jump_times)
    statistics = setup.statistics if setup.statistics is not None else _state
    subs = (dfx.SubSaveAt(ts=jnp.clip(times, t0, t1), fn=statistics), dfx.SubSaveAt(t1=True, fn=_state))
    if setup.every_step is not None:
        subs += (dfx.SubSaveAt(t0=True, steps=True, fn=setup.every_step),)
    stop = None if condition is None else dfx.Event(condition, Locate(), direction=False)
    if setup.until is not None:
        stop = dfx.Event(lambda t, y, args, **_: setup.until(t, y, args))
    solution = dfx.diffeqsolve(
        terms,
        setup.solver,
        t0,
        t1,
        dt0,
        y0,
        args,
        saveat=dfx.SaveAt(subs=subs),
        stepsize_controller=controller,
        adjoint=setup.adjoint,
        event=stop,
        max_steps=setup.max_steps,
        throw=False,
        progress_meter=setup.progress_meter,
    )
    (saved, (final_time,), *step_times), (values, final, *step_values) = cast(Any, (solution.ts, solution.ys))
    steps = _steps(step_times[0], step_values[0]) if step_times else None
    return _Segment(
        times=saved,
        values=values,
        final=jtu.tree_map(lambda x: x[0], final),
        final_time=final_time,
        result=RESULTS.promote(solution.result),
        stats={k: solution.stats[k] for k in ("num_steps", "num_accepted_steps", "num_rejected_steps")},
        steps=steps,
    )


def _steps(times: Array, values: PyTree) -> Steps:
    """NaN (or -1) instead of what Diffrax leaves in the room that was not needed."""
    taken = jnp.isfinite(times)
    return Steps(times=jnp.where(taken, times, jnp.nan), values=_keep(values, taken))


def _solve_with_event(setup, model, y0, t0, t1, args, times, dt0, jump_times):
    """Segments from occurrence to occurrence, in a scan."""
    event: Event = setup.event
    fixed_side = None if event.direction is None else -1.0 if event.direction else 1.0

    def start_side(t, y, mode):
        """On which side it starts; at exactly zero the one that the flow goes to."""
        dt = jnp.sqrt(jnp.finfo(t.dtype).eps) * jnp.maximum(1, jnp.abs(t))
        ahead = jtu.tree_map(lambda x, f: x + dt.astype(x.dtype) * f, y, model.vector_field(t, y, args))
        value, next_value = event.value(t, y, args, mode)[0], event.value(t + dt, ahead, args, mode)[0]
        return jnp.where(jnp.where(value == 0, next_value, value) > 0, 1, -1).astype(t.dtype)

    def segment(carry, _):
        t_start, y_start, mode, side, beyond, count, done, result, values, stats = carry

        # `side` times the condition falls from positive to not positive at an occurrence. It is `beyond` at the start.
        def condition(t, y, args, **_):
            value = side * event.value(t, y, args, mode)[0]
            value = jnp.where((side < 0) & (value == 0), jnp.finfo(t.dtype).tiny, value)  # zero is not positive yet
            value = jax.lax.stop_gradient(jnp.where(t <= t_start, beyond, value))
            return value - (t - jax.lax.stop_gradient(t))  # so that Diffrax takes the time it finds for a constant

        t_end = jnp.where(done, t_start, t1)
        piece = _solve(setup, model, y_start, t_start, t_end, args, times, dt0, jump_times, condition)
        here = ((times > t_start) | (count == 0)) & (times <= piece.final_time) & (piece.times <= times) & ~done
        values = jtu.tree_map(lambda old, new: jnp.where(_like(here, new), new, old), values, piece.values)
        happened = ~done & (piece.result == RESULTS.event_occurred)
        result = RESULTS.where(done, result, piece.result)
        stats = jtu.tree_map(lambda a, b: a + b, stats, piece.stats)
        t, y = jtu.tree_map(lambda a, b: jnp.where(done, a, b), (t_start, y_start), (piece.final_time, piece.final))
        found = _with_derivative(event, model, t, y, args, mode, happened)
        if event.update is not None:
            new_mode = event.update(piece.final_time, piece.final, args, mode)
            mode = jtu.tree_map(lambda a, b: jnp.where(happened, b, a), mode, new_mode)
        if fixed_side is None:
            side = jnp.where(happened, -side, side)
        else:
            beyond = jnp.full_like(side, -1)
        # What follows does not depend on where it was cut, so that it goes on from a constant time.
        carry = (
            t,
            y,
            mode,
            side,
            beyond,
            count + happened.astype(count.dtype),
            done | ~happened,
            result,
            values,
            stats,
        )
        return carry, (found, _keep(found, happened), mode)

    mode = jtu.tree_map(jnp.asarray, event.mode)
    shapes = eqx.filter_eval_shape(
        lambda: _solve(setup, model, y0, t0, t1, args, times, dt0, jump_times, lambda t, y, args, **_: t - t1)
    )
    values = jtu.tree_map(lambda x: _nothing(x.shape, x.dtype), shapes.values)
    stats = jtu.tree_map(lambda x: jnp.zeros(x.shape, x.dtype), shapes.stats)
    begin = start_side(t0, y0, mode)
    side = begin if fixed_side is None else jnp.full_like(begin, fixed_side)
    start = (t0, y0, mode, side, side * begin, jnp.array(0, jnp.int32), jnp.array(False), outcome(), values, stats)
    carry, (ends, (event_times, states), modes) = jax.lax.scan(segment, start, None, length=event.max_occurrences)
    _, _, _, _, _, count, _, result, values, stats = carry
    t, y = jtu.tree_map(lambda x: x[-1], ends)
    final = _Segment(times=times, values=values, final=y, final_time=t, result=result, stats=stats, steps=None)
    return final, values, Occurrences(times=event_times, states=states, mode=modes, count=count)


def _with_derivative(event: Event, model, t: Array, y: State, args, mode, happened: Array) -> tuple[Array, State]:
    """The time and state of an occurrence, which move with the zero of the condition."""
    rate = model.vector_field(t, y, args)
    along = (jnp.ones_like(t), rate)
    value, slope, real = jax.jvp(lambda t, y: event.value(t, y, args, mode), (t, y), along, has_aux=True)
    if not real:  # what may move it is whatever moves the state
        value = sum((jnp.sum(x).astype(t.dtype) for x in jtu.tree_leaves(y)), start=value)
    delay = jnp.where(happened, moved(value, jax.lax.stop_gradient(slope)), 0)
    return t + delay, jtu.tree_map(lambda x, f: x + delay.astype(x.dtype) * f, y, rate)


def _state(t, y, args):
    return y


def _like(mask: Array, x: Array) -> Array:
    return jnp.reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim))


def _nothing(shape, dtype) -> Array:
    """NaN, or -1 where the type has none (False for booleans)."""
    inexact = jnp.issubdtype(dtype, jnp.inexact)
    return jnp.full(shape, jnp.nan if inexact else False if jnp.issubdtype(dtype, jnp.bool_) else -1, dtype)


def _keep(tree: PyTree, mask: Array) -> PyTree:
    """NaN (or -1) where the mask, which covers the leading axes of every leaf, is false."""
    return jtu.tree_map(lambda x: jnp.where(_like(mask, x), x, _nothing((), x.dtype)), tree)
