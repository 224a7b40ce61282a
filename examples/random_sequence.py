# %% [markdown]
# # How many random memories can form a sequence?
#
# Random patterns are not orthogonal: while μ is active, its overlap Γ of about ±1/√N with its successor pushes the
# state towards the successor or its negative, and adds to the input coupling ε. A run succeeds when its first ten
# transitions follow the cycle; the success rate is mapped over the gain and the number of patterns, for several ε. In
# theory only the sign of Γ + ε matters (`hj.sequential.success_probability`): P(Γ > −ε) to the tenth power, or to the
# P-th if there are fewer pairs, for any gain and load.

# %%
import argparse
import time

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

S = hj.sequential
parser = argparse.ArgumentParser(description="How many random memories can follow each other?")
parser.add_argument("--quick", action="store_true", help="a smaller network, fewer gains and draws")
parser.add_argument("--output", default="random_sequence.png", help="file of the figure")
options = parser.parse_args()
num_neurons, num_draws = (128, 4) if options.quick else (512, 20)
gains = jnp.array([4.0, 6.0, 10.0]) if options.quick else jnp.linspace(4, 12, 9)
sizes = [16] if options.quick else [8, 16, 32, 64]
couplings = jnp.array([0.01, 0.2]) if options.quick else jnp.array([0.01, 0.05, 0.2])
ratio, wanted = 0.02, 10

# %% [markdown]
# All draws at once, gain by gain; the time t1 is enough for ten dwells at each gain, of at most about log κ.


def follow(num_patterns):
    def one(coupling, gain, key):
        patterns = hj.random_patterns(num_patterns, num_neurons, key=key)
        network = S.InputDrivenNetwork(
            patterns, gain, S.cycle(num_patterns), tau_fast=ratio, input_coupling=coupling
        )  # fmt: skip
        run = S.retrieve_sequence(
            network, saliency=gain, t1=wanted * jnp.log(gain) + 4, saveat=jnp.zeros(1), until_collapse=True,
            max_steps=4096, throw=False,
        )  # fmt: skip
        next_sign = run.sign[run.num_correct + 1]  # of the first wrong transition
        return run.num_correct, next_sign, hj.is_okay(run.result)

    keys = jr.split(jr.key(num_patterns), num_draws)
    grid = [x.ravel() for x in jnp.meshgrid(couplings, gains, indexing="ij")]
    out = jax.jit(lambda *x: jax.lax.map(lambda y: jax.vmap(lambda key: one(*y, key))(keys), x))(*grid)
    return [np.asarray(x).reshape(len(couplings), len(gains), num_draws) for x in out]


figure, axes = plt.subplots(
    len(couplings), 1, figsize=(7.5, len(couplings) * (1.4 + 0.5 * len(sizes))), layout="constrained", sharex=True
)
shares, mean = np.zeros((2, len(couplings), len(sizes), len(gains)))
print(f"N = {num_neurons}, τ_f/τ_s = {ratio}, HardTanh, {num_draws} draws of patterns, the same at all gains and ε")
for i, num_patterns in enumerate(sizes):
    begin = time.perf_counter()
    correct, sign, okay = follow(num_patterns)
    shares[:, i], mean[:, i] = (correct >= wanted).mean(axis=2), correct.mean(axis=2)
    centre = (shares[:, i] * num_draws + 0.5) / (num_draws + 1)  # and half width of Wilson's interval
    error = np.sqrt(num_draws * shares[:, i] * (1 - shares[:, i]) + 0.25) / (num_draws + 1)
    for k, coupling in enumerate(couplings):
        lost = correct[k] < wanted
        print(
            f"ε = {coupling:.2f}, P = {num_patterns:2d}: {lost.sum()} of {lost.size} runs lost, "
            f"{np.sum(lost & (sign[k] < 0))} of them by the wrong sign; {np.sum(~okay[k])} runs failed; success at κ ="
        )
        cells = (f"{g:g}: {c:.2f} ± {e:.2f}" for g, c, e in zip(gains, centre[k], error[k], strict=True))
        print("    " + ", ".join(cells))
    print(f"P = {num_patterns}: {time.perf_counter() - begin:.1f} s")

# %%
for ax, coupling, share, right in zip(axes, couplings, shares, mean, strict=True):
    image = ax.imshow(share, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=1)
    for (i, j), x in np.ndenumerate(share):
        colour = "black" if x > 0.6 else "white"
        ax.text(j, i, f"{x:.2f} ({right[i, j]:.0f})", ha="center", va="center", fontsize="x-small", color=colour)
    expected = np.mean([S.success_probability(num_neurons, coupling, min(p, wanted)) for p in sizes])
    print(f"ε = {coupling:.2f}: share {share.mean():.3f} over all cells, from the sign of Γ + ε alone {expected:.3f}")
    ax.set_xticks(range(len(gains)), [f"{gain:g}" for gain in gains])
    ax.set_yticks(range(len(sizes)), [str(p) for p in sizes])
    ax.set(ylabel="patterns P")
    ax.set_title(
        f"input coupling ε = {coupling:g}; the signs of Γ + ε alone would give {expected:.2f}", fontsize="medium"
    )
axes[-1].set_xlabel("gain κ")
figure.colorbar(image, ax=axes).set_label(f"share with {wanted} right transitions\n(right ones on average)")
figure.suptitle(f"Random memories: N = {num_neurons}, $\\tau_f/\\tau_s$ = {ratio}, {num_draws} draws a cell")
figure.savefig(options.output, dpi=150)
