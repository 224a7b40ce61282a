r"""The effective single-site process and its order parameters, in one causal pass.

Row $t$ of every order parameter needs rows up to $t$ only, so nothing is iterated to self-consistency. The pass is cut
into a few blocks: each is a scan that reads the rows of all earlier blocks and writes its own, and is differentiated in
reverse from a checkpoint, so that a history is copied once a step only within its block.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._misc import matmul
from .._types import Array, PRNGKey, Scalar
from ._cue import AbstractCue, Strata
from ._kernels import plastic_weights
from ._network import AbstractPlasticModel
from ._response import AbstractResponse, History, Step, tree_sum
from ._sobol import normals, uniforms
from ._split import ONE_PIECE, Split
from ._units import Glauber

MAX_BLOCKS = 4
MIN_BLOCK = 16


class Rows(eqx.Module):
    """What one pass measures: overlaps (times, condensed), and the matrices (times, times)."""

    overlap: Array
    correlation: Array
    response: Array
    noise_covariance: Array
    crosstalk_feedback: Array
    plastic_feedback: Array
    energy: Array
    error_fraction: Array
    pivot: Array
    finite: Array


class _Carry(NamedTuple):
    x: Array
    phi: Array
    mean: Array
    levels: Array
    correlation: Array
    response: Array
    propagator: Array
    factor: Array
    inverse: Array
    ridge_factor: Array
    ridge_inverse: Array
    crosstalk: Array
    plastic: Array
    tangent: Array


class _Static(NamedTuple):
    """What does not change from block to block."""

    model: AbstractPlasticModel
    strata: Strata
    estimator: AbstractResponse
    jitter: Scalar
    split: Split


_MATRICES = ("correlation", "response", "propagator", "crosstalk", "plastic")
_FACTORS = ("factor", "inverse", "ridge_factor", "ridge_inverse")


def block_bounds(num_times: int) -> list[tuple[int, int]]:
    """First and last-plus-one time of each block."""
    size = max(MIN_BLOCK, -(-num_times // MAX_BLOCKS))
    return [(start, min(start + size, num_times)) for start in range(0, num_times, size)]


def run_process(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    estimator: AbstractResponse,
    jitter: Scalar,
    given: tuple[Array, Array, Array] | None,
    *,
    num_times: int,
    num_samples: int,
    key: PRNGKey,
    split: Split = ONE_PIECE,
) -> Rows:
    """One randomisation of the paths, through all times; with `given` (overlap, correlation, response) the paths are
    driven by those, and what is measured on them is what comes back."""
    thermal = isinstance(model.units, Glauber)
    points = split.along(uniforms(cue.dims + num_times * (1 + thermal), num_samples, key=key))
    strata = cue.strata(model.units, normals(points[: cue.dims]))
    strata = eqx.tree_at(lambda s: (s.state, s.output, s.direction), strata, replace_fn=split.along)
    points = points[cue.dims :]
    noise = split.along(normals(points[:: 1 + thermal]))
    coins = split.along(2 * points[1::2] - 1) if thermal else jnp.zeros((num_times, 0), noise.dtype)
    kernel = kernel_table(model, num_times)
    along_pattern, along_cue = model.fields(num_times)
    static = _Static(model, strata, estimator, jitter, split)

    num_strata = len(strata.weights)
    x, phi = strata.state, strata.output
    tangent, blank = estimator.begin(0, num_strata, num_samples, noise.dtype)
    empty = jnp.zeros((0, 0), noise.dtype)
    matrices = {name: empty for name in _MATRICES + _FACTORS}
    levels = jnp.zeros((len(strata.weights), 0), noise.dtype)
    carry = _Carry(x=x, phi=phi, mean=phi, levels=levels, tangent=tangent, **matrices)
    histories = tuple(jnp.zeros((len(a), 0, *a.shape[1:]), x.dtype) for a in (x, blank))
    emitted = []
    for start, stop in block_bounds(num_times):
        carry, histories = _grow(carry, histories, static, stop)
        here = (along_pattern[start:stop], along_cue[start:stop]), coins[start:stop]
        rows = kernel[(slice(start, stop),) + (slice(stop),) * (kernel.ndim - 1)]
        imposed = None
        if given is not None:
            overlap, correlation, response = given
            imposed = overlap[start:stop], correlation[start:stop, :stop], response[start:stop, :stop]
        times = jnp.arange(start, stop)
        carry, histories, out = _block(carry, histories, static, noise[:stop], (times, here, rows, imposed))
        emitted.append(out)
    overlap, energy, error_fraction, pivot, finite, measured = jtu.tree_map(
        lambda *parts: jnp.concatenate(parts), *[e[:5] + (_pad_rows(e[5], num_times),) for e in emitted]
    )
    noise_factor = model.noise_amplitude * matmul(carry.propagator, carry.factor)
    return Rows(
        overlap=overlap,
        correlation=measured[0],
        response=measured[1],
        noise_covariance=matmul(noise_factor, noise_factor.T),
        crosstalk_feedback=carry.crosstalk,
        plastic_feedback=carry.plastic,
        energy=energy,
        error_fraction=error_fraction,
        pivot=pivot,
        finite=finite,
    )


def kernel_table(model: AbstractPlasticModel, num_times: int) -> Array:
    """λK at all times, zeros without plasticity."""
    if model.kernel is None:
        return jnp.zeros((num_times, num_times), model.dt.dtype)
    return model.kernel.table(num_times, model.dt)


@eqx.filter_checkpoint
def _block(carry: _Carry, histories: Any, static: _Static, noise: Array, inputs: Any) -> Any:
    """A scan over the times of one block."""
    times = inputs[0]
    past = histories
    start = static.split.along([jnp.zeros((len(h), len(times), *h.shape[2:]), h.dtype) for h in past])
    step = functools.partial(_step, static=static, noise=noise, past=past)
    (carry, rows), out = jax.lax.scan(step, (carry, start), inputs)
    histories = tuple(jnp.concatenate([old, new], axis=1) for old, new in zip(past, rows, strict=True))
    return carry, static.split.along(histories), out


def _step(carry: tuple[_Carry, list], inputs: Any, *, static: _Static, noise: Array, past: Any) -> Any:
    (state, rows), (model, strata, estimator, jitter, split) = carry, static
    t, ((along_pattern, along_cue), coin), kernel_row, given = inputs
    outputs, history = (History(old, new, split) for old, new in zip(past, rows, strict=True))
    average = (strata.weights / state.x.shape[1])[:, None]
    index = jnp.arange(len(noise))

    # Order parameters of time t, from the paths. Histories hold outputs less their mean in each stratum, so that digits
    # are not lost to the mean.
    level = tree_sum(state.phi, pieces=split.pieces) / state.phi.shape[1]
    outputs = outputs.append(t, state.phi - level[:, None])
    levels = state.levels.at[:, t].set(level)
    spread = outputs.project(state.phi - level[:, None]) / state.phi.shape[1]
    correlation = matmul(strata.weights, spread + level[:, None] * levels)
    overlaps = matmul(strata.signs.T, strata.weights * tree_sum(state.mean, pieces=split.pieces) / state.phi.shape[1])
    at = Step(t, model, average, state.x, state.phi, state.mean, noise, state, split)
    answer, response, history = estimator.row(at, state.tangent, history)
    measured = correlation, response
    drive = overlaps
    if given is not None:
        drive, correlation, response = given
        answer = matmul(response, state.propagator)

    # Propagator, noise and feedback of time t.
    matrix = state.correlation.at[t].set(correlation).at[:, t].set(correlation)
    propagator = jnp.where(index == t, 1, model.propagation * answer)
    covariance = jnp.where(index <= t, model.noise_row(t, matrix), 0)
    variance = covariance[t]
    added = jitter * variance
    factor, inverse, pivot = _extend(state.factor, state.inverse, covariance, t, added)
    ridge = added + getattr(estimator, "ridge", 0.0) * variance
    ridge_factor, ridge_inverse, _ = _extend(state.ridge_factor, state.ridge_inverse, covariance, t, ridge)
    crosstalk = model.feedback_row(t, matrix, answer)
    plastic = plastic_weights(kernel_row, correlation)
    weights = crosstalk + plastic

    # The paths, one step on.
    eta = model.noise_amplitude * matmul(matmul(propagator, factor), noise)
    signal = matmul(strata.signs, model.signal(drive))[:, None]
    past = outputs.combine(weights) + matmul(levels, weights)[:, None]
    theta = along_pattern * strata.signs[:, :1] + along_cue * strata.direction
    x = (1 - model.dt) * state.x + model.dt * (signal + eta[None, :] + past + theta)
    mean = model.units.activation(x)
    phi = mean if coin.shape[0] == 0 else jnp.where(coin[None, :] < mean, 1, -1).astype(mean.dtype)
    tangent = estimator.advance(at, state.tangent, history, weights)

    weighted = average * state.mean
    energy = _own_energy(model, average, state)
    stored = jnp.sum(model.signal(drive) * overlaps) + jnp.sum(weighted * eta[None, :])
    stored += jnp.sum(crosstalk * measured[0])
    energy -= stored / model.order + 0.5 * jnp.sum(plastic * measured[0]) + jnp.sum(weighted * theta)
    along = strata.signs[:, :1] * state.mean
    wrong = 0.5 * (1 - (along if coin.shape[0] else jnp.sign(along)))
    out = (
        overlaps,
        energy,
        jnp.sum(average * wrong),
        pivot / variance,
        jnp.all(jnp.isfinite(state.x)) & jnp.all(jnp.isfinite(weights)) & (pivot > 0.5 * added),
        measured,
    )
    state = _Carry(
        x=x,
        phi=phi,
        mean=mean,
        levels=levels,
        correlation=matrix,
        response=state.response.at[t].set(response),
        propagator=state.propagator.at[t].set(propagator),
        factor=factor,
        inverse=inverse,
        ridge_factor=ridge_factor,
        ridge_inverse=ridge_inverse,
        crosstalk=state.crosstalk.at[t].set(crosstalk),
        plastic=state.plastic.at[t].set(plastic),
        tangent=tangent,
    )
    return (state, [outputs.block, history.block]), out


def _extend(factor: Array, inverse: Array, covariance: Array, t: Array, added: Scalar) -> tuple[Array, Array, Scalar]:
    """Cholesky factor and its inverse with row `t`, for the covariance with `added` on its diagonal, and the square of
    the pivot. Refinements make the products as good as a substitution, which would neither batch nor compile well."""
    index = jnp.arange(len(factor))
    here = (index == t).astype(factor.dtype)
    right = jnp.where(index < t, covariance, 0)
    row = matmul(inverse, right)
    for _ in range(2):
        row = jnp.where(index < t, row + matmul(inverse, right - matmul(factor, row)), 0)
    pivot = covariance[t] + added - jnp.sum(row * row)
    diagonal = jnp.sqrt(jnp.where(pivot > 0, pivot, 1))
    factor = factor.at[t].set(jnp.where(index == t, diagonal, row))
    # Row t of the inverse, y = (e_t - row·inverse)/diagonal, and what y·factor still lacks of e_t.
    inverse_row = (here - matmul(row, inverse)) / diagonal
    lacking = here - matmul(inverse_row, factor)
    inverse_row += matmul(lacking, inverse.at[t].set(inverse_row))
    return factor, inverse.at[t].set(inverse_row), pivot


def _own_energy(model: AbstractPlasticModel, average: Array, state: _Carry) -> Scalar:
    if isinstance(model.units, Glauber):
        return jnp.zeros((), state.x.dtype)
    return jnp.sum(average * (state.x * state.phi - model.units.elementwise(state.x)))


def _grow(carry: _Carry, histories: Any, static: _Static, size: int) -> Any:
    """Matrices with room for `size` times; factors have ones on the diagonal of what is not yet known."""
    old = len(carry.correlation)
    pad = ((0, size - old), (0, size - old))
    new = {name: jnp.pad(getattr(carry, name), pad) for name in _MATRICES}
    ones = jnp.diag((jnp.arange(size) >= old).astype(carry.x.dtype))
    new |= {name: jnp.pad(getattr(carry, name), pad) + ones for name in _FACTORS}
    new["levels"] = jnp.pad(carry.levels, ((0, 0), (0, size - old)))
    outputs, history = histories
    if carry.tangent.ndim > 1:  # rows of history have a time axis themselves
        extra = (0, 0), (0, size - carry.tangent.shape[1]), (0, 0)
        new["tangent"] = jnp.pad(carry.tangent, extra)
        history = jnp.pad(history, ((0, 0), (0, 0), *extra[1:]))
    return carry._replace(**new), (outputs, history)


def _pad_rows(rows: Any, size: int) -> Any:
    return jtu.tree_map(lambda a: jnp.pad(a, ((0, 0), (0, size - a.shape[1]))), rows)
