"""Memories of compact support: exact retrieval, fixed points where supports meet, a dead zone outside."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax.associative import AdiabaticNetwork, DistanceNetwork, MemoryMap

PATTERNS = jnp.array([[0.0, 0.0], [2.0, 0.0], [9.0, 0.0]])
RADIUS = np.sqrt(2 / 0.8)  # of β = 0.8: 1.58
NETWORK = DistanceNetwork(PATTERNS, hj.LogSumReLU(beta=0.8))


def test_one_update_retrieves_exactly_where_one_memory_acts():
    assert np.array_equal(NETWORK.update(jnp.array([-0.9, 1.2])), [0, 0])
    assert np.array_equal(NETWORK.update(jnp.array([9.0, 1.57])), [9, 0])


def test_where_supports_meet_there_is_a_fixed_point_more():
    middle = jnp.array([1.0, 0.0])
    np.testing.assert_allclose(NETWORK.update(middle + jnp.array([0.1, -0.3])), middle, rtol=1e-6)
    assert hj.linearise(NETWORK, middle).stable


def test_outside_of_all_supports_nothing_acts_and_the_verbs_say_so():
    far = jnp.array([5.5, 0.0])
    assert np.array_equal(NETWORK.update(far), far)
    report, flat = hj.check_descent(NETWORK, far), hj.linearise(NETWORK, far)
    assert report.dead and "dead zone" in str(report)
    assert flat.num_flat == 2 and not flat.stable and "dead zone" in str(flat)
    near = hj.check_descent(NETWORK, jnp.array([0.5, 0.2]))
    assert not near.dead and near.descends and near.consistent and near.differentiable


@pytest.mark.parametrize("units", [hj.LogSumExp(0.7), hj.Sparsemax(0.7), hj.Entmax(1.5, 0.7)])
def test_distances_are_dot_products_with_a_bias(units):
    """−|g − ξ|²/2 = ξ·g − |ξ|²/2 − |g|²/2, and these activations add up to one."""
    patterns, v = hj.gaussian_patterns(5, 6, key=jr.key(0)), jr.normal(jr.key(1), (6,))
    bias = -0.5 * jnp.sum(jnp.square(patterns), axis=1)
    network, expected = DistanceNetwork(patterns, units), AdiabaticNetwork(MemoryMap(patterns, bias), hidden=units)
    for method in ("update", "energy"):
        np.testing.assert_allclose(getattr(network, method)(v), getattr(expected, method)(v), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(network.vector_field(0.0, v), expected.vector_field(0.0, v), atol=1e-5)


def test_the_energy_never_rises_along_updates_of_any_family(x64):
    """v ← Ξᵀ∇L is a step of the concave–convex procedure, and of mean shift for distances."""
    patterns, starts = 0.5 * hj.gaussian_patterns(6, 5, key=jr.key(0)), 2 * jr.normal(jr.key(1), (50, 5))
    families = {
        "softmax": hj.LogSumExp(2.0), "sparsemax": hj.Sparsemax(2.0), "entmax": hj.Entmax(1.3, 2.0),
        "rectified": hj.RectifiedPower(3), "epanechnikov": hj.LogSumReLU(0.3, 0.1),
    }  # fmt: skip
    networks = {name: AdiabaticNetwork(MemoryMap(patterns), hidden=units) for name, units in families.items()}
    networks |= {f"{name} of distances": DistanceNetwork(patterns, units) for name, units in families.items()}
    del networks["epanechnikov"], networks["rectified of distances"]  # not convex in h; not a decreasing kernel

    @jax.jit
    def energies(networks, start):
        def path(network):
            return jax.lax.scan(lambda v, _: (network.update(v), network.energy(v)), start, length=6)[1]

        return {name: path(network) for name, network in networks.items()}

    found = jax.vmap(energies, in_axes=(None, 0))(networks, starts)
    for name, energy in found.items():
        assert np.max(np.diff(energy)) <= 1e-12 * np.max(np.abs(energy)), name
        assert np.mean(energy[:, 0] - energy[:, -1]) > 1e-2, name


def test_bad_input_names_the_argument():
    for build, argument in (
        (lambda: DistanceNetwork(jnp.ones(3)), r"DistanceNetwork\.patterns"),
        (lambda: DistanceNetwork(PATTERNS, tau_visible=0), r"DistanceNetwork\.tau_visible"),
        (lambda: NETWORK.update(jnp.ones(3)), r"`y`.*\(2,\).*\(3,\)"),
    ):
        with pytest.raises(ValueError, match=argument):
            build()
