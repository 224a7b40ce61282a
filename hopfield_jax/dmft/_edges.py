r"""The tangent pass of `_lines`: automatic differentiation of the pass on edges between neighbouring paths.

All values are those of the environment, the rows of the solution: `known(value, formula)`. Derivatives are averages
over edges, each with the mass between its nodes. The directions, too, keep the environment's coefficients: $\hat q$,
with $\hat C_t = \langle\phi_t\hat q\rangle$ and $M = \langle\hat q\hat q^\top\rangle$. If $M = 1$ on the edges as
well, $M = NN^\top$ moves $L = \hat CN^{-\top}$ and $q = N^{-1}\hat q$. On the edges it is $\Gamma = \Lambda
\Lambda^\top$, which may be far from 1 for directions of small residual. Then

    δL_t = δĈ_t Γ⁻¹ − L_t ΛSᵀΛ⁻¹,   δq = δq̂ − ΛSΛ⁻¹ q̂,   S + Sᵀ = Λ⁻¹ δM Λ⁻ᵀ with S lower triangular.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.scipy.special import ndtr

from .._misc import inner, matmul
from .._types import Array, Float, Int, PyTree, Scalar
from ._causal import append, causal_scan, known
from ._cue import AbstractCue, Strata
from ._kernels import Exponential
from ._model import AbstractPlasticModel
from ._pass import forces
from ._rows import Drive, Rows


class Nodes(NamedTuple):
    """Paths at the nodes of lines, in order along each. In the space of all normals, those of the cue first, a node is
    `across` + `along` y."""

    y: Float[Array, "strata nodes lines"]
    x: Float[Array, "times strata nodes lines"]
    phi: Float[Array, "times strata nodes lines"]
    directions: Float[Array, "rank strata nodes lines"]
    along: Float[Array, " dims"]
    across: Float[Array, "dims lines"]


class _Edges(NamedTuple):
    """Edges, or paths with random spins (`thermal`): the mass of each, 1 in a stratum; where they are in the space of
    the noise's normals; $\\Lambda$ and its inverse; whether the outputs at first are those of the cue."""

    mass: Float[Array, "strata edges lines"]
    y: Float[Array, "strata edges lines"]
    along: Float[Array, " normals"]
    across: Float[Array, "normals lines"]
    factor: Float[Array, "rank rank"]
    inverse: Float[Array, "rank rank"]
    clamped: bool
    thermal: bool


class _Constants(NamedTuple):
    model: AbstractPlasticModel
    exponential: tuple[Exponential, ...]
    strata: Strata
    edges: _Edges


class _At(NamedTuple):
    """What belongs to one time: fields, rows of the kernel's tables and of the environment, nodes, and averages over
    the nodes of each stratum of φq̂, φ² and xφ − L(x)."""

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
    """States; logarithms of the probability of spins; M − 1; how many directions there are; memories."""

    x: Float[Array, "strata edges lines"]
    likelihood: Float[Array, "strata edges lines"]
    metric: Float[Array, "rank rank"]
    rank: Int[Array, ""]
    memories: tuple[Float[Array, "rank rank"], ...]
    scheme: PyTree


class _Histories(NamedTuple):
    """Flat over the edges: reshaped in a step, XLA would copy them."""

    directions: Float[Array, "rank paths"]
    seen: tuple[Float[Array, "times rank"], ...]


def rows_on_edges(
    model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, nodes: Nodes, *, extrapolate: bool, num_samples: int
) -> Rows:
    """Rows with the values of the environment and the derivative of the edges; to extrapolate, those over two intervals
    between nodes have the weight −1/3 beside 4/3 of the others."""
    left, right = _ends(nodes.y)
    long = -1 / 3 if extrapolate else 0.0
    weight = np.where(np.arange(left.shape[1]) < nodes.y.shape[1] - 1, 1 - long, long).astype(left.dtype)
    mass = weight[None, :, None] * (ndtr(right) - ndtr(left)) / left.shape[2]
    # Averages of products over a stratum take the nodes, since a product of means is not the mean of a product.
    of_node = jnp.zeros_like(nodes.y)
    for end in _ends(np.arange(nodes.y.shape[1])[:, None]):
        of_node = of_node.at[:, end[:, 0]].add(mass / 2)
    strata = still(cue_at(cue, model.units, nodes.along, nodes.across, nodes.y))
    share = _of_lines(strata, rows, nodes, of_node, num_samples)[None, None]
    return _rows(model, cue, rows, nodes, mass * share, (left + right) / 2, of_node * share, thermal=False)


def _of_lines(strata: Strata, rows: Rows, nodes: Nodes, of_node: Array, num_samples: int) -> Float[Array, " lines"]:
    r"""Weights of the lines, of mean 1, that bring the averages of $f = (\xi\phi_t, \phi_t^2)$ over lines towards $m_t$
    and $C_{tt}$ of the environment, which has more paths. The derivative then scatters less.

    Linear regression: $w_l = 1 + c\cdot(f_l - \bar f)$ with $(\Sigma + \Sigma')c = (m, C) - \bar f$, $\Sigma$ the
    covariance over lines and $\Sigma'$ that over paths times lines per path, for the error of the environment.
    """
    signed, num_lines = _on_strata(strata.signs[:, 0])[None] * nodes.phi, nodes.y.shape[2]
    square = jnp.sum(rows.outputs**2, axis=1) + jnp.where(rows.new, 0, rows.innovation**2)
    wanted = jnp.concatenate([rows.overlap[:, 0], square])
    f = jnp.concatenate([signed, nodes.phi**2]) - wanted[:, None, None, None]
    share = _on_strata(strata.weights) * of_node
    of_lines = num_lines * jnp.sum(share[None] * f, axis=(1, 2))
    mean = jnp.mean(of_lines, axis=1, keepdims=True)
    of_lines -= mean
    covariance = matmul(of_lines, of_lines.T) / num_lines
    covariance += (num_lines / num_samples) * matmul(_flat(share[None] * f), _flat(f).T)
    floor = jnp.finfo(f.dtype).eps * jnp.trace(covariance) * jnp.eye(len(f), dtype=f.dtype)
    change = matmul(jnp.linalg.solve(covariance + floor, mean[:, 0]), of_lines)
    return 1 - change / jnp.maximum(1, jnp.max(change) / 0.9)  # weights stay positive


def rows_on_spins(model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, nodes: Nodes) -> Rows:
    """The same for the paths of a solution with random spins, which are held fixed."""
    mass = jnp.full_like(nodes.y, 1 / nodes.y.shape[2])
    return _rows(model, cue, rows, nodes, mass, nodes.y, mass, thermal=True)


def split_tables(model: AbstractPlasticModel, num_times: int) -> tuple[tuple[Exponential, ...], tuple[Array, ...]]:
    """The tables of the kernel that are recursions, and the others."""
    tables = model.tables(num_times)
    exponential = tuple(table for table in tables if isinstance(table, Exponential))
    return exponential, tuple(table for table in tables if not isinstance(table, Exponential))


def still(tree: PyTree) -> PyTree:
    """`tree`, closed to gradients."""
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)


def cue_at(cue: AbstractCue, units: Any, along: Array, across: Array, y: Float[Array, "strata n lines"]) -> Strata:
    """States, outputs and directions of the cue at y, in its shape."""
    z = across[: cue.dims, None, None] + along[: cue.dims, None, None, None] * y[None]

    def one(z: Array, k: Array) -> Strata:
        strata = cue.strata(units, z.reshape(len(z), y[0].size))
        of_paths = lambda s: (s.state, s.output, s.direction)  # noqa: E731
        return eqx.tree_at(of_paths, strata, replace_fn=lambda a: a[k].reshape(y.shape[1:]))

    strata = jax.vmap(one, (1, 0))(z, jnp.arange(len(y)))
    return eqx.tree_at(lambda s: (s.signs, s.weights), strata, replace_fn=lambda a: a[0])


def _ends(nodes: Any) -> tuple[Any, Any]:
    """Both ends of the edges (last axis but one) between neighbouring nodes, then of those over two intervals."""
    pair = lambda first, second: jnp.concatenate([first, second], axis=-2)  # noqa: E731
    return (
        pair(nodes[..., :-1, :], nodes[..., :-2:2, :]),
        pair(nodes[..., 1:, :], nodes[..., 2::2, :]),
    )


def _flat(x: Float[Array, "n strata edges lines"]) -> Float[Array, "n paths"]:
    return x.reshape(len(x), -1)


def _on_strata(v: Float[Array, " strata"]) -> Float[Array, "strata 1 1"]:
    return v[:, None, None]


def _rows(model, cue, rows: Rows, nodes: Nodes, mass: Array, y: Array, of_node: Array, thermal: bool) -> Rows:
    """Sets up the scan over all times."""
    (num_times, room), dims, dtype = rows.outputs.shape, cue.dims, mass.dtype
    by_stratum = lambda x: jnp.moveaxis(x, 1, 0).reshape(x.shape[1], len(x), -1)  # noqa: E731
    weighted, directions = nodes.phi * of_node[None], jnp.swapaxes(by_stratum(nodes.directions), 1, 2)
    outputs = jnp.swapaxes(matmul(by_stratum(weighted), directions), 0, 1)
    square = jnp.sum(weighted * nodes.phi, axis=(2, 3))
    site = nodes.phi * nodes.x - still(model.units).elementwise(nodes.x)
    energy = jnp.zeros(outputs.shape[:2], dtype) if thermal else jnp.sum(of_node[None] * site, axis=(2, 3))

    strata = cue_at(cue, model.units, nodes.along, nodes.across, y)
    share = _on_strata(still(strata.weights)) * of_node
    gram = matmul(_flat(nodes.directions * share[None]), _flat(nodes.directions).T)
    factor = jnp.linalg.cholesky(gram + jnp.diag(jnp.where(jnp.diagonal(gram) == 0, 1, 0).astype(dtype)))
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(room, dtype=dtype), lower=True)
    edges = _Edges(mass, y, nodes.along[dims:], nodes.across[dims:], factor, inverse, not dims, thermal)

    exponential, dense = split_tables(model, num_times)
    memories = tuple(jnp.zeros((room, room), dtype) for _ in exponential)
    memory = model.scheme.start(strata.state)
    state = _State(
        strata.state, jnp.zeros_like(mass), jnp.zeros((room, room), dtype), jnp.zeros((), int), memories, memory
    )
    first, second = (nodes.directions,) * 2 if thermal else _ends(nodes.directions)
    histories = _Histories(_flat((first + second) / 2), (jnp.zeros((num_times * bool(dense), room), dtype),))
    a, b = model.fields(num_times)
    inputs = _At(a, b, dense, rows, nodes.x, nodes.phi, outputs, square, energy)
    return causal_scan(_step, _Constants(model, exponential, strata, edges), state, inputs, histories)[1]


def _step(
    c: _Constants, t: Array, state: _State, at: _At, histories: _Histories, done: Rows | None
) -> tuple[_State, _Histories, Rows]:
    """The pass on edges: outputs, the rows that they make, the field that those make."""
    model, strata, edges, given, rank = c.model, c.strata, c.edges, at.given, state.rank
    index = jnp.arange(len(histories.directions))
    x, phi, mean, wrong, likelihood = (_spins if edges.thermal else _secants)(c, t, state, at)
    weights = strata.weights
    density = edges.mass * (1 + state.likelihood)

    moved = _on_strata(weights) * density * mean
    overlap = known(given.overlap, matmul(strata.signs.T, jnp.sum(moved, axis=(1, 2))))
    used = model.crosstalk((index < rank).astype(x.dtype), rank.astype(x.dtype)) != 0
    answer = matmul(edges.across, jnp.sum(moved, axis=(0, 1))) + edges.along * jnp.sum(moved * edges.y)
    answers = known(given.answers, jnp.where(used, answer, 0))

    fixed = _on_strata(still(weights)) * density
    projections = matmul(histories.directions, (fixed * mean).reshape(-1)) + matmul(weights, at.outputs)
    square = jnp.sum(fixed * phi**2) + jnp.sum(weights * at.square)
    outputs, metric, turn = _coefficients(c, given, rank, state.metric, projections, square)
    innovation = known(given.innovation, jnp.where(given.new, inner(outputs, (index == rank).astype(x.dtype)), 0))

    driving = Drive.of(overlap, answers, outputs, {})
    on, memories, past = forces(model, c.exponential, t, state.memories, at.tables, driving, histories.seen, done)
    later = rank + given.new.astype(rank.dtype)
    plain = jnp.where(index < later, on.crosstalk + on.plastic, 0)
    back, directions = _feedback(given, rank, phi.reshape(-1), plain - matmul(plain, turn), histories.directions, done)

    theta = at.along_pattern * _on_strata(strata.signs[:, 0]) + at.along_cue * strata.direction
    field = _on_strata(matmul(strata.signs, on.signal)) + theta
    field += matmul(on.noise, edges.across)[None, None] + inner(on.noise, edges.along) * edges.y
    field += back.reshape(x.shape)
    new_x, memory = model.scheme.advance(t, x, field, state.scheme, model.dt)
    new_x = known(jnp.zeros_like(x), new_x)  # the value is that of the nodes

    energy = on.energy(model, overlap, outputs, answers) - jnp.sum(moved * theta) + jnp.sum(weights * at.energy)
    if not edges.thermal:  # xφ − L(x), whose derivative by x is xφ'
        energy += jnp.sum(fixed * (still(x) * phi - model.units.elementwise(still(x))))
    wrong = jnp.sum(_on_strata(weights) * density * wrong)
    rows = Rows(
        overlap, outputs, innovation, given.relative, given.new, on.noise, answers, on.others, on.own, energy, wrong,
        given.finite,
    )  # fmt: skip
    return _State(new_x, likelihood, metric, later, memories, memory), _Histories(directions, past), rows


def _feedback(
    given: Rows, rank: Array, phi: Array, weights: Array, directions: Array, done: Rows | None
) -> tuple[Array, Array]:
    """The weighted sum of directions, the present one included, and all with that.

    Directions are read once, and before the present one is appended: otherwise XLA copies all of them.
    """
    index = jnp.arange(len(directions))
    read = jnp.where(index[None] < rank, jnp.stack([given.outputs, weights]), 0)
    explained, earlier = matmul(read, directions)
    found = jax.lax.dynamic_index_in_dim(directions, rank, keepdims=False)  # all are there from the beginning
    new = jnp.where(given.new, (phi - explained) / jnp.where(given.new, given.innovation, 1), 0)
    new = known(found, new)
    own = jnp.sum(jnp.where((index == rank) & given.new, weights, 0))
    return earlier + own * new, append(directions, new, rank, done)


def _secants(c: _Constants, t: Array, state: _State, at: _At) -> tuple[Array, Array, Array, Array, Array]:
    """Of edges x, φ and again φ, the mean output, and how much of it has the wrong sign. Means over both ends, with
    secant slopes."""
    (a, b), (low, high) = _ends(at.x), _ends(at.phi)
    units, signs = c.model.units, c.strata.signs[:, :1, None]
    middle, rise, run = (low + high) / 2, high - low, b - a
    x = known((a + b) / 2, state.x)
    _, local = jax.jvp(still(units).activation, (still(x),), (jnp.ones_like(x),))
    # The local slope where the difference from it may be rounding.
    same = jnp.abs(rise - local * run) <= 8 * jnp.finfo(x.dtype).eps * (1 + jnp.abs(middle))
    slope = jnp.where(same, local, rise / jnp.where(same, 1, run))
    own = (units.activation(a) + units.activation(b)) / 2  # moves with the parameters of the units
    phi = known(middle, slope * x + own)
    if c.edges.clamped:
        phi = jnp.where(t == 0, middle, phi)
    wrong = lambda phi: 0.5 * (1 - jnp.sign(signs * phi))  # noqa: E731
    per_rise = jnp.where(rise == 0, 0, (wrong(high) - wrong(low)) / jnp.where(rise == 0, 1, rise))
    return x, phi, phi, known((wrong(low) + wrong(high)) / 2, per_rise * phi), state.likelihood


def _spins(c: _Constants, t: Array, state: _State, at: _At) -> tuple[Array, Array, Array, Array, Array]:
    r"""Of paths x, the spin, its mean, the probability of the wrong one, and $\ln p$ of all spins up to now, which is
    zero in value. Its mean is zero as well, and taken off in each stratum."""
    units: Any = c.model.units
    strata, x = c.strata, known(at.x, state.x)
    mean = jnp.where(t == 0, strata.output, units.activation(x))
    phi = jnp.where(t == 0, strata.output, at.phi)
    wrong = 0.5 * (1 - strata.signs[:, :1, None] * mean)
    gained = jnp.where(t == 0, 0, jax.nn.log_sigmoid(2 * units.beta * x * at.phi))
    likelihood = state.likelihood + gained - jnp.mean(gained, axis=2, keepdims=True)
    return x, phi, mean, wrong, known(jnp.zeros_like(x), likelihood)


def _coefficients(
    c: _Constants, given: Rows, rank: Array, metric: Array, projections: Array, square: Array
) -> tuple[Array, Array, Array]:
    r"""The row $L_t$, $M - 1$ with its new row, and $\Lambda S\Lambda^{-1}$.

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

    there = index < rank + new.astype(rank.dtype)
    inside = jnp.where(there[:, None], matmul(matmul(inverse, metric), inverse.T), 0)
    inside = jnp.tril(inside) * (1 - 0.5 * jnp.eye(len(index), dtype=row.dtype))
    seen += jnp.where(new, own, 0) * here
    moved = matmul(jnp.where(there, matmul(inverse, seen), 0), inverse)
    moved -= matmul(matmul(matmul(given.outputs, factor), inside.T), inverse)
    return known(given.outputs, moved), metric, matmul(matmul(factor, inside), inverse)
