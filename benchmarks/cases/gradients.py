"""What derivatives of mean-field theory cost, beside the solution itself."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from problems import Baseline, Bench, Call, Problem, Scaling

import hopfield_jax as hj

D = hj.dmft


def benches(options) -> list[Bench]:
    sizes = ((10, 1024),) if options.quick else ((30, 8192), (100, 8192))
    forwards = [forward(*size, rule) for size in sizes for rule in (D.Along(), D.Lines())]
    return [*forwards, *(reverse(*size) for size in sizes), largest_load(3 if options.quick else 10)]


def scalings(options) -> list[Scaling]:
    return []


def _final(num_steps: int, num_samples: int, rule: D.Along | D.Lines):
    """The last overlap, as a function of a strength and of the kernel's hundred lags.

    Plasticity is weak, because strong one makes jumps that no derivative sees, and the cue is well inside the basin,
    because its edge magnifies rounding: in both cases differences would be no check.
    """
    lags = np.subtract.outer(np.arange(num_steps + 1), np.arange(num_steps + 1))

    def final(strength, kernel):
        table = jnp.where(lags > 0, strength * kernel[np.clip(lags - 1, 0, 99)], 0)
        model = D.PlasticNetwork(0.1, hj.LogCosh(beta=4.0), kernel=D.TableKernel(table))
        sizes: dict[str, Any] = {"num_steps": num_steps, "num_samples": num_samples, "num_shifts": 2}
        return D.solve(model, D.SpinCue(0.6), key=jr.key(0), throw=False, derivative=rule, **sizes).overlap[-1]

    return final, (jnp.asarray(0.1), 0.2 * 0.8 ** jnp.arange(100.0))


def _relative(a, b) -> float:
    return float(abs(a - b) / abs(b))


def _alone(final, strength, kernel) -> Baseline:
    solution = Call(final, (strength, kernel))
    return Baseline("the solution alone", solution, lambda a, b: _relative(a[0], b), 1e-4, rival=False)


def forward(num_steps: int, num_samples: int, rule: D.Along | D.Lines) -> Bench:
    """One derivative; it is checked against a central difference."""
    by_lines = isinstance(rule, D.Lines)

    def make() -> Problem:
        final, (strength, kernel) = _final(num_steps, num_samples, rule)
        step = jnp.asarray(0.01)
        # Along paths, in float32: rounding of some 1e-6 by a difference of 1e-3, and the curvature over it; after 100
        # steps differences scatter by 4 % with their width. Lines have a sampling error of their own, of some per cent.
        tolerance = 0.1 if by_lines else 5e-3 if num_steps <= 30 else 0.05
        differences = Call(lambda s, k: (final(s + step, k) - final(s - step, k)) / (2 * step), (strength, kernel))
        return Problem(
            Call(lambda s, k: jax.jvp(lambda s: final(s, k), (s,), (jnp.ones_like(s),)), (strength, kernel)),
            (
                _alone(final, strength, kernel),
                Baseline("central difference", differences, lambda a, b: _relative(a[1], b), tolerance),
            ),
        )

    what = f"One derivative {'by lines' if by_lines else 'along paths'}, forward mode"
    return Bench("gradient", what, _size(num_steps, num_samples), make)


def reverse(num_steps: int, num_samples: int) -> Bench:
    """A hundred derivatives; their product with the kernel is checked against forward mode, along the kernel."""

    def make() -> Problem:
        final, (strength, kernel) = _final(num_steps, num_samples, D.Lines())
        apart = lambda a, b: _relative(a[1] @ np.asarray(kernel), b)  # noqa: E731
        along = Call(lambda s, k: jax.jvp(lambda k: final(s, k), (k,), (k,))[1], (strength, kernel))
        return Problem(
            Call(jax.value_and_grad(final, argnums=1), (strength, kernel)),
            (
                _alone(final, strength, kernel),
                # float32: two orders of summation over a hundred lags and thousands of paths.
                Baseline("one derivative, forward", along, apart, 1e-2, rival=False),
            ),
        )

    return Bench("gradient", "100 derivatives, reverse mode", _size(num_steps, num_samples), make)


def largest_load(num_steps: int, num_samples: int = 8192) -> Bench:
    """The load up to which a cue is retrieved, and its slope by the strength of plasticity."""

    def make() -> Problem:
        def run(model, cue):
            sizes: dict[str, Any] = {"num_steps": num_steps, "num_samples": num_samples, "num_shifts": 1}
            return D.solve(model, cue, key=jr.key(0), throw=False, **sizes)

        def load(strength):
            model = D.PlasticNetwork(0.1, hj.LogCosh(4.0), kernel=D.LeakyHebbian(strength, 5.0))
            return D.largest_load(run, model, D.SpinCue(0.7), throw=False).value

        strength, step = jnp.asarray(0.3), jnp.asarray(0.05)
        differences = Call(lambda s: (load(s + step) - load(s - step)) / (2 * step), (strength,))
        return Problem(
            Call(jax.value_and_grad(load), (strength,)),
            (
                Baseline("the load alone", Call(load, (strength,)), lambda a, b: abs(a[0] - b), 1e-5, rival=False),
                # The slope's own sampling error, which differences do not have: up to 0.004 of 0.118 with three keys.
                Baseline("central difference", differences, lambda a, b: abs(a[1] - b), 1e-2),
            ),
        )

    return Bench("largest load", "Largest load and its slope", f"{num_steps} steps, {num_samples} paths", make)


def _size(num_steps: int, num_samples: int) -> str:
    return f"{num_steps} steps, 2 × {num_samples} paths"
