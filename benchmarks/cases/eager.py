"""Calls as they are typed, without `jax.jit` around them: what a user of a notebook, or a loop in Python, waits for."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax
import jax.random as jr
import numpy as np
from baselines import numpy_retrieval, numpy_synchronous
from problems import Baseline, Bench, Call, Problem, Scaling, largest

import hopfield_jax as hj

A, C, D = hj.associative, hj.classical, hj.dmft
CALLS = 10  # in a row, of which the time is one measurement


def benches(options) -> list[Bench]:
    size = 64 if options.quick else 256
    return [update(size), energy(size), overlaps(size), retrieval(size), synchronous(4 * size), theory()]


def scalings(options) -> list[Scaling]:
    return []


def _often(call: Callable[[], Any]) -> Call:
    def calls() -> Any:
        return [call() for _ in range(CALLS)][-1]

    return Call(calls, compiled=False)


def _bench(what: str, size: str, ours: Callable[[], Any], tolerance: float, numpy: Callable[[], Any] | None) -> Bench:
    def make() -> Problem:
        ours()  # which compiles
        baselines = () if numpy is None else (Baseline("NumPy", _often(numpy), largest, tolerance),)
        return Problem(_often(lambda: jax.block_until_ready(ours())), baselines)

    return Bench("eager", f"Eager call: {what}", size, make, count=CALLS, unit="call")


@functools.cache
def _network(size: int, beta: float = 0.1):
    patterns = hj.random_patterns(size, size, key=jr.key(0))
    cue = hj.flip(patterns[0], 0.3, key=jr.key(1))
    return A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=beta)), patterns, cue


def _host(size: int) -> tuple[np.ndarray, np.ndarray]:
    _, patterns, cue = _network(size)
    return np.asarray(patterns), np.asarray(cue)


def update(size: int) -> Bench:
    def by_numpy() -> np.ndarray:
        patterns, cue = _host(size)
        weights = 0.1 * (patterns @ cue)
        weights = np.exp(weights - weights.max())
        return weights / weights.sum() @ patterns

    ours = lambda: _network(size)[0].update(_network(size)[2])  # noqa: E731
    return _bench("`network.update`", f"N = P = {size}", ours, 1e-5, by_numpy)


def energy(size: int) -> Bench:
    def by_numpy() -> np.ndarray:
        patterns, cue = _host(size)
        h = patterns @ cue
        return 0.5 * cue @ cue - h.max() - np.log(np.exp(0.1 * (h - h.max())).sum()) / 0.1

    ours = lambda: _network(size)[0].energy(_network(size)[2])  # noqa: E731
    # float32: rounding of 1e-6 in a sum of `size` terms of order one.
    return _bench("`network.energy`", f"N = P = {size}", ours, 4e-6 * size, by_numpy)


def overlaps(size: int) -> Bench:
    def by_numpy() -> np.ndarray:
        patterns, cue = _host(size)
        return patterns @ cue / size

    return _bench("`hj.overlap`", f"N = P = {size}", lambda: hj.overlap(*_network(size)[1:]), 1e-6, by_numpy)


def retrieval(size: int, num_steps: int = 10) -> Bench:
    def ours() -> Any:
        network, patterns, cue = _network(size)
        steps: dict[str, Any] = {"solver": dfx.Euler(), "dt0": 1.0, "t1": float(num_steps), "num_times": num_steps + 1}
        found = A.retrieve(network, patterns, cue, throw=False, **steps)
        return {name: getattr(found, name) for name in ("overlap", "similarity", "energy", "winner", "output")}

    def by_numpy() -> Any:
        patterns, cue = _host(size)
        found = numpy_retrieval.retrieve(patterns, cue[None], 0.1, num_steps)
        return {name: x[0] for name, x in found.items()}

    # float32: energies are about `size` large, with rounding of 1e-6 of that.
    return _bench(f"`associative.retrieve`, {num_steps} steps", f"a cue, N = P = {size}", ours, 4e-6 * size, by_numpy)


def synchronous(num_neurons: int, num_steps: int = 10) -> Bench:
    @functools.cache
    def given():
        patterns = hj.random_patterns(num_neurons // 10, num_neurons, key=jr.key(0))
        return C.BinaryNetwork(C.hebbian(patterns)), patterns, hj.flip(patterns[0], 0.15, key=jr.key(1))

    def ours() -> Any:
        return C.retrieve(*given(), num_steps=num_steps, throw=False).overlap

    def by_numpy() -> Any:
        _, patterns, cue = given()
        return numpy_synchronous.retrieve(np.asarray(patterns), np.asarray(cue), num_steps)

    size = f"N = {num_neurons}, P = {num_neurons // 10}"
    return _bench(f"`classical.retrieve`, {num_steps} synchronous steps", size, ours, 1e-5, by_numpy)


def theory(num_steps: int = 10, num_samples: int = 256) -> Bench:
    def ours() -> Any:
        model = D.PlasticNetwork(0.1, hj.LogCosh(4.0), kernel=D.LeakyHebbian(0.3, 5.0))
        sizes: dict[str, Any] = {"num_steps": num_steps, "num_samples": num_samples, "num_shifts": 1}
        return D.solve(model, D.SpinCue(0.5), key=jr.key(0), throw=False, **sizes).overlap

    size = f"{num_steps} steps, {num_samples} paths"
    return _bench("`dmft.solve`, its model and cue made", size, ours, 0.0, None)
