"""What a first answer costs: a row's program in two processes of its own, the second with the first one's cache.

`python first_call.py INDEX QUICK` is such a process; it prints a line of JSON.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time


@dataclasses.dataclass(frozen=True)
class FirstCall:
    """Seconds: importing the package, tracing and lowering, XLA; and all of it with the first run, from the cache."""

    imported: float
    traced: float
    compiled: float
    again: float


def measure(index: int, quick: bool) -> FirstCall:
    """Of the row with this index."""
    command = [sys.executable, __file__, str(index), str(int(quick))]
    with tempfile.TemporaryDirectory() as cache:
        settings = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        runs = [subprocess.run(command, env=os.environ | settings, capture_output=True, text=True) for _ in range(2)]
    for run in runs:
        if run.returncode:
            raise RuntimeError((run.stderr.strip().splitlines() or ["its process ended"])[-1])
    first, again = (json.loads(run.stdout.splitlines()[-1]) for run in runs)
    return FirstCall(first["imported"], first["traced"], first["compiled"], sum(again.values()))


def main(index: int, quick: bool) -> None:
    times = {"began": time.perf_counter()}
    import hopfield_jax

    assert hopfield_jax.random_patterns  # nothing is imported before its first use
    times["imported"] = time.perf_counter()
    import cases
    import jax
    from measure import float64

    bench = cases.benches(cases.Options(quick))[index]
    with float64(bench.wide):
        call = bench.make().ours
        times["made"] = time.perf_counter()
        lowered = jax.jit(call.function).lower(*call.arguments)
        times["traced"] = time.perf_counter()
        program = lowered.compile()
        times["compiled"] = time.perf_counter()
        jax.block_until_ready(program(*call.arguments))
        times["run"] = time.perf_counter()
    ends = list(times.values())
    took = {name: end - start for name, start, end in zip(list(times)[1:], ends, ends[1:], strict=False)}
    print(json.dumps({name: x for name, x in took.items() if name != "made"}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "1")
