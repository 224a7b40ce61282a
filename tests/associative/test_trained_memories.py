"""Trained memories and slopes: gradients at fixed points, steps of an optimiser, a layer in a larger model."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import hopfield_jax as hj
from hopfield_jax.associative import AdiabaticNetwork, MemoryMap


def at_rest(network, cue, max_time=1e4):
    found = hj.steady_state(network, cue, max_time=max_time, throw=False)
    return jnp.where(found.result == hj.RESULTS.successful, found.state, cue)


def integrated(network, cue):
    return hj.integrate(network, cue, t1=60.0, throw=False).final


def updated(network, cue):
    return jax.lax.scan(lambda v, _: (network.update(v), None), cue, length=100)[0]


def loss(settle, network, clean, cues, *each):
    """Squares of what is wrong at the end; a cue is half the input, and where to begin."""
    shown = lambda cue, *one: settle(eqx.tree_at(lambda n: n.input, network, 0.5 * cue), cue, *one)  # noqa: E731
    return jnp.sum(jnp.square(jax.vmap(shown)(cues, *each) - clean))


def slope(settle, network, *data):
    """The gradient in the patterns, the biases and β, and that in the time constant."""
    found = eqx.filter_jit(eqx.filter_grad(lambda n: loss(settle, n, *data)))(network)
    return ravel_pytree(trained(found))[0], found.tau_visible


def trained(network):
    return network.hidden_map.patterns, network.hidden_map.bias, network.hidden.beta


def problem():
    clean = jr.normal(jr.key(0), (5, 7))
    patterns = clean[:3] + 0.3 * jr.normal(jr.key(2), (3, 7))
    network = AdiabaticNetwork(MemoryMap(patterns, jnp.zeros(3)), hidden=hj.LogSumExp(0.2))
    return network, clean, clean + 0.5 * jr.normal(jr.key(1), clean.shape)


def test_implicit_and_long_unrolled_gradients_are_those_of_differences(x64):
    network, clean, cues = problem()
    here, rebuild = ravel_pytree(trained(network))
    at = lambda x: loss(updated, eqx.tree_at(trained, network, rebuild(x)), clean, cues)  # noqa: E731
    h = 3e-6
    expected = jax.jit(jax.vmap(lambda step: (at(here + step) - at(here - step)) / (2 * h)))(h * jnp.eye(here.size))
    assert np.min(np.abs(expected)) > 0.05  # each counts

    unrolled, _ = slope(updated, network, clean, cues)
    # Differences are off by h²/6 times third derivatives, 1e4 in β: 2e-8; and by rounding over h, 2e-9.
    np.testing.assert_allclose(unrolled, expected, rtol=0, atol=5e-8)
    # The last member has no time to settle, hands back its cue and adds nothing.
    more = jnp.concatenate([clean, clean[:1]]), jnp.concatenate([cues, cues[:1]]), jnp.array([1e4] * 5 + [1e-3])
    implicit, by_tau = slope(at_rest, network, *more)
    np.testing.assert_allclose(implicit, unrolled, rtol=1e-11)  # Newton's method and the updates end at rounding
    assert by_tau == 0  # no rest point moves with the time constant


@pytest.mark.slow
def test_gradients_through_a_long_integration_are_those_of_updates(x64):
    expected, _ = slope(updated, *problem())
    path, by_tau = slope(integrated, *problem())
    # The solver's relative tolerance is 1e-8 a step; several steps add up.
    np.testing.assert_allclose([*path, by_tau], [*expected, 0], rtol=0, atol=1e-7 * float(jnp.max(jnp.abs(expected))))


class Denoiser(eqx.Module):
    """Someone's model: linear maps around a network that settles."""

    encoder: Callable
    patterns: jax.Array
    log_beta: jax.Array
    decoder: Callable
    settle: Callable = eqx.field(static=True)

    def __call__(self, cue):
        x = self.encoder(cue)
        network = AdiabaticNetwork(MemoryMap(self.patterns), hidden=hj.LogSumExp(jnp.exp(self.log_beta)), input=x)
        return self.decoder(self.settle(network, x))


def alone(settle):
    return Denoiser(eqx.nn.Identity(), jr.normal(jr.key(3), (4, 8)), jnp.zeros(()), eqx.nn.Identity(), settle)


def as_a_layer(settle):
    encoder, decoder = eqx.nn.Linear(8, 6, key=jr.key(4)), eqx.nn.Linear(6, 8, key=jr.key(5))
    return Denoiser(encoder, jr.normal(jr.key(3), (4, 6)), jnp.zeros(()), decoder, settle)


@pytest.mark.parametrize("make, settle", [(alone, updated), (as_a_layer, at_rest)])
def test_a_few_steps_of_an_optimiser_denoise_better_what_was_not_shown(make, settle):
    prototypes = hj.random_patterns(4, 8, key=jr.key(0))
    clean = prototypes[jr.randint(jr.key(1), (32,), 0, 4)]
    cues = clean + 0.5 * jr.normal(jr.key(2), clean.shape)

    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    @eqx.filter_value_and_grad
    def slope(model, cues, clean):
        return jnp.mean(jnp.square(jax.vmap(model)(cues) - clean))

    model, optimiser = make(settle), optax.adam(0.05)
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    before, first = slope(model, cues[16:], clean[16:])
    assert all(jnp.any(x != 0) for x in jax.tree.leaves(first))  # everything is trained
    for _ in range(10):
        _, gradient = slope(model, cues[:16], clean[:16])
        with jax.numpy_dtype_promotion("standard"):  # which optax relies on
            change, state = optimiser.update(gradient, state)
        model = eqx.apply_updates(model, change)
    after, _ = slope(model, cues[16:], clean[16:])
    assert after < 0.8 * before
    # One by one as in a batch; and a hundred updates end at rest.
    same = eqx.filter_jit(dataclasses.replace(model, settle=updated))
    one_by_one = jnp.stack([same(cue) for cue in cues[16:]])
    np.testing.assert_allclose(jnp.mean(jnp.square(one_by_one - clean[16:])), after, rtol=1e-4)
