"""Periodic orbits of dynamics and maps, and their Floquet multipliers."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import lineax as lx
import numpy as np
from jax.flatten_util import ravel_pytree

from ._checks import Rules, at_least, fail, is_valid, kind, takes
from ._dynamics import AbstractDynamics
from ._follow import Branch, follow
from ._integrate import as_args, as_problem, integrate, tolerances
from ._misc import in_type, inner, largest, matmul, nan_unless
from ._results import RESULTS, Trajectory, card, describe_result, is_okay, outcome, raise_unless_okay
from ._roots import settled_newton
from ._types import Array, Bool, PyTree, Scalar, ScalarLike, State

LARGEST_DENSE = 512
"""Largest state whose return map is linearised as a matrix; of larger ones its products with vectors are used."""

_VECTORS = 4  # of Arnoldi's method for each multiplier, and at least 20


class PeriodicOrbit(eqx.Module):
    r"""Result of `hopfield_jax.periodic_orbit`.

    **Attributes:**

    - `state`: a state of the orbit, in the structure of the initial state.
    - `period`: T, of a map the number of updates.
    - `multipliers`: Floquet's, the eigenvalues of the derivative of the state after a period by that before, the
      largest modulus first; complex. One of them is 1 if the period was solved for (a shift along the orbit).
    - `leading`: the largest modulus, apart from that one.
    - `stable`: whether `leading` is below 1.
    - `trivial_error`: distance of the multiplier nearest to 1 from 1, a measure of the accuracy; NaN if the period was
      given.
    - `residual`: largest |y(T) − y(0)|.
    - `result`: the result code.
    """

    state: PyTree[Array]
    period: Scalar
    multipliers: Array
    leading: Scalar
    stable: Bool[Array, ""]
    trivial_error: Scalar
    residual: Scalar
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.period,
            lambda: (
                f"period {self.period:.7g}, {'stable' if self.stable else 'not stable'}, leading multiplier "
                f"{self.leading:.5g}, residual {self.residual:.2g}\n  result: {describe_result(self.result)}"
            ),
        )


def periodic_orbit(
    model: AbstractDynamics | Callable,
    y0: State,
    *,
    period: ScalarLike,
    forced: bool = False,
    transient: ScalarLike = 0.0,
    args: Any = None,
    num_multipliers: int | None = None,
    max_steps: int = 16384,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    adjoint: dfx.AbstractAdjoint | None = None,
    linear_solver: lx.AbstractLinearSolver | None = None,
    throw: bool = True,
) -> PeriodicOrbit:
    r"""Finds a periodic orbit by Newton's method on the return map, stable or not, and its Floquet multipliers.

    For an autonomous system the state and the period are the unknowns of

    $$y(T; y_0) - y_0 = 0,\qquad f(\hat y)\cdot(y_0 - \hat y) = 0,$$

    where the second equation fixes the phase, with the guess $\hat y$. The first guess of T is the time within a third
    of `period` at which the trajectory comes closest to $\hat y$. The multipliers are the eigenvalues of the derivative
    of $y(T)$ by $y_0$: the orbit is stable if all but the trivial one, $\mu = 1$, have modulus below 1.

    Tangents solve their own equations together with the state, and their errors are controlled too. Where the vector
    field is continuous, as with units that have kinks, multipliers are those of the orbit; where it jumps (`Sign`
    units) they miss the jumps.

    State and period are differentiable once with respect to the model and `args`, implicitly, in the mode of `adjoint`
    (at kinks less accurately in reverse mode, along the steps for the state); gradients with respect to `y0` and
    through the multipliers are zero.

    **Main arguments:**

    - `model`: the dynamics, or a map, a function `(t, y, args) -> ` next state, with t the number of updates.
    - `y0`: a state near the orbit.
    - `period`: a guess of T; of a map, the number of updates.

    **Other arguments:**

    - `forced`: whether the vector field depends on time and has itself this period, which is then not solved for.
    - `transient`: time of integration from `y0` to a better guess, for an orbit that attracts; of a map, its updates.
    - `args`: passed to the vector field or the map.
    - `num_multipliers`: default all, by a dense solver, up to 512 numbers in the state, and 6 beyond. Otherwise the
      number of leading ones, by Arnoldi's method, for which the derivative is only multiplied by vectors.
    - `max_steps`, `solver`, `stepsize_controller`: of the integration over one period, as in `integrate`; the relative
      tolerance is 1e-11 in float64 by default.
    - `adjoint`: as in `integrate`: the default is for `jax.grad`, `diffrax.ForwardMode()` for `jax.jvp`.
    - `linear_solver`: for Newton's method; default dense LU up to 512 numbers in the state, GMRES beyond.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `PeriodicOrbit`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    class VanDerPol(hj.AbstractDynamics):
        damping: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))

        def vector_field(self, t, y, args=None):
            return jnp.stack([y[1], self.damping * (1 - y[0] ** 2) * y[1] - y[0]])

    orbit = hj.periodic_orbit(VanDerPol(0.2), jnp.array([2.0, 0.0]), period=6.0)
    assert abs(orbit.period - 2 * jnp.pi * (1 + 0.2**2 / 16)) < 1e-3 and orbit.stable
    ```
    """
    is_map = not isinstance(model, AbstractDynamics)
    rules = Rules()
    if is_map:
        takes("model", model, "t, y, args")
        at_least("period", period, 1)
    period, transient = rules.real("period", period, "positive"), rules.real("transient", transient, "nonnegative")
    model, y0, dtype = as_problem("y0", model, y0, rules)
    size = sum(x.size for x in jtu.tree_leaves(y0))
    dense = size <= LARGEST_DENSE and num_multipliers is None
    if num_multipliers is not None:
        at_least("num_multipliers", num_multipliers, 1)
        if num_multipliers > size:
            fail("num_multipliers", f"at most the size {size} of the state", num_multipliers)
    count = size if dense else int(num_multipliers or min(6, size))
    if linear_solver is None:
        linear_solver = lx.AutoLinearSolver(well_posed=None) if size <= LARGEST_DENSE else lx.GMRES(*tolerances(y0))
    at_least("max_steps", max_steps, 1)
    if stepsize_controller is None:
        stepsize_controller = _controller(y0)
    updates = int(np.asarray(period)) if is_map else None
    run = _Run(max_steps, solver, stepsize_controller, updates, bool(forced) or is_map)
    numbers = y0, period, transient, as_args(args)
    out = _periodic_orbit(model, run, adjoint, *numbers, dense, count, linear_solver, rules.valid)
    out = eqx.tree_at(lambda found: found.state, out, in_type(out.state, dtype))
    return raise_unless_okay(out, out.result) if throw else out


def _controller(y0: State) -> dfx.AbstractStepSizeController:
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


class _Run(eqx.Module):
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
def _flow(model: AbstractDynamics, y: State, args: Any, run: _Run) -> State:
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


class _Section(eqx.Module):
    """The phase normal·(y − reference) = 0 of an orbit, and its period if that is given."""

    run: _Run
    restore: Callable = eqx.field(static=True)
    reference: Array
    normal: Array
    period: Scalar

    def split(self, w: Array) -> tuple[Array, Scalar]:
        return (w, self.period) if self.run.fixed else (w[:-1], w[-1])

    def join(self, x: Array, last: Scalar) -> Array:
        return x if self.run.fixed else jnp.append(x, last)


def _equations(w: Array, args: tuple) -> Array:
    """y(T) − y and, unless the period is given, the phase, for the flattened state and the period."""
    section, problem, adjoint = args
    x, period = section.split(w)
    end = ravel_pytree(section.run.final(problem, section.restore(x), period, adjoint))[0]
    return section.join(end - x, inner(section.normal, x - section.reference))


@eqx.filter_jit
def _periodic_orbit(
    model, run: _Run, adjoint, y0, period, transient, args, dense: bool, count: int, linear_solver, valid
) -> PeriodicOrbit:
    valid &= is_valid(model)
    problem = model, args
    still, y0, period, transient = _constant((problem, y0, period, transient))
    x, restore = ravel_pytree(y0)
    period, transient = (jnp.where(valid, t, 0).astype(x.dtype) for t in (period, transient))
    reference, guess, begun = _guess(run, still, y0, period, transient)
    x, rate = ravel_pytree(reference)[0], _rate(run, still, reference)
    section = _Section(run, restore, x, rate, guess)
    w, converged = settled_newton(_equations, section.join(x, guess), (section, still, None), linear_solver)
    converged &= jnp.abs(section.split(w)[1] / guess - 1) < 0.5
    w = _constant(jnp.where(converged, w, section.join(x, guess)))

    backward = None if isinstance(adjoint, dfx.ForwardMode) else adjoint or dfx.RecursiveCheckpointAdjoint()
    gaps = _equations(w, (section, problem, backward))
    product = lambda v: jax.jvp(lambda w: _equations(w, (section, still, None)), (w,), (v,))[1]  # noqa: E731
    if dense:
        matrix = jax.vmap(product, out_axes=1)(jnp.eye(w.size, dtype=w.dtype))
        multipliers = jnp.linalg.eigvals(matrix[: x.size, : x.size] + jnp.eye(x.size, dtype=x.dtype))
        solved, solve = jnp.array(True), lambda b: jnp.linalg.solve(matrix, b)
    else:
        along = lambda v: section.split(product(section.join(v, jnp.zeros_like(guess))))[0] + v  # noqa: E731
        multipliers, solved = _leading(along, x, count)
        operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: w))
        solve = lambda b: lx.linear_solve(operator, b, linear_solver, throw=False).value  # noqa: E731
    # A Newton step of no length, with the derivative of the implicit function theorem.
    x, period = section.split(w - solve(gaps - jax.lax.stop_gradient(gaps)))
    moved = largest(_rate(run, still, restore(_constant(x)))) * period
    at_rest = moved <= 10 * jnp.sqrt(jnp.finfo(x.dtype).eps) * (1 + largest(x))
    result = outcome(
        (~solved, RESULTS.not_converged),
        (~converged, RESULTS.no_return),
        (at_rest & jnp.array(not run.fixed), RESULTS.orbit_at_rest),
    )
    result = RESULTS.where(is_okay(begun), result, begun)
    result = RESULTS.where(valid, result, RESULTS.invalid_parameter)
    return _found(section, restore(x), period, multipliers, gaps, result)


_FORWARD = dfx.ForwardMode()


def _found(section: _Section, state: State, period: Scalar, multipliers: Array, gaps: Array, result) -> PeriodicOrbit:
    okay = is_okay(result)
    multipliers = multipliers[jnp.argsort(-jnp.abs(multipliers))]
    away = jnp.abs(multipliers - 1)
    trivial = jnp.arange(multipliers.size) == jnp.argmin(away)
    others = jnp.where(trivial & jnp.array(not section.run.fixed), 0, jnp.abs(multipliers))
    numbers = state, period, jnp.max(others), jnp.where(section.run.fixed, jnp.nan, jnp.min(away))
    state, period, leading, trivial_error = nan_unless(okay, numbers, constant=True)
    return PeriodicOrbit(
        state=state,
        period=period,
        multipliers=jnp.where(okay, multipliers, jnp.nan),
        leading=leading,
        stable=okay & (leading < 1),
        trivial_error=trivial_error,
        residual=jax.lax.stop_gradient(largest(section.split(gaps)[0])),
        result=result,
    )


def _constant(tree: PyTree) -> PyTree:
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)


def _rate(run: _Run, problem: tuple, y: State) -> Array:
    """The flattened rate of change at a state; of a map zero."""
    model, args = problem
    rate = y if run.updates is not None else model.vector_field(jnp.zeros(()), y, args)
    return ravel_pytree(rate)[0] * jnp.where(run.updates is None, 1.0, 0.0).astype(ravel_pytree(y)[0].dtype)


def _guess(run: _Run, problem: tuple, y: State, period: Scalar, transient: Scalar) -> tuple[State, Scalar, RESULTS]:
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


def _leading(product: Callable, like: Array, count: int) -> tuple[Array, Array]:
    """The eigenvalues of largest modulus, by Arnoldi's method, and whether their residuals are small."""
    size = min(like.size, max(20, _VECTORS * count))

    def extend(basis: Array, j: Array) -> tuple[Array, Array]:
        v, column = product(basis[j]), jnp.zeros(size + 1, like.dtype)
        for _ in range(2):  # the second time against rounding
            along = matmul(basis, v)
            v, column = v - matmul(along, basis), column + along
        norm = jnp.linalg.norm(v)
        more = norm > jnp.finfo(like.dtype).eps * jnp.linalg.norm(column)  # else the space is invariant
        basis = basis.at[j + 1].set(jnp.where(more, v / jnp.where(more, norm, 1), 0))
        return basis, column.at[j + 1].set(jnp.where(more, norm, 0))

    start = jr.normal(jr.key(0), like.shape, like.dtype)
    basis = jnp.zeros((size + 1, like.size), like.dtype).at[0].set(start / jnp.linalg.norm(start))
    _, columns = jax.lax.scan(extend, basis, jnp.arange(size))
    values, vectors = jnp.linalg.eig(columns[:, :size].T)
    order = jnp.argsort(-jnp.abs(values))[:count]
    residuals = columns[-1, size] * jnp.abs(vectors[-1, order])
    solved = jnp.all(residuals <= jnp.sqrt(jnp.finfo(like.dtype).eps) * jnp.maximum(1, jnp.abs(values[order[0]])))
    return values[order], solved


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
    rules = Rules()
    parameter, period = rules.real("parameter", parameter, "finite"), rules.real("period", period, "positive")
    model, y0, _ = as_problem("y0", function(parameter), y0, rules)
    if not isinstance(model, AbstractDynamics):
        fail("function", "a function of a parameter that returns a dynamics", kind(model))
    run = _Run(max_steps, solver, stepsize_controller or _controller(y0), None, False)
    x, restore = ravel_pytree(y0)
    args = as_args(args)
    section = _Section(run, restore, x, _rate(run, (model, args), y0), period.astype(x.dtype))
    equations = eqx.Partial(_of_parameter, function, section, args)
    return follow(
        equations,
        jnp.append(x, period.astype(x.dtype)),
        parameter.astype(x.dtype),
        **{"fold_tolerance": 1e-3} | options,
    )


def _of_parameter(function: Callable, section: _Section, args: Any, w: Array, parameter: Scalar) -> Array:
    return _equations(w, (section, (function(parameter), args), None))
