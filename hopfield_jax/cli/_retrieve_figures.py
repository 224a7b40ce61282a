"""The figures of `hopfield-jax retrieve`. `of`: the outcome of each pair of corruption and network."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import plot
from ..associative.results import RetrievalRun
from ._images import CORRUPTIONS
from ._report import new_figure

_NUM_SHOWN = 10


def draw_images(request: Any, of: Mapping[tuple[str, str], Any], setting: str) -> Any:
    patterns, mean, norms = request.stored(0)
    names, (height, width) = dict.fromkeys(request.network), request.images.shape
    shown = slice(0, min(_NUM_SHOWN, len(patterns)))
    tall = 0.72 * (len(names) + 2) * (max(height / width, 0.3) + 0.3) + 0.4
    figure = new_figure(0.8 * shown.stop + 1.2, tall * len(request.amounts) + 0.3, layout="compressed")
    panels = figure.subplots(len(request.amounts), 1, squeeze=False)[:, 0]
    for ax, (corruption, amount) in zip(panels, request.amounts.items(), strict=True):
        cues = np.asarray(request.cues(0, corruption, patterns))
        if CORRUPTIONS[corruption].hides:
            cues = np.where(request.cues(0, corruption, np.ones_like(patterns)) == 0, np.nan, cues)
        plot.images(
            patterns[shown],
            cues[shown],
            {name: np.asarray(of[corruption, name].first.output)[shown] for name in names},
            request.images.shape,
            ax,
            offset=mean,
            scale=norms[shown] / patterns.shape[1] ** 0.5,
            threshold=request.threshold,
            cmap="gray_r" if request.images.ink else "gray",
        )
        ax.set_title(CORRUPTIONS[corruption].about.format(amount=amount), fontsize="medium")
    figure.suptitle(f"{setting}; below: cosine with the original", fontsize="medium")
    return figure


def draw_energies(request: Any, of: Mapping[tuple[str, str], Any], setting: str) -> Any:
    names = dict.fromkeys(request.network)
    figure = new_figure(3.3 * len(names) + 0.3, 2.5 * len(request.amounts) + 0.4)
    panels = figure.subplots(len(request.amounts), len(names), squeeze=False)
    last = max(_settling_time(o.first) for o in of.values())
    for row, (corruption, amount) in zip(panels, request.amounts.items(), strict=True):
        for n, (ax, name) in enumerate(zip(row, names, strict=True)):
            plot.energy(of[corruption, name].first, ax=ax, color=plot.COLOURS[n])
            ax.set(xlim=(0, last), title=f"{name}, {corruption} {amount:g}")
            ax.title.set_fontsize("medium")
    title = f"Energy along the {request.count} retrievals of the first draw, median thick; {setting}"
    figure.suptitle(title, fontsize="medium")
    return figure


def draw_scores(request: Any, of: Mapping[tuple[str, str], Any], setting: str) -> Any:
    figure = new_figure(3.0 + 0.65 * len(of), 3.8)
    labelled = {
        f"{corruption} {amount:g}": {name: of[corruption, name].score for name in request.network}
        for corruption, amount in request.amounts.items()
    }
    plot.scores(labelled, ax=figure.subplots())
    figure.suptitle(f"{setting}, {request.num_draws} draws", fontsize="medium")
    return figure


def _settling_time(found: RetrievalRun) -> float:
    """When the median energy has come within a thousandth of its fall, and half as long again."""
    times, median = np.asarray(found.times[0]), np.nanmedian(np.asarray(found.energy), axis=0)
    moving = np.nonzero(np.abs(median - median[-1]) > 1e-3 * abs(median[0] - median[-1]))[0]
    return float(min(times[-1], max(4.0, 1.5 * times[moving[-1]] if len(moving) else 0)))
