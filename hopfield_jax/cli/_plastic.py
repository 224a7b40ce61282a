"""What the commands of retrieval with plastic synapses share: units, cue and network."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import typer

from .._checks import fail
from .._units import Erf, Glauber, HardTanh, LogCosh, Sign
from ..dmft import (
    Adaptation,
    Clipped,
    Diluted,
    LeakyHebbian,
    PlasticNetwork,
    Quantised,
    ShortTermPlasticity,
    SpinCue,
    Ternary,
    memory_needed,
    simulation_memory_needed,
    solve,
)
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
        units = others.pop("units", None) or UNITS[self.units][0](self.beta)
        return PlasticNetwork(load=load, units=units, kernel=kernel, **others)

    @property
    def cue(self) -> SpinCue:
        return SpinCue(self.cue_overlap)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractBuilt(AbstractPlastic):
    """The same of neurons that tire and of synapses other than Hebb's."""

    synapses: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Stored synapses: sign, ternary, bits:B (2^B values) or dilute:C (a random fraction C of them); "
            "or the values of those that are left, as sign,dilute:0.5. Default: Hebb's.",
        ),
    ] = None
    adaptation: Annotated[
        str | None, typer.Option(metavar="B:TAU", help="Neurons adapt, with strength B and time constant TAU.")
    ] = None
    depression: Annotated[
        str | None,
        typer.Option(
            metavar="U:TAU_R[:TAU_F]",
            help="Synapses tire: a use U of their resources, which recover in TAU_R; with TAU_F they ease as well.",
        ),
    ] = None

    @property
    def parts(self) -> dict[str, Any]:
        """Units and synapses of the network."""
        units: Any = UNITS[self.units][0](self.beta)
        if self.adaptation is not None and self.depression is not None:
            fail("depression", "one of --adaptation and --depression", self.depression)
        if self.adaptation is not None:
            units = Adaptation(units, *_numbers("adaptation", self.adaptation, "B:TAU", (2,)))
        if self.depression is not None:
            units = ShortTermPlasticity(units, *_numbers("depression", self.depression, "U:TAU_R[:TAU_F]", (2, 3)))
        return {"units": units, "synapses": None if self.synapses is None else _synapses(self.synapses)}

    def said_parts(self) -> Iterator[tuple[str, str]]:
        """What is not as usual."""
        if self.synapses is not None:
            yield "synapses", f"{self.synapses}: in a large network Hebb's and noise"
        if self.adaptation is not None:
            b, tau = self.adaptation.split(":")
            yield "adaptation", f"field h - w, w(t+dt) = w + (dt/τ) (b φ - w), b = {b}, τ = {tau}"
        if self.depression is not None:
            use, recovery, *more = self.depression.split(":")
            rise = f", du/dt = (U - u)/τ_f + U (1 - u) n, τ_f = {more[0]}" if more else ""
            law = f"sent (u/U) r φ, n = (1 + φ)/2, dr/dt = (1 - r)/τ_r - u r n, U = {use}, τ_r = {recovery}"
            yield "depression", law + rise


def _numbers(option: str, text: str, form: str, counts: Sequence[int]) -> list[Any]:
    """The numbers of `B:TAU`."""
    try:
        numbers = [float(x) for x in text.split(":")]
    except ValueError:
        numbers = []
    return numbers if len(numbers) in counts else fail(option, f"numbers as {form}", repr(text))


def _synapses(text: str) -> Any:
    """The synapses of `KIND`."""
    wrong = lambda: fail("synapses", "sign, ternary, bits:B, dilute:C or two as sign,dilute:C", repr(text))  # noqa: E731
    plain, share = None, None
    for part in text.split(","):
        name, _, number = part.partition(":")
        try:
            if part in ("sign", "ternary") and plain is None:
                plain = Clipped() if part == "sign" else Ternary()
            elif name == "bits" and plain is None:
                plain = Quantised(int(number))
            elif name == "dilute" and share is None:
                share = float(number)
            else:
                wrong()
        except ValueError as error:
            if str(error).startswith("`"):
                raise
            wrong()
    return plain if share is None else Diluted(share, synapses=plain)


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
