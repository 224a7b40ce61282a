"""How the states of a layer settle before they are read, and how that is differentiated."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Checked, at_least, domain
from .._types import Array, Bool, Float, Parameter, Scalar

Update = Callable[[Array], Array]


class AbstractSettling(Checked):
    """The updates of a layer before the last one, after which values are read.

    **Attributes:** `widens`, whether 16-bit numbers are computed in float32.
    """

    widens = False

    @abc.abstractmethod
    def __call__(self, update: Update, start: Float[Array, "*copies neurons"]) -> Float[Array, "*copies neurons"]:
        """The state before the last update; `update` maps all states at once."""

    @abc.abstractmethod
    def input(self, start: Float[Array, " neurons"]) -> Float[Array, "..."] | float:
        """The input $I$ of the network that starts at `start`."""


class Unrolled(AbstractSettling):
    r"""A number of updates, differentiated one by one; memory grows with it. **Arguments:** `num_updates`, one for
    attention."""

    num_updates: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        at_least("Unrolled.num_updates", self.num_updates, 1)

    def __call__(self, update: Update, start: Float[Array, "*copies neurons"]) -> Float[Array, "*copies neurons"]:
        """All updates but the last."""
        count = self.num_updates - 1
        return jax.lax.scan(lambda v, _: (update(v), None), start, length=count, unroll=max(1, min(count, 8)))[0]

    def input(self, start: Float[Array, " neurons"]) -> float:
        """None: the query is where the state starts."""
        return 0.0


class Implicit(AbstractSettling):
    r"""Updates until rest, differentiated by the implicit function theorem: memory does not grow with their number.

    A state of rest does not depend on where it started, so that a query would get no gradient. It is therefore an input
    as well, $v \leftarrow d\,W_Qx + K^\top p(Kv)$. The adjoint equation is solved by as many updates. States that have
    not settled after `max_updates` are kept, with a zero gradient.

    **Arguments:**

    - `drive`: $d$, of the input.
    - `tolerance`: largest change in one update that counts as rest, relative to the largest entry at the start or
      to one; the default, 0, takes $\varepsilon^{0.6}$ for the type's precision $\varepsilon$, 7e-5 in float32.
    - `max_updates`: the largest number.
    """

    widens = True
    drive: Parameter[Scalar] = eqx.field(metadata=domain("finite"), default=1.0)
    tolerance: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=0.0)
    max_updates: int = eqx.field(static=True, default=1000)

    def __check_init__(self):
        at_least("Implicit.max_updates", self.max_updates, 1)

    def __call__(self, update: Update, start: Float[Array, "*copies neurons"]) -> Float[Array, "*copies neurons"]:
        """The state at rest."""

        def step(v: Array) -> Array:
            return update(v) - v

        def linear_solve(product: Update, b: Array) -> Array:
            size = jnp.max(jnp.abs(b))
            b = b / jnp.where(size > 0, size, 1)  # tolerances are relative to numbers of order one
            return size * self._iterate(lambda x: product(x) - b, -b)

        def tangent_solve(product: Update, b: Array) -> Array:
            return jax.lax.custom_linear_solve(product, b, linear_solve, linear_solve)

        root = jax.lax.custom_root(step, start, self._iterate, tangent_solve)
        change = jnp.max(jnp.abs(step(jax.lax.stop_gradient(root))), axis=-1, keepdims=True)
        return jnp.where(change <= self._tolerance(start), root, jax.lax.stop_gradient(root))

    def input(self, start: Float[Array, " neurons"]) -> Float[Array, " neurons"]:
        r"""$d\,W_Qx$."""
        return self.drive * start

    def _iterate(self, step: Update, start: Array) -> Array:
        """Adds the step until it is small everywhere."""

        tolerance = self._tolerance(start)

        def going(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
            _, change, count = carry
            return (jnp.max(jnp.abs(change)) > tolerance) & (count < self.max_updates)

        def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, change, count = carry
            return x + change, step(x + change), count + 1

        return jax.lax.while_loop(going, again, (start, step(start), jnp.array(0)))[0]

    def _tolerance(self, start: Array) -> Scalar:
        given = self.tolerance.astype(start.dtype)
        share = jnp.where(given > 0, given, float(jnp.finfo(start.dtype).eps) ** 0.6)
        return jax.lax.stop_gradient(share * jnp.maximum(1, jnp.max(jnp.abs(start))))
