"""The replica-symmetric phase diagram, against damped iteration in NumPy. How to run: `README.md` here."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from baselines import numpy_replica
from measure import compiled, in_turn, report

import hopfield_jax as hj
from helpers import enable_x64

SIZE, SHARE = 200, 10  # every tenth load and temperature by iteration


def test_replica_phase_diagram(benchmark):
    with enable_x64():
        loads, temperatures = jnp.linspace(0.001, 0.2, SIZE), jnp.linspace(0.005, 1.5, SIZE)
        program, cost = compiled(hj.theory.phase_diagram, loads, temperatures)
        call = lambda: program(loads, temperatures)  # noqa: E731
        found = jax.device_get(call())
        times = in_turn({"diagram": call}, 5)
        report(benchmark, {"diagram": cost}, times)

        picks = np.arange(SHARE // 2, SIZE, SHARE)
        began, worst, differ = time.perf_counter(), 0.0, 0
        for i in picks:
            for j in picks:
                m, free, glass = numpy_replica.phase_point(float(loads[j]), float(temperatures[i]))
                retrieved = m > 1e-3
                differ += retrieved != (found.region[i, j] >= 2)
                if retrieved and found.region[i, j] >= 2:
                    worst = max(worst, abs(m - found.overlap[i, j]), abs(free - found.free_energy[i, j]))
        seconds = (time.perf_counter() - began) * SIZE**2 / picks.size**2
        print(f"NumPy: {seconds:.0f} s for all, {seconds / min(times['diagram']):.0f} times as long")
        print(f"largest difference of overlaps and free energies {worst:.1e}; points that differ in phase: {differ}")
        benchmark.pedantic(lambda: jax.block_until_ready(call()), rounds=2)
