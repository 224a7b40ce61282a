"""Abstract units and their properties."""

import abc
from typing import Any

import jax.numpy as jnp

from .._checks import Checked, fail, kind
from .._misc import nondifferentiable
from .._types import Array, Float, PyTree


class AbstractUnits(Checked):
    r"""The activation of neurons. Subclasses override the class attributes that differ, which may be properties or
    fields.

    **Attributes:**

    - `separable`: whether the output of a neuron depends only on its own state.
    - `odd`: whether $\phi(-x) = -\phi(x)$: a site with pattern entry −1 is then the mirror image of one with +1.
    - `binary`: whether outputs are ±1 (or 0, at 0).
    - `thermal`: whether outputs are random spins ±1 in a heat bath, with mean $\tanh\beta x$ (the `activation`); such
      units have the parameter `beta`.
    - `memoryless`: whether a neuron has no inner variables beside its state.
    - `kinks`: states other than zero at which the slope of the activation jumps.
    - `saturation`: the size of a state from which on the output is exactly ±1, or `None`.
    - `no_gradient`: why automatic differentiation does not go through the units; empty where it does.
    """

    separable = False
    odd = False
    binary = False
    thermal = False
    memoryless = True
    kinks = ()
    saturation = None
    no_gradient = ""

    @abc.abstractmethod
    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""Output $\phi(x)$, of thermal units its mean; the shape of `x`."""

    def sample(self, mean: Float[Array, "*shape"], number: Float[Array, "..."]) -> Float[Array, "*shape"]:
        """Outputs of a given `mean`: of thermal units spins, from uniform numbers in [-1, 1); else the mean itself."""
        return jnp.where(number < mean, 1, -1).astype(mean.dtype) if self.thermal else mean


class AbstractElementwise(AbstractUnits):
    r"""Units with an elementwise `activation` and its potential."""

    separable = True

    @abc.abstractmethod
    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""Potential $\ell(x) = \int_0^x \phi$ (up to a constant) for every entry; NaN where it is not known."""


def elementwise_fit(argument: str, units: Any) -> None:
    """Validates that `units` are elementwise."""
    if not isinstance(units, AbstractElementwise):
        fail(
            argument,
            "a separable generating function (`LogCosh`, `HardTanh`, `Erf`, …), `Elementwise(fn)`, `Sign()` or "
            "`Glauber(beta)`",
            kind(units),
        )


def without_gradient(units: AbstractUnits, tree: PyTree) -> PyTree:
    """`tree` unchanged; if the units cannot be differentiated, differentiating through it raises."""
    if not units.no_gradient:
        return tree
    name = type(units).__name__
    message = (
        f"`units`: no gradient goes through {name} units: {units.no_gradient}. Differentiate `solve` with `Lines()`."
    )
    return nondifferentiable(tree, message)
