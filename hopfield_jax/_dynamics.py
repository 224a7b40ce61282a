"""Abstract models: a pytree with a vector field; an energy network also has an energy that it descends."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from ._checks import Checked, domain, fail
from ._misc import inner, method
from ._types import Array, Float, Parameter, PyTree, Scalar, State
from ._units import AbstractGeneratingFunction, generating_fits


class AbstractDynamics(Checked):
    r"""An ordinary differential equation $\dot y = f(t, y)$."""

    @abc.abstractmethod
    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        r"""$\dot y$, in the structure of `y`; per unit of time."""


class Layer(Checked):
    r"""A layer of neurons: generating function, time constant and input.

    **Arguments:**

    - `units`: an `AbstractGeneratingFunction` $L$.
    - `tau`: time constant > 0.
    - `input`: $I$, one number or an array of the state's shape.
    """

    units: AbstractGeneratingFunction
    tau: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)
    input: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(0, 1, 2)), default=0.0)

    def __check_init__(self):
        generating_fits("Layer.units", self.units)

    def drive(self, x: Array) -> Array:
        """The input, in the shape of the state `x`."""
        if self.input.ndim and self.input.shape != x.shape:
            fail("input", f"one number or the state's shape {x.shape}", f"shape {self.input.shape}")
        return jnp.broadcast_to(self.input, x.shape)


class AbstractEnergyDynamics(AbstractDynamics):
    r"""Layers of neurons that descend one energy.

    With $g = \nabla L(y)$ and an interaction $U$ of the activations,

    $$E = \sum_a \big[(y_a - I_a) \cdot g_a - L_a(y_a)\big] + U(g), \qquad
      \tau_a \dot y_a = -y_a + I_a - \nabla_{g_a} U(g).$$

    Then $\nabla_{y_a} E = -\tau_a H_a \dot y_a$ with $H_a = \nabla^2 L_a$, so that $\dot E = -\sum_a \tau_a \dot
    y_a^\top H_a \dot y_a \le 0$ when every $L_a$ is convex (Lotito 2025, eq. 3 to 7, for one layer; Krotov and Hopfield
    for two). A subclass defines `layers` and `interactions`; everything else follows by differentiation.
    """

    @abc.abstractmethod
    def layers(self) -> PyTree[Layer]:
        """The layers, in the structure of the state."""

    @abc.abstractmethod
    def interactions(self, g: State) -> dict[str, Scalar]:
        """The terms of $U(g)$ by name, from the activations."""

    @method
    def activations(self, y: State) -> State:
        r"""$g = \nabla L(y)$, in the structure of `y`."""
        return _map_layers(lambda layer, x: layer.units.activation(x), self.layers(), y)

    @method
    def target(self, y: State) -> State:
        r"""$I_a - \nabla_{g_a} U$, to which each layer relaxes: an Euler step of length $\tau$ ends there (eq. 2)."""
        force = jax.grad(self._interaction)(self.activations(y))
        return _map_layers(lambda layer, x, f: layer.drive(x) - f, self.layers(), y, force)

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        r"""$\dot y_a = (-y_a + I_a - \nabla_{g_a} U)/\tau_a$."""
        return _map_layers(lambda layer, x, b: (b - x) / layer.tau, self.layers(), y, self.target(y))

    @method
    def energy_terms(self, y: State) -> dict[str, Scalar]:
        """Every term of the energy by name: one per layer, then the interactions."""
        terms = _map_layers(
            lambda layer, x: inner(x - layer.drive(x), layer.units.activation(x)) - layer.units(x), self.layers(), y
        )
        named, _ = jtu.tree_flatten_with_path(terms)
        families = {"/".join(str(getattr(k, "key", k)) for k in path) or "visible": term for path, term in named}
        return families | self.interactions(self.activations(y))

    @method
    def energy(self, y: State) -> Scalar:
        r"""$E(y)$; it never rises along the dynamics when every generating function is convex."""
        return _total(self.energy_terms(y))

    @method
    def metric(self, y: State, v: State) -> State:
        r"""Product $\tau_a H_a v_a$, which ties energy to dynamics: $\nabla_y E = -\mathrm{metric}(y, \dot y)$."""
        return _map_layers(lambda layer, x, u: layer.tau * layer.units.curvature(x, u), self.layers(), y, v)

    def _interaction(self, g: State) -> Scalar:
        return _total(self.interactions(g))


def _total(terms: dict[str, Scalar]) -> Scalar:
    """The sum, in the terms' own type."""
    return jnp.asarray(sum(terms.values(), start=0.0))


def _map_layers(fn, layers: PyTree[Layer], y: State, *rest: State) -> PyTree:
    """`fn(layer, x, …)` over the layers; raises with both structures if the state has another one."""
    is_layer = lambda x: isinstance(x, Layer)  # noqa: E731
    expected, got = jtu.tree_structure(layers, is_leaf=is_layer), jtu.tree_structure(y)
    if expected != got:
        fail("y", f"a state with one array for each layer, {expected}", f"{got}")
    return jtu.tree_map(fn, layers, y, *rest, is_leaf=is_layer)
