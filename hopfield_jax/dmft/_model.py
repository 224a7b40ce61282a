"""What theory and simulation share: the contract of a model, and how a run begins and ends."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .._checks import Checked, Rules, fail, is_valid, kind
from .._misc import default_float, in_type
from .._types import Array, Float, Int, Parameter, PRNGKey, PyTree, Scalar
from .._units import AbstractElementwise, AbstractSite, Memoryless, as_site, site_fits, without_gradient
from ._cue import AbstractCue
from ._kernels import AbstractPlasticityKernel, Exponential, kernel_tables
from ._schemes import AbstractScheme


class AbstractPlasticModel(Checked):
    r"""Neurons in steps of `dt`, with fields of stored patterns, plastic synapses and external fields:

    $$x(t+1) = (1 - dt)\,x(t) + dt\,[\text{stored}(\phi) + A(t)\phi + \theta],\qquad \phi = \phi(x).$$
    """

    load: eqx.AbstractVar[Parameter[Scalar]]
    units: eqx.AbstractVar[AbstractElementwise | AbstractSite]
    kernel: eqx.AbstractVar[AbstractPlasticityKernel | None]
    dt: eqx.AbstractVar[Parameter[Scalar]]
    pattern_field: eqx.AbstractVar[Parameter[Array]]
    cue_field: eqx.AbstractVar[Parameter[Array]]

    scheme: eqx.AbstractVar[AbstractScheme]

    def __check_init__(self):
        name = type(self).__name__
        site_fits(f"{name}.units", self.units)
        if not isinstance(self.kernel, AbstractPlasticityKernel | None):
            fail(f"{name}.kernel", "a plasticity kernel or None", kind(self.kernel))
        if not isinstance(self.scheme, AbstractScheme):
            fail(f"{name}.scheme", "Euler() or AdamsBashforth()", kind(self.scheme))

    def relations(self, rules: Rules) -> None:
        """The step suits units, scheme and kernel."""
        name, largest = type(self).__name__, self.scheme.largest_dt
        at_most = f"a step of at most {largest} with {type(self.scheme).__name__}"
        rules.holds(f"{name}.dt", lambda dt: dt <= 1, "a step in (0, 1]", self.dt)
        if self.units.thermal:
            one = "1 with Glauber units, which are updated all at once"
            rules.holds(f"{name}.dt", lambda dt: dt == 1, one, self.dt)
        rules.holds(f"{name}.dt", lambda dt: dt <= np.asarray(largest, dt.dtype), at_most, self.dt)
        site, longest = self.site, "a time constant of at least dt = {1:g}"
        for field in site.times:
            if (tau := getattr(site, field)) is not None:
                rules.holds(f"{type(site).__name__}.{field}", lambda tau, dt: tau >= dt, longest, tau, self.dt)
        for weights in jtu.tree_leaves(self.tables(2)):  # raises if the kernel is invalid for this step
            rules.holds(f"{name}.kernel", lambda weights: abs(weights) < np.inf, "finite weights", weights)

    @property
    def site(self) -> AbstractSite | Memoryless:
        """The law of a neuron."""
        return as_site(self.units)

    def traces(self, phi: Array, inner: PyTree, sent: Array) -> dict[str, Array]:
        """What plasticity sees behind a synapse (`post`) and before it (`pre`, or one for `both`), if it is not the
        output itself."""
        post, pre = (sent, sent) if self.kernel is None else self.site.traces(phi, inner, sent)
        found = {"both": post} if post is pre else {"post": post, "pre": pre}
        return {name: trace for name, trace in found.items() if trace is not sent}

    def num_inner(self) -> int:
        """How many inner variables a neuron has."""
        one, model = jax.ShapeDtypeStruct((1,), default_float()), in_type(self, default_float())
        return 0 if self.units.memoryless else len(jtu.tree_leaves(jax.eval_shape(model.site.start, one)))

    def num_traces(self) -> int:
        """How many traces there are."""
        if self.units.memoryless or self.kernel is None:
            return 0
        model = in_type(self, default_float())

        def look(phi: Array) -> dict[str, Array]:
            inner = model.site.start(phi)
            return model.traces(phi, inner, model.site.sent(phi, inner))

        return len(jax.eval_shape(look, jax.ShapeDtypeStruct((1,), default_float())))

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """Degree of the stored energy in the activations."""

    @property
    @abc.abstractmethod
    def own_feedback(self) -> Scalar | float:
        """Weight of a neuron's own output in its field, from self-couplings."""

    @abc.abstractmethod
    def signal(self, overlaps: Float[Array, " condensed"]) -> Float[Array, " condensed"]:
        """Field along each condensed pattern."""

    @abc.abstractmethod
    def crosstalk(self, outputs: Float[Array, " rank"], square: Scalar) -> Float[Array, " normals"]:
        r"""$u(L_t, C_{tt})$: the field of the uncondensed patterns is $u\cdot z$, $z$ independent standard normals.
        $L_t$ are the coefficients of the outputs at t on orthonormal directions $q$, $C_{tt} = L_t\cdot L_t$.

        With $b_t = \langle\phi_t z\rangle$ the noise is $(u + p\,b_t)\cdot z$, and the feedback
        $(\partial u/\partial L_t)^\top\epsilon b_t\cdot q + 2(\partial u/\partial C_{tt}\cdot\epsilon b_t)\,
        \phi_t$, with $p$ and $\epsilon$ of `propagated` and `returned`.
        """

    @abc.abstractmethod
    def propagated(self, answers: Float[Array, " normals"]) -> Float[Array, " normals"]:
        """$p\\,b_t$: what the noise of each normal excites in the patterns acts like this noise."""

    @abc.abstractmethod
    def returned(self, answers: Float[Array, " normals"]) -> Float[Array, " normals"]:
        """$\\epsilon\\,b_t$: the share of couplings that act in both directions."""

    @abc.abstractmethod
    def num_normals(self, rank: int) -> int:
        """Number of normals in `crosstalk` for a given number of directions."""

    @abc.abstractmethod
    def num_patterns(self, num_neurons: int) -> Int[Array, ""]:
        """Number of patterns of a network of this size."""

    @abc.abstractmethod
    def stored(self, patterns: Float[Array, "patterns neurons"], *, key: PRNGKey) -> Float[Array, "rows neurons"]:
        """What a finite network keeps of its patterns: themselves, or its couplings."""

    @abc.abstractmethod
    def stored_field(
        self, stored: Float[Array, "rows neurons"], phi: Float[Array, " neurons"]
    ) -> Float[Array, " neurons"]:
        """The field on every neuron of a finite network."""

    def where_defined(self, energy: Array) -> Array:
        """The energy; NaN if couplings are not symmetric or neurons have inner variables, as it is no energy then."""
        return jnp.where(self.units.memoryless & jnp.all(self.returned(jnp.ones(2)) == 1), energy, jnp.nan)

    def tables(self, num_times: int) -> tuple[Exponential | Array, ...]:
        r"""The terms of the plasticity $\lambda K$; empty without plasticity."""
        return kernel_tables(self.kernel, num_times, self.dt, self.scheme.trapezoid)

    def fields(self, num_times: int) -> tuple[Array, Array]:
        """The external fields along pattern and cue at every time, shape (num_times,) each."""

        def spread(name: str) -> Array:
            value = getattr(self, name)
            if value.ndim and value.size not in (num_times, num_times - 1):
                fail(name, f"one number or one for each of the {num_times - 1} steps", f"shape {value.shape}")
            value = jnp.broadcast_to(value, (num_times,)) if value.ndim == 0 else value
            return jnp.pad(value, (0, num_times - value.size), mode="edge")

        return spread("pattern_field"), spread("cue_field")


def check_model(model: AbstractPlasticModel, cue: AbstractCue) -> None:
    """Validates the types of model and cue."""
    if not isinstance(model, AbstractPlasticModel):
        fail("model", "a PlasticNetwork or DensePlasticNetwork", kind(model))
    if not isinstance(cue, AbstractCue):
        fail("cue", "a SpinCue or GaussianCue", kind(cue))


def memory_suffices(needed: int, max_bytes: float, hint: str = "") -> None:
    """Raises if the predicted memory exceeds `max_bytes`."""
    if not needed <= max_bytes:
        fail("max_bytes", f"room for the predicted {needed / 2**30:.3g} GiB{hint}", f"{max_bytes / 2**30:.3g} GiB")


def prepared(
    model: AbstractPlasticModel, cue: AbstractCue, *, closed: bool = True
) -> tuple[AbstractPlasticModel, AbstractCue, Array]:
    """Casts model and cue to the default float type, blocks undefined gradients if `closed`, and returns whether all is
    valid."""
    dtype = default_float()
    cast = lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x  # noqa: E731
    if closed:
        model, cue = without_gradient(model.units, (model, cue))
    model, cue = jtu.tree_map(cast, (model, cue))
    return model, cue, is_valid((model, cue))


def keep(tree: PyTree, good: Array) -> PyTree:
    """Rows of the leading axis where `good`, NaN elsewhere; integers and booleans are unchanged."""

    def one(x: Array) -> Array:
        return jnp.where(good.reshape(good.shape + (1,) * (x.ndim - good.ndim)), x, jnp.nan)

    return jtu.tree_map(lambda x: one(x) if eqx.is_inexact_array(x) else x, tree)


def before(failed: Array) -> Array:
    """Mask of the times before the first failure."""
    index = jnp.arange(len(failed))
    return index < jnp.min(jnp.where(failed, index, len(failed)))
