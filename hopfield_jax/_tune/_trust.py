"""Validation of a search: its gradient against finite differences; curvature and standard errors at its end."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._types import Array
from ._scales import Scales
from ._search import Log, Repeats

MOST_NUMBERS = 16  # largest number of parameters with finite differences of value and gradient
_MOVE = 0.03  # step of the differences, in units of the scales


class Comparison(NamedTuple):
    """Comparison of the gradient with differences: the largest mismatch; whether the objective is constant nearby;
    whether it is lower on one or both sides than the gradient predicts; the largest slope of either."""

    mismatch: float
    flat: bool
    lower: bool
    steepness: float


def compare(log: Log, u: Array) -> Comparison:
    """Compares the gradient with central differences of two step sizes, extrapolated, allowing for rounding, truncation
    (from the difference of the two) and sampling (from the spread over repeats, whose differences have jumps)."""
    repeats, fine = log.probe(u)
    if not fine:
        return Comparison(float("nan"), False, False, 1.0)
    value, gradient = float(repeats.mean[0]), repeats.mean[1]
    worst, flat, lower, steepness = 0.0, bool(jnp.all(gradient == 0)), False, float(jnp.max(jnp.abs(gradient)))
    for axis in range(min(u.size, MOST_NUMBERS)):
        here, slopes = float(gradient[axis]), []
        for length in (_MOVE, 0.5 * _MOVE):
            step = length * jnp.eye(u.size, dtype=u.dtype)[axis]
            (up, fine_up), (down, fine_down) = (log.probe(x) for x in (u + step, u - step))
            above, below = (float(jnp.mean(x.values)) for x in (up, down))
            flat &= above == value == below
            # Rounding at a zero of the objective is that of nearby values; that of the argument acts by their slope.
            slope = np.nanmax(np.abs([above - value, below - value])) / length
            values = np.nanmax(np.abs([above, value, below]))
            rounding = 16 * float(jnp.finfo(u.dtype).eps) * float(values + abs(float(u[axis])) * slope)
            steepness = float(np.nanmax(np.abs([steepness, (above - value) / length, (below - value) / length])))
            noise = _error(np.subtract(up.values, repeats.values)), _error(np.subtract(down.values, repeats.values))
            lower |= min(above, below) < value - 2 * abs(here) * length - rounding - 3 * max(noise)
            if fine_up and fine_down:
                slopes.append(np.subtract(up.values, down.values) / (2 * length))
        if len(slopes) == 2:
            differences = (4 * slopes[1] - slopes[0]) / 3
            difference = float(np.mean(differences))
            error = abs(float(np.mean(slopes[1] - slopes[0]))) + 4 * rounding / _MOVE
            error += 3 * _error(differences - np.asarray(repeats.gradients)[:, axis])
            contradiction = max(abs(difference - here) - error, 0)
            worst = max(worst, contradiction / max(abs(difference), abs(here), 1e-30))
    return Comparison(worst, flat, lower, max(steepness, 1e-30))


def _error(values: np.ndarray) -> float:
    """Standard error of the mean over repeats; 0 for one."""
    return float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def curvature_of(inner: Callable, scales: Scales, p: Array) -> Array:
    """The curvature by differences of the gradient, within the bounds."""
    rows = []
    for axis in range(p.size):
        step = _MOVE * scales.unit * jnp.eye(p.size, dtype=p.dtype)[axis]
        above, below = (jnp.clip(x, scales.lower, scales.upper) for x in (p + step, p - step))
        rows.append((inner(above).mean[1] - inner(below).mean[1]) / (above - below)[axis])
    matrix = jnp.stack(rows)
    return 0.5 * (matrix + matrix.T)


def standard_errors(repeats: Repeats, curvature: Array | None, at_bound: Array) -> tuple[Array, Array]:
    """Standard errors of the minimum's value and location, which moves by H⁻¹ times a perturbation of the gradient."""
    values, gradients = (np.asarray(x, np.float64) for x in repeats)
    number, size = gradients.shape
    error, errors = np.full((), np.inf), np.full(size, np.inf)
    if number > 1:
        error = np.std(values, ddof=1) / np.sqrt(number)
        free = ~np.asarray(at_bound)
        hessian = None if curvature is None else np.asarray(curvature, np.float64)[np.ix_(free, free)]
        if hessian is not None and np.all(np.isfinite(hessian)) and np.all(np.linalg.eigvalsh(hessian) > 0):
            moved = np.linalg.solve(hessian, (gradients - gradients.mean(axis=0))[:, free].T)
            errors[free] = np.std(moved, axis=1, ddof=1) / np.sqrt(number)
        errors[~free] = 0
    return jnp.asarray(error, repeats.values.dtype), jnp.asarray(errors, repeats.values.dtype)
