"""The boundary of a predicate: bisection along one axis at every point of the others."""

import dataclasses
from collections.abc import Callable
from typing import Any

from .._checks import Rules, at_least, fail, kind
from .._threshold import bisect
from .._types import PRNGKey, ScalarLike
from ._grid import Grid
from ._names import RESERVED
from ._run import run


@dataclasses.dataclass(frozen=True)
class Bisection:
    """The point that `hopfield_jax.sweep.boundary` computes, for `hopfield_jax.sweep.plan`; its arguments are those of
    `boundary`."""

    predicate: Callable[..., Any]
    along: str
    lower: float
    upper: float
    num_iterations: int

    def __post_init__(self):
        if not callable(self.predicate):
            fail("predicate", "a function", kind(self.predicate))
        at_least("num_iterations", self.num_iterations, 1)
        for name, x in (("lower", self.lower), ("upper", self.upper)):
            Rules().real(name, x, "finite")
        if not float(self.lower) < float(self.upper):
            fail("upper", f"a number above lower = {float(self.lower):g}", f"{float(self.upper):g}")

    def __call__(self, *key: PRNGKey, **coordinates: Any) -> dict[str, Any]:
        found = bisect(
            lambda x: self.predicate(*key, **{self.along: x}, **coordinates),
            self.lower,
            self.upper,
            num_iterations=int(self.num_iterations),
            throw=False,
        )
        bracket = {f"{self.along}_lower": found.lower, f"{self.along}_upper": found.upper}
        return {self.along: found.value} | bracket | {"result": found.result}


def boundary(
    predicate: Callable[..., Any],
    grid: Grid,
    *,
    along: str,
    lower: ScalarLike,
    upper: ScalarLike,
    num_iterations: int = 12,
    key: PRNGKey | None = None,
    **options: Any,
) -> Any:
    r"""Finds where a predicate changes along one axis, at every point of a grid of the others.

    n halvings of the interval cost n + 2 runs a point and replace a grid of $2^n$ values. All points are bisected at
    once, as a sweep with its store and devices.

    **Arguments:**

    - `predicate`: `predicate(key, **coordinates)`, without `key` if none is given; the coordinates are the grid's axes
      and `along`. It should change once between the bounds. It may return a pair (value, whether it is decided), and
      the value may be a real number, as in `hopfield_jax.bisect`.
    - `grid`: the other axes.
    - `along`: name of the axis to bisect, from `lower` to `upper`; `num_iterations` halvings.
    - `key`: as in `run`; the random numbers of a point are the same along the bisected axis.
    - `options`: passed to `run`.

    **Returns:** an `xarray.Dataset` over the grid: the boundary under the name `along` (as in `Threshold`; NaN where
    the predicate is the same at both bounds, or undecided), its bracket `{along}_lower` and `{along}_upper`, and the
    code `result`. To plan it, pass `Bisection(predicate, along, lower, upper, num_iterations)` to `plan`.

    **Raises:** `ValueError` for invalid arguments, and as `run`.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    grid = hj.sweep.Grid(saliency=jnp.linspace(1.5, 3.0, 4))
    grows = lambda saliency, gain: hj.sequential.saliency_map(gain, saliency) > saliency
    found = hj.sweep.boundary(grows, grid, along="gain", lower=1.0, upper=8.0, num_iterations=20)
    assert abs(float(found["gain"].sel(saliency=2.0)) - 4.0) < 1e-4  # the smallest of Z²/(Z - 1)
    ```
    """
    if not callable(predicate):
        fail("predicate", "a function", kind(predicate))
    if not isinstance(grid, Grid):
        fail("grid", "a hopfield_jax.sweep.Grid", kind(grid))
    taken = (*grid.names, *RESERVED, "result")
    if not along.isidentifier() or along in taken:
        fail("along", f"an identifier other than {', '.join(taken)}", repr(along))
    point = Bisection(predicate, along, lower, upper, num_iterations)  # validates its arguments
    point = dataclasses.replace(point, lower=float(lower), upper=float(upper))
    return run(point, grid, key=key, **options)
