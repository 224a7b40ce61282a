"""Periodic orbits of dynamics and maps, and their Floquet multipliers."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import lineax as lx
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import Rules, at_least, fail, is_valid, takes
from .._dynamics import AbstractDynamics
from .._integrate import as_args, as_problem, tolerances
from .._misc import in_type, largest, nan_unless, nondifferentiable
from .._results import RESULTS, card, describe_result, is_okay, outcome, raise_unless_okay
from .._roots import settled_newton
from .._types import Array, Bool, PyTree, Scalar, ScalarLike, State
from ._arnoldi import leading_eigenvalues
from ._return import Run, Section, equations, guess_of, rate_of, tight_controller

LARGEST_DENSE = 512
"""Largest state whose return map is linearised as a matrix; of larger ones its products with vectors are used."""


class PeriodicOrbit(eqx.Module):
    r"""Result of `hopfield_jax.periodic_orbit`.

    **Attributes:**

    - `state`: a state of the orbit, in the structure of the initial state.
    - `period`: T, of a map the number of updates.
    - `multipliers`: Floquet's, the eigenvalues of the derivative of the state after a period by that before, the
      largest modulus first; complex. One of them is 1 if the period was solved for (a shift along the orbit).
    - `leading`: the largest modulus, apart from that one.
    - `stable`: whether `leading` is below 1 by more than `trivial_error`.
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
    units) they miss the jumps. Their eigensolver does not exist on TPUs.

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
        stepsize_controller = tight_controller(y0)
    updates = int(np.asarray(period)) if is_map else None
    run = Run(int(max_steps), solver, stepsize_controller, updates, bool(forced) or is_map)
    numbers = y0, period, transient, as_args(args)
    out = _periodic_orbit(model, run, adjoint, *numbers, dense, count, linear_solver, rules.valid)
    out = eqx.tree_at(lambda found: found.state, out, in_type(out.state, dtype))
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _periodic_orbit(
    model, run: Run, adjoint, y0, period, transient, args, dense: bool, count: int, linear_solver, valid
) -> PeriodicOrbit:
    valid &= is_valid(model)
    problem = model, args
    still, y0, period, transient = constant((problem, y0, period, transient))
    x, restore = ravel_pytree(y0)
    period, transient = (jnp.where(valid, t, 0).astype(x.dtype) for t in (period, transient))
    reference, guess, begun = guess_of(run, still, y0, period, transient)
    x, rate = ravel_pytree(reference)[0], rate_of(run, still, reference)
    section = Section(run, restore, x, rate, guess)
    w, converged = settled_newton(equations, section.join(x, guess), (section, still, None), linear_solver)
    converged &= jnp.abs(section.split(w)[1] / guess - 1) < 0.5
    w = constant(jnp.where(converged, w, section.join(x, guess)))

    backward = None if isinstance(adjoint, dfx.ForwardMode) else adjoint or dfx.RecursiveCheckpointAdjoint()
    gaps = equations(w, (section, problem, backward))
    product = lambda v: jax.jvp(lambda w: equations(w, (section, still, None)), (w,), (v,))[1]  # noqa: E731
    if dense:
        matrix = jax.vmap(product, out_axes=1)(jnp.eye(w.size, dtype=w.dtype))
        multipliers = jnp.linalg.eigvals(matrix[: x.size, : x.size] + jnp.eye(x.size, dtype=x.dtype))
        solved, solve = jnp.array(True), lambda b: jnp.linalg.solve(matrix, b)
    else:
        along = lambda v: section.split(product(section.join(v, jnp.zeros_like(guess))))[0] + v  # noqa: E731
        multipliers, solved = leading_eigenvalues(along, x, count)
        operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: w))
        solve = lambda b: lx.linear_solve(operator, b, linear_solver, throw=False).value  # noqa: E731
    # A Newton step of no length, with the derivative of the implicit function theorem.
    x, period = section.split(w - solve(_once(gaps) - jax.lax.stop_gradient(gaps)))
    moved = largest(rate_of(run, still, restore(constant(x)))) * period
    at_rest = moved <= 10 * jnp.sqrt(jnp.finfo(x.dtype).eps) * (1 + largest(x))
    result = outcome(
        (~solved, RESULTS.not_converged),
        (~converged, RESULTS.no_return),
        (at_rest & jnp.array(not run.fixed), RESULTS.orbit_at_rest),
    )
    # A trivial multiplier in a complex pair is that of a spiral so slow that it passes for closed.
    nearest = multipliers[jnp.argmin(jnp.abs(multipliers - 1))]
    spiral = jnp.array(not run.fixed) & (jnp.abs(jnp.imag(nearest)) > jnp.finfo(x.dtype).eps)
    result = RESULTS.where(is_okay(result) & spiral, RESULTS.no_return, result)
    result = RESULTS.where(is_okay(begun), result, begun)
    result = RESULTS.where(valid, result, RESULTS.invalid_parameter)
    return _found(section, restore(x), period, multipliers, gaps, result)


def _found(section: Section, state: State, period: Scalar, multipliers: Array, gaps: Array, result) -> PeriodicOrbit:
    okay = is_okay(result)
    multipliers = multipliers[jnp.argsort(-jnp.abs(multipliers))]
    away = jnp.abs(multipliers - 1)
    trivial = jnp.arange(multipliers.size) == jnp.argmin(away)
    others = jnp.where(trivial & jnp.array(not section.run.fixed), 0, jnp.abs(multipliers))
    margin = jnp.where(section.run.fixed, 0, jnp.min(away))  # what the trivial one says of the accuracy
    numbers = state, period, jnp.max(others), jnp.where(section.run.fixed, jnp.nan, jnp.min(away))
    state, period, leading, trivial_error = nan_unless(okay, numbers, constant=True)
    return PeriodicOrbit(
        state=state,
        period=period,
        multipliers=jnp.where(okay, multipliers, jnp.nan),
        leading=leading,
        stable=okay & (leading + margin < 1),
        trivial_error=trivial_error,
        residual=jax.lax.stop_gradient(largest(section.split(gaps)[0])),
        result=result,
    )


@jax.custom_jvp
def _once(x: Array) -> Array:
    """`x`, whose second derivatives raise: those of a single Newton step would be wrong."""
    return x


@_once.defjvp
def _(primals, tangents):
    message = "`hopfield_jax.periodic_orbit` has first derivatives only."
    marked = nondifferentiable(primals[0], message)
    return _once(primals[0]), jnp.where(jnp.ones_like(marked, dtype=bool), tangents[0], marked)


def constant(tree: PyTree) -> PyTree:
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)
