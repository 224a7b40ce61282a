"""`hopfield-jax dmft` and its part of the demo: what they print, write and refuse."""

import json
import re
from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import hopfield_jax as hj
from hopfield_jax.cli import _dmft, _present_dmft
from hopfield_jax.cli._main import app

TINY = {"--steps": 3, "--samples": 256, "--shifts": 2, "--neurons": 200, "--networks": 2}
FILES = {"trajectory.png", "correlation.png", "dmft.json", "dmft.npz"}


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def options(**others):
    return [
        x for pair in (TINY | {f"--{name.replace('_', '-')}": x for name, x in others.items()}).items() for x in pair
    ]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One run of the command, and what it computed, with and without plasticity in one program."""
    out, kept = tmp_path_factory.mktemp("run") / "out", {}

    def run(requests):
        kept["requests"] = [*requests, _dmft.prepare(**_as_prepared(out), strength=0.0)]
        kept["outcomes"], seconds = _dmft.run(kept["requests"])
        return kept["outcomes"][:1], seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_present_dmft, "run", run)
        result = call("dmft", *options(seed=3, output=out, load=0.123))
    assert result.exit_code == 0, result.output
    return result.stdout, out, kept["requests"], kept["outcomes"]


def _as_prepared(out) -> Any:
    return {name[2:]: value for name, value in TINY.items()} | {"seed": 3, "load": 0.123, "output": out}


def test_files_can_be_read(whole_run):
    printed, out, *_ = whole_run
    assert {path.name for path in out.iterdir()} == FILES
    for name in FILES:
        assert str(out / name) in printed
        if name.endswith(".png"):
            with Image.open(out / name) as image:
                assert min(image.size) > 300 and len(set(np.asarray(image.convert("L")).ravel())) > 20


def test_the_table_says_what_the_files_say(whole_run):
    printed, out, *_ = whole_run
    saved = json.loads((out / "dmft.json").read_text())
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
    assert saved["versions"]["jax"] and saved["dtype"] == "float32" and saved["seconds"]["compile"] > 0


def test_theory_is_asked_what_the_network_realises_and_conventions_are_said(whole_run):
    printed, out, *_ = whole_run
    saved = json.loads((out / "dmft.json").read_text())["parameters"]
    # 0.123 of 200 neurons are 24.6 patterns.
    assert saved["load"] == pytest.approx(0.125) and saved["num_patterns"] == 25
    assert (saved["neurons"], saved["networks"], saved["seed"]) == (200, 2, 3)
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
    model, cue = requests[0].model, requests[0].cue
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
    few = {"steps": 2, "units": "sign", "strength": -0.5, "output": tmp_path}
    result = call("dmft", *options(**few), "--no-simulation", "--accumulating", "--self-coupling")
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == FILES
    saved = json.loads((tmp_path / "dmft.json").read_text())
    assert list(saved["results"]) == ["theory"] and saved["agreement"] is None
    assert saved["parameters"]["neurons"] is None and saved["parameters"]["self_coupling"] == "True"
    for fact in (
        "φ(x) = sign(x)",
        "with self-couplings",
        "A(t+dt) = A(t) + dt (λ/N) φφᵀ, λ = -0.5",
        "overlap m: theory",
    ):
        assert fact in result.stdout
    for fact in ("simulation", "apart", "Agreement"):
        assert fact not in result.stdout
    with np.load(tmp_path / "dmft.npz") as arrays:
        assert all(name.startswith("theory.") for name in arrays)
        # An accumulating kernel is one number: λ dt.
        np.testing.assert_allclose(
            arrays["theory.plastic_feedback"][2, :2], -0.5 * arrays["theory.correlation"][2, :2], rtol=1e-6
        )


def test_a_failure_is_said(whole_run, tmp_path):
    _, _, (request, _), (outcome, _) = whole_run
    nan = outcome.theory.overlap.at[2:].set(np.nan)
    broken = eqx.tree_at(lambda o: (o.overlap, o.result), outcome.theory, (nan, hj.RESULTS.not_finite))
    lines = _present_dmft.describe_outcome(_dmft.Outcome(broken, outcome.network, None, 1.0, 1.0))
    assert any(re.match(r" +2 +2 +- ", line) for line in lines)
    assert "Agreement: unknown, as one of them ended early." in lines
    assert lines[-1].startswith("theory: ") and len(lines[-1]) > 20


def test_the_demo_shows_both(whole_run, tmp_path, monkeypatch):
    _, _, _, (plastic, fixed) = whole_run
    asked, said = [], []
    monkeypatch.setattr(_present_dmft, "run", lambda requests: asked.extend(requests) or ([fixed, plastic], 1.0))
    # The numbers are those of three steps.
    prepare = _dmft.prepare
    monkeypatch.setattr(_present_dmft, "prepare", lambda steps=3, **given: prepare(steps=steps, **given))
    monkeypatch.setattr(_present_dmft, "_DEMO_STEPS", (1, 3))
    files = _present_dmft.demonstrate(tmp_path, True, said.append)
    assert [path.name for path in files] == ["trajectory.png"] and files[0].stat().st_size > 10_000
    assert [float(r.model.kernel.strength) for r in asked] == [0.0, pytest.approx(0.3)]
    assert all((r.neurons, r.networks, float(r.model.load)) == (4000, 4, pytest.approx(0.12)) for r in asked)
    rows = [line.split() for line in said if re.match(r" +0(\.3)? +[13] ", line)]
    assert [row[:2] for row in rows] == [["0", "1"], ["0", "3"], ["0.3", "1"], ["0.3", "3"]]
    for row, outcome in zip(rows, (fixed, fixed, plastic, plastic), strict=True):
        assert float(row[2]) == pytest.approx(float(outcome.theory.overlap[int(row[1])]), abs=0.51e-4)


BAD = [
    ({"load": 0}, "--load", "finite and positive", "0"),
    ({"load": "nan"}, "--load", "finite and positive", "nan"),
    ({"cue": 1.2}, "--cue", "a number in [-1, 1]", "1.2"),
    ({"beta": -1}, "--beta", "finite and positive", "-1"),
    ({"strength": "inf"}, "--strength", "finite", "inf"),
    ({"tau": 0}, "--tau", "finite and positive", "0"),
    ({"tau": 0.5}, "--tau", "at least dt = 1", "0.5"),
    ({"dt": 1.5}, "--dt", "a step in (0, 1]", "1.5"),
    ({"dt": 0.5, "units": "glauber"}, "--dt", "1 with Glauber units", "0.5"),
    ({"steps": 0}, "--steps", "at least 1", "0"),
    ({"samples": 1000}, "--samples", "a power of two", "1000"),
    ({"samples": 2**30}, "--samples", "24 GiB", "GiB"),
    ({"shifts": 1}, "--shifts", "at least 2", "1"),
    ({"neurons": 1}, "--neurons", "at least 2", "1"),
    ({"neurons": 10**6}, "--neurons", "24 GiB", "GiB"),
    ({"neurons": 150_000}, "--neurons", "24 GiB", "40.2 GiB"),  # 4 bytes · 150000 · (4 · 18000 + 3 · 4)
    ({"networks": 1}, "--networks", "at least 2", "1"),
    ({"seed": -1}, "--seed", "at least 0", "-1"),
    ({"output": "file"}, "--output", "a folder that can be written", "file"),
]


@pytest.mark.parametrize("given, argument, expected, got", BAD)
@pytest.mark.fault("wrong input to the command line")
def test_bad_input_is_one_clear_line(given, argument, expected, got, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_present_dmft, "run", lambda requests: pytest.fail("it began to compute"))
    result = call("dmft", *options(**given))
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    message, _, what_was_got = result.stderr.partition(", got ")
    assert message.startswith(f"hopfield-jax: `{argument}`: expected ")
    assert expected in message and got in what_was_got


@pytest.mark.parametrize("command", [("dmft", "_present_dmft"), ("sweep", "_present_sweep")])
@pytest.mark.parametrize(
    "error, code",
    [
        (ValueError("`max_bytes`: expected less, got more."), 2),
        (MemoryError("`memory`: not even one point fits."), 1),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory."), 1),
        (eqx.EquinoxRuntimeError("\nThe run went wrong.\n\nA long stack."), 1),
    ],
)
@pytest.mark.fault("wrong input to the command line")
def test_what_the_library_says_of_a_run_is_one_line(error, code, command, tmp_path, monkeypatch):
    def run(*_):
        raise error

    name, module = command
    monkeypatch.setattr(f"hopfield_jax.cli.{module}.run", run)
    result = call(name, *(["load"] if name == "sweep" else []), "--steps", 3, "-o", tmp_path)
    first = next(line for line in str(error).splitlines() if line)
    assert (result.exit_code, result.stderr) == (code, f"hopfield-jax: {first}\n")


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch):
    def run(*_):
        raise RuntimeError("not meant for users")

    monkeypatch.setattr(_present_dmft, "run", run)
    with pytest.raises(RuntimeError, match="not meant for users"):
        CliRunner().invoke(app, ["dmft", "--steps", "3", "-o", str(tmp_path)], catch_exceptions=False)


@pytest.mark.parametrize("bad", [("--units", "tanh"), ("--steps", "many")])
def test_unknown_choices_are_refused(bad, tmp_path):
    result = call("dmft", *bad, "-o", tmp_path)
    assert result.exit_code == 2 and bad[0] in result.stderr and "Traceback" not in result.stderr
