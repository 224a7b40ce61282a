"""What a report of a problem should contain: versions, devices, precision, memory, compilation cache."""

import dataclasses
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ._report import PACKAGES, versions

_PACKAGES = (*PACKAGES, "optimistix", "lineax", "optax", "jaxtyping", "scipy", "matplotlib", "xarray", "zarr", "typer")


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Versions, devices, precision, memory and the state of the compilation cache: what a report of a problem needs.

    \b
    Example
      hopfield-jax doctor
    """

    def run(self, echo: Callable[[str], None]) -> list[Path]:
        for line in doctor_lines():
            echo(line)
        return []


def doctor_lines() -> list[str]:
    """The report, one fact a line. What cannot be found out is said to be unknown; this never fails."""
    lines = []
    for section in (_versions, _devices, _precision, _memory, _cache):
        lines.append(section.__name__.strip("_"))
        try:
            for name, value in section():
                lines.append(f"  {name}: {value}")
        except Exception as error:  # a broken installation is what this report is for
            lines.append(f"  unknown ({type(error).__name__}: {error})")
    return lines


def _versions() -> Iterator[tuple[str, object]]:
    yield "system", f"{platform.system()} {platform.machine()}"
    yield from versions(_PACKAGES).items()


def _devices() -> Iterator[tuple[str, object]]:
    for device in jax.devices():
        kind = "" if device.device_kind == device.platform else f", {device.device_kind}"
        yield str(device.id), f"{device.platform}{kind}"


def _precision() -> Iterator[tuple[str, object]]:
    is_64_bit = jax.dtypes.canonicalize_dtype(jnp.float64) == jnp.float64
    yield "default", "float64 (64-bit mode is on)" if is_64_bit else "float32 (64-bit mode is off)"
    yield "matrix products", _option("jax_default_matmul_precision") or "the backend's default"


def _memory() -> Iterator[tuple[str, object]]:
    total, available = _host_memory()
    yield "host", f"{_size(total)}, {_size(available)} available"
    for device in jax.local_devices():
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            yield f"device {device.id}", f"{_size(stats['bytes_limit'])}, {_size(stats.get('bytes_in_use'))} in use"
        else:
            yield f"device {device.id}", "the backend does not say"


def _cache() -> Iterator[tuple[str, object]]:
    directory = _option("jax_compilation_cache_dir")
    enabled = directory and _option("jax_enable_compilation_cache")
    yield "compilation cache", f"{'on' if enabled else 'off'}, directory {directory or 'not set'}"
    if directory and Path(directory).is_dir():
        sizes = [path.stat().st_size for path in Path(directory).glob("*-cache")]
        yield "entries", f"{len(sizes)}, {_size(sum(sizes))}"


def _option(name: str) -> Any:
    """One of JAX's settings, read and never written; `None` where this version of JAX has no such setting."""
    return getattr(jax.config, name, None)


def _host_memory() -> tuple[int | None, int | None]:
    """Total and available bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * kib["MemTotal"], 1024 * kib["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (AttributeError, OSError, ValueError):
        return None, None


def _size(num_bytes: int | None) -> str:
    if num_bytes is None:
        return "unknown"
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"
