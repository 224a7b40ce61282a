# %% [markdown]
# # Do memories that are trained to denoise perform better than stored ones?
#
# A network with LogSumExp hidden units gets a corrupted digit x (scikit-learn's; noise, one half hidden); its fixed
# point is the denoised digit. Its hidden neurons, h = Ξ(g + x) − |ξ|², compare every memory with the state and with x:
# h = −(|g − ξ|² + |x − ξ|²)/2 up to a common term. Ξ and β are trained on the error of the fixed point, starting from
# random digits, by implicit gradients (one linear solve) or unrolled ones (through a hundred updates); k-means gives
# stored averages. Last, the network is one layer of a model. Every key gives another split, other cues and starts.

# %%
import argparse
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

import hopfield_jax as hj
from hopfield_jax import plot

parser = argparse.ArgumentParser(description="Do memories that are trained to denoise serve better than stored ones?")
parser.add_argument("--quick", action="store_true", help="few training steps, two keys")
parser.add_argument("--output", default="denoising_memories.png", help="file of the figure")
options = parser.parse_args()
num_keys, num_steps = (2, 10) if options.quick else (5, 300)
num_memories, batch, sigma, features = 32, 64, 0.3, 48


# %%
def attractor(network, cue):
    found = hj.steady_state(network, cue, throw=False)
    return jnp.where(found.result == hj.RESULTS.successful, found.state, cue)  # masks states that did not settle


def updates(network, cue):
    return jax.lax.scan(lambda v, _: (network.update(v), None), cue, length=100)[0]


class Denoiser(eqx.Module):
    patterns: jax.Array
    log_beta: jax.Array  # keeps β positive
    settle: Callable = eqx.field(static=True)

    def __call__(self, cue, *, key=None):  # as Equinox calls its own layers
        bias = self.patterns @ cue - jnp.sum(jnp.square(self.patterns), axis=1)
        memories, units = hj.associative.MemoryMap(self.patterns, bias), hj.LogSumExp(jnp.exp(self.log_beta))
        return self.settle(hj.associative.AdiabaticNetwork(memories, hidden=units), cue)


def corrupt(key, images):
    noise_key, half_key = jr.split(key)
    seen = jnp.arange(64) // 32 == jr.randint(half_key, (len(images), 1), 0, 2)
    return jnp.where(seen, images + sigma * jr.normal(noise_key, images.shape), jnp.nan)


@eqx.filter_jit  # one program for training, for testing and for the figure
@partial(eqx.filter_value_and_grad, has_aux=True)
def slope(model, key, images):
    denoised = jax.vmap(model)(jnp.nan_to_num(corrupt(key, images)))  # hidden pixels get the mean, zero
    return jnp.mean(jnp.square(denoised - images)), denoised


def error(model, key, images):
    return np.mean([slope(model, jr.fold_in(key, i), x)[0][0] for i, x in enumerate(images.reshape(-1, batch, 64))])


def train(model, key, images):
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    for batch_key, cue_key in jr.split(key, (num_steps, 2)):
        _, gradient = slope(model, cue_key, jr.choice(batch_key, images, (batch,)))
        change, state = update(gradient, state)
        model = eqx.apply_updates(model, change)
    return model


# %%
optimiser = optax.adam(optax.cosine_decay_schedule(0.03, num_steps))
update = eqx.filter_jit(optimiser.update)
pixels, table = jnp.asarray(load_digits(return_X_y=True)[0], jnp.float32) / 16, []
for keys in (jr.split(jr.key(seed), 5) for seed in range(num_keys)):
    images = jr.permutation(keys[0], pixels)
    images -= (mean := jnp.mean(images[256:], axis=0))
    test, seen, some = images[:256], images[256:], images[-num_memories:]
    means = jnp.asarray(KMeans(num_memories, random_state=0).fit(np.asarray(seen)).cluster_centers_)
    models = {"as corrupted": eqx.nn.Identity()}
    for name, patterns in {"random digits": some, "averages": means}.items():  # with the best β for each
        tried = [Denoiser(patterns, log_beta, attractor) for log_beta in jnp.linspace(-1.5, 1.5, 6)]
        models[name] = min(tried, key=lambda model: error(model, keys[1], seen[:256]))
    for name, settle in {"learned, implicit": attractor, "learned, unrolled": updates}.items():
        models[name] = train(Denoiser(some, jnp.float32(-1.2), settle), keys[1], seen)
    encoder, decoder = eqx.nn.Linear(64, features, key=keys[2]), eqx.nn.Linear(features, 64, key=keys[3])
    layer = Denoiser(jax.vmap(encoder)(some), jnp.float32(0.0), updates)
    models["learned, as a layer"] = train(eqx.nn.Sequential([encoder, layer, decoder]), keys[1], seen)
    table.append([error(model, keys[4], test) for model in models.values()])

print(f"{num_memories} memories: error² a pixel of held-out digits, mean over {num_keys} keys ± standard error")
for name, errors in zip(models, np.transpose(table), strict=True):
    print(f"{name:20} {errors.mean():.4f} ± {errors.std(ddof=1) / num_keys**0.5:.4f}")
learned = models["learned, implicit"]
pair = (Denoiser(learned.patterns, learned.log_beta, settle) for settle in (attractor, updates))
implicit, unrolled = (slope(model, keys[1], seen[:batch])[1].patterns for model in pair)
gap = jnp.linalg.norm(implicit - unrolled) / jnp.linalg.norm(implicit)
print(f"β = {jnp.exp(learned.log_beta):.2f}; there, implicit and unrolled gradients differ by {gap:.0e} of their norm")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), width_ratios=(1, 1.3), layout="constrained")
tiles = jnp.pad((learned.patterns + mean).reshape(4, 8, 8, 8), ((0, 0), (0, 0), (0, 1), (0, 1))).swapaxes(1, 2)
left.imshow(tiles.reshape(36, 72)[:-1, :-1], cmap="Greys", vmin=0, vmax=1)
left.set(title="Learned memories (implicit gradient)", xticks=[], yticks=[])
found = {name: slope(models[name], keys[4], test[:batch])[0][1][:8] for name in ("averages", "learned, implicit")}
plot.images(test[:8], corrupt(keys[4], test[:batch])[:8], found, (8, 8), right, offset=mean, threshold=0, cmap="Greys")
right.set_title("Held-out digits (cosine with the original, less the mean digit)")
figure.savefig(options.output, dpi=150)
