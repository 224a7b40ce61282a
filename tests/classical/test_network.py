"""Dynamics of binary and graded networks: theorems, exact samples, and updates one by one."""

import inspect
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import classical as C

NUM_NEURONS = 24


def random_network(key, diagonal=0.0, symmetric=True, coding=None, temperature=0.0):
    """Gaussian couplings and thresholds."""
    coding = C.Spins() if coding is None else coding
    weights = jr.normal(key, (NUM_NEURONS, NUM_NEURONS))
    weights = (weights + weights.T) / 2 if symmetric else weights
    weights = jnp.fill_diagonal(weights, diagonal, inplace=False)
    threshold = 0.3 * jr.normal(jr.fold_in(key, 1), (NUM_NEURONS,))
    return C.BinaryNetwork(C.DenseCouplings(weights, symmetric=symmetric), threshold, temperature, coding)


def random_state(key, coding):
    return jnp.where(jr.bernoulli(key, 0.5, (NUM_NEURONS,)), coding.high, coding.low)


@jax.jit
def asynchronous(key, diagonal, bits):
    """A run of updates one by one, and of all at once; of spins or bits."""
    runs = []
    for coding in (C.Spins(), C.Bits()):
        network = random_network(key, diagonal, coding=coding)
        cue = random_state(jr.fold_in(key, 2), coding)
        runs.append(
            [
                C.retrieve(network, cue[None], cue, num_steps=30, order=order, key=key, throw=False)
                for order in (C.Asynchronous(repeats=True, block_size=5), C.Synchronous())
            ]
        )
    return jax.tree.map(lambda x, y: jnp.where(bits, y, x), *runs)


@hypothesis.settings(max_examples=40)
@hypothesis.given(seed=st.integers(0, 2**31 - 1), diagonal=st.sampled_from([0.0, 0.7]), bits=st.booleans())
def test_energy_never_rises_one_by_one_and_all_at_once_end_in_a_cycle_of_two(seed, diagonal, bits):
    one_by_one, at_once = asynchronous(jr.key(seed), jnp.float32(diagonal), bits)
    # Energies of up to about 100 are rounded to 1e-5.
    assert np.all(np.diff(one_by_one.energy) <= 1e-4)
    assert one_by_one.period == 1  # 720 updates of 24 neurons
    assert at_once.period in (1, 2)


def test_a_sequence_needs_all_neurons_at_once():
    """One by one, patterns mix: the first numbers in the docstring of `sequence`."""
    patterns = hj.random_patterns(10, 500, key=jr.key(0))
    network = C.BinaryNetwork(C.sequence(patterns))
    state, largest = patterns[0], []
    for order in (C.Synchronous(), C.Asynchronous()):
        for one in jr.split(jr.key(1), 5):
            state, _ = jax.jit(order.step)(network, state, one)
            largest.append(jnp.max(hj.overlap(patterns, state)))
    assert np.min(largest[:5]) > 0.99
    np.testing.assert_allclose([largest[5], largest[9]], [0.55, 0.46], atol=0.12)  # 0.03 over draws, N = 2000


def test_without_symmetry_neither_holds():
    # Two neurons of which one copies the other, which avoids it.
    network = C.BinaryNetwork(C.DenseCouplings(jnp.array([[0.0, 1.0], [-1.0, 0.0]])))
    cue = jnp.ones(2)
    at_once = C.retrieve(network, cue[None], cue, num_steps=8)
    assert at_once.period == 0 and np.isnan(at_once.energy[0])
    np.testing.assert_array_equal(at_once.overlap[:, 0], [1, 0, -1, 0, 1, 0, -1, 0, 1])  # a cycle of four
    # A random network, one by one: the energy of the symmetric part of its couplings rises somewhere.
    random = random_network(jr.key(0), symmetric=False)
    part = C.DenseCouplings((random.couplings.matrix() + random.couplings.matrix().T) / 2, symmetric=True)

    @jax.jit
    def energies(state):
        step = lambda state, key: C.Asynchronous().step(random, state, key)  # noqa: E731
        after = lambda state, key: (step(state, key)[0], C.BinaryNetwork(part, random.threshold).energy(state))  # noqa: E731
        return jax.lax.scan(after, state, jr.split(jr.key(2), 20))[1]

    assert np.max(np.diff(energies(random_state(jr.key(1), C.Spins())))) > 0.1


def test_a_negative_diagonal_may_raise_the_energy():
    network = random_network(jr.key(0), diagonal=-4.0)
    cue = random_state(jr.key(1), C.Spins())
    found = C.retrieve(network, cue[None], cue, num_steps=10, order=C.Asynchronous(), key=jr.key(2))
    assert np.max(np.diff(found.energy)) > 0.1


@pytest.mark.parametrize("repeats, temperature, block_size", [(False, 0.5, 7), (True, 0.0, 32), (True, 2.0, 5)])
def test_blocks_are_a_loop_over_neurons(repeats, temperature, block_size):
    network = random_network(jr.key(3), diagonal=0.5, temperature=temperature)
    order = C.Asynchronous(repeats=repeats, block_size=block_size)
    state, key = random_state(jr.key(4), C.Spins()), jr.key(5)
    got, num_flips = order.step(network, state, key)
    order_key, noise_key = jr.split(key)
    draw = jr.randint(order_key, (NUM_NEURONS,), 0, NUM_NEURONS)
    sites = np.asarray(draw if repeats else jr.permutation(order_key, NUM_NEURONS))
    noise = np.asarray(network.noise((NUM_NEURONS,), key=noise_key))
    spins, matrix, flips = np.asarray(state).copy(), np.asarray(network.couplings.matrix()), 0
    for site, z in zip(sites, noise, strict=True):
        new = np.sign(matrix[site] @ spins - network.threshold[site] + z)
        flips, spins[site] = flips + (new != spins[site]), new
    np.testing.assert_array_equal(got, spins)
    assert num_flips == flips and flips > 2
    if repeats:
        assert len(set(sites.tolist())) < NUM_NEURONS


@pytest.mark.parametrize("coding", [C.Spins(), C.Bits()])
def test_glauber_samples_the_boltzmann_distribution(coding):
    """All 32 states of five neurons against exp(−E/T)."""
    n, temperature = 5, 0.8
    weights = jr.normal(jr.key(0), (n, n))
    couplings = C.DenseCouplings(jnp.fill_diagonal((weights + weights.T) / 2, 0, inplace=False), symmetric=True)
    network = C.BinaryNetwork(couplings, 0.3 * jr.normal(jr.key(1), (n,)), temperature, coding)
    states = jnp.asarray(list(itertools.product([coding.low, coding.high], repeat=n)))
    weight = np.exp(-np.asarray(jax.vmap(network.energy)(states)) / temperature)
    expected = weight / weight.sum()

    def sample(key):
        start_key, key = jr.split(key)
        start = jnp.where(jr.bernoulli(start_key, 0.5, (n,)), coding.high, coding.low)
        return C.settle(network, start, num_steps=30, order=C.Asynchronous(), key=key)

    # Independent chains, each thirty times as long as there are neurons: the χ² of 32 classes has 31 degrees of freedom
    # and exceeds 61.1 once in a thousand. The key is fixed; with half or twice the temperature it is in the hundreds.
    num_samples = 4000
    samples = np.asarray(jax.jit(jax.vmap(sample))(jr.split(jr.key(2), num_samples)))
    index = ((samples - coding.low) / (coding.high - coding.low)) @ 2 ** np.arange(n)[::-1]
    counts = np.bincount(np.round(index).astype(int), minlength=2**n)
    chi_squared = lambda p: np.sum((counts - num_samples * p) ** 2 / (num_samples * p))  # noqa: E731
    assert chi_squared(expected) < 61.1
    assert chi_squared(weight**0.5 / np.sum(weight**0.5)) > 200


def test_synchronous_noise_has_the_mean_of_tanh():
    network = random_network(jr.key(0), temperature=1.5)
    state = random_state(jr.key(1), C.Spins())
    step = jax.vmap(lambda key: C.Synchronous().step(network, state, key)[0])
    mean = np.mean(np.asarray(step(jr.split(jr.key(2), 4000))), axis=0)
    np.testing.assert_allclose(mean, np.tanh(np.asarray(network.field(state)) / 1.5), atol=4 / 4000**0.5)  # four s.e.


def test_ties_keep_the_old_state():
    cue = jnp.array([1.0, -1.0, 1.0, -1.0])
    nothing = C.BinaryNetwork(C.DenseCouplings(jnp.zeros((4, 4)), symmetric=True))
    for order in (C.Synchronous(), C.Asynchronous()):
        found = C.retrieve(nothing, cue[None], cue, num_steps=2, order=order, key=jr.key(0))
        np.testing.assert_array_equal(found.state, cue)
        assert found.period == 1 and np.all(found.num_flips == 0)


def test_two_repelling_neurons_swap_for_ever():
    network = C.BinaryNetwork(C.DenseCouplings(jnp.array([[0.0, -1.0], [-1.0, 0.0]]), symmetric=True))
    found = C.retrieve(network, jnp.ones((1, 2)), jnp.ones(2), num_steps=3)
    assert found.period == 2 and found.overlap[:, 0].tolist() == [1, -1, 1, -1]
    assert "a cycle of two" in str(found)


def test_overlaps_are_normalised_in_every_coding(key):
    for coding, patterns in (
        (C.Spins(), hj.random_patterns(2, 20_000, key=key)),
        (C.Spins(0.8), hj.biased_patterns(2, 20_000, 0.8, key=key)),
        (C.Bits(0.05), hj.sparse_patterns(2, 20_000, 0.05, key=key)),
    ):
        found = np.asarray(coding.overlap(patterns, patterns[0]))
        # The activity of a draw scatters by √(v/N), that of the overlap with itself by (high + low − 2a)/√(vN).
        scatter = 1 / 20_000**0.5
        assert (
            abs(found[0] - 1)
            <= 1e-6 + 4 * scatter * abs(coding.high + coding.low - 2 * coding.mean) / coding.variance**0.5
        )
        assert abs(found[1]) < 4 * scatter
        uniform = jnp.full(20_000, coding.high)
        assert abs(coding.overlap(patterns, uniform)[0]) < 4 * scatter / coding.variance**0.5


def test_sparse_patterns_are_retrieved_with_the_right_threshold(key):
    patterns, coding = hj.sparse_patterns(40, 400, 0.1, key=key), C.Bits(0.1)
    cue = hj.mask(patterns[0], 0.4, key=jr.key(1))
    found = {
        threshold: C.retrieve(
            C.BinaryNetwork(C.covariance(patterns, coding), threshold, coding=coding), patterns, cue, num_steps=10
        )
        for threshold in (0.0, 0.3)
    }
    assert found[0.3].overlap[-1, 0] > 0.97 and found[0.3].period == 1
    assert found[0.0].overlap[-1, 0] < 0.9  # silent neurons in a weak field become active


@pytest.mark.parametrize("coding", [C.Spins(), C.Bits()])
def test_the_inverse_of_a_memory_is_told(coding):
    patterns = hj.hadamard_patterns(6, 64)[1:]  # each as often high as low, so that overlaps are exact in both codings
    patterns = patterns if coding.low else (patterns + 1) / 2
    network = C.BinaryNetwork(C.covariance(patterns, coding), coding=coding)
    upside_down = C.retrieve(network, patterns, coding.low + coding.high - patterns[0], num_steps=3)
    assert (upside_down.winner, upside_down.sign) == (0, -1) and upside_down.period == 1
    assert "-1.0000 with pattern 0 (its inverse)" in str(upside_down)
    assert upside_down.overlap[-1].tolist() == [-1, 0, 0, 0, 0]
    upright = C.retrieve(network, patterns, patterns[3], num_steps=3)
    assert (upright.winner, upright.sign) == (3, 1) and "with pattern 3 (" in str(upright)


def test_where_a_threshold_tells_up_from_down_there_is_no_inverse(key):
    patterns = hj.random_patterns(5, 200, key=key)
    network = C.BinaryNetwork(C.hebbian(patterns), threshold=3.0)  # stronger than any field: all fall silent
    found = C.retrieve(network, patterns, -patterns[0], num_steps=3)
    assert found.sign == 1 and found.winner == np.argmax(found.overlap[-1])


def test_a_stored_pattern_comes_before_the_inverse_of_its_opposite(key):
    pattern = hj.random_patterns(1, 100, key=key)
    both = jnp.concatenate([-pattern, pattern])
    found = C.retrieve(C.BinaryNetwork(C.hebbian(pattern)), both, pattern[0], num_steps=2)
    assert (found.winner, found.sign) == (1, 1)


def test_temperatures_thresholds_and_cues_are_traced_and_mapped(key):
    patterns = hj.random_patterns(3, 60, key=key)
    cues = jax.vmap(lambda key: hj.flip(patterns[1], 0.15, key=key))(jr.split(key, 4))
    run = lambda temperature, threshold, cue: C.retrieve(  # noqa: E731
        C.BinaryNetwork(C.hebbian(patterns), threshold, temperature),
        patterns, cue, num_steps=5, order=C.Asynchronous(), key=key, throw=False,
    )  # fmt: skip
    temperatures, thresholds = jnp.array([0.0, 0.0, 5.0, -1.0]), jnp.array([0.0, 3.0, 0.0, 0.0])
    found = jax.jit(jax.vmap(run))(temperatures, thresholds, cues)
    assert "batch of shape (4,)" in str(found)
    assert found.overlap[0, -1, 1] == 1 and found.period[0] == 1
    assert np.all(np.asarray(found.state[1]) == -1)  # the threshold silences all
    assert abs(found.overlap[2, -1, 1]) < 0.6 and found.period[2] == 0
    assert (found.result == hj.RESULTS.invalid_parameter)[3] and np.all(np.isnan(found.overlap[3]))
    without_key = jax.jit(lambda temperature: C.settle(C.BinaryNetwork(C.hebbian(patterns), 0.0, temperature), cues[0]))
    assert np.array_equal(without_key(0.0), patterns[1]) and np.all(np.isnan(without_key(0.1)))
    failed = jax.jit(run)(0.0, 0.0, cues[0].at[3].set(jnp.nan))  # and it ends
    assert failed.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(failed.overlap))
    alone = run(0.0, 0.0, cues[0])
    np.testing.assert_array_equal(alone.overlap, found.overlap[0])


def test_settling_ends_where_retrieval_does(key):
    patterns = hj.random_patterns(6, 40, key=key)
    for couplings in (C.hebbian(patterns), C.DenseCouplings(-C.hebbian(patterns).matrix(), symmetric=True)):
        network = C.BinaryNetwork(couplings)
        found = C.retrieve(network, patterns, patterns[0], num_steps=60)
        state = C.settle(network, patterns[0], num_steps=60)
        assert found.period == (1 if isinstance(couplings, C.OuterProducts) else 2)
        assert np.array_equal(state, found.state) or np.array_equal(network.update(state), found.state)


def test_no_gradient_goes_through_binary_units(key):
    patterns = hj.random_patterns(3, 20, key=key)

    def overlap(cue):
        return C.retrieve(C.BinaryNetwork(C.hebbian(patterns)), patterns, cue, num_steps=1, throw=False).overlap[-1, 0]

    with pytest.raises(RuntimeError, match="no gradient goes through binary units"):
        jax.grad(overlap)(patterns[0])


def test_graded_networks_are_hopfields(key):
    patterns = hj.random_patterns(3, 30, key=key)
    layer = hj.Layer(hj.LogCosh(beta=3.0), tau=2.0, input=0.1)
    reference = hj.associative.graded_network(patterns, beta=3.0, input=0.1, tau_visible=2.0)
    v = jr.normal(key, (30,))
    for kind in (C.GradedNetwork, C.GradedEnergyNetwork):
        rate = kind(C.hebbian(patterns), layer).vector_field(0.0, v)
        np.testing.assert_allclose(rate, reference.vector_field(0.0, v), atol=1e-6)
    energy = C.GradedEnergyNetwork(C.hebbian(patterns), layer).energy(v)
    np.testing.assert_allclose(energy, reference.energy(v), rtol=1e-5)
    with pytest.raises(ValueError, match="`GradedEnergyNetwork.couplings`: expected symmetric ones"):
        C.GradedEnergyNetwork(C.sequence(patterns), layer)


PATTERNS = hj.random_patterns(3, 20, key=jr.key(0))
NETWORK = C.BinaryNetwork(C.hebbian(PATTERNS))


@pytest.mark.parametrize(
    "options, argument",
    [
        ({"patterns": PATTERNS[:, :5]}, "patterns"),
        ({"cue": PATTERNS[0, :5]}, "cue"),
        ({"cue": PATTERNS[0].at[0].set(jnp.nan)}, "cue"),
        ({"num_steps": 0}, "num_steps"),
        ({"network": C.hebbian(PATTERNS)}, "network"),
        ({"order": "asynchronous"}, "order"),
        ({"order": C.Asynchronous()}, "key"),
        ({"network": C.BinaryNetwork(C.hebbian(PATTERNS), temperature=0.1)}, "key"),
    ],
)
def test_bad_input_of_retrieve_is_named(options, argument):
    arguments = {"network": NETWORK, "patterns": PATTERNS, "cue": PATTERNS[0], "num_steps": 2} | options
    with pytest.raises(ValueError, match=f"`{argument}`"):
        inspect.unwrap(C.retrieve)(**arguments)  # without the run-time type checks, which would see some first


@pytest.mark.parametrize(
    "options, argument",
    [
        ({"threshold": jnp.zeros(3)}, "BinaryNetwork.threshold"),
        ({"temperature": -0.1}, "BinaryNetwork.temperature"),
        ({"temperature": jnp.inf}, "BinaryNetwork.temperature"),
    ],
)
def test_bad_networks_are_named(options, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        C.BinaryNetwork(C.hebbian(PATTERNS), **options)


@pytest.mark.parametrize("order", [C.Synchronous(), C.Asynchronous()])
def test_a_traced_cue_that_is_not_finite_ends_in_a_code(key, order):
    patterns = hj.random_patterns(3, 50, key=key)
    network = C.BinaryNetwork(C.hebbian(patterns))
    run = jax.jit(lambda cue: C.retrieve(network, patterns, cue, num_steps=2, order=order, key=key, throw=False))
    for bad in (jnp.nan, jnp.inf):
        found = run(patterns[0].at[3].set(bad))
        assert found.result == hj.RESULTS.invalid_parameter and (found.winner, found.sign) == (-1, 0)
        assert np.all(np.isnan(found.overlap)) and np.all(found.num_flips == -1)


def test_states_are_written_as_the_coding_has_them(key):
    coding = C.Bits(0.2)
    patterns = hj.sparse_patterns(3, 50, 0.2, key=key)
    network = C.BinaryNetwork(C.covariance(patterns, coding), coding=coding)
    with pytest.raises(ValueError, match="`cue`: expected entries"):
        C.retrieve(network, patterns, 2 * patterns[0] - 1, num_steps=1)
    with pytest.raises(ValueError, match="`patterns`: expected entries"):
        C.retrieve(network, 2 * patterns - 1, patterns[0], num_steps=1)
