"""The search: a log of all evaluations, and drivers for the two kinds of methods."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix as optx

from .._checks import fail
from .._types import Array
from ._scales import Scales

_PATIENCE = 20  # consecutive evaluations that are not finite, each halfway back to the last finite point
_FIRST_STEP = 0.3  # first step of optimistix minimisers, in units of the scales
_SMALL_CHANGE = 1e-6  # relative change of the objective at which they stop


class Repeats(NamedTuple):
    """Value, shape (repeats,), and gradient, shape (repeats, n), of every repeat."""

    values: Array
    gradients: Array

    @property
    def mean(self) -> tuple[Array, Array]:
        return jnp.mean(self.values), jnp.mean(self.gradients, axis=0)

    @property
    def vanishes(self) -> bool:
        """Whether every entry of the gradient is within two of its standard errors of zero."""
        number = len(self.values)
        if number == 1:
            return False
        error = jnp.std(self.gradients, axis=0, ddof=1) / number**0.5
        return bool(jnp.all(jnp.abs(self.mean[1]) <= 2 * error))


class Log:
    """Evaluates objective and gradient, and records all evaluations and the best."""

    def __init__(self, repeated: Callable[[Array], Repeats], scales: Scales):
        self.repeated, self.scales = repeated, scales
        self.values: list[float] = []
        self.path: list[np.ndarray] = []
        self.count = self.not_finite = 0
        self.best: tuple[Array, float, Array] | None = None
        self.last: tuple[Array, float, Array] | None = None
        self.at_edge = False
        self.steepness = 1.0  # largest slope found near the start
        self.vanishes = False  # whether the last gradient is zero within its errors

    @property
    def end(self) -> tuple[Array, float, Array] | None:
        """The best evaluation, or the last one if it is as good within rounding."""
        if self.best is None or self.last is None:
            return self.best
        rounding = 4 * float(jnp.finfo(self.last[0].dtype).eps) * abs(self.best[1])
        return self.last if self.last[1] <= self.best[1] + rounding else self.best

    def probe(self, u: Array) -> tuple[Repeats, bool]:
        """Values and gradients in u, and whether their means are finite."""
        repeats = self.repeated(u)
        value, gradient = repeats.mean
        self.count += 1
        fine = bool(jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)))
        self.not_finite += not fine
        return repeats, fine

    def evaluate(self, u: Array) -> tuple[float, Array, bool]:
        """Value and gradient in u, and whether both are finite; updates the best."""
        repeats, fine = self.probe(u)
        value, gradient = repeats.mean
        self.vanishes = repeats.vanishes
        if fine and (self.best is None or float(value) < self.best[1]):
            self.best = u, float(value), gradient
        return float(value), gradient, fine

    def __call__(self, u: Array) -> bool:
        """`evaluate`, recorded as a step of the path."""
        value, _, fine = self.evaluate(u)
        self.values.append(value if fine else float("nan"))
        self.path.append(np.asarray(self.scales.outside(u)))
        return fine


def descend(log: Log, u: Array, method: Any, num_steps: int, tolerance: float, advance: Callable) -> bool:
    """Steps of an optax optimiser, halved while the objective is not finite."""
    state = method.init(u)
    value, gradient, _ = log.evaluate(u)
    steepest = 0.0

    def settled() -> bool:
        nonlocal steepest
        slope = float(jnp.max(jnp.abs(gradient)))
        steepest = max(slope, steepest)
        return slope <= tolerance * steepest

    for _ in range(num_steps):
        if settled():
            return True
        target, state = _move(method, log.repeated, u, state, jnp.asarray(value, u.dtype), gradient)
        for halvings in range(_PATIENCE):  # noqa: B007
            value, new, fine = log.evaluate(target)
            log.values.append(value if fine else float("nan"))
            log.path.append(np.asarray(log.scales.outside(target)))
            if fine:
                break
            target = 0.5 * (target + u)
        else:
            log.at_edge = True
            return False
        log.at_edge = halvings > 0
        u, gradient = target, new
        log.last = u, value, gradient
        advance(1)
    return settled() or log.vanishes


@eqx.filter_jit
def _move(method: Any, repeated: Any, u: Array, state: Any, value: Array, gradient: Array) -> tuple[Any, Any]:
    with jax.numpy_dtype_promotion("standard"):  # which optax relies on
        extra = {"value": value, "grad": gradient, "value_fn": lambda u: repeated(u).mean[0]}  # for line searches
        updates, state = optax.with_extra_args_support(method).update(gradient, state, u, **extra)
        return optax.apply_updates(u, updates), state


def minimise(log: Log, u: Array, method: Any, num_steps: int, tolerance: float, advance: Callable) -> bool:
    """An optimistix minimiser with its own tolerances; only its end is logged."""
    options, first = None, u
    if type(method).__name__ == "GoldenSearch":  # for one scalar in an interval
        if u.size != 1 or not bool(jnp.all(jnp.isfinite(log.scales.upper - log.scales.lower))):
            fail("method", "a golden-section search for one parameter between two bounds", f"{u.size} numbers")
        options, first = {"lower": -0.5 * jnp.pi, "upper": 0.5 * jnp.pi}, u[0]
    base = log.repeated(u).mean[0]
    # Scales the first step to `_FIRST_STEP`, but keeps rounding below the smallest change.
    rounding = 4 * jnp.finfo(u.dtype).eps * jnp.abs(base)
    scale = jnp.minimum(_FIRST_STEP / log.steepness, jnp.maximum(_SMALL_CHANGE / jnp.maximum(rounding, 1e-30), 1))
    found = optx.minimise(
        _scaled, method, first, (log.repeated, base, scale), options=options, max_steps=num_steps, throw=False
    )
    log.count += int(found.stats["num_steps"])
    log(jnp.atleast_1d(found.value))
    if found.result == optx.RESULTS.successful or log.end is None:
        return bool(found.result == optx.RESULTS.successful)
    return float(jnp.max(jnp.abs(log.end[2]))) <= tolerance * log.steepness  # if rounding prevented convergence


@eqx.filter_custom_jvp  # the minimiser gets this gradient in either mode
def _scaled(x: Array, args: tuple[Any, Array, Array]) -> Array:
    """The objective scaled so that the first gradient step is a fraction of the parameters' scales, since minimisers
    stop at absolute changes of both."""
    repeated, base, scale = args
    return scale * (repeated(jnp.atleast_1d(x)).mean[0] - base)


@_scaled.def_jvp
def _(primals, tangents):
    x, (repeated, base, scale) = primals
    value, gradient = repeated(jnp.atleast_1d(x)).mean
    return scale * (value - base), scale * jnp.sum(gradient * jnp.atleast_1d(tangents[0]))
