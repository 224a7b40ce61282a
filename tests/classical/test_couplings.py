"""Couplings and learning rules: matrix-free, dense and sparse couplings agree; properties of the rules."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import classical as C

NUM_NEURONS, NUM_PATTERNS = 40, 6
PATTERNS = hj.random_patterns(NUM_PATTERNS, NUM_NEURONS, key=jr.key(0))
SPARSE = hj.sparse_patterns(NUM_PATTERNS, NUM_NEURONS, 0.3, key=jr.key(1))
X, S = np.asarray(PATTERNS, np.float64), np.asarray(SPARSE, np.float64)
AGES = np.arange(NUM_PATTERNS)[::-1]


def without_diagonal(matrix):
    return matrix - np.diag(np.diag(matrix))


def literal_storkey(patterns):
    """The rule with its sums written out (Storkey 1997)."""
    n = patterns.shape[1]
    weights = np.zeros((n, n))
    for x in patterns:
        old = weights.copy()
        for i in range(n):
            for j in range(n):
                if i != j:
                    h_ij = sum(old[i, k] * x[k] for k in range(n) if k not in (i, j))
                    h_ji = sum(old[j, k] * x[k] for k in range(n) if k not in (i, j))
                    weights[i, j] = old[i, j] + (x[i] * x[j] - x[i] * h_ji - h_ij * x[j]) / n
    return weights


RULES = {
    "hebbian": (C.hebbian(PATTERNS), without_diagonal(X.T @ X / NUM_NEURONS), True),
    "self_coupling": (C.hebbian(PATTERNS, self_coupling=True), X.T @ X / NUM_NEURONS, True),
    "palimpsest": (
        C.palimpsest(PATTERNS, 5.0),
        without_diagonal((X.T * np.exp(-5.0 * AGES / NUM_NEURONS)) @ X / NUM_NEURONS),
        True,
    ),
    "sequence": (C.sequence(PATTERNS), without_diagonal(np.roll(X, -1, axis=0).T @ X / NUM_NEURONS), False),
    "open": (C.sequence(PATTERNS, cyclic=False), without_diagonal(X[1:].T @ X[:-1] / NUM_NEURONS), False),
    "bits": (
        C.covariance(SPARSE, C.Bits(0.3)), without_diagonal((S - 0.3).T @ (S - 0.3) / (0.21 * NUM_NEURONS)), True,
    ),
    "biased": (
        C.covariance(PATTERNS, C.Spins(-0.6)), without_diagonal((X + 0.6).T @ (X + 0.6) / (0.64 * NUM_NEURONS)), True,
    ),
    "pseudo_inverse": (C.pseudo_inverse(PATTERNS), without_diagonal(np.linalg.pinv(X) @ X), True),
    "storkey": (C.storkey(PATTERNS), literal_storkey(X), True),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_their_formulas(rule):
    couplings, expected, symmetric = RULES[rule]
    np.testing.assert_allclose(couplings.matrix(), expected, atol=2e-6)  # rounding of entries of order one
    assert couplings.symmetric == symmetric
    assert np.allclose(expected, expected.T) == symmetric


def as_sparse(matrix):
    n = len(matrix)
    others = np.array([[j for j in range(n) if j != i] for i in range(n)])
    return C.SparseCouplings(others, np.take_along_axis(matrix, others, axis=1))


@pytest.mark.parametrize("rule", ["sequence", "palimpsest"])
def test_the_three_kinds_of_couplings_agree(rule, key):
    couplings, matrix, _ = RULES[rule]
    state = jr.rademacher(key, (NUM_NEURONS,), jnp.float32)
    sites, change = jnp.array([3, 17, 0, 39]), jnp.array([2.0, -2.0, 0.0, 2.0])
    kinds: list[Any] = [couplings, C.DenseCouplings(matrix), as_sparse(matrix)]
    for kind in kinds:
        np.testing.assert_allclose(kind.field(state), matrix @ np.asarray(state), atol=1e-5)
        np.testing.assert_allclose(kind.among(sites), matrix[np.ix_(sites, sites)], atol=1e-6)
        cache = kind.moved(kind.start(state), sites, change)
        moved = state.at[sites].add(change)
        np.testing.assert_allclose(kind.local(cache, moved, sites), (matrix @ np.asarray(moved))[sites], atol=1e-5)


@pytest.mark.parametrize("num_patterns", [10, 63])
def test_pseudo_inverse_recalls_exactly_up_to_load_one(num_patterns):
    patterns = hj.random_patterns(num_patterns, 64, key=jr.key(num_patterns))
    update = jax.vmap(C.BinaryNetwork(C.pseudo_inverse(patterns)).update)
    np.testing.assert_array_equal(update(patterns), patterns)
    if num_patterns > 30:  # Hebb's rule loses them
        assert jnp.mean(jax.vmap(C.BinaryNetwork(C.hebbian(patterns)).update)(patterns) != patterns) > 0.05
    projection = C.pseudo_inverse(patterns, self_coupling=True).matrix()
    # J² = J up to rounding of sums of 64 terms of order 1/8; the rank is the number of patterns.
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-5)
    assert abs(jnp.trace(projection) - num_patterns) < 1e-3


def test_dependent_patterns_are_refused_or_spoil_the_couplings():
    twice = jnp.concatenate([PATTERNS, PATTERNS[:1]])
    with pytest.raises(ValueError, match="`patterns`: expected linearly independent patterns"):
        C.pseudo_inverse(twice)
    couplings = jax.jit(C.pseudo_inverse)(twice)
    found = C.retrieve(C.BinaryNetwork(couplings), PATTERNS, PATTERNS[0], num_steps=2, throw=False)
    assert found.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(found.overlap))


SIGNED = {
    "hebbian": C.hebbian,
    "palimpsest": lambda patterns: C.palimpsest(patterns, 5.0),
    "sequence": C.sequence,
    "pseudo_inverse": C.pseudo_inverse,
    "storkey": C.storkey,
    "covariance": lambda patterns: C.covariance(patterns, C.Spins()),
}


@pytest.mark.parametrize("rule", SIGNED)
def test_rules_for_signs_refuse_bits(rule):
    with pytest.raises(ValueError, match="`patterns`: expected"):
        SIGNED[rule](SPARSE)
    couplings = jax.jit(SIGNED[rule])(SPARSE)  # where values are not known
    found = C.retrieve(C.BinaryNetwork(couplings), PATTERNS, PATTERNS[0], num_steps=1, throw=False)
    assert found.result == hj.RESULTS.invalid_parameter


def test_the_refusal_of_bits_names_the_rule_and_the_coding():
    with pytest.raises(ValueError, match=r"covariance\(patterns, Bits\(mean\)\)`"):
        C.hebbian(SPARSE)
    with pytest.raises(ValueError, match="entries of 0 and 1, as Bits has them"):
        C.covariance(PATTERNS, C.Bits(0.3))


def test_dilution_keeps_as_many_neighbours_as_asked():
    full = C.hebbian(PATTERNS)
    one_way = C.dilute(full, 10, key=jr.key(0))
    assert isinstance(one_way, C.SparseCouplings)
    neighbours = np.sort(np.asarray(one_way.neighbours), axis=1)
    assert neighbours.shape == (NUM_NEURONS, 10) and np.all(np.diff(neighbours, axis=1) > 0)
    assert not np.any(neighbours == np.arange(NUM_NEURONS)[:, None])
    kept = np.asarray(one_way.matrix()) != 0
    matrix = np.asarray(full.matrix())
    np.testing.assert_allclose(np.asarray(one_way.matrix())[kept], 4 * matrix[kept], rtol=1e-6)
    both_ways = np.asarray(C.dilute(full, 10, symmetric=True, key=jr.key(0)).matrix())
    np.testing.assert_array_equal(both_ways, both_ways.T)
    assert np.allclose(both_ways[both_ways != 0], 4 * matrix[both_ways != 0])


def test_every_set_of_neighbours_is_as_likely():
    draws = jax.vmap(lambda key: C.dilute(C.OuterProducts(jnp.ones((6, 1))), 3, key=key))(jr.split(jr.key(1), 2000))
    assert isinstance(draws, C.SparseCouplings)
    sets = np.sort(np.asarray(draws.neighbours)[:, 2], axis=1)  # of neuron 2: ten sets of three
    _, counts = np.unique(sets, axis=0, return_counts=True)
    # χ² of ten classes of 200 on average has mean 9; beyond 27.9 once in a thousand (the key is fixed).
    assert len(counts) == 10 and np.sum((counts - 200) ** 2 / 200) < 27.9


MATRIX = jnp.asarray(RULES["hebbian"][1])


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: C.hebbian(jnp.zeros((0, 4))), "patterns"),
        (lambda: C.hebbian(PATTERNS.at[0, 0].set(jnp.nan)), "patterns"),
        (lambda: C.palimpsest(PATTERNS, -1.0), "decay"),
        (lambda: C.sequence(PATTERNS[:1]), "patterns"),
        (lambda: C.pseudo_inverse(jnp.ones((5, 4))), "patterns"),
        (lambda: C.dilute(C.hebbian(PATTERNS), 40, key=jr.key(0)), "num_neighbours"),
        (lambda: C.dilute(C.sequence(PATTERNS), 4, symmetric=True, key=jr.key(0)), "couplings"),
        (lambda: C.OuterProducts(jnp.zeros((0, 4))), "OuterProducts.left"),
        (lambda: C.DenseCouplings(MATRIX.at[0, 1].add(0.1), symmetric=True), "DenseCouplings.symmetric"),
        (lambda: C.SparseCouplings(jnp.array([[0], [2]]), jnp.ones((2, 1))), "SparseCouplings.neighbours"),
        (
            lambda: C.SparseCouplings(jnp.array([[1], [0]]), jnp.array([[1.0], [0.5]]), symmetric=True),
            "SparseCouplings.symmetric",
        ),
        (lambda: C.Bits(1.0), "Bits.mean"),
    ],
)
def test_bad_input_is_named(call: Any, argument: str):
    with pytest.raises(ValueError, match=f"`{argument}`"), jax.numpy_rank_promotion("raise"):
        call()
