"""Stores of sweeps: contents, resumption, and refused stores."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray as xr
import zarr

import hopfield_jax as hj
from hopfield_jax.sweep import Grid, boundary, run
from hopfield_jax.sweep._store import Store

KEY = jr.key(0)
R: Any = hj.RESULTS
R: Any = hj.RESULTS
GRID = Grid(
    x=np.linspace(0, 1, 7), draw=5
)  # at most four points per block: ten blocks of (4, 1), half of them with padding


def point(key, x, draw):
    return {"y": x + jr.normal(key), "z": jnp.stack([x, -x])}


def same(found: xr.Dataset, wanted: xr.Dataset) -> None:
    for name in wanted.variables:
        np.testing.assert_array_equal(found[name].values, wanted[name].values, strict=True)


@pytest.fixture(scope="module")
def wanted() -> xr.Dataset:
    return run(point, GRID, key=KEY, block_size=4).load()


@pytest.fixture
def written(monkeypatch) -> list[tuple[int, ...]]:
    """The blocks that are written."""
    blocks = []
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, block, values: (blocks.append(block), write(self, block, values)))
    return blocks


def stop_after(monkeypatch, count: int, error: BaseException) -> None:
    write = Store.write
    left = iter(range(count))

    def stopping(self, block, values):
        if next(left, None) is None:
            raise error
        write(self, block, values)

    monkeypatch.setattr(Store, "write", stopping)


@pytest.mark.fault("a sweep that is stopped or killed")
def test_a_stopped_sweep_goes_on_where_it_was(tmp_path, monkeypatch, wanted):
    store = tmp_path / "sweep.zarr"
    with monkeypatch.context() as patched:
        stop_after(patched, 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(point, GRID, key=KEY, block_size=4, store=store)
    left = hj.sweep.open(store)
    kept = int(np.sum(left["point_status"] == 1))
    assert 3 * 3 <= kept <= 3 * 4 and f"{kept} points" in left.attrs["history"]
    done = left["point_status"].values > 0
    np.testing.assert_array_equal(left["y"].values[done], wanted["y"].values[done])
    assert np.all(np.isnan(left["y"].values[~done]))
    blocks = []
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, block, values: (blocks.append(block), write(self, block, values)))
    same(run(point, GRID, key=KEY, store=store), wanted)  # the store's block size, not the default
    assert len(blocks) == 7
    same(run(point, GRID, key=KEY, store=store), wanted)
    assert len(blocks) == 7  # nothing was left to do
    run(point, GRID, key=KEY, store=store, block_size=4, fresh=True)
    assert len(blocks) == 7 + 10


def chunk(store: Path, name: str, *block: int) -> Path:
    return store / name / ".".join(map(str, block))


@pytest.mark.parametrize("name, block", [("y", (0, 0)), ("y", (1, 3)), ("z", (1, 0, 0)), ("point_status", (0, 2))])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "empty"])
@pytest.mark.fault("a damaged store")
def test_a_damaged_block_is_found_and_done_again(tmp_path, wanted, written, name, block, damage):
    store = tmp_path / "s"
    run(point, GRID, key=KEY, block_size=4, store=store)
    written.clear()
    path = chunk(store, name, *block)
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[9] ^= 0x55  # the first byte after the header: later ones may be padding
        path.write_bytes({"flipped": bytes(content), "cut": bytes(content[:10]), "empty": b""}[damage])
    same(run(point, GRID, key=KEY, store=store), wanted)
    assert written == [block[:2]]


@pytest.mark.fault("a damaged store")
def test_damaged_marks_cost_their_blocks(tmp_path, wanted, written):
    store = tmp_path / "s"
    run(point, GRID, key=KEY, block_size=4, store=store)
    written.clear()
    chunk(store, "finished_blocks/checksum", 0, 2).unlink()
    chunk(store, "finished_blocks/checksum", 1, 1).write_bytes(b"12")
    same(run(point, GRID, key=KEY, store=store), wanted)
    assert sorted(written) == [(0, 2), (1, 1)]


@pytest.mark.fault("the store of something else")
def test_another_sweep_is_refused_and_the_differences_are_named(tmp_path):
    store = tmp_path / "s"
    run(point, GRID, key=KEY, store=store)

    def refused(*said: str, function=point, grid=GRID, key=KEY, **options):
        with pytest.raises(ValueError, match="`store`: expected the store of this sweep") as error:
            run(function, grid, key=key, store=store, **options)
        assert all(text in str(error.value) for text in said), error.value

    refused("key", key=jr.key(1))
    refused("axis x: 8 values from 0 to 1", "in the store 7 values", grid=Grid(x=np.linspace(0, 1, 8), draw=5))
    refused("axis x", "checksum", grid=Grid(x=np.linspace(0, 1, 7) ** 2, draw=5))
    refused("random axes: x", random_axes=["x"])
    refused("function (checksum)", function=lambda key, x, draw: {"y": x - jr.normal(key), "z": jnp.stack([x, -x])})
    refused("output w", function=lambda key, x, draw: point(key, x, draw) | {"w": x})
    renamed = lambda key, x, draw: {n: v for n, v in point(key, x, draw).items()}  # noqa: E731
    run(renamed, GRID, key=KEY, store=store)  # the same computation by another name
    found = hj.sweep.open(store)
    assert found.attrs["configuration_hash"] and found["y"].shape == (7, 5)


@pytest.mark.fault("the store of something else")
def test_constants_and_choices_belong_to_the_sweep(tmp_path):
    def scaled(by):
        return lambda x, rule: {"y": by * x * rule}

    def grid(**rule):
        return Grid(x=np.linspace(0, 1, 3), rule=rule)

    run(scaled(jnp.float32(1.0)), grid(one=1, two=2), store=tmp_path / "s")
    for function, axes in (
        (scaled(jnp.float32(1.5)), grid(one=1, two=2)),
        (scaled(jnp.float32(1.0)), grid(one=1, two=3)),
    ):
        with pytest.raises(ValueError, match="function"):
            run(function, axes, store=tmp_path / "s")


@pytest.mark.fault("the store of something else")
def test_constants_of_compiled_functions_belong_to_the_sweep(tmp_path):
    def scaled(by):
        table = jnp.full(5, by)
        inner = jax.jit(lambda x: jnp.sum(x * table))
        return lambda x: {"y": jax.lax.fori_loop(0, 2, lambda i, y: y + inner(x), 0.0)}

    grid = Grid(x=np.array([0.0, 1.0]))
    assert run(scaled(1.0), grid, store=tmp_path / "s")["y"].values.tolist() == [0, 10]
    with pytest.raises(ValueError, match="function"):
        run(scaled(2.0), grid, store=tmp_path / "s")
    assert run(scaled(1.0), grid, store=tmp_path / "s")["y"].values.tolist() == [0, 10]


@pytest.mark.fault("the store of something else")
def test_a_fresh_start_that_is_refused_leaves_the_old_one(tmp_path, wanted):
    store = tmp_path / "s"
    run(point, GRID, key=KEY, block_size=4, store=store)
    bad: list[dict[str, Any]] = [{"attributes": {"a": np.float32(1)}}, {"describe": {"z": {"dims": ["a", "b"]}}}]
    for wrong in bad:
        with pytest.raises(ValueError):
            run(point, GRID, key=KEY, store=store, fresh=True, **wrong)
        same(hj.sweep.open(store), wanted)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.fault("the store of something else")
def test_what_is_no_store_is_left_alone(tmp_path, fresh):
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match="`store`: expected a new folder or the store of a sweep"):
        run(point, GRID, key=KEY, store=tmp_path, fresh=fresh)
    zarr.create_group(tmp_path / "other", zarr_format=2, attributes={"title": "other"})
    with pytest.raises(ValueError, match="a Zarr group of something else"):
        run(point, GRID, key=KEY, store=tmp_path / "other", fresh=fresh)
    with pytest.raises(ValueError, match="`store`"):
        run(point, GRID, key=KEY, store=tmp_path / "notes.txt", fresh=fresh)
    assert (tmp_path / "notes.txt").read_text() == "precious"
    with pytest.raises(ValueError, match="`store`: expected the store of a sweep, got .* there is none"):
        hj.sweep.open(tmp_path / "nowhere")
    assert hj.sweep.open(tmp_path / "nowhere", missing_ok=True) is None


@pytest.mark.fault("a sweep that is stopped or killed")
def test_a_store_whose_making_was_interrupted_is_made_again(tmp_path, monkeypatch, wanted):
    store = tmp_path / "s"
    with monkeypatch.context() as patched:
        patched.setattr("zarr.Group.create_group", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(point, GRID, key=KEY, store=store, block_size=4)
    same(run(point, GRID, key=KEY, store=store, block_size=4), wanted)


@pytest.mark.fault("a disk that is full or cannot be written")
def test_a_full_disk_loses_nothing_that_is_finished(tmp_path, monkeypatch, wanted, written):
    store = tmp_path / "s"
    with monkeypatch.context() as patched:
        stop_after(patched, 2, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(OSError, match="`store`: block .* could not be written .*No space left on device.*are kept"):
            run(point, GRID, key=KEY, block_size=4, store=store)
    written.clear()
    same(run(point, GRID, key=KEY, store=store), wanted)
    assert len(written) == 8


def test_the_dataset_opens_anywhere(tmp_path):
    grid = Grid(x=np.linspace(0, 1, 3), units={"tanh": hj.LogCosh(), "clip": hj.HardTanh()})
    code = lambda x: R.where(x > 0.7, R.not_finite, R.successful)  # noqa: E731
    made = run(lambda x, units: {"y": x, "n": jnp.int32(4), "code": code(x), "up": x > 0.2}, grid, store=tmp_path / "s")
    made.to_netcdf(tmp_path / "s.nc")
    for other in (xr.open_zarr(tmp_path / "s"), xr.open_dataset(tmp_path / "s.nc")):
        np.testing.assert_array_equal(other["y"].values, made["y"].values)
        assert other["units"].values.tolist() == ["tanh", "clip"]
        assert np.all(other["n"].values == 4) and other["up"].values.astype(bool).tolist() == made["up"].values.tolist()
        assert other["code"].attrs["flag_meanings"] == made["code"].attrs["flag_meanings"]
        assert other.attrs["configuration_hash"] == made.attrs["configuration_hash"]


def test_boundaries_are_stored_like_any_sweep(tmp_path):
    grid = Grid(saliency=np.array([1.5, 2.0, 3.0]))
    options: dict[str, Any] = {"along": "gain", "lower": 1.0, "upper": 8.0, "num_iterations": 20}
    wrong: list[dict[str, Any]] = [{"along": "saliency"}, {"upper": 0.5}, {"num_iterations": 0}]
    grows = lambda saliency, gain: hj.sequential.saliency_map(gain, saliency) > saliency  # noqa: E731
    found = boundary(grows, grid, store=tmp_path / "s", **options)
    np.testing.assert_allclose(found["gain"], [4.5, 4.0, 4.5], atol=7 / 2**20)  # Z²/(Z - 1)
    assert np.all(found["gain_upper"] - found["gain_lower"] < 7.1 / 2**20)
    growth = lambda saliency, gain: hj.sequential.saliency_map(gain, saliency) - saliency  # noqa: E731
    few = boundary(growth, grid, **{**options, "num_iterations": 4})  # linear in the gain: its chord has the same zero
    np.testing.assert_allclose(few["gain"], [4.5, 4.0, 4.5], rtol=1e-6)
    nowhere = boundary(lambda saliency, gain: gain > 9, grid, **options)
    names = nowhere["result"].attrs["flag_meanings"].split()
    assert np.all(np.isnan(nowhere["gain"])) and names[int(nowhere["result"][0])] == "not_bracketed"
    assert np.all(nowhere["point_status"] == 2)
    with pytest.raises(ValueError, match="in the store"):  # other bounds, another sweep
        boundary(grows, grid, store=tmp_path / "s", **{**options, "upper": 9.0})
    for change in wrong:
        with pytest.raises(ValueError, match=f"`{next(iter(change))}`"):
            boundary(grows, grid, **{**options, **change})


# --- other formats, and more of a sweep ---


def of_every_kind(key, x, rule, draw):
    value = x * rule + jr.normal(key)
    return {"y": value, "pair": jnp.stack([x, -x]), "large": value > 1, "result": hj.RESULTS.successful}


MADE = {
    "run": lambda d: d,
    "isel": lambda d: d.isel(x=[0, 2]),
    "mean": lambda d: d.mean("draw"),
    "load": lambda d: d.copy().load(),
    "where": lambda d: d.where(d["result"] == 0),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    grid = Grid(x=np.linspace(0, 1, 5), rule={"one": 1.0, "a half": 0.5}, draw=3)
    store = tmp_path_factory.mktemp("kept") / "sweep.zarr"
    run(of_every_kind, grid, key=KEY, block_size=2, store=store)
    return store


@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")  # of strings: the names of choices
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently")  # likewise
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("by", ["zarr 2", "zarr 3", "netcdf", "csv"])
def test_a_dataset_is_saved_in_other_formats(tmp_path, kept, by, made):
    import pandas as pd

    dataset, target = MADE[made](hj.sweep.open(kept)), tmp_path / "saved"
    if by == "netcdf":
        dataset.to_netcdf(target, engine="scipy")
        found = xr.open_dataset(target, engine="scipy")
    elif by == "csv":
        dataset.to_dataframe().to_csv(target)
        read = pd.read_csv(target)
        np.testing.assert_allclose(read["y"], dataset["y"].broadcast_like(dataset["pair"]).values.ravel(), rtol=1e-6)
        return
    else:
        dataset.to_zarr(target, zarr_format=int(by[-1]))
        found = xr.open_zarr(target)
    with found:
        for name in dataset.variables:
            values = dataset[name].values  # netCDF 3 has no truth values and no 64-bit whole numbers
            np.testing.assert_array_equal(found[name].values.astype(values.dtype), values)


def test_parts_of_a_sweep_are_put_together(wanted):
    """A random number belongs to its coordinates and not to the grid: so that a sweep can be extended."""
    parts = [run(point, Grid(x=np.linspace(0, 1, 7)[part], draw=5), key=KEY) for part in (slice(3), slice(3, 7))]
    together = xr.concat(parts, "x", combine_attrs="drop_conflicts")
    for name in ("x", "draw", "y", "z"):
        np.testing.assert_array_equal(together[name].values, wanted[name].values)


def test_a_store_at_home_and_what_an_address_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    here = run(lambda x: {"y": x}, Grid(x=[0.0, 1.0]), store="~/s")
    same(hj.sweep.open(Path("~/s")), here)
    assert (tmp_path / "s").is_dir() and not (tmp_path / "~").exists()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    for ask in (hj.sweep.open, lambda store: run(lambda x: {"y": x}, Grid(x=[0.0, 1.0]), store=store)):
        with pytest.raises(ModuleNotFoundError, match="`store`: .*memory://x.*pip install fsspec"):
            ask("memory://x")


PROGRAM = """
import sys, jax, jax.numpy as jnp, jax.random as jr, numpy as np
from hopfield_jax.sweep import Grid, run
def point(key, x, draw):
    a = jr.normal(key, (60, 60)) / 8
    v = jax.lax.fori_loop(0, 300, lambda i, v: jnp.tanh(a @ v + x), jnp.ones(60))
    return {"m": jnp.mean(v), "v": v}
run(point, Grid(x=np.linspace(0, 1, 40), draw=8), key=jr.key(0), block_size=8, store=sys.argv[1], progress=False)
"""


def start(store: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROGRAM), str(store)])


def checksums(store: Path) -> int:
    return len(list((store / "finished_blocks" / "checksum").glob("[0-9]*.[0-9]*")))


@pytest.mark.slow
@pytest.mark.fault("a sweep that is stopped or killed")
def test_killed_ten_times_it_comes_out_the_same(tmp_path):
    """Kill -9 at ten random moments, most of them in the middle of the computation."""
    whole = tmp_path / "whole"
    assert start(whole).wait() == 0
    total = checksums(whole)
    rng = np.random.default_rng(0)
    store, seen = tmp_path / "killed", []
    for _ in range(10):
        process = start(store)
        goal = min(total - 1, (seen[-1] if seen else 0) + int(rng.integers(1, 4)))
        while process.poll() is None and checksums(store) < goal:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.02)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        seen.append(checksums(store))
    assert 0 < seen[0] < total and seen == sorted(seen) and len(set(seen)) > 5
    assert start(store).wait() == 0
    found, expected = hj.sweep.open(store), hj.sweep.open(whole)
    for name in expected.variables:
        assert found[name].values.tobytes() == expected[name].values.tobytes()
