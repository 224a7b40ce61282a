"""Lyapunov exponents against closed forms, published numbers and mean-field theory."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax.associative import graded_network
from hopfield_jax.classical import DenseCouplings, GradedNetwork, OuterProducts


class Lorenz(hj.AbstractDynamics):
    def vector_field(self, t, y, args=None):
        return jnp.stack([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])


class Linear(hj.AbstractDynamics):
    matrix: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite", ndim=2))

    def vector_field(self, t, y, args=None):
        return self.matrix @ y


def henon(t, y, args):
    return jnp.stack([1 - 1.4 * y[0] ** 2 + y[1], 0.3 * y[0]])


def within(found, expected, errors, most):
    """Within four standard errors (1 of 16000; blocks are longer than correlations), which are small enough."""
    assert abs(found - expected) < 4 * errors and errors < most


def test_lorenz(x64):
    found = hj.lyapunov_exponents(Lorenz(), jnp.array([1.0, 1.0, 20.0]), t1=2000.0, num_exponents=3, dt0=0.01)
    # 0.9056(2) and the dimension 2.062: Sprott, Chaos and Time-Series Analysis.
    within(found.exponents[0], 0.9056, found.errors[0], 0.01)
    within(found.exponents[1], 0.0, found.errors[1], 0.01)
    assert abs(found.dimension - 2.062) < 2e-3
    # The trace is constant, -10 - 1 - 8/3; a step of order five is off by about dt^5 times the fifth power of rates.
    assert abs(found.exponents.sum() + 41 / 3) < 1e-4
    assert found.num_steps == 200_000 and found.final.shape == (3,)


def test_henon_and_one_program_for_any_length(x64):
    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def program(t1):
        return hj.lyapunov_exponents(henon, jnp.array([0.1, 0.1]), t1=t1, num_exponents=2, throw=False)

    short, found = program(jnp.array(1000.0)), program(jnp.array(200_000.0))
    within(found.exponents[0], 0.4192, found.errors[0], 2e-3)
    np.testing.assert_allclose(found.exponents.sum(), np.log(0.3), rtol=1e-9)  # the determinant, to rounding
    assert short.num_steps == 1000 and short.blocks.shape == found.blocks.shape


def test_memory_is_that_of_k_and_one_states(x64):
    """For any number of steps, which is an argument of the program."""
    num_neurons, k = 1000, 4

    def exponents(t1):
        layer = hj.Layer(hj.LogCosh())
        network = GradedNetwork(OuterProducts(jnp.ones((num_neurons, 2))), layer)
        return hj.lyapunov_exponents(network, jnp.ones(num_neurons), t1=t1, num_exponents=k, dt0=0.1).exponents

    used: Any = jax.jit(exponents).lower(jnp.array(1e4)).compile().memory_analysis()
    # A few copies: seven stages of the solver for each, a step before and after, and those of the factorisation.
    assert used.temp_size_in_bytes < 24 * (k + 1) * num_neurons * 8


def test_linear_systems_have_the_real_parts_of_eigenvalues_and_their_derivatives(x64):
    basis = np.random.default_rng(0).normal(size=(4, 4))
    rates = np.array([0.5, -0.1, -1.0, -2.0])

    def exponents(rates, k=4):
        matrix = basis @ jnp.diag(rates) @ np.linalg.inv(basis)
        y0 = {"a": jnp.zeros(4)}
        return hj.lyapunov_exponents(Parts(Linear(matrix)), y0, t1=200.0, num_exponents=k, dt0=0.01, transient=50.0)

    found, slopes = jax.jit(lambda r: jax.jvp(lambda r: (e := exponents(r)).exponents + 0 * e.errors, (r,), (r,)))(
        jnp.asarray(rates)
    )
    # Order five: the error of a step's growth is (0.02)^6/720 per 0.01.
    np.testing.assert_allclose(found, rates, atol=1e-11)
    np.testing.assert_allclose(slopes, rates, atol=1e-9)
    assert np.all(exponents(jnp.asarray(rates), 2).errors < 1e-11)  # also of fewer tangents
    with pytest.raises(Exception, match="forward mode only"):
        jax.grad(lambda r: exponents(r).exponents[0])(jnp.asarray(rates))


class Parts(hj.AbstractDynamics):
    """A state that is a dictionary."""

    inner: hj.AbstractDynamics

    def vector_field(self, t, y, args=None):
        return {"a": self.inner.vector_field(t, y["a"])}


def test_a_network_at_rest_has_the_exponents_of_its_linearisation(x64):
    patterns = hj.random_patterns(2, 12, key=jr.key(0))
    network = graded_network(patterns, beta=4.0)
    rest = hj.steady_state(network, 0.8 * patterns[0])
    found = hj.lyapunov_exponents(network, rest.state, t1=300.0, num_exponents=3, dt0=0.05)
    expected = hj.linearise(network, rest.state)
    assert expected.stable and np.all(found.exponents < 0) and found.dimension == 0
    np.testing.assert_allclose(found.exponents.sum(), expected.eigenvalues[:3].sum(), atol=1e-3)


def test_noise_is_that_of_one_path(x64):
    """dx = ax dt + bx dW grows at the rate a - b²/2; noise that does not depend on the state leaves a."""
    model, y0 = Linear(jnp.array([[-0.3]])), jnp.ones(1)
    for size, diffusion in ((0.8, _scaled), (0.0, _constant)):
        noise = hj.Noise(eqx.Partial(diffusion, 0.8), jr.key(1))
        found = hj.lyapunov_exponents(model, y0, t1=400.0, dt0=1e-3, noise=noise)
        rate = -0.3 - size**2 / 2
        if size:  # the bias of the step, 1e-3 times cubes of the rates, is far below the error b/√t = 0.04
            within(found.exponents[0], rate, found.errors[0], 0.08)
        else:
            np.testing.assert_allclose(found.exponents[0], np.log(1 - 0.3e-3) / 1e-3, rtol=1e-9)


def _scaled(size, t, y, args):
    return size * y


def _constant(size, t, y, args):
    return size * jnp.ones_like(y)


def test_invalid_arguments():
    lorenz, y0 = Lorenz(), jnp.ones(3)

    def run(model: Any = lorenz, y0: Any = y0, **options: Any) -> Any:
        settings: dict[str, Any] = {"t1": 10.0} | options
        return hj.lyapunov_exponents(model, y0, **settings)

    for options, message in (
        (dict(dt0=0.1, num_exponents=4), "num_exponents.*at most the size 3"),
        (dict(), "dt0.*a step size"),
        (dict(dt0=-0.1), "dt0.*positive"),
        (dict(dt0=0.1, t1=1.0), "t1.*20 blocks of at least one step"),
        (dict(dt0=1e-6), "dt0.*resolve"),
        (dict(model=henon, y0=jnp.ones(2), t1=100, dt0=0.1), "dt0.*None for a map"),
        (dict(model=lambda y: y, t1=100), r"a function of \(t, y, args\)"),
        (dict(model=lambda t, y, args: y[:2], t1=100), "next state of the state's own shape"),
        (dict(dt0=0.1, num_blocks=1), "num_blocks"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**options)
    # Traced numbers outside their domain, and trajectories without bound, give a code and NaN.
    traced = jax.jit(lambda dt0: hj.lyapunov_exponents(lorenz, y0, t1=10.0, dt0=dt0, throw=False))(-0.1)
    assert traced.result == hj.RESULTS.invalid_parameter and np.isnan(traced.exponents[0])
    lost = run(Linear(20 * jnp.eye(3)), dt0=0.1, throw=False)
    assert lost.result == hj.RESULTS.not_finite and np.isnan(lost.exponents[0])
    # A singular map has an exponent of -inf, not NaN.
    singular = run(lambda t, y, args: y * jnp.array([0.5, 0.0, 0.0]), t1=100, num_exponents=3)
    np.testing.assert_allclose(singular.exponents, [np.log(0.5), -np.inf, -np.inf], rtol=1e-5)


def mean_field_exponent(gain: float) -> float:
    r"""The largest exponent of ẋ = -x + gJ tanh x for N → ∞ (Sompolinsky, Crisanti and Sommers 1988).

    Δ(τ) = <x(0)x(τ)> moves in the potential V = -Δ²/2 + g² <L L>, without energy: V(Δ_0) = V(0). A perturbation grows
    with (1 + λ)² the largest eigenvalue of ∂²/∂τ² + g² <φ'φ'>(τ).
    """
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()

    def correlation(function, delta, delta0):
        inside = np.sqrt(max(delta0 - delta, 0)) * x[:, None] + np.sqrt(delta) * x[None]
        return w @ (w @ function(inside)) ** 2

    log_cosh = lambda z: np.logaddexp(z, -z) - np.log(2)  # noqa: E731
    # Not smooth enough in Δ near Δ_0 for differences, but exact in Δ itself.
    potential = lambda d, d0: -0.5 * d * d + gain**2 * (correlation(log_cosh, d, d0) - correlation(log_cosh, 0.0, d0))  # noqa: E731
    low, high = 1e-3, 4 * gain**2
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if potential(middle, middle) > 0 else (low, middle)
    delta0 = low
    tau = np.linspace(0, 60, 3001)
    force = lambda d: d - gain**2 * correlation(np.tanh, d, delta0)  # noqa: E731
    # From the top Δ_0 (1 - tiny) outward along the orbit of energy zero: Δ' = -√(-2V).
    delta, h = [delta0, delta0 + 0.5 * force(delta0) * tau[1] ** 2], tau[1]
    for _ in tau[2:]:
        slope = lambda d: -np.sqrt(max(-2 * potential(max(d, 0.0), delta0), 0))  # noqa: E731
        k = slope(delta[-1])
        delta.append(max(delta[-1] + h * slope(delta[-1] + 0.5 * h * k), 0.0))
    response = np.array([correlation(lambda z: 1 / np.cosh(z) ** 2, d, delta0) for d in delta])
    diagonal = gain**2 * response - 2 / h**2
    # Even functions on the half line: the first row couples twice as strongly, symmetrised.
    beside = np.full(len(tau) - 1, 1 / h**2)
    beside[0] *= np.sqrt(2)
    from scipy.linalg import eigh_tridiagonal

    last = len(tau) - 1
    return float(np.sqrt(eigh_tridiagonal(diagonal, beside, select="i", select_range=(last, last))[0][0]) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [1.5, 2.0])
def test_random_networks_have_the_exponent_of_mean_field_theory(gain):
    num_neurons = 4000

    @jax.jit
    def exponent(key):
        of_couplings, of_start = jr.split(key)
        couplings = gain * jr.normal(of_couplings, (num_neurons, num_neurons)) / jnp.sqrt(num_neurons)
        network = GradedNetwork(DenseCouplings(couplings), hj.Layer(hj.LogCosh()))
        start = jr.normal(of_start, (num_neurons,))
        return hj.lyapunov_exponents(
            network, start, t1=400.0, transient=100.0, dt0=0.2, solver=dfx.Bosh3(), throw=False
        ).exponents[0]

    found = [float(exponent(key)) for key in jr.split(jr.key(0), 2)]
    # 0.0468 and 0.1125; smaller networks are less chaotic, by 0.014/0.007 at 2000 neurons.
    expected = mean_field_exponent(gain)
    assert abs(np.mean(found) - expected) < 0.006
