r"""Derivatives of a mean-field solution that are right where paths jump: which paths take part.

Strong plasticity gives a site several states, and binary units always have two. The state in which a path ends jumps
with every parameter, so that a derivative along each path misses the paths that cross the border between states.
Neighbouring paths on lines see it:

    environment  the rows m, L, b of the solution drive all paths and are held fixed
    lines        z = z' + e y, where e moves the last state most; the nodes y are a grid, refined where outputs differ
    edges        join neighbouring nodes: means of x, φ, z, and the secant slope σ_t = Δφ_t/Δx_t
    tangent      δφ_t = σ_t δx_t, averaged over the edges, gives δm, δC, δb, and these move the edges (`_edges`)

The ratio δx/Δx of an edge is a weighted mean of the ratios along it. So it has no heavy tail, and an edge that
straddles a border carries the flux across it. Edges twice as long, with weight −1/3 beside 4/3 of the others, cancel
the error of second order in the length (Richardson).

The random spins of `Glauber` units are held fixed instead, and weighted by the derivative of their probability.
"""

import functools
import math
import operator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu

from .._checks import at_least, fail
from .._misc import matmul, nondifferentiable
from .._types import Array, Float, PRNGKey
from ._cue import AbstractCue
from ._edge_paths import Nodes, Walk, still
from ._edges import cue_at, rows_on_edges, rows_on_spins, split_tables
from ._model import AbstractPlasticModel
from ._pass import forces, run_pass, thermal_numbers
from ._rows import Rows
from ._schemes import advance_all, start_all
from ._sobol import is_balanced, normals, scrambled, uniforms

_SPAN = 4.5  # half the length of the lines, in standard deviations
_BEND = 2.0  # of the grid on a line, whose spacing grows by cosh(_BEND) from the centre to both ends


class Along(eqx.Module):
    """Derivatives along each path: those of the sample, exactly, without the paths that jump.

    They are wrong where sites have several states, and refused for `Sign` and `Glauber` units. Second derivatives need
    them.
    """


class Lines(eqx.Module):
    r"""Derivatives by neighbouring paths on lines: right where paths jump, for all units.

    They converge to the derivative of the theory as the number of paths grows, as values do; they are not those of the
    sample. First derivatives only.

    **Arguments:**

    - `num_lines`: lines of each randomisation, a power of two. `None` is a 128th of `num_samples`, at least 16: then
      a derivative takes about three times as long as the solution.
    - `num_nodes`: of the grid on each line, which reaches 4.5 standard deviations to both sides and is densest between.
    - `num_halvings`: how often the interval of a line in which the outputs differ most is halved. At last all intervals
      are.
    - `extrapolate`: whether Richardson's extrapolation cancels the error of second order in the length of the edges.
    """

    num_lines: int | None = eqx.field(static=True, default=None)
    num_nodes: int = eqx.field(static=True, default=17)
    num_halvings: int = eqx.field(static=True, default=12)
    extrapolate: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.num_lines is not None:
            is_balanced("Lines.num_lines", self.num_lines)
        at_least("Lines.num_nodes", self.num_nodes, 3)
        at_least("Lines.num_halvings", self.num_halvings, 0)

    def lines_for(self, num_samples: int) -> int:
        """The number of lines beside so many paths."""
        return max(16, num_samples // 128) if self.num_lines is None else int(self.num_lines)

    def numbers(self, strata: int, room: int, times: int, num_samples: int) -> int:
        """How many numbers one derivative keeps: states, outputs and directions of the nodes, and the directions of the
        edges with their tangents."""
        nodes = 2 * int(self.num_nodes + self.num_halvings) - 1
        edges = nodes - 1 + self.extrapolate * (nodes // 2)
        return self.lines_for(num_samples) * strata * ((2 * times + room) * nodes + (3 * room + 8) * edges)


ALONG, LINES = Along(), Lines()


@eqx.filter_custom_jvp
def run_pass_by_lines(model_and_cue, *, tolerance, key, lines: Lines, **sizes):
    """`run_pass`, whose rows have the derivative by `lines`. That is traced only if a derivative is asked for."""
    model, cue = model_and_cue
    return run_pass(model, cue, tolerance, key=key, **sizes)


@run_pass_by_lines.def_jvp
def _(primals, tangents, *, tolerance, key, lines, **sizes):
    ((model, cue),), (moves,) = primals, tangents
    if model.num_traces():
        fail("derivative", "Along() where plasticity sees other traces than what neurons send", "Lines()")
    rows, orthogonality = run_pass(model, cue, tolerance, key=key, **sizes)
    pair = nondifferentiable(
        (model, cue), "`derivative`: Lines() gives first derivatives only. Take Along() for second ones."
    )
    moved = rows_by_lines(pair[0], pair[1], still(rows), lines, key, sizes["num_samples"])
    return (rows, orthogonality), (eqx.filter_jvp(moved, (pair,), (moves,))[1], jnp.zeros_like(orthogonality))


def rows_by_lines(model, cue, rows: Rows, lines: Lines, key: PRNGKey, num_samples: int) -> Any:
    """A function of (model, cue) with the values `rows` and the derivative by lines."""
    if model.units.thermal:
        nodes = thermal_nodes(model, cue, rows, key, num_samples)
        return lambda pair: rows_on_spins(pair[0], pair[1], rows, nodes)
    nodes = line_nodes(model, cue, rows, lines, jr.fold_in(key, 1), lines.lines_for(num_samples))
    how: Any = {"extrapolate": lines.extrapolate, "num_samples": num_samples}
    return lambda pair: rows_on_edges(pair[0], pair[1], rows, nodes, **how)


def line_nodes(
    model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, lines: Lines, key: PRNGKey, num_lines: int
) -> Nodes:
    """Paths in the environment `rows` at the nodes of lines. Closed to gradients."""
    model, cue = still((model, cue))
    drive = _drive(model, rows)
    along, others = _axes(model, cue, drive.noise)
    points = uniforms(scrambled(len(along), num_lines, key=key), num_lines)
    offset, across = points[-1], normals(points[:-1])
    across = matmul(others, across - jnp.mean(across, axis=1, keepdims=True))
    walk = functools.partial(_walk, model, cue, drive, along, across)
    count = int(lines.num_nodes)
    even = (jnp.arange(count).astype(offset.dtype)[:, None] - 0.5 + offset[None]) * (2 / (count - 1)) - 1
    grid = (_SPAN / math.sinh(_BEND)) * jnp.sinh(_BEND * even)
    y = jnp.broadcast_to(grid[None], (cue.num_strata(model.units), *grid.shape))
    y = _refine(walk, y, int(lines.num_halvings))
    middles = jnp.pad((y[:, 1:] + y[:, :-1]) / 2, ((0, 0), (0, 1), (0, 0)))
    y = jnp.stack([y, middles], axis=2).reshape(len(y), -1, num_lines)[:, :-1]
    return Nodes(y, walk(y), along, across)


def thermal_nodes(model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, key: PRNGKey, num_samples: int) -> Nodes:
    """The paths of the solution itself with their random spins, as lines of one node. Closed to gradients."""
    model, cue = still((model, cue))
    num_times, room = rows.outputs.shape
    across, coins = thermal_numbers(model, cue, room - 1, num_times, num_samples, key)
    y = jnp.zeros((cue.num_strata(model.units), 1, num_samples), across.dtype)
    along = jnp.zeros(len(across), across.dtype)
    return Nodes(y, _walk(model, cue, _drive(model, rows), along, across, y, coins), along, across)


class _Drive(NamedTuple):
    """What acts on every path at each time, and how directions come from outputs."""

    signal: Float[Array, "times condensed"]
    noise: Float[Array, "times normals"]
    weights: Float[Array, "times rank"]
    earlier: Float[Array, "times rank"]
    size: Float[Array, " times"]
    new: Array
    along_pattern: Float[Array, " times"]
    along_cue: Float[Array, " times"]


def _drive(model: AbstractPlasticModel, rows: Rows) -> _Drive:
    """The fields that the rows of a solution make."""
    times, room = rows.outputs.shape
    exponential, dense = split_tables(model, times)
    index = jnp.arange(room)

    def body(carry, here):
        (memories, past, rank), (t, row, tables) = carry, here
        on, memories, past = forces(model, exponential, t, memories, tables, row.drive, past, None)
        later = rank + row.new.astype(rank.dtype)
        weights = jnp.where(index < later, on.crosstalk + on.plastic, 0)
        return (memories, past, later), (on.signal, on.noise, weights, jnp.where(index < rank, row.outputs, 0))

    blank = jnp.zeros((room, room), rows.outputs.dtype)
    start = (
        tuple(blank for _ in exponential),
        (jnp.zeros((times * bool(dense), room), blank.dtype),),
        jnp.zeros((), int),
    )
    _, on = jax.lax.scan(body, start, (jnp.arange(times), rows, dense))
    return _Drive(*on, jnp.where(rows.new, rows.innovation, 1), rows.new, *model.fields(times))


def _axes(model: AbstractPlasticModel, cue: AbstractCue, noise: Float[Array, "times normals"]) -> tuple[Array, Array]:
    """The direction e of the lines in the space of the normals of cue and noise, along which the last state moves most,
    and orthogonal ones in columns, ordered by how much the states of all times move."""
    first = jnp.zeros(cue.dims, noise.dtype)
    if cue.dims:
        first = jax.jacfwd(lambda z: cue.strata(model.units, z[:, None]).state[0, 0])(first)
    start = jnp.pad(first, (0, noise.shape[1]))

    def body(carry, here):
        (state, memory), (t, row) = carry, here
        return model.scheme.advance(t, state, row, memory, model.dt), state

    inputs = jnp.arange(len(noise)), jnp.pad(noise, ((0, 0), (cue.dims, 0)))
    _, states = jax.lax.scan(body, (start, model.scheme.start(start)), inputs)
    along = states[-1] + (start if cue.dims else 0)  # at dt = 1 nothing of the first state is left in the last
    along /= jnp.linalg.norm(along)
    # Directions in which the states hardly move would be chosen by rounding: then the normals themselves, in order.
    order = jnp.linspace(1e-3, 0, len(along), dtype=states.dtype) * jnp.linalg.norm(states)
    seen = jnp.concatenate([states, jnp.diag(order)])
    seen -= jnp.outer(matmul(seen, along), along)
    gram = matmul(seen.T, seen)
    _, vectors = jnp.linalg.eigh(gram - (1 + jnp.trace(gram)) * jnp.outer(along, along))  # the first one is e
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0, keepdims=True), axis=0)
    return along, (vectors * jnp.sign(largest))[:, :0:-1]


def _walk(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    drive: _Drive,
    along: Array,
    across: Array,
    y: Float[Array, "strata nodes lines"],
    coins: Array | None = None,
) -> Walk:
    """The paths at y."""
    strata, dims, site = cue_at(cue, model.units, along, across, y), cue.dims, model.site
    on_strata = lambda v: v[:, None, None]  # noqa: E731
    noise = matmul(drive.noise, across[dims:]), matmul(drive.noise, along[dims:])

    def body(carry, here):
        (x, inner, memory, directions, rank), (t, at, of_line, of_node, coin) = carry, here
        phi = model.units.activation(x)
        if coin is not None:
            phi = jnp.where(2 * uniforms(coin[None], x.shape[2])[None] - 1 < phi, 1, -1).astype(x.dtype)
        phi = jnp.where(t == 0, strata.output, phi)
        sent = site.sent(phi, inner)
        flat = sent.reshape(-1)
        rest = lambda: (flat - matmul(at.earlier, directions)) / at.size  # noqa: E731
        new = jax.lax.cond(at.new, rest, lambda: jnp.zeros_like(flat))
        directions = jax.lax.dynamic_update_index_in_dim(directions, new, rank, 0)
        field = on_strata(matmul(strata.signs, at.signal)) + of_line[None, None] + of_node * y
        field += matmul(at.weights, directions).reshape(x.shape)
        field += at.along_pattern * on_strata(strata.signs[:, 0]) + at.along_cue * strata.direction
        aim, rates = site.law(x, phi, inner, field)
        aims = aim, jtu.tree_map(operator.add, inner, rates)
        later, memory = advance_all(model.scheme, t, (x, inner), aims, memory, model.dt)
        seen = x, phi, inner, None if sent is phi else sent
        return (*later, memory, directions, rank + at.new.astype(rank.dtype)), seen

    blank = jnp.zeros((drive.earlier.shape[1], y.size), y.dtype)  # flat: reshaped in a step, XLA would copy it
    inner = site.start(strata.output)
    start = strata.state, inner, start_all(model.scheme, (strata.state, inner)), blank, jnp.zeros((), int)
    (*_, directions, _), seen = jax.lax.scan(body, start, (jnp.arange(len(drive.new)), drive, *noise, coins))
    return Walk(*seen, directions.reshape(-1, *y.shape))


def _refine(walk: Any, y: Float[Array, "strata nodes lines"], rounds: int) -> Float[Array, "strata more lines"]:
    r"""The nodes in order, with one more for each round: in the middle of that interval of a line in which
    $\sum_t|\Delta\phi_t|\,e^{-\bar y^2/2}\sqrt{\Delta y}$ is largest."""
    if not rounds:
        return y
    count, room = y.shape[1], y.shape[1] + rounds
    phi = walk(y).phi
    y, phi = jnp.pad(y, ((0, 0), (0, rounds), (0, 0))), jnp.pad(phi, ((0, 0), (0, 0), (0, rounds), (0, 0)))
    index = jnp.arange(room)[None, :, None]

    def insert(old: Array, new: Array, place: Array) -> Array:
        """`new` behind `place`, and what comes later one further on."""
        behind, there = (m.reshape((1,) * (old.ndim - 3) + m.shape) for m in (index > place, index == place + 1))
        return jnp.where(behind, jnp.where(there, new, jnp.roll(old, 1, axis=-2)), old)

    def body(carry, used):
        y, phi = carry
        width, middle = y[:, 1:] - y[:, :-1], (y[:, 1:] + y[:, :-1]) / 2
        change = jnp.sum(jnp.abs(phi[:, :, 1:] - phi[:, :, :-1]), axis=0)
        score = change * jnp.exp(-(middle**2) / 2) * jnp.sqrt(jnp.maximum(width, 0))
        place = jnp.argmax(jnp.where(index[:, :-1] < used - 1, score, -1), axis=1, keepdims=True)
        new = jnp.take_along_axis(middle, place, axis=1)
        return (insert(y, new, place), insert(phi, walk(new).phi, place)), None

    (y, _), _ = jax.lax.scan(body, (y, phi), count + jnp.arange(rounds))
    return y
