# %% [markdown]
# # Does plasticity rescue a network of one-bit synapses above its capacity?
# Couplings of which only the signs are kept store up to α_c = 0.102 patterns a neuron. At a higher load retrieval from
# a good cue sets out towards the pattern and loses it again. Hebbian plasticity of the real part of the synapses, on
# the time scale of retrieval, holds it.

# %%
import argparse

import jax
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="fewer steps, paths and neurons")
parser.add_argument("--output", default="plasticity_and_clipped_synapses.png", help="where to write the figure")
arguments = parser.parse_args()

D = hj.dmft
load, beta, tau, cue = 0.12, 10.0, 5.0, D.SpinCue(0.8)
num_steps, num_samples, num_neurons, num_trials = (12, 512, 500, 3) if arguments.quick else (40, 8192, 4000, 6)
strengths = [0.0, 0.2, 0.5, 1.0]
critical = float(hj.theory.critical_load(hj.LogCosh(beta), synapses=D.Clipped()).load)


# %%
def network(strength, synapses):
    kernel = D.LeakyHebbian(strength, tau)
    return D.PlasticNetwork(load=load, units=hj.LogCosh(beta), kernel=kernel, synapses=synapses)


@jax.jit
def theory(strength):
    clipped = network(strength, D.Clipped())
    return D.solve(clipped, cue, num_steps=num_steps, num_samples=num_samples, key=jr.key(0), throw=False)


@jax.jit
def simulation(strength):
    sizes = {"num_neurons": num_neurons, "num_trials": num_trials, "max_patterns": round(load * num_neurons)}
    return D.simulate(network(strength, D.Clipped()), cue, num_steps=num_steps, key=jr.key(1), throw=False, **sizes)


print(f"α = {load} above α_c = {critical:.4f}, β = {beta:g}, τ_A = {tau:g}, m₀ = 0.8, {num_steps} steps")
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), constrained_layout=True)
for n, strength in enumerate(strengths):
    expected, found = theory(strength), simulation(strength)
    print(f"λ = {strength}: final overlap {float(expected.overlap[-1]):.4f} (theory), ", end="")
    print(f"{float(found.overlap[-1]):.4f} ± {float(found.overlap_error[-1]):.4f} (N = {num_neurons})")
    left.plot(expected.times, expected.overlap, color=f"C{n}", label=f"λ = {strength}")
    left.errorbar(found.times, found.overlap, found.overlap_error, fmt="o", color=f"C{n}", markersize=3, capsize=2)
left.set(xlabel="step", ylabel="overlap", title=f"One-bit synapses, α = {load} (α_c = {critical:.3f})", ylim=(0, 1.02))
left.legend()

# %% [markdown]
# How much plasticity is needed, and what too much of it does: the final overlap at every strength, beside synapses of
# real numbers.

# %%
scanned = np.linspace(0, 4, 9 if arguments.quick else 33, dtype=np.float32)
for name, synapses in (("one bit", D.Clipped()), ("two bits", D.Quantised(2)), ("real numbers", None)):
    run = lambda model, cue: D.solve(  # noqa: E731
        model, cue, num_steps=num_steps, num_samples=num_samples // 4, key=jr.key(0), throw=False
    )
    scan = D.scan_strength(run, network(0.0, synapses), cue, scanned)
    best = f"λ = {float(scan.best):.2f}, where the overlap is {float(np.nanmax(scan.overlap)):.4f}"
    print(f"{name}: {float(scan.overlap[0]):.4f} without plasticity; best {best}")
    right.errorbar(scan.strength, scan.overlap, scan.overlap_error, label=name)
right.set(xlabel="strength of plasticity λ", ylabel=f"overlap after {num_steps} steps", title="Synapses and plasticity")
right.legend()
figure.savefig(arguments.output, dpi=150)
