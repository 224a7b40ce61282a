"""Branches of solutions: pseudo-arclength continuation with a fixed number of steps, and folds."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from ._checks import Rules, at_least, fail, kind
from ._misc import inner, nan_unless
from ._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from ._roots import newton
from ._types import Array, ArrayLike, Bool, Float, Int, Scalar, ScalarLike


class Folds(eqx.Module):
    r"""The folds of a branch, dp/ds = 0; padded with NaN.

    **Attributes:**

    - `parameter`: p at the folds, shape (max_folds,), in the order of the branch.
    - `state`: x there, shape (max_folds, n).
    - `curvature`: d²p/ds², positive where p turns from falling to rising; zero at a cusp, near which the fold and its
      gradient are meaningless.
    """

    parameter: Float[Array, " folds"]
    state: Float[Array, "folds n"]
    curvature: Float[Array, " folds"]


class Branch(eqx.Module):
    r"""Result of `hopfield_jax.follow`; rows beyond `count` are NaN.

    **Attributes:**

    - `parameter`: p, shape (num_steps + 1,); the first row is the start.
    - `state`: x, shape (num_steps + 1, n).
    - `arclength`: s, the length of the tangents' polygon in (x, p).
    - `direction`: dp/ds, whose sign changes at a fold.
    - `count`: number of points.
    - `folds`: the folds; `num_folds`: their number.
    - `at_bound`: whether the branch ended at a bound of p instead of after all steps.
    - `residual`: largest |f| at the points.
    - `result`: the result code.
    """

    parameter: Float[Array, " points"]
    state: Float[Array, "points n"]
    arclength: Float[Array, " points"]
    direction: Float[Array, " points"]
    count: Int[Array, ""]
    folds: Folds
    num_folds: Int[Array, ""]
    at_bound: Bool[Array, ""]
    residual: Scalar
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.residual,
            lambda: (
                f"{self.count} points, arclength {jnp.nanmax(self.arclength):.5g}, parameter "
                f"{jnp.nanmin(self.parameter):.6g} to {jnp.nanmax(self.parameter):.6g}"
                f"{', left at a bound' if self.at_bound else ''}\n  {self.num_folds} folds"
                + "".join(f", {p:.7g}" for p in self.folds.parameter if jnp.isfinite(p))
                + f"; residual {self.residual:.2g}\n  result: {describe_result(self.result)}"
            ),
        )


def follow(
    function: Callable[[Array, Scalar], Array],
    state: Float[ArrayLike, " n"],
    parameter: ScalarLike,
    *,
    lower: ScalarLike = -jnp.inf,
    upper: ScalarLike = jnp.inf,
    forward: bool = True,
    step: ScalarLike = 0.05,
    num_steps: int = 128,
    max_folds: int = 4,
    min_folds: int = 0,
    throw: bool = True,
) -> Branch:
    r"""Follows the solutions of f(x, p) = 0, n equations for n unknowns and a parameter, around its folds.

    Pseudo-arclength continuation: from a point w = (x, p) with the unit tangent t, Newton's method solves

        f(w') = 0,    t·(w' − w) = h,

    whose Jacobian is regular at folds too. h is halved if Newton's method fails or the tangent turns by more than 45°,
    and grows where the branch is straight. If a bound of p is reached, the last point lies on it. The loop has a fixed
    length (`num_steps` includes failed attempts), so that vmapping over closed-over variables wastes no steps.

    A fold is detected by a change of sign of dp/ds and located by Newton's method on f = 0, dp/ds = 0. It is
    differentiable with respect to variables that f closes over, in both modes and to any order, by the implicit
    function theorem; gradients through the points of the branch are blocked. Arclength is Euclidean in (x, p): scale
    both to order one.

    **Main arguments:**

    - `function`: f, of an array (n,) and a number to an array (n,).
    - `state`, `parameter`: initial guess; x is refined at this p, where ∂f/∂x must be regular.
    - `lower`, `upper`: bounds of p.
    - `forward`: whether p initially increases.

    **Other arguments:**

    - `step`: the first arclength h, and a quarter of the largest one.
    - `num_steps`: number of attempted steps.
    - `max_folds`: capacity for folds. `min_folds`: with fewer the result is unsuccessful.
    - `throw`: whether to raise on failure; otherwise the code is in `result`.

    **Returns:** a `Branch`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` if `throw` and the branch was lost or has
    fewer than `min_folds` folds.

    **Example:**

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    def fold(a):  # of x² = a − p
        return hj.follow(lambda x, p: x**2 + p - a, jnp.ones(1), 0.0, lower=-2.0, num_steps=48).folds.parameter[0]

    value, slope = jax.value_and_grad(fold)(1.0)
    assert abs(value - 1) < 1e-6 and abs(slope - 1) < 1e-6
    ```

    Keller, in Applications of Bifurcation Theory (Academic Press, 1977), p. 359.
    """
    if not callable(function):
        fail("function", "a function of a state and a parameter", kind(function))
    rules = Rules()
    state = rules.real("state", state, "finite", shape=(None,), names="(n,)")
    real = functools.partial(rules.real, dtype=state.dtype)
    parameter, step = real("parameter", parameter, "finite"), real("step", step, "positive")
    lower, upper = real("lower", lower, "real"), real("upper", upper, "real")
    inside = lambda x, lower, upper: (x >= lower) & (x <= upper)  # noqa: E731
    rules.holds("parameter", inside, "a number between the bounds {1:g} and {2:g}", parameter, lower, upper)
    at_least("num_steps", num_steps, 1)
    at_least("max_folds", max_folds, 1)
    at_least("min_folds", min_folds, 0)
    numbers = state, parameter, lower, upper, step
    counts = int(num_steps), int(max_folds), int(min_folds)
    out = _follow(function, *numbers, forward, *counts, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


class _Point(eqx.Module):
    w: Float[Array, " unknowns"]
    tangent: Float[Array, " unknowns"]
    arclength: Scalar
    step: Scalar
    done: Bool[Array, ""]
    lost: Bool[Array, ""]


@eqx.filter_jit
def _follow(function, state, parameter, lower, upper, step, forward, num_steps, max_folds, min_folds, valid) -> Branch:
    def equations(w: Array) -> Array:
        value = jnp.asarray(function(w[:-1], w[-1]))
        if value.shape != state.shape:
            fail("function", f"an array of the shape {state.shape} of the state", f"shape {value.shape}")
        return value.astype(w.dtype)

    start = jax.lax.stop_gradient(jnp.append(state, parameter))
    equations = eqx.filter_closure_convert(equations, start)
    frozen = jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, equations)
    lower, upper, step = jax.lax.stop_gradient((lower, upper, step))
    along_p = _along_parameter(start)
    first, settled = _corrected(frozen, start, along_p, start[-1], 16)
    tangent = _unit(_tangent(frozen, first, along_p if forward else -along_p))
    settled &= jnp.all(jnp.isfinite(tangent)) & valid
    begin = _Point(first, tangent, jnp.zeros_like(step), step, ~settled, ~settled)
    end, (points, kept) = jax.lax.scan(functools.partial(_advance, frozen, lower, upper, step), begin, length=num_steps)
    order = jnp.argsort(~kept, stable=True)
    points = jtu.tree_map(lambda a, b: jnp.concatenate([a[None], b[order]]), begin, points)
    count = jnp.where(settled, 1 + jnp.sum(kept), 0)
    there = jnp.arange(num_steps + 1) < count
    w, tangents = points.w, points.tangent

    turns = there[1:] & (tangents[1:, -1] * tangents[:-1, -1] < 0)
    at = jnp.nonzero(turns, size=max_folds, fill_value=num_steps)[0]

    def locate(i):
        before, after = w[i], w[i + 1]
        share = tangents[i, -1] / (tangents[i, -1] - tangents[i + 1, -1])
        guess = before + share * (after - before)
        return _fold(equations, guess, tangents[i], jnp.max(jnp.abs(after - before)))

    # Padding repeats the first fold, so that its derivatives are finite.
    folds, curvature, found = jax.vmap(locate)(jnp.minimum(jnp.where(at < num_steps, at, at[0]), num_steps - 1))
    found &= at < num_steps
    num_folds = jnp.sum(turns)
    unlocated = (jnp.sum(found) < jnp.minimum(num_folds, max_folds)) | (num_folds < min_folds)
    residuals = jnp.max(jnp.abs(jax.vmap(frozen)(w)), axis=1)
    rows = w[:, -1], w[:, :-1], points.arclength, tangents[:, -1]
    return Branch(
        *nan_unless(there, rows, constant=True),
        count=count,
        folds=nan_unless(found, Folds(folds[:, -1], folds[:, :-1], curvature), constant=True),
        num_folds=num_folds,
        at_bound=end.done & ~end.lost,
        residual=jnp.max(jnp.where(there, residuals, 0)),
        result=outcome(
            (unlocated, RESULTS.no_fold), (end.lost, RESULTS.lost_branch), (~valid, RESULTS.invalid_parameter)
        ),
    )


def _along_parameter(w):
    return jnp.zeros_like(w).at[-1].set(1)


def _corrected(function, w, normal, target, num_steps):
    """The solution with normal·w = target, and whether Newton's method converged."""

    def improve(_, carry):
        w, _ = carry
        jacobian, value = _linearised(function, w)
        change = jnp.linalg.solve(
            jnp.concatenate([jacobian, normal[None]]), jnp.append(value, inner(normal, w) - target)
        )
        return w - change, jnp.max(jnp.abs(change))

    accuracy = jnp.sqrt(jnp.finfo(w.dtype).eps)
    w, change = jax.lax.fori_loop(0, num_steps, improve, (w, jnp.zeros_like(target)))
    return w, change <= accuracy * (1 + jnp.max(jnp.abs(w)))


def _advance(function, lower, upper, step, point: _Point, _):
    """One step along the branch; if rejected, the next one is shorter."""
    w, tangent = point.w, point.tangent
    ahead = w + point.step * tangent
    bound = jnp.clip(ahead[-1], lower, upper)
    leaves = bound != ahead[-1]
    ahead = jnp.where(leaves, w + (bound - w[-1]) / jnp.where(leaves, tangent[-1], 1) * tangent, ahead)
    normal = jnp.where(leaves, _along_parameter(w), tangent)
    new, settled = _corrected(function, ahead, normal, inner(normal, ahead), 5)
    new = new.at[-1].set(jnp.where(leaves, bound, new[-1]))
    turned = _unit(_tangent(function, new, tangent))
    cosine = inner(turned, tangent)
    good = settled & (cosine > 0.7) & (new[-1] >= lower) & (new[-1] <= upper)
    good &= jnp.max(jnp.abs(new - ahead)) <= point.step
    scale = jnp.where(good, jnp.where(cosine > 0.98, 1.5, jnp.where(cosine < 0.92, 0.6, 1)), 0.5)
    next_step = jnp.minimum(point.step * scale.astype(w.dtype), 4 * step)
    lost = ~good & (next_step < 1e-6 * step)
    made = _Point(
        new, turned, point.arclength + inner(turned, new - w), next_step, point.done | leaves, jnp.array(False)
    )
    stay = _Point(w, tangent, point.arclength, next_step, point.done | lost, point.lost | lost)
    kept = good & ~point.done
    point = jtu.tree_map(lambda a, b, c: jnp.where(point.done, c, jnp.where(good, a, b)), made, stay, point)
    return point, (point, kept)


def _linearised(function, w):
    """Jacobian and value."""
    return jax.jacfwd(lambda w: (function(w),) * 2, has_aux=True)(w)


def _tangent(equations, w, along):
    """The vector along the branch whose product with `along` is one."""
    rows = jnp.concatenate([jax.jacfwd(equations)(w), along[None]])
    return jnp.linalg.solve(rows, jnp.zeros_like(w).at[-1].set(1))


def _unit(vector):
    return vector / jnp.linalg.norm(vector)


def _fold(equations, guess, along, reach):
    """The fold near a guess, d²p/ds² there, and whether it was found."""
    guess, along = jax.lax.stop_gradient((guess, along))

    def conditions(w):
        return jnp.append(equations(w), _tangent(equations, w, along)[-1])

    w = newton(conditions, guess)
    at = jax.lax.stop_gradient(w)
    tangent = _unit(_tangent(equations, at, along))
    _, curvature = jax.jvp(lambda w: _unit(_tangent(equations, w, along))[-1], (at,), (tangent,))
    imbalance = jnp.max(jnp.abs(conditions(at)))
    near = jnp.max(jnp.abs(at - guess)) <= reach
    return w, curvature, near & (imbalance <= jnp.sqrt(jnp.finfo(w.dtype).eps))
