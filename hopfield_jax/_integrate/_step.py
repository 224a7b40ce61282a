"""Constant steps one at a time, as a map of the state."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx

from .._checks import fail, takes
from .._dynamics import AbstractDynamics
from .._types import Scalar, State
from ._loop import with_tolerances
from ._noise import Noise
from ._segment import terms_of
from ._solve import kinds_fit, method_of


def step_fits(model: Any, y0: State, dt0: Any, solver: Any, noise: Any) -> tuple[Any, Any]:
    """Validates what `one_step` takes, and returns the solver and the length of a step: a map has none, and steps of
    length one."""
    if isinstance(model, AbstractDynamics):
        kinds_fit(model, solver, None, noise, {})
        if dt0 is None:
            fail("dt0", "a step size (steps are constant)", None)
        solver, _ = method_of(solver, dfx.ConstantStepSize(), dt0, noise, y0)
        return with_tolerances(solver, dfx.ConstantStepSize(), "lax")[0], dt0
    takes("model", model, "t, y, args")
    for name, given in (("dt0", dt0), ("solver", solver), ("noise", noise)):
        if given is not None:
            fail(name, "None for a map", type(given).__name__)
    return None, 1.0


def one_step(
    model: Any, solver: Any, noise: Noise | None, args: Any, y0: State
) -> Callable[[Scalar, Scalar, State], State]:
    """The map (t, dt, y) ↦ y(t + dt), by one step of a solver; or an update of a map, if there is no solver."""
    if solver is None:
        step = lambda t, dt, y: model(t, y, args)  # noqa: E731
    else:
        terms = terms_of(model, noise, y0)

        def step(t: Scalar, dt: Scalar, y: State) -> State:
            state = solver.init(terms, t, t + dt, y, args)
            return solver.step(terms, t, t + dt, y, args, state, False)[0]

    return step
