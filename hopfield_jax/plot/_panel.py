"""Closed theory: predictions on a trajectory, and the stationary overlap against the load."""

import math

import numpy as np

from .._checks import fail
from ..dmft.results import Panel
from ..theory.results import StationaryState
from ._style import ACCENT, FAINT, Axes, axes_for, colour, finish, numbers


def predictions(panel: Panel, *, others: bool = False, ax: Axes | None = None) -> Axes:
    """Plots the overlaps predicted by closed theories onto a trajectory (such as that of `order_parameters`).

    A star marks the first step, curves the approximate dynamics, a horizontal line the stationary state.

    **Arguments:**

    - `panel`: of `hopfield_jax.dmft.panel`.
    - `others`: whether to draw, in grey, also theories that do not apply but have a value (for a neighbouring model).
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    axes = axes_for(ax)
    blank = not axes.has_data()
    overlaps = [p for p in panel.predictions if p.time is not None and np.all(np.isfinite(p.value))]
    inks = {p.name: colour(2 + i) for i, p in enumerate(p for p in overlaps if p.applies)}
    for p in overlaps if others else (p for p in overlaps if p.applies):
        ink, label = (inks[p.name], p.theory) if p.applies else (FAINT, f"{p.theory} (does not apply)")
        if p.time == math.inf:
            axes.axhline(float(p.value), color=ink, linestyle=":", linewidth=1.6, label=label)
        elif p.value.ndim:
            axes.plot(np.arange(p.value.size), p.value, "--", color=ink, linewidth=1.4, label=label)
        else:
            axes.plot([p.time], [float(p.value)], "*", color=ink, markersize=11, label=label, zorder=3)
    if blank:
        axes.locator_params("x", integer=True)
        finish(axes, title="Closed theory", x="step", y="overlap m")
    box = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.85}  # curves that pass behind stay legible
    axes.legend(fontsize="small", **box)
    return axes


def stationary(states: StationaryState, critical: StationaryState | None = None, *, ax: Axes | None = None) -> Axes:
    """Plots the stationary overlap against the load.

    **Arguments:**

    - `states`: of `hopfield_jax.theory.scsna`, mapped over loads, shape (loads,).
    - `critical`: of `hopfield_jax.theory.critical_load`: where the curve ends.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` unless `states` is a batch over loads.
    """
    if np.ndim(states.load) != 1:
        fail("states", "states at several loads, shape (loads,)", f"shape {np.shape(states.load)}")
    if critical is not None and np.ndim(critical.load):
        fail("critical", "the end of one curve", f"shape {np.shape(critical.load)}")
    axes = axes_for(ax)
    load, overlap = numbers("states.load", states.load, 1), numbers("states.overlap", states.overlap, 1)
    found = np.isfinite(overlap) & np.asarray(states.retrieved)
    axes.plot(load[found], overlap[found], color=colour(0), linewidth=1.8, label="retrieval")
    if critical is not None and np.isfinite(critical.load):
        end = float(critical.load)
        axes.axvline(end, color=ACCENT, linewidth=1.2, label=rf"$\alpha_c$ = {end:.5g}")
        axes.plot([end], [float(critical.overlap)], "o", color=ACCENT, markersize=5)
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    return finish(axes, title="At rest", x=r"load $\alpha$", y="overlap m", legend=True)
