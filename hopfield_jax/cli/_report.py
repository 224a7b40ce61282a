"""What every command does with its results: check the folder, lay out a table, save the numbers."""

import contextlib
import importlib.metadata
import json
import math
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import at_least, fail, in_domain
from .._misc import default_float

BAR = "{desc} |{bar}| {n_fmt}/{total_fmt}, {elapsed}"
"""How `tqdm` draws progress."""
_PACKAGES = ("hopfield-jax", "jax", "jaxlib", "equinox", "diffrax", "numpy")


@contextlib.contextmanager
def named_as_options(options: Mapping[str, str]) -> Iterator[None]:
    """Errors of the library that name an argument name the command's option for it."""
    try:
        yield
    except ValueError as error:
        argument = r"^`(?:\w+\.)*(\w+)`"
        named = re.sub(argument, lambda m: f"`{options.get(m[1], m[1])}`", str(error))
        raise ValueError(named) from None


def writable_folder(argument: str, folder: Path) -> None:
    """Makes the folder where it is not there; raises `ValueError` where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fail(argument, "a folder that can be written", f"{folder} ({error.strerror or error})")


def evenly_spaced(
    ends: tuple[str, str], count_option: str, first: float, last: float, count: int, domain: str = "positive"
) -> np.ndarray:
    """`count` numbers from `first` to `last`; `ValueError` in the names of the options otherwise."""
    for option, value in zip(ends, (first, last), strict=True):
        in_domain(option, value, domain)
    if last <= first:
        fail(ends[1], f"a number above {ends[0]} = {first:g}", f"{last:g}")
    at_least(count_option, count, 2)
    return np.linspace(first, last, count, dtype=default_float())


def table(header: Sequence[str], rows: Sequence[Sequence[str]], num_names: int = 1) -> list[str]:
    """Lines of aligned columns: the first `num_names` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    pad = [str.ljust] * num_names + [str.rjust] * (len(widths) - num_names)

    def line(cells: Sequence[str]) -> str:
        return "  " + "  ".join(p(cell, w) for p, cell, w in zip(pad, cells, widths, strict=True)).rstrip()

    return [line(header), "  " + "-" * (len(line(["-" * w for w in widths])) - 2), *map(line, rows)]


def plus_minus(value: float, error: float, digits: int) -> str:
    """A number with its standard error to at least `digits` digits, more if the error would vanish; - for none."""
    if not math.isfinite(value):
        return "-"
    if math.isfinite(error) and error > 0:
        digits = max(digits, min(5, -math.floor(math.log10(error))))
    return f"{value:z.{digits}f} ± {error:.{digits}f}" if math.isfinite(error) else f"{value:z.{digits}f}"


def versions() -> dict[str, str]:
    """Of Python and the packages that the numbers come from."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
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
        return _plain(np.asarray(x).tolist())
    return None if isinstance(x, float) and not math.isfinite(x) else x
