r"""Exact steps through dwells: quick sequences of units that saturate.

While every neuron of `hopfield_jax.HardTanh` is saturated, $\psi$ is a constant vector of signs $v$ and all equations
are linear: with $m = \Xi v/N$ and $D(u) = \Xi^\top(\Xi u/N \circ m) + \varepsilon u$,

$$u(t) = u_\infty + (u_0 - u_\infty)e^{-t/\tau_s}, \qquad u_\infty = \kappa\,\Xi^\top Q m,$$

$$x(t) = D(u_\infty) + \frac{D(u_0 - u_\infty)}{1 - \tau_f/\tau_s}e^{-t/\tau_s} + C e^{-t/\tau_f}.$$

The dwell ends when the first neuron leaves saturation, long after the last term has decayed: at
$e^{-t/\tau_s} = (\theta - A_i)/B_i$ for the first i, with A and B the first two terms along $v$ and θ the unit's kink.
"""

from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu

from .._checks import Rules, fail, kind
from .._integrate import tolerances
from .._misc import matmul
from .._types import Array, Float, PRNGKey, Scalar
from ._network import InputDrivenNetwork

_SHORTEST = 20.0  # in fast time constants: the term with exp(-t/τ_f) is then below the rounding of either precision


class ExactDwell(eqx.Module):
    r"""For `retrieve_sequence(..., solver=ExactDwell())`: each dwell is one exact step, each switch takes steps of
    `diffrax.Tsit5`. For units that saturate (`HardTanh`), without noise and
    external input. Slow neurons ($\tau_f \ge \tau_s/2$) have no
    such dwells: all steps are then those of Tsit5.

    **Arguments:** `rtol`, `atol`: tolerances of the steps through a switch; default as in `hopfield_jax.integrate`.
    """

    rtol: float | None = None
    atol: float | None = None

    def __check_init__(self):
        for name, x in (("rtol", self.rtol), ("atol", self.atol)):
            if x is not None:
                Rules().real(f"ExactDwell.{name}", x, "nonnegative")

    def fits(self, network: InputDrivenNetwork, key: PRNGKey | None, stepsize_controller: Any) -> None:
        """Validates that a network can be solved without noise and with the controller of these steps."""
        if key is not None:
            fail("solver", "another solver with noise", "ExactDwell")
        if stepsize_controller is not None:
            fail("stepsize_controller", "none with ExactDwell, which has its own", kind(stepsize_controller))
        if network.units.saturation is None:
            fail("solver", "another solver for units that do not saturate", f"ExactDwell for {network.units}")
        if network.input is not None:
            fail("solver", "another solver for a network with external input", "ExactDwell")

    def parts(
        self, network: InputDrivenNetwork, state: Any
    ) -> tuple[dfx.AbstractSolver, dfx.AbstractStepSizeController]:
        """Solver and step size controller for a network."""
        rtol, atol = tolerances(state)
        pid = dfx.PIDController(rtol if self.rtol is None else self.rtol, atol if self.atol is None else self.atol)
        return _Solver(network), _Controller(pid, network)


class _Dwell(NamedTuple):
    """Coefficients of x(t) = rest + slow e^{-t/τ_s} + fast e^{-t/τ_f} and likewise of u(t), and their duration."""

    rest: dict[str, Array]
    slow: dict[str, Array]
    fast: Float[Array, " neurons"]
    duration: Scalar

    @staticmethod
    def of(network: InputDrivenNetwork, y: dict[str, Array], slack: float = 0.0) -> "_Dwell":
        """`slack` allows for rounding: solver and controller are compiled separately and must agree."""
        x, u = y["fast"], y["slow"]
        edge: Any = network.units.saturation
        signs = jnp.where(x >= 0, 1, -1).astype(x.dtype)
        m = matmul(network.patterns, signs) / x.size

        def drive(a: Array, v: Array) -> Array:  # D(v), from a = Ξv/N
            return matmul(a * m, network.patterns) + network.input_coupling * v

        u_rest = matmul(network.gain * network.successors(m), network.patterns)
        a_rest = matmul(network.patterns, u_rest) / x.size
        rest = drive(a_rest, u_rest)
        slow = drive(matmul(network.patterns, u) / x.size - a_rest, u - u_rest)
        apart = network.tau_fast < 0.5 * network.tau_slow
        slow = slow / (1 - jnp.where(apart, network.tau_fast / network.tau_slow, 0))
        along, falls = signs * rest, signs * slow
        inside = (signs * x >= edge * (1 - slack)) & (along + falls >= edge * (1 - slack))
        leaves = along < edge
        ratio = jnp.where(leaves, (edge - along) / jnp.where(leaves & (falls > 0), falls, 1), 0)
        duration = -network.tau_slow * jnp.log(jnp.max(ratio))
        duration = jnp.where(
            apart & jnp.all(inside) & (duration > (1 - slack) * _SHORTEST * network.tau_fast), duration, 0
        )
        return _Dwell({"fast": rest, "slow": u_rest}, {"fast": slow, "slow": u - u_rest}, x - rest - slow, duration)


class _Solver(dfx.AbstractAdaptiveSolver):
    """One exact step if it lies within a dwell, else a step of Tsit5."""

    network: InputDrivenNetwork
    inner: dfx.Tsit5 = dfx.Tsit5(scan_kind="bounded")  # supports forward and reverse mode
    term_structure = dfx.ODETerm
    interpolation_cls = dfx.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 5

    def init(self, terms, t0, t1, y0, args):
        return jnp.array(False), terms.vf(t0, y0, args)

    def func(self, terms, t0, y0, args):
        return self.inner.func(terms, t0, y0, args)

    def step(self, terms, t0: Any, t1: Any, y0, args, solver_state, made_jump):
        h, (_, f0) = t1 - t0, solver_state
        y1, error, _, _, result = self.inner.step(terms, t0, t1, y0, args, (False, f0), False)
        slack = 64 * float(jnp.finfo(h.dtype).eps)
        dwell = _Dwell.of(self.network, y0, slack)
        rounding = slack * jnp.maximum(jnp.abs(t1), dwell.duration)
        exact = (dwell.duration > 0) & (h <= dwell.duration + rounding)
        tau_fast, tau_slow = self.network.tau_fast, self.network.tau_slow
        leap = jtu.tree_map(lambda a, b: a + b * jnp.exp(-h / tau_slow), dwell.rest, dwell.slow)
        leap = leap | {"fast": leap["fast"] + dwell.fast * jnp.exp(-h / tau_fast)}
        y1 = jtu.tree_map(lambda a, b: jnp.where(exact, a, b), leap, y1)
        error = jtu.tree_map(lambda e: jnp.where(exact, 0, e), error)
        f1 = terms.vf(t1, y1, args)
        k = jtu.tree_map(lambda a, b: h * jnp.stack([a, b]), f0, f1)
        return y1, error, {"y0": y0, "y1": y1, "k": k}, (jnp.array(False), f1), result


class _Controller(dfx.AbstractStepSizeController):
    """Limits steps to the end of a dwell; elsewhere the inner controller's steps."""

    inner: dfx.AbstractStepSizeController
    network: InputDrivenNetwork

    def wrap(self, direction):
        return _Controller(self.inner.wrap(direction), self.network)

    def init(self, terms, t0: Any, t1, y0, dt0, args, func, error_order):
        first = 0.1 * self.network.tau_fast.astype(t0.dtype) if dt0 is None else dt0
        end, state = self.inner.init(terms, t0, t1, y0, first, args, func, error_order)
        duration = _Dwell.of(self.network, y0).duration.astype(t0.dtype)
        return jnp.where(duration > 0, t0 + duration, end), (state, duration > 0)

    def adapt_step_size(self, t0: Any, t1: Any, y0, y1_candidate, args, y_error, error_order, controller_state):
        state, leapt = controller_state
        keep, next_t0, next_t1, jump, new, result = self.inner.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, state
        )
        # After an exact step of any length the next step is short.
        short = next_t0 + 0.2 * self.network.tau_fast.astype(t0.dtype)
        next_t1 = jnp.where(leapt & keep, jnp.minimum(next_t1, short), next_t1)
        duration = jnp.where(keep, _Dwell.of(self.network, y1_candidate).duration, 0).astype(t0.dtype)
        leaps = duration > 0
        return keep, next_t0, jnp.where(leaps, next_t0 + duration, next_t1), jump, (new, leaps), result
