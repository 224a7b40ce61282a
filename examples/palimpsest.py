# %% [markdown]
# # How old are the oldest memories of a palimpsest?
#
# Hebb's rule fails catastrophically: beyond 0.138 patterns per neuron no pattern can be retrieved. If every new pattern
# weakens the older ones by e^{−decay/N} (Mézard, Nadal and Toulouse 1986), the network can learn without end and
# retrieves the latest patterns. Slow decay leaves too much crosstalk, fast decay erases patterns: the best decay is
# 8.4, and the oldest retrievable pattern is then 0.049 N patterns old.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy import optimize
from scipy.special import erf

import hopfield_jax as hj
from hopfield_jax import classical, plot

parser = argparse.ArgumentParser(description="How far back does a memory reach that forgets?")
parser.add_argument("--quick", action="store_true", help="smaller networks, fewer decays and draws")
parser.add_argument("--output", default="palimpsest.png", help="file of the figure")
options = parser.parse_args()
sizes, num_draws = ((100, 200), 12) if options.quick else ((400, 800, 1600), 30)
decays = [8.4, 20.0] if options.quick else [5.0, 6.5, 8.4, 11.0, 15.0, 20.0]

# %% [markdown]
# Theory (T = 0, replica-symmetric, N → ∞): the crosstalk of all weights w(u) = e^{−decay u} has the variance
# ∫w²/(1 − wC)² du, and the pattern of age u has y = w(u) m/(√2 σ), m = erf y, C = √(2/π) e^{−y²}/σ.


# %%
def largest(function, lower, upper):
    found = optimize.minimize_scalar(lambda x: -function(x), bounds=(lower, upper), method="bounded")
    return found.x, -found.fun


def oldest(decay):
    def age(y):
        def imbalance(c):
            deviation = ((np.log1p(-c) + c / (1 - c)) / (decay * c**2)) ** 0.5
            return c - (2 / np.pi) ** 0.5 * np.exp(-(y**2)) / deviation

        c = optimize.brentq(imbalance, 1e-6, 1 - 1e-9)
        return -np.log(2 * y * np.exp(-(y**2)) / (np.pi**0.5 * c * erf(y))) / decay

    return largest(age, 0.5, 3.0)[1]


best, reach = largest(oldest, 4.0, 16.0)
print(f"theory: the best decay is {best:.3f}, the oldest memory {reach:.5f} N patterns old")

# %% [markdown]
# Networks that have learnt N patterns: the age at which half of the patterns are lost, starting from the pattern
# itself. `basin` bisects the age as it would a cue overlap.


# %%
def simulated(n, decay):
    def run(age, num_neurons, key):
        patterns = hj.random_patterns(num_neurons, num_neurons, key=key)
        target = patterns[-1 - jnp.round(age * num_neurons).astype(int)]
        network = classical.BinaryNetwork(classical.palimpsest(patterns, decay))
        return hj.overlap(target[None], classical.settle(network, target, num_steps=100))[0]

    ages = jnp.linspace(0.015, 0.085, 6)
    return classical.basin(run, ages, sizes, num_trials=num_draws, name="age", threshold=0.8, key=jax.random.key(n))


found = [simulated(n, decay) for n, decay in enumerate(decays)]
print(f"simulation, {num_draws} draws a point, half of the patterns retrieved (m ≥ 0.8) up to age/N")
for decay, one in zip(decays, found, strict=True):
    cells = ", ".join(f"{h:.4f} ± {e:.4f} (N = {n})" for h, e, n in zip(one.half, one.half_error, sizes, strict=True))
    print(f"decay {decay:5.1f}: theory {oldest(decay):.4f}; {cells}; {one.fit.describe()}")

# %%
axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")[1]
line = np.linspace(4, 22, 91)
axes.plot(line, [oldest(decay) for decay in line], color="0.2", linewidth=2, label="theory, N → ∞")
for n, size in enumerate(sizes):
    half, error = (np.array([getattr(one, name)[n] for one in found]) for name in ("half", "half_error"))
    axes.errorbar(decays, half, error, fmt="o-", color=plot.COLOURS[n], markersize=4, linewidth=1, label=f"N = {size}")
limit, error = (np.array([getattr(one.fit, name) for one in found]) for name in ("limit", "limit_error"))
axes.errorbar(decays, limit, error, fmt="s", color=plot.COLOURS[5], capsize=3, label="extrapolated, $N^{-1/2}$")
axes.axvline(best, color="0.6", linestyle=":", linewidth=1)
axes.set(xlabel="decay (ε²/2)", ylabel="age/N of the oldest pattern retrieved", ylim=(0, None))
axes.set_title("A memory that forgets: its reach against the decay", fontsize="medium")
axes.legend(frameon=False, fontsize="small")
axes.spines[["top", "right"]].set_visible(False)
axes.figure.savefig(options.output, dpi=150)
