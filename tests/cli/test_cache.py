"""Help is quick, and compiled programs are kept for the next command: in the user's folder for caches, unless told not
to. Each test looks at a process of its own, because JAX reads its settings once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hopfield_jax.cli import _cache

SAY = """
import json, os, sys
from hopfield_jax.cli import main
sys.argv = ["hopfield-jax", *json.loads(sys.argv[1])]
try:
    main()
finally:
    modules = json.dumps(sorted(name for name in sys.modules if "." not in name))
    if "jax" in sys.modules:
        sys.modules["jax"].jit(lambda x: 2 * x)(1.0)
    print("modules:", modules)
"""


def process(*arguments, **env):
    """What a command printed, and the modules that it imported."""
    unset = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    given = {name: x for name, x in os.environ.items() if name not in unset}
    given |= {"PYTHONPATH": str(Path(__file__).parents[2])} | {name: str(x) for name, x in env.items()}
    ended = subprocess.run(
        [sys.executable, "-c", SAY, json.dumps(arguments)], env=given, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    printed, _, modules = ended.stdout.partition("modules: ")
    return printed, set(json.loads(modules))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sweep", "--help"]])
def test_help_imports_neither_jax_nor_numpy(arguments, tmp_path):
    printed, modules = process(*arguments, XDG_CACHE_HOME=tmp_path)
    assert "hopfield" in printed and "typer" in modules
    assert not modules & {"jax", "numpy", "equinox", "diffrax", "matplotlib", "xarray"}


def entries(folder):
    return {path.name for path in folder.rglob("*-cache")}


def test_programs_are_kept_and_found_again(tmp_path):
    place = tmp_path / "caches" / "hopfield-jax"
    process("doctor", XDG_CACHE_HOME=place.parent)
    kept = entries(place)
    assert kept
    printed, _ = process("doctor", XDG_CACHE_HOME=place.parent)
    assert f"compilation cache: on, directory {place}\n" in printed and f"entries: {len(kept)}, " in printed
    assert entries(place) == kept


@pytest.mark.parametrize(
    "option, env, said",
    [
        (["--no-cache"], {}, "off, directory not set"),
        ([], {"JAX_COMPILATION_CACHE_DIR": "/proc/mine"}, "on, directory /proc/mine"),
        ([], {"JAX_ENABLE_COMPILATION_CACHE": "false"}, "off, directory "),
        ([], {"XDG_CACHE_HOME": "/proc/none"}, "off, directory not set"),
    ],
)
def test_the_user_may_say_otherwise(option, env, said, tmp_path):
    printed, _ = process(*option, "doctor", **{"XDG_CACHE_HOME": tmp_path} | env)
    assert f"compilation cache: {said}" in printed and not entries(tmp_path)


def test_importing_the_library_sets_nothing(tmp_path):
    code = "import os; before = dict(os.environ); import jax, hopfield_jax.cli._main; hopfield_jax.tune"
    code += "; assert dict(os.environ) == before and jax.config.jax_compilation_cache_dir is None"
    given = {name: x for name, x in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    subprocess.run([sys.executable, "-c", code], check=True, env=given | {"XDG_CACHE_HOME": str(tmp_path)})


def test_the_oldest_programs_go_first(tmp_path, monkeypatch):
    for age, name in enumerate("abc"):
        (tmp_path / f"{name}-cache").write_bytes(bytes(10))
        os.utime(tmp_path / f"{name}-cache", (1000 - age, 1000 - age))
    (tmp_path / "mine.txt").write_bytes(bytes(100))
    monkeypatch.setattr(_cache, "LIMIT", 20)
    _cache.trim(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a-cache", "b-cache", "mine.txt"}
    _cache.trim(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "platform, env, expected",
    [
        ("linux", {}, ".cache/hopfield-jax"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/hopfield-jax"),
        ("darwin", {}, "Library/Caches/hopfield-jax"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/hopfield-jax/Cache"),
    ],
)
def test_the_folder_is_the_platforms(platform, env, expected, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert _cache.folder() == tmp_path / expected
