"""The saliency map Z → κ(1 − 1/Z) of input-driven plasticity, in closed form: time in units of the slow time constant.

With q = 1 − 4/κ, tanh²η = q, C_n = cosh nη and S_n = sinh(nη)/√q (cos and sin of an angle where q < 0, n at q = 0),

    Z_n = [Z_0 C_n + (Z_0 − 2) S_n]/y_n,    y_n = C_n + (2Z_0/κ − 1) S_n,    Z_n = √κ y_{n+1}/y_n.

All are analytic in κ, including κ = 4, and are evaluated accordingly.
"""

import math
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Real

from .._checks import Rules, as_real, sieved
from .._misc import nan_unless
from .._types import Array, ArrayLike, Float, Int, Scalar
from ._outcome import Regime

Numbers = Float[Array, "..."]
NumbersLike = Real[ArrayLike, "..."]


def saliency_map(gain: NumbersLike, saliency: NumbersLike) -> Numbers:
    r"""Saliency of the next memory at the switch, given that of the present one at its start.

        Z' = κ(1 − 1/Z)

    The active memory decays as Z e^{−t} and its successor grows as κ(1 − e^{−t}) until the active one reaches 1. Limit
    of fast neurons, orthogonal memories, a long chain: the remainder of earlier visits is neglected (see
    `follow_transitions`). A memory with Z ≤ 1 is never retrieved, and its successor gets 0.

    **Arguments:**

    - `gain`: κ, finite and positive, of any shape; may be traced.
    - `saliency`: Z, finite, of a shape that broadcasts with that of `gain`; may be traced.

    **Returns:** Z', of the broadcast shape; NaN if a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert sequential.saliency_map(5.0, 2.0) == 2.5
    ```

    Source: Betteti, Baggio and Zampieri 2026, cited at `InputDrivenNetwork`.
    """
    return _saliency_map(*_arguments(gain, saliency))


class FixedPoints(eqx.Module):
    """Fixed points of the saliency map.

    **Attributes:**

    - `lower`: Z−, unstable: sequences that start below it collapse.
    - `upper`: Z+, stable: the limit of sequences.
    - `lower_multiplier`, `upper_multiplier`: slopes of the map there, Z+/Z− and Z−/Z+.
    """

    lower: Numbers
    upper: Numbers
    lower_multiplier: Numbers
    upper_multiplier: Numbers


def fixed_points(gain: NumbersLike) -> FixedPoints:
    """Fixed points of the saliency map and its slopes there.

        Z± = (κ ± √(κ² − 4κ))/2,    slopes κ/Z±²

    **Arguments:**

    - `gain`: κ, finite and positive, of any shape; may be traced.

    **Returns:** `FixedPoints` of the shape of `gain`, NaN below κ = 4, where there are none. At κ = 4, where both
    coincide, their derivatives by κ are infinite.

    **Raises:** `ValueError` for a gain that is not finite and positive.

    **Example:**

    ```python
    from hopfield_jax import sequential

    points = sequential.fixed_points(4.5)
    assert (points.lower, points.upper) == (1.5, 3)
    ```
    """
    return _fixed_points(sieved("gain", gain, "positive"))


def escape_time(saliency: NumbersLike) -> Numbers:
    """Dwell time of a memory: until its saliency Z e^{−t} has fallen to 1.

        T = log Z,    0 for Z ≤ 1 (never stable)

    **Arguments:**

    - `saliency`: Z at the start, finite, of any shape; may be traced.

    **Returns:** the time in units of the slow time constant, of the shape of `saliency`; NaN where that is not finite.

    **Raises:** `ValueError` for a saliency that is not finite.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert sequential.escape_time(1.0) == 0
    ```
    """
    saliency = sieved("saliency", saliency, "finite")
    return jnp.log(jnp.where(saliency <= 1, 1, saliency))


def period(gain: NumbersLike) -> Numbers:
    """Limit of the interval between transitions.

        T = log Z+,    Z+ = (κ + √(κ² − 4κ))/2

    **Arguments:**

    - `gain`: κ, finite and positive, of any shape; may be traced.

    **Returns:** the time in units of the slow time constant, of the shape of `gain`; NaN below κ = 4, where sequences
    collapse. At κ = 4 it is log 2, and its derivative by κ is infinite.

    **Raises:** `ValueError` for a gain that is not finite and positive.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert abs(sequential.period(5.0) - 1.2859308) < 1e-6
    ```
    """
    return jnp.log(fixed_points(gain).upper)


def gain_for_period(period: NumbersLike) -> Numbers:
    """Gain for a given interval between transitions.

        κ = e^{2T}/(e^T − 1)

    The inverse of `period`. The stable branch begins at T = log 2, where κ = 4; shorter intervals belong to the
    unstable fixed point.

    **Arguments:**

    - `period`: T in units of the slow time constant, finite and at least log 2, of any shape; may be traced.

    **Returns:** κ, of the shape of `period`; NaN where a traced period is too short.

    **Raises:** `ValueError` for a period below log 2 or not finite.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert abs(sequential.gain_for_period(sequential.period(6.0)) - 6) < 1e-5
    ```
    """
    rules, time = Rules(each=True), as_real("period", period)
    expected = "finite numbers of at least log 2 = 0.6931, where the stable branch begins"
    rules.holds("period", lambda t: (t >= np.asarray(math.log(2), t.dtype)) & (t < np.inf), expected, time)
    time = jnp.where(rules.valid, time, 1)
    return jnp.where(rules.valid, jnp.exp(time) / -jnp.expm1(-time), jnp.nan)


def iterate(gain: NumbersLike, saliency: NumbersLike, num_transitions: Int[ArrayLike, "..."]) -> Numbers:
    """Saliency after any number of transitions, in closed form.

        Z_n = √κ y_{n+1}/y_n,    y_n = (Z_0/√κ) U_{n−1} − U_{n−2},    U_n = sin((n + 1)θ)/sin θ,    cos θ = √κ/2,

    and its analytic continuation to κ ≥ 4; the cost does not depend on n. Near the unstable fixed point, rounding
    errors of the arguments grow with n, as in the map itself.

    **Arguments:**

    - `gain`: κ, finite and positive; may be traced.
    - `saliency`: Z_0, finite; may be traced.
    - `num_transitions`: n, whole numbers, not negative; may be traced. All three broadcast.

    **Returns:** Z_n, of the broadcast shape. NaN after a collapse, for n > `count_transitions`, and if a traced
    argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import jax.numpy as jnp
    from hopfield_jax import sequential

    saliency = sequential.iterate(3.0, 3.0, jnp.arange(5))
    assert jnp.allclose(saliency[:4], jnp.array([3, 2, 1.5, 1])) and jnp.isnan(saliency[4])
    ```
    """
    return _iterate(*_arguments(gain, saliency, num_transitions))[0]


def total_time(gain: NumbersLike, saliency: NumbersLike, num_transitions: Int[ArrayLike, "..."]) -> Numbers:
    """Time of the n-th transition, in closed form.

        log Z_0 + … + log Z_{n−1} = (n/2) log κ + log y_n,    y_n as in `iterate`

    **Arguments:** as those of `iterate`.

    **Returns:** the time in units of the slow time constant, of the broadcast shape; 0 for n = 0. NaN for
    n > `count_transitions`, and where a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    import math
    from hopfield_jax import sequential

    assert abs(sequential.total_time(3.0, 3.0, 2) - math.log(3 * 2)) < 1e-6
    ```
    """
    return _iterate(*_arguments(gain, saliency, num_transitions))[1]


def count_transitions(gain: NumbersLike, saliency: NumbersLike) -> Int[Array, "..."]:
    """Number of retrieved memories, including the first, before a sequence collapses, in closed form.

    It is the number of applications of the saliency map until Z_n ≤ 1,

        ⌈arg(1 − Z_0 + 2Z_0/κ + i √(4/κ − 1) (Z_0 − 1))/θ⌉,    cos θ = √κ/2,

    for κ < 4; above, with the unstable fixed point Z− and cosh η = √κ/2,

        ⌈log(1 + √(1 − 4/κ) (Z_0 − 1) Z−²/(Z− − Z_0))/2η⌉,    at κ = 4: ⌈2(Z_0 − 1)/(2 − Z_0)⌉.

    A saliency that equals 1 to within rounding (8 units in the last place of n) counts as 1.

    **Arguments:**

    - `gain`: κ, finite and positive; may be traced.
    - `saliency`: Z_0, finite, of a shape that broadcasts with that of `gain`; may be traced.

    **Returns:** n as int32 of the broadcast shape: 0 for Z_0 ≤ 1; -1 where the sequence never ends (κ ≥ 4 and
    Z_0 ≥ Z−); -2 where a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert sequential.count_transitions(3.99, 3.99) == 60
    assert sequential.count_transitions(4.0, 2.0) == -1
    ```
    """
    return _count(*_arguments(gain, saliency))


def regime(gain: NumbersLike, saliency: NumbersLike) -> Regime:
    """Regime of a sequence that starts with a given saliency.

    Periodic for κ > 4 and Z_0 ≥ Z− (for equality, on the unstable fixed point), critical for κ = 4 and Z_0 ≥ 2, decay
    for Z_0 ≤ 1, and collapse otherwise.

    **Arguments:**

    - `gain`: κ, finite and positive; may be traced.
    - `saliency`: Z_0, finite, of a shape that broadcasts with that of `gain`; may be traced.

    **Returns:** a `Regime` of the broadcast shape; `Regime.invalid` where a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    **Example:**

    ```python
    from hopfield_jax import sequential

    assert sequential.regime(5.0, 2.0) == sequential.Regime.periodic
    ```
    """
    return _regime(*_arguments(gain, saliency))


def _arguments(gain: NumbersLike, saliency: NumbersLike, *counts: Int[ArrayLike, "..."]) -> list[Array]:
    """Gain, saliency and numbers of transitions in one type and shape, and where all are valid."""
    rules = Rules(each=True)
    numbers = [rules.real("gain", gain, "positive", shape=None), rules.real("saliency", saliency, "finite", shape=None)]
    dtype = np.promote_types(numbers[0].dtype, numbers[1].dtype)
    for count in counts:
        numbers.append(rules.real("num_transitions", count, "nonnegative", shape=None))
        rules.holds("num_transitions", lambda n: n % 1 == 0, "whole numbers", numbers[-1])
    return list(jnp.broadcast_arrays(*(x.astype(dtype) for x in numbers), rules.valid))


@jax.jit
def _saliency_map(gain: Array, saliency: Array, valid: Array) -> Array:
    retrieved = saliency > 1
    z = jnp.where(retrieved, saliency, 2)
    return jnp.where(valid, jnp.where(retrieved, gain * ((z - 1) / z), 0), jnp.nan)


def _fixed_points(gain: Array) -> FixedPoints:  # not jitted, which would turn the infinite derivative at κ = 4 into NaN
    exist = gain >= 4
    gain = jnp.where(exist, gain, 5)
    factor = 1 + jnp.sqrt(gain - 4) / jnp.sqrt(gain)
    slope = 4 / (gain * jnp.square(factor))
    points = FixedPoints(2 / factor, 0.5 * gain * factor, 1 / slope, slope)
    return nan_unless(exist, points, constant=True)


@jax.jit
def _iterate(gain: Array, saliency: Array, count: Array, valid: Array) -> tuple[Array, Array]:
    """Z_n and the time of the n-th transition."""
    last = _count(gain, saliency, valid)
    exists = valid & ((last == -1) | (count <= last.astype(count.dtype)))
    gain, start, n = jnp.where(exists, gain, 5), jnp.where(exists, saliency, 5), jnp.where(exists, count, 0)
    q, ratio = _rate(gain)
    cosh, sinh, exponent = _hyperbolic(q * jnp.square(n * ratio))
    sinh = n * ratio * sinh
    # cosh nη − √q S_n = e^{−nη}: for large n, without cancellation near the unstable fixed point Z−.
    far = exponent > 0
    root, rest = jnp.sqrt(jnp.where(far, q, 1)), jnp.maximum(jnp.exp(-2 * exponent), jnp.finfo(q.dtype).tiny)
    above = (start - 2 / (1 + root)) * sinh
    y = jnp.where(far, rest + 2 / gain * above, cosh + (2 * start / gain - 1) * sinh)
    y = jnp.where(exists, y, 1)
    top = jnp.where(far, start * rest + (1 + root) * above, start * cosh + (start - 2) * sinh)
    time = 0.5 * n * jnp.log(gain) + exponent + jnp.log(y)
    return jnp.where(exists, top / y, jnp.nan), jnp.where(exists, time, jnp.nan)


@jax.jit
def _count(gain: Array, saliency: Array, valid: Array) -> Int[Array, "..."]:
    gain, saliency = jax.lax.stop_gradient((gain, saliency))
    retrieved = saliency > 1
    k, z = jnp.where(valid, gain, 5), jnp.where(valid & retrieved, saliency, 2)
    q, ratio = _rate(k)
    root = jnp.sqrt(jnp.abs(q))
    lower = 2 / (1 + root)
    endless = (k >= 4) & (z >= lower)
    growth = (z - 1) * jnp.square(lower) / jnp.where(endless, 1, lower - z)
    above = jnp.where(q > 0, jnp.log1p(root * growth) / jnp.where(q > 0, 2 * root * ratio, 1), 0.5 * growth)
    below = jnp.arctan2(root * (z - 1), 1 - (1 - 2 / k) * z) / jnp.where(q < 0, root * ratio, 1)
    exact = jnp.where(q < 0, below, above)
    number = jnp.clip(jnp.ceil(exact * (1 - 8 * jnp.finfo(k.dtype).eps)), 1, 2147483520).astype(jnp.int32)
    number = jnp.where(endless, -1, number)
    return jnp.where(valid, jnp.where(retrieved, number, 0), -2)


@jax.jit
def _regime(gain: Array, saliency: Array, valid: Array) -> Regime:
    def classify(gain: Scalar, count: Int[Array, ""]) -> Regime:
        out = Regime.where(gain > 4, Regime.periodic, Regime.critical)
        out = Regime.where(count == -1, out, Regime.collapse)
        out = Regime.where(count == 0, Regime.decay, out)
        return Regime.where(count == -2, Regime.invalid, out)

    regimes = jax.vmap(classify)(gain.reshape(-1), _count(gain, saliency, valid).reshape(-1))
    return jtu.tree_map(lambda x: x.reshape(gain.shape), regimes)


def _rate(gain: Array) -> tuple[Array, Array]:
    """q = 1 − 4/κ and η/√q = atanh(√q)/√q, which is analytic in q."""
    q = (gain - 4) / gain
    near, high = jnp.abs(q) < 0.1, q > 0
    root = jnp.sqrt(jnp.where(near, 1, jnp.abs(q)))
    eta = 0.5 * jnp.log(0.25 * gain) + jnp.log1p(root)  # = atanh(root), without cancellation near 1
    series = _polynomial(jnp.where(near, q, 0), [1 / (2 * k + 1) for k in range(16)])
    return q, jnp.where(near, series, jnp.where(high, eta, jnp.arctan(root)) / root)


def _hyperbolic(z: Array) -> tuple[Array, Array, Array]:
    """e^{−x} cosh √z, e^{−x} sinh(√z)/√z and the exponent x (√z for large z, else 0); analytic in z of either sign."""
    near, high = jnp.abs(z) < 1, z > 0
    root = jnp.sqrt(jnp.where(near, 1, jnp.abs(z)))
    rest = jnp.exp(-2 * root)
    cosh, sinh = jnp.where(high, 0.5 * (1 + rest), jnp.cos(root)), jnp.where(high, 0.5 * (1 - rest), jnp.sin(root))
    small = jnp.where(near, z, 0)
    even, odd = (_polynomial(small, [1 / math.factorial(2 * k + i) for k in range(11)]) for i in (0, 1))
    return jnp.where(near, even, cosh), jnp.where(near, odd, sinh / root), jnp.where(near | ~high, 0, root)


def _polynomial(x: Array, coefficients: list[float]) -> Array:
    return reduce(lambda sum, c: sum * x + c, reversed(coefficients), jnp.zeros_like(x))
