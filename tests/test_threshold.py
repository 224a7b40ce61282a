"""Bisection of a predicate."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj


def test_the_bracket_holds_the_threshold_and_halves():
    for iterations in (1, 5, 20):
        got = hj.bisect(lambda x: x**2 > 2, 0.0, 2.0, num_iterations=iterations)
        assert got.lower <= 2**0.5 <= got.upper and not got.at_lower and got.at_upper
        np.testing.assert_allclose(got.upper - got.lower, max(2 * 0.5**iterations, 2e-7), rtol=0.3)
    assert "True at the upper one" in str(got)


def test_falling_predicates_have_thresholds_too():
    got = hj.bisect(lambda x: x < 0.25, 0, 1, num_iterations=20)
    np.testing.assert_allclose(got.value, 0.25, atol=1e-6)
    assert got.at_lower and not got.at_upper


@pytest.mark.parametrize("answer", [True, False])
def test_one_answer_is_no_threshold(answer):
    got = hj.bisect(lambda x: (x > -1) == answer, 0.0, 1.0, throw=False)
    assert got.result == hj.RESULTS.not_bracketed and np.isnan(got.value) and bool(got.at_lower) is answer
    with pytest.raises(eqx.EquinoxRuntimeError, match="same at both bounds"):
        hj.bisect(lambda x: (x > -1) == answer, 0.0, 1.0)


def test_what_was_not_decided_is_no_number():
    got = hj.bisect(lambda x: (x > 0.3, jnp.abs(x - 0.3) > 0.01), 0.0, 1.0, throw=False)
    assert got.result == hj.RESULTS.undecided and np.isnan(got.value)
    fine = hj.bisect(lambda x: (x > 0.3, x < 2), 0.0, 1.0)
    np.testing.assert_allclose(fine.value, 0.3, atol=1e-4)


def test_vmap_and_jit():
    wanted = jnp.array([0.1, 0.5, 3.0])
    got = jax.jit(jax.vmap(lambda a: hj.bisect(lambda x: x > a, 0.0, 1.0, throw=False)))(wanted)
    np.testing.assert_allclose(got.value[:2], wanted[:2], atol=1e-5)
    assert np.isnan(got.value[2]) and "batch of shape (3,)" in str(got)


def test_a_predicate_has_no_gradient():
    slope = jax.grad(lambda a: hj.bisect(lambda x: x > a, 0.0, 1.0, throw=False).value)(0.3)
    assert slope == 0


@pytest.mark.parametrize("args, kwargs, argument", [
    ((1, 0.0, 1.0), {}, "predicate"), ((jnp.isfinite, jnp.nan, 1.0), {}, "lower"),
    ((jnp.isfinite, 1.0, 1.0), {}, "upper"), ((jnp.isfinite, 0.0, 1.0), {"num_iterations": 0}, "num_iterations"),
])  # fmt: skip
def test_bad_input_is_named(args, kwargs, argument):
    with pytest.raises(Exception, match=f"`{argument}`: expected|Type-check error"):
        hj.bisect(*args, **kwargs)
