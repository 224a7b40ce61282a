# %% [markdown]
# # At which gain does a random network become chaotic?
#
# Graded neurons with random asymmetric couplings of variance g²/N rest at zero for g < 1. Above, large networks are
# chaotic (Sompolinsky, Crisanti and Sommers 1988): the largest Lyapunov exponent is positive. Small networks find
# rhythms and fixed points up to larger gains, at which it is zero or negative. The spectrum of exponents gives the
# dimension of the attractor.

# %%
import argparse

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj
from hopfield_jax import plot

C = hj.classical
parser = argparse.ArgumentParser(description="At which gain does a random network become chaotic?")
parser.add_argument("--quick", action="store_true", help="smaller networks, fewer gains")
parser.add_argument("--output", default="edge_of_chaos.png", help="file of the figure")
options = parser.parse_args()
sizes = (20, 60) if options.quick else (50, 150, 450)
gains = jnp.array([0.8, 2.0, 3.0]) if options.quick else jnp.linspace(0.6, 3.0, 13)
time, num_networks = (100.0, 2) if options.quick else (400.0, 4)


# %%
def exponents(gain, key, num_neurons, num_exponents=1):
    of_couplings, of_start = jr.split(key)
    couplings = gain * jr.normal(of_couplings, (num_neurons, num_neurons)) / num_neurons**0.5
    network = C.GradedNetwork(C.DenseCouplings(couplings), hj.Layer(hj.LogCosh()))
    start = jr.normal(of_start, (num_neurons,))
    return hj.lyapunov_exponents(network, start, t1=time, num_exponents=num_exponents, dt0=0.2, throw=False)


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
keys = jr.split(jr.key(0), num_networks)
for i, size in enumerate(sizes):
    run = jax.jit(lambda gain, size=size: jax.vmap(lambda key: exponents(gain, key, size).exponents[0])(keys))
    found = np.array([run(gain) for gain in gains])
    mean, error = found.mean(axis=1), found.std(axis=1, ddof=1) / num_networks**0.5
    left.errorbar(gains, mean, error, fmt="o-", markersize=3, capsize=2, color=plot.COLOURS[i], label=f"N = {size}")
    print(f"N = {size}: largest exponent " + ", ".join(f"{x:.3f} ± {e:.3f}" for x, e in zip(mean, error, strict=True)))
left.axhline(0, color="grey", linewidth=1)
left.set(xlabel="gain g", ylabel="largest exponent", title=f"Means of {num_networks} random networks")
left.legend(frameon=False)

# %%
spectrum = exponents(gains[-1], keys[0], sizes[1], num_exponents=sizes[1] // 2)
print(spectrum)
plot.exponents(spectrum, ax=right)
right.set_title(f"N = {sizes[1]}, gain {float(gains[-1]):g}", fontsize="medium")
figure.savefig(options.output, dpi=150)
