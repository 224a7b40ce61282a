"""What the commands of sweeps share: stores, devices and executors, and how a sweep is run and described."""

import abc
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax.random as jr
import numpy as np
import typer

from .. import sweep
from .._checks import fail
from .._types import PRNGKey
from ._command import AbstractCommand, Output, Seed, local_path, name_of
from ._executors import check_executor, executor_of, use_devices
from ._report import wrapped

# Points at once on a CPU, and blocks if there are fewer; the same on any number of devices, which then give the same
# numbers.
_BLOCK, _BLOCKS = 32, 8


@dataclasses.dataclass(frozen=True)
class Stage:
    """One sweep. `along`: the axis, both bounds and the halvings where it is one for a boundary; `point` is then the
    predicate."""

    title: str
    point: Callable[..., Any]
    grid: sweep.Grid
    describe: Mapping[str, Mapping[str, Any]]
    store: Path
    along: tuple[str, float, float, int] | None = None

    @property
    def num_finished(self) -> int:
        """How many of its points the store holds."""
        kept = sweep.open(self.store, missing_ok=True)
        return 0 if kept is None else int((kept["point_status"] > 0).sum())


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractSweep(AbstractCommand):
    """A model at every point of a grid. The points are methods of the request, which workers receive as it is."""

    store: Annotated[
        Path | None, typer.Option(help="Folder of the store. Default: one inside --output.", parser=local_path)
    ] = None
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Start over, or go on with what the store holds.")
    ] = False  # fmt: skip
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take (one block is run), store nothing.")
    ] = False
    devices: Annotated[
        int | None,
        typer.Option(
            help="Local devices to use; a CPU is split into as many. Default: all, one for each core of a CPU.",
            min=1,
        ),
    ] = None
    executor: Annotated[
        str | None,
        typer.Option(
            help="What computes instead: processes:N, as many processes here; dask:ADDRESS, a Dask scheduler's workers."
        ),
    ] = None
    seed: Seed = 0
    output: Output = Path("hopfield-sweep")

    not_recorded = ("output", "store", "fresh", "dry_run", "devices", "executor")
    random: ClassVar[bool] = True
    random_axes: ClassVar[tuple[str, ...] | None] = None  # the replicates

    def __post_init__(self) -> None:
        check_executor(self.executor)
        use_devices(self.devices)
        self.check()
        for stage in self.stages():
            self._check_store(stage)

    @abc.abstractmethod
    def check(self) -> None:
        """Raises for options with which no point can be computed."""

    @abc.abstractmethod
    def what(self) -> tuple[str, ...]:
        """A paragraph on what is computed, and facts about it, for people."""

    @abc.abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The sweeps; raises for grids that cannot be made."""

    @abc.abstractmethod
    def attributes(self) -> dict[str, Any]:
        """What the stores say of themselves: `conditions`, which are the facts below a figure's title, and more."""

    @abc.abstractmethod
    def unused(self) -> tuple[str, ...]:
        """The options that play no part in this sweep."""

    @staticmethod
    @abc.abstractmethod
    def draw(found: Sequence[Any]) -> Any:
        """The figure of what the stores hold."""

    @abc.abstractmethod
    def summarise(self, found: Sequence[Any]) -> dict[str, Any]:
        """The findings as numbers."""

    @abc.abstractmethod
    def say(self, numbers: dict[str, Any]) -> Iterator[str]:
        """The findings for people."""

    @property
    def command(self) -> str:
        return name_of(type(self))

    @property
    def place(self) -> Path:
        return self.output / f"{self.command.split()[1]}.zarr" if self.store is None else self.store

    @property
    def key(self) -> PRNGKey | None:
        return jr.key(self.seed) if self.random else None

    @property
    def recorded(self) -> dict[str, Any]:
        """What stores of the same sweep have in common."""
        found = {name: x for name, x in self.parameters.items() if name not in self.unused()}
        return {"command": self.command} | json.loads(json.dumps(found))

    def _check_store(self, stage: Stage) -> None:
        """Raises unless the store is new or that of this sweep, with the differences; to start over, that of any
        sweep."""
        kept = sweep.open(stage.store, missing_ok=True)
        if kept is None or self.fresh:
            return
        wanted, there = self.recorded, json.loads(kept.attrs.get("parameters") or "{}")
        differing = [
            f"{name.replace('_', ' ')} {wanted.get(name, 'none')}, in the store {there.get(name, 'none')}"
            for name in {**wanted, **there}
            if wanted.get(name) != there.get(name)
        ]
        if differing:
            place = f"a new folder or the store of this sweep (or --fresh) in {stage.store}"
            fail("store", place, "; ".join(differing))

    def about(self) -> Iterator[str]:
        first, *facts = self.what()
        yield from wrapped(first, "")
        yield from (f"  {fact}" for fact in facts)
        devices = use_devices(self.devices)
        where = self.executor or f"{len(devices)} {devices[0].platform} device{'s' * (len(devices) > 1)}"
        yield f"  on         {where}" + (f"; random seed {self.seed}" if self.random else "")
        for stage in self.stages():
            done = 0 if self.fresh else stage.num_finished
            said = f", {done} of {stage.grid.size} points are there" if done else ""
            yield f"  store      {stage.store} ({stage.title}{said})"

    def compute(self) -> list[Any]:
        """The datasets of all sweeps; what is in the stores is not computed again. A dry run and an interruption end
        the command, which says how to go on."""
        if self.dry_run:
            for line in self._plan():
                typer.echo(line)
            raise typer.Exit()
        try:
            return self._run()
        except KeyboardInterrupt:
            for line in self._interrupted():
                typer.echo(line, err=True)
            raise typer.Exit(130) from None

    def _run(self) -> list[Any]:
        stages, found = self.stages(), []
        about = {
            "title": f"hopfield-jax {self.command}",
            "command": self.command,
            "parameters": json.dumps(self.recorded),
        }
        about |= self.attributes()
        with executor_of(self.executor) as executor:
            for stage in stages:
                beside = [other.store.name for other in stages if other.along and not stage.along]
                ways = self._ways(stage) | {"store": stage.store, "fresh": self.fresh, "executor": executor}
                ways |= {"describe": stage.describe, "attributes": about | ({"boundary": beside[0]} if beside else {})}
                if stage.along is None:
                    found.append(sweep.run(stage.point, stage.grid, **ways))
                else:
                    along, lower, upper, count = stage.along
                    bounds: dict[str, Any] = {"along": along, "lower": lower, "upper": upper, "num_iterations": count}
                    found.append(sweep.boundary(stage.point, stage.grid, **bounds, **ways))
        return found

    def _plan(self) -> Iterator[str]:
        """What the sweeps would take: a compiled program and one block of each, of which nothing is kept."""
        for stage in self.stages():
            point = stage.point if stage.along is None else sweep.Bisection(stage.point, *stage.along)
            first, *rest = str(sweep.plan(point, stage.grid, **self._ways(stage))).splitlines()
            yield from (f"{stage.title}: {first}", *rest)
            if not self.fresh and stage.num_finished:
                yield f"  {stage.num_finished} of {stage.grid.size} points are in {stage.store} already"
        yield from ("", "Nothing was stored.")

    def _interrupted(self) -> Iterator[str]:
        yield "Interrupted."
        for stage in self.stages():
            yield f"  {stage.num_finished} of {stage.grid.size} points are in {stage.store}"
        yield f"The same command{' without --fresh' if self.fresh else ''} goes on from there."

    def _ways(self, stage: Stage) -> dict[str, Any]:
        """What decides a sweep's numbers beside its points, and its blocks."""
        devices, size = use_devices(self.devices), None
        if devices[0].platform == "cpu":
            alike = stage.grid.size // math.prod(len(axis) for axis in stage.grid.axes if axis.is_choice)
            size = min(_BLOCK, -(-alike // _BLOCKS))
        return {"key": self.key, "random_axes": self.random_axes, "devices": devices, "block_size": size}

    def describe(self, found: Sequence[Any]) -> Iterator[str]:
        """Points, failures by code, and what was found."""
        yield from (*describe_points(found[0]), "", *self.say(self.summarise(found)), "")

    def files(self, found: Sequence[Any]) -> Iterator[tuple[str | Path, Any]]:
        first, name = found[0], self.command.split()[1]
        yield f"{name}.png", self.draw(found)
        known = [x for x in ("point_status", "result", "ending") if x in first]
        points = {x.replace("point_status", "points"): counts(first[x], first) for x in known}
        stores = [stage.store for stage in self.stages()]
        yield f"{name}.json", {"results": points | self.summarise(found), "stores": stores}
        yield from ((store, None) for store in stores)


# --- any sweep, also one that no command made ---


def describe_points(dataset: Any) -> Iterator[str]:
    """How many points there are, which are not, and the codes of results that are no success."""
    status = counts(dataset["point_status"], dataset)
    said = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in status.items())
    yield f"{sum(status.values())} points: {said}."
    for name in dataset.data_vars:
        if name != "point_status" and "flag_meanings" in dataset[name].attrs:
            found = counts(dataset[name], dataset)
            yield f"  {name}: " + (", ".join(f"{n} {code}" for code, n in found.items()) or "none")


def counts(variable: Any, dataset: Any) -> dict[str, int]:
    """How often each name of a flag occurs, among the points that were computed."""
    names = dict(zip(variable.attrs["flag_values"], variable.attrs["flag_meanings"].split(), strict=True))
    values = np.asarray(variable.values)
    if variable.name != "point_status":
        values = values[np.isin(np.asarray(dataset["point_status"].values), (1, 2))]
    return {name: int(n) for value, name in names.items() if (n := np.sum(values == value))}
