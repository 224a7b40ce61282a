"""The computation of a request: a model at every point of a grid (shown by `_present_sweep`)."""

import concurrent.futures as cf
import contextlib
import json
import math
import multiprocessing
import signal
import time
from collections.abc import Iterator
from typing import Any

from .. import sweep
from .._checks import fail
from .._results import is_okay
from ..theory import critical_load
from ._report import named_as_options
from ._sweep_request import OPTIONS, Request, Stage, num_finished

# Points at once on a CPU, and blocks if there are fewer; the same on any number of devices, which then give the same
# numbers.
_BLOCK, _BLOCKS = 32, 8


def plan(request: Request) -> list[tuple[Stage, sweep.Plan, int]]:
    """Of every sweep what it would take, and how many of its points are there already; nothing is stored."""
    found = []
    for stage in request.stages:
        point = stage.point if stage.along is None else sweep.Bisection(stage.point, *stage.along)
        made = sweep.plan(
            point, stage.grid, key=request.key, random_axes=request.random_axes, **_blocks(request, stage)
        )
        found.append((stage, made, 0 if request.fresh else num_finished(stage)))
    return found


def run(request: Request) -> tuple[list[Any], float]:
    """The datasets of all sweeps, and the seconds with compilation; what is in the stores is not computed again.

    **Raises:** `ValueError` for a store of something else.
    """
    started, found = time.perf_counter(), []
    attributes: dict[str, Any] = {
        "title": f"hopfield-jax sweep {request.command}",
        "command": f"sweep {request.command}",
        "parameters": json.dumps(request.parameters),
        "conditions": "; ".join(request.conditions),
    }
    if request.units is not None:
        attributes["critical_load"] = _critical_load(request.units)
    with _executor(request.executor) as executor, named_as_options(OPTIONS):
        for stage in request.stages:
            beside = [other.store.name for other in request.stages if other.along and not stage.along]
            others = {"boundary": beside[0]} if beside else {}
            options: dict[str, Any] = {"store": stage.store, "fresh": request.fresh, "key": request.key}
            options |= {"random_axes": request.random_axes}
            options |= {"executor": executor, "attributes": attributes | others, "describe": stage.describe}
            options |= _blocks(request, stage)
            if stage.along is None:
                found.append(sweep.run(stage.point, stage.grid, **options))
            else:
                names = ("along", "lower", "upper", "num_iterations")
                found.append(
                    sweep.boundary(stage.point, stage.grid, **dict(zip(names, stage.along, strict=True)), **options)
                )
    return found, time.perf_counter() - started


def _blocks(request: Request, stage: Stage) -> dict[str, Any]:
    if request.devices[0].platform != "cpu":
        return {"devices": request.devices, "block_size": None}
    alike = stage.grid.size // math.prod(len(axis) for axis in stage.grid.axes if axis.is_choice)
    return {"devices": request.devices, "block_size": min(_BLOCK, -(-alike // _BLOCKS))}


def _critical_load(units: Any) -> float:
    """Of the stationary theory with fixed synapses; NaN where it has no fold or does not know the units."""
    try:
        state = critical_load(units, throw=False)
    except (TypeError, ValueError):
        return math.nan
    return float(state.load) if bool(is_okay(state.result)) else math.nan


@contextlib.contextmanager
def _executor(asked: str | None) -> Iterator[Any]:
    """What is named by --executor: a pool of processes, or a Dask scheduler's client."""
    if asked is None:
        yield None
        return
    kind, _, where = asked.partition(":")
    if kind == "processes":
        pool = cf.ProcessPoolExecutor(
            int(where), mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts
        )
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    try:
        import distributed
    except ModuleNotFoundError:
        fail("--executor", "Dask to be installed (pip install 'dask[distributed]')", asked)
    try:
        client = distributed.Client(where, timeout="10s")
    except (OSError, ValueError) as error:
        fail("--executor", "the address of a Dask scheduler", f"{where} ({error})")
    with client:
        yield client


def _leave_interrupts() -> None:
    """Of a worker process: Ctrl-C is for the one that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
