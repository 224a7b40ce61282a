# %% [markdown]
# # How much is stored by synapses of a few bits, and when some are missing?
# A network of sign units whose couplings are Hebb's sums rounded to 2^b values, or of which a random fraction is left.
# Theory: each is Hebb's rule with noise of variance αδ, and the critical load follows. Beside it the largest load at
# which networks that start in a pattern keep it for a while.

# %%
import argparse

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="fewer neurons, networks and points")
parser.add_argument("--output", default="coarse_synapses.png", help="where to write the figure")
arguments = parser.parse_args()

D = hj.dmft
num_neurons, num_repeats, num_steps, halvings = (200, 3, 20, 5) if arguments.quick else (2000, 6, 60, 8)
highest, num_samples = (0.4, 512) if arguments.quick else (0.25, 8192)
bits = [1, 2, 3] if arguments.quick else [1, 2, 3, 4]
shares = [0.25, 0.5] if arguments.quick else [0.1, 0.25, 0.5, 0.75]

# %% [markdown]
# The same question to the dynamics, of networks and in theory (N → ∞): up to which load is the overlap at least 0.7
# after so many steps? Beyond α_c networks leave their pattern slowly, or are caught near it, which the stationary
# theory does not know. Small networks keep more.


# %%
def kept(synapses, verb, keys, **sizes):
    """The largest load of every key."""

    @jax.jit
    def load(key):
        def margin(load):
            model = D.PlasticNetwork(load, D.Sign(), synapses=synapses)
            run = verb(model, D.SpinCue(1.0), num_steps=num_steps, key=key, throw=False, **sizes)
            return run.overlap[-1] - 0.7

        return hj.bisect(margin, 0.01, highest, num_iterations=halvings, throw=False).value

    return np.array([float(load(key)) for key in keys])


def dynamics(synapses):
    """In theory, and mean and standard error over networks."""
    paths = {"num_samples": num_samples, "num_shifts": 1, "max_rank": num_steps, "tolerance": 3e-3}
    (theory,) = kept(synapses, D.solve, [jr.key(1)], **paths)
    sizes = {"num_neurons": num_neurons, "num_trials": 1, "max_patterns": round(highest * num_neurons)}
    found = kept(synapses, D.simulate, jr.split(jr.key(0), num_repeats), **sizes)
    return theory, found.mean(), found.std(ddof=1) / np.sqrt(num_repeats)


def critical(synapses):
    return float(hj.theory.critical_load(D.Sign(), synapses=synapses).load)


print(f"N = {num_neurons}, {num_repeats} networks, {num_steps} steps from the pattern")
points = {}
for name, synapses in (
    *((b, D.Quantised(b)) for b in bits),
    *((c, D.Diluted(c)) for c in shares),
    ("real", D.Noisy(0.0)),
):
    points[name] = critical(synapses), *dynamics(synapses)
    expected, theory, mean, error = points[name]
    print(f"{name}: α_c = {expected:.4f}, kept up to {theory:.4f} in theory, {mean:.4f} ± {error:.4f} by networks")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, constrained_layout=True)
left.plot(bits, [points[b][0] for b in bits], "C0.-", label="stationary, least error (Lloyd, Max)")
left.errorbar(bits, *np.array([points[b][2:] for b in bits]).T, fmt="oC1", capsize=3, label=f"N = {num_neurons}")
left.plot(bits, [points[b][1] for b in bits], "sk", fillstyle="none", label=f"theory, {num_steps} steps")
left.axhline(points["real"][0], color="0.6", label="real numbers")
left.plot([np.log2(3)], [critical(D.Ternary())], "^C2", label="three values")
left.set(xlabel="bits of a synapse", ylabel="largest load P/N", title="Few values", xticks=bits)
left.legend()
curve = jnp.linspace(0.05, 1, 8 if arguments.quick else 24)
load = jax.vmap(lambda c: hj.theory.critical_load(D.Sign(), synapses=D.Diluted(c)).load)
coarse = jax.vmap(lambda c: hj.theory.critical_load(D.Sign(), synapses=D.Diluted(c, synapses=D.Clipped())).load)
right.plot(curve, load(curve), "C0", label="stationary")
right.plot(curve, coarse(curve), "C0--", label="stationary, one bit")
right.plot(shares, [points[c][1] for c in shares], "sk", fillstyle="none", label=f"theory, {num_steps} steps")
right.errorbar(shares, *np.array([points[c][2:] for c in shares]).T, fmt="oC1", capsize=3, label=f"N = {num_neurons}")
right.set(xlabel="fraction of the synapses", title="Missing at random")
right.legend()
figure.savefig(arguments.output, dpi=150)
