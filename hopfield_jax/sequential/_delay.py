"""The delay of a network's switches relative to the saliency map."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import as_real, at_least, fail
from .._results import RESULTS, is_okay, outcome, raise_unless_okay
from .._types import Array, Float, Scalar, ScalarLike
from ._gain import check_gains, options_of, run_at
from ._network import InputDrivenNetwork, check_orthogonal
from ._saliency import escape_time


class SwitchDelay(eqx.Module):
    r"""Delay of a switch relative to the saliency map, as a function of the successor's saliency at the switch.

    $$d(Z) = \frac{1}{Z - 1}\sum_k c_k (\log Z)^k,$$

    because the successor grows from its nucleus at a rate proportional to $Z - 1$. Result of `measure_delay`; argument
    of `critical_gain` and `follow_transitions`. Outside the measured range the sum is constant.

    **Attributes:**

    - `coefficients`: $c_k$, in units of $\tau_s$. `lower`, `upper`: measured range of Z.
    - `saliency`, `delay`: the measured points, padded with NaN, shape (points,).
    - `largest_error`: of the fit at the points.
    """

    coefficients: Float[Array, " degrees"]
    lower: Scalar
    upper: Scalar
    saliency: Float[Array, " points"]
    delay: Float[Array, " points"]
    largest_error: Scalar

    def __call__(self, saliency: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        r"""d(Z) in units of $\tau_s$. **Arguments:** `saliency`, any shape."""
        x = jnp.log(jnp.clip(saliency, self.lower, self.upper))
        return jnp.polyval(self.coefficients, x) / (saliency - 1)


def measure_delay(
    network: InputDrivenNetwork,
    gains: Float[Array, " gains"],
    *,
    t1: ScalarLike,
    skip: int = 2,
    degree: int = 3,
    batch_size: int = 128,
    throw: bool = True,
    **options: Any,
) -> SwitchDelay:
    r"""Measures the delay of switches relative to the dwell time $\log Z$ of the saliency map.

    Fast neurons of finite speed delay switches; an input coupling advances them. The delay depends almost only on the
    successor's saliency. Saliencies are computed from the saliency map with the measured dwell times, that is from the
    drive up to the switch (the network's own saliencies are smaller because its overlap falls during the switch). The
    description holds for delays well below $\tau_s$; for longer ones the network loses the memory before it reaches the
    successor.

    **Arguments:**

    - `network`: with orthogonal patterns; its own gain is ignored.
    - `gains`: gains of the runs, shape (gains,): some with endless sequences and some that collapse, to cover a range
      of Z.
    - `t1`, and any other option of `retrieve_sequence` except `saliency`, `key` and `saveat`.
    - `skip`: number of initial switches to leave out as a transient. `degree`: of the sum.
    - `batch_size`: number of parallel runs. `throw`: whether a failed run raises; otherwise its points are left out.

    **Returns:** a `SwitchDelay`.

    **Raises:** `ValueError` for invalid arguments, including correlated patterns; `EquinoxRuntimeError` if a run fails
    and `throw`.
    """
    check_orthogonal("network", network.patterns)
    gains = check_gains(gains)
    for name in ("saliency", "key"):
        if name in options:
            fail(name, "no such option here: every run starts with its gain as saliency and has no noise", "one")
    at_least("batch_size", batch_size, 1)
    at_least("skip", skip, 1)
    at_least("degree", degree, 0)
    options = options_of(network, t1=as_real("t1", t1), **options)
    found, result = _delays(network, gains, options, skip, degree, batch_size)
    return raise_unless_okay(found, result) if throw else found


@eqx.filter_jit
def _delays(network, gains, options, skip: int, degree: int, batch_size: int) -> tuple[SwitchDelay, RESULTS]:
    def one(gain: Scalar):
        run = run_at(network, gain, None, options)
        dwell = run.dwell_times / network.tau_slow

        def visit(driven: Array, visit: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            memory, successor, time = visit
            drive = gain * network.successors_of(memory)
            late = time - escape_time(driven[memory])
            driven = drive + (driven - drive) * jnp.exp(-time)
            return driven, (jnp.where(successor >= 0, driven[successor], jnp.nan), late)

        start = gain * jax.nn.one_hot(run.order[0], len(network.patterns), dtype=gain.dtype)
        found = jax.lax.scan(visit, start, (run.order[:-1], run.order[1:], dwell))[1]
        return *(x[skip:] for x in found), run.result

    z, delay, result = jax.lax.map(one, gains, batch_size=min(batch_size, len(gains)))
    z, delay = z.ravel(), delay.ravel()
    known = jnp.isfinite(z) & jnp.isfinite(delay) & (z > 1)
    x = jnp.where(known, jnp.log(jnp.where(known, z, 1)), 0)
    rows = jnp.where(known[:, None], jnp.vander(x, degree + 1), 0)
    target = jnp.where(known, delay * (z - 1), 0)
    coefficients = jnp.linalg.lstsq(rows, target)[0]
    fit = SwitchDelay(
        coefficients=coefficients,
        lower=jnp.min(jnp.where(known, z, jnp.inf)),
        upper=jnp.max(jnp.where(known, z, -jnp.inf)),
        saliency=jnp.where(known, z, jnp.nan),
        delay=jnp.where(known, delay, jnp.nan),
        largest_error=jnp.zeros((), z.dtype),
    )
    error = jnp.nanmax(jnp.abs(jnp.where(known, fit(z), jnp.nan) - fit.delay))
    # A polynomial needs more points than coefficients, and some width.
    enough = (jnp.sum(known) > degree + 1) & (fit.upper > 1.01 * fit.lower)
    worst = outcome((~jnp.all(is_okay(result)), RESULTS.undecided), (~enough, RESULTS.undecided))
    return eqx.tree_at(lambda f: f.largest_error, fit, error), worst
