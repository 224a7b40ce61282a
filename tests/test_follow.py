"""Branches and folds against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64

ONE = np.ones(1)


def saliency(fixed):
    """Z = κ(1 − a/Z), the saliency map at rest for a = 1; its fold is κ = 4a, Z = 2a."""
    return lambda z, gain: z**2 - gain * (z - fixed)


def test_an_ellipse_is_followed_around_its_folds(x64):
    branch = hj.follow(lambda x, p: x**2 + p**2 / 4 - 1, ONE, 0.0, num_steps=60)
    p, x = np.asarray(branch.parameter), np.asarray(branch.state[:, 0])
    count = int(branch.count)
    np.testing.assert_allclose((x**2 + p**2 / 4)[:count], 1, atol=1e-14)
    np.testing.assert_allclose(branch.folds.parameter[:2], [2, -2], rtol=1e-14)
    # p = 2 cos θ, and ds = dθ at the folds.
    np.testing.assert_allclose(branch.folds.curvature[:2], [-2, 2], rtol=1e-12)
    np.testing.assert_allclose(branch.folds.state[:2, 0], 0, atol=1e-14)
    # Polygons of tangents and the arc differ by third powers of the steps.
    chords = np.hypot(np.diff(p), np.diff(x))[: count - 1].sum()
    np.testing.assert_allclose(branch.arclength[count - 1], chords, rtol=2e-2)
    assert not branch.at_bound and "2 folds" in str(branch)


def test_a_branch_ends_on_its_bound_and_turns_where_its_direction_does(x64):
    branch = hj.follow(saliency(1.0), 3 * ONE, 4.5, lower=3.0, upper=6.0, forward=False, min_folds=1)
    last = int(branch.count) - 1
    assert branch.at_bound and branch.num_folds == 1 and branch.parameter[last] == 6
    np.testing.assert_allclose(branch.state[last, 0], 3 - 3**0.5, rtol=1e-12)  # the lower root of Z² − 6Z + 6
    np.testing.assert_allclose([branch.folds.parameter[0], branch.folds.state[0, 0]], [4, 2], rtol=1e-12)
    falls = branch.direction[: last + 1] < 0
    assert falls[0] and not falls[-1] and np.sum(np.diff(falls.astype(int)) != 0) == 1
    assert np.all(np.isnan(branch.parameter[last + 1 :])) and np.all(np.isfinite(branch.parameter[: last + 1]))


def test_folds_of_a_cusp_normal_form_map_and_differentiate(x64):
    # p = −bx + x³ turns at x = ∓√(b/3), p = ±2(b/3)^{3/2}.
    @jax.jit
    @jax.vmap
    def folds(b):
        def fold(b):
            start = -2.0 * jnp.ones(1)
            branch = hj.follow(lambda x, p: x**3 - b * x - p, start, -8.0 + 2 * b, upper=9.0, num_steps=96, throw=False)
            return branch.folds.parameter[0]

        return fold(b), jax.grad(fold)(b), jax.jacfwd(jax.grad(fold))(b)

    b = jnp.array([0.5, 1.0, 2.0])
    value, slope, second = folds(b)
    np.testing.assert_allclose(value, 2 * (b / 3) ** 1.5, rtol=1e-12)
    np.testing.assert_allclose(slope, (b / 3) ** 0.5, rtol=1e-12)
    np.testing.assert_allclose(second, 0.5 / (3 * b) ** 0.5, rtol=1e-11)


def test_bratu_in_several_dimensions(x64):
    # u'' + p eᵘ = 0, u(0) = u(1) = 0, turns at p = 3.513830719 (8 max_θ (θ/cosh θ)²); Numerov's formula on a grid of
    # 1/16 is wrong by a multiple of its fourth power.
    n, h = 15, 1 / 16
    second = np.diag(-2 * np.ones(n)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    mass = np.eye(n) + second / 12
    edge = np.zeros(n)
    edge[[0, -1]] = 1 / 12  # e⁰ outside
    second, mass, edge = map(jnp.asarray, (second / h**2, mass, edge))
    branch = hj.follow(
        lambda u, p: second @ u + p * (mass @ jnp.exp(u) + edge), jnp.zeros(n), 0.0, lower=0.0, step=0.2, num_steps=40
    )
    np.testing.assert_allclose(branch.folds.parameter[0], 3.513830719, rtol=3e-5)
    np.testing.assert_allclose(branch.folds.state[0, n // 2], 1.1868, atol=1e-3)


def test_gradient_of_the_saliency_fold_in_single_precision():
    def fold(a):
        options = {"lower": 3.0, "upper": 6.0, "forward": False, "num_steps": 48}
        return hj.follow(saliency(a), 3 * ONE, 5.0, **options).folds.parameter[0]

    value, slope = jax.value_and_grad(fold)(1.0)
    np.testing.assert_allclose([value, slope], [4, 4], rtol=1e-5)  # a few roundings


def test_what_is_lost_and_what_is_missing_is_said():
    with enable_x64():
        lost = hj.follow(lambda x, p: jnp.sqrt(x) - 1 + p, ONE, 0.0, num_steps=100, throw=False)
        assert lost.result == hj.RESULTS.lost_branch
        np.testing.assert_allclose(lost.parameter[lost.count - 1], 1, atol=1e-5)  # where the branch ends
        nowhere = hj.follow(lambda x, p: x**2 + p**2 + 1, ONE, 0.0, num_steps=4, throw=False)
        assert nowhere.result == hj.RESULTS.lost_branch and nowhere.count == 0
        assert np.all(np.isnan(nowhere.parameter)) and np.all(np.isnan(nowhere.folds.parameter))
        straight = hj.follow(lambda x, p: x - p, 0 * ONE, 0.0, upper=1.0, min_folds=1, throw=False)
        assert straight.result == hj.RESULTS.no_fold and straight.at_bound
    with pytest.raises(eqx.EquinoxRuntimeError, match="fewer folds"):
        hj.follow(lambda x, p: x - p, 0 * ONE, 0.0, upper=1.0, min_folds=1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"state": jnp.ones(1) * jnp.inf}, "`state`: expected finite"),
        ({"parameter": 2.0}, "`parameter`: expected a number between the bounds -inf and 1"),
        ({"step": 0.0}, "`step`: expected finite and positive"),
        ({"num_steps": 0}, "`num_steps`"),
        ({"function": lambda x, p: p}, "`function`: expected an array of the shape"),
    ],
)
def test_arguments_are_checked(change, message):
    arguments = {"function": lambda x, p: x - p, "state": jnp.ones(1), "parameter": 1.0, "upper": 1.0} | change
    with pytest.raises(ValueError, match=message):
        hj.follow(**arguments)


def test_traced_arguments_outside_their_domain_end_in_a_code():
    run = lambda p, step: hj.follow(lambda x, q: x**2 + q - 1, ONE, p, lower=-2.0, step=step, num_steps=8, throw=False)  # noqa: E731
    for p, step in ((0.0, -0.1), (np.nan, 0.1), (-3.0, 0.1)):
        branch = jax.jit(run)(p, step)
        assert branch.result == hj.RESULTS.invalid_parameter and branch.count == 0
        assert np.all(np.isnan(branch.parameter))
