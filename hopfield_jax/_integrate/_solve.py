"""Integration of any dynamics."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, get_origin

import diffrax as dfx
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import (
    Rules,
    all_finite,
    at_least,
    describe,
    fail,
    is_concrete,
    is_valid,
    key_fits,
    kind,
    no_list,
    takes,
)
from .._dynamics import AbstractDynamics
from .._misc import as_inexact, compiled, in_type, inner, nan_unless, widened
from .._results import RESULTS, Steps, Trajectory, is_okay, raise_unless_okay
from .._types import Array, ArrayLike, PyTree, ScalarLike, State
from ._event import Event
from ._loop import LOOPS
from ._noise import Noise
from ._restart import solve_with_event
from ._segment import Setup, solve

_Model = TypeVar("_Model", bound=AbstractDynamics | Callable)

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

    - `model`: the dynamics.
    - `y0`: initial state, an array or a pytree of arrays.
    - `t1`, `t0`: end and start, `t1 > t0`.
    - `saveat`: increasing times at which statistics are saved (default: `t1` alone).
    - `statistics`: `(t, y, args) -> pytree` saved at those times instead of the state; save overlaps, not states.

    **Other arguments:**

    - `every_step`: `(t, y, args) -> pytree` saved at the start and after every accepted step, padded to `max_steps`
      (not together with `event`).
    - `until`: `(t, y, args) -> bool`; integration ends after the first step at which it is true, with the code
      `event_occurred` (not together with `event`).
    - `args`: passed to the vector field.
    - `dt0`: first step; the constant step (and required) for solvers without error estimate and for noise.
    - `solver`: default `diffrax.Tsit5()`, for fast–slow networks too: stability limits its steps to about 3.3 times the
      shortest time constant, and at ratios of 1e-1 and 1e-3 that was still 6 times or more faster than Kvaerno's
      implicit methods, which in float32 stall on the rounding of $h(g)/\tau_h$ (docs, sharp bits). `diffrax.Euler()`
      with noise.
    - `stepsize_controller`: default a PID controller with relative tolerance 1e-5 in float32 and 1e-8 in float64
      (absolute: a tenth of it), constant steps if the solver has no error estimate.
    - `adjoint`: default `diffrax.RecursiveCheckpointAdjoint()`, for `jax.grad`; `jax.jvp` and `jax.jacfwd` need
      `diffrax.ForwardMode()`, second derivatives (`jax.hessian`) `diffrax.DirectAdjoint()`.
    - `event`: an `Event` to locate.
    - `noise`: a `Noise`; steps are then constant, `dt0`.
    - `jump_times`: discontinuities of the vector field, passed to the step-size controller; constant steps ignore them,
      with an error of the order of the step.
    - `max_steps`: largest number of steps (between two occurrences of an event).
    - `progress_meter`: for example `diffrax.TqdmProgressMeter()`.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and outputs are NaN from there on.

    **Returns:** a `Trajectory`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    network = hj.associative.AdiabaticNetwork(hj.associative.MemoryMap(jnp.eye(2)), hidden=hj.LogSumExp(beta=8.0))
    path = hj.integrate(network, jnp.array([0.7, 0.2]), t1=10.0, saveat=jnp.linspace(0.0, 10.0, 5))
    assert path.values.shape == (5, 2)
    ```
    """
    at_least("max_steps", max_steps, 1)
    functions = {"statistics": statistics, "every_step": every_step, "until": until}
    kinds_fit(model, solver, event, noise, functions)
    rules = Rules()
    t0, t1 = rules.real("t0", t0, "finite"), rules.real("t1", t1, "finite")
    rules.holds("t1", lambda t1, t0: t1 > t0, "a time after t0 = {1:g}", t1, t0)
    times = None if saveat is None else rules.times("saveat", saveat)
    within = lambda times, t0, t1: (times[0] >= t0) & (times[-1] <= t1)  # noqa: E731
    if times is not None:
        rules.holds("saveat", within, "times between t0 = {1:g} and t1 = {2:g}", times, t0, t1)
    jump_times = None if jump_times is None else rules.times("jump_times", jump_times)
    dt0 = None if dt0 is None else rules.real("dt0", dt0, "positive")
    of_state = Rules()
    model, y0, dtype = as_problem("y0", model, y0, of_state)
    args = as_args(args)
    solver, stepsize_controller = method_of(solver, stepsize_controller, dt0, noise, y0)
    if adjoint is not None and type(adjoint) not in LOOPS:  # BacksolveAdjoint: with respect to y0 and `args` only
        fail("adjoint", "RecursiveCheckpointAdjoint (the default), ForwardMode or DirectAdjoint", kind(adjoint))
    if isinstance(stepsize_controller, dfx.StepTo):
        steps = rules.times("stepsize_controller", stepsize_controller.ts)
        ends = lambda steps, t0, t1: (steps[0] == t0) & (steps[-1] == t1)  # noqa: E731
        rules.holds("stepsize_controller", ends, "steps from t0 = {1:g} to t1 = {2:g}", steps, t0, t1)
    each = adjoint is None and event is None and every_step is None and until is None
    each = each and _meet(solver, times, dt0, t0, t1, max_steps)
    adjoint = adjoint or dfx.RecursiveCheckpointAdjoint()
    progress_meter = progress_meter or dfx.NoProgressMeter()
    event, noise, functions = widened((event, noise, functions))
    setup = Setup(solver, stepsize_controller, adjoint, progress_meter, max_steps, each, event, noise, **functions)
    try:
        valid = rules.valid, of_state.valid
        trajectory = _integrate(setup, model, y0, t0, t1, args, times, dt0, jump_times, valid)
    except TypeError as error:
        if "custom_vjp" in str(error) and not isinstance(adjoint, dfx.ForwardMode):
            raise ValueError(f"{_ADJOINTS}{type(adjoint).__name__}, in forward mode.") from error
        raise
    if jnp.finfo(dtype).bits < 32:
        trajectory = _with_states_of(dtype, trajectory, values_too=statistics is None)
    return raise_unless_okay(trajectory, trajectory.result) if throw else trajectory


def _with_states_of(dtype: jnp.dtype, path: Trajectory, values_too: bool) -> Trajectory:
    states = lambda path: [  # noqa: E731
        path.final,
        *([path.values] if values_too else []),
        *([path.occurrences.states] if path.occurrences is not None else []),
    ]
    return eqx.tree_at(states, path, in_type(states(path), dtype))


def _meet(solver: Any, times: Array | None, dt0: Array | None, t0: Array, t1: Array, max_steps: int) -> bool:
    """Whether steps of `diffrax.Euler` from `t0` to `t1` are known to end at all of these times and nowhere else."""
    if not isinstance(solver, dfx.Euler) or times is None or dt0 is None or not 2 <= len(times) <= max_steps + 1:
        return False
    if not all(map(is_concrete, (times, dt0, t0, t1))):
        return False
    start, end, step, found = (np.asarray(x, float) for x in (t0, t1, dt0, times))
    equal = np.linspace(start, end, len(found))
    room = 4 * float(jnp.finfo(times.dtype).eps) * max(abs(start), abs(end))
    return bool(np.all(np.abs(found - equal) <= room) and abs(start + step - equal[1]) <= room)


def kinds_fit(model: Any, solver: Any, event: Any, noise: Any, functions: dict[str, Any]) -> None:
    if not isinstance(model, AbstractDynamics):
        fail("model", "a dynamics with a vector field", kind(model))
    for name, given, a_kind, wanted in (
        ("solver", solver, dfx.AbstractSolver, "a solver of diffrax such as `diffrax.Tsit5()`"),
        ("event", event, Event, "an `Event`"),
        ("noise", noise, Noise, "a `Noise`"),
    ):
        if given is not None and not isinstance(given, a_kind):
            fail(name, wanted, kind(given))
    if noise is not None:
        key_fits("Noise.key", noise.key)
    for name, given in functions.items():
        if given is not None:
            takes(name, given, "t, y, args")
            if event is not None and name != "statistics":
                fail(name, "no event beside it", "both")


def method_of(solver, stepsize_controller, dt0, noise, y0) -> tuple[dfx.AbstractSolver, dfx.AbstractStepSizeController]:
    """Solver and step-size controller: by default adaptive steps, constant ones with noise."""
    if solver is None:
        solver = dfx.Tsit5() if noise is None else dfx.Euler()
    terms, taken = dfx.ODETerm if noise is None else dfx.MultiTerm, get_origin(solver.term_structure)
    taken = taken or solver.term_structure
    if not (isinstance(taken, type) and issubclass(terms, taken)):
        fail("solver", f"one of equations {'without' if noise is None else 'with'} noise", kind(solver))
    if noise is not None and not isinstance(solver, dfx.AbstractItoSolver | dfx.AbstractStratonovichSolver):
        warnings.warn(f"`solver`: {kind(solver)} solves neither Itô's nor Stratonovich's equation.", stacklevel=3)
    fixed = noise is not None or not isinstance(solver, dfx.AbstractAdaptiveSolver)
    steps_to = isinstance(stepsize_controller, dfx.StepTo)
    if steps_to and dt0 is not None:
        fail("dt0", "None beside `diffrax.StepTo`", describe(dt0))
    if fixed and dt0 is None and not steps_to:
        fail("dt0", f"a step size ({'noise' if noise is not None else type(solver).__name__} has constant steps)", None)
    if noise is not None and not isinstance(stepsize_controller, dfx.ConstantStepSize | dfx.StepTo | None):
        fail("stepsize_controller", "constant steps with noise", kind(stepsize_controller))
    if stepsize_controller is None:
        stepsize_controller = dfx.ConstantStepSize() if fixed else dfx.PIDController(*tolerances(y0))
    return solver, stepsize_controller


def tolerances(y: State) -> tuple[float, float]:
    """Relative and absolute tolerance for a state's precision: (1e-5, 1e-6) in float32, (1e-8, 1e-9) in float64."""
    return (1e-5, 1e-6) if jnp.finfo(jnp.result_type(*jtu.tree_leaves(y))).bits < 64 else (1e-8, 1e-9)


def as_problem(argument: str, model: _Model, y: Any, rules: Rules | None = None) -> tuple[_Model, State, jnp.dtype]:
    """Casts model and state to their common real type, and returns that type.

    16-bit types are too inaccurate for steps, derivatives and sums: they become float32, and returned states are cast
    back.
    """
    no_list(argument, y)
    rules = rules or Rules()
    y = jtu.tree_map(lambda x: rules.real(argument, x, "finite", shape=None), y)
    floats = [x.dtype for x in jtu.tree_leaves((y, model)) if eqx.is_inexact_array(x)]
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*floats)
    return widened(model), widened(in_type(y, dtype)), dtype


def as_args(args: Any) -> Any:
    """Casts numbers among a vector field's arguments to arrays, so that other values do not retrace."""

    def convert(x: Any) -> Any:
        if isinstance(x, float | np.floating) or (isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)):
            return as_inexact(x)
        return jnp.asarray(x) if isinstance(x, int | np.integer) and not isinstance(x, bool) else x

    return widened(jtu.tree_map(convert, args))


@functools.partial(compiled, share=True)
def _integrate(setup: Setup, model, y0, t0, t1, args, times, dt0, jump_times, valid) -> Trajectory:
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(t0, t1, *jtu.tree_leaves((times, y0)))
    y0, t0, t1, times, dt0, jump_times = in_type((y0, t0, t1, times, dt0, jump_times), dtype)
    valid_times, valid = valid[0], valid[0] & valid[1] & is_valid(model)
    dt0 = None if dt0 is None else jnp.where(valid_times, dt0, 1)
    rate = eqx.filter_eval_shape(model.vector_field, t0, y0, args)
    shapes = jtu.tree_map(jnp.shape, y0), jtu.tree_map(lambda x: x.shape, rate)
    if shapes[0] != shapes[1]:
        fail("y0", f"a state of the vector field's own shape {shapes[1]}", shapes[0])
    asked = t1[None] if times is None else times
    # Skips the integration; the result is NaN. Constant steps terminate for any state, and a condition that depends on
    # the state would give every member of a batch its own counters.
    constant = isinstance(setup.stepsize_controller, dfx.ConstantStepSize)
    t1 = jnp.where(valid_times if constant else valid, t1, t0)
    if setup.event is None:
        piece, occurrences = solve(setup, model, y0, t0, t1, args, times, dt0, jump_times), None
        values = nan_unless(piece.reached, piece.values, constant=True)
    else:
        piece, values, occurrences = solve_with_event(setup, model, y0, t0, t1, args, times, dt0, jump_times)
    okay = is_okay(piece.result)
    diverges = lambda: _blows_up(model, piece.final_time, piece.final, args, t0, t1)  # noqa: E731
    blown = ~all_finite(piece.final)
    if not setup.each:
        blown = jnp.where(okay, blown, jax.lax.cond(eqxi.unvmap_any(~okay), diverges, lambda: jnp.array(False)))
    result = RESULTS.where(blown, RESULTS.not_finite, piece.result)
    result = RESULTS.where(valid, result, RESULTS.invalid_parameter)
    kept = values, piece.final, None if piece.steps is None else _steps(*piece.steps)
    if isinstance(setup.adjoint, dfx.ForwardMode):
        kept = eqxi.nondifferentiable_backward(kept, msg=f"{_ADJOINTS}ForwardMode, in reverse mode.")
    values, final, steps = kept
    values, steps = nan_unless(valid, (values, steps), constant=True)
    return Trajectory(
        times=asked,
        values=values,
        final=nan_unless(is_okay(result), final, constant=True),
        final_time=piece.final_time,
        result=result,
        stats=piece.stats,
        occurrences=occurrences,
        steps=steps,
    )


def _steps(times: Array, values: PyTree) -> Steps:
    """Replaces the padding by NaN (or -1)."""
    return nan_unless(jnp.isfinite(times), Steps(times=times, values=values), constant=True)


def _blows_up(model, t: Array, y: State, args, t0: Array, t1: Array) -> Array:
    """Whether the solver stopped at `t` because the solution is singular there.

    True if the field is not finite at `t`, or after the shortest resolvable step (relative to the whole interval if the
    solver never left the start), or if the field grows along itself so quickly that it doubles within that step. Stiff
    fields shrink along themselves.
    """
    t, y, args = jax.lax.stop_gradient((t, y, args))
    eps = jnp.finfo(t.dtype).eps
    dt = 64 * eps * jnp.where(t - t0 > eps * (t1 - t0), jnp.abs(t), t1 - t0)
    rate = model.vector_field(t, y, args)
    ahead = jtu.tree_map(lambda x, f: x + dt.astype(x.dtype) * f, y, rate)
    flat, flat_ahead = (ravel_pytree(x)[0] for x in (rate, model.vector_field(t + dt, ahead, args)))
    size = jnp.max(jnp.abs(flat))
    grows = inner(flat / size, flat_ahead / size) > 2 * inner(flat / size, flat / size)
    return ~all_finite((flat, flat_ahead)) | grows
