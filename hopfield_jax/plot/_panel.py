"""Closed theory beside a simulation: predictions on a trajectory, and the overlap at rest against the load."""

import numpy as np

from .._checks import fail
from ..dmft import Panel
from ..theory import StationaryState
from ._style import ACCENT, FAINT, INK, Axes, axes_for, colour, finish, numbers


def predictions(panel: Panel, *, others: bool = False, ax: Axes | None = None) -> Axes:
    """Draws what closed theories say of the overlap onto a trajectory (such as `order_parameters` has drawn).

    A star for the first step, curves for the approximate dynamics, a level for the state at rest.

    **Arguments:**

    - `panel`: of `hopfield_jax.dmft.panel`.
    - `others`: whether to draw, faintly, also those that do not apply but have a number (of a neighbouring model).
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    axes = axes_for(ax)
    drawn = [p for p in panel.predictions if np.all(np.isfinite(p.value)) and (p.applies or others)]
    end = max([axes.get_xlim()[1] if ax is not None else 0.0, *(float(p.value.size - 1) for p in drawn), 2.0])
    for n, p in enumerate(drawn):
        ink, name = (colour(n + 2), p.theory) if p.applies else (FAINT, f"{p.theory} ({p.reason})")
        if p in (panel.first_step, panel.other_diagonal):
            axes.plot([1], [float(p.value)], "*", color=ink, markersize=11, label=name, zorder=3)
        elif p.value.ndim:
            axes.plot(np.arange(p.value.size), p.value, "--", color=ink, linewidth=1.2, label=name)
        elif p is panel.stationary:
            axes.axhline(float(p.value), color=ink, linestyle=":", linewidth=1.4, label=name)
    if ax is None:
        axes.set_xlim(-0.02 * end, 1.02 * end)
        finish(axes, title="Closed theory", x="step", y="overlap")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize="small")
    return axes


def stationary(states: StationaryState, critical: StationaryState | None = None, *, ax: Axes | None = None) -> Axes:
    """Draws the overlap at rest against the load.

    **Arguments:**

    - `states`: of `hopfield_jax.theory.scsna`, mapped over loads, shape (loads,).
    - `critical`: of `hopfield_jax.theory.critical_load`: where the curve ends.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` unless `states` is a batch over loads.
    """
    if np.ndim(states.load) != 1:
        fail("states", "states at several loads, shape (loads,)", f"shape {np.shape(states.load)}")
    axes = axes_for(ax)
    load, overlap = numbers("states.load", states.load, 1), numbers("states.overlap", states.overlap, 1)
    found = np.isfinite(overlap) & np.asarray(states.retrieved)
    axes.plot(load[found], overlap[found], color=colour(0), linewidth=1.8, label="retrieval")
    if critical is not None and np.isfinite(critical.load):
        end = float(critical.load)
        axes.axvline(end, color=ACCENT, linewidth=1.2, label=rf"$\alpha_c$ = {end:.5g}")
        axes.plot([end], [float(critical.overlap)], "o", color=ACCENT, markersize=5)
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.tick_params(colors=INK)
    return finish(axes, title="At rest", x=r"load $\alpha$", y="overlap", legend=True)
