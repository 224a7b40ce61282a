"""Marchenko–Pastur spectrum of the couplings of random patterns, against quadrature and sampled spectra."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64

LOADS = [0.05, 0.25, 0.9, 1.0, 1.1, 3.0, 50.0]


def quadrature(load: float, num_points: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues between the edges and float64 weights: the midpoint rule in an angle, where the density is smooth."""
    lower, upper = (float(x) for x in hj.theory.marchenko_pastur_edges(load))
    angle = (np.arange(num_points) + 0.5) * np.pi / num_points
    eigenvalue = (upper + lower) / 2 - (upper - lower) / 2 * np.cos(angle)
    return eigenvalue, (upper - lower) / 2 * np.sin(angle) * np.pi / num_points


def spectrum(num_patterns: int, num_neurons: int) -> np.ndarray:
    """All eigenvalues of ΞᵀΞ for one draw of the patterns, in float64."""
    patterns = np.random.default_rng(0).normal(0, num_patterns**-0.5, (num_patterns, num_neurons))
    return np.linalg.eigvalsh(patterns.T @ patterns)


@pytest.mark.parametrize("load, expected", [(0.25, (1, 9)), (1, (0, 4)), (4, (0.25, 2.25))])
def test_edges_in_closed_form(load, expected):
    assert tuple(float(x) for x in hj.theory.marchenko_pastur_edges(load)) == expected


@pytest.mark.parametrize("load", LOADS)
def test_density_is_normalised_and_has_the_exact_moments(load):
    with enable_x64(True):
        eigenvalue, weight = quadrature(load)
        mass = weight * np.asarray(hj.theory.marchenko_pastur_density(jnp.asarray(eigenvalue), load))
    # The mean non-zero eigenvalue is E tr ΞᵀΞ/min(P, N) = N/min(P, N). E tr (ΞᵀΞ)² = N (1 + N/P), to leading order,
    # gives the second moment, and so the variance N/P for either sign of P − N.
    mean = max(1, 1 / load)
    # The rule converges geometrically, at worst as 0.9^1000; what remains is rounding near the edges.
    np.testing.assert_allclose(mass.sum(), 1, rtol=1e-9)
    np.testing.assert_allclose(mass @ eigenvalue, mean, rtol=1e-9)
    np.testing.assert_allclose(mass @ (eigenvalue - mean) ** 2, 1 / load, rtol=1e-9)


@pytest.mark.parametrize("num_patterns, num_neurons", [(100, 400), (200, 200), (400, 100)])
def test_sampled_spectrum_follows_the_density(num_patterns, num_neurons):
    load, count = num_patterns / num_neurons, min(num_patterns, num_neurons)
    eigenvalues = spectrum(num_patterns, num_neurons)
    zeros, nonzero = np.split(eigenvalues, [num_neurons - count])
    assert np.all(np.abs(zeros) < 1e-12) and zeros.size == round(num_neurons * float(hj.theory.zero_mass(load)))
    with enable_x64(True):
        grid, weight = quadrature(load)
        mass = weight * np.asarray(hj.theory.marchenko_pastur_density(jnp.asarray(grid), load))
    expected = np.interp(nonzero, grid, np.cumsum(mass) - mass / 2)
    # Eigenvalues repel: each stays within a few places of its own (the fluctuation of a count grows as √log n / π), so
    # the distribution functions differ by a few 1/n (2.0/n on average, at most 2.9/n in 20 draws), where n independent
    # numbers would differ by about 1/√n.
    assert np.max(np.abs(expected - (np.arange(count) + 0.5) / count)) < 4 / count
    # tr ΞᵀΞ is χ² with PN degrees of freedom, divided by P: relative standard error √(2/PN).
    error = 5 * np.sqrt(2 / (num_patterns * num_neurons))
    np.testing.assert_allclose(nonzero.mean(), mass @ grid, rtol=error)


def test_extremes_lie_at_the_edges():
    num_patterns, num_neurons = 400, 2000
    patterns = np.random.default_rng(1).normal(0, num_patterns**-0.5, (num_patterns, num_neurons))
    nonzero = np.linalg.eigvalsh(patterns @ patterns.T)
    lower, upper = (float(x) for x in hj.theory.marchenko_pastur_edges(num_patterns / num_neurons))
    # Tracy–Widom: at this size the lower extreme lies 2.1 % ± 1.5 % off, the upper within 4 %.
    np.testing.assert_allclose(nonzero[0], lower, rtol=0.07)
    np.testing.assert_allclose(nonzero[-1], upper, rtol=0.04)


@pytest.mark.parametrize("load", LOADS)
def test_density_is_zero_outside_the_edges_and_positive_between(load):
    lower, upper = (float(x) for x in hj.theory.marchenko_pastur_edges(load))
    outside = np.array([-1e4, -1.0, 0.0, lower * (1 - 1e-4), lower, upper, upper * (1 + 1e-4), 1e4, 3e38], np.float32)
    assert np.array_equal(hj.theory.marchenko_pastur_density(outside, load), np.zeros(outside.shape))
    inside = np.linspace(lower, upper, 52, dtype=np.float32)[1:-1]
    assert np.all(np.asarray(hj.theory.marchenko_pastur_density(inside, load)) > 0)


@pytest.mark.parametrize("load", [1e-6, *LOADS, 1e6])
def test_density_and_its_gradients_are_finite_everywhere(load):
    lower, upper = (np.float32(x) for x in hj.theory.marchenko_pastur_edges(load))
    at = [-1e4, 0, 1e-38, 1e-20, 1e-18, 1e-10, 0.1, 1, 1e4, 3e38]
    at += [np.nextafter(x, np.float32(side)) for x in (lower, upper) for side in (-np.inf, x, np.inf)]
    value_and_grad = jax.value_and_grad(hj.theory.marchenko_pastur_density, argnums=(0, 1))
    values, gradients = jax.vmap(value_and_grad, in_axes=(0, None))(jnp.array(at, jnp.float32), jnp.float32(load))
    assert np.all(np.isfinite(values)) and np.all(np.isfinite(gradients))


def test_gradients_equal_finite_differences():
    step = 1e-6

    def functions(load, shift):
        """The density inside the spectrum at load 0.2, 0.7, 1.5 and 6, and the edges."""
        eigenvalue = jnp.array([3.0, 1.0, 0.8, 0.6]) + shift
        return jnp.stack(
            [hj.theory.marchenko_pastur_density(eigenvalue, load), *hj.theory.marchenko_pastur_edges(load)]
        )

    with enable_x64(True):
        loads, zero = jnp.array([0.2, 0.7, 1.5, 6.0]), jnp.zeros(4)
        for tangent in ((jnp.ones(4), zero), (zero, jnp.ones(4))):
            _, slopes = jax.jvp(functions, (loads, zero), tangent)
            above, below = (functions(loads + s * tangent[0], s * tangent[1]) for s in (step, -step))
            # Central differences: error step² times a third derivative (below 1e4), and rounding 1e-15/step.
            np.testing.assert_allclose(slopes, (above - below) / (2 * step), rtol=1e-7, atol=1e-8)
        assert jax.vmap(jax.grad(hj.theory.zero_mass))(loads).tolist() == [-1, -1, 0, 0]


def test_arrays_broadcast_and_transforms_agree():
    eigenvalues, loads = jnp.linspace(0.1, 9, 7), jnp.array([0.25, 1.0, 4.0])
    table = hj.theory.marchenko_pastur_density(eigenvalues, loads[:, None])
    assert table.shape == (3, 7)
    one_by_one = [[hj.theory.marchenko_pastur_density(float(e), load) for e in eigenvalues] for load in loads.tolist()]
    # Float32 rounding, larger by cancellation near an edge.
    np.testing.assert_allclose(table, np.array(one_by_one), atol=1e-6)
    mapped = jax.jit(jax.vmap(hj.theory.marchenko_pastur_density, in_axes=(None, 0)))(eigenvalues, loads)
    np.testing.assert_allclose(mapped, table, atol=1e-6)
    lower, upper = jax.jit(hj.theory.marchenko_pastur_edges)(loads)
    assert lower.tolist() == [1, 0, 0.25] and upper.tolist() == [9, 4, 2.25]
    assert hj.theory.zero_mass(loads).tolist() == [0.75, 0, 0]


def test_float32_by_default_and_float64_in_64_bit_mode():
    def types():
        edges = hj.theory.marchenko_pastur_edges(2)
        return {x.dtype.name for x in (*edges, hj.theory.marchenko_pastur_density(1, 0.5), hj.theory.zero_mass(1))}

    assert types() == {"float32"}
    with enable_x64(True):
        assert types() == {"float64"}
        assert hj.theory.marchenko_pastur_density(np.ones(3, np.float32), 0.5).dtype == np.float32


@pytest.mark.parametrize(
    "function, args, argument, got",
    [
        (hj.theory.marchenko_pastur_edges, (0,), "load", "0"),
        (hj.theory.marchenko_pastur_edges, (np.array([0.5, -1.0]),), "load", "-1.0"),
        (hj.theory.marchenko_pastur_edges, (float("nan"),), "load", "nan"),
        (hj.theory.marchenko_pastur_density, (1.0, -0.5), "load", "-0.5"),
        (hj.theory.marchenko_pastur_density, (1.0, float("inf")), "load", "inf"),
        (hj.theory.marchenko_pastur_density, (float("nan"), 0.5), "eigenvalue", "nan"),
        (hj.theory.zero_mass, (-1,), "load", "-1"),
    ],
)
def test_bad_input_is_named(function, args, argument, got):
    with pytest.raises(ValueError, match=rf"`{argument}`.*expected.*{got}"):
        inspect.unwrap(function)(*args)


def test_traced_nonsense_is_not_a_plausible_number():
    with np.errstate(all="ignore"):
        assert np.all(np.isnan(jax.jit(hj.theory.marchenko_pastur_edges)(-1.0)))
        assert np.isnan(jax.jit(hj.theory.marchenko_pastur_density)(1.0, -1.0))
