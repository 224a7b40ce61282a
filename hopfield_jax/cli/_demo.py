"""`hopfield-jax demo`: one step after another, each into its own folder."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from . import _present, _present_dmft, _present_sequential, _present_sweep, _retrieve, _tune_strength

Echo = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Step:
    """A part of the demo: `run(folder, quick, echo)` says what it finds and returns the files it wrote."""

    name: str
    title: str
    run: Callable[[Path, bool, Echo], Sequence[Path]]


def _retrieve_images(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    return _present.run_and_report(_retrieve.prepare((), output=folder, draws=3 if quick else 20), echo)


def _plastic_synapses(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    return _present_dmft.demonstrate(folder, quick, echo)


def _sequences(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    return _present_sequential.demonstrate(folder, quick, echo)


def _many_points(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    return _present_sweep.demonstrate(folder, quick, echo)


def _best_strength(folder: Path, quick: bool, echo: Echo) -> Sequence[Path]:
    return _tune_strength.demonstrate(folder, quick, echo)


STEPS = (
    Step("retrieve", "Scanned digits come back from corrupted ones", _retrieve_images),
    Step("dmft", "Theory meets simulation, while synapses are fixed and while they are plastic", _plastic_synapses),
    Step("sequence", "Memories follow each other, for ever or until they collapse", _sequences),
    Step("sweep", "How much is retrieved, over loads and strengths of plasticity", _many_points),
    Step("tune", "Which strength of plasticity is best, by its gradient", _best_strength),
)
