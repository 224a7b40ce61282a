"""Linear stability against explicit matrices, for every kind of network."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.associative import (
    AdiabaticNetwork,
    IdentityMap,
    LayeredNetwork,
    MemoryMap,
    slow_fast_network,
)
from systems import NETWORKS, Oscillator, networks

every = pytest.mark.parametrize("name", NETWORKS)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_matrix_is_equation_28(bits):
    rng = np.random.default_rng(0)
    xi, b, v = rng.standard_normal((3, 7)), rng.standard_normal(3), 0.5 * rng.standard_normal(7)
    with enable_x64(bits == 64):
        network = AdiabaticNetwork(
            MemoryMap(xi, b), visible=hj.LogCosh(1.3), hidden=hj.LogCosh(0.8), input=0.2, tau_visible=2.0
        )
        found = hj.linearise(network, v := jnp.asarray(v))
        matrix, eigenvalues, u = (
            np.asarray(hj.jacobian(network, v).as_matrix()),
            np.asarray(found.eigenvalues),
            jnp.asarray(rng.normal(size=7)),
        )
        backward = np.asarray(hj.jacobian(network, v).transpose().mv(u))
        assert int(found.num_dead) == 0 and "leading eigenvalue" in str(found)
        xi, b, v, u = (np.asarray(jnp.asarray(x), np.float64) for x in (xi, b, v, u))
    assert matrix.dtype == f"float{bits}"
    h_v = 1.3 / np.cosh(1.3 * v) ** 2
    h_h = 0.8 / np.cosh(0.8 * (xi @ np.tanh(1.3 * v) + b)) ** 2
    expected = (-np.eye(7) + xi.T @ np.diag(h_h) @ xi @ np.diag(h_v)) / 2.0
    tolerance = 50 * np.finfo(f"float{bits}").eps
    np.testing.assert_allclose(matrix, expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(backward, expected.T @ u, atol=10 * tolerance * np.abs(expected).max())
    exact = np.sort(np.linalg.eigvals(expected).real)[::-1]
    np.testing.assert_allclose(eigenvalues, exact, atol=20 * tolerance * np.abs(expected).max())


@functools.cache
def spectra():
    with enable_x64():
        all_networks = networks()
        models = {name: network.model for name, network in all_networks.items()}
        states = {name: network.state(jr.key(6), 0.5) for name, network in all_networks.items()}

        def together(models, states):
            found = {name: hj.linearise(model, states[name], throw=False) for name, model in models.items()}
            return {
                name: (
                    lin.eigenvalues,
                    hj.jacobian(models[name], states[name]).as_matrix(),
                    lin.result == hj.RESULTS.successful,
                )
                for name, lin in found.items()
            }

        return jax.device_get(eqx.filter_jit(together)(models, states))


@every
def test_the_spectrum_of_every_energy_network_is_real_and_comes_from_the_symmetric_solver(name):
    eigenvalues, matrix, okay = spectra()[name]
    exact = np.linalg.eigvals(matrix)
    scale = np.abs(matrix).max()
    assert okay and eigenvalues.dtype == np.float64
    # Eigenvalues of a matrix that is not symmetric: defective ones (flat directions of H) lose half the digits.
    assert np.max(np.abs(exact.imag)) < 1e-7 * scale
    np.testing.assert_allclose(eigenvalues, np.sort(exact.real)[::-1], atol=1e-7 * scale)


def test_leading_eigenvalues_of_large_networks_come_without_a_matrix(x64):
    num_neurons = 60
    patterns = hj.gaussian_patterns(4, num_neurons, key=jr.key(0)) / 4
    v = 0.3 * jr.normal(jr.key(1), (num_neurons,))
    network = slow_fast_network(MemoryMap(patterns), visible=hj.LogCosh(1.5), hidden=hj.Softplus(), tau_hidden=0.05)
    y = {"visible": v, "hidden": patterns @ jnp.tanh(1.5 * v)}
    all_of_them = hj.linearise(network, y)
    few = hj.linearise(network, y, num_eigenvalues=3)
    assert few.eigenvalues.shape == (3,)
    np.testing.assert_allclose(few.eigenvalues, all_of_them.eigenvalues[:3], atol=1e-6)
    assert few.leading == few.eigenvalues[0] and bool(few.stable) == bool(all_of_them.stable)


def test_leading_eigenvalues_in_the_presence_of_large_negative_ones(x64):
    num_neurons = 60
    weight = jnp.linspace(-100.0, 3.0, num_neurons)  # S is diagonal: eigenvalues -1 + weight of a linear network
    network = LayeredNetwork(
        {"v": hj.Layer(hj.Quadratic())}, {"field": (lambda g: -0.5 * jnp.sum(weight * g**2), ("v",))}
    )
    few = hj.linearise(network, {"v": jnp.ones(num_neurons)}, num_eigenvalues=3)
    np.testing.assert_allclose(few.eigenvalues, np.asarray(weight)[::-1][:3] - 1, atol=1e-5)


def test_flat_directions_are_counted(x64):
    # ΞᵀΞ is the projector on two axes: eigenvalues 0 twice, and -1.
    network = AdiabaticNetwork(MemoryMap(jnp.eye(5)[:2]), hidden=hj.Quadratic())
    found = hj.linearise(network, jnp.zeros(5))
    assert found.num_flat == 2 and not found.hyperbolic and not found.stable and "2 flat directions" in str(found)
    np.testing.assert_allclose(found.eigenvalues, [0, 0, -1, -1, -1], atol=1e-14)
    stable = hj.linearise(AdiabaticNetwork(MemoryMap(0.5 * jnp.eye(5)[:2]), hidden=hj.Quadratic()), jnp.zeros(5))
    assert stable.num_flat == 0 and stable.hyperbolic and stable.stable


def test_saturated_units_are_counted():
    network = AdiabaticNetwork(MemoryMap(jnp.ones((1, 5))), visible=hj.LogCosh(2.0), hidden=hj.Quadratic())
    found = hj.linearise(network, jnp.array([0.1, 50.0, -0.2, -60.0, 0.3]))
    assert found.num_dead == 2
    assert np.sum(np.abs(found.eigenvalues + 1) < 1e-5) >= 2


def linear_network(num_patterns, num_neurons, key):
    patterns = hj.gaussian_patterns(num_patterns, num_neurons, key=key) / np.sqrt(num_patterns)
    return AdiabaticNetwork(MemoryMap(patterns), hidden=hj.Quadratic())


@pytest.mark.parametrize(
    "num_neurons, slack", [(300, 0.2), pytest.param(2000, 0.07, marks=pytest.mark.slow)], ids=["300", "2000"]
)
def test_the_origin_is_hyperbolic_below_a_load_of_a_quarter(num_neurons, slack, key):
    num_patterns = num_neurons // 5
    found = hj.linearise(linear_network(num_patterns, num_neurons, key), jnp.zeros(num_neurons), tolerance=1e-3)
    eigenvalues = np.asarray(found.eigenvalues)
    assert found.hyperbolic and not found.stable and np.sum(eigenvalues > 0) == num_patterns
    # The rest of the spectrum: a mass of N - P at -1.
    np.testing.assert_allclose(eigenvalues[num_patterns:], -1, atol=1e-3)
    lower, upper = (1 / np.sqrt(0.2) - 1) ** 2, (1 / np.sqrt(0.2) + 1) ** 2
    # Marchenko–Pastur's edges, with the finite-size scatter of theory 1.6 (2 % at N = 2000, growing as N^(-2/3)).
    assert abs(eigenvalues[0] + 1 - upper) < slack * upper
    assert abs(eigenvalues[num_patterns - 1] + 1 - lower) < slack * lower


def test_a_network_that_is_not_convex_needs_the_general_solver(x64):
    patterns = hj.random_patterns(2, 6, key=jr.key(0))
    units = hj.MemoryQuadratic(hj.classical.hebbian(patterns, 4.5 * jnp.ones(2)))  # without their diagonal
    network, y = AdiabaticNetwork(IdentityMap(), visible=units, hidden=hj.LogCosh()), 0.3 * jr.normal(jr.key(1), (6,))
    found = hj.linearise(network, y, throw=False)
    assert found.result == hj.RESULTS.not_convex and np.all(np.isnan(found.eigenvalues)) and np.isnan(found.leading)
    assert not found.stable and not found.hyperbolic
    with pytest.raises(eqx.EquinoxRuntimeError, match="symmetric=False"):
        hj.linearise(network, y)
    general = hj.linearise(network, y, symmetric=False)
    exact = np.linalg.eigvals(np.asarray(hj.jacobian(network, y).as_matrix()))
    np.testing.assert_allclose(np.sort(general.eigenvalues.real), np.sort(exact.real), atol=1e-10)


def test_a_dynamics_without_energy_uses_the_general_solver():
    found = hj.linearise(Oscillator(2.0), jnp.array([1.0, 0.0]))
    assert np.iscomplexobj(found.eigenvalues)
    np.testing.assert_allclose(np.sort(np.imag(found.eigenvalues)), [-2, 2], atol=1e-6)
    assert found.num_flat == 2 and not found.hyperbolic and not found.stable and found.num_dead == -1
    np.testing.assert_allclose(found.residual, 2.0, rtol=1e-6)


ATTENTION = AdiabaticNetwork(MemoryMap(jnp.ones((2, 12))))


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: hj.linearise(ATTENTION, jnp.full(12, jnp.nan)), r"`y`.*finite"),
        (lambda: hj.linearise(ATTENTION, jnp.ones(5)), r"`y`.*\(12,\).*\(5,\)"),
        (lambda: hj.linearise(ATTENTION, {"v": jnp.ones(12)}), r"`y`"),
        (lambda: hj.linearise(ATTENTION, jnp.ones(12), num_eigenvalues=0), r"`num_eigenvalues`.*at least 1"),
        (lambda: hj.linearise(ATTENTION, jnp.ones(12), num_eigenvalues=3), r"`num_eigenvalues`.*fifth.*12"),
        (lambda: hj.linearise(ATTENTION, jnp.ones(12), num_eigenvalues=1, symmetric=False), r"`num_eigenvalues`.*None"),
        (lambda: hj.linearise(Oscillator(), jnp.ones(2), symmetric=True), r"`symmetric`.*False"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(ValueError, match=argument):
        call()


def test_saturated_units_have_finite_spectra_and_gradients():
    patterns = hj.random_patterns(3, 40, key=jr.key(0))
    network = hj.associative.AdiabaticNetwork(
        hj.associative.MemoryMap(patterns), visible=hj.HardTanh(8.0), hidden=hj.Quadratic(1 / 40)
    )
    found = hj.linearise(network, 5 * patterns[0], num_eigenvalues=3)
    np.testing.assert_allclose(found.eigenvalues, -1, atol=1e-5)
    assert found.num_dead == 40 and found.stable
    slope = jax.grad(lambda b: hj.linearise(hj.associative.graded_network(patterns, beta=b), 30 * patterns[0]).leading)(
        2.0
    )
    assert np.isfinite(slope)


def test_the_jacobian_of_a_batch_needs_no_copies_of_the_model():
    patterns = hj.random_patterns(3, 6, key=jr.key(0))
    network = hj.associative.AdiabaticNetwork(lambda g: patterns @ g, hidden=hj.LogSumExp(1.0))
    found = jax.vmap(lambda y: hj.linearise(network, y))(patterns)
    assert found.leading.shape == (3,)


@pytest.mark.parametrize("tolerance", [-5.0, np.nan])
def test_a_tolerance_outside_its_domain_is_refused(tolerance):
    network = hj.associative.graded_network(hj.random_patterns(2, 6, key=jr.key(0)))
    with pytest.raises(ValueError, match="tolerance"):
        hj.linearise(network, jnp.zeros(6), tolerance=tolerance)
