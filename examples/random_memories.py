# %% [markdown]
# # Is the origin hyperbolic with random memories?
#
# With linear slopes at the origin, τ v̇ = −v + Ξᵀ f(Ξ g) linearises to τ v̇ = (ΞᵀΞ − 1) v: it is hyperbolic when no
# eigenvalue of ΞᵀΞ is 1 (Lotito 2025, section 5.4). For independent entries of variance 1/P, the law of Marchenko and
# Pastur puts the non-zero eigenvalues between (1/√α − 1)² and (1/√α + 1)² with α = P/N: all exceed 1 for α < 1/4.
# How sharp is that at finite size?

# %%
import argparse

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj
from hopfield_jax import plot

A = hj.associative
parser = argparse.ArgumentParser(description="Is the origin hyperbolic with random memories?")
parser.add_argument("--quick", action="store_true", help="smaller networks, fewer draws")
parser.add_argument("--output", default="random_memories.png", help="file of the figure")
options = parser.parse_args()
num_draws = 5 if options.quick else 20
sizes = (50, 100) if options.quick else (50, 200, 400)
loads = np.array([0.2, 0.3] if options.quick else [0.14, 0.18, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.34])


def memories(key, load, num_neurons):
    num_patterns = round(load * num_neurons)
    return hj.gaussian_patterns(num_patterns, num_neurons, key=key) / np.sqrt(num_patterns)


# %% [markdown]
# One spectrum at the paper's size and the law. The extreme eigenvalues differ from the edges by Tracy–Widom
# fluctuations.

# %%
large = A.memory_spectrum(memories(jr.key(0), 0.2, 400 if options.quick else 2000))
print(large)

# %% [markdown]
# Smallest non-zero eigenvalue and fraction of draws in which all of them exceed 1, against the load.

# %%
measured = {}
for num_neurons in sizes:
    for load in loads:
        keys = jr.split(jr.key(1), num_draws)
        drawn = jnp.stack([memories(key, load, num_neurons) for key in keys])
        measured[num_neurons, load] = jax.device_get(jax.vmap(A.memory_spectrum)(drawn))

print(f"\n  N     load   smallest eigenvalue   edge   all exceed 1   nearest to 1   ({num_draws} draws)")
for (num_neurons, _), m in measured.items():
    least, nearest = m.eigenvalues[:, 0], np.min(np.abs(m.eigenvalues - 1), axis=1)
    error, above = least.std(ddof=1) / np.sqrt(num_draws), m.all_exceed_one.mean()
    spread = np.sqrt(above * (1 - above) / num_draws)
    print(
        f"{num_neurons:4d}  {m.load[0]:6.3f}   {least.mean():10.3f} ± {error:.3f}    {m.lower[0]:6.3f}"
        f"    {above:.2f} ± {spread:.2f}   {np.median(nearest):10.4f}"
    )

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
plot.spectrum(large.eigenvalues, float(large.load), ax=left)
for i, num_neurons in enumerate(sizes):
    here = [m for (size, _), m in measured.items() if size == num_neurons]
    x = [m.load[0] for m in here]
    style = {"marker": "o", "ms": 4, "capsize": 3, "color": plot.COLOURS[i], "label": f"N = {num_neurons}"}
    least = np.array([m.eigenvalues[:, 0] for m in here])
    middle.errorbar(x, least.mean(1), least.std(1, ddof=1) / np.sqrt(num_draws), **style)
    above = np.array([m.all_exceed_one.mean() for m in here])
    right.errorbar(x, above, np.sqrt(above * (1 - above) / num_draws), **style)
curve = np.linspace(loads[0] - 0.02, loads[-1] + 0.02, 100)
middle.plot(curve, (1 / np.sqrt(curve) - 1) ** 2, color="black", zorder=3, label="edge of the limit")
middle.axhline(1, color="black", linestyle=":")
right.axvline(0.25, color="black", linestyle=":", label="load 1/4")
middle.set(xlabel="load P/N", ylabel="smallest non-zero eigenvalue", title="The edge reaches 1 at load 1/4")
right.set(xlabel="load P/N", ylabel="fraction of draws", title="Every non-zero eigenvalue exceeds 1")
for ax in (middle, right):
    ax.set_xticks([0.15, 0.2, 0.25, 0.3, 0.35])
    ax.spines[["top", "right"]].set_visible(False)
    ax.title.set_fontsize("medium")
    ax.legend(frameon=False, fontsize="small")
figure.savefig(options.output, dpi=150)
