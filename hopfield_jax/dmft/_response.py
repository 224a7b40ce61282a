"""Estimators of the response G of the single-site process: how an output answers an earlier field."""

import abc
import functools
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Checked, at_least, domain, fail
from .._misc import as_inexact, matmul
from .._types import Array, Float, Scalar
from ._network import AbstractPlasticModel
from ._split import ONE_PIECE, Split
from ._units import Glauber, Units, is_smooth


class History(NamedTuple):
    """Rows of the times up to `t`, shape (strata, times, ..., samples); those after `t` do not count."""

    rows: Array
    t: Array
    split: Split = ONE_PIECE

    @property
    def own(self) -> Array:
        """Row `t`, shape (strata, ..., samples)."""
        return jax.lax.dynamic_index_in_dim(self.rows, self.t, 1, keepdims=False)

    @property
    def known(self) -> Array:
        return jnp.arange(self.rows.shape[1]) <= self.t

    def combine(self, weights: Float[Array, " times"]) -> Array:
        """Σ_s weights_s row_s, shape (strata, ..., samples)."""
        return _combine(jnp.where(self.known, weights, 0), self.rows, self.split.pieces)

    def project(self, y: Float[Array, "strata samples"]) -> Float[Array, "strata times"]:
        """Sum over the samples of y·row_s for every stratum, zero after `t`."""
        return jnp.where(self.known, tree_product(self.rows, y, self.split.pieces), 0)


class Step(NamedTuple):
    """What an estimator sees at time `t`; mean outputs (strata, samples), `average` weighs them to a mean."""

    t: Array
    model: AbstractPlasticModel
    average: Float[Array, "strata 1"]
    mean: Float[Array, "strata samples"]
    normals: Float[Array, "times samples"]
    matrices: dict[str, Array]
    """Rows before `t` of `factor` (L), `ridge_factor` and its inverse (ones on the rest of the diagonal), `response`
    (G) and `propagator` (R)."""


class AbstractResponse(Checked):
    r"""$G_{ts} = \langle\partial\phi_t/\partial\theta_s\rangle$, row by row."""

    @abc.abstractmethod
    def fit(self, units: Units, num_samples: int) -> None:
        """Raises where the estimator is not valid for these units."""

    @abc.abstractmethod
    def begin(self, num_times: int, num_strata: int, num_samples: int, dtype: Any) -> tuple[Array, Array]:
        """The carried tangent and one row of history, both zero, with room for `num_times` times."""

    @abc.abstractmethod
    def remember(self, units: Units, x: Array, deviation: Array, tangent: Array, split: Split) -> Array:
        """This time's row of the history, from the state, how spins deviate from their mean, and the tangent."""

    @abc.abstractmethod
    def row(self, step: Step, history: History) -> tuple[Float[Array, " times"], Float[Array, " times"]]:
        """Row `t` of $GR$ and of $G$."""

    @abc.abstractmethod
    def advance(self, step: Step, tangent: Array, history: History, weights: Float[Array, " times"]) -> Array:
        """The tangent at t + 1, from the weights of all feedback at t."""


class Novikov(AbstractResponse):
    r"""By Novikov's theorem (Stein's lemma), from the correlation of outputs with the normals $z$ that make the noise
    $\eta = aRLz$, $LL^\top = B$:

    $$\langle\phi_t z\rangle = a\,(GR)_t L\quad\text{is solved as}\quad
      (LL^\top + \rho\,\mathrm{diag} B)\,(GR)_t = L\langle\phi_t z\rangle/a.$$

    Right for every unit, kinks and jumps included, and for the gradient through kinks. What it determines is $GRL$,
    which is what the dynamics needs; once outputs have settled, $L$ is nearly singular and single entries of $G$ at
    late times are mostly noise (their standard errors say so), while their sums stay sharp. For $G$ itself take
    `Pathwise`.

    **Arguments:** `ridge`, $\rho$.
    """

    ridge: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"), default=1e-4)

    def fit(self, units: Units, num_samples: int) -> None:
        """Any unit."""

    def begin(self, num_times, num_strata, num_samples, dtype):
        """No tangent and no history."""
        return jnp.zeros((0,), dtype), jnp.zeros((0, 0), dtype)

    def remember(self, units, x, deviation, tangent, split):
        """Nothing."""
        return jnp.zeros((0, 0), x.dtype)

    def row(self, step, history):
        """By the ridge solve above."""
        known = jnp.arange(len(step.normals)) < step.t
        centred = step.mean - jnp.mean(step.mean, axis=1, keepdims=True)
        correlation = jnp.where(known, matmul(step.normals, jnp.sum(step.average * centred, axis=0)), 0)
        factor, inverse = step.matrices["ridge_factor"], step.matrices["ridge_inverse"]
        right = matmul(step.matrices["factor"], correlation / step.model.noise_amplitude)
        answer = matmul(matmul(inverse, right), inverse)
        rest = right - matmul(factor, matmul(answer, factor))  # one refinement, as for the factors
        answer = jnp.where(known, answer + matmul(matmul(inverse, rest), inverse), 0)
        return answer, answer - step.model.propagation * matmul(answer, step.matrices["response"])

    def advance(self, step, tangent, history, weights):
        """Nothing to carry."""
        return tangent


class Pathwise(AbstractResponse):
    r"""By tangents along the paths: $\chi(t+1) = (1 - dt)\chi(t) + dt\,[e_t + \sum_u B_{tu}\phi'_u\chi(u)]$, $G_t =
    \langle\phi'_t\chi(t)\rangle$. For smooth units; time and memory grow as the square of the number of steps.

    **Arguments:** `num_samples`, how many of the paths carry a tangent (a power of two; the first ones).
    """

    num_samples: int = eqx.field(static=True, default=1024)

    def __check_init__(self):
        at_least("Pathwise.num_samples", self.num_samples, 1)
        if self.num_samples & (self.num_samples - 1):
            fail("Pathwise.num_samples", "a power of two", self.num_samples)

    def fit(self, units: Units, num_samples: int) -> None:
        """Smooth units, and no more tangents than paths."""
        if not is_smooth(units):
            name = type(units).__name__
            fail("response", f"an estimator for units with kinks or jumps such as {name}: Novikov()", "Pathwise()")
        if self.num_samples > num_samples:
            fail("response", f"at most num_samples = {num_samples} tangents", self.num_samples)

    def begin(self, num_times, num_strata, num_samples, dtype):
        """One tangent for each earlier field."""
        empty = jnp.zeros((num_strata, num_times, self.num_samples), dtype)
        return empty, empty

    def remember(self, units, x, deviation, tangent, split):
        """Tangents of the outputs."""
        x = split.along(x[:, : self.num_samples])
        slope = jax.jvp(units.activation, (x,), (jnp.ones_like(x),))[1]
        return slope[:, None, :] * tangent

    def row(self, step, history):
        """Mean tangent of the outputs."""
        size = step.mean.shape[1] / self.num_samples
        response = matmul(step.average[:, 0], jnp.sum(history.own, axis=2)) * size
        return matmul(response, step.matrices["propagator"]), response

    def advance(self, step, tangent, history, weights):
        """The tangent of the next state."""
        here = (jnp.arange(tangent.shape[1]) == step.t).astype(tangent.dtype)[:, None]
        dt = step.model.dt
        return (1 - dt) * tangent + dt * (here[None] + history.combine(weights))


class Score(AbstractResponse):
    r"""By the score function of random spins: $G_{t+1,s} = \langle\tanh(\beta h_t)\,\beta(\sigma_{s+1} - \tanh\beta
    h_s)\rangle$ for $s < t$, $G_{t+1,t} = \beta\langle 1 - \tanh^2\beta h_t\rangle$. For `Glauber` units."""

    def fit(self, units: Units, num_samples: int) -> None:
        """`Glauber` units."""
        if not isinstance(units, Glauber):
            fail(
                "response", f"Novikov() or Pathwise() for {type(units).__name__} units, which are not random", "Score()"
            )

    def begin(self, num_times, num_strata, num_samples, dtype):
        """No tangent; the scores of each field."""
        return jnp.zeros((0,), dtype), jnp.zeros((num_strata, num_samples), dtype)

    def remember(self, units, x, deviation, tangent, split):
        """The score of the field one time before."""
        return cast(Glauber, units).beta * deviation

    def row(self, step, history):
        """By the formula above."""
        beta = cast(Glauber, step.model.units).beta
        times = jnp.arange(len(step.normals))
        scores = jnp.roll(matmul(step.average[:, 0], history.project(step.mean)), -1)
        own = beta * jnp.sum(step.average * (1 - step.mean**2))
        response = jnp.where(times < step.t - 1, scores, jnp.where(times == step.t - 1, own, 0))
        return matmul(response, step.matrices["propagator"]), response

    def advance(self, step, tangent, history, weights):
        """Nothing to carry."""
        return tangent


def default_response(units: Units) -> AbstractResponse:
    """`Score()` for Glauber units, `Novikov()` for all others."""
    return Score() if isinstance(units, Glauber) else Novikov()


def _combine(weights: Float[Array, " times"], rows: Float[Array, "strata times ..."], pieces: int) -> Array:
    shape = (rows.shape[0], *rows.shape[2:])
    if rows.ndim > 3 and pieces > 1:  # to merge a split axis with others would gather it
        return jnp.einsum("t,kt...->k...", weights, rows, precision=jax.lax.Precision.HIGHEST)
    flat = rows.reshape(*rows.shape[:2], -1)
    weights = jnp.broadcast_to(weights, (len(rows), 1, len(weights)))
    return matmul(weights, flat).reshape(shape)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def tree_sum(x: Float[Array, "*batch samples"], pieces: int = 1) -> Float[Array, "*batch"]:
    """Sum over the last axis (its size a power of two), by halves: float32 sums of thousands of nearly equal terms in a
    row are off by 1e-4, which takes its positivity from the covariance of saturated outputs. Each of the `pieces` into
    which the axis is split is summed where it lies. Tangents, which need no such care, are summed as it comes."""
    if pieces > 1:
        cut = x.reshape(*x.shape[:-1], pieces, x.shape[-1] // pieces)
        return jnp.sum(tree_sum(cut), axis=-1)
    return _by_halves(x)


@tree_sum.defjvp
def _(pieces, primals, tangents):
    return tree_sum(primals[0], pieces), jnp.sum(tangents[0], axis=-1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def tree_product(
    x: Float[Array, "*batch times samples"], y: Float[Array, "*batch samples"], pieces: int = 1
) -> Float[Array, "*batch times"]:
    """`tree_sum` of x·y."""
    if pieces > 1:
        x, y = (a.reshape(*a.shape[:-1], pieces, a.shape[-1] // pieces) for a in (x, y))
        return jnp.sum(_by_halves(x, y[..., None, :, :]), axis=-1)
    return _by_halves(x, y[..., None, :])


@tree_product.defjvp
def _(pieces, primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    moved = matmul(dx, y[..., None]) + matmul(x, dy[..., None])
    return tree_product(x, y, pieces), moved[..., 0]


def _by_halves(x: Array, y: Array | None = None) -> Array:
    width = min(16, x.shape[-1])
    size = x.shape[-1] // width

    def part(i: int) -> Array:
        cut = x[..., i * size : (i + 1) * size]
        return cut if y is None else cut * y[..., i * size : (i + 1) * size]

    parts = [part(i) for i in range(width)]
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0][..., 0] if size == 1 else _by_halves(parts[0])
