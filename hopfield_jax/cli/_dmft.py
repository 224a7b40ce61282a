"""`hopfield-jax dmft`: retrieval while synapses are plastic, by theory and by simulation; `_present_dmft` shows it."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.random as jr

from .._checks import at_least, fail
from .._generating import Erf, HardTanh, LogCosh
from .._misc import as_inexact
from ..dmft import (
    AccumulatingHebbian,
    Glauber,
    LeakyHebbian,
    OrderParameters,
    Panel,
    PlasticNetwork,
    Sign,
    SpinCue,
    memory_needed,
    panel,
    simulate,
    simulation_memory_needed,
    solve,
)
from ._report import BAR, named_as_options, writable_folder

# Of each kind of units how they are made, and what they do.
UNITS: dict[str, tuple[Callable[[float], Any], str]] = {
    "logcosh": (LogCosh, "φ(x) = tanh(βx), β = {beta:g}"),
    "hardtanh": (HardTanh, "φ(x) = βx clipped to [-1, 1], β = {beta:g}"),
    "erf": (Erf, "φ(x) = erf(βx), β = {beta:g}"),
    "sign": (lambda beta: Sign(), "φ(x) = sign(x)"),
    "glauber": (Glauber, "φ = ±1 with mean tanh(βx), β = {beta:g}"),
}
_MEMORY = 24 * 2.0**30
# The library's names of what the options set: its messages are shown with the latter.
_OPTIONS = {"overlap": "--cue", "num_steps": "--steps", "num_samples": "--samples"}
_OPTIONS |= {name: f"--{name}" for name in ("load", "beta", "strength", "tau", "dt")}


# --- the request ---


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides the numbers, checked; `model` and `cue` have the load and overlap of a real network,
    `units` says what the units do."""

    model: PlasticNetwork
    cue: SpinCue
    units: str
    steps: int
    samples: int
    shifts: int
    neurons: int
    networks: int
    simulation: bool
    seed: int
    output: Path
    closed_theory: bool = False

    @property
    def num_patterns(self) -> int:
        return int(self.model.num_patterns(self.neurons))


def prepare(
    *,
    output: Path,
    load: float = 0.12,
    cue: float = 0.4,
    units: str = "logcosh",
    beta: float = 4.0,
    strength: float = 0.3,
    tau: float = 5.0,
    accumulating: bool = False,
    dt: float = 1.0,
    steps: int = 19,
    samples: int = 16384,
    shifts: int = 4,
    neurons: int = 4000,
    networks: int = 6,
    simulation: bool = True,
    self_coupling: bool = False,
    closed_theory: bool = False,
    seed: int = 0,
) -> Request:
    """Checks the options and the folder before anything long begins.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    for name, value, smallest in (
        ("--steps", steps, 1),
        ("--shifts", shifts, 2),
        ("--neurons", neurons, 2),
        ("--networks", networks, 2),
        ("--seed", seed, 0),
    ):
        at_least(name, value, smallest)
    if samples < 2 or samples & (samples - 1):
        fail("--samples", "a power of two, at least 2", samples)
    with named_as_options(_OPTIONS):
        kernel = AccumulatingHebbian(strength) if accumulating else LeakyHebbian(strength, tau)
        model = PlasticNetwork(
            load=load, units=UNITS[units][0](beta), kernel=kernel, dt=dt, self_coupling=self_coupling
        )
        clamped = SpinCue(cue)
    if simulation:
        # Whole patterns and whole spins: theory and simulation are compared at what a network of this size has.
        count = int(model.num_patterns(neurons))
        model = eqx.tree_at(lambda m: m.load, model, as_inexact(count / neurons))
        clamped = SpinCue(2 * round((1 + cue) / 2 * neurons) / neurons - 1)
        needed = simulation_memory_needed(model, clamped, num_steps=steps, num_neurons=neurons)
        if needed > _MEMORY:
            fail("--neurons", f"a network within {_MEMORY / 2**30:g} GiB of memory", f"{needed / 2**30:.3g} GiB")
    needed = memory_needed(model, clamped, num_steps=steps, num_samples=samples, num_shifts=shifts)
    if needed > _MEMORY:
        fail("--samples", f"paths within {_MEMORY / 2**30:g} GiB of memory", f"{needed / 2**30:.3g} GiB")
    writable_folder("--output", output)
    return Request(
        model,
        clamped,
        UNITS[units][1].format(beta=beta),
        steps,
        samples,
        shifts,
        neurons,
        networks,
        simulation,
        seed,
        output,
        closed_theory,
    )


# --- the computation ---


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Mean-field theory and, if asked for, simulation and closed theory of one request, and the seconds they ran."""

    theory: OrderParameters
    network: OrderParameters | None
    closed: Panel | None
    theory_s: float
    network_s: float


def run(requests: Sequence[Request]) -> tuple[list[Outcome], float]:
    """Theory and simulation of requests that differ in numbers of model and cue only, and the seconds of compiling,
    which is done once for all."""
    from tqdm import tqdm

    first = requests[0]
    verbs: dict[str, Any] = {
        "theory": functools.partial(solve, num_samples=first.samples, num_shifts=first.shifts),
    }
    if first.simulation:
        # The load is an argument of the compiled program; the number of patterns, a shape, is not.
        verbs["simulation"] = functools.partial(
            simulate, num_neurons=first.neurons, num_trials=first.networks, max_patterns=first.num_patterns
        )
    found, seconds, compile_s = {}, {}, 0.0
    bar = {"total": len(verbs) * (1 + len(requests)), "delay": 2, "leave": False, "disable": None, "bar_format": BAR}
    with tqdm(**bar) as progress:
        for n, (name, verb) in enumerate(verbs.items()):
            progress.set_description(f"{name}: compiling")
            started, key = time.perf_counter(), jr.fold_in(jr.key(first.seed), n)
            jitted: Any = eqx.filter_jit(functools.partial(verb, num_steps=first.steps, throw=False))
            compiled = jitted.lower(first.model, first.cue, key=key).compile()
            compile_s += time.perf_counter() - started
            progress.update()
            for i, request in enumerate(requests):
                progress.set_description(name)
                started = time.perf_counter()
                found[name, i] = jax.block_until_ready(compiled(request.model, request.cue, key=key))
                seconds[name, i] = time.perf_counter() - started
                progress.update()
    outcomes = [
        Outcome(
            found["theory", i],
            found.get(("simulation", i)),
            panel(request.model, request.cue, num_steps=request.steps) if request.closed_theory else None,
            seconds["theory", i],
            seconds.get(("simulation", i), 0.0),
        )
        for i, request in enumerate(requests)
    ]
    return outcomes, compile_s
