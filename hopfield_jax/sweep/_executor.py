"""Computes blocks in other processes, through any object with `submit`."""

import collections
import concurrent.futures as cf
import dataclasses
import functools
import multiprocessing
import multiprocessing.reduction
import os
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from .._checks import fail, kind
from ._devices import Report, Worker, compute
from ._grid import Block
from ._job import Job
from ._store import Store, differences

_TRIES = 3
_POLL = 0.02  # seconds
_IMPORTED_IN = os.getpid()
_SPAWN = "`ProcessPoolExecutor(n, mp_context=multiprocessing.get_context('spawn'))`"


@dataclasses.dataclass(frozen=True)
class Order:
    """A job and its store, as sent to workers; compared by `token`."""

    job: Job = dataclasses.field(compare=False)
    store: str = dataclasses.field(compare=False)
    token: str = dataclasses.field(default_factory=lambda: os.urandom(8).hex())


def check(executor: Any, job: Job) -> None:
    """Validates the executor and that the job is picklable, before anything is stored or sent."""
    if not callable(getattr(executor, "submit", None)):
        fail("executor", "an object with `submit`", kind(executor))
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "`executor`: a worker imports the main script and started this sweep again. Start the sweep under "
            "`if __name__ == '__main__':`."
        )
    context = getattr(executor, "_mp_context", None)
    if context is None:  # not a process pool of the standard library: it has its own pickling
        return
    if context.get_start_method() == "fork":
        fail("executor", f"new processes, {_SPAWN}", "a pool that forks, which hangs once JAX has started")
    wanted = "a picklable point and choices (a function at the top level of a file, no lambda)"
    try:
        sent = bytes(multiprocessing.reduction.ForkingPickler.dumps(job))
    except Exception as error:  # any error of user-defined pickling
        raise ValueError(f"`executor`: expected {wanted}, got {type(error).__name__}: {error}") from error
    if b"__main__" in sent and not os.path.exists(getattr(sys.modules["__main__"], "__file__", None) or ""):
        fail("executor", wanted, "something defined in an interactive session or notebook, which no worker can import")


@functools.lru_cache(maxsize=2)
def _prepare(order: Order) -> tuple[Worker, Store]:
    programs = order.job.trace()
    store = Store.find(order.store)
    if store is None:
        fail("store", "a folder that every worker sees", order.store)
    if differing := differences(order.job.configuration(programs), store.configuration):
        raise ValueError(
            f"`executor`: a worker would compute something else than was asked for: {'; '.join(differing)}"
        )
    return Worker(order.job, programs, store.tiling, jax.local_devices()), store


def compute_elsewhere(order: Order, blocks: tuple[Block, ...], attempt: int) -> list[Report]:
    """Runs in a worker process: traces and compiles once, computes blocks and writes them. `attempt` only makes the
    call unique for schedulers that cache calls."""
    if os.getpid() != _IMPORTED_IN:  # forked, e.g. by a fork server that has imported the main script
        fail("executor", f"new processes, {_SPAWN}", "a worker forked from a process that uses JAX, which can hang")
    worker, store = _prepare(order)
    return list(compute(worker, blocks, store))


def compute_by(executor: Any, order: Order, blocks: Sequence[Block], per_task: int) -> Iterator[Report]:
    """Submits tasks of blocks to an executor and resubmits lost ones; raises at the end for blocks that stay lost."""
    waiting = collections.deque((tuple(blocks[i : i + per_task]), 0) for i in range(0, len(blocks), per_task))
    running: list[tuple[Any, tuple[Block, ...], int]] = []
    lost: list[tuple[int, BaseException]] = []
    while waiting or running:
        while waiting:
            task, attempt = waiting.popleft()
            try:
                running.append((executor.submit(compute_elsewhere, order, task, attempt), task, attempt))
            except Exception as error:  # the executor is broken or shut down
                lost.append((len(task), error))
        ready = [future.done() for future, _, _ in running]
        done = [x for x, is_done in zip(running, ready, strict=True) if is_done]
        running = [x for x, is_done in zip(running, ready, strict=True) if not is_done]
        for future, task, attempt in done:
            try:
                yield from future.result()
            except (ValueError, TypeError, AttributeError, MemoryError, pickle.PicklingError):
                raise  # deterministic: a retry would fail too
            except Exception as error:
                if attempt + 1 < _TRIES:
                    waiting.append((task, attempt + 1))
                else:
                    lost.append((len(task), error))
        if not done:
            time.sleep(_POLL)
    if lost:
        number, (_, error) = sum(n for n, _ in lost), lost[0]
        hint = ""
        if isinstance(error, cf.BrokenExecutor):
            hint = (
                "Either a worker was killed, often because memory ran out, or it could not start (its own error is "
                "printed above): workers import the main script, which must start the sweep under "
                "`if __name__ == '__main__':`. "
            )
        raise RuntimeError(
            f"`executor`: {number} of {len(blocks)} blocks were lost ({type(error).__name__}: {error}). {hint}The "
            f"others are kept in {order.store}: the same call (with a new pool if it broke) goes on from there."
        ) from error
