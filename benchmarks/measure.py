"""How one row is measured: compile both sides, compare their results, and only then time them in turn."""

import contextlib
import ctypes
import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from first_call import FirstCall
from limits import Limits
from problems import Bench, Call, Missing


@dataclasses.dataclass
class Times:
    compile: float | None = None
    seconds: list[float] = dataclasses.field(default_factory=list)
    planned: float | None = None  # bytes
    growth: float | None = None  # bytes

    @property
    def fastest(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclasses.dataclass
class Other:
    """A baseline as measured; `missing` says why not."""

    name: str
    times: Times | None = None
    error: float | None = None
    tolerance: float | None = None
    missing: str = ""
    rival: bool = True


@dataclasses.dataclass
class Row:
    name: str
    what: str
    size: str
    times: Times = dataclasses.field(default_factory=Times)
    others: list[Other] = dataclasses.field(default_factory=list)
    rate: str = ""
    share: float | None = None
    count: float = 1.0
    unit: str = ""
    failed: str = ""
    first: FirstCall | None = None

    @property
    def each(self) -> float:
        """Seconds of one unit."""
        return self.times.fastest / self.count

    @property
    def slower(self) -> bool:
        """Whether a rival is quicker."""
        return any(other.rival and (self.ratio(other) or 1.0) < 1 for other in self.others)

    def ratio(self, other: Other) -> float | None:
        """How many times as long the other side takes: the median over rounds."""
        if other.times is None or not other.times.seconds or len(other.times.seconds) != len(self.times.seconds):
            return None
        return statistics.median(b / a for a, b in zip(self.times.seconds, other.times.seconds, strict=True))


@contextlib.contextmanager
def float64(enabled: bool) -> Iterator[None]:
    """64-bit mode within the block."""
    before = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_enable_x64", enabled)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def prepared(call: Call) -> tuple[Callable[[], Any], Times]:
    """Something to call, and what compiling it took."""
    if not call.compiled:
        about = call.about or {}
        return lambda: call.function(*call.arguments), Times(about.get("compile"), planned=about.get("planned"))
    began = time.perf_counter()
    program = jax.jit(call.function).lower(*call.arguments).compile()
    times = Times(compile=time.perf_counter() - began)
    memory: Any = program.memory_analysis()
    if memory is not None:
        times.planned = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return lambda: jax.block_until_ready(program(*call.arguments)), times


def with_growth(call: Callable[[], Any]) -> tuple[Any, float | None]:
    """A result, and by how much the process's resident memory grew at most on the way (Linux only, CPU only)."""
    gc.collect()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if jax.default_backend() != "cpu" or not status.exists():
        return call(), None
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        reset.write_text("5")  # the peak starts again from what is resident now
    except OSError:
        return call(), None
    resident = lambda name: 1024.0 * int(status.read_text().split(name + ":")[1].split()[0])  # noqa: E731
    before = resident("VmRSS")
    out = call()
    return out, max(0.0, resident("VmHWM") - before)


def in_turn(calls: list[Callable[[], Any]], parts: list[float], rounds: int) -> list[list[float]]:
    """Times of each call, one after the other in every round, so that all see the same load."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for taken, call, part in zip(seconds, calls, parts, strict=True):
            began = time.perf_counter()
            call()
            taken.append((time.perf_counter() - began) / part)
    return seconds


def measure(bench: Bench, limits: Limits | None, budget: float = 5.0) -> Row:
    """The row of a benchmark. Whatever goes wrong is written into it; a baseline that disagrees is not timed."""
    row = Row(bench.name, bench.what, bench.size, count=bench.count, unit=bench.unit)
    ended: list[Callable[[], None]] = []
    try:
        with float64(bench.wide):
            _fill(row, bench, budget, ended)
    except Exception as error:  # the others are still to be measured
        row.failed = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    finally:
        for release in ended:
            with contextlib.suppress(Exception):  # another process that has died is no reason to lose the other rows
                release()
    smaller = row.others[0].times if row.others else None
    if bench.marginal and smaller is not None and smaller.seconds and row.times.seconds:
        row.times.seconds = [row.times.fastest - smaller.fastest]
        if row.times.fastest <= 0:
            row.failed = "the difference of two runs is lost in the noise"
    if bench.work is not None and limits is not None and row.times.seconds:
        row.rate, row.share = limits.share(bench.work, row.times.fastest, row.times.planned)
    return row


def _fill(row: Row, bench: Bench, budget: float, ended: list[Callable[[], None]]) -> None:
    problem = bench.make()
    ours, row.times = prepared(problem.ours)
    out, row.times.growth = with_growth(ours)
    calls, parts, filled = [ours], [problem.ours.part], [row.times]
    for baseline in problem.baselines:
        rival = baseline.rival and baseline.timed and baseline.error is not None
        other = Other(baseline.name, tolerance=baseline.tolerance if baseline.error else None, rival=rival)
        row.others.append(other)
        try:
            side = baseline.side if isinstance(baseline.side, Call) else baseline.side()
        except Missing as error:
            other.missing = str(error)
            continue
        if side.release is not None:
            ended.append(side.release)
        call, times = prepared(side)
        result, times.growth = with_growth(call)
        if baseline.error is not None:
            other.error = float(baseline.error(jax.device_get(out), jax.device_get(result)))
            if not other.error <= baseline.tolerance:  # NaN disagrees
                row.failed = f"disagrees with {baseline.name} by {other.error:.2g}, allowed {baseline.tolerance:.2g}"
                return
        if baseline.timed:
            other.times = times
            calls, parts, filled = [*calls, call], [*parts, side.part], [*filled, times]
    first = in_turn(calls, parts, 1)
    one_round = sum(s[0] * part for s, part in zip(first, parts, strict=True))
    rounds = int(np.clip(budget / max(one_round, 1e-9), 2, 50))
    for times, seconds in zip(filled, in_turn(calls, parts, rounds), strict=True):
        times.seconds = seconds
