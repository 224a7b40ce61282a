"""Networks of binary units, and of graded ones, with any couplings."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr

from .._checks import Checked, domain, fail, kind
from .._couplings import AbstractCouplings
from .._dynamics import AbstractDynamics, AbstractEnergyDynamics, Layer
from .._misc import inner
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
        if not isinstance(self.couplings, AbstractCouplings):
            fail("BinaryNetwork.couplings", "couplings, of `hebbian` for example", kind(self.couplings))
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

    def update(self, state: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        """A synchronous update without noise."""
        return self.output(self.field(state), state)

    def energy(self, state: Float[Array, " neurons"]) -> Scalar:
        r"""$E = -\frac12\sum_{ij}J_{ij}s_is_j + \sum_i\theta_is_i$; NaN unless the couplings are symmetric.

        Asynchronous updates without noise never raise it, if no $J_{ii}$ is negative.
        """
        if not self.couplings.symmetric:
            return jnp.full((), jnp.nan, state.dtype)
        return inner(self.thresholds(), state) + self.couplings.energy(state)


class GradedNetwork(AbstractDynamics):
    r"""Graded units with any couplings, $\tau\dot v = -v + J\phi(v) + I$.

    **Arguments:** `couplings`; `layer`, a `hopfield_jax.Layer` of units ($\phi$ is their activation), $\tau$ and $I$.
    For symmetric couplings `GradedEnergyNetwork` has an energy as well.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(5, 200, key=jax.random.key(0))
    couplings = hj.classical.dilute(hj.classical.hebbian(patterns), 50, key=jax.random.key(1))
    network = hj.classical.GradedNetwork(couplings, hj.Layer(hj.LogCosh(beta=4.0)))
    found = hj.steady_state(network, 0.5 * patterns[0])
    assert hj.overlap(patterns, network.layer.units.activation(found.state))[0] > 0.95
    ```
    """

    couplings: AbstractCouplings
    layer: Layer

    def __check_init__(self):
        _graded_fits(self)

    def vector_field(self, t: Any, y: Float[Array, " neurons"], args: Any = None) -> Float[Array, " neurons"]:
        r"""$(-v + J\phi(v) + I)/\tau$."""
        return (self.layer.drive(y) - y + self.couplings.field(self.layer.units.activation(y))) / self.layer.tau


class GradedEnergyNetwork(AbstractEnergyDynamics):
    r"""`GradedNetwork` with symmetric couplings, which descends an energy (Hopfield 1984):
    $E = (v - I)\cdot g - L(v) - \frac12 g^\top Jg$ with $g = \nabla L(v)$.

    **Arguments:** as `GradedNetwork`.

    ```python
    import jax
    import hopfield_jax as hj

    patterns = hj.random_patterns(40, 100, key=jax.random.key(0))  # load 0.4
    network = hj.classical.GradedEnergyNetwork(hj.classical.pseudo_inverse(patterns), hj.Layer(hj.LogCosh(beta=8.0)))
    rate = network.vector_field(0.0, 0.7 * patterns[3])
    assert network.energy(0.7 * patterns[3] + 0.1 * rate) < network.energy(0.7 * patterns[3])
    ```
    """

    couplings: AbstractCouplings
    layer: Layer

    def __check_init__(self):
        _graded_fits(self)
        if not self.couplings.symmetric:
            fail("GradedEnergyNetwork.couplings", "symmetric ones (or take `GradedNetwork`)", "others")

    def layers(self) -> Layer:
        """The single layer."""
        return self.layer

    def interactions(self, g: Float[Array, " neurons"]) -> dict[str, Scalar]:
        r"""$-\frac12 g^\top Jg$, named `couplings`."""
        return {"couplings": self.couplings.energy(g)}


def _graded_fits(network: GradedNetwork | GradedEnergyNetwork) -> None:
    name = type(network).__name__
    if not isinstance(network.couplings, AbstractCouplings):
        fail(f"{name}.couplings", "couplings, of `hebbian` for example", kind(network.couplings))
    if not isinstance(network.layer, Layer):
        fail(f"{name}.layer", "a `hopfield_jax.Layer`", kind(network.layer))
