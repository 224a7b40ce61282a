"""Colours and axes of all figures; matplotlib's global settings are not changed."""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Real

from .._checks import extra, fail
from .._types import ArrayLike

Axes = Any
"""A `matplotlib.axes.Axes` (matplotlib is imported inside functions only)."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Okabe and Ito's colours, distinct for colour-blind readers; the n-th network or memory always gets the n-th."""
ACCENT = "#D55E00"
INK = "#333333"
FAINT = "#B8B8B8"
GLUE = "\u00a0"
"""A non-breaking space."""


def colour(index: int, number: int = 1) -> str:
    """The n-th colour; colours repeat after seven, unless the number of curves is given and larger."""
    if number <= len(COLOURS):
        return COLOURS[index % len(COLOURS)]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](0.95 * index / (number - 1)))


def axes_for(ax: Axes | None, size: tuple[float, float] = (5.0, 3.5)) -> Axes:
    """`ax`, or the axes of a new figure of `size` inches."""
    if ax is not None:
        return ax
    with extra("plot"):
        import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="compressed")[1]


def finish(ax: Axes, *, title: str, x: str, y: str, legend: bool = False) -> Axes:
    """Sets title and labels and removes the unused spines."""
    ax.set_title(title, fontsize="medium", color=INK)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    if legend:
        ax.legend(frameon=False, fontsize="small")
    return ax


def numbers(argument: str, x: Real[ArrayLike, "..."], *ndim: int) -> np.ndarray:
    """Casts `x` to a float64 NumPy array and validates its number of axes."""
    values = np.asarray(x, dtype=np.float64)
    if values.ndim not in ndim:
        fail(argument, f"an array of {' or '.join(map(str, ndim))} axes", f"shape {values.shape}")
    if not values.size:
        fail(argument, "at least one number", f"shape {values.shape}")
    return values


def say_facts(axes: Axes, facts: Iterable[str], curves: Sequence[Any] = ()) -> Axes:
    """Writes the conditions in small letters between the title and the axes, without line breaks inside a fact.

    If several results are drawn on the same axes, facts that differ move to the labels of each one's `curves` (if any).
    """
    said: _Said = getattr(axes, "hopfield_jax_said", None) or _Said()
    if said.text not in axes.texts:  # first call, or the axes were cleared
        said = _Said()
    said.groups.append(([fact.replace(" ", GLUE) for fact in facts], [(x, x.get_label()) for x in curves]))
    every = [fact for facts, _ in said.groups for fact in facts]
    shared = [fact for fact in every if all(fact in facts for facts, _ in said.groups)]
    shown = [fact for facts, named in said.groups for fact in facts if fact in shared or not named]
    for facts, named in said.groups:
        own = ", ".join(fact for fact in facts if fact not in shared)
        for curve, label in named:
            curve.set_label(f"{label} ({own})" if own else label)
    if curves and len(said.groups) > 1:
        axes.legend(frameon=False, fontsize="small")
    if said.text is not None:
        said.text.remove()
    inches = axes.bbox.width / axes.figure.dpi
    lines = textwrap.wrap(", ".join(dict.fromkeys(shown)), max(30, int(20 * inches)), break_on_hyphens=False)
    said.text = axes.text(
        0.5, 1.015, "\n".join(lines), transform=axes.transAxes, ha="center", va="bottom", fontsize="x-small", color=INK
    )
    axes.hopfield_jax_said = said
    axes.set_title(axes.get_title(), fontsize="medium", color=INK, pad=6 + 10 * len(lines))
    return axes


@dataclasses.dataclass
class _Said:
    """The text below a title; for each result, its facts and its curves with their original labels."""

    groups: list[tuple[list[str], list[tuple[Any, str]]]] = dataclasses.field(default_factory=list)
    text: Any = None
