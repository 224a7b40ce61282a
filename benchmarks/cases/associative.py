"""Associative networks: one update, retrieval of many cues, stiff networks."""

import functools
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import other_process
from baselines import jax_layer, numpy_retrieval, scipy_networks
from limits import Work
from problems import Baseline, Bench, Call, Problem, Scaling, largest

import hopfield_jax as hj

A = hj.associative
HIGHEST = jax.lax.Precision.HIGHEST


def benches(options) -> list[Bench]:
    batch, size = (64, 256) if options.quick else (256, 1024)
    cues, neurons = (128, 128) if options.quick else (1024, 256)
    return [
        update(batch, size),
        retrieval(cues, neurons),
        descent(cues, neurons, options.hamux_python),
        *(layer(16 if options.quick else 128, train) for train in (False, True)),
        *(stiff(tau) for tau in ((0.1,) if options.quick else (0.1, 0.001))),
    ]


def scalings(options) -> list[Scaling]:
    sizes = (64, 128, 256) if options.quick else (128, 256, 512, 1024, 2048)
    points = tuple((size, update(256, size)) for size in sizes)
    return [Scaling("Adiabatic update, 256 states, P = N", "one update", "neurons N", points, order=2)]


def update(batch: int, size: int) -> Bench:
    """Two products with the patterns."""
    beta = 5 / size  # a softmax that is neither flat nor all on one pattern

    def make() -> Problem:
        patterns = hj.random_patterns(size, size, key=jr.key(0))
        states = patterns[:batch] if batch <= size else jnp.tile(patterns, (batch // size, 1))
        states += jr.normal(jr.key(1), states.shape)

        def ours(patterns, states):
            network = A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=beta))
            return jax.vmap(network.update)(states)

        def products(patterns, states):
            return jnp.matmul(jnp.matmul(states, patterns.T, precision=HIGHEST), patterns, precision=HIGHEST)

        def by_numpy(patterns, states):
            weights = beta * (states @ patterns.T)
            weights = np.exp(weights - weights.max(axis=1, keepdims=True))
            return weights / weights.sum(axis=1, keepdims=True) @ patterns

        given = patterns, states
        host = np.asarray(patterns), np.asarray(states)
        return Problem(
            Call(ours, given),
            (
                # float32: rounding of β Ξ v, about 1e-6, in states of order one.
                Baseline("NumPy", Call(by_numpy, host, compiled=False), largest, 1e-5),
                Baseline("its two products alone, in JAX (a bound)", Call(products, given)),
            ),
        )

    work = Work(flops=4.0 * batch * size**2, bytes=4.0 * (size**2 + 2 * batch * size))
    return Bench("update", "Adiabatic update", f"{batch} states, N = P = {size}", make, work)


def _cues(num_cues: int, size: int):
    patterns = hj.random_patterns(size, size, key=jr.key(0))
    targets = jnp.arange(num_cues) % size
    flipped = jax.vmap(lambda i, k: hj.flip(patterns[i], 0.3, key=k))
    return patterns, flipped(targets, jr.split(jr.key(1), num_cues))


def retrieval(num_cues: int, size: int, num_steps: int = 10, beta: float = 0.1) -> Bench:
    """Two products a step (a solver that knows nothing of its statistics makes four, which the share shows)."""

    def make() -> Problem:
        given = _cues(num_cues, size)

        def ours(patterns, cues):
            network = A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=beta))
            steps: dict[str, Any] = {
                "solver": dfx.Euler(),
                "dt0": 1.0,
                "t1": float(num_steps),
                "num_times": num_steps + 1,
            }
            found = jax.vmap(lambda cue: A.retrieve(network, patterns, cue, throw=False, **steps))(cues)
            return {name: getattr(found, name) for name in ("overlap", "similarity", "energy", "winner", "output")}

        by_numpy = functools.partial(numpy_retrieval.retrieve, beta=beta, num_steps=num_steps)
        host = tuple(np.asarray(x) for x in given)
        # float32: energies are about `size` large, with rounding of 1e-6 of that.
        side = Call(by_numpy, host, compiled=False)
        return Problem(Call(ours, given), (Baseline("NumPy", side, largest, 4e-6 * size),))

    work = Work(flops=4.0 * num_cues * size**2 * num_steps, bytes=4.0 * num_cues * size * (2 * num_steps + 2))
    what = f"Retrieval, {num_steps} steps, with overlaps, cosines and energies"
    return Bench("retrieval", what, f"{num_cues} cues, N = P = {size}", make, work)


def descent(num_cues: int, size: int, interpreter: str | None, num_steps: int = 10, beta: float = 0.1) -> Bench:
    """The same energy and the same steps down its slope as in HAMUX; final states and energies at every step."""

    def make() -> Problem:
        patterns, cues = _cues(num_cues, size)

        def ours(patterns, cues):
            network = A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=beta))
            times = jnp.arange(num_steps + 1.0)

            def run(cue):
                steps: dict[str, Any] = {"solver": dfx.Euler(), "dt0": 1.0, "t1": float(num_steps), "saveat": times}
                path = hj.integrate(network, cue, statistics=lambda t, y, _: network.energy(y), throw=False, **steps)
                return path.final, path.values

            state, energy = jax.vmap(run)(cues)
            return state, energy.T

        theirs = functools.partial(other_process.retrieval, interpreter, patterns, cues, beta, num_steps)
        # float32: energies are about `size` large, with rounding of 1e-6 of that.
        hamux = Baseline("HAMUX, in a process of its own", theirs, largest, 4e-6 * size)

        def by_numpy(patterns, cues):
            found = numpy_retrieval.retrieve(patterns, cues, beta, num_steps)
            return found["output"], found["energy"].T

        host = tuple(np.asarray(x) for x in (patterns, cues))
        numpy = Baseline("NumPy, with overlaps and cosines", Call(by_numpy, host, compiled=False), largest, 4e-6 * size)
        return Problem(Call(ours, (patterns, cues)), (hamux, numpy))

    work = Work(flops=4.0 * num_cues * size**2 * num_steps, bytes=4.0 * num_cues * size * (2 * num_steps + 2))
    what = f"Descent of the energy, {num_steps} steps, with energies"
    return Bench("descent", what, f"{num_cues} cues, N = P = {size}", make, work)


def layer(batch: int, train: bool, features: int = 32, memories: int = 64, beta: float = 0.1) -> Bench:
    """Fixed points as a layer of a neural network, and a training step's gradient of a squared error."""

    def make() -> Problem:
        patterns = 0.5 * hj.gaussian_patterns(memories, features, key=jr.key(0))
        x, wanted = jr.normal(jr.key(1), (2, batch, features))

        def rest(patterns, x):
            network = A.AdiabaticNetwork(A.MemoryMap(patterns), hidden=hj.LogSumExp(beta=beta), input=x)
            return hj.steady_state(network, x, solver=dfx.Euler(), throw=False).state

        def answer(layer):
            loss = lambda patterns, x: jnp.mean((layer(patterns, x) - wanted) ** 2)  # noqa: E731
            return jax.value_and_grad(loss) if train else layer

        ours, by_hand = answer(jax.vmap(rest, (None, 0))), answer(jax_layer.layer(beta, 1e-4))
        # Both stop at changes of 1e-4, a few of which are left to go.
        hand = Baseline("the same iteration by hand, in JAX", Call(by_hand, (patterns, x)), largest, 1e-3)
        return Problem(Call(ours, (patterns, x)), (hand,))

    what = "Implicit layer, loss and gradient" if train else "Implicit layer, forward"
    return Bench("layer", what, f"{batch} × {features} features, {memories} memories", make)


def stiff(tau: float) -> Bench:
    """Explicit against implicit steps, in float64 at the default tolerance."""

    def make() -> Problem:
        patterns = hj.random_patterns(8, 96, key=jr.key(0))
        visible = hj.flip(patterns[0], 0.3, key=jr.key(1))

        def run(patterns, visible, solver=None):
            network = A.slow_fast_network(
                A.MemoryMap(patterns), visible=hj.LogCosh(1.0), hidden=hj.LogSumExp(0.1), tau_hidden=tau
            )
            state = {"visible": visible, "hidden": jnp.zeros(8)}
            path = hj.integrate(network, state, t1=10.0, solver=solver, throw=False)
            return jax.tree.map(lambda x: jnp.where(hj.is_okay(path.result), x, jnp.nan), path.final)

        given = patterns, visible
        implicit = functools.partial(run, solver=dfx.Kvaerno3())
        by_scipy = functools.partial(scipy_networks.slow_fast, beta=0.1, tau=tau, t1=10.0, tolerance=1e-8)
        scipy = Call(by_scipy, tuple(np.asarray(x) for x in given), compiled=False)
        return Problem(
            Call(run, given),
            (
                # Relative tolerance 1e-8 a step, states up to 8, and hundreds of steps.
                Baseline("SciPy, LSODA at the same tolerance", scipy, largest, 1e-4),
                Baseline("the same with `diffrax.Kvaerno3()`", Call(implicit, given), largest, 1e-4, rival=False),
            ),
        )

    what = "Slow–fast network to t = 10 τ_v"
    return Bench("stiff", what, f"N = 96, P = 8, τ_h/τ_v = {tau:g}, float64", make, wide=True)
