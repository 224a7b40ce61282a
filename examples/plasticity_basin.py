# %% [markdown]
# # How strong should plasticity be for the widest basin of attraction?
#
# m_0* is the smallest cue overlap that is retrieved: final overlap at least 0.8, and above the cue's. Weak plasticity
# reinforces the pattern and widens the basin; strong plasticity imprints the cue and narrows it again (Hara and
# Kabashima 2026). m_0* depends on the number of steps, which is stated.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj
from hopfield_jax import plot

D = hj.dmft
parser = argparse.ArgumentParser(description="How strong should plasticity be for the widest basin of attraction?")
parser.add_argument("--quick", action="store_true", help="fewer strengths, paths and halvings")
parser.add_argument("--output", default="plasticity_basin.png", help="file of the figure")
options = parser.parse_args()
num_steps, load = (20, 0.1) if options.quick else (60, 0.1)
num_samples, num_iterations = (1024, 6) if options.quick else (8192, 11)
strengths = jnp.array([0.0, 0.5, 2.0] if options.quick else [0, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6])
key = jax.random.key(0)


def network(strength):
    return D.PlasticNetwork(load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))


def theory(model, cue):
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, num_shifts=2, key=key, throw=False)


# %% [markdown]
# One vmapped bisection for each strength. The shift under another key shows the sampling error.


# %%
@jax.jit
@jax.vmap
def boundary(strength):
    return D.basin_boundary(theory, network(strength), num_iterations=num_iterations, throw=False)


found = boundary(strengths)
print(f"α = {load}, tanh units, β = 4, τ_A = 5, {num_steps} steps, retrieved: m ≥ 0.8 and above m_0")
for strength, low, high in zip(strengths, found.lower, found.upper, strict=True):
    print(f"λ = {strength:5.2f}   m_0* in [{low:.4f}, {high:.4f}]")
best = int(np.nanargmin(np.asarray(found.value)))
print(
    f"widest basin at λ = {strengths[best]:.2f}: m_0* = {found.value[best]:.4f}, against {found.value[0]:.4f} at λ = 0"
)

# %%
ax = plot.thresholds(strengths, found, xlabel="strength λ of the plasticity", ylabel="smallest retrieved cue $m_0^*$")
ax.title.set_text(f"Basin of attraction at α = {load}")
plt.gcf().savefig(options.output, dpi=150)
