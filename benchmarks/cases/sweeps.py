"""Sweeps against a loop by hand over a jitted vmap."""

import tempfile

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from problems import Baseline, Bench, Call, Problem, Scaling, largest

import hopfield_jax as hj

KEY = jr.key(0)


def benches(options) -> list[Bench]:
    return [sweep(25, 20, 50) if options.quick else sweep(125, 40, 500)]


def scalings(options) -> list[Scaling]:
    sizes = (10, 50) if options.quick else (8, 32, 128, 512, 2048)
    points = tuple((size, sweep(25, 10 if options.quick else 40, size, bare=True)) for size in sizes)
    return [Scaling("A sweep with its store, compilation included", "points a second", "block", points, rate=True)]


def point(key, load, strength, replicate):
    """Arithmetic that is neither memory-bound nor a single product: about 0.2 ms of a core of the machine of the table
    when 500 are in a block."""
    x = load + 0.1 * jr.normal(key, (64,))
    x = jax.lax.fori_loop(0, 1200, lambda i, x: jnp.tanh(strength * jnp.sin(x) + jnp.mean(x) * load), x)
    return {"overlap": jnp.mean(x), "second": jnp.mean(x**2)}


def sweep(loads: int, strengths: int, block: int, bare: bool = False) -> Bench:
    """All of it on both sides: tracing, compilation, results on the host; ours also writes its store."""
    replicates = 4

    def make() -> Problem:
        grid = hj.sweep.Grid(
            load=np.linspace(0.02, 0.2, loads), strength=np.linspace(0, 2, strengths), replicate=replicates
        )
        load, strength, replicate = (
            x.reshape(-1) for x in np.meshgrid(*(np.asarray(axis.values) for axis in grid.axes), indexing="ij")
        )
        cut = [slice(i, i + block) for i in range(0, grid.size, block)]

        def by_hand():
            program = jax.jit(jax.vmap(lambda r, a, s: point(jr.fold_in(KEY, r), a, s, r)))
            parts = [program(replicate[c], load[c], strength[c]) for c in cut]
            return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in ("overlap", "second")}

        def ours():
            with tempfile.TemporaryDirectory() as folder:
                found = hj.sweep.run(point, grid, key=KEY, store=folder + "/store", block_size=block, progress=False)
                return {name: found[name].values.reshape(-1) for name in ("overlap", "second")}

        # The same program, block by block; only a last block of another size may be summed in another order.
        hand = Baseline("a loop by hand, results in memory", Call(by_hand, compiled=False), largest, 1e-5)
        return Problem(Call(ours, compiled=False), () if bare else (hand,))

    number = loads * strengths * replicates
    what = "Sweep with its store, compilation included"
    return Bench("sweep", what, f"{number} points, blocks of {block}", make, count=number, unit="point")
