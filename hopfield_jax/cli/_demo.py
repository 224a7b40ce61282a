"""`hopfield-jax demo`: one step after another, each into its own folder."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import typer

from .. import plot
from .._results import Setting
from .._types import Scalar
from ..sequential import period, retrieve_sequence
from ..sequential.results import GainScan, SequenceRun
from . import _dmft
from ._command import Output, writable_folder, write
from ._dmft import Dmft
from ._gains import Gains
from ._report import new_figure, table
from ._retrieve import Retrieve
from ._sequence import NUM_TIMES
from ._sweep_load import SweepLoad
from ._tune_strength import TuneStrength

Echo = Callable[[str], None]
Part = Callable[[Path, bool, Echo], Sequence[Path]]
_STEPS_SHOWN = (1, 5, 19)
_GAINS_SHOWN = {5.0: "it goes on", 3.5: "it collapses"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo:
    """Stored digits come back from corrupted ones while the energies fall; mean-field theory meets simulation, with
    fixed and with plastic synapses; memories follow each other, for ever or until they collapse; a map says how much is
    retrieved at any load and strength of plasticity, and gradients say which strength is best.

    It takes about half a minute on two cores, most of it for compilation, which the next run is spared.

    \b
    Example
      hopfield-jax demo --quick
    """

    output: Output = Path("hopfield-demo")
    quick: Annotated[bool, typer.Option("--quick", help="Fewer draws: larger errors, sooner done.")] = False

    def run(self, echo: Echo) -> list[Path]:
        started = time.perf_counter()
        files: list[Path] = []
        for name in PARTS:
            writable_folder(self.output / name)
        for number, (name, (title, part)) in enumerate(PARTS.items(), 1):
            echo(f"[{number}/{len(PARTS)}] {title}\n")
            files += part(self.output / name, self.quick, echo)
        echo(f"The demo took {time.perf_counter() - started:.0f} s.")
        return files


def images(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    return Retrieve(num_draws=3 if quick else 20, output=folder).run(echo)


def synapses(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    """Theory against simulation without and with plasticity: a short table and one figure."""
    sizes: dict[str, Any] = {"num_samples": 4096 if quick else 16384, "num_trials": 4 if quick else 16}
    fixed, plastic = requests = [Dmft(strength=x, output=folder, **sizes) for x in (0.0, 0.3)]
    for line in plastic.about():
        echo(line)
    echo("  twice      with λ = 0.3 and, the same networks and cues, with λ = 0: fixed synapses\n")
    started = time.perf_counter()
    outcomes = _dmft.run(requests)
    header = ("λ", "step", "overlap m: theory", "simulation", "apart", "with the cue: theory", "simulation", "apart")
    rows = [
        (f"{request.strength:g}", f"{t}", *_dmft.cells(outcome, t))
        for request, outcome in zip(requests, outcomes, strict=True)
        for t in _STEPS_SHOWN
    ]
    for line in (*table(header, rows), _dmft.LEGEND):
        echo(line)
    echo(f"Compilation and runs {time.perf_counter() - started:.1f} s.\n")
    figure = new_figure(10.0, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    for ax, outcome, title in zip(panels, outcomes, ("Fixed synapses", "Plastic synapses"), strict=True):
        plot.order_parameters(outcome.theory, outcome.network, ax=ax).title.set_text(title)
    panels[1].set_ylabel("")
    write(path := folder / "trajectory.png", figure)
    return [path]


def sequences(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    """A sequence that goes on, one that collapses, and what lies between: a short table and one figure."""
    request = Gains(num_gains=13 if quick else 31, output=folder)
    for line in (*request.about(), ""):
        echo(line)
    started = time.perf_counter()
    runs, found = run_all(request)
    for line in (*request.describe(found), f"Compilation and runs {time.perf_counter() - started:.1f} s.", ""):
        echo(line)
    figure = new_figure(11.5, 7.0)
    rasters, (left, right) = figure.subplots(2, 2)
    shown = {gain: jax.tree.map(lambda x: x[np.argmin(np.abs(found.gain - gain))], runs) for gain in _GAINS_SHOWN}  # noqa: B023
    for ax, (gain, said) in zip(rasters, _GAINS_SHOWN.items(), strict=True):
        plot.sequence(shown[gain], ax=ax).title.set_text(f"κ = {gain:g}: {said}")
    rasters[0].collections[0].colorbar.remove()  # the other one has the same
    plot.saliencies(shown[5.0], ax=left)
    plot.gain_scan(found, ax=right)
    write(path := folder / "sequence.png", figure)
    return [path]


def run_all(request: Gains) -> tuple[SequenceRun, GainScan]:
    """The runs at all gains, and what a scan says about them: both with one compilation."""
    network, gains = request.network, jnp.asarray(request.gains)

    @eqx.filter_vmap
    def every(gain: Scalar) -> SequenceRun:
        one = eqx.tree_at(lambda n: n.gain, network, gain)
        times = jnp.linspace(0, request.t1, NUM_TIMES)
        return retrieve_sequence(one, saliency=gain, saveat=times, throw=False, **request.ways)

    runs = jax.block_until_ready(every(gains))
    where: Setting = runs.setting
    kept = {name: x[0] for name, x in where.numbers.items() if name not in ("gain", "saliency", "start", "level")}
    fields = {name: getattr(runs, name) for name in ("period", "num_transitions", "collapsed", "ending", "result")}
    limit = period(gains) * network.tau_slow
    return runs, GainScan(gain=gains, period_limit=limit, setting=Setting(where.source, where.parts, kept), **fields)


def loads(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    """A small map of loads and strengths, with its boundary."""
    points, samples, steps, repeats = (6, 512, 20, 2) if quick else (12, 1024, 40, 4)
    return SweepLoad(
        upper_strength=0.8,
        num_strengths=points,
        lower_load=0.02,
        upper_load=0.35,
        num_loads=points,
        num_samples=samples,
        num_steps=steps,
        num_repeats=repeats,
        devices=1,
        fresh=True,
        output=folder,
    ).run(echo)[:1]


def strengths(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    steps, samples, repeats = (6, 256, 2) if quick else (19, 4096, 4)
    return TuneStrength(num_steps=steps, num_samples=samples, num_repeats=repeats, output=folder).run(echo)


PARTS: dict[str, tuple[str, Part]] = {
    "retrieve": ("Scanned digits come back from corrupted ones", images),
    "dmft": ("Theory meets simulation, while synapses are fixed and while they are plastic", synapses),
    "sequence": ("Memories follow each other, for ever or until they collapse", sequences),
    "sweep": ("How much is retrieved, over loads and strengths of plasticity", loads),
    "tune": ("Which strength of plasticity is best, by its gradient", strengths),
}
