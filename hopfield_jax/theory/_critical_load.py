"""The load at which a stationary retrieval state ends."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from .._checks import Rules
from .._misc import default_float
from .._results import RESULTS, raise_unless_okay
from .._synapses import AbstractSynapses
from .._types import Array, Bool, Float, Scalar, ScalarLike
from .._units import AbstractElementwise
from ._phases import branch
from ._scsna import MAXWELL, Network, StationaryState, as_network, determinant, root, stop_gradient
from ._site import AbstractBranch, as_units
from ._storage import HEBBIAN, AbstractStorage, Diluted

_SEVERAL_STATES = (
    "`strength`: the critical state has sites with several states (`multivalued`). The network's history selects among "
    "them; the branch rule is a substitute, and the derivative would be that of the rule. Use the dynamics "
    "(`hopfield_jax.dmft.largest_load`), or take a weaker plasticity or flatter units."
)


def critical_load(
    units: AbstractElementwise,
    *,
    strength: ScalarLike = 0.0,
    coupling: ScalarLike = 1.0,
    self_coupling: bool = False,
    branch: AbstractBranch = MAXWELL,
    storage: AbstractStorage = HEBBIAN,
    synapses: AbstractSynapses | None = None,
    threshold: ScalarLike = 0.1,
    throw: bool = True,
) -> StationaryState:
    r"""The load at which the retrieval state of `scsna`, followed from small loads, ends in a fold, and that state.

    At a given ratio y = m/√(αr) of signal and noise, α is explicit, and the state is unique for Maxwell's branch. The
    curve α(y) is followed from y = 10 downwards to its first maximum, and Newton's method solves the equations together
    with dα/dy = 0 (the determinant of the Jacobian vanishes). For sign units and Maxwell's branch this is Amit,
    Gutfreund and Sompolinsky's maximum of √(2α) = erf(x)/x − (2/√π)e^{−x²}, x = y/√2: α_c = 0.1379055665.

    Beyond this load there is no retrieval for Maxwell's branch. For `Upper` and `Cue` a state of smaller overlap may
    remain. Under strong plasticity the overlap falls without a fold, and the result is unsuccessful. As this limit is
    approached, the fold becomes a cusp: its `curvature` vanishes, and load and derivatives become meaningless.

    With `Glauber` units this is the line α_c(T) of Amit, Gutfreund and Sompolinsky's replica-symmetric theory, which
    rises at first with the temperature (replica symmetry is broken there); `phase_lines` has it down to T = 0.

    All this for Hebb's rule. With `Sequence()` storage and sign units the load is the maximum of erf(x)²/(2x²) −
    (2/π)e^{−2x²}, α_c = 0.2690616. With `Diluted()` storage there is no fold: for tanh, erf, clip, sign and `Glauber`
    units the overlap falls to zero continuously, where Δ = g⟨φz⟩ at m = 0, for sign units at α_c = 2/π. That state is
    returned, without a curvature.

    **Arguments:** those of `scsna` but for `load`, `initial` and `max_steps`.

    **Returns:** a `StationaryState` whose `load` is the critical one, with the `curvature` of the fold. Differentiable
    with respect to the coupling, the cue of the branch and the units' parameters, and with respect to the strength
    where the state is not `multivalued`. Where it is, the value is that of the branch rule (which for Maxwell's hardly
    depends on the strength, unlike the dynamics), and its derivative with respect to the strength is refused: NaN, or
    an error if `throw` (in forward mode together with all derivatives of the same call).

    **Raises:** `ValueError` for arguments outside their domain; `EquinoxRuntimeError` if there is no fold, or a slope
    is refused, and `throw`.

    **Example:**

    ```python
    import hopfield_jax as hj

    state = hj.theory.critical_load(hj.LogCosh(beta=4))
    assert abs(state.load - 0.1185389) < 1e-6
    assert abs(hj.theory.critical_load(hj.Glauber(beta=10)).load - 0.135049) < 1e-6
    assert abs(hj.theory.critical_load(hj.Sign(), synapses=hj.dmft.Clipped()).load - 0.1018387) < 1e-6
    ```

    Amit, Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987); Shiino and Fukai, Phys. Rev. E 48, 867 (1993); Düring,
    Coolen and Sherrington, J. Phys. A 31, 8607 (1998); Derrida, Gardner and Zippelius, Europhys. Lett. 4, 167 (1987).
    """
    units = as_units(units)
    rules = Rules(dtype=default_float())
    network = as_network(rules, units, strength, coupling, branch, self_coupling, storage, synapses)
    threshold = rules.real("threshold", threshold, "finite")
    out = (_end if isinstance(storage, Diluted) else _critical_load)(network, threshold, rules.valid)
    out = _of_one_state_a_site(out, network.strength, throw=throw)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_custom_jvp
def _of_one_state_a_site(out: StationaryState, strength: Scalar, *, throw: bool) -> StationaryState:
    """The state, with derivatives with respect to the strength blocked where a site has several states."""
    return out


@_of_one_state_a_site.def_jvp
def _of_one_state_a_site_jvp(primals, tangents, *, throw: bool):
    (out, _), (slopes, change) = primals, tangents
    if change is None:
        return out, slopes
    refusal = jnp.zeros_like(change)
    if throw:
        refusal = eqx.error_if(refusal, out.multivalued, _SEVERAL_STATES)
    else:
        refusal = jnp.where(out.multivalued, jnp.nan, refusal)
    return out, jtu.tree_map(lambda slope: slope + refusal * change, slopes)


@eqx.filter_jit
def _end(network: Network, threshold: Scalar, valid: Bool[Array, ""]) -> StationaryState:
    """The state of zero overlap that is marginal against a small one, m' = (g⟨φz⟩/Δ)m."""
    frozen = stop_gradient(network)
    zero = jnp.zeros_like(frozen.coupling)

    def imbalance(network, x):
        averages = network.averages(zero, x[1], zero)
        return jnp.stack([-x[0], network.coupling * averages.slope - x[1], -x[2]]), averages

    num_steps = 512
    x = jnp.stack([zero, frozen.coupling, zero])
    x = jax.lax.fori_loop(0, num_steps, lambda _, x: x + imbalance(frozen, x)[0], x)
    x = root(lambda x: imbalance(network, x)[0], x)
    root_square = network.root_square(imbalance(network, x)[1])
    load = jnp.square(network.storage.root_load(x[1] / network.coupling, root_square, zero))
    found = x[1] > 1e-3 * frozen.coupling
    num_steps, code = jnp.full((), num_steps, int), RESULTS.nonlinear_max_steps_reached
    return network.state(load, x, threshold, num_steps, found, code, valid)


@eqx.filter_jit
def _critical_load(network: Network, threshold: Scalar, valid: Bool[Array, ""]) -> StationaryState:
    frozen = stop_gradient(network)

    def along(network, w):
        """Imbalance in deviation and Γ at a ratio y = gm/deviation, and √α, all explicit."""
        deviation, feedback, ratio = w
        averages = network.averages(ratio * deviation / network.coupling, deviation, feedback)
        root_load = network.root_load(deviation, averages)
        imbalance = network.coupling * averages.output / ratio - deviation
        return jnp.stack([imbalance, network.next_feedback(root_load, averages, deviation) - feedback]), root_load

    if frozen.units.thermal and frozen.storage.coherent:
        start, num_steps, inside = _thermal_fold(frozen)
    else:
        start, num_steps, inside = _first_maximum(frozen, along)

    def slopes(network, w):
        """Gradients of imbalance and √α, as rows, and the imbalance."""

        def all_three(w):
            imbalance, root_load = along(network, w)
            return jnp.append(imbalance, root_load), imbalance

        return jax.jacfwd(all_three, has_aux=True)(w)

    def fold(w):
        rows, imbalance = slopes(network, w)
        return jnp.append(imbalance, determinant(rows))

    w = root(fold, start)
    load = jnp.square(along(network, w)[1])
    x = jnp.stack([w[2] * w[0] / network.coupling, w[0], w[1]])
    near = jnp.abs(w[2] / start[2] - 1) < 0.2

    # Along the curve, in the direction t of the cross product of the imbalance's rows, d√α/dy = determinant/t_y. It
    # vanishes at the fold, where its derivative is that of the determinant over t_y.
    at_fold, root_load = stop_gradient((w, jnp.sqrt(load)))
    rows, _ = slopes(frozen, at_fold)
    along_curve = jnp.cross(rows[0], rows[1])
    direction = along_curve / along_curve[2]
    _, turn = jax.jvp(lambda w: determinant(slopes(frozen, w)[0]), (at_fold,), (direction,))
    curvature = -2 * jnp.square(at_fold[2]) * turn / (along_curve[2] * root_load)
    num_steps, code = jnp.full((), num_steps, int), RESULTS.nonlinear_max_steps_reached
    return network.state(load, x, threshold, num_steps, inside & near, code, valid, curvature)


def _first_maximum(network: Network, along: Callable) -> tuple[Float[Array, "3"], int, Bool[Array, ""]]:
    """An approximate first maximum of α(y), the number of steps, and whether there is one."""
    dtype = network.coupling.dtype

    def relax(w, ratio):
        imbalance, root_load = along(network, w.at[2].set(ratio))
        return jnp.append(w[:2] + 0.5 * imbalance, ratio), (w, root_load)

    # From the known state at small noise through the fold, relaxing at each ratio.
    ratios = jnp.geomspace(10, 0.3, 64, dtype=dtype)
    schedule = jnp.concatenate([jnp.full(256, ratios[0]), jnp.repeat(ratios, 32)])
    first = jnp.stack([0.1 * network.coupling, network.strength, ratios[0]])
    _, (path, root_loads) = jax.lax.scan(relax, first, schedule)
    path, root_loads = path[256 + 31 :: 32], root_loads[256 + 31 :: 32]
    falls = root_loads[1:] < root_loads[:-1]
    best = jnp.argmax(falls)
    return path[best], schedule.size, falls[best] & (best > 0)


def _thermal_fold(network: Network) -> tuple[Float[Array, "3"], int, Bool[Array, ""]]:
    """The same for spins in a heat bath, from the curve of their states, including the limit T → 1."""
    beta = network.units.beta  # pyright: ignore[reportAttributeAccessIssue]
    states = branch(1, 1 / (beta * network.coupling))
    overlap, deviation = states.fold
    start = jnp.stack([network.coupling * deviation, jnp.zeros_like(deviation), overlap / deviation])
    return start, 0, states.exists
