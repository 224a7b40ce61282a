"""Direct simulation of networks with plastic synapses, without a matrix of couplings."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.sharding import Mesh

from .._checks import at_least, fail, is_concrete, key_fits
from .._misc import default_float, inner, matmul
from .._results import RESULTS, Setting, card, outcome, raise_unless_okay
from .._types import Array, Float, PRNGKey, Scalar
from ._causal import Block, causal_scan
from ._cue import AbstractCue, SpinCue
from ._kernels import plastic_weights
from ._network import AbstractPlasticModel
from ._order import OrderParameters, mean_and_error, setting
from ._process import kernel_table
from ._solve import check_model, keep, prepared
from ._split import Split
from ._units import Glauber, Sign


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
    r"""Simulates networks of the model that `solve` solves, each with its own patterns and cue.

    The plastic field is $\lambda\sum_s K_{ts}\phi_i(s)\,[\phi(s)\cdot\phi(t)/N]$, so that a run keeps its history and
    its patterns and never an N × N matrix. A spin cue has its overlap exactly (to 1/N).

    **Main arguments:**

    - `model`, `cue`, `num_steps`: as in `solve`.
    - `num_neurons`: $N$. `num_trials`: independent networks; the standard errors are their spread.
    - `key`: draws patterns, cues and thermal noise.

    **Other arguments:**

    - `max_patterns`: room for patterns, needed if the load is traced; those beyond $\alpha N$ (to the nearest) are
      left out. The load that was realised is in the result's `setting`.
    - `asynchronous`: for `Sign` and `Glauber` units: one step updates every neuron once, in random order, each seeing
      the new outputs of those before it.
    - `response_times`: times s at which to measure the response $G_{ts} \approx \frac1N\sum_i\chi_i\,\delta\phi_i(t)$
      to a field along random signs $\chi$ (by forward differentiation; units with a derivative); the other columns are
      NaN.
    - `batch_size`: networks that run at once; more use more memory.
    - `max_bytes`: refuse to start if the predicted memory exceeds it.
    - `mesh`: devices, along one axis, that share the neurons: patterns, states and histories of every network. For a
      network too large for a single device. The numbers are those without it, but for rounding. With
      `jax.distributed` every process makes the same call and gets the whole result.
    - `throw`: whether an unsuccessful end raises; else its code is in `result` and the numbers are NaN.

    **Returns:** an `OrderParameters`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.

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
    run = _Run.of(model, cue, num_steps, num_neurons, num_trials, key, max_patterns, batch_size, asynchronous, mesh)
    if any(not 0 <= s < num_steps for s in response_times):
        fail("response_times", f"times from 0 to {num_steps - 1}", response_times)
    if response_times and isinstance(model.units, Sign | Glauber):
        fail("response_times", "units with a derivative", type(model.units).__name__)
    run.fits(min(batch_size, num_trials), max_bytes)
    out = run.split.local(_simulate(model, cue, run, key, num_trials, tuple(response_times), batch_size))
    return raise_unless_okay(out, out.result) if throw else out


class NoiseStatistics(eqx.Module):
    r"""What `hopfield_jax.dmft.crosstalk_noise` returns: the crosstalk noise over the neurons at each time.

    **Attributes:** shape (times,) each

    - `times`; `variance` and `excess_kurtosis` with their standard errors over networks; a Gaussian has 0.
    - `predicted_variance`: the theory's. `setting`: the conventions. `result`: how it ended.
    """

    times: Float[Array, " times"]
    variance: Float[Array, " times"]
    variance_error: Float[Array, " times"]
    excess_kurtosis: Float[Array, " times"]
    excess_kurtosis_error: Float[Array, " times"]
    predicted_variance: Float[Array, " times"]
    setting: Setting
    result: RESULTS

    def __str__(self) -> str:
        def text():
            worst = jnp.argmax(jnp.abs(self.excess_kurtosis))
            return (
                f"excess kurtosis between {jnp.min(self.excess_kurtosis):.3g} and {jnp.max(self.excess_kurtosis):.3g} "
                f"(± {self.excess_kurtosis_error[worst]:.1g}), variance/theory between "
                f"{jnp.min(self.variance / self.predicted_variance):.4g} and "
                f"{jnp.max(self.variance / self.predicted_variance):.4g}\n  {self.setting}"
            )

        return card(self, self.times[..., -1], text)


def crosstalk_noise(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    theory: OrderParameters,
    *,
    num_neurons: int,
    num_trials: int,
    key: PRNGKey,
    max_patterns: int | None = None,
    batch_size: int = 1,
    max_bytes: float = 24 * 2.0**30,
    throw: bool = True,
) -> NoiseStatistics:
    r"""Extracts the crosstalk noise of every neuron, $\xi_i[h_i - g m_t\xi_i - \sum_s F_{ts}\phi_i(s)]$ with $h$ the
    field of the stored patterns, and measures how Gaussian it is.

    Without taking off the theory's feedback $F$ it is not Gaussian even in the limit.

    **Arguments:** as `simulate`, and `theory`, the solution of the same model and cue (nobody checks that it is).

    **Returns:** a `NoiseStatistics`, of the times before the last.

    **Raises:** `ValueError` for arguments that do not fit.
    """
    if theory.crosstalk_feedback is None or theory.noise_covariance is None:
        fail("theory", "a result of `solve`", theory.setting.source)
    if not isinstance(theory, OrderParameters):
        fail("theory", "the solution of `solve`", type(theory).__name__)
    run = _Run.of(model, cue, len(theory.times) - 1, num_neurons, num_trials, key, max_patterns, batch_size)
    run.fits(min(batch_size, num_trials), max_bytes)
    out = _noise(model, cue, theory, run, key, num_trials, batch_size)
    return raise_unless_okay(out, out.result) if throw else out


class _Run(eqx.Module):
    """The sizes of a run."""

    num_steps: int = eqx.field(static=True)
    num_neurons: int = eqx.field(static=True)
    max_patterns: int = eqx.field(static=True)
    asynchronous: bool = eqx.field(static=True)
    split: Split

    @staticmethod
    def of(
        model, cue, num_steps, num_neurons, num_trials, key, max_patterns, batch_size, asynchronous=False, mesh=None
    ) -> "_Run":
        check_model(model, cue)
        key_fits("key", key)
        at_least("num_trials", num_trials, 1)
        at_least("batch_size", batch_size, 1)
        at_least("num_steps", num_steps, 1)
        at_least("num_neurons", num_neurons, 2)
        if is_concrete(model.load):
            with jax.ensure_compile_time_eval():
                count = int(model.num_patterns(num_neurons))
            if max_patterns is not None and max_patterns < count:
                fail("max_patterns", f"room for the {count} patterns of load {float(model.load):g}", max_patterns)
            max_patterns = count
        elif max_patterns is None:
            fail("max_patterns", "a number, as the load is traced and the number of patterns a shape", None)
        condensed = cue.shape[0] if cue.shape else 1
        at_least("max_patterns", max_patterns, condensed)
        if asynchronous and not isinstance(model.units, Sign | Glauber):
            fail("asynchronous", "binary units (Sign, Glauber)", type(model.units).__name__)
        if asynchronous and model.order != 2:
            fail("asynchronous", "a PlasticNetwork", type(model).__name__)
        if asynchronous and is_concrete(model.dt) and float(model.dt) != 1:
            fail("asynchronous", "dt = 1 (a step updates every neuron once)", f"dt = {float(model.dt):g}")
        if asynchronous and mesh is not None:
            fail("mesh", "None with asynchronous=True, which updates one neuron after the other", "a mesh")
        split = Split.of(mesh, "num_neurons", num_neurons)
        return _Run(num_steps, num_neurons, max_patterns, asynchronous, split)

    def fits(self, batch: int, max_bytes: float) -> None:
        """Raises unless the predicted memory does: patterns (four times while they are drawn) and histories."""
        size = self.num_neurons // self.split.pieces * (4 * self.max_patterns + 3 * (self.num_steps + 1)) * batch
        if (needed := size * jnp.dtype(default_float()).itemsize) > max_bytes:
            fail("max_bytes", f"room for the predicted {needed / 2**30:.3g} GiB", f"{max_bytes / 2**30:.3g} GiB")


class _Network(NamedTuple):
    """One network, and what is asked of it."""

    model: AbstractPlasticModel
    patterns: Array
    condensed: Array
    direction: Array
    noise_key: PRNGKey
    feedback: Array | None
    probe: tuple[Any, Scalar, Array] | None


def _one_trial(model, cue, run: _Run, key: PRNGKey, feedback: Array | None, probe: tuple[Any, Scalar] | None) -> Any:
    """All observables of one network; with `probe` (time, amplitude) a field along random signs acts at that time."""
    num_times, dtype = run.num_steps + 1, default_float()
    pattern_key, cue_key, noise_key, probe_key = jr.split(key, 4)
    patterns = jr.rademacher(pattern_key, (run.max_patterns, run.num_neurons), dtype)
    num_patterns = model.num_patterns(run.num_neurons)
    stored = jnp.arange(run.max_patterns, dtype=num_patterns.dtype) < num_patterns
    patterns = run.split.along(jnp.where(stored[:, None], patterns, 0))
    condensed = patterns[: cue.shape[0] if cue.shape else 1]
    x, phi = run.split.along(cue.state(model.units, condensed, key=cue_key))
    probed = None if probe is None else (*probe, jr.rademacher(probe_key, (run.num_neurons,), dtype))
    neurons = jax.ShapeDtypeStruct((run.num_neurons,), dtype)
    block = Block(
        constants=_Network(model, patterns, condensed, x, noise_key, feedback, probed),
        inputs=(kernel_table(model, num_times), *model.fields(num_times)),
        state=(neurons, neurons),
        early=jax.ShapeDtypeStruct((1, num_times, run.num_neurons), dtype),
        late=(),
    )
    return causal_scan(_emit, functools.partial(_step, run), (x, phi), [block], split=run.split)[1][0]


def _emit(network: _Network, t: Array, state: tuple[Array, Array], inputs: Any) -> Array:
    """The outputs, which the history keeps."""
    return state[1][None]


def _step(run: _Run, network: _Network, t: Array, state, inputs, early: Array, late: Any) -> Any:
    (model, patterns, condensed, direction, noise_key, feedback, probe), (x, phi) = network, state
    (kernel_row, a, b), history = inputs, early[0]
    past = jnp.arange(len(history)) <= t
    correlation = jnp.where(past, matmul(history, phi) / run.num_neurons, 0)
    stored = model.stored_field(patterns, phi)
    plastic = matmul(plastic_weights(kernel_row, correlation), history)
    theta = a * condensed[0] + b * direction
    overlaps = matmul(condensed, phi) / run.num_neurons
    energy = -inner(phi, stored) / model.order - 0.5 * inner(phi, plastic) - inner(phi, theta)
    if not isinstance(model.units, Glauber):
        energy += jnp.sum(x * phi - model.units.elementwise(x))
    along = condensed[0] * phi if isinstance(model.units, Glauber) else jnp.sign(condensed[0] * phi)
    out = {
        "overlap": overlaps,
        "correlation": correlation,
        "energy": energy / run.num_neurons,
        "error_fraction": jnp.mean(0.5 * (1 - along)),
    }
    if feedback is not None:
        signal = matmul(model.signal(overlaps), condensed)
        noise = condensed[0] * (stored - matmul(jnp.where(past, feedback[t], 0), history) - signal)
        centred = noise - jnp.mean(noise)
        variance = jnp.mean(centred**2)
        out = {"variance": variance, "kurtosis": jnp.mean(centred**4) / variance**2 - 3}
    if probe is not None:
        at, amplitude, signs = probe
        theta += jnp.where(t == at, amplitude, 0) * signs
        out = {"probe": inner(signs, phi) / run.num_neurons}
    key = jr.fold_in(noise_key, t)
    if run.asynchronous:
        x, phi = _sweep(model, run, patterns.T, history, kernel_row, theta, phi, correlation, key)
    else:
        x = (1 - model.dt) * x + model.dt * (stored + plastic + theta)
        phi = model.units.activation(x)
        if isinstance(model.units, Glauber):
            coin = jr.uniform(key, phi.shape, phi.dtype, minval=-1)
            phi = jnp.where(coin < phi, 1, -1).astype(phi.dtype)
    return (x, phi), (), out


def _sweep(model, run, columns, history, kernel_row, theta, spins, correlation, key) -> tuple[Array, Array]:
    """Every spin once, in random order; fields from running overlaps with patterns and history."""
    order_key, coin_key = jr.split(key)
    order = jr.permutation(order_key, run.num_neurons)
    coins = jr.uniform(coin_key, spins.shape, spins.dtype, minval=-1)
    size, self_field = run.num_neurons, 0.0 if model.self_coupling else jnp.sum(columns[0] ** 2) / run.num_neurons

    def update(carry, i):
        x, spins, overlaps, correlation = carry
        old = spins[i]
        plastic = inner(plastic_weights(kernel_row, correlation), history[:, i])
        field = model.coupling * (inner(columns[i], overlaps) - self_field * old) + plastic + theta[i]
        mean = model.units.activation(field)
        new = jnp.where(coins[i] < mean, 1, -1) if isinstance(model.units, Glauber) else mean
        change = (new - old) / size
        state = x.at[i].set(field), spins.at[i].set(new.astype(spins.dtype))
        return (*state, overlaps + change * columns[i], correlation + change * history[:, i]), None

    start = spins, spins, matmul(spins, columns) / size, correlation
    (x, spins, _, _), _ = jax.lax.scan(update, start, order)
    return x, spins


@eqx.filter_jit
def _simulate(model, cue, run: _Run, key, num_trials, response_times, batch_size) -> OrderParameters:
    model, cue, valid = prepared(*run.split.whole((model, cue)))
    model, cue, valid = _counted(model, cue, run, valid)
    num_times = run.num_steps + 1

    def trial(key: PRNGKey) -> dict[str, Array]:
        out = _one_trial(model, cue, run, key, None, None)
        if response_times:

            def column(s):
                probed = lambda a: _one_trial(model, cue, run, key, None, (s, a))["probe"]  # noqa: E731
                return jax.jvp(probed, (jnp.zeros((), default_float()),), (jnp.ones((), default_float()),))[1]

            out["response"] = jax.lax.map(column, jnp.asarray(response_times)).T
        return out

    trials = jax.lax.map(trial, jr.split(key, num_trials), batch_size=batch_size)
    mean, error = mean_and_error(trials)
    lower = jnp.tril(jnp.ones((num_times, num_times), bool))
    response = response_error = None
    if response_times:
        blank = jnp.full((num_times, num_times), jnp.nan, default_float())
        response, response_error = (blank.at[:, jnp.asarray(response_times)].set(x["response"]) for x in (mean, error))
    symmetric = lambda c: jnp.where(lower, c, c.T)  # noqa: E731
    table = kernel_table(model, num_times)
    plastic = jnp.where(lower, jax.vmap(plastic_weights)(table, symmetric(mean["correlation"])), 0)
    finite = jnp.all(jnp.isfinite(jnp.concatenate([trials["overlap"], trials["correlation"]], axis=2)), axis=(0, 2))
    finite &= jnp.all(jnp.isfinite(plastic), axis=1)
    good = jnp.cumprod(finite).astype(bool) & valid
    correlation, correlation_error = map(symmetric, keep((mean["correlation"], error["correlation"]), good))
    result = outcome((~jnp.all(finite), RESULTS.not_finite), (~valid, RESULTS.invalid_parameter))
    squeeze = (lambda x: x[:, 0]) if cue.shape == () else (lambda x: x)
    where = setting(
        f"simulation (N = {run.num_neurons}, {num_trials} networks{', asynchronous' if run.asynchronous else ''})",
        model,
        cue,
    )
    num_patterns = model.num_patterns(run.num_neurons)
    realised = num_patterns.astype(default_float()) / float(run.num_neurons) ** (model.order - 1)
    where = eqx.tree_at(lambda s: s.numbers["load"], where, realised)
    out = OrderParameters(
        times=jnp.arange(num_times).astype(model.dt.dtype) * model.dt,
        overlap=squeeze(mean["overlap"]),
        overlap_error=squeeze(error["overlap"]),
        cue_overlap=correlation[:, 0],
        cue_overlap_error=correlation_error[:, 0],
        correlation=correlation,
        correlation_error=correlation_error,
        response=response,
        response_error=response_error,
        noise_covariance=None,
        crosstalk_feedback=None,
        crosstalk_feedback_error=None,
        plastic_feedback=plastic,
        energy=mean["energy"],
        energy_error=error["energy"],
        error_fraction=mean["error_fraction"],
        error_fraction_error=error["error_fraction"],
        jitter=None,
        smallest_pivot=None,
        residual=None,
        setting=where,
        result=result,
    )
    measured = lambda o: [  # noqa: E731
        getattr(o, f.name) for f in o.__dataclass_fields__.values()
        if f.name not in ("times", "setting", "result") and getattr(o, f.name) is not None
    ]  # fmt: skip
    return run.split.whole(eqx.tree_at(measured, out, keep(measured(out), good)))


@eqx.filter_jit
def _noise(model, cue, theory, run: _Run, key, num_trials, batch_size) -> NoiseStatistics:
    model, cue, valid = prepared(model, cue)
    model, cue, valid = _counted(model, cue, run, valid)
    feedback = theory.crosstalk_feedback.astype(default_float())
    trial = functools.partial(_one_trial, model, cue, run, feedback=feedback, probe=None)
    mean, error = mean_and_error(jax.lax.map(lambda k: trial(key=k), jr.split(key, num_trials), batch_size=batch_size))
    last = slice(run.num_steps)
    numbers = mean["variance"], error["variance"], mean["kurtosis"], error["kurtosis"]
    variance, variance_error, kurtosis, kurtosis_error = keep(
        [x[last] for x in numbers], jnp.broadcast_to(valid, (run.num_steps,))
    )
    finite = jnp.all(jnp.isfinite(variance) & jnp.isfinite(kurtosis))
    return NoiseStatistics(
        times=theory.times[last],
        variance=variance,
        variance_error=variance_error,
        excess_kurtosis=kurtosis,
        excess_kurtosis_error=kurtosis_error,
        predicted_variance=jnp.diagonal(theory.noise_covariance)[last],
        setting=setting(f"simulation (N = {run.num_neurons}, {num_trials} networks)", model, cue),
        result=outcome((~finite, RESULTS.not_finite), (~valid, RESULTS.invalid_parameter)),
    )


def _counted(model, cue, run: _Run, valid) -> tuple[AbstractPlasticModel, AbstractCue, Array]:
    """Model and cue closed to gradients with respect to what is counted out in whole patterns and spins."""
    message = "`{}`: a network has whole {}, so that no gradient goes through their number; differentiate `solve`."
    load = eqxi.nondifferentiable(model.load, msg=message.format("load", "patterns"))
    valid &= model.num_patterns(run.num_neurons) <= run.max_patterns
    if run.asynchronous:
        valid &= model.dt == 1
    if isinstance(cue, SpinCue):
        overlap = eqxi.nondifferentiable(cue.overlap, msg=message.format("overlap", "spins"))
        cue = eqx.tree_at(lambda c: c.overlap, cue, overlap)
    return eqx.tree_at(lambda m: m.load, model, load), cue, valid
