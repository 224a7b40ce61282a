"""`hopfield-jax tune`: what it prints, writes and refuses."""

import json

import jax.numpy as jnp
import numpy as np
from PIL import Image
from typer.testing import CliRunner

import hopfield_jax as hj
from hopfield_jax._results import outcome
from hopfield_jax.cli._main import app
from hopfield_jax.cli._tune_strength import describe_strength, prepare_strength, warn
from hopfield_jax.dmft import OptimalStrength


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
    for fact in (
        "load α = 0.1, cue m₀ = 0.5, 6 steps",
        "β = 4",
        "2 repeats of 256 paths",
        "each of 2 repeats: theory",
        "OptimalStrength",
        "derivative",
    ):
        assert fact in result.stdout
    saved = json.loads((tmp_path / "strength.json").read_text())
    assert "Warning" not in result.stdout
    assert saved["lower"] <= saved["strength"] <= saved["upper"] and saved["result"] == "ok"
    tried = np.array(saved["tried"]["values"])
    assert tried.shape == (len(saved["tried"]["strengths"]), 2) and saved["value"] > tried[0].mean() + 0.01
    with Image.open(tmp_path / "strength.png") as image:
        assert min(image.size) > 600 and len(set(np.asarray(image.convert("L")).ravel())) > 20


def one(strength, slopes):
    """A result with its best strength in a given place."""
    values = jnp.array([[0.5, 0.5], [0.6, 0.6], [0.7, 0.7]])
    nothing = jnp.asarray(0.0)
    return OptimalStrength(
        strength=jnp.asarray(strength), lower=nothing, upper=nothing, value=nothing, value_error=nothing,
        at_bound=jnp.array(strength in (0.0, 2.0)), strengths=jnp.array([0.0, 1.0, 2.0]), values=values,
        gradients=jnp.repeat(jnp.array(slopes)[:, None], 2, axis=1), mismatch=nothing,
        setting=hj.Setting("theory (1 x 64 paths)", (), {}), result=outcome(),
    )  # fmt: skip


def test_a_best_strength_at_a_bound_says_what_to_do(tmp_path):
    request = prepare_strength(output=tmp_path, lower=0.0, upper=2.0, repeats=2, units="logcosh", samples=64)
    (below, _), (above, _) = (warn(request, one(at, [0.0] * 3)) for at in (0.0, 2.0))
    assert below.startswith("Warning: the best strength is the smallest") and below.endswith("try --from -2.")
    assert above.startswith("Warning: the best strength is the largest") and above.endswith("try --to 4.")
    assert warn(request, one(1.0, [0.0] * 3)) == []
    assert "ok; a wider bound may be better still" in str(one(2.0, [0.0] * 3))


def test_small_derivatives_keep_their_digits():
    rows = describe_strength(one(1.0, [-0.0, -3.21e-6, 0.25]))[2:5]
    assert [row.split()[-1] for row in rows] == ["0", "-3.21e-06", "0.25"]


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
