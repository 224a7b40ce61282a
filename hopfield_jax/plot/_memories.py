"""Memories: the spectrum of their couplings, and how they are learned."""

import numpy as np
from jaxtyping import Real

from .._checks import fail
from .._types import ArrayLike
from ..theory import marchenko_pastur_density, marchenko_pastur_edges
from ._style import ACCENT, COLOURS, INK, Axes, axes_for, colour, finish, numbers


def spectrum(eigenvalues: Real[ArrayLike, " modes"], load: Real[ArrayLike, ""], *, ax: Axes | None = None) -> Axes:
    r"""Plots the non-zero eigenvalues of $\Xi^\top\Xi$ with Marchenko and Pastur's density and its edges.

    **Arguments:**

    - `eigenvalues`: of $\Xi^\top\Xi$ for entries of variance 1/patterns; zeros (to rounding) are left out.
    - `load`: patterns/neurons.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    values, load = numbers("eigenvalues", eigenvalues, 1), float(numbers("load", load, 0))
    values = values[np.abs(values) > values.size * np.finfo(np.float32).eps * np.abs(values).max()]
    if not values.size:
        fail("eigenvalues", "at least one that is not zero", "zeros only")
    lower, upper = (float(edge) for edge in marchenko_pastur_edges(load))
    # Denser towards the edges, where the density is steep.
    grid = lower + (upper - lower) * 0.5 * (1 - np.cos(np.linspace(0, np.pi, 400)[1:-1]))
    axes = axes_for(ax)
    bins = int(np.clip(2 * values.size ** (1 / 2), 10, 80))
    axes.hist(values, bins=bins, density=True, color=colour(0), alpha=0.45, label=f"{values.size} eigenvalues")
    axes.plot(
        grid, np.asarray(marchenko_pastur_density(grid, load)), color=ACCENT, linewidth=2, label="Marchenko–Pastur"
    )
    for edge, name in ((lower, f"edges {lower:.3g}, {upper:.3g}"), (upper, None)):
        axes.axvline(edge, ymax=0.85, color=INK, linestyle=":", linewidth=1.2, label=name)
    axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the legend
    finish(axes, title=f"Non-zero spectrum of ΞᵀΞ, load P/N = {load:.3g}", x="eigenvalue λ", y="density")
    axes.legend(frameon=False, fontsize="small", ncols=3, loc="upper center", columnspacing=1.0, handlelength=1.2)
    return axes


def learning(
    times: Real[ArrayLike, " times"],
    similarity: Real[ArrayLike, "times patterns"],
    theory: Real[ArrayLike, "times patterns"] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plots the cosine between each memory and its pattern: simulation solid, theory dashed, one colour per memory.

    **Arguments:**

    - `times`: shape (times,).
    - `similarity`, `theory`: shape (times, patterns).
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for shapes that do not fit.
    """
    times, curves = numbers("times", times, 1), numbers("similarity", similarity, 2)
    predicted = None if theory is None else numbers("theory", theory, 2)
    if len(curves) != len(times):
        fail("similarity", f"shape ({len(times)}, patterns), as there are times", f"shape {curves.shape}")
    if predicted is not None and predicted.shape != curves.shape:
        fail("theory", f"shape {curves.shape}, as the similarity has", f"shape {predicted.shape}")
    axes, num_patterns = axes_for(ax), curves.shape[1]
    few = num_patterns <= len(COLOURS)
    for i in range(num_patterns):
        # Theory on top, thin and dark, so that both are visible where they agree.
        wide = {"linewidth": 1.6} if predicted is None else {"linewidth": 4.0, "alpha": 0.4}
        axes.plot(times, curves[:, i], color=colour(i), **wide)
        if predicted is not None:
            axes.plot(times, predicted[:, i], color=colour(i), linewidth=1.4, linestyle="--")
        if few:
            axes.plot([], [], color=colour(i), linewidth=1.6, label=f"memory {i}")
    if predicted is not None:
        axes.plot([], [], color=INK, linewidth=4.0, alpha=0.4, label="simulation")
        axes.plot([], [], color=INK, linewidth=1.4, linestyle="--", label="theory")
    axes.set_xlim(times[0], times[-1])
    title = f"Learning of {num_patterns} memories" + ("" if few or predicted is None else " (dashed: theory)")
    return finish(
        axes, title=title, x="time t (unit of the time constants)", y="cosine with the observed pattern", legend=few
    )
