"""What a command is: a frozen dataclass. Its fields are the options, an instance is the checked request, and the
instance is recorded with the results."""

import abc
import contextlib
import dataclasses
import enum
import inspect
import os
import re
import tempfile
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import jax
import numpy as np
import typer

from .._checks import Rules, fail
from .._misc import default_float
from ._report import save_json, versions


def local_path(text: str | Path) -> Path:
    """A path of this machine; `~` is the home folder (the shell knows that only at the start of a word)."""
    if "://" in str(text):
        raise typer.BadParameter(f"expected a path of this machine, got the address {text}.")
    return Path(os.path.expanduser(text))


def default_of(function: Callable[..., Any], argument: str) -> Any:
    """The default of an argument of the library, which is the option's as well."""
    return inspect.signature(function).parameters[argument].default


Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for figures and numbers.", parser=local_path)
]  # fmt: skip
# JAX takes 32 bits of a seed.
Seed = Annotated[int, typer.Option(help="Of all that is random.", min=0, max=2**32 - 1)]


def fits(argument: str, what: str, needed: int | float, limit: float) -> None:
    """Raises where more bytes are needed than may be taken."""
    if needed > limit:
        fail(argument, f"{what} {limit / 2**30:g} GiB of memory", f"{needed / 2**30:.3g} GiB")


class AbstractCommand(abc.ABC):
    """A command that computes something. Subclasses are frozen dataclasses; their docstring is the help text below the
    line in `_main.COMMANDS`.

    A field is an option of the same name with `-` for `_`, or a positional argument if it is annotated as one; a tuple
    is an option that may be repeated. `__post_init__` raises `ValueError` for what is wrong. Its message names the
    field or an argument of the library, and is shown with the name of the option.
    """

    output: Path
    not_recorded: ClassVar[tuple[str, ...]] = ("output",)

    @abc.abstractmethod
    def about(self) -> Iterable[str]:
        """What is computed, for people."""

    @abc.abstractmethod
    def compute(self) -> Any:
        """What is found."""

    @abc.abstractmethod
    def describe(self, found: Any) -> Iterable[str]:
        """What was found, for people."""

    @abc.abstractmethod
    def files(self, found: Any) -> Iterator[tuple[str | Path, Any]]:
        """Names and contents of the files: a figure, arrays by name (.npz), or what is recorded beside the request
        (.json; `parameters` are added to its own). A path without contents is one that is there already."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that decide the numbers."""
        names = [field.name for field in dataclasses.fields(cast(Any, self))]
        return {name: getattr(self, name) for name in names if name not in self.not_recorded}

    def spaced(self, lower: str, upper: str, count: str, domain: str = "positive") -> np.ndarray:
        """The numbers from one field to another, as many as a third says."""
        first, last = (getattr(self, name) for name in (lower, upper))
        for name, value in ((lower, first), (upper, last)):
            Rules().real(name, value, domain)
        if last <= first:
            fail(upper, f"a number above --{lower.replace('_', '-')} = {first:g}", f"{last:g}")
        return np.linspace(first, last, getattr(self, count), dtype=default_float())

    def run(self, echo: Callable[[str], None]) -> list[Path]:
        """Says what it does, does it, says what it found, and writes the files, whose paths are returned."""
        writable_folder(self.output)
        for line in (*self.about(), ""):
            echo(line)
        started = time.perf_counter()
        found = self.compute()
        seconds = time.perf_counter() - started
        for line in (*self.describe(found), f"Compilation and run {seconds:.1f} s.", ""):
            echo(line)
        paths = []
        for name, content in self.files(found):
            paths.append(path := name if isinstance(name, Path) else self.output / name)
            if path.suffix == ".json":
                self._record(path, content, seconds)
            elif content is not None:
                write(path, content)
        return paths

    def _record(self, path: Path, content: Mapping[str, Any], seconds: float) -> None:
        device = jax.devices()[0]
        parameters = self.parameters | dict(content.get("parameters", {}))
        about = {"command": f"hopfield-jax {name_of(type(self))}", **content, "parameters": parameters}
        where = {"versions": versions(), "device": f"{device.platform}, {device.device_kind}"}
        save_json(path, {"seconds": seconds} | about | where | {"dtype": str(default_float())})


def write(path: Path, content: Any) -> None:
    """Writes a figure, or arrays by name."""
    if isinstance(content, Mapping):
        np.savez_compressed(path, **{name: np.asarray(x) for name, x in content.items()})  # pyright: ignore[reportArgumentType]
    else:
        content.savefig(path, dpi=150)


def writable_folder(folder: Path) -> None:
    """Makes the folder where it is not there; raises `ValueError` where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fail("output", "a folder that can be written", f"{folder} ({error.strerror or error})")


# --- from a dataclass to the command line ---


def name_of(command: type) -> str:
    """As the user calls it: `tune gain` of `TuneGain`."""
    return re.sub("(?<!^)(?=[A-Z])", " ", command.__name__).lower()


def as_function(command: Any) -> Callable[..., None]:
    """A dataclass with a method `run(echo)` as a function of its options, for Typer: its own ones come before those
    that it shares with other commands."""
    hints = typing.get_type_hints(command, include_extras=True)
    order = list(dict.fromkeys(name for kind in command.__mro__ for name in inspect.get_annotations(kind)))
    last = ("seed", "output")
    fields = sorted(dataclasses.fields(command), key=lambda x: (x.name in last, order.index(x.name)))

    def call(**given: Any) -> None:
        with plain_errors(hints):
            options = {name: tuple(x) if isinstance(x, list) else x for name, x in given.items()}
            paths = command(**options).run(typer.echo)
        for line in ("Figures and numbers", *(f"  {path}" for path in paths)) if paths else ():
            typer.echo(line)

    call.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
                annotation=_as_list(hints[field.name]),
            )
            for field in fields
        ]
    )
    return call


def _as_list(hint: Any) -> Any:
    """Typer's type of an option that may be repeated, whose choices are to be an enumeration."""
    kind, *more = typing.get_args(hint)
    if typing.get_origin(kind) is not tuple:
        return hint
    item = typing.get_args(kind)[0]
    if typing.get_origin(item) is typing.Literal:
        item = enum.StrEnum("Choice", {x: x for x in typing.get_args(item)})
    return Annotated[(list[item], *more)]


@contextlib.contextmanager
def plain_errors(hints: Mapping[str, Any]) -> Iterator[None]:
    """Turns what the library says into one line: of the user's input with exit code 2, of a run that failed with 1.
    Other errors are faults of the program and keep their traceback. `hints`: the fields of the command."""
    try:
        yield
    except (typer.Exit, typer.Abort):  # which are errors of the run to Python
        raise
    except ValueError as error:
        typer.echo(f"hopfield-jax: {as_options(str(error), hints)}", err=True)
        raise typer.Exit(2) from None
    except (MemoryError, RuntimeError) as error:
        said = next((line for line in str(error).splitlines() if line.strip()), "out of memory")
        ours = said.startswith("`") or type(error).__name__ == "EquinoxRuntimeError"
        if not ours and not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in said:
            raise
        typer.echo(f"hopfield-jax: {as_options(said, hints)}", err=True)
        raise typer.Exit(1) from None


def as_options(message: str, hints: Mapping[str, Any]) -> str:
    """A message that names an argument names the option for it: the one of its name, else the only one that ends with
    it (`SpinCue.overlap` is `--cue-overlap`)."""

    def renamed(match: re.Match[str]) -> str:
        names = [name for name in hints if name == match[1]] or [x for x in hints if x.endswith(f"_{match[1]}")]
        if len(names) != 1:
            return match[0]
        if any(isinstance(x, typer.models.ArgumentInfo) for x in typing.get_args(hints[names[0]])):
            return f"`{names[0].upper()}{match[2]}`"
        return f"`--{names[0].replace('_', '-')}{match[2]}`"

    return re.sub(r"^`(?:\w+\.)*(\w+)([^`]*)`", renamed, message)
