"""The map on all saliencies, against the saliency map, periodic states in closed form and brute force."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import enable_x64
from hopfield_jax import sequential
from hopfield_jax.sequential import Ending, follow_transitions


def periodic_state(saliency, dwell, num_patterns):
    """Saliencies of a cycle in which memory 0 takes over, each having left e^{-(dwell - log Z)} behind."""
    left = saliency * math.exp(-dwell)
    return np.array([saliency] + [left * math.exp(-(num_patterns - 1 - i) * dwell) for i in range(1, num_patterns)])


def brute_force(drive, saliency, start, delay, num_transitions, step=2e-5):
    """Order and switch times by Euler steps of ȧ = −a + D m."""
    a, active, t, left, order, times = np.array(saliency), start, 0.0, None, [start], []
    while len(times) < num_transitions:
        a, t = a + step * (drive[:, active] - a), t + step
        left = t if left is None and a[active] <= 1 else left
        if left is not None and t >= left + delay:
            active, left = int(np.argmax(np.where(np.arange(a.size) != active, a, -np.inf))), None
            order, times = [*order, active], [*times, t]
    return order, times


def test_a_long_chain_is_the_saliency_map(x64):
    gain, start, n = 5.0, 2.0, np.arange(20)
    run = follow_transitions(sequential.chain(20), gain, start, start=0)
    np.testing.assert_array_equal(run.order[:20], n)
    # Sums of 20 terms; rounding shrinks on the way to the stable fixed point.
    active = np.asarray(run.saliency)[n, n]
    np.testing.assert_allclose(active, sequential.iterate(gain, start, n), rtol=1e-14)
    np.testing.assert_allclose(run.switch_times[:19], sequential.total_time(gain, start, n[1:]), rtol=1e-14)
    np.testing.assert_allclose(run.dwell_times[:19], np.log(active[:-1]), rtol=1e-13)
    assert run.num_transitions == 19 and run.ending == Ending.end_of_chain and not run.collapsed
    np.testing.assert_allclose(run.end_time, sequential.total_time(gain, start, 20), rtol=1e-14)
    assert run.order.shape == (65,) and run.switch_times.shape == (64,) and run.saliency.shape == (65, 20)
    assert (
        np.all(run.order[20:] == -1) and np.all(np.isnan(run.saliency[20:])) and np.all(np.isnan(run.dwell_times[19:]))
    )


def test_below_the_critical_gain_a_chain_retrieves_the_closed_count_of_memories():
    for gain, count in [(3.5, 6), (3.9, 17), (3.0, 3)]:
        run = follow_transitions(sequential.chain(24), gain, gain, start=0, max_transitions=20)
        assert run.num_transitions + 1 == count
        assert run.collapsed and run.ending == Ending.collapse
        np.testing.assert_allclose(run.end_time, sequential.total_time(gain, gain, count), rtol=1e-6)


@pytest.mark.parametrize("num_patterns, gain", [(4, 3.75), (5, 3.9)])
def test_the_period_of_a_cycle_solves_its_polynomial(num_patterns, gain, x64):
    # Z = κ(1 − 1/Z) + Z^{1−P}, the largest root of Z^P − κZ^{P−1} + κZ^{P−2} − 1.
    roots = np.roots([1, -gain, gain, *[0] * (num_patterns - 3), -1])
    z = max(roots.real[np.abs(roots.imag) < 1e-9])
    run = follow_transitions(sequential.cycle(num_patterns), gain, 3.0, start=0, max_transitions=300)
    assert run.ending == Ending.running and run.num_transitions == 300 and np.isnan(run.end_time)
    np.testing.assert_allclose(run.dwell_times[-1], math.log(z), rtol=1e-10)
    np.testing.assert_array_equal(run.order, np.arange(301) % num_patterns)
    if num_patterns == 4:  # at 3.75, Z = 2 exactly
        np.testing.assert_allclose(run.dwell_times[-1], math.log(2), rtol=1e-10)


@pytest.mark.parametrize("num_patterns, delay", [(4, 0.0), (5, 0.3), (8, -0.2)])
def test_cycles_go_on_above_the_critical_gain_and_collapse_below(num_patterns, delay, x64):
    critical = float(sequential.critical_gain(num_patterns, delay))
    z = np.linspace(1.001, 4, 100_000)
    z = z[np.argmin((z**2 - z ** (2.0 - num_patterns)) / (z - 1))] * math.exp(-delay)  # where the fold is
    state = periodic_state(z, math.log(z) + delay, num_patterns)
    # The passage past the fold takes about π/√(relative distance) transitions, some 100.
    for side, ending in [(1e-3, Ending.running), (-1e-3, Ending.collapse)]:
        run = follow_transitions(
            sequential.cycle(num_patterns), critical * (1 + side), state, start=0, max_transitions=400, delay=delay
        )
        assert run.ending == ending
        assert run.num_transitions == 400 if side > 0 else 10 < run.num_transitions < 300
    # Exactly at the fold the periodic state repeats itself.
    run = follow_transitions(sequential.cycle(num_patterns), critical, state, start=0, max_transitions=1, delay=delay)
    np.testing.assert_allclose(run.saliency[1], np.roll(state, 1), rtol=1e-4)  # the place of the fold, from the scan


def test_delays_that_depend_on_the_successor(x64):
    # d = −log(1 + ε(a − 1)): the switch is where e^{−t} = (1 + ε(a − 1))/Z and a = κ(1 − e^{−t}), linear in a.
    gain, coupling, z = 5.0, 0.1, [3.0]
    for _ in range(10):
        z.append(gain * (1 - (1 - coupling) / z[-1]) / (1 + gain * coupling / z[-1]))
    run = follow_transitions(
        sequential.chain(12), gain, z[0], start=0, max_transitions=10, delay=lambda a: -jnp.log1p(coupling * (a - 1))
    )
    np.testing.assert_allclose(np.asarray(run.saliency)[np.arange(11), np.arange(11)], z, rtol=1e-13)
    dwell = np.log(z[:-1]) - np.log1p(coupling * (np.array(z[1:]) - 1))
    np.testing.assert_allclose(run.dwell_times, dwell, rtol=1e-12)
    # Its derivatives, the second one too, are those of the equation.
    first = lambda z: follow_transitions(  # noqa: E731
        sequential.chain(2), gain, z, start=0, delay=lambda a: -jnp.log1p(coupling * (a - 1))
    ).switch_times[0]
    after = lambda z: gain * (1 - (1 - coupling) / z) / (1 + gain * coupling / z)  # noqa: E731
    exact = lambda z: jnp.log(z) - jnp.log1p(coupling * (after(z) - 1))  # noqa: E731
    for both in (jax.grad, jax.jacfwd):
        np.testing.assert_allclose(both(first)(3.0), both(exact)(3.0), rtol=1e-12)
        np.testing.assert_allclose(jax.jacfwd(both(first))(3.0), jax.jacfwd(both(exact))(3.0), rtol=1e-10)
    # A slow nucleation, infinite as long as the successor is not above 1, satisfies its own equation.
    run = follow_transitions(
        sequential.chain(12), 3.0, 2.5, start=0, max_transitions=10, delay=lambda a: 0.05 / (a - 1)
    )
    active = np.asarray(run.saliency)[np.arange(11), np.arange(11)]
    np.testing.assert_allclose(run.dwell_times, np.log(active[:-1]) + 0.05 / (active[1:] - 1), rtol=1e-12)
    assert run.ending == Ending.running and min(active) > 1
    # At once where the delay is more negative than the memory is stable for.
    run = follow_transitions(sequential.chain(2), 5.0, np.array([1.2, 1.5]), start=0, delay=lambda a: a - 9)
    assert run.switch_times[0] == 0 and run.order[1] == 1
    run = follow_transitions(sequential.chain(2), 5.0, np.array([1.5, 1.2]), start=0, delay=-9.0)
    assert run.collapsed  # not for a weaker one


def test_branches_feeding_and_correlations_equal_brute_force(x64):
    rng = np.random.default_rng(1)
    patterns = np.sign(rng.normal(size=(5, 200)))
    gram = patterns @ patterns.T / 200
    edges = [(i, (i + 1) % 5) for i in range(5)] + [(0, 3, 0.6), (3, 3, 0.1), (2, 0, 0.9), (1, 1, 0.15)]
    transitions, gain, delay = sequential.transition_matrix(5, edges), 5.0, 0.1
    run = follow_transitions(transitions, gain, 3.0, start=0, max_transitions=5, delay=delay, gram=gram)
    drive = gain * gram @ np.asarray(transitions)
    order, times = brute_force(drive, 3.0 * gram[:, 0], 0, delay, 5)
    np.testing.assert_array_equal(run.order, order)
    np.testing.assert_allclose(run.switch_times, times, atol=1e-3)  # Euler steps of 2e-5, errors of 10 steps each
    assert len(set(order)) > 2
    # The time of a memory that feeds itself, in closed form.
    q = drive[0, 0]
    np.testing.assert_allclose(run.dwell_times[0], math.log((3 - q) / (1 - q)) + delay, rtol=1e-14)


@pytest.mark.parametrize(
    "edges, gain, saliency, options, ending, num_transitions, end_time",
    [
        ([(0, 1), (1, 2), (2, 0)], 2.0, 2.0, {}, "collapse", 0, math.log(2)),
        ([(0, 1), (1, 2)], 8.0, 2.0, {}, "end_of_chain", 2, math.log(2 * 4 * 6)),
        ([(0, 1)], 8.0, 1.0, {}, "decayed_at_start", 0, 0.0),
        ([(0, 1), (1, 1, 0.125)], 8.0, 2.0, {}, "no_escape", 1, math.inf),
        ([(0, 1), (0, 2)], 8.0, 2.0, {}, "tie", 0, math.log(2)),
        ([(0, 1), (0, 2, 0.999)], 8.0, 2.0, {}, "end_of_chain", 1, math.log(2 * 4)),
        ([(0, 1), (1, 2)], 8.0, 2.0, {"max_transitions": 2}, "end_of_chain", 2, math.log(2 * 4 * 6)),
        ([(0, 1), (1, 2)], 8.0, 2.0, {"max_transitions": 1}, "running", 1, math.nan),
        ([(0, 1)], 8.0, np.array([2.0, 0.0, 8.0]), {}, "tie", 0, math.log(2)),  # one grows, one falls to 4
        ([(0, 1)], 8.0, 2.0, {"delay": lambda a: math.nan * a}, "invalid", 0, math.nan),
        ([(0, 1)], 8.0, 2.0, {"delay": lambda a: math.inf * a}, "collapse", 0, math.log(2)),
    ],
)
def test_endings(edges, gain, saliency, options, ending, num_transitions, end_time):
    options = {"max_transitions": 6} | options
    run = follow_transitions(sequential.transition_matrix(3, edges), gain, saliency, start=0, **options)
    assert run.ending == getattr(Ending, ending), run.ending
    assert run.num_transitions == num_transitions and bool(run.collapsed) == (ending == "collapse")
    np.testing.assert_allclose(run.end_time, end_time, rtol=3e-7)
    if ending != "invalid":
        assert Ending[run.ending] in str(run) and np.sum(run.order >= 0) == num_transitions + 1


def numbers(point):
    gain, first, weight, other, delay = point
    run = follow_transitions(
        sequential.transition_matrix(4, [(0, 1), (1, 2), (2, 3), (0, 2, weight)]),
        gain,
        jnp.stack([first, other, 0 * first, 0 * first]),
        start=0,
        max_transitions=5,
        delay=lambda a: delay / (a - 1),  # infinite, and not differentiable, where nothing follows
    )
    times = run.switch_times[jnp.array([0, 2])]
    return jnp.concatenate([times, run.saliency[3], run.end_time[None]])


def test_slopes_equal_central_differences(x64):
    point, step = jnp.array([2.9, 2.5, 0.5, 0.3, 0.02]), 1e-5
    sides = jax.jit(jax.vmap(numbers))(jnp.concatenate([point[None] + s * step * jnp.eye(5) for s in (1, -1)]))
    differences = ((sides[:5] - sides[5:]) / (2 * step)).T
    assert jnp.all(jnp.isfinite(differences))
    for jacobian in (jax.jacfwd, jax.jacrev):
        # step² of a third derivative, 1e-15/step of rounding.
        np.testing.assert_allclose(jax.jit(jacobian(numbers))(point), differences, rtol=1e-7, atol=1e-7)


def test_batches_and_jit_agree_with_single_calls():
    gains, starts = jnp.array([2.0, 3.75, 6.0]), jnp.array([0, 1, 2])

    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def run(gain, start):
        return follow_transitions(sequential.cycle(4), gain, 3.0, start=start, max_transitions=8)

    batch = eqx.filter_jit(jax.vmap(lambda *x: follow_transitions(sequential.cycle(4), x[0], 3.0, start=x[1])))
    batch = batch(gains, starts)
    for i, (gain, start) in enumerate(zip(gains, starts, strict=True)):
        single = run(gain, start)
        assert batch.order[i, :9].tolist() == single.order.tolist()
        np.testing.assert_allclose(batch.switch_times[i, :8], single.switch_times, rtol=1e-6)  # another compilation
    assert [bool(x) for x in batch.collapsed] == [True, False, False]
    assert batch.switch_times.dtype == jnp.float32 and "batch of shape (3,)" in str(batch)


def test_traced_numbers_outside_their_domain_end_as_invalid():
    @jax.jit
    def run(gain, saliency, start, weight, delay):
        matrix = sequential.transition_matrix(3, [(0, 1, weight), (1, 2)])
        return follow_transitions(matrix, gain, saliency, start=start, max_transitions=3, delay=delay)

    fine = (8.0, 2.0, 0, 1.0, 0.0)
    assert run(*fine).ending == Ending.end_of_chain
    for place, bad in [(0, -1.0), (0, jnp.nan), (1, jnp.inf), (2, 3), (2, -1), (3, -1.0), (3, jnp.nan), (4, jnp.nan)]:
        arguments = list(fine)
        arguments[place] = bad
        out = run(*arguments)
        assert out.ending == Ending.invalid and not out.collapsed and out.num_transitions == 0
        assert jnp.all(out.order == -1) and jnp.all(jnp.isnan(out.saliency)) and jnp.isnan(out.end_time)


@pytest.mark.parametrize(
    "changes, name",
    [
        ({"transitions": -np.eye(3)}, "transitions"),
        ({"transitions": np.full((3, 3), np.nan)}, "transitions"),
        ({"gain": 0.0}, "gain"),
        ({"saliency": float("nan")}, "saliency"),
        ({"saliency": np.array([2.0, np.inf, 0.0])}, "saliency"),
        ({"start": 3}, "start"),
        ({"start": -1}, "start"),
        ({"max_transitions": 0}, "max_transitions"),
        ({"delay": float("inf")}, "delay"),
        ({"gram": np.full((3, 3), np.nan)}, "gram"),
    ],
)
def test_bad_arguments_are_named(changes, name):
    arguments = {"transitions": sequential.cycle(3), "gain": 5.0, "saliency": 2.0, "start": 0} | changes
    positional = [arguments.pop(x) for x in ("transitions", "gain", "saliency")]
    with pytest.raises(ValueError, match=f"`{name}`"):
        follow_transitions(*positional, **arguments)


def test_shapes_of_transitions_are_checked():
    from hopfield_jax.sequential._transitions import check_transitions

    for matrix, num_patterns in [(np.ones((2, 3)), None), (np.ones(3), None), (1.0, None), (np.eye(3), 4)]:
        with pytest.raises(ValueError, match="`matrix`.*shape"):
            check_transitions("matrix", matrix, num_patterns)
    with enable_x64():
        assert check_transitions("matrix", np.eye(3, dtype=int), 3).dtype == jnp.float64
