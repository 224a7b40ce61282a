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
import pathwise
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


# Converged values (65536 Sobol points, two estimators of the response) at steps 1, 5, 19, and their standard errors.
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
    assert got.result == hj.RESULTS.successful and got.dropped <= 1e-3 and got.orthogonality < 1e-4


@pytest.mark.parametrize("load, cue, strength, expected", [
    (0.10, 0.5, 0.0, [0.8862, 0.9962, 0.9980]), (0.12, 0.4, 1.0, [0.7518, 0.8378, 0.8398])
])  # fmt: skip
def test_sign_units_follow_the_converged_solution(load, cue, strength, expected):
    got = solve(network(load, hj.Sign(), strength), cue)
    at = np.array([1, 5, 19])
    # Discontinuous outputs converge more slowly: 1.5e-3 was the largest deviation over 8 keys.
    np.testing.assert_allclose(np.asarray(got.overlap)[at], expected, atol=3e-3)


def test_the_first_step_is_exact():
    first = lambda model, cue: float(solve(model, cue).overlap[1])  # noqa: E731
    tanh = lambda h: np.tanh(6 * h)  # noqa: E731
    exact = gaussian_average(tanh, 0.2, 0.05)
    np.testing.assert_allclose(exact, 0.5459396, atol=1e-7)
    np.testing.assert_allclose(first(network(0.05, hj.LogCosh(beta=6.0)), 0.2), exact, atol=1e-4)
    np.testing.assert_allclose(first(network(0.1, hj.Sign(), 0.3), 0.5), erf(0.5 / math.sqrt(0.2)), atol=1e-3)


def test_self_couplings_shift_the_first_step():
    got = solve(network(0.1, hj.Sign(), self_coupling=True), 0.5, num_steps=1)
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
    # The noise is what drove the paths; R comes with a ridge, which leaves out answers in directions of a hundredth.
    np.testing.assert_allclose(got.noise_covariance, 0.12 * propagator @ c @ propagator.T, atol=1e-3)
    lag = np.arange(len(g))[:, None] - np.arange(len(g))[None, :]
    kernel = np.where(lag > 0, 0.2 * 0.8 ** np.maximum(lag - 1.0, 0), 0)
    np.testing.assert_allclose(got.plastic_feedback, 0.3 * kernel * c, atol=1e-6)
    assert np.all(np.triu(g) == 0) and np.allclose(c, c.T)
    np.testing.assert_array_equal(got.cue_overlap, got.correlation[:, 0])


def test_odd_units_may_be_solved_without_using_that():
    tanh = lambda odd: hj.Elementwise(lambda x: jnp.tanh(4 * x), odd=odd)  # noqa: E731
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


@pytest.mark.parametrize("n, equal", [(2, True), (2, False), (3, False), (4, True), (4, False)])
def test_the_crosstalk_of_dense_memory_has_gaussian_moments(n, equal):
    """u_t·u_s = α⟨z_tⁿ z_sⁿ⟩, or α n! C_tsⁿ, for Gaussians z of covariance C; the feedback, with b_t = Σ_s G_ts u_s, is
    α n² ⟨z_tⁿ⁻¹ z_sⁿ⁻¹⟩ G_ts on φ_s, α n (n−1) Σ_s G_ts ⟨z_tⁿ⁻² z_sⁿ⟩ on φ_t."""
    model = D.DensePlasticNetwork(0.3, LOGCOSH, n=n, equal_indices=equal)
    rows = np.array([[1.1, 0.0], [0.4, 0.7]])
    c = rows @ rows.T
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    both = weights[:, None] * weights[None, :] / (2 * math.pi)
    z = [rows[i, 0] * nodes[:, None] + rows[i, 1] * nodes[None, :] for i in range(2)]
    moment = lambda a, b: np.sum(both * z[1] ** a * z[0] ** b)  # noqa: E731
    u = [model.crosstalk(jnp.asarray(rows[i], jnp.float32), jnp.float32(c[i, i])) for i in range(2)]
    assert u[0].shape == (model.num_normals(2),)
    expected = 0.3 * (moment(n, n) if equal else math.factorial(n) * c[1, 0] ** n)
    np.testing.assert_allclose(u[0] @ u[1], expected, rtol=1e-5)
    answer = 0.8  # G_10
    pull = jax.vjp(model.crosstalk, jnp.asarray(rows[1], jnp.float32), jnp.float32(c[1, 1]))[1]
    others, on_site = pull(answer * u[0])
    feedback = 0.3 * n * answer * (n * moment(n - 1, n - 1) if equal else math.factorial(n) * c[1, 0] ** (n - 1))
    np.testing.assert_allclose(others, feedback * rows[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(2 * on_site, 0.3 * n * (n - 1) * answer * moment(n - 2, n) if equal else 0, rtol=1e-5)


# --- against the theory solved another way ---


@pytest.mark.parametrize("own, dt, coupling", [(False, 1.0, 1.0), (True, 0.5, 1.3)])
def test_tangents_along_the_paths_find_the_same(own, dt, coupling):
    model = network(strength=0.5, self_coupling=own, dt=dt, coupling=coupling)
    got = solve(model, 0.5, 8, num_samples=16384)
    rate = dt / 5
    lag = np.arange(9)[:, None] - np.arange(9)[None, :]
    kernel = np.where(lag > 0, 0.5 * rate * (1 - rate) ** np.maximum(lag - 1.0, 0), 0)
    m, c, g = pathwise.solve(
        lambda x: np.tanh(4 * x), lambda x: 4 / np.cosh(4 * x) ** 2, load=0.1, cue=0.5, kernel=kernel, num_steps=8,
        dt=dt, coupling=coupling, own=own,
    )  # fmt: skip
    # Its 4096 points err by 1e-3 at most (another seed moves them by 3e-4); ours know their error.
    np.testing.assert_allclose(got.overlap, m, atol=1.5e-3)
    np.testing.assert_allclose(got.correlation, c, atol=3e-3)
    # Single responses are weakly determined where the noise is nearly the same at two times; early ones are sharp.
    np.testing.assert_allclose(np.asarray(got.response)[1:4, 0], g[1:4, 0], atol=0.03)
    propagator = np.linalg.inv(np.eye(9) - coupling * g)
    feedback = 0.1 * coupling * (propagator - (0 if own else np.eye(9)))
    # What acts on a saturated site, the sum of the feedback, is sharp.
    np.testing.assert_allclose(
        np.sum(np.asarray(got.crosstalk_feedback) * c, axis=1), np.sum(feedback * c, axis=1), atol=4e-3
    )


def test_thermal_spins_follow_simulation_and_score_function():
    got = solve(network(units=hj.Glauber(4.0), strength=0.5), 0.5, 12, num_samples=16384)
    # By the score function, 65536 paths, and by this pass in NumPy: .8044 .8797 .9380 .9690 .9761 (± .0003).
    # Simulation, N = 4000, 24 networks: .8048 .8839 .9454 .9737 .9801 (± .003).
    expected, at = [0.8044, 0.8797, 0.9380, 0.9690, 0.9761], np.array([1, 2, 4, 8, 12])
    error = np.hypot(np.asarray(got.overlap_error)[at], 3e-4)
    assert np.all(np.abs(np.asarray(got.overlap)[at] - expected) < 4 * error) and got.rank == 12


def test_the_response_to_the_first_field_is_a_gaussian_average():
    got = solve(network(0.1, strength=0.5), 0.5, 8)
    slope = gaussian_average(lambda h: 4 / np.cosh(4 * h) ** 2, 0.5, 0.1)
    np.testing.assert_allclose(got.response[1, 0], slope, atol=2e-3)


# --- rank and tolerance ---


def test_directions_stay_orthonormal_in_single_precision():
    """With a single orthogonalisation in float32 the rank grows silently and m is .839 instead of .995."""
    got = solve(network(), 0.5, 59, num_samples=16384)
    assert got.orthogonality < 1e-4 and got.rank < 32 and got.dropped < 1e-3
    np.testing.assert_allclose(got.overlap[59], 0.9952, atol=4 * float(got.overlap_error[59]) + 1e-4)
    assert got.overlap_error[59] < 3e-4


def test_the_room_is_used_up_with_a_code():
    model = network(0.12, strength=0.0)
    whole = solve(model, 0.4, 12, num_samples=1024, num_shifts=2)
    got = solve(model, 0.4, 12, num_samples=1024, num_shifts=2, max_rank=4, throw=False)
    assert got.result == hj.RESULTS.max_rank_reached and got.rank == 4 and got.dropped > 1e-3
    lost = np.isnan(np.asarray(got.overlap))
    # Four directions are those of times 0 to 3.
    assert np.array_equal(lost, np.arange(13) > 3)
    np.testing.assert_allclose(got.overlap[:4], whole.overlap[:4], atol=1e-5)
    for name in ("correlation", "noise_covariance"):
        matrix = np.asarray(getattr(got, name))
        np.testing.assert_allclose(matrix[:4, :4], np.asarray(getattr(whole, name))[:4, :4], atol=1e-5)
        assert np.all(np.isnan(matrix[4:]))
    with pytest.raises(eqx.EquinoxRuntimeError, match="max_rank"):
        solve(model, 0.4, 12, num_samples=1024, max_rank=4)


def test_room_grows_until_it_is_enough():
    """Sign units far from rest: 40 steps span more directions than the initial `max_rank` of 32."""
    got = solve(network(0.2, hj.Sign(), 0.0), 0.4, 40, num_samples=1024, num_shifts=1)
    assert got.result == hj.RESULTS.successful and got.rank > 32


def test_small_and_large_outputs_are_solved_alike():
    """The tolerance is relative to the size of the outputs: an absolute one dropped a cue of 1e-5 entirely (.0026
    instead of .0325 after 50 steps) and treated the rounding of large outputs as new directions."""
    small = D.PlasticNetwork(0.1, hj.LogCosh(2.0), dt=0.1)
    cue = D.GaussianCue(1e-5, 3e-5)
    rough, fine = (solve(small, cue, 50, 4096, num_shifts=2, tolerance=x) for x in (1e-3, 1e-5))
    np.testing.assert_allclose(rough.overlap[50], fine.overlap[50], rtol=0.02)
    unit = hj.Elementwise(lambda x: 1e5 * jnp.tanh(4e-5 * x), odd=True)
    large = solve(D.PlasticNetwork(0.1, unit), D.GaussianCue(5e4, 5e4), 20)
    plain = solve(
        D.PlasticNetwork(0.1, hj.Elementwise(lambda x: jnp.tanh(4 * x), odd=True)), D.GaussianCue(0.5, 0.5), 20
    )
    assert large.rank == plain.rank
    np.testing.assert_allclose(large.overlap / 1e5, plain.overlap, atol=2e-4)  # rounding, grown over 20 steps


def test_a_program_in_which_nothing_is_traced():
    """Concrete model, cue and key, but a traced result: uses the `max_rank` of a transformation."""
    run = lambda: solve(network(), 0.5, 40, 256, num_shifts=1, throw=False).overlap[-1]  # noqa: E731
    np.testing.assert_allclose(jax.jit(run)(), run(), atol=2e-3)  # of another room, so with other normals at the end


def test_the_tolerance_is_what_may_be_dropped():
    exact = solve(network(), 0.5, 30, tolerance=1e-5)
    for tolerance, shift in ((1e-2, 1e-3), (1e-3, 0.0)):
        got = solve(network(), 0.5, 30, tolerance=tolerance)
        assert tolerance / 30 < got.dropped <= tolerance and got.rank < exact.rank
        # Later directions get other normals, so that the sampling errors are others too; 1e-2 is off by 4e-4 more.
        error = np.hypot(np.maximum(got.overlap_error, 1e-4), np.maximum(exact.overlap_error, 1e-4))
        assert np.all(np.abs(got.overlap - exact.overlap) < 4 * error + shift)


# --- gradients ---


def final_overlap(units, numbers):
    model = network(numbers["load"], units(numbers["beta"]), numbers["strength"], numbers["tau"])
    how: Any = {"num_samples": 1024, "num_shifts": 2, "derivative": D.Along()}
    return solve(model, D.SpinCue(numbers["cue"]), 5, **how).overlap[-1]


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


def test_derivatives_in_single_precision_are_those_in_double():
    """Tangents of directions are orthogonalised twice, like the directions: with a single pass they diverge in float32
    and the slope of m_19 was .04 to -3 instead of -.015."""

    def slope(strength):
        how = {"num_shifts": 1, "throw": False, "derivative": D.Along()}
        run = lambda s: solve(network(strength=s), 0.5, **how).overlap[-1]  # noqa: E731
        return jax.jvp(run, (strength,), (jnp.ones_like(strength),))[1]

    single = jax.jit(jax.vmap(slope))(jnp.array([0.25, 0.375, 0.75]))
    with enable_x64(True):
        double = jax.jit(jax.vmap(slope))(jnp.array([0.25, 0.375, 0.75]))
    # The same points to 23 bits. Where paths jump a derivative along them is large on few of them: 1e-3 was seen.
    np.testing.assert_allclose(single, double, atol=2e-3)


@pytest.mark.parametrize("units, name", [(lambda beta: hj.Sign(), "Sign"), (hj.Glauber, "Glauber")])
def test_no_derivative_along_a_path_goes_through_jumps(units, name):
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
        assert double.overlap.dtype == jnp.float64 and double.orthogonality < 1e-12
    # The same points to 23 bits; rounding grows over 19 steps near the edge of a basin.
    np.testing.assert_allclose(single.overlap, double.overlap, atol=2e-4)


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
    """Basis of the residual: paths driven by imposed rows respond to those, not to their own."""
    from hopfield_jax.dmft._pass import run_pass

    run = functools.partial(run_pass, network(), D.SpinCue(0.5), jnp.asarray(1e-3))
    sizes: Any = {"num_times": 4, "num_samples": 2048, "max_rank": 3, "key": KEY}
    own, _ = run(**sizes)
    again, _ = run(own, **sizes)
    np.testing.assert_allclose(again.overlap, own.overlap, atol=1e-5)
    np.testing.assert_allclose(again.outputs, own.outputs, atol=1e-5)
    pushed, _ = run(dataclasses.replace(own, overlap=own.overlap.at[1].add(0.1)), **sizes)
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

    units, count = hj.Elementwise(tanh, odd=True), 0
    for i, strength in enumerate((1, 0.3, jnp.float32(0.5), np.float64(0.7), np.int64(0))):
        solve(network(0.1 + 0.01 * i, units, strength, 5 + i), cue=0.4, num_steps=3, num_samples=256)
        count = len(traces) if i == 0 else count
    assert count > 0 and len(traces) == count


def test_memory_is_predicted_and_refused():
    needed = D.memory_needed(network(), D.SpinCue(0.5), num_steps=10000, num_samples=4096, num_shifts=1)
    assert needed < 2**28 and D.memory_needed(network(), D.SpinCue(0.5), num_steps=10000, max_rank=64) > 2 * needed
    # What XLA plans for a small one.
    sizes: dict[str, Any] = {"num_steps": 15, "num_samples": 4096, "num_shifts": 2}
    program = jax.jit(lambda s, key: solve(network(strength=s), throw=False, key=key, **sizes).overlap)
    planned: Any = program.lower(0.3, KEY).compile().memory_analysis()
    predicted = D.memory_needed(network(), D.SpinCue(0.5), **sizes)
    assert 0.4 * predicted < planned.temp_size_in_bytes < 1.5 * predicted
    with pytest.raises(ValueError, match=r"`max_bytes`: expected room for the predicted .* GiB"):
        solve(network(), num_steps=1000, num_samples=16384, max_bytes=1e6)


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
    (lambda: network(tau=0.5), "LeakyHebbian.tau", "0.5"),
    (lambda: network(units=hj.Glauber(1.0), dt=0.5), "PlasticNetwork.dt", "0.5"),
    (lambda: network(units=hj.LogSumExp()), "PlasticNetwork.units", "LogSumExp"),
    (lambda: D.PlasticNetwork(0.1, LOGCOSH, kernel=cast(Any, 3)), "PlasticNetwork.kernel", "int"),
    (lambda: D.SpinCue(1.2), "SpinCue.overlap", "1.2"),
    (lambda: D.SpinCue(jnp.array([0.7, -0.6])), "SpinCue.overlap", r"\[0.7, -0.6\]"),
    (lambda: D.GaussianCue(0.5, -1.0), "GaussianCue.spread", "-1.0"),
    (lambda: D.TableKernel(np.ones((3, 3))), "TableKernel.values", "not zero"),
    (lambda: D.TableKernel(np.zeros((3, 4))), "TableKernel.values", r"\(3, 4\)"),
    (lambda: hj.Elementwise(cast(Any, 3)), "Elementwise.fn", "int"),
    (lambda: D.DensePlasticNetwork(0.1, LOGCOSH, n=3), "DensePlasticNetwork.equal_indices", "True"),
    (lambda: D.DensePlasticNetwork(0.1, LOGCOSH, n=1), "DensePlasticNetwork.n", "1"),
    (lambda: solve(network(), num_steps=0), "num_steps", "0"),
    (lambda: solve(network(), num_samples=1000), "num_samples", r"a power of two \(such as 1024.*1000"),
    (lambda: solve(network(), num_samples=1), "num_samples", "1"),
    (lambda: solve(network(), num_shifts=0), "num_shifts", "0"),
    (lambda: solve(network(), tolerance=0.0), "tolerance", "0"),
    (lambda: solve(network(), tolerance=1), "tolerance", "1"),
    (lambda: solve(network(), max_rank=1), "max_rank", "1"),
    (lambda: solve(network(), max_rank=30000), "max_rank", "30000 directions: 30001"),
    (lambda: solve(network(units=hj.Glauber(2.0)), num_steps=12000), "num_steps", "24002"),
    (lambda: solve(D.DensePlasticNetwork(1e-3, LOGCOSH, n=16)), "model", "2 directions"),
    (lambda: solve(network(), tolerance=jnp.array([1e-3, 1e-2])), "tolerance", r"\(2,\)"),
    (lambda: solve(D.DensePlasticNetwork(0.1, LOGCOSH, n=4), max_rank=20), "max_rank", "20 directions: 194923"),
    (lambda: network(dt=1.0, scheme=D.AdamsBashforth()), "PlasticNetwork.dt", "1"),
    (lambda: network(scheme=cast(Any, None)), "PlasticNetwork.scheme", "NoneType"),
    (lambda: solve(network(), cue=None), "cue", "NoneType"),
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


def test_a_traced_tolerance_is_checked():
    run = jax.jit(lambda r: solve(network(), 0.5, 4, num_samples=256, tolerance=r, throw=False).result)
    assert run(1e-4) == hj.RESULTS.successful
    assert run(-0.05) == hj.RESULTS.invalid_parameter and run(jnp.nan) == hj.RESULTS.invalid_parameter


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
    """Regression: at load 1e-30 the estimator divided rounding by zero and gave 1e18."""
    model = D.PlasticNetwork(load=1e-30, units=hj.LogCosh(beta=4.0))
    found = D.solve(model, D.SpinCue(0.5), num_steps=2, num_samples=64, num_shifts=1, key=key)
    assert np.all(np.isnan(np.asarray(found.response))) and found.overlap[1] == pytest.approx(np.tanh(2.0), abs=1e-5)
