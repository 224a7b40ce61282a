"""Steady states with implicit differentiation."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import lineax as lx
import optimistix as optx

from ._checks import as_real, fail, in_domain, is_concrete, kind
from ._dynamics import AbstractDynamics, AbstractEnergyDynamics, Layer
from ._integrate import Event, as_args, as_state, integrate, tolerances
from ._misc import as_inexact
from ._results import RESULTS, describe_result, is_okay, memory_of, outcome, raise_unless_okay
from ._types import Array, Int, PyTree, Scalar, ScalarLike, State

LARGEST_DENSE = 512
"""Largest state for which linear systems are solved densely by default; larger ones go to GMRES, matrix-free."""


class SteadyState(eqx.Module):
    r"""What `hopfield_jax.steady_state` returns.

    **Attributes:**

    - `state`: where the dynamics came to rest, in the structure of the initial state.
    - `residual`: the largest rate of change there, in absolute value; for the layers of a network per time constant,
      $|\tau \dot y|$.
    - `time`: how long the dynamics took to come within the tolerance of rest.
    - `num_steps`: steps of the integration.
    - `result`: how it ended.
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
    r"""Follows the dynamics from `y0` to rest, polishes by Newton's method, and differentiates implicitly.

    The integration picks the attractor, so the state belongs to the basin that `y0` lies in (or to a saddle, if the
    path passes one within the tolerance: `linearise` tells); Newton's method then solves $f(y) = 0$ to rounding.
    Gradients (reverse and forward mode) with respect to everything in the model and `args` come from the implicit
    function theorem, $\mathrm{d}y = -(\partial f/\partial y)^{-1}\,\partial f$, at the cost of one linear solve; the
    gradient with respect to `y0` is zero. At a bifurcation that Jacobian is singular and the gradient is meaningless.

    **Main arguments:**

    - `model`, `y0`: the dynamics (autonomous: its vector field is evaluated at time 0) and where to start.
    - `args`: handed to the vector field.

    **Other arguments:**

    - `tolerance`: largest `residual` that counts as rest, before polishing; default 1e-4 in float32, 1e-6
      in float64.
    - `max_time`, `max_steps`: how long to follow the dynamics.
    - `solver`: as in `integrate`.
    - `linear_solver`: for Newton's method and the gradient; default dense LU up to 512 numbers in the
      state, GMRES beyond.
    - `throw`: whether an unsuccessful end raises; else it is in `result` and the state is NaN.

    **Returns:** a `SteadyState`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.
    """
    if not isinstance(model, AbstractDynamics):
        fail("model", "a dynamics with a vector field", kind(model))
    y0, args = as_state("y0", model, y0), as_args(args)
    rtol, atol = tolerances(y0)
    tolerance = (
        as_inexact(10 * rtol if rtol > 1e-6 else 100 * rtol) if tolerance is None else as_real("tolerance", tolerance)
    )
    in_domain("tolerance", tolerance, "positive")
    max_time = as_real("max_time", max_time)
    in_domain("max_time", max_time, "positive")
    if linear_solver is None:
        size = sum(x.size for x in jtu.tree_leaves(y0))
        linear_solver = lx.AutoLinearSolver(well_posed=None) if size <= LARGEST_DENSE else lx.GMRES(rtol, atol)
    newton = optx.Newton(rtol=rtol, atol=atol, linear_solver=linear_solver)
    out = _steady_state(model, y0, args, tolerance, max_time, max_steps, solver, newton)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _steady_state(model, y0, args, tolerance, max_time, max_steps, solver, newton) -> SteadyState:
    frozen, frozen_args, start = _stop_gradient((model, args, y0))
    # A traced one that is no tolerance is never reached.
    tolerance = jnp.where((tolerance > 0) & jnp.isfinite(tolerance), tolerance, jnp.nan)
    resting = _largest(_imbalance(start, (frozen, frozen_args))) <= tolerance
    path = integrate(
        frozen,
        start,
        t1=jnp.where(resting, 1e-6 * max_time, max_time),
        args=frozen_args,
        event=Event(_AtRest(frozen, tolerance), direction=False),
        max_steps=max_steps,
        solver=solver,
        adjoint=dfx.ForwardMode(),  # nothing is differentiated here
        throw=False,
    )
    at_end = _largest(_imbalance(path.final, (frozen, frozen_args)))
    arrived = is_okay(path.result) & (at_end <= 2 * tolerance)  # located to rounding, or at rest from the start
    guess = jtu.tree_map(lambda a, b: jnp.where(arrived, a, b), path.final, start)
    root = optx.root_find(
        _imbalance,
        newton,
        guess,
        (model, args),
        max_steps=32,
        adjoint=optx.ImplicitAdjoint(newton.linear_solver),
        throw=False,
    )
    state = root.value
    residual = _largest(_imbalance(*_stop_gradient((state, (model, args)))))
    moved = _largest(jtu.tree_map(jnp.subtract, _stop_gradient(state), guess))
    stayed = moved <= 0.1 * (1 + _largest(guess))  # a longer jump of Newton's method may have left the basin
    settled = arrived & stayed & (residual <= tolerance)
    result = outcome(
        (~settled, RESULTS.not_settled), (path.result == RESULTS.invalid_parameter, RESULTS.invalid_parameter)
    )
    return SteadyState(
        state=jtu.tree_map(lambda x: jnp.where(settled, x, jnp.nan), state),
        residual=residual,
        time=jnp.where(resting, 0, path.final_time),
        num_steps=path.stats["num_steps"],
        result=result,
    )


class _AtRest(eqx.Module):
    """Falls through zero where the largest rate of change falls below the tolerance."""

    model: AbstractDynamics
    tolerance: Scalar

    def __call__(self, t, y, args, mode):
        imbalance = _largest(_imbalance(y, (self.model, args)))
        return imbalance - self.tolerance.astype(imbalance.dtype)


def _imbalance(y, model_and_args):
    """The rate of change, for layers per time constant: the solver's noise in a fast layer is a rate of order 1/τ."""
    model, args = model_and_args
    rate = model.vector_field(jnp.zeros(()), y, args)
    if isinstance(model, AbstractEnergyDynamics):
        is_layer = lambda x: isinstance(x, Layer)  # noqa: E731
        rate = jtu.tree_map(lambda layer, r: layer.tau * r, model.layers(), rate, is_leaf=is_layer)
    return rate


def _largest(tree: PyTree) -> Scalar:
    return jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in jtu.tree_leaves(tree)]))


def _stop_gradient(tree: PyTree) -> PyTree:
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)
