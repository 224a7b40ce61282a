"""Closed theory: the phase diagram of Amit, Gutfreund and Sompolinsky."""

import numpy as np

from .._checks import fail
from ..theory.results import PhaseDiagram, PhaseLines
from ._style import ACCENT, INK, Axes, axes_for, colour, finish

_REGIONS = ("paramagnet", "spin glass", "retrieval, metastable", "retrieval, in equilibrium")
_TINTS = ("#FFFFFF", "#DDE3E8", "#BBD9EE", "#6BAED6")
_LINES = {
    "spin_glass": ("$T_g$: spin glass below", INK, "-"),
    "retrieval": ("$T_M$: retrieval below", colour(0), "-"),
    "equilibrium": ("$T_c$: in equilibrium below", ACCENT, "--"),
    "mixture": ("mixtures stable below", colour(2), "-."),
    "replica_symmetry": ("$T_R$: replica symmetry broken below", colour(3), ":"),
}


def replica_phases(
    diagram: PhaseDiagram | None = None, lines: PhaseLines | None = None, *, ax: Axes | None = None
) -> Axes:
    """Plots the phases of the Hopfield model over load and temperature, as a map, as lines, or both.

    **Arguments:**

    - `diagram`: of `hopfield_jax.theory.phase_diagram`, drawn as a map of regions.
    - `lines`: of `jax.vmap(hopfield_jax.theory.phase_lines)(temperatures)`; lines without a finite load are left out.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` if both are `None`, and for lines of a single temperature.
    """
    if diagram is None and lines is None:
        fail("diagram", "a diagram, lines, or both", "neither")
    axes = axes_for(ax, (5.8, 4.2))
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    handles = []
    if diagram is not None:
        region = np.asarray(diagram.region)
        if region.ndim != 2:
            fail("diagram", "regions of shape (temperatures, loads)", f"shape {region.shape}")
        region = np.ma.masked_less(region, 0)
        norm = BoundaryNorm(np.arange(-0.5, 4), 4)
        axes.pcolormesh(
            *map(np.asarray, (diagram.load, diagram.temperature)),
            region,
            cmap=ListedColormap(_TINTS),
            norm=norm,
            shading="nearest",
            rasterized=True,
        )
        there = np.unique(region.compressed())
        handles += [Patch(facecolor=_TINTS[k], edgecolor=INK, linewidth=0.5, label=_REGIONS[k]) for k in there]
        axes.set_xlim(0, float(np.max(diagram.load)))
        if len(region) > 1:
            axes.set_ylim(float(np.min(diagram.temperature)), float(np.max(diagram.temperature)))
    if lines is not None:
        temperature = np.asarray(lines.temperature)
        if temperature.ndim != 1:
            fail("lines", "lines over an axis of temperatures", f"temperature of shape {temperature.shape}")
        for name, (label, ink, style) in _LINES.items():
            load = np.asarray(getattr(lines, name))
            shown = np.isfinite(load)
            if name == "spin_glass":
                shown &= temperature >= 1
            if np.any(shown):
                handles += axes.plot(load[shown], temperature[shown], style, color=ink, linewidth=1.6, label=label)
    finish(axes, title="Hopfield model, replica symmetric", x="load α = P/N", y="temperature T")
    axes.legend(
        handles=handles,
        fontsize="x-small",
        framealpha=0.9,
        edgecolor="none",
        loc="upper right",
        bbox_to_anchor=(1, 0.86),
    )
    return axes
