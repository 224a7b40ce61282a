"""`hopfield-jax theory`: what closed theories say of a network, without simulating it."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .. import plot, theory
from .._misc import default_float
from .._results import is_okay
from ..dmft import Glauber, Panel, panel
from ._dmft import Request
from ._report import save_json, versions

_LOADS = 41


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The panel, and the state at rest over loads with the critical one."""

    panel: Panel
    curve: tuple[theory.StationaryState, theory.StationaryState]
    seconds: float


def run(request: Request, asynchronous: bool) -> Outcome:
    """The panel and the curve."""
    started = time.perf_counter()
    found = panel(request.model, request.cue, num_steps=request.steps, asynchronous=asynchronous)
    return Outcome(found, _curve(request), time.perf_counter() - started)


def _curve(request: Request) -> tuple[theory.StationaryState, theory.StationaryState]:
    model: Any = request.model
    thermal = isinstance(model.units, Glauber)
    units: Any = theory.Thermal(model.units.beta) if thermal else model.units
    strength = 0.0 if thermal else model.kernel.strength
    options = {"strength": strength, "self_coupling": model.self_coupling and not thermal, "throw": False}
    end = theory.critical_load(units, **options)
    last = float(end.load) if bool(is_okay(end.result)) else 2 * float(model.load)
    loads = jnp.linspace(0.01 * last, last, _LOADS)
    return jax.vmap(lambda load: theory.scsna(units, load, **options))(loads), end


def save(request: Request, outcome: Outcome) -> list[Path]:
    """Writes the figure and the numbers; returns the files."""
    from matplotlib.figure import Figure

    figure = Figure((10.0, 4.2), layout="constrained")
    path, rest = figure.subplots(1, 2)
    plot.predictions(outcome.panel, others=True, ax=path)
    plot.stationary(*outcome.curve, ax=rest)
    if not outcome.panel.critical_load.applies:
        rest.set_title("At rest (does not apply: see the table)", fontsize="medium")
    rest.axvline(float(request.model.load), color="0.5", linewidth=1.0, linestyle="--", label="this load")
    rest.legend(frameon=False, fontsize="small")
    strength = float(getattr(request.model.kernel, "strength", 0.0))
    said = f"{request.units}, α = {float(request.model.load):.4g}, $m_0$ = {float(request.cue.overlap):.4g}"
    figure.suptitle(f"{said}, λ = {strength:.4g}", fontsize="medium")
    figure.savefig(picture := request.output / "theory.png", dpi=150)
    states, end = outcome.curve
    save_json(
        numbers := request.output / "theory.json",
        {
            "command": "hopfield-jax theory",
            "parameters": {
                "units": request.units,
                "load": request.model.load,
                "cue": request.cue.overlap,
                "self_coupling": request.model.self_coupling,
                "strength": strength,
            },
            "predictions": outcome.panel.as_dict(),
            "at_rest": {"load": states.load, "overlap": states.overlap, "critical_load": end.load},
            "seconds": outcome.seconds,
            "versions": versions(),
            "device": f"{jax.devices()[0].platform}, {jax.devices()[0].device_kind}",
            "dtype": str(default_float()),
        },
    )
    return [picture, numbers]


def run_and_report(request: Request, asynchronous: bool, echo: Callable[[str], None]) -> list[Path]:
    """The whole of the command once its request is checked; returns the files."""
    model: Any = request.model
    echo(f"Closed theory of a network at load α = {float(model.load):g}, cue m₀ = {float(request.cue.overlap):g}")
    how = "one neuron updated after the other" if asynchronous else "all neurons updated at once"
    echo(f"  {request.units}, {how}, strength of plasticity λ = {float(model.kernel.strength):g}\n")
    outcome = run(request, asynchronous)
    for line in (*str(outcome.panel).splitlines()[1:], "", f"Compilation and runs {outcome.seconds:.1f} s.", ""):
        echo(line)
    return save(request, outcome)
