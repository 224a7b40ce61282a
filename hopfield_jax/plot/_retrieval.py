"""Retrievals: energies and overlaps against time, and success rates."""

from collections.abc import Mapping

import numpy as np

from .._checks import fail
from ..associative.results import RetrievalRun, RetrievalScore
from ._style import ACCENT, FAINT, INK, Axes, axes_for, colour, finish, numbers


def energy(retrieval: RetrievalRun, *, ax: Axes | None = None, color: str | None = None) -> Axes:
    """Plots the energy along one retrieval, or along each of a batch with the median as a thick line.

    **Arguments:**

    - `retrieval`: of `hopfield_jax.associative.retrieve`, with or without one leading axis (cues,).
    - `ax`: where to draw; default a new figure.
    - `color`: of the lines.

    **Returns:** the Axes.
    """
    curves = np.atleast_2d(numbers("retrieval.energy", retrieval.energy, 1, 2))
    times = np.atleast_2d(numbers("retrieval.times", retrieval.times, 1, 2))[0]
    axes, color = axes_for(ax), colour(0) if color is None else color
    if len(curves) > 1:
        axes.plot(times, curves.T, color=color, alpha=min(0.5, 16 / len(curves)), linewidth=0.8)
        median = np.nanmedian(curves, axis=0) if np.any(np.isfinite(curves)) else curves[0]
        axes.plot(times, median, color=color, linewidth=2.5, label="median")
    else:
        axes.plot(times, curves[0], color=color, linewidth=2.5)
    axes.set_xlim(times[0], times[-1])
    title = f"Energy along {len(curves)} retrievals, median thick" if len(curves) > 1 else "Energy along a retrieval"
    return finish(axes, title=title, x="time t (units of τ)", y="energy E")


def overlaps(retrieval: RetrievalRun, *, ax: Axes | None = None) -> Axes:
    """Plots the overlap with every pattern along one retrieval, the winner's in colour.

    **Arguments:**

    - `retrieval`: of `hopfield_jax.associative.retrieve`; pick one out of a batch with `jax.tree.map`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for a batch.
    """
    if retrieval.winner.ndim:
        fail("retrieval", "one retrieval, `jax.tree.map(lambda x: x[0], batch)`", f"{retrieval.winner.shape} of them")
    times, curves = numbers("retrieval.times", retrieval.times, 1), numbers("retrieval.overlap", retrieval.overlap, 2)
    axes, winner, num_patterns = axes_for(ax), int(retrieval.winner), curves.shape[1]
    others = np.delete(curves, winner, axis=1) if winner >= 0 else curves
    for i, curve in enumerate(others.T):
        axes.plot(times, curve, color=FAINT, linewidth=0.8, label="the others" if i == 0 else None)
    if winner >= 0:
        label = f"pattern {winner}, the winner{' (its inverse)' * (int(retrieval.sign) < 0)}"
        axes.plot(times, curves[:, winner], color=ACCENT, linewidth=2.5, label=label)
    axes.set_xlim(times[0], times[-1])
    title = f"Overlaps with {num_patterns} stored patterns of {retrieval.output.size} neurons"
    return finish(axes, title=title, x="time t (units of τ)", y="overlap m", legend=True)


def scores(scores: Mapping[str, Mapping[str, RetrievalScore]], *, ax: Axes | None = None) -> Axes:
    """Plots the fraction retrieved with its binomial error: a group of bars per corruption, a bar per network.

    The faint part of a bar shows the fraction with the right winner, whatever the cosine.

    **Arguments:**

    - `scores`: corruption → network → `RetrievalScore` of one axis (cues,).
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    networks = list(dict.fromkeys(name for group in scores.values() for name in group))
    if not networks:
        fail("scores", "at least one corruption with at least one network", dict(scores))
    axes = axes_for(ax, (2.6 + 0.65 * len(networks) * len(scores), 3.5))
    width = 0.8 / len(networks)
    for n, network in enumerate(networks):
        places = [g for g, group in enumerate(scores.values()) if network in group]
        of_network = [group[network] for group in scores.values() if network in group]
        heights = np.array([100 * float(s.fraction) for s in of_network])
        errors = np.array([100 * float(s.fraction_error) for s in of_network])
        at = np.array(places) + (n - (len(networks) - 1) / 2) * width
        recognised = [100 * float(s.recognised_fraction) for s in of_network]
        axes.bar(at, recognised, 0.92 * width, color=colour(n), alpha=0.3)
        axes.bar(at, heights, 0.92 * width, color=colour(n), label=network)
        axes.errorbar(at, heights, errors, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
        for x, height, error, faint in zip(at, heights, errors, recognised, strict=True):
            label = f"{height:.1f}" if error < 5 else f"{height:.0f}"
            axes.text(x, max(height + error, faint) + 1.5, label, ha="center", va="bottom", fontsize=8, color=INK)
    some = next(s for group in scores.values() for s in group.values())
    axes.set_xticks(range(len(scores)), labels=list(scores))
    axes.set(ylim=(0, 112), yticks=range(0, 101, 20))
    title = f"Retrieved out of {some.retrieved.size} cues each: right winner and cosine ≥ {float(some.threshold):g}"
    finish(axes, title=title, x="corruption of the cue", y="retrieved (%), faint: right winner")
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes
