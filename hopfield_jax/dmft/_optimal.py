"""The optimal strength of plasticity, by gradients."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._checks import as_real, at_least, fail, is_concrete, key_fits, kind
from .._misc import as_inexact
from .._progress import progress_bar
from .._results import RESULTS, Setting, card, describe_result, outcome, raise_unless_okay
from .._tune import ValueAndGradient, forward_value_and_grad
from .._types import Array, ArrayLike, Bool, Float, PRNGKey, Scalar, ScalarLike
from ._cue import AbstractCue
from ._model import AbstractPlasticModel, check_model
from ._order import OrderParameters
from ._questions import Run, conditions

RandomRun = Callable[[AbstractPlasticModel, AbstractCue, PRNGKey], OrderParameters]
Measure = Callable[[Run, AbstractPlasticModel, AbstractCue], Scalar]

_FINE = 257  # points between two strengths at which the splines are evaluated


def final_overlap(run: Run, model: AbstractPlasticModel, cue: AbstractCue) -> Scalar:
    """The overlap with the (first) pattern at the last step, the default measure of `optimal_strength`."""
    return run(model, cue).overlap.reshape(-1, cue.shape[0] if cue.shape else 1)[-1, 0]


class OptimalStrength(eqx.Module):
    r"""Result of `hopfield_jax.dmft.optimal_strength`.

    **Attributes:**

    - `strength`: $\lambda^*$. `lower`, `upper`: the interval of strengths that are not worse at a confidence of 95 %
      (Student's t of the repeats' differences from the best; the bounds themselves for a single repeat). It reflects
      the error of $\lambda^*$ and the width of the maximum.
    - `value`, `value_error`: the measure at $\lambda^*$, its mean and standard error over repeats.
    - `at_bound`: whether the maximum is at a bound: then take wider bounds.
    - `strengths`: all evaluated ones, shape (strengths,), in order. `values`, `gradients`: of every repeat, shape
      (strengths, repeats).
    - `mismatch`: the largest distance of the mean gradient from the interval of the mean value's slopes to both
      neighbours, relative to the steepest slope, over the strengths as good within errors and the five nearest ones.
    - `setting`: the other conditions. `result`: the code.
    """

    strength: Scalar
    lower: Scalar
    upper: Scalar
    value: Scalar
    value_error: Scalar
    at_bound: Bool[Array, ""]
    strengths: Float[Array, " strengths"]
    values: Float[Array, "strengths repeats"]
    gradients: Float[Array, "strengths repeats"]
    mismatch: Scalar
    setting: Setting
    result: RESULTS

    def curves(self, strengths: ArrayLike) -> np.ndarray:
        """The splines of the measure of every repeat at other strengths, NaN outside the finite range; shape
        (strengths, repeats)."""
        found = _curves(*(np.asarray(x, np.float64) for x in (self.strengths, self.values, self.gradients)))
        if found is None:
            return np.full((len(np.asarray(strengths)), self.values.shape[1]), np.nan)
        return found(np.asarray(strengths))

    def __str__(self) -> str:
        return card(
            self,
            self.strength,
            lambda: (
                f"strength {self.strength:.4g}{' (at a bound)' if self.at_bound else ''}, between {self.lower:.4g} and "
                f"{self.upper:.4g} as good within errors; measure {self.value:.6g} ± {self.value_error:.2g}\n  "
                f"{self.values.size} runs with their derivative, gradient contradicted by {self.mismatch:.1%}\n  "
                f"each of {self.values.shape[1]} repeats: {self.setting}\n  result: {describe_result(self.result)}"
                f"{'; a wider bound may be better still' if self.at_bound else ''}"
            ),
        )


def optimal_strength(
    run: RandomRun,
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    key: PRNGKey,
    num_repeats: int = 4,
    lower: ScalarLike = 0.0,
    upper: ScalarLike = 4.0,
    measure: Measure = final_overlap,
    num_strengths: int = 5,
    num_rounds: int = 2,
    value_and_grad: ValueAndGradient = forward_value_and_grad,
    progress: bool = True,
    throw: bool = True,
) -> OptimalStrength:
    r"""Maximises a measure of retrieval over the strength $\lambda$ of plasticity, by gradients of theory or
    simulation.

    The measure and its derivative are computed at a few strengths between the bounds, then at as many between the
    neighbours of the best. The result is the maximum of the cubic Hermite spline through them. Its error comes from
    repeats with independent keys. Each repeat uses one key at all strengths (common random numbers), so that
    differences from the best have much smaller errors than the values.

    Under strong plasticity sites have several stable states, and the final state of a path jumps as $\lambda$ changes.
    Derivatives of `solve` by `Lines` see these jumps; those of `simulate` miss them and may lose most of the slope
    after many steps. Derivatives are clipped to the interval of the slopes to both neighbours; `mismatch` reports the
    largest correction.

    **Arguments:**

    - `run`: theory or simulation, a function of model, cue and key that returns an `OrderParameters`, such as
      `lambda model, cue, key: hj.dmft.solve(model, cue, num_steps=60, num_shifts=1, key=key, throw=False)`; one shift
      or network per key is enough.
    - `model`: its kernel has a `strength`, which is ignored. `cue`.
    - `key`, `num_repeats`: random key, and the number of independent repeats.
    - `lower`, `upper`: bounds of $\lambda$.
    - `measure`: the maximised number, a function of a run (itself a function of model and cue), model and cue:
      `final_overlap`, or `lambda run, model, cue: hj.dmft.largest_load(run, model, cue, throw=False).value`.
    - `num_strengths`: per round, at least 3. `num_rounds`: each further round divides the spacing by half of that.
    - `value_and_grad`: as in `hopfield_jax.tune`. `progress`: whether to show a progress bar on a terminal. `throw`:
      whether to raise on failure; otherwise the code is in `result`.

    **Returns:** an `OptimalStrength`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`: `not_finite` if the
    measure is finite at fewer than two strengths, `edge_of_domain` if the best strength is next to one where it is not
    finite, `flat` if it is constant. Simulations of discontinuous units (`Sign`, `Glauber`) raise: use
    `scan_strength`.

    ```python
    import jax
    import hopfield_jax as hj


    def run(model, cue, key):
        return hj.dmft.solve(model, cue, key=key, num_steps=8, num_samples=2048, num_shifts=1, throw=False)


    model = hj.dmft.PlasticNetwork(load=0.1, units=hj.LogCosh(beta=4.0), kernel=hj.dmft.LeakyHebbian(0.0, tau=5.0))
    best = hj.dmft.optimal_strength(run, model, hj.dmft.SpinCue(0.5), key=jax.random.key(0), num_strengths=5)
    assert 0.2 < best.lower < best.strength < best.upper < 0.8
    ```
    """
    if not callable(run):
        fail("run", "a function of model, cue and key", kind(run))
    check_model(model, cue)
    if not hasattr(model.kernel, "strength"):
        fail("model", "a kernel with a strength", kind(model.kernel))
    key_fits("key", key)
    at_least("num_strengths", num_strengths, 3)
    at_least("num_rounds", num_rounds, 1)
    at_least("num_repeats", num_repeats, 1)
    lower, upper = as_real("lower", lower), as_real("upper", upper)
    if not (is_concrete(lower) and is_concrete(upper) and float(lower) < float(upper)):
        fail("upper", f"a strength above lower = {lower}", upper)

    keys = jr.split(key, num_repeats)
    strengths, values, gradients = np.zeros(0), np.zeros((0, num_repeats)), np.zeros((0, num_repeats))
    low, high = float(lower), float(upper)
    with progress_bar(num_rounds * num_strengths * num_repeats, "runs", show=progress) as advance:
        for _ in range(num_rounds):
            new = np.setdiff1d(np.linspace(low, high, num_strengths).astype(lower.dtype), strengths)
            found = np.full((2, len(new), num_repeats), np.nan)
            for i, j in np.ndindex(len(new), num_repeats):
                found[:, i, j] = _at(run, measure, value_and_grad, model, cue, jnp.asarray(new[i]), keys[j])
                advance(1)
            order = np.argsort(np.concatenate([strengths, new]))
            strengths = np.concatenate([strengths, new])[order]
            values, gradients = (np.concatenate(x)[order] for x in ((values, found[0]), (gradients, found[1])))
            curves = _curves(strengths, values, gradients)
            if curves is None:
                break
            best = _best(curves)[0]
            low = max(strengths[strengths < best], default=float(lower))
            high = min(strengths[strengths > best], default=float(upper))
    where = conditions(lambda model, cue: run(model, cue, key), model, cue, without="kernel.strength")
    return _answer(strengths, values, gradients, float(lower), float(upper), where, throw)


@eqx.filter_jit
def _at(run, measure, value_and_grad, model, cue, strength: Array, key: PRNGKey) -> tuple[Array, Array]:
    def value(strength: Array) -> Scalar:
        changed = eqx.tree_at(lambda m: m.kernel.strength, model, strength)
        return measure(lambda model, cue: run(model, cue, key), changed, cue)

    return value_and_grad(value)(strength)


def _curves(strengths: np.ndarray, values: np.ndarray, gradients: np.ndarray) -> Any:
    """A cubic spline per repeat through the strengths at which all repeats are finite; `None` for fewer than two."""
    from scipy.interpolate import CubicHermiteSpline  # imported lazily: slower to import than the rest of the library

    fine = np.all(np.isfinite(values) & np.isfinite(gradients), axis=1)
    if fine.sum() < 2:
        return None
    x, y = strengths[fine], values[fine]
    return CubicHermiteSpline(x, y, np.clip(gradients[fine], *_slopes(x, y)), extrapolate=False)


def _slopes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smaller and the larger of the slopes to both neighbours; at an end, the slope to its only neighbour, extended
    by the change to the next slope."""
    chords = np.diff(y, axis=0) / np.diff(x)[:, None]
    first, last = (2 * chords[:1] - chords[1:2], 2 * chords[-1:] - chords[-2:-1]) if len(x) > 2 else (chords, chords)
    both = np.concatenate([first, chords]), np.concatenate([chords, last])
    return np.minimum(*both), np.maximum(*both)


def _best(curves: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """The maximum of the mean curve; the evaluated strengths, and all curves there."""
    grid = np.unique(np.concatenate([np.linspace(*ends, _FINE) for ends in itertools.pairwise(curves.x)]))
    heights = curves(grid)
    return grid[np.argmax(heights.mean(axis=1))], grid, heights


def _answer(strengths, values, gradients, lower, upper, setting, throw) -> OptimalStrength:
    curves, repeats = _curves(strengths, values, gradients), values.shape[1]
    flat = not np.any(gradients) and np.ptp(values) == 0
    best = low = high = value = error = mismatch = np.nan
    at_bound = edge = False
    if curves is not None and not flat:
        best, grid, heights = _best(curves)
        top = np.argmax(heights.mean(axis=1))
        below = heights[top] - heights
        error, value, low, high = np.inf, heights[top].mean(), lower, upper
        if repeats > 1:
            from scipy.stats import t

            error = heights[top].std(ddof=1) / np.sqrt(repeats)
            limit = t.ppf(0.975, repeats - 1) * below.std(axis=1, ddof=1) / np.sqrt(repeats)
            worse = below.mean(axis=1) > limit
            low = grid[np.flatnonzero(worse[:top])[-1] + 1] if worse[:top].any() else grid[0]
            high = grid[top + np.flatnonzero(worse[top:])[0] - 1] if worse[top:].any() else grid[-1]
        at_bound = best in (strengths[0], strengths[-1])
        edge = not at_bound and best in (curves.x[0], curves.x[-1])
        mean, slope = values.mean(axis=1, keepdims=True), gradients.mean(axis=1, keepdims=True)
        near = (strengths >= low) & (strengths <= high)
        near |= np.isin(strengths, sorted(strengths, key=lambda x: abs(x - best))[:5])
        least, most = (x[near] for x in _slopes(strengths, mean))
        outside = np.maximum(least - slope[near], slope[near] - most)
        mismatch = np.nanmax(outside, initial=0) / max(np.nanmax(np.abs([least, most]), initial=0), 1e-30)
    dtype = as_inexact(1.0).dtype
    number = lambda x: jnp.asarray(x, dtype)  # noqa: E731
    out = OptimalStrength(
        strength=number(best),
        lower=number(low),
        upper=number(high),
        value=number(value),
        value_error=number(error),
        at_bound=jnp.array(bool(at_bound)),
        strengths=number(strengths),
        values=number(values),
        gradients=number(gradients),
        mismatch=number(mismatch),
        setting=setting,
        result=outcome(
            (jnp.array(bool(edge)), RESULTS.edge_of_domain),
            (jnp.array(curves is None), RESULTS.not_finite),
            (jnp.array(bool(flat)), RESULTS.flat),
        ),
    )
    return raise_unless_okay(out, out.result) if throw else out
