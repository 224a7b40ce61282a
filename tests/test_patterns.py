"""Patterns, their corruption and their overlaps. Statistical tolerances are five standard errors, for fixed keys."""

import inspect

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg

import hopfield_jax as hj
from helpers import enable_x64

KEY = jr.key(0)
PATTERN = np.where(np.arange(20) % 3 == 0, 1.0, -1.0).astype(np.float32)

# name, function of (traced number, key), a number for it
RANDOM = [
    ("random", lambda _, key: hj.random_patterns(3, 16, key=key), 0.0),
    ("gaussian", lambda _, key: hj.gaussian_patterns(3, 16, key=key), 0.0),
    ("sparse", lambda x, key: hj.sparse_patterns(3, 16, x, key=key), 0.3),
    ("correlated", lambda x, key: hj.correlated_patterns(3, 16, x, key=key), 0.3),
    ("hierarchical", lambda x, key: hj.hierarchical_patterns(2, 3, 16, x, key=key), 0.3),
    ("orthogonal", lambda x, key: hj.orthogonal_patterns(3, 16, norm=x, key=key), 2.0),
    ("flip", lambda x, key: hj.flip(jnp.asarray(PATTERN), x, key=key), 0.3),
    ("mask", lambda x, key: hj.mask(jnp.asarray(PATTERN), x, fill=x, key=key), 0.3),
    ("add_noise", lambda x, key: hj.add_noise(jnp.asarray(PATTERN), x, key=key), 0.3),
]
random_cases = pytest.mark.parametrize("draw, number", [case[1:] for case in RANDOM], ids=[case[0] for case in RANDOM])


def overlaps(patterns) -> np.ndarray:
    """All pairs' overlaps, in float64."""
    patterns = np.asarray(patterns, np.float64)
    return patterns @ patterns.T / patterns.shape[1]


def is_binary(patterns) -> bool:
    return bool(np.all(np.abs(np.asarray(patterns)) == 1))


# --- drawing ---


def test_random_patterns_are_unbiased_and_independent():
    num_patterns, num_neurons = 100, 400
    patterns = hj.random_patterns(num_patterns, num_neurons, key=KEY)
    assert patterns.shape == (num_patterns, num_neurons) and is_binary(patterns)
    # The mean of PN entries of variance 1.
    assert abs(np.mean(patterns)) < 5 / np.sqrt(patterns.size)
    # N q² has mean 1 and variance 2 − 2/N for each of P(P − 1)/2 pairs, uncorrelated between pairs; so for columns.
    for x in (patterns, patterns.T):
        pairs = overlaps(x)[np.triu_indices(x.shape[0], 1)]
        assert abs(x.shape[1] * np.mean(pairs**2) - 1) < 5 * np.sqrt(2 / pairs.size)


def test_gaussian_patterns_have_the_moments_of_a_standard_normal():
    patterns = np.asarray(hj.gaussian_patterns(100, 400, key=KEY), np.float64)
    assert patterns.shape == (100, 400)
    # x, x² and x⁴ have variances 1, 2 and 105 − 9 = 96.
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (4, 3, 96)):
        assert abs(np.mean(patterns**power) - mean) < 5 * np.sqrt(variance / patterns.size)
    pairs = overlaps(patterns)[np.triu_indices(100, 1)]
    # N q² has mean 1 and variance 2 + 6/N.
    assert abs(400 * np.mean(pairs**2) - 1) < 5 * np.sqrt((2 + 6 / 400) / pairs.size)


@pytest.mark.parametrize("activity", [0, 0.05, 0.5, 1])
def test_sparse_patterns_have_independent_entries_of_the_given_activity(activity):
    patterns = np.asarray(hj.sparse_patterns(100, 400, activity, key=KEY), np.float64)
    assert patterns.shape == (100, 400) and set(np.unique(patterns)) <= {0.0, 1.0}
    variance = activity * (1 - activity)
    # The mean of PN entries of this variance.
    assert abs(patterns.mean() - activity) <= 5 * np.sqrt(variance / patterns.size)
    # As for random patterns: the squared covariance of two rows has mean variance²/N, and relative variance 2 + O(1/(N
    # variance)) < 4 at these numbers.
    pairs = overlaps(patterns - activity)[np.triu_indices(100, 1)]
    assert abs(400 * np.mean(pairs**2) - variance**2) <= 5 * variance**2 * np.sqrt(4 / pairs.size)


@pytest.mark.parametrize("correlation", [0, 0.1, 0.5, 0.9, 1])
def test_every_pair_of_correlated_patterns_has_the_given_overlap(correlation):
    num_patterns, num_neurons = 6, 20_000
    patterns = hj.correlated_patterns(num_patterns, num_neurons, correlation, key=KEY)
    assert patterns.shape == (num_patterns, num_neurons) and is_binary(patterns)
    pairs = overlaps(patterns)[np.triu_indices(num_patterns, 1)]
    # A product of two entries is ±1 with mean c, so of variance 1 − c²; neurons are independent.
    assert np.all(np.abs(pairs - correlation) <= 5 * np.sqrt((1 - correlation**2) / num_neurons))
    # The mean of one neuron's P entries has variance c + (1 − c)/P and mean zero: the template is unbiased.
    spread = np.sqrt(correlation + (1 - correlation) / num_patterns)
    assert abs(np.mean(patterns)) < 5 * spread / np.sqrt(num_neurons)


@pytest.mark.parametrize("correlation", [0, 0.4, 1])
def test_hierarchical_patterns_are_correlated_within_a_family_only(correlation):
    num_ancestors, num_descendants, num_neurons = 3, 4, 20_000
    patterns = hj.hierarchical_patterns(num_ancestors, num_descendants, num_neurons, correlation, key=KEY)
    assert patterns.shape == (num_ancestors * num_descendants, num_neurons) and is_binary(patterns)
    family = np.repeat(np.arange(num_ancestors), num_descendants)
    expected = np.where(family[:, None] == family[None, :], float(correlation), 0.0)
    np.fill_diagonal(expected, 1)
    # As for correlated patterns, with mean 0 between families.
    assert np.all(np.abs(overlaps(patterns) - expected) <= 5 * np.sqrt((1 - expected**2) / num_neurons))


@pytest.mark.parametrize("num_patterns, num_neurons", [(1, 1), (2, 2), (5, 8), (64, 64), (3, 256)])
def test_hadamard_patterns_are_the_first_rows_of_sylvesters_matrix(num_patterns, num_neurons):
    patterns = np.asarray(hj.hadamard_patterns(num_patterns, num_neurons))
    assert np.array_equal(patterns, scipy.linalg.hadamard(num_neurons)[:num_patterns])
    assert np.array_equal(patterns @ patterns.T, num_neurons * np.eye(num_patterns))


@pytest.mark.parametrize("num_patterns, num_neurons", [(1, 1), (20, 50)])
def test_orthogonal_patterns_are_gram_schmidt_of_the_gaussian_patterns(num_patterns, num_neurons):
    with enable_x64(True):
        got = np.asarray(hj.orthogonal_patterns(num_patterns, num_neurons, key=KEY))
        expected = np.asarray(hj.gaussian_patterns(num_patterns, num_neurons, key=KEY)).copy()
    for i in range(num_patterns):
        for _ in range(2):  # twice is enough, to rounding
            expected[i] -= expected[:i].T @ (expected[:i] @ expected[i]) / num_neurons
        expected[i] *= np.sqrt(num_neurons) / np.linalg.norm(expected[i])
    # Rounding 2e-16, magnified by the condition number of the Gaussian rows (below 1e3 here).
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("norm, expected", [(None, np.sqrt(50)), (1, 1), (3.5, 3.5), (np.float64(1e-3), 1e-3)])
def test_orthogonal_patterns_have_the_given_norm(norm, expected):
    patterns = np.asarray(hj.orthogonal_patterns(20, 50, norm=norm, key=KEY), np.float64)
    # Householder QR in float32: errors of a few times 1.2e-7 √N.
    np.testing.assert_allclose(patterns @ patterns.T / expected**2, np.eye(20), atol=5e-6)


# --- corrupting ---


@pytest.mark.parametrize("num_neurons", [1, 101])
@pytest.mark.parametrize("fraction", [0, 0.1, 1 / 3, 0.52, 0.999, 1])
def test_flip_and_mask_change_exactly_the_rounded_number_of_neurons(fraction, num_neurons):
    pattern = np.ones(num_neurons, np.float32)
    count = round(fraction * num_neurons)
    flipped = hj.flip(pattern, fraction, key=KEY)
    assert np.sum(flipped != pattern) == count and is_binary(flipped)
    hidden = hj.mask(pattern, fraction, key=KEY)
    assert np.sum(hidden == 0) == count
    assert np.all((hidden == pattern) | (hidden == 0))
    filled = hj.mask(pattern, fraction, fill=2.5, key=KEY)
    assert np.array_equal(filled == 2.5, hidden == 0)


@pytest.mark.parametrize("corrupt", [hj.flip, hj.mask])
def test_flip_and_mask_choose_every_neuron_equally_often(corrupt):
    num_draws, num_neurons, fraction = 2000, 10, 0.3
    cues = jax.vmap(lambda key: corrupt(jnp.ones(num_neurons), fraction, key=key))(jr.split(KEY, num_draws))
    chosen = np.asarray(cues) != 1
    assert np.all(chosen.sum(1) == 3)
    # A neuron is chosen or not with probability 0.3.
    assert np.all(np.abs(chosen.mean(0) - fraction) < 5 * np.sqrt(fraction * (1 - fraction) / num_draws))
    # Two neurons are chosen together with probability 3·2/(10·9).
    together = (chosen.T.astype(float) @ chosen / num_draws)[np.triu_indices(num_neurons, 1)]
    assert np.all(np.abs(together - 1 / 15) < 5 * np.sqrt(1 / 15 * 14 / 15 / num_draws))


def test_flip_lowers_the_overlap_by_twice_the_fraction():
    assert hj.overlap(PATTERN[None], hj.flip(PATTERN, 0.25, key=KEY))[0] == 0.5


BITS = jnp.tile(jnp.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), 4)


def test_flipping_bits_exchanges_0_and_1():
    cue = hj.flip(BITS, 0.3, centre=0.5, key=KEY)
    assert sorted(set(cue.tolist())) == [0, 1] and np.sum(cue != BITS) == 12
    coding = hj.classical.Bits(0.4)
    network = hj.classical.BinaryNetwork(hj.classical.covariance(BITS[None], coding), coding=coding)
    assert np.array_equal(hj.classical.retrieve(network, BITS[None], cue, num_steps=3).state, BITS)


@pytest.mark.parametrize("pattern", [BITS, BITS.astype(int), jnp.zeros(4)])
def test_flipping_the_signs_of_bits_is_refused(pattern):
    with pytest.raises(ValueError, match="`pattern`: expected signs ±1 .*`centre=0.5`"):
        hj.flip(pattern, 0.3, key=KEY)


def test_flipping_the_signs_of_traced_bits_gives_nan():
    cues = jax.vmap(lambda pattern: hj.flip(pattern, 0.3, key=KEY))(jnp.stack([BITS, 2 * BITS - 1]))
    assert np.all(np.isnan(cues[0])) and set(cues[1].tolist()) == {-1, 1}


def test_add_noise_has_the_given_standard_deviation_and_is_linear_in_it():
    num_neurons, strength = 10_000, 0.4
    pattern = jnp.ones(num_neurons)
    noise = np.asarray(hj.add_noise(pattern, strength, key=KEY) - pattern, np.float64)
    assert abs(noise.mean()) < 5 * strength / np.sqrt(num_neurons)
    # z² has variance 2.
    assert abs(np.mean(noise**2) / strength**2 - 1) < 5 * np.sqrt(2 / num_neurons)
    assert np.array_equal(hj.add_noise(pattern, 0, key=KEY), pattern)
    _, slope = jax.jvp(lambda s: hj.add_noise(pattern, s, key=KEY), (strength,), (1.0,))
    # Rounding of sums of size up to 3, 1.2e-7 · 3, divided by the strength.
    np.testing.assert_allclose(slope, noise / strength, atol=3e-6)


def test_corruption_leaves_derivatives_of_what_it_keeps():
    ones = jnp.ones_like(PATTERN)
    _, flips = jax.jvp(lambda x: hj.flip(x, 0.3, key=KEY), (PATTERN,), (ones,))
    assert sorted(flips) == [-1] * 6 + [1] * 14
    _, kept = jax.jvp(lambda x: hj.mask(x, 0.3, key=KEY), (PATTERN,), (ones,))
    assert sorted(kept) == [0] * 6 + [1] * 14
    assert jax.grad(lambda fill: hj.mask(PATTERN, 0.3, fill=fill, key=KEY).sum())(0.5) == 6


# --- measuring ---


def test_overlap_and_cosine_similarity_equal_numpys():
    patterns, state = hj.gaussian_patterns(3, 16, key=KEY), hj.gaussian_patterns(3, 16, key=jr.key(1))[0]
    p, x = np.asarray(patterns, np.float64), np.asarray(state, np.float64)
    # Sums of 16 products of order one in float32.
    np.testing.assert_allclose(hj.overlap(patterns, state), p @ x / 16, atol=1e-6)
    expected = p @ x / np.linalg.norm(p, axis=1) / np.linalg.norm(x)
    np.testing.assert_allclose(hj.cosine_similarity(patterns, state), expected, atol=1e-6)


def test_overlap_of_orthogonal_patterns_is_the_identity():
    patterns = hj.hadamard_patterns(3, 16)
    assert np.array_equal(np.stack([hj.overlap(patterns, x) for x in patterns]), np.eye(3))


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_cosine_similarity_stays_within_one_at_every_size(size):
    patterns = hj.gaussian_patterns(100, 400, key=KEY)

    @jax.jit
    def measure(state):
        return hj.cosine_similarity(patterns, size * state)

    cosine = np.asarray(jax.vmap(measure)(patterns))
    assert np.all(np.abs(cosine) <= 1)
    # Two norms and a product, each a few times 1.2e-7.
    np.testing.assert_allclose(np.diagonal(cosine), 1, atol=1e-6)
    np.testing.assert_allclose(measure(-patterns[0]), -cosine[0], atol=1e-6)
    slope = np.asarray(jax.jacobian(measure)(patterns[0]))
    # Tangent to the sphere: 400 products of order 0.05, each rounded.
    np.testing.assert_allclose(slope @ np.asarray(patterns[0]), 0, atol=5e-6)
    assert np.abs(slope).max() > 0.003  # of order 1/N for the other patterns


def test_cosine_similarity_of_a_zero_vector_is_zero_with_zero_gradient():
    patterns = hj.gaussian_patterns(3, 16, key=KEY).at[1].set(0)
    zero, ones = jnp.zeros(16), jnp.ones(16)
    slopes = jax.jit(jax.jacobian(hj.cosine_similarity, argnums=(0, 1)))
    assert np.array_equal(hj.cosine_similarity(patterns, zero), np.zeros(3))
    assert all(np.array_equal(g, np.zeros(g.shape)) for g in slopes(patterns, zero))
    assert hj.cosine_similarity(patterns, ones)[1] == 0
    by_patterns, by_state = slopes(patterns, ones)
    assert np.all(np.isfinite(by_patterns)) and np.all(np.isfinite(by_state))
    assert np.all(by_patterns[:, 1] == 0) and np.all(by_state[1] == 0)
    assert np.all(np.any(by_state[::2] != 0, axis=1))


@pytest.mark.parametrize("measure", [hj.overlap, hj.cosine_similarity])
def test_measures_have_the_derivatives_of_finite_differences(measure):
    step = 1e-4
    with enable_x64(True):
        patterns, slopes = hj.gaussian_patterns(3, 16, key=KEY), hj.gaussian_patterns(3, 16, key=jr.key(1))
        patterns = patterns.at[0].set(2)

        # Pattern 0 does not move: at t = 0 its cosine is exactly one, its maximum, where clipping to [-1, 1] must not
        # take the curvature off.
        def along(t):
            return measure(patterns.at[1:].add(t * slopes[1:]), patterns[0] + t * slopes[0])

        forward, backward, curvature = jax.jacfwd(along), jax.jacrev(along), jax.jacfwd(jax.jacrev(along))
        first, again, second = jax.jit(lambda t: (forward(t), backward(t), curvature(t)))(0.0)
        below, here, above = np.asarray(jax.jit(jax.vmap(along))(step * jnp.arange(-1.0, 2.0)))
    # Central differences: errors step² times a higher derivative (of order 10) and rounding 1e-16/step or /step².
    np.testing.assert_allclose(first, (above - below) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(again, first, atol=1e-12)
    np.testing.assert_allclose(second, (above - 2 * here + below) / step**2, atol=1e-6)
    assert measure is hj.overlap or second[0] < -0.01


def test_a_failed_state_is_seen_in_its_measures():
    patterns = hj.hadamard_patterns(3, 16)
    for measure in (hj.overlap, hj.cosine_similarity):
        assert np.all(np.isnan(measure(patterns, jnp.full(16, jnp.nan))))


# --- transforms, keys and types ---


@random_cases
def test_jit_and_vmap_agree_with_plain_calls(draw, number):
    numbers = number * jnp.array([1.0, 0.5])
    mapped = jax.jit(jax.vmap(draw, in_axes=(0, None)))(numbers, KEY)
    # The same random numbers; products and QR may be arranged otherwise.
    for x, got in zip(numbers, mapped, strict=True):
        np.testing.assert_allclose(got, draw(x, KEY), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("draw", [hj.random_patterns, hj.orthogonal_patterns])
def test_keys_can_be_mapped_over(draw):
    keys = jr.split(KEY, 2)
    mapped = jax.vmap(lambda key: draw(3, 16, key=key))(keys)
    for key, got in zip(keys, mapped, strict=True):
        np.testing.assert_allclose(got, draw(3, 16, key=key), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("measure", [hj.overlap, hj.cosine_similarity])
def test_measures_under_jit_and_vmap_agree_with_plain_calls(measure):
    patterns, states = hj.gaussian_patterns(3, 16, key=KEY), hj.gaussian_patterns(3, 16, key=jr.key(1))
    plain = np.stack([measure(patterns, x) for x in states])
    np.testing.assert_allclose(jax.jit(jax.vmap(measure, in_axes=(None, 0)))(patterns, states), plain, atol=1e-6)


@random_cases
def test_the_key_decides_everything(draw, number):
    first = draw(number, KEY)
    assert np.array_equal(first, draw(number, KEY))
    assert not np.array_equal(first, draw(number, jr.key(1)))


def test_keys_of_the_older_kind_are_taken():
    assert np.array_equal(hj.random_patterns(3, 16, key=jr.PRNGKey(0)), hj.random_patterns(3, 16, key=KEY))


@random_cases
def test_python_numpy_and_jax_numbers_are_the_same(draw, number):
    number = float(np.float32(number))
    for same in (np.float32(number), np.float64(number), jnp.asarray(number)):
        assert np.array_equal(draw(same, KEY), draw(number, KEY))


@random_cases
def test_float32_by_default_and_float64_in_64_bit_mode(draw, number):
    assert draw(number, KEY).dtype == np.float32
    with enable_x64(True):
        drawn = draw(number, KEY)
        # A float32 pattern stays one.
        assert drawn.dtype == (np.float32 if drawn.shape == PATTERN.shape else np.float64)


def test_measures_and_corruption_keep_or_default_the_type():
    integers = np.where(PATTERN > 0, 1, -1)
    patterns, half = np.stack([integers, -integers]), PATTERN.astype(np.float16)
    assert hj.hadamard_patterns(2, 4).dtype == np.float32
    assert hj.overlap(patterns, integers).dtype == np.float32
    assert hj.flip(half, 0.5, key=KEY).dtype == hj.add_noise(half, 0.5, key=KEY).dtype == np.float16
    with enable_x64(True):
        assert hj.hadamard_patterns(2, 4).dtype == np.float64
        assert hj.overlap(patterns, integers).dtype == hj.cosine_similarity(patterns, integers).dtype == np.float64
        assert hj.mask(integers, 0.5, key=KEY).dtype == np.float64


# --- bad input ---

PATTERNS = jnp.ones((2, 4))
NAN = jnp.array([[1.0, jnp.nan]])

BAD = [
    (hj.random_patterns, (0, 5), {}, "num_patterns", "0"),
    (hj.random_patterns, (5, 0), {}, "num_neurons", "0"),
    (hj.random_patterns, (True, 5), {}, "num_patterns", "True"),
    (hj.gaussian_patterns, (-1, 5), {}, "num_patterns", "-1"),
    (hj.gaussian_patterns, (5, -1), {}, "num_neurons", "-1"),
    (hj.sparse_patterns, (0, 5, 0.5), {}, "num_patterns", "0"),
    (hj.sparse_patterns, (2, 5, 1.5), {}, "activity", "1.5"),
    (hj.sparse_patterns, (2, 5, float("nan")), {}, "activity", "nan"),
    (hj.sparse_patterns, (2, 5, jnp.array([0.1, 0.2])), {}, "activity", r"\(2,\)"),
    (hj.biased_patterns, (2, 0, 0.5), {}, "num_neurons", "0"),
    (hj.biased_patterns, (2, 5, -1.1), {}, "bias", "-1.1"),
    (hj.correlated_patterns, (0, 5, 0.5), {}, "num_patterns", "0"),
    (hj.correlated_patterns, (2, 0, 0.5), {}, "num_neurons", "0"),
    (hj.correlated_patterns, (2, 5, -0.1), {}, "correlation", "-0.1"),
    (hj.hierarchical_patterns, (0, 2, 5, 0.5), {}, "num_ancestors", "0"),
    (hj.hierarchical_patterns, (2, 0, 5, 0.5), {}, "num_descendants", "0"),
    (hj.hierarchical_patterns, (2, 2, 0, 0.5), {}, "num_neurons", "0"),
    (hj.hierarchical_patterns, (2, 2, 5, 1.01), {}, "correlation", "1.01"),
    (hj.hadamard_patterns, (0, 4), {}, "num_patterns", "0"),
    (hj.hadamard_patterns, (1, 0), {}, "num_neurons", "0"),
    (hj.hadamard_patterns, (2, 100), {}, "num_neurons", "power of two.*64 and 128.*100"),
    (hj.hadamard_patterns, (5, 4), {}, "num_patterns", "at most 4.*5"),
    (hj.orthogonal_patterns, (0, 4), {}, "num_patterns", "0"),
    (hj.orthogonal_patterns, (5, 4), {}, "num_patterns", "at most 4.*5"),
    (hj.orthogonal_patterns, (2, 4), {"norm": 0.0}, "norm", "0.0"),
    (hj.orthogonal_patterns, (2, 4), {"norm": float("inf")}, "norm", "inf"),
    (hj.flip, (PATTERNS, 0.5), {}, "pattern", r"vmap.*\(2, 4\)"),
    (hj.flip, (jnp.ones(0), 0.5), {}, "pattern", "none"),
    (hj.flip, (NAN[0], 0.5), {}, "pattern", "nan"),
    (hj.flip, (PATTERNS[0], 1.1), {}, "fraction", "1.1"),
    (hj.mask, (PATTERNS, 0.5), {}, "pattern", r"vmap.*\(2, 4\)"),
    (hj.mask, (PATTERNS[0], -0.1), {}, "fraction", "-0.1"),
    (hj.mask, (PATTERNS[0], 0.1), {"fill": float("nan")}, "fill", "nan"),
    (hj.mask, (PATTERNS[0], 0.1), {"fill": PATTERNS[0]}, "fill", r"\(4,\)"),
    (hj.add_noise, (PATTERNS, 0.5), {}, "pattern", r"vmap.*\(2, 4\)"),
    (hj.add_noise, (PATTERNS[0], -0.5), {}, "strength", "-0.5"),
    (hj.add_noise, (PATTERNS[0], float("inf")), {}, "strength", "inf"),
    (hj.overlap, (PATTERNS[0], PATTERNS[0]), {}, "patterns", r"\(4,\)"),
    (hj.overlap, (jnp.ones((0, 4)), PATTERNS[0]), {}, "patterns", r"\(0, 4\)"),
    (hj.overlap, (NAN, NAN[0]), {}, "patterns", "nan"),
    (hj.overlap, (PATTERNS, jnp.ones(5)), {}, "state", r"\(4,\).*\(5,\)"),
    (hj.cosine_similarity, (PATTERNS[0], PATTERNS[0]), {}, "patterns", r"\(4,\)"),
    (hj.cosine_similarity, (NAN, NAN[0]), {}, "patterns", "nan"),
    (hj.cosine_similarity, (PATTERNS, PATTERNS), {}, "state", r"\(4,\).*\(2, 4\)"),
]


@pytest.mark.parametrize("function, args, kwargs, argument, got", BAD)
def test_bad_input_is_named(function, args, kwargs, argument, got):
    # Without the run-time type checks of the test suite, which would see some of these first.
    function = inspect.unwrap(function)
    if "key" in inspect.signature(function).parameters:
        kwargs = kwargs | {"key": KEY}
    with pytest.raises(ValueError, match=rf"`{argument}`.*expected.*{got}"):
        function(*args, **kwargs)


def test_a_traced_bias_out_of_range_gives_no_patterns(key):
    drawn = jax.jit(lambda bias: hj.biased_patterns(2, 5, bias, key=key))
    assert np.all(np.isnan(drawn(1.7))) and np.all(np.abs(drawn(-1.0)) == 1)
