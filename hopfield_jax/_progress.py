"""A progress bar for long verbs, drawn by `tqdm` if installed."""

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(total: int, unit: str, *, show: bool, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A function that advances the bar; without effect unless standard error is a terminal.

    The bar says "compiling" until its first advance, which may be by 0; times and rates count from then on.
    """
    if not (show and importlib.util.find_spec("tqdm")):
        yield lambda more: None
        return
    from tqdm import tqdm

    compiling = "compiling"
    with tqdm(total=total, initial=done, desc=compiling, unit=f" {unit}", unit_scale=True, disable=None) as bar:

        def advance(more: int) -> None:
            nonlocal compiling
            if not compiling:
                bar.update(more)
                return
            compiling = ""
            bar.n += more
            bar.initial = bar.last_print_n = bar.n
            bar.start_t = bar.last_print_t = time.time()
            bar.set_description_str(compiling)

        yield advance
