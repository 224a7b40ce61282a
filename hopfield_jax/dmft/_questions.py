"""Agreement of theory and simulation, basins, largest loads, scans over the strength of plasticity.

`run` is theory or simulation: a function of model and cue that returns an `OrderParameters`, such as
`lambda model, cue: hj.dmft.solve(model, cue, num_steps=60, key=key, throw=False)`.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_real, at_least, fail, is_concrete, kind, sieved
from .._misc import as_inexact
from .._results import RESULTS, Setting, card, describe_result, is_okay
from .._threshold import Threshold, bisect
from .._types import Array, Bool, Float, Int, Scalar, ScalarLike
from ._cue import AbstractCue, SpinCue
from ._model import AbstractPlasticModel
from ._order import OrderParameters, setting

Run = Callable[[AbstractPlasticModel, AbstractCue], OrderParameters]


class Agreement(eqx.Module):
    r"""Result of `hopfield_jax.dmft.agreement`.

    **Attributes:**

    - `squared_difference`: $\sum_t (m_t^{\text{theory}} - m_t^{\text{network}})^2\,dt$.
    - `expected`: its expectation from the standard errors alone, $\sum_t(\sigma^2 + \sigma'^2)\,dt$.
    - `largest_deviation`: largest difference of the overlaps, and `in_errors`: the largest one in standard errors.
    - `step`: the step of the latter. Both omit clamped overlaps; `in_errors` is NaN if an error is unknown (a single
      randomisation or network).
    """

    squared_difference: Scalar
    expected: Scalar
    largest_deviation: Scalar
    in_errors: Scalar
    step: Int[Array, ""]

    def __str__(self) -> str:
        return card(
            self,
            self.squared_difference,
            lambda: (
                f"integrated squared difference {self.squared_difference:.3g} (errors alone: {self.expected:.3g}), "
                f"largest difference {self.largest_deviation:.4f}, {self.in_errors:.2g} standard errors at step "
                f"{self.step}"
            ),
        )


def agreement(theory: OrderParameters, network: OrderParameters) -> Agreement:
    """Compares two trajectories of the overlap, such as those of theory and simulation.

    Give the theory the load and cue overlap that the simulation realised.

    **Arguments:** two results with the same times. **Returns:** an `Agreement`.

    **Raises:** `ValueError` if the times differ in number.
    """
    for name, order in (("theory", theory), ("network", network)):
        if not isinstance(order, OrderParameters):
            fail(name, "order parameters of theory or simulation", kind(order))
    if theory.overlap.shape != network.overlap.shape:
        fail("network", f"overlaps of the theory's shape {theory.overlap.shape}", f"shape {network.overlap.shape}")
    difference = theory.overlap - network.overlap
    variance = theory.overlap_error**2 + network.overlap_error**2
    rounding = 4 * jnp.finfo(variance.dtype).eps * jnp.abs(theory.overlap)
    known = variance > rounding**2  # a clamped overlap has no error except rounding of its mean
    ratio = jnp.where(known, jnp.abs(difference) / jnp.sqrt(jnp.where(known, variance, 1)), 0)
    ratio = jnp.where(jnp.isfinite(variance), ratio, jnp.nan).reshape(len(ratio), -1)
    if is_concrete(theory.times) and is_concrete(network.times):
        if not np.allclose(theory.times, network.times, rtol=1e-4, equal_nan=True):
            fail("network", "the theory's times", f"steps of {network.times[1]:g} beside {theory.times[1]:g}")
    dt = theory.times[1] - theory.times[0]
    return Agreement(
        squared_difference=jnp.sum(difference**2) * dt,
        expected=jnp.sum(variance) * dt,
        largest_deviation=jnp.max(jnp.abs(difference)),
        in_errors=jnp.max(ratio),
        step=jnp.argmax(jnp.max(ratio, axis=1)),
    )


def retrieved(order: OrderParameters, *, threshold: ScalarLike = 0.8) -> Bool[Array, ""]:
    r"""Whether the final overlap of the activities with the (first) pattern reaches `threshold` and exceeds that of the
    cue."""
    if not isinstance(order, OrderParameters):
        fail("order", "order parameters of theory or simulation", kind(order))
    threshold = sieved("threshold", threshold, "finite", ())
    first, last = _ends(order)
    return (last >= threshold) & (last > first)


def _ends(order: OrderParameters) -> tuple[Array, Array]:
    """First and last overlap of the activities with the (first) pattern."""
    overlap = order.activity.reshape(*order.times.shape, -1)[..., 0]
    return overlap[..., 0], overlap[..., -1]


# Bisected functions are `eqx.Partial`s, whose numbers are arguments of the compiled search: a closure would recompile
# at every call.
def _margin(run: Run, threshold: Array, model: AbstractPlasticModel, cue: AbstractCue) -> tuple[Array, Array]:
    r"""$\min(m_T - \text{threshold}, m_T - m_0)$, positive if `retrieved` (except for ties), and whether the run
    succeeded."""
    out = run(model, cue)
    first, last = _ends(out)
    return last - jnp.maximum(threshold.astype(last.dtype), first), is_okay(out.result)


def _margin_of_cue(run, threshold, model, overlap: Scalar) -> tuple[Array, Array]:
    return _margin(run, threshold, model, SpinCue(overlap))


def _margin_of_load(run, threshold, model, cue, load: Scalar) -> tuple[Array, Array]:
    return _margin(run, threshold, eqx.tree_at(lambda m: m.load, model, load), cue)


def basin_boundary(
    run: Run,
    model: AbstractPlasticModel,
    *,
    threshold: ScalarLike = 0.8,
    lower: ScalarLike = 0.0,
    upper: ScalarLike = 0.9,
    num_iterations: int = 12,
    throw: bool = True,
) -> Threshold:
    r"""The smallest cue overlap $m_0^*$ that is `retrieved`, by bisection. It depends on the number of steps of `run`
    and on `threshold`: state both. Use `jax.vmap` over models (with `throw=False`).

    The gradient of its `value` is that of the root of $m_T = \text{threshold}$ (or $m_T = m_0$), with the `derivative`
    that `run` gives to `solve`: exact for a fixed key with `Along()`, with a sampling error of its own with `Lines()`.
    Simulation is not differentiable with respect to the cue and raises.

    **Arguments:** `run`, theory or simulation (see the module); `model`; `threshold`, see `retrieved`; `lower`,
    `upper`, `num_iterations`, `throw`: as in `hopfield_jax.bisect` (at `upper` the network must still move up).

    **Returns:** a `Threshold`, whose `setting` holds `threshold` and the number of steps.

    **Raises:** as `hopfield_jax.bisect`.
    """
    threshold = sieved("threshold", threshold, "finite", ())
    margin = eqx.Partial(_margin_of_cue, run, threshold, model)
    where = conditions(run, model, SpinCue(upper), threshold, without="cue.overlap")
    return bisect(margin, lower, upper, num_iterations=num_iterations, setting=where, throw=throw)


def largest_load(
    run: Run,
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    threshold: ScalarLike = 0.8,
    lower: ScalarLike = 0.01,
    upper: ScalarLike = 0.5,
    num_iterations: int = 12,
    throw: bool = True,
) -> Threshold:
    r"""The largest load $\alpha_{\max}$ at which a cue is `retrieved`, by bisection; `model.load` is ignored.

    The gradient of its `value`, with respect to strength and time constant of the plasticity, slope of the units, cue
    or `threshold`, is $-(\partial m_T/\partial\theta)/(\partial m_T/\partial\alpha)$ where $m_T = \text{threshold}$,
    with the `derivative` that `run` gives to `solve` (see `basin_boundary`). Its sampling error is larger than that of
    the value (compare keys). Simulation is not differentiable with respect to the load and raises.

    **Arguments:** as `basin_boundary`, with the bounds of the load, and `cue`. A simulation needs `max_patterns`.

    **Returns:** a `Threshold`, whose `setting` holds `threshold` and the number of steps.

    **Raises:** as `hopfield_jax.bisect`.

    ```python
    import jax
    import hopfield_jax as hj
    from hopfield_jax import dmft

    def theory(model, cue):
        return dmft.solve(model, cue, num_steps=3, num_samples=256, num_shifts=1, key=jax.random.key(0), throw=False)

    def load(strength):
        model = dmft.PlasticNetwork(0.1, hj.LogCosh(beta=4.0), dmft.LeakyHebbian(strength, tau=5.0))
        return dmft.largest_load(theory, model, dmft.SpinCue(0.7)).value

    value, slope = jax.value_and_grad(load)(0.5)
    assert abs(value - 0.225) < 5e-3 and abs(slope - 0.05) < 5e-3
    ```
    """
    threshold = sieved("threshold", threshold, "finite", ())
    margin = eqx.Partial(_margin_of_load, run, threshold, model, cue)
    model = eqx.tree_at(lambda m: m.load, model, as_real("upper", upper))
    where = conditions(run, model, cue, threshold, without="load")
    return bisect(margin, lower, upper, num_iterations=num_iterations, setting=where, throw=throw)


class StrengthScan(eqx.Module):
    r"""Result of `hopfield_jax.dmft.scan_strength`: final overlaps at every strength.

    **Attributes:** shape (strengths,) each, except the setting and the best

    - `strength`; `overlap`, `cue_overlap` at the last step, with their standard errors.
    - `imprinted`: whether the network ends closer to its cue than to the pattern.
    - `result`: the code of each run. `setting`: the other conditions.
    - `best`: the strength of the largest final overlap. `best_lower`, `best_upper`: the smallest and largest strength
      whose overlap lies within the combined standard error of the largest.
    """

    strength: Float[Array, " strengths"]
    overlap: Float[Array, " strengths"]
    overlap_error: Float[Array, " strengths"]
    cue_overlap: Float[Array, " strengths"]
    cue_overlap_error: Float[Array, " strengths"]
    imprinted: Bool[Array, " strengths"]
    result: RESULTS
    setting: Setting
    best: Scalar
    best_lower: Scalar
    best_upper: Scalar

    def __str__(self) -> str:
        return card(
            self,
            self.best,
            lambda: (
                f"{len(self.strength)} strengths from {self.strength[0]:.4g} to {self.strength[-1]:.4g}: largest "
                f"overlap {jnp.nanmax(self.overlap):.4f} at {self.best:.4g} (within errors from {self.best_lower:.4g} "
                f"to {self.best_upper:.4g}), imprinted at {int(jnp.sum(self.imprinted))} of them\n  {self.setting}\n  "
                f"result: {describe_result(self.result)}"
            ),
        )


def scan_strength(
    run: Run,
    model: AbstractPlasticModel,
    cue: AbstractCue,
    strengths: Float[Array, " strengths"],
    *,
    batch_size: int = 1,
) -> StrengthScan:
    r"""Retrieval and imprinting against the strength $\lambda$ of plasticity, and its best value on a grid.

    **Arguments:** `run`, theory or simulation, with `throw=False`; `model`, its kernel has a `strength`; `cue`;
    `strengths`, shape (strengths,); `batch_size`, how many run at once.

    **Returns:** a `StrengthScan`. **Raises:** `ValueError` if the kernel has no strength.
    """
    if not hasattr(model.kernel, "strength"):
        fail("model", "a kernel with a strength", kind(model.kernel))
    at_least("batch_size", batch_size, 1)
    strengths = as_real("strengths", strengths)
    if strengths.ndim != 1 or not strengths.size:
        fail("strengths", "shape (strengths,), at least one", f"shape {strengths.shape}")
    return _scan(run, model, cue, strengths, batch_size)


@eqx.filter_jit
def _scan(run, model, cue, strengths, batch_size: int) -> StrengthScan:
    def one(strength: Scalar):
        out = run(eqx.tree_at(lambda m: m.kernel.strength, model, strength), cue)
        last = (x.reshape(len(x), -1)[-1, 0] for x in (out.overlap, out.overlap_error, out.activity))
        return *last, out.cue_overlap[-1], out.cue_overlap_error[-1], out.result

    overlap, error, activity, cue_overlap, cue_error, result = jax.lax.map(one, strengths, batch_size=batch_size)
    usable = jnp.where(is_okay(result), overlap, -jnp.inf)
    top = jnp.argmax(usable)
    any_okay = jnp.isfinite(usable[top])
    near = usable + jnp.hypot(error, error[top]) >= usable[top]
    return StrengthScan(
        strength=strengths,
        overlap=overlap,
        overlap_error=error,
        cue_overlap=cue_overlap,
        cue_overlap_error=cue_error,
        imprinted=(cue_overlap > activity) & is_okay(result),
        result=result,
        setting=conditions(run, model, cue, without="kernel.strength"),
        best=jnp.where(any_okay, strengths[top], jnp.nan),
        best_lower=jnp.where(any_okay, jnp.min(jnp.where(near, strengths, jnp.inf)), jnp.nan),
        best_upper=jnp.where(any_okay, jnp.max(jnp.where(near, strengths, -jnp.inf)), jnp.nan),
    )


def conditions(run: Run, model, cue, threshold: ScalarLike | None = None, *, without: str) -> Setting:
    """The setting without the number that is searched over."""
    one = eqx.filter_eval_shape(run, model, cue)
    where = setting(one.setting.source, model, cue)
    numbers = {name: x for name, x in where.numbers.items() if name != without}
    numbers["num_steps"] = as_inexact(one.times.shape[0] - 1)
    if threshold is not None:
        numbers["threshold"] = as_real("threshold", threshold)
    return Setting(where.source, where.parts, numbers)
