"""`hopfield-jax retrieve`: stored images, corrupted, and what each network makes of them."""

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

from .. import plot
from .._checks import at_least, fail, in_domain
from .._dynamics import AbstractEnergyDynamics
from .._generating import LogSumExp, RectifiedPower, Spherical
from .._misc import as_inexact, default_float
from .._patterns import add_noise, flip, mask
from .._types import Array, Float, Patterns, PRNGKey, Scalar
from ..associative import AdiabaticNetwork, MemoryMap, Retrieval, RetrievalScore, graded_network, retrieve, score
from ._data import Images, load
from ._report import plus_minus, save_json, table, versions, writable_folder

DURATION = 30.0
"""How long a network runs, in units of τ."""
_NUM_TIMES = 201
_REACH = 1.25
"""The dense network's memories have this norm, so that activations of norm 1 excite the right one to at most this."""
_NUM_SHOWN = 10
_BAR = "{desc} |{bar}| {n_fmt}/{total_fmt}, {elapsed}"
_BUDGET = 256 * 2**20
"""Bytes that the cues integrated at the same time may take."""


# --- networks: a builder, what is read out, and a sentence ---


def _hebb(patterns: Patterns, beta: Scalar, power: int) -> AbstractEnergyDynamics:
    return graded_network(patterns, beta=beta)


def _dense(patterns: Patterns, beta: Scalar, power: int) -> AbstractEnergyDynamics:
    memories = patterns * (_REACH / patterns.shape[1] ** 0.5)
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
        _dense, _from_the_sphere, f"rectified power n = {{power}}, neurons on a sphere, memories of norm {_REACH:g}"
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
def _corrupt(kind: str, patterns: Patterns, amount: Scalar, shape: tuple[int, int], key: PRNGKey) -> Patterns:
    """A cue from each pattern; what is hidden is set to zero, the mean image."""
    if kind == "top":
        height, width = shape if shape[0] > 1 else (shape[1], 1)  # of a strip, the first part
        rows = jnp.arange(height * width) // width
        return jnp.where(rows[None] < jnp.round(amount * height).astype(rows.dtype), 0, patterns)
    corrupt = {"half": mask, "flip": flip, "noise": add_noise}[kind]
    return jax.vmap(lambda x, k: corrupt(x, amount, key=k))(patterns, jr.split(key, len(patterns)))


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
        rows = self.images.rows[chosen]
        mean = rows.mean(0)
        norms = np.linalg.norm(rows - mean, axis=1)
        if not np.all(norms > 1e-6 * np.linalg.norm(rows, axis=1)):
            fail("SOURCES", "images that differ from the mean of the stored ones", "one that equals it")
        return (rows - mean) * (rows.shape[1] ** 0.5 / norms)[:, None], mean, norms

    def sign_cosine(self) -> float:
        """Mean cosine between the stored patterns of the first draw and their signs."""
        return float(np.abs(self.stored(0)[0]).mean())  # for patterns of norm √N

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
    with tqdm(total=total, delay=2, leave=False, disable=None, bar_format=_BAR) as progress:
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
                    cues = _corrupt(corruption, patterns, as_inexact(amount), request.images.shape, key)
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


# --- the faces ---


def describe_request(request: Request) -> list[str]:
    """What is computed, for people."""
    images, (height, width) = request.images, request.images.shape
    num_neurons = images.rows.shape[1]
    copies = f" ({images.num_copies} copies left out)" if images.num_copies else ""
    lines = [
        f"Storing P = {request.num_patterns} of {len(images.rows)} images from {images.source}{copies}, "
        f"{height} × {width} pixels: N = {num_neurons} neurons, load P/N = {request.num_patterns / num_neurons:.3g}.",
        f"{request.draws} draws, seed {request.seed}; patterns centred by their mean image, norm √N; "
        f"each network runs for {DURATION:g} τ.",
    ]
    if request.num_patterns == len(images.rows):
        lines.append("Every draw stores all images: draws differ by the corruption alone.")
    lines += ["", "Networks"]
    lines += [f"  {n:8}{NETWORKS[n].about.format(beta=request.beta, power=request.power)}" for n in request.networks]
    lines += ["Corruptions"]
    lines += [f"  {c:8}{CORRUPTIONS[c].about.format(amount=amount)}" for c, amount in request.amounts.items()]
    return lines


def describe_outcomes(request: Request, outcomes: Sequence[Outcome]) -> list[str]:
    """The table, and what its columns mean."""
    header = ("corruption", "network", "retrieved %", "right winner %", "similarity", "overlap", "steps", "energy drop")
    header += ("moving", "failed", "run s")
    rows = []
    for o in outcomes:
        s = o.score
        rows.append(
            (
                f"{o.corruption} {request.amounts[o.corruption]:g}",
                o.network,
                plus_minus(100 * float(s.fraction), 100 * float(s.fraction_error), 1),
                plus_minus(100 * float(s.recognised_fraction), 100 * float(s.recognised_error), 1),
                plus_minus(float(s.mean_similarity), float(s.similarity_error), 3),
                plus_minus(float(s.mean_overlap), float(s.overlap_error), 3),
                f"{s.mean_steps:.0f}",
                f"{s.mean_energy_drop:.3g}",
                f"{s.num_unsettled}",
                f"{s.num_failed}",
                f"{o.run_s:.2f}",
            )
        )
    rows.sort(key=lambda row: list(request.amounts).index(row[0].split()[0]))
    compile_s = {o.network: o.compile_s for o in outcomes}
    lines = [
        *table(header, rows, num_names=2),
        "",
        f"retrieved: the winner is the right image and its final cosine is at least {request.threshold:g}; ± binomial "
        "standard error (Wilson).",
        f"similarity, overlap: means over {_cue_counts(outcomes)} a row ± standard error. Energies are in each "
        "network's own unit.",
        f"moving: not yet at rest after {DURATION:g} τ. Compilation: "
        + ", ".join(f"{name} {s:.1f} s" for name, s in compile_s.items())
        + f"; all runs {sum(o.run_s for o in outcomes):.1f} s.",
    ]
    if "hebb" in request.networks:
        lines.append(
            f"hebb: its neurons saturate, and the signs of a stored image have a cosine of {request.sign_cosine():.2f} "
            "with it on average: compare right winners."
        )
    return lines


def _cue_counts(outcomes: Sequence[Outcome]) -> str:
    counts = sorted({o.score.retrieved.size for o in outcomes})
    return " or ".join(map(str, counts)) + " cues"


def save(request: Request, outcomes: Sequence[Outcome]) -> list[Path]:
    """Writes the numbers and the figures; returns the files."""
    numbers, arrays = request.output / "retrieve.json", request.output / "retrieve.npz"
    save_json(numbers, _content(request, outcomes))
    kept = {"times": np.asarray(outcomes[0].first.times[0])}
    for o in outcomes:
        per_cue = {f.name: getattr(o.score, f.name) for f in dataclasses.fields(o.score) if f.name != "threshold"}
        per_cue["first_draw_energy"] = o.first.energy
        kept |= {f"{o.corruption}.{o.network}.{name}": np.asarray(x) for name, x in per_cue.items()}
    np.savez_compressed(arrays, **kept)  # pyright: ignore[reportArgumentType]
    return [*_figures(request, outcomes), numbers, arrays]


def _content(request: Request, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    images = request.images
    parameters = {
        "num_patterns": request.num_patterns,
        "num_neurons": images.rows.shape[1],
        "load": request.num_patterns / images.rows.shape[1],
        "shape": images.shape,
        "source": images.source,
        "num_images": len(images.rows),
        "num_copies_left_out": images.num_copies,
        "amounts": request.amounts,
        "beta": request.beta,
        "power": request.power,
        "dense_memory_norm": _REACH,
        "mean_cosine_with_signs": request.sign_cosine(),
        "draws": request.draws,
        "seed": request.seed,
        "threshold": request.threshold,
        "duration": DURATION,
    }
    results = []
    for o in outcomes:
        s = o.score
        spread = float(np.std(o.by_draw, ddof=1) / len(o.by_draw) ** 0.5) if len(o.by_draw) > 1 else None
        results.append(
            {
                "network": o.network,
                "corruption": o.corruption,
                "amount": request.amounts[o.corruption],
                "num_cues": s.retrieved.size,
                "num_retrieved": int(jnp.sum(s.retrieved)),
                "retrieved": s.fraction,
                "retrieved_error": s.fraction_error,
                "retrieved_error_between_draws": spread,
                "retrieved_by_draw": o.by_draw,
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
                "compile_s": o.compile_s,
                "run_s": o.run_s,
            }
        )
    device = jax.devices()[0]
    return {
        "command": "hopfield-jax retrieve",
        "parameters": parameters,
        "results": results,
        "versions": versions(),
        "device": f"{device.platform}, {device.device_kind}",
        "dtype": str(default_float()),
    }


def _figures(request: Request, outcomes: Sequence[Outcome]) -> list[Path]:
    from matplotlib.figure import Figure

    names, corruptions = list(request.networks), list(request.amounts)
    of = {(o.corruption, o.network): o for o in outcomes}
    num_neurons = request.images.rows.shape[1]
    setting = f"P = {request.num_patterns}, N = {num_neurons}, β = {request.beta:g}, n = {request.power}"

    patterns, mean, norms = request.stored(0)
    shown = slice(0, min(_NUM_SHOWN, len(patterns)))
    height, width = request.images.shape
    tall = 0.72 * (len(names) + 2) * (max(height / width, 0.3) + 0.3) + 0.4
    figure = Figure((0.8 * min(_NUM_SHOWN, len(patterns)) + 1.2, tall * len(corruptions) + 0.3), layout="compressed")
    panels = figure.subplots(len(corruptions), 1, squeeze=False)[:, 0]
    for ax, corruption in zip(panels, corruptions, strict=True):
        amount, key = as_inexact(request.amounts[corruption]), request.cue_key(0, corruption)
        cues = np.asarray(_corrupt(corruption, as_inexact(patterns), amount, request.images.shape, key))
        if CORRUPTIONS[corruption].hides:
            kept = _corrupt(corruption, as_inexact(np.ones_like(patterns)), amount, request.images.shape, key)
            cues = np.where(kept == 0, np.nan, cues)
        plot.images(
            patterns[shown],
            cues[shown],
            {name: np.asarray(of[corruption, name].first.output)[shown] for name in names},
            request.images.shape,
            ax,
            offset=mean,
            scale=norms[shown] / num_neurons**0.5,
            threshold=request.threshold,
            cmap="gray_r" if request.images.ink else "gray",
        )
        ax.set_title(CORRUPTIONS[corruption].about.format(amount=request.amounts[corruption]), fontsize="medium")
    figure.suptitle(f"{setting}; below: cosine with the original", fontsize="medium")
    files = [_write(figure, request.output / "images.png")]

    figure = Figure((3.3 * len(names) + 0.3, 2.5 * len(corruptions) + 0.4), layout="constrained")
    panels = figure.subplots(len(corruptions), len(names), squeeze=False)
    last = max(_settling_time(o.first) for o in outcomes)
    for row, corruption in zip(panels, corruptions, strict=True):
        for n, (ax, name) in enumerate(zip(row, names, strict=True)):
            plot.energy(of[corruption, name].first, ax, color=plot.COLOURS[n])
            ax.set(xlim=(0, last), title=f"{name}, {corruption} {request.amounts[corruption]:g}")
            ax.title.set_fontsize("medium")
    title = f"Energy along the {request.num_patterns} retrievals of the first draw, median thick; {setting}"
    figure.suptitle(title, fontsize="medium")
    files.append(_write(figure, request.output / "energy.png"))

    figure = Figure((3.0 + 0.65 * len(names) * len(corruptions), 3.8), layout="constrained")
    ax = figure.subplots()
    labelled = {
        f"{corruption} {request.amounts[corruption]:g}": {name: of[corruption, name].score for name in names}
        for corruption in corruptions
    }
    plot.scores(labelled, ax)
    figure.suptitle(f"{setting}, {request.draws} draws", fontsize="medium")
    files.append(_write(figure, request.output / "scores.png"))
    return files


def _settling_time(found: Retrieval) -> float:
    """When the median energy has come within a thousandth of its fall, and half as long again."""
    times, median = np.asarray(found.times[0]), np.nanmedian(np.asarray(found.energy), axis=0)
    moving = np.nonzero(np.abs(median - median[-1]) > 1e-3 * abs(median[0] - median[-1]))[0]
    return float(min(times[-1], max(4.0, 1.5 * times[moving[-1]] if len(moving) else 0)))


def _write(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=150)
    return path


def run_and_report(request: Request, echo: Callable[[str], None]) -> list[Path]:
    """The whole of the command once its request is checked; returns the files."""
    for line in (*describe_request(request), ""):
        echo(line)
    outcomes = run(request)
    for line in (*describe_outcomes(request, outcomes), ""):
        echo(line)
    return save(request, outcomes)
