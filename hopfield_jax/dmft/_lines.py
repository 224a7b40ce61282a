r"""Derivatives of a mean-field solution where paths jump.

Strong plasticity gives a site several states, and spins always have two. Which of them a path ends in jumps with every
parameter, so that a derivative along the path misses what the others do that cross the border. Here neighbouring paths
on lines tell of it:

    environment  the rows m, L, b of the solution drive all paths and are held fixed
    lines        z = z' + e y, where e moves the last state most; nodes y are a grid, halved where outputs differ most
    edges        of two neighbouring nodes: means of x, φ, z, and the secant slope σ_t = Δφ_t/Δx_t
    tangent      δφ_t = σ_t δx_t, averaged over edges with the mass between their nodes; these averages move the
                 environment, and that moves the edges: automatic differentiation of the pass on edges

The ratio δx/Δx of an edge is a weighted mean of the ratios along it. So it has no tail, and an edge that straddles a
border carries the flux across it. Edges twice as long, with mass −1/3 beside 4/3 of the others, take away the error of
second order.

The directions q are those of the environment as well, with fixed coefficients: $\hat q$. Their Gram matrix is $M = NN^\top
= 1$, and where it moves $L = \hat CN^{-\top}$ and $q = N^{-1}\hat q$ move with it, $\hat C_t = \langle\phi_t\hat q\rangle$.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jax.scipy.special import ndtr

from .._checks import at_least
from .._misc import inner, matmul, nondifferentiable
from .._types import Array, Float, Int, PRNGKey, PyTree, Scalar
from ._causal import append, causal_scan, known
from ._cue import AbstractCue, Strata
from ._kernels import Exponential
from ._network import AbstractPlasticModel
from ._pass import Forces, Rows, forces, run_pass
from ._sobol import normals, scrambled, uniforms

_SPAN = 4.5  # of the lines, in standard deviations to both sides


class Along(eqx.Module):
    """Derivatives along the paths: exact for the sample, blind for jumps. No derivative goes through `Sign` and
    `Glauber` units."""


class Lines(eqx.Module):
    r"""Derivatives by neighbouring paths on lines: right where paths jump, and for units that jump.

    **Arguments:**

    - `num_lines`: a power of two; `None`: a 32nd of the paths, at least 16.
    - `num_nodes`: of the grid on each line, over 4.5 standard deviations to both sides.
    - `num_halvings`: how many times a bin of the line is halved, each time that over which the outputs differ most. In
      the end all bins are.
    """

    num_lines: int | None = eqx.field(static=True, default=None)
    num_nodes: int = eqx.field(static=True, default=33)
    num_halvings: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        if self.num_lines is not None:
            at_least("Lines.num_lines", self.num_lines, 2)
        at_least("Lines.num_nodes", self.num_nodes, 3)
        at_least("Lines.num_halvings", self.num_halvings, 0)

    def lines(self, num_samples: int) -> int:
        """How many lines there are beside so many paths."""
        return max(16, num_samples // 32) if self.num_lines is None else self.num_lines


def still(tree: PyTree) -> PyTree:
    """`tree`, closed to gradients."""
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)


@eqx.filter_custom_jvp
def run_pass_by_lines(model_and_cue, *, tolerance, key, lines: Lines, **sizes):
    """`run_pass`, with the derivative of its rows by `Lines`, traced where one is asked for."""
    return run_pass(*model_and_cue, tolerance, key=key, **sizes)


@run_pass_by_lines.def_jvp
def _(primals, tangents, *, tolerance, key, lines, **sizes):
    ((model, cue),), (moves,) = primals, tangents
    rows, orthogonality = run_pass(model, cue, tolerance, key=key, **sizes)
    pair = nondifferentiable((model, cue), "`derivative`: Lines() has first derivatives only; take Along() for second.")
    rows = still(rows)
    nodes = line_nodes(*pair, rows, lines.lines(sizes["num_samples"]), lines, jr.fold_in(key, 1))
    moved = lambda pair: rows_on_edges(*pair, rows, nodes)  # noqa: E731
    d_rows = eqx.filter_jvp(moved, (pair,), (moves,))[1]
    return (rows, orthogonality), (d_rows, jnp.zeros_like(orthogonality))


# --- nodes ---


class Nodes(NamedTuple):
    """Paths at the nodes of lines, in order; K strata, J nodes a line, M lines, times first where there are such."""

    y: Float[Array, "strata nodes lines"]
    x: Float[Array, "times strata nodes lines"]
    phi: Float[Array, "times strata nodes lines"]
    directions: Float[Array, "rank strata nodes lines"]
    along: Float[Array, " dims"]
    """e"""
    across: Float[Array, "dims lines"]
    """z′, orthogonal to e"""


class _Drive(NamedTuple):
    """What acts on every path at a time."""

    signal: Float[Array, " condensed"]
    noise: Float[Array, " normals"]
    weights: Float[Array, " rank"]
    outputs: Float[Array, " rank"]
    size: Scalar
    new: Array
    along_pattern: Scalar
    along_cue: Scalar


def line_nodes(
    model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, num_lines: int, lines: Lines, key: PRNGKey
) -> Nodes:
    """Paths in the environment `rows` at the nodes of lines; closed to gradients."""
    model, cue = still((model, cue))
    drive = _drive(model, rows)
    along, principal = _axes(model, cue, drive.noise)
    points = uniforms(scrambled(len(along), num_lines, key=key), num_lines)
    offset, across = points[-1], normals(points[:-1])
    across = matmul(principal, across - jnp.mean(across, axis=1, keepdims=True))
    walk = functools.partial(_walk, model, cue, drive, along, across)
    width = 2 * _SPAN / (lines.num_nodes - 1)
    grid = (jnp.arange(lines.num_nodes).astype(offset.dtype) - 0.5)[:, None] * width - _SPAN + offset[None] * width
    y = jnp.broadcast_to(grid[None], (cue.num_strata(model.units), *grid.shape))
    y = _halve(walk, y, lines.num_halvings)
    middles = (y[:, 1:] + y[:, :-1]) / 2
    y = jnp.stack([y, jnp.pad(middles, ((0, 0), (0, 1), (0, 0)))], axis=2).reshape(len(y), -1, num_lines)[:, :-1]
    return Nodes(y, *walk(y), along, across)


def _drive(model: AbstractPlasticModel, rows: Rows) -> _Drive:
    """What the rows of a solution bring about, at every time."""
    times, room = rows.outputs.shape
    exponential, dense = split_tables(model, times)
    index = jnp.arange(room)

    def body(carry, at):
        (memories, past, rank), (t, row, tables) = carry, at
        on, memories, past = forces(
            model, exponential, t, memories, tables, (row.overlap, row.outputs, row.answers), past, None
        )
        later = rank + row.new.astype(rank.dtype)
        weights = jnp.where(index < later, on.crosstalk + on.plastic, 0)
        earlier = jnp.where(index < rank, row.outputs, 0)
        return (memories, past, later), (on.signal, on.noise, weights, earlier)

    blank = jnp.zeros((room, room), rows.outputs.dtype)
    start = tuple(blank for _ in exponential), jnp.zeros((times * bool(dense), room), blank.dtype), jnp.zeros((), int)
    _, on = jax.lax.scan(body, start, (jnp.arange(times), rows, dense))
    return _Drive(*on, jnp.where(rows.new, rows.innovation, 1), rows.new, *model.fields(times))


def split_tables(model: AbstractPlasticModel, num_times: int) -> tuple[tuple[Exponential, ...], tuple[Array, ...]]:
    """Tables of the kernel that are recursions, and the others."""
    tables = model.tables(num_times)
    exponential = tuple(table for table in tables if isinstance(table, Exponential))
    return exponential, tuple(table for table in tables if not isinstance(table, Exponential))


def _axes(model: AbstractPlasticModel, cue: AbstractCue, noise: Float[Array, "times normals"]) -> tuple[Array, Array]:
    """The direction e of lines in the space of cue and noise, in which the state of the last time moves most, and the
    others in columns, those first in which the states of all times move most."""
    first = jnp.zeros(cue.dims, noise.dtype)
    if cue.dims:
        first = jax.jacfwd(lambda z: cue.strata(model.units, z[:, None]).state[0, 0])(first)
    rows = jnp.pad(noise, ((0, 0), (cue.dims, 0)))
    start = jnp.pad(first, (0, noise.shape[1]))

    def body(carry, at):
        (state, memory), (t, row) = carry, at
        return model.scheme.advance(t, state, row, memory, model.dt), state

    _, states = jax.lax.scan(body, (start, model.scheme.start(start)), (jnp.arange(len(rows)), rows))
    along = states[-1] + (start if cue.dims else 0)
    along /= jnp.linalg.norm(along)
    states -= jnp.outer(matmul(states, along), along)
    gram = matmul(states.T, states)
    _, vectors = jnp.linalg.eigh(gram - (1 + jnp.trace(gram)) * jnp.outer(along, along))  # the first one is e itself
    return along, vectors[:, :0:-1]


def _start(cue: AbstractCue, units: Any, along: Array, across: Array, y: Array) -> Strata:
    """States, outputs and directions of the cue at every y, the same shape."""
    z = across[: cue.dims, None, None] + along[: cue.dims, None, None, None] * y[None]

    def one(z: Array, k: Array) -> Strata:
        strata = cue.strata(units, z.reshape(len(z), y[0].size))
        return eqx.tree_at(
            lambda s: (s.state, s.output, s.direction), strata, replace_fn=lambda a: a[k].reshape(y.shape[1:])
        )

    strata = jax.vmap(one, (1, 0))(z, jnp.arange(len(y)))
    return eqx.tree_at(lambda s: (s.signs, s.weights), strata, replace_fn=lambda a: a[0])


def _walk(
    model: AbstractPlasticModel, cue: AbstractCue, drive: _Drive, along: Array, across: Array, y: Array
) -> tuple[Array, Array, Array]:
    """States and outputs of all times, and directions, of the paths at y."""
    strata, dims = _start(cue, model.units, along, across, y), cue.dims
    wide = lambda v: v[:, None, None]  # noqa: E731
    noise = matmul(drive.noise, across[dims:]), matmul(drive.noise, along[dims:])

    def body(carry, here):
        (x, memory, directions, rank), (t, at, of_line, of_node) = carry, here
        phi = jnp.where(t == 0, strata.output, model.units.activation(x))
        mixed = lambda v: matmul(v, directions.reshape(len(v), -1)).reshape(x.shape)  # noqa: E731
        new = jax.lax.cond(at.new, lambda: (phi - mixed(at.outputs)) / at.size, lambda: jnp.zeros_like(phi))
        directions = jax.lax.dynamic_update_index_in_dim(directions, new, rank, 0)
        mixed = lambda v: matmul(v, directions.reshape(len(v), -1)).reshape(x.shape)  # noqa: E731
        field = wide(matmul(strata.signs, at.signal)) + of_line[None, None] + of_node * y + mixed(at.weights)
        field += at.along_pattern * wide(strata.signs[:, 0]) + at.along_cue * strata.direction
        later, memory = model.scheme.advance(t, x, field, memory, model.dt)
        return (later, memory, directions, rank + at.new.astype(rank.dtype)), (x, phi)

    blank = jnp.zeros((drive.outputs.shape[1], *y.shape), y.dtype)
    start = strata.state, model.scheme.start(strata.state), blank, jnp.zeros((), int)
    (*_, directions, _), (x, phi) = jax.lax.scan(body, start, (jnp.arange(len(drive.new)), drive, *noise))
    return x, phi, directions


def _halve(walk: Any, y: Float[Array, "strata nodes lines"], rounds: int) -> Float[Array, "strata more lines"]:
    r"""Nodes in order, with one more for each round: in the middle of the bin where $\sum_t|\Delta\phi_t|\,
    e^{-\bar y^2/2}\sqrt{\Delta y}$ is largest."""
    if not rounds:
        return y
    _, phi, _ = walk(y)
    room, count = y.shape[1] + rounds, y.shape[1]
    y = jnp.pad(y, ((0, 0), (0, rounds), (0, 0)))
    phi = jnp.pad(phi, ((0, 0), (0, 0), (0, rounds), (0, 0)))
    index = jnp.arange(room)[None, :, None]

    def insert(old: Array, new: Array, place: Array) -> Array:
        """`new` behind `place`; what comes later moves on."""
        before, there = (index <= place, index == place + 1)
        if old.ndim == 4:
            before, there = before[None], there[None]
        return jnp.where(before, old, jnp.where(there, new, jnp.roll(old, 1, axis=-2)))

    def body(carry, used):
        y, phi = carry
        width, middle = y[:, 1:] - y[:, :-1], (y[:, 1:] + y[:, :-1]) / 2
        change = jnp.sum(jnp.abs(phi[:, :, 1:] - phi[:, :, :-1]), axis=0)
        score = change * jnp.exp(-(middle**2) / 2) * jnp.sqrt(jnp.maximum(width, 0))
        place = jnp.argmax(jnp.where(index[:, :-1] < used - 1, score, -1), axis=1, keepdims=True)
        new = jnp.take_along_axis(middle, place, axis=1)
        _, output, _ = walk(new)
        return (insert(y, new, place), insert(phi, output, place)), None

    (y, _), _ = jax.lax.scan(body, (y, phi), count + jnp.arange(rounds))
    return y


# --- edges ---


class _Edges(NamedTuple):
    """Edges between nodes, the long ones behind the short; J of them a line."""

    mass: Float[Array, "strata edges lines"]
    """of one stratum 1"""
    y: Float[Array, "strata edges lines"]
    along: Float[Array, " normals"]
    across: Float[Array, "normals lines"]
    factor: Float[Array, "rank rank"]
    r"""$\Lambda$, and its `inverse`"""
    inverse: Float[Array, "rank rank"]
    clamped: bool
    """whether the outputs at first are the cue's"""


class _Constants(NamedTuple):
    model: AbstractPlasticModel
    exponential: tuple[Exponential, ...]
    strata: Strata
    edges: _Edges


class _At(NamedTuple):
    """What belongs to one time: rows of the environment, nodes, and averages over the nodes of a stratum."""

    along_pattern: Scalar
    along_cue: Scalar
    tables: tuple[Array, ...]
    given: Rows
    x: Float[Array, "strata nodes lines"]
    phi: Float[Array, "strata nodes lines"]
    outputs: Float[Array, "strata rank"]
    square: Float[Array, " strata"]
    energy: Float[Array, " strata"]


class _State(NamedTuple):
    x: Float[Array, "strata edges lines"]
    metric: Float[Array, "rank rank"]
    """M − 1"""
    rank: Int[Array, ""]
    memories: tuple[Float[Array, "rank rank"], ...]
    scheme: PyTree


class _Histories(NamedTuple):
    directions: Float[Array, "rank strata edges lines"]
    outputs: Float[Array, "times rank"]


def _ends(nodes: Float[Array, "*_ nodes lines"]) -> tuple[Array, Array]:
    """Both ends of all short edges and, behind them, of all that are twice as long."""
    pair = lambda first, second: jnp.concatenate([first, second], axis=-2)  # noqa: E731
    left = pair(nodes[..., :-1, :], nodes[..., :-2:2, :])
    return left, pair(nodes[..., 1:, :], nodes[..., 2::2, :])


def rows_on_edges(
    model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, nodes: Nodes, long: float = -1 / 3
) -> Rows:
    """Rows with the values of the environment and the derivative of the edges, `long` ones with that weight and short
    ones with what is missing to one."""
    num_times, room = rows.outputs.shape
    num_lines, dtype = nodes.y.shape[2], nodes.y.dtype
    left, right = _ends(nodes.y)
    short = jnp.arange(left.shape[1]) < nodes.y.shape[1] - 1
    mass = jnp.where(short, 1 - long, long)[None, :, None] * (ndtr(right) - ndtr(left)) / num_lines
    # Averages of products over a stratum take the nodes, not the means of edges.
    of_node = jnp.zeros_like(nodes.y)
    for end in _ends(np.arange(nodes.y.shape[1])[:, None]):
        of_node = of_node.at[:, end[:, 0]].add(mass / 2)
    weighted = nodes.phi * of_node[None]
    flat = lambda x: jnp.moveaxis(x, 1, 0).reshape(x.shape[1], len(x), -1)  # noqa: E731
    outputs = jnp.swapaxes(matmul(flat(weighted), jnp.swapaxes(flat(nodes.directions), 1, 2)), 0, 1)
    square = jnp.sum(weighted * nodes.phi, axis=(2, 3))
    energy = jnp.sum(weighted * nodes.x - of_node[None] * still(model.units).elementwise(nodes.x), axis=(2, 3))
    dims = cue.dims
    share = still(_start(cue, model.units, nodes.along, nodes.across, nodes.y).weights)[:, None, None] * of_node
    every = nodes.directions.reshape(room, -1)
    gram = matmul(every * share.reshape(1, -1), every.T)
    factor = jnp.linalg.cholesky(gram + jnp.diag(jnp.where(jnp.diagonal(gram) == 0, 1, 0).astype(dtype)))
    edges = _Edges(mass, (left + right) / 2, nodes.along[dims:], nodes.across[dims:], factor, jnp.linalg.inv(factor), not dims)
    strata = _start(cue, model.units, nodes.along, nodes.across, edges.y)
    exponential, dense = split_tables(model, num_times)

    inputs = _At(*model.fields(num_times), dense, rows, nodes.x, nodes.phi, outputs, square, energy)

    state = _State(
        strata.state,
        jnp.zeros((room, room), dtype),
        jnp.zeros((), int),
        tuple(jnp.zeros((room, room), dtype) for _ in exponential),
        model.scheme.start(strata.state),
    )
    blank = _Histories(jnp.zeros((room, *mass.shape), dtype), jnp.zeros((num_times * bool(dense), room), dtype))
    return causal_scan(_step, _Constants(model, exponential, strata, edges), state, inputs, blank)[1]


def _step(
    c: _Constants, t: Array, state: _State, at: _At, histories: _Histories, done: Rows | None
) -> tuple[_State, _Histories, Rows]:
    """The pass on edges: outputs, rows, and the field that they make."""
    model, strata, edges, given = c.model, c.strata, c.edges, at.given
    wide = lambda v: v[:, None, None]  # noqa: E731
    left, right = _ends(at.x)
    x, rank = known((left + right) / 2, state.x), state.rank
    index = jnp.arange(len(histories.directions))
    phi, wrong = _outputs(c, t, x, at)
    weights, fixed = strata.weights, still(strata.weights)
    mass = wide(weights) * edges.mass

    moved = mass * phi
    overlap = known(given.overlap, matmul(strata.signs.T, jnp.sum(moved, axis=(1, 2))))
    used = model.crosstalk((index < rank).astype(x.dtype), rank.astype(x.dtype)) != 0
    answer = matmul(edges.across, jnp.sum(moved, axis=(0, 1))) + edges.along * jnp.sum(moved * edges.y)
    answers = known(given.answers, jnp.where(used, answer, 0))

    # Ĉ_t and C_tt: products, whose averages over a stratum are those over its nodes.
    flat = lambda x: x.reshape(len(x), -1)  # noqa: E731
    moved = wide(fixed) * edges.mass * phi
    projections = matmul(flat(histories.directions), moved.reshape(-1)) + matmul(weights, at.outputs)
    square = jnp.sum(2 * moved * still(phi)) + jnp.sum(weights * at.square)
    outputs, innovation, metric, turn = _coefficients(c, given, rank, state.metric, projections, square)

    def rest() -> Array:
        earlier = jnp.where(index < rank, given.outputs, 0)
        return (phi - matmul(earlier, flat(histories.directions)).reshape(x.shape)) / given.innovation

    direction = jax.lax.cond(given.new, rest, lambda: jnp.zeros_like(phi))
    directions = append(histories.directions, direction, rank, done)
    rank += given.new.astype(rank.dtype)

    on, memories, past = forces(
        model, c.exponential, t, state.memories, at.tables, (overlap, outputs, answers), histories.outputs, done
    )
    plain = jnp.where(index < rank, on.crosstalk + on.plastic, 0)
    theta = at.along_pattern * wide(strata.signs[:, 0]) + at.along_cue * strata.direction
    field = wide(matmul(strata.signs, on.signal)) + theta
    field += matmul(on.noise, edges.across)[None, None] + inner(on.noise, edges.along) * edges.y
    field += matmul(plain - matmul(plain, turn), flat(directions)).reshape(x.shape)
    new_x, memory = model.scheme.advance(t, x, field, state.scheme, model.dt)
    new_x = known(jnp.zeros_like(x), new_x)  # the nodes have it

    site = wide(fixed) * edges.mass * (still(x) * phi - model.units.elementwise(still(x)))  # its derivative by x is φ
    energy = on.energy(model, overlap, outputs, answers) - jnp.sum(mass * phi * theta)
    energy += jnp.sum(site) + jnp.sum(weights * at.energy)
    rows = Rows(
        overlap, outputs, innovation, given.relative, given.new, on.sources, answers, on.others, on.own, energy,
        jnp.sum(mass * wrong), given.finite,
    )  # fmt: skip
    return _State(new_x, metric, rank, memories, memory), _Histories(directions, past), rows


def _outputs(c: _Constants, t: Array, x: Array, at: _At) -> tuple[Array, Array]:
    """Outputs on edges, means with secant slopes, and whether they have the wrong sign."""
    (a, b), (low, high) = _ends(at.x), _ends(at.phi)
    units, signs =  c.model.units, c.strata.signs[:, :1, None]
    middle, rise, run = (low + high) / 2, high - low, b - a
    _, local = jax.jvp(still(units).activation, ((a + b) / 2,), (jnp.ones_like(a),))
    # The slope in between where rounding may have made the difference.
    same = jnp.abs(rise - local * run) <= 8 * jnp.finfo(x.dtype).eps * (1 + jnp.abs(middle))
    slope = jnp.where(same, local, rise / jnp.where(same, 1, run))
    own = (units.activation(a) + units.activation(b)) / 2  # by the parameters of the units
    phi = known(middle, slope * x + own)
    if c.edges.clamped:
        phi = jnp.where(t == 0, middle, phi)
    wrong = lambda phi: 0.5 * (1 - jnp.sign(signs * phi))  # noqa: E731
    moves = jnp.where(rise == 0, 0, (wrong(high) - wrong(low)) / jnp.where(rise == 0, 1, rise))
    return phi, known((wrong(low) + wrong(high)) / 2, moves * phi)


def _coefficients(
    c: _Constants, given: Rows, rank: Array, metric: Array, projections: Array, square: Array
) -> tuple[Array, Array, Array, Array]:
    r"""The row $L_t$, its entry on a new direction, M − 1 with its row of the new direction, and T.

    $\hat q_r = (\phi_t - \sum_{k<r}L_{tk}\hat q_k)/p$ with $p = L_{tr}$ gives $\hat C_{tr}$ and $M_{rk}$.
    """
    index, factor, inverse = jnp.arange(len(metric)), c.edges.factor, c.edges.inverse
    new, size = given.new, jnp.where(given.new, given.innovation, 1)
    earlier = jnp.where(index < rank, given.outputs, 0)
    seen = known(earlier, jnp.where(index < rank, projections, 0))
    own = known(size, (square - inner(earlier, seen)) / size)
    row = jnp.where(index < rank, seen - earlier - matmul(earlier, metric), 0) / size
    row += jnp.where(index == rank, (own - size - inner(earlier, row)) / size, 0)
    row = known(jnp.zeros_like(row), jnp.where(new, row, 0))
    here = (index == rank).astype(row.dtype)
    metric += jnp.outer(here, row) + jnp.outer(row * (1 - here), here)

    used = index < rank + new.astype(rank.dtype)
    inside = matmul(matmul(inverse, metric), inverse.T)
    inside = jnp.tril(jnp.where(used[:, None], inside, 0)) * (1 - 0.5 * jnp.eye(len(index), dtype=row.dtype))
    full = seen + jnp.where((index == rank) & new, own, 0)
    full = matmul(jnp.where(used, matmul(inverse, full), 0), inverse)
    full -= matmul(matmul(matmul(given.outputs, factor), inside.T), inverse)
    outputs = known(given.outputs, full)
    innovation = known(given.innovation, jnp.where(new, inner(outputs, here), 0))
    return outputs, innovation, metric, matmul(matmul(factor, inside), inverse)
