"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

import time
from pathlib import Path
from typing import Annotated

import typer

from . import _main_retrieval, _main_sequential, _main_sweep, _main_tune
from ._options import Output, PlainGroup, plain_errors, say_where

# Plain messages: without rich's boxes they can be copied, searched and read by scripts.
app = typer.Typer(
    cls=PlainGroup, add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)


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


for commands in (_main_retrieval, _main_sequential, _main_sweep, _main_tune):
    commands.add_to(app)


@app.command()
def demo(
    output: Output = Path("hopfield-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer draws: larger errors, sooner done.")] = False,
) -> None:
    """Run a tour of everything; leaves figures.

    Stored digits come back from corrupted ones while the energies fall; mean-field theory meets simulation, with fixed
    and with plastic synapses; memories follow each other, for ever or until they collapse; a map says how much is
    retrieved at any load and strength of plasticity, and gradients say which strength is best.

    It takes about a minute on two cores, most of it for compilation.

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
