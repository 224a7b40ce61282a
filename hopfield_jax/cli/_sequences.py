"""What the commands of sequences share: units, network, and how it is run."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import jax.random as jr
import numpy as np
import typer

from .._checks import Rules, at_least, fail
from .._misc import default_float
from .._patterns import hadamard_patterns
from .._types import Array
from .._units import AbstractGeneratingFunction, Erf, HardTanh, LogCosh
from ..sequential import InputDrivenNetwork, chain, cycle
from ._command import AbstractCommand, Seed, default_of, fits

Kind = Literal["hardtanh", "tanh", "erf"]
# Of each kind of units how they are made, and what they do.
UNITS: dict[Kind, tuple[Callable[[float], AbstractGeneratingFunction], str]] = {
    "hardtanh": (HardTanh, "ψ(x) = x clipped to [-1, 1]"),
    "tanh": (LogCosh, "ψ(x) = tanh(βx), β = {beta:g}"),
    "erf": (Erf, "ψ(x) = erf(βx), β = {beta:g}"),
}
Order = Literal["cycle", "chain"]
TRANSITIONS: dict[Order, tuple[Callable[[int], Array], str]] = {
    "cycle": (cycle, "0 → 1 → … → {last} → 0"),
    "chain": (chain, "0 → 1 → … → {last}, where it ends"),
}
LEAST_ROOM = 64  # for switches
_MAX_BYTES = 8 * 2.0**30
_STEPS_OF_NOISE, _STEPS = 20.0, 0.5  # in a fast time constant, with noise and without

NumPatterns = Annotated[int, typer.Option("--num-patterns", "-p", help="Memories P, rows of a Hadamard matrix.", min=2)]
InputCoupling = Annotated[
    float, typer.Option(help="How much ε of the slow state enters the neurons; 0: nobody follows.")
]  # fmt: skip
TauFast = Annotated[float, typer.Option(help="Time constant τ_f of the neurons.")]
TauSlow = Annotated[float, typer.Option(help="Time constant τ_s of the reasoning state.")]
Lower = Annotated[float, typer.Option(help="Smallest gain κ.")]
Upper = Annotated[float, typer.Option(help="Largest gain κ.")]
NumGains = Annotated[int, typer.Option(help="Number of gains.", min=2)]

_default = functools.partial(default_of, InputDrivenNetwork)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractNetwork(AbstractCommand):
    """A network of sequences, whatever its memories are."""

    num_neurons: Annotated[int, typer.Option("--num-neurons", "-n", help="Neurons N, a power of two.", min=2)] = 64
    input_coupling: InputCoupling = _default("input_coupling")
    units: Annotated[
        Kind, typer.Option(help="Activation ψ(x). hardtanh: x clipped to [-1, 1]; tanh: tanh(βx); erf: erf(βx).")
    ] = "hardtanh"
    beta: Annotated[float, typer.Option(help="Slope β of tanh and erf; hardtanh has none.")] = default_of(
        LogCosh, "beta"
    )

    @property
    def said_units(self) -> str:
        return UNITS[self.units][1].format(beta=self.beta)

    def network_of(self, patterns: Any, gain: Any, transitions: Any, **others: Any) -> InputDrivenNetwork:
        if self.units == "hardtanh" and self.beta != 1:
            fail("beta", "units whose slope can be set (tanh, erf)", f"{self.beta:g} with hardtanh")
        units = UNITS[self.units][0](self.beta)
        return InputDrivenNetwork(
            patterns, gain, transitions, units=units, input_coupling=self.input_coupling, **others
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractSequence(AbstractNetwork):
    """A network whose memories are orthogonal."""

    num_patterns: NumPatterns = 8
    tau_fast: TauFast = _default("tau_fast")
    tau_slow: TauSlow = _default("tau_slow")

    def network_at(self, gain: float, transitions: Order = "cycle", **noise: float) -> InputDrivenNetwork:
        return self.network_of(
            few_patterns(self.num_patterns, self.num_neurons),
            gain,
            TRANSITIONS[transitions][0](self.num_patterns),
            tau_fast=self.tau_fast,
            tau_slow=self.tau_slow,
            **noise,
        )

    def about_network(self) -> Iterator[str]:
        fast, slow = f"τ_f = {self.tau_fast:g}, ε = {self.input_coupling:g}", f"τ_s = {self.tau_slow:g}"
        yield f"  fast       τ_f dx/dt = -x + W(u) ψ(x) + ε u, {fast}, {self.said_units}"
        yield "  synapses   W(u) = (1/N) Σ a ξξᵀ with saliencies a = ξ·u/N"
        yield f"  slow       τ_s du/dt = -u + κ Σ m ξ' with overlaps m = ξ·ψ(x)/N, ξ' following ξ, {slow}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractRun(AbstractSequence):
    """Sequences of a network from its first memory on, at one gain or at several."""

    transitions: Annotated[
        Order, typer.Option(help="cycle: the first follows the last; chain: the last leads nowhere.")
    ] = "cycle"
    saliency: Annotated[
        float | None, typer.Option(help="Saliency Z₀ of the first memory. Default: the gain, the most it can be.")
    ] = None
    t1: Annotated[float, typer.Option(help="End, in the units of the time constants.")] = 20.0
    noise_fast: Annotated[float, typer.Option(help="Noise σ_f of the neurons: a free one's deviation.")] = _default(
        "noise_fast"
    )
    noise_slow: Annotated[float, typer.Option(help="Noise σ_s of the slow state, likewise.")] = _default("noise_slow")
    seed: Seed = 0

    def checked(self, gain: float, at_once: int = 1) -> InputDrivenNetwork:
        """The network; raises unless sequences can be run, so many at once."""
        Rules().real("t1", self.t1, "positive")
        if self.saliency is not None:
            Rules().real("saliency", self.saliency, "finite")
        network = self.network_at(gain, self.transitions, noise_fast=self.noise_fast, noise_slow=self.noise_slow)
        steps = self.t1 / self.tau_fast * (_STEPS_OF_NOISE if self.is_noisy else _STEPS)
        steps_fit(self.t1, steps, self.num_patterns * at_once)
        return network

    @property
    def is_noisy(self) -> bool:
        return max(self.noise_fast, self.noise_slow) > 0

    @property
    def ways(self) -> dict[str, Any]:
        """How every sequence is run."""
        key = jr.key(self.seed) if self.is_noisy else None
        return {"t1": self.t1, "key": key, "max_transitions": room_for(self.t1 / self.tau_slow)}

    def about_run(self, gain: str) -> Iterator[str]:
        first = "κ" if self.saliency is None else f"{self.saliency:g}"
        yield (
            f"Sequences of P = {self.num_patterns} memories in N = {self.num_neurons} neurons until t = {self.t1:g}, "
            f"{gain}; the first memory starts with saliency Z₀ = {first}."
        )
        yield from self.about_network()
        yield f"  order      {TRANSITIONS[self.transitions][1].format(last=self.num_patterns - 1)}"
        noise = f"σ_f = {self.noise_fast:g}, σ_s = {self.noise_slow:g}, seed {self.seed}"
        yield f"  noise      {noise if self.is_noisy else 'none'}"


def few_patterns(num_patterns: int, num_neurons: int) -> Array:
    """Orthogonal memories; raises before too many are made."""
    at_least("num_patterns", num_patterns, 2)
    at_least("num_neurons", num_neurons, 2)
    needed = np.dtype(default_float()).itemsize * float(num_patterns) * (num_neurons + num_patterns)
    fits("num_patterns", "patterns within", needed, _MAX_BYTES)
    return hadamard_patterns(num_patterns, num_neurons)


def steps_fit(t1: float, steps: int | float, num_patterns: int) -> None:
    """Raises unless what is kept of every step fits: overlaps, saliencies and their rates, twice while switches are
    looked for."""
    needed = np.dtype(default_float()).itemsize * 8.0 * num_patterns * steps
    if needed > _MAX_BYTES:
        said = f"{t1:g}, whose {steps:.3g} steps need {needed / 2**30:.3g} GiB"
        fail("t1", f"a time whose steps fit into {_MAX_BYTES / 2**30:g} GiB of memory", said)


def room_for(time: float) -> int:
    """For switches in so many slow time constants, in each of which a sequence seldom has two."""
    return max(LEAST_ROOM, math.ceil(3 * time))
