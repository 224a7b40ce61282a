"""The stationary theory of plastic networks."""

from typing import Any

from .._checks import fail, kind
from ..theory import AbstractBranch, Maxwell, scsna
from ..theory.results import StationaryState
from ._kernels import LeakyHebbian
from ._network import PlasticNetwork


def stationary(model: PlasticNetwork, *, branch: AbstractBranch | None = None, throw: bool = True) -> StationaryState:
    r"""Stationary retrieval state: leaky plasticity acts on every site as the self-coupling $\lambda q$.

    Where several states of a site coexist (`multivalued`), the history selects one; the stationary theory uses a branch
    rule instead, and the dynamics of `solve` may end in another state. Compare both. Neurons with inner variables are
    at rest in it, which need not be stable.

    **Arguments:**

    - `model`: a `PlasticNetwork` with a `LeakyHebbian` kernel or none, and no external fields; for units with inner
      variables none. `dt` has no effect.
    - `branch`: `hopfield_jax.theory.Maxwell()` (the default), `Upper()` or `Cue(overlap)`.
    - `throw`: as in `hopfield_jax.theory.scsna`.

    **Returns:** a `hopfield_jax.theory.results.StationaryState`.

    **Raises:** `ValueError` for models without a stationary state of this kind; as `scsna` otherwise.

    ```python
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(load=0.1, units=hj.LogCosh(beta=4.0))
    assert abs(hj.dmft.stationary(model).overlap - 0.98046) < 1e-4
    ```
    """
    if not isinstance(model, PlasticNetwork):
        fail("model", "a PlasticNetwork", kind(model))
    if not isinstance(model.kernel, LeakyHebbian | None):
        fail("model", "a LeakyHebbian kernel or none (others may never come to rest)", kind(model.kernel))
    if not model.units.memoryless and model.kernel is not None:
        fail("model", "no kernel for units with inner variables", kind(model.kernel))
    if model.units.thermal:
        fail(
            "model",
            "units without thermal noise (`theory.scsna` is about spins that flip one at a time)",
            kind(model.units),
        )
    units: Any = model.units
    return scsna(
        units,
        model.load,
        strength=0.0 if model.kernel is None else model.kernel.strength,
        coupling=model.coupling,
        self_coupling=model.self_coupling,
        synapses=model.synapses,
        branch=Maxwell() if branch is None else branch,
        throw=throw,
    )
