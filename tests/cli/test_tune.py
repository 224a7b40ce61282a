"""`hopfield-jax tune`: what it prints, writes and refuses."""

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from hopfield_jax.cli._main import app


def call(*arguments, command="gain"):
    return CliRunner().invoke(app, ["tune", command, *(str(a) for a in arguments)])


def test_gain_prints_and_writes_what_it_found(tmp_path):
    periods = "--period", 1.5, "--period", 0.3  # the second is shorter than this network has
    result = call("-p", 4, "-n", 8, *periods, "--points", 3, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    for fact in ("P = 4 memories in N = 8 neurons follow each other every 0.3, 1.5", "τ_f = 0.01", "TunedGain"):
        assert fact in result.stdout
    saved = json.loads((tmp_path / "gain.json").read_text())
    short, long = saved["results"]
    assert short["gain"] is None and "collapse before" in short["result"]
    np.testing.assert_allclose(long["period"], 1.5, rtol=3e-4)  # the default tolerance
    assert long["result"] == "ok" and f"{long['gain']:.5g}" in result.stdout
    assert len(saved["curve"]["gain"]) == 3 and min(saved["curve"]["gain"]) < long["gain"] < max(saved["curve"]["gain"])
    with Image.open(tmp_path / "gain.png") as image:
        assert min(image.size) > 600 and len(set(np.asarray(image.convert("L")).ravel())) > 20


def test_bad_options_are_named(tmp_path):
    for arguments, name in (
        (("--period", -1), "--period"),
        (("--period", 1, "--period", 1), "--period"),
        (("--points", 1), "--points"),
        (("--tau-fast", 0), "--tau-fast"),
    ):
        result = call(*arguments, "-o", tmp_path)
        assert result.exit_code == 2 and f"`{name}`" in result.stderr


def test_strength_prints_and_writes_what_it_found(tmp_path):
    result = call("--steps", 6, "--samples", 256, "--repeats", 2, "-o", tmp_path, command="strength")
    assert result.exit_code == 0, result.output
    for fact in ("load α = 0.1, cue m₀ = 0.5, 6 steps", "β = 4", "2 × 256 paths", "OptimalStrength", "derivative"):
        assert fact in result.stdout
    saved = json.loads((tmp_path / "strength.json").read_text())
    assert saved["lower"] <= saved["strength"] <= saved["upper"] and saved["result"] == "ok"
    tried = np.array(saved["tried"]["values"])
    assert tried.shape == (len(saved["tried"]["strengths"]), 2) and saved["value"] > tried[0].mean() + 0.01
    with Image.open(tmp_path / "strength.png") as image:
        assert min(image.size) > 600 and len(set(np.asarray(image.convert("L")).ravel())) > 20


def test_bad_options_of_strength_are_named(tmp_path):
    for arguments, name in (
        (("--units", "sign"), "--units"),
        (("--from", 2, "--to", 1), "--to"),
        (("--repeats", 1), "--repeats"),
        (("--load", 0), "--load"),
        (("--samples", 100), "--samples"),
    ):
        result = call(*arguments, "-o", tmp_path, command="strength")
        assert result.exit_code == 2 and f"`{name}`" in result.stderr
