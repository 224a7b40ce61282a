"""What `hopfield-jax sequence` and `hopfield-jax gains` print, draw and save, and their part of the demo."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.tree_util as jtu
import numpy as np

from .. import plot
from .._misc import default_float
from .._results import describe_result, is_okay
from ..sequential import Ending, GainScan, SequenceRun, count_transitions, critical_gain, escape_time
from ._report import save_json, table, versions
from ._sequential import Request, prepare, run, run_all, scan

_FIRST, _LAST = 14, 4  # visits that are printed of a long sequence
_ROWS = 7
_COBWEBS = (3.5, 4.0, 5.0)
_DEMO_SHOWN = {5.0: "it goes on", 3.5: "it collapses"}  # of the gains of the demo
_ENDINGS = ("running", "collapse", "end_of_chain", "decayed_at_start", "no_escape", "tie", "not_nucleated")
_ENDINGS += ("wrong_sign", "invalid")


def describe_request(request: Request) -> list[str]:
    """What is computed, for people."""
    num_patterns, num_neurons = request.network.patterns.shape
    first = "κ" if request.saliency is None else f"{request.saliency:g}"
    if request.gains is None:
        gain = f"κ = {float(request.network.gain):g}"
    else:
        gain = f"{len(request.gains)} gains κ from {request.gains[0]:g} to {request.gains[-1]:g}"
    return [
        f"Sequences of P = {num_patterns} memories in N = {num_neurons} neurons until t = {request.t1:g}, {gain}; the "
        f"first memory starts with saliency Z₀ = {first}.",
        *describe_network(request),
    ]


def describe_network(request: Request) -> list[str]:
    """Its equations, units and order."""
    net = request.network
    noise = f"σ_f = {float(net.noise_fast):g}, σ_s = {float(net.noise_slow):g}, seed {request.seed}"
    return [
        f"  fast       τ_f dx/dt = -x + W(u) ψ(x) + ε u, τ_f = {float(net.tau_fast):g}, "
        f"ε = {float(net.input_coupling):g}, {request.units}",
        "  synapses   W(u) = (1/N) Σ a ξξᵀ with saliencies a = ξ·u/N",
        f"  slow       τ_s du/dt = -u + κ Σ m ξ' with overlaps m = ξ·ψ(x)/N, ξ' following ξ, "
        f"τ_s = {float(net.tau_slow):g}",
        f"  order      {request.transitions}",
        f"  noise      {noise if request.key is not None else 'none'}",
    ]


def visits(found: SequenceRun) -> list[dict[str, Any]]:
    """Of each memory in turn: when it came and went, with what saliency, and what the saliency map makes of that."""
    count, numbers = int(found.num_transitions), found.setting.numbers
    order, sign = (np.asarray(x)[: count + 1] for x in (found.order, found.sign))
    times, dwell, handed = (
        np.asarray(x)[:count] for x in (found.switch_times, found.dwell_times, found.switch_saliency)
    )
    saliency = np.append(numbers["saliency"], handed[np.arange(count), order[1:]])
    columns = {
        "visit": np.arange(count + 1) + 1,
        "memory": order,
        "sign": sign,
        "from": np.append(0.0, times),
        "to": np.append(times, np.nan),
        "dwell_time": np.append(dwell, np.nan),
        "saliency": saliency,
        "expected": np.asarray(numbers["tau_slow"]) * np.asarray(escape_time(saliency)),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*(x.tolist() for x in columns.values()), strict=True)]


def describe_run(found: SequenceRun) -> list[str]:
    """The table of visits, and the card."""
    header = ("visit", "memory", "sign", "from", "to", "dwell time", "saliency Z at start", "τ_s log Z")
    rows = [
        (
            f"{v['visit']}",
            f"{v['memory']}",
            "+" if v["sign"] > 0 else "-",
            *(_number(v[name]) for name in ("from", "to", "dwell_time", "saliency", "expected")),
        )
        for v in visits(found)
    ]
    if len(rows) > _FIRST + _LAST:
        rows = [*rows[:_FIRST], ("…",) * len(header), *rows[-_LAST:]]
    legend = "τ_s log Z: the dwell time in the limit of fast neurons; -: the last memory, which no other one followed."
    return [*table(header, rows, num_names=0), "", legend, "", *describe_card(found)]


def describe_scan(found: GainScan) -> list[str]:
    """Where retrieval goes on, periods against their limit, and where it stops the number of memories."""
    gain, settled, limit = (np.asarray(x, np.float64) for x in (found.gain, found.period, found.period_limit))
    going = np.isfinite(settled)
    stopped = np.asarray(is_okay(found.result)) & ~going
    lines = []
    if np.any(going):
        few = _some(np.flatnonzero(going))
        rows = [
            (f"{gain[i]:.4g}", _number(settled[i]), _number(limit[i]), _number(100 * (settled[i] / limit[i] - 1), 1))
            for i in few
        ]
        lines += [
            f"Retrieval goes on at {going.sum()} of {len(gain)} gains, the smallest is {gain[going].min():.4g} (by the "
            f"saliency map: 4{_cycle_limit(found)}).",
            "",
            *table(("gain κ", "period", "limit τ_s log Z+", "more by %"), rows, num_names=0),
            "",
        ]
    else:
        lines += ["Retrieval goes on at none of the gains.", ""]
    if np.any(stopped):
        start = found.setting.numbers.get("saliency")
        expected = np.asarray(count_transitions(found.gain, found.gain if start is None else start)).tolist()
        seen, endings = (np.asarray(found.num_transitions) + 1).tolist(), _endings(found)
        rows = [
            (f"{gain[i]:.4g}", f"{seen[i]}", f"{expected[i]}" if expected[i] >= 0 else "never ends", _words(endings[i]))
            for i in _some(np.flatnonzero(stopped))
        ]
        header = ("gain κ", "memories retrieved", "by the saliency map", "ending")
        lines += [f"It stops at {stopped.sum()} of them.", "", *table(header, rows, num_names=0), ""]
        for name in sorted({endings[i] for i in np.flatnonzero(stopped)}, key=_ENDINGS.index):
            lines += textwrap.wrap(f"{_words(name)}: {Ending[getattr(Ending, name)]}", 110, subsequent_indent="  ")
        lines.append("")
    return [*lines, *describe_card(found)]


def _cycle_limit(found: GainScan) -> str:
    """What a short cycle makes of the critical gain, where that is seen."""
    num_patterns = int(dict(found.setting.parts)["P"])
    exact = float(critical_gain(num_patterns))
    return f"; in a cycle of {num_patterns}: {exact:.4g}" if exact < 3.999 else ""


def _endings(found: GainScan) -> list[str]:
    names = [""] * len(found.gain)
    for name in _ENDINGS:
        for i in np.flatnonzero(np.asarray(found.ending == getattr(Ending, name))):
            names[i] = name
    return names


def _some(indices: np.ndarray) -> list[int]:
    """At most a handful of them, evenly, with the first and the last."""
    return indices[np.unique(np.linspace(0, len(indices) - 1, _ROWS).round().astype(int))].tolist()


def _number(x: float | np.float64, digits: int = 4) -> str:
    return f"{x:z.{digits}f}" if np.isfinite(x) else "-"


def _words(name: str) -> str:
    return name.replace("_", " ")


def describe_card(result: Any) -> list[str]:
    """A result's card, in lines of at most 110."""
    lines = str(result).splitlines()
    return [lines[0], *(part for line in lines[1:] for part in textwrap.wrap(line.strip(), 110, **_INDENT))]


_INDENT: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "    "}


# --- what is left behind ---


def save_run(request: Request, found: SequenceRun, seconds: float) -> list[Path]:
    """Writes the figure and the numbers of one run; returns the files."""
    from matplotlib.figure import Figure

    figure = Figure((11.5, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.1))
    above = figure.add_subplot(grid[0, :2])
    below = figure.add_subplot(grid[1, :2], sharex=above)
    plot.sequence(found, ax=above).set_xlabel("")
    plot.saliencies(found, ax=below)
    plot.dwell_times(found, ax=figure.add_subplot(grid[:, 2]))
    figure.savefig(path := request.output / "sequence.png", dpi=150)
    content = {
        "visits": visits(found),
        "num_transitions": found.num_transitions,
        "num_correct": found.num_correct,
        "period": found.period,
        "collapsed": found.collapsed,
        "collapse_time": found.collapse_time,
        "ending": next(name for name in _ENDINGS if bool(found.ending == getattr(Ending, name))),
        "result": describe_result(found.result),
    }
    return [path, *_save_numbers("sequence", request, found, content, seconds)]


def save_scan(request: Request, found: GainScan, seconds: float) -> list[Path]:
    """Writes the figure and the numbers of a scan; returns the files."""
    from matplotlib.figure import Figure

    figure = Figure((11.5, 8.4), layout="constrained")
    grid = figure.add_gridspec(2, len(_COBWEBS), height_ratios=(1.1, 1))
    plot.gain_scan(found, ax=figure.add_subplot(grid[0, :]))
    for i, gain in enumerate(_COBWEBS):
        plot.cobweb(gain, gain if request.saliency is None else request.saliency, ax=figure.add_subplot(grid[1, i]))
    figure.savefig(path := request.output / "gains.png", dpi=150)
    going = np.isfinite(np.asarray(found.period))
    content = {
        "smallest_gain": np.min(np.asarray(found.gain), where=going, initial=np.inf),
        "num_going_on": going.sum(),
        "endings": _endings(found),
        "num_failed": np.sum(~np.asarray(is_okay(found.result))),
    }
    return [path, *_save_numbers("gains", request, found, content, seconds)]


def _save_numbers(
    command: str, request: Request, found: SequenceRun | GainScan, content: dict[str, Any], seconds: float
) -> list[Path]:
    arrays, numbers = request.output / f"{command}.npz", request.output / f"{command}.json"
    kept = {
        field.name: np.asarray(value)
        for field in dataclasses.fields(found)
        if isinstance(value := getattr(found, field.name), jax.Array)
    }
    np.savez_compressed(arrays, **kept)  # pyright: ignore[reportArgumentType]
    save_json(
        numbers,
        {
            "command": f"hopfield-jax {command}",
            "parameters": {"seed": request.seed, "transitions": request.transitions}
            | dict(found.setting.parts)
            | found.setting.numbers,
            "results": content,
            "seconds": seconds,
            "versions": versions(),
            "device": f"{jax.devices()[0].platform}, {jax.devices()[0].device_kind}",
            "dtype": str(default_float()),
        },
    )
    return [numbers, arrays]


def run_and_report(request: Request, echo: Callable[[str], None]) -> list[Path]:
    """The whole of a command once its request is checked; returns the files."""
    for line in (*describe_request(request), ""):
        echo(line)
    if request.gains is None:
        found, seconds = run(request)
        lines, save = describe_run(found), lambda: save_run(request, found, seconds)
    else:
        scanned, seconds = scan(request)
        lines, save = describe_scan(scanned), lambda: save_scan(request, scanned, seconds)
    for line in (*lines, f"Compilation and run {seconds:.1f} s.", ""):
        echo(line)
    return save()


# --- the demo ---


def demonstrate(folder: Path, quick: bool, echo: Callable[[str], None]) -> Sequence[Path]:
    """A sequence that goes on, one that collapses, and what lies between: a short table and one figure."""
    from matplotlib.figure import Figure

    request = prepare(output=folder, gains=(3.0, 6.0, 13 if quick else 31))
    for line in (*describe_request(request), ""):
        echo(line)
    runs, found, seconds = run_all(request)
    for line in (*describe_scan(found), f"Compilation and runs {seconds:.1f} s.", ""):
        echo(line)
    figure = Figure((11.5, 7.0), layout="constrained")
    rasters, (left, right) = figure.subplots(2, 2)
    for ax, (gain, said) in zip(rasters, _DEMO_SHOWN.items(), strict=True):
        plot.sequence(at_gain(runs, gain), ax=ax).title.set_text(f"κ = {gain:g}: {said}")
    rasters[0].collections[0].colorbar.remove()  # the other one has the same
    plot.saliencies(at_gain(runs, next(iter(_DEMO_SHOWN))), ax=left)
    plot.gain_scan(found, ax=right)
    figure.savefig(path := folder / "sequence.png", dpi=150)
    return [path]


def at_gain(runs: SequenceRun, gain: float) -> SequenceRun:
    """The one of a batch of runs whose gain is closest."""
    i = int(np.argmin(np.abs(np.asarray(runs.setting.numbers["gain"]) - gain)))
    return jtu.tree_map(lambda x: x[i], runs)
