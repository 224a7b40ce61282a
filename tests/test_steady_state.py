"""Steady states against closed forms, and their implicit derivatives."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import optimize

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.associative import AdiabaticNetwork, MemoryMap, graded_network, slow_fast_network
from systems import Decay, Oscillator

ONE = np.ones((1, 1))


def magnet(beta):
    """v̇ = -v + tanh βv: one neuron with a self-coupling of one."""
    return graded_network(jnp.ones((1, 1)), beta=beta, self_coupling=True)


def magnetisation(beta, start):
    """The root of x = tanh βx on the side of `start`."""
    if beta <= 1 or start == 0:
        return 0.0
    return np.sign(start) * optimize.brentq(lambda x: x - np.tanh(beta * x), 1e-6, 1.0, xtol=1e-15)


BETAS = np.array([0.5, 1.5, 1.5, 3.0, 3.0, 1.5])
STARTS = np.array([0.8, 0.1, -0.1, 2.0, -1e-3, 0.0])


def test_states_are_the_roots_in_the_basin_of_the_start(x64):
    run = lambda beta, start: hj.steady_state(magnet(beta), start[None], throw=False)  # noqa: E731
    found = jax.jit(jax.vmap(run))(jnp.asarray(BETAS), jnp.asarray(STARTS))
    expected = [magnetisation(beta, start) for beta, start in zip(BETAS, STARTS, strict=True)]
    assert np.all(found.result == hj.RESULTS.successful)
    # Newton's method solves to rounding.
    np.testing.assert_allclose(found.state[:, 0], expected, atol=1e-12)
    assert np.all(found.residual < 1e-12) and np.all(found.num_steps > 0)
    assert np.all(found.time[:-1] < 100)


def slope(beta, start):
    """dx/dβ = x(1 - x²)/(1 - β(1 - x²)) for x = tanh βx."""
    x = magnetisation(beta, start)
    return x * (1 - x**2) / (1 - beta * (1 - x**2))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_implicit_derivatives_are_exact(mode, x64):
    state = lambda beta, start: hj.steady_state(magnet(beta), start[None], throw=False).state[0]  # noqa: E731
    derivative = (jax.grad if mode == "reverse" else jax.jacfwd)(state, argnums=(0, 1))
    by_beta, by_start = jax.jit(jax.vmap(derivative))(jnp.asarray(BETAS), jnp.asarray(STARTS))
    expected = [slope(beta, start) for beta, start in zip(BETAS, STARTS, strict=True)]
    np.testing.assert_allclose(by_beta, expected, rtol=1e-9, atol=1e-12)
    assert np.all(by_start == 0)


class Forced(hj.AbstractDynamics):
    """ẏ = a - y³, with a handed over as `args`; at rest y is the cube root."""

    def vector_field(self, t, y, args=None):
        return args - y**3


def test_arguments_of_the_vector_field_are_differentiated_too(x64):
    found, gradient = jax.value_and_grad(
        lambda a: hj.steady_state(Forced(), jnp.array(1.0), args=a, throw=False).state
    )(jnp.array(8.0))
    np.testing.assert_allclose([found, gradient], [2.0, 1 / 12], rtol=1e-9)


def test_dynamics_that_cycle_never_settle():
    # Newton's method alone would jump to the centre, which is a rest point that the dynamics never comes near.
    found = hj.steady_state(Oscillator(2.0), jnp.array([1.0, 0.0]), max_time=50.0, throw=False)
    assert found.result == hj.RESULTS.not_settled and np.all(np.isnan(found.state))
    with pytest.raises(eqx.EquinoxRuntimeError, match="No steady state was reached"):
        hj.steady_state(Oscillator(2.0), jnp.array([1.0, 0.0]), max_time=50.0)
    assert "No steady state" in str(found)


def test_too_little_time_and_too_few_steps_are_told():
    found = hj.steady_state(Decay(1.0), jnp.array([1.0]), max_time=0.5, throw=False)
    assert found.result == hj.RESULTS.not_settled and np.all(np.isnan(found.state))
    found = hj.steady_state(Decay(1.0), jnp.array([1.0]), max_steps=2, throw=False)
    assert found.result == hj.RESULTS.not_settled and np.all(np.isnan(found.state))


def test_fast_and_slow_neurons_settle_where_the_adiabatic_network_does():
    patterns = hj.random_patterns(2, 8, key=jr.key(0))
    adiabatic = AdiabaticNetwork(MemoryMap(patterns), visible=hj.LogCosh(2.0), hidden=hj.LogSumExp(1.0))
    network = slow_fast_network(MemoryMap(patterns), visible=hj.LogCosh(2.0), hidden=hj.LogSumExp(1.0), tau_hidden=1e-2)
    v = patterns[0] + 0.3 * jr.normal(jr.key(1), (8,))
    found = hj.steady_state(network, {"visible": v, "hidden": jnp.zeros(2)})
    assert np.max(np.abs(adiabatic.vector_field(0.0, found.state["visible"]))) < 1e-5
    assert np.max(found.state["visible"] * patterns[0]) > 0.5 and "ok" in str(found)


def test_a_traced_bad_parameter_gives_its_code():
    run = lambda tau: hj.steady_state(  # noqa: E731
        graded_network(jnp.ones((1, 2)), beta=2.0, tau_visible=tau), jnp.array([0.3, 0.2]), throw=False
    )
    found = jax.jit(jax.vmap(run))(jnp.array([1.0, -1.0, jnp.nan]))
    assert np.array_equal(found.result == hj.RESULTS.invalid_parameter, [False, True, True])
    assert np.array_equal(np.all(np.isfinite(found.state), axis=1), [True, False, False])
    assert np.array_equal(np.any(np.isfinite(found.state), axis=1), [True, False, False])


@pytest.mark.slow
def test_large_states_are_differentiated_without_a_dense_matrix():
    num_neurons = 600
    with enable_x64():
        patterns = hj.random_patterns(5, num_neurons, key=jr.key(0))
        cue = hj.flip(patterns[0], 0.2, key=jr.key(1))

        def overlap(beta):
            network = graded_network(patterns, beta=beta)
            g = jnp.tanh(beta * hj.steady_state(network, cue, throw=False).state)
            return jnp.mean(patterns[0] * g)

        value, gradient = jax.jit(jax.value_and_grad(overlap))(jnp.array(3.0))
        difference = (overlap(jnp.array(3.0 + 1e-4)) - overlap(jnp.array(3.0 - 1e-4))) / 2e-4
        # GMRES stops at a relative tolerance of 1e-8.
        np.testing.assert_allclose(gradient, difference, rtol=1e-5)
        assert float(value) > 0.9


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: hj.steady_state("model", jnp.ones(1)), r"model"),  # pyright: ignore[reportArgumentType]
        (lambda: hj.steady_state(Decay(), jnp.array([jnp.nan])), r"`y0`.*finite"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), tolerance=0.0), r"`tolerance`.*positive"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), max_time=0.0), r"max_time|t1"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), max_steps=0), r"`max_steps`.*at least 1"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), solver=dfx.Euler()), r"dt0"),
        (lambda: hj.steady_state(magnet(2.0), jnp.ones(2)), r"`(y|y0)`"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(ValueError if argument != "model" else Exception, match=argument):
        call()
