# %% [markdown]
# # How many patterns can be retrieved while the synapses are plastic?
#
# α_max is the largest load at which a given cue is retrieved (final overlap at least 0.8, and above the cue's) within a
# given number of steps. Without plasticity, stationary retrieval ends at 0.138 patterns per neuron. Plasticity raises
# the load (Hara and Kabashima 2026), because the pattern is imprinted while the state moves towards it.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import hopfield_jax as hj
from hopfield_jax import plot

D = hj.dmft
parser = argparse.ArgumentParser(description="How many patterns can be retrieved while the synapses are plastic?")
parser.add_argument("--quick", action="store_true", help="fewer strengths, paths and halvings, smaller networks")
parser.add_argument("--output", default="plasticity_load.png", help="file of the figure")
options = parser.parse_args()
num_steps, cue = (20, 0.7) if options.quick else (60, 0.7)
num_samples, num_iterations = (1024, 6) if options.quick else (8192, 10)
num_neurons, num_trials = (300, 2) if options.quick else (2000, 4)
strengths = jnp.array([0.0, 0.5, 2.0] if options.quick else [0, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2])
key = jax.random.key(0)


def network(strength, load=0.1):
    return D.PlasticNetwork(load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))


def theory(model, cue):
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, num_shifts=2, key=key, throw=False)


# %% [markdown]
# The load of the theory for a cue of overlap 0.7, below the threshold of 0.8, so that keeping the cue is not counted as
# retrieval.


# %%
@jax.jit
@jax.vmap
def largest(strength):
    cues = D.SpinCue(cue)
    return D.largest_load(theory, network(strength), cues, num_iterations=num_iterations, upper=0.6, throw=False)


found = largest(strengths)
print(f"m_0 = {cue}, tanh units, β = 4, τ_A = 5, {num_steps} steps, retrieved: m ≥ 0.8 and above m_0")
for strength, low, high in zip(strengths, found.lower, found.upper, strict=True):
    print(f"λ = {strength:5.2f}   α_max in [{low:.4f}, {high:.4f}]")

# %% [markdown]
# Simulated networks on both sides of the boundary, at one strength.

# %%
strength = 0.5
boundary = float(found.value[int(jnp.argmin(jnp.abs(strengths - strength)))])
for load in (0.85 * boundary, 1.15 * boundary):
    run = D.simulate(
        network(strength, load),
        D.SpinCue(cue),
        num_steps=num_steps,
        num_neurons=num_neurons,
        num_trials=num_trials,
        key=key,
    )
    print(f"simulation, λ = {strength}, α = {load:.3f}: m = {run.overlap[-1]:.3f} ± {run.overlap_error[-1]:.3f}")

# %%
ax = plot.thresholds(strengths, found, xlabel="strength λ of the plasticity", ylabel="largest load $α_{max}$")
ax.axhline(0.1379, color="0.5", linestyle=":", label="0.138: sign units at rest, no plasticity")
ax.title.set_text(f"Largest load from a cue of $m_0$ = {cue}")
ax.legend(fontsize="small")
plt.gcf().savefig(options.output, dpi=150)
