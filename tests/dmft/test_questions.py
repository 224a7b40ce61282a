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
    shorter = D.solve(network(), D.SpinCue(0.5), num_steps=2, num_samples=64, key=KEY)
    with pytest.raises(ValueError, match="`network`: expected overlaps of the theory's shape"):
        D.agreement(theory, shorter)


def test_retrieved_needs_level_and_gain():
    theory = run(network(), D.SpinCue(0.5))
    with_end = lambda m: dataclasses.replace(theory, overlap=theory.overlap.at[-1].set(m))  # noqa: E731
    assert D.retrieved(with_end(0.81)) and not D.retrieved(with_end(0.79)) and not D.retrieved(with_end(jnp.nan))
    assert D.retrieved(with_end(0.6), threshold=0.55) and not D.retrieved(with_end(0.49), threshold=0.4)


def test_plasticity_moves_the_boundaries():
    strengths = jnp.array([0.0, 0.5])
    basin = jax.vmap(lambda s: D.basin_boundary(run, network(s), num_iterations=6, throw=False))(strengths)
    assert np.all(np.asarray(basin.result == hj.RESULTS.successful))
    assert basin.value[1] < basin.value[0] - 0.01  # moderate plasticity widens the basin
    for cue, wanted in ((float(basin.lower[1]), False), (float(basin.upper[1]), True)):
        assert bool(D.retrieved(run(network(), D.SpinCue(cue)))) is wanted
    cue = D.SpinCue(0.8)
    load = jax.vmap(lambda s: D.largest_load(run, network(s), cue, num_iterations=6, throw=False))(strengths)
    # Without plasticity no network at β = 4 retrieves beyond its static limit, 0.119, by more than the slow decay of
    # fifteen steps; with it the load rises above the classical 0.138.
    assert 0.11 < load.value[0] < 0.138 < load.value[1]


def test_a_simulation_can_be_asked_too():
    def simulated(model, cue):
        return D.simulate(
            model, cue, num_steps=10, num_neurons=300, num_trials=2, max_patterns=90, key=KEY, throw=False
        )

    got = D.largest_load(simulated, network(), D.SpinCue(0.8), threshold=0.9, upper=0.29, num_iterations=4)
    assert 0.1 < got.value < 0.29 and got.upper - got.lower < 0.02


def test_scan_finds_the_best_strength_and_the_imprinting():
    strengths = jnp.array([0.0, 0.5, 1.0, 2.0, 8.0, 64.0])
    got = D.scan_strength(run, network(load=0.12), D.SpinCue(0.4), strengths)
    # Simulation (N = 2000, 60 steps): .27 .79 .82 .81 .78 .40, cue overlap .11 .34 .38 .41 .54 1.00.
    np.testing.assert_allclose(got.overlap[1:], [0.79, 0.82, 0.81, 0.78, 0.40], atol=0.03)
    np.testing.assert_allclose(got.cue_overlap[1:], [0.34, 0.38, 0.41, 0.54, 1.0], atol=0.03)
    assert got.best_lower <= got.best <= got.best_upper and got.best in (1.0, 2.0)
    assert got.imprinted.tolist() == [False] * 5 + [True] and "imprinted at 1" in str(got)
    with pytest.raises(ValueError, match="`model`: expected a kernel with a strength"):
        D.scan_strength(run, D.PlasticNetwork(0.1, hj.LogCosh(4.0)), D.SpinCue(0.4), strengths)
