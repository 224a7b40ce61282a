# %% [markdown]
# # Why is a derivative along a path wrong under strong plasticity?
#
# The order parameters of a mean-field solution drive single sites, each with its own noise z. Here z moves along a
# line, z = z' + e y. Strong plasticity leaves sites in one of two states, and borders on the line divide those that end
# in either. As the strength λ changes the borders move. A derivative along a path does not see this; the secant slope
# Δφ/Δx of two neighbours on both sides of a border does.

# %%
import argparse

import jax
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

D = hj.dmft
parser = argparse.ArgumentParser(description="Why is a derivative along a path wrong under strong plasticity?")
parser.add_argument("--quick", action="store_true", help="fewer steps and paths")
parser.add_argument("--output", default="jumping_paths.png", help="file of the figure")
options = parser.parse_args()
num_steps, num_samples, num_shifts = (12, 2048, 4) if options.quick else (40, 16384, 8)
beta, strength, change, cue = 4.0, 2.0, 1.0, D.SpinCue(0.5)
key = jr.key(0)


def network(strength):
    return D.PlasticNetwork(load=0.1, units=hj.LogCosh(beta), kernel=D.LeakyHebbian(strength, tau=5.0))


def driven(theory, z, spin=1.0):
    """States and outputs, shape (times, paths), of sites with noise of the solution's covariance, in its fields."""
    overlap, feedback = (
        np.asarray(x, float) for x in (theory.overlap, theory.crosstalk_feedback + theory.plastic_feedback)
    )
    values, vectors = np.linalg.eigh(np.asarray(theory.noise_covariance, float))
    noise = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T @ z
    x, phi = np.full((2, num_steps + 1, z.shape[1]), spin)
    for t in range(num_steps):
        x[t + 1] = overlap[t] + noise[t] + feedback[t, : t + 1] @ phi[: t + 1]
        phi[t + 1] = np.tanh(beta * x[t + 1])
    return x, phi, noise


# %% [markdown]
# On the left paths on one line, in the middle where they end, before and after a change of λ, with coarse neighbours
# and their secants.

# %%
before, after = (
    D.solve(network(x), cue, num_steps=num_steps, num_samples=num_samples, key=key)
    for x in (strength, strength + change)
)
base = np.asarray(jr.normal(jr.key(3), (num_steps + 1, 1)))
covariance = np.asarray(before.noise_covariance, float)
e = covariance[-2:-1].T / np.linalg.norm(covariance[-2])
base = base - e * (e.T @ base)
fine, coarse = np.linspace(-4.5, 4.5, 4001)[None], np.linspace(-4.5, 4.5, 17)[None]
figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
x, phi, _ = driven(before, base + e * fine)
colours = plt.get_cmap("coolwarm")((phi[-1] + 1) / 2)
for i in range(0, fine.size, 100):
    axes[0].plot(x[:, i], color=colours[i], linewidth=0.8)
axes[0].set(xlabel="step", ylabel="state x of a site", title="paths from a line, coloured by their end")
inset = axes[1].inset_axes((0.55, 0.3, 0.4, 0.35))
for name, theory, colour in ((f"λ = {strength}", before, "C0"), (f"λ = {strength + change}", after, "C3")):
    end = driven(theory, base + e * fine)[1][-1]
    axes[1].plot(fine[0], end, color=colour, label=name)
    inset.plot(fine[0], end, color=colour)
    borders = fine[0, np.flatnonzero(np.diff(np.sign(end)))]
    inset.set(xlim=(borders[0] - 0.03, borders[0] + 0.03), title="the border, enlarged")
    print(f"{name}: borders on the line at y = {', '.join(f'{y:.3f}' for y in borders)}")
nodes = driven(before, base + e * coarse)[1][-1]
axes[1].plot(coarse[0], nodes, "o--", color="0.4", markersize=4, linewidth=1, label="neighbours and secants")
axes[1].set(xlabel="position y on the line", ylabel="last output φ", title="where paths end, with neighbours")
axes[1].legend(fontsize="small")

# %% [markdown]
# On the right the derivative of the overlap by λ: along paths it is lost where the number of steps grows, by lines it
# agrees with differences.

# %%
sizes = {"num_steps": num_steps, "num_samples": num_samples, "key": key, "num_shifts": num_shifts}
every = {"measure": lambda order: order.overlap}
steps = np.arange(1, num_steps + 1)
for name, rule, style in (("along paths", D.Along(), "C7-"), ("by lines", D.Lines(), "C2-")):
    found = D.slopes(lambda s: (network(s), cue), strength, derivative=rule, **sizes, **every)
    axes[2].errorbar(steps, found.slope[1:], found.slope_error[1:], fmt=style, label=name, linewidth=1)
    print(f"dm/dλ after {num_steps} steps {name}: {found.slope[-1]:.5f} ± {found.slope_error[-1]:.5f}")


@jax.jit
def curve(strength, key):
    return D.solve(network(strength), cue, **sizes | {"num_shifts": 1, "key": key}, throw=False).overlap


rise = lambda h, key: (curve(strength + h, key) - curve(strength - h, key)) / (2 * h)  # noqa: E731
differences = np.array([(4 * rise(0.1, k) - rise(0.2, k)) / 3 for k in jr.split(key, 2 * num_shifts)])
mean, error = differences.mean(0), differences.std(0, ddof=1) / len(differences) ** 0.5
axes[2].errorbar(steps, mean[1:], error[1:], fmt="k.", markersize=4, label="differences, λ ± 0.1, ± 0.2", linewidth=1)
print(f"dm/dλ after {num_steps} steps by differences: {mean[-1]:.5f} ± {error[-1]:.5f}")
axes[2].set(xlabel="step", ylabel="dm/dλ", title=f"derivative at λ = {strength}", ylim=(-0.03, 0.01))
axes[2].legend(fontsize="small")
figure.savefig(options.output, dpi=150)
