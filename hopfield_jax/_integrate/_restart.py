"""Integration with restarts at the occurrences of an event."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._misc import nan_unless, over
from .._results import RESULTS, Occurrences, outcome
from .._types import Array, State
from ._event import Event, moved
from ._loop import Segment
from ._segment import solve


def solve_with_event(setup, model, y0, t0, t1, args, times, dt0, jump_times):
    """Segments from occurrence to occurrence, in a scan."""
    event: Event = setup.event
    asked = t1[None] if times is None else times
    fixed_side = None if event.direction is None else -1.0 if event.direction else 1.0

    def segment(carry, _):
        t_start, y_start, mode, side, beyond, count, done, result, values, stats = carry

        condition = _condition(event, mode, side, beyond, t_start)
        t_end = jnp.where(done, t_start, t1)
        piece = solve(setup, model, y_start, t_start, t_end, args, times, dt0, jump_times, condition)
        here = ((asked > t_start) | (count == 0)) & piece.reached & ~done
        values = jtu.tree_map(lambda old, new: jnp.where(over(here, new), new, old), values, piece.values)
        happened = ~done & (piece.result == RESULTS.event_occurred)
        result = RESULTS.where(done, result, piece.result)
        stats = jtu.tree_map(lambda a, b: a + b, stats, piece.stats)
        t, y = jtu.tree_map(lambda a, b: jnp.where(done, a, b), (t_start, y_start), (piece.final_time, piece.final))
        found = _with_derivative(event, model, t, y, args, mode, happened)
        if event.update is not None:
            new_mode = event.update(piece.final_time, piece.final, args, mode)
            mode = jtu.tree_map(lambda a, b: jnp.where(happened, b, a), mode, new_mode)
        if fixed_side is None:
            side = jnp.where(happened, -side, side)
        else:
            beyond = jnp.full_like(side, -1)
        count += happened.astype(count.dtype)
        # The later trajectory does not depend on the cut, so that it continues from a constant time.
        carry = t, y, mode, side, beyond, count, done | ~happened, result, values, stats
        return carry, (found, nan_unless(happened, found, constant=True), mode)

    mode = jtu.tree_map(jnp.asarray, event.mode)
    shapes = eqx.filter_eval_shape(
        lambda: solve(setup, model, y0, t0, t1, args, times, dt0, jump_times, lambda t, y, args: t - t1)
    )
    values = nan_unless(False, jtu.tree_map(lambda x: jnp.zeros(x.shape, x.dtype), shapes.values), constant=True)
    stats = jtu.tree_map(lambda x: jnp.zeros(x.shape, x.dtype), shapes.stats)
    begin = _start_side(event, model, t0, y0, args, mode)
    side = begin if fixed_side is None else jnp.full_like(begin, fixed_side)
    start = (t0, y0, mode, side, side * begin, jnp.array(0, jnp.int32), jnp.array(False), outcome(), values, stats)
    carry, (ends, (event_times, states), modes) = jax.lax.scan(segment, start, None, length=event.max_occurrences)
    _, _, _, _, _, count, _, result, values, stats = carry
    t, y = jtu.tree_map(lambda x: x[-1], ends)
    final = Segment(reached=asked <= t, values=values, final=y, final_time=t, result=result, stats=stats, steps=None)
    return final, values, Occurrences(times=event_times, states=states, mode=modes, count=count)


def _start_side(event: Event, model, t: Array, y: State, args, mode) -> Array:
    """Initial side of the condition; at exactly zero that of its slope along the flow."""
    dt = jnp.sqrt(jnp.finfo(t.dtype).eps) * jnp.maximum(1, jnp.abs(t))
    ahead = jtu.tree_map(lambda x, f: x + dt.astype(x.dtype) * f, y, model.vector_field(t, y, args))
    value, next_value = event.value(t, y, args, mode)[0], event.value(t + dt, ahead, args, mode)[0]
    return jnp.where(jnp.where(value == 0, next_value, value) > 0, 1, -1).astype(t.dtype)


def _condition(event: Event, mode, side: Array, beyond: Array, t_start: Array) -> Callable:
    """`side` times the event's condition, which falls from positive to not positive at an occurrence; initially it may
    be `beyond`."""

    def condition(t, y, args):
        value = side * event.value(t, y, args, mode)[0]
        value = jnp.where((side < 0) & (value == 0), jnp.finfo(t.dtype).tiny, value)  # zero is not positive yet
        return jax.lax.stop_gradient(jnp.where(t <= t_start, beyond, value))

    return condition


def _with_derivative(event: Event, model, t: Array, y: State, args, mode, happened: Array) -> tuple[Array, State]:
    """The time and state of an occurrence, with two derivatives: those of two Newton steps of no length."""
    for _ in range(2):
        rate = model.vector_field(t, y, args)
        along = (jnp.ones_like(t), rate)
        value, slope, real = jax.jvp(lambda t, y: event.value(t, y, args, mode), (t, y), along, has_aux=True)
        if not real:  # the time depends on whatever the state depends on
            value = sum((jnp.sum(x).astype(t.dtype) for x in jtu.tree_leaves(y)), start=value)
        delay = jnp.where(happened, moved(value, jax.lax.stop_gradient(slope)), 0)
        half = _moved_by(delay / 2, y, rate)
        t, y = t + delay, _moved_by(delay, y, model.vector_field(t + delay / 2, half, args))
    return t, y


def _moved_by(delay: Array, y: State, rate: State) -> State:
    return jtu.tree_map(lambda x, f: x + delay.astype(x.dtype) * f, y, rate)
