"""Stored images, their cues and the retrieved images."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Real

from .._checks import extra, fail
from .._types import ArrayLike
from ._style import ACCENT, INK, Axes, axes_for, numbers

_HIDDEN = "#9CC4E4"
_GAP = 0.12


def images(
    originals: Real[ArrayLike, "images neurons"],
    cues: Real[ArrayLike, "images neurons"],
    retrieved: Real[ArrayLike, "images neurons"] | Mapping[str, Real[ArrayLike, "images neurons"]],
    shape: tuple[int, int],
    ax: Axes | None = None,
    *,
    offset: Real[ArrayLike, "..."] = 0.0,
    scale: Real[ArrayLike, "..."] = 1.0,
    threshold: float = 0.9,
    cmap: str = "gray",
) -> Axes:
    r"""Draws a row of originals, a row of cues, and a row of retrieved images per network.

    The cosine with the original is printed below each retrieved image, coloured if it is below `threshold`. Shades span
    the range of the originals; other values are clipped.

    **Arguments:**

    - `originals`, `cues`: shape (images, neurons), one image a row. NaN entries of the cues are drawn as hidden.
    - `retrieved`: the same shape, or a mapping from names of networks to such arrays.
    - `shape`: (height, width) of an image, height · width = neurons.
    - `ax`: where to draw; default a new figure.
    - `offset`, `scale`: the drawn image is offset + scale · row: `offset` a number or shape (neurons,), such as the
      mean image; `scale` a number or shape (images,).
    - `threshold`: the cosine below which a retrieval is marked.
    - `cmap`: matplotlib's name of a colour map; `gray_r` for ink on paper.

    **Returns:** the Axes.

    **Raises:** `ValueError` for shapes that do not fit.
    """
    with extra("plot"):
        from matplotlib import colormaps

    found = dict(retrieved) if isinstance(retrieved, Mapping) else {"retrieved": retrieved}
    rows = {"original": originals, "cue": cues} | found
    stacks = _stacks(rows, shape)
    stored = stacks["original"]
    shades = colormaps[cmap].with_extremes(bad=_HIDDEN)
    offset, scale = numbers("offset", offset, 0, 1), numbers("scale", scale, 0, 1).reshape(-1, 1)
    drawn = {name: offset + scale * stack for name, stack in stacks.items()}
    low, high = drawn["original"].min(), drawn["original"].max()
    count, height = len(stored), max(shape[0] / shape[1], 0.3)  # flat images get a minimum height
    axes = axes_for(ax, (0.75 * count + 1.2, 0.75 * len(rows) * (height + 0.35) + 0.5))
    top, centres = 0.0, []
    for name, stack in drawn.items():
        for i, pixels in enumerate(stack):
            left = i * (1 + _GAP)
            axes.imshow(
                pixels.reshape(shape),
                extent=(left, left + 1, top + height, top),
                cmap=shades,
                vmin=low,
                vmax=high if high > low else low + 1,
                interpolation="nearest",
            )
            if name in found:
                cosine = _cosine(stored[i], stacks[name][i])
                style = {"color": INK} if cosine >= threshold else {"color": ACCENT, "weight": "bold"}
                axes.text(left + 0.5, top + height + 0.05, f"{cosine:.3f}", ha="center", va="top", fontsize=7, **style)
        centres.append(top + height / 2)
        top += height + (0.34 if name in found else _GAP)
    axes.set(xlim=(-0.05, count * (1 + _GAP) - _GAP + 0.05), ylim=(top, -0.05), aspect="equal", xticks=[])
    axes.set_yticks(centres, labels=list(rows))
    axes.tick_params(left=False)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{count} of the stored images; cosine with the original below", fontsize="medium", color=INK)
    return axes


def _stacks(rows: Mapping[str, ArrayLike], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The validated images of each row, shape (images, neurons)."""
    stacks = {name: numbers(name, images, 2) for name, images in rows.items()}
    stored = stacks["original"]
    for name, stack in stacks.items():
        if stack.shape != stored.shape:
            fail(name, f"shape {stored.shape}, as the originals have", f"shape {stack.shape}")
    if shape[0] * shape[1] != stored.shape[1]:
        fail("shape", f"(height, width) of {stored.shape[1]} neurons", shape)
    return stacks


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else 0.0
