"""Figures of transitions: what is drawn is what was given."""

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import plot
from plot.drawn import legend


@pytest.fixture(scope="module")
def found() -> hj.classical.results.RetrievalTransition:
    def run(value, num_neurons, key):
        return jnp.where(jr.uniform(key) < jax.nn.sigmoid((value - 0.4) / 0.1), 1.0, 0.0)

    return hj.classical.basin(run, jnp.linspace(0, 0.9, 10), (25, 100), num_trials=40, key=jr.key(0))


def test_transition_draws_fractions_fits_and_limit(found):
    axes = plot.transition(found)
    for n, (points, *_) in enumerate(axes.containers):
        np.testing.assert_allclose(points.get_xydata(), np.stack([found.values[n], found.fraction[n]], 1), rtol=1e-6)
    curves = [line for line in axes.lines if len(line.get_xdata()) == 200]
    for curve, half, width in zip(curves, found.half, found.width, strict=True):
        x, y = np.asarray(curve.get_xydata()).T
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-(x - float(half)) / float(width))), atol=1e-6)
    labels = legend(axes)
    limit, error = next(label for label in labels if "→" in label).removeprefix("N → ∞: ").split(" ± ")
    assert abs(float(error) / found.fit.limit_error - 1) < 0.06  # two digits of the error, and the value as far
    assert abs(float(limit) - found.fit.limit) < 0.06 * float(error) and axes.get_xlabel() == "cue overlap $m_0$"


def test_finite_size_draws_the_line_to_the_limit(found):
    _, given = plt.subplots()
    axes = plot.finite_size(found, ax=given, index=1, label="made up")
    assert axes is given
    line = next(line for line in axes.lines if line.get_linestyle() == "-")
    x, y = np.asarray(line.get_xydata()).T
    np.testing.assert_allclose(x, [0, 0.2])
    np.testing.assert_allclose(y, found.fit.limit + found.fit.slope * x, rtol=1e-5)
    points = axes.containers[0][0]
    np.testing.assert_allclose(points.get_xydata(), np.stack([[0.2, 0.1], found.half], axis=1), rtol=1e-6)
