"""`hopfield-jax theory`: what closed theories say of a network, without simulating it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import typer

from .. import plot, theory
from .._results import is_okay
from ..dmft import PlasticNetwork, memory_needed, panel
from ..dmft.results import Panel
from ._command import Output, default_of
from ._plastic import AbstractPlastic, Load, SelfCoupling, Strength, Units
from ._report import new_figure

_LOADS = 41


Found = tuple[Panel, theory.results.StationaryState, theory.results.StationaryState]
"""The panel, the state at rest over loads, and the one at the critical load."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Theory(AbstractPlastic):
    """For whoever simulates an associative memory and wonders whether a difference is finite size, a convention or a
    mistake: the exact first step (with either convention of the self-couplings), approximate trajectories, the state at
    rest with its critical load, and whether it is the global minimum. Theories that do not apply say why.

    Prints a table and writes a figure (theory.png) and numbers (theory.json).

    \b
    Examples
      hopfield-jax theory
      hopfield-jax theory --units glauber --beta 5 --asynchronous
      hopfield-jax theory --units logcosh --strength 0.3 --load 0.12 --cue-overlap 0.4
    """

    load: Load = 0.1
    units: Units = "sign"
    strength: Strength = 0.0
    self_coupling: SelfCoupling = default_of(PlasticNetwork, "self_coupling")
    asynchronous: Annotated[
        bool, typer.Option("--asynchronous", help="The network updates one neuron after the other.")
    ] = default_of(panel, "asynchronous")
    output: Output = Path("hopfield-theory")

    def __post_init__(self) -> None:
        memory_needed(self.model, self.cue, num_steps=self.num_steps)  # which checks them

    @property
    def model(self) -> PlasticNetwork:
        return self.network(self.load, self.strength, self_coupling=self.self_coupling)

    def about(self) -> Iterator[str]:
        yield f"Closed theory of a network at load α = {self.load:g}, cue m₀ = {self.cue_overlap:g}"
        how = "one neuron updated after the other" if self.asynchronous else "all neurons updated at once"
        yield f"  {self.said_units}, {how}, strength of plasticity λ = {self.strength:g}"

    def compute(self) -> Found:
        found = panel(self.model, self.cue, num_steps=self.num_steps, asynchronous=self.asynchronous)
        units: Any = self.model.units
        options: dict[str, Any] = {"strength": self.strength, "self_coupling": self.self_coupling, "throw": False}
        if units.thermal:
            options |= {"strength": 0.0, "self_coupling": False}
        end = theory.critical_load(units, **options)
        last = float(end.load) if bool(is_okay(end.result)) else 2 * self.load
        loads = jnp.linspace(0.01 * last, last, _LOADS)
        return found, jax.vmap(lambda load: theory.scsna(units, load, **options))(loads), end

    def describe(self, found: Found) -> list[str]:
        return [*str(found[0]).splitlines()[1:], ""]

    def files(self, found: Found) -> Iterator[tuple[str, Any]]:
        predicted, states, end = found
        figure = new_figure(10.0, 4.2)
        path, rest = figure.subplots(1, 2)
        plot.predictions(predicted, others=True, ax=path)
        plot.stationary(states, end, ax=rest)
        if not predicted["critical_load"].applies:
            rest.set_title("At rest (does not apply: see the table)", fontsize="medium")
        rest.axvline(self.load, color="0.5", linewidth=1.0, linestyle="--", label="this load")
        rest.legend(frameon=False, fontsize="small")
        said = f"{self.said_units}, α = {self.load:.4g}, $m_0$ = {self.cue_overlap:.4g}, λ = {self.strength:.4g}"
        figure.suptitle(said, fontsize="medium")
        yield "theory.png", figure
        at_rest = {"load": states.load, "overlap": states.overlap, "critical_load": end.load}
        yield "theory.json", {"predictions": predicted.as_dict(), "at_rest": at_rest}
