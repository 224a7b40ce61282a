"""Options that several commands have, and what all commands do with errors and files."""

import contextlib
import enum
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core


class Units(enum.StrEnum):
    logcosh = "logcosh"
    hardtanh = "hardtanh"
    erf = "erf"
    sign = "sign"
    glauber = "glauber"


class FastUnits(enum.StrEnum):
    hardtanh = "hardtanh"
    tanh = "tanh"
    erf = "erf"


def local_path(text: str | Path) -> Path:
    """A path of this machine; `~` is the home folder (the shell knows that only at the start of a word)."""
    if "://" in str(text):
        raise typer.BadParameter(f"expected a path of this machine, got the address {text}.")
    return Path(os.path.expanduser(text))


# Of every command.
Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="Folder for figures and numbers.", parser=local_path),
]
# JAX takes 32 bits of a seed.
Seed = Annotated[int, typer.Option("--seed", max=2**32 - 1, help="Of all that is random.")]
# Of retrieval with plastic synapses.
Activations = Annotated[
    Units,
    typer.Option(
        "--units",
        help="Activation φ(x). logcosh: tanh(βx); hardtanh: βx clipped to [-1, 1]; erf: error function of slope β; "
        "sign: binary; glauber: binary with thermal noise.",
    ),
]
Steepness = Annotated[float, typer.Option("--beta", help="Slope or inverse temperature β; sign has none.")]
Load = Annotated[float, typer.Option("--load", help="Load α = P/N: patterns per neuron.")]
CueOverlap = Annotated[float, typer.Option("--cue", help="Overlap m₀ of the cue with the pattern.")]
Forgetting = Annotated[
    float, typer.Option("--tau", help="Time τ in which synapses forget, in units of the neurons' time constant.")
]
Steps = Annotated[int, typer.Option("--steps", help="Number of steps.")]
Samples = Annotated[int, typer.Option("--samples", help="Paths of each randomisation of the theory, a power of two.")]
Threshold = Annotated[float, typer.Option("--threshold", help="Final overlap that counts as retrieved.")]
# Of sequences.
Memories = Annotated[int, typer.Option("--memories", "-p", help="Memories P, rows of a Hadamard matrix.")]
Neurons = Annotated[int, typer.Option("--neurons", "-n", help="Neurons N, a power of two.")]
TauFast = Annotated[float, typer.Option("--tau-fast", help="Time constant τ_f of the neurons.")]
InputCoupling = Annotated[
    float,
    typer.Option("--input-coupling", help="How much ε of the slow state enters the neurons; 0: nobody follows."),
]
TauSlow = Annotated[float, typer.Option("--tau-slow", help="Time constant τ_s of the reasoning state.")]
End = Annotated[float, typer.Option("--t1", help="End, in the units of the time constants.")]
Activation = Annotated[
    FastUnits, typer.Option("--units", help="Activation ψ(x). hardtanh: x clipped to [-1, 1]; tanh(βx); erf(βx).")
]
Slope = Annotated[float | None, typer.Option("--beta", help="Slope β of tanh and erf. Default: 1.", show_default=False)]
FirstGain = Annotated[float, typer.Option("--from", help="Smallest gain κ.")]
LastGain = Annotated[float, typer.Option("--to", help="Largest gain κ.")]
NumGains = Annotated[int, typer.Option("--points", help="Number of gains.")]


def say_where(files: Sequence[Path]) -> None:
    typer.echo("Figures and numbers")
    for path in files:
        typer.echo(f"  {path}")


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turns what the library says into one line: of the user's input with exit code 2, of a run that failed with 1.
    Other errors are faults of the program and keep their traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort):  # which are errors of the run to Python
        raise
    except ValueError as error:
        typer.echo(f"hopfield-jax: {error}", err=True)
        raise typer.Exit(2) from None
    except (MemoryError, RuntimeError) as error:
        said = next((line for line in str(error).splitlines() if line.strip()), "out of memory")
        ours = said.startswith("`") or type(error).__name__ == "EquinoxRuntimeError"  # without importing it for --help
        if not ours and not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in said:
            raise
        typer.echo(f"hopfield-jax: {said}", err=True)
        raise typer.Exit(1) from None


class PlainGroup(typer.core.TyperGroup):
    """The commands, none of which shows an error of the library as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        with plain_errors():
            return super().invoke(ctx)
