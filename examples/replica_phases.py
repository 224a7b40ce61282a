# %% [markdown]
# # Which phases does the Hopfield model have at a load and a temperature?
#
# The statics of Amit, Gutfreund and Sompolinsky (1985, 1987), replica symmetric. Retrieval states exist below T_M and
# are in equilibrium below T_c; the spin glass exists below T_g = 1 + √α; mixtures of three patterns are stable in a
# corner. Every line is a root of equations, whose implicit derivative is its slope. A retrieval state ends in a fold:
# the branch is continued around it, to the saddle that separates it from the spin glass.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj
from hopfield_jax import plot

jax.config.update("jax_enable_x64", True)
T = hj.theory
parser = argparse.ArgumentParser(description="Which phases does the Hopfield model have at a load and a temperature?")
parser.add_argument("--quick", action="store_true", help="fewer points")
parser.add_argument("--output", default="replica_phases.png", help="file of the figure")
options = parser.parse_args()
size, num_lines = (40, 24) if options.quick else (200, 120)

# %% [markdown]
# Lines with their slopes by the temperature, all temperatures in one program, zero included.

# %%
warm = jnp.linspace(0, 1, num_lines)
temperatures = jnp.concatenate([jnp.linspace(0.002, 0.03, 15), warm, jnp.linspace(1.001, 1.5, 25)]).sort()


@jax.jit
@jax.vmap
def with_slopes(temperature):
    return jax.jvp(T.phase_lines, (temperature,), (jnp.ones_like(temperature),))


lines, slopes = with_slopes(temperatures)
print("   T      T_M at α   dα/dT      T_c at α   dα/dT      mixtures of 3 up to")
for i in range(0, len(temperatures), len(temperatures) // 9):
    if jnp.isfinite(lines.retrieval[i]):
        mixture = f"{lines.mixture[i]:.6f}" if jnp.isfinite(lines.mixture[i]) else "-"
        print(
            f"{temperatures[i]:6.3f}   {lines.retrieval[i]:.6f}  {slopes.retrieval[i]:+.4f}    "
            f"{lines.equilibrium[i]:.6f}  {slopes.equilibrium[i]:+.4f}    {mixture}"
        )
best = jnp.nanargmax(lines.retrieval)
print(f"largest load {lines.retrieval[best]:.6f} at T = {temperatures[best]:.3f}; {lines.retrieval[0]:.6f} at T = 0")

# %% [markdown]
# The whole plane, and the branch of retrieval states at a few temperatures.

# %%
diagram = T.phase_diagram(jnp.linspace(5e-4, 0.2, size), jnp.linspace(0, 1.5, size))
print(diagram)
branches = {t: T.replica_branch(t, load=0.002, step=0.008, num_steps=200) for t in (0.0, 0.3, 0.6)}
for t, branch in branches.items():
    print(f"T = {t}: fold at α = {branch.folds.parameter[0]:.7f}, m = {branch.folds.state[0, 0]:.5f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
plot.replica_phases(diagram, lines, ax=left)
for n, (t, branch) in enumerate(branches.items()):
    load, m = np.asarray(branch.parameter), np.asarray(branch.state[:, 0])
    fold = int(np.argmax(np.asarray(branch.direction) < 0))
    right.plot(load[:fold], m[:fold], color=plot.COLOURS[n], label=f"T = {t}")
    right.plot(load[fold - 1 :], m[fold - 1 :], ":", color=plot.COLOURS[n])
    right.plot(branch.folds.parameter, branch.folds.state[:, 0], "o", color=plot.COLOURS[n], markersize=4)
right.set(xlabel="load α = P/N", ylabel="overlap m", title="Retrieval, its fold, and the saddle beyond (dotted)")
right.title.set_fontsize("medium")
right.spines[["top", "right"]].set_visible(False)
right.legend(frameon=False, fontsize="small")
figure.savefig(options.output, dpi=150)
