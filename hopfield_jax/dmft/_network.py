"""Networks with plastic synapses, and the effect of their stored patterns on a single site."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import at_least, domain, fail, kind
from .._misc import matmul
from .._synapses import AbstractSynapses
from .._types import Array, Float, Int, Parameter, PRNGKey, Scalar
from .._units import AbstractElementwise, AbstractSite
from ._kernels import AbstractPlasticityKernel
from ._model import AbstractPlasticModel
from ._schemes import AbstractScheme, Euler


class PlasticNetwork(AbstractPlasticModel):
    r"""A Hopfield network whose synapses are plastic during retrieval (Hara and Kabashima 2026):

    $$J_{ij}(t) = \frac{g}{N}\sum_\mu \xi^\mu_i\xi^\mu_j\,(i \ne j) + A_{ij}(t),\qquad P = \alpha N
      \text{ random} \pm 1 \text{ patterns}.$$

    The plastic part $A$ is given by a causal kernel, such as `LeakyHebbian`; without a kernel $A = 0$.

    **Arguments:**

    - `load`: $\alpha$ > 0.
    - `units`: a separable generating function, `Elementwise(fn)`, `Sign()` or `Glauber(beta)` (`dt` = 1 only); or a
      neuron with inner variables such as `Adaptation` or `ShortTermPlasticity`.
    - `kernel`: a plasticity kernel, or `None`.
    - `dt`: step in (0, 1] in units of the neurons' time constant; 1 is the synchronous map.
    - `self_coupling`: whether the stored couplings keep their diagonal.
    - `coupling`: $g \ge 0$, scales the stored couplings only.
    - `pattern_field`, `cue_field`: external fields along the first condensed pattern and along the cue, one number or
      shape (num_steps,).
    - `scheme`: `Euler()`, or `AdamsBashforth()` of second order in `dt`.
    - `synapses`: of the stored couplings, such as `Clipped()`, `Quantised(bits)`, `Diluted(connectivity)` or
      `Noisy(variance)`; by default Hebb's. All have the signal of Hebb's rule; the plastic part is as without them. The
      energy is NaN where couplings are not symmetric.

    ??? cite "Source"
        ```bibtex
        @article{hara2026dmft,
            title={DMFT analysis of Hopfield network with plasticity},
            author={Hara, Yoshinori and Kabashima, Yoshiyuki}, year={2026}, eprint={2605.22254}, archivePrefix={arXiv},
        }
        ```
    """

    load: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    units: AbstractElementwise | AbstractSite
    kernel: AbstractPlasticityKernel | None = None
    dt: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)
    self_coupling: bool = eqx.field(static=True, default=False)
    coupling: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=1.0)
    pattern_field: Parameter[Array] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)
    cue_field: Parameter[Array] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)
    scheme: AbstractScheme = Euler()
    synapses: AbstractSynapses | None = None

    def __check_init__(self):
        if not isinstance(self.synapses, AbstractSynapses | None):
            fail("PlasticNetwork.synapses", "synapses such as Clipped(), or None", kind(self.synapses))

    @property
    def order(self) -> int:
        return 2

    @property
    def own_feedback(self) -> Scalar | float:
        r"""$\alpha g$ with self-couplings."""
        return self.load * self.coupling if self.self_coupling else 0.0

    def signal(self, overlaps: Float[Array, " condensed"]) -> Float[Array, " condensed"]:
        r"""$g\,m$."""
        return self.coupling * overlaps

    def crosstalk(self, outputs: Float[Array, " rank"], square: Scalar) -> Float[Array, " normals"]:
        r"""$\sqrt\alpha\,g\,L_t$: noise of covariance $\alpha g^2 R C R^\top$, feedback $\alpha g(R - 1)$; and with
        other synapses $\Delta L_t$: $\Delta^2 C$ and $\epsilon\Delta^2 G$."""
        sources = jnp.sqrt(self.load) * self.coupling * outputs
        if self.synapses is None:
            return sources
        return jnp.concatenate([sources, _root(self.synapses.noise(self.load, self.coupling)) * outputs])

    def propagated(self, answers: Float[Array, " normals"]) -> Float[Array, " normals"]:
        r"""$g\,b_t$; zero for the noise of other synapses, which is independent of the patterns."""
        return self.coupling * answers if self.synapses is None else _halves(answers, self.coupling, 0.0)

    def returned(self, answers: Float[Array, " normals"]) -> Float[Array, " normals"]:
        r"""$b_t$; $\epsilon b_t$ for that noise."""
        return answers if self.synapses is None else _halves(answers, 1.0, self.synapses.reciprocity)

    def num_normals(self, rank: int) -> int:
        """One for each direction, and another with synapses other than Hebb's."""
        return rank if self.synapses is None else 2 * rank

    def num_patterns(self, num_neurons: int) -> Int[Array, ""]:
        r"""$\alpha N$, to the nearest whole number of at least one."""
        return _count(self.load * num_neurons)

    def stored(self, patterns: Float[Array, "patterns neurons"], *, key: PRNGKey) -> Float[Array, "rows neurons"]:
        """The patterns, or a matrix $J$, transposed, of other synapses."""
        if self.synapses is None:
            return patterns
        couplings = self.synapses.matrix(patterns, self.coupling, key=key)
        if self.self_coupling:
            own = self.coupling * jnp.mean(jnp.sum(patterns**2, axis=0)) / len(couplings)
            couplings += own * jnp.eye(len(couplings), dtype=couplings.dtype)
        return couplings.T

    def stored_field(
        self, stored: Float[Array, "rows neurons"], phi: Float[Array, " neurons"]
    ) -> Float[Array, " neurons"]:
        r"""$\frac{g}{N}\Xi^\top\Xi\phi$, without the diagonal unless `self_coupling`; $J\phi$ of other synapses."""
        if self.synapses is not None:
            return matmul(phi, stored)
        field = matmul(matmul(stored, phi), stored)
        own = 0 if self.self_coupling else jnp.sum(stored[:, 0] ** 2) * phi
        return self.coupling * (field - own) / phi.shape[0]


class DensePlasticNetwork(AbstractPlasticModel):
    r"""Dense associative memory of order $n + 1$ with plastic synapses: stored energy $-\frac{N}{n+1}\sum_\mu
    (m^\mu)^{n+1}$, $P = \alpha N^n$, field $\sum_\mu \xi_i^\mu (m^\mu)^n$.

    With $\langle\cdot\rangle$ over $z \sim N(0, C)$, the noise has covariance $\alpha\langle z_t^n z_s^n\rangle$ and
    the feedback is $\alpha n^2\langle z_t^{n-1}z_s^{n-1}\rangle G_{ts}$, with the on-site term $\alpha n(n-1)\sum_s
    G_{ts}\langle z_t^{n-2}z_s^n\rangle$ where equal indices are kept; where they are not, only the connected parts
    $n!\,C^n$ and $n\,n!\,C^{n-1}G$ remain. With $r$ directions the theory takes about $r^n$ normals per sample.

    **Arguments:** as `PlasticNetwork`, without `coupling` and `self_coupling`, and

    - `n`: at least 2 (static).
    - `equal_indices`: whether products include equal indices; `False` for odd `n`, where the self-term is of order N.
    """

    load: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    units: AbstractElementwise | AbstractSite
    n: int = eqx.field(static=True, default=2)
    kernel: AbstractPlasticityKernel | None = None
    dt: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)
    equal_indices: bool = eqx.field(static=True, default=True)
    pattern_field: Parameter[Array] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)
    cue_field: Parameter[Array] = eqx.field(metadata=domain("finite", ndim=(0, 1)), default=0.0)
    scheme: AbstractScheme = Euler()

    def __check_init__(self):
        at_least("DensePlasticNetwork.n", self.n, 2)
        if self.equal_indices and self.n % 2:
            fail("DensePlasticNetwork.equal_indices", f"False for odd n = {self.n} (the self-term grows with N)", True)

    @property
    def order(self) -> int:
        return self.n + 1

    @property
    def own_feedback(self) -> float:
        """Zero; the on-site term is part of `crosstalk`."""
        return 0.0

    def signal(self, overlaps: Float[Array, " condensed"]) -> Float[Array, " condensed"]:
        r"""$m^n$."""
        return overlaps**self.n

    def crosstalk(self, outputs: Float[Array, " rank"], square: Scalar) -> Float[Array, " normals"]:
        r"""$\sqrt{\alpha\,k!}\binom nk(n-k-1)!!\;C_{tt}^{(n-k)/2}\,L_t\otimes\dots\otimes L_t$ ($k$ factors) for $k
        = n, n - 2, \dots$, only $k = n$ without equal indices; products of two times add up to $\alpha\langle z_t^n
        z_s^n\rangle$."""
        n, terms = self.n, []
        for k in self._factors:
            amplitude = math.sqrt(math.factorial(k)) * math.comb(n, k) * math.prod(range(n - k - 1, 0, -2))
            product = jnp.ones((1,), outputs.dtype)
            for _ in range(k):
                product = (product[:, None] * outputs[None, :]).reshape(-1)
            terms.append(amplitude * square ** ((n - k) // 2) * product)
        return jnp.sqrt(self.load) * jnp.concatenate(terms)

    def propagated(self, answers: Float[Array, " normals"]) -> Float[Array, " normals"]:
        """Zero: $R = 1$."""
        return jnp.zeros_like(answers)

    def returned(self, answers: Float[Array, " normals"]) -> Float[Array, " normals"]:
        """$b_t$."""
        return answers

    def num_normals(self, rank: int) -> int:
        r"""$\sum_k \text{rank}^k$ over the $k$ of `crosstalk`."""
        return sum(rank**k for k in self._factors)

    @property
    def _factors(self) -> tuple[int, ...]:
        """Numbers of factors $L_t$ in the terms of `crosstalk`."""
        return tuple(range(self.n % 2, self.n + 1, 2)) if self.equal_indices else (self.n,)

    def num_patterns(self, num_neurons: int) -> Int[Array, ""]:
        r"""$\alpha N^n$, to the nearest whole number of at least one."""
        return _count(self.load * float(num_neurons) ** self.n)

    def stored(self, patterns: Float[Array, "patterns neurons"], *, key: PRNGKey) -> Float[Array, "rows neurons"]:
        """The patterns."""
        return patterns

    def stored_field(
        self, stored: Float[Array, "rows neurons"], phi: Float[Array, " neurons"]
    ) -> Float[Array, " neurons"]:
        r"""$\sum_\mu\xi^\mu_i(m^\mu)^n$; without equal indices, $n!/N^n$ times the sum over all sets of $n$ other
        neurons, by Newton's identities."""
        num_neurons, n = phi.shape[0], self.n
        if self.equal_indices:
            return matmul((matmul(stored, phi) / num_neurons) ** n, stored)
        scaled = phi / num_neurons
        powers = []  # Σ_j (ξ_j φ_j/N)^k over j ≠ i: shape (patterns, neurons) for odd k
        for k in range(1, n + 1):
            term = scaled**k
            powers.append(
                matmul(stored, term)[:, None] - stored * term[None] if k % 2 else (jnp.sum(term) - term)[None]
            )
        elementary = [jnp.ones((1, 1), phi.dtype)]
        for k in range(1, n + 1):
            terms = [(-1.0) ** (j - 1) * elementary[k - j] * powers[j - 1] for j in range(1, k + 1)]
            elementary.append(functools.reduce(jnp.add, terms) / k)
        return math.factorial(n) * jnp.sum(stored * elementary[n], axis=0)


def _halves(x: Array, first: Scalar | float, second: Scalar | float) -> Array:
    """The halves of `x`, each multiplied by its own number."""
    x = x.reshape(2, -1)
    return jnp.concatenate([first * x[0], second * x[1]])


def _root(square: Scalar) -> Scalar:
    """The square root, with a zero derivative at zero."""
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def _count(number: Scalar) -> Int[Array, ""]:
    return jnp.maximum(1, jnp.round(jax.lax.stop_gradient(number))).astype(jnp.int32)
