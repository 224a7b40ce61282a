"""Further theories of retrieval: Okada's hierarchy, sequences, dilution, palimpsests, the covariance rule. Each is
tested against an independent solution of its equations."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import theory

CYCLE, DILUTED = theory.Sequence(), theory.Diluted()
Z = np.linspace(-9, 9, 3001)
WEIGHT = np.exp(-Z * Z / 2) / np.sqrt(2 * np.pi) * (Z[1] - Z[0])  # the trapezoid rule, exact for smooth functions


def differences(function, point, step=1e-5):
    """Central differences, all points in one batch; they miss step² times a sixth of a third derivative."""
    point = jnp.asarray(point)
    moves = step * jnp.eye(point.size)
    sides = jax.jit(jax.vmap(function))(jnp.concatenate([point[None] + moves, point[None] - moves]))
    return (sides[: point.size] - sides[point.size :]) / (2 * step)


# --- Okada's hierarchy ---


def hierarchy(load, cue, num_steps, order):
    """The definition, with whole matrices R and C and SciPy's bivariate normal distribution."""
    m, h = [cue], [0.0]
    response, correlation = np.zeros((2, num_steps + 1, num_steps + 1))
    for t in range(num_steps + 1):
        response[t, t], response[t, :t] = 1, h[t] * response[t - 1, :t]
        sigma = load * response @ correlation @ response.T
        for s in range(t + 1):
            if t - s in (0, order) or s == 0:
                value = 1.0 if s == t else m[t] * m[s] * (t - s <= order)
            elif t - s > order:
                value = 0.0
            else:
                a, b = (m[k] / math.sqrt(sigma[k, k]) for k in (t - 1, s - 1))
                rho = sigma[t - 1, s - 1] / math.sqrt(sigma[t - 1, t - 1] * sigma[s - 1, s - 1])
                normal = stats.multivariate_normal(cov=[[1, rho], [rho, 1]])  # pyright: ignore[reportArgumentType]
                both = normal.cdf([a, b])
                value = 4 * both - 2 * stats.norm.cdf(a) - 2 * stats.norm.cdf(b) + 1
            correlation[t, s] = correlation[s, t] = value
        variance = load * (response @ correlation @ response.T)[t, t]
        m.append(math.erf(m[t] / math.sqrt(2 * variance)))
        h.append(math.sqrt(2 / (math.pi * variance)) * math.exp(-(m[t] ** 2) / (2 * variance)))
    return m[: num_steps + 1]


@pytest.mark.parametrize("order", [1, 2, 4])
def test_hierarchy_is_what_its_definition_says(order, x64):
    dynamics = theory.okada_hierarchy(0.12, 0.4, num_steps=7, order=order)
    np.testing.assert_allclose(dynamics.overlap, hierarchy(0.12, 0.4, 7, order), atol=1e-12)
    assert "7 steps: overlap 0.4 →" in str(dynamics)


@pytest.mark.parametrize("order, capacity", [(2, 0.1408906), (4, 0.1382967)])
def test_hierarchy_at_rest(order, capacity, x64):
    # Capacities from the stationary equations; a per mille beyond, the map passes where states merged in 100 steps.
    end = jax.jit(jax.vmap(lambda a: theory.okada_hierarchy(a, 1.0, num_steps=1000, order=order).overlap[-1]))
    below, above, low = end(jnp.array([0.999 * capacity, 1.001 * capacity, 0.05]))
    assert below > 0.95 and above < 0.5
    # At small load, outputs at rest hardly change: the few errors, 4e-6, are those of Amit, Gutfreund and Sompolinsky,
    # to a hundredth that changing outputs and truncation add.
    np.testing.assert_allclose(1 - low, 1 - 0.99999223, rtol=1e-2)


@pytest.mark.slow
def test_hierarchy_beside_the_exact_theory():
    # The table of the docstring; four digits, and errors of the sample paths of about 1e-4.
    model = hj.dmft.PlasticNetwork(0.12, units=hj.Sign())
    exact = hj.dmft.solve(model, hj.dmft.SpinCue(0.4), num_steps=5, num_samples=32768, key=jax.random.key(0)).overlap
    np.testing.assert_allclose(exact[..., jnp.array([2, 3, 5])], [0.8040, 0.8171, 0.8112], atol=5e-4)
    for order, added in [(1, [-0.0225, -0.0012, 0.0825]), (4, [-0.0225, -0.0533, -0.1561])]:
        overlap = theory.okada_hierarchy(0.12, 0.4, num_steps=5, order=order).overlap
        np.testing.assert_allclose((overlap - exact)[..., jnp.array([2, 3, 5])], added, atol=5e-4)


def test_hierarchy_transforms():
    number = lambda p: theory.okada_hierarchy(p[0], p[1], num_steps=4, throw=False).overlap  # noqa: E731
    with enable_x64():
        point = [0.12, 0.45]
        slopes = jax.jit(jax.jacrev(number))(jnp.array(point))
        np.testing.assert_allclose(slopes, differences(number, point).T, rtol=1e-6, atol=1e-7)
        exact = number(jnp.array(point))
    overlaps = jax.jit(jax.vmap(number))(jnp.array([[0.12, 0.45], [-0.1, 0.45], [0.12, 1.5]]))
    assert overlaps.dtype == jnp.float32 and np.all(np.isnan(overlaps[1:]))
    np.testing.assert_allclose(overlaps[0], exact, atol=1e-5)  # rounding, which grows along the line


# --- sequences and dilution ---


@pytest.mark.parametrize("storage", [CYCLE, DILUTED])
def test_dynamics_of_sign_units_in_closed_form(storage, x64):
    m, variance = [0.6], 0.25
    for _ in range(5):
        slope = math.sqrt(2 / (math.pi * variance)) * math.exp(-(m[-1] ** 2) / (2 * variance))
        m.append(math.erf(m[-1] / math.sqrt(2 * variance)))
        variance = 0.25 + slope**2 * variance * (storage is CYCLE)
    dynamics = theory.overlap_dynamics(hj.Sign(), 0.25, 0.6, storage=storage, num_steps=5)
    np.testing.assert_allclose(dynamics.overlap, m, rtol=1e-12)
    np.testing.assert_allclose(dynamics.noise_variance[-1], variance, rtol=1e-12)


@pytest.mark.parametrize("storage, thermal", [(CYCLE, True), (CYCLE, False), (DILUTED, False)])
def test_stationary_states_solve_their_equations_and_end_the_dynamics(storage, thermal, x64):
    units, load, coupling = (hj.Glauber(3.0) if thermal else hj.LogCosh(3.0)), 0.15, 1.1
    state = theory.scsna(units, load, storage=storage, coupling=coupling)
    # The cue's memory fades by a factor below 0.7 a step.
    dynamics = theory.overlap_dynamics(units, load, 0.5, storage=storage, num_steps=100, coupling=coupling)
    m, r = float(state.overlap), float(state.noise)
    output = np.tanh(3 * coupling * (m + math.sqrt(load * r) * Z))
    q = 1.0 if thermal else WEIGHT @ output**2
    slope = coupling * WEIGHT @ (3 * (1 - output**2))
    np.testing.assert_allclose(WEIGHT @ output, m, rtol=1e-12)
    np.testing.assert_allclose(r, q / (1 - slope**2) if storage is CYCLE else q, rtol=1e-10)
    np.testing.assert_allclose(dynamics.overlap[-1], m, rtol=1e-9)
    np.testing.assert_allclose(dynamics.noise_variance[-1], coupling**2 * load * r, rtol=1e-9)
    assert state.retrieved and state.feedback == 0 and not state.multivalued


@pytest.mark.slow
@pytest.mark.parametrize("storage", [CYCLE, DILUTED])
def test_slopes_of_dynamics_and_states(storage, x64):
    def number(p):
        dynamics = theory.overlap_dynamics(hj.LogCosh(p[0]), p[1], p[2], storage=storage, num_steps=3, throw=False)
        state = theory.scsna(hj.LogCosh(p[0]), p[1], storage=storage, throw=False)
        return jnp.append(dynamics.overlap, state.overlap)

    point = [3.0, 0.15, 0.4]
    slopes = jax.jit(jax.jacrev(number))(jnp.array(point))
    np.testing.assert_allclose(slopes, differences(number, point).T, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_critical_loads_of_sequences_at_temperature(x64):
    def load(temperature):
        return theory.critical_load(hj.Glauber(1 / temperature), storage=CYCLE, throw=False).load

    at, step = jnp.array([0.02, 0.2, 0.5, 0.9]), 1e-4
    points = jnp.concatenate([at, at - step, at + step])
    values, slopes = map(np.asarray, jax.jit(jax.vmap(lambda t: jax.jvp(load, (t,), (jnp.ones_like(t),))))(points))
    np.testing.assert_allclose(slopes[:4], (values[8:] - values[4:8]) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(values[:4], [0.2688170, 0.2454437, 0.1443288, 0.0089789], atol=6e-8)
    ends = [theory.scsna(hj.Glauber(2.0), float(values[2]) * (1 + s), storage=CYCLE) for s in (-1e-4, 1e-4)]
    assert ends[0].retrieved and not ends[1].retrieved


def test_dilution_ends_where_small_overlaps_neither_grow_nor_fall(x64):
    state = theory.critical_load(hj.Glauber(2.0), storage=DILUTED)
    slope = lambda load: WEIGHT @ (2 / np.cosh(2 * np.sqrt(load) * Z) ** 2) - 1  # noqa: E731
    np.testing.assert_allclose(state.load, optimize.root_scalar(slope, bracket=(0.1, 1), xtol=1e-14).root, rtol=1e-10)
    assert abs(state.overlap) < 1e-12 and not state.retrieved and state.curvature is None
    decaying = theory.critical_load(hj.Glauber(0.9), storage=DILUTED, throw=False)
    assert decaying.result == hj.RESULTS.nonlinear_max_steps_reached


@pytest.mark.slow
def test_slope_of_the_end_of_dilution(x64):
    load = lambda beta: theory.critical_load(hj.Glauber(beta), storage=DILUTED).load  # noqa: E731
    np.testing.assert_allclose(jax.grad(load)(2.0), (load(2.0001) - load(1.9999)) / 2e-4, rtol=1e-6)


@pytest.mark.parametrize(
    "argument, call",
    [
        ("storage", lambda: theory.overlap_dynamics(hj.Sign(), 0.1, 0.5, storage=theory.Hebbian(), num_steps=3)),
        ("storage", lambda: theory.scsna(hj.Sign(), 0.1, storage=theory.Sequence)),  # pyright: ignore[reportArgumentType]
        ("strength", lambda: theory.scsna(hj.Sign(), 0.1, storage=CYCLE, strength=0.1)),
        ("self_coupling", lambda: theory.critical_load(hj.Sign(), storage=DILUTED, self_coupling=True)),
        ("num_steps", lambda: theory.overlap_dynamics(hj.Sign(), 0.1, 0.5, storage=CYCLE, num_steps=0)),
        ("order", lambda: theory.okada_hierarchy(0.1, 0.5, num_steps=3, order=0)),
        ("cue_overlap", lambda: theory.okada_hierarchy(0.1, 1.5, num_steps=3)),
        ("decay", lambda: theory.palimpsest_oldest_age(0.0)),
        ("age", lambda: theory.palimpsest_overlap(8.0, -0.1)),
        ("activity", lambda: theory.covariance_capacity(1.0)),
        ("load", lambda: theory.covariance_state(-0.1, 0.1, 0.5)),
        ("load", lambda: theory.critical_slope(0.0)),
    ],
)
def test_bad_input_is_named(argument, call):
    with pytest.raises(Exception, match=f"{argument}"):
        call()


# --- palimpsests ---


def palimpsest(decay, age):
    """Overlap by damped iteration from one, the crosstalk by quadrature over Λ in [0, 1] (dx = −dΛ/(aΛ))."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    strengths, weights, own = 0.5 + 0.5 * nodes, 0.5 * weights, math.exp(-decay * age)
    m, r = 1.0, 1 / (2 * decay)
    for _ in range(3000):
        slope = min(math.sqrt(2 / (math.pi * r)) * math.exp(-((own * m) ** 2) / (2 * r)), 0.99)
        m, r = (
            math.erf(own * m / math.sqrt(2 * r)),
            0.5 * (r + weights @ (strengths / (1 - slope * strengths) ** 2) / decay),
        )
    return m


def test_palimpsest_solves_its_equations(x64):
    points = [(6.0, 0.03), (8.44, 0.0), (8.44, 0.045), (20.0, 0.03)]
    overlaps = jax.jit(jax.vmap(theory.palimpsest_overlap))(*jnp.array(points).T)
    np.testing.assert_allclose(overlaps, [palimpsest(*point) for point in points], rtol=1e-9)
    # Beside the oldest age, one state on this side and none on the other.
    oldest = float(theory.palimpsest_oldest_age(6.0))
    below, above = (theory.palimpsest_overlap(6.0, oldest * (1 + s)) for s in (-1e-5, 1e-5))
    assert below > 0.9 and above == 0 and palimpsest(6.0, oldest * 1.01) < 0.5
    assert theory.palimpsest_oldest_age(3.03763) == 0 and theory.palimpsest_oldest_age(3.03764) > 0


@pytest.mark.slow
def test_slopes_of_palimpsests(x64):
    number = lambda p: jnp.stack([theory.palimpsest_oldest_age(p[0]), theory.palimpsest_overlap(p[0], p[1])])  # noqa: E731
    point = [7.0, 0.04]
    slopes = jax.jit(jax.jacfwd(number))(jnp.array(point))
    np.testing.assert_allclose(slopes, differences(number, point).T, rtol=1e-6, atol=1e-9)


def test_palimpsest_in_float32_and_outside_its_domain():
    decays, ages = jnp.array([8.44, 20.0, -1.0, 8.0]), jnp.array([0.045, 0.03, 0.0, -0.1])
    overlaps = jax.jit(jax.vmap(theory.palimpsest_overlap))(decays, ages)
    assert overlaps.dtype == jnp.float32
    expected = [palimpsest(8.44, 0.045), palimpsest(20.0, 0.03), np.nan, np.nan]
    np.testing.assert_allclose(overlaps, expected, rtol=1e-5)  # rounding, over the slope of Λ(y) near its fold


# --- the covariance rule ---


def test_covariance_states_solve_their_equations(x64):
    for load, activity, threshold, resting in [(0.3, 0.1, 0.55, 0.0), (0.05, 0.5, 0.02, 0.0), (0.11, 0.3, 0.24, -0.5)]:
        state = theory.covariance_state(load, activity, threshold, resting=resting)
        m, deviation, feedback = (float(x) for x in (state.overlap, (load * state.noise) ** 0.5, state.feedback))
        # Signals (1 − f)m and −fm; the fields of a unit's two states are equally far from the threshold.
        shift = feedback * (resting + resting + 1) / 2
        a = (threshold - shift + activity * m) / deviation
        b = ((1 - activity) * m - threshold + shift) / deviation
        np.testing.assert_allclose([state.misses, state.false_alarms], stats.norm.sf([b, a]), rtol=1e-9)
        np.testing.assert_allclose(m, stats.norm.cdf(b) - stats.norm.sf(a), rtol=1e-12)
        slope = (activity * stats.norm.pdf(b) + (1 - activity) * stats.norm.pdf(a)) / deviation
        ones = activity * stats.norm.cdf(b) + (1 - activity) * stats.norm.sf(a)
        q = ones * (1 + resting) ** 2 + (1 - ones) * resting**2
        np.testing.assert_allclose(state.noise, q / (1 - slope) ** 2, rtol=1e-10)
        np.testing.assert_allclose(feedback, load * slope / (1 - slope), rtol=1e-9)
        assert state.retrieved


def test_covariance_rule_of_unbiased_spins_is_hebb_s(x64):
    best = theory.covariance_capacity(0.5, resting=-0.5)
    np.testing.assert_allclose(best.load, 0.1379055665, atol=6e-11)
    np.testing.assert_allclose(best.overlap, 0.9674171, atol=6e-8)
    # Outputs ±½ have a quarter of the square of ±1.
    np.testing.assert_allclose(4 * best.noise, 1.4858028, atol=6e-8)
    np.testing.assert_allclose(best.threshold, 0, atol=1e-12)
    overlap = theory.covariance_state(0.12, 0.5, 0.0, resting=-0.5).overlap
    np.testing.assert_allclose(overlap, 0.99322273, atol=6e-9)


@pytest.mark.parametrize("activity, load", [(0.5, 0.0690682), (0.1, 0.4409672), (0.02, 2.2296730)])
def test_covariance_capacity_is_the_largest_load_retrieved_at_any_threshold(activity, load, x64):
    best = theory.covariance_capacity(activity)
    np.testing.assert_allclose(best.load, load, atol=6e-8)
    # The range of thresholds that retrieve shrinks to nothing: 0.004 wide at 0.98 of the load if the end is a cusp.
    thresholds = best.threshold + jnp.linspace(-0.02, 0.02, 81)

    def state(load, threshold):
        return theory.covariance_state(load, activity, threshold, max_steps=4000, throw=False)

    retrieved = jax.jit(jax.vmap(jax.vmap(state, (None, 0)), (0, None)))(
        best.load * jnp.array([0.98, 1.005]), thresholds
    )
    assert jnp.any(retrieved.retrieved, axis=1).tolist() == [True, False]


@pytest.mark.slow
def test_covariance_capacity_of_sparse_patterns(x64):
    def load(activity):
        return theory.covariance_capacity(activity, throw=False).load

    # A fold at 0.1, cusps below.
    at = jnp.array([0.1, 1e-2, 1e-4, 1e-8, 1e-12])
    points = jnp.concatenate([at, at * (1 - 1e-4), at * (1 + 1e-4)])
    values, slopes = jax.jit(jax.vmap(lambda f: jax.jvp(load, (f,), (jnp.ones_like(f),))))(points)
    np.testing.assert_allclose(slopes[:5], (values[10:] - values[5:10]) / (2e-4 * at), rtol=1e-6)
    ratios = values[:5] * 2 * at * -jnp.log(at)
    np.testing.assert_allclose(ratios, [0.2031, 0.3802, 0.4720, 0.5536, 0.6007], atol=6e-5)


@pytest.mark.slow
def test_slopes_of_covariance_states(x64):
    number = lambda p: theory.covariance_state(p[0], p[1], p[2], resting=p[3], throw=False).overlap  # noqa: E731
    point = [0.3, 0.05, 0.6, -0.02]
    slopes = jax.jit(jax.grad(number))(jnp.array(point))
    np.testing.assert_allclose(slopes, differences(number, point), rtol=1e-6, atol=1e-8)


def test_covariance_states_in_float32_and_outside_their_domain():
    solve = jax.jit(jax.vmap(lambda *numbers: theory.covariance_state(*numbers, throw=False)))
    # As usual, an activity that is none, and a threshold so high that all falls silent.
    states = solve(jnp.array([0.3, 0.3, 0.3]), jnp.array([0.1, 1.5, 0.1]), jnp.array([0.55, 0.55, 0.95]))
    assert states.overlap.dtype == jnp.float32 and "batch of shape (3,)" in str(states)
    np.testing.assert_allclose(states.overlap, [0.9662688, np.nan, 0], rtol=1e-5, atol=1e-6)
    assert (states.result == hj.RESULTS.invalid_parameter).tolist() == [False, True, False]
    assert states.retrieved.tolist() == [True, False, False]
    assert states.misses[2] == 1 and states.false_alarms[2] == 0
