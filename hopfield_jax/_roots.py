"""Roots: one bracketing loop, one Newton's method, and one implicit derivative."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import lineax as lx

from ._misc import largest
from ._types import Array, Bool, PyTree


class Bracket(eqx.Module):
    """Bracket of a change of sign: its ends `low` and `high` with the values there, the values at the given bounds, and
    whether no value was NaN."""

    low: Array
    high: Array
    at_low: Array
    at_high: Array
    at_lower: Array
    at_upper: Array
    known: Bool[Array, "..."]


def bracket(function: Callable[[Array], Array], lower: Array, upper: Array, num_halvings: int) -> Bracket:
    """Elementwise bisection of a function that is positive at one of the bounds and not at the other.

    `function` may be a predicate, and should be one if the values at the ends are not used, to skip their derivative.
    """

    def evaluate(x: Array) -> Array:
        value = function(x)
        return jnp.where(value, 1, -1).astype(x.dtype) if value.dtype == bool else value

    # The bounds and all midpoints in one loop: the function is compiled once.
    def step(b: Bracket, i: Array) -> tuple[Bracket, None]:
        x = jnp.where(i == 0, lower, jnp.where(i == 1, upper, 0.5 * (b.low + b.high)))
        value = evaluate(x)
        is_low = (i == 0) | ((i > 1) & ((value > 0) == (b.at_low > 0)))
        b = Bracket(
            low=jnp.where(is_low, x, b.low),
            high=jnp.where(is_low, b.high, x),
            at_low=jnp.where(is_low, value, b.at_low),
            at_high=jnp.where(is_low, b.at_high, value),
            at_lower=jnp.where(i == 0, value, b.at_lower),
            at_upper=jnp.where(i == 1, value, b.at_upper),
            known=b.known & ~jnp.isnan(value),
        )
        return b, None

    lower, upper = jax.lax.stop_gradient((lower, upper))
    zero = jnp.zeros_like(lower)
    start = Bracket(lower, upper, zero, zero, zero, zero, jnp.ones_like(lower, dtype=bool))
    return jax.lax.scan(step, start, jnp.arange(num_halvings + 2))[0]


def newton(
    function: Callable[[Array], Array],
    guess: Array,
    num_steps: int = 8,
    solve: Callable[[Array, Array], Array] = jnp.linalg.solve,
) -> Array:
    """A root near `guess` of n equations for n unknowns, differentiated implicitly to any order; `solve` solves linear
    systems."""

    def iterate(function, guess):
        def step(_, x):
            jacobian, value = jax.jacfwd(lambda x: (function(x),) * 2, has_aux=True)(x)
            return x - solve(jacobian, value)

        return jax.lax.fori_loop(0, num_steps, step, guess)

    return jax.lax.custom_root(
        function, guess, iterate, lambda function, value: solve(jax.jacfwd(function)(value), value)
    )


def settled_newton(
    function: Callable[[PyTree, Any], PyTree], x: PyTree, args: Any, linear_solver: lx.AbstractLinearSolver
) -> tuple[PyTree, Bool[Array, ""]]:
    """Newton's method for `function(x, args)` until the last step is within √eps, and whether it converged.

    Convergence is judged by the length of the last step, not the residual: for a small minimum c + x² without a root
    the residual may be as small as c, but no step is shorter than √c.
    """

    def step(carry):
        x, _, count = carry
        operator = lx.JacobianLinearOperator(function, x, args)
        change = lx.linear_solve(operator, function(x, args), linear_solver, throw=False).value
        x, size = jtu.tree_map(jnp.subtract, x, change), largest(change)
        return x, size / (1 + largest(x)), count + 1

    def far(carry):
        _, size, count = carry
        return (count < 32) & (size > jnp.sqrt(jnp.finfo(size.dtype).eps))

    x, size, _ = jax.lax.while_loop(far, step, step((x, None, jnp.array(0))))
    return x, ~far((x, size, 0)) & jnp.isfinite(size)


def implicit(function: Callable[[Array], Array], root: Array) -> Array:
    """`root`, computed elementwise by any iteration, with the first three derivatives of a root of `function`:

        dx/dθ = −(∂f/∂θ) / (∂f/∂x)    at f(x; θ) = 0.

    They are those of two Newton steps of zero length. Where the slope is zero the derivative is zero.
    """
    x = jax.lax.stop_gradient(root)
    # No custom derivative rule: JAX 0.10 drops it in reverse-over-reverse mode of a scan.
    for _ in range(2):
        value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
        x = x - (value - jax.lax.stop_gradient(value)) / jnp.where(slope == 0, jnp.inf, slope)
    return x
