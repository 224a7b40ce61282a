"""`hopfield-jax theory`, and closed theory beside `hopfield-jax dmft`."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from hopfield_jax.cli._main import app


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_predictions_are_printed_drawn_and_saved(tmp_path):
    result = call("theory", "--steps", 3, "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert "First step, exact" in result.stdout and "0.886154" in result.stdout and "0.137906" in result.stdout
    saved = json.loads((tmp_path / "theory.json").read_text())
    assert saved["predictions"]["first_step"]["applies"]
    assert abs(saved["predictions"]["amari_maginu"]["value"][3] - 0.9803123) < 1e-6
    assert saved["predictions"]["other_diagonal"]["reason"].startswith("holds with self-couplings kept")
    assert abs(saved["at_rest"]["critical_load"] - 0.1379056) < 1e-6
    with Image.open(tmp_path / "theory.png") as image:
        assert min(image.size) > 300
    for path in tmp_path.iterdir():
        assert str(path) in result.stdout


def test_mean_field_theory_and_closed_theory_stand_side_by_side(tmp_path):
    sizes = ["--steps", 3, "--samples", 256, "--shifts", 2, "--no-simulation", "--output", tmp_path]
    result = call("dmft", "--theory", "--units", "sign", "--strength", 0, "--load", 0.1, "--cue", 0.5, *sizes)
    assert result.exit_code == 0, result.output
    assert "Amari and Maginu" in result.stdout
    saved = json.loads((tmp_path / "dmft.json").read_text())
    assert abs(saved["closed_theory"]["first_step"]["value"] - 0.8861537) < 1e-6
    # 2 × 256 quasi-random paths.
    assert abs(saved["results"]["theory"]["overlap"][1] - saved["closed_theory"]["first_step"]["value"]) < 0.005


@pytest.mark.parametrize("option, value", [("--load", "-1"), ("--cue", "2"), ("--steps", "0")])
@pytest.mark.fault("wrong input to the command line")
def test_bad_input_is_one_clear_line(tmp_path, option, value):
    result = call("theory", option, value, "--output", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"hopfield-jax: `{option}`: expected ") and value in result.stderr
