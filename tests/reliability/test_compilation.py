"""Everything public, called twice with other numbers of the same shapes: the second call compiles nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

from .judge import Recipe
from .perturb import Array, Indices, Interval, Key, Real, Thing
from .recipes import AREAS

FACTOR = 1 + 2.0**-10  # to other numbers, so near that no count of patterns or neurons becomes another
COSTLY = frozenset(  # their first compilation takes several seconds
    "tune_gain tune_dwell_times scan_gains measure_delay critical_load replica_branch phase_lines phase_diagram "
    "covariance_capacity panel final_overlap".split()
)
KEPT = {"boundary": ("lower", "upper")}  # which are part of the function that a sweep traces
_compiled: list[str] = []


def _note(event: str, duration_secs: float, **kwargs: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":  # also where a cache on disk has the program
        _compiled.append(str(kwargs.get("fun_name", "a program")))


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The list of what is compiled within the block."""
    if not _compiled:
        jax.monitoring.register_event_duration_secs_listener(_note)
        jax.jit(lambda x: x + 1)(np.zeros(3))
        assert _compiled, "JAX no longer reports compilations under this name"
    del _compiled[1:]
    seen: list[str] = []
    yield seen
    seen += _compiled[1:]


def usual(kind: Any) -> Any:
    """The value of an argument; in the types that the signatures name, which the tests check."""
    if isinstance(kind, Array) and kind.value is not None:
        return jnp.asarray(kind.value, np.float32)
    return jnp.asarray(kind.value) if isinstance(kind, Indices) else kind.value


def other(kind: Any) -> Any:
    """Another value of the same shape that is as right; the same where there is none."""
    value = kind.value
    if isinstance(kind, Real) and value is not None:
        return next(x for x in (FACTOR * value, value / FACTOR, value) if Interval(kind.domain).holds(x))
    if isinstance(kind, Array) and value is not None:
        x = np.asarray(value, np.float32)
        return next(jnp.asarray(y) for y in (np.flip(x), x * FACTOR, x / FACTOR, x) if kind._holds(y))
    if isinstance(kind, Key) and value is not None:
        return jr.key(1)
    if isinstance(kind, Thing) and isinstance(value, eqx.Module | dict):
        return jtu.tree_map(lambda x: FACTOR * x if eqx.is_inexact_array_like(x) and not np.ndim(x) else x, value)
    return usual(kind)


def compiled_again(recipe: Recipe) -> list[str]:
    first = {name: usual(kind) for name, kind in recipe.arguments.items()}
    kept = KEPT.get(recipe.call.__name__, ())
    second = {name: first[name] if name in kept else other(kind) for name, kind in recipe.arguments.items()}
    recipe.call(**first)
    with compilations() as found:
        recipe.call(**second)
    return found


@pytest.mark.parametrize("costly", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "costly"])
@pytest.mark.parametrize("area", AREAS)
def test_a_second_call_with_other_numbers_compiles_nothing(area, costly):
    recipes = [recipe for recipe in AREAS[area]() if (recipe.call.__name__ in COSTLY) == costly]
    assert {recipe.call.__name__: found for recipe in recipes if (found := compiled_again(recipe))} == {}
