"""Networks of graded units with any couplings."""

from typing import Any

from .._checks import fail, kind
from .._dynamics import AbstractDynamics, AbstractEnergyDynamics, Layer
from .._types import Array, Float, Scalar
from ._couplings import AbstractCouplings, couplings_fit


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
        _graded_fits(self, symmetric=True)

    def layers(self) -> Layer:
        """The single layer."""
        return self.layer

    def interactions(self, g: Float[Array, " neurons"]) -> dict[str, Scalar]:
        r"""$-\frac12 g^\top Jg$, named `couplings`."""
        return {"couplings": -self.couplings.quadratic(g)}


def _graded_fits(network: GradedNetwork | GradedEnergyNetwork, *, symmetric: bool = False) -> None:
    name = type(network).__name__
    couplings_fit(f"{name}.couplings", network.couplings, symmetric=symmetric)
    if not isinstance(network.layer, Layer):
        fail(f"{name}.layer", "a `hopfield_jax.Layer`", kind(network.layer))
