# %% [markdown]
# # Is a sparse layer as good as softmax?
#
# Scanned digits (scikit-learn's) are classified by a layer of 32 learned memories between two linear maps, trained with
# three similarities: softmax, 1.5-entmax and sparsemax (Peters, Niculae and Martins 2019). Softmax mixes all memories;
# the others give exactly zero weight to most. Where memories are stored digits, a cue whose margin is large enough is
# retrieved exactly in one update, which softmax never does. The trained layer's network has an energy that falls.

# %%
import argparse
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

import hopfield_jax as hj
from hopfield_jax import associative as A
from hopfield_jax import plot

parser = argparse.ArgumentParser(description="Is a sparse layer as good as softmax?")
parser.add_argument("--quick", action="store_true", help="two seeds, few training steps")
parser.add_argument("--output", default="sparse_attention.png", help="file of the figure")
options = parser.parse_args()
num_seeds, num_steps = (2, 60) if options.quick else (5, 600)
features, num_memories = 16, 32
families = {"softmax": hj.LogSumExp(0.5), "1.5-entmax": hj.Entmax(1.5, 0.5), "sparsemax": hj.Sparsemax(0.5)}


# %%
class Classifier(eqx.Module):
    encoder: eqx.nn.Linear
    memory: A.MemoryLayer
    decoder: eqx.nn.Linear

    def __init__(self, units, key):
        keys = jr.split(key, 3)
        self.encoder, self.decoder = eqx.nn.Linear(64, features, key=keys[0]), eqx.nn.Linear(features, 10, key=keys[2])
        self.memory = A.MemoryLayer(num_memories, features, units=units, settle=A.Unrolled(2), key=keys[1])

    def __call__(self, images):
        return jax.vmap(self.decoder)(self.memory(jax.vmap(self.encoder)(images)))


@eqx.filter_jit
def train(model, images, labels, key):
    optimiser = optax.adam(optax.cosine_decay_schedule(0.01, num_steps))
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    error = optax.softmax_cross_entropy_with_integer_labels

    def step(carry, key):
        (arrays, state), batch = carry, jr.choice(key, len(images), (128,))
        slope = jax.grad(lambda a: jnp.mean(error(eqx.combine(a, rest)(images[batch]), labels[batch])))(arrays)
        change, state = optimiser.update(slope, state)
        return (optax.apply_updates(arrays, change), state), None

    (arrays, _), _ = jax.lax.scan(step, (arrays, optimiser.init(arrays)), jr.split(key, num_steps))
    return eqx.combine(arrays, rest)


pixels, labels = load_digits(return_X_y=True)
pixels, labels = jnp.asarray(pixels, jnp.float32) / 16 - 0.5, jnp.asarray(labels)
found, models = {name: [] for name in families}, {}
for seed in range(num_seeds):
    split_key, model_key, train_key = jr.split(jr.key(seed), 3)
    order = jr.permutation(split_key, len(pixels))
    seen, new = order[:1297], order[1297:]
    for name, units in families.items():
        models[name] = model = train(Classifier(units, model_key), pixels[seen], labels[seen], train_key)
        right = jnp.mean(jnp.argmax(model(pixels[new]), axis=1) == labels[new])
        weights = model.memory.association.weights(jax.vmap(model.encoder)(pixels[new]), model.memory.keys)
        found[name].append((right, jnp.mean(jnp.sum(weights[0] > 0, axis=1))))
print(f"new digits, {num_seeds} seeds ± standard error; memories in use of {num_memories}")
for name, values in found.items():
    (right, used), error = np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / num_seeds**0.5
    print(f"{name:10}  accuracy {right:.4f} ± {error[0]:.4f}, memories {used:.1f} ± {error[1]:.1f}")
last = models["sparsemax"]
network, starts = last.memory.network(), last.memory.association.states(jax.vmap(last.encoder)(pixels[new[:200]]))[0]
falls = jax.vmap(partial(hj.check_descent, network))(starts).descends
rest = jax.vmap(lambda v: hj.steady_state(network, v, throw=False).state)(starts)
attractors = np.unique(np.round(rest[jnp.all(jnp.isfinite(rest), axis=1)], 2), axis=0)
print(
    f"behind the last sparse layer: energy falls at {jnp.mean(falls):.0%} of the states of 200 new digits, which end in"
)
print(f"{len(attractors)} attractors; slope β = {network.hidden.beta:.2f}")

# %% [markdown]
# Stored digits: how often one update from a noisy cue ends exactly at the digit.

# %%
stored, sigmas = pixels[:100], jnp.linspace(0.0, 0.6, 13)
bias = -0.5 * jnp.sum(jnp.square(stored), axis=1)  # distances instead of dot products


def exact(units, sigma, key):
    network = A.AdiabaticNetwork(A.MemoryMap(stored, bias), hidden=units)
    updated = jax.vmap(network.update)(stored + sigma * jr.normal(key, stored.shape))
    return jnp.mean(jnp.all(updated == stored, axis=1))


sharp = {"softmax": hj.LogSumExp(2.0), "1.5-entmax": hj.Entmax(1.5, 2.0), "sparsemax": hj.Sparsemax(2.0)}
curves = {name: jax.vmap(lambda s, u=units: exact(u, s, jr.key(9)))(sigmas) for name, units in sharp.items()}
axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")[1]
for n, (name, values) in enumerate(found.items()):
    for ax, value in zip(axes[:2], np.transpose(values), strict=True):
        ax.errorbar(n, value.mean(), value.std(ddof=1) / num_seeds**0.5, fmt="o", color=plot.COLOURS[n], capsize=4)
    axes[2].plot(sigmas, curves[name], "o-", color=plot.COLOURS[n], markersize=3, label=name)
for ax, label in zip(axes, ("accuracy on new digits", "memories in use", "retrieved exactly"), strict=True):
    ax.set(ylabel=label, ylim=(0, None) if ax is axes[1] else None)
    ax.spines[["top", "right"]].set_visible(False)
    if ax is not axes[2]:
        ax.set_xticks(range(3), list(families))
axes[2].set(xlabel="noise σ of the cue", title="100 stored digits, one update, β = 2")
axes[2].legend(frameon=False)
axes[0].figure.savefig(options.output, dpi=150)
