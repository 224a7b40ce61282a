# %% [markdown]
# # How much is stored by synapses of a few bits, and when some are missing?
# A network of sign units whose couplings are Hebb's sums rounded to 2^b values, or of which a random fraction is left.
# Theory: each is Hebb's rule with noise of variance αδ, and the critical load follows. Points: the largest load at
# which simulated networks that start in a pattern keep it, found by bisection.

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
num_neurons, num_repeats, num_steps, halvings = (200, 3, 20, 5) if arguments.quick else (2000, 6, 100, 7)
highest = 0.4 if arguments.quick else 0.25
bits = [1, 2, 3] if arguments.quick else [1, 2, 3, 4]
shares = [0.25, 0.5] if arguments.quick else [0.1, 0.25, 0.5, 0.75]

# %% [markdown]
# At finite size the end of retrieval is blurred, and higher: a network keeps some of its patterns beyond α_c, and it
# leaves others slowly.


# %%
def kept(synapses):
    """Mean and standard error of the largest load, over networks."""

    @jax.jit
    def load(key):
        def margin(load):
            model = D.PlasticNetwork(load, D.Sign(), synapses=synapses)
            sizes = {"num_neurons": num_neurons, "num_trials": 1, "max_patterns": round(highest * num_neurons)}
            run = D.simulate(model, D.SpinCue(1.0), num_steps=num_steps, key=key, throw=False, **sizes)
            return run.overlap[-1] - 0.7

        return hj.bisect(margin, 0.01, highest, num_iterations=halvings, throw=False).value

    found = np.array([float(load(key)) for key in jr.split(jr.key(0), num_repeats)])
    return found.mean(), found.std(ddof=1) / np.sqrt(num_repeats)


def critical(synapses):
    return float(hj.theory.critical_load(D.Sign(), synapses=synapses).load)


print(f"N = {num_neurons}, {num_repeats} networks, {num_steps} steps from the pattern")
points = {}
for name, synapses in (
    *((b, D.Quantised(b)) for b in bits),
    *((c, D.Diluted(c)) for c in shares),
    ("real", D.Noisy(0.0)),
):
    points[name] = critical(synapses), *kept(synapses)
    expected, mean, error = points[name]
    print(f"{name}: α_c = {expected:.4f}, kept up to {mean:.4f} ± {error:.4f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, constrained_layout=True)
left.plot(bits, [points[b][0] for b in bits], "C0.-", label="theory, least error (Lloyd, Max)")
left.errorbar(bits, *np.array([points[b][1:] for b in bits]).T, fmt="oC1", capsize=3, label=f"N = {num_neurons}")
left.axhline(points["real"][0], color="0.6", label="real numbers")
left.plot([np.log2(3)], [critical(D.Ternary())], "^C2", label="three values")
left.set(xlabel="bits of a synapse", ylabel="critical load P/N", title="Few values", xticks=bits)
left.legend()
curve = jnp.linspace(0.05, 1, 8 if arguments.quick else 24)
load = jax.vmap(lambda c: hj.theory.critical_load(D.Sign(), synapses=D.Diluted(c)).load)
coarse = jax.vmap(lambda c: hj.theory.critical_load(D.Sign(), synapses=D.Diluted(c, synapses=D.Clipped())).load)
right.plot(curve, load(curve), "C0", label="theory")
right.plot(curve, coarse(curve), "C0--", label="theory, one bit")
right.errorbar(shares, *np.array([points[c][1:] for c in shares]).T, fmt="oC1", capsize=3, label=f"N = {num_neurons}")
right.set(xlabel="fraction of the synapses", title="Missing at random")
right.legend()
figure.savefig(arguments.output, dpi=150)
