"""Grids of named axes, and their division into blocks."""

import dataclasses
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from .._checks import at_least, describe, fail
from .._misc import default_float
from ._names import RESERVED

Block = tuple[int, ...]
"""Index of a block along every axis."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a grid. `values`: passed to the point; `labels`: coordinates of the result, numbers or names."""

    name: str
    values: Any
    labels: np.ndarray
    is_choice: bool = False
    is_replicate: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tags(self) -> np.ndarray:
        """The integer that random keys fold in for every coordinate; independent of the other coordinates."""
        if self.is_choice:
            return np.array([zlib.crc32(str(label).encode()) for label in self.labels], np.uint32)
        if np.issubdtype(self.labels.dtype, np.integer):
            return self.labels.astype(np.int64).astype(np.uint32)
        return (self.labels + 0.0).astype(np.float32).view(np.uint32)  # -0.0 becomes 0.0

    @property
    def summary(self) -> str:
        """A short description of the axis; with a checksum if not all values are listed."""
        if self.is_choice:
            return "choices " + ", ".join(self.labels.tolist())
        if len(self) <= 4:
            return "values " + ", ".join(map(str, self.values.tolist()))
        seen = f"{len(self)} values from {self.values[0]:.6g} to {self.values[-1]:.6g}"
        return f"{seen} (checksum {zlib.crc32(np.ascontiguousarray(self.values).tobytes()):08x})"


class Grid:
    """The points of a sweep: all combinations of the values of named axes, the last axis fastest.

    **Arguments:** one keyword argument per axis:

    - numbers in increasing order, shape (points,): integers stay integers, all others are cast to the default float;
    - an integer n: n replicates, numbered from 0, that differ in their random numbers (`hopfield_jax.sweep.run`);
    - a list of other objects, or a dictionary from names to objects: static choices, such as units, kernels or `True`
      and `False`. A program is compiled for each choice. The names are labels in the result; in a list they are
      `str(x)` of strings and booleans, otherwise the name of the function or of the object's class.

    **Raises:** `ValueError` that names the axis, for axes that are empty, unordered, duplicate or not finite, and for
    choices with equal names.

    ```python
    import numpy as np
    import hopfield_jax as hj

    units = {"tanh": hj.LogCosh(), "clip": hj.HardTanh()}
    grid = hj.sweep.Grid(load=np.linspace(0.02, 0.2, 10), units=units, replicate=4)
    assert grid.shape == (10, 2, 4) and grid.size == 80
    ```
    """

    axes: tuple[Axis, ...]

    def __init__(self, /, **axes: Any):
        if not axes:
            fail("axes", "at least one axis", "none")
        for name in axes:
            if not name.isidentifier() or name in RESERVED:
                fail("axes", f"names that are identifiers other than {', '.join(RESERVED)}", repr(name))
        self.axes = tuple(_axis(name, values) for name, values in axes.items())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(len, self.axes))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def random_axes(self) -> tuple[str, ...]:
        """The axes of replicates."""
        return tuple(axis.name for axis in self.axes if axis.is_replicate)

    def __repr__(self) -> str:
        return f"Grid of {self.size} points: " + "; ".join(f"{axis.name}, {axis.summary}" for axis in self.axes)


def _axis(name: str, values: Any) -> Axis:
    if isinstance(values, bool):
        fail(name, "numbers in increasing order, a number of replicates, or a list of choices", repr(values))
    if isinstance(values, int | np.integer):
        at_least(name, values, 1)
        return Axis(name, np.arange(values, dtype=np.int32), np.arange(values), is_replicate=True)
    if isinstance(values, Mapping) or (isinstance(values, list | tuple) and not _are_numbers(values)):
        return _choices(name, values)
    try:
        numbers = np.asarray(values)
        kind = numbers.dtype.kind
    except Exception as error:
        fail(name, "an axis of numbers", f"{type(values).__name__} ({error})")
    if kind not in "iuf" or numbers.ndim != 1:
        got = f"an array of type {numbers.dtype}, shape {numbers.shape}"
        fail(name, "numbers of shape (points,) (for other choices a list or a dictionary)", got)
    if not numbers.size:
        fail(name, "at least one value", "none")
    if not np.all(np.isfinite(numbers)):
        fail(name, "finite numbers", describe(numbers))
    dtype = default_float() if kind == "f" else jax.dtypes.canonicalize_dtype(numbers.dtype)
    kept = numbers.astype(dtype)
    if kind != "f" and np.any(kept.astype(numbers.dtype) != numbers):
        fail(name, f"whole numbers that {dtype} holds (64-bit mode holds more)", describe(numbers))
    if np.any(kept[1:] <= kept[:-1]):  # after the cast: numbers that round to the same value would be duplicates
        at = int(np.argmax(kept[1:] <= kept[:-1]))
        fail(name, f"strictly increasing numbers (as {dtype})", f"{numbers[at]:.9g} followed by {numbers[at + 1]:.9g}")
    return Axis(name, kept, numbers)


def _are_numbers(values: list | tuple) -> bool:
    return all(
        isinstance(x, int | float | np.number | np.ndarray | jax.Array) and not isinstance(x, bool) for x in values
    )


def _choices(name: str, values: Mapping[str, Any] | list | tuple) -> Axis:
    if isinstance(values, Mapping):
        labels, chosen = [str(x) for x in values.keys()], tuple(values.values())
    else:
        labels, chosen = [_called(x) for x in values], tuple(values)
    if not chosen:
        fail(name, "at least one value", "none")
    if len(set(labels)) < len(labels):
        fail(name, "choices with different names (give a dictionary from names to choices)", ", ".join(labels))
    return Axis(name, chosen, np.array(labels, dtype=np.str_), is_choice=True)


def _called(x: Any) -> str:
    if x is None or isinstance(x, str | bool | int | float | np.generic):
        return str(x)
    return getattr(x, "__name__", type(x).__name__)


# --- blocks ---


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A grid divided into blocks of one shape; the last blocks along an axis may need padding."""

    shape: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Number of blocks along every axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    @property
    def block_size(self) -> int:
        return math.prod(self.block)

    def blocks(self) -> Iterator[Block]:
        return itertools.product(*map(range, self.numbers))

    def slices(self, block: Block) -> tuple[slice, ...]:
        """The part of the grid that a block covers."""
        return tuple(slice(i * b, min(n, (i + 1) * b)) for i, b, n in zip(block, self.block, self.shape, strict=True))

    def indices(self, block: Block) -> tuple[np.ndarray, ...]:
        """Index of every point of a block along every axis, shape (block_size,) each; padding repeats the last one."""
        along = [
            np.minimum(np.arange(i * b, (i + 1) * b), n - 1)
            for i, b, n in zip(block, self.block, self.shape, strict=True)
        ]
        return tuple(x.reshape(-1) for x in np.meshgrid(*along, indexing="ij"))

    def inside(self, block: Block, values: np.ndarray) -> np.ndarray:
        """Reshapes a block's results, leading axis (block_size,), to its part of the grid, without padding."""
        box = values.reshape(*self.block, *values.shape[1:])
        return box[tuple(slice(0, s.stop - s.start) for s in self.slices(block))]


Cost = Callable[..., Any]
"""Expected cost of points in any unit: a function of the axes by name (numbers broadcast against each other)."""


def tile(grid: Grid, largest: int, cost: Cost | None) -> Tiling:
    """Divides a grid into blocks of at most `largest` and more than half as many points, with one choice each.

    Minimises the total time. A block takes its number of points times the cost of its slowest point, plus an overhead
    of a few average points. This groups points of similar cost and avoids padding and small blocks.
    """
    costs = expected_costs(grid, cost)
    lengths = [1 if axis.is_choice else len(axis) for axis in grid.axes]
    least = min(largest, math.prod(lengths)) / 2  # a larger shape exists: each further cut keeps at least half
    extra = float(costs.mean()) * largest / 32

    def boxes(block: Block, slowest: np.ndarray) -> Iterator[tuple[float, Block]]:
        number, size = len(block), math.prod(block)
        if number == len(lengths):
            count = math.prod(Tiling(grid.shape, block).numbers)
            yield float(slowest.sum()) * size + extra * count, block
            return
        length, rest = len(grid.axes[number]), math.prod(lengths[number + 1 :])
        for width in range(1, min(lengths[number], largest // size) + 1):
            parts = -(-length // width)
            if size * width * rest > least and width == -(-length // parts):  # smallest width for this number of parts
                if slowest.shape[number] > 1 and width > 1:
                    yield from boxes(
                        (*block, width), np.maximum.reduceat(slowest, np.arange(0, length, width), axis=number)
                    )
                else:
                    yield from boxes((*block, width), slowest if slowest.shape[number] > 1 else slowest * parts)

    return Tiling(grid.shape, min(boxes((), costs), key=lambda found: found[0])[1])  # ties: undivided last axes


def order_of(grid: Grid, tiling: Tiling, cost: Cost | None) -> list[Block]:
    """All blocks, the most expensive first if a cost is given, so that devices finish at about the same time."""
    if cost is None:
        return list(tiling.blocks())
    costs = np.broadcast_to(expected_costs(grid, cost), grid.shape)
    return sorted(tiling.blocks(), key=lambda block: -float(costs[tiling.slices(block)].max()))


def expected_costs(grid: Grid, cost: Cost | None) -> np.ndarray:
    """Cost of every point, broadcastable to the grid's shape (axes without influence have length 1)."""
    if cost is None:
        return np.ones([1] * len(grid.axes))
    along = {}
    for number, axis in enumerate(grid.axes):
        values = np.empty(len(axis), object) if axis.is_choice else np.asarray(axis.values)
        if axis.is_choice:
            values[:] = axis.values
        along[axis.name] = values.reshape([-1 if i == number else 1 for i in range(len(grid.axes))])
    try:
        costs = np.asarray(cost(**along), dtype=np.float64)
        np.broadcast_to(costs, grid.shape)
    except Exception as error:
        fail("cost", f"a function of {', '.join(grid.names)} that broadcasts", f"{type(error).__name__}: {error}")
    if not np.all(np.isfinite(costs) & (costs > 0)):
        fail("cost", "finite and positive numbers", describe(costs))
    return costs.reshape((1,) * (len(grid.axes) - costs.ndim) + costs.shape)
