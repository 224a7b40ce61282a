"""Errors say which argument, what was expected, what was got, and what to do about the commonest slips."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax._checks import Rules, at_least, describe, is_valid, shape_is
from hopfield_jax._misc import as_inexact, nan_unless

PATTERNS = jnp.ones((2, 4))
NETWORK = hj.associative.AdiabaticNetwork(hj.associative.MemoryMap(PATTERNS))


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: hj.associative.MemoryMap(PATTERNS[0]), r"expected shape \(patterns, neurons\), got shape \(4,\)"),
        (lambda: shape_is("beta", PATTERNS[0], ()), r"expected a number, got shape \(4,\) \(`jax.vmap` maps over"),
        (lambda: hj.associative.retrieve(NETWORK, PATTERNS, PATTERNS), r"`cue`.*`jax.vmap` maps over a batch"),
    ],
)
def test_one_of_a_batch(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def wrong(function):
    """A call with an argument of a wrong type, which run-time type checks would catch first."""
    return getattr(function, "__wrapped__", function)


class Decay(hj.AbstractDynamics):
    def vector_field(self, t, y, args=None):
        return -y


LIST = r"`(y0|y|cue)`: expected an array.*`jnp.asarray`.*got a list of 4 numbers"


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: wrong(hj.integrate)(Decay(), [1.0, 2.0, 3.0, 4], t1=1.0), LIST),
        (lambda: wrong(hj.steady_state)(Decay(), [[1, 2], [3, 4]]), LIST),
        (lambda: wrong(hj.linearise)(NETWORK, [1.0] * 4), LIST),
        (lambda: wrong(hj.associative.retrieve)(NETWORK, PATTERNS, [1.0] * 4), LIST),
        (lambda: wrong(hj.check_descent)(NETWORK, [1.0] * 4), LIST),
        (
            lambda: jax.jit(lambda n: at_least("num_neurons", n, 1))(5),
            r"`num_neurons`: expected a whole number known .*static.*choices.*, got a traced one",
        ),
        (lambda: wrong(hj.steady_state)(hj.LogCosh, jnp.ones(4)), r"`model`.*got the class LogCosh \(an instance"),
        (lambda: wrong(hj.steady_state)(PATTERNS, jnp.ones(4)), r"`model`.*got an array of shape \(2, 4\)"),
        (lambda: wrong(hj.check_descent)(3, jnp.ones(4)), r"`model`: expected an energy network, got int"),
        (lambda: wrong(hj.tune)(lambda p: p, jnp.ones(3)), r"`parameters`: expected a dictionary.*got an array"),
        (lambda: wrong(hj.integrate)(NETWORK, jnp.ones(4), t1=1.0, solver=dfx.Tsit5), r"`solver`.*got the class Tsit5"),
        (lambda: wrong(hj.integrate)(NETWORK, jnp.ones(4), t1=1.0, noise=0.1), r"`noise`: expected a `Noise`"),
        (lambda: hj.domain("negative"), "`name`: expected one of real, finite, positive, .*, got 'negative'"),
        (lambda: wrong(hj.integrate)(NETWORK, jnp.ones(4), t1=1.0, event=abs), r"`event`: expected an `Event`"),
    ],
)
def test_wrong_kinds_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_numbers_are_shown_as_they_were_written():
    assert describe(np.float32(-0.1)) == "-0.1"
    assert describe(np.array([0.5, 2.0], np.float32)) == "[0.5, 2.0]"
    assert describe(3) == "3"
    with pytest.raises(ValueError, match="expected real numbers, got 'patterns.npy'"):
        wrong(as_inexact)("patterns.npy")


def rules_of(gain, times, start, *, each=False):
    """Three rules of one call, and a relation between two of its arguments."""
    rules = Rules(each=each)
    gain = rules.real("gain", gain, "positive", shape=None if each else ())
    times = rules.times("times", times)
    start = rules.index("start", start, 3, "a memory")
    rules.holds("times", lambda times, gain: times[-1] < gain, "times below gain = {1:g}", times, gain)
    return gain, times, start, rules


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((-1, np.array([0.0, 1.0]), 0), "`gain`: expected finite and positive, got -1.0"),
        ((1e-40, np.array([0.0, 1.0]), 0), "`gain`: expected finite and positive, got 1e-40"),  # zero when compiled
        ((jnp.nan, np.array([0.0, 1.0]), 0), "`gain`: expected finite and positive, got nan"),
        (
            (np.array([2.0]), np.array([0.0, 1.0]), 0),
            r"`gain`: expected a number, got shape \(1,\) \(`jax.vmap` maps over a batch",
        ),
        ((2j, np.array([0.0, 1.0]), 0), "`gain`: expected real numbers, got 2j"),
        ((2, np.array([1.0, 1.0]), 0), r"`times`: expected strictly increasing times, got \[1.0, 1.0\]"),
        ((2, np.array([]), 0), "`times`: expected at least one time, got none"),
        ((2, np.array([0.0, 2.5]), 0), r"`times`: expected times below gain = 2, got \[0.0, 2.5\]"),
        ((2, np.array([0.0, 1.0]), 3), "`start`: expected a memory from 0 to 2, got 3"),
        ((2, np.array([0.0, 1.0]), 1.0), "`start`: expected a whole number, got 1.0"),
        ((2, np.array([0.0, 1.0]), np.array([1])), r"`start`: expected a number, got shape \(1,\)"),
        ((2, np.array([0.0, 1.0]), np.ones(2, np.float32)), r"`start`.*got float32 of shape \(2,\)"),
    ],
)
def test_broken_rules_raise_where_values_are_known(arguments, said):
    with pytest.raises(ValueError, match=said):
        rules_of(*arguments)
    with pytest.raises(ValueError, match=said):  # known values are checked under `jax.jit` too
        jax.jit(lambda: rules_of(*arguments)[:3])()


def test_rules_of_known_values_leave_nothing_to_check():
    gain, times, start, rules = rules_of(2, np.array([0.0, 1.0]), np.int64(2))
    assert rules.valid is np.True_ and (gain.dtype, start.dtype) == (jnp.float32, jnp.int32)
    assert Rules().real("gain", 1e-5, "positive", dtype=jnp.float16).dtype == jnp.float16  # subnormal, but kept
    large = jnp.ones((300, 300))
    with pytest.raises(ValueError, match=r"`x`.*got 90000 numbers of shape \(300, 300\), from -1 to 1"):
        Rules().real("x", large.at[7, 7].set(-1.0), "positive", shape=(None, 300))


def test_broken_rules_take_validity_away_where_values_are_traced():
    valid = lambda gain, last, start: rules_of(gain, jnp.stack([jnp.zeros_like(last), last]), start)[3].valid  # noqa: E731
    cases = [
        (2.0, 1.0, 0),
        (-1.0, 1.0, 0),
        (1e-40, 1.0, 0),
        (jnp.nan, 1.0, 0),
        (2.0, 0.0, 0),
        (2.0, 2.5, 0),
        (2.0, 1.0, 3),
    ]
    expected = [True, False, False, False, False, False, False]
    assert [bool(jax.jit(valid)(*map(jnp.asarray, case))) for case in cases] == expected
    assert jax.vmap(valid)(*map(jnp.array, zip(*cases, strict=True))).tolist() == expected
    # Partly known: the relation is traced where one of its values is.
    assert not jax.jit(lambda gain: rules_of(gain, np.array([0.0, 2.5]), 0)[3].valid)(2.0)


def test_rules_of_each_entry():
    valid = jax.jit(
        lambda a, b: [r := Rules(each=True), *(r.real("x", x, "positive", shape=None) for x in (a, b))][0].valid
    )
    assert valid(jnp.array([1.0, -1.0]), jnp.array([[1.0], [jnp.inf]])).tolist() == [[True, False], [False, False]]


class Band(hj.AbstractSeparable):
    """Units whose author states a relation between two parameters."""

    low: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))
    high: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("finite"))

    def relations(self, rules):
        rules.holds("Band.high", lambda high, low: high > low, "a number above low = {1:g}", self.high, self.low)

    def elementwise(self, x):
        return 0.5 * jnp.square(jnp.clip(x, self.low, self.high))


def test_a_module_states_the_relations_between_its_parameters():
    with pytest.raises(ValueError, match=r"`Band.high`: expected a number above low = 1, got 0.5"):
        Band(1, 0.5)
    valid = jax.jit(lambda low: is_valid((Band(low, 2.0), 0)))  # the constructor leaves a traced one to `is_valid`
    assert valid(1.0) and not valid(2.0) and not valid(jnp.nan)


def test_what_is_not_valid_is_blanked_with_its_derivatives():
    tree = {"real": jnp.ones((2, 3)), "count": jnp.ones((2,), int), "flag": jnp.array([True, True]), "name": "x"}
    found = nan_unless(jnp.array([True, False]), tree)
    assert found["real"][0].tolist() == [1, 1, 1] and jnp.all(jnp.isnan(found["real"][1]))
    assert found["count"].tolist() == [1, -1] and found["flag"].tolist() == [True, False] and found["name"] == "x"
    slope = jax.grad(lambda x, valid, constant: nan_unless(valid, 2 * x, constant=constant))
    assert [float(slope(1.0, True, constant)) for constant in (False, True)] == [2, 2]
    assert jnp.isnan(slope(1.0, False, False)) and slope(1.0, False, True) == 0
