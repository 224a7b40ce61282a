"""Helpers that test modules import: `from helpers import ...`.

`conftest.py` imports this file before jaxtyping's run-time checks are installed: so nothing here imports `hopfield_jax`
at the top.
"""

import contextlib

import jax


def enable_x64(enabled: bool = True) -> contextlib.AbstractContextManager:
    """64-bit mode within a `with` block, whichever way this version of JAX spells it."""
    if hasattr(jax, "enable_x64"):  # since jax 0.8
        return jax.enable_x64(enabled)
    from jax import experimental

    return getattr(experimental, "enable_x64")(enabled)  # noqa: B009  (gone since jax 0.9)
