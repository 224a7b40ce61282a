"""`hopfield-jax gains`: at which gains memories follow each other for ever."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .. import plot
from .._results import is_okay
from ..sequential import Ending, InputDrivenNetwork, count_transitions, critical_gain, scan_gains
from ..sequential.results import GainScan
from ._command import Output
from ._report import arrays_of, card, new_figure, number, progress, some, table, wrapped
from ._sequence import ENDINGS, endings
from ._sequences import AbstractRun, Lower, NumGains, Upper

_AT_ONCE = 16  # between which progress is shown
_ROWS = 7
_COBWEBS = (3.5, 4.0, 5.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gains(AbstractRun):
    """Runs the network of `hopfield-jax sequence` at many gains κ and compares it with the saliency map, its limit for
    fast neurons: there the next memory's saliency is κ times (1 - 1/Z), which from gain 4 on tends to Z+, half the sum
    of κ and the root of κ² - 4κ, and the time between two memories to τ_s times log Z+. Below 4 the map says how many
    memories are retrieved before the collapse. Neurons of finite speed leave later than in the limit, their successors
    have more time to grow, and the smallest gain that goes on is less than 4.

    Prints what was found and writes a figure (gains.png) and numbers (gains.json, gains.npz).

    \b
    Examples
      hopfield-jax gains
      hopfield-jax gains --tau-fast 0.002        closer to the limit
      hopfield-jax gains --num-patterns 4 --lower 3.4 --upper 4.2 --num-gains 81 --t1 60
      hopfield-jax gains --units erf --beta 2
    """

    lower: Lower = 3.0
    upper: Upper = 6.0
    num_gains: NumGains = 61
    output: Output = Path("hopfield-gains")

    def __post_init__(self) -> None:
        _ = self.gains, self.network

    @functools.cached_property
    def gains(self) -> np.ndarray:
        return self.spaced("lower", "upper", "num_gains")

    @functools.cached_property
    def network(self) -> InputDrivenNetwork:
        return self.checked(self.lower, _AT_ONCE)

    def about(self) -> Iterator[str]:
        return self.about_run(f"{self.num_gains} gains κ from {self.lower:g} to {self.upper:g}")

    def compute(self) -> GainScan:
        """All gains, some at once."""
        rounds = math.ceil(self.num_gains / _AT_ONCE)
        size = math.ceil(self.num_gains / rounds)
        # The last round is filled up: one shape, one compilation.
        filled = np.pad(self.gains, (0, rounds * size - self.num_gains), mode="edge").reshape(rounds, size)
        parts = []
        with progress(self.num_gains, desc="compiling") as bar:
            for some_gains in filled:
                part = scan_gains(self.network, jnp.asarray(some_gains), saliency=self.saliency, **self.ways)
                parts.append(jax.block_until_ready(part))
                bar.set_description("gains")
                bar.update(min(size, self.num_gains - bar.n))
        return jtu.tree_map(lambda *x: jnp.concatenate(x)[: self.num_gains] if x[0].ndim else x[0], *parts)

    def describe(self, found: GainScan) -> Iterator[str]:
        """Where retrieval goes on, periods against their limit, and where it stops the number of memories."""
        gain, settled, limit = (np.asarray(x, np.float64) for x in (found.gain, found.period, found.period_limit))
        going = np.isfinite(settled)
        if np.any(going):
            smallest = f"{gain[going].min():.4g} (by the saliency map: 4{_in_short_cycle(found)})"
            yield f"Retrieval goes on at {going.sum()} of {len(gain)} gains, the smallest is {smallest}."
            yield ""
            columns = (gain, settled, limit, 100 * (settled / limit - 1))
            rows = [
                [number(x[i], form) for x, form in zip(columns, (".4g", ".4f", ".4f", ".1f"), strict=True)]
                for i in some(np.flatnonzero(going), _ROWS)
            ]
            yield from table(("gain κ", "period", "limit τ_s log Z+", "more by %"), rows)
        else:
            yield from ("Retrieval goes on at none of the gains.", "")
        stopped = np.flatnonzero(np.asarray(is_okay(found.result)) & ~going)
        if len(stopped):
            start = found.setting.numbers.get("saliency", found.gain)
            by_map = np.asarray(count_transitions(found.gain, start)).tolist()
            seen, how = (np.asarray(found.num_transitions) + 1).tolist(), endings(found.ending)
            yield from (f"It stops at {len(stopped)} of them.", "")
            rows = [
                (f"{gain[i]:.4g}", f"{seen[i]}", f"{by_map[i]}" if by_map[i] >= 0 else "never ends", _words(how[i]))
                for i in some(stopped, _ROWS)
            ]
            yield from table(("gain κ", "memories retrieved", "by the saliency map", "ending"), rows)
            for name in sorted({how[i] for i in stopped}, key=ENDINGS.index):
                yield from wrapped(f"{_words(name)}: {Ending[getattr(Ending, name)]}")
            yield ""
        yield from card(found)

    def files(self, found: GainScan) -> Iterator[tuple[str, Any]]:
        figure = new_figure(11.5, 8.4)
        grid = figure.add_gridspec(2, len(_COBWEBS), height_ratios=(1.1, 1))
        plot.gain_scan(found, ax=figure.add_subplot(grid[0, :]))
        for i, gain in enumerate(_COBWEBS):
            plot.cobweb(gain, gain if self.saliency is None else self.saliency, ax=figure.add_subplot(grid[1, i]))
        yield "gains.png", figure
        going = np.isfinite(np.asarray(found.period))
        results = {
            "smallest_gain": np.min(np.asarray(found.gain), where=going, initial=np.inf),
            "num_going_on": going.sum(),
            "endings": endings(found.ending),
            "num_failed": np.sum(~np.asarray(is_okay(found.result))),
        }
        parameters = dict(found.setting.parts) | found.setting.numbers
        yield "gains.json", {"parameters": parameters, "results": results}
        yield "gains.npz", arrays_of(found)


def _in_short_cycle(found: GainScan) -> str:
    """What a short cycle makes of the critical gain, where that is seen."""
    num_patterns = int(dict(found.setting.parts)["P"])
    exact = float(critical_gain(num_patterns))
    return f"; in a cycle of {num_patterns}: {exact:.4g}" if exact < 3.999 else ""


def _words(name: str) -> str:
    return name.replace("_", " ")
