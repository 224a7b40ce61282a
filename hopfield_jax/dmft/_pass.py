r"""The effective single-site process and its order parameters, in one causal pass.

The paths' outputs are orthonormalised as they come, $\phi_t = \sum_k L_{tk}q_k$ with $\langle q_kq_l\rangle =
\delta_{kl}$, and each new direction $q_k$ brings fresh standard normals $z_k$. So $C = LL^\top$, the noise is $\eta =
aRLz$ with $a = \sqrt\alpha g$, and the correlations $b_{tk} = \langle\phi_tz_k\rangle = a(GRL)_{tk}$ (Novikov's theorem)
give everything else by $R = 1 + gGR$ and $F = \alpha g^2GR$: noise $\eta_t = (aL_t + gb_t)\cdot z$, crosstalk feedback
$\sum_s F_{ts}\phi_s = a\,b_t\cdot q$, plastic feedback $\lambda\sum_s K_{ts}C_{ts}\phi_s = (\sum_s \lambda K_{ts}L_sL_s^\top
L_t)\cdot q$. Nothing is solved, and nothing can lose positivity. The number of directions replaces that of the steps: it
stays small where outputs settle or are smooth in time.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._misc import matmul
from .._types import Array, Bool, Float, Int, PRNGKey, PyTree, Scalar, UInt32
from ._causal import causal_scan, known
from ._cue import AbstractCue, Strata
from ._kernels import Exponential, plastic_weights
from ._network import AbstractPlasticModel
from ._sobol import normals, scrambled, uniforms
from ._split import ONE_PIECE, Split
from ._units import Glauber

_HIGHEST = jax.lax.Precision.HIGHEST


class Rows(eqx.Module):
    """What one pass measures, one row a time (leading axes: times; in a result, randomisations before them)."""

    overlap: Float[Array, "*batch condensed"]
    """$m_t$"""
    outputs: Float[Array, "*batch rank"]
    """$L_t$, coefficients of the outputs on the directions"""
    innovation: Float[Array, "*batch"]
    """root mean square of what is left of the outputs beside the directions before t"""
    new: Bool[Array, "*batch"]
    """whether that became a direction"""
    sources: Float[Array, "*batch normals"]
    """$u_t$, weights of the normals in the crosstalk without its propagation (`AbstractPlasticModel.crosstalk`)"""
    answers: Float[Array, "*batch normals"]
    r"""$b_t = \langle\phi_tz\rangle = \sum_s (GR)_{ts}u_s$"""
    crosstalk: Float[Array, "*batch rank"]
    r"""weights of the directions in the crosstalk's feedback $\sum_{s<t}F_{ts}\phi_s$"""
    own: Float[Array, "*batch"]
    """$F_{tt}$"""
    energy: Float[Array, "*batch"]
    error_fraction: Float[Array, "*batch"]
    finite: Bool[Array, "*batch"]


class _Constants(NamedTuple):
    """What every step sees; `normals`, shape (normals, samples), of mean zero; `weights` of samples, (strata, 1)."""

    model: AbstractPlasticModel
    strata: Strata
    weights: Float[Array, "strata 1"]
    normals: Float[Array, "normals samples"]
    tolerance: Scalar


class _Input(NamedTuple):
    """What belongs to one time: fields along pattern and cue, the Sobol numbers of the coins behind its thermal spins
    (or `None`), rows of the kernel's tables, and imposed rows (or `None`)."""

    along_pattern: Scalar
    along_cue: Scalar
    coin: UInt32[Array, " numbers"] | None
    tables: tuple[Array, ...]
    given: Rows | None


class _State(NamedTuple):
    """Of every path its state; how many directions there are; memories of exponential kernels and of the scheme."""

    x: Float[Array, "strata samples"]
    rank: Int[Array, ""]
    memories: tuple[Float[Array, "rank rank"], ...]
    scheme: PyTree


def run_pass(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    tolerance: Scalar,
    given: Rows | None = None,
    *,
    num_times: int,
    num_samples: int,
    max_rank: int,
    key: PRNGKey,
    split: Split = ONE_PIECE,
) -> tuple[Rows, Scalar]:
    r"""One randomisation of the paths, through all times, and its loss of orthogonality $\max|\langle qq^\top\rangle -
    1|$. With `given` rows the paths are driven by those, and what is measured on them is what comes back."""
    thermal = isinstance(model.units, Glauber)
    dtype = tolerance.dtype
    count = model.num_normals(max_rank)
    numbers = scrambled(cue.dims + count + thermal * num_times, num_samples, key=key)
    draw = lambda numbers: normals(uniforms(numbers, num_samples))  # noqa: E731
    strata = cue.strata(model.units, draw(numbers[: cue.dims]))
    strata = eqx.tree_at(lambda s: (s.state, s.output, s.direction), strata, replace_fn=split.along)
    noise = split.along(draw(numbers[cue.dims : cue.dims + count]))
    noise -= jnp.mean(noise, axis=1, keepdims=True)
    weights = (strata.weights / num_samples)[:, None]
    tables = model.tables(num_times)
    exponential = tuple(table for table in tables if isinstance(table, Exponential))
    dense = tuple(table for table in tables if not isinstance(table, Exponential))
    memories = tuple(jnp.zeros((max_rank, max_rank), dtype) for _ in exponential)
    state = _State(strata.state, jnp.zeros((), int), memories, model.scheme.start(strata.state))
    inputs = _Input(*model.fields(num_times), numbers[cue.dims + count :] if thermal else None, dense, given)
    blank = (split.along(jnp.zeros((max_rank, *strata.state.shape), dtype)),)
    if dense:  # kernels given as tables ask for the outputs of all times
        blank += (jnp.zeros((num_times, max_rank), dtype),)
    constants = _Constants(model, strata, weights, noise, tolerance), exponential
    (directions, *_), rows = causal_scan(_step, constants, state, inputs, blank, split=split)
    directions, weights = jax.lax.stop_gradient((directions, weights))
    gram = jnp.einsum("iks,jks->ij", directions * weights[None], directions, precision=_HIGHEST)
    used = jnp.arange(max_rank) < jnp.sum(rows.new)
    return rows, jnp.max(jnp.abs(jnp.where(used[:, None], gram - jnp.eye(max_rank, dtype=dtype), 0)))


def _step(constants: Any, t: Array, state: _State, at: _Input, rows: tuple[Array, ...], done: Rows | None) -> Any:
    """Observe, crosstalk, plasticity, advance."""
    ((model, strata, weights, noise, tolerance), exponential), (x, rank, memories, memory) = constants, state
    room = len(rows[0])
    here, earlier = jnp.arange(room) == rank, jnp.arange(room) < rank
    phi = mean = jnp.where(t == 0, strata.output, model.units.activation(x))
    if at.coin is not None:
        coin = 2 * uniforms(at.coin[None], x.shape[1]) - 1
        phi = jnp.where(t == 0, strata.output, jnp.where(coin < mean, 1, -1).astype(x.dtype))

    # Observe: m_t, the row L_t of the outputs, and their direction if it is new.
    overlap = matmul(strata.signs.T, jnp.sum(weights * mean, axis=1))
    measured, direction, innovation, new = _project(rows[0], phi, weights, rank, tolerance, at.given, done)
    outputs, drive = measured, overlap
    if at.given is not None:
        outputs, drive = at.given.outputs, at.given.overlap
    combine = lambda w: _combine(jnp.where(earlier, w, 0), rows[0]) + jnp.sum(jnp.where(here, w, 0)) * direction  # noqa: E731

    # Crosstalk: noise (u_t + p b_t)·z, feedback (∂u/∂L_t)ᵀ b_t·q and, on itself, 2 ∂u/∂C_tt·b_t.
    used = model.crosstalk(earlier.astype(x.dtype), jnp.sum(earlier).astype(x.dtype)) != 0
    answers = jnp.where(used, matmul(noise, jnp.sum(weights * mean, axis=0)), 0)
    driven = answers if at.given is None else at.given.answers
    sources, pull = jax.vjp(model.crosstalk, outputs, jnp.sum(outputs**2))
    others, on_site = pull(driven)
    own = model.own_feedback + 2 * on_site
    crosstalk, noise_weights = others + own * outputs, sources + model.propagation * driven

    # Plasticity: λ Σ_s K_ts (L_t·L_s) L_s·q.
    sums = [m + jnp.where(t > 0, e.now, 0) * jnp.outer(outputs, outputs) for m, e in zip(memories, exponential, strict=True)]
    plastic = sum((matmul(total, outputs) for total in sums), jnp.zeros_like(outputs))
    memories = tuple(e.keep * m + e.add * jnp.outer(outputs, outputs) for m, e in zip(sums, exponential, strict=True))
    written = [(direction, jnp.minimum(rank, room - 1))]
    if at.tables:
        past = jnp.where(jnp.arange(len(rows[1])) < t, matmul(rows[1], outputs), 0)
        past = jnp.where(jnp.arange(len(past)) == t, jnp.sum(outputs**2), past)
        history = jnp.where((jnp.arange(len(past)) < t)[:, None], rows[1], 0)
        by_time = plastic_weights(at.tables, past)
        plastic += matmul(by_time, history) + jnp.sum(jnp.where(jnp.arange(len(past)) == t, by_time, 0)) * outputs
        written += [(outputs, t)]

    # Advance the paths.
    theta = at.along_pattern * strata.signs[:, :1] + at.along_cue * strata.direction
    signal = matmul(strata.signs, model.signal(drive))[:, None] + matmul(noise_weights, noise)[None]
    field = signal + combine(crosstalk + plastic) + theta
    new_x, memory = model.scheme.advance(t, x, field, memory, model.dt)
    state = _State(new_x, rank + new.astype(rank.dtype), memories, memory)

    # Energy and errors of time t.
    stored = jnp.sum(model.signal(drive) * overlap) + jnp.sum(noise_weights * answers) + jnp.sum(crosstalk * measured)
    energy = -stored / model.order - 0.5 * jnp.sum(plastic * measured) - jnp.sum(weights * mean * theta)
    if at.coin is None:
        energy += jnp.sum(weights * (x * phi - model.units.elementwise(x)))
    along = strata.signs[:, :1] * mean
    wrong = 0.5 * (1 - (jnp.sign(along) if at.coin is None else along))
    finite = jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(noise_weights)) & jnp.all(jnp.isfinite(crosstalk + plastic))
    out = Rows(
        overlap, measured, innovation, new, sources, answers, others, own, energy, jnp.sum(weights * wrong), finite
    )  # fmt: skip
    return state, tuple(written), out


def _project(
    directions: Array, phi: Array, weights: Array, rank: Array, tolerance: Scalar, given: Rows | None, done: Rows | None
) -> tuple[Array, Array, Array, Array]:
    """Coefficients of the outputs on all directions, the direction at `rank` (what stands there, if nothing is new),
    the root mean square of the rest, and whether it is new.

    Orthogonalised twice where a direction is added: once is not enough, in float32 directions would lose their
    orthogonality and the rank run away.
    """
    index = jnp.arange(len(directions))
    on_earlier = lambda y: jnp.where(index < rank, jnp.einsum("rks,ks->r", directions, weights * y, precision=_HIGHEST), 0)  # noqa: E731
    stands = jax.lax.dynamic_index_in_dim(directions, jnp.minimum(rank, len(directions) - 1), keepdims=False)
    row = on_earlier(phi)
    if given is not None:  # the direction is the outputs' rest beside those of the rows that drive the paths
        size = jnp.where(given.new, jnp.sum(jnp.where(index == rank, given.outputs, 0)), 1)
        rest = phi - _combine(jnp.where(index < rank, given.outputs, 0), directions)
        direction = jnp.where(given.new, rest / size, stands)
        own = jnp.sum(weights * direction * phi)
        return jnp.where((index == rank) & given.new, own, row), direction, given.innovation, given.new
    if done is None:
        rest = phi - _combine(row, directions)
        size = _size(weights, rest)
        new = (size > tolerance) & (rank < len(directions))
        again = lambda: (more := on_earlier(rest), rest - _combine(more, directions))  # noqa: E731
        more, rest = jax.lax.cond(new, again, lambda: (jnp.zeros_like(row), rest))
        row, size = row + more, jnp.where(new, _size(weights, rest), size)
    else:
        new = done.new
        row = known(jnp.where(index < rank, done.outputs, 0), row)
        rest = known(done.innovation * stands, phi - _combine(row, directions))
        size = known(done.innovation, _size(weights, rest))
    direction = jnp.where(new, rest / jnp.where(new, size, 1), stands)
    return row + jnp.where((index == rank) & new, size, 0), direction, size, new


def _size(weights: Array, rest: Array) -> Array:
    """Root mean square over the paths, without the derivative of a root at zero."""
    square = jnp.sum(weights * rest**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _combine(row: Array, directions: Array) -> Array:
    return jnp.einsum("r,rks->ks", row, directions, precision=_HIGHEST)
