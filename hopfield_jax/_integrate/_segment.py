"""One segment of a trajectory, from the arguments of `integrate`."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import State
from ._event import Event
from ._loop import Loop, Segment
from ._noise import Diagonal, Noise, StepNoise


class Setup(eqx.Module):
    """The static options of a call."""

    solver: dfx.AbstractSolver
    stepsize_controller: dfx.AbstractStepSizeController
    adjoint: dfx.AbstractAdjoint
    progress_meter: dfx.AbstractProgressMeter
    max_steps: int = eqx.field(static=True)
    each: bool = eqx.field(static=True)  # whether every step is known to end at one of the times
    event: Event | None
    noise: Noise | None
    statistics: Callable | None
    every_step: Callable | None
    until: Callable | None


def solve(setup, model, y0, t0, t1, args, times, dt0, jump_times, condition=None) -> Segment:
    """One segment; `times` outside [t0, t1] are clipped into it."""
    terms = terms_of(model, setup.noise, y0)
    controller = setup.stepsize_controller
    if jump_times is not None and not isinstance(controller, dfx.ConstantStepSize | dfx.StepTo):
        controller = dfx.ClipStepSizeController(controller, jump_ts=jump_times)
    loop = Loop(
        terms=terms,
        solver=setup.solver,
        controller=controller,
        adjoint=setup.adjoint,
        meter=setup.progress_meter,
        max_steps=setup.max_steps,
        args=args,
        times=None if times is None else jnp.clip(times, t0, t1),
        statistics=setup.statistics if setup.statistics is not None else _state,
        every_step=setup.every_step,
        until=setup.until,
        condition=condition,
    )
    return loop.steps_that_meet_times(y0, t0, t1) if setup.each else loop.run(y0, t0, t1, dt0)


def terms_of(model, noise: Noise | None, y0: State) -> Any:
    """Vector field and noise, as Diffrax takes them."""
    terms = dfx.ODETerm(model.vector_field)
    if noise is None:
        return terms
    path = StepNoise(shape=jax.eval_shape(lambda: y0), key=noise.key)  # pyright: ignore
    return dfx.MultiTerm(terms, dfx.ControlTerm(Diagonal(noise.diffusion), path))


def _state(t, y, args):
    return y
