"""Errors say which argument, what was expected, what was got, and what to do about the commonest slips."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax._checks import at_least, describe, shape_is
from hopfield_jax._misc import as_inexact

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
