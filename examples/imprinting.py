# %% [markdown]
# # When does plasticity imprint the cue instead of the pattern?
#
# Strong plasticity stores the initial state in the synapses. The final overlap with the cue rises with the strength λ;
# that with the pattern first rises, then falls to the cue's own m_0: the cue is imprinted. In between is the best
# strength (Hara and Kabashima 2026). Theory and simulation.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import hopfield_jax as hj
from hopfield_jax import plot

D = hj.dmft
parser = argparse.ArgumentParser(description="When does plasticity imprint the cue instead of the pattern?")
parser.add_argument("--quick", action="store_true", help="fewer strengths and paths, smaller networks")
parser.add_argument("--output", default="imprinting.png", help="file of the figure")
options = parser.parse_args()
num_steps, num_samples = (20, 1024) if options.quick else (60, 8192)
num_neurons, num_trials = (300, 2) if options.quick else (2000, 6)
strengths = jnp.array([0.5, 2, 16.0] if options.quick else [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64])
key = jax.random.key(0)
settings = [(0.12, 0.4), (0.16, 0.8)]


def theory(model, cue):
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, num_shifts=2, key=key, throw=False)


def simulation(model, cue):
    return D.simulate(
        model, cue, num_steps=num_steps, num_neurons=num_neurons, num_trials=num_trials, max_patterns=num_neurons // 5,
        key=key, throw=False,
    )  # fmt: skip


# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, (load, cue) in zip(axes, settings, strict=True):
    model = D.PlasticNetwork(load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(1.0, tau=5.0))
    scan = D.scan_strength(theory, model, D.SpinCue(cue), strengths)
    seen = D.scan_strength(simulation, model, D.SpinCue(cue), strengths)
    print(f"α = {load}, m_0 = {cue}, tanh, β = 4, τ_A = 5, {num_steps} steps; N = {num_neurons}, {num_trials} networks")
    print("      λ   pattern (theory, simulation)    cue (theory, simulation)")
    for i, strength in enumerate(strengths):
        print(
            f"{strength:7.3f}   {scan.overlap[i]:.3f}   {seen.overlap[i]:.3f} ± {seen.overlap_error[i]:.3f}       "
            f"{scan.cue_overlap[i]:.3f}   {seen.cue_overlap[i]:.3f} ± {seen.cue_overlap_error[i]:.3f}"
        )
    print(f"best λ on the grid {scan.best:.3g}, within errors from {scan.best_lower:.3g} to {scan.best_upper:.3g}")
    plot.strength_scan(scan, ax=ax)
    ax.errorbar(seen.strength, seen.overlap, seen.overlap_error, fmt="o", color="C0", markersize=4)
    ax.errorbar(seen.strength, seen.cue_overlap, seen.cue_overlap_error, fmt="s", color="C1", markersize=4)
    ax.set_xscale("log")
    ax.title.set_text(f"α = {load}, $m_0$ = {cue}; points: {num_trials} networks of {num_neurons} neurons")
figure.savefig(options.output, dpi=150)
