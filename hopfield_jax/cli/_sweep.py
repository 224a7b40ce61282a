"""The options of `hopfield-jax sweep load`, `gains` and `sequence`, checked before anything long begins."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import sweep
from .._checks import at_least, fail, in_domain
from .._misc import default_float
from .._patterns import hadamard_patterns
from ..dmft import LeakyHebbian, PlasticNetwork, SpinCue, memory_needed, simulation_memory_needed
from ..sequential import InputDrivenNetwork, cycle
from . import _dmft, _sequential
from ._report import evenly_spaced, named_as_options
from ._sweep_points import LEAST_ROOM, AtGain, Cycles, Margin, RandomSequence, Retrieval
from ._sweep_request import OPTIONS, Request, Stage, Ways, check_ways, request_of, store_of

_MEMORY = 8 * 2.0**30
_HALVINGS = 10  # of the range of loads: the zero lies in a bracket of a thousandth, on a chord across it


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
    repeats: int = 4,
) -> Request:
    """Checks the options of `sweep load` before anything long begins.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    devices = check_ways(ways)
    for name, value, smallest in (
        ("--steps", steps, 1),
        ("--neurons", neurons, 2),
        ("--networks", networks, 1),
        ("--repeats", repeats, 2),
    ):
        at_least(name, value, smallest)
    if samples < 2 or samples & (samples - 1):
        fail("--samples", "a power of two, at least 2", samples)
    in_domain("--threshold", threshold, "probability")
    strength = evenly_spaced(("--strength-from", "--strength-to"), "--strengths", *strengths, domain="finite")
    load = evenly_spaced(("--load-from", "--load-to"), "--loads", *loads)
    count = round(neurons * loads[1])
    point = Retrieval(units, beta, cue, tau, steps, samples, neurons, networks if simulation else 0, count)
    with named_as_options(OPTIONS):
        made = _dmft.UNITS[units][0](beta)
        model = PlasticNetwork(load=loads[1], units=made, kernel=LeakyHebbian(strengths[1], tau))
        SpinCue(cue)
    if simulation:
        sizes: dict[str, Any] = {"num_steps": steps, "num_neurons": neurons, "max_patterns": max(count, 1)}
        needed = simulation_memory_needed(model, SpinCue(cue), **sizes)
    else:
        needed = memory_needed(model, SpinCue(cue), num_steps=steps, num_samples=samples, num_shifts=1)
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
    said_of = f"$m ≥ {threshold:g}$ up to $α_{{max}}$(λ), ± standard error of {repeats} repeats"
    limit = {"load": {"long_name": said_of, "symbol": "α"}, "replicate": {"long_name": "repeat"}}
    store = store_of(ways, "load")
    stages = (
        Stage("overlaps", point, sweep.Grid(strength=strength, load=load), store, shown | overlap),
        Stage(
            "boundary",
            Margin(point, threshold),
            sweep.Grid(strength=strength, replicate=repeats),
            store.with_name(f"{store.stem}-boundary{store.suffix}"),
            {"strength": shown["strength"]} | limit,
            ("load", lowest, loads[1], _HALVINGS),
        ),
    )
    parameters = {"strengths": strengths, "loads": loads, "cue": cue, "units": units, "beta": beta, "tau": tau}
    parameters |= {"steps": steps, "threshold": threshold, "repeats": repeats, "simulation": simulation}
    parameters |= {"seed": ways.seed}
    parameters |= {"neurons": neurons, "networks": networks} if simulation else {"samples": samples}
    facts = (f"$m_0$ = {cue:g}", f"{steps} steps", f"$τ_A$ = {tau:g}", said, *how.split(", "))
    about = (
        f"Overlap after {steps} steps from a cue of m₀ = {cue:g}, at {len(strength)} strengths λ of plasticity from "
        f"{strengths[0]:g} to {strengths[1]:g} and {len(load)} loads α from {loads[0]:g} to {loads[1]:g}; and by "
        f"bisection the load up to which it is retrieved (m ≥ {threshold:g}), {repeats} times with other random "
        f"numbers.\n"
        f"  network    {said}, synapses forget in τ_A = {tau:g}\n  by         {how}"
    )
    return request_of("load", ways, devices, about, stages, parameters, facts, random=True, units=made)


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
    devices = check_ways(ways)
    at_least("--memories", memories, 2)
    at_least("--neurons", neurons, 2)
    gain = evenly_spaced(("--from", "--to"), "--points", *gains)
    ratio = np.array(sorted(ratios), default_float())
    common, said = _sequence(units, beta, neurons, input_coupling, t1, ratio)
    with named_as_options(OPTIONS | {"tau_fast": "--ratio"}):
        _network(common, hadamard_patterns(memories, neurons), ratio)
        grid = sweep.Grid(ratio=ratio, gain=gain)
    _check_steps(common, memories)
    shown = {
        "ratio": {"long_name": "ratio of time constants", "symbol": r"$τ_f/τ_s$"},
        "gain": {"long_name": "gain", "symbol": "κ"},
        "period": {"long_name": "settled period", "symbol": "$T$", "units": r"$τ_s$"},
        "transitions": {"long_name": "transitions until the end"},
    }
    stage = Stage("gains", AtGain(common, memories), grid, store_of(ways, "gains"), shown)
    parameters = {"gains": gains, "ratios": [float(x) for x in sorted(ratios)], "memories": memories}
    parameters |= {"neurons": neurons, "input_coupling": input_coupling, "t1": t1, "units": units, "beta": common.beta}
    facts = (f"P = {memories} orthogonal memories in a cycle", f"N = {neurons}", f"ε = {input_coupling:g}")
    facts += (said, "$Z_0$ = κ", rf"until t = {t1:g} $τ_s$")
    about = (
        f"Cycles of P = {memories} memories in N = {neurons} neurons until t = {t1:g} τ_s, at {len(gain)} gains κ from "
        f"{gains[0]:g} to {gains[1]:g} and τ_f/τ_s = {', '.join(f'{x:g}' for x in ratio)}; the first memory starts "
        f"with saliency κ.\n  network    {said}, input coupling ε = {input_coupling:g}"
    )
    return request_of("gains", ways, devices, about, (stage,), parameters, facts, random=False)


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
    devices = check_ways(ways)
    at_least("--draws", draws, 1)
    at_least("--neurons", neurons, 2)
    for count in memories:
        at_least("--memories", count, 2)
    gain = evenly_spaced(("--from", "--to"), "--points", *gains)
    common, said = _sequence(units, beta, neurons, input_coupling, t1, np.array([tau_fast]))
    with named_as_options(OPTIONS):
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
    stage = Stage("sequences", RandomSequence(common, tau_fast), grid, store_of(ways, "sequence"), shown)
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
    return request_of(
        "sequence", ways, devices, about, (stage,), parameters, facts, random=True, random_axes=("memories", "draw")
    )


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
