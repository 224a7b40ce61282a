"""Associative networks (Lotito 2025, sections 2 to 5), defined by their layers and interactions."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Real

from .._checks import Checked, Rules, as_real, domain, fail, is_concrete, kind, shape_is, sieved, signed_patterns
from .._couplings import MemoryQuadratic, OuterProducts
from .._dynamics import AbstractEnergyDynamics, Layer
from .._misc import inner, matmul
from .._types import Array, ArrayLike, Float, Parameter, Scalar, ScalarLike
from .._units import AbstractGeneratingFunction, LogCosh, LogSumExp, Quadratic, generating_fits
from ._maps import IdentityMap, MemoryMap


class AdiabaticNetwork(AbstractEnergyDynamics):
    r"""Visible neurons with instantaneous hidden neurons, $h = h(g)$ (quasi-equilibrium, eq. 3 and 7):

    $$E = (v - I)\cdot g - L_v(v) - L_h(h(g)), \qquad \tau_v \dot v = -v + I + \nabla_g L_h(h(g)).$$

    The last term is the gradient of one scalar; no Jacobian is formed. The state is `v`, shape (neurons,).

    **Arguments:**

    - `hidden_map`: $h(g)$: `MemoryMap(patterns)`, `IdentityMap()` or any differentiable function of the activations.
    - `visible`, `hidden`: generating functions $L_v$, $L_h$.
    - `input`: $I$, one number or shape (neurons,).
    - `tau_visible`: $\tau_v$ > 0.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    patterns = hj.random_patterns(3, 20, key=jax.random.key(0))
    network = hj.associative.AdiabaticNetwork(hj.associative.MemoryMap(patterns), hidden=hj.LogSumExp(beta=1.0))
    v = patterns[0] + 0.3
    assert network.energy(network.update(v)) < network.energy(v)
    ```
    """

    hidden_map: Callable
    visible: AbstractGeneratingFunction
    hidden: AbstractGeneratingFunction
    input: Parameter[Float[Array, "..."]] = eqx.field(metadata=domain("finite", ndim=(0, 1, 2)))
    tau_visible: Parameter[Scalar] = eqx.field(metadata=domain("positive"))

    def __init__(
        self,
        hidden_map: Callable,
        *,
        visible: AbstractGeneratingFunction | None = None,
        hidden: AbstractGeneratingFunction | None = None,
        input: ArrayLike = 0.0,
        tau_visible: ScalarLike = 1.0,
    ):
        self.hidden_map = _callable("hidden_map", hidden_map)
        self.visible = Quadratic() if visible is None else visible
        self.hidden = LogSumExp() if hidden is None else hidden
        for name, units in (("visible", self.visible), ("hidden", self.hidden)):
            generating_fits(name, units)
        self.input = as_real("input", input)
        self.tau_visible = as_real("tau_visible", tau_visible)
        if isinstance(hidden_map, MemoryMap) and is_concrete(hidden_map.bias):
            masked = np.isneginf(hidden_map.bias)
            activity = self.hidden.activation(hidden_map(jnp.zeros_like(hidden_map.patterns[0]))) if masked.any() else 0
            if is_concrete(activity) and np.any(np.where(masked, activity, 0)):
                fail("MemoryMap.bias", "finite numbers for hidden units that are not silent at -inf", "-inf")

    def layers(self) -> Layer:
        """The visible layer."""
        return Layer(self.visible, self.tau_visible, self.input)

    def interactions(self, g: Array) -> dict[str, Scalar]:
        r"""$-L_h(h(g))$, named `hidden`."""
        return {"hidden": -self.hidden(_real_vector("hidden_map", self.hidden_map(g)))}

    def update(self, v: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""One Euler step of length $\tau_v$ (eq. 2): $v \leftarrow I + J_h^\top f$.

        With `LogSumExp` memories, `Quadratic` neurons and `MemoryMap(patterns)` this is one step of attention,
        $\Xi^\top \mathrm{softmax}(\beta\,\Xi v)$.
        """
        return self.target(v)


class DenseSynapse(Checked):
    r"""Energy $-g_a^\top W g_b$ between two layers; `weight` $W$ has shape (neurons of a, neurons of b)."""

    weight: Parameter[Float[Array, "a b"]] = eqx.field(metadata=domain("finite", ndim=2))

    def __call__(self, g_a: Float[Array, " a"], g_b: Float[Array, " b"]) -> Scalar:
        r"""$-g_a^\top W g_b$."""
        shape_is("DenseSynapse.weight", self.weight, (g_a.shape[0], g_b.shape[0]), "(neurons of a, neurons of b)")
        return -inner(g_a, matmul(self.weight, g_b))


class MapSynapse(Checked):
    r"""Energy $-f \cdot h(g)$, which drives hidden neurons with activation $f$ by any differentiable $h(g)$."""

    hidden_map: Callable

    def __call__(self, g: Float[Array, " neurons"], f: Float[Array, " hidden"]) -> Scalar:
        r"""$-f \cdot h(g)$."""
        h = _real_vector("hidden_map", self.hidden_map(g))
        if h.shape != f.shape:
            fail("hidden_map", f"h(g) of the hidden state's shape {f.shape}", f"shape {h.shape}")
        return -inner(f, h)


class LayeredNetwork(AbstractEnergyDynamics):
    r"""Any number of layers coupled by synapses that are energy terms:

    $$E = \sum_a \big[(x_a - I_a)\cdot g_a - L_a(x_a)\big] + \sum_s E_s(g_a, g_b, \dots), \qquad
      \tau_a \dot x_a = -\partial E/\partial g_a.$$

    **Arguments:**

    - `layers`: name → `Layer`; the state is a dict with the same names.
    - `synapses`: name → (energy, names of the layers whose activations are its arguments, in order). An energy is a
      `DenseSynapse`, a `MapSynapse` or any function of activations that returns a scalar.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    network = hj.associative.LayeredNetwork(
        layers={"v": hj.Layer(hj.LogCosh(), tau=1.0), "h": hj.Layer(hj.LogSumExp(), tau=0.5)},
        synapses={"vh": (hj.associative.DenseSynapse(jnp.ones((4, 2))), ("v", "h"))},
    )
    state = {"v": jnp.ones(4), "h": jnp.zeros(2)}
    assert set(network.energy_terms(state)) == {"v", "h", "vh"}
    ```
    """

    named_layers: dict[str, Layer]
    synapses: dict[str, Callable]
    joins: tuple[tuple[str, tuple[str, ...]], ...] = eqx.field(static=True)

    def __init__(
        self,
        layers: Mapping[str, Layer],
        synapses: Mapping[str, tuple[Callable, tuple[str, ...]]],
    ):
        for name, given in (("layers", layers), ("synapses", synapses)):
            if not isinstance(given, Mapping):
                fail(name, "a dictionary with a name for each", kind(given))
        if not layers:
            fail("layers", "at least one layer", "none")
        for name, layer in layers.items():
            if not isinstance(layer, Layer):
                fail(f"layers[{name!r}]", "a Layer", kind(layer))
        if not synapses:
            fail("synapses", "at least one synapse", "none")
        if shared := set(layers) & set(synapses):
            fail("synapses", "names that no layer has (they name the energy's terms)", sorted(shared))
        for name, (energy, joined) in synapses.items():
            _callable(f"synapses[{name!r}]", energy)
            if unknown := [j for j in joined if j not in layers]:
                fail(f"synapses[{name!r}]", f"names of layers, {sorted(layers)}", unknown)
        self.named_layers = dict(layers)
        self.synapses = {name: energy for name, (energy, _) in synapses.items()}
        self.joins = tuple((name, tuple(joined)) for name, (_, joined) in synapses.items())

    def layers(self) -> dict[str, Layer]:
        """The layers by name."""
        return self.named_layers

    def interactions(self, g: dict[str, Array]) -> dict[str, Scalar]:
        """The energy of every synapse by name."""
        terms = {name: self.synapses[name](*(g[j] for j in joined)) for name, joined in self.joins}
        for name, term in terms.items():
            shape_is(f"synapses[{name!r}]", term, (), "(a synapse's energy is a scalar)")
        return terms


def slow_fast_network(
    hidden_map: Callable,
    *,
    visible: AbstractGeneratingFunction | None = None,
    hidden: AbstractGeneratingFunction | None = None,
    input: ArrayLike = 0.0,
    tau_visible: ScalarLike = 1.0,
    tau_hidden: ScalarLike = 0.1,
) -> LayeredNetwork:
    r"""Visible neurons and hidden ones of finite time constant (eq. 10; eq. 17 to 19 for $h(g) = \Xi g + b$):

    $$\tau_v \dot v = -v + I + J_h^\top f(h), \qquad \tau_h \dot h = -h + h(g), \qquad
      E = [(v - I)\cdot g - L_v] + [h \cdot f - L_h] - f \cdot h(g).$$

    With `MemoryMap(patterns)` it is Krotov and Hopfield's two-layer network; as `tau_hidden` → 0 it tends to
    `AdiabaticNetwork` at first order. The state is `{"visible": v, "hidden": h}`. Integration needs about 1/(3.3
    `tau_hidden`) steps per unit of time.

    **Arguments:** as `AdiabaticNetwork`, and `tau_hidden` > 0.

    **Returns:** a `LayeredNetwork` with terms `visible`, `hidden` and `synapse`.
    """
    tau_visible = Rules().real("tau_visible", tau_visible, "positive")
    tau_hidden = Rules().real("tau_hidden", tau_hidden, "positive")
    for name, units in (("visible", visible), ("hidden", hidden)):
        if units is not None:
            generating_fits(name, units)
    return LayeredNetwork(
        layers={
            "visible": Layer(Quadratic() if visible is None else visible, tau_visible, input),
            "hidden": Layer(LogSumExp() if hidden is None else hidden, tau_hidden),
        },
        synapses={"synapse": (MapSynapse(_callable("hidden_map", hidden_map)), ("visible", "hidden"))},
    )


def conditioning_network(
    patterns: Real[ArrayLike, "patterns neurons"],
    *,
    beta: ScalarLike = 1.0,
    input: ArrayLike = 0.0,
    tau_visible: ScalarLike = 1.0,
) -> AdiabaticNetwork:
    r"""Hebb's couplings inside the non-linearity (eq. 20 to 22): $\tau_v \dot v = -v + \tanh(\beta J v + \beta u)$ with
    $J = \Xi^\top\Xi/P$ for $P$ patterns, from J = 1 and `MemoryQuadratic` neurons.

    $J$ keeps its diagonal: without it (footnote 3) $L_v$ would not be convex, and the energy might rise.

    **Arguments:**

    - `patterns`: $\Xi$, shape (patterns, neurons), of both signs: 0 and 1 are refused.
    - `beta`: $\beta$ > 0. `input`: $u$, a scalar or shape (neurons,).
    """
    patterns = signed_patterns("patterns", patterns)
    beta, input = sieved("beta", beta, "positive", ()), sieved("input", input, "finite")
    num_patterns, num_neurons = patterns.shape
    if input.ndim:
        shape_is("input", input, (num_neurons,), "(neurons,)")
    weights = jnp.broadcast_to((num_neurons * (beta / num_patterns)).astype(patterns.dtype), (num_patterns,))
    return AdiabaticNetwork(
        IdentityMap(bias=beta * input),
        visible=MemoryQuadratic(OuterProducts(patterns.T, weights=weights, self_coupling=True)),
        hidden=LogCosh(),
        tau_visible=tau_visible,
    )


def graded_network(
    patterns: Real[ArrayLike, "patterns neurons"],
    *,
    beta: ScalarLike = 1.0,
    input: ArrayLike = 0.0,
    tau_visible: ScalarLike = 1.0,
    self_coupling: bool = False,
) -> AdiabaticNetwork:
    r"""Hopfield's graded-response network, $\tau \dot v = -v + u + J \tanh(\beta v)$ with $J = \Xi^\top\Xi/N$.

    $N$ is the number of neurons. (In the shifted variable $v - u$ the equation reads $\tau \dot v = -v + J\tanh(\beta v
    + \beta u)$.) Its energy falls with and without the diagonal of $J$.

    **Arguments:**

    - `patterns`: $\Xi$, shape (patterns, neurons), of both signs: 0 and 1 are refused.
    - `beta`: $\beta$ > 0. `input`: $u$, one number or shape (neurons,).
    - `self_coupling`: whether $J$ keeps its diagonal.
    """
    couplings = OuterProducts(signed_patterns("patterns", patterns).T, self_coupling=self_coupling)
    return AdiabaticNetwork(
        IdentityMap(),
        visible=LogCosh(beta),
        hidden=MemoryQuadratic(couplings),
        input=input,
        tau_visible=tau_visible,
    )


def _callable(argument: str, value: Any) -> Callable:
    if not callable(value):
        fail(argument, "a function of the activations", kind(value))
    return value


def _real_vector(argument: str, h: Any) -> Array:
    if not isinstance(h, jax.Array) or not jnp.issubdtype(h.dtype, jnp.floating) or h.ndim == 0:
        got = f"shape {jnp.shape(h)} of {jnp.result_type(h)}" if eqx.is_array_like(h) else type(h).__name__
        fail(argument, "h(g) to be an array of real numbers with one entry a hidden neuron", got)
    return h
