"""Spectrum of the couplings ΞᵀΞ of random patterns.

Let Ξ have shape (P, N), independent entries of variance 1/P, and load α = P/N. Marchenko and Pastur's theorem for the
N × N sample covariance ΞᵀΞ of P samples, aspect ratio c = N/P = 1/α, gives for P, N → ∞ the spectral measure

    max(0, 1 − 1/c) δ(λ) dλ + √((λ₊ − λ)(λ − λ₋))/(2πcλ) dλ,    λ± = (1 ± √c)²,

whose continuous part has mass min(1, 1/c) = min(1, α). Divided by that mass, its factor 1/c = α becomes max(1, α).
"""

import jax.numpy as jnp
from jaxtyping import Real

from .._checks import sieved
from .._types import Array, ArrayLike, Float


def marchenko_pastur_edges(
    load: Real[ArrayLike, "..."],
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Gives the edges of the non-zero spectrum of ΞᵀΞ for random patterns of variance 1/P.

        λ∓ = (1/√load ∓ 1)²,    load = P/N

    Exact for P, N → ∞. For load < 1/4 the lower edge lies above 1. Lotito (2025), arXiv 2503.19922, section 5.4.

    **Arguments:**

    - `load`: patterns per neuron, positive, of any shape; may be traced.

    **Returns:** the pair (lower, upper), each of the shape of `load`; NaN if a traced one is not positive and finite.

    **Raises:** `ValueError` if `load` is not positive and finite.

    **Example:**

    ```python
    import hopfield_jax as hj

    lower, upper = hj.theory.marchenko_pastur_edges(0.25)
    assert (lower, upper) == (1, 9)
    ```
    """
    root = 1 / jnp.sqrt(sieved("load", load, "positive"))
    return (root - 1) ** 2, (root + 1) ** 2


def marchenko_pastur_density(eigenvalue: Real[ArrayLike, "..."], load: Real[ArrayLike, "..."]) -> Float[Array, "..."]:
    """Gives the density of the non-zero eigenvalues of ΞᵀΞ for random patterns of variance 1/P, normalised to one.

        ρ(λ) = max(1, load) √((λ₊ − λ)(λ − λ₋))/(2πλ) for λ₋ < λ < λ₊,    0 elsewhere

    The edges λ∓ are those of `marchenko_pastur_edges`; the mean is max(1, 1/load), the variance 1/load. Zeros,
    `zero_mass(load)` of the whole spectrum, are left out. At load 1 the density diverges as 1/√λ; eigenvalues too small
    to be told from zero get density 0.

    **Arguments:**

    - `eigenvalue`: where to evaluate the density, of any shape.
    - `load`: patterns per neuron, positive, of a shape that broadcasts with that of `eigenvalue`; may be traced.

    **Returns:** the density, of the broadcast shape and the type of `eigenvalue`.

    **Raises:** `ValueError` if `eigenvalue` is not finite, or `load` is not positive and finite.

    **Example:**

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    eigenvalues = jnp.linspace(0, 10, 1001)
    density = hj.theory.marchenko_pastur_density(eigenvalues, 0.25)
    assert abs(jnp.trapezoid(density, eigenvalues) - 1) < 1e-3
    ```
    """
    eigenvalue, load = sieved("eigenvalue", eigenvalue, "finite"), sieved("load", load, "positive")
    eigenvalue, load = jnp.broadcast_arrays(eigenvalue, load.astype(eigenvalue.dtype))
    lower, upper = marchenko_pastur_edges(load)
    gap = (upper - eigenvalue) * (eigenvalue - lower)
    # Between the edges, and large enough that the derivative's 1/λ² is finite.
    outside = (gap <= 0) | (eigenvalue < jnp.finfo(gap.dtype).tiny ** 0.5)
    root = jnp.sqrt(jnp.where(outside, 1, gap)) / jnp.where(outside, 1, eigenvalue)
    return jnp.maximum(1, load) / (2 * jnp.pi) * jnp.where(outside, 0, root)


def zero_mass(load: Real[ArrayLike, "..."]) -> Float[Array, "..."]:
    """Gives the fraction of eigenvalues of ΞᵀΞ that are exactly zero, for patterns in general position.

        max(0, 1 − load),    load = P/N

    **Arguments:**

    - `load`: patterns per neuron, positive, of any shape; may be traced.

    **Returns:** the fraction, of the shape of `load`; NaN if a traced one is not positive and finite.

    **Raises:** `ValueError` if `load` is not positive and finite.

    **Example:**

    ```python
    import hopfield_jax as hj

    assert hj.theory.zero_mass(0.25) == 0.75
    ```
    """
    return jnp.maximum(0, 1 - sieved("load", load, "positive"))


def critical_slope(load: Real[ArrayLike, "..."], *, self_coupling: bool = False) -> Float[Array, "..."]:
    """Gives the slope of the units at zero, above which the origin of x = Jφ(x) is unstable for Hebb's rule.

        s (1 + √load)² = 1 with self-couplings J_ii = load,    s (1 + 2√load) = 1 without

    Without them all eigenvalues of J = ΞᵀΞ/N shift by −load. The largest one, load λ₊ of `marchenko_pastur_edges`,
    determines stability at every load: the smallest, −load or 1 − 2√load, is smaller in absolute value, so that the
    origin becomes unstable at the same slope for the synchronous map x ← Jφ(x) and for the flow ẋ = −x + Jφ(x). Exact
    for random patterns and P, N → ∞.

    **Arguments:**

    - `load`: patterns per neuron, positive, of any shape; may be traced.
    - `self_coupling`: whether the diagonal of the couplings is kept.

    **Returns:** the slope, of the shape of `load`; NaN if a traced one is not positive and finite.

    **Raises:** `ValueError` if `load` is not positive and finite.

    **Example:**

    ```python
    import hopfield_jax as hj

    assert hj.theory.critical_slope(0.25) == 1 / 2
    assert abs(hj.theory.critical_slope(0.25, self_coupling=True) - 4 / 9) < 1e-6
    ```
    """
    load = sieved("load", load, "positive")
    _, upper = marchenko_pastur_edges(load)
    return 1 / (load * upper - (0 if self_coupling else load))
