"""Replica-symmetric statics against published numbers, closed forms, and a brute-force solution in NumPy."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from baselines import numpy_replica as brute

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.theory._spin import spin_averages

T = hj.theory
PHASES = {
    "retrieval": (T.Retrieval(), (1.0,), (1.0,), 1),
    "mixture": (T.Mixture(3), (3.0, 1.0), (0.25, 0.75), 3),
    "glass": (T.SpinGlass(), (0.0,), (1.0,), 0),
}


def fields(state: Any, *names: str) -> np.ndarray:
    return np.array([float(getattr(state, name)) for name in names])


def test_averages_of_a_spin_on_both_sides_of_equal_noises(x64):
    z = np.linspace(-10, 10, 200_001)
    weight = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    average = jax.jit(jax.vmap(spin_averages))
    points = np.array([[0.9, 0.4, 0.3], [0.9, 0.3, 0.31], [0.5, 0.7, 0.01], [0.1, 0.05, 0.95], [0.3, 0.0, 0.2]])
    got = average(*jnp.asarray(points.T))
    for i, (mean, deviation, temperature) in enumerate(points):
        x = (mean + deviation * z) / temperature
        tanh = np.tanh(x)
        rows = [tanh, tanh**2, (1 - tanh**2) / temperature, np.logaddexp(x, -x) - x * tanh]
        expected = [weight @ row for row in [*rows, (1 - tanh**2) ** 2 / temperature]]
        # The trapezoid rule with step 0.27 and poles at a distance of π/2 is wrong by e^{−π²/0.27} ≈ 1e-16.
        np.testing.assert_allclose(
            fields(jax.tree.map(lambda x, i=i: x[i], got), *got.__dataclass_fields__), expected, atol=2e-12
        )
    # At zero temperature the limits: ⟨sign⟩, 1, 2p(0), 0 and (4/3)p(0).
    cold = spin_averages(jnp.asarray(0.3), jnp.asarray(0.5), jnp.asarray(0.0))
    density = math.exp(-0.18) / math.sqrt(2 * math.pi) / 0.5
    expected = [math.erf(0.6 / math.sqrt(2)), 1, 2 * density, 0, 4 / 3 * density]
    np.testing.assert_allclose(fields(cold, *cold.__dataclass_fields__), expected, atol=1e-14)


def test_retrieval_at_zero_temperature(x64):
    expected = {0.05: 0.99999223, 0.08: 0.99955738, 0.10: 0.99799927, 0.12: 0.99322273, 0.13: 0.98721189}
    for load, overlap in expected.items():
        state = T.replica_state(load, 0.0)
        m, r, free, energy = fields(state, "overlap", "noise", "free_energy", "energy")
        np.testing.assert_allclose(m, overlap, atol=6e-9)
        y = m / math.sqrt(2 * load * r)
        np.testing.assert_allclose(m, math.erf(y), rtol=1e-13)
        closed = math.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-y * y)
        np.testing.assert_allclose(math.sqrt(2 * load), closed, rtol=1e-12)
        assert free == energy and state.entropy < 0 and state.replica_stability == -np.inf
        np.testing.assert_allclose(energy, -(m**2) / 2 + load * (1 - r) / 2, rtol=1e-12)


@pytest.mark.parametrize("phase, load, temperature", [
    ("retrieval", 0.09, 0.3), ("retrieval", 0.002, 0.8), ("mixture", 0.012, 0.2), ("glass", 0.1, 0.4),
    ("glass", 0.3, 1.3),
])  # fmt: skip
def test_states_are_those_of_damped_iteration_and_stationary(phase, load, temperature):
    kind, *site = PHASES[phase]
    with enable_x64():
        state = T.replica_state(load, temperature, phase=kind)
        numbers = fields(state, "overlap", "correlation", "noise")
    by_iteration = brute.iterate(load, temperature, 0.0 if phase == "glass" else 1 / len(site[0]), *site)
    # Iteration stops when a step is 1e-10, and contracts by more than 1% a step here.
    np.testing.assert_allclose(numbers, by_iteration, rtol=2e-7, atol=1e-8)
    free = lambda *x: brute.free_energy(load, temperature, *x, *site)  # noqa: E731
    np.testing.assert_allclose(state.free_energy, free(*numbers), rtol=1e-12)
    for shift in np.eye(3) * 1e-5 * np.maximum(numbers, 0.1):
        slope = (free(*(numbers + shift)) - free(*(numbers - shift))) / (2 * shift.max())
        assert abs(slope) < 1e-7  # rounding over the step, and the step squared


@pytest.mark.parametrize(
    "phase, points",
    [
        ("retrieval", [(0.09, 0.3), (0.1, 0.0)]),
        ("glass", [(0.1, 0.4), (0.2, 0.0)]),
        pytest.param("mixture", [(0.012, 0.1)], marks=pytest.mark.slow),
    ],
)
def test_slopes_of_the_free_energy_are_entropy_and_crosstalk(phase, points):
    def free(load, temperature):
        state = T.replica_state(load, temperature, phase=PHASES[phase][0], throw=False)
        return state.free_energy, state

    slope = jax.jit(jax.grad(free, argnums=(0, 1), has_aux=True))
    for load, temperature in points:
        with enable_x64():
            slopes, state = slope(load, temperature)
        by_load, by_temperature = map(float, slopes)
        np.testing.assert_allclose(by_temperature, -state.entropy, atol=1e-12)
        q, c = fields(state, "correlation", "susceptibility")
        np.testing.assert_allclose(by_load, 0.5 * (1 + temperature * np.log(1 - c) - q / (1 - c)), rtol=1e-11)


def test_limits_of_small_load_and_the_paramagnet(x64):
    temperature, m = 0.6, 0.9
    for _ in range(200):
        m = math.tanh(m / temperature)
    state = T.replica_state(1e-9, temperature)
    np.testing.assert_allclose(state.overlap, m, atol=1e-8)  # the load itself
    curie_weiss = m * m / 2 - temperature * math.log(2 * math.cosh(m / temperature))
    np.testing.assert_allclose(state.free_energy, curie_weiss, atol=1e-8)
    state = T.replica_state(0.1, 1.5, phase=T.Paramagnet())
    closed = 0.05 + 0.05 * 1.5 * math.log(1 - 1 / 1.5) - 1.5 * math.log(2)
    np.testing.assert_allclose(state.free_energy, closed, rtol=1e-14)
    np.testing.assert_allclose(state.replica_stability, 1 - 0.1 / 0.25, rtol=1e-14)


def test_single_precision_is_good_to_its_digits():
    low = T.replica_state(0.1, 0.15)
    with enable_x64():
        high = T.replica_state(0.1, 0.15)
    for field in ("overlap", "correlation", "susceptibility", "free_energy", "entropy"):
        # Roundings of the sums; C and the entropy of retrieval are small differences.
        np.testing.assert_allclose(getattr(low, field), getattr(high, field), atol=1e-6, err_msg=field)


@pytest.mark.parametrize("phase, load, temperature", [
    (T.Retrieval(), 0.14, 0.0), (T.Retrieval(), 0.05, 0.6), (T.Retrieval(), 0.01, 1.0), (T.Mixture(3), 0.04, 0.0),
    (T.SpinGlass(), 0.01, 1.2), (T.Paramagnet(), 0.1, 0.9),
    pytest.param(T.Mixture(2), 0.01, 0.0, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_phase_that_does_not_exist_is_not_replaced(phase, load, temperature, x64):
    state = T.replica_state(load, temperature, phase=phase, throw=False)
    assert state.result == hj.RESULTS.no_phase
    assert np.isnan(state.overlap) and np.isnan(state.free_energy)


def test_failures_are_raised_or_said(x64):
    with pytest.raises(eqx.EquinoxRuntimeError, match="does not exist at this load"):
        T.replica_state(0.14, 0.0)
    outside = jax.jit(lambda load: T.replica_state(load, 1.2, phase=T.Paramagnet(), throw=False))(-0.1)
    assert outside.result == hj.RESULTS.invalid_parameter and np.isnan(outside.overlap)


def test_states_are_found_up_to_the_fold(x64):
    top = float(T.phase_lines(0.3).retrieval)
    overlaps = np.array([float(T.replica_state(top * (1 - d), 0.3).overlap) for d in (1e-1, 1e-3, 1e-6, 1e-9, 0)])
    assert np.all(np.diff(overlaps) < 0)
    # m − m_c goes as the square root of the distance.
    np.testing.assert_allclose((overlaps[1] - overlaps[4]) / (overlaps[2] - overlaps[4]), 10**1.5, rtol=0.05)
    assert T.replica_state(top * (1 + 1e-9), 0.3, throw=False).result == hj.RESULTS.no_phase


def line(name: str, temperatures) -> np.ndarray:
    return np.array([float(getattr(T.phase_lines(float(t)), name)) for t in temperatures])


def test_lines_have_their_published_numbers(x64):
    retrieval = line("retrieval", [0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.999])
    np.testing.assert_allclose(retrieval[0], 0.1379055665, atol=6e-11)
    expected = [0.138186, 0.137794, 0.135049, 0.122559, 0.103330, 0.058816, 0.022322]
    np.testing.assert_allclose(retrieval[1:8], expected, atol=6e-7)
    cold, warm = line("equilibrium", [0, 0.999])
    np.testing.assert_allclose(cold, 0.0518543, atol=6e-8)
    # Towards T = 1: T_M = 1 − 1.95√α and T_c = 1 − 2.6√α, Amit, Gutfreund and Sompolinsky (1987).
    np.testing.assert_allclose(1e-3 / np.sqrt([retrieval[8], warm]), [1.95, 2.6], atol=6e-3)
    above = T.phase_lines(1.5)
    np.testing.assert_allclose([line("mixture", [0])[0], above.spin_glass], [0.03, 0.25], atol=2e-4)
    assert np.isnan(above.retrieval) and np.isnan(above.equilibrium) and np.isnan(above.mixture)


@pytest.mark.slow
def test_slopes_of_the_lines_are_those_of_differences(x64):
    slopes = jax.jit(lambda t: jax.jvp(T.phase_lines, (t,), (jnp.ones_like(t),))[1])
    step, around = 1e-4, np.array([0.1, 0.3, 0.7])
    for name in ("retrieval", "equilibrium"):
        by_differences = (line(name, around + step) - line(name, around - step)) / (2 * step)
        slope = np.array([float(getattr(slopes(jnp.asarray(t)), name)) for t in around])
        # Second differences are below 10 × step², the lines' rounding 1e-15/step.
        np.testing.assert_allclose(slope, by_differences, atol=1e-7, err_msg=name)
        first, second, third = line(name, step * np.arange(3))
        one_sided = (4 * second - third - 3 * first) / (2 * step)  # wrong by a third derivative times step²
        np.testing.assert_allclose(getattr(slopes(jnp.asarray(0.0)), name), one_sided, atol=3e-6, err_msg=name)


def test_on_the_lines_the_states_are_equal_marginal_or_parting(x64):
    at = T.phase_lines(0.2)
    both = [T.replica_state(at.equilibrium, 0.2, phase=p).free_energy for p in (T.Retrieval(), T.SpinGlass())]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-14)
    assert T.replica_state(at.mixture, 0.2, phase=T.Mixture(3)).pattern_stability > 0.1  # this one is the fold
    parting = T.phase_lines(0.4).mixture
    assert abs(T.replica_state(parting, 0.4, phase=T.Mixture(3)).pattern_stability) < 1e-12
    # Where the noises are unequal, β⟨sech⁴βh⟩ = (2/3)β⟨sech²βh⟩, up to the square of their ratio.
    state = T.replica_state(T.phase_lines(1e-3).replica_symmetry, 1e-3)
    load, c = fields(state, "load", "susceptibility")
    np.testing.assert_allclose(2 / 3 * load * c / (1 - c) ** 2, 1e-3, rtol=1e-4)
    assert abs(state.replica_stability) < 1e-10


def test_mixtures_of_three_part_at_their_temperature_at_load_zero(x64):
    root, three, one = 0.45979, 1.0, 1.0  # where β(1 − q + Q) = 1, in Curie–Weiss theory
    for _ in range(2000):
        m = (three + one) / 4
        three, one = math.tanh(3 * m / root), math.tanh(m / root)
    held = 1 - (1 - (three**2 + 3 * one**2) / 4 + (three**2 - one**2) / 4) / root
    assert abs(held) < 2e-5
    stability = [T.replica_state(1e-9, t, phase=T.Mixture(3)).pattern_stability for t in (root - 1e-4, root + 1e-4)]
    assert stability[0] > 0 > stability[1]


@pytest.mark.slow
def test_the_followed_branch_turns_where_the_line_and_the_signal_to_noise_analysis_say(x64):
    branch = T.replica_branch(0.2)
    assert branch.at_bound and branch.num_folds == 1
    top = T.phase_lines(0.2).retrieval
    np.testing.assert_allclose(branch.folds.parameter[0], top, rtol=1e-12)
    for t in (0.2, 0.999):  # other averages, of another program
        found = T.critical_load(hj.Glauber(beta=1 / t)).load
        np.testing.assert_allclose(found, T.phase_lines(t).retrieval, rtol=1e-9)
    state = T.replica_state(float(branch.parameter[3]), 0.2)
    np.testing.assert_allclose(state.overlap, branch.state[3, 0], rtol=1e-12)


def test_diagram_is_made_of_states_and_lines(x64):
    loads, temperatures = jnp.array([0.01, 0.0525, 0.0535, 0.12, 0.2]), jnp.array([0.1, 0.3, 1.2])
    diagram = T.phase_diagram(loads, temperatures)
    np.testing.assert_array_equal(diagram.region, [[3, 3, 2, 2, 1], [3, 2, 2, 1, 1], [0, 1, 1, 1, 1]])
    for i, j in [(0, 0), (0, 3), (1, 2)]:
        state = T.replica_state(loads[j], temperatures[i])
        glass = T.replica_state(loads[j], temperatures[i], phase=T.SpinGlass())
        np.testing.assert_allclose(diagram.overlap[i, j], state.overlap, rtol=1e-13)
        np.testing.assert_allclose(diagram.free_energy[i, j], state.free_energy, rtol=1e-13)
        np.testing.assert_allclose(diagram.glass_free_energy[i, j], glass.free_energy, rtol=1e-13)
    assert np.isnan(diagram.overlap[1, 3]) and np.isnan(diagram.paramagnet_free_energy[0, 0])
    assert np.isfinite(diagram.paramagnet_free_energy[2, 4]) and "shares" in str(diagram)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: T.replica_state(0.0, 0.1), "`load`: expected finite and positive"),
        (lambda: T.replica_state(0.1, -0.1), "`temperature`: expected finite and not negative"),
        (lambda: T.Mixture(0), "`Mixture.num_condensed`: expected a whole number"),
        (lambda: T.phase_lines(0.1, mixture=T.Retrieval()), "`mixture`: expected a `Mixture"),
        (lambda: T.replica_branch(0.1, phase=T.SpinGlass()), "`phase`: expected a phase with an overlap"),
        (lambda: T.phase_diagram(jnp.array([0.1, -0.1]), jnp.ones(2)), "`loads`: expected finite and positive"),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_traced_numbers_outside_their_domain_are_no_phase():
    diagram = jax.jit(T.phase_diagram)(jnp.array([-0.1, np.nan, 0.05]), jnp.array([0.1, -0.5]))
    np.testing.assert_array_equal(diagram.region, [[-1, -1, 3], [-1, -1, -1]])


def test_a_phase_that_does_not_exist_has_no_branch():
    branch = T.replica_branch(0.95, throw=False)  # retrieval ends below the load 0.01
    assert branch.result == hj.RESULTS.no_phase and branch.count == 0 and np.all(np.isnan(branch.parameter))


@pytest.mark.slow
def test_the_line_of_mixtures_has_the_same_slope_in_both_modes(x64):
    """It is their fold at low temperatures and a parting above."""
    line = lambda t: T.phase_lines(t).mixture  # noqa: E731
    t = jnp.array([0.1, 0.3, 0.4])
    forward = jax.jvp(jax.vmap(line), (t,), (jnp.ones_like(t),))[1]
    np.testing.assert_allclose(jax.vmap(jax.grad(line))(t), forward, rtol=1e-9)
