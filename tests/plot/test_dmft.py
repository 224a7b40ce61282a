"""Figures of mean-field theory: what is drawn is what was given, on the axes that were given."""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgba

import hopfield_jax as hj
from hopfield_jax import plot
from hopfield_jax.dmft._order import Measured
from hopfield_jax.plot._style import say_facts
from hopfield_jax.results import Setting
from plot.drawn import bars, legend, lines, on_axes_given_or_new, texts

NUMBERS = {"load": 0.12, "cue.overlap": 0.4, "kernel.strength": 0.3, "dt": 0.5, "units.beta": 4.0, "coupling": 1.0}
PARTS = (("model", "PlasticNetwork"), ("units", "LogCosh"), ("kernel", "LeakyHebbian"), ("self_coupling", "False"))


def setting(source: str, **numbers: float) -> Setting:
    return Setting(source, PARTS, {name: jnp.asarray(x) for name, x in (NUMBERS | numbers).items()})


def order(source: str = "theory (by hand)", **others: Any) -> hj.dmft.results.OrderParameters:
    """Four times half a unit apart, made by hand; every quantity of two times is ten times the row plus the column."""
    steps = jnp.arange(4.0)
    times, square = 0.5 * steps, 10 * steps[:, None] + steps[None]
    made: dict[str, Any] = {field: jnp.zeros(4) for field in ("energy", "error_fraction")}
    made |= {field: square for field in ("correlation", "response", "noise_covariance")}
    made |= {"crosstalk_feedback": jnp.tril(square, -1), "plastic_feedback": -0.5 * jnp.tril(square, -1)}
    made |= {"overlap": 0.4 + 0.1 * times, "cue_overlap": 1 - 0.2 * times}
    made |= {f"{field}_error": jnp.full(made[field].shape, 0.01) for field in ("overlap", "energy", "error_fraction")}
    made |= {
        f"{field}_error": 0.02 * jnp.ones_like(made[field]) for field in ("cue_overlap", "correlation", "response")
    }
    made |= {"crosstalk_feedback_error": jnp.zeros((4, 4))}
    made |= dict.fromkeys(("rank", "dropped", "orthogonality", "residual"))
    made |= {"times": times, "setting": setting(source), "result": cast(Any, hj.RESULTS.successful)} | others
    made |= {"activity": made["overlap"], "activity_error": made["overlap_error"]}
    fields = hj.dmft.results.OrderParameters.__dataclass_fields__
    matrices = {n: (x, made.get(f"{n}_error")) for n, x in made.items() if n not in fields and not n.endswith("_error")}
    measured = Measured({name: pair for name, pair in matrices.items() if pair[0] is not None})
    return hj.dmft.results.OrderParameters(two_time=measured, **{name: x for name, x in made.items() if name in fields})


def scan(**others: Any) -> hj.dmft.results.StrengthScan:
    """Five strengths in no order: the best is 0.2, within errors up to 0.4; imprinted from 0.6 on."""
    strength = jnp.array([0.4, 0.0, 0.8, 0.2, 0.6])
    made: dict[str, Any] = {
        "strength": strength,
        "overlap": 0.9 - (strength - 0.2) ** 2,
        "overlap_error": 0.1 * strength,
        "cue_overlap": strength,
        "cue_overlap_error": jnp.full(5, 0.01),
        "imprinted": strength > 0.5,
        "result": jax.vmap(lambda _: cast(Any, hj.RESULTS.successful))(strength),
        "setting": setting("theory"),
        "best": jnp.array(0.2),
        "best_lower": jnp.array(0.2),
        "best_upper": jnp.array(0.4),
    }
    return hj.dmft.results.StrengthScan(**made | others)


def found(values: list[float], at_lower: list[bool], at_upper: list[bool]) -> hj.results.Threshold:
    """Thresholds within 0.1 of the values; where there is none, between the bounds 0 and 1."""

    def one(value, at_lower, at_upper):
        known = jnp.isfinite(value)
        lower, upper = jnp.where(known, value - 0.1, 0), jnp.where(known, value + 0.1, 1)
        result = hj.RESULTS.where(known, cast(Any, hj.RESULTS.successful), cast(Any, hj.RESULTS.not_bracketed))
        return hj.results.Threshold(value, lower, upper, at_lower, at_upper, result)

    return jax.vmap(one)(jnp.array(values), jnp.array(at_lower), jnp.array(at_upper))


def statistics() -> hj.dmft.results.NoiseStatistics:
    ones = jnp.ones(3)
    return hj.dmft.results.NoiseStatistics(
        times=jnp.arange(3.0),
        variance=ones,
        variance_error=ones,
        excess_kurtosis=jnp.array([-0.1, 0.0, 0.3]),
        excess_kurtosis_error=0.05 * ones,
        predicted_variance=ones,
        setting=setting("simulation (N = 100, 3 networks)"),
        result=cast(Any, hj.RESULTS.successful),
    )


DRAW: dict[str, Any] = {
    "order_parameters": lambda ax: plot.order_parameters(order(), order("simulation"), ax=ax),
    "two_times": lambda ax: plot.two_times(order(), ax=ax),
    "feedback": lambda ax: plot.feedback(order(), ax=ax),
    "strength_scan": lambda ax: plot.strength_scan(scan(), ax=ax),
    "thresholds": lambda ax: plot.thresholds(
        np.arange(2.0), found([0.3, 0.5], [False] * 2, [True] * 2), xlabel="load", ylabel="cue", ax=ax
    ),
    "noise": lambda ax: plot.noise(statistics(), ax=ax),
}


@pytest.mark.parametrize("name", DRAW)
def test_draws_on_the_axes_given_or_on_new_ones(name, tmp_path):
    new = on_axes_given_or_new(DRAW[name], tmp_path)
    assert new.get_xlabel() and new.get_ylabel()


def test_theory_is_a_line_in_a_band_and_simulation_points_with_bars():
    theory = order()
    network = order(
        "simulation (N = 100, 3 networks)", overlap=theory.overlap + 0.03, setting=setting("net", load=0.13)
    )
    ax = plot.order_parameters(theory, network)
    curves = lines(ax)
    bands = [np.asarray(band.get_paths()[0].vertices) for band in ax.collections if isinstance(band, PolyCollection)]
    for n, (label, value, error) in enumerate(
        (("with the pattern", theory.overlap, 0.01), ("with the cue", theory.cue_overlap, 0.02))
    ):
        np.testing.assert_allclose(curves[label].get_xdata(), theory.times)
        np.testing.assert_allclose(curves[label].get_ydata(), value)
        band = bands[n][bands[n][:, 0] == theory.times[2], 1]
        np.testing.assert_allclose([band.min(), band.max()], [value[2] - error, value[2] + error], rtol=1e-5)
    points = ax.containers[0]
    np.testing.assert_allclose(points[0].get_ydata(), network.overlap)
    np.testing.assert_allclose(bars(points), np.asarray(network.overlap)[:, None] + [-0.01, 0.01], rtol=1e-5)
    assert to_rgba(points[0].get_color()) == to_rgba(curves["with the pattern"].get_color())
    assert {"theory (by hand)", "net, α = 0.13"} < set(legend(ax))  # what differs is said
    said = "m₀ = 0.4, α = 0.12, λ = 0.3, dt = 0.5, LogCosh units β = 4, LeakyHebbian synapses, no self-couplings"
    assert " ".join(texts(ax)) == said  # and not the coupling, which is 1 unless somebody wants another


def test_two_trajectories_on_one_axes_differ_in_colour_and_label():
    one, other = order(), order(times=jnp.arange(4.0), setting=setting("theory (by hand)", **{"kernel.strength": 0.7}))
    ax = plot.order_parameters(one)
    plot.order_parameters(other, ax=ax)
    curves = lines(ax)
    names = [f"with the {what} ({λ})" for λ in ("λ = 0.3", "λ = 0.7") for what in ("pattern", "cue")]
    assert len({to_hex(curves[name].get_color()) for name in names}) == 4
    assert set(names) < set(legend(ax))
    said = "m₀ = 0.4, α = 0.12, dt = 0.5, LogCosh units β = 4, LeakyHebbian synapses, no self-couplings"
    assert " ".join(texts(ax)) == said  # once, and what holds for both
    low, high = ax.get_xlim()
    assert low < 0 and high > 3  # the longer one fits
    ax.clear()
    assert "λ = 0.3" in texts(plot.order_parameters(one, ax=ax))[0]


def test_facts_without_a_curve_to_name_stay_beside_those_of_others():
    ax = say_facts(plt.subplots()[1], ["N = 7", "β = 2"])
    assert " ".join(texts(say_facts(ax, ["N = 7", "β = 3"]))) == "N = 7, β = 2, β = 3"


def test_unknown_errors_have_no_band_and_every_condensed_pattern_a_curve():
    unknown = order(overlap_error=jnp.full(4, jnp.inf), cue_overlap_error=jnp.full(4, jnp.inf))
    plot.order_parameters(unknown, unknown).figure.draw_without_rendering()
    two = order(overlap=jnp.array([[0.1, 0.2]] * 4), overlap_error=jnp.zeros((4, 2)))
    labels = [line.get_label() for line in plot.order_parameters(two).get_lines()[:3]]
    assert labels == ["with the pattern 0", "with the pattern 1", "with the cue"]
    with pytest.raises(
        ValueError, match=r"`network`: expected overlaps of the theory's shape \(4, 2\), got shape \(4,"
    ):
        plot.order_parameters(two, order())


def test_later_times_are_upwards_and_what_is_causal_has_half_an_image():
    theory = order()
    image = plot.two_times(theory, "correlation").get_images()[0]
    np.testing.assert_array_equal(image.get_array(), theory.correlation)
    assert image.origin == "lower" and image.get_extent() == [-0.25, 1.75, -0.25, 1.75]
    assert image.get_clim() == (0, 33) and image.colorbar.ax.get_ylabel() == "correlation $C_{ts}$"
    ax = plot.two_times(theory, "plastic_feedback")
    drawn, below = np.ma.filled(ax.get_images()[0].get_array(), np.nan), np.tri(4, k=-1, dtype=bool)
    assert np.array_equal(np.isfinite(drawn), below)
    np.testing.assert_array_equal(drawn[below], np.asarray(theory.plastic_feedback)[below])
    assert ax.get_images()[0].get_clim() == (-16, 16)  # of both signs: zero in the middle
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("earlier time s", "later time t")
    own = order(crosstalk_feedback=jnp.eye(4))  # self-couplings
    drawn = np.ma.filled(plot.two_times(own, "crosstalk_feedback").get_images()[0].get_array(), np.nan)
    assert np.array_equal(np.isfinite(drawn), np.tri(4, dtype=bool))


@pytest.mark.parametrize(
    "name, got", [("overlap", "one of correlation, noise_cov"), ("response", "measured by theory .by hand.")]
)
def test_quantities_that_are_not_there_are_named(name, got):
    with pytest.raises(ValueError, match=f"`name`: expected .*{got}.*, got '{name}'"):
        plot.two_times(order(response=None), name)


def test_feedback_is_drawn_against_the_lag():
    theory: Any = order()
    curves = lambda axes: [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]  # noqa: E731
    axes = plot.feedback(theory)
    crosstalk, plastic = curves(axes)
    assert len(axes.containers) == 1  # only the crosstalk has errors
    for line, weights, total in ((crosstalk, theory.crosstalk_feedback, 93), (plastic, theory.plastic_feedback, -46.5)):
        np.testing.assert_allclose(line.get_xdata(), [0.5, 1.0, 1.5])
        np.testing.assert_allclose(line.get_ydata(), weights[-1, 2::-1])
        assert line.get_label().endswith(f"sum {total:.3g}")
    assert "t = 1.5" in axes.get_title()
    (simulated,) = curves(plot.feedback(order(crosstalk_feedback=None)))
    assert simulated.get_color() == plastic.get_color()
    failed = order(crosstalk_feedback=jnp.tril(theory.response, -1).at[3].set(jnp.nan))  # the last time before it
    np.testing.assert_allclose(curves(plot.feedback(failed))[0].get_ydata(), theory.crosstalk_feedback[2, 1::-1])
    own = curves(plot.feedback(order(crosstalk_feedback=jnp.eye(4))))[0]
    assert own.get_xdata()[0] == 0 and own.get_ydata()[0] == 1


def test_a_scan_marks_the_best_strength_and_what_is_imprinted():
    ax = plot.strength_scan(scan())
    pattern, cue = ax.containers
    ordered = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(pattern[0].get_xdata(), ordered)
    np.testing.assert_allclose(pattern[0].get_ydata(), 0.9 - (ordered - 0.2) ** 2, rtol=1e-6)
    np.testing.assert_allclose(np.diff(bars(pattern))[:, 0], 0.2 * ordered, atol=1e-6)
    np.testing.assert_allclose(cue[0].get_ydata(), ordered)
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    np.testing.assert_allclose(spans, [(0.2, 0.4), (0.5, 0.8)], rtol=1e-6)
    said = {"best of the grid: λ = 0.2 (errors allow 0.2 to 0.4)", "closer to the cue: imprinted"}
    assert said < set(legend(ax))
    failed = scan(best=jnp.array(jnp.nan), imprinted=jnp.zeros(5, bool))
    assert not plot.strength_scan(failed).patches


@pytest.mark.parametrize("rising", [True, False])
def test_thresholds_have_brackets_and_point_beyond_the_bounds(rising):
    nan = float("nan")
    # The second lies below the bounds: there, a rising predicate holds at both. The third lies above.
    threshold = found(
        [0.3, nan, nan, 0.6], [not rising, rising, not rising, not rising], [rising] * 2 + [not rising, rising]
    )
    ax = plot.thresholds(np.arange(1.0, 5.0), threshold, xlabel="load α", ylabel="smallest cue overlap")
    curve = ax.containers[0]
    np.testing.assert_allclose(curve[0].get_ydata(), [0.3, nan, nan, 0.6])
    np.testing.assert_allclose(bars(curve), [[0.2, 0.4], [0.5, 0.7]], rtol=1e-5)
    triangles = {line.get_marker(): line.get_xydata().tolist() for line in ax.get_lines() if line.get_marker() in "v^"}
    assert triangles == {"v": [[2.0, 0.0]], "^": [[3.0, 1.0]]}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("load α", "smallest cue overlap") and "0.2" in ax.get_title()
    where = jtu.tree_map(lambda x: jnp.broadcast_to(x, (4,)), setting("theory"))  # as jax.vmap leaves it
    varied = dataclasses.replace(where, numbers=where.numbers | {"load": jnp.arange(4.0)})
    with_setting = jax.vmap(lambda found, where: dataclasses.replace(found, setting=where))
    said = plot.thresholds(np.arange(4.0), with_setting(threshold, varied), xlabel="", ylabel="")
    text = texts(said)[0]
    assert "theory" in text and "λ = " in text and "α" not in text
    with pytest.raises(ValueError, match=r"`threshold`: expected thresholds of shape \(3,\)"):
        plot.thresholds(np.arange(3.0), threshold, xlabel="", ylabel="")


def test_kurtosis_has_bars_and_the_gaussians_line():
    ax = plot.noise(statistics())
    points = ax.containers[0]
    np.testing.assert_allclose(points[0].get_ydata(), [-0.1, 0.0, 0.3])
    np.testing.assert_allclose(bars(points), [[-0.15, -0.05], [-0.05, 0.05], [0.25, 0.35]], atol=1e-6)
    assert lines(ax)["Gaussian"].get_ydata() == [0, 0]
    assert "N = 100" in legend(ax)[1] and "α = 0.12" in texts(ax)[0]


def test_a_batch_of_trajectories_is_refused():
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), order())
    with pytest.raises(ValueError, match=r"`theory.times`: expected an array of 1 axes, got shape \(2, 4\)"):
        plot.order_parameters(batch)
