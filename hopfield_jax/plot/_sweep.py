"""Sweeps: an output over two axes of a grid, or along one axis."""

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._checks import fail, kind
from .._types import ArrayLike
from ._style import ACCENT, INK, Axes, axes_for, colour, finish, say_facts

_BLANK = "#DADADA"  # for NaN; in none of the colour maps
_STATUS, _COMPUTED = "point_status", (1, 2)  # status codes: finite, not finite


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
    """Plots an output over two axes of a sweep as a heat map; NaN is grey.

    It is averaged over axes of replicates (integers 0, 1, 2, … along which random numbers differ). The line below the
    title gives their number and the dataset's attribute `conditions`.

    **Arguments:**

    - `dataset`: an `xarray.Dataset` of `hopfield_jax.sweep.run` or `open`, finished or not.
    - `variable`: name of an output. `x`, `y`: names of two of its axes.
    - `boundary`: of `hopfield_jax.sweep.boundary`, over `x` along `y` or over `y` along `x`: drawn with its bracket,
      or the mean over its replicates with its standard error.
    - `theory`: further curves by name, each a pair of numbers or arrays along `x` and `y`; a single point is drawn as a
      star.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes, with a colour bar.

    **Raises:** `ValueError` for unknown names, and for further axes that are not replicates.
    """
    values, averaged, others = _values(dataset, variable, x, "y", y)
    if others:
        got = ", ".join(map(str, dataset[others[0]].values))
        fail("dataset", f"one value of {others[0]}, such as dataset.sel({others[0]}=...)", got)
    mean = _mean_and_error(values.transpose(*averaged, y, x), len(averaged))[0]
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
    return say_facts(axes, _facts(dataset, averaged, False, int(blank.sum())))


def profile(dataset: Any, variable: str, *, x: str, each: str | None = None, ax: Axes | None = None) -> Axes:
    """Plots an output along one axis of a sweep, with a curve for each combination of the others.

    It is averaged over axes of replicates (integers 0, 1, 2, … along which random numbers differ), with bars of one
    standard error. The line below the title gives their number and the dataset's attribute `conditions`.

    **Arguments:**

    - `dataset`: an `xarray.Dataset` of `hopfield_jax.sweep.run` or `open`, finished or not.
    - `variable`: name of an output. `x`: name of one of its axes.
    - `each`: name of an axis with one curve per value, even if its values are replicates.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for unknown names.
    """
    values, averaged, others = _values(dataset, variable, x, "each", each)
    apart = others if each is None else [each, *others]
    mean, error = (
        m.reshape(-1, m.shape[-1]) for m in _mean_and_error(values.transpose(*averaged, *apart, x), len(averaged))
    )
    axes = axes_for(ax, (5.6, 3.8))
    at = _positions(dataset[x])
    names = [[f"{_symbol(dataset[name])} = {_say(v)}" for v in dataset[name].values] for name in apart]
    curves = [", ".join(said) for said in itertools.product(*names)]
    style: dict[str, Any] = {"markersize": 4 if len(at) <= 40 else 2.5, "linewidth": 1.5, "capsize": 2}
    for n, curve in enumerate(curves):
        bars = error[n] if np.any(np.isfinite(error[n])) else None
        known = np.isfinite(mean[n])
        bars = None if bars is None else np.where(np.isfinite(bars), bars, 0)[known]
        style |= {"color": colour(n, len(curves)), "label": curve or None}
        axes.errorbar(at[known], mean[n][known], bars, fmt="o-", **style)
    _set_ticks(dataset[x], at, axes.xaxis)
    if _is_geometric(at):
        axes.set_xscale("log")
    finish(axes, title=_title(dataset[variable]), x=_label(dataset[x]), y=_label(dataset[variable]))
    if apart:
        axes.legend(frameon=False, fontsize="small")
    blank = int(np.sum(~np.isfinite(mean)))
    return say_facts(axes, _facts(dataset, averaged, True, blank, "not drawn"))


def sweep(
    dataset: Any, variable: str | None = None, *, x: str | None = None, y: str | None = None, ax: Axes | None = None
) -> Axes:
    """Plots an output of any sweep: over two axes as a `phase_diagram`, else as a `profile`.

    **Arguments:**

    - `dataset`: an `xarray.Dataset` of `hopfield_jax.sweep.run`, `boundary` or `open`, finished or not.
    - `variable`: name of an output. Default: the first one of numbers.
    - `x`, `y`: names of two of its axes. Default: axes of numbers before static choices before those of a single value;
      it is averaged over replicates. Where further axes remain there are curves, one per value of `y` and of those.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.

    **Raises:** `ValueError` for unknown names, and for a sweep without an output of numbers.

    ```python
    import hopfield_jax as hj

    grid = hj.sweep.Grid(gain=[4.0, 5.0, 6.0], saliency=[2.0, 3.0, 4.0])
    found = hj.sweep.run(lambda gain, saliency: {"next": hj.sequential.saliency_map(gain, saliency)}, grid)
    axes = hj.plot.sweep(found)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("gain", "saliency")
    ```
    """
    outputs = _outputs(dataset)
    numbers = [name for name in outputs if "flag_meanings" not in dataset[name].attrs]
    if variable is None and not numbers:
        fail("dataset", "a sweep with an output that is a number", ", ".join(outputs))
    chosen = numbers[0] if variable is None else _one_of(outputs, variable)
    dims = [str(name) for name in dataset[chosen].dims]
    for argument, name in (("x", x), ("y", y)):
        if name is not None and name not in dims:
            fail(argument, f"one of {', '.join(dims)}", repr(name))
    long = [name for name in dims if dataset.sizes[name] > 1] or dims
    apart = [name for name in long if not _are_replicates(dataset, name)]
    along = x or next(name for name in (*apart, *long, *dims) if name != y or len(dims) == 1)
    other = y or next((name for name in apart or long if name != along), None)
    if along == other:
        fail("y", f"an axis other than x = {along!r}", repr(other))
    if other is None or set(apart) - {along, other}:
        return profile(dataset, chosen, x=along, each=other, ax=ax)
    return phase_diagram(dataset, chosen, x=along, y=other, ax=ax)


# --- data and axes ---


def _outputs(dataset: Any) -> list[str]:
    names = [str(name) for name in dataset.data_vars if name != _STATUS] if hasattr(dataset, "data_vars") else []
    if not names:
        fail("dataset", "an xarray.Dataset of a sweep", kind(dataset))
    return names


def _one_of(outputs: list[str], variable: str) -> str:
    if variable not in outputs:
        fail("variable", f"one of {', '.join(outputs)}", repr(variable))
    return variable


def _values(dataset: Any, variable: str, x: str, second: str, other: str | None) -> tuple[Any, list[str], list[str]]:
    """A variable in float64 with NaN for missing points; the axes to average over (replicates, single values); and the
    remaining ones besides `x` and `other` (the argument named `second`)."""
    found = dataset[_one_of(_outputs(dataset), variable)]
    for argument, name in (("x", x), (second, other)):
        if name is not None and name not in found.dims:
            fail(argument, f"an axis of {variable} ({', '.join(map(str, found.dims))})", repr(name))
    if x == other:
        fail(second, f"an axis other than x = {x!r}", repr(other))
    values = found.astype(np.float64)
    if _STATUS in dataset:
        values = values.where(dataset[_STATUS].isin(_COMPUTED))
    rest = [name for name in found.dims if name not in (x, other)]
    averaged = [name for name in rest if dataset.sizes[name] == 1 or _are_replicates(dataset, name)]
    return values, averaged, [name for name in rest if name not in averaged]


def _are_replicates(dataset: Any, name: str) -> bool:
    """Whether an axis is 0, 1, 2, … and, as far as the dataset tells, one along which random numbers differ."""
    values = np.asarray(dataset[name].values)
    random = json.loads(dataset.attrs.get("configuration", "{}")).get("random axes", name)
    return values.dtype.kind in "iu" and np.array_equal(values, np.arange(len(values))) and name in random.split(", ")


def _mean_and_error(values: Any, num_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the finite numbers over the first axes, and its standard error; NaN for too few numbers."""
    numbers = np.asarray(values.values, np.float64)
    numbers = numbers.reshape(-1, *numbers.shape[num_axes:])
    known = np.isfinite(numbers)
    count = known.sum(axis=0)
    mean = np.where(known, numbers, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(known, (numbers - mean) ** 2, 0).sum(axis=0)
    error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return np.where(count > 0, mean, np.nan), np.where(count > 1, error, np.nan)


def _positions(axis: Any) -> np.ndarray:
    """Positions of the values of an axis: numbers themselves, indices of names."""
    values = np.asarray(axis.values)
    return values.astype(np.float64) if values.dtype.kind in "iuf" else np.arange(len(values), dtype=np.float64)


def _is_geometric(at: np.ndarray) -> bool:
    """Whether numbers form a geometric sequence, which needs a logarithmic axis."""
    if len(at) < 3 or np.any(at <= 0) or at[-1] < 8 * at[0]:
        return False
    ratios = at[1:] / at[:-1]
    return bool(np.ptp(ratios) < 0.02 * np.mean(ratios))


def _edges(at: np.ndarray, geometric: bool) -> np.ndarray:
    """Edges of the cells around the given positions."""
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
    """Plots a boundary with its brackets, or means over replicates with errors; returns whether it has a label."""
    along, over = (y, x) if y in boundary.data_vars else (x, y)
    averaged = [name for name in boundary[along].dims if name != over] if along in boundary.data_vars else []
    fits = along in boundary.data_vars and over in boundary[along].dims
    if not fits or not all(boundary.sizes[name] == 1 or _are_replicates(boundary, name) for name in averaged):
        got = ", ".join(map(str, boundary.data_vars)) + " over " + ", ".join(map(str, boundary.sizes))
        fail("boundary", f"a boundary of {y} over {x}, or of {x} over {y}, and over replicates", got)
    at = _positions(boundary[over])
    ends = ("", "_lower", "_upper")
    means = (_mean_and_error(boundary[f"{along}{end}"].transpose(*averaged, over), len(averaged)) for end in ends)
    (value, error), (lower, _), (upper, _) = means
    several = math.prod(boundary.sizes[name] for name in averaged)
    size = np.array([value - lower, upper - value] if several == 1 else [error, error])
    known = np.isfinite(value)
    if not np.any(known):
        return False
    bars = {"yerr" if along == y else "xerr": np.maximum(np.nan_to_num(size[:, known]), 0)}
    points = (at[known], value[known]) if along == y else (value[known], at[known])
    label = boundary[along].attrs.get("long_name", f"boundary in {along}")
    if several > 1:
        label += f", mean ± standard error over {_counted(boundary, averaged)}"
    from matplotlib.patheffects import withStroke

    axes.errorbar(*points, fmt="none", ecolor=INK, elinewidth=1.2, zorder=3, **bars)
    around = [withStroke(linewidth=4.4, foreground=INK)]  # visible on dark and light colours
    axes.plot(*points, color="white", linewidth=2.2, zorder=4, label=label, path_effects=around)
    return True


# --- labels ---


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


def _counted(dataset: Any, names: list[str]) -> str:
    """As `4 replicates × 2 draws`; nothing for axes of a single value."""
    long = [name for name in names if dataset.sizes[name] > 1]
    return " × ".join(f"{dataset.sizes[name]} {name}{'s' * (not name.endswith('s'))}" for name in long)


def _facts(dataset: Any, others: list[str], with_error: bool, blank: int, how: str = "grey") -> list[str]:
    """The conditions, the averaged axes, and the number of missing points."""
    facts = [fact for fact in str(dataset.attrs.get("conditions", "")).split("; ") if fact]
    if averaged := _counted(dataset, others):
        facts.append(f"mean {'± standard error ' * with_error}over {averaged}")
    for name in others:
        if dataset.sizes[name] == 1 and name in dataset.coords:
            facts.append(f"{_symbol(dataset[name])} = {_say(dataset[name].values[0])}")
    if blank:
        facts.append(f"{blank} point{'s' * (blank > 1)} without a number ({how})")
    return facts
