"""Closed forms in NumPy, and the small systems that several tests share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array
from scipy import optimize, special

import hopfield_jax as hj
from hopfield_jax._misc import as_inexact
from hopfield_jax.associative import (
    AdiabaticNetwork,
    DenseSynapse,
    DistanceNetwork,
    IdentityMap,
    LayeredNetwork,
    MemoryMap,
    conditioning_network,
    graded_network,
    slow_fast_network,
)
from hopfield_jax.classical import OuterProducts

# --- generating functions: name, class, numeric parameters, static parameters, L and its gradient in closed form ---


class Generating(NamedTuple):
    """A generating function beside its closed forms, functions of x and the numeric parameters in float64."""

    kind: Callable[..., hj.AbstractGeneratingFunction]
    parameters: dict[str, Any]
    static: dict[str, Any]
    value: Callable[..., Any]
    activation: Callable[..., Any]

    def build(self) -> hj.AbstractGeneratingFunction:
        """In the precision of the present mode."""
        return self.kind(**self.parameters, **self.static)

    def exact(self, function: Callable[..., Any], fn: hj.AbstractGeneratingFunction, x: Any) -> Any:
        """The closed form in float64 at the rounded numbers of `fn` and `x`."""
        source = fn.couplings if isinstance(fn, hj.MemoryQuadratic) else fn
        parameters = {name: np.asarray(getattr(source, name), np.float64) for name in self.parameters}
        return function(np.asarray(x, np.float64), **parameters)


def _log_cosh(z):
    return np.logaddexp(z, -z) - np.log(2)


def _erf_integral(z):
    return z * special.erf(z) + np.exp(-(z**2)) / np.sqrt(np.pi)


def _outer(left, weights, diagonal: bool):
    couplings = left @ np.diag(weights) @ left.T / len(left)
    return couplings if diagonal else couplings - np.diag(np.diag(couplings))


def _memory(diagonal: bool) -> Generating:
    patterns = np.array([[0.7, -1.1, 0.4, 0.9, -0.3], [-0.2, 0.8, 1.2, -0.6, 0.5]])
    return Generating(
        lambda left, weights: hj.MemoryQuadratic(OuterProducts(left, weights=weights, self_coupling=diagonal)),
        {"left": patterns.T, "weights": np.array([3.0, 2.0])},
        {},
        lambda x, left, weights: 0.5 * x @ _outer(left, weights, diagonal) @ x,
        lambda x, left, weights: _outer(left, weights, diagonal) @ x,
    )


def _power(n: int) -> Generating:
    return Generating(hj.Power, {}, {"n": n}, lambda x: np.sum(x**n) / n, lambda x: x ** (n - 1))


def _rectified(n: int) -> Generating:
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    return Generating(hj.RectifiedPower, {}, {"n": n}, lambda x: np.sum(relu(x) ** n) / n, lambda x: relu(x) ** (n - 1))


def _entmax(x, alpha, beta):
    """p and max p·z − Ω(p) over the simplex, z = βx, with τ from a bracket (Peters, Niculae and Martins 2019)."""
    top = np.max(beta * x)
    z = (alpha - 1) * (beta * x - top)
    power = lambda tau: np.maximum(z - tau, 0) ** (1 / (alpha - 1))  # noqa: E731
    p = power(optimize.brentq(lambda tau: np.sum(power(tau)) - 1, -1, 0, xtol=1e-16))
    return p, (p @ (beta * x - top) + top - (np.sum(p**alpha) - 1) / (alpha * (alpha - 1))) / beta


def _entmax_of(alpha: float, beta: float) -> Generating:
    value, activation = (lambda x, alpha, beta, i=i: _entmax(x, alpha, beta)[i] for i in (1, 0))
    return Generating(hj.Entmax, {"alpha": alpha, "beta": beta}, {}, value, activation)


GENERATING = {
    "quadratic": Generating(
        hj.Quadratic,
        {"strength": 1.7},
        {},
        lambda x, strength: 0.5 * strength * x @ x,
        lambda x, strength: strength * x,
    ),
    "log_cosh": Generating(
        hj.LogCosh,
        {"beta": 1.7},
        {},
        lambda x, beta: np.sum(_log_cosh(beta * x)) / beta,
        lambda x, beta: np.tanh(beta * x),
    ),
    "hard_tanh": Generating(
        hj.HardTanh,
        {"beta": 1.7},
        {},
        lambda x, beta: np.sum(np.where(np.abs(x) * beta <= 1, 0.5 * beta * x**2, np.abs(x) - 0.5 / beta)),
        lambda x, beta: np.clip(beta * x, -1, 1),
    ),
    "softplus": Generating(
        hj.Softplus,
        {"beta": 1.7},
        {},
        lambda x, beta: np.sum(np.logaddexp(0, beta * x)) / beta,
        lambda x, beta: special.expit(beta * x),
    ),
    "erf": Generating(
        hj.Erf,
        {"beta": 1.7},
        {},
        lambda x, beta: np.sum(_erf_integral(beta * x)) / beta,
        lambda x, beta: special.erf(beta * x),
    ),
    "rectified_2": _rectified(2),
    "rectified_3": _rectified(3),
    "rectified_8": _rectified(8),
    "power_2": _power(2),
    "power_4": _power(4),
    "power_8": _power(8),
    "exponential": Generating(
        hj.Exponential,
        {"beta": 1.7},
        {},
        lambda x, beta: np.sum(np.exp(beta * x)) / beta,
        lambda x, beta: np.exp(beta * x),
    ),
    "log_sum_exp": Generating(
        hj.LogSumExp,
        {"beta": 1.7},
        {},
        lambda x, beta: special.logsumexp(beta * x) / beta,
        lambda x, beta: special.softmax(beta * x),
    ),
    "spherical": Generating(
        hj.Spherical,
        {"delta": 0.3},
        {},
        lambda x, delta: np.sqrt(x @ x + delta),
        lambda x, delta: x / np.sqrt(x @ x + delta),
    ),
    "layer_norm": Generating(
        hj.LayerNorm,
        {"gain": 1.3, "shift": np.array([0.2, -0.4, 0.1, 0.6, -0.5]), "delta": 0.2},
        {},
        lambda x, gain, shift, delta: gain * x.size * np.sqrt(np.var(x) + delta) + shift @ x,
        lambda x, gain, shift, delta: gain * (x - np.mean(x)) / np.sqrt(np.var(x) + delta) + shift,
    ),
    "sparsemax": Generating(
        hj.Sparsemax,
        {"beta": 0.4},
        {},
        lambda x, beta: _entmax(x, 2.0, beta)[1],
        lambda x, beta: _entmax(x, 2.0, beta)[0],
    ),
    "entmax_1.5": _entmax_of(1.5, 0.4),
    "entmax_1.1": _entmax_of(1.1, 1.7),
    "log_sum_relu": Generating(
        hj.LogSumReLU,
        {"beta": 1.7, "delta": 0.3},
        {},
        lambda x, beta, delta: np.log(delta + np.sum(np.maximum(1 + beta * x, 0))) / beta,
        lambda x, beta, delta: (beta * x > -1) / (delta + np.sum(np.maximum(1 + beta * x, 0))),
    ),
    "memory": _memory(True),
    "memory_no_diagonal": _memory(False),
}
CONVEX = [name for name in GENERATING if name not in ("memory_no_diagonal", "log_sum_relu")]


# --- dynamics with closed solutions ---


class Decay(hj.AbstractDynamics):
    """ẏ = -rate y."""

    rate: Array = eqx.field(converter=as_inexact, default=1.0)

    def vector_field(self, t, y, args=None):
        return -self.rate * y


class Oscillator(hj.AbstractDynamics):
    """ẋ = ωp, ṗ = -ωx for the state (x, p): never at rest, and not an energy network."""

    frequency: Array = eqx.field(converter=as_inexact, default=1.0)

    def vector_field(self, t, y, args=None):
        return self.frequency * jnp.stack([y[1], -y[0]])


class StepInput(hj.AbstractDynamics):
    """ẏ = -y + 1 from `jump` on, and -y before."""

    jump: Array = eqx.field(converter=as_inexact)

    def vector_field(self, t, y, args=None):
        return jnp.where(t >= self.jump, 1 - y, -y)


class SideBySide(hj.AbstractDynamics):
    """Independent systems in one state, so that one compilation integrates them all."""

    systems: dict[str, Any]

    def vector_field(self, t, y, args=None):
        return {name: system.vector_field(t, y[name], args) for name, system in self.systems.items()}

    def energies(self, t, y, args):
        return {name: system.energy(y[name]) for name, system in self.systems.items()}


# --- energy networks of every kind (theory 1.4): six neurons, three memories ---


class BumpMap(eqx.Module):
    """A hidden map a user might write, neither linear nor bounded: h(g) = sin(Wg) + (Wg)²/4."""

    weight: Array

    def __call__(self, g):
        h = jnp.matmul(self.weight, g)
        return jnp.sin(h) + 0.25 * h**2


def _three_way(a, b, c):
    """A synapse among three layers that a user might write."""
    return -jnp.sum(a[:3] * b * c[:3]) + 0.1 * jnp.sum(b**4)


def _attention(tokens):
    """Energy of self-attention among the rows of (tokens, neurons), as in an Energy Transformer."""
    scores = jnp.matmul(tokens, tokens.T)
    return -jnp.sum(jax.nn.logsumexp(scores, axis=-1))


class Network(NamedTuple):
    """An energy network and the shape of its state."""

    model: hj.AbstractEnergyDynamics
    shape: Any

    def state(self, key, scale=1.0, batch: tuple[int, ...] = ()):
        """A Gaussian state of the default precision."""
        shapes, structure = jtu.tree_flatten(self.shape, is_leaf=lambda x: isinstance(x, tuple))
        keys = jr.split(key, len(shapes))
        leaves = [scale * jr.normal(k, batch + shape) for k, shape in zip(keys, shapes, strict=True)]
        return jtu.tree_unflatten(structure, leaves)


def networks() -> dict[str, Network]:
    """One network of every kind with convex generating functions, in the precision of the present mode."""
    keys = jr.split(jr.key(7), 6)
    patterns = hj.random_patterns(3, 6, key=keys[0])
    real = hj.gaussian_patterns(3, 6, key=keys[1])
    bias, input = 0.3 * jr.normal(keys[2], (3,)), 0.3 * jr.normal(keys[3], (6,))
    bump = BumpMap(0.5 * hj.gaussian_patterns(4, 6, key=keys[4]))
    two = {"visible": (6,), "hidden": (3,)}
    models = {
        "krotov_hopfield": (
            slow_fast_network(
                MemoryMap(real, bias), visible=hj.LogCosh(2.0), input=input, tau_visible=1.3, tau_hidden=0.4
            ),
            two,
        ),
        "slow_fast_nonlinear": (
            slow_fast_network(bump, visible=hj.Softplus(2.0), hidden=hj.LogCosh(1.5), input=input, tau_hidden=0.3),
            {"visible": (6,), "hidden": (4,)},
        ),
        "adiabatic": (
            AdiabaticNetwork(
                MemoryMap(real, bias), visible=hj.LogCosh(1.5), hidden=hj.Erf(0.8), input=input, tau_visible=0.7
            ),
            (6,),
        ),
        "attention": (AdiabaticNetwork(MemoryMap(patterns), hidden=hj.LogSumExp(2.0)), (6,)),
        "sparsemax": (AdiabaticNetwork(MemoryMap(real), hidden=hj.Sparsemax(0.4)), (6,)),
        "entmax": (AdiabaticNetwork(MemoryMap(real, bias), visible=hj.Entmax(1.3, 0.5), hidden=hj.Entmax(1.5)), (6,)),
        "distance": (DistanceNetwork(real, hj.LogSumReLU(0.03, delta=0.1)), (6,)),
        "dense_memory": (
            AdiabaticNetwork(MemoryMap(patterns), visible=hj.HardTanh(1.5), hidden=hj.RectifiedPower(3)),
            (6,),
        ),
        "exponential_memory": (
            AdiabaticNetwork(MemoryMap(0.5 * patterns), visible=hj.LogCosh(1.0), hidden=hj.Exponential(0.5)),
            (6,),
        ),
        "identity": (
            AdiabaticNetwork(
                IdentityMap(bias=0.2),
                visible=hj.MemoryQuadratic(OuterProducts(real.T, weights=3 * jnp.ones(3), self_coupling=True)),
                hidden=hj.Softplus(),
            ),
            (6,),
        ),
        "identity_fewer_hidden": (AdiabaticNetwork(IdentityMap(4), visible=hj.LogCosh(2.0), hidden=hj.Power(4)), (6,)),
        "identity_more_hidden": (
            AdiabaticNetwork(IdentityMap(9, bias=jnp.linspace(-1.0, 1.0, 9)), visible=hj.Erf(), hidden=hj.LogSumExp()),
            (6,),
        ),
        "user_map": (AdiabaticNetwork(bump, visible=hj.LogCosh(1.2), hidden=hj.LogCosh(2.0), input=input), (6,)),
        "conditioning": (conditioning_network(patterns, beta=1.5, input=input), (6,)),
        "graded": (graded_network(patterns, beta=3.0, input=input), (6,)),
        "graded_self_coupling": (graded_network(patterns, beta=3.0, input=0.1, self_coupling=True), (6,)),
        "three_layers": (
            LayeredNetwork(
                layers={
                    "a": hj.Layer(hj.LogCosh(1.5), 1.0, input),
                    "b": hj.Layer(hj.Softplus(), 0.4),
                    "c": hj.Layer(hj.HardTanh(0.7), 0.6, 0.1),
                },
                synapses={
                    "ab": (DenseSynapse(real.T), ("a", "b")),
                    "bc": (DenseSynapse(0.5 * real[:, :5]), ("b", "c")),
                    "abc": (_three_way, ("a", "b", "c")),
                },
            ),
            {"a": (6,), "b": (3,), "c": (5,)},
        ),
        "tokens": (
            LayeredNetwork(
                layers={"tokens": hj.Layer(hj.LayerNorm(gain=0.7, delta=0.1), 1.0, jnp.full((2, 5), 0.2))},
                synapses={"attention": (_attention, ("tokens",))},
            ),
            {"tokens": (2, 5)},
        ),
        "softmax_visible": (
            AdiabaticNetwork(MemoryMap(real, bias), visible=hj.LogSumExp(2.0), hidden=hj.Quadratic()),
            (6,),
        ),
        "spherical": (
            AdiabaticNetwork(MemoryMap(real), visible=hj.Spherical(0.5), hidden=hj.Spherical(0.1), input=input),
            (6,),
        ),
        "layer_norm": (
            AdiabaticNetwork(
                MemoryMap(real), visible=hj.LayerNorm(gain=0.8, shift=0.1, delta=0.2), hidden=hj.LogSumExp(2.0)
            ),
            (6,),
        ),
        "collective_layers": (
            LayeredNetwork(
                layers={"v": hj.Layer(hj.Spherical(0.2), 1.0), "h": hj.Layer(hj.LayerNorm(delta=0.3), 0.5, 0.1)},
                synapses={"vh": (DenseSynapse(real.T), ("v", "h"))},
            ),
            {"v": (6,), "h": (3,)},
        ),
    }
    return {name: Network(model, shape) for name, (model, shape) in models.items()}


NETWORKS = (
    "krotov_hopfield", "slow_fast_nonlinear", "adiabatic", "attention", "sparsemax", "entmax", "distance",
    "dense_memory", "exponential_memory", "identity", "identity_fewer_hidden", "identity_more_hidden", "user_map",
    "conditioning", "graded", "graded_self_coupling", "three_layers", "tokens", "softmax_visible", "spherical",
    "layer_norm", "collective_layers",
)  # fmt: skip
"""The names in `networks()`, known without building any."""
