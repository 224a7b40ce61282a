"""Simulation of one finite network, matrix-free with Hebb's synapses."""

import contextlib
import functools
import operator
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu

from .._checks import Rules, at_least, fail, is_concrete, key_fits, kind
from .._misc import default_float, inner, matmul
from .._types import Array, ArrayLike, PRNGKey, Scalar
from ._causal import append, causal_scan
from ._cue import AbstractCue, SpinCue, balanced_signs
from ._kernels import dense_tables, plastic_weights
from ._model import AbstractPlasticModel, check_model
from ._schemes import advance_all, start_all
from ._split import Split


class Sizes(eqx.Module):
    """The sizes of a run."""

    num_steps: int = eqx.field(static=True)
    num_neurons: int = eqx.field(static=True)
    max_patterns: int = eqx.field(static=True)
    asynchronous: bool = eqx.field(static=True)
    matrix: bool = eqx.field(static=True)
    traces: int = eqx.field(static=True)
    split: Split
    valid: ArrayLike
    """Whether the number of patterns and the step are as required; traced ones are validated here."""

    @staticmethod
    def of(
        model, cue, num_steps, num_neurons, num_trials, key, max_patterns, batch_size, asynchronous=False, mesh=None
    ) -> "Sizes":
        check_model(model, cue)
        key_fits("key", key)
        at_least("num_trials", num_trials, 1)
        at_least("batch_size", batch_size, 1)
        at_least("num_steps", num_steps, 1)
        at_least("num_neurons", num_neurons, 2)
        rules = Rules()
        with jax.ensure_compile_time_eval() if is_concrete(model.load) else contextlib.nullcontext():
            count = model.num_patterns(num_neurons)
        condensed = cue.shape[0] if cue.shape else 1
        if max_patterns is not None:
            at_least("max_patterns", max_patterns, condensed)
            room = "room for the {0} patterns of load {1:g}"
            enough = lambda count, _: count <= max_patterns  # noqa: E731
            rules.holds("max_patterns", enough, room, count, model.load, got=max_patterns)
        if is_concrete(count):
            max_patterns = int(count)
        elif max_patterns is None:
            fail("max_patterns", "a number, as the load is traced and the number of patterns a shape", None)
        at_least("max_patterns", max_patterns, condensed)
        if asynchronous and not (model.units.binary and model.units.memoryless):
            fail("asynchronous", "binary units (Sign, Glauber) without inner variables", kind(model.units))
        if asynchronous and model.order != 2:
            fail("asynchronous", "a PlasticNetwork", kind(model))
        if asynchronous:
            rules.holds("asynchronous", lambda dt: dt == 1, "dt = 1 (a step updates every neuron once)", model.dt)
        if asynchronous and mesh is not None:
            fail("mesh", "None with asynchronous=True, which updates one neuron after the other", "a mesh")
        split = Split.of(mesh, "num_neurons", num_neurons)
        matrix = getattr(model, "synapses", None) is not None
        traces = 0 if model.units.memoryless or model.kernel is None else 2
        return Sizes(num_steps, num_neurons, max_patterns, asynchronous, matrix, traces, split, rules.valid)

    def bytes_needed(self, batch: int, num_trials: int) -> int:
        """Memory of parallel networks: patterns and couplings, if a matrix (four times while drawn), and histories;
        correlations of all trials."""
        times = self.num_steps + 1
        rows = 4 * (self.max_patterns + self.matrix * self.num_neurons) + (3 + 2 * self.traces) * times
        size = self.num_neurons // self.split.pieces * rows * batch
        size += (num_trials + 2) * times**2
        return size * jnp.dtype(default_float()).itemsize


class _Network(NamedTuple):
    """One network and its requested measurements."""

    model: AbstractPlasticModel
    cue: Array
    stored: Array
    condensed: Array
    direction: Array
    noise_key: PRNGKey
    feedback: Array | None
    probe: tuple[Any, Scalar, Array] | None


def one_trial(model, cue, run: Sizes, key: PRNGKey, feedback: Array | None, probe: tuple[Any, Scalar] | None) -> Any:
    """All observables of one network; with `probe` (time, amplitude) a field along random signs acts at that time."""
    num_times, dtype = run.num_steps + 1, default_float()
    pattern_key, cue_key, noise_key, probe_key = jr.split(key, 4)
    synapse_key = jr.fold_in(pattern_key, 1)
    patterns = jr.rademacher(pattern_key, (run.max_patterns, run.num_neurons), dtype)
    num_patterns = model.num_patterns(run.num_neurons)
    stored = jnp.arange(run.max_patterns, dtype=num_patterns.dtype) < num_patterns
    count = cue.shape[0] if cue.shape else 1
    if not model.units.odd:
        patterns = patterns.at[:count].set(
            balanced_signs(count, run.num_neurons, dtype, key=jr.fold_in(pattern_key, 2))
        )
    patterns = run.split.along(jnp.where(stored[:, None], patterns, 0))
    condensed = patterns[:count]
    x, phi = run.split.along(cue.state(model.units, condensed, key=cue_key))
    probed = None if probe is None else (*probe, jr.rademacher(probe_key, (run.num_neurons,), dtype))
    kept = run.split.along(model.stored(patterns, key=synapse_key))
    network = _Network(model, phi, kept, condensed, x, noise_key, feedback, probed)
    inputs = dense_tables(model.tables(num_times), num_times), *model.fields(num_times)
    inner = model.site.start(phi)
    sent = model.site.sent(phi, inner)
    histories = {"sent": sent, **model.traces(phi, inner, sent)}
    blank = run.split.along(jtu.tree_map(lambda x: jnp.zeros((num_times, *x.shape), dtype), histories))
    state = x, phi, inner, start_all(model.scheme, (x, inner))
    return causal_scan(functools.partial(_step, run), network, state, inputs, blank, place=run.split.along)[1]


def _step(run: Sizes, network: _Network, t: Array, state: Any, inputs: Any, histories: Any, done: Any) -> Any:
    (model, cue, kept, condensed, direction, noise_key, feedback, probe), (x, phi, hidden, memory) = network, state
    kernel_rows, a, b = inputs
    sent = model.site.sent(phi, hidden)
    seen = {"sent": sent, **model.traces(phi, hidden, sent)}
    histories = {name: append(history, seen[name], t, done) for name, history in histories.items()}
    history, past = histories["sent"], jnp.arange(run.num_steps + 1) <= t
    post, pre = (histories.get(name, histories.get("both", history)) for name in ("post", "pre"))
    correlation = jnp.where(past, matmul(history, sent) / run.num_neurons, 0)
    exposure = correlation if pre is history else jnp.where(past, matmul(pre, sent) / run.num_neurons, 0)
    stored = model.stored_field(kept, sent)
    plastic = matmul(plastic_weights(kernel_rows, exposure), post)
    theta = a * condensed[0] + b * direction
    overlaps = matmul(condensed, sent) / run.num_neurons
    energy = -inner(sent, stored) / model.order - 0.5 * inner(sent, plastic) - inner(sent, theta)
    if not model.units.thermal:
        energy += jnp.sum(x * phi - model.units.elementwise(x))
    along = condensed[0] * phi if model.units.thermal else jnp.sign(condensed[0] * phi)
    out = {
        "overlap": overlaps,
        "correlation": correlation,
        "energy": energy / run.num_neurons,
        "error_fraction": jnp.mean(0.5 * (1 - along)),
    }
    if sent is not phi:
        out |= {"activity": matmul(condensed, phi) / run.num_neurons, "cue_overlap": inner(cue, phi) / run.num_neurons}
    if pre is not history:
        out["exposure"] = exposure
    if feedback is not None:
        signal = matmul(model.signal(overlaps), condensed)
        noise = condensed[0] * (stored - matmul(jnp.where(past, feedback[t], 0), history) - signal)
        centred = noise - jnp.mean(noise)
        variance = jnp.mean(centred**2)
        out = {"variance": variance, "kurtosis": jnp.mean(centred**4) / variance**2 - 3}
    if probe is not None:
        at, amplitude, signs = probe
        theta += jnp.where(t == at, amplitude, 0) * signs
        out = {"probe": inner(signs, sent) / run.num_neurons}
    key = jr.fold_in(noise_key, t)
    if run.asynchronous:
        x, new = _sweep(model, run, kept.T, history, kernel_rows, theta, phi, correlation, key)
    else:
        aim, rates = model.site.law(x, phi, hidden, stored + plastic + theta)
        aims = aim, jtu.tree_map(operator.add, hidden, rates)
        (x, hidden), memory = advance_all(model.scheme, t, (x, hidden), aims, memory, model.dt)
        new = model.units.sample(model.units.activation(x), jr.uniform(key, phi.shape, phi.dtype, minval=-1))
    return (x, new, hidden, memory), histories, out


def _sweep(model, run, columns, history, kernel_rows, theta, spins, correlation, key) -> tuple[Array, Array]:
    """Every spin once, in random order; fields from running overlaps with patterns (or from the spins by a row of the
    couplings) and history."""
    order_key, coin_key = jr.split(key)
    order = jr.permutation(order_key, run.num_neurons)
    coins = jr.uniform(coin_key, spins.shape, spins.dtype, minval=-1)
    size, hebbian = run.num_neurons, model.synapses is None
    self_field = 0.0 if model.self_coupling else jnp.sum(columns[0] ** 2) / size

    def update(carry, i):
        x, spins, overlaps, correlation = carry
        old = spins[i]
        plastic = inner(plastic_weights(kernel_rows, correlation), history[:, i])
        row = columns[i]
        stored = model.coupling * (inner(row, overlaps) - self_field * old) if hebbian else inner(row, spins)
        field = stored + plastic + theta[i]
        new = model.units.sample(model.units.activation(field), coins[i])
        change = (new - old) / size
        state = x.at[i].set(field), spins.at[i].set(new)
        overlaps = overlaps + change * row if hebbian else overlaps
        return (*state, overlaps, correlation + change * history[:, i]), None

    start = spins, spins, matmul(spins, columns) / size, correlation
    (x, spins, _, _), _ = jax.lax.scan(update, start, order)
    return x, spins


def counted(model, cue) -> tuple[AbstractPlasticModel, AbstractCue]:
    """Blocks gradients with respect to load and cue overlap, which are rounded to whole patterns and spins."""
    message = "`{}`: a network has whole {}, so that no gradient goes through their number; differentiate `solve`."
    load = eqxi.nondifferentiable(model.load, msg=message.format("load", "patterns"))
    if isinstance(cue, SpinCue):
        overlap = eqxi.nondifferentiable(cue.overlap, msg=message.format("overlap", "spins"))
        cue = eqx.tree_at(lambda c: c.overlap, cue, overlap)
    return eqx.tree_at(lambda m: m.load, model, load), cue
