r"""The tangent pass of `_lines`: automatic differentiation of the pass on edges between neighbouring paths.

All values are those of the environment, the rows of the solution: `known(value, formula)`. Derivatives are averages
over edges, each with the mass between its nodes. The directions, too, keep the environment's coefficients: $\hat q$,
with $\hat C_t = \langle\phi_t\hat q\rangle$ and $M = \langle\hat q\hat q^\top\rangle$. If $M = 1$ on the edges as
well, $M = NN^\top$ moves $L = \hat CN^{-\top}$ and $q = N^{-1}\hat q$. On the edges it is $\Gamma = \Lambda
\Lambda^\top$, which may be far from 1 for directions of small residual. Then

    δL_t = δĈ_t Γ⁻¹ − L_t ΛSᵀΛ⁻¹,   δq = δq̂ − ΛSΛ⁻¹ q̂,   S + Sᵀ = Λ⁻¹ δM Λ⁻ᵀ with S lower triangular.
"""

import operator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.scipy.special import ndtr

from .._misc import inner, matmul
from .._types import Array, Float
from ._causal import append, causal_scan, known
from ._cue import AbstractCue, Strata
from ._edge_paths import At, Constants, Edges, Nodes, State, ends, of_site, on_strata, secants, spins, still
from ._kernels import Exponential
from ._model import AbstractPlasticModel
from ._pass import forces
from ._rows import Activity, Drive, Rows
from ._schemes import advance_all, start_all


class _Histories(NamedTuple):
    """Flat over the edges: reshaped in a step, XLA would copy them."""

    directions: Float[Array, "rank paths"]
    seen: tuple[Float[Array, "times rank"], ...]


def rows_on_edges(
    model: AbstractPlasticModel, cue: AbstractCue, rows: Rows, nodes: Nodes, *, extrapolate: bool, num_samples: int
) -> Rows:
    """Rows with the values of the environment and the derivative of the edges; to extrapolate, those over two intervals
    between nodes have the weight −1/3 beside 4/3 of the others."""
    left, right = ends(nodes.y)
    long = -1 / 3 if extrapolate else 0.0
    weight = np.where(np.arange(left.shape[1]) < nodes.y.shape[1] - 1, 1 - long, long).astype(left.dtype)
    mass = weight[None, :, None] * (ndtr(right) - ndtr(left)) / left.shape[2]
    # Averages of products over a stratum take the nodes, since a product of means is not the mean of a product.
    of_node = jnp.zeros_like(nodes.y)
    for end in ends(np.arange(nodes.y.shape[1])[:, None]):
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
    signed, num_lines = on_strata(strata.signs[:, 0])[None] * nodes.paths.outputs, nodes.y.shape[2]
    square = jnp.sum(rows.outputs**2, axis=1) + jnp.where(rows.new, 0, rows.innovation**2)
    wanted = jnp.concatenate([rows.overlap[:, 0], square])
    f = jnp.concatenate([signed, nodes.paths.outputs**2]) - wanted[:, None, None, None]
    share = on_strata(strata.weights) * of_node
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


def cue_at(cue: AbstractCue, units: Any, along: Array, across: Array, y: Float[Array, "strata n lines"]) -> Strata:
    """States, outputs and directions of the cue at y, in its shape."""
    z = across[: cue.dims, None, None] + along[: cue.dims, None, None, None] * y[None]

    def one(z: Array, k: Array) -> Strata:
        strata = cue.strata(units, z.reshape(len(z), y[0].size))
        of_paths = lambda s: (s.state, s.output, s.direction)  # noqa: E731
        return eqx.tree_at(of_paths, strata, replace_fn=lambda a: a[k].reshape(y.shape[1:]))

    strata = jax.vmap(one, (1, 0))(z, jnp.arange(len(y)))
    return eqx.tree_at(lambda s: (s.signs, s.weights), strata, replace_fn=lambda a: a[0])


def _flat(x: Float[Array, "n strata edges lines"]) -> Float[Array, "n paths"]:
    return x.reshape(len(x), -1)


def _rows(model, cue, rows: Rows, nodes: Nodes, mass: Array, y: Array, of_node: Array, thermal: bool) -> Rows:
    """Sets up the scan over all times."""
    (num_times, room), dims, dtype = rows.outputs.shape, cue.dims, mass.dtype
    by_stratum = lambda x: jnp.moveaxis(x, 1, 0).reshape(x.shape[1], len(x), -1)  # noqa: E731
    paths = nodes.paths
    weighted, directions = paths.outputs * of_node[None], jnp.swapaxes(by_stratum(paths.directions), 1, 2)
    outputs = jnp.swapaxes(matmul(by_stratum(weighted), directions), 0, 1)
    square = jnp.sum(weighted * paths.outputs, axis=(2, 3))
    site = paths.phi * paths.x - still(model.units).elementwise(paths.x)
    energy = jnp.zeros(outputs.shape[:2], dtype) if thermal else jnp.sum(of_node[None] * site, axis=(2, 3))

    strata = cue_at(cue, model.units, nodes.along, nodes.across, y)
    share = on_strata(still(strata.weights)) * of_node
    gram = matmul(_flat(paths.directions * share[None]), _flat(paths.directions).T)
    factor = jnp.linalg.cholesky(gram + jnp.diag(jnp.where(jnp.diagonal(gram) == 0, 1, 0).astype(dtype)))
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(room, dtype=dtype), lower=True)
    edges = Edges(mass, y, nodes.along[dims:], nodes.across[dims:], factor, inverse, not dims, thermal)

    exponential, dense = split_tables(model, num_times)
    memories = tuple(jnp.zeros((room, room), dtype) for _ in exponential)
    inner = model.site.start(strata.output)
    memory = start_all(model.scheme, (strata.state, inner))
    blank = jnp.zeros((room, room), dtype)
    state = State(strata.state, inner, jnp.zeros_like(mass), blank, jnp.zeros((), int), memories, memory)
    first, second = (paths.directions,) * 2 if thermal else ends(paths.directions)
    histories = _Histories(_flat((first + second) / 2), (jnp.zeros((num_times * bool(dense), room), dtype),))
    a, b = model.fields(num_times)
    inputs = At(a, b, dense, rows, *paths[:4], outputs, square, energy)
    return causal_scan(_step, Constants(model, exponential, strata, edges), state, inputs, histories)[1]


def _step(
    c: Constants, t: Array, state: State, at: At, histories: _Histories, done: Rows | None
) -> tuple[State, _Histories, Rows]:
    """The pass on edges: outputs, the rows that they make, the field that those make."""
    model, strata, edges, given, rank = c.model, c.strata, c.edges, at.given, state.rank
    index = jnp.arange(len(histories.directions))
    x, phi, mean, wrong, likelihood = (spins if edges.thermal else secants)(c, t, state, at)
    hidden, sent, expected, law = of_site(c, t, state, at, phi, mean)
    weights = strata.weights
    density = edges.mass * (1 + state.likelihood)

    moved = on_strata(weights) * density * expected
    overlap = known(given.overlap, _overlap(c, moved))
    used = model.crosstalk((index < rank).astype(x.dtype), rank.astype(x.dtype)) != 0
    answer = matmul(edges.across, jnp.sum(moved, axis=(0, 1))) + edges.along * jnp.sum(moved * edges.y)
    answers = known(given.answers, jnp.where(used, answer, 0))

    fixed = on_strata(still(weights)) * density
    projections = matmul(histories.directions, (fixed * expected).reshape(-1)) + matmul(weights, at.outputs)
    square = jnp.sum(fixed * sent**2) + jnp.sum(weights * at.square)
    outputs, metric, turn = _coefficients(c, given, rank, state.metric, projections, square)
    innovation = known(given.innovation, jnp.where(given.new, inner(outputs, (index == rank).astype(x.dtype)), 0))

    driving = Drive.of(overlap, answers, outputs, {})
    on, memories, past = forces(model, c.exponential, t, state.memories, at.tables, driving, histories.seen, done)
    later = rank + given.new.astype(rank.dtype)
    plain = jnp.where(index < later, on.crosstalk + on.plastic, 0)
    back, directions = _feedback(given, rank, sent.reshape(-1), plain - matmul(plain, turn), histories.directions, done)

    theta = at.along_pattern * on_strata(strata.signs[:, 0]) + at.along_cue * strata.direction
    field = on_strata(matmul(strata.signs, on.signal)) + theta
    field += matmul(on.noise, edges.across)[None, None] + inner(on.noise, edges.along) * edges.y
    field += back.reshape(x.shape)
    aim, rates = law(x, phi, hidden, field)
    aims = aim, jtu.tree_map(operator.add, hidden, rates)
    variables, memory = advance_all(model.scheme, t, (x, hidden), aims, state.scheme, model.dt)
    new_x, new_inner = jtu.tree_map(lambda v: known(jnp.zeros_like(v), v), variables)  # values are those of the nodes

    energy = on.energy(model, overlap, outputs, answers) - jnp.sum(moved * theta) + jnp.sum(weights * at.energy)
    if not edges.thermal:  # xφ − L(x), whose derivative by x is xφ'
        energy += jnp.sum(fixed * (still(x) * phi - model.units.elementwise(still(x))))
    wrong = jnp.sum(on_strata(weights) * density * wrong)
    activity = None if given.activity is None else _activity(c, given.activity, on_strata(weights) * density * mean)
    rows = Rows(
        overlap, outputs, innovation, given.relative, given.new, on.noise, answers, on.others, on.own, energy, wrong,
        given.finite, activity,
    )  # fmt: skip
    later_state = State(new_x, new_inner, likelihood, metric, later, memories, memory)
    return later_state, _Histories(directions, past), rows


def _overlap(c: Constants, moved: Array) -> Array:
    return matmul(c.strata.signs.T, jnp.sum(moved, axis=(1, 2)))


def _activity(c: Constants, given: Activity, moved: Array) -> Activity:
    with_cue = known(given.cue_overlap, jnp.sum(moved * c.strata.output))
    return Activity(known(given.overlap, _overlap(c, moved)), with_cue)


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


def _coefficients(
    c: Constants, given: Rows, rank: Array, metric: Array, projections: Array, square: Array
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
