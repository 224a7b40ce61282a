"""Figures of sweeps: what is drawn is what was given."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

import hopfield_jax as hj
from hopfield_jax import plot
from hopfield_jax.plot._sweep import _BLANK
from plot.drawn import legend, texts

LOADS, STRENGTHS = np.array([0.1, 0.2, 0.4]), np.array([0.0, 1.0, 2.0, 3.0])


@pytest.fixture
def dataset():
    """m = strength + 10 load + replicate over two replicates; one point is missing, one raised, one is NaN."""
    value = STRENGTHS[:, None, None] + 10 * LOADS[:, None] + np.arange(2.0)
    status = np.ones(value.shape, np.int8)
    status[0, 0] = 0
    status[1, 1, 0] = 3
    value[2, 2], status[2, 2] = np.nan, 2
    dims = ("strength", "load", "replicate")
    made = xr.Dataset(
        {"m": (dims, value), "point_status": (dims, status)},
        {"strength": STRENGTHS, "load": LOADS, "replicate": np.arange(2)},
        {"conditions": "N = 7; $m_0$ = 0.5"},
    )
    made["m"].attrs = {"long_name": "final overlap", "symbol": "m"}
    made["load"].attrs = {"long_name": "load", "symbol": "α", "units": "1"}
    return made


def shown(axes):
    """The numbers of a heat map, NaN where it is blank."""
    return np.ma.filled(axes.collections[0].get_array().astype(float), np.nan)


def curve(dataset, along="load", over="strength"):
    at = dataset[over].values
    value = np.linspace(0.15, 0.3, len(at))
    value[1] = np.nan
    made = {along: value, f"{along}_lower": value - 0.02, f"{along}_upper": value + 0.01}
    return xr.Dataset({name: (over, x) for name, x in made.items()}, {over: at})


def test_a_phase_diagram_draws_means_and_blanks(dataset):
    axes = plot.phase_diagram(dataset, "m", x="strength", y="load")
    expected = 10 * LOADS[:, None] + STRENGTHS + 0.5
    expected[0, 0] = expected[2, 2] = np.nan
    expected[1, 1] += 0.5  # one of two is left
    np.testing.assert_allclose(shown(axes), expected)
    mesh = axes.collections[0]
    assert mesh.cmap(np.ma.masked_array([0.5], [True]))[0].tolist() == pytest.approx(to_rgba(_BLANK))
    assert texts(axes)[0] == "N = 7, $m_0$ = 0.5, mean over 2 replicates, 2 points without a number (grey)"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("strength", "load α", "Final overlap")
    assert mesh.colorbar.ax.get_ylabel() == "final overlap m" and axes.get_legend() is None
    # Cells end half-way between their values.
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [-0.5, 0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(corners[:, 0, 1], [0.05, 0.15, 0.3, 0.5])


def test_axes_may_change_places(dataset):
    one = plot.phase_diagram(dataset, "m", x="strength", y="load")
    other = plot.phase_diagram(dataset, "m", x="load", y="strength")
    np.testing.assert_array_equal(shown(one), shown(other).T)


def test_choices_and_logarithmic_axes(dataset):
    several = dataset.assign_coords(strength=["a", "b", "c", "d"], load=[1.0, 10.0, 100.0])
    axes = plot.phase_diagram(several, "m", x="load", y="strength")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c", "d"]
    assert axes.get_xscale() == "log" and axes.get_yscale() == "linear"
    np.testing.assert_allclose(axes.collections[0].get_coordinates()[0, :, 0], 10.0 ** np.array([-0.5, 0.5, 1.5, 2.5]))


@pytest.mark.parametrize("turned", [False, True])
def test_boundaries_and_theory_lie_over_the_map(dataset, turned):
    boundary = curve(dataset)
    points = (0.0, 0.14) if not turned else (0.14, 0.0)
    line = (STRENGTHS, LOADS.mean() + 0 * STRENGTHS)
    names = {"x": "load", "y": "strength"} if turned else {"x": "strength", "y": "load"}
    theory: Any = {"point": points, "line": line[::-1] if turned else line}
    axes = plot.phase_diagram(dataset, "m", **names, boundary=boundary, theory=theory)
    drawn = {x.get_label(): x for x in axes.lines}
    known = [0, 2, 3]  # where a boundary was found
    expected = np.stack([STRENGTHS[known], boundary["load"].values[known]])
    got = np.stack(drawn["boundary in load"].get_data())
    np.testing.assert_allclose(got, expected[::-1] if turned else expected)
    assert drawn["point"].get_marker() == "*" and [float(x[0]) for x in drawn["point"].get_data()] == list(points)
    np.testing.assert_allclose(np.stack(drawn["line"].get_data()), np.stack(line[::-1] if turned else line))
    bars = axes.collections[1].get_segments()
    sizes = [np.ptp(bar, axis=0)[0 if turned else 1] for bar in bars]
    np.testing.assert_allclose(sizes, 0.03)
    assert len(axes.get_legend().get_texts()) == 3


def test_a_boundary_that_was_not_found_is_not_drawn(dataset):
    boundary = curve(dataset) * np.nan
    axes = plot.phase_diagram(dataset, "m", x="strength", y="load", boundary=boundary)
    assert not axes.lines and axes.get_legend() is None


def test_an_empty_map_is_grey(dataset):
    dataset["point_status"][:] = 0
    axes = plot.phase_diagram(dataset, "m", x="strength", y="load")
    assert np.all(np.isnan(shown(axes))) and "12 points without a number" in texts(axes)[0]


def test_a_profile_draws_means_with_errors(dataset):
    axes = plot.profile(dataset, "m", x="strength", each="load")
    assert legend(axes) == ["α = 0.1", "α = 0.2", "α = 0.4"]
    lines = [c.lines[0] for c in axes.containers]
    np.testing.assert_allclose(lines[0].get_xdata(), STRENGTHS[1:])
    np.testing.assert_allclose(lines[0].get_ydata(), STRENGTHS[1:] + 1.5)
    np.testing.assert_allclose(lines[1].get_ydata(), STRENGTHS + 2.5 + np.array([0, 0.5, 0, 0]))
    sizes = [np.ptp(bar[:, 1]) for bar in axes.containers[1].lines[2][0].get_segments()]
    np.testing.assert_allclose(sizes, [1.0, 0.0, 1.0, 1.0])  # of 0 and 1 the standard error is 1/2
    said = "mean ± standard error over 2 replicates, 2 points without a number (not drawn)"
    assert texts(axes)[0] == f"N = 7, $m_0$ = 0.5, {said}"


def test_a_profile_over_all_others_has_one_curve(dataset):
    axes = plot.profile(dataset.isel(load=[1], replicate=[1]), "m", x="strength")
    assert axes.get_legend() is None and len(axes.containers) == 1
    np.testing.assert_allclose(axes.containers[0].lines[0].get_ydata(), STRENGTHS + 3)
    assert axes.containers[0].has_yerr is False and texts(axes)[0].endswith("α = 0.2, replicate = 1")


def test_a_profile_has_a_curve_for_every_value_of_every_axis_that_is_no_replicate(dataset):
    axes = plot.profile(dataset, "m", x="strength")  # loads are no replicates
    assert [c.get_label() for c in axes.containers] == ["α = 0.1", "α = 0.2", "α = 0.4"]
    np.testing.assert_allclose(axes.containers[2].lines[0].get_ydata(), (STRENGTHS + 4.5)[[0, 1, 3]])
    assert "over 2 replicates" in texts(axes)[0] and "load" not in texts(axes)[0]
    axes = plot.profile(dataset, "m", x="replicate", each="load")
    labels = [f"α = {load}, strength = {strength}" for load in ("0.1", "0.2", "0.4") for strength in range(4)]
    assert [c.get_label() for c in axes.containers] == labels and "mean" not in texts(axes)[0]
    assert len({c.lines[0].get_color() for c in axes.containers}) == 12  # colours do not come back
    named = plot.profile(dataset.assign_coords(load=["a", "b", "c"]), "m", x="strength")
    assert [c.get_label() for c in named.containers] == ["load = a", "load = b", "load = c"]


@pytest.mark.parametrize("loads", [LOADS, [0, 1, 3], ["a", "b", "c"]])
def test_a_phase_diagram_averages_over_replicates_alone(dataset, loads):
    given = dataset.expand_dims(gain=[4.0, 5.0]).assign_coords(load=loads)
    with pytest.raises(ValueError, match=r"one value of load, such as dataset.sel\(load=...\)"):
        plot.phase_diagram(given, "m", x="strength", y="gain")
    assert "load = " in texts(plot.phase_diagram(given.isel(load=[1]), "m", x="strength", y="gain"))[0]


def test_replicates_of_a_boundary_are_drawn_with_their_error(dataset):
    once = curve(dataset)
    several = xr.concat([once - 0.03, once, once + 0.03], "replicate")
    axes = plot.phase_diagram(dataset, "m", x="strength", y="load", boundary=several)
    (line,) = axes.lines
    assert line.get_label() == "boundary in load, mean ± standard error over 3 replicates"
    np.testing.assert_allclose(line.get_ydata(), once["load"].values[[0, 2, 3]])
    sizes = [np.ptp(bar[:, 1]) for bar in axes.collections[1].get_segments()]
    np.testing.assert_allclose(sizes, 2 * 0.03 / np.sqrt(3))
    with pytest.raises(ValueError, match="`boundary`: expected a boundary of load over strength"):
        plot.phase_diagram(dataset, "m", x="strength", y="load", boundary=several.rename(replicate="tau").assign_coords(
            tau=[0.5, 1.0, 2.0]))  # fmt: skip


def test_figures_take_axes_of_their_own(dataset):
    _, mine = plt.subplots(1, 2)
    assert plot.phase_diagram(dataset, "m", x="strength", y="load", ax=mine[0]) is mine[0]
    assert plot.profile(dataset, "m", x="strength", ax=mine[1]) is mine[1]


def test_a_sweep_is_drawn_as_it_comes():
    grid = hj.sweep.Grid(gain=np.linspace(4, 6, 3), saliency=np.linspace(2, 3, 2))
    found = hj.sweep.run(lambda gain, saliency: {"next": hj.sequential.saliency_map(gain, saliency)}, grid)
    axes = plot.phase_diagram(found, "next", x="gain", y="saliency")
    np.testing.assert_allclose(shown(axes), np.linspace(4, 6, 3) * (1 - 1 / np.array([[2.0], [3.0]])), rtol=1e-6)


BAD = [
    ("phase_diagram", {"variable": "q"}, "`variable`: expected one of m, got 'q'"),
    ("phase_diagram", {"x": "tau"}, r"`x`: expected an axis of m \(strength, load, replicate\), got 'tau'"),
    ("phase_diagram", {"y": "tau"}, "`y`: expected an axis of m"),
    ("phase_diagram", {"y": "strength"}, "`y`: expected an axis other than x = 'strength'"),
    ("phase_diagram", {"dataset": 3}, "`dataset`: expected an xarray.Dataset of a sweep, got int"),
    ("phase_diagram", {"boundary": "wrong"}, "`boundary`: expected a boundary of load over strength"),
    ("profile", {"each": "tau"}, "`each`: expected an axis of m"),
    ("profile", {"each": "strength"}, "`each`: expected an axis other than x = 'strength'"),
]


@pytest.mark.parametrize("name, given, message", BAD)
def test_what_does_not_fit_is_named(name, given, message, dataset):
    arguments = {"dataset": dataset, "variable": "m", "x": "strength"} | ({} if name == "profile" else {"y": "load"})
    arguments |= given
    if "boundary" in given:
        arguments["boundary"] = curve(dataset, along="tau")
    with pytest.raises(ValueError, match=message):
        getattr(plot, name)(arguments.pop("dataset"), arguments.pop("variable"), **arguments)


def test_a_sweep_is_a_map_or_curves(dataset):
    names = lambda axes: (axes.get_xlabel(), axes.get_ylabel())  # noqa: E731
    chosen = plot.sweep(dataset)
    assert names(chosen) == ("strength", "load α")
    np.testing.assert_array_equal(shown(chosen), shown(plot.phase_diagram(dataset, "m", x="strength", y="load")))
    assert names(plot.sweep(dataset, x="load")) == ("load α", "strength")
    assert names(plot.sweep(dataset.isel(load=[0]))) == ("strength", "final overlap m")
    curves = plot.sweep(dataset.assign_coords(replicate=[3, 5]))  # numbers like others
    assert names(curves) == ("strength", "final overlap m")
    assert legend(curves)[0] == "α = 0.1, replicate = 3" and len(legend(curves)) == 6
    for wrong, said in (({"variable": "q"}, "`variable`"), ({"x": "q"}, "`x`: expected one of"), ({"y": "q"}, "`y`")):
        with pytest.raises(ValueError, match=said):
            plot.sweep(dataset, **wrong)
    with pytest.raises(ValueError, match="`y`: expected an axis other than x = 'load'"):
        plot.sweep(dataset, x="load", y="load")
    with pytest.raises(ValueError, match="`dataset`: expected a sweep with an output that is a number, got m"):
        named = dataset.copy()
        named["m"].attrs["flag_meanings"] = "a b"
        plot.sweep(named)
