"""What `hopfield-jax sweep` and `show` print, draw and save, and their part of the demo."""

import json
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import plot, sweep
from .._checks import fail
from .._misc import default_float
from ..sequential import count_transitions, period
from ._report import plus_minus, save_json, table, versions, writable_folder
from ._sweep import Request, Ways, num_finished, plan, prepare_load, run

_ROWS = 6
_SIZES = {"load": (7.6, 5.6), "gains": (8.2, 7.6), "sequence": (11.6, 4.8)}


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
    strength, load = (np.asarray(boundary[name].values, np.float64) for name in ("strength", "load"))
    half = (boundary["load_upper"] - boundary["load_lower"]).values.astype(np.float64) / 2
    known = np.isfinite(load)
    best = int(np.nanargmax(load)) if np.any(known) else None
    return {
        "critical_load": dataset.attrs.get("critical_load"),
        "strength": strength,
        "largest_load": load,
        "half_bracket": half,
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
    # Two successes and two failures added (Agresti and Coull), so that the error is never zero.
    shrunk = (right + 2) / (known + 4)
    error = np.where(known > 0, np.sqrt(shrunk * (1 - shrunk) / (known + 4)), np.nan)
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
    strength, load, half = (numbers[name] for name in ("strength", "largest_load", "half_bracket"))
    shown = np.unique(np.linspace(0, len(strength) - 1, _ROWS).round().astype(int))
    rows = [(f"{strength[i]:.3g}", _within(load[i], half[i])) for i in shown]
    lines = [*table(("strength λ", "largest load α_max"), rows, num_names=0), ""]
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
        lines.append(f"Strengths without a boundary between the loads searched: {said}.")
    return lines


def _within(value: float, half: float) -> str:
    return f"{value:.4f} ± {half:.1g}" if math.isfinite(value) else "-"


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


# --- figures ---


def draw(command: str, found: Sequence[Any]) -> Any:
    """The figure of a command, from what its stores hold."""
    from matplotlib.figure import Figure

    figure = Figure(_SIZES[command], layout="constrained")
    _DRAWINGS[command](figure, *found)
    return figure


def _draw_load(figure: Any, dataset: Any, boundary: Any = None) -> None:
    critical = float(dataset.attrs.get("critical_load", math.nan))
    theory = {f"$α_c$ = {critical:.4g}: stationary, λ = 0": (0.0, critical)} if math.isfinite(critical) else None
    axes = figure.subplots()
    plot.phase_diagram(dataset, "overlap", x="strength", y="load", boundary=boundary, theory=theory, ax=axes)
    axes.title.set_text("How much a network retrieves while its synapses learn")


def _draw_gains(figure: Any, dataset: Any) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    plot.profile(dataset, "period", x="gain", each="ratio", ax=above)
    gain = dataset["gain"].values.astype(np.float64)
    style: dict[str, Any] = {"color": "#333333", "linewidth": 1.4, "linestyle": (0, (5, 2))}
    if gain[-1] > 4:
        # Closer to each other where the curve begins, which it does vertically.
        first = max(gain[0], 4.0)
        fine = first + (gain[-1] - first) * np.linspace(0, 1, 200) ** 2
        limit = np.asarray(period(fine.astype(default_float())))
        above.plot(fine, limit, label=r"fast neurons: $\log Z_+$, κ ≥ 4", **style)
    above.legend(frameon=False, fontsize="small", loc="lower right")
    above.set_ylim(bottom=0)
    above.set_xlabel("")
    above.title.set_text("Where sequences go on, and how fast")
    stopped = dataset.assign(transitions=dataset["transitions"].where(dataset["collapsed"]))
    plot.profile(stopped, "transitions", x="gain", each="ratio", ax=below)
    said = []
    small = gain[gain < 4].astype(default_float())
    if small.size:
        by_map = np.asarray(count_transitions(small, small), np.float64) - 1
        said = below.plot(small, np.where(by_map >= 0, by_map, np.nan), label="saliency map", zorder=1, **style)
    for text in list(below.texts):  # the conditions stand above
        text.remove()
    below.set_title("Transitions before the collapse", fontsize="medium", color="#333333", pad=6)
    below.set_ylabel("transitions")
    if said:
        below.legend(handles=said, frameon=False, fontsize="small", loc="upper right")
    else:
        below.get_legend().remove()
    below.set_xlim(gain[0], gain[-1])


def _draw_sequence(figure: Any, dataset: Any) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    plot.phase_diagram(dataset, "success", x="gain", y="memories", ax=left)
    left.title.set_text("Random memories that follow each other")
    left.collections[0].set_clim(0, 1)
    neurons = json.loads(dataset.attrs.get("parameters", "{}")).get("neurons")
    if neurons:
        left.set_yticks(left.get_yticks(), [f"{p}\n({int(p) / neurons:.3g})" for p in dataset["memories"].values])
        left.set_ylabel("random memories P (load α = P/N)")
    again = dataset.assign_attrs(conditions="")  # they stand on the left
    plot.profile(again, "success", x="gain", each="memories", ax=right)
    right.set_ylim(-0.03, 1.03)
    right.title.set_text("The same, with errors")
    right.set_ylabel("share without an error")


_DRAWINGS: dict[str, Callable[..., None]] = {"load": _draw_load, "gains": _draw_gains, "sequence": _draw_sequence}


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
    general = command not in _DRAWINGS or variable is not None or x is not None or y is not None
    if command == "load" and "overlap" not in dataset:  # the boundary's own store
        general = True
    if not general:
        figure = draw(command, _with_boundary(dataset, store))
    else:
        figure = _draw_general(dataset, variable, x, y)
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


def _draw_general(dataset: Any, variable: str | None, x: str | None, y: str | None) -> Any:
    from matplotlib.figure import Figure

    outputs = [
        str(name) for name in dataset.data_vars if name != "point_status" and "flag_meanings" not in dataset[name].attrs
    ]
    if variable is None and not outputs:
        fail("STORE", "a sweep with an output that is a number", ", ".join(map(str, dataset.data_vars)))
    chosen = outputs[0] if variable is None else variable
    if chosen not in dataset.data_vars:
        fail("--variable", f"one of {', '.join(outputs)}", chosen)
    dims = [str(name) for name in dataset[chosen].dims]
    # Numbers before choices before what is alone, and replicates are averaged over.
    long = [name for name in dims if dataset.sizes[name] > 1] or dims
    alike = [name for name in long if name in dataset.coords and not _counts_up(dataset[name])] or long
    for option, name in (("--x", x), ("--y", y)):
        if name is not None and name not in dims:
            fail(option, f"one of {', '.join(dims)}", name)
    first = x if x is not None else next(name for name in [*alike, *long, *dims] if name != y or len(dims) == 1)
    second = y if y is not None else next((name for name in alike if name != first), None)
    if second == first:
        fail("--y", f"an axis other than --x {first}", second)
    figure = Figure((6.8, 5.0), layout="constrained")
    if second is None:
        plot.profile(dataset, chosen, x=first, ax=figure.subplots())
    else:
        plot.phase_diagram(dataset, chosen, x=first, y=second, ax=figure.subplots())
    return figure


def _counts_up(axis: Any) -> bool:
    """Whether an axis looks like one of replicates: 0, 1, 2 and so on."""
    values = np.asarray(axis.values)
    return values.dtype.kind in "iu" and np.array_equal(values, np.arange(len(values)))


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
    )
    return run_and_report(request, echo)[:1]
