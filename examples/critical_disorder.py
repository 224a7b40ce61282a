# %% [markdown]
# # How do correlated memories and noise move the critical gain?
# For orthogonal memories without noise a sequence never ends if the gain exceeds a value near 4. Here the gain is
# bisected in the full network: for correlated random patterns (correlation c for every pair, on average), and for
# orthogonal ones with noise in the fast neurons, where half of the runs go on at the critical gain.

# %%
import argparse
import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="fewer points, trials and neurons")
parser.add_argument("--output", default="critical_disorder.png", help="where to write the figure")
arguments = parser.parse_args()

S = hj.sequential
num_neurons, num_draws, num_trials = (128, 3, 4) if arguments.quick else (512, 8, 16)
t1, input_coupling = (8.0, 0.2) if arguments.quick else (20.0, 0.2)
num_iterations = 5 if arguments.quick else 8
correlations = np.array([0.0, 0.1, 0.2] if arguments.quick else [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
noises = np.array([0.0, 0.2] if arguments.quick else [0.0, 0.05, 0.1, 0.2, 0.3, 0.4])
key = jr.key(0)
network = S.InputDrivenNetwork(
    hj.hadamard_patterns(8, 64), 5.0, S.cycle(8), tau_fast=0.02, input_coupling=input_coupling
)
bounds = {"t1": t1, "lower": 1.0, "upper": 12.0, "num_iterations": num_iterations, "max_steps": 4096, "throw": False}

# %% [markdown]
# Correlated patterns: each draw has its own threshold. A run counts only if the sequence follows the transitions, so
# the fraction of correct ones is given too. The input coupling is larger than for orthogonal patterns, so that it
# exceeds random overlaps of the wrong sign.


# %%
@jax.jit
def threshold(correlation, key):
    patterns = hj.correlated_patterns(8, num_neurons, correlation, key=key)
    model = dataclasses.replace(network, patterns=patterns)
    found = S.find_critical_gain(model, **bounds)
    above = dataclasses.replace(model, gain=found.upper)
    run = S.retrieve_sequence(above, saliency=found.upper, t1=t1, max_steps=4096, throw=False)
    right = run.num_correct / jnp.maximum(run.num_transitions, 1)
    return found.value, found.upper - found.lower, right


print(f"N = {num_neurons}, P = 8, τ_f/τ_s = 0.02, input coupling {input_coupling}, t1 = {t1}, {num_draws} draws")
curve = []
for c in correlations:
    draws = [threshold(jnp.float32(c), k) for k in jr.split(key, num_draws)]
    value, width, right = (np.array([float(d[i]) for d in draws]) for i in range(3))
    known, share = np.isfinite(value), np.nanmean(right)
    value, width = value[known], width[known]
    if value.size < 2:
        print(f"c = {c:.2f}: no threshold between the bounds in {num_draws - value.size} of {num_draws} draws")
        continue
    curve.append((c, value.mean(), value.std(ddof=1) / value.size**0.5))
    print(
        f"c = {c:.2f}: κ_c = {curve[-1][1]:.3f} ± {curve[-1][2]:.3f} (in {value.size} of {num_draws} draws, bracket "
        f"{width.max():.3f}); right transitions there {share:.2f}"
    )


# %% [markdown]
# Noise: half of the runs go on at the threshold. Its error comes from quantiles of the thresholds of single runs; the
# fractions at the two ends of the bracket are printed.


# %%
@jax.jit
def noisy(noise, key):
    model = dataclasses.replace(network, noise_fast=noise, input_coupling=0.01)
    options = bounds | {"dt0": 0.002, "max_steps": int(t1 / 0.002) + 16}
    return S.find_critical_gain(model, key=key, num_trials=num_trials, **options)


found = [noisy(jnp.float32(s), key) for s in noises]
print(f"orthogonal patterns, N = 64, input coupling 0.01, {num_trials} trials a gain, steps of τ_f/10")
for s, f in zip(noises, found, strict=True):
    low, high = (f"{p:.2f} ± {e:.2f}" for p, e in zip(f.probability, f.probability_error, strict=True))
    print(f"σ_x = {s:.2f}: κ_c = {float(f.value):.3f} ± {float(f.value_error):.3f}", end=", ")
    print(f"bracket {float(f.lower):.3f} to {float(f.upper):.3f}, where {low} and {high} go on")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), constrained_layout=True)
left.errorbar(*np.array(curve).T, fmt="o-", capsize=3)
left.set(xlabel="correlation of the memories c", ylabel="critical gain", title=f"Correlated, N = {num_neurons}")
value, error = (np.array([float(getattr(f, n)) for f in found]) for n in ("value", "value_error"))
there = np.isfinite(value) & np.isfinite(error)
right.errorbar(noises[there], value[there], error[there], fmt="o-", capsize=3, color="C1")
right.set(xlabel="noise of the fast neurons σ", ylabel="gain at which half go on", title="Noise (orthogonal, N = 64)")
figure.suptitle(f"HardTanh units, P = 8, $\\tau_f/\\tau_s$ = 0.02, until t = {t1:g}")
figure.savefig(arguments.output, dpi=150)
