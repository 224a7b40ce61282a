"""jaxtyping aliases shared by every public signature.

Axis names used across the package: ``neurons``, ``patterns``, ``hidden``, ``times``.
"""

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from jaxtyping import Array, ArrayLike, Bool, Float, Inexact, Int, Key, PyTree, UInt32

__all__ = [
    "Array", "ArrayLike", "Bool", "Float", "Int", "PRNGKey", "Parameter", "Patterns", "PyTree", "Scalar", "ScalarLike",
    "State", "UInt32",
]  # fmt: skip

Scalar = Float[Array, ""]
"""A real number held in an array."""
ScalarLike = float | int | Inexact[Any, ""] | Int[Any, ""]
"""Any real number: Python's, NumPy's or JAX's."""
Patterns = Float[Array, "patterns neurons"]
"""Stored patterns, one per row."""
State = PyTree[Float[Array, "..."]]
"""State of a dynamics: an array, or a pytree of arrays."""
PRNGKey = Key[Array, ""] | UInt32[Array, "2"]
"""A key from `jax.random.key` (or the older `jax.random.PRNGKey`)."""
_T = TypeVar("_T")

if TYPE_CHECKING:

    class Parameter(Generic[_T]):
        """For type checkers: a field that is read as an array and accepts any numbers in the constructor (mypy does not
        support converters of fields)."""

        @overload
        def __get__(self, instance: None, owner: Any) -> "Parameter[_T]": ...
        @overload
        def __get__(self, instance: object, owner: Any) -> _T: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...
        def __set__(self, instance: Any, value: ArrayLike) -> None: ...

else:

    class Parameter:
        """A parameter of a model: `Parameter[T]` is T at run time; for type checkers it accepts any numbers."""

        def __class_getitem__(cls, item: Any) -> Any:
            return item
