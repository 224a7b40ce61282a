"""Networks with plastic synapses, and what their stored patterns do to a single site."""

import abc
import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import Checked, at_least, domain, fail, in_domain, is_concrete, kind
from .._misc import as_inexact, matmul
from .._types import Array, Float, Int, Scalar
from ._kernels import AbstractPlasticityKernel
from ._units import Glauber, Units, units_fit


class AbstractPlasticModel(Checked):
    r"""Neurons on a grid of step `dt`, fields of stored patterns, of plastic synapses and from outside:

    $$x(t+1) = (1 - dt)\,x(t) + dt\,[\text{stored}(\phi) + A(t)\phi + \theta],\qquad \phi = \phi(x).$$
    """

    load: eqx.AbstractVar[Scalar]
    units: eqx.AbstractVar[Units]
    kernel: eqx.AbstractVar[AbstractPlasticityKernel | None]
    dt: eqx.AbstractVar[Scalar]
    pattern_field: eqx.AbstractVar[Array]
    cue_field: eqx.AbstractVar[Array]

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """How many activations one term of the stored energy multiplies."""

    @property
    @abc.abstractmethod
    def propagation(self) -> Scalar | float:
        """$p$ in the propagator $R = (1 - pG)^{-1}$ of the stored patterns' answers to each other."""

    @property
    @abc.abstractmethod
    def noise_amplitude(self) -> Scalar:
        """$a$: the crosstalk noise has covariance $a^2 R B R^\\top$."""

    @abc.abstractmethod
    def signal(self, overlaps: Float[Array, " condensed"]) -> Float[Array, " condensed"]:
        """Field along each condensed pattern."""

    @abc.abstractmethod
    def noise_row(self, t: Array, correlation: Float[Array, "times times"]) -> Float[Array, " times"]:
        """Row `t` of $B$ from the rows up to `t` of $C$ (symmetric; zero where not yet known)."""

    @abc.abstractmethod
    def feedback_row(
        self, t: Array, correlation: Float[Array, "times times"], answer: Float[Array, " times"]
    ) -> Float[Array, " times"]:
        """Row `t` of $F$, from $C$ and row `t` of $GR$."""

    @abc.abstractmethod
    def num_patterns(self, num_neurons: int) -> Int[Array, ""]:
        """How many patterns a network of this size stores."""

    @abc.abstractmethod
    def stored_field(
        self, patterns: Float[Array, "patterns neurons"], phi: Float[Array, " neurons"]
    ) -> Float[Array, " neurons"]:
        """The field of the stored patterns on every neuron of a real network, matrix-free."""

    def fields(self, num_times: int) -> tuple[Array, Array]:
        """The external fields along pattern and cue at every time, shape (num_times,) each."""

        def spread(name: str) -> Array:
            value = getattr(self, name)
            if value.ndim and value.size not in (num_times, num_times - 1):
                fail(name, f"one number or one for each of the {num_times - 1} steps", f"shape {value.shape}")
            value = jnp.broadcast_to(value, (num_times,)) if value.ndim == 0 else value
            return jnp.pad(value, (0, num_times - value.size), mode="edge")

        return spread("pattern_field"), spread("cue_field")


class PlasticNetwork(AbstractPlasticModel):
    r"""A Hopfield network whose synapses stay plastic while it retrieves (Hara and Kabashima 2026):

    $$J_{ij}(t) = \frac{g}{N}\sum_\mu \xi^\mu_i\xi^\mu_j\,(i \ne j) + A_{ij}(t),\qquad P = \alpha N
      \text{ random} \pm 1 \text{ patterns}.$$

    For the plastic part $A$ we take Hebbian plasticity that fades, `LeakyHebbian`. Any other causal kernel may be
    given; without a kernel $A = 0$.

    **Arguments:**

    - `load`: $\alpha$ > 0.
    - `units`: a separable generating function, `Elementwise(fn)`, `Sign()` or `Glauber(beta)` (`dt` = 1 only).
    - `kernel`: a plasticity kernel, or `None`.
    - `dt`: step in (0, 1] in units of the neurons' time constant; 1 is the synchronous map.
    - `self_coupling`: whether the stored couplings keep their diagonal.
    - `coupling`: $g$ > 0, scales the stored couplings only.
    - `pattern_field`, `cue_field`: external fields along the first condensed pattern and along the cue, one number or
      shape (num_steps,).

    ??? cite "Source"
        ```bibtex
        @article{hara2026dmft,
            title={DMFT analysis of Hopfield network with plasticity},
            author={Hara, Yoshinori and Kabashima, Yoshiyuki}, year={2026}, eprint={2605.22254}, archivePrefix={arXiv},
        }
        ```
    """

    load: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"))
    units: Units
    kernel: AbstractPlasticityKernel | None = None
    dt: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"), default=1.0)
    self_coupling: bool = eqx.field(static=True, default=False)
    coupling: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"), default=1.0)
    pattern_field: Array = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=(0, 1)), default=0.0)
    cue_field: Array = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=(0, 1)), default=0.0)

    def __check_init__(self):
        _model_fits(self)

    @property
    def order(self) -> int:
        return 2

    @property
    def propagation(self) -> Scalar:
        r"""$g$."""
        return self.coupling

    @property
    def noise_amplitude(self) -> Scalar:
        r"""$\sqrt\alpha\,g$."""
        return jnp.sqrt(self.load) * self.coupling

    def signal(self, overlaps: Float[Array, " condensed"]) -> Float[Array, " condensed"]:
        r"""$g\,m$."""
        return self.coupling * overlaps

    def noise_row(self, t: Array, correlation: Float[Array, "times times"]) -> Float[Array, " times"]:
        r"""$C_{ts}$: the noise has covariance $\alpha g^2 R C R^\top$."""
        return correlation[t]

    def feedback_row(
        self, t: Array, correlation: Float[Array, "times times"], answer: Float[Array, " times"]
    ) -> Float[Array, " times"]:
        r"""$\alpha g(R - 1) = \alpha g^2 GR$ or, with self-couplings, $\alpha g R$."""
        row = self.load * self.coupling**2 * answer
        return row.at[t].add(self.load * self.coupling) if self.self_coupling else row

    def num_patterns(self, num_neurons: int) -> Int[Array, ""]:
        r"""$\alpha N$, to the nearest whole number of at least one."""
        return _count(self.load * num_neurons)

    def stored_field(
        self, patterns: Float[Array, "patterns neurons"], phi: Float[Array, " neurons"]
    ) -> Float[Array, " neurons"]:
        r"""$\frac{g}{N}\Xi^\top\Xi\phi$, without the diagonal unless `self_coupling`."""
        field = matmul(matmul(patterns, phi), patterns)
        own = 0 if self.self_coupling else jnp.sum(patterns[:, 0] ** 2) * phi
        return self.coupling * (field - own) / phi.shape[0]


class DensePlasticNetwork(AbstractPlasticModel):
    r"""Dense associative memory of order $n + 1$ with plastic synapses: stored energy $-\frac{N}{n+1}\sum_\mu
    (m^\mu)^{n+1}$, $P = \alpha N^n$, field $\sum_\mu \xi_i^\mu (m^\mu)^n$.

    With $\langle\cdot\rangle$ over $z \sim N(0, C)$, the noise has covariance $\alpha\langle z_t^n z_s^n\rangle$ and
    the feedback is $\alpha n^2\langle z_t^{n-1}z_s^{n-1}\rangle G_{ts}$, with the on-site term $\alpha n(n-1)\sum_s
    G_{ts}\langle z_t^{n-2}z_s^n\rangle$ where equal indices are kept; where they are not, only the connected parts
    $n!\,C^n$ and $n\,n!\,C^{n-1}G$ stay.

    **Arguments:** as `PlasticNetwork`, without `coupling` and `self_coupling`, and

    - `n`: at least 2 (part of the structure, not traced).
    - `equal_indices`: whether products keep equal indices; not for odd `n`, where the self-term is of order N.
    """

    load: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"))
    units: Units
    n: int = eqx.field(static=True, default=2)
    kernel: AbstractPlasticityKernel | None = None
    dt: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"), default=1.0)
    equal_indices: bool = eqx.field(static=True, default=True)
    pattern_field: Array = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=(0, 1)), default=0.0)
    cue_field: Array = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=(0, 1)), default=0.0)

    def __check_init__(self):
        at_least("DensePlasticNetwork.n", self.n, 2)
        if self.equal_indices and self.n % 2:
            fail("DensePlasticNetwork.equal_indices", f"False for odd n = {self.n} (the self-term grows with N)", True)
        _model_fits(self)

    @property
    def order(self) -> int:
        return self.n + 1

    @property
    def propagation(self) -> float:
        """None: $R = 1$."""
        return 0.0

    @property
    def noise_amplitude(self) -> Scalar:
        r"""$\sqrt\alpha$."""
        return jnp.sqrt(self.load)

    def signal(self, overlaps: Float[Array, " condensed"]) -> Float[Array, " condensed"]:
        r"""$m^n$."""
        return overlaps**self.n

    def noise_row(self, t: Array, correlation: Float[Array, "times times"]) -> Float[Array, " times"]:
        r"""$\langle z_t^n z_s^n\rangle$, or $n!\,C_{ts}^n$."""
        n, row = self.n, correlation[t]
        if self.equal_indices:
            return gaussian_moment(n, n, row[t], jnp.diagonal(correlation), row)
        return math.factorial(n) * row**n

    def feedback_row(
        self, t: Array, correlation: Float[Array, "times times"], answer: Float[Array, " times"]
    ) -> Float[Array, " times"]:
        r"""$\alpha n^2\langle z_t^{n-1}z_s^{n-1}\rangle G_{ts}$ and the on-site term, or $\alpha n\,n!\,C_{ts}^{n-1}
        G_{ts}$."""
        n, row, power = self.n, correlation[t], jnp.diagonal(correlation)
        if not self.equal_indices:
            return self.load * n * math.factorial(n) * row ** (n - 1) * answer
        site = n * (n - 1) * jnp.sum(answer * gaussian_moment(n - 2, n, row[t], power, row))
        return self.load * (n**2 * gaussian_moment(n - 1, n - 1, row[t], power, row) * answer).at[t].add(site)

    def num_patterns(self, num_neurons: int) -> Int[Array, ""]:
        r"""$\alpha N^n$, to the nearest whole number of at least one."""
        return _count(self.load * float(num_neurons) ** self.n)

    def stored_field(
        self, patterns: Float[Array, "patterns neurons"], phi: Float[Array, " neurons"]
    ) -> Float[Array, " neurons"]:
        r"""$\sum_\mu\xi^\mu_i(m^\mu)^n$; without equal indices, $n!/N^n$ times the sum over all sets of $n$ other
        neurons, by Newton's identities."""
        num_neurons, n = phi.shape[0], self.n
        if self.equal_indices:
            return matmul((matmul(patterns, phi) / num_neurons) ** n, patterns)
        scaled = phi / num_neurons
        powers = []  # Σ_j (ξ_j φ_j/N)^k over j ≠ i: shape (patterns, neurons) for odd k
        for k in range(1, n + 1):
            term = scaled**k
            powers.append(
                matmul(patterns, term)[:, None] - patterns * term[None] if k % 2 else (jnp.sum(term) - term)[None]
            )
        elementary = [jnp.ones((1, 1), phi.dtype)]
        for k in range(1, n + 1):
            terms = [(-1.0) ** (j - 1) * elementary[k - j] * powers[j - 1] for j in range(1, k + 1)]
            elementary.append(functools.reduce(jnp.add, terms) / k)
        return math.factorial(n) * jnp.sum(patterns * elementary[n], axis=0)


def gaussian_moment(a: int, b: int, first: Array, second: Array, covariance: Array) -> Array:
    r"""$\langle x^a y^b\rangle$ of two Gaussians of mean zero (Isserlis), from their variances and covariance."""
    total = jnp.zeros_like(covariance)
    for k in range(min(a, b) + 1):  # k pairs join x with y, the rest pair among themselves
        if (a - k) % 2 == 0 and (b - k) % 2 == 0:
            count = math.factorial(k) * math.comb(a, k) * math.comb(b, k) * _pairings(a - k) * _pairings(b - k)
            total += count * first ** ((a - k) // 2) * second ** ((b - k) // 2) * covariance**k
    return total


def _pairings(n: int) -> int:
    return math.prod(range(n - 1, 0, -2))


def _count(number: Scalar) -> Int[Array, ""]:
    return jnp.maximum(1, jnp.round(jax.lax.stop_gradient(number))).astype(jnp.int32)


def _model_fits(model: AbstractPlasticModel) -> None:
    name = type(model).__name__
    units_fit(f"{name}.units", model.units)
    if not isinstance(model.kernel, AbstractPlasticityKernel | None):
        fail(f"{name}.kernel", "a plasticity kernel or None", kind(model.kernel))
    if is_concrete(model.dt):
        in_domain(f"{name}.dt", model.dt, "positive")
        if float(model.dt) > 1:
            fail(f"{name}.dt", "a step in (0, 1]", f"{float(model.dt):g}")
        if isinstance(model.units, Glauber) and float(model.dt) != 1:
            fail(f"{name}.dt", "1 with Glauber units, which are updated all at once", f"{float(model.dt):g}")
        tau = getattr(model.kernel, "tau", model.dt)
        if is_concrete(tau) and float(tau) < float(model.dt):
            fail(f"{name}.kernel.tau", f"a time constant of at least dt = {float(model.dt):g}", f"{float(tau):g}")
