# %% [markdown]
# # Can a transformer block be the descent of one energy?
#
# After Hoover et al. (2023, "Energy Transformer"): one layer of neurons, tokens × features with layer normalisation,
# and two synapses, each an energy of the activations g. Attention attracts tokens to each other, −(1/β) Σ_heads Σ_C log
# Σ_{B≠C} exp(β K_B·Q_C); memories attract each token to common features of the data, −½ Σ relu(ξ·g)². The dynamics
# follows by differentiation, so the energy falls for any weights. After a short training the same block fills in hidden
# rows of scanned digits (scikit-learn's, eight tokens of eight pixels each).

# %%
import argparse

import diffrax as dfx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
from jax.tree_util import Partial
from sklearn.datasets import load_digits

import hopfield_jax as hj
from hopfield_jax import plot

parser = argparse.ArgumentParser(description="Can a transformer block be the descent of one energy?")
parser.add_argument("--quick", action="store_true", help="few training steps")
parser.add_argument("--output", default="energy_transformer.png", help="file of the figure")
options = parser.parse_args()
num_steps, features, heads, head_size, num_memories, hidden = (5 if options.quick else 1000), 32, 4, 8, 64, 3


# %%
def attention(keys, queries, g):
    keys, queries = (jnp.einsum("hzd,td->htz", w, g) for w in (keys, queries))
    scores = head_size**-0.5 * jnp.einsum("hbz,hcz->hcb", keys, queries)
    scores = jnp.where(jnp.eye(len(g), dtype=bool), -jnp.inf, scores)
    return -jnp.sum(jax.nn.logsumexp(scores, axis=-1)) * head_size**0.5


def memory(patterns, g):
    return -0.5 * jnp.sum(jnp.square(jax.nn.relu(g @ patterns.T)))


def block(p, tokens):
    synapses = {"attention": Partial(attention, p["keys"], p["queries"]), "memory": Partial(memory, p["memories"])}
    return hj.associative.LayeredNetwork(
        layers={"tokens": hj.Layer(hj.LayerNorm(), input=tokens)},
        synapses={name: (energy, ("tokens",)) for name, energy in synapses.items()},
    )


# %% [markdown]
# Images are the input to the tokens; a hidden row is replaced by a learned vector. Four Euler steps fill it in.


# %%
def fill_in(p, image, seen):
    tokens = jnp.where(seen[:, None], image @ p["encode"], p["hidden"]) + p["place"]
    network = block(p, tokens)
    run = hj.integrate(network, {"tokens": tokens}, t1=1.0, dt0=0.25, solver=dfx.Euler(), max_steps=5, throw=False)
    return jnp.where(seen[:, None], image, network.activations(run.final)["tokens"] @ p["decode"])


def loss(p, images, seen):  # over hidden pixels only
    return jnp.mean(jnp.square(jax.vmap(fill_in, (None, 0, 0))(p, images, seen) - images)) * 8 / hidden


def hide(key, count):
    return jax.vmap(lambda k: jr.permutation(k, 8) >= hidden)(jr.split(key, count))


@jax.jit
def train_step(state, i):  # Adam with a rate that falls to zero
    (p, first, second), (pick_key, hide_key) = state, jr.split(jr.fold_in(jr.key(1), i))
    slope = jax.grad(loss)(p, jr.choice(pick_key, train, (64,)), hide(hide_key, 64))
    first = jax.tree.map(lambda m, d: 0.9 * m + 0.1 * d, first, slope)
    second = jax.tree.map(lambda v, d: 0.99 * v + 0.01 * d**2, second, slope)
    rate = 8e-3 * (1 - i / num_steps)
    return jax.tree.map(lambda x, m, v: x - rate * m / (jnp.sqrt(v) + 1e-6), p, first, second), first, second


pixels, _ = load_digits(return_X_y=True)
digits = jnp.asarray(pixels, jnp.float32).reshape(-1, 8, 8) / 16 - 0.5
train, test = digits[:1500], digits[1500:]
shapes = {"encode": (8, features), "decode": (features, 8), "place": (8, features), "hidden": (features,)}
shapes |= {k: (heads, head_size, features) for k in ("keys", "queries")} | {"memories": (num_memories, features)}
scales = {"memories": 0.05, "decode": 0.02, "hidden": 0.02}
random = {n: scales.get(n, 0.18) * jr.normal(jr.fold_in(jr.key(0), i), s) for i, (n, s) in enumerate(shapes.items())}
state = (random, jax.tree.map(jnp.zeros_like, random), jax.tree.map(jnp.zeros_like, random))
for i in range(num_steps):
    state = train_step(state, i)
seen = hide(jr.key(2), len(test))
filled = jax.jit(jax.vmap(fill_in, (None, 0, 0)))(state[0], test, seen)
for name, guess in (("the trained block", filled), ("the mean row", jnp.where(seen[:, :, None], test, train.mean(0)))):
    error = jnp.mean(jnp.square(guess - test), (1, 2)) * 8 / hidden
    print(f"error² a hidden pixel by {name}: {error.mean():.4f} ± {error.std() / len(test) ** 0.5:.4f}")

# %% [markdown]
# Energy along the continuous dynamics, from random tokens with random weights: the energy falls without training.

# %%
times, starts = jnp.linspace(0.0, 8.0, 81), 3 * jr.normal(jr.key(3), (12, 8, features))
network = block(random, jnp.zeros((8, features)))
statistics = lambda t, y, args: network.energy(y)  # noqa: E731
descend = lambda x: hj.integrate(network, {"tokens": x}, t1=8.0, saveat=times, statistics=statistics, throw=False)  # noqa: E731
energy = np.asarray(jax.jit(jax.vmap(descend))(starts).values)
print(f"energy falls by {np.mean(energy[:, 0] - energy[:, -1]):.1f}, largest rise {max(0, np.diff(energy).max()):.1e}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.3), width_ratios=(1, 1.6), layout="constrained")
left.plot(times, energy.T, color=plot.COLOURS[0], alpha=0.6)
left.set(xlabel="time t (units of τ)", ylabel="energy E", title="Random tokens, random weights")
left.spines[["top", "right"]].set_visible(False)
shown = (x[:10].reshape(10, 64) for x in (test, jnp.where(seen[:, :, None], test, jnp.nan), filled))
plot.images(next(shown), next(shown), {"filled in": next(shown)}, (8, 8), right, cmap="gray_r")
right.set_title("New digits with three of eight rows hidden, after training")
figure.savefig(options.output, dpi=150)
