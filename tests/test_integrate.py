"""Integration against closed solutions. One compilation serves as many statements as it can."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.associative import AdiabaticNetwork, MemoryMap, graded_network, retrieve, slow_fast_network
from systems import Decay, Oscillator, SideBySide, StepInput

precisions = pytest.mark.parametrize("bits", [32, 64])
FORWARD = dfx.ForwardMode()
TURN = jnp.array([1.0, 0.0])


# --- accuracy and what is kept ---


@precisions
def test_closed_solutions_statistics_and_counts(bits):
    with enable_x64(bits == 64):
        system = SideBySide({"decay": Decay(0.7), "oscillator": Oscillator(2.0)})
        y0 = {"decay": jnp.array([1.0, -2.0, 0.5]), "oscillator": jnp.array([0.6, 0.8])}
        saveat = np.linspace(0.5, 5.0, 7)
        path = hj.integrate(
            system,
            y0,
            t0=0.5,
            t1=6.0,
            saveat=saveat,
            statistics=lambda t, y, args: {"time": t, "y": y, "norm": jnp.sum(y["oscillator"] ** 2)},
        )
        assert path.times.dtype == path.final["decay"].dtype == f"float{bits}" and "ok" in str(path)
    t = np.asarray(saveat) - 0.5
    decay = np.exp(-0.7 * t)[:, None] * np.array([1.0, -2.0, 0.5])
    angle = 2 * t
    turned = np.stack([0.6 * np.cos(angle) + 0.8 * np.sin(angle), 0.8 * np.cos(angle) - 0.6 * np.sin(angle)], axis=1)
    # The tolerance of one step is 1e-5 (1e-8); some tens of steps.
    tolerance = {32: 1e-4, 64: 2e-7}[bits]
    np.testing.assert_allclose(path.values["y"]["decay"], decay, atol=tolerance)
    np.testing.assert_allclose(path.values["y"]["oscillator"], turned, atol=tolerance)
    np.testing.assert_allclose(path.values["norm"], 1, atol=tolerance)
    np.testing.assert_allclose(path.values["time"], saveat, rtol=1e-6)
    np.testing.assert_allclose(path.times, saveat, rtol=1e-6)
    np.testing.assert_allclose(path.final["decay"], np.exp(-0.7 * 5.5) * np.array([1.0, -2.0, 0.5]), atol=tolerance)
    assert float(path.final_time) == 6.0 and path.result == hj.RESULTS.successful and path.occurrences is None
    steps = {name: int(count) for name, count in path.stats.items()}
    assert steps["num_steps"] == steps["num_accepted_steps"] + steps["num_rejected_steps"]
    assert 5 < steps["num_steps"] < 400


@pytest.mark.parametrize("bits", [32, pytest.param(64, marks=pytest.mark.slow)])
def test_stiff_networks_are_solved_by_default_and_the_solvers_agree(bits):
    with enable_x64(bits == 64):
        patterns = hj.random_patterns(2, 8, key=jr.key(0))
        network = slow_fast_network(MemoryMap(patterns), visible=hj.LogCosh(2.0), tau_hidden=1e-3)
        y0 = {"visible": jr.normal(jr.key(1), (8,)), "hidden": jnp.array([2.0, -1.0])}
        path = hj.integrate(network, y0, t1=5.0)
        explicit = hj.integrate(
            network,
            y0,
            t1=5.0,
            solver=dfx.Heun(),
            stepsize_controller=dfx.PIDController(rtol=1e-5, atol=1e-6),
            adjoint=FORWARD,
        )
    # Within the tolerances of either; it ends near a fixed point, where errors have died out.
    for name in y0:
        np.testing.assert_allclose(path.final[name], explicit.final[name], atol=3e-4)
    h = np.asarray(patterns) @ np.tanh(2 * np.asarray(path.final["visible"]))
    np.testing.assert_allclose(path.final["hidden"], h, atol=1e-3)


def test_a_jump_at_a_known_time_costs_fewer_steps(x64):
    model, y0 = StepInput(jnp.array(1.3)), jnp.array(1.0)
    known = hj.integrate(model, y0, t1=3.0, jump_times=np.array([1.3]), adjoint=FORWARD)
    unknown = hj.integrate(model, y0, t1=3.0, adjoint=FORWARD)
    exact = 1 + (np.exp(-1.3) - 1) * np.exp(-1.7)
    np.testing.assert_allclose(known.final, exact, atol=1e-7)
    np.testing.assert_allclose(unknown.final, exact, atol=1e-5)
    assert known.stats["num_steps"] < unknown.stats["num_steps"]


# --- events ---


def crossing(t, y, args, mode):
    return y[0]


PHASES = np.array([0.5, np.pi / 2, 2.0, 4.0, -np.pi / 2, 0.5])
FREQUENCIES = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.1])


def crossings(phase, frequency, direction):
    """Times within (0, 10] at which cos(ωt - phase) changes sign; the start itself is no change of sign."""
    k = np.arange(-4, 8)
    times = (phase + np.pi / 2 + k * np.pi) / frequency
    rises = k % 2 == 1  # the cosine falls at π/2
    wanted = np.ones_like(rises) if direction is None else rises == direction
    return times[(times > 1e-6) & (times <= 10.0) & wanted]


@pytest.mark.parametrize("direction", [None, True, False])
def test_sign_changes_are_located_in_a_batch_with_different_numbers_of_them(direction, x64):
    room = 2

    def run(y0, frequency):
        return hj.integrate(
            Oscillator(frequency),
            y0,
            t1=10.0,
            saveat=jnp.linspace(0.0, 10.0, 21),
            event=hj.Event(crossing, direction=direction, max_occurrences=room),
            adjoint=FORWARD,
            throw=False,
        )

    # The oscillator turns clockwise: x(t) = cos(ωt - phase).
    starts = np.round(np.stack([np.cos(PHASES), np.sin(PHASES)], axis=1), 14)  # two of them at exactly zero
    paths = jax.jit(jax.vmap(run))(jnp.asarray(starts), jnp.asarray(FREQUENCIES))
    for i, (phase, frequency) in enumerate(zip(PHASES, FREQUENCIES, strict=True)):
        expected = crossings(phase, frequency, direction)[:room]
        found = np.asarray(paths.occurrences.times[i])
        assert paths.occurrences.count[i] == expected.size, (phase, found)
        # At the solver's tolerance of 1e-8 a step.
        np.testing.assert_allclose(found[: expected.size], expected, atol=1e-6)
        assert np.all(np.isnan(found[expected.size :])) and np.all(
            np.isnan(paths.occurrences.states[i][expected.size :])
        )
        np.testing.assert_allclose(paths.occurrences.states[i][: expected.size, 0], 0, atol=1e-6)
        stopped = expected.size == room
        end = expected[-1] if stopped else 10.0
        assert (paths.result == hj.RESULTS.event_occurred)[i] == stopped
        assert (paths.result == hj.RESULTS.successful)[i] != stopped
        np.testing.assert_allclose(paths.final_time[i], end, atol=1e-6)
        exact = np.stack(
            [np.cos(frequency * paths.times[i] - phase), -np.sin(frequency * paths.times[i] - phase)], axis=1
        )
        kept = np.asarray(paths.times[i]) <= end
        np.testing.assert_allclose(np.asarray(paths.values[i])[kept], exact[kept], atol=1e-6)
        assert np.all(np.isnan(np.asarray(paths.values[i])[~kept]))


def leads(t, y, args, mode):
    """By how much the other component exceeds the leading one."""
    return jnp.where(mode == 0, y[1] - y[0], y[0] - y[1])


def change(t, y, args, mode):
    return 1 - mode


def leader_changes(frequency, adjoint):
    event = hj.Event(leads, direction=True, max_occurrences=3, mode=jnp.array(0), update=change)
    path = hj.integrate(
        Oscillator(frequency), jnp.array([1.0, -0.5]), t1=20.0, event=event, adjoint=adjoint, throw=False
    )
    assert path.occurrences is not None
    return path.occurrences.times, path.occurrences


# x = cos ωt - sin(ωt)/2 and p = -sin ωt - cos(ωt)/2 are equal at ωt = atan2(-3/2, 1/2) + kπ, first for k = 1.
FIRST_CHANGE = np.arctan2(-1.5, 0.5) + np.pi


def test_an_event_carries_a_mode_and_its_times_have_derivatives(x64):
    frequency = jnp.array(0.8)
    times, tangents, found = jax.jvp(lambda w: leader_changes(w, FORWARD), (frequency,), (jnp.ones(()),), has_aux=True)
    expected = (FIRST_CHANGE + np.pi * np.arange(3)) / 0.8
    np.testing.assert_allclose(times, expected, atol=1e-6)
    # t = angle/ω, dt/dω = -t/ω.
    np.testing.assert_allclose(tangents, -expected / 0.8, rtol=1e-5)
    assert found.mode.tolist() == [1, 0, 1] and found.count == 3
    np.testing.assert_allclose(found.states[:, 0], found.states[:, 1], atol=1e-6)


@pytest.mark.slow
def test_reverse_mode_differentiates_the_time_of_an_event(x64):
    gradient = jax.grad(lambda w: leader_changes(w, None)[0][1])(jnp.array(0.8))
    np.testing.assert_allclose(gradient, -(FIRST_CHANGE + np.pi) / 0.8**2, rtol=1e-5)


def decay():
    return Decay(1.0), jnp.array([1.0])


# What y[0] > 0.5 may look like, the direction in which it ends, and the sign that a mode could give it.
CONDITIONS = {
    "boolean": (lambda t, y, args, mode: y[0] > 0.5, False),
    "its negation": (lambda t, y, args, mode: y[0] < 0.5, True),
    "integer": (lambda t, y, args, mode: (y[0] > 0.5).astype(jnp.int32), False),
    "zero from there on": (lambda t, y, args, mode: jnp.maximum(y[0] - 0.5, 0), False),
    "zero until there": (lambda t, y, args, mode: jnp.maximum(0.5 - y[0], 0), True),
    "any direction": (lambda t, y, args, mode: y[0] > 0.5, None),
    "zero, any direction": (lambda t, y, args, mode: jnp.maximum(y[0] - 0.5, 0), None),
    "continuous": (lambda t, y, args, mode: y[0] - 0.5, False),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_of_any_type_is_located_where_it_is_no_longer_positive_and_once(name, x64):
    condition, direction = CONDITIONS[name]
    event = hj.Event(condition, direction=direction, max_occurrences=2)
    path = hj.integrate(*decay(), t1=3.0, event=event, adjoint=FORWARD)
    assert path.occurrences is not None and path.occurrences.count == 1 and path.result == hj.RESULTS.successful
    # At the solver's tolerance of 1e-8 a step.
    np.testing.assert_allclose(path.occurrences.times[0], np.log(2), atol=1e-7)


def test_a_condition_that_is_zero_at_the_start_counts_when_it_turns_positive(x64):
    # (t - 1)_+ is zero at the start and stays so, sin t is zero and leaves at once: no change of sign at the start.
    for condition, expected in ((lambda t, *_: jnp.maximum(t - 1, 0), [1.0]), (lambda t, *_: jnp.sin(t), [])):
        event = hj.Event(condition, direction=True, max_occurrences=2)
        found = hj.integrate(*decay(), t1=3.0, event=event, adjoint=FORWARD).occurrences
        assert found is not None and found.count == len(expected)
        np.testing.assert_allclose(found.times[: found.count], expected, atol=1e-7)


def half_life(rate, adjoint):
    """When y[0] > 0.5 ends, and the state at a time after it."""
    event = hj.Event(CONDITIONS["boolean"][0], max_occurrences=2)
    path = hj.integrate(Decay(rate), jnp.array([1.0]), t1=3.0, event=event, adjoint=adjoint)
    assert path.occurrences is not None
    return path.occurrences.times[0], path.values[0, 0]


def test_two_derivatives_of_the_time_and_state_of_an_event(x64):
    """When y = exp(-rt) passes 1/2, t = ln 2/r, and the state there, at which sin(t) y is measured."""

    def ends(rate, adjoint):
        event = hj.Event(lambda t, y, args, mode: y[0] - 0.5)
        path = hj.integrate(Decay(rate), jnp.array([1.0]), t1=3.0, event=event, adjoint=adjoint)
        assert path.occurrences is not None
        return path.occurrences.times[0], jnp.sin(path.occurrences.times[0]) * path.occurrences.states[0, 0]

    def exact(rate):
        return jnp.log(2.0) / rate, jnp.sin(jnp.log(2.0) / rate) / 2

    rate, direct = jnp.array(0.7), dfx.DirectAdjoint()
    first = jax.jacfwd(exact)(rate), jax.jacfwd(jax.jacfwd(exact))(rate)
    # The solver's tolerance is 1e-8 a step.
    np.testing.assert_allclose(jax.jacfwd(jax.jacfwd(lambda r: ends(r, FORWARD)))(rate), first[1], rtol=1e-5)
    np.testing.assert_allclose(jax.hessian(lambda r: ends(r, direct)[1])(rate), first[1][1], rtol=1e-5)
    slopes = jax.vmap(jax.grad(lambda r: ends(r, None)[0]))(jnp.stack([rate, 2 * rate]))
    np.testing.assert_allclose(slopes, [first[0][0], first[0][0] / 4], rtol=1e-5)


def test_the_time_of_a_boolean_has_no_derivative_and_what_follows_has_its_own(x64):
    _, (time, value) = jax.jvp(lambda rate: half_life(rate, FORWARD), (jnp.array(1.0),), (jnp.array(1.0),))
    assert np.isnan(time)
    np.testing.assert_allclose(value, -3 * np.exp(-3.0), rtol=1e-6)  # at the solver's tolerance of 1e-8 a step


@pytest.mark.slow
def test_the_missing_derivative_of_a_time_does_not_reach_those_who_do_not_ask_in_reverse_mode(x64):
    gradients = [jax.grad(lambda rate, i=i: half_life(rate, None)[i])(jnp.array(1.0)) for i in (0, 1)]
    assert np.isnan(gradients[0])
    np.testing.assert_allclose(gradients[1], -3 * np.exp(-3.0), rtol=1e-6)


# --- noise ---


@precisions
def test_noise_has_the_variance_of_an_ornstein_uhlenbeck_process_and_fresh_increments(bits):
    num_keys, num_neurons, dt, num_steps = 64, 32, 0.05, 400
    with enable_x64(bits == 64):
        keys = jr.split(jr.key(0), num_keys - 1)
        keys = jnp.concatenate([keys, keys[:1]])  # the last repeats the first

        def run(key):
            noise = hj.Noise(lambda t, y, args: jnp.sqrt(jnp.asarray(2, y.dtype)), key)
            times = jnp.asarray(dt * np.arange(num_steps + 1))
            path = hj.integrate(
                Decay(1.0),
                jnp.zeros(num_neurons),
                t1=times[-1],
                saveat=times,
                dt0=dt,
                noise=noise,
                adjoint=FORWARD,
                throw=False,
            )
            return path.values

        paths = np.asarray(jax.jit(jax.vmap(run))(keys), np.float64)  # (keys, times, neurons)
    assert np.array_equal(paths[0], paths[-1])
    paths = paths[:-1]
    assert np.all(np.any(paths[1:] != paths[:1], axis=(1, 2)))
    # Euler–Maruyama: y ← (1 - dt) y + sqrt(2 dt) ξ, whose stationary variance is 2dt/(1 - (1 - dt)²) = 1/(1 - dt/2).
    last = paths[:, -1].ravel()
    assert abs(np.mean(last**2) * (1 - dt / 2) - 1) < 5 * np.sqrt(2 / last.size)
    increments = (paths[:, 1:] - (1 - dt) * paths[:, :-1]) / np.sqrt(2 * dt)
    # Savings are interpolated linearly, at times rounded to the type: a part of an increment may fall to the next one.
    assert abs(np.mean(increments**2) - 1) < 5 * np.sqrt(2 / increments.size) + 1e-3
    first, second = increments[:, : num_steps // 2], increments[:, num_steps // 2 :]
    # Uncorrelated between the two halves of a path, between successive steps and between neurons.
    for a, b in (
        (first, second),
        (increments[:, 1:], increments[:, :-1]),
        (increments[:, :, 1:], increments[:, :, :-1]),
        (increments[1:], increments[:-1]),
    ):
        assert abs(np.mean(a * b)) < 5 / np.sqrt(a.size) + 1e-3
    # No increment comes twice (the trap of diffrax 733: 64-bit times cut to 32 bits).
    unique = np.unique(np.round(increments[0, :, 0], 4 if bits == 32 else 8))
    assert unique.size > 0.97 * num_steps


# --- what does not end well ---


def test_too_few_steps_are_told(x64):
    saveat = np.array([0.0, 0.1, 50.0])
    path = hj.integrate(Oscillator(), TURN, t1=50.0, saveat=saveat, max_steps=4, throw=False)
    assert path.result == hj.RESULTS.max_steps_reached
    assert np.all(np.isfinite(path.values[:2])) and np.all(np.isnan(path.values[2])) and np.all(np.isnan(path.final))
    assert "max_steps" in str(path)
    with pytest.raises(eqx.EquinoxRuntimeError, match="max_steps"):
        hj.integrate(Oscillator(), TURN, t1=50.0, saveat=saveat, max_steps=4)


class Explosion(hj.AbstractDynamics):
    """ẏ = y³."""

    def vector_field(self, t, y, args=None):
        return y**3


def test_a_solution_that_leaves_the_range_is_told():
    path = hj.integrate(
        Explosion(),
        jnp.array([1.0]),
        t1=20.0,
        dt0=0.1,
        solver=dfx.Euler(),
        saveat=np.array([0.1, 19.0]),
        adjoint=FORWARD,
        throw=False,
    )
    assert path.result == hj.RESULTS.not_finite and np.all(np.isnan(path.final))
    np.testing.assert_allclose(path.values[0], 1.1, rtol=1e-5)


class Power(hj.AbstractDynamics):
    """ẏ = y^p: from 1 and for p > 1 it reaches infinity at the time 1/(p - 1)."""

    power: float = eqx.field(static=True)

    def vector_field(self, t, y, args=None):
        return y**self.power


class Draining(hj.AbstractDynamics):
    """ẏ = -1 - √y: from 1 it reaches zero at 2(1 - ln 2) = 0.61, where the root ends."""

    def vector_field(self, t, y, args=None):
        return -1 - jnp.sqrt(y)


class Tracking(hj.AbstractDynamics):
    """ẏ = -k (y - cos t): stiff beyond what times of float32 resolve, but bounded."""

    rate: float = eqx.field(static=True)

    def vector_field(self, t, y, args=None):
        return -self.rate * (y - jnp.cos(t))


def memories(hidden):
    patterns = hj.random_patterns(2, 784, key=jr.key(0))
    return AdiabaticNetwork(MemoryMap(patterns), hidden=hidden), patterns[0]


ONE = jnp.array([1.0])
ENDINGS = {
    "y²": (lambda: (Power(2.0), ONE), "not_finite"),
    "y³": (lambda: (Power(3.0), ONE), "not_finite"),
    "a root of a negative number": (lambda: (Draining(), ONE), "not_finite"),
    "from the edge": (lambda: (Draining(), 0 * ONE), "not_finite"),
    "a high power": (lambda: memories(hj.RectifiedPower(20)), "not_finite"),
    "an exponential": (lambda: memories(hj.Exponential()), "not_finite"),
    "a steep softmax": (lambda: memories(hj.LogSumExp(beta=1e38)), "not_finite"),
    "growth": (lambda: (Power(1.0), ONE), "max_steps_reached"),
    "stiffness": (lambda: (Tracking(3e7), ONE), "max_steps_reached"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_code_tells_a_field_that_overflows_or_blows_up_from_too_few_steps(name):
    problem, code = ENDINGS[name]
    model, y0 = problem()
    steps = 5 if name == "growth" else 300  # enough for 0.2^n to leave the range of times
    path = hj.integrate(model, y0, t1=3.0, max_steps=steps, adjoint=FORWARD, throw=False)
    assert path.result == getattr(hj.RESULTS, code) and np.all(np.isnan(path.final))


def test_overflow_is_told_by_every_verb_and_one_member_of_a_batch():
    network, cue = memories(hj.RectifiedPower(20))
    with pytest.raises(eqx.EquinoxRuntimeError, match="became infinite or NaN.*Scale the patterns"):
        retrieve(network, cue[None], cue, max_steps=100)
    found = jax.vmap(lambda y: hj.steady_state(Power(2.0), y, max_steps=300, throw=False))(jnp.array([[1.0], [-1e-6]]))
    assert np.array_equal(found.result == hj.RESULTS.not_finite, [True, False])


def test_traced_bad_values_give_their_code_and_nan_for_the_bad_members_only():
    patterns = hj.random_patterns(2, 5, key=jr.key(0))

    def run(tau, t1, y):
        network = graded_network(patterns, tau_visible=tau)
        y0 = y * jnp.ones(5)
        return hj.integrate(network, y0, t1=t1, saveat=jnp.stack([0.5 * t1, t1]), adjoint=FORWARD, throw=False)

    tau = jnp.array([1.0, -1.0, 0.0, jnp.nan, 1.0, 1.0, 1.0, 2.0])
    t1 = jnp.array([2.0, 2.0, 2.0, 2.0, -1.0, jnp.inf, 2.0, 2.0])
    y = jnp.array([0.3, 0.3, 0.3, 0.3, 0.3, 0.3, jnp.nan, 0.3])
    paths = jax.jit(jax.vmap(run))(tau, t1, y)
    good = np.array([True, False, False, False, False, False, False, True])
    assert np.array_equal(paths.result == hj.RESULTS.invalid_parameter, ~good)
    assert np.array_equal(paths.result == hj.RESULTS.successful, good)
    for leaf in (paths.values.reshape(8, -1), paths.final):
        assert np.array_equal(np.all(np.isfinite(leaf), axis=1), good)
        assert np.array_equal(np.any(np.isfinite(leaf), axis=1), good)


@pytest.mark.parametrize(
    "change, argument",
    [
        ({"t1": 0.0}, r"`t1`.*after t0 = 0.*0"),
        ({"t1": -1.0}, r"`t1`.*after"),
        ({"t0": 5.0}, r"`t1`.*after t0 = 5"),
        ({"t1": np.nan}, r"`t1`.*finite"),
        ({"t0": np.inf}, r"`t0`.*finite"),
        ({"saveat": np.array([0.0, 1.0, 1.0])}, r"`saveat`.*increasing"),
        ({"saveat": np.array([1.0, 0.5])}, r"`saveat`.*increasing"),
        ({"saveat": np.array([])}, r"`saveat`.*at least one"),
        ({"saveat": np.array([[0.0, 1.0]])}, r"`saveat`.*shape"),
        ({"saveat": np.array([0.0, np.nan])}, r"`saveat`.*finite"),
        ({"saveat": np.array([-0.1, 1.0])}, r"`saveat`.*between"),
        ({"saveat": np.array([0.0, 2.1])}, r"`saveat`.*between t0 = 0 and t1 = 2"),
        ({"jump_times": np.array([1.0, 0.5])}, r"`jump_times`.*increasing"),
        ({"y0": jnp.array([1.0, jnp.nan])}, r"`y0`.*finite"),
        ({"y0": jnp.array([1.0, jnp.inf])}, r"`y0`.*finite"),
        ({"dt0": 0.0}, r"`dt0`.*positive"),
        ({"dt0": -1.0}, r"`dt0`.*positive"),
        ({"solver": dfx.Euler()}, r"`dt0`.*Euler has constant steps"),
        ({"noise": hj.Noise(lambda t, y, args: 1.0, jr.key(0))}, r"`dt0`.*noise has constant steps"),
        ({"solver": dfx.EulerHeun(), "dt0": 0.1}, r"`solver`.*without noise.*EulerHeun"),
        ({"solver": dfx.SemiImplicitEuler(), "dt0": 0.1}, r"`solver`.*without noise.*SemiImplicitEuler"),
        ({"stepsize_controller": dfx.StepTo([0.0, 0.5])}, r"`stepsize_controller`.*from t0 = 0 to t1 = 2"),
        ({"stepsize_controller": dfx.StepTo([0.0, 1.0]), "dt0": 0.1}, r"`dt0`.*None"),
        ({"max_steps": 0}, r"`max_steps`.*at least 1"),
    ],
)
def test_bad_arguments_are_named(change, argument):
    call = {"y0": TURN, "t1": 2.0} | change
    with pytest.raises(ValueError, match=argument):
        hj.integrate(Oscillator(), call.pop("y0"), **call)


@pytest.mark.parametrize(
    "y0",
    [
        jnp.ones(3),
        {"visible": jnp.ones(4)},
        {"visible": jnp.ones(4), "hidden": jnp.ones(3)},
        [jnp.ones(4), jnp.ones(2)],
    ],
)
def test_a_state_that_does_not_fit_the_model_is_named(y0):
    network = slow_fast_network(MemoryMap(jnp.ones((2, 4))))
    with pytest.raises(ValueError, match=r"`(y|y0|hidden_map)`"):
        hj.integrate(network, y0, t1=1.0)


def test_a_state_that_does_not_fit_a_memory_dependent_network_is_named():
    with pytest.raises(ValueError, match=r"`y0?`.*4.*5"):
        hj.integrate(graded_network(jnp.ones((2, 4))), jnp.ones(5), t1=1.0)


@pytest.mark.parametrize(
    "build, argument",
    [
        (lambda: hj.Event(crossing, max_occurrences=0), r"Event\.max_occurrences"),
        (lambda: hj.Event(crossing, mode=jnp.array(0), update=change), r"Event\.direction"),
        (lambda: hj.Event(lambda t, y, args: y[0]), r"`Event\.condition`.*\(t, y, args, mode\).*\(t, y, args\)"),
        (lambda: hj.Event(lambda t, y, args, **_: y[0]), r"`Event\.condition`.*\(t, y, args, mode\).*\*\*"),
        (
            lambda: hj.Event(crossing, direction=True, mode=jnp.array(0), update=lambda mode: mode),
            r"`Event\.update`.*\(t, y, args, mode\).*\(mode\)",
        ),
        (
            lambda: hj.integrate(*decay(), t1=1.0, event=hj.Event(lambda t, y, args, mode: y)),
            r"`Event\.condition`.*\(1,\)",
        ),
        (
            lambda: hj.integrate(*decay(), t1=1.0, event=hj.Event(lambda t, y, args, mode: None)),
            r"`Event\.condition`.*NoneType",
        ),
        (lambda: hj.integrate(*decay(), t1=1.0, statistics=lambda t, y: y), r"`statistics`.*\(t, y, args\).*\(t, y\)"),
        (lambda: hj.Noise(lambda t, y: y, jr.key(0)), r"`Noise\.diffusion`.*\(t, y, args\).*\(t, y\)"),
    ],
)
def test_bad_events_are_named(build, argument):
    with pytest.raises(ValueError, match=argument):
        build()


# --- transforms that need another adjoint, and traces ---


def test_second_derivatives_take_the_direct_adjoint(x64):
    final = lambda rate, adjoint: hj.integrate(Decay(rate), ONE, t1=1.0, adjoint=adjoint, max_steps=64).final[0]  # noqa: E731
    # e^{-k} has the second derivative e^{-k}, at the solver's tolerance of 1e-8 a step.
    second = jax.hessian(lambda rate: final(rate, dfx.DirectAdjoint()))(jnp.array(1.0))
    np.testing.assert_allclose(second, np.exp(-1.0), rtol=1e-6)
    for adjoint in (None, FORWARD):
        with pytest.raises(Exception, match=r"second derivatives.*adjoint=diffrax\.DirectAdjoint\(\)"):
            jax.hessian(lambda rate, adjoint=adjoint: final(rate, adjoint))(jnp.array(1.0))
    with pytest.raises(ValueError, match=r"`adjoint`.*BacksolveAdjoint"):
        final(jnp.array(1.0), dfx.BacksolveAdjoint())


def test_forward_mode_with_the_default_adjoint_says_which_one_to_pass():
    with pytest.raises(ValueError, match=r"adjoint=diffrax\.ForwardMode\(\)"):
        jax.jvp(lambda y: hj.integrate(Oscillator(), y, t1=1.0).final, (TURN,), (TURN,))


def test_reverse_mode_with_the_forward_adjoint_says_which_one_to_pass():
    with pytest.raises(Exception, match=r"adjoint=diffrax\.RecursiveCheckpointAdjoint\(\)"):
        jax.grad(lambda y: jnp.sum(hj.integrate(Oscillator(), y, t1=1.0, adjoint=FORWARD).final))(TURN)


class Counted(hj.AbstractDynamics):
    """A relaxation that counts how often it is traced."""

    tau: jax.Array
    beta: jax.Array
    traces: list = eqx.field(static=True)

    def __init__(self, tau, beta, traces):
        self.tau = graded_network(jnp.ones((1, 2)), tau_visible=tau).tau_visible
        self.beta, self.traces = hj.LogCosh(beta).beta, traces

    def vector_field(self, t, y, args=None):
        self.traces.append(1)
        return (jnp.tanh(self.beta * y) - y) / self.tau


class Traces(list):
    """Compares and hashes by identity."""

    def __hash__(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)

    def __eq__(self, other):
        return self is other


def test_nothing_is_traced_again_when_only_numbers_change():
    traces = Traces()
    finals, before = [], None
    for number in (5, 5.0, np.float64(5), np.float32(5), jnp.float32(5), jnp.asarray(5)):
        path = hj.integrate(Counted(number, number, traces), jnp.ones(2), t0=0, t1=number, adjoint=FORWARD)
        finals.append(float(path.final[0]))
        before = len(traces) if before is None else before
        assert len(traces) == before, number
    hj.integrate(Counted(2, 0.5, traces), jnp.zeros(2), t0=1, t1=7, adjoint=FORWARD)
    assert len(traces) == before and len(set(finals)) == 1


def test_steps_to_given_times_are_taken_and_wrong_ones_give_their_code():
    steps = jnp.array([[0.0, 0.25, 1.0], [0.0, 0.5, 2.0], [0.0, 0.0, 1.0]])
    run = lambda ts: hj.integrate(  # noqa: E731
        Decay(1.0), ONE, t1=1.0, solver=dfx.Euler(), stepsize_controller=dfx.StepTo(ts), throw=False
    )
    path = jax.vmap(run)(steps)
    assert np.array_equal(path.result == hj.RESULTS.invalid_parameter, [False, True, True])
    np.testing.assert_allclose(path.final[:, 0], [0.75 * 0.25, np.nan, np.nan])


class OtherController(dfx.AbstractStepSizeController):
    """Adaptive steps that this package does not know."""

    inner: dfx.AbstractStepSizeController = dfx.PIDController(1e-5, 1e-6)

    def wrap(self, direction):
        return self

    def init(self, *args):  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.inner.init(*args)

    def adapt_step_size(self, *args):  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.inner.adapt_step_size(*args)


@pytest.mark.parametrize("adjoint", [None, FORWARD, dfx.DirectAdjoint()])
def test_controllers_of_others_are_taken(adjoint):
    path = hj.integrate(Decay(1.0), ONE, t1=1.0, stepsize_controller=OtherController(), adjoint=adjoint, max_steps=64)
    np.testing.assert_allclose(path.final, np.exp(-1), rtol=1e-4)


def test_a_first_step_is_found_at_large_times():
    t0 = 2.0**20  # neighbours of which are 1/8 apart in float32: 0.01 is no step
    path = hj.integrate(Decay(1e-3), ONE, t0=t0, t1=t0 + 1024)
    np.testing.assert_allclose(path.final, np.exp(-1.024), rtol=1e-4)


def test_noise_refuses_adaptive_steps():
    noise = hj.Noise(lambda t, y, args: 1.0, jr.key(0))
    with pytest.raises(ValueError, match="stepsize_controller"):
        hj.integrate(
            Oscillator(), jnp.ones(2), t1=1.0, dt0=0.1, noise=noise, solver=dfx.Heun(),
            stepsize_controller=dfx.PIDController(1e-2, 1e-2),
        )  # fmt: skip
