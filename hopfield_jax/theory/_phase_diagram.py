"""The phases of the Hopfield model on a grid of loads and temperatures."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import sieved
from .._misc import default_float, in_type
from .._results import card
from .._types import Array, ArrayLike, Float, Int
from ._phases import Paramagnet, SpinGlass, branch, find_on
from ._replica import describe


class PhaseDiagram(eqx.Module):
    r"""Result of `hopfield_jax.theory.phase_diagram`; numbers of a phase that does not exist are NaN.

    **Attributes:**

    - `load`: shape (loads,). `temperature`: shape (temperatures,).
    - `overlap`, `free_energy`: of retrieval, shape (temperatures, loads).
    - `glass_free_energy`, `glass_correlation`: of the spin glass, likewise.
    - `paramagnet_free_energy`: likewise.
    - `region`: 0 paramagnet, 1 spin glass, 2 spin glass with metastable retrieval, 3 retrieval in equilibrium; -1 where
      a traced load or temperature lies outside its domain.
    """

    load: Float[Array, " loads"]
    temperature: Float[Array, " temperatures"]
    overlap: Float[Array, "temperatures loads"]
    free_energy: Float[Array, "temperatures loads"]
    glass_correlation: Float[Array, "temperatures loads"]
    glass_free_energy: Float[Array, "temperatures loads"]
    paramagnet_free_energy: Float[Array, "temperatures loads"]
    region: Int[Array, "temperatures loads"]

    def __str__(self) -> str:
        def text():
            shares = ", ".join(
                f"{name} {float(jnp.mean(self.region == k)):.3g}"
                for k, name in enumerate(("paramagnet", "spin glass", "metastable retrieval", "retrieval"))
            )
            return f"{self.temperature.size} temperatures and {self.load.size} loads; shares: {shares}"

        return card(self, self.load[0], text)


def phase_diagram(loads: Float[ArrayLike, " loads"], temperatures: Float[ArrayLike, " temperatures"]) -> PhaseDiagram:
    r"""The phases of the Hopfield model on a grid of loads and temperatures, with their free energies.

    These are the states of `replica_state`; the curve of retrieval states is computed once per temperature. Retrieval
    states are locally stable where they exist, and in equilibrium where their free energy is below that of the spin
    glass.

    **Arguments:**

    - `loads`: α, positive. `temperatures`: T, not negative. Both may be traced.

    **Returns:** a `PhaseDiagram`.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    diagram = hj.theory.phase_diagram(jnp.array([0.03, 0.1, 0.2]), jnp.array([0.1, 0.8, 1.6]))
    assert diagram.region.tolist() == [[3, 2, 1], [1, 1, 1], [0, 0, 0]]
    ```

    Amit, Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987).
    """
    loads = sieved("loads", loads, "positive", (None,), "(loads,)")
    temperatures = sieved("temperatures", temperatures, "nonnegative", (None,), "(temperatures,)")
    return _phase_diagram(*in_type((loads, temperatures), default_float()))


@eqx.filter_jit
def _phase_diagram(loads: Array, temperatures: Array) -> PhaseDiagram:
    def row(temperature):
        ridge = branch(1, temperature)

        def point(load):
            retrieval, glass, para = (
                describe(n, *found, load, temperature, jnp.isfinite(load + temperature))
                for n, found in (
                    (1, find_on(ridge, load)),
                    (0, SpinGlass().find(load, temperature)),
                    (0, Paramagnet().find(load, temperature)),
                )
            )
            return retrieval.overlap, retrieval.free_energy, glass.correlation, glass.free_energy, para.free_energy

        return jax.vmap(point)(loads)

    # One temperature at a time, so that the data stay in the cache.
    overlap, free, correlation, glass, para = jax.lax.map(row, temperatures)
    exists = jnp.isfinite(free)
    region = jnp.where(exists, jnp.where(free < glass, 3, 2), jnp.where(jnp.isfinite(glass), 1, 0))
    region = jnp.where(jnp.isfinite(temperatures[:, None] + loads[None]), region, -1)
    return PhaseDiagram(loads, temperatures, overlap, free, correlation, glass, para, region)
