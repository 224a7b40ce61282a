"""`hopfield-jax sequence` and `gains` and their part of the demo: what they print and write."""

import json
import re
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from cli.commands import check_files, run
from hopfield_jax.cli import _demo, _gains
from hopfield_jax.cli._gains import Gains
from hopfield_jax.cli._sequence import Sequence
from hopfield_jax.sequential import Ending
from hopfield_jax.sequential.results import GainScan, SequenceRun

TINY = {"num_patterns": 4, "num_neurons": 8, "tau_fast": 0.02, "t1": 6.0}
FACTS = ("P = 4 memories in N = 8 neurons until t = 6", "τ_f = 0.02, ε = 0.01, ψ(x) = x clipped to [-1, 1]")
FACTS += ("τ_s = 1", "0 → 1 → … → 3 → 0", "noise      none", "units HardTanh", "result: ", "Compilation and run ")


def keep(command, kept):
    """The computation, which leaves behind what it was asked and what it found."""
    inner = command.compute

    def compute(self):
        kept[:] = self, inner(self)
        return kept[1]

    return compute


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One run of `sequence`, and what it computed."""
    out, kept = tmp_path_factory.mktemp("run") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sequence, "compute", keep(Sequence, kept))
        printed = run("sequence", **TINY, output=out, gain=4.75)
    return printed, out, *kept


@pytest.fixture(scope="module")
def whole_scan(tmp_path_factory):
    """One run of `gains`, in three rounds of which the last is filled up, and what it computed."""
    out, kept = tmp_path_factory.mktemp("scan") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gains, "_AT_ONCE", 2)
        patch.setattr(Gains, "compute", keep(Gains, kept))
        printed = run("gains", **TINY, output=out, lower=2, upper=6, num_gains=5)
    return printed, out, *kept


def check(printed, out, name):
    for fact in FACTS:
        assert fact in printed, fact
    return check_files(printed, out, name, f"{name}.png", f"{name}.json", f"{name}.npz")


def test_a_run_leaves_what_it_says(whole_run):
    printed, out, request, found = whole_run
    saved = check(printed, out, "sequence")
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
    lines = list(Sequence().describe(long))
    numbers = [line.split()[0] for line in lines[2:] if re.match(r" +(\d+|…) +(\d|…) +(\+|…) ", line)]
    assert numbers == [*map(str, range(1, 15)), "…", "38", "39", "40", "41"]
    assert "There was no room left" in lines[-1] + lines[-2]


def test_a_scan_leaves_what_it_says(whole_scan):
    printed, out, request, found = whole_scan
    saved = check(printed, out, "gains")
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
    text = "\n".join(Gains().describe(none))
    assert "goes on at none" in text and "It stops at 5 of them" in text
    assert re.search(r" 6 +\d+ +never ends +running", text)  # the map goes on where the network was still on its way
    text = "\n".join(Gains().describe(changed(found, period=jnp.ones(5))))
    assert "goes on at 5 of 5" in text and "It stops" not in text and "memories retrieved" not in text
    # Of failed runs neither is said.
    failed = jax.vmap(lambda _: cast(Any, hj.RESULTS.not_finite))(jnp.arange(5))
    text = "\n".join(Gains().describe(changed(none, result=failed)))
    assert "goes on at none" in text and "It stops" not in text and "0 of 5 ok" in text


def test_one_program_gives_runs_and_their_scan(whole_run, monkeypatch):
    *_, found = whole_run
    asked = {}

    def fake(network, *, saliency, **given):
        asked.update(given)
        numbers = found.setting.numbers | {"gain": network.gain, "saliency": saliency}
        at = lambda r: (r.period, r.setting)  # noqa: E731
        return eqx.tree_at(
            at, found, (0.25 * network.gain, hj.results.Setting(found.setting.source, found.setting.parts, numbers))
        )

    monkeypatch.setattr(_demo, "retrieve_sequence", fake)
    runs, scanned = _demo.run_all(Gains(num_gains=4, tau_slow=2.0))
    assert isinstance(runs, SequenceRun) and isinstance(scanned, GainScan)
    assert scanned.gain.tolist() == [3, 4, 5, 6] and scanned.period.tolist() == [0.75, 1, 1.25, 1.5]
    np.testing.assert_allclose(scanned.period_limit[1:], 2 * hj.sequential.period(scanned.gain[1:]))
    assert "gain" not in scanned.setting.numbers and "saliency" not in scanned.setting.numbers
    assert scanned.setting.numbers["t1"].shape == () and asked["t1"] == 20 and not asked["throw"]


def test_the_demo_shows_one_that_goes_on_and_one_that_does_not(whole_run, whole_scan, tmp_path, monkeypatch):
    *_, found = whole_run
    *_, scanned = whole_scan
    asked, said, drawn = [], [], []

    def run_all(request):
        asked.append(request)
        batch = jax.tree.map(lambda x: jnp.stack([x, x]), found)
        return eqx.tree_at(lambda r: r.setting.numbers["gain"], batch, jnp.array([3.5, 5.0])), changed(
            scanned, gain=jnp.array([3.4, 4.9, 6.0, 6.0, 6.0])
        )

    monkeypatch.setattr(_demo, "run_all", run_all)
    raster = _demo.plot.sequence
    monkeypatch.setattr(
        _demo.plot,
        "sequence",
        lambda run, ax: drawn.append((float(run.setting.numbers["gain"]), ax)) or raster(run, ax=ax),
    )
    for quick in (True, False):
        files = _demo.sequences(tmp_path, quick, said.append)
        assert [path.name for path in files] == ["sequence.png"] and files[0].stat().st_size > 10_000
    assert [len(request.gains) for request in asked] == [13, 31]
    for request in asked:
        assert {3.5, 5.0} <= set(request.gains.tolist())
    assert [gain for gain, _ in drawn] == [5.0, 3.5, 5.0, 3.5]
    assert [ax.get_title() for _, ax in drawn[:2]] == ["κ = 5: it goes on", "κ = 3.5: it collapses"]
    assert any("goes on at 3 of 5 gains" in line for line in said)


def test_options_make_the_network():
    given: Any = {"tau_slow": 3.0, "input_coupling": 0.2, "noise_slow": 0.5, "seed": 7, "transitions": "chain"}
    request = Sequence(units="erf", beta=2.0, saliency=1.5, num_patterns=4, t1=300.0, **given)
    net = request.network
    assert isinstance(net.units, hj.Erf) and float(net.units.beta) == 2
    assert (float(net.tau_slow), float(net.noise_slow)) == (3, 0.5) and net.patterns.shape == (4, 64)
    assert float(net.input_coupling) == pytest.approx(0.2)
    np.testing.assert_array_equal(net.transitions, hj.sequential.chain(4))
    assert jax.random.key_data(request.ways["key"]).tolist() == [0, 7]
    assert request.ways["max_transitions"] == 300  # three switches in a slow time constant
    lines = "\n".join(request.about())
    for fact in ("ψ(x) = erf(βx), β = 2", "→ 3, where it ends", "σ_s = 0.5, seed 7", "Z₀ = 1.5", "τ_s = 3"):
        assert fact in lines
    plain = Sequence(units="tanh")
    assert isinstance(plain.network.units, hj.LogCosh) and float(plain.network.units.beta) == 1
    assert plain.ways["key"] is None and plain.ways["max_transitions"] == 64
