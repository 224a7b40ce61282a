"""Cues: the state of the network at time zero."""

import abc
import itertools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._checks import Checked, Rules, domain, fail
from .._misc import matmul
from .._types import Array, Float, Parameter, PRNGKey, Scalar
from .._units import AbstractUnits

_MAX_PATTERNS = 6


class Strata(eqx.Module):
    r"""Strata of sites of the single-site process, with their weights.

    **Attributes:** (K strata, M samples, n condensed patterns)

    - `signs`: entries $\xi^\nu$ of the condensed patterns, shape (K, n).
    - `weights`: shape (K,), sum 1.
    - `state`, `output`: $x(0)$ and $\phi(0)$, shape (K, M). `direction`: of a field along the cue, shape (K, M).
    """

    signs: Float[Array, "strata condensed"]
    weights: Float[Array, " strata"]
    state: Float[Array, "strata samples"]
    output: Float[Array, "strata samples"]
    direction: Float[Array, "strata samples"]


class AbstractCue(Checked):
    """The state at time zero, relative to the condensed patterns."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """() for one condensed pattern given by a number, else (patterns,)."""

    @property
    @abc.abstractmethod
    def dims(self) -> int:
        """Number of standard normals in a site's initial state."""

    @abc.abstractmethod
    def num_strata(self, units: AbstractUnits) -> int:
        """Number of strata."""

    @abc.abstractmethod
    def strata(self, units: AbstractUnits, normals: Float[Array, "dims samples"]) -> Strata:
        """The strata, for the theory; `normals` has `dims` rows."""

    @abc.abstractmethod
    def state(
        self, units: AbstractUnits, patterns: Float[Array, "condensed neurons"], *, key: PRNGKey
    ) -> tuple[Array, Array]:
        """$x(0)$ and $\\phi(0)$ of every neuron, for the simulation; shape (neurons,) each."""


class SpinCue(AbstractCue):
    r"""The network is clamped to spins: $x(0) = \phi(0) = s$, $s_i = \pm 1$, with overlap $m_0$ with the pattern.

    **Arguments:**

    - `overlap`: $m_0$, in [-1, 1]; for several condensed patterns shape (patterns,), with $\sum_\nu |m_0^\nu| \le 1$:
      each spin follows pattern ν with probability $|m_0^\nu|$ and is random otherwise.
    """

    overlap: Parameter[Float[Array, "*condensed"]] = eqx.field(metadata=domain("finite", ndim=(0, 1)))

    def __check_init__(self):
        _few("SpinCue.overlap", self.overlap)

    def relations(self, rules: Rules) -> None:
        """The sizes of the overlaps add up to at most 1."""
        what = "overlaps whose sizes add up to at most 1" if self.overlap.ndim else "a number in [-1, 1]"
        rules.holds("SpinCue.overlap", lambda overlap: abs(overlap).sum() <= 1 + 1e-6, what, self.overlap)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.overlap.shape

    @property
    def dims(self) -> int:
        return 0

    def num_strata(self, units: AbstractUnits) -> int:
        """Both spins for every combination of signs."""
        return 2 * len(_sign_vectors(self.overlap.size, fixed=units.odd))

    def strata(self, units: AbstractUnits, normals: Float[Array, "dims samples"]) -> Strata:
        r"""Every combination of signs and spin, the spin with probability $\frac12(1 + s\sum_\nu m_0^\nu\xi^\nu)$."""
        overlaps = jnp.atleast_1d(self.overlap)
        signs = _sign_vectors(overlaps.size, fixed=units.odd).astype(overlaps.dtype)
        spins = np.repeat(np.array([[1.0], [-1.0]]), len(signs), axis=0).astype(overlaps.dtype)
        signs = np.concatenate([signs, signs])
        bias = spins[:, 0] * matmul(jnp.asarray(signs), overlaps)
        weights = (1 + bias) / len(signs)
        state = jnp.broadcast_to(jnp.asarray(spins), (len(signs), normals.shape[1]))
        return Strata(jnp.asarray(signs), jnp.asarray(weights), *[state] * 3)

    def state(
        self, units: AbstractUnits, patterns: Float[Array, "condensed neurons"], *, key: PRNGKey
    ) -> tuple[Array, Array]:
        r"""Spins with the overlaps exact to 2/N per combination of signs (for one pattern and odd units: to 1/N)."""
        overlaps, odd = jnp.atleast_1d(self.overlap), units.odd
        gauge = patterns[:1] if odd else jnp.ones_like(patterns[:1])  # the first is all ones, if allowed
        order = jr.uniform(key, patterns.shape[1:], patterns.dtype)
        spins = jnp.zeros_like(order)
        for signs in _sign_vectors(overlaps.size, fixed=odd):
            signs = jnp.asarray(signs, patterns.dtype)
            members = jnp.all(patterns * gauge == signs[:, None], axis=0)
            rank = jnp.argsort(jnp.argsort(jnp.where(members, order, 2)))
            share = (1 + jnp.sum(overlaps * signs)) / 2
            up = rank.astype(share.dtype) < jnp.round(share * jnp.sum(members).astype(share.dtype))
            spins = jnp.where(members, jnp.where(up, 1, -1).astype(order.dtype), spins)
        spins *= gauge[0]
        return spins, spins


class GaussianCue(AbstractCue):
    r"""A noisy copy of the pattern: $x(0) = a\,\xi + \sigma z$, $\phi(0) = \phi(x(0))$.

    **Arguments:**

    - `amplitude`: $a$; for several condensed patterns shape (patterns,).
    - `spread`: $\sigma \ge 0$.
    """

    amplitude: Parameter[Float[Array, "*condensed"]] = eqx.field(metadata=domain("finite", ndim=(0, 1)))
    spread: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"))

    def __check_init__(self):
        _few("GaussianCue.amplitude", self.amplitude)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.amplitude.shape

    @property
    def dims(self) -> int:
        return 1

    def num_strata(self, units: AbstractUnits) -> int:
        """One stratum per combination of signs."""
        return len(_sign_vectors(self.amplitude.size, fixed=units.odd))

    def strata(self, units: AbstractUnits, normals: Float[Array, "dims samples"]) -> Strata:
        """One stratum per combination of signs."""
        amplitude = jnp.atleast_1d(self.amplitude)
        signs = jnp.asarray(_sign_vectors(amplitude.size, fixed=units.odd), amplitude.dtype)
        state = matmul(signs, amplitude)[:, None] + self.spread * normals[:1]
        weights = jnp.full(len(signs), 1 / len(signs), amplitude.dtype)
        return Strata(signs, weights, state, units.activation(state), state)

    def state(
        self, units: AbstractUnits, patterns: Float[Array, "condensed neurons"], *, key: PRNGKey
    ) -> tuple[Array, Array]:
        r"""$a\,\xi + \sigma z$ and its activation."""
        noise = jr.normal(key, patterns.shape[1:], patterns.dtype)
        state = matmul(jnp.atleast_1d(self.amplitude), patterns) + self.spread * noise
        return state, units.activation(state)


def balanced_signs(num: int, num_neurons: int, dtype: Any, *, key: PRNGKey) -> Float[Array, "condensed neurons"]:
    """Patterns in which every combination of signs is equally frequent, to one neuron."""
    signs = _sign_vectors(num, fixed=False).T[:, np.arange(num_neurons) % 2**num]
    return jr.permutation(key, jnp.asarray(signs, dtype), axis=1)


def _few(argument: str, x: Array) -> None:
    if x.ndim and not 1 <= x.size <= _MAX_PATTERNS:
        fail(argument, f"1 to {_MAX_PATTERNS} condensed patterns", f"{x.size}")


def _sign_vectors(num: int, *, fixed: bool) -> np.ndarray:
    """All vectors of ±1, shape (vectors, num); with `fixed` only those that begin with 1."""
    rest = itertools.product((1.0, -1.0), repeat=num - fixed)
    return np.array([(1.0,) * fixed + signs for signs in rest])
