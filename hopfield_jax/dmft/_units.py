"""Units of a plastic network: any separable generating function, any elementwise activation, sign and Glauber units."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .._checks import Checked, domain, fail, kind
from .._generating import AbstractSeparable
from .._misc import nondifferentiable
from .._types import Array, Float, Parameter, PyTree, Scalar


class AbstractUnit(Checked):
    r"""A unit that is no generating function: what it gives for a field, and its potential for the energy."""

    odd = False
    r"""Whether $\phi(-x) = -\phi(x)$: a site with pattern entry −1 is then the mirror image of one with +1."""

    @abc.abstractmethod
    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""Output $\phi(x)$, entry by entry (of `Glauber` units: its mean)."""

    @abc.abstractmethod
    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\int_0^x \phi$, entry by entry; NaN where it is not known."""


class Sign(AbstractUnit):
    r"""Binary units without noise, $\phi(x) = \mathrm{sign}(x)$ (zero at zero). `solve` differentiates them."""

    odd = True

    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$\mathrm{sign}(x)$."""
        return jnp.sign(x)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""$|x|$."""
        return jnp.abs(x)


class Glauber(AbstractUnit):
    r"""Binary units with thermal noise: $\phi = \pm 1$ with mean $\tanh\beta x$, all updated at once (`dt` = 1).

    **Arguments:** `beta`, the inverse temperature > 0. `solve` differentiates them.
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    odd = True

    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""The mean, $\tanh\beta x$."""
        return jnp.tanh(self.beta * x)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Zero: spins carry no energy of their own."""
        return jnp.zeros_like(x)


class Elementwise(AbstractUnit):
    r"""Any elementwise activation, also a non-monotonic one.

    **Arguments:**

    - `fn`: $\phi$, a function of one real number built of JAX operations (an `equinox.Module` may carry parameters).
    - `odd`: whether $\phi(-x) = -\phi(x)$, which halves the work; nobody checks it.
    - `potential`: $\int_0^x \phi$, for the energy (NaN without it).
    """

    fn: Callable
    odd: bool = eqx.field(static=True, default=False)  # pyright: ignore[reportIncompatibleVariableOverride]
    potential: Callable | None = None

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


Units = AbstractSeparable | AbstractUnit


def _apply(name: str, fn: Callable, x: Array) -> Array:
    out = jnp.vectorize(fn)(x)
    if out.dtype != x.dtype:
        fail(f"Elementwise.{name}", f"a function that keeps the type {x.dtype}", out.dtype)
    return out


def units_fit(argument: str, units: Any) -> None:
    """Raises unless `units` act on every neuron by itself."""
    if not isinstance(units, Units):
        fail(
            argument,
            "a separable generating function (`LogCosh`, `HardTanh`, `Erf`, …), `Elementwise(fn)`, `Sign()` or "
            "`Glauber(beta)`",
            type(units).__name__,
        )


def without_gradient(units: Units, tree: PyTree) -> PyTree:
    """`tree` unchanged, but for units through which no gradient goes, an error as soon as one is asked for."""
    if not isinstance(units, Sign | Glauber):
        return tree
    why = {
        "Sign": "its derivative is zero wherever it exists, so automatic differentiation would give a wrong number",
        "Glauber": "a random spin jumps where its probability crosses a random number, which automatic "
        "differentiation does not see",
    }[type(units).__name__]
    message = (
        f"`units`: no gradient goes through {type(units).__name__} units: {why}. Differentiate `solve` with `Lines()`."
    )
    return nondifferentiable(tree, message)
