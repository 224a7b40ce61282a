"""The commands of sequences: `hopfield-jax sequence` and `gains`."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from ._options import (
    Activation,
    End,
    FastUnits,
    FirstGain,
    InputCoupling,
    LastGain,
    Memories,
    Neurons,
    NumGains,
    Output,
    Seed,
    Slope,
    TauFast,
    TauSlow,
    plain_errors,
    say_where,
)


class Order(enum.StrEnum):
    cycle = "cycle"
    chain = "chain"


# What both commands of sequences ask of their network.
FirstSaliency = Annotated[
    float | None,
    typer.Option(
        "--saliency", help="Saliency Z₀ of the first memory. Default: the gain, the most it can be.", show_default=False
    ),
]
Transitions = Annotated[
    Order, typer.Option("--transitions", help="cycle: the first follows the last; chain: the last leads nowhere.")
]
NoiseFast = Annotated[float, typer.Option("--noise-fast", help="Noise σ_f of the neurons: a free one's deviation.")]
NoiseSlow = Annotated[float, typer.Option("--noise-slow", help="Noise σ_s of the slow state, likewise.")]


def sequence(
    gain: Annotated[float, typer.Option("--gain", help="Gain κ; from 4 on sequences go on for ever.")] = 5.0,
    memories: Memories = 8,
    neurons: Neurons = 64,
    tau_fast: TauFast = 0.01,
    tau_slow: TauSlow = 1.0,
    input_coupling: InputCoupling = 0.01,
    saliency: FirstSaliency = None,
    t1: End = 20.0,
    transitions: Transitions = Order.cycle,
    units: Activation = FastUnits.hardtanh,
    beta: Slope = None,
    noise_fast: NoiseFast = 0.0,
    noise_slow: NoiseSlow = 0.0,
    seed: Seed = 0,
    output: Output = Path("hopfield-sequence"),
) -> None:
    """Let memories follow each other; see when and how it ends.

    Fast neurons retrieve the memory whose saliency, its weight in the synapses, is large. While it is active it feeds
    its successor through a slow state: its own saliency decays, that of the successor grows towards the gain κ, and
    when the active one has fallen to 1 the neurons move on. The successor's saliency is then κ times (1 - 1/Z), Z
    being what the one before began with, and each stays active for τ_s times log Z. From gain 4 on this settles at a
    period; below, every memory hands over less than it got, until nothing is left.

    Prints a table of visits and writes a figure (sequence.png) and numbers (sequence.json, sequence.npz).

    \b
    Examples
      hopfield-jax sequence
      hopfield-jax sequence --gain 3.5           too little: it collapses
      hopfield-jax sequence --units tanh --beta 2 --memories 16
      hopfield-jax sequence --noise-slow 0.5 --seed 1
    """
    from . import _present_sequential, _sequential

    with plain_errors():
        request = _sequential.prepare(
            output=output,
            gain=gain,
            memories=memories,
            neurons=neurons,
            tau_fast=tau_fast,
            tau_slow=tau_slow,
            input_coupling=input_coupling,
            saliency=saliency,
            t1=t1,
            transitions=transitions.value,
            units=units.value,
            beta=beta,
            noise_fast=noise_fast,
            noise_slow=noise_slow,
            seed=seed,
        )
    say_where(_present_sequential.run_and_report(request, typer.echo))


def gains(
    first: FirstGain = 3.0,
    last: LastGain = 6.0,
    points: NumGains = 61,
    memories: Memories = 8,
    neurons: Neurons = 64,
    tau_fast: TauFast = 0.01,
    tau_slow: TauSlow = 1.0,
    input_coupling: InputCoupling = 0.01,
    saliency: FirstSaliency = None,
    t1: End = 20.0,
    transitions: Transitions = Order.cycle,
    units: Activation = FastUnits.hardtanh,
    beta: Slope = None,
    noise_fast: NoiseFast = 0.0,
    noise_slow: NoiseSlow = 0.0,
    seed: Seed = 0,
    output: Output = Path("hopfield-gains"),
) -> None:
    """Find the gains at which memories follow each other for ever.

    Runs the network of `hopfield-jax sequence` at many gains κ and compares it with the saliency map, its limit for
    fast neurons: there the next memory's saliency is κ times (1 - 1/Z), which from gain 4 on tends to Z+, half the sum
    of κ and the root of κ² - 4κ, and the time between two memories to τ_s times log Z+. Below 4 the map says how many
    memories are retrieved before the collapse. Neurons of finite speed leave later than in the limit, their successors
    have more time to grow, and the smallest gain that goes on is less than 4.

    Prints what was found and writes a figure (gains.png) and numbers (gains.json, gains.npz).

    \b
    Examples
      hopfield-jax gains
      hopfield-jax gains --tau-fast 0.002        closer to the limit
      hopfield-jax gains --memories 4 --from 3.4 --to 4.2 --points 81 --t1 60
      hopfield-jax gains --units erf --beta 2
    """
    from . import _present_sequential, _sequential

    with plain_errors():
        request = _sequential.prepare(
            output=output,
            gains=(first, last, points),
            memories=memories,
            neurons=neurons,
            tau_fast=tau_fast,
            tau_slow=tau_slow,
            input_coupling=input_coupling,
            saliency=saliency,
            t1=t1,
            transitions=transitions.value,
            units=units.value,
            beta=beta,
            noise_fast=noise_fast,
            noise_slow=noise_slow,
            seed=seed,
        )
    say_where(_present_sequential.run_and_report(request, typer.echo))


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (sequence, gains):
        app.command()(command)
