"""Units without a generating function: binary ones, and any function of one number."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import domain, fail, kind
from .._types import Array, Float, Parameter, Scalar
from ._base import AbstractElementwise


class Sign(AbstractElementwise):
    r"""Binary units without noise, $\phi(x) = \mathrm{sign}(x)$ (zero at zero). `dmft.solve` differentiates them."""

    odd = True
    binary = True
    no_gradient = "its derivative is zero wherever it exists, so automatic differentiation would give a wrong number"

    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\mathrm{sign}(x)$."""
        return jnp.sign(x)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$|x|$."""
        return jnp.abs(x)


class Glauber(AbstractElementwise):
    r"""Binary units with thermal noise: spins $\phi = \pm 1$ with mean $\tanh\beta x$.

    In `hopfield_jax.dmft` they are updated all at once (`dt` = 1) or, in a simulation, one after the other. Closed
    theory of stationary states is about those that flip one at a time in a heat bath. There the crosstalk responds to a
    spin's fluctuations as well as to its mean, and by the fluctuation–dissipation theorem the mean in the field that is
    left without that response is as if there were none: Γ = 0, unlike that of the deterministic units LogCosh(β) with
    the same activation. Spins that flip all at once rest a little elsewhere.

    **Arguments:** `beta`, the inverse temperature > 0. `hopfield_jax.dmft.solve` differentiates
    them.
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    odd = True
    binary = True
    thermal = True
    no_gradient = (
        "a random spin jumps where its probability crosses a random number, which automatic differentiation does not "
        "see"
    )

    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""The mean, $\tanh\beta x$."""
        return jnp.tanh(self.beta * x)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Zero."""
        return jnp.zeros_like(x)


class Elementwise(AbstractElementwise):
    r"""Any elementwise activation, also a non-monotonic one.

    **Arguments:**

    - `fn`: $\phi$, a function of one real number built of JAX operations (an `equinox.Module` may carry parameters).
    - `odd`: whether $\phi(-x) = -\phi(x)$, which halves the work; not validated.
    - `potential`: $\int_0^x \phi$, for the energy (NaN without it).
    - `kinks`: states other than zero at which the slope jumps, for closed theory of stationary states.
    """

    fn: Callable
    odd: bool = eqx.field(static=True, default=False)  # pyright: ignore[reportIncompatibleVariableOverride]
    potential: Callable | None = None
    kinks: Parameter[Array] = eqx.field(metadata=domain("finite", ndim=1), default_factory=lambda: np.zeros(0))  # pyright: ignore

    def __check_init__(self):
        for name in ("fn", "potential"):
            value = getattr(self, name)
            if not (callable(value) or (name == "potential" and value is None)):
                fail(f"Elementwise.{name}", "a function of one number", kind(value))

    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\phi(x)$."""
        return _apply("fn", self.fn, x)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""`potential`, or NaN."""
        return jnp.full_like(x, jnp.nan) if self.potential is None else _apply("potential", self.potential, x)


def _apply(name: str, fn: Callable, x: Array) -> Array:
    out = jnp.vectorize(fn)(x)
    if out.dtype != x.dtype:
        fail(f"Elementwise.{name}", f"a function that keeps the type {x.dtype}", out.dtype)
    return out
