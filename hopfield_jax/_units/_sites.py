"""Neurons with inner variables beside their state, such as adaptation and depressing synapses."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from .._checks import Checked, Rules, as_real, domain, fail, is_concrete, kind
from .._misc import default_float, in_type
from .._types import Array, Float, Parameter, PyTree, Scalar
from ._base import AbstractElementwise, AbstractUnits, elementwise_fit

Site = Float[Array, "*sites"]
# States of three neurons, and fields at four times.
_TRIED = [-1.25, 0.25, 0.75], [0.5, 0.5, 0.25], [-0.75, 1.75, -0.4], [1.5, -0.5, 0.75], [0.25, 0.75, 0.1]


class AbstractSite(AbstractUnits):
    r"""A neuron with inner variables $y$ beside its state $x$. Its activity is $\phi(x)$; it sees its own field $h$ and
    its own past only, and sends $s$ to the others:

    $$\dot x = d - x,\qquad (d, \dot y) = \text{law}(x, \phi, y, h),\qquad s = s(\phi, y),\qquad
      h_i = \sum_j J_{ij}s_j + \theta_i.$$

    All neurons have the same law. Variables are integrated by the scheme of the model, with its step. The plastic
    couplings are $A_{ij}(t) = \frac\lambda N\sum_s K(t, s)\,p_i(s)\,q_j(s)$, with the traces $p$ and $q$ behind and
    before a synapse.

    `odd` is whether the mirror image of a neuron's history is one too: $h, x, \phi, s, p, q$ with the other sign. A
    site that says so although it is not, that changes shapes or types, or whose numbers are not finite, raises
    `ValueError` at construction.

    **Attributes:** `units`, of the activity: a separable generating function, `Elementwise(fn)`, `Sign()` or
    `Glauber(beta)`, whose spins are random. `times`, names of fields (class attribute, none by default): time
    constants that must not be shorter than the step of a model.
    """

    units: eqx.AbstractVar[AbstractElementwise]
    separable = True
    memoryless = False
    times: ClassVar[tuple[str, ...]] = ()
    """Names of the time constants, which a step of the model must not exceed."""

    def __check_init__(self):
        elementwise_fit(f"{type(self).__name__}.units", self.units)
        Checked.__check_init__(self)  # domains first: others would be found by what follows from them
        _tried(self)

    @property
    def binary(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the `units`."""
        return self.units.binary

    @property
    def thermal(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the `units`."""
        return self.units.thermal

    @property
    def no_gradient(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the `units`."""
        return self.units.no_gradient

    def activation(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""The activity $\phi(x)$, of thermal units its mean."""
        return self.units.activation(x)

    def elementwise(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """NaN: with inner variables there is no energy."""
        return jnp.full_like(x, jnp.nan)

    @abc.abstractmethod
    def start(self, phi: Site) -> PyTree[Array]:
        """The inner variables at time zero, any pytree of arrays of the shape of the activities `phi`."""

    @abc.abstractmethod
    def law(self, x: Site, phi: Site, y: PyTree[Array], field: Site) -> tuple[Site, PyTree[Array]]:
        r"""The drive $d$, where the state goes, and the rates $\dot y$ of the inner variables."""

    @abc.abstractmethod
    def sent(self, phi: Site, y: PyTree[Array]) -> Site:
        """What the neuron sends."""

    @abc.abstractmethod
    def traces(self, phi: Site, y: PyTree[Array], sent: Site) -> tuple[Site, Site]:
        """What the plasticity sees behind (post) and before (pre) a synapse, usually `(phi, sent)`."""


class Adaptation(AbstractSite):
    r"""Neurons that tire: an adaptation $w$ that follows the activity lowers the field,

    $$\dot x = h - w - x,\qquad \tau\dot w = b\,\phi - w,\qquad s = \phi.$$

    At rest it acts as the self-coupling $-b$.

    **Arguments:**

    - `units`: of the activity $\phi(x)$.
    - `strength`: $b$; negative, it facilitates.
    - `tau`: $\tau$, in units of the neurons' time constant, at least `dt`.

    ```python
    import jax
    import hopfield_jax as hj

    units = hj.dmft.Adaptation(hj.LogCosh(beta=4.0), strength=0.5, tau=5.0)
    model = hj.dmft.PlasticNetwork(load=0.1, units=units)
    found = hj.dmft.solve(model, hj.dmft.SpinCue(0.5), num_steps=4, num_samples=1024, key=jax.random.key(0))
    assert abs(found.overlap[2] - 0.8706) < 5e-3
    ```
    """

    units: AbstractElementwise
    strength: Parameter[Scalar] = eqx.field(metadata=domain("finite"))
    tau: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    times = ("tau",)

    @property
    def odd(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the `units`."""
        return self.units.odd

    def start(self, phi):
        """$w = 0$."""
        return jnp.zeros_like(phi)

    def law(self, x, phi, y, field):
        """By the equations above."""
        return field - y, (self.strength * phi - y) / self.tau

    def sent(self, phi, y):
        r"""$\phi$."""
        return phi

    def traces(self, phi, y, sent):
        r"""$\phi$ and $\phi$."""
        return phi, sent


def _optional(value: Any) -> Array | None:
    return None if value is None else as_real("ShortTermPlasticity.facilitation", value)


class ShortTermPlasticity(AbstractSite):
    r"""Synapses that tire, and ease, with the activity $n = (1 + \phi)/2$ of the neuron before them (Tsodyks and
    Markram 1997): resources $r$ are used up, and the fraction $u$ of them that is used rises,

    $$\dot r = \frac{1 - r}{\tau_r} - u\,r\,n,\qquad \dot u = \frac{U - u}{\tau_f} + U(1 - u)\,n,\qquad
      s = \frac uU\,r\,\phi.$$

    At time zero $r = 1$, $u = U$. At a steady activity $u = U(1 + \tau_f n)/(1 + U\tau_f n)$ and $r = 1/(1 + u\tau_r
    n)$. The law is not odd: neurons that are active in the pattern and others differ. Plasticity sees $\phi$ behind a
    synapse and $s$ before it.

    **Arguments:**

    - `units`: of the activity $\phi(x)$, within [-1, 1].
    - `use`: $U$, in (0, 1].
    - `recovery`: $\tau_r$. `facilitation`: $\tau_f$, or `None` for $u = U$. In units of the neurons' time constant, at
      least `dt`.
    - `bits`: whether neurons are 0 and 1 instead of ±1: $s = \frac uU\,r\,n$ (static).
    - `threshold`: whether neurons of 0 and 1 have the static threshold $\frac12\sum_j J_{ij}$, with which fresh
      synapses make the network that of ±1: $s = \frac uU\,r\,n - \frac12$ (static).

    Pantic, Torres, Kappen and Gielen, Neural Computation 14, 2903 (2002), for neurons of ±1 and of 0 and 1; Mejias and
    Torres, Neural Computation 21, 851 (2009), with the threshold.

    ```python
    import jax
    import hopfield_jax as hj

    units = hj.dmft.ShortTermPlasticity(hj.LogCosh(beta=4.0), use=0.2, recovery=5.0)
    model = hj.dmft.PlasticNetwork(load=0.08, units=units)
    found = hj.dmft.solve(model, hj.dmft.SpinCue(0.5), num_steps=4, num_samples=1024, key=jax.random.key(0))
    assert abs(found.overlap[1] - 0.7520) < 5e-3
    ```
    """

    units: AbstractElementwise
    use: Parameter[Scalar] = eqx.field(metadata=domain("share"))
    recovery: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    facilitation: Scalar | None = eqx.field(converter=_optional, default=None)
    bits: bool = eqx.field(static=True, default=False)
    threshold: bool = eqx.field(static=True, default=False)
    times = ("recovery", "facilitation")

    def __check_init__(self):
        if self.threshold and not self.bits:
            fail("ShortTermPlasticity.threshold", "False unless bits=True (neurons of ±1 have none)", True)

    def relations(self, rules: Rules) -> None:
        """The time constant of facilitation, if any, is positive."""
        if self.facilitation is not None:
            rules.real("ShortTermPlasticity.facilitation", self.facilitation, "positive")

    def start(self, phi):
        """$r = 1$, $u = U$."""
        full = jnp.ones_like(phi)
        return full, None if self.facilitation is None else self.use * full

    def law(self, x, phi, y, field):
        """By the equations above."""
        (r, u), n = y, (1 + phi) / 2
        used = self.use if u is None else u
        rise = None if u is None else (self.use - u) / self.facilitation + self.use * (1 - u) * n
        return field, ((1 - r) / self.recovery - used * r * n, rise)

    def sent(self, phi, y):
        """By the equations above."""
        r, u = y
        efficacy = r if u is None else u / self.use * r
        if not self.bits:
            return efficacy * phi
        return efficacy * (1 + phi) / 2 - (0.5 if self.threshold else 0.0)

    def traces(self, phi, y, sent):
        r"""$\phi$ and $s$."""
        return phi, sent


class Memoryless(AbstractUnits):
    """Units without inner variables, as a site."""

    units: AbstractElementwise
    times: ClassVar[tuple[str, ...]] = ()

    def activation(self, x):
        return self.units.activation(x)

    def start(self, phi):
        return None

    def law(self, x, phi, y, field):
        return field, None

    def sent(self, phi, y):
        return phi

    def traces(self, phi, y, sent):
        return sent, sent


class AtRest(AbstractElementwise):
    """A site in a constant field, as a function of its state: what it sends there, and by how much the field exceeds
    the state that it holds."""

    site: AbstractSite
    separable = True
    memoryless = False

    @property
    def kinks(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.site.units.kinks

    def activation(self, x):
        return self.site.sent(self.site.activation(x), self._rest(x)[1])

    def elementwise(self, x):
        return jnp.full_like(x, jnp.nan)

    def lift(self, x: Array) -> Array:
        """The field less the state."""
        return self._rest(x)[0] - x

    def _rest(self, x: Array) -> tuple[Array, PyTree[Array]]:
        """Field and inner variables with no change, by Newton's method for every neuron."""
        phi = self.site.activation(x)
        leaves, structure = jtu.tree_flatten((x, self.site.start(phi)))

        def changes(values: list[Array]) -> list[Array]:
            field, y = structure.unflatten(values)
            drive, rates = self.site.law(x, phi, y, field)
            return [drive - x, *jtu.tree_leaves(rates)]

        def improved(values: list[Array]) -> list[Array]:
            units = [[jnp.full_like(v, i == j) for j, v in enumerate(values)] for i in range(len(values))]
            columns = [jnp.stack(jax.jvp(changes, (values,), (unit,))[1], axis=-1) for unit in units]
            move = jnp.linalg.solve(jnp.stack(columns, axis=-1), jnp.stack(changes(values), axis=-1)[..., None])
            return [v - move[..., i, 0] for i, v in enumerate(values)]

        found = jax.lax.fori_loop(0, 6, lambda _, values: improved(values), leaves)  # laws are linear or nearly so
        # Two steps more have the right derivatives, up to the third.
        return structure.unflatten(improved(improved(jax.lax.stop_gradient(found))))


def as_site(units: AbstractElementwise | AbstractSite) -> AbstractSite | Memoryless:
    """The law of a neuron."""
    return units if isinstance(units, AbstractSite) else Memoryless(units)


def at_rest(argument: str, units: AbstractSite) -> AtRest:
    """The site at rest; random spins have no such state."""
    if units.thermal:
        fail(argument, "units without thermal noise", kind(units))
    return AtRest(units)


def site_fits(argument: str, units: Any) -> None:
    """Validates that `units` are elementwise, or a site."""
    if not isinstance(units, AbstractSite):
        elementwise_fit(argument, units)


def _tried(site: AbstractSite) -> None:
    """Follows a few neurons and their mirror images, and validates what they do; only shapes and types if parameters
    are traced."""
    known = all(map(is_concrete, jtu.tree_leaves(site)))
    site = in_type(site, default_float())
    given = [np.asarray(x, default_float()) * np.array([[1.0], [-1.0]], default_float()) for x in _TRIED]
    if not known:
        eqx.filter_eval_shape(_numbers, site, given)
        return
    with jax.ensure_compile_time_eval():
        numbers, alone = (
            {name: np.asarray(x) for name, x in eqx.filter_jit(_numbers)(site, some).items()}
            for some in (given, [x[:1, :1] for x in given])
        )
    for name in ("law", "sent"):
        found, one = numbers[name][:, :1, :1], alone[name]
        if np.all(np.isfinite(found)) and not np.allclose(found, one, rtol=1e-3, atol=1e-3 * np.max(abs(found))):
            got = f"{found.ravel().tolist()} beside others and {one.ravel().tolist()} alone"
            fail(f"{type(site).__name__}.{name}", "the same of a neuron beside others as alone", got)
    for name, x in numbers.items():
        argument = f"{type(site).__name__}.{name}"
        if not np.all(np.isfinite(x)):
            fail(argument, "finite numbers for fields and states of order one", "others")
        if site.odd and name != "law" and not np.allclose(x[:, 0], -x[:, 1], rtol=1e-3, atol=1e-3 * np.max(abs(x))):
            got = f"{x[-1, 0].tolist()} and {x[-1, 1].tolist()} in fields of opposite sign"
            fail(argument, "numbers of opposite sign in opposite fields, as `odd` is True", got)


def _numbers(site: AbstractSite, given: list[Any]) -> dict[str, Array]:
    """What neurons of a given state do in given fields (shape (2, 3): neurons and their mirror images); checks shapes
    and types."""
    name, steps = type(site).__name__, []
    x, *fields = given

    def alike(method: str, found: Any, expected: Any) -> None:
        form = lambda tree: jtu.tree_map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a)), tree)  # noqa: E731
        try:
            same = form(found) == form(expected)
        except TypeError:
            same = False
        if not same:
            what = "arrays of the shape, type and structure that it is given"
            what = f"a pair, the drive and the rates of the inner variables, {what}" if method == "law" else what
            fail(f"{name}.{method}", what, jtu.tree_map(lambda a: f"{jnp.result_type(a)}{list(jnp.shape(a))}", found))

    y = site.start(site.activation(x))
    alike("start", y, jtu.tree_map(lambda _: x, y))
    for field in fields:
        phi = site.activation(x)
        sent = site.sent(phi, y)
        alike("sent", sent, x)
        traces = site.traces(phi, y, sent)
        alike("traces", traces, (x, x))
        drive, rates = site.law(x, phi, y, field)
        alike("law", (drive, rates), (x, y))
        steps.append({"sent": sent, "traces": jnp.concatenate(traces, axis=1), "law": drive})
        x, y = 0.5 * (x + drive), jtu.tree_map(lambda y, rate: y + 0.5 * rate, y, rates)
    steps.append({**steps[-1], "law": jnp.sum(jnp.stack(jtu.tree_leaves((x, y))), axis=0)})
    return {key: jnp.stack([step[key] for step in steps]) for key in steps[0]}
