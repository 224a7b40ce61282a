"""Plasticity kernels: how synapses remember what the network did."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import Checked, domain, fail, is_concrete, kind
from .._misc import as_inexact, matmul
from .._types import Array, Float, Scalar


class AbstractPlasticityKernel(Checked):
    r"""A causal kernel $K$ of Hebbian plasticity,

    $$A_{ij}(t) = \frac{\lambda}{N}\sum_{s<t} K(t, s)\,\phi_i(s)\phi_j(s),\qquad\text{or}\qquad
      A_{ij}(t) = \frac{\lambda}{N}\sum_{s,s'<t} K(t; s, s')\,\phi_i(s)\phi_j(s').$$
    """

    @abc.abstractmethod
    def table(self, num_times: int, dt: Scalar) -> Float[Array, "..."]:
        r"""$\lambda K$ at the times 0, dt, …: shape (num_times, num_times), strictly lower triangular; of a kernel of
        two times, (num_times, num_times, num_times)."""


class LeakyHebbian(AbstractPlasticityKernel):
    r"""$A(t+1) = (1 - dt/\tau)A(t) + (dt/\tau)(\lambda/N)\phi\phi^\top$: $K = \frac{dt}{\tau}(1 -
    \frac{dt}{\tau})^{t-s-1}$.

    **Arguments:**

    - `strength`: $\lambda$, of either sign (negative: unlearning).
    - `tau`: $\tau_A \ge$ `dt`, in units of the neurons' time constant.
    """

    strength: Scalar = eqx.field(converter=as_inexact, metadata=domain("finite"))
    tau: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"))

    def table(self, num_times: int, dt: Scalar) -> Float[Array, "times times"]:
        r"""$\lambda K_{ts}$."""
        rate = dt / self.tau
        lags = _lags(num_times)
        decay = jnp.power(1 - rate, jnp.asarray(np.maximum(lags - 1, 0), rate.dtype))
        table = jnp.where(lags > 0, self.strength * rate * decay, 0)
        return jnp.where(rate <= 1, table, jnp.nan)  # a traced tau below dt: the solve answers with a code


class AccumulatingHebbian(AbstractPlasticityKernel):
    r"""Synapses that never forget: $K = dt$.

    **Arguments:** `strength`, $\lambda$, per unit of time, of either sign.
    """

    strength: Scalar = eqx.field(converter=as_inexact, metadata=domain("finite"))

    def table(self, num_times: int, dt: Scalar) -> Float[Array, "times times"]:
        r"""$\lambda\,dt$ below the diagonal."""
        return jnp.where(_lags(num_times) > 0, self.strength * dt, 0)


class FunctionKernel(AbstractPlasticityKernel):
    r"""A kernel given as a function of two times: $K_{ts} = dt\,k(t, s)$ for $s < t$.

    **Arguments:**

    - `fn`: $k(t, s)$, a rate, of two real times $s < t$ in units of the neurons' time constant.
    - `strength`: $\lambda$.
    """

    fn: Callable
    strength: Scalar = eqx.field(converter=as_inexact, metadata=domain("finite"), default=1.0)

    def __check_init__(self):
        if not callable(self.fn):
            fail("FunctionKernel.fn", "a function of two times", kind(self.fn))

    def table(self, num_times: int, dt: Scalar) -> Float[Array, "times times"]:
        r"""$\lambda\,dt\,k(t, s)$ below the diagonal."""
        times = jnp.arange(num_times).astype(dt.dtype) * dt
        below = _lags(num_times) > 0
        # Where s >= t the function is not asked: a value that is infinite there would spoil gradients.
        earlier = jnp.where(below, times[None, :], -dt)
        values = jax.vmap(jax.vmap(self.fn, (None, 0)), (0, 0))(times, earlier)
        return jnp.where(below, self.strength * dt * values, 0)


class TableKernel(AbstractPlasticityKernel):
    r"""A kernel given as numbers: $\lambda K_{ts}$, or $\lambda K(t; s, s')$ for a kernel of two times.

    **Arguments:**

    - `values`: shape (times, times) or (times, times, times) with at least num_steps + 1 times, the first axis $t$;
      zero unless every other time lies before $t$.
    - `strength`: $\lambda$, multiplies the values.

    **Raises:** `ValueError` for another shape, numbers that are not finite, or a kernel that is not causal.
    """

    values: Float[Array, "..."] = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=(2, 3)))
    strength: Scalar = eqx.field(converter=as_inexact, metadata=domain("finite"), default=1.0)

    def __check_init__(self):
        if len(set(self.values.shape)) != 1:
            fail("TableKernel.values", "axes of one length, the times", f"shape {self.values.shape}")
        causal = _causal(len(self.values), self.values.ndim)
        if is_concrete(self.values) and np.any(np.asarray(self.values)[~causal]):
            fail("TableKernel.values", "a causal kernel, zero unless s < t", "entries at s >= t that are not zero")

    def table(self, num_times: int, dt: Scalar) -> Float[Array, "..."]:
        r"""$\lambda K$, cut to the times asked for."""
        if len(self.values) < num_times:
            fail("TableKernel.values", f"at least num_steps + 1 = {num_times} times", f"shape {self.values.shape}")
        values = self.values[(slice(num_times),) * self.values.ndim]
        return jnp.where(_causal(num_times, values.ndim), self.strength * values, 0)


def _lags(num_times: int) -> np.ndarray:
    """t − s in steps."""
    times = np.arange(num_times)
    return times[:, None] - times[None, :]


def _causal(num_times: int, ndim: int) -> np.ndarray:
    below = _lags(num_times) > 0
    return below if ndim == 2 else below[:, :, None] & below[:, None, :]


def plastic_weights(row: Array, correlations: Array) -> Array:
    r"""$\lambda K_{ts}C_{ts}$, or $\lambda\sum_{s'}K(t; s, s')C_{ts'}$: the weight of the output at $s$ in the plastic
    field at $t$; `row` is the kernel's row of time $t$."""
    if row.ndim == 1:
        return row * correlations
    return matmul(row, correlations)
