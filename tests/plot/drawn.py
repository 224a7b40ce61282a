"""What a figure shows, read back from its axes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.axes
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure


def on_axes_given_or_new(draw: Callable[[Any], Any], folder: Path) -> Any:
    """Draws on axes that are given, which opens no window, and on new ones, which are saved and returned."""
    given = Figure().subplots()
    assert draw(given) is given
    assert not plt.get_fignums()
    new = draw(None)
    assert isinstance(new, matplotlib.axes.Axes) and new is not given and new.get_title()
    plt.gcf().savefig(folder / "figure.png")
    assert (folder / "figure.png").stat().st_size > 1000
    return new


def texts(axes: Any) -> list[str]:
    """Of each text its words, with one space between two."""
    return [" ".join(text.get_text().split()) for text in axes.texts]


def legend(axes: Any) -> list[str]:
    return [" ".join(text.get_text().split()) for text in axes.get_legend().get_texts()]


def lines(axes: Any) -> dict[str, Any]:
    """Lines by their labels."""
    return {" ".join(str(line.get_label()).split()): line for line in axes.get_lines()}


def bars(container: Any) -> np.ndarray:
    """Lower and upper ends of the error bars that are drawn."""
    return np.array([segment[:, 1] for segment in container[2][0].get_segments() if len(segment)])
