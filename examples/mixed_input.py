# %% [markdown]
# # Does input-driven plasticity select the stronger of two mixed memories better than an additive input?
#
# The input u = s [c ξ¹ + (1 − c) ξ² + σ noise] either modulates the synapses, which weight every memory by its saliency
# Ξu/N (input-driven plasticity), or is added to the fields of a classical network. Both have the same random patterns
# and units clip(2x): a memory is stable for saliencies above 1/2, and the classical ones have 1. Success: ξ¹ alone is
# retrieved, |overlap| > 0.9 and all others < 0.5. The result depends on the scale s of the input, so several are tried.

# %%
import argparse

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

C = hj.classical
parser = argparse.ArgumentParser(description="Does an input that shapes the synapses pick the strongest memory?")
parser.add_argument("--quick", action="store_true", help="fewer ratios and draws, a smaller network")
parser.add_argument("--output", default="mixed_input.png", help="file of the figure")
options = parser.parse_args()
quick = options.quick
num_neurons, num_draws = (128, 24) if quick else (256, 200)
ratios = [0.5, 0.6, 0.8] if quick else [0.5, 0.52, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0]
noises, scales = [0.5, 2.0], [0.1, 0.3, 1.0, 3.0]
units, t1 = hj.HardTanh(beta=2.0), 60.0

# %% [markdown]
# Every network starts from rest (x = 0 and noise of 0.01) and from the input itself (x = u).


@jax.jit
def held(ratio, noise, scale, keys):
    """Whether ξ¹ alone is retrieved, and failures: plastic from rest and from u, then additive from both."""

    def one(key):
        keys = jr.split(key, 3)
        patterns = hj.random_patterns(10, num_neurons, key=keys[0])
        u = ratio * patterns[0] + (1 - ratio) * patterns[1] + noise * jr.normal(keys[1], (num_neurons,))
        rest = 0.01 * jr.normal(keys[2], (num_neurons,))
        saliency = scale * patterns @ u / num_neurons
        shaped = C.GradedEnergyNetwork(C.hebbian(patterns, saliency, self_coupling=True), hj.Layer(units))
        added = C.GradedEnergyNetwork(C.hebbian(patterns, self_coupling=True), hj.Layer(units, input=scale * u))

        def success(network, x):
            end = hj.integrate(network, x, t1=t1, max_steps=1024, throw=False)
            overlap = jnp.abs(patterns @ units.activation(end.final)) / num_neurons
            return (overlap[0] > 0.9) & (jnp.max(overlap[1:]) < 0.5), ~hj.is_okay(end.result)

        starts = jnp.stack([rest, scale * u])
        found = [jax.vmap(lambda x, n=n: success(n, x))(starts) for n in (shaped, added)]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *found)

    return jax.vmap(one)(keys)


@jax.jit
def all_held(ratio, noise, scale, keys):
    return jax.lax.map(lambda a: jax.tree.map(lambda x: jnp.sum(x, axis=0), held(*a, keys)), (ratio, noise, scale))


def wilson(k, n):
    """Centre and half width of Wilson's interval of one standard deviation."""
    return (k + 0.5) / (n + 1), np.sqrt(k * (n - k) / n + 0.25) / (n + 1)


grid = np.stack(np.meshgrid(noises, scales, ratios, indexing="ij"), -1).reshape(-1, 3)
counts, failed = map(np.asarray, all_held(*jnp.asarray(grid[:, [2, 0, 1]].T), jr.split(jr.key(0), num_draws)))
counts = counts.reshape(len(noises), len(scales), len(ratios), 4)

# %%
names = ["shaped, from rest", "shaped, from u", "added, from rest", "added, from u"]
styles = [("C0", "o-"), ("C0", "s--"), ("C1", "o-"), ("C1", "s--")]
figure, axes = plt.subplots(
    len(noises), len(scales), figsize=(13, 6), sharex=True, sharey=True, layout="constrained", squeeze=False
)
print(
    f"N = {num_neurons}, 10 random patterns, clip(2x) units, {num_draws} draws, t = {t1:g}; {failed.sum()} "
    "runs failed; share that holds ξ¹ alone"
)
for i, noise in enumerate(noises):
    for j, scale in enumerate(scales):
        ax = axes[i, j]
        print(f"σ = {noise}, scale {scale}:  c   " + "   ".join(f"{name:17s}" for name in names))
        for k, ratio in enumerate(ratios):
            cells = (wilson(n, num_draws) for n in counts[i, j, k])
            print(f"{ratio:24.2f}   " + "   ".join(f"{p:.3f} ± {e:.3f}    " for p, e in cells))
        for n, (name, (colour, style)) in enumerate(zip(names, styles, strict=True)):
            p, e = wilson(counts[i, j, :, n], num_draws)
            ax.errorbar(ratios, p, e, fmt=style, color=colour, label=name, markersize=4)
        ax.set_title(f"σ = {noise:g}, s = {scale:g}", fontsize="medium")
        ax.set_ylim(-0.03, 1.03)
for ax in axes[-1]:
    ax.set_xlabel("share c of ξ¹ in the mixture")
for ax in axes[:, 0]:
    ax.set_ylabel("P(ξ¹ alone)")
for name, rows in (("shaped", slice(0, 2)), ("added", slice(2, 4))):
    mean = counts[..., rows].mean(axis=(0, 2, 3)) / num_draws
    best = int(mean.argmax())
    print(
        f"{name}: best scale {scales[best]} ({mean[best]:.3f} over all c, noises, starts); all scales {mean.round(3)}"
    )
axes[0, 0].legend(fontsize="small")
figure.suptitle(f"Input u = s[c ξ¹ + (1 − c) ξ² + σ noise]: shaped synapses or added input; N = {num_neurons}")
figure.savefig(options.output, dpi=150)
