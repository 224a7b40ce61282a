"""Memories that learn, against closed forms: eq. 40 and its correction for norms, eq. 24, 25, 34 and 35, Pavlov's rule.

Deviations from the theory have two sources, both of first order in dwell/τ_Ξ and neither statistical: Euler's steps
and, for cyclic curves, visits that come in whole intervals.
"""

import functools
import inspect
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import associative as A

NUM_NEURONS, NUM_PATTERNS, TAU = 50, 4, 250.0
NUM_INTERVALS, NUM_DRAWS = 2000, 20
UNIFORM = jnp.full(NUM_PATTERNS, 0.25)
FORTY = A.cyclic_protocol(NUM_PATTERNS, 40)
RULE = A.SoftmaxPlasticity(beta=1.0, tau_memory=10.0)


def draw(key, sigma=0.4, num_patterns=NUM_PATTERNS, num_neurons=NUM_NEURONS):
    """Orthogonal memories of norm √N and what is observed, each memory with noise."""
    memory_key, noise_key = jr.split(key)
    memories = hj.orthogonal_patterns(num_patterns, num_neurons, key=memory_key)
    add_noise = lambda m, k: hj.add_noise(m, sigma, key=k)  # noqa: E731
    return memories, jax.vmap(add_noise)(memories, jr.split(noise_key, num_patterns))


def cosines(memories, observed):
    """Cosine between each memory and its own observed pattern."""
    return np.sum(memories * observed, -1) / np.linalg.norm(memories, axis=-1) / np.linalg.norm(observed, axis=-1)


def reference_rule(beta=2.0):
    return A.SoftmaxPlasticity(beta=beta, tau_memory=TAU)


@functools.cache
def reference() -> dict[str, Any]:
    """The paper's run under both protocols, for several draws at once."""

    def run(key):
        memories, observed = draw(key)
        random = A.random_protocol(UNIFORM, NUM_INTERVALS, key=jr.fold_in(key, 1))
        learn = lambda protocol: A.learn(reference_rule(), memories, observed, protocol, throw=False)  # noqa: E731
        cyclic = A.cyclic_protocol(NUM_PATTERNS, NUM_INTERVALS)
        return {"memories": memories, "observed": observed, "cyclic": learn(cyclic), "random": learn(random)}

    return jax.device_get(jax.jit(jax.vmap(run))(jr.split(jr.key(0), NUM_DRAWS)))


def curve(exponent, norm_corrected: bool):
    """Theory for every draw of the reference run, shape (draws, times, patterns)."""
    memories, observed = reference()["memories"], reference()["observed"]
    ratio = np.linalg.norm(observed, axis=-1) / np.linalg.norm(memories, axis=-1)
    start = cosines(memories, observed)[:, None]
    return A.similarity_curve(exponent, start, ratio[:, None] ** norm_corrected)


def largest(difference) -> np.ndarray:
    """Worst deviation of each draw at any time."""
    return np.max(np.abs(np.asarray(difference)), axis=(1, 2))


# --- the curve of eq. 40 ---


def test_similarity_curve_gives_the_numbers_of_eq_40():
    with enable_x64(True):
        got = A.similarity_curve(jnp.array([500.0, 1000.0, 2000.0]) / 1000, 1 / math.sqrt(1.16))
        np.testing.assert_allclose(got, [0.9733779, 0.9902983, 0.9987145], rtol=0, atol=6e-8)  # seven digits


def test_similarity_curve_is_the_cosine_of_a_mixture():
    memories, observed = jax.device_get(draw(jr.key(3), sigma=1.0))
    exponent = np.linspace(0, 5, 7)[:, None]
    kept = np.exp(-exponent)[..., None]
    expected = cosines(kept * memories + (1 - kept) * observed, observed)
    ratio = np.linalg.norm(observed, axis=1) / np.linalg.norm(memories, axis=1)
    start = cosines(memories, observed)
    got = A.similarity_curve(exponent, start[None], ratio[None])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)  # rounding in float32


def test_similarity_curve_starts_at_the_cosine_and_ends_at_one():
    assert A.similarity_curve(0.0, 0.3, 1.7) == np.float32(0.3)
    assert A.similarity_curve(jnp.inf, 0.3, 1.7) == 1


# --- the reference run ---


def test_cyclic_protocol_follows_the_norm_corrected_curve():
    run = reference()["cyclic"]
    assert np.all(np.asarray(hj.is_okay(run.result))) and run.times.shape == (NUM_DRAWS, NUM_INTERVALS + 1)
    exponent = (run.times / (NUM_PATTERNS * TAU))[..., None]
    assert largest(run.similarity - curve(exponent, norm_corrected=True)).max() < 1e-3
    # Eq. 40 takes the norms of ξ' and Ξ(0) for equal, where ‖ξ'‖ is larger by √1.16.
    without = largest(run.similarity - curve(exponent, norm_corrected=False))
    assert 1e-3 < without.min() and without.max() < 1e-2


@pytest.mark.parametrize("protocol", ["cyclic", "random"])
def test_realised_counts_give_the_curve_of_any_protocol(protocol):
    run = reference()[protocol]
    assert largest(run.similarity - curve(run.visits / TAU, norm_corrected=True)).max() < 2e-4


def test_probabilities_alone_do_not_give_the_curve_of_random_clamping():
    # Counts of visits fluctuate by √(t p (1 − p)): about 20 of 500, far more than Euler's error.
    run = reference()["random"]
    exponent = (run.times / (NUM_PATTERNS * TAU))[..., None]
    assert largest(run.similarity - curve(exponent, norm_corrected=True)).max() > 2e-3


def test_visits_count_what_was_shown():
    memories, observed = draw(jr.key(1))
    protocol = A.random_protocol(UNIFORM, 60, key=jr.key(2))
    run = A.learn(reference_rule(), memories, observed, protocol, save_every=20, dwell=0.5)
    shown = np.cumsum(np.asarray(protocol)[:, None] == np.arange(NUM_PATTERNS), axis=0)
    assert np.array_equal(run.visits, np.concatenate([np.zeros((1, NUM_PATTERNS)), shown[19::20]]))
    assert run.times.tolist() == [0, 10, 20, 30]


def test_protocols_are_what_they_say():
    assert A.cyclic_protocol(3, 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    probabilities = np.array([0.1, 0.2, 0.7], np.float32)
    counts = np.bincount(A.random_protocol(jnp.asarray(probabilities), 20_000, key=jr.key(0)), minlength=3)
    # Five standard errors of a binomial count.
    assert np.all(np.abs(counts / 20_000 - probabilities) < 5 * np.sqrt(probabilities * (1 - probabilities) / 20_000))


# --- the whole course of the memories and of Hebb's couplings ---


def test_memories_and_couplings_follow_eq_34_and_24_to_their_end():
    memories, observed = draw(jr.key(4))
    law = {"probabilities": UNIFORM, "tau_memory": TAU}
    protocol, now = A.cyclic_protocol(NUM_PATTERNS, 500), memories
    scale = np.linalg.norm(observed.T @ observed)
    for t in np.arange(1, 13) * 500.0:
        now = A.learn(reference_rule(), now, observed, protocol, save_every=500).memories
        # After s = t/1000, (1 − 1/250)^{250 s} stands where e^{−s} does: off by s e^{−s}/500 < 7.4e-4, times the
        # distance between ξ' and Ξ(0) (about 0.4 √N) or, in ΞᵀΞ, twice that times √N. The weights w differ from 1 by
        # less: e^{−βN}.
        learned = A.learned_memories(t, memories, observed, **law)
        assert np.linalg.norm(now - learned) < 7.5e-4 * np.linalg.norm(observed - memories)
        assert np.linalg.norm(now.T @ now - learned.T @ learned) < 1e-3 * scale


def test_courses_have_the_right_ends():
    memories, observed = draw(jr.key(5))
    probabilities = jnp.array([0.1, 0.2, 0.3, 0.4])
    for t, end in ((0.0, memories), (jnp.inf, observed)):
        got = A.learned_memories(t, memories, observed, probabilities=probabilities, tau_memory=TAU)
        assert np.array_equal(got, end)
    never = jnp.array([0.0, 0.5, 0.5, 0.0])
    for t in (1e9, jnp.inf):
        got = A.learned_memories(t, memories, observed, probabilities=never, tau_memory=TAU)
        assert np.array_equal(got, jnp.where((never > 0)[:, None], observed, memories))


def test_couplings_do_not_change_under_rotations_of_the_memories():
    memories, observed = draw(jr.key(6))
    rotation = jnp.linalg.qr(jr.normal(jr.key(7), (NUM_PATTERNS, NUM_PATTERNS)))[0]
    skewed = jnp.array([0.1, 0.2, 0.3, 0.4])

    def course(*args, **options):  # eq. 24
        learned = A.learned_memories(*args, tau_memory=TAU, **options)
        return learned.T @ learned

    target = lambda observed, p: A.PavlovianPlasticity(observed, p).target()  # noqa: E731
    for t in (0.0, 700.0, jnp.inf):
        plain = course(t, memories, observed, probabilities=UNIFORM)
        rotated = course(t, rotation @ memories, rotation @ observed, probabilities=UNIFORM)
        np.testing.assert_allclose(rotated, plain, atol=2e-5)
    np.testing.assert_allclose(target(rotation @ observed, UNIFORM), target(observed, UNIFORM), atol=2e-5)
    # With unequal probabilities each memory has a clock of its own, and the rows may no longer be mixed.
    plain = course(700.0, memories, observed, probabilities=skewed)
    rotated = course(700.0, rotation @ memories, rotation @ observed, probabilities=skewed)
    assert np.max(np.abs(rotated - plain)) > 1e-2
    assert np.max(np.abs(target(rotation @ observed, skewed) - target(observed, skewed))) > 1e-2


# --- Pavlov's rule ---


def test_pavlovian_solution_solves_its_equation():
    memories, observed = draw(jr.key(8), num_neurons=6)
    rule = A.PavlovianPlasticity(observed, jnp.array([0.1, 0.2, 0.3, 0.4]), tau=3.0)
    start = memories.T @ memories
    times = jnp.array([0.5, 2.0, 7.0])
    path = hj.integrate(rule, start, t1=7.0, saveat=times)
    expected = jax.vmap(rule.solution, in_axes=(0, None))(times, start)
    np.testing.assert_allclose(path.values, expected, rtol=0, atol=1e-3)  # 100 times the solver's relative tolerance
    # Exactly: the derivative of the solution is the vector field at the solution.
    solution, slope = jax.jvp(lambda t: rule.solution(t, start), (2.0,), (1.0,))
    np.testing.assert_allclose(slope, rule.vector_field(2.0, solution), atol=1e-5)


def test_pavlovian_rule_ends_in_the_generalised_hebb_rule():
    observed = draw(jr.key(9))[1]
    skewed = jnp.array([0.1, 0.2, 0.3, 0.4])
    for probabilities in (UNIFORM, skewed):
        rule = A.PavlovianPlasticity(observed, probabilities, tau=3.0)
        shown = np.asarray(observed, np.float64)
        hebb = sum(NUM_PATTERNS * float(p) * np.outer(x, x) for p, x in zip(probabilities, shown, strict=True))
        np.testing.assert_allclose(rule.target(), hebb, atol=2e-5)
        assert np.array_equal(rule.solution(jnp.inf, jnp.eye(NUM_NEURONS)), rule.target())
        assert np.all(rule.vector_field(0.0, rule.target()) == 0)
        # The softmax rule ends in Ξ'ᵀΞ' (eq. 25), whatever the probabilities.
        agrees = np.allclose(rule.target(), shown.T @ shown, atol=2e-5)
        assert agrees == (probabilities is UNIFORM)


# --- the rule and its steps ---


def test_vector_field_is_eq_12_to_14():
    rule = A.SoftmaxPlasticity(beta=0.7, tau_memory=3.0, bias=jnp.full((2, 3), 0.25))
    memories, v = jnp.array([[1.0, 2, -1], [0, 1, 1]]), jnp.array([0.5, -1, 2])
    raw = np.exp(0.7 * memories @ v)
    weights = raw / raw.sum()
    np.testing.assert_allclose(rule.weights(memories, v), weights, rtol=1e-5)
    rate = weights[:, None] * (-np.asarray(memories) + 0.25 + np.asarray(v)) / 3
    np.testing.assert_allclose(rule.vector_field(0.0, memories, v), rate, rtol=1e-5)


def test_more_steps_an_interval_converge_at_first_order():
    drawn = jax.device_get(draw(jr.key(10)))
    with enable_x64(True):
        memories, observed = (jnp.asarray(x, float) for x in drawn)
        # For this β the weights are 1 and 0 to e^{−300}, and the closed form is exact.
        rule, protocol = A.SoftmaxPlasticity(beta=20.0, tau_memory=20.0), A.cyclic_protocol(NUM_PATTERNS, 80)
        exact = A.learned_memories(80.0, memories, observed, probabilities=jnp.full(4, 0.25), tau_memory=20.0)
        learn = functools.partial(A.learn, rule, memories, observed, protocol, save_every=80)
        errors = [float(jnp.linalg.norm(learn(steps_per_interval=n).memories - exact)) for n in (1, 2)]
    # (1 − h)^{s/h} = e^{−s} (1 − s h/2 + …) with h = 1/(20 n): the next order is h below it.
    np.testing.assert_allclose(errors[0] / errors[1], 2, atol=0.1)
    np.testing.assert_allclose(errors[0], math.exp(-1) / 40 * np.linalg.norm(observed - memories), rtol=0.1)


def test_dwell_scales_with_the_time_constant():
    memories, observed = draw(jr.key(11))
    learn = lambda tau, **dwell: A.learn(  # noqa: E731
        A.SoftmaxPlasticity(beta=2.0, tau_memory=tau), memories, observed, FORTY, save_every=40, **dwell
    )
    one, other = learn(20.0), learn(10.0, dwell=0.5)
    np.testing.assert_allclose(one.similarity, other.similarity, atol=1e-6)
    assert one.times.tolist() == [0, 40] and other.times.tolist() == [0, 20]


# --- conditions for learning ---


def test_learning_conditions_by_hand():
    # softmax(ln 3 · (1, 0)) = (3/4, 1/4) and softmax(ln 3 · (0, 2)) = (1/10, 9/10) are the weights when the one and the
    # other pattern is shown. Shares p_ν w_μ: own 3/16 and 27/40, foreign 3/40 and 1/16.
    rule = A.SoftmaxPlasticity(beta=math.log(3), tau_memory=8.0)
    got = A.learning_conditions(
        rule, jnp.diag(jnp.array([1.0, 2.0])), jnp.eye(2), probabilities=jnp.array([0.25, 0.75]), dwell=2.0
    )
    np.testing.assert_allclose(got.selectivity, 3 / 4, rtol=1e-6)
    np.testing.assert_allclose(got.leakage, 0.4, rtol=1e-6)
    np.testing.assert_allclose(got.smallest_probability, 0.25)
    np.testing.assert_allclose(got.dwell_ratio, 2 * 0.75 / 8, rtol=1e-6)
    assert got.interference == 0 and got.initial_similarity == 1
    # Memories (3, 4) and (1, 0) have the cosine 3/5; observed (0, 1) and (−1, 1) lie at 4/5 and −1/√2 of their own.
    memories, observed = jnp.array([[3.0, 4], [1, 0]]), jnp.array([[0.0, 1], [-1, 1]])
    got = A.learning_conditions(rule, memories, observed, probabilities=jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(got.interference, 0.6, rtol=1e-6)
    np.testing.assert_allclose(got.initial_similarity, -math.sqrt(0.5), rtol=1e-6)
    assert "interference" in str(got) and "0.6" in str(got)
    batch = jax.vmap(lambda p: A.learning_conditions(rule, memories, observed, probabilities=p))(jnp.ones((3, 2)) / 2)
    assert "batch of shape (3,)" in str(batch)


def test_where_the_conditions_hold_learning_succeeds_and_where_they_fail_it_fails():
    memories, observed = draw(jr.key(12))
    merged = jnp.concatenate([memories[:1], memories[:1] + 0.1 * memories[1:2], memories[2:]])
    absent = jnp.array([0.0, 0.3, 0.3, 0.4])

    def both(beta, memories, observed, probabilities):
        rule = reference_rule(beta)
        report = A.learning_conditions(rule, memories, observed, probabilities=probabilities)
        protocol = A.random_protocol(probabilities, NUM_INTERVALS, key=jr.key(13))
        return report, np.min(A.learn(rule, memories, observed, protocol, save_every=100).similarity[-1])

    good, learned = both(2.0, memories, observed, UNIFORM)
    assert good.interference < 1e-5 and good.selectivity > 0.999 and good.leakage < 1e-3 and good.dwell_ratio < 0.01
    assert learned > 0.99
    flat, learned = both(1e-3, memories, observed, UNIFORM)
    assert flat.selectivity < 0.3 and flat.leakage > 2 and learned < 0.8
    never, learned = both(2.0, memories, observed, absent)
    assert never.smallest_probability == 0 and never.leakage == np.inf and learned < 0.95
    # Two memories in nearly one direction: one of them takes both patterns.
    crossed, learned = both(2.0, merged, merged + (observed - memories), UNIFORM)
    assert crossed.interference > 0.9 and crossed.selectivity < 0.5 and learned < 0.97


# --- neurons, memories and inputs together ---


def test_stream_shows_one_pattern_after_the_other():
    patterns = jnp.array([[1.0, -1.0], [2.0, 3.0]])
    stream = A.Stream(patterns, jnp.array([1, 0, 1]), dwell=2.0, amplitude=0.5)
    for t, shown in ((-1.0, 1), (0.0, 1), (1.9, 1), (2.0, 0), (3.9, 0), (4.0, 1), (100.0, 1)):
        assert np.array_equal(stream(t), 0.5 * patterns[shown])
    assert stream.jump_times().tolist() == [2, 4]


def test_frozen_memories_leave_the_network_alone():
    patterns = hj.orthogonal_patterns(3, 12, key=jr.key(14))
    build = lambda memories, shown: A.slow_fast_network(A.MemoryMap(memories), input=shown, tau_hidden=0.2)  # noqa: E731
    stream = A.Stream(patterns, jnp.array([1, 2]), dwell=5.0, amplitude=0.3)
    frozen = A.LearningNetwork(build, A.SoftmaxPlasticity(beta=1.0, tau_memory=1e9), stream)
    reading = A.LearningNetwork(build, RULE, stream, read=lambda y: 2 * y["visible"])

    @jax.jit
    def rates(t, shown, neurons):
        state = {"neurons": neurons, "memories": patterns}
        alone = build(patterns, shown).vector_field(t, neurons)
        return frozen.vector_field(t, state), alone, reading.vector_field(t, state)["memories"]

    neurons = {"visible": jr.normal(jr.key(15), (12,)), "hidden": jr.normal(jr.key(16), (3,))}
    for t, shown in ((1.0, 1), (6.0, 2)):
        together, alone, read = rates(t, 0.3 * patterns[shown], neurons)
        for name in alone:
            np.testing.assert_allclose(together["neurons"][name], alone[name], rtol=1e-6)
        assert np.max(np.abs(together["memories"])) < 1e-8  # |ξ − v| is below 10
        # The memories see the visible neurons, or what `read` makes of them.
        np.testing.assert_allclose(read, RULE.vector_field(0.0, patterns, 2 * neurons["visible"]), rtol=1e-5)


def test_inputs_that_jump_and_linear_neurons_in_closed_form():
    patterns, v = jnp.array([[1.0, -1.0], [2.0, 3.0]]), np.array([0.5, 0.5])
    stream = A.Stream(patterns, jnp.array([0, 1, 1, 0, 1]), dwell=2.0)
    build = lambda memories, shown: A.AdiabaticNetwork(A.MemoryMap(jnp.zeros((1, 2))), input=shown)  # noqa: E731
    network = A.LearningNetwork(build, A.SoftmaxPlasticity(beta=1.0, tau_memory=1e9), stream)
    start = {"neurons": jnp.asarray(v, jnp.float32), "memories": patterns}
    path = hj.integrate(network, start, t1=10.0, jump_times=stream.jump_times())
    for shown in (0, 1, 1, 0, 1):  # τ v̇ = −v + I between the jumps
        v = np.asarray(patterns)[shown] + math.exp(-2) * (v - np.asarray(patterns)[shown])
    np.testing.assert_allclose(path.final["neurons"], v, atol=1e-4)  # ten times the solver's relative tolerance
    np.testing.assert_allclose(path.final["memories"], patterns, atol=1e-6)


def test_neurons_settle_while_memories_drift_under_a_stream():
    num_patterns, num_neurons, tau = 2, 16, 100.0
    patterns = hj.hadamard_patterns(4, num_neurons)[2:]
    memories = jax.vmap(lambda m, k: hj.add_noise(m, 0.5, key=k))(patterns, jr.split(jr.key(16), num_patterns))
    dwell, num_intervals = 10.0, 40

    def build(memories, shown):
        return A.slow_fast_network(A.MemoryMap(memories), visible=hj.LogCosh(4.0), input=shown, tau_hidden=0.1)

    stream = A.Stream(patterns, A.cyclic_protocol(num_patterns, num_intervals), dwell=dwell, amplitude=3.0)
    network = A.LearningNetwork(
        build,
        A.SoftmaxPlasticity(beta=1.0, tau_memory=tau),
        stream,
        read=lambda y: jnp.tanh(4.0 * y["visible"]),
    )
    start = {"neurons": {"visible": jnp.zeros(num_neurons), "hidden": jnp.zeros(num_patterns)}, "memories": memories}
    ends = dwell * jnp.arange(1, num_intervals + 1, dtype=jnp.float32)
    path = hj.integrate(
        network,
        start,
        t1=dwell * num_intervals,
        saveat=ends,
        jump_times=stream.jump_times(),
        statistics=lambda t, y, args: (jnp.tanh(4.0 * y["neurons"]["visible"]), y["memories"]),
    )
    outputs, course = path.values
    # Fast: at the end of every interval, ten τ_v long, the neurons show the pattern of that interval.
    shown = np.asarray(patterns)[np.arange(num_intervals) % num_patterns]
    np.testing.assert_allclose(outputs, shown, atol=1e-2)
    # Slow: each memory turns to its own pattern as eq. 40 says; after a jump the neurons need about τ_v of the dwell of
    # 10 τ_v to turn, so that s is right to a tenth, and 0.1 s times the curve's slope is below 0.01.
    ratio = np.linalg.norm(patterns, axis=1) / np.linalg.norm(memories, axis=1)
    visits = np.stack([np.arange(1, num_intervals + 1) + 1, np.arange(1, num_intervals + 1)], 1) // 2
    theory = A.similarity_curve(visits * dwell / tau, cosines(memories, patterns)[None], ratio[None])
    got = cosines(np.asarray(course), np.asarray(patterns))
    assert np.all(got[0] < 0.95) and np.all(got[-1] > 0.99)
    np.testing.assert_allclose(got, theory, atol=0.01)


# --- transforms ---


def test_learn_under_jit_and_vmap_agrees_with_plain_calls():
    memories, observed = jax.vmap(draw)(jr.split(jr.key(17), 3))
    betas = jnp.array([0.05, 0.1, 2.0])

    def final(beta, memories, observed):
        return A.learn(reference_rule(beta), memories, observed, FORTY, save_every=40, throw=False).similarity

    plain = np.stack([final(*case) for case in zip(betas, memories, observed, strict=True)])
    np.testing.assert_allclose(jax.jit(jax.vmap(final))(betas, memories, observed), plain, atol=1e-6)


def test_gradient_with_respect_to_beta_equals_finite_differences():
    drawn = jax.device_get(draw(jr.key(18), num_neurons=10))
    with enable_x64(True):
        memories, observed = (jnp.asarray(x, float) for x in drawn)
        protocol = A.cyclic_protocol(NUM_PATTERNS, 100)

        @jax.jit
        def final(beta):
            rule = A.SoftmaxPlasticity(beta=beta, tau_memory=20.0)
            run = A.learn(rule, memories, observed, protocol, steps_per_interval=2, save_every=100, throw=False)
            return jnp.sum(run.similarity[-1])

        beta, step = 0.15, 1e-5
        slope = jax.jit(jax.grad(final))(beta)
        numeric = (final(beta + step) - final(beta - step)) / (2 * step)
    assert abs(slope) > 1e-2
    # Central differences: step² times a third derivative of order 1e3, and rounding 1e-16/step.
    np.testing.assert_allclose(slope, numeric, rtol=1e-6)


def test_nothing_is_traced_again_when_only_numbers_change():
    memories, observed = draw(jr.key(19))
    protocol = A.cyclic_protocol(NUM_PATTERNS, 20)
    calls, original = [], A.SoftmaxPlasticity.vector_field

    def counted(self, t, y, args):
        calls.append(1)
        return original(self, t, y, args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(A.SoftmaxPlasticity, "vector_field", counted)
        after = []
        for number in (5, 5.0, np.float64(5), jnp.asarray(5.0), 6.5):
            rule = A.SoftmaxPlasticity(beta=number, tau_memory=50 * number, bias=0 * number)
            A.learn(rule, memories, observed, protocol, dwell=number, save_every=10)
            after.append(len(calls))
    assert after[0] > 0 and after == after[:1] * len(after)


# --- bad input ---

ONES, NAN = jnp.ones((2, 3)), jnp.array([[1.0, jnp.nan, 0.0], [1.0, 1.0, 1.0]])
HALF, SHOWN = jnp.array([0.5, 0.5]), jnp.array([0, 1])
LAW = {"probabilities": HALF, "tau_memory": 1.0}

BAD = [
    (A.SoftmaxPlasticity, (0.0, 1.0), {}, "SoftmaxPlasticity.beta", "0.0"),
    (A.SoftmaxPlasticity, (float("nan"), 1.0), {}, "SoftmaxPlasticity.beta", "nan"),
    (A.SoftmaxPlasticity, (jnp.ones(2), 1.0), {}, "SoftmaxPlasticity.beta", r"\(2,\)"),
    (A.SoftmaxPlasticity, (1.0, -1), {}, "SoftmaxPlasticity.tau_memory", "-1"),
    (A.SoftmaxPlasticity, (1.0, 1.0, float("inf")), {}, "SoftmaxPlasticity.bias", "inf"),
    (A.SoftmaxPlasticity, (1.0, 1.0, jnp.ones(3)), {}, "SoftmaxPlasticity.bias", r"\(3,\)"),
    (A.PavlovianPlasticity, (NAN, HALF), {}, "PavlovianPlasticity.observed", "not finite"),
    (A.PavlovianPlasticity, (jnp.ones((0, 3)), jnp.ones(0)), {}, "PavlovianPlasticity.observed", r"\(0, 3\)"),
    (A.PavlovianPlasticity, (ONES, jnp.ones(3) / 3), {}, "PavlovianPlasticity.probabilities", r"\(3,\)"),
    (A.PavlovianPlasticity, (ONES, jnp.array([-0.5, 1.5])), {}, "PavlovianPlasticity.probabilities", "-0.5"),
    (A.PavlovianPlasticity, (ONES, jnp.array([0.5, 0.4])), {}, "PavlovianPlasticity.probabilities", "0.9"),
    (A.PavlovianPlasticity, (ONES, HALF, 0.0), {}, "PavlovianPlasticity.tau", "0.0"),
    (A.cyclic_protocol, (0, 5), {}, "num_patterns", "0"),
    (A.cyclic_protocol, (2, 0), {}, "num_intervals", "0"),
    (A.random_protocol, (ONES, 5), {"key": jr.key(0)}, "probabilities", r"\(2, 3\)"),
    (A.random_protocol, (jnp.array([0.5, 0.6]), 5), {"key": jr.key(0)}, "probabilities", "1.1"),
    (A.random_protocol, (HALF, 2.5), {"key": jr.key(0)}, "num_intervals", "2.5"),
    (A.learn, (None, ONES, ONES, SHOWN), {}, "rule", "NoneType"),
    (A.learn, (RULE, jnp.ones(3), ONES, SHOWN), {}, "memories", r"\(3,\)"),
    (A.learn, (RULE, NAN, ONES, SHOWN), {}, "memories", "not finite"),
    (A.learn, (RULE, ONES, NAN, SHOWN), {}, "observed", "not finite"),
    (A.learn, (RULE, ONES, jnp.ones((2, 4)), SHOWN), {}, "observed", r"\(2, 4\)"),
    (A.learn, (RULE, ONES, ONES, SHOWN), {"dwell": 0.0}, "dwell", "0.0"),
    (A.learn, (A.SoftmaxPlasticity(1.0, 1.0, ONES.T), ONES, ONES, SHOWN), {}, "SoftmaxPlasticity.bias", r"\(3, 2\)"),
    (A.learn, (RULE, ONES, ONES, jnp.zeros((2, 2), int)), {}, "protocol", r"\(2, 2\)"),
    (A.learn, (RULE, ONES, ONES, jnp.array([0.0, 1.0])), {}, "protocol", "float32 of shape"),
    (A.learn, (RULE, ONES, ONES, jnp.array([0, 2])), {}, "protocol", r"\[0, 2\]"),
    (A.learn, (RULE, ONES, ONES, jnp.array([-1, 0])), {}, "protocol", r"\[-1, 0\]"),
    (A.learn, (RULE, ONES, ONES, jnp.zeros(0, int)), {}, "protocol", "none"),
    (A.learn, (RULE, ONES, ONES, SHOWN), {"save_every": 3}, "save_every", "3"),
    (A.learn, (RULE, ONES, ONES, SHOWN), {"save_every": 0}, "save_every", "0"),
    (A.learn, (RULE, ONES, ONES, SHOWN), {"steps_per_interval": 0}, "steps_per_interval", "0"),
    (A.Stream, (NAN, SHOWN, 1.0), {}, "Stream.patterns", "not finite"),
    (A.Stream, (ONES, jnp.array([0, 2]), 1.0), {}, "Stream.protocol", r"\[0, 2\]"),
    (A.Stream, (ONES, SHOWN, 0.0), {}, "Stream.dwell", "0.0"),
    (A.learned_memories, (1.0, NAN, ONES), LAW, "memories", "not finite"),
    (A.learned_memories, (1.0, ONES, jnp.ones((1, 3))), LAW, "observed", r"\(1, 3\)"),
    (A.learned_memories, (1.0, ONES, ONES), LAW | {"tau_memory": 0.0}, "tau_memory", "0.0"),
    (A.learned_memories, (1.0, ONES, ONES), LAW | {"probabilities": jnp.ones(3) / 3}, "probabilities", r"\(3,\)"),
    (A.learned_memories, (1.0, ONES, ONES), LAW | {"probabilities": jnp.array([0.5, 0.7])}, "probabilities", "1.2"),
    (A.learning_conditions, (RULE, NAN, ONES), {"probabilities": HALF}, "memories", "not finite"),
    (A.learned_memories, (1.0, ONES, NAN), LAW, "observed", "not finite"),
    (A.learning_conditions, (RULE, ONES, NAN), {"probabilities": HALF}, "observed", "not finite"),
    (A.learning_conditions, (RULE, ONES, jnp.ones((2, 4))), {"probabilities": HALF}, "observed", r"\(2, 4\)"),
    (A.learning_conditions, (RULE, ONES, ONES), {"probabilities": jnp.ones(1)}, "probabilities", r"\(1,\)"),
    (A.learning_conditions, (RULE, ONES, ONES), {"probabilities": HALF, "dwell": -1.0}, "dwell", "-1.0"),
]


@pytest.mark.parametrize("function, args, kwargs, argument, got", BAD)
def test_bad_input_is_named(function, args, kwargs, argument, got):
    # Without the run-time type checks of the test suite, which would see some of these first.
    with pytest.raises(ValueError, match=rf"`{argument}`.*expected.*{got}"):
        inspect.unwrap(function)(*args, **kwargs)


def test_a_build_that_gives_no_network_is_named():
    network = A.LearningNetwork(lambda memories, shown: memories, RULE, lambda t: jnp.ones(3))
    with pytest.raises(ValueError, match=r"`build`.*expected.*an array of shape"):
        network.vector_field(0.0, {"neurons": jnp.ones(3), "memories": ONES})


@pytest.mark.parametrize("name", ["beta", "tau", "dwell", "observed"])
def test_traced_nonsense_is_a_code_and_nan(name):
    @jax.jit
    def run(numbers):
        rule = A.SoftmaxPlasticity(beta=numbers["beta"], tau_memory=numbers["tau"])
        observed = numbers["observed"] * ONES
        return A.learn(rule, ONES, observed, SHOWN, dwell=numbers["dwell"], throw=False)

    good = {"beta": 1.0, "tau": 10.0, "dwell": 1.0, "observed": 1.0}
    assert run(good).result == hj.RESULTS.successful
    bad = run(good | {name: jnp.nan})
    assert bad.result == hj.RESULTS.invalid_parameter
    assert np.all(np.isnan(bad.similarity)) and np.all(np.isnan(bad.memories))


def test_steps_too_long_end_in_a_code_or_an_error():
    # A step of four time constants takes Ξ − ξ' to −3 times itself: beyond float32 after 81 of them.
    start = 2 * jnp.eye(2)
    run = functools.partial(A.learn, A.SoftmaxPlasticity(beta=1.0, tau_memory=0.25), start, -jnp.eye(2))
    blown = run(jnp.zeros(400, int), save_every=400, throw=False)
    assert blown.result == hj.RESULTS.not_finite and not np.all(np.isfinite(blown.similarity[-1]))
    with pytest.raises(eqx.EquinoxRuntimeError, match="infinite or NaN"):
        run(jnp.zeros(400, int), save_every=400)
