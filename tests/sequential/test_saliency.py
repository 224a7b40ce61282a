"""The saliency map in closed form, against the recursion in exact arithmetic and analytic derivatives."""

import contextlib
import math
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import enable_x64
from hopfield_jax import sequential

TYPES = {"float32": contextlib.nullcontext, "float64": enable_x64}
LONGEST = 300


def recursion(gain, start, longest=LONGEST):
    """Z_n until Z_n ≤ 1, to 600 bits, and how Z_n changes if both arguments do by a factor: Σ |x ∂Z_n/∂x|."""
    gain, z = Fraction(float(gain)), Fraction(float(start))
    values, by_gain, by_start = [z], [0.0], [float(z)]
    while values[-1] > 1 and len(values) <= longest:
        z, k = values[-1], float(gain)
        values.append(Fraction(round(gain * (1 - 1 / z) * 2**600), 2**600))
        slope = k / float(z) ** 2
        by_gain.append(slope * by_gain[-1] + float(values[-1]))  # κ d/dκ of κ(1 − 1/Z)
        by_start.append(slope * by_start[-1])
    return values, np.abs(by_gain) + np.abs(by_start)


def random_arguments(num, dtype):
    """Gains of all regimes, many of them close to 4, and saliencies of all sizes."""
    rng = np.random.default_rng(0)
    near = 10 ** rng.uniform(-6, -1, num // 4)
    gains = [rng.uniform(0.5, 4, num // 4), 4 - near, rng.uniform(4, 8, num // 4), 4 + near]
    starts = np.where(rng.random(num) < 0.5, rng.uniform(0.5, 6, num), 1 + 10 ** rng.uniform(-6, 1, num))
    return np.concatenate(gains).astype(dtype), starts.astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_closed_forms_equal_the_recursion(dtype):
    gains, starts = random_arguments(160, dtype)
    n = np.arange(LONGEST + 2)
    with TYPES[dtype]():
        arguments = gains[:, None], starts[:, None], n[None, :]
        saliency, time = (np.asarray(f(*arguments)) for f in (sequential.iterate, sequential.total_time))
    assert saliency.dtype == time.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    for i, (gain, start) in enumerate(zip(gains, starts, strict=True)):
        values, sensitivity = recursion(gain, start)
        m, exact = len(values), np.array([float(z) for z in values])
        # Rounding of the two arguments, and of a handful of operations.
        np.testing.assert_array_less(np.abs(saliency[i, :m] - exact), 12 * eps * (exact + sensitivity))
        np.testing.assert_allclose(np.diff(time[i, :m]), np.log(exact[:-1]), atol=60 * eps * (1 + time[i, m - 1]))
        if exact[-1] <= 1:
            assert np.all(np.isnan(saliency[i, m:])) and np.all(np.isnan(time[i, m:]))
    assert np.all(time[:, 0] == 0)


@pytest.mark.parametrize("dtype", TYPES)
def test_counts_equal_those_of_the_recursion(dtype):
    gains, starts = random_arguments(2000, dtype)
    with TYPES[dtype]():
        counts = np.asarray(sequential.count_transitions(gains, starts))
        regimes = sequential.regime(gains, starts)
        lower = np.nan_to_num(np.asarray(sequential.fixed_points(gains).lower), nan=np.inf)
    endless = (gains > 4) & (starts >= lower)
    np.testing.assert_array_equal(counts == -1, endless)
    np.testing.assert_array_equal(regimes == sequential.Regime.periodic, endless)
    np.testing.assert_array_equal(regimes == sequential.Regime.decay, starts <= 1)
    np.testing.assert_array_equal(regimes == sequential.Regime.collapse, (starts > 1) & ~endless)
    finite = [(*x, n) for *x, n in zip(gains, starts, counts, strict=True) if -1 < n < LONGEST]
    assert len(finite) > 1000
    for gain, start, count in finite:
        assert len(recursion(gain, start)[0]) - 1 == count, (gain, start)


@pytest.mark.parametrize("dtype", TYPES)
def test_counts_at_exact_edges(dtype):
    # Z_n = 1 in exact arithmetic: from Z_0 = κ, and at κ = 4 where Z_n = 2 + 2/(n + 2/(Z_0 − 2)).
    gains = np.array([1, 2, 3, 3.5, 3.9, 3.99, 3.999, 4, 4, 4, 4, 4.5, 4.5, 4.5])
    starts = np.array([1, 2, 3, 3.5, 3.9, 3.99, 3.999, 1.5, 4 / 3, 2, 5, 1.5, 9 / 7, 1.4])
    expected = np.array([0, 1, 3, 6, 17, 60, 196, 2, 1, -1, -1, -1, 1, 2])
    with TYPES[dtype]():
        counts = sequential.count_transitions(gains, starts)
        assert counts.dtype == jnp.int32
        np.testing.assert_array_equal(counts, expected)
        points = sequential.regime(np.array([4.0, 4.0, 4.5]), np.array([2.0, 1.9, 1.5]))
        regime = sequential.Regime
        assert [bool(x) for x in points == regime.critical] == [True, False, False]
        assert [bool(x) for x in points == regime.periodic] == [False, False, True]
        # The unstable fixed point holds for ever, where its floating-point number is exact.
        np.testing.assert_allclose(sequential.iterate(4.5, 1.5, np.array([1, 10, 100, 10_000])), 1.5, rtol=1e-6)


def test_far_along_nothing_overflows():
    n = np.array([0, 10**3, 10**6, 10**9])
    saliency, time = (f(5.0, 4.0, n) for f in (sequential.iterate, sequential.total_time))
    points, interval = sequential.fixed_points(5.0), sequential.period(5.0)
    np.testing.assert_allclose(saliency[1:], points.upper, rtol=4e-7)
    # n log Z+, and the finite log[(Z_0 − Z−)/(Z+ − Z−)] of the first transitions.
    first = math.log((4 - points.lower) / (points.upper - points.lower))
    np.testing.assert_allclose(time, n * float(interval) + (n > 0) * first, rtol=1e-6)
    np.testing.assert_allclose(sequential.iterate(1e30, 2.0, n[1:]), 1e30, rtol=4e-7)


@pytest.mark.parametrize("gain, upper, interval", [(5, 3.6180340, 1.2859308), (6, 4.7320508, 1.5543587), (8, 6.8284271, 1.9210944)])  # fmt: skip  # noqa: E501
def test_fixed_points_and_periods(gain, upper, interval, x64):
    points = sequential.fixed_points(gain)
    np.testing.assert_allclose([points.upper, sequential.period(gain)], [upper, interval], atol=6e-8)
    np.testing.assert_allclose([points.upper + points.lower, points.upper * points.lower], gain, rtol=1e-15)
    for z, slope in [(points.upper, points.upper_multiplier), (points.lower, points.lower_multiplier)]:
        np.testing.assert_allclose(sequential.saliency_map(gain, z), z, rtol=1e-15)
        np.testing.assert_allclose(jax.grad(sequential.saliency_map, argnums=1)(float(gain), z), slope, rtol=1e-14)
    np.testing.assert_allclose(sequential.gain_for_period(sequential.period(gain)), gain, rtol=1e-15)


def test_fixed_points_are_accurate_in_float32():
    gains = np.geomspace(4, 1e12, 50).astype(np.float32)
    points = sequential.fixed_points(gains)
    with enable_x64():
        exact = sequential.fixed_points(gains.astype(np.float64))
    for name in ("lower", "upper", "lower_multiplier", "upper_multiplier"):
        # A few operations; Z− by subtraction would be 0 from 1e8 on.
        np.testing.assert_allclose(getattr(points, name), getattr(exact, name), rtol=5e-7, err_msg=name)
    assert all(jnp.isnan(x) for x in jax.tree_util.tree_leaves(sequential.fixed_points(3.999)))
    assert jnp.isnan(sequential.period(3.999)) and abs(sequential.period(4.0) - math.log(2)) < 1e-7


def test_slopes_of_times_are_analytic(x64):
    gains = jnp.array([4.0001, 4.5, 8.0])
    slopes = jax.vmap(jax.grad(sequential.period))(gains)
    z = sequential.fixed_points(gains).upper
    np.testing.assert_allclose(slopes, (z - 1) / (gains * (z - 2)), rtol=1e-10)  # κ − 4 has lost four digits
    intervals = jnp.array([math.log(2), 1.0, 3.0])
    z = jnp.exp(intervals)
    expected = z**2 * (z - 2) / (z - 1) ** 2
    np.testing.assert_allclose(jax.vmap(jax.grad(sequential.gain_for_period))(intervals), expected, atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(sequential.escape_time))(jnp.array([0.5, 2.0])), [0, 0.5])


@pytest.mark.parametrize("dtype", TYPES)
def test_slopes_of_iterates_are_those_of_the_recursion_also_at_the_critical_gain(dtype):
    offsets = [0, *(s * 10.0**e for s in (-1, 1) for e in (-6, -4, -3, -2, -1)), 2]
    gains, start, n = np.array([4 + x for x in offsets], dtype), 3.0, 12
    with TYPES[dtype]():

        def both(k, z):
            return jnp.stack([sequential.iterate(k, z, n), sequential.total_time(k, z, n)])

        forward = jax.jit(jax.vmap(jax.jacfwd(both, argnums=(0, 1)), in_axes=(0, None)))
        backward = jax.jit(jax.vmap(jax.jacrev(both, argnums=(0, 1)), in_axes=(0, None)))
        slopes = [
            np.asarray(f(jnp.asarray(gains), jnp.asarray(start, dtype))).astype(float) for f in (forward, backward)
        ]
    # Roundings of terms of the size of n² = 144, which cancel in slopes by Z_0 far from κ = 4.
    close = dict(rtol=150 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).eps)
    for i, gain in enumerate(gains.astype(float)):
        z, slope, time = start, np.array([0.0, 1.0]), np.zeros(2)
        for _ in range(n):
            time = time + slope / z
            z, slope = gain * (1 - 1 / z), gain / z**2 * slope + np.array([1 - 1 / z, 0])
        for found in slopes:
            np.testing.assert_allclose(found[:, i, 0], slope, **close)
            np.testing.assert_allclose(found[:, i, 1], time, **close)


def test_no_nan_leaks_into_slopes():
    gains, starts = jnp.array([3.0, 4.0, 4.5, 5.0, 3.0]), jnp.array([2.0, 2.0, 1.2, 0.0, 1.0])

    def total(k, z):
        values = sequential.iterate(k, z, 7), sequential.total_time(k, z, 7), sequential.saliency_map(k, z)
        return sum(jnp.nansum(x) for x in values) + jnp.nansum(sequential.escape_time(z))

    for slope in jax.jit(jax.grad(total, argnums=(0, 1)))(gains, starts):
        assert jnp.all(jnp.isfinite(slope))
    assert jax.grad(sequential.period)(3.0) == 0  # its value is NaN
    assert jax.grad(sequential.period)(4.0) == jax.jvp(sequential.period, (4.0,), (1.0,))[1] == jnp.inf


def test_saliencies_not_above_one_hand_over_nothing():
    np.testing.assert_array_equal(sequential.saliency_map(5.0, np.array([-1.0, 0.0, 1.0, 2.0])), [0, 0, 0, 2.5])
    np.testing.assert_array_equal(sequential.escape_time(np.array([-1.0, 0.0, 1.0])), 0)


@pytest.mark.parametrize("num_patterns, gain", [(2, 2), (3, 3), (4, 3.61072), (5, 3.83443), (8, 3.98327), (16, 3.99994), (None, 4)])  # fmt: skip  # noqa: E501
def test_critical_gains_of_cycles(num_patterns, gain):
    found = sequential.critical_gain(num_patterns)
    np.testing.assert_allclose(found, gain, atol=8e-6)
    if num_patterns is not None:
        z = np.linspace(1.001, 6, 500_000)
        brute = np.min((z**2 - z ** (2.0 - num_patterns)) / (z - 1))
        # Float32; P = 2 is linear at its end, 0.001 away.
        np.testing.assert_allclose(found, brute, rtol=6e-7, atol=0.0011 * (num_patterns == 2))


def test_delays_move_the_critical_gain(x64):
    cases = [(None, d, 4 * math.exp(-d)) for d in (-0.5, 0.3, 0.69)]
    cases += [(None, 1.0, 1 / (1 - math.exp(-1.0)))]  # no fold above Z = 1
    cases += [
        (p, d, math.exp(-d) * float(sequential.critical_gain(p))) for p in (2, 4, 8) for d in (-0.4, 0.2)[: p - 1]
    ]
    for num_patterns, delay, expected in cases:
        slope = jax.jit(jax.value_and_grad(lambda d, p=num_patterns: sequential.critical_gain(p, d)))
        if (num_patterns, delay) == (2, 0.2):  # the end Z = 1: 1 + e^{−d}
            expected, derivative = 1 + math.exp(-delay), -math.exp(-delay)
        else:
            derivative = -expected if delay < 0.7 else -math.exp(-1.0) / (1 - math.exp(-1.0)) ** 2
        found, found_slope = slope(delay)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        np.testing.assert_allclose(found_slope, derivative, rtol=1e-7)  # as exact as the place of the minimum
        if delay == 0.3:  # κ_c = 4e^{−d}, of which the place of the minimum is a part
            curvature = jax.grad(jax.grad(lambda d, p=num_patterns: sequential.critical_gain(p, d)))(delay)
            np.testing.assert_allclose(curvature, expected, rtol=1e-6)
    # And of a cycle of eight against differences, which miss a sixth of step².
    step, delay = 1e-4, jnp.array([0.1, 0.2])
    value = jax.jit(jax.vmap(lambda d: sequential.critical_gain(8, d)))
    slope = jax.vmap(jax.grad(lambda d: sequential.critical_gain(8, d)))(delay)
    np.testing.assert_allclose(slope, (value(delay + step) - value(delay - step)) / (2 * step), rtol=1e-7)


def test_delays_that_depend_on_the_successor(x64):
    # Input coupling ε makes memories leave early, d = −log(1 + ε(Z − 1)): κ = Z²/((1 − ε)(Z − 1)), least at Z = 2.
    def critical(coupling):
        return sequential.critical_gain(delay=lambda z: -jnp.log1p(coupling * (z - 1)))

    for derivative in (jax.jit(jax.grad(critical)), jax.jit(jax.jacfwd(critical))):
        np.testing.assert_allclose(derivative(0.1), 4 / 0.9**2, rtol=1e-7)
    np.testing.assert_allclose(critical(0.1), 4 / 0.9, rtol=1e-14)
    # A slow nucleation, d = c/(Z − 1), infinite at Z = 1, against a scan.
    z = np.linspace(1.5, 4, 200_001)
    x = np.exp(-0.01 / (z - 1)) / z
    gains = z * (1 - x**6) / (1 - x)
    found = sequential.critical_gain(6, lambda z: 0.01 / (z - 1))
    assert 0 < np.argmin(gains) < z.size - 1  # a fold; the gains of ever longer dwells near Z = 1 are smaller
    np.testing.assert_allclose(found, np.min(gains), rtol=1e-9)


def test_batches_and_jit_agree_with_single_calls():
    gains, starts = jnp.array([3.5, 4.0, 5.0]), jnp.array([2.0, 3.0, 1.5])

    @jax.jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def all_of_them(k, z):
        values = sequential.iterate(k, z, 2), sequential.total_time(k, z, 2), sequential.count_transitions(k, z)
        return values, sequential.regime(k, z), sequential.fixed_points(k), sequential.critical_gain(4, z)

    batch = jax.vmap(all_of_them)(gains, starts)
    single = [all_of_them(k, z) for k, z in zip(gains, starts, strict=True)]
    stacked = jax.tree_util.tree_map(lambda *x: jnp.stack(x), *single)
    for a, b in zip(*map(jax.tree_util.tree_leaves, (batch, stacked)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # the same formulas, compiled for other shapes


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: sequential.saliency_map(0.0, 2.0), "gain"),
        (lambda: sequential.saliency_map(5.0, float("nan")), "saliency"),
        (lambda: sequential.fixed_points(-1.0), "gain"),
        (lambda: sequential.iterate(5.0, 2.0, -1), "num_transitions"),
        (lambda: sequential.total_time(float("inf"), 2.0, 1), "gain"),
        (lambda: sequential.count_transitions(np.array([4.0, -4.0]), 2.0), "gain"),
        (lambda: sequential.regime(4.0, float("inf")), "saliency"),
        (lambda: sequential.escape_time(float("nan")), "saliency"),
        (lambda: sequential.gain_for_period(0.69), "period"),
        (lambda: sequential.critical_gain(1), "num_patterns"),
        (lambda: sequential.critical_gain(4, float("nan")), "delay"),
        (lambda: sequential.cycle(1), "num_patterns"),
        (lambda: sequential.chain(0), "num_patterns"),
        (lambda: sequential.transition_matrix(3, [(0, 3)]), "edges"),
        (lambda: sequential.transition_matrix(3, [(0, 1), (0, 1, 2.0)]), "edges"),
        (lambda: sequential.transition_matrix(3, [(0, 1, -1.0)]), "edges"),
        (lambda: sequential.transition_matrix(3, [(0,)]), "edges"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        call()


def test_traced_numbers_outside_their_domain_give_nan():
    @jax.jit
    def numbers(k, z, n, t):
        values = sequential.saliency_map(k, z), sequential.iterate(k, z, n), sequential.total_time(k, z, n)
        other = sequential.gain_for_period(t), sequential.critical_gain(4, t)
        return jnp.stack(values), jnp.stack(other), sequential.count_transitions(k, z), sequential.regime(k, z)

    for k, z, n in [(-1.0, 2.0, 1), (jnp.nan, 2.0, 1), (jnp.inf, 2.0, 1), (5.0, jnp.nan, 1), (5.0, jnp.inf, 1)]:
        values, _, count, regime = numbers(k, z, n, 1.0)
        assert jnp.all(jnp.isnan(values)) and count == -2 and regime == sequential.Regime.invalid
    assert [bool(x) for x in jnp.isnan(numbers(5.0, 2.0, -1, 1.0)[0])] == [False, True, True]
    values, other, _, _ = numbers(5.0, 2.0, 1, jnp.nan)
    assert jnp.all(jnp.isfinite(values)) and jnp.all(jnp.isnan(other))
    assert jnp.isnan(numbers(5.0, 2.0, 1, 0.69)[1][0]) and jnp.all(jnp.isfinite(numbers(5.0, 2.0, 1, 0.7)[1]))


def test_transitions_lead_from_columns_to_rows():
    np.testing.assert_array_equal(sequential.cycle(3), [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(sequential.chain(3), [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    branches = sequential.transition_matrix(3, [(0, 1), (0, 2, 0.5), (2, 2, 0.25)])
    np.testing.assert_array_equal(branches, [[0, 0, 0], [1, 0, 0], [0.5, 0, 0.25]])
    slope = jax.jacfwd(lambda w: sequential.transition_matrix(2, [(0, 1, w)]))(0.5)
    np.testing.assert_array_equal(slope, [[0, 0], [1, 0]])


def test_every_outcome_explains_itself():
    for kind in (sequential.Regime, sequential.Ending):
        messages = [kind[item] for item in kind._name_to_item.values()]  # pyright: ignore[reportAttributeAccessIssue]
        assert len(set(messages)) == len(kind) and all(len(x) > 40 and x.endswith(".") for x in messages)
