"""Tuning: known minima, bounds, and objectives with wrong gradients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import optimistix as optx
import pytest

import hopfield_jax as hj
from helpers import enable_x64

R: Any = hj.RESULTS


def valley(p):
    """Least at x = 2, y = (1, -1), of curvature [[2, 0.5, 0], [0.5, 4, 0], [0, 0, 6]]."""
    x, (a, b) = p["x"] - 2, (p["y"] - jnp.array([1.0, -1.0])).astype(p["y"].dtype)
    return x**2 + 0.5 * x * a + 2 * a**2 + 3 * b**2 + 7


START: dict[str, Any] = {"x": 1.0, "y": jnp.array([2.0, 0.5])}
METHODS = [None, optax.adam(0.03), optax.lbfgs(), optx.BFGS(1e-5, 1e-6)]


@pytest.mark.parametrize("method", METHODS, ids=["default", "optax", "lbfgs", "BFGS"])
def test_a_valley(method):
    found = hj.tune(valley, START, method=method, num_steps=400)
    # A thousandth of the steepest slope, 16 or so, over curvatures from 1.5 (all in units of the start).
    np.testing.assert_allclose(found.parameters["x"], 2, atol=1e-2)
    np.testing.assert_allclose(found.parameters["y"], [1, -1], atol=1e-2)
    np.testing.assert_allclose(found.value, 7, atol=3e-4)
    assert found.curvature is not None
    np.testing.assert_allclose(found.curvature, [[2, 0.5, 0], [0.5, 4, 0], [0, 0, 6]], atol=2e-3)
    assert found.mismatch == 0 and not found.at_bound["x"] and found.result == R.successful
    assert "value 7" in str(found) and "ok" in str(found)


def test_the_history_is_the_way():
    found = hj.tune(valley, START)
    assert found.values[0] == valley(START) and found.path["y"].shape == (len(found.values), 2)
    np.testing.assert_allclose(jax.vmap(valley)(found.path), found.values, rtol=1e-5)
    assert found.value == np.min(found.values) and found.num_evaluations >= len(found.values)


def test_forward_mode_is_the_same_gradient():
    value, gradient = hj.forward_value_and_grad(valley)(START)
    expected = jax.value_and_grad(valley)({"x": jnp.array(1.0), "y": START["y"]})
    np.testing.assert_allclose(value, expected[0])
    for name in START:
        np.testing.assert_allclose(gradient[name], expected[1][name], rtol=1e-6)
    found = hj.tune(valley, START, value_and_grad=hj.forward_value_and_grad)
    np.testing.assert_allclose(found.parameters["x"], 2, atol=1e-2)


@pytest.mark.parametrize("bounds", [(0.0, None), (None, 5.0), (0.0, 5.0), (None, None)])
def test_an_optimum_within_bounds(bounds):
    found = hj.tune(lambda p: -p["x"] * jnp.exp(-p["x"] / 2), {"x": 0.7}, bounds={"x": bounds})
    np.testing.assert_allclose(found.parameters["x"], 2, atol=2e-2)  # a flat one: curvature 0.18
    assert not found.at_bound["x"]


@pytest.mark.parametrize("bounds, sign, end", [((0.5, None), 1, 0.5), ((None, 3.0), -1, 3), ((0.5, 3.0), 1, 0.5)])
def test_an_optimum_at_a_bound_is_said_to_be_there(bounds, sign, end):
    found = hj.tune(lambda p: sign * p["x"] + (p["y"] - 1) ** 2, {"x": 2.0, "y": 2.0}, bounds={"x": bounds})
    np.testing.assert_allclose(found.parameters["x"], end, atol=1e-3)
    assert found.at_bound["x"] and not found.at_bound["y"] and found.result == R.successful
    assert "at a bound: x" in str(found)


@pytest.mark.parametrize("size", [1e-5, 1e5])
def test_minimisers_do_not_care_for_the_size_of_the_objective(size):
    found = hj.tune(lambda p: size * valley(p), START, method=optx.BFGS(1e-4, 1e-6))
    np.testing.assert_allclose(found.parameters["x"], 2, atol=1e-2)


@pytest.mark.parametrize("start", [2.9, 2.99, 3.0001, 3.001, 4.0])
@pytest.mark.parametrize("offset, size", [(0.9, 0.01), (0.0, 1.0), (-0.95, 0.05)])
def test_a_start_beside_the_minimum_is_no_failure(start, offset, size):
    found = hj.tune(lambda p: offset + size * (p["x"] - 3) ** 2, {"x": start}, method=optx.BFGS(1e-4, 1e-6))
    assert found.num_evaluations < 80
    # Where 16 roundings of the offset are all that is left of the parabola.
    atol = max(2e-3, (16 * 1.2e-7 * abs(offset) / size) ** 0.5)
    np.testing.assert_allclose(found.parameters["x"], 3, atol=atol)


def test_repeats_give_the_error_of_the_minimum():
    """(x - 2 - z)² with a standard normal z: the minimum over n repeats is the mean of 2 + z, and its error s/√n."""
    draws = lambda key: jax.random.normal(key, dtype=jnp.float32)  # noqa: E731
    found = hj.tune(
        lambda p, key: (p["x"] - 2 - draws(key)) ** 2 + jnp.maximum(p["y"], 0) ** 2 + p["y"],
        {"x": 1.0, "y": 2.0},
        bounds={"y": (0.0, None)},
        key=jax.random.key(0),
        num_repeats=16,
        method=optx.BFGS(1e-5, 1e-6),
    )
    places = 2 + np.asarray(jax.vmap(draws)(jax.random.split(jax.random.key(0), 16)))
    assert found.parameter_errors is not None and found.value_error is not None
    np.testing.assert_allclose(found.parameters["x"], places.mean(), atol=2e-3)
    np.testing.assert_allclose(found.parameter_errors["x"], places.std(ddof=1) / 4, rtol=1e-3)
    np.testing.assert_allclose(found.value_error, ((places.mean() - places) ** 2).std(ddof=1) / 4, rtol=1e-2)
    assert found.parameter_errors["y"] == 0 and "±" in str(found)


def test_golden_section():
    pytest.importorskip("optimistix", "0.1.0")
    method = optx.GoldenSearch(1e-4, 1e-6)
    found = hj.tune(lambda p: (p["x"] - 1.3) ** 2, {"x": 2.0}, bounds={"x": (0.0, 5.0)}, method=method)
    np.testing.assert_allclose(found.parameters["x"], 1.3, atol=2e-3)
    with pytest.raises(ValueError, match="`method`: expected a golden-section search for one parameter"):
        hj.tune(valley, START, method=method)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def sloped(x, factor):
    """(x - 3)², with `factor` times its slope."""
    return (x - 3) ** 2


@sloped.defjvp
def _(factor, primals, tangents):
    return sloped(primals[0], factor), factor * 2 * (primals[0] - 3) * tangents[0]


@pytest.mark.parametrize("factor, code", [(1.0, "successful"), (0.5, "wrong_gradient")])
def test_gradients_with_a_sampling_error_of_their_own(factor, code):
    """That differs from the differences by noise of 0.3 for each key, as derivatives by lines do, and one of half the
    slope besides: 2 of 4 at the start, twenty standard errors."""
    objective = lambda p, key: sloped(p["x"], factor) + 0.3 * _slope_only(p["x"]) * jr.normal(key)  # noqa: E731
    found = hj.tune(objective, {"x": 1.0}, key=jr.key(1), num_repeats=16, num_steps=100, throw=False)
    assert found.result == getattr(R, code), str(found)
    assert found.parameter_errors is not None
    # The root of the mean gradient, whose error is 0.3/4/2; a step ends within 0.1 of it.
    assert abs(found.parameters["x"] - 3) < 4 * 0.3 / 4 / 2 / factor + 0.1


@jax.custom_jvp
def _slope_only(x):
    """Zero, with slope one."""
    return 0 * x


@_slope_only.defjvp
def _(primals, tangents):
    return 0 * primals[0], tangents[0]


ADVERSARIES: list[tuple[str, Any, dict[str, Any], str]] = [
    ("flat", lambda p: 0 * p["x"] + 1, {}, "flat"),
    ("flat where it starts", lambda p: jnp.maximum(p["x"] - 5, 0), {}, "flat"),
    ("a predicate", lambda p: jnp.where(p["x"] > 1.01, 1.0, 0.0).astype(p["x"].dtype), {}, "wrong_gradient"),
    ("a staircase on a slope", lambda p: p["x"] - 2 * jnp.floor(p["x"] * 50) / 50, {}, "wrong_gradient"),
    ("a jump below", lambda p: p["x"] - jnp.floor(p["x"] - 0.5), {}, "wrong_gradient"),
    ("no gradient", lambda p: jax.lax.stop_gradient(p["x"] ** 2), {}, "wrong_gradient"),
    ("not a number at the start", lambda p: jnp.log(-p["x"]), {}, "not_finite"),
    ("falls towards a forbidden region", lambda p: jnp.where(p["x"] < 0.7, jnp.nan, p["x"]), {}, "edge_of_domain"),
    ("infinite slope at the edge", lambda p: jnp.sqrt(p["x"] - 0.5), {}, "edge_of_domain"),
    ("a maximum", lambda p: -((p["x"] - 1) ** 2), {}, "no_minimum"),
    ("the wrong slope", lambda p: sloped(p["x"], 1.4), {}, "wrong_gradient"),
    ("half the slope", lambda p: sloped(p["x"], 0.5), {}, "wrong_gradient"),
    ("the wrong sign", lambda p: 100 + sloped(p["x"], -1.0), {}, "wrong_gradient"),
    ("no slope far from zero", lambda p: 1000 + 0.5 * jax.lax.stop_gradient(p["x"] - 3) ** 2, {}, "wrong_gradient"),
    (
        "not finite beside the start",
        lambda p: jnp.where(p["x"] < 0.98, jnp.nan, (p["x"] - 50) ** 2),
        {},
        "num_steps_reached",
    ),
    ("no minimum", lambda p: -p["x"], {}, "num_steps_reached"),
    ("a minimum beyond its steps", lambda p: (p["x"] - 1e4) ** 2, {}, "num_steps_reached"),
]


@pytest.mark.parametrize("name, objective, options, code", ADVERSARIES, ids=[a[0] for a in ADVERSARIES])
def test_what_goes_wrong_is_said(name, objective, options, code):
    found = hj.tune(objective, {"x": 1.0}, throw=False, num_steps=100, **options)
    assert found.result == getattr(R, code), str(found)
    assert R[getattr(R, code)] in str(found)


def test_an_unsuccessful_end_raises():
    with pytest.raises(Exception, match="does not depend on the parameters"):
        hj.tune(ADVERSARIES[0][1], {"x": 1.0})


def test_a_region_that_is_not_finite_on_the_way_is_stepped_over_or_avoided():
    objective = lambda p: jnp.where(jnp.abs(p["x"] - 3.02) < 0.004, jnp.nan, (p["x"] - 2) ** 2)  # noqa: E731
    found = hj.tune(objective, {"x": 4.0}, throw=False)
    assert found.num_not_finite == 0 or found.result in (R.successful, R.edge_of_domain)
    assert np.isfinite(found.value) and found.value <= 1.1


def test_an_offset_does_not_end_the_search():
    found = hj.tune(lambda p: 1e4 + 1e-3 * (p["x"] - 3) ** 2, {"x": 1.0}, throw=False)
    assert found.result != R.successful or abs(found.parameters["x"] - 3) < 0.02


def test_the_objective_is_not_called_beyond_bounds():
    beyond = lambda p: p["x"] + jnp.sqrt(p["x"] - 0.999) + (p["y"] + 1) ** 1.5  # noqa: E731
    found = hj.tune(beyond, {"x": 2.0, "y": 1.0}, bounds={"x": (1.0, None), "y": (0.0, None)})
    assert found.at_bound["x"] and found.num_not_finite == 0 and found.curvature is not None
    assert np.all(np.isfinite(np.asarray(found.curvature)))
    np.testing.assert_allclose(found.curvature[1, 1], 0.75, rtol=0.02)


def test_double_precision_and_integers():
    with enable_x64():
        found = hj.tune(lambda p: (p["x"] - 3) ** 2, {"x": 1}, method=optx.BFGS(1e-10, 1e-12))
        assert found.value.dtype == jnp.float64 and abs(found.parameters["x"] - 3) < 1e-8


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"parameters": {}}, "`parameters`"),
    ({"parameters": {"x": np.nan}}, "`x`: expected finite"),
    ({"bounds": {"z": (0, 1)}}, "`bounds`: expected names out of x"),
    ({"bounds": {"x": (2.0, 3.0)}}, "`x`: expected first values strictly between 2.0 and 3.0"),
    ({"bounds": {"x": (1.0, None)}}, "`x`: expected first values strictly between 1.0 and inf"),
    ({"bounds": {"x": (2.0, 0.0)}}, "`bounds`: expected a lower bound of x below"),
    ({"parameters": {"x": np.zeros(0)}}, "`x`: expected at least one number"),
    ({"num_steps": 0}, "`num_steps`"),
    ({"tolerance": -1.0}, "`tolerance`"),
    ({"objective": lambda p: p["x"] * jnp.ones(2)}, "`objective`: expected a function that returns one real number"),
    ({"objective": lambda p: 3}, "`objective`"),
]


@pytest.mark.parametrize("options, message", WRONG)
def test_bad_input_is_named(options, message):
    arguments = {"objective": lambda p: p["x"] ** 2, "parameters": {"x": 1.0}} | options
    with pytest.raises(ValueError, match=message):
        hj.tune(**arguments)
