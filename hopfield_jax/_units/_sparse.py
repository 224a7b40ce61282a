"""Generating functions whose activations are exactly zero where the input is small."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Rules, domain
from .._roots import implicit
from .._types import Array, Float, Parameter, Scalar
from ._generating import AbstractGeneratingFunction


class Sparsemax(AbstractGeneratingFunction):
    r"""Sparse attention (Martins and Astudillo 2016): the Euclidean projection onto the simplex,

    $$L(x) = \frac1\beta \max_{p \ge 0,\, \sum_i p_i = 1} \Big[\beta\, p \cdot x - \frac12\sum_i p_i^2 + \frac12\Big],
      \qquad \nabla L = p = [\beta x - \tau]_+ .$$

    Entries far below the largest are exactly zero. If the largest exceeds all others by $1/\beta$, $p$ selects it
    alone: one update retrieves a memory exactly.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    p = hj.Sparsemax().activation(jnp.array([1.0, 0.5, -1.0]))
    assert jnp.allclose(p, jnp.array([0.75, 0.25, 0.0]))
    ```
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\frac1\beta\max_p[\beta\,p\cdot x - \Omega(p)]$, summed over leading axes."""
        return jnp.sum(_simplex_maximum(_line, jnp.ones_like(self.beta), self.beta * x)) / self.beta


class Entmax(AbstractGeneratingFunction):
    r"""Between softmax and sparsemax (Peters, Niculae and Martins 2019), with the entropy of Tsallis as regulariser:

    $$L(x) = \frac1\beta \max_{p \ge 0,\, \sum_i p_i = 1} [\beta\,p \cdot x - \Omega(p)], \quad
      \Omega(p) = \frac{\sum_i p_i^\alpha - 1}{\alpha(\alpha - 1)}, \quad
      \nabla L = p = [(\alpha - 1)\beta x - \tau]_+^{1/(\alpha - 1)} .$$

    $\alpha \to 1$ is `LogSumExp`, $\alpha = 2$ is `Sparsemax`. If the largest entry exceeds all others by
    $1/(\beta(\alpha - 1))$, $p$ selects it alone. Both parameters may be trained. In float32 the derivative with
    respect to $\alpha$ loses digits below about $\alpha$ = 1.01.

    **Arguments:** `alpha`, $\alpha$ within (1, 2]; `beta`, $\beta$ > 0.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    p = hj.Entmax(alpha=1.5).activation(jnp.array([1.0, 0.5, -1.0]))
    assert jnp.allclose(p, jnp.array([0.673993, 0.326007, 0.0]), atol=1e-6)
    ```
    """

    alpha: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.5)
    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)

    def relations(self, rules: Rules) -> None:
        r"""States that $1 < \alpha \le 2$."""
        rules.holds("Entmax.alpha", lambda alpha: (alpha > 1) & (alpha <= 2), "within (1, 2]", self.alpha)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\frac1\beta\max_p[\beta\,p\cdot x - \Omega(p)]$, summed over leading axes."""
        return jnp.sum(_simplex_maximum(_power, self.alpha - 1, self.beta * x)) / self.beta


class LogSumReLU(AbstractGeneratingFunction):
    r"""Memories with compact support, by the kernel of Epanechnikov (Hoover et al. 2025):

    $$L(x) = \frac1\beta \log\Big(\delta + \sum_i [1 + \beta x_i]_+\Big).$$

    Made for squared distances, $x_\mu = -\frac12\lVert g - \xi^\mu\rVert^2$: see
    `hopfield_jax.associative.DistanceNetwork`. A memory then acts within the radius $\sqrt{2/\beta}$ only. $L$ is not
    convex, which the descent of visible neurons does not require of their hidden ones.

    **Arguments:** `beta`, $\beta$ > 0; `delta`, $\delta$ > 0, keeps $L$ finite where no memory acts.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    units = hj.LogSumReLU(beta=2.0)
    assert units.activation(jnp.array([-0.6, -1.0])).tolist() == [0, 0]  # both too far away
    ```
    """

    beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)
    delta: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1e-6)

    def __call__(self, x: Float[Array, "*copies neurons"]) -> Scalar:
        r"""$\frac1\beta\log(\delta + \sum_i[1 + \beta x_i]_+)$, summed over leading axes."""
        return jnp.sum(jnp.log(self.delta + jnp.sum(jax.nn.relu(1 + self.beta * x), axis=-1))) / self.beta


def _line(order: Array, y: Array) -> Array:
    """$[1 + y]_+$: the power below at order 1."""
    return jax.nn.relu(1 + y)


def _power(order: Array, y: Array) -> Array:
    r"""$[1 + \epsilon y]_+^{1/\epsilon}$, which tends to $e^y$ with the order $\epsilon$."""
    inside = 1 + order * y > 0
    return jnp.where(inside, jnp.exp(jnp.log1p(jnp.where(inside, order * y, 0)) / order), 0)


def _simplex_maximum(power: Callable[[Array, Array], Array], order: Array, z: Array) -> Array:
    r"""$\max_p[p \cdot z - \Omega(p)]$ over the simplex of the last axis, for $\alpha = 1 + \epsilon$. By duality it is

    $$\min_t\Big[t + \frac1\alpha\Big(\sum_i p_i\,(1 + \epsilon(z_i - t)) - 1\Big)\Big], \qquad
      p_i = [1 + \epsilon(z_i - t)]_+^{1/\epsilon},$$

    where $\sum_i p_i = 1$ ($\tau = \epsilon t - 1$). The minimum $t$ is a root with an implicit derivative, so that
    derivatives of all orders in use follow from this formula.
    """
    top = jax.lax.stop_gradient(jnp.max(z, axis=-1, keepdims=True))
    z = z - top  # exact: a shift of z shifts t and the maximum
    t = implicit(lambda t: _excess(power, order, z, t), _normaliser(power, order, z))
    y = z - t
    rest = jnp.sum(power(order, y) * (1 + order * y), axis=-1) - 1
    return (top + t)[..., 0] + rest / (1 + order)


def _excess(power: Callable[[Array, Array], Array], order: Array, z: Array, t: Array) -> Array:
    return jnp.sum(power(order, z - t), axis=-1, keepdims=True) - 1


def _normaliser(power: Callable[[Array, Array], Array], order: Array, z: Array) -> Array:
    r"""$t$ with $\sum_i p_i = 1$, for entries of at most 0, by Newton's method; without derivatives.

    The equation solved is $\lVert[1 + \epsilon(z - t)]_+\rVert_{1/\epsilon} = 1$. A norm is convex, so that $t$ rises
    from 0 to the root and never passes it, except by rounding, which ends the loop.
    """
    order, z = jax.lax.stop_gradient((order, z))

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        t, going = state
        excess, slope = jax.jvp(lambda t: _excess(power, order, z, t), (t,), (jnp.ones_like(t),))
        total = 1 + excess
        new = t + total * jnp.expm1(-order * jnp.log(total)) / (order * slope)
        return jnp.where(going, jnp.maximum(t, new), t), going & (new > t)

    start = jnp.zeros_like(z[..., :1])
    return jax.lax.while_loop(lambda state: jnp.any(state[1]), step, (start, start == 0))[0]
