"""The map on the saliencies of all memories, for any transitions."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Real

from .._checks import Rules, at_least
from .._misc import as_inexact, matmul, nan_unless
from .._results import card
from .._roots import bracket, implicit
from .._types import Array, ArrayLike, Bool, Float, Int, Scalar, ScalarLike
from ._outcome import Ending
from ._transitions import check_transitions


class SaliencyRun(eqx.Module):
    """Result of `follow_transitions`; times in units of the slow time constant.

    **Attributes:**

    - `order`: the memories in the order of their retrieval, the first is the start; padded with -1.
    - `switch_times`: times of the transitions, padded with NaN, as the next two.
    - `dwell_times`: how long each memory was active before its transition.
    - `saliency`: of all memories, at the start and at each transition.
    - `num_transitions`: number of transitions.
    - `end_time`: when the last memory lost its stability: NaN if another transition would follow, infinite if it stays
      stable, 0 if it was never stable.
    - `collapsed`: whether the sequence stopped because the successor was too weak.
    - `ending`: how the sequence ended.
    """

    order: Int[Array, " steps"]
    switch_times: Float[Array, " transitions"]
    dwell_times: Float[Array, " transitions"]
    saliency: Float[Array, "steps patterns"]
    num_transitions: Int[Array, ""]
    end_time: Scalar
    collapsed: Bool[Array, ""]
    ending: Ending

    def __str__(self) -> str:
        def text() -> str:
            count = int(self.num_transitions)
            names = [str(i) for i in np.asarray(self.order[: count + 1])]
            shown = names if count < 12 else [*names[:5], "…", *names[-5:]]
            lines = [f"{count} transitions: {' → '.join(shown)}"]
            if count:
                lines.append(f"last dwell time {self.dwell_times[count - 1]:.6g}")
            when = "" if np.isnan(self.end_time) else f"at {self.end_time:.6g}: "
            return "\n  ".join([*lines, when + Ending[self.ending]])

        return card(self, self.end_time, text)


def follow_transitions(
    transitions: Real[ArrayLike, "patterns patterns"],
    gain: ScalarLike,
    saliency: ScalarLike | Real[ArrayLike, " patterns"],
    *,
    start: int | Int[ArrayLike, ""],
    max_transitions: int = 64,
    delay: ScalarLike | Callable[[Scalar], ScalarLike] = 0.0,
    gram: Real[ArrayLike, "patterns patterns"] | None = None,
) -> SaliencyRun:
    r"""Iterates the active memory and the saliencies of all memories from transition to transition.

        ȧ = −a + D m,    D = κ Γ Q',    m = 1 for the active memory, 0 for the others,

    solved exactly between transitions: a(t) = D_μ + (a(0) − D_μ) e^{−t}, D_μ the column of the active memory μ. Its
    saliency reaches 1 after

        t_μ = log[(a_μ − D_μμ)/(1 − D_μμ)],

    and after the delay, at t_μ + d, the state switches to the other memory with the largest saliency, if that exceeds
    both 1 and the saliency of the active one (which is above 1 for an early switch, d < 0). A chain of orthogonal
    memories without a delay gives `saliency_map`. Limit of fast neurons; correlated memories are assumed to be
    retrieved one at a time, with overlap 1.

    **Arguments:**

    - `transitions`: weights Q', row = target, column = source, finite and not negative (`cycle`, `chain`,
      `transition_matrix`).
    - `gain`: κ, finite and positive.
    - `saliency`: of all memories at the start, finite, shape (patterns,); or a scalar, that of the first memory for an
      input proportional to its pattern: the others start at 0, or with `gram` in proportion to their overlaps.
    - `start`: index of the first active memory.
    - `max_transitions`: largest number of transitions.
    - `delay`: d in units of the slow time constant: a number, or a function of the successor's saliency a ≥ 1 at the
      switch, which is then the first root of t = t_μ + d(a(t)). While no other saliency exceeds 1 the function is
      evaluated at 1, where it may be infinite. A negative delay is an early switch, immediate if t_μ + d < 0.
    - `gram`: overlaps Γ = ΞΞᵀ/N of the patterns, shape (patterns, patterns); by default 1, orthogonal patterns.

    All but `max_transitions` may be traced, and the times and saliencies are differentiable.

    **Returns:** a `SaliencyRun`; if a traced argument lies outside its domain, its ending is `Ending.invalid`, its
    order -1 and its numbers NaN.

    **Raises:** `ValueError` for invalid arguments.

    **Example:**

    ```python
    import math
    from hopfield_jax import sequential

    run = sequential.follow_transitions(sequential.cycle(4), 3.75, 3.0, start=0)
    assert run.ending == sequential.Ending.running and abs(run.dwell_times[-1] - math.log(2)) < 1e-5
    ```
    """
    rules = Rules()
    matrix = check_transitions("transitions", transitions, rules=rules)
    num_patterns, dtype = matrix.shape[0], matrix.dtype
    real = functools.partial(rules.real, dtype=dtype)
    gain = real("gain", gain, "positive")
    shape = (num_patterns,) if jnp.ndim(saliency) else ()
    saliency = real("saliency", saliency, "finite", shape=shape, names="(patterns,)")
    start = rules.index("start", start, num_patterns, "a memory")
    at_least("max_transitions", max_transitions, 1)
    if not callable(delay):  # those of a function are checked when they are computed
        delay = real("delay", delay, "finite")
    if gram is not None:
        gram = real("gram", gram, "finite", shape=matrix.shape, names="(patterns, patterns)")
    return _follow(matrix, gain, saliency, start, max_transitions, delay, gram, rules.valid)


@eqx.filter_jit
def _follow(
    matrix: Array,
    gain: Scalar,
    saliency: Array,
    start: Array,
    max_transitions: int,
    delay: Array | Callable,
    gram: Array | None,
    valid: Bool[Array, ""],
) -> SaliencyRun:
    num_patterns, dtype = matrix.shape[0], matrix.dtype
    gram = jnp.eye(num_patterns, dtype=dtype) if gram is None else gram
    if saliency.ndim == 0:
        saliency = saliency * gram[:, start] / gram[start, start]
    drive = jnp.where(valid, gain * matmul(gram, matrix), 0)
    saliency = jnp.where(valid, saliency, 2)
    leads = jnp.any((matrix > 0) & ~jnp.eye(num_patterns, dtype=bool), axis=0)

    ending = Ending.where(valid, Ending.running, Ending.invalid)
    carry = jnp.where(valid, start, 0), saliency, jnp.zeros((), dtype), jnp.full((), jnp.nan, dtype), ending
    carry, (order, times, dwells, saliencies) = jax.lax.scan(
        functools.partial(_next, drive, leads, delay, max_transitions), carry, jnp.arange(max_transitions + 1)
    )
    _, _, _, end_time, ending = carry
    valid &= ending != Ending.invalid
    found = {
        "order": jnp.concatenate([start[None], order[:-1]]),
        "switch_times": times[:-1],
        "dwell_times": dwells[:-1],
        "saliency": jnp.concatenate([saliency[None], saliencies[:-1]]),
        "end_time": end_time,
    }
    return SaliencyRun(
        **nan_unless(valid, found, constant=True),
        num_transitions=jnp.sum(order[:-1] >= 0, dtype=jnp.int32),
        collapsed=ending == Ending.collapse,
        ending=ending,
    )


def _next(drive, leads, delay, max_transitions: int, carry, i):
    """The dwell at one memory, until a switch or the end."""
    active, saliency, time, end_time, ending = carry
    target, others = drive[:, active], jnp.arange(len(drive), dtype=jnp.int32) != active

    def at(t: Scalar) -> Array:
        return target + (saliency - target) * jnp.exp(-t)

    def largest(t: Scalar) -> Scalar:
        return jnp.max(jnp.where(others, at(t), -jnp.inf))

    stable, held = saliency[active] > 1, target[active] >= 1
    leaves = stable & ~held
    ratio = (saliency[active] - target[active]) / jnp.where(leaves, 1 - target[active], 1)
    crossing = jnp.log(jnp.where(leaves, ratio, 1))
    wait = _switch_time(crossing, largest, delay) if callable(delay) else jnp.maximum(crossing + delay, 0)
    found = jnp.isfinite(wait)
    dwell = jnp.where(found, wait, 0)
    now, best = at(dwell), largest(dwell)
    follows = found & (best > jnp.maximum(1, now[active]))
    tied = jnp.sum(others & (now >= best * (1 - 8 * jnp.finfo(drive.dtype).eps))) > 1

    going = ending == Ending.running
    stop = Ending.where(follows, Ending.running, Ending.collapse)
    stop = Ending.where(~follows & ~leads[active], Ending.end_of_chain, stop)
    stop = Ending.where(follows & tied, Ending.tie, stop)
    stop = Ending.where(jnp.isnan(wait), Ending.invalid, stop)
    stop = Ending.where(held, Ending.no_escape, stop)
    stop = Ending.where(stable, stop, Ending.decayed_at_start)
    ending = Ending.where(going, stop, ending)
    ends = going & (ending != Ending.running)
    end_time = jnp.where(ends, jnp.where(held & stable, jnp.inf, time + crossing), end_time)
    # The last step only tests whether another transition would follow.
    switches = going & ~ends & (i < max_transitions)
    successor = jnp.argmax(jnp.where(others, now, -jnp.inf)).astype(active.dtype)
    carry = (
        jnp.where(switches, successor, active),
        jnp.where(switches, now, saliency),
        jnp.where(switches, time + dwell, time),
        end_time,
        ending,
    )
    return carry, nan_unless(switches, (successor, time + dwell, dwell, now), constant=True)


def _switch_time(crossing: Scalar, largest: Callable, delay: Callable) -> Scalar:
    """First root t ≥ 0 of t = crossing + d(largest saliency at t): infinite if there is none, NaN if a delay is NaN."""
    dtype = crossing.dtype

    def wait(t: Scalar, exists: ArrayLike = True) -> Scalar:  # negative before the switch
        successor = jnp.where(exists, jnp.maximum(largest(t), 1), 2)
        return t - crossing - as_inexact(delay(successor)).astype(dtype)

    # A grid for the first change of sign: uniform in e^{−t} until saliencies have settled, then the last possible time.
    grid = jnp.asarray(-np.log1p(-np.linspace(0, 1 - 1e-7, 65)), dtype)
    late = jnp.maximum(grid[-1], grid[-1] - wait(grid[-1]) + 1)
    grid = jnp.append(grid, jnp.where(jnp.isfinite(late), late, grid[-1]))
    values = jax.vmap(wait)(grid)
    first = jnp.argmax(values >= 0)
    exists = values[first] >= 0

    low, high = grid[jnp.maximum(first - 1, 0)], grid[first]
    root = bracket(lambda t: wait(t) >= 0, low, high, jnp.finfo(dtype).nmant + 6).high
    root = jnp.where(root > 0, implicit(lambda t: wait(t, exists), root), root)  # at t = 0 it leaves at once
    return jnp.where(jnp.any(jnp.isnan(values)), jnp.nan, jnp.where(exists, root, jnp.inf))
