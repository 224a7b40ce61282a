"""Stationary states by self-consistent signal-to-noise analysis, against closed forms and brute-force averages."""

import dataclasses
import math
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.theory._critical_load import _of_one_state_a_site as of_one_state_a_site
from hopfield_jax.theory._site import find_folds

CRITICAL = {  # α_c without self-couplings, checked below against averages on a grid of fields
    (hj.LogCosh, 2): 0.0679171,
    (hj.LogCosh, 4): 0.1185389,
    (hj.LogCosh, 10): 0.1364079,
    (hj.HardTanh, 2): 0.1018065,
    (hj.HardTanh, 4): 0.1314192,
    (hj.HardTanh, 10): 0.1380050,
}
BRANCHES = {"maxwell": hj.theory.Maxwell, "upper": hj.theory.Upper, "cue": lambda: hj.theory.Cue(0.5)}


class Step(hj.AbstractElementwise):
    """Odd units whose slope is largest away from zero."""

    odd = True

    def activation(self, x):
        return 0.5 * (jnp.tanh(20 * (x - 0.5)) + jnp.tanh(20 * (x + 0.5)))

    def elementwise(self, x):
        return jnp.full_like(x, jnp.nan)


def site(phi, field: np.ndarray, feedback: float, branch: str, points: int = 400) -> np.ndarray:
    """φ = φ(h + Γφ) by iteration from the end where the branch lives; monotone for rising φ and Γ > 0."""
    start = {"upper": np.ones_like(field), "lower": -np.ones_like(field), "maxwell": np.sign(field)}[branch]
    for _ in range(points):
        start = phi(field + feedback * start)
    return start


def averages(phi, mean, deviation, feedback, branch, cue=0.5, num=6001):
    """⟨φ⟩, ⟨φ²⟩ and ⟨φz⟩ by the trapezoid rule in z."""
    z = np.linspace(-9, 9, num)
    weight = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    parts = {"cue": [((1 + cue) / 2, "upper"), ((1 - cue) / 2, "lower")]}.get(branch, [(1.0, branch)])
    total = np.zeros(3)
    for fraction, rule in parts:
        output = site(phi, mean + deviation * z, feedback, rule)
        total += fraction * np.array([weight @ output, weight @ output**2, weight @ (output * z)])
    return total


def check_by_grid(phi, state, atol, *, strength=0.0, coupling=1.0, self_coupling=False, branch="maxwell"):
    """The equations of the docstring, with R and U as there, at the numbers of `state`."""
    load, m, q, r, u, feedback = (
        float(x)
        for x in (state.load, state.overlap, state.correlation, state.noise, state.susceptibility, state.feedback)
    )
    deviation = coupling * math.sqrt(load * r)
    mean_output, square, slope = averages(phi, coupling * m, deviation, feedback, branch)
    enhancement = 1 / (1 - coupling * u)
    np.testing.assert_allclose([mean_output, square, slope / deviation], [m, q, u], atol=atol)
    np.testing.assert_allclose(r, q * enhancement**2, rtol=1e-8)
    crosstalk = load * coupling * (enhancement if self_coupling else enhancement - 1)
    np.testing.assert_allclose(feedback, crosstalk + strength * q, atol=1e-8)


def test_first_step_of_sign_units_is_an_error_function():
    with enable_x64():
        for load, cue, coupling in [(0.1, 0.5, 1.0), (0.05, -0.3, 1.0), (0.3, 1.0, 2.0)]:
            step = hj.theory.first_step_overlap(hj.Sign(), load, cue, coupling=coupling)
            np.testing.assert_allclose(step, math.erf(cue / math.sqrt(2 * load)), rtol=1e-12)
            kept = hj.theory.first_step_overlap(hj.Sign(), load, cue, coupling=coupling, self_coupling=True)
            parts = [(1 + s * cue) / 2 * math.erf((cue + s * load) / math.sqrt(2 * load)) for s in (1, -1)]
            np.testing.assert_allclose(kept, sum(parts), rtol=1e-12)


def test_first_steps_of_the_theory_page():
    with enable_x64():
        step = hj.theory.first_step_overlap
        values = [
            step(hj.Sign(), 0.1, 0.5),
            step(hj.Sign(), 0.1, 0.5, self_coupling=True),
            step(hj.LogCosh(6.0), 0.05, 0.2),
        ]
    np.testing.assert_allclose(np.array(values), [0.8861537, 0.9051895, 0.5459396], atol=5e-8)


@pytest.mark.parametrize("beta", [0.1, 4.0, 1e4])
def test_first_step_of_clip_units_of_any_slope(beta):
    with enable_x64():
        mean, deviation = 0.5, math.sqrt(0.1)
        # ⟨clip(βh)⟩ in closed form: ∫ of Φ over the ramp, from ⟨φ⟩ = 1 − ∫φ'(h) P(H < h) dh.
        cdf = lambda x: 0.5 * math.erfc(-x / math.sqrt(2))  # noqa: E731
        primitive = lambda x: x * cdf(x) + math.exp(-x * x / 2) / math.sqrt(2 * math.pi)  # noqa: E731
        ends = [(s / beta - mean) / deviation for s in (1, -1)]
        exact = 1 - beta * deviation * (primitive(ends[0]) - primitive(ends[1]))
        step = hj.theory.first_step_overlap(hj.HardTanh(beta), 0.1, 0.5)
        np.testing.assert_allclose(step, exact, atol=1e-11)


def test_sign_units_without_plasticity_are_those_of_amit_gutfreund_and_sompolinsky():
    loads = [0.05, 0.08, 0.10, 0.12, 0.13]
    expected = [0.99999223, 0.99955738, 0.99799927, 0.99322273, 0.98721189]
    with enable_x64():
        states = [hj.theory.scsna(hj.Sign(), load) for load in loads]
    assert all(state.retrieved for state in states)
    np.testing.assert_allclose([float(state.overlap) for state in states], expected, atol=6e-9)
    # y = m/√(2αr), C = √(2/(παr)) e^{−y²}, r = 1/(1 − C)², m = erf y.
    for load, state in zip(loads, states, strict=True):
        m, r = float(state.overlap), float(state.noise)
        y = m / math.sqrt(2 * load * r)
        np.testing.assert_allclose(m, math.erf(y), rtol=1e-12)
        slope = math.sqrt(2 / (math.pi * load * r)) * math.exp(-y * y)
        np.testing.assert_allclose(r, 1 / (1 - slope) ** 2, rtol=1e-12)


def test_critical_load_of_sign_units_is_the_maximum_of_the_closed_form():
    y = np.linspace(1.4, 1.6, 200_001)
    error_function = np.array([math.erf(x) for x in y])
    root = error_function / y - 2 / np.sqrt(np.pi) * np.exp(-(y**2))
    best = np.argmax(root)
    with enable_x64():
        state = hj.theory.critical_load(hj.Sign())
        assert state.retrieved and state.multivalued
        np.testing.assert_allclose(state.load, 0.1379055665, atol=6e-11)
        np.testing.assert_allclose(state.load, root[best] ** 2 / 2, rtol=1e-11)
        np.testing.assert_allclose(state.overlap, 0.9674171, atol=6e-8)
        np.testing.assert_allclose(state.overlap, error_function[best], atol=1e-6)  # as far as the grid of y goes
        np.testing.assert_allclose(state.noise, 1.4858028, atol=6e-8)
        assert state.curvature is not None
        # −∂² log α/∂(log y)², √(2α) being `root`; second differences miss step² times a fourth derivative.
        second = np.gradient(np.gradient(root, y), y)[best]
        np.testing.assert_allclose(state.curvature, -2 * y[best] ** 2 * second / root[best], rtol=1e-5)
        assert "curvature of the fold 5.14" in str(state)


@pytest.mark.parametrize("kind, beta", CRITICAL)
def test_critical_loads(kind, beta):
    phi = {hj.LogCosh: lambda x: np.tanh(beta * x), hj.HardTanh: lambda x: np.clip(beta * x, -1, 1)}[kind]
    with enable_x64():
        state = hj.theory.critical_load(kind(beta))
        np.testing.assert_allclose(state.load, CRITICAL[kind, beta], atol=6e-8)
        # The trapezoid rule misses a kink by its slope β times dz²/12, and less.
        check_by_grid(phi, state, 1e-10 if kind is hj.LogCosh else 1e-5)


@pytest.mark.parametrize("beta", [2, 4, 10])
def test_retrieval_ends_at_the_critical_load(beta):
    with enable_x64():
        below, beyond = (
            hj.theory.scsna(hj.LogCosh(beta), CRITICAL[hj.LogCosh, beta] * (1 + side)) for side in (-1e-4, 1e-4)
        )
        # Beyond, the iteration ends in the spin glass.
        assert below.retrieved and not beyond.retrieved and abs(beyond.overlap) < 1e-9


@pytest.mark.parametrize("branch", ["maxwell", "cue"])
def test_tanh_units_with_plasticity_solve_the_equations(branch):
    with enable_x64():
        for load, strength, coupling in [(0.08, 0.1, 1.0), (0.1, 0.6, 1.1), (0.1, -0.05, 1.3)]:
            state = hj.theory.scsna(
                hj.LogCosh(4.0), load, strength=strength, coupling=coupling, branch=BRANCHES[branch]()
            )
            assert state.retrieved
            assert bool(state.multivalued) == (strength == 0.6)
            # A jump misses at most half a step of the grid, 0.0015 · 2/√(2π), where it falls (density near its
            # place below 0.1).
            atol = 1.5e-4 if state.multivalued else 1e-9
            check_by_grid(lambda x: np.tanh(4 * x), state, atol, strength=strength, coupling=coupling, branch=branch)


def test_self_couplings_add_their_diagonal_to_the_feedback():
    with enable_x64():
        state = hj.theory.scsna(hj.LogCosh(3.0), 0.09, coupling=1.2, strength=0.02, self_coupling=True)
        check_by_grid(lambda x: np.tanh(3 * x), state, 1e-9, coupling=1.2, strength=0.02, self_coupling=True)
        without = hj.theory.scsna(hj.LogCosh(3.0), 0.09, coupling=1.2, strength=0.02)
        assert state.feedback - without.feedback > 0.09  # αg and less


@pytest.mark.parametrize("strength", [0.3, 1.0, 64.0])
def test_branches_of_sign_units_have_closed_forms(strength):
    with enable_x64():
        load, cue = 0.1, 0.5
        for rule, shifts in [
            (hj.theory.Maxwell(), [(1.0, 0.0)]),
            (hj.theory.Upper(), [(1.0, 1.0)]),
            (hj.theory.Cue(cue), [((1 + cue) / 2, 1.0), ((1 - cue) / 2, -1.0)]),
        ]:
            state = hj.theory.scsna(hj.Sign(), load, strength=strength, branch=rule)
            deviation = math.sqrt(load * float(state.noise))
            ends = [(p, (float(state.overlap) + s * float(state.feedback)) / deviation) for p, s in shifts]
            overlap = sum(p * math.erf(x / math.sqrt(2)) for p, x in ends)
            slope = sum(p * math.sqrt(2 / math.pi) * math.exp(-x * x / 2) for p, x in ends)
            np.testing.assert_allclose(state.overlap, overlap, rtol=1e-10)
            np.testing.assert_allclose(deviation, math.sqrt(load) + slope, rtol=1e-9)
            np.testing.assert_allclose(state.feedback, math.sqrt(load) * slope + strength, rtol=1e-9)
            assert state.multivalued
        np.testing.assert_allclose(state.overlap, {0.3: 0.987341, 1.0: 0.568356, 64.0: cue}[strength], atol=1e-6)


def test_maxwell_makes_plasticity_invisible_to_sign_units():
    with enable_x64():
        states = [hj.theory.scsna(hj.Sign(), 0.1, strength=strength) for strength in (0.0, 0.3, 64.0)]
        for state in states:
            np.testing.assert_allclose(state.overlap, 0.99799927, atol=6e-9)
        assert states[0].feedback < states[1].feedback < states[2].feedback


def test_weak_plasticity_tends_to_none():
    with enable_x64():
        for make in (BRANCHES["maxwell"], BRANCHES["cue"]):
            overlap, tiny = (
                float(hj.theory.scsna(hj.LogCosh(4.0), 0.1, strength=x, branch=make()).overlap) for x in (0.0, 1e-9)
            )
            assert 0 < tiny - overlap < 1e-8  # the slope is of order one


def test_slopes_of_states_equal_central_differences():
    def number(p):
        state = hj.theory.scsna(
            hj.LogCosh(p[0]), p[1], strength=p[2], coupling=p[3], branch=hj.theory.Cue(p[4]), throw=False
        )
        return jnp.stack([state.overlap, state.noise, state.feedback, state.ambiguity])

    with enable_x64():
        forward, batch = jax.jit(jax.jacfwd(number)), jax.jit(jax.vmap(number))
        for point in ([4.0, 0.1, 0.1, 1.0, 0.5], [4.0, 0.1, 0.6, 1.1, 0.5]):  # one state a site, several
            # Errors of central differences: step² of a third derivative, and 1e-13/step of rounding.
            slopes, (p, step) = forward(jnp.array(point)), (jnp.array(point), 1e-5)
            sides = batch(jnp.concatenate([p[None, :] + s * step * jnp.eye(5) for s in (1, -1)]))
            np.testing.assert_allclose(slopes, ((sides[:5] - sides[5:]) / (2 * step)).T, rtol=2e-6, atol=2e-6)
        assert jnp.abs(slopes[0, 4]) > 0.001  # the cue counts where there are several


@pytest.mark.slow
def test_gradient_backwards_and_of_sign_units():
    with enable_x64():
        overlap = lambda load: hj.theory.scsna(hj.Sign(), load).overlap  # noqa: E731
        slope = jax.jit(jax.grad(overlap))(0.1)
        np.testing.assert_allclose(slope, (overlap(0.1 + 1e-5) - overlap(0.1 - 1e-5)) / 2e-5, rtol=1e-6)


@pytest.mark.slow
def test_slopes_of_critical_loads_equal_central_differences():
    def number(p):
        state = hj.theory.critical_load(hj.LogCosh(p[0]), strength=p[1], coupling=p[2], throw=False)
        return jnp.stack([state.load, state.overlap])

    with enable_x64():
        # Without plasticity and with some; the state is single-valued at both. Differences miss step² times a third
        # derivative and have 1e-13/step of rounding. One program gives values and, along one number each, slopes.
        step, moves = 1e-4, jnp.eye(3)
        points = jnp.array([[4.0, 0.0, 1.0], [4.0, 0.05, 1.0]])
        sides = jnp.concatenate([(points[:, None, :] + s * step * moves[None]).reshape(-1, 3) for s in (0, 1, -1)])
        values, slopes = jax.jit(jax.vmap(lambda p, v: jax.jvp(number, (p,), (v,))))(sides, jnp.tile(moves, (6, 1)))
        np.testing.assert_allclose(slopes[:6], (values[6:12] - values[12:]) / (2 * step), rtol=1e-6, atol=1e-7)
        assert jnp.all(slopes[:6, 0] > 0.005)


# α_c at temperature T of spins in a heat bath: from an independent maximisation of α(y), with ⟨tanh⟩ and ⟨tanh²⟩ by the
# trapezoid rule on 400001 points; rounded to six digits, so that half of the last one is allowed.
THERMAL = {0.025: 0.138186, 0.05: 0.137794, 0.1: 0.135049, 0.2: 0.122559, 0.3: 0.103330, 0.5: 0.058816, 0.7: 0.022322}


def test_critical_loads_of_spins_in_a_heat_bath():
    def load(temperature):
        return hj.theory.critical_load(hj.Glauber(1 / temperature), throw=False).load

    with enable_x64():
        at, step = jnp.array([*THERMAL, 0.001, 0.9, 0.95]), 1e-4
        points = jnp.concatenate([at, at[:7] - step, at[:7] + step])
        values, slopes = map(np.asarray, jax.jit(jax.vmap(lambda t: jax.jvp(load, (t,), (jnp.ones_like(t),))))(points))
    np.testing.assert_allclose(values[:7], list(THERMAL.values()), atol=5.1e-7)
    # Differences miss a sixth of step² times a third derivative of at most 10.
    np.testing.assert_allclose(slopes[:7], (values[17:] - values[10:17]) / (2 * step), rtol=1e-7, atol=2e-8)
    # Replica symmetry: above 0.1379056 at low temperatures, to which it tends with a slope of order 0.02 as T → 0.
    assert 0.1379056 < values[7] < 0.1379056 + 5e-5 < values[0]
    # Near T = 1, 1 − T = 1.95 √α (Amit, Gutfreund and Sompolinsky 1987), 1.95 having three digits; extrapolated there.
    ratios = values[8:10] ** 0.5 / np.array([0.1, 0.05])
    np.testing.assert_allclose(2 * ratios[1] - ratios[0], 1 / 1.95, rtol=5e-3)


def test_spins_in_a_heat_bath_solve_the_replica_symmetric_equations():
    z = np.linspace(-9, 9, 6001)
    weight = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    with enable_x64():
        state = hj.theory.scsna(hj.Glauber(5.0), 0.1)
        m, q, r = float(state.overlap), float(state.correlation), float(state.noise)
        spin = np.tanh(5 * (m + math.sqrt(0.1 * r) * z))
        np.testing.assert_allclose([weight @ spin, weight @ spin**2], [m, q], atol=1e-12)
        np.testing.assert_allclose(r, q / (1 - 5 * (1 - q)) ** 2, rtol=1e-12)
        assert state.retrieved and state.feedback == 0 and not state.multivalued


@pytest.mark.parametrize("options, name", [({"strength": 0.1}, "strength"), ({"self_coupling": True}, "self_coupling")])
def test_what_is_open_for_spins_in_a_heat_bath_is_refused(options, name):
    for verb in (hj.theory.critical_load, lambda units, **options: hj.theory.scsna(units, 0.1, **options)):
        with pytest.raises(ValueError, match=f"`{name}`"):
            verb(hj.Glauber(5.0), **options)
    with pytest.raises(ValueError, match="`strength`"):  # a slope by it would be another way to ask
        jax.grad(lambda s: hj.theory.scsna(hj.Glauber(5.0), 0.1, strength=s).overlap)(0.0)
    with pytest.raises(ValueError, match="beta"):
        hj.Glauber(0.0)


@pytest.mark.slow
def test_no_slope_by_the_strength_where_sites_have_several_states():
    def load(strength, beta, throw=False):
        return hj.theory.critical_load(hj.LogCosh(beta), strength=strength, throw=throw).load

    with enable_x64():
        by_strength, by_beta = jax.jit(jax.vmap(jax.grad(load, argnums=(0, 1)), in_axes=(0, None)))(
            jnp.array([0.05, 1.0]), 4.0
        )
        assert by_strength[0] > 0.05 and jnp.isnan(by_strength[1])
        assert jnp.all(jnp.isfinite(by_beta))  # the value is that of the branch rule, and so is its slope by the units
        with pytest.raises(eqx.EquinoxRuntimeError, match="sites with several states"):
            jax.grad(load)(1.0, 4.0, throw=True)


def test_the_refusal_alone():
    state = hj.theory.scsna(hj.LogCosh(4.0), 0.1)  # any will do
    several = dataclasses.replace(state, multivalued=jnp.array(True))

    def slope(state, throw):
        moved = lambda s: dataclasses.replace(state, load=state.load + 2 * s)  # noqa: E731
        return jax.grad(lambda s: of_one_state_a_site(moved(s), s, throw=throw).load)(0.5)

    assert slope(state, True) == slope(state, False) == 2 and jnp.isnan(slope(several, False))
    with pytest.raises(eqx.EquinoxRuntimeError, match="sites with several states"):
        slope(several, True)


@pytest.mark.slow
def test_the_fold_loses_its_curvature_where_it_ends():
    # Along the cue's spins the fold of strong plasticity ends in a cusp, as a square root does.
    def at(strength):
        return hj.theory.critical_load(hj.LogCosh(4.0), strength=strength, branch=hj.theory.Cue(0.5), throw=False)

    with enable_x64():
        states = jax.jit(jax.vmap(at))(jnp.array([0.0, 0.737, 0.738, 0.75]))
    squares = np.square(np.asarray(states.curvature))
    end = 0.738 + 0.001 * squares[2] / (squares[1] - squares[2])
    assert 0.738 < end < 0.739 and squares[0] > 100 * squares[2]
    assert jnp.isnan(states.load).tolist() == [False] * 3 + [True]


def test_batches_and_jit_agree_with_single_calls():
    loads, strengths, betas = jnp.array([0.05, 0.1]), jnp.array([0.0, 0.2]), jnp.array([4.0, 10.0])

    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def solve(units, load, strength):
        return hj.theory.scsna(units, load, strength=strength, throw=False)

    batch = eqx.filter_jit(
        eqx.filter_vmap(lambda b, *x: hj.theory.scsna(hj.LogCosh(b), x[0], strength=x[1], throw=False))
    )
    batch = batch(betas, loads, strengths)
    single = [solve(hj.LogCosh(b), a, s) for b, a, s in zip(betas, loads, strengths, strict=True)]
    single += [solve(hj.LogCosh(np.float64(4)), loads[0], strengths[0])]  # no new trace
    # Float32: rounding of averages, an iteration stopped at 2e-6, and Newton's steps.
    np.testing.assert_allclose(batch.overlap, [float(x.overlap) for x in single[:2]], atol=2e-6)
    assert batch.overlap.dtype == jnp.float32 and "batch of shape (2,)" in str(batch)


def test_float32_is_close_to_float64():
    with enable_x64():
        exact = [float(hj.theory.scsna(hj.LogCosh(4.0), 0.1).overlap), float(hj.theory.critical_load(hj.Sign()).load)]
    state, critical = hj.theory.scsna(hj.LogCosh(4.0), 0.1), hj.theory.critical_load(hj.Sign())
    assert state.overlap.dtype == critical.load.dtype == jnp.float32
    np.testing.assert_allclose([float(state.overlap), float(critical.load)], exact, rtol=5e-6)


def test_no_retrieval_beyond_the_critical_load_is_said():
    with enable_x64():
        state = hj.theory.scsna(hj.Sign(), 0.15)
        assert not state.retrieved and abs(state.overlap) < 1e-9 and "not retrieved" in str(state)
        state = hj.theory.scsna(hj.LogCosh(0.5), 0.1)  # everything decays
        assert not state.retrieved and state.correlation < 1e-9


def test_states_that_do_not_exist_give_codes():
    with enable_x64():
        # Sign units against their own output, and units with two jumps besides the cut.
        for units, strength in [(hj.Sign(), -0.5), (Step(), 0.5)]:
            state = hj.theory.scsna(units, 0.05, strength=strength, throw=False)
            assert state.result == hj.RESULTS.not_settled
            assert jnp.isnan(state.overlap) and not state.retrieved and not state.multivalued
        with pytest.raises(eqx.EquinoxRuntimeError, match="No steady state"):
            hj.theory.scsna(hj.Sign(), 0.05, strength=-0.5)
        state = hj.theory.critical_load(hj.LogCosh(0.9), throw=False)
        assert state.result == hj.RESULTS.nonlinear_max_steps_reached and jnp.isnan(state.load)


def test_traced_numbers_outside_their_domain_give_codes():
    with enable_x64():
        solve = jax.jit(
            lambda load, cue: hj.theory.scsna(hj.LogCosh(4.0), load, branch=hj.theory.Cue(cue), throw=False)
        )
        for load, cue in [(-0.1, 0.5), (0.1, 1.5), (0.1, np.nan)]:
            assert solve(load, cue).result == hj.RESULTS.invalid_parameter and jnp.isnan(solve(load, cue).overlap)
        assert hj.is_okay(solve(0.1, 0.5).result)
    assert jnp.isnan(jax.jit(lambda cue: hj.theory.first_step_overlap(hj.LogCosh(4.0), 0.1, cue))(1.5))


@pytest.mark.parametrize("load", [0.0, -0.1, float("nan"), np.array([0.1, 0.2])])
def test_bad_loads_are_named(load):
    for function in (hj.theory.scsna, lambda units, load: hj.theory.first_step_overlap(units, load, 0.5)):
        with pytest.raises(Exception, match="load"):
            function(hj.Sign(), load)


@pytest.mark.parametrize(
    "options, name",
    [
        ({"strength": float("inf")}, "strength"),
        ({"coupling": 0.0}, "coupling"),
        ({"initial": 1.5}, "initial"),
        ({"threshold": float("nan")}, "threshold"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_bad_options_are_named(options, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        hj.theory.scsna(hj.Sign(), 0.1, **options)


def test_bad_cues_and_units_are_named():
    for overlap in (1.1, -2.0, float("nan")):
        with pytest.raises(ValueError, match="overlap"):
            hj.theory.Cue(overlap)
        with pytest.raises(ValueError, match="`cue_overlap`"):
            hj.theory.first_step_overlap(hj.Sign(), 0.1, overlap)
    for units in (hj.Softplus(1.0), hj.LogSumExp(1.0), jnp.sign):
        with pytest.raises(Exception, match="units"):
            hj.theory.scsna(cast(Any, units), 0.1)


@pytest.mark.parametrize("branch", BRANCHES)
def test_kinks_of_other_units_are_found(branch):
    """Clip units written by hand have the folds of `HardTanh`, also where the first of their kinks is no fold."""
    hand = hj.Elementwise(lambda x: jnp.clip(4 * x, -1, 1), odd=True, kinks=jnp.array([-0.25, 0.25]))
    with enable_x64():
        options = {"load": 0.1, "strength": 0.6, "branch": BRANCHES[branch](), "throw": False}
        got, expected = hj.theory.scsna(hand, **options), hj.theory.scsna(hj.HardTanh(4.0), **options)
        np.testing.assert_allclose(got.overlap, expected.overlap, rtol=1e-12)
        np.testing.assert_allclose(got.ambiguity, expected.ambiguity, rtol=1e-9)
        slopes = hj.Elementwise(
            lambda x: jnp.clip(4 * x, -0.8, 0.8) + 0.1 * jnp.clip(2 * x, -1, 1),
            odd=True,
            kinks=jnp.array([-0.5, -0.2, 0.2, 0.5]),
        )
        folds = find_folds(slopes, jnp.asarray(0.6))  # the slope of u - 0.6 φ is -1.52, then 0.88, then 1
        np.testing.assert_allclose([folds.fold, folds.depth], [0.2, 0.6 * 0.84 - 0.2], rtol=1e-12)
