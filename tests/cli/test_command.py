"""What all commands share: help, options of the names of arguments, what they refuse and how they fail."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

import hopfield_jax as hj
from cli.commands import call, options, run
from hopfield_jax.cli import _command, _main
from hopfield_jax.cli._demo import PARTS, Demo
from hopfield_jax.cli._dmft import Dmft
from hopfield_jax.cli._retrieve import Retrieve
from hopfield_jax.cli._sweep_load import SweepLoad


@pytest.mark.parametrize("command", ["", "sweep", "tune", *_main.COMMANDS])
def test_help_teaches(command):
    text = run(command, "--help")
    assert re.search(rf"(Begin with|Examples?)\n +hopfield-jax {command}", text) and "  --help" in text
    if "Commands:" in text:  # nothing said of a command is cut at 80 columns
        assert "..." not in text.split("Commands:")[1]
    else:
        assert _main.COMMANDS[command] in text


def test_help_imports_no_command(monkeypatch):
    monkeypatch.setattr(_main, "load", lambda path: pytest.fail(f"it imported {path}"))
    for group in ("", "sweep", "tune"):
        assert "Commands:" in run(group, "--help")


def test_the_version_is_shown():
    assert re.fullmatch(r"hopfield-jax \S.*\n", run("--version"))


def test_options_are_named_as_arguments_and_have_their_defaults():
    text = " ".join(run("dmft", "--help").split())
    for name in ("num_samples", "num_shifts"):
        assert f"--{name.replace('_', '-')} <int" in text
        assert f"default: {_command.default_of(hj.dmft.solve, name)}" in text
    assert Dmft().num_samples == _command.default_of(hj.dmft.solve, "num_samples")


# --- what is refused ---

BAD = [
    ("retrieve", {"num_patterns": 0}, "at least 2", "0"),
    ("retrieve", {"num_patterns": 1798}, "at most 1797", "1798"),
    ("retrieve", {"amount": 1.1}, "within [0, 1]", "1.1"),
    ("retrieve", {"amount": "nan"}, "within [0, 1]", "nan"),
    ("retrieve", {"amount": -0.5, "corruption": "noise"}, "not negative", "-0.5"),
    ("retrieve", {"beta": 0}, "positive", "0"),
    ("retrieve", {"threshold": 2}, "within [-1, 1]", "2"),
    ("retrieve", {"size": 16}, "image files", "16"),
    ("dmft", {"load": 0}, "finite and positive", "0"),
    ("dmft", {"load": "nan"}, "finite and positive", "nan"),
    ("dmft", {"cue_overlap": 1.2}, "a number in [-1, 1]", "1.2"),
    ("dmft", {"beta": -1}, "finite and positive", "-1"),
    ("dmft", {"strength": "inf"}, "finite", "inf"),
    ("dmft", {"tau": 0}, "finite and positive", "0"),
    ("dmft", {"tau": 0.5}, "at least dt = 1", "0.5"),
    ("dmft", {"dt": 1.5}, "a step in (0, 1]", "1.5"),
    ("dmft", {"dt": 0.5, "units": "glauber"}, "1 with Glauber units", "0.5"),
    ("dmft", {"num_steps": 0}, "at least 1", "0"),
    ("dmft", {"num_samples": 1000}, "a power of two", "1000"),
    ("dmft", {"num_samples": 2**30}, "24 GiB", "GiB"),
    ("dmft", {"num_neurons": 1}, "at least 2", "1"),
    ("dmft", {"num_neurons": 10**6}, "24 GiB", "GiB"),
    ("dmft", {"num_neurons": 150_000}, "24 GiB", "40.3 GiB"),  # 4 bytes · 150000 · (4 · 18000 + 20 · 4)
    ("theory", {"load": -1}, "positive", "-1"),
    ("theory", {"cue_overlap": 2}, "a number in [-1, 1]", "2"),
    ("theory", {"num_steps": 0}, "at least 1", "0"),
    ("tune strength", {"upper": -1}, "a strength above --lower 0", "-1"),
    ("tune strength", {"load": 0}, "positive", "0"),
    ("tune strength", {"num_samples": 100}, "a power of two", "100"),
    ("sequence", {"gain": 0}, "finite and positive", "0"),
    ("sequence", {"gain": "nan"}, "finite and positive", "nan"),
    ("sequence", {"num_patterns": 128}, "at most 64", "128"),
    ("sequence", {"num_patterns": 10**6}, "8 GiB", "GiB"),
    ("gains", {"num_neurons": 12}, "a power of two", "12"),
    ("gains", {"tau_fast": 0}, "finite and positive", "0"),
    ("sequence", {"tau_slow": -1}, "finite and positive", "-1"),
    ("sequence", {"input_coupling": -0.1}, "not negative", "-0.1"),
    ("sequence", {"saliency": "inf"}, "finite", "inf"),
    ("gains", {"t1": 0}, "finite and positive", "0"),
    ("sequence", {"t1": 1e9}, "8 GiB", "GiB"),
    ("gains", {"t1": 1e5, "noise_fast": 0.1}, "8 GiB", "GiB"),
    ("sequence", {"beta": 2}, "units whose slope can be set", "2 with hardtanh"),
    ("sequence", {"beta": 0, "units": "tanh"}, "finite and positive", "0"),
    ("sequence", {"noise_fast": -1}, "not negative", "-1"),
    ("gains", {"noise_slow": "nan"}, "not negative", "nan"),
    ("gains", {"lower": 0}, "finite and positive", "0"),
    ("gains", {"upper": 2}, "a number above --lower = 3", "2"),
    ("gains", {"upper": "inf"}, "finite and positive", "inf"),
    ("tune gain", {"period": -1}, "positive", "-1"),
    ("tune gain", {"period": 1, "--period": 1}, "every period once", "[1.0, 1.0]"),
    ("tune gain", {"tau_fast": 0}, "positive", "0"),
    ("sweep load", {"upper_strength": -1}, "above --lower-strength", "-1"),
    ("sweep load", {"lower_strength": "nan"}, "finite", "nan"),
    ("sweep load", {"lower_load": -0.1}, "positive", "-0.1"),
    ("sweep load", {"cue_overlap": 1.5}, "a number in [-1, 1]", "1.5"),
    ("sweep load", {"beta": 0}, "positive", "0"),
    ("sweep load", {"tau": -1}, "positive", "-1"),
    ("sweep load", {"num_steps": 0}, "at least 1", "0"),
    ("sweep load", {"num_samples": 100}, "a power of two", "100"),
    ("sweep load", {"num_samples": 2**29}, "GiB", "GiB"),
    ("sweep load", {"threshold": 2}, "[0, 1]", "2"),
    ("sweep gains", {"lower": 0}, "positive", "0"),
    ("sweep gains", {"upper": 1}, "above --lower = 3", "1"),
    ("sweep gains", {"tau_fast": 0}, "positive", "0"),
    ("sweep gains", {"num_patterns": 128}, "at most 64", "128"),
    ("sweep gains", {"num_neurons": 12}, "a power of two", "12"),
    ("sweep gains", {"beta": 2}, "units whose slope can be set", "2 with hardtanh"),
    ("sweep gains", {"t1": 0}, "positive", "0"),
    ("sweep gains", {"t1": 1e9}, "GiB", "GiB"),
    ("sweep gains", {"input_coupling": -1}, "not negative", "-1"),
    ("sweep sequence", {"tau_fast": 0}, "positive", "0"),
    ("sweep sequence", {"devices": 999}, "the devices that JAX sees", "999"),
    ("sweep gains", {"executor": "threads"}, "processes:N or dask:ADDRESS", "threads"),
    ("sweep gains", {"executor": "processes:0"}, "at least 1", "0"),
    ("sweep gains", {"executor": "processes:some"}, "processes:N", "some"),
    *((command, {"output": "file"}, "a folder that can be written", "file") for command in ("dmft", "sweep gains")),
    ("retrieve", {"output": "file/below"}, "a folder that can be written", "file/below"),
    ("demo", {"output": "file"}, "a folder that can be written", "file"),
]


@pytest.mark.parametrize("command, given, expected, got", BAD)
@pytest.mark.fault("wrong input to the command line")
def test_bad_input_is_one_clear_line(command, given, expected, got, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    arguments = [x for name, value in given.items() for x in (f"--{name.strip('-').replace('_', '-')}", value)]
    result = call(*command.split(), *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    message, _, what_was_got = result.stderr.partition(", got ")
    assert message.startswith(f"hopfield-jax: `{arguments[0]}")
    assert "`: expected " in message and expected in message and got in what_was_got


# What the parser refuses, in its own words.
SMALL = [
    ("retrieve", "size", 1),
    ("retrieve", "power", 1),
    ("retrieve", "num_draws", 0),
    ("dmft", "num_shifts", 1),
    ("dmft", "num_trials", 1),
]
SMALL += [("sequence", "num_patterns", 1), ("gains", "num_gains", 1), ("tune gain", "num_gains", 1)]
SMALL += [("tune strength", "num_repeats", 1), ("sweep load", "num_loads", 1), ("sweep sequence", "num_patterns", 1)]
SMALL += [("sweep load", "num_trials", 0), ("sweep sequence", "num_draws", 0), ("sweep gains", "devices", 0)]
CHOICES = [("retrieve", "corruption", "rust"), ("retrieve", "network", "tree"), ("retrieve", "num_draws", "many")]
CHOICES += [("dmft", "units", "tanh"), ("dmft", "num_steps", "many"), ("sequence", "units", "relu")]
CHOICES += [("sequence", "transitions", "tree"), ("sequence", "num_patterns", "many")]
SEEDS = [("retrieve", "seed", 2**32), ("dmft", "seed", 2**63), ("sweep load", "seed", 2**63), ("gains", "seed", -1)]


@pytest.mark.parametrize("command, name, value", [*SMALL, *CHOICES, *SEEDS])  # JAX makes 0 of the seed 2^32
@pytest.mark.fault("wrong input to the command line")
def test_values_out_of_range_are_refused(command, name, value, tmp_path):
    result = call(*command.split(), *options(**{name: value}, output=tmp_path / "out"))
    assert result.exit_code == 2 and f"--{name.replace('_', '-')}'" in result.stderr
    assert "Invalid value" in result.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["sweep load --store", "sweep load --output", "show", "retrieve"])
def test_addresses_are_not_taken_for_folders(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = call(*command.split(), "memory://x")
    assert result.exit_code == 2 and "a path of this machine, got the address memory://x" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_command.AbstractCommand, "run", lambda self, echo: asked.append(self) or [])
    np.save(tmp_path / "a.npy", np.arange(12).reshape(3, 4) ** 2)
    run("retrieve", "~/a.npy", "--output=~/out")
    run("sweep load", "--store=~/s", "--output", "~/sweep")
    assert asked[0].output == tmp_path / "out" and asked[0].sources == (tmp_path / "a.npy",)
    assert {stage.store.parent for stage in asked[1].stages()} == {tmp_path} and asked[1].output == tmp_path / "sweep"


# --- how a run fails ---


@pytest.mark.parametrize("command", ["dmft", "sweep load"])
@pytest.mark.parametrize(
    "error, code",
    [
        (ValueError("`max_bytes`: expected less, got more."), 2),
        (MemoryError("`memory`: not even one point fits."), 1),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory."), 1),
        (eqx.EquinoxRuntimeError("\nThe run went wrong.\n\nA long stack."), 1),
    ],
)
@pytest.mark.fault("wrong input to the command line")
def test_what_the_library_says_of_a_run_is_one_line(error, code, command, tmp_path, monkeypatch):
    def compute(*_):
        raise error

    monkeypatch.setattr(Dmft, "compute", compute)
    monkeypatch.setattr(SweepLoad, "compute", compute)
    result = call(*command.split(), "--num-steps", 3, "-o", tmp_path)
    first = next(line for line in str(error).splitlines() if line)
    assert (result.exit_code, result.stderr) == (code, f"hopfield-jax: {first}\n")


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch):
    def compute(*_):
        raise RuntimeError("not meant for users")

    monkeypatch.setattr(Dmft, "compute", compute)
    result = call("dmft", "--num-steps", 3, "-o", tmp_path)
    assert isinstance(result.exception, RuntimeError) and str(result.exception) == "not meant for users"


@pytest.mark.parametrize(
    "said, shown",
    [
        ("`SpinCue.overlap`: expected", "`--cue-overlap`: expected"),
        ("`load`: expected", "`--load`: expected"),
        ("`amount (of half)`: expected", "`--amount (of half)`: expected"),
        ("`tolerance`: expected", "`tolerance`: expected"),  # no option
        ("`steps`: expected `load`", "`--num-steps`: expected `load`"),
        ("`sources`: expected", "`SOURCES`: expected"),
    ],
)
def test_messages_name_the_option(said, shown):
    hints: dict[str, Any] = dict.fromkeys(("cue_overlap", "load", "amount", "num_steps"))
    hints["sources"] = Retrieve.__annotations__["sources"]
    assert _command.as_options(said, hints) == shown


@pytest.mark.fault("wrong input to the command line")
def test_the_backend_of_a_notebook_does_not_matter(tmp_path):
    hj.sweep.run(lambda x: {"y": x}, hj.sweep.Grid(x=[0.0, 1.0]), store=tmp_path / "s.zarr")
    code = f"import sys; sys.argv = ['hopfield-jax', '--no-cache', 'show', {str(tmp_path / 's.zarr')!r}]"
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}; from hopfield_jax.cli import main; main()"],
        env=os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},  # which is not installed here
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "s.png").exists()


# --- the demo ---


def test_demo_runs_its_parts_each_into_its_folder(tmp_path, monkeypatch):
    asked = []

    def part(name, folder, quick):
        asked.append((folder, quick))
        return [folder / f"{name}.png"]

    for name, (title, _) in PARTS.items():
        fake = lambda folder, quick, echo, name=name: part(name, folder, quick)  # noqa: E731
        monkeypatch.setitem(PARTS, name, (title, fake))
    for quick in (False, True):
        printed = run("demo", *["--quick"] * quick, output=tmp_path)
        for said in ("[1/5]", "[5/5]", *(str(tmp_path / name / f"{name}.png") for name in PARTS)):
            assert said in printed
    assert asked == [(tmp_path / name, quick) for quick in (False, True) for name in PARTS]


def test_demo_retrieves_with_every_network(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(_command.AbstractCommand, "run", lambda self, echo: asked.append(self) or [])
    for quick in (False, True):
        PARTS["retrieve"][1](tmp_path, quick, print)
    assert [request.num_draws for request in asked] == [20, 3]
    assert asked[0] == dataclasses.replace(Retrieve(), output=tmp_path)
    assert asked[0].network == ("hebb", "dense", "softmax") and asked[0].corruption == ("half", "top")


def test_doctor_prints_its_lines():
    assert "jax" in run("doctor") and Demo().output == Path("hopfield-demo")
