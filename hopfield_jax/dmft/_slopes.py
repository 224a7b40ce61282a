"""Derivatives of a mean-field solution with their errors."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu

from .._checks import as_real, at_least, fail, key_fits, kind
from .._results import RESULTS, card, describe_result, is_okay, raise_unless_okay
from .._types import Array, PRNGKey, PyTree
from ._lines import LINES, Along, Lines
from ._order import OrderParameters, mean_and_error
from ._solve import solve


class Slopes(eqx.Module):
    """The result of `hopfield_jax.dmft.slopes`: means over independent randomisations of paths and lines.

    **Attributes:**

    - `value`, `value_error`: of the measure, with its standard error.
    - `slope`, `slope_error`: its derivative by each parameter and the standard error, a tree like the parameters whose
      arrays have the shape of the measure followed by that of the parameter.
    - `bias`: what Richardson's extrapolation took off, the same shapes: the error that remains is smaller. `None`
      for derivatives along the paths, whose bias is unknown.
    - `result`: how it ended.
    """

    value: Array
    value_error: Array
    slope: PyTree[Array]
    slope_error: PyTree[Array]
    bias: PyTree[Array] | None
    result: RESULTS

    def __str__(self) -> str:
        def text():
            lines = [f"derivative of a measure of shape {self.value.shape} by the parameters:"]
            for name, slope in jtu.tree_leaves_with_path(self.slope):
                at = lambda tree, name=name: dict(jtu.tree_leaves_with_path(tree))[name].reshape(-1)[-1]  # noqa: E731
                off = "" if self.bias is None else f", bias below {abs(at(self.bias)):.2g}"
                text = f"{slope.reshape(-1)[-1]:.6g} ± {at(self.slope_error):.2g}{off}"
                lines.append(f"  {jtu.keystr(name)}: {text} (last entry)")
            return "\n".join([*lines, f"  result: {describe_result(self.result)}"])

        return card(self, self.value, text)


def final_overlap_of(order: OrderParameters) -> Array:
    """The overlap at the last step."""
    return order.overlap[-1]


def slopes(
    build: Callable[[PyTree], Any],
    parameters: PyTree,
    *,
    key: PRNGKey,
    num_shifts: int = 4,
    measure: Callable[[OrderParameters], Array] = final_overlap_of,
    derivative: Along | Lines = LINES,
    throw: bool = True,
    **options: Any,
) -> Slopes:
    r"""The derivative of a mean-field solution by a few parameters, with standard errors and bias.

    The derivative itself is that of `solve`, so that `jax.grad`, `jax.jvp` and searches have it without this function.
    Each randomisation is solved by itself: the spread of their derivatives is the error. The same derivative without
    Richardson's extrapolation tells the bias, and doubles the time.

    **Arguments:**

    - `build`: a function of `parameters` that returns (model, cue).
    - `parameters`: a tree of real numbers and arrays.
    - `key`, `num_shifts`: of the randomisations, at least 2 of them.
    - `measure`: a function of an `OrderParameters` that returns an array, the last overlap unless told otherwise.
    - `derivative`: as in `solve`. `options`: the other arguments of `solve`, `num_steps` among them.
    - `throw`: whether an unsuccessful end raises; else its code is in `result` and the numbers are NaN.

    **Returns:** a `Slopes`. **Raises:** as `solve`.

    ```python
    import jax
    import hopfield_jax as hj


    def build(p):
        kernel = hj.dmft.LeakyHebbian(p["strength"], tau=5.0)
        return hj.dmft.PlasticNetwork(load=0.1, units=hj.Sign(), kernel=kernel), hj.dmft.SpinCue(0.5)


    found = hj.dmft.slopes(build, {"strength": 1.0}, num_steps=5, num_samples=1024, key=jax.random.key(0))
    assert abs(found.slope["strength"] + 0.009) < 5 * found.slope_error["strength"]
    ```
    """
    for name, value in (("build", build), ("measure", measure)):
        if not callable(value):
            fail(name, "a function", kind(value))
    key_fits("key", key)
    at_least("num_shifts", num_shifts, 2)
    parameters = jtu.tree_map(lambda x: as_real("parameters", x), parameters)
    out = _slopes(build, parameters, key, num_shifts, measure, derivative, eqx.Partial(_solved, **options))
    return raise_unless_okay(out, out.result) if throw else out


def _solved(*arguments: Any, **options: Any) -> OrderParameters:
    return solve(*arguments, num_shifts=1, throw=False, **options)


@eqx.filter_jit
def _slopes(build, parameters, key, num_shifts, measure, derivative, run) -> Slopes:
    def with_slope(derivative: Along | Lines, key: PRNGKey) -> Any:
        def value(parameters: PyTree) -> Any:
            order = run(*build(parameters), key=key, derivative=derivative)
            found = measure(order)
            return found, (found, order.result)

        return jax.jacfwd(value, has_aux=True)(parameters)

    def one(key: PRNGKey) -> Any:
        slope, (value, result) = with_slope(derivative, key)
        if isinstance(derivative, Along):
            return value, slope, None, result
        plain, _ = with_slope(dataclasses.replace(derivative, extrapolate=False), key)
        return value, slope, jtu.tree_map(jnp.subtract, plain, slope), result

    *found, results = jax.lax.map(one, jr.split(key, num_shifts))
    (value, slope, bias), (value_error, slope_error, _) = mean_and_error(tuple(found))
    first = jnp.argmin(is_okay(results))  # that failed, if any did
    return Slopes(value, value_error, slope, slope_error, bias, jtu.tree_map(lambda x: x[first], results))
