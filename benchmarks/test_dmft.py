"""Mean-field theory and simulation with plastic synapses; compile and run apart. How to run: `README.md` here."""

import functools
import importlib.util
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from measure import compiled, in_turn, report

import hopfield_jax as hj

D = hj.dmft
LOGCOSH = hj.LogCosh(beta=4.0)


def fastest(call, rounds: int = 5) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.parametrize("num_samples, num_shifts", [(4096, 1), (4096, 4), (16384, 4)])
def test_clark_s_case(benchmark, num_samples, num_shifts):
    """Clark 2026: his single-file solver took 216 s for an error of 4e-4 on two cores."""
    amplitude, at = 0.9 * 1.2, np.array([0, 10, 25, 50, 75, 99])
    model = D.PlasticNetwork(0.1, hj.LogCosh(), dt=0.02, self_coupling=True, coupling=1.2 / math.sqrt(0.1))
    cue = D.GaussianCue(amplitude, math.sqrt(1.2**2 - amplitude**2))

    def overlap(model, cue, key):
        sizes = {"num_steps": 99, "num_samples": num_samples, "num_shifts": num_shifts}
        return D.solve(model, cue, key=key, throw=False, **sizes).overlap

    program, cost = compiled(overlap, model, cue, jr.key(0))
    expected = np.array([0.71865, 0.86243, 0.94588, 0.97629, 0.98330, 0.98578])
    errors = [np.max(np.abs(np.asarray(program(model, cue, jr.key(i)))[at] - expected)) for i in range(8)]
    print(f"\nlargest deviation at six points, 8 keys: {max(errors):.2e}, median {np.median(errors):.2e}")
    report(benchmark, {"solve": cost}, in_turn({"solve": lambda: program(model, cue, jr.key(0))}, 10))
    benchmark.extra_info["largest error of 8 keys"] = float(max(errors))
    benchmark.pedantic(lambda: jax.block_until_ready(program(model, cue, jr.key(0))), rounds=3)


def test_cost_against_steps_and_samples(benchmark):
    """Fitted exponents, and the rate of the four products with histories beside a bare one of that shape."""
    model, cue = D.PlasticNetwork(0.1, LOGCOSH, kernel=D.LeakyHebbian(0.3, 5.0)), D.SpinCue(0.5)
    seconds = {}
    for num_steps, num_samples in [
        (25, 8192),
        (50, 8192),
        (100, 8192),
        (200, 8192),
        (400, 8192),
        (100, 2048),
        (100, 32768),
    ]:

        def run(model, cue, key, sizes=(num_steps, num_samples)):
            return D.solve(
                model, cue, num_steps=sizes[0], num_samples=sizes[1], num_shifts=1, key=key, throw=False
            ).overlap

        program, cost = compiled(run, model, cue, jr.key(0))
        took = seconds[num_steps, num_samples] = fastest(lambda p=program: p(model, cue, jr.key(0)), 3)
        # Two strata: outputs are read twice a step, noise twice, each product two operations an entry.
        work = 2 * num_samples * num_steps**2 / 2 * (2 * 2 + 2)
        print(
            f"\nT = {num_steps}, M = {num_samples}: compile {cost['compile (s)']:.1f} s, run {1e3 * took:.1f} ms, "
            f"{cost['memory (MiB)']:.0f} MiB, {work / took / 1e9:.2f} GFlop/s"
        )
    steps = [25, 50, 100, 200, 400]
    slope = np.polyfit(np.log(steps[2:]), np.log([seconds[t, 8192] for t in steps[2:]]), 1)[0]
    samples = [2048, 8192, 32768]
    sample_slope = np.polyfit(np.log(samples), np.log([seconds[100, m] for m in samples]), 1)[0]
    rows = jr.normal(jr.key(0), (200, 2 * 8192))
    bare = jax.jit(lambda w, rows: jnp.matmul(w, rows, precision=jax.lax.Precision.HIGHEST))
    took = fastest(lambda: bare(rows[:, 0], rows), 20)
    print(f"\nexponents: {slope:.2f} in T (100 to 400), {sample_slope:.2f} in M; a bare product of this shape "
          f"{2 * rows.size / took / 1e9:.2f} GFlop/s")  # fmt: skip
    benchmark.extra_info |= {"exponent of T": float(slope), "exponent of M": float(sample_slope)}
    benchmark.pedantic(lambda: jax.block_until_ready(bare(rows[:, 0], rows)), rounds=3)


def test_phase_diagram(benchmark):
    """16 × 16 strengths and loads at T = 60, in one program."""

    def final(strength, load, key):
        model = D.PlasticNetwork(load, LOGCOSH, kernel=D.LeakyHebbian(strength, 5.0))
        out = D.solve(model, D.SpinCue(0.6), num_steps=60, num_samples=2048, num_shifts=1, key=key, throw=False)
        return out.overlap[-1]

    def diagram(strengths, loads, key):
        rows = lambda s: jax.vmap(lambda a: final(s, a, key))(loads)  # noqa: E731
        return jax.lax.map(rows, strengths)

    args = jnp.linspace(0, 2, 16), jnp.linspace(0.02, 0.2, 16), jr.key(0)
    program, cost = compiled(diagram, *args)
    out = np.asarray(program(*args))
    assert np.all(np.isfinite(out)) and out.max() > 0.95 and out.min() < 0.5
    report(benchmark, {"256 points": cost}, in_turn({"256 points": lambda: program(*args)}, 3))
    benchmark.pedantic(lambda: jax.block_until_ready(program(*args)), rounds=1)


@pytest.mark.parametrize("num_neurons", [4000, 16000])
def test_simulation_steps(benchmark, num_neurons):
    """Steps a second beside the two bare products with the patterns, and (N = 4000) a NumPy loop with matrices."""
    num_steps = 40
    model, cue = D.PlasticNetwork(0.12, LOGCOSH, kernel=D.LeakyHebbian(0.3, 5.0)), D.SpinCue(0.4)
    num_patterns = int(model.num_patterns(num_neurons))

    def run(steps):
        def simulate(strength, key):
            plastic = D.PlasticNetwork(0.12, LOGCOSH, kernel=D.LeakyHebbian(strength, 5.0))
            return D.simulate(
                plastic,
                cue,
                num_steps=steps,
                num_neurons=num_neurons,
                num_trials=1,
                max_patterns=num_patterns,
                key=key,
                throw=False,
            ).overlap

        return simulate

    (long, cost), (short, _) = (compiled(run(n), jnp.float32(0.3), jr.key(0)) for n in (num_steps, 1))
    times = [fastest(lambda p=p: p(jnp.float32(0.3), jr.key(0)), 3) for p in (long, short)]
    step = (times[0] - times[1]) / (num_steps - 1)
    patterns = jr.rademacher(jr.key(0), (num_patterns, num_neurons), jnp.float32)
    products = jax.jit(lambda patterns, phi: (patterns @ phi) @ patterns)
    phi = patterns[0]
    bare = fastest(lambda: products(patterns, phi), 20)
    print(f"\nN = {num_neurons}: {1e3 * step:.2f} ms a step ({1 / step:.0f} steps/s), its two bare products "
          f"{1e3 * bare:.2f} ms; patterns, cue and first step {times[1]:.2f} s, {cost}")  # fmt: skip
    if num_neurons == 4000:
        path = Path(__file__).parent / "baselines" / "numpy_plastic.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        baseline = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(baseline)
        start = time.perf_counter()
        got = baseline.simulate(np.asarray(patterns), np.asarray(phi), 4.0, 0.3, 5.0, 5)
        print(f"NumPy with matrices: {(time.perf_counter() - start) / 6:.2f} s a step; m = {got[-1]:.3f}")
    benchmark.extra_info |= {"ms a step": 1e3 * step, "two products (ms)": 1e3 * bare}
    benchmark.pedantic(lambda: jax.block_until_ready(long(jnp.float32(0.3), jr.key(0))), rounds=1)


@pytest.mark.parametrize("num_steps", [30, 100])
def test_cost_of_gradients(benchmark, num_steps):
    """One parameter in forward mode, the hundred lags of a kernel in reverse, beside the solution itself."""
    lags = np.subtract.outer(np.arange(num_steps + 1), np.arange(num_steps + 1))

    def final(strength, kernel):
        table = jnp.where(lags > 0, strength * kernel[np.clip(lags - 1, 0, 99)], 0)
        model = D.PlasticNetwork(0.12, LOGCOSH, kernel=D.TableKernel(table))
        sizes = {"num_steps": num_steps, "num_samples": 8192, "num_shifts": 2}
        return D.solve(model, D.SpinCue(0.4), key=jr.key(0), throw=False, **sizes).overlap[-1]

    arguments = jnp.asarray(0.5), 0.2 * 0.8 ** jnp.arange(100.0)
    calls = {
        "solution": final,
        "one derivative, forward": lambda s, k: jax.jvp(lambda s: final(s, k), (s,), (jnp.ones_like(s),)),
        "hundred derivatives, reverse": jax.value_and_grad(final, argnums=1),
    }
    programs, costs = {}, {}
    for name, call in calls.items():
        programs[name], costs[name] = compiled(call, *arguments)
    seconds = in_turn({name: functools.partial(p, *arguments) for name, p in programs.items()}, 9)
    for name in calls:
        time_ratio = min(seconds[name]) / min(seconds["solution"])
        memory_ratio = costs[name]["memory (MiB)"] / costs["solution"]["memory (MiB)"]
        print(f"\n{name}: {time_ratio:.2f} times the time, {memory_ratio:.2f} times the memory of a solution")
    report(benchmark, costs, seconds)
    benchmark.pedantic(lambda: jax.block_until_ready(programs["solution"](*arguments)), rounds=3)
