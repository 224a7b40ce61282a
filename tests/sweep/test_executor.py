"""Sweeps by executors: workers that are lost, and those of the standard library and Dask."""

import concurrent.futures as cf
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax.sweep import Grid, run

KEY = jr.key(0)
GRID = Grid(x=np.linspace(0, 1, 12), draw=2)


def point(key, x, draw):  # at the top of the module, so that processes find it
    return {"y": x + jr.normal(key)}


def slow_point(key, x, draw):
    a = jr.normal(key, (100, 100)) / 10
    v = jax.lax.fori_loop(0, 3000, lambda i, v: jnp.tanh(a @ v + x), jnp.ones(100))
    return {"y": jnp.mean(v)}


class Unreliable(cf.ThreadPoolExecutor):
    """Loses every call whose number is in `lost`."""

    def __init__(self, lost: set[int]):
        super().__init__(max_workers=1)
        self.lost, self.calls = lost, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> cf.Future:
        self.calls += 1
        if self.calls in self.lost:
            future: cf.Future = cf.Future()
            future.set_exception(ConnectionError("the worker is gone"))
            return future
        return super().submit(fn, *args, **kwargs)


@pytest.fixture(scope="module")
def wanted():
    return run(point, GRID, key=KEY, block_size=4).load()


@pytest.mark.parametrize("per_task, calls", [(1, 6), (4, 2)])
def test_an_executor_gives_the_same_numbers(tmp_path, wanted, per_task, calls):
    executor = Unreliable(set())
    found = run(point, GRID, key=KEY, block_size=4, store=tmp_path / "s", executor=executor, blocks_per_task=per_task)
    np.testing.assert_array_equal(found["y"], wanted["y"])
    assert executor.calls == calls and "24 points" in found.attrs["history"]


@pytest.mark.fault("workers and devices")
def test_lost_blocks_are_done_again(tmp_path, wanted):
    executor = Unreliable({2, 3, 7})
    found = run(point, GRID, key=KEY, block_size=4, store=tmp_path / "s", executor=executor)
    np.testing.assert_array_equal(found["y"], wanted["y"])
    assert executor.calls == 9


@pytest.mark.fault("workers and devices")
def test_blocks_that_are_lost_for_good_leave_a_store_that_resumes(tmp_path, wanted):
    with pytest.raises(RuntimeError, match=r"`executor`: .*ConnectionError: the worker is gone.* goes on from there"):
        run(point, GRID, key=KEY, block_size=4, store=tmp_path / "s", executor=Unreliable(set(range(4, 99))))
    left = hj.sweep.open(tmp_path / "s")
    assert 0 < int(np.sum(left["point_status"] == 1)) < 24
    np.testing.assert_array_equal(run(point, GRID, key=KEY, store=tmp_path / "s")["y"], wanted["y"])


@pytest.mark.fault("workers and devices")
def test_a_worker_that_would_compute_something_else_says_so(tmp_path):
    traces = []

    def changing(key, x, draw):
        traces.append(1)
        return {"y": x if len(traces) == 1 else -x}

    executor = Unreliable(set())
    with pytest.raises(ValueError, match="`executor`: a worker would compute something else .*function"):
        run(changing, GRID, key=KEY, block_size=24, store=tmp_path / "s", executor=executor)
    assert executor.calls == 1  # it would be the same again


def kill_when(store: Path, blocks: int, victim: Any) -> threading.Thread:
    """Kills a process once some blocks are finished."""

    def watch():
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if len(list((store / "finished_blocks" / "checksum").glob("[0-9]*"))) >= blocks:
                os.kill(victim(), signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


OPTIONS: dict[str, Any] = {"key": KEY, "block_size": 2}


@pytest.mark.slow
@pytest.mark.fault("workers and devices")
def test_process_pool_whose_worker_is_killed(tmp_path):
    expected = run(slow_point, GRID, store=tmp_path / "alone", **OPTIONS)
    store = tmp_path / "s"
    context = multiprocessing.get_context("spawn")
    with cf.ProcessPoolExecutor(2, mp_context=context) as pool:
        watch = kill_when(store, 2, lambda: next(iter(pool._processes)))
        with pytest.raises(RuntimeError, match="`executor`.*goes on from there"):  # such a pool is broken for good
            run(slow_point, GRID, store=store, executor=pool, **OPTIONS)
        watch.join()
    assert 0 < int(np.sum(hj.sweep.open(store)["point_status"] == 1)) < 24
    with cf.ProcessPoolExecutor(2, mp_context=context) as pool:
        found = run(slow_point, GRID, store=store, executor=pool, **OPTIONS)
    assert found["y"].values.tobytes() == expected["y"].values.tobytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what Dask says of a worker that is gone
@pytest.mark.fault("workers and devices")
def test_dask_whose_worker_is_killed(tmp_path):
    from distributed import Client, LocalCluster

    expected = run(slow_point, GRID, store=tmp_path / "alone", **OPTIONS)
    store = tmp_path / "s"
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster:
        with Client(cluster) as connected:
            client: Any = connected
            pids = client.run(os.getpid)
            watch = kill_when(store, 2, lambda: next(iter(pids.values())))
            found = run(slow_point, GRID, store=store, executor=client, **OPTIONS)
            watch.join()
            assert set(client.run(os.getpid).values()) != set(pids.values())  # one was replaced
    assert np.all(found["point_status"] == 1)
    assert found["y"].values.tobytes() == expected["y"].values.tobytes()
