"""Compiled programs are kept in the user's folder for caches. JAX reads where as it is imported, which comes later."""

import contextlib
import os
import sys
from pathlib import Path

LIMIT = 2 * 2**30  # bytes, above which the oldest programs are removed


def folder() -> Path:
    """Where this platform wants caches to be."""
    name, home = "hopfield-jax", Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"), name, "Cache")
    usual = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or usual, name)


def keep_programs(wanted: bool) -> None:
    """Has JAX keep all programs in `folder()`, or in that of its own setting; or, unless wanted, in none."""
    if "jax" in sys.modules:  # it has read its settings
        return
    if not wanted:
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    elif "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        with contextlib.suppress(OSError, RuntimeError):  # nobody's home, or one that cannot be written
            place = folder()
            place.mkdir(parents=True, exist_ok=True)
            trim(place)
            if os.access(place, os.W_OK):
                os.environ["JAX_COMPILATION_CACHE_DIR"] = str(place)
                os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
                # On some processors XLA prints lines of every program that it does not take back (JAX's issue 38445).
                os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def trim(place: Path) -> None:
    """Removes the oldest programs above the limit."""
    programs = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in place.glob("*-cache"))
    excess = sum(size for _, size, _ in programs) - LIMIT
    for _, size, path in programs:
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size
