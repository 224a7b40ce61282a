"""Figures of exponents and multipliers: what is drawn is what was given."""

from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import plot
from plot.drawn import legend, on_axes_given_or_new

OKAY = cast(Any, hj.RESULTS.successful)


def found(dimension=1.5):
    values = jnp.array([0.5, -1.0, -2.0])
    return hj.results.LyapunovExponents(
        values, 0.1 * jnp.ones(3), values[None], jnp.array(dimension), jnp.ones(3), jnp.array(9), OKAY
    )


def test_exponents_with_errors_and_dimension(tmp_path):
    axes = on_axes_given_or_new(lambda ax: plot.exponents(found(), ax=ax), tmp_path)
    points = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_xydata(), [[1, 0.5], [2, -1], [3, -2]])
    assert legend(axes) == ["dimension 1.5"]
    assert plot.exponents(found(jnp.nan)).get_legend() is None


def test_multipliers_and_the_unit_circle(tmp_path):
    numbers = jnp.array([1.5 + 0j, 1 + 0j, 0.1 + 0.2j])
    scalar = jnp.array(1.0)
    made = lambda numbers: hj.results.PeriodicOrbit(scalar, scalar, numbers, scalar, scalar > 0, scalar, scalar, OKAY)  # noqa: E731
    orbit = made(numbers)
    axes = on_axes_given_or_new(lambda ax: plot.multipliers(orbit, ax=ax), tmp_path)
    circle, inside, outside = (line.get_xydata() for line in axes.lines)
    np.testing.assert_allclose(np.hypot(*circle.T), 1)
    np.testing.assert_allclose(inside, [[1, 0], [0.1, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(outside, [[1.5, 0]])
    with pytest.raises(ValueError, match="one orbit"):
        plot.multipliers(
            hj.results.PeriodicOrbit(scalar, scalar, numbers[None], scalar, scalar > 0, scalar, scalar, OKAY)
        )
