"""`hopfield-jax tune gain`: gains at which memories follow each other at wanted intervals."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from .._checks import at_least, fail, in_domain
from .._generating import HardTanh
from .._misc import default_float
from .._results import describe_result, is_okay
from ..sequential import ExactDwell, GainScan, TunedGain, scan_gains, tune_gain
from ._present_sequential import describe_card, describe_network
from ._report import save_json, table, versions
from ._sequential import Request, prepare

_TRANSITIONS = 40  # in a run of the curve, of the longest period


@dataclasses.dataclass(frozen=True)
class GainRequest:
    """Everything that decides the numbers, checked."""

    sequence: Request
    periods: tuple[float, ...]
    points: int


def prepare_gain(*, periods: Sequence[float], points: int, output: Path, **network: Any) -> GainRequest:
    """Checks the options and the folder before anything long begins.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    for period in periods:
        in_domain("--period", period, "positive")
    if len(set(periods)) < len(periods):
        fail("--period", "every period once", f"{list(periods)}")
    at_least("--points", points, 2)
    return GainRequest(
        prepare(output=output, t1=_TRANSITIONS * max(periods), **network), tuple(sorted(periods)), points
    )


def run_gain(request: GainRequest) -> tuple[list[TunedGain], GainScan, float]:
    """The gains, the curve about them, and the seconds they took with their compilation."""
    started, network = time.perf_counter(), request.sequence.network
    found = [tune_gain(network, period=period, throw=False) for period in request.periods]
    gains = [float(one.gain) for one in found if is_okay(one.result)] or [float(network.gain)]
    curve = scan_gains(
        network,
        jnp.linspace(0.8 * min(gains), 1.1 * max(gains), request.points),
        t1=request.sequence.t1,
        max_transitions=request.sequence.room,
        solver=ExactDwell() if isinstance(network.units, HardTanh) else None,
    )
    return found, jax.block_until_ready(curve), time.perf_counter() - started


def describe_gain(found: Sequence[TunedGain]) -> list[str]:
    """A table of the gains, and the card of each."""
    rows = [
        (f"{float(one.setting.numbers['wanted']):g}", *map(_number, (one.gain, one.gain_limit, one.period, one.slope)))
        + (f"{int(one.num_evaluations)}",)
        for one in found
    ]
    header = ("period wanted", "gain κ", "limit e^2T/(e^T-1)", "period reached", "slope dT/dκ", "runs")
    return [*table(header, rows, num_names=0), "", *(line for one in found for line in (*describe_card(one), ""))]


def save_gain(request: GainRequest, found: Sequence[TunedGain], curve: GainScan, seconds: float) -> list[Path]:
    """Writes the figure and the numbers; returns the files."""
    from matplotlib.figure import Figure

    figure = Figure((7.5, 4.6), layout="constrained")
    axes = plot.gain_scan(curve, ax=figure.subplots())
    good = [one for one in found if is_okay(one.result)]
    points = np.array([[one.gain, one.period] for one in good]).reshape(-1, 2)
    axes.plot(*points.T, "k*", markersize=12, zorder=5)
    for gain, period in points:
        axes.annotate(f"κ = {gain:.4g}", (gain, period), (8, -12), textcoords="offset points", fontsize="small")
    axes.title.set_text("Gains of wanted periods (stars)")
    figure.savefig(picture := request.sequence.output / "gain.png", dpi=150)
    names = ("gain", "period", "slope", "gain_limit", "residual", "unsettled", "num_evaluations")
    results = [
        {"wanted": one.setting.numbers["wanted"], "result": describe_result(one.result)}
        | {name: getattr(one, name) for name in names}
        for one in found
    ]
    save_json(
        numbers := request.sequence.output / "gain.json",
        {
            "command": "hopfield-jax tune gain",
            "parameters": dict(curve.setting.parts) | curve.setting.numbers,
            "results": results,
            "curve": {"gain": curve.gain, "period": curve.period, "period_limit": curve.period_limit},
            "seconds": seconds,
            "versions": versions(),
            "device": f"{jax.devices()[0].platform}, {jax.devices()[0].device_kind}",
            "dtype": str(default_float()),
        },
    )
    return [picture, numbers]


def run_and_report_gain(request: GainRequest, echo: Callable[[str], None]) -> list[Path]:
    """The whole of the command once its request is checked; returns the files."""
    num_patterns, num_neurons = request.sequence.network.patterns.shape
    wanted = ", ".join(f"{period:g}" for period in request.periods)
    echo(f"Gains at which P = {num_patterns} memories in N = {num_neurons} neurons follow each other every {wanted}.")
    for line in (*describe_network(request.sequence), ""):
        echo(line)
    found, curve, seconds = run_gain(request)
    for line in (*describe_gain(found), f"Compilation and runs {seconds:.1f} s.", ""):
        echo(line)
    return save_gain(request, found, curve, seconds)


def _number(x: Any) -> str:
    return f"{float(x):.5g}" if np.isfinite(float(x)) else "-"
