"""What a sweep is asked, checked: its points, its stores and what computes them."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.random as jr

from .. import sweep
from .._checks import at_least, fail
from .._types import PRNGKey
from ..sweep._store import Store
from ._report import named_as_options, writable_folder

_HOST_DEVICES = "jax_num_cpu_devices"
OPTIONS = {"overlap": "--cue", "num_patterns": "--memories", "num_neurons": "--neurons", "num_samples": "--samples"}
OPTIONS |= {"ratio": "--ratio", "draw": "--draws", "store": "--store", "memories": "--memories"}
OPTIONS |= {name: f"--{name.replace('_', '-')}" for name in ("load", "strength", "tau", "beta", "input_coupling")}
OPTIONS |= {"tau_fast": "--tau-fast", "gain": "--from"}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One sweep. `along`: the axis, both bounds and the halvings where it is one for a boundary; `point` is then the
    predicate."""

    title: str
    point: Callable[..., Any]
    grid: sweep.Grid
    store: Path
    describe: Mapping[str, Mapping[str, Any]]
    along: tuple[str, float, float, int] | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides the numbers, and where they are computed, checked. `conditions`: what figures say of
    `parameters`."""

    command: str
    about: str
    stages: tuple[Stage, ...]
    parameters: dict[str, Any]
    conditions: tuple[str, ...]
    random: bool
    seed: int
    output: Path
    fresh: bool
    devices: tuple[Any, ...]
    executor: str | None
    units: Any = None
    random_axes: tuple[str, ...] | None = None

    @property
    def key(self) -> PRNGKey | None:
        return jr.key(self.seed) if self.random else None


@dataclasses.dataclass(frozen=True)
class Ways:
    """What all three commands are asked: where the numbers go, and what computes them."""

    output: Path
    store: Path | None = None
    fresh: bool = False
    devices: int | None = None
    executor: str | None = None
    seed: int = 0


def check_ways(ways: Ways) -> tuple[Any, ...]:
    at_least("--seed", ways.seed, 0)
    if ways.executor is not None:
        kind, _, where = ways.executor.partition(":")
        if kind not in ("processes", "dask") or not where or (kind == "processes" and not where.isdecimal()):
            fail("--executor", "processes:N or dask:ADDRESS", ways.executor)
        if kind == "processes":
            at_least("--executor", int(where), 1)
    return use_devices(ways.devices)


def use_devices(count: int | None) -> tuple[Any, ...]:
    """The local devices to compute on; a CPU is split into as many as are asked for, before JAX uses it."""
    if count is not None:
        at_least("--devices", count, 1)
        if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
            with contextlib.suppress(RuntimeError):  # JAX has begun: there are as many as there are
                jax.config.update(_HOST_DEVICES, count)
    found = jax.local_devices()
    if count is not None and count > len(found):
        fail("--devices", f"at most {len(found)}, the devices that JAX sees", count)
    return tuple(found if count is None else found[:count])


def store_of(ways: Ways, command: str) -> Path:
    return ways.output / f"{command}.zarr" if ways.store is None else ways.store


def request_of(
    command: str, ways: Ways, devices: tuple[Any, ...], about: str, stages: tuple[Stage, ...], parameters: Any,
    conditions: tuple[str, ...], **others: Any
) -> Request:  # fmt: skip
    made = Request(
        command, about, stages, parameters, conditions,
        seed=ways.seed, output=ways.output, fresh=ways.fresh, devices=devices, executor=ways.executor, **others,
    )  # fmt: skip
    writable_folder("--output", ways.output)
    for stage in stages:
        _check_store(made, stage)
    return made


def _check_store(request: Request, stage: Stage) -> None:
    """Raises unless the store is new or that of this sweep, with the differences; to start over, that of any sweep."""
    with named_as_options(OPTIONS):
        found = Store.find(stage.store)
    if found is None or request.fresh:
        return
    kept = found.group.attrs.get("parameters")
    wanted = {"command": f"sweep {request.command}"} | _plain(request.parameters)
    there = {"command": found.group.attrs.get("command", "none")} | (json.loads(kept) if kept else {})
    differing = [
        f"{name.replace('_', ' ')} {wanted.get(name, 'none')}, in the store {there.get(name, 'none')}"
        for name in {**wanted, **there}
        if wanted.get(name) != there.get(name)
    ]
    if differing:
        fail("--store", f"a new folder or the store of this sweep (or --fresh) in {stage.store}", "; ".join(differing))


def _plain(parameters: Any) -> Any:
    return json.loads(json.dumps(parameters))


def num_finished(stage: Stage) -> int:
    """How many points of a sweep its store holds."""
    try:
        return int((sweep.open(stage.store)["point_status"] > 0).sum())
    except ValueError:
        return 0
