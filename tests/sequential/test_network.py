"""Input-driven networks: equations, retrieval, switch times and endings."""

import dataclasses
import re
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import sequential as S
from hopfield_jax.sequential import Ending

ENDLESS = {"t1": 25.0, "max_steps": 4096}


def network(gain: Any = 5.0, **others: Any) -> S.InputDrivenNetwork:
    made = {"patterns": hj.hadamard_patterns(8, 64), "transitions": S.cycle(8), "tau_fast": 0.01}
    return S.InputDrivenNetwork(gain=gain, **made | others)


def retrieve(model: S.InputDrivenNetwork, saliency: Any = None, **others: Any) -> S.results.SequenceRun:
    return S.retrieve_sequence(model, saliency=model.gain if saliency is None else saliency, **ENDLESS | others)


def visits(run: S.results.SequenceRun) -> list[int]:
    return [k for k in run.order.tolist() if k >= 0]


# --- equations ---


def test_the_rates_are_those_of_dense_matrices(key):
    keys = jr.split(key, 5)
    patterns, (x, u) = hj.gaussian_patterns(3, 7, key=keys[0]), jr.normal(keys[1], (2, 7))
    weights = jr.uniform(keys[2], (3, 3))
    shown = S.InputProtocol(jnp.array([0.5, 1.0]), jr.normal(keys[3], (2, 7)))
    model = S.InputDrivenNetwork(patterns, 2.5, weights, hj.LogCosh(1.5), 0.1, 2.0, 0.3, input=shown)
    rate = model.vector_field(0.7, {"fast": x, "slow": u})
    xi, psi = np.asarray(patterns, float), np.tanh(1.5 * np.asarray(x, float))
    synapses = xi.T @ np.diag(xi @ np.asarray(u) / 7) @ xi / 7
    forward = xi.T @ np.asarray(weights) @ xi / 7
    # Products of seven numbers: some ulps of float32.
    np.testing.assert_allclose(rate["fast"], (-x + synapses @ psi + 0.3 * u) / 0.1, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rate["slow"], (-u + 2.5 * forward @ psi + shown.values[0]) / 2, rtol=1e-4, atol=1e-5)


def test_the_energy_at_a_frozen_input_never_rises(key):
    model, keys = network(gain=2.0, units=hj.LogCosh(2.0)), jr.split(key, 2)
    slow = jr.normal(keys[0], (64,))
    frozen = model.frozen(slow)
    x = jr.normal(keys[1], (64,))
    psi, field = np.tanh(2 * np.asarray(x, float)), np.asarray(slow, float)
    xi = np.asarray(model.patterns, float)
    wells = -0.5 * ((xi @ field / 64) * (xi @ psi) ** 2).sum() / 64
    free = (np.asarray(x) * psi - np.log(np.cosh(2 * np.asarray(x, float))) / 2).sum()
    np.testing.assert_allclose(frozen.energy(x), free + wells - 0.01 * field @ psi, rtol=1e-5)
    rates = model.vector_field(0.0, {"fast": x, "slow": slow})
    np.testing.assert_array_equal(rates["fast"], frozen.vector_field(0.0, x))
    path = hj.integrate(
        frozen, x, t1=0.5, saveat=jnp.linspace(0.0, 0.5, 101), statistics=lambda t, y, a: frozen.energy(y)
    )
    fall = np.diff(path.values)
    assert path.values[-1] < path.values[0] - 1 and fall.max() < 1e-5 * abs(path.values[0])  # rounding of a sum of 64


def test_saliencies_decide_between_the_wells():
    patterns = hj.hadamard_patterns(4, 64)
    mixed = 0.6 * patterns[0] + 0.4 * patterns[1]
    synapses = hj.classical.hebbian(patterns, 3 * patterns @ mixed / 64, self_coupling=True)
    driven = hj.classical.GradedEnergyNetwork(synapses, hj.Layer(hj.HardTanh(), input=0.01 * mixed))
    rest = hj.steady_state(driven, mixed).state
    # The deeper well takes it all, x = aξ plus the input; the other memory has lost.
    np.testing.assert_allclose(rest, 1.8 * patterns[0] + 0.01 * mixed, atol=1e-3)
    np.testing.assert_allclose(hj.overlap(patterns, driven.layer.units.activation(rest)), [1, 0, 0, 0], atol=1e-6)


def test_a_protocol_holds_its_inputs_from_their_times_on():
    values = jnp.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
    shown = S.InputProtocol(jnp.array([1.0, 2.0, 5.0]), values)
    for t, row in ((0.0, [0, 0]), (1.0, [1, 2]), (1.99, [1, 2]), (2.0, [3, 4]), (7.0, [0, 0])):
        assert shown(t).tolist() == row


def test_a_cue_shown_for_a_while_starts_the_sequence(x64):
    model = network(3.8, patterns=hj.hadamard_patterns(8, 64), transitions=S.chain(8), tau_fast=0.02)
    times, values = jnp.array([1.0, 1.5]), jnp.stack([20 * model.patterns[2], jnp.zeros(64)])
    run = retrieve(dataclasses.replace(model, input=S.InputProtocol(times, values)), saliency=0.0, t1=12.0)
    assert run.order[:7].tolist() == [0, 2, 3, 4, 5, 6, 7] and run.result == hj.RESULTS.successful
    # While nothing is retrieved the slow state only follows its input, 20(1 − e^{−(t−1)}) up to 1.5, if m stays 0;
    # retrieval of 2 drives 3 and takes nothing from 2.
    at = int(np.argmin(np.abs(np.asarray(run.times) - 1.5)))
    np.testing.assert_allclose(run.saliency[at, 2], 20 * -np.expm1(-(run.times[at] - 1)), rtol=1e-6)
    assert np.all(run.saliency[run.times <= 1, 2] == 0)


# --- sequences ---


def test_settled_periods_and_their_limits():
    # Our measured settled periods, and log Z+ that they tend to for fast neurons and weak input.
    scan = S.scan_gains(network(), jnp.array([4.5, 5.0, 6.0, 3.5]), t1=25.0)
    np.testing.assert_allclose(scan.period[:3], [1.150, 1.310, 1.552], rtol=1e-3)
    np.testing.assert_allclose(scan.period_limit[:3], [1.0986, 1.2859, 1.5544], rtol=1e-4)
    assert scan.collapsed.tolist() == [False] * 3 + [True] and np.isnan(scan.period[3])
    single = retrieve(network())
    # On another time grid: a tolerance of 1e-5 a step, amplified a hundredfold by the growth from the input of 1 %.
    np.testing.assert_allclose(single.period, scan.period[1], rtol=1e-3)
    slower = retrieve(network(3.5, tau_fast=0.05), saliency=3.5)
    assert slower.ending == Ending.running and not slower.collapsed
    assert "from gain 4.5 on" in str(scan) and "last dwell time 1.31" in str(single)


@pytest.mark.slow
def test_each_switch_is_where_the_overlaps_cross(x64):
    model = network()
    run = retrieve(model, t1=4.0, stepsize_controller=dfx.PIDController(1e-10, 1e-11), max_steps=16384)
    for i, t in enumerate(run.switch_times[:2]):
        there = hj.integrate(
            model, model.begin(0, saliency=5.0), t1=t, stepsize_controller=dfx.PIDController(1e-10, 1e-11)
        ).final
        overlap, rate = jax.jvp(model.overlap, (there,), (model.vector_field(t, there),))
        assert rate[i + 1] > 1  # within the switch overlaps change at rates of 1/τ_f
        assert abs((overlap[i + 1] - overlap[i]) / (rate[i + 1] - rate[i])) < 1e-6  # cubic between steps of 1e-3
        np.testing.assert_allclose(model.saliency(there), run.switch_saliency[i], atol=1e-5)


def test_exact_dwells_change_nothing_but_the_cost(x64):
    for gain in (3.5, 5.0):
        steps, exact = retrieve(network(gain), t1=8.0), retrieve(network(gain), t1=8.0, solver=S.ExactDwell())
        assert exact.num_steps < 0.75 * steps.num_steps and exact.order.tolist() == steps.order.tolist()
        # Tolerance 1e-8 a step, amplified by the growth from the input's 1 % to a memory and summed over the dwells.
        np.testing.assert_allclose(exact.switch_times, steps.switch_times, atol=1e-5)
        np.testing.assert_allclose(exact.saliency, steps.saliency, atol=1e-4)
        np.testing.assert_allclose(exact.overlap, steps.overlap, atol=0.05)  # interpolated through the unit's edge


@pytest.mark.parametrize("model, options, match", [
    (network(units=hj.LogCosh()), {}, "`solver`: expected another solver for units that do not saturate"),
    (network(noise_fast=0.1), {"key": jr.key(0)}, "`solver`: expected another solver with noise"),
    (network(), {"stepsize_controller": dfx.PIDController(1e-5, 1e-5)}, "`stepsize_controller`: expected none"),
    (network(input=S.InputProtocol(jnp.zeros(1), jnp.zeros((1, 64)))), {}, "`solver`: expected another solver for a"),
])  # fmt: skip
def test_exact_dwells_need_their_equations(model, options, match):
    with pytest.raises(ValueError, match=match):
        retrieve(model, solver=S.ExactDwell(), **options)


def test_the_collapse_is_when_the_overlap_falls_below_the_level(x64):
    loose = retrieve(network(2.5, tau_fast=0.05), saliency=1.5, t1=4.0)
    tight = retrieve(
        network(2.5, tau_fast=0.05), saliency=1.5, t1=4.0,
        stepsize_controller=dfx.PIDController(1e-8, 1e-9, dtmax=1e-3), max_steps=8192,
    )  # fmt: skip
    assert loose.collapsed and loose.num_steps < 1000 < tight.num_steps
    np.testing.assert_allclose(loose.collapse_time, tight.collapse_time, atol=1e-4)  # a cubic in steps of 0.1


def test_a_drive_of_its_own_holds_a_memory_only_where_nothing_else_takes_over():
    fed = S.cycle(8) + 0.2 * jnp.eye(8)  # κQ_μμ = 1, but the input coupling lets it leave at 1.04
    run = retrieve(network(transitions=fed), t1=25.0)
    assert run.ending == Ending.running and run.num_transitions > 3
    weak = S.transition_matrix(8, [(0, 0, 0.12), (0, 1, 0.01)])  # 0.6, above the escape level of steeper units
    assert retrieve(network(transitions=weak, units=hj.HardTanh(2.0)), t1=25.0).ending == Ending.no_escape


def test_chance_is_told_even_where_retrieval_goes_on():
    both = S.transition_matrix(8, [(0, 1), (0, 2), (1, 3), (2, 4), (3, 0), (4, 0)])
    run = retrieve(network(transitions=both))
    assert run.chance and run.ending == Ending.running and run.num_transitions > 5
    assert not retrieve(network()).chance


def test_noise_and_input_go_together():
    model = network(transitions=S.chain(8), tau_fast=0.02, noise_fast=0.02)
    times, values = jnp.array([1.0, 1.5]), jnp.stack([20 * model.patterns[2], jnp.zeros(64)])
    run = retrieve(
        dataclasses.replace(model, input=S.InputProtocol(times, values)), 0.0, t1=6.0, key=jr.key(0), max_steps=8192
    )
    assert run.order[:4].tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("why, order, options, saliency", [
    ("running", [0, 1, 2, 3], {}, 5.0),
    ("collapse", [0, 1, 2, 3], {"gain": 3.5}, 3.5),
    ("end_of_chain", list(range(8)), {"transitions": S.chain(8)}, 5.0),
    ("decayed_at_start", [0], {}, 0.9),
    ("decayed_at_start", [0], {}, -5.0),
    ("no_escape", [0], {"transitions": S.transition_matrix(8, [(0, 0, 0.3), (0, 1)])}, 5.0),
    ("not_nucleated", [0], {"input_coupling": 0.0}, 5.0),
    ("tie", [0], {"transitions": S.transition_matrix(8, [(0, 1), (0, 2), (1, 3), (2, 3)])}, 5.0),
])  # fmt: skip
def test_the_ending_says_why(why, order, options, saliency):
    run = retrieve(network(**options), saliency=saliency, t1=20.0)
    assert run.ending == getattr(Ending, why), str(run)
    assert visits(run)[: len(order)] == order and Ending[run.ending] in str(run)
    assert bool(run.collapsed) is (why not in ("running", "no_escape"))
    assert bool(np.isfinite(run.collapse_time)) is bool(run.collapsed)
    assert bool(np.isfinite(run.period)) is (why == "running")
    assert run.result == hj.RESULTS.successful and run.num_correct <= run.num_transitions


def test_the_stronger_branch_wins_and_cycles_stay_apart():
    edges = [(0, 1, 0.9), (0, 2), (2, 4), (4, 0), (5, 6), (6, 7), (7, 5)]
    model = network(transitions=S.transition_matrix(8, edges))
    assert visits(retrieve(model, t1=20.0))[:6] == [0, 2, 4, 0, 2, 4]
    assert visits(retrieve(model, start=6, t1=20.0))[:5] == [6, 7, 5, 6, 7]


def test_the_map_with_the_measured_delay_predicts_switches():
    delay = S.measure_delay(network(), jnp.linspace(3.4, 6.0, 14), t1=20.0, solver=S.ExactDwell())
    branch = S.transition_matrix(8, [(0, 1, 0.8), (0, 2), (2, 3), (3, 4), (4, 0)])
    for transitions in (branch, S.chain(8)):
        model = network(transitions=transitions)
        run = retrieve(model, t1=20.0)
        predicted = S.follow_transitions(transitions, 5.0, 5.0, start=0, delay=delay)
        n = int(run.num_transitions)
        assert visits(run) == predicted.order[: n + 1].tolist()
        # The first dwell starts without the remains that nucleate later ones. A dwell is otherwise off by up to 0.01,
        # and 0.017 where a second branch pulls as well, so that the memory is left earlier.
        np.testing.assert_allclose(run.dwell_times[1:n], predicted.dwell_times[1:n], atol=0.02)
        np.testing.assert_allclose(run.switch_times[:n], predicted.switch_times[:n], rtol=0.012)
    assert run.ending == predicted.ending == Ending.end_of_chain
    np.testing.assert_allclose(run.collapse_time, predicted.end_time, rtol=0.015)  # the fall takes some τ_f as well
    with pytest.raises(ValueError, match="`network`: expected orthogonal patterns"):
        S.measure_delay(network(patterns=hj.random_patterns(8, 64, key=jr.key(0))), jnp.ones(1), t1=1.0)


def test_room_that_is_short_is_a_code():
    full = retrieve(network(), max_transitions=3, throw=False)
    assert full.result == hj.RESULTS.no_room and visits(full) == [0, 1, 2, 3] and full.num_transitions == 3
    with pytest.raises(Exception, match="no room left"):
        retrieve(network(), max_transitions=3)
    short = retrieve(network(), max_steps=64, throw=False)
    assert short.result != hj.RESULTS.successful and np.isnan(short.period)


def test_an_early_end_tells_the_same_story():
    whole, cut = retrieve(network(3.5)), retrieve(network(3.5), until_collapse=True)
    assert cut.collapsed and cut.num_steps < whole.num_steps and cut.ending == whole.ending
    np.testing.assert_allclose(cut.switch_times, whole.switch_times, rtol=1e-6)
    np.testing.assert_allclose(cut.collapse_time, whole.collapse_time, rtol=1e-5)
    assert np.isnan(cut.overlap[-1, 0]) and np.isfinite(whole.overlap[-1, 0])


# --- noise ---


def test_noise_alone_nucleates_either_sign_and_comes_from_the_key():
    model = network(tau_fast=0.02, input_coupling=0.0, noise_fast=0.05)
    options = {"t1": 2.5, "throw": False, "max_steps": 4096}
    run = jax.vmap(lambda key: S.retrieve_sequence(model, saliency=5.0, key=key, **options))(jr.split(jr.key(1), 64))
    assert np.all(np.asarray(run.result == hj.RESULTS.successful))
    positive = int(np.sum(np.asarray(run.sign[:, 1]) > 0))
    assert np.all(run.num_transitions >= 1) and 16 <= positive <= 48  # 32 ± 4, four standard deviations
    wrong = np.asarray(jax.vmap(lambda e: e == Ending.wrong_sign)(run.ending))
    assert np.array_equal(wrong, np.any(np.asarray(run.sign) < 0, axis=1)) and not np.any(run.num_correct[wrong] > 0)
    again = S.retrieve_sequence(model, saliency=5.0, key=jr.split(jr.key(1), 64)[3], **options)
    np.testing.assert_allclose(again.switch_times, run.switch_times[3], rtol=1e-6)


def test_free_units_have_the_variance_that_was_asked_for():
    # One pattern without saliency: x and u are Ornstein–Uhlenbeck processes. Euler steps h make variances
    # 1/(1 − h/2τ) times too large; 2048 neurons leave 3.1 % of error in a variance.
    model = S.InputDrivenNetwork(
        hj.hadamard_patterns(1, 2048), 1.0, jnp.zeros((1, 1)), tau_fast=0.5, noise_fast=0.3, noise_slow=0.2,
        input_coupling=0.0,
    )  # fmt: skip
    run = S.retrieve_sequence(model, saliency=0.0, t1=20.0, key=jr.key(2), dt0=0.25)
    end = run.final
    np.testing.assert_allclose(np.var(end["fast"]), 0.09 / (1 - 0.25), rtol=0.1)
    np.testing.assert_allclose(np.var(end["slow"]), 0.04 / (1 - 0.125), rtol=0.1)
    # The two halves of the path are different and independent: 100 increments each, so 0.1 of error.
    steps = np.diff(run.saliency[:, 0])  # kept every 0.1, so that two or three share a step: more error
    assert abs(np.corrcoef(steps[:100], steps[100:])[0, 1]) < 0.4


# --- thresholds ---


def test_the_critical_gain_of_the_network():
    coarse = S.find_critical_gain(network(tau_fast=0.05), t1=30.0, lower=2.5, upper=4.0, num_iterations=7)
    # Bisected to 2e-4 with t1 = 60: 3.0976. Here n = 45 transitions of 0.67 make it up to κ(π/n)² = 0.015 lower.
    assert 3.07 < coarse.lower < coarse.upper < 3.12 and coarse.upper - coarse.lower < 0.013
    assert coarse.probability.tolist() == [0, 1] and coarse.value_error == 0 and "3.0" in str(coarse)
    with pytest.raises(RuntimeError, match="threshold of a predicate has no gradient"):
        jax.grad(lambda tau: S.find_critical_gain(network(tau_fast=tau), t1=30.0, max_steps=64).value)(0.05)


def test_a_critical_gain_with_noise_has_the_error_that_its_seeds_show():
    small = {"patterns": hj.hadamard_patterns(4, 16), "transitions": S.cycle(4)}
    noisy = network(tau_fast=0.05, noise_slow=0.05, input_coupling=0.05, **small)
    options = {"lower": 2.0, "upper": 4.0, "num_iterations": 8, "dt0": 0.02}
    found = [S.find_critical_gain(noisy, t1=8.0, num_trials=8, key=jr.key(i), **options) for i in range(8)]
    value, error = (np.array([getattr(one, name) for one in found]) for name in ("value", "value_error"))
    # The spread of eight values is known to a quarter, and so is their mean error.
    assert 0.5 < np.sqrt(np.mean(error**2)) / np.std(value, ddof=1) < 2
    assert np.all(error >= 0.5 * (found[0].upper - found[0].lower) - 1e-6)
    for one in found:
        below, above = one.probability
        assert below < 0.5 <= above
        for p, got in zip(one.probability, one.probability_error, strict=True):  # Wilson's half width
            np.testing.assert_allclose(got, np.sqrt(p * (1 - p) / 8 + 1 / 256) / (1 + 1 / 8), rtol=1e-5)
        assert re.search(r"\d ± 0\.\d+, bracket of the search \[.*\], at whose ends 0\.\d\d+ ± 0\.\d\d+ and", str(one))
    one = S.find_critical_gain(noisy, t1=8.0, key=jr.key(0), **options)
    assert np.isnan(one.value_error) and "±" not in str(one).splitlines()[1]


def test_the_measured_delay_predicts_the_threshold():
    delay = S.measure_delay(network(), jnp.linspace(3.0, 4.5, 16), t1=20.0, solver=S.ExactDwell())
    # Bisected with t1 = 60: 3.707 (ε = input coupling = 0.01, P = 8).
    np.testing.assert_allclose(S.critical_gain(8, delay=delay), 3.707, rtol=5e-3)
    assert 1 < delay.lower < 1.5 and delay.largest_error < 0.06
    known = np.isfinite(delay.delay)
    middle = known & (np.asarray(delay.saliency) > 1.6)
    np.testing.assert_allclose(delay(delay.saliency[middle]), delay.delay[middle], atol=5e-3)
    # At ε = 0.05 delays are too long for the picture: no fold where they were measured, and no number.
    late = S.measure_delay(network(tau_fast=0.05), jnp.linspace(3.0, 4.5, 16), t1=20.0, solver=S.ExactDwell())
    assert np.isnan(S.critical_gain(8, delay=late))
    with pytest.raises(Exception, match="could not be decided"):  # one point makes no curve
        S.measure_delay(network(), jnp.array([5.0]), t1=5.0, solver=S.ExactDwell())
    with pytest.raises(ValueError, match="`saliency`: expected no such option"):
        S.measure_delay(network(), jnp.array([5.0]), t1=5.0, saliency=3.0)


# --- derivatives, transformations, learning ---


def third_switch(gain, **options):
    tight = {"stepsize_controller": dfx.PIDController(1e-10, 1e-11), "max_steps": 8192}
    run = retrieve(network(gain, tau_fast=0.02), saliency=4.0, t1=4.0, throw=False, **tight | options)
    return run.switch_times[2]


EXACT = {"solver": S.ExactDwell(1e-10, 1e-11), "stepsize_controller": None}


def test_switch_times_have_right_derivatives(x64):
    h = 1e-3
    slope = (third_switch(4.5 + h, **EXACT) - third_switch(4.5 - h, **EXACT)) / (2 * h)
    np.testing.assert_allclose(jax.grad(lambda g: third_switch(g, **EXACT))(4.5), slope, rtol=1e-4)  # h² and rounding


@pytest.mark.slow
def test_derivatives_do_not_depend_on_mode_and_solver(x64):
    slope = jax.grad(third_switch)(4.5)
    # The derivative of adaptive steps has an error where a step crosses the kink of a unit, which does not vanish with
    # the tolerance: 0.1 to 1.2 % here, by rounding alone.
    np.testing.assert_allclose(jax.grad(lambda g: third_switch(g, **EXACT))(4.5), slope, rtol=2e-2)
    forward = jax.jvp(lambda g: third_switch(g, adjoint=dfx.ForwardMode()), (4.5,), (1.0,))[1]
    np.testing.assert_allclose(forward, slope, rtol=1e-9)  # the same steps


def test_numbers_alone_do_not_compile_again():
    traces = []

    @jax.jit
    def period(gain, saliency, tau):
        traces.append(1)
        return retrieve(network(gain, tau_fast=tau), saliency=saliency, throw=False).period

    for gain, saliency, tau in ((4.5, 4.0, 0.02), (5.0, 5.0, 0.025), (5.5, 3.0, 0.03)):
        once = period(gain, saliency, tau)
        plain = retrieve(network(gain, tau_fast=tau), saliency=saliency).period
        # Adaptive steps carry rounding on: with a tenth of the tolerance the period moves by up to 2.1e-4, and two
        # compilations of one program, with and without XLA's optimisations, differ by up to 2.6e-4.
        np.testing.assert_allclose(once, plain, rtol=5e-4)
    assert len(traces) == 1


def test_saliencies_have_derivatives_where_room_was_left(x64):
    def grown(gain):
        run = retrieve(network(gain, tau_fast=0.02), saliency=4.0, t1=4.0, throw=False)
        return run.switch_saliency[1, 2] + run.saliency[100, 1]

    h = 1e-3
    slope = (grown(4.5 + h) - grown(4.5 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(grown)(4.5), slope, rtol=5e-3)  # tolerance 1e-8 in times, 100 fold, over h


def test_learned_transitions_replay_what_was_shown():
    patterns, order = hj.hadamard_patterns(8, 64), [3, 0, 5, 1, 7, 2, 6, 4]
    shown = jnp.repeat(patterns[jnp.array(order * 2)], 20, axis=0)
    learned = S.learn_transitions(patterns, shown, dt=0.05, tau_trace=0.2)
    weights = np.asarray(learned)
    for source, target in zip(order, order[1:] + order[:1], strict=True):
        np.testing.assert_allclose(weights[target, source], 1, rtol=1e-6)
    others = np.sort(weights, axis=0)[:-1]
    np.testing.assert_allclose(others.max(), np.exp(-1 / 0.2), rtol=0.2)  # what the trace keeps through a dwell of 1
    run = retrieve(network(transitions=learned), start=3, t1=20.0)
    assert visits(run)[:10] == (order * 2)[:10] and run.ending == Ending.running


def test_asymmetric_hebb_by_hand(x64):
    # One of two memories for a time D, then the other: Q grows from 0 to 1 by ∫ r_0 with r_0 = (1 − e^{−D/τ})e^{−t/τ}
    # and from 1 to 0 not at all; without a third nothing else.
    patterns, d, tau = hj.hadamard_patterns(2, 4), 1.0, 0.3
    weights = []
    for first in (1, 3):  # the second is shown for 1 or 3 times as long
        shown = jnp.repeat(patterns[jnp.array([0, 1, 0])], jnp.array([100, 100 * first, 5]), axis=0)
        weights.append(S.learn_transitions(patterns, shown, dt=d / 100, tau_trace=tau))
    # Antisymmetric: the short return to 0 takes from the same entry, which stays positive.
    for got in weights:
        np.testing.assert_allclose(got, [[0, 0], [1, 0]], rtol=1e-12)


# --- bad input ---


@pytest.mark.parametrize("change, match", [
    ({"transitions": S.cycle(4)}, r"`InputDrivenNetwork.transitions`: expected shape \(8, 8\)"),
    ({"transitions": -S.cycle(8)}, "`InputDrivenNetwork.transitions`: expected finite and not negative"),
    ({"patterns": (hj.hadamard_patterns(8, 64) + 1) / 2}, "`InputDrivenNetwork.patterns`: expected signs ±1"),
    ({"gain": 0.0}, "`InputDrivenNetwork.gain`: expected finite and positive"),
    ({"tau_fast": -1.0}, "`InputDrivenNetwork.tau_fast`"),
    ({"tau_slow": 0.0}, "`InputDrivenNetwork.tau_slow`"),
    ({"input_coupling": -0.1}, "`InputDrivenNetwork.input_coupling`"),
    ({"noise_slow": np.inf}, "`InputDrivenNetwork.noise_slow`"),
    ({"input": S.InputProtocol(jnp.zeros(1), jnp.ones((1, 3)))}, "`InputDrivenNetwork.input`: expected inputs to 64"),
])  # fmt: skip
def test_networks_that_make_no_sense_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        network(**change)


@pytest.mark.parametrize("options, match", [
    ({"start": 8}, "`start`: expected a memory from 0 to 7, got 8"),
    ({"start": jnp.array(-1)}, "`start`: expected a memory from 0 to 7, got -1"),
    ({"saliency": np.nan}, "`saliency`: expected finite numbers"),
    ({"t1": -1.0}, "`t1`: expected finite and positive"),
    ({"level": 2.0}, "`level`: expected within"),
    ({"saveat": jnp.array([0.5, 2.0])}, "`saveat`: expected times between 0 and t1 = 1"),
    ({"saveat": jnp.array([0.5, 0.5])}, "`saveat`: expected strictly increasing"),
    ({"max_transitions": 0}, "`max_transitions`: expected a whole number of at least 1"),
])  # fmt: skip
def test_runs_that_make_no_sense_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        S.retrieve_sequence(network(), **{"saliency": 5.0, "t1": 1.0} | options)


def test_noise_needs_a_key_and_traced_nonsense_gives_nan():
    with pytest.raises(ValueError, match="`key`: expected a key"):
        retrieve(network(noise_fast=0.1))
    with pytest.raises(ValueError, match="`key`: expected a key"):
        S.scan_gains(network(noise_slow=0.1), jnp.array([5.0]), t1=1.0)
    with pytest.raises(ValueError, match="`InputProtocol.times`: expected strictly increasing"):
        S.InputProtocol(jnp.array([1.0, 1.0]), jnp.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"`gains`: expected at least one, got shape \(0,\)"):
        S.scan_gains(network(), jnp.zeros((0,)), t1=1.0)
    with pytest.raises(ValueError, match="`dt`: expected finite and positive"):
        S.learn_transitions(hj.hadamard_patterns(2, 4), jnp.ones((3, 4)), dt=0.0, tau_trace=1.0)

    @jax.jit
    def traced(gain=5.0, noise=0.0, start=0, level=0.5, margin=0.1, last=20.0):
        options = {"start": start, "level": level, "margin": margin, "saveat": jnp.stack([0.0, last])}
        return retrieve(network(gain, noise_fast=noise), saliency=5.0, throw=False, **options)

    assert traced().result == hj.RESULTS.successful and traced().order[1] == 1
    for wrong in ({"gain": -1.0}, {"noise": 0.1}, {"start": 8}, {"level": np.nan}, {"margin": -3.0}, {"last": 99.0}):
        run = traced(**wrong)
        assert run.result == hj.RESULTS.invalid_parameter and run.ending == Ending.invalid
        assert np.isnan(run.period) and np.all(np.isnan(run.switch_times)) and np.all(np.isnan(run.overlap))
        assert np.all(run.order == -1) and not np.any(run.sign)


class Powers(eqx.Module):
    """w Q m³: as the default while one memory is retrieved, but for the weight w."""

    weight: jax.Array = eqx.field(converter=hj.as_inexact)

    def __call__(self, transitions, overlap):
        return self.weight * transitions @ overlap**3


def test_a_rule_of_ones_own_is_retrieved_bisected_and_swept(x64):
    def network(gain, rule):
        return S.InputDrivenNetwork(hj.hadamard_patterns(4, 8), gain, S.cycle(4), tau_fast=0.01, rule=rule)

    def run(gain, rule, solver=None):
        return S.retrieve_sequence(network(gain, rule), saliency=4.0, t1=8.0, max_transitions=8, solver=solver)

    plain, own, exact = run(5.0, None), run(2.5, Powers(2.0)), run(2.5, Powers(2.0), S.ExactDwell())
    assert own.order[:6].tolist() == plain.order[:6].tolist() and min(own.num_correct, plain.num_correct) >= 5
    # A switch takes a few percent of a dwell; only then do the two drives differ.
    np.testing.assert_allclose(own.period, plain.period, rtol=0.05)
    assert own.period != plain.period
    np.testing.assert_allclose(exact.switch_times, own.switch_times, rtol=1e-4)
    options: dict[str, Any] = dict(
        t1=12.0, lower=1.0, upper=3.0, num_iterations=6, max_transitions=24, solver=S.ExactDwell()
    )
    found = S.find_critical_gain(network(2.0, Powers(2.0)), **options)
    assert 1.6 < found.value < 2.0  # half of that of the default, 3.61 in the limit
    point = lambda weight: {"count": run(2.5, Powers(weight), S.ExactDwell()).num_transitions}  # noqa: E731
    swept = hj.sweep.run(point, hj.sweep.Grid(weight=jnp.array([1.0, 2.0])), progress=False)
    assert swept["count"].values.tolist() == [run(2.5, Powers(1.0)).num_transitions, own.num_transitions]
    with pytest.raises(ValueError, match="InputDrivenNetwork.rule"):
        network(5.0, lambda transitions, overlap: overlap[:2])
    with pytest.raises(ValueError, match=r"a function of \(transitions, overlap\)"):
        network(5.0, lambda overlap: overlap)
