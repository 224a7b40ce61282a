"""Orders of updates, which define one step."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._checks import at_least, fail
from .._misc import matmul
from .._types import Array, Bool, Float, Int, PRNGKey
from ._network import BinaryNetwork


class AbstractOrder(eqx.Module):
    """The order of updates."""

    @abc.abstractmethod
    def step(
        self, network: BinaryNetwork, state: Float[Array, " neurons"], key: PRNGKey | None
    ) -> tuple[Float[Array, " neurons"], Int[Array, ""]]:
        """The state after N updates, and the number of flips; without noise if there is no `key`."""

    @abc.abstractmethod
    def period(self, network: BinaryNetwork, state: Float[Array, " neurons"]) -> Int[Array, ""]:
        """Period of the state without noise: 1, 2, or 0 for longer or none."""

    @abc.abstractmethod
    def returns(
        self, num_flips: Int[Array, ""], new: Float[Array, " neurons"], before: Float[Array, " neurons"]
    ) -> Bool[Array, ""]:
        """Whether a step without noise proves that the state has settled; `before` is the state two steps earlier."""


class Synchronous(AbstractOrder):
    """All neurons at once (Little 1974)."""

    def step(
        self, network: BinaryNetwork, state: Float[Array, " neurons"], key: PRNGKey | None
    ) -> tuple[Float[Array, " neurons"], Int[Array, ""]]:
        """One update of all neurons."""
        field = network.field(state)
        new = network.output(field if key is None else field + network.noise(field.shape, key=key), state)
        return new, jnp.sum(new != state)

    def period(self, network: BinaryNetwork, state: Float[Array, " neurons"]) -> Int[Array, ""]:
        """1 for a fixed point, 2 for a cycle of two: symmetric couplings lead to one of these."""
        once = network.update(state)
        twice = network.update(once)
        return jnp.where(jnp.all(once == state), 1, jnp.where(jnp.all(twice == state), 2, 0))

    def returns(
        self, num_flips: Int[Array, ""], new: Float[Array, " neurons"], before: Float[Array, " neurons"]
    ) -> Bool[Array, ""]:
        """At rest, or back at the state two steps earlier."""
        return (num_flips == 0) | jnp.all(new == before)


class Asynchronous(AbstractOrder):
    r"""Sequential updates of single neurons; a step is $N$ updates.

    Neurons are updated in small blocks. Within a block, the change $\delta_k$ of the $k$-th depends only on earlier
    ones, $\delta = F(h + A\delta)$ with a strictly lower triangular $A$ of their couplings. This is iterated from
    $\delta = 0$ until nothing changes: at most as many iterations as neurons, usually two, because a single neuron
    rarely changes another one's sign. The result equals that of a loop over neurons up to the rounding of sums.

    **Arguments:**

    - `repeats`: whether neurons are drawn with replacement; by default each is updated once per step, in random order.
    - `block_size`: neurons per block, at least one. It affects the speed only.
    """

    repeats: bool = eqx.field(static=True, default=False)
    block_size: int = eqx.field(static=True, default=16)

    def __check_init__(self):
        at_least("Asynchronous.block_size", self.block_size, 1)

    def step(
        self, network: BinaryNetwork, state: Float[Array, " neurons"], key: PRNGKey | None
    ) -> tuple[Float[Array, " neurons"], Int[Array, ""]]:
        """Block after block."""
        if key is None:
            fail("key", "a random key, as the order is random", None)
        num_neurons, size = network.num_neurons, self.block_size
        order_key, noise_key = jr.split(key)
        if self.repeats:
            order = jr.randint(order_key, (num_neurons,), 0, num_neurons)
        else:
            order = jr.permutation(order_key, num_neurons)
        blocks = lambda x: jnp.pad(x, (0, -num_neurons % size)).reshape(-1, size)  # noqa: E731
        threshold = network.thresholds()[order] - network.noise(order.shape, key=noise_key)
        couplings, earlier = network.couplings, jnp.tril(jnp.ones((size, size), state.dtype), -1)

        def update(carry, block):
            (state, cache, num_flips), (sites, threshold, is_used) = carry, block
            old, field = state[sites], couplings.local(cache, state, sites) - threshold
            influence = earlier * couplings.among(sites)
            same = jnp.where(sites[:, None] == sites[None], earlier, 0)

            def changed(change: Array) -> Array:
                own = old + matmul(same, change) if self.repeats else old
                return jnp.where(is_used, network.output(field + matmul(influence, change), own) - own, 0)

            change, _ = jax.lax.while_loop(
                lambda pair: jnp.any(jnp.abs(pair[0] - pair[1]) > 0),  # false for NaN
                lambda pair: (changed(pair[0]), pair[0]),
                (changed(jnp.zeros_like(old)), jnp.zeros_like(old)),
            )
            cache = couplings.moved(cache, sites, change)
            return (state.at[sites].add(change), cache, num_flips + jnp.sum(change != 0)), None

        start = state, couplings.start(state), jnp.zeros((), int)
        (state, _, num_flips), _ = jax.lax.scan(
            update, start, (blocks(order), blocks(threshold), blocks(jnp.ones_like(order, bool)))
        )
        return state, num_flips

    def period(self, network: BinaryNetwork, state: Float[Array, " neurons"]) -> Int[Array, ""]:
        """1 for a fixed point."""
        return jnp.where(jnp.all(network.update(state) == state), 1, 0)

    def returns(
        self, num_flips: Int[Array, ""], new: Float[Array, " neurons"], before: Float[Array, " neurons"]
    ) -> Bool[Array, ""]:
        """At rest, if every neuron was updated."""
        return num_flips == 0 if not self.repeats else jnp.array(False)
