"""`hopfield-jax tune strength`: the strength of plasticity that is best for a cue."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax.random as jr
import numpy as np
import typer

from .. import plot
from .._checks import fail
from .._results import describe_result
from ..dmft import optimal_strength, solve
from ..dmft.results import OptimalStrength
from ._command import Output, Seed, default_of
from ._plastic import AbstractPlastic, Load, NumSamples, theory_fits
from ._report import card, new_figure, plus_minus, table


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneStrength(AbstractPlastic):
    """Mean-field theory and its derivative at a few strengths, then between the neighbours of the best; the maximum of
    the curve through them, and which strengths are as good within errors. The card says by how much values contradict
    the derivatives.

    Prints what was tried and writes a figure (strength.png) and numbers (strength.json).

    \b
    Examples
      hopfield-jax tune strength
      hopfield-jax tune strength --load 0.05 --cue-overlap 0.2 --beta 6 --tau 10
      hopfield-jax tune strength --load 0.12 --cue-overlap 0.4 --upper 4
      hopfield-jax tune strength --units sign
    """

    load: Load = 0.1
    lower: Annotated[float, typer.Option(help="Smallest strength λ.")] = default_of(optimal_strength, "lower")
    upper: Annotated[float, typer.Option(help="Largest strength λ.")] = 2.0
    num_samples: NumSamples = 8192
    num_repeats: Annotated[int, typer.Option(help="Randomisations, whose spread is the error.", min=2)] = default_of(
        optimal_strength, "num_repeats"
    )
    seed: Seed = 0
    output: Output = Path("hopfield-tune")

    def __post_init__(self) -> None:
        if not (np.isfinite([self.lower, self.upper]).all() and self.lower < self.upper):
            fail("upper", f"a strength above --lower {self.lower:g}", f"{self.upper:g}")
        model = self.network(self.load, 0.0)
        theory_fits(model, self.cue, self.num_steps, self.num_samples, self.num_repeats)

    def about(self) -> Iterator[str]:
        yield f"Strength λ between {self.lower:g} and {self.upper:g} at which most of a pattern is retrieved."
        yield f"  load α = {self.load:g}, cue m₀ = {self.cue_overlap:g}, {self.num_steps} steps"
        yield f"  {self.said_units}; theory, {self.num_repeats} repeats of {self.num_samples} paths"

    def compute(self) -> OptimalStrength:
        sizes = {"num_steps": self.num_steps, "num_samples": self.num_samples}
        theory = functools.partial(solve, **sizes, num_shifts=1, throw=False)
        return optimal_strength(
            lambda model, cue, key: theory(model, cue, key=key),
            self.network(self.load, 0.0),
            self.cue,
            key=jr.key(self.seed),
            num_repeats=self.num_repeats,
            lower=self.lower,
            upper=self.upper,
            throw=False,
        )

    def describe(self, found: OptimalStrength) -> Iterator[str]:
        """A table of the strengths tried, the card, and what to do about a best strength at a bound."""
        values, slopes = (np.asarray(x, np.float64) for x in (found.values, found.gradients))
        error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        columns = zip(np.asarray(found.strengths), values.mean(axis=1), error, slopes.mean(axis=1), strict=True)
        rows = [(f"{x:.4g}", plus_minus(value, spread, 4), f"{slope:z.3g}") for x, value, spread, slope in columns]
        yield from (*table(("strength λ", "overlap", "derivative"), rows), *card(found), "")
        if found.at_bound:
            low = float(found.strength) == float(found.strengths[0])
            end, further = (self.lower, "--lower") if low else (self.upper, "--upper")
            beyond = end + (self.upper - self.lower) * (-1 if low else 1)
            yield (
                f"Warning: the best strength is the {'smallest' if low else 'largest'} that was tried, and beyond it "
                f"there may be better ones: try {further} {beyond:.4g}."
            )
            yield ""

    def files(self, found: OptimalStrength) -> Iterator[tuple[str, Any]]:
        figure = new_figure(7.5, 4.6)
        plot.optimal_strength(found, ax=figure.subplots()).set_ylabel("overlap with the pattern at the last step")
        yield "strength.png", figure
        names = ("strength", "lower", "upper", "value", "value_error", "at_bound", "mismatch")
        yield (
            "strength.json",
            {
                "parameters": dict(found.setting.parts) | found.setting.numbers,
                "result": describe_result(found.result),
                **{name: getattr(found, name) for name in names},
                "tried": {name: getattr(found, name) for name in ("strengths", "values", "gradients")},
            },
        )
