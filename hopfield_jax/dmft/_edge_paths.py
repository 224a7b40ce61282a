"""Paths on edges between neighbouring nodes of lines: what their tangents follow (`_edges`)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._types import Array, Float, Int, PyTree, Scalar
from ._causal import known
from ._cue import Strata
from ._kernels import Exponential
from ._model import AbstractPlasticModel
from ._rows import Rows


class Walk(NamedTuple):
    """Paths at the nodes of lines: states, activities, inner variables and what is sent (`None` for the activities) at
    all times, and directions."""

    x: Float[Array, "times strata nodes lines"]
    phi: Float[Array, "times strata nodes lines"]
    inner: PyTree[Float[Array, "times strata nodes lines"]]
    sent: Float[Array, "times strata nodes lines"] | None
    directions: Float[Array, "rank strata nodes lines"]

    @property
    def outputs(self) -> Float[Array, "times strata nodes lines"]:
        """What is sent."""
        return self.phi if self.sent is None else self.sent


class Nodes(NamedTuple):
    """Paths at the nodes of lines, in order along each. In the space of all normals, those of the cue first, a node is
    `across` + `along` y."""

    y: Float[Array, "strata nodes lines"]
    paths: Walk
    along: Float[Array, " dims"]
    across: Float[Array, "dims lines"]


class Edges(NamedTuple):
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


class Constants(NamedTuple):
    model: AbstractPlasticModel
    exponential: tuple[Exponential, ...]
    strata: Strata
    edges: Edges


class At(NamedTuple):
    """What belongs to one time: fields, rows of the kernel's tables and of the environment, nodes, and averages over
    the nodes of each stratum of sq̂, s² and xφ − L(x)."""

    along_pattern: Scalar
    along_cue: Scalar
    tables: tuple[Array, ...]
    given: Rows
    x: Float[Array, "strata nodes lines"]
    phi: Float[Array, "strata nodes lines"]
    inner: PyTree[Float[Array, "strata nodes lines"]]
    sent: Float[Array, "strata nodes lines"] | None
    outputs: Float[Array, "strata rank"]
    square: Float[Array, " strata"]
    energy: Float[Array, " strata"]


class State(NamedTuple):
    """States and inner variables; logarithms of the probability of spins; M − 1; how many directions there are;
    memories."""

    x: Float[Array, "strata edges lines"]
    inner: PyTree[Float[Array, "strata edges lines"]]
    likelihood: Float[Array, "strata edges lines"]
    metric: Float[Array, "rank rank"]
    rank: Int[Array, ""]
    memories: tuple[Float[Array, "rank rank"], ...]
    scheme: PyTree


def still(tree: PyTree) -> PyTree:
    """`tree`, closed to gradients."""
    return jtu.tree_map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)


def ends(nodes: Any) -> tuple[Any, Any]:
    """Both ends of the edges (last axis but one) between neighbouring nodes, then of those over two intervals."""
    pair = lambda first, second: jnp.concatenate([first, second], axis=-2)  # noqa: E731
    return (
        pair(nodes[..., :-1, :], nodes[..., :-2:2, :]),
        pair(nodes[..., 1:, :], nodes[..., 2::2, :]),
    )


def on_strata(v: Float[Array, " strata"]) -> Float[Array, "strata 1 1"]:
    return v[:, None, None]


def secants(c: Constants, t: Array, state: State, at: At) -> tuple[Array, Array, Array, Array, Array]:
    """Of edges x, φ and again φ, the mean output, and how much of it has the wrong sign. Means over both ends, with
    secant slopes."""
    (a, b), (low, high) = ends(at.x), ends(at.phi)
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


def spins(c: Constants, t: Array, state: State, at: At) -> tuple[Array, Array, Array, Array, Array]:
    r"""Of paths x, the spin, its mean, the probability of the wrong one, and $\ln p$ of all spins up to now, which is
    zero in value. Its mean is zero as well, and taken off in each stratum."""
    units: Any = c.model.site.units
    strata, x = c.strata, known(at.x, state.x)
    mean = jnp.where(t == 0, strata.output, units.activation(x))
    phi = jnp.where(t == 0, strata.output, at.phi)
    wrong = 0.5 * (1 - strata.signs[:, :1, None] * mean)
    gained = jnp.where(t == 0, 0, jax.nn.log_sigmoid(2 * units.beta * x * at.phi))
    likelihood = state.likelihood + gained - jnp.mean(gained, axis=2, keepdims=True)
    return x, phi, mean, wrong, known(jnp.zeros_like(x), likelihood)


def of_site(
    c: Constants, t: Array, state: State, at: At, phi: Array, mean: Array
) -> tuple[PyTree[Array], Array, Array, Callable]:
    """Of neurons with inner variables these, what is sent, its thermal mean, and the law.

    Their functions are smooth: on an edge they have the mean slope over two points of Gauss's rule.
    """
    site = c.model.site
    if site.memoryless:
        return None, phi, mean, site.law
    if c.edges.thermal:
        hidden = jtu.tree_map(known, at.inner, state.inner)
        sent = site.sent(phi, hidden)
        up, down = (site.sent(jnp.full_like(mean, spin), hidden) for spin in (1, -1))
        expected = jnp.where(t == 0, sent, 0.5 * (up + down) + 0.5 * mean * (up - down))
        return hidden, sent, mean if sent is phi else expected, site.law
    middle = jtu.tree_map(lambda v: sum(ends(v)) / 2, at.inner)
    gaps = jtu.tree_map(lambda v: (ends(v)[1] - ends(v)[0]) / math.sqrt(12), (at.x, at.phi, at.inner))
    hidden = jtu.tree_map(known, middle, state.inner)

    def bent(function: Callable) -> Callable:
        def mean_of_two(*values: Any) -> Any:
            two = [function(*jtu.tree_map(lambda v, gap: v + side * gap, values, gaps)) for side in (1, -1)]  # noqa: B023
            return jtu.tree_map(lambda a, b: (a + b) / 2, *two)

        return mean_of_two

    law = lambda x, phi, y, field: bent(lambda x, phi, y: site.law(x, phi, y, field))(x, phi, y)  # noqa: E731
    if at.sent is None:
        return hidden, phi, phi, law
    sent = bent(lambda x, phi, y: site.sent(phi, y))(still(phi), phi, hidden)
    sent = known(sum(ends(at.sent)) / 2, sent)
    return hidden, sent, sent, law
