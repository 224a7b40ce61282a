"""Retrieval: the trajectory from a cue to a stored memory, with overlaps and energies."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .._checks import Rules, at_least, fail, is_concrete, kind, shape_is
from .._dynamics import AbstractEnergyDynamics
from .._integrate import as_problem, integrate
from .._misc import compiled, in_type, widened
from .._patterns import best_match, overlap_and_cosine
from .._results import RESULTS, Trajectory, card, describe_result, raise_unless_okay
from .._types import Array, ArrayLike, Bool, Float, Int, Patterns, PyTree, Scalar, ScalarLike, State


class RetrievalRun(eqx.Module):
    r"""Result of `hopfield_jax.associative.retrieve`.

    **Attributes:**

    - `times`: shape (times,).
    - `overlap`: $m^\mu = \xi^\mu \cdot g/N$ at those times, shape (times, patterns).
    - `similarity`: cosine between each pattern and $g$, shape (times, patterns).
    - `energy`: shape (times,).
    - `winner`: index of the pattern most similar to the final output; -1 if the solve failed.
    - `sign`: -1 if the output is most similar to the inverse of that pattern, −ξ (with negative similarity), in a
      network where the final state and its negative have the same energy, such as tanh units without input; else 1, and
      0 if the solve failed.
    - `output`: final activation $g$ of the selected neurons, shape (neurons,).
    - `state`: final state. `speed`: largest rate of change at the end, zero at rest.
    - `num_steps`: steps of the solver. `result`: the result code.
    """

    times: Float[Array, " times"]
    overlap: Float[Array, "times patterns"]
    similarity: Float[Array, "times patterns"]
    energy: Float[Array, " times"]
    winner: Int[Array, ""]
    sign: Int[Array, ""]
    output: Float[Array, " neurons"]
    state: PyTree[Array]
    speed: Scalar
    num_steps: Int[Array, ""]
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.winner,
            lambda: (
                f"winner {self.winner} with similarity {self.similarity[-1, self.winner]:.4f}"
                f"{' (its inverse)' * (int(self.sign) < 0)}, energy "
                f"{self.energy[0]:.4g} -> {self.energy[-1]:.4g}, {self.num_steps} steps, rate of change at the end "
                f"{self.speed:.1e}\n  result: {describe_result(self.result)}"
            ),
        )


def retrieve(
    network: AbstractEnergyDynamics,
    patterns: Patterns,
    cue: State,
    *,
    t1: ScalarLike = 20.0,
    num_times: int = 41,
    read: Callable | None = None,
    throw: bool = True,
    **integration: Any,
) -> RetrievalRun:
    r"""Integrates a network from a cue and determines the retrieved memory.

    **Main arguments:**

    - `network`: any energy network.
    - `patterns`: patterns to compare with, shape (patterns, neurons).
    - `cue`: initial state; an array, or a dict for networks of several layers. Batch with `jax.vmap`.
    - `t1`: final time, in the unit of the time constants; `num_times` equally spaced times are saved, ends included.

    **Other arguments:**

    - `read`: selects the neurons that hold the memory from the activations; default the only array, or the one named
      `visible`.
    - `throw`, `integration`: as in `hopfield_jax.integrate` (`solver`, `dt0`, `adjoint`, `noise`, …).

    **Returns:** a `RetrievalRun`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(5, 100, key=jax.random.key(0))
    network = hj.associative.graded_network(patterns, beta=4.0)
    found = hj.associative.retrieve(network, patterns, hj.flip(patterns[2], 0.2, key=jax.random.key(1)))
    assert found.winner == 2
    ```
    """
    if not isinstance(network, AbstractEnergyDynamics):
        fail("network", "an energy network", kind(network))
    rules = Rules()
    patterns = rules.patterns("patterns", patterns)
    at_least("num_times", num_times, 2)
    network, cue, dtype = as_problem("cue", network, cue)
    patterns = widened(patterns)
    if read is None:  # activations have the shapes of states
        read, output = _read_visible, _read_visible(cue)
    else:
        output = jax.eval_shape(lambda: read(network.activations(cue)))
    shape_is("cue", output, patterns.shape[1:], "(the neurons of the patterns)")
    if own := {"t0", "saveat", "statistics", "event"} & set(integration):
        fail("integration", "arguments of `integrate` that `retrieve` does not set itself", sorted(own))
    t1 = rules.real("t1", t1, "positive")
    parts = np.linspace(0.0, 1.0, num_times, dtype=t1.dtype)
    observe = _Observe(network, patterns, read)
    # During the solve for constant steps, which share their products; else after it, as a batch of solves of different
    # lengths would copy the patterns for every cue.
    inside = observe if isinstance(integration.get("solver"), dfx.Euler) else None
    saveat = parts * (np.asarray(t1) if is_concrete(t1) else t1)
    path = integrate(network, cue, t1=t1, saveat=saveat, statistics=inside, throw=False, **integration)
    out = _summarise(observe, path, inside is not None, rules.valid)
    if jnp.finfo(dtype).bits < 32:
        out = eqx.tree_at(lambda found: (found.output, found.state), out, in_type((out.output, out.state), dtype))
    return raise_unless_okay(out, out.result) if throw else out


class _Observe(eqx.Module):
    """Overlaps, cosines and energy of a state."""

    network: AbstractEnergyDynamics
    patterns: Patterns
    read: Callable

    def __call__(self, t: Any, y: State, args: Any) -> tuple[Array, Array, Scalar]:
        output = self.read(self.network.activations(y))
        return *overlap_and_cosine(self.patterns, output), self.network.energy(y)


@compiled
def _summarise(observe: _Observe, path: Trajectory, observed: bool, valid: ArrayLike) -> RetrievalRun:
    network, read = observe.network, observe.read
    values = path.values if observed else jax.vmap(lambda y: observe(None, y, None))(path.values)
    overlaps, similarities, energies = values
    rate = network.vector_field(path.final_time, path.final, None)

    def is_odd() -> Bool[Array, ""]:
        terms = jnp.stack(list(network.energy_terms(path.final).values()))
        negative = network.energy(jtu.tree_map(jnp.negative, path.final))
        # Two sums of the same terms, equal to much better than the square root of the type's precision.
        return jnp.abs(jnp.sum(terms) - negative) <= jnp.finfo(terms.dtype).eps ** 0.5 * jnp.sum(jnp.abs(terms))

    inverted = -jnp.min(similarities[-1]) > jnp.max(similarities[-1])  # only then is it asked, in a batch by any member
    odd = jax.lax.cond(eqxi.unvmap_any(inverted), is_odd, lambda: jnp.array(False))
    winner, sign = best_match(similarities[-1], odd)
    return RetrievalRun(
        times=path.times,
        overlap=overlaps,
        similarity=similarities,
        energy=energies,
        winner=winner,
        sign=sign,
        output=read(network.activations(path.final)),
        state=path.final,
        speed=jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in jtu.tree_leaves(rate)])),
        num_steps=path.stats["num_steps"],
        result=RESULTS.where(valid, path.result, RESULTS.invalid_parameter),
    )


def _read_visible(g: State) -> Array:
    if isinstance(g, dict):
        if "visible" not in g:
            fail("read", f"a function that picks one of the layers {sorted(g)}, as none is named 'visible'", None)
        return g["visible"]
    return g
