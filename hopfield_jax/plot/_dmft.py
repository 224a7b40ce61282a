"""Retrieval with plastic synapses: trajectories of theory and simulation, two-time quantities, scans, thresholds."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Real

from .._checks import fail
from .._results import RESULTS, Setting
from .._threshold import Threshold
from .._types import ArrayLike
from ..dmft.results import NoiseStatistics, OptimalStrength, OrderParameters, StrengthScan
from ._style import ACCENT, FAINT, INK, Axes, axes_for, colour, finish, numbers, say_facts

_TIME = "time t (units of the neurons' time constant)"
_STEPS = [1, 2, 5, 10]  # of the ticks: matplotlib's default includes 2.5, but times are often integers
_SAID = {
    "cue.overlap": "m₀ =",
    "load": "α =",
    "coupling": "g =",
    "kernel.strength": "λ =",
    "kernel.tau": "τ =",
    "dt": "dt =",
}
_SAID |= {"num_steps": "T =", "threshold": "retrieved: m ≥"}
_USUAL = {"coupling": 1.0, "cue_field": 0.0, "pattern_field": 0.0}  # defaults are not printed
# Label of each (times, times) quantity, and whether it is zero unless s < t.
_QUANTITIES = {
    "correlation": ("correlation $C_{ts}$", False),
    "noise_covariance": ("covariance of the crosstalk noise", False),
    "response": ("response $G_{ts}$", True),
    "crosstalk_feedback": ("crosstalk feedback $F_{ts}$", True),
    "plastic_feedback": (r"plastic feedback $\lambda K_{ts}C_{ts}$", True),
}


def order_parameters(
    theory: OrderParameters, network: OrderParameters | None = None, *, ax: Axes | None = None
) -> Axes:
    """Plots the overlaps with pattern and cue against time: theory as lines, simulation as points.

    Bands and bars are ± one standard error.

    **Arguments:**

    - `theory`: of `hopfield_jax.dmft.solve` (or any other trajectory).
    - `network`: of `hopfield_jax.dmft.simulate`, with the same condensed patterns.
    - `ax`: where to draw; default a new figure. Earlier trajectories keep their colours, and labels then state the
      differing conditions.

    **Returns:** the Axes.

    **Raises:** `ValueError` for a batch of trajectories or shapes that do not fit.
    """
    axes, named = axes_for(ax), []
    earlier = sum(str(line.get_label()).startswith("with the ") for line in axes.get_lines())  # of another trajectory
    for n, (name, curve) in enumerate(_curves("theory", theory).items(), start=earlier):
        times, value, error = curve
        named += axes.plot(times, value, color=colour(n), linewidth=1.8, label=name)
        axes.fill_between(times, value - error, value + error, color=colour(n), alpha=0.25, linewidth=0)
    points = {} if network is None else _curves("network", network)
    if network is not None and points.keys() != _curves("theory", theory).keys():
        fail("network", f"overlaps of the theory's shape {theory.overlap.shape}", f"shape {network.overlap.shape}")
    for n, (times, value, error) in enumerate(points.values(), start=earlier):
        axes.errorbar(times, value, error, fmt="o", color=colour(n), markersize=4, elinewidth=1.2, capsize=2)
    named += axes.plot([], [], color=INK, linewidth=1.8, label=theory.setting.source)
    if network is not None:
        axes.errorbar([], [], [], fmt="o", color=INK, markersize=4, label=_other(network.setting, theory.setting))
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    start, end = float(theory.times[0]), float(theory.times[-1])
    low, high = axes.get_xlim() if earlier else (start, end)
    axes.set_xlim(min(low, start - 0.02 * (end - start)), max(high, end + 0.02 * (end - start)))
    axes.locator_params("x", steps=_STEPS)
    title = "Retrieval: theory" if network is None else "Retrieval: theory against simulation"
    finish(axes, title=title, x=_TIME, y="overlap", legend=True)
    return say_facts(axes, _describe(theory.setting), named)


def two_times(result: OrderParameters, name: str = "correlation", *, ax: Axes | None = None) -> Axes:
    """Plots a two-time quantity as an image, the later time upwards.

    The half of a causal quantity that is zero by definition stays blank, as do times without data.

    **Arguments:**

    - `result`: of `hopfield_jax.dmft.solve` or `simulate`.
    - `name`: `correlation`, `response`, `noise_covariance`, `crosstalk_feedback` or `plastic_feedback`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes, with a colour bar.

    **Raises:** `ValueError` for another name, or a quantity that the result does not have.
    """
    if name not in _QUANTITIES:
        fail("name", "one of " + ", ".join(_QUANTITIES), repr(name))
    if (measured := getattr(result, name)) is None:
        fail("name", f"a quantity that was measured by {result.setting.source}", repr(name))
    label, causal = _QUANTITIES[name]
    times, values = numbers("result.times", result.times, 1), numbers(f"result.{name}", measured, 2)
    if causal:
        # The diagonal of the feedback is nonzero only with self-couplings.
        blank = np.triu(np.ones_like(values, dtype=bool), 1)
        blank |= np.eye(len(values), dtype=bool) & ~np.any(np.nan_to_num(np.diagonal(values)))
        values = np.where(blank, np.nan, values)
    size = np.nanmax(np.abs(values), initial=0.0) or 1.0
    signed = bool(np.any(values < -1e-3 * size))
    axes = axes_for(ax, (4.8, 4.0))
    half = (times[1] - times[0]) / 2
    edges = times[0] - half, times[-1] + half
    image = axes.imshow(
        values,
        origin="lower",
        extent=(*edges, *edges),
        cmap="RdBu_r" if signed else "viridis",
        vmin=-size if signed else 0.0,
        vmax=size,
        interpolation="nearest",
    )
    axes.figure.colorbar(image, ax=axes).set_label(label)
    axes.locator_params(steps=_STEPS)
    finish(axes, title=_capital(label), x="earlier time s", y="later time t")
    return _say_conditions(axes, result.setting, result.setting.source)


def feedback(result: OrderParameters, *, ax: Axes | None = None) -> Axes:
    r"""Plots the memory of the field at the last time (before a failure).

    These are the weights of a site's own earlier outputs against the lag: from the stored patterns ($F_{ts}$) and from
    the plastic synapses ($\lambda K_{ts}C_{ts}$).

    **Arguments:**

    - `result`: of `hopfield_jax.dmft.solve`, or of `simulate`, which measures the plastic part only.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    times = numbers("result.times", result.times, 1)
    axes = axes_for(ax)
    axes.axhline(0, color=INK, linewidth=0.8)
    fields = {"crosstalk_feedback": "crosstalk $F_{ts}$", "plastic_feedback": r"plastic $\lambda K_{ts}C_{ts}$"}
    measured = {f: numbers(f"result.{f}", x, 2) for f in fields if (x := getattr(result, f)) is not None}
    known = np.flatnonzero(np.all([np.isfinite(x[:, 0]) for x in measured.values()], axis=0))
    last = int(known[-1]) if len(known) else len(times) - 1
    lags = times[last] - times[last::-1]  # from the shortest on
    for n, (field, label) in enumerate(fields.items()):
        if field not in measured:
            continue
        weights = measured[field][last, last::-1]
        first = int(weights[0] == 0)  # lag zero has a weight only with self-couplings
        style = {"markersize": 4.5, "linewidth": 1.6, "marker": "os"[n], "color": colour(2 + n)}
        axes.plot(lags[first:], weights[first:], label=f"{label}, sum {np.sum(weights):.3g}", **style)
        if (error := getattr(result, f"{field}_error", None)) is not None:
            bars = _finite(numbers(f"result.{field}_error", error, 2)[last, last::-1])
            axes.errorbar(lags[first:], weights[first:], bars[first:], fmt="none", ecolor=colour(2 + n), capsize=2)
    axes.set_xlim(left=0)
    axes.locator_params("x", steps=_STEPS)
    title = f"Weights of earlier outputs in the field at t = {times[last]:g}"
    finish(axes, title=title, x="lag t − s (units of the time constant)", y="weight", legend=True)
    return _say_conditions(axes, result.setting, result.setting.source)


def strength_scan(scan: StrengthScan, *, ax: Axes | None = None) -> Axes:
    """Plots the final overlaps with pattern and cue against the strength of plasticity.

    A line marks the best strength, a band the interval of strengths that are as good within errors. Strengths at which
    the network ends closer to the cue than to the pattern are shaded grey. Failed runs are left out.

    **Arguments:**

    - `scan`: of `hopfield_jax.dmft.scan_strength`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    strength = numbers("scan.strength", scan.strength, 1)
    order = np.argsort(strength)
    strength, imprinted = strength[order], np.asarray(scan.imprinted)[order]
    axes = axes_for(ax)
    for n, (label, value, error) in enumerate(
        (
            ("with the pattern", scan.overlap, scan.overlap_error),
            ("with the cue", scan.cue_overlap, scan.cue_overlap_error),
        )
    ):
        value, error = numbers("scan", value, 1)[order], _finite(numbers("scan", error, 1)[order])
        axes.errorbar(
            strength, value, error, fmt="o-", color=colour(n), markersize=4, linewidth=1.6, capsize=2, label=label
        )
    if np.isfinite(best := float(scan.best)):
        lower, upper = float(scan.best_lower), float(scan.best_upper)
        name = f"best of the grid: λ = {best:.3g} (errors allow {lower:.3g} to {upper:.3g})"
        axes.axvspan(lower, upper, color=colour(2), alpha=0.2, linewidth=0)
        axes.axvline(best, color=colour(2), linewidth=1.4, label=name)
    between = np.concatenate([strength[:1], (strength[1:] + strength[:-1]) / 2, strength[-1:]])
    for n, (start, stop) in enumerate(_ranges(imprinted)):
        label = "closer to the cue: imprinted" if n == 0 else None
        axes.axvspan(between[start], between[stop], color=FAINT, alpha=0.35, linewidth=0, zorder=0, label=label)
    finish(axes, title="Where retrieval ends", x="strength of plasticity λ", y="overlap at the last step", legend=True)
    return _say_conditions(axes, scan.setting, scan.setting.source)


def optimal_strength(best: OptimalStrength, *, ax: Axes | None = None) -> Axes:
    """Plots the measure at the evaluated strengths, its interpolation, and the best strength.

    Bars are ± one standard error; the band contains the strengths that are as good within errors.

    **Arguments:**

    - `best`: of `hopfield_jax.dmft.optimal_strength`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    strength, values = numbers("best.strengths", best.strengths, 1), numbers("best.values", best.values, 2)
    repeats = values.shape[1]
    error = values.std(axis=1, ddof=1) / np.sqrt(repeats) if repeats > 1 else np.zeros(len(values))
    axes = axes_for(ax)
    fine = np.linspace(strength[0], strength[-1], 400)
    axes.plot(fine, best.curves(fine).mean(axis=1), color=colour(0), linewidth=1.4, label="through values and slopes")
    axes.errorbar(
        strength, values.mean(axis=1), error, fmt="o", color=colour(0), markersize=4, capsize=2, label="tried"
    )
    if np.isfinite(place := float(best.strength)):
        lower, upper = float(best.lower), float(best.upper)
        axes.axvspan(lower, upper, color=colour(2), alpha=0.2, linewidth=0)
        name = f"best: λ = {place:.3g} (as good within errors from {lower:.3g} to {upper:.3g})"
        axes.axvline(place, color=colour(2), linewidth=1.4, label=name)
    finish(axes, title="The best strength", x="strength of plasticity λ", y="measure", legend=True)
    return _say_conditions(axes, best.setting, best.setting.source)


def thresholds(
    parameter: Real[ArrayLike, " points"],
    threshold: Threshold,
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """Plots thresholds against a parameter, with their brackets as error bars.

    If the predicate was the same at both bounds, a triangle at one bound points in the direction of the threshold.

    **Arguments:**

    - `parameter`: abscissa of the thresholds, shape (points,).
    - `threshold`: of `jax.vmap` of `hopfield_jax.bisect` (or `dmft.basin_boundary`, …), shape (points,).
    - `xlabel`, `ylabel`: labels of the axes, with units.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for shapes that do not fit.
    """
    x, value = numbers("parameter", parameter, 1), numbers("threshold.value", threshold.value, 1)
    if x.shape != value.shape:
        fail("threshold", f"thresholds of shape {x.shape}, as the parameter has", f"shape {value.shape}")
    lower, upper = numbers("threshold.lower", threshold.lower, 1), numbers("threshold.upper", threshold.upper, 1)
    at_lower, at_upper, found = np.asarray(threshold.at_lower), np.asarray(threshold.at_upper), np.isfinite(value)
    outside = np.asarray(threshold.result == RESULTS.not_bracketed)
    axes = axes_for(ax)
    bracket = np.where(found, [value - lower, upper - value], np.nan)
    axes.errorbar(x, value, bracket, fmt="o-", color=colour(0), markersize=4, linewidth=1.6, capsize=3)
    # If a predicate that rises is true at both bounds, its threshold lies below them; for one that falls, above.
    rising = np.sum(at_upper & found) >= np.sum(at_lower & found)
    for below, edge, marker in ((True, lower, "v"), (False, upper, "^")):
        beyond = outside & (at_lower == (rising == below))
        if np.any(beyond):
            label = f"{'below' if below else 'above'} the range that was searched"
            axes.plot(x[beyond], edge[beyond], marker, color=ACCENT, markersize=6, label=label)
    width = np.nanmax(upper[found] - lower[found], initial=0.0)
    title = f"Thresholds within brackets of {width:.2g}" if np.any(found) else "No threshold within the bounds"
    finish(axes, title=title, x=xlabel, y=ylabel)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize="small")
    where = threshold.setting
    return _say_conditions(axes, where, where.source) if isinstance(where, Setting) else axes


def noise(statistics: NoiseStatistics, *, ax: Axes | None = None) -> Axes:
    """Plots the excess kurtosis of the crosstalk noise with errors; a Gaussian has zero.

    **Arguments:**

    - `statistics`: of `hopfield_jax.dmft.crosstalk_noise`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    times, value = numbers("statistics.times", statistics.times, 1), statistics.excess_kurtosis
    error = _finite(numbers("statistics.excess_kurtosis_error", statistics.excess_kurtosis_error, 1))
    axes = axes_for(ax)
    axes.axhline(0, color=ACCENT, linewidth=1.4, label="Gaussian")
    axes.errorbar(
        times,
        numbers("statistics.excess_kurtosis", value, 1),
        error,
        fmt="o",
        color=colour(0),
        markersize=4,
        elinewidth=1.2,
        capsize=2,
        label=statistics.setting.source,
    )
    title = "Crosstalk noise without the theory's feedback"
    finish(axes, title=title, x=_TIME, y="excess kurtosis", legend=True)
    return _say_conditions(axes, statistics.setting)


def _describe(setting: Setting) -> list[str]:
    """The conditions of a run, in the field's symbols, for the line below a title."""
    one = {name: np.ravel(x)[0] for name, x in setting.numbers.items() if np.size(x) and np.ptp(np.asarray(x)) == 0}
    parts, rest = dict(setting.parts), {name: float(x) for name, x in one.items()}
    rest = {name: x for name, x in rest.items() if x != _USUAL.get(name)}
    beta = [f"β = {rest.pop('units.beta'):.4g}"] if "units.beta" in rest else []
    said = [f"{symbol} {rest.pop(name):.4g}" for name, symbol in _SAID.items() if name in rest]
    said += [" ".join([parts["units"], "units", *beta])]
    said += ["no plasticity" if parts["kernel"] == "none" else f"{parts['kernel']} synapses"]
    said += [f"{name} = {x:.4g}" for name, x in rest.items()]
    if "self_coupling" in parts:
        said.append("self-couplings" if parts["self_coupling"] == "True" else "no self-couplings")
    return said


def _say_conditions(axes: Axes, setting: Setting, *more: str) -> Axes:
    return say_facts(axes, [*more, *_describe(setting)])


def _other(setting: Setting, first: Setting) -> str:
    """The source, and its conditions that differ from the first one's (a finite network rounds the load)."""
    known = _describe(first)
    return ", ".join([setting.source, *(fact for fact in _describe(setting) if fact not in known)])


def _curves(argument: str, result: OrderParameters) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Times, values and errors of the overlap with each condensed pattern and with the cue."""
    times = numbers(f"{argument}.times", result.times, 1)
    overlap, error = (
        numbers(f"{argument}.overlap", x, 1, 2).reshape(len(times), -1) for x in (result.overlap, result.overlap_error)
    )
    names = ["pattern"] if overlap.shape[1] == 1 else [f"pattern {i}" for i in range(overlap.shape[1])]
    curves = {f"with the {name}": (times, overlap[:, i], _finite(error[:, i])) for i, name in enumerate(names)}
    cue, cue_error = (numbers(f"{argument}.cue_overlap", x, 1) for x in (result.cue_overlap, result.cue_overlap_error))
    return curves | {"with the cue": (times, cue, _finite(cue_error))}


def _finite(error: np.ndarray) -> np.ndarray:
    """Replaces infinite errors (of a single sample) by NaN, which draws no bar."""
    return np.where(np.isfinite(error), error, np.nan)


def _ranges(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """Starts and ends (exclusive) of the runs of true entries."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    yield from zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
