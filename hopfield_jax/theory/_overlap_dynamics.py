"""Exact dynamics of the overlap for storage without feedback of a site's own output."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Rules, at_least, fail, is_valid
from .._misc import default_float
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from .._types import Array, Bool, Float, Scalar, ScalarLike
from .._units import AbstractElementwise
from ._scsna import MAXWELL, Network, as_network
from ._site import as_units
from ._storage import AbstractStorage, Hebbian


class OverlapDynamics(eqx.Module):
    """Result of `hopfield_jax.theory.overlap_dynamics` and `hopfield_jax.theory.okada_hierarchy`.

    **Attributes:**

    - `overlap`: m_t, from the cue's m₀ on, shape (num_steps + 1,).
    - `noise_variance`: Δ_t² of the crosstalk in the field at t, which determines m_{t+1}; shape (num_steps + 1,).
    - `result`: the result code.
    """

    overlap: Float[Array, " times"]
    noise_variance: Float[Array, " times"]
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.overlap[..., -1],
            lambda: (
                f"{self.overlap.size - 1} steps: overlap {self.overlap[0]:.7g} → {self.overlap[-1]:.7g}\n"
                f"  noise variance {self.noise_variance[0]:.5g} → {self.noise_variance[-1]:.5g}\n"
                f"  result: {describe_result(self.result)}"
            ),
        )

    @staticmethod
    def of(overlap: Array, noise_variance: Array, valid: Array) -> "OverlapDynamics":
        """Numbers, or NaN and a code."""
        numbers = (jnp.where(valid, x, jnp.nan) for x in (overlap, noise_variance))
        finite = jnp.isfinite(overlap[-1]) & jnp.isfinite(noise_variance[-1])
        return OverlapDynamics(
            *numbers, result=outcome((~finite, RESULTS.not_finite), (~valid, RESULTS.invalid_parameter))
        )


def overlap_dynamics(
    units: AbstractElementwise,
    load: ScalarLike,
    cue_overlap: ScalarLike,
    *,
    storage: AbstractStorage,
    num_steps: int,
    coupling: ScalarLike = 1.0,
    throw: bool = True,
) -> OverlapDynamics:
    r"""Overlap at every step of a network that stores a sequence or is extremely diluted, from a ±1 cue.

        m_{t+1} = ⟨φ(g m_t + Δ_t z)⟩,    Δ_{t+1}² = αg² q_{t+1} + (gΔ_t U_{t+1})²  (sequence) or  αg² q_{t+1}  (diluted)

    with averages over a standard normal z, q = ⟨φ²⟩ (1 for `Glauber` units, spins ±1 that all flip at once),
    U_{t+1} = ⟨φ'(g m_t + Δ_t z)⟩ and Δ_0² = αg². For a sequence, m_t is the overlap with the t-th pattern after the
    cue's. Exact for N → ∞ at fixed load and time: crosstalk passes from a pattern to the next one, which is independent
    of it, and so variances add, without correlations in time. With Hebb's rule they matter:
    `hopfield_jax.dmft.solve` is exact there, `okada_hierarchy` approximate.

    **Arguments:**

    - `units`: odd units, as for `scsna`.
    - `load`: patterns per neuron, or per incoming connection of a diluted network, α, positive.
    - `cue_overlap`: m₀, within [-1, 1].
    - `storage`: `Sequence()` or `Diluted()`.
    - `num_steps`: number of steps.
    - `coupling`: scale g of the couplings, positive.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** an `OverlapDynamics`.

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` on failure if `throw`.

    **Example:**

    ```python
    import math
    import hopfield_jax as hj

    units, storage = hj.Glauber(beta=5), hj.theory.Sequence()
    dynamics = hj.theory.overlap_dynamics(units, 0.1, 0.5, storage=storage, num_steps=100)
    state = hj.theory.scsna(units, 0.1, storage=storage)
    assert math.isclose(dynamics.overlap[-1], state.overlap, rel_tol=1e-5)
    ```

    Düring, Coolen and Sherrington, J. Phys. A 31, 8607 (1998); Derrida, Gardner and Zippelius, Europhys. Lett. 4, 167
    (1987).
    """
    units, rules = as_units(units), Rules(dtype=default_float())
    load, cue = rules.real("load", load, "positive"), rules.real("cue_overlap", cue_overlap, "cosine")
    if isinstance(storage, Hebbian):
        fail("storage", "`Sequence()` or `Diluted()` (for Hebb's rule: `hopfield_jax.dmft.solve`)", "Hebbian")
    at_least("num_steps", num_steps, 1)
    network = as_network(rules, units, 0.0, coupling, MAXWELL, False, storage)
    out = _overlap_dynamics(network, load, cue, num_steps, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _overlap_dynamics(
    network: Network, load: Scalar, cue: Scalar, num_steps: int, valid: Bool[Array, ""]
) -> OverlapDynamics:
    first = jnp.stack([cue, network.coupling * jnp.sqrt(load), jnp.zeros_like(load)])

    def step(x, _):
        new = network.step(x, load)
        return new, new

    _, path = jax.lax.scan(step, first, length=num_steps)
    path = jnp.concatenate([first[None, :], path])
    return OverlapDynamics.of(path[:, 0], jnp.square(path[:, 1]), valid & is_valid(network))
