"""What is measured, one module an area. Each has `benches(options)`, the rows, and `scalings(options)`, the curves."""

import dataclasses
from types import ModuleType

from problems import Bench, Scaling

from . import associative, classical, eager, gradients, plastic, sequences, sweeps, theory

AREAS: tuple[ModuleType, ...] = (associative, plastic, gradients, sequences, theory, classical, eager, sweeps)


@dataclasses.dataclass(frozen=True)
class Options:
    """`quick`: small sizes. `hamux_python`: an interpreter that has HAMUX; None for this one."""

    quick: bool = False
    hamux_python: str | None = None


def benches(options: Options) -> list[Bench]:
    return [bench for area in AREAS for bench in area.benches(options)]


def scalings(options: Options) -> list[Scaling]:
    return [curve for area in AREAS for curve in area.scalings(options)]
