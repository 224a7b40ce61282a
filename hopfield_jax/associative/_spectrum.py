"""Random memories: the spectrum of Hebb's couplings compared with the law of Marchenko and Pastur."""

import equinox as eqx
import jax.numpy as jnp

from .._checks import Rules
from .._misc import matmul, nan_unless, widened
from .._results import card
from .._types import Array, Bool, Float, Int, Patterns, Scalar, ScalarLike
from ..theory import marchenko_pastur_density, marchenko_pastur_edges


class MemorySpectrum(eqx.Module):
    r"""Result of `hopfield_jax.associative.memory_spectrum`.

    **Attributes:**

    - `eigenvalues`: the min(patterns, neurons) eigenvalues of $\Xi^\top\Xi$ that are not zero by rank, ascending.
    - `num_zero`: number of further, exactly zero eigenvalues: neurons - patterns, or zero.
    - `load`: patterns/neurons. `lower`, `upper`: Marchenko–Pastur edges for entries of variance 1/patterns.
    - `lower_deviation`, `upper_deviation`: relative deviation of the extreme eigenvalues from them.
    - `distance`: largest difference between the measured and the predicted distribution function (Kolmogorov).
    - `origin_hyperbolic`: whether no eigenvalue lies within `tolerance` of 1, so that the origin of $\tau\dot v = -v +
      \Xi^\top f(\Xi g)$ with unit slopes and no bias is hyperbolic (section 5.4).
    - `all_exceed_one`: whether every non-zero eigenvalue exceeds 1, which holds in the limit for load < 1/4.
    """

    eigenvalues: Float[Array, " modes"]
    num_zero: Int[Array, ""]
    load: Scalar
    lower: Scalar
    upper: Scalar
    lower_deviation: Scalar
    upper_deviation: Scalar
    distance: Scalar
    origin_hyperbolic: Bool[Array, ""]
    all_exceed_one: Bool[Array, ""]

    def __str__(self) -> str:
        return card(
            self,
            self.load,
            lambda: (
                f"load {self.load:.4g}, {self.eigenvalues.size} eigenvalues from {self.eigenvalues[0]:.4g} "
                f"({self.lower_deviation:+.1%} of the edge {self.lower:.4g}) to {self.eigenvalues[-1]:.4g} "
                f"({self.upper_deviation:+.1%} of {self.upper:.4g}), {self.num_zero} zeros; Kolmogorov distance "
                f"{self.distance:.3f}; origin {'hyperbolic' if self.origin_hyperbolic else 'not hyperbolic'}"
            ),
        )


def memory_spectrum(patterns: Patterns, *, tolerance: ScalarLike = 1e-3) -> MemorySpectrum:
    r"""Spectrum of $\Xi^\top\Xi$ compared with its limit for random memories (Lotito 2025, section 5.4).

    The edges $(1/\sqrt\alpha \pm 1)^2$ hold for independent entries of mean 0 and variance 1/patterns: divide ±1
    patterns by the square root of their number first. The smaller of the two Gram matrices is diagonalised. At load 1
    the lower edge is 0 and its relative deviation is infinite.

    **Arguments:** `patterns`, shape (patterns, neurons); `tolerance`, how close to 1 counts as not hyperbolic.

    **Returns:** a `MemorySpectrum`, NaN if traced arguments lie outside their domain.
    """
    rules = Rules()
    patterns = widened(rules.patterns("patterns", patterns))
    near = rules.real("tolerance", tolerance, "nonnegative", dtype=patterns.dtype)
    return nan_unless(rules.valid, _memory_spectrum(patterns, near))


@eqx.filter_jit
def _memory_spectrum(patterns: Patterns, tolerance: Scalar) -> MemorySpectrum:
    num_patterns, num_neurons = patterns.shape
    wide = patterns if num_patterns <= num_neurons else patterns.T
    eigenvalues = jnp.linalg.eigvalsh(matmul(wide, wide.T))
    load = jnp.asarray(num_patterns / num_neurons, patterns.dtype)
    lower, upper = marchenko_pastur_edges(load)
    # Distribution function with the substitution x = lower + (upper - lower) (1 - cos u)/2, smooth at both edges.
    u = jnp.linspace(0.0, jnp.pi, 2049, dtype=patterns.dtype)
    grid = lower + 0.5 * (upper - lower) * (1 - jnp.cos(u))
    slope = marchenko_pastur_density(grid, load) * 0.5 * (upper - lower) * jnp.sin(u)
    cumulative = jnp.concatenate([jnp.zeros(1, u.dtype), jnp.cumsum(0.5 * (slope[1:] + slope[:-1]) * jnp.diff(u))])
    predicted = jnp.interp(eigenvalues, grid, cumulative / cumulative[-1])
    measured = jnp.arange(eigenvalues.size + 1).astype(patterns.dtype) / eigenvalues.size
    distance = jnp.maximum(jnp.max(jnp.abs(predicted - measured[1:])), jnp.max(jnp.abs(predicted - measured[:-1])))
    return MemorySpectrum(
        eigenvalues=eigenvalues,
        num_zero=jnp.asarray(max(0, num_neurons - num_patterns)),
        load=load,
        lower=lower,
        upper=upper,
        lower_deviation=eigenvalues[0] / lower - 1,
        upper_deviation=eigenvalues[-1] / upper - 1,
        distance=distance,
        origin_hyperbolic=jnp.min(jnp.abs(eigenvalues - 1)) > tolerance,
        all_exceed_one=eigenvalues[0] > 1,
    )
