"""What every command does with its results: lay out a table, save the numbers. Importing it is quick."""

import dataclasses
import importlib.metadata
import json
import math
import platform
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("hopfield-jax", "jax", "jaxlib", "equinox", "diffrax", "numpy")


def new_figure(width: float, height: float, layout: str = "constrained") -> Any:
    from matplotlib.figure import Figure

    return Figure((width, height), layout=layout)  # pyright: ignore[reportArgumentType]


def progress(total: int, **options: Any) -> Any:
    """A progress bar of `tqdm`, on terminals, that is gone at the end."""
    from tqdm import tqdm

    style = {"leave": False, "disable": None, "bar_format": "{desc} |{bar}| {n_fmt}/{total_fmt}, {elapsed}"}
    return tqdm(total=total, **style | options)


def compiled(verb: Any, *arguments: Any, **options: Any) -> tuple[Any, float]:
    """A program for arguments of these shapes, and the seconds that its compilation took."""
    import equinox as eqx

    started = time.perf_counter()
    jitted: Any = eqx.filter_jit(verb)
    return jitted.lower(*arguments, **options).compile(), time.perf_counter() - started


def timed(program: Any, *arguments: Any, **options: Any) -> tuple[Any, float]:
    """What a program computes, and the seconds that it took."""
    import jax

    started = time.perf_counter()
    return jax.block_until_ready(program(*arguments, **options)), time.perf_counter() - started


def table(header: Sequence[str], rows: Iterable[Sequence[str]], num_names: int = 0) -> list[str]:
    """Lines of aligned columns and an empty one: the first `num_names` to the left, numbers to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    pad = [str.ljust] * num_names + [str.rjust] * (len(widths) - num_names)

    def line(cells: Sequence[str]) -> str:
        return "  " + "  ".join(p(cell, w) for p, cell, w in zip(pad, cells, widths, strict=True)).rstrip()

    return [line(header), "  " + "-" * (len(line(["-" * w for w in widths])) - 2), *map(line, rows), ""]


def wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, 110, subsequent_indent=indent)


def card(result: Any) -> list[str]:
    """A result's card, in lines of at most 110."""
    lines = str(result).splitlines()
    return [lines[0], *(part for line in lines[1:] for part in wrapped(f"  {line.strip()}", "    "))]


def number(x: Any, format: str = ".4f") -> str:
    """A number; - where there is none."""
    return f"{float(x):z{format}}" if math.isfinite(float(x)) else "-"


def plus_minus(value: Any, error: Any, digits: int) -> str:
    """A number with its standard error to at least `digits` digits, more if the error would vanish; - for none."""
    value, error = float(value), float(error)
    if not math.isfinite(value):
        return "-"
    if math.isfinite(error) and error > 0:
        digits = max(digits, min(5, -math.floor(math.log10(error))))
    return f"{value:z.{digits}f} ± {error:.{digits}f}" if math.isfinite(error) else f"{value:z.{digits}f}"


def some(indices: Any, count: int) -> list[int]:
    """At most `count` of them, evenly, with the first and the last."""
    last = len(indices) - 1
    return [int(indices[i]) for i in sorted({round(last * k / (count - 1)) for k in range(count)})]


def arrays_of(result: Any, prefix: str = "", fields: Iterable[str] | None = None) -> dict[str, Any]:
    """The arrays among the fields of a result, by name."""
    import jax

    names = [field.name for field in dataclasses.fields(result)] if fields is None else fields
    return {prefix + name: x for name in names if isinstance(x := getattr(result, name, None), jax.Array)}


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Of Python and of packages, such as those that the numbers come from."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def save_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes plain JSON: numbers of any library become Python's, what is not finite becomes null."""
    path.write_text(json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _plain(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, Path):
        return str(x)
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    if hasattr(x, "tolist"):
        return _plain(x.tolist())
    return None if isinstance(x, float) and not math.isfinite(x) else x
