"""Events in time: their location and the derivative of their times."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import at_least, fail, kind, takes
from .._types import PyTree, Scalar


class Event(eqx.Module):
    r"""A change of sign of `condition(t, y, args, mode)` to be located in time.

    Integration restarts after each occurrence and stops at the last of `max_occurrences`. With `direction=None` both
    changes count; `True` means from not positive to positive, `False` from positive to not positive. A condition may be
    a real number, a boolean (`True` is positive) or an integer, and may be zero during an interval. A change is
    detected if the two ends of a solver's step lie on different sides. The time of an occurrence has a derivative if
    the condition has a nonzero slope in time; otherwise (booleans, integers, flat functions) the derivative is NaN.

    An event may have a discrete state `mode` (such as the leading memory), an argument of `condition` that
    `update(t, y, args, mode)` changes at every occurrence. Such an event needs a direction, and the condition must have
    returned to its other side before it can occur again.

    **Arguments:**

    - `condition`: `(t, y, args, mode) -> real number, boolean or integer`.
    - `direction`: see above.
    - `max_occurrences`: largest number of occurrences (static).
    - `mode`, `update`: the discrete state and its update.
    """

    condition: Callable
    direction: bool | None = eqx.field(static=True, default=None)
    max_occurrences: int = eqx.field(static=True, default=1)
    mode: PyTree = None
    update: Callable | None = None

    def __check_init__(self):
        takes("Event.condition", self.condition, "t, y, args, mode")
        at_least("Event.max_occurrences", self.max_occurrences, 1)
        if self.direction is not None and not isinstance(self.direction, bool | np.bool_):
            fail("Event.direction", "True, False or None", repr(self.direction))
        if self.update is not None:
            takes("Event.update", self.update, "t, y, args, mode")
            if self.direction is None:
                fail("Event.direction", "True or False for an event whose mode changes", None)

    def value(self, t: Scalar, y: PyTree, args: Any, mode: PyTree) -> tuple[Scalar, bool]:
        """The condition as a real number in the type of `t` (±1 for booleans and integers), and whether it is real."""
        value = self.condition(t, y, args, mode)
        number = eqx.is_array_like(value) and jnp.shape(value) == () and not jnp.iscomplexobj(value)
        if not number:
            fail("Event.condition", "one real number, boolean or integer", kind(value))
        value = jnp.asarray(value)
        if real := jnp.issubdtype(value.dtype, jnp.floating):
            return value.astype(t.dtype), real
        return jnp.where(value > jnp.zeros((), value.dtype), 1, -1).astype(t.dtype), real


def moved(value: Scalar, slope: Scalar) -> Scalar:
    """Zero with the derivative -d`value`/`slope`, that of the root's time for a function with this slope.

    The derivative is NaN for zero slope, except where it is multiplied by a zero tangent.
    """
    # No custom derivative rule: JAX 0.10 drops it in forward-over-reverse mode of a scan.
    change, steep = value - jax.lax.stop_gradient(value), slope != 0
    solve = lambda _, x: jnp.where(x == 0, 0, jnp.nan).astype(x.dtype)  # noqa: E731
    missing = jax.lax.custom_linear_solve(lambda x: x, change, solve, solve)
    return jnp.where(steep, -change / jnp.where(steep, slope, 1), missing)
