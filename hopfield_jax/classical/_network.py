"""Networks of binary units with any couplings."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr

from .._checks import Checked, domain, fail, kind
from .._couplings import AbstractCouplings, couplings_fit
from .._misc import inner, method
from .._types import Array, Float, Parameter, PRNGKey, Scalar
from ._coding import AbstractCoding, Spins


class BinaryNetwork(Checked):
    r"""Binary units (Hopfield 1982), with or without thermal noise (Glauber):

    $$s_i \leftarrow \text{high if } h_i > 0, \text{ low if } h_i < 0, \text{ unchanged if } h_i = 0, \qquad
      h_i = \sum_j J_{ij}s_j - \theta_i + \frac{T}{d}\,\zeta_i,$$

    with logistic noise $\zeta$ and $d$ the distance of the two values: then $P(s_i = \text{high}) = 1/(1 + e^{-d h/T})$
    with $h$ the field without noise, for spins $\langle s_i\rangle = \tanh(h/T)$. Asynchronous updates with symmetric
    couplings without diagonal sample $e^{-E/T}$.

    **Arguments:**

    - `couplings`: `hebbian(patterns)` or any others.
    - `threshold`: $\theta$, one number or shape (neurons,).
    - `temperature`: $T$ ≥ 0.
    - `coding`: `Spins()` for ±1, `Bits(activity)` for 0 and 1.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(5, 200, key=jax.random.key(0))
    network = hj.classical.BinaryNetwork(hj.classical.hebbian(patterns))
    cue = hj.flip(patterns[0], 0.2, key=jax.random.key(1))
    assert network.energy(network.update(cue)) < network.energy(cue)
    ```
    """

    couplings: AbstractCouplings
    threshold: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)
    temperature: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=0.0)
    coding: AbstractCoding = eqx.field(default_factory=Spins)

    def __check_init__(self):
        couplings_fit("BinaryNetwork.couplings", self.couplings)
        if not isinstance(self.coding, AbstractCoding):
            fail("BinaryNetwork.coding", "`Spins()` or `Bits(mean)`", kind(self.coding))
        if self.threshold.ndim and self.threshold.shape != (self.num_neurons,):
            fail("BinaryNetwork.threshold", f"one number or shape ({self.num_neurons},)", self.threshold.shape)

    @property
    def num_neurons(self) -> int:
        """$N$."""
        return self.couplings.num_neurons

    def thresholds(self) -> Float[Array, " neurons"]:
        r"""$\theta_i$ of every neuron."""
        return jnp.broadcast_to(self.threshold, (self.num_neurons,))

    def field(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$\sum_j J_{ij}s_j - \theta_i$, without noise."""
        return self.couplings.field(state) - self.thresholds()

    def noise(self, shape: tuple[int, ...], *, key: PRNGKey) -> Float[Array, "..."]:
        r"""Noise $\frac{T}{d}\zeta$ of the fields."""
        distance = self.coding.high - self.coding.low
        return self.temperature / distance * jr.logistic(key, shape, self.temperature.dtype)

    def output(self, field: Float[Array, " sites"], old: Float[Array, " sites"]) -> Float[Array, " sites"]:
        """New states of neurons in given fields; a zero field keeps the old state."""
        low, high = (jnp.asarray(x, old.dtype) for x in (self.coding.low, self.coding.high))
        return jnp.where(field > 0, high, jnp.where(field < 0, low, old))

    @method
    def update(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        """A synchronous update without noise."""
        return self.output(self.field(state), state)

    @method
    def energy(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$E = -\frac12\sum_{ij}J_{ij}s_is_j + \sum_i\theta_is_i$; NaN unless the couplings are symmetric.

        Asynchronous updates without noise never raise it, if no $J_{ii}$ is negative.
        """
        if not self.couplings.symmetric:
            return jnp.full((), jnp.nan, state.dtype)
        return inner(self.thresholds(), state) - self.couplings.quadratic(state)
