"""`hopfield-jax retrieve`: stored images, corrupted, and what each network makes of them."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import typer

from .._checks import Rules, fail
from .._misc import as_inexact, default_float
from .._types import Array
from ..associative import score
from ._command import AbstractCommand, Output, Seed, default_of, local_path
from ._data import Images, load
from ._images import (
    CORRUPTIONS,
    DURATION,
    NETWORKS,
    NUM_TIMES,
    REACH,
    CorruptionName,
    NetworkName,
    Outcome,
    corrupt,
    retrieve_cues,
)
from ._report import compiled, plus_minus, progress, table, timed
from ._retrieve_figures import draw_energies, draw_images, draw_scores

_BUDGET = 256 * 2**20
"""Bytes that the cues integrated at the same time may take."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieve(AbstractCommand):
    """Prints a table with errors and writes figures (images.png, energy.png, scores.png) and numbers (retrieve.json,
    retrieve.npz).

    \b
    Examples
      hopfield-jax retrieve
      hopfield-jax retrieve photos/ --size 48 --corruption top --amount 0.7
      hopfield-jax retrieve patterns.npy -p 30 -c flip -c noise -n hebb -n softmax
    """

    sources: Annotated[
        tuple[Path, ...],
        typer.Argument(
            metavar="SOURCES",
            parser=local_path,
            help="Image files, folders of images (other files in them are skipped), or one .npy array of shape "
            "(patterns, neurons) or (patterns, height, width). Without any: the scanned digits that come with "
            "scikit-learn.",
            show_default=False,
        ),
    ] = ()
    num_patterns: Annotated[
        int | None, typer.Option("--num-patterns", "-p", help="Images stored at a time. Default: 64, or all if fewer.")
    ] = None
    corruption: Annotated[
        tuple[CorruptionName, ...],
        typer.Option(
            "--corruption",
            "-c",
            help="half: pixels hidden at random; top: upper rows hidden; flip: signs changed; noise: Gaussian noise "
            "added. May be repeated.",
        ),
    ] = ("half", "top")
    amount: Annotated[
        float | None,
        typer.Option(
            "--amount",
            "-a",
            help="Fraction hidden or flipped, or strength of the noise in units of the pixels' root mean square. "
            f"Default: {', '.join(f'{name} {x.default:g}' for name, x in CORRUPTIONS.items())}.",
        ),
    ] = None
    network: Annotated[
        tuple[NetworkName, ...],
        typer.Option(
            "--network",
            "-n",
            help="hebb: classical Hebbian; dense: rectified power; softmax: LogSumExp. May be repeated.",
        ),
    ] = tuple(NETWORKS)
    beta: Annotated[float, typer.Option(help="Slope β of hebb, inverse temperature β of softmax.")] = 4.0
    power: Annotated[int, typer.Option(help="Power n of the dense network.", min=2)] = 20
    num_draws: Annotated[int, typer.Option(help="How often images and corruption are drawn.", min=1)] = 20
    threshold: Annotated[float, typer.Option(help="Final cosine that counts as retrieved.")] = default_of(
        score, "threshold"
    )
    size: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels that image files are resized to. Default: pictures of one size keep it, up to 64; "
            "others are resized to 32.",
            min=2,
        ),
    ] = None
    seed: Seed = 0
    output: Output = Path("hopfield-retrieve")

    def __post_init__(self) -> None:
        if self.num_patterns is not None and self.num_patterns < 2:
            least = "at least 2 (patterns are centred by their mean: one alone would vanish)"
            fail("num_patterns", least, self.num_patterns)
        Rules().real("beta", self.beta, "positive")
        Rules().real("threshold", self.threshold, "cosine")
        for name, amount in self.amounts.items():
            Rules().real(f"amount (of {name})", amount, CORRUPTIONS[name].domain)
        available = len(self.images.rows)
        if available < 2:
            fail("sources", "at least 2 different images (patterns are centred by their mean)", f"{available}")
        if self.count > available:
            fail("num_patterns", f"at most {available}, as many different images as there are", self.count)
        for draw in range(self.num_draws):
            self.stored(draw)

    @functools.cached_property
    def images(self) -> Images:
        return load(self.sources, self.size)

    @property
    def count(self) -> int:
        """Patterns stored at a time."""
        return min(64, len(self.images.rows)) if self.num_patterns is None else self.num_patterns

    @property
    def amounts(self) -> dict[CorruptionName, float]:
        return {name: CORRUPTIONS[name].default if self.amount is None else self.amount for name in self.corruption}

    def draws_of(self, corruption: str) -> int:
        """One where every draw would be the same: all images stored, nothing random in the cue."""
        return 1 if corruption == "top" and self.count == len(self.images.rows) else self.num_draws

    def stored(self, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patterns of a draw, of mean zero over the patterns and norm √N; the mean image; the norms before scaling."""
        key = jr.fold_in(jr.fold_in(jr.key(self.seed), draw), 0)
        chosen = np.asarray(jr.permutation(key, len(self.images.rows)))[: self.count]
        first = self.images.rows[chosen[0]]
        rows = self.images.rows[chosen] - first  # an offset that all have in common costs no digits
        mean = rows.mean(0)
        norms = np.linalg.norm(rows - mean, axis=1)
        if not np.all(norms > 1e-6 * norms.max()):
            fail("sources", "images that differ from the mean of the stored ones", "one that equals it")
        return (rows - mean) * (rows.shape[1] ** 0.5 / norms)[:, None], first + mean, norms

    def sign_cosine(self) -> float:
        """Mean cosine between the stored patterns of the first draw and their signs."""
        patterns = self.stored(0)[0]
        sizes = np.linalg.norm(patterns, axis=1) * np.sqrt(np.count_nonzero(patterns, axis=1))
        return float((np.abs(patterns).sum(1) / sizes).mean())

    def cues(self, draw: int, corruption: CorruptionName, patterns: Any) -> Array:
        """The same for all networks."""
        key = jr.fold_in(jr.fold_in(jr.key(self.seed), draw), 1 + list(CORRUPTIONS).index(corruption))
        return corrupt(corruption, as_inexact(patterns), as_inexact(self.amounts[corruption]), self.images.shape, key)

    def about(self) -> Iterator[str]:
        images, (height, width) = self.images, self.images.shape
        num_neurons = images.rows.shape[1]
        copies = f" ({images.num_copies} copies left out)" if images.num_copies else ""
        yield (
            f"Storing P = {self.count} of {len(images.rows)} images from {images.source}{copies}, "
            f"{height} × {width} pixels: N = {num_neurons} neurons, load P/N = {self.count / num_neurons:.3g}."
        )
        yield (
            f"{self.num_draws} draws, seed {self.seed}; patterns centred by their mean image, norm √N; "
            f"each network runs for {DURATION:g} τ."
        )
        if self.count == len(images.rows):
            yield "Every draw stores all images: draws differ by the corruption alone."
        yield from ("", "Networks")
        for name in dict.fromkeys(self.network):
            yield f"  {name:8}{NETWORKS[name].about.format(beta=self.beta, power=self.power)}"
        yield "Corruptions"
        for name, amount in self.amounts.items():
            yield f"  {name:8}{CORRUPTIONS[name].about.format(amount=amount)}"

    def compute(self) -> list[Outcome]:
        """Retrieves every cue with every network, compiling once a network."""
        networks, chunk = dict.fromkeys(self.network), self.chunk()
        beta, blank = as_inexact(self.beta), jnp.zeros((self.count, self.images.rows.shape[1]), default_float())
        outcomes = []
        with progress(len(networks) * (1 + sum(map(self.draws_of, self.amounts))), delay=2) as bar:
            for name in networks:
                bar.set_description(f"{name}: compiling")
                given = (NETWORKS[name].build, NETWORKS[name].read, self.power, chunk, self.threshold, beta)
                program, compile_s = compiled(retrieve_cues, *given, blank, blank)
                bar.update()
                for corruption in self.amounts:
                    bar.set_description(f"{name}: {corruption}")
                    found, run_s = [], 0.0
                    for draw in range(self.draws_of(corruption)):
                        patterns = as_inexact(self.stored(draw)[0])
                        one, seconds = timed(program, *given, patterns, self.cues(draw, corruption, patterns))
                        found.append(one)
                        run_s += seconds
                        bar.update()
                    scores = [scored for _, scored in found]
                    together = jtu.tree_map(lambda *x: jnp.concatenate(x) if x[0].ndim else x[0], *scores)
                    by_draw = np.array([float(s.fraction) for s in scores])
                    outcomes.append(Outcome(name, corruption, together, by_draw, found[0][0], compile_s, run_s))
        return outcomes

    def chunk(self) -> int:
        """Cues at a time: the solver holds about 40 states of each, and two numbers a pattern at every kept time."""
        numbers = 40 * self.images.rows.shape[1] + 2 * NUM_TIMES * self.count
        rounds = -(-self.count * np.dtype(default_float()).itemsize * numbers // _BUDGET)
        return -(-self.count // rounds)

    def describe(self, found: list[Outcome]) -> Iterator[str]:
        """The table, and what its columns mean."""
        header = ("corruption", "network", "retrieved %", "right winner %", "similarity", "overlap", "steps")
        header += ("energy drop", "moving", "failed", "run s")
        rows = []
        for o in sorted(found, key=lambda o: self.corruption.index(o.corruption)):
            s = o.score
            row = [f"{o.corruption} {self.amounts[o.corruption]:g}", o.network]
            row += [plus_minus(100 * s.fraction, 100 * s.fraction_error, 1)]
            row += [plus_minus(100 * s.recognised_fraction, 100 * s.recognised_error, 1)]
            row += [plus_minus(s.mean_similarity, s.similarity_error, 3)]
            row += [plus_minus(s.mean_overlap, s.overlap_error, 3)]
            row += [f"{s.mean_steps:.0f}", f"{s.mean_energy_drop:.3g}", f"{s.num_unsettled}", f"{s.num_failed}"]
            rows.append([*row, f"{o.run_s:.2f}"])
        yield from table(header, rows, num_names=2)
        yield (
            f"retrieved: the winner is the right image and its final cosine is at least {self.threshold:g}; ± binomial "
            "standard error (Wilson)."
        )
        cues = " or ".join(str(n) for n in sorted({o.score.retrieved.size for o in found}))
        yield (
            f"similarity, overlap: means over {cues} cues a row ± standard error. Energies are in each network's own "
            "unit."
        )
        compile_s = ", ".join(f"{name} {s:.1f} s" for name, s in {o.network: o.compile_s for o in found}.items())
        yield f"moving: not yet at rest after {DURATION:g} τ. Compilation: {compile_s}."
        if "hebb" in self.network:
            said = f"have a cosine of {self.sign_cosine():.2f} with it on average: compare right winners."
            yield f"hebb: its neurons saturate, and the signs of a stored image {said}"

    def files(self, found: list[Outcome]) -> Iterator[tuple[str, Any]]:
        of = {(o.corruption, o.network): o for o in found}
        num_neurons = self.images.rows.shape[1]
        setting = f"P = {self.count}, N = {num_neurons}, β = {self.beta:g}, n = {self.power}"
        yield "images.png", draw_images(self, of, setting)
        yield "energy.png", draw_energies(self, of, setting)
        yield "scores.png", draw_scores(self, of, setting)
        parameters = {
            "num_patterns": self.count,
            "num_neurons": num_neurons,
            "load": self.count / num_neurons,
            "shape": self.images.shape,
            "source": self.images.source,
            "num_images": len(self.images.rows),
            "num_copies_left_out": self.images.num_copies,
            "amounts": self.amounts,
            "dense_memory_norm": REACH,
            "mean_cosine_with_signs": self.sign_cosine(),
            "duration": DURATION,
        }
        yield (
            "retrieve.json",
            {"parameters": parameters, "results": [o.record(self.amounts[o.corruption]) for o in found]},
        )
        kept = {"times": found[0].first.times[0]}
        for o in found:
            per_cue = {f.name: getattr(o.score, f.name) for f in dataclasses.fields(o.score) if f.name != "threshold"}
            per_cue["first_draw_energy"] = o.first.energy
            kept |= {f"{o.corruption}.{o.network}.{name}": x for name, x in per_cue.items()}
        yield "retrieve.npz", kept
