"""Classical networks: the retrieval transition at several sizes and its extrapolation to infinite size."""

import numpy as np

from .._checks import fail
from .._results import with_error
from ..classical.results import RetrievalTransition
from ._style import FAINT, INK, Axes, axes_for, colour, finish, numbers, say_facts

_SYMBOLS = {"load": "load α = P/N", "cue overlap": "cue overlap $m_0$"}


def transition(found: RetrievalTransition, *, ax: Axes | None = None) -> Axes:
    """Plots the fraction of networks that retrieve against load or cue overlap, one colour per size.

    Points have binomial errors; lines are fitted logistic curves; a band marks the extrapolation to infinitely many
    neurons with its standard error.

    **Arguments:**

    - `found`: of `hopfield_jax.classical.capacity` or `basin`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    values, fraction = numbers("found.values", found.values, 2), numbers("found.fraction", found.fraction, 2)
    axes = axes_for(ax)
    for n, size in enumerate(np.asarray(found.num_neurons)):
        half, error, width = (float(getattr(found, name)[n]) for name in ("half", "half_error", "width"))
        bars = np.asarray(found.fraction_error[n])
        label = f"N = {size}: {with_error(half, error)}"
        axes.errorbar(
            values[n], fraction[n], bars, fmt="o", color=colour(n), markersize=4, elinewidth=1, capsize=2, label=label
        )
        x = np.linspace(values[n].min(), values[n].max(), 200)
        if np.isfinite(half):
            axes.plot(x, 0.5 * (1 + np.tanh((x - half) / (2 * width))), color=colour(n), linewidth=1.5)
    limit, error = float(found.fit.limit), float(found.fit.limit_error)
    if np.isfinite(limit) and np.isfinite(error):
        axes.axvspan(limit - error, limit + error, color=FAINT, alpha=0.6, linewidth=0)
        axes.axvline(limit, color=INK, linewidth=1.2, linestyle="--", label=f"N → ∞: {with_error(limit, error)}")
    axes.set_ylim(-0.03, 1.03)
    finish(axes, title=f"Retrieval against {found.name}", x=_label(found), y="fraction retrieved", legend=True)
    return say_facts(axes, [f"{found.num_trials} trials a point", f"retrieved from m = {float(found.threshold):g}"])


def finite_size(
    found: RetrievalTransition, *, ax: Axes | None = None, index: int = 0, label: str | None = None
) -> Axes:
    """Plots the value at which half of the networks retrieve against the size, with the finite-size fit.

    **Arguments:**

    - `found`: of `hopfield_jax.classical.capacity` or `basin`.
    - `ax`: where to draw; default a new figure.
    - `index`, `label`: colour and name, if several are drawn on the same axes (with the same exponent).

    **Returns:** the Axes.

    **Raises:** `ValueError` for a batch.
    """
    if np.ndim(found.fit.limit):
        fail("found", "one transition", f"a batch of shape {np.shape(found.fit.limit)}")
    axes, fit = axes_for(ax), found.fit
    exponent, limit, error = float(fit.exponent), float(fit.limit), float(fit.limit_error)
    small = numbers("found.num_neurons", found.num_neurons, 1) ** -exponent
    half, bars = numbers("found.half", found.half, 1), numbers("found.half_error", found.half_error, 1)
    x = np.array([0.0, small.max()])
    named = f"{with_error(limit, error)}" if label is None else f"{label}: {with_error(limit, error)}"
    axes.plot(x, limit + float(fit.slope) * x, color=colour(index), linewidth=1.5)
    axes.errorbar(small, half, bars, fmt="o", color=colour(index), markersize=4, elinewidth=1.2, capsize=2, label=named)
    axes.errorbar([0.0], [limit], [error], fmt="s", color=colour(index), markersize=5, elinewidth=1.2, capsize=3)
    axes.set_xlim(-0.03 * small.max(), None)
    return finish(
        axes, title="Half of the networks retrieve", x=f"$N^{{-{exponent:.3g}}}$", y=_label(found), legend=True
    )


def _label(found: RetrievalTransition) -> str:
    return _SYMBOLS.get(found.name, found.name)
