"""Learning rules: functions of patterns that return couplings."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Real

from .._checks import (
    Rules,
    at_least,
    fail,
    is_concrete,
    key_fits,
    kind,
    shape_is,
    sieved,
    signed_patterns,
)
from .._couplings import AbstractCouplings, DenseCouplings, OuterProducts, SparseCouplings, couplings_fit
from .._misc import alike, matmul, nan_unless
from .._types import Array, ArrayLike, Float, Int, Patterns, PRNGKey, ScalarLike
from ._coding import AbstractCoding


def hebbian(
    patterns: Real[ArrayLike, "patterns neurons"],
    weights: Real[ArrayLike, " patterns"] | None = None,
    *,
    self_coupling: bool = False,
) -> OuterProducts:
    r"""Hebb's rule (Hopfield 1982), $J_{ij} = \frac1N\sum_\mu w_\mu\xi^\mu_i\xi^\mu_j$.

    **Arguments:** `patterns`, shape (patterns, neurons); `weights`, $w$ (the saliencies of `hopfield_jax.sequential`),
    shape (patterns,), one each by default; `self_coupling`, whether the diagonal (the load, for ±1) is kept.

    **Returns:** an `OuterProducts`. **Raises:** `ValueError` for patterns that are empty, not finite, or of 0 and 1.

    ```python
    import jax
    import hopfield_jax as hj

    couplings = hj.classical.hebbian(hj.random_patterns(5, 100, key=jax.random.key(0)))
    assert couplings.symmetric and couplings.matrix().shape == (100, 100)
    ```
    """
    patterns = signed_patterns("patterns", patterns)
    if weights is not None:
        weights = Rules().real("weights", weights, "finite", shape=patterns.shape[:1], names="(patterns,)")
    return OuterProducts(patterns.T, weights=weights, self_coupling=self_coupling)


def covariance(
    patterns: Real[ArrayLike, "patterns neurons"], coding: AbstractCoding, *, self_coupling: bool = False
) -> OuterProducts:
    r"""Hebb's rule for patterns with a mean, $J_{ij} = \frac{1}{Nv}\sum_\mu(\xi^\mu_i - a)(\xi^\mu_j - a)$.

    With `Bits(f)`: $a = f$, $v = f(1 - f)$ (Tsodyks and Feigel'man 1988). With `Spins(a)`: $v = 1 - a^2$ (Amit,
    Gutfreund and Sompolinsky 1987).

    **Arguments:** `patterns`, shape (patterns, neurons), in the values of `coding`, which defines mean and variance;
    `self_coupling` as in `hebbian`.

    **Returns:** an `OuterProducts`. **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    coding = hj.classical.Bits(0.1)
    patterns = hj.sparse_patterns(5, 500, 0.1, key=jax.random.key(0))
    network = hj.classical.BinaryNetwork(hj.classical.covariance(patterns, coding), threshold=0.5, coding=coding)
    assert (network.update(patterns[0]) == patterns[0]).all()
    ```
    """
    if not isinstance(coding, AbstractCoding):
        fail("coding", "`Spins(mean)` or `Bits(mean)`", kind(coding))
    rules = Rules()
    patterns = rules.patterns("patterns", patterns)
    coding.entries_fit(rules, "patterns", patterns)
    rows: Array = nan_unless(rules.valid, patterns) - coding.mean
    weights = jnp.broadcast_to(1 / coding.variance, rows.shape[:1]).astype(rows.dtype)
    return OuterProducts(rows.T, weights=weights, self_coupling=self_coupling)


def palimpsest(
    patterns: Real[ArrayLike, "patterns neurons"], decay: ScalarLike, *, self_coupling: bool = False
) -> OuterProducts:
    r"""Hebb's rule with decay (Mézard, Nadal and Toulouse 1986): the newest pattern is the **last** row, and
    $J_{ij} = \frac1N\sum_\mu e^{-\text{decay}\,k_\mu/N}\,\xi^\mu_i\xi^\mu_j$ with $k_\mu$ the number of patterns learnt
    after $\mu$.

    Old patterns decay before their crosstalk prevents retrieval. In their notation the decay is $\varepsilon^2/2$.

    **Arguments:** `patterns`, shape (patterns, neurons), in the order of learning; `decay` ≥ 0; `self_coupling` as in
    `hebbian`.

    **Returns:** an `OuterProducts`. **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(400, 400, key=jax.random.key(0))  # load 1
    network = hj.classical.BinaryNetwork(hj.classical.palimpsest(patterns, decay=8.0))
    assert hj.overlap(patterns, network.update(patterns[-1]))[-1] > 0.99
    ```
    """
    # 16-bit weights would be inaccurate.
    patterns, _ = alike(signed_patterns("patterns", patterns), jnp.zeros((), jnp.float32))
    shape_is("decay", decay, ())
    decay = sieved("decay", decay, "nonnegative")
    age = jnp.arange(patterns.shape[0])[::-1].astype(patterns.dtype)
    weights = jnp.exp(-decay.astype(patterns.dtype) * age / patterns.shape[1])
    return OuterProducts(patterns.T, weights=weights, self_coupling=self_coupling)


def sequence(
    patterns: Real[ArrayLike, "patterns neurons"], *, cyclic: bool = True, self_coupling: bool = False
) -> OuterProducts:
    r"""Asymmetric Hebb's rule (Amari 1972), by which each pattern is followed by the next:
    $J_{ij} = \frac1N\sum_\mu\xi^{\mu+1}_i\xi^\mu_j$.

    It needs synchronous updates, which keep the overlap near 1 at small loads. Under `Asynchronous` updates later
    neurons react to the next pattern in earlier ones, and patterns mix: of 10 patterns of 2000 neurons the largest
    overlap is 0.55 after one step, 0.46 after five and 0.39 after twenty. For sequences that dwell at each pattern see
    `hopfield_jax.sequential`.

    **Arguments:** `patterns`, shape (patterns, neurons), in their order; `cyclic`, whether the last is followed by the
    first; `self_coupling` as in `hebbian`.

    **Returns:** an `OuterProducts`. **Raises:** `ValueError` for patterns that do not fit, or fewer than two of them.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(5, 200, key=jax.random.key(0))
    network = hj.classical.BinaryNetwork(hj.classical.sequence(patterns))
    assert hj.overlap(patterns, network.update(patterns[4]))[0] > 0.95
    ```
    """
    patterns = signed_patterns("patterns", patterns)
    if len(patterns) < 2:
        fail("patterns", "at least two of them, in a row", len(patterns))
    if cyclic:
        return OuterProducts(jnp.roll(patterns, -1, axis=0).T, patterns.T, self_coupling=self_coupling)
    return OuterProducts(patterns[1:].T, patterns[:-1].T, self_coupling=self_coupling)


def pseudo_inverse(patterns: Real[ArrayLike, "patterns neurons"], *, self_coupling: bool = False) -> OuterProducts:
    r"""The projection rule (Personnaz, Guyon and Dreyfus 1985; Kanter and Sompolinsky 1987):
    $J_{ij} = \frac1N\sum_{\mu\nu}\xi^\mu_i (C^{-1})_{\mu\nu}\xi^\nu_j$, $C_{\mu\nu} = \frac1N\xi^\mu\cdot\xi^\nu$.

    With its diagonal, $J$ is the projection onto the span of the patterns: all of them are fixed points if they are
    linearly independent, up to load 1. Without the diagonal basins are larger, and patterns are fixed points below load
    1 if the remaining fields $(1 - J_{ii})\xi_i$, of about $1 - P/N$, exceed rounding: up to a few patterns below $N$
    in float32. Computed from an orthonormal basis (QR) without forming the correlations $C$.

    **Arguments:** `patterns`, shape (patterns, neurons); `self_coupling` as in `hebbian`.

    **Returns:** an `OuterProducts`; NaN if traced patterns are linearly dependent.

    **Raises:** `ValueError` for patterns that are empty, not finite, of 0 and 1, or linearly dependent.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(80, 100, key=jax.random.key(0))  # load 0.8
    network = hj.classical.BinaryNetwork(hj.classical.pseudo_inverse(patterns))
    assert (jax.vmap(network.update)(patterns) == patterns).all()
    ```
    """
    patterns = signed_patterns("patterns", patterns)
    num_patterns, num_neurons = patterns.shape
    if num_patterns > num_neurons:
        fail("patterns", f"at most {num_neurons} independent patterns of {num_neurons} neurons", num_patterns)
    columns, triangle = jnp.linalg.qr(patterns.T)
    lengths = jnp.abs(jnp.diagonal(triangle))  # of each pattern, orthogonal to the previous ones
    independent = jnp.min(lengths) > num_neurons * jnp.finfo(lengths.dtype).eps * jnp.max(lengths)
    if is_concrete(independent) and not independent:
        fail("patterns", "linearly independent patterns", f"{num_patterns} patterns that are not")
    left = jnp.where(independent, num_neurons**0.5 * columns, jnp.nan)
    return OuterProducts(left, self_coupling=self_coupling)


def storkey(patterns: Real[ArrayLike, "patterns neurons"]) -> DenseCouplings:
    r"""Storkey's rule (1997), incremental and local; one pattern after the other,

    $$J_{ij} \leftarrow J_{ij} + \tfrac1N\big[\xi_i\xi_j - \xi_i h_{ji} - h_{ij}\xi_j\big], \qquad
      h_{ij} = \sum_{k \ne i, j} J_{ik}\xi_k, \qquad J_{ii} = 0.$$

    **Arguments:** `patterns`, shape (patterns, neurons), in the order of learning.

    **Returns:** a symmetric `DenseCouplings`. **Raises:** `ValueError` for patterns that are empty, not finite, or of 0
    and 1.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(20, 100, key=jax.random.key(0))  # load 0.2, beyond Hebb's
    network = hj.classical.BinaryNetwork(hj.classical.storkey(patterns))
    assert hj.overlap(patterns, network.update(patterns[-1]))[-1] > 0.95
    ```
    """
    return DenseCouplings(_storkey(signed_patterns("patterns", patterns)), symmetric=True)


@eqx.filter_jit
def _storkey(patterns: Patterns) -> Float[Array, "neurons neurons"]:
    num_neurons = patterns.shape[1]

    def learn(weights: Array, pattern: Array) -> tuple[Array, None]:
        # h_ij = h_i − J_ij ξ_j with h = Jξ, as J has no diagonal.
        across = pattern[:, None] * (0.5 * pattern - matmul(weights, pattern))[None]
        squares = jnp.square(pattern)
        change = across + across.T + weights * (squares[:, None] + squares[None])
        return weights + jnp.fill_diagonal(change, 0, inplace=False) / num_neurons, None

    empty = jnp.zeros_like(patterns, shape=(num_neurons, num_neurons))
    return jax.lax.scan(learn, empty, patterns)[0]


def dilute(
    couplings: AbstractCouplings, num_neighbours: int, *, symmetric: bool = False, key: PRNGKey
) -> SparseCouplings | DenseCouplings:
    r"""Keeps $K$ random couplings of each neuron and scales them by $N/K$.

    Hebb's couplings become $J_{ij} = \frac{c_{ij}}{K}\sum_\mu\xi^\mu_i\xi^\mu_j$. By default every neuron has exactly
    $K$ directed neighbours (Derrida, Gardner and Zippelius 1987); with `symmetric` every pair is coupled independently
    with probability $K/(N - 1)$ (Sompolinsky 1986), so that $K$ is the mean.

    **Arguments:** `couplings`, any; `num_neighbours`, $K < N$; `symmetric`; `key`, random key.

    **Returns:** a `SparseCouplings`, or a `DenseCouplings` if `symmetric`, without self-couplings.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    pattern_key, key = jax.random.split(jax.random.key(0))
    full = hj.classical.hebbian(hj.random_patterns(3, 200, key=pattern_key))
    assert hj.classical.dilute(full, 20, key=key).weights.shape == (200, 20)
    ```
    """
    couplings_fit("couplings", couplings, symmetric=symmetric)
    key_fits("key", key)
    num_neurons = couplings.num_neurons
    at_least("num_neighbours", num_neighbours, 1)
    if num_neighbours >= num_neurons:
        fail("num_neighbours", f"fewer than the {num_neurons} neurons", num_neighbours)
    scale = num_neurons / num_neighbours
    if symmetric:
        chance = num_neighbours / (num_neurons - 1)
        upper = jnp.triu(jr.bernoulli(key, chance, (num_neurons, num_neurons)), 1)
        return DenseCouplings(jnp.where(upper | upper.T, scale * couplings.matrix(), 0), symmetric=True)
    neighbours = _neighbours(num_neurons, num_neighbours, key)
    return SparseCouplings(neighbours, scale * _entries(couplings, neighbours))


@eqx.filter_jit
def _entries(couplings: AbstractCouplings, neighbours: Array) -> Array:
    row = lambda site: couplings.entries(*site)  # noqa: E731
    return jax.lax.map(row, (jnp.arange(len(neighbours)), neighbours), batch_size=min(len(neighbours), 64))


@eqx.filter_jit
def _neighbours(num_neurons: int, num_neighbours: int, key: PRNGKey) -> Int[Array, "neurons neighbours"]:
    """A uniformly random set of other neurons for every neuron: Floyd's algorithm, one random number per neighbour."""
    first = num_neurons - 1 - num_neighbours  # indices from 0 to N − 2, which then skip the neuron itself

    def draw(k: Array, chosen: Array) -> Array:
        number = jr.randint(jr.fold_in(key, k), (num_neurons,), 0, first + k + 1)
        taken = jnp.any(chosen == number[:, None], axis=1)
        return chosen.at[:, k].set(jnp.where(taken, first + k, number))

    chosen = jax.lax.fori_loop(0, num_neighbours, draw, jnp.full((num_neurons, num_neighbours), -1))
    return jnp.where(chosen < jnp.arange(num_neurons)[:, None], chosen, chosen + 1)
