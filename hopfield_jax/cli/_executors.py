"""What computes a sweep: local devices, a pool of processes, or Dask."""

import concurrent.futures as cf
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import jax

from .._checks import at_least, fail


def use_devices(count: int | None) -> tuple[Any, ...]:
    """The local devices to compute on; a CPU is split into as many as are asked for, or as it has cores, unless JAX
    uses it already or its own settings say how many there are."""
    said = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not said and (count is not None or "JAX_NUM_CPU_DEVICES" not in os.environ):
        with contextlib.suppress(RuntimeError):  # JAX has begun: there are as many as there are
            jax.config.update("jax_num_cpu_devices", count or num_cores())
    found = jax.local_devices()
    if count is not None and count > len(found):
        fail("devices", f"at most {len(found)}, the devices that JAX sees", count)
    return tuple(found[:count])


def num_cores() -> int:
    """Of the CPU, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_executor(asked: str | None) -> None:
    kind, _, where = (asked or "processes:1").partition(":")
    if kind not in ("processes", "dask") or not where or (kind == "processes" and not where.isdecimal()):
        fail("executor", "processes:N or dask:ADDRESS", asked)
    if kind == "processes":
        at_least("executor", int(where), 1)


@contextlib.contextmanager
def executor_of(asked: str | None) -> Iterator[Any]:
    """What is named by --executor: a pool of processes, or a Dask scheduler's client."""
    if asked is None:
        yield None
        return
    kind, _, where = asked.partition(":")
    if kind == "processes":
        spawn = multiprocessing.get_context("spawn")
        pool = cf.ProcessPoolExecutor(int(where), mp_context=spawn, initializer=_leave_interrupts)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    try:
        import distributed
    except ModuleNotFoundError:
        fail("executor", "Dask to be installed (pip install 'dask[distributed]')", asked)
    try:
        client = distributed.Client(where, timeout="10s")
    except (OSError, ValueError) as error:
        fail("executor", "the address of a Dask scheduler", f"{where} ({error})")
    with client:
        yield client


def _leave_interrupts() -> None:
    """Of a worker process: Ctrl-C is for the one that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
