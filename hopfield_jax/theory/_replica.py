"""Replica-symmetric statics of the Hopfield model at any temperature."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Rules, as_real, at_least, fail, kind
from .._follow import Branch, follow
from .._misc import default_float
from .._results import RESULTS, card, describe_result, is_okay, outcome, raise_unless_okay
from .._types import Array, Bool, Float, Scalar, ScalarLike
from ._phases import AbstractPhase, Retrieval, SiteAverages, imbalance, site_averages, unbalanced

RETRIEVAL = Retrieval()


class ReplicaState(eqx.Module):
    r"""Result of `hopfield_jax.theory.replica_state`.

    **Attributes:**

    - `load`, `temperature`: patterns per neuron α, and T.
    - `overlap`: m with each of the condensed patterns.
    - `correlation`: q, of Edwards and Anderson.
    - `noise`: r; the crosstalk has the variance αr.
    - `susceptibility`: C = (1 − q)/T.
    - `free_energy`, `energy`, `entropy`: per neuron, f = e − T s.
    - `replica_stability`: 1 − αβ²⟨sech⁴βh⟩/(1 − C)² of de Almeida and Thouless; negative where replica symmetry breaks,
      −∞ at T = 0.
    - `pattern_stability`: 1 − β⟨ξ¹(ξ¹ − ξ²)sech²βh⟩, the decay rate of a difference between the overlaps of two
      condensed patterns; with fewer than two, that of a further overlap, 1 − C. Negative: a saddle.
    - `residual`: largest imbalance of the equations for m and √(αr).
    - `result`: the result code.
    """

    load: Scalar
    temperature: Scalar
    overlap: Scalar
    correlation: Scalar
    noise: Scalar
    susceptibility: Scalar
    free_energy: Scalar
    energy: Scalar
    entropy: Scalar
    replica_stability: Scalar
    pattern_stability: Scalar
    residual: Scalar
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.overlap,
            lambda: (
                f"load {self.load:.7g}, temperature {self.temperature:.5g}: overlap {self.overlap:.7g}, correlation "
                f"{self.correlation:.5g}, noise {self.noise:.5g}\n  free energy {self.free_energy:.8g}, energy "
                f"{self.energy:.6g}, entropy {self.entropy:.4g}\n  stability {self.replica_stability:.3g} of replica "
                f"symmetry, {self.pattern_stability:.3g} against patterns; residual {self.residual:.2g}\n"
                f"  result: {describe_result(self.result)}"
            ),
        )


def replica_state(
    load: ScalarLike, temperature: ScalarLike, *, phase: AbstractPhase = RETRIEVAL, throw: bool = True
) -> ReplicaState:
    r"""A phase of the Hopfield model in the replica-symmetric theory of Amit, Gutfreund and Sompolinsky.

    Spins ±1 at temperature T = 1/β with E = −(1/2N) Σ_μ Σ_{i≠j} ξ^μ_i ξ^μ_j S_i S_j and αN random patterns, of which n
    are condensed. Per neuron, with C = β(1 − q) and h = m Σ_ν ξ^ν + √(αr) z,

        f = α/2 + n m²/2 + αrC/2 + (α/2β)[log(1 − C) − βq/(1 − C)] − T⟨log 2cosh βh⟩,
        m = ⟨ξ^ν tanh βh⟩,    q = ⟨tanh² βh⟩,    r = q/(1 − C)²,

    averaged over a standard normal z and the condensed patterns. α/2 is the missing diagonal of the couplings. f = e −
    T s is computed from e and s, which have limits at T = 0:

        e = −n m²/2 − (α/2) C [1/(1 − C) + r],    s = ⟨log 2cosh βh − βh tanh βh⟩ − (α/2)[log(1 − C) + C/(1 − C)].

    At T = 0 retrieval is √(2α) = erf(y)/y − (2/√π)e^{−y²}, m = erf y. The entropy is negative there, because replica
    symmetry is broken (`replica_stability`).

    A phase is identified on its curve instead of by iteration: at a given ratio y = m/√(αr) the load is explicit, and
    retrieval lies between load zero and the largest load on that curve, a fold. If the phase does not exist, `result`
    says so. Derivatives with respect to load and temperature follow from the implicit function theorem; at the fold
    they are infinite.

    **Arguments:**

    - `load`: patterns per neuron, α, positive; may be traced.
    - `temperature`: T, not negative, in units of the couplings; may be traced.
    - `phase`: `Retrieval()`, `Mixture(n)`, `SpinGlass()` or `Paramagnet()`.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `ReplicaState`.

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` if `throw` and the phase does not
    exist there.

    **Example:**

    ```python
    import hopfield_jax as hj

    state = hj.theory.replica_state(load=0.1, temperature=0.0)
    assert abs(state.overlap - 0.99799927) < 1e-6
    glass = hj.theory.replica_state(load=0.1, temperature=0.0, phase=hj.theory.SpinGlass())
    assert glass.free_energy < state.free_energy
    ```

    Amit, Gutfreund and Sompolinsky, Phys. Rev. Lett. 55, 1530 (1985); Ann. Phys. 173, 30 (1987).
    """
    if not isinstance(phase, AbstractPhase):
        fail("phase", "a phase such as `Retrieval()`", kind(phase))
    rules = Rules(dtype=default_float())
    load, temperature = rules.real("load", load, "positive"), rules.real("temperature", temperature, "nonnegative")
    out = _replica_state(phase, load, temperature, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _replica_state(phase: AbstractPhase, load: Scalar, temperature: Scalar, valid: Bool[Array, ""]) -> ReplicaState:
    return describe(phase.num_condensed, *phase.find(load, temperature), load, temperature, valid)


def describe(
    num_condensed: int,
    x: Float[Array, "2"],
    exists: Bool[Array, ""],
    load: Scalar,
    temperature: Scalar,
    valid: Bool[Array, ""],
) -> ReplicaState:
    """A full state from its overlap and the deviation of its crosstalk."""
    n, average = num_condensed, site_averages(num_condensed, x[0], x[1], temperature)
    energy, entropy = energy_and_entropy(n, x[0], average, load)
    enhancement = 1 / (1 - average.susceptibility)
    frozen = temperature > 0
    replica_stability = 1 - load * jnp.square(enhancement) * average.curvature / jnp.where(frozen, temperature, 1)
    residual = jnp.max(jnp.abs(jax.lax.stop_gradient(unbalanced(x, average, load))))
    settled = residual <= 64 * jnp.finfo(x.dtype).eps
    result = outcome((~settled, RESULTS.not_settled), (~exists, RESULTS.no_phase), (~valid, RESULTS.invalid_parameter))
    numbers = [
        load,
        temperature,
        x[0],
        average.square,
        average.square * jnp.square(enhancement),
        average.susceptibility,
        energy - temperature * entropy,
        energy,
        entropy,
        jnp.where(frozen, replica_stability, -jnp.inf),
        1 - average.transverse,
    ]
    usable = result == RESULTS.successful
    return ReplicaState(*(jnp.where(usable, number, jnp.nan) for number in numbers), residual=residual, result=result)


def energy_and_entropy(
    num_condensed: int, overlap: Scalar, average: SiteAverages, load: Scalar
) -> tuple[Scalar, Scalar]:
    c = average.susceptibility
    noise = average.square / jnp.square(1 - c)
    energy = -0.5 * num_condensed * jnp.square(overlap) - 0.5 * load * c * (1 / (1 - c) + noise)
    return energy, average.entropy - 0.5 * load * (jnp.log1p(-c) + c / (1 - c))


def replica_branch(
    temperature: ScalarLike,
    *,
    phase: AbstractPhase = RETRIEVAL,
    load: ScalarLike = 0.01,
    step: ScalarLike = 0.02,
    num_steps: int = 160,
    throw: bool = True,
) -> Branch:
    r"""The curve of a condensed phase against the load at one temperature, around its fold and back.

    `hopfield_jax.follow` on m' − m = 0 and √(αq) + δC − δ = 0 in (m, δ) with δ = √(αr), from the phase at a small load
    upwards. Beyond the fold is the saddle that separates it from the spin glass.

    **Arguments:**

    - `temperature`: T, not negative; may be traced.
    - `phase`: `Retrieval()` or `Mixture(n)`.
    - `load`: where to start, and the lower bound.
    - `step`, `num_steps`, `throw`: as in `hopfield_jax.follow`.

    **Returns:** a `hopfield_jax.results.Branch` whose parameter is the load and whose states are (m, δ).

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` on failure if `throw`.

    **Example:**

    ```python
    import hopfield_jax as hj

    branch = hj.theory.replica_branch(0.1)
    assert abs(branch.folds.parameter[0] - 0.135049) < 1e-5
    ```
    """
    if not isinstance(phase, AbstractPhase) or phase.num_condensed < 1:
        fail("phase", "a phase with an overlap, `Retrieval()` or `Mixture(n)`", kind(phase))
    at_least("num_steps", num_steps, 1)
    load, temperature = (as_real(n, x, default_float()) for n, x in (("load", load), ("temperature", temperature)))
    state = replica_state(load, temperature, phase=phase, throw=throw)
    found = is_okay(state.result)
    start = jax.lax.stop_gradient(jnp.stack([state.overlap, jnp.sqrt(load * state.noise)]))
    inside = jnp.where(found, load, 1)  # otherwise dummy numbers, whose result is masked
    out = follow(
        eqx.Partial(imbalance, phase.num_condensed, temperature=temperature),
        jnp.where(found, start, 1),
        inside,
        lower=inside,
        step=step,
        num_steps=num_steps,
        throw=False,
    )
    result = RESULTS.where(found, out.result, state.result)
    nothing = lambda x: jnp.where(found, x, jnp.full_like(x, jnp.nan if eqx.is_inexact_array(x) else 0))  # noqa: E731
    out = eqx.tree_at(lambda o: o.result, jax.tree.map(nothing, out), result)
    return raise_unless_okay(out, out.result) if throw else out
