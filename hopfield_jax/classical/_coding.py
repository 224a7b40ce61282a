"""Codings of patterns and states: units of ±1, or of 0 and 1."""

import abc

import equinox as eqx

from .._checks import Checked, Rules, domain, shape_is
from .._misc import matmul
from .._types import Array, Float, Parameter, Patterns, Scalar


class AbstractCoding(Checked):
    r"""The two values of a unit and the mean $a$ of a pattern's entries, whose variance is then
    $v = (\text{high} - a)(a - \text{low})$."""

    mean: eqx.AbstractVar[Parameter[Scalar]]

    def __check_init__(self):
        shape_is(f"{type(self).__name__}.mean", self.mean, ())
        self.mean_fits(Rules())

    @property
    @abc.abstractmethod
    def low(self) -> float:
        """The lower value."""

    @property
    @abc.abstractmethod
    def high(self) -> float:
        """The higher value."""

    @property
    def variance(self) -> Scalar:
        r"""$v = (\text{high} - a)(a - \text{low})$."""
        return (self.high - self.mean) * (self.mean - self.low)

    def mean_fits(self, rules: Rules) -> None:
        """States that the mean lies between the values."""
        name, expected = f"{type(self).__name__}.mean", f"a mean between {self.low:g} and {self.high:g}"
        rules.holds(name, lambda mean: (mean > self.low) & (mean < self.high), expected, self.mean)

    def entries_fit(self, rules: Rules, argument: str, values: Array, *, zero: bool = False) -> None:
        """States that every entry is one of the two values, or zero if allowed."""
        one_of = lambda x: (x == self.low) | (x == self.high) | ((x == 0) & zero)  # noqa: E731
        expected = f"entries of {self.low:g} and {self.high:g}, as {type(self).__name__} has them"
        rules.holds(argument, one_of, expected, values)

    def inverse(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""Exchanges the two values."""
        return self.low + self.high - state

    def overlap(self, patterns: Patterns, state: Float[Array, " neurons"]) -> Float[Array, " patterns"]:
        r"""$m^\mu = \frac{1}{Nv}\sum_i(\xi^\mu_i - a)s_i$: 1 (on average) for the pattern itself, 0 for an independent
        state of any activity."""
        return matmul(patterns - self.mean, state) / (state.size * self.variance)


class Spins(AbstractCoding):
    r"""Units of ±1. **Arguments:** `mean`, $a$ within (−1, 1): 0 for unbiased patterns, whose overlap then is the
    ordinary $\frac1N\sum_i\xi_is_i$; else the bias of `hopfield_jax.biased_patterns`.

    ```python
    import hopfield_jax as hj

    patterns = hj.hadamard_patterns(3, 8)
    assert hj.classical.Spins().overlap(patterns, patterns[1]).tolist() == [0, 1, 0]
    ```
    """

    mean: Parameter[Scalar] = eqx.field(metadata=domain("finite"), default=0.0)

    @property
    def low(self) -> float:
        return -1.0

    @property
    def high(self) -> float:
        return 1.0


class Bits(AbstractCoding):
    r"""Units of 0 and 1. **Arguments:** `mean`, the patterns' activity $f$ within (0, 1).

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    pattern = jnp.array([1.0, 0.0, 0.0, 0.0])
    assert hj.classical.Bits(mean=0.25).overlap(pattern[None], pattern).tolist() == [1]
    assert hj.classical.Bits(mean=0.25).overlap(pattern[None], jnp.ones(4)).tolist() == [0]
    ```
    """

    mean: Parameter[Scalar] = eqx.field(metadata=domain("finite"), default=0.5)

    @property
    def low(self) -> float:
        return 0.0

    @property
    def high(self) -> float:
        return 1.0
