"""Maps h(g) from visible activations to hidden neurons (Lotito 2025, sections 3.1 and 3.2)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import Checked, Rules, at_least, describe, domain, fail, is_concrete
from .._misc import matmul
from .._types import Array, Float, Parameter, Patterns


class MemoryMap(Checked):
    r"""$h = \Xi g + b$: one memory per hidden neuron (J = Ξ, eq. 9).

    **Arguments:**

    - `patterns`: $\Xi$, shape (patterns, neurons).
    - `bias`: $b$, a scalar or one number per pattern. -inf masks a pattern, such as padding: for hidden units that are
      silent at -inf (`LogSumExp`, `Softplus`, `RectifiedPower`, `Exponential`) it has no effect and a zero gradient.

    **Raises:** `ValueError` for patterns that are not a finite, non-empty matrix, or a bias of another shape or that
    masks every pattern.
    """

    patterns: Parameter[Patterns] = eqx.field(metadata=domain("finite", ndim=2))
    bias: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("mask", ndim=(0, 1)), default=0.0)

    def __check_init__(self):
        Rules().patterns("MemoryMap.patterns", self.patterns)
        if is_concrete(self.bias) and np.all(np.isneginf(self.bias)):
            fail("MemoryMap.bias", "a pattern that is not masked", describe(self.bias))
        if self.bias.ndim and self.bias.shape[0] != self.patterns.shape[0]:
            fail("MemoryMap.bias", f"one number or {self.patterns.shape[0]}, one a pattern", f"{self.bias.shape[0]}")

    def __call__(self, g: Float[Array, " neurons"]) -> Float[Array, " patterns"]:
        r"""$\Xi g + b$; `g` has shape (neurons,)."""
        if g.shape != self.patterns.shape[1:]:
            fail(
                "y",
                f"a visible state of shape {self.patterns.shape[1:]}, as the patterns have (a batch: `jax.vmap`)",
                f"shape {g.shape}",
            )
        # Replaces -inf by a finite number that is equally silent, so that products with zero and slopes are finite.
        bias = jnp.maximum(self.bias, -(float(jnp.finfo(self.bias.dtype).max) ** 0.75))
        return matmul(g, self.patterns.T) + jnp.where(jnp.all(jnp.isneginf(self.bias)), jnp.nan, bias)


class IdentityMap(Checked):
    r"""$h = \mathbb{1} g + b$: the first `num_hidden` activations, padded with zeros if there are fewer (J = 1, the
    rectangular identity). The memories are then stored in a generating function.

    **Arguments:**

    - `num_hidden`: number of hidden neurons; default that of visible ones.
    - `bias`: $b$, a scalar or one number per hidden neuron.
    """

    num_hidden: int | None = eqx.field(static=True, default=None)
    bias: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)

    def __check_init__(self):
        if self.num_hidden is not None:
            at_least("IdentityMap.num_hidden", self.num_hidden, 1)

    def __call__(self, g: Float[Array, " neurons"]) -> Float[Array, " hidden"]:
        r"""$\mathbb{1} g + b$; `g` has shape (neurons,)."""
        size = g.shape[0] if self.num_hidden is None else self.num_hidden
        if self.bias.ndim and self.bias.shape != (size,):
            fail("IdentityMap.bias", f"one number or {size}, one a hidden neuron", f"shape {self.bias.shape}")
        return jnp.pad(g, (0, max(0, size - g.shape[0])))[:size] + self.bias
