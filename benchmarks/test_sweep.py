"""Sweeps against a hand-written loop over a jitted vmap. How to run: `README.md` here."""

import statistics
import time

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from measure import report

import hopfield_jax as hj
from hopfield_jax.sweep import _run

KEY = jr.key(0)
BLOCK = 500


def point(key, load, strength, replicate):
    """About 0.2 ms of arithmetic that is neither memory-bound nor a single product."""
    x = load + 0.1 * jr.normal(key, (64,))
    x = jax.lax.fori_loop(0, 300, lambda i, x: jnp.tanh(strength * jnp.sin(x) + jnp.mean(x) * load), x)
    return {"overlap": jnp.mean(x), "second": jnp.mean(x**2)}


def test_a_hundred_thousand_points(benchmark, tmp_path, monkeypatch):
    grid = hj.sweep.Grid(load=np.linspace(0.02, 0.2, 250), strength=np.linspace(0, 2, 100), replicate=4)
    load, strength, replicate = (
        x.reshape(-1) for x in np.meshgrid(*(np.asarray(axis.values) for axis in grid.axes), indexing="ij")
    )
    program = jax.jit(jax.vmap(lambda r, a, s: point(jr.fold_in(KEY, r), a, s, r)))
    cut = [slice(i, i + BLOCK) for i in range(0, grid.size, BLOCK)]
    jax.block_until_ready(program(replicate[cut[0]], load[cut[0]], strength[cut[0]]))

    def by_hand():
        parts = [program(replicate[c], load[c], strength[c]) for c in cut]
        return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in parts[0]}

    compiling = []
    compile_all = _run.compile_all

    def timed(*args):
        start = time.perf_counter()
        compile_all(*args)
        compiling.append(time.perf_counter() - start)

    monkeypatch.setattr(_run, "compile_all", timed)
    seconds = {"by hand": [], "sweep": []}
    for number in range(3):
        start = time.perf_counter()
        expected = by_hand()
        seconds["by hand"].append(time.perf_counter() - start)
        start = time.perf_counter()
        found = hj.sweep.run(point, grid, key=KEY, store=tmp_path / str(number), block_size=BLOCK)
        seconds["sweep"].append(time.perf_counter() - start - compiling[-1])
    np.testing.assert_array_equal(found["overlap"].values.reshape(-1), expected["overlap"])
    ratios = [sweep / hand for sweep, hand in zip(seconds["sweep"], seconds["by hand"], strict=True)]
    print(f"\n{found.attrs['layout']}; compilation {compiling[-1]:.2f} s, left out")
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"sweep with its store / by hand: {each}, median {statistics.median(ratios):.3f}")
    report(benchmark, {}, seconds)
    benchmark.pedantic(by_hand, rounds=1)
