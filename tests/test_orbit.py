"""Periodic orbits and their multipliers against closed forms."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import sequential


class Rotor(hj.AbstractDynamics):
    """dr/dt = r (a − r²), dθ/dt = 1 + b r²: the orbit r² = a of period 2π/(1 + ab) and multiplier exp(−2aT); beside it
    variables that decay at given rates."""

    level: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))
    twist: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"), default=0.3)

    def vector_field(self, t, y, args=None):
        z, square = y["z"], jnp.sum(y["z"] ** 2)
        turn = (1 + self.twist * square) * jnp.stack([-z[1], z[0]])
        return {"z": (self.level - square) * z + turn, "rest": -rates(y["rest"].size) * y["rest"]}


def rates(size):
    """Far apart, so that the multipliers are."""
    return 0.2 + 0.3 * jnp.arange(float(size))


def start(size: int = 2):
    return {"z": jnp.array([1.1, 0.2]), "rest": 0.1 * jnp.ones(size)}


def test_orbits_of_a_batch_and_their_derivatives(x64):
    level = jnp.array([0.8, 1.0, 1.3, -0.5, jnp.nan])

    def find(level, adjoint=None, **options):
        return hj.periodic_orbit(Rotor(level), start(), period=5.0, adjoint=adjoint, throw=False, **options)

    found = jax.jit(jax.vmap(find))(level)
    a, slow = np.asarray(level[:3]), np.array(rates(2))
    period = 2 * np.pi / (1 + 0.3 * a)
    # The solver's tolerance is 1e-11 a step.
    np.testing.assert_allclose(found.period[:3], period, rtol=1e-9)
    np.testing.assert_allclose(found.leading[:3], np.exp(-0.2 * period), rtol=1e-7)
    expected = [np.ones(3), *np.exp(-slow[:, None] * period), np.exp(-2 * a * period)]
    np.testing.assert_allclose(np.sort(found.multipliers[:3].real), np.sort(np.stack(expected, 1)), atol=1e-8)
    assert np.all(found.stable[:3]) and np.all(found.trivial_error[:3] < 1e-8) and np.all(found.residual[:3] < 1e-9)
    codes = [*3 * [hj.RESULTS.successful], hj.RESULTS.no_return, hj.RESULTS.invalid_parameter]
    assert found.result._value.tolist() == [int(code._value) for code in codes]
    assert np.all(np.isnan(found.period[3:])) and not np.any(found.stable[3:])

    slope = -2 * np.pi * 0.3 / (1 + 0.3 * 1.3) ** 2
    for derivative in (
        jax.grad(lambda a: find(a).period),
        lambda a: jax.jvp(lambda a: find(a, dfx.ForwardMode()).period, (a,), (1.0,))[1],
    ):
        np.testing.assert_allclose(jax.jit(derivative)(1.3), slope, rtol=1e-7)
    radius = jax.jit(jax.grad(lambda a: jnp.linalg.norm(find(a).state["z"])))(1.3)
    np.testing.assert_allclose(radius, 0.5 / np.sqrt(1.3), rtol=1e-7)


def test_leading_multipliers_without_a_matrix(x64):
    """Of a state larger than the dense solver's, with 20 vectors of Arnoldi's method."""
    found = hj.periodic_orbit(Rotor(1.0), start(520), period=5.0, transient=10.0, num_multipliers=3)
    period = 2 * np.pi / 1.3
    np.testing.assert_allclose(found.period, period, rtol=1e-7)  # GMRES has the tolerance 1e-8
    np.testing.assert_allclose(np.abs(found.multipliers), [1, *np.exp(-np.array(rates(2)) * period)], rtol=1e-6)


class VanDerPol(hj.AbstractDynamics):
    damping: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))

    def vector_field(self, t, y, args=None):
        return jnp.stack([y[1], self.damping * (1 - y[0] ** 2) * y[1] - y[0]])


@pytest.mark.parametrize("damping", [0.02, -0.02])
def test_van_der_pol(damping, x64):
    found = hj.periodic_orbit(VanDerPol(damping), jnp.array([1.9, 0.1]), period=6.0)
    # The next terms are of the order of the fourth and third power of the damping.
    np.testing.assert_allclose(found.period, 2 * np.pi * (1 + damping**2 / 16), rtol=damping**4)
    np.testing.assert_allclose(found.leading, np.exp(-2 * np.pi * damping), rtol=abs(damping) ** 3)
    assert found.stable == (damping > 0)  # and unstable ones are found as well


class MarkusYamabe(hj.AbstractDynamics):
    """ẏ = A(t)y of period π with the solutions e^{t/2}(−cos t, sin t) and e^{−t}(sin t, cos t)."""

    def vector_field(self, t, y, args=None):
        c, s = jnp.cos(t), jnp.sin(t)
        return jnp.stack(
            [(-1 + 1.5 * c**2) * y[0] + (1 - 1.5 * s * c) * y[1], (-1 - 1.5 * s * c) * y[0] + (1.5 * s**2 - 1) * y[1]]
        )


def test_a_linear_periodic_system(x64):
    found = hj.periodic_orbit(MarkusYamabe(), jnp.ones(2), period=jnp.pi, forced=True)
    np.testing.assert_allclose(found.multipliers, [-np.exp(np.pi / 2), -np.exp(-np.pi)], rtol=1e-9)
    np.testing.assert_allclose(found.state, 0, atol=1e-9)
    assert not found.stable and np.isnan(found.trivial_error) and found.period == jnp.pi


def logistic(t, y, args):
    return args * y * (1 - y)


def test_a_map(x64):
    """The cycle of two of r x (1 − x) has the multiplier 4 + 2r − r²; its derivative needs no adjoint."""
    x = lambda r: hj.periodic_orbit(logistic, jnp.array([0.5]), period=2, transient=30, args=r)  # noqa: E731
    found = x(3.2)
    np.testing.assert_allclose(found.multipliers, [4 + 6.4 - 3.2**2], rtol=1e-9)
    assert found.stable and found.period == 2 and found.leading == abs(found.multipliers[0])
    upper = lambda r: (r + 1 + np.sign(found.state[0] - 0.6) * np.sqrt((r - 3) * (r + 1))) / (2 * r)  # noqa: E731
    np.testing.assert_allclose(found.state[0], upper(3.2), rtol=1e-12)
    slope = jax.grad(lambda r: x(r).state[0])(3.2)
    np.testing.assert_allclose(slope, (upper(3.2 + 1e-5) - upper(3.2 - 1e-5)) / 2e-5, rtol=1e-6)


def test_invalid_arguments_and_failures(x64):
    def run(model: Any = None, **options: Any) -> Any:
        settings: dict[str, Any] = {"period": 5.0} | options
        return hj.periodic_orbit(Rotor(1.0) if model is None else model, start(), **settings)

    for options, message in (
        (dict(period=-1.0), "period.*positive"),
        (dict(transient=-1.0), "transient"),
        (dict(num_multipliers=5), "num_multipliers.*at most the size 4"),
        (dict(model=logistic, period=2.5), "period.*whole number"),
        (dict(model=lambda y: y, period=2), r"a function of \(t, y, args\)"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**options)
    # Towards a fixed point; too few steps.
    assert run(Rotor(-1.0), transient=100.0, throw=False).result == hj.RESULTS.orbit_at_rest
    assert run(max_steps=4, throw=False).result == hj.RESULTS.max_steps_reached
    with pytest.raises(Exception, match="no periodic orbit"):
        run(Rotor(-1.0), transient=100.0)


class Pair(hj.AbstractDynamics):
    """The divergence is -2 tanh² of the first unit at gain 2: spirals that close too slowly to see, but no orbit."""

    gain: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))

    def vector_field(self, t, y, args=None):
        return -y + self.gain * jnp.stack([jnp.tanh(y[0]) - jnp.tanh(y[1]), jnp.tanh(y[0])])


def test_second_derivatives_are_refused():
    def period(gain):
        options: dict[str, Any] = {"period": 4.0, "adjoint": dfx.ForwardMode(), "throw": False}
        return hj.periodic_orbit(Pair(gain), jnp.array([1.0, 0.0]), **options).period

    with pytest.raises(Exception, match="first derivatives only"):
        jax.jvp(jax.jacfwd(period), (3.0,), (1.0,))


def test_a_slow_spiral_is_no_orbit():
    """In float32 it closes to rounding, with two multipliers near 1 in a complex pair."""
    run = lambda gain: hj.periodic_orbit(  # noqa: E731
        Pair(gain), jnp.array([1.0, 0.0]), period=4.0, transient=20.0, throw=False
    )
    assert run(2.0).result == hj.RESULTS.no_return and not run(2.0).stable
    assert run(3.0).stable and abs(run(3.0).period - 3.7188) < 1e-3


def at_gain(network, gain):
    return eqx.tree_at(lambda n: n.gain, network, gain)


@pytest.mark.slow
@pytest.mark.parametrize("num_neurons", [8, 64])
def test_the_rhythm_of_a_sequence(num_neurons, x64):
    """The period and its derivative are those of the switches of a long run."""
    network = sequential.InputDrivenNetwork(
        hj.hadamard_patterns(8, num_neurons), gain=5.0, transitions=sequential.cycle(8), tau_fast=0.01
    )

    def settled(gain):
        run = sequential.retrieve_sequence(
            at_gain(network, gain),
            saliency=3.6,
            t1=44.0,
            solver=sequential.ExactDwell(1e-11, 1e-12),
            adjoint=dfx.ForwardMode(),
        )
        return jnp.sum(jax.lax.dynamic_slice(run.dwell_times, (run.num_transitions - 8,), (8,)))

    def period(gain):
        model, y0 = at_gain(network, gain), network.begin(0, saliency=3.5)
        return hj.periodic_orbit(model, y0, period=10.4, transient=20.3, adjoint=dfx.ForwardMode()).period

    expected, expected_slope = jax.jvp(settled, (5.0,), (1.0,))
    found, slope = jax.jvp(period, (5.0,), (1.0,))
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    np.testing.assert_allclose(slope, expected_slope, rtol=2e-4)  # the run's: its steps cross kinks at 1e-11


@pytest.mark.slow
def test_the_critical_gain_is_a_fold_of_the_cycle(x64):
    """3.71211, by bisection over 600 time constants: that of endless sequences is higher by 4 (π/700)² = 1e-4."""
    network = sequential.InputDrivenNetwork(
        hj.hadamard_patterns(8, 8), gain=4.5, transitions=sequential.cycle(8), tau_fast=0.01
    )

    def late(t, y, args, mode):  # in the middle of a dwell on every orbit of the branch
        return jnp.max(network.overlap(y) * network.saliency(y)) - 1.45 + jnp.where(t < 18, 10.0, 0.0)

    y0 = hj.integrate(
        network, network.begin(0, saliency=3.0), t1=40.0, max_steps=2**17, event=hj.Event(late, direction=False)
    ).final
    orbit = hj.periodic_orbit(network, y0, period=9.2)
    branch = hj.follow_orbit(
        eqx.Partial(at_gain, network), orbit.state, 4.5, period=orbit.period, forward=False, lower=3.0, upper=4.6,
        step=0.3, num_steps=24, max_folds=1, throw=False,
    )  # fmt: skip
    assert branch.num_folds == 1 and branch.direction[0] < 0 < branch.direction[branch.count - 1]
    # A parabola through the points before and after the fold, at which units' kinks leave no second derivative.
    i = int(jnp.nanargmin(jnp.where(branch.direction < 0, branch.parameter, jnp.nan)))
    (d0, d1), h = branch.direction[i : i + 2], branch.arclength[i + 1] - branch.arclength[i]
    assert abs(branch.parameter[i] - 0.5 * d0**2 * h / (d1 - d0) - 3.7122) < 1e-3
