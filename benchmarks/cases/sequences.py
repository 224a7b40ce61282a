"""Sequences of retrievals at many gains, against SciPy; saliency maps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from baselines import scipy_networks
from limits import Work
from problems import Baseline, Bench, Call, Problem, Scaling, largest

import hopfield_jax as hj

S = hj.sequential
T1, TAU, COUPLING = 20.0, 0.01, 0.01
CHECKED = np.array([4.25, 4.75, 5.25, 5.75])  # gains that SciPy is asked for


def benches(options) -> list[Bench]:
    number = 64 if options.quick else 512
    solvers = {"adaptive steps": None, "exact dwells": S.ExactDwell(), "exact dwells at 1e-4": S.ExactDwell(1e-4, 1e-5)}
    chosen = list(solvers)[1:2] if options.quick else list(solvers)
    return [*(scan(number, name, solvers[name]) for name in chosen), maps(10**5 if options.quick else 10**6)]


def scalings(options) -> list[Scaling]:
    return []


def scan(number: int, name: str, solver) -> Bench:
    """The last dwell time at every gain; four of the gains are those that SciPy is asked for."""

    def make() -> Problem:
        gains = np.sort(np.concatenate([np.linspace(3.0, 6.0, number - len(CHECKED)), CHECKED])).astype(np.float32)
        where = np.searchsorted(gains, CHECKED)
        patterns = hj.hadamard_patterns(8, 64)
        model = S.InputDrivenNetwork(patterns, 5.0, S.cycle(8), tau_fast=TAU, input_coupling=COUPLING)

        def ours(gains):
            return S.scan_gains(model, gains, t1=T1, solver=solver).period

        def by_scipy(method: str):
            host = np.asarray(patterns, float)
            return np.array([scipy_networks.last_dwell(host, gain, TAU, COUPLING, T1, method) for gain in CHECKED])

        # Tolerances of 1e-3 a step (the default) or 1e-4, relative to states of order gain, in dwells of order one.
        apart = lambda found, dwells: largest(found[where], dwells)  # noqa: E731
        part = len(CHECKED) / number
        return Problem(
            Call(ours, (jnp.asarray(gains),)),
            tuple(
                Baseline(
                    f"SciPy, {method} at rtol 1e-6, {len(CHECKED)} gains above 4.2, scaled",
                    Call(functools.partial(by_scipy, method), compiled=False, part=part),
                    apart,
                    1e-3,
                )
                for method in ("RK45", "LSODA")[: 1 + (solver is None)]  # the slower one once
            ),
        )

    size = f"{number} gains, N = 64, P = 8, t = {T1:g}"
    return Bench("sequences", f"Sequences of retrievals, {name}", size, make, count=number, unit="gain")


def maps(number: int, steps: int = 100) -> Bench:
    """Two logarithms or exponentials a step, counted as ten operations each: a rate to compare machines by."""

    def make() -> Problem:
        gains = jnp.linspace(3.0, 6.0, number)

        def iterated(gain):
            return jax.lax.fori_loop(0, steps, lambda i, z: S.saliency_map(gain, z), gain, unroll=10)

        closed = Call(lambda gain: S.iterate(gain, gain, steps), (gains,))

        # Below the critical gain of 4 both end at no number or leave the map, at the last step or one sooner by
        # rounding; above it the map contracts, so that rounding (float32) does not grow.
        def apart(ours, theirs):
            return largest(ours[gains > 4.1], theirs[gains > 4.1])

        return Problem(Call(iterated, (gains,)), (Baseline("our own closed form", closed, apart, 1e-3, rival=False),))

    work = Work(flops=20.0 * number * steps, bytes=8.0 * number)
    return Bench("maps", f"Saliency maps of {steps} iterations", f"{number} gains", make, work)
