"""Result codes, trajectories and settings."""

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from ._checks import fail, is_concrete
from ._types import Array, ArrayLike, Bool, Float, Int, PyTree, Scalar


class _Named(type(dfx.RESULTS)):
    _name_to_item: dict[str, Any]
    _index_to_message: list[str]

    def __getitem__(cls, item: Any) -> Any:
        """Name and meaning of a code, or of every code in an integer array, as in a store."""
        if isinstance(item, cls):
            item = item._value
        if not is_concrete(item):
            return "traced"
        given = np.asarray(item)
        numbers = np.nan_to_num(given, nan=-1) if given.dtype.kind in "iuf" else np.array(-2)
        if not np.all((numbers >= -1) & (numbers < len(cls)) & (numbers == np.round(numbers))):
            fail("RESULTS[...]", f"codes from 0 to {len(cls) - 1}, -1 or NaN where one is missing", repr(item))
        meanings = [
            f"{name}: {cls._index_to_message[i]}".removesuffix(": ") for i, name in enumerate(cls._name_to_item)
        ]
        named = np.array([*meanings, "missing"], dtype=object)[numbers.astype(int)]  # -1 selects the last
        return named if given.ndim else str(named)


class RESULTS(dfx.RESULTS, metaclass=_Named):  # pyright: ignore[reportGeneralTypeIssues]
    """How a computation ended. A code prints its name and meaning; `RESULTS[codes]` names the codes in a store."""

    invalid_parameter = (
        "A parameter of the model, the initial state or a time lay outside its domain (not finite, or not positive "
        "where it must be). The outputs are NaN."
    )
    not_settled = (
        "No steady state was reached: the largest rate of change at the end exceeds the tolerance. "
        "Try a larger `max_steps` or looser tolerances; the dynamics may also cycle."
    )
    not_converged = (
        "The matrix-free eigensolver did not converge. Pass `num_eigenvalues=None` (`num_multipliers=None`) for the "
        "dense one."
    )
    not_convex = (
        "A generating function is not convex at this state, so that the symmetric eigensolver does not apply. "
        "Pass `symmetric=False`."
    )
    not_bracketed = "The answer is the same at both bounds, so that no threshold lies between them; `value` is NaN."
    undecided = "The answer could not be decided somewhere on the way (a run inside it failed); `value` is NaN."
    max_rank_reached = (
        "The outputs of different times span more directions than `max_rank`. The numbers from there on are NaN. Give "
        "a larger `max_rank` or `tolerance` (without `max_rank` a call that is not under a transformation takes more "
        "room by itself)."
    )
    no_room = (
        "There was no room left for another occurrence before the end. Allow more occurrences, or end earlier; the "
        "recorded ones are correct."
    )
    no_period = (
        "No gain or weights were found with the required dwell times: sequences collapse before they are as fast, or "
        "settle too slowly for the length of the run (try a larger `num_transitions`). The numbers are NaN."
    )
    flat = "The objective does not depend on the parameters near the start of the search."
    num_steps_reached = (
        "The search took all its steps without converging. Try a larger `num_steps`, or start nearer: a step is at "
        "most a tenth of a parameter's scale, which is its first value or its distance from a bound."
    )
    no_minimum = (
        "The search ended where the gradient vanishes but the objective is lower nearby, a maximum or a saddle. Start "
        "elsewhere."
    )
    wrong_gradient = (
        "The gradient contradicts differences of the objective: it has jumps, or parts without a derivative "
        "(predicates, comparisons), or other random numbers at every call. The best point found is returned."
    )
    edge_of_domain = (
        "The search ended next to a region where the objective is not finite. The best point found is returned."
    )
    cusp = (
        "The fold at which the retrieval state ends is a cusp within rounding, next to parameters without a fold. The "
        "critical load and its slopes are meaningless there."
    )
    lost_branch = (
        "The branch of solutions was lost: Newton's method found no next point for any step, or none at the start. "
        "Earlier points are correct. Try a better start, or a smaller `step`."
    )
    no_fold = "The branch has fewer folds than `min_folds`, or a fold could not be located. Try more or shorter steps."
    no_phase = "The requested phase does not exist at this load and temperature. The numbers are NaN."
    not_finite = (
        "A number became infinite or NaN, or diverged in a finite time. The outputs from there on are NaN. Scale the "
        "patterns, lower the power, slope or rate, or use float64, so that numbers stay within the type's range; or "
        "end before that time."
    )
    newton_left = (
        "The dynamics came to rest within the tolerance, but Newton's method found no steady state nearby, nor at a "
        "hundredth of that rate of change: the state is at a bifurcation, or only slow. Try a smaller `tolerance`."
    )
    no_return = (
        "No periodic orbit was found near the guess: Newton's method did not converge, or to a spiral. Try a state "
        "nearer to the orbit and away from its fast parts, a better `period`, or a `transient` if the orbit attracts."
    )
    orbit_at_rest = "There is no periodic orbit near the guess, which is at rest or led to a fixed point."


def is_okay(result: RESULTS) -> Bool[Array, "*batch"]:
    """Success, or a stop at a requested event."""
    return (result == RESULTS.successful) | (result == RESULTS.event_occurred)


def outcome(*failures: tuple[Bool[Array, ""], RESULTS]) -> RESULTS:
    """Success unless a condition holds; of several the last one takes precedence."""
    result = cast(RESULTS, RESULTS.successful)
    for failed, code in failures:
        result = RESULTS.where(failed, code, result)
    return result


def raise_unless_okay(tree: PyTree, result: RESULTS) -> PyTree:
    """`tree` unchanged, or an `EquinoxRuntimeError` with the result's message."""
    if is_concrete(result._value):  # `error_if` would compile another program
        good = [RESULTS.successful._value, RESULTS.event_occurred._value]  # pyright: ignore
        if np.all(np.isin(np.asarray(result._value), good)):
            return tree
    return result.error_if(tree, jnp.logical_not(is_okay(result)))


class Occurrences(eqx.Module):
    """Occurrences of an `Event` in the order of time, padded with NaN.

    **Attributes:**

    - `times`: shape (max_occurrences,).
    - `states`: the states, with a leading axis (max_occurrences,).
    - `mode`: the event's discrete state after each occurrence, likewise (`None` without one).
    - `count`: number of occurrences.
    """

    times: Float[Array, " occurrences"]
    states: PyTree[Array]
    mode: PyTree
    count: Int[Array, ""]


class Steps(eqx.Module):
    """Values at the start and after every step, padded with NaN (-1 for integers).

    **Attributes:**

    - `times`: shape (max_steps + 1,).
    - `values`: a leading axis (max_steps + 1,) on every leaf.
    """

    times: Float[Array, " steps"]
    values: PyTree[Array]


class Trajectory(eqx.Module):
    """Result of `hopfield_jax.integrate`.

    **Attributes:**

    - `times`: shape (times,).
    - `values`: statistics (the state by default) at those times, a leading axis (times,) on every leaf; NaN after an
      early end.
    - `final`: state at the end.
    - `final_time`: the time of `final`.
    - `result`: the result code.
    - `stats`: numbers of steps.
    - `occurrences`: of the event, or `None`. `steps`: values of `every_step`, or `None`.
    """

    times: Float[Array, " times"]
    values: PyTree[Array]
    final: PyTree[Array]
    final_time: Scalar
    result: RESULTS
    stats: dict[str, Array]
    occurrences: Occurrences | None = None
    steps: Steps | None = None

    def __str__(self) -> str:
        shapes = ", ".join(f"{x.dtype}{list(x.shape)}" for x in jtu.tree_leaves(self.values))
        lines = [f"Trajectory: {shapes}, {memory_of(self)}"]
        if all(map(is_concrete, jtu.tree_leaves((self.stats, self.times)))):
            steps = ", ".join(f"{k.replace('_', ' ')} {describe_count(v)}" for k, v in self.stats.items())
            lines.append(f"  times {jnp.min(self.times):g} to {jnp.max(self.times):g}; {steps}")
            lines.append(f"  result: {describe_result(self.result)}")
        return "\n".join(lines)


class Setting(eqx.Module):
    r"""The conditions of a computation, stored with its result.

    **Attributes:**

    - `source`: the kind of computation.
    - `parts`: names of model, units and other non-numeric parts.
    - `numbers`: every number by its name.
    """

    source: str = eqx.field(static=True)
    parts: tuple[tuple[str, str], ...] = eqx.field(static=True)
    numbers: dict[str, Array]

    @staticmethod
    def of(source: str, parts: Iterable[tuple[str, str]], tree: dict[str, PyTree]) -> "Setting":
        """The setting with all numbers of a dictionary of modules, by their paths; arrays of more than 64 numbers are
        left out."""
        named, _ = jtu.tree_flatten_with_path(tree)
        keys = lambda path: [str(getattr(k, "name", getattr(k, "key", k))) for k in path]  # noqa: E731
        kept = [(path, x) for path, x in named if eqx.is_inexact_array(x) and x.size <= 64]
        return Setting(source, tuple(parts), {".".join(filter(None, keys(path))): x for path, x in kept})

    def __str__(self) -> str:
        numbers = (f"{name} {np.array2string(np.asarray(x), precision=4)}" for name, x in self.numbers.items())
        return ", ".join([self.source, *(f"{name} {value}" for name, value in self.parts), *numbers])


def card(result: eqx.Module, probe: ArrayLike, text: Callable[[], str]) -> str:
    """The `str` of a result: `text()` for one instance (`probe` is a scalar), otherwise the shape of the batch."""
    title = f"{type(result).__name__}: {memory_of(result)}"
    if not is_concrete(probe):
        return title
    return f"{title}, batch of shape {jnp.shape(probe)}" if jnp.ndim(probe) else f"{title}\n  {text()}"


def memory_of(tree: PyTree) -> str:
    """Size of a pytree's arrays, for a result's card."""
    return in_bytes(
        sum(x.size * x.dtype.itemsize for x in jtu.tree_leaves(tree) if isinstance(x, jax.Array | np.ndarray))
    )


def in_bytes(size: int) -> str:
    """A number of bytes in a suitable unit."""
    power = min(max(size.bit_length() - 1, 0) // 10, 3)
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"


def describe_count(x: Array) -> str:
    """One number, or the range over a batch."""
    return f"{x.item()}" if jnp.ndim(x) == 0 else f"{jnp.min(x)}..{jnp.max(x)}"


def describe_result(result: RESULTS) -> str:
    """A result's message, or a count of failures over a batch."""
    okay = is_okay(result)
    if jnp.ndim(okay) == 0:
        return "ok" if okay else RESULTS[result]
    return f"{int(jnp.sum(okay))} of {okay.size} ok"


def with_error(value: Any, error: Any) -> str:
    """A number with two digits of its standard error, such as 0.138 ± 0.012."""
    value, error = float(value), float(error)
    if not (math.isfinite(value) and 0 < error < math.inf):
        return f"{value:.4g} ± {error:.2g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
