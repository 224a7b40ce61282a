"""Sequential retrieval: overlaps, saliencies, dwell times, and scans over the gain."""

import math

import numpy as np

from .._checks import fail
from .._results import Setting, is_okay
from ..sequential import Ending, count_transitions, fixed_points, period
from ..sequential.results import GainScan, SequenceRun
from ._style import ACCENT, FAINT, GLUE, INK, Axes, axes_for, colour, finish, numbers, say_facts

_TIME = "time t (units of the time constants)"
_SYMBOLS = {"gain": "κ", "saliency": "Z₀", "tau_fast": "τ_f", "tau_slow": "τ_s", "input_coupling": "ε"}
_SYMBOLS |= {"noise_fast": "σ_f", "noise_slow": "σ_s"}
_SYMBOLS = {name: f"${x}$" if "_" in x else x for name, x in _SYMBOLS.items()}
_USUAL = {"noise_fast": 0.0, "noise_slow": 0.0}  # defaults are not printed
_SLOPES = {"HardTanh": 1.0, "LogCosh": 1.0, "Erf": 2 / math.sqrt(math.pi)}  # of the activation at zero, for β = 1
_STOPS = {"collapse": "o", "end_of_chain": "s", "decayed_at_start": "v", "no_escape": "D", "tie": "P"}
_STOPS |= {"not_nucleated": "X", "wrong_sign": "^", "running": "_"}
_MAX_LABELS = 24


def sequence(run: SequenceRun, *, ax: Axes | None = None) -> Axes:
    """Plots the overlaps with all memories against time, one row per memory.

    Thin lines mark switches; the time after a collapse is shaded.

    **Arguments:**

    - `run`: of `hopfield_jax.sequential.retrieve_sequence`; `saveat` must resolve the dwell times.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes, with a colour bar.

    **Raises:** `ValueError` for a batch of runs.
    """
    _is_one("run", run.num_transitions.ndim, run.num_transitions.shape)
    times, overlap = numbers("run.times", run.times, 1), numbers("run.overlap", run.overlap, 2)
    num_patterns = overlap.shape[1]
    axes = axes_for(ax, (6.5, 3.0))
    size = max(1.0, np.nanmax(np.abs(overlap), initial=0.0))
    rows = np.arange(num_patterns + 1) - 0.5
    image = axes.pcolormesh(_edges(times), rows, overlap.T, cmap="RdBu_r", vmin=-size, vmax=size, rasterized=True)
    axes.figure.colorbar(image, ax=axes, pad=0.02).set_label("overlap m")
    _mark_switches(axes, run)
    step = math.ceil(num_patterns / 16)
    axes.set_yticks(range(0, num_patterns, step))
    count = int(run.num_transitions)
    title = f"{count + 1} retrievals in a row" if count else "One memory, and no other after it"
    title += ", then collapse" if bool(run.collapsed) else ""
    finish(axes, title=title, x=_TIME, y="memory")
    return say_facts(axes, _conditions(run.setting))


def saliencies(run: SequenceRun, *, ax: Axes | None = None) -> Axes:
    """Plots the saliency of each memory against time, coloured in the order of retrieval (grey: never retrieved).

    Memories are numbered at their switches. At the escape level the active memory loses its stability.

    **Arguments:**

    - `run`: of `hopfield_jax.sequential.retrieve_sequence`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for a batch of runs.
    """
    _is_one("run", run.num_transitions.ndim, run.num_transitions.shape)
    times, curves = numbers("run.times", run.times, 1), numbers("run.saliency", run.saliency, 2)
    axes = axes_for(ax, (6.5, 3.0))
    visits, starts, peaks = _visits(run)
    first = list(dict.fromkeys(visits.tolist()))
    colours = dict(zip(first, _in_order(len(first)), strict=True))
    for memory in [m for m in range(curves.shape[1]) if m not in colours] + first[::-1]:
        known = memory in colours
        axes.plot(
            times,
            curves[:, memory],
            color=colours.get(memory, FAINT),
            linewidth=1.6 if known else 0.8,
            zorder=2 + known,
        )
    level = _escape_level(run.setting)
    axes.axhline(level, color=ACCENT, linewidth=1.4, linestyle=(0, (5, 2)), zorder=4)
    _mark_switches(axes, run)
    named = set()
    for memory, when, peak in zip(visits.tolist(), starts, peaks, strict=True):
        if memory in named and len(visits) > _MAX_LABELS or not np.isfinite(peak):
            continue
        named.add(memory)
        at_edge = when == times[0]
        place = {"xytext": (3 * at_edge, 3 - 3 * at_edge), "textcoords": "offset points", "va": "bottom"}
        place |= {"ha": "left" if at_edge else "center"}
        axes.annotate(f"{memory}", (when, peak), color=colours[memory], fontsize="small", fontweight="bold", **place)
    axes.margins(y=0.12)
    label = f"escape level {level:.3g}"
    box = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
    axes.text(0.995, level, label, color=ACCENT, fontsize="small", bbox=box, zorder=5, **place)
    finish(axes, title="Saliencies: the active one decays, its successor grows", x=_TIME, y="saliency a")
    return say_facts(axes, _conditions(run.setting))


def dwell_times(run: SequenceRun, *, ax: Axes | None = None) -> Axes:
    r"""Plots the dwell time of each memory against the logarithm of its saliency Z at the switch.

    In the limit of fast neurons the dwell time is $\tau_s\log Z$ (line), and from gain 4 on tends to $\tau_s\log Z_+$.

    **Arguments:**

    - `run`: of `hopfield_jax.sequential.retrieve_sequence`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes; the colour bar counts the visits.

    **Raises:** `ValueError` for a batch of runs.
    """
    _is_one("run", run.num_transitions.ndim, run.num_transitions.shape)
    axes = axes_for(ax, (4.8, 3.8))
    from matplotlib.colors import ListedColormap

    count, tau = int(run.num_transitions), float(run.setting.numbers["tau_slow"])
    gain = float(run.setting.numbers["gain"])
    upper = float(fixed_points(gain).upper) if 4 <= gain < math.inf else math.nan
    peaks = _visits(run)[2][:count]
    dwell = numbers("run.dwell_times", run.dwell_times, 1)[:count]
    positive = peaks > 0
    x = np.log(np.where(positive, peaks, np.nan))
    limit = [math.log(upper)] if math.isfinite(upper) else []
    shown = np.array([*x[positive], *dwell[positive] / tau, *limit]) if count or limit else np.array([0.0, 1.0])
    margin = max(0.15 * np.ptp(shown), 0.05)
    low, high = max(0.0, np.min(shown) - margin), np.max(shown) + margin
    axes.plot(
        [low, high],
        [tau * low, tau * high],
        color=INK,
        linewidth=1.2,
        zorder=1,
        label=r"saliency map: $\tau_s\,\log Z$",
    )
    if limit:
        here = limit[0], tau * limit[0]
        label = rf"its fixed point $\tau_s\,\log Z_+$ = {here[1]:.3g}"
        axes.plot(*here, "*", color=ACCENT, markersize=15, markeredgecolor="white", zorder=2, label=label)
    colours = ListedColormap(_in_order(max(count, 1)))
    style = {"cmap": colours, "vmin": 0.5, "vmax": max(count, 1) + 0.5, "edgecolors": "white", "linewidths": 0.6}
    points = axes.scatter(x, dwell, s=46, c=np.arange(count) + 1.0, zorder=3, **style)
    if count:
        bar = axes.figure.colorbar(points, ax=axes, pad=0.02)
        bar.set_label("visit")
        bar.locator = _whole_numbers()
        bar.update_ticks()
    axes.set(xlim=(low, high), ylim=(tau * low, tau * high))
    finish(
        axes,
        title="A memory stays until its saliency is used up",
        x="log Z, saliency at take-over",
        y="dwell time (units of the time constants)",
    ).legend(frameon=False, fontsize="small", loc="upper left")
    return say_facts(axes, _conditions(run.setting))


def gain_scan(scan: GainScan, *, ax: Axes | None = None) -> Axes:
    r"""Plots the settled period against the gain and, where retrieval stops (shaded), the number of transitions.

    Periods are on the left axis, with their limit $\tau_s\log Z_+$ for fast neurons, which begins at gain 4.
    Transitions are on the right axis, one marker per kind of ending, with the saliency map's number below gain 4.
    Failed runs are left out.

    **Arguments:**

    - `scan`: of `hopfield_jax.sequential.scan_gains`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes of the periods; the Axes of the transitions is its twin.

    **Raises:** `ValueError` for a batch of scans.
    """
    _is_one("scan", scan.gain.ndim - 1, scan.gain.shape[:-1])
    order = np.argsort(np.asarray(scan.gain))
    gain, settled, transitions = (numbers("scan", x, 1)[order] for x in (scan.gain, scan.period, scan.num_transitions))
    okay = np.asarray(is_okay(scan.result))[order]
    going = np.isfinite(settled)
    stopped = okay & ~going
    axes = axes_for(ax, (6.5, 3.8))
    edges = np.repeat(_edges(gain), 2)[1:-1]
    whole = {"transform": axes.get_xaxis_transform(), "color": FAINT, "alpha": 0.25, "linewidth": 0, "zorder": 0}
    axes.fill_between(edges, 0, 1, where=np.repeat(stopped, 2).tolist(), **whole)
    drawn = []
    if np.any(going):
        smallest = gain[going][0]
        drawn += axes.plot(gain[going], settled[going], "o-", color=colour(0), markersize=4.5, linewidth=1.2)
        drawn[-1].set_label("period of the network")
        drawn.append(axes.axvline(smallest, color=colour(2), linewidth=1.4, zorder=1))
        drawn[-1].set_label(f"goes on from κ = {smallest:.4g}")
    if gain[-1] > 4:
        # Denser near gain 4, where the curve begins vertically.
        fine = 4 + (gain[-1] - 4) * np.linspace(math.sqrt(max(gain[0] - 4, 0) / (gain[-1] - 4)), 1, 200) ** 2
        limit = float(scan.setting.numbers["tau_slow"]) * np.asarray(period(np.maximum(fine, 4)))
        drawn += axes.plot(
            fine, limit, color=INK, linewidth=1.4, linestyle=(0, (5, 2)), label=r"limit $\tau_s\,\log Z_+$"
        )
    if not drawn:
        axes.set_yticks([])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    finish(axes, title="Where sequences go on, and how fast", x="gain κ", y="period (units of the time constants)")
    axes.yaxis.label.set_color(colour(0))
    top = axes
    if np.any(stopped):
        top = axes.twinx()
        drawn += _stops(top, scan, gain, transitions, stopped, order)
        top.set_ylabel("transitions before the end", color=ACCENT)
        top.spines["top"].set_visible(False)
        top.yaxis.set_major_locator(_whole_numbers())
    top.legend(handles=drawn, frameon=False, fontsize="small", loc="lower right")
    return say_facts(axes, _conditions(scan.setting))


def _is_one(argument: str, ndim: int, shape: tuple[int, ...]) -> None:
    if ndim:
        fail(argument, f"one {argument}, `jax.tree.map(lambda x: x[0], batch)`", f"{shape} of them")


def _visits(run: SequenceRun) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Memory, starting time and saliency at that time, for each visit."""
    count = int(run.num_transitions)
    order = np.asarray(run.order)[: count + 1]
    switches = np.asarray(run.switch_times, np.float64)[:count]
    handed = np.asarray(run.switch_saliency, np.float64)[np.arange(count), order[1:]]
    start = float(run.setting.numbers["saliency"])
    return order, np.concatenate([[float(run.times[0])], switches]), np.concatenate([[start], handed])


def _escape_level(setting: Setting) -> float:
    """Saliency below which a memory is unstable: the inverse slope of the activation at zero."""
    slope = float(setting.numbers.get("units.beta", np.ones(()))) * _SLOPES.get(dict(setting.parts)["units"], 1.0)
    return 1 / slope


def _mark_switches(axes: Axes, run: SequenceRun) -> None:
    """Draws thin lines at the switches, shades the time after a collapse, and sets the limits of the time axis."""
    times = numbers("run.times", run.times, 1)
    for when in np.asarray(run.switch_times)[: int(run.num_transitions)]:
        axes.axvline(float(when), color=INK, linewidth=0.5, alpha=0.45, zorder=1.5)
    if bool(run.collapsed) and np.isfinite(end := float(run.collapse_time)):
        axes.axvspan(end, times[-1], color=FAINT, alpha=0.35, linewidth=0, zorder=1)
        axes.axvline(end, color=INK, linewidth=1.4, linestyle=(0, (1, 1)), zorder=4)
        place = {"transform": axes.get_xaxis_transform(), "ha": "right" if end > times[-1] / 2 else "left", "va": "top"}
        pad = GLUE
        axes.text(end, 0.97, f"{pad}collapse{pad}", color=INK, fontsize="small", zorder=5, **place)
    axes.set_xlim(times[0], times[-1])


def _stops(
    axes: Axes, scan: GainScan, gain: np.ndarray, transitions: np.ndarray, stopped: np.ndarray, order: np.ndarray
):
    """Plots the number of transitions before each kind of ending; returns the legend's handles."""
    drawn = []
    for name, marker in _STOPS.items():
        here = stopped & np.asarray(scan.ending == getattr(Ending, name))[order]
        if np.any(here):
            label = "no transition yet" if name == "running" else name.replace("_", " ") + " after so many"
            style = {"linestyle": "none", "markersize": 5, "color": ACCENT, "label": label}
            drawn += axes.plot(gain[here], transitions[here], marker, **style)
    highest = 1.3 * np.max(transitions[stopped], initial=4)
    if np.any(stopped & np.asarray(scan.ending == Ending.collapse)[order]) and gain[0] < 4:
        fine = np.linspace(gain[0], min(4, gain[-1]), 2001)[1:-1]
        start = float(scan.setting.numbers["saliency"]) if "saliency" in scan.setting.numbers else fine
        # The map counts retrieved memories, one more than transitions.
        count = np.asarray(count_transitions(fine, start)) - 1.0
        drawn += axes.plot(fine, np.where(count < highest, count, np.nan), color=ACCENT, linewidth=1.0, alpha=0.6)
        drawn[-1].set_label("collapse of the saliency map")
    axes.set_ylim(0, highest)
    return drawn


def _in_order(count: int) -> list[str]:
    """Colours from early to late, all dark enough for a white background."""
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(c) for c in matplotlib.colormaps["viridis"](np.linspace(0, 0.88, count))]


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges of the cells around the given positions."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def _whole_numbers():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, nbins=8)


def _conditions(setting: Setting) -> list[str]:
    """The conditions of a run, in the field's symbols."""
    parts = dict(setting.parts)
    one = {name: float(x) for name, x in setting.numbers.items() if np.size(x) == 1}
    said = [f"{_SYMBOLS[name]} = {one[name]:.4g}" for name in _SYMBOLS if name in one and one[name] != _USUAL.get(name)]
    said += [f"{name} = {parts[name]}" for name in ("P", "N") if name in parts]
    beta = [f"β = {one['units.beta']:.4g}"] if one.get("units.beta", 1.0) != 1 else []
    return [*said, " ".join([parts["units"], "units", *beta])]
