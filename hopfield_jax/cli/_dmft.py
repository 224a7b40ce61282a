"""`hopfield-jax dmft`: retrieval while synapses are plastic, by theory and by simulation."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax.random as jr
import numpy as np
import typer

from .. import plot
from .._checks import at_least
from .._misc import as_inexact
from .._results import describe_result
from ..dmft import AccumulatingHebbian, PlasticNetwork, SpinCue, agreement, panel, retrieved, simulate, solve
from ..dmft.results import OrderParameters, Panel
from ._command import Output, Seed, default_of
from ._plastic import (
    AbstractBuilt,
    CueOverlap,
    Load,
    NumSamples,
    SelfCoupling,
    Strength,
    simulation_fits,
    theory_fits,
)
from ._report import arrays_of, compiled, new_figure, number, plus_minus, progress, table, timed, wrapped

_ROWS = 8
_SHOWN = ("overlap", "cue_overlap")
MATRICES = ("correlation", "response", "noise_covariance", "crosstalk_feedback", "plastic_feedback")
LARGEST_MATRICES = 2000
"""Steps: matrices of longer runs, hundreds of MiB, are not written."""
LEGEND = "± standard errors, between randomisations or networks; apart: difference in combined standard errors."


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Mean-field theory and, if asked for, simulation and closed theory, and the seconds of each."""

    theory: OrderParameters
    network: OrderParameters | None
    closed: Panel | None
    seconds: dict[str, float]

    @property
    def results(self) -> dict[str, OrderParameters]:
        return {"theory": self.theory} | ({} if self.network is None else {"simulation": self.network})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dmft(AbstractBuilt):
    """A network that stores α N random patterns starts with overlap m₀ with one of them, while Hebbian plasticity of
    strength λ imprints what it does. Theory follows one neuron in the limit N → ∞; simulation runs whole networks.

    Prints a table with errors and writes figures (trajectory.png, correlation.png) and numbers (dmft.json, dmft.npz).

    \b
    Examples
      hopfield-jax dmft
      hopfield-jax dmft --strength 0        the same with fixed synapses: the pattern fades
      hopfield-jax dmft --units glauber --beta 3 --load 0.05
      hopfield-jax dmft --synapses sign --load 0.08
      hopfield-jax dmft --depression 0.2:5 --load 0.08 --num-steps 40
      hopfield-jax dmft --strength 2 --accumulating --no-simulation
    """

    load: Load = 0.12
    cue_overlap: CueOverlap = 0.4
    strength: Strength = 0.3
    accumulating: Annotated[
        bool, typer.Option("--accumulating", help="Synapses that never forget; --tau is not used.")
    ] = False
    dt: Annotated[float, typer.Option(help="Length of a step in (0, 1]; 1: the synchronous map.")] = default_of(
        PlasticNetwork, "dt"
    )
    num_samples: NumSamples = default_of(solve, "num_samples")
    num_shifts: Annotated[int, typer.Option(help="Randomisations, whose spread is the theory's error.", min=2)] = (
        default_of(solve, "num_shifts")
    )
    num_neurons: Annotated[int, typer.Option(help="Neurons N of a simulated network.")] = 4000
    num_trials: Annotated[int, typer.Option(help="Networks, whose spread is the simulation's error.", min=2)] = 6
    simulation: Annotated[bool, typer.Option(help="Simulate networks as well.")] = True
    self_coupling: SelfCoupling = default_of(PlasticNetwork, "self_coupling")
    theory: Annotated[
        bool, typer.Option("--theory", help="Print what closed theories say as well, and draw those that apply.")
    ] = False
    seed: Seed = 0
    output: Output = Path("hopfield-dmft")

    def __post_init__(self) -> None:
        model, cue = self.model_and_cue
        theory_fits(model, cue, self.num_steps, self.num_samples, self.num_shifts)
        if self.simulation:
            simulation_fits(model, cue, self.num_steps, self.num_neurons)

    @functools.cached_property
    def model_and_cue(self) -> tuple[PlasticNetwork, SpinCue]:
        """Those that are compared with a simulation have whole patterns and whole spins, as a network of its size."""
        kernel = AccumulatingHebbian(self.strength) if self.accumulating else None
        how = {"kernel": kernel, "dt": self.dt, "self_coupling": self.self_coupling, **self.parts}
        model = self.network(self.load, self.strength, **how)
        cue = self.cue
        if self.simulation:
            at_least("num_neurons", self.num_neurons, 2)
            count = int(model.num_patterns(self.num_neurons))
            model = eqx.tree_at(lambda m: m.load, model, as_inexact(count / self.num_neurons))
            cue = SpinCue(2 * round((1 + self.cue_overlap) / 2 * self.num_neurons) / self.num_neurons - 1)
        return model, cue

    @property
    def num_patterns(self) -> int:
        return int(self.model_and_cue[0].num_patterns(self.num_neurons))

    def about(self) -> Iterator[str]:
        model, cue = self.model_and_cue
        yield (
            f"Retrieval from a cue of overlap m₀ = {float(cue.overlap):g} at load α = P/N = {float(model.load):g}, "
            f"{self.num_steps} steps of dt = {self.dt:g}, seed {self.seed}."
        )
        yield f"  units      x(t+dt) = (1 - dt) x + dt [J φ + A(t) φ], {self.said_units}"
        couplings = "with" if self.self_coupling else "without"
        yield f"  stored     J = (1/N) Σ ξξᵀ over P random ±1 patterns, {couplings} self-couplings"
        for name, law in self.said_parts():
            yield f"  {name:<10} {law}"
        if self.accumulating:
            yield f"  plastic    A(t+dt) = A(t) + dt (λ/N) φφᵀ, λ = {self.strength:g}"
        else:
            kept = f"λ = {self.strength:g}, τ = {self.tau:g}"
            yield f"  plastic    A(t+dt) = (1 - dt/τ) A(t) + (dt/τ) (λ/N) φφᵀ, {kept}"
        yield f"  theory     {self.num_shifts} randomisations of {self.num_samples} paths"
        if self.simulation:
            yield (
                f"  simulation {self.num_trials} networks of N = {self.num_neurons} neurons, P = {self.num_patterns}; "
                "theory at the same P/N and cue"
            )

    def compute(self) -> Outcome:
        return run((self,))[0]

    def describe(self, found: Outcome) -> Iterator[str]:
        """The table at a handful of steps, how it ended, how well the two agree, and the conventions."""
        theory, network = found.theory, found.network
        header = ["step", "time"]
        for said in ("overlap m: theory", "with the cue: theory"):
            header += [said] + ([] if network is None else ["simulation", "apart"])
        # Closer to each other at the beginning, where most happens.
        late = np.geomspace(1, len(theory.times) - 1, _ROWS - 1)
        steps = np.unique(np.round([0, *late]).astype(int)).tolist()
        yield from table(header, ([f"{t}", f"{float(theory.times[t]):g}", *cells(found, t)] for t in steps))
        if network is not None:
            compared = agreement(theory, network)
            known = np.isfinite(compared.squared_difference)
            said = " ".join(str(compared).splitlines()[1:]).strip() if known else "unknown, as one of them ended early"
            yield from (LEGEND, f"Agreement: {said}.")
        if np.isfinite(last := float(theory.activity[-1])):
            closer = "pattern" if last >= float(theory.cue_overlap[-1]) else "cue"
            level, verdict = default_of(retrieved, "threshold"), "" if bool(retrieved(theory)) else "not "
            how = f"{verdict}retrieved (final overlap of at least {level:g}, above the cue's)"
            yield f"Theory ends closer to the {closer}; {how}."
        for name, order in found.results.items():
            if (said := describe_result(order.result)) != "ok":
                yield f"{name}: {said}"
        if found.closed is not None:
            yield from ("Closed theory", *str(found.closed).splitlines()[1:], "")
        yield from ("Conventions", *wrapped(f"  {theory.setting}"))
        if network is not None:
            yield f"  {network.setting.source} of the same"
        yield "Seconds: " + ", ".join(f"{name} {s:.1f}" for name, s in found.seconds.items()) + "."

    def files(self, found: Outcome) -> Iterator[tuple[str, Any]]:
        figure = new_figure(10.0, 4.2)
        trajectory, memory = figure.subplots(1, 2)
        plot.order_parameters(found.theory, found.network, ax=trajectory)
        if found.closed is not None:
            plot.predictions(found.closed, ax=trajectory)
        plot.feedback(found.theory, ax=memory)
        yield "trajectory.png", figure
        figure = new_figure(5.2, 4.6)
        plot.two_times(found.theory, ax=figure.subplots())
        yield "correlation.png", figure
        realised = {"num_patterns": self.num_patterns} if self.simulation else {"num_neurons": None, "num_trials": None}
        per_step = [f"{name}{e}" for name in (*_SHOWN, "activity", "energy", "error_fraction") for e in ("", "_error")]
        compared = None if found.network is None else agreement(found.theory, found.network)
        yield (
            "dmft.json",
            {
                "parameters": dict(found.theory.setting.parts) | found.theory.setting.numbers | realised,
                "times": found.theory.times,
                "results": {
                    name: {"setting": str(order.setting), "result": describe_result(order.result)}
                    | {field: getattr(order, field) for field in per_step}
                    for name, order in found.results.items()
                },
                "agreement": None if compared is None else vars(compared),
                "closed_theory": None if found.closed is None else found.closed.as_dict(),
                "seconds": found.seconds,
            },
        )
        fields = [field.name for field in dataclasses.fields(found.theory)]
        if self.num_steps <= LARGEST_MATRICES:
            fields += [f"{matrix}{error}" for matrix in MATRICES for error in ("", "_error")]
        kept = (arrays_of(order, f"{name}.", fields) for name, order in found.results.items())
        yield "dmft.npz", functools.reduce(dict.__or__, kept)


def run(requests: Sequence[Dmft]) -> list[Outcome]:
    """Theory and simulation of requests that differ in numbers of model and cue only; each program is compiled once."""
    first, sizes = requests[0], {}
    sizes["theory"] = solve, {"num_samples": first.num_samples, "num_shifts": first.num_shifts}
    if first.simulation:
        # The load is an argument of the compiled program; the number of patterns, a shape, is not.
        trials = {"num_neurons": first.num_neurons, "num_trials": first.num_trials}
        sizes["simulation"] = simulate, trials | {"max_patterns": first.num_patterns}
    found, seconds = [{} for _ in requests], [{"compile": 0.0} for _ in requests]
    with progress(len(sizes) * (1 + len(requests)), delay=2) as bar:
        for n, (name, (verb, given)) in enumerate(sizes.items()):
            bar.set_description(f"{name}: compiling")
            key = jr.fold_in(jr.key(first.seed), n)
            verb = functools.partial(verb, num_steps=first.num_steps, throw=False, **given)
            program, compile_s = compiled(verb, *first.model_and_cue, key=key)
            seconds[0]["compile"] += compile_s
            bar.update()
            bar.set_description(name)
            for i, request in enumerate(requests):
                found[i][name], seconds[i][name] = timed(program, *request.model_and_cue, key=key)
                bar.update()
    closed = [panel(*one.model_and_cue, num_steps=one.num_steps) if one.theory else None for one in requests]
    return [
        Outcome(x["theory"], x.get("simulation"), known, s) for x, known, s in zip(found, closed, seconds, strict=True)
    ]


def cells(found: Outcome, step: int) -> list[str]:
    """Of a row of the table: either overlap by theory and by simulation, and how far apart they are in standard
    errors."""
    said = []
    for name in _SHOWN:
        pairs = [_at(order, name, step) for order in found.results.values()]
        said += [plus_minus(*pair, 4) for pair in pairs]
        if len(pairs) == 2:
            error = np.hypot(pairs[0][1], pairs[1][1])
            said.append(number(abs(pairs[0][0] - pairs[1][0]) / error, ".1f") if error > 0 else "-")
    return said


def _at(order: OrderParameters, name: str, step: int) -> tuple[float, float]:
    """A value with its standard error, which is zero where there is nothing but rounding."""
    error = getattr(order, f"{name}_error")[step]
    return float(getattr(order, name)[step]), float(error) * bool(error > 16 * np.finfo(error.dtype).eps)
