"""Patterns to store."""

import jax
import jax.numpy as jnp
import jax.random as jr

from .._checks import at_least, fail, key_fits, sieved
from .._misc import compiled, default_float, nan_unless
from .._types import Array, ArrayLike, Float, Patterns, PRNGKey, ScalarLike


def random_patterns(num_patterns: int, num_neurons: int, *, key: PRNGKey) -> Patterns:
    """Draws unbiased binary patterns with independent entries.

        P(ξ^μ_i = 1) = P(ξ^μ_i = −1) = 1/2

    **Arguments:**

    - `num_patterns`, `num_neurons`: number of patterns, and of neurons.
    - `key`: random key.

    **Returns:** array of ±1 of shape (patterns, neurons).

    **Raises:** `ValueError` if a count is below one.

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.random_patterns(4, 100, key=jr.key(0))
    assert patterns.shape == (4, 100)
    ```
    """
    _counts(num_patterns, num_neurons, key)
    return jr.rademacher(key, (num_patterns, num_neurons), default_float())


def gaussian_patterns(num_patterns: int, num_neurons: int, *, key: PRNGKey) -> Patterns:
    """Draws patterns with independent standard normal entries.

        ξ^μ_i ~ N(0, 1)

    **Arguments:**

    - `num_patterns`, `num_neurons`: number of patterns, and of neurons.
    - `key`: random key.

    **Returns:** array of shape (patterns, neurons).

    **Raises:** `ValueError` if a count is below one.

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.gaussian_patterns(4, 100, key=jr.key(0))
    assert patterns.shape == (4, 100)
    ```
    """
    _counts(num_patterns, num_neurons, key)
    return jr.normal(key, (num_patterns, num_neurons), default_float())


def sparse_patterns(num_patterns: int, num_neurons: int, activity: ScalarLike, *, key: PRNGKey) -> Patterns:
    """Draws patterns of active and silent neurons with independent entries.

        P(ξ^μ_i = 1) = activity,    P(ξ^μ_i = 0) = 1 − activity

    The number of active neurons therefore varies from pattern to pattern.

    **Arguments:**

    - `num_patterns`, `num_neurons`: number of patterns, and of neurons.
    - `activity`: probability of an active neuron, in [0, 1]; may be traced.
    - `key`: random key.

    **Returns:** array of 0 and 1 of shape (patterns, neurons).

    **Raises:** `ValueError` if a count is below one or `activity` is outside [0, 1].

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.sparse_patterns(4, 100, 0.05, key=jr.key(0))
    assert ((patterns == 0) | (patterns == 1)).all()
    ```
    """
    _counts(num_patterns, num_neurons, key)
    return _binary((num_patterns, num_neurons), 0, number("activity", activity, "probability"), key)


def biased_patterns(num_patterns: int, num_neurons: int, bias: ScalarLike, *, key: PRNGKey) -> Patterns:
    """Draws binary patterns with independent entries of a given mean.

        P(ξ^μ_i = ±1) = (1 ± bias)/2

    **Arguments:**

    - `num_patterns`, `num_neurons`: number of patterns, and of neurons.
    - `bias`: mean of an entry, in [−1, 1]; may be traced.
    - `key`: random key.

    **Returns:** array of ±1 of shape (patterns, neurons); NaN for a traced bias outside [−1, 1].

    **Raises:** `ValueError` if a count is below one or `bias` is outside [−1, 1].

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.biased_patterns(4, 10_000, -0.6, key=jr.key(0))
    assert abs(patterns.mean() + 0.6) < 0.05
    ```
    """
    _counts(num_patterns, num_neurons, key)
    return _binary((num_patterns, num_neurons), -1, number("bias", bias, "cosine"), key)


def correlated_patterns(num_patterns: int, num_neurons: int, correlation: ScalarLike, *, key: PRNGKey) -> Patterns:
    """Draws binary patterns with the same expected overlap of every pair.

        ξ^μ_i = η_i s^μ_i,    P(s^μ_i = ±1) = (1 ± √correlation)/2,    so that E[ξ^μ·ξ^ν]/N = correlation for μ ≠ ν

    Each pattern is a random template η of ±1 with every entry flipped independently with probability (1 −
    √correlation)/2: patterns are independent for correlation 0 and identical for 1. A single entry is unbiased over
    draws of the template.

    **Arguments:**

    - `num_patterns`, `num_neurons`: number of patterns, and of neurons.
    - `correlation`: expected overlap of each pair, in [0, 1]; may be traced.
    - `key`: random key.

    **Returns:** array of ±1 of shape (patterns, neurons).

    **Raises:** `ValueError` if a count is below one or `correlation` is outside [0, 1].

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.correlated_patterns(2, 10_000, 0.3, key=jr.key(0))
    assert abs(hj.overlap(patterns, patterns[0])[1] - 0.3) < 0.05
    ```
    """
    _counts(num_patterns, num_neurons, key)
    return _descendants(1, num_patterns, num_neurons, number("correlation", correlation, "probability"), key)


def hierarchical_patterns(
    num_ancestors: int, num_descendants: int, num_neurons: int, correlation: ScalarLike, *, key: PRNGKey
) -> Patterns:
    """Draws families of binary patterns: correlated within a family, independent between families.

        ξ^{aμ}_i = η^a_i s^{aμ}_i,    P(s^{aμ}_i = ±1) = (1 ± √correlation)/2
        E[ξ^{aμ}·ξ^{bν}]/N = correlation for a = b, μ ≠ ν and 0 for a ≠ b

    The ancestors η^a are independent random templates of ±1, which are not included in the patterns.

    **Arguments:**

    - `num_ancestors`, `num_descendants`: number of families, and of patterns in each.
    - `num_neurons`: number of neurons.
    - `correlation`: expected overlap of two patterns of one family, in [0, 1]; may be traced.
    - `key`: random key.

    **Returns:** array of ±1 of shape (num_ancestors · num_descendants, neurons), one family after the other.

    **Raises:** `ValueError` if a count is below one or `correlation` is outside [0, 1].

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.hierarchical_patterns(3, 5, 100, 0.4, key=jr.key(0))
    families = patterns.reshape(3, 5, 100)
    ```
    """
    for name, count in (("num_ancestors", num_ancestors), ("num_descendants", num_descendants)):
        at_least(name, count, 1)
    _counts(num_ancestors * num_descendants, num_neurons, key)
    correlation = number("correlation", correlation, "probability")
    return _descendants(num_ancestors, num_descendants, num_neurons, correlation, key)


def hadamard_patterns(num_patterns: int, num_neurons: int) -> Patterns:
    """The first rows of Sylvester's Hadamard matrix: exactly orthogonal binary patterns.

        ξ^μ_i = (−1)^{number of binary digits 1 that μ and i share},    ξ^μ·ξ^ν = N δ_μν

    Row 0 is constant; all others sum to zero.

    **Arguments:**

    - `num_patterns`: number of patterns, at most `num_neurons`.
    - `num_neurons`: number of neurons, a power of two.

    **Returns:** array of ±1 of shape (patterns, neurons).

    **Raises:** `ValueError` if a count is below one, `num_neurons` is no power of two, or `num_patterns` exceeds it.

    **Example:**

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    patterns = hj.hadamard_patterns(3, 8)
    assert (patterns @ patterns.T == 8 * jnp.eye(3)).all()
    ```
    """
    _counts(num_patterns, num_neurons)
    above = 1 << (int(num_neurons) - 1).bit_length()
    if above != num_neurons:
        fail("num_neurons", f"a power of two (the nearest are {above // 2} and {above})", num_neurons)
    _no_more_than_neurons(num_patterns, num_neurons)
    return _hadamard(num_patterns, num_neurons)


def orthogonal_patterns(
    num_patterns: int, num_neurons: int, *, norm: ScalarLike | None = None, key: PRNGKey
) -> Patterns:
    """Draws random orthogonal patterns of a given Euclidean norm by the Gram–Schmidt process.

        ζ^μ = g^μ − Σ_{ν<μ} (ξ^ν·g^μ) ξ^ν/norm²,    ξ^μ = norm ζ^μ/‖ζ^μ‖,    ξ^μ·ξ^ν = norm² δ_μν

    The g^μ are the rows of `gaussian_patterns` for the same key. Orthogonal up to rounding.

    **Arguments:**

    - `num_patterns`: number of patterns, at most `num_neurons`.
    - `num_neurons`: number of neurons.
    - `norm`: Euclidean norm of each pattern, positive; may be traced. The default, √N, is the norm of a pattern of ±1.
    - `key`: random key.

    **Returns:** array of shape (patterns, neurons).

    **Raises:** `ValueError` if a count is below one, `num_patterns` exceeds `num_neurons`, or `norm` is not positive.

    **Example:**

    ```python
    import jax.random as jr
    import hopfield_jax as hj

    patterns = hj.orthogonal_patterns(4, 50, key=jr.key(0))
    assert abs(hj.overlap(patterns, patterns[0])[0] - 1) < 1e-5
    ```
    """
    _counts(num_patterns, num_neurons, key)
    _no_more_than_neurons(num_patterns, num_neurons)
    norm = number("norm", num_neurons**0.5 if norm is None else norm, "positive")
    return _orthogonal(gaussian_patterns(num_patterns, num_neurons, key=key), norm)


def number(argument: str, value: ArrayLike, domain: str) -> Float[Array, ""]:
    """Validates a number; a traced one outside its domain becomes NaN."""
    return sieved(argument, value, domain, shape=())


def unless_nan(number: Float[Array, ""], drawn: Array) -> Array:
    """Replaces the draws by NaN if the number is NaN."""
    return nan_unless(~jnp.isnan(number), drawn, constant=True)


def _counts(num_patterns: int, num_neurons: int, *key: PRNGKey) -> None:
    at_least("num_patterns", num_patterns, 1)
    at_least("num_neurons", num_neurons, 1)
    for x in key:
        key_fits("key", x)


def _no_more_than_neurons(num_patterns: int, num_neurons: int) -> None:
    if num_patterns > num_neurons:
        fail("num_patterns", f"at most {num_neurons} orthogonal patterns of {num_neurons} neurons", num_patterns)


@compiled
def _binary(shape: tuple[int, int], low: int, mean: Float[Array, ""], key: PRNGKey) -> Patterns:
    """Entries of `low` and 1 with this mean."""
    active = jr.bernoulli(key, (mean - low) / (1 - low), shape)
    return unless_nan(mean, jnp.where(active, 1, low).astype(default_float()))


@compiled
def _hadamard(num_patterns: int, num_neurons: int) -> Patterns:
    digits = jnp.arange(num_patterns)[:, None] & jnp.arange(num_neurons)[None, :]
    return (1 - 2 * (jax.lax.population_count(digits) & 1)).astype(default_float())


@compiled
def _orthogonal(patterns: Patterns, norm: Float[Array, ""]) -> Patterns:
    columns, triangle = jnp.linalg.qr(patterns.T)
    signs = jnp.where(jnp.diagonal(triangle) < 0, -1, 1)  # Gram–Schmidt's convention: a positive diagonal of R
    return columns.T * (norm.astype(columns.dtype) * signs)[:, None]


@compiled
def _descendants(
    num_ancestors: int, num_descendants: int, num_neurons: int, correlation: Float[Array, ""], key: PRNGKey
) -> Patterns:
    ancestor_key, copy_key = jr.split(key)
    ancestors = jr.rademacher(ancestor_key, (num_ancestors, 1, num_neurons), default_float())
    kept = jr.bernoulli(copy_key, (1 + jnp.sqrt(correlation)) / 2, (num_ancestors, num_descendants, num_neurons))
    patterns = jnp.where(kept, ancestors, -ancestors).reshape(num_ancestors * num_descendants, num_neurons)
    return unless_nan(correlation, patterns)
