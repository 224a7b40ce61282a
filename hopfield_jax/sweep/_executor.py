"""Blocks in other processes, by anything that has `submit`."""

import collections
import dataclasses
import functools
import os
import pickle
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


@dataclasses.dataclass(frozen=True)
class Order:
    """A job and its store, as sent to workers; two are the same if their `token` is."""

    job: Job = dataclasses.field(compare=False)
    store: str = dataclasses.field(compare=False)
    token: str = dataclasses.field(default_factory=lambda: os.urandom(8).hex())


@functools.lru_cache(maxsize=2)
def _prepare(order: Order) -> tuple[list[Worker], Store]:
    programs = order.job.trace()
    store = Store.find(order.store)
    if store is None:
        fail("store", "a folder that every worker sees", order.store)
    if differing := differences(order.job.configuration(programs), store.configuration):
        raise ValueError(
            f"`executor`: a worker would compute something else than was asked for: {'; '.join(differing)}"
        )
    return [Worker(order.job, programs, store.tiling, device) for device in jax.local_devices()], store


def compute_elsewhere(order: Order, blocks: tuple[Block, ...], attempt: int) -> list[Report]:
    """What a worker process does: traces and compiles once, computes blocks and writes them itself. `attempt` only
    makes the call a new one for schedulers that remember calls."""
    workers, store = _prepare(order)
    return list(compute(workers, blocks, store))


def compute_by(executor: Any, order: Order, blocks: Sequence[Block], per_task: int) -> Iterator[Report]:
    """Hands tasks of blocks to an executor, and again those that were lost; what is lost for good is said at the
    end."""
    waiting = collections.deque((tuple(blocks[i : i + per_task]), 0) for i in range(0, len(blocks), per_task))
    running: list[tuple[Any, tuple[Block, ...], int]] = []
    if not callable(getattr(executor, "submit", None)):
        fail("executor", "an object with `submit`", kind(executor))
    lost: list[tuple[int, BaseException]] = []
    while waiting or running:
        while waiting:
            task, attempt = waiting.popleft()
            try:
                running.append((executor.submit(compute_elsewhere, order, task, attempt), task, attempt))
            except Exception as error:  # an executor that takes no more work
                lost.append((len(task), error))
        ready = [future.done() for future, _, _ in running]
        done = [x for x, is_done in zip(running, ready, strict=True) if is_done]
        running = [x for x, is_done in zip(running, ready, strict=True) if not is_done]
        for future, task, attempt in done:
            try:
                yield from future.result()
            except (ValueError, TypeError, AttributeError, MemoryError, pickle.PicklingError):
                raise  # it would be the same again
            except Exception as error:
                if attempt + 1 < _TRIES:
                    waiting.append((task, attempt + 1))
                else:
                    lost.append((len(task), error))
        if not done:
            time.sleep(_POLL)
    if lost:
        number, (_, error) = sum(n for n, _ in lost), lost[0]
        raise RuntimeError(
            f"`executor`: {number} of {len(blocks)} blocks were lost ({type(error).__name__}: {error}). The others are "
            f"kept in {order.store}: the same call goes on from there."
        ) from error
