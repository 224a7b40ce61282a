"""Linear stability, and a test of energy descent."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import lineax as lx
from jax.experimental.sparse.linalg import lobpcg_standard
from jax.flatten_util import ravel_pytree

from ._checks import Rules, all_finite, at_least, fail, key_fits, kind
from ._dynamics import AbstractDynamics, AbstractEnergyDynamics, Layer
from ._integrate import as_args, as_problem
from ._misc import default_float, inner, matmul, nan_unless, widened
from ._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from ._types import Array, Bool, Int, Scalar, ScalarLike, State


class Linearisation(eqx.Module):
    r"""Result of `hopfield_jax.linearise`: $\dot{\delta y} = J\,\delta y$ at one state.

    **Attributes:**

    - `eigenvalues`: of $J$, the largest real part first; per unit of time. Real if the symmetric solver was used.
    - `leading`: the largest real part.
    - `stable`: whether every eigenvalue's real part is below `-tolerance`.
    - `hyperbolic`: whether no real part lies within `tolerance` of zero (Hartman and Grobman's condition), among the
      computed eigenvalues.
    - `num_flat`: number of eigenvalues within it.
    - `num_dead`: neurons whose activation has zero slope; -1 if the model has no layers.
    - `residual`: largest rate of change at the state, zero at a fixed point.
    - `result`: the result code.
    """

    eigenvalues: Array
    leading: Scalar
    stable: Bool[Array, ""]
    hyperbolic: Bool[Array, ""]
    num_flat: Int[Array, ""]
    num_dead: Int[Array, ""]
    residual: Scalar
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.leading,
            lambda: (
                f"leading eigenvalue {self.leading:.5g}, {'stable' if self.stable else 'not stable'}, "
                f"{'hyperbolic' if self.hyperbolic else self._flat()}, {self._dead()}"
                f"rate of change {self.residual:.2g}\n  result: {describe_result(self.result)}"
            ),
        )

    def _dead(self) -> str:
        return f"{self.num_dead} dead units, " if self.num_dead >= 0 else ""

    def _flat(self) -> str:
        everywhere = int(self.num_flat) == self.eigenvalues.shape[-1] and not bool(jnp.any(jnp.imag(self.eigenvalues)))
        return "flat in every direction (a dead zone)" if everywhere else f"{self.num_flat} flat directions"


def jacobian(model: AbstractDynamics, y: State, *, args: Any = None) -> lx.JacobianLinearOperator:
    r"""The Jacobian $\partial f/\partial y$ at a state, as a Lineax operator: products `.mv(v)`, `.transpose().mv(v)`
    without forming it, and `.as_matrix()` over the flattened state.

    For an adiabatic network with $J = \Xi$ it is $(-1 + \Xi^\top H_h \Xi H_v)/\tau_v$ (Lotito 2025, eq. 28; eq. 30
    writes the factors in another order).
    """
    model, y = widened((model, y))
    y = nan_unless(all_finite(y), y)  # saturating units have a Jacobian at infinity, but infinity is not a state
    return lx.JacobianLinearOperator(lambda y, args: model.vector_field(jnp.zeros(()), y, args), y, as_args(args))


def linearise(
    model: AbstractDynamics,
    y: State,
    *,
    args: Any = None,
    num_eigenvalues: int | None = None,
    symmetric: bool | None = None,
    tolerance: ScalarLike = 1e-4,
    throw: bool = True,
) -> Linearisation:
    r"""Jacobian, spectrum and stability at a state (Lotito 2025, section 5.4 and appendix A).

    For an energy network $J = T^{-1}(-1 + S H)$ with $T$ the time constants, $H = \nabla^2 L \succeq 0$ and $S =
    -\nabla^2_g U$ symmetric, so the spectrum is real, for one layer and for several with different time constants: it
    is that of $T^{-1/2}(-1 + H^{1/2} S H^{1/2})T^{-1/2}$, and symmetric solvers are used. (A general eigensolver does
    not exist on TPUs, runs on the host for GPUs and has no derivatives of eigenvectors.)

    **Main arguments:**

    - `model`, `y`: the model and the state; `args` is passed to the vector field.
    - `num_eigenvalues`: default all, by a dense solver: memory 3 size² numbers, time O(size³). Otherwise the number of
      leading ones of an energy network, by LOBPCG, fewer than a fifth of the size. This is matrix-free except for
      layers of non-separable units (such as a softmax), each of which costs the square of its own size.

    **Other arguments:**

    - `symmetric`: default whether the model is an energy network.
    - `tolerance`: real parts closer to zero than this count as flat.
    - `throw`: whether to raise on failure.

    **Returns:** a `Linearisation`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.
    """
    if not isinstance(model, AbstractDynamics):
        fail("model", "a dynamics with a vector field", kind(model))
    rules = Rules()
    model, y, _ = as_problem("y", model, y, rules)
    size = sum(x.size for x in jtu.tree_leaves(y))
    if symmetric is None:
        symmetric = isinstance(model, AbstractEnergyDynamics)
    if symmetric and not isinstance(model, AbstractEnergyDynamics):
        fail("symmetric", "False for a model that is no energy network", True)
    if num_eigenvalues is not None:
        at_least("num_eigenvalues", num_eigenvalues, 1)
        if 5 * num_eigenvalues >= size:
            fail("num_eigenvalues", f"less than a fifth of the state's size {size} (or None for all)", num_eigenvalues)
        if not symmetric:
            fail("num_eigenvalues", "None unless the model is an energy network", num_eigenvalues)
    tolerance = rules.real("tolerance", tolerance, "nonnegative", dtype=default_float())
    out = _linearise(model, y, as_args(args), num_eigenvalues, symmetric, tolerance, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


def _layers(model) -> list[Layer]:
    return jtu.tree_leaves(model.layers(), is_leaf=lambda x: isinstance(x, Layer))


@eqx.filter_jit
def _linearise(model, y, args, num_eigenvalues, symmetric, tolerance, valid) -> Linearisation:
    field = lambda y: model.vector_field(jnp.zeros(()), y, args)  # noqa: E731
    convex, converged, num_dead = jnp.array(True), jnp.array(True), jnp.array(-1)
    if symmetric:
        root, rate, slopes, convex = _curvature_root(model, y)
        num_dead = jnp.sum(jnp.stack([jnp.sum(s <= 1e-6 * jnp.max(s)) for s in slopes]))
        apply_s = _interaction_product(model, y)
        if num_eigenvalues is None:
            dense = jax.vmap(lambda v: root(apply_s(root(v))))(jnp.eye(rate.size, dtype=rate.dtype))
            form = jnp.sqrt(rate)[:, None] * (dense - jnp.eye(rate.size, dtype=rate.dtype)) * jnp.sqrt(rate)[None, :]
            eigenvalues = jnp.linalg.eigvalsh(0.5 * (form + form.T))[::-1]
        else:
            eigenvalues, converged = _leading(lambda v: root(apply_s(root(v))), rate, num_eigenvalues)
    else:
        eigenvalues = jnp.linalg.eigvals(_dense_jacobian(field, y))
        eigenvalues = eigenvalues[jnp.argsort(-eigenvalues.real)]
    real = eigenvalues.real
    num_flat = jnp.sum(jnp.abs(real) <= tolerance)
    result = outcome(
        (~converged, RESULTS.not_converged),
        (~all_finite(eigenvalues), RESULTS.not_finite),
        (~convex, RESULTS.not_convex),
        (~valid, RESULTS.invalid_parameter),
    )
    usable = result == RESULTS.successful
    eigenvalues = jnp.where(usable, eigenvalues, jnp.nan)
    return Linearisation(
        eigenvalues=eigenvalues,
        leading=jnp.where(usable, real[0], jnp.nan),
        stable=usable & (real[0] < -tolerance),
        hyperbolic=usable & (num_flat == 0),
        num_flat=num_flat,
        num_dead=num_dead,
        residual=jnp.max(jnp.abs(ravel_pytree(field(y))[0])),
        result=result,
    )


def _curvature_root(model: AbstractEnergyDynamics, y: State):
    """v ↦ H^{1/2} v and 1/τ over the flattened state, the diagonal of H for each layer, and whether H ⪰ 0."""
    layers, states = _layers(model), jtu.tree_leaves(y)
    roots, rates, slopes, convex = [], [], [], jnp.array(True)
    for layer, x in zip(layers, states, strict=True):
        rates.append(jnp.full(x.size, 1 / layer.tau, x.dtype))
        if layer.units.separable:
            slope = layer.units.curvature(x, jnp.ones_like(x)).reshape(-1)
            convex &= jnp.all(slope >= 0)
            roots.append(_sqrt(slope))
            slopes.append(slope)
        else:
            hessian = _dense_jacobian(layer.units.activation, x)
            values, vectors = jnp.linalg.eigh(0.5 * (hessian + hessian.T))
            # Rounding of a size × size product: size * eps of the largest eigenvalue.
            convex &= values[0] >= -x.size * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(values))
            roots.append(matmul(vectors * _sqrt(values)[None, :], vectors.T))
            slopes.append(jnp.diagonal(hessian))
    sizes = [0]
    for x in states:
        sizes.append(sizes[-1] + x.size)

    def root(v: Array) -> Array:
        parts = [v[a:b] for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
        return jnp.concatenate([r * p if r.ndim == 1 else matmul(r, p) for r, p in zip(roots, parts, strict=True)])

    return root, jnp.concatenate(rates), slopes, convex


def _interaction_product(model: AbstractEnergyDynamics, y: State):
    """v ↦ S v = -∇²U(g) v over the flattened activations."""
    g, restore = ravel_pytree(model.activations(y))
    force = jax.grad(lambda flat: -sum(model.interactions(restore(flat)).values()))
    return lambda v: jax.jvp(force, (g,), (v,))[1]


def _leading(product, rate: Array, num_eigenvalues: int) -> tuple[Array, Array]:
    """Largest eigenvalues of T^{-1/2}(-1 + H^{1/2} S H^{1/2})T^{-1/2}, by LOBPCG, and whether it converged.

    Shifted by 2/τ, so that the operator is not zero where all units are saturated.
    """
    scale = jnp.sqrt(rate)

    def shifted(block: Array) -> Array:
        apply = lambda v: scale * product(scale * v) + (2 * jnp.max(rate) - rate) * v  # noqa: E731
        return jax.vmap(apply, in_axes=1, out_axes=1)(block)

    start = jax.random.normal(jax.random.key(0), (rate.size, num_eigenvalues), rate.dtype)
    values, vectors, _ = lobpcg_standard(shifted, start, m=200)
    residual = jnp.max(jnp.abs(shifted(vectors) - values[None, :] * vectors))
    return values - 2 * jnp.max(rate), residual <= 1e-3 * jnp.max(jnp.abs(values))


def _sqrt(x: Array) -> Array:
    """Square root of the positive part, with slope zero (not infinite) at zero."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def _dense_jacobian(fn, y: State) -> Array:
    flat, restore = ravel_pytree(y)
    column = lambda v: ravel_pytree(jax.jvp(fn, (y,), (restore(v),))[1])[0]  # noqa: E731
    return jax.vmap(column, out_axes=1)(jnp.eye(flat.size, dtype=flat.dtype))


class DescentReport(eqx.Module):
    r"""Result of `hopfield_jax.check_descent`.

    **Attributes:**

    - `energy`, `energy_rate`: $E$ and $\dot E = \nabla E \cdot \dot y$ at the state.
    - `dissipation`: $-\dot y^\top \tau H \dot y$, which must equal `energy_rate`.
    - `gradient_residual`: $\lVert\nabla_y E + \tau H \dot y\rVert$ over $\lVert\nabla_y E\rVert + \lVert\tau H\dot
      y\rVert + \lVert g\rVert$. Of the size of rounding for symmetric couplings of this energy, of order one otherwise.
    - `smallest_curvature`: the smallest $v^\top \tau H v/v^\top v$ over the tested directions, including $\dot y$.
    - `consistent`: the residual is rounding (below 100 times the type's precision times the square root of the size).
    - `convex`: no direction of negative curvature was found. `descends`: $\dot E \le 0$ to rounding.
    - `differentiable`: derivatives of activations, forces and energies by automatic differentiation are those of
      differences nearby. A `stop_gradient` in a generating function makes them wrong, its curvature zero for example.
    - `dead`: no force acts at the state or nearby, as outside of memories with compact support.
    """

    energy: Scalar
    energy_rate: Scalar
    dissipation: Scalar
    gradient_residual: Scalar
    smallest_curvature: Scalar
    consistent: Bool[Array, ""]
    convex: Bool[Array, ""]
    descends: Bool[Array, ""]
    differentiable: Bool[Array, ""]
    dead: Bool[Array, ""]

    def __str__(self) -> str:
        def text():
            verdict = "descends" if self.descends else "RISES"
            causes = [] if self.consistent else ["the vector field is not the gradient flow of this energy"]
            causes += [] if self.convex else ["a generating function is not convex here"]
            wrong = "automatic derivatives are not those of the functions: a stopped gradient?"
            causes += [] if self.differentiable else [wrong]
            causes += ["a dead zone: no force acts here or nearby"] if self.dead else []
            return (
                f"energy {self.energy:.6g} {verdict} at rate {self.energy_rate:.3g}; "
                f"gradient residual {self.gradient_residual:.1e}, smallest curvature {self.smallest_curvature:.3g}"
                + "".join(f"\n  {cause}" for cause in causes)
            )

        return card(self, self.energy, text)


def check_descent(
    model: AbstractEnergyDynamics, y: State, *, args: Any = None, num_directions: int = 32, key: Array | None = None
) -> DescentReport:
    r"""Tests whether the energy falls at a state, and if not, why: asymmetric couplings, or an $L$ that is not convex.

    Tests $\nabla_y E = -\tau H \dot y$, which is stronger than descent, and the sign of $H$ along $\dot y$,
    `num_directions` random directions and as many coordinate axes. This can miss a direction of negative curvature:
    `linearise(...).result` tests the whole of $H$. Derivatives, which both take from automatic differentiation, are
    compared with differences.

    **Arguments:** `model`, `y`: an energy network and a state (use `jax.vmap` for many); `key` for the directions.

    **Returns:** a `DescentReport`.
    """
    if not isinstance(model, AbstractEnergyDynamics):
        fail("model", "an energy network", kind(model))
    rules = Rules()
    model, y, _ = as_problem("y", model, y, rules)
    at_least("num_directions", num_directions, 1)
    if key is not None:
        key_fits("key", key)
    key = jax.random.key(0) if key is None else key
    return _check_descent(model, y, as_args(args), num_directions, key, rules.valid)


@eqx.filter_jit
def _check_descent(model, y, args, num_directions, key, valid) -> DescentReport:
    rate = model.vector_field(jnp.zeros(()), y, args)
    gradient = jax.grad(model.energy)(y)
    flow = model.metric(y, rate)
    (flat_y, restore), flat_rate = ravel_pytree(y), ravel_pytree(rate)[0]
    flat_gradient, flat_flow = ravel_pytree(gradient)[0], ravel_pytree(flow)[0]
    norm = lambda v: jnp.sqrt(jnp.sum(jnp.square(v)))  # noqa: E731
    # The gradient is a difference of terms of the size of the activations: at rest only their rounding remains.
    total = norm(flat_gradient) + norm(flat_flow) + norm(ravel_pytree(model.activations(y))[0])
    residual = jnp.where(total > 0, norm(flat_gradient + flat_flow) / jnp.where(total > 0, total, 1), 0)
    random = jax.random.normal(key, (num_directions, flat_y.size), flat_y.dtype)
    axes = jnp.eye(min(num_directions, flat_y.size), flat_y.size, dtype=flat_y.dtype)
    directions = jnp.concatenate([flat_rate[None], random, axes])

    def curvature(v: Array) -> Scalar:
        size, product = inner(v, v), inner(v, ravel_pytree(model.metric(y, restore(v)))[0])
        return jnp.where(size > 0, product / jnp.where(size > 0, size, 1), 0)

    curvatures = jax.lax.map(curvature, directions)
    rounding = 100 * jnp.finfo(flat_y.dtype).eps * jnp.sqrt(jnp.asarray(flat_y.size, flat_y.dtype))
    energy_rate = inner(flat_gradient, flat_rate)
    differentiable, force = _nearby(model, y, jax.random.fold_in(key, 1))
    report = DescentReport(
        energy=model.energy(y),
        energy_rate=energy_rate,
        dissipation=-inner(flat_rate, flat_flow),
        gradient_residual=residual,
        smallest_curvature=jnp.min(curvatures),
        consistent=residual <= rounding,
        convex=(jnp.min(curvatures) >= -rounding * jnp.max(jnp.abs(curvatures))),
        descends=energy_rate <= rounding * total * norm(flat_rate),
        differentiable=differentiable,
        dead=jnp.maximum(force, jnp.max(jnp.abs(flat_rate))) <= rounding * jnp.max(jnp.abs(flat_y)),
    )
    return nan_unless(valid, report)


def _nearby(model: AbstractEnergyDynamics, y: State, key: Array) -> tuple[Bool[Array, ""], Scalar]:
    """Whether derivatives are those of central differences, and the largest force, at eight points near a state.

    Not at the state itself, where a function may have a kink. Of three steps, which differ by factors of eight, the one
    that agrees best counts: longer ones cross kinks, shorter ones are all rounding. A wrong derivative never agrees.
    """
    flat, restore = ravel_pytree(y)
    eps = jnp.finfo(flat.dtype).eps
    step = eps ** (1 / 3) * jnp.maximum(jnp.max(jnp.abs(flat)), eps)
    steps = step * 8.0 ** -jnp.arange(3).astype(flat.dtype)

    def parts(flat: Array) -> list[Array]:
        y = restore(flat)
        terms = jnp.stack(list(model.energy_terms(y).values()))
        return [ravel_pytree(model.activations(y))[0], ravel_pytree(model.target(y))[0], terms]

    def apart(draws: Array) -> tuple[Scalar, Scalar]:
        near, v = flat + 10 * step * draws[0], draws[1]
        at, slopes = jax.jvp(parts, (near,), (v,))
        shifted = jax.vmap(lambda step: parts(near + step * v))(jnp.concatenate([steps, -steps]))
        worst = jnp.zeros((), flat.dtype)
        for value, slope, both in zip(at, slopes, shifted, strict=True):
            difference = (both[:3] - both[3:]) / (2 * steps[:, None])
            rounding = 100 * eps * jnp.max(jnp.abs(value)) / steps
            size = jnp.max(jnp.abs(difference), axis=1) + jnp.max(jnp.abs(slope)) + rounding
            error = jnp.max(jnp.abs(difference - slope[None]), axis=1) / jnp.where(size > 0, size, 1)
            worst = jnp.maximum(worst, jnp.min(error))
        return worst, jnp.max(jnp.abs(at[1] - near))

    draws = jax.random.uniform(key, (8, 2, flat.size), flat.dtype, -1, 1)
    draws = draws.at[0, 1].set(1)  # a common shift, to which functions of differences do not react
    worst, force = jax.lax.map(apart, draws)
    return jnp.max(worst) < 0.1, jnp.max(force)
