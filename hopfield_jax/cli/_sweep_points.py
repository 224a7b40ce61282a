"""What `hopfield-jax sweep …` computes at one point of a grid."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp

from .._misc import as_inexact
from .._patterns import hadamard_patterns, random_patterns
from .._results import RESULTS, is_okay
from .._types import PRNGKey, Scalar
from ..dmft import LeakyHebbian, PlasticNetwork, SpinCue, simulate, solve
from ..sequential import Ending, ExactDwell, InputDrivenNetwork, SequenceRun, cycle, retrieve_sequence
from ..sequential._retrieve import enough_steps
from . import _dmft, _sequential

LEAST_ROOM = 64  # for switches of one run


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """The final overlap with a pattern, by theory or, with `networks`, by simulation of as many."""

    units: str
    beta: float
    cue: float
    tau: float
    steps: int
    samples: int
    neurons: int
    networks: int
    max_patterns: int

    def __call__(self, key: PRNGKey, *, strength: Scalar, load: Scalar) -> dict[str, Any]:
        found = self.solve(key, strength, load)
        return {"overlap": found.overlap[-1], "result": found.result}

    def solve(self, key: PRNGKey, strength: Any, load: Any) -> Any:
        """The order parameters."""
        units = _dmft.UNITS[self.units][0](self.beta)
        model = PlasticNetwork(load=load, units=units, kernel=LeakyHebbian(strength, self.tau))
        cue, common = SpinCue(self.cue), {"num_steps": self.steps, "key": key, "throw": False}
        if self.networks:
            sizes = {"num_neurons": self.neurons, "num_trials": self.networks, "max_patterns": self.max_patterns}
            return simulate(model, cue, **sizes, **common)
        return solve(model, cue, num_samples=self.samples, num_shifts=1, **common)


@dataclasses.dataclass(frozen=True)
class Margin:
    """How far retrieval is from failing: the final overlap less the threshold, or less the first overlap where that is
    larger; and whether the run succeeded."""

    point: Retrieval
    threshold: float

    def __call__(self, key: PRNGKey, *, strength: Scalar, load: Scalar, replicate: Any) -> tuple[Any, Any]:
        found = self.point.solve(key, strength, load)
        return found.overlap[-1] - jnp.maximum(self.threshold, found.overlap[0]), is_okay(found.result)


@dataclasses.dataclass(frozen=True)
class Cycles:
    """How cycles of memories are run, whatever they are."""

    units: str
    beta: float
    neurons: int
    input_coupling: float
    t1: float
    smallest_ratio: float

    def run(self, patterns: Any, gain: Any, ratio: Any) -> SequenceRun:
        """A cycle of patterns that starts with the saliency `gain`. Times are in slow time constants."""
        units = _sequential.UNITS[self.units][0](self.beta)
        network = InputDrivenNetwork(
            patterns, gain, cycle(len(patterns)), units=units, tau_fast=ratio, input_coupling=self.input_coupling
        )
        room = max(LEAST_ROOM, math.ceil(3 * self.t1))  # a sequence seldom has two in a slow time constant
        exact = ExactDwell() if self.units == "hardtanh" else None
        slowest = dataclasses.replace(network, gain=as_inexact(1.0), tau_fast=as_inexact(self.smallest_ratio))
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


@dataclasses.dataclass(frozen=True)
class AtGain:
    """A cycle of orthogonal memories: its settled period, or after how many transitions it ends."""

    common: Cycles
    memories: int

    def __call__(self, *, ratio: Scalar, gain: Scalar) -> dict[str, Any]:
        run = self.common.run(hadamard_patterns(self.memories, self.common.neurons), gain, ratio)
        found = {"period": run.period, "transitions": run.num_transitions, "collapsed": run.collapsed}
        return found | {"ending": run.ending, "result": run.result}


@dataclasses.dataclass(frozen=True)
class RandomSequence:
    """A cycle of random patterns: whether every transition until the end goes to the right one, with the right
    sign."""

    common: Cycles
    ratio: float

    def __call__(self, key: PRNGKey, *, memories: int, gain: Scalar, draw: Any) -> dict[str, Any]:
        run = self.common.run(random_patterns(memories, self.common.neurons, key=key), gain, self.ratio)
        known = is_okay(run.result) | (run.result == RESULTS.no_room)
        right = (run.ending == Ending.running) & (run.num_transitions > 0) & (run.num_correct == run.num_transitions)
        number = lambda x: jnp.where(known, x.astype(gain.dtype), jnp.nan)  # noqa: E731
        found = {"success": number(right), "correct": number(run.num_correct)}
        return found | {"ending": run.ending, "result": run.result}
