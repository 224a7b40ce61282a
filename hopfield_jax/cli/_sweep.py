"""`hopfield-jax sweep load`, `gains` and `sequence`: a model at every point of a grid (shown by `_present_sweep`)."""

import concurrent.futures as cf
import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np

from .. import sweep
from .._checks import at_least, fail, in_domain
from .._misc import default_float
from .._patterns import hadamard_patterns
from .._results import is_okay
from .._types import PRNGKey
from ..dmft import LeakyHebbian, PlasticNetwork, SpinCue, memory_needed
from ..sequential import InputDrivenNetwork, cycle
from ..sweep._store import Store
from ..theory import critical_load
from . import _dmft, _sequential
from ._report import evenly_spaced, named_as_options, writable_folder
from ._sweep_points import LEAST_ROOM, AtGain, Cycles, IsRetrieved, RandomSequence, Retrieval

# Points at once on a CPU, and blocks if there are fewer; the same on any number of devices, which then give the same
# numbers.
_BLOCK, _BLOCKS = 32, 8
_MEMORY = 8 * 2.0**30
_HOST_DEVICES = "jax_num_cpu_devices"
_OPTIONS = {"overlap": "--cue", "num_patterns": "--memories", "num_neurons": "--neurons", "num_samples": "--samples"}
_OPTIONS |= {"ratio": "--ratio", "draw": "--draws", "store": "--store", "memories": "--memories"}
_OPTIONS |= {name: f"--{name.replace('_', '-')}" for name in ("load", "strength", "tau", "beta", "input_coupling")}
_OPTIONS |= {"tau_fast": "--tau-fast", "gain": "--from"}


# --- the request ---


@dataclasses.dataclass(frozen=True)
class Stage:
    """One sweep. `along`: the axis, both bounds and the halvings where it is one for a boundary; `point` is then the
    predicate."""

    title: str
    point: Callable[..., Any]
    grid: sweep.Grid
    store: Path
    describe: Mapping[str, Mapping[str, Any]]
    along: tuple[str, float, float, int] | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides the numbers, and where they are computed, checked. `conditions`: what figures say of
    `parameters`."""

    command: str
    about: str
    stages: tuple[Stage, ...]
    parameters: dict[str, Any]
    conditions: tuple[str, ...]
    random: bool
    seed: int
    output: Path
    fresh: bool
    devices: tuple[Any, ...]
    executor: str | None
    units: Any = None
    random_axes: tuple[str, ...] | None = None

    @property
    def key(self) -> PRNGKey | None:
        return jr.key(self.seed) if self.random else None


@dataclasses.dataclass(frozen=True)
class Ways:
    """What all three commands are asked: where the numbers go, and what computes them."""

    output: Path
    store: Path | None = None
    fresh: bool = False
    devices: int | None = None
    executor: str | None = None
    seed: int = 0


def prepare_load(
    ways: Ways,
    *,
    strengths: tuple[float, float, int] = (0.0, 1.0, 32),
    loads: tuple[float, float, int] = (0.01, 0.4, 32),
    cue: float = 0.7,
    units: str = "logcosh",
    beta: float = 4.0,
    tau: float = 5.0,
    steps: int = 60,
    samples: int = 2048,
    threshold: float = 0.8,
    simulation: bool = False,
    neurons: int = 1000,
    networks: int = 1,
) -> Request:
    """Checks the options of `sweep load` before anything long begins.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    devices = _check_ways(ways)
    for name, value, smallest in (("--steps", steps, 1), ("--neurons", neurons, 2), ("--networks", networks, 1)):
        at_least(name, value, smallest)
    if samples < 2 or samples & (samples - 1):
        fail("--samples", "a power of two, at least 2", samples)
    in_domain("--threshold", threshold, "probability")
    strength = evenly_spaced(("--strength-from", "--strength-to"), "--strengths", *strengths, domain="finite")
    load = evenly_spaced(("--load-from", "--load-to"), "--loads", *loads)
    count = round(neurons * loads[1])
    point = Retrieval(units, beta, cue, tau, steps, samples, neurons, networks if simulation else 0, count)
    with named_as_options(_OPTIONS):
        made = _dmft.UNITS[units][0](beta)
        model = PlasticNetwork(load=loads[1], units=made, kernel=LeakyHebbian(strengths[1], tau))
        SpinCue(cue)
    if simulation:
        needed = np.dtype(default_float()).itemsize * neurons * (2.0 * count + 3 * (steps + 1))
    else:
        needed = float(memory_needed(model, SpinCue(cue), num_steps=steps, num_samples=samples, num_shifts=1))
    if needed > _MEMORY:
        which = "--neurons" if simulation else "--samples"
        fail(which, f"a point within {_MEMORY / 2**30:g} GiB of memory", f"{needed / 2**30:.3g} GiB")
    how = f"simulation, N = {neurons}" if simulation else f"mean-field theory (N → ∞), {samples} paths"
    how += f", {networks} networks" if simulation and networks > 1 else ""
    said = _dmft.UNITS[units][1].format(beta=beta)
    lowest = max(loads[0], 0.5 / neurons if simulation else 1e-3)
    if not lowest < loads[1] or (simulation and count < 1):
        fail("--load-to", f"a load above {max(lowest, 1 / neurons if simulation else 0):g}", f"{loads[1]:g}")
    shown = {"strength": {"long_name": "strength of plasticity", "symbol": "λ"}}
    shown |= {"load": {"long_name": "load", "symbol": "α = P/N"}}
    overlap = {"overlap": {"long_name": "final overlap with the pattern", "symbol": f"$m_{{{steps}}}$"}}
    limit = {"load": {"long_name": f"$m ≥ {threshold:g}$ up to $α_{{max}}$(λ)", "symbol": "α"}}
    store = _store(ways, "load")
    stages = (
        Stage("overlaps", point, sweep.Grid(strength=strength, load=load), store, shown | overlap),
        Stage(
            "boundary",
            IsRetrieved(point, threshold),
            sweep.Grid(strength=strength),
            store.with_name(f"{store.stem}-boundary{store.suffix}"),
            {"strength": shown["strength"]} | limit,
            ("load", lowest, loads[1], 12),
        ),
    )
    parameters = {"strengths": strengths, "loads": loads, "cue": cue, "units": units, "beta": beta, "tau": tau}
    parameters |= {"steps": steps, "threshold": threshold, "simulation": simulation, "seed": ways.seed}
    parameters |= {"neurons": neurons, "networks": networks} if simulation else {"samples": samples}
    facts = (f"$m_0$ = {cue:g}", f"{steps} steps", f"$τ_A$ = {tau:g}", said, *how.split(", "))
    about = (
        f"Overlap after {steps} steps from a cue of m₀ = {cue:g}, at {len(strength)} strengths λ of plasticity from "
        f"{strengths[0]:g} to {strengths[1]:g} and {len(load)} loads α from {loads[0]:g} to {loads[1]:g}; and by "
        f"bisection the load up to which it is retrieved (m ≥ {threshold:g}).\n"
        f"  network    {said}, synapses forget in τ_A = {tau:g}\n  by         {how}"
    )
    return _request("load", ways, devices, about, stages, parameters, facts, random=True, units=made)


def prepare_gains(
    ways: Ways,
    *,
    gains: tuple[float, float, int] = (3.0, 6.0, 128),
    ratios: Sequence[float] = (0.01, 0.02, 0.05),
    memories: int = 8,
    neurons: int = 64,
    input_coupling: float = 0.01,
    t1: float = 20.0,
    units: str = "hardtanh",
    beta: float | None = None,
) -> Request:
    """Checks the options of `sweep gains`, as `prepare_load`."""
    devices = _check_ways(ways)
    at_least("--memories", memories, 2)
    at_least("--neurons", neurons, 2)
    gain = evenly_spaced(("--from", "--to"), "--points", *gains)
    ratio = np.array(sorted(ratios), default_float())
    common, said = _sequence(units, beta, neurons, input_coupling, t1, ratio)
    with named_as_options(_OPTIONS | {"tau_fast": "--ratio"}):
        _network(common, hadamard_patterns(memories, neurons), ratio)
        grid = sweep.Grid(ratio=ratio, gain=gain)
    _check_steps(common, memories)
    shown = {
        "ratio": {"long_name": "ratio of time constants", "symbol": r"$τ_f/τ_s$"},
        "gain": {"long_name": "gain", "symbol": "κ"},
        "period": {"long_name": "settled period", "symbol": "$T$", "units": r"$τ_s$"},
        "transitions": {"long_name": "transitions until the end"},
    }
    stage = Stage("gains", AtGain(common, memories), grid, _store(ways, "gains"), shown)
    parameters = {"gains": gains, "ratios": [float(x) for x in sorted(ratios)], "memories": memories}
    parameters |= {"neurons": neurons, "input_coupling": input_coupling, "t1": t1, "units": units, "beta": common.beta}
    facts = (f"P = {memories} orthogonal memories in a cycle", f"N = {neurons}", f"ε = {input_coupling:g}")
    facts += (said, "$Z_0$ = κ", rf"until t = {t1:g} $τ_s$")
    about = (
        f"Cycles of P = {memories} memories in N = {neurons} neurons until t = {t1:g} τ_s, at {len(gain)} gains κ from "
        f"{gains[0]:g} to {gains[1]:g} and τ_f/τ_s = {', '.join(f'{x:g}' for x in ratio)}; the first memory starts "
        f"with saliency κ.\n  network    {said}, input coupling ε = {input_coupling:g}"
    )
    return _request("gains", ways, devices, about, (stage,), parameters, facts, random=False)


def prepare_sequence(
    ways: Ways,
    *,
    gains: tuple[float, float, int] = (2.5, 6.0, 8),
    memories: Sequence[int] = (8, 16, 32, 64),
    draws: int = 10,
    neurons: int = 128,
    tau_fast: float = 0.02,
    input_coupling: float = 0.2,
    t1: float = 10.0,
    units: str = "hardtanh",
    beta: float | None = None,
) -> Request:
    """Checks the options of `sweep sequence`, as `prepare_load`."""
    devices = _check_ways(ways)
    at_least("--draws", draws, 1)
    at_least("--neurons", neurons, 2)
    for count in memories:
        at_least("--memories", count, 2)
    gain = evenly_spaced(("--from", "--to"), "--points", *gains)
    common, said = _sequence(units, beta, neurons, input_coupling, t1, np.array([tau_fast]))
    with named_as_options(_OPTIONS):
        _network(common, hadamard_patterns(2, 2), np.array([tau_fast], default_float()))
        grid = sweep.Grid(memories={str(p): int(p) for p in sorted(memories)}, gain=gain, draw=draws)
    _check_steps(common, max(memories))
    shown = {
        "memories": {"long_name": "random memories", "symbol": "P"},
        "gain": {"long_name": "gain", "symbol": "κ"},
        "draw": {"long_name": "draw of the memories"},
        "success": {"long_name": "share of sequences without an error"},
        "correct": {"long_name": "right transitions before the first error"},
    }
    stage = Stage("sequences", RandomSequence(common, tau_fast), grid, _store(ways, "sequence"), shown)
    parameters = {"gains": gains, "memories": sorted(memories), "draws": draws, "neurons": neurons}
    parameters |= {"tau_fast": tau_fast, "input_coupling": input_coupling, "t1": t1, "units": units}
    parameters |= {"beta": common.beta, "seed": ways.seed}
    facts = (f"N = {neurons}", rf"$τ_f/τ_s$ = {tau_fast:g}", f"ε = {input_coupling:g}", said, "$Z_0$ = κ")
    facts += (rf"until t = {t1:g} $τ_s$",)
    about = (
        f"Cycles of P = {', '.join(str(p) for p in sorted(memories))} random memories in N = {neurons} neurons until "
        f"t = {t1:g} τ_s, at {len(gain)} gains κ from {gains[0]:g} to {gains[1]:g}, {draws} draws each, the same at "
        f"all gains. A sequence succeeds if every transition goes to the right memory, with the right sign.\n"
        f"  network    {said}, τ_f/τ_s = {tau_fast:g}, input coupling ε = {input_coupling:g}"
    )
    return _request(
        "sequence", ways, devices, about, (stage,), parameters, facts, random=True, random_axes=("memories", "draw")
    )


def _check_ways(ways: Ways) -> tuple[Any, ...]:
    at_least("--seed", ways.seed, 0)
    if ways.executor is not None:
        kind, _, where = ways.executor.partition(":")
        if kind not in ("processes", "dask") or not where or (kind == "processes" and not where.isdecimal()):
            fail("--executor", "processes:N or dask:ADDRESS", ways.executor)
        if kind == "processes":
            at_least("--executor", int(where), 1)
    return use_devices(ways.devices)


def use_devices(count: int | None) -> tuple[Any, ...]:
    """The local devices to compute on; a CPU is split into as many as are asked for, before JAX uses it."""
    if count is not None:
        at_least("--devices", count, 1)
        if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
            with contextlib.suppress(RuntimeError):  # JAX has begun: there are as many as there are
                jax.config.update(_HOST_DEVICES, count)
    found = jax.local_devices()
    if count is not None and count > len(found):
        fail("--devices", f"at most {len(found)}, the devices that JAX sees", count)
    return tuple(found if count is None else found[:count])


def _sequence(
    units: str, beta: float | None, neurons: int, coupling: float, t1: float, ratios: np.ndarray
) -> tuple[Cycles, str]:
    if beta is not None and units == "hardtanh":
        fail("--beta", "units whose slope can be set (tanh, erf)", f"{beta:g} with hardtanh")
    in_domain("--t1", t1, "positive")
    slope = 1.0 if beta is None else beta
    made = Cycles(units, slope, neurons, coupling, t1, float(ratios.min()))
    return made, _sequential.UNITS[units][1].format(beta=slope)


def _network(common: Cycles, patterns: Any, ratios: np.ndarray) -> None:
    """Has the library check the numbers of a network."""
    made = _sequential.UNITS[common.units][0](common.beta)
    InputDrivenNetwork(
        patterns, 1.0, cycle(len(patterns)), units=made, tau_fast=ratios.min(), input_coupling=common.input_coupling
    )


def _check_steps(common: Cycles, memories: int) -> None:
    steps = max(LEAST_ROOM * 30.0, common.t1 / (2.2 * common.smallest_ratio))
    needed = np.dtype(default_float()).itemsize * 8.0 * memories * steps
    if needed > _MEMORY:
        said = f"{common.t1:g}, whose {steps:.3g} steps need {needed / 2**30:.3g} GiB"
        fail("--t1", f"a time whose steps fit into {_MEMORY / 2**30:g} GiB of memory", said)


def _store(ways: Ways, command: str) -> Path:
    return ways.output / f"{command}.zarr" if ways.store is None else ways.store


def _request(
    command: str, ways: Ways, devices: tuple[Any, ...], about: str, stages: tuple[Stage, ...], parameters: Any,
    conditions: tuple[str, ...], **others: Any
) -> Request:  # fmt: skip
    made = Request(
        command, about, stages, parameters, conditions,
        seed=ways.seed, output=ways.output, fresh=ways.fresh, devices=devices, executor=ways.executor, **others,
    )  # fmt: skip
    writable_folder("--output", ways.output)
    for stage in stages:
        _check_store(made, stage)
    return made


def _check_store(request: Request, stage: Stage) -> None:
    """Raises unless the store is new or that of this sweep, with the differences; to start over, that of any sweep."""
    with named_as_options(_OPTIONS):
        found = Store.find(stage.store)
    if found is None or request.fresh:
        return
    kept = found.group.attrs.get("parameters")
    wanted = {"command": f"sweep {request.command}"} | _plain(request.parameters)
    there = {"command": found.group.attrs.get("command", "none")} | (json.loads(kept) if kept else {})
    differing = [
        f"{name.replace('_', ' ')} {wanted.get(name, 'none')}, in the store {there.get(name, 'none')}"
        for name in {**wanted, **there}
        if wanted.get(name) != there.get(name)
    ]
    if differing:
        fail("--store", f"a new folder or the store of this sweep (or --fresh) in {stage.store}", "; ".join(differing))


def _plain(parameters: Any) -> Any:
    return json.loads(json.dumps(parameters))


# --- the computation ---


def plan(request: Request) -> list[tuple[Stage, sweep.Plan, int]]:
    """Of every sweep what it would take, and how many of its points are there already; nothing is stored."""
    found = []
    for stage in request.stages:
        point = stage.point if stage.along is None else sweep.Bisection(stage.point, *stage.along)
        made = sweep.plan(
            point, stage.grid, key=request.key, random_axes=request.random_axes, **_blocks(request, stage)
        )
        found.append((stage, made, 0 if request.fresh else num_finished(stage)))
    return found


def num_finished(stage: Stage) -> int:
    """How many points of a sweep its store holds."""
    try:
        return int((sweep.open(stage.store)["point_status"] > 0).sum())
    except ValueError:
        return 0


def run(request: Request) -> tuple[list[Any], float]:
    """The datasets of all sweeps, and the seconds with compilation; what is in the stores is not computed again.

    **Raises:** `ValueError` for a store of something else.
    """
    started, found = time.perf_counter(), []
    attributes: dict[str, Any] = {
        "title": f"hopfield-jax sweep {request.command}",
        "command": f"sweep {request.command}",
        "parameters": json.dumps(request.parameters),
        "conditions": "; ".join(request.conditions),
    }
    if request.units is not None:
        attributes["critical_load"] = _critical_load(request.units)
    with _executor(request.executor) as executor, named_as_options(_OPTIONS):
        for stage in request.stages:
            beside = [other.store.name for other in request.stages if other.along and not stage.along]
            others = {"boundary": beside[0]} if beside else {}
            options: dict[str, Any] = {"store": stage.store, "fresh": request.fresh, "key": request.key}
            options |= {"random_axes": request.random_axes}
            options |= {"executor": executor, "attributes": attributes | others, "describe": stage.describe}
            options |= _blocks(request, stage)
            if stage.along is None:
                found.append(sweep.run(stage.point, stage.grid, **options))
            else:
                names = ("along", "lower", "upper", "num_iterations")
                found.append(
                    sweep.boundary(stage.point, stage.grid, **dict(zip(names, stage.along, strict=True)), **options)
                )
    return found, time.perf_counter() - started


def _blocks(request: Request, stage: Stage) -> dict[str, Any]:
    if request.devices[0].platform != "cpu":
        return {"devices": request.devices, "block_size": None}
    alike = stage.grid.size // math.prod(len(axis) for axis in stage.grid.axes if axis.is_choice)
    return {"devices": request.devices, "block_size": min(_BLOCK, -(-alike // _BLOCKS))}


def _critical_load(units: Any) -> float:
    """Of the stationary theory with fixed synapses; NaN where it has no fold or does not know the units."""
    try:
        state = critical_load(units, throw=False)
    except (TypeError, ValueError):
        return math.nan
    return float(state.load) if bool(is_okay(state.result)) else math.nan


@contextlib.contextmanager
def _executor(asked: str | None) -> Iterator[Any]:
    """What is named by --executor: a pool of processes, or a Dask scheduler's client."""
    if asked is None:
        yield None
        return
    kind, _, where = asked.partition(":")
    if kind == "processes":
        pool = cf.ProcessPoolExecutor(
            int(where), mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts
        )
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    try:
        import distributed
    except ModuleNotFoundError:
        fail("--executor", "Dask to be installed (pip install 'dask[distributed]')", asked)
    try:
        client = distributed.Client(where, timeout="10s")
    except (OSError, ValueError) as error:
        fail("--executor", "the address of a Dask scheduler", f"{where} ({error})")
    with client:
        yield client


def _leave_interrupts() -> None:
    """Of a worker process: Ctrl-C is for the one that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
