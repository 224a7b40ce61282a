"""`hopfield-jax sweep gains`: periods and collapses over gains and time constants."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import typer

from .. import plot, sweep
from .._misc import default_float
from .._patterns import hadamard_patterns
from .._types import Scalar
from ..sequential import count_transitions, period
from ._report import new_figure, number, table
from ._sequences import Lower, NumGains, NumPatterns, Upper, few_patterns
from ._sweep import Stage
from ._sweep_sequences import AbstractCycles


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepGains(AbstractCycles):
    """Runs the network of `hopfield-jax sequence` at many gains κ and a few ratios τ_f/τ_s. Sequences that go on settle
    at a period, in the limit of fast neurons τ_s log Z+ from gain 4 on; the others collapse after some transitions.

    Prints what was found and writes a figure (gains.png), numbers (gains.json) and the sweep's store (Zarr).

    \b
    Examples
      hopfield-jax sweep gains
      hopfield-jax sweep gains --tau-fast 0.1 --tau-fast 0.005 --lower 2
      hopfield-jax sweep gains --units tanh --beta 2 --num-gains 64
    """

    lower: Lower = 3.0
    upper: Upper = 6.0
    num_gains: NumGains = 128
    tau_fast: Annotated[
        tuple[float, ...], typer.Option(help="Time constant τ_f of the neurons, in units of τ_s. May be repeated.")
    ] = (0.01, 0.02, 0.05)
    num_patterns: NumPatterns = 8

    random = False

    def ratios(self) -> np.ndarray:
        return np.array(sorted(set(self.tau_fast)), default_float())

    def check(self) -> None:
        patterns = few_patterns(self.num_patterns, self.num_neurons)
        self.check_cycles(patterns, self.num_patterns, float(self.ratios()[0]))

    def point(self, *, ratio: Scalar, gain: Scalar) -> dict[str, Any]:
        """A cycle of orthogonal memories: its settled period, or after how many transitions it ends."""
        patterns = hadamard_patterns(self.num_patterns, self.num_neurons)
        run = self.run_cycle(patterns, gain, ratio, float(self.ratios()[0]))
        found = {"period": run.period, "transitions": run.num_transitions, "collapsed": run.collapsed}
        return found | {"ending": run.ending, "result": run.result}

    def stages(self) -> tuple[Stage, ...]:
        shown = {
            "ratio": {"long_name": "ratio of time constants", "symbol": r"$τ_f/τ_s$"},
            "gain": {"long_name": "gain", "symbol": "κ"},
            "period": {"long_name": "settled period", "symbol": "$T$", "units": r"$τ_s$"},
            "transitions": {"long_name": "transitions until the end"},
        }
        grid = sweep.Grid(ratio=self.ratios(), gain=self.gains())
        return (Stage("gains", self.point, grid, shown, self.place),)

    def unused(self) -> tuple[str, ...]:
        return ("seed",)

    def what(self) -> tuple[str, ...]:
        return (
            f"Cycles of P = {self.num_patterns} memories in N = {self.num_neurons} neurons until t = {self.t1:g} τ_s, "
            f"{self.said_gains()} and τ_f/τ_s = {', '.join(f'{x:g}' for x in self.ratios())}; the first memory starts "
            "with saliency κ.",
            f"network    {self.said_units}, input coupling ε = {self.input_coupling:g}",
        )

    def attributes(self) -> dict[str, Any]:
        return self.facts(f"P = {self.num_patterns} orthogonal memories in a cycle", f"N = {self.num_neurons}")

    @staticmethod
    def draw(found: Sequence[Any]) -> Any:
        (dataset,) = found
        figure = new_figure(8.2, 7.6)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
        plot.profile(dataset, "period", x="gain", each="ratio", ax=above)
        gain = dataset["gain"].values.astype(np.float64)
        style: dict[str, Any] = {"color": "#333333", "linewidth": 1.4, "linestyle": (0, (5, 2))}
        if gain[-1] > 4:
            # Closer to each other where the curve begins, which it does vertically.
            first = max(gain[0], 4.0)
            fine = first + (gain[-1] - first) * np.linspace(0, 1, 200) ** 2
            above.plot(fine, _limit(fine), label=r"fast neurons: $\log Z_+$, κ ≥ 4", **style)
        above.legend(frameon=False, fontsize="small", loc="lower right")
        above.set_ylim(bottom=0)
        above.set_xlabel("")
        above.title.set_text("Where sequences go on, and how fast")
        stopped = dataset.assign(transitions=dataset["transitions"].where(dataset["collapsed"]))
        plot.profile(stopped, "transitions", x="gain", each="ratio", ax=below)
        said = []
        small = gain[gain < 4].astype(default_float())
        if small.size:
            by_map = np.asarray(count_transitions(small, small), np.float64) - 1
            said = below.plot(small, np.where(by_map >= 0, by_map, np.nan), label="saliency map", zorder=1, **style)
        for text in list(below.texts):  # the conditions stand above
            text.remove()
        below.set_title("Transitions before the collapse", fontsize="medium", color="#333333", pad=6)
        below.set_ylabel("transitions")
        if said:
            below.legend(handles=said, frameon=False, fontsize="small", loc="upper right")
        else:
            below.get_legend().remove()
        below.set_xlim(gain[0], gain[-1])
        return figure

    def summarise(self, found: Sequence[Any]) -> dict[str, Any]:
        (dataset,) = found
        gain, rows = dataset["gain"].values.astype(np.float64), []
        for ratio in dataset["ratio"].values:
            settled = dataset["period"].sel(ratio=ratio).values.astype(np.float64)
            going = np.isfinite(settled)
            rows.append(
                {
                    "ratio": ratio,
                    "smallest_gain": gain[going].min() if np.any(going) else None,
                    "num_going_on": going.sum(),
                    "last_period": settled[-1],
                    "last_limit": _limit(gain[-1]) if gain[-1] >= 4 else math.nan,
                }
            )
        return {"ratios": rows}

    def say(self, numbers: dict[str, Any]) -> Iterator[str]:
        header = ("τ_f/τ_s", "smallest gain that goes on", "gains that do", "last period", "limit log Z+", "more by %")
        rows = []
        for row in numbers["ratios"]:
            smallest, last, limit = row["smallest_gain"], row["last_period"], row["last_limit"]
            cells = f"{row['ratio']:g}", "-" if smallest is None else f"{smallest:.4g}", f"{row['num_going_on']}"
            rows.append((*cells, number(last), number(limit), number(100 * (last / limit - 1), ".1f")))
        yield from (*table(header, rows), "Sequences that collapse have no period (not finite).")


def _limit(gain: Any) -> np.ndarray:
    """The period in the limit of fast neurons, in units of τ_s."""
    return np.asarray(period(np.asarray(gain, default_float())), np.float64)
