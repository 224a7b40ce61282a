"""Extrapolation to infinitely many neurons."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Real

from .._checks import all_finite, as_real, fail, in_domain, is_concrete, shape_is
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
    more than its standard error: Hebb's rule, $N$ from 250 to 2000, 60 draws each, gave 0.138(3) for $x = 1/2$,
    0.145(2) for $2/3$ and 0.152(1) for 1, with $\chi^2$ of 3.3, 2.1 and 1.3 for two degrees of freedom. A negative
    limit of a positive quantity means that the sizes are too small, or that there are too few draws (see `capacity`).

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
    sizes, values = as_real("num_neurons", num_neurons), as_real("values", values)
    errors, exponent = as_real("errors", errors), as_real("exponent", exponent)
    shape_is("num_neurons", sizes, (None,), "(sizes,)")
    if is_concrete(sizes) and len(np.unique(np.asarray(sizes))) < 2:
        fail("num_neurons", "at least two different sizes", np.asarray(sizes).tolist())
    for name, x in (("values", values), ("errors", errors)):
        shape_is(name, x, sizes.shape, "(sizes,)")
    for name, x in (("num_neurons", sizes), ("errors", errors), ("exponent", exponent)):
        in_domain(name, x, "positive")
    return fitted(sizes, values, errors, exponent)


def fitted(sizes: Array, values: Array, errors: Array, exponent: Array) -> FiniteSizeFit:
    """The fit; NaN if a traced argument lies outside its domain."""
    scale = jnp.min(sizes)
    terms = jnp.stack([jnp.ones_like(sizes), (sizes / scale) ** -exponent], axis=1) / errors[:, None]
    covariance = jnp.linalg.inv(matmul(terms.T, terms))
    best = matmul(covariance, matmul(terms.T, values / errors))
    fit = FiniteSizeFit(
        limit=best[0],
        limit_error=jnp.sqrt(covariance[0, 0]),
        slope=best[1] * scale**exponent,
        exponent=exponent,
        chi_squared=jnp.sum(jnp.square(values / errors - matmul(terms, best))),
        num_free=len(sizes) - 2,
    )
    valid = jnp.all(sizes > 0) & jnp.all(errors > 0) & (exponent > 0) & all_finite((sizes, values, errors, exponent))
    return nan_unless(valid, fit)
