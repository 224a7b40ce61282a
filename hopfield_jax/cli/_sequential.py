"""`hopfield-jax sequence` and `hopfield-jax gains`: memories that follow each other (shown by
`_present_sequential`)."""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np

from .._checks import at_least, fail, in_domain
from .._generating import AbstractGeneratingFunction, Erf, HardTanh, LogCosh
from .._misc import default_float
from .._patterns import hadamard_patterns
from .._results import Setting
from .._types import Array, PRNGKey, Scalar
from ..sequential import GainScan, InputDrivenNetwork, SequenceRun, chain, cycle, period, retrieve_sequence, scan_gains
from ._report import BAR, evenly_spaced, named_as_options, writable_folder

# Of each kind of units how they are made, and what they do.
UNITS: dict[str, tuple[Callable[[float], AbstractGeneratingFunction], str]] = {
    "hardtanh": (HardTanh, "ψ(x) = x clipped to [-1, 1]"),
    "tanh": (LogCosh, "ψ(x) = tanh(βx), β = {beta:g}"),
    "erf": (Erf, "ψ(x) = erf(βx), β = {beta:g}"),
}
TRANSITIONS: dict[str, tuple[Callable[[int], Array], str]] = {
    "cycle": (cycle, "0 → 1 → … → {last} → 0"),
    "chain": (chain, "0 → 1 → … → {last}, where it ends"),
}
_SAMPLES = 1001  # times of the trajectory that are drawn and saved
_AT_ONCE = 16  # gains of a scan, between which its progress is shown
_STEPS_OF_NOISE, _STEPS = 20.0, 0.5  # in a fast time constant, with noise and without
_MEMORY = 8 * 2.0**30
# The library's names of what the options set: its messages are shown with the latter.
_OPTIONS = {"num_patterns": "--memories", "num_neurons": "--neurons"}
_OPTIONS |= {name: "--" + name.replace("_", "-") for name in ("gain", "saliency", "t1", "beta", "input_coupling")}
_OPTIONS |= {f"{name}_{which}": f"--{name}-{which}" for name in ("tau", "noise") for which in ("fast", "slow")}


# --- the request ---


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides the numbers, checked. `saliency` is `None` where it is the gain itself, `gains` where
    there is one run only; `units` and `transitions` say what they do."""

    network: InputDrivenNetwork
    units: str
    transitions: str
    saliency: float | None
    t1: float
    seed: int
    output: Path
    gains: np.ndarray | None = None

    @property
    def key(self) -> PRNGKey | None:
        noisy = max(float(self.network.noise_fast), float(self.network.noise_slow)) > 0
        return jr.key(self.seed) if noisy else None

    @property
    def room(self) -> int:
        """For switches: three in a slow time constant, of which a sequence seldom has two."""
        return max(64, math.ceil(3 * self.t1 / float(self.network.tau_slow)))


def prepare(
    *,
    output: Path,
    gain: float = 5.0,
    gains: tuple[float, float, int] | None = None,
    memories: int = 8,
    neurons: int = 64,
    tau_fast: float = 0.01,
    tau_slow: float = 1.0,
    input_coupling: float = 0.01,
    saliency: float | None = None,
    t1: float = 20.0,
    transitions: str = "cycle",
    units: str = "hardtanh",
    beta: float | None = None,
    noise_fast: float = 0.0,
    noise_slow: float = 0.0,
    seed: int = 0,
) -> Request:
    """Checks the options and the folder before anything long begins. `gains`: first, last and number of a scan.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    at_least("--seed", seed, 0)
    at_least("--memories", memories, 2)
    at_least("--neurons", neurons, 2)
    if (needed := np.dtype(default_float()).itemsize * float(memories) * (neurons + memories)) > _MEMORY:
        fail("--memories", f"patterns within {_MEMORY / 2**30:g} GiB of memory", f"{needed / 2**30:.3g} GiB")
    if beta is not None and units == "hardtanh":
        fail("--beta", "units whose slope can be set (tanh, erf)", f"{beta:g} with hardtanh")
    grid = None if gains is None else evenly_spaced(("--from", "--to"), "--points", *gains)
    with named_as_options(_OPTIONS):
        in_domain("t1", t1, "positive")
        if saliency is not None:
            in_domain("saliency", saliency, "finite")
        slope = 1.0 if beta is None else beta
        network = InputDrivenNetwork(
            hadamard_patterns(memories, neurons),
            gain=gain,
            transitions=TRANSITIONS[transitions][0](memories),
            units=UNITS[units][0](slope),
            tau_fast=tau_fast,
            tau_slow=tau_slow,
            input_coupling=input_coupling,
            noise_fast=noise_fast,
            noise_slow=noise_slow,
        )
    steps = t1 / tau_fast * (_STEPS_OF_NOISE if max(noise_fast, noise_slow) > 0 else _STEPS)
    # Kept of every step, and twice while switches are looked for: overlaps, saliencies and their rates.
    needed = np.dtype(default_float()).itemsize * 8.0 * memories * steps * (1 if grid is None else _AT_ONCE)
    if needed > _MEMORY:
        said = f"{t1:g}, whose {steps:.3g} steps need {needed / 2**30:.3g} GiB"
        fail("--t1", f"a time whose steps fit into {_MEMORY / 2**30:g} GiB of memory", said)
    writable_folder("--output", output)
    about = UNITS[units][1].format(beta=slope), TRANSITIONS[transitions][1].format(last=memories - 1)
    return Request(network, *about, saliency, t1, seed, output, grid)


# --- the computation ---


def options(request: Request) -> dict[str, Any]:
    """What both verbs are given."""
    return {"t1": request.t1, "key": request.key, "max_transitions": request.room}


def run(request: Request) -> tuple[SequenceRun, float]:
    """One sequence, and the seconds it took with its compilation."""
    from tqdm import tqdm

    started = time.perf_counter()
    first = float(request.network.gain) if request.saliency is None else request.saliency
    with tqdm(total=1, desc="compiling, running", leave=False, disable=None, bar_format=BAR) as progress:
        found = retrieve_sequence(
            request.network,
            saliency=first,
            saveat=jnp.linspace(0, request.t1, _SAMPLES),
            throw=False,
            **options(request),
        )
        jax.block_until_ready(found)
        progress.update()
    return found, time.perf_counter() - started


def scan(request: Request) -> tuple[GainScan, float]:
    """All gains, some at once, and the seconds they took with their compilation."""
    from tqdm import tqdm

    started, gains = time.perf_counter(), np.asarray(request.gains)
    rounds = math.ceil(len(gains) / _AT_ONCE)
    size = math.ceil(len(gains) / rounds)
    # The last round is filled up: one shape, one compilation.
    filled = np.pad(gains, (0, rounds * size - len(gains)), mode="edge").reshape(rounds, size)
    parts = []
    with tqdm(total=len(gains), desc="compiling", leave=False, disable=None, bar_format=BAR) as progress:
        for some in filled:
            part = scan_gains(request.network, jnp.asarray(some), saliency=request.saliency, **options(request))
            parts.append(jax.block_until_ready(part))
            progress.set_description("gains")
            progress.update(min(size, len(gains) - progress.n))
    whole = jtu.tree_map(lambda *x: jnp.concatenate(x)[: len(gains)] if x[0].ndim else x[0], *parts)
    return whole, time.perf_counter() - started


def run_all(request: Request) -> tuple[SequenceRun, GainScan, float]:
    """The runs at all gains, what a scan says about them, and the seconds: both with one compilation."""
    started, network, gains = time.perf_counter(), request.network, jnp.asarray(request.gains)

    @eqx.filter_vmap
    def every(gain: Scalar) -> SequenceRun:
        one = eqx.tree_at(lambda n: n.gain, network, gain)
        ways = {"saveat": jnp.linspace(0, request.t1, _SAMPLES), "throw": False}
        return retrieve_sequence(one, saliency=gain, **ways, **options(request))

    runs = jax.block_until_ready(every(gains))
    where: Setting = runs.setting
    kept = {name: x[0] for name, x in where.numbers.items() if name not in ("gain", "saliency", "start", "level")}
    fields = {name: getattr(runs, name) for name in ("period", "num_transitions", "collapsed", "ending", "result")}
    limit = period(gains) * network.tau_slow
    found = GainScan(gain=gains, period_limit=limit, setting=Setting(where.source, where.parts, kept), **fields)
    return runs, found, time.perf_counter() - started
