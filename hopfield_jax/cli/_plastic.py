"""What the commands of retrieval with plastic synapses share: units, cue and network."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from .._checks import fail
from .._units import Erf, Glauber, HardTanh, LogCosh, Sign
from ..dmft import LeakyHebbian, PlasticNetwork, SpinCue, memory_needed, simulation_memory_needed, solve
from ._command import AbstractCommand, default_of, fits

Kind = Literal["logcosh", "hardtanh", "erf", "sign", "glauber"]
# Of each kind of units how they are made, and what they do.
UNITS: dict[Kind, tuple[Callable[[float], Any], str]] = {
    "logcosh": (LogCosh, "φ(x) = tanh(βx), β = {beta:g}"),
    "hardtanh": (HardTanh, "φ(x) = βx clipped to [-1, 1], β = {beta:g}"),
    "erf": (Erf, "φ(x) = erf(βx), β = {beta:g}"),
    "sign": (lambda beta: Sign(), "φ(x) = sign(x)"),
    "glauber": (Glauber, "φ = ±1 with mean tanh(βx), β = {beta:g}"),
}
MAX_BYTES = default_of(solve, "max_bytes")

Load = Annotated[float, typer.Option(help="Load α = P/N: patterns per neuron.")]
CueOverlap = Annotated[float, typer.Option(help="Overlap m₀ of the cue with the pattern.")]
Units = Annotated[
    Kind,
    typer.Option(
        help="Activation φ(x). logcosh: tanh(βx); hardtanh: βx clipped to [-1, 1]; erf: error function of slope β; "
        "sign: binary; glauber: binary with thermal noise."
    ),
]
Strength = Annotated[
    float, typer.Option(help="Strength λ of plasticity; 0: fixed synapses, negative: unlearning.")
]  # fmt: skip
SelfCoupling = Annotated[bool, typer.Option("--self-coupling", help="Keep the diagonal of the stored couplings.")]
NumSteps = Annotated[int, typer.Option(help="Number of steps.")]
NumSamples = Annotated[int, typer.Option(help="Paths of each randomisation of the theory, a power of two.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractPlastic(AbstractCommand):
    """A network whose synapses learn while it retrieves, and its cue."""

    cue_overlap: CueOverlap = 0.5
    units: Units = "logcosh"
    beta: Annotated[float, typer.Option(help="Slope or inverse temperature β; sign has none.")] = 4.0
    tau: Annotated[
        float, typer.Option(help="Time τ in which synapses forget, in units of the neurons' time constant.")
    ] = 5.0
    num_steps: NumSteps = 19

    @property
    def said_units(self) -> str:
        return UNITS[self.units][1].format(beta=self.beta)

    def network(self, load: Any, strength: Any, **others: Any) -> PlasticNetwork:
        """The network, whose synapses forget unless `others` has a kernel."""
        kernel = others.pop("kernel", None) or LeakyHebbian(strength, self.tau)
        return PlasticNetwork(load=load, units=UNITS[self.units][0](self.beta), kernel=kernel, **others)

    @property
    def cue(self) -> SpinCue:
        return SpinCue(self.cue_overlap)


def theory_fits(
    model: PlasticNetwork, cue: SpinCue, num_steps: int, num_samples: int, num_shifts: int, limit: float = MAX_BYTES
) -> None:
    """Raises for numbers with which mean-field theory cannot be run."""
    if num_samples < 2 or num_samples & (num_samples - 1):
        fail("num_samples", "a power of two, at least 2", num_samples)
    needed = memory_needed(model, cue, num_steps=num_steps, num_samples=num_samples, num_shifts=num_shifts)
    fits("num_samples", "paths within", needed, limit)


def simulation_fits(
    model: PlasticNetwork, cue: SpinCue, num_steps: int, num_neurons: int, limit: float = MAX_BYTES
) -> None:
    """Raises for numbers with which networks cannot be simulated."""
    needed = simulation_memory_needed(model, cue, num_steps=num_steps, num_neurons=num_neurons)
    fits("num_neurons", "a network within", needed, limit)
