"""The replica-symmetric phase diagram, against damped iteration in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from baselines import numpy_replica
from problems import Baseline, Bench, Call, Problem, Scaling

import hopfield_jax as hj


def benches(options) -> list[Bench]:
    return [replica(40, 20) if options.quick else replica(200, 20), lines(100)]


def scalings(options) -> list[Scaling]:
    return []


def replica(side: int, every: int) -> Bench:
    picks = np.arange(every // 2, side, every)

    def make() -> Problem:
        loads, temperatures = jnp.linspace(0.001, 0.2, side), jnp.linspace(0.005, 1.5, side)

        def ours(loads, temperatures):
            found = hj.theory.phase_diagram(loads, temperatures)
            return found.region, found.overlap, found.free_energy

        def by_numpy():
            points = [(float(loads[j]), float(temperatures[i])) for i in picks for j in picks]
            found = np.array([numpy_replica.phase_point(*point)[:2] for point in points])
            return found.reshape(len(picks), len(picks), 2)

        def apart(ours, theirs) -> float:
            """Of overlaps and free energies where there is retrieval; infinite if phases differ anywhere."""
            region, overlap, energy = (x[np.ix_(picks, picks)] for x in ours)
            retrieved = theirs[..., 0] > 1e-3
            if np.any(retrieved != (region >= 2)):
                return float("inf")
            both = np.stack([overlap, energy], axis=-1)
            return float(np.max(np.abs(both - theirs)[retrieved]))

        side_of = Call(by_numpy, compiled=False, part=len(picks) ** 2 / side**2)
        # The iteration stops at changes of 1e-10, at worst far from its limit where it converges slowly.
        numpy = Baseline(f"NumPy, damped iteration, {len(picks) ** 2} points, scaled", side_of, apart, 1e-6)
        return Problem(Call(ours, (loads, temperatures)), (numpy,))

    what = "Replica-symmetric phase diagram"
    return Bench("replica", what, f"{side} × {side} points, float64", make, count=side**2, unit="point", wide=True)


def lines(number: int, temperature: float = 0.5) -> Bench:
    """The loads at which retrieval ends, over temperatures; NumPy finds one of them by bisection of its iteration."""
    at = number // 2

    def make() -> Problem:
        temperatures = jnp.linspace(0.05, 0.95, number).at[at].set(temperature)

        def by_numpy() -> float:
            lower, upper = 0.001, 0.15
            for _ in range(10):
                middle = 0.5 * (lower + upper)
                retrieved = numpy_replica.iterate(middle, temperature, 1.0)[0] > 1e-3
                lower, upper = (middle, upper) if retrieved else (lower, middle)
            return 0.5 * (lower + upper)

        ours = Call(lambda t: jax.vmap(hj.theory.phase_lines)(t).retrieval, (temperatures,))
        side = Call(by_numpy, compiled=False, part=1 / number)
        # A bracket of 0.15/2^10.
        numpy = Baseline("NumPy, bisection at one of them, scaled", side, lambda a, b: abs(float(a[at]) - b), 2e-4)
        return Problem(ours, (numpy,))

    what = "Replica-symmetric phase lines"
    return Bench("lines", what, f"{number} temperatures, float64", make, count=number, unit="temperature", wide=True)
