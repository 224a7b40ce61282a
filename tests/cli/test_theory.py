"""`hopfield-jax theory`, and closed theory beside `hopfield-jax dmft`."""

import json

from cli.commands import check_files, run


def test_predictions_are_printed_drawn_and_saved(tmp_path):
    printed = run("theory", num_steps=3, output=tmp_path)
    assert "First step, exact" in printed and "0.886154" in printed and "0.137906" in printed
    saved = check_files(printed, tmp_path, "theory", "theory.png", "theory.json")
    assert saved["predictions"]["first_step"]["applies"]
    assert abs(saved["predictions"]["amari_maginu"]["value"][3] - 0.9803123) < 1e-6
    assert saved["predictions"]["other_diagonal"]["reason"].startswith("holds with self-couplings kept")
    assert abs(saved["at_rest"]["critical_load"] - 0.1379056) < 1e-6


def test_mean_field_theory_and_closed_theory_stand_side_by_side(tmp_path):
    sizes = {"num_steps": 3, "num_samples": 256, "num_shifts": 2, "units": "sign", "strength": 0}
    sizes |= {"load": 0.1, "cue_overlap": 0.5, "output": tmp_path}
    assert "Amari and Maginu" in run("dmft", "--theory", "--no-simulation", **sizes)
    saved = json.loads((tmp_path / "dmft.json").read_text())
    assert abs(saved["closed_theory"]["first_step"]["value"] - 0.8861537) < 1e-6
    # 2 × 256 quasi-random paths.
    assert abs(saved["results"]["theory"]["overlap"][1] - saved["closed_theory"]["first_step"]["value"]) < 0.005
