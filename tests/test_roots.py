"""The bracketing loop, Newton's method, and the derivative of a root."""

import jax
import jax.numpy as jnp
import numpy as np

from helpers import enable_x64
from hopfield_jax._roots import bracket, implicit, newton


def test_brackets_of_many_entries_close_to_the_last_bits():
    squares = jnp.array([2.0, 3.0, 0.5])
    for function in (lambda x: x**2 - squares, lambda x: squares - x**2, lambda x: x**2 > squares):
        found = bracket(function, jnp.zeros(3), jnp.full(3, 4.0), 30)
        np.testing.assert_allclose(found.low, squares**0.5, rtol=3e-7)
        assert jnp.all(found.high - found.low <= 2.5e-7 * found.high) and jnp.all(found.known)
        assert jnp.all((found.at_low > 0) == (found.at_lower > 0)) and jnp.all(found.at_lower * found.at_upper < 0)
    assert bracket(lambda x: jnp.where(x < 1, x - 2, jnp.nan), jnp.array(0.0), jnp.array(4.0), 3).known == False  # noqa: E712


def test_a_root_has_all_derivatives_whatever_found_it():
    def root(a):
        function = lambda x: x**3 - a  # noqa: E731
        return implicit(function, bracket(function, jnp.zeros_like(a), jnp.full_like(a, 4.0), 52).high)

    with enable_x64():
        a = jnp.array(2.0)
        for first in (jax.grad, jax.jacfwd):
            np.testing.assert_allclose(first(root)(a), a ** (-2 / 3) / 3, rtol=1e-14)
            for second in (jax.grad, jax.jacfwd):
                np.testing.assert_allclose(second(first(root))(a), -2 / 9 * a ** (-5 / 3), rtol=1e-14)
                # Also where a scan goes on from the root.
                scanned = lambda a: jax.lax.scan(lambda c, _: (root(c) * c, root(c)), a, None, length=1)[1][0]  # noqa: E731
                np.testing.assert_allclose(second(first(scanned))(a), -2 / 9 * a ** (-5 / 3), rtol=1e-14)
        several = jnp.array([2.0, 5.0])
        np.testing.assert_allclose(jax.grad(lambda a: root(a).sum())(several), several ** (-2 / 3) / 3, rtol=1e-14)
        np.testing.assert_allclose(jax.vmap(jax.grad(root))(several), several ** (-2 / 3) / 3, rtol=1e-14)


def test_newton_solves_several_equations():
    with enable_x64():
        solve = lambda a: newton(lambda x: jnp.stack([x[0] * x[1] - a, x[0] - x[1] ** 2]), jnp.array([1.5, 1.5]))  # noqa: E731
        np.testing.assert_allclose(solve(2.0), [2 ** (2 / 3), 2 ** (1 / 3)], rtol=1e-14)
        np.testing.assert_allclose(jax.jacfwd(jax.grad(lambda a: solve(a)[1]))(2.0), -2 / 9 * 2 ** (-5 / 3), rtol=1e-13)
