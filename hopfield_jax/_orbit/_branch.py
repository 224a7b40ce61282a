"""Branches of periodic orbits."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._checks import Rules, at_least, fail, kind
from .._dynamics import AbstractDynamics
from .._follow import Branch, follow
from .._integrate import as_args, as_problem
from .._types import Array, Scalar, ScalarLike, State
from ._return import Run, Section, equations, rate_of, tight_controller


def follow_orbit(
    function: Callable[[Scalar], AbstractDynamics],
    y0: State,
    parameter: ScalarLike,
    *,
    period: ScalarLike,
    args: Any = None,
    max_steps: int = 16384,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    **options: Any,
) -> Branch:
    r"""Follows a periodic orbit in a parameter of the dynamics, around folds of cycles.

    The equations of `periodic_orbit`, with the phase fixed by the plane through the first state across the flow, are
    those of `follow`. All orbits of the branch must cross that plane: take a state whose variables lie between their
    extremes on all of them. The cost grows with the square of the size of the state, at folds with its fourth power:
    for small systems. Folds are located by second derivatives, which miss the jumps of slopes at kinks of units: such a
    fold is the extreme of `parameter` on the branch, while the code may be `no_fold`.

    **Arguments:**

    - `function`: from the parameter to the dynamics.
    - `y0`, `period`: of an orbit at `parameter`, such as those of a `PeriodicOrbit`.
    - `args`, `max_steps`, `solver`, `stepsize_controller`: as in `periodic_orbit`.
    - `options`: those of `follow`: bounds, steps, folds, `throw`.

    **Returns:** a `Branch`, whose states are the flattened state followed by the period.

    **Raises:** as `follow`.

    ```python
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    class Bautin(hj.AbstractDynamics):  # dr/dt = r (p + r² − r⁴): a fold of cycles at p = −1/4
        level: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))

        def vector_field(self, t, y, args=None):
            square = jnp.sum(y**2)
            return (self.level + square - square**2) * y + jnp.stack([-y[1], y[0]])

    branch = hj.follow_orbit(Bautin, jnp.array([1.0, 0.0]), 0.0, period=6.28, forward=False, num_steps=8, max_folds=1)
    assert abs(branch.folds.parameter[0] + 0.25) < 1e-4
    ```
    """
    if not callable(function):
        fail("function", "a function of a parameter that returns a dynamics", kind(function))
    at_least("max_steps", max_steps, 1)
    rules = Rules()
    parameter, period = rules.real("parameter", parameter, "finite"), rules.real("period", period, "positive")
    model, y0, _ = as_problem("y0", function(parameter), y0, rules)
    if not isinstance(model, AbstractDynamics):
        fail("function", "a function of a parameter that returns a dynamics", kind(model))
    run = Run(int(max_steps), solver, stepsize_controller or tight_controller(y0), None, False)
    x, restore = ravel_pytree(y0)
    args = as_args(args)
    section = Section(run, restore, x, rate_of(run, (model, args), y0), period.astype(x.dtype))
    closing = eqx.Partial(_of_parameter, function, section, args)
    return follow(closing, jnp.append(x, period.astype(x.dtype)), parameter.astype(x.dtype), **options)


def _of_parameter(function: Callable, section: Section, args: Any, w: Array, parameter: Scalar) -> Array:
    return equations(w, (section, (function(parameter), args), None))
