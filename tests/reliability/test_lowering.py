"""Everything public, lowered for accelerators from any machine: no callback into Python, no float64; and how many
products the hot loops make."""

import re
from functools import cache

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj

from .judge import Recipe
from .perturb import Array, Key, Real, Thing
from .recipes import AREAS
from .test_compilation import COSTLY, usual

FORBIDDEN = re.compile(r".*(custom_call @\w*callback|[<x]f64>).*")
SHAPES_FROM_NUMBERS = frozenset({"crosstalk_noise"})  # of a load, which therefore cannot be traced
GENERAL_EIGENVALUES = frozenset({"periodic_orbit"})  # of a matrix that is not symmetric, which TPUs do not have


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

    return for_accelerators(program, arrays)


def for_accelerators(program, *args) -> str:
    return jax.export.export(jax.jit(program), platforms=["cuda", "tpu"])(*args).mlir_module()


@pytest.mark.parametrize("costly", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "costly"])
@pytest.mark.parametrize("area", AREAS)
def test_programs_lower_for_accelerators(area, costly):
    found = {}
    for recipe in AREAS[area]():
        name = recipe.call.__name__
        exempt = not recipe.traced or name in SHAPES_FROM_NUMBERS | GENERAL_EIGENVALUES
        if not exempt and (name in COSTLY) == costly:
            if bad := FORBIDDEN.search(lowered(recipe)):
                found[name] = bad.group()[:200]
    assert found == {}


# --- hot loops ---

PATTERNS = hj.random_patterns(12, 48, key=jr.key(0))
CUES = jax.vmap(lambda x, key: hj.flip(x, 0.2, key=key))(PATTERNS[:8], jr.split(jr.key(1), 8))
EULER: dict = {"solver": dfx.Euler(), "throw": False}


def attention(patterns) -> hj.associative.AdiabaticNetwork:
    return hj.associative.AdiabaticNetwork(hj.associative.MemoryMap(patterns), hidden=hj.LogSumExp(beta=1.0))


def retrieval(patterns, cues):
    steps = EULER | {"dt0": 1.0, "t1": 10.0, "num_times": 11}
    return jax.vmap(lambda cue: hj.associative.retrieve(attention(patterns), patterns, cue, **steps).energy)(cues)


def descent(patterns, cues):
    network = attention(patterns)
    steps = EULER | {"dt0": 1.0, "t1": 10.0, "saveat": np.arange(11.0)}
    run = lambda cue: hj.integrate(network, cue, statistics=lambda t, y, _: network.energy(y), **steps)  # noqa: E731
    return jax.vmap(lambda cue: run(cue).values)(cues)


def fixed_points(patterns, cues):
    return jax.vmap(lambda cue: hj.steady_state(attention(patterns), cue, **EULER).state)(cues)


def adaptive(patterns, cues):
    return jax.vmap(lambda cue: hj.integrate(attention(patterns), cue, t1=10.0, throw=False).final)(cues)


def synchronous(patterns, cues):
    network = hj.classical.BinaryNetwork(hj.classical.hebbian(patterns))
    return hj.classical.retrieve(network, patterns, cues[0], num_steps=10, throw=False).overlap


def products(text: str) -> list[int]:
    """How many products with a matrix the loops of a compiled program make in one iteration."""
    bodies = {found[1]: found[2] for found in re.finditer(r"^(?:ENTRY )?%(\S+) \(.*?\{\n(.*?)^\}", text, re.M | re.S)}

    @cache
    def inside(name: str) -> int:
        called = re.findall(r"(?:calls|to_apply)=%([\w.\-]+)", bodies[name])
        return len(re.findall(r"= \S+ dot\(", bodies[name])) + sum(map(inside, called))

    return [inside(name) for name in re.findall(r"body=%([\w.\-]+)", text)]


@pytest.mark.parametrize("program", [retrieval, descent, fixed_points])
def test_loops_make_no_product_twice(program):
    # One of the state with the patterns and one of the memories with the patterns: statistics and steps share them.
    compiled = jax.jit(program).lower(PATTERNS, CUES).compile().as_text() or ""
    assert [count for count in products(compiled) if count] == [2]


@pytest.mark.parametrize("program", [retrieval, descent, fixed_points, synchronous, adaptive])
def test_loops_lower_for_accelerators_with_their_gradients(program):
    scalar = lambda patterns, cues: jnp.sum(program(patterns, cues))  # noqa: E731
    differentiated = scalar if program is synchronous else jax.grad(scalar)
    assert not FORBIDDEN.search(for_accelerators(differentiated, PATTERNS, CUES))
