"""Plasticity kernels: the weights of past outputs in the couplings."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import Checked, Rules, as_real, domain, fail, kind, takes
from .._misc import matmul, nan_unless
from .._types import Array, Float, Parameter, Scalar


class Exponential(eqx.Module):
    r"""An exponential kernel $\lambda K$ as a recursion: $\sum_s \lambda K_{ts}X_s$ is $M_t$ with

    $$M_t = M^-_t + \text{now}\,X_t\;(t > 0),\qquad M^-_{t+1} = \text{keep}\,M_t + \text{add}\,X_t,\qquad
      M^-_0 = 0.$$

    **Arguments:** `keep`, `add` and `now`, numbers; `now` is nonzero only for the trapezoid rule.
    """

    keep: Scalar
    add: Scalar
    now: Scalar

    def dense(self, num_times: int) -> Float[Array, "times times"]:
        r"""$\lambda K_{ts}$, lower triangular."""
        lags, later = _lags(num_times), np.arange(num_times)[None] > 0
        whole = np.maximum(lags, 0).astype(np.int32)  # integer powers have a finite derivative at keep = 0
        kept = lambda n: jax.lax.pow(jnp.broadcast_to(self.keep, lags.shape), jnp.asarray(n))  # noqa: E731
        past = jnp.where(lags > 0, self.add * kept(np.maximum(whole - 1, 0)), 0)
        return past + jnp.where((lags >= 0) & later, self.now * kept(whole), 0)


# An array of shape (times, times), or (times, times, times) for kernels of two times; an `Exponential`; or a tuple
# (sum).
Table = Array | Exponential | tuple["Table", ...]


class AbstractPlasticityKernel(Checked):
    r"""A causal kernel $K$ of Hebbian plasticity,

    $$A_{ij}(t) = \frac{\lambda}{N}\sum_{s<t} K(t, s)\,\phi_i(s)\phi_j(s),\qquad\text{or}\qquad
      A_{ij}(t) = \frac{\lambda}{N}\sum_{s,s'<t} K(t; s, s')\,\phi_i(s)\phi_j(s').$$

    Kernels can be added: `LeakyHebbian(0.5, tau=5.0) + LeakyHebbian(-0.2, tau=50.0)`.
    """

    @abc.abstractmethod
    def table(self, num_times: int, dt: Scalar, trapezoid: bool) -> Table:
        r"""$\lambda K$ at the times 0, dt, …: an array of shape (num_times, num_times), zero unless s < t (of a kernel
        of two times (num_times, num_times, num_times), zero unless s, s' < t), an `Exponential`, or a tuple of these
        (their sum).

        `trapezoid` requests the trapezoid rule over s, for second-order schemes: it includes s = t, and the first and
        last time have half weight. A kernel that ignores it is of first order.
        """

    def __add__(self, other: "AbstractPlasticityKernel") -> "AbstractPlasticityKernel":
        return KernelSum((self, other)) if isinstance(other, AbstractPlasticityKernel) else NotImplemented


class KernelSum(AbstractPlasticityKernel):
    """The sum of several kernels, `kernel + kernel`.

    **Arguments:** `kernels`, a tuple of them.
    """

    kernels: tuple[AbstractPlasticityKernel, ...]

    def table(self, num_times: int, dt: Scalar, trapezoid: bool) -> Table:
        """The tables of all."""
        return tuple(kernel.table(num_times, dt, trapezoid) for kernel in self.kernels)


class LeakyHebbian(AbstractPlasticityKernel):
    r"""$A(t+1) = (1 - dt/\tau)A(t) + (dt/\tau)(\lambda/N)\phi\phi^\top$: $K = \frac{dt}{\tau}(1 -
    \frac{dt}{\tau})^{t-s-1}$; by the trapezoid rule $K = \frac{dt}{\tau}e^{-(t-s)dt/\tau}$.

    **Arguments:**

    - `strength`: $\lambda$, of either sign (negative: unlearning).
    - `tau`: $\tau_A \ge$ `dt`, in units of the neurons' time constant.
    """

    strength: Parameter[Scalar] = eqx.field(metadata=domain("finite"))
    tau: Parameter[Scalar] = eqx.field(metadata=domain("positive"))

    def table(self, num_times: int, dt: Scalar, trapezoid: bool) -> Exponential:
        r"""$\lambda K_{ts}$. **Raises:** `ValueError` for `tau` below `dt`; a traced one gives NaN."""
        rules, expected = Rules(), "a time constant of at least dt = {1:g}"
        rules.holds("LeakyHebbian.tau", lambda tau, dt: tau >= dt, expected, self.tau, dt)
        rate = nan_unless(rules.valid, dt / self.tau, constant=True)
        if not trapezoid:
            return Exponential(1 - rate, self.strength * rate, jnp.zeros_like(rate))
        half, keep = self.strength * rate / 2, jnp.exp(-rate)
        return Exponential(keep, half * keep, half)


class AccumulatingHebbian(AbstractPlasticityKernel):
    r"""Hebbian plasticity without decay: $K = dt$.

    **Arguments:** `strength`, $\lambda$, per unit of time, of either sign.
    """

    strength: Parameter[Scalar] = eqx.field(metadata=domain("finite"))

    def table(self, num_times: int, dt: Scalar, trapezoid: bool) -> Exponential:
        r"""$\lambda\,dt$ below the diagonal."""
        step = self.strength * dt
        one, zero = jnp.ones_like(step), jnp.zeros_like(step)
        return Exponential(one, step / 2, step / 2) if trapezoid else Exponential(one, step, zero)


class FunctionKernel(AbstractPlasticityKernel):
    r"""A kernel given as a function of two times: $K_{ts} = dt\,k(t, s)$ for $s < t$.

    **Arguments:**

    - `fn`: $k(t, s)$, a rate, of two real times $s < t$ (with a scheme of second order $s \le t$) in units of the
      neurons' time constant.
    - `strength`: $\lambda$.
    """

    fn: Callable
    strength: Parameter[Scalar] = eqx.field(metadata=domain("finite"), default=1.0)

    def __check_init__(self):
        if not callable(self.fn):
            fail("FunctionKernel.fn", "a function of two times", kind(self.fn))

    def table(self, num_times: int, dt: Scalar, trapezoid: bool) -> Float[Array, "times times"]:
        r"""$\lambda\,dt\,k(t, s)$ below the diagonal."""
        lags = _lags(num_times)
        times, asked = jnp.arange(num_times).astype(dt.dtype) * dt, (lags > 0) | (trapezoid & (lags == 0))
        # Evaluated for s < t only: infinite values elsewhere would make gradients NaN.
        later = jnp.where(asked, times[:, None], dt)
        values = jax.vmap(jax.vmap(self.fn))(later, jnp.where(asked, times[None, :], 0))
        ends = (lags == 0) | (np.arange(num_times)[None] == 0) if trapezoid else np.zeros_like(lags, bool)
        values *= jnp.where(ends, 0.5, 1).astype(values.dtype)
        return jnp.where(asked, self.strength * dt * values, 0).at[0].set(0)


class TableKernel(AbstractPlasticityKernel):
    r"""A kernel given as numbers: $\lambda K_{ts}$, or $\lambda K(t; s, s')$ for a kernel of two times.

    **Arguments:**

    - `values`: shape (times, times) or (times, times, times) with at least num_steps + 1 times, the first axis $t$;
      zero unless every other time lies before $t$.
    - `strength`: $\lambda$, multiplies the values.

    **Raises:** `ValueError` for another shape, numbers that are not finite, or a kernel that is not causal.
    """

    values: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(2, 3)))
    strength: Parameter[Scalar] = eqx.field(metadata=domain("finite"), default=1.0)

    def __check_init__(self):
        if len(set(self.values.shape)) != 1:
            fail("TableKernel.values", "axes of one length, the times", f"shape {self.values.shape}")
        causal("TableKernel.values", self.values, trapezoid=False)

    def table(self, num_times: int, dt: Scalar, trapezoid: bool) -> Float[Array, "..."]:
        r"""$\lambda K$ at the first `num_times` times."""
        if len(self.values) < num_times:
            fail("TableKernel.values", f"at least num_steps + 1 = {num_times} times", f"shape {self.values.shape}")
        return self.strength * self.values[(slice(num_times),) * self.values.ndim]


def kernel_tables(
    kernel: AbstractPlasticityKernel | None, num_times: int, dt: Scalar, trapezoid: bool
) -> tuple[Exponential | Array, ...]:
    """The validated terms of λK; empty without plasticity."""

    name = f"{type(kernel).__name__}.table"

    def flat(table: Table) -> tuple[Exponential | Array, ...]:
        return sum(map(flat, table), ()) if isinstance(table, tuple) else (table,)

    def checked(table: Exponential | Array) -> Exponential | Array:
        if isinstance(table, Exponential):
            return table
        table = as_real(name, table)
        if table.ndim not in (2, 3) or set(table.shape) != {num_times}:
            fail(name, f"two or three axes of {num_times} times", f"shape {table.shape}")
        return causal(name, table, trapezoid)

    if kernel is None:
        return ()
    takes(name, kernel.table, "num_times, dt, trapezoid")
    return tuple(map(checked, flat(kernel.table(num_times, dt, trapezoid))))


def causal(argument: str, table: Array, trapezoid: bool) -> Array:
    """Validates that the table is zero unless s < t (s ≤ t by the trapezoid rule): a concrete one raises otherwise, a
    traced one becomes NaN."""
    lags = _lags(len(table)) + trapezoid
    late = lags <= 0 if table.ndim == 2 else (lags <= 0)[:, :, None] | (lags <= 0)[:, None, :]
    rules, got = Rules(), "entries at s >= t that are not zero"
    rules.holds(argument, lambda table: ~late | (table == 0), "a causal kernel, zero unless s < t", table, got=got)
    return jnp.where(late, jnp.where(rules.valid, 0, jnp.nan), table)


def dense_tables(tables: tuple[Exponential | Array, ...], num_times: int) -> tuple[Array, ...]:
    """The tables as arrays."""
    return tuple(table.dense(num_times) if isinstance(table, Exponential) else table for table in tables)


def plastic_weights(rows: tuple[Array, ...], correlations: Array) -> Array:
    r"""$\lambda K_{ts}C_{ts}$, or $\lambda\sum_{s'}K(t; s, s')C_{ts'}$: the weight of the output at $s$ in the plastic
    field at $t$, from rows $t$ of the kernel's tables."""
    weights = (row * correlations if row.ndim == 1 else matmul(row, correlations) for row in rows)
    return sum(weights, jnp.zeros_like(correlations))


def _lags(num_times: int) -> np.ndarray:
    """t − s in steps."""
    times = np.arange(num_times)
    return times[:, None] - times[None, :]
