"""The saliency map as a cobweb diagram."""

import math

import numpy as np

from .._checks import Rules, at_least
from .._types import ScalarLike
from ..sequential import Regime, count_transitions, fixed_points, iterate, period, regime, saliency_map
from ._style import ACCENT, FAINT, INK, Axes, axes_for, colour, finish, say_facts

_ENDS = {
    "periodic": "goes on for ever",
    "critical": "goes on, barely",
    "collapse": "collapses",
    "decay": "is never retrieved",
}


def cobweb(gain: ScalarLike, saliency: ScalarLike, *, num_transitions: int = 30, ax: Axes | None = None) -> Axes:
    """Draws a cobweb diagram of the saliency map κ(1 − 1/Z) from a first saliency.

    A filled point is the stable fixed point Z+, an open one the unstable Z−; at gain 4 they merge into one that is
    stable from above. A memory of saliency at most 1 (shaded) is never retrieved.

    **Arguments:**

    - `gain`: κ > 0.
    - `saliency`: Z₀, that of the first memory.
    - `num_transitions`: largest number of iterations.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for numbers outside their domain.
    """
    Rules().real("gain", gain, "positive")
    Rules().real("saliency", saliency, "finite")
    at_least("num_transitions", num_transitions, 1)
    k, start = float(gain), float(saliency)
    path = np.asarray(iterate(k, start, np.arange(num_transitions + 1)), np.float64)
    path = path[np.isfinite(path)]
    axes = axes_for(ax, (4.0, 4.0))
    low, high = min(0.0, 1.1 * start), 1.08 * max(k, start, 1.5)
    axes.axvspan(low, 1, color=FAINT, alpha=0.25, linewidth=0, zorder=0)
    axes.axvline(1, color=ACCENT, linewidth=1.4, linestyle=(0, (5, 2)), zorder=1)
    place = {"transform": axes.get_xaxis_transform(), "rotation": 90, "ha": "right", "va": "top", "fontsize": "small"}
    axes.text(1, 0.98, "escape level 1", color=ACCENT, **place)
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.2, zorder=1, label="diagonal")
    z = np.linspace(1, high, 400)
    axes.plot(z, saliency_map(k, z), color=INK, linewidth=2.0, zorder=3, label="map κ(1 − 1/Z)")
    corners = np.repeat(path, 2)
    across, up = corners[:-1], np.concatenate([[low], corners[2:]])
    axes.plot(across, up, color=colour(0), linewidth=1.2, zorder=2, label="path")
    axes.plot(start, low, "o", color=colour(0), markersize=6, clip_on=False, zorder=5)
    points = fixed_points(k)
    stable, unstable = float(points.upper), float(points.lower)
    style = {"color": colour(2), "markersize": 9, "markeredgewidth": 1.6, "zorder": 4, "linestyle": "none"}
    if stable == unstable:
        half = style | {"fillstyle": "right", "markerfacecoloralt": "white"}
        axes.plot(stable, stable, "o", **half, label=f"Z± = {stable:.4g}, stable from above")
    elif math.isfinite(stable):
        axes.plot(stable, stable, "o", **style, label=f"Z+ = {stable:.4g}, stable")
        axes.plot(unstable, unstable, "o", **style, markerfacecolor="white", label=f"Z− = {unstable:.4g}, unstable")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    kind = next(name for name in _ENDS if bool(regime(k, start) == getattr(Regime, name)))
    finish(axes, title=f"κ = {k:.4g}: {_ENDS[kind]}", x="saliency Z of one memory", y="saliency Z′ of the next")
    if math.isfinite(stable):
        box = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.85, "borderpad": 0.2, "handletextpad": 0.2}
        axes.legend(*_labelled(axes, "Z"), fontsize="small", loc="lower right", **box)
    counted = [f"{count_transitions(k, start)} memories are retrieved"] if kind == "collapse" else []
    settled = [f"period log Z+ = {float(period(k)):.4g}"] if kind in ("periodic", "critical") else []
    return say_facts(axes, [f"Z₀ = {start:.4g}", *counted, *settled])


def _labelled(axes: Axes, begin: str) -> tuple[list, list[str]]:
    """Handles and labels of the legend entries with a given prefix."""
    kept = [pair for pair in zip(*axes.get_legend_handles_labels(), strict=True) if pair[1].startswith(begin)]
    return [handle for handle, _ in kept], [label for _, label in kept]
