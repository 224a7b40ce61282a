"""Memories compared with the state by their distance."""

import equinox as eqx
import jax.numpy as jnp

from .._checks import Rules, domain, shape_is
from .._dynamics import AbstractEnergyDynamics, Layer
from .._misc import inner, matmul, method
from .._types import Array, Float, Parameter, Patterns, Scalar
from .._units import AbstractGeneratingFunction, LogSumReLU, Quadratic, generating_fits


class DistanceNetwork(AbstractEnergyDynamics):
    r"""Memories that attract a state by a function of its distances from them, a kernel density in logarithms:

    $$E(v) = -L_h(h), \quad h_\mu = -\tfrac12\lVert v - \xi^\mu\rVert^2, \qquad
      \tau\dot v = \sum_\mu f_\mu\,(\xi^\mu - v), \quad f = \nabla L_h.$$

    With `LogSumReLU(beta)` (Hoover et al. 2025) a memory acts within the radius $\sqrt{2/\beta}$. Where no other one
    acts, one update retrieves it exactly; where several act, their mean may be a new fixed point; where none acts,
    there is no force: `hopfield_jax.check_descent` and `linearise` report a dead zone.

    With `LogSumExp`, `Sparsemax` or `Entmax`, whose activations add up to one, it is the `AdiabaticNetwork` of
    `MemoryMap(patterns, bias)` with the bias $-\frac12\lVert\xi^\mu\rVert^2$.

    **Arguments:**

    - `patterns`: $\Xi$, shape (patterns, neurons).
    - `hidden`: $L_h$; by default `LogSumReLU()`.
    - `tau_visible`: $\tau$ > 0.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    patterns = jnp.array([[0.0, 0.0], [3.0, 0.0]])
    network = hj.associative.DistanceNetwork(patterns, hj.LogSumReLU(beta=1.0))
    assert network.update(jnp.array([0.5, 0.7])).tolist() == [0, 0]
    ```
    """

    patterns: Parameter[Patterns] = eqx.field(metadata=domain("finite", ndim=2))
    hidden: AbstractGeneratingFunction = eqx.field(default_factory=LogSumReLU)
    tau_visible: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def __check_init__(self):
        Rules().patterns("DistanceNetwork.patterns", self.patterns)
        generating_fits("DistanceNetwork.hidden", self.hidden)

    def layers(self) -> Layer:
        """The visible layer."""
        return Layer(Quadratic(), self.tau_visible)

    def interactions(self, g: Float[Array, " neurons"]) -> dict[str, Scalar]:
        r"""$-L_h(h) - \frac12\lVert g\rVert^2$, named `hidden`; the square cancels that of the visible layer."""
        return {"hidden": -self.hidden(self._hidden_state(g)) - 0.5 * inner(g, g)}

    @method
    def update(self, v: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""The mean of the memories, $v \leftarrow \sum_\mu f_\mu\xi^\mu / \sum_\mu f_\mu$ (mean shift); $v$ itself if
        no memory acts. It never raises the energy of the kernels above."""
        f = self.hidden.activation(self._hidden_state(v))
        total = jnp.sum(f)
        return jnp.where(total > 0, matmul(f / jnp.where(total > 0, total, 1), self.patterns), v)

    def _hidden_state(self, g: Array) -> Array:
        shape_is("y", g, self.patterns.shape[1:], "(neurons,), as the patterns have")
        return -0.5 * jnp.sum(jnp.square(g[None] - self.patterns), axis=1)
