"""Predictions of closed theories for a plastic network, and which of them apply."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .. import theory
from .._checks import at_least, fail, is_concrete
from .._misc import default_float
from .._results import card, describe_result, is_okay
from .._types import Float
from ._cue import AbstractCue, SpinCue
from ._kernels import LeakyHebbian
from ._network import AbstractPlasticModel, PlasticNetwork
from ._solve import check_model

_RULE = "sites may have several states: the history selects one, and Maxwell's rule is only a substitute"


class Prediction(eqx.Module):
    """The prediction of one theory.

    **Attributes:**

    - `theory`, `quantity`: names of the theory and of the predicted quantity.
    - `value`: a number, or one per step from the cue on, shape (times,); NaN if the theory has no prediction.
    - `applies`: whether the theory applies to this model. If not, a value is that of the model described by `reason`.
    - `reason`: why it does not apply; empty, or a remark, if it does.
    """

    theory: str = eqx.field(static=True)
    quantity: str = eqx.field(static=True)
    value: Float[np.ndarray, "*times"]
    applies: bool = eqx.field(static=True)
    reason: str = eqx.field(static=True)


class Panel(eqx.Module):
    """Result of `hopfield_jax.dmft.panel`: a `Prediction` each.

    **Attributes:**

    - `first_step`: overlap after the first synchronous step; exact.
    - `other_diagonal`: the same with the other convention of self-couplings, to detect a mistaken convention.
    - `amari_maginu`, `okada`: overlap at every step, of first and of fourth order in the number of remembered steps.
    - `stationary`, `critical_load`: stationary overlap for a cue in the basin, and the largest load of retrieval.
    - `free_energy`: difference of the retrieval state and the spin glass, per neuron; negative if retrieval is the
      global minimum.
    - `origin`: largest multiplier of small states of graded units per step; above 1 the silent state is unstable.
    """

    first_step: Prediction
    other_diagonal: Prediction
    amari_maginu: Prediction
    okada: Prediction
    stationary: Prediction
    critical_load: Prediction
    free_energy: Prediction
    origin: Prediction

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """All predictions, in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain data by attribute name."""
        return {
            field.name: {f.name: getattr(getattr(self, field.name), f.name) for f in dataclasses.fields(Prediction)}
            for field in dataclasses.fields(self)
        }

    def __str__(self) -> str:
        def text():
            rows = [(p.theory, p.quantity, _last(p.value), _applies(p)) for p in self.predictions]
            widths = [max(len(row[i]) for row in rows) for i in range(3)]
            return "\n  ".join(
                f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows
            )

        return card(self, self.first_step.value, text)


def panel(model: AbstractPlasticModel, cue: AbstractCue, *, num_steps: int = 20, asynchronous: bool = False) -> Panel:
    r"""Predictions of closed theories for a model and cue, which of them apply, and why the others do not.

    Helps to decide whether a simulation differs from theory by finite size, by a convention or by a mistake. A theory
    that does not apply still gives the value for a neighbouring model (fixed synapses, other self-couplings,
    asynchronous updates), which `reason` names. Mean-field theory itself, `solve`, applies to every model here except
    asynchronous ones, and has its own errors.

    **Arguments:**

    - `model`, `cue`: as in `solve`; their numbers must be concrete (not traced).
    - `num_steps`: number of steps of the approximate trajectories.
    - `asynchronous`: whether the simulation has asynchronous updates.

    **Returns:** a `Panel`; `print` shows a table.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(load=0.1, units=hj.Sign())
    panel = hj.dmft.panel(model, hj.dmft.SpinCue(0.5))
    assert panel.first_step.applies and abs(panel.first_step.value - 0.8861537) < 1e-6
    assert abs(panel.other_diagonal.value - 0.9051895) < 1e-6 and "self-couplings" in panel.other_diagonal.reason
    ```
    """
    check_model(model, cue)
    at_least("num_steps", num_steps, 1)
    if not all(is_concrete(x) for x in jtu.tree_leaves((model, cue)) if eqx.is_array(x)):
        fail("model", "numbers that are known, outside of jax.jit", "traced values")
    say = _Judge(model, cue, asynchronous)
    return Panel(
        first_step=say.first_step("First step, exact", other=False),
        other_diagonal=say.first_step("First step, other diagonal", other=True),
        amari_maginu=say.hierarchy("Amari and Maginu", num_steps, 1),
        okada=say.hierarchy("Okada, fourth order", num_steps, 4),
        stationary=say.stationary(),
        critical_load=say.critical_load(),
        free_energy=say.free_energy(),
        origin=say.origin(),
    )


class _Judge:
    """Decides which theories apply to a model. `missing` lists conditions under which a theory has no value, `others`
    conditions under which its value is that of a neighbouring model, each with a description."""

    def __init__(self, model: Any, cue: Any, asynchronous: bool):
        self.model, self.units, self.cue, self.asynchronous = model, model.units, cue, asynchronous
        self.thermal, self.binary = model.units.thermal, model.units.binary
        kernel = model.kernel
        self.strength = 0.0 if kernel is None else getattr(kernel, "strength", None)
        self.plastic = kernel is not None and not _is_zero(self.strength)
        self.missing = [
            (not isinstance(model, PlasticNetwork), f"not derived for a {type(model).__name__}"),
            (not model.units.odd, f"{type(model.units).__name__} units are not odd"),
        ]
        self.fields = (not (_is_zero(model.pattern_field) and _is_zero(model.cue_field)), "no external fields")
        self.one_by_one = (asynchronous, "all neurons updated at once")
        self.fixed = (self.plastic, "fixed synapses")
        self.self_coupling = bool(getattr(model, "self_coupling", False))
        self.coupling = getattr(model, "coupling", jnp.ones_like(model.load))
        self.heat_bath = [
            (self.thermal and not asynchronous, "spins updated one at a time"),
            (self.thermal and self.self_coupling, "self-couplings dropped"),
        ]

    def judge(self, theory: str, quantity: str, missing, others, number: Callable[[], Any]) -> Prediction:
        """`number()` returns a value and a remark, and is called only if the theory has a value; the remark `_RULE`
        marks a value that depends on the branch rule."""
        blank = np.full((), np.nan, default_float())
        why = [text for holds, text in self.missing + missing if holds]
        if why:
            return Prediction(theory, quantity, blank, False, "; ".join(why))
        value, remark = number()
        instead = [text for holds, text in others if holds]
        reason = f"holds with {' and '.join(instead)}" if instead else ""
        applies = not instead and remark != _RULE and bool(np.all(np.isfinite(value)))
        return Prediction(theory, quantity, np.asarray(value), applies, "; ".join(filter(None, [reason, remark])))

    def one_spin_cue(self) -> list[tuple[bool, str]]:
        one = isinstance(self.cue, SpinCue) and self.cue.shape == ()
        return [(not one, f"not derived for this {type(self.cue).__name__}")]

    def whole_steps(self) -> tuple[bool, str]:
        return float(self.model.dt) != 1, "dt = 1"

    def first_step(self, theory_name: str, other: bool) -> Prediction:
        kept = self.self_coupling != other

        def number():
            value = theory.first_step_overlap(
                self.units, self.model.load, self.cue.overlap, coupling=self.coupling, self_coupling=kept
            )
            return value, ""

        convention = f"self-couplings {'kept' if kept else 'dropped'}"
        others = [self.one_by_one, self.whole_steps(), self.fields, (other, convention)]
        return self.judge(theory_name, "overlap after one step", self.one_spin_cue(), others, number)

    def hierarchy(self, name: str, num_steps: int, order: int) -> Prediction:
        def number():
            found = theory.okada_hierarchy(
                self.model.load, self.cue.overlap, num_steps=num_steps, order=order, throw=False
            )
            return found.overlap, "approximate"

        others = [
            (not self.binary or self.thermal, "sign units"),
            self.one_by_one,
            self.whole_steps(),
            self.fields,
            self.fixed,
            (self.self_coupling, "self-couplings dropped"),
        ]
        return self.judge(name, f"overlap after {num_steps} steps", self.one_spin_cue(), others, number)

    def at_rest(self) -> tuple[Any, dict[str, Any], list[tuple[bool, str]]]:
        """Units and options of the stationary theory, and the conditions under which they differ from the model's."""
        leaky = isinstance(self.model.kernel, LeakyHebbian) and not self.thermal
        options = {
            "coupling": self.coupling,
            "strength": self.strength if leaky else 0.0,
            "self_coupling": self.self_coupling and not self.thermal,
        }
        others = [
            *self.heat_bath,
            (self.plastic and not leaky, "fixed synapses"),
            self.fields,
        ]
        return self.units, options, others

    def ruled(self, state: theory.StationaryState) -> bool:
        """Whether sites have several states, or would have them in a retrieval state excluded by Maxwell's rule.
        Without plasticity and self-couplings the rule is exact."""
        several = bool(state.multivalued) or (self.plastic and not bool(state.retrieved))
        return (self.plastic or self.self_coupling) and not self.thermal and several

    def stationary(self) -> Prediction:
        units, options, others = self.at_rest()
        # Of the two states, along and against the pattern, the one on the side of the cue.
        side = float(np.sign(self.cue.overlap)) if isinstance(self.cue, SpinCue) and self.cue.shape == () else 1.0
        others = [*others, (side == 0, "a cue on the side of the pattern")]

        def number():
            state = theory.scsna(units, self.model.load, throw=False, **options)
            if not is_okay(state.result):
                return state.overlap, describe_result(state.result)
            value = (side or 1.0) * state.overlap
            if self.ruled(state):
                return value, _RULE
            return value, "" if state.retrieved else "no retrieval at this load"

        return self.judge("Signal to noise (SCSNA)", "overlap at rest, in the basin", [], others, number)

    def critical_load(self) -> Prediction:
        units, options, others = self.at_rest()

        def number():
            state = theory.critical_load(units, throw=False, **options)
            if not is_okay(state.result):
                return state.load, describe_result(state.result)
            return state.load, _RULE if self.ruled(state) else ""

        return self.judge("Signal to noise (SCSNA)", "critical load", [], others, number)

    def free_energy(self) -> Prediction:
        temperature = 1 / self.units.beta if self.thermal else jnp.zeros_like(self.model.load)

        def number():
            states = [
                theory.replica_state(self.model.load, temperature / self.coupling, phase=phase, throw=False)
                for phase in (theory.Retrieval(), theory.SpinGlass())
            ]
            worst = next((s for s in states if not is_okay(s.result)), None)
            remark = "" if worst is None else describe_result(worst.result)
            return self.coupling * (states[0].free_energy - states[1].free_energy), remark

        others = [
            (not self.binary, "sign units"),
            *self.heat_bath,
            self.fixed,
            self.fields,
        ]
        return self.judge("Replica theory (AGS)", "f(retrieval) - f(spin glass)", [], others, number)

    def origin(self) -> Prediction:
        def number():
            slope = jax.grad(lambda x: self.units.activation(x[None])[0])(jnp.zeros_like(self.model.load))
            largest = 1 / theory.critical_slope(self.model.load, self_coupling=self.self_coupling)
            return 1 + self.model.dt * (self.coupling * slope * largest - 1), ""

        missing = [(self.binary, "binary units are never silent")]
        return self.judge("Linear stability", "multiplier of silence", missing, [self.one_by_one, self.fields], number)


def _is_zero(x: Any) -> bool:
    return x is not None and bool(np.all(np.asarray(x) == 0))


def _last(value: np.ndarray) -> str:
    last = float(value[-1] if value.ndim else value)
    return f"{last:.6g}" if np.isfinite(last) else "-"


def _applies(p: Prediction) -> str:
    return f"{'applies' if p.applies else 'does not apply'}{': ' if p.reason else ''}{p.reason}"
