"""`hopfield-jax sweep load`: how much is retrieved at any load and strength of plasticity."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import typer

from .. import plot, sweep
from .._checks import Rules, fail
from .._results import is_okay
from .._types import PRNGKey, Scalar
from ..dmft import retrieved, simulate, solve
from ..theory import critical_load
from ._command import default_of
from ._plastic import AbstractBuilt, CueOverlap, NumSamples, NumSteps, simulation_fits, theory_fits
from ._report import new_figure, plus_minus, some, table
from ._sweep import AbstractSweep, Stage, counts

_MAX_BYTES = 8 * 2.0**30
_HALVINGS = 10  # of the range of loads: the zero lies in a bracket of a thousandth, on a chord across it
_ROWS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepLoad(AbstractBuilt, AbstractSweep):
    """A network that stores α N random patterns starts with overlap m₀ with one of them, while Hebbian plasticity of
    strength λ imprints what it does. The final overlap is found at every load and strength, and by bisection in the
    load the largest one at which the pattern is retrieved; without plasticity the stationary theory has α_c.

    Prints what was found and writes a figure (load.png), numbers (load.json) and the sweeps' stores (Zarr).

    \b
    Examples
      hopfield-jax sweep load
      hopfield-jax sweep load --dry-run
      hopfield-jax sweep load --simulation --num-neurons 2000
      hopfield-jax sweep load --synapses sign --upper-load 0.3
      hopfield-jax sweep load --cue-overlap 0.4 --num-strengths 64 --num-loads 64 --executor processes:4
    """

    lower_strength: Annotated[float, typer.Option(help="Smallest strength λ of plasticity.")] = 0.0
    upper_strength: Annotated[float, typer.Option(help="Largest strength λ.")] = 1.0
    num_strengths: Annotated[int, typer.Option(help="Number of strengths.", min=2)] = 32
    lower_load: Annotated[float, typer.Option(help="Smallest load α = P/N.")] = 0.01
    upper_load: Annotated[float, typer.Option(help="Largest load α.")] = 0.4
    num_loads: Annotated[int, typer.Option(help="Number of loads.", min=2)] = 32
    cue_overlap: CueOverlap = 0.7
    num_steps: NumSteps = 60
    num_samples: NumSamples = 2048
    threshold: Annotated[float, typer.Option(help="Final overlap that counts as retrieved.")] = default_of(
        retrieved, "threshold"
    )
    simulation: Annotated[bool, typer.Option("--simulation", help="Simulate networks instead of theory.")] = False
    num_neurons: Annotated[int, typer.Option(help="Neurons N of a simulated network.")] = 1000
    num_trials: Annotated[int, typer.Option(help="Simulated networks that are averaged.", min=1)] = 1
    num_repeats: Annotated[
        int, typer.Option(help="Bisections with other random numbers, whose spread is the error of α_max.", min=2)
    ] = 4

    def check(self) -> None:
        Rules().real("threshold", self.threshold, "probability")
        model, steps = self.network(self.upper_load, self.upper_strength, **self.parts), self.num_steps
        if self.simulation:
            simulation_fits(model, self.cue, steps, self.num_neurons, _MAX_BYTES)
        else:
            theory_fits(model, self.cue, steps, self.num_samples, 1, _MAX_BYTES)
        if not self.lowest < self.upper_load or (self.simulation and self.max_patterns < 1):
            least = max(self.lowest, 1 / self.num_neurons if self.simulation else 0)
            fail("upper_load", f"a load above {least:g}", f"{self.upper_load:g}")

    @property
    def max_patterns(self) -> int:
        return round(self.num_neurons * self.upper_load)

    @property
    def lowest(self) -> float:
        """Where the bisection begins."""
        return max(self.lower_load, 0.5 / self.num_neurons if self.simulation else 1e-3)

    def solve(self, key: PRNGKey, strength: Any, load: Any) -> Any:
        """The order parameters at one point."""
        model, cue = self.network(load, strength, **self.parts), self.cue
        common: Any = {"num_steps": self.num_steps, "throw": False}
        if self.simulation:
            sizes = {"num_neurons": self.num_neurons, "num_trials": self.num_trials, "max_patterns": self.max_patterns}
            return simulate(model, cue, key=key, **sizes, **common)
        return solve(model, cue, key=key, num_samples=self.num_samples, num_shifts=1, **common)

    def point(self, key: PRNGKey, *, strength: Scalar, load: Scalar) -> dict[str, Any]:
        """The final overlap of the activities."""
        found = self.solve(key, strength, load)
        return {"overlap": found.activity[-1], "result": found.result}

    def margin(self, key: PRNGKey, *, strength: Scalar, load: Scalar, replicate: Any) -> tuple[Any, Any]:
        """How far retrieval is from failing: the final overlap less the threshold, or less the first overlap where that
        is larger; and whether the run succeeded."""
        found = self.solve(key, strength, load)
        return found.activity[-1] - jnp.maximum(self.threshold, found.activity[0]), is_okay(found.result)

    def stages(self) -> tuple[Stage, ...]:
        strength = self.spaced("lower_strength", "upper_strength", "num_strengths", domain="finite")
        load = self.spaced("lower_load", "upper_load", "num_loads")
        final = {"long_name": "final overlap with the pattern", "symbol": f"$m_{{{self.num_steps}}}$"}
        up_to = f"$m ≥ {self.threshold:g}$ up to $α_{{max}}$(λ)"
        shown = {"strength": {"long_name": "strength of plasticity", "symbol": "λ"}}
        map_of = shown | {"load": {"long_name": "load", "symbol": "α = P/N"}, "overlap": final}
        limit = shown | {"load": {"long_name": up_to, "symbol": "α"}, "replicate": {"long_name": "repeat"}}
        beside = self.place.with_name(f"{self.place.stem}-boundary{self.place.suffix}")
        along = ("load", self.lowest, self.upper_load, _HALVINGS)
        lines = sweep.Grid(strength=strength, replicate=self.num_repeats)
        return (
            Stage("overlaps", self.point, sweep.Grid(strength=strength, load=load), map_of, self.place),
            Stage("boundary", self.margin, lines, limit, beside, along),
        )

    def unused(self) -> tuple[str, ...]:
        return ("num_samples",) if self.simulation else ("num_neurons", "num_trials")

    @property
    def how(self) -> tuple[str, ...]:
        if not self.simulation:
            return "mean-field theory (N → ∞)", f"{self.num_samples} paths"
        several = (f"{self.num_trials} networks",) if self.num_trials > 1 else ()
        return "simulation", f"N = {self.num_neurons}", *several

    def what(self) -> tuple[str, ...]:
        return (
            f"Overlap after {self.num_steps} steps from a cue of m₀ = {self.cue_overlap:g}, at {self.num_strengths} "
            f"strengths λ of plasticity from {self.lower_strength:g} to {self.upper_strength:g} and {self.num_loads} "
            f"loads α from {self.lower_load:g} to {self.upper_load:g}; and by bisection the load up to which it is "
            f"retrieved (m ≥ {self.threshold:g}), {self.num_repeats} times with other random numbers.",
            f"network    {self.said_units}, synapses forget in τ_A = {self.tau:g}",
            *(f"{name:<10} {law}" for name, law in self.said_parts()),
            f"by         {', '.join(self.how)}",
        )

    def attributes(self) -> dict[str, Any]:
        facts = f"$m_0$ = {self.cue_overlap:g}", f"{self.num_steps} steps", f"$τ_A$ = {self.tau:g}", self.said_units
        facts += tuple(f"{name} {getattr(self, name)}" for name, _ in self.said_parts())
        critical = _critical_load(**self.parts)
        return {"conditions": "; ".join((*facts, *self.how)), "critical_load": critical}

    @staticmethod
    def draw(found: Sequence[Any]) -> Any:
        dataset, boundary = found[0], found[1] if len(found) == 2 else None
        critical = float(dataset.attrs.get("critical_load", math.nan))
        theory = {f"$α_c$ = {critical:.4g}: stationary, λ = 0": (0.0, critical)} if math.isfinite(critical) else None
        figure = new_figure(7.6, 5.6)
        axes = plot.phase_diagram(
            dataset, "overlap", x="strength", y="load", boundary=boundary, theory=theory, ax=figure.subplots()
        )
        axes.title.set_text("How much a network retrieves while its synapses learn")
        return figure

    def summarise(self, found: Sequence[Any]) -> dict[str, Any]:
        dataset, boundary = found
        strength = np.asarray(boundary["strength"].values, np.float64)
        repeats = boundary["load"].astype(np.float64)
        load = repeats.mean("replicate").values
        error = (repeats.std("replicate", ddof=1) / np.sqrt(repeats.count("replicate"))).values
        best = int(np.nanargmax(load)) if np.any(np.isfinite(load)) else None
        return {
            "critical_load": dataset.attrs.get("critical_load"),
            "strength": strength,
            "largest_load": load,
            "standard_error": error,
            "repeats": boundary.sizes["replicate"],
            "bracket": float((boundary["load_upper"] - boundary["load_lower"]).where(boundary["load"].notnull()).max()),
            "best_strength": None if best is None else strength[best],
            "best_load": None if best is None else load[best],
            "boundary_result": counts(boundary["result"], boundary),
        }

    def say(self, numbers: dict[str, Any]) -> Iterator[str]:
        strength, load, error = (numbers[name] for name in ("strength", "largest_load", "standard_error"))
        rows = ((f"{strength[i]:.3g}", plus_minus(load[i], error[i], 4)) for i in some(range(len(strength)), _ROWS))
        yield from table(("strength λ", "largest load α_max"), rows)
        if numbers["best_load"] is not None:
            yield (
                f"± one standard error, of {numbers['repeats']} repeats with other random numbers; each is bisected to "
                f"a bracket of {numbers['bracket']:.1g}."
            )
            best = f"λ = {numbers['best_strength']:.3g}, up to α = {numbers['best_load']:.4g}"
            yield f"Best of these strengths: {best}."
        critical = numbers["critical_load"]
        if critical is not None and math.isfinite(critical):
            yield f"The stationary theory of fixed synapses (λ = 0) ends at α_c = {critical:.4g}."
        if lost := {code: n for code, n in numbers["boundary_result"].items() if code != "successful"}:
            said = ", ".join(f"{n} {code}" for code, n in lost.items())
            yield f"Repeats without a boundary between the loads searched, which are left out: {said}."


def _critical_load(units: Any, synapses: Any) -> float:
    """Of the stationary theory with fixed synapses; NaN where it has no fold or does not know the units."""
    try:
        state = critical_load(units, synapses=synapses, throw=False)
    except (TypeError, ValueError):
        return math.nan
    return float(state.load) if bool(is_okay(state.result)) else math.nan
