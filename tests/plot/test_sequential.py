"""Figures of sequential retrieval: what is drawn is what was given."""

import inspect
import math
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

import hopfield_jax as hj
from hopfield_jax import plot
from hopfield_jax.plot._style import ACCENT, FAINT
from hopfield_jax.sequential import Ending, saliency_map
from hopfield_jax.sequential.results import GainScan, SequenceRun
from plot.drawn import legend, lines, on_axes_given_or_new, texts

TIMES = np.linspace(0.0, 12.0, 13, dtype=np.float32)
NUMBERS = {"gain": 5.0, "saliency": 4.0, "tau_fast": 0.01, "tau_slow": 2.0, "input_coupling": 0.03, "units.beta": 1.0}
NUMBERS |= {"noise_fast": 0.0, "noise_slow": 0.25}
OKAY = cast(Any, hj.RESULTS.successful)


def setting(units: str = "HardTanh", **numbers: float) -> hj.results.Setting:
    parts = (("units", units), ("N", "16"), ("P", "4"))
    return hj.results.Setting("by hand", parts, {name: jnp.asarray(x) for name, x in (NUMBERS | numbers).items()})


def sequence(**others: Any) -> SequenceRun:
    """Memory 0, 2, 1 and 2 again, whose negative it is; memory 3 is never retrieved. Collapse at 10.5."""
    memory = jnp.arange(4.0)[None]
    made: dict[str, Any] = {
        "order": jnp.array([0, 2, 1, 2, -1, -1]),
        "sign": jnp.array([1, 1, 1, -1, 0, 0]),
        "switch_times": jnp.array([2.5, 4.5, 7.0, jnp.nan, jnp.nan]),
        "dwell_times": jnp.array([2.5, 2.0, 2.5, jnp.nan, jnp.nan]),
        # Ten times the switch plus the memory.
        "switch_saliency": jnp.concatenate([10 * jnp.arange(1.0, 4)[:, None] + memory, jnp.full((2, 4), jnp.nan)]),
        "num_transitions": jnp.array(3),
        "num_correct": jnp.array(2),
        "period": jnp.array(jnp.nan),
        "collapsed": jnp.array(True),
        "collapse_time": jnp.array(10.5),
        "chance": jnp.array(False),
        "ending": cast(Any, Ending.collapse),
        "times": jnp.asarray(TIMES),
        "overlap": jnp.sin(jnp.asarray(TIMES)[:, None] + memory),
        "saliency": 0.5 * jnp.asarray(TIMES)[:, None] + memory,
        "final": {"fast": jnp.zeros(16), "slow": jnp.zeros(16)},
        "num_steps": jnp.array(7),
        "result": OKAY,
        "setting": setting(),
    }
    return SequenceRun(**made | others)


# In no order: four stop (one at the end of a chain, one at once, one failed), three go on.
GAINS = np.array([5.0, 3.0, 4.5, 3.5, 3.25, 6.0, 2.5])
ENDS = ["running", "collapse", "running", "end_of_chain", "invalid", "running", "decayed_at_start"]


def endings(names: list[str]) -> Any:
    def one(i):
        found = cast(Any, Ending.running)
        for n, name in enumerate(names):
            found = Ending.where(i == n, getattr(Ending, name), found)
        return found

    return jax.vmap(one)(jnp.arange(len(names)))


def scan(gains: np.ndarray = GAINS, names: list[str] = ENDS, **others: Any) -> GainScan:
    gain, going = jnp.asarray(gains, jnp.float32), jnp.array([name == "running" for name in names])
    failed = jnp.array([name == "invalid" for name in names])
    result = jax.vmap(lambda x: hj.RESULTS.where(x, cast(Any, hj.RESULTS.not_finite), OKAY))(failed)
    made: dict[str, Any] = {
        "gain": gain,
        "period": jnp.where(going, 0.3 * gain, jnp.nan),
        "period_limit": 2 * hj.sequential.period(gain),
        "num_transitions": jnp.where(failed, 99, jnp.round(2 * gain)).astype(jnp.int32),
        "collapsed": ~going,
        "ending": endings(names),
        "result": result,
    }
    kept = {k: v for k, v in setting().numbers.items() if k not in ("gain", "saliency")}
    made["setting"] = hj.results.Setting("by hand", setting().parts, kept)
    return GainScan(**made | others)


def points_of(ax) -> Any:
    return next(c for c in ax.collections if isinstance(c, PathCollection))


def vertical(ax):
    """Where lines of one place along x stand."""
    found = [np.asarray(line.get_xdata(), float) for line in ax.get_lines()]
    return [float(x[0]) for x in found if len(x) == 2 and x[0] == x[1]]


DRAW: dict[str, Any] = {
    "sequence": lambda ax: plot.sequence(sequence(), ax=ax),
    "saliencies": lambda ax: plot.saliencies(sequence(), ax=ax),
    "dwell_times": lambda ax: plot.dwell_times(sequence(), ax=ax),
    "gain_scan": lambda ax: plot.gain_scan(scan(), ax=ax),
    "cobweb": lambda ax: plot.cobweb(5.0, 5.0, ax=ax),
}


@pytest.mark.parametrize("name", DRAW)
def test_draws_on_the_axes_given_or_on_new_ones(name, tmp_path):
    new = on_axes_given_or_new(DRAW[name], tmp_path)
    assert new.get_xlabel() and new.get_ylabel()


def test_overlaps_are_rows_with_zero_in_the_middle():
    run = sequence()
    ax = plot.sequence(run)
    mesh = ax.collections[0]
    np.testing.assert_array_equal(mesh.get_array(), run.overlap.T)
    assert mesh.get_clim() == (-1, 1) and mesh.colorbar.ax.get_ylabel() == "overlap m"
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], np.linspace(-0.5, 12.5, 14))  # each time in the middle of its cell
    np.testing.assert_allclose(corners[:, 0, 1], [-0.5, 0.5, 1.5, 2.5, 3.5])
    assert ax.get_yticks().tolist() == [0, 1, 2, 3] and ax.get_xlim() == (0, 12)
    assert vertical(ax) == [2.5, 4.5, 7.0, 10.5]
    shade = next(patch for patch in ax.patches if isinstance(patch, Rectangle))
    assert (shade.get_x(), shade.get_width()) == (10.5, 1.5)
    assert ax.get_title() == "4 retrievals in a row, then collapse"
    said = r"κ = 5, Z₀ = 4, $τ_f$ = 0.01, $τ_s$ = 2, ε = 0.03, $σ_s$ = 0.25, P = 4, N = 16, HardTanh units"
    assert texts(ax) == ["collapse", said]  # and not the noise that there is none of
    assert plot.sequence(sequence(overlap=3 * run.overlap)).collections[0].get_clim()[1] > 2.9


def test_a_run_that_goes_on_has_no_collapse():
    ax = plot.sequence(sequence(collapsed=jnp.array(False), collapse_time=jnp.array(jnp.nan)))
    assert not ax.patches and vertical(ax) == [2.5, 4.5, 7.0] and len(ax.texts) == 1
    assert ax.get_title() == "4 retrievals in a row"
    none = sequence(num_transitions=jnp.array(0), switch_times=jnp.full(5, jnp.nan), overlap=jnp.full((13, 4), jnp.nan))
    assert plot.sequence(none).get_title().startswith("One memory")
    plt.gcf().draw_without_rendering()


def test_saliencies_are_coloured_and_numbered_in_the_order_of_retrieval():
    run = sequence()
    ax = plot.saliencies(run)
    curves = {}
    for line in ax.get_lines():
        for memory in range(4):
            if len(line.get_xdata()) == 13 and np.array_equal(line.get_ydata(), run.saliency[:, memory]):
                curves[memory] = line
    colours = [to_hex(curves[memory].get_color()) for memory in (0, 2, 1)]
    brightness = [sum(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in colours]
    assert brightness == sorted(brightness) and len(set(colours)) == 3
    assert to_hex(curves[3].get_color()) == FAINT.lower()
    assert ax.get_legend() is None
    level = next(line for line in ax.get_lines() if list(line.get_ydata()) == [1, 1])
    assert to_hex(level.get_color()) == ACCENT.lower() and "escape level 1" in texts(ax)
    # At the start the saliency that was asked for, then what it was at the switch.
    named = [(a.get_text(), a.xy, to_hex(a.get_color())) for a in ax.texts if hasattr(a, "xy")]
    expected = [("0", (0, 4), 0), ("2", (2.5, 12), 1), ("1", (4.5, 21), 2), ("2", (7, 32), 1)]
    assert named == [(text, where, colours[n]) for text, where, n in expected]
    assert vertical(ax) == [2.5, 4.5, 7.0, 10.5]


@pytest.mark.parametrize("units, beta, level", [("LogCosh", 2.0, 0.5), ("Erf", 2.0, math.sqrt(math.pi) / 4)])
def test_the_escape_level_is_that_of_the_units(units, beta, level):
    ax = plot.saliencies(sequence(setting=setting(units, **{"units.beta": beta})))
    flat = [line.get_ydata()[0] for line in ax.get_lines() if len(line.get_ydata()) == 2 and vertical(ax)]
    assert any(abs(y - level) < 1e-6 for y in flat)
    assert f"escape level {level:.3g}" in texts(ax) and f"{units} units β = 2" in texts(ax)[-1]


def test_of_many_visits_the_first_of_each_memory_is_numbered():
    count = 30
    made = {"order": jnp.arange(count + 1) % 4, "switch_times": 0.3 * jnp.arange(1.0, count + 1)}
    made |= {"switch_saliency": jnp.ones((count, 4)), "num_transitions": jnp.array(count)}
    made |= {"sign": jnp.ones(count + 1, jnp.int32), "dwell_times": jnp.full(count, 0.3)}
    ax = plot.saliencies(sequence(**made))
    assert [a.get_text() for a in ax.texts if hasattr(a, "xy")] == ["0", "1", "2", "3"]


def test_dwell_times_stand_against_the_logarithm_of_the_saliency():
    ax = plot.dwell_times(sequence())
    points = points_of(ax)
    np.testing.assert_allclose(points.get_offsets(), np.c_[np.log([4, 12, 21]), [2.5, 2.0, 2.5]], rtol=1e-6)
    assert points.get_array().tolist() == [1, 2, 3] and points.colorbar.ax.get_ylabel() == "visit"
    labels = lines(ax)
    law = labels[r"saliency map: $\tau_s\,\log Z$"]
    np.testing.assert_allclose(law.get_ydata(), 2 * np.asarray(law.get_xdata()))
    upper = math.log((5 + math.sqrt(5)) / 2)
    star = next(line for name, line in labels.items() if "fixed point" in str(name))
    np.testing.assert_allclose([star.get_xdata()[0], star.get_ydata()[0]], [upper, 2 * upper], rtol=1e-6)
    assert f"= {2 * upper:.3g}" in str(star.get_label())
    for x, y in points.get_offsets():
        assert ax.get_xlim()[0] < x < ax.get_xlim()[1] and ax.get_ylim()[0] < y < ax.get_ylim()[1]


def test_below_gain_4_there_is_no_fixed_point_and_of_negative_saliency_no_logarithm():
    run = sequence(setting=setting(gain=3.9))
    run = eqx.tree_at(lambda r: r.switch_saliency, run, run.switch_saliency.at[0, 2].set(-3.0))
    ax = plot.dwell_times(run)
    assert not any("fixed point" in str(name) for name in lines(ax))
    shown = points_of(ax).get_offsets()
    assert np.isfinite(np.ma.filled(shown, np.nan)[:, 0]).tolist() == [True, False, True]
    # Nothing to draw is no error, nor is a run that failed for its gain.
    plot.dwell_times(sequence(num_transitions=jnp.array(0), setting=setting(gain=-1.0)))
    plt.gcf().draw_without_rendering()


def test_a_scan_shows_periods_their_limit_and_how_often_the_others_went():
    given = scan()
    ax = plot.gain_scan(given)
    top = ax.figure.axes[-1]
    assert top is not ax and top.get_ylabel() == "transitions before the end"
    labels = lines(ax)
    period = labels["period of the network"]
    np.testing.assert_allclose(period.get_xdata(), [4.5, 5, 6])  # in the order of gains
    np.testing.assert_allclose(period.get_ydata(), [1.35, 1.5, 1.8], rtol=1e-6)
    limit = labels[r"limit $\tau_s\,\log Z_+$"]
    x, y = (np.asarray(v) for v in limit.get_data())
    np.testing.assert_allclose([x[0], y[0], x[-1]], [4, 2 * math.log(2), 6], rtol=1e-6)
    # Straight lines between 200 points that are close where the curve is bent.
    for i in (0, 2, 5):
        assert np.interp(GAINS[i], x, y) == pytest.approx(float(given.period_limit[i]), abs=1e-3)
    assert vertical(ax) == [4.5] and "goes on from κ = 4.5" in labels
    ends = lines(top)
    for name, gain, marker in (("collapse", 3.0, "o"), ("end of chain", 3.5, "s"), ("decayed at start", 2.5, "v")):
        points = ends[f"{name} after so many"]
        assert (list(points.get_xdata()), list(points.get_ydata())) == ([gain], [round(2 * gain)])
        assert points.get_marker() == marker
    assert not any(99 in line.get_ydata() for line in top.get_lines())  # what failed
    x, y = (np.asarray(v) for v in ends["collapse of the saliency map"].get_data())
    # κ = 3.5 retrieves six memories: five transitions; κ = 3.75 nine, more than the axis has room for.
    assert y[np.argmin(abs(x - 3.5))] == 5 and np.isnan(y[-1])
    assert set(legend(top)) >= {"period of the network", "collapse after so many", "goes on from κ = 4.5"}
    # From the edge of the first cell to halfway between the last that stops and the first that goes on; the failed one
    # in between is not shaded.
    edges = [np.asarray(path.vertices)[:, 0] for path in ax.collections[0].get_paths()]
    assert [(e.min(), e.max()) for e in edges] == [(2.25, 3.125), (3.375, 4.0)]
    assert texts(ax)[-1].startswith(r"$τ_f$ = 0.01, $τ_s$ = 2, ε = 0.03")


def test_a_given_saliency_decides_the_number_of_the_map():
    where = scan().setting
    where = hj.results.Setting("by hand", where.parts, where.numbers | {"saliency": jnp.asarray(1.5)})
    top = plot.gain_scan(scan(setting=where)).figure.axes[-1]
    x, y = (np.asarray(v) for v in lines(top)["collapse of the saliency map"].get_data())
    # 3.5 (1 - 1/1.5) = 1.17 and 3.5 (1 - 1/1.17) = 0.5: two memories, one transition.
    assert y[np.argmin(abs(x - 3.5))] == 1


def test_scans_of_one_kind():
    ax = plot.gain_scan(scan(np.array([4.5, 5.0]), ["running"] * 2))
    assert len(ax.figure.axes) == 1 and len(ax.get_legend().get_texts()) == 3
    ax = plot.gain_scan(scan(np.array([2.0, 3.0]), ["collapse"] * 2))
    assert not ax.get_lines() and not len(ax.get_yticks()) and len(ax.figure.axes) == 2
    waiting = scan(np.array([4.5, 5.0]), ["running"] * 2, period=jnp.full(2, jnp.nan))
    assert "no transition yet" in lines(plot.gain_scan(waiting).figure.axes[-1])
    plt.gcf().draw_without_rendering()


@pytest.mark.parametrize("gain, said", [(3.5, "collapses"), (4.0, "goes on, barely"), (5.0, "goes on for ever")])
def test_a_cobweb_follows_the_map(gain, said):
    ax = plot.cobweb(gain, gain, num_transitions=20)
    labels = lines(ax)
    z, following = (np.asarray(v) for v in labels["map κ(1 − 1/Z)"].get_data())
    np.testing.assert_allclose(following, gain * (1 - 1 / z), atol=1e-5)
    # Up to the map and across to the diagonal, one after the other.
    path = [gain]
    while len(path) < 21 and path[-1] > 1:
        path.append(float(saliency_map(gain, path[-1])))
    corners = [(path[0], 0.0)]
    for here, then in zip(path[:-1], path[1:], strict=True):
        corners += [(here, then), (then, then)]
    np.testing.assert_allclose(np.transpose(labels["path"].get_data()), corners, atol=1e-4)
    assert (path[-1] <= 1) == (gain < 4)
    assert 1.0 in vertical(ax) and "escape level 1" in texts(ax) and ax.get_title() == f"κ = {gain:g}: {said}"
    points = {str(name): line for name, line in labels.items() if str(name).startswith("Z")}
    root = math.sqrt(max(gain**2 - 4 * gain, 0))
    expected = {3.5: [], 4.0: [2.0], 5.0: [(5 + root) / 2, (5 - root) / 2]}[gain]
    np.testing.assert_allclose([line.get_xdata()[0] for line in points.values()], expected, rtol=1e-6)
    np.testing.assert_allclose([line.get_ydata()[0] for line in points.values()], expected, rtol=1e-6)
    faces = [str(line.get_markerfacecolor()) == "white" for line in points.values()]
    assert faces == {3.5: [], 4.0: [False], 5.0: [False, True]}[gain]  # open where unstable
    assert [line.get_fillstyle() for line in points.values()] == {3.5: [], 4.0: ["right"]}.get(gain, ["full"] * 2)
    assert (ax.get_legend() is not None) == (gain >= 4)
    facts = {3.5: "6 memories are retrieved", 4.0: "period log Z+ = 0.6931", 5.0: "period log Z+ = 1.286"}
    assert texts(ax)[-1] == f"Z₀ = {gain:g}, {facts[gain]}"


def test_a_cobweb_that_begins_too_low():
    assert plot.cobweb(5.0, 1.2).get_title() == "κ = 5: collapses"
    ax = plot.cobweb(5.0, 0.5)
    assert ax.get_title() == "κ = 5: is never retrieved" and texts(ax)[-1] == "Z₀ = 0.5"
    assert list(lines(ax)["path"].get_xdata()) == [0.5]


@pytest.mark.parametrize("draw", [plot.sequence, plot.saliencies, plot.dwell_times])
def test_a_batch_of_runs_is_refused(draw):
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), sequence())
    with pytest.raises(ValueError, match=r"`run`: expected one run, `jax.tree.map\(.*, got \(2,\) of them"):
        draw(batch)


def test_a_batch_of_scans_is_refused():
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), scan())
    with pytest.raises(ValueError, match=r"`scan`: expected one scan, .*, got \(2,\) of them"):
        plot.gain_scan(batch)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((-1.0, 2.0), {}, "`gain`: expected finite and positive, got -1"),
        ((np.ones(2), 2.0), {}, r"`gain`: expected a number, got shape \(2,\)"),
        ((5.0, np.nan), {}, "`saliency`: expected finite numbers, got nan"),
        ((5.0, np.ones(2)), {}, r"`saliency`: expected a number"),
        ((5.0, 5.0), {"num_transitions": 0}, "`num_transitions`: expected a whole number of at least 1, got 0"),
    ],
)
def test_bad_numbers_are_named(arguments, options, message):
    # Without the run-time type checks of the test suite, which would see some of these first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(plot.cobweb)(*arguments, **options)
