"""Closed theory against published and independently computed numbers, one test per line.

Elsewhere: Amit, Gutfreund and Sompolinsky's at T = 0 and the first steps in `test_scsna.py`, the saliency map in
`tests/sequential`, the learning curve of memories in `tests/associative`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import associative as A

UNITS = {  # beside an independent formula of the same activation
    "sign": (hj.Sign(), np.sign),
    "tanh": (hj.LogCosh(3.0), lambda x: np.tanh(3 * x)),
    "erf": (hj.Erf(3.0), lambda x: special.erf(3 * x)),
    "clip": (hj.HardTanh(3.0), lambda x: np.clip(3 * x, -1, 1)),
}


@pytest.mark.parametrize("self_coupling", [False, True])
@pytest.mark.parametrize("name", UNITS)
def test_first_step_by_adaptive_quadrature(name, self_coupling):
    units, phi = UNITS[name]
    load, cue, coupling = 0.07, 0.3, 1.3

    def average(mean):
        deviation = coupling * math.sqrt(load)
        corners = [(x - mean) / deviation for x in (0.0, -1 / 3, 1 / 3)]
        density = lambda z: phi(mean + deviation * z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
        return integrate.quad(density, -9, 9, points=corners, epsabs=1e-13, limit=200)[0]

    shifts = [(0.5 * (1 + s * cue), s * coupling * load) for s in (1, -1)] if self_coupling else [(1.0, 0.0)]
    expected = sum(weight * average(coupling * cue + shift) for weight, shift in shifts)
    with enable_x64():
        step = hj.theory.first_step_overlap(units, load, cue, coupling=coupling, self_coupling=self_coupling)
        np.testing.assert_allclose(step, expected, atol=1e-12)  # the accuracy asked of the quadrature, and rounding


@pytest.mark.parametrize("beta", [0.2, 3.0, 100.0])
def test_first_step_of_erf_units_is_an_error_function(beta):
    load, cue = 0.05, 0.2
    width = math.sqrt(1 + 2 * beta**2 * load)
    with enable_x64():
        step = hj.theory.first_step_overlap(hj.Erf(beta), load, cue)
        np.testing.assert_allclose(step, math.erf(beta * cue / width), atol=1e-12)
        kept = hj.theory.first_step_overlap(hj.Erf(beta), load, cue, self_coupling=True)
        parts = [0.5 * (1 + s * cue) * math.erf(beta * (cue + s * load) / width) for s in (1, -1)]
        np.testing.assert_allclose(kept, sum(parts), atol=1e-12)


def test_amari_and_maginu():
    with enable_x64():
        overlap = hj.theory.okada_hierarchy(0.1, 0.5, num_steps=3, order=1).overlap
        np.testing.assert_allclose(overlap, [0.5, 0.8861537, 0.9432597, 0.9803123], atol=5e-8)

        # At rest, y = m/√(2v) makes the load explicit: v(1 − h²) = α(1 + 2m²h). Its maximum is the capacity.
        def load(y):
            m = math.erf(y)
            v = m * m / (2 * y * y)
            h = math.sqrt(2 / (math.pi * v)) * math.exp(-y * y)
            return v * (1 - h * h) / (1 + 2 * m * m * h)

        best: Any = optimize.minimize_scalar(lambda y: -load(y), bounds=(0.8, 1.6), method="bounded")
        capacity = -best.fun
        np.testing.assert_allclose(capacity, 0.1596082, atol=5e-8)
        # The map passes the place where its fixed points have merged in about π/√(1e-3) = 100 steps.
        ends = [hj.theory.okada_hierarchy(capacity * (1 + s), 1.0, num_steps=1000, order=1) for s in (-1e-3, 1e-3)]
        assert ends[0].overlap[-1] > 0.88 and ends[1].overlap[-1] < 0.5


def test_cycle_of_patterns():
    with enable_x64():
        state = hj.theory.critical_load(hj.Sign(), storage=hj.theory.Sequence())
    # y = m/√(2v): v(1 − C²) = α with v = m²/(2y²) and C² = (2/πv)e^{−2y²}.
    load = lambda y: math.erf(y) ** 2 / (2 * y * y) - 2 / math.pi * math.exp(-2 * y * y)  # noqa: E731
    options: Any = {"xatol": 1e-9}
    best: Any = optimize.minimize_scalar(lambda y: -load(y), bounds=(0.7, 1.4), method="bounded", options=options)
    np.testing.assert_allclose([float(state.load), load(best.x)], 0.2690616, atol=5e-8)
    # 0.83487079: seven digits end in 08. At a maximum its place is known to half the digits of its height.
    np.testing.assert_allclose([float(state.overlap), math.erf(best.x)], 0.83487079, atol=2e-8)
    np.testing.assert_allclose(state.noise, 1 / (1 - float(state.susceptibility) ** 2), rtol=1e-12)


def test_extreme_dilution():
    with enable_x64():
        state = hj.theory.critical_load(hj.Sign(), storage=hj.theory.Diluted())
        np.testing.assert_allclose(state.load, 2 / math.pi, rtol=1e-12)


def test_palimpsest():
    with enable_x64():
        best = hj.bisect(jax.grad(hj.theory.palimpsest_oldest_age), 5.0, 15.0, num_iterations=30).value
        np.testing.assert_allclose(best, 8.438335, atol=6e-7)  # √(2a) = 4.108, and 0.0489, in the paper
        np.testing.assert_allclose(hj.theory.palimpsest_oldest_age(best), 0.0489585, atol=5e-8)


def test_origin():
    loads = np.array([0.04, 0.25, 1.0, 4.0, 9.0])
    kept, without = (np.asarray(hj.theory.critical_slope(loads, self_coupling=kept)) for kept in (True, False))
    np.testing.assert_allclose(kept * (1 + np.sqrt(loads)) ** 2, 1, rtol=1e-6)
    np.testing.assert_allclose(without * (1 + 2 * np.sqrt(loads)), 1, rtol=1e-6)


@pytest.mark.parametrize("num_patterns, num_neurons", [(200, 400), (400, 200)])
def test_origin_of_a_network(num_patterns, num_neurons):
    load = num_patterns / num_neurons
    patterns = np.random.default_rng(0).choice([-1.0, 1.0], (num_patterns, num_neurons))
    couplings = patterns.T @ patterns / num_neurons
    for diagonal in (True, False):
        eigenvalues = np.linalg.eigvalsh(couplings - (0 if diagonal else load) * np.eye(num_neurons))
        slope = float(hj.theory.critical_slope(load, self_coupling=diagonal))
        # Tracy–Widom: the largest eigenvalue of ΞᵀΞ/N lies 1.21 ± 1.27 widths below its edge (1 + √load)².
        roots = math.sqrt(num_patterns), math.sqrt(num_neurons)
        width = slope * (1 + math.sqrt(load)) ** 2 * (sum(1 / x for x in roots)) ** (1 / 3) / sum(roots)
        np.testing.assert_allclose(slope * eigenvalues[-1], 1 - 1.21 * width, atol=3 * 1.27 * width)
        assert 3 * 1.27 * width < 0.11  # below the difference that the diagonal makes
        assert abs(eigenvalues[0]) < eigenvalues[-1]


def test_author_s_run_of_learning_memories():
    # The published script's seed, orthogonal memories in the order of its draws, its cosines (1e-4 in the divisor).
    generator = np.random.RandomState(41)
    basis, triangle = np.linalg.qr(generator.randn(4, 50).T)
    memories = math.sqrt(50) * (basis * np.sign(np.diag(triangle))).T
    observed = memories + 0.4 * generator.randn(4, 50)

    def cosine(x):
        return np.sum(x * observed, 1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(observed, axis=1) + 1e-4)

    with enable_x64():
        rule, protocol = A.SoftmaxPlasticity(beta=2.0, tau_memory=250.0), A.cyclic_protocol(4, 2000)
        run = A.learn(rule, jnp.asarray(memories), jnp.asarray(observed), protocol, save_every=2000)
        measured = cosine(np.asarray(run.memories))
        # Its theory is shown for the time before the last step.
        theory = A.similarity_curve(np.float64(1999 / 1000), cosine(memories))
    np.testing.assert_allclose(measured, [0.998820, 0.998774, 0.998899, 0.998322], atol=6e-7)
    np.testing.assert_allclose(theory, [0.998732, 0.998691, 0.998806, 0.998265], atol=6e-7)
