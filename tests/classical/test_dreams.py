"""Rules that unlearn: their limits, single dreams, and what they store."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import classical as C

PATTERNS = hj.random_patterns(12, 40, key=jr.key(0))
X = np.asarray(PATTERNS, np.float64)


def without_diagonal(matrix):
    return matrix - np.diag(np.diag(matrix))


@pytest.mark.parametrize("strength", [0.0, 1.0, 10.0, 100.0])
def test_dreaming_is_its_formula(strength):
    overlaps = X @ X.T / 40
    expected = X.T @ ((1 + strength) * np.linalg.inv(np.eye(12) + strength * overlaps)) @ X / 40
    got = C.dreaming(PATTERNS, strength=strength)
    np.testing.assert_allclose(got.matrix(), without_diagonal(expected), atol=2e-6)  # rounding
    assert got.symmetric


def test_dreaming_has_hebbs_rule_and_the_pseudo_inverse_as_its_limits(x64):
    patterns = jnp.asarray(X)
    matrix = lambda couplings: couplings.matrix()  # noqa: E731
    np.testing.assert_array_equal(matrix(C.dreaming(patterns, 0.0)), matrix(C.hebbian(patterns)))
    expected = matrix(C.pseudo_inverse(patterns, self_coupling=True))
    for strength, tolerance in ((np.inf, 1e-14), (1e6, 1e-5)):  # the difference is of the order of 1/t
        got = matrix(C.dreaming(patterns, strength, self_coupling=True))
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_dreaming_is_differentiable_and_takes_more_patterns_than_neurons():
    more = hj.random_patterns(60, 40, key=jr.key(1))
    energy = lambda t: C.dreaming(more, t).quadratic(more[0])  # noqa: E731
    slope = jax.grad(energy)(1.0)
    np.testing.assert_allclose(slope, (energy(1.01) - energy(0.99)) / 0.02, rtol=1e-2)  # differences in float32
    with pytest.raises(ValueError, match="`patterns`.*independent"):
        C.dreaming(more, np.inf)
    traced = jax.jit(lambda t: C.dreaming(more, t).field(more[0]))
    assert np.all(np.isnan(traced(-1.0))) and np.all(np.isfinite(traced(2.0)))


def test_one_dream_weakens_one_state_of_rest_of_the_network():
    asleep = C.unlearning(PATTERNS, 1, rate=0.02, key=jr.key(3)).weights
    hebb = C.hebbian(PATTERNS)
    change = np.asarray(40 * (hebb.matrix() - asleep) / 0.02)
    state = change[0].round()
    state[0] = 1  # up to the common sign
    np.testing.assert_allclose(change, without_diagonal(np.outer(state, state)), atol=2e-4)  # rounding over the rate
    assert np.array_equal(C.BinaryNetwork(hebb).update(jnp.asarray(state)), state)
    # By day a pattern is strengthened too.
    awake = np.asarray(C.daydreaming(PATTERNS, 1, rate=0.02, key=jr.key(3)).weights)
    gained = 40 * (awake - np.asarray(asleep)) / 0.02
    assert any(np.allclose(gained, without_diagonal(np.outer(x, x)), atol=2e-4) for x in X)
    np.testing.assert_allclose(C.unlearning(PATTERNS, 0, key=jr.key(3)).weights, hebb.matrix(), atol=1e-7)


@pytest.mark.slow
def test_unlearning_raises_and_then_destroys_what_is_stored():
    """Load 0.25 from cues of 0.9, where Hebb's rule fails; twelve draws, whose standard errors are at most 0.09."""
    mean = []
    for num_dreams in (0, 150, 600):
        asleep = functools.partial(C.unlearning, num_dreams=num_dreams, rate=0.03, order=C.Synchronous(), key=jr.key(1))
        recall = functools.partial(C.recall, asleep, 15, 60, 0.9, order=C.Synchronous())
        mean.append(np.mean(jax.jit(jax.vmap(lambda key, recall=recall: recall(key=key)))(jr.split(jr.key(0), 12))))
    assert mean[1] > 0.97 and mean[0] < 0.9 and mean[2] < 0.4, mean


def test_daydreaming_stores_correlated_patterns_that_hebbs_rule_mixes():
    patterns = hj.correlated_patterns(20, 100, 0.3, key=jr.key(0))

    @jax.jit
    def stable(couplings):
        return jnp.mean(jax.vmap(C.BinaryNetwork(couplings).update)(patterns) == patterns, axis=1)

    day = C.daydreaming(patterns, 800, order=C.Synchronous(), key=jr.key(1))
    assert np.mean(stable(day)) > 0.99 and np.mean(stable(C.hebbian(patterns))) < 0.9


@pytest.mark.parametrize("margin, load", [(0.0, 1.4), (0.5, 0.5)])
def test_the_perceptron_gives_every_pattern_its_margin(margin, load):
    """Beyond one pattern per neuron, where the pseudo-inverse ends."""
    patterns = hj.random_patterns(round(load * 60), 60, key=jr.key(2))
    couplings = C.perceptron(patterns, margin)
    weights = np.asarray(couplings.weights, np.float64)
    stability = np.asarray(patterns) * (np.asarray(patterns) @ weights.T) / np.linalg.norm(weights, axis=1)
    assert np.min(stability) > margin - 1e-5 and not np.any(np.diag(weights))
    assert np.all(jax.vmap(C.BinaryNetwork(couplings).update)(patterns) == patterns)


@pytest.mark.parametrize(
    "build, argument",
    [
        (lambda: C.dreaming(PATTERNS, -1.0), "`strength`"),
        (lambda: C.dreaming(PATTERNS, np.nan), "`strength`"),
        (lambda: C.unlearning(PATTERNS, -1, key=jr.key(0)), "`num_dreams`"),
        (lambda: C.unlearning(PATTERNS, 1, rate=0.0, key=jr.key(0)), "`rate`"),
        (lambda: C.unlearning(0.5 * PATTERNS, 1, key=jr.key(0)), "`patterns`.*±1"),
        (lambda: C.daydreaming(PATTERNS, 1, rate=-1.0, key=jr.key(0)), "`rate`"),
        (lambda: C.perceptron(PATTERNS, -0.1), "`margin`"),
        (lambda: C.perceptron(PATTERNS, max_sweeps=0), "`max_sweeps`"),
        (lambda: C.perceptron(0.5 * PATTERNS), "`patterns`.*±1"),
    ],
)
def test_bad_input_names_the_argument(build, argument):
    with pytest.raises(ValueError, match=argument):
        build()
