"""Stationary states and critical loads of synapses other than Hebb's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import enable_x64

import hopfield_jax as hj
from hopfield_jax import dmft as D
from hopfield_jax.theory import critical_load, scsna

SIGN = hj.Sign()


@pytest.mark.parametrize(
    "synapses, load, overlap",
    [
        (D.Clipped(), 0.1018387, 0.947953),
        (D.Quantised(2), 0.1267947, 0.962543),
        (D.Quantised(3), 0.1346820, 0.966087),
        (D.Ternary(), 0.1196874, 0.958957),
        (D.Diluted(0.75), 0.1136816, None),
        (D.Diluted(0.5), 0.0865419, 0.935570),
        (D.Diluted(0.5, symmetric=False), 0.0865419, 0.935570),
        (D.Diluted(0.1), 0.0276288, None),
    ],
)
def test_capacity_of_sign_units(synapses, load, overlap):
    """The maximum over y of [erf²(y)/2y²]/[1/(1 − U)² + δ], U = (2/√π) y exp(−y²)/erf(y), by another program."""
    found = critical_load(SIGN, synapses=synapses)
    np.testing.assert_allclose(found.load, load, atol=2e-7)
    if overlap is not None:
        np.testing.assert_allclose(found.overlap, overlap, atol=2e-6)


@pytest.mark.parametrize("symmetry, overlap", [(1.0, 0.959912), (0.0, 0.956194), (-1.0, 0.951355)])
def test_stationary_state_with_noise(symmetry, overlap):
    found = scsna(hj.LogCosh(beta=4.0), 0.04, synapses=D.Noisy(0.12, symmetry))
    np.testing.assert_allclose(found.overlap, overlap, atol=2e-6)


def test_hebbs_synapses_are_the_limit():
    for units in (SIGN, hj.LogCosh(beta=4.0)):
        plain = scsna(units, 0.08, strength=0.1 * (units is not SIGN))
        same = scsna(units, 0.08, strength=0.1 * (units is not SIGN), synapses=D.Diluted(1.0))
        np.testing.assert_allclose(same.overlap, plain.overlap, atol=1e-6)
        np.testing.assert_allclose(same.noise, plain.noise, rtol=1e-5)
        np.testing.assert_allclose(
            critical_load(units, synapses=D.Noisy(0.0)).load, critical_load(units).load, rtol=1e-6
        )


def test_the_dynamics_ends_in_the_stationary_state():
    """Leaky plasticity, self-couplings and g ≠ 1 together, where a site has one state."""
    model = D.PlasticNetwork(
        0.03, hj.LogCosh(2.0), D.LeakyHebbian(0.05, 3.0), self_coupling=True, coupling=0.9, synapses=D.Ternary(0.5)
    )
    rest, run = D.stationary(model), D.solve(model, D.SpinCue(0.9), num_steps=40, key=jax.random.key(0))
    assert rest.retrieved and not rest.multivalued
    assert abs(run.overlap[-1] - rest.overlap) < 4 * run.overlap_error[-1] + 1e-4  # not quite at rest
    panel = D.panel(model, D.SpinCue(0.9))
    assert panel["stationary"].applies and np.allclose(panel["stationary"].value, rest.overlap)
    assert not panel["first_step"].applies and "synapses" in panel["first_step"].reason


def test_slopes_by_the_synapses_are_those_of_differences():
    loads = [
        lambda x: critical_load(hj.LogCosh(beta=4.0), synapses=D.Diluted(x, symmetric=False)).load,
        lambda x: critical_load(SIGN, synapses=D.Ternary(x)).load,
        lambda x: scsna(hj.LogCosh(beta=4.0), 0.04, synapses=D.Noisy(x, 0.3)).overlap,
    ]
    with enable_x64():
        for function, at in zip(loads, (0.6, 0.4, 0.1), strict=True):
            h = 1e-4
            difference = (function(at + h) - function(at - h)) / (2 * h)
            np.testing.assert_allclose(jax.grad(function)(at), difference, rtol=1e-5)


def test_bits_between_one_and_many():
    loads = [float(critical_load(SIGN, synapses=D.Quantised(bits)).load) for bits in range(1, 6)]
    assert np.all(np.diff(loads) > 0) and 0.137 < loads[-1] < 0.1379056


def test_what_is_refused():
    refused = "`synapses`: expected None for thermal units and for other storage"
    with pytest.raises(ValueError, match=refused):
        scsna(hj.Glauber(4.0), 0.05, synapses=D.Clipped())
    with pytest.raises(ValueError, match=refused):
        scsna(SIGN, 0.05, storage=hj.theory.Diluted(), synapses=D.Clipped())
    found = jax.jit(lambda x: scsna(SIGN, 0.05, synapses=D.Diluted(x), throw=False))(jnp.asarray(1.5))
    assert found.result == hj.RESULTS.invalid_parameter and np.isnan(found.overlap)
