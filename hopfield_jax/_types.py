"""jaxtyping aliases shared by every public signature.

Axis names used across the package: ``neurons``, ``patterns``, ``hidden``, ``times``.
"""

from typing import Any

from jaxtyping import Array, ArrayLike, Bool, Float, Inexact, Int, Key, PyTree, UInt32

__all__ = [
    "Array", "ArrayLike", "Bool", "Float", "Int", "PRNGKey", "Patterns", "PyTree", "Scalar", "ScalarLike", "State",
    "UInt32",
]  # fmt: skip

Scalar = Float[Array, ""]
"""A real number held in an array."""
ScalarLike = float | int | Inexact[Any, ""] | Int[Any, ""]
"""Any real number: Python's, NumPy's or JAX's."""
Patterns = Float[Array, "patterns neurons"]
"""Stored patterns, one a row."""
State = PyTree[Float[Array, "..."]]
"""State of a dynamics: an array, or a pytree of arrays."""
PRNGKey = Key[Array, ""] | UInt32[Array, "2"]
"""A key from `jax.random.key` (or the older `jax.random.PRNGKey`)."""
