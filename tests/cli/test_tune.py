"""`hopfield-jax tune`: what it prints and writes."""

import jax.numpy as jnp
import numpy as np

import hopfield_jax as hj
from cli.commands import check_files, run
from hopfield_jax._results import outcome
from hopfield_jax.cli._tune_strength import TuneStrength
from hopfield_jax.dmft.results import OptimalStrength


def test_gain_prints_and_writes_what_it_found(tmp_path):
    periods = "--period", 1.5, "--period", 0.3  # the second is shorter than this network has
    printed = run("tune gain", *periods, "-p", 4, "-n", 8, num_gains=3, output=tmp_path)
    for fact in ("P = 4 memories in N = 8 neurons follow each other every 0.3, 1.5", "τ_f = 0.01", "TunedGain"):
        assert fact in printed
    saved = check_files(printed, tmp_path, "tune gain", "gain.png", "gain.json")
    short, long = saved["results"]
    assert short["gain"] is None and "collapse" in short["result"]
    np.testing.assert_allclose(long["period"], 1.5, rtol=3e-4)  # the default tolerance
    assert long["result"] == "ok" and f"{long['gain']:.5g}" in printed
    assert len(saved["curve"]["gain"]) == 3 and min(saved["curve"]["gain"]) < long["gain"] < max(saved["curve"]["gain"])


def test_strength_prints_and_writes_what_it_found(tmp_path):
    printed = run("tune strength", num_steps=6, num_samples=256, num_repeats=2, output=tmp_path)
    for fact in ("load α = 0.1, cue m₀ = 0.5, 6 steps", "β = 4", "2 repeats of 256 paths", "OptimalStrength"):
        assert fact in printed
    assert "each of 2 repeats: theory" in printed and "derivative" in printed and "Warning" not in printed
    saved = check_files(printed, tmp_path, "tune strength", "strength.png", "strength.json")
    assert saved["lower"] <= saved["strength"] <= saved["upper"] and saved["result"] == "ok"
    tried = np.array(saved["tried"]["values"])
    assert tried.shape == (len(saved["tried"]["strengths"]), 2) and saved["value"] > tried[0].mean() + 0.01


def one(strength, slopes):
    """A result with its best strength in a given place."""
    values = jnp.array([[0.5, 0.5], [0.6, 0.6], [0.7, 0.7]])
    nothing = jnp.asarray(0.0)
    return OptimalStrength(
        strength=jnp.asarray(strength), lower=nothing, upper=nothing, value=nothing, value_error=nothing,
        at_bound=jnp.array(strength in (0.0, 2.0)), strengths=jnp.array([0.0, 1.0, 2.0]), values=values,
        gradients=jnp.repeat(jnp.array(slopes)[:, None], 2, axis=1), mismatch=nothing,
        setting=hj.results.Setting("theory (1 x 64 paths)", (), {}), result=outcome(),
    )  # fmt: skip


def test_a_best_strength_at_a_bound_says_what_to_do():
    request = TuneStrength(num_samples=64, num_repeats=2)
    below, above, inside = (list(request.describe(one(at, [0.0] * 3)))[-2] for at in (0.0, 2.0, 1.0))
    assert below.startswith("Warning: the best strength is the smallest") and below.endswith("try --lower -2.")
    assert above.startswith("Warning: the best strength is the largest") and above.endswith("try --upper 4.")
    assert not inside.startswith("Warning")
    assert "ok; a wider bound may be better still" in str(one(2.0, [0.0] * 3))


def test_small_derivatives_keep_their_digits():
    rows = list(TuneStrength().describe(one(1.0, [-0.0, -3.21e-6, 0.25])))[2:5]
    assert [row.split()[-1] for row in rows] == ["0", "-3.21e-06", "0.25"]
