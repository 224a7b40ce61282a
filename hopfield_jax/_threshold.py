"""Thresholds of predicates and roots of real functions by bisection with a fixed number of steps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from ._checks import Rules, at_least, fail, kind
from ._misc import nondifferentiable
from ._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from ._roots import Bracket, bracket
from ._types import Array, Bool, PyTree, Scalar, ScalarLike

_NO_GRADIENT = (
    "`function`: the threshold of a predicate has no gradient, because a predicate is only true or false. Return a "
    "real number that changes sign at the threshold (such as `overlap - 0.8` instead of `overlap > 0.8`), or apply "
    "`jax.lax.stop_gradient` to the variables of the predicate."
)


class Threshold(eqx.Module):
    """Result of `hopfield_jax.bisect`.

    **Attributes:**

    - `value`: middle of the bracket for a predicate, zero of the chord for a real function; NaN unless the values at
      the two bounds differ (in sign).
    - `lower`, `upper`: the bracket, which contains the threshold of a function that changes once. For a function of
      random numbers it is the threshold of that sample: others differ, mostly by more than the bracket.
    - `at_lower`, `at_upper`: the predicate, or whether the function is positive, at the given bounds.
    - `result`: the result code. `setting`: as passed by the caller.
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
                f"{self.value:.6g}, bracket [{self.lower:.6g}, {self.upper:.6g}]; {bool(self.at_lower)} at the lower "
                f"bound, {bool(self.at_upper)} at the upper one\n  "
                + (f"{self.setting}\n  " if self.setting is not None else "")
                + f"result: {describe_result(self.result)}"
            ),
        )


def bisect(
    function: Callable[[Scalar], Any],
    lower: ScalarLike,
    upper: ScalarLike,
    *,
    num_iterations: int = 16,
    setting: PyTree = None,
    throw: bool = True,
) -> Threshold:
    r"""Finds the threshold of a predicate of one number, or the root of a real function f(x; θ), by bisection.

    The loop has a fixed length, so that `jax.vmap` over parameters wastes no steps. The root x* of a real function is
    differentiable with respect to variables that the function closes over, in both modes and to any order, by the
    implicit function theorem:

        dx*/dθ = −(∂f/∂θ) / (∂f/∂x)    at x*.

    f is differentiated only if a gradient is requested. The gradient is NaN if it is meaningless: if ∂f/∂x vanishes or
    contradicts the change of sign, or if f changes across the final bracket by more than four times the prediction of
    ∂f/∂x (a jump, or too few iterations). Differentiating the threshold of a predicate raises. Gradients of the bracket
    are blocked.

    **Arguments:**

    - `function`: of one number; its value should change once between the bounds. It returns a boolean, or a real number
      whose sign is used, or a pair of that value and whether it is decided. An undecided value, or NaN, gives a failure
      code and NaN.
    - `lower`, `upper`: the bounds.
    - `num_iterations`: number of halvings of the bracket.
    - `setting`: an object to store with the result, such as the conditions.
    - `throw`: whether to raise if the values at both bounds agree or a value is undecided; otherwise the code is in
      `result`.

    **Returns:** a `Threshold`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`; `RuntimeError` if the
    threshold of a predicate is differentiated.

    ```python
    import jax
    import hopfield_jax as hj

    found = hj.bisect(lambda x: x**2 > 2, 0.0, 2.0, num_iterations=20)
    assert abs(found.value - 2**0.5) < 2e-6
    root = lambda a: hj.bisect(lambda x: x**2 - a, 0.0, 2.0).value
    assert abs(jax.grad(root)(2.0) - 0.5 / 2**0.5) < 1e-5
    ```
    """
    if not callable(function):
        fail("function", "a function of one number", kind(function))
    at_least("num_iterations", num_iterations, 1)
    rules = Rules()
    lower = rules.real("lower", lower, "finite")
    upper = rules.real("upper", upper, "finite", dtype=lower.dtype)
    rules.holds("upper", lambda upper, lower: upper > lower, "a number above lower = {1:g}", upper, lower)
    out = _bisect(function, lower, upper, int(num_iterations), setting, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _bisect(function, lower, upper, num_iterations: int, setting: PyTree, valid: Bool[Array, ""]) -> Threshold:
    is_predicate = False

    def signed(x: Scalar) -> Scalar:
        nonlocal is_predicate
        answer = function(x)
        answer, decided = answer if isinstance(answer, tuple) else (answer, True)
        answer = jnp.asarray(answer)
        is_predicate = answer.dtype == bool
        if answer.shape or not (is_predicate or jnp.issubdtype(answer.dtype, jnp.floating)):
            fail("function", "a truth value or one real number", f"{answer.dtype} of shape {answer.shape}")
        # A predicate becomes a function with values ±1, whose chord vanishes in the middle of the bracket.
        value = jnp.where(answer, 1, -1) if is_predicate else answer
        return jnp.where(decided, value.astype(lower.dtype), jnp.nan)

    closed = eqx.filter_closure_convert(signed, lower)  # closed-over variables become a pytree
    if is_predicate:
        closed = nondifferentiable(closed, _NO_GRADIENT)
    value, ends = _search(closed, lower, upper, num_iterations)
    at_lower, at_upper = ends.at_lower > 0, ends.at_upper > 0
    found = (at_lower != at_upper) & ends.known & valid
    return Threshold(
        value=jnp.where(found, value, jnp.nan),
        lower=jnp.where(found, ends.low, lower),
        upper=jnp.where(found, ends.high, upper),
        at_lower=at_lower,
        at_upper=at_upper,
        result=outcome(
            (~found, RESULTS.not_bracketed), (~ends.known, RESULTS.undecided), (~valid, RESULTS.invalid_parameter)
        ),
        setting=setting,
    )


@eqx.filter_custom_jvp
def _search(function, lower, upper, num_iterations: int) -> tuple[Scalar, Bracket]:
    """The root of the chord across the final bracket, and that bracket."""
    ends = bracket(function, lower, upper, num_iterations)
    share = ends.at_low / (ends.at_low - ends.at_high)
    share = jnp.where(jnp.isfinite(share), share, 0.5)
    return ends.low + share * (ends.high - ends.low), ends


@_search.def_jvp
def _search_jvp(primals, tangents):
    function, *_ = primals
    change, *_ = tangents  # the root does not depend on the bounds
    x, ends = _search(*primals)
    still = jtu.tree_map(lambda _: None, ends)
    if not jtu.tree_leaves(change):
        return (x, ends), (None, still)
    _, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
    _, rate = eqx.filter_jvp(lambda function: function(x), (function,), (change,))
    rounding = jnp.finfo(x.dtype).eps ** 0.5 * (jnp.abs(ends.at_lower) + jnp.abs(ends.at_upper))
    smooth = jnp.abs(ends.at_high - ends.at_low) <= 4 * jnp.abs(slope) * (ends.high - ends.low) + rounding
    sharp = smooth & (slope * (ends.at_upper - ends.at_lower) > 0)
    return (x, ends), (rate * jnp.where(sharp, -1 / slope, jnp.nan), still)
