"""Faults of the environment: damaged stores, full disks, closed pipes, unusual environments. Other faults are tested
next to the code that handles them; all have the mark `fault`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax.sweep import Grid, run

GRID = Grid(x=np.linspace(0, 1, 6), units={"tanh": hj.LogCosh(), "erf": hj.Erf()})
COMMAND = [sys.executable, "-c", "from hopfield_jax.cli import main; main()"]
QUICK = ["theory", "--num-steps", "2"]
ROOM_FOR_LITTLE = ["bash", "-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "_"]  # files of at most 4 KiB


def point(x, units):
    return {"y": x * units.beta, "z": x + 0.5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "whole"
    run(point, GRID, store=folder, block_size=2, progress=False)
    return folder


def damage(store: Path, rng: np.random.Generator, only: str) -> None:
    """Flips a bit of one of the files, or cuts it short."""
    files = sorted(path for path in store.rglob(only) if path.is_file())
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    place = rng.integers(len(content))
    if rng.random() < 0.5:
        content[place] ^= 1 << rng.integers(8)
    else:
        del content[place:]
    path.write_bytes(bytes(content))


def same(found: Any, wanted: Any) -> bool:
    return list(found.variables) == list(wanted.variables) and all(
        np.array_equal(found[name].values, x.values) for name, x in wanted.variables.items()
    )


@pytest.mark.fault("a damaged store")
@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_no_damaged_byte_is_read_as_a_result(count, whole, tmp_path, record_property):
    """Flipped bits and truncated files anywhere (chunks, marks, metadata) are reported or recomputed."""
    wanted, rng, computed_again = hj.sweep.open(whole).load(), np.random.default_rng(count), 0
    record_property("faults", count)
    for i in range(count):
        store = shutil.copytree(whole, tmp_path / f"{i}")
        damage(store, rng, (".z*", "*")[i % 2])  # metadata are few files of many
        try:
            assert same(hj.sweep.open(store).load(), wanted)
        except (ValueError, RuntimeError):  # of the store, or of the chunk's decoder
            pass
        try:
            assert same(run(point, GRID, store=store, progress=False).load(), wanted)
            computed_again += 1
        except ValueError:
            pass
        shutil.rmtree(store)
    assert computed_again > count / 4  # most of the damages that may be those of chunks are


def start(arguments: list[str], folder: Path, *, without: tuple[str, ...] = (), **options: Any) -> subprocess.Popen:
    """The command as a user would run it, outside of the tests' environment."""
    env = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "DISPLAY", *without)}
    env |= {"XDG_CACHE_HOME": str(folder.parent / "cache")}
    env |= {"PYTHONPATH": str(Path(hj.__file__).parent.parent)} | options.pop("env", {})
    return subprocess.Popen(
        [*options.pop("shell", ()), *COMMAND, *arguments, "--output", str(folder)],
        env=env, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


ENVIRONMENTS = {
    "no display and no backend": {},
    "a terminal of ASCII": {"env": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}},
    "no home": {"without": ("HOME",), "env": {"HOME": "/nonexistent"}},
    "caches that cannot be written": {
        "env": {"XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none", "JAX_COMPILATION_CACHE_DIR": "/proc/none"}
    },
}


@pytest.mark.fault("an odd environment")
@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_commands_run_in_odd_environments(environment, tmp_path):
    process = start(QUICK, tmp_path / "out", **ENVIRONMENTS[environment])
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors and "Amari" in printed
    assert (tmp_path / "out" / "theory.png").stat().st_size > 1000 and (tmp_path / "out" / "theory.json").exists()


@pytest.mark.fault("an odd environment")
@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(tmp_path):
    process = start(QUICK, tmp_path / "out")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 1) and "Traceback" not in errors and "Error" not in errors


@pytest.mark.fault("a disk that is full or cannot be written")
@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_figure_is_one_line(tmp_path):
    process = start(QUICK, tmp_path / "out", shell=ROOM_FOR_LITTLE, env={"MPLCONFIGDIR": str(tmp_path)})
    _, errors = process.communicate()
    assert process.returncode == 1 and "Traceback" not in errors
    assert errors.strip().split("\n")[-1].startswith("hopfield-jax: [Errno 27]")  # what the system says


@pytest.mark.fault("a sweep that is stopped or killed")
@pytest.mark.slow
def test_control_c_keeps_what_is_finished(tmp_path):
    """An interrupt in the middle of a sweep: no traceback, and the same command goes on."""
    ratios = [x for ratio in ("0.05", "0.06", "0.07", "0.08") for x in ("--tau-fast", ratio)]  # a block each, at least
    arguments = ["sweep", "gains", *ratios, "--num-gains", "1200", "--num-patterns", "4", "--num-neurons", "8"]
    process = start(arguments, tmp_path / "out")
    marks = tmp_path / "out" / "gains.zarr" / "finished_blocks" / "checksum"
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end and len(list(marks.glob("[0-9]*"))) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130 and "Traceback" not in errors and "Interrupted." in errors
    kept = hj.sweep.open(tmp_path / "out" / "gains.zarr")["point_status"].values
    assert 0 < np.sum(kept > 0) < kept.size
