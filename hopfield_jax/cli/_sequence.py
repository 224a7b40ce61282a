"""`hopfield-jax sequence`: memories that follow each other."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

from .. import plot
from .._results import describe_result
from ..sequential import Ending, InputDrivenNetwork, escape_time, retrieve_sequence
from ..sequential.results import SequenceRun
from ._command import Output
from ._report import arrays_of, card, new_figure, number, progress, table
from ._sequences import AbstractRun

NUM_TIMES = 1001  # of the trajectory that are drawn and saved
ENDINGS = ("running", "collapse", "end_of_chain", "decayed_at_start", "no_escape", "tie", "not_nucleated")
ENDINGS += ("wrong_sign", "invalid")
_FIRST, _LAST = 14, 4  # visits that are printed of a long sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequence(AbstractRun):
    """Fast neurons retrieve the memory whose saliency, its weight in the synapses, is large. While it is active it
    feeds its successor through a slow state: its own saliency decays, that of the successor grows towards the gain κ,
    and when the active one has fallen to 1 the neurons move on. The successor's saliency is then κ times (1 - 1/Z), Z
    being what the one before began with, and each stays active for τ_s times log Z. From gain 4 on this settles at a
    period; below, every memory hands over less than it got, until nothing is left.

    Prints a table of visits and writes a figure (sequence.png) and numbers (sequence.json, sequence.npz).

    \b
    Examples
      hopfield-jax sequence
      hopfield-jax sequence --gain 3.5           too little: it collapses
      hopfield-jax sequence --units tanh --beta 2 --num-patterns 16
      hopfield-jax sequence --noise-slow 0.5 --seed 1
    """

    gain: Annotated[float, typer.Option(help="Gain κ; from 4 on sequences go on for ever.")] = 5.0
    output: Output = Path("hopfield-sequence")

    def __post_init__(self) -> None:
        _ = self.network

    @functools.cached_property
    def network(self) -> InputDrivenNetwork:
        return self.checked(self.gain)

    def about(self) -> Iterator[str]:
        return self.about_run(f"κ = {self.gain:g}")

    def compute(self) -> SequenceRun:
        first = self.gain if self.saliency is None else self.saliency
        times = jnp.linspace(0, self.t1, NUM_TIMES)
        with progress(1, desc="compiling, running") as bar:
            found = retrieve_sequence(self.network, saliency=first, saveat=times, throw=False, **self.ways)
            jax.block_until_ready(found)
            bar.update()
        return found

    def describe(self, found: SequenceRun) -> Iterator[str]:
        """The table of visits, and the card."""
        header = ("visit", "memory", "sign", "from", "to", "dwell time", "saliency Z at start", "τ_s log Z")
        rows = [
            (str(n), str(memory), "+" if sign > 0 else "-", *map(number, rest))
            for n, memory, sign, *rest in (visit.values() for visit in visits(found))
        ]
        if len(rows) > _FIRST + _LAST:
            rows = [*rows[:_FIRST], ("…",) * len(header), *rows[-_LAST:]]
        yield from table(header, rows)
        yield "τ_s log Z: the dwell time in the limit of fast neurons; -: the last memory, which no other one followed."
        yield from ("", *card(found))

    def files(self, found: SequenceRun) -> Iterator[tuple[str, Any]]:
        figure = new_figure(11.5, 5.6)
        grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.1))
        above = figure.add_subplot(grid[0, :2])
        below = figure.add_subplot(grid[1, :2], sharex=above)
        plot.sequence(found, ax=above).set_xlabel("")
        plot.saliencies(found, ax=below)
        plot.dwell_times(found, ax=figure.add_subplot(grid[:, 2]))
        yield "sequence.png", figure
        names = ("num_transitions", "num_correct", "period", "collapsed", "collapse_time")
        results = {"visits": visits(found)} | {name: getattr(found, name) for name in names}
        results |= {"ending": endings(found.ending)[0], "result": describe_result(found.result)}
        parameters = dict(found.setting.parts) | found.setting.numbers
        yield "sequence.json", {"parameters": parameters, "results": results}
        yield "sequence.npz", arrays_of(found)


def visits(found: SequenceRun) -> list[dict[str, Any]]:
    """Of each memory in turn: when it came and went, with what saliency, and what the saliency map makes of that."""
    count, numbers = int(found.num_transitions), found.setting.numbers
    order, sign = (np.asarray(x)[: count + 1] for x in (found.order, found.sign))
    times, dwell, handed = (
        np.asarray(x)[:count] for x in (found.switch_times, found.dwell_times, found.switch_saliency)
    )
    saliency = np.append(numbers["saliency"], handed[np.arange(count), order[1:]])
    columns = {
        "visit": np.arange(count + 1) + 1,
        "memory": order,
        "sign": sign,
        "from": np.append(0.0, times),
        "to": np.append(times, np.nan),
        "dwell_time": np.append(dwell, np.nan),
        "saliency": saliency,
        "expected": np.asarray(numbers["tau_slow"]) * np.asarray(escape_time(saliency)),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*(x.tolist() for x in columns.values()), strict=True)]


def endings(found: Any) -> list[str]:
    """The names of endings, one or an array of them."""
    which = np.stack([np.atleast_1d(found == getattr(Ending, name)) for name in ENDINGS])
    return [ENDINGS[i] for i in which.argmax(axis=0)]
