"""Convergence tables of docs/numerics.md: `python benchmarks/numerics.py` (about ten minutes on two cores; `--quick`).

Prints Markdown. Every number is measured; references are finer runs of the same thing, or closed forms.
"""

import argparse
import dataclasses

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

import hopfield_jax as hj

D, S = hj.dmft, hj.sequential
KEY = jax.random.key(0)


def table(title, header, rows):
    print(f"\n## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def network(load=0.12, strength=0.3, dt=1.0, beta=4.0):
    return D.PlasticNetwork(load=load, units=hj.LogCosh(beta), kernel=D.LeakyHebbian(strength, tau=5.0), dt=dt)


def paths(quick):
    """Quasi-random paths, at the edge of a basin (α = 0.12, m₀ = 0.4, β = 4, λ = 0.3, step 19)."""
    sizes = [2**n for n in ((8, 10) if quick else range(8, 17, 2))]
    cue, steps = D.SpinCue(0.4), 19
    runs = [D.solve(network(), cue, num_steps=steps, num_samples=n, num_shifts=8, key=KEY) for n in sizes]
    best = float(runs[-1].overlap[-1])
    rows = [
        [f"{n}", f"{run.overlap[-1]:.5f}", f"{run.overlap_error[-1]:.5f}", f"{run.overlap[-1] - best:+.5f}"]
        for n, run in zip(sizes, runs, strict=True)
    ]
    table(
        "Paths of mean-field theory",
        ["paths (8 randomisations)", "m after 19 steps", "standard error", "from the largest"],
        rows,
    )


def tolerance(quick):
    """What is dropped of the outputs, and single against double precision, on the hardest line (α = 0.12, m₀ = 0.4,
    λ = 0), and where outputs settle (α = 0.1, m₀ = 0.5, λ = 0.3)."""
    samples, rows = 1024 if quick else 16384, []
    for load, cue, strength, num_steps in ((0.12, 0.4, 0.0, 19), (0.1, 0.5, 0.3, 59)):
        for value in (1e-1, 1e-2, 1e-3, 1e-4):
            row = [f"{load:g}, {cue:g}, {strength:g}", f"{num_steps}", f"{value:g}"]
            for double in (False, True):
                with jax.enable_x64(double):
                    model = network(load, strength)
                    options = {"num_samples": samples, "key": jax.random.key(0), "tolerance": value}
                    run = D.solve(model, D.SpinCue(cue), num_steps=num_steps, **options)
                row.append(f"{run.overlap[-1]:.5f} ± {run.overlap_error[-1]:.5f}")
            rows.append([*row, f"{run.rank}"])
    header = ["α, m₀, λ", "steps", "tolerance", "m, float32", "m, float64", "rank"]
    table("Tolerance of mean-field theory", header, rows)


def step(quick):
    """Continuous time: overlap at t = 1 and 4 (α = 0.1, m₀ = 0.5, β = 4, λ = 0.3) against the step."""
    steps = (0.5, 0.25) if quick else (0.5, 0.25, 0.125, 0.0625, 0.03125)
    samples, rows = 1024 if quick else 16384, []
    for dt in steps:
        row = [f"{dt:g}"]
        for scheme in (D.Euler(), D.AdamsBashforth()):
            model = dataclasses.replace(network(0.1, dt=dt), scheme=scheme)
            run = D.solve(model, D.SpinCue(0.5), num_steps=round(4 / dt), num_samples=samples, key=KEY)
            row += [f"{run.overlap[round(t / dt)]:.5f} ± {run.overlap_error[round(t / dt)]:.5f}" for t in (1, 4)]
        rows.append(row)
    header = ["dt", "Euler, t = 1", "t = 4", "Adams–Bashforth, t = 1", "t = 4"]
    table("Step of continuous time", header, rows)


def steps(quick):
    """Updates until the network rests (fixed synapses), against the stationary theory, which has no time."""
    rows = []
    for load in (0.1, 0.11):
        rest = float(hj.theory.scsna(hj.LogCosh(4.0), load).overlap)
        for num_steps in (10, 20) if quick else (10, 20, 40, 80):
            model, options = network(load, 0.0), {"num_samples": 1024 if quick else 8192, "key": KEY}
            run = D.solve(model, D.SpinCue(0.6), num_steps=num_steps, num_shifts=8, **options)
            end, error = float(run.overlap[-1]), float(run.overlap_error[-1])
            rows.append([f"{load:g}", f"{num_steps}", f"{end:.5f} ± {error:.5f}", f"{end - rest:+.5f}"])
    table("Number of steps", ["α", "steps", "m at the last", "from the state at rest"], rows)


def sizes(quick):
    """Networks of finite size against the theory at the same P/N (α = 0.1, m₀ = 0.5, β = 4, λ = 0.3)."""
    rows = []
    for size in (500, 1000) if quick else (500, 1000, 2000, 4000, 8000):
        trials = max(4, 64_000 // size)
        options = {"num_steps": 5, "key": KEY}
        run = D.simulate(network(0.1), D.SpinCue(0.5), num_neurons=size, num_trials=trials, **options)
        theory = D.solve(network(0.1), D.SpinCue(0.5), num_samples=4096, **options)
        apart = [f"{run.overlap[t] - theory.overlap[t]:+.4f} ± {run.overlap_error[t]:.4f}" for t in (1, 5)]
        rows.append([f"{size}", f"{trials}", *apart])
    table("Finite size", ["N", "networks", "m₁ from the theory", "m₅ from the theory"], rows)


def sequences(quick):
    """Settled period of a cycle of eight at κ = 5, τ_f = ε_in = 0.01, against the tolerance of the solver."""
    cycle = S.InputDrivenNetwork(
        hj.hadamard_patterns(8, 64), gain=5.0, transitions=S.cycle(8), tau_fast=0.01, input_coupling=0.01
    )

    def period(**options):
        return float(S.retrieve_sequence(cycle, saliency=5.0, t1=10.0, **options).period)

    rows = []
    for tolerance in (1e-3, 1e-4, 1e-5) if quick else (1e-3, 1e-4, 1e-5, 1e-6):
        control = dfx.PIDController(rtol=tolerance, atol=tolerance)
        rows.append([
            f"{tolerance:g}", f"{period(stepsize_controller=control):.5f}",
            f"{period(solver=S.ExactDwell(rtol=tolerance, atol=tolerance)):.5f}",
        ])  # fmt: skip
    table("Sequences: tolerance", ["tolerance", "period, Tsit5", "period, ExactDwell"], rows)
    fast = [(e, S.InputDrivenNetwork(cycle.patterns, 5.0, S.cycle(8), tau_fast=e, input_coupling=e * e)) for e in
            ((0.02, 0.01) if quick else (0.02, 0.01, 0.005, 0.0025))]  # fmt: skip
    limit = float(S.period(5.0))
    runs = [(e, float(S.retrieve_sequence(n, saliency=5.0, t1=10.0, solver=S.ExactDwell()).period)) for e, n in fast]
    table(
        "Sequences: fast neurons, ε_in = ε²",
        ["ε = τ_f/τ_s", "period", "above log Z₊", "divided by ε log(1/ε)"],
        [[f"{e:g}", f"{p:.4f}", f"{p - limit:.4f}", f"{(p - limit) / (e * np.log(1 / e)):.2f}"] for e, p in runs],
    )


def statics(quick):
    """Critical loads in the default float type against closed forms or float64."""
    exact = {"sign (closed form)": (hj.Sign(), 0.1379055665), "tanh, β = 4": (hj.LogCosh(4.0), 0.1185389)}
    rows = []
    for name, (units, value) in exact.items():
        found = float(hj.theory.critical_load(units).load)
        rows.append([name, f"{found:.8f}", f"{found - value:+.1e}"])
    table(f"Critical loads in {jnp.zeros(()).dtype}", ["units", "α_c", "from the reference"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Convergence tables, in Markdown.")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick = parser.parse_args().quick
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {jnp.zeros(()).dtype}")
    for part in (paths, tolerance, step, steps, sizes, sequences, statics):
        part(quick)
