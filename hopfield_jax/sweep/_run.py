"""Plans and runs sweeps block by block."""

import collections
import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from .._checks import as_real, at_least, fail, kind, shape_is
from .._progress import progress_bar
from .._results import in_bytes
from .._types import PRNGKey
from ._devices import IN_FLIGHT, Device, Report, Worker, compute
from ._executor import Order, check, compute_by
from ._grid import Cost, Grid, Tiling, order_of, tile
from ._job import Job, outputs_of
from ._program import Output, Point, Program
from ._store import OWN_ATTRIBUTES, Store, differences, libraries_are_there

_BLOCKS = 8  # at least, on a CPU, so that little is lost when a sweep is stopped early


@dataclasses.dataclass(frozen=True)
class Plan:
    """Result of `hopfield_jax.sweep.plan`; `str(plan)` is a summary.

    **Attributes:**

    - `num_points`, `num_blocks`, `block`: size of the grid, number of blocks, and the shape of a block in points.
    - `num_devices`; `num_programs`: one per static choice.
    - `memory`: bytes per device, as planned by XLA for the blocks in flight (of the largest program).
    - `storage`: bytes of the outputs, before compression.
    - `compile_time`, `block_time`: seconds, measured on the first block; `time`: predicted total.
    """

    num_points: int
    num_blocks: int
    block: tuple[int, ...]
    num_devices: int
    num_programs: int
    memory: int
    storage: int
    compile_time: float
    block_time: float

    @property
    def time(self) -> float:
        rounds = math.ceil(self.num_blocks / self.num_devices)
        return self.compile_time * self.num_programs + rounds * self.block_time

    def __str__(self) -> str:
        programs = f", {self.num_programs} programs" if self.num_programs > 1 else ""
        return (
            f"Plan: {self.num_points} points in {self.num_blocks} blocks of {' × '.join(map(str, self.block))} on "
            f"{self.num_devices} device{'s' if self.num_devices > 1 else ''}{programs}\n"
            f"  memory {in_bytes(self.memory)} a device, results {in_bytes(self.storage)}\n"
            f"  about {_duration(self.time)} (compilation {self.compile_time:.3g} s a program, "
            f"{self.block_time:.3g} s a block)"
        )


def plan(
    point: Point,
    grid: Grid,
    *,
    key: PRNGKey | None = None,
    random_axes: Sequence[str] | None = None,
    block_size: int | None = None,
    memory: float | None = None,
    cost: Cost | None = None,
    devices: Sequence[Device] | None = None,
) -> Plan:
    """Predicts time and memory of a sweep by compiling and running one block; stores nothing.

    **Arguments:** as `run`. **Returns:** a `Plan`. **Raises:** `ValueError`, as `run` does before it starts.
    """
    job = Job.of(point, grid, key, random_axes)
    programs = job.trace()
    places = _devices(devices)
    tiling = _tiling(job, programs, block_size, memory, cost, places)
    worker = Worker(job, programs, tiling, places[: math.prod(tiling.numbers)])
    largest = max(programs, key=lambda choice: programs[choice].bytes_per_point)
    block = next(b for b in tiling.blocks() if job.choice_of(b) == largest)
    started = time.perf_counter()
    compiled = worker.program(largest, tiling.block_size)
    compile_time = time.perf_counter() - started
    worker.finish([block], worker.start([block]))
    started = time.perf_counter()
    worker.finish([block], worker.start([block]))
    block_time = time.perf_counter() - started
    return Plan(
        num_points=grid.size,
        num_blocks=math.prod(tiling.numbers),
        block=tiling.block,
        num_devices=len(worker.devices),
        num_programs=len(programs),
        memory=IN_FLIGHT * planned_bytes(compiled),
        storage=_result_bytes(programs) * grid.size,
        compile_time=compile_time,
        block_time=block_time,
    )


def run(
    point: Point,
    grid: Grid,
    *,
    key: PRNGKey | None = None,
    store: str | Path | None = None,
    fresh: bool = False,
    random_axes: Sequence[str] | None = None,
    block_size: int | None = None,
    memory: float | None = None,
    cost: Cost | None = None,
    devices: Sequence[Device] | None = None,
    executor: Any = None,
    blocks_per_task: int = 1,
    attributes: Mapping[str, Any] | None = None,
    describe: Mapping[str, Mapping[str, Any]] | None = None,
    progress: bool = True,
) -> Any:
    r"""Computes a function at every point of a grid.

    The function is traced and compiled once (per static choice), for a block of points on each device at a time.
    Finished blocks are stored; the same call resumes an interrupted sweep. Results do not depend on devices, order or
    interruptions, and on the block size only by rounding.

    **Arguments:**

    - `point`: a pure function `point(key, **coordinates)` with the names of the grid's axes, without `key` if none is
      given. It returns a dictionary of numbers, arrays (of fixed shape) and results; call verbs in it with
      `throw=False`, so that failed runs give NaN and a code.
    - `grid`: a `Grid`.
    - `key`: random key. The coordinates of the random axes are folded in: points that differ in other axes only share
      their random numbers, which reduces the noise of differences.
    - `store`: folder of the results (or an `fsspec` address), created if missing. `None` keeps them in memory.
    - `fresh`: discard the contents of the store and start over.
    - `random_axes`: names of axes along which random numbers differ. Default: the axes of replicates.
    - `block_size`: largest number of points per block. Default: as many as fit `memory`, at most 512 and an eighth of
      the points on a CPU, 8192 elsewhere. An existing store keeps its own.
    - `memory`: bytes per device. Default: 1 GiB on a CPU, half of the device's memory elsewhere.
    - `cost`: expected cost of points, a function of the axes by name that broadcasts. Blocks then hold points of
      similar cost, since a block takes as long as its slowest point, and the most expensive run first.
    - `devices`: default all local ones.
    - `executor`: an object with `submit`, whose futures have `done` and `result` (a `concurrent.futures` process pool,
      a Dask client, `submitit`, `mpi4py.futures`). Its workers compute on their own devices and write to the store. A
      process pool must spawn its workers, `ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"))`,
      under `if __name__ == "__main__":`, and `point` must be picklable (a function at the top level of a file); a pool
      that forks is refused. Blocks of lost workers are computed again.
    - `blocks_per_task`: number of blocks per task of the executor.
    - `attributes`: stored with the result. `describe`: attributes of axes and outputs by name, such as `units` and
      `long_name`; `dims`, a sequence of names, names an output's own axes.
    - `progress`: whether to show a progress bar on a terminal.

    **Returns:** an `xarray.Dataset` with the grid's coordinates, all outputs and `point_status`; see
    `hopfield_jax.sweep.open`.

    **Raises:** before computing, `ValueError` for a function that cannot be traced, outputs that cannot be stored, or a
    store of another sweep (the message lists the differences); `MemoryError` if a quarter of a block does not fit;
    `OSError` if the store cannot be written. Finished blocks are always kept. A point that raises at run time does not
    end the sweep: it is NaN with the status `raised`, and is not computed again (except with `fresh`). The store
    identifies a function by its traced program, host callbacks excepted.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    grid = hj.sweep.Grid(gain=jnp.linspace(4.0, 6.0, 5), saliency=jnp.linspace(2.0, 6.0, 3))
    found = hj.sweep.run(lambda gain, saliency: {"next": hj.sequential.saliency_map(gain, saliency)}, grid)
    assert found["next"].dims == ("gain", "saliency") and float(found["next"].sel(gain=4.0, saliency=2.0)) == 2.0
    ```
    """
    libraries_are_there()
    job = Job.of(point, grid, key, random_axes)
    for name, about in (("attributes", attributes), ("describe", describe)):
        if not isinstance(about, Mapping | None):
            fail(name, "a dictionary", kind(about))
    at_least("blocks_per_task", blocks_per_task, 1)
    if executor is not None:
        if store is None:
            fail("store", "a folder that all workers of the executor see", None)
        check(executor, job)
    programs = job.trace()
    outputs = outputs_of(programs)
    _check_names(grid, outputs, attributes or {}, describe or {})
    places = _devices(devices)
    configuration = job.configuration(programs)
    kept = None if store is None else Store.find(store)  # raises for anything else, so that it is never overwritten
    if kept is None or fresh:
        tiling = _tiling(job, programs, block_size, memory, cost, places)
        described = {name: dict(x) for name, x in (describe or {}).items()}
        about = dict(attributes or {}) | {
            "conventions": "coordinates: see `configuration`; flags as in the CF conventions",
            "configuration_hash": hashlib.sha256(json.dumps(configuration).encode()).hexdigest()[:16],
            "device": str(places[0].device_kind),
        }
        kept = Store.create(store, grid, tiling, outputs, configuration, about, described)
        blocks = order_of(grid, tiling, cost)
    else:
        if differing := differences(configuration, kept.configuration):
            fail("store", "the store of this sweep (or `fresh=True`)", "; ".join(differing))
        blocks = [b for b in order_of(grid, kept.tiling, cost) if not kept.is_finished(b)]
        for block in blocks:
            kept.clear(block)
    if not blocks:
        return kept.dataset()
    left = sum(math.prod(s.stop - s.start for s in kept.tiling.slices(block)) for block in blocks)
    with progress_bar(grid.size, "points", show=progress, done=grid.size - left) as advance:
        if executor is None:
            worker = Worker(job, programs, kept.tiling, places[: len(blocks)])
            worker.compile(sorted({job.choice_of(block) for block in blocks}))
            advance(0)
            reports = compute(worker, blocks, kept)
        else:
            reports = compute_by(executor, Order(job, kept.where), blocks, blocks_per_task)
        _follow(reports, kept, advance)
    return kept.dataset()


def _check_names(
    grid: Grid, outputs: Mapping[str, Output], attributes: Mapping[str, Any], describe: Mapping[str, Any]
) -> None:
    """Validates that outputs and attributes can be stored and read back."""
    for name in outputs:
        if name in grid.names:
            fail(name, "an output that is not called like an axis", name)
    for name, about in describe.items():
        if name not in (*grid.names, *outputs):
            fail("describe", f"names out of {', '.join((*grid.names, *outputs))}", repr(name))
        if not isinstance(about, Mapping):
            fail("describe", f"a dictionary of attributes for {name}", repr(about))
    sizes: dict[str, int] = {}
    for name, output in outputs.items():
        dims = describe.get(name, {}).get("dims", [f"{name}_{i}" for i in range(len(output.shape))])
        if isinstance(dims, str) or len(dims) != len(output.shape) or len(set(dims)) < len(dims):
            fail("describe", f"{len(output.shape)} different names as dims of {name}", repr(dims))
        for dim, size in zip(dims, output.shape, strict=True):
            if dim in (*grid.names, *outputs) or sizes.setdefault(dim, size) != size:
                fail("describe", f"dims of {name} that are no axis, no output and of one size", repr(dim))
    for name in OWN_ATTRIBUTES:
        if name in attributes:
            fail("attributes", f"names other than {', '.join(OWN_ATTRIBUTES)}", repr(name))
    for argument, content in (("attributes", attributes), ("describe", describe)):
        try:
            json.dumps(content)
        except (TypeError, ValueError) as error:
            fail(argument, "what JSON can hold (strings, Python's numbers, lists)", str(error))


def _follow(reports: Iterator[Report], store: Store, advance: Callable[[int], object]) -> None:
    """Shows the progress, and always writes a line to the history."""
    count: collections.Counter[str] = collections.Counter()
    first = ""
    try:
        for report in reports:
            count.update(points=report.points, not_finite=report.not_finite, raised=report.raised)
            first = first or report.message
            advance(report.points)
    finally:
        line = f"{count['points']} points"
        if count["not_finite"] or count["raised"]:
            line += f", {count['not_finite']} not finite, {count['raised']} raised{': ' * bool(first)}{first}"
        if count["points"]:
            with contextlib.suppress(OSError):  # does not mask the original error
                store.note(line)


def _devices(devices: Sequence[Device] | None) -> list[Device]:
    if devices is not None and not isinstance(devices, Iterable):
        fail("devices", "a list of JAX's devices", repr(devices)[:80])
    found = jax.local_devices() if devices is None else list(devices)
    if not all(hasattr(device, "memory_stats") for device in found):
        fail("devices", "a list of JAX's devices", repr(devices)[:80])
    if not found:
        fail("devices", "at least one device", "none")
    return found


def _tiling(
    job: Job,
    programs: Mapping[tuple[int, ...], Program],
    block_size: int | None,
    memory: float | None,
    cost: Cost | None,
    devices: Sequence[Device],
) -> Tiling:
    device = devices[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    default = 2.0**30 if device.platform == "cpu" or not limit else 0.5 * limit
    if memory is not None:
        shape_is("memory", memory, ())
    room = default if memory is None else float(as_real("memory", memory))
    if not room > 0:
        fail("memory", "a positive number of bytes", memory)
    needed = max(program.bytes_per_point for program in programs.values()) + _result_bytes(programs)
    if block_size is None:
        largest = 512 if device.platform == "cpu" else 8192
        alike = math.prod(job.grid.shape) // len(programs)
        parts = max(len(devices), _BLOCKS * (device.platform == "cpu"))
        block_size = max(1, min(largest, int(room / (IN_FLIGHT * max(needed, 1))), -(-alike // parts)))
    at_least("block_size", block_size, 1)
    return tile(job.grid, block_size, cost)


def _result_bytes(programs: Mapping[tuple[int, ...], Program]) -> int:
    outputs = outputs_of(programs).values()
    return 1 + sum(math.prod(x.shape) * x.dtype.itemsize for x in outputs)


def planned_bytes(compiled: Any) -> int:
    """Memory that XLA plans for one call: arguments, outputs and temporaries."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    return sum(getattr(analysis, f"{part}_size_in_bytes") for part in ("argument", "output", "temp"))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
