"""Every verb under every transform, for one small retrieval whose patterns and slope are differentiated."""

import functools
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.associative import graded_network, retrieve

# Long enough for the state to be at rest to the solver's tolerance.
LONG = 40.0


def overlap(network, patterns, state):
    return jnp.vdot(patterns[0], network.activations(state)) / state.size


def by_integrate(network, patterns, cue, adjoint):
    return overlap(network, patterns, hj.integrate(network, cue, t1=LONG, adjoint=adjoint, throw=False).final)


def by_retrieve(network, patterns, cue, adjoint):
    return retrieve(network, patterns, cue, t1=LONG, num_times=2, adjoint=adjoint, throw=False).overlap[-1, 0]


def by_steady_state(network, patterns, cue, adjoint):
    return overlap(network, patterns, hj.steady_state(network, cue, throw=False).state)


VERBS = {
    "integrate": by_integrate,
    "retrieve": by_retrieve,
    "steady_state": by_steady_state,
    "linearise": lambda network, patterns, cue, adjoint: hj.linearise(network, cue, throw=False).leading,
    "check_descent": lambda network, patterns, cue, adjoint: hj.check_descent(network, cue).energy_rate,
    "update": lambda network, patterns, cue, adjoint: jnp.sum(jnp.sin(network.update(cue))),
    "energy": lambda network, patterns, cue, adjoint: network.energy(cue),
    "vector_field": lambda network, patterns, cue, adjoint: jnp.sum(jnp.sin(network.vector_field(0.0, cue))),
}
verbs = pytest.mark.parametrize("verb", VERBS)


def scalar(verb: str, adjoint=None):
    """The verb's number as a function of (patterns, beta)."""

    def run(theta):
        patterns, beta = theta
        cue = jnp.asarray([0.9, -0.2, 0.7, 0.4, -0.8, 1.1]) * jnp.sign(jax.lax.stop_gradient(patterns[0]))
        return VERBS[verb](graded_network(patterns, beta=beta), patterns, cue, adjoint)

    return run


def points():
    """Two problems, and a direction in the space of patterns and slope."""
    patterns = jnp.stack([hj.gaussian_patterns(2, 6, key=key) for key in jr.split(jr.key(3), 2)])
    direction = (0.5 * jr.normal(jr.key(5), (2, 6)), jnp.asarray(0.3))
    return (1.5 * patterns, jnp.asarray([2.0, 3.0])), direction


def moved(theta, direction, step):
    return jtu.tree_map(lambda x, d: x + step * jnp.broadcast_to(d, x.shape), theta, direction)


STEP = 1e-3


@functools.cache
def reference(verb: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of both problems, and their derivative along the direction by central differences; jit of vmap."""
    with enable_x64():
        theta, direction = points()
        stacked = jtu.tree_map(
            lambda *x: jnp.concatenate(x), *(moved(theta, direction, step) for step in (0.0, STEP, -STEP))
        )
        values = np.asarray(jax.jit(jax.vmap(scalar(verb)))(stacked))
    return values[:2], (values[2:4] - values[4:]) / (2 * STEP)


def along(gradient, direction) -> np.ndarray:
    """Directional derivatives of a batch of gradients."""
    products = jtu.tree_map(lambda g, d: np.asarray(g) * np.asarray(d), gradient, direction)
    return sum(np.sum(p, axis=tuple(range(1, p.ndim))) for p in jtu.tree_leaves(products))  # pyright: ignore[reportReturnType]


def check(got: Any, expected: np.ndarray):
    # Central differences: 1e-6 from the step, and the solver's 1e-8 over the step, 1e-5.
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


@verbs
def test_plain_calls_agree_with_jit_of_vmap(verb, x64):
    theta, _ = points()
    first = jtu.tree_map(lambda x: x[0], theta)
    # Up to the solver's tolerance: a batch shares no steps, but rounding may move one.
    np.testing.assert_allclose(scalar(verb)(first), reference(verb)[0][0], rtol=1e-7)
    assert np.all(np.isfinite(reference(verb)[0])) and np.all(np.abs(reference(verb)[1]) > 1e-3)


@functools.cache
def gradients(verb: str):
    with enable_x64():
        theta, _ = points()
        return jax.device_get(jax.jit(jax.vmap(jax.grad(scalar(verb))))(theta))


@pytest.mark.parametrize(
    "verb", [pytest.param(verb, marks=[pytest.mark.slow] if verb == "retrieve" else []) for verb in VERBS]
)
def test_vmap_of_grad_agrees_with_differences(verb, x64):
    check(along(gradients(verb), points()[1]), reference(verb)[1])


@verbs
def test_vmap_of_jvp_agrees_with_differences(verb, x64):
    theta, direction = points()
    function = scalar(verb, dfx.ForwardMode())
    _, tangents = jax.jit(jax.vmap(lambda theta: jax.jvp(function, (theta,), (direction,))))(theta)
    check(tangents, reference(verb)[1])


def test_the_gradient_of_a_retrieval_is_the_same_through_time_and_at_rest():
    # The whole gradient, in patterns and slope; the two ways share neither algorithm nor adjoint.
    for through_time, at_rest in zip(gradients("integrate"), gradients("steady_state"), strict=True):
        np.testing.assert_allclose(through_time, at_rest, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reference("integrate")[0], reference("steady_state")[0], rtol=1e-7)
    np.testing.assert_allclose(reference("integrate")[0], reference("retrieve")[0], rtol=1e-7)


TRANSFORMS = {
    "jit": lambda verb, theta, direction: (jax.jit(scalar(verb))(jtu.tree_map(lambda x: x[0], theta)), 0),
    "vmap": lambda verb, theta, direction: (jax.vmap(scalar(verb))(theta), 0),
    "grad": lambda verb, theta, direction: (
        along(jtu.tree_map(lambda x: x[None], jax.grad(scalar(verb))(jtu.tree_map(lambda x: x[0], theta))), direction),
        1,
    ),
    "jvp": lambda verb, theta, direction: (
        jax.jvp(scalar(verb, dfx.ForwardMode()), (jtu.tree_map(lambda x: x[0], theta),), (direction,))[1],
        1,
    ),
    "vmap_of_grad": lambda verb, theta, direction: (along(jax.vmap(jax.grad(scalar(verb)))(theta), direction), 1),
}


@pytest.mark.slow
@verbs
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_alone(verb, transform, x64):
    got, which = TRANSFORMS[transform](verb, *points())
    expected = reference(verb)[which]
    check(got, expected[: np.size(got)].reshape(np.shape(got)))
