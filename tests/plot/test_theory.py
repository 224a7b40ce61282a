"""Figures of closed theory: what is drawn is what was given."""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import plot
from plot.drawn import legend

TEMPERATURES = jnp.array([0.0, 0.5, 1.0, 1.5])


def lines():
    nan = jnp.full(4, jnp.nan)
    end = jnp.array([0.14, 0.06, jnp.nan, jnp.nan])
    glass = jnp.array([0.0, 0.0, 0.0, 0.25])
    made = lambda *numbers: hj.theory.results.PhaseLines(*numbers, result=cast(Any, hj.RESULTS.successful))  # noqa: E731
    return jax.vmap(made)(TEMPERATURES, end, 0.4 * end, nan, 0.2 * end, glass)


def diagram():
    numbers = jnp.zeros((4, 3))
    region = jnp.array([[3, 2, 1], [3, 1, 1], [1, 1, 1], [0, 0, 1]])
    loads = jnp.array([0.01, 0.1, 0.3])
    return hj.theory.results.PhaseDiagram(loads, TEMPERATURES, *[numbers] * 5, region=region)


def test_lines_and_map_of_the_replica_phases():
    axes = plot.replica_phases(diagram(), lines())
    np.testing.assert_array_equal(axes.collections[0].get_array().reshape(4, 3), diagram().region)
    drawn = {str(line.get_label()): line.get_xydata() for line in axes.lines}
    assert len(drawn) == 4  # the line of replica symmetry comes to no temperature
    (retrieval,) = (points for name, points in drawn.items() if "retrieval" in name)
    np.testing.assert_allclose(retrieval, [[0.14, 0], [0.06, 0.5]], rtol=1e-6)
    (glass,) = (points for name, points in drawn.items() if "spin glass" in name)
    np.testing.assert_allclose(glass, [[0, 1], [0.25, 1.5]])
    texts = legend(axes)
    assert texts[:4] == ["paramagnet", "spin glass", "retrieval, metastable", "retrieval, in equilibrium"]


def test_arguments_of_the_replica_phases_are_checked():
    with pytest.raises(ValueError, match="`diagram`: expected a diagram, lines, or both"):
        plot.replica_phases()


TIMES = {"first_step": 1, "other_diagonal": 1, "okada": 0, "stationary": math.inf, "free_energy": None}


def prediction(value, applies=True):
    return lambda name: hj.dmft.Prediction(
        name, "theory", "quantity", np.asarray(value), applies, "" if applies else "holds elsewhere", TIMES[name]
    )


def panel(**changes):
    made = {name: prediction(np.nan, applies=False) for name in TIMES} | changes
    return hj.dmft.results.Panel(tuple(make(name) for name, make in made.items()))


def test_predictions_lie_on_the_trajectory():
    path = np.array([0.5, 0.8, 0.9])
    some = panel(
        first_step=prediction(0.8), other_diagonal=prediction(0.85, applies=False),
        okada=prediction(path), stationary=prediction(0.95),
    )  # fmt: skip
    axes = plot.predictions(some)
    drawn = [line.get_xydata() for line in axes.lines]
    np.testing.assert_allclose(drawn[0], [[1, 0.8]])
    np.testing.assert_allclose(drawn[1], np.stack([np.arange(3), path], axis=1))
    np.testing.assert_allclose(drawn[2][:, 1], 0.95)
    assert len(drawn) == 3 and axes.get_xlabel() == "step"
    assert len(plot.predictions(some, others=True).lines) == 4  # and the one that does not apply
    below = plt.subplots()[1]
    below.plot([0, 2], [0.5, 0.9], label="theory")
    below.set_xlabel("time")
    assert len(plot.predictions(some, ax=below).lines) == 4 and below.get_xlabel() == "time"


def test_overlaps_at_rest_end_at_the_critical_load():
    states = jax.vmap(lambda load: hj.theory.scsna(hj.LogCosh(4.0), load, throw=False))(jnp.array([0.05, 0.1, 0.3]))
    end = hj.theory.critical_load(hj.LogCosh(4.0))
    axes = plot.stationary(states, end)
    np.testing.assert_allclose(axes.lines[0].get_xydata()[:, 0], [0.05, 0.1], rtol=1e-6)  # none at 0.3
    np.testing.assert_allclose(axes.lines[1].get_xdata(), float(end.load))
    with pytest.raises(ValueError, match="`states`: expected states at several loads"):
        plot.stationary(end)
