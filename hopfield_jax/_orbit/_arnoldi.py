"""Arnoldi's method, without a matrix."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr

from .._misc import matmul
from .._types import Array

_VECTORS = 4  # for each eigenvalue, and at least 20


def leading_eigenvalues(product: Callable, like: Array, count: int) -> tuple[Array, Array]:
    """The eigenvalues of largest modulus, by Arnoldi's method, and whether their residuals are small."""
    size = min(like.size, max(20, _VECTORS * count))

    def extend(basis: Array, j: Array) -> tuple[Array, Array]:
        v, column = product(basis[j]), jnp.zeros(size + 1, like.dtype)
        for _ in range(2):  # the second time against rounding
            along = matmul(basis, v)
            v, column = v - matmul(along, basis), column + along
        norm = jnp.linalg.norm(v)
        more = norm > jnp.finfo(like.dtype).eps * jnp.linalg.norm(column)  # else the space is invariant
        basis = basis.at[j + 1].set(jnp.where(more, v / jnp.where(more, norm, 1), 0))
        return basis, column.at[j + 1].set(jnp.where(more, norm, 0))

    start = jr.normal(jr.key(0), like.shape, like.dtype)
    basis = jnp.zeros((size + 1, like.size), like.dtype).at[0].set(start / jnp.linalg.norm(start))
    _, columns = jax.lax.scan(extend, basis, jnp.arange(size))
    values, vectors = jnp.linalg.eig(columns[:, :size].T)
    order = jnp.argsort(-jnp.abs(values))[:count]
    residuals = columns[-1, size] * jnp.abs(vectors[-1, order])
    solved = jnp.all(residuals <= jnp.sqrt(jnp.finfo(like.dtype).eps) * jnp.maximum(1, jnp.abs(values[order[0]])))
    return values[order], solved
