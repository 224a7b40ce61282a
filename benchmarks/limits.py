"""What this machine can do at most, measured through XLA on the default device, and what it is."""

import dataclasses
import datetime
import importlib.metadata
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

MIB = 2.0**20
PACKAGES = ("jax", "jaxlib", "equinox", "diffrax", "numpy", "scipy")


@dataclasses.dataclass(frozen=True)
class Work:
    """What a computation must do at least: operations, and bytes between processor and memory. `wide`: in float64."""

    flops: float
    bytes: float = 0.0
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Limits:
    """Flop/s of a large matrix product, in float32 and float64; bytes/s by working set in bytes."""

    flops32: float
    flops64: float
    bandwidth: dict[float, float]

    def speed(self, size: float | None) -> float:
        """Bytes/s at the working set measured that is nearest to `size`; from memory if that is not known."""
        nearest = max(self.bandwidth) if not size else min(self.bandwidth, key=lambda s: abs(math.log(s / size)))
        return self.bandwidth[nearest]

    def least(self, work: Work, size: float | None = None) -> float:
        """Seconds that the work takes at the limit that binds."""
        return max(work.flops / (self.flops64 if work.wide else self.flops32), work.bytes / self.speed(size))

    def share(self, work: Work, seconds: float, size: float | None = None) -> tuple[str, float]:
        """The rate in the unit of the limit that binds, and its share of that limit."""
        least = self.least(work, size)
        if work.bytes / self.speed(size) >= least:
            return f"{work.bytes / seconds / 1e9:.3g} GB/s", least / seconds
        return f"{work.flops / seconds / 1e9:.3g} GFlop/s", least / seconds


def _fastest(call: Callable, rounds: int) -> float:
    jax.block_until_ready(call())
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - began)
    return min(taken)


def _product(size: int, rounds: int) -> float:
    """Flop/s of a product of two square matrices, in the default float type, at full precision."""
    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST))
    return 2.0 * size**3 / _fastest(lambda: product(a, a), rounds)


def _bandwidth(size: float, rounds: int) -> float:
    """Bytes/s at a working set: the better of a triad a ← s a + c and of a product of a matrix with a vector.

    Both are repeated within one program, each time with the outcome of the last, so that starting a program does not
    count.
    """
    repeats = max(1, int(64 * MIB / size))
    length = int(size / 4 / 2)
    a, c = jnp.ones(length, jnp.float32), jnp.full(length, 0.5, jnp.float32)

    def triads(a, c):
        return jax.lax.fori_loop(0, repeats, lambda i, a: 0.5 * a + c, a)

    side = int(math.sqrt(size / 4))
    matrix, vector = jnp.full((side, side), 1 / side, jnp.float32), jnp.ones(side, jnp.float32)

    def products(matrix, vector):
        return jax.lax.fori_loop(0, repeats, lambda i, v: matrix @ v, vector)

    triad, product = jax.jit(triads), jax.jit(products)
    return max(
        repeats * 12.0 * length / _fastest(lambda: triad(a, c), rounds),
        repeats * 4.0 * side**2 / _fastest(lambda: product(matrix, vector), rounds),
    )


def limits(quick: bool, float64: Callable) -> Limits:
    """Measures them: some ten seconds."""
    size, rounds = (1024, 5) if quick else (2048, 15)
    with float64(False):
        narrow = _product(size, rounds)
        sets = {s * MIB: _bandwidth(s * MIB, 15) for s in ((4, 64) if quick else (1, 4, 16, 64, 256))}
    with float64(True):
        wide = _product(size, rounds)
    return Limits(narrow, wide, sets)


def load() -> float | None:
    """How many processes wanted a processor, on average over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")] if cpuinfo.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return None


def machine() -> dict:
    """Hardware, versions and date."""
    device = jax.devices()[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": f"{device.platform}: {device.device_kind}",
        "num_devices": jax.device_count(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
        "load_average_before": load(),
    }
