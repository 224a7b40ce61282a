"""Tuning: minimises an objective by its gradient, and validates the gradient."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import optax
import optimistix as optx
from jax.flatten_util import ravel_pytree

from .._checks import Rules, at_least, describe, fail, is_concrete, key_fits, kind
from .._misc import as_inexact
from .._progress import progress_bar
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from .._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, Scalar, ScalarLike
from ._scales import Bounds, Scales, scales_of
from ._search import Log, Repeats, descend, minimise
from ._trust import MOST_NUMBERS, Comparison, compare, curvature_of, standard_errors

Parameters = Mapping[str, ArrayLike]
ValueAndGradient = Callable[[Callable[[Any], Array]], Callable[[Any], tuple[Array, Any]]]

_CONTRADICTION = 0.1  # mismatch above which a gradient counts as wrong


def forward_value_and_grad(function: Callable[[Any], Array]) -> Callable[[Any], tuple[Array, Any]]:
    """`jax.value_and_grad` in forward mode, one pass per parameter. For up to about ten parameters; theory and
    simulation of `hopfield_jax.dmft` then store no intermediate values (an ordinary loop is linearised once and stores
    them)."""

    def both(parameters: Any) -> tuple[Array, Any]:
        flat, unravel = ravel_pytree(jtu.tree_map(as_inexact, parameters))
        value, push = jax.linearize(lambda x: function(unravel(x)), flat)
        return value, unravel(jax.lax.map(push, jnp.eye(len(flat), dtype=flat.dtype)))

    return both


class Tuning(eqx.Module):
    r"""Result of `hopfield_jax.tune`; dictionaries have the names of the parameters.

    **Attributes:**

    - `parameters`: the best parameters; `value`, `gradient`: of the objective there.
    - `value_error`, `parameter_errors`: with a key, standard errors from the spread of the repeats: of the value, and
      of the parameters, from the spread of the gradient and the curvature (0 at a bound; infinite if the curvature is
      not positive or not known, or for one repeat). `None` without a key.
    - `curvature`: the Hessian there, from differences of the gradient, shape (n, n) for n numbers in the alphabetical
      order of the names; `None` for more than 16.
    - `at_bound`: whether each parameter is at a bound beyond which the objective still falls.
    - `mismatch`: difference between the gradient and central differences of the objective at the start and at the end
      (in the first 16 numbers) beyond rounding and truncation, relative to the larger of the two.
    - `values`, `path`: at the start and after each step, shape (steps + 1,) and (steps + 1, ...); NaN where the
      objective was not finite. For optimistix minimisers only the start and the end.
    - `num_evaluations`: of objective and gradient. `num_not_finite`: those that were not finite.
    - `result`: the result code.
    """

    parameters: dict[str, Array]
    value: Scalar
    value_error: Scalar | None
    parameter_errors: dict[str, Array] | None
    gradient: dict[str, Array]
    curvature: Float[Array, "numbers numbers"] | None
    at_bound: dict[str, Bool[Array, "..."]]
    mismatch: Scalar
    values: Float[Array, " steps"]
    path: dict[str, Array]
    num_evaluations: Int[Array, ""]
    num_not_finite: Int[Array, ""]
    result: RESULTS

    def __str__(self) -> str:
        def text():
            errors = self.parameter_errors or {}
            error = lambda name: f" ± {describe(np.round(errors[name], 6))}" if name in errors else ""  # noqa: E731
            found = ", ".join(f"{name} {describe(np.round(x, 6))}{error(name)}" for name, x in self.parameters.items())
            noise = "" if self.value_error is None else f" ± {self.value_error:.2g}"
            bound = [name for name, x in self.at_bound.items() if np.any(x)]
            return (
                f"value {self.value:.6g}{noise} at {found}"
                f"{' (at a bound: ' + ', '.join(bound) + ')' if bound else ''}\n  "
                f"{self.num_evaluations} evaluations, {self.num_not_finite} of them not finite; gradient and "
                f"differences contradict each other by {float(self.mismatch):.1%}\n  "
                f"result: {describe_result(self.result)}"
            )

        return card(self, self.value, text)


def tune(
    objective: Callable[..., Array],
    parameters: Parameters,
    *,
    key: PRNGKey | None = None,
    num_repeats: int = 4,
    bounds: Bounds | None = None,
    method: optax.GradientTransformation | optx.AbstractMinimiser | None = None,
    value_and_grad: ValueAndGradient = jax.value_and_grad,
    num_steps: int = 200,
    tolerance: ScalarLike = 1e-3,
    progress: bool = True,
    throw: bool = True,
) -> Tuning:
    r"""Minimises an objective by its gradient.

    Every parameter is scaled by its first value, or by its distance from a bound, and bounds are removed by a smooth
    transformation: a square root for one bound, a sine for two (as in James and Roos's MINUIT, Comput. Phys. Commun.
    10, 343 (1975)), so that an optimum at a bound is reached and reported. The default method is Adam with a step that
    falls from a tenth of the scale to zero: it needs no line search, and is robust against the scale of the objective
    and float32 rounding. For one to three smooth parameters `optimistix.BFGS(1e-4, 1e-6)` takes fewer evaluations, and
    `optimistix.GoldenSearch(1e-3, 1e-6)` (optimistix 0.1 and later) needs no gradient for one parameter between two
    bounds.

    With `key` the objective is also a function of a key, and its mean over `num_repeats` independent keys is minimised,
    the same at every call (common random numbers). This mean is smooth with an exact gradient, and the spread of the
    repeats estimates how far its minimum is from that of the expectation. The gradient is compared with differences at
    the start and at the end, since automatic differentiation misses jumps and predicates.

    **Arguments:**

    - `objective`: a function of the dictionary of parameters, and of a key if given; returns a number to minimise.
    - `parameters`: names with first values, numbers or arrays.
    - `key`, `num_repeats`: random key, and number of repeats.
    - `bounds`: names with pairs (lower, upper), `None` for no bound; the first values lie strictly between.
    - `method`: an optax optimiser or an optimistix minimiser.
    - `value_and_grad`: `jax.value_and_grad` (reverse mode), `hopfield_jax.forward_value_and_grad` for few parameters,
      or anything like them.
    - `num_steps`: largest number of steps.
    - `tolerance`: optax methods stop when every entry of the gradient, in units of the scales, is smaller than this
      fraction of the largest one met; optimistix minimisers have their own. After `num_steps` steps a gradient that is
      zero within two of its standard errors, from the repeats, will do.
    - `progress`: whether to show a progress bar on a terminal. `throw`: whether to raise on failure; otherwise the code
      is in `result`.

    **Returns:** a `Tuning`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`: `num_steps_reached`;
    `flat`, if the objective does not depend on the parameters; `wrong_gradient`, if gradient and differences contradict
    each other; `no_minimum`, at a maximum or a saddle; `not_finite`, if the objective is not finite at the start;
    `edge_of_domain`, next to a region where it is not finite.

    ```python
    import hopfield_jax as hj

    found = hj.tune(lambda p: (p["x"] - 3.0) ** 2 + p["y"], {"x": 1.0, "y": 2.0}, bounds={"y": (0.5, None)})
    assert abs(found.parameters["x"] - 3) < 5e-3 and abs(found.parameters["y"] - 0.5) < 1e-3  # 1e-3 of the first slope
    assert found.at_bound["y"]
    ```
    """
    at_least("num_steps", num_steps, 1)
    at_least("num_repeats", num_repeats, 1)
    if not isinstance(method, optx.AbstractMinimiser) and not (method is None or hasattr(method, "update")):
        fail("method", "an optax optimiser or an optimistix minimiser", repr(method))
    tolerance = Rules().real("tolerance", tolerance, "positive")
    start = _checked(parameters)
    scales, unravel = scales_of(start, bounds or {})
    if key is not None:
        key_fits("key", key)
    keys = None if key is None else jr.split(key, num_repeats)
    _objective_fits(objective, start, keys)
    inner = _Repeated(objective, value_and_grad, start, keys, None)
    log = Log(_Repeated(objective, value_and_grad, start, keys, scales), scales)
    u = scales.inside()
    first = log(u)
    method = _adam(num_steps) if method is None else method
    before = compare(log, u) if first else Comparison(float("nan"), False, False, 1.0)
    after, settled = before, False
    if first and not before.flat:
        with progress_bar(num_steps, "steps", show=progress) as advance:
            run = minimise if isinstance(method, optx.AbstractMinimiser) else descend
            log.steepness = before.steepness
            settled = run(log, u, method, num_steps, float(tolerance), advance)
        if log.end is not None:
            after = compare(log, log.end[0])
    failures = (
        (not settled, RESULTS.num_steps_reached),
        (not settled and log.at_edge, RESULTS.edge_of_domain),
        (after.lower, RESULTS.no_minimum),
        (max(before.mismatch, after.mismatch) > _CONTRADICTION, RESULTS.wrong_gradient),
        (before.flat, RESULTS.flat),
        (not first, RESULTS.not_finite),
    )
    out = _result(log, scales, unravel, inner, keys is not None, max(before.mismatch, after.mismatch), failures)
    return raise_unless_okay(out, out.result) if throw else out


def _objective_fits(objective: Callable, start: dict[str, Array], keys: Any) -> None:
    shape = jax.eval_shape(objective, start, *([] if keys is None else [keys[0]]))
    if getattr(shape, "shape", None) != () or not jnp.issubdtype(shape.dtype, jnp.floating):
        fail("objective", "a function that returns one real number", f"{shape}")


def _checked(parameters: Any) -> dict[str, Array]:
    if not isinstance(parameters, Mapping):
        fail("parameters", "a dictionary of numbers or arrays by name", kind(parameters))
    start = {name: Rules().real(name, x, "finite", shape=None) for name, x in parameters.items()}
    if not start:
        fail("parameters", "at least one parameter", "none")
    for name, x in start.items():
        if not is_concrete(x):
            fail(name, "numbers, outside of `jax.jit`: a search is steered from Python", "a traced value")
        if not x.size:
            fail(name, "at least one number", "none")
    return start


class _Repeated(eqx.Module):
    """Values and gradients for every key, in scaled coordinates or in the parameters. Closes over no arrays, so that
    later searches reuse the compiled program."""

    objective: Callable[..., Array]
    value_and_grad: ValueAndGradient
    start: dict[str, Array]
    keys: Array | None
    scales: Scales | None

    @eqx.filter_jit
    def __call__(self, x: Array) -> Repeats:
        _, unravel = ravel_pytree(self.start)

        def one(*key: PRNGKey) -> tuple[Array, Array]:
            outside = (lambda x: x) if self.scales is None else self.scales.outside
            return self.value_and_grad(lambda x: self.objective(unravel(outside(x)), *key))(x)

        if self.keys is None:
            return Repeats(*jtu.tree_map(lambda a: a[None], one()))
        return Repeats(*jax.lax.map(one, self.keys))


@functools.cache  # optax creates new functions at each call, which would recompile
def _adam(num_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(0.1, num_steps))


def _result(log, scales, unravel, inner, has_key, mismatch, failures) -> Tuning:
    u = scales.inside() if log.end is None else log.end[0]
    p = scales.outside(u)
    repeats = inner(p)
    value, gradient = repeats.mean
    at_bound = scales.at_bound(p, gradient)
    few = p.size <= MOST_NUMBERS and log.end is not None
    curvature = curvature_of(inner, scales, p) if few else None
    errors = standard_errors(repeats, curvature, at_bound) if has_key else None
    log.count += 1 + 2 * p.size * few
    result = outcome(*((jnp.array(failed), cast(RESULTS, code)) for failed, code in failures))
    path = np.stack(log.path)
    return Tuning(
        parameters=unravel(p),
        value=value,
        value_error=None if errors is None else errors[0],
        parameter_errors=None if errors is None else unravel(errors[1]),
        gradient=unravel(gradient),
        curvature=curvature,
        at_bound=jtu.tree_map(lambda x: x > 0, unravel(at_bound.astype(p.dtype))),
        mismatch=jnp.asarray(mismatch, p.dtype),
        values=jnp.asarray(np.array(log.values), p.dtype),
        path=jax.vmap(unravel)(jnp.asarray(path)),
        num_evaluations=jnp.array(log.count),
        num_not_finite=jnp.array(log.not_finite),
        result=result,
    )
