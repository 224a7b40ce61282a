"""One trial of a learning rule: store random patterns, and retrieve the first of them."""

from collections.abc import Callable

import jax.random as jr

from .._checks import fail, key_fits, kind, sieved, takes
from .._couplings import AbstractCouplings
from .._patterns import flip, random_patterns
from .._types import Array, PRNGKey, Scalar, ScalarLike
from ._network import BinaryNetwork
from ._order import AbstractOrder, Asynchronous
from ._retrieve import settle

_IN_RANDOM_ORDER = Asynchronous()


def recall(
    rule: Callable[[Array], AbstractCouplings],
    num_patterns: int,
    num_neurons: int,
    cue_overlap: ScalarLike = 1.0,
    *,
    temperature: ScalarLike = 0.0,
    num_steps: int = 200,
    order: AbstractOrder = _IN_RANDOM_ORDER,
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
    finite. For several trials use `jax.vmap` over keys.

    **Raises:** `ValueError` for invalid arguments.

    ```python
    import jax
    import hopfield_jax as hj

    overlap = hj.classical.recall(hj.classical.hebbian, 10, 400, cue_overlap=0.6, key=jax.random.key(0))
    assert overlap > 0.99
    ```
    """
    takes("rule", rule, "patterns")
    key_fits("key", key)
    temperature = sieved("temperature", temperature, "nonnegative", ())
    share = 0.5 * (1 - sieved("cue_overlap", cue_overlap, "cosine", ()))
    pattern_key, cue_key, run_key = jr.split(key, 3)
    patterns = random_patterns(num_patterns, num_neurons, key=pattern_key)
    couplings = rule(patterns)
    if not isinstance(couplings, AbstractCouplings):
        fail("rule", "a function of patterns that returns couplings", kind(couplings))
    network = BinaryNetwork(couplings, temperature=temperature)
    cue = flip(patterns[0], share, key=cue_key)
    state = settle(network, cue, num_steps=num_steps, order=order, key=run_key)
    return network.coding.overlap(patterns[:1], state)[0]
