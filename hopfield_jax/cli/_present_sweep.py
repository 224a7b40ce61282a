"""What `hopfield-jax sweep` and `show` print, draw and save, and their part of the demo."""

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import sweep
from .._checks import fail
from .._misc import binomial_error, default_float
from ..sequential import period
from ._draw_sweep import DRAWINGS, averaged, draw, draw_any
from ._report import plus_minus, save_json, table, versions, writable_folder
from ._sweep import prepare_load
from ._sweep_request import Request, Ways, num_finished
from ._sweep_run import plan, run

_ROWS = 6


def describe_request(request: Request) -> list[str]:
    """What is computed and where, for people."""
    first, *rest = request.about.split("\n")
    lines = [*textwrap.wrap(first, 110), *rest]
    count, platform = len(request.devices), request.devices[0].platform
    where = request.executor or f"{count} {platform} device{'s' * (count > 1)}"
    lines.append(f"  on         {where}; random seed {request.seed}" if request.random else f"  on         {where}")
    for stage in request.stages:
        done = 0 if request.fresh else num_finished(stage)
        said = f", {done} of {stage.grid.size} points are there" if done else ""
        lines.append(f"  store      {stage.store} ({stage.title}{said})")
    return lines


def describe_plan(request: Request) -> list[str]:
    """What the sweeps would take: a compiled program and one block of each, of which nothing is kept."""
    lines: list[str] = []
    for stage, made, done in plan(request):
        first, *rest = str(made).splitlines()
        lines += [f"{stage.title}: {first}", *rest]
        if done:
            lines.append(f"  {done} of {stage.grid.size} points are in {stage.store} already")
    return [*lines, "", "Nothing was stored."]


def describe_interruption(request: Request) -> list[str]:
    """Where the finished blocks are, and how to go on."""
    lines = ["Interrupted."]
    for stage in request.stages:
        lines.append(f"  {num_finished(stage)} of {stage.grid.size} points are in {stage.store}")
    how = "The same command without --fresh" if request.fresh else "The same command"
    return [*lines, f"{how} goes on from there."]


# --- any sweep ---


def describe_points(dataset: Any) -> list[str]:
    """How many points there are, which are not, and the codes of results that are no success."""
    status = counts(dataset["point_status"], dataset)
    total = sum(status.values())
    line = f"{total} points: " + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in status.items())
    lines = [line + "."]
    for name in dataset.data_vars:
        if name != "point_status" and "flag_meanings" in dataset[name].attrs:
            found = counts(dataset[name], dataset)
            lines.append(f"  {name}: " + (", ".join(f"{n} {code}" for code, n in found.items()) or "none"))
    return lines


def counts(variable: Any, dataset: Any) -> dict[str, int]:
    """How often each name of a flag occurs, among the points that were computed."""
    names = dict(zip(variable.attrs["flag_values"], variable.attrs["flag_meanings"].split(), strict=True))
    values = np.asarray(variable.values)
    if variable.name != "point_status":
        values = values[np.isin(np.asarray(dataset["point_status"].values), (1, 2))]
    return {name: int(n) for value, name in names.items() if (n := np.sum(values == value))}


def describe_store(dataset: Any, store: Path) -> list[str]:
    """Everything that a store says of itself."""
    about = dataset.attrs
    lines = [f"{about.get('title', 'A sweep')} in {store}", ""]
    rows = [(str(name), *_axis(dataset[name])) for name in dataset.coords]
    lines += [*table(("axis", "points", "values"), rows, num_names=1), ""]
    rows = [
        (str(name), " × ".join(map(str, x.dims)), str(x.dtype), str(x.attrs.get("long_name", "-")))
        for name, x in dataset.data_vars.items()
    ]
    lines += [*table(("output", "axes", "type", "meaning"), rows, num_names=4), "", *describe_points(dataset)]
    missing = int(np.sum(np.asarray(dataset["point_status"].values) == 0))
    if missing:
        lines.append(f"  unfinished: {missing} points are missing; the same call goes on from there")
    conditions = str(about.get("conditions", "")).replace("$", "")
    if conditions:
        lines += textwrap.wrap(f"conditions: {conditions}", 110, subsequent_indent="  ")
    lines += [f"device: {about.get('device', 'unknown')}", f"hash: {about.get('configuration_hash', 'none')}"]
    history = [line for line in str(about.get("history", "")).split("\n") if line]
    return [*lines, "history", *(f"  {line}" for line in history or ["none"])]


def _axis(x: Any) -> tuple[str, str]:
    values = np.asarray(x.values)
    if values.dtype.kind not in "iuf" or len(values) <= 4:
        said = ", ".join(f"{v:.6g}" if values.dtype.kind == "f" else str(v) for v in values[:8])
        return f"{len(values)}", said + ", …" * (len(values) > 8)
    return f"{len(values)}", f"{values[0]:.6g} to {values[-1]:.6g}"


# --- what was found ---


def summarise(command: str, found: Sequence[Any]) -> dict[str, Any]:
    """The findings as numbers."""
    points = {"points": counts(found[0]["point_status"], found[0])}
    for name in ("result", "ending"):
        if name in found[0]:
            points[name] = counts(found[0][name], found[0])
    return points | _SUMMARIES[command](*found)


def _summarise_load(dataset: Any, boundary: Any) -> dict[str, Any]:
    strength = np.asarray(boundary["strength"].values, np.float64)
    mean = averaged(boundary)
    load, error = (mean[name].values for name in ("load", "load_error"))
    known = np.isfinite(load)
    best = int(np.nanargmax(load)) if np.any(known) else None
    return {
        "critical_load": dataset.attrs.get("critical_load"),
        "strength": strength,
        "largest_load": load,
        "standard_error": error,
        "repeats": boundary.sizes.get("replicate", 1),
        "bracket": float((boundary["load_upper"] - boundary["load_lower"]).where(boundary["load"].notnull()).max()),
        "best_strength": None if best is None else strength[best],
        "best_load": None if best is None else load[best],
        "boundary_result": counts(boundary["result"], boundary),
    }


def _summarise_gains(dataset: Any) -> dict[str, Any]:
    gain = dataset["gain"].values.astype(np.float64)
    limit = np.where(gain >= 4, np.asarray(period(np.maximum(gain, 4).astype(default_float())), np.float64), np.nan)
    rows = []
    for ratio in dataset["ratio"].values:
        settled = dataset["period"].sel(ratio=ratio).values.astype(np.float64)
        going = np.isfinite(settled)
        rows.append(
            {
                "ratio": ratio,
                "smallest_gain": gain[going].min() if np.any(going) else None,
                "num_going_on": going.sum(),
                "last_period": settled[-1],
                "last_limit": limit[-1],
            }
        )
    return {"ratios": rows}


def _summarise_sequence(dataset: Any) -> dict[str, Any]:
    success = dataset["success"].where(dataset["point_status"] > 0).transpose("memories", "gain", "draw")
    values = success.values.astype(np.float64)
    known = np.isfinite(values).sum(axis=2)
    right = np.nansum(values, axis=2)
    share = np.where(known > 0, right / np.maximum(known, 1), np.nan)
    error = np.where(known > 0, np.asarray(binomial_error(share, np.maximum(known, 1)), np.float64), np.nan)
    whole = float(right.sum() / known.sum()) if known.sum() else math.nan
    return {
        "memories": dataset["memories"].values,
        "gain": dataset["gain"].values,
        "share": share,
        "error": error,
        "overall": whole,
    }


_SUMMARIES: dict[str, Callable[..., dict[str, Any]]] = {
    "load": _summarise_load,
    "gains": _summarise_gains,
    "sequence": _summarise_sequence,
}


def describe_found(command: str, found: Sequence[Any], numbers: dict[str, Any]) -> list[str]:
    """Points, failures by code, and what was found."""
    return [*describe_points(found[0]), "", *_DESCRIPTIONS[command](numbers), ""]


def _describe_load(numbers: dict[str, Any]) -> list[str]:
    strength, load, error = (numbers[name] for name in ("strength", "largest_load", "standard_error"))
    shown = np.unique(np.linspace(0, len(strength) - 1, _ROWS).round().astype(int))
    rows = [(f"{strength[i]:.3g}", plus_minus(load[i], error[i], 4)) for i in shown]
    lines = [*table(("strength λ", "largest load α_max"), rows, num_names=0), ""]
    if np.any(np.isfinite(load)):
        lines.append(
            f"± one standard error, of {numbers['repeats']} repeats with other random numbers; each is bisected to a "
            f"bracket of {numbers['bracket']:.1g}."
        )
    if numbers["best_load"] is not None:
        lines.append(
            f"Best of these strengths: λ = {numbers['best_strength']:.3g}, up to α = {numbers['best_load']:.4g}."
        )
    critical = numbers["critical_load"]
    if critical is not None and math.isfinite(critical):
        lines.append(f"The stationary theory of fixed synapses (λ = 0) ends at α_c = {critical:.4g}.")
    lost = {code: n for code, n in numbers["boundary_result"].items() if code != "successful"}
    if lost:
        said = ", ".join(f"{n} {code}" for code, n in lost.items())
        lines.append(f"Repeats without a boundary between the loads searched, which are left out: {said}.")
    return lines


def _describe_gains(numbers: dict[str, Any]) -> list[str]:
    header = ("τ_f/τ_s", "smallest gain that goes on", "gains that do", "last period", "limit log Z+", "more by %")
    rows = []
    for row in numbers["ratios"]:
        smallest, last, limit = row["smallest_gain"], row["last_period"], row["last_limit"]
        cells = (f"{row['ratio']:g}", "-" if smallest is None else f"{smallest:.4g}", f"{row['num_going_on']}")
        cells += tuple(f"{x:.4f}" if math.isfinite(x) else "-" for x in (last, limit))
        more = 100 * (last / limit - 1)
        rows.append((*cells, f"{more:.1f}" if math.isfinite(more) else "-"))
    return [*table(header, rows, num_names=0), "", "Sequences that collapse have no period (not finite)."]


def _describe_sequence(numbers: dict[str, Any]) -> list[str]:
    gains = np.asarray(numbers["gain"])
    shown = np.unique(np.linspace(0, len(gains) - 1, _ROWS).round().astype(int))
    header = ("P", *(f"κ = {gains[i]:.3g}" for i in shown))
    rows = [
        (str(p), *(plus_minus(share[i], error[i], 2) for i in shown))
        for p, share, error in zip(numbers["memories"], numbers["share"], numbers["error"], strict=True)
    ]
    return [
        "Share of sequences without an error",
        *table(header, rows, num_names=0),
        "",
        f"Of all sequences {100 * numbers['overall']:.0f} % succeed.",
    ]


_DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "load": _describe_load,
    "gains": _describe_gains,
    "sequence": _describe_sequence,
}


# --- what is left behind ---


def save(request: Request, found: Sequence[Any], numbers: dict[str, Any], seconds: float) -> list[Path]:
    """Writes the figure and the numbers; returns the files and the stores."""
    picture, summary = (request.output / f"{request.command}.{kind}" for kind in ("png", "json"))
    draw(request.command, found).savefig(picture, dpi=150)
    content = {
        "command": f"hopfield-jax sweep {request.command}",
        "parameters": request.parameters,
        "results": numbers,
        "stores": [stage.store for stage in request.stages],
        "seconds": seconds,
        "versions": versions(),
        "device": f"{jax.devices()[0].platform}, {jax.devices()[0].device_kind}",
        "dtype": str(default_float()),
    }
    save_json(summary, content)
    return [picture, summary, *(stage.store for stage in request.stages)]


def run_and_report(request: Request, echo: Callable[[str], None]) -> list[Path]:
    """The whole of a command once its request is checked; returns the files."""
    for line in (*describe_request(request), ""):
        echo(line)
    found, seconds = run(request)
    numbers = summarise(request.command, found)
    for line in (*describe_found(request.command, found, numbers), f"Compilation and run {seconds:.1f} s.", ""):
        echo(line)
    return save(request, found, numbers, seconds)


def show(
    store: Path,
    echo: Callable[[str], None],
    *,
    variable: str | None = None,
    x: str | None = None,
    y: str | None = None,
    output: Path | None = None,
) -> list[Path]:
    """Says what a store holds and draws it: the figure of the command that made it, or of any variable.

    **Raises:** `ValueError` that names the option, for what is no sweep and names that it does not have.
    """
    if "://" not in str(store) and not store.is_dir():
        fail("STORE", "the store of a sweep", f"{store}, where there is none")
    try:
        dataset = sweep.open(store)
    except ValueError as error:
        raise ValueError(str(error).replace("`store`", "`STORE`", 1)) from None
    command = str(dataset.attrs.get("command", "")).removeprefix("sweep ")
    path = Path(f"{store.stem}.png") if output is None else output
    general = command not in DRAWINGS or variable is not None or x is not None or y is not None
    if command == "load" and "overlap" not in dataset:  # the boundary's own store
        general = True
    if not general:
        figure = draw(command, _with_boundary(dataset, store))
    else:
        figure = draw_any(dataset, variable, x, y)
    for line in (*describe_store(dataset, store), ""):
        echo(line)
    writable_folder("--output", path.parent)
    figure.savefig(path, dpi=150)
    return [path]


def _with_boundary(dataset: Any, store: Path) -> list[Any]:
    name = dataset.attrs.get("boundary")
    try:
        return [dataset, sweep.open(store.with_name(name))] if name else [dataset]
    except ValueError:
        return [dataset]


# --- the demo ---


def demonstrate(folder: Path, quick: bool, echo: Callable[[str], None]) -> Sequence[Path]:
    """A small map of loads and strengths, with its boundary."""
    points = 6 if quick else 12
    request = prepare_load(
        Ways(folder, devices=1, fresh=True),
        strengths=(0.0, 0.8, points),
        loads=(0.02, 0.35, points),
        samples=512 if quick else 1024,
        steps=20 if quick else 40,
        repeats=2 if quick else 4,
    )
    return run_and_report(request, echo)[:1]
