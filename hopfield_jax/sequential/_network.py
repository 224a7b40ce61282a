"""Networks whose slow state modulates the synapses of the fast neurons (input-driven plasticity)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import Checked, Rules, as_real, domain, fail, is_concrete, shape_is, takes
from .._couplings import GradedEnergyNetwork, OuterProducts
from .._dynamics import AbstractDynamics, Layer
from .._misc import matmul
from .._types import Array, Float, Parameter, Patterns, Scalar, ScalarLike
from .._units import AbstractGeneratingFunction, HardTanh, generating_fits
from ._transitions import check_transitions


class InputProtocol(Checked):
    r"""Piecewise constant external input to the slow state.

    **Arguments:**

    - `times`: start of each input, increasing, shape (inputs,). The input is zero before the first.
    - `values`: the inputs, shape (inputs, neurons); a row of zeros switches the input off.
    """

    times: Parameter[Float[Array, " inputs"]] = eqx.field(metadata=domain("finite", ndim=1))
    values: Parameter[Float[Array, "inputs neurons"]] = eqx.field(metadata=domain("finite", ndim=2))

    def __check_init__(self):
        Rules().times("InputProtocol.times", self.times)
        shape_is("InputProtocol.values", self.values, (len(self.times), None), "(inputs, neurons)")

    def __call__(self, t: ScalarLike) -> Float[Array, " neurons"]:
        """The input at time `t`, from the right at a jump; shape (neurons,)."""
        index = jnp.sum(self.times <= t) - 1
        return jnp.where(index >= 0, self.values[jnp.maximum(index, 0)], 0)


class InputDrivenNetwork(AbstractDynamics):
    r"""Fast neurons with synapses modulated by a slow state, which they drive in turn.

    $$\tau_f\dot x = -x + W(u)\psi(x) + \varepsilon u, \qquad W(u) = \frac1N\sum_\mu a_\mu\,\xi^\mu\xi^{\mu\top},
      \qquad a = \Xi u/N,$$

    $$\tau_s\dot u = -u + \kappa\,\Xi^\top Q m + I(t), \qquad m = \Xi\psi(x)/N.$$

    While memory μ is active its saliency decays and that of its successors ($Q_{\nu\mu} > 0$) grows; when $a_\mu$ has
    fallen to 1 the network switches. The state is a dictionary of `fast` (x) and `slow` (u), shape (neurons,) each. W
    is never formed. With noise, $\sigma\sqrt{2/\tau}\,dW$ is added to each neuron's equation, where σ is the standard
    deviation of a free unit.

    **Arguments:**

    - `patterns`: memories ξ, shape (patterns, neurons), of both signs: 0 and 1 are refused; orthogonal ones
      (`hopfield_jax.hadamard_patterns`) obey the saliency map of this module.
    - `gain`: κ > 0.
    - `transitions`: Q, shape (patterns, patterns), row = target, column = source; see `cycle`, `chain`,
      `transition_matrix`.
    - `units`: generating function of the fast neurons.
    - `tau_fast`, `tau_slow`: time constants > 0.
    - `input_coupling`: ε ≥ 0, direct coupling of the slow state to the fast neurons. It nucleates the successor:
      without it (and without noise) sequences stop.
    - `noise_fast`, `noise_slow`: σ ≥ 0 of the two.
    - `input`: an `InputProtocol`, or `None`.
    - `rule`: a function $r(Q, m)$ of the transitions and the overlaps, shape (patterns,), in place of $Qm$. Q still
      says which transitions are correct, and where a chain ends. A rule with parameters is an `equinox.Module` with a
      method `__call__`.

    ```python
    import hopfield_jax as hj

    network = hj.sequential.InputDrivenNetwork(
        hj.hadamard_patterns(8, 64), gain=5.0, transitions=hj.sequential.cycle(8), tau_fast=0.01, input_coupling=0.01
    )
    rate = network.vector_field(0.0, network.begin(0, saliency=5.0))
    assert abs(rate["fast"]).max() < 1e-3  # a memory with a saliency above 1 is at rest
    ```

    ??? cite "Source"
        ```bibtex
        @article{betteti2026sequential,
            title={A Dynamical Theory of Sequential Retrieval in Input-Driven Hopfield Networks},
            author={Betteti, Simone and Baggio, Giacomo and Zampieri, Sandro}, year={2026}, eprint={2603.03201},
            archivePrefix={arXiv},
        }
        ```
    """

    patterns: Parameter[Patterns] = eqx.field(metadata=domain("signed", ndim=2))
    gain: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    transitions: Parameter[Float[Array, "patterns patterns"]] = eqx.field(metadata=domain("nonnegative", ndim=2))
    units: AbstractGeneratingFunction = eqx.field(default_factory=HardTanh)
    tau_fast: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=0.01)
    tau_slow: Parameter[Scalar] = eqx.field(metadata=domain("positive"), default=1.0)
    input_coupling: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=0.01)
    noise_fast: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=0.0)
    noise_slow: Parameter[Scalar] = eqx.field(metadata=domain("nonnegative"), default=0.0)
    input: InputProtocol | None = None
    rule: Callable | None = None

    def __check_init__(self):
        Rules().patterns("InputDrivenNetwork.patterns", self.patterns)
        check_transitions("InputDrivenNetwork.transitions", self.transitions, len(self.patterns))
        generating_fits("InputDrivenNetwork.units", self.units)
        if self.input is not None and self.input.values.shape[1] != self.patterns.shape[1]:
            fail("InputDrivenNetwork.input", f"inputs to {self.patterns.shape[1]} neurons", self.input.values.shape)
        if self.rule is not None:
            takes("InputDrivenNetwork.rule", self.rule, "transitions, overlap")
            overlap = jnp.zeros(len(self.patterns), self.patterns.dtype)
            drive = eqx.filter_eval_shape(self.rule, self.transitions, overlap)
            shape_is("InputDrivenNetwork.rule", drive, overlap.shape, "(patterns,)")

    def begin(self, start: int | Array, *, saliency: ScalarLike) -> dict[str, Float[Array, " neurons"]]:
        r"""State in which memory `start` is active with a given saliency: $u = a\,\xi$, $x = a\,\xi + \varepsilon u$.

        **Arguments:** `start`, its index, may be traced; `saliency`, a number. **Raises:** `ValueError` for an index
        outside the patterns.
        """
        start = Rules().index("start", start, len(self.patterns), "a memory")
        slow = as_real("saliency", saliency).astype(self.patterns.dtype) * self.patterns[start]
        return {"fast": (1 + self.input_coupling.astype(slow.dtype)) * slow, "slow": slow}

    def frozen(self, slow: Float[Array, " neurons"]) -> GradedEnergyNetwork:
        """The fast neurons at a fixed slow state: an energy network, whose energy never rises."""
        synapses = OuterProducts(self.patterns.T, weights=self._project(slow), self_coupling=True)
        return GradedEnergyNetwork(synapses, Layer(self.units, self.tau_fast, self.input_coupling * slow))

    def overlap(self, state: dict[str, Float[Array, " neurons"]]) -> Float[Array, " patterns"]:
        r"""$m = \Xi\psi(x)/N$, shape (patterns,)."""
        return self._project(self.units.activation(state["fast"]))

    def saliency(self, state: dict[str, Float[Array, " neurons"]]) -> Float[Array, " patterns"]:
        r"""$a = \Xi u/N$, shape (patterns,)."""
        return self._project(state["slow"])

    def successors(self, overlap: Float[Array, " patterns"]) -> Float[Array, " patterns"]:
        r"""$Q m$, or $r(Q, m)$ by the network's own rule: what retrieved memories drive; shape (patterns,)."""
        if self.rule is None:
            return matmul(self.transitions, overlap)
        return self.rule(self.transitions, overlap)

    def successors_of(self, memory: int | Array) -> Float[Array, " patterns"]:
        """What one memory drives that is retrieved alone, shape (patterns,)."""
        if self.rule is None:
            return self.transitions[:, memory]
        return self.successors(jax.nn.one_hot(memory, len(self.patterns), dtype=self.patterns.dtype))

    def escape_level(self) -> Scalar:
        r"""Saliency below which a memory is unstable, the inverse slope of the units at 0 (1 for `HardTanh()`)."""
        zero = jnp.zeros((1,), self.patterns.dtype)
        return 1 / self.units.curvature(zero, jnp.ones_like(zero))[0]

    def vector_field(self, t: Any, y: dict[str, Array], args: Any = None) -> dict[str, Array]:
        r"""$(\dot x, \dot u)$ without noise, in the structure of the state; per unit of time."""
        slow = y["slow"]
        drive = self.gain * matmul(self.successors(self.overlap(y)), self.patterns)
        if self.input is not None:
            drive += self.input(t)
        return {"fast": self.frozen(slow).vector_field(t, y["fast"]), "slow": (drive - slow) / self.tau_slow}

    def diffusion(self, t: Any, y: dict[str, Array], args: Any = None) -> dict[str, Array]:
        r"""$\sigma\sqrt{2/\tau}$ of both layers, for `hopfield_jax.Noise`."""
        return {
            "fast": self.noise_fast * jnp.sqrt(2 / self.tau_fast),
            "slow": self.noise_slow * jnp.sqrt(2 / self.tau_slow),
        }

    def _project(self, v: Float[Array, " neurons"]) -> Float[Array, " patterns"]:
        return matmul(self.patterns, v) / v.size


def check_orthogonal(argument: str, patterns: Patterns) -> None:
    """Validates that patterns are orthogonal with |ξ|² = N, as the closed forms assume; skips traced ones."""
    if is_concrete(patterns):
        rows = np.asarray(patterns, np.float64)
        gram = rows @ rows.T / rows.shape[1]
        worst = np.abs(gram - np.eye(len(rows))).max()
        if worst > 1e-5:
            fail(argument, "orthogonal patterns of squared length N", f"a product that is off by {worst:.3g}")
