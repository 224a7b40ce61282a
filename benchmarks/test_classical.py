"""Updates of binary networks, one by one and all at once, beside loops in NumPy. How to run: `README.md` here."""

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from measure import compiled, in_turn, report

import hopfield_jax as hj

C = hj.classical
NUM_NEURONS, NUM_PATTERNS, NUM_STEPS = 1000, 100, 20


def case(num_neurons: int = NUM_NEURONS, num_patterns: int = NUM_PATTERNS):
    patterns = hj.random_patterns(num_patterns, num_neurons, key=jr.key(0))
    return patterns, hj.flip(patterns[0], 0.15, key=jr.key(1))


def numpy_baseline():
    path = Path(__file__).parent / "baselines" / "numpy_glauber.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    baseline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(baseline)
    return baseline


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_asynchronous_updates(benchmark, temperature):
    """Single updates a second at N = 1000, with overlaps and energy at every step, by kind of couplings."""
    patterns, cue = case()
    hebbian = C.hebbian(patterns)
    kinds = {
        "outer products": hebbian,
        "matrix": C.DenseCouplings(hebbian.matrix(), symmetric=True),
        "100 neighbours": C.dilute(hebbian, 100, key=jr.key(2)),
    }
    order, programs, costs = C.Asynchronous(), {}, {}
    for name, couplings in kinds.items():

        def run(couplings, patterns, cue, key):
            network = C.BinaryNetwork(couplings, temperature=temperature)
            return C.retrieve(network, patterns, cue, num_steps=NUM_STEPS, order=order, key=key, throw=False)

        programs[name], costs[name] = compiled(run, couplings, patterns, cue, jr.key(3))
    if temperature == 0:
        assert programs["outer products"](hebbian, patterns, cue, jr.key(3)).overlap[-1, 0] == 1
    calls: dict[str, Callable] = {
        name: functools.partial(programs[name], kinds[name], patterns, cue, jr.key(3)) for name in kinds
    }
    baseline, given = numpy_baseline(), tuple(np.asarray(x) for x in (patterns, cue))
    for name, cached in (("NumPy", False), ("NumPy, fields kept", True)):
        calls[name] = functools.partial(baseline.retrieve, *given, temperature, NUM_STEPS, 0, cached)
        assert temperature or np.array_equal(calls[name](), given[0][0])
    seconds = in_turn(calls, 10)
    for name, times in seconds.items():
        print(f"\n{name}, T = {temperature}: {NUM_STEPS * NUM_NEURONS / min(times) / 1e6:.2f} million updates a second")
    report(benchmark, costs, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(calls["outer products"]()), rounds=3)


def test_block_sizes(benchmark):
    """The same for several sizes of a block; 1 is the plain loop."""
    patterns, cue = case()
    couplings, calls, costs = C.hebbian(patterns), {}, {}
    for size in (1, 8, 16, 32, 128):
        order = C.Asynchronous(block_size=size)

        def run(couplings, cue, key, order=order):
            network = C.BinaryNetwork(couplings)
            return C.retrieve(network, cue[None], cue, num_steps=NUM_STEPS, order=order, key=key, throw=False).state

        program, costs[f"blocks of {size}"] = compiled(run, couplings, cue, jr.key(3))
        calls[f"blocks of {size}"] = lambda program=program: program(couplings, cue, jr.key(3))
    seconds = in_turn(calls, 10)
    for name, times in seconds.items():
        print(f"\n{name}: {NUM_STEPS * NUM_NEURONS / min(times) / 1e6:.2f} million updates a second")
    report(benchmark, costs, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(calls["blocks of 16"]()), rounds=3)


@pytest.mark.parametrize("num_neurons", [1000, 4000])
def test_synchronous_updates(benchmark, num_neurons):
    """Steps a second, with the overlaps with all patterns, beside the two bare products of a step."""
    patterns, cue = case(num_neurons, num_neurons // 10)

    def run(couplings, patterns, cue):
        return C.retrieve(C.BinaryNetwork(couplings), patterns, cue, num_steps=50, throw=False).overlap

    arguments = C.hebbian(patterns), patterns, cue
    program, cost = compiled(run, *arguments)
    bare = jax.jit(lambda patterns, s: jnp.matmul(patterns @ s, patterns))
    calls = {"50 steps": lambda: program(*arguments), "two products": lambda: bare(patterns, cue)}
    seconds = in_turn(calls, 10)
    print(f"\nN = {num_neurons}: {50 / min(seconds['50 steps']):.0f} steps a second")
    report(benchmark, {"50 steps": cost}, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(program(*arguments)), rounds=3)
