"""Scores of retrievals: counts, means and errors against NumPy, failures, transforms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj

NUM_PATTERNS, NUM_NEURONS = 4, 32
TARGETS = jnp.arange(NUM_PATTERNS)


@pytest.fixture(scope="module")
def found() -> hj.associative.results.RetrievalRun:
    """Cues of four patterns; the last is flipped altogether, so that it ends in another state."""
    patterns = hj.random_patterns(NUM_PATTERNS, NUM_NEURONS, key=jr.key(0))
    cues = jax.vmap(lambda x, k: hj.flip(x, 0.1, key=k))(patterns, jr.split(jr.key(1), NUM_PATTERNS))
    cues = cues.at[3].multiply(-1)
    network = hj.associative.graded_network(patterns, beta=4.0)
    return eqx.filter_jit(
        jax.vmap(lambda cue: hj.associative.retrieve(network, patterns, cue, num_times=5, throw=False))
    )(cues)


def test_counts_and_means_equal_numpys(found):
    scored = hj.associative.score(found, TARGETS)
    assert scored.retrieved.tolist() == [True, True, True, False]
    assert scored.recognised.tolist() == [True, True, True, False]
    similarity = np.asarray(found.similarity)[range(4), -1, range(4)]
    overlap = np.asarray(found.overlap)[range(4), -1, range(4)]
    assert np.array_equal(scored.similarity, similarity)
    # Means and errors of four numbers in float32.
    np.testing.assert_allclose(scored.mean_similarity, similarity.mean(), rtol=1e-6)
    np.testing.assert_allclose(scored.similarity_error, similarity.std(ddof=1) / 2, rtol=1e-6)
    np.testing.assert_allclose(scored.mean_overlap, overlap.mean(), rtol=1e-6)
    np.testing.assert_allclose(scored.overlap_error, overlap.std(ddof=1) / 2, rtol=1e-6)
    np.testing.assert_allclose(scored.mean_steps, np.mean(np.asarray(found.num_steps)), rtol=1e-6)
    energy = np.asarray(found.energy)
    np.testing.assert_allclose(scored.mean_energy_drop, np.mean(energy[:, 0] - energy[:, -1]), rtol=1e-6)
    assert np.all(np.asarray(scored.energy_drop) > 0)
    # Rounding of energies of order ten.
    assert np.all(np.asarray(scored.energy_rise) < 1e-4)
    assert scored.num_failed == 0 and scored.num_unsettled == 0
    assert scored.fraction == 0.75


def test_the_inverse_of_a_memory_is_told(found):
    assert found.winner.tolist() == [0, 1, 2, 3] and found.sign.tolist() == [1, 1, 1, -1]
    assert found.similarity[3, -1, 3] < -0.99
    one = jax.tree.map(lambda x: x[3], found)
    assert f"winner 3 with similarity {one.similarity[-1, 3]:.4f} (its inverse)" in str(one)


def test_softmax_memories_have_no_inverse():
    patterns = hj.random_patterns(NUM_PATTERNS, NUM_NEURONS, key=jr.key(0))
    network = hj.associative.AdiabaticNetwork(hj.associative.MemoryMap(patterns))
    found = hj.associative.retrieve(network, patterns, -patterns[0], num_times=5)
    assert found.sign == 1 and found.winner == np.argmax(found.similarity[-1])


@pytest.mark.parametrize("successes, n", [(0, 4), (3, 4), (4, 4), (50, 1000), (0, 1280)])
def test_fraction_error_is_wilsons_and_never_zero(successes, n):
    retrieved = jnp.arange(n) < successes
    scored = eqx.tree_at(lambda s: s.retrieved, _blank(n), retrieved)
    p = successes / n
    # The interval of one standard deviation: |p - x| <= sqrt(x (1 - x)/n) holds between its ends.
    centre = (p + 1 / (2 * n)) / (1 + 1 / n)
    for end in (centre - scored.fraction_error, centre + scored.fraction_error):
        np.testing.assert_allclose(abs(p - end), np.sqrt(end * (1 - end) / n), rtol=1e-3, atol=1e-6)
    assert scored.fraction_error > 0
    if min(successes, n - successes) > 20:
        np.testing.assert_allclose(scored.fraction_error, np.sqrt(p * (1 - p) / n), rtol=0.01)


def _blank(n: int) -> hj.associative.results.RetrievalScore:
    no, zero = jnp.zeros(n, bool), jnp.zeros(n)
    return hj.associative.results.RetrievalScore(
        recognised=no,
        retrieved=no,
        similarity=zero,
        overlap=zero,
        num_steps=jnp.zeros(n, jnp.int32),
        energy_drop=zero,
        energy_rise=zero,
        settled=no,
        failed=no,
        threshold=jnp.asarray(0.9),
    )


def test_the_winner_alone_is_not_enough(found):
    scored = hj.associative.score(found, TARGETS, threshold=0.999999)
    assert not np.any(scored.retrieved) and scored.recognised_fraction == 0.75
    assert hj.associative.score(found, TARGETS, threshold=-1).fraction == 0.75
    wrong = hj.associative.score(found, jnp.roll(TARGETS, 1), threshold=-1)
    assert wrong.recognised_fraction < 0.5


def test_failures_count_as_not_retrieved_and_stay_out_of_the_means(found):
    failing = eqx.tree_at(
        lambda r: (r.winner, r.similarity, r.overlap, r.energy, r.speed),
        found,
        replace_fn=lambda x: x.at[0].set(-1 if x.dtype == jnp.int32 else jnp.nan),
    )
    scored, whole = hj.associative.score(failing, TARGETS), hj.associative.score(found, TARGETS)
    assert scored.num_failed == 1 and scored.fraction == 0.5 and scored.num_unsettled == 0
    np.testing.assert_allclose(scored.mean_similarity, np.mean(np.asarray(whole.similarity)[1:]), rtol=1e-6)
    assert np.isnan(scored.similarity[0]) and np.isfinite(scored.similarity_error)
    assert "1 failed" in str(scored)


def test_rest_is_relative_to_the_state(found):
    moving = eqx.tree_at(lambda r: r.speed, found, jnp.array([1e-4, 0.9e-2, 1.1e-2, 1.0]))
    moving = eqx.tree_at(lambda r: r.state, moving, jnp.full_like(found.state, 10.0))
    scored = hj.associative.score(moving, TARGETS)
    assert scored.settled.tolist() == [True, True, False, False] and scored.num_unsettled == 2
    assert hj.associative.score(moving, TARGETS, rest=1).num_unsettled == 0


def test_jit_and_vmap_agree_with_plain_calls(found):
    plain = hj.associative.score(found, TARGETS)
    jitted = jax.jit(hj.associative.score)(found, TARGETS)
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), found)
    mapped = jax.vmap(hj.associative.score, in_axes=(0, None))(twice, TARGETS)
    assert eqx.tree_equal(jitted, plain)
    assert mapped.fraction.tolist() == [0.75, 0.75]
    assert np.array_equal(mapped.similarity_error, np.stack([plain.similarity_error] * 2))
    assert mapped.num_failed.tolist() == [0, 0]
    assert "batch of shape (2,)" in str(mapped)


def test_the_card_says_the_numbers(found):
    card = str(hj.associative.score(found, TARGETS))
    assert "4 cues" in card and "retrieved 0.75 ± 0.2" in card and "at least 0.9" in card and "0 failed" in card


def test_one_cue_has_no_standard_error(found):
    one = jax.tree.map(lambda x: x[:1], found)
    scored = hj.associative.score(one, TARGETS[:1])
    assert np.isinf(scored.similarity_error) and 0 < scored.fraction_error < 1


@pytest.mark.parametrize(
    "targets, kwargs, message",
    [
        (jnp.arange(3), {}, r"`targets`: expected shape \(4,\).*\(3,\)"),
        (jnp.arange(4) + 1, {}, r"`targets`: expected indices from 0 to 3, got \[1, 2, 3, 4\]"),
        (TARGETS, {"threshold": 1.5}, "`threshold`: expected.*1.5"),
        (TARGETS, {"rest": 0.0}, "`rest`: expected finite and positive"),
    ],
)
def test_bad_input_is_named(found, targets, kwargs, message):
    with pytest.raises(ValueError, match=message):
        hj.associative.score(found, targets, **kwargs)


def test_one_retrieval_is_no_batch(found):
    with pytest.raises(ValueError, match="`retrieval`: expected a batch with one leading axis"):
        hj.associative.score(jax.tree.map(lambda x: x[0], found), TARGETS[0][None])
