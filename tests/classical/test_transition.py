"""Capacity and basins: fits of synthetic runs with known answers, and the order of the learning rules."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import classical as C

VALUES = jnp.linspace(0.1, 0.9, 9)


def made_up(value, num_neurons, key):
    """Retrieved with a probability that is logistic in the value, of midpoint 0.4 + 3/N."""
    chance = jax.nn.sigmoid((value - 0.4 - 3 / num_neurons) / 0.08)
    return jnp.where(jr.uniform(key) < chance, 1.0, 0.0)


def test_the_fit_finds_the_midpoint_within_its_error():
    run = lambda seed: C.basin(made_up, VALUES, (20, 60, 180), num_trials=50, exponent=1.0, key=jr.key(seed))  # noqa: E731
    found = [run(seed) for seed in range(20)]
    pulls = [(x.half - 0.4 - 3 / x.num_neurons) / x.half_error for x in found]
    pulls = np.append(np.ravel(pulls), [(x.fit.limit - 0.4) / x.fit.limit_error for x in found])
    # 80 pulls (a quarter of them made of the others): standard deviation 1 within three times 1/√120.
    assert 0.72 < np.std(pulls) < 1.28 and abs(np.mean(pulls)) < 0.4
    np.testing.assert_allclose(found[0].width, 0.08, rtol=0.35)  # three standard errors of 450 draws
    assert "N → ∞" in str(found[0]) and "cue overlap" in str(found[0])


def test_a_jump_between_two_values_lies_between_them():
    step = lambda value, num_neurons, key: jnp.where(value > 0.55, 1.0, 0.0)  # noqa: E731
    found = C.basin(step, VALUES, (20, 60), num_trials=10, key=jr.key(0))
    np.testing.assert_allclose(found.half, 0.55, atol=0.01)
    assert np.all(found.half_error < 0.05) and np.all(found.half_error > 0.005)
    np.testing.assert_array_equal(found.fraction, np.broadcast_to(VALUES > 0.55, (2, 9)))
    # Wilson's half width for none out of ten: 1/(2·10)/(1 + 1/10).
    np.testing.assert_allclose(found.fraction_error, 0.05 / 1.1, rtol=1e-5)


def test_ends_are_told():
    always = lambda value, num_neurons, key: 1.0 + 0 * value  # noqa: E731
    found = C.basin(always, VALUES, (20, 60), num_trials=4, key=jr.key(0), throw=False)
    assert found.result == hj.RESULTS.not_bracketed and np.all(np.isnan(found.half))
    failing = lambda value, num_neurons, key: jnp.where(value > 0.5, jnp.nan, 0)  # noqa: E731
    found = C.basin(failing, VALUES, (20, 60), num_trials=4, key=jr.key(0), throw=False)
    assert found.result == hj.RESULTS.undecided


def test_finite_size_is_weighted_least_squares():
    sizes, errors = np.array([100.0, 300.0, 900.0, 2700.0]), np.array([0.01, 0.02, 0.01, 0.005])
    values = 0.14 + 2.0 * sizes**-0.7 + errors * np.array([0.5, -1.0, 0.2, 0.7])
    fit = C.finite_size(sizes, values, errors, exponent=0.7)
    expected, covariance = np.polyfit(sizes**-0.7, values, 1, w=1 / errors, cov="unscaled")
    np.testing.assert_allclose([fit.slope, fit.limit], expected, rtol=1e-3)  # float32
    np.testing.assert_allclose(fit.limit_error, covariance[1, 1] ** 0.5, rtol=1e-3)
    off = (values - np.polyval(expected, sizes**-0.7)) / errors
    np.testing.assert_allclose(fit.chi_squared, np.sum(off**2), rtol=2e-3)
    assert fit.num_free == 2 and "χ²" in str(fit)


def test_the_rules_stand_in_their_order():
    """At load 0.25 Hebb's rule loses nearly every pattern, Storkey's and the pseudo-inverse nearly none."""
    fraction = {}
    for rule in (C.hebbian, C.storkey, C.pseudo_inverse):
        run = jax.jit(jax.vmap(lambda key, rule=rule: C.recall(rule, 25, 100, 0.9, order=C.Synchronous(), key=key)))
        fraction[rule] = np.mean(np.asarray(run(jr.split(jr.key(0), 40))) > 0.9)
    # Each with a binomial error of at most 0.08.
    assert fraction[C.hebbian] < 0.4 and fraction[C.storkey] > 0.8 and fraction[C.pseudo_inverse] > 0.9


def test_small_networks_retrieve_beyond_the_limit():
    """At load 0.25, where infinitely many neurons retrieve nothing; half of 32 neurons' networks do so up to 0.34."""
    fraction = {}
    for num_patterns, num_neurons in ((8, 32), (64, 256)):
        run = lambda key, p=num_patterns, n=num_neurons: C.recall(C.hebbian, p, n, order=C.Synchronous(), key=key)  # noqa: E731
        fraction[num_neurons] = np.mean(np.asarray(jax.jit(jax.vmap(run))(jr.split(jr.key(0), 100))) >= 0.9)
    # Each with a binomial error of at most 0.05.
    assert fraction[32] > 0.55 and fraction[256] < 0.2


def test_recall_realises_its_cue_and_tells_bad_parameters():
    # One synchronous step from the cue of one pattern reaches it; from its negative, the negative.
    run = lambda cue, temperature: C.recall(  # noqa: E731
        C.hebbian, 1, 50, cue, temperature=temperature, num_steps=1, order=C.Synchronous(), key=jr.key(0)
    )
    cues, temperatures = jnp.array([0.1, -0.1, 1.5, 0.5]), jnp.array([0.0, 0.0, 0.0, -1.0])
    np.testing.assert_array_equal(jax.jit(jax.vmap(run))(cues, temperatures), [1, -1, np.nan, np.nan])


RUN = lambda p, n, key: jnp.zeros(())  # noqa: E731


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: C.capacity(RUN, jnp.array([0.2, 0.1]), (4, 8), num_trials=2, key=jr.key(0)), "loads"),
        (lambda: C.capacity(RUN, jnp.array([0.0, 0.1]), (4, 8), num_trials=2, key=jr.key(0)), "loads"),
        (lambda: C.capacity(RUN, VALUES, (4,), num_trials=2, key=jr.key(0)), "num_neurons"),
        (lambda: C.capacity(RUN, VALUES, (4, 4), num_trials=2, key=jr.key(0)), "num_neurons"),
        (lambda: C.capacity(RUN, VALUES, (4, 8), num_trials=1, key=jr.key(0)), "num_trials"),
        (lambda: C.basin(RUN, VALUES, (4, 8), num_trials=2, exponent=0.0, key=jr.key(0)), "exponent"),
        (lambda: C.recall(C.hebbian, 2, 8, 1.5, key=jr.key(0)), "cue_overlap"),
        (lambda: C.finite_size(jnp.ones(2), jnp.ones(2), jnp.ones(2)), "num_neurons"),
        (lambda: C.finite_size(jnp.array([1, 2]), jnp.ones(2), jnp.zeros(2)), "errors"),
    ],
)
def test_bad_input_is_named(call, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        call()


def test_draws_that_failed_are_no_answer():
    run = lambda value, num_neurons, key: jnp.where(jr.uniform(key) < 0.3, jnp.nan, 1.0)  # noqa: E731
    found = C.basin(run, VALUES, (20, 60), num_trials=8, key=jr.key(0), throw=False)
    assert found.result == hj.RESULTS.undecided
    assert np.all(np.isnan(found.half)) and np.isnan(found.fit.limit)
