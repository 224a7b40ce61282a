"""`hopfield-jax sweep sequence`: how many random memories can follow each other."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import typer

from .. import plot, sweep
from .._misc import binomial_error
from .._patterns import hadamard_patterns, random_patterns
from .._results import RESULTS, is_okay
from .._types import PRNGKey, Scalar
from ..sequential import Ending
from ._report import new_figure, plus_minus, some, table
from ._sequences import InputCoupling, Lower, NumGains, TauFast, Upper
from ._sweep import Stage
from ._sweep_sequences import AbstractCycles

_COLUMNS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSequence(AbstractCycles):
    """Random memories overlap, by about 1/√N, which may push the network to a wrong one or to a memory's negative, or
    let the sequence collapse at gains at which orthogonal ones go on. A sequence succeeds if every transition until the
    end goes to the right memory with the right sign; its share is found over the gain κ and the number P of memories.

    Prints what was found and writes a figure (sequence.png), numbers (sequence.json) and the sweep's store (Zarr).

    \b
    Examples
      hopfield-jax sweep sequence
      hopfield-jax sweep sequence --input-coupling 0.05 -p 16 -p 32
      hopfield-jax sweep sequence --num-draws 32 --executor processes:4
    """

    lower: Lower = 2.5
    upper: Upper = 6.0
    num_gains: NumGains = 8
    num_patterns: Annotated[
        tuple[int, ...],
        typer.Option("--num-patterns", "-p", help="Random memories P in a cycle. May be repeated.", min=2),
    ] = (8, 16, 32, 64)
    num_draws: Annotated[int, typer.Option(help="How often memories are drawn.", min=1)] = 10
    num_neurons: Annotated[int, typer.Option("--num-neurons", "-n", help="Neurons N.", min=2)] = 128
    tau_fast: TauFast = 0.02
    input_coupling: InputCoupling = 0.2
    t1: Annotated[float, typer.Option(help="End, in slow time constants τ_s.")] = 10.0

    random_axes = ("memories", "draw")

    def check(self) -> None:
        self.check_cycles(hadamard_patterns(2, 2), max(self.num_patterns), self.tau_fast)

    def point(self, key: PRNGKey, *, memories: int, gain: Scalar, draw: Any) -> dict[str, Any]:
        """A cycle of random patterns: whether every transition until the end goes to the right one, with the right
        sign."""
        patterns = random_patterns(memories, self.num_neurons, key=key)
        run = self.run_cycle(patterns, gain, self.tau_fast, self.tau_fast)
        known = is_okay(run.result) | (run.result == RESULTS.no_room)
        right = (run.ending == Ending.running) & (run.num_transitions > 0) & (run.num_correct == run.num_transitions)
        number = lambda x: jnp.where(known, x.astype(gain.dtype), jnp.nan)  # noqa: E731
        found = {"success": number(right), "correct": number(run.num_correct)}
        return found | {"ending": run.ending, "result": run.result}

    def stages(self) -> tuple[Stage, ...]:
        shown = {
            "memories": {"long_name": "random memories", "symbol": "P"},
            "gain": {"long_name": "gain", "symbol": "κ"},
            "draw": {"long_name": "draw of the memories"},
            "success": {"long_name": "share of sequences without an error"},
            "correct": {"long_name": "right transitions before the first error"},
        }
        memories = {str(p): p for p in sorted(self.num_patterns)}
        grid = sweep.Grid(memories=memories, gain=self.gains(), draw=self.num_draws)
        return (Stage("sequences", self.point, grid, shown, self.place),)

    def unused(self) -> tuple[str, ...]:
        return ()

    def what(self) -> tuple[str, ...]:
        return (
            f"Cycles of P = {', '.join(map(str, sorted(self.num_patterns)))} random memories in N = {self.num_neurons} "
            f"neurons until t = {self.t1:g} τ_s, {self.said_gains()}, {self.num_draws} draws each, the same at all "
            "gains. A sequence succeeds if every transition goes to the right memory, with the right sign.",
            f"network    {self.said_units}, τ_f/τ_s = {self.tau_fast:g}, input coupling ε = {self.input_coupling:g}",
        )

    def attributes(self) -> dict[str, Any]:
        return self.facts(f"N = {self.num_neurons}", rf"$τ_f/τ_s$ = {self.tau_fast:g}")

    @staticmethod
    def draw(found: Sequence[Any]) -> Any:
        (dataset,) = found
        figure = new_figure(11.6, 4.8)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        plot.phase_diagram(dataset, "success", x="gain", y="memories", ax=left)
        left.title.set_text("Random memories that follow each other")
        left.collections[0].set_clim(0, 1)
        neurons = json.loads(dataset.attrs.get("parameters", "{}")).get("num_neurons")
        if neurons:
            left.set_yticks(left.get_yticks(), [f"{p}\n({int(p) / neurons:.3g})" for p in dataset["memories"].values])
            left.set_ylabel("random memories P (load α = P/N)")
        again = dataset.assign_attrs(conditions="")  # they stand on the left
        plot.profile(again, "success", x="gain", each="memories", ax=right)
        right.set_ylim(-0.03, 1.03)
        right.title.set_text("The same, with errors")
        right.set_ylabel("share without an error")
        return figure

    def summarise(self, found: Sequence[Any]) -> dict[str, Any]:
        (dataset,) = found
        success = dataset["success"].where(dataset["point_status"] > 0).transpose("memories", "gain", "draw")
        values = success.values.astype(np.float64)
        known, right = np.isfinite(values).sum(axis=2), np.nansum(values, axis=2)
        share = np.where(known > 0, right / np.maximum(known, 1), np.nan)
        error = np.where(known > 0, np.asarray(binomial_error(share, np.maximum(known, 1)), np.float64), np.nan)
        return {
            "memories": dataset["memories"].values,
            "gain": dataset["gain"].values,
            "share": share,
            "error": error,
            "overall": float(right.sum() / known.sum()) if known.sum() else math.nan,
        }

    def say(self, numbers: dict[str, Any]) -> Iterator[str]:
        gains = numbers["gain"]
        shown = some(range(len(gains)), _COLUMNS)
        rows = [
            (str(p), *(plus_minus(share[i], error[i], 2) for i in shown))
            for p, share, error in zip(numbers["memories"], numbers["share"], numbers["error"], strict=True)
        ]
        yield "Share of sequences without an error"
        yield from table(("P", *(f"κ = {gains[i]:.3g}" for i in shown)), rows)
        yield f"Of all sequences {100 * numbers['overall']:.0f} % succeed."
