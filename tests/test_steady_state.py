"""Steady states against closed forms, and their implicit derivatives."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import lineax as lx
import numpy as np
import pytest
from scipy import optimize

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.associative import AdiabaticNetwork, MemoryMap, graded_network, slow_fast_network
from systems import Decay


def magnet(beta, tau=1.0):
    """τv̇ = -v + tanh βv: one neuron with a self-coupling of one."""
    return graded_network(jnp.ones((1, 1)), beta=beta, tau_visible=tau, self_coupling=True)


def magnetisation(beta, start):
    """The root of x = tanh βx on the side of `start`."""
    if beta <= 1 or start == 0:
        return 0.0
    return np.sign(start) * optimize.brentq(lambda x: x - np.tanh(beta * x), 1e-6, 1.0, xtol=1e-15)


BETAS = np.array([0.5, 1.5, 1.5, 3.0, 3.0, 1.5])
STARTS = np.array([0.8, 0.1, -0.1, 2.0, -1e-3, 0.0])


def test_states_are_the_roots_in_the_basin_of_the_start(x64):
    run = lambda beta, start, tau: hj.steady_state(magnet(beta, tau), start[None], throw=False)  # noqa: E731
    bad = np.array([-1.0, np.nan])  # two more members, whose time constant is not one
    beta, start = np.append(BETAS, [1.5, 1.5]), np.append(STARTS, [0.5, 0.5])
    tau = np.append(np.linspace(0.5, 2.0, BETAS.size), bad)
    found = jax.jit(jax.vmap(run))(jnp.asarray(beta), jnp.asarray(start), jnp.asarray(tau))
    assert np.all((found.result == hj.RESULTS.invalid_parameter)[-2:]) and np.all(np.isnan(found.state[-2:]))
    found = jtu.tree_map(lambda x: x[:-2], found)
    expected = [magnetisation(beta, start) for beta, start in zip(BETAS, STARTS, strict=True)]
    assert np.all(found.result == hj.RESULTS.successful)
    # Newton's method solves to rounding.
    np.testing.assert_allclose(found.state[:, 0], expected, atol=1e-12)
    assert np.all(found.residual < 1e-12) and np.all(found.num_steps > 0)
    assert np.all(found.time[:-1] < 100)


def slope(beta, start):
    """dx/dβ = x(1 - x²)/(1 - β(1 - x²)) for x = tanh βx."""
    x = magnetisation(beta, start)
    return x * (1 - x**2) / (1 - beta * (1 - x**2))


def test_implicit_derivatives_are_exact(x64):
    state = lambda beta, start: hj.steady_state(magnet(beta), start[None], throw=False).state[0]  # noqa: E731
    by_beta, by_start = jax.jit(jax.vmap(jax.grad(state, argnums=(0, 1))))(jnp.asarray(BETAS), jnp.asarray(STARTS))
    expected = [slope(beta, start) for beta, start in zip(BETAS, STARTS, strict=True)]
    np.testing.assert_allclose(by_beta, expected, rtol=1e-9, atol=1e-12)
    assert np.all(by_start == 0)


UPDATES = {"solver": dfx.Euler(), "tolerance": 1e-13}


def test_updates_reach_the_same_states_with_the_same_derivatives(x64):
    def state(beta, start, tau):
        return hj.steady_state(magnet(beta, tau), start[None], throw=False, **UPDATES).state[0]

    found, slopes = jax.jit(jax.vmap(jax.value_and_grad(state, argnums=(0, 1, 2))))(
        jnp.asarray(BETAS), jnp.asarray(STARTS), jnp.linspace(0.5, 2.0, BETAS.size)
    )
    np.testing.assert_allclose(found, [magnetisation(*x) for x in zip(BETAS, STARTS, strict=True)], atol=1e-12)
    expected = [slope(*x) for x in zip(BETAS, STARTS, strict=True)]
    expected[-1] = np.nan  # an unstable fixed point, from which updates lead away
    np.testing.assert_allclose(slopes[0], expected, rtol=1e-9, atol=1e-12)
    assert np.all(slopes[1] == 0)
    np.testing.assert_allclose(slopes[2][:-1], 0, atol=1e-9)  # the state does not depend on the time constant
    directly = lambda beta: hj.steady_state(magnet(beta), jnp.zeros(1), linear_solver=lx.LU(), **UPDATES).state[0]  # noqa: E731
    np.testing.assert_allclose(jax.jvp(directly, (1.5,), (1.0,))[1], 0, atol=1e-12)


def test_updates_are_counted_and_say_where_they_did_not_settle():
    # v <- a v: from 1 it takes n updates to |a - 1| a^n <= 0.1; a = -1 is a cycle of two, a = 2 leaves the range.
    run = lambda a: hj.steady_state(  # noqa: E731
        AdiabaticNetwork(MemoryMap(jnp.ones((1, 1))), visible=hj.Quadratic(), hidden=Scaled(a)),
        jnp.ones(1), solver=dfx.Euler(), tolerance=0.1, max_steps=200, throw=False,
    )  # fmt: skip
    found = jax.vmap(run)(jnp.array([0.5, 0.0, -1.0, 2.0, jnp.nan]))
    R = hj.RESULTS
    codes = [R.successful, R.successful, R.not_settled, R.not_finite, R.invalid_parameter]
    for i, code in enumerate(codes):
        assert jax.tree.map(lambda x, i=i: x[i], found.result) == code, i
    assert found.num_steps[:3].tolist() == [3, 1, 200] and found.time[0] == 3
    np.testing.assert_allclose(found.state[:, 0], [0.125, 0.0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(found.residual[:3], [0.0625, 0, 2])


class Scaled(hj.AbstractSeparable):
    """Linear units of any slope, also a negative one."""

    slope: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))

    def elementwise(self, x):
        return 0.5 * self.slope * x * x


class Forced(hj.AbstractDynamics):
    """ẏ = a - y³, with a handed over as `args`; at rest y is the cube root."""

    def vector_field(self, t, y, args=None):
        return args - y**3


def test_arguments_of_the_vector_field_are_differentiated_too(x64):
    found, gradient = jax.value_and_grad(
        lambda a: hj.steady_state(Forced(), jnp.array(1.0), args=a, throw=False).state
    )(jnp.array(8.0))
    np.testing.assert_allclose([found, gradient], [2.0, 1 / 12], rtol=1e-9)


class Spiral(hj.AbstractDynamics):
    """An oscillator of frequency 2 with damping; without it, it cycles."""

    damping: jax.Array

    def vector_field(self, t, y, args=None):
        return 2 * jnp.stack([y[1], -y[0]]) - self.damping * y


def test_dynamics_that_cycle_or_have_too_little_time_do_not_settle():
    # Newton's method alone would jump to the centre, a rest point that those dynamics never come near.
    start = jnp.array([1.0, 0.0])
    run = lambda damping, time: hj.steady_state(Spiral(damping), start, max_time=time, throw=False)  # noqa: E731
    found = jax.jit(jax.vmap(run))(jnp.array([1.0, 0.0, 0.01]), jnp.array([50.0, 50.0, 1.0]))
    assert np.array_equal(found.result == hj.RESULTS.successful, [True, False, False])
    assert np.array_equal(found.result == hj.RESULTS.not_settled, [False, True, True])
    assert np.array_equal(np.isnan(found.state).all(axis=1), [False, True, True])
    np.testing.assert_allclose(found.state[0], 0, atol=1e-6)


def test_a_slow_state_is_reached_however_far_newton_s_method_goes():
    # At a rate of change of 1e-3 the state is 0.2 and Newton's step to zero is refused: too far for one basin.
    found = hj.steady_state(Decay(0.005), jnp.array([1.0]), tolerance=1e-3)
    np.testing.assert_allclose(found.state, 0, atol=1e-6)
    # ẏ = -0.005 y falls below a rate of 1e-3 at ln(5)/0.005, below a tenth of that at ln(50)/0.005.
    np.testing.assert_allclose(found.time, np.log(50) / 0.005, rtol=1e-3)


def test_what_only_lingers_is_no_state_at_any_tolerance():
    # τv̇ = -v + u + tanh 2v loses its lower state where tanh² 2v = 1/2. At an input 1e-5 above that the flow lingers
    # for a time of 800 at a rate of 1e-5, near which there is no state, and then goes to the upper one.
    fold = -np.arctanh(np.sqrt(0.5)) / 2 + np.sqrt(0.5)
    network = graded_network(jnp.ones((1, 1)), beta=2.0, input=fold + 1e-5, self_coupling=True)
    tolerances = jnp.array([1e-3, 2e-4, 1e-4, 1e-5])
    found = jax.vmap(lambda t: hj.steady_state(network, jnp.array([-1.0]), tolerance=t))(tolerances)
    upper: float = optimize.brentq(lambda v: -v + fold + 1e-5 + np.tanh(2 * v), 0.5, 2.0)  # pyright: ignore[reportAssignmentType]
    np.testing.assert_allclose(found.state[:, 0], upper, rtol=1e-6)  # rounding


class Ghost(hj.AbstractDynamics):
    """ẏ = -k (y² + 1e-4)(y + 2): it lingers where y = 0, at a rate of 2e-4 k, and rests at -2."""

    rate: jax.Array

    def vector_field(self, t, y, args=None):
        return -self.rate * (y**2 + 1e-4) * (y + 2)


def test_the_code_says_whether_the_flow_or_newton_s_method_did_not_come_to_rest(x64):
    run = lambda rate, time: hj.steady_state(  # noqa: E731
        Ghost(rate), jnp.array([1.0]), tolerance=1e-3, max_time=time, throw=False
    )
    found = jax.jit(jax.vmap(run))(jnp.array([1.0, 1e-7, 1.0]), jnp.array([1e4, 1e4, 1.0]))
    # The first passes the ghost and comes to rest; the second is at rest as far as the flow tells, but no state is
    # near; the third has too little time.
    for code, members in (("successful", [1, 0, 0]), ("newton_left", [0, 1, 0]), ("not_settled", [0, 0, 1])):
        assert np.array_equal(found.result == getattr(hj.RESULTS, code), np.array(members) == 1), code
    np.testing.assert_allclose(found.state[0], -2, atol=1e-9)
    assert found.residual[1] <= 1e-3 < found.residual[2]


class Driven(hj.AbstractDynamics):
    """ẏ = a - k y, which rests at a/k, or never where k = 0."""

    rate: jax.Array

    def vector_field(self, t, y, args=None):
        return args - self.rate * y


def test_members_that_did_not_settle_have_no_gradient_and_spoil_no_other(x64):
    rates = jnp.array([1.0, 0.0, 2.0, jnp.nan])

    def states(a):
        model = jax.vmap(Driven)(rates)
        return jax.vmap(lambda m: hj.steady_state(m, jnp.zeros(1), args=a, max_time=50.0, throw=False))(model)

    def loss(a, weights, masked):
        found = states(a)
        kept = jnp.where((found.result == hj.RESULTS.successful)[:, None], found.state, 0) if masked else found.state
        return jnp.sum(weights * kept[:, 0])

    for masked in (True, False):
        value, gradient = jax.value_and_grad(loss)(jnp.array(3.0), jnp.ones(4), masked)
        np.testing.assert_allclose(gradient, 1 + 1 / 2, rtol=1e-9)
        assert np.isfinite(value) == masked
    # The cotangent of one member is NaN: so is its own gradient, and no other.
    weights = jnp.array([1.0, 1.0, jnp.nan, 1.0])
    each = jax.vjp(
        lambda a: jax.vmap(lambda m, a: hj.steady_state(m, jnp.zeros(1), args=a, max_time=50.0, throw=False).state)(
            jax.vmap(Driven)(rates), a
        ),
        jnp.full(4, 3.0),
    )[1](weights[:, None])[0]
    np.testing.assert_array_equal(each, [1, 0, jnp.nan, 0])
    _, tangent = jax.jvp(lambda a: states(a).state[:, 0], (jnp.array(3.0),), (jnp.array(1.0),))
    np.testing.assert_allclose(tangent, [1, 0, 0.5, 0], rtol=1e-9)


def test_second_derivatives_are_exact(x64):
    # At a = 8 the cube root has the slope 1/12 and the curvature -2/(9 a^{5/3}) = -1/144.
    root = lambda a: hj.steady_state(Forced(), jnp.array(1.0), args=a, throw=False).state  # noqa: E731
    np.testing.assert_allclose(jax.hessian(root)(jnp.array(8.0)), -1 / 144, rtol=1e-8)


def test_too_few_steps_are_told():
    start = jnp.array([1.0, 0.0])
    found = hj.steady_state(Spiral(jnp.array(0.5)), start, max_steps=3, throw=False)
    assert found.result == hj.RESULTS.not_settled and np.all(np.isnan(found.state)) and "No steady state" in str(found)
    with pytest.raises(eqx.EquinoxRuntimeError, match="No steady state was reached"):
        hj.steady_state(Spiral(jnp.array(0.5)), start, max_steps=3)


def test_fast_and_slow_neurons_settle_where_the_adiabatic_network_does():
    patterns = hj.random_patterns(2, 8, key=jr.key(0))
    adiabatic = AdiabaticNetwork(MemoryMap(patterns), visible=hj.LogCosh(2.0), hidden=hj.LogSumExp(1.0))
    network = slow_fast_network(MemoryMap(patterns), visible=hj.LogCosh(2.0), hidden=hj.LogSumExp(1.0), tau_hidden=1e-2)
    v = patterns[0] + 0.3 * jr.normal(jr.key(1), (8,))
    found = hj.steady_state(network, {"visible": v, "hidden": jnp.zeros(2)})
    assert np.max(np.abs(adiabatic.vector_field(0.0, found.state["visible"]))) < 1e-5
    assert np.max(found.state["visible"] * patterns[0]) > 0.5 and "ok" in str(found)


@pytest.mark.slow
def test_large_states_are_differentiated_without_a_dense_matrix():
    num_neurons = 600
    with enable_x64():
        patterns = hj.random_patterns(5, num_neurons, key=jr.key(0))
        cue = hj.flip(patterns[0], 0.2, key=jr.key(1))

        def overlap(beta):
            network = graded_network(patterns, beta=beta)
            g = jnp.tanh(beta * hj.steady_state(network, cue, throw=False).state)
            return jnp.mean(patterns[0] * g)

        value, gradient = jax.jit(jax.value_and_grad(overlap))(jnp.array(3.0))
        difference = (overlap(jnp.array(3.0 + 1e-4)) - overlap(jnp.array(3.0 - 1e-4))) / 2e-4
        # GMRES stops at a relative tolerance of 1e-8.
        np.testing.assert_allclose(gradient, difference, rtol=1e-5)
        assert float(value) > 0.9


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: hj.steady_state("model", jnp.ones(1)), r"model"),  # pyright: ignore[reportArgumentType]
        (lambda: hj.steady_state(Decay(), jnp.array([jnp.nan])), r"`y0`.*finite"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), tolerance=0.0), r"`tolerance`.*positive"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), max_time=0.0), r"max_time|t1"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), max_steps=0), r"`max_steps`.*at least 1"),
        (lambda: hj.steady_state(Decay(), jnp.ones(1), solver=dfx.Euler()), r"`solver`.*without layers.*Euler"),
        (lambda: hj.steady_state(magnet(2.0), jnp.ones(2)), r"`(y|y0)`"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(ValueError if argument != "model" else Exception, match=argument):
        call()


def test_starting_at_rest_takes_no_time():
    network = hj.associative.graded_network(hj.random_patterns(2, 16, key=jr.key(0)), beta=4.0)
    first = hj.steady_state(network, hj.random_patterns(2, 16, key=jr.key(0))[0])
    again = hj.steady_state(network, first.state)
    assert again.time == 0 and again.num_steps < 20
    np.testing.assert_allclose(again.state, first.state, atol=1e-5)


def test_too_little_time_is_not_an_attractor():
    patterns = hj.random_patterns(4, 50, key=jr.key(0))
    network = hj.associative.graded_network(patterns, beta=4.0, tau_visible=1e6)
    cue = hj.flip(patterns[2], 0.2, key=jr.key(1))
    found = hj.steady_state(network, cue, throw=False)
    assert found.result == hj.RESULTS.not_settled and np.all(np.isnan(found.state))
