"""Computes blocks on local devices: compiled once per device, two blocks in flight on each."""

import collections
import concurrent.futures as cf
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
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
    """Computes blocks on one device, with programs that are compiled once."""

    def __init__(self, job: Job, programs: Mapping[tuple[int, ...], Program], tiling: Tiling, device: Device):
        self.job, self.programs, self.tiling, self.device = job, programs, tiling, device
        self.outputs = outputs_of(programs)
        self.compiled: dict[tuple[tuple[int, ...], int], Any] = {}
        self.constants: dict[tuple[int, ...], list[jax.Array]] = {}
        self.num_compiled = 0

    def program(self, choice: tuple[int, ...], size: int) -> Any:
        if (choice, size) not in self.compiled:
            self.compiled[choice, size] = self.programs[choice].lower(size, self.device).compile()
            self.num_compiled += 1
        if choice not in self.constants:
            self.constants[choice] = [jax.device_put(x, self.device) for x in self.programs[choice].jaxpr.consts]
        return self.compiled[choice, size]

    def start(self, block: Block, points: slice | None = None, size: int | None = None) -> Any:
        """Dispatches a block asynchronously, or some of its points in a smaller program; an error is returned."""
        choice = self.job.choice_of(block)
        tags, numbers = [], []
        for axis, at in zip(self.job.grid.axes, self.tiling.indices(block), strict=True):
            at = at if points is None else np.resize(at[points], size or 1)
            if self.job.key_data is not None and axis.name in self.job.random_axes:
                tags.append(axis.tags[at])
            if not axis.is_choice:
                numbers.append(np.asarray(axis.values)[at])
        key = [] if self.job.key_data is None else [self.job.key_data]
        program = self.program(choice, size or self.tiling.block_size)
        try:
            with jax.debug_nans(False):  # NaN points are recorded in the status
                return program(self.constants[choice], *jax.device_put((key, tags, numbers), self.device))
        except RuntimeError as error:
            return error

    def finish(self, block: Block, running: Any) -> tuple[dict[str, np.ndarray], str]:
        """The outputs of a block with the status of its points, and the first error message, or an empty one."""
        size = self.tiling.block_size
        found, message = self._fetch(running)
        if found is None and "RESOURCE_EXHAUSTED" in message:
            size = -(-size // 4)  # retries the block in four parts
            found, message = self._in_parts(block, size)
            if found is None and "RESOURCE_EXHAUSTED" in message:
                raise MemoryError(
                    f"`block_size`: {self.tiling.block_size} points do not fit the memory of {self.device}, nor does a "
                    f"quarter of them. Take fewer, or give `memory`. ({message})"
                )
        if found is None:
            found, message = self._in_parts(block, 1)
        if found is None:
            raise MemoryError(f"`memory`: not even one point fits the memory of {self.device}. ({message})")
        return found, message

    def _fetch(self, running: Any) -> tuple[Any, str]:
        try:
            if isinstance(running, Exception):
                raise running
            values = [np.asarray(x) for x in running]
        except RuntimeError as error:
            return None, _first_line(error)
        found = dict(zip(self.outputs, values, strict=True))
        fine = np.ones(len(values[0]), bool)
        for x in values:
            if x.dtype.kind == "f":
                fine &= np.isfinite(x).reshape(len(x), -1).all(axis=1)
        return found | {STATUS: np.where(fine, FINITE, NOT_FINITE).astype(np.int8)}, ""

    def _in_parts(self, block: Block, size: int) -> tuple[Any, str]:
        """A block in parts of `size` points; a single point that raises gets fill values."""
        parts, first = [], ""
        for start in range(0, self.tiling.block_size, size):
            points = slice(start, min(start + size, self.tiling.block_size))
            found, message = self._fetch(self.start(block, points, size))
            if found is None and (size > 1 or "RESOURCE_EXHAUSTED" in message):
                return None, message
            if found is None:
                first = first or message
                found = {n: np.full((1, *o.shape), missing(o.dtype), o.dtype) for n, o in self.outputs.items()}
                found |= {STATUS: np.full(1, RAISED, np.int8)}
            parts.append({name: x[: points.stop - points.start] for name, x in found.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, first


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


def compute(workers: Sequence[Worker], blocks: Sequence[Block], store: Store) -> Iterator[Report]:
    """Computes and writes all blocks; every device works independently."""
    waiting = collections.deque(blocks)
    running: collections.deque[tuple[Worker, Block, Any]] = collections.deque()

    def fill() -> None:
        for worker in workers:
            held = sum(w is worker for w, _, _ in running)
            for _ in range(min(IN_FLIGHT - held, len(waiting))):
                block = waiting.popleft()
                running.append((worker, block, worker.start(block)))

    fill()
    while running:
        number = next((i for i, (_, _, outputs) in enumerate(running) if _is_ready(outputs)), 0)
        worker, block, outputs = running[number]
        del running[number]
        values, message = worker.finish(block, outputs)
        del outputs
        fill()  # keeps the devices busy while this block is written
        try:
            store.write(block, values)
        except OSError as error:
            raise OSError(
                f"`store`: block {block} could not be written to {store.where} ({error.strerror or error}). Finished "
                "blocks are kept: the same call goes on from there."
            ) from error
        status = worker.tiling.inside(block, values[STATUS])
        yield Report(block, status.size, int(np.sum(status == NOT_FINITE)), int(np.sum(status == RAISED)), message)


def _is_ready(outputs: Any) -> bool:
    return isinstance(outputs, Exception) or all(x.is_ready() for x in outputs)


def compile_all(workers: Sequence[Worker], choices: set[tuple[int, ...]]) -> None:
    """Lowers serially in this thread (JAX's settings are thread-local); compiles in parallel."""
    lowered = [
        (worker, choice, worker.programs[choice].lower(worker.tiling.block_size, worker.device))
        for worker in workers
        for choice in sorted(choices)
    ]
    with cf.ThreadPoolExecutor(max_workers=min(len(lowered), os.cpu_count() or 1)) as pool:
        for (worker, choice, _), compiled in zip(lowered, pool.map(lambda x: x[2].compile(), lowered), strict=True):
            worker.compiled[choice, worker.tiling.block_size] = compiled
            worker.num_compiled += 1
