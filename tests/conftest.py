"""Strictness for every test, and the few fixtures that all share."""

import os

os.environ["MPLBACKEND"] = "Agg"
# Nearly all the time of the fast ring is XLA's; without its costly passes, and with the older of its two code
# generators (below), it takes a third. Set it to 0 to test the programs that users run (docs/contributing.md).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import gc
import mmap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import jax
import jax.random as jr
import pytest

from helpers import enable_x64
from reliability.report import Report

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


OLDER_GENERATOR = "--xla_cpu_use_fusion_emitters=false"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests as well")
    parser.addoption("--reliability-report", metavar="FILE", help="write the tables of the reliability report there")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.slow and config.option.markexpr == "not slow and not gpu":  # as pyproject.toml has it
        config.option.markexpr = "not gpu"
    config.pluginmanager.register(Report(config))
    flags = os.environ.get("XLA_FLAGS", "")  # which XLA reads when it starts
    if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] != "0" and OLDER_GENERATOR not in flags and xla_knows_generators():
        os.environ["XLA_FLAGS"] = f"{flags} {OLDER_GENERATOR}".strip()
    gc.set_threshold(50_000, 20, 20)  # traces make many objects: a tenth of the time goes into looking for cycles


def xla_knows_generators() -> bool:
    """Whether XLA's library contains the flag's name: an unknown flag ends the process."""
    name = OLDER_GENERATOR.strip("-").partition("=")[0].encode()
    jaxlib = find_spec("jaxlib")
    for path in Path(jaxlib.origin).parent.glob("libjax_common.*") if jaxlib and jaxlib.origin else ():
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library:
            if library.find(name) >= 0:
                return True
    return False


@pytest.fixture
def key() -> jax.Array:
    """The same key for every test, so that a test run alone uses the same numbers as in the suite."""
    return jr.key(0)


@pytest.fixture
def x64():
    """64-bit mode for one test."""
    with enable_x64():
        yield


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Clears caches of compiled programs: each uses some of the 65530 memory maps per process of Linux, and XLA crashes
    when they run out."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.hookimpl(trylast=True)  # after the deselection by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="JAX sees no GPU"))


def _has_gpu() -> bool:
    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False
