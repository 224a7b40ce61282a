"""Retrieval of 0/1 patterns of low activity, stored by the covariance rule."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc

from .._checks import Rules, at_least
from .._misc import default_float
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from .._types import Array, Bool, Float, Int, Scalar, ScalarLike
from ._scsna import determinant, root, stop_gradient, tolerance_of


class CovarianceState(eqx.Module):
    r"""Result of `hopfield_jax.theory.covariance_state` and `hopfield_jax.theory.covariance_capacity`.

    **Attributes:**

    - `load`: patterns per neuron, α.
    - `activity`: fraction f of ones in a pattern.
    - `threshold`: θ of the units.
    - `overlap`: m = P(s=1|ξ=1) − P(s=1|ξ=0).
    - `misses`: P(s=0|ξ=1), `false_alarms`: P(s=1|ξ=0).
    - `noise`: r = q/(1 − C)²; the crosstalk has the variance αr.
    - `susceptibility`: C = ⟨∂s/∂h⟩.
    - `feedback`: Γ = αC/(1 − C) of a site's output on its own field.
    - `retrieved`: whether the overlap exceeds one half.
    - `residual`: largest imbalance of the equations.
    - `num_steps`: damped iterations.
    - `result`: the result code.
    """

    load: Scalar
    activity: Scalar
    threshold: Scalar
    overlap: Scalar
    misses: Scalar
    false_alarms: Scalar
    noise: Scalar
    susceptibility: Scalar
    feedback: Scalar
    retrieved: Bool[Array, ""]
    residual: Scalar
    num_steps: Int[Array, ""]
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.overlap,
            lambda: (
                f"load {self.load:.7g}, activity {self.activity:.4g}, threshold {self.threshold:.5g}: overlap "
                f"{self.overlap:.7g}, {'' if self.retrieved else 'not '}retrieved\n"
                f"  misses {self.misses:.3g}, false alarms {self.false_alarms:.3g}; noise {self.noise:.5g}, "
                f"susceptibility {self.susceptibility:.5g}, feedback {self.feedback:.5g}\n"
                f"  residual {self.residual:.2g}, result: {describe_result(self.result)}"
            ),
        )


def covariance_state(
    load: ScalarLike,
    activity: ScalarLike,
    threshold: ScalarLike,
    *,
    resting: ScalarLike = 0.0,
    max_steps: int = 16384,
    throw: bool = True,
) -> CovarianceState:
    r"""Stationary retrieval state of 0/1 units with the covariance rule, J = Σ_μ (ξ^μ − f)(ξ^μ − f)ᵀ/(N f(1−f)), i ≠ j.

        s = 1 where Σ_j J_ij (s_j + s₀) > θ, and else 0;
        P₁ = Φ(b),  P₀ = Φ(−a),  m = P₁ − P₀,     q = ⟨(s + s₀)²⟩ = s₀² + (1 + 2s₀)(fP₁ + (1−f)P₀),
        a = (θ − Γ(½ + s₀) + fm)/√(αr),           b = ((1−f)m − θ + Γ(½ + s₀))/√(αr),
        C = [f ϕ(b) + (1−f) ϕ(a)]/√(αr),          r = q/(1−C)²,  Γ = αC/(1−C)

    Φ and ϕ are the distribution and the density of a standard normal. A one receives the signal (1−f)m and a zero −fm,
    both with Gaussian crosstalk of the variance αr. A site's own output feeds back as Γ(s + s₀); where both states
    coexist, Maxwell's rule of equal areas shifts the threshold to θ − Γ(½ + s₀). The equations are solved by damped
    iteration from the pattern and refined by Newton's method; derivatives follow from the implicit function theorem.
    Replica symmetry and N → ∞ at fixed activity are assumed.

    **Arguments:**

    - `load`: patterns per neuron, α, positive.
    - `activity`: fraction f of ones in the 0/1 patterns, within (0, 1).
    - `threshold`: θ, in units of the signal: −f < θ < 1 − f lets ones fire and keeps zeros silent at small loads.
    - `resting`: s₀, output of a silent unit; −½ gives a network of spins S = 2(s + s₀) = ±1 and patterns of bias 2f −
      1, with threshold 2θ.
    - `max_steps`: of the iteration.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `CovarianceState`. If there is no retrieval state, another state with `retrieved` false (a silent
    network, or one that is active without overlap).

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` on failure if `throw`.

    **Example:**

    ```python
    import hopfield_jax as hj

    state = hj.theory.covariance_state(load=0.3, activity=0.05, threshold=0.6)
    assert state.retrieved and state.misses < 0.05 and state.false_alarms < 0.01
    ```

    Tsodyks and Feigel'man, Europhys. Lett. 6, 101 (1988); Amit, Gutfreund and Sompolinsky, Phys. Rev. A 35, 2293 (1987)
    for biased ±1 patterns.
    """
    rules = Rules(dtype=default_float())
    load, activity = rules.real("load", load, "positive"), rules.real("activity", activity, "fraction")
    threshold, resting = rules.real("threshold", threshold, "finite"), rules.real("resting", resting, "finite")
    at_least("max_steps", max_steps, 1)
    out = _state(load, activity, threshold, resting, max_steps, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


def covariance_capacity(activity: ScalarLike, *, resting: ScalarLike = 0.0, throw: bool = True) -> CovarianceState:
    r"""Largest load at which 0/1 units retrieve patterns stored by the covariance rule, at the best threshold.

    Given a and b, all other quantities of `covariance_state` are explicit, including the threshold, and

        √α = [(Φ(a) + Φ(b) − 1)/(a + b) − f ϕ(b) − (1−f) ϕ(a)]/√q

    is maximised over both. For activities below about 0.06 states near that maximum are not connected with those of
    small load at any threshold. The capacity is then that of the cusp where two folds meet (ones fall silent, zeros
    fire); below it the best threshold is slightly lower.

    The capacity grows as the activity falls, towards 1/(2f|ln f|), but slowly: it is 0.0691, 0.4410 and 4.128 at
    f = ½, 0.1 and 0.01, and at 10⁻², 10⁻⁴, 10⁻⁸, 10⁻¹² a fraction 0.380, 0.472, 0.554, 0.601 of that limit. For spins,
    s₀ = −½, it is 0.1379 (Amit, Gutfreund and Sompolinsky's), 0.1686 and 0.1959 at the same activities.

    **Arguments:**

    - `activity`: fraction f of ones in the 0/1 patterns, within (0, 1).
    - `resting`: s₀, output of a silent unit; −½ for spins, with which f = ½ is the Hopfield network.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `CovarianceState` whose `load` is the capacity and whose `threshold` is the best one there (below a
    cusp a slightly lower one is needed); differentiable with respect to the activity.

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` on failure if `throw`.

    **Example:**

    ```python
    import hopfield_jax as hj

    best = hj.theory.covariance_capacity(activity=0.1)
    below = hj.theory.covariance_state(0.99 * best.load, 0.1, best.threshold)
    assert below.retrieved
    ```

    Tsodyks and Feigel'man, Europhys. Lett. 6, 101 (1988).
    """
    rules = Rules(dtype=default_float())
    activity, resting = rules.real("activity", activity, "fraction"), rules.real("resting", resting, "finite")
    out = _capacity(activity, resting, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


def _rates(a: Array, b: Array, activity: Scalar, resting: Scalar) -> tuple[Array, Array, Array]:
    """m, √q, and the deviation of the crosstalk times C."""
    hits, false_alarms = _tail(-b), _tail(a)
    square = jnp.square(resting) + (1 + 2 * resting) * (activity * hits + (1 - activity) * false_alarms)
    density = activity * jnp.exp(-0.5 * jnp.square(b)) + (1 - activity) * jnp.exp(-0.5 * jnp.square(a))
    root_square = jnp.sqrt(jnp.maximum(square, jnp.finfo(a.dtype).tiny))  # a silent network has no crosstalk
    return hits - false_alarms, root_square, density / np.sqrt(2 * np.pi).item()


def _tail(x: Array) -> Array:
    """Probability of a standard normal above x."""
    return 0.5 * erfc(x / np.sqrt(2).item())


def _margins(x: Float[Array, "3"], activity: Scalar, threshold: Scalar, resting: Scalar) -> tuple[Scalar, Scalar]:
    """a and b at (m, deviation, Γ)."""
    effective = threshold - (0.5 + resting) * x[2]
    return (effective + activity * x[0]) / x[1], ((1 - activity) * x[0] - effective) / x[1]


def _step(
    x: Float[Array, "3"], load: Scalar, activity: Scalar, threshold: Scalar, resting: Scalar
) -> Float[Array, "3"]:
    """The next (m, deviation, Γ): with C = slope/deviation, deviation = √(αq) + slope."""
    overlap, root_square, slope = _rates(*_margins(x, activity, threshold, resting), activity, resting)
    root_load = jnp.sqrt(load)
    return jnp.stack([overlap, root_load * root_square + slope, root_load * slope / root_square])


def _report(x, load, activity, threshold, resting, num_steps, settled, code, valid) -> CovarianceState:
    residual = jnp.max(jnp.abs(stop_gradient(_step(x, load, activity, threshold, resting) - x)))
    settled &= residual <= 10 * tolerance_of(x.dtype)
    a, b = _margins(x, activity, threshold, resting)
    overlap, root_square, slope = _rates(a, b, activity, resting)
    noise = jnp.square(root_square / (1 - slope / x[1]))
    result = outcome((~settled, code), (~valid, RESULTS.invalid_parameter))
    usable = result == RESULTS.successful
    numbers = [load, activity, threshold, overlap, _tail(b), _tail(a), noise, slope / x[1], x[2]]
    return CovarianceState(
        *(jnp.where(usable, n, jnp.nan) for n in numbers),
        retrieved=usable & (overlap > 0.5),
        residual=residual,
        num_steps=num_steps,
        result=result,
    )


@eqx.filter_jit
def _state(load, activity, threshold, resting, max_steps: int, valid: Bool[Array, ""]) -> CovarianceState:
    numbers = load, activity, threshold, resting
    frozen, tolerance = stop_gradient(numbers), tolerance_of(load.dtype)

    def going(carry):
        _, change, num_steps = carry
        return (change > tolerance) & (num_steps < max_steps)

    def damped(carry):
        x, _, num_steps = carry
        new = 0.5 * (x + _step(x, *frozen))
        return new, jnp.max(jnp.abs(new - x)), num_steps + 1

    square = jnp.square(frozen[3]) + (1 + 2 * frozen[3]) * frozen[1]
    first = jnp.stack([jnp.ones_like(load), jnp.sqrt(frozen[0] * square), jnp.zeros_like(load)])
    x, change, num_steps = jax.lax.while_loop(going, damped, (first, jnp.full_like(load, jnp.inf), jnp.zeros((), int)))
    silent = x[1] < 1e-4 * first[1]
    final = jnp.where(silent, x, root(lambda x: _step(x, *numbers) - x, jnp.where(silent, first, x)))
    arrived = (change <= tolerance) & (jnp.max(jnp.abs(final - x)) < 1e-2)
    return _report(final, *numbers, num_steps, arrived, RESULTS.not_settled, valid)


def _explicit(w: Float[Array, "2"], activity: Scalar, resting: Scalar) -> tuple[Float[Array, "2"], Float[Array, "3"]]:
    """√α and θ, and (m, deviation, Γ), at the margins w = (a, b)."""
    overlap, root_square, slope = _rates(w[0], w[1], activity, resting)
    deviation = overlap / (w[0] + w[1])
    root_load = (deviation - slope) / root_square
    feedback = root_load * slope / root_square
    threshold = w[0] * deviation - activity * overlap + (0.5 + resting) * feedback
    return jnp.stack([root_load, threshold]), jnp.stack([overlap, deviation, feedback])


def _growth(w: Float[Array, "2"], activity: Scalar, resting: Scalar) -> tuple[Scalar, Scalar]:
    """Trace and determinant of 1 − (the derivative of the iteration), of rank two at most, at the margins w."""
    (root_load, threshold), x = _explicit(w, activity, resting)
    jacobian = jax.jacfwd(_step)(x, jnp.square(root_load), activity, threshold, resting)
    return 2 - jnp.trace(jacobian), determinant(jnp.eye(3, dtype=w.dtype) - jacobian)


@eqx.filter_jit
def _capacity(activity: Scalar, resting: Scalar, valid: Bool[Array, ""]) -> CovarianceState:
    explicit = lambda w: _explicit(w, activity, resting)[0]  # noqa: E731
    slopes = jax.jacfwd(explicit)

    def fold(w):
        rows = slopes(w)
        return rows[0, 0] * rows[1, 1] - rows[0, 1] * rows[1, 0], rows

    # From the best points of a grid, in units of √(2|ln f|), the spread of the margins as f → 0.
    frozen = jax.lax.stop_gradient((activity, resting))
    scale = jnp.sqrt(2 - 2 * jnp.log(frozen[0]))
    ticks = scale * jnp.linspace(0.05, 1.8, 128, dtype=scale.dtype)
    grid = jnp.stack(jnp.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    values = jax.vmap(lambda w: _explicit(w, *frozen)[0][0])(grid)
    trace, product = jax.vmap(lambda w: _growth(w, *frozen))(grid)
    top = jnp.argmax(values)
    smooth = trace[top] > 0
    best = jnp.where(smooth, top, jnp.argmax(jnp.where((trace > 0) & (product > 0), values, 0)))

    def end(w):
        """Equations for the maximum of √α(a, b), or for the cusp, where the line of folds is tangent to the direction
        of constant load and threshold; the third unknown is √α."""
        value, turn, rows = jax.jvp(fold, (w[:2],), (_across(slopes(w[:2])[1]),), has_aux=True)
        return jnp.append(jnp.where(smooth, rows[0], jnp.stack([value, turn])), explicit(w[:2])[0] - w[2])

    guess = jnp.append(grid[best], values[best])
    w = root(end, guess)
    near = jnp.max(jnp.abs(stop_gradient(w) - guess)[:2]) < 0.2 * scale
    (_, threshold), x = _explicit(w[:2], activity, resting)
    code = RESULTS.nonlinear_max_steps_reached
    return _report(x, jnp.square(w[2]), activity, threshold, resting, jnp.zeros((), int), near, code, valid)


def _across(w: Float[Array, "2"]) -> Float[Array, "2"]:
    return jnp.stack([-w[1], w[0]])
