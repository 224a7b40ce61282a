"""Every public callable with valid arguments, their documented domains, and invariants of the answer.

`AREAS` has a function a namespace, which makes its recipes. `test_fuzz.EXEMPT` says what is not called, and why.
"""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import hopfield_jax as hj
from hopfield_jax import associative, classical, dmft, sequential, sweep, theory

from .judge import TRACED, Answer, Recipe
from .perturb import Array, Fixed, Indices, Key, Real, Thing, Whole

PROBABILITY, POSITIVE, NONNEGATIVE = "[0, 1]", "(0, inf)", "[0, inf)"


def within(name: str, low: float, high: float) -> Callable[[dict[str, Any], Answer], str]:
    """The check that all of an output lies in a range, up to rounding."""

    def check(arguments: dict[str, Any], answer: Answer) -> str:
        eps = 1e-5 * max(abs(low), abs(high))
        worst = [
            x for key, x in answer.floats.items() if key.endswith(name) and np.any((x < low - eps) | (x > high + eps))
        ]
        return f"{name} is {worst[0].tolist()}, outside [{low:g}, {high:g}]"[:160] if worst else ""

    return check


def all_within(low: float, high: float) -> Callable[[dict[str, Any], Answer], str]:
    return within("", low, high)


def of_entries(*entries: float) -> Callable[[dict[str, Any], Answer], str]:
    """The check that no other numbers are in the output; what is tiny is zero to XLA."""

    def check(arguments: dict[str, Any], answer: Answer) -> str:
        flushed = [np.where(np.abs(x) < np.finfo(np.float32).tiny, 0, x) for x in answer.floats.values()]
        return "" if all(np.all(np.isin(x, entries)) for x in flushed) else f"entries other than {entries}"

    return check


# --- hj ---


class Rotor(hj.AbstractDynamics):
    """dr/dt = r (level − r²), dθ/dt = 1: the period 2π, stable."""

    level: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("positive"), default=1.0)

    def vector_field(self, t: Any, y: Any, args: Any = None) -> Any:
        return (self.level - jnp.sum(y**2)) * y + jnp.stack([-y[1], y[0]])


def foundations() -> list[Recipe]:
    patterns = hj.hadamard_patterns(3, 8)[1:]
    cue = 0.5 * patterns[0]
    counts = {"num_patterns": 2, "num_neurons": 8}

    def run(units: Any) -> Any:  # two layers, so that any units will do
        network = associative.AdiabaticNetwork(associative.MemoryMap(0.125 * patterns), hidden=units)
        return _euler(network, cue)

    def unit(call: Callable, **arguments: Any) -> Recipe:
        return Recipe(call, arguments, use=run)

    units = (hj.Erf, hj.Exponential, hj.HardTanh, hj.LogCosh, hj.LogSumExp, hj.Softplus)
    network = associative.graded_network(patterns, beta=2.0)
    key = Key()
    quadratic = lambda x, p: x**2 + p - 1.0  # noqa: E731
    integrate = dict(t1=Real(1.0, POSITIVE), max_steps=Whole(256, 1, 10**4), throw=False)
    return [
        *(unit(call, beta=1.0) for call in units),
        unit(hj.Sparsemax, beta=1.0),
        unit(hj.Entmax, alpha=Real(1.5, "(1, 2]"), beta=1.0),
        unit(hj.LogSumReLU, beta=1.0, delta=0.25),
        unit(hj.Quadratic, strength=1.0),
        unit(hj.Spherical, delta=0.25),
        unit(hj.LayerNorm, gain=0.5, shift=np.array([0.0, 1.0]), delta=0.25),
        unit(hj.Power, n=Whole(4, 2, valid=lambda n: n % 2 == 0)),
        unit(hj.RectifiedPower, n=Whole(3, 2)),
        Recipe(
            hj.MemoryQuadratic,
            dict(couplings=Thing(classical.hebbian(patterns))),
            use=lambda units: _euler(associative.AdiabaticNetwork(associative.IdentityMap(), hidden=units), cue),
        ),
        Recipe(
            hj.Layer,
            dict(units=Thing(hj.LogCosh(), also={"other units": hj.Erf()}), tau=0.5, input=np.ones(8)),
            use=lambda layer: _euler(classical.GradedNetwork(classical.hebbian(patterns), layer), cue),
        ),
        Recipe(hj.random_patterns, counts | {"key": key}, check=of_entries(-1, 1)),
        Recipe(hj.gaussian_patterns, counts | {"key": key}),
        Recipe(hj.biased_patterns, counts | {"bias": Real(0.5, "[-1, 1]"), "key": key}, check=of_entries(-1, 1)),
        Recipe(hj.sparse_patterns, counts | {"activity": Real(0.5, PROBABILITY), "key": key}, check=of_entries(0, 1)),
        Recipe(
            hj.correlated_patterns,
            counts | {"correlation": Real(0.5, PROBABILITY), "key": key},
            check=of_entries(-1, 1),
        ),
        Recipe(
            hj.hierarchical_patterns,
            dict(num_ancestors=2, num_descendants=2, num_neurons=8, correlation=Real(0.5, PROBABILITY), key=key),
            check=of_entries(-1, 1),
        ),
        Recipe(
            hj.hadamard_patterns,
            {"num_patterns": 2, "num_neurons": Whole(8, valid=lambda n: n & (n - 1) == 0)},
            check=of_entries(-1, 1),
            fits=lambda a: a["num_patterns"] <= a["num_neurons"],
        ),
        Recipe(
            hj.orthogonal_patterns,
            counts | {"norm": Real(1.5, POSITIVE, none=True), "key": key},
            fits=lambda a: a["num_patterns"] <= a["num_neurons"],
            roundings=64,
        ),
        Recipe(
            hj.flip,
            dict(pattern=Array(patterns[0]), fraction=Real(0.25, PROBABILITY), centre=0.0, key=key),
            check=lambda a, answer: "" if a["centre"] else _same_sizes(a, answer),
            fits=lambda a: a["centre"] != 0 or _signed(a["pattern"]),
        ),
        Recipe(hj.mask, dict(pattern=Array(patterns[0]), fraction=Real(0.25, PROBABILITY), fill=0.5, key=key)),
        Recipe(hj.add_noise, dict(pattern=Array(patterns[0]), strength=Real(0.5, NONNEGATIVE), key=key)),
        Recipe(hj.overlap, dict(patterns=patterns, state=cue)),
        Recipe(hj.cosine_similarity, dict(patterns=patterns, state=cue), check=all_within(-1, 1)),
        Recipe(
            hj.bisect,
            dict(function=lambda x: x - 0.3, lower=0.0, upper=2.0, num_iterations=8, throw=False),
            fits=lambda a: a["lower"] < 0.3 < a["upper"],
            check=lambda a, x: (
                "" if abs(float(x.arrays[".value"]) - 0.3) < 1e-2 * (1 + a["upper"] - a["lower"]) else "another root"
            ),
        ),
        Recipe.drawn(
            0.3,
            hj.follow,
            dict(
                function=quadratic,
                state=Array(np.ones(1), fits=lambda x: np.all(np.abs(x) > 1e-2)),
                parameter=0.0,
                lower=Real(-1.0, "[-inf, inf)"),
                upper=Real(2.0, "(-inf, inf]"),
                forward=True,
                step=Real(0.125, POSITIVE),
                num_steps=Whole(32, 1, 64),
                max_folds=Whole(2, 1, 4),
                min_folds=Whole(0, 0, 4),
                throw=False,
            ),
            fits=lambda a: a["lower"] <= a["parameter"] + 1e-37 and a["parameter"] <= a["upper"],  # subnormal: XLA's 0
            check=_on_parabola,
        ),
        Recipe.drawn(
            0.3,
            hj.integrate,
            dict(
                model=network,
                y0=cue,
                t0=0.0,
                dt0=Real(0.25, POSITIVE, none=True),
                saveat=Array(np.array([0.25, 0.5, 1.0]), none=True, increasing=True, constant=False, low=False),
                jump_times=Array(np.array([0.25, 0.75]), none=True, increasing=True, constant=False, low=False),
                **integrate,
            ),
            fits=lambda a: (
                a["t0"] < a["t1"]
                and (a["saveat"] is None or a["t0"] <= np.min(a["saveat"]) <= np.max(a["saveat"]) <= a["t1"])
            ),
            check=_descends,
            ignore=(".times", ".occurrences"),
        ),
        Recipe.drawn(
            0.4,
            hj.steady_state,
            dict(
                model=network,
                y0=cue,
                tolerance=Real(1e-3, POSITIVE, none=True),
                max_time=Real(100.0, POSITIVE),
                max_steps=Whole(1024, 1, 2048),
                throw=False,
            ),
        ),
        Recipe.drawn(
            0.3,
            hj.lyapunov_exponents,
            dict(
                model=network,
                y0=cue,
                t1=Real(4.0, POSITIVE),
                num_exponents=Whole(2, 1, 8),
                dt0=Real(0.125, POSITIVE),
                t0=0.0,
                transient=Real(1.0, NONNEGATIVE, none=True),
                num_blocks=Whole(4, 2, 8),
                throw=False,
            ),
            fits=lambda a: (
                a["t1"] - a["t0"] - (0.1 * (a["t1"] - a["t0"]) if a["transient"] is None else a["transient"])
                > (a["num_blocks"] + 1) * a["dt0"]
                and a["t1"] - a["t0"] < 2**14 * a["dt0"]
                and a["dt0"] > 1e-6 * max(abs(a["t0"]), abs(a["t1"]))
            ),
        ),
        Recipe.drawn(
            0.3,
            hj.periodic_orbit,
            dict(
                model=Rotor(),
                y0=np.array([1.0, 0.25]),
                period=Real(6.0, POSITIVE),
                forced=False,
                transient=Real(1.0, NONNEGATIVE),
                num_multipliers=Whole(2, 1, 2, none=True),
                max_steps=Whole(1024, 1, 2048),
                throw=False,
            ),
            check=lambda a, answer: (
                ""
                if a["forced"] or not a["period"] < 9 or abs(answer.arrays[".period"] - 2 * np.pi) < 1e-2
                else "another period"
            ),
        ),
        Recipe.drawn(
            0.05,
            hj.follow_orbit,
            dict(
                function=Rotor,
                y0=Fixed(jnp.array([1.0, 0.0])),
                parameter=Real(1.0, POSITIVE, traced=False),
                period=Real(6.25, POSITIVE),
                max_steps=Whole(1024, 1, 2048),
                num_steps=Whole(2, 1, 4),
                throw=False,
            ),
            ignore=(".direction", ".curvature"),
        ),
        Recipe(hj.jacobian, dict(model=network, y=cue), use=lambda operator: operator.as_matrix()),
        Recipe(
            hj.linearise,
            dict(
                model=network,
                y=cue,
                num_eigenvalues=Whole(None, 1, largest=1, none=True),
                symmetric=Fixed(True),
                tolerance=Real(1e-3, NONNEGATIVE),
                throw=False,
            ),
        ),
        Recipe(
            hj.check_descent,
            dict(
                model=Thing(network, also={"another": associative.graded_network(patterns)}),
                y=cue,
                num_directions=4,
                key=Key(needed=False),
            ),
        ),
        Recipe(
            hj.Event,
            dict(
                condition=lambda t, y, args, mode: t - 0.5,
                direction=Thing(None, none=True, wrong=("3.5", "a string", "an object", "None")),
                max_occurrences=Whole(1, 1, 4),
            ),
            use=lambda event: hj.integrate(network, cue, t1=1.0, event=event, throw=False, max_steps=256).occurrences,
            ignore=(".times", ".states"),
        ),
        Recipe(
            hj.Noise,
            dict(diffusion=lambda t, y, args: 0.1 * jnp.ones_like(y), key=key),
            use=lambda noise: hj.integrate(network, cue, t1=1.0, dt0=0.25, noise=noise, throw=False, max_steps=256),
        ),
        Recipe.drawn(
            0.4,
            hj.tune,
            dict(
                objective=lambda p: (p["x"] - 1.0) ** 2,
                parameters={"x": 0.5},
                bounds=Thing({"x": (0.0, 2.0)}, none=True),
                num_repeats=4,
                num_steps=Whole(40, 1, 50),
                tolerance=Real(1e-2, POSITIVE, traced=False),
                progress=False,
                throw=False,
            ),
            traced=False,
        ),
        Recipe(hj.forward_value_and_grad, dict(function=lambda p: p**2), use=lambda f: f(jnp.array(2.0))),
        Recipe(hj.is_okay, dict(result=Thing(hj.RESULTS.successful, also={"a failure": hj.RESULTS.not_finite}))),
    ]


def _euler(network: Any, y0: Any, **options: Any) -> Any:
    """The shortest run that validates the parameters."""
    path = hj.integrate(network, y0, t1=0.5, dt0=0.25, solver=dfx.Euler(), max_steps=4, throw=False, **options)
    return path.final, path.result


def _signed(patterns: Any) -> bool:
    """Whether these are not patterns of 0 and 1, which rules for signs refuse; what is tiny is zero to XLA."""
    x = np.asarray(patterns, np.float32)
    x = np.where(np.abs(x) < np.finfo(np.float32).tiny, 0, x)
    return not (np.all(np.isin(x, (0, 1))) and np.any(x == 0))


def _same_sizes(arguments: dict[str, Any], answer: Answer) -> str:
    sizes = np.abs(np.asarray(arguments["pattern"], float))
    return "" if np.allclose(np.abs(answer.arrays[""].astype(float)), sizes, rtol=1e-2) else "sizes of entries changed"


def _on_parabola(arguments: dict[str, Any], answer: Answer) -> str:
    p, x = answer.arrays[".parameter"].astype(float), answer.arrays[".state"][:, 0].astype(float)
    residual = np.nanmax(np.abs(x**2 + p - 1) / (1 + np.abs(p)))
    return "" if residual < 1e-3 else f"points off the curve by {residual:.2g}"


def _descends(arguments: dict[str, Any], answer: Answer) -> str:
    return "" if np.all(np.diff(answer.arrays[".times"].astype(float)) > 0) else "times do not increase"


# --- hj.associative ---


def associative_memories() -> list[Recipe]:
    patterns = hj.hadamard_patterns(3, 8)[1:]
    cue = 0.5 * patterns[0]
    signed = Array(patterns, fixed=(1,), fits=_signed)
    neurons = 0.25 * np.ones(8)
    hidden = associative.MemoryMap(0.125 * patterns)
    euler = lambda network: _euler(network, cue)  # noqa: E731
    rule = associative.SoftmaxPlasticity(beta=2.0, tau_memory=8.0)
    protocol = associative.cyclic_protocol(2, 4)
    network = associative.graded_network(patterns, beta=2.0)
    cues = jnp.stack([cue, -0.5 * patterns[1]])
    retrieval = jax.vmap(lambda c: associative.retrieve(network, patterns, c, t1=1.0, num_times=3, throw=False))(cues)
    chances = Array(np.array([0.25, 0.75]), PROBABILITY, fixed=(0,), constant=False)
    learning = dict(memories=patterns, observed=patterns)
    stream = associative.Stream(patterns, protocol, dwell=0.5)
    build = lambda memories, input: associative.graded_network(memories, input=input)  # noqa: E731
    whole_time = {"neurons": cue, "memories": patterns}
    layers = {"v": hj.Layer(hj.LogCosh()), "h": hj.Layer(hj.LogSumExp())}
    heads = dict(head_size=Whole(4, none=True), output_size=Whole(8, none=True), use_bias=False, key=Key())
    others = dict(
        units=Thing(None, none=True, also={"others": hj.Sparsemax()}),
        visible=Thing(None, none=True, also={"others": hj.LayerNorm()}),
        settle=Thing(None, none=True, also={"others": associative.Unrolled(2)}),
    )
    divides = lambda a: a["head_size"] is not None or a["query_size"] % a["num_heads"] == 0  # noqa: E731

    def associate(layer: Any) -> Any:
        sizes = layer.query_proj.in_features, layer.key_proj.in_features
        return layer(jnp.ones((3, sizes[0])), jnp.ones((2, sizes[1])), mask=jnp.array([True, False]))

    def settled(settle: Any) -> Any:
        return associate(associative.AssociationLayer(2, 8, settle=settle, key=jr.key(0)))

    return [
        Recipe.drawn(
            0.3,
            associative.AssociationLayer,
            dict(num_heads=2, query_size=8, memory_size=Whole(6, none=True), **heads, **others),
            use=associate,
            fits=divides,
        ),
        Recipe.drawn(
            0.3,
            associative.PoolingLayer,
            dict(num_queries=2, query_size=8, num_heads=2, memory_size=Whole(6, none=True), **heads, **others),
            use=lambda layer: layer(jnp.ones((2, layer.association.key_proj.in_features))),
            fits=divides,
        ),
        Recipe.drawn(
            0.3,
            associative.MemoryLayer,
            dict(num_memories=3, query_size=8, num_heads=2, **heads, **others),
            use=lambda layer: layer(jnp.ones((2, layer.association.query_proj.in_features))),
            fits=divides,
        ),
        Recipe(associative.Unrolled, dict(num_updates=Whole(2, 1, 4)), use=settled),
        Recipe(
            associative.Implicit,
            dict(drive=0.5, tolerance=Real(1e-3, NONNEGATIVE), max_updates=Whole(64, 1, 64)),
            use=settled,
        ),
        Recipe(
            associative.DrivenNetwork,
            dict(build=lambda input: associative.graded_network(patterns, input=input), stimulus=stream),
            use=lambda network: _euler(network, cue),
        ),
        Recipe(
            associative.MemoryMap,
            dict(
                patterns=patterns,
                bias=Array(
                    np.array([0.5, 0.25]),
                    domain="[-inf, inf)",
                    fixed=(0,),
                    scalar=True,
                    fits=lambda x: np.any(x > -np.inf),
                ),
            ),
            use=lambda h: euler(associative.AdiabaticNetwork(h)),
        ),
        Recipe(
            associative.IdentityMap,
            dict(num_hidden=Whole(8, 1, none=True, valid=lambda n: n == 8), bias=neurons),
            use=lambda h: euler(associative.AdiabaticNetwork(h, hidden=hj.Quadratic(0.5))),
        ),
        Recipe(
            associative.AdiabaticNetwork,
            dict(hidden_map=hidden, visible=None, hidden=None, input=neurons, tau_visible=0.5),
            use=euler,
        ),
        Recipe(
            associative.DistanceNetwork,
            dict(patterns=patterns, hidden=Thing(hj.LogSumReLU(), also={"others": hj.Sparsemax()}), tau_visible=0.5),
            use=euler,
        ),
        Recipe(
            associative.slow_fast_network,
            dict(
                hidden_map=hidden,
                visible=None,
                hidden=None,
                input=neurons,
                tau_visible=0.5,
                tau_hidden=Real(0.5, POSITIVE),
            ),
            use=lambda n: _euler(n, {"visible": cue, "hidden": jnp.zeros(2)}),
        ),
        Recipe(
            associative.graded_network,
            dict(patterns=signed, beta=2.0, input=neurons, tau_visible=0.5, self_coupling=False),
            use=euler,
        ),
        Recipe(
            associative.conditioning_network,
            dict(patterns=signed, beta=2.0, input=neurons, tau_visible=0.5),
            use=euler,
        ),
        Recipe(
            associative.LayeredNetwork,
            dict(layers=layers, synapses={"vh": (associative.DenseSynapse(jnp.ones((8, 2))), ("v", "h"))}),
            use=lambda n: _euler(n, {"v": cue, "h": jnp.zeros(2)}),
        ),
        Recipe(
            associative.DenseSynapse,
            dict(weight=np.ones((8, 2))),
            use=lambda s: _euler(
                associative.LayeredNetwork(layers, {"vh": (s, ("v", "h"))}), {"v": cue, "h": jnp.zeros(2)}
            ),
        ),
        Recipe(
            associative.MapSynapse,
            dict(hidden_map=hidden),
            use=lambda s: _euler(
                associative.LayeredNetwork(layers, {"vh": (s, ("v", "h"))}), {"v": cue, "h": jnp.zeros(2)}
            ),
        ),
        Recipe(
            associative.SoftmaxPlasticity,
            dict(beta=2.0, tau_memory=8.0, bias=0.5 * patterns),
            use=lambda rule: associative.learn(rule, patterns, 0.5 * patterns, protocol, throw=False),
        ),
        Recipe(
            associative.PavlovianPlasticity,
            dict(observed=patterns, probabilities=chances, tau=2.0),
            use=lambda rule: (
                _euler(rule, jnp.eye(8))
                if isinstance(rule, hj.AbstractDynamics)
                else rule.vector_field(0.0, jnp.eye(8))
            ),
        ),
        Recipe(
            associative.Stream,
            dict(patterns=patterns, protocol=Indices(protocol, 2), dwell=0.5, amplitude=0.5),
            use=lambda s: _euler(associative.LearningNetwork(build, rule, s), whole_time),
        ),
        Recipe(
            associative.LearningNetwork,
            dict(build=build, rule=rule, stimulus=stream, read=None),
            use=lambda n: _euler(n, whole_time),
        ),
        Recipe(
            associative.learn,
            dict(
                rule=rule,
                **learning,
                protocol=Indices(protocol, 2),
                dwell=0.5,
                steps_per_interval=Whole(2, 1, 8),
                save_every=Whole(2, valid=lambda n: 4 % n == 0),
                throw=False,
            ),
            check=within(".similarity", -1, 1),
            ignore=(".times",),
        ),
        Recipe(
            associative.learned_memories,
            dict(t=Real(2.0, "[0, inf]"), **learning, probabilities=chances, tau_memory=8.0),
        ),
        Recipe(
            associative.learning_conditions,
            dict(rule=rule, **learning, probabilities=chances, dwell=0.5),
            fits=lambda a: np.isclose(np.sum(np.asarray(a["probabilities"], float)), 1),
        ),
        Recipe(
            associative.similarity_curve,
            dict(
                exponent=Real(1.5, "[0, inf]", any_shape=True),
                initial=Real(0.5, "[-1, 1]", any_shape=True),
                norm_ratio=Real(1.5, POSITIVE, any_shape=True),
            ),
            check=all_within(-1, 1),
        ),
        Recipe(associative.cyclic_protocol, dict(num_patterns=2, num_intervals=4)),
        Recipe(
            associative.random_protocol,
            dict(probabilities=chances, num_intervals=4, key=Key()),
            fits=lambda a: np.isclose(np.sum(np.asarray(a["probabilities"], float)), 1),
            flag=lambda x: np.any(x.arrays[""] < 0),
        ),
        Recipe(associative.memory_spectrum, dict(patterns=Array(patterns), tolerance=Real(1e-3, NONNEGATIVE))),
        Recipe.drawn(
            0.4,
            associative.retrieve,
            dict(
                network=network,
                patterns=patterns,
                cue=cue,
                t1=Real(1.0, POSITIVE),
                num_times=Whole(3, 2),
                throw=False,
                max_steps=Whole(256, 1, 10**4),
            ),
            check=within(".similarity", -1, 1),
            ignore=(".times",),
        ),
        Recipe(
            associative.score,
            dict(
                retrieval=retrieval,
                targets=Indices(np.array([0, 1]), 2, fixed=(0,)),
                threshold=Real(0.5, "[-1, 1]"),
                rest=Real(0.5, NONNEGATIVE),
            ),
            check=within(".fraction", 0, 1),
        ),
    ]


# --- hj.sequential ---


def sequences() -> list[Recipe]:
    patterns = hj.hadamard_patterns(3, 4)
    cycle = np.asarray(sequential.cycle(3))
    gain = Real(5.0, POSITIVE, any_shape=True)
    saliency = Real(3.0, any_shape=True)
    counts = Indices(np.array([1, 2]), None, any_rank=True)
    network = sequential.InputDrivenNetwork(patterns, gain=5.0, transitions=sequential.cycle(3), tau_fast=0.02)
    exact = {"solver": Fixed(sequential.ExactDwell()), "max_steps": Fixed(256)}

    def run(network: Any, **options: Any) -> Any:
        return sequential.retrieve_sequence(
            network,
            saliency=5.0,
            t1=2.0,
            throw=False,
            max_steps=512,
            max_transitions=4,
            saveat=jnp.array([1.0, 2.0]),
            **options,
        )

    names = dict(patterns=Array(patterns, fixed=(0, 1), fits=_signed), gain=5.0, transitions=cycle)
    unfinished = (".times", ".switch_times", ".dwell_times")
    return [
        Recipe(sequential.saliency_map, dict(gain=gain, saliency=saliency)),
        Recipe(sequential.iterate, dict(gain=gain, saliency=saliency, num_transitions=counts)),
        Recipe(sequential.total_time, dict(gain=gain, saliency=saliency, num_transitions=counts)),
        Recipe(
            sequential.count_transitions,
            dict(gain=gain, saliency=saliency),
            flag=lambda x: np.any(x.arrays[""] == -2),
            check=lambda a, x: "" if np.all(x.arrays[""] >= -1) else "a negative count",
        ),
        Recipe(sequential.regime, dict(gain=gain, saliency=saliency)),
        Recipe(sequential.fixed_points, dict(gain=gain)),
        Recipe(sequential.period, dict(gain=gain), check=all_within(np.log(2), np.inf)),
        Recipe(
            sequential.gain_for_period,
            dict(period=Real(1.0, f"[{np.log(2)}, inf)", any_shape=True)),
            check=all_within(4, np.inf),
        ),
        Recipe(
            sequential.success_probability,
            dict(
                num_neurons=Real(128.0, POSITIVE, any_shape=True),
                input_coupling=Real(0.125, NONNEGATIVE, any_shape=True),
                num_transitions=Real(2.0, POSITIVE, any_shape=True),
            ),
            check=all_within(0, 1),
        ),
        Recipe(sequential.switch_margins, dict(network=Thing(network))),
        Recipe(sequential.escape_time, dict(saliency=saliency), check=all_within(0, np.inf)),
        Recipe(sequential.critical_gain, dict(num_patterns=Whole(4, 2, none=True), delay=0.25)),
        Recipe(sequential.chain, dict(num_patterns=Whole(3, 2)), check=of_entries(0, 1)),
        Recipe(sequential.cycle, dict(num_patterns=Whole(3, 2)), check=of_entries(0, 1)),
        Recipe(
            sequential.transition_matrix,
            dict(
                num_patterns=Whole(3, 2),
                edges=Thing(
                    [(0, 1), (1, 0, 0.5)],
                    also={"one": [(1, 0)]},
                    wrong=("None", "3.5", "a string", "an object", "an array", "a list"),
                ),
            ),
        ),
        Recipe(
            sequential.follow_transitions,
            dict(
                transitions=cycle,
                gain=Real(5.0, POSITIVE),
                saliency=Array(np.array([3.0, 0.5, 0.25]), fixed=(0,), scalar=True),
                start=Whole(0, 0, largest=2),
                max_transitions=4,
                delay=0.25,
                gram=Array(np.eye(3), fixed=(0, 1), none=True, constant=False),
            ),
            ignore=unfinished,
        ),
        Recipe(
            sequential.learn_transitions,
            dict(
                patterns=patterns,
                shown=Array(np.repeat(np.asarray(patterns), 2, axis=0), fixed=(1,)),
                dt=0.25,
                tau_trace=Real(0.5, POSITIVE),
            ),
        ),
        Recipe.drawn(
            0.2,
            sequential.InputDrivenNetwork,
            names
            | dict(
                units=hj.HardTanh(),
                tau_fast=0.02,
                tau_slow=1.0,
                input_coupling=0.01,
                noise_fast=0.0,
                noise_slow=0.0,
                input=None,
                rule=Thing(None, also={"a rule": lambda transitions, overlap: transitions @ overlap**3}, none=True),
            ),
            use=run,
            ignore=unfinished,
        ),
        Recipe.drawn(
            0.25,
            sequential.InputProtocol,
            dict(
                times=Array(np.array([0.5, 1.0]), increasing=True, constant=False, fixed=(0,)), values=np.ones((2, 4))
            ),
            use=lambda p: run(
                sequential.InputDrivenNetwork(
                    patterns, gain=5.0, transitions=sequential.cycle(3), tau_fast=0.02, input=p
                )
            ),
            ignore=unfinished,
            beside=TRACED,  # see `retrieve_sequence`
        ),
        Recipe.drawn(
            0.3,
            sequential.ExactDwell,
            dict(
                rtol=Real(1e-4, POSITIVE, none=True, traced=False), atol=Real(1e-5, POSITIVE, none=True, traced=False)
            ),
            use=lambda solver: run(network, solver=solver),
            ignore=unfinished,
        ),
        Recipe.drawn(
            0.2,
            sequential.retrieve_sequence,
            dict(
                network=network,
                start=Whole(0, 0, largest=2),
                saliency=5.0,
                t1=Real(2.0, POSITIVE),
                key=Key(None, needed=False),
                saveat=Array(np.array([0.5, 1.0]), NONNEGATIVE, none=True, increasing=True, constant=False, low=False),
                max_transitions=Whole(4, 1, 8),
                level=Real(0.5, PROBABILITY),
                margin=Real(0.25, PROBABILITY),
                until_collapse=False,
                dt0=Real(None, POSITIVE, none=True),
                max_steps=Whole(512, 1, 1024),
                throw=False,
            ),
            fits=lambda a: a["saveat"] is None or bool(np.max(np.asarray(a["saveat"], float)) <= a["t1"]),
            ignore=unfinished,
            # Diffrax evaluates the first slope of a step for all members while one is at its first step, where an
            # invalid one stays: a rounding, which adaptive steps carry on to their tolerance of 1e-4 a step.
            beside=TRACED,
        ),
        Recipe.drawn(
            0.2,
            sequential.scan_gains,
            dict(
                network=network,
                gains=Array(np.array([3.0, 5.0]), POSITIVE),
                t1=Real(2.0, POSITIVE),
                saliency=Real(4.0, none=True),
                start=Whole(0, 0, largest=2),
                key=Key(None, needed=False),
                batch_size=2,
                **exact,
            ),
        ),
        Recipe.drawn(
            0.2,
            sequential.find_critical_gain,
            dict(
                network=network,
                t1=Real(4.0, POSITIVE),
                lower=Real(1.0, POSITIVE),
                upper=Real(8.0, POSITIVE),
                saliency=Real(None, none=True),
                num_trials=Whole(1, 1, 2),
                num_iterations=3,
                throw=False,
                **exact,
            ),
            fits=lambda a: a["lower"] < a["upper"],
        ),
        Recipe.drawn(
            0.2,
            sequential.measure_delay,
            dict(
                network=network,
                gains=Array(np.array([3.5, 5.0]), POSITIVE, constant=False, low=False),
                t1=Real(6.0, POSITIVE, traced=False),
                skip=Whole(1, 0, 2),
                degree=Whole(1, 0, 2),
                batch_size=2,
                throw=False,
                **exact,
            ),
            traced=False,
        ),
        Recipe.drawn(
            0.3,
            sequential.tune_gain,
            dict(
                network=network,
                period=Real(1.25, POSITIVE, traced=False),
                tolerance=Real(1e-2, POSITIVE, traced=False),
                num_transitions=Whole(None, none=True),
                max_evaluations=Whole(8, 1, 10),
                throw=False,
            ),
            traced=False,
        ),
        Recipe.drawn(
            0.3,
            sequential.tune_dwell_times,
            dict(
                network=network,
                dwell_times=Array(np.array([1.0, 1.25, 1.0]), POSITIVE, fixed=(0,), constant=False, low=False),
                tolerance=Real(1e-2, POSITIVE, traced=False),
                num_transitions=Whole(None, none=True),
                max_evaluations=Whole(8, 1, 10),
                throw=False,
            ),
            traced=False,
        ),
    ]


# --- hj.dmft ---


def mean_field() -> list[Recipe]:
    model = dmft.PlasticNetwork(load=0.125, units=hj.LogCosh(beta=4.0), kernel=dmft.LeakyHebbian(0.5, tau=4.0))
    cue = dmft.SpinCue(0.5)
    num_steps, load, key = Whole(3, 1, 4), 0.125, jr.key(0)

    def solve(model: Any = model, cue: Any = cue, key: Any = key, **options: Any) -> Any:
        return dmft.solve(
            model, cue, key=key, **({"num_steps": 3, "num_samples": 64, "num_shifts": 2, "throw": False} | options)
        )

    def with_kernel(kernel: Any) -> Any:
        return solve(dmft.PlasticNetwork(load=0.125, units=hj.LogCosh(beta=4.0), kernel=kernel))

    def with_units(units: Any) -> Any:
        return solve(dmft.PlasticNetwork(load=0.125, units=units))

    def with_synapses(synapses: Any) -> Any:
        return solve(dmft.PlasticNetwork(load=0.125, units=hj.LogCosh(beta=4.0), synapses=synapses))

    def with_scheme(scheme: Any) -> Any:
        return solve(dmft.PlasticNetwork(load=0.125, units=hj.LogCosh(beta=4.0), dt=0.5, scheme=scheme))

    order, other = solve(), solve(key=jr.key(1))
    overlap = within(".overlap", -1, 1)
    field = np.array([0.25, 0.5, 0.0])
    simulation = dict(
        num_steps=num_steps,
        num_neurons=Whole(32, 1, 64),
        num_trials=Whole(2, 1, 4),
        key=Key(),
        batch_size=1,
        max_bytes=Fixed(1e9),
        throw=False,
    )
    run = lambda model, cue: solve(model, cue, num_shifts=1)  # noqa: E731
    bounds = dict(num_iterations=3, throw=False)
    tail = (".overlap_error", ".cue_overlap_error", ".correlation_error")
    table = np.tril(np.full((4, 4), 0.25), -1)
    return [
        Recipe.drawn(
            0.25,
            dmft.PlasticNetwork,
            dict(
                load=load,
                units=Thing(hj.LogCosh(beta=4.0), also={"sign": hj.Sign()}),
                kernel=None,
                dt=Real(0.5, "(0, 1]"),
                self_coupling=False,
                coupling=1.5,
                pattern_field=field,
                cue_field=field,
            ),
            use=solve,
            check=overlap,
        ),
        Recipe.drawn(
            0.2,
            dmft.DensePlasticNetwork,
            dict(
                load=load,
                units=hj.LogCosh(beta=4.0),
                n=Whole(2, 2, 4),
                kernel=None,
                dt=Real(0.5, "(0, 1]"),
                equal_indices=Fixed(False),
                pattern_field=field,
                cue_field=field,
            ),
            use=solve,
            check=overlap,
        ),
        Recipe.drawn(
            0.3, dmft.LeakyHebbian, dict(strength=0.5, tau=Real(4.0, "[1, inf)")), use=with_kernel, check=overlap
        ),
        Recipe.drawn(0.4, dmft.AccumulatingHebbian, dict(strength=0.5), use=with_kernel, check=overlap),
        Recipe.drawn(
            0.3, dmft.FunctionKernel, dict(fn=lambda t, s: jnp.exp(s - t), strength=0.5), use=with_kernel, check=overlap
        ),
        Recipe.drawn(
            0.25,
            dmft.TableKernel,
            dict(
                values=Array(table, fixed=(0, 1), constant=False, fits=lambda x: not np.any(np.triu(x))), strength=0.5
            ),
            use=with_kernel,
            check=overlap,
        ),
        Recipe.drawn(
            0.5,
            dmft.SpinCue,
            dict(overlap=Real(0.5, "[-1, 1]", vector=True)),
            use=lambda cue: solve(cue=cue),
            check=overlap,
        ),
        Recipe.drawn(
            0.3, dmft.GaussianCue, dict(amplitude=0.5, spread=0.25), use=lambda cue: solve(cue=cue), check=overlap
        ),
        Recipe(dmft.Clipped, {}, use=with_synapses, check=overlap),
        Recipe(dmft.Quantised, dict(bits=Whole(2, 1, 8)), use=with_synapses, check=overlap),
        Recipe(dmft.Ternary, dict(dead_zone=0.5), use=with_synapses, check=overlap),
        Recipe(
            dmft.Stepwise,
            dict(
                levels=Array(np.array([-1.5, 1.5]), fixed=(0,), fits=lambda x: x[0] == -x[1] < 0),
                thresholds=Array(np.zeros(1), fixed=(0,), fits=lambda x: abs(x[0]) < 1e-6),
            ),
            use=with_synapses,
            check=overlap,
        ),
        Recipe(
            dmft.Diluted,
            dict(connectivity=0.5, symmetric=False, synapses=Fixed(dmft.Clipped())),
            use=with_synapses,
            check=overlap,
        ),
        Recipe.drawn(0.3, dmft.Noisy, dict(variance=0.25, symmetry=0.5), use=with_synapses, check=overlap),
        Recipe(dmft.Euler, {}, use=with_scheme, check=overlap),
        Recipe(dmft.AdamsBashforth, {}, use=with_scheme, check=overlap),
        Recipe(hj.Glauber, dict(beta=2.0), use=with_units, check=overlap),
        Recipe.drawn(
            0.3,
            dmft.Adaptation,
            dict(units=Fixed(hj.LogCosh(beta=4.0)), strength=0.5, tau=Real(4.0, "[1, inf)")),
            use=with_units,
            check=overlap,
        ),
        Recipe.drawn(
            0.3,
            dmft.ShortTermPlasticity,
            dict(
                units=Fixed(hj.LogCosh(beta=4.0)),
                use=Real(0.25, "(0, 1]"),
                recovery=Real(4.0, "[1, inf)"),
                facilitation=None,
                bits=True,
                threshold=False,
            ),
            use=with_units,
            check=overlap,
        ),
        Recipe(
            hj.Elementwise,
            dict(fn=jnp.tanh, odd=False, potential=None, kinks=Array(np.array([-0.5, 0.5]), skip=("no entries",))),
            use=with_units,
            check=overlap,
        ),
        Recipe.drawn(
            0.3,
            dmft.solve,
            dict(
                model=model,
                cue=cue,
                num_steps=num_steps,
                key=Key(),
                num_samples=Whole(64, 1, 128, valid=lambda n: n & (n - 1) == 0),
                num_shifts=Whole(2, 1, 4),
                tolerance=Real(1e-3, "(0, 1)"),
                max_rank=Whole(None, 2, 8, none=True),
                check=False,
                max_bytes=Real(1e9, POSITIVE, traced=False),
                throw=False,
            ),
            check=overlap,
        ),
        Recipe(dmft.Along, {}),
        Recipe(
            dmft.Lines,
            dict(
                num_lines=Whole(16, 2, valid=lambda n: n & (n - 1) == 0, none=True),
                num_nodes=Whole(5, 3),
                num_halvings=Whole(1, 0),
                extrapolate=True,
            ),
        ),
        Recipe.drawn(
            0.3,
            dmft.slopes,
            dict(
                build=lambda p: (eqx.tree_at(lambda m: m.load, model, p["load"]), cue),
                parameters={"load": 0.1},
                key=Key(),
                num_shifts=Whole(2, 2, 3),
                throw=False,
                num_steps=2,
                num_samples=64,
            ),
            traced=False,
        ),
        Recipe(
            dmft.memory_needed,
            dict(
                model=model,
                cue=cue,
                num_steps=num_steps,
                num_samples=Whole(64, valid=lambda n: n & (n - 1) == 0),
                num_shifts=2,
                max_rank=Whole(None, 2, 8, none=True),
            ),
            check=all_within(0, np.inf),
        ),
        Recipe(
            dmft.simulation_memory_needed,
            dict(
                model=model,
                cue=cue,
                num_steps=num_steps,
                num_neurons=Whole(32, 2),
                num_trials=2,
                max_patterns=Whole(None, 1, none=True, valid=lambda n: n >= 4),
                batch_size=1,
            ),
            check=all_within(0, np.inf),
            traced=False,
        ),
        Recipe.drawn(
            0.3,
            dmft.simulate,
            dict(
                model=model,
                cue=cue,
                **simulation,
                max_patterns=Whole(None, 1, 16, none=True, valid=lambda n: n >= 4),
                asynchronous=False,
                response_times=Fixed(()),
            ),
            check=overlap,
        ),
        Recipe.drawn(
            0.3,
            dmft.crosstalk_noise,
            dict(model=model, cue=cue, theory=order, **{k: v for k, v in simulation.items() if k != "num_steps"}),
        ),
        Recipe(dmft.agreement, dict(theory=order, network=Thing(order, also={"another": other}))),
        Recipe(dmft.retrieved, dict(order=order, threshold=Real(0.5, traced=False)), traced=False),
        Recipe(dmft.final_overlap, dict(run=run, model=model, cue=cue)),
        Recipe.drawn(
            0.3,
            dmft.basin_boundary,
            dict(
                run=run, model=model, threshold=0.75, lower=Real(0.0, "[-1, 1]"), upper=Real(0.875, "[-1, 1]"), **bounds
            ),
            fits=lambda a: a["lower"] < a["upper"],
        ),
        Recipe.drawn(
            0.3,
            dmft.largest_load,
            dict(
                run=run,
                model=model,
                cue=dmft.SpinCue(0.75),
                threshold=0.75,
                lower=Real(0.0625, POSITIVE),
                upper=Real(0.5, POSITIVE),
                **bounds,
            ),
            fits=lambda a: a["lower"] < a["upper"],
        ),
        Recipe.drawn(
            0.3,
            dmft.scan_strength,
            dict(
                run=run,
                model=model,
                cue=cue,
                strengths=Array(np.array([0.25, 0.5]), constant=False, low=False),
                batch_size=1,
            ),
            ignore=tail,
        ),
        Recipe.drawn(
            0.3,
            dmft.optimal_strength,
            dict(
                run=lambda model, cue, key: solve(model, cue, key, num_shifts=1),
                model=model,
                cue=cue,
                key=Key(),
                num_repeats=Whole(2, 1, 3),
                lower=Real(0.0, traced=False),
                upper=Real(2.0, traced=False),
                num_strengths=Whole(3, 3, 4),
                num_rounds=Whole(1, 1, 2),
                progress=False,
                throw=False,
            ),
            traced=False,
            fits=lambda a: a["lower"] < a["upper"],
        ),
        Recipe(
            dmft.panel,
            dict(model=dmft.PlasticNetwork(load=0.1, units=hj.Sign()), cue=cue, num_steps=3, asynchronous=False),
            use=lambda p: p["first_step"].value,
            traced=False,
        ),
        Recipe(
            dmft.stationary,
            dict(model=model, branch=Thing(None, none=True, also={"upper": theory.Upper()}), throw=False),
            check=overlap,
        ),
    ]


# --- hj.theory ---


def closed_theory() -> list[Recipe]:
    units = Thing(hj.LogCosh(beta=4.0), also={"sharper": hj.LogCosh(beta=8.0)})
    load, cue_overlap, coupling = 0.1, Real(0.5, "[-1, 1]"), 1.5
    any_load = Real(0.25, POSITIVE, any_shape=True)
    overlap = within(".overlap", -1, 1)
    temperature = 0.25
    scsna = dict(
        units=units,
        strength=0.25,
        coupling=coupling,
        self_coupling=False,
        branch=Thing(theory.Maxwell(), also={"upper": theory.Upper()}),
        storage=theory.Hebbian(),
        threshold=0.125,
        throw=False,
    )
    phase = Thing(theory.Retrieval(), also={"spin glass": theory.SpinGlass()})
    return [
        Recipe(
            theory.first_step_overlap,
            dict(units=units, load=load, cue_overlap=cue_overlap, coupling=coupling, self_coupling=False),
            check=all_within(-1, 1),
        ),
        Recipe.drawn(
            0.4,
            theory.scsna,
            scsna | dict(load=load, initial=Real(0.75, "[-1, 1]"), max_steps=Whole(1024, 1, 2048)),
            check=overlap,
        ),
        Recipe.drawn(0.3, theory.critical_load, scsna, check=overlap),
        Recipe(
            hj.Glauber,
            dict(beta=4.0),
            use=lambda units: theory.scsna(units, 0.05, throw=False),
            check=overlap,
            title="Glauber at rest",
        ),
        Recipe(
            theory.Cue,
            dict(overlap=Real(0.5, "[-1, 1]")),
            use=lambda branch: theory.scsna(hj.LogCosh(beta=4.0), 0.1, strength=0.5, branch=branch, throw=False),
            check=overlap,
        ),
        Recipe(
            theory.Mixture,
            dict(num_condensed=3),
            use=lambda phase: theory.replica_state(0.001, 0.1, phase=phase, throw=False),
            check=overlap,
        ),
        Recipe(theory.replica_state, dict(load=load, temperature=temperature, phase=phase, throw=False), check=overlap),
        Recipe.drawn(
            0.3,
            theory.replica_branch,
            dict(
                temperature=temperature,
                phase=theory.Retrieval(),
                load=0.0625,
                step=Real(0.125, POSITIVE),
                num_steps=Whole(32, 1, 40),
                throw=False,
            ),
        ),
        Recipe.drawn(0.5, theory.phase_lines, dict(temperature=temperature, mixture=theory.Mixture(3))),
        Recipe.drawn(
            0.3,
            theory.phase_diagram,
            dict(
                loads=Array(np.array([0.03, 0.2]), POSITIVE, low=False),
                temperatures=Array(np.array([0.25, 0.75]), NONNEGATIVE, low=False),
            ),
            flag=lambda x: np.any(x.arrays[".region"] < 0),
        ),
        Recipe(
            theory.covariance_state,
            dict(
                load=load,
                activity=Real(0.25, "(0, 1)"),
                threshold=0.5,
                resting=-0.25,
                max_steps=Whole(512, 1, 1024),
                throw=False,
            ),
        ),
        Recipe(theory.covariance_capacity, dict(activity=Real(0.25, "(0, 1)"), resting=-0.25, throw=False)),
        Recipe(
            theory.okada_hierarchy,
            dict(load=load, cue_overlap=cue_overlap, num_steps=Whole(3, 0), order=2, throw=False),
            check=overlap,
        ),
        Recipe(
            theory.overlap_dynamics,
            dict(
                units=units,
                load=load,
                cue_overlap=cue_overlap,
                storage=Thing(theory.Sequence(), also={"diluted": theory.Diluted()}),
                num_steps=Whole(3, 0),
                coupling=coupling,
                throw=False,
            ),
            check=overlap,
        ),
        Recipe(
            theory.palimpsest_overlap,
            dict(decay=Real(8.0, POSITIVE), age=Real(0.25, NONNEGATIVE)),
            check=all_within(0, 1),
        ),
        Recipe(theory.palimpsest_oldest_age, dict(decay=Real(8.0, POSITIVE)), check=all_within(0, np.inf)),
        Recipe(theory.critical_slope, dict(load=any_load, self_coupling=False)),
        Recipe(
            theory.marchenko_pastur_density,
            dict(eigenvalue=Real(1.5, any_shape=True), load=any_load),
            check=all_within(0, np.inf),
        ),
        Recipe(theory.marchenko_pastur_edges, dict(load=any_load), check=all_within(0, np.inf)),
        Recipe(theory.zero_mass, dict(load=any_load), check=all_within(0, 1)),
    ]


# --- hj.classical ---


def classical_networks() -> list[Recipe]:
    patterns = jnp.asarray([[1, 1, 1, -1, -1, -1, 1, -1], [1, -1, 1, 1, -1, 1, -1, -1.0]])
    cue = patterns[0].at[0].set(-1)
    hebb = classical.hebbian(patterns)
    network = classical.BinaryNetwork(hebb)
    memories = Array(patterns, fixed=(1,), fits=_signed)

    def settled(couplings: Any) -> Any:
        found = classical.retrieve(classical.BinaryNetwork(couplings), patterns, cue, num_steps=2, throw=False)
        return found.overlap, found.state, found.result, couplings.field(cue)

    tiny = np.finfo(np.float32).tiny  # what is smaller is zero to XLA
    spins = Array(cue, fixed=(0,), fits=lambda x: np.all(np.isin(np.where(np.abs(x) < tiny, 0, x), (-1, 0, 1))))
    stored = Array(patterns, fixed=(1,), fits=lambda x: np.all(np.isin(x, (-1, 1))))
    signs = Array(patterns, fixed=(1,), fits=lambda x: np.all(np.abs(x) == 1))
    symmetric = np.asarray(hebb.matrix())
    ring = np.stack([np.roll(np.arange(8), 1), np.roll(np.arange(8), -1)], axis=1)
    layer = hj.Layer(hj.LogCosh(beta=2.0))
    euler = lambda network: _euler(network, 0.5 * cue)  # noqa: E731
    options: dict[str, Any] = {"order": classical.Synchronous(), "num_steps": 4}
    recall = lambda p, n, key: classical.recall(classical.hebbian, p, n, key=key, **options)  # noqa: E731
    from_cue = lambda m, n, key: classical.recall(classical.hebbian, 1, n, m, key=key, **options)  # noqa: E731
    sizes = Thing((8, 16), wrong=("None", "3.5", "a string", "an object"), also={"a list": [8, 16]})
    draws = dict(
        num_trials=Whole(4, 2, 8),
        threshold=Real(0.75, traced=False),
        exponent=Real(0.5, POSITIVE, traced=False),
        batch_size=1,
        key=Key(),
        throw=False,
    )
    three = np.array([100.0, 200.0, 400.0])
    return [
        Recipe(
            classical.hebbian,
            dict(
                patterns=Array(patterns, fixed=(0, 1), fits=_signed),
                weights=Array(np.array([1.0, 0.5]), fixed=(0,)),
                self_coupling=False,
            ),
            use=settled,
        ),
        Recipe(classical.covariance, dict(patterns=stored, coding=classical.Spins(), self_coupling=False), use=settled),
        Recipe(
            classical.palimpsest,
            dict(patterns=memories, decay=Real(2.0, NONNEGATIVE), self_coupling=False),
            use=settled,
        ),
        Recipe(
            classical.pseudo_inverse,
            dict(
                patterns=Array(patterns, fixed=(1,), fits=lambda x: np.linalg.matrix_rank(x) == len(x) and _signed(x)),
                self_coupling=False,
            ),
            use=settled,
        ),
        Recipe(
            classical.dreaming,
            dict(patterns=memories, strength=Real(2.0, "[0, inf]"), self_coupling=False),
            use=settled,
            fits=lambda a: np.isfinite(a["strength"]) or np.linalg.matrix_rank(a["patterns"]) == len(a["patterns"]),
        ),
        *(
            Recipe.drawn(
                0.3,
                rule,
                dict(
                    patterns=signs,
                    num_dreams=Whole(2, 0, 4),
                    rate=Real(0.25, POSITIVE),
                    order=Thing(classical.Synchronous(), also={"another": classical.Asynchronous()}),
                    key=Key(),
                ),
                title=f"classical.{name}",
                use=settled,
            )
            for name, rule in (("unlearning", classical.unlearning), ("daydreaming", classical.daydreaming))
        ),
        Recipe(
            classical.perceptron,
            dict(patterns=signs, margin=Real(0.25, NONNEGATIVE), max_sweeps=Whole(8, 1, 16)),
            use=settled,
        ),
        Recipe(
            classical.sequence,
            dict(
                patterns=Array(patterns, fixed=(1,), fits=lambda x: len(x) > 1 and _signed(x)),
                cyclic=True,
                self_coupling=False,
            ),
            use=settled,
        ),
        Recipe(classical.storkey, dict(patterns=memories), use=settled),
        Recipe(
            classical.dilute,
            dict(couplings=hebb, num_neighbours=Whole(4, 1, largest=7), symmetric=False, key=Key()),
            use=settled,
        ),
        Recipe(classical.DenseCouplings, dict(weights=symmetric, symmetric=False), use=settled),
        Recipe(
            classical.OuterProducts,
            dict(
                left=patterns.T,
                right=Array(patterns.T, fixed=(0, 1), none=True),
                weights=Array(np.array([1.0, 0.5]), fixed=(0,), none=True),
                self_coupling=False,
            ),
            use=settled,
        ),
        Recipe(
            classical.SparseCouplings,
            dict(neighbours=Indices(ring, 8, fixed=(0, 1)), weights=np.ones((8, 2)), symmetric=False),
            use=settled,
        ),
        Recipe(
            classical.Spins,
            dict(mean=Real(0.0, "(-1, 1)")),
            use=lambda coding: classical.retrieve(
                classical.BinaryNetwork(hebb, coding=coding), patterns, cue, num_steps=2, throw=False
            ),
        ),
        Recipe(
            classical.Bits,
            dict(mean=Real(0.5, "(0, 1)")),
            use=lambda coding: classical.retrieve(
                classical.BinaryNetwork(classical.covariance((patterns + 1) / 2, coding), coding=coding),
                (patterns + 1) / 2,
                (cue + 1) / 2,
                num_steps=2,
                throw=False,
            ),
        ),
        Recipe(
            classical.BinaryNetwork,
            dict(couplings=hebb, threshold=0.5 * np.ones(8), temperature=0.5, coding=classical.Spins()),
            use=lambda n: classical.retrieve(n, patterns, cue, num_steps=2, key=jr.key(0), throw=False),
            check=within(".overlap", -1, 1),
        ),
        Recipe(classical.GradedNetwork, dict(couplings=hebb, layer=layer), use=euler),
        Recipe(classical.GradedEnergyNetwork, dict(couplings=hebb, layer=layer), use=euler),
        Recipe(
            classical.Asynchronous,
            dict(repeats=False, block_size=Whole(4, 1, 16)),
            use=lambda order: classical.retrieve(
                network, patterns, cue, num_steps=2, order=order, key=jr.key(0), throw=False
            ),
            check=within(".overlap", -1, 1),
        ),
        Recipe(
            classical.retrieve,
            dict(
                network=network,
                patterns=stored,
                cue=spins,
                num_steps=Whole(2, 1, 8),
                order=classical.Synchronous(),
                key=Key(None, needed=False),
                throw=False,
            ),
            check=within(".overlap", -1, 1),
        ),
        Recipe(
            classical.settle,
            dict(
                network=network,
                cue=spins,
                num_steps=Whole(2, 1, 8),
                order=classical.Synchronous(),
                key=Key(None, needed=False),
            ),
            check=of_entries(-1, 0, 1),
        ),
        Recipe(
            classical.recall,
            dict(
                rule=Thing(classical.hebbian, also={"storkey": classical.storkey}),
                num_patterns=2,
                num_neurons=Whole(8, 2),
                cue_overlap=Real(0.5, "[-1, 1]"),
                temperature=0.5,
                num_steps=Whole(4, 1, 8),
                order=classical.Synchronous(),
                key=Key(),
            ),
            check=all_within(-1, 1),
        ),
        Recipe(
            classical.capacity,
            dict(
                run=recall,
                loads=Array(np.array([0.125, 0.5, 6.0]), POSITIVE, increasing=True, constant=False, low=False),
                num_neurons=sizes,
                **draws,
            ),
            traced=False,
        ),
        Recipe(
            classical.basin,
            dict(
                run=from_cue,
                cue_overlaps=Array(np.array([-0.5, 0.0, 0.5]), "[-1, 1]", increasing=True, constant=False, low=False),
                num_neurons=sizes,
                name=Fixed("cue"),
                **draws,
            ),
            traced=False,
        ),
        Recipe(
            classical.finite_size,
            dict(
                num_neurons=Array(three, POSITIVE, fixed=(0,), constant=False, low=False),
                values=Array(0.25 + 2 / three, fixed=(0,)),
                errors=Array(np.array([0.5, 0.25, 0.25]), POSITIVE, fixed=(0,)),
                exponent=Real(1.0, POSITIVE),
            ),
        ),
    ]


# --- hj.sweep ---


def sweeps() -> list[Recipe]:
    grid = sweep.Grid(x=np.array([0.25, 0.5]))
    undecided = lambda answer: np.any(answer.arrays["['result']"] != 0)  # noqa: E731
    point = lambda x: {"y": x**2}  # noqa: E731
    plain = dict(
        point=point,
        grid=grid,
        key=Key(None, needed=False),
        block_size=Whole(2, 1, none=True),
        memory=Real(1e6, "(0, inf]", none=True, traced=False),
        devices=None,
    )
    options = dict(
        store=Thing(None, none=True, wrong=("None", "3.5", "an object", "a list")),
        blocks_per_task=1,
        executor=None,
        attributes=None,
        describe=None,
        random_axes=Thing(None, none=True, wrong=("None", "3.5", "a string", "an object")),
        cost=None,
        progress=False,
    )
    axis = Array(np.array([0.25, 0.5, 0.75]), increasing=True, constant=False, skip=("a dictionary",))
    return [
        Recipe(sweep.Grid, dict(x=axis), use=lambda grid: sweep.run(point, grid, progress=False), traced=False),
        Recipe(sweep.run, plain | options, traced=False),
        Recipe(
            sweep.plan, plain, use=lambda plan: {"points": plan.num_points, "blocks": plan.num_blocks}, traced=False
        ),
        Recipe(
            sweep.boundary,
            dict(
                predicate=lambda *keyed, x, p: p - x,
                grid=grid,
                along=Fixed("p"),
                lower=Real(0.0, traced=False),
                upper=Real(1.0, traced=False),
                num_iterations=4,
                key=Key(None, needed=False),
                progress=False,
            ),
            fits=lambda a: a["lower"] < 0.25 and a["upper"] > 0.5,
            traced=False,
            flag=undecided,
        ),
        Recipe(
            sweep.Bisection,
            dict(
                predicate=lambda x, p: p - x,
                along=Fixed("p"),
                lower=Real(0.0, traced=False),
                upper=Real(1.0, traced=False),
                num_iterations=4,
            ),
            use=lambda point: sweep.run(point, grid, progress=False),
            fits=lambda a: a["lower"] < 0.25 and a["upper"] > 0.5,
            traced=False,
            flag=undecided,
        ),
        Recipe(
            sweep.open,
            dict(store=Thing(_a_store(), wrong=("None", "3.5", "a string", "an object", "a list"))),
            traced=False,
        ),
    ]


def _a_store() -> str:
    import tempfile

    folder = tempfile.mkdtemp()
    sweep.run(lambda x: {"y": x}, sweep.Grid(x=np.array([0.25, 0.5])), store=f"{folder}/store", progress=False)
    return f"{folder}/store"


AREAS: dict[str, Callable[[], list[Recipe]]] = {
    "hj": foundations,
    "associative": associative_memories,
    "sequential": sequences,
    "dmft": mean_field,
    "theory": closed_theory,
    "classical": classical_networks,
    "sweep": sweeps,
}
