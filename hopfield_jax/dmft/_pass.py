r"""The effective single-site process and its order parameters, in one causal pass.

The paths' outputs are orthonormalised step by step, $\phi_t = \sum_k L_{tk}q_k$ with $\langle q_kq_l\rangle =
\delta_{kl}$, with independent standard normals $z_k$ for each direction $q_k$. So $C = LL^\top$, the noise is $\eta =
aRLz$ with $a = \sqrt\alpha g$, and by Novikov's theorem $b_{tk} = \langle\phi_tz_k\rangle = a(GRL)_{tk}$. With $R = 1 +
gGR$ and $F = \alpha g^2GR$ these rows give all terms:

    noise        η_t = (a L_t + g b_t)·z
    crosstalk    Σ_s F_ts φ_s = a b_t·q
    plasticity   λ Σ_s K_ts C_ts φ_s = (Σ_s λK_ts L_s L_sᵀ) L_t·q

No linear system is solved, and the covariance stays positive. Cost scales with the number of directions instead of
steps, which is small where outputs settle or are smooth in time.

Outputs are what neurons send. What the plasticity sees behind and before a synapse may be something else, $p$ and $q$,
with coefficients $L^p$, $L^q$ on the same directions: then $Q_{ts} = L_t\cdot L^q_s$ stands for $C_{ts}$, and the sum
is $\sum_s\lambda K_{ts}L^p_sL_s^{q\top}$.
"""

import operator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._checks import all_finite
from .._misc import matmul
from .._types import Array, Float, Int, PRNGKey, PyTree, Scalar, UInt32
from ._causal import append, causal_scan, known
from ._cue import AbstractCue, Strata
from ._kernels import Exponential, plastic_weights
from ._model import AbstractPlasticModel
from ._rows import Activity, Drive, Rows, Trace
from ._schemes import advance_all, start_all
from ._sobol import normals, scrambled, uniforms
from ._split import ONE_PIECE, Split

_HIGHEST = jax.lax.Precision.HIGHEST


class _Constants(NamedTuple):
    """Constants of all steps; `normals`, shape (normals, samples), of mean zero; `weights` of samples, (strata, 1)."""

    model: AbstractPlasticModel
    exponential: tuple[Exponential, ...]
    strata: Strata
    weights: Float[Array, "strata 1"]
    normals: Float[Array, "normals samples"]
    tolerance: Scalar
    split: Split


class _Input(NamedTuple):
    """Inputs of one step: fields along pattern and cue, the Sobol numbers that draw thermal spins (or `None`), rows of
    the kernel's tables, and imposed rows (or `None`)."""

    along_pattern: Scalar
    along_cue: Scalar
    coin: UInt32[Array, " numbers"] | None
    tables: tuple[Array, ...]
    given: Rows | None


class _State(NamedTuple):
    """Carry of the scan: states of the paths and inner variables; largest size of outputs so far, and of every trace
    before it; number of directions; memories of exponential kernels and of the scheme."""

    x: Float[Array, "strata samples"]
    inner: PyTree[Float[Array, "strata samples"]]
    scale: tuple[Scalar, ...]
    rank: Int[Array, ""]
    memories: tuple[Float[Array, "rank rank"], ...]
    scheme: PyTree


class _Histories(NamedTuple):
    """Histories: directions q, one row each, over the paths of all strata (`Split.flat`); rows of what plasticity
    sees, behind and before a synapse if that differs, for kernels given as a table."""

    directions: Float[Array, "rank paths"]
    seen: tuple[Float[Array, "times rank"], ...]


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
    1|$. With `given` rows the paths are driven by those, and measured rows are returned."""
    thermal, dtype = model.units.thermal, tolerance.dtype
    room = max_rank + 1  # steps without a new direction write zeros to an unused row; the last row is always unused
    count = model.num_normals(room)
    numbers = scrambled(num_dimensions(model, cue, max_rank, num_times), num_samples, key=key)
    draw = lambda numbers: split.along(normals(uniforms(numbers, num_samples)))  # noqa: E731
    strata = cue.strata(model.units, draw(numbers[: cue.dims]))
    strata = eqx.tree_at(lambda s: (s.state, s.output, s.direction), strata, replace_fn=split.along)
    noise = draw(numbers[cue.dims : cue.dims + count])
    noise -= jnp.mean(noise, axis=1, keepdims=True)
    weights = (strata.weights / num_samples)[:, None]
    tables = model.tables(num_times)
    exponential = tuple(table for table in tables if isinstance(table, Exponential))
    dense = tuple(table for table in tables if not isinstance(table, Exponential))
    memories = tuple(jnp.zeros((room, room), dtype) for _ in exponential)
    inner = model.site.start(strata.output)
    traces = model.traces(strata.output, inner, model.site.sent(strata.output, inner))
    scales = (jnp.zeros((), dtype),) * (len(traces) + 1)
    scheme = start_all(model.scheme, (strata.state, inner))
    state = _State(strata.state, inner, scales, jnp.zeros((), int), memories, scheme)
    inputs = _Input(*model.fields(num_times), numbers[cue.dims + count :] if thermal else None, dense, given)
    seen = (jnp.zeros((num_times * bool(dense), room), dtype),) * (1 if traces.keys() <= {"both"} else 2)
    blank = _Histories(split.along(jnp.zeros((room, strata.state.size), dtype)), seen)
    constants = _Constants(model, exponential, strata, weights, noise, tolerance, split)

    def place(carry: tuple[_State, _Histories]) -> tuple[_State, _Histories]:
        state, histories = carry
        x, inner, scheme = split.along((state.x, state.inner, state.scheme))
        state = state._replace(x=x, inner=inner, scheme=scheme)
        return state, histories._replace(directions=split.along(histories.directions))

    histories, rows = causal_scan(_step, constants, state, inputs, blank, place=place)
    directions, weights = jax.lax.stop_gradient((histories.directions, weights))
    weights = split.flat(jnp.broadcast_to(weights, strata.state.shape))
    gram = matmul(directions * weights[None], directions.T)
    used = jnp.arange(room) < jnp.sum(rows.num_new)
    return rows, jnp.max(jnp.abs(jnp.where(used[:, None], gram - jnp.eye(room, dtype=dtype), 0)))


def num_dimensions(model: AbstractPlasticModel, cue: AbstractCue, max_rank: int, num_times: int) -> int:
    """Number of Sobol dimensions per sample: for the cue, the normals, and one per time for thermal spins."""
    return cue.dims + model.num_normals(max_rank + 1) + model.units.thermal * num_times


def thermal_numbers(
    model: AbstractPlasticModel, cue: AbstractCue, max_rank: int, num_times: int, num_samples: int, key: PRNGKey
) -> tuple[Array, Array]:
    """The normals of cue and noise of `run_pass` with this key, and the Sobol numbers of its coins."""
    numbers, first = scrambled(num_dimensions(model, cue, max_rank, num_times), num_samples, key=key), cue.dims
    drawn = normals(uniforms(numbers[: len(numbers) - num_times], num_samples))
    noise = drawn[first:] - jnp.mean(drawn[first:], axis=1, keepdims=True)
    return jnp.concatenate([drawn[:first], noise]), numbers[len(numbers) - num_times :]


def _step(
    c: _Constants, t: Array, state: _State, at: _Input, histories: _Histories, done: Rows | None
) -> tuple[_State, _Histories, Rows]:
    """Observe, crosstalk, plasticity, advance."""
    x, inner, site = state.x, state.inner, c.model.site
    phi, mean = _activities(c, t, x, at.coin)
    sent = site.sent(phi, inner)
    expected = mean if sent is phi else _expected(c, t, sent, mean, inner)
    overlap = _along(c, expected)
    seen = {**c.model.traces(phi, inner, sent), "sent": sent}
    traces, scales, rank, directions = _observe_all(c, seen, state, histories.directions, at.given, done)
    own = traces.pop("sent")
    outputs, answers = own.outputs, _answers(c, expected, state.rank, len(directions))
    # The paths are driven by their own measurements, unless other rows are imposed.
    drive = Drive.of(overlap, answers, outputs, traces) if at.given is None else at.given.drive
    on, memories, past = forces(c.model, c.exponential, t, state.memories, at.tables, drive, histories.seen, done)

    theta = at.along_pattern * c.strata.signs[:, :1] + at.along_cue * c.strata.direction
    known_weights = jnp.where(jnp.arange(len(outputs)) < rank, on.crosstalk + on.plastic, 0)
    field = matmul(c.strata.signs, on.signal)[:, None] + matmul(on.noise, c.normals)[None] + theta
    field += c.split.by_strata(matmul(known_weights, directions), len(x))
    aim, rates = site.law(x, phi, inner, field)
    aims = aim, jtu.tree_map(operator.add, inner, rates)
    (new_x, new_inner), memory = advance_all(c.model.scheme, t, (x, inner), aims, state.scheme, c.model.dt)

    energy = on.energy(c.model, overlap, outputs, answers) - jnp.sum(c.weights * expected * theta)
    if at.coin is None:
        energy += jnp.sum(c.weights * (x * phi - c.model.units.elementwise(x)))
    along = c.strata.signs[:, :1] * mean
    wrong = jnp.sum(c.weights * 0.5 * (1 - (jnp.sign(along) if at.coin is None else along)))
    finite = all_finite((x, inner, on.noise, on.crosstalk + on.plastic))
    activity = None if sent is phi else Activity(_along(c, mean), jnp.sum(c.weights * mean * c.strata.output))
    rows = Rows(
        overlap, outputs, own.innovation, own.relative, own.new, on.noise, answers, on.others, on.own, energy, wrong,
        finite, activity, traces,
    )  # fmt: skip
    return _State(new_x, new_inner, scales, rank, memories, memory), _Histories(directions, past), rows


def _along(c: _Constants, x: Array) -> Array:
    r"""$\langle\xi x\rangle$, of every condensed pattern."""
    return matmul(c.strata.signs.T, jnp.sum(c.weights * x, axis=1))


def _activities(c: _Constants, t: Array, x: Array, coin: Array | None) -> tuple[Array, Array]:
    """Activities and their thermal means (equal except for thermal spins); at the first time those of the cue."""
    phi = mean = c.model.units.activation(x)
    if coin is not None:
        phi = c.model.units.sample(mean, 2 * uniforms(coin[None], x.shape[1]) - 1)
    return jnp.where(t == 0, c.strata.output, phi), jnp.where(t == 0, c.strata.output, mean)


def _expected(c: _Constants, t: Array, sent: Array, mean: Array, inner: PyTree) -> Array:
    """Thermal means of what is sent: by a spin up, and by one down."""
    if not c.model.units.thermal:
        return sent
    up, down = (c.model.site.sent(jnp.full_like(mean, spin), inner) for spin in (1, -1))
    return jnp.where(t == 0, sent, 0.5 * (up + down) + 0.5 * mean * (up - down))


def _observe_all(
    c: _Constants,
    seen: dict[str, Array],
    state: _State,
    directions: Array,
    given: Rows | None,
    done: Rows | None,
) -> tuple[dict[str, Trace], tuple[Scalar, ...], Array, Array]:
    """Rows of all, the largest size of each so far, the number of directions, and these. Outputs are the last, so that
    they take a part in every direction: its normals act from now on."""
    found, scales, rank = {}, [], state.rank
    for (name, x), scale in zip(seen.items(), state.scale, strict=True):
        scales.append(scale := jnp.maximum(scale, jax.lax.stop_gradient(_size(c.weights, x))))
        imposed, known_rows = (None if rows is None else rows.traces.get(name, rows) for rows in (given, done))
        row, innovation, new, direction = _observe(c, x, rank, c.tolerance * scale, directions, imposed, known_rows)
        directions = append(directions, direction, rank, done)
        rank += new.astype(rank.dtype)
        found[name] = Trace(row, innovation, innovation / jnp.where(scale > 0, scale, 1), new)
    return found, tuple(scales), rank, directions


def _observe(
    c: _Constants, phi: Array, rank: Array, least: Array, directions: Array, given: Any, done: Any
) -> tuple[Array, Array, Array, Array]:
    """The row $L_t$ of the outputs on all directions; the root mean square of the residual after projection onto
    earlier ones; whether it exceeds `least` and becomes a direction; that direction (else zero).

    A new direction and its tangent are orthogonalised twice: with a single pass they lose orthogonality in float32 and
    the rank grows without bound.
    """
    index, shape = jnp.arange(len(directions)), phi.shape
    phi, weights = c.split.flat(phi), c.split.flat(jnp.broadcast_to(c.weights, shape))
    on_earlier = lambda y: jnp.where(index < rank, matmul(directions, weights * y), 0)  # noqa: E731
    row = on_earlier(phi)
    if given is not None:  # the residual with respect to the imposed rows
        size = jnp.where(given.new, given.innovation, 1)
        rest = phi - matmul(jnp.where(index < rank, given.outputs, 0), directions)
        direction = jnp.where(given.new, rest / size, 0)
        row = jnp.where((index == rank) & given.new, jnp.sum(weights * direction * phi), row)
        return row, given.innovation, given.new, direction
    if done is None:
        rest = phi - matmul(row, directions)
        size = _size(weights, rest)
        new = (size > least) & (rank < len(directions) - 1)
    else:
        new, size = done.new, done.innovation
        row = known(jnp.where(index < rank, done.outputs, 0), row)
        found = jax.lax.dynamic_index_in_dim(directions, rank, keepdims=False)
        rest = known(size * found, phi - matmul(row, directions))

    def again() -> tuple[Array, Array]:
        more = on_earlier(rest)
        more = more if done is None else known(jnp.zeros_like(more), more)
        better = rest - matmul(more, directions)
        return row + more, better if done is None else known(rest, better)

    row, rest = jax.lax.cond(new, again, lambda: (row, rest))
    size = jnp.where(new, _size(weights, rest), size) if done is None else known(size, _size(weights, rest))
    direction = jnp.where(new, rest / jnp.where(new, size, 1), 0)
    size = jnp.where(new, size, jax.lax.stop_gradient(size))
    return row + jnp.where((index == rank) & new, size, 0), size, new, direction


def _size(weights: Array, rest: Array) -> Array:
    """Root mean square over the paths, with a zero derivative at zero."""
    square = jnp.sum(weights * rest**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _answers(c: _Constants, mean: Array, rank: Array, room: int) -> Array:
    r"""$b_t = \langle\phi_tz\rangle$, set to zero for normals that have not acted on the paths yet."""
    earlier = (jnp.arange(room) < rank).astype(mean.dtype)
    used = c.model.crosstalk(earlier, jnp.sum(earlier)) != 0
    return jnp.where(used, matmul(c.normals, jnp.sum(c.weights * mean, axis=0)), 0)


class Forces(NamedTuple):
    """What acts on every site at one time: along the patterns, on the normals, and on the directions (`crosstalk` =
    `others` + own output times `own`, and `plastic`)."""

    signal: Float[Array, " condensed"]
    noise: Float[Array, " normals"]
    others: Float[Array, " rank"]
    own: Scalar
    crosstalk: Float[Array, " rank"]
    plastic: Float[Array, " rank"]

    def energy(self, model: AbstractPlasticModel, overlap: Array, outputs: Array, answers: Array) -> Scalar:
        """Of stored patterns and synapses."""
        stored = jnp.sum(self.signal * overlap) + jnp.sum(self.noise * answers) + jnp.sum(self.crosstalk * outputs)
        return -stored / model.order - 0.5 * jnp.sum(self.plastic * outputs)


def forces(
    model: AbstractPlasticModel,
    exponential: tuple[Exponential, ...],
    t: Array,
    memories: tuple[Array, ...],
    tables: tuple[Array, ...],
    drive: Drive,
    past: tuple[Array, ...],
    done: PyTree | None,
) -> tuple[Forces, tuple[Array, ...], tuple[Array, ...]]:
    r"""What the rows `drive` bring about, and the memories and rows of the synapses one time on.

    The feedback of earlier outputs is $(\partial u/\partial L_t)^\top\epsilon b_t$, by direction; that of the present
    output $2\,\partial u/\partial C_{tt}\cdot\epsilon b_t$ plus self-couplings.
    """
    outputs, answers = drive.outputs, drive.answers
    sources, pull = jax.vjp(model.crosstalk, outputs, jnp.sum(outputs**2))
    others, on_site = pull(model.returned(answers))
    own = model.own_feedback + 2 * on_site
    plastic, memories, past = _plasticity(exponential, t, memories, tables, drive, past, done)
    noise, crosstalk = sources + model.propagated(answers), others + own * outputs
    return Forces(model.signal(drive.overlap), noise, others, own, crosstalk, plastic), memories, past


def _plasticity(
    exponential: Any, t: Array, memories: Any, tables: Any, on: Drive, past: tuple[Array, ...], done: PyTree | None
) -> tuple[Array, tuple[Array, ...], tuple[Array, ...]]:
    r"""$\sum_s \lambda K_{ts} (L_t\cdot L^q_s) L^p_s$, by direction; updated memories and rows of $L^p$ and $L^q$."""
    square, plastic, later = jnp.outer(on.post, on.pre), jnp.zeros_like(on.outputs), []
    for memory, kernel in zip(memories, exponential, strict=True):
        total = memory + jnp.where(t > 0, kernel.now, 0) * square
        plastic += matmul(total, on.outputs)
        later.append(kernel.keep * total + kernel.add * square)
    if tables:
        past = tuple(append(rows, row, t, done) for rows, row in zip(past, (on.post, on.pre), strict=False))
        written = [jnp.where((jnp.arange(len(rows)) <= t)[:, None], rows, 0) for rows in past]
        plastic += matmul(plastic_weights(tables, matmul(written[-1], on.outputs)), written[0])
    return plastic, tuple(later), past
