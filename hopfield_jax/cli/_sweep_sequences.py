"""What `hopfield-jax sweep gains` and `sweep sequence` share: how a cycle of memories is run at a point."""

import dataclasses
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import typer

from .._checks import in_domain
from .._misc import as_inexact
from ..sequential import ExactDwell, SequenceRun, cycle, retrieve_sequence
from ..sequential._retrieve import enough_steps
from ._sequences import LEAST_ROOM, AbstractNetwork, Lower, NumGains, Upper, room_for, steps_fit
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
        in_domain("t1", self.t1, "positive")
        self.network_of(patterns, 1.0, cycle(len(patterns)), tau_fast=smallest_ratio)
        steps = max(LEAST_ROOM * 30.0, self.t1 / (2.2 * smallest_ratio))
        steps_fit(self.t1, steps, num_patterns)

    def run_cycle(self, patterns: Any, gain: Any, ratio: Any, smallest_ratio: float) -> SequenceRun:
        """A cycle of patterns that starts with the saliency `gain`. Times are in slow time constants, of which the fast
        one is `ratio`."""
        network = self.network_of(patterns, gain, cycle(len(patterns)), tau_fast=ratio)
        room, exact = room_for(self.t1), ExactDwell() if self.units == "hardtanh" else None
        slowest = dataclasses.replace(network, gain=as_inexact(1.0), tau_fast=as_inexact(smallest_ratio))
        return retrieve_sequence(
            network,
            saliency=gain,
            t1=self.t1,
            saveat=jnp.zeros(1),
            until_collapse=True,
            solver=exact,
            max_transitions=room,
            max_steps=enough_steps(slowest, as_inexact(self.t1), None, None, exact, room),
            throw=False,
        )

    def said_gains(self) -> str:
        return f"at {self.num_gains} gains κ from {self.lower:g} to {self.upper:g}"
