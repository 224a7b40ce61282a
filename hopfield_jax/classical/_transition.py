"""Capacity and basins of attraction from simulation, with errors and finite-size scaling."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Real

from .._checks import as_real, at_least, fail, in_domain, increasing, is_concrete, key_fits, kind, shape_is, sieved
from .._couplings import AbstractCouplings
from .._misc import binomial_error, default_float, matmul
from .._patterns import flip, random_patterns
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay, with_error
from .._types import Array, ArrayLike, Float, Int, PRNGKey, Scalar, ScalarLike
from ._finite_size import FiniteSizeFit, fitted
from ._network import BinaryNetwork
from ._order import AbstractOrder, Asynchronous
from ._retrieve import settle

IN_RANDOM_ORDER = Asynchronous()


class RetrievalTransition(eqx.Module):
    r"""Result of `hopfield_jax.classical.capacity` and `basin`.

    **Attributes:**

    - `num_neurons`: $N$, shape (sizes,).
    - `values`: the realised loads $P/N$, or the cue overlaps, shape (sizes, values).
    - `overlap`: mean final overlap over the draws, and `overlap_error`: its standard error, shape (sizes, values).
    - `fraction`: of the draws whose final overlap reached `threshold`, and `fraction_error`: binomial (the half width
      of Wilson's interval), shape (sizes, values).
    - `half`: midpoint of a logistic curve fitted to the fractions, with `half_error`; `width`: half the interval in
      which it goes from 27 % to 73 % (negative if it falls), shape (sizes,). NaN if all fractions are on one side of
      one half, or a draw is not finite.
    - `fit`: `half` extrapolated to infinitely many neurons.
    - `name`: the varied quantity. `num_draws`, `threshold`: as given. `result`: the result code.
    """

    num_neurons: Int[Array, " sizes"]
    values: Float[Array, "sizes values"]
    overlap: Float[Array, "sizes values"]
    overlap_error: Float[Array, "sizes values"]
    fraction: Float[Array, "sizes values"]
    fraction_error: Float[Array, "sizes values"]
    half: Float[Array, " sizes"]
    half_error: Float[Array, " sizes"]
    width: Float[Array, " sizes"]
    fit: FiniteSizeFit
    threshold: Scalar
    num_draws: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    result: RESULTS

    def __str__(self) -> str:
        def text():
            sizes = ", ".join(
                f"{with_error(half, error)} (N = {n})"
                for half, error, n in zip(self.half, self.half_error, self.num_neurons, strict=True)
            )
            return (
                f"{self.name} at which half of {self.num_draws} draws are retrieved (overlap ≥ {self.threshold:g}):\n"
                f"  {sizes}\n  {self.fit.describe()}\n  result: {describe_result(self.result)}"
            )

        return card(self, self.threshold, text)


def recall(
    rule: Callable[[Array], AbstractCouplings],
    num_patterns: int,
    num_neurons: int,
    cue_overlap: ScalarLike = 1.0,
    *,
    temperature: ScalarLike = 0.0,
    num_steps: int = 200,
    order: AbstractOrder = IN_RANDOM_ORDER,
    key: PRNGKey,
) -> Scalar:
    r"""Stores unbiased random patterns in a network of ±1 units and returns the final overlap with the first one.

    **Arguments:**

    - `rule`: a learning rule, such as `hebbian`: a function of patterns that returns couplings.
    - `num_patterns`, `num_neurons`: numbers of patterns and neurons.
    - `cue_overlap`: $m_0$ of the cue with the pattern (to 1/N), within [−1, 1].
    - `temperature`: $T$ ≥ 0. `order`: of the updates, in random order by default.
    - `num_steps`: the largest number; without noise it ends when the network has settled.
    - `key`: draws patterns, cue, order and noise.

    **Returns:** the final overlap $m$, a scalar; NaN if traced parameters lie outside their domain or couplings are not
    finite. For several draws use `jax.vmap` over keys.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    overlap = hj.classical.recall(hj.classical.hebbian, 10, 400, cue_overlap=0.6, key=jax.random.key(0))
    assert overlap > 0.99
    ```
    """
    if not callable(rule):
        fail("rule", "a function of patterns that returns couplings", kind(rule))
    key_fits("key", key)
    shape_is("temperature", temperature, ())
    temperature = sieved("temperature", temperature, "nonnegative")
    pattern_key, cue_key, run_key = jr.split(key, 3)
    patterns = random_patterns(num_patterns, num_neurons, key=pattern_key)
    couplings = rule(patterns)
    if not isinstance(couplings, AbstractCouplings):
        fail("rule", "a function of patterns that returns couplings", kind(couplings))
    network = BinaryNetwork(couplings, temperature=temperature)
    shape_is("cue_overlap", cue_overlap, ())
    share = 0.5 * (1 - sieved("cue_overlap", cue_overlap, "cosine"))
    cue = flip(patterns[0], share, key=cue_key)
    state = settle(network, cue, num_steps=num_steps, order=order, key=run_key)
    overlap = network.coding.overlap(patterns[:1], state)[0]
    return overlap


def capacity(
    run: Callable[[int, int, PRNGKey], Scalar],
    loads: Real[ArrayLike, " loads"],
    num_neurons: Sequence[int],
    *,
    num_draws: int,
    threshold: ScalarLike = 0.9,
    exponent: ScalarLike = 0.5,
    batch_size: int = 1,
    key: PRNGKey,
    throw: bool = True,
) -> RetrievalTransition:
    r"""The load at which half of all networks retrieve, for several sizes and extrapolated to infinitely many neurons.

    Small networks retrieve beyond the limit: with Hebb's rule, whose critical load is 0.138, half reach an overlap of
    0.9 at loads of 0.436(5), 0.340(4), 0.266(3), 0.223(2) with $N$ = 16, 32, 64, 128 (400 draws). From such sizes the
    extrapolation is off by more than its standard error (0.105(4) here), and from few draws it may even be negative:
    two sizes, 32 and 64, with 16 draws each gave −0.00 to 0.36, ± 0.24. Use several sizes of at least a few hundred
    neurons (results in `finite_size`).

    Every pair of size and load is compiled separately.

    **Main arguments:**

    - `run`: a function of the number of patterns, the number of neurons and a key that returns the final overlap of one
      draw; usually made of `recall`.
    - `loads`: $\alpha$, increasing, shape (loads,); the number of patterns is $\alpha N$, rounded and at least one.
      They should cover the range from almost certain retrieval to almost certain failure.
    - `num_neurons`: the sizes $N$, at least two.
    - `num_draws`: independent networks for each size and load. `key`: random key.

    **Other arguments:**

    - `threshold`: the smallest final overlap that counts as retrieved.
    - `exponent`: $x$ of the extrapolation, see `finite_size`.
    - `batch_size`: draws that run at once.
    - `throw`: whether to raise on failure; otherwise the code is in `result`.

    **Returns:** a `RetrievalTransition`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`: the fractions of some
    size were all on one side of one half, or a run did not return a finite number.

    ```python
    import jax
    import jax.numpy as jnp
    from hopfield_jax import classical

    run = lambda num_patterns, num_neurons, key: classical.recall(
        classical.hebbian, num_patterns, num_neurons, order=classical.Synchronous(), key=key
    )
    found = classical.capacity(run, jnp.array([0.05, 0.6]), (32, 64), num_draws=16, key=jax.random.key(0))
    assert 0.05 < found.half[1] < 0.6
    ```
    """
    loads = _grid("loads", loads)
    in_domain("loads", loads, "positive")
    sizes, threshold, exponent = (
        _sizes(run, num_neurons, num_draws, batch_size, key),
        as_real("threshold", threshold),
        as_real("exponent", exponent),
    )
    in_domain("exponent", exponent, "positive")
    draws, counts = [], []
    for i, n in enumerate(sizes):
        counts.append([max(1, round(float(load) * n)) for load in loads])
        keys = jr.split(jr.fold_in(key, i), (len(counts[-1]), num_draws))
        draws.append([_draw_of(run, p, n, keys[j], batch_size) for j, p in enumerate(counts[-1])])
    realised = jnp.asarray(counts, default_float()) / jnp.asarray(sizes, default_float())[:, None]
    overlaps = jnp.stack([jnp.stack(row) for row in draws])
    return _transition("load", sizes, realised, overlaps, threshold, exponent, throw)


def basin(
    run: Callable[[Scalar, int, PRNGKey], Scalar],
    cue_overlaps: Real[ArrayLike, " overlaps"],
    num_neurons: Sequence[int],
    *,
    num_draws: int,
    threshold: ScalarLike = 0.9,
    exponent: ScalarLike = 0.5,
    name: str = "cue overlap",
    batch_size: int = 1,
    key: PRNGKey,
    throw: bool = True,
) -> RetrievalTransition:
    r"""The cue overlap from which half of all networks retrieve, for several sizes and extrapolated.

    **Main arguments:**

    - `run`: a function of the cue overlap (traced), the number of neurons and a key that returns the final overlap of
      one draw; usually made of `recall`.
    - `cue_overlaps`: $m_0$, increasing, shape (overlaps,). Any other number that `run` takes will do, the age of a
      pattern or a temperature: `name` says what it is.
    - all others: as in `capacity`.

    **Returns:** a `RetrievalTransition`. **Raises:** as `capacity`.

    ```python
    import jax
    import jax.numpy as jnp
    from hopfield_jax import classical

    def run(cue_overlap, num_neurons, key):
        pattern = jax.random.rademacher(key, (num_neurons,), cue_overlap.dtype)  # one, whose basin is all up to 0
        network = classical.BinaryNetwork(classical.hebbian(pattern[None]))
        cue = jnp.where(jnp.arange(num_neurons) < 0.5 * (1 + cue_overlap) * num_neurons, pattern, -pattern)
        return pattern @ network.update(cue) / num_neurons

    found = classical.basin(run, jnp.linspace(-0.9, 0.9, 8), (32, 64), num_draws=16, key=jax.random.key(0))
    assert abs(found.half[1]) < 0.1
    ```
    """
    overlaps = _grid("cue_overlaps", cue_overlaps)
    sizes, threshold, exponent = (
        _sizes(run, num_neurons, num_draws, batch_size, key),
        as_real("threshold", threshold),
        as_real("exponent", exponent),
    )
    in_domain("exponent", exponent, "positive")
    draws = [
        _curve_of(run, overlaps, n, jr.split(jr.fold_in(key, i), (len(overlaps), num_draws)), batch_size)
        for i, n in enumerate(sizes)
    ]
    values = jnp.broadcast_to(overlaps, (len(sizes), len(overlaps)))
    return _transition(name, sizes, values, jnp.stack(draws), threshold, exponent, throw)


def _grid(argument: str, values: ArrayLike) -> Float[Array, " values"]:
    values = as_real(argument, values)
    increasing(argument, values)
    if not is_concrete(values) or len(values) < 2:
        fail(argument, "at least two known numbers", f"shape {values.shape}")
    return values


def _sizes(run: Callable, num_neurons: Sequence[int], num_draws: int, batch_size: int, key: PRNGKey) -> tuple[int, ...]:
    if not callable(run):
        fail("run", "a function that returns the final overlap of one draw", kind(run))
    if isinstance(num_neurons, str) or not hasattr(num_neurons, "__len__"):
        fail("num_neurons", "a sequence of sizes", repr(num_neurons))
    key_fits("key", key)
    sizes = tuple(num_neurons)
    for n in sizes:
        at_least("num_neurons", n, 2)
    if len(set(sizes)) < 2 or len(set(sizes)) < len(sizes):
        fail("num_neurons", "at least two different sizes", sizes)
    at_least("num_draws", num_draws, 2)
    at_least("batch_size", batch_size, 1)
    return sizes


@eqx.filter_jit
def _draw_of(run: Callable, num_patterns: int, num_neurons: int, keys: Array, batch_size: int) -> Array:
    """The final overlaps of the draws, shape (draws,)."""
    return jax.lax.map(lambda key: run(num_patterns, num_neurons, key), keys, batch_size=batch_size)


@eqx.filter_jit
def _curve_of(run: Callable, overlaps: Array, num_neurons: int, keys: Array, batch_size: int) -> Array:
    """The final overlaps of the draws from each cue, shape (overlaps, draws)."""
    points = jnp.repeat(overlaps, keys.shape[1]), keys.reshape(-1, *keys.shape[2:])
    return jax.lax.map(lambda x: run(x[0], num_neurons, x[1]), points, batch_size=batch_size).reshape(keys.shape[:2])


@eqx.filter_jit
def _transition(name, sizes, values, overlaps, threshold, exponent, throw) -> RetrievalTransition:
    num_draws = overlaps.shape[-1]
    fraction = jnp.mean(overlaps >= threshold.astype(overlaps.dtype), axis=-1, dtype=overlaps.dtype)
    half, half_error, width = jax.vmap(lambda x, y: _logistic_fit(x, y, num_draws))(values, fraction)
    bracketed = (jnp.max(fraction, axis=1) > 0.5) & (jnp.min(fraction, axis=1) < 0.5)
    known = ~jnp.any(jnp.isnan(overlaps), axis=(1, 2))
    half, half_error, width = (jnp.where(bracketed & known, x, jnp.nan) for x in (half, half_error, width))
    out = RetrievalTransition(
        num_neurons=jnp.asarray(sizes),
        values=values,
        overlap=jnp.mean(overlaps, axis=-1),
        overlap_error=jnp.std(overlaps, axis=-1, ddof=1) / num_draws**0.5,
        fraction=fraction,
        fraction_error=binomial_error(fraction, num_draws),
        half=half,
        half_error=half_error,
        width=width,
        fit=fitted(jnp.asarray(sizes, values.dtype), half, half_error, exponent.astype(values.dtype)),
        threshold=threshold,
        num_draws=num_draws,
        name=name,
        result=outcome((~jnp.all(bracketed), RESULTS.not_bracketed), (~jnp.all(known), RESULTS.undecided)),
    )
    return raise_unless_okay(out, out.result) if throw else out


def _logistic_fit(x: Array, fraction: Array, num_draws: int) -> tuple[Array, Array, Array]:
    r"""Midpoint of a logistic curve through binomial fractions, its standard error, and the width $1/|slope|$.

    Maximum likelihood with Firth's correction (Jeffreys' prior), which stays finite where the fractions jump from 0 to
    1 between two neighbours. Newton's method of fixed length in $x$ scaled to [−1, 1].
    """
    middle, scale = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    terms = jnp.stack([jnp.ones_like(x), (x - middle) / scale], axis=1)

    def information(parameters: Array) -> tuple[Array, Array, Array]:
        chance = jax.nn.sigmoid(matmul(terms, parameters))
        weight = num_draws * chance * (1 - chance)
        inverse = jnp.linalg.inv(matmul(terms.T * weight[None], terms) + 1e-6 * jnp.eye(2, dtype=x.dtype))
        return chance, weight, inverse

    def newton(parameters: Array, _) -> tuple[Array, None]:
        chance, weight, inverse = information(parameters)
        leverage = weight * jnp.sum(matmul(terms, inverse) * terms, axis=1)
        score = matmul(terms.T, num_draws * (fraction - chance) + leverage * (0.5 - chance))
        return parameters + jnp.clip(matmul(inverse, score), -1, 1), None

    parameters, _ = jax.lax.scan(newton, jnp.zeros(2, x.dtype), length=100)
    (offset, slope), (_, _, covariance) = parameters, information(parameters)
    half = -offset / slope
    gradient = jnp.stack([-1 / slope, offset / slope**2])
    error = jnp.sqrt(jnp.sum(gradient * matmul(covariance, gradient)))
    return middle + scale * half, scale * error, scale / slope
