"""Sweeps: one number over two axes of a grid, or along one of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._checks import fail, kind
from .._types import ArrayLike
from ._style import ACCENT, INK, Axes, axes_for, colour, finish, say_facts

_BLANK = "#DADADA"  # no number: on no map of colours
_STATUS, _COMPUTED = "point_status", (1, 2)  # of a sweep's points: finite, not finite


def phase_diagram(
    dataset: Any,
    variable: str,
    *,
    x: str,
    y: str,
    boundary: Any = None,
    theory: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a number over two axes of a sweep as a heat map; where there is none it is grey.

    Over all other axes it is averaged. The facts below the title say over which, and the dataset's attribute
    `conditions`, if there is one.

    **Arguments:**

    - `dataset`: an `xarray.Dataset` of `hopfield_jax.sweep.run` or `open`, finished or not.
    - `variable`: name of an output. `x`, `y`: names of two of its axes.
    - `boundary`: of `hopfield_jax.sweep.boundary`, over `x` along `y` or over `y` along `x`: drawn with its bracket.
    - `theory`: further curves by their names, each a pair of numbers or arrays along `x` and `y`; a single point is a
      star.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes; the colour bar stands beside it.

    **Raises:** `ValueError` for names that the dataset does not have, and for choices that would be averaged over.
    """
    values, others = _values(dataset, variable, [x, y])
    if x == y:
        fail("y", f"an axis other than x = {x!r}", repr(y))
    mean = _mean(values, [values.get_axis_num(name) for name in others])[0]
    if values.get_axis_num(x) < values.get_axis_num(y):
        mean = mean.T
    axes = axes_for(ax, (5.6, 4.2))
    from matplotlib import colormaps

    positions = [_positions(dataset[name]) for name in (x, y)]
    blank = ~np.isfinite(mean)
    shown = np.ma.masked_array(mean, blank)
    colours = colormaps["viridis"].with_extremes(bad=_BLANK)
    edges = [_edges(at, _is_geometric(at)) for at in positions]
    ways: dict[str, Any] = {} if np.any(~blank) else {"vmin": 0, "vmax": 1}
    image = axes.pcolormesh(*edges, shown, cmap=colours, rasterized=True, **ways)
    axes.figure.colorbar(image, ax=axes, pad=0.02).set_label(_label(dataset[variable]))
    for name, at, along in zip((x, y), positions, (axes.xaxis, axes.yaxis), strict=True):
        _set_ticks(dataset[name], at, along)
    named = _boundary(axes, boundary, x, y) if boundary is not None else False
    for n, (name, points) in enumerate((theory or {}).items()):
        along = [np.atleast_1d(np.asarray(values, np.float64)) for values in points]
        star = along[0].size == 1
        style: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": 17, "markeredgecolor": "white"}
        style = style if star else {"linestyle": (0, (5, 2)), "linewidth": 1.8}
        axes.plot(*along, color=(ACCENT, "white", colour(1))[n % 3], label=name, zorder=5, clip_on=not star, **style)
        named = True
    axes.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
    finish(axes, title=_title(dataset[variable]), x=_label(dataset[x]), y=_label(dataset[y]))
    if named:
        axes.legend(fontsize="small", framealpha=0.9, facecolor="white", edgecolor="none", loc="best")
    return say_facts(axes, _facts(dataset, others, False, int(blank.sum())))


def profile(dataset: Any, variable: str, *, x: str, each: str | None = None, ax: Axes | None = None) -> Axes:
    """Draws a number along one axis of a sweep.

    Over all other axes it is averaged, with bars of one standard error. The facts below the title say over which, and
    the dataset's attribute `conditions`, if there is one.

    **Arguments:**

    - `dataset`: an `xarray.Dataset` of `hopfield_jax.sweep.run` or `open`, finished or not.
    - `variable`: name of an output. `x`: name of one of its axes.
    - `each`: name of an axis each value of which gets a curve of its own.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for names that the dataset does not have, and for choices that would be averaged over.
    """
    values, others = _values(dataset, variable, [x] if each is None else [x, each], "each")
    if x == each:
        fail("each", f"an axis other than x = {x!r}", repr(each))
    mean, error = _mean(values, [values.get_axis_num(name) for name in others])
    if each is None:
        mean, error = mean[None], error[None]
    elif values.get_axis_num(x) < values.get_axis_num(each):
        mean, error = mean.T, error.T
    axes = axes_for(ax, (5.6, 3.8))
    at = _positions(dataset[x])
    curves = [""] if each is None else [_say(value) for value in dataset[each].values]
    style: dict[str, Any] = {"markersize": 4 if len(at) <= 40 else 2.5, "linewidth": 1.5, "capsize": 2}
    for n, name in enumerate(curves):
        bars = error[n] if np.any(np.isfinite(error[n])) else None
        known = np.isfinite(mean[n])
        bars = None if bars is None else np.where(np.isfinite(bars), bars, 0)[known]
        label = f"{_symbol(dataset[each])} = {name}" if each is not None else None
        axes.errorbar(at[known], mean[n][known], bars, fmt="o-", color=colour(n), label=label, **style)
    _set_ticks(dataset[x], at, axes.xaxis)
    if _is_geometric(at):
        axes.set_xscale("log")
    finish(axes, title=_title(dataset[variable]), x=_label(dataset[x]), y=_label(dataset[variable]))
    if each is not None:
        axes.legend(frameon=False, fontsize="small")
    blank = int(np.sum(~np.isfinite(mean)))
    return say_facts(axes, _facts(dataset, others, True, blank, "not drawn"))


# --- what is drawn ---


def _values(dataset: Any, variable: str, wanted: list[str], second: str = "y") -> tuple[Any, list[str]]:
    """A variable in double precision, NaN where nothing was computed, and the names of its other axes."""
    names = [name for name in dataset.data_vars if name != _STATUS] if hasattr(dataset, "data_vars") else []
    if not names:
        fail("dataset", "an xarray.Dataset of a sweep", kind(dataset))
    if variable not in names:
        fail("variable", f"one of {', '.join(map(str, names))}", repr(variable))
    found = dataset[variable]
    for argument, name in zip(("x", second), wanted, strict=False):
        if name not in found.dims:
            fail(argument, f"an axis of {variable} ({', '.join(map(str, found.dims))})", repr(name))
    others = [name for name in found.dims if name not in wanted]
    for name in others:
        if name in dataset.coords and dataset[name].dtype.kind not in "iufb" and len(dataset[name]) > 1:
            choices = ", ".join(map(str, dataset[name].values))
            fail("dataset", f"one choice of {name}, such as dataset.sel({name}=...)", choices)
    values = found.astype(np.float64)
    if _STATUS in dataset:
        values = values.where(dataset[_STATUS].isin(_COMPUTED)).transpose(*found.dims)
    return values, others


def _mean(values: Any, axes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the numbers that are there, and its standard error; NaN where there is none, or one alone."""
    numbers = np.moveaxis(np.asarray(values.values, np.float64), axes, range(len(axes)))
    numbers = numbers.reshape(-1, *numbers.shape[len(axes) :])
    known = np.isfinite(numbers)
    count = known.sum(axis=0)
    mean = np.where(known, numbers, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(known, (numbers - mean) ** 2, 0).sum(axis=0)
    error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return np.where(count > 0, mean, np.nan), np.where(count > 1, error, np.nan)


def _positions(axis: Any) -> np.ndarray:
    """Where the values of an axis stand: numbers at themselves, names one after the other."""
    values = np.asarray(axis.values)
    return values.astype(np.float64) if values.dtype.kind in "iuf" else np.arange(len(values), dtype=np.float64)


def _is_geometric(at: np.ndarray) -> bool:
    """Whether numbers grow by one factor, as on a logarithmic axis."""
    if len(at) < 3 or np.any(at <= 0) or at[-1] < 8 * at[0]:
        return False
    ratios = at[1:] / at[:-1]
    return bool(np.ptp(ratios) < 0.02 * np.mean(ratios))


def _edges(at: np.ndarray, geometric: bool) -> np.ndarray:
    """Where one cell ends and the next begins."""
    if geometric:
        return np.exp(_edges(np.log(at), False))
    if len(at) == 1:
        return at[0] + np.array([-0.5, 0.5])
    between = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - between[0]], between, [2 * at[-1] - between[-1]]])


def _set_ticks(axis: Any, at: np.ndarray, along: Any) -> None:
    if np.asarray(axis.values).dtype.kind not in "iuf":
        along.set_ticks(at, [str(value) for value in axis.values])
    elif _is_geometric(at) and along.axis_name == "y":
        along.axes.set_yscale("log")
    elif _is_geometric(at):
        along.axes.set_xscale("log")


def _boundary(axes: Axes, boundary: Any, x: str, y: str) -> bool:
    """Draws a curve of brackets; whether there is anything to be named."""
    along, over = (y, x) if y in boundary.data_vars else (x, y)
    if along not in boundary.data_vars or tuple(boundary[along].dims) != (over,):
        got = ", ".join(map(str, boundary.data_vars)) + " over " + ", ".join(map(str, boundary.sizes))
        fail("boundary", f"a boundary of {y} over {x}, or of {x} over {y}", got)
    at = _positions(boundary[over])
    value = np.asarray(boundary[along].values, np.float64)
    lower, upper = (np.asarray(boundary[f"{along}_{which}"].values, np.float64) for which in ("lower", "upper"))
    known = np.isfinite(value)
    if not np.any(known):
        return False
    size = np.array([value - lower, upper - value])[:, known]
    bars = {"yerr" if along == y else "xerr": np.maximum(size, 0)}
    points = (at[known], value[known]) if along == y else (value[known], at[known])
    label = boundary[along].attrs.get("long_name", f"boundary in {along}")
    from matplotlib.patheffects import withStroke

    axes.errorbar(*points, fmt="none", ecolor=INK, elinewidth=1.2, zorder=3, **bars)
    around = [withStroke(linewidth=4.4, foreground=INK)]  # seen on the dark end of the map and on the light one
    axes.plot(*points, color="white", linewidth=2.2, zorder=4, label=label, path_effects=around)
    return True


# --- what is said ---


def _symbol(x: Any) -> str:
    return str(x.attrs.get("symbol", x.name))


def _label(x: Any) -> str:
    """The long name of a variable with its symbol and unit; else its name."""
    words = str(x.attrs.get("long_name", str(x.name).replace("_", " ")))
    symbol = f" {x.attrs['symbol']}" if "symbol" in x.attrs else ""
    unit = x.attrs.get("units", "")
    return f"{words}{symbol} ({unit})" if unit not in ("", "1") else words + symbol


def _title(x: Any) -> str:
    words = str(x.attrs.get("long_name", str(x.name).replace("_", " ")))
    return words[:1].upper() + words[1:]


def _say(value: Any) -> str:
    return f"{value:.6g}" if np.issubdtype(np.asarray(value).dtype, np.floating) else str(value)


def _facts(dataset: Any, others: list[str], with_error: bool, blank: int, how: str = "grey") -> list[str]:
    """The conditions, what was averaged over, and how much is not there."""
    facts = [fact for fact in str(dataset.attrs.get("conditions", "")).split("; ") if fact]
    averaged = [
        f"{dataset.sizes[name]} {name}{'s' * (not name.endswith('s'))}" for name in others if dataset.sizes[name] > 1
    ]
    if averaged:
        facts.append(f"mean {'± standard error ' * with_error}over {' × '.join(averaged)}")
    for name in others:
        if dataset.sizes[name] == 1 and name in dataset.coords:
            facts.append(f"{_symbol(dataset[name])} = {_say(dataset[name].values[0])}")
    if blank:
        facts.append(f"{blank} point{'s' * (blank > 1)} without a number ({how})")
    return facts
