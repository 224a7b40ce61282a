"""Models of 16 bits: verbs compute in float32 and return states in the type they were given."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax.associative import graded_network, memory_spectrum, retrieve, score, slow_fast_network

FORWARD, SAVEAT = dfx.ForwardMode(), np.array([0.5, 1.0])


def noise(y):
    return hj.Noise(lambda t, y, args: 0.1 * jnp.ones_like(y), jr.key(0))


# name: (verb of network, patterns and state; whether it returns a state)
VERBS = {
    "values": (lambda n, p, y: hj.integrate(n, y, t1=1.0, saveat=SAVEAT, adjoint=FORWARD).values, True),
    "final": (lambda n, p, y: hj.integrate(n, y, t1=1.0, saveat=SAVEAT, adjoint=FORWARD).final, True),
    "noise": (lambda n, p, y: hj.integrate(n, y, t1=1.0, dt0=0.1, noise=noise(y), adjoint=FORWARD).final, True),
    "event": (
        lambda n, p, y: (
            hj.integrate(
                n, y, t1=1.0, event=hj.Event(lambda t, y, args, mode: t - 0.5), adjoint=FORWARD
            ).occurrences.states  # pyright: ignore[reportOptionalMemberAccess]
        ),
        True,
    ),
    "steady_state": (lambda n, p, y: hj.steady_state(n, y).state, True),
    "gradient": (
        lambda n, p, y: jax.grad(
            lambda p: jnp.sum(hj.steady_state(graded_network(p, beta=n.visible.beta), y).state.astype(jnp.float32))
        )(p),
        True,
    ),
    "linearise": (lambda n, p, y: hj.linearise(n, y).eigenvalues, False),
    "leading": (lambda n, p, y: hj.linearise(n, y, num_eigenvalues=2).eigenvalues, False),
    "jacobian": (lambda n, p, y: hj.jacobian(n, y).as_matrix(), False),
    "check_descent": (lambda n, p, y: hj.check_descent(n, y).energy_rate, False),
    "retrieve": (lambda n, p, y: retrieve(n, p, y, num_times=2).overlap, False),
    "output": (lambda n, p, y: retrieve(n, p, y, num_times=2).output, True),
    "score": (
        lambda n, p, y: (
            score(jax.vmap(lambda y: retrieve(n, p, y, num_times=2, throw=False))(y[None]), jnp.array([0])).similarity
        ),
        False,
    ),
    "memory_spectrum": (lambda n, p, y: memory_spectrum(p).eigenvalues, False),
}


@pytest.mark.parametrize("bits", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", VERBS)
def test_verbs_compute_in_float32_and_return_states_in_their_own_type(verb, bits):
    call, is_state = VERBS[verb]
    patterns = hj.gaussian_patterns(2, 12, key=jr.key(0)).astype(bits)
    small = graded_network(patterns, beta=jnp.asarray(3, bits)), patterns, 0.75 * patterns[0]
    small = jtu.tree_map(lambda x: x.astype(bits), small)
    wide = jtu.tree_map(lambda x: x.astype(jnp.float32), small)  # the same numbers
    got, expected = call(*small), call(*wide)
    assert got.dtype == (bits if is_state else jnp.float32) and expected.dtype == jnp.float32
    if verb == "gradient":  # the network is made from the patterns in their own type
        np.testing.assert_allclose(got.astype(jnp.float32), expected, rtol=0.05, atol=0.05)
    else:
        np.testing.assert_array_equal(got, expected.astype(got.dtype))


def test_methods_of_a_network_stay_in_its_type():
    network = jtu.tree_map(
        lambda x: x.astype(jnp.bfloat16), slow_fast_network(hj.associative.MemoryMap(jnp.eye(2)), tau_hidden=0.5)
    )
    state = {"visible": jnp.ones(2, jnp.bfloat16), "hidden": jnp.zeros(2, jnp.bfloat16)}
    for answer in (network.energy(state), network.target(state), network.vector_field(0.0, state)):
        assert all(x.dtype == jnp.bfloat16 for x in jtu.tree_leaves(answer))
