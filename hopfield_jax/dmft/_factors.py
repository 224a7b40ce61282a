"""Two-time matrices of theory, computed from the rows of its pass when they are asked for."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._misc import matmul
from .._types import Array, Float
from ._kernels import Exponential, dense_tables, plastic_weights
from ._order import AbstractTwoTime, mean_and_error
from ._rows import Rows


class Factors(AbstractTwoTime):
    """Rows of every randomisation of the theory, from which matrices are computed lazily.

    **Attributes:** `rows`, leading axes (randomisations, times); `tables` of $\\lambda K$;
    `propagation`, of each normal, $p$ in $R = (1 - pG)^{-1}$.
    """

    rows: Rows
    tables: tuple[Exponential | Array, ...]
    propagation: Float[Array, " normals"]

    def of(self, name: str) -> tuple[Array, Array]:
        r"""Computed from the factors: $C = LL^\top$, $G\eta = b$ and so on."""
        compute = functools.partial(_two_time, name)
        for _ in range(self.rows.outputs.ndim - 3):
            compute = jax.vmap(compute)
        return compute(self)


@eqx.filter_jit
def _two_time(name: str, factors: Factors) -> tuple[Array, Array]:
    def one(rows: Rows) -> Array:
        size = len(rows.outputs)
        good = ~jnp.isnan(rows.innovation)
        there = lambda x: jnp.where(good.reshape(good.shape + (1,) * (x.ndim - 1)), x, jnp.zeros_like(x))  # noqa: E731
        rows = jtu.tree_map(there, rows)
        if name in ("correlation", "plastic_feedback"):
            dropped = jnp.where(rows.new, 0, rows.innovation**2)
            of_traces = name == "plastic_feedback" and bool(rows.traces.keys() & {"pre", "both"})
            out = matmul(rows.outputs, (rows.drive.pre if of_traces else rows.outputs).T)
            out += jnp.diag(jnp.zeros_like(dropped) if of_traces else dropped)
            good = good[:, None] & good[None, :]
            if name == "plastic_feedback":
                tables = dense_tables(factors.tables, size)
                out = jax.vmap(plastic_weights)(tables, out) if tables else jnp.zeros_like(out)
                good = jnp.diagonal(good)[:, None]
        elif name == "noise_covariance":
            out, good = matmul(rows.noise, rows.noise.T), good[:, None] & good[None, :]
        elif name == "crosstalk_feedback":
            out, good = _causal_weights(rows.crosstalk, rows.outputs) + jnp.diag(rows.own), good[:, None]
        else:
            # From the normals that make the most noise, which must exceed the rounding of a field.
            every = factors.propagation[None]
            sources = rows.noise - every * rows.answers
            propagation = factors.propagation[jnp.argmax(jnp.max(jnp.abs(sources), axis=0))]
            alike = (every == propagation).astype(sources.dtype)
            answer = _causal_weights(alike * rows.answers, alike * sources)
            propagator = jnp.eye(size, dtype=answer.dtype) + propagation * answer
            out = jax.scipy.linalg.solve_triangular(propagator, answer.T, trans="T", lower=True, unit_diagonal=True).T
            drowned = jnp.sqrt(jnp.max(jnp.sum(sources**2, axis=1))) < jnp.finfo(out.dtype).eps
            good = good[:, None] & ~drowned
        return jnp.where(good, out, jnp.nan)

    return mean_and_error(jax.vmap(one)(factors.rows))


def _causal_weights(rows: Float[Array, "times n"], basis: Float[Array, "times n"]) -> Float[Array, "times times"]:
    r"""The minimum-norm strictly lower triangular $W$ with $W \cdot \text{basis} = \text{rows}$.

    Where outputs hardly differ, single entries are dominated by sampling errors: a ridge of a hundredth of a basis
    row's size suppresses them and preserves sums over the outputs. One QR decomposition serves all times, since that of
    the rows before t is a part of it.
    """
    size = len(basis)
    ridge = 1e-2 * jnp.sqrt(jnp.mean(jnp.sum(basis**2, axis=1)))
    ridge = jnp.where(ridge > 0, ridge, 1)
    q, r = jnp.linalg.qr(jnp.concatenate([basis.T, ridge * jnp.eye(size, dtype=basis.dtype)]))
    seen = jnp.tril(matmul(rows, q[: basis.shape[1]]), -1)
    return jnp.tril(jax.scipy.linalg.solve_triangular(r, seen.T).T, -1)
