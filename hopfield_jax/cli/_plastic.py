"""What the commands of retrieval with plastic synapses share: units, cue and network."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from .._checks import fail
from .._generating import Erf, HardTanh, LogCosh
from ..dmft import Glauber, LeakyHebbian, PlasticNetwork, Sign, SpinCue, solve
from ._command import AbstractCommand, default_of

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


def power_of_two(num_samples: int) -> None:
    if num_samples < 2 or num_samples & (num_samples - 1):
        fail("num_samples", "a power of two, at least 2", num_samples)


def fits(argument: str, what: str, needed: int | float, limit: float = MAX_BYTES) -> None:
    """Raises where more bytes are needed than may be taken."""
    if needed > limit:
        fail(argument, f"{what} {limit / 2**30:g} GiB of memory", f"{needed / 2**30:.3g} GiB")
