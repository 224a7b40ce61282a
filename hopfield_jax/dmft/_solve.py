"""`solve`: dynamical mean-field theory."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax.sharding import Mesh

from .._checks import Rules, at_least, fail, is_concrete, key_fits, kind
from .._misc import default_float, matmul
from .._results import RESULTS, outcome, raise_unless_okay
from .._types import Array, PRNGKey, ScalarLike
from ._cue import AbstractCue
from ._factors import Factors
from ._kernels import Exponential
from ._lines import LINES, Along, Lines, run_pass_by_lines
from ._model import AbstractPlasticModel, before, check_model, keep, memory_suffices, prepared
from ._order import OrderParameters, mean_and_error, setting
from ._pass import num_dimensions, run_pass
from ._rows import Activity, Rows
from ._sobol import MAX_DIMENSIONS, is_balanced
from ._split import Split


def solve(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int,
    key: PRNGKey,
    num_samples: int = 16384,
    num_shifts: int = 4,
    tolerance: ScalarLike = 1e-3,
    max_rank: int | None = None,
    derivative: Along | Lines = LINES,
    check: bool = False,
    max_bytes: float = 24 * 2.0**30,
    mesh: Mesh | None = None,
    throw: bool = True,
) -> OrderParameters:
    r"""Solves the dynamical mean-field theory of retrieval with plastic synapses.

    In the limit of many neurons a single site follows

    $$x_{t+1} = (1 - dt)x_t + dt\Big[g m_t\xi + \eta_t + \sum_{s\le t} F_{ts}\phi_s + \lambda\sum_{s<t}
      K_{ts}C_{ts}\phi_s + \theta_t\Big],$$

    with Gaussian $\eta$ of covariance $\alpha g^2 R C R^\top$, $R = (1 - gG)^{-1}$, $F = \alpha g(R - 1)$ (or
    $\alpha g R$ with self-couplings), $m = \langle\xi\phi\rangle$, $C = \langle\phi\phi^\top\rangle$, $G =
    \langle\partial\phi/\partial\theta\rangle$. Causal, hence solved in one pass over `num_samples` scrambled-Sobol
    paths.

    **Main arguments:**

    - `model`: a `PlasticNetwork` or `DensePlasticNetwork`. `cue`: a `SpinCue` or `GaussianCue`.
    - `num_steps`: number of updates.
    - `key`: randomises the paths. For a fixed key the solution is a function of all numbers of model and cue (common
      random numbers), and supports `jax.grad`, `jax.jvp` and `jax.vmap`.

    **Other arguments:**

    - `num_samples`: paths per randomisation, a power of two.
    - `num_shifts`: number of independent randomisations; their spread gives the standard errors. One gives infinite
      errors. Reported means also have a bias of the order of the squared error.
    - `tolerance`: the residual of outputs after projection onto those of earlier times is dropped if its root mean
      square is below this fraction of the largest of outputs so far. At 1e-2 an overlap was off by 4e-4, at 1e-3 by
      less than its error.
    - `max_rank`: largest number of directions spanned by the outputs of all times; time and memory grow with it. It
      need not exceed `num_steps` (three times that for plasticity of neurons with inner variables). `None` begins with
      32 and doubles it whenever it is exhausted; under a transformation (`jax.jit`, `jax.vmap`, `jax.grad`) it is 64. A
      `DensePlasticNetwork` takes about r^n normals for rank r and begins with less; for thermal spins it is the number
      of steps.
    - `derivative`: how the solution is differentiated, which costs nothing unless a derivative is asked for. `Lines()`
      is right for all units and strengths of plasticity, with a sampling error like the values (`slopes` measures it).
      `Along()` is the exact derivative of the sample, wrong where paths jump and refused for `Sign` and `Glauber`.
    - `check`: whether to compute the self-consistency `residual` (twice the time).
    - `max_bytes`: refuse to start if `memory_needed` exceeds it.
    - `mesh`: a mesh with one axis over which the paths of every randomisation are sharded; matrices are replicated. For
      a solution too large for one device. Numbers differ only by rounding. With `jax.distributed` every process makes
      the same call and gets the whole result.
    - `throw`: whether to raise on failure; otherwise the code is in `result`, and numbers are NaN from there on.

    **Returns:** an `OrderParameters`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import jax
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(
        load=0.1, units=hj.LogCosh(beta=4.0), kernel=hj.dmft.LeakyHebbian(strength=0.3, tau=5.0)
    )
    theory = hj.dmft.solve(model, hj.dmft.SpinCue(0.5), num_steps=5, num_samples=1024, key=jax.random.key(0))
    assert abs(theory.overlap[1] - 0.8044) < 1e-3
    ```
    """
    key_fits("key", key)
    rules = Rules()
    tolerance = rules.real("tolerance", tolerance, "fraction", dtype=default_float())
    _sizes_fit(model, cue, num_steps, num_samples, num_shifts, max_rank)
    split = Split.of(mesh, "num_samples", num_samples)
    if not isinstance(derivative, Along | Lines):
        fail("derivative", "Lines() or Along()", kind(derivative))
    if check and num_shifts < 2:
        fail("num_shifts", "at least 2 with check=True, which measures in standard errors", num_shifts)
    now = jnp.zeros(())  # a tracer under `jax.jit`, even if no argument is traced
    known = all(map(is_concrete, jtu.tree_leaves((model, cue, tolerance, key, now))))
    sizes: Any = {"num_steps": int(num_steps), "num_samples": int(num_samples), "num_shifts": int(num_shifts)}
    rooms = _rooms(model, num_steps, known) if max_rank is None else [int(max_rank)]
    needed = lambda: memory_needed(model, cue, **sizes, max_rank=rooms[0], mesh=mesh)  # noqa: E731
    hint = " (fewer num_samples or num_shifts, a lower max_rank, or a larger max_bytes)"
    memory_suffices(needed(), max_bytes, hint)
    while True:
        how = {"max_rank": rooms.pop(0), "check": check, "split": split, "derivative": derivative}
        out = _solve(model, cue, tolerance, key, rules.valid, **sizes, **how)
        if not rooms or out.result != RESULTS.max_rank_reached or needed() > max_bytes:
            break
    out = split.local(out)
    return raise_unless_okay(out, out.result) if throw else out


def memory_needed(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int,
    num_samples: int = 16384,
    num_shifts: int = 4,
    max_rank: int | None = None,
    derivative: Along | Lines | None = None,
    mesh: Mesh | None = None,
) -> int:
    """Predicts the memory of `solve`: directions, normals and rows of coefficients.

    **Arguments:** as `solve`; `max_rank=None` is its value under a transformation. With a `derivative` the memory of
    one is added, by one parameter in forward mode or by all in reverse mode. **Returns:** bytes per device of `mesh`.
    """
    _sizes_fit(model, cue, num_steps, num_samples, num_shifts, max_rank)
    room = _rooms(model, num_steps, known=False)[0] if max_rank is None else max_rank
    strata, count, times = cue.num_strata(model.units), model.num_normals(room + 1), num_steps + 1
    variables = 1 + model.num_inner()
    # Sobol points, normals, directions (plain, and weighted for the Gram matrix), paths.
    paths = num_samples * (3 * count + 2 * strata * room + (9 + 3 * variables) * strata)
    if derivative is not None and model.units.thermal:
        paths += num_samples * strata * 4 * (room + variables * times)
    elif isinstance(derivative, Along):
        paths += num_samples * strata * (2 * room + variables * times)
    paths = -(-paths // Split.of(mesh, "num_samples", num_samples).pieces)
    if isinstance(derivative, Lines) and not model.units.thermal:  # on every device
        paths += derivative.numbers(strata, room + 1, variables * times, num_samples)
    paths *= min(num_shifts, _at_once(num_shifts))
    tables = 0  # negligible beside the paths for few steps
    if times >= 256:
        tables = sum(3 * times**table.ndim for table in model.tables(2) if not isinstance(table, Exponential))
    return (paths + tables + num_shifts * times * 4 * (room + count)) * jnp.dtype(default_float()).itemsize


def _at_once(num_shifts: int) -> int:
    """Number of randomisations that run in parallel: one on a CPU, so that its directions stay in the cache."""
    return 1 if jax.default_backend() == "cpu" else num_shifts


def _rooms(model: AbstractPlasticModel, num_steps: int, known: bool) -> list[int]:
    """The values of `max_rank` to try in turn. The outputs of the last time need no direction.

    Thermal spins add a direction at every step. For other units the rank saturates: at a tolerance of 1e-3 ranks of 10
    to 50 were seen where outputs settle, and over 100 where they do not. Traced calls cannot retry and use twice the
    first value.
    """
    most = max(2, num_steps * (1 + model.num_traces()))
    if model.units.thermal:
        return [most]
    normals = model.num_normals  # looked up once: Equinox wraps a method at every access
    count = lambda room: normals(room + 1)  # noqa: E731
    first = next((room for room in range(32, 2, -1) if count(room) <= 1200), 2)
    rooms = [room for k in range(10) if count(room := first * 2**k) <= MAX_DIMENSIONS - 8] or [first]
    if not known:
        rooms = [room for room in rooms[:2] if count(room) <= 1200][-1:] or rooms[:1]
    smaller = [room for room in rooms if room < most]
    return smaller if len(smaller) == len(rooms) else [*smaller, most]


def _sizes_fit(model, cue, num_steps: int, num_samples: int, num_shifts: int, max_rank: int | None) -> None:
    """Validates the sizes."""
    check_model(model, cue)
    at_least("num_steps", num_steps, 1)
    is_balanced("num_samples", num_samples)
    at_least("num_shifts", num_shifts, 1)
    if max_rank is not None:
        at_least("max_rank", max_rank, 2)
    room = _rooms(model, num_steps, known=False)[0] if max_rank is None else max_rank
    if (count := num_dimensions(model, cue, room, num_steps + 1)) > MAX_DIMENSIONS:
        name = "num_steps" if model.units.thermal else "model" if max_rank is None else "max_rank"
        fail(name, f"one that takes at most {MAX_DIMENSIONS} random numbers a sample", f"{room} directions: {count}")


@eqx.filter_jit
def _solve(
    model, cue, tolerance, key, valid, *, num_steps, num_samples, num_shifts, max_rank, check, split, derivative
) -> OrderParameters:
    model, cue = split.whole((model, cue))
    model, cue, fits = prepared(model, cue, closed=isinstance(derivative, Along))
    valid = valid & fits
    sizes = {"num_times": num_steps + 1, "num_samples": num_samples, "max_rank": max_rank, "split": split}
    keys = jr.split(key, (1 + check) * num_shifts)

    def run(arguments: Any) -> tuple[Rows, Array]:
        if len(arguments) > 1 or isinstance(derivative, Along):
            given = arguments[1] if len(arguments) > 1 else None
            return run_pass(model, cue, tolerance, given, key=arguments[0], **sizes)
        fixed = jax.lax.stop_gradient(tolerance)
        return run_pass_by_lines((model, cue), tolerance=fixed, key=arguments[0], lines=derivative, **sizes)

    each = (lambda f, x: jax.vmap(f)(x)) if _at_once(num_shifts) > 1 else jax.lax.map
    if 1 == _at_once(num_shifts) < num_shifts:  # so that reverse mode keeps the states of one randomisation at a time
        run = jax.checkpoint(run)
    rows, orthogonality = each(run, (keys[:num_shifts],))
    full = jnp.any(rows.rest > tolerance, axis=0)
    full = full.at[-1].set(False)  # the residual of the last time is not needed
    finite = jnp.all(rows.finite, axis=0)
    good = before(~finite | full) & valid
    residual = None
    if check:
        again, _ = jax.lax.stop_gradient(each(run, (keys[num_shifts:], rows)))
        residual = jnp.where(jnp.all(good), _residual(rows, again), jnp.nan)
    result = outcome(
        (jnp.any(full), RESULTS.max_rank_reached),
        (~jnp.all(finite), RESULTS.not_finite),
        (~valid, RESULTS.invalid_parameter),
    )
    source = f"theory ({num_shifts} x {num_samples} paths)"
    measured = {"orthogonality": jnp.max(orthogonality), "residual": residual, "result": result}
    return split.whole(_order_parameters(model, cue, rows, good, source, **measured))


def _order_parameters(model, cue, rows: Rows, good: Array, source: str, **measured: Any) -> OrderParameters:
    """Means and errors over the randomisations, NaN from the first failure on."""
    dropped = jnp.max(rows.rest[:, :-1])
    rows = jax.vmap(keep, (0, None))(rows, good)
    activity = rows.activity or Activity(rows.overlap, rows.outputs[:, :, 0] * rows.outputs[:, :1, 0])
    (overlap, activity, energy, wrong), errors = mean_and_error(
        (rows.overlap, activity, rows.energy, rows.error_fraction)
    )
    squeeze = (lambda x: x[:, 0]) if cue.shape == () else (lambda x: x)
    return OrderParameters(
        times=jnp.arange(len(good)).astype(model.dt.dtype) * model.dt,
        overlap=squeeze(overlap),
        overlap_error=squeeze(errors[0]),
        activity=squeeze(activity.overlap),
        activity_error=squeeze(errors[1].overlap),
        cue_overlap=activity.cue_overlap,
        cue_overlap_error=errors[1].cue_overlap,
        energy=model.where_defined(energy),
        energy_error=model.where_defined(errors[2]),
        error_fraction=wrong,
        error_fraction_error=errors[3],
        two_time=Factors(rows, model.tables(len(good)), model.propagated(jnp.ones_like(rows.answers[0, 0]))),
        rank=jnp.max(jnp.sum(rows.num_new, axis=1)),
        dropped=dropped,
        setting=setting(source, model, cue),
        **measured,
    )


def _residual(rows: Rows, again: Rows) -> Array:
    """The largest difference in standard errors over the randomisations."""
    changes = again.overlap - rows.overlap, jax.vmap(lambda a, b: matmul(a - b, b.T))(again.outputs, rows.outputs)

    def largest(change: Array) -> Array:
        mean, error = mean_and_error(change)
        # Errors from few randomisations are rough: each is at least their root mean square.
        return jnp.max(jnp.abs(mean) / jnp.sqrt(error**2 + jnp.mean(error**2)))

    return jnp.maximum(*map(largest, changes))
