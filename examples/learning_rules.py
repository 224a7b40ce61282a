# %% [markdown]
# # How many patterns does each learning rule store?
#
# Hebb's rule fails beyond 0.138 patterns per neuron (Amit, Gutfreund and Sompolinsky 1987), because of the crosstalk
# between patterns. Storkey's rule (1997) subtracts part of the crosstalk while it learns; the pseudo-inverse removes
# all of it and stores up to one pattern per neuron, though the basins shrink. The load at which half of the networks
# retrieve a cue with 5 % of wrong neurons is measured for several sizes and extrapolated.

# %%
import argparse
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from hopfield_jax import classical, plot

parser = argparse.ArgumentParser(description="How many patterns does each learning rule store?")
parser.add_argument("--quick", action="store_true", help="smaller networks, fewer loads and draws")
parser.add_argument("--output", default="learning_rules.png", help="file of the figure")
options = parser.parse_args()
sizes, num_draws = ((40, 80), 12) if options.quick else ((100, 200, 400), 50)
cue_overlap, exponent = 0.9, 0.5
rules = {
    "Hebb": (classical.hebbian, [0.08, 0.12, 0.15, 0.18, 0.22, 0.3]),
    "Storkey": (classical.storkey, [0.2, 0.3, 0.36, 0.42, 0.48, 0.6]),
    "pseudo-inverse": (classical.pseudo_inverse, [0.45, 0.55, 0.6, 0.65, 0.7, 0.8]),
}
if options.quick:
    few = lambda x: [0.3 * x[0], x[1], x[-1], min(0.95, 2.5 * x[-1])]  # noqa: E731
    rules = {name: (rule, few(loads)) for name, (rule, loads) in rules.items()}

# %% [markdown]
# One draw: random patterns, a cue of overlap 0.9 with the first, asynchronous updates in random order until nothing
# changes. It counts as retrieved if the final overlap is at least 0.9.

# %%
found = {}
print(f"cue overlap {cue_overlap}, {num_draws} draws a point, N = {', '.join(map(str, sizes))}")
for n, (name, (rule, loads)) in enumerate(rules.items()):
    begin = time.perf_counter()

    def run(num_patterns, num_neurons, key, rule=rule):
        return classical.recall(rule, num_patterns, num_neurons, cue_overlap, key=key)

    found[name] = classical.capacity(
        run, jnp.array(loads), sizes, num_trials=num_draws, exponent=exponent, key=jax.random.key(n)
    )
    print(f"{name} ({time.perf_counter() - begin:.0f} s)\n{found[name]}")
    for x in (2 / 3, 1.0):
        fit = classical.finite_size(jnp.array(sizes), found[name].half, found[name].half_error, exponent=x)
        print(f"  with another exponent: {fit.describe()}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
largest = len(sizes) - 1
for n, (name, transition) in enumerate(found.items()):
    color = plot.COLOURS[n]
    left.errorbar(
        transition.values[largest], transition.fraction[largest], transition.fraction_error[largest],
        fmt="o-", color=color, markersize=4, capsize=2, label=name,
    )  # fmt: skip
    plot.finite_size(transition, ax=right, index=n, label=name)
right.set_ylim(0, 0.9)
right.axhline(0.1379, color="0.5", linestyle=":", linewidth=1)
right.annotate("0.138", (float(sizes[0]) ** -exponent, 0.1379), ha="right", va="bottom", fontsize="small", color="0.4")
right.legend(frameon=False, fontsize="small", loc="upper right")
left.set(xlabel="load α = P/N", ylabel="fraction retrieved", xlim=(0.05, 1.1), ylim=(-0.03, 1.03))
left.set_title(f"N = {sizes[largest]}, cue overlap {cue_overlap}, {num_draws} draws", fontsize="medium")
left.legend(frameon=False, fontsize="small")
left.spines[["top", "right"]].set_visible(False)
figure.savefig(options.output, dpi=150)
