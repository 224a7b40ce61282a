"""Lyapunov exponents along a trajectory."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax.flatten_util import ravel_pytree

from ._checks import Rules, all_finite, at_least, fail, is_valid
from ._dynamics import AbstractDynamics
from ._integrate import Noise, as_args, as_problem, one_step, step_fits
from ._misc import in_type, inner, matmul, nan_unless
from ._results import RESULTS, card, describe_result, is_okay, outcome, raise_unless_okay, with_error
from ._types import Array, Float, Int, PyTree, Scalar, ScalarLike, State

_REVERSE = "`hopfield_jax.lyapunov_exponents` has derivatives in forward mode only (`jax.jvp`, `jax.jacfwd`)."


class LyapunovExponents(eqx.Module):
    r"""Result of `hopfield_jax.lyapunov_exponents`.

    **Attributes:**

    - `exponents`: the largest k, per unit of time (of a map, per update), shape (k,); $-\infty$ where a map is
      singular.
    - `errors`: their standard errors, from the spread of the blocks.
    - `blocks`: averages over the blocks of time, shape (blocks, k).
    - `dimension`: Kaplan and Yorke's, $j + (\lambda_1 + \dots + \lambda_j)/|\lambda_{j + 1}|$ with the largest j whose
      sum is not negative; NaN if k exponents are too few for it.
    - `final`: the state at the end. `num_steps`: number of steps or updates.
    - `result`: the result code.
    """

    exponents: Float[Array, " exponents"]
    errors: Float[Array, " exponents"]
    blocks: Float[Array, "blocks exponents"]
    dimension: Scalar
    final: PyTree[Array]
    num_steps: Int[Array, ""]
    result: RESULTS

    def __str__(self) -> str:
        def text():
            shown = [with_error(x, e) for x, e in zip(self.exponents[:6], self.errors[:6], strict=True)]
            more = f", … ({len(self.exponents)})" if len(self.exponents) > 6 else ""
            return (
                f"{', '.join(shown)}{more}, dimension {self.dimension:.4g}\n  {self.num_steps} steps, "
                f"{len(self.blocks)} blocks\n  result: {describe_result(self.result)}"
            )

        return card(self, self.dimension, text)


def lyapunov_exponents(
    model: AbstractDynamics | Callable,
    y0: State,
    *,
    t1: ScalarLike,
    num_exponents: int = 1,
    dt0: ScalarLike | None = None,
    t0: ScalarLike = 0.0,
    transient: ScalarLike | None = None,
    args: Any = None,
    num_blocks: int = 20,
    solver: dfx.AbstractSolver | None = None,
    noise: Noise | None = None,
    throw: bool = True,
) -> LyapunovExponents:
    r"""The largest k Lyapunov exponents along a trajectory, the mean rates of growth of volumes of its tangents.

    With $Y' = D\Phi\,Q$ for k orthonormal tangents Q and the derivative $D\Phi$ of one step, and $Y' = Q'R$,

    $$\lambda_i = \Big\langle\frac{\log|R_{ii}|}{\Delta t}\Big\rangle,$$

    averaged over the trajectory after a transient (Benettin, Galgani, Giorgilli and Strelcyn 1980). The derivative is
    that of the solver's step, so that exponents are exact for the computed trajectory. The sum of all exponents is the
    mean trace of the Jacobian. The largest one is negative for a state at rest, 0 for a rhythm and positive for chaos.
    With noise, exponents are those of two copies of the system that see the same path of it.

    Memory is that of k + 1 states, for any number of steps; the time is about that of k + 1 integrations with constant
    steps. Derivatives are in forward mode, and are those along a trajectory: they grow with its length if it is
    chaotic.

    **Main arguments:**

    - `model`: the dynamics, or a map, a function `(t, y, args) -> ` next state, with t the number of updates.
    - `y0`: initial state.
    - `t1`: the end; of a map, the number of updates.
    - `num_exponents`: k, at most the size of the state.
    - `dt0`: the constant step (`None` for a map).

    **Other arguments:**

    - `t0`: the start.
    - `transient`: time before the averages begin, in which the trajectory approaches the attractor and tangents turn
      into place; default a tenth of the time.
    - `args`: passed to the vector field or the map.
    - `num_blocks`: number of blocks of equal length. Errors assume that blocks are independent, longer than the
      correlations of the trajectory.
    - `solver`: default `diffrax.Tsit5()`, with noise `diffrax.Euler()`.
    - `noise`: a `Noise`.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** a `LyapunovExponents`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import jax.numpy as jnp
    import hopfield_jax as hj

    def henon(t, y, args):
        return jnp.stack([1 - 1.4 * y[0] ** 2 + y[1], 0.3 * y[0]])

    found = hj.lyapunov_exponents(henon, jnp.array([0.1, 0.1]), t1=20_000, num_exponents=2)
    assert abs(found.exponents[0] - 0.4192) < 0.01
    assert abs(found.exponents.sum() - jnp.log(0.3)) < 1e-3  # the map contracts areas by 0.3
    ```
    """
    at_least("num_exponents", num_exponents, 1)
    at_least("num_blocks", num_blocks, 2)
    rules = Rules()
    t0, t1 = rules.real("t0", t0, "finite"), rules.real("t1", t1, "finite")
    rules.holds("t1", lambda t1, t0: t1 > t0, "a time after t0 = {1:g}", t1, t0)
    dt0 = None if dt0 is None else rules.real("dt0", dt0, "positive")
    transient = 0.1 * (t1 - t0) if transient is None else rules.real("transient", transient, "nonnegative")
    model, y0, dtype = as_problem("y0", model, y0, rules)
    size = sum(x.size for x in jtu.tree_leaves(y0))
    if num_exponents > size:
        fail("num_exponents", f"at most the size {size} of the state", num_exponents)
    solver, dt0 = step_fits(model, y0, dt0, solver, noise)
    _times_fit(rules, t0, t1, transient, dt0, num_blocks, is_map=solver is None)
    times = t0, t1, transient, dt0
    out = _exponents(model, solver, noise, y0, as_args(args), times, int(num_exponents), int(num_blocks), rules.valid)
    out = eqx.tree_at(lambda found: found.final, out, in_type(out.final, dtype))
    return raise_unless_okay(out, out.result) if throw else out


def _times_fit(rules: Rules, t0: Any, t1: Any, transient: Any, dt0: Any, num_blocks: int, is_map: bool) -> None:
    blocks = f"{num_blocks} blocks of at least one step after a transient of {{2:g}}"
    enough = lambda t1, t0, transient, dt0: t1 - t0 - transient > (num_blocks - 0.5) * dt0  # noqa: E731
    rules.holds("t1", enough, f"a time for {blocks}", t1, t0, transient, dt0)
    rules.holds("t1", lambda t1, t0, dt0: t1 - t0 < 2.0**31 * dt0, "fewer than 2**31 steps", t1, t0, dt0)
    if not is_map:
        eps = 4 * jnp.finfo(t1.dtype).eps
        resolved = lambda dt0, t0, t1: (dt0 > eps * abs(t0)) & (dt0 > eps * abs(t1))  # noqa: E731
        rules.holds("dt0", resolved, f"a step that times of the type {t1.dtype} resolve up to {{2:g}}", dt0, t0, t1)


@eqx.filter_jit
def _exponents(model, solver, noise, y0, args, times, num_exponents: int, num_blocks: int, valid) -> LyapunovExponents:
    flat, restore = ravel_pytree(y0)
    t0, t1, transient, dt0 = (jnp.asarray(x, flat.dtype) for x in times)
    valid &= is_valid(model)
    step = one_step(model, solver, noise, args, y0)
    update = lambda t, x: ravel_pytree(_fitting(step(t, dt0, restore(x)), y0))[0].astype(x.dtype)  # noqa: E731

    def advance(i: Array, carry: tuple) -> tuple:
        x, tangents, growth = carry
        along = lambda v: jax.jvp(lambda x: update(t0 + i.astype(dt0.dtype) * dt0, x), (x,), (v,))  # noqa: E731
        x, tangents = jax.vmap(along, out_axes=(None, 0))(tangents)
        tangents, sizes = _orthonormal(tangents)
        return x, tangents, growth + jnp.log(sizes)

    def block(carry: tuple, length: Array) -> tuple:
        start, x, tangents = carry
        zero = jnp.zeros(num_exponents, flat.dtype)
        x, tangents, growth = jax.lax.fori_loop(start, start + length, advance, (x, tangents, zero))
        return (start + length, x, tangents), growth / (length.astype(dt0.dtype) * dt0)

    num_steps = jnp.where(valid, jnp.round((t1 - t0) / dt0), 0).astype(jnp.int32)
    first = jnp.where(valid, jnp.ceil(transient / dt0 - 1e-3), 0).astype(jnp.int32)
    length = (num_steps - first) // num_blocks
    lengths = jnp.full(num_blocks + 1, length).at[0].set(num_steps - num_blocks * length)
    # Random, since axes may span an invariant subspace.
    begin = _orthonormal(jr.normal(jr.key(0), (num_exponents, flat.size), flat.dtype))[0]
    (_, x, _), averages = jax.lax.scan(block, (jnp.zeros_like(length), flat, begin), lengths)
    blocks = averages[1:]
    exponents = jnp.mean(blocks, axis=0)
    lost = ~all_finite(x) | jnp.any(jnp.isnan(exponents))
    result = outcome((lost, RESULTS.not_finite), (~valid, RESULTS.invalid_parameter))
    found = LyapunovExponents(
        exponents=exponents,
        errors=jnp.std(blocks, axis=0, ddof=1) / jnp.sqrt(jnp.asarray(num_blocks, flat.dtype)),
        blocks=blocks,
        dimension=_dimension(exponents, flat.size),
        final=restore(x),
        num_steps=num_steps,
        result=result,
    )
    numbers = lambda f: (f.exponents, f.errors, f.blocks, f.dimension, f.final)  # noqa: E731
    kept = eqxi.nondifferentiable_backward(nan_unless(is_okay(result), numbers(found), constant=True), msg=_REVERSE)
    return eqx.tree_at(numbers, found, kept)


def _orthonormal(vectors: Array) -> tuple[Array, Array]:
    """Gram and Schmidt's orthonormal rows, and the diagonal of R; rows that depend on earlier ones become zero.

    Each row twice, against rounding. LAPACK's factorisation takes up to a thousand times longer where other processes
    share the processor, since its threads wait for each other.
    """

    def row(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, sizes = carry
        v = vectors[i]
        for _ in range(2):
            v = v - matmul(matmul(rows, v), rows)
        square = inner(v, v)
        size = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        return rows.at[i].set(v / jnp.where(square > 0, size, 1)), sizes.at[i].set(size)

    start = jnp.zeros_like(vectors), jnp.zeros_like(vectors[:, 0])
    return jax.lax.fori_loop(0, len(vectors), row, start)


def _fitting(new: State, y: State) -> State:
    """`new`, which has the structure and shapes of `y`."""
    shapes = [(jtu.tree_structure(x), [jnp.shape(leaf) for leaf in jtu.tree_leaves(x)]) for x in (new, y)]
    if shapes[0] != shapes[1]:
        fail("model", f"a next state of the state's own shape {shapes[1][1]}", shapes[0][1])
    return new


def _dimension(exponents: Array, size: int) -> Scalar:
    sums = jnp.cumsum(exponents)
    j = jnp.sum(jnp.cumprod(sums >= 0))  # number of exponents whose sum is not negative
    rest = jnp.where(j > 0, sums[jnp.maximum(j - 1, 0)], 0)
    following = exponents[jnp.minimum(j, len(exponents) - 1)]
    inside = j.astype(rest.dtype) + rest / jnp.where(following < 0, -following, 1)
    return jnp.where(j < len(exponents), inside, size if len(exponents) == size else jnp.nan).astype(exponents.dtype)
