"""`hopfield-jax dmft` and its part of the demo: what they print, write and refuse."""

import dataclasses
import json
import re
from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from cli.commands import call, check_files, run
from hopfield_jax.cli import _demo, _dmft

TINY: dict[str, Any] = {"num_steps": 3, "num_samples": 256, "num_shifts": 2, "num_neurons": 200, "num_trials": 2}
FILES = ("trajectory.png", "correlation.png", "dmft.json", "dmft.npz")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One run of the command, and what it computed, with and without plasticity in one program."""
    out, kept = tmp_path_factory.mktemp("run") / "out", {}
    inner = _dmft.run

    def both(requests):
        kept["requests"] = [*requests, dataclasses.replace(requests[0], strength=0.0)]
        kept["outcomes"] = inner(kept["requests"])
        return kept["outcomes"][:1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_dmft, "run", both)
        printed = run("dmft", **TINY, seed=3, output=out, load=0.123)
    return printed, out, kept["requests"], kept["outcomes"]


def test_the_table_says_what_the_files_say(whole_run):
    printed, out, *_ = whole_run
    saved = check_files(printed, out, "dmft", *FILES)
    theory, network = saved["results"]["theory"], saved["results"]["simulation"]
    with np.load(out / "dmft.npz") as arrays:
        for name, result in saved["results"].items():
            np.testing.assert_allclose(arrays[f"{name}.overlap"], result["overlap"])
            assert arrays[f"{name}.correlation"].shape == (4, 4)
        assert "theory.response" in arrays and "simulation.response" not in arrays
    for step in range(4):
        line = next(line for line in printed.splitlines() if re.match(rf" +{step} +{step} +\d\.", line))
        cells = re.split(r" {2,}", line.strip())
        shown = [[float(x) for x in cell.split(" ± ")] for cell in (cells[2], cells[3], cells[5], cells[6])]
        for name, pair in (("overlap", shown[:2]), ("cue_overlap", shown[2:])):
            for (value, error), result in zip(pair, (theory, network), strict=True):
                # Four digits.
                np.testing.assert_allclose(value, result[name][step], atol=0.51e-4)
                np.testing.assert_allclose(error, result[f"{name}_error"][step], atol=0.51e-4)
        error = np.hypot(theory["overlap_error"][step], network["overlap_error"][step])
        apart = abs(theory["overlap"][step] - network["overlap"][step]) / max(error, 1e-9)
        assert cells[4] == (f"{apart:.1f}" if step else "-")  # the cue is clamped: no error
    assert f"{saved['agreement']['squared_difference']:.3g}" in printed and "standard errors at step" in printed
    assert saved["seconds"]["compile"] > 0 and saved["seconds"]["simulation"] > 0


def test_theory_is_asked_what_the_network_realises_and_conventions_are_said(whole_run):
    printed, out, *_ = whole_run
    saved = json.loads((out / "dmft.json").read_text())["parameters"]
    # 0.123 of 200 neurons are 24.6 patterns.
    assert saved["load"] == pytest.approx(0.125) and saved["num_patterns"] == 25
    assert (saved["num_neurons"], saved["num_trials"], saved["seed"]) == (200, 2, 3)
    facts = (
        "m₀ = 0.4",
        "P/N = 0.125",
        "3 steps of dt = 1",
        "seed 3",
        "φ(x) = tanh(βx), β = 4",
        "without self-couplings",
    )
    facts += ("λ = 0.3, τ = 5", "2 randomisations of 256 paths", "2 networks of N = 200 neurons, P = 25", "Conventions")
    facts += ("simulation (N = 200, 2 networks)", "kernel LeakyHebbian", "kernel.tau 5", "Compilation")
    for fact in facts:
        assert fact in printed, fact


def test_the_numbers_are_the_librarys(whole_run):
    _, _, requests, (plastic, fixed) = whole_run
    model, cue = requests[0].model_and_cue
    key = jr.fold_in(jr.key(3), 1)
    direct = hj.dmft.simulate(model, cue, num_steps=3, num_neurons=200, num_trials=2, key=key)
    # The same sums in another program, in float32.
    np.testing.assert_allclose(plastic.network.overlap, direct.overlap, atol=1e-5)
    # The last weights at t = 3: λ/τ (4/5)^(t-s-1) C_ts.
    kernel = 0.06 * 0.8 ** np.arange(2, -1, -1)
    np.testing.assert_allclose(
        plastic.theory.plastic_feedback[3, :3], kernel * plastic.theory.correlation[3, :3], rtol=1e-5
    )
    assert not np.any(fixed.theory.plastic_feedback) and not np.any(fixed.network.plastic_feedback)
    assert fixed.theory.overlap[1] == plastic.theory.overlap[1]  # no plasticity before the first step
    assert fixed.theory.overlap[2] != plastic.theory.overlap[2]


def test_theory_alone(tmp_path):
    few = TINY | {"num_steps": 2, "units": "sign", "strength": -0.5, "output": tmp_path}
    printed = run("dmft", "--no-simulation", "--accumulating", "--self-coupling", **few)
    saved = check_files(printed, tmp_path, "dmft", *FILES)
    assert list(saved["results"]) == ["theory"] and saved["agreement"] is None
    assert saved["parameters"]["num_neurons"] is None and saved["parameters"]["self_coupling"] == "True"
    for fact in (
        "φ(x) = sign(x)",
        "with self-couplings",
        "A(t+dt) = A(t) + dt (λ/N) φφᵀ, λ = -0.5",
        "overlap m: theory",
    ):
        assert fact in printed
    for fact in ("simulation", "apart", "Agreement"):
        assert fact not in printed
    with np.load(tmp_path / "dmft.npz") as arrays:
        assert all(name.startswith("theory.") for name in arrays)
        # An accumulating kernel is one number: λ dt.
        np.testing.assert_allclose(
            arrays["theory.plastic_feedback"][2, :2], -0.5 * arrays["theory.correlation"][2, :2], rtol=1e-6
        )


def test_a_failure_is_said(whole_run):
    _, _, (request, _), (outcome, _) = whole_run
    nan = outcome.theory.overlap.at[2:].set(np.nan)
    broken = eqx.tree_at(lambda o: (o.overlap, o.result), outcome.theory, (nan, hj.RESULTS.not_finite))
    lines = list(request.describe(dataclasses.replace(outcome, theory=broken)))
    assert any(re.match(r" +2 +2 +- ", line) for line in lines)
    assert "Agreement: unknown, as one of them ended early." in lines
    assert any(line.startswith("theory: ") and len(line) > 20 for line in lines)


def test_the_demo_shows_both(whole_run, tmp_path, monkeypatch):
    _, _, _, (plastic, fixed) = whole_run
    asked, said = [], []
    monkeypatch.setattr(_dmft, "run", lambda requests: asked.extend(requests) or [fixed, plastic])
    monkeypatch.setattr(_demo, "_STEPS_SHOWN", (1, 3))  # the numbers are those of three steps
    files = _demo.synapses(tmp_path, True, said.append)
    assert [path.name for path in files] == ["trajectory.png"] and files[0].stat().st_size > 10_000
    assert [r.strength for r in asked] == [0.0, 0.3]
    loads = [float(r.model_and_cue[0].load) for r in asked]
    assert loads == pytest.approx([0.12, 0.12]) and all((r.num_neurons, r.num_trials) == (4000, 4) for r in asked)
    rows = [line.split() for line in said if re.match(r" +0(\.3)? +[13] ", line)]
    assert [row[:2] for row in rows] == [["0", "1"], ["0", "3"], ["0.3", "1"], ["0.3", "3"]]
    for row, outcome in zip(rows, (fixed, fixed, plastic, plastic), strict=True):
        assert float(row[2]) == pytest.approx(float(outcome.theory.overlap[int(row[1])]), abs=0.51e-4)


@pytest.mark.parametrize(
    "given, facts, overlap",
    [
        (
            {"synapses": "sign,dilute:0.5", "adaptation": "0.5:5"},
            ("sign,dilute:0.5: in a large network", "b = 0.5, τ = 5", "synapses Diluted"),
            lambda kernel: hj.dmft.PlasticNetwork(
                0.05, hj.dmft.Adaptation(hj.LogCosh(4.0), 0.5, 5.0), kernel,
                synapses=hj.dmft.Diluted(0.5, synapses=hj.dmft.Clipped()),
            ),
        ),
        (
            {"synapses": "bits:2", "depression": "0.2:5:6"},
            ("U = 0.2, τ_r = 5", "τ_f = 6", "synapses Quantised", "units ShortTermPlasticity"),
            lambda kernel: hj.dmft.PlasticNetwork(
                0.05, hj.dmft.ShortTermPlasticity(hj.LogCosh(4.0), 0.2, 5.0, 6.0), kernel,
                synapses=hj.dmft.Quantised(2),
            ),
        ),
    ],
)  # fmt: skip
def test_synapses_and_neurons_that_tire(given, facts, overlap, tmp_path):
    few = TINY | {"num_steps": 2, "load": 0.05, "output": tmp_path}
    printed = run("dmft", "--no-simulation", **few, **given)
    for fact in facts:
        assert fact in " ".join(printed.split()), fact
    saved = json.loads((tmp_path / "dmft.json").read_text())
    sizes = {"num_steps": 2, "num_samples": few["num_samples"], "num_shifts": few["num_shifts"]}
    key = jr.fold_in(jr.key(0), 0)
    direct = hj.dmft.solve(overlap(hj.dmft.LeakyHebbian(0.3, 5.0)), hj.dmft.SpinCue(0.4), key=key, **sizes)
    np.testing.assert_allclose(saved["results"]["theory"]["overlap"], direct.overlap, atol=1e-5)


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("synapses", "signs", "--synapses`: expected sign, ternary, bits:B, dilute:C"),
        ("synapses", "sign,ternary", "--synapses`: expected sign"),
        ("synapses", "bits:x", "--synapses`: expected sign"),
        ("synapses", "bits:9", "Quantised.bits`: expected at most 8"),
        ("synapses", "dilute:0", "Diluted.connectivity`: expected within (0, 1]"),
        ("adaptation", "0.5", "--adaptation`: expected numbers as B:TAU, got '0.5'"),
        ("adaptation", "0.5:0", "positive, got 0.0"),
        ("depression", "0.2:5:6:7", "--depression`: expected numbers as U:TAU_R[:TAU_F]"),
        ("depression", "2:5", "ShortTermPlasticity.use`: expected within (0, 1], got 2.0"),
    ],
)
def test_wrong_parts_are_named(option, value, said):
    result = call("dmft", f"--{option}", value)
    assert result.exit_code == 2 and said in result.stderr, result.stderr
