"""The first synchronous step from a cue."""

import equinox as eqx
import jax.numpy as jnp

from .._checks import Rules, is_valid
from .._misc import default_float
from .._types import Array, Bool, Scalar, ScalarLike
from .._units import AbstractElementwise
from ._site import as_units, field_averages


def first_step_overlap(
    units: AbstractElementwise,
    load: ScalarLike,
    cue_overlap: ScalarLike,
    *,
    coupling: ScalarLike = 1.0,
    self_coupling: bool = False,
) -> Scalar:
    r"""Overlap after the first synchronous step of a Hopfield network from a ±1 cue.

        m₁ = ∫Dz φ(g m₀ + g√α z),    for sign units erf(m₀/√(2α)),

    and with self-couplings J_ii = gα, which add the cue's own spin s = ±1,

        m₁ = Σ_s ½(1 + s m₀) ∫Dz φ(g m₀ + s gα + g√α z).

    Exact for ±1 patterns and N → ∞: the crosstalk of the first step is Gaussian. Plasticity that starts from zero does
    not contribute.

    **Arguments:**

    - `units`: odd units: a separable generating function, `Sign()`, `Glauber(beta)` or an odd `Elementwise(fn)`.
    - `load`: patterns per neuron, α, positive; may be traced.
    - `cue_overlap`: m₀, within [-1, 1]; may be traced.
    - `coupling`: scale g of the couplings, positive.
    - `self_coupling`: whether the diagonal of the couplings is kept.

    **Returns:** the overlap m₁, a scalar of the default float type; NaN if a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain and for units that are not odd.

    **Example:**

    ```python
    import hopfield_jax as hj

    overlap = hj.theory.first_step_overlap(hj.LogCosh(beta=6), load=0.05, cue_overlap=0.2)
    assert abs(overlap - 0.5459396) < 1e-6
    ```

    Sign units: Amari and Maginu, Neural Networks 1, 63 (1988).
    """
    units, rules = as_units(units), Rules(dtype=default_float())
    load, coupling = rules.real("load", load, "positive"), rules.real("coupling", coupling, "positive")
    cue = rules.real("cue_overlap", cue_overlap, "cosine")
    return _first_step(units, load, cue, coupling, bool(self_coupling), rules.valid)


@eqx.filter_jit
def _first_step(units, load: Scalar, cue: Scalar, coupling: Scalar, self_coupling: bool, valid: Bool[Array, ""]):
    deviation, none = coupling * jnp.sqrt(load), jnp.zeros_like(load)
    cut = (none, none)
    if self_coupling:
        shift = coupling * load
        along, against = (
            field_averages(units, coupling * cue + s * shift, deviation, none, cut).output for s in (1, -1)
        )
        overlap = 0.5 * (1 + cue) * along + 0.5 * (1 - cue) * against
    else:
        overlap = field_averages(units, coupling * cue, deviation, none, cut).output
    return jnp.where(valid & is_valid(units) & jnp.isfinite(deviation), overlap, jnp.nan)
