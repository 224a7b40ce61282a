"""The commands of tuning, `hopfield-jax tune …`."""

from pathlib import Path
from typing import Annotated

import typer

from ._options import (
    Activation,
    FastUnits,
    InputCoupling,
    Memories,
    Neurons,
    NumGains,
    Slope,
    TauFast,
    plain_errors,
    say_where,
)

tune = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@tune.callback()
def about() -> None:
    """Find parameters with which a network does what is wanted, by gradients.

    \b
    Begin with
      hopfield-jax tune gain
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
    tau_slow: Annotated[float, typer.Option("--tau-slow", help="Time constant τ_s of the reasoning state.")] = 1.0,
    input_coupling: InputCoupling = 0.01,
    units: Activation = FastUnits.hardtanh,
    beta: Slope = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figure and numbers.")] = Path(
        "hopfield-tune"
    ),
) -> None:
    """Find the gain at which memories follow each other at a wanted interval.

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
    from . import _tune

    with plain_errors():
        request = _tune.prepare_gain(
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
    say_where(_tune.run_and_report_gain(request, typer.echo))


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.add_typer(tune, name="tune")
