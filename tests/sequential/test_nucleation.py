"""Random memories: which way a switch goes, in theory and in networks."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import sequential


def test_the_closed_form():
    found = sequential.success_probability(jnp.array([100.0, 400.0]), 0.1, jnp.array([1, 3]))
    np.testing.assert_allclose(found, [0.8413447, 0.9772499**3], rtol=1e-5)  # Φ(1), Φ(2)³
    assert sequential.success_probability(64, 0.0, 4) == 0.5**4
    assert np.isnan(jax.jit(sequential.success_probability)(100.0, -0.1))
    with pytest.raises(ValueError, match="input_coupling"):
        sequential.success_probability(100, -0.1)
    # The share of random memories whose margin is positive: 32 · 64 pairs, P(Γ > −ε) of a binomial distribution.
    margins = jax.vmap(lambda key: sequential.switch_margins(random_network(key, 100, 32, 0.1)))(
        jr.split(jr.key(0), 64)
    )
    share = np.mean(np.asarray(margins)[np.isfinite(margins)] > 0)
    lattice = 1 / np.sqrt(2 * np.pi * 100)
    assert abs(share - 0.8413) < lattice + 4 * np.sqrt(0.13 / margins[np.isfinite(margins)].size)
    assert np.isfinite(margins).sum() == 64 * 32  # one transition a memory


def random_network(key, num_neurons, num_patterns, coupling, gain=6.0, tau_fast=0.01):
    patterns, cycle = hj.random_patterns(num_patterns, num_neurons, key=key), sequential.cycle(num_patterns)
    return sequential.InputDrivenNetwork(patterns, gain, cycle, tau_fast=tau_fast, input_coupling=coupling)


@functools.partial(jax.jit, static_argnums=(1, 2, 4, 5, 6))
def transitions(keys, num_neurons, num_patterns, coupling, gain, tau, wanted):
    """Whether the margins of the first transitions are positive, and whether the network makes them."""

    def one(key):
        network = random_network(key, num_neurons, num_patterns, coupling, gain=gain, tau_fast=tau)
        run = sequential.retrieve_sequence(
            network, saliency=gain, t1=2.6 + 1.7 * (wanted - 1), max_transitions=wanted + 4, saveat=jnp.zeros(1),
            solver=sequential.ExactDwell(), throw=False, max_steps=2048,
        )  # fmt: skip
        source = jnp.arange(wanted)
        margins = sequential.switch_margins(network)[(source + 1) % num_patterns, source]
        return jnp.all(margins > 0), run.num_correct >= wanted

    return jax.lax.map(one, keys, batch_size=min(len(keys), max(1, 2**22 // (num_neurons * num_patterns))))


@pytest.mark.parametrize(
    ("num_neurons", "num_patterns", "gain", "tau", "wanted", "trials", "scaled"),
    [
        pytest.param(128, 8, 6.0, 0.01, 1, 400, 1.0, marks=pytest.mark.slow),
        # Settings at which the law was not looked at when it was derived.
        pytest.param(300, 100, 8.0, 0.005, 1, 400, 0.5, marks=pytest.mark.slow),
        pytest.param(700, 40, 4.5, 0.02, 1, 200, 1.0, marks=pytest.mark.slow),
        pytest.param(400, 16, 5.0, 0.01, 4, 200, 1.5, marks=pytest.mark.slow),
    ],
)
def test_networks_succeed_as_often_as_their_margins_say(num_neurons, num_patterns, gain, tau, wanted, trials, scaled):
    coupling = scaled / num_neurons**0.5
    expected, found = transitions(jr.split(jr.key(5), trials), num_neurons, num_patterns, coupling, gain, tau, wanted)
    law = float(sequential.success_probability(num_neurons, coupling, wanted))
    # Four standard errors of the share, and the lattice of overlaps.
    error = np.sqrt(law * (1 - law) / trials)
    assert abs(found.mean() - law) < 4 * error + wanted / np.sqrt(2 * np.pi * num_neurons)
    assert np.mean(expected == found) > 0.9  # crosstalk decides where a margin is nearly zero
