"""Everything public, lowered for accelerators from any machine: no callback into Python, no float64."""

import re

import equinox as eqx
import jax
import jax.random as jr
import pytest

from .judge import Recipe
from .perturb import Array, Key, Real, Thing
from .recipes import AREAS
from .test_compilation import COSTLY, usual


def is_traced(kind) -> bool:
    """Whether a recipe's argument may be traced."""
    if isinstance(kind, Thing):
        return isinstance(kind.value, eqx.Module)
    return kind.value is not None and (isinstance(kind, Key) or (isinstance(kind, Real | Array) and kind.traced))


def lowered(recipe: Recipe) -> str:
    """The program of one call, as text."""
    known = {name: usual(kind) for name, kind in recipe.arguments.items()}
    if "max_patterns" in known:  # of a traced load
        known["max_patterns"] = 16
    ours = {name: known.pop(name) for name, kind in recipe.arguments.items() if is_traced(kind)}
    ours = {name: jr.key_data(x) if isinstance(recipe.arguments[name], Key) else x for name, x in ours.items()}
    arrays, rest = eqx.partition(ours, lambda x: eqx.is_array_like(x) and not isinstance(x, bool))

    def program(arrays):
        return eqx.filter(recipe.call(**eqx.combine(arrays, rest), **known), eqx.is_array)

    return jax.export.export(jax.jit(program), platforms=["cuda", "tpu"])(arrays).mlir_module()


@pytest.mark.parametrize("costly", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "costly"])
@pytest.mark.parametrize("area", AREAS)
def test_programs_lower_for_accelerators(area, costly):
    found = {}
    for recipe in AREAS[area]():
        shapes_from_load = recipe.call.__name__ == "crosstalk_noise"
        if recipe.traced and not shapes_from_load and (recipe.call.__name__ in COSTLY) == costly:
            if bad := re.search(r".*(custom_call @\w*callback|[<x]f64>).*", lowered(recipe)):
                found[recipe.call.__name__] = bad.group()[:200]
    assert found == {}
