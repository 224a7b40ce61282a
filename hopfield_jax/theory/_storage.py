"""Storage rules, which determine the statistics of the crosstalk."""

import abc

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar


class AbstractStorage(eqx.Module):
    """Relation between load and crosstalk, in units of the coupling, given √q and ⟨φz⟩."""

    coherent = False
    """whether crosstalk of earlier times adds up and comes back to the site that it came from"""

    @abc.abstractmethod
    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """Standard deviation Δ of the crosstalk at the load α."""

    @abc.abstractmethod
    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√α, the inverse of `deviation`."""


class Hebbian(AbstractStorage):
    """Hebb's rule, J = (1/N) Σ_μ ξ^μ ξ^μᵀ: the crosstalk of earlier times adds up coherently, Δ = √(αq) + ⟨φz⟩, with
    feedback of a site's own output."""

    coherent = True

    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√(αq) + ⟨φz⟩."""
        return root_load * root_square + slope

    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """(Δ − ⟨φz⟩)/√q."""
        return (deviation - slope) / root_square


class Sequence(AbstractStorage):
    """A cycle of patterns, J = (1/N) Σ_μ ξ^{μ+1} ξ^μᵀ, with synchronous updates: the crosstalk of a pattern passes to
    the next, independent pattern, so that variances add, Δ² = αq + ⟨φz⟩², without feedback."""

    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√(αq + ⟨φz⟩²)."""
        return jnp.sqrt(jnp.square(root_load * root_square) + jnp.square(slope))

    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√((Δ² − ⟨φz⟩²)/q)."""
        square = jnp.square(deviation) - jnp.square(slope)
        return jnp.sqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny)) / root_square


class Diluted(AbstractStorage):
    """Hebb's rule on a random directed graph of c ≪ log N incoming connections per site, with the load α = P/c: no
    feedback, Δ² = αq."""

    def deviation(self, root_load: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """√(αq)."""
        return root_load * root_square

    def root_load(self, deviation: Scalar, root_square: Scalar, slope: Scalar) -> Scalar:
        """Δ/√q."""
        return deviation / root_square


HEBBIAN = Hebbian()
