"""Energy networks of every kind: consistency of energy and dynamics, and the papers' special cases.

All networks are compiled together, once per precision, and tested one by one.
"""

import functools
import math
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.flatten_util import ravel_pytree
from scipy import special

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax.associative import (
    AdiabaticNetwork,
    DenseSynapse,
    DrivenNetwork,
    IdentityMap,
    LayeredNetwork,
    MapSynapse,
    MemoryMap,
    conditioning_network,
    graded_network,
    slow_fast_network,
)
from systems import NETWORKS, SideBySide, networks

every = pytest.mark.parametrize("name", NETWORKS)
precisions = pytest.mark.parametrize("bits", [32, 64])
NUM_STATES = 6


def eps(bits: int) -> float:
    return float(np.finfo(f"float{bits}").eps)


@functools.cache
def measured(bits: int) -> dict[str, dict[str, Any]]:
    """Energy, its terms, its gradient and the flow of every network at random states, a leading axis (states,)."""

    def measure(model, y):
        rate = model.vector_field(jnp.zeros(()), y)
        flat = lambda tree: ravel_pytree(tree)[0]  # noqa: E731
        energy, gradient = jax.value_and_grad(model.energy)(y)
        return {
            "terms": model.energy_terms(y) if bits == 64 else {},
            "energy": energy,
            "gradient": flat(gradient),
            "flow": flat(model.metric(y, rate)),
            "rate": flat(rate),
            "output": flat(model.activations(y)),
        }

    with enable_x64(bits == 64):
        all_networks = networks()
        models = {name: network.model for name, network in all_networks.items()}
        states = {name: network.state(jr.key(1), 1.5, (NUM_STATES,)) for name, network in all_networks.items()}
        together = lambda models, states: {name: measure(model, states[name]) for name, model in models.items()}  # noqa: E731
        return jax.device_get(eqx.filter_jit(eqx.filter_vmap(together, in_axes=(None, 0)))(models, states))


def norm(x) -> np.ndarray:
    return np.linalg.norm(np.asarray(x, np.float64), axis=1)


def test_the_list_of_names_is_complete():
    assert set(networks()) == set(NETWORKS)


@every
@precisions
def test_the_gradient_of_the_energy_is_minus_the_metric_times_the_vector_field(name, bits):
    got = measured(bits)[name]
    gradient, flow, rate, output = got["gradient"], got["flow"], got["rate"], got["output"]
    assert all(x.dtype == f"float{bits}" for x in jtu.tree_leaves(got))
    # Some tens of roundings, relative to the terms of the gradient, g + H(y - I + ∇U) - g.
    scale = norm(gradient) + norm(flow) + norm(output)
    assert np.all(norm(gradient + flow) <= 20 * eps(bits) * scale)
    assert np.max(norm(flow)) > 1e-3
    # So dE/dt = -τ v̇ᵀHv̇, which is not positive where every generating function is convex.
    energy_rate, dissipation = np.sum(gradient * rate, axis=1), -np.sum(flow * rate, axis=1)
    np.testing.assert_allclose(energy_rate, dissipation, atol=20 * eps(bits) * np.max(scale * norm(rate)))
    assert np.all(dissipation <= 0) and np.min(dissipation) < -1e-3


@every
def test_the_energy_is_the_sum_of_its_named_terms(name):
    got, network = measured(64)[name], networks()[name]
    np.testing.assert_allclose(got["energy"], sum(got["terms"].values()), rtol=1e-13, atol=1e-13)
    families = set(network.shape) if isinstance(network.shape, dict) else {"visible"}
    interactions = set(network.model.synapses) if isinstance(network.model, LayeredNetwork) else {"hidden"}
    assert set(got["terms"]) == families | interactions


def test_the_report_of_descent_says_the_same(x64):
    network = networks()["krotov_hopfield"]
    states = network.state(jr.key(1), 1.5, (NUM_STATES,))
    report = eqx.filter_jit(eqx.filter_vmap(hj.check_descent, in_axes=(None, 0)))(network.model, states)
    assert np.all(report.consistent) and np.all(report.convex) and np.all(report.descends)
    np.testing.assert_allclose(report.energy, measured(64)["krotov_hopfield"]["energy"], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(report.energy_rate, report.dissipation, rtol=1e-12)
    assert "descends" in str(jtu.tree_map(lambda x: x[0], report))


def test_a_network_at_rest_is_not_called_inconsistent():
    # The gradient of the energy is zero to rounding there, and so is the flow: saturated units do not react, and at a
    # fixed point v = J tanh(βv) (one pattern: v = m ξ with m = tanh βm) nothing moves.
    m = 0.9993
    for _ in range(100):
        m = np.tanh(4 * m)
    xi = hj.random_patterns(1, 6, key=jr.key(0))
    network = graded_network(xi, beta=4.0, self_coupling=True)
    states = jnp.concatenate([jnp.float32(m) * xi, 20 * xi, 20 + jr.uniform(jr.key(1), (20, 6))])
    reports = eqx.filter_jit(eqx.filter_vmap(hj.check_descent, in_axes=(None, 0)))(network, states)
    assert np.all(reports.consistent) and np.all(reports.descends)


TIMES = np.linspace(0.0, 8.0, 33)


@functools.cache
def energies_along():
    """flat states of all networks -> their energies at TIMES; one compilation."""
    all_networks = networks()
    system = SideBySide({name: network.model for name, network in all_networks.items()})
    start, restore = ravel_pytree({name: network.state(jr.key(0)) for name, network in all_networks.items()})

    def energies(system, flat):
        path = hj.integrate(
            system,
            restore(flat),
            t1=8.0,
            saveat=jnp.asarray(TIMES),
            statistics=system.energies,
            adjoint=dfx.ForwardMode(),
            throw=False,
        )
        return path.values, hj.is_okay(path.result)

    return functools.partial(eqx.filter_jit(energies), system), start.size


def check_energies_fall(flat):
    with enable_x64():
        energies, okay = jax.device_get(energies_along()[0](jnp.asarray(flat)))
    assert okay
    for name, path in energies.items():
        # The solver's relative tolerance is 1e-8 a step and the energies' gradients are of the order of the energies'
        # range; a hundred steps.
        assert np.max(np.diff(path)) <= 1e-6 * (1 + np.max(np.abs(path))), name
        assert path[-1] <= path[0] + 1e-6 * (1 + np.max(np.abs(path))), name


SHAPES = jtu.tree_leaves([network.shape for network in networks().values()], is_leaf=lambda x: isinstance(x, tuple))
TOTAL = sum(math.prod(shape) for shape in SHAPES)


@given(hnp.arrays(np.float64, (TOTAL,), elements=st.floats(-3, 3)))
@settings(max_examples=10)
def test_the_energy_of_every_network_never_rises(flat):
    check_energies_fall(flat)


def test_the_energy_of_every_network_falls_from_a_random_state():
    with enable_x64():
        run, size = energies_along()
        flat = 2 * jr.normal(jr.key(3), (size,))
        energies, _ = jax.device_get(run(flat))
    check_energies_fall(np.asarray(flat))
    assert all(path[-1] < path[0] - 1e-3 for path in energies.values())


# --- the papers' special cases ---

CASES = [
    (20, 3, 0.7),
    (7, 11, 2.0),
]


@pytest.mark.parametrize("num_neurons, num_patterns, beta", CASES)
@pytest.mark.parametrize("diagonal", [True, False])
@precisions
def test_hebbs_couplings_come_out_of_a_memory_dependent_generating_function(
    num_neurons, num_patterns, beta, diagonal, bits
):
    rng = np.random.default_rng(0)
    xi = np.sign(rng.standard_normal((num_patterns, num_neurons)))
    u, v = rng.standard_normal(num_neurons), rng.standard_normal(num_neurons)
    with enable_x64(bits == 64):
        stored = jnp.asarray(xi)
        conditioning = conditioning_network(stored, beta=beta, input=jnp.asarray(u), tau_visible=1.5)
        graded = graded_network(stored, beta=beta, input=jnp.asarray(u), tau_visible=1.5, self_coupling=diagonal)
        got, got_graded = (np.asarray(m.vector_field(0.0, jnp.asarray(v))) for m in (conditioning, graded))
    assert got.dtype == got_graded.dtype == f"float{bits}"
    hebb = xi.T @ xi
    tolerance = {32: 1e-6, 64: 1e-12}[bits]
    field = beta * hebb @ v / num_patterns + beta * u
    scale = (beta * np.abs(hebb) @ np.abs(v) / num_patterns + beta * np.abs(u)).max() + np.abs(v).max()
    np.testing.assert_allclose(1.5 * got, -v + np.tanh(field), rtol=0, atol=tolerance * scale)
    if not diagonal:
        hebb = hebb - np.diag(np.diag(hebb))
    expected = -v + u + hebb @ np.tanh(beta * v) / num_neurons
    scale = np.abs(expected).max() + np.abs(hebb).sum(axis=1).max() / num_neurons
    np.testing.assert_allclose(1.5 * got_graded, expected, rtol=0, atol=tolerance * scale)


@precisions
def test_one_update_is_softmax_attention(bits):
    rng = np.random.default_rng(1)
    keys, query, beta = rng.standard_normal((30, 16)), rng.standard_normal(16), 0.9
    with enable_x64(bits == 64):
        network = AdiabaticNetwork(MemoryMap(keys), hidden=hj.LogSumExp(beta), tau_visible=3.0)
        got = np.asarray(network.update(jnp.asarray(query)))
        keys, query = (np.asarray(jnp.asarray(x), np.float64) for x in (keys, query))
    expected = keys.T @ special.softmax(np.float64(np.asarray(beta, f"float{bits}")) * keys @ query)
    np.testing.assert_allclose(got, expected, rtol=0, atol={32: 1e-6, 64: 1e-12}[bits] * np.abs(keys).max())


@pytest.mark.parametrize("name", [n for n in NETWORKS if n in ("adiabatic", "user_map", "identity_more_hidden")])
def test_the_adiabatic_vector_field_is_the_one_of_an_explicit_jacobian(name, x64):
    network = networks()[name]
    model, v = network.model, network.state(jr.key(5))
    assert isinstance(model, AdiabaticNetwork)
    g = model.visible.activation(v)
    jacobian = np.asarray(jax.jacfwd(model.hidden_map)(g))
    f = np.asarray(model.hidden.activation(model.hidden_map(g)))
    expected = (-v + model.input + jacobian.T @ f) / model.tau_visible
    np.testing.assert_allclose(model.vector_field(0.0, v), expected, rtol=1e-13, atol=1e-14)
    # The update is the Euler step of length τ.
    np.testing.assert_allclose(model.update(v), model.input + jacobian.T @ f, rtol=1e-13, atol=1e-14)


def test_the_rectangular_identity_cuts_and_pads():
    g = jnp.arange(1.0, 4.0)
    assert np.array_equal(IdentityMap(2)(g), [1, 2])
    assert np.array_equal(IdentityMap(5, bias=1.0)(g), [2, 3, 4, 1, 1])
    assert np.array_equal(IdentityMap(bias=jnp.ones(3))(g), [2, 3, 4])


def test_the_two_family_system_is_krotov_and_hopfields(x64):
    rng = np.random.default_rng(2)
    xi, b, input = rng.standard_normal((3, 5)), rng.standard_normal(3), rng.standard_normal(5)
    v, h = rng.standard_normal(5), rng.standard_normal(3)
    network = slow_fast_network(
        MemoryMap(xi, b),
        visible=hj.LogCosh(2.0),
        hidden=hj.LogSumExp(1.5),
        input=jnp.asarray(input),
        tau_visible=2.0,
        tau_hidden=0.1,
    )
    y = {"visible": jnp.asarray(v), "hidden": jnp.asarray(h)}
    rate: Any = network.vector_field(0.0, y)
    g, f = np.tanh(2 * v), special.softmax(1.5 * h)
    visible = (v - input) @ g - 0.5 * np.sum(np.log(np.cosh(2 * v)))
    hidden, synapse = (h - b) @ f - np.log(np.sum(np.exp(1.5 * h))) / 1.5, -f @ xi @ g
    # Eq. 19; in the code b belongs to h(g), and so to the synapse.
    terms = network.energy_terms(y)
    np.testing.assert_allclose(network.energy(y), visible + hidden + synapse, rtol=1e-13)
    np.testing.assert_allclose(terms["visible"], visible, rtol=1e-13)
    np.testing.assert_allclose(terms["hidden"] + terms["synapse"], hidden + synapse, rtol=1e-13)
    np.testing.assert_allclose(rate["visible"], (xi.T @ f - v + input) / 2.0, rtol=1e-12)
    np.testing.assert_allclose(rate["hidden"], (xi @ g - h + b) / 0.1, rtol=1e-12)


def test_fast_hidden_neurons_tend_to_the_adiabatic_network_at_first_order(x64):
    network = networks()["adiabatic"]
    fast = network.model
    assert isinstance(fast, AdiabaticNetwork)
    v = network.state(jr.key(4))

    def error(tau_hidden):
        slow = slow_fast_network(
            fast.hidden_map,
            visible=fast.visible,
            hidden=fast.hidden,
            input=fast.input,
            tau_visible=fast.tau_visible,
            tau_hidden=tau_hidden,
        )
        h = fast.hidden_map(fast.visible.activation(v))
        path = hj.integrate(
            SideBySide({"fast": fast, "slow": slow}),
            {"fast": v, "slow": {"visible": v, "hidden": h}},
            t1=1.0,
            stepsize_controller=dfx.PIDController(rtol=1e-10, atol=1e-12),
            adjoint=dfx.ForwardMode(),
            throw=False,
        )
        return jnp.linalg.norm(path.final["slow"]["visible"] - path.final["fast"])

    tau = np.array([0.02, 0.01, 0.005])
    errors = np.asarray(jax.jit(jax.vmap(error))(jnp.asarray(tau)))
    slope = np.diff(np.log(errors)) / np.diff(np.log(tau))
    assert np.all(np.abs(slope - 1) < 0.1) and errors[-1] > 1e-6


# --- what is no energy network is flagged ---


class NotSymmetric(hj.AbstractEnergyDynamics):
    """Written by hand: couplings W that are not symmetric, with the energy of W's symmetric part."""

    weight: jax.Array

    def layers(self):
        return hj.Layer(hj.LogCosh(2.0))

    def interactions(self, g):
        return {"couplings": -0.5 * g @ self.weight @ g}

    def vector_field(self, t, y, args=None):
        return -y + self.weight @ jnp.tanh(2 * y)


def test_couplings_that_are_not_symmetric_are_flagged(x64):
    weight = jr.normal(jr.key(0), (6, 6))
    # Any W, a symmetric one, and an antisymmetric one, whose energy rises and falls in turn.
    weights = jnp.stack([weight, weight + weight.T, 5 * (weight - weight.T)])
    check = lambda weight, y: hj.check_descent(NotSymmetric(weight), y)  # noqa: E731
    over_states = jax.vmap(jax.vmap(check, in_axes=(None, 0)), in_axes=(0, None))
    reports = jax.jit(over_states)(weights, jr.normal(jr.key(1), (20, 6)))
    assert np.array_equal(np.any(reports.consistent, axis=1), [False, True, False])
    assert np.all(reports.consistent[1]) and np.all(reports.descends[1]) and np.all(reports.convex)
    assert np.all(reports.gradient_residual[0] > 1e-3) and not np.all(reports.descends[2])
    assert "not the gradient flow" in str(jtu.tree_map(lambda x: x[0, 0], reports))


def test_a_generating_function_that_is_not_convex_is_flagged(x64):
    patterns = hj.random_patterns(2, 6, key=jr.key(0))
    units = hj.MemoryQuadratic(hj.classical.hebbian(patterns, 6 * jnp.ones(2)))  # without their diagonal
    network = AdiabaticNetwork(IdentityMap(), visible=units, hidden=hj.LogCosh())
    report = hj.check_descent(network, jr.normal(jr.key(1), (6,)))
    assert report.consistent and not report.convex and report.smallest_curvature < 0
    assert "not convex" in str(report)


class Stopped(hj.AbstractGeneratingFunction):
    """Sparsemax as it is easily written: correct values; a gradient that is blocked at the threshold or at p."""

    blocked: str = eqx.field(static=True)

    def __call__(self, x):
        ordered = -jnp.sort(-x)
        sums, counts = jnp.cumsum(ordered), jnp.arange(1.0, x.size + 1, dtype=x.dtype)
        tau = jnp.max((sums - 1) / counts)
        tau = jax.lax.stop_gradient(tau) if self.blocked == "threshold" else tau
        p = jax.nn.relu(x - tau)
        p = jax.lax.stop_gradient(p) if self.blocked == "activation" else p
        return jnp.vdot(p, x) - 0.5 * jnp.vdot(p, p) + 0.5


STOPPED = [("", "hidden"), ("threshold", "hidden"), ("activation", "hidden"), ("activation", "visible")]


@pytest.mark.parametrize("blocked, family", STOPPED)
@pytest.mark.parametrize("bits", [32, pytest.param(64, marks=pytest.mark.slow)])
def test_a_stopped_gradient_is_found(blocked, family, bits):
    with enable_x64(bits == 64):
        patterns, states = 0.5 * hj.gaussian_patterns(4, 6, key=jr.key(0)), 0.1 * jr.normal(jr.key(1), (10, 6))
        units: dict[str, Any] = {family: Stopped(blocked)}
        network = AdiabaticNetwork(MemoryMap(patterns), **units)
        report = eqx.filter_jit(eqx.filter_vmap(hj.check_descent, in_axes=(None, 0)))(network, states)
    assert np.all(report.consistent)  # which only automatic differentiation looks at
    assert np.all(report.differentiable) if not blocked else not np.any(report.differentiable)
    if blocked == "activation" and family == "visible":
        assert np.all(np.abs(report.smallest_curvature) == 0)
    assert ("stopped gradient" in str(jtu.tree_map(lambda x: x[0], report))) == bool(blocked)


KINKED = ("dense_memory", "entmax", "distance", "three_layers")


@pytest.mark.parametrize("name", ["sparsemax", *(pytest.param(n, marks=pytest.mark.slow) for n in KINKED)])
def test_kinks_are_no_stopped_gradients(name):
    network = networks()[name]
    states = network.state(jr.key(2), 1.0, (30,))
    states = jtu.tree_map(lambda x: x.at[0].set(0), states)  # a kink of rectified units
    report = eqx.filter_jit(eqx.filter_vmap(hj.check_descent, in_axes=(None, 0)))(network.model, states)
    assert np.all(report.differentiable)


# --- bad input ---

PATTERNS = jnp.array([[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, 1.0]])
Y = jnp.ones(4)


@pytest.mark.parametrize(
    "build, argument",
    [
        (lambda: MemoryMap(np.ones(4)), r"MemoryMap\.patterns.*shape"),
        (lambda: MemoryMap(np.ones((0, 4))), r"MemoryMap\.patterns.*at least one pattern"),
        (lambda: MemoryMap(np.array([[1.0, np.nan]])), r"MemoryMap\.patterns.*finite"),
        (lambda: MemoryMap(PATTERNS, bias=np.ones(3)), r"MemoryMap\.bias.*2"),
        (lambda: MemoryMap(PATTERNS, bias=np.inf), r"MemoryMap\.bias.*finite"),
        (lambda: MemoryMap(PATTERNS, bias=-np.inf), r"MemoryMap\.bias.*a pattern that is not masked"),
        (
            lambda: AdiabaticNetwork(MemoryMap(PATTERNS, bias=np.array([0.0, -np.inf])), hidden=hj.LogCosh()),
            r"MemoryMap\.bias.*silent at -inf",
        ),
        (lambda: MemoryMap(PATTERNS)(jnp.ones(5)), r"`y`.*\(4,\).*\(5,\)"),
        (lambda: IdentityMap(0), r"IdentityMap\.num_hidden"),
        (lambda: IdentityMap(3, bias=np.ones(2))(Y), r"IdentityMap\.bias.*3"),
        (lambda: AdiabaticNetwork(MemoryMap(PATTERNS), tau_visible=0), r"AdiabaticNetwork\.tau_visible.*positive"),
        (lambda: AdiabaticNetwork(MemoryMap(PATTERNS), tau_visible=np.nan), r"AdiabaticNetwork\.tau_visible"),
        (lambda: AdiabaticNetwork(MemoryMap(PATTERNS), input=np.nan), r"AdiabaticNetwork\.input.*finite"),
        (
            lambda: AdiabaticNetwork(MemoryMap(PATTERNS), input=jnp.ones(3)).vector_field(0.0, Y),
            r"`input`.*\(4,\).*\(3,\)",
        ),
        (lambda: AdiabaticNetwork(MemoryMap(PATTERNS)).vector_field(0.0, jnp.ones(5)), r"`y`.*\(4,\).*\(5,\)"),
        (lambda: AdiabaticNetwork(MemoryMap(PATTERNS)).energy({"v": Y}), r"`y`.*one array for each layer"),
        (lambda: AdiabaticNetwork(lambda g: jnp.sum(g)).energy(Y), r"hidden_map.*shape \(\)"),
        (lambda: AdiabaticNetwork(lambda g: g.astype(jnp.int32)).energy(Y), r"hidden_map.*int32"),
        (lambda: AdiabaticNetwork(lambda g: [g]).energy(Y), r"hidden_map.*list"),
        (lambda: AdiabaticNetwork(lambda g: None).energy(Y), r"hidden_map.*None"),
        (lambda: slow_fast_network(MemoryMap(PATTERNS), tau_hidden=0), r"tau"),
        (lambda: slow_fast_network(MemoryMap(PATTERNS), tau_visible=-1.0), r"tau"),
        (lambda: slow_fast_network(MemoryMap(PATTERNS)).energy(Y), r"`y`.*one array for each layer"),
        (
            lambda: slow_fast_network(MemoryMap(PATTERNS)).energy({"visible": Y, "hidden": jnp.ones(3)}),
            r"hidden_map.*\(3,\).*\(2,\)",
        ),
        (lambda: MapSynapse(lambda g: g.astype(jnp.int32))(Y, Y), r"hidden_map.*int32"),
        (lambda: DenseSynapse(np.ones(4)), r"DenseSynapse\.weight"),
        (lambda: DenseSynapse(np.ones((4, 2)))(Y, jnp.ones(3)), r"DenseSynapse\.weight.*\(4, 3\).*\(4, 2\)"),
        (lambda: DenseSynapse(np.array([[np.inf]])), r"DenseSynapse\.weight.*finite"),
        (lambda: hj.Layer(hj.LogCosh(), tau=0.0), r"Layer\.tau.*positive"),
        (lambda: hj.Layer(hj.LogCosh(), tau=-2), r"Layer\.tau.*positive"),
        (lambda: hj.Layer(hj.LogCosh(), input=np.nan), r"Layer\.input.*finite"),
        (lambda: LayeredNetwork({}, {}), r"`layers`.*at least one"),
        (lambda: LayeredNetwork({"v": hj.Layer(hj.LogCosh())}, {}), r"`synapses`.*at least one"),
        (
            lambda: LayeredNetwork({"v": hj.Layer(hj.LogCosh())}, {"s": (DenseSynapse(PATTERNS), ("v", "w"))}),
            r"synapses\['s'\].*\['v'\].*\['w'\]",
        ),
        (lambda: LayeredNetwork({"v": hj.Layer(hj.LogCosh())}, {"v": (jnp.sum, ("v",))}), r"`synapses`.*names"),
        (
            lambda: LayeredNetwork({"v": hj.Layer(hj.LogCosh())}, {"s": (lambda g: g, ("v",))}).energy({"v": Y}),
            r"synapses\['s'\].*shape \(\)",
        ),
        (
            lambda: LayeredNetwork({"v": hj.Layer(hj.LogCosh())}, {"s": (jnp.sum, ("v",))}).energy({"w": Y}),
            r"`y`.*one array for each layer",
        ),
        (lambda: conditioning_network(0.5 * (PATTERNS + 1)), r"`patterns`.*signs ±1.*covariance"),
        (lambda: graded_network(0.5 * (PATTERNS + 1)), r"`patterns`.*signs ±1.*covariance"),
        (lambda: conditioning_network(jnp.ones((0, 4))), r"`patterns`.*at least one"),
        (lambda: conditioning_network(PATTERNS * jnp.nan), r"`patterns`.*finite"),
        (lambda: conditioning_network(PATTERNS, beta=0), r"beta"),
        (lambda: conditioning_network(PATTERNS, beta=-1.0), r"beta"),
        (lambda: conditioning_network(PATTERNS, input=np.nan), r"input"),
        (lambda: graded_network(PATTERNS, beta=0), r"beta.*positive"),
        (lambda: graded_network(PATTERNS, input=jnp.ones(3)).energy(Y), r"`input`.*\(4,\).*\(3,\)"),
        (lambda: graded_network(PATTERNS, tau_visible=0), r"tau_visible.*positive"),
        (lambda: hj.check_descent(graded_network(PATTERNS), jnp.array([1.0, np.nan, 1.0, 1.0])), r"`y`.*finite"),
    ],
)
def test_bad_input_names_the_argument(build, argument):
    with pytest.raises(ValueError, match=argument):
        build()


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.array(2)])
def test_any_kind_of_number_will_do(number):
    for build in (conditioning_network, graded_network):
        network = build(PATTERNS, beta=number, input=number, tau_visible=number)
        reference = build(PATTERNS, beta=2.0, input=2.0, tau_visible=2.0)
        assert eqx.tree_equal(network, reference, typematch=True)


SILENT = {
    "log_sum_exp": hj.LogSumExp,
    "softplus": hj.Softplus,
    "exponential": hj.Exponential,
    "rectified_power": lambda beta: hj.RectifiedPower(3),
}


@pytest.mark.parametrize("units", SILENT)
@pytest.mark.parametrize("traced", [False, True])
def test_a_bias_of_minus_infinity_masks_a_memory(units, traced):
    patterns = 0.5 * hj.random_patterns(4, 8, key=jr.key(0))
    v = 0.4 * patterns[0]

    def run(patterns, bias, beta):
        network = AdiabaticNetwork(MemoryMap(patterns, bias), hidden=SILENT[units](beta))
        return network.energy(v), jnp.sum(jnp.sin(network.update(v)))

    transform = jax.jit if traced else lambda f: f
    masked = jnp.array([0.2, -jnp.inf, 0.0, -jnp.inf])
    both = transform(jax.value_and_grad(lambda *p: sum(run(*p)), argnums=(0, 1, 2)))
    value, (by_patterns, by_bias, by_beta) = both(patterns, masked, jnp.array(1.5))
    expected, (rows, biases, slope) = both(patterns[::2], masked[::2], jnp.array(1.5))
    # The same sums with two terms of exactly zero: rounding.
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(by_patterns[::2], rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_bias[::2], biases, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_beta, slope, rtol=1e-5, atol=1e-6)
    assert not np.any(by_patterns[1::2]) and not np.any(by_bias[1::2])


def test_verbs_take_a_mask_and_refuse_one_of_everything():
    patterns = hj.random_patterns(3, 8, key=jr.key(0))
    network = lambda patterns, bias: AdiabaticNetwork(MemoryMap(patterns, bias), hidden=hj.LogSumExp(1.0))  # noqa: E731
    cue = 0.6 * patterns[1]
    state = lambda bias: hj.steady_state(network(patterns, bias), cue, throw=False)  # noqa: E731
    found = jax.vmap(state)(jnp.array([[0.0, 0.0, -jnp.inf], [-jnp.inf] * 3, [0.0, jnp.nan, 0.0]]))
    expected = hj.steady_state(network(patterns[:2], 0.0), cue)
    np.testing.assert_allclose(found.state[0], expected.state, atol=1e-5)
    assert np.array_equal(found.result == hj.RESULTS.successful, [True, False, False])
    assert np.array_equal(found.result == hj.RESULTS.not_finite, [False, True, False])
    assert np.array_equal(found.result == hj.RESULTS.invalid_parameter, [False, False, True])


# --- inputs that change ---


def test_the_energy_at_a_frozen_input_changes_by_dissipation_and_by_the_work_of_the_input(x64):
    patterns = hj.random_patterns(2, 6, key=jr.key(0))
    stimulus = lambda t: jnp.sin(t) * jnp.arange(6.0, dtype=jnp.float64) / 6  # noqa: E731
    network = DrivenNetwork(lambda input: graded_network(patterns, beta=2.0, input=input), stimulus)
    y, t, dt = jr.normal(jr.key(1), (6,)), 0.7, 1e-5
    rate = network.vector_field(t, y)
    np.testing.assert_allclose(rate, network.at(t).vector_field(t, y))
    energy = lambda dt: network.at(t + dt).energy(y + dt * rate)  # noqa: E731
    frozen = network.at(t)
    assert hj.check_descent(frozen, y).descends
    work = -jnp.vdot(jnp.cos(t) * jnp.arange(6.0) / 6, frozen.activations(y))
    dissipation = -jnp.vdot(rate, frozen.metric(y, rate))
    np.testing.assert_allclose((energy(dt) - energy(-dt)) / (2 * dt), work + dissipation, rtol=1e-8)
    assert abs(work) > 0.1
    with pytest.raises(ValueError, match="`build`.*energy network"):
        DrivenNetwork(lambda input: None, stimulus).at(0.0)
