"""A program of `test_sharding.py`, in processes of its own because devices are forced before JAX starts.

`sharded.py OUT` runs everything without a mesh and on four devices of one process, one theory and one network on one
device and on two as well. `sharded.py OUT pair` runs two results on two devices; `sharded.py OUT pair RANK PORT` runs
them in one of two processes.
"""

# ruff: noqa: E402

import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any, cast

DISTRIBUTED = len(sys.argv) > 3
if not DISTRIBUTED:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import Mesh

if DISTRIBUTED:
    jax.distributed.initialize(f"localhost:{sys.argv[4]}", num_processes=2, process_id=int(sys.argv[3]))

import hopfield_jax as hj
from hopfield_jax import dmft as D
from hopfield_jax.dmft._simulate import _simulate
from hopfield_jax.dmft._solve import _solve
from hopfield_jax.dmft._split import Split
from hopfield_jax.dmft._trial import Sizes

KEY = jr.key(0)
TANH = D.PlasticNetwork(0.1, hj.LogCosh(4.0), D.LeakyHebbian(0.3, 5.0))
SPINS = D.PlasticNetwork(0.1, hj.Glauber(4.0), D.LeakyHebbian(0.3, 5.0))
DENSE = D.DensePlasticNetwork(0.002, hj.LogCosh(4.0), n=3, kernel=D.LeakyHebbian(0.3, 5.0), equal_indices=False)
HALF = D.SpinCue(0.5)
TWO = D.GaussianCue(jnp.array([0.4, 0.3]), 0.2)


def solve(model: Any, cue: Any, mesh: Mesh | None, **options: Any) -> Any:
    given: Any = {"num_steps": 10} | options
    return D.solve(model, cue, num_samples=1024, key=KEY, mesh=mesh, **given)


def simulate(model: Any, cue: Any, mesh: Mesh | None, **options: Any) -> Any:
    given: Any = {"num_steps": 8, "num_neurons": 1000} | options
    return D.simulate(model, cue, num_trials=3, key=KEY, mesh=mesh, **given)


CASES: dict[str, Callable[[Mesh | None], Any]] = {
    "theory": lambda mesh: solve(TANH, HALF, mesh, num_steps=20),
    "theory, two patterns": lambda mesh: solve(TANH, TWO, mesh),
    "theory, Glauber": lambda mesh: solve(SPINS, HALF, mesh),
    "theory, dense": lambda mesh: solve(DENSE, HALF, mesh, num_steps=5),
    "network": lambda mesh: simulate(TANH, D.SpinCue(jnp.array([0.4, 0.3])), mesh, response_times=(0, 3), batch_size=2),
    "network, Gaussian cue": lambda mesh: simulate(TANH, TWO, mesh),
    "network, Glauber": lambda mesh: simulate(SPINS, HALF, mesh),
    "network, dense": lambda mesh: simulate(DENSE, HALF, mesh, num_steps=4, num_neurons=64),
}


def final_overlap(strength: Any, mesh: Mesh | None) -> Any:
    model = D.PlasticNetwork(0.12, hj.LogCosh(4.0), D.LeakyHebbian(strength, 5.0))
    return solve(model, D.SpinCue(0.4), mesh, num_steps=10).overlap[-1]


def numbers(result: Any) -> dict[str, np.ndarray]:
    names = "overlap overlap_error correlation response noise_covariance crosstalk_feedback energy error_fraction"
    return {name: np.asarray(x) for name in names.split() if (x := getattr(result, name)) is not None}


def programs(mesh: Mesh | None) -> dict[str, Any]:
    """Programs whose paths and neurons take nearly all memory, compiled."""
    options: Any = {"num_steps": 20, "num_shifts": 2, "check": False, "derivative": D.Lines()}
    solve, simulate = cast(Any, _solve), cast(Any, _simulate)  # compiled functions, of which pyright knows nothing
    split, tolerance = Split.of(mesh, "num_samples", 2**16), jnp.asarray(1e-3)

    def theory(model: Any) -> Any:
        return solve.lower(
            model, HALF, tolerance, KEY, np.True_, num_samples=2**16, max_rank=20, split=split, **options
        )

    def network(model: Any) -> Any:
        return simulate.lower(model, HALF, Sizes.of(model, HALF, 20, 2**16, 1, KEY, None, 1, mesh=mesh), KEY, 1, (), 1)

    lowered = {
        "theory": theory(TANH),
        "theory, Glauber": theory(SPINS),
        "network": network(TANH),
    }
    return {name: getattr(compiled := x.compile(), "compiled", compiled) for name, x in lowered.items()}


def largest_whole(text: str) -> int:
    """Entries of the largest array of a device's program with all paths or neurons, kept there or gathered."""
    shapes = ([int(n) for n in shape.split(",") if n] for shape in re.findall(r"\[([\d,]*)\]", text))
    return max((int(np.prod(shape)) for shape in shapes if 2**16 in shape), default=0)


def everything(out: str) -> None:
    whole: dict[str, np.ndarray] = {}
    meshes: dict[int, Mesh | None] = {0: None}
    meshes |= {n: Mesh(np.array(jax.devices()[:n]), ("devices",)) for n in (1, 2, 4)}
    figures = {
        name: [x.memory_analysis().temp_size_in_bytes, largest_whole(x.as_text())]
        for name, x in programs(meshes[4]).items()
    }
    alone = {name: x.memory_analysis().temp_size_in_bytes for name, x in programs(None).items()}
    whole["figures"] = np.array(json.dumps({name: [alone[name], *figures[name]] for name in alone}))
    jax.config.update("jax_enable_x64", True)
    for n, mesh in meshes.items():
        for case, run in CASES.items() if n in (0, 4) else [(c, CASES[c]) for c in ("theory", "network")]:
            whole |= {f"{n}/{case}/{name}": x for name, x in numbers(run(mesh)).items()}
        if n in (0, 4):
            whole[f"{n}/gradient"] = np.asarray(jax.grad(final_overlap)(0.3, mesh))
    np.savez(out, **whole)  # pyright: ignore[reportArgumentType]


def pair(out: str) -> None:
    mesh = jax.make_mesh((2,), ("devices",), devices=jax.devices()[:2])
    theory, network = solve(TANH, HALF, mesh, num_steps=6), simulate(TANH, HALF, mesh, num_steps=6)
    if jax.process_index() == 0:  # alone
        print(D.agreement(theory, network))
    assert all(x.is_fully_addressable for x in jax.tree.leaves((theory, network)))
    try:  # the same program: numbers are not traced again
        solve(D.PlasticNetwork(0.1, TANH.units, TANH.kernel, coupling=3e38), HALF, mesh, num_steps=6)
    except Exception as error:
        print(theory, network, type(error).__name__, sep="\n")
    gradient = jax.grad(final_overlap)(0.3, mesh)
    whole = {f"{case}/{name}": x for case, r in (("a", theory), ("b", network)) for name, x in numbers(r).items()}
    np.savez(out, gradient=np.asarray(gradient), **whole)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    (pair if len(sys.argv) > 2 else everything)(sys.argv[1])
