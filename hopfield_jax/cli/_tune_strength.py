"""`hopfield-jax tune strength`: the strength of plasticity that is best for a cue."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np

from .. import plot
from .._checks import at_least, fail
from .._misc import default_float
from .._results import describe_result
from ..dmft import OptimalStrength, OrderParameters, optimal_strength, solve
from ._dmft import Request, prepare
from ._present_sequential import describe_card
from ._report import plus_minus, save_json, table, versions


@dataclasses.dataclass(frozen=True)
class StrengthRequest:
    """Everything that decides the numbers, checked."""

    retrieval: Request
    lower: float
    upper: float
    repeats: int


def prepare_strength(*, lower: float, upper: float, repeats: int, units: str, **retrieval: Any) -> StrengthRequest:
    """Checks the options and the folder before anything long begins.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    if units in ("sign", "glauber"):
        fail("--units", "units with a gradient: logcosh, hardtanh or erf", units)
    if not (np.isfinite([lower, upper]).all() and lower < upper):
        fail("--to", f"a strength above --from {lower:g}", f"{upper:g}")
    at_least("--repeats", repeats, 2)
    request = prepare(units=units, strength=0.0, shifts=repeats, simulation=False, **retrieval)
    return StrengthRequest(request, lower, upper, repeats)


def run_and_report_strength(request: StrengthRequest, echo: Callable[[str], None]) -> list[Path]:
    """The whole of the command once its request is checked; returns the files."""
    found = request.retrieval
    echo(f"Strength λ between {request.lower:g} and {request.upper:g} at which most of a pattern is retrieved.")
    echo(f"  load α = {float(found.model.load):g}, cue m₀ = {float(found.cue.overlap):g}, {found.steps} steps")
    echo(f"  {found.units}; theory, {request.repeats} repeats of {found.samples} paths\n")
    started = time.perf_counter()
    best = optimal_strength(
        lambda model, cue, key: _theory(request, model, cue, key),
        found.model,
        found.cue,
        key=jr.key(found.seed),
        num_repeats=request.repeats,
        lower=request.lower,
        upper=request.upper,
        throw=False,
    )
    seconds = time.perf_counter() - started
    for line in (*describe_strength(best), *warn(request, best), f"Compilation and runs {seconds:.1f} s.", ""):
        echo(line)
    return save_strength(request, best, seconds)


def describe_strength(best: OptimalStrength) -> list[str]:
    """A table of the strengths tried, and the card."""
    values, slopes = (np.asarray(x, np.float64) for x in (best.values, best.gradients))
    error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    rows = [
        (f"{strength:.4g}", plus_minus(value, spread, 4), f"{slope:z.3g}")
        for strength, value, spread, slope in zip(
            np.asarray(best.strengths), values.mean(axis=1), error, slopes.mean(axis=1), strict=True
        )
    ]
    return [*table(("strength λ", "overlap", "derivative"), rows, num_names=0), "", *describe_card(best), ""]


def warn(request: StrengthRequest, best: OptimalStrength) -> list[str]:
    """What to do about a best strength at a bound."""
    if not best.at_bound:
        return []
    low = float(best.strength) == float(best.strengths[0])
    option, width = ("--from", request.lower - request.upper) if low else ("--to", request.upper - request.lower)
    end = request.lower if low else request.upper
    return [
        f"Warning: the best strength is the {'smallest' if low else 'largest'} that was tried, and beyond it there may "
        f"be better ones: try {option} {end + width:.4g}.",
        "",
    ]


def save_strength(request: StrengthRequest, best: OptimalStrength, seconds: float) -> list[Path]:
    """Writes the figure and the numbers; returns the files."""
    from matplotlib.figure import Figure

    figure = Figure((7.5, 4.6), layout="constrained")
    plot.optimal_strength(best, ax=figure.subplots()).set_ylabel("overlap with the pattern at the last step")
    figure.savefig(picture := request.retrieval.output / "strength.png", dpi=150)
    names = ("strength", "lower", "upper", "value", "value_error", "at_bound", "mismatch")
    save_json(
        numbers := request.retrieval.output / "strength.json",
        {
            "command": "hopfield-jax tune strength",
            "parameters": dict(best.setting.parts) | best.setting.numbers,
            "result": describe_result(best.result),
            **{name: getattr(best, name) for name in names},
            "tried": {name: getattr(best, name) for name in ("strengths", "values", "gradients")},
            "seconds": seconds,
            "versions": versions(),
            "device": f"{jax.devices()[0].platform}, {jax.devices()[0].device_kind}",
            "dtype": str(default_float()),
        },
    )
    return [picture, numbers]


def demonstrate(folder: Path, quick: bool, echo: Callable[[str], None]) -> list[Path]:
    """The demo's step."""
    request = prepare_strength(
        output=folder, lower=0.0, upper=2.0, repeats=2 if quick else 4, units="logcosh", load=0.1, cue=0.5,
        steps=6 if quick else 19, samples=256 if quick else 4096,
    )  # fmt: skip
    return run_and_report_strength(request, echo)


def _theory(request: StrengthRequest, model: Any, cue: Any, key: jax.Array) -> OrderParameters:
    steps, samples = request.retrieval.steps, request.retrieval.samples
    return solve(model, cue, key=key, num_steps=steps, num_samples=samples, num_shifts=1, throw=False)
