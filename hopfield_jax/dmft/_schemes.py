"""Schemes: integration of a neuron's state by one step."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu

from .._types import Array, Float, PyTree, Scalar


class AbstractScheme(eqx.Module):
    r"""A step of $\dot x = h - x$. Mean-field theory is exact for the network on the grid of any scheme."""

    trapezoid: ClassVar[bool]
    """Whether the plasticity uses the trapezoid rule."""
    largest_dt: ClassVar[float]
    """The largest stable step."""

    @abc.abstractmethod
    def start(self, x: Float[Array, "*sites"]) -> PyTree[Array]:
        """The initial `memory`."""

    @abc.abstractmethod
    def advance(
        self, t: Array, x: Float[Array, "*sites"], field: Float[Array, "*sites"], memory: PyTree[Array], dt: Scalar
    ) -> tuple[Float[Array, "*sites"], PyTree[Array]]:
        """The next state and the next `memory`."""


class Euler(AbstractScheme):
    r"""$x_{t+1} = (1 - dt)\,x_t + dt\,h_t$, of first order; with dt = 1 the synchronous map."""

    trapezoid = False
    largest_dt = 1.0

    def start(self, x):
        """Nothing."""
        return None

    def advance(self, t, x, field, memory, dt):
        """By the formula above."""
        return (1 - dt) * x + dt * field, None


class AdamsBashforth(AbstractScheme):
    r"""$x_{t+1} = x_t + dt\,[\frac32 (h_t - x_t) - \frac12 (h_{t-1} - x_{t-1})]$, of second order with one field per
    step; the first step is Euler's."""

    trapezoid = True
    largest_dt = 0.99  # stable below 1

    def start(self, x):
        """A placeholder for the previous rate, unused in the first step."""
        return jnp.zeros_like(x)

    def advance(self, t, x, field, memory, dt):
        """By the formula above."""
        rate = field - x
        return x + dt * (1.5 * rate - 0.5 * jnp.where(t == 0, rate, memory)), rate


def start_all(scheme: AbstractScheme, variables: PyTree[Array]) -> list[PyTree[Array]]:
    """The initial memory of every variable."""
    return [scheme.start(x) for x in jtu.tree_leaves(variables)]


def advance_all(
    scheme: AbstractScheme,
    t: Array,
    variables: PyTree[Array],
    aims: PyTree[Array],
    memory: list[PyTree[Array]],
    dt: Scalar,
) -> tuple[PyTree[Array], list[PyTree[Array]]]:
    r"""The next values of all variables, $\dot x = \text{aim} - x$ each, and the next memory."""
    leaves, structure = jtu.tree_flatten(variables)
    moved = [scheme.advance(t, x, h, m, dt) for x, h, m in zip(leaves, jtu.tree_leaves(aims), memory, strict=True)]
    return structure.unflatten([x for x, _ in moved]), [m for _, m in moved]
