"""Switches between memories, located within the steps of a solve, and interpolation between steps."""

import functools

import jax
import jax.numpy as jnp

from .._misc import nan_unless
from .._results import Steps
from .._roots import bracket, implicit
from .._types import Array, Scalar


def switches(steps: Steps, start: Array, level: Scalar, margin: Scalar, room: int, *, smooth: bool) -> dict[str, Array]:
    """The sequence of leading memories. A memory leads at a step if its |overlap| reaches the level and exceeds all
    others by the margin. Between two leaders, the switch is where the later |overlap| last exceeded the earlier one."""
    overlap, rate, t = steps.values["overlap"], steps.values["overlap_rate"], steps.times
    index = jnp.arange(len(t))
    size = jnp.where(jnp.isnan(overlap), 0, jnp.abs(overlap))
    memory = jnp.argmax(size, axis=1).astype(start.dtype)
    others = jnp.where(jnp.arange(size.shape[1], dtype=start.dtype)[None] == memory[:, None], 0, size)
    top = _take(size, memory)
    leads = (top - jnp.max(others, axis=1) > margin.astype(size.dtype)) & (top >= level.astype(size.dtype))
    before = jax.lax.cummax(jnp.where(leads, index, -1))  # the last step with a leader
    after = jax.lax.cummin(jnp.where(leads, index, len(t)), reverse=True)
    past = jnp.where(before >= 0, memory[before], start)
    future = jnp.where(after < len(t), memory[jnp.minimum(after, len(t) - 1)], past)
    old, new = past[:-1], future[1:]  # of the interval from each step to the next
    ahead = lambda k: _take(size[k:][: len(old)], new) - _take(size[k:][: len(old)], old)  # noqa: E731
    crossing = (old != new) & (ahead(0) <= 0) & (ahead(1) > 0)
    latest = jax.lax.cummax(jnp.where(crossing, index[:-1], -1))
    changed = leads[1:] & (past[1:] != past[:-1])
    at = jnp.nonzero(changed, size=room + 1, fill_value=-1)[0]
    count = jnp.sum(changed)
    happened = (at >= 0)[:room]
    at = jnp.where(happened, at[:room], 0)
    step = jnp.maximum(latest[at], 0)
    p, q = past[at], past[at + 1]

    # The difference of the two overlaps within that step, as a cubic of θ in [0, 1].
    width = t[step + 1] - t[step]

    def ends(k):
        i = step + k
        signs = jax.lax.stop_gradient((jnp.sign(overlap[i, q]), jnp.sign(overlap[i, p])))
        return tuple(signs[0] * x[i, q] - signs[1] * x[i, p] for x in (overlap, rate))

    (d0, r0), (d1, r1) = ends(0), ends(1)
    r0, r1 = (r0 * width, r1 * width) if smooth else (d1 - d0, d1 - d0)
    root = _root(d0, d1, r0, r1)
    order = jnp.concatenate([start[None], jnp.where(happened, q, -1)]).astype(jnp.int32)
    first = jnp.sign(jnp.nan_to_num(_take(overlap[:1], start[None])))
    sign = jnp.concatenate([first, jnp.where(happened, jnp.sign(overlap[at + 1, q]), 0)]).astype(jnp.int32)
    return {
        "order": order,
        "sign": sign,
        "times": jnp.where(happened, t[step] + root * width, jnp.nan),
        "count": jnp.minimum(count, room),
        "overflow": count > room,
        "leader": past[-1],
    }


def tied(found: dict[str, Array], saliency: Array) -> Array:
    """Whether at a switch another memory was as salient as the successor within rounding, which then decided."""
    source, target = found["order"][:-1], found["order"][1:]
    memory = jnp.arange(saliency.shape[1], dtype=source.dtype)[None]
    rivals = jnp.where((memory == source[:, None]) | (memory == target[:, None]), -jnp.inf, saliency)
    winner = _take(saliency, jnp.maximum(target, 0))
    return jnp.any(jnp.abs(jnp.max(rivals, axis=1) - winner) < 1e-4 * jnp.abs(winner))


def _take(rows: Array, columns: Array) -> Array:
    return jnp.take_along_axis(rows, columns[:, None], axis=1)[:, 0]


def _hermite(x: Array, y0: Array, y1: Array, r0: Array, r1: Array) -> Array:
    """Cubic on [0, 1] with given values and slopes at the ends."""
    a, b = 2 * (y0 - y1) + r0 + r1, 3 * (y1 - y0) - 2 * r0 - r1
    return ((a * x + b) * x + r0) * x + y0


def _root(y0: Array, y1: Array, r0: Array, r1: Array) -> Array:
    """Root of the cubic between y0 <= 0 and y1 > 0, by bisection to the last bits; differentiable."""
    cubic = functools.partial(_hermite, y0=y0, y1=y1, r0=r0, r1=r1)
    bits = jnp.finfo(y0.dtype).nmant + 2
    ends = bracket(lambda x: cubic(x) > 0, jnp.zeros_like(y0), jnp.ones_like(y0), bits)
    return implicit(cubic, 0.5 * (ends.low + ends.high))


def last_time_above(steps: Steps, level: Scalar, *, smooth: bool) -> tuple[Array, Array]:
    """The last step at which an |overlap| reached the level, and the later time at which it fell below."""
    overlap, t = steps.values["overlap"], steps.times
    size = jnp.where(jnp.isnan(overlap), 0, jnp.abs(overlap))
    level = level.astype(size.dtype)
    held = jnp.max(jnp.where(jnp.max(size, axis=1) >= level, jnp.arange(len(t)), 0))
    after = jnp.minimum(held + 1, len(t) - 1)
    memory = jnp.argmax(size[held])
    width = jnp.where(jnp.isfinite(t[after]), t[after] - t[held], 0)
    sign = jax.lax.stop_gradient(jnp.sign(overlap[held, memory]))
    d0, d1 = (jnp.nan_to_num(level - sign * overlap[k, memory]) for k in (held, after))
    r0 = r1 = d1 - d0
    if smooth:
        r0, r1 = (jnp.nan_to_num(-sign * steps.values["overlap_rate"][k, memory]) * width for k in (held, after))
        r0, r1 = (jnp.clip(r, 3 * jnp.minimum(d1 - d0, 0), 3 * jnp.maximum(d1 - d0, 0)) for r in (r0, r1))
    return held, t[held] + width * jnp.where(d1 > 0, _root(d0, d1, r0, r1), 1)


def interpolate(steps: Steps, times: Array, tau: Scalar, *, smooth: bool) -> tuple[Array, Array]:
    """Overlaps and saliencies at any times, NaN beyond the end. Within a step overlaps are cubic and saliencies solve
    their equation for a drive that is linear in time; with noise both are linear."""
    t = steps.times
    times, tau = times.astype(t.dtype), tau.astype(t.dtype)
    last = jnp.maximum(jnp.sum(jnp.isfinite(t)) - 1, 1)
    known = ((times >= t[0]) & (times <= t[last]))[:, None]
    times = jnp.where(known[:, 0], times, t[0])  # avoids NaN in the derivative
    i = jnp.searchsorted(jnp.where(jnp.isfinite(t), t, jnp.inf), times, side="right").astype(last.dtype)
    i = jnp.clip(i - 1, 0, last - 1)
    h = (t[i + 1] - t[i])[:, None]
    x = (times[:, None] - t[i][:, None]) / h
    (m0, m1), (a0, a1) = ((v[i], v[i + 1]) for v in (steps.values["overlap"], steps.values["saliency"]))
    if smooth:
        p0, p1 = (steps.values["overlap_rate"][k] for k in (i, i + 1))
        # Clips slopes that would leave the range of the two ends, since units with a kink do not.
        p0, p1 = (jnp.clip(h * p, 3 * jnp.minimum(m1 - m0, 0), 3 * jnp.maximum(m1 - m0, 0)) for p in (p0, p1))
        overlap = _hermite(x, m0, m1, p0, p1)
        s, drive = h / tau, a0 + tau * steps.values["saliency_rate"][i]
        free = lambda x: a0 + (a0 - drive) * jnp.expm1(-x * s)  # with the drive at the start of the step  # noqa: E731
        saliency = free(x) + (a1 - free(1)) * _ramp(x * s) / _ramp(s)
    else:
        overlap, saliency = (1 - x) * m0 + x * m1, (1 - x) * a0 + x * a1
    return nan_unless(known[:, 0], (overlap, saliency), constant=True)


def _ramp(s: Array) -> Array:
    """s − 1 + e^{−s}: the response to a drive that grows linearly."""
    return jnp.where(s < 0.1, 0.5 * s**2 * (1 - s / 3 * (1 - s / 4 * (1 - s / 5))), s + jnp.expm1(-s))
