"""Axes of a sweep, and the division of its grid into blocks."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopfield_jax as hj
from hopfield_jax.sweep import Grid
from hopfield_jax.sweep._grid import order_of, tile


def test_kinds_of_axes():
    units = {"tanh": hj.LogCosh(), "clip": hj.HardTanh()}
    grid = Grid(load=np.linspace(0.02, 0.2, 4), count=[1, 4, 9], flag=[False, True], units=units, replicate=3)
    load, count, flag, unit, replicate = grid.axes
    assert len(np.unique(Grid(x=[-1.0, -0.0]).axes[0].tags)) == 2
    assert Grid(x=[0.0]).axes[0].tags == Grid(x=[-0.0]).axes[0].tags
    assert grid.shape == (4, 3, 2, 2, 3) and grid.size == 144 and grid.random_axes == ("replicate",)
    assert load.values.dtype == np.float32 and load.labels.dtype == np.float64 and load.labels[-1] == 0.2
    assert count.values.dtype == np.int32 and not count.is_choice
    assert flag.is_choice and flag.values == (False, True) and flag.labels.tolist() == ["False", "True"]
    assert unit.values == tuple(units.values()) and unit.labels.tolist() == ["tanh", "clip"]
    assert replicate.values.tolist() == [0, 1, 2]
    assert "144 points" in repr(grid) and "load, values 0.0" in repr(grid)
    assert Grid(units=[hj.LogCosh(), hj.HardTanh()]).axes[0].labels.tolist() == ["LogCosh", "HardTanh"]
    assert Grid(x=range(3)).axes[0].values.tolist() == [0, 1, 2] and not Grid(x=range(3)).random_axes


def test_values_keep_their_random_numbers_whatever_stands_beside_them():
    coarse, fine = (Grid(x=np.linspace(0, 1, n), c=c, r=n) for n, c in ((3, ["a", "b"]), (5, ["b", "c", "a"])))
    tags = [
        [dict(zip(axis.labels.tolist(), axis.tags.tolist(), strict=True)) for axis in g.axes] for g in (coarse, fine)
    ]
    for few, many in zip(*tags, strict=True):
        assert all(many[label] == tag for label, tag in few.items())
        assert len(set(many.values())) == len(many)


NOT_AXES: list[tuple[str, Any, str]] = [
    ("load", [], "at least one value"),
    ("load", np.zeros(0), "at least one value"),
    ("load", [0.1, 0.1], "strictly increasing"),
    ("load", [0.2, 0.1], "0.2 followed by 0.1"),
    ("load", [0.1, 0.1 + 1e-12], "as float32"),
    ("load", [0.1, math.nan], "finite numbers"),
    ("load", jnp.array([0.1, jnp.inf]), "finite numbers"),
    ("load", np.ones((2, 2)), r"shape \(points,\)"),
    ("load", 0.3, r"shape \(points,\)"),
    ("load", np.array([1j]), "complex"),
    ("load", True, "number of replicates"),
    ("draw", 0, "at least 1"),
    ("draw", -2, "at least 1"),
    ("units", {}, "at least one value"),
    ("units", [hj.LogCosh(1.0), hj.LogCosh(2.0)], "different names"),
    ("units", ["a", "a"], "different names"),
    ("n", np.array([5, 3, 5], np.uint8), "strictly increasing"),
    ("n", np.array([2**32 + 1, 2**32 + 2]), "whole numbers that int32 holds"),
    ("n", np.array([1, 2**63], np.uint64), "whole numbers that uint32 holds"),
    ("flag", np.array([True, False]), "for other choices a list"),
]


@pytest.mark.parametrize("name, values, message", NOT_AXES)
def test_a_wrong_axis_is_named(name, values, message):
    with pytest.raises(ValueError, match=f"`{name}`.*{message}"):
        Grid(**{name: values})


@pytest.mark.parametrize("name", ["key", "point_status", "finished_blocks", "a/b", "", ".."])
def test_names_are_identifiers(name):
    with pytest.raises(ValueError, match="`axes`: expected names that are identifiers"):
        Grid(**{name: [1.0]})


def test_a_grid_has_axes():
    with pytest.raises(ValueError, match="`axes`: expected at least one axis"):
        Grid()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 60), st.data())
def test_blocks_cover_every_point_once(shape, largest, data):
    axes: dict[str, Any] = {f"a{i}": np.arange(n) for i, n in enumerate(shape)}
    if data.draw(st.booleans()):
        axes["choice"] = ["x", "y"]
    grid = Grid(**axes)
    tiling = tile(grid, largest, None)
    together = math.prod(shape)
    assert min(largest, together) / 2 < tiling.block_size <= largest and ("choice" not in axes or tiling.block[-1] == 1)
    count = np.zeros(grid.shape, int)
    flat = np.arange(grid.size).reshape(grid.shape)
    for block in tiling.blocks():
        count[tiling.slices(block)] += 1
        at = flat[tiling.indices(block)]  # padding repeats points of the block
        assert at.shape == (tiling.block_size,)
        np.testing.assert_array_equal(tiling.inside(block, at), flat[tiling.slices(block)])
    assert np.all(count == 1)


@pytest.mark.parametrize(
    "shape, largest, size",
    [((250, 100, 4), 500, 500), ((250, 100, 4), 512, 500), ((7, 9, 11), 99, 99), ((3, 5), 99, 15), ((1009,), 101, 101)],
)
def test_blocks_are_full_where_the_numbers_allow_it(shape, largest, size):
    tiling = tile(Grid(**{f"a{i}": np.arange(n) for i, n in enumerate(shape)}), largest, None)
    assert tiling.block_size == size
    assert math.prod(tiling.numbers) == -(-math.prod(shape) // size)  # halving alone gives 256 of the first's 200


def test_points_of_like_cost_share_a_block():
    grid = Grid(slow=np.linspace(1, 100, 32), other=np.linspace(0, 1, 32))
    cost = lambda slow, other: slow**2  # noqa: E731
    assert tile(grid, 32, cost).block == (1, 32)
    assert tile(grid, 32, lambda slow, other: 1 + other).block == (32, 1)
    narrow, wide = tile(grid, 32, lambda slow, other: slow * (1 + other)).block  # the steeper axis is cut the more
    assert narrow < wide
    blocks = order_of(grid, tile(grid, 32, cost), cost)
    assert [b[0] for b in blocks] == list(range(31, -1, -1))  # the longest first
    for wrong in (lambda slow, other: -slow, lambda slow: slow, lambda slow, other: np.ones(7)):
        with pytest.raises(ValueError, match="`cost`"):
            tile(grid, 32, wrong)


def test_a_cost_may_depend_on_choices():
    grid = Grid(size=np.arange(1, 9), rule={"quick": 1.0, "slow": 50.0})
    cost = np.vectorize(lambda size, rule: size * rule)
    assert order_of(grid, tile(grid, 4, cost), cost)[0] == (1, 1)
