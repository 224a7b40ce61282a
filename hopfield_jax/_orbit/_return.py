"""The state after a period, its derivatives, and the equations of a periodic orbit."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jax.flatten_util import ravel_pytree

from .._dynamics import AbstractDynamics
from .._integrate import integrate, tolerances
from .._misc import inner
from .._results import RESULTS, Trajectory, is_okay, outcome
from .._types import Array, Scalar, State

_FORWARD = dfx.ForwardMode()


def tight_controller(y0: State) -> dfx.AbstractStepSizeController:
    """Tolerances far below those of Newton's method."""
    rtol, atol = tolerances(y0)
    return dfx.PIDController(*((1e-3 * rtol, 1e-3 * atol) if rtol < 1e-6 else (rtol, atol)))


class _Scaled(AbstractDynamics):
    """Dynamics from a start on in units of a time, by which it may be differentiated."""

    inner: AbstractDynamics
    unit: Scalar
    start: Scalar

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        return jtu.tree_map(lambda x: self.unit * x, self.inner.vector_field(self.start + self.unit * t, y, args))


class Run(eqx.Module):
    """How the state after a period is computed."""

    max_steps: int = eqx.field(static=True)
    solver: dfx.AbstractSolver | None
    controller: dfx.AbstractStepSizeController
    updates: int | None = eqx.field(static=True)  # of a map
    fixed: bool = eqx.field(static=True)  # whether the period is given

    def over(
        self, problem: tuple, y: State, time: Scalar, adjoint: Any, start: Any = 0.0, **options: Any
    ) -> Trajectory:
        """The trajectory over a time."""
        model, args = problem
        start = jnp.asarray(start, time.dtype)
        return integrate(
            _Scaled(model, time, start),
            y,
            t1=jnp.ones_like(time),
            args=args,
            max_steps=self.max_steps,
            solver=self.solver,
            stepsize_controller=self.controller,
            adjoint=adjoint,
            throw=False,
            **options,
        )

    def final(self, problem: tuple, y: State, time: Scalar, adjoint: Any) -> State:
        """The state after a period; without an adjoint with derivatives in forward mode."""
        if self.updates is not None:
            return iterate(problem, y, self.updates)
        if adjoint is not None:
            return self.over(problem, y, time, adjoint).final
        model, args = problem
        return _flow(_Scaled(model, time, jnp.zeros_like(time)), y, args, self)


@eqx.filter_custom_jvp
def _flow(model: AbstractDynamics, y: State, args: Any, run: Run) -> State:
    """The state after a unit of time.

    Its derivatives solve their own equations, with steps that control their errors too: steps for the state alone are
    too long for them where it is at rest or crosses kinks.
    """
    return run.over((model, args), y, jnp.ones((), jtu.tree_leaves(y)[0].dtype), _FORWARD).final


@_flow.def_jvp
def _(primals: tuple, tangents: tuple) -> tuple[State, State]:
    model, y, args, run = primals
    model_dot, y_dot, args_dot, _ = tangents
    y_dot = jtu.tree_map(lambda x, v: jnp.zeros_like(x) if v is None else v, y, y_dot, is_leaf=_absent)
    _, tangent = _flow(_Tangent(model), (y, y_dot), (args, args_dot, model_dot), run)
    return _flow(model, y, args, run), tangent  # the state alone does not depend on tangents, which may be a batch


def _absent(x: Any) -> bool:
    return x is None


class _Tangent(AbstractDynamics):
    r"""A state and a tangent, $\dot v = f'(y) v$, also of the model and its arguments, whose tangents are arguments."""

    inner: AbstractDynamics

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        field = lambda model, y, args: model.vector_field(t, y, args)  # noqa: E731
        (y, v), (args, args_dot, model_dot) = y, args
        return eqx.filter_jvp(field, (self.inner, y, args), (model_dot, v, args_dot))


def iterate(problem: tuple, y: State, updates: int | Array) -> State:
    """The state of a map after some updates."""
    (model, args), dtype = problem, jtu.tree_leaves(y)[0].dtype
    return jax.lax.fori_loop(0, updates, lambda i, y: model(jnp.asarray(i, dtype), y, args), y)


class Section(eqx.Module):
    """The phase normal·(y − reference) = 0 of an orbit, and its period if that is given."""

    run: Run
    restore: Callable = eqx.field(static=True)
    reference: Array
    normal: Array
    period: Scalar

    def split(self, w: Array) -> tuple[Array, Scalar]:
        return (w, self.period) if self.run.fixed else (w[:-1], w[-1])

    def join(self, x: Array, last: Scalar) -> Array:
        return x if self.run.fixed else jnp.append(x, last)


def equations(w: Array, args: tuple) -> Array:
    """y(T) − y and, unless the period is given, the phase, for the flattened state and the period."""
    section, problem, adjoint = args
    x, period = section.split(w)
    end = ravel_pytree(section.run.final(problem, section.restore(x), period, adjoint))[0]
    return section.join(end - x, inner(section.normal, x - section.reference))


def rate_of(run: Run, problem: tuple, y: State) -> Array:
    """The flattened rate of change at a state; of a map zero."""
    model, args = problem
    rate = y if run.updates is not None else model.vector_field(jnp.zeros(()), y, args)
    return ravel_pytree(rate)[0] * jnp.where(run.updates is None, 1.0, 0.0).astype(ravel_pytree(y)[0].dtype)


def guess_of(run: Run, problem: tuple, y: State, period: Scalar, transient: Scalar) -> tuple[State, Scalar, RESULTS]:
    """State after the transient; the time near the period at which the trajectory returns closest to it; a code."""
    if run.updates is not None:
        return iterate(problem, y, jnp.round(transient).astype(jnp.int32)), period, outcome()
    begun = run.over(problem, y, transient, _FORWARD, start=-transient)
    if run.fixed:
        return begun.final, period, begun.result
    far = functools.partial(_distance, begun.final)
    times = jnp.linspace(0.5, 1, 257, dtype=period.dtype)  # of 4/3 of the period
    path = run.over(problem, begun.final, 4 / 3 * period, _FORWARD, saveat=times, statistics=far)
    nearest = times[jnp.argmin(path.values)]
    return begun.final, 4 / 3 * period * nearest, RESULTS.where(is_okay(begun.result), path.result, begun.result)


def _distance(reference: State, t: Any, y: State, args: Any) -> Scalar:
    away = ravel_pytree(jtu.tree_map(jnp.subtract, y, reference))[0]
    return inner(away, away)
