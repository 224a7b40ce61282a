"""A scan whose steps read what all earlier steps wrote, with a derivative that keeps one history and not one a step."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .._types import Array, PyTree
from ._split import ONE_PIECE, Split


class Block(NamedTuple):
    """Some successive times of a causal scan.

    `constants`: what all its steps see. `inputs`: of each step, a leading axis of time. `state`, `early`, `late`:
    shapes of the state and of all rows up to the end of this block, (kinds, times, ...); further axes may grow with the
    times too.
    """

    constants: PyTree
    inputs: PyTree
    state: PyTree
    early: PyTree
    late: PyTree


def causal_scan(
    emit: Callable[..., PyTree],
    step: Callable[..., tuple[PyTree, PyTree, PyTree]],
    state: PyTree,
    blocks: Sequence[Block],
    *,
    split: Split = ONE_PIECE,
) -> tuple[PyTree, list[PyTree]]:
    """At every time t of all blocks, `row = emit(constants, t, state, input)` is appended to the early rows, and then
    `state, row, out = step(constants, t, state, input, early, late)` gives the next state and a late row.

    A step may read early rows up to `t` and late rows before `t`, and has to leave out all others, of which nothing can
    be said: while the scan runs they are zero, and in its derivative they are what they will be. Since a row is never
    written again, the derivative needs no copies of the past: it is a scan of its own, linear in the tangents, that
    reads the finished rows at every step, forward or transposed, and recomputes the step from its state. (Second
    derivatives in reverse mode are right, but keep what any scan keeps.)

    **Returns:** the late rows, and what came `out` of the steps of each block (a leading axis of time).
    """
    arguments = [(block.constants, block.inputs) for block in blocks]
    rooms = [(block.state, block.early, block.late) for block in blocks]
    return _scan(state, arguments, emit=emit, step=step, rooms=rooms, split=split)


@eqx.filter_custom_jvp
def _scan(state, arguments, **how):
    (_, late), out, _ = _run(state, arguments, **how)
    return late, out


@_scan.def_jvp
def _(primals, tangents, *, emit, step, rooms, split):
    (state, arguments), (d_state, d_arguments) = primals, tangents
    (early, late), out, states = _run(state, arguments, emit=emit, step=step, rooms=rooms, split=split)

    @eqx.filter_checkpoint(prevent_cse=False)
    def push(function, primal, tangent):
        moved = eqx.filter_jvp(function, primal, tangent)
        return jtu.tree_map(_dense, *moved, is_leaf=lambda x: x is None)

    d_state = jtu.tree_map(_dense, state, d_state)
    d_early, d_late = _empty(rooms)
    d_out = []
    for times, (constants, inputs), (d_constants, d_inputs), passed, room in zip(
        _times(arguments), arguments, d_arguments, states, rooms, strict=True
    ):
        known = _cut((early, late), room[1:])
        carry = split.along(_fit((d_state, d_early, d_late), room))

        def body(d_constants, carry, inputs, constants=constants, known=known):
            (d_state, d_early, d_late), (t, state, x, d_x) = carry, inputs
            here, d_here = (constants, t, state, x), (d_constants, None, d_state, d_x)
            d_early = _write(d_early, push(emit, here, d_here), t)
            d_state, d_row, d_out = push(step, (*here, *known), (*d_here, d_early, d_late))
            return (d_state, d_early, _write(d_late, d_row, t)), d_out

        def linear(carry, d_constants, d_inputs, body=body, first=(times, passed, inputs)):
            return jax.lax.scan(functools.partial(body, d_constants), carry, (*first, d_inputs))

        # The scan is its own tangent. Asked for as that, it is known to be linear also by JAX before 0.10, which
        # transposes no other ones.
        moves = carry, d_constants, d_inputs
        zeros = jtu.tree_map(jnp.zeros_like, moves)
        (d_state, d_early, d_late), moved = jax.jvp(linear, zeros, moves)[1]
        d_out.append(moved)
    return (late, out), (d_late, d_out)


def _run(state, arguments, *, emit, step, rooms, split):
    """All rows, what came out, and the state before every step, block by block."""
    early, late = _empty(rooms)
    out, states = [], []
    for times, (constants, inputs), room in zip(_times(arguments), arguments, rooms, strict=True):
        carry = split.along(_fit((state, early, late), room))

        def body(carry, inputs, constants=constants):
            (state, early, late), (t, x) = carry, inputs
            # Written before it is read, so that XLA writes in place.
            early = _write(early, emit(constants, t, state, x), t)
            new, row, out = step(constants, t, state, x, early, late)
            return (new, early, _write(late, row, t)), (out, state)

        (state, early, late), (here, passed) = jax.lax.scan(body, carry, (times, inputs))
        out.append(here)
        states.append(passed)
    return (early, late), out, states


def _times(arguments: Any) -> list[Array]:
    """The times of each block."""
    ends = np.cumsum([0] + [len(jtu.tree_leaves(inputs)[0]) for _, inputs in arguments]).tolist()
    return [jnp.arange(start, stop) for start, stop in itertools.pairwise(ends)]


def _dense(x: Any, tangent: Any) -> Any:
    """A tangent in numbers where there can be one."""
    return jnp.zeros_like(x) if tangent is None and eqx.is_inexact_array(x) else tangent


def _empty(rooms: Any) -> PyTree:
    """Rows of no time."""
    return jtu.tree_map(lambda x: jnp.zeros((x.shape[0], 0, *x.shape[2:]), x.dtype), rooms[0][1:])


def _fit(tree: PyTree, room: PyTree) -> PyTree:
    """Zeros at the end of every axis that is too short."""
    pad = lambda x, like: jnp.pad(x, [(0, n - m) for m, n in zip(x.shape, like.shape, strict=True)])  # noqa: E731
    return jtu.tree_map(pad, tree, room)


def _cut(tree: PyTree, room: PyTree) -> PyTree:
    return jtu.tree_map(lambda x, like: x[tuple(map(slice, like.shape))], tree, room)


def _write(rows: PyTree, row: PyTree, t: Array) -> PyTree:
    return jtu.tree_map(lambda old, x: jax.lax.dynamic_update_slice_in_dim(old, x[:, None], t, 1), rows, row)
