"""Retrieval by binary networks."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Real

from .._checks import Rules, all_finite, at_least, fail, is_valid, key_fits, kind, shape_is
from .._misc import nan_unless, nondifferentiable
from .._patterns import best_match
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from .._types import Array, ArrayLike, Float, Int, PRNGKey, PyTree
from ._network import BinaryNetwork
from ._order import AbstractOrder, Synchronous

_SYNCHRONOUS = Synchronous()
_NO_GRADIENT = (
    "`network`: no gradient goes through binary units, whose states jump, so that automatic differentiation would give "
    "a wrong number. Take graded ones (`GradedNetwork`), or `hopfield_jax.dmft.solve`."
)


class BinaryRun(eqx.Module):
    r"""Result of `hopfield_jax.classical.retrieve`; index 0 is the cue.

    **Attributes:**

    - `overlap`: with every pattern, in the network's coding, shape (times, patterns) with times = num_steps + 1.
    - `winner`: index of the pattern with the largest final overlap; -1 after a failure.
    - `sign`: -1 if the final state is closest to the inverse of that pattern, with all neurons flipped (and negative
      overlap), in a network that is symmetric under this inversion, such as spins without thresholds; else 1, and 0
      after a failure.
    - `energy`: shape (times,); NaN unless the couplings are symmetric.
    - `num_flips`: number of neurons that changed in each step, shape (steps,); -1 after a failure.
    - `state`: final state, shape (neurons,).
    - `period`: of the final state without noise: 1 for a fixed point, 2 for a cycle of two, 0 for neither (yet) or with
      noise.
    - `result`: the result code. A state that has not settled is no failure.
    """

    overlap: Float[Array, "times patterns"]
    winner: Int[Array, ""]
    sign: Int[Array, ""]
    energy: Float[Array, " times"]
    num_flips: Int[Array, " steps"]
    state: Float[Array, " neurons"]
    period: Int[Array, ""]
    result: RESULTS

    def __str__(self) -> str:
        def text():
            best = int(self.winner)
            name = f"pattern {best}{' (its inverse)' * (int(self.sign) < 0)}"
            end = ("not settled", "a fixed point", "a cycle of two")[int(self.period)]
            return (
                f"{len(self.num_flips)} steps: largest overlap {self.overlap[-1, best]:.4f} with {name} "
                f"({self.overlap[0, best]:.4f} at the cue), energy {self.energy[0]:.4g} -> {self.energy[-1]:.4g}, "
                f"{self.num_flips[-1]} flips in the last step\n  end: {end}\n  result: {describe_result(self.result)}"
            )

        return card(self, self.period, text)


def retrieve(
    network: BinaryNetwork,
    patterns: Real[ArrayLike, "patterns neurons"],
    cue: Real[ArrayLike, " neurons"],
    *,
    num_steps: int,
    order: AbstractOrder = _SYNCHRONOUS,
    key: PRNGKey | None = None,
    throw: bool = True,
) -> BinaryRun:
    r"""Runs a network of binary units from a cue and records its overlaps with patterns.

    **Main arguments:**

    - `network`: a `BinaryNetwork`. `patterns`: patterns to compare with, shape (patterns, neurons).
    - `cue`: initial state, shape (neurons,). Batch cues, temperatures or networks with `jax.vmap`.
    - `num_steps`: number of steps, each of N updates.

    **Other arguments:**

    - `order`: `Synchronous()` or `Asynchronous()`.
    - `key`: random key, required for a random order or a nonzero temperature.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `BinaryRun`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`; `RuntimeError` if it is
    differentiated, since states are discontinuous.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(10, 400, key=jax.random.key(0))
    cue = hj.flip(patterns[3], 0.2, key=jax.random.key(1))
    network = hj.classical.BinaryNetwork(hj.classical.hebbian(patterns))
    found = hj.classical.retrieve(network, patterns, cue, num_steps=10)
    assert found.period == 1 and found.overlap[-1, 3] == 1
    ```
    """
    cue, rules = run_fits(network, cue, num_steps, order, key)
    patterns = rules.patterns("patterns", patterns)
    shape_is("patterns", patterns, (None, network.num_neurons), "(patterns, neurons)")
    network.coding.entries_fit(rules, "patterns", patterns)
    out = _retrieve(network, patterns, cue, num_steps, order, key, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _retrieve(network: BinaryNetwork, patterns, cue, num_steps: int, order: AbstractOrder, key, valid) -> BinaryRun:
    network, patterns, cue = nondifferentiable((network, patterns, cue), _NO_GRADIENT)
    valid = valid & is_valid(network) & all_finite(network)
    network, cue = _finite_part((network, cue))

    def observe(state: Array) -> tuple[Array, Array]:
        return network.coding.overlap(patterns, state), network.energy(state)

    def step(state: Array, t: Array) -> tuple[Array, tuple]:
        new, num_flips = order.step(network, state, None if key is None else jr.fold_in(key, t))
        return new, (*observe(state), num_flips)

    state, (overlap, energy, num_flips) = jax.lax.scan(step, cue, jnp.arange(num_steps))
    last = observe(state)
    overlap, energy = (jnp.concatenate([x, y[None]]) for x, y in zip((overlap, energy), last, strict=True))
    finite = jnp.all(jnp.isfinite(network.field(state))) & jnp.all(jnp.isfinite(overlap))
    good, coding = finite & valid, network.coding
    odd = jnp.all(network.update(coding.inverse(state)) == coding.inverse(network.update(state)))
    period = jnp.where(good & (network.temperature == 0), order.period(network, state), 0)
    overlap, energy, num_flips, state = nan_unless(good, (overlap, energy, num_flips, state), constant=True)
    winner, sign = best_match(overlap[-1], odd)
    return BinaryRun(
        overlap=overlap,
        winner=winner,
        sign=sign,
        energy=energy,
        num_flips=num_flips,
        state=state,
        period=period,
        result=outcome((~finite, RESULTS.not_finite), (~valid, RESULTS.invalid_parameter)),
    )


def settle(
    network: BinaryNetwork,
    cue: Real[ArrayLike, " neurons"],
    *,
    num_steps: int = 200,
    order: AbstractOrder = _SYNCHRONOUS,
    key: PRNGKey | None = None,
) -> Float[Array, " neurons"]:
    r"""Runs a network of binary units from a cue until it settles, and returns the final state only.

    Without noise it stops at a fixed point or, for synchronous updates, in a cycle of two.

    **Arguments:** as in `retrieve`; `num_steps`, the largest number of steps.

    **Returns:** the state, shape (neurons,); NaN where traced parameters lie outside their domain.

    **Raises:** as `retrieve`.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(10, 400, key=jax.random.key(0))
    network = hj.classical.BinaryNetwork(hj.classical.hebbian(patterns))
    cue = hj.flip(patterns[3], 0.2, key=jax.random.key(1))
    assert (hj.classical.settle(network, cue) == patterns[3]).all()
    ```
    """
    cue, rules = run_fits(network, cue, num_steps, order, key)
    return _settle(network, cue, num_steps, order, key, rules.valid)


@eqx.filter_jit
def _settle(network: BinaryNetwork, cue, num_steps: int, order: AbstractOrder, key, valid) -> Float[Array, " neurons"]:
    network, cue = nondifferentiable((network, cue), _NO_GRADIENT)
    valid = valid & is_valid(network) & all_finite(network)
    network, cue = _finite_part((network, cue))

    def going(carry) -> Array:
        t, _, _, settled = carry
        return (t < num_steps) & ~settled

    def step(carry):
        t, state, before, _ = carry
        new, num_flips = order.step(network, state, None if key is None else jr.fold_in(key, t))
        return t + 1, new, state, (network.temperature == 0) & order.returns(num_flips, new, before)

    start = jnp.zeros((), int), cue, jnp.full_like(cue, jnp.nan), jnp.array(False)
    state = jax.lax.while_loop(going, step, start)[1]
    return nan_unless(valid & jnp.all(jnp.isfinite(network.field(state))), state, constant=True)


def run_fits(
    network: Any, cue: ArrayLike, num_steps: int, order: Any, key: PRNGKey | None
) -> tuple[Float[Array, " neurons"], Rules]:
    """Validates the arguments of a run; returns the cue, and the rules."""
    if not isinstance(network, BinaryNetwork):
        fail("network", "a BinaryNetwork", kind(network))
    rules, neurons = Rules(), "(neurons,): use `jax.vmap` for more than one"
    cue = rules.real("cue", cue, "finite", shape=(network.num_neurons,), names=neurons)
    network.coding.mean_fits(rules)
    network.coding.entries_fit(rules, "cue", cue, zero=True)
    at_least("num_steps", num_steps, 1)
    if not isinstance(order, AbstractOrder):
        fail("order", "`Synchronous()` or `Asynchronous()`", kind(order))
    if key is not None:
        key_fits("key", key)
    else:
        needed = "a random key, as the temperature is not zero"
        rules.holds("key", lambda temperature: temperature == 0, needed, network.temperature, got="None")
    return cue, rules


def _finite_part(tree: PyTree) -> PyTree:
    """Replaces non-finite numbers by zero, so that a run whose result is discarded terminates."""
    return jtu.tree_map(lambda x: jnp.where(jnp.isfinite(x), x, 0) if eqx.is_inexact_array(x) else x, tree)
