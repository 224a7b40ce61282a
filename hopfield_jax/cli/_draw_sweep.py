"""The figures of sweeps."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import plot
from .._checks import fail
from .._misc import default_float
from ..sequential import count_transitions, period

_SIZES = {"load": (7.6, 5.6), "gains": (8.2, 7.6), "sequence": (11.6, 4.8)}


def draw(command: str, found: Sequence[Any]) -> Any:
    """The figure of a command, from what its stores hold."""
    from matplotlib.figure import Figure

    figure = Figure(_SIZES[command], layout="constrained")
    DRAWINGS[command](figure, *found)
    return figure


def averaged(boundary: Any) -> Any:
    """The mean over the repeats in which there is a boundary, and its standard error, NaN for one alone."""
    load = boundary["load"].astype(np.float64)
    if "replicate" not in load.dims:
        return boundary.assign(load_error=load * math.nan)
    count = load.notnull().sum("replicate")
    error = (load.std("replicate", ddof=0) / np.sqrt((count - 1).clip(0))).where(count > 1)
    mean = load.mean("replicate").assign_attrs(boundary["load"].attrs)
    return mean.to_dataset(name="load").assign(load_error=error)


def _draw_load(figure: Any, dataset: Any, boundary: Any = None) -> None:
    critical = float(dataset.attrs.get("critical_load", math.nan))
    theory = {f"$α_c$ = {critical:.4g}: stationary, λ = 0": (0.0, critical)} if math.isfinite(critical) else None
    axes = figure.subplots()
    if boundary is not None and "replicate" in boundary.dims:
        mean = averaged(boundary)
        error = mean["load_error"].fillna(0)
        boundary = mean.assign(load_lower=mean["load"] - error, load_upper=mean["load"] + error)
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


DRAWINGS: dict[str, Callable[..., None]] = {"load": _draw_load, "gains": _draw_gains, "sequence": _draw_sequence}


def draw_any(dataset: Any, variable: str | None, x: str | None, y: str | None) -> Any:
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
    further = [name for name in long if name not in (first, second) and not _counts_up(dataset[name])]
    if second is None:
        plot.profile(dataset, chosen, x=first, ax=figure.subplots())
    elif further:  # a curve for each value of what a map would average over
        plot.profile(dataset, chosen, x=first, each=second, ax=figure.subplots())
    else:
        plot.phase_diagram(dataset, chosen, x=first, y=second, ax=figure.subplots())
    return figure


def _counts_up(axis: Any) -> bool:
    """Whether an axis looks like one of replicates: 0, 1, 2 and so on."""
    values = np.asarray(axis.values)
    return values.dtype.kind in "iu" and np.array_equal(values, np.arange(len(values)))
