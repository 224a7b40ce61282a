"""`hopfield-jax tune gain`: gains at which memories follow each other at wanted intervals."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import typer

from .. import plot
from .._checks import Rules, fail
from .._results import describe_result, is_okay
from ..sequential import ExactDwell, InputDrivenNetwork, scan_gains, tune_gain
from ..sequential.results import GainScan, TunedGain
from ._command import Output
from ._report import card, new_figure, number, table
from ._sequences import AbstractSequence, NumGains, room_for, steps_fit

_TRANSITIONS = 40  # in a run of the curve, of the longest period


Found = tuple[list[TunedGain], GainScan]
"""The gain of each period, and the curve about them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneGain(AbstractSequence):
    """For infinitely fast neurons the gain of period T (in units of τ_s) is e^2T/(e^T - 1), from T = log 2 on. From
    there Newton's method, with the derivative of the times of the switches, finds that of the network itself. A period
    that the network does not have, because its sequences collapse before they are as quick, is said to be so.

    Prints what was found and writes a figure (gain.png: period against gain, the limit, the gains found) and numbers
    (gain.json).

    \b
    Examples
      hopfield-jax tune gain
      hopfield-jax tune gain --period 1.2 --tau-fast 0.002
      hopfield-jax tune gain --period 0.8 --period 1 --num-patterns 4
    """

    period: Annotated[tuple[float, ...], typer.Option(help="Wanted time between two memories. May be repeated.")] = (
        1.0,
        1.5,
        2.0,
    )
    num_gains: NumGains = 31
    output: Output = Path("hopfield-tune")

    def __post_init__(self) -> None:
        for period in self.period:
            Rules().real("period", period, "positive")
        if len(set(self.period)) < len(self.period):
            fail("period", "every period once", list(self.period))
        steps_fit(self.t1, 0.5 * self.t1 / float(self.start.tau_fast), self.num_patterns)

    @property
    def t1(self) -> float:
        return _TRANSITIONS * max(self.period)

    @functools.cached_property
    def start(self) -> InputDrivenNetwork:
        return self.network_at(5.0)

    def about(self) -> Iterator[str]:
        said = f"P = {self.num_patterns} memories in N = {self.num_neurons} neurons"
        yield f"Gains at which {said} follow each other every {', '.join(f'{x:g}' for x in sorted(self.period))}."
        yield from self.about_network()

    def compute(self) -> Found:
        found = [tune_gain(self.start, period=period, throw=False) for period in sorted(self.period)]
        gains = [float(one.gain) for one in found if is_okay(one.result)] or [float(self.start.gain)]
        curve = scan_gains(
            self.start,
            jnp.linspace(0.8 * min(gains), 1.1 * max(gains), self.num_gains),
            t1=self.t1,
            max_transitions=room_for(self.t1 / self.tau_slow),
            solver=ExactDwell() if self.units == "hardtanh" else None,
        )
        return found, curve

    def describe(self, found: Found) -> Iterator[str]:
        """A table of the gains, and the card of each."""
        tuned, _ = found
        rows = [
            [f"{float(one.setting.numbers['wanted']):g}"]
            + [number(x, ".5g") for x in (one.gain, one.gain_limit, one.period, one.slope)]
            + [f"{int(one.num_evaluations)}"]
            for one in tuned
        ]
        yield from table(
            ("period wanted", "gain κ", "limit e^2T/(e^T-1)", "period reached", "slope dT/dκ", "runs"), rows
        )
        for one in tuned:
            yield from (*card(one), "")

    def files(self, found: Found) -> Iterator[tuple[str, Any]]:
        tuned, curve = found
        figure = new_figure(7.5, 4.6)
        axes = plot.gain_scan(curve, ax=figure.subplots())
        points = np.array([[one.gain, one.period] for one in tuned if is_okay(one.result)]).reshape(-1, 2)
        axes.plot(*points.T, "k*", markersize=12, zorder=5)
        for gain, period in points:
            axes.annotate(f"κ = {gain:.4g}", (gain, period), (8, -12), textcoords="offset points", fontsize="small")
        axes.title.set_text("Gains of wanted periods (stars)")
        yield "gain.png", figure
        names = ("gain", "period", "slope", "gain_limit", "residual", "unsettled", "num_evaluations")
        results = [
            {"wanted": one.setting.numbers["wanted"], "result": describe_result(one.result)}
            | {name: getattr(one, name) for name in names}
            for one in tuned
        ]
        drawn = {name: getattr(curve, name) for name in ("gain", "period", "period_limit")}
        parameters = dict(curve.setting.parts) | curve.setting.numbers
        yield "gain.json", {"parameters": parameters, "results": results, "curve": drawn}
