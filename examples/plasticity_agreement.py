# %% [markdown]
# # Does mean-field theory predict networks whose synapses are plastic?
#
# Dynamical mean-field theory (Hara and Kabashima 2026) follows one site of an infinite network. Here it is compared
# with networks of finite size, over loads α and strengths λ of the plasticity. The theory gets the realised load and
# cue overlap of the network; the integrated squared difference of the overlaps, Σ_t (m_t − m̂_t)², is compared with its
# expectation from the standard errors alone.

# %%
import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

D = hj.dmft
parser = argparse.ArgumentParser(description="Does mean-field theory predict networks whose synapses are plastic?")
parser.add_argument("--quick", action="store_true", help="smaller networks, fewer of them")
parser.add_argument("--output", default="plasticity_agreement.png", help="file of the figure")
options = parser.parse_args()
num_neurons, num_trials = (500, 2) if options.quick else (4000, 6)
num_steps, cue = 19, 0.4
loads = np.array([0.05, 0.12] if options.quick else [0.05, 0.08, 0.1, 0.12])
strengths = np.array([0.0, 0.5] if options.quick else [0.0, 0.3, 1.0, 3.0])
key = jax.random.key(0)

# %% [markdown]
# Every pair of load and strength. Near the edge of the basin (α = 0.12 without plasticity) networks of this size vary
# by more than the difference between theory and simulation.

# %%
print(f"m_0 = {cue}, tanh units, β = 4, τ_A = 5, {num_steps} steps; N = {num_neurons}, {num_trials} networks")
print("  load     λ   theory  network      ±   Σ(Δm)²    errors   worst  in s.e.")
figure, axes = plt.subplots(1, len(loads), figsize=(3 * len(loads), 3), sharey=True, layout="constrained")
for ax, load in zip(axes, loads, strict=True):
    for i, strength in enumerate(strengths):
        model = D.PlasticNetwork(load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))
        theory = D.solve(model, D.SpinCue(cue), num_steps=num_steps, key=key)
        network = D.simulate(
            model, D.SpinCue(cue), num_steps=num_steps, num_neurons=num_neurons, num_trials=num_trials, key=key
        )
        found = D.agreement(theory, network)
        print(
            f"{load:6.2f} {strength:5.1f} {theory.overlap[-1]:8.4f} {network.overlap[-1]:8.4f} "
            f"{network.overlap_error[-1]:6.4f} {found.squared_difference:9.2e} {found.expected:9.2e} "
            f"{found.largest_deviation:7.4f} {found.in_errors:7.2f}"
        )
        ax.plot(theory.times, theory.overlap, color=f"C{i}", label=f"λ = {strength:g}")
        ax.errorbar(
            network.times, network.overlap, network.overlap_error, fmt=".", color=f"C{i}", markersize=4, linewidth=0.8
        )
    ax.set(xlabel="step", title=f"α = {load:g}", ylim=(0.2, 1.02))
axes[0].set_ylabel("overlap with the pattern")
axes[0].legend(fontsize="small", title="lines: theory")
figure.suptitle(
    f"Theory and {num_trials} networks of {num_neurons} neurons, $m_0$ = {cue}, β = 4, $τ_A$ = 5", fontsize="medium"
)
figure.savefig(options.output, dpi=150)
