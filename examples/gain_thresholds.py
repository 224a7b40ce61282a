# %% [markdown]
# # How does the critical gain of a finite network differ from 4?
#
# In the limit of infinitely fast neurons, vanishing input coupling and a long cycle, sequences never end if the gain is
# at least 4 (Betteti, Baggio and Zampieri 2026). Here the gain of the full network is bisected, varying one parameter
# at a time: the ratio ε = τ_f/τ_s, the input coupling, the length P of the cycle, the units. A run must go on until t1.
# Just below the threshold a sequence takes long to collapse, so the result is low by about κ_c(π/n)², n transitions
# until t1.

# %%
import argparse
import math

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

S = hj.sequential
parser = argparse.ArgumentParser(description="How does the critical gain of a real network depart from 4?")
parser.add_argument("--quick", action="store_true", help="fewer points and halvings, fewer units")
parser.add_argument("--output", default="gain_thresholds.png", help="file of the figure")
options = parser.parse_args()
t1, halvings = (40.0, 8) if options.quick else (60.0, 12)
patterns = hj.hadamard_patterns(16, 64)
memory = jnp.arange(16)


def network(length, ratio, coupling, units=None):
    """A cycle of the first `length` of 16 memories; all arguments may be traced, so that one program covers all."""
    cycle = (memory[:, None] == (memory[None] + 1) % length) & (memory < length)
    units = hj.HardTanh() if units is None else units
    return S.InputDrivenNetwork(
        patterns, 4.0, cycle.astype(float), units, tau_fast=ratio, tau_slow=1.0, input_coupling=coupling
    )  # fmt: skip


def threshold(model, slope=1.0, **how):
    how = {"num_iterations": halvings, "max_transitions": 256, "throw": False} | how
    found = S.find_critical_gain(model, t1=t1, lower=2 / slope, upper=7 / slope, **how)
    return found.value, (found.upper - found.lower) / 2


# %% [markdown]
# All thresholds of HardTanh units in one program, with exact dwells. The saliency map with the measured delay of the
# switches predicts them where the delay is short.


# %%
@jax.jit
def hard(length, ratio, coupling):
    def one(numbers):
        model = network(*numbers)
        how = {"solver": S.ExactDwell(), "max_steps": 8192}
        value, error = threshold(model, **how)
        about = value * jnp.linspace(0.9, 1.5, 11)  # some collapse and some go on
        return value, error, S.measure_delay(model, about, t1=20.0, max_transitions=64, **how)

    return jax.lax.map(one, (length, ratio, coupling))


quick = options.quick
ratios = [0.002, 0.01, 0.05] if quick else [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07]
couplings = [0.001, 0.01, 0.05] if quick else [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
lengths = [4, 8] if quick else [4, 5, 8, 16]
scans = [(16, r, 0.01) for r in ratios], [(16, 0.01, c) for c in couplings], [(p, 0.002, 0.01) for p in lengths]
value, error, delays = hard(*map(jnp.array, zip(*sum(scans, []), strict=True)))
delay = [jax.tree.map(lambda x, i=i: x[i], delays) for i in range(len(value))]
late = math.pi / (t1 / math.log(2))
print(f"N = 64, bisected until t1 = {t1:g}: too low by about {4 * late**2:.3f}; predicted from the measured delay")
figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
names = "length P of the cycle", r"$\tau_f/\tau_s$", "input coupling"
start = 0
for ax, scan, which in zip(axes.flat, scans, (1, 2, 0), strict=False):
    here = range(start, start := start + len(scan))
    x = [point[which] for point in scan]
    predicted = [float(S.critical_gain(point[0], delay=delay[i])) for i, point in zip(here, scan, strict=True)]
    for i, (num, ratio, coupling), known in zip(here, scan, predicted, strict=True):
        fit = f"{known:.4f} (fit within {delay[i].largest_error:.3f})" if np.isfinite(known) else "no fold in its range"
        print(f"P = {num:2d}, ε = {ratio:.3f}, coupling {coupling:.4f}: κ_c = {value[i]:.4f} ± {error[i]:.4f}, {fit}")
    if which == 0:
        exact = [float(S.critical_gain(p)) for p in lengths]
        print("closed form " + ", ".join(f"κ_c({p}) = {k:.5f}" for p, k in zip(lengths, exact, strict=True)))
        ax.plot(x, exact, "k_", markersize=22, label="closed form, fast neurons")
        ax.set_xticks(lengths)
    else:
        ax.axhline(4, color="0.5", linewidth=0.8)
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter("")
    ax.errorbar(x, value[jnp.array(here)], error[jnp.array(here)], fmt="o", label="network, bisected", zorder=3)
    ax.plot(x, predicted, "x" if which == 0 else "x--", color="C1", label="map with the measured delay")
    ax.set(xlabel=names[which], ylabel="critical gain")
    ax.legend(fontsize="small")
axes[0, 0].set_title("P = 16, input coupling 0.01", fontsize="medium")
axes[0, 1].set_title(r"P = 16, $\tau_f/\tau_s$ = 0.01", fontsize="medium")
axes[1, 0].set_title(r"$\tau_f/\tau_s$ = 0.002, input coupling 0.01", fontsize="medium")

# %% [markdown]
# Smooth units lose overlap before the switch. If the activation has slope β at zero, gains are divided by β.

# %%
cases = [("HardTanh", 1.0, hj.HardTanh()), *((f"tanh β={b}", float(b), hj.LogCosh(beta=b)) for b in (1, 2, 4))]
cases = [cases[1], cases[3]] if quick else [*cases, ("erf", 2 / math.sqrt(math.pi), hj.Erf())]
find = jax.jit(lambda units, slope: threshold(network(16, 0.01, 0.01, units), slope, max_steps=8192))
for i, (name, slope, units) in enumerate(cases):
    k, e = find(units, slope)
    print(f"{name:9s} ε = 0.01, coupling 0.01: κ_c = {k:.4f} ± {e:.4f}, times the slope {slope:.3f}: {k * slope:.4f}")
    axes[1, 1].bar(i, k * slope, yerr=e * slope, color=f"C{i}", width=0.6)
    axes[1, 1].text(i, k * slope - 0.4, f"{k * slope:.2f}", ha="center", color="white")
axes[1, 1].set_xticks(range(len(cases)), [name for name, _, _ in cases], fontsize="small")
axes[1, 1].axhline(4, color="0.5", linewidth=0.8)
axes[1, 1].set(ylabel="critical gain × slope at zero", ylim=(0, 7))
axes[1, 1].set_title(r"Units: $\tau_f/\tau_s$ = 0.01, input coupling 0.01, P = 16", fontsize="medium")
figure.suptitle(f"Critical gain of the network (N = 64, sequences that go on until t = {t1:g})")
figure.savefig(options.output, dpi=150)
