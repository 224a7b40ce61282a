"""Memories that learn (Lotito 2025, section 4 and appendix B)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._checks import Checked, Rules, all_finite, as_real, at_least, domain, fail, is_valid, key_fits, kind
from .._dynamics import AbstractDynamics
from .._misc import nan_unless
from .._results import RESULTS, card, describe_result, outcome, raise_unless_okay
from .._types import Array, Float, Int, Parameter, Patterns, PRNGKey, Scalar, ScalarLike, State
from ._plasticity import SoftmaxPlasticity, probabilities_fit
from ._prediction import memories_fit, own_similarity


def cyclic_protocol(num_patterns: int, num_intervals: int) -> Int[Array, " intervals"]:
    """Index of the pattern presented in each interval: 0, 1, …, num_patterns - 1, 0, 1, …; shape (num_intervals,)."""
    at_least("num_patterns", num_patterns, 1)
    at_least("num_intervals", num_intervals, 1)
    return jnp.arange(num_intervals) % num_patterns


def random_protocol(
    probabilities: Float[Array, " patterns"], num_intervals: int, *, key: PRNGKey
) -> Int[Array, " intervals"]:
    """Index of the pattern presented in each interval, drawn with `probabilities`; shape (num_intervals,).

    -1 if traced probabilities are invalid.
    """
    rules = Rules()
    probabilities = probabilities_fit(rules, "probabilities", probabilities, None)
    at_least("num_intervals", num_intervals, 1)
    key_fits("key", key)
    return nan_unless(rules.valid, jr.choice(key, len(probabilities), (num_intervals,), p=probabilities))


class LearningRun(eqx.Module):
    r"""Result of `hopfield_jax.associative.learn`.

    **Attributes:**

    - `times`: shape (times,), the start and then every `save_every` intervals.
    - `similarity`: cosine between memory μ and observed pattern μ, shape (times, patterns) (eq. 36).
    - `visits`: number of intervals in which pattern μ has been presented so far, shape (times, patterns). visits ·
      dwell/$\tau_\Xi$ is the realised exponent $s_\mu$ of `similarity_curve`.
    - `memories`: the final ones. `result`: the result code.
    """

    times: Float[Array, " times"]
    similarity: Float[Array, "times patterns"]
    visits: Int[Array, "times patterns"]
    memories: Patterns
    result: RESULTS

    def __str__(self) -> str:
        return card(
            self,
            self.times[..., -1],
            lambda: (
                f"{self.similarity.shape[1]} memories, time {self.times[-1]:g}, similarity "
                f"{jnp.min(self.similarity[0]):.4f} -> {jnp.min(self.similarity[-1]):.4f} (the least)\n"
                f"  result: {describe_result(self.result)}"
            ),
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
    r"""Learns memories by Euler steps while the visible neurons are clamped to one observed pattern after another.

    One step per interval is the paper's own scheme; its error against the continuous dynamics is of order
    dwell/$\tau_\Xi$ and falls as 1/`steps_per_interval`.

    **Main arguments:**

    - `rule`: a `SoftmaxPlasticity`.
    - `memories`: $\Xi^{(0)}$, shape (patterns, neurons). `observed`: $\Xi'$, the same shape, row μ near memory μ.
    - `protocol`: index of the pattern presented in each interval (`cyclic_protocol`, `random_protocol`).
    - `dwell`: length of an interval, in the unit of `tau_memory`; much shorter than $\tau_\Xi/p_\mu$.

    **Other arguments:**

    - `steps_per_interval`: Euler steps in each interval.
    - `save_every`: intervals between saved times; must divide their number.
    - `throw`: whether to raise on failure.

    **Returns:** a `LearningRun`.

    **Raises:** `ValueError` for invalid arguments; `EquinoxRuntimeError` on failure if `throw`.

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
        fail("rule", "a SoftmaxPlasticity", kind(rule))
    rules = Rules()
    memories, observed = memories_fit(rules, memories, observed)
    dwell = rules.real("dwell", dwell, "positive")
    protocol = _protocol_fits(rules, "protocol", protocol, len(observed))
    at_least("save_every", save_every, 1)
    if protocol.size % save_every:
        fail("save_every", f"a divisor of the number of intervals, {protocol.size}", save_every)
    at_least("steps_per_interval", steps_per_interval, 1)
    out = _learn(rule, memories, observed, protocol, dwell, steps_per_interval, save_every, rules.valid)
    return raise_unless_okay(out, out.result) if throw else out


@eqx.filter_jit
def _learn(rule, memories, observed, protocol, dwell, steps_per_interval, save_every, valid) -> LearningRun:
    def interval(carry, shown):
        memories, visits = carry
        step = lambda _, m: m + dwell / steps_per_interval * rule.vector_field(0.0, m, observed[shown])  # noqa: E731
        return (jax.lax.fori_loop(0, steps_per_interval, step, memories), visits.at[shown].add(1)), None

    def block(carry, shown):
        carry, _ = jax.lax.scan(interval, carry, shown)
        return carry, (own_similarity(carry[0], observed), carry[1])

    visits = jnp.zeros(len(observed), jnp.int32)
    start = own_similarity(memories, observed)
    (memories, _), (similarity, all_visits) = jax.lax.scan(block, (memories, visits), protocol.reshape(-1, save_every))
    valid = valid & is_valid(rule)
    finite = all_finite(memories)
    similarity, memories = nan_unless(valid, (jnp.concatenate([start[None], similarity]), memories), constant=True)
    return LearningRun(
        times=dwell * jnp.arange(0, protocol.size + 1, save_every).astype(dwell.dtype),
        similarity=similarity,
        visits=jnp.concatenate([visits[None], all_visits]),
        memories=memories,
        result=outcome((~finite, RESULTS.not_finite), (~valid, RESULTS.invalid_parameter)),
    )


class Stream(Checked):
    """A stream of inputs: pattern `protocol[k]` times `amplitude` during the k-th interval of length `dwell`.

    A function of time that returns the input, shape (neurons,). Pass `jump_times()` to `integrate`.
    """

    patterns: Parameter[Patterns] = eqx.field(metadata=domain("finite", ndim=2))
    protocol: Int[Array, " intervals"]
    dwell: Parameter[Scalar] = eqx.field(metadata=domain("positive"))
    amplitude: Parameter[Scalar] = eqx.field(metadata=domain("finite"), default=1.0)

    def __check_init__(self):
        rules = Rules()
        rules.patterns("Stream.patterns", self.patterns)
        _protocol_fits(rules, "Stream.protocol", self.protocol, len(self.patterns))

    def __call__(self, t: ScalarLike) -> Float[Array, " neurons"]:
        """The input at time `t`; the last pattern is kept after the end."""
        interval = jnp.clip(jnp.floor(as_real("t", t) / self.dwell), 0, len(self.protocol) - 1).astype(jnp.int32)
        return self.amplitude * self.patterns[self.protocol[interval]]

    def jump_times(self) -> Float[Array, " jumps"]:
        """The ends of all intervals but the last."""
        return self.dwell * jnp.arange(1, len(self.protocol)).astype(self.dwell.dtype)


class LearningNetwork(AbstractDynamics):
    r"""Coupled dynamics of neurons and memories under a stream of inputs (eq. 10 with 12).

    The state is `{"neurons": y, "memories": Ξ}`: the neurons follow the network `build(Ξ, I(t))`, the memories follow
    `rule` with $v$ = `read(y)`.

    **Arguments:**

    - `build`: `(memories, input) -> AbstractDynamics`.
    - `rule`: a `SoftmaxPlasticity`.
    - `stimulus`: `t -> input`, shape (neurons,); for example a `Stream`.
    - `read`: extracts $v$ from the neurons' state; default the state itself, or its entry `visible`.

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
            fail("build", "a function that returns a dynamics", kind(network))
        visible = self.read if self.read is not None else _visible
        return {
            "neurons": network.vector_field(t, neurons, args),
            "memories": self.rule.vector_field(t, memories, visible(neurons)),
        }


def _visible(y: State) -> Array:
    return y["visible"] if isinstance(y, dict) else y


def _protocol_fits(rules: Rules, argument: str, protocol: Any, num_patterns: int) -> Int[Array, " intervals"]:
    """At least one index of a pattern."""
    protocol = rules.index(argument, protocol, num_patterns, "indices", shape=(None,), names="(intervals,)")
    if protocol.size == 0:
        fail(argument, "at least one interval", "none")
    return protocol
