"""Updates of binary networks, one by one and all at once, beside loops in NumPy. How to run: `README.md` here."""

import importlib.util
import time
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


@pytest.mark.parametrize("temperature", [0.0, 0.3])
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

        def run(couplings, cue, key):
            network = C.BinaryNetwork(couplings, temperature=temperature)
            return C.retrieve(network, patterns, cue, num_steps=NUM_STEPS, order=order, key=key, throw=False)

        programs[name], costs[name] = compiled(run, couplings, cue, jr.key(3))
    if temperature == 0:
        assert programs["outer products"](hebbian, cue, jr.key(3)).overlap[-1, 0] == 1
    calls = {name: lambda n=name: programs[n](kinds[n], cue, jr.key(3)) for name in kinds}
    seconds = in_turn(calls, 10)
    for name, times in seconds.items():
        print(f"\n{name}, T = {temperature}: {NUM_STEPS * NUM_NEURONS / min(times) / 1e6:.2f} million updates a second")
    report(benchmark, costs, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(calls["outer products"]()), rounds=3)


def test_block_sizes(benchmark):
    """The same for several sizes of a block; 1 is the plain loop."""
    patterns, cue = case()
    network = C.BinaryNetwork(C.hebbian(patterns))
    calls, costs = {}, {}
    for size in (1, 8, 16, 32, 128):
        order = C.Asynchronous(block_size=size)

        def run(cue, key, order=order):
            return C.retrieve(network, patterns, cue, num_steps=NUM_STEPS, order=order, key=key, throw=False).state

        program, costs[f"blocks of {size}"] = compiled(run, cue, jr.key(3))
        calls[f"blocks of {size}"] = lambda program=program: program(cue, jr.key(3))
    seconds = in_turn(calls, 10)
    for name, times in seconds.items():
        print(f"\n{name}: {NUM_STEPS * NUM_NEURONS / min(times) / 1e6:.2f} million updates a second")
    report(benchmark, costs, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(calls["blocks of 16"]()), rounds=3)


@pytest.mark.parametrize("cached", [False, True])
def test_numpy_loop(benchmark, cached):
    path = Path(__file__).parent / "baselines" / "numpy_glauber.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    baseline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(baseline)
    patterns, cue = (np.asarray(x) for x in case())
    start = time.perf_counter()
    spins = baseline.retrieve(patterns, cue, NUM_STEPS, 0, cached)
    took = time.perf_counter() - start
    assert np.array_equal(spins, patterns[0])
    print(f"\nNumPy, cached = {cached}: {NUM_STEPS * NUM_NEURONS / took / 1e6:.2f} million updates a second")
    benchmark.pedantic(lambda: baseline.retrieve(patterns, cue, NUM_STEPS, 0, cached), rounds=1)


@pytest.mark.parametrize("num_neurons", [1000, 4000])
def test_synchronous_updates(benchmark, num_neurons):
    """Steps a second, with the overlaps with all patterns, beside the two bare products of a step."""
    patterns, cue = case(num_neurons, num_neurons // 10)
    network = C.BinaryNetwork(C.hebbian(patterns))
    run = lambda cue: C.retrieve(network, patterns, cue, num_steps=50, throw=False).overlap  # noqa: E731
    bare = jax.jit(lambda patterns, s: jnp.matmul(patterns @ s, patterns))
    program, cost = compiled(run, cue)
    seconds = in_turn({"50 steps": lambda: program(cue), "two products": lambda: bare(patterns, cue)}, 10)
    print(f"\nN = {num_neurons}: {50 / min(seconds['50 steps']):.0f} steps a second")
    report(benchmark, {"50 steps": cost}, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(program(cue)), rounds=3)
