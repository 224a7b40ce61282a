"""Lines and regions of the replica-symmetric phase diagram of the Hopfield model."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import fail, in_domain, shape_is
from .._follow import root
from .._misc import as_inexact, default_float
from .._results import RESULTS, card, outcome
from .._types import Array, ArrayLike, Bool, Float, Int, Scalar, ScalarLike
from ._phases import (
    AbstractPhase,
    Mixture,
    Paramagnet,
    Ridge,
    SpinGlass,
    branch,
    find_on,
    root_load,
    site_averages,
    transverse_response,
)
from ._replica import describe, free_energy
from ._site import as_number

MIXTURE = Mixture(3)


class PhaseLines(eqx.Module):
    r"""What `hopfield_jax.theory.phase_lines` returns: loads at one temperature; NaN where a line does not come.

    **Attributes:**

    - `temperature`: T.
    - `retrieval`: below it there are retrieval states (the line T_M of Amit, Gutfreund and Sompolinsky).
    - `equilibrium`: below it they are lower in free energy than the spin glass (T_c).
    - `replica_symmetry`: below it the retrieval states are stable against its breaking (T_R); NaN at temperatures where
      all of them are, and at zero, where none is.
    - `mixture`: below it symmetric mixtures are stable, up to their fold or until their overlaps part.
    - `spin_glass`: above it there is the spin glass, (T − 1)², zero up to T = 1 (T_g = 1 + √α).
    - `result`: how it ended.
    """

    temperature: Scalar
    retrieval: Scalar
    equilibrium: Scalar
    replica_symmetry: Scalar
    mixture: Scalar
    spin_glass: Scalar
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.temperature,
            lambda: (
                f"temperature {self.temperature:.5g}: retrieval up to load {self.retrieval:.7g}, in equilibrium up to "
                f"{self.equilibrium:.7g}\n  replica symmetric up to {self.replica_symmetry:.5g}, mixtures up to "
                f"{self.mixture:.5g}, spin glass from {self.spin_glass:.5g}"
            ),
        )


def phase_lines(temperature: ScalarLike, *, mixture: AbstractPhase = MIXTURE) -> PhaseLines:
    r"""The loads at which the phases of the Hopfield model end or exchange their order, at one temperature.

    In the theory of `replica_state` the solutions of one temperature are a curve on which the load is explicit. Its
    largest load is a fold. On the way there from load zero are the points at which the free energy of retrieval is that
    of the spin glass, at which αβ²⟨sech⁴βh⟩ = (1 − C)², and at which β⟨ξ¹(ξ¹ − ξ²)sech²βh⟩ = 1 for a mixture. Each is
    found by Newton's method on these equations, and differentiable with respect to the temperature, zero included.
    Lines over temperatures: `jax.vmap(phase_lines)(temperatures)`.

    **Arguments:**

    - `temperature`: T, not negative; may be traced.
    - `mixture`: whose limit is wanted, `Mixture(n)`.

    **Returns:** a `PhaseLines`.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import jax
    import hopfield_jax as hj

    lines = hj.theory.phase_lines(0.0)
    assert abs(lines.retrieval - 0.1379056) < 1e-6 and abs(lines.equilibrium - 0.0518543) < 1e-5
    slope = jax.jacfwd(lambda t: hj.theory.phase_lines(t).retrieval)(0.5)
    assert abs(slope + 0.2101) < 1e-3
    ```

    In float32 free energies near T = 1 differ by rounding only, and `equilibrium` loses its digits there.

    Amit, Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987).
    """
    if not isinstance(mixture, Mixture):
        fail("mixture", "a `Mixture(n)`", type(mixture).__name__)
    return _phase_lines(as_number("temperature", temperature, "nonnegative"), mixture)


@eqx.filter_jit
def _phase_lines(temperature: Scalar, mixture: Mixture) -> PhaseLines:
    valid = (temperature >= 0) & jnp.isfinite(temperature)
    ridge, mixed = branch(1, temperature), branch(mixture.num_condensed, temperature)
    top, mixed_top = (jnp.where(r.exists, jnp.square(r.top), jnp.nan) for r in (ridge, mixed))

    def symmetric(x):
        average = site_averages(1, x[0], x[1], temperature)
        return temperature * average.square - jnp.square(x[1]) * average.curvature

    def tied(x):
        return 1 - transverse_response(mixed.num_condensed, x[0], x[1], temperature)

    def advantage(x):
        load = jnp.square(root_load(1, x, temperature)[1])
        free = lambda n, x: free_energy(n, x, load, temperature)  # noqa: E731
        return free(0, SpinGlass().find(load, temperature)[0]) - free(1, x)

    equilibrium, _ = _crossing(ridge, advantage)
    replica, _ = _crossing(ridge, symmetric)
    parting, held = _crossing(mixed, tied)
    lines = [
        top,
        equilibrium,
        replica,
        jnp.where(held, mixed_top, parting),
        jnp.square(jnp.maximum(temperature - 1, 0)),
    ]
    return PhaseLines(
        temperature,
        *(jnp.where(valid, line, jnp.nan) for line in lines),
        result=outcome((~valid, RESULTS.invalid_parameter)),
    )


def _crossing(ridge: Ridge, function: Callable[[Array], Scalar]) -> tuple[Scalar, Bool[Array, ""]]:
    """The load at which a function of (m, δ) that is positive at load zero becomes negative, and whether it stays
    positive down to the fold."""
    n, temperature = ridge.num_condensed, ridge.temperature
    points = jnp.stack([ridge.overlap, ridge.overlap / ridge.ratio], axis=1)
    points = jnp.where((ridge.ratio > ridge.fold[0] / ridge.fold[1])[:, None], points, ridge.fold)
    points = jax.lax.stop_gradient(points)
    values = jax.vmap(function)(points)
    turns = (values[:-1] > 0) & (values[1:] <= 0)
    i = jnp.argmax(turns)
    share = values[i] / jnp.where(turns[i], values[i] - values[i + 1], 1)
    guess = jax.lax.stop_gradient(points[i] + share * (points[i + 1] - points[i]))
    x = root(lambda x: jnp.stack([root_load(n, x, temperature)[0], function(x)]), guess)
    imbalance, a = root_load(n, x, temperature)
    moved = jax.lax.stop_gradient(jnp.max(jnp.abs(x - guess)))
    near = moved <= jnp.max(jnp.abs(points[i + 1] - points[i]))
    found = ridge.exists & turns[i] & near & (a > 0) & (jnp.abs(imbalance) < 1e-5)
    return jnp.where(found, jnp.square(a), jnp.nan), ridge.exists & jnp.all(values > 0)


class PhaseDiagram(eqx.Module):
    r"""What `hopfield_jax.theory.phase_diagram` returns; numbers of a phase that does not exist are NaN.

    **Attributes:**

    - `load`: shape (loads,). `temperature`: shape (temperatures,).
    - `overlap`, `free_energy`: of retrieval, shape (temperatures, loads).
    - `glass_free_energy`, `glass_correlation`: of the spin glass, likewise.
    - `paramagnet_free_energy`: likewise.
    - `region`: 0 paramagnet, 1 spin glass, 2 spin glass with metastable retrieval, 3 retrieval in equilibrium.
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
    r"""Which phases of the Hopfield model exist, and which is lowest in free energy, on a grid.

    The states of `replica_state` at all pairs, in one program; the curve of retrieval states is found once for each
    temperature. Retrieval that exists is locally stable. It is in equilibrium where its free energy is below that of
    the spin glass.

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
    shape_is("loads", loads, (None,), "(loads,)")
    shape_is("temperatures", temperatures, (None,), "(temperatures,)")
    loads, temperatures = (as_inexact(x).astype(default_float()) for x in (loads, temperatures))
    in_domain("loads", loads, "positive")
    in_domain("temperatures", temperatures, "nonnegative")
    return _phase_diagram(loads, temperatures)


@eqx.filter_jit
def _phase_diagram(loads: Array, temperatures: Array) -> PhaseDiagram:
    def row(temperature):
        ridge = branch(1, temperature)

        def point(load):
            retrieval, glass, para = (
                describe(n, *found, load, temperature)
                for n, found in (
                    (1, find_on(ridge, load)),
                    (0, SpinGlass().find(load, temperature)),
                    (0, Paramagnet().find(load, temperature)),
                )
            )
            return retrieval.overlap, retrieval.free_energy, glass.correlation, glass.free_energy, para.free_energy

        return jax.vmap(point)(loads)

    # Temperature by temperature: what one of them needs stays in the cache.
    overlap, free, correlation, glass, para = jax.lax.map(row, temperatures)
    exists = jnp.isfinite(free)
    region = jnp.where(exists, jnp.where(free < glass, 3, 2), jnp.where(jnp.isfinite(glass), 1, 0))
    return PhaseDiagram(loads, temperatures, overlap, free, correlation, glass, para, region)
