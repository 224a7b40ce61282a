"""The commands of sweeps, `hopfield-jax sweep …` and `hopfield-jax show`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import (
    Activation,
    Activations,
    CueOverlap,
    FastUnits,
    FirstGain,
    Forgetting,
    InputCoupling,
    LastGain,
    Memories,
    Neurons,
    NumGains,
    Output,
    Seed,
    Slope,
    Steepness,
    Steps,
    TauFast,
    Threshold,
    Units,
    local_path,
    plain_errors,
    say_where,
)

sweep = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

StoreAt = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="Folder of the store. Default: one inside --output.",
        show_default=False,
        parser=local_path,
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh/--resume", help="Start over, or go on with what the store holds.")
]  # fmt: skip
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take (one block is run), store nothing.")]
Devices = Annotated[
    int | None,
    typer.Option(
        "--devices",
        help="Local devices to use; a CPU is split into as many. Each compiles for itself, which pays in long sweeps. "
        "Default: all, a CPU as one.",
        show_default=False,
    ),
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        help="What computes instead: processes:N, as many processes here; dask:ADDRESS, a Dask scheduler's workers.",
        show_default=False,
    ),
]
ToEnd = Annotated[float, typer.Option("--t1", help="End, in slow time constants τ_s.")]


@sweep.callback()
def about() -> None:
    """Compute a model at every point of a grid.

    Finished blocks are kept; a command that was stopped goes on where it was when it is given again.

    \b
    Begin with
      hopfield-jax sweep load
    """


@sweep.command()
def load(
    first_strength: Annotated[float, typer.Option("--strength-from", help="Smallest strength λ of plasticity.")] = 0.0,
    last_strength: Annotated[float, typer.Option("--strength-to", help="Largest strength λ.")] = 1.0,
    strengths: Annotated[int, typer.Option("--strengths", help="Number of strengths.")] = 32,
    first_load: Annotated[float, typer.Option("--load-from", help="Smallest load α = P/N.")] = 0.01,
    last_load: Annotated[float, typer.Option("--load-to", help="Largest load α.")] = 0.4,
    loads: Annotated[int, typer.Option("--loads", help="Number of loads.")] = 32,
    cue: CueOverlap = 0.7,
    units: Activations = Units.logcosh,
    beta: Steepness = 4.0,
    tau: Forgetting = 5.0,
    steps: Steps = 60,
    samples: Annotated[int, typer.Option("--samples", help="Paths of the theory, a power of two.")] = 2048,
    threshold: Threshold = 0.8,
    simulation: Annotated[bool, typer.Option("--simulation", help="Simulate networks instead of theory.")] = False,
    neurons: Annotated[int, typer.Option("--neurons", help="Neurons N of a simulated network.")] = 1000,
    networks: Annotated[int, typer.Option("--networks", help="Simulated networks that are averaged.")] = 1,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Bisections with other random numbers, whose spread is the error of α_max.")
    ] = 4,
    output: Output = Path("hopfield-sweep"),
    store: StoreAt = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    devices: Devices = None,
    executor: Executor = None,
    seed: Seed = 0,
) -> None:
    """Map how much is retrieved over load and strength of plasticity.

    A network that stores α N random patterns starts with overlap m₀ with one of them, while Hebbian plasticity of
    strength λ imprints what it does. The final overlap is found at every load and strength, and by bisection in the
    load the largest one at which the pattern is retrieved; without plasticity the stationary theory has α_c.

    Prints what was found and writes a figure (load.png), numbers (load.json) and the sweeps' stores (Zarr).

    \b
    Examples
      hopfield-jax sweep load
      hopfield-jax sweep load --dry-run
      hopfield-jax sweep load --simulation --neurons 2000
      hopfield-jax sweep load --cue 0.4 --strengths 64 --loads 64 --executor processes:4
    """
    from . import _sweep, _sweep_request

    with plain_errors():
        ways = _sweep_request.Ways(output, store, fresh, devices, executor, seed)
        request = _sweep.prepare_load(
            ways,
            strengths=(first_strength, last_strength, strengths),
            loads=(first_load, last_load, loads),
            cue=cue,
            units=units.value,
            beta=beta,
            tau=tau,
            steps=steps,
            samples=samples,
            threshold=threshold,
            simulation=simulation,
            neurons=neurons,
            networks=networks,
            repeats=repeats,
        )
    _run(request, dry_run)


@sweep.command()
def gains(
    first: FirstGain = 3.0,
    last: LastGain = 6.0,
    points: NumGains = 128,
    ratio: Annotated[
        list[float] | None,
        typer.Option(
            "--ratio",
            help="Ratio τ_f/τ_s of the time constants. May be repeated. Default: 0.01, 0.02 and 0.05.",
            show_default=False,
        ),
    ] = None,
    memories: Memories = 8,
    neurons: Neurons = 64,
    input_coupling: InputCoupling = 0.01,
    t1: ToEnd = 20.0,
    units: Activation = FastUnits.hardtanh,
    beta: Slope = None,
    output: Output = Path("hopfield-sweep"),
    store: StoreAt = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    devices: Devices = None,
    executor: Executor = None,
    seed: Seed = 0,
) -> None:
    """Find periods and collapses over the gain.

    Runs the network of `hopfield-jax sequence` at many gains κ and a few ratios τ_f/τ_s. Sequences that go on settle
    at a period, in the limit of fast neurons τ_s log Z+ from gain 4 on; the others collapse after some transitions.

    Prints what was found and writes a figure (gains.png), numbers (gains.json) and the sweep's store (Zarr).

    \b
    Examples
      hopfield-jax sweep gains
      hopfield-jax sweep gains --ratio 0.1 --ratio 0.005 --from 2
      hopfield-jax sweep gains --units tanh --beta 2 --points 64
    """
    from . import _sweep, _sweep_request

    with plain_errors():
        ways = _sweep_request.Ways(output, store, fresh, devices, executor, seed)
        request = _sweep.prepare_gains(
            ways,
            gains=(first, last, points),
            ratios=ratio or (0.01, 0.02, 0.05),
            memories=memories,
            neurons=neurons,
            input_coupling=input_coupling,
            t1=t1,
            units=units.value,
            beta=beta,
        )
    _run(request, dry_run)


@sweep.command()
def sequence(
    first: FirstGain = 2.5,
    last: LastGain = 6.0,
    points: NumGains = 8,
    memories: Annotated[
        list[int] | None,
        typer.Option(
            "--memories",
            "-p",
            help="Random memories P in a cycle. May be repeated. Default: 8, 16, 32 and 64.",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="How often memories are drawn.")] = 10,
    neurons: Annotated[int, typer.Option("--neurons", "-n", help="Neurons N.")] = 128,
    tau_fast: TauFast = 0.02,
    input_coupling: InputCoupling = 0.2,
    t1: ToEnd = 10.0,
    units: Activation = FastUnits.hardtanh,
    beta: Slope = None,
    output: Output = Path("hopfield-sweep"),
    store: StoreAt = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    devices: Devices = None,
    executor: Executor = None,
    seed: Seed = 0,
) -> None:
    """Find how many random memories can follow each other.

    Random memories overlap, by about 1/√N, which may push the network to a wrong one or to a memory's negative, or let
    the sequence collapse at gains at which orthogonal ones go on. A sequence succeeds if every transition until the
    end goes to the right memory with the right sign; its share is found over the gain κ and the number P of memories.

    Prints what was found and writes a figure (sequence.png), numbers (sequence.json) and the sweep's store (Zarr).

    \b
    Examples
      hopfield-jax sweep sequence
      hopfield-jax sweep sequence --input-coupling 0.05 -p 16 -p 32
      hopfield-jax sweep sequence --draws 32 --executor processes:4
    """
    from . import _sweep, _sweep_request

    with plain_errors():
        ways = _sweep_request.Ways(output, store, fresh, devices, executor, seed)
        request = _sweep.prepare_sequence(
            ways,
            gains=(first, last, points),
            memories=memories or (8, 16, 32, 64),
            draws=draws,
            neurons=neurons,
            tau_fast=tau_fast,
            input_coupling=input_coupling,
            t1=t1,
            units=units.value,
            beta=beta,
        )
    _run(request, dry_run)


def show(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", parser=local_path, help="Folder of a sweep's store, finished or not.")
    ],
    variable: Annotated[
        str | None, typer.Option("--variable", help="Output to draw. Default: the first number.", show_default=False)
    ] = None,
    x: Annotated[str | None, typer.Option("--x", help="Axis of the figure.", show_default=False)] = None,
    y: Annotated[
        str | None, typer.Option("--y", help="Its other axis; of one alone a curve is drawn.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File of the figure. Default: STORE's name with .png.",
            show_default=False,
            parser=local_path,
        ),
    ] = None,
) -> None:
    """Describe the store of a sweep and draw it.

    Prints its axes, outputs, points by status, results by code, and where and when it was made. The store of a `sweep`
    command gives that command's figure, any other one a map or a curve of one output.

    \b
    Examples
      hopfield-jax show hopfield-sweep/load.zarr
      hopfield-jax show hopfield-sweep/sequence.zarr --variable correct --x gain --y memories
    """
    from . import _present_sweep

    with plain_errors():
        files = _present_sweep.show(store, typer.echo, variable=variable, x=x, y=y, output=output)
    say_where(files)


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.add_typer(sweep, name="sweep")
    app.command()(show)


def _run(request: Any, dry_run: bool) -> None:
    from . import _present_sweep

    with plain_errors():
        if dry_run:
            for line in (*_present_sweep.describe_request(request), "", *_present_sweep.describe_plan(request)):
                typer.echo(line)
            return
        try:
            files = _present_sweep.run_and_report(request, typer.echo)
        except KeyboardInterrupt:
            for line in _present_sweep.describe_interruption(request):
                typer.echo(line, err=True)
            raise typer.Exit(130) from None
        except (OSError, MemoryError, RuntimeError) as error:
            if not str(error).startswith("`"):  # only what the sweep itself says is meant to be read without more
                raise
            typer.echo(f"hopfield-jax: {error}", err=True)
            raise typer.Exit(1) from None
    say_where(files)
