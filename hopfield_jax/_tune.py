"""Tuning: the parameters at which an objective is least, by its gradient, and whether the gradient can be trusted."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import optax
import optimistix as optx
from jax.flatten_util import ravel_pytree

from ._checks import at_least, describe, fail, in_domain, is_concrete
from ._misc import as_inexact
from ._progress import progress_bar
from ._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from ._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, Scalar, ScalarLike

Parameters = Mapping[str, ArrayLike]
Bounds = Mapping[str, tuple[ScalarLike | None, ScalarLike | None]]
ValueAndGradient = Callable[[Callable[[Any], Array]], Callable[[Any], tuple[Array, Any]]]

_PATIENCE = 20  # evaluations in a row that are not finite, each halfway back to the last one that was
_MOVE = 0.03  # of a parameter's scale, by which gradients are compared with differences
_FIRST_STEP = 0.3  # of minimisers of optimistix, in the parameters' scale
_SMALL_CHANGE = 1e-6  # of the objective in its own scale, at which they are told to stop
_MOST_CURVATURES = 16
_CONTRADICTION = 0.1  # mismatch from which on a gradient is not believed


def forward_value_and_grad(function: Callable[[Any], Array]) -> Callable[[Any], tuple[Array, Any]]:
    """As `jax.value_and_grad`, in forward mode: one pass a parameter. For up to about ten parameters; theory and
    simulation of `hopfield_jax.dmft` keep no memory of the way then (an ordinary loop is linearised once, which keeps
    its intermediate values)."""

    def both(parameters: Any) -> tuple[Array, Any]:
        flat, unravel = ravel_pytree(jtu.tree_map(as_inexact, parameters))
        value, push = jax.linearize(lambda x: function(unravel(x)), flat)
        return value, unravel(jax.lax.map(push, jnp.eye(len(flat), dtype=flat.dtype)))

    return both


class Tuning(eqx.Module):
    r"""What `hopfield_jax.tune` returns; dictionaries have the names of the parameters.

    **Attributes:**

    - `parameters`: the best that were found; `value`, `gradient`: of the objective there.
    - `value_error`, `parameter_errors`: with a key, standard errors from the spread of the repeats: of the value, and,
      from that of the gradient and the curvature, of the place (0 at a bound; infinite where the curvature is not
      positive or not known, or for one repeat). `None` without a key.
    - `curvature`: the matrix of second derivatives there, from differences of the gradient, shape (n, n) for n numbers
      in the alphabetical order of the names; `None` for more than 16 of them.
    - `at_bound`: whether each stands at a bound, which a further fall lies beyond.
    - `mismatch`: how much the gradient contradicts central differences of the objective at the start and at the end (in
      the first 16 numbers): their difference beyond rounding and truncation, as a fraction of the larger of the two.
    - `values`, `path`: at the start and after each step, shape (steps + 1,) and (steps + 1, ...); NaN where the
      objective was not finite. Of a minimiser of optimistix only the start and the end.
    - `num_evaluations`: of objective and gradient. `num_not_finite`: those that were not finite.
    - `result`: how it ended.
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


class _Scales(eqx.Module):
    """Free coordinates u of the parameters, in which a unit is a change worth noticing and bounds are met at finite u:
    p = p0 + s (u − 1), l + s(√(1 + u²) − 1), h − s(√(1 + u²) − 1), or (l + h)/2 + (h − l)/2 sin u."""

    start: Array
    lower: Array
    upper: Array

    @property
    def unit(self) -> Array:
        """The scale of each."""
        below, above = self.start - self.lower, self.upper - self.start
        free = jnp.where(self.start == 0, 1, jnp.abs(self.start))
        return jnp.where(jnp.isfinite(below), below, jnp.where(jnp.isfinite(above), above, free))

    def outside(self, u: Array) -> Array:
        unit, low, high = self.unit, jnp.isfinite(self.lower), jnp.isfinite(self.upper)
        # Double `where`, so that the branches not taken leave no NaN in the gradient.
        lower, upper = jnp.where(low, self.lower, 0), jnp.where(high, self.upper, 0)
        grown = unit * (jnp.sqrt(1 + u * u) - 1)
        both = 0.5 * (lower + upper) + 0.5 * (upper - lower) * jnp.sin(u)
        one = jnp.where(low, lower + grown, jnp.where(high, upper - grown, self.start + unit * (u - 1)))
        return jnp.where(low & high, both, one)

    def inside(self) -> Array:
        """u of the start."""
        low, high = jnp.isfinite(self.lower), jnp.isfinite(self.upper)
        width = jnp.where(low & high, self.upper - self.lower, 1)
        both = jnp.arcsin(jnp.clip(2 * (self.start - jnp.where(low, self.lower, 0)) / width - 1, -1, 1))
        return jnp.where(low & high, both, jnp.where(low | high, jnp.sqrt(3.0).astype(both.dtype), 1))

    def at_bound(self, p: Array, gradient: Array) -> Array:
        """Near a bound, within a thousandth of the scale, that the objective falls towards."""
        near = 1e-3 * jnp.where(jnp.isfinite(self.upper - self.lower), self.upper - self.lower, self.unit)
        return ((p - self.lower < near) & (gradient > 0)) | ((self.upper - p < near) & (gradient < 0))


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
    r"""Finds the parameters at which an objective is least.

    Every parameter is moved in a coordinate of its own scale (its first value, or its distance from a bound), in which
    bounds are smooth: those of one side by a square root, of two sides by a sine (as in James and Roos's MINUIT,
    Comput. Phys. Commun. 10, 343 (1975)), so that an optimum at a bound is reached and said to be there. The default is
    Adam with a step that falls from a tenth of the scale to nothing: it needs no line search, and neither the
    objective's scale nor rounding in float32 upset it. For one to three smooth parameters `optimistix.BFGS(1e-4, 1e-6)`
    takes fewer evaluations, and `optimistix.GoldenSearch(1e-3, 1e-6)` (optimistix 0.1 and later) no gradient at all
    for one parameter between two bounds.

    With `key` the objective takes one as well, and its mean over `num_repeats` independent ones is minimised, the same
    at every call (common random numbers): a smooth function with an exact gradient, not a noisy one, and the spread of
    the repeats says how far its minimum is from that of the expectation. The gradient is compared with differences at
    the start and at the end, since automatic differentiation says nothing of jumps and of predicates.

    **Arguments:**

    - `objective`: of the dictionary of parameters, and of a key if there is one; one number, least at the best.
    - `parameters`: names with first values, numbers or arrays.
    - `key`, `num_repeats`: of the objective's randomness.
    - `bounds`: names with pairs (lower, upper), `None` where there is none; the first values lie strictly between.
    - `method`: an optax optimiser or an optimistix minimiser.
    - `value_and_grad`: `jax.value_and_grad` (reverse mode), `hopfield_jax.forward_value_and_grad` for few parameters,
      or anything like them.
    - `num_steps`: most steps of the method.
    - `tolerance`: optax's end is reached when the gradient, in units of the scales, is everywhere smaller than this
      fraction of the largest that was met; minimisers of optimistix have their own.
    - `progress`: whether to show a bar on a terminal. `throw`: whether an unsuccessful end raises; else it is in
      `result`.

    **Returns:** a `Tuning`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`:
    `num_steps_reached`; `flat`, where the objective does not depend on the parameters; `wrong_gradient`, where gradient
    and differences contradict each other; `no_minimum`, at a maximum or a saddle; `not_finite`, where the objective is
    not finite at the start; `edge_of_domain`, beside a region in which it is not finite.

    ```python
    import hopfield_jax as hj

    found = hj.tune(lambda p: (p["x"] - 3.0) ** 2 + p["y"], {"x": 1.0, "y": 2.0}, bounds={"y": (0.5, None)})
    assert abs(found.parameters["x"] - 3) < 5e-3 and abs(found.parameters["y"] - 0.5) < 1e-3  # 1e-3 of the first slope
    assert found.at_bound["y"]
    ```
    """
    start = {name: as_inexact(x) for name, x in parameters.items()}
    if not start:
        fail("parameters", "at least one parameter", "none")
    for name, x in start.items():
        if not is_concrete(x):
            fail(name, "numbers, outside of `jax.jit`: a search is steered from Python", "a traced value")
        if not x.size:
            fail(name, "at least one number", "none")
        in_domain(name, x, "finite")
    if not isinstance(method, optx.AbstractMinimiser) and not (method is None or hasattr(method, "update")):
        fail("method", "an optax optimiser or an optimistix minimiser", repr(method))
    at_least("num_steps", num_steps, 1)
    tolerance = as_inexact(tolerance)
    in_domain("tolerance", tolerance, "positive")
    scales, unravel = _scales(start, bounds or {})
    keys = None
    if key is not None:
        at_least("num_repeats", num_repeats, 1)
        keys = jr.split(key, num_repeats)
    shape = jax.eval_shape(objective, start, *([] if keys is None else [keys[0]]))
    if getattr(shape, "shape", None) != () or not jnp.issubdtype(shape.dtype, jnp.floating):
        fail("objective", "a function that returns one real number", f"{shape}")

    def repeated(outside: Callable[[Array], Array]) -> Callable[[Array], _Repeats]:
        """Values and gradients, one for every key, in coordinates that `outside` takes to the parameters."""

        def one(x: Array, *key: PRNGKey) -> tuple[Array, Array]:
            return value_and_grad(lambda x: objective(unravel(outside(x)), *key))(x)

        def all_of_them(x: Array) -> _Repeats:
            if keys is None:
                return _Repeats(*jtu.tree_map(lambda a: a[None], one(x)))
            return _Repeats(*jax.lax.map(lambda key: one(x, key), keys))

        return eqx.filter_jit(all_of_them)

    inner = repeated(lambda p: p)
    log = _Log(repeated(scales.outside), scales)
    u = scales.inside()
    first = log(u)
    if method is None:
        method = optax.adam(optax.cosine_decay_schedule(0.1, num_steps))
    before = _compare(log, u) if first else _Comparison(float("nan"), False, False, 1.0)
    after, settled = before, False
    if first and not before.flat:
        with progress_bar(num_steps, "steps", show=progress) as advance:
            run = _minimise if isinstance(method, optx.AbstractMinimiser) else _descend
            log.steepness = before.steepness
            settled = run(log, u, method, num_steps, float(tolerance), advance)
        if log.end is not None:
            after = _compare(log, log.end[0])
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


class _Repeats(NamedTuple):
    """Of every repeat, the value, shape (repeats,), and the gradient, shape (repeats, n)."""

    values: Array
    gradients: Array

    @property
    def mean(self) -> tuple[Array, Array]:
        return jnp.mean(self.values), jnp.mean(self.gradients, axis=0)


class _Log:
    """Calls objective and gradient, remembers all of it and the best."""

    def __init__(self, repeated: Callable[[Array], _Repeats], scales: _Scales):
        self.both, self.scales = lambda u: repeated(u).mean, scales
        self.values: list[float] = []
        self.path: list[np.ndarray] = []
        self.count = self.not_finite = 0
        self.best: tuple[Array, float, Array] | None = None
        self.last: tuple[Array, float, Array] | None = None
        self.at_edge = False
        self.steepness = 1.0  # largest slope seen around the start

    @property
    def end(self) -> tuple[Array, float, Array] | None:
        """The best, or the last if it is as good but for rounding."""
        if self.best is None or self.last is None:
            return self.best
        rounding = 4 * float(jnp.finfo(self.last[0].dtype).eps) * abs(self.best[1])
        return self.last if self.last[1] <= self.best[1] + rounding else self.best

    def evaluate(self, u: Array, probe: bool = False) -> tuple[float, Array, bool]:
        """Value and gradient in u, and whether both are finite; the best so far is kept, but for a probe."""
        value, gradient = self.both(u)
        self.count += 1
        fine = bool(jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)))
        self.not_finite += not fine
        if fine and not probe and (self.best is None or float(value) < self.best[1]):
            self.best = u, float(value), gradient
        return float(value), gradient, fine

    def __call__(self, u: Array) -> bool:
        """`evaluate`, as a step of the way."""
        value, _, fine = self.evaluate(u)
        self.values.append(value if fine else float("nan"))
        self.path.append(np.asarray(self.scales.outside(u)))
        return fine


def _descend(log: _Log, u: Array, method: Any, num_steps: int, tolerance: float, advance: Callable) -> bool:
    """Steps of an optax optimiser; one that leads to where the objective is not finite is halved until it is."""

    method = optax.with_extra_args_support(method)

    @jax.jit
    def move(u, state, value, gradient):
        with jax.numpy_dtype_promotion("standard"):  # which optax relies on
            extra = {"value": value, "grad": gradient, "value_fn": lambda u: log.both(u)[0]}  # for line searches
            updates, state = method.update(gradient, state, u, **extra)
            return optax.apply_updates(u, updates), state

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
        target, state = move(u, state, jnp.asarray(value, u.dtype), gradient)
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
    return settled()


def _minimise(log: _Log, u: Array, method: Any, num_steps: int, tolerance: float, advance: Callable) -> bool:
    """A minimiser of optimistix, which has its own tolerances; only its end is logged."""
    options, first, wide = None, u, lambda x: x
    if type(method).__name__ == "GoldenSearch":  # of one scalar, in an interval
        if u.size != 1 or not bool(jnp.all(jnp.isfinite(log.scales.upper - log.scales.lower))):
            fail("method", "a golden-section search for one parameter between two bounds", f"{u.size} numbers")
        options, first, wide = {"lower": -0.5 * jnp.pi, "upper": 0.5 * jnp.pi}, u[0], lambda x: x[None]
    base = log.both(u)[0]
    # As large as makes the first step `_FIRST_STEP`, but not so large that rounding looks like a change.
    rounding = 4 * jnp.finfo(u.dtype).eps * jnp.abs(base)
    scale = jnp.minimum(_FIRST_STEP / log.steepness, jnp.maximum(_SMALL_CHANGE / jnp.maximum(rounding, 1e-30), 1))

    @jax.custom_jvp  # so that the minimiser's gradient is ours, whichever mode it asks for
    def objective(x):
        """In units in which the first step, the gradient, is a fraction of the parameters' scale: minimisers stop at
        changes of either that are small as numbers."""
        return scale * (log.both(wide(x))[0] - base)

    @objective.defjvp
    def _(primals, tangents):
        value, gradient = log.both(wide(primals[0]))
        return scale * (value - base), scale * jnp.sum(gradient * wide(tangents[0]))

    found = optx.minimise(lambda x, _: objective(x), method, first, options=options, max_steps=num_steps, throw=False)
    log.count += int(found.stats["num_steps"])
    log(wide(found.value))
    if found.result == optx.RESULTS.successful or log.end is None:
        return bool(found.result == optx.RESULTS.successful)
    return float(jnp.max(jnp.abs(log.end[2]))) <= tolerance * log.steepness  # rounding kept it from settling


class _Comparison(NamedTuple):
    """Of the gradient with differences: the largest contradiction; whether the objective is the same all around,
    whether it is lower on both or either side than the gradient says, and the steepest slope of either."""

    mismatch: float
    flat: bool
    lower: bool
    steepness: float


def _compare(log: _Log, u: Array) -> _Comparison:
    """Compares the gradient with central differences over two lengths, extrapolated; what rounding and the third
    derivative make of them (how much the two lengths differ) is no contradiction."""
    value, gradient, fine = log.evaluate(u, probe=True)
    if not fine:
        return _Comparison(float("nan"), False, False, 1.0)
    worst, flat, lower, steepness = 0.0, bool(jnp.all(gradient == 0)), False, float(jnp.max(jnp.abs(gradient)))
    for axis in range(min(u.size, _MOST_CURVATURES)):
        here, slopes = float(gradient[axis]), []
        for length in (_MOVE, 0.5 * _MOVE):
            step = length * jnp.eye(u.size, dtype=u.dtype)[axis]
            (above, _, fine_above), (below, _, fine_below) = (log.evaluate(x, True) for x in (u + step, u - step))
            flat &= above == value == below
            # A zero of the objective is rounded as what is around it.
            rounding = 16 * float(jnp.finfo(u.dtype).eps) * float(np.nanmax(np.abs([above, value, below])))
            steepness = float(np.nanmax(np.abs([steepness, (above - value) / length, (below - value) / length])))
            lower |= min(above, below) < value - 2 * abs(here) * length - rounding
            if fine_above and fine_below:
                slopes.append((above - below) / (2 * length))
        if len(slopes) == 2:
            difference = (4 * slopes[1] - slopes[0]) / 3
            error = abs(slopes[1] - slopes[0]) + 4 * rounding / _MOVE
            contradiction = max(abs(difference - here) - error, 0)
            worst = max(worst, contradiction / max(abs(difference), abs(here), 1e-30))
    return _Comparison(worst, flat, lower, max(steepness, 1e-30))


def _result(log, scales, unravel, inner, has_key, mismatch, failures) -> Tuning:
    u = scales.inside() if log.end is None else log.end[0]
    p = scales.outside(u)
    repeats = inner(p)
    value, gradient = repeats.mean
    at_bound = scales.at_bound(p, gradient)
    few = p.size <= _MOST_CURVATURES and log.end is not None
    curvature = _curvature(inner, scales, p) if few else None
    errors = _errors(repeats, curvature, at_bound) if has_key else None
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


def _errors(repeats: _Repeats, curvature: Array | None, at_bound: Array) -> tuple[Array, Array]:
    """Standard errors of the value and of its place: a minimum moves by H⁻¹ times what is added to the gradient."""
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


def _curvature(inner: Callable, scales: _Scales, p: Array) -> Array:
    """By differences of the gradient, within the bounds."""
    rows = []
    for axis in range(p.size):
        step = _MOVE * scales.unit * jnp.eye(p.size, dtype=p.dtype)[axis]
        above, below = (jnp.clip(x, scales.lower, scales.upper) for x in (p + step, p - step))
        rows.append((inner(above).mean[1] - inner(below).mean[1]) / (above - below)[axis])
    matrix = jnp.stack(rows)
    return 0.5 * (matrix + matrix.T)


def _scales(start: dict[str, Array], bounds: Bounds) -> tuple[_Scales, Callable[[Array], dict[str, Array]]]:
    for name in bounds:
        if name not in start:
            fail("bounds", f"names out of {', '.join(start)}", repr(name))
    limits = []
    for name, x in start.items():
        pair = bounds.get(name, (None, None))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            fail("bounds", "a pair (lower, upper) for every name", repr(pair))
        lower = as_inexact(-jnp.inf if pair[0] is None else pair[0])
        upper = as_inexact(jnp.inf if pair[1] is None else pair[1])
        if not bool(jnp.all(lower < upper)):
            fail("bounds", f"a lower bound of {name} below the upper one", f"{describe(lower)} and {describe(upper)}")
        if not bool(jnp.all((lower < x) & (x < upper))):
            fail(name, f"first values strictly between {describe(lower)} and {describe(upper)}", describe(x))
        limits.append([jnp.broadcast_to(b, x.shape) for b in (lower, upper)])
    flat, unravel = ravel_pytree(start)
    lower, upper = (
        ravel_pytree({name: pair[i] for name, pair in zip(start, limits, strict=True)})[0] for i in range(2)
    )
    return _Scales(flat, lower.astype(flat.dtype), upper.astype(flat.dtype)), unravel
