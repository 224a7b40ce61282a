"""What `hopfield-jax dmft` prints, draws and saves, and its part of the demo."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import plot
from .._misc import default_float
from .._results import describe_result
from ..dmft import LeakyHebbian, OrderParameters, agreement, retrieved
from ._dmft import Outcome, Request, prepare, run
from ._report import plus_minus, save_json, table, versions

_ROWS = 8
_DEMO_STEPS = (1, 5, 19)
_SHOWN = ("overlap", "cue_overlap")
_LEGEND = "± standard errors, between randomisations or networks; apart: difference in combined standard errors."


def describe_request(request: Request) -> list[str]:
    """What is computed, for people."""
    model, kernel = request.model, request.model.kernel
    couplings = "with" if model.self_coupling else "without"
    strength = _strength(request)
    if isinstance(kernel, LeakyHebbian):
        synapses = f"A(t+dt) = (1 - dt/τ) A(t) + (dt/τ) (λ/N) φφᵀ, λ = {strength:g}, τ = {float(kernel.tau):g}"
    else:
        synapses = f"A(t+dt) = A(t) + dt (λ/N) φφᵀ, λ = {strength:g}"
    lines = [
        f"Retrieval from a cue of overlap m₀ = {float(request.cue.overlap):g} at load α = P/N = {float(model.load):g}, "
        f"{request.steps} steps of dt = {float(model.dt):g}, seed {request.seed}.",
        f"  units      x(t+dt) = (1 - dt) x + dt [J φ + A(t) φ], {request.units}",
        f"  stored     J = (1/N) Σ ξξᵀ over P random ±1 patterns, {couplings} self-couplings",
        f"  plastic    {synapses}",
        f"  theory     {request.shifts} randomisations of {request.samples} paths",
    ]
    if request.simulation:
        lines.append(
            f"  simulation {request.networks} networks of N = {request.neurons} neurons, P = {request.num_patterns}; "
            "theory at the same P/N and cue"
        )
    return lines


def describe_outcome(outcome: Outcome) -> list[str]:
    """The table at a handful of steps, how it ended and how well the two agree."""
    theory, network = outcome.theory, outcome.network
    header = ["step", "time", "overlap m: theory"] + ([] if network is None else ["simulation", "apart"])
    header += ["with the cue: theory"] + ([] if network is None else ["simulation", "apart"])
    rows = []
    # Closer to each other at the beginning, where most happens.
    late = np.geomspace(1, len(theory.times) - 1, _ROWS - 1)
    for t in np.unique(np.round([0, *late]).astype(int)).tolist():
        row = [f"{t}", f"{float(theory.times[t]):g}"]
        for name in _SHOWN:
            here = _at(theory, name, t)
            row.append(plus_minus(*here, 4))
            if network is not None:
                there = _at(network, name, t)
                row += [plus_minus(*there, 4), _apart(here, there)]
        rows.append(row)
    lines = [*table(header, rows, num_names=0), ""]
    if network is not None:
        compared = agreement(theory, network)
        unknown = "unknown, as one of them ended early"
        said = _body(compared) if np.isfinite(compared.squared_difference) else unknown
        lines += [_LEGEND, f"Agreement: {said}."]
    last = float(theory.overlap[-1])
    closer = "pattern" if last >= float(theory.cue_overlap[-1]) else "cue"
    verdict = "retrieved" if bool(retrieved(theory)) else "not retrieved"
    if np.isfinite(last):
        lines.append(f"Theory ends closer to the {closer}; {verdict} (final overlap of at least 0.8, above the cue's).")
    results = {"theory": theory} if network is None else {"theory": theory, "simulation": network}
    lines += [f"{name}: {said}" for name, o in results.items() if (said := describe_result(o.result)) != "ok"]
    return lines


def describe_conventions(outcome: Outcome) -> list[str]:
    """The settings that travel with the results."""
    sources = [] if outcome.network is None else [f"  {outcome.network.setting.source} of the same"]
    return ["Conventions", *textwrap.wrap(f"  {outcome.theory.setting}", 110, subsequent_indent="  "), *sources]


def _strength(request: Request) -> float:
    return float(getattr(request.model.kernel, "strength"))  # noqa: B009


def _at(order: OrderParameters, name: str, t: int) -> tuple[float, float]:
    """A value with its standard error, which is zero where there is nothing but rounding."""
    error = getattr(order, f"{name}_error")[t]
    return float(getattr(order, name)[t]), float(error) * bool(error > 16 * np.finfo(error.dtype).eps)


def _apart(here: tuple[float, float], there: tuple[float, float]) -> str:
    """The difference in standard errors; - where there is none."""
    error = np.hypot(here[1], there[1])
    return f"{abs(here[0] - there[0]) / error:.1f}" if np.isfinite(error) and error > 0 else "-"


def _body(result: Any) -> str:
    """A card without its title."""
    return " ".join(str(result).splitlines()[1:]).strip()


# --- what is left behind ---


MATRICES = ("correlation", "response", "noise_covariance", "crosstalk_feedback", "plastic_feedback")
LARGEST_MATRICES = 2000
"""Steps: matrices of longer runs, hundreds of MiB, are not written."""


def save(request: Request, outcome: Outcome, compile_s: float) -> list[Path]:
    """Writes the figures and the numbers; returns the files."""
    results = {"theory": outcome.theory} | ({} if outcome.network is None else {"simulation": outcome.network})
    arrays, numbers = request.output / "dmft.npz", request.output / "dmft.json"
    fields = [field.name for field in dataclasses.fields(outcome.theory)]
    if request.steps <= LARGEST_MATRICES:
        fields += [f"{matrix}{error}" for matrix in MATRICES for error in ("", "_error")]
    kept = {
        f"{name}.{field}": np.asarray(value)
        for name, order in results.items()
        for field in fields
        if isinstance(value := getattr(order, field, None), jax.Array)
    }
    np.savez_compressed(arrays, **kept)  # pyright: ignore[reportArgumentType]
    per_step = ("overlap", "overlap_error", "cue_overlap", "cue_overlap_error", "energy", "energy_error")
    per_step += ("error_fraction", "error_fraction_error")
    content: dict[str, Any] = {
        "command": "hopfield-jax dmft",
        "parameters": {
            "steps": request.steps,
            "samples": request.samples,
            "shifts": request.shifts,
            "neurons": request.neurons if request.simulation else None,
            "networks": request.networks if request.simulation else None,
            "num_patterns": request.num_patterns if request.simulation else None,
            "seed": request.seed,
        }
        | dict(outcome.theory.setting.parts)
        | outcome.theory.setting.numbers,
        "times": outcome.theory.times,
        "results": {
            name: {"setting": str(order.setting), "result": describe_result(order.result)}
            | {field: getattr(order, field) for field in per_step}
            for name, order in results.items()
        },
        "agreement": None,
        "closed_theory": None if outcome.closed is None else outcome.closed.as_dict(),
        "seconds": {"compile": compile_s, "theory": outcome.theory_s, "simulation": outcome.network_s},
        "versions": versions(),
        "device": f"{jax.devices()[0].platform}, {jax.devices()[0].device_kind}",
        "dtype": str(default_float()),
    }
    if outcome.network is not None:
        found = agreement(outcome.theory, outcome.network)
        content["agreement"] = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    save_json(numbers, content)
    return [*_figures(request, outcome), numbers, arrays]


def _figures(request: Request, outcome: Outcome) -> list[Path]:
    from matplotlib.figure import Figure

    files = [request.output / name for name in ("trajectory.png", "correlation.png")]
    figure = Figure((10.0, 4.2), layout="constrained")
    trajectory, memory = figure.subplots(1, 2)
    plot.order_parameters(outcome.theory, outcome.network, ax=trajectory)
    if outcome.closed is not None:
        plot.predictions(outcome.closed, ax=trajectory)
    plot.feedback(outcome.theory, ax=memory)
    figure.savefig(files[0], dpi=150)
    figure = Figure((5.2, 4.6), layout="constrained")
    plot.two_times(outcome.theory, ax=figure.subplots())
    figure.savefig(files[1], dpi=150)
    return files


def run_and_report(request: Request, echo: Callable[[str], None]) -> list[Path]:
    """The whole of the command once its request is checked; returns the files."""
    for line in (*describe_request(request), ""):
        echo(line)
    outcomes, compile_s = run([request])
    outcome = outcomes[0]
    ran = f"Compilation {compile_s:.1f} s, theory {outcome.theory_s:.1f} s"
    ran += "" if outcome.network is None else f", simulation {outcome.network_s:.1f} s"
    closed = [] if outcome.closed is None else ["Closed theory", *str(outcome.closed).splitlines()[1:], ""]
    for line in (*describe_outcome(outcome), *closed, *describe_conventions(outcome), f"{ran}.", ""):
        echo(line)
    return save(request, outcome, compile_s)


# --- the demo ---


def demonstrate(folder: Path, quick: bool, echo: Callable[[str], None]) -> Sequence[Path]:
    """Theory against simulation without and with plasticity: a short table and one figure."""
    from matplotlib.figure import Figure

    sizes = {"samples": 4096 if quick else 16384, "networks": 4 if quick else 16, "output": folder}
    requests = [prepare(strength=strength, **sizes) for strength in (0.0, 0.3)]
    twice = "  twice      with λ = 0.3 and, the same networks and cues, with λ = 0: fixed synapses"
    for line in (*describe_request(requests[-1]), twice, ""):
        echo(line)
    outcomes, compile_s = run(requests)
    header = ("λ", "step", "overlap m: theory", "simulation", "apart", "with the cue: theory", "simulation")
    rows = []
    for request, outcome in zip(requests, outcomes, strict=True):
        for t in _DEMO_STEPS:
            found = [o for o in (outcome.theory, outcome.network) if o is not None]
            overlap, with_cue = ([_at(order, name, t) for order in found] for name in _SHOWN)
            cells = [plus_minus(*x, 4) for x in (*overlap, *with_cue)]
            rows.append((f"{_strength(request):g}", f"{t}", *cells[:2], _apart(*overlap), *cells[2:]))
    seconds = sum(o.theory_s + o.network_s for o in outcomes)
    for line in (
        *table(header, rows, num_names=0),
        "",
        _LEGEND,
        f"Compilation {compile_s:.1f} s, all runs {seconds:.1f} s.",
        "",
    ):
        echo(line)
    figure = Figure((10.0, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for ax, outcome, title in zip(panels, outcomes, ("Fixed synapses", "Plastic synapses"), strict=True):
        plot.order_parameters(outcome.theory, outcome.network, ax=ax).title.set_text(title)
    panels[1].set_ylabel("")
    figure.savefig(path := folder / "trajectory.png", dpi=150)
    return [path]
