"""Abstract generating functions: a scalar function; everything else follows by differentiation."""

import abc
from typing import Any

import jax
import jax.numpy as jnp

from .._checks import fail, kind
from .._misc import inner, method
from .._types import Array, Float, Scalar
from ._base import AbstractElementwise, AbstractUnits


class AbstractGeneratingFunction(AbstractUnits):
    r"""A convex scalar function $L(x)$ of a layer's state (called Lagrangian by Krotov and Hopfield).

    Subclasses define only `__call__`. The last axis of `x` is neurons; leading axes (such as the tokens of a sequence)
    are independent copies whose values are summed. Batch with `jax.vmap`.

    ??? cite "Source"
        ```bibtex
        @article{lotito2025neural,
            title={Neural Learning Rules from Associative Networks Theory},
            author={Lotito, Daniele}, year={2025}, eprint={2503.19922}, archivePrefix={arXiv},
        }
        ```
    """

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        """$L(x)$. **Arguments:** `x`, shape (..., neurons). **Returns:** a scalar."""

    @method
    def activation(self, x: Float[Array, "*copies neurons"]) -> Float[Array, "*copies neurons"]:
        r"""Output of the neurons, $g = \nabla L(x)$; same shape as `x`."""
        return jax.grad(self.__call__)(x)

    @method
    def curvature(
        self, x: Float[Array, "*copies neurons"], v: Float[Array, "*copies neurons"]
    ) -> Float[Array, "*copies neurons"]:
        r"""Product $\nabla^2 L(x)\,v$ without forming the Hessian; `v` and the result have the shape of `x`."""
        return jax.jvp(jax.grad(self.__call__), (x,), (v,))[1]

    @method
    def energy(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""Legendre transform on the activation, $x \cdot \nabla L(x) - L(x)$; a scalar."""
        return inner(x, self.activation(x)) - self(x)


class AbstractSeparable(AbstractGeneratingFunction, AbstractElementwise):
    r"""$L(x) = \sum_i \ell(x_i)$: every neuron's output depends only on its own state.

    Subclasses define `elementwise`; if the activation is odd, $\ell'(-x) = -\ell'(x)$, they declare `odd = True`.
    """

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$L(x) = \sum_i \ell(x_i)$. **Arguments:** `x`, shape (..., neurons). **Returns:** a scalar."""
        return jnp.sum(self.elementwise(x))


def generating_fits(argument: str, units: Any) -> None:
    """Validates that `units` are a generating function."""
    if not isinstance(units, AbstractGeneratingFunction):
        fail(argument, "a generating function", kind(units))
