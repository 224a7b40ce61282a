"""Gains and weights for given dwell times, against longer runs with another solver, closed forms and differences."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import sequential


def network(memories=4, neurons=8, **others):
    numbers: dict[str, Any] = {"gain": 5.0, "tau_fast": 0.01, "input_coupling": 0.01} | others
    cycle = sequential.cycle(memories)
    return sequential.InputDrivenNetwork(hj.hadamard_patterns(memories, neurons), transitions=cycle, **numbers)


def tuned(model, period):
    return sequential.tune_gain(model, period=period, throw=False)


@pytest.fixture(scope="module")
def found():
    """Of three periods that the network has and of one that is too short: one program."""
    return {period: tuned(network(), jnp.array(period)) for period in (1.0, 1.5, 2.0, 0.5)}


def test_a_longer_run_with_another_solver_has_the_period(found):
    @eqx.filter_jit
    def last(gain):
        model = eqx.tree_at(lambda n: n.gain, network(), gain)
        return sequential.retrieve_sequence(model, saliency=gain, t1=80.0, max_transitions=100).dwell_times

    for period in (1.0, 1.5, 2.0):
        dwell = np.asarray(last(found[period].gain))
        dwell = dwell[np.isfinite(dwell)]
        assert hj.is_okay(found[period].result) and len(dwell) >= 39
        np.testing.assert_allclose(dwell[-8:].mean(), period, rtol=1e-3)  # what is promised
        np.testing.assert_allclose(found[period].period, period, rtol=3e-4)  # the tolerance
        assert found[period].unsettled <= 3e-4 and found[period].num_evaluations <= 6


def test_slope_is_that_between_two_periods(found):
    # Of log κ by T, whose curvature leaves (ΔT)² times a third derivative below 0.2: 2 % at the middle of the three.
    middle = 1 / (found[1.5].slope * found[1.5].gain)
    np.testing.assert_allclose(np.log(found[2.0].gain / found[1.0].gain), middle, rtol=0.03)


def test_a_period_that_is_too_short_has_no_gain(found):
    # Sequences of this network collapse below a dwell time of about 0.7.
    short = found[0.5]
    assert short.result == hj.RESULTS.no_period
    for x in (short.gain, short.period, short.slope, short.residual, short.unsettled, short.gain_limit):
        assert jnp.isnan(x)
    assert "collapse before" in str(short)
    with pytest.raises(eqx.EquinoxRuntimeError, match="No gain or weights"):
        sequential.tune_gain(network(), period=0.5)


@pytest.mark.slow
def test_fast_neurons_and_weak_coupling_have_the_gain_of_the_limit(x64):
    # Of first order in the delay: ε log(1/ε_in) = 1e-3 of T here; 8 memories leave e^{−8T} of the last visit.
    model = network(8, 8, tau_fast=1e-4, input_coupling=1e-4)
    traced = eqx.filter_jit(tuned)
    assert traced(model, jnp.array(-1.0)).result == hj.RESULTS.invalid_parameter
    for period in (1.0, 1.5):
        found = traced(model, jnp.array(period))
        np.testing.assert_allclose(found.gain, sequential.gain_for_period(period), rtol=4e-3)
        assert abs(found.residual) < 3e-4


@pytest.mark.slow
def test_gain_is_differentiable_by_period_and_network(x64):
    def gain(period, coupling):
        model = eqx.tree_at(lambda n: n.input_coupling, network(), coupling)
        found = sequential.tune_gain(model, period=period, tolerance=1e-6, num_transitions=64, throw=False)
        return found.gain, found.slope

    gain = jax.jit(gain)
    at, h = jnp.array([1.5, 0.01]), jnp.array([1e-3, 1e-4])
    slopes, slope = jax.jacfwd(gain, argnums=(0, 1), has_aux=True)(*at)
    np.testing.assert_allclose(slopes[0], 1 / slope, rtol=1e-6)
    for i, step in enumerate(jnp.diag(h)):
        differences = (gain(*(at + step))[0] - gain(*(at - step))[0]) / (2 * h[i])
        np.testing.assert_allclose(slopes[i], differences, rtol=1e-3)  # periods to 3e-7 over 2e-3 and 2e-3 of κ


def test_weights_give_every_memory_its_time():
    model, wanted = network(), jnp.array([1.0, 1.6, 0.6, 2.0])  # one below log 2, which no gain alone can give
    found = sequential.tune_dwell_times(model, wanted)
    assert found.residual <= 1e-3 and found.num_evaluations <= 6
    np.testing.assert_array_equal(found.transitions > 0, model.transitions > 0)
    model = eqx.tree_at(lambda n: n.transitions, model, found.transitions)
    run = sequential.retrieve_sequence(model, start=1, saliency=5.0, t1=52.0)  # ten rounds from another start
    dwell, order = (np.asarray(x)[: int(run.num_transitions)] for x in (run.dwell_times, run.order))
    assert len(dwell) >= 36 and set(order[-4:]) == {0, 1, 2, 3}
    np.testing.assert_allclose(dwell[-4:], wanted[order[-4:]], rtol=1.5e-3)  # the tolerance, and that of the solver
    assert f"{found.num_evaluations} runs" in str(found)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: sequential.tune_gain(network(), period=0.0), "period"),
        (lambda: sequential.tune_gain(network(), period=1.0, tolerance=0.0), "tolerance"),
        (lambda: sequential.tune_gain(network(), period=1.0, num_transitions=7), "num_transitions"),
        (lambda: sequential.tune_gain(network(), period=1.0, max_evaluations=0), "max_evaluations"),
        (lambda: sequential.tune_gain(network(), period=1.0, saliency=2.0), "saliency"),
        (lambda: sequential.tune_gain(network(noise_slow=0.1), period=1.0), "network.noise_slow"),
        (lambda: sequential.tune_dwell_times(network(), jnp.ones(3)), "dwell_times"),
        (lambda: sequential.tune_dwell_times(network(), jnp.array([1.0, 1, 1, -1])), "dwell_times"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        call()


def test_only_cycles_have_a_period():
    for transitions in (sequential.chain(4), sequential.transition_matrix(4, [(0, 1), (1, 0), (2, 3), (3, 2)])):
        model = eqx.tree_at(lambda n: n.transitions, network(), transitions)
        with pytest.raises(ValueError, match="`network.transitions`"):
            sequential.tune_gain(model, period=1.0)
