"""The commands of retrieval: `hopfield-jax retrieve`, `dmft` and `theory`."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from ._options import (
    Activations,
    CueOverlap,
    Forgetting,
    Load,
    Output,
    Samples,
    Seed,
    Steepness,
    Steps,
    Units,
    local_path,
    plain_errors,
    say_where,
)

Strength = Annotated[
    float, typer.Option("--strength", help="Strength λ of plasticity; 0: fixed synapses, negative: unlearning.")
]
SelfCoupling = Annotated[bool, typer.Option("--self-coupling", help="Keep the diagonal of the stored couplings.")]


class Corruption(enum.StrEnum):
    half = "half"
    top = "top"
    flip = "flip"
    noise = "noise"


class Network(enum.StrEnum):
    hebb = "hebb"
    dense = "dense"
    softmax = "softmax"


def retrieve(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SOURCES",
            parser=local_path,
            help="Image files, folders of images (other files in them are skipped), or one .npy array of shape "
            "(patterns, neurons) or (patterns, height, width). Without any: the scanned digits that come with "
            "scikit-learn.",
            show_default=False,
        ),
    ] = None,
    num_patterns: Annotated[
        int | None,
        typer.Option(
            "--num-patterns", "-p", help="Images stored at a time. Default: 64, or all if fewer.", show_default=False
        ),
    ] = None,
    corruption: Annotated[
        list[Corruption] | None,
        typer.Option(
            "--corruption",
            "-c",
            help="half: pixels hidden at random; top: upper rows hidden; flip: signs changed; noise: Gaussian noise "
            "added. May be repeated. Default: half and top.",
            show_default=False,
        ),
    ] = None,
    amount: Annotated[
        float | None,
        typer.Option(
            "--amount",
            "-a",
            help="Fraction hidden or flipped, or strength of the noise in units of the pixels' root mean square. "
            "Default: half 0.5, top 0.5, flip 0.2, noise 1.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        list[Network] | None,
        typer.Option(
            "--network",
            "-n",
            help="hebb: classical Hebbian; dense: rectified power; softmax: LogSumExp. May be repeated. Default: all.",
            show_default=False,
        ),
    ] = None,
    beta: Annotated[float, typer.Option("--beta", help="Slope β of hebb, inverse temperature β of softmax.")] = 4.0,
    power: Annotated[int, typer.Option("--power", help="Power n of the dense network, at least 2.")] = 20,
    draws: Annotated[int, typer.Option("--draws", help="How often images and corruption are drawn.")] = 20,
    seed: Seed = 0,
    threshold: Annotated[float, typer.Option("--threshold", help="Final cosine that counts as retrieved.")] = 0.9,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            help="Side in pixels that image files are resized to. Default: pictures of one size keep it, up to 64; "
            "others are resized to 32.",
            show_default=False,
        ),
    ] = None,
    output: Output = Path("hopfield-retrieve"),
) -> None:
    """Store images, corrupt them, retrieve them.

    Prints a table with errors and writes figures (images.png, energy.png, scores.png) and numbers (retrieve.json,
    retrieve.npz).

    \b
    Examples
      hopfield-jax retrieve
      hopfield-jax retrieve photos/ --size 48 --corruption top --amount 0.7
      hopfield-jax retrieve patterns.npy -p 30 -c flip -c noise -n hebb -n softmax
    """
    from . import _present, _retrieve

    with plain_errors():
        request = _retrieve.prepare(
            sources or (),
            output=output,
            size=size,
            num_patterns=num_patterns,
            corruptions=[c.value for c in corruption or (Corruption.half, Corruption.top)],
            amount=amount,
            networks=[n.value for n in network or Network],
            beta=beta,
            power=power,
            draws=draws,
            seed=seed,
            threshold=threshold,
        )
    say_where(_present.run_and_report(request, typer.echo))


def dmft(
    load: Load = 0.12,
    cue: CueOverlap = 0.4,
    units: Activations = Units.logcosh,
    beta: Steepness = 4.0,
    strength: Strength = 0.3,
    tau: Forgetting = 5.0,
    accumulating: Annotated[
        bool, typer.Option("--accumulating", help="Synapses that never forget; --tau is not used.")
    ] = False,
    dt: Annotated[float, typer.Option("--dt", help="Length of a step in (0, 1]; 1: the synchronous map.")] = 1.0,
    steps: Steps = 19,
    samples: Samples = 16384,
    shifts: Annotated[int, typer.Option("--shifts", help="Randomisations, whose spread is the theory's error.")] = 4,
    neurons: Annotated[int, typer.Option("--neurons", help="Neurons N of a simulated network.")] = 4000,
    networks: Annotated[int, typer.Option("--networks", help="Networks, whose spread is the simulation's error.")] = 6,
    no_simulation: Annotated[bool, typer.Option("--no-simulation", help="Theory only.")] = False,
    self_coupling: SelfCoupling = False,
    theory: Annotated[
        bool, typer.Option("--theory", help="Print what closed theories say as well, and draw those that apply.")
    ] = False,
    seed: Seed = 0,
    output: Output = Path("hopfield-dmft"),
) -> None:
    """Retrieve with plastic synapses, in theory and simulation.

    A network that stores α N random patterns starts with overlap m₀ with one of them, while Hebbian plasticity of
    strength λ imprints what it does. Theory follows one neuron in the limit N → ∞; simulation runs whole networks.

    Prints a table with errors and writes figures (trajectory.png, correlation.png) and numbers (dmft.json, dmft.npz).

    \b
    Examples
      hopfield-jax dmft
      hopfield-jax dmft --strength 0        the same with fixed synapses: the pattern fades
      hopfield-jax dmft --units glauber --beta 3 --load 0.05
      hopfield-jax dmft --strength 2 --accumulating --no-simulation
    """
    from . import _dmft, _present_dmft

    with plain_errors():
        request = _dmft.prepare(
            output=output,
            load=load,
            cue=cue,
            units=units.value,
            beta=beta,
            strength=strength,
            tau=tau,
            accumulating=accumulating,
            dt=dt,
            steps=steps,
            samples=samples,
            shifts=shifts,
            neurons=neurons,
            networks=networks,
            simulation=not no_simulation,
            self_coupling=self_coupling,
            closed_theory=theory,
            seed=seed,
        )
    say_where(_present_dmft.run_and_report(request, typer.echo))


def theory(
    load: Load = 0.1,
    cue: CueOverlap = 0.5,
    units: Activations = Units.sign,
    beta: Steepness = 4.0,
    strength: Strength = 0.0,
    tau: Forgetting = 5.0,
    self_coupling: SelfCoupling = False,
    asynchronous: Annotated[
        bool, typer.Option("--asynchronous", help="The network updates one neuron after the other.")
    ] = False,
    steps: Steps = 19,
    output: Output = Path("hopfield-theory"),
) -> None:
    """Say what closed theories predict, and which of them apply.

    For whoever simulates an associative memory and wonders whether a difference is finite size, a convention or a
    mistake: the exact first step (with either convention of the self-couplings), approximate trajectories, the state at
    rest with its critical load, and whether it is the global minimum. Theories that do not apply say why.

    Prints a table and writes a figure (theory.png) and numbers (theory.json).

    \b
    Examples
      hopfield-jax theory
      hopfield-jax theory --units glauber --beta 5 --asynchronous
      hopfield-jax theory --units logcosh --strength 0.3 --load 0.12 --cue 0.4
    """
    from . import _dmft, _theory

    with plain_errors():
        request = _dmft.prepare(
            output=output,
            load=load,
            cue=cue,
            units=units.value,
            beta=beta,
            strength=strength,
            tau=tau,
            steps=steps,
            self_coupling=self_coupling,
            simulation=False,
        )
    say_where(_theory.run_and_report(request, asynchronous, typer.echo))


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (retrieve, dmft, theory):
        app.command()(command)
