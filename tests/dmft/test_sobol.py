"""Scrambled Sobol points."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import qmc

from helpers import enable_x64
from hopfield_jax.dmft._sobol import _direction_numbers, normals, scrambled
from hopfield_jax.dmft._sobol import uniforms as points


def uniforms(num_dims, num_points, *, key):
    return points(scrambled(num_dims, num_points, key=key), num_points)


def test_direction_numbers_make_scipy_s_points():
    numbers = _direction_numbers(9, 6)
    index = np.arange(64)
    points = np.zeros((64, 9), np.uint32)
    for bit in range(6):
        points ^= ((index >> bit) & 1).astype(np.uint32)[:, None] * numbers[:, bit][None, :]
    expected = qmc.Sobol(9, scramble=False, bits=32).random(64) * 2.0**32
    assert {tuple(p) for p in points} == {tuple(p) for p in expected.astype(np.uint32)}


@pytest.mark.parametrize("double", [False, True])
def test_every_dimension_is_stratified_and_inside(double):
    with enable_x64(double):
        u = np.asarray(jax.jit(lambda key: uniforms(40, 256, key=key))(jr.key(3)))
    assert u.dtype == (np.float64 if double else np.float32) and 0 < u.min() and u.max() < 1
    counts = np.sort((u * 256).astype(int), axis=1)
    assert np.array_equal(counts, np.broadcast_to(np.arange(256), (40, 256)))  # one point in each of 256 intervals
    # The first two dimensions form a net: one point in each box of 16 × 16, scrambled or not.
    boxes = (u[0] * 16).astype(int) * 16 + (u[1] * 16).astype(int)
    assert len(set(boxes)) == 256


def test_randomisations_differ_and_are_unbiased():
    draws = jax.vmap(lambda key: uniforms(3, 8, key=key))(jr.split(jr.key(0), 4000))
    # A point is uniform: its mean over 4000 randomisations scatters by 1/√(12 · 4000) = 0.005.
    np.testing.assert_allclose(np.mean(draws, axis=0), 0.5, atol=0.025)
    assert np.all(draws[0] != draws[1])


def test_normals_are_normal():
    z = np.asarray(normals(uniforms(30, 4096, key=jr.key(1))), np.float64)
    assert np.all(np.isfinite(z))
    # Stratified: errors of order 1/M instead of 1/√M.
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose((z**2).mean(axis=1), 1, atol=5e-3)
    assert float(normals(jnp.array([[0.5]]))[0, 0]) == 0
