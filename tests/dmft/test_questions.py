"""Agreement, basins, loads, the best strength."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import dmft as D

KEY = jr.key(0)


def network(strength: Any = 0.5, load: Any = 0.1):
    return D.PlasticNetwork(load=load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, 5.0))


def run(model, cue):
    return D.solve(model, cue, num_steps=15, num_samples=1024, num_shifts=2, key=KEY, throw=False)


def test_agreement_by_hand():
    theory = run(network(), D.SpinCue(0.5))
    error = jnp.full(16, 0.01)
    one = dataclasses.replace(theory, overlap=jnp.zeros(16), overlap_error=error, times=0.5 * jnp.arange(16.0))
    other = dataclasses.replace(one, overlap=jnp.zeros(16).at[3].set(0.1), overlap_error=2 * error)
    got = D.agreement(one, other)
    np.testing.assert_allclose(got.squared_difference, 0.5 * 0.01, rtol=1e-5)
    np.testing.assert_allclose(got.expected, 0.5 * 16 * 5e-4, rtol=1e-5)
    np.testing.assert_allclose(got.largest_deviation, 0.1, rtol=1e-6)
    np.testing.assert_allclose(got.in_errors, 0.1 / 0.05**0.5 / 0.1, rtol=1e-3)  # 0.1/√(0.01² + 0.02²)
    assert got.step == 3 and "at step 3" in str(got)
    # Clamped overlaps differ by rounding, and so do those of the networks whose mean they are.
    clamped = dataclasses.replace(one, overlap=jnp.full(16, 0.4), overlap_error=jnp.zeros(16))
    rounded = dataclasses.replace(one, overlap=jnp.full(16, 0.4 + 6e-8), overlap_error=jnp.full(16, 1.3e-8))
    assert rounded.overlap[0] != clamped.overlap[0] and D.agreement(clamped, rounded).in_errors == 0
    alone = D.agreement(dataclasses.replace(one, overlap_error=jnp.full(16, jnp.inf)), other)
    assert np.isnan(alone.in_errors) and alone.largest_deviation > 0
    with pytest.raises(ValueError, match="`network`: expected the theory's times"):
        D.agreement(one, dataclasses.replace(other, times=jnp.arange(16.0)))
    shorter = D.solve(network(), D.SpinCue(0.5), num_steps=2, num_samples=64, key=KEY)
    with pytest.raises(ValueError, match="`network`: expected overlaps of the theory's shape"):
        D.agreement(theory, shorter)


def test_retrieved_needs_level_and_gain():
    theory = run(network(), D.SpinCue(0.5))
    with_end = lambda m: dataclasses.replace(theory, activity=theory.activity.at[-1].set(m))  # noqa: E731
    assert D.retrieved(with_end(0.81)) and not D.retrieved(with_end(0.79)) and not D.retrieved(with_end(jnp.nan))
    assert D.retrieved(with_end(0.6), threshold=0.55) and not D.retrieved(with_end(0.49), threshold=0.4)


def test_plasticity_moves_the_boundaries():
    strengths = jnp.array([0.0, 0.5])
    basin = jax.vmap(lambda s: D.basin_boundary(run, network(s), num_iterations=6, throw=False))(strengths)
    assert np.all(np.asarray(basin.result == hj.RESULTS.successful))
    assert basin.value[1] < basin.value[0] - 0.01  # moderate plasticity widens the basin
    numbers = basin.setting.numbers  # a boundary means nothing without these
    assert numbers["num_steps"].tolist() == [15, 15] and numbers["threshold"][0] == jnp.float32(0.8)
    assert numbers["kernel.strength"].tolist() == [0, 0.5] and "cue.overlap" not in numbers
    for cue, wanted in ((float(basin.lower[1]), False), (float(basin.upper[1]), True)):
        assert bool(D.retrieved(run(network(), D.SpinCue(cue)))) is wanted
    cue = D.SpinCue(0.8)
    load = jax.vmap(lambda s: D.largest_load(run, network(s), cue, num_iterations=6, throw=False))(strengths)
    # Without plasticity no network at β = 4 retrieves beyond its static limit, 0.119, by more than the slow decay of
    # fifteen steps; with it the load rises above the classical 0.138.
    assert 0.11 < load.value[0] < 0.138 < load.value[1]


def test_boundaries_move_with_the_strength_as_their_gradients_say(x64):
    def short(model, cue):
        how: Any = {"num_samples": 1024, "num_shifts": 1, "derivative": D.Along()}  # that of the sample, exactly
        return D.solve(model, cue, num_steps=8, key=KEY, throw=False, **how)

    def load(strength):
        cue, how = D.SpinCue(0.7), {"num_iterations": 22, "throw": False}
        return D.largest_load(short, network(strength), cue, **how).value

    # The bracket is 1e-7 wide, the chord's zero in it nearly exact; differences miss step² times a third derivative of
    # order one.
    at, step = jnp.array([0.5, 4.0]), 1e-4
    points = jnp.concatenate([at, at - step, at + step])
    value, slope = jax.jit(jax.vmap(lambda s: jax.jvp(load, (s,), (jnp.ones_like(s),))))(points)
    np.testing.assert_allclose(slope[:2], (value[4:] - value[2:4]) / (2 * step), rtol=1e-6)
    assert slope[0] > slope[1] > 0.01


def test_a_run_that_fails_gives_no_boundary():
    broken = lambda model, cue: dataclasses.replace(  # noqa: E731
        out := run(model, cue), result=hj.RESULTS.where(out.overlap[-1] > 0.5, hj.RESULTS.max_rank_reached, out.result)
    )
    got = D.basin_boundary(broken, network(), num_iterations=3, throw=False)
    assert got.result == hj.RESULTS.undecided and np.isnan(got.value)


def test_a_simulation_can_be_asked_too():
    def simulated(model, cue):
        return D.simulate(
            model, cue, num_steps=10, num_neurons=300, num_trials=2, max_patterns=90, key=KEY, throw=False
        )

    got = D.largest_load(simulated, network(), D.SpinCue(0.8), threshold=0.9, upper=0.29, num_iterations=4)
    assert 0.1 < got.value < 0.29 and got.upper - got.lower < 0.02
    assert "N = 300" in str(got) and "threshold 0.9" in str(got) and "load 0" not in str(got)
    with pytest.raises(RuntimeError, match="`load`: a network has whole patterns, so that no gradient"):
        jax.grad(lambda strength: D.largest_load(simulated, network(strength), D.SpinCue(0.8), upper=0.29).value)(0.5)


def test_scan_finds_the_best_strength_and_the_imprinting():
    strengths = jnp.array([0.0, 0.5, 1.0, 2.0, 8.0, 64.0])
    got = D.scan_strength(run, network(load=0.12), D.SpinCue(0.4), strengths)
    # Simulation (N = 2000, 60 steps): .27 .79 .82 .81 .78 .40, cue overlap .11 .34 .38 .41 .54 1.00.
    np.testing.assert_allclose(got.overlap[1:], [0.79, 0.82, 0.81, 0.78, 0.40], atol=0.03)
    np.testing.assert_allclose(got.cue_overlap[1:], [0.34, 0.38, 0.41, 0.54, 1.0], atol=0.03)
    assert got.best_lower <= got.best <= got.best_upper and got.best in (1.0, 2.0)
    assert got.imprinted.tolist() == [False] * 5 + [True] and "imprinted at 1" in str(got)
    assert got.setting.numbers["num_steps"] == 15 and "kernel.strength" not in got.setting.numbers
    with pytest.raises(ValueError, match="`model`: expected a kernel with a strength"):
        D.scan_strength(run, D.PlasticNetwork(0.1, hj.LogCosh(4.0)), D.SpinCue(0.4), strengths)


# --- stationary states ---


def test_the_dynamics_ends_in_the_stationary_state():
    model = D.PlasticNetwork(0.1, hj.LogCosh(2.0), D.LeakyHebbian(0.2, 1.5), coupling=1.5)
    rest = D.stationary(model)
    path = D.solve(model, D.SpinCue(0.95), num_steps=15, num_samples=8192, key=KEY)
    assert rest.retrieved and not rest.multivalued
    # Sampling error 2e-4, and what 15 steps leave of the way.
    np.testing.assert_allclose(path.overlap[-1], rest.overlap, atol=1e-3)
    np.testing.assert_allclose(path.correlation[-1, -1], rest.correlation, atol=2e-3)
    without = D.stationary(dataclasses.replace(model, kernel=None))
    assert abs(without.overlap - rest.overlap) > 2e-3  # the strength counts


@pytest.mark.slow
def test_spins_that_flip_one_at_a_time_end_in_the_replica_symmetric_state():
    units = hj.Glauber(1.6)
    options = {"num_steps": 40, "num_neurons": 4000, "num_trials": 8, "asynchronous": True}
    run = D.simulate(D.PlasticNetwork(0.02, units), D.SpinCue(0.9), key=KEY, **options)
    thermal, deterministic = (hj.theory.scsna(u, 0.02).overlap for u in (hj.Glauber(1.6), hj.LogCosh(1.6)))
    # The mean over the last 28 steps has less error than the last step, which is about 0.003.
    error = run.overlap_error[-1]
    assert abs(jnp.mean(run.overlap[12:]) - thermal) < error < 0.5 * (deterministic - thermal)


@pytest.mark.parametrize("model, got", [
    (D.PlasticNetwork(0.1, hj.Glauber(2.0)), "Glauber"),
    (D.PlasticNetwork(0.1, hj.LogCosh(2.0), D.AccumulatingHebbian(0.1)), "AccumulatingHebbian"),
    (D.DensePlasticNetwork(0.1, hj.LogCosh(2.0)), "DensePlasticNetwork"),
])  # fmt: skip
def test_models_without_a_stationary_state_are_named(model, got):
    with pytest.raises(Exception, match=f"`model`: expected.*{got}|Type-check error"):
        D.stationary(model)


@pytest.mark.parametrize("units, load, strength", [
    (hj.LogCosh(4.0), 0.01, 1.0), (hj.LogCosh(4.0), 0.6, 0.75), (hj.Sign(), 0.02, 0.5), (hj.Glauber(6.0), 0.05, 0.5)
])  # fmt: skip
def test_saturated_outputs_end_in_numbers(units, load, strength):
    """All rows of C are nearly the same once the outputs do not move any more, in retrieval or far from it."""
    model = D.PlasticNetwork(load, units, D.LeakyHebbian(strength, 5.0))
    got = D.solve(model, D.SpinCue(0.7), num_steps=15, num_samples=8192, num_shifts=2, key=KEY)
    assert (
        got.result == hj.RESULTS.successful
        and np.all(np.isfinite(got.overlap))
        and np.asarray(got.orthogonality) < 1e-4
    )
    eigenvalues = np.linalg.eigvalsh(np.asarray(got.noise_covariance, np.float64))
    assert np.min(eigenvalues) > -1e-6 * np.max(eigenvalues)  # rounding of its entries
