"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

import enum
import time
from pathlib import Path
from typing import Annotated

import typer

from . import _main_sweep, _main_tune
from ._options import (
    Activation,
    Activations,
    CueOverlap,
    End,
    FastUnits,
    FirstGain,
    Forgetting,
    InputCoupling,
    LastGain,
    Load,
    Memories,
    Neurons,
    NumGains,
    Output,
    Samples,
    Seed,
    Slope,
    Steepness,
    Steps,
    TauFast,
    TauSlow,
    Units,
    plain_errors,
    say_where,
)

# Plain messages: without rich's boxes they can be copied, searched and read by scripts.
app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


class Corruption(enum.StrEnum):
    half = "half"
    top = "top"
    flip = "flip"
    noise = "noise"


class Network(enum.StrEnum):
    hebb = "hebb"
    dense = "dense"
    softmax = "softmax"


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


def _show_version(wanted: bool) -> bool:
    if wanted:
        from ._report import versions

        typer.echo(f"hopfield-jax {versions()['hopfield-jax']}")
        raise typer.Exit()
    return wanted


@app.callback()
def hopfield_jax(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hopfield networks in JAX: stored memories come back from corrupted cues.

    \b
    Begin with
      hopfield-jax demo
    """


@app.command()
def retrieve(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SOURCES",
            help="Image files, folders of images, or one .npy array of shape (patterns, neurons) or (patterns, height, "
            "width). Without any: the scanned digits that come with scikit-learn.",
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
        typer.Option("--size", help="Side in pixels that image files are resized to. Default: 32.", show_default=False),
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


@app.command()
def dmft(
    load: Load = 0.12,
    cue: CueOverlap = 0.4,
    units: Activations = Units.logcosh,
    beta: Steepness = 4.0,
    strength: Annotated[
        float, typer.Option("--strength", help="Strength λ of plasticity; 0: fixed synapses, negative: unlearning.")
    ] = 0.3,
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
    self_coupling: Annotated[
        bool, typer.Option("--self-coupling", help="Keep the diagonal of the stored couplings.")
    ] = False,
    seed: Seed = 0,
    output: Output = Path("hopfield-dmft"),
) -> None:
    """Retrieve while synapses are plastic: mean-field theory against simulation.

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
            seed=seed,
        )
    say_where(_present_dmft.run_and_report(request, typer.echo))


@app.command()
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
    """Let memories follow each other, and see when and how it ends.

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


@app.command()
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


_main_sweep.add_to(app)
_main_tune.add_to(app)


@app.command()
def demo(
    output: Output = Path("hopfield-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer draws: larger errors, sooner done.")] = False,
) -> None:
    """Run a tour of everything; leaves figures.

    Stored digits come back from corrupted ones while the energies fall; mean-field theory meets simulation, with fixed
    and with plastic synapses; memories follow each other, for ever or until they collapse; a map says how much is
    retrieved at any load and strength of plasticity. It takes about two and a half minutes.

    \b
    Example
      hopfield-jax demo --quick
    """
    from . import _demo
    from ._report import writable_folder

    started = time.perf_counter()
    files: list[Path] = []
    with plain_errors():
        for step in _demo.STEPS:
            writable_folder("--output", output / step.name)
    for number, step in enumerate(_demo.STEPS, 1):
        typer.echo(f"[{number}/{len(_demo.STEPS)}] {step.title}\n")
        files += step.run(output / step.name, quick, typer.echo)
    say_where(files)
    typer.echo(f"The demo took {time.perf_counter() - started:.0f} s.")


@app.command()
def doctor() -> None:
    """Describe this machine and installation.

    Versions, devices, precision, memory and the state of the compilation cache: what a report of a problem needs.

    \b
    Example
      hopfield-jax doctor
    """
    from ._doctor import doctor_lines

    for line in doctor_lines():
        typer.echo(line)
