"""Palimpsests: couplings that decay, so that the newest patterns can always be retrieved."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf

from .._checks import Rules
from .._misc import default_float
from .._threshold import bisect
from .._types import Array, Bool, Scalar, ScalarLike

_SERIES = [(-1) ** k / (k + 2) for k in range(8)][::-1]


def palimpsest_oldest_age(decay: ScalarLike) -> Scalar:
    r"""Age of the oldest pattern that a palimpsest of sign units still retrieves, per neuron; the capacity.

        J = (1/N) Σ_k Λ(k/N) ξ^kξ^kᵀ (i ≠ j),    Λ(x) = e^{−ax},    k = 0 the newest of infinitely many patterns

    The overlap with the pattern of age x = k/N is m = erf(Λ(x)m/√(2r)), with the crosstalk

        r = ∫dx' Λ²/(1 − CΛ)² = [C/(1−C) + ln(1−C)]/(aC²),    C = √(2/(πr)) exp(−Λ(x)²m²/(2r)).

    Only the decay a matters: a factor of the couplings has no effect for sign units. Replica symmetry and N → ∞ are
    assumed; a site's feedback on itself has no effect on Maxwell's branch (see `scsna`). The capacity is largest at the
    decay 8.438335, where it is 0.0489585, and zero below the decay 3.03763.

    **Arguments:**

    - `decay`: a, rate at which Λ falls with the age per neuron, positive; may be traced.

    **Returns:** the age, patterns per neuron; zero if not even the newest pattern is retrieved, NaN if a traced
    argument lies outside its domain.

    **Raises:** `ValueError` for a decay that is not positive.

    **Example:**

    ```python
    import jax
    import hopfield_jax as hj

    best = hj.bisect(jax.grad(hj.theory.palimpsest_oldest_age), 5.0, 15.0).value
    assert abs(hj.theory.palimpsest_oldest_age(best) - 0.0489585) < 1e-6
    ```

    Mézard, Nadal and Toulouse, J. Physique 47, 1457 (1986).
    """
    rules = Rules(dtype=default_float())
    return _oldest(rules.real("decay", decay, "positive"), rules.valid)[0]


def palimpsest_overlap(decay: ScalarLike, age: ScalarLike) -> Scalar:
    r"""Overlap of the retrieval state of a palimpsest with the pattern of a given age; the equations are those of
    `palimpsest_oldest_age`.

    **Arguments:**

    - `decay`: a, rate at which Λ falls with the age per neuron, positive; may be traced.
    - `age`: x, number of patterns stored since, per neuron, not negative; may be traced.

    **Returns:** the overlap m, zero beyond the oldest age; NaN if a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    ages = jnp.array([0.0, 0.02, 0.04, 0.06])
    overlaps = jax.vmap(hj.theory.palimpsest_overlap, in_axes=(None, 0))(8.44, ages)
    assert 1 > overlaps[0] > overlaps[1] > overlaps[2] > 0.99 and overlaps[3] == 0
    ```

    Mézard, Nadal and Toulouse, J. Physique 47, 1457 (1986).
    """
    rules = Rules(dtype=default_float())
    return _overlap(rules.real("decay", decay, "positive"), rules.real("age", age, "nonnegative"), rules.valid)


@eqx.filter_jit
def _oldest(decay: Scalar, valid: Bool[Array, ""]) -> tuple[Scalar, Scalar]:
    """The oldest age, and ln u there."""
    squared = 2 * decay / np.pi
    highest = jnp.log(jnp.sqrt(2 * squared) + squared / 1.5)  # slightly below the end of the curve, y = 0
    slope = jax.grad(lambda at, decay: _curve(at, decay)[0])
    fold = bisect(lambda at: slope(at, decay), _lowest(decay), _frozen(highest), num_iterations=48, throw=False).value
    some = jnp.isfinite(fold)
    at = jnp.where(some, fold, 0)
    age = _curve(at, decay)[0]
    age = jnp.where(some & (age > 0), age, 0)
    return jnp.where(valid, age, jnp.nan), at


@eqx.filter_jit
def _overlap(decay: Scalar, age: Scalar, valid: Bool[Array, ""]) -> Scalar:
    oldest, fold = _oldest(decay, valid)
    excess = lambda at: _curve(at, decay)[0] - age  # noqa: E731
    at = bisect(excess, _lowest(decay), _frozen(fold), num_iterations=48, throw=False).value
    alive = (age < oldest) & jnp.isfinite(at)
    overlap = jnp.where(alive, _curve(jnp.where(alive, at, fold), decay)[1], 0)
    return jnp.where(valid, overlap, jnp.nan)


def _curve(at: Scalar, decay: Scalar) -> tuple[Scalar, Scalar]:
    """The age and the overlap as explicit functions of ln u, u = C/(1−C): aC²r = u − ln(1+u) = (2a/π)e^{−2y²} gives r
    and y = Λm/√(2r), and then m = erf y and Λ."""
    u = jnp.exp(at)
    half = _half(u)
    y = jnp.sqrt(0.5 * (jnp.log(2 * decay / np.pi) - 2 * at - jnp.log(half)))
    noise, overlap = jnp.square(1 + u) * half / decay, erf(y)
    return (jnp.log(overlap / y) - 0.5 * jnp.log(2 * noise)) / decay, overlap


def _lowest(decay: Scalar) -> Scalar:
    """Below ln u at any age ≥ 0: there y ≤ √a, because r ≥ 1/(2a)."""
    return _frozen(0.5 * jnp.log(4 * decay / np.pi) - 1.01 * decay)


def _frozen(bound: Scalar) -> Scalar:
    return jax.lax.stop_gradient(bound)


def _half(u: Scalar) -> Scalar:
    """(u − ln(1+u))/u², which is ½ at zero."""
    small = u < 0.03
    inner, outer = jnp.where(small, u, 0), jnp.where(small, 1, u)
    series = jnp.polyval(jnp.asarray(_SERIES, u.dtype), inner)
    return jnp.where(small, series, (outer - jnp.log1p(outer)) / jnp.square(outer))
