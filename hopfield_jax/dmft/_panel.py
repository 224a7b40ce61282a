"""Predictions of closed theories for a plastic network, and which of them apply."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .. import theory
from .._checks import at_least, fail, is_concrete, kind, takes
from .._misc import default_float
from .._results import card, describe_result, is_okay
from .._types import Float, Scalar
from ..theory.results import StationaryState
from ._cue import AbstractCue, SpinCue
from ._kernels import LeakyHebbian
from ._model import AbstractPlasticModel, check_model
from ._network import PlasticNetwork


class Case:
    """What a theory is asked about; `side` is 1 or -1, that of the pattern on which the cue is, or 0."""

    def __init__(self, model: Any, cue: Any, num_steps: int, asynchronous: bool):
        self.model, self.cue, self.num_steps, self.asynchronous = model, cue, num_steps, asynchronous
        self.units = model.units
        self.coupling = getattr(model, "coupling", jnp.ones_like(model.load))
        self.self_coupling = bool(getattr(model, "self_coupling", False))
        self.plastic = model.kernel is not None and not _is_zero(getattr(model.kernel, "strength", None))
        self.leaky = isinstance(model.kernel, LeakyHebbian) and not self.units.thermal
        self.has_spin_cue = isinstance(cue, SpinCue) and cue.shape == ()
        self.side = float(np.sign(cue.overlap)) if self.has_spin_cue else 1.0

    def stationary(self, verb: Callable[..., StationaryState], *arguments: Any) -> StationaryState:
        return verb(
            self.units,
            *arguments,
            coupling=self.coupling,
            strength=self.model.kernel.strength if self.leaky else 0.0,
            self_coupling=self.self_coupling and not self.units.thermal,
            synapses=self.model.synapses,
            throw=False,
        )

    @functools.cached_property
    def rest(self) -> StationaryState:
        return self.stationary(theory.scsna, self.model.load)

    @functools.cached_property
    def end(self) -> StationaryState:
        return self.stationary(theory.critical_load)

    def is_unique(self, state: StationaryState) -> bool:
        """Whether sites have one state, also in a retrieval state that Maxwell's rule may miss. Without plasticity and
        self-couplings the rule is exact."""
        several = bool(state.multivalued) or (self.plastic and not bool(state.retrieved))
        ruled = (self.plastic or self.self_coupling) and not self.units.thermal
        return not (ruled and several and bool(is_okay(state.result)))


Assumptions = Mapping[str, Callable[[Case], bool]]


@dataclasses.dataclass(frozen=True)
class Theory:
    """A closed theory, for the `theories` of `hopfield_jax.dmft.panel`.

    **Arguments:** functions take a case, which has `model`, `cue`, `num_steps` and `asynchronous`

    - `name`, `theory`, `quantity`: the key in the panel, the name in tables and figures, and what is predicted.
    - `number`: the function that predicts, returns a value or a pair of a value and a remark.
    - `assumptions`: predicates by their descriptions. If one is false, the value is that of a neighbouring model.
    - `needs`: the same; if one is false, there is no value. Descriptions may name `{model}`, `{units}`, `{cue}`.
    - `time`: for figures, the step at which the value is the overlap (`math.inf`: the stationary one; 0: one value per
      step from the cue on); `None` for other quantities.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    mean_field = hj.dmft.Theory(
        "mean_field", "Without crosstalk", "overlap after one step",
        number=lambda case: jnp.tanh(4 * case.cue.overlap),
        assumptions={"few patterns": lambda case: case.model.load < 0.01},
        time=1,
    )
    model = hj.dmft.PlasticNetwork(load=0.1, units=hj.LogCosh(beta=4.0))
    panel = hj.dmft.panel(model, hj.dmft.SpinCue(0.5), theories=(*hj.dmft.THEORIES, mean_field))
    assert panel["mean_field"].reason == "holds with few patterns"
    ```
    """

    name: str
    theory: str
    quantity: str
    number: Callable[[Case], Any]
    assumptions: Assumptions = dataclasses.field(default_factory=dict)
    needs: Assumptions = dataclasses.field(default_factory=dict)
    time: int | float | None = None

    def __post_init__(self):
        for name in ("assumptions", "needs"):
            if not isinstance(found := getattr(self, name), Mapping):
                fail(f"Theory.{name}", "a dictionary of predicates by their descriptions", kind(found))
        takes("Theory.number", self.number, "case")


class Prediction(eqx.Module):
    """The prediction of one theory.

    **Attributes:**

    - `name`, `theory`, `quantity`, `time`: as of the `Theory`.
    - `value`: a number, or one per step from the cue on, shape (times,); NaN if the theory has no prediction.
    - `applies`: whether the theory applies to this model. If not, a value is that of the model described by `reason`.
    - `reason`: why it does not apply; empty, or a remark, if it does.
    """

    name: str = eqx.field(static=True)
    theory: str = eqx.field(static=True)
    quantity: str = eqx.field(static=True)
    value: Float[np.ndarray, "*times"]
    applies: bool = eqx.field(static=True)
    reason: str = eqx.field(static=True)
    time: int | float | None = eqx.field(static=True, default=None)


class Panel(eqx.Module):
    """Result of `hopfield_jax.dmft.panel`: `predictions`, a `Prediction` of each theory; `panel[name]` is one of them.

    Names of the built-in theories:

    - `first_step`: overlap after the first synchronous step; exact.
    - `other_diagonal`: the same with the other convention of self-couplings, to detect a mistaken convention.
    - `amari_maginu`, `okada`: overlap at every step, with correlations of outputs up to one and four steps.
    - `stationary`, `critical_load`: stationary overlap for a cue in the basin, and the load at which it ends.
    - `free_energy`: of retrieval minus that of the spin glass, per neuron; negative if retrieval is the global minimum.
    - `origin`: largest multiplier of small states of graded units in a step; beyond 1 the silent state is unstable.
    """

    predictions: tuple[Prediction, ...]

    def __getitem__(self, name: str) -> Prediction:
        return {p.name: p for p in self.predictions}[name]

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain data, by the names of the theories."""
        fields = ("theory", "quantity", "value", "applies", "reason")
        return {p.name: {field: getattr(p, field) for field in fields} for p in self.predictions}

    def __str__(self) -> str:
        def text():
            rows = [(p.theory, p.quantity, _last(p.value), _applies(p)) for p in self.predictions]
            widths = [max(len(row[i]) for row in rows) for i in range(3)]
            return "\n  ".join(
                f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows
            )

        return card(self, self.predictions[0].value, text)


def _is_zero(x: Any) -> bool:
    return x is not None and bool(np.all(np.asarray(x) == 0))


def _last(value: np.ndarray) -> str:
    last = float(value[-1] if value.ndim else value)
    return f"{last:.6g}" if np.isfinite(last) else "-"


def _applies(p: Prediction) -> str:
    return f"{'applies' if p.applies else 'does not apply'}{': ' if p.reason else ''}{p.reason}"


def _first_step(case: Case, kept: bool) -> Scalar:
    return theory.first_step_overlap(
        case.units, case.model.load, case.cue.overlap, coupling=case.coupling, self_coupling=kept
    )


def _hierarchy(case: Case, order: int) -> tuple[Any, str]:
    options = {"num_steps": case.num_steps, "order": order, "throw": False}
    return theory.okada_hierarchy(case.model.load, case.cue.overlap, **options).overlap, "approximate"


def _overlap_at_rest(case: Case) -> tuple[Any, str]:
    if not is_okay(case.rest.result):
        return case.rest.overlap, describe_result(case.rest.result)
    lost = not case.rest.retrieved and case.is_unique(case.rest)
    return (case.side or 1.0) * case.rest.overlap, "no retrieval at this load" if lost else ""


def _critical_load(case: Case) -> tuple[Any, str]:
    return case.end.load, "" if is_okay(case.end.result) else describe_result(case.end.result)


def _free_energy(case: Case) -> tuple[Any, str]:
    temperature = 1 / case.units.beta if case.units.thermal else jnp.zeros_like(case.model.load)
    retrieval, glass = (
        theory.replica_state(case.model.load, temperature / case.coupling, phase=phase, throw=False)
        for phase in (theory.Retrieval(), theory.SpinGlass())
    )
    worst = next((s for s in (retrieval, glass) if not is_okay(s.result)), None)
    remark = "" if worst is None else describe_result(worst.result)
    return case.coupling * (retrieval.free_energy - glass.free_energy), remark


def _multiplier(case: Case) -> Scalar:
    slope = jax.grad(lambda x: case.units.activation(x[None])[0])(jnp.zeros_like(case.model.load))
    largest = 1 / theory.critical_slope(case.model.load, self_coupling=case.self_coupling)
    return 1 + case.model.dt * (case.coupling * slope * largest - 1)


_ANY: Assumptions = {
    "not derived for a {model}": lambda case: isinstance(case.model, PlasticNetwork),
    "{units} units have inner variables": lambda case: case.units.memoryless,
    "{units} units are not odd": lambda case: case.units.odd,
}
_HEBB: Assumptions = _ANY | {
    "not derived for synapses other than Hebb's": lambda case: getattr(case.model, "synapses", None) is None
}
_NOISY: Assumptions = _ANY | {
    "not derived for thermal units with synapses other than Hebb's": lambda case: (
        not case.units.thermal or getattr(case.model, "synapses", None) is None
    )
}
_SPIN_CUE: Assumptions = _HEBB | {"not derived for this {cue}": lambda case: case.has_spin_cue}
_AT_ONCE: Assumptions = {"all neurons updated at once": lambda case: not case.asynchronous}
_MAP: Assumptions = _AT_ONCE | {"dt = 1": lambda case: float(case.model.dt) == 1}
_NO_FIELDS: Assumptions = {
    "no external fields": lambda case: _is_zero(case.model.pattern_field) and _is_zero(case.model.cue_field)
}
_FIXED: Assumptions = {"fixed synapses": lambda case: not case.plastic}
_HEAT_BATH: Assumptions = {
    "spins updated one at a time": lambda case: case.asynchronous or not case.units.thermal,
    "self-couplings dropped": lambda case: not (case.units.thermal and case.self_coupling),
}
_AT_REST: Assumptions = _HEAT_BATH | {"fixed synapses": lambda case: case.leaky or not case.plastic} | _NO_FIELDS
_UNIQUE = "one state a site (where there are several, the history selects one, and Maxwell's rule is only a substitute)"
_SIGN: Assumptions = {"sign units": lambda case: case.units.binary and not case.units.thermal}
_PATH: Assumptions = (
    _SIGN | _MAP | _NO_FIELDS | _FIXED | {"self-couplings dropped": lambda case: not case.self_coupling}
)
_STEP = _MAP | _NO_FIELDS

THEORIES = (
    Theory(
        "first_step", "First step, exact", "overlap after one step",
        lambda case: _first_step(case, case.self_coupling), _STEP, _SPIN_CUE, time=1,
    ),
    Theory(
        "other_diagonal", "First step, other diagonal", "overlap after one step",
        lambda case: _first_step(case, not case.self_coupling),
        _STEP | {"self-couplings {other}": lambda case: False}, _SPIN_CUE, time=1,
    ),
    Theory(
        "amari_maginu", "Amari and Maginu", "overlap after {num_steps} steps",
        lambda case: _hierarchy(case, 1), _PATH, _SPIN_CUE, time=0,
    ),
    Theory(
        "okada", "Okada, fourth order", "overlap after {num_steps} steps",
        lambda case: _hierarchy(case, 4), _PATH, _SPIN_CUE, time=0,
    ),
    Theory(
        "stationary", "Signal to noise (SCSNA)", "overlap at rest, in the basin", _overlap_at_rest,
        _AT_REST | {
            "a cue on the side of the pattern": lambda case: case.side != 0,
            _UNIQUE: lambda case: case.is_unique(case.rest),
        },
        _NOISY, time=math.inf,
    ),
    Theory(
        "critical_load", "Signal to noise (SCSNA)", "critical load", _critical_load,
        _AT_REST | {_UNIQUE: lambda case: case.is_unique(case.end)}, _NOISY,
    ),
    Theory(
        "free_energy", "Replica theory (AGS)", "f(retrieval) - f(spin glass)", _free_energy,
        {"sign units": lambda case: case.units.binary} | _HEAT_BATH | _FIXED | _NO_FIELDS, _HEBB,
    ),
    Theory(
        "origin", "Linear stability", "multiplier of silence", _multiplier, _AT_ONCE | _NO_FIELDS,
        _HEBB | {"binary units are never silent": lambda case: not case.units.binary},
    ),
)  # fmt: skip
"""The closed theories of this package."""


def panel(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int = 20,
    asynchronous: bool = False,
    theories: Sequence[Theory] = THEORIES,
) -> Panel:
    r"""Predictions of closed theories for a model and cue, which of them apply, and why the others do not.

    Helps to decide whether a simulation differs from theory by finite size, by a convention or by a mistake. A theory
    that does not apply still gives the value for a neighbouring model (fixed synapses, other self-couplings,
    asynchronous updates), which `reason` names. Mean-field theory itself, `solve`, applies to every model here except
    asynchronous ones, and has its own errors.

    **Arguments:**

    - `model`, `cue`: as in `solve`; their numbers must be concrete (not traced).
    - `num_steps`: number of steps of the approximate trajectories.
    - `asynchronous`: whether the simulation has asynchronous updates.
    - `theories`: default `hopfield_jax.dmft.THEORIES`; add a `Theory` of your own to these.

    **Returns:** a `Panel`; `print` shows a table.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(load=0.1, units=hj.Sign())
    panel = hj.dmft.panel(model, hj.dmft.SpinCue(0.5))
    assert panel["first_step"].applies and abs(panel["first_step"].value - 0.8861537) < 1e-6
    other = panel["other_diagonal"]
    assert abs(other.value - 0.9051895) < 1e-6 and "self-couplings" in other.reason
    ```
    """
    check_model(model, cue)
    at_least("num_steps", num_steps, 1)
    if not all(is_concrete(x) for x in jtu.tree_leaves((model, cue)) if eqx.is_array(x)):
        fail("model", "numbers that are known, outside of jax.jit", "traced values")
    if not theories or not all(isinstance(one, Theory) for one in theories):
        fail("theories", "at least one `Theory`", theories)
    case = Case(model, cue, num_steps, asynchronous)
    return Panel(tuple(_judged(one, case) for one in theories))


def _judged(one: Theory, case: Case) -> Prediction:
    """Asks a theory for its number if its needs are met, and lists the assumptions that do not hold."""
    names = {name: type(getattr(case, name)).__name__ for name in ("model", "units", "cue")}
    names |= {"other": "dropped" if case.self_coupling else "kept", "num_steps": case.num_steps}

    def broken(rules: Assumptions) -> list[str]:
        return [words.format(**names) for words, holds in rules.items() if not holds(case)]

    quantity = one.quantity.format(**names)
    if why := broken(one.needs):
        blank = np.full((), np.nan, default_float())
        return Prediction(one.name, one.theory, quantity, blank, False, "; ".join(why), one.time)
    found = one.number(case)
    value, remark = found if isinstance(found, tuple) else (found, "")
    instead = broken(one.assumptions)
    reason = f"holds with {' and '.join(instead)}" if instead else ""
    applies = not instead and bool(np.all(np.isfinite(value)))
    reason = "; ".join(filter(None, [reason, remark]))
    return Prediction(one.name, one.theory, quantity, np.asarray(value), applies, reason, one.time)
