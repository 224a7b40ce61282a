"""How the benchmarks measure: compilation, memory and time apart."""

import statistics
import time
from typing import Any

import jax


def compiled(function, *args) -> tuple[Any, dict[str, float]]:
    """The compiled function, how long tracing and compiling took, and the memory that the program needs."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    seconds = time.perf_counter() - start
    memory: Any = program.memory_analysis()
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return program, {"compile (s)": seconds, "memory (MiB)": size / 2**20}


def in_turn(calls, rounds: int) -> dict[str, list[float]]:
    """Times of each call, one after the other in every round, so that all see the same load."""
    seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(benchmark, costs, seconds) -> None:
    for name, times in seconds.items():
        benchmark.extra_info[name] = costs.get(name, {}) | {
            "fastest (ms)": 1e3 * min(times),
            "median (ms)": 1e3 * statistics.median(times),
        }
    print()
    for name, numbers in benchmark.extra_info.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in numbers.items()))
