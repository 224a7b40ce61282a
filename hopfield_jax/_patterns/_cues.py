"""Corruption of patterns into cues, and similarity of states and patterns."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Real

from .._checks import Rules, as_real, fail, is_bits, key_fits, shape_is
from .._misc import compiled, default_float, matmul, nan_unless
from .._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, Scalar, ScalarLike
from ._draw import number


def flip(
    pattern: Real[ArrayLike, " neurons"], fraction: ScalarLike, *, centre: ScalarLike = 0.0, key: PRNGKey
) -> Float[Array, " neurons"]:
    """Reflects a given number of random neurons about a centre: by default flips their signs.

        x_i = 2 centre − ξ_i for i in F,  x_i = ξ_i otherwise,    |F| = round(fraction · N)

    One pattern at a time: map over patterns and keys with `jax.vmap`. Halves are rounded to even numbers.

    **Arguments:**

    - `pattern`: shape (neurons,).
    - `fraction`: how much of the pattern to flip, in [0, 1]; may be traced.
    - `centre`: midpoint of the two values of a neuron: 0 for ±1, 0.5 exchanges 0 and 1; may be traced.
    - `key`: random key.

    **Returns:** the cue, of the same shape; NaN for a traced pattern of 0 and 1 with the centre 0.

    **Raises:** `ValueError` if `pattern` is not one finite pattern, `fraction` is outside [0, 1], `centre` is not
    finite, or it is 0 and the pattern consists of 0 and 1.

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    pattern = hj.random_patterns(1, 100, key=jr.key(0))[0]
    cue = hj.flip(pattern, 0.2, key=jr.key(1))
    assert (cue != pattern).sum() == 20
    ```
    """
    pattern, centre = _pattern(pattern), number("centre", centre, "finite")
    rules, signs = Rules(), lambda pattern, centre: ~(is_bits(pattern) & (centre == 0))
    rules.holds("pattern", signs, "signs ±1 (`centre=0.5` exchanges 0 and 1)", pattern, centre)
    return _changed(pattern, fraction, -1, centre, rules, key)


def mask(
    pattern: Real[ArrayLike, " neurons"], fraction: ScalarLike, *, fill: ScalarLike = 0.0, key: PRNGKey
) -> Float[Array, " neurons"]:
    """Replaces a given number of random neurons by one value.

        x_i = fill for i in F,  x_i = ξ_i otherwise,    |F| = round(fraction · N)

    One pattern at a time: map over patterns and keys with `jax.vmap`. Halves are rounded to even numbers.

    **Arguments:**

    - `pattern`: shape (neurons,).
    - `fraction`: how much of the pattern to hide, in [0, 1]; may be traced.
    - `fill`: value of a hidden neuron; may be traced.
    - `key`: random key.

    **Returns:** the cue, of the same shape.

    **Raises:** `ValueError` if `pattern` is not one finite pattern, `fraction` is outside [0, 1], or `fill` is not
    finite.

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    pattern = hj.random_patterns(1, 100, key=jr.key(0))[0]
    cue = hj.mask(pattern, 0.5, key=jr.key(1))
    assert (cue == 0).sum() == 50
    ```
    """
    pattern, fill = _pattern(pattern), number("fill", fill, "finite")
    return _changed(pattern, fraction, 0, fill, Rules(), key)


def add_noise(pattern: Real[ArrayLike, " neurons"], strength: ScalarLike, *, key: PRNGKey) -> Float[Array, " neurons"]:
    """Adds independent Gaussian noise to every neuron.

        x_i = ξ_i + strength · z_i,    z_i ~ N(0, 1)

    One pattern at a time: map over patterns and keys with `jax.vmap`.

    **Arguments:**

    - `pattern`: shape (neurons,).
    - `strength`: standard deviation of the noise, not negative; may be traced.
    - `key`: random key.

    **Returns:** the cue, of the same shape.

    **Raises:** `ValueError` if `pattern` is not one finite pattern, or `strength` is negative or not finite.

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    pattern = hj.random_patterns(1, 100, key=jr.key(0))[0]
    cue = hj.add_noise(pattern, 0.4, key=jr.key(1))
    ```
    """
    pattern = _pattern(pattern)
    key_fits("key", key)
    return _with_noise(pattern, number("strength", strength, "nonnegative"), key)


@compiled
def _with_noise(pattern: Array, strength: Scalar, key: PRNGKey) -> Array:
    return pattern + strength.astype(pattern.dtype) * jr.normal(key, pattern.shape, pattern.dtype)


def overlap(
    patterns: Real[ArrayLike, "patterns neurons"], state: Real[ArrayLike, " neurons"]
) -> Float[Array, " patterns"]:
    """Overlap of a state with each pattern.

        m^μ = (1/N) Σ_i ξ^μ_i x_i

    For patterns and states of ±1 it lies in [−1, 1], and is 1 if the state equals the pattern.

    **Arguments:**

    - `patterns`: shape (patterns, neurons).
    - `state`: shape (neurons,).

    **Returns:** the overlaps, of shape (patterns,).

    **Raises:** `ValueError` if `patterns` is empty or not finite, or the shapes differ.

    **Example:**

    ```python
    import hopfield_jax as hj

    patterns = hj.hadamard_patterns(3, 8)
    assert hj.overlap(patterns, patterns[1]).tolist() == [0, 1, 0]
    ```
    """
    patterns, state = _patterns_and_state(patterns, state)
    return _overlap(patterns, state)


@compiled
def _overlap(patterns: Array, state: Array) -> Array:
    return matmul(state, patterns.T) / state.size


def cosine_similarity(
    patterns: Real[ArrayLike, "patterns neurons"], state: Real[ArrayLike, " neurons"]
) -> Float[Array, " patterns"]:
    """Cosine of the angle between a state and each pattern.

        c^μ = ξ^μ·x/(‖ξ^μ‖ ‖x‖), c^μ = 0 if a norm is zero

    The gradient is zero too if a norm is zero.

    **Arguments:**

    - `patterns`: shape (patterns, neurons).
    - `state`: shape (neurons,).

    **Returns:** the cosines, in [−1, 1], of shape (patterns,).

    **Raises:** `ValueError` if `patterns` is empty or not finite, or the shapes differ.

    **Example:**

    ```python
    import hopfield_jax as hj

    patterns = hj.hadamard_patterns(3, 8)
    assert abs(hj.cosine_similarity(patterns, 5 * patterns[1])[1] - 1) < 1e-6
    ```
    """
    return overlap_and_cosine(*_patterns_and_state(patterns, state))[1]


def overlap_and_cosine(
    patterns: Float[Array, "patterns neurons"], state: Float[Array, " neurons"]
) -> tuple[Float[Array, " patterns"], Float[Array, " patterns"]]:
    """`overlap` and `cosine_similarity` from one product of patterns and state."""
    products = matmul(state, patterns.T)  # a batch of states stays in rows
    (size, length), (pattern_sizes, pattern_lengths) = _size_and_length(state), _size_and_length(patterns)
    cosine = products / pattern_sizes / size / (pattern_lengths * length)
    cosine += jax.lax.stop_gradient(jnp.clip(cosine, -1, 1) - cosine)  # removes rounding, keeps derivatives
    return products / state.size, cosine


def best_match(likeness: Float[Array, " patterns"], odd: Bool[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Index of the pattern most similar to a state, and a sign: 1, or -1 if the inverse of that pattern is more similar
    than any pattern, in a network that is symmetric under inversion (`odd`). -1 and 0 if a similarity is NaN."""
    # If a pattern and its inverse are both stored, the pattern itself is preferred to rounding.
    inverse = odd & (-jnp.min(likeness) > jnp.max(likeness) + jnp.finfo(likeness.dtype).eps ** 0.5)
    known = jnp.all(jnp.isfinite(likeness))
    winner = jnp.where(inverse, jnp.argmin(likeness), jnp.argmax(likeness))
    return jnp.where(known, winner, -1), jnp.where(known, jnp.where(inverse, -1, 1), 0)


def _pattern(pattern: ArrayLike) -> Float[Array, " neurons"]:
    names = "(neurons,): use `jax.vmap` for more than one"
    pattern = Rules().real("pattern", pattern, "finite", shape=(None,), names=names)
    if not pattern.size:
        fail("pattern", "at least one neuron", "none")
    return pattern


def _patterns_and_state(
    patterns: ArrayLike, state: ArrayLike
) -> tuple[Float[Array, "patterns neurons"], Float[Array, " neurons"]]:
    patterns, state = Rules().patterns("patterns", patterns), as_real("state", state)
    shape_is("state", state, (patterns.shape[1],), "(neurons,)")
    return patterns, state


def _changed(
    pattern: Float[Array, " neurons"], fraction: ScalarLike, scale: int, value: Scalar, rules: Rules, key: PRNGKey
) -> Float[Array, " neurons"]:
    key_fits("key", key)
    fraction = rules.real("fraction", fraction, "probability", dtype=default_float())
    return _change(pattern, fraction, scale, value, rules.valid, key)


@compiled
def _change(
    pattern: Float[Array, " neurons"], fraction: Scalar, scale: int, value: Scalar, valid: ArrayLike, key: PRNGKey
) -> Float[Array, " neurons"]:
    """`scale` times the pattern plus (1 - `scale`) times the value, in a fraction of the neurons."""
    count = jnp.round(fraction * pattern.size)
    order = jr.permutation(key, pattern.size)
    new = scale * pattern + (1 - scale) * value.astype(pattern.dtype)
    changed = jnp.where(order < count.astype(order.dtype), new, pattern)
    return nan_unless(valid, changed, constant=True)


def _size_and_length(vectors: Float[Array, "*batch neurons"]) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """The norm as a product of two factors, to avoid overflow of squares and gradients; infinite for zero."""
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(vectors), axis=-1))  # the direction does not depend on it
    zero = size < jnp.finfo(size.dtype).tiny
    scaled = jnp.where(zero[..., None], 1, vectors) / jnp.where(zero, 1, size)[..., None]
    return jnp.where(zero, jnp.inf, size), jnp.linalg.norm(scaled, axis=-1)
