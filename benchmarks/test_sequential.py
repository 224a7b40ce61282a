"""Sequences of retrievals at many gains, against SciPy; saliency maps. How to run: `README.md` here."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measure import compiled, in_turn, report
from scipy.integrate import solve_ivp

import hopfield_jax as hj

S = hj.sequential
GAINS = np.linspace(3.0, 6.0, 512, dtype=np.float32)
T1 = 20.0


def network() -> S.InputDrivenNetwork:
    return S.InputDrivenNetwork(hj.hadamard_patterns(8, 64), 5.0, S.cycle(8), tau_fast=0.01, input_coupling=0.01)


def with_scipy(gain: float, method: str) -> tuple[float, float]:
    """Seconds of one run as a user would write it, and the last dwell time from its dense output."""
    patterns = np.asarray(hj.hadamard_patterns(8, 64), float)
    forward = np.roll(patterns, -1, axis=0)  # what each memory leads to

    def rate(t, y):
        x, u = y[:64], y[64:]
        m = patterns @ np.clip(x, -1, 1) / 64
        fast = -x + (patterns @ u / 64 * m) @ patterns + 0.01 * u
        return np.concatenate([fast / 0.01, -u + gain * m @ forward])

    start = np.concatenate([1.01 * gain * patterns[0], gain * patterns[0]])
    began = time.perf_counter()
    solution = solve_ivp(rate, (0, T1), start, method=method, rtol=1e-6, atol=1e-8, dense_output=True)
    took = time.perf_counter() - began
    times = np.linspace(0, T1, 200_001)
    overlap = np.abs(patterns @ np.clip(solution.sol(times)[:64], -1, 1)) / 64
    switches = times[1:][np.diff(overlap.argmax(axis=0)) != 0]
    return took, switches[-1] - switches[-2]


def test_scan_of_the_gain(benchmark):
    model = network()
    some = np.array([4.25, 4.75, 5.25, 5.75])
    for method in ("RK45", "LSODA"):
        runs = [with_scipy(gain, method) for gain in some]
        seconds = min(took for took, _ in runs)
        print(f"\nSciPy {method}, rtol 1e-6: {seconds:.2f} s a gain, last dwells {[round(p, 5) for _, p in runs]}")
    solvers = {"adaptive steps": None, "exact dwells": S.ExactDwell(), "exact dwells, 1e-4": S.ExactDwell(1e-4, 1e-5)}
    programs, costs, calls = {}, {}, {}
    for name, solver in solvers.items():

        def scan(gains, solver=solver):
            return S.scan_gains(model, gains, t1=T1, solver=solver).period

        programs[name], costs[name] = compiled(scan, jnp.asarray(GAINS))
        calls[name] = lambda p=programs[name]: p(jnp.asarray(GAINS))
        last = S.scan_gains(model, jnp.asarray(some, jnp.float32), t1=T1, solver=solver).period
        errors = np.abs(np.asarray(last) - [period for _, period in runs])
        print(f"{name}: largest difference of the last dwell from LSODA's {errors.max():.1e}")
    times = in_turn(calls, 5)
    report(benchmark, costs, times)
    for name, taken in times.items():
        each = min(taken) / len(GAINS)
        print(f"{name}: {1e3 * each:.2f} ms a gain, {seconds / each:.0f} times cheaper than SciPy {method}")
    benchmark.pedantic(lambda: jax.block_until_ready(calls["exact dwells"]()), rounds=2)


@pytest.mark.parametrize("how", ["closed form", "iterated"])
def test_a_million_saliency_maps(benchmark, how):
    gains = jnp.linspace(3.0, 6.0, 1_000_000)

    def closed(gain):
        return S.iterate(gain, gain, 100)

    def iterated(gain):
        return jax.lax.fori_loop(0, 100, lambda i, z: S.saliency_map(gain, z), gain, unroll=10)

    program, cost = compiled(closed if how == "closed form" else iterated, gains)
    report(benchmark, {how: cost}, in_turn({how: lambda: program(gains)}, 10))
    benchmark.pedantic(lambda: jax.block_until_ready(program(gains)), rounds=3)
