"""A scan whose steps read the histories of all earlier steps; its derivative stores each history once, not per step."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._types import Array, PyTree


def causal_scan(
    step: Callable[..., tuple[PyTree, PyTree, PyTree]],
    constants: PyTree,
    state: PyTree,
    inputs: PyTree,
    rows: PyTree[Array],
    *,
    place: Callable[[PyTree], PyTree] = lambda carry: carry,
) -> tuple[PyTree[Array], PyTree]:
    """`state, rows, out = step(constants, t, state, input, rows, done)` at every time t, where `rows` are histories to
    which a step appends, only by `append(rows, row, slot, done)`.

    A step may read rows written so far and must mask all others: they are zero during the scan and final in its
    derivative. So the derivative needs no copies of the past. It is a second scan, linear in the tangents, forward or
    transposed, that calls the step with the finished rows and with its saved output `done` (`None` in the first scan).
    Values in `done` need not be recomputed: see `known`. (Second derivatives in reverse mode are correct, but store as
    much as any scan.)

    `place` sets the sharding of (state, rows), or of their tangents.

    **Returns:** the rows, and the outputs `out` of the steps, with a leading axis of time.
    """
    return _scan((constants, state, inputs, rows), step=step, place=place)


def append(rows: Array, row: Array, slot: Array, done: PyTree | None) -> Array:
    """The history with `row` at `slot`, for a step of `causal_scan`. Read the returned history, not the argument, so
    that XLA updates in place."""
    new = jax.lax.dynamic_update_index_in_dim(rows, row, slot, 0)
    return new if done is None else known(rows, new)


@jax.custom_jvp
def known(value: Array, formula: Array) -> Array:
    """`value` with the derivative of `formula`, whose value is not computed."""
    return value


@known.defjvp
def _(primals, tangents):
    return primals[0], tangents[1]


@eqx.filter_custom_jvp
def _scan(arguments, **how):
    return _run(arguments, **how)[:2]


@_scan.def_jvp
def _(primals, tangents, *, step, place):
    ((constants, start, inputs, blank),), (moves,) = primals, tangents
    rows, out, states = _run(*primals, step=step, place=place)
    d_constants, d_state, d_inputs, d_rows = moves  # `None` for zero tangents
    d_state, d_rows = jtu.tree_map(_dense, (start, blank), (d_state, d_rows), is_leaf=lambda x: x is None)

    @eqx.filter_checkpoint(prevent_cse=False)
    def push(primal, tangent):
        moved = eqx.filter_jvp(step, primal, tangent)
        return jtu.tree_map(_dense, *moved, is_leaf=lambda x: x is None)

    def body(d_constants, carry, here):
        (d_state, d_rows), (t, state, x, done, d_x) = carry, here
        fixed = jtu.tree_map(lambda _: None, done)
        tangent = d_constants, None, d_state, d_x, d_rows, fixed
        d_state, d_rows, d_out = push((constants, t, state, x, rows, done), tangent)
        return (d_state, d_rows), d_out

    def linear(carry, d_constants, d_inputs):
        steps = jnp.arange(_length(inputs)), states, inputs, out, d_inputs
        return jax.lax.scan(functools.partial(body, d_constants), carry, steps)

    # The scan is linear in the tangents. Taking it as its own tangent marks it as linear also for JAX before 0.10,
    # which transposes no other scans.
    moves = place((d_state, d_rows)), d_constants, d_inputs
    (_, d_rows), d_out = jax.jvp(linear, jtu.tree_map(jnp.zeros_like, moves), moves)[1]
    return (rows, out), (d_rows, d_out)


def _run(arguments, *, step, place):
    """The rows, the outputs, and the state before every step."""
    constants, state, inputs, rows = arguments

    def body(carry, here):
        (state, rows), (t, x) = carry, here
        new, rows, out = step(constants, t, state, x, rows, None)
        return (new, rows), (out, state)

    (_, rows), (out, states) = jax.lax.scan(body, place((state, rows)), (jnp.arange(_length(inputs)), inputs))
    return rows, out, states


def _length(inputs: PyTree) -> int:
    return len(jtu.tree_leaves(inputs)[0])


def _dense(x: Any, tangent: Any) -> Any:
    """A dense tangent for differentiable leaves."""
    return jnp.zeros_like(x) if tangent is None and eqx.is_inexact_array(x) else tangent
