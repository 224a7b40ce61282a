"""Generating functions against their closed forms. Everything of one precision is computed in one compilation."""

import functools
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.flatten_util import ravel_pytree

import hopfield_jax as hj
from helpers import enable_x64
from systems import CONVEX, GENERATING

X = np.array([0.31, -1.27, 2.1, -0.4, 0.93])  # away from the kinks of HardTanh and RectifiedPower
V = np.array([1.0, -0.5, 0.3, 2.0, -1.1])
every = pytest.mark.parametrize("name", GENERATING)
precisions = pytest.mark.parametrize("bits", [32, 64])


@functools.cache
def functions(bits: int) -> dict[str, hj.AbstractGeneratingFunction]:
    with enable_x64(bits == 64):
        return {name: case.build() for name, case in GENERATING.items()}


def value(fn, x):
    return fn(x)


def measure(fn, x, v):
    return {"value": fn(x), "activation": fn.activation(x), "curvature": fn.curvature(x, v), "energy": fn.energy(x)}


@functools.cache
def measured(bits: int) -> dict[str, dict[str, np.ndarray]]:
    """Value, activation, curvature and energy of every function at X, 2X and zero."""
    with enable_x64(bits == 64):
        points = jnp.stack([jnp.asarray(X), 2 * jnp.asarray(X), jnp.zeros(X.size)])
        each = jax.vmap(measure, in_axes=(None, 0, None))
        out = jax.jit(lambda fns, x, v: {k: each(fn, x, v) for k, fn in fns.items()})(
            functions(bits), points, jnp.asarray(V)
        )
        return jax.device_get(out)


def eps(bits: int) -> float:
    return float(np.finfo(f"float{bits}").eps)


def held(bits: int, x: np.ndarray) -> np.ndarray:
    """The numbers as that precision holds them."""
    return x.astype(f"float{bits}").astype(np.float64)


def close(got, expected, tolerance: float):
    """Within `tolerance` relative to the largest entry."""
    expected = np.asarray(expected, np.float64)
    assert np.max(np.abs(np.asarray(got, np.float64) - expected)) <= tolerance * np.max(np.abs(expected))


@every
@precisions
def test_value_activation_and_energy_are_the_closed_forms(name, bits):
    case, fn, x = GENERATING[name], functions(bits)[name], held(bits, X)
    got = {k: leaf[0] for k, leaf in measured(bits)[name].items()}
    assert all(leaf.dtype == f"float{bits}" for leaf in got.values())
    assert got["activation"].shape == X.shape and got["value"].shape == ()
    activation = case.exact(case.activation, fn, x)
    exact = case.exact(case.value, fn, x)
    # A handful of roundings, each of relative size eps, amplified by at most the power 8.
    close(got["activation"], activation, 30 * eps(bits))
    close(got["value"], exact, 30 * eps(bits))
    # A difference of two numbers.
    scale = abs(exact) + abs(x @ activation)
    assert abs(got["energy"] - (x @ activation - exact)) <= 30 * eps(bits) * scale


@every
@precisions
def test_curvature_is_the_dense_hessian_product(name, bits):
    case, fn, x, v = GENERATING[name], functions(bits)[name], held(bits, X), held(bits, V)
    # The Hessian by central differences of the closed form in float64: an error of about h² = 1e-10.
    h = 1e-5
    columns = [
        (case.exact(case.activation, fn, x + h * e) - case.exact(case.activation, fn, x - h * e)) / (2 * h)
        for e in np.eye(x.size)
    ]
    close(measured(bits)[name]["curvature"][0], np.stack(columns, axis=1) @ v, max(50 * eps(bits), 1e-8))


CURVATURE_AT_ZERO = {
    "quadratic": 1.7, "log_cosh": 1.7, "hard_tanh": 1.7, "softplus": 1.7 / 4, "erf": 2 * 1.7 / np.sqrt(np.pi),
    "rectified_3": 0.0, "rectified_8": 0.0, "power_2": 1.0, "power_4": 0.0, "power_8": 0.0, "exponential": 1.7,
    "log_sum_exp": 1.7 * (np.eye(5) / 5 - 1 / 25), "spherical": 1 / np.sqrt(0.3),
    "layer_norm": 1.3 / np.sqrt(0.2) * (np.eye(5) - 1 / 5), "sparsemax": 0.4 * (np.eye(5) - 1 / 5),
    "entmax_1.5": 0.4 * 5**-0.5 * (np.eye(5) - 1 / 5), "log_sum_relu": -1.7 / 5.3**2 * np.ones((5, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVATURE_AT_ZERO)
@precisions
def test_curvature_at_exactly_zero(name, bits):
    exact = CURVATURE_AT_ZERO[name]
    expected = np.matmul(exact * np.eye(5) if np.ndim(exact) == 0 else exact, V)
    got = measured(bits)[name]["curvature"][2]
    assert np.max(np.abs(got - expected)) <= 20 * eps(bits) * max(1, np.max(np.abs(expected)))


@functools.cache
def stacked() -> dict[str, dict[str, np.ndarray]]:
    """As `measured`, with the points as leading axis of one state."""
    with enable_x64():
        points = jnp.stack([jnp.asarray(X), 2 * jnp.asarray(X), jnp.zeros(X.size)])
        v = jnp.broadcast_to(jnp.asarray(V), points.shape)
        out = jax.jit(lambda fns, x, v: {k: measure(fn, x, v) for k, fn in fns.items()})(functions(64), points, v)
        return jax.device_get(out)


@every
def test_leading_axes_are_independent_copies_whose_values_are_summed(name):
    got, each = stacked()[name], measured(64)[name]
    close(got["value"], np.sum(each["value"]), 1e-13)
    close(got["energy"], np.sum(each["energy"]), 1e-13)
    close(got["activation"], each["activation"], 1e-14)
    close(got["curvature"], each["curvature"], 1e-14)


@functools.cache
def differences() -> dict[str, dict[str, np.ndarray]]:
    """Gradient and Hessian in x and all parameters together, by autodiff and by central differences of those."""

    def measure(fn, x):
        flat, restore = ravel_pytree((fn, x))
        scalar = lambda flat: value(*restore(flat))  # noqa: E731
        gradient = jax.grad(scalar)
        h = 1e-5 * jnp.eye(flat.size)
        difference = lambda f: jax.vmap(lambda d: (f(flat + d) - f(flat - d)) / 2e-5)(h)  # noqa: E731
        return {
            "gradient": gradient(flat),
            "gradient_fd": difference(scalar),
            "hessian": jax.hessian(scalar)(flat),
            "hessian_fd": difference(gradient),
        }

    with enable_x64():
        out = jax.jit(lambda fns, x: {k: measure(fn, x) for k, fn in fns.items()})(functions(64), jnp.asarray(X))
        return jax.device_get(out)


@every
def test_all_first_and_second_derivatives_equal_central_differences(name):
    got = differences()[name]
    # Central differences of step 1e-5: truncation of about 1e-10 f''', rounding of about 1e-11 |f|.
    close(got["gradient"], got["gradient_fd"], 1e-7)
    close(got["hessian"], got["hessian_fd"], 1e-7)


def test_the_slope_changes_every_function_that_has_one():
    for name, case in GENERATING.items():
        slopes = differences()[name]["gradient"][: -X.size]
        count = sum(np.size(p) for p in case.parameters.values())
        assert slopes.size == count and np.all(slopes != 0)


@functools.cache
def far_out() -> dict[str, tuple[np.ndarray, Any, Any]]:
    x = {name: 1e4 * np.array([1.0, -1.0, 1.0, -1.0, -1.0]) for name in GENERATING}
    x["exponential"] *= 80 / 1.7 / 1e4
    x = {name: np.stack([point, np.abs(point), -np.abs(point)]).astype(np.float32) for name, point in x.items()}
    both = jax.value_and_grad(value, argnums=(0, 1))
    out = jax.jit(lambda fns, x: {k: jax.vmap(both, in_axes=(None, 0))(fns[k], x[k]) for k in fns})(functions(32), x)
    return {name: (x[name], *jax.device_get(out[name])) for name in GENERATING}


@every
def test_value_and_all_gradients_are_finite_at_1e4_in_float32(name):
    x, values, gradients = far_out()[name]
    assert all(np.all(np.isfinite(leaf)) for leaf in jtu.tree_leaves((values, gradients)))
    case = GENERATING[name]
    for point, got, gradient in zip(x, values, gradients[1], strict=True):
        exact = case.exact(case.value, functions(32)[name], point)
        # Relative to the terms that are summed. The exponential amplifies the rounding of its argument 80-fold.
        scale = np.sum(np.abs(case.exact(case.activation, functions(32)[name], point) * point)) + abs(exact)
        factor = 200 if name == "exponential" else 20
        assert abs(got - exact) <= factor * eps(32) * scale
        exact = case.exact(case.activation, functions(32)[name], point)
        assert np.all(np.abs(gradient - exact) <= factor * eps(32) * np.max(np.abs(exact)))


@pytest.mark.parametrize("z", [100.0, 1000.0])
@pytest.mark.parametrize("derivative", [jax.jacrev, jax.jacfwd], ids=["reverse", "forward"])
def test_beyond_the_types_range_exponential_is_infinite_but_never_nan(z, derivative):
    beta, x = jnp.float32(1.7), jnp.array([z / 1.7, -1.0], jnp.float32)
    exponential = lambda beta, x: hj.Exponential(beta)(x)  # noqa: E731
    assert exponential(beta, x) == np.inf
    assert derivative(exponential, argnums=0)(beta, x) == np.inf
    with_respect_to_x = derivative(exponential, argnums=1)(beta, x)
    assert with_respect_to_x[0] == np.inf
    if derivative is jax.jacrev:  # forward mode sums inf * 0 over the directions
        np.testing.assert_allclose(with_respect_to_x[1], np.exp(-1.7), rtol=1e-6)


def test_beyond_the_types_range_exponentials_curvature_is_infinite_but_never_nan():
    x = jnp.array([100.0, 1.0], jnp.float32)
    curvature = hj.Exponential().curvature(x, jnp.ones(2, jnp.float32))
    assert curvature[0] == np.inf
    np.testing.assert_allclose(curvature[1], np.exp(1.0), rtol=1e-6)


@pytest.mark.parametrize("fn", [hj.RectifiedPower(8), hj.Power(8)])
def test_beyond_the_types_range_powers_are_infinite_but_never_nan(fn):
    x = jnp.array([1e30, -1e30, 2.0], jnp.float32)
    found, gradient = jax.value_and_grad(fn)(x)
    assert found == np.inf and gradient[0] == np.inf and gradient[1] in (0, -np.inf) and gradient[2] == 2**7


@precisions
def test_log_cosh_is_accurate_relative_to_its_size_near_zero(bits):
    with enable_x64(bits == 64):
        fn, x = hj.LogCosh(1.0), jnp.asarray([1e-4, 1e-2, 0.1, 0.5, 2.0])
        values, slopes = jax.jit(lambda x: (fn.elementwise(x), fn.activation(x)))(x)
    x = np.asarray(x, np.float64)
    # log cosh x = log(1 + 2 sinh²(x/2)), which loses nothing.
    np.testing.assert_allclose(slopes, np.tanh(x), rtol=5 * eps(bits))
    np.testing.assert_allclose(values, np.log1p(2 * np.sinh(x / 2) ** 2), rtol=10 * eps(bits))


@functools.cache
def monotone():
    """(x - y)·(∇L(x) - ∇L(y)) of every function, with the sum of the sizes of its terms."""

    def product(fn, x, y):
        terms = (x - y) * (fn.activation(x) - fn.activation(y))
        scale = jnp.abs(x - y) @ (jnp.abs(fn.activation(x)) + jnp.abs(fn.activation(y)))
        return jnp.sum(terms), scale

    return eqx.filter_jit(lambda fns, x, y: {name: product(fn, x, y) for name, fn in fns.items()})


points = hnp.arrays(np.float64, (5,), elements=st.floats(-20, 20))


@given(points, points)
@settings(max_examples=50)
def test_generating_functions_are_convex(x, y):
    with enable_x64():
        found = jax.device_get(monotone()(functions(64), jnp.asarray(x), jnp.asarray(y)))
    for name in CONVEX:
        product, scale = found[name]
        assert product >= -20 * eps(64) * scale, name


def test_memories_without_the_diagonal_are_not_convex():
    # One pattern (1, 1): J is all 1/2; without its diagonal it has the eigenvalue -1/2 along (1, -1).
    fn = hj.MemoryQuadratic(hj.classical.hebbian(jnp.ones((1, 2))))
    x = jnp.array([1.0, -1.0])
    assert jnp.vdot(x, fn.activation(x)) == -1 and jnp.vdot(x, fn.curvature(x, x)) == -1
    kept = hj.MemoryQuadratic(hj.classical.hebbian(jnp.ones((1, 2)), self_coupling=True))
    assert jnp.vdot(x, kept.activation(x)) == 0


def test_integers_and_other_numbers_share_one_trace():
    traced = eqx.filter_jit(eqx.debug.assert_max_traces(lambda fn, x: fn(x), max_traces=1))
    for beta in (5, 5.0, np.float64(5), np.float32(5), jnp.float32(5), jnp.asarray(5), np.array(5)):
        traced(hj.LogCosh(beta), jnp.ones(3))


# --- sparse families ---

THREE = np.array([1.0, 0.5, -1.0])
SPARSE = {  # L, p and τ at THREE
    "sparsemax": (hj.Sparsemax, 1.0625, [0.75, 0.25, 0.0]),
    "entmax": (hj.Entmax, 1.184371, [0.673993, 0.326007, 0.0]),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_families_have_their_published_numbers(name):
    kind, value, activation = SPARSE[name]
    np.testing.assert_allclose(kind()(jnp.asarray(THREE, jnp.float32)), value, rtol=1e-6)
    np.testing.assert_allclose(kind().activation(jnp.asarray(THREE, jnp.float32)), activation, rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [1.01, 1.2, 1.5, 1.8, 2.0])
def test_entmax_is_that_of_a_bisection(alpha):
    """Many entries of several scales, in float32; and exact zeros where they are."""
    x = np.random.default_rng(0).normal(size=(6, 200)) * np.array([0.01, 0.1, 1, 3, 10, 100])[:, None]
    x = x.astype(np.float32)
    got = np.asarray(jax.vmap(_entmax_activation, in_axes=(None, None, 0))(np.float32(alpha), np.float32(1), x))
    exact = GENERATING["entmax_1.5"].activation
    expected = np.stack([exact(row.astype(float), np.float64(np.float32(alpha)), 1.0) for row in x])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    same = (got > 0) == (expected > 0)
    assert np.all(same | (np.maximum(got, expected) < 1e-6))  # at the edge of the support rounding decides


def test_entmax_has_its_limits(x64):
    x = jnp.asarray(X)
    np.testing.assert_allclose(hj.Entmax(2.0, 0.7).activation(x), hj.Sparsemax(0.7).activation(x), atol=1e-14)
    near = [hj.Entmax(1 + step).activation(x) - hj.LogSumExp().activation(x) for step in (1e-3, 1e-4)]
    np.testing.assert_allclose(near[0], 10 * near[1], rtol=0.01)  # of first order in α - 1
    assert np.max(np.abs(near[0])) < 1e-3


@given(hnp.arrays(np.float32, (4,), elements=st.floats(-5, 5, width=32)), st.sampled_from([1.25, 1.5, 2.0]))
@settings(max_examples=50)
def test_the_largest_entry_is_selected_alone_exactly_when_its_margin_allows(x, alpha):
    beta = np.float32(0.5)
    p = _entmax_activation(jnp.float32(alpha), beta, x)
    second, first = np.sort(x)[-2:]
    margin = beta * (alpha - 1) * (first.astype(float) - second) - 1
    if abs(margin) > 1e-5:  # rounding
        assert (np.max(p) == 1 and np.count_nonzero(p) == 1) == (margin > 0)


_entmax_activation = jax.jit(lambda alpha, beta, x: hj.Entmax(alpha, beta).activation(x))


@pytest.mark.slow
def test_second_derivatives_through_a_scan_of_updates_are_those_of_differences(x64):
    """Reverse mode over reverse mode of a scan, where JAX drops custom rules."""
    patterns = hj.gaussian_patterns(6, 8, key=jax.random.key(0))

    def value(alpha):
        memories = hj.associative.MemoryMap(patterns)
        network = hj.associative.AdiabaticNetwork(memories, hidden=hj.Entmax(alpha, 0.4))
        start = 0.6 * patterns[0] + 0.4 * patterns[1]
        return jnp.sum(jnp.sin(jax.lax.scan(lambda v, _: (network.update(v), None), start, length=2)[0]))

    gradient, alpha, h = jax.grad(value), 1.4, 1e-5
    second, ahead, behind = jax.jit(lambda a: (jax.grad(gradient)(a), gradient(a + h), gradient(a - h)))(alpha)
    np.testing.assert_allclose(second, (ahead - behind) / (2 * h), rtol=1e-6)
    assert abs(second) > 1e-2


@pytest.mark.parametrize("name", ["entmax_1.5", "entmax_1.1", "log_sum_relu"])
def test_the_curvature_has_its_derivative(name, x64):
    fn, x, v, h = functions(64)[name], jnp.asarray(X), jnp.asarray(V), 1e-5
    third = jax.jvp(lambda x: fn.curvature(x, v), (x,), (v,))[1]
    difference = (fn.curvature(x + h * v, v) - fn.curvature(x - h * v, v)) / (2 * h)
    close(third, difference, 1e-7)
    assert np.max(np.abs(third)) > 1e-3


@pytest.mark.parametrize("units", [hj.Sparsemax(), hj.Entmax(1.3), hj.LogSumReLU()])
def test_sixteen_bits_are_kept(units):
    x = jnp.asarray(THREE, jnp.bfloat16)
    units = jax.tree.map(lambda p: p.astype(jnp.bfloat16), units)
    p = units.activation(x)
    assert p.dtype == jnp.bfloat16
    # Of a precision of 2⁻⁸ some roundings.
    exact = jax.tree.map(lambda p: p.astype(jnp.float32), units).activation(x.astype(jnp.float32))
    np.testing.assert_allclose(p.astype(np.float32), exact, atol=0.02)


@jax.jit
def _code(alpha):
    memories = hj.associative.MemoryMap(jnp.eye(3))
    network = hj.associative.AdiabaticNetwork(memories, hidden=hj.Entmax(alpha))
    run = hj.integrate(network, jnp.ones(3), t1=1.0, dt0=0.5, solver=dfx.Euler(), max_steps=4, throw=False)
    return run.result == hj.RESULTS.invalid_parameter


@pytest.mark.parametrize("alpha", [1.0, 2.01, 0.5, -1.0, np.nan])
def test_an_alpha_outside_its_domain_is_refused_or_flagged(alpha):
    with pytest.raises(ValueError, match=r"Entmax\.alpha"):
        hj.Entmax(alpha)
    assert _code(alpha) and not _code(1.5)


SLOPED = [hj.LogCosh, hj.HardTanh, hj.Softplus, hj.Erf, hj.Exponential, hj.LogSumExp, hj.Sparsemax, hj.LogSumReLU]


@pytest.mark.parametrize("kind", SLOPED)
@pytest.mark.parametrize("beta", [0, -1.0, np.nan, np.inf, np.ones(2), np.ones((1, 1)), 1j])
def test_a_bad_slope_names_itself(kind, beta):
    with (
        pytest.raises(ValueError, match="beta" if beta != 1j else "real numbers")
        if np.ndim(beta) == 0
        else (pytest.raises(ValueError, match=rf"{kind.__name__}\.beta.*number.*shape"))
    ):
        kind(beta)


@pytest.mark.parametrize(
    "build, argument",
    [
        (lambda: hj.Quadratic(0.0), r"Quadratic\.strength"),
        (lambda: hj.Spherical(0.0), r"Spherical\.delta"),
        (lambda: hj.LayerNorm(gain=-1.0), r"LayerNorm\.gain"),
        (lambda: hj.LayerNorm(gain=np.ones(3)), r"LayerNorm\.gain"),
        (lambda: hj.LayerNorm(shift=np.nan), r"LayerNorm\.shift"),
        (lambda: hj.LayerNorm(shift=np.ones((2, 2))), r"LayerNorm\.shift"),
        (lambda: hj.LayerNorm(delta=0), r"LayerNorm\.delta"),
        (lambda: hj.Entmax(beta=0.0), r"Entmax\.beta"),
        (lambda: hj.LogSumReLU(delta=0.0), r"LogSumReLU\.delta"),
        (lambda: hj.RectifiedPower(1), r"RectifiedPower\.n"),
        (lambda: hj.Power(0), r"Power\.n"),
        (lambda: hj.RectifiedPower(True), r"RectifiedPower\.n"),
        (lambda: hj.Power(3), r"Power\.n.*even"),
        (
            lambda: hj.MemoryQuadratic(hj.classical.sequence(np.ones((2, 2)))),
            r"MemoryQuadratic\.couplings.*symmetric ones, got OuterProducts that says it is not",
        ),
    ],
)
def test_bad_parameters_are_named(build, argument):
    with pytest.raises(ValueError, match=argument):
        build()
