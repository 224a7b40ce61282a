"""`hopfield-jax retrieve`: stored images, corrupted, and what each network makes of them; `_present` shows it."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np

from .._checks import at_least, fail, in_domain
from .._dynamics import AbstractEnergyDynamics
from .._generating import LogSumExp, RectifiedPower, Spherical
from .._misc import as_inexact, default_float
from .._patterns import add_noise, flip, mask
from .._types import Array, Float, Patterns, PRNGKey, Scalar
from ..associative import AdiabaticNetwork, MemoryMap, Retrieval, RetrievalScore, graded_network, retrieve, score
from ._data import Images, load
from ._report import BAR, writable_folder

DURATION = 30.0
"""How long a network runs, in units of τ."""
_NUM_TIMES = 201
REACH = 1.25
"""The dense network's memories have this norm, so that activations of norm 1 excite the right one to at most this."""
_BUDGET = 256 * 2**20
"""Bytes that the cues integrated at the same time may take."""


# --- networks: a builder, what is read out, and a sentence ---


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


@dataclasses.dataclass(frozen=True)
class _Network:
    build: Callable
    read: Callable
    about: str


NETWORKS = {
    "hebb": _Network(_hebb, _as_it_is, "Hebb's couplings ΞᵀΞ/N, no diagonal, graded neurons tanh(βv), β = {beta:g}"),
    "dense": _Network(
        _dense, _from_the_sphere, f"rectified power n = {{power}}, neurons on a sphere, memories of norm {REACH:g}"
    ),
    "softmax": _Network(_softmax, _as_it_is, "LogSumExp memories of β = {beta:g}, linear neurons"),
}


# --- corruptions ---


@dataclasses.dataclass(frozen=True)
class _Corruption:
    default: float
    domain: str
    about: str
    hides: bool


CORRUPTIONS = {
    "half": _Corruption(0.5, "probability", "{amount:.0%} of the pixels hidden at random", True),
    "top": _Corruption(0.5, "probability", "the top {amount:.0%} of the rows hidden", True),
    "flip": _Corruption(0.2, "probability", "{amount:.0%} of the pixels change sign", False),
    "noise": _Corruption(1.0, "nonnegative", "Gaussian noise, {amount:g} times the pixels' root mean square", False),
}


@eqx.filter_jit
def corrupt(kind: str, patterns: Patterns, amount: Scalar, shape: tuple[int, int], key: PRNGKey) -> Patterns:
    """A cue from each pattern; what is hidden is set to zero, the mean image."""
    if kind == "top":
        height, width = shape if shape[0] > 1 else (shape[1], 1)  # of a strip, the first part
        rows = jnp.arange(height * width) // width
        return jnp.where(rows[None] < jnp.round(amount * height).astype(rows.dtype), 0, patterns)
    one = {"half": mask, "flip": flip, "noise": add_noise}[kind]
    return jax.vmap(lambda x, k: one(x, amount, key=k))(patterns, jr.split(key, len(patterns)))


# --- the request ---


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides the numbers, checked; `amounts` has one entry a corruption."""

    images: Images
    num_patterns: int
    amounts: Mapping[str, float]
    networks: Sequence[str]
    beta: float
    power: int
    draws: int
    seed: int
    threshold: float
    output: Path

    def draws_of(self, corruption: str) -> int:
        """One where every draw would be the same: all images stored, nothing random in the cue."""
        return 1 if corruption == "top" and self.num_patterns == len(self.images.rows) else self.draws

    def stored(self, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patterns of a draw, of mean zero over the patterns and norm √N; the mean image; the norms before scaling."""
        key = jr.fold_in(jr.fold_in(jr.key(self.seed), draw), 0)
        chosen = np.asarray(jr.permutation(key, len(self.images.rows)))[: self.num_patterns]
        first = self.images.rows[chosen[0]]
        rows = self.images.rows[chosen] - first  # an offset that all have in common costs no digits
        mean = rows.mean(0)
        norms = np.linalg.norm(rows - mean, axis=1)
        if not np.all(norms > 1e-6 * norms.max()):
            fail("SOURCES", "images that differ from the mean of the stored ones", "one that equals it")
        return (rows - mean) * (rows.shape[1] ** 0.5 / norms)[:, None], first + mean, norms

    def sign_cosine(self) -> float:
        """Mean cosine between the stored patterns of the first draw and their signs."""
        patterns = self.stored(0)[0]
        sizes = np.linalg.norm(patterns, axis=1) * np.sqrt(np.count_nonzero(patterns, axis=1))
        return float((np.abs(patterns).sum(1) / sizes).mean())

    def cue_key(self, draw: int, corruption: str) -> Array:
        """The same for all networks, so that they meet the same cues."""
        return jr.fold_in(jr.fold_in(jr.key(self.seed), draw), 1 + list(CORRUPTIONS).index(corruption))


def prepare(
    sources: Sequence[Path],
    *,
    output: Path,
    size: int | None = None,
    num_patterns: int | None = None,
    corruptions: Sequence[str] = ("half", "top"),
    amount: float | None = None,
    networks: Sequence[str] = tuple(NETWORKS),
    beta: float = 4.0,
    power: int = 20,
    draws: int = 20,
    seed: int = 0,
    threshold: float = 0.9,
) -> Request:
    """Checks the options, the folder and the images before anything long begins.

    **Raises:** `ValueError` that names the option, what was expected and what was got.
    """
    for name, value, smallest in (("--power", power, 2), ("--draws", draws, 1), ("--seed", seed, 0)):
        at_least(name, value, smallest)
    if num_patterns is not None and num_patterns < 2:
        fail("--num-patterns", "at least 2 (patterns are centred by their mean: one alone would vanish)", num_patterns)
    in_domain("--beta", beta, "positive")
    if not -1 <= threshold <= 1:
        fail("--threshold", "a cosine, within [-1, 1]", threshold)
    amounts = {name: CORRUPTIONS[name].default if amount is None else amount for name in corruptions}
    for name, value in amounts.items():
        in_domain(f"--amount (of {name})", value, CORRUPTIONS[name].domain)
    writable_folder("--output", output)

    images = load(sources, size)
    available = len(images.rows)
    if available < 2:
        fail("SOURCES", "at least 2 different images (patterns are centred by their mean)", f"{available}")
    if num_patterns is not None and num_patterns > available:
        fail("--num-patterns", f"at most {available}, as many different images as there are", num_patterns)
    count = min(64, available) if num_patterns is None else num_patterns
    request = Request(
        images, count, amounts, tuple(dict.fromkeys(networks)), beta, power, draws, seed, threshold, output
    )
    for draw in range(draws):
        request.stored(draw)
    return request


# --- the computation ---


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one network made of one corruption.

    **Attributes:** `score` over the cues of all draws; `by_draw`: fractions retrieved; `first`: the retrievals of the
    first draw; `compile_s`: of the network, once for all its rows; `run_s`.
    """

    network: str
    corruption: str
    score: RetrievalScore
    by_draw: np.ndarray
    first: Retrieval
    compile_s: float
    run_s: float


def run(request: Request) -> list[Outcome]:
    """Retrieves every cue with every network, compiling once a network."""
    from tqdm import tqdm

    num_cues, num_neurons = request.num_patterns, request.images.rows.shape[1]
    chunk = _chunk(num_cues, num_neurons)
    beta = as_inexact(request.beta)
    blank = jnp.zeros((num_cues, num_neurons), default_float())
    total = len(request.networks) * (1 + sum(map(request.draws_of, request.amounts)))
    outcomes = []
    with tqdm(total=total, delay=2, leave=False, disable=None, bar_format=BAR) as progress:
        for name in request.networks:
            progress.set_description(f"{name}: compiling")
            network, started = NETWORKS[name], time.perf_counter()
            arguments = (network.build, network.read, request.power, chunk, request.threshold)
            jitted: Any = eqx.filter_jit(_retrieve_cues)
            compiled = jitted.lower(*arguments, beta, blank, blank).compile()
            compile_s = time.perf_counter() - started
            progress.update()
            for corruption, amount in request.amounts.items():
                progress.set_description(f"{name}: {corruption}")
                scores, firsts, run_s = [], [], 0.0
                for draw in range(request.draws_of(corruption)):
                    patterns = as_inexact(request.stored(draw)[0])
                    key = request.cue_key(draw, corruption)
                    cues = corrupt(corruption, patterns, as_inexact(amount), request.images.shape, key)
                    started = time.perf_counter()
                    found, scored = jax.block_until_ready(compiled(*arguments, beta, patterns, cues))
                    run_s += time.perf_counter() - started
                    scores.append(scored)
                    firsts = firsts or [found]
                    progress.update()
                together = jtu.tree_map(lambda *x: jnp.concatenate(x) if x[0].ndim else x[0], *scores)
                by_draw = np.array([float(s.fraction) for s in scores])
                outcomes.append(Outcome(name, corruption, together, by_draw, firsts[0], compile_s, run_s))
    return outcomes


def _retrieve_cues(
    build: Callable,
    read: Callable,
    power: int,
    chunk: int,
    threshold: float,
    beta: Scalar,
    patterns: Float[Any, "patterns neurons"],
    cues: Float[Any, "patterns neurons"],
) -> tuple[Retrieval, RetrievalScore]:
    """Retrieves from the cue of each pattern, `chunk` of them at a time; keeps only the last overlaps."""
    network, num_cues = build(patterns, beta, power), len(cues)

    def one(cue: Array) -> Retrieval:
        found = retrieve(
            network,
            patterns,
            cue,
            t1=DURATION,
            num_times=_NUM_TIMES,
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


def _chunk(num_patterns: int, num_neurons: int) -> int:
    """Cues at a time: the solver holds about 40 states of each, and two numbers a pattern at every kept time."""
    size = np.dtype(default_float()).itemsize * (40 * num_neurons + 2 * _NUM_TIMES * num_patterns)
    rounds = -(-num_patterns * size // _BUDGET)
    return -(-num_patterns // rounds)
