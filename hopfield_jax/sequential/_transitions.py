"""Matrices of transitions between memories."""

from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np

from .._checks import Rules, as_real, at_least, fail
from .._misc import default_float
from .._types import Array, ArrayLike, Float

Transitions = Float[Array, "patterns patterns"]
"""Weights of transitions: row = target, column = source."""


def cycle(num_patterns: int) -> Transitions:
    """Transitions 0 → 1 → … → P − 1 → 0.

        Q'_{νμ} = 1 if ν = μ + 1 (mod P), 0 otherwise

    **Arguments:**

    - `num_patterns`: number P of memories, at least 2.

    **Returns:** the matrix, shape (patterns, patterns): row = target, column = source.

    **Raises:** `ValueError` if `num_patterns` is not a whole number of at least 2.

    **Example:**

    ```python
    from hopfield_jax import sequential

    transitions = sequential.cycle(3)
    assert transitions[1, 0] == transitions[2, 1] == transitions[0, 2] == 1
    ```
    """
    at_least("num_patterns", num_patterns, 2)
    return transition_matrix(num_patterns, [(i, (i + 1) % num_patterns) for i in range(num_patterns)])


def chain(num_patterns: int) -> Transitions:
    """Transitions 0 → 1 → … → P − 1, without a successor of the last.

        Q'_{νμ} = 1 if ν = μ + 1, 0 otherwise

    **Arguments:**

    - `num_patterns`: number P of memories, at least 2.

    **Returns:** the matrix, shape (patterns, patterns): row = target, column = source.

    **Raises:** `ValueError` if `num_patterns` is not a whole number of at least 2.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert sequential.chain(3).sum() == 2  # the last memory leads nowhere
    ```
    """
    at_least("num_patterns", num_patterns, 2)
    return transition_matrix(num_patterns, [(i, i + 1) for i in range(num_patterns - 1)])


def transition_matrix(num_patterns: int, edges: Iterable[Sequence]) -> Transitions:
    """Transitions along any edges: branches, several cycles, self-transitions.

        Q'_{νμ} = weight of the edge μ → ν

    **Arguments:**

    - `num_patterns`: number of memories.
    - `edges`: pairs (source, target) of weight 1, or triples (source, target, weight) with a weight that is finite and
      not negative; memories are counted from 0. A weight may be traced.

    **Returns:** the matrix, shape (patterns, patterns): row = target, column = source.

    **Raises:** `ValueError` for an invalid or repeated edge.

    **Example:**

    ```python
    from hopfield_jax import sequential

    branches = sequential.transition_matrix(3, [(0, 1), (0, 2, 0.5)])
    assert branches[2, 0] == 0.5
    ```
    """
    at_least("num_patterns", num_patterns, 1)
    weights = {}
    for edge in edges:
        if not 2 <= len(edge) <= 3:
            fail("edges", "(source, target) or (source, target, weight)", repr(edge))
        for memory in edge[:2]:
            if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or not 0 <= memory < num_patterns:
                fail("edges", f"memories from 0 to {num_patterns - 1}", repr(edge))
        source, target = int(edge[0]), int(edge[1])
        if (target, source) in weights:
            fail("edges", "every edge once", f"({source}, {target}) twice")
        weights[target, source] = edge[2] if len(edge) == 3 else 1.0
    matrix = jnp.zeros((num_patterns, num_patterns), default_float())
    for place, weight in weights.items():
        matrix = matrix.at[place].set(as_real("weight", weight).astype(matrix.dtype))
    return check_transitions("edges", matrix)


def check_transitions(
    argument: str, matrix: ArrayLike, num_patterns: int | None = None, rules: Rules | None = None
) -> Transitions:
    """Validates that the matrix is square, finite and not negative; returns it as an array."""
    size = (*np.shape(matrix), 1)[0] if num_patterns is None else num_patterns
    rules = rules or Rules()
    return rules.real(argument, matrix, "nonnegative", shape=(size, size), names="(target, source)")
