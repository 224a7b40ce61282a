"""Small numerical helpers that every floor uses."""

from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from ._types import Array, ArrayLike, PyTree, Scalar


def as_inexact(x: ArrayLike, dtype: Any = None) -> Array:
    """Strongly typed real array: `5`, `5.0` and `np.float64(5)` become the same thing, so they share one trace.

    Unless `dtype` is given, Python and NumPy numbers and integer or boolean arrays take the default float type; real
    arrays keep theirs, except that float64 arrays become float32 when 64-bit mode is off. Raises `ValueError` for what
    is not real and numeric.
    """
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating):
        same = x.dtype == (dtype or x.dtype) and not x.weak_type
        return x if same else jnp.asarray(x, dtype=dtype or x.dtype)
    if not isinstance(x, jax.Array):
        x = np.asarray(x)
    if isinstance(x, np.ndarray) and x.ndim and jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.asarray(x, dtype=dtype or jax.dtypes.canonicalize_dtype(x.dtype))
    if not (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool):
        raise ValueError(f"expected real numbers, got {f'an array of type {x.dtype}' if x.ndim else repr(x.item())}")
    return jnp.asarray(x, dtype=dtype or default_float())


def default_float() -> jnp.dtype:
    """float32, or float64 when 64-bit mode is on."""
    return jax.dtypes.canonicalize_dtype(jnp.float64)


def binomial_error(fraction: ArrayLike, number: ArrayLike) -> Array:
    r"""Standard error of a fraction of `number` trials, which is never zero: half of the width of Wilson's interval of
    one standard deviation,

    $$\frac{\sqrt{p(1 - p)/n + 1/(4n^2)}}{1 + 1/n}.$$
    """
    p = as_inexact(fraction)
    n = as_inexact(number).astype(p.dtype)
    return jnp.sqrt(p * (1 - p) / n + 1 / (4 * n**2)) / (1 + 1 / n)


def alike(*arrays: Array) -> tuple[Array, ...]:
    """Real arrays in the common one of their types, in which nothing is lost."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*(x.dtype for x in arrays))
    return tuple(x.astype(dtype) for x in arrays)


def widened(tree: PyTree) -> PyTree:
    """Real arrays of 16 bits as float32, in which verbs compute; all else as it is."""
    small = lambda x: eqx.is_array(x) and jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4  # noqa: E731
    return jtu.tree_map(lambda x: x.astype(jnp.float32) if small(x) else x, tree)


def in_type(tree: PyTree, dtype: jnp.dtype) -> PyTree:
    """Real arrays in another type."""
    return jtu.tree_map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)


def nan_unless(valid: ArrayLike, tree: PyTree) -> PyTree:
    """`tree`, its real numbers NaN where something was not valid, and so their derivatives (0 by `jnp.where` alone)."""
    return jtu.tree_map(
        lambda x: x * jnp.where(valid, 1, jnp.nan).astype(x.dtype) if eqx.is_inexact_array(x) else x, tree
    )


def matmul(a: Array, b: Array) -> Array:
    """Matrix product at full precision of its type.

    A GPU's default float32 product is TF32 and a TPU's bfloat16 (relative error 1e-3 or worse), which ruins energies,
    overlaps and covariances without being seen on a CPU.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def inner(a: Array, b: Array) -> Scalar:
    """Sum of the products of all entries of two arrays of the same shape, at full precision."""
    return jnp.vdot(a, b, precision=jax.lax.Precision.HIGHEST)


def nondifferentiable(tree: PyTree, message: str) -> PyTree:
    """`tree` unchanged, but for an error with this message as soon as a derivative through it is asked for."""
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jtu.tree_map(lambda x: eqxi.nondifferentiable(x, msg=message), arrays), rest)
