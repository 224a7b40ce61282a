"""Fits of what simulations count: extrapolation to infinitely many neurons, and the midpoint of a transition."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Real

from .._checks import Rules
from .._misc import matmul, nan_unless
from .._results import card, with_error
from .._types import Array, ArrayLike, Scalar, ScalarLike


class FiniteSizeFit(eqx.Module):
    r"""Result of `hopfield_jax.classical.finite_size`: the fit $a + b\,N^{-x}$ to values of several sizes.

    **Attributes:**

    - `limit`: $a$, the value for $N \to \infty$, and `limit_error`: its standard error.
    - `slope`: $b$. `exponent`: $x$.
    - `chi_squared`: sum of the squared deviations in standard errors. `num_free`: its degrees of freedom, sizes − 2.
    """

    limit: Scalar
    limit_error: Scalar
    slope: Scalar
    exponent: Scalar
    chi_squared: Scalar
    num_free: int = eqx.field(static=True)

    def __str__(self) -> str:
        return card(self, self.limit, self.describe)

    def describe(self) -> str:
        """The numbers, without the title."""
        return (
            f"{with_error(self.limit, self.limit_error)} for N → ∞ ({self.slope:+.3g} N^(-{self.exponent:.3g})), "
            f"χ² = {self.chi_squared:.2f} with {self.num_free} degrees of freedom"
        )


def finite_size(
    num_neurons: Real[ArrayLike, " sizes"],
    values: Real[ArrayLike, " sizes"],
    errors: Real[ArrayLike, " sizes"],
    *,
    exponent: ScalarLike = 0.5,
) -> FiniteSizeFit:
    r"""Extrapolates to infinitely many neurons by weighted least squares, $a + b\,N^{-x}$ with a given $x$.

    Fluctuations between samples of the couplings, and the width of a transition, are of order $N^{-1/2}$: hence the
    default. Sizes of a few hundred to a few thousand rarely exclude other exponents, and the limit depends on it by
    more than its standard error: Hebb's rule, $N$ from 250 to 2000, 60 trials each, gave 0.138(3) for $x = 1/2$,
    0.145(2) for $2/3$ and 0.152(1) for 1, with $\chi^2$ of 3.3, 2.1 and 1.3 for two degrees of freedom. A negative
    limit of a positive quantity means that the sizes are too small, or that there are too few trials (see `capacity`).

    **Arguments:** `num_neurons`, $N$, shape (sizes,), at least two different ones; `values` and their standard
    `errors` > 0, of the same shape; `exponent`, $x$ > 0.

    **Returns:** a `FiniteSizeFit`: check its $\chi^2$, and the limit for other exponents.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    sizes = jnp.array([100.0, 200.0, 400.0])
    fit = hj.classical.finite_size(sizes, 0.3 + 2 / sizes, jnp.full(3, 0.01), exponent=1.0)
    assert abs(fit.limit - 0.3) < 1e-5 and fit.chi_squared < 1e-6
    ```
    """
    rules = Rules()
    sizes = rules.real("num_neurons", num_neurons, "positive", shape=(None,), names="(sizes,)")
    rules.holds("num_neurons", lambda n: (n != n[:1]).any(), "at least two different sizes", sizes)
    values = rules.real("values", values, "finite", shape=sizes.shape, names="(sizes,)")
    errors = rules.real("errors", errors, "positive", shape=sizes.shape, names="(sizes,)")
    exponent = rules.real("exponent", exponent, "positive")
    return nan_unless(rules.valid, power_law(sizes, values, errors, exponent))


def power_law(sizes: Array, values: Array, errors: Array, exponent: Array) -> FiniteSizeFit:
    """The fit of `finite_size`, by weighted least squares."""
    scale = jnp.min(sizes)
    terms = jnp.stack([jnp.ones_like(sizes), (sizes / scale) ** -exponent], axis=1) / errors[:, None]
    covariance = jnp.linalg.inv(matmul(terms.T, terms))
    best = matmul(covariance, matmul(terms.T, values / errors))
    return FiniteSizeFit(
        limit=best[0],
        limit_error=jnp.sqrt(covariance[0, 0]),
        slope=best[1] * scale**exponent,
        exponent=exponent,
        chi_squared=jnp.sum(jnp.square(values / errors - matmul(terms, best))),
        num_free=len(sizes) - 2,
    )


def logistic(x: Array, fraction: Array, num_trials: int) -> tuple[Array, Array, Array]:
    r"""Midpoint of a logistic curve through binomial fractions, its standard error, and the width $1/|slope|$.

    Maximum likelihood with Firth's correction (Jeffreys' prior), which stays finite where the fractions jump from 0 to
    1 between two neighbours. Newton's method of fixed length in $x$ scaled to [−1, 1].
    """
    middle, scale = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    terms = jnp.stack([jnp.ones_like(x), (x - middle) / scale], axis=1)

    def information(parameters: Array) -> tuple[Array, Array, Array]:
        chance = jax.nn.sigmoid(matmul(terms, parameters))
        weight = num_trials * chance * (1 - chance)
        inverse = jnp.linalg.inv(matmul(terms.T * weight[None], terms) + 1e-6 * jnp.eye(2, dtype=x.dtype))
        return chance, weight, inverse

    def newton(parameters: Array, _) -> tuple[Array, None]:
        chance, weight, inverse = information(parameters)
        leverage = weight * jnp.sum(matmul(terms, inverse) * terms, axis=1)
        score = matmul(terms.T, num_trials * (fraction - chance) + leverage * (0.5 - chance))
        return parameters + jnp.clip(matmul(inverse, score), -1, 1), None

    parameters, _ = jax.lax.scan(newton, jnp.zeros(2, x.dtype), length=100)
    (offset, slope), (_, _, covariance) = parameters, information(parameters)
    half = -offset / slope
    gradient = jnp.stack([-1 / slope, offset / slope**2])
    error = jnp.sqrt(jnp.sum(gradient * matmul(covariance, gradient)))
    return middle + scale * half, scale * error, scale / slope
