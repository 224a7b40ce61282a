"""The optimal strength of plasticity by gradients, and the memory of gradients."""

import functools
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64

D = hj.dmft
KEY = jr.key(0)
CUE = D.SpinCue(0.5)


def network(strength=0.0, load=0.1):
    return D.PlasticNetwork(load=load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))


def theory(model, cue, key, num_steps=8, num_samples=2048, **options):
    sizes = {"num_steps": num_steps, "num_samples": num_samples, "num_shifts": 1}
    return D.solve(model, cue, key=key, throw=False, **sizes, **options)


def network_run(model, cue, key, num_neurons=1000):
    return D.simulate(
        model, cue, key=key, num_steps=8, num_neurons=num_neurons, max_patterns=200, num_trials=1, throw=False
    )


@functools.lru_cache
def found():
    return D.optimal_strength(theory, network(), CUE, key=KEY, num_strengths=9)


def test_the_best_strength_is_that_of_a_dense_grid():
    strengths = jnp.linspace(0.0, 1.0, 201)
    run = lambda model, cue: jax.vmap(lambda key: theory(model, cue, key))(jr.split(KEY, 4))  # noqa: E731
    at = jax.jit(lambda s: jnp.mean(run(network(s), CUE).overlap[:, -1]))
    grid = np.asarray(jax.lax.map(at, strengths))
    best = found()
    assert best.lower <= strengths[np.argmax(grid)] <= best.upper
    assert 0.1 < best.lower < best.strength < best.upper < 1
    # The same random numbers: the spline's maximum is the curve's, but for the distance of its knots (1/16).
    np.testing.assert_allclose(best.strength, strengths[np.argmax(grid)], atol=0.01)
    np.testing.assert_allclose(best.value, grid.max(), atol=2e-5)
    assert best.mismatch < 0.1 and not best.at_bound and "as good within errors" in str(best)


def test_the_interval_holds_the_maximum_of_other_random_numbers():
    other = D.optimal_strength(theory, network(), CUE, key=jr.key(7))
    best = found()
    assert best.strength != other.strength
    assert max(best.lower, other.lower) < min(best.upper, other.upper)


def test_simulation_and_its_reverse_mode_find_it_too():
    best = D.optimal_strength(
        network_run, network(), CUE, key=KEY, upper=2.0, num_strengths=5, value_and_grad=jax.value_and_grad
    )
    assert best.result == hj.RESULTS.successful and 0.15 < best.strength < 0.8
    assert max(best.lower, found().lower) < min(best.upper, found().upper)


def test_other_measures_and_bounds():
    early = D.optimal_strength(
        theory, network(), CUE, key=KEY, num_repeats=1, measure=lambda run, model, cue: run(model, cue).overlap[2],
        upper=1.0, num_strengths=3,
    )  # fmt: skip
    assert early.at_bound and early.strength == 1 and "at a bound" in str(early)  # at first plasticity only helps
    assert early.lower == 0 and early.upper == 1 and np.isinf(early.value_error)  # one repeat knows no errors


def test_a_gradient_that_misses_jumps_is_brought_back_and_told():
    """A parabola with a wrong derivative of zero, and one with the right derivative."""
    parabola = lambda run, model, cue: -((model.kernel.strength - 0.3) ** 2)  # noqa: E731
    blind = lambda run, model, cue: parabola(run, jax.lax.stop_gradient(model), cue)  # noqa: E731
    run: Any = theory
    right, wrong = (D.optimal_strength(run, network(), CUE, key=KEY, upper=1.0, measure=m) for m in (parabola, blind))
    np.testing.assert_allclose(right.strength, 0.3, atol=2e-3)
    np.testing.assert_allclose(wrong.strength, 0.3, atol=1 / 8)  # the distance of the strengths tried
    assert right.mismatch < 1e-3 < 0.3 < wrong.mismatch


def test_what_cannot_be_found_is_said():
    nan = lambda run, model, cue: jnp.nan * model.kernel.strength  # noqa: E731
    flat = lambda run, model, cue: 1 + 0 * model.kernel.strength  # noqa: E731
    for measure, code in ((nan, "not_finite"), (flat, "flat")):
        out = D.optimal_strength(theory, network(), CUE, key=KEY, measure=measure, throw=False)
        assert out.result == getattr(hj.RESULTS, code) and np.isnan(out.strength)
    edge = lambda run, model, cue: jnp.where(model.kernel.strength > 1.3, jnp.nan, 1) * model.kernel.strength  # noqa: E731
    out = D.optimal_strength(theory, network(), CUE, key=KEY, measure=edge, throw=False)
    assert out.result == hj.RESULTS.edge_of_domain and np.isnan(out.curves(np.array([3.0]))).all()
    far = lambda run, model, cue: -((model.kernel.strength - 0.123456) ** 2)  # noqa: E731
    out = D.optimal_strength(theory, network(), CUE, key=KEY, measure=far, upper=100.0, num_rounds=6)
    np.testing.assert_allclose(out.strength, 0.123456, atol=2e-4)  # the last spacing, 0.05, over 256
    partly = lambda run, model, cue: jnp.where(model.kernel.strength > 2.2, jnp.nan, 1) * parabola(model)  # noqa: E731
    parabola = lambda model: -((model.kernel.strength - 1) ** 2)  # noqa: E731
    np.testing.assert_allclose(
        D.optimal_strength(theory, network(), CUE, key=KEY, measure=partly).strength, 1, atol=1e-3
    )
    with pytest.raises(ValueError, match="`upper`: expected a strength above lower = 1"):
        D.optimal_strength(theory, network(), CUE, key=KEY, lower=1.0, upper=1.0)
    with pytest.raises(ValueError, match="`model`: expected a kernel with a strength"):
        D.optimal_strength(theory, D.PlasticNetwork(load=0.1, units=hj.LogCosh(4.0)), CUE, key=KEY)
    with pytest.raises(Exception, match="no gradient goes through Sign units"):
        signs = D.PlasticNetwork(load=0.1, units=hj.Sign(), kernel=D.LeakyHebbian(0.1, 5.0))
        D.optimal_strength(network_run, signs, CUE, key=KEY)


@pytest.mark.slow
def test_three_parameters_at_once():
    """Strength, time constant and slope by `hj.tune`: better than each pair of the start's values allows."""

    def loss(p, key):
        model = D.PlasticNetwork(
            load=0.1, units=hj.LogCosh(p["beta"]), kernel=D.LeakyHebbian(p["strength"], tau=p["tau"])
        )
        return -D.final_overlap(lambda m, c: theory(m, c, key), model, CUE)

    start = {"strength": 0.3, "tau": 5.0, "beta": 4.0}
    bounds = {"strength": (0.0, 2.0), "tau": (1.0, 50.0), "beta": (1.0, 8.0)}
    best = hj.tune(
        loss, start, key=KEY, num_repeats=2, bounds=bounds, value_and_grad=hj.forward_value_and_grad, num_steps=12,
        throw=False,
    )  # fmt: skip
    assert -best.value > found().value + 0.01 and best.parameters["beta"] > 4.5


@pytest.mark.parametrize("mode", ["theory", "simulation"])
def test_forward_and_reverse_mode_agree_over_several_blocks(mode):
    """Also with respect to each entry of a kernel's table; 21 times are two blocks."""
    times = 21

    def last(table):
        model = D.PlasticNetwork(load=0.1, units=hj.LogCosh(beta=2.5), kernel=D.TableKernel(table))
        if mode == "theory":
            return theory(model, CUE, KEY, times - 1, 256).overlap[-1]
        return D.simulate(
            model, CUE, key=KEY, num_steps=times - 1, num_neurons=300, max_patterns=30, num_trials=1, throw=False
        ).overlap[-1]

    with enable_x64():  # in float32 rounding grows over the steps, by how much depends on the compiler
        base = jnp.tril(jnp.full((times, times), 0.02), -1)
        reverse = jax.jit(jax.grad(last))(base)
        direction = jnp.tril(jr.normal(KEY, base.shape), -1)
        forward = jax.jit(lambda x: jax.jvp(last, (x,), (direction,)))(base)[1]
    reverse, direction = np.asarray(reverse), np.asarray(direction)
    # Rounding, grown a millionfold over the steps, of sums of 210 terms of either sign.
    np.testing.assert_allclose(np.sum(reverse * direction), forward, atol=1e-9 * np.sum(np.abs(reverse)))
    assert np.all(reverse[np.triu_indices(times)] == 0) and np.abs(reverse).max() > 1e-3


@pytest.mark.slow
def test_reverse_mode_takes_the_memory_of_a_few_solutions():
    """Along the paths, as XLA plans it with its optimisations on: at most four forward solves'."""

    def value(table):
        model = D.PlasticNetwork(load=0.12, units=hj.LogCosh(beta=4.0), kernel=D.TableKernel(table))
        return theory(model, CUE, KEY, 60, 4096, derivative=D.Along()).overlap[-1]

    table = jnp.tril(jnp.full((61, 61), 0.01), -1)

    def planned(function):
        memory: Any = jax.jit(function).lower(table).compile().memory_analysis()
        return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes

    assert planned(jax.value_and_grad(value)) < 4 * planned(value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "units, rule", [(hj.LogCosh(4.0), D.Lines()), (hj.LogCosh(4.0), D.Along()), (hj.Glauber(4.0), D.Lines())]
)
def test_the_memory_of_derivatives_is_predicted(units, rule):
    """Against what XLA plans, whose reuse of buffers is not ours to know: a third more or less."""
    sizes: Any = {"num_steps": 40, "num_samples": 8192, "num_shifts": 1}
    model = D.PlasticNetwork(0.12, units, D.LeakyHebbian(0.5, 5.0))

    def value(strength):
        changed = eqx.tree_at(lambda m: m.kernel.strength, model, strength)
        return D.solve(changed, CUE, key=KEY, throw=False, derivative=rule, **sizes).overlap[-1]

    for of in (lambda s: jax.jvp(value, (s,), (jnp.ones_like(s),)), jax.value_and_grad(value)):
        memory: Any = jax.jit(of).lower(jnp.asarray(0.5)).compile().memory_analysis()
        planned = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        assert 0.67 < D.memory_needed(model, CUE, derivative=rule, **sizes) / planned < 1.5


@pytest.mark.slow
def test_strength_and_time_constant_are_tuned_together():
    """By lines, whose gradient has an error of its own; the overlap reaches that of the best point of a grid."""

    def final(p, key):
        model = D.PlasticNetwork(0.12, hj.LogCosh(4.0), D.LeakyHebbian(p["strength"], p["tau"]))
        return theory(model, D.SpinCue(0.4), key, 20, 8192).overlap[-1]

    best = hj.tune(
        lambda p, key: -final(p, key),
        {"strength": 0.5, "tau": 5.0},
        bounds={"strength": (0.0, 6.0), "tau": (1.0, 40.0)},
        key=KEY,
        num_steps=100,
        value_and_grad=hj.forward_value_and_grad,
        progress=False,
    )
    at, keys = jax.jit(final), jr.split(jr.key(9), 4)
    mean = lambda strength, tau: np.mean([at({"strength": strength, "tau": tau}, key) for key in keys])  # noqa: E731
    grid = max(mean(*point) for point in itertools.product((0.5, 0.75, 1.0, 1.5, 2.0, 3.0), (1.0, 1.5, 2.0, 3.0, 5.0)))
    tuned = mean(best.parameters["strength"], best.parameters["tau"])
    # Other keys: the error of a difference at common random numbers, 2e-4, and the flatness of the maximum.
    assert best.result == hj.RESULTS.successful and best.mismatch < 0.1 and tuned > grid - 1e-3
