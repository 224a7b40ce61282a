"""Couplings as a generating function."""

import jax.numpy as jnp

from .._checks import fail
from .._types import Array, Float, Scalar
from .._units import AbstractGeneratingFunction
from ._couplings import AbstractCouplings, couplings_fit


class MemoryQuadratic(AbstractGeneratingFunction):
    r"""Couplings as a generating function: $L(x) = \frac12 x^\top Jx$, activation $Jx$ (Lotito 2025, section 5.2).

    It is convex if no eigenvalue of $J$ is negative, as for sums of outer products with their diagonal. Without it
    (footnote 3) it is **not**: as the generating function of a *visible* layer it gives a dynamics whose energy may
    rise; for a hidden layer it is harmless.

    **Arguments:**

    - `couplings`: symmetric ones. The paper's $\frac{\tilde\beta}{2}\lVert\Xi x\rVert^2$, with $\tilde\beta$ =
      β/patterns, has `hebbian(patterns, weights, self_coupling=True)` with $N\tilde\beta$ for every weight.

    **Raises:** `ValueError` for anything else.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    hebb = hj.classical.hebbian(jnp.array([[1.0, -1.0]]), self_coupling=True)
    assert hj.MemoryQuadratic(hebb).activation(jnp.array([1.0, 0.0])).tolist() == [0.5, -0.5]
    ```
    """

    couplings: AbstractCouplings

    def __check_init__(self):
        couplings_fit("MemoryQuadratic.couplings", self.couplings, symmetric=True)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\frac12 x^\top Jx$, summed over leading axes."""
        if x.shape[-1] != self.couplings.num_neurons:
            fail("y", f"{self.couplings.num_neurons} neurons, as the couplings have", f"shape {x.shape}")
        return jnp.sum(jnp.vectorize(self.couplings.quadratic, signature="(n)->()")(x))
