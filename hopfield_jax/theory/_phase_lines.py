"""Lines and regions of the replica-symmetric phase diagram of the Hopfield model."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Rules, fail, kind
from .._misc import default_float
from .._results import RESULTS, card, describe_result, outcome
from .._roots import newton
from .._types import Array, Bool, Float, Scalar, ScalarLike
from ._phases import AbstractPhase, Mixture, Ridge, branch, glass_deviation, root_load, site_averages, unbalanced
from ._replica import energy_and_entropy

MIXTURE = Mixture(3)


class PhaseLines(eqx.Module):
    r"""Result of `hopfield_jax.theory.phase_lines`: loads at one temperature; NaN for lines that do not exist there.

    **Attributes:**

    - `temperature`: T.
    - `retrieval`: below it there are retrieval states (the line T_M of Amit, Gutfreund and Sompolinsky).
    - `equilibrium`: below it they are lower in free energy than the spin glass (T_c).
    - `replica_symmetry`: below it replica symmetry of the retrieval states is stable (T_R); meets T_M at load 0.138186
      and T = 0.0251. NaN at temperatures where all retrieval states are stable, and at zero, where none is.
    - `mixture`: below it symmetric mixtures are stable, up to their fold or to the instability of equal overlaps.
    - `spin_glass`: above it the spin glass exists, (T − 1)², zero up to T = 1 (T_g = 1 + √α).
    - `result`: the result code.
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
                f"{self.mixture:.5g}, spin glass from {self.spin_glass:.5g}\n  result: {describe_result(self.result)}"
            ),
        )


def phase_lines(temperature: ScalarLike, *, mixture: AbstractPhase = MIXTURE) -> PhaseLines:
    r"""The loads of the phase transitions of the Hopfield model at one temperature.

    In the theory of `replica_state` the solutions at one temperature form a curve on which the load is explicit. Its
    largest load is a fold. Between load zero and the fold are the points where the free energy of retrieval equals that
    of the spin glass, where αβ²⟨sech⁴βh⟩ = (1 − C)², and where β⟨ξ¹(ξ¹ − ξ²)sech²βh⟩ = 1 for a mixture. Each is found
    by Newton's method and differentiable with respect to the temperature, zero included. For lines over temperatures
    use `jax.vmap(phase_lines)(temperatures)`.

    **Arguments:**

    - `temperature`: T, not negative; may be traced.
    - `mixture`: the mixture whose limit is computed, `Mixture(n)`.

    **Returns:** a `PhaseLines`.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import hopfield_jax as hj

    lines = hj.theory.phase_lines(0.0)
    assert abs(lines.retrieval - 0.1379056) < 1e-6 and abs(lines.equilibrium - 0.0518543) < 1e-5
    ```

    In float32 free energies near T = 1 differ only by rounding, and `equilibrium` is inaccurate there.

    Amit, Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987).
    """
    if not isinstance(mixture, Mixture):
        fail("mixture", "a `Mixture(n)`", kind(mixture))
    rules = Rules(dtype=default_float())
    return _phase_lines(rules.real("temperature", temperature, "nonnegative"), mixture, rules.valid)


@eqx.filter_jit
def _phase_lines(temperature: Scalar, mixture: Mixture, valid: Bool[Array, ""]) -> PhaseLines:
    ridge, mixed = branch(1, temperature), branch(mixture.num_condensed, temperature)
    top, mixed_top = (jnp.where(r.exists, jnp.square(r.top), jnp.nan) for r in (ridge, mixed))

    def symmetric(x, average, load):
        return jnp.stack([temperature * average.square - jnp.square(x[1]) * average.curvature])

    def tied(x, average, load):
        return jnp.stack([1 - average.transverse])

    def lower(x, average, load):
        """Free energy of the spin glass minus that of retrieval, and the equation for the spin glass."""
        none = jnp.zeros_like(load)
        other = site_averages(0, none, x[2], temperature)
        energy, entropy = energy_and_entropy(1, x[0], average, load)
        glass_energy, glass_entropy = energy_and_entropy(0, none, other, load)
        advantage = glass_energy - energy - temperature * (glass_entropy - entropy)
        return jnp.stack([advantage, unbalanced(jnp.stack([none, x[2]]), other, load)[1]])

    points = ridge.down_to_fold()
    glasses = jax.vmap(glass_deviation, in_axes=(0, None))(jax.vmap(ridge.load_at)(points), temperature)
    equilibrium, _ = _crossing(ridge, lower, jnp.concatenate([points, glasses[:, None]], axis=1))
    replica, _ = _crossing(ridge, symmetric, points)
    parting, held = _crossing(mixed, tied, mixed.down_to_fold())
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


def _crossing(ridge: Ridge, conditions: Callable, points: Float[Array, "ratios unknowns"]):
    """The load between zero and the fold at which the first condition, positive at load zero, changes sign, and whether
    it stays positive. The other conditions are equations for unknowns besides m and δ."""
    n, temperature = ridge.num_condensed, ridge.temperature

    def evaluate(x):
        average = site_averages(n, x[0], x[1], temperature)
        load = jnp.square(root_load(x[1], average))
        return jnp.append(conditions(x, average, load), average.output - x[0]), load

    points = jax.lax.stop_gradient(points)
    values = jax.vmap(evaluate)(points)[0][:, 0]
    turns = (values[:-1] > 0) & (values[1:] <= 0)
    i = jnp.argmax(turns)
    share = values[i] / jnp.where(turns[i], values[i] - values[i + 1], 1)
    guess = jax.lax.stop_gradient(points[i] + share * (points[i + 1] - points[i]))
    # Without a change of sign, a dummy system with finite derivatives, whose result is not used.
    x = newton(lambda x: jnp.where(turns[i], evaluate(x)[0], x - guess), guess)
    rest, load = evaluate(x)
    moved, apart = (jnp.max(jnp.abs(jax.lax.stop_gradient(d))) for d in (x - guess, points[i + 1] - points[i]))
    settled = jnp.max(jnp.abs(rest)) <= 256 * jnp.finfo(load.dtype).eps
    found = ridge.exists & turns[i] & (moved <= apart) & settled
    return jnp.where(found, load, jnp.nan), ridge.exists & jnp.all(values > 0)
