"""Binary networks: updates one by one and all at once, beside loops in NumPy."""

import functools
from typing import Any

import jax.random as jr
import numpy as np
from baselines import numpy_glauber, numpy_synchronous
from limits import Work
from problems import Baseline, Bench, Call, Problem, Scaling, largest

import hopfield_jax as hj

C = hj.classical


def benches(options) -> list[Bench]:
    if options.quick:
        return [asynchronous(200, 5), synchronous(1000)]
    kinds = ("outer products", "matrix", "100 neighbours")
    return [*(asynchronous(1000, 20, kind) for kind in kinds), synchronous(1000), synchronous(4000)]


def scalings(options) -> list[Scaling]:
    sizes = (100, 200) if options.quick else (250, 500, 1000, 2000, 4000, 8000)
    panel = "Classical network, P = N/10"
    return [
        Scaling(panel, "a synchronous step", "neurons N", tuple((n, synchronous(n)) for n in sizes), order=2),
        Scaling(panel, "N asynchronous updates", "neurons N", tuple((n, plain(n)) for n in sizes), order=2),
    ]


def _case(num_neurons: int):
    patterns = hj.random_patterns(num_neurons // 10, num_neurons, key=jr.key(0))
    return patterns, hj.flip(patterns[0], 0.15, key=jr.key(1))


def asynchronous(num_neurons: int, num_steps: int, kind: str = "outer products", temperature: float = 0.7) -> Bench:
    """With overlaps and energies after every round, which the loops leave out."""

    def make() -> Problem:
        patterns, cue = _case(num_neurons)
        hebbian = C.hebbian(patterns)
        couplings: Any = hebbian
        if kind == "matrix":
            couplings = C.DenseCouplings(hebbian.matrix(), symmetric=True)
        elif kind == "100 neighbours":
            couplings = C.dilute(hebbian, 100, key=jr.key(2))

        def run(couplings, patterns, cue, key):
            network = C.BinaryNetwork(couplings, temperature=temperature)
            options: dict[str, Any] = {"num_steps": num_steps, "order": C.Asynchronous(), "key": key, "throw": False}
            found = C.retrieve(network, patterns, cue, **options)
            return found.state, found.overlap, found.energy

        matrix = np.asarray(couplings.matrix(), float)

        def apart(ours, theirs) -> float:
            """Of energies a neuron, which are self-averaging: they fluctuate by about √(T²c/N), c of order 1."""
            state = [np.asarray(x, float) for x in (ours[0], theirs)]
            return abs(float(np.subtract(*(-0.5 * s @ matrix @ s / num_neurons for s in state))))

        host = matrix.astype(np.float32), np.asarray(cue)
        loops = []
        for name, cached in (("NumPy, a loop with a row each", False), ("NumPy, a loop with fields kept", True)):
            loop = functools.partial(numpy_glauber.retrieve, *host, temperature, num_steps, 0, cached)
            tolerance = 5 * temperature * (2 / num_neurons) ** 0.5  # five standard errors of a difference
            loops.append(Baseline(name, Call(loop, compiled=False), apart, tolerance))
        return Problem(Call(run, (couplings, patterns, cue, jr.key(3))), tuple(loops))

    what, size = f"Asynchronous updates, {kind}, T = {temperature:g}", f"N = {num_neurons}, P = {num_neurons // 10}"
    return Bench("asynchronous", what, size, make, count=num_neurons * num_steps, unit="update")


def plain(num_neurons: int, num_steps: int = 5) -> Bench:
    """Rounds without noise, and no statistics beside the overlap with one pattern."""

    def make() -> Problem:
        patterns, cue = _case(num_neurons)

        def run(couplings, cue, key):
            options: dict[str, Any] = {"num_steps": num_steps, "order": C.Asynchronous(), "key": key, "throw": False}
            return C.retrieve(C.BinaryNetwork(couplings), cue[None], cue, **options).state

        return Problem(Call(run, (C.hebbian(patterns), cue, jr.key(3))))

    return Bench("plain", "a round", f"N = {num_neurons}", make, count=num_steps, unit="round")


def synchronous(num_neurons: int, num_steps: int = 50) -> Bench:
    """Two products with the patterns a step."""
    num_patterns = num_neurons // 10

    def make() -> Problem:
        patterns, cue = _case(num_neurons)

        def run(couplings, patterns, cue):
            return C.retrieve(C.BinaryNetwork(couplings), patterns, cue, num_steps=num_steps, throw=False).overlap

        by_numpy = Call(
            functools.partial(numpy_synchronous.retrieve, *map(np.asarray, (patterns, cue)), num_steps), compiled=False
        )
        # The spins are the same; overlaps are sums of N numbers in float32.
        numpy = Baseline("NumPy, with overlaps", by_numpy, largest, 1e-5)
        return Problem(Call(run, (C.hebbian(patterns), patterns, cue)), (numpy,))

    entries = num_steps * num_patterns * num_neurons
    work = Work(flops=4.0 * entries, bytes=8.0 * entries)
    size = f"N = {num_neurons}, P = {num_patterns}"
    return Bench("synchronous", f"{num_steps} synchronous steps", size, make, work, num_steps, "step")
