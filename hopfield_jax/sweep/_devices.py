"""Computes blocks on local devices: compiled once, a block on each device at a time, the next ones in flight."""

import collections
import concurrent.futures as cf
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ._grid import Block, Tiling
from ._job import Job, outputs_of
from ._names import STATUS
from ._program import Program
from ._store import FINITE, NOT_FINITE, RAISED, Store, missing

Device = Any
"""A `jax.Device`."""
IN_FLIGHT = 2
"""Blocks in flight on a device: one runs while the other is fetched and written."""


class Worker:
    """Computes a block on each of its devices at once, with programs that are compiled once for all of them."""

    def __init__(
        self, job: Job, programs: Mapping[tuple[int, ...], Program], tiling: Tiling, devices: Sequence[Device]
    ):
        self.job, self.programs, self.tiling, self.devices = job, programs, tiling, tuple(devices)
        self.outputs = outputs_of(programs)
        self.compiled: dict[tuple[tuple[int, ...], int], Any] = {}
        self.constants: dict[tuple[int, ...], Any] = {}

    def compile(self, choices: Iterable[tuple[int, ...]], size: int | None = None) -> None:
        """Lowers one after the other in this thread (JAX's settings are thread-local); compiles in parallel."""
        size = size or self.tiling.block_size
        lowered = {x: self.programs[x].lower(size, self.devices) for x in choices}
        with cf.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            compiled = pool.map(lambda x: x.compile(), lowered.values())
            self.compiled |= {(choice, size): x for choice, x in zip(lowered, compiled, strict=True)}

    def program(self, choice: tuple[int, ...], size: int) -> Any:
        if (choice, size) not in self.compiled:
            self.compile([choice], size)
        if choice not in self.constants:
            everywhere = self.compiled[choice, size].input_shardings[0][0]
            self.constants[choice] = jax.device_put(self.programs[choice].jaxpr.consts, everywhere)
        return self.compiled[choice, size]

    def start(self, blocks: Sequence[Block], points: slice | None = None, size: int | None = None) -> Any:
        """Dispatches blocks of one choice asynchronously, or some of their points in a smaller program; an error is
        returned. Devices without a block of their own repeat the last one."""
        choice, size = self.job.choice_of(blocks[0]), size or self.tiling.block_size
        given = [self.tiling.indices(block) for block in (*blocks, *[blocks[-1]] * (len(self.devices) - len(blocks)))]
        tags, numbers = [], []
        for axis, each in zip(self.job.grid.axes, zip(*given, strict=True), strict=True):
            at = np.concatenate([np.resize(x[points or slice(None)], size) for x in each])
            if self.job.key_data is not None and axis.name in self.job.random_axes:
                tags.append(axis.tags[at])
            if not axis.is_choice:
                numbers.append(np.asarray(axis.values)[at])
        key = [] if self.job.key_data is None else [self.job.key_data]
        program = self.program(choice, size)
        try:
            with jax.debug_nans(False):  # NaN points are recorded in the status
                return program(self.constants[choice], key, tags, numbers)
        except RuntimeError as error:
            return error

    def finish(self, blocks: Sequence[Block], running: Any) -> list[tuple[dict[str, np.ndarray], str]]:
        """Of each block the outputs with the status of its points, and the first error message, or an empty one."""
        size = self.tiling.block_size
        found, message = self._fetch(running)
        if found is None and "RESOURCE_EXHAUSTED" in message:
            size = -(-size // 4)  # retries the blocks in four parts
            found, message = self._in_parts(blocks, size)
            if found is None and "RESOURCE_EXHAUSTED" in message:
                raise MemoryError(
                    f"`block_size`: {self.tiling.block_size} points do not fit the memory of {self.devices[0]}, nor "
                    f"does a quarter of them. Take fewer, or give `memory`. ({message})"
                )
        if found is None and len(blocks) > 1:  # which of them?
            return [one for block in blocks for one in self.finish([block], self.start([block]))]
        if found is None:
            found, message = self._in_parts(blocks, 1)
        if found is None:
            raise MemoryError(f"`memory`: not even one point fits the memory of {self.devices[0]}. ({message})")
        return [({name: x[i] for name, x in found.items()}, message) for i in range(len(blocks))]

    def _fetch(self, running: Any) -> tuple[Any, str]:
        """Outputs by name, each with leading axes (devices, points), or the message of an error."""
        try:
            if isinstance(running, Exception):
                raise running
            arrays = [np.asarray(x) for x in running]
        except RuntimeError as error:
            return None, _first_line(error)
        values = [x.reshape(len(self.devices), -1, *x.shape[1:]) for x in arrays]
        fine = np.ones(values[0].shape[:2], bool)
        for x in values:
            if x.dtype.kind == "f":
                fine &= np.isfinite(x).reshape(*fine.shape, -1).all(axis=2)
        found = dict(zip(self.outputs, values, strict=True))
        return found | {STATUS: np.where(fine, FINITE, NOT_FINITE).astype(np.int8)}, ""

    def _in_parts(self, blocks: Sequence[Block], size: int) -> tuple[Any, str]:
        """Blocks in parts of `size` points; a single point that raises gets fill values."""
        parts, first, many = [], "", len(self.devices)
        for start in range(0, self.tiling.block_size, size):
            points = slice(start, min(start + size, self.tiling.block_size))
            found, message = self._fetch(self.start(blocks, points, size))
            if found is None and (size > 1 or "RESOURCE_EXHAUSTED" in message):
                return None, message
            if found is None:
                first = first or message
                found = {n: np.full((many, 1, *o.shape), missing(o.dtype), o.dtype) for n, o in self.outputs.items()}
                found |= {STATUS: np.full((many, 1), RAISED, np.int8)}
            parts.append({name: x[:, : points.stop - points.start] for name, x in found.items()})
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}, first


def _first_line(error: Exception) -> str:
    """First line of an error message; for a Python callback, the line after the traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if lines[0].rstrip().endswith("Traceback (most recent call last):"):
        lines = [line for line in lines[1:] if not line.startswith(" ")] or lines
    return lines[0]


@dataclasses.dataclass(frozen=True)
class Report:
    """Numbers of points of a block that are not finite or raised, and the first error message."""

    block: Block
    points: int
    not_finite: int
    raised: int
    message: str


def compute(worker: Worker, blocks: Sequence[Block], store: Store) -> Iterator[Report]:
    """Computes and writes all blocks, as many at once as there are devices, two such rounds in flight."""
    waiting = _rounds(blocks, worker)
    running: collections.deque[tuple[list[Block], Any]] = collections.deque()

    def fill() -> None:
        while waiting and len(running) < IN_FLIGHT:
            these = waiting.popleft()
            running.append((these, worker.start(these)))

    fill()
    while running:
        these, outputs = running.popleft()
        finished = worker.finish(these, outputs)
        del outputs
        fill()  # keeps the devices busy while these blocks are written
        for block, (values, message) in zip(these, finished, strict=True):
            try:
                store.write(block, values)
            except OSError as error:
                raise OSError(
                    f"`store`: block {block} could not be written to {store.where} ({error.strerror or error}). "
                    "Finished blocks are kept: the same call goes on from there."
                ) from error
            status = worker.tiling.inside(block, values[STATUS])
            yield Report(block, status.size, int(np.sum(status == NOT_FINITE)), int(np.sum(status == RAISED)), message)


def _rounds(blocks: Sequence[Block], worker: Worker) -> collections.deque[list[Block]]:
    """Blocks of one choice for all devices at once, in the order in which they are given."""
    alike, number = collections.defaultdict(list), len(worker.devices)
    for place, block in enumerate(blocks):
        alike[worker.job.choice_of(block)].append((place, block))
    rounds = sorted(found[i : i + number] for found in alike.values() for i in range(0, len(found), number))
    return collections.deque([block for _, block in these] for these in rounds)
