"""The computation of a sweep, and everything that determines its numbers."""

import contextlib
import dataclasses
import importlib.metadata
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._checks import fail, kind
from .._types import PRNGKey
from ._grid import Block, Grid
from ._program import Output, Point, Program, trace


@dataclasses.dataclass(frozen=True)
class Job:
    """The computation of a sweep; picklable if the function and the choices are."""

    point: Point
    grid: Grid
    key_data: np.ndarray | None
    key_impl: str | None
    random_axes: tuple[str, ...]

    @staticmethod
    def of(point: Point, grid: Grid, key: PRNGKey | None, random_axes: Sequence[str] | None) -> "Job":
        if not callable(point):
            fail("point", "a function", kind(point))
        if not isinstance(grid, Grid):
            fail("grid", "a hopfield_jax.sweep.Grid", kind(grid))
        if isinstance(random_axes, str) or not isinstance(random_axes, Iterable | None):
            fail("random_axes", "a list of names", repr(random_axes))
        names = grid.random_axes if random_axes is None else tuple(random_axes)
        for name in names:
            if name not in grid.names:
                fail("random_axes", f"names out of {', '.join(grid.names)}", repr(name))
        names = tuple(name for name in grid.names if name in names)  # the order affects the random numbers
        for axis in grid.axes:
            if axis.name in names and len(np.unique(axis.tags)) < len(axis):
                fail(axis.name, "values of a random axis that differ in 32 bits", axis.summary)
        if key is None:
            if names and random_axes is not None:
                fail("key", "a random key, since there are random axes", None)
            return Job(point, grid, None, None, names)
        return Job(point, grid, *_parts(key), names)

    @property
    def key(self) -> PRNGKey | None:
        return None if self.key_data is None else jr.wrap_key_data(jnp.asarray(self.key_data), impl=self.key_impl)

    @property
    def choices(self) -> list[tuple[int, ...]]:
        """All combinations of static choices, one index per axis of choices."""
        return list(itertools.product(*(range(len(axis)) for axis in self.grid.axes if axis.is_choice)))

    def choice(self, index: tuple[int, ...]) -> dict[str, Any]:
        axes = (axis for axis in self.grid.axes if axis.is_choice)
        return {axis.name: axis.values[i] for axis, i in zip(axes, index, strict=True)}

    def choice_of(self, block: Block) -> tuple[int, ...]:
        """The static choice of a block, as in `choices`."""
        return tuple(i for i, axis in zip(block, self.grid.axes, strict=True) if axis.is_choice)

    def trace(self) -> dict[tuple[int, ...], Program]:
        """Traces the function once per choice.

        **Raises:** `ValueError` if tracing fails, or if outputs differ between choices.
        """
        programs: dict[tuple[int, ...], Program] = {}
        for index in self.choices:
            programs[index] = program = trace(self.point, self.grid, self.choice(index), self.key, self.random_axes)
            first = programs[self.choices[0]]
            for name in {**first.outputs, **program.outputs}:
                one, other = first.outputs.get(name), program.outputs.get(name)
                if one != other:
                    labels = ", ".join(f"{n} = {x!r:.60}" for n, x in self.choice(index).items())
                    fail(name, f"the same output at every choice ({_say(one)})", f"{_say(other)} at {labels}")
        return programs

    def configuration(self, programs: Mapping[tuple[int, ...], Program]) -> dict[str, Any]:
        """Everything that determines the numbers, as text and checksums."""
        outputs = outputs_of(programs)
        made, key = self.key, "none"
        if made is not None:  # with some random bits: JAX has several generators
            key = f"{self.key_impl} {jr.key_data(made).tolist()}, first bits {jr.bits(made, (3,)).tolist()}"
        return {
            "axis": {axis.name: axis.summary for axis in self.grid.axes},
            "key": key,
            "random axes": ", ".join(self.random_axes),
            "output": {name: _say(output) for name, output in outputs.items()},
            "function (checksum)": {str(i): program.fingerprint[:16] for i, program in programs.items()},
            "version of": _versions(),
        }


def _parts(key: Any) -> tuple[np.ndarray, str]:
    """Data and implementation of one key."""
    if not isinstance(key, jax.Array | np.ndarray):
        fail("key", "a key of jax.random.key", repr(key))
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not typed and (key.shape != (2,) or key.dtype != np.uint32):
        fail("key", "a key of jax.random.key", f"an array of type {key.dtype}, shape {key.shape}")
    typed_key = key if typed else jr.wrap_key_data(jnp.asarray(key))
    if typed_key.shape:
        fail("key", "one key", f"shape {typed_key.shape}")
    name = str(jr.key_impl(typed_key))
    if "rbg" in name:
        fail("key", "a key whose numbers do not depend on how many are drawn at once, such as threefry2x32", name)
    return np.asarray(jr.key_data(typed_key)), name


def outputs_of(programs: Mapping[tuple[int, ...], Program]) -> dict[str, Output]:
    """The outputs, which do not depend on the choice."""
    return next(iter(programs.values())).outputs


def _say(output: Output | None) -> str:
    return "none" if output is None else f"{output.dtype} of shape {output.shape}"


def _versions() -> dict[str, str]:
    found = {}
    for name in ("hopfield-jax", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
