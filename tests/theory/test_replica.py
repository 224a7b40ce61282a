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
    loads = jnp.array([0.05, 0.08, 0.10, 0.12, 0.13])
    states = jax.vmap(lambda load: T.replica_state(load, 0.0, throw=False))(loads)
    expected = [0.99999223, 0.99955738, 0.99799927, 0.99322273, 0.98721189]
    np.testing.assert_allclose(states.overlap, expected, atol=6e-9)
    for load, m, r in zip(loads, states.overlap, states.noise, strict=True):
        y = m / math.sqrt(2 * load * r)
        np.testing.assert_allclose(m, math.erf(y), rtol=1e-13)
        closed = math.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-y * y)
        np.testing.assert_allclose(math.sqrt(2 * load), closed, rtol=1e-12)
    np.testing.assert_allclose(states.free_energy, states.energy, rtol=1e-15)
    np.testing.assert_allclose(states.energy, -(states.overlap**2) / 2 + loads * (1 - states.noise) / 2, rtol=1e-12)
    assert np.all(states.entropy < 0) and np.all(states.replica_stability == -np.inf)


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


@pytest.mark.parametrize("phase, load, temperature", [
    ("retrieval", 0.09, 0.3), ("retrieval", 0.1, 0.0), ("mixture", 0.012, 0.1), ("glass", 0.1, 0.4),
])  # fmt: skip
def test_slopes_of_the_free_energy_are_entropy_and_crosstalk(phase, load, temperature):
    def free(load, temperature):
        state = T.replica_state(load, temperature, phase=PHASES[phase][0], throw=False)
        return state.free_energy, state

    with enable_x64():
        slopes, state = jax.jit(jax.grad(free, argnums=(0, 1), has_aux=True))(load, temperature)
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
    for name, load in (("retrieval", 0.1), ("glass", 0.1)):
        phase = PHASES[name][0]
        low = T.replica_state(load, 0.15, phase=phase)
        with enable_x64():
            high = T.replica_state(load, 0.15, phase=phase)
        for field in ("overlap", "correlation", "susceptibility", "free_energy", "entropy"):
            # Roundings of the sums; C and the entropy of retrieval are small differences.
            np.testing.assert_allclose(getattr(low, field), getattr(high, field), atol=1e-6, err_msg=f"{name} {field}")


def test_a_phase_that_does_not_exist_is_not_replaced():
    cases = [
        (T.Retrieval(), 0.14, 0.0), (T.Retrieval(), 0.05, 0.6), (T.Retrieval(), 0.01, 1.0), (T.Mixture(3), 0.04, 0.0),
        (T.SpinGlass(), 0.01, 1.2), (T.Paramagnet(), 0.1, 0.9), (T.Mixture(2), 0.01, 0.0),
    ]  # fmt: skip
    for phase, load, temperature in cases:
        state = T.replica_state(load, temperature, phase=phase, throw=False)
        assert state.result == hj.RESULTS.no_phase, (phase, load, temperature)
        assert np.isnan(state.overlap) and np.isnan(state.free_energy)
    with pytest.raises(eqx.EquinoxRuntimeError, match="does not exist at this load"):
        T.replica_state(0.14, 0.0)
    outside = jax.jit(lambda load: T.replica_state(load, 0.2, throw=False))(-0.1)
    assert outside.result == hj.RESULTS.invalid_parameter and np.isnan(outside.overlap)


def test_states_are_found_up_to_the_fold(x64):
    top = T.phase_lines(0.3).retrieval
    below = jnp.asarray([1e-1, 1e-3, 1e-6, 1e-9])
    states = jax.jit(jax.vmap(lambda d: T.replica_state(top * (1 - d), 0.3, throw=False)))(below)
    assert np.all(np.isfinite(states.overlap)) and np.all(np.diff(states.overlap) < 0)
    # m − m_c goes as the square root of the distance.
    gaps = states.overlap[:3] - states.overlap[3]
    np.testing.assert_allclose(gaps[1] / gaps[2], 10**1.5, rtol=0.05)
    assert T.replica_state(top * (1 + 1e-9), 0.3, throw=False).result == hj.RESULTS.no_phase


TEMPERATURES = np.array([0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.999, 1.5])


@pytest.fixture(scope="module")
def lines():
    def with_slopes(t):
        return jax.jvp(lambda t: T.phase_lines(t), (t,), (jnp.ones_like(t),))

    step, around = 1e-4, np.array([0.1, 0.3, 0.7])
    beside = np.concatenate([around - step, around + step, [step, 2 * step]])
    with enable_x64():
        found = jax.jit(jax.vmap(with_slopes))(jnp.asarray(np.concatenate([TEMPERATURES, beside])))
        values, slopes = jax.tree.map(np.asarray, found)
    first, rest = (jax.tree.map(lambda x, c=cut: x[c], values) for cut in (slice(10), slice(10, None)))
    return first, slopes, rest, step


def test_lines_have_their_published_numbers(lines):
    values, *_ = lines
    np.testing.assert_allclose(values.retrieval[0], 0.1379055665, atol=6e-11)
    expected = [0.138186, 0.137794, 0.135049, 0.122559, 0.103330, 0.058816, 0.022322]
    np.testing.assert_allclose(values.retrieval[1:8], expected, atol=6e-7)
    np.testing.assert_allclose(values.equilibrium[0], 0.0518543, atol=6e-8)
    # Towards T = 1: T_M = 1 − 1.95√α and T_c = 1 − 2.6√α, Amit, Gutfreund and Sompolinsky (1987).
    slopes = 1e-3 / np.sqrt([values.retrieval[8], values.equilibrium[8]])
    np.testing.assert_allclose(slopes, [1.95, 2.6], atol=6e-3)
    np.testing.assert_allclose(values.mixture[0], 0.03, atol=2e-4)
    np.testing.assert_allclose(values.spin_glass[-2:], [0, 0.25], atol=1e-15)
    assert np.all(np.isnan(values.retrieval[-1:])) and np.all(np.isnan(values.mixture[6:]))


def test_slopes_of_the_lines_are_those_of_differences(lines):
    values, slopes, near, step = lines
    for name in ("retrieval", "equilibrium"):
        slope, line = np.asarray(getattr(slopes, name)), np.asarray(getattr(near, name))
        # Second differences are below 10 × step², the lines' rounding 1e-15/step.
        np.testing.assert_allclose(slope[[3, 5, 7]], (line[3:6] - line[:3]) / (2 * step), atol=1e-7, err_msg=name)
        start = float(getattr(values, name)[0])
        one_sided = (4 * line[6] - line[7] - 3 * start) / (2 * step)
        np.testing.assert_allclose(slope[0], one_sided, atol=3e-6, err_msg=name)  # at T = 0, third derivatives × step²


def test_on_the_lines_the_states_are_equal_marginal_or_parting(x64):
    at = T.phase_lines(0.2)
    both = [T.replica_state(at.equilibrium, 0.2, phase=p).free_energy for p in (T.Retrieval(), T.SpinGlass())]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-14)
    assert T.replica_state(at.mixture, 0.2, phase=T.Mixture(3)).pattern_stability > 0.1  # this one is the fold
    parting = T.phase_lines(0.4).mixture
    assert abs(T.replica_state(parting, 0.4, phase=T.Mixture(3)).pattern_stability) < 1e-12
    # At small T the line is T = √(8α/9π) e^{−1/2α}, up to a relative correction of order e^{−1/2α}/√α.
    cold = T.phase_lines(1e-3).replica_symmetry
    np.testing.assert_allclose(math.sqrt(8 * cold / 9 / math.pi) * math.exp(-0.5 / cold), 1e-3, rtol=0.15)
    state = T.replica_state(cold, 1e-3)
    assert abs(state.replica_stability) < 1e-10


def test_mixtures_of_three_part_at_their_temperature_at_load_zero(x64):
    m, root = 0.4, 0.45979  # where β(1 − q + Q) = 1, in Curie–Weiss theory
    for _ in range(2000):
        three, one = math.tanh(3 * m / root), math.tanh(m / root)
        m = (three + one) / 4
    held = 1 - (1 - (three**2 + 3 * one**2) / 4 + (three**2 - one**2) / 4) / root
    assert abs(held) < 2e-5
    stability = [T.replica_state(1e-9, t, phase=T.Mixture(3)).pattern_stability for t in (root - 1e-4, root + 1e-4)]
    assert stability[0] > 0 > stability[1]
    assert T.replica_state(1e-8, 0.9, phase=T.Mixture(2)).pattern_stability < 0


@pytest.mark.slow
def test_the_followed_branch_turns_where_the_line_and_the_signal_to_noise_analysis_say(x64):
    branch = T.replica_branch(0.2)
    assert branch.at_bound and branch.num_folds == 1
    top = T.phase_lines(0.2).retrieval
    np.testing.assert_allclose(branch.folds.parameter[0], top, rtol=1e-12)
    np.testing.assert_allclose(T.critical_load(T.Thermal(beta=5.0)).load, top, rtol=1e-9)
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
