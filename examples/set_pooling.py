# %% [markdown]
# # Can a layer find the one digit that matters in a bag?
#
# Multiple-instance learning: a bag of up to twelve scanned digits (scikit-learn's) is positive if there is a 9 in it;
# only the bag has a label. `PoolingLayer` has one learned query that meets all digits of a bag (Ramsauer et al. 2021);
# its similarity is softmax or sparsemax. Both are compared with the mean over the bag. Bags have several lengths, and
# are padded: a mask hides the padding. The weights show which digit decided, though no digit was ever labelled.

# %%
import argparse

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

parser = argparse.ArgumentParser(description="Can a layer find the one digit that matters in a bag?")
parser.add_argument("--quick", action="store_true", help="two seeds, few training steps")
parser.add_argument("--output", default="set_pooling.png", help="file of the figure")
options = parser.parse_args()
num_seeds, num_steps = (2, 60) if options.quick else (5, 800)
wanted, longest, features = 9, 12, 24
families = {"mean": None, "softmax": hj.LogSumExp(1.0), "sparsemax": hj.Sparsemax(1.0)}


# %%
class Bags(eqx.Module):
    encoder: eqx.nn.MLP
    pool: A.PoolingLayer | None
    decide: eqx.nn.Linear

    def __init__(self, units, key):
        keys = jr.split(key, 3)
        self.encoder = eqx.nn.MLP(64, features, 48, 1, key=keys[0])
        self.pool = units and A.PoolingLayer(1, features, units=units, key=keys[1])
        self.decide = eqx.nn.Linear(features, 1, key=keys[2])

    def __call__(self, bag, real):
        x = jax.vmap(self.encoder)(bag)
        mean = lambda: jnp.sum(jnp.where(real[:, None], x, 0), axis=0) / jnp.sum(real)  # noqa: E731
        return self.decide(mean() if self.pool is None else self.pool(x, mask=real)[0])[0]

    def weights(self, bag, real):
        return self.pool.association.weights(self.pool.queries, jax.vmap(self.encoder)(bag), mask=real)[0, 0]


def draw(key, pixels, labels):
    """A bag, which of its places are filled, its digits; one half of the bags contain the wanted digit, once."""
    pick_key, size_key, place_key, kind_key, which_key = jr.split(key, 5)
    others = jr.choice(pick_key, len(labels), (longest,), p=(labels != wanted) / jnp.sum(labels != wanted))
    one = jr.choice(which_key, len(labels), p=(labels == wanted) / jnp.sum(labels == wanted))
    size = jr.randint(size_key, (), 4, longest + 1)
    place, positive = jr.randint(place_key, (), 0, size), jr.bernoulli(kind_key)
    index = others.at[place].set(jnp.where(positive, one, others[place]))
    return pixels[index], jnp.arange(longest) < size, labels[index]


def is_positive(real, digits):
    return jnp.any(real & (digits == wanted), axis=-1)


@eqx.filter_jit
def train(model, pixels, labels, key):
    optimiser = optax.adam(optax.cosine_decay_schedule(0.003, num_steps))
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays, bags, real, digits):
        guess = jax.vmap(eqx.combine(arrays, rest))(bags, real)
        return jnp.mean(optax.sigmoid_binary_cross_entropy(guess, is_positive(real, digits).astype(guess.dtype)))

    def step(carry, key):
        arrays, state = carry
        slope = jax.grad(loss)(arrays, *jax.vmap(draw, (0, None, None))(jr.split(key, 64), pixels, labels))
        change, state = optimiser.update(slope, state)
        return (optax.apply_updates(arrays, change), state), None

    (arrays, _), _ = jax.lax.scan(step, (arrays, optimiser.init(arrays)), jr.split(key, num_steps))
    return eqx.combine(arrays, rest)


pixels, labels = load_digits(return_X_y=True)
pixels, labels = jnp.asarray(pixels, jnp.float32) / 16 - 0.5, jnp.asarray(labels)
found, models = {name: [] for name in families}, {}
for seed in range(num_seeds):
    split_key, model_key, train_key, test_key = jr.split(jr.key(seed), 4)
    seen, new = jnp.split(jr.permutation(split_key, len(labels)), [1297])
    bags, real, digits = jax.vmap(draw, (0, None, None))(jr.split(test_key, 1000), pixels[new], labels[new])
    for name, units in families.items():
        models[name] = model = train(Bags(units, model_key), pixels[seen], labels[seen], train_key)
        found[name].append(jnp.mean((jax.vmap(model)(bags, real) > 0) == is_positive(real, digits)))
print(f"bags of new digits, {num_seeds} seeds ± standard error")
for name, right in found.items():
    print(f"{name:10} accuracy {np.mean(right):.4f} ± {np.std(right, ddof=1) / num_seeds**0.5:.4f}")
positive = is_positive(real, digits)
for name in ("softmax", "sparsemax"):
    weights = jax.vmap(models[name].weights)(bags, real)
    hit = jnp.mean(jnp.take_along_axis(digits, jnp.argmax(weights, axis=1)[:, None], axis=1)[positive] == wanted)
    used = jnp.mean(jnp.sum(weights > 0, axis=1))
    print(f"{name:10} largest weight on the {wanted} in {hit:.1%} of positive bags, {used:.1f} digits in use")

# %%
figure, axes = plt.subplots(5, longest, figsize=(10, 4.8), layout="constrained")
shown = jnp.nonzero(positive)[0][:5]
for row, bag in zip(axes, shown, strict=True):
    weights = models["sparsemax"].weights(bags[bag], real[bag])
    for ax, image, weight, there in zip(row, bags[bag], weights, real[bag], strict=True):
        ax.imshow(jnp.where(there, image, -0.5).reshape(8, 8), cmap="Greys", alpha=1.0 if there else 0.0)
        ax.set(xticks=[], yticks=[], xlabel=f"{weight:.2f}" if weight > 0.005 else "")
        ax.spines[:].set(color=plot.COLOURS[1] if weight > 0 else "0.85", linewidth=1 + 2 * float(weight))
figure.suptitle(f"Bags with a {wanted}: weights of the sparse layer (zero where there is none)")
figure.savefig(options.output, dpi=150)
