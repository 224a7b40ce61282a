"""Synapses other than Hebb's: what they amount to in a large network, theory and simulation of the same ones."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from jax import enable_x64

import hopfield_jax as hj
from hopfield_jax import dmft as D

KEY = jr.key(0)
TANH = hj.LogCosh(beta=4.0)
SIGNS = np.pi / 2 - 1
DIRECTED = D.Diluted(0.5, symmetric=False, synapses=D.Clipped())
MANY: Any = {"num_samples": 2**15, "num_shifts": 8}


def network(load: Any, synapses: Any, units: Any = TANH, strength=None, **kwargs: Any):
    kernel = None if strength is None else D.LeakyHebbian(strength, 5.0)
    return D.PlasticNetwork(load, units, kernel, synapses=synapses, **kwargs)


def uniform(step, bits):
    levels = step * (np.arange(2**bits) - (2**bits - 1) / 2)
    return D.Stepwise(levels, 0.5 * (levels[1:] + levels[:-1]))


@pytest.mark.parametrize(
    "synapses, excess, symmetry",
    [
        (D.Clipped(), SIGNS, 1),
        (D.Quantised(1), SIGNS, 1),
        (D.Quantised(2), 0.1331212, 1),
        (D.Quantised(3), 0.0357840, 1),
        (uniform(0.995687, 2), 0.1348755, 1),
        (uniform(0.586019, 3), 0.0388959, 1),
        (D.Ternary(), 0.2348332, 1),
        (D.Diluted(0.5), 1, 1),
        (D.Diluted(0.25, symmetric=False), 3, 0),
        (DIRECTED, np.pi - 1, 0.266529),
        (D.Diluted(1.0, symmetric=False), 0, 1),
    ],
)
def test_equivalent_noise(synapses, excess, symmetry):
    """Quantisers of least error; signs and dilution as derived by Sompolinsky (1986)."""
    np.testing.assert_allclose(synapses.excess, excess, atol=1e-6)
    np.testing.assert_allclose(synapses.reciprocity, symmetry, atol=1e-6)


@pytest.mark.parametrize(
    "synapses",
    [D.Clipped(), D.Quantised(2), D.Diluted(0.5), DIRECTED, *(D.Noisy(0.3, e) for e in (1.0, 0.3, -1.0))],
)
def test_a_drawn_matrix_is_hebbs_rule_and_that_noise(synapses):
    size, count, coupling = 800, 301, 0.7
    patterns = jr.rademacher(KEY, (count, size), jnp.float32)
    drawn = np.asarray(synapses.matrix(patterns, jnp.asarray(coupling), key=jr.key(1)), np.float64)
    hebb = np.asarray(patterns.T @ patterns, np.float64) / size
    np.fill_diagonal(hebb, 0)
    rest = drawn - coupling * hebb
    slope, expected = 1.0, float(synapses.noise(jnp.asarray(count / size), jnp.asarray(coupling)))
    if isinstance(synapses, D.Quantised):  # a sum of 301 signs has steps of .115: as if thresholds were displaced
        sums, chance = (
            (2 * np.arange(count + 1) - count) / count**0.5,
            scipy.stats.binom.pmf(range(count + 1), count, 0.5),
        )
        levels, thresholds = map(np.asarray, synapses.steps())
        values = levels[np.searchsorted(thresholds, sums)] / float(synapses.moments[0])
        slope, square = np.sum(chance * sums * values), np.sum(chance * values**2)
        expected = coupling**2 * count / size * (square - 2 * slope + 1)
    assert np.all(np.diag(drawn) == 0)
    # 320 000 independent pairs; products have a standard deviation of at most 4 times that of normal ones.
    error = 4 * np.sqrt(np.mean(rest**2) / np.mean(hebb**2) / (size**2 / 2))
    assert abs(np.sum(rest * hebb) / np.sum(hebb**2) - coupling * (slope - 1)) < 4 * error
    np.testing.assert_allclose(size * np.mean(rest**2), expected, rtol=0.02)
    np.testing.assert_allclose(np.sum(rest * rest.T) / np.sum(rest**2), synapses.reciprocity, atol=0.02)


def test_ties_are_broken_either_way():
    patterns = jnp.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0]])  # the first neuron's sums are zero
    drawn = jax.vmap(lambda key: D.Clipped().matrix(patterns, jnp.asarray(1.0), key=key))(jr.split(KEY, 64))
    assert set(np.sign(drawn[:, 0, 1]).tolist()) == {-1.0, 1.0} and np.all(drawn[:, 1, 2] > 0)
    assert np.all(drawn == jnp.swapaxes(drawn, 1, 2)) and np.allclose(np.abs(drawn[:, 0, 1]), drawn[:, 1, 2])


@pytest.mark.parametrize(
    "symmetry, overlaps",
    [
        (1.0, (0.72550, 0.88686, 0.94562, 0.95849, 0.95974, 0.95984)),
        (0.0, (0.72550, 0.87331, 0.93634, 0.95449, 0.95608, 0.95614)),
        (-1.0, (0.72550, 0.83900, 0.91425, 0.94824, 0.95127, 0.95132)),
    ],
)
def test_noise_of_any_symmetry_against_a_solution_with_matrices(symmetry, overlaps):
    """Reference: another program, with a factor of the sum of both covariances and 6 × 16384 points; errors 1e-4."""
    found = D.solve(network(0.04, D.Noisy(0.12, symmetry)), D.SpinCue(0.5), num_steps=24, key=KEY, **MANY)
    at = np.array([1, 2, 4, 8, 14, 24])
    assert np.all(np.abs(found.overlap[at] - np.array(overlaps)) < 3 * np.hypot(found.overlap_error[at], 1e-4))
    assert np.all(np.isfinite(found.energy)) == (symmetry == 1)


def test_noise_alone_is_chaotic_with_the_variance_of_sompolinsky_crisanti_and_sommers():
    """g = 2: ⟨φ²⟩ = .5131780 at long times, from ½V² = g²(⟨ℓ²⟩ − ⟨ℓ⟩²), ℓ = log cosh(√V z)."""
    model = network(1e-3, D.Noisy(4.0, 0.0), hj.LogCosh(), coupling=0.0, dt=0.25)
    found = D.solve(model, D.GaussianCue(0.0, 1.0), num_steps=120, num_samples=4096, max_rank=128, key=KEY)
    late = np.diag(found.correlation)[60:]
    # Correlated over a time of about 6: five independent values on the way.
    error = np.diag(found.correlation_error)[60:].max()
    assert abs(np.mean(late) - 0.5131780) < 3 * error < 0.02
    assert np.all(np.abs(found.overlap) < 0.01)  # zero in the mean; patterns do not act


@pytest.mark.parametrize(
    "load, synapses, options",
    [
        (0.06, D.Clipped(), {}),
        (0.06, D.Quantised(2), {"strength": 0.5}),
        (0.05, DIRECTED, {}),
        (0.05, D.Diluted(0.5), {"self_coupling": True}),
        (0.05, D.Noisy(0.06, -0.5), {"coupling": 0.9}),
    ],
)
def test_simulation_agrees_with_theory(load, synapses, options):
    model, cue = network(load, synapses, **options), D.SpinCue(0.6)
    theory = D.solve(model, cue, num_steps=6, key=KEY)
    found = D.simulate(model, cue, num_steps=6, num_neurons=1500, num_trials=12, key=jr.key(3), batch_size=4)
    difference = found.overlap - theory.overlap
    # A network's first overlap scatters by .02 at this size; that of 12 is not known better than to a fifth.
    assert np.all(np.abs(difference) < 3 * np.hypot(np.maximum(found.overlap_error, 2e-3), theory.overlap_error))
    if np.all(np.isfinite(theory.energy)):
        np.testing.assert_allclose(found.energy, theory.energy, atol=0.02)
    else:
        assert np.all(np.isnan(found.energy)) and "synapses" in str(found.setting)


def test_asynchronous_updates_use_the_couplings():
    """Spins one at a time lower the energy of symmetric couplings, and come near the synchronous state."""
    model, cue = network(0.05, D.Clipped(), hj.Sign()), D.SpinCue(0.6)
    options: dict[str, Any] = {"num_steps": 5, "num_neurons": 300, "num_trials": 3, "key": KEY}
    found = D.simulate(model, cue, asynchronous=True, **options)
    assert np.all(np.diff(found.energy) <= 1e-6) and found.energy[-1] < found.energy[0] - 0.2
    assert found.overlap[-1] > 0.98


def test_derivatives_by_the_synapses_are_those_of_differences():
    def overlap(x):
        model = network(0.05, D.Noisy(x[0], x[1]), strength=0.3)
        run = D.solve(model, D.SpinCue(0.5), num_steps=5, num_samples=256, num_shifts=1, max_rank=6, key=KEY,
                      derivative=D.Along())  # fmt: skip
        return run.overlap[-1]

    def diluted(x):
        model = network(0.05, D.Diluted(x, symmetric=False, synapses=D.Ternary(0.5)))
        return D.solve(model, D.SpinCue(0.5), num_steps=5, num_samples=256, num_shifts=1, max_rank=6, key=KEY,
                       derivative=D.Along()).overlap[-1]  # fmt: skip

    with enable_x64():
        at, h = jnp.array([0.1, 0.4]), 1e-5
        steps = h * jnp.eye(2)
        differences = [(overlap(at + s) - overlap(at - s)) / (2 * h) for s in steps]
        np.testing.assert_allclose(jax.grad(overlap)(at), differences, rtol=1e-5)
        np.testing.assert_allclose(jax.grad(diluted)(0.6), (diluted(0.6 + h) - diluted(0.6 - h)) / (2 * h), rtol=1e-5)


BAD = [
    (lambda: D.Noisy(-0.1), "Noisy.variance", "-0.1"),
    (lambda: D.Noisy(0.1, 1.5), "Noisy.symmetry", "1.5"),
    (lambda: D.Quantised(0), "Quantised.bits", "0"),
    (lambda: D.Quantised(9), "Quantised.bits", "9"),
    (lambda: D.Ternary(0.0), "Ternary.dead_zone", "0.0"),
    (lambda: D.Diluted(0.0), "Diluted.connectivity", "0.0"),
    (lambda: D.Diluted(1.5), "Diluted.connectivity", "1.5"),
    (lambda: D.Stepwise(np.array([0.0, 1.0]), np.zeros(1)), "Stepwise.levels", r"\[0.0, 1.0\]"),
    (lambda: D.Stepwise(np.array([1.0, -1.0]), np.zeros(1)), "Stepwise.levels", r"\[1.0, -1.0\]"),
    (lambda: D.Stepwise(np.array([-1.0, 1.0]), np.zeros(2)), "Stepwise.thresholds", r"\(2,\)"),
    (lambda: D.Stepwise(np.zeros(1), np.zeros(0)), "Stepwise.levels", "1"),
]


@pytest.mark.parametrize("call, argument, got", BAD)
def test_bad_synapses_are_named(call, argument, got):
    with pytest.raises(ValueError, match=rf"`{argument}`: expected .* got .*{got}"):
        call()


def test_traced_synapses_outside_their_domain_give_a_code():
    def run(connectivity):
        return D.solve(network(0.05, D.Diluted(connectivity)), D.SpinCue(0.5), num_steps=2, num_samples=64,
                       num_shifts=1, key=KEY, throw=False)  # fmt: skip

    found = jax.jit(run)(1.5)
    assert found.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(found.overlap))
    assert np.all(np.isfinite(jax.jit(run)(0.5).overlap))

    def stepwise(levels):
        return D.solve(network(0.05, D.Stepwise(levels, jnp.zeros(1))), D.SpinCue(0.5), num_steps=2, num_samples=64,
                       num_shifts=1, key=KEY, throw=False)  # fmt: skip

    for levels in ([0.0, 1.0], [1.0, -1.0], [0.0, 0.0]):
        found = jax.jit(stepwise)(jnp.array(levels))
        assert found.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(found.overlap))
    assert jax.jit(stepwise)(jnp.array([-2.0, 2.0])).result == hj.RESULTS.successful
