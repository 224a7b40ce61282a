# %% [markdown]
# # When does a sequence never end, and otherwise, after how many memories does it collapse?
#
# With fast neurons an active memory's saliency decays from Z to 1 in the time log Z, while its successor's grows to κ(1
# − 1/Z). From κ = 4 on this map has a stable fixed point, and the sequence never ends. Below, every sequence collapses;
# just below, it slows down near the ghost of the fixed points and takes about π/√(1 − κ/4) transitions. Networks of 64
# neurons with orthogonal memories approach the map as their neurons become fast.

# %%
import argparse
import math

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj
from hopfield_jax import plot

S = hj.sequential
parser = argparse.ArgumentParser(description="When does a sequence go on, and when does it collapse?")
parser.add_argument("--quick", action="store_true", help="slower neurons, fewer gains")
parser.add_argument("--output", default="saliency_map.png", help="file of the figure")
options = parser.parse_args()
ratios = (0.02, 0.005) if options.quick else (0.02, 0.005, 0.001)
gains = jnp.array([2.5, 3.1, 3.5]) if options.quick else jnp.array([2.5, 2.8, 3.1, 3.3, 3.5, 3.65, 3.8])
gain, first, patterns = 5.0, 2.0, hj.hadamard_patterns(16, 64)


def network(gain, ratio):
    """Memories in a chain, with input coupling (τ_f/τ_s)²."""
    chain = S.chain(16)
    return S.InputDrivenNetwork(patterns, gain=gain, transitions=chain, tau_fast=ratio, input_coupling=ratio**2)


def follow(gain, ratio, saliency, t1):
    return S.retrieve_sequence(
        network(gain, ratio), saliency=saliency, t1=t1, solver=S.ExactDwell(), until_collapse=True, throw=False
    )


# %% [markdown]
# Dwell times at κ = 5 from a first saliency of 2: log Z of the map against networks.

# %%
number = jnp.arange(8)
expected = S.escape_time(S.iterate(gain, first, number))
dwell = {ratio: follow(gain, ratio, first, 14.0).dwell_times[: len(number)] for ratio in ratios}
print(f"κ = {gain:g}, Z₀ = {first:g}; period in the limit log Z+ = {S.period(gain):.4f}")
print("dwell       map  " + "  ".join(f"τ_f/τ_s = {ratio:g}" for ratio in ratios))
for n in number:
    print(f"{n:5d}  {expected[n]:8.4f}  " + "  ".join(f"{dwell[ratio][n]:14.4f}" for ratio in ratios))

# %% [markdown]
# Memories retrieved before the collapse, from Z₀ = κ: closed form, its law near 4, and networks. Runs that reach the
# end of the sixteen memories are left out: slower neurons switch later, so that the successor grows longer.


# %%
def before_collapse(gain, ratio):
    run = follow(gain, ratio, gain, 20.0)
    return jnp.where(run.ending == S.Ending.collapse, run.num_transitions + 1.0, jnp.nan)


reached = {ratio: jax.vmap(lambda gain, r=ratio: before_collapse(gain, r))(gains) for ratio in ratios}
print("κ      map  " + "  ".join(f"τ_f/τ_s = {ratio:g}" for ratio in ratios))
for i, g in enumerate(gains):
    seen = (f"{reached[r][i]:.0f}" if reached[r][i] > 0 else "goes on" for r in ratios)
    print(f"{g:4.2f}  {S.count_transitions(g, g):4d}  " + "  ".join(f"{x:>14}" for x in seen))
distance = jnp.logspace(-6, math.log10(0.5), 200)
count = S.count_transitions(4 * (1 - distance), 4 * (1 - distance))
print(f"κ = 3.999: {S.count_transitions(3.999, 3.999)} memories, π/√(1 − κ/4) = {math.pi / math.sqrt(0.00025):.0f}")

# %%
figure, ((one, two), (left, right)) = plt.subplots(2, 2, figsize=(10, 9), layout="constrained")
plot.cobweb(gain, first, num_transitions=12, ax=one)
one.title.set_text(f"κ = {gain:g}: for ever")
plot.cobweb(3.8, 3.8, ax=two)
two.title.set_text("κ = 3.8: collapse")
left.plot(number, expected, "-", color="black", label=r"map: $\log Z_n$")
for k, (ratio, times) in enumerate(dwell.items()):
    left.plot(number, times, "o", color=plot.COLOURS[k], label=rf"network, $\tau_f/\tau_s$ = {ratio:g}")
    right.plot(
        1 - gains / 4, reached[ratio], "o", color=plot.COLOURS[k], label=rf"network, $\tau_f/\tau_s$ = {ratio:g}"
    )
left.axhline(float(S.period(gain)), color="0.5", linestyle=":", linewidth=1, label=r"period, $\log Z_+$")
left.set(xlabel="memory n of the sequence", ylabel=r"dwell time / $\tau_s$")
left.set_title(f"Escape times, κ = {gain:g}, $Z_0$ = {first:g}", fontsize="medium")
right.plot(distance, count, color="black", linewidth=1.2, label="map, closed form")
right.plot(distance, math.pi / np.sqrt(distance), color="0.5", linestyle="--", label=r"$\pi/\sqrt{1-\kappa/4}$")
right.set(xscale="log", yscale="log", xlabel="1 − κ/4", ylabel="memories before the collapse")
right.set_title(r"Collapse below the critical gain, $Z_0$ = κ", fontsize="medium")
for ax in (left, right):
    ax.legend(frameon=False, fontsize="small")
figure.savefig(options.output, dpi=150)
