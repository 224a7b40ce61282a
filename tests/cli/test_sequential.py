"""`hopfield-jax sequence` and `gains` and their part of the demo: what they print, write and refuse."""

import json
import re
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import hopfield_jax as hj
from hopfield_jax.cli import _present_sequential, _sequential
from hopfield_jax.cli._main import app
from hopfield_jax.sequential import Ending, GainScan, SequenceRun

TINY = {"memories": 4, "neurons": 8, "tau_fast": 0.02, "t1": 6.0, "output": None}
FACTS = ("P = 4 memories in N = 8 neurons until t = 6", "τ_f = 0.02, ε = 0.01, ψ(x) = x clipped to [-1, 1]")
FACTS += ("τ_s = 1", "0 → 1 → … → 3 → 0", "noise      none", "units HardTanh", "result: ", "Compilation and run ")


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def options(**others):
    given = {name: x for name, x in (TINY | others).items() if x is not None}
    return [x for name, value in given.items() for x in (f"--{name.replace('_', '-')}", value)]


def keep(name, kept):
    """The computation, which leaves behind what it was asked and what it found."""
    inner = getattr(_sequential, name)

    def computed(request):
        kept[name] = request, inner(request)[0]
        return kept[name][1], 1.25

    return computed


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One run of `sequence`, and what it computed."""
    out, kept = tmp_path_factory.mktemp("run") / "out", {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_present_sequential, "run", keep("run", kept))
        result = call("sequence", *options(output=out, gain=4.75))
    assert result.exit_code == 0, result.output
    return result.stdout, out, *kept["run"]


@pytest.fixture(scope="module")
def whole_scan(tmp_path_factory):
    """One run of `gains`, in three rounds of which the last is filled up, and what it computed."""
    out, kept = tmp_path_factory.mktemp("scan") / "out", {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sequential, "_AT_ONCE", 2)
        patch.setattr(_present_sequential, "scan", keep("scan", kept))
        result = call("gains", *options(output=out), "--from", 2, "--to", 6, "--points", 5)
    assert result.exit_code == 0, result.output
    return result.stdout, out, *kept["scan"]


def check_files(printed, out, name):
    assert {path.name for path in out.iterdir()} == {f"{name}.png", f"{name}.json", f"{name}.npz"}
    for path in out.iterdir():
        assert str(path) in printed
    with Image.open(out / f"{name}.png") as image:
        assert min(image.size) > 600 and len(set(np.asarray(image.convert("L")).ravel())) > 20
    saved = json.loads((out / f"{name}.json").read_text())
    assert saved["command"] == f"hopfield-jax {name}" and saved["seconds"] == 1.25 and saved["dtype"] == "float32"
    assert saved["versions"]["jax"] and saved["device"].startswith("cpu")
    for fact in FACTS:
        assert fact in printed, fact
    return saved


def test_a_run_leaves_what_it_says(whole_run):
    printed, out, request, found = whole_run
    saved = check_files(printed, out, "sequence")
    parameters = saved["parameters"]
    assert (parameters["gain"], parameters["saliency"], parameters["P"], parameters["t1"]) == (4.75, 4.75, "4", 6)
    with np.load(out / "sequence.npz") as arrays:
        assert len(arrays["times"]) == 1001 and set(arrays) >= {"overlap", "saliency", "switch_times", "order"}
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], getattr(found, name))
    assert saved["results"]["ending"] == "running" and saved["results"]["result"] == "ok"
    assert "κ = 4.75; the first memory starts with saliency Z₀ = κ" in printed and str(found.order[3]) in printed
    card = " ".join(printed.split())
    assert f"{found.num_transitions} transitions until t = 6" in card and Ending[found.ending] in card


def test_the_table_of_visits_is_right(whole_run):
    printed, out, _, found = whole_run
    visits = json.loads((out / "sequence.json").read_text())["results"]["visits"]
    count = int(found.num_transitions)
    assert len(visits) == count + 1 >= 4
    rows = [line.split() for line in printed.splitlines() if re.match(r" +\d+ +\d +\+ ", line)]
    starts = [0.0, *np.asarray(found.switch_times)[:count].tolist()]
    for i, (visit, row) in enumerate(zip(visits, rows, strict=True)):
        memory = i % 4
        saliency = 4.75 if i == 0 else float(found.switch_saliency[i - 1, memory])
        assert (visit["visit"], visit["memory"], visit["sign"]) == (i + 1, memory, 1) and row[1] == str(memory)
        until = None if i == count else starts[i + 1]
        expected = [starts[i], until, None if until is None else float(found.dwell_times[i]), saliency]
        expected.append(float(np.log(saliency)))
        names = ("from", "to", "dwell_time", "saliency", "expected")
        for name, value, cell in zip(names, expected, row[3:], strict=True):
            assert visit[name] == (None if value is None else pytest.approx(value, abs=1e-6))
            assert cell == ("-" if value is None else f"{visit[name]:.4f}")


def test_the_numbers_are_the_librarys(whole_run):
    *_, found = whole_run
    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(4, 8), gain=4.75, transitions=hj.sequential.cycle(4), tau_fast=0.02, input_coupling=0.01
    )
    direct = hj.sequential.retrieve_sequence(
        network, saliency=4.75, t1=6.0, saveat=jnp.linspace(0, 6.0, 1001), throw=False
    )
    np.testing.assert_array_equal(direct.switch_times, found.switch_times)
    np.testing.assert_array_equal(direct.overlap, found.overlap)


def test_long_tables_are_shortened_and_failures_said(whole_run):
    *_, found = whole_run
    assert int(found.num_transitions) < 64
    many = jnp.arange(64)
    fields = (jnp.full((64, 4), 2.0), jnp.append(many, 0) % 4, jnp.ones(65, jnp.int32))
    fields = (*fields, jnp.linspace(1, 64, 64), jnp.ones(64), jnp.array(40), hj.RESULTS.no_room)
    where = lambda r: (  # noqa: E731
        r.switch_saliency, r.order, r.sign, r.switch_times, r.dwell_times, r.num_transitions, r.result,
    )  # fmt: skip
    long = eqx.tree_at(where, found, fields)
    lines = _present_sequential.describe_run(long)
    numbers = [line.split()[0] for line in lines[2:] if re.match(r" +(\d+|…) +(\d|…) +(\+|…) ", line)]
    assert numbers == [*map(str, range(1, 15)), "…", "38", "39", "40", "41"]
    assert "There was no room left" in lines[-1] + lines[-2]


def test_a_scan_leaves_what_it_says(whole_scan):
    printed, out, request, found = whole_scan
    saved = check_files(printed, out, "gains")
    assert "5 gains κ from 2 to 6" in printed and "gain" not in saved["parameters"]
    with np.load(out / "gains.npz") as arrays:
        assert arrays["gain"].tolist() == [2, 3, 4, 5, 6]
        for name in ("period", "num_transitions", "collapsed", "period_limit"):
            np.testing.assert_array_equal(arrays[name], getattr(found, name))
    assert saved["results"]["endings"] == ["collapse", "collapse", "running", "running", "running"]
    assert (saved["results"]["smallest_gain"], saved["results"]["num_going_on"]) == (4, 3)
    assert saved["results"]["num_failed"] == 0
    said = "goes on at 3 of 5 gains, the smallest is 4 (by the saliency map: 4; in a cycle of 4: 3.611)"
    assert said in printed and "It stops at 2 of them." in printed and Ending[Ending.collapse][:40] in printed
    rows = [line.split() for line in printed.splitlines() if re.match(r" +\d+ +[\d.-]+ +", line)]
    for i, row in enumerate(rows[:3], 2):
        settled, limit = float(found.period[i]), float(hj.sequential.period(found.gain[i]))
        assert row[0] == f"{i + 2}" and row[1:3] == [f"{settled:.4f}", f"{limit:.4f}"]
        assert float(row[3]) == pytest.approx(100 * (settled / limit - 1), abs=0.06)
    # From Z₀ = κ = 2 the map retrieves one memory (its successor gets 1), from 3 three.
    for i, by_map in ((0, "1"), (1, "3")):
        row = [f"{i + 2}", str(int(found.num_transitions[i]) + 1), by_map, "collapse"]
        assert rows[3 + i] == row


def test_rounds_make_no_difference(whole_scan):
    *_, request, found = whole_scan
    gains = np.array([2, 3, 4, 5, 6, 6], np.float32).reshape(3, 2)  # the shape that was compiled
    for i, some in enumerate(gains):
        direct = hj.sequential.scan_gains(request.network, jnp.asarray(some), t1=6.0, key=None, max_transitions=64)
        n = min(2, 5 - 2 * i)
        np.testing.assert_array_equal(direct.period[:n], found.period[2 * i : 2 * i + n])
        np.testing.assert_array_equal(direct.num_transitions[:n], found.num_transitions[2 * i : 2 * i + n])
    assert {jnp.shape(x)[:1] for x in jax.tree.leaves((found.gain, found.ending, found.result))} == {(5,)}
    assert found.setting.numbers["t1"] == 6


def changed(found: GainScan, **fields: Any) -> GainScan:
    names = list(fields)
    return eqx.tree_at(lambda s: [getattr(s, name) for name in names], found, list(fields.values()))


def test_scans_of_one_kind_are_summarised(whole_scan):
    *_, found = whole_scan
    none = changed(found, period=jnp.full(5, jnp.nan))
    text = "\n".join(_present_sequential.describe_scan(none))
    assert "goes on at none" in text and "It stops at 5 of them" in text
    assert re.search(r" 6 +\d+ +never ends +running", text)  # the map goes on where the network was still on its way
    text = "\n".join(_present_sequential.describe_scan(changed(found, period=jnp.ones(5))))
    assert "goes on at 5 of 5" in text and "It stops" not in text and "memories retrieved" not in text
    # Of failed runs neither is said.
    failed = jax.vmap(lambda _: cast(Any, hj.RESULTS.not_finite))(jnp.arange(5))
    text = "\n".join(_present_sequential.describe_scan(changed(none, result=failed)))
    assert "goes on at none" in text and "It stops" not in text and "0 of 5 ok" in text


def test_one_program_gives_runs_and_their_scan(whole_run, tmp_path, monkeypatch):
    *_, found = whole_run
    asked = {}

    def fake(network, *, saliency, **given):
        asked.update(given)
        numbers = found.setting.numbers | {"gain": network.gain, "saliency": saliency}
        at = lambda r: (r.period, r.setting)  # noqa: E731
        return eqx.tree_at(
            at, found, (0.25 * network.gain, hj.Setting(found.setting.source, found.setting.parts, numbers))
        )

    monkeypatch.setattr(_sequential, "retrieve_sequence", fake)
    request = _sequential.prepare(output=tmp_path, gains=(3.0, 6.0, 4), tau_slow=2.0)
    runs, scanned, _ = _sequential.run_all(request)
    assert isinstance(runs, SequenceRun) and isinstance(scanned, GainScan)
    assert scanned.gain.tolist() == [3, 4, 5, 6] and scanned.period.tolist() == [0.75, 1, 1.25, 1.5]
    np.testing.assert_allclose(scanned.period_limit[1:], 2 * hj.sequential.period(scanned.gain[1:]))
    assert "gain" not in scanned.setting.numbers and "saliency" not in scanned.setting.numbers
    assert scanned.setting.numbers["t1"].shape == () and asked["t1"] == 20 and not asked["throw"]
    one = _present_sequential.at_gain(runs, 5.1)
    assert one.setting.numbers["gain"] == 5 and one.overlap.shape == found.overlap.shape


def test_the_demo_shows_one_that_goes_on_and_one_that_does_not(whole_run, whole_scan, tmp_path, monkeypatch):
    *_, found = whole_run
    *_, scanned = whole_scan
    asked, said, drawn = [], [], []

    def run_all(request):
        asked.append(request)
        batch = jax.tree.map(lambda x: jnp.stack([x, x]), found)
        return eqx.tree_at(lambda r: r.setting.numbers["gain"], batch, jnp.array([3.5, 5.0])), scanned, 1.0

    monkeypatch.setattr(_present_sequential, "run_all", run_all)
    raster = _present_sequential.plot.sequence
    monkeypatch.setattr(
        _present_sequential.plot,
        "sequence",
        lambda run, ax: drawn.append((float(run.setting.numbers["gain"]), ax)) or raster(run, ax=ax),
    )
    for quick in (True, False):
        files = _present_sequential.demonstrate(tmp_path, quick, said.append)
        assert [path.name for path in files] == ["sequence.png"] and files[0].stat().st_size > 10_000
    assert [len(request.gains) for request in asked] == [13, 31]
    for request in asked:
        assert {3.5, 5.0} <= set(request.gains.tolist())
    assert [gain for gain, _ in drawn] == [5.0, 3.5, 5.0, 3.5]
    assert [ax.get_title() for _, ax in drawn[:2]] == ["κ = 5: it goes on", "κ = 3.5: it collapses"]
    assert any("goes on at 3 of 5 gains" in line for line in said)


def test_options_make_the_network(tmp_path):
    given = {"tau_slow": 3.0, "input_coupling": 0.2, "noise_slow": 0.5, "seed": 7, "transitions": "chain"}
    request = _sequential.prepare(output=tmp_path, units="erf", beta=2.0, saliency=1.5, memories=4, t1=300.0, **given)
    net = request.network
    assert isinstance(net.units, hj.Erf) and float(net.units.beta) == 2 and request.saliency == 1.5
    assert (float(net.tau_slow), float(net.noise_slow)) == (3, 0.5) and net.patterns.shape == (4, 64)
    assert float(net.input_coupling) == pytest.approx(0.2)
    np.testing.assert_array_equal(net.transitions, hj.sequential.chain(4))
    assert request.key is not None and jax.random.key_data(request.key).tolist() == [0, 7]
    assert request.room == 300  # three switches in a slow time constant
    lines = "\n".join(_present_sequential.describe_request(request))
    for fact in ("ψ(x) = erf(βx), β = 2", "→ 3, where it ends", "σ_s = 0.5, seed 7", "Z₀ = 1.5", "τ_s = 3"):
        assert fact in lines
    plain = _sequential.prepare(output=tmp_path, units="tanh")
    assert isinstance(plain.network.units, hj.LogCosh) and float(plain.network.units.beta) == 1
    assert plain.key is None and plain.room == 64


BAD = [
    ("sequence", {"gain": 0}, "--gain", "finite and positive", "0"),
    ("sequence", {"gain": "nan"}, "--gain", "finite and positive", "nan"),
    ("sequence", {"memories": 1}, "--memories", "at least 2", "1"),
    ("sequence", {"memories": 16}, "--memories", "at most 8", "16"),
    ("sequence", {"memories": 10**6}, "--memories", "8 GiB", "GiB"),
    ("gains", {"neurons": 12}, "--neurons", "a power of two", "12"),
    ("sequence", {"neurons": 0}, "--neurons", "at least 2", "0"),
    ("gains", {"tau_fast": 0}, "--tau-fast", "finite and positive", "0"),
    ("sequence", {"tau_slow": -1}, "--tau-slow", "finite and positive", "-1"),
    ("sequence", {"input_coupling": -0.1}, "--input-coupling", "not negative", "-0.1"),
    ("sequence", {"saliency": "inf"}, "--saliency", "finite", "inf"),
    ("gains", {"t1": 0}, "--t1", "finite and positive", "0"),
    ("sequence", {"t1": 1e9}, "--t1", "8 GiB", "GiB"),
    ("gains", {"t1": 1e5, "noise_fast": 0.1}, "--t1", "8 GiB", "GiB"),
    ("sequence", {"beta": 2}, "--beta", "units whose slope can be set", "2 with hardtanh"),
    ("sequence", {"beta": 0, "units": "tanh"}, "--beta", "finite and positive", "0"),
    ("sequence", {"noise_fast": -1}, "--noise-fast", "not negative", "-1"),
    ("gains", {"noise_slow": "nan"}, "--noise-slow", "not negative", "nan"),
    ("gains", {"seed": -1}, "--seed", "at least 0", "-1"),
    ("gains", {"from": 0}, "--from", "finite and positive", "0"),
    ("gains", {"to": 2}, "--to", "a number above --from = 3", "2"),
    ("gains", {"to": "inf"}, "--to", "finite and positive", "inf"),
    ("gains", {"points": 1}, "--points", "at least 2", "1"),
    ("sequence", {"output": "file"}, "--output", "a folder that can be written", "file"),
]


@pytest.mark.parametrize("command, given, argument, expected, got", BAD)
@pytest.mark.fault("wrong input to the command line")
def test_bad_input_is_one_clear_line(command, given, argument, expected, got, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    for name in ("run", "scan"):
        monkeypatch.setattr(_present_sequential, name, lambda request: pytest.fail("it began to compute"))
    result = call(command, *options(**given))
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    message, _, what_was_got = result.stderr.partition(", got ")
    assert message.startswith(f"hopfield-jax: `{argument}`: expected ")
    assert expected in message and got in what_was_got


@pytest.mark.parametrize("bad", [("--units", "relu"), ("--transitions", "tree"), ("--memories", "many")])
def test_unknown_choices_are_refused(bad, tmp_path):
    result = call("sequence", *bad, "-o", tmp_path)
    assert result.exit_code == 2 and bad[0] in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["sequence", "gains"])
def test_help_says_the_equation_and_gives_examples(command):
    text = " ".join(call(command, "--help").stdout.split())
    assert "κ times (1 - 1/Z)" in text and f"Examples hopfield-jax {command}" in text and "--input-coupling" in text
