# %% [markdown]
# # Does noise accelerate a sequence of memories or stop it?
#
# Noise in the fast neurons perturbs the memory that loses its stability; noise in the slow state perturbs the
# saliencies. With input coupling it only changes the dwell times. Without input coupling, noise alone nucleates the
# successor, with +ξ and −ξ equally likely. The sequence stops after −ξ, so that the number of transitions, including
# the last wrong one, should be geometric with p = 1/2.

# %%
import argparse

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import chi2

import hopfield_jax as hj

S = hj.sequential
parser = argparse.ArgumentParser(description="Does noise hurry a sequence of memories or stop it?")
parser.add_argument("--quick", action="store_true", help="fewer strengths and runs, coarser steps")
parser.add_argument("--output", default="noisy_sequence.png", help="file of the figure")
options = parser.parse_args()
quick = options.quick
num_runs, num_alone, t1 = (6, 34, 10.0) if quick else (24, 416, 16.0)  # whole batches of 32 in all
gain, ratio, key = 5.0, 0.02, jr.key(0)
patterns = hj.hadamard_patterns(8, 64)
fast = [0, 0.05, 0.15] if quick else [0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4]
slow = [0.5, 2.0] if quick else [0.3, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0]

# %% [markdown]
# One program for every strength and for the runs without input coupling; all runs have independent noise.


@jax.jit
def runs(noise_fast, noise_slow, coupling, keys):
    def one(args):
        noise_fast, noise_slow, coupling, key = args
        network = S.InputDrivenNetwork(
            patterns, gain, S.cycle(8), tau_fast=ratio, input_coupling=coupling, noise_fast=noise_fast,
            noise_slow=noise_slow,
        )  # fmt: skip
        run = S.retrieve_sequence(
            network, saliency=gain, t1=t1, key=key, dt0=ratio / (10 if quick else 20), saveat=jnp.zeros(1), throw=False
        )
        # Skips the first dwells, a transient; takes a fixed number, since a fixed time would favour short dwells.
        dwell = run.dwell_times[3 : 6 if quick else 9]
        counts = run.num_transitions, run.num_correct, run.ending == S.Ending.wrong_sign, run.ending == S.Ending.running
        return jnp.mean(dwell), *counts

    return jax.lax.map(one, (noise_fast, noise_slow, coupling, keys), batch_size=32)


cases = [(f, 0.0, 0.01) for f in fast] + [(0.0, s, 0.01) for s in slow]
every = np.repeat(np.array(cases + [(0.1, 0.0, 0.0)]), [num_runs] * len(cases) + [num_alone], axis=0)
dwell, count, correct, wrong, running = map(np.asarray, runs(*jnp.asarray(every.T), jr.split(key, len(every))))

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
print(f"κ = {gain}, N = 64, P = 8, τ_f/τ_s = {ratio}, input coupling 0.01, {num_runs} runs until t = {t1:g};")
print("how many are in the right order to the end, and their dwell times")
rows = np.full((len(cases), 4), np.inf)
for i, (f, s, _) in enumerate(cases):
    here = slice(i * num_runs, (i + 1) * num_runs)
    good = running[here] & np.isfinite(dwell[here]) & (correct[here] == count[here])
    n = good.sum()
    rows[i, 2:] = (n + 0.5) / (num_runs + 1), np.sqrt(n * (1 - n / num_runs) + 0.25) / (num_runs + 1)  # Wilson
    what = "too few to tell a dwell time"
    if n > 2:
        rows[i, :2] = dwell[here][good].mean(), dwell[here][good].std(ddof=1) / np.sqrt(n)
        what = f"mean dwell time {rows[i, 0]:.4f} ± {rows[i, 1]:.4f}"
    print(f"σ_fast = {f:.2f}, σ_slow = {s:.2f}: {n:2d} of {num_runs} ({rows[i, 2]:.2f} ± {rows[i, 3]:.2f}), {what}")
for name, x, y in (
    (r"$\sigma_x$, fast neurons", fast[1:], rows[1 : len(fast)]),
    (r"$\sigma_u$, slow state", slow, rows[len(fast) :]),
):
    known = np.isfinite(y[:, 0])
    left.errorbar(np.array(x)[known], y[known, 0], y[known, 1], marker="o", label=name)
    middle.errorbar(x, y[:, 2], y[:, 3], marker="o", label=name)
left.axhline(rows[0, 0], color="0.5", linewidth=0.8, label="no noise")
for ax in (left, middle):
    ax.set(xscale="log", xlabel="noise strength (standard deviation of a free unit)")
left.set(ylabel=r"mean dwell time / $\tau_s$")
left.set_title(f"κ = {gain:g}, input coupling 0.01, {num_runs} runs a point", fontsize="medium")
middle.set(ylabel="share of runs", ylim=(-0.03, 1.03))
for ax in (left, middle):
    ax.legend(fontsize="small", loc="best")
middle.set_title(f"Runs in the right order until t = {t1:g}", fontsize="medium")

# %% [markdown]
# Noise alone: the counts of one to five transitions, and of more, against the geometric distribution.

# %%
stops, sign = count[-num_alone:], wrong[-num_alone:]
ended = stops[sign]
bins = np.arange(1, 6 if quick else 8)
seen = np.array([*(np.sum(ended == k) for k in bins[:-1]), np.sum(ended >= bins[-1])])
share = np.array([*(0.5 ** bins[:-1]), 0.5 ** (bins[-1] - 1)])
expected = share * len(ended)
error = np.sqrt(expected * (1 - share))
square = np.sum((seen - expected) ** 2 / expected)
print(f"noise alone, σ_fast = 0.1, input coupling 0: {len(ended)} of {num_alone} runs ended with the wrong sign,")
last = np.sum(correct[-num_alone:][sign] == ended - 1)
print(f"{np.sum(running[-num_alone:])} still ran at t = {t1:g}; in {last} the last transition was the only wrong one.")
print("Transitions, the wrong one included:")
for k, n, e, d in zip(bins, seen, expected, error, strict=True):
    print(f"{k}{' or more' if k == bins[-1] else ''}: {n} runs, geometric {e:.1f} ± {d:.1f}")
mean = ended.mean(), ended.std(ddof=1) / np.sqrt(len(ended))
print(f"chi-square {square:.2f} for {len(bins) - 1} degrees of freedom (p = {chi2.sf(square, len(bins) - 1):.2f}),")
print(f"mean {mean[0]:.3f} ± {mean[1]:.3f} against 2")
right.bar(bins, seen, color="#56B4E9", label=f"{len(ended)} runs, all ended by the wrong sign")
right.errorbar(bins, expected, error, fmt="k_", markersize=18, capsize=3, label="geometric, p = 1/2")
right.set_xticks(bins, [*map(str, bins[:-1]), f"≥ {bins[-1]}"])
right.set(xlabel="transitions before the end, the last one wrong", ylabel="runs")
right.set_title(f"Noise alone (no input coupling): $\\chi^2$ = {square:.1f}, {len(bins) - 1} d.o.f.", fontsize="medium")
right.legend(fontsize="small")
figure.savefig(options.output, dpi=150)
