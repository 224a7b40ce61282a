"""Plastic synapses: mean-field theory and simulation."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from baselines import numpy_plastic
from limits import Work
from problems import Baseline, Bench, Call, Problem, Scaling, largest

import hopfield_jax as hj

D = hj.dmft
BETA, TAU, STRENGTH = 4.0, 5.0, 0.3


def benches(options) -> list[Bench]:
    if options.quick:
        return [clark(1024, 1), theory(25, 1024), diagram(4, 20), simulation(1000, 5)]
    return [
        clark(4096, 1), clark(4096, 4), clark(16384, 4), theory(100, 8192), diagram(16, 60), simulation(4000, 10),
    ]  # fmt: skip


def scalings(options) -> list[Scaling]:
    steps, paths = ((10, 20), (512, 1024)) if options.quick else ((25, 50, 100, 200, 400), (2048, 8192, 32768))
    sizes = (1000, 2000) if options.quick else (1000, 2000, 4000, 8000, 16000)
    middle = (20, 1024) if options.quick else (100, 8192)
    panel = "Plastic network, a step, P = 0.12 N"
    return [
        Scaling(f"Mean-field theory, {middle[1]} paths", "one solution", "steps T",
                tuple((t, theory(t, middle[1])) for t in steps), order=2),
        Scaling(f"Mean-field theory, {middle[0]} steps", "one solution", "paths M",
                tuple((m, theory(middle[0], m)) for m in paths), order=1),
        Scaling(panel, "a step", "neurons N", tuple((n, step(n)) for n in sizes), order=2),
        Scaling(panel, "its two products alone", "neurons N", tuple((n, products(n)) for n in sizes)),
    ]  # fmt: skip


def clark(num_samples: int, num_shifts: int) -> Bench:
    """Clark 2026: tanh units with self-couplings, g = 1.2, in continuous time."""
    amplitude, at = 0.9 * 1.2, np.array([0, 10, 25, 50, 75, 99])
    converged = np.array([0.71865, 0.86243, 0.94588, 0.97629, 0.98330, 0.98578])

    def make() -> Problem:
        model = D.PlasticNetwork(0.1, hj.LogCosh(), dt=0.02, self_coupling=True, coupling=1.2 / math.sqrt(0.1))
        cue = D.GaussianCue(amplitude, math.sqrt(1.2**2 - amplitude**2))

        def overlap(model, cue, key):
            sizes: dict[str, Any] = {"num_steps": 99, "num_samples": num_samples, "num_shifts": num_shifts}
            return D.solve(model, cue, key=key, throw=False, **sizes).overlap

        # Errors of quasi-random paths fall about as 1/M; the largest of eight keys was 3.5e-4 with 4096 of them.
        known = Baseline(
            "converged overlaps (known)",
            Call(lambda: converged, compiled=False),
            lambda ours, theirs: largest(ours[at], theirs),
            6e-4 * 4096 / num_samples,
            timed=False,
        )
        return Problem(Call(overlap, (model, cue, jr.key(0))), (known,))

    what = "Mean-field theory, Clark's case, 99 steps"
    return Bench(
        "clark", what, f"{num_shifts} × {num_samples} paths", make, _theory_work(99, num_samples * num_shifts, 1)
    )


def _theory_work(num_steps: int, num_paths: float, strata: int) -> Work:
    """Histories of outputs are read twice a step and those of the noise once: two operations an entry, over half of the
    steps on average. Bytes: each history once a step."""
    entries = strata * num_paths * num_steps**2 / 2
    return Work(flops=2 * entries * 3, bytes=4 * entries * 2)


def theory(num_steps: int, num_samples: int) -> Bench:
    def make() -> Problem:
        model, cue = D.PlasticNetwork(0.1, hj.LogCosh(BETA), kernel=D.LeakyHebbian(STRENGTH, TAU)), D.SpinCue(0.5)

        def run(model, cue, key):
            sizes: dict[str, Any] = {"num_steps": num_steps, "num_samples": num_samples, "num_shifts": 1}
            return D.solve(model, cue, key=key, throw=False, **sizes).overlap

        return Problem(Call(run, (model, cue, jr.key(0))))

    work = _theory_work(num_steps, num_samples, 2)
    what = f"Mean-field theory, plastic, {num_steps} steps"
    return Bench("theory", what, f"{num_samples} paths", make, work)


def diagram(side: int, num_steps: int, num_samples: int = 2048) -> Bench:
    def make() -> Problem:
        def final(strength, load, key):
            model = D.PlasticNetwork(load, hj.LogCosh(BETA), kernel=D.LeakyHebbian(strength, TAU))
            sizes: dict[str, Any] = {"num_steps": num_steps, "num_samples": num_samples, "num_shifts": 1}
            return D.solve(model, D.SpinCue(0.6), key=key, throw=False, **sizes).overlap[-1]

        def points(strengths, loads, key):
            rows = lambda s: jax.vmap(lambda a: final(s, a, key))(loads)  # noqa: E731
            return jax.lax.map(rows, strengths)

        return Problem(Call(points, (jnp.linspace(0, 2, side), jnp.linspace(0.02, 0.2, side), jr.key(0))))

    one = _theory_work(num_steps, num_samples, 2)
    work = Work(one.flops * side**2, one.bytes * side**2)
    what = f"Diagram of strengths and loads, {num_steps} steps"
    return Bench("diagram", what, f"{side} × {side} points, {num_samples} paths each", make, work, side**2, "point")


def _simulate(num_neurons: int, num_steps: int):
    num_patterns = round(0.12 * num_neurons)

    def run(strength, key):
        model = D.PlasticNetwork(0.12, hj.LogCosh(BETA), kernel=D.LeakyHebbian(strength, TAU))
        sizes: dict[str, Any] = {
            "num_steps": num_steps,
            "num_neurons": num_neurons,
            "num_trials": 1,
            "max_patterns": num_patterns,
        }
        return D.simulate(model, D.SpinCue(0.4), key=key, throw=False, **sizes).overlap

    return run, num_patterns


def simulation(num_neurons: int, num_steps: int) -> Bench:
    """A whole run, patterns drawn on our side and the matrix of couplings made on the other."""
    run, num_patterns = _simulate(num_neurons, num_steps)

    def make() -> Problem:
        key = jr.key(0)
        # The network that `simulate` draws from this key; were it to draw another, results would not agree.
        pattern_key, cue_key, *_ = jr.split(jr.split(key, 1)[0], 4)
        patterns = jr.rademacher(pattern_key, (num_patterns, num_neurons), jnp.float32)
        spins = D.SpinCue(0.4).state(hj.LogCosh(BETA), patterns[:1], key=cue_key)[0]
        by_numpy = functools.partial(numpy_plastic.simulate, beta=BETA, strength=STRENGTH, tau=TAU, num_steps=num_steps)
        side = Call(by_numpy, (np.asarray(patterns), np.asarray(spins)), compiled=False)
        # float32: fields of order one round by 1e-6, times up to β a step.
        numpy = Baseline("NumPy, with a matrix of couplings", side, largest, 1e-3)
        return Problem(Call(run, (jnp.float32(STRENGTH), key)), (numpy,))

    what = f"Plastic network, {num_steps} steps"
    return Bench("simulation", what, f"N = {num_neurons}, P = {num_patterns}", make)


def step(num_neurons: int) -> Bench:
    """One more step in the middle of a run, from the difference of two: 2 (P + the history's length) reads a neuron."""
    short, long = 1, 41
    (few, num_patterns), (many, _) = _simulate(num_neurons, short), _simulate(num_neurons, long)

    def make() -> Problem:
        return Problem(Call(many, (jnp.float32(STRENGTH), jr.key(0))), (
            Baseline("short", Call(few, (jnp.float32(STRENGTH), jr.key(0)))),
        ))  # fmt: skip

    entries = num_neurons * (num_patterns + (short + long) / 2)
    work = Work(flops=4.0 * entries, bytes=8.0 * entries)
    return Bench("step", "step", f"N = {num_neurons}", make, work, long - short, marginal=True)


def products(num_neurons: int) -> Bench:
    num_patterns = round(0.12 * num_neurons)

    def make() -> Problem:
        patterns = jr.rademacher(jr.key(0), (num_patterns, num_neurons), jnp.float32)
        return Problem(Call(lambda patterns, phi: (patterns @ phi) @ patterns, (patterns, patterns[0])))

    work = Work(flops=4.0 * num_patterns * num_neurons, bytes=8.0 * num_patterns * num_neurons)
    return Bench("products", "two products", f"N = {num_neurons}", make, work)
