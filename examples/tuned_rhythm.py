# %% [markdown]
# # Which gain, and which transition weights, give the required dwell times?
#
# For infinitely fast neurons the period is T at the gain e^2T/(e^T − 1), for T ≥ log 2 (Betteti, Baggio and Zampieri
# 2026). Newton's method, with the derivative of the switch times, finds the gain of a network with neurons of finite
# speed, and the weights of a cycle's transitions for given, unequal dwell times.

# %%
import argparse
import math

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

S = hj.sequential
parser = argparse.ArgumentParser(description="Which gain and transitions give a network a wanted rhythm?")
parser.add_argument("--quick", action="store_true", help="fewer periods")
parser.add_argument("--output", default="tuned_rhythm.png", help="file of the figure")
options = parser.parse_args()
memories = 6
patterns = hj.hadamard_patterns(memories, 64)


def network(ratio, coupling, gain=5.0):
    return S.InputDrivenNetwork(
        patterns, gain, transitions=S.cycle(memories), tau_fast=ratio, tau_slow=1.0, input_coupling=coupling
    )  # fmt: skip


# %% [markdown]
# Slow neurons delay switches and need less gain; a strong input coupling advances them. Both effects vanish in the
# limit. The result includes the derivative of the period: its inverse is drawn as a short tangent.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(1, 1.3))
fine = np.linspace(math.log(2), 2.1, 100)
left.plot(fine, S.gain_for_period(fine), "k--", linewidth=1, label="limit of fast neurons")
wanted = [1.0, 1.5, 2.0] if options.quick else np.linspace(0.8, 2.1, 14)
tune = eqx.filter_jit(lambda model, period: S.tune_gain(model, period=period, throw=False))
for i, (ratio, coupling) in enumerate([(0.03, 0.01), (0.01, 0.01), (0.001, 0.001)]):
    found = [tune(network(ratio, coupling), jnp.array(float(period))) for period in wanted]
    for period, one in zip(wanted, found, strict=True):
        print(
            f"τ_f/τ_s = {ratio:.3f}, coupling {coupling:.3f}: period {period:.2f} at gain {one.gain:.4f} (limit "
            f"{one.gain_limit:.4f}), off by {abs(float(one.residual)):.0e} after {one.num_evaluations} runs"
        )
        if hj.is_okay(one.result):
            tangent = np.array([-0.06, 0.06])
            left.plot(period + tangent, float(one.gain) + tangent / float(one.slope), color=f"C{i}", linewidth=1)
    label = rf"$\tau_f/\tau_s$ = {ratio:g}, coupling {coupling:g}"
    left.plot(wanted, [float(one.gain) for one in found], "o", color=f"C{i}", markersize=4, label=label)
left.set(xlabel="wanted period T", ylabel="gain", title="Gain of a period, with its slope")
left.legend(fontsize="small")

# %% [markdown]
# Unequal dwell times, one of them shorter than log 2, which no gain alone can give. The weights differ from the closed
# form of the limit; the network is then run from another initial state, with the default solver.

# %%
rhythm = jnp.array([2.0, 0.6, 1.0, 1.5, 0.6, 1.0])
model = network(0.01, 0.01)
tuned = S.tune_dwell_times(model, rhythm)
print(tuned)
model = eqx.tree_at(lambda n: n.transitions, model, tuned.transitions)
run = S.retrieve_sequence(model, start=1, saliency=4.0, t1=42.0, saveat=jnp.linspace(0, 42, 2001))
dwell, order = (np.asarray(x)[: int(run.num_transitions)] for x in (run.dwell_times, run.order))
worst = np.abs(dwell[-memories:] / np.asarray(rhythm)[order[-memories:]] - 1).max()
print(f"Run from another start: the last round's dwell times are off by at most {100 * worst:.3f} %.")
colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, memories))
late = np.asarray(run.times) > 42 - 2 * float(rhythm.sum())
for memory in range(memories):
    overlap = np.asarray(run.overlap)[late, memory]
    right.fill_between(np.asarray(run.times)[late], memory, memory + 0.8 * overlap.clip(0), color=colours[memory])
    right.text(42.2, memory + 0.2, f"{rhythm[memory]:g}")
right.set(
    xlim=(28, 43.2),
    xlabel="time",
    ylabel="overlap with memory",
    title="Tuned dwell times (numbers at the right: wanted)",
)
figure.savefig(options.output, dpi=150)
