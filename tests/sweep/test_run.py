"""Sweeps: results, their invariance under blocks and devices, and errors of points and functions."""

import io
import subprocess
import sys
import textwrap
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax._progress import progress_bar
from hopfield_jax.sweep import Grid, plan, run
from hopfield_jax.sweep import _devices as devices

KEY = jr.key(0)
R: Any = hj.RESULTS
R: Any = hj.RESULTS
GRID = Grid(x=np.linspace(0.1, 1.0, 7), units={"tanh": hj.LogCosh(), "clip": hj.HardTanh()}, draw=3)


def point(key, x, units, draw) -> dict[str, Any]:
    noise = jr.normal(key)
    code = R.where(x > 0.5, R.not_finite, R.successful)
    return {
        "energy": units(x[None]),
        "noise": noise,
        "pair": jnp.stack([x, noise]),
        "result": code,
        "draw_": draw,
        "up": x > 0.5,
    }


def test_every_point_gets_what_the_function_gives():
    found = run(point, GRID, key=KEY, block_size=5, describe={"x": {"units": "1"}, "pair": {"dims": ["which"]}})
    assert found["pair"].dims == ("x", "units", "draw", "which") and found["x"].attrs["units"] == "1"
    np.testing.assert_array_equal(found["x"], np.linspace(0.1, 1.0, 7))
    assert found["units"].values.tolist() == ["tanh", "clip"]
    for i, x in enumerate(np.linspace(0.1, 1.0, 7, dtype=np.float32)):
        for j, units in enumerate((hj.LogCosh(), hj.HardTanh())):
            for k in range(3):
                expected = point(jr.fold_in(KEY, k), jnp.asarray(x), units, k)
                got = found.isel(x=i, units=j, draw=k)
                for name in ("energy", "noise", "pair"):
                    np.testing.assert_allclose(got[name], expected[name], rtol=1e-6)
                assert got["draw_"] == k and bool(got["up"]) == (x > 0.5)
    assert found["energy"].dtype == np.float32 and found["up"].dtype == bool and found["draw_"].dtype == np.int32
    names = found["result"].attrs["flag_meanings"].split()
    codes = [names[i] for i in found["result"].isel(units=0, draw=0).values]
    assert codes == ["successful"] * 4 + ["not_finite"] * 3 or codes == ["successful"] * 3 + ["not_finite"] * 4
    assert np.all(found["point_status"] == 1)
    assert found["point_status"].attrs["flag_meanings"] == "missing finite not_finite raised"


def test_one_trace_and_one_program_whatever_the_number_of_blocks(monkeypatch):
    traces, programs = [], []
    compute = devices.compute
    monkeypatch.setattr("hopfield_jax.sweep._run.compute", lambda w, *rest: programs.append(w) or compute(w, *rest))

    def counted(x, draw):
        traces.append(1)
        return {"y": jnp.sin(x) * draw.astype(x.dtype)}

    run(counted, Grid(x=np.linspace(0, 1, 50), draw=7), block_size=8, devices=jax.devices()[:1])
    assert len(traces) == 1 and [len(w.compiled) for w in programs] == [1]


def test_a_function_that_has_become_another_is_compiled_again():
    factor, shift = [2.0], [lambda x: x]

    def changing(x):
        y = jax.pure_callback(shift[0], jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")
        return {"y": factor[0] * x, "z": y}

    grid = Grid(x=np.array([1.0, 2.0]))
    assert run(changing, grid)["y"].values.tolist() == [2, 4]
    factor[0] = 3.0
    assert run(changing, grid)["y"].values.tolist() == [3, 6]
    shift[0] = lambda x: x + 1  # on the host, of which the program says nothing
    assert run(changing, grid)["z"].values.tolist() == [2, 3]


@pytest.mark.parametrize("block_size", [1, 4, 1000])
def test_blocks_do_not_change_the_numbers(block_size):
    wanted, found = run(point, GRID, key=KEY, block_size=6), run(point, GRID, key=KEY, block_size=block_size)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)  # a few units in the last place
    np.testing.assert_array_equal(found["noise"], wanted["noise"])


def test_double_precision_to_a_billionth():
    def mean(key, x):
        return {"m": jnp.mean(jnp.tanh(x + jr.normal(key, (50,))))}

    with enable_x64():
        grid = Grid(x=np.linspace(0, 1, 40))
        found = [run(mean, grid, key=KEY, block_size=n)["m"].values for n in (40, 7, 1)]
    assert found[0].dtype == np.float64
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9)


def test_random_numbers_are_shared_along_all_but_the_random_axes():
    noise = lambda key, **at: {"n": jr.normal(key)}  # noqa: E731
    grid = Grid(x=np.linspace(0, 1, 3), draw=4)
    found = run(noise, grid, key=KEY)["n"].values
    assert np.all(found == found[:1]) and len(np.unique(found)) == 4
    more = run(noise, Grid(x=[0.5, 2.0], draw=6), key=KEY)["n"].values
    np.testing.assert_array_equal(more[:, :4], found[:2])  # neither more replicates nor other values change them
    assert len(np.unique(run(noise, grid, key=KEY, random_axes=["x", "draw"])["n"])) == 12
    assert len(np.unique(run(noise, grid, key=KEY, random_axes=[])["n"])) == 1
    assert not np.any(run(noise, grid, key=jr.key(1))["n"] == found)
    np.testing.assert_array_equal(run(noise, grid, key=jr.PRNGKey(0))["n"], found)
    np.testing.assert_array_equal(run(lambda x, draw: {"n": x}, grid)["n"].values[:, 0], [0, 0.5, 1])


def test_outputs_go_by_their_names_at_every_choice():
    swapped = lambda x, u: {"a": x, "b": x + 10} if u == "p" else {"b": x + 10, "a": x}  # noqa: E731
    found = run(swapped, Grid(x=[1.0, 2.0], u=["p", "q"]))
    assert found["a"].values.tolist() == [[1, 1], [2, 2]] and found["b"].values.tolist() == [[11, 11], [12, 12]]


def test_a_grid_may_have_choices_alone():
    found = run(lambda key, rule: {"y": rule * jr.uniform(key)}, Grid(rule={"one": 1.0, "two": 2.0}), key=KEY)
    assert found["y"].values.tolist() == [jr.uniform(KEY), 2 * jr.uniform(KEY)]


def test_random_axes_need_values_that_differ_in_their_tags():
    with enable_x64(), pytest.raises(ValueError, match="`x`: expected values of a random axis that differ in 32 bits"):
        run(lambda key, x: {"y": x}, Grid(x=[1.0, 1 + 1e-9]), key=KEY, random_axes=["x"])


def test_constants_are_given_not_built_in():
    patterns = hj.random_patterns(3, 64, key=KEY)
    found = run(lambda x: {"m": hj.overlap(patterns, x * patterns[1])}, Grid(x=[0.5, 1.0]), block_size=1)
    np.testing.assert_allclose(found["m"].sel(x=1.0), hj.overlap(patterns, patterns[1]), atol=1e-6)


# --- points that fail ---


@pytest.mark.fault("points that fail")
def test_points_that_are_not_finite_say_so():
    found = run(lambda x: {"y": jnp.log(x - 0.5), "z": x}, Grid(x=[0.0, 0.5, 1.0]))
    assert found["point_status"].values.tolist() == [2, 2, 1]  # NaN, -inf, 0
    assert "2 not finite" in found.attrs["history"]


@pytest.mark.fault("points that fail")
def test_a_point_that_raises_costs_only_itself(tmp_path):
    def fragile(x):
        x = eqx.error_if(x, (x > 0.35) & (x < 0.45), "the fourth point breaks")
        return {"y": 2 * x, "n": jnp.int32(3), "ok": x > 0}

    found = run(fragile, Grid(x=np.linspace(0.1, 1.0, 10)), block_size=5, store=tmp_path / "s")
    assert found["point_status"].values.tolist() == [1, 1, 1, 3] + [1] * 6
    assert np.isnan(found["y"][3]) and found["n"][3] == -1 and not found["ok"][3]
    np.testing.assert_allclose(found["y"][[0, 4, 9]], [0.2, 1.0, 2.0], rtol=1e-6)
    assert "1 raised: " in found.attrs["history"] and "the fourth point breaks" in found.attrs["history"]


@pytest.mark.fault("workers and devices")
def test_less_memory_than_thought(monkeypatch):
    program = devices.Worker.program

    def within(limit):
        def limited(worker, choice, size):
            real = program(worker, choice, size)

            def call(*args):
                if size > limit:
                    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
                return real(*args)

            return call

        return limited

    grid = Grid(x=np.linspace(0, 1, 40))
    monkeypatch.setattr(devices.Worker, "program", within(5))
    found = run(lambda x: {"y": jnp.sin(x)}, grid, block_size=20)
    np.testing.assert_allclose(found["y"], np.sin(np.linspace(0, 1, 40)), rtol=1e-5)
    for limit, size in ((4, 20), (0, 4), (0, 1)):
        monkeypatch.setattr(devices.Worker, "program", within(limit))
        with pytest.raises(MemoryError, match="`block_size`: .* points do not fit"):
            run(lambda x: {"y": jnp.sin(x)}, grid, block_size=size)


# --- before anything runs ---


def returns(value: Any):
    return lambda x: {"y": value(x)}


def by_shape(x, rule):
    return {"y": x * jnp.ones(rule)}


NOT_POINTS: list[tuple[Any, str]] = [
    (lambda: {"y": 1.0}, r"`point`: expected a function of \(x\)"),
    (lambda x, load: {"y": x}, r"`point`: expected a function of \(x\), got one of \(x, load\)"),
    (lambda x: x, "`point`: expected a function that returns a dictionary"),
    (lambda x: {}, "`point`: expected a function that returns a dictionary"),
    (lambda x: {3: x}, "`point`: expected outputs named by identifiers"),
    (lambda x: {"point_status": x}, "`point`: expected outputs named"),
    (lambda x: {"a/b": x}, "`point`: expected outputs named"),
    (lambda x: {"y": KEY}, "`y`: expected an output of real numbers"),
    (lambda x: {"x": x}, "`x`: expected an output that is not called like an axis"),
    (returns(lambda x: "text"), "`y`: expected a number"),
    (returns(lambda x: {"a": x}), "`y`: expected a number"),
    (returns(lambda x: jnp.ones(2, jnp.complex64)), "`y`: expected an output of real numbers"),
    (returns(lambda x: x if x > 0 else -x), "`point`: expected a function that JAX can trace in x"),
    (returns(lambda x: float(x)), "`point`: expected a function that JAX can trace in x"),
    (returns(lambda x: np.sin(x)), "`point`: expected a function that JAX can trace in x"),
    (returns(lambda x: jnp.ones(int(x))), "`point`: expected a function that JAX can trace in x"),
    (returns(lambda x: 1 / 0), "`point`: .* got ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize("wrong, message", NOT_POINTS)
def test_a_wrong_function_is_refused_before_it_runs(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        run(wrong, Grid(x=[1.0, 2.0]), store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_outputs_are_the_same_at_every_choice():
    with pytest.raises(ValueError, match=r"`y`: expected the same output at every choice .*\(2,\).* at rule = 3"):
        run(by_shape, Grid(x=[1.0], rule={"two": 2, "three": 3}))


NOT_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"random_axes": ["y"]}, "`random_axes`: expected names out of x"),
    ({"random_axes": ["x"]}, "`key`"),
    ({"random_axes": "x"}, "`random_axes`: expected a list of names"),
    ({"key": jr.key(0, impl="rbg")}, "`key`: expected a key whose numbers do not depend on how many"),
    ({"executor": 3, "store": "s"}, "`executor`: expected an object with `submit`"),
    ({"describe": {"y": {"dims": ["a"]}}}, "`describe`: expected 0 different names as dims of y"),
    ({"describe": {"y": {"units": np.float32(1)}}}, "`describe`: expected what JSON can hold"),
    ({"attributes": {"a": np.float32(1)}}, "`attributes`: expected what JSON can hold"),
    ({"attributes": {"history": "x"}}, "`attributes`: expected names other than"),
    ({"block_size": 0}, "`block_size`"),
    ({"memory": -1.0}, "`memory`"),
    ({"devices": []}, "`devices`"),
    ({"executor": object()}, "`store`"),
    ({"blocks_per_task": 0}, "`blocks_per_task`"),
    ({"describe": {"z": {}}}, "`describe`: expected names out of x, y"),
    ({"cost": lambda x: 0 * x}, "`cost`"),
]


@pytest.mark.parametrize("options, message", NOT_OPTIONS)
def test_wrong_options_are_named(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = (lambda key, x: {"y": x}) if "key" in options else (lambda x: {"y": x})
    with pytest.raises(ValueError, match=message):
        run(wrong, Grid(x=[1.0, 2.0]), **options)


# --- plans ---


def test_a_plan_predicts_memory():
    big = lambda key, x: {"y": jnp.mean(jnp.sort(jr.normal(key, (5000,))) * x)}  # noqa: E731
    grid = Grid(x=np.linspace(0, 1, 100), draw=1)
    wide = lambda key, x, draw: big(key, x)  # noqa: E731
    found = plan(wide, grid, key=KEY, memory=2e6)
    assert found.num_points == 100 and found.num_blocks == -(-100 // found.block[0])
    assert 4e4 < found.memory <= 2e6  # at least one sorted array; no more than was allowed
    assert found.storage == 100 * 5 and found.block_time > 0 and found.time >= found.compile_time
    assert "100 points" in str(found) and "memory" in str(found)
    assert 8 <= plan(wide, grid, key=KEY, memory=1e9).num_blocks <= 16  # so that little is lost when it is stopped
    assert plan(wide, grid, key=KEY, memory=1e9, block_size=100).num_blocks == 1


def test_progress_counts_from_the_end_of_compilation(monkeypatch):
    now, shown = [1000.0], io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    for clock in ("time.time", "tqdm.std.time"):
        monkeypatch.setattr(clock, lambda: now[0])
    with progress_bar(100, "points", show=True, done=10) as advance:
        assert "compiling:  10%" in shown.getvalue()
        for seconds, points in ((3600, 0), (30, 30), (30, 30)):
            now[0] += seconds
            advance(points)
    last = shown.getvalue().split("\r")[-1]
    assert "compiling" not in last and "70.0/100 [01:00<00:30, 1.00 points/s]" in last


@pytest.mark.slow
@pytest.mark.fault("workers and devices")
def test_devices_share_the_work_and_not_the_numbers():
    """1, 2 and 8 devices with the same block shape: the same bits, whatever the number of points."""
    code = """
    import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr, numpy as np
    from hopfield_jax.sweep import Grid, run
    assert len(jax.devices()) == 8
    def point(key, x, draw):
        return {"y": jnp.mean(jnp.tanh(x + jr.normal(key, (100,))))}
    for points in (5, 29):  # 3 and 15 blocks, the last ones not full
        grid = Grid(x=np.linspace(0, 1, points), draw=3)
        on = lambda n: run(point, grid, key=jr.key(0), block_size=6, devices=jax.devices()[:n])["y"].values
        found = [on(n) for n in (1, 2, 8)]
        assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    def fragile(x, sign):  # of 9 points a choice two raise, which costs no others
        return {"y": sign * eqx.error_if(x, (x == 3) | (x == 4), "it breaks")}
    grid = Grid(x=np.arange(9.0), sign={"plus": 1.0, "minus": -1.0})
    for n in (1, 3, 8):
        found = run(fragile, grid, block_size=2, devices=jax.devices()[:n])
        assert found["point_status"].values.T.tolist() == [[1, 1, 1, 3, 3, 1, 1, 1, 1]] * 2
        wanted = np.where((np.arange(9) == 3) | (np.arange(9) == 4), np.nan, np.arange(9.0))
        np.testing.assert_array_equal(found["y"], np.stack([wanted, -wanted], axis=1))
    """
    env = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    run_alone(code, env)


def run_alone(code: str, env: dict[str, str]) -> None:
    import os

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=os.environ | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_single_precision_is_much_better_than_the_monte_carlo_error():
    """Three shapes of blocks, mean-field theory in float32: apart by less than a tenth of the errors it reports."""
    D = hj.dmft

    def solved(key, load, strength):
        model = D.PlasticNetwork(load=load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))
        out = D.solve(model, D.SpinCue(0.4), num_steps=19, num_samples=1024, key=key, throw=False)
        return {"overlap": out.overlap, "error": out.overlap_error, "result": out.result}

    grid = Grid(load=np.linspace(0.08, 0.14, 4), strength=np.linspace(0.0, 1.0, 4))
    found = [run(solved, grid, key=KEY, block_size=size) for size in (16, 6, 1)]
    errors = found[0]["error"].values[..., 2:]  # the first step is exact to rounding, and its error vanishes
    assert np.all(found[0]["result"] == 0) and np.median(errors) > 1e-5
    for other in found[1:]:
        apart = np.abs(other["overlap"].values - found[0]["overlap"].values)[..., 2:]
        assert np.all(apart < 0.1 * errors + 1e-6), np.max(apart / errors)


def test_points_that_are_nan_are_answers_under_debug_nans():
    with jax.debug_nans(True):
        found = run(lambda x: {"y": jnp.sqrt(x)}, Grid(x=[-1.0, 1.0]))
    assert np.isnan(found["y"][0]) and found["y"][1] == 1 and found["point_status"].values.tolist() == [2, 1]
