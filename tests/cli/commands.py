"""Calls of the command line, in this process, and what all of them leave."""

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from hopfield_jax.cli._main import app


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def options(**given):
    named = ((name.replace("_", "-"), value) for name, value in given.items() if value is not None)
    return [x for name, value in named for x in (f"--{name}", value)]


def run(command, *arguments, **given):
    """What a command printed."""
    result = call(*command.split(), *arguments, *options(**given))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def check_figure(path):
    with Image.open(path) as image:
        assert min(image.size) > 300 and len(set(np.asarray(image.convert("L")).ravel())) > 20


def check_files(printed, out, command, *names):
    """That these files are there, named, and can be read; returns what was recorded."""
    assert {path.name for path in out.iterdir()} == set(names)
    for name in names:
        assert str(out / name) in printed
        if name.endswith(".png"):
            check_figure(out / name)
    (record,) = (name for name in names if name.endswith(".json"))
    saved = json.loads((out / record).read_text())
    assert saved["command"] == f"hopfield-jax {command}" and saved["dtype"] == "float32" and saved["seconds"]
    assert saved["versions"]["jax"] and saved["device"].startswith("cpu") and "Compilation and run" in printed
    return saved
