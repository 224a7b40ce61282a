"""Paths and neurons split over a mesh of devices, of one process and of two."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.random as jr
import numpy as np
import pytest
from jax.sharding import Mesh

import hopfield_jax as hj
from hopfield_jax import dmft as D

KEY = jr.key(0)
MODEL = D.PlasticNetwork(0.1, hj.LogCosh(4.0), D.LeakyHebbian(0.3, 5.0))
CUE = D.SpinCue(0.5)
PROGRAM = Path(__file__).parent / "sharded.py"
ENVIRONMENT = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",  # memory is that of the programs that users run
    "PYTHONPATH": os.pathsep.join(filter(None, [str(PROGRAM.parents[2]), os.environ.get("PYTHONPATH")])),
}


def mesh(shape: tuple[int, ...] = (1,)) -> Mesh:
    """A mesh that repeats one device."""
    return Mesh(np.broadcast_to(np.array(jax.devices()[:1]), shape), tuple("ab"[: len(shape)]))


@pytest.mark.slow
def test_one_device_changes_nothing():
    for run in (
        lambda **k: D.solve(MODEL, CUE, num_steps=2, num_samples=64, num_shifts=2, key=KEY, **k),
        lambda **k: D.simulate(MODEL, CUE, num_steps=3, num_neurons=100, num_trials=2, key=KEY, **k),
    ):
        plain, split = run(), run(mesh=mesh())
        np.testing.assert_allclose(split.correlation, plain.correlation, rtol=1e-6)
        np.testing.assert_allclose(split.overlap, plain.overlap, rtol=1e-6)
        assert all(not x.committed for x in jax.tree.leaves(split)) and str(split) == str(plain)


def test_what_cannot_be_split_is_refused():
    def solve(**options):
        D.solve(MODEL, CUE, num_steps=3, num_samples=256, key=KEY, **options)

    def simulate(num_neurons=100, **options):
        D.simulate(MODEL, CUE, num_steps=3, num_neurons=num_neurons, num_trials=1, key=KEY, **options)

    for verb in (solve, simulate):
        with pytest.raises(ValueError, match=r"`mesh`: expected a jax.sharding.Mesh of one axis, or None, got axes \("):
            verb(mesh=mesh((1, 1)))
    with pytest.raises(ValueError, match="`num_samples`: expected a multiple of the 3 devices of `mesh`, got 256"):
        solve(mesh=mesh((3,)))
    with pytest.raises(ValueError, match="`num_neurons`: expected a multiple of the 3 devices of `mesh`, got 100"):
        simulate(mesh=mesh((3,)))
    with pytest.raises(ValueError, match="`mesh`: expected None with asynchronous=True"):
        spins = D.PlasticNetwork(0.1, hj.Sign())
        D.simulate(spins, CUE, num_steps=3, num_neurons=100, num_trials=1, key=KEY, asynchronous=True, mesh=mesh())
    if hasattr(jax, "set_mesh"):  # since jax 0.7; before it no axis is explicit unless one asks for it
        explicit = jax.make_mesh((1,), ("a",), axis_types=(jax.sharding.AxisType.Explicit,))
        with jax.set_mesh(explicit), pytest.raises(ValueError, match="`mesh`: expected a call outside `jax.set_mesh`"):
            solve(mesh=mesh())


def test_memory_is_that_of_one_device():
    def needed(**options):
        return D.memory_needed(MODEL, CUE, num_steps=20, num_samples=2**14, **options)

    assert needed(mesh=mesh()) == needed() and needed(mesh=mesh((4,))) < 0.27 * needed()  # matrices are on each
    with pytest.raises(ValueError, match="`max_bytes`"):
        D.solve(MODEL, CUE, num_steps=20, num_samples=2**14, key=KEY, max_bytes=needed() / 2)
    network = {"num_steps": 3, "num_neurons": 2**12, "num_trials": 1, "key": KEY}
    with pytest.raises(ValueError, match="expected room for the predicted 0.0063 GiB"):
        D.simulate(MODEL, CUE, max_bytes=1.0, mesh=mesh((4,)), **network)


@pytest.mark.slow
@pytest.mark.fault("workers and devices")
def test_devices_share_the_work_and_agree(tmp_path):
    subprocess.run([sys.executable, PROGRAM, tmp_path / "out.npz"], check=True, env=ENVIRONMENT, timeout=900)
    with np.load(tmp_path / "out.npz") as out:
        for name, (alone, shared, whole) in json.loads(str(out["figures"])).items():
            assert shared < 0.45 * alone, name  # 1/4, and copies of outputs that some versions of XLA make on a CPU
            assert whole <= 2**16, name  # one number for each neuron, to sort them; never a history
        for name in out.files:
            if match := re.fullmatch(r"([124])/(.*)", name):
                got, expected = out[name], out["0/" + match[2]]
                size = np.nanmax(np.abs(expected))
                # float64. Single entries of late responses are ill-determined: rounding over a ridge of 1e-8.
                late = name.startswith(match[1] + "/theory") and "overlap" not in name and "correlation" not in name
                tolerance = 1e-7 if late else 1e-9 if name.endswith("_error") else 1e-10
                np.testing.assert_allclose(got, expected, atol=tolerance * size, rtol=0, err_msg=name)
                assert match[1] != "1" or np.array_equal(got, expected, equal_nan=True), name


@pytest.mark.slow
@pytest.mark.fault("workers and devices")
def test_two_processes_find_what_one_finds(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    command, environment = [sys.executable, PROGRAM], ENVIRONMENT | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    processes = []
    try:
        for rank in ("0", "1"):
            with (tmp_path / f"{rank}.txt").open("w") as text:
                arguments = [*command, tmp_path / f"{rank}.npz", "pair", rank, port]
                processes.append(subprocess.Popen(arguments, stdout=text, stderr=subprocess.STDOUT, env=environment))
        codes = [process.wait(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    printed = [(tmp_path / f"{rank}.txt").read_text() for rank in ("0", "1")]
    assert codes == [0, 0], printed
    assert "Agreement" in printed[0] and "Agreement" not in printed[1]
    for text in printed:
        assert text.count("result: ok") == 2 and "EquinoxRuntimeError" in text
    subprocess.run([*command, tmp_path / "one.npz", "pair"], check=True, env=environment, timeout=240)
    with (
        np.load(tmp_path / "0.npz") as first,
        np.load(tmp_path / "1.npz") as second,
        np.load(tmp_path / "one.npz") as one,
    ):
        for name in one.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
            np.testing.assert_array_equal(first[name], one[name], err_msg=name)  # a + b = b + a
