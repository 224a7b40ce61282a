r"""The effective single-site process and its order parameters, in one causal pass.

Row $t$ of every order parameter needs rows up to $t$ only, so nothing is iterated to self-consistency. The pass is cut
into a few blocks, so that the rows of its first times are not as long as those of its last.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._misc import matmul
from .._types import Array, PRNGKey, PyTree, Scalar
from ._causal import Block, causal_scan
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


class _Static(NamedTuple):
    """What every step of a block sees; `noise`, shape (times of the block's end, samples)."""

    model: AbstractPlasticModel
    strata: Strata
    estimator: AbstractResponse
    jitter: Scalar
    noise: Array
    split: Split


class _Input(NamedTuple):
    """What belongs to one time: fields along pattern and cue, the uniform number in [-1, 1] behind each thermal spin
    that they lead to (or `None`), a row of the kernel, and rows of imposed order parameters (or `None`)."""

    along_pattern: Array
    along_cue: Array
    coin: Array | None
    kernel: Array
    given: tuple[Array, Array, Array] | None


class _State(NamedTuple):
    """Of every path; `mean`, of thermal spins, is `None` where the output is its own mean."""

    x: Array
    phi: Array
    mean: Array | None
    tangent: Array


class _Early(NamedTuple):
    """What a time leaves to later ones at once: outputs less their mean in each stratum (so that digits are not lost to
    the mean), those means, and what the estimator remembers."""

    outputs: Array
    levels: Array
    history: Array


# Late rows are those of the matrices.
_MATRICES = ("correlation", "response", "propagator", "factor", "inverse", "ridge_factor", "ridge_inverse")
_FACTORS = _MATRICES[3:]


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
    coins = split.along(2 * points[1::2] - 1) if thermal else None
    table = kernel_table(model, num_times)
    along_pattern, along_cue = model.fields(num_times)
    num_strata, dtype = len(strata.weights), noise.dtype

    def block(start: int, stop: int) -> Block:
        imposed = None
        if given is not None:
            overlap, correlation, response = given
            imposed = overlap[start:stop], correlation[start:stop, :stop], response[start:stop, :stop]
        tangent, history = jax.eval_shape(lambda: estimator.begin(stop, num_strata, num_samples, dtype))
        shape: Any = lambda *sizes: jax.ShapeDtypeStruct(sizes, dtype)  # noqa: E731
        paths = shape(num_strata, num_samples)
        return Block(
            constants=_Static(model, strata, estimator, jitter, noise[:stop], split),
            inputs=_Input(
                along_pattern[start:stop],
                along_cue[start:stop],
                None if coins is None else coins[start:stop],
                table[(slice(start, stop),) + (slice(stop),) * (table.ndim - 1)],
                imposed,
            ),
            state=_State(paths, paths, paths if thermal else None, tangent),
            early=_Early(
                shape(num_strata, stop, num_samples),
                shape(num_strata, stop),
                shape(history.shape[0], stop, *history.shape[1:]),
            ),
            late=shape(len(_MATRICES), stop, stop),
        )

    blocks = [block(*bounds) for bounds in block_bounds(num_times)]
    tangent = estimator.begin(0, num_strata, num_samples, dtype)[0]
    state = _State(strata.state, strata.output, strata.output if thermal else None, tangent)
    rows, out = causal_scan(_emit, _step, state, blocks, split=split)
    overlap, energy, error_fraction, pivot, finite, measured = jtu.tree_map(
        lambda *parts: jnp.concatenate(parts), *[(*o[:5], _pad_rows(o[5], num_times)) for o in out]
    )
    matrices = dict(zip(_MATRICES, rows, strict=True))
    noise_factor = model.noise_amplitude * matmul(matrices["propagator"], matrices["factor"])
    return Rows(
        overlap=overlap,
        correlation=measured[0],
        response=measured[1],
        noise_covariance=matmul(noise_factor, noise_factor.T),
        crosstalk_feedback=measured[2],
        plastic_feedback=measured[3],
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


def _emit(static: _Static, t: Array, state: _State, at: _Input) -> _Early:
    level = tree_sum(state.phi, static.split.pieces) / state.phi.shape[1]
    deviation = jnp.zeros_like(state.phi) if state.mean is None else state.phi - state.mean
    remembered = static.estimator.remember(static.model.units, state.x, deviation, state.tangent, static.split)
    return _Early(state.phi - level[:, None], level, remembered)


def _step(
    static: _Static, t: Array, state: _State, at: _Input, early: _Early, late: Array
) -> tuple[_State, Array, PyTree]:
    (model, strata, estimator, jitter, noise, split), (x, phi, mean, _) = static, state
    mean, size = phi if mean is None else mean, x.shape[1]
    average = (strata.weights / size)[:, None]
    index = jnp.arange(len(noise))
    outputs, history = History(early.outputs, t, split), History(early.history, t, split)
    matrices = _known(late, t)

    # Order parameters of time t, from the paths.
    levels = jnp.where(index <= t, early.levels, 0)
    spread = outputs.project(outputs.own) / size
    correlation = matmul(strata.weights, spread + levels[:, t, None] * levels)
    overlaps = matmul(strata.signs.T, strata.weights * tree_sum(mean, split.pieces) / size)
    seen = Step(t, model, average, mean, noise, matrices)
    answer, response = estimator.row(seen, history)
    measured = correlation, response
    drive = overlaps
    if at.given is not None:
        drive, correlation, response = at.given
        answer = matmul(response, matrices["propagator"])

    # Propagator, noise and feedback of time t.
    lower = matrices["correlation"].at[t].set(correlation)
    symmetric = lower + jnp.tril(lower, -1).T
    propagator = jnp.where(index == t, 1, model.propagation * answer)
    covariance = jnp.where(index <= t, model.noise_row(t, symmetric), 0)
    variance = covariance[t]
    added = jitter * variance
    ridge = added + getattr(estimator, "ridge", 0.0) * variance
    factor, inverse, pivot = _extend(matrices["factor"], matrices["inverse"], covariance, t, added)
    ridge_factor, ridge_inverse, _ = _extend(matrices["ridge_factor"], matrices["ridge_inverse"], covariance, t, ridge)
    crosstalk = model.feedback_row(t, symmetric, answer)
    plastic = plastic_weights(at.kernel, correlation)
    weights = jnp.where(index <= t, crosstalk + plastic, 0)

    # The paths, one step on.
    mixture = matmul(propagator, matrices["factor"].at[t].set(factor))
    eta = model.noise_amplitude * matmul(jnp.where(index <= t, mixture, 0), noise)
    signal = matmul(strata.signs, model.signal(drive))[:, None]
    past = outputs.combine(weights) + matmul(levels, weights)[:, None]
    theta = at.along_pattern * strata.signs[:, :1] + at.along_cue * strata.direction
    new = (1 - model.dt) * x + model.dt * (signal + eta[None, :] + past + theta)
    new_mean = new_phi = model.units.activation(new)
    if at.coin is not None:
        new_phi = jnp.where(at.coin[None, :] < new_mean, 1, -1).astype(new_mean.dtype)
    tangent = estimator.advance(seen, state.tangent, history, weights)

    weighted = average * mean
    energy = _own_energy(model, average, x, phi)
    stored = jnp.sum(model.signal(drive) * overlaps) + jnp.sum(weighted * eta[None, :])
    stored += jnp.sum(crosstalk * measured[0])
    energy -= stored / model.order + 0.5 * jnp.sum(plastic * measured[0]) + jnp.sum(weighted * theta)
    along = strata.signs[:, :1] * mean
    wrong = 0.5 * (1 - (jnp.sign(along) if at.coin is None else along))
    out = (
        overlaps,
        energy,
        jnp.sum(average * wrong),
        pivot / variance,
        jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(weights)) & (pivot > 0.5 * added),
        (*measured, crosstalk, plastic),
    )
    rows = jnp.stack([correlation, response, propagator, factor, inverse, ridge_factor, ridge_inverse])
    return _State(new, new_phi, None if at.coin is None else new_mean, tangent), rows, out


def _known(matrices: Array, t: Array) -> dict[str, Array]:
    """Rows before `t`; of the factors, ones on the rest of the diagonal."""
    index = jnp.arange(matrices.shape[-1])
    rest = jnp.diag((index >= t).astype(matrices.dtype))
    known = jnp.where(index[:, None] < t, matrices, 0)
    return {name: known[i] + rest if name in _FACTORS else known[i] for i, name in enumerate(_MATRICES)}


def _extend(factor: Array, inverse: Array, covariance: Array, t: Array, added: Scalar) -> tuple[Array, Array, Scalar]:
    """Row `t` of a Cholesky factor and of its inverse, for the covariance with `added` on its diagonal, and the square
    of the pivot. Refinements make products as good as a substitution, which would neither batch nor compile well."""
    index = jnp.arange(len(factor))
    here = (index == t).astype(factor.dtype)
    right = jnp.where(index < t, covariance, 0)
    row = matmul(inverse, right)
    for _ in range(2):
        row = jnp.where(index < t, row + matmul(inverse, right - matmul(factor, row)), 0)
    pivot = covariance[t] + added - jnp.sum(row * row)
    diagonal = jnp.sqrt(jnp.where(pivot > 0, pivot, 1))
    factor_row = jnp.where(index == t, diagonal, row)
    # Row t of the inverse, y = (e_t - row·inverse)/diagonal, and what y·factor still lacks of e_t.
    inverse_row = (here - matmul(row, inverse)) / diagonal
    lacking = here - matmul(inverse_row, factor.at[t].set(factor_row))
    return factor_row, inverse_row + matmul(lacking, inverse.at[t].set(inverse_row)), pivot


def _own_energy(model: AbstractPlasticModel, average: Array, x: Array, phi: Array) -> Scalar:
    if isinstance(model.units, Glauber):
        return jnp.zeros((), x.dtype)
    return jnp.sum(average * (x * phi - model.units.elementwise(x)))


def _pad_rows(rows: Any, size: int) -> Any:
    return jtu.tree_map(lambda a: jnp.pad(a, ((0, 0), (0, size - a.shape[1]))), rows)
