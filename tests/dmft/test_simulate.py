"""Direct simulation: against dense matrices and the theory; its settings and memory."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import dmft as D
from hopfield_jax.dmft._network import DensePlasticNetwork
from hopfield_jax.dmft._order import Measured

KEY = jr.key(0)
TANH = hj.LogCosh(beta=4.0)


def network(load: Any = 0.1, units: Any = TANH, strength: Any = 0.5, tau: Any = 5.0, **kwargs: Any):
    return D.PlasticNetwork(load=load, units=units, kernel=D.LeakyHebbian(strength, tau), **kwargs)


def simulate(model: Any, cue: Any = 0.5, num_steps=6, num_neurons=400, num_trials=4, **kwargs: Any) -> Any:
    cue = D.SpinCue(cue) if isinstance(cue, float) else cue
    options: dict[str, Any] = {"key": KEY} | kwargs
    return D.simulate(model, cue, num_steps=num_steps, num_neurons=num_neurons, num_trials=num_trials, **options)


def dense_simulation(model, cue, num_steps, num_neurons, key, self_coupling):
    """The same network with its matrix of couplings, in NumPy; patterns and cue as `simulate` draws them."""
    pattern_key, cue_key, _, _ = jr.split(jr.split(key, 1)[0], 4)
    patterns = np.asarray(jr.rademacher(pattern_key, (round(0.1 * num_neurons), num_neurons), jnp.float32), np.float64)
    x, phi = (
        np.asarray(a, np.float64) for a in cue.state(model.units, jnp.asarray(patterns[:1], jnp.float32), key=cue_key)
    )
    stored = patterns.T @ patterns / num_neurons
    if not self_coupling:
        stored -= np.diag(np.diag(stored))
    plastic, overlaps, dt, rate = np.zeros_like(stored), [], float(model.dt), float(model.dt) / 5.0
    for _ in range(num_steps + 1):
        overlaps.append(patterns[0] @ phi / num_neurons)
        x = (1 - dt) * x + dt * ((1.5 * stored + plastic) @ phi)
        plastic = (1 - rate) * plastic + rate * 0.5 / num_neurons * np.outer(phi, phi)
        phi = np.tanh(4 * x)
    return np.array(overlaps)


@pytest.mark.parametrize("self_coupling, dt", [(False, 1.0), (True, 0.2)])
def test_the_matrix_free_network_is_the_one_with_matrices(self_coupling, dt):
    model = network(coupling=1.5, self_coupling=self_coupling, dt=dt)
    got = simulate(model, num_trials=1)
    expected = dense_simulation(model, D.SpinCue(0.5), 6, 400, KEY, self_coupling)
    np.testing.assert_allclose(got.overlap, expected, atol=2e-5)  # float32 over six steps


@pytest.mark.parametrize("overlap", [0.5, -0.3, 1.0, 0.123])
def test_the_cue_has_its_overlap(overlap):
    got = simulate(network(), overlap, num_steps=1)
    np.testing.assert_allclose(got.overlap[0], overlap, atol=1 / 400 + 1e-6)
    np.testing.assert_allclose(got.correlation[0, 0], 1, atol=1e-6)
    assert got.overlap_error[0] < 1e-7


def test_cues_of_several_patterns_and_gaussian_ones():
    got = simulate(network(), D.SpinCue(jnp.array([0.4, -0.3])), num_steps=1, num_neurons=2000)
    # Patterns overlap by chance, 1/√N = 0.02 with the other's weight.
    np.testing.assert_allclose(got.overlap[0], [0.4, -0.3], atol=0.02)
    gaussian = simulate(network(), D.GaussianCue(0.3, 0.2), num_steps=1, num_neurons=2000)
    z = np.linspace(-8, 8, 801)
    mean = np.sum(np.tanh(4 * (0.3 + 0.2 * z)) * np.exp(-(z**2) / 2)) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    assert abs(gaussian.overlap[0] - mean) < 5 * gaussian.overlap_error[0]


def test_theory_and_simulation_agree():
    model, cue = network(), D.SpinCue(0.5)
    theory = D.solve(model, cue, num_steps=6, num_samples=4096, key=KEY)
    got = simulate(model, num_neurons=4000, num_trials=6, response_times=(0, 2))
    # Four standard errors (six networks estimate them roughly, so not below 2e-3) and finite size, about 2/N.
    for name in ("overlap", "correlation", "energy", "error_fraction", "cue_overlap"):
        error = np.hypot(np.maximum(getattr(got, name + "_error"), 2e-3), getattr(theory, name + "_error"))
        assert np.all(np.abs(getattr(got, name) - getattr(theory, name)) < 4 * error + 1e-3), name
    for s in (0, 2):
        error = np.maximum(np.asarray(got.response_error)[s + 1 :, s], 5e-3)
        difference = np.abs(np.asarray(got.response - theory.response))[s + 1 :, s]
        assert np.all(difference < 5 * error + 5e-3)
        assert got.response[s + 1, s] > 0.1
    assert np.all(np.isnan(np.asarray(got.response)[:, 1])) and np.all(np.asarray(got.response)[:3, 2] == 0)
    assert D.agreement(theory, got).squared_difference < 1e-3


def test_the_noise_is_gaussian_once_the_feedback_is_off():
    model, cue = network(0.12), D.SpinCue(0.5)
    theory = D.solve(model, cue, num_steps=4, num_samples=4096, key=KEY)
    noise = D.crosstalk_noise(model, cue, theory, num_neurons=2000, num_trials=6, key=KEY)
    # The kurtosis of 12000 Gaussians scatters by √(24/12000) = 0.045.
    assert np.all(np.abs(np.asarray(noise.excess_kurtosis)) < 0.2)
    # Four standard errors, and finite size: at N = 8000 the ratio is 1 within its error of 3 %, at 2000 0.9.
    off = np.abs(noise.variance - noise.predicted_variance)
    assert np.all(off < 4 * np.asarray(noise.variance_error) + 0.1 * np.asarray(noise.predicted_variance))
    known = {"noise_covariance": (theory.noise_covariance, None), "crosstalk_feedback": (jnp.zeros((5, 5)), None)}
    without = dataclasses.replace(theory, two_time=Measured(known))
    raw = D.crosstalk_noise(model, cue, without, num_neurons=2000, num_trials=6, key=KEY)
    assert raw.variance[0] == noise.variance[0]  # no feedback at the first step
    assert np.all(np.abs(raw.variance - noise.variance)[1:] > 0.01 * noise.variance[1:])
    assert "excess kurtosis" in str(noise)
    with pytest.raises(ValueError, match="`theory`: expected a result of `solve`"):
        D.crosstalk_noise(model, cue, simulate(model), num_neurons=200, num_trials=2, key=KEY)


def test_asynchronous_updates_lower_the_energy_and_differ():
    model = D.PlasticNetwork(0.1, hj.Sign())
    got = simulate(model, num_steps=8, num_trials=1, asynchronous=True)
    assert np.all(np.diff(got.energy) <= 1e-6) and got.energy[-1] < got.energy[0] - 0.1
    assert np.any(np.asarray(simulate(model, num_steps=8, num_trials=1).overlap) != np.asarray(got.overlap))
    again = simulate(model, num_steps=8, num_trials=1, asynchronous=True)
    np.testing.assert_array_equal(got.overlap, again.overlap)
    # A pattern at tiny load stays where it is, whatever the order of updates.
    held = simulate(D.PlasticNetwork(0.005, hj.Sign()), 1.0, num_steps=2, asynchronous=True)
    np.testing.assert_allclose(held.overlap, 1, atol=1e-6)


def test_thermal_noise_has_its_mean():
    hot = simulate(D.PlasticNetwork(0.05, hj.Glauber(0.5)), 1.0, num_steps=1, num_neurons=4000)
    z = np.linspace(-8, 8, 801)
    mean = np.sum(np.tanh(0.5 * (1 + 0.05**0.5 * z)) * np.exp(-(z**2) / 2)) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    assert abs(hot.overlap[1] - mean) < 0.03  # 4/√16000


@pytest.mark.parametrize("n, equal", [(2, True), (2, False), (3, False)])
def test_dense_memory_fields_are_sums_over_products(n, equal):
    """The field against the sum written out."""
    patterns = np.asarray(jr.rademacher(KEY, (5, 7), jnp.float32), np.float64)
    phi = np.asarray(jr.normal(jr.key(1), (7,)), np.float64)
    model = DensePlasticNetwork(0.1, TANH, n=n, equal_indices=equal)
    got = model.stored_field(jnp.asarray(patterns, jnp.float32), jnp.asarray(phi, jnp.float32))
    expected = np.zeros(7)
    for i in range(7):
        for others in itertools.product(range(7), repeat=n):
            if equal or len({i, *others}) == n + 1:
                expected[i] += np.sum(patterns[:, i] * np.prod(patterns[:, others] * phi[list(others)], axis=1)) / 7**n
    np.testing.assert_allclose(got, expected, atol=1e-5)


TWO_TIMES = np.tril(np.ones((5, 5)), -1)[:, :, None] * np.tril(np.ones((5, 5)), -1)[:, None, :]
TWO_TIMES = TWO_TIMES * np.arange(1.0, 6)[None, :, None]  # not symmetric in s and s'
CASES = {
    "glauber from a Gaussian cue": (network(units=hj.Glauber(2.0), strength=0.0), D.GaussianCue(0.2, 0.3)),
    "glauber": (network(units=hj.Glauber(4.0)), D.SpinCue(0.5)),
    "self-couplings": (network(self_coupling=True, coupling=0.8), D.SpinCue(0.5)),
    "fields": (network(pattern_field=0.1, cue_field=0.2), D.SpinCue(0.3)),
    "small steps": (network(dt=0.3, tau=2.0), D.SpinCue(0.5)),
    "kernel of two times": (D.PlasticNetwork(0.1, TANH, D.TableKernel(TWO_TIMES, 0.05)), D.SpinCue(0.5)),
    "two patterns": (network(), D.SpinCue(jnp.array([0.5, 0.3]))),
    "logistic units": (network(units=hj.Softplus(4.0), strength=0.3), D.GaussianCue(0.5, 0.3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_theory_and_simulation_agree_for(name):
    model, cue = CASES[name]
    theory = D.solve(model, cue, num_steps=4, key=KEY)
    got = simulate(model, cue, 4, 6000, 8)
    for quantity in ("overlap", "correlation", "energy", "error_fraction"):
        error = np.hypot(np.maximum(getattr(got, quantity + "_error"), 2e-3), getattr(theory, quantity + "_error"))
        assert np.all(np.abs(getattr(got, quantity) - getattr(theory, quantity)) < 4 * error + 2e-3), quantity
    if not isinstance(model.units, hj.Glauber):
        noise = D.crosstalk_noise(model, cue, theory, num_neurons=6000, num_trials=8, key=KEY)
        np.testing.assert_allclose(noise.variance, noise.predicted_variance, rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("equal", [True, False])
def test_dense_memory_theory_and_simulation_agree(equal):
    model = D.DensePlasticNetwork(0.05, TANH, equal_indices=equal)
    theory = D.solve(model, D.SpinCue(0.7), num_steps=2, key=KEY)
    got = simulate(model, 0.7, 2, num_neurons=500, num_trials=40)
    # Finite size at N = 500: about 6e-3 at the second step (measured: .8944, .8982 for N = 300, 600, theory .9042).
    assert np.all(np.abs(got.overlap - theory.overlap) < 4 * np.asarray(got.overlap_error) + 8e-3)


def test_batches_and_jit_give_the_same_numbers():
    plain = simulate(network())
    for other in (simulate(network(), batch_size=4), simulate(network(), batch_size=3)):
        np.testing.assert_allclose(other.overlap, plain.overlap, atol=1e-5)

    @jax.jit
    def run(load, strength):
        return simulate(network(load, strength=strength), max_patterns=60, throw=False)

    traced = run(0.1, 0.5)
    np.testing.assert_allclose(traced.setting.numbers["load"], 0.1, rtol=1e-6)
    assert abs(traced.overlap[-1] - plain.overlap[-1]) < 0.1  # other patterns: 60 rows are drawn, 40 kept
    over = run(0.2, 0.5)
    assert over.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(over.overlap))


def test_what_is_counted_has_no_gradient():
    with pytest.raises(Exception, match="`load`: a network has whole patterns"):
        jax.grad(lambda load: simulate(network(load), 0.4, 3, 200, 1, max_patterns=40).overlap[-1])(0.1)
    with pytest.raises(Exception, match="`overlap`: a network has whole spins"):
        jax.grad(lambda m: simulate(network(), D.SpinCue(m), 3, 200, 1).overlap[-1])(0.4)


def test_noise_of_too_many_patterns_is_a_code():
    theory = D.solve(network(), D.SpinCue(0.5), num_steps=2, num_samples=256, key=KEY)

    @jax.jit
    def run(load):
        return D.crosstalk_noise(
            network(load), D.SpinCue(0.5), theory, num_neurons=200, num_trials=2, key=KEY, max_patterns=20, throw=False
        )

    assert run(0.1).result == hj.RESULTS.successful
    over = run(0.2)
    assert over.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(over.variance))


def test_gradients_go_through_a_simulation():
    def final(strength):
        return simulate(network(strength=strength), 0.4, 3, 200, 1).overlap[-1]

    slope = jax.grad(final)(0.5)
    np.testing.assert_allclose(slope, (final(0.52) - final(0.48)) / 0.04, rtol=2e-2)  # float32 differences


BAD: dict[str, Any] = {
    "num_steps": 0, "num_neurons": 1, "num_trials": 0, "batch_size": 0, "response_times": (6,), "max_patterns": 3,
    "asynchronous": True, "max_bytes": 1e5, "cue": None,
}  # fmt: skip


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_is_named(argument):
    with pytest.raises(Exception, match=f"`{argument}`: expected|Type-check error"):
        simulate(network(), **{argument: BAD[argument]})


def test_a_traced_load_needs_room():
    with pytest.raises(ValueError, match="`max_patterns`: expected a number"):
        jax.jit(lambda load: simulate(network(load)))(0.1)
    with pytest.raises(ValueError, match="`response_times`: expected units with a derivative"):
        simulate(network(units=hj.Sign()), response_times=(0,))
    with pytest.raises(ValueError, match="`asynchronous`: expected dt = 1"):
        simulate(network(units=hj.Sign(), dt=0.5), asynchronous=True)


def test_memory_is_predicted_in_one_way():
    model, cue = D.PlasticNetwork(load=0.1, units=hj.LogCosh(beta=4.0)), D.SpinCue(0.5)
    sizes: Any = {"num_neurons": 400, "num_trials": 2}
    needed = D.simulation_memory_needed(model, cue, num_steps=3, batch_size=3, **sizes)
    # Both networks at once, in float32; correlations of each, their mean and its error.
    assert needed == 4 * (2 * 400 * (4 * 40 + 3 * 4) + (2 + 2) * 4**2)
    theory = D.solve(model, cue, num_steps=3, num_samples=64, num_shifts=1, key=KEY)
    options = {"key": KEY, "batch_size": 3, "max_bytes": needed - 1.0, **sizes}
    for call in (
        lambda: D.simulate(model, cue, num_steps=3, **options),
        lambda: D.crosstalk_noise(model, cue, theory, **options),
    ):
        with pytest.raises(ValueError, match="`max_bytes`: expected room for the predicted"):
            call()
