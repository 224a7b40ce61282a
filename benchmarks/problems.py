"""What is to be measured: problems, what they are compared with, rows and curves to be."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from limits import Work

Error = Callable[[Any, Any], float]
"""How far two results are apart: of ours and of the other side."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One side of a comparison. `compiled`: a program of JAX, else called as it is. `part`: the share of the problem
    that it does; its times are divided by it. `release`: what ends it. `about`: compile time (s) and planned memory
    (bytes) of what is not compiled here."""

    function: Callable
    arguments: tuple = ()
    compiled: bool = True
    part: float = 1.0
    release: Callable[[], None] | None = None
    about: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What to compare with. `error` and `tolerance`: how far results may be apart; None for a bound, which has no
    result of its own. `timed`: else there are only numbers to agree with. `rival`: another way to the same answer; a
    row of which one is quicker is printed in bold."""

    name: str
    side: Call | Callable[[], Call]
    error: Error | None = None
    tolerance: float = 0.0
    timed: bool = True
    rival: bool = True


@dataclasses.dataclass(frozen=True)
class Problem:
    ours: Call
    baselines: tuple[Baseline, ...] = ()


@dataclasses.dataclass(frozen=True)
class Bench:
    """A row to be: `make` builds its problem only when its turn comes.

    `count`: what a time is divided by to be the time of one `unit`, for the row's text and for curves. `work`: a model
    of what must be done at least. `wide`: in float64. `marginal`: the first baseline is a smaller problem, whose time
    is subtracted from ours.
    """

    name: str
    what: str
    size: str
    make: Callable[[], Problem]
    work: Work | None = None
    count: float = 1.0
    unit: str = ""
    wide: bool = False
    marginal: bool = False


@dataclasses.dataclass(frozen=True)
class Scaling:
    """A curve: time (or, with `rate`, number a second) of one unit against `x`. `order`: the slope to compare with."""

    panel: str
    label: str
    x: str
    points: tuple[tuple[float, Bench], ...]
    order: float | None = None
    rate: bool = False


class Missing(Exception):
    """A baseline that is not there, which is no failure."""


def largest(a: Any, b: Any) -> float:
    """The largest difference of two trees of arrays."""
    apart = [
        np.max(np.abs(np.asarray(x, float) - np.asarray(y, float)))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    ]
    return float(max(apart))
