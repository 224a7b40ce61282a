# %% [markdown]
# # Which time constant of plasticity recalls memories beyond the capacity?
# Above the capacity a good cue moves towards its pattern for a few steps and then leaves it: the memory is forgotten,
# but the transient has seen it. Hebbian plasticity that is fast enough to catch the transient, and slow enough to
# forget the cue, recalls it. Weak plasticity is best at the time scale of the transient, stronger one when faster.

# %%
import argparse

import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="fewer steps, paths, neurons and points")
parser.add_argument("--output", default="forgotten_memories.png", help="where to write the figure")
arguments = parser.parse_args()

D = hj.dmft
load, beta, cue = 0.2, 4.0, D.SpinCue(0.8)
num_steps, num_samples, num_neurons, num_trials = (20, 512, 400, 3) if arguments.quick else (100, 4096, 4000, 6)
taus = jnp.geomspace(1.0, 128.0, 8 if arguments.quick else 22)
strengths = [0.1, 0.2, 0.5] if arguments.quick else [0.1, 0.2, 0.5, 1.0]
critical = float(hj.theory.critical_load(hj.LogCosh(beta)).load)


# %%
def network(strength, tau):
    return D.PlasticNetwork(load=load, units=hj.LogCosh(beta), kernel=D.LeakyHebbian(strength, tau))


def theory(strength, tau):
    options = {"num_samples": num_samples, "num_shifts": 2, "tolerance": 3e-3, "max_rank": 100}
    return D.solve(network(strength, tau), cue, num_steps=num_steps, key=jr.key(0), throw=False, **options)


@jax.jit
def final(strength, tau):
    found = theory(strength, tau)
    return found.overlap[-1], found.overlap_error[-1]


@jax.jit
def simulation(strength, tau):
    sizes = {"num_neurons": num_neurons, "num_trials": num_trials, "max_patterns": round(load * num_neurons)}
    return D.simulate(network(strength, tau), cue, num_steps=num_steps, key=jr.key(1), throw=False, **sizes)


# %% [markdown]
# The final overlap against the time constant, and the best one.

# %%
print(f"α = {load}, above α_c = {critical:.4f}; β = {beta:g}, m₀ = 0.8, {num_steps} steps, N = {num_neurons}")
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), constrained_layout=True)
best = {}
for n, strength in enumerate(strengths):
    overlap, error = jax.lax.map(lambda tau, strength=strength: final(jnp.float32(strength), tau), taus)
    top = int(jnp.nanargmax(overlap))
    best[strength] = float(taus[top])
    print(f"λ = {strength}: best τ_A = {best[strength]:.2g}, final overlap {float(overlap[top]):.3f}", end="")
    print(f" ± {float(error[top]):.3f}; {float(overlap[0]):.3f} at τ_A = 1, {float(overlap[-1]):.3f} at 128")
    left.semilogx(taus, overlap, color=f"C{n}", label=f"λ = {strength}")
    some = [1.0, best[strength], 64.0]
    points = [simulation(jnp.float32(strength), jnp.float32(tau)) for tau in some]
    ends = [[float(x[-1]) for x in (p.overlap, p.overlap_error)] for p in points]
    left.errorbar(some, *np.array(ends).T, fmt="o", color=f"C{n}", markersize=4, capsize=3)
left.set(xlabel="time constant of plasticity $τ_A$", ylabel=f"overlap after {num_steps} steps", title=f"α = {load}")
left.legend()

# %% [markdown]
# The transient without plasticity, and what becomes of it.

# %%
weak = strengths[1]
cases = ((0.0, 1.0, "without"), (weak, 1.0, None), (weak, best[weak], None), (weak, 64.0, None))
for n, (strength, tau, name) in enumerate(cases):
    run = jax.jit(theory)(jnp.float32(strength), jnp.float32(tau))
    right.plot(run.times, run.overlap, color="k" if name else f"C{n + 3}", label=name or f"$τ_A$ = {tau:.2g}")
right.set(xlabel="step", ylabel="overlap", title=f"λ = {weak}")
right.legend()
figure.suptitle(f"β = {beta:g}, capacity {critical:.3f}; lines: theory, points: N = {num_neurons}")
figure.savefig(arguments.output, dpi=150)
