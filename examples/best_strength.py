# %% [markdown]
# # How strong should plasticity be?
#
# For a cue at the edge of a memory's basin, weak plasticity does not help and strong plasticity imprints the cue
# itself. In between the final overlap has a maximum, found here by the gradient of mean-field theory. A dense grid with
# other random numbers, and networks of finite size at λ = 0, λ*/3, λ* and 3λ*, check it.

# %%
import argparse
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

D = hj.dmft
parser = argparse.ArgumentParser(description="How strong should plasticity be?")
parser.add_argument("--quick", action="store_true", help="one setting, fewer strengths and paths, smaller networks")
parser.add_argument("--output", default="best_strength.png", help="file of the figure")
options = parser.parse_args()
quick = options.quick
num_steps, num_samples, num_grid = (8, 512, 21) if quick else (20, 16384, 200)
num_neurons, num_networks = (500, 2) if quick else (8000, 16)

# Load, overlap of the cue, slope of the units, time constant of plasticity, largest strength.
settings = [
    (0.1, 0.5, 4.0, 5.0, 2.0),
    (0.12, 0.4, 4.0, 5.0, 4.0),
    (0.05, 0.2, 6.0, 10.0, 2.0),
    (0.13, 0.6, 4.0, 3.0, 2.0),
]
settings = settings[:1] if quick else settings


def theory(model, cue, key):
    return D.solve(model, cue, key=key, num_steps=num_steps, num_samples=num_samples, num_shifts=1, throw=False)


def network(model, cue, key):
    room = round(float(load) * num_neurons)
    options = {"num_steps": num_steps, "num_neurons": num_neurons, "num_trials": 1, "max_patterns": room}
    return D.simulate(model, cue, key=key, throw=False, **options)


def final_overlaps(run, strength, keys):
    """And their derivatives by the strength, for every key."""

    def one(key):
        final = lambda strength: D.final_overlap(lambda m, c: run(m, c, key), model_of(strength), cue)  # noqa: E731
        return jax.jvp(final, (strength,), (jnp.ones_like(strength),))

    return jax.lax.map(one, keys)


def mean_and_error(x):
    return f"{np.mean(x):.5f} ± {np.std(x, ddof=1) / len(x) ** 0.5:.5f}"


# %% [markdown]
# The maximum with its interval, a grid and networks for comparison, and derivatives at λ*/3, where the overlap still
# rises.

# %%
columns = min(2, len(settings))
rows = len(settings) // columns
fig, axes = plt.subplots(rows, columns, figsize=(7 * columns, 5 * rows), squeeze=False, layout="constrained")
for (load, cue_overlap, beta, tau, upper), ax in zip(settings, axes.flat, strict=True):
    model = D.PlasticNetwork(load=load, units=hj.LogCosh(beta), kernel=D.LeakyHebbian(0.0, tau))
    model_of = functools.partial(eqx.tree_at, lambda m: m.kernel.strength, model)
    cue = D.SpinCue(cue_overlap)
    best = D.optimal_strength(theory, model, cue, key=jr.key(0), upper=upper, progress=False)
    print(f"\nload {load}, cue {cue_overlap}, beta {beta}, tau {tau}\n{best}")

    of_theory = eqx.filter_jit(functools.partial(final_overlaps, theory))
    grid, keys = jnp.linspace(0, upper, num_grid), jr.split(jr.key(1), 4)
    mean = np.array([of_theory(strength, keys)[0].mean() for strength in grid])
    top = float(grid[np.argmax(mean)])
    inside = best.lower <= top <= best.upper
    print(f"grid of {num_grid}, other keys: largest {mean.max():.6f} at {top:.4f}, within the interval: {inside}")

    of_networks = eqx.filter_jit(functools.partial(final_overlaps, network))
    trials = jr.split(jr.key(2), num_networks)
    strengths = best.strength * jnp.array([0, 1 / 3, 1, 3])
    points = np.array([of_networks(strength, trials)[0] for strength in strengths])
    for strength, values in zip(strengths, points, strict=True):
        less = "" if strength == best.strength else f", at λ* more by {mean_and_error(points[2] - values)}"
        print(f"  {num_networks} networks, N = {num_neurons}, strength {strength:.3f}: {mean_and_error(values)}{less}")

    place, step = strengths[1], 0.01
    for name, function, with_keys in (("theory", of_theory, keys), ("networks", of_networks, trials)):
        difference = (function(place + step, with_keys)[0] - function(place - step, with_keys)[0]) / (2 * step)
        slope = function(place, with_keys)[1]
        print(f"  slope at {place:.3f}, {name}: {mean_and_error(slope)}, differences {mean_and_error(difference)}")

    hj.plot.optimal_strength(best, ax=ax)
    ax.plot(grid, mean, color="0.6", linewidth=1, label=f"grid of {num_grid}", zorder=0)
    error = points.std(axis=1, ddof=1) / num_networks**0.5
    ax.errorbar(strengths, points.mean(axis=1), error, fmt="s", color="C3", label=f"networks, N = {num_neurons}")
    ax.set(ylabel="overlap at the last step", ylim=(mean.max() - 0.15, mean.max() + 0.02))
    ax.legend(fontsize="small")

fig.savefig(options.output, dpi=150)
