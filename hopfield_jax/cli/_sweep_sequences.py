"""What `hopfield-jax sweep gains` and `sweep sequence` share: how a cycle of memories is run at a point."""

import dataclasses
import math
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import typer

from .._checks import Rules
from .._misc import default_float
from ..sequential import ExactDwell, cycle, retrieve_sequence
from ..sequential.results import SequenceRun
from ._sequences import AbstractNetwork, Lower, NumGains, Upper, room_for, steps_fit
from ._sweep import AbstractSweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractCycles(AbstractNetwork, AbstractSweep):
    """Cycles of memories at many gains."""

    lower: Lower
    upper: Upper
    num_gains: NumGains
    t1: Annotated[float, typer.Option(help="End, in slow time constants τ_s.")] = 20.0

    def gains(self) -> np.ndarray:
        return self.spaced("lower", "upper", "num_gains")

    def check_cycles(self, patterns: Any, num_patterns: int, smallest_ratio: float) -> None:
        Rules().real("t1", self.t1, "positive")
        self.network_of(patterns, 1.0, cycle(len(patterns)), tau_fast=smallest_ratio)
        steps_fit(self.t1, self.most_steps(smallest_ratio), num_patterns)

    def most_steps(self, smallest_ratio: float) -> int:
        """Enough for any run, a power of two: stability limits steps to some three fast time constants, and a switch
        needs 30; in float64 more."""
        single = default_float() == np.float32
        steps = (1 if single else 2) * (self.t1 / (2.2 * smallest_ratio) + 1024) + 16
        if self.units == "hardtanh":  # exact between switches, of which a run has fewer
            steps = (30 if single else 75) * (max(room_for(self.t1), self.t1 / 0.3) + 2)
        return 2 ** math.ceil(math.log2(steps))

    def run_cycle(self, patterns: Any, gain: Any, ratio: Any, smallest_ratio: float) -> SequenceRun:
        """A cycle of patterns that starts with the saliency `gain`. Times are in slow time constants, of which the fast
        one is `ratio`."""
        return retrieve_sequence(
            self.network_of(patterns, gain, cycle(len(patterns)), tau_fast=ratio),
            saliency=gain,
            t1=self.t1,
            saveat=jnp.zeros(1),
            until_collapse=True,
            solver=ExactDwell() if self.units == "hardtanh" else None,
            max_transitions=room_for(self.t1),
            max_steps=self.most_steps(smallest_ratio),
            throw=False,
        )

    def said_gains(self) -> str:
        return f"at {self.num_gains} gains κ from {self.lower:g} to {self.upper:g}"

    def facts(self, *first: str) -> dict[str, Any]:
        """The facts below a figure's title: some, and those that all cycles have."""
        shared = f"ε = {self.input_coupling:g}", self.said_units, "$Z_0$ = κ", rf"until t = {self.t1:g} $τ_s$"
        return {"conditions": "; ".join((*first, *shared))}
