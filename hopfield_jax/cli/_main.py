"""The commands. Each is imported when it is called, so that `--help` is quick."""

import importlib
import inspect
from typing import Annotated, Any

import typer
import typer.core

from ._cache import keep_programs

COMMANDS = {
    "retrieve": "Store images, corrupt them, retrieve them.",
    "dmft": "Retrieve with plastic synapses, in theory and simulation.",
    "theory": "Say what closed theories predict, and which of them apply.",
    "sequence": "Let memories follow each other; see when and how it ends.",
    "gains": "Find the gains at which memories follow each other for ever.",
    "show": "Describe the store of a sweep and draw it.",
    "demo": "Run a tour of everything; leaves figures.",
    "doctor": "Describe this machine and installation.",
    "sweep load": "Map how much is retrieved over load and strength of plasticity.",
    "sweep gains": "Find periods and collapses over the gain.",
    "sweep sequence": "Find how many random memories can follow each other.",
    "tune gain": "Find the gain that gives a wanted interval.",
    "tune strength": "Find the strength of plasticity with which a cue retrieves most.",
}
"""The first line of each one's help. `tune gain` is `TuneGain` of `_tune_gain`, whose docstring is the rest."""

# Plain messages: without rich's boxes they can be copied, searched and read by scripts.
_PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


class Commands(typer.core.TyperGroup):
    """Commands of which only the first line of their help is known until one is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        path = str(name) if ctx.parent is None else f"{ctx.info_name} {name}"
        return name, load(path) if path in COMMANDS else command, rest


def load(path: str) -> Any:
    """The command with its options."""
    from ._command import as_function

    module = importlib.import_module(f".{'_'.join(['', *path.split()])}", __package__)
    command = getattr(module, path.title().replace(" ", ""))
    one = typer.Typer(**_PLAIN)
    one.command(path.split()[-1], help=f"{COMMANDS[path]}\n\n{inspect.getdoc(command)}")(as_function(command))
    return typer.main.get_command(one)


def _show_version(wanted: bool) -> bool:
    if wanted:
        from ._report import versions

        typer.echo(f"hopfield-jax {versions()['hopfield-jax']}")
        raise typer.Exit()
    return wanted


def _keep_programs(off: bool) -> bool:
    keep_programs(not off)
    return off


app = typer.Typer(cls=Commands, no_args_is_help=True, **_PLAIN)
sweep = typer.Typer(cls=Commands, no_args_is_help=True, **_PLAIN)
tune = typer.Typer(cls=Commands, no_args_is_help=True, **_PLAIN)
for _path, _line in COMMANDS.items():
    _group = {"sweep": sweep, "tune": tune}.get(_path.split()[0], app)
    _group.command(_path.split()[-1], help=_line)(lambda: None)


@app.callback()
def hopfield_jax(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            callback=_keep_programs,
            is_eager=True,
            help="Keep no compiled programs for the next command (`doctor` says where they are).",
        ),
    ] = False,
) -> None:
    """Hopfield networks in JAX: stored memories come back from corrupted cues.

    \b
    Begin with
      hopfield-jax demo
    """


@sweep.callback()
def about_sweeps() -> None:
    """Compute a model at every point of a grid.

    Finished blocks are kept; a command that was stopped goes on where it was when it is given again.

    \b
    Begin with
      hopfield-jax sweep load
    """


@tune.callback()
def about_tuning() -> None:
    """Find parameters by gradients.

    \b
    Begin with
      hopfield-jax tune gain
      hopfield-jax tune strength
    """


app.add_typer(sweep, name="sweep")
app.add_typer(tune, name="tune")
