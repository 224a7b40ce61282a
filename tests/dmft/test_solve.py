"""Dynamical mean-field theory: published and independently computed numbers, limits, estimators, gradients."""

import dataclasses
import functools
import math
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.special import erf

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import dmft as D

KEY = jr.key(0)
STEPS = 19
LOGCOSH = hj.LogCosh(beta=4.0)


def network(load: Any = 0.1, units: Any = LOGCOSH, strength: Any = 0.3, tau: Any = 5.0, **kwargs: Any):
    return D.PlasticNetwork(load=load, units=units, kernel=D.LeakyHebbian(strength, tau), **kwargs)


def solve(model: Any, cue: Any = 0.5, num_steps=STEPS, num_samples=4096, **kwargs: Any) -> Any:
    cue = D.SpinCue(cue) if isinstance(cue, float | int) else cue
    options: dict[str, Any] = {"key": KEY} | kwargs
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, **options)


def gaussian_average(fn, mean, variance):
    """∫Dz fn(mean + √variance z) by the trapezoid rule."""
    z = np.linspace(-9, 9, 1801)
    weights = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    return np.sum(weights * fn(mean + math.sqrt(variance) * z))


# Converged values (65536 Sobol points, two estimators), their standard errors from the last digit, steps 1, 5, 19.
TABLE = [
    (0.10, 0.5, 0.0, [0.8044, 0.9461, 0.9804], 1e-4),
    (0.10, 0.5, 0.3, [0.8044, 0.9624, 0.9913], 1e-4),
    (0.12, 0.4, 0.0, [0.6700, 0.7275, 0.4288], 6e-4),
    (0.12, 0.4, 0.3, [0.6700, 0.7670, 0.7266], 6e-4),
    (0.12, 0.4, 1.0, [0.6700, 0.8064, 0.8136], 2e-4),
]


@pytest.mark.parametrize("load, cue, strength, expected, error", TABLE)
def test_tanh_units_follow_the_converged_solution(load, cue, strength, expected, error):
    got = solve(network(load, strength=strength), cue)
    at = np.array([1, 5, 19])
    # Four standard errors of ours (estimated from four shifts, so never taken below 5e-4) and of the table.
    tolerance = 4 * np.hypot(np.maximum(np.asarray(got.overlap_error)[at], 5e-4), error)
    assert np.all(np.abs(np.asarray(got.overlap)[at] - expected) < tolerance)
    assert got.result == hj.RESULTS.successful and got.smallest_pivot > got.jitter / 2


@pytest.mark.parametrize("load, cue, strength, expected", [
    (0.10, 0.5, 0.0, [0.8862, 0.9962, 0.9980]), (0.12, 0.4, 1.0, [0.7518, 0.8378, 0.8398])
])  # fmt: skip
def test_sign_units_follow_the_converged_solution(load, cue, strength, expected):
    got = solve(network(load, D.Sign(), strength), cue)
    at = np.array([1, 5, 19])
    # Discontinuous outputs converge more slowly: 1.5e-3 was the largest deviation over 8 keys.
    np.testing.assert_allclose(np.asarray(got.overlap)[at], expected, atol=3e-3)


def test_the_first_step_is_exact():
    first = lambda model, cue: float(solve(model, cue).overlap[1])  # noqa: E731
    tanh = lambda h: np.tanh(6 * h)  # noqa: E731
    exact = gaussian_average(tanh, 0.2, 0.05)
    np.testing.assert_allclose(exact, 0.5459396, atol=1e-7)
    np.testing.assert_allclose(first(network(0.05, hj.LogCosh(beta=6.0)), 0.2), exact, atol=1e-4)
    np.testing.assert_allclose(first(network(0.1, D.Sign(), 0.3), 0.5), erf(0.5 / math.sqrt(0.2)), atol=1e-3)


def test_self_couplings_shift_the_first_step():
    got = solve(network(0.1, D.Sign(), self_coupling=True), 0.5, num_steps=1)
    shifts = [0.5 * (1 + s * 0.5) * math.erf((0.5 + s * 0.1) / math.sqrt(0.2)) for s in (1, -1)]
    np.testing.assert_allclose(sum(shifts), 0.9051895, atol=1e-7)
    np.testing.assert_allclose(got.overlap[1], sum(shifts), atol=1e-3)


@pytest.mark.slow
def test_the_hard_case():
    got = solve(network(0.05, hj.LogCosh(beta=6.0), 1.5, 10.0), 0.2, 29, num_samples=16384)
    at = np.array([1, 2, 4, 8, 29])
    np.testing.assert_allclose(np.asarray(got.overlap)[at], [0.5459, 0.6681, 0.7596, 0.7863, 0.7873], atol=4e-3)
    assert np.all(np.asarray(got.overlap_error) < 2e-3)


def test_clark_s_case():
    """Clark 2026 (arXiv 2506.05303): Gaussian cue, small steps, self-couplings; two other solvers agree to 5e-5."""
    amplitude = 0.9 * 1.2
    model = D.PlasticNetwork(0.1, hj.LogCosh(), dt=0.02, self_coupling=True, coupling=1.2 / math.sqrt(0.1))
    cue = D.GaussianCue(amplitude, math.sqrt(1.2**2 - amplitude**2))
    got = solve(model, cue, 99, num_shifts=1)
    at = np.array([0, 10, 25, 50, 75, 99])
    expected = [0.71865, 0.86243, 0.94588, 0.97629, 0.98330, 0.98578]
    np.testing.assert_allclose(np.asarray(got.overlap)[at], expected, atol=4e-4)
    assert np.all(np.isinf(got.overlap_error))  # one randomisation says nothing about its error


# --- limits and equivalent models ---


def test_without_strength_there_is_no_plasticity():
    plain = solve(D.PlasticNetwork(0.12, LOGCOSH), 0.4)
    none, little = (solve(network(0.12, strength=s), 0.4) for s in (0.0, 1e-4))
    np.testing.assert_allclose(none.overlap, plain.overlap, atol=2e-5)  # rounding of two programs, grown over 19 steps
    assert not np.any(none.plastic_feedback) and np.any(little.plastic_feedback)
    np.testing.assert_allclose(little.overlap, none.overlap, atol=2e-3)


def test_a_table_and_a_function_reproduce_the_leaky_kernel():
    model = network(0.12, strength=0.3)
    lag = np.arange(STEPS + 1)[:, None] - np.arange(STEPS + 1)[None, :]
    values = np.where(lag > 0, 0.2 * 0.8 ** np.maximum(lag - 1.0, 0), 0)
    leaky = solve(model, 0.4, 8)
    rate = lambda t, s: 0.2 * 0.8 ** (t - s - 1)  # noqa: E731
    twice = np.einsum("ts,su->tsu", values, np.eye(STEPS + 1))
    for kernel in (D.TableKernel(values, 0.3), D.FunctionKernel(rate, 0.3), D.TableKernel(twice, 0.3)):
        got = solve(dataclasses.replace(model, kernel=kernel), 0.4, 8)
        np.testing.assert_allclose(got.overlap, leaky.overlap, atol=5e-6)
        np.testing.assert_allclose(got.plastic_feedback, leaky.plastic_feedback, atol=5e-6)


def test_feedback_rows_are_what_the_equations_say():
    got = solve(network(0.12, strength=0.3), 0.4, num_shifts=1)  # of one randomisation: they hold for each
    g, c = np.asarray(got.response, np.float64), np.asarray(got.correlation, np.float64)
    propagator = np.linalg.inv(np.eye(len(g)) - g)
    np.testing.assert_allclose(got.crosstalk_feedback, 0.12 * (propagator - np.eye(len(g))), atol=1e-5)
    # The jitter on the diagonal of C passes through the propagator, whose rows have a norm of a few.
    np.testing.assert_allclose(got.noise_covariance, 0.12 * propagator @ c @ propagator.T, atol=1e-4)
    lag = np.arange(len(g))[:, None] - np.arange(len(g))[None, :]
    kernel = np.where(lag > 0, 0.2 * 0.8 ** np.maximum(lag - 1.0, 0), 0)
    np.testing.assert_allclose(got.plastic_feedback, 0.3 * kernel * c, atol=1e-6)
    assert np.all(np.triu(g) == 0) and np.allclose(c, c.T)
    np.testing.assert_array_equal(got.cue_overlap, got.correlation[:, 0])


def test_odd_units_may_be_solved_without_using_that():
    tanh = lambda odd: D.Elementwise(lambda x: jnp.tanh(4 * x), odd=odd)  # noqa: E731
    odd, plain = (solve(network(0.12, tanh(o)), 0.4, 6) for o in (True, False))
    same = solve(network(0.12), 0.4, 6)
    np.testing.assert_allclose(odd.overlap, same.overlap, atol=1e-5)
    np.testing.assert_allclose(plain.overlap, same.overlap, atol=2e-3)  # other strata, other sampling error
    assert np.all(np.isnan(odd.energy)) and np.all(np.isfinite(same.energy))


def test_several_condensed_patterns():
    one = solve(network(), 0.5, 6)
    two = solve(network(), D.SpinCue(jnp.array([0.5, 0.0])), 6)
    assert two.overlap.shape == (7, 2)
    np.testing.assert_allclose(two.overlap[:, 0], one.overlap, atol=2e-3)
    np.testing.assert_allclose(two.overlap[:, 1], 0, atol=1e-3)
    # First step: ⟨ξ^ν φ⟩ over the signs ξ = (1, ±1) of a site, fields ξ·m + √α z.
    mixed = solve(network(), D.SpinCue(jnp.array([0.5, -0.3])), 6)
    tanh = lambda h: np.tanh(4 * h)  # noqa: E731
    same, other = (gaussian_average(tanh, 0.5 - 0.3 * sign, 0.1) for sign in (1, -1))
    np.testing.assert_allclose(mixed.overlap[1], [0.5 * (same + other), 0.5 * (same - other)], atol=1e-4)


def test_fields_along_pattern_and_cue():
    plain = solve(network(0.12, strength=0.0), 0.4, 6)
    pushed = solve(network(0.12, strength=0.0, pattern_field=0.2), 0.4, 6)
    held = solve(network(0.12, strength=0.0, cue_field=0.5), 0.4, 6)
    assert pushed.overlap[-1] > plain.overlap[-1] + 0.02 and held.cue_overlap[-1] > plain.cue_overlap[-1] + 0.1
    late = solve(network(0.12, strength=0.0, pattern_field=jnp.array([0, 0, 0, 0, 0, 0.2])), 0.4, 6)
    np.testing.assert_allclose(late.overlap[:6], plain.overlap[:6], atol=1e-5)
    assert late.overlap[6] > plain.overlap[6] + 0.01
    # First step of tanh units with a field b along the cue: ½Σ_s (1 + s m_0) ∫Dz tanh β(m_0 + s b + √α z).
    tanh = lambda h: np.tanh(4 * h)  # noqa: E731
    first = sum(0.5 * (1 + 0.4 * s) * gaussian_average(tanh, 0.4 + 0.5 * s, 0.12) for s in (1, -1))
    np.testing.assert_allclose(held.overlap[1], first, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "load, cue, beta, expected", [(0.05, 0.7, 4.0, (0.9042, 0.8880)), (0.02, 0.5, 5.0, (0.9007, 0.8835))]
)
def test_dense_memory_has_its_on_site_term(load, cue, beta, expected):
    """Second step of quadratic dense memory; the numbers without the on-site term belong to another diagonal."""
    model = D.DensePlasticNetwork(load, hj.LogCosh(beta=beta))
    got = solve(model, cue, 2, num_samples=16384).overlap
    np.testing.assert_allclose(got[1], gaussian_average(lambda h: np.tanh(beta * h), cue**2, 3 * load), atol=2e-4)
    np.testing.assert_allclose(got[2], expected[0], atol=1e-3)
    assert abs(got[2] - expected[1]) > 0.01


def test_gaussian_moments():
    from hopfield_jax.dmft._network import gaussian_moment

    c = np.array([[1.3, 0.4], [0.4, 0.7]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    factor = np.linalg.cholesky(c)
    x, y = factor[0, 0] * nodes[:, None], factor[1, 0] * nodes[:, None] + factor[1, 1] * nodes[None, :]
    both = weights[:, None] * weights[None, :] / (2 * math.pi)
    for a, b in [(0, 0), (2, 0), (1, 1), (2, 2), (1, 3), (3, 3), (4, 2), (4, 4)]:
        got = gaussian_moment(a, b, *(jnp.asarray(v, jnp.float32) for v in (c[0, 0], c[1, 1], c[0, 1])))
        np.testing.assert_allclose(got, np.sum(both * x**a * y**b), rtol=1e-5)


# --- estimators of the response ---


def test_three_estimators_agree():
    tanh = [solve(network(strength=0.5), 0.5, 8, response=r) for r in (D.Novikov(), D.Pathwise(1024))]
    spins = [solve(network(units=D.Glauber(4.0), strength=0.5), 0.5, 8, response=r) for r in (D.Novikov(), D.Score())]
    for one, other in (tanh, spins):
        for name, floor in (("overlap", 1e-3), ("correlation", 1e-3)):
            error = np.hypot(getattr(one, name + "_error"), getattr(other, name + "_error"))
            assert np.all(np.abs(getattr(one, name) - getattr(other, name)) < 5 * np.maximum(error, floor))
        # Single responses are weakly determined where the noise is nearly the same at two times; early ones are sharp.
        np.testing.assert_allclose(one.response[1:4, 0], other.response[1:4, 0], atol=0.03)
        assert abs(one.response[1, 0]) > 0.5
    # Simulation, N = 4000, 24 networks: .8048 .8839 .9454 (± .003); theory .8044 .8797 .9379.
    np.testing.assert_allclose(np.asarray(spins[1].overlap)[[1, 2, 4]], [0.8044, 0.8797, 0.9379], atol=3e-3)


def test_the_response_to_the_first_field_is_a_gaussian_average():
    got = solve(network(0.1, strength=0.5), 0.5, 8)
    slope = gaussian_average(lambda h: 4 / np.cosh(4 * h) ** 2, 0.5, 0.1)
    np.testing.assert_allclose(got.response[1, 0], slope, atol=5e-3)


@pytest.mark.parametrize(
    "units", [hj.HardTanh(2.0), D.Sign(), hj.RectifiedPower(2), D.Elementwise(jnp.abs, smooth=False)]
)
def test_pathwise_refuses_kinks(units):
    with pytest.raises(ValueError, match=r"`response`: expected.*Novikov\(\)"):
        solve(network(units=units), response=D.Pathwise())


def test_score_is_for_random_units():
    with pytest.raises(ValueError, match=r"`response`: expected.*LogCosh"):
        solve(network(), response=D.Score())


# --- gradients ---


def final_overlap(units, numbers):
    model = network(numbers["load"], units(numbers["beta"]), numbers["strength"], numbers["tau"])
    return solve(model, D.SpinCue(numbers["cue"]), 5, num_samples=1024, num_shifts=2).overlap[-1]


@pytest.mark.parametrize("units, beta, tolerance", [(hj.LogCosh, 4.0, 1e-3), (hj.HardTanh, 2.0, 1e-2)])
def test_gradients_equal_differences(units, beta, tolerance):
    """With the same normals; for units with a kink too, as Novikov's response has no derivative of a kink in it."""
    with enable_x64(True):
        numbers = {"load": 0.1, "beta": beta, "strength": 0.5, "tau": 5.0, "cue": 0.4}
        numbers = {name: jnp.asarray(x) for name, x in numbers.items()}
        f = jax.jit(functools.partial(final_overlap, units))
        reverse = jax.jit(jax.grad(f))(numbers)
        names = ("strength", "cue") if units is hj.HardTanh else tuple(numbers)
        for name in names:
            # Smooth units: error step². With a kink, few paths cross it within a step: a longer one averages more.
            step = (1e-4 if units is hj.LogCosh else 1e-3) * float(numbers[name])
            above, below = (f(numbers | {name: numbers[name] + s * step}) for s in (1, -1))
            np.testing.assert_allclose(reverse[name], (above - below) / (2 * step), rtol=tolerance, err_msg=name)
        tangent = {name: jnp.asarray(name == "strength", float) for name in numbers}
        forward = jax.jit(lambda n, t: jax.jvp(f, (n,), (t,))[1])(numbers, tangent)
        np.testing.assert_allclose(forward, reverse["strength"], rtol=1e-8)


@pytest.mark.parametrize("units, name", [(lambda beta: D.Sign(), "Sign"), (D.Glauber, "Glauber")])
def test_no_gradient_goes_through_jumps(units, name):
    numbers = {
        k: jnp.asarray(x) for k, x in {"load": 0.1, "beta": 4.0, "strength": 0.5, "tau": 5.0, "cue": 0.4}.items()
    }
    with pytest.raises(Exception, match=f"no gradient goes through {name} units"):
        jax.grad(functools.partial(final_overlap, units))(numbers)


# --- numerics ---


def test_double_precision_agrees():
    single = solve(network(0.12, strength=0.3), 0.4)
    with enable_x64(True):
        double = solve(network(0.12, strength=0.3), 0.4)
        assert double.overlap.dtype == jnp.float64 and double.jitter < 1e-8
    # The same points to 23 bits, but jitters of 1e-5 and 1e-9: what they do to m_19 is far below the sampling error.
    np.testing.assert_allclose(single.overlap, double.overlap, atol=3e-3)


@pytest.mark.slow
def test_steps_of_half_the_length_halve_the_error():
    finals = []
    for steps in (16, 32, 64, 128):
        model = network(0.1, hj.LogCosh(beta=2.0), 0.3, 2.0, dt=2 / steps)
        finals.append(float(solve(model, D.GaussianCue(0.5, 0.3), steps, num_samples=16384).overlap[-1]))
    changes = np.diff(finals)
    orders = np.log2(changes[:-1] / changes[1:])
    assert np.all(np.abs(orders - 1) < 0.2)  # sampling error: another number of steps has other points
    np.testing.assert_allclose(2 * finals[3] - finals[2], 2 * finals[2] - finals[1], atol=3e-4)  # extrapolated


def test_the_residual_is_a_few_standard_errors():
    got = solve(network(), 0.5, 8, check=True)
    assert 0 < got.residual < 6 and "standard errors" in str(got)
    with pytest.raises(ValueError, match="`num_shifts`: expected at least 2 with check=True"):
        solve(network(), 0.5, 8, check=True, num_shifts=1)


def test_driven_paths_follow_what_drives_them():
    """What the residual rests on: paths driven by given order parameters answer those, not their own."""
    from hopfield_jax.dmft._process import run_process

    model = network()
    run = functools.partial(run_process, model, D.SpinCue(0.5), D.Novikov(), jnp.asarray(1e-5))
    own = run(None, num_times=4, num_samples=2048, key=KEY)
    given = own.overlap, own.correlation, own.response
    again = run(given, num_times=4, num_samples=2048, key=KEY)
    np.testing.assert_allclose(again.overlap, own.overlap, atol=1e-5)
    pushed = run((own.overlap.at[1].add(0.1), *given[1:]), num_times=4, num_samples=2048, key=KEY)
    np.testing.assert_allclose(pushed.overlap[:2], own.overlap[:2], atol=1e-5)
    assert pushed.overlap[2, 0] > own.overlap[2, 0] + 0.01


def test_transforms_and_traces():
    model = network(0.12)
    plain = solve(model, 0.4)

    run = lambda s: solve(network(0.12, strength=s), 0.4, throw=False).overlap  # noqa: E731
    # Another program: rounding, grown over 19 steps.
    mapped = jax.jit(jax.vmap(run))(jnp.array([0.3, 1.0]))
    np.testing.assert_allclose(mapped[0], plain.overlap, atol=5e-5)
    assert solve(model, 0.4, key=jr.key(1)).overlap[-1] != plain.overlap[-1]


def test_numbers_do_not_trace_again():
    traces = []

    def tanh(x):
        traces.append(x)
        return jnp.tanh(4 * x)

    units, count = D.Elementwise(tanh, odd=True), 0
    for i, strength in enumerate((1, 0.3, jnp.float32(0.5), np.float64(0.7), np.int64(0))):
        solve(network(0.1 + 0.01 * i, units, strength, 5 + i), cue=0.4, num_steps=3, num_samples=256)
        count = len(traces) if i == 0 else count
    assert count > 0 and len(traces) == count


def test_memory_is_predicted_and_refused():
    needed = D.memory_needed(network(), D.SpinCue(0.5), num_steps=1000, num_samples=16384, num_shifts=1)
    assert 2 * 1001 * 16384 * 3 < needed / 4 < 6 * 1001 * 16384 * 3
    # What XLA plans for a small one.
    sizes: dict[str, Any] = {"num_steps": 15, "num_samples": 4096, "num_shifts": 2}
    program = jax.jit(lambda s, key: solve(network(strength=s), throw=False, key=key, **sizes).overlap)
    planned: Any = program.lower(0.3, KEY).compile().memory_analysis()
    predicted = D.memory_needed(network(), D.SpinCue(0.5), **sizes)
    assert 0.4 * predicted < planned.temp_size_in_bytes < 1.5 * predicted
    with pytest.raises(ValueError, match=r"`max_bytes`: expected room for the predicted .* GiB"):
        solve(network(), num_steps=1000, max_bytes=1e8)


def test_the_card_and_the_setting_say_what_was_solved():
    got = solve(network(0.12), 0.4)
    card = str(got)
    for text in (
        "19 steps",
        "load 0.12",
        "kernel LeakyHebbian",
        "kernel.strength 0.3",
        "cue.overlap 0.4",
        "result: ok",
    ):
        assert text in card
    assert dict(got.setting.parts)["units"] == "LogCosh" and got.setting.numbers["units.beta"] == 4


# --- bad input ---


BAD: list[Any] = [
    (lambda: network(load=0.0), "PlasticNetwork.load", "0.0"),
    (lambda: network(load=-1.0), "PlasticNetwork.load", "-1.0"),
    (lambda: network(dt=0.0), "PlasticNetwork.dt", "0.0"),
    (lambda: network(dt=1.5), "PlasticNetwork.dt", "1.5"),
    (lambda: network(tau=0.5), "PlasticNetwork.kernel.tau", "0.5"),
    (lambda: network(units=D.Glauber(1.0), dt=0.5), "PlasticNetwork.dt", "0.5"),
    (lambda: network(units=hj.LogSumExp()), "PlasticNetwork.units", "LogSumExp"),
    (lambda: D.PlasticNetwork(0.1, LOGCOSH, kernel=cast(Any, 3)), "PlasticNetwork.kernel", "int"),
    (lambda: D.SpinCue(1.2), "SpinCue.overlap", "1.2"),
    (lambda: D.SpinCue(jnp.array([0.7, -0.6])), "SpinCue.overlap", "1.3"),
    (lambda: D.GaussianCue(0.5, -1.0), "GaussianCue.spread", "-1.0"),
    (lambda: D.TableKernel(np.ones((3, 3))), "TableKernel.values", "not zero"),
    (lambda: D.TableKernel(np.zeros((3, 4))), "TableKernel.values", r"\(3, 4\)"),
    (lambda: D.Elementwise(cast(Any, 3)), "Elementwise.fn", "int"),
    (lambda: D.DensePlasticNetwork(0.1, LOGCOSH, n=3), "DensePlasticNetwork.equal_indices", "True"),
    (lambda: D.DensePlasticNetwork(0.1, LOGCOSH, n=1), "DensePlasticNetwork.n", "1"),
    (lambda: D.Pathwise(1000), "Pathwise.num_samples", "1000"),
    (lambda: solve(network(), num_steps=0), "num_steps", "0"),
    (lambda: solve(network(), num_samples=1000), "num_samples", r"a power of two \(such as 1024.*1000"),
    (lambda: solve(network(), num_samples=1), "num_samples", "1"),
    (lambda: solve(network(), num_shifts=0), "num_shifts", "0"),
    (lambda: solve(network(), jitter=0.0), "jitter", "0.0"),
    (lambda: solve(network(), cue=None), "cue", "NoneType"),
    (lambda: solve(network(), response=3), "response", "int"),
    (lambda: solve(D.PlasticNetwork(0.1, LOGCOSH, D.TableKernel(np.zeros((5, 5))))), "TableKernel.values", r"\(5, 5\)"),
    (lambda: solve(network(pattern_field=jnp.ones(4))), "pattern_field", r"\(4,\)"),
]  # fmt: skip


@pytest.mark.parametrize("call, argument, got", BAD, ids=[f"{b[1]}-{b[2]}" for b in BAD])
def test_bad_input_is_named(call, argument, got):
    with pytest.raises(Exception, match=rf"`{argument}`: expected.*{got}|Type-check error"):
        call()


@pytest.mark.fault("points that fail")
def test_a_failure_at_the_very_end_is_seen():
    late = lambda t, s: jnp.where(t > 3.5, jnp.nan, 1.0)  # noqa: E731
    model = D.PlasticNetwork(0.1, LOGCOSH, D.FunctionKernel(late, 0.1))
    got = solve(model, 0.5, 4, num_samples=256, num_shifts=2, throw=False)
    assert got.result == hj.RESULTS.not_finite and np.isnan(got.overlap[-1]) and np.all(np.isfinite(got.overlap[:-1]))


def test_a_traced_ridge_is_checked():
    run = jax.jit(lambda r: solve(network(), 0.5, 4, num_samples=256, response=D.Novikov(r), throw=False).result)
    assert run(1e-4) == hj.RESULTS.successful and run(-0.05) == hj.RESULTS.invalid_parameter


@pytest.mark.parametrize(
    "name, value", [("load", -1.0), ("strength", jnp.nan), ("tau", 0.5), ("cue", 1.5), ("dt", 2.0)]
)
def test_traced_nonsense_is_a_code_and_nan(name, value):
    got = _traced({"load": 0.1, "strength": 0.3, "tau": 5.0, "cue": 0.4, "dt": 1.0} | {name: value})
    assert got.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(got.overlap))


@jax.jit
def _traced(numbers):
    model = network(numbers["load"], strength=numbers["strength"], tau=numbers["tau"], dt=numbers["dt"])
    return solve(model, D.SpinCue(numbers["cue"]), 4, num_samples=256, num_shifts=2, throw=False)


@pytest.mark.fault("points that fail")
def test_overflow_in_mid_run_is_a_code_and_nan_from_there_on():
    model = D.PlasticNetwork(0.1, hj.Quadratic(), coupling=1e8)
    got = solve(model, 0.5, 12, num_samples=256, throw=False)
    assert got.result == hj.RESULTS.not_finite
    overlap = np.asarray(got.overlap)
    lost = np.flatnonzero(np.isnan(overlap))[0]
    assert lost > 1 and np.all(np.isnan(overlap[lost:])) and np.all(np.isnan(np.asarray(got.correlation)[lost:]))
    with pytest.raises(eqx.EquinoxRuntimeError):
        solve(model, 0.5, 12, num_samples=256)


def test_noise_below_rounding_measures_no_response(key):
    """At load 1e-30 the estimator divided rounding by nothing, and said 1e18."""
    model = D.PlasticNetwork(load=1e-30, units=hj.LogCosh(beta=4.0))
    found = D.solve(model, D.SpinCue(0.5), num_steps=2, num_samples=64, num_shifts=1, key=key)
    assert np.all(np.isnan(np.asarray(found.response))) and found.overlap[1] == pytest.approx(np.tanh(2.0), abs=1e-5)
