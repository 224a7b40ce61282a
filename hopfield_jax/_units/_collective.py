"""Generating functions that normalise over the last axis."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import domain, fail
from .._misc import inner
from .._types import Array, Float, Parameter, Scalar
from ._generating import AbstractGeneratingFunction


class LogSumExp(AbstractGeneratingFunction):
    r"""Modern Hopfield memories: $L(x) = \frac{1}{\beta}\log\sum_i e^{\beta x_i}$, activation
    $\mathrm{softmax}(\beta x)$.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    x = jnp.array([0.0, 1.0, 3.0])
    assert jnp.allclose(hj.LogSumExp(beta=2.0).activation(x), jax.nn.softmax(2.0 * x))
    ```
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\frac{1}{\beta}\log\sum_i e^{\beta x_i}$, summed over leading axes."""
        return jnp.sum(_log_sum_exp(self.beta * x)) / self.beta


class Spherical(AbstractGeneratingFunction):
    r"""Units on a sphere: $L(x) = \sqrt{\sum_i x_i^2 + \delta}$, activation $x/\sqrt{\sum_i x_i^2 + \delta}$.

    **Arguments:**

    - `delta`: $\delta > 0$, smooths the origin.
    """

    delta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1e-6)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\sqrt{\sum_i x_i^2 + \delta}$, summed over leading axes."""
        return jnp.sum(jnp.sqrt(jnp.sum(jnp.square(x), axis=-1) + self.delta))


class LayerNorm(AbstractGeneratingFunction):
    r"""Layer normalisation: $L(x) = \gamma D\sqrt{\mathrm{var}(x) + \delta} + b \cdot x$ for $D$ neurons.

    The activation is $\gamma (x - \bar x)/\sqrt{\mathrm{var}(x) + \delta} + b$.

    **Arguments:**

    - `gain`: $\gamma \ge 0$, a scalar (gains per neuron have no generating function).
    - `shift`: $b$, a scalar or one number per neuron.
    - `delta`: $\delta > 0$.
    """

    gain: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=1.0)
    shift: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)
    delta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1e-5)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\gamma D\sqrt{\mathrm{var}(x) + \delta} + b \cdot x$, summed over leading axes."""
        if self.shift.ndim and self.shift.shape != x.shape[-1:]:
            fail("LayerNorm.shift", f"one number or shape {x.shape[-1:]}", f"shape {self.shift.shape}")
        apart = x - jax.lax.stop_gradient(x[..., :1])  # a common offset has no effect but on rounding
        spread = jnp.sqrt(jnp.var(apart, axis=-1) + self.delta)
        return self.gain * x.shape[-1] * jnp.sum(spread) + inner(jnp.broadcast_to(self.shift, x.shape), x)


# Its derivative is written as a softmax: that of `logsumexp` reads the scores twice more.


@jax.custom_jvp
def _log_sum_exp(z: Array) -> Array:
    return jax.nn.logsumexp(z, axis=-1)


@_log_sum_exp.defjvp
def _(primals, tangents):
    (z,), (dz,) = primals, tangents
    return _log_sum_exp(z), jnp.sum(jax.nn.softmax(z, axis=-1) * dz, axis=-1)
