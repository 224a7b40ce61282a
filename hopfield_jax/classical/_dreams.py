"""Learning rules that unlearn: dreams of spurious states, and the perceptron."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Real

from .._checks import Rules, at_least, fail, is_concrete, key_fits, kind, sieved, signed_patterns
from .._couplings import DenseCouplings, OuterProducts
from .._misc import alike, matmul
from .._types import Array, ArrayLike, Float, Patterns, PRNGKey, ScalarLike
from ._network import BinaryNetwork
from ._order import AbstractOrder, Asynchronous
from ._retrieve import settle

_ONE_BY_ONE = Asynchronous()
_LONGEST = 200  # steps of a dream


def dreaming(
    patterns: Real[ArrayLike, "patterns neurons"], strength: ScalarLike, *, self_coupling: bool = False
) -> OuterProducts:
    r"""Hebb's rule after a sleep of length $t$ that removes crosstalk (Fachechi, Agliari and Barra 2019):

    $$J_{ij} = \frac1N\sum_{\mu\nu}\xi^\mu_i\big[(1 + t)(1 + tC)^{-1}\big]_{\mu\nu}\xi^\nu_j, \qquad
      C_{\mu\nu} = \tfrac1N\xi^\mu\cdot\xi^\nu.$$

    $t = 0$ is Hebb's rule, $t \to \infty$ the `pseudo_inverse`; between them basins are largest. Half of the networks
    of 100 neurons retrieve cues of overlap 0.9 at loads of 0.22, 0.53, 0.84, 0.70 and 0.66 for $t$ = 0, 1, 10, 100 and
    infinity (40 trials a load, ± 0.03). Finite $t$ takes loads above 1.

    **Arguments:** `patterns`, shape (patterns, neurons); `strength`, $t$ ≥ 0, which may be infinite; `self_coupling` as
    in `hebbian`.

    **Returns:** an `OuterProducts`; NaN if traced patterns are linearly dependent and $t$ is infinite.

    **Raises:** `ValueError` for invalid arguments, and for dependent patterns if $t$ is infinite.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(40, 100, key=jax.random.key(0))  # load 0.4
    network = hj.classical.BinaryNetwork(hj.classical.dreaming(patterns, strength=20.0))
    assert (jax.vmap(network.update)(patterns) == patterns).all()
    ```
    """
    patterns, _ = alike(signed_patterns("patterns", patterns), jnp.zeros((), jnp.float32))
    strength = sieved("strength", strength, "duration", shape=()).astype(patterns.dtype)
    left = _dreamt(patterns, strength)
    if is_concrete(left) and not jnp.all(jnp.isfinite(left)):
        fail(
            "patterns", "linearly independent patterns, or a smaller strength", f"{len(patterns)} patterns that are not"
        )
    return OuterProducts(left, self_coupling=self_coupling)


@eqx.filter_jit
def _dreamt(patterns: Patterns, strength: Array) -> Float[Array, "neurons patterns"]:
    # (1 + t)(1 + tC)⁻¹ = (s + (1 − s) C)⁻¹ with s = 1/(1 + t), by its Cholesky factor: finite for infinite t.
    num_patterns, num_neurons = patterns.shape
    share = 1 / (1 + strength)
    overlaps = matmul(patterns, patterns.T) / num_neurons
    factor = jnp.linalg.cholesky(share * jnp.eye(num_patterns, dtype=patterns.dtype) + (1 - share) * overlaps)
    return jax.scipy.linalg.solve_triangular(factor, patterns, lower=True).T


def unlearning(
    patterns: Real[ArrayLike, "patterns neurons"],
    num_dreams: int,
    *,
    rate: ScalarLike = 0.01,
    order: AbstractOrder = _ONE_BY_ONE,
    key: PRNGKey,
) -> DenseCouplings:
    r"""Hebb's rule, then dreams (Hopfield, Feinstein and Palmer 1983): from random states the network settles in states
    $\sigma$, mostly spurious ones, which are weakened one after the other, $J_{ij} \leftarrow J_{ij} -
    \frac\epsilon N\sigma_i\sigma_j$ ($J_{ii} = 0$).

    Basins and capacity grow up to a number of dreams, and are destroyed by more.

    **Arguments:** `patterns`, of ±1, shape (patterns, neurons); `num_dreams`; `rate`, $\epsilon$ > 0; `order`, of the
    updates within a dream; `key`, random key.

    **Returns:** a symmetric `DenseCouplings`. **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    key, pattern_key = jax.random.split(jax.random.key(0))
    patterns = hj.random_patterns(20, 100, key=pattern_key)  # load 0.2
    network = hj.classical.BinaryNetwork(hj.classical.unlearning(patterns, 400, key=key))
    assert hj.overlap(patterns, hj.classical.settle(network, patterns[0]))[0] > 0.97
    ```
    """
    return _dreams(patterns, num_dreams, rate, order, key, learns=False)


def daydreaming(
    patterns: Real[ArrayLike, "patterns neurons"],
    num_dreams: int,
    *,
    rate: ScalarLike = 0.05,
    order: AbstractOrder = _ONE_BY_ONE,
    key: PRNGKey,
) -> DenseCouplings:
    r"""Hebb's rule, then dreams by day (Serricchio et al. 2025): every dream weakens a state $\sigma$ that was reached
    from a random one, and strengthens a random pattern $\xi$,

    $$J_{ij} \leftarrow J_{ij} + \frac\epsilon N(\xi_i\xi_j - \sigma_i\sigma_j), \qquad J_{ii} = 0.$$

    It cannot unlearn too much, and uses what correlated patterns have in common.

    **Arguments** and **returns:** as of `unlearning`.

    ```python
    import jax
    import hopfield_jax as hj

    key, pattern_key = jax.random.split(jax.random.key(0))
    patterns = hj.random_patterns(30, 100, key=pattern_key)  # load 0.3
    network = hj.classical.BinaryNetwork(hj.classical.daydreaming(patterns, 600, key=key))
    assert hj.overlap(patterns, hj.classical.settle(network, patterns[0]))[0] > 0.97
    ```
    """
    return _dreams(patterns, num_dreams, rate, order, key, learns=True)


def _dreams(patterns, num_dreams, rate, order, key, learns: bool) -> DenseCouplings:
    patterns, _ = alike(signed_patterns("patterns", patterns), jnp.zeros((), jnp.float32))
    rules = Rules()
    rules.holds("patterns", lambda x: abs(x) == 1, "entries of ±1", patterns)
    at_least("num_dreams", num_dreams, 0)
    rate = rules.real("rate", rate, "positive", dtype=patterns.dtype)
    if not isinstance(order, AbstractOrder):
        fail("order", "`Synchronous()` or `Asynchronous()`", kind(order))
    key_fits("key", key)
    rate = jnp.where(rules.valid, rate, jnp.nan)
    return DenseCouplings(_dream(patterns, int(num_dreams), rate, order, key, learns), symmetric=True)


@eqx.filter_jit
def _dream(
    patterns: Patterns, num_dreams: int, rate: Array, order, key, learns: bool
) -> Float[Array, "neurons neurons"]:
    num_patterns, num_neurons = patterns.shape

    def dream(weights: Array, key: PRNGKey) -> tuple[Array, None]:
        start_key, run_key, pattern_key = jr.split(key, 3)
        network = BinaryNetwork(DenseCouplings(weights, symmetric=True))
        start = jr.rademacher(start_key, (num_neurons,), patterns.dtype)
        state = settle(network, start, num_steps=_LONGEST, order=order, key=run_key)
        change = -state[:, None] * state[None]
        if learns:
            pattern = patterns[jr.randint(pattern_key, (), 0, num_patterns)]
            change += pattern[:, None] * pattern[None]
        return weights + rate / num_neurons * jnp.fill_diagonal(change, 0, inplace=False), None

    hebb = jnp.fill_diagonal(matmul(patterns.T, patterns) / num_neurons, 0, inplace=False)
    hebb = jnp.where(jnp.isnan(rate), jnp.nan, hebb)
    return jax.lax.scan(dream, hebb, jr.split(key, num_dreams))[0]


def perceptron(
    patterns: Real[ArrayLike, "patterns neurons"], margin: ScalarLike = 0.0, *, max_sweeps: int = 1000
) -> DenseCouplings:
    r"""Couplings that make every pattern a fixed point, learned by each neuron as a perceptron (Gardner 1988): for one
    pattern after the other, from Hebb's rule on,

    $$J_{ij} \leftarrow J_{ij} + \frac1N\xi_i\xi_j \quad\text{where}\quad
      \xi_i\sum_j J_{ij}\xi_j \le \kappa\,\lVert J_i\rVert, \qquad J_{ii} = 0,$$

    until all patterns have the margin. This is possible up to two patterns per neuron for $\kappa = 0$ and many
    neurons; larger margins give larger basins and smaller capacities. $J$ is not symmetric: there is no energy.

    **Arguments:** `patterns`, of ±1, shape (patterns, neurons); `margin`, $\kappa$ ≥ 0; `max_sweeps`, after which
    it ends whatever the margins are, as it does beyond the capacity.

    **Returns:** a `DenseCouplings`. **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(120, 100, key=jax.random.key(0))  # load 1.2
    network = hj.classical.BinaryNetwork(hj.classical.perceptron(patterns))
    assert (jax.vmap(network.update)(patterns) == patterns).all()
    ```
    """
    patterns, _ = alike(signed_patterns("patterns", patterns), jnp.zeros((), jnp.float32))
    rules = Rules()
    rules.holds("patterns", lambda x: abs(x) == 1, "entries of ±1", patterns)
    margin = rules.real("margin", margin, "nonnegative", dtype=patterns.dtype)
    at_least("max_sweeps", max_sweeps, 1)
    return DenseCouplings(_perceptron(patterns, jnp.where(rules.valid, margin, jnp.nan), max_sweeps))


@eqx.filter_jit
def _perceptron(patterns: Patterns, margin: Array, max_sweeps: int) -> Float[Array, "neurons neurons"]:
    def learn(weights: Array, pattern: Array) -> tuple[Array, Array]:
        norms = jnp.sqrt(jnp.sum(jnp.square(weights), axis=1))
        wrong = pattern * matmul(weights, pattern) <= margin * norms
        change = jnp.where(wrong, pattern, 0)[:, None] * pattern[None]
        return weights + jnp.fill_diagonal(change, 0, inplace=False), jnp.any(wrong)

    def sweep(carry):
        weights, _, count = carry
        weights, wrong = jax.lax.scan(learn, weights, patterns)
        return weights, jnp.any(wrong), count + 1

    hebb = jnp.fill_diagonal(matmul(patterns.T, patterns), 0, inplace=False)  # N J, of whole numbers: ties are exact
    start = jnp.where(jnp.isnan(margin), jnp.nan, hebb), jnp.array(True), jnp.array(0)
    going = lambda carry: carry[1] & (carry[2] < max_sweeps)  # noqa: E731
    return jax.lax.while_loop(going, sweep, start)[0] / patterns.shape[1]
