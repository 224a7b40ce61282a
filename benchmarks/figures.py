"""The figure: times against sizes, and what baselines take."""

import io
from pathlib import Path

import numpy as np
from measure import Row

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def draw(curves: list[dict], rows: list[Row], about: dict, path: Path) -> None:
    """One panel for each title of the curves and one of ratios; log-log, with fitted and reference slopes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    titles = list(dict.fromkeys(curve["panel"] for curve in curves))
    ratios = [(f"{row.what}, {row.size}\nby {other.name}", ratio) for row in rows if not row.failed
              for other in row.others if (ratio := row.ratio(other)) is not None]  # fmt: skip
    columns = 3
    lines = -(-len(titles) // columns)
    heights = 3.4 * lines, 0.8 + 0.22 * len(ratios)
    figure = plt.figure(figsize=(12, sum(heights)), layout="constrained")
    upper, lower = np.ravel(figure.subfigures(2, 1, height_ratios=heights))  # pyright: ignore[reportArgumentType,reportCallIssue]
    for number, title in enumerate(titles):
        ax = upper.add_subplot(lines, columns, number + 1)
        _panel(ax, title, [curve for curve in curves if curve["panel"] == title])
    if ratios:
        _bars(lower.subplots(), ratios)
    figure.suptitle(f"{about['device']}, {about['cores']} cores, {about['date']}", fontsize="medium")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=80)
    plt.close(figure)
    with Image.open(picture) as image:  # few colours make a small file, which is kept in the repository
        image.convert("RGB").quantize(128).save(path, optimize=True)


def _panel(ax, title: str, curves: list[dict]) -> None:
    for colour, curve in zip(COLOURS, curves, strict=False):
        x, y = (np.array(curve[name], float) for name in ("x", "y"))
        if not x.size:
            continue
        label = curve["label"]
        if curve["slope"] is not None and not curve["rate"]:
            label += f": slope {curve['slope']:.2f} over the last {curve['fitted']}"
        ax.loglog(x, y, "o-", color=colour, label=label)
        if curve["order"] is not None:
            reference = y[-1] * (x / x[-1]) ** curve["order"]
            ax.loglog(x, reference, ":", color=colour, alpha=0.7, label=f"slope {curve['order']:g}")
        if any(curve["least"]):
            ax.loglog(x, curve["least"], "--", color=colour, alpha=0.7, label="its work at the measured limit")
    places = sorted({x for curve in curves for x in curve["x"]})
    ax.set_xticks(places, [f"{x:g}" for x in places])
    ax.minorticks_off()
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel(curves[0]["xlabel"])
    ax.set_ylabel(curves[0]["label"] if curves[0]["rate"] else "s")
    ax.legend(frameon=False, fontsize="x-small")
    ax.spines[["top", "right"]].set_visible(False)


def _bars(ax, ratios: list[tuple[str, float]]) -> None:
    names, values = [name.replace("\n", " ") for name, _ in ratios], [ratio for _, ratio in ratios]
    places = np.arange(len(values))[::-1]
    ax.barh(places, np.array(values) - 1, left=1, color=[COLOURS[0] if v >= 1 else COLOURS[1] for v in values])
    ax.set_xscale("log")
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_yticks(places, names, fontsize="x-small")
    for place, value in zip(places, values, strict=True):
        ax.annotate(f"{value:.3g}", (max(value, 1), place), (3, 0), textcoords="offset points",
                    va="center", fontsize="x-small")  # fmt: skip
    ax.set_xlabel("how many times as long the baseline takes (below 1: it is quicker)")
    ax.spines[["top", "right"]].set_visible(False)
