"""A progress bar on a terminal, for the verbs that take long; `tqdm` draws it where it is installed."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(total: int, unit: str, *, show: bool, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A function that is told how many more are done; nothing is drawn where standard error is no terminal."""
    if not (show and importlib.util.find_spec("tqdm")):
        yield lambda more: None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit=f" {unit}", unit_scale=True, disable=None) as bar:
        yield bar.update
