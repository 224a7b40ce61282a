"""Sweeps on executors: lost workers, pools of the standard library, and Dask."""

import concurrent.futures as cf
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
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


# --- pools of processes that would hang, or cannot compute the point ---


def pool_of(method: str) -> cf.ProcessPoolExecutor:
    """A pool that starts no process before a submission."""
    return cf.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method))


@pytest.mark.fault("workers and devices")
def test_a_pool_that_forks_is_refused_before_anything_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forked"))  # which hangs, as JAX has started
    with pool_of("fork") as pool, pytest.raises(ValueError, match=r"`executor`.*get_context\('spawn'\).*forks.*hangs"):
        run(point, GRID, key=KEY, store=tmp_path / "s", executor=pool)
    assert not (tmp_path / "s").exists()


def _of_an_interactive_session(monkeypatch) -> Any:
    def made(key, x, draw):
        return {"y": x}

    made.__module__, made.__qualname__ = "__main__", "made"
    main = types.ModuleType("__main__")
    setattr(main, "made", made)  # noqa: B010
    monkeypatch.setitem(sys.modules, "__main__", main)
    return made


@pytest.mark.parametrize("where, said", [("lambda", "no lambda.*lambda"), ("notebook", "interactive session or noteb")])
@pytest.mark.fault("workers and devices")
def test_a_point_that_no_process_could_import_is_refused(tmp_path, monkeypatch, where, said):
    monkeypatch.setattr(cf.ProcessPoolExecutor, "submit", lambda *_: pytest.fail("it was submitted"))
    chosen: Any = _of_an_interactive_session(monkeypatch) if where == "notebook" else lambda key, x, draw: {"y": x}
    with pool_of("spawn") as pool, pytest.raises(ValueError, match=f"`executor`: expected a picklable point .*{said}"):
        run(chosen, GRID, key=KEY, store=tmp_path / "s", executor=pool)
    assert not (tmp_path / "s").exists()


@pytest.mark.fault("workers and devices")
def test_a_worker_that_imports_a_script_without_a_guard_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)  # while it imports it
    with pytest.raises(RuntimeError, match="`executor`: a worker imports the main script .*if __name__ == '__main__':"):
        run(point, GRID, key=KEY, store=tmp_path / "s", executor=Unreliable(set()))
    assert not (tmp_path / "s").exists()


@pytest.mark.fault("workers and devices")
def test_a_pool_that_broke_says_what_may_have_happened(tmp_path):
    class Broken:
        def submit(self, *_: Any) -> cf.Future:
            raise cf.process.BrokenProcessPool("terminated abruptly")

    said = "BrokenProcessPool.*killed, often because memory ran out.*if __name__ == '__main__'.*with a new pool"
    with pytest.raises(RuntimeError, match=f"`executor`.*{said}.*goes on from there"):
        run(point, GRID, key=KEY, store=tmp_path / "s", executor=Broken())


SCRIPT = """
    import concurrent.futures as cf, multiprocessing, sys
    import hopfield_jax as hj

    def point(x):
        return {"y": x * x}

    if __name__ == "__main__" or sys.argv[1] == "spawn":
        context = multiprocessing.get_context(sys.argv[1])
        context.set_forkserver_preload(["hopfield_jax.sweep"])
        with cf.ProcessPoolExecutor(1, mp_context=context) as pool:
            hj.sweep.run(point, hj.sweep.Grid(x=[0.0, 1.0]), store=sys.argv[2], executor=pool, block_size=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, said",
    [
        ("spawn", r"RuntimeError: `executor`: a worker imports the main script(.|\n)*1 of 1 blocks were lost"),
        ("forkserver", "ValueError: `executor`: expected new processes.*get_context.*forked"),
    ],
)
@pytest.mark.fault("workers and devices")
def test_scripts_whose_workers_cannot_start_end_and_say_why(tmp_path, method, said):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), method, str(tmp_path / "s")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)  # rather than hang
    assert ended.returncode == 1
    assert re.search(said, ended.stderr), ended.stderr


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
