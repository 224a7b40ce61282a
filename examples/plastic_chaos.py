# %% [markdown]
# # How does Hebbian plasticity change the chaos of a random network?
# Random couplings of variance Δ²/N without stored patterns are chaotic for Δ > 1. Leaky Hebbian synapses on top of
# them imprint what the neurons do just now: activity grows and loses its memory more slowly, and strong plasticity all
# but stops it (Clark and Abbott 2024).

# %%
import argparse

import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="shorter, fewer paths and neurons")
parser.add_argument("--output", default="plastic_chaos.png", help="where to write the figure")
arguments = parser.parse_args()

D = hj.dmft
gain, dt, cue = 1.5, 0.25, D.GaussianCue(0.0, 1.0)
num_steps, num_samples, num_neurons, num_trials = (32, 512, 200, 3) if arguments.quick else (160, 4096, 3000, 4)
cases = ((0.0, 3.0), (1.0, 3.0), (2.2, 5.0))  # strength and time constant

# %% [markdown]
# A network of coupling 0 keeps no pattern: `Noisy` couplings alone remain. No field along a pattern acts, and the
# correlation of the outputs is all there is to know. Steps of second order.


# %%
def network(strength, tau):
    kernel, synapses = D.LeakyHebbian(strength, tau), D.Noisy(gain**2, symmetry=0.0)
    return D.PlasticNetwork(
        load=1e-3, units=hj.LogCosh(), kernel=kernel, dt=dt, coupling=0.0, synapses=synapses, scheme=D.AdamsBashforth()
    )


def theory(model):
    sizes = {"num_samples": num_samples, "num_shifts": 2, "max_rank": min(num_steps, 160)}
    return D.solve(model, cue, num_steps=num_steps, key=jr.key(0), **sizes)


def simulation(model):
    sizes = {"num_neurons": num_neurons, "num_trials": num_trials}
    return D.simulate(model, cue, num_steps=num_steps, key=jr.key(1), **sizes)


print(f"Δ = {gain}, dt = {dt}, until t = {num_steps * dt:g}, N = {num_neurons}, {num_trials} networks")
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), constrained_layout=True)
for n, (strength, tau) in enumerate(cases):
    model = network(strength, tau)
    expected, found = theory(model), simulation(model)
    name = "without plasticity" if strength == 0 else f"k = {strength}, p = {tau:g}"
    times, square, measured = np.asarray(expected.times), np.diag(expected.correlation), np.diag(found.correlation)
    error = np.diag(found.correlation_error)
    left.plot(times, square, color=f"C{n}", label=name)
    left.errorbar(times[::8], measured[::8], error[::8], fmt="o", color=f"C{n}", markersize=3, capsize=2)
    half = len(times) // 2
    at = half + np.arange(half)
    normalised = [np.asarray(c)[at, half] / np.sqrt(s[at] * s[half]) for c, s in (
        (expected.correlation, square), (found.correlation, measured)
    )]  # fmt: skip
    right.plot(times[at] - times[half], normalised[0], color=f"C{n}", label=name)
    right.plot((times[at] - times[half])[::8], normalised[1][::8], "o", color=f"C{n}", markersize=3)
    print(f"{name}: ⟨φ²⟩ = {square[-1]:.3f} (theory), {measured[-1]:.3f} ± {error[-1]:.3f} (networks); ", end="")
    print(f"correlation over {times[at[-1]] - times[half]:g}: {normalised[0][-1]:.3f}, {normalised[1][-1]:.3f}")
left.set(xlabel="time", ylabel=r"$\langle\phi^2\rangle$", title="Size of the activity")
left.legend()
right.set(xlabel="lag", ylabel="correlation", title=f"Memory of the activity at t = {num_steps * dt / 2:g}")
figure.suptitle(f"Δ = {gain}; lines: theory, points: N = {num_neurons}")
figure.savefig(arguments.output, dpi=150)
