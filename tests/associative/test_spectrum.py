"""The spectrum of Hebb's couplings beside the law of Marchenko and Pastur, and what it says about the origin."""

import functools
import inspect

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import associative as A

sizes = pytest.mark.parametrize("num_patterns, num_neurons", [(60, 300), (150, 300), (150, 100)])


def memories(num_patterns, num_neurons, seed=0):
    """Independent entries of variance 1/patterns, for which the law is stated."""
    return hj.gaussian_patterns(num_patterns, num_neurons, key=jr.key(seed)) / np.sqrt(num_patterns)


@functools.cache
def spectrum(num_patterns, num_neurons):
    return jax.device_get(A.memory_spectrum(memories(num_patterns, num_neurons)))


@sizes
def test_eigenvalues_are_those_of_the_couplings(num_patterns, num_neurons):
    got = spectrum(num_patterns, num_neurons)
    patterns = np.asarray(memories(num_patterns, num_neurons), np.float64)
    every = np.linalg.eigvalsh(patterns.T @ patterns)
    count = min(num_patterns, num_neurons)
    assert got.num_zero == num_neurons - count and np.all(np.abs(every[: got.num_zero]) < 1e-12)
    # Rounding of float32, relative to the largest: a few times √N of it.
    np.testing.assert_allclose(got.eigenvalues, every[-count:], rtol=0, atol=100 * 6e-8 * every[-1])
    assert np.all(np.diff(got.eigenvalues) >= 0)


@sizes
def test_card_and_edges_follow_the_law(num_patterns, num_neurons):
    got, load = spectrum(num_patterns, num_neurons), num_patterns / num_neurons
    np.testing.assert_allclose(got.load, load, rtol=1e-6)
    np.testing.assert_allclose(got.lower, (load**-0.5 - 1) ** 2, atol=1e-6)
    np.testing.assert_allclose(got.upper, (load**-0.5 + 1) ** 2, rtol=1e-6)
    # Eigenvalues repel: the distribution functions differ by a few 1/n (below 3/n in 20 draws, plus 1/n for the steps
    # of the measured one), where n independent numbers would differ by about 1/√n.
    assert got.distance < 4 / got.eigenvalues.size
    np.testing.assert_allclose(got.upper_deviation, got.eigenvalues[-1] / got.upper - 1, atol=1e-6)
    np.testing.assert_allclose(got.lower_deviation, got.eigenvalues[0] / got.lower - 1, atol=1e-6)
    assert f"{got.eigenvalues.size} eigenvalues" in str(got) and f"{got.num_zero} zeros" in str(got)


def test_the_paper_s_size_has_its_extremes_near_the_edges():
    got = spectrum(400, 2000)
    np.testing.assert_allclose([got.lower, got.upper], [1.5278640, 10.4721360], rtol=1e-6)  # (√5 ∓ 1)²
    # Tracy–Widom at N_v = 2000: the lower extreme lies 2.1 % ± 1.5 % off its edge, the upper within 4 %.
    assert abs(got.lower_deviation) < 0.07 and abs(got.upper_deviation) < 0.04
    assert got.distance < 4 / 400
    assert got.all_exceed_one and got.origin_hyperbolic and got.num_zero == 1600


def test_a_wrong_law_is_seen():
    # Entries of another variance scale the eigenvalues; a rank-one part pushes one of them far out.
    patterns = memories(60, 300)
    assert A.memory_spectrum(1.1 * patterns).distance > 0.1
    assert A.memory_spectrum(patterns + 1.0).upper_deviation > 10


def test_origin_is_hyperbolic_below_a_load_of_a_quarter():
    below, above = spectrum(60, 300), spectrum(150, 300)
    assert below.all_exceed_one and below.origin_hyperbolic and below.lower > 1
    assert not above.all_exceed_one and above.lower < 1


def with_eigenvalues(values, num_neurons, key):
    """Memories whose couplings have just these eigenvalues, in random directions."""
    patterns = hj.orthogonal_patterns(len(values), num_neurons, norm=1.0, key=key)
    return jnp.sqrt(jnp.asarray(values))[:, None] * patterns


def test_an_eigenvalue_of_one_is_flagged_and_is_a_flat_direction():
    key = jr.key(1)
    flat = with_eigenvalues([0.5, 1.0, 2.0], 8, key)
    got = A.memory_spectrum(flat)
    assert not got.origin_hyperbolic and not got.all_exceed_one
    np.testing.assert_allclose(got.eigenvalues, [0.5, 1.0, 2.0], rtol=1e-5)
    # What it means: τ v̇ = (ΞᵀΞ − 1) v has a direction that neither grows nor decays.
    network = A.AdiabaticNetwork(A.MemoryMap(flat), hidden=hj.Quadratic())
    report = hj.linearise(network, jnp.zeros(8))
    assert report.num_flat == 1 and not report.hyperbolic
    np.testing.assert_allclose(np.sort(report.eigenvalues), [-1] * 5 + [-0.5, 0, 1], atol=1e-5)
    steep = A.memory_spectrum(with_eigenvalues([1.5, 1.6, 2.0], 8, key))
    assert steep.origin_hyperbolic and steep.all_exceed_one


@pytest.mark.parametrize("tolerance, hyperbolic", [(1e-3, True), (1e-1, False)])
def test_tolerance_says_how_close_to_one_is_too_close(tolerance, hyperbolic):
    patterns = with_eigenvalues([0.5, 1.05], 4, jr.key(2))
    assert bool(A.memory_spectrum(patterns, tolerance=tolerance).origin_hyperbolic) is hyperbolic


def test_spectrum_does_not_change_under_rotations():
    patterns = memories(20, 50)
    plain = A.memory_spectrum(patterns)
    for size, rotate in ((20, lambda u: u @ patterns), (50, lambda u: patterns @ u)):
        rotation = jnp.linalg.qr(jr.normal(jr.key(3), (size, size)))[0]
        rotated = A.memory_spectrum(rotate(rotation))
        np.testing.assert_allclose(rotated.eigenvalues, plain.eigenvalues, atol=1e-5 * float(plain.upper))


def test_transforms_agree_with_plain_calls():
    draws = jnp.stack([memories(20, 50, seed) for seed in range(3)])
    mapped = jax.jit(jax.vmap(A.memory_spectrum))(draws)
    for i, patterns in enumerate(draws):
        plain = A.memory_spectrum(patterns)
        for name in ("eigenvalues", "lower", "upper_deviation", "distance"):
            np.testing.assert_allclose(getattr(mapped, name)[i], getattr(plain, name), atol=2e-5)
        assert mapped.origin_hyperbolic[i] == plain.origin_hyperbolic and mapped.num_zero[i] == 30
    cards = []
    jax.eval_shape(lambda x: cards.append(str(A.memory_spectrum(x))), draws[0])
    assert cards[0].startswith("MemorySpectrum:") and "eigenvalues" not in cards[0]
    assert "batch of shape (3,)" in str(mapped)


def test_gradient_of_the_largest_eigenvalue():
    patterns = memories(5, 12)
    slope = jax.grad(lambda x: A.memory_spectrum(x).eigenvalues[-1])(patterns)
    # λ = ‖Ξu‖² for the leading eigenvector u, so that ∂λ/∂Ξ = 2 Ξ u uᵀ.
    leading = np.linalg.eigh(np.asarray(patterns.T @ patterns, np.float64))[1][:, -1]
    np.testing.assert_allclose(slope, 2 * np.outer(patterns @ leading.astype(np.float32), leading), atol=1e-5)


def test_float64_in_64_bit_mode():
    with enable_x64(True):
        got = A.memory_spectrum(jnp.asarray(np.eye(3)))
        assert got.eigenvalues.dtype == got.distance.dtype == np.float64
        assert not got.origin_hyperbolic and np.isinf(got.lower_deviation)  # at load 1 the lower edge is 0


@pytest.mark.parametrize(
    "patterns, got",
    [
        (jnp.ones(3), r"\(3,\)"),
        (jnp.ones((0, 3)), r"\(0, 3\)"),
        (jnp.array([[1.0, jnp.inf]]), "inf"),
    ],
)
def test_bad_patterns_are_named(patterns, got):
    # Without the run-time type checks of the test suite, which would see some of these first.
    with pytest.raises(ValueError, match=rf"`patterns`.*expected.*{got}"):
        inspect.unwrap(A.memory_spectrum)(patterns)
