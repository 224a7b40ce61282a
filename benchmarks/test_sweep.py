"""Sweeps against a hand-written loop over a jitted vmap. How to run: `README.md` here."""

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from measure import report

import hopfield_jax as hj
from hopfield_jax.sweep import _run

KEY = jr.key(0)
BLOCK = 500
ROUNDS = 3


def point(key, load, strength, replicate):
    """Arithmetic that is neither memory-bound nor a single product. In blocks of 500 a point takes 0.2 ms of one core,
    by the processor time of a whole sweep by hand (which is printed) on the machine of `README.md` here."""
    x = load + 0.1 * jr.normal(key, (64,))
    x = jax.lax.fori_loop(0, 1200, lambda i, x: jnp.tanh(strength * jnp.sin(x) + jnp.mean(x) * load), x)
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

    now = lambda: np.array([time.perf_counter(), time.process_time()])  # noqa: E731
    compiling = []
    compile_all = _run.compile_all

    def timed(*args):
        start = now()
        compile_all(*args)
        compiling.append(now() - start)

    monkeypatch.setattr(_run, "compile_all", timed)
    taken = {"by hand": [], "sweep": []}
    found: Any = None
    for number in range(ROUNDS):  # in turn, so that both see the same load
        start = now()
        expected = by_hand()
        taken["by hand"].append(now() - start)
        start = now()
        found = hj.sweep.run(point, grid, key=KEY, store=tmp_path / str(number), block_size=BLOCK)
        taken["sweep"].append(now() - start - compiling[-1])
        np.testing.assert_array_equal(found["overlap"].values.reshape(-1), expected["overlap"])
    print(f"\n{found.attrs['layout']}; compilation {compiling[-1][0]:.2f} s, left out")
    for number, of in enumerate(("time", "processor time")):
        seconds = {name: [float(x[number]) for x in times] for name, times in taken.items()}
        ratios = [sweep / hand for sweep, hand in zip(seconds["sweep"], seconds["by hand"], strict=True)]
        each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{of}: sweep with its store / by hand {each}, median {statistics.median(ratios):.3f}")
        print(f"  by hand {1e3 * statistics.median(seconds['by hand']) / grid.size:.3f} ms a point")
    seconds = {name: [float(x[0]) for x in times] for name, times in taken.items()}
    report(benchmark, {}, seconds)
    benchmark.pedantic(by_hand, rounds=1)
