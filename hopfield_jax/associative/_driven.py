"""Energy networks whose input changes in time."""

from collections.abc import Callable
from typing import Any

from .._checks import fail, kind
from .._dynamics import AbstractDynamics, AbstractEnergyDynamics
from .._types import ScalarLike, State


class DrivenNetwork(AbstractDynamics):
    r"""An energy network under an input that changes in time, $I(t)$.

    `at(t)` is the network with its input frozen at that time, which has an energy and is taken by all verbs. Along the
    dynamics the energy changes by dissipation and by the input's work,

    $$\frac{\mathrm d}{\mathrm dt}E(v, I(t)) = -\tau\,\dot v^\top \nabla^2 L\,\dot v - \dot I \cdot g .$$

    **Arguments:**

    - `build`: `input -> AbstractEnergyDynamics`.
    - `stimulus`: `t -> input`, for example a `Stream`; pass its jumps to `hopfield_jax.integrate` as `jump_times`.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    A = hj.associative
    patterns = hj.orthogonal_patterns(2, 20, key=jax.random.key(0))
    stream = A.Stream(patterns, A.cyclic_protocol(2, 2), dwell=10.0)
    network = A.DrivenNetwork(lambda input: A.graded_network(patterns, beta=2.0, input=input), stream)
    energy = lambda t, y, args: network.at(t).energy(y)
    times = jnp.array([9.0, 19.0])
    run = hj.integrate(network, jnp.zeros(20), t1=20.0, jump_times=stream.jump_times(), saveat=times, statistics=energy)
    assert run.values[1] < 0
    assert hj.linearise(network.at(20.0), run.final).stable
    ```
    """

    build: Callable
    stimulus: Callable

    def __check_init__(self):
        for name in ("build", "stimulus"):
            if not callable(getattr(self, name)):
                fail(f"DrivenNetwork.{name}", "a function", kind(getattr(self, name)))

    def at(self, t: ScalarLike) -> AbstractEnergyDynamics:
        """The network with the input of time `t`."""
        network = self.build(self.stimulus(t))
        if not isinstance(network, AbstractEnergyDynamics):
            fail("build", "a function that returns an energy network", kind(network))
        return network

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        """That of the network at time `t`."""
        return self.at(t).vector_field(t, y, args)
