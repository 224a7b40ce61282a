"""`hopfield-jax sweep` and `show` and their part of the demo: what they print, write, go on with and refuse."""

import concurrent.futures as cf
import contextlib
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import hopfield_jax as hj
from cli import commands
from cli.commands import call, check_figure, options
from hopfield_jax.cli import _demo, _sweep, _sweep_load
from hopfield_jax.cli._sweep_gains import SweepGains
from hopfield_jax.cli._sweep_load import SweepLoad
from hopfield_jax.cli._sweep_sequence import SweepSequence
from hopfield_jax.plot import _sweep as drawing
from hopfield_jax.sequential import Ending
from hopfield_jax.sweep import _devices

LOAD = {"num_strengths": 3, "num_loads": 4, "num_samples": 128, "num_steps": 3, "upper_load": 0.7, "num_repeats": 3}
GAINS = {"lower": 2, "upper": 6, "num_gains": 3, "tau_fast": 0.02, "num_patterns": 4, "num_neurons": 8, "t1": 5}
SEQUENCE = {"lower": 4, "upper": 6, "num_gains": 2, "num_patterns": 4, "num_draws": 3, "num_neurons": 16, "t1": 3}
SEQUENCE |= {"input_coupling": 0.2, "units": "tanh", "beta": 4}
SMALL: dict[str, Any] = {"load": LOAD, "gains": GAINS, "sequence": SEQUENCE}


def sweep(command, out, *more, **others):
    given = SMALL[command] | {"devices": 1} | others
    return call("sweep", command, *options(**given), "-o", out, *more)


def whole(command, tmp_path_factory):
    """One run of a command, which stores must not see changed: what it printed and where it wrote."""
    out = tmp_path_factory.mktemp(command) / "out"
    result = sweep(command, out)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout, out


@pytest.fixture(scope="module")
def whole_load(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _sweep_load, "_critical_load", lambda units, synapses: 0.1185389
        )  # the slow test has the theory's
        return whole("load", tmp_path_factory)


@pytest.fixture(scope="module")
def whole_gains(tmp_path_factory):
    return whole("gains", tmp_path_factory)


@pytest.fixture(scope="module")
def whole_sequence(tmp_path_factory):
    return whole("sequence", tmp_path_factory)


def check_files(printed, out, command, *stores):
    saved = commands.check_files(printed, out, f"sweep {command}", f"{command}.png", f"{command}.json", *stores)
    assert saved["stores"] == [str(out / name) for name in stores]
    return saved


def test_load_leaves_what_it_says(whole_load):
    printed, out = whole_load
    saved = check_files(printed, out, "load", "load.zarr", "load-boundary.zarr")
    found, boundary = (hj.sweep.open(out / f"{name}.zarr") for name in ("load", "load-boundary"))
    assert found["overlap"].dims == ("strength", "load") and found["overlap"].shape == (3, 4)
    assert "12 points: 12 finite." in printed and "result: 12 successful" in printed
    results = saved["results"]
    assert results["points"] == {"finite": 12} and results["critical_load"] == pytest.approx(0.1185389, abs=1e-5)
    assert f"α_c = {results['critical_load']:.4g}" in printed
    assert boundary["load"].dims == ("strength", "replicate")
    # Their own random numbers: the repeats differ by far more than by the bracket, and that is the error.
    loads = boundary["load"].values
    mean, error = loads.mean(axis=1), loads.std(axis=1, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(results["largest_load"], mean, rtol=1e-6)
    np.testing.assert_allclose(results["standard_error"], error, rtol=1e-4)
    rows = re.findall(r"^ +([\d.]+) +([\d.]+) ± ([\d.]+)$", printed, re.MULTILINE)
    np.testing.assert_allclose(np.array(rows, float), np.transpose([boundary["strength"], mean, error]), atol=6e-5)
    assert min(error) > results["bracket"] > 0.69 / 2**11
    assert (
        f"of 3 repeats with other random numbers; each is bisected to a bracket of {results['bracket']:.1g}" in printed
    )
    assert found.attrs["command"] == "sweep load" and found.attrs["boundary"] == "load-boundary.zarr"
    for fact in ("$m_0$ = 0.7", "3 steps", "$τ_A$ = 5", "φ(x) = tanh(βx), β = 4", "N → ∞", "128 paths"):
        assert fact in found.attrs["conditions"]


def test_the_overlaps_are_the_librarys(whole_load):
    found = hj.sweep.open(whole_load[1] / "load.zarr")
    strength, load = float(found["strength"][1]), float(found["load"][2])
    kernel = hj.dmft.LeakyHebbian(strength, 5.0)
    model = hj.dmft.PlasticNetwork(load=load, units=hj.LogCosh(4.0), kernel=kernel)
    direct = hj.dmft.solve(
        model, hj.dmft.SpinCue(0.7), num_steps=3, num_samples=128, num_shifts=1, key=jax.random.key(0)
    )
    np.testing.assert_allclose(found["overlap"][1, 2], direct.overlap[-1], atol=1e-5)  # rounding, in another order


@pytest.mark.slow
def test_gains_leave_what_they_say(whole_gains):
    printed, out = whole_gains
    saved = check_files(printed, out, "gains", "gains.zarr")
    found = hj.sweep.open(out / "gains.zarr")
    assert found["period"].dims == ("ratio", "gain") and found["gain"].values.tolist() == [2, 4, 6]
    assert found["collapsed"].values.tolist() == [[True, False, False]]
    (row,) = saved["results"]["ratios"]
    assert (row["smallest_gain"], row["num_going_on"]) == (4, 2)
    limit = float(hj.sequential.period(6.0))
    assert row["last_limit"] == pytest.approx(limit) and row["last_period"] == pytest.approx(limit, rel=0.1)
    period = float(found["period"][0, 2])
    assert re.search(rf" 0.02 +4 +2 +{period:.4f} +{limit:.4f} +{100 * (period / limit - 1):.1f}\n", printed)
    assert "3 points: 2 finite, 1 not finite." in printed and "ending: 2 running, 1 collapse" in printed


@pytest.mark.slow
def test_exact_dwells_agree_with_the_usual_solver(whole_gains):
    found = hj.sweep.open(whole_gains[1] / "gains.zarr")
    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(4, 8), gain=6.0, transitions=hj.sequential.cycle(4), tau_fast=0.02, input_coupling=0.01
    )
    direct = hj.sequential.retrieve_sequence(network, saliency=6.0, t1=5.0)
    assert float(found["period"][0, 2]) == pytest.approx(float(direct.period), rel=2e-3)  # tolerances of the solver
    assert int(found["transitions"][0, 2]) == int(direct.num_transitions)


@pytest.mark.slow
def test_sequences_leave_what_they_say(whole_sequence):
    printed, out = whole_sequence
    saved = check_files(printed, out, "sequence", "sequence.zarr")
    found = hj.sweep.open(out / "sequence.zarr")
    assert found["success"].dims == ("memories", "gain", "draw") and found["success"].shape == (1, 2, 3)
    share = found["success"].mean("draw").values
    np.testing.assert_allclose(saved["results"]["share"], share)
    assert f"{share[0, 0]:.2f} ± {saved['results']['error'][0][0]:.2f}" in printed
    assert f"{100 * share.mean():.0f} % succeed" in printed
    # A success has gone on, and what has not was lost at a wrong sign or memory, or has collapsed.
    endings = np.array(found["ending"].attrs["flag_meanings"].split())[found["ending"].values]
    assert set(endings[found["success"].values == 1]) <= {"running"} and np.all(found["correct"].values >= 0)


def test_draws_are_the_same_at_all_gains():
    assert SweepSequence().random_axes == ("memories", "draw")


def test_what_is_there_is_not_computed_again(whole_load, monkeypatch):
    printed, out = whole_load
    monkeypatch.setattr(_sweep_load, "_critical_load", lambda units, synapses: 0.1185389)
    monkeypatch.setattr(_devices.Worker, "start", lambda *_: pytest.fail("it computed"))
    monkeypatch.setattr(_devices.Worker, "program", lambda *_: pytest.fail("it compiled"))
    again = sweep("load", out, "--resume")
    assert again.exit_code == 0, again.output
    assert "overlaps, 12 of 12 points are there" in again.stdout
    cut = lambda text: text.split("12 points:")[1].split("Compilation")[0]  # noqa: E731
    assert cut(again.stdout) == cut(printed)


def interrupt_after(blocks, monkeypatch):
    """Ctrl-C while a block is written, after so many of them."""
    inner, count = _devices.Store.write, []

    def write(self, block, values):
        if len(count) == blocks:
            raise KeyboardInterrupt
        count.append(block)
        inner(self, block, values)

    monkeypatch.setattr(_devices.Store, "write", write)


@pytest.fixture
def cheap(monkeypatch):
    """Points of `gains` that compile at once: the period is the ratio plus the gain, there is none at gain 2."""

    def point(self, *, ratio, gain):
        whole = gain.astype("int32")
        found = {"period": jax.numpy.where(gain > 2, ratio + gain, jax.numpy.nan), "transitions": whole}
        return found | {"collapsed": gain <= 2, "ending": Ending.running, "result": hj.RESULTS.successful}

    monkeypatch.setattr(SweepGains, "point", point)


PERIODS = [[np.nan, 4.02, 6.02]]


@pytest.mark.fault("a sweep that is stopped or killed")
def test_an_interrupted_sweep_goes_on(cheap, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(1, patch)
        stopped = sweep("gains", tmp_path)
    assert stopped.exit_code == 130 and "Traceback" not in stopped.output
    said = f"Interrupted.\n  1 of 3 points are in {tmp_path / 'gains.zarr'}\nThe same command goes on from there.\n"
    assert said in stopped.stderr and not (tmp_path / "gains.png").exists()
    described = call("show", tmp_path / "gains.zarr", "-o", tmp_path / "part.png")
    assert described.exit_code == 0, described.output
    assert "3 points: 2 missing, 1 not finite." in described.stdout and "unfinished: 2 points" in described.stdout
    check_figure(tmp_path / "part.png")
    rest = sweep("gains", tmp_path)
    assert rest.exit_code == 0 and "1 of 3 points are there" in rest.stdout
    found = hj.sweep.open(tmp_path / "gains.zarr")
    np.testing.assert_allclose(found["period"], PERIODS, rtol=1e-6)
    assert len(found.attrs["history"].split("\n")) == 2


@pytest.mark.fault("a sweep that is stopped or killed")
def test_a_fresh_one_starts_over(cheap, tmp_path):
    assert sweep("gains", tmp_path).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(0, patch)
        result = sweep("gains", tmp_path, "--fresh")
    assert result.exit_code == 130 and "points are there" not in result.stdout
    assert "0 of 3 points" in result.stderr and "The same command without --fresh goes on" in result.stderr


def test_a_dry_run_stores_nothing(cheap, tmp_path):
    result = sweep("gains", tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "out").iterdir()) == []
    for fact in ("Plan: 3 points in 3 blocks of 1 × 1", "memory ", "compilation ", "s a block", "Nothing was stored"):
        assert fact in result.stdout


def test_a_dry_run_says_what_is_there(whole_load, monkeypatch):
    _, out = whole_load
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    made = hj.sweep.Plan(12, 2, (1, 4), 1, 1, 2**20, 96, 1.0, 0.1)
    monkeypatch.setattr(_sweep.sweep, "plan", lambda *_, **__: made)
    result = sweep("load", out, "--dry-run")
    assert result.exit_code == 0 and "12 of 12 points are in" in result.stdout
    assert "boundary: Plan: 12 points" in result.stdout and "about " in result.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def forbid(monkeypatch):
    for name in ("run", "boundary", "plan"):
        monkeypatch.setattr(_sweep.sweep, name, lambda *_, **__: pytest.fail("it began to compute"))


DIFFERENT = [
    ({"cue_overlap": 0.5}, "cue overlap 0.5, in the store 0.7"),
    ({"num_loads": 5}, "num loads 5, in the store 4"),
    ({"seed": 3}, "seed 3, in the store 0"),
]


@pytest.mark.parametrize("given, said", DIFFERENT)
@pytest.mark.fault("the store of something else")
def test_the_store_of_another_sweep_is_refused(given, said, whole_load, monkeypatch):
    forbid(monkeypatch)
    result = sweep("load", whole_load[1], **given)
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert result.stderr.startswith("hopfield-jax: `--store`: expected") and "--fresh" in result.stderr
    assert result.stderr.endswith(f"got {said}.\n")


@pytest.mark.fault("the store of something else")
def test_the_store_of_another_command_is_refused(whole_load, tmp_path, monkeypatch):
    forbid(monkeypatch)
    result = sweep("gains", tmp_path, "--store", whole_load[1] / "load.zarr")
    assert result.exit_code == 2 and "command sweep gains, in the store sweep load" in result.stderr


@pytest.mark.parametrize("more", [(), ("--fresh",)])
@pytest.mark.fault("the store of something else")
def test_folders_of_something_else_are_left_alone(more, tmp_path, monkeypatch):
    forbid(monkeypatch)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("mine")
    result = sweep("gains", tmp_path / "out", "--store", tmp_path / "photos", *more)
    assert result.exit_code == 2 and "`--store`: expected" in result.stderr
    assert (tmp_path / "photos" / "a.txt").read_text() == "mine"


def test_options_make_the_points(monkeypatch):
    sizes: Any = {"num_neurons": 100, "num_trials": 2, "lower_load": 0.1, "upper_load": 0.5, "num_loads": 2}
    request = SweepLoad(simulation=True, units="sign", seed=4, **sizes)
    along: Any = request.stages()[1].along
    assert along[:2] == ("load", 0.1) and "N = 100; 2 networks" in request.attributes()["conditions"]
    monkeypatch.setattr(_sweep_load, "simulate", lambda model, cue, **sizes: (model, cue, sizes))
    model, cue, sizes = request.solve(jax.random.key(4), 0.3, 0.2)
    assert (float(model.load), float(model.kernel.strength), float(cue.overlap)) == pytest.approx((0.2, 0.3, 0.7))
    assert (sizes["num_neurons"], sizes["num_trials"], sizes["max_patterns"], sizes["num_steps"]) == (100, 2, 50, 60)
    assert {"num_trials", "seed"} <= set(request.recorded) and "num_samples" not in request.recorded
    plain = SweepGains(units="tanh", beta=2.0, tau_fast=(0.05, 0.01))
    assert plain.key is None and plain.stages()[0].grid.axes[0].labels.tolist() == pytest.approx([0.01, 0.05])
    assert "seed" not in plain.recorded and "output" not in plain.recorded


@pytest.mark.fault("workers and devices")
def test_blocks_do_not_depend_on_the_devices():
    request = SweepLoad()
    sizes = [request._ways(stage)["block_size"] for stage in request.stages()]
    assert sizes == [32, 16]  # of 1024 points and of 4 · 32
    sequences = SweepSequence(num_patterns=(4, 8), num_draws=4)
    assert sequences._ways(sequences.stages()[0])["block_size"] == 4  # of 8 × 4 a choice


class Inline:
    """An executor that computes at once, in this process."""

    def submit(self, function, *arguments):
        future = cf.Future()
        future.set_result(function(*arguments))
        return future


def test_executors_compute_the_same(cheap, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(_sweep, "executor_of", lambda name: asked.append(name) or contextlib.nullcontext(Inline()))
    result = sweep("gains", tmp_path, "--executor", "processes:2")
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert asked == ["processes:2"] and "on         processes:2" in result.stdout
    np.testing.assert_allclose(hj.sweep.open(tmp_path / "gains.zarr")["period"], PERIODS, rtol=1e-6)


@pytest.mark.parametrize("command", ["load", *(pytest.param(x, marks=pytest.mark.slow) for x in ("gains", "sequence"))])
def test_show_describes_and_draws_the_same(command, request, tmp_path):
    _, out = request.getfixturevalue(f"whole_{command}")
    result = call("show", out / f"{command}.zarr", "-o", tmp_path / "figure.png")
    assert result.exit_code == 0, result.output + repr(result.exception)
    found = hj.sweep.open(out / f"{command}.zarr")
    facts = [found.attrs["configuration_hash"], f"hopfield-jax sweep {command} in", "history", " points", "device: "]
    for fact in (*facts, *found.data_vars, *found.dims, str(tmp_path / "figure.png")):
        assert str(fact) in result.stdout
    assert "unfinished" not in result.stdout
    with Image.open(tmp_path / "figure.png") as one, Image.open(out / f"{command}.png") as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def general(tmp_path):
    grid = hj.sweep.Grid(gain=np.linspace(4, 6, 3), saliency=np.linspace(2, 3, 2), replicate=2)

    def point(gain, saliency, replicate):
        return {"next": hj.sequential.saliency_map(gain, saliency), "twice": 2 * gain}

    hj.sweep.run(point, grid, store=tmp_path / "any.zarr", progress=False)
    return tmp_path / "any.zarr"


def test_show_draws_any_store(tmp_path, monkeypatch):
    store, drawn = general(tmp_path), []
    for name in ("phase_diagram", "profile"):
        inner = getattr(drawing, name)

        def draw(dataset, variable, *, ax, inner=inner, name=name, **axes):
            drawn.append((name, variable, axes))
            return inner(dataset, variable, ax=ax, **axes)

        monkeypatch.setattr(drawing, name, draw)
    monkeypatch.chdir(tmp_path)
    for more in ((), ("--variable", "twice", "--x", "saliency"), ("--x", "replicate", "--y", "gain")):
        result = call("show", store, *more)
        assert result.exit_code == 0, result.output + repr(result.exception)
    assert drawn == [
        ("phase_diagram", "next", {"x": "gain", "y": "saliency"}),
        ("phase_diagram", "twice", {"x": "saliency", "y": "gain"}),
        ("profile", "next", {"x": "replicate", "each": "gain"}),
    ]
    check_figure(tmp_path / "any.png")
    for more, option in ((("--variable", "q"), "--variable"), (("--x", "q"), "--x"), (("--y", "q"), "--y")):
        result = call("show", store, *more)
        assert result.exit_code == 2 and f"`{option}`: expected one of" in result.stderr and not result.stdout


def test_show_of_a_boundary_is_a_curve(whole_load, tmp_path):
    _, out = whole_load
    result = call("show", out / "load-boundary.zarr", "-o", tmp_path / "curve.png")
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "load_lower" in result.stdout
    check_figure(tmp_path / "curve.png")


@pytest.mark.parametrize("kind", ["nothing", "empty", "file", "folder"])
@pytest.mark.fault("the store of something else")
def test_show_of_no_store_is_one_clear_line(kind, tmp_path):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("no store")
    elif kind != "nothing":
        place.mkdir()
    if kind == "folder":
        (place / "notes.txt").write_text("no store")
    result = call("show", place)
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert result.stderr.startswith("hopfield-jax: `STORE`: expected ") and str(place) in result.stderr


def test_the_demo_draws_a_small_map(whole_load, tmp_path, monkeypatch):
    asked, said = [], []
    found = [hj.sweep.open(whole_load[1] / f"{name}.zarr") for name in ("load", "load-boundary")]
    monkeypatch.setattr(SweepLoad, "compute", lambda request: asked.append(request) or found)
    for quick in (True, False):
        files = _demo.loads(tmp_path, quick, said.append)
        assert [path.name for path in files] == ["load.png"]
        check_figure(files[0])
    assert [request.stages()[0].grid.shape for request in asked] == [(6, 6), (12, 12)]
    assert all(request.fresh for request in asked) and any("largest load" in line for line in said)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["load", "gains", "sequence"])
def test_the_defaults_run(command, tmp_path):
    result = call("sweep", command, "-o", tmp_path)
    assert result.exit_code == 0, result.output + repr(result.exception)
    saved = json.loads((tmp_path / f"{command}.json").read_text())["results"]
    assert saved["points"]["finite"] > 190 and "missing" not in saved["points"] and "raised" not in saved["points"]
    if command == "load":  # 60 steps end near where the stationary theory does
        assert saved["largest_load"][0] == pytest.approx(saved["critical_load"], rel=0.05)


@pytest.mark.slow
def test_processes_compute_the_same(whole_gains, tmp_path):
    result = sweep("gains", tmp_path, "--executor", "processes:2")
    assert result.exit_code == 0, result.output + repr(result.exception)
    both = [hj.sweep.open(out / "gains.zarr") for out in (tmp_path, whole_gains[1])]
    np.testing.assert_allclose(both[0]["period"], both[1]["period"], rtol=1e-4)


def test_load_of_depressing_neurons_with_clipped_synapses():
    """The program is traced with a site made inside it; the critical load is that of the synapses."""
    request = SweepLoad(synapses="sign", depression="0.2:5", num_samples=64, num_steps=2)
    found = jax.jit(lambda load: request.point(jax.random.key(0), strength=jnp.float32(0.1), load=load))(
        jnp.float32(0.05)
    )
    units = hj.dmft.ShortTermPlasticity(hj.LogCosh(4.0), 0.2, 5.0)
    model = hj.dmft.PlasticNetwork(0.05, units, hj.dmft.LeakyHebbian(0.1, 5.0), synapses=hj.dmft.Clipped())
    options: Any = {"num_samples": 64, "num_shifts": 1, "key": jax.random.key(0)}
    direct = hj.dmft.solve(model, hj.dmft.SpinCue(0.7), num_steps=2, **options)
    np.testing.assert_allclose(found["overlap"], direct.activity[-1], atol=1e-5)
    said = request.attributes()
    assert "synapses sign; depression 0.2:5" in said["conditions"] and np.isnan(said["critical_load"])
