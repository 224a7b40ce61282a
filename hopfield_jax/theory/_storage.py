"""How patterns are stored, which decides what comes back of a site's output as crosstalk."""

import abc

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar


class AbstractStorage(eqx.Module):
    """Relation between load and crosstalk, in units of the coupling, given √q and ⟨φz⟩."""

    @abc.abstractmethod
    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """Standard deviation Δ of the crosstalk at the load α."""

    @abc.abstractmethod
    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√α, the inverse of `deviation`."""


class Hebbian(AbstractStorage):
    """Hebb's rule, J = (1/N) Σ_μ ξ^μ ξ^μᵀ: the crosstalk of earlier times adds up coherently, Δ = √(αq) + ⟨φz⟩, and a
    site feels its own output."""

    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√(αq) + ⟨φz⟩."""
        return root_load * root_square + slope

    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """(Δ − ⟨φz⟩)/√q."""
        return (deviation - slope) / root_square


class Sequence(AbstractStorage):
    """A cycle of patterns, J = (1/N) Σ_μ ξ^{μ+1} ξ^μᵀ, updated all at once: a pattern's crosstalk passes to the next
    pattern, which is independent of it, so that variances add, Δ² = αq + ⟨φz⟩², and no output comes back."""

    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√(αq + ⟨φz⟩²)."""
        return jnp.sqrt(jnp.square(root_load * root_square) + jnp.square(slope))

    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√((Δ² − ⟨φz⟩²)/q)."""
        square = jnp.square(deviation) - jnp.square(slope)
        return jnp.sqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny)) / root_square


class Diluted(AbstractStorage):
    """Hebb's rule on a random graph of c ≪ log N incoming connections a site, each direction drawn by itself, with the
    load α = P/c: crosstalk never comes back, Δ² = αq."""

    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√(αq)."""
        return root_load * root_square

    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """Δ/√q."""
        return deviation / root_square


HEBBIAN = Hebbian()
