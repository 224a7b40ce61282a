"""Generating functions of independent neurons (Lotito 2025, sections 3 and 5; the table of activations in the docs).

Those with a slope have the form (1/β) ℓ(βx), so that the activation is ℓ'(βx).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import erf

from .._checks import at_least, domain, fail
from .._types import Array, Float, Parameter, Scalar
from ._generating import AbstractSeparable


class Quadratic(AbstractSeparable):
    r"""Linear units: $L(x) = \frac{s}{2}\sum_i x_i^2$, activation $s\,x$ with $s$ = `strength`.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    assert jnp.allclose(hj.Quadratic().activation(jnp.array([1.0, -2.0])), jnp.array([1.0, -2.0]))
    ```
    """

    odd = True
    strength: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\frac{s}{2} x_i^2$."""
        return 0.5 * self.strength * jnp.square(x)


class LogCosh(AbstractSeparable):
    r"""Graded units: $L(x) = \frac{1}{\beta}\sum_i \log\cosh\beta x_i$, activation $\tanh\beta x$.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    x = jnp.array([-1.0, 0.5])
    assert jnp.allclose(hj.LogCosh(beta=2.0).activation(x), jnp.tanh(2.0 * x))
    ```
    """

    odd = True
    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\frac{1}{\beta}\log\cosh\beta x_i$."""
        return _log_cosh(self.beta * x) / self.beta


class HardTanh(AbstractSeparable):
    r"""Clipped linear units: $\ell(x) = \frac{\beta}{2}x^2$ for $|x| \le 1/\beta$ and $|x| - \frac{1}{2\beta}$ beyond.

    The activation is $\mathrm{clip}(\beta x, -1, 1)$; its derivative jumps at $|x| = 1/\beta$.
    """

    odd = True
    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    @property
    def saturation(self) -> Scalar:  # pyright: ignore[reportIncompatibleVariableOverride]
        r"""$1/\beta$."""
        return 1 / self.beta

    @property
    def kinks(self) -> Float[Array, "2"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        r"""$\mp 1/\beta$."""
        return jnp.stack([-1 / self.beta, 1 / self.beta])

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\ell(x_i)$, written as $c\,(z - c/2)/\beta$ with $z = \beta x_i$ and $c = \mathrm{clip}(z, -1, 1)$."""
        z = self.beta * x
        c = jnp.clip(z, -1, 1)
        return c * (z - 0.5 * c) / self.beta


class Softplus(AbstractSeparable):
    r"""Logistic units: $L(x) = \frac{1}{\beta}\sum_i \log(1 + e^{\beta x_i})$, activation $1/(1 + e^{-\beta x})$."""

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\frac{1}{\beta}\log(1 + e^{\beta x_i})$."""
        return jax.nn.softplus(self.beta * x) / self.beta


class Erf(AbstractSeparable):
    r"""$L(x) = \sum_i x_i\,\mathrm{erf}(\beta x_i) + e^{-\beta^2 x_i^2}/(\beta\sqrt{\pi})$, activation
    $\mathrm{erf}(\beta x)$."""

    odd = True
    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$x_i\,\mathrm{erf}(\beta x_i) + e^{-\beta^2 x_i^2}/(\beta\sqrt{\pi})$."""
        return _erf_integral(self.beta * x) / self.beta


class RectifiedPower(AbstractSeparable):
    r"""Dense associative memory: $L(x) = \frac{1}{n}\sum_i \max(x_i, 0)^n$, activation $\max(x, 0)^{n-1}$.

    **Arguments:**

    - `n`: the power, a whole number of at least 2 (static).

    **Raises:** `ValueError` for another `n`.
    """

    n: int = eqx.field(static=True, default=3)

    def __check_init__(self):
        at_least("RectifiedPower.n", self.n, 2)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\frac{1}{n}\max(x_i, 0)^n$."""
        return jax.lax.integer_pow(jax.nn.relu(x), self.n) / self.n


class Power(AbstractSeparable):
    r"""Dense associative memory of even order: $L(x) = \frac{1}{n}\sum_i x_i^n$, activation $x^{n-1}$.

    **Arguments:**

    - `n`: the power, even and at least 2 (static).

    **Raises:** `ValueError` for another `n`; odd powers are not convex, see `RectifiedPower`.
    """

    odd = True
    n: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        at_least("Power.n", self.n, 2)
        if self.n % 2:
            fail("Power.n", "an even number (odd powers are not convex: use `RectifiedPower`)", self.n)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\frac{1}{n} x_i^n$."""
        return jax.lax.integer_pow(x, self.n) / self.n


class Exponential(AbstractSeparable):
    r"""$L(x) = \frac{1}{\beta}\sum_i e^{\beta x_i}$, activation $e^{\beta x}$.

    Infinite (never NaN) where $e^{\beta x}$ leaves the range of the type, $\beta x > 88$ in float32. Retrieval with
    exponential memories goes through the logarithm, `LogSumExp`.
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\frac{1}{\beta} e^{\beta x_i}$."""
        return _scaled_exp(self.beta, x)


# The three primitives below have custom derivatives with respect to *every* argument, including β. Autodiff of the
# formulas would be less accurate: logaddexp loses tanh's relative accuracy near zero, |z| + log1p(exp(-2|z|)) its
# curvature at zero, and exp(βx)/β gives inf - inf beyond the type's range.


@jax.custom_jvp
def _log_cosh(z: Array) -> Array:
    # -log(1 - tanh² z)/2 near zero, |z| - log 2 + log(1 + exp(-2|z|)) elsewhere; one logarithm for both, to vectorise.
    size, two = jnp.abs(z), jnp.asarray(2, z.dtype)
    near = size < 1
    rest = jnp.log1p(jnp.where(near, -jnp.square(jnp.tanh(z)), jnp.exp(-2 * size)))
    return jnp.where(near, 0, size - jnp.log(two)) + jnp.where(near, -0.5, 1).astype(z.dtype) * rest


@_log_cosh.defjvp
def _(primals, tangents):
    (z,), (dz,) = primals, tangents
    return _log_cosh(z), jnp.tanh(z) * dz


@jax.custom_jvp
def _erf_integral(z: Array) -> Array:
    return z * erf(z) + jnp.exp(-jnp.square(z)) / jnp.sqrt(jnp.asarray(jnp.pi, z.dtype))


@_erf_integral.defjvp
def _(primals, tangents):
    (z,), (dz,) = primals, tangents
    return _erf_integral(z), erf(z) * dz


@jax.custom_jvp
def _scaled_exp(beta: Array, x: Array) -> Array:
    return jnp.exp(beta * x) / beta


def _scaled_exp_jvp(primals, tangents):
    (beta, x), (dbeta, dx) = primals, tangents
    value = _scaled_exp(beta, x)
    slopes = (value * (x - 1 / beta), dbeta), (beta * value, dx)
    # inf * 0 would be NaN if one argument has a zero tangent.
    parts = [slope * d for slope, d in slopes if not isinstance(d, jax.custom_derivatives.SymbolicZero)]
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


_scaled_exp.defjvp(_scaled_exp_jvp, symbolic_zeros=True)
