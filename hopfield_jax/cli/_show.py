"""`hopfield-jax show`: what the store of any sweep holds."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import plot, sweep
from .._checks import fail
from ._command import local_path, writable_folder, write
from ._report import new_figure, table, wrapped
from ._sweep import describe_points
from ._sweep_gains import SweepGains
from ._sweep_load import SweepLoad
from ._sweep_sequence import SweepSequence

_DRAWINGS = {"sweep load": SweepLoad.draw, "sweep gains": SweepGains.draw, "sweep sequence": SweepSequence.draw}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Show:
    """Prints its axes, outputs, points by status, results by code, and where and when it was made. The store of a
    `sweep` command gives that command's figure, any other one a map or a curve of one output.

    \b
    Examples
      hopfield-jax show hopfield-sweep/load.zarr
      hopfield-jax show hopfield-sweep/sequence.zarr --variable correct --x gain --y memories
    """

    store: Annotated[
        Path, typer.Argument(metavar="STORE", parser=local_path, help="Folder of a sweep's store, finished or not.")
    ]
    variable: Annotated[str | None, typer.Option(help="Output to draw. Default: the first number.")] = None
    x: Annotated[str | None, typer.Option(help="Axis of the figure.")] = None
    y: Annotated[str | None, typer.Option(help="Its other axis; of one alone a curve is drawn.")] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File of the figure. Default: STORE's name with .png.", parser=local_path
        ),
    ] = None  # fmt: skip

    def run(self, echo: Callable[[str], None]) -> list[Path]:
        if not self.store.is_dir():
            fail("store", "the store of a sweep", f"{self.store}, where there is none")
        dataset = sweep.open(self.store)
        figure = self._figure(dataset)
        for line in (*_describe(dataset, self.store), ""):
            echo(line)
        path = Path(f"{self.store.stem}.png") if self.output is None else self.output
        writable_folder(path.parent)
        write(path, figure)
        return [path]

    def _figure(self, dataset: Any) -> Any:
        """That of the command which made the store, or of what was asked for."""
        command = dataset.attrs.get("command")
        is_boundary = command == "sweep load" and "overlap" not in dataset
        if command not in _DRAWINGS or is_boundary or (self.variable, self.x, self.y) != (None, None, None):
            ax = new_figure(6.8, 5.0).subplots()
            return plot.sweep(dataset, self.variable, x=self.x, y=self.y, ax=ax).figure
        found = [dataset]
        if name := dataset.attrs.get("boundary"):
            beside = sweep.open(self.store.with_name(name), missing_ok=True)
            found += [] if beside is None else [beside]
        return _DRAWINGS[command](found)


# --- what a store says of itself ---


def _describe(dataset: Any, store: Path) -> Iterator[str]:
    about = dataset.attrs
    yield from (f"{about.get('title', 'A sweep')} in {store}", "")
    yield from table(("axis", "points", "values"), [(str(x), *_axis(dataset[x])) for x in dataset.coords], num_names=1)
    rows = [
        (str(name), " × ".join(map(str, x.dims)), str(x.dtype), str(x.attrs.get("long_name", "-")))
        for name, x in dataset.data_vars.items()
    ]
    yield from table(("output", "axes", "type", "meaning"), rows, num_names=4)
    yield from describe_points(dataset)
    if missing := int(np.sum(np.asarray(dataset["point_status"].values) == 0)):
        yield f"  unfinished: {missing} points are missing; the same call goes on from there"
    if conditions := str(about.get("conditions", "")).replace("$", ""):
        yield from wrapped(f"conditions: {conditions}")
    yield f"device: {about.get('device', 'unknown')}"
    yield f"hash: {about.get('configuration_hash', 'none')}"
    yield from ("history", *(f"  {line}" for line in str(about.get("history", "")).split("\n") if line))


def _axis(x: Any) -> tuple[str, str]:
    """How many values an axis has, and which."""
    values = np.asarray(x.values)
    said = [f"{v:.6g}" if values.dtype.kind == "f" else str(v) for v in values]
    if values.dtype.kind in "iuf" and len(values) > 4:
        return f"{len(values)}", f"{said[0]} to {said[-1]}"
    return f"{len(values)}", ", ".join(said[:8]) + ", …" * (len(values) > 8)
