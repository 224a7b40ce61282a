"""The networks that `hopfield-jax retrieve` compares, the corruptions of its images, and retrieval."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np

from .._dynamics import AbstractEnergyDynamics
from .._patterns import add_noise, flip, mask
from .._types import Array, Float, Patterns, PRNGKey, Scalar
from .._units import LogSumExp, RectifiedPower, Spherical
from ..associative import AdiabaticNetwork, MemoryMap, graded_network, retrieve, score
from ..associative.results import RetrievalRun, RetrievalScore

DURATION = 30.0
"""How long a network runs, in units of τ."""
NUM_TIMES = 201
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one network made of one corruption.

    **Attributes:** `score` over the cues of all draws; `by_draw`: fractions retrieved; `first`: the retrievals of the
    first draw; `compile_s`: of the network, once for all its rows; `run_s`.
    """

    network: NetworkName
    corruption: CorruptionName
    score: RetrievalScore
    by_draw: np.ndarray
    first: RetrievalRun
    compile_s: float
    run_s: float

    def record(self, amount: float) -> dict[str, Any]:
        s = self.score
        spread = float(np.std(self.by_draw, ddof=1) / len(self.by_draw) ** 0.5) if len(self.by_draw) > 1 else None
        return {
            "network": self.network,
            "corruption": self.corruption,
            "amount": amount,
            "num_cues": s.retrieved.size,
            "num_retrieved": int(jnp.sum(s.retrieved)),
            "retrieved": s.fraction,
            "retrieved_error": s.fraction_error,
            "retrieved_error_between_draws": spread,
            "retrieved_by_draw": self.by_draw,
            "right_winner": s.recognised_fraction,
            "right_winner_error": s.recognised_error,
            "similarity": s.mean_similarity,
            "similarity_error": s.similarity_error,
            "overlap": s.mean_overlap,
            "overlap_error": s.overlap_error,
            "num_steps": s.mean_steps,
            "energy_drop": s.mean_energy_drop,
            "largest_energy_rise": np.nanmax(s.energy_rise, initial=0.0),
            "num_moving": s.num_unsettled,
            "num_failed": s.num_failed,
            "compile_s": self.compile_s,
            "run_s": self.run_s,
        }


def retrieve_cues(
    build: Callable,
    read: Callable,
    power: int,
    chunk: int,
    threshold: float,
    beta: Scalar,
    patterns: Float[Any, "patterns neurons"],
    cues: Float[Any, "patterns neurons"],
) -> tuple[RetrievalRun, RetrievalScore]:
    """Retrieves from the cue of each pattern, `chunk` of them at a time; keeps only the last overlaps."""
    network, num_cues = build(patterns, beta, power), len(cues)

    def one(cue: Array) -> RetrievalRun:
        found = retrieve(
            network,
            patterns,
            cue,
            t1=DURATION,
            num_times=NUM_TIMES,
            read=read,
            throw=False,
            adjoint=dfx.ForwardMode(),  # nothing is differentiated here, and this compiles faster
        )
        return eqx.tree_at(lambda r: (r.overlap, r.similarity), found, (found.overlap[-1:], found.similarity[-1:]))

    # Whole chunks only: a remainder would be compiled a second time.
    rounds = -(-num_cues // chunk)
    padded = cues[jnp.arange(rounds * chunk) % num_cues]
    found = jax.lax.map(jax.vmap(one), padded.reshape(rounds, chunk, -1))
    found = jtu.tree_map(lambda x: x.reshape(rounds * chunk, *x.shape[2:])[:num_cues], found)
    return found, score(found, jnp.arange(num_cues), threshold=threshold)
