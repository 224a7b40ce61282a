"""Adiabatic update, batched retrieval and stiff networks; compile and run apart. How to run: `README.md` here."""

import importlib.util
import statistics
from pathlib import Path

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from measure import compiled, in_turn, report

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import associative as A


def test_update_beside_its_two_products(benchmark):
    batch, num_neurons, num_patterns = 256, 1024, 1024
    patterns = hj.random_patterns(num_patterns, num_neurons, key=jr.key(0))
    states = patterns[:batch] + jr.normal(jr.key(1), (batch, num_neurons))

    def update(patterns, states):
        network = A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=0.1))
        return jax.vmap(network.update)(states)

    def products(patterns, states):
        h = jnp.matmul(states, patterns.T, precision=jax.lax.Precision.HIGHEST)
        return jnp.matmul(h, patterns, precision=jax.lax.Precision.HIGHEST)

    programs = {f.__name__: compiled(f, patterns, states) for f in (update, products)}
    calls = {name: lambda p=program: p(patterns, states) for name, (program, _) in programs.items()}
    expected = jax.nn.softmax(0.1 * states @ patterns.T, axis=-1) @ patterns
    np.testing.assert_allclose(calls["update"](), expected, atol=1e-4)
    in_turn(calls, 3)
    seconds = in_turn(calls, 60)
    ratios = [u / p for u, p in zip(*seconds.values(), strict=True)]
    report(benchmark, {name: cost for name, (_, cost) in programs.items()}, seconds)
    ratio = {"of the fastest": min(seconds["update"]) / min(seconds["products"]), "median": statistics.median(ratios)}
    benchmark.extra_info["ratio"] = ratio
    print(f"ratio: {ratio}")
    benchmark.pedantic(lambda: jax.block_until_ready(calls["update"]()), rounds=20)


def test_retrieval_beside_numpy(benchmark):
    num_cues, num_neurons, num_patterns, num_steps, beta = 1024, 256, 256, 10, 0.1
    patterns = hj.random_patterns(num_patterns, num_neurons, key=jr.key(0))
    targets = jnp.arange(num_cues) % num_patterns
    cues = jax.vmap(lambda i, k: hj.flip(patterns[i], 0.3, key=k))(targets, jr.split(jr.key(1), num_cues))

    def ours(patterns, cues):
        network = A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=beta))
        steps = {"solver": dfx.Euler(), "dt0": 1.0, "t1": float(num_steps), "num_times": num_steps + 1}
        run = lambda cue: A.retrieve(network, patterns, cue, throw=False, **steps)  # noqa: E731
        found = jax.vmap(run)(cues)
        return {name: getattr(found, name) for name in ("overlap", "similarity", "energy", "winner", "output")}

    path = Path(__file__).parent / "baselines" / "numpy_retrieval.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    baseline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(baseline)

    program, cost = compiled(ours, patterns, cues)
    host = np.asarray(patterns), np.asarray(cues)
    calls = {
        "hopfield_jax": lambda: program(patterns, cues),
        "NumPy": lambda: baseline.retrieve(*host, np.float32(beta), num_steps),
    }
    got, expected = (call() for call in calls.values())
    # float32: energies are about 100 large, and softmax carries the rounding of β Ξ v, about 1e-5, into the states.
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-3, err_msg=name)
    print(f"\nretrieved: {np.mean(np.asarray(got['winner']) == np.asarray(targets)):.3f}")
    report(benchmark, {"hopfield_jax": cost}, in_turn(calls, 30))
    benchmark.pedantic(lambda: jax.block_until_ready(calls["hopfield_jax"]()), rounds=5)


@pytest.mark.parametrize("tau_hidden", [1e-1, 1e-3])
def test_stiff_networks_by_explicit_and_implicit_solvers(benchmark, tau_hidden):
    with enable_x64(True):
        patterns = hj.random_patterns(8, 96, key=jr.key(0))
        state = {"visible": hj.flip(patterns[0], 0.3, key=jr.key(1)), "hidden": jnp.zeros(8)}

        def solve(solver):
            def run(patterns, state):
                network = A.slow_fast_network(
                    A.MemoryMap(patterns), visible=hj.LogCosh(1.0), hidden=hj.LogSumExp(0.1), tau_hidden=tau_hidden
                )
                path = hj.integrate(network, state, t1=10.0, solver=solver, throw=False)
                return path.final, path.stats["num_steps"], hj.is_okay(path.result)

            return compiled(run, patterns, state)

        programs = {"default": solve(None), "Kvaerno3": solve(dfx.Kvaerno3())}
        calls = {name: lambda p=program: p(patterns, state) for name, (program, _) in programs.items()}
        results = {name: call() for name, call in calls.items()}
        assert all(okay for _, _, okay in results.values())
        (explicit, _, _), (implicit, _, _) = results.values()
        for name in explicit:  # relative tolerance 1e-8 a step
            np.testing.assert_allclose(explicit[name], implicit[name], rtol=1e-5, atol=1e-5)
        costs = {name: cost | {"steps": int(results[name][1])} for name, (_, cost) in programs.items()}
        report(benchmark, costs, in_turn(calls, 8))
        benchmark.pedantic(lambda: jax.block_until_ready(calls["default"]()), rounds=5)
