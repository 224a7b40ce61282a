"""Stationary retrieval states by self-consistent signal-to-noise analysis."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.scipy.stats import norm

from .._checks import Rules, at_least, fail, is_concrete, is_valid, kind
from .._misc import default_float, in_type, inner, matmul
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from .._roots import newton
from .._synapses import AbstractSynapses
from .._types import Array, Bool, Float, Int, Scalar, ScalarLike
from .._units import AbstractElementwise, AbstractSite, at_rest
from ._site import (
    AbstractBranch,
    FieldAverages,
    Maxwell,
    as_units,
    field_averages,
    find_folds,
)
from ._storage import HEBBIAN, AbstractStorage

MAXWELL = Maxwell()


class StationaryState(eqx.Module):
    r"""Result of `hopfield_jax.theory.scsna` and `hopfield_jax.theory.critical_load`.

    **Attributes:**

    - `load`: patterns per neuron, α.
    - `overlap`: m = ⟨φ⟩ with the retrieved pattern.
    - `correlation`: q = ⟨φ²⟩.
    - `noise`: r, q/(1 − gU)² for Hebb's rule; the crosstalk has the variance α g² r.
    - `susceptibility`: U = ⟨∂φ/∂h⟩, jumps included.
    - `feedback`: Γ, of a site's output on its own field.
    - `ambiguity`: fraction of sites with several states, among which the branch rule selects.
    - `multivalued`: whether there are such sites (beyond rounding).
    - `retrieved`: whether the overlap exceeds the `threshold`.
    - `residual`: largest imbalance of the equations for m, the deviation of the noise and Γ, and of normalisation.
    - `num_steps`: damped iterations.
    - `result`: the result code.
    - `curvature`: −∂² log α/∂(log y)² at the fold of `critical_load`, y = m/√(αr), the sharpness of the fold in its own
      units; `None` from `scsna`. Of order one for a good fold, zero at a cusp: slopes of the critical load are wrong by
      about the rounding over this number.
    """

    load: Scalar
    overlap: Scalar
    correlation: Scalar
    noise: Scalar
    susceptibility: Scalar
    feedback: Scalar
    ambiguity: Scalar
    multivalued: Bool[Array, ""]
    retrieved: Bool[Array, ""]
    residual: Scalar
    num_steps: Int[Array, ""]
    result: RESULTS
    curvature: Scalar | None = None

    def __str__(self) -> str:
        return card(
            self,
            self.overlap,
            lambda: (
                f"load {self.load:.7g}: overlap {self.overlap:.7g}, {'' if self.retrieved else 'not '}retrieved\n"
                f"  correlation {self.correlation:.5g}, noise {self.noise:.5g}, susceptibility "
                f"{self.susceptibility:.5g}, feedback {self.feedback:.5g}\n  {self.ambiguity:.2g} of the sites with "
                f"several states, residual {self.residual:.2g}"
                + ("" if self.curvature is None else f", curvature of the fold {self.curvature:.3g}")
                + f"\n  result: {describe_result(self.result)}"
            ),
        )


class Network(eqx.Module):
    """Parameters of a stationary state other than the load."""

    units: AbstractElementwise
    strength: Scalar
    coupling: Scalar
    branch: AbstractBranch
    self_coupling: bool = eqx.field(static=True)
    storage: AbstractStorage = HEBBIAN
    synapses: AbstractSynapses | None = None

    def averages(self, overlap: Scalar, deviation: Scalar, feedback: Scalar) -> FieldAverages:
        if not self.units.memoryless:
            return self._of_both_signs(overlap, deviation, feedback)
        folds = find_folds(self.units, feedback)
        weights, lower, upper = map(jnp.stack, zip(*self.branch.pieces(folds), strict=True))
        mean = self.coupling * overlap
        parts = jax.vmap(lambda *cut: field_averages(self.units, mean, deviation, feedback, cut))(lower, upper)
        return jtu.tree_map(lambda x: inner(weights, x), parts)

    def _of_both_signs(self, overlap: Scalar, deviation: Scalar, feedback: Scalar) -> FieldAverages:
        """Of sites at rest, whose law need not be odd: at both signs ξ of the pattern, ⟨ξs⟩, ⟨s²⟩ and ⟨sz⟩. They jump
        from −c to c, where the pull Γs does from −c to c about its mean (Maxwell's rule)."""
        low, high = self.units.activation(jnp.asarray([-1e-12, 1e-12], overlap.dtype))
        cut = 0.5 * jnp.maximum(feedback, 0) * (high - low)
        means = self.coupling * overlap * jnp.asarray([1, -1], overlap.dtype)
        parts = jax.vmap(lambda mean: field_averages(self.units, mean, deviation, feedback, (-cut, cut)))(means)
        both = jtu.tree_map(lambda x: 0.5 * (x[0] + x[1]), parts)
        return eqx.tree_at(lambda a: a.output, both, 0.5 * (parts.output[0] - parts.output[1]))

    def root_square(self, averages: FieldAverages) -> Scalar:
        """√q of the crosstalk: for spins in a heat bath that of the thermal mean where crosstalk adds up coherently
        over time, else that of the spin."""
        if self.units.thermal and not self.storage.coherent:
            return jnp.ones_like(averages.square)
        return jnp.sqrt(jnp.maximum(averages.square, jnp.finfo(averages.square.dtype).tiny))

    def extra(self, root_load: Scalar, averages: FieldAverages) -> Scalar:
        """Δ²q, the variance from synapses other than Hebb's."""
        if self.synapses is None:
            return jnp.zeros_like(root_load)
        return self.synapses.noise(root_load**2, self.coupling) * averages.square

    def root_load(self, deviation: Scalar, averages: FieldAverages) -> Scalar:
        """√α at a deviation σ of the noise; with other synapses from σ² = αg²q[1/(1 − gU)² + δ] + (background) q."""
        root_square = self.root_square(averages)
        if self.synapses is None:
            return self.storage.root_load(deviation / self.coupling, root_square, averages.slope)
        square = (deviation / root_square) ** 2 - self.synapses.background
        remains = 1 - self.coupling * averages.slope / deviation
        load = square / self.coupling**2 / (1 / remains**2 + self.synapses.excess)
        return jnp.where(remains > 0, jnp.sqrt(jnp.maximum(load, jnp.finfo(load.dtype).tiny)), 0)

    def from_patterns(self, deviation: Scalar, root_load: Scalar, averages: FieldAverages) -> Scalar:
        """⟨φz⟩ of that part of the noise which Hebb's rule causes."""
        if self.synapses is None:
            return averages.slope
        part = 1 - self.extra(root_load, averages) / deviation**2
        return averages.slope * jnp.sqrt(jnp.maximum(part, 0.01))  # at least a tenth, on the way

    def next_feedback(self, root_load: Scalar, averages: FieldAverages, deviation: Scalar) -> Scalar:
        """Γ = αg(R − 1) + εΔ²U + λq, with R − 1 = ⟨φz⟩/√(αq), z that of the patterns' noise; αgR instead of αg(R − 1)
        with self-couplings; zero for spins in a heat bath and for storage without feedback."""
        if self.units.thermal or not self.storage.coherent:
            return jnp.zeros_like(root_load)
        crosstalk = root_load * self.from_patterns(deviation, root_load, averages) / self.root_square(averages)
        if self.self_coupling:
            crosstalk += root_load**2
        feedback = self.coupling * crosstalk + self.strength * averages.square
        if self.synapses is None:
            return feedback
        noise = self.synapses.noise(root_load**2, self.coupling)
        return feedback + self.synapses.reciprocity * noise * averages.slope / deviation

    def step(self, x: Float[Array, "3"], load: Scalar) -> Float[Array, "3"]:
        """The next (m, deviation, Γ)."""
        return self.respond(x, load)[0]

    @eqx.filter_jit
    def respond(self, x: Float[Array, "3"], load: Scalar) -> tuple[Float[Array, "3"], FieldAverages]:
        """The next (m, deviation, Γ), and the averages. deviation = g√(αq)/(1 − gU) and U = ⟨φz⟩/deviation combine to
        deviation = g(√(αq) + ⟨φz⟩) without denominators, and similarly for other kinds of storage."""
        averages = self.averages(x[0], x[1], x[2])
        root_load = jnp.sqrt(load)
        slope = self.from_patterns(x[1], root_load, averages)
        deviation = self.coupling * self.storage.deviation(root_load, self.root_square(averages), slope)
        if self.synapses is not None:
            deviation = jnp.sqrt(deviation**2 + self.extra(root_load, averages))
        return jnp.stack([averages.output, deviation, self.next_feedback(root_load, averages, x[1])]), averages

    def state(self, load, x, threshold, num_steps, settled, code, valid, curvature=None) -> StationaryState:
        new, averages = self.respond(x, load)
        imbalance = jnp.max(jnp.abs(stop_gradient(new - x)))
        depth = find_folds(self.units, x[2]).depth if self.units.memoryless else jnp.zeros_like(x[2])
        mean = self.coupling * x[0]
        ambiguity = norm.cdf((depth - mean) / x[1]) - norm.cdf((-depth - mean) / x[1])
        residual = stop_gradient(jnp.maximum(imbalance, jnp.abs(averages.mass - 1)))
        eps = jnp.finfo(x.dtype).eps
        settled &= residual <= 10 * tolerance_of(x.dtype)
        flat = jnp.array(False) if curvature is None else ~(curvature > tolerance_of(x.dtype) ** 0.5)
        valid = valid & is_valid(self)
        result = outcome((flat, RESULTS.cusp), (~settled, code), (~valid, RESULTS.invalid_parameter))
        usable = result == RESULTS.successful
        numbers = [
            load,
            averages.output,
            averages.square,
            jnp.square(x[1] / self.coupling) / load,
            averages.slope / x[1],
            x[2],
            ambiguity,
        ]
        return StationaryState(
            *(jnp.where(usable, n, jnp.nan) for n in numbers),
            multivalued=usable & (ambiguity > 10 * eps),
            retrieved=usable & (averages.output > threshold),
            residual=residual,
            num_steps=num_steps,
            result=result,
            curvature=curvature,
        )


def scsna(
    units: AbstractElementwise | AbstractSite,
    load: ScalarLike,
    *,
    strength: ScalarLike = 0.0,
    coupling: ScalarLike = 1.0,
    self_coupling: bool = False,
    branch: AbstractBranch = MAXWELL,
    storage: AbstractStorage = HEBBIAN,
    synapses: AbstractSynapses | None = None,
    initial: ScalarLike = 1.0,
    threshold: ScalarLike = 0.1,
    max_steps: int = 16384,
    throw: bool = True,
) -> StationaryState:
    r"""Stationary state of a Hopfield network with leaky Hebbian plasticity: self-consistent signal-to-noise analysis.

        φ = φ(g m + g√(αr) z + Γφ),    m = ⟨φ⟩,  q = ⟨φ²⟩,  r = qR²,  R = 1/(1 − gU),  U = ⟨∂φ/∂h⟩ = ⟨φz⟩/(g√(αr)),
        Γ = αg(R − 1) + λq,            with self-couplings αgR + λq; for `Glauber` units 0

    Averages are over a standard normal z. Each site's output feeds back through the other patterns and through its
    plastic synapses. Where Γφ' > 1 a site has several states; the network's history would select one, which is replaced
    by a branch rule. The equations are solved by damped iteration from `initial` and refined by Newton's method; of
    several solutions the one reached is returned. Derivatives with respect to the load, the strength, the coupling, the
    cue of the branch and the units' parameters follow from the implicit function theorem; where sites have several
    states (`multivalued`), for the given branch rule.

    Beyond the critical load the iteration ends in the spin glass, which is a solution too: `overlap` is zero and
    `retrieved` is false. Replica symmetry and N → ∞ are assumed. Plasticity is stationary, as if the state had been
    imprinted for a long time; the dynamics also imprints transient states and may end elsewhere.

    **Main arguments:**

    - `units`: odd units whose slope falls away from zero: a separable generating function (`LogCosh`, `HardTanh`,
      `Erf`), `Sign()`, an odd `Elementwise(fn)`, or `Glauber(beta)` for spins in a heat bath, whose φ is the thermal
      mean. Or neurons with inner variables, such as `hopfield_jax.dmft.ShortTermPlasticity`, odd or not, which are then
      at rest: φ stands for what they send, ⟨φ⟩ for ⟨ξφ⟩ over both signs of the pattern. They have `Maxwell()`'s branch,
      no plasticity and one state in each field (else the result says that it has not settled).
    - `load`: patterns per neuron, α, positive.
    - `strength`: of the plasticity, λ; may be negative, but is 0.0 with `Glauber` units. Sign units have no state at
      some fields if Γ < 0, and the result says so.
    - `coupling`: scale g of the couplings of the patterns, positive.
    - `self_coupling`: whether their diagonal J_ii = gα is kept.
    - `branch`: `Maxwell()`, `Upper()` or `Cue(overlap)`.
    - `storage`: `Hebbian()`, or with updating all at once `Sequence()` or `Diluted()`. There no output comes back to
      its site: Γ = 0, and r = q/(1 − (gU)²) or q, with q = 1 for `Glauber` units. The strength is 0.0 and the diagonal
      left out.
    - `synapses`: other than Hebb's, such as `hopfield_jax.dmft.Clipped()`, in units that are not thermal: σ² = αg²r +
      Δ²q instead of αg²r, and εΔ²U is added to Γ (Sompolinsky 1986). `noise` is then the variance over αg².

    **Other arguments:**

    - `initial`: overlap to start from, within [-1, 1].
    - `threshold`: overlap above which the state counts as retrieved.
    - `max_steps`: of the iteration, which slows down as 1/√(α_c − α) towards the critical load.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `StationaryState`.

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` on failure if `throw`.

    **Example:**

    ```python
    import hopfield_jax as hj

    state = hj.theory.scsna(hj.LogCosh(beta=4), load=0.1)
    assert state.retrieved and abs(state.overlap - 0.980460) < 1e-5
    ```

    Shiino and Fukai, J. Phys. A 25, L375 (1992) and Phys. Rev. E 48, 867 (1993), without plasticity; the term λq of
    leaky plasticity is ours, for the network of Hara and Kabashima (2026), arXiv 2605.22254. `Glauber` units: Amit,
    Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987), replica symmetric. `Sequence`: Düring, Coolen and
    Sherrington, J. Phys. A 31, 8607 (1998). `Diluted`: Derrida, Gardner and Zippelius, Europhys. Lett. 4, 167 (1987).
    """
    of_sites = not getattr(units, "memoryless", True)
    given: Any = units
    units = in_type(at_rest("units", given), default_float()) if of_sites else as_units(given)
    rules = Rules(dtype=default_float())
    load = rules.real("load", load, "positive")
    network = as_network(rules, units, strength, coupling, branch, self_coupling, storage, synapses)
    initial, threshold = rules.real("initial", initial, "cosine"), rules.real("threshold", threshold, "finite")
    at_least("max_steps", max_steps, 1)
    out = _scsna(network, load, initial, threshold, max_steps, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _scsna(
    network: Network, load: Scalar, initial: Scalar, threshold: Scalar, max_steps: int, valid: Bool[Array, ""]
) -> StationaryState:
    frozen, frozen_load, start = stop_gradient((network, load, initial))
    tolerance = tolerance_of(load.dtype)
    square = jnp.square(start)
    first = jnp.stack([
        start,
        frozen.coupling * jnp.sqrt(frozen_load),
        frozen.strength * square + (frozen.coupling * frozen_load if frozen.self_coupling else 0),
    ])  # fmt: skip

    def going(carry):
        _, change, num_steps = carry
        return (change > tolerance) & (num_steps < max_steps)

    def damped(carry):
        x, _, num_steps = carry
        new = 0.5 * (x + frozen.step(x, frozen_load))
        return new, jnp.max(jnp.abs(new - x)), num_steps + 1

    x, change, num_steps = jax.lax.while_loop(
        going, damped, (first, jnp.array(jnp.inf, load.dtype), jnp.zeros((), int))
    )
    silent = x[1] < 1e-4 * first[1]
    polished = root(lambda x: network.step(x, load) - x, jnp.where(silent, first, x))
    final = jnp.where(silent, x, polished)
    arrived = (change <= tolerance) & (jnp.max(jnp.abs(final - x)) < 1e-2)
    return network.state(load, final, threshold, num_steps, arrived, RESULTS.not_settled, valid)


def root(function: Callable[[Array], Array], guess: Array) -> Array:
    """A root in three unknowns near `guess`."""
    return newton(function, guess, solve=_solve)


def _solve(a: Float[Array, "3 3"], b: Float[Array, "3"]) -> Float[Array, "3"]:
    columns = jnp.stack([jnp.cross(a[i - 2], a[i - 1]) for i in range(3)])
    return matmul(b, columns) / determinant(a)


def determinant(a: Float[Array, "3 3"]) -> Scalar:
    return inner(a[0], jnp.cross(a[1], a[2]))


def as_network(rules: Rules, units, strength, coupling, branch, self_coupling, storage, synapses=None) -> Network:
    if not isinstance(synapses, AbstractSynapses | None):
        fail("synapses", "synapses such as `hopfield_jax.dmft.Clipped()`, or None", kind(synapses))
    if synapses is not None and (units.thermal or not storage.coherent):
        fail("synapses", "None for thermal units and for other storage (not derived)", kind(synapses))
    if not isinstance(storage, AbstractStorage):
        fail("storage", "a kind of storage such as `Hebbian()`", kind(storage))
    if not isinstance(branch, AbstractBranch):
        fail("branch", "a branch rule such as `Maxwell()`", kind(branch))
    # A traced strength is refused as well: its derivative is equally undefined.
    plastic = not (is_concrete(strength) and np.all(np.asarray(strength) == 0))
    if not units.memoryless and (plastic or not isinstance(branch, Maxwell) or not storage.coherent):
        fail("units", "none with inner variables beside plasticity, other branches or other storage", kind(units.site))
    if units.thermal:
        if plastic:
            fail("strength", "0.0 for thermal units (what plasticity imprints of fluctuating spins is open)", strength)
        if self_coupling:
            fail("self_coupling", "False for thermal units (what it does in a heat bath is open)", self_coupling)
    if not storage.coherent:
        name = type(storage).__name__
        if plastic:
            fail("strength", f"0.0 with {name} storage (plasticity is for Hebbian storage)", strength)
        if self_coupling:
            fail("self_coupling", f"False with {name} storage (its diagonal is one with the crosstalk)", self_coupling)
    strength, coupling = rules.real("strength", strength, "finite"), rules.real("coupling", coupling, "positive")
    return Network(units, strength, coupling, branch, bool(self_coupling), storage, in_type(synapses, default_float()))


def tolerance_of(dtype) -> float:
    return 1e-9 if dtype == jnp.float64 else 2e-6


def stop_gradient(tree):
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)
