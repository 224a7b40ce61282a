"""Events in time, and how they are located."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
import optimistix as optx

from .._checks import at_least, fail
from .._types import PyTree


class Event(eqx.Module):
    r"""Something to locate in time: a sign change of `condition(t, y, args, mode)`.

    Integration restarts after each occurrence and stops at the last one there is room for. With `direction=None` both
    signs count; `True` means from negative to positive, `False` from positive to negative.

    An event may carry a discrete state, `mode` (which memory leads, say): `condition` sees it and
    `update(t, y, args, mode)` gives the next one at every occurrence. Such an event needs a direction, and the
    condition must have returned to its other side before it can occur again.

    **Arguments:**

    - `condition`: `(t, y, args, mode) -> real scalar`, continuous in time between occurrences.
    - `direction`: see above.
    - `max_occurrences`: how many there is room for (part of the structure, not traced).
    - `mode`, `update`: the discrete state and how it changes.
    """

    condition: Callable
    direction: bool | None = eqx.field(static=True, default=None)
    max_occurrences: int = eqx.field(static=True, default=1)
    mode: PyTree = None
    update: Callable | None = None

    def __check_init__(self):
        at_least("Event.max_occurrences", self.max_occurrences, 1)
        if (self.update is not None) and self.direction is None:
            fail("Event.direction", "True or False for an event whose mode changes", None)


class Locate(optx.AbstractRootFinder):
    """Bisection, to the last bits of time, of what falls from positive at `lower` to not positive at `upper`.

    Starts at `upper`, where a root that lies there exactly ends it (that is how an absent event is spelled), and stops
    on the bracket's width alone: a steep or jumping condition need not come close to zero.
    """

    rtol: float = 0.0
    atol: float = 0.0
    norm: Callable = eqx.field(static=True, default=jnp.abs)

    def init(self, fn, y, args, options, f_struct, aux_struct, tags):
        return jnp.asarray(options["lower"], y.dtype), jnp.asarray(options["upper"], y.dtype)

    def step(self, fn, y, args, options, state, tags):
        lower, upper = state
        value, aux = fn(y, args)
        value = jtu.tree_leaves(value)[0]
        lower = jnp.where(value > 0, y, jnp.where(value == 0, y, lower))
        upper = jnp.where(value > 0, upper, y)
        return jnp.where(lower == upper, y, 0.5 * (lower + upper)), (lower, upper), aux

    def terminate(self, fn, y, args, options, state, tags):
        lower, upper = state
        width = 2 * jnp.finfo(y.dtype).eps * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
        return upper - lower <= width, optx.RESULTS.successful

    def postprocess(self, fn, y, aux, args, options, state, tags, result):
        return y, aux, {}
