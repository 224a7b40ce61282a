"""Steady states with implicit differentiation."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import lineax as lx

from ._checks import Rules, all_finite, at_least, fail, is_concrete, is_valid, kind
from ._dynamics import AbstractDynamics, AbstractEnergyDynamics, Layer
from ._integrate import Event, as_args, as_problem, integrate, tolerances
from ._misc import in_type, largest, nan_unless
from ._results import RESULTS, describe_result, is_okay, memory_of, outcome, raise_unless_okay
from ._roots import settled_newton
from ._types import Array, Bool, Int, PyTree, Scalar, ScalarLike, State

LARGEST_DENSE = 512
"""Largest state for which linear systems are solved densely by default; larger ones use matrix-free GMRES."""

SLOWEST = 1e-2
"""The smallest rate of change, in tolerances, to which the integration continues if Newton's method fails."""


class SteadyState(eqx.Module):
    r"""Result of `hopfield_jax.steady_state`.

    **Attributes:**

    - `state`: the fixed point, in the structure of the initial state.
    - `residual`: the largest rate of change there, in absolute value; for the layers of a network per time constant,
      $|\tau \dot y|$.
    - `time`: length of the integration before Newton's method; of updates their number.
    - `num_steps`: steps of the integration, or updates.
    - `result`: the result code.
    """

    state: PyTree[Array]
    residual: Scalar
    time: Scalar
    num_steps: Int[Array, ""]
    result: RESULTS

    def __str__(self) -> str:
        card = f"SteadyState: {memory_of(self)}"
        if not is_concrete(self.residual):
            return card
        return (
            f"{card}\n  largest rate of change {jnp.max(self.residual):.2g}, at rest after time "
            f"{jnp.max(self.time):.4g}, {jnp.max(self.num_steps)} steps\n  result: {describe_result(self.result)}"
        )


def steady_state(
    model: AbstractDynamics,
    y0: State,
    *,
    args: Any = None,
    tolerance: ScalarLike | None = None,
    max_time: ScalarLike = 1e4,
    max_steps: int = 65536,
    solver: dfx.AbstractSolver | None = None,
    linear_solver: lx.AbstractLinearSolver | None = None,
    throw: bool = True,
) -> SteadyState:
    r"""Integrates the dynamics from `y0` to rest, refines by Newton's method, and differentiates implicitly.

    With `solver=diffrax.Euler()` it iterates the update of an energy network instead, steps of each layer's time
    constant, until `residual` is within the tolerance, without Newton's method: the quickest where few updates are
    enough, as in the implicit layers of machine learning.

    The integration selects the attractor in whose basin `y0` lies (or a saddle, if the trajectory passes one within the
    tolerance: see `linearise`); Newton's method then solves $f(y) = 0$ to rounding. If it finds no root nearby (the
    flow is only slow), the integration continues to a tenth and a hundredth of the rate of change. The code
    distinguishes failure of the flow (`not_settled`) and of Newton's method (`newton_left`).

    Gradients (reverse and forward mode, any order) with respect to everything in the model and `args` come from the
    implicit function theorem, $\mathrm{d}y = -(\partial f/\partial y)^{-1}\,\partial f$, at the cost of one linear
    solve. The gradient with respect to `y0` is zero. A state that did not settle is NaN, with zero gradient. At a
    bifurcation the Jacobian is singular and the gradient is meaningless.

    **Main arguments:**

    - `model`, `y0`: the dynamics (autonomous: its vector field is evaluated at time 0) and the initial state.
    - `args`: passed to the vector field.

    **Other arguments:**

    - `tolerance`: largest `residual` that counts as rest, before refinement; default 1e-4 in float32, 1e-6 in float64.
    - `max_time`, `max_steps`: limits of the integration; of updates, only the second.
    - `solver`: as in `integrate`, or `diffrax.Euler()` for updates.
    - `linear_solver`: for Newton's method and the gradient; default dense LU up to 512 numbers in the
      state, GMRES beyond. After updates the gradient is iterated as well, and NaN at an unstable fixed point.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the state is NaN.

    **Returns:** a `SteadyState`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.
    """
    if not isinstance(model, AbstractDynamics):
        fail("model", "a dynamics with a vector field", kind(model))
    if isinstance(solver, dfx.Euler) and not isinstance(model, AbstractEnergyDynamics):
        fail("solver", "another one for a model without layers, whose time constants the steps would be", "Euler")
    at_least("max_steps", max_steps, 1)
    rules = Rules()
    model, y0, dtype = as_problem("y0", model, y0, rules)
    args = as_args(args)
    rtol, atol = tolerances(y0)
    if tolerance is None:
        tolerance = 10 * rtol if rtol > 1e-6 else 100 * rtol
    tolerance, max_time = rules.real("tolerance", tolerance, "positive"), rules.real("max_time", max_time, "positive")
    max_updates = max_steps if linear_solver is None and isinstance(solver, dfx.Euler) else None
    if linear_solver is None:
        size = sum(x.size for x in jtu.tree_leaves(y0))
        linear_solver = lx.AutoLinearSolver(well_posed=None) if size <= LARGEST_DENSE else lx.GMRES(rtol, atol)
    out = _steady_state(
        model, y0, args, tolerance, max_time, max_steps, solver, linear_solver, max_updates, rules.valid
    )
    out = eqx.tree_at(lambda found: found.state, out, in_type(out.state, dtype))
    return raise_unless_okay(out, out.result) if throw else out


class _Search(eqx.Module):
    """State of the search for a fixed point; gradients are blocked."""

    wanted: Scalar  # the target rate of change
    flow: State  # end of the integration
    state: State  # result of Newton's method from there
    time: Scalar
    num_steps: Int[Array, ""]
    residual: Scalar
    at_rest: Bool[Array, ""]  # the flow, within the tolerance
    go_on: Bool[Array, ""]
    settled: Bool[Array, ""]
    result: RESULTS


@eqx.filter_jit
def _steady_state(
    model, y0, args, tolerance, max_time, max_steps, solver, linear_solver, max_updates, valid
) -> SteadyState:
    valid = valid & is_valid(model)
    tolerance = jnp.where(valid, tolerance, jnp.nan)  # which is never reached
    frozen, start, constants = _stop_gradient((model, y0, args))
    if isinstance(solver, dfx.Euler):
        found = _iterate(start, (frozen, constants), tolerance, max_steps)
    else:
        found = _search(frozen, start, constants, tolerance, max_time, max_steps, solver, linear_solver)
    settled = is_okay(found.result)
    resting = jtu.tree_map(lambda a, b: jnp.where(settled, a, b), found.state, start)
    state = _implicit(resting, (model, args), settled, linear_solver, max_updates)
    state = nan_unless(settled, state, constant=True)
    result = RESULTS.where(valid, found.result, RESULTS.invalid_parameter)
    return eqx.tree_at(lambda found: (found.state, found.result), found, (state, result))


def _iterate(y: State, problem: PyTree, tolerance: Scalar, max_steps: int) -> SteadyState:
    r"""Updates $y \leftarrow y + \tau\dot y$ until the largest change is within the tolerance."""

    def update(carry):
        y, change, count = carry
        y = jtu.tree_map(jnp.add, y, change)
        return y, _imbalance(y, problem), count + 1

    going = lambda carry: (largest(carry[1]) > tolerance) & (carry[2] < max_steps)  # noqa: E731
    y, change, count = jax.lax.while_loop(going, update, (y, _imbalance(y, problem), jnp.array(0)))
    residual = largest(change)
    result = outcome((~(residual <= tolerance), RESULTS.not_settled), (~all_finite((y, change)), RESULTS.not_finite))
    return SteadyState(state=y, residual=residual, time=count.astype(residual.dtype), num_steps=count, result=result)


def _search(model, y0, args, tolerance, max_time, max_steps, solver, linear_solver) -> SteadyState:
    """Integrates to rest; reduces the target rate to a tenth whenever Newton's method leaves for another state."""
    problem = model, args
    rate = lambda y: largest(_imbalance(y, problem))  # noqa: E731
    tolerance, max_time = (x.astype(jax.eval_shape(rate, y0).dtype) for x in (tolerance, max_time))

    def attempt(search: _Search) -> _Search:
        wanted, resting = search.wanted, rate(search.flow) <= search.wanted
        path = integrate(
            model,
            search.flow,
            t1=jnp.maximum(jnp.where(resting, 0, max_time - search.time), 1e-6 * max_time),
            args=args,
            event=Event(_AtRest(model, wanted), direction=False),
            max_steps=max_steps,
            solver=solver,
            adjoint=dfx.ForwardMode(),  # gradients are implicit
            throw=False,
        )
        okay, at_end = is_okay(path.result), rate(path.final)
        arrived = okay & (at_end <= 2 * tolerance)  # located to rounding, or at `max_time`
        flow = jtu.tree_map(lambda a, b: jnp.where(okay, a, b), path.final, search.flow)
        root, converged = settled_newton(_imbalance, flow, problem, linear_solver)
        residual, moved = rate(root), largest(jtu.tree_map(jnp.subtract, root, flow))
        stayed = moved <= 0.1 * (1 + largest(flow))  # a longer Newton step may have left the basin
        settled = arrived & converged & stayed & (residual <= tolerance)
        return _Search(
            wanted=0.1 * wanted,
            flow=flow,
            state=jtu.tree_map(lambda a, b: jnp.where(settled, a, b), root, flow),
            time=search.time + jnp.where(resting, 0, path.final_time).astype(search.time.dtype),
            num_steps=search.num_steps + path.stats["num_steps"],
            residual=jnp.where(settled, residual, rate(flow)),
            at_rest=jnp.where(okay, arrived, search.at_rest),
            go_on=arrived & ~settled & (wanted > 2 * SLOWEST * tolerance),
            settled=settled,
            result=path.result,
        )

    zero, count, no = jnp.zeros((), tolerance.dtype), jnp.array(0), jnp.array(False)
    start = _Search(tolerance, y0, y0, zero, count, zero, no, ~no, no, outcome())
    search = jax.lax.while_loop(lambda search: search.go_on, attempt, start)
    result = outcome(
        (~search.settled, RESULTS.not_settled),
        (~search.settled & search.at_rest, RESULTS.newton_left),
        *((search.result == code, code) for code in (RESULTS.not_finite, RESULTS.invalid_parameter)),
    )
    return SteadyState(search.state, search.residual, search.time, search.num_steps, result)


def _implicit(
    state: State, problem: PyTree, settled: Array, linear_solver: lx.AbstractLinearSolver, max_updates: int | None
) -> State:
    """`state` with the implicit derivative of a root, or zero derivative if it is not settled.

    Then `state` and `problem` have to be finite all the same, since NaN times zero is NaN. What `jax.vmap` shares among
    its members stays shared.
    """
    known = lambda x: jnp.where(jnp.isnan(x), 0, x) if eqx.is_inexact_array(x) else x  # noqa: E731
    problem = jtu.tree_map(known, problem)

    def function(y: State) -> State:
        return jtu.tree_map(lambda rate, x: jnp.where(settled, rate, x), _imbalance(y, problem), y)

    def solve(product: Callable, b: State) -> State:
        if max_updates:
            return _solve_by_updates(product, b, max_updates)
        operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: b))
        return lx.linear_solve(operator, b, linear_solver, throw=False).value

    # Lineax would raise in reverse mode, where it cannot return a code.
    tangent_solve = lambda product, b: jax.lax.custom_linear_solve(product, b, solve, solve)  # noqa: E731
    return jax.lax.custom_root(function, state, lambda _, y: y, tangent_solve)


def _solve_by_updates(product: Callable, b: State, most: int) -> State:
    r"""Solves $(J - 1)x = b$ by $x \leftarrow Jx - b$ to rounding; NaN where that does not converge."""

    def far(carry) -> Array:
        x, change, _ = carry
        size = largest(change)
        return ~(size <= 64 * jnp.finfo(size.dtype).eps * largest(x))

    def again(carry):
        x, change, count = carry
        x = jtu.tree_map(jnp.add, x, change)
        return x, jtu.tree_map(jnp.subtract, product(x), b), count + 1

    start = jtu.tree_map(jnp.zeros_like, b), jtu.tree_map(jnp.negative, b), jnp.array(0)
    end = jax.lax.while_loop(lambda carry: far(carry) & (carry[2] < most), again, start)
    return nan_unless(~far(end), end[0])


class _AtRest(eqx.Module):
    """Falls through zero when the largest rate of change falls below the tolerance."""

    model: AbstractDynamics
    tolerance: Scalar

    def __call__(self, t, y, args, mode):
        return largest(_imbalance(y, (self.model, args))) - self.tolerance


def _imbalance(y, model_and_args):
    """The rate of change, per time constant for layers: solver errors in a fast layer cause rates of order 1/τ."""
    model, args = model_and_args
    rate = model.vector_field(jnp.zeros(()), y, args)
    if isinstance(model, AbstractEnergyDynamics):
        is_layer = lambda x: isinstance(x, Layer)  # noqa: E731
        rate = jtu.tree_map(lambda layer, r: layer.tau * r, model.layers(), rate, is_leaf=is_layer)
    return rate


def _stop_gradient(tree: PyTree) -> PyTree:
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)
