"""The commands of tuning, `hopfield-jax tune …`."""

from pathlib import Path
from typing import Annotated

import typer

from ._options import (
    Activation,
    Activations,
    CueOverlap,
    FastUnits,
    Forgetting,
    InputCoupling,
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

tune = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@tune.callback()
def about() -> None:
    """Find parameters by gradients.

    \b
    Begin with
      hopfield-jax tune gain
      hopfield-jax tune strength
    """


@tune.command()
def gain(
    period: Annotated[
        list[float] | None,
        typer.Option(
            "--period",
            help="Wanted time between two memories. May be repeated. Default: 1, 1.5 and 2.",
            show_default=False,
        ),
    ] = None,
    points: NumGains = 31,
    memories: Memories = 8,
    neurons: Neurons = 64,
    tau_fast: TauFast = 0.01,
    tau_slow: TauSlow = 1.0,
    input_coupling: InputCoupling = 0.01,
    units: Activation = FastUnits.hardtanh,
    beta: Slope = None,
    output: Output = Path("hopfield-tune"),
) -> None:
    """Find the gain that gives a wanted interval.

    For infinitely fast neurons the gain of period T (in units of τ_s) is e^2T/(e^T - 1), from T = log 2 on. From there
    Newton's method, with the derivative of the times of the switches, finds that of the network itself. A period that
    the network does not have, because its sequences collapse before they are as quick, is said to be so.

    Prints what was found and writes a figure (gain.png: period against gain, the limit, the gains found) and numbers
    (gain.json).

    \b
    Examples
      hopfield-jax tune gain
      hopfield-jax tune gain --period 1.2 --tau-fast 0.002
      hopfield-jax tune gain --period 0.8 --period 1 --memories 4
    """
    from . import _tune_gain

    with plain_errors():
        request = _tune_gain.prepare_gain(
            output=output,
            periods=period or (1.0, 1.5, 2.0),
            points=points,
            memories=memories,
            neurons=neurons,
            tau_fast=tau_fast,
            tau_slow=tau_slow,
            input_coupling=input_coupling,
            units=units.value,
            beta=beta,
        )
    say_where(_tune_gain.run_and_report_gain(request, typer.echo))


@tune.command()
def strength(
    load: Load = 0.1,
    cue: CueOverlap = 0.5,
    units: Activations = Units.logcosh,
    beta: Steepness = 4.0,
    tau: Forgetting = 5.0,
    lower: Annotated[float, typer.Option("--from", help="Smallest strength λ.")] = 0.0,
    upper: Annotated[float, typer.Option("--to", help="Largest strength λ.")] = 2.0,
    steps: Steps = 19,
    samples: Samples = 8192,
    repeats: Annotated[int, typer.Option("--repeats", help="Randomisations, whose spread is the error.")] = 4,
    seed: Seed = 0,
    output: Output = Path("hopfield-tune"),
) -> None:
    """Find the strength of plasticity with which a cue retrieves most.

    Mean-field theory and its derivative at a few strengths, then between the neighbours of the best; the maximum of the
    curve through them, and which strengths are as good within errors. Where plasticity imprints the cue, derivatives
    along a path miss the paths that jump to another state: the card says by how much.

    Prints what was tried and writes a figure (strength.png) and numbers (strength.json).

    \b
    Examples
      hopfield-jax tune strength
      hopfield-jax tune strength --load 0.05 --cue 0.2 --beta 6 --tau 10
      hopfield-jax tune strength --load 0.12 --cue 0.4 --to 4
    """
    from . import _tune_strength

    with plain_errors():
        request = _tune_strength.prepare_strength(
            output=output,
            lower=lower,
            upper=upper,
            repeats=repeats,
            units=units.value,
            load=load,
            cue=cue,
            beta=beta,
            tau=tau,
            steps=steps,
            samples=samples,
            seed=seed,
        )
    say_where(_tune_strength.run_and_report_strength(request, typer.echo))


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.add_typer(tune, name="tune")
