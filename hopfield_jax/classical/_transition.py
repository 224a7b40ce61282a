"""Capacity and basins of attraction from simulation, with errors and finite-size scaling."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Real

from .._checks import Rules, at_least, fail, is_concrete, key_fits, takes
from .._misc import binomial_error, default_float, nan_unless
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay, with_error
from .._types import Array, ArrayLike, Float, Int, PRNGKey, Scalar, ScalarLike
from ._finite_size import FiniteSizeFit, logistic, power_law


class RetrievalTransition(eqx.Module):
    r"""Result of `hopfield_jax.classical.capacity` and `basin`.

    **Attributes:**

    - `num_neurons`: $N$, shape (sizes,).
    - `values`: the realised loads $P/N$, or the cue overlaps, shape (sizes, values).
    - `overlap`: mean final overlap over the trials, and `overlap_error`: its standard error, shape (sizes, values).
    - `fraction`: of the trials whose final overlap reached `threshold`, and `fraction_error`: binomial (the half width
      of Wilson's interval), shape (sizes, values).
    - `half`: midpoint of a logistic curve fitted to the fractions, with `half_error`; `width`: half the interval in
      which it goes from 27 % to 73 % (negative if it falls), shape (sizes,). NaN if all fractions are on one side of
      one half, or a trial is not finite.
    - `fit`: `half` extrapolated to infinitely many neurons.
    - `name`: the varied quantity. `num_trials`, `threshold`: as given. `result`: the result code.
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
    num_trials: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    result: RESULTS

    def __str__(self) -> str:
        def text():
            sizes = ", ".join(
                f"{with_error(half, error)} (N = {n})"
                for half, error, n in zip(self.half, self.half_error, self.num_neurons, strict=True)
            )
            return (
                f"{self.name} at which half of {self.num_trials} trials are retrieved (overlap ≥ {self.threshold:g}):\n"
                f"  {sizes}\n  {self.fit.describe()}\n  result: {describe_result(self.result)}"
            )

        return card(self, self.threshold, text)


def capacity(
    run: Callable[[int, int, PRNGKey], Scalar],
    loads: Real[ArrayLike, " loads"],
    num_neurons: Sequence[int],
    *,
    num_trials: int,
    threshold: ScalarLike = 0.9,
    exponent: ScalarLike = 0.5,
    batch_size: int = 1,
    key: PRNGKey,
    throw: bool = True,
) -> RetrievalTransition:
    r"""The load at which half of all networks retrieve, for several sizes and extrapolated to infinitely many neurons.

    Small networks retrieve beyond the limit: with Hebb's rule, whose critical load is 0.138, half reach an overlap of
    0.9 at loads of 0.436(5), 0.340(4), 0.266(3), 0.223(2) with $N$ = 16, 32, 64, 128 (400 trials). From such sizes the
    extrapolation is off by more than its standard error (0.105(4) here), and from few trials it may even be negative:
    two sizes, 32 and 64, with 16 trials each gave −0.00 to 0.36, ± 0.24. Use several sizes of at least a few hundred
    neurons (results in `finite_size`).

    Every pair of size and load is compiled separately.

    **Main arguments:**

    - `run`: a function of the number of patterns, the number of neurons and a key that returns the final overlap of one
      trial; usually made of `recall`.
    - `loads`: $\alpha$, increasing, shape (loads,); the number of patterns is $\alpha N$, rounded and at least one.
      They should cover the range from almost certain retrieval to almost certain failure.
    - `num_neurons`: the sizes $N$, at least two.
    - `num_trials`: independent networks for each size and load. `key`: random key.

    **Other arguments:**

    - `threshold`: the smallest final overlap that counts as retrieved.
    - `exponent`: $x$ of the extrapolation, see `finite_size`.
    - `batch_size`: trials that run at once.
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
    found = classical.capacity(run, jnp.array([0.05, 0.6]), (32, 64), num_trials=16, key=jax.random.key(0))
    assert 0.05 < found.half[1] < 0.6
    ```
    """
    loads, sizes, threshold, exponent = _arguments(
        run, "loads", loads, "positive", num_neurons, num_trials, threshold, exponent, batch_size, key
    )
    trials, counts = [], []
    for i, n in enumerate(sizes):
        counts.append([max(1, round(float(load) * n)) for load in loads])
        keys = jr.split(jr.fold_in(key, i), (len(counts[-1]), num_trials))
        trials.append([_trials_at(run, p, n, keys[j], batch_size) for j, p in enumerate(counts[-1])])
    realised = jnp.asarray(counts, default_float()) / jnp.asarray(sizes, default_float())[:, None]
    overlaps = jnp.stack([jnp.stack(row) for row in trials])
    return _transition("load", sizes, realised, overlaps, threshold, exponent, throw)


def basin(
    run: Callable[[Scalar, int, PRNGKey], Scalar],
    cue_overlaps: Real[ArrayLike, " overlaps"],
    num_neurons: Sequence[int],
    *,
    num_trials: int,
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

    found = classical.basin(run, jnp.linspace(-0.9, 0.9, 8), (32, 64), num_trials=16, key=jax.random.key(0))
    assert abs(found.half[1]) < 0.1
    ```
    """
    overlaps, sizes, threshold, exponent = _arguments(
        run, "cue_overlaps", cue_overlaps, "finite", num_neurons, num_trials, threshold, exponent, batch_size, key
    )
    trials = [
        _trials_of_curve(run, overlaps, n, jr.split(jr.fold_in(key, i), (len(overlaps), num_trials)), batch_size)
        for i, n in enumerate(sizes)
    ]
    values = jnp.broadcast_to(overlaps, (len(sizes), len(overlaps)))
    return _transition(name, sizes, values, jnp.stack(trials), threshold, exponent, throw)


def _arguments(
    run, name, values, domain, num_neurons, num_trials, threshold, exponent, batch_size, key
) -> tuple[Array, tuple[int, ...], Array, Array]:
    """Validates the arguments of a question; returns values, sizes, threshold and exponent."""
    takes("run", run, "value, num_neurons, key")
    key_fits("key", key)
    rules = Rules()
    values = rules.real(name, values, domain, shape=(None,), names="(values,)")
    rules.times(name, values)
    if not is_concrete(values) or len(values) < 2:
        fail(name, "at least two known numbers", f"shape {values.shape}")
    if isinstance(num_neurons, str) or not hasattr(num_neurons, "__len__"):
        fail("num_neurons", "a sequence of sizes", repr(num_neurons))
    sizes = tuple(num_neurons)
    for n in sizes:
        at_least("num_neurons", n, 2)
    if len(set(sizes)) < 2 or len(set(sizes)) < len(sizes):
        fail("num_neurons", "at least two different sizes", sizes)
    at_least("num_trials", num_trials, 2)
    at_least("batch_size", batch_size, 1)
    threshold = rules.real("threshold", threshold, "finite")
    return values, sizes, threshold, rules.real("exponent", exponent, "positive")


@eqx.filter_jit
def _trials_at(run: Callable, num_patterns: int, num_neurons: int, keys: Array, batch_size: int) -> Array:
    """The final overlaps of the trials, shape (trials,)."""
    return jax.lax.map(lambda key: run(num_patterns, num_neurons, key), keys, batch_size=batch_size)


@eqx.filter_jit
def _trials_of_curve(run: Callable, overlaps: Array, num_neurons: int, keys: Array, batch_size: int) -> Array:
    """The final overlaps of the trials from each cue, shape (overlaps, trials)."""
    points = jnp.repeat(overlaps, keys.shape[1]), keys.reshape(-1, *keys.shape[2:])
    return jax.lax.map(lambda x: run(x[0], num_neurons, x[1]), points, batch_size=batch_size).reshape(keys.shape[:2])


@eqx.filter_jit
def _transition(name, sizes, values, overlaps, threshold, exponent, throw) -> RetrievalTransition:
    num_trials = overlaps.shape[-1]
    fraction = jnp.mean(overlaps >= threshold.astype(overlaps.dtype), axis=-1, dtype=overlaps.dtype)
    half, half_error, width = jax.vmap(lambda x, y: logistic(x, y, num_trials))(values, fraction)
    bracketed = (jnp.max(fraction, axis=1) > 0.5) & (jnp.min(fraction, axis=1) < 0.5)
    known = ~jnp.any(jnp.isnan(overlaps), axis=(1, 2))
    half, half_error, width = nan_unless(bracketed & known, (half, half_error, width), constant=True)
    sized = jnp.asarray(sizes, values.dtype)
    out = RetrievalTransition(
        num_neurons=jnp.asarray(sizes),
        values=values,
        overlap=jnp.mean(overlaps, axis=-1),
        overlap_error=jnp.std(overlaps, axis=-1, ddof=1) / num_trials**0.5,
        fraction=fraction,
        fraction_error=binomial_error(fraction, num_trials),
        half=half,
        half_error=half_error,
        width=width,
        fit=nan_unless(jnp.all(bracketed & known), power_law(sized, half, half_error, exponent.astype(values.dtype))),
        threshold=threshold,
        num_trials=num_trials,
        name=name,
        result=outcome((~jnp.all(bracketed), RESULTS.not_bracketed), (~jnp.all(known), RESULTS.undecided)),
    )
    return raise_unless_okay(out, out.result) if throw else out
