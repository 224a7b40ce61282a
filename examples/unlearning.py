# %% [markdown]
# # How long should a network dream?
#
# Hebb's rule stores 0.138 patterns per neuron; beyond, crosstalk makes spurious states. In a dream (Hopfield, Feinstein
# and Palmer 1983) the network settles from a random state and weakens what it finds: first mostly the spurious states,
# at last the patterns themselves. Every load has a best number of dreams, and a number that destroys everything. If a
# pattern is strengthened in every dream as well (daydreaming, Serricchio et al. 2025), there is no such end.

# %%
import argparse
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

from hopfield_jax import classical, plot

parser = argparse.ArgumentParser(description="How long should a network dream?")
parser.add_argument("--quick", action="store_true", help="a smaller network, fewer draws")
parser.add_argument("--output", default="unlearning.png", help="file of the figure")
options = parser.parse_args()
num_neurons, num_draws = (50, 8) if options.quick else (100, 40)
loads = [0.2, 0.4] if options.quick else [0.2, 0.3, 0.4]
numbers = [0, 100, 400] if options.quick else [0, 50, 100, 200, 350, 500, 700, 1000, 1400]
rate, cue_overlap, at_once = 0.05, 0.9, classical.Synchronous()

# %% [markdown]
# One draw: random patterns, dreams from other random states each time, and a cue of overlap 0.9 with the first pattern.
# It counts as retrieved if the final overlap is at least 0.9.


# %%
def retrieved(rule, load, num_dreams):
    def one(key):
        dream_key, key = jr.split(key)
        learn = partial(rule, num_dreams=num_dreams, rate=rate, order=at_once, key=dream_key)
        return classical.recall(learn, round(load * num_neurons), num_neurons, cue_overlap, order=at_once, key=key)

    return jnp.mean(jax.jit(jax.vmap(one))(jr.split(jr.key(0), num_draws)) >= 0.9)


rules = {"unlearning": classical.unlearning, "daydreaming": classical.daydreaming}
curves = {
    (name, load): np.array([retrieved(rule, load, number) for number in numbers])
    for name, rule in rules.items()
    for load in (loads if name == "unlearning" else loads[-1:])
}
error = 0.5 / num_draws**0.5
print(f"N = {num_neurons}, rate {rate}, {num_draws} draws: fraction retrieved, standard error at most {error:.2f}")
for (name, load), curve in curves.items():
    best = f"{curve.max():.2f} after {numbers[int(np.argmax(curve))]} dreams"
    print(f"{name:11} load {load}: {curve[0]:.2f} by Hebb's rule, {best}, {curve[-1]:.2f} after {numbers[-1]}")

# %%
axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")[1]
for n, load in enumerate(loads):
    axes.plot(numbers, curves["unlearning", load], "o-", color=plot.COLOURS[n], markersize=4, label=f"load {load}")
last = curves["daydreaming", loads[-1]]
axes.plot(
    numbers, last, "s--", color=plot.COLOURS[len(loads) - 1], markersize=4, label=f"load {loads[-1]}, daydreaming"
)
axes.set(xlabel=f"dreams (N = {num_neurons}, ε = {rate})", ylabel="fraction retrieved", ylim=(-0.03, 1.03))
axes.set_title("Unlearning raises the capacity, and then destroys it", fontsize="medium")
axes.legend(frameon=False, fontsize="small")
axes.spines[["top", "right"]].set_visible(False)
axes.figure.savefig(options.output, dpi=150)
