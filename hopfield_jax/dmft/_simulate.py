"""Direct simulation of networks with plastic synapses."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.sharding import Mesh

from .._checks import fail, kind
from .._misc import default_float
from .._results import RESULTS, Setting, outcome, raise_unless_okay
from .._types import Array, PRNGKey
from ._cue import AbstractCue
from ._kernels import dense_tables, plastic_weights
from ._model import AbstractPlasticModel, before, keep, memory_suffices, prepared
from ._order import Measured, OrderParameters, mean_and_error, setting
from ._trial import Sizes, counted, one_trial


def simulate(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int,
    num_neurons: int,
    num_trials: int,
    key: PRNGKey,
    max_patterns: int | None = None,
    asynchronous: bool = False,
    response_times: tuple[int, ...] = (),
    batch_size: int = 1,
    max_bytes: float = 24 * 2.0**30,
    mesh: Mesh | None = None,
    throw: bool = True,
) -> OrderParameters:
    r"""Simulates finite networks of a model of `solve`, each with its own patterns and cue.

    The plastic field is $\lambda\sum_s K_{ts}\phi_i(s)\,[\phi(s)\cdot\phi(t)/N]$: a run stores its history and its
    patterns but no N × N matrix. A spin cue has its overlap exactly (to 1/N). For units that are not odd the condensed
    patterns are balanced: every combination of their signs is equally frequent.

    **Main arguments:**

    - `model`, `cue`, `num_steps`: as in `solve`.
    - `num_neurons`: $N$. `num_trials`: independent networks; their spread gives the standard errors.
    - `key`: draws patterns, cues and thermal noise.

    **Other arguments:**

    - `max_patterns`: size of the array of patterns, required if the load is traced; patterns beyond $\alpha N$
      (rounded) are masked. The realised load is in the result's `setting`.
    - `asynchronous`: for `Sign` and `Glauber` units: one step updates every neuron once, in random order, each seeing
      the new outputs of those before it.
    - `response_times`: times s at which to measure the response $G_{ts} \approx \frac1N\sum_i\chi_i\,\delta\phi_i(t)$
      to a field along random signs $\chi$ (by forward differentiation; units with a derivative); the other columns are
      NaN.
    - `batch_size`: number of networks that run in parallel.
    - `max_bytes`: refuse to start if `simulation_memory_needed` exceeds it.
    - `mesh`: a mesh with one axis over which the neurons are sharded: patterns, states and histories of every network.
      For a network too large for one device. Numbers differ only by rounding. With `jax.distributed` every process
      makes the same call and gets the whole result.
    - `throw`: whether to raise on failure; otherwise the code is in `result` and the numbers are NaN.

    **Returns:** an `OrderParameters`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

    ```python
    import jax
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(load=0.05, units=hj.LogCosh(beta=4.0))
    network = hj.dmft.simulate(
        model, hj.dmft.SpinCue(0.5), num_steps=5, num_neurons=500, num_trials=2, key=jax.random.key(0)
    )
    assert network.overlap[0] == 0.5 and network.overlap[-1] > 0.9
    ```
    """
    run = Sizes.of(model, cue, num_steps, num_neurons, num_trials, key, max_patterns, batch_size, asynchronous, mesh)
    if any(not 0 <= s < num_steps for s in response_times):
        fail("response_times", f"times from 0 to {num_steps - 1}", response_times)
    if response_times and model.units.no_gradient:
        fail("response_times", "units with a derivative", kind(model.units))
    memory_suffices(run.bytes_needed(min(batch_size, num_trials), num_trials), max_bytes)
    out = run.split.local(_simulate(model, cue, run, key, num_trials, tuple(response_times), batch_size))
    return raise_unless_okay(out, out.result) if throw else out


def simulation_memory_needed(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int,
    num_neurons: int,
    num_trials: int = 1,
    max_patterns: int | None = None,
    batch_size: int = 1,
    mesh: Mesh | None = None,
) -> int:
    """Predicts the memory of `simulate`: four times the patterns (while they are drawn), and histories.

    **Arguments:** as `simulate`. **Returns:** bytes per device of `mesh`. **Raises:** `ValueError` for invalid
    arguments.
    """
    run = Sizes.of(model, cue, num_steps, num_neurons, num_trials, jr.key(0), max_patterns, batch_size, mesh=mesh)
    return run.bytes_needed(min(batch_size, num_trials), num_trials)


@eqx.filter_jit
def _simulate(model, cue, run: Sizes, key, num_trials, response_times, batch_size) -> OrderParameters:
    model, cue, valid = prepared(*run.split.whole((model, cue)))
    (model, cue), valid = counted(model, cue), valid & run.valid
    num_times = run.num_steps + 1
    trial = functools.partial(_trial, model, cue, run, response_times)
    trials = jax.lax.map(trial, jr.split(key, num_trials), batch_size=batch_size)
    mean, error = mean_and_error(trials)
    lower = jnp.tril(jnp.ones((num_times, num_times), bool))
    for x in (mean, error):
        x["correlation"] = jnp.where(lower, x["correlation"], x["correlation"].T)
    tables, plastic = dense_tables(model.tables(num_times), num_times), jnp.zeros_like(mean["correlation"])
    if tables:
        plastic = jnp.where(lower, jax.vmap(plastic_weights)(tables, mean.get("exposure", mean["correlation"])), 0)
    finite = jnp.all(jnp.isfinite(jnp.concatenate([trials["overlap"], trials["correlation"]], axis=2)), axis=(0, 2))
    finite &= jnp.all(jnp.isfinite(plastic), axis=1)
    mean, error, plastic = keep((mean, error, plastic), before(~finite) & valid)
    matrices = {"correlation": (mean["correlation"], error["correlation"]), "plastic_feedback": (plastic, None)}
    if response_times:
        blank, columns = jnp.full((num_times, num_times), jnp.nan, default_float()), jnp.asarray(response_times)
        filled = [blank.at[:, columns].set(x["response"]) for x in (mean, error)]
        matrices["response"] = filled[0], filled[1]
    squeeze = (lambda x: x[:, 0]) if cue.shape == () else (lambda x: x)
    out = OrderParameters(
        times=jnp.arange(num_times).astype(model.dt.dtype) * model.dt,
        overlap=squeeze(mean["overlap"]),
        overlap_error=squeeze(error["overlap"]),
        activity=squeeze(mean.get("activity", mean["overlap"])),
        activity_error=squeeze(error.get("activity", error["overlap"])),
        cue_overlap=mean.get("cue_overlap", mean["correlation"][:, 0]),
        cue_overlap_error=error.get("cue_overlap", error["correlation"][:, 0]),
        energy=model.where_defined(mean["energy"]),
        energy_error=model.where_defined(error["energy"]),
        error_fraction=mean["error_fraction"],
        error_fraction_error=error["error_fraction"],
        two_time=Measured(matrices),
        rank=None,
        dropped=None,
        orthogonality=None,
        residual=None,
        setting=_conditions(model, cue, run, num_trials),
        result=outcome((~jnp.all(finite), RESULTS.not_finite), (~valid, RESULTS.invalid_parameter)),
    )
    return run.split.whole(out)


def _trial(model, cue, run: Sizes, response_times: tuple[int, ...], key: PRNGKey) -> dict[str, Array]:
    """The observables of one network, with the response to a field at each of `response_times`."""
    out = one_trial(model, cue, run, key, None, None)
    if response_times:

        def column(s):
            probed = lambda a: one_trial(model, cue, run, key, None, (s, a))["probe"]  # noqa: E731
            return jax.jvp(probed, (jnp.zeros((), default_float()),), (jnp.ones((), default_float()),))[1]

        out["response"] = jax.lax.map(column, jnp.asarray(response_times)).T
    return out


def _conditions(model, cue, run: Sizes, num_trials: int) -> Setting:
    """The setting, with the load of a whole number of patterns."""
    source = f"simulation (N = {run.num_neurons}, {num_trials} networks{', asynchronous' if run.asynchronous else ''})"
    where = setting(source, model, cue)
    num_patterns = model.num_patterns(run.num_neurons)
    realised = num_patterns.astype(default_float()) / float(run.num_neurons) ** (model.order - 1)
    return eqx.tree_at(lambda s: s.numbers["load"], where, realised)
