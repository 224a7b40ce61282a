"""Small numerical helpers for all floors."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from ._types import Array, ArrayLike, PyTree, Scalar

_Function = TypeVar("_Function", bound=Callable)


def as_inexact(x: ArrayLike, dtype: Any = None) -> Array:
    """Casts to a strongly typed real array, so that `5`, `5.0` and `np.float64(5)` share one trace.

    Unless `dtype` is given, Python and NumPy numbers and integer or boolean arrays are cast to the default float type;
    real arrays keep theirs, except that float64 becomes float32 when 64-bit mode is off. Raises `ValueError` for
    anything else.
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


def method(function: _Function) -> _Function:
    """A method as one program: a call with known values costs microseconds. It is inlined where it is traced."""
    program = compiled(function, inline=True)

    @functools.wraps(function)
    def call(self, *args):
        return program(self, *jtu.tree_map(lambda x: jnp.asarray(x) if isinstance(x, int | float) else x, args))

    return cast(_Function, call)


def compiled(function: _Function, *, inline: bool = False, share: bool = False) -> _Function:
    """`jax.jit` of a function of pytrees that returns arrays; all other leaves are static.

    With `share`, a matrix that occurs twice among the arguments, as patterns do in a network and beside it, is one
    argument of the program, which then computes its products with the same state once.
    """

    def program(form: tuple, arrays: list[Array]) -> PyTree:
        structure, places, rest = form
        others = iter(rest)
        args, options = structure.unflatten(next(others) if i < 0 else arrays[i] for i in places)
        return function(*args, **options)

    program.__name__ = function.__name__  # in profiles, and in logs of compilations
    program = jax.jit(program, static_argnums=0, inline=inline)

    @functools.wraps(function)
    def call(*args, **options):
        leaves, structure = jtu.tree_flatten((args, options))
        arrays, rest, places, matrices = [], [], [], {}
        for x in leaves:
            if not isinstance(x, jax.Array | np.ndarray | np.generic):
                rest.append(x)
                places.append(-1)
                continue
            place = matrices.setdefault(id(x), len(arrays)) if share and x.ndim > 1 else len(arrays)
            arrays += [x] * (place == len(arrays))
            places.append(place)
        return program((structure, tuple(places), tuple(rest)), arrays)

    return cast(_Function, call)


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
    """Promotes real arrays to their common type."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*(x.dtype for x in arrays))
    return tuple(x.astype(dtype) for x in arrays)


def widened(tree: PyTree) -> PyTree:
    """Casts 16-bit real arrays to float32, in which verbs compute; other leaves are unchanged."""
    small = lambda x: eqx.is_array(x) and jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4  # noqa: E731
    return jtu.tree_map(lambda x: x.astype(jnp.float32) if small(x) else x, tree)


def in_type(tree: PyTree, dtype: jnp.dtype) -> PyTree:
    """Casts real arrays to another type."""
    return jtu.tree_map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)


def nan_unless(valid: ArrayLike, tree: PyTree, *, constant: bool = False) -> PyTree:
    """Arrays where the mask `valid` over leading axes is true; elsewhere fill values: NaN, -1 (integers) or False.

    Derivatives of filled entries are NaN too, by a product, since `jnp.where` alone would make them 0. With `constant`
    they are 0: for padding, and for results with a failure code.
    """
    if not isinstance(valid, jax.Array) and np.all(valid):
        return tree
    valid = jnp.asarray(valid)

    def one(x: Array) -> Array:
        mask = over(valid, x)
        if not eqx.is_inexact_array(x):
            return jnp.where(mask, x, jnp.full((), -1).astype(x.dtype)) if x.dtype != bool else x & mask
        return jnp.where(mask, x, jnp.nan) if constant else x * jnp.where(mask, 1, jnp.nan).astype(x.dtype)

    return jtu.tree_map(lambda x: one(x) if eqx.is_array(x) else x, tree)


def over(mask: Array, x: Array) -> Array:
    """A mask over the leading axes of an array, reshaped to broadcast over the others."""
    return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))


def matmul(a: Array, b: Array) -> Array:
    """Matrix product at full precision of its type.

    A GPU's default float32 product is TF32 and a TPU's bfloat16 (relative error 1e-3 or worse), which is too inaccurate
    for energies, overlaps and covariances, and does not show on a CPU.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def inner(a: Array, b: Array) -> Scalar:
    """Sum of the products of all entries of two arrays of the same shape, at full precision."""
    return jnp.vdot(a, b, precision=jax.lax.Precision.HIGHEST)


def largest(tree: PyTree) -> Scalar:
    """The largest absolute value in a pytree."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in jtu.tree_leaves(tree)]))


def nondifferentiable(tree: PyTree, message: str) -> PyTree:
    """`tree` unchanged; differentiating through it raises an error with this message."""
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jtu.tree_map(lambda x: eqxi.nondifferentiable(x, msg=message), arrays), rest)
