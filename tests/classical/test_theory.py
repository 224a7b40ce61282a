"""Classical numbers from simulation: retrieval, first steps and capacities of large networks (slow)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import optimize
from scipy.special import erf

import hopfield_jax as hj
from hopfield_jax import classical as C

pytestmark = pytest.mark.slow


def mean_and_error(overlaps):
    overlaps = np.asarray(overlaps, np.float64)
    return overlaps.mean(), overlaps.std(ddof=1) / len(overlaps) ** 0.5


# Amit, Gutfreund and Sompolinsky 1987, T = 0. At this size no finite-size term is seen beside the standard errors.
@pytest.mark.parametrize("load, expected", [(0.05, 0.99999223), (0.10, 0.99799927), (0.12, 0.99322273)])
def test_retrieval_overlaps_are_those_of_the_replica_theory(load, expected):
    num_neurons, num_draws = 4000, 20
    run = jax.jit(lambda key: C.recall(C.hebbian, round(load * num_neurons), num_neurons, key=key))
    overlaps = [run(key) for key in jr.split(jr.key(0), num_draws)]
    mean, error = mean_and_error(overlaps)
    # So few spins are wrong at small loads that their number is a Poisson count, and may be zero in all draws.
    error = max(error, (2 * (1 - expected) / (num_neurons * num_draws)) ** 0.5)
    print(f"\nα = {load}: m = {mean:.6f} ± {error:.6f}, theory {expected}: {(mean - expected) / error:+.2f} s.e.")
    assert abs(mean - expected) < 3 * error


def test_first_synchronous_step_with_and_without_self_couplings():
    num_neurons, num_patterns, num_draws = 4000, 400, 40

    @functools.partial(jax.jit, static_argnums=1)
    def step(key, self_coupling):
        pattern_key, cue_key = jr.split(key)
        patterns = hj.random_patterns(num_patterns, num_neurons, key=pattern_key)
        network = C.BinaryNetwork(C.hebbian(patterns, self_coupling=self_coupling))
        return hj.overlap(patterns[:1], network.update(hj.flip(patterns[0], 0.25, key=cue_key)))[0]

    expected = {False: 0.8861537, True: 0.9051895}  # erf(m₀/√(2α)), and with J_ii = α
    for self_coupling in (False, True):
        mean, error = mean_and_error([step(key, self_coupling) for key in jr.split(jr.key(1), num_draws)])
        right, wrong = ((mean - expected[k]) / error for k in (self_coupling, not self_coupling))
        print(f"\nself_coupling={self_coupling}: m_1 = {mean:.5f} ± {error:.5f}; {right:+.2f} s.e., other {wrong:+.1f}")
        assert abs(right) < 3 and abs(wrong) > 5


def test_the_basin_is_that_of_dynamical_mean_field_theory():
    """Load 0.1, all neurons at once, T = 0: theory and simulation share nothing but the network."""

    def run(cue_overlap, num_neurons, key):
        return C.recall(C.hebbian, num_neurons // 10, num_neurons, cue_overlap, order=C.Synchronous(), key=key)

    found = C.basin(run, jnp.linspace(0.1, 0.7, 9), (250, 500, 1000, 2000), num_trials=60, key=jr.key(0))
    solve = functools.partial(
        hj.dmft.solve, num_steps=30, num_samples=8192, num_shifts=1, key=jr.key(0), throw=False
    )  # fmt: skip
    model = hj.dmft.PlasticNetwork(0.1, hj.Sign())
    theory = hj.dmft.basin_boundary(solve, model, threshold=0.9, lower=0.2, upper=0.5, num_iterations=9)
    print(f"\n{found}\ntheory: {theory.value:.4f}")
    # The bracket of the theory is 0.0006 wide, and 60 steps move it by less.
    assert abs(found.fit.limit - theory.value) < 3 * found.fit.limit_error and found.fit.limit_error < 0.012
    assert found.fit.chi_squared < 13.8  # two degrees of freedom; once in a thousand


def test_capacity_of_cyclic_sequences():
    """Synchronous, asymmetric Hebb; theory 0.2690616 at m = 0.835 (r = 1/(1 − C²))."""

    def run(num_patterns, num_neurons, key):
        patterns = hj.random_patterns(num_patterns, num_neurons, key=key)
        network = C.BinaryNetwork(C.sequence(patterns))
        state = jax.lax.fori_loop(0, 100, lambda _, state: network.update(state), patterns[0])
        return hj.overlap(patterns[100 % num_patterns][None], state)[0]

    loads = jnp.array([0.24, 0.26, 0.27, 0.28, 0.30])
    sizes = (500, 1000, 2000)
    found = C.capacity(run, loads, sizes, num_trials=40, threshold=0.6, exponent=1.0, key=jr.key(0))
    print(f"\n{found}\n{np.asarray(found.fraction)}")
    for exponent in (1 / 2, 2 / 3):
        print(C.finite_size(found.num_neurons, found.half, found.half_error, exponent=exponent).describe())
    # Couplings one way feed nothing back, so that the shift is of order 1/N; N^{-1/2} is two standard errors off.
    assert abs(found.fit.limit - 0.2690616) < 3 * found.fit.limit_error
    assert found.fit.limit_error < 0.003
    assert found.fit.chi_squared < 10.8  # one degree of freedom; once in a thousand


def largest(function, lower, upper) -> tuple[float, float]:
    found: Any = optimize.minimize_scalar(lambda x: -function(x), bounds=(lower, upper), method="bounded")
    return found.x, -found.fun


def palimpsest_age(decay, depth=np.inf):
    """Age/N up to which a pattern is retrieved: the replica-symmetric theory at T = 0, `depth` N patterns learnt.

    With weights w(u) = e^{−cu} the crosstalk has the variance ∫w²/(1 − wC)² du = [log(1 − wC) + 1/(1 − wC)]/(cC²)
    between the weights of the oldest and the newest pattern, and the pattern of age u has y = w(u)m/(√2 σ), m = erf y,
    C = √(2/π) e^{−y²}/σ.
    """

    def oldest(y):
        def imbalance(susceptibility):
            ends = susceptibility * np.array([1.0, np.exp(-decay * depth)])
            newest, oldest = np.log1p(-ends) + 1 / (1 - ends)
            variance = (newest - oldest) / (decay * susceptibility**2)
            return susceptibility - (2 / np.pi) ** 0.5 * np.exp(-(y**2)) / variance**0.5

        susceptibility = optimize.brentq(imbalance, 1e-6, 1 - 1e-9)
        deviation = (2 / np.pi) ** 0.5 * np.exp(-(y**2)) / susceptibility
        return -np.log(2**0.5 * y * deviation / erf(y)) / decay

    return largest(oldest, 0.5, 3.0)[1]


def test_palimpsest_remembers_most_at_its_best_decay():
    """Mézard, Nadal and Toulouse 1986: the oldest pattern retrieved has age 0.049 N at best, at decay ε²/2 = 8.4."""
    best, oldest = largest(palimpsest_age, 4.0, 16.0)
    print(f"\ntheory: age {oldest:.5f} at decay {best:.3f}")
    assert abs(oldest - 0.04895) < 1e-4 and abs((2 * best) ** 0.5 - 4.108) < 0.01

    def age(decay):
        def run(age, num_neurons, key):
            patterns = hj.random_patterns(num_neurons // 2, num_neurons, key=key)  # the oldest weighs e^{−2} to e^{−8}
            target = patterns[-1 - jnp.round(age * num_neurons).astype(int)]
            network = C.BinaryNetwork(C.palimpsest(patterns, decay))
            return hj.overlap(target[None], jax.lax.fori_loop(0, 30, lambda _, s: network.update(s), target))[0]

        grid = jnp.linspace(0.01, 0.10, 7)
        return C.basin(run, grid, (500, 1000, 2000), num_trials=30, threshold=0.8, name="age", key=jr.key(0))

    found = {}
    for decay in (4.0, 8.4, 20.0):
        found[decay], expected = age(decay), palimpsest_age(decay, depth=0.5)
        fit = found[decay].fit
        print(f"decay {decay}: theory {expected:.4f}\n{found[decay]}")
        assert abs(fit.limit - expected) < 3 * fit.limit_error and fit.limit_error < 0.005
    for other in (4.0, 20.0):  # at N = 2000, where the errors are smallest
        best, less = found[8.4], found[other]
        assert best.half[2] - less.half[2] > 3 * np.hypot(best.half_error[2], less.half_error[2])


def test_extreme_dilution_has_the_capacity_two_over_pi():
    """Derrida, Gardner and Zippelius 1987: m ← erf(m/√(2α)) with α = P/K, so that m vanishes at 2/π = 0.637."""
    num_neurons, num_neighbours, num_draws = 200_000, 64, 2

    @functools.partial(jax.jit, static_argnums=0)
    def overlap(num_patterns, key):
        pattern_key, key = jr.split(key)
        patterns = hj.random_patterns(num_patterns, num_neurons, key=pattern_key)
        network = C.BinaryNetwork(C.dilute(C.hebbian(patterns), num_neighbours, key=key))
        state = jax.lax.fori_loop(0, 60, lambda _, state: network.update(state), patterns[0])
        return hj.overlap(patterns[:1], state)[0]

    for num_patterns in (24, 32, 36, 46):
        m, low = 1.0, 1.0
        for _ in range(5000):  # the pattern itself makes no noise: P − 1 or P of them, which is of order 1/K
            m, low = (erf(x / (2 * p / num_neighbours) ** 0.5) for x, p in ((m, num_patterns - 1), (low, num_patterns)))
        mean, error = mean_and_error([overlap(num_patterns, key) for key in jr.split(jr.key(num_patterns), num_draws)])
        load = num_patterns / num_neighbours
        print(f"\nα = {load:.4f}: m = {mean:.4f} ± {error:.4f}, theory {low:.4f} to {m:.4f}")
        # Beyond 2/π what is left is that of a finite network at its end, where fluctuations die out slowly.
        assert low - 3 * error - 0.01 < mean < m + 3 * error + (0.01 if load < 2 / np.pi else 0.04)
