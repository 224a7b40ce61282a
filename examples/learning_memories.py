# %% [markdown]
# # When do memories learn the presented patterns?
#
# Memories drift towards observed patterns, ξ' = memory + noise, while the visible neurons are clamped to one pattern
# after another (Lotito 2025, appendix B, Fig. 1). The first two panels compare the cosine between each memory and its
# pattern with theory: for the cyclic protocol eq. 40, corrected for the norms of ξ', for the random protocol the same
# curve with the realised numbers of presentations. The third shows where learning fails. The reference run has
# N_v = 50, N_h = 4, T = 2000, τ_Ξ = 250, β = 2, σ = 0.4 and orthogonal memories of norm √N_v.

# %%
import argparse
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj
from hopfield_jax import plot

A = hj.associative
parser = argparse.ArgumentParser(description="When do memories learn what they are shown?")
parser.add_argument("--quick", action="store_true", help="few draws, one size")
parser.add_argument("--output", default="learning_memories.png", help="file of the figure")
options = parser.parse_args()
num_draws = 4 if options.quick else 40
TAU, SUCCESS, CLOSE = 250.0, 0.95, 0.01
PAPER, NORMS, COUNTS = "eq. 40", "eq. 40, corrected for norms", "the curve with realised counts"

# %% [markdown]
# One draw: orthogonal memories, noisy patterns, a protocol (cyclic where no probabilities are given), and the theory.


# %%
def run(key, beta, sigma, probabilities, num_neurons, num_patterns):
    memory_key, noise_key, protocol_key = jr.split(key, 3)
    memories = hj.orthogonal_patterns(num_patterns, num_neurons, key=memory_key)
    observed = jax.vmap(lambda m, k: hj.add_noise(m, sigma, key=k))(memories, jr.split(noise_key, num_patterns))
    length = 500 * num_patterns  # t/τ_μ = 2 at the end
    if probabilities is None:
        protocol = A.cyclic_protocol(num_patterns, length)
    else:
        protocol = A.random_protocol(probabilities, length, key=protocol_key)
    rule = A.SoftmaxPlasticity(beta=beta, tau_memory=TAU)
    done = A.learn(rule, memories, observed, protocol, save_every=num_patterns if num_patterns > 4 else 1, throw=False)
    ratio = jnp.linalg.norm(observed, axis=1) / jnp.linalg.norm(memories, axis=1)
    start, time = done.similarity[0], done.times[:, None] / (num_patterns * TAU)
    return {
        "simulation": done.similarity,
        PAPER: A.similarity_curve(time, start),
        NORMS: A.similarity_curve(time, start, ratio),
        COUNTS: A.similarity_curve(done.visits / TAU, start, ratio),
    }


@partial(jax.jit, static_argnames=("num_neurons", "num_patterns"))
def draws(beta, sigma, probabilities=None, *, num_neurons=50, num_patterns=4):
    one = lambda key: run(key, beta, sigma, probabilities, num_neurons, num_patterns)  # noqa: E731
    return jax.vmap(one)(jr.split(jr.key(0), num_draws))


# %% [markdown]
# The reference run: largest deviation from each theory at any time, over draws.

# %%
reference = {"cyclic": draws(2.0, 0.4), "random": draws(2.0, 0.4, probabilities=jnp.full(4, 0.25))}
for protocol, runs in reference.items():
    for name in (PAPER, NORMS, COUNTS):
        worst = np.max(np.abs(runs["simulation"] - runs[name]), axis=(1, 2))
        print(f"{protocol} protocol, from {name}: {worst.mean():.1e} on average, {worst.max():.1e} at worst")

# %% [markdown]
# One parameter at a time. A draw *succeeds* if every memory ends with a cosine above 0.95, and *follows theory* if each
# ends within 0.01 of the curve with realised counts. A draw that follows theory may fail because its time was too
# short: memory μ has t/τ_μ = 8 p_μ.


# %%
def fractions(beta=2.0, sigma=0.4, **case):
    runs = draws(float(beta), sigma, **case)
    end, theory = runs["simulation"][:, -1], runs[COUNTS][:, -1]
    reached, followed = np.all(end > SUCCESS, axis=1), np.all(np.abs(end - theory) < CLOSE, axis=1)
    return [(x.mean(), np.sqrt(x.mean() * (1 - x.mean()) / num_draws)) for x in (reached, followed)] + [end.min()]


cases: list[tuple[str, dict]] = [(f"β = {b:g}", {"beta": b}) for b in (0.02, 0.05, 0.07, 0.1, 0.5, 2.0, 10.0)]
cases += [(f"σ = {s:g}", {"sigma": s}) for s in (0.2, 0.4, 1.0, 2.0, 4.0)]
if not options.quick:
    cases += [(f"N_v = {n}", {"num_neurons": n}) for n in (4, 10, 50, 200)]
    cases += [(f"N_h/N_v = {p}/50", {"num_patterns": p}) for p in (2, 10, 25, 50)]
cases += [(f"p = {p}", {"probabilities": jnp.array(p)}) for p in ([0.25] * 4, [0.4, 0.3, 0.2, 0.1], [0.5, 0.5, 0, 0])]
print(f"\n{num_draws} draws each          every cosine > {SUCCESS}    follows theory    smallest cosine")
for name, case in cases:
    (reached, error), (followed, other), least = fractions(**case)
    print(f"{name:<28}{reached:12.2f} ± {error:.2f}{followed:15.2f} ± {other:.2f}{least:15.3f}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(13.5, 4), layout="constrained")
for ax, name in zip(axes, reference, strict=False):
    theory = NORMS if name == "cyclic" else COUNTS
    times, one = np.arange(2001), {k: v[0] for k, v in reference[name].items()}
    plot.learning(times, one["simulation"], one[theory], ax=ax)
    ax.set_title(f"{name.capitalize()} protocol and {theory}", fontsize="medium")
betas = np.geomspace(0.01, 0.5, 6 if options.quick else 15)
for i, sigma in enumerate((0.4, 1.0, 2.0)):
    points = [fractions(beta, sigma)[1] for beta in betas]
    height, error = np.transpose(points)
    axes[2].errorbar(betas, height, error, marker="o", capsize=3, color=plot.COLOURS[i], label=f"σ = {sigma:g}")
axes[2].set(xscale="log", xlabel="selectivity β", ylabel="fraction of draws that follow theory", ylim=(-0.05, 1.08))
axes[2].set_title("Learning needs a selective rule", fontsize="medium")
axes[2].spines[["top", "right"]].set_visible(False)
axes[2].legend(frameon=False, fontsize="small", loc="lower right")
figure.savefig(options.output, dpi=150)
