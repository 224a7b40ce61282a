"""Bisection of a predicate."""

import equinox as eqx
import equinox.internal as eqxi
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
    threshold = lambda a: hj.bisect(lambda x: x > a, 0.0, 1.0, throw=False).value  # noqa: E731
    batch = jnp.array([0.3, 0.4])
    for derivative in (jax.grad, jax.jacfwd, lambda f: jax.jit(jax.grad(lambda a: jnp.sum(jax.vmap(f)(a * batch))))):
        with pytest.raises(RuntimeError, match="threshold of a predicate has no gradient"):
            derivative(threshold)(0.3)
    # What a predicate does not depend on may be differentiated beside it.
    beside = lambda a: a * threshold(jax.lax.stop_gradient(a))  # noqa: E731
    np.testing.assert_allclose(jax.grad(beside)(0.3), 0.3, atol=1e-5)


def test_the_zero_of_a_real_function_is_differentiable(x64):
    # x e^x = a, so dx/da = x/(a(1 + x)) and d²x/da² = −x²(x + 2)/(a²(1 + x)³); tracers are closed over.
    def root(a, throw=True):
        return hj.bisect(lambda x: x * jnp.exp(x) - a, 0.0, 2.0, num_iterations=30, throw=throw).value

    a = jnp.array([0.5, 1.0, 3.0])
    x = jax.vmap(lambda a: root(a, False))(a)
    np.testing.assert_allclose(x * np.exp(x), a, rtol=1e-14)  # the chord's zero; the bracket is 2e-9 wide
    for derivative in (jax.vmap(jax.grad(lambda a: root(a, False))), jax.jit(jax.vmap(jax.jacfwd(root)))):
        np.testing.assert_allclose(derivative(a), x / (a * (1 + x)), rtol=1e-12)
    second = jax.jit(jax.grad(jax.grad(root)))(1.0)
    np.testing.assert_allclose(second, -(x[1] ** 2) * (x[1] + 2) / (1 + x[1]) ** 3, rtol=1e-12)
    # Also of what a module holds, and of whether a value was decided.
    kernel = hj.dmft.LeakyHebbian(strength=0.3, tau=5.0)
    slope = eqx.filter_grad(lambda k: hj.bisect(lambda x: (k.strength**2 - x, x < 2), 0, 1, num_iterations=30).value)
    np.testing.assert_allclose(slope(kernel).strength, 0.6, rtol=1e-7)


def test_gradients_that_mean_nothing_are_nan():
    cases = {
        "a jump": lambda x, a: jnp.sign(x - a) + 0.5 * (x - a),
        "a slope against the change of sign": lambda x, a: jnp.where(x > a, 1.0, -1.0) - 0.5 * (x - a),
    }
    for name, function in cases.items():
        root = lambda a, f=function: hj.bisect(lambda x: f(x, a), 0.0, 1.0).value  # noqa: E731
        value, slope = jax.jit(jax.value_and_grad(root))(0.37)
        np.testing.assert_allclose(value, 0.37, atol=2e-5, err_msg=name)
        assert np.isnan(slope), name
    lost = hj.bisect(lambda x: jnp.log(x - 0.2), 0.0, 2.0, throw=False)
    assert lost.result == hj.RESULTS.undecided


def test_a_function_that_cannot_be_differentiated_still_has_a_zero():
    root = lambda a: hj.bisect(lambda x: eqxi.nondifferentiable(x, name="this") - a, 0.0, 1.0).value  # noqa: E731
    np.testing.assert_allclose(jax.jit(root)(0.37), 0.37, rtol=1e-5)
    with pytest.raises(RuntimeError, match="this cannot be autodifferentiated"):
        jax.grad(root)(0.37)


@pytest.mark.parametrize("args, kwargs, argument", [
    ((1, 0.0, 1.0), {}, "function"), ((jnp.int32, 0.0, 1.0), {}, "function"),
    ((jnp.isfinite, jnp.nan, 1.0), {}, "lower"),
    ((jnp.isfinite, 1.0, 1.0), {}, "upper"), ((jnp.isfinite, 0.0, 1.0), {"num_iterations": 0}, "num_iterations"),
])  # fmt: skip
def test_bad_input_is_named(args, kwargs, argument):
    with pytest.raises(Exception, match=f"`{argument}`: expected|Type-check error"):
        hj.bisect(*args, **kwargs)
