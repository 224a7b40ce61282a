"""Without the libraries of an extra everything else works, and functions that need them say what to install."""

import sys

import jax.numpy as jnp
import pytest

import hopfield_jax as hj
from hopfield_jax import cli
from hopfield_jax.cli import _main

GRID = hj.sweep.Grid(x=jnp.linspace(0.0, 1.0, 3))


@pytest.mark.parametrize(
    "libraries, extra, call",
    [
        (("matplotlib", "matplotlib.pyplot"), "plot", lambda path: hj.plot.cobweb(5.0, 3.0)),
        (("matplotlib",), "plot", lambda path: hj.plot.images(jnp.ones((1, 4)), jnp.ones((1, 4)), {}, (2, 2))),
        (("xarray",), "sweep", lambda path: hj.sweep.run(lambda x: {"y": x}, GRID)),
        (("zarr",), "sweep", lambda path: hj.sweep.run(lambda x: {"y": x}, GRID, store=path)),
        (("zarr",), "sweep", lambda path: hj.sweep.open(path)),
    ],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, tmp_path, libraries, extra, call):
    for name in libraries:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{libraries[0]} is missing.*hopfield-jax\[{extra}\]") as caught:
        call(tmp_path / "store.zarr")
    assert caught.value.name == libraries[0]
    assert not (tmp_path / "store.zarr").exists()


def test_the_command_says_what_it_needs_when_it_runs(monkeypatch):
    def app(**_):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(_main, "app", app)
    with pytest.raises(SystemExit, match=r"sklearn is missing.*hopfield-jax\[cli\]"):
        cli.main()
