"""Stationary states of neurons with inner variables: short-term plasticity at rest, adaptation as a self-coupling."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import enable_x64

import hopfield_jax as hj
from hopfield_jax import dmft as D

TANH = hj.LogCosh(beta=4.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "times, overlap, correlation",
    [
        ((0.2, 5.0), 0.712691, 0.574643),
        ((0.15, 4.0, 6.0), 1.072679, 1.156707),
    ],
)
def test_depression_and_facilitation_at_rest(times, overlap, correlation):
    """Reference: a quadrature of its own over both signs of the pattern."""
    model = D.PlasticNetwork(0.08, D.ShortTermPlasticity(TANH, *times))
    found = D.stationary(model)
    np.testing.assert_allclose([found.overlap, found.correlation], [overlap, correlation], atol=2e-6)
    assert found.retrieved and not found.multivalued
    kernel = D.LeakyHebbian(0.1, 5.0)
    with pytest.raises(ValueError, match="`model`: expected no kernel for units with inner variables"):
        D.stationary(D.PlasticNetwork(0.08, model.units, kernel))


def ends_at(units, load, width=3e-4):
    """Whether retrieval ends within `width` of a load. Closer to it the iteration takes longer."""
    below, above = (hj.theory.scsna(units, x, throw=False) for x in (load - width, load + width))
    return bool(below.retrieved) and not bool(above.retrieved)


@pytest.mark.slow
@pytest.mark.parametrize("kappa, load", [(1 / 9, 0.13620), (0.5, 0.11006)])
def test_capacity_of_binary_neurons_depends_on_their_mean_over_their_jump(kappa, load):
    """s = cφ + d: κ = |d/c| is γ/(2 + γ) for ±1 and γ for 0 and 1 with a threshold, γ = Uτ_r; reference to 2e-5."""
    assert ends_at(D.ShortTermPlasticity(D.Sign(), 0.5, 4 * kappa / (1 - kappa)), load)
    assert ends_at(D.ShortTermPlasticity(D.Sign(), 0.5, 2 * kappa, bits=True, threshold=True), load)


@pytest.mark.slow
def test_capacity_of_0_and_1_does_not_depend_on_depression():
    assert all(ends_at(D.ShortTermPlasticity(D.Sign(), 0.5, recovery, bits=True), 0.0687) for recovery in (0.5, 4.0))


@pytest.mark.slow
def test_adaptation_at_rest_is_a_negative_self_coupling():
    """x = h − bφ: Γ − b in place of Γ. So the leaky plasticity of λ = b/q cancels it; derivatives by b as well."""
    b, at = 0.3, 0.05
    with enable_x64():
        found = hj.theory.scsna(D.Adaptation(TANH, b, 5.0), at)
        alike = hj.theory.scsna(TANH, at, strength=-b / float(found.correlation))
        np.testing.assert_allclose(found.overlap, alike.overlap, rtol=1e-6)
        np.testing.assert_allclose(found.feedback - b, alike.feedback, rtol=1e-5)
        overlap = lambda b: hj.theory.scsna(D.Adaptation(TANH, b, 5.0), at).overlap  # noqa: E731
        difference = (overlap(b + 1e-4) - overlap(b - 1e-4)) / 2e-4
        np.testing.assert_allclose(jax.grad(overlap)(b), difference, rtol=1e-5)


def test_sites_whose_rest_is_not_known_are_refused():
    depressing = D.ShortTermPlasticity(TANH, 0.2, 5.0)
    cases: Any = (
        (depressing, {"strength": 0.1}),
        (depressing, {"branch": hj.theory.Upper()}),
        (depressing, {"storage": hj.theory.Sequence()}),
        (D.ShortTermPlasticity(D.Glauber(4.0), 0.2, 5.0), {}),
    )
    for units, options in cases:
        with pytest.raises(ValueError, match="`units`: expected"):
            hj.theory.scsna(units, 0.05, **options)
