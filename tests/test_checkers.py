"""What type checkers say of the public names: constructors take all numbers that their converters take."""

from pathlib import Path

import pytest

USE = """
import jax
import numpy as np

import hopfield_jax as hj

units = hj.LogCosh(beta=4.0)
layer = hj.Layer(hj.HardTanh(2), tau=np.float64(2.0), input=0.1)
spins, bits = hj.classical.Spins(0.1), hj.classical.Bits(mean=0.2)
network = hj.classical.BinaryNetwork(hj.classical.DenseCouplings(np.eye(3)), threshold=np.ones(3), temperature=1)
beta: jax.Array = units.beta + layer.tau
hj.LogCosh(beta="4.0")
"""


@pytest.mark.slow
def test_mypy_takes_numbers_for_parameters(tmp_path):
    api = pytest.importorskip("mypy.api")
    path = tmp_path / "use.py"
    path.write_text(USE)
    said, broken, _ = api.run(["--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}", str(path)])
    assert not broken
    errors = [line for line in said.splitlines() if ": error: " in line]
    assert len(errors) == 1 and "LogCosh" in errors[0] and '"str"' in errors[0]
    assert Path(errors[0].split(":")[0]).name == "use.py"
