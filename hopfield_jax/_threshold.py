"""Thresholds: where a predicate of one number turns from false to true, by bisection of fixed length."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ._checks import at_least, fail, in_domain, is_concrete
from ._misc import as_inexact
from ._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from ._types import Array, Bool, PyTree, Scalar, ScalarLike


class Threshold(eqx.Module):
    """What `hopfield_jax.bisect` returns.

    **Attributes:**

    - `value`: middle of the bracket, NaN unless the predicate differs at the two bounds.
    - `lower`, `upper`: the bracket; the true threshold of a monotone predicate lies within.
    - `at_lower`, `at_upper`: the predicate at the bounds that were given.
    - `result`: how it ended. `setting`: what it was found for, if the caller said.
    """

    value: Scalar
    lower: Scalar
    upper: Scalar
    at_lower: Bool[Array, ""]
    at_upper: Bool[Array, ""]
    result: RESULTS
    setting: PyTree = None

    def __str__(self) -> str:
        return card(
            self,
            self.value,
            lambda: (
                f"{self.value:.6g} within [{self.lower:.6g}, {self.upper:.6g}]; {bool(self.at_lower)} at the lower "
                f"bound, {bool(self.at_upper)} at the upper one\n  "
                + (f"{self.setting}\n  " if self.setting is not None else "")
                + f"result: {describe_result(self.result)}"
            ),
        )


def bisect(
    predicate: Callable[[Scalar], Any],
    lower: ScalarLike,
    upper: ScalarLike,
    *,
    num_iterations: int = 16,
    setting: PyTree = None,
    throw: bool = True,
) -> Threshold:
    """Finds where a predicate of one number changes.

    A loop of fixed length, so that it maps over parameters with `jax.vmap` at no waste. A predicate has no derivative:
    that of the threshold comes out as zero, and automatic differentiation cannot say that it is missing.

    **Arguments:**

    - `predicate`: of one number; it should change once between the bounds. It may return a pair, the answer and whether
      it was decided; one that was not ends the search with a code, never in a number.
    - `lower`, `upper`: the bounds.
    - `num_iterations`: each halves the bracket.
    - `setting`: anything to keep with the result: what a predicate stands for is not seen in the number.
    - `throw`: whether an unsuccessful end (the same answer at both bounds, or none) raises; else it is in `result`.

    **Returns:** a `Threshold`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.

    ```python
    import hopfield_jax as hj

    found = hj.bisect(lambda x: x**2 > 2, 0.0, 2.0, num_iterations=20)
    assert abs(found.value - 2**0.5) < 2e-6
    ```
    """
    if not callable(predicate):
        fail("predicate", "a function of one number", type(predicate).__name__)
    at_least("num_iterations", num_iterations, 1)
    lower, upper = as_inexact(lower), as_inexact(upper)
    for name, x in (("lower", lower), ("upper", upper)):
        in_domain(name, x, "finite")
    if is_concrete(lower) and is_concrete(upper) and not lower < upper:
        fail("upper", f"a number above lower = {float(lower):g}", f"{float(upper):g}")
    out = _bisect(predicate, lower, upper.astype(lower.dtype), num_iterations, setting)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _bisect(predicate, lower, upper, num_iterations: int, setting: PyTree) -> Threshold:
    def holds(x: Scalar) -> tuple[Array, Array]:
        answer = predicate(x)
        answer, decided = answer if isinstance(answer, tuple) else (answer, True)
        return jax.lax.stop_gradient(jnp.asarray(answer)), jnp.asarray(decided)

    # The bounds and all middles in one loop: the predicate is compiled once.
    def step(carry, i):
        low, high, at_lower, at_upper, decided = carry
        middle = jnp.where(i == 0, lower, jnp.where(i == 1, upper, 0.5 * (low + high)))
        value, known = holds(middle)
        at_lower, at_upper = jnp.where(i == 0, value, at_lower), jnp.where(i == 1, value, at_upper)
        move_up = (value == at_lower) & (i > 1)
        low, high = jnp.where(move_up, middle, low), jnp.where((i > 1) & ~move_up, middle, high)
        return (low, high, at_lower, at_upper, decided & known), None

    start = lower, upper, jnp.array(False), jnp.array(False), jnp.array(True)
    (low, high, at_lower, at_upper, decided), _ = jax.lax.scan(step, start, jnp.arange(num_iterations + 2))
    valid = jnp.isfinite(lower) & jnp.isfinite(upper) & (lower < upper)
    found = (at_lower != at_upper) & decided & valid
    return Threshold(
        value=jnp.where(found, 0.5 * (low + high), jnp.nan),
        lower=jnp.where(found, low, lower),
        upper=jnp.where(found, high, upper),
        at_lower=at_lower,
        at_upper=at_upper,
        result=outcome(
            (~found, RESULTS.not_bracketed), (~decided, RESULTS.undecided), (~valid, RESULTS.invalid_parameter)
        ),
        setting=setting,
    )
