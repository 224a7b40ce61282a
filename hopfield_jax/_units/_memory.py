"""Generating functions that depend on the stored memories."""

import equinox as eqx
import jax.numpy as jnp

from .._checks import domain, fail, patterns_fit
from .._misc import outer_form
from .._types import Array, Float, Parameter, Patterns, Scalar
from ._generating import AbstractGeneratingFunction


class MemoryQuadratic(AbstractGeneratingFunction):
    r"""Hebb's couplings as a generating function: $L(x) = \frac{\tilde\beta}{2}\lVert\Xi x\rVert^2$, activation
    $\tilde\beta\,\Xi^\top\Xi x$ (Lotito 2025, section 5.2).

    With `self_coupling=False` the diagonal of $\Xi^\top\Xi$ is removed (footnote 3): $L(x) = \frac{\tilde\beta}{2}
    (\lVert\Xi x\rVert^2 - \sum_i x_i^2\sum_\mu (\xi^\mu_i)^2)$. This function is **not** convex: as the generating
    function of a *visible* layer it gives a dynamics whose energy may rise; for a hidden layer it is harmless. The
    couplings are applied as two products with $\Xi$, without a neurons × neurons matrix.

    **Arguments:**

    - `patterns`: $\Xi$, shape (patterns, neurons), any number of rows.
    - `strength`: $\tilde\beta$ > 0; β/patterns is the paper's normalisation, β/neurons the one of Hopfield networks.
    - `self_coupling`: whether the diagonal is kept (static). It is by default, unlike elsewhere, for convexity.

    **Raises:** `ValueError` for patterns that are not a finite, non-empty matrix.
    """

    patterns: Parameter[Patterns] = eqx.field(metadata=domain("finite", ndim=2))
    strength: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)
    self_coupling: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        patterns_fit("MemoryQuadratic.patterns", self.patterns)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\frac{\tilde\beta}{2}\lVert\Xi x\rVert^2$, without the diagonal if requested; summed over leading axes."""
        if x.shape[-1] != self.patterns.shape[1]:
            fail("y", f"{self.patterns.shape[1]} neurons, as the patterns have", f"shape {x.shape}")
        own = None if self.self_coupling else jnp.sum(jnp.square(self.patterns), axis=0)
        return self.strength * outer_form(self.patterns, jnp.ones_like(self.patterns[:, 0]), own, x)
