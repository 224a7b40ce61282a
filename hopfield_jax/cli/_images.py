"""The networks that `hopfield-jax retrieve` compares, and the corruptions of its images."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._dynamics import AbstractEnergyDynamics
from .._generating import LogSumExp, RectifiedPower, Spherical
from .._patterns import add_noise, flip, mask
from .._types import Array, Patterns, PRNGKey, Scalar
from ..associative import AdiabaticNetwork, MemoryMap, graded_network

REACH = 1.25
"""The dense network's memories have this norm, so that activations of norm 1 excite the right one to at most this."""


@dataclasses.dataclass(frozen=True)
class Network:
    """How a network is made of patterns, β and a power, what is read of its activations, and a sentence."""

    build: Callable[[Patterns, Scalar, int], AbstractEnergyDynamics]
    read: Callable[[Array], Array]
    about: str


def _hebb(patterns: Patterns, beta: Scalar, power: int) -> AbstractEnergyDynamics:
    return graded_network(patterns, beta=beta)


def _dense(patterns: Patterns, beta: Scalar, power: int) -> AbstractEnergyDynamics:
    memories = patterns * (REACH / patterns.shape[1] ** 0.5)
    return AdiabaticNetwork(MemoryMap(memories), visible=Spherical(), hidden=RectifiedPower(power))


def _softmax(patterns: Patterns, beta: Scalar, power: int) -> AbstractEnergyDynamics:
    return AdiabaticNetwork(MemoryMap(patterns), hidden=LogSumExp(beta))


def _as_it_is(g: Array) -> Array:
    return g


def _from_the_sphere(g: Array) -> Array:
    """From norm 1 to the patterns' norm √N, so that overlaps compare."""
    return g * g.size**0.5


NetworkName = Literal["hebb", "dense", "softmax"]
NETWORKS: dict[NetworkName, Network] = {
    "hebb": Network(_hebb, _as_it_is, "Hebb's couplings ΞᵀΞ/N, no diagonal, graded neurons tanh(βv), β = {beta:g}"),
    "dense": Network(
        _dense, _from_the_sphere, f"rectified power n = {{power}}, neurons on a sphere, memories of norm {REACH:g}"
    ),
    "softmax": Network(_softmax, _as_it_is, "LogSumExp memories of β = {beta:g}, linear neurons"),
}


@dataclasses.dataclass(frozen=True)
class Corruption:
    """The default of its amount, which domain that lies in, a sentence, and whether pixels are hidden."""

    default: float
    domain: str
    about: str
    hides: bool


CorruptionName = Literal["half", "top", "flip", "noise"]
CORRUPTIONS: dict[CorruptionName, Corruption] = {
    "half": Corruption(0.5, "probability", "{amount:.0%} of the pixels hidden at random", True),
    "top": Corruption(0.5, "probability", "the top {amount:.0%} of the rows hidden", True),
    "flip": Corruption(0.2, "probability", "{amount:.0%} of the pixels change sign", False),
    "noise": Corruption(1.0, "nonnegative", "Gaussian noise, {amount:g} times the pixels' root mean square", False),
}


@eqx.filter_jit
def corrupt(kind: CorruptionName, patterns: Patterns, amount: Scalar, shape: tuple[int, int], key: PRNGKey) -> Any:
    """A cue from each pattern; what is hidden is set to zero, the mean image."""
    if kind == "top":
        height, width = shape if shape[0] > 1 else (shape[1], 1)  # of a strip, the first part
        rows = jnp.arange(height * width) // width
        return jnp.where(rows[None] < jnp.round(amount * height).astype(rows.dtype), 0, patterns)
    one = {"half": mask, "flip": flip, "noise": add_noise}[kind]
    return jax.vmap(lambda x, k: one(x, amount, key=k))(patterns, jr.split(key, len(patterns)))
