"""The verbs that raise under `jax_debug_nans`, because their results may contain NaN: listed in docs/sharp-bits.md."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hopfield_jax as hj

# By area, the recipes of tests/reliability/recipes.py that raise, and what docs/sharp-bits.md calls the verb they use.
RAISING = {
    "hj": {"Event": "hj.integrate", "follow": "hj.follow"},
    "associative": {},
    "sequential": {
        **dict.fromkeys(
            ("InputDrivenNetwork", "InputProtocol", "ExactDwell", "retrieve_sequence"),
            "hj.sequential.retrieve_sequence",
        ),
        **{name: name for name in ("follow_transitions", "measure_delay", "scan_gains", "find_critical_gain")},
    },
    "dmft": {"Elementwise": "hj.dmft.solve"},
    "theory": {
        "phase_lines": "hj.theory.phase_lines",
        "phase_diagram": "phase_diagram",
        "replica_branch": "replica_branch",
    },
    "classical": dict.fromkeys(
        ("sequence", "dilute", "DenseCouplings", "OuterProducts", "SparseCouplings"), "hj.classical.retrieve"
    ),
    "sweep": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("area", RAISING)
def test_these_verbs_raise_and_no_others(area):
    paths = os.pathsep.join([str(Path(__file__).parent.parent), str(Path(hj.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "reliability.nans", area],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.partition("raising:")[2].split()) == set(RAISING[area])


def test_the_docs_name_them():
    page = (Path(__file__).parents[2] / "docs" / "sharp-bits.md").read_text()
    said = page.partition("jax_debug_nans")[2].partition("\n\n")[0]
    for verbs in RAISING.values():
        for verb in verbs.values():
            assert f"`{verb}`" in said, verb
