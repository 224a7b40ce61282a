"""What `hopfield-jax retrieve` prints, draws and saves."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from .._misc import as_inexact, default_float
from ..associative import Retrieval
from ._report import plus_minus, save_json, table, versions
from ._retrieve import CORRUPTIONS, DURATION, NETWORKS, REACH, Outcome, Request, corrupt, run

_NUM_SHOWN = 10


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
        "dense_memory_norm": REACH,
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
        cues = np.asarray(corrupt(corruption, as_inexact(patterns), amount, request.images.shape, key))
        if CORRUPTIONS[corruption].hides:
            kept = corrupt(corruption, as_inexact(np.ones_like(patterns)), amount, request.images.shape, key)
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
            plot.energy(of[corruption, name].first, ax=ax, color=plot.COLOURS[n])
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
    plot.scores(labelled, ax=ax)
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
