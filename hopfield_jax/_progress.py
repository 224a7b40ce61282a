"""A progress bar for long verbs, drawn by `tqdm` if installed."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(total: int, unit: str, *, show: bool, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A function that advances the bar; without effect unless standard error is a terminal."""
    if not (show and importlib.util.find_spec("tqdm")):
        yield lambda more: None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit=f" {unit}", unit_scale=True, disable=None) as bar:
        yield bar.update
