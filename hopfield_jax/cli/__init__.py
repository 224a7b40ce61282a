"""The command `hopfield-jax`: parses, calls a verb, saves, plots."""

import os
import sys


def main() -> None:
    """Runs the command line; says what to install where its libraries are missing, and what the system refused."""
    os.environ["MPLBACKEND"] = "agg"  # figures go to files: a notebook's or a desktop's choice is none of ours
    try:
        from ._main import app

        app(prog_name="hopfield-jax")
    except ModuleNotFoundError as error:
        sys.exit(f"hopfield-jax: {error.name} is missing; the command line needs `pip install 'hopfield-jax[cli]'`.")
    except OSError as error:  # a full disk, say; a reader that has gone (`| head`) is no error to Typer
        sys.exit(f"hopfield-jax: {error}")
