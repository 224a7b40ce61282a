"""One segment of a trajectory: the only call of `diffrax.diffeqsolve`."""

from collections.abc import Callable
from typing import Any, cast

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._misc import nan_unless
from .._results import RESULTS, Steps
from .._types import Array, PyTree, Scalar, State
from ._event import Event, Locate
from ._noise import Diagonal, Noise, StepNoise


class Setup(eqx.Module):
    """The static options of a call."""

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


class Segment(eqx.Module):
    """One segment of a trajectory, without events inside."""

    times: Array
    values: PyTree
    final: State
    final_time: Scalar
    result: RESULTS
    stats: dict[str, Array]
    steps: Steps | None


def solve(setup, model, y0, t0, t1, args, times, dt0, jump_times, condition=None) -> Segment:
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
    return Segment(
        times=saved,
        values=values,
        final=jtu.tree_map(lambda x: x[0], final),
        final_time=final_time,
        result=RESULTS.promote(solution.result),
        stats={k: solution.stats[k] for k in ("num_steps", "num_accepted_steps", "num_rejected_steps")},
        steps=steps,
    )


def _steps(times: Array, values: PyTree) -> Steps:
    """Replaces Diffrax's padding by NaN (or -1)."""
    taken = jnp.isfinite(times)
    return nan_unless(taken, Steps(times=times, values=values), constant=True)


def _state(t, y, args):
    return y
