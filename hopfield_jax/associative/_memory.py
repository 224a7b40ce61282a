"""Memories that learn (Lotito 2025, section 4 and appendix B)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._checks import (
    Checked,
    all_finite,
    at_least,
    describe,
    domain,
    fail,
    in_domain,
    is_concrete,
    is_valid,
    patterns_fit,
    shape_is,
)
from .._dynamics import AbstractDynamics
from .._misc import as_inexact, matmul
from .._patterns import cosine_similarity
from .._results import RESULTS, describe_result, memory_of, outcome, raise_unless_okay
from .._types import Array, Float, Int, Patterns, PRNGKey, Scalar, ScalarLike, State


class SoftmaxPlasticity(AbstractDynamics):
    r"""Memories drift towards what the visible neurons show, the more the better they match (eq. 12 to 14):

    $$\tau_\Xi \dot\Xi_\mu = w_\mu\,(-\Xi_\mu + \Lambda_\mu + v), \qquad w = \mathrm{softmax}(\beta\,\Xi v).$$

    The state is the memories $\Xi$, shape (patterns, neurons); `args` of the vector field is $v$, shape (neurons,).

    **Arguments:**

    - `beta`: selectivity $\beta$ > 0. `tau_memory`: $\tau_\Xi$ > 0.
    - `bias`: $\Lambda$, one number or shape (patterns, neurons).
    """

    beta: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"))
    tau_memory: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"))
    bias: Float[Array, "..."] = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=(0, 2)), default=0.0)

    def weights(self, memories: Patterns, v: Float[Array, " neurons"]) -> Float[Array, " patterns"]:
        r"""$w = \mathrm{softmax}(\beta\,\Xi v)$ (eq. 13)."""
        return jax.nn.softmax(self.beta * matmul(memories, v))

    def vector_field(self, t: Any, y: Patterns, args: Float[Array, " neurons"]) -> Patterns:  # pyright: ignore
        r"""$\dot\Xi$ (eq. 14), with $v$ = `args`."""
        pull = jnp.broadcast_to(args, y.shape) + jnp.broadcast_to(self.bias, y.shape) - y
        return self.weights(y, args)[:, None] * pull / self.tau_memory


class PavlovianPlasticity(AbstractDynamics):
    r"""The rule of classical conditioning, on the couplings themselves (eq. 23):

    $$\tau \frac{d}{dt}(\Xi^\top\Xi) = -\Xi^\top\Xi + P\,\Xi'^\top \mathrm{diag}(p)\,\Xi'$$

    for $P$ observed patterns. It ends in the generalised Hebb rule, `target()`; `SoftmaxPlasticity` ends in
    $\Xi'^\top\Xi'$ whatever $p$ is, and the two agree only for $p_\mu = 1/P$. The state has shape (neurons, neurons).

    **Arguments:**

    - `observed`: $\Xi'$, shape (patterns, neurons). `probabilities`: $p$, shape (patterns,). `tau` > 0.
    """

    observed: Patterns = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=2))
    probabilities: Float[Array, " patterns"] = eqx.field(converter=as_inexact, metadata=domain("probability", ndim=1))
    tau: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"), default=1.0)

    def __check_init__(self):
        patterns_fit("PavlovianPlasticity.observed", self.observed)
        _probabilities_fit("PavlovianPlasticity.probabilities", self.probabilities, len(self.observed))

    def target(self) -> Float[Array, "neurons neurons"]:
        r"""$P\,\Xi'^\top \mathrm{diag}(p)\,\Xi'$."""
        return len(self.observed) * matmul(self.observed.T, self.probabilities[:, None] * self.observed)

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        r"""Rate of change of $\Xi^\top\Xi$ (eq. 23)."""
        return (self.target() - y) / self.tau

    def solution(self, t: ScalarLike, y0: Float[Array, "neurons neurons"]) -> Float[Array, "neurons neurons"]:
        r"""$e^{-t/\tau} y_0 + (1 - e^{-t/\tau})\,\mathrm{target}$."""
        decay = jnp.exp(-as_inexact(t) / self.tau)
        return decay * y0 + (1 - decay) * self.target()


def cyclic_protocol(num_patterns: int, num_intervals: int) -> Int[Array, " intervals"]:
    """Which pattern is shown in each interval: 0, 1, …, num_patterns - 1, 0, 1, …; shape (num_intervals,)."""
    at_least("num_patterns", num_patterns, 1)
    at_least("num_intervals", num_intervals, 1)
    return jnp.arange(num_intervals) % num_patterns


def random_protocol(
    probabilities: Float[Array, " patterns"], num_intervals: int, *, key: PRNGKey
) -> Int[Array, " intervals"]:
    """Which pattern is shown in each interval, drawn independently with `probabilities`; shape (num_intervals,)."""
    probabilities = as_inexact(probabilities)
    shape_is("probabilities", probabilities, (None,), "(patterns,)")
    _probabilities_fit("probabilities", probabilities, len(probabilities))
    at_least("num_intervals", num_intervals, 1)
    return jr.choice(key, len(probabilities), (num_intervals,), p=probabilities)


class LearningRun(eqx.Module):
    r"""What `hopfield_jax.associative.learn` returns.

    **Attributes:**

    - `times`: shape (times,), the start and then every `save_every` intervals.
    - `similarity`: cosine between memory μ and observed pattern μ, shape (times, patterns) (eq. 36).
    - `visits`: intervals in which pattern μ has been shown so far, shape (times, patterns). Times dwell over
      $\tau_\Xi$ it is the realised exponent $s_\mu$ of `similarity_curve`.
    - `memories`: the final ones. `result`: how it ended.
    """

    times: Float[Array, " times"]
    similarity: Float[Array, "times patterns"]
    visits: Int[Array, "times patterns"]
    memories: Patterns
    result: RESULTS

    def __str__(self) -> str:
        if not is_concrete(self.times) or jnp.ndim(self.times) != 1:
            return f"LearningRun: {memory_of(self)}"
        return (
            f"LearningRun: {self.similarity.shape[1]} memories, time {self.times[-1]:g}, similarity "
            f"{jnp.min(self.similarity[0]):.4f} -> {jnp.min(self.similarity[-1]):.4f} (the least), {memory_of(self)}\n"
            f"  result: {describe_result(self.result)}"
        )


def learn(
    rule: SoftmaxPlasticity,
    memories: Patterns,
    observed: Patterns,
    protocol: Int[Array, " intervals"],
    *,
    dwell: ScalarLike = 1.0,
    steps_per_interval: int = 1,
    save_every: int = 1,
    throw: bool = True,
) -> LearningRun:
    r"""Clamps the visible neurons to one observed pattern after another and lets the memories follow, by Euler steps.

    One step an interval is the paper's own numerics; its error against the continuous dynamics is of order
    dwell/$\tau_\Xi$ and falls as 1/`steps_per_interval`.

    **Main arguments:**

    - `rule`: a `SoftmaxPlasticity`.
    - `memories`: $\Xi^{(0)}$, shape (patterns, neurons). `observed`: $\Xi'$, the same shape, row μ near memory μ.
    - `protocol`: index of the pattern shown in each interval (`cyclic_protocol`, `random_protocol`).
    - `dwell`: length of an interval, in the unit of `tau_memory`; much shorter than $\tau_\Xi/p_\mu$.

    **Other arguments:**

    - `steps_per_interval`: Euler steps in each interval.
    - `save_every`: intervals between kept times; must divide their number.
    - `throw`: whether an unsuccessful end raises.

    **Returns:** a `LearningRun`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.

    ```python
    import jax
    import hopfield_jax as hj

    memories = hj.orthogonal_patterns(4, 50, key=jax.random.key(0))
    observed = jax.vmap(lambda m, key: hj.add_noise(m, 0.4, key=key))(memories, jax.random.split(jax.random.key(1), 4))
    rule = hj.associative.SoftmaxPlasticity(beta=2.0, tau_memory=250.0)
    run = hj.associative.learn(rule, memories, observed, hj.associative.cyclic_protocol(4, 2000))
    assert run.similarity[-1].min() > 0.99
    ```
    """
    if not isinstance(rule, SoftmaxPlasticity):
        fail("rule", "a SoftmaxPlasticity", type(rule).__name__)
    memories, observed, dwell = as_inexact(memories), as_inexact(observed), as_inexact(dwell)
    patterns_fit("memories", memories)
    patterns_fit("observed", observed)
    shape_is("observed", observed, memories.shape, "(that of the memories)")
    in_domain("dwell", dwell, "positive")
    protocol = jnp.asarray(protocol)
    _protocol_fits("protocol", protocol, len(observed))
    at_least("save_every", save_every, 1)
    if protocol.size % save_every:
        fail("save_every", f"a divisor of the number of intervals, {protocol.size}", save_every)
    at_least("steps_per_interval", steps_per_interval, 1)
    out = _learn(rule, memories, observed, protocol, dwell, steps_per_interval, save_every)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _learn(rule, memories, observed, protocol, dwell, steps_per_interval, save_every) -> LearningRun:
    def interval(carry, shown):
        memories, visits = carry
        step = lambda _, m: m + dwell / steps_per_interval * rule.vector_field(0.0, m, observed[shown])  # noqa: E731
        return (jax.lax.fori_loop(0, steps_per_interval, step, memories), visits.at[shown].add(1)), None

    def block(carry, shown):
        carry, _ = jax.lax.scan(interval, carry, shown)
        return carry, (_similarity(carry[0], observed), carry[1])

    visits = jnp.zeros(len(observed), jnp.int32)
    carry = (memories, visits)
    carry, (similarity, all_visits) = jax.lax.scan(block, carry, protocol.reshape(-1, save_every))
    valid = is_valid(rule) & all_finite((memories, observed, dwell)) & (dwell > 0)
    return LearningRun(
        times=dwell * jnp.arange(0, protocol.size + 1, save_every).astype(dwell.dtype),
        similarity=jnp.where(valid, jnp.concatenate([_similarity(memories, observed)[None], similarity]), jnp.nan),
        visits=jnp.concatenate([visits[None], all_visits]),
        memories=jnp.where(valid, carry[0], jnp.nan),
        result=outcome((~all_finite(carry[0]), RESULTS.not_finite), (~valid, RESULTS.invalid_parameter)),
    )


def _similarity(memories: Patterns, observed: Patterns) -> Float[Array, " patterns"]:
    return jax.vmap(lambda m, o: cosine_similarity(m[None], o)[0])(memories, observed)


def similarity_curve(
    exponent: Float[Array, "*times"] | ScalarLike,
    initial: Float[Array, "*times"] | ScalarLike,
    norm_ratio: Float[Array, "*times"] | ScalarLike = 1.0,
) -> Float[Array, "*times"]:
    r"""Cosine between a memory and its target while it learns (eq. 40, corrected for norms):

    $$\frac{e^{-s}a + \rho(1 - e^{-s})}{\sqrt{e^{-2s} + \rho^2(1 - e^{-s})^2 + 2\rho e^{-s}(1 - e^{-s})a}}.$$

    **Arguments** (which broadcast):

    - `exponent`: $s = t/\tau_\mu$ with $\tau_\mu = \tau_\Xi/p_\mu$ (eq. 35), or the realised visits · dwell/$\tau_\Xi$.
    - `initial`: the initial cosine $a$.
    - `norm_ratio`: $\rho = \lVert\xi'_\mu\rVert/\lVert\Xi_\mu(0)\rVert$; 1 gives the paper's equation.
    """
    s, a, rho = jnp.broadcast_arrays(*(as_inexact(x) for x in (exponent, initial, norm_ratio)))
    kept, taken = jnp.exp(-s), -rho * jnp.expm1(-s)
    return (kept * a + taken) / jnp.sqrt(jnp.square(kept) + jnp.square(taken) + 2 * kept * taken * a)


def learned_memories(
    t: ScalarLike,
    memories: Patterns,
    observed: Patterns,
    *,
    probabilities: Float[Array, " patterns"],
    tau_memory: ScalarLike,
) -> Patterns:
    r"""Prediction for large β: $\Xi_\mu(t) = e^{-t/\tau_\mu}\Xi_\mu(0) + (1 - e^{-t/\tau_\mu})\xi'_\mu$, $\tau_\mu =
    \tau_\Xi/p_\mu$ (eq. 34 and 35; section 4 of the paper calls the rate $\tau_\mu$).

    $\Xi(t)^\top\Xi(t)$ of it is the Hebbian time course of eq. 24, which ends in $\Xi'^\top\Xi'$ (eq. 25):
    `hebbian_course`.
    """
    probabilities = as_inexact(probabilities)
    _probabilities_fit("probabilities", probabilities, len(memories))
    kept = jnp.exp(-as_inexact(t) * probabilities / as_inexact(tau_memory))[:, None]
    return kept * memories + (1 - kept) * observed


def hebbian_course(
    t: ScalarLike,
    memories: Patterns,
    observed: Patterns,
    *,
    probabilities: Float[Array, " patterns"],
    tau_memory: ScalarLike,
) -> Float[Array, "neurons neurons"]:
    r"""$\Xi(t)^\top\Xi(t)$ under the prediction of `learned_memories` (eq. 24), up to infinite time (eq. 25)."""
    learned = learned_memories(t, memories, observed, probabilities=probabilities, tau_memory=tau_memory)
    return matmul(learned.T, learned)


class LearningConditions(eqx.Module):
    r"""What `hopfield_jax.associative.learning_conditions` returns: the conditions of sections 4, 5.3.2 and B.2.

    **Attributes:**

    - `interference`: largest |cosine| between two memories; eq. 15 wants 0.
    - `initial_similarity`: smallest cosine between an observed pattern and its own memory.
    - `selectivity`: smallest weight $w_\mu$ that memory μ has when its own pattern is shown; 1 is perfect.
    - `leakage`: largest $p_\nu w_\mu$ from a foreign pattern ν, summed over ν, relative to $p_\mu w_\mu$.
    - `smallest_probability`: a memory with 0 never learns.
    - `dwell_ratio`: largest dwell/$\tau_\mu$; should be far below 1.
    """

    interference: Scalar
    initial_similarity: Scalar
    selectivity: Scalar
    leakage: Scalar
    smallest_probability: Scalar
    dwell_ratio: Scalar

    def __str__(self) -> str:
        if not is_concrete(self.interference):
            return "LearningConditions"
        rows = (
            ("interference between memories (eq. 15: 0)", self.interference),
            ("smallest similarity of a pattern to its memory", self.initial_similarity),
            ("smallest weight of the right memory (1)", self.selectivity),
            ("largest share learned from foreign patterns (0)", self.leakage),
            ("smallest probability (> 0)", self.smallest_probability),
            ("largest dwell/tau_mu (<< 1)", self.dwell_ratio),
        )
        return "LearningConditions:\n" + "\n".join(f"  {name:<50}{float(value):.4g}" for name, value in rows)


def learning_conditions(
    rule: SoftmaxPlasticity,
    memories: Patterns,
    observed: Patterns,
    *,
    probabilities: Float[Array, " patterns"],
    dwell: ScalarLike = 1.0,
) -> LearningConditions:
    """Measures the conditions under which each memory converges to its own observed pattern.

    **Arguments:** as `learn`, and the `probabilities` with which patterns are shown (uniform for the cyclic protocol).

    **Returns:** a `LearningConditions`.
    """
    memories, observed, probabilities = as_inexact(memories), as_inexact(observed), as_inexact(probabilities)
    patterns_fit("memories", memories)
    shape_is("observed", observed, memories.shape, "(that of the memories)")
    _probabilities_fit("probabilities", probabilities, len(memories))
    cosines = jax.vmap(lambda m: cosine_similarity(memories, m))(memories)
    weights = jax.vmap(lambda v: rule.weights(memories, v))(observed).T  # [memory, shown]
    share = weights * probabilities[None, :]
    own, own_weight = jnp.diagonal(share), jnp.diagonal(weights)
    foreign = jnp.sum(share, axis=1) - own
    return LearningConditions(
        interference=jnp.max(jnp.abs(cosines - jnp.diag(jnp.diagonal(cosines)))),
        initial_similarity=jnp.min(_similarity(memories, observed)),
        selectivity=jnp.min(own_weight),
        leakage=jnp.max(jnp.where(own > 0, foreign / jnp.where(own > 0, own, 1), jnp.inf)),
        smallest_probability=jnp.min(probabilities),
        dwell_ratio=as_inexact(dwell) * jnp.max(probabilities * own_weight) / rule.tau_memory,
    )


class Stream(Checked):
    """A stream of inputs: pattern `protocol[k]` times `amplitude` during the k-th interval of length `dwell`.

    Called with a time it returns the input, shape (neurons,). Hand the `jump_times()` to `integrate`.
    """

    patterns: Patterns = eqx.field(converter=as_inexact, metadata=domain("finite", ndim=2))
    protocol: Int[Array, " intervals"]
    dwell: Scalar = eqx.field(converter=as_inexact, metadata=domain("positive"))
    amplitude: Scalar = eqx.field(converter=as_inexact, metadata=domain("finite"), default=1.0)

    def __check_init__(self):
        patterns_fit("Stream.patterns", self.patterns)
        _protocol_fits("Stream.protocol", self.protocol, len(self.patterns))

    def __call__(self, t: ScalarLike) -> Float[Array, " neurons"]:
        """The input at time `t`; the last pattern stays after the end."""
        interval = jnp.clip(jnp.floor(as_inexact(t) / self.dwell), 0, len(self.protocol) - 1).astype(jnp.int32)
        return self.amplitude * self.patterns[self.protocol[interval]]

    def jump_times(self) -> Float[Array, " jumps"]:
        """The ends of all intervals but the last."""
        return self.dwell * jnp.arange(1, len(self.protocol)).astype(self.dwell.dtype)


class LearningNetwork(AbstractDynamics):
    r"""All time scales at once: neurons that settle while the memories drift under a stream of inputs (eq. 10 with 12).

    The state is `{"neurons": y, "memories": Ξ}`: the neurons follow `build(Ξ, I(t))`, any network that is made from
    memories and an input, and the memories follow `rule` with $v$ = `read(y)`.

    **Arguments:**

    - `build`: `(memories, input) -> AbstractDynamics`.
    - `rule`: a `SoftmaxPlasticity`.
    - `stimulus`: `t -> input`, shape (neurons,); for example a `Stream`.
    - `read`: picks $v$ out of the neurons' state; default the state itself, or its entry `visible`.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    A = hj.associative
    patterns = hj.orthogonal_patterns(2, 20, key=jax.random.key(0))
    network = A.LearningNetwork(
        build=lambda memories, input: A.slow_fast_network(A.MemoryMap(memories), input=input, tau_hidden=0.1),
        rule=A.SoftmaxPlasticity(beta=1.0, tau_memory=100.0),
        stimulus=A.Stream(patterns, A.cyclic_protocol(2, 4), dwell=5.0),
    )
    state = {"neurons": {"visible": jnp.zeros(20), "hidden": jnp.zeros(2)}, "memories": patterns}
    path = hj.integrate(network, state, t1=20.0, jump_times=network.stimulus.jump_times())
    assert path.final["memories"].shape == (2, 20)
    ```
    """

    build: Callable
    rule: SoftmaxPlasticity
    stimulus: Callable
    read: Callable | None = None

    def vector_field(self, t: Any, y: State, args: Any = None) -> State:
        """Rates of neurons and memories."""
        neurons, memories = y["neurons"], y["memories"]
        network = self.build(memories, self.stimulus(t))
        if not isinstance(network, AbstractDynamics):
            fail("build", "a function that returns a dynamics", type(network).__name__)
        visible = self.read if self.read is not None else _visible
        return {
            "neurons": network.vector_field(t, neurons, args),
            "memories": self.rule.vector_field(t, memories, visible(neurons)),
        }


def _visible(y: State) -> Array:
    return y["visible"] if isinstance(y, dict) else y


def _protocol_fits(argument: str, protocol: Array, num_patterns: int) -> None:
    shape_is(argument, protocol, (None,), "(intervals,)")
    if not jnp.issubdtype(protocol.dtype, jnp.integer):
        fail(argument, "whole numbers, the index of the pattern shown in each interval", str(protocol.dtype))
    if protocol.size == 0:
        fail(argument, "at least one interval", "none")
    if is_concrete(protocol) and not 0 <= protocol.min() <= protocol.max() < num_patterns:
        fail(argument, f"indices from 0 to {num_patterns - 1}", describe(protocol))


def _probabilities_fit(argument: str, probabilities: Array, size: int) -> None:
    shape_is(argument, probabilities, (size,), "(one a pattern)")
    in_domain(argument, probabilities, "probability")
    if is_concrete(probabilities) and abs(float(jnp.sum(probabilities)) - 1) > 1e-5:
        fail(argument, "numbers that add up to 1", f"a sum of {float(jnp.sum(probabilities)):g}")
