# %% [markdown]
# # When do tired synapses make a network leave a memory?
# Neurons of 0 and 1 whose synapses are depressed by their activity: the signal of a retrieved pattern fades with it,
# and the crosstalk of the other patterns does not. Beyond a recovery time the network leaves the memory it has found,
# and for slow recovery the overlap swings to the other side and back. Neurons that adapt do the same at any load; their
# period is that of a single pattern, whose two numbers follow a map.

# %%
import argparse

import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="fewer steps, paths and neurons")
parser.add_argument("--output", default="tired_synapses.png", help="where to write the figure")
arguments = parser.parse_args()

D = hj.dmft
load, beta, use, cue = 0.04, 8.0, 0.2, D.SpinCue(0.6)
num_steps, num_samples, num_neurons, num_trials = (24, 512, 800, 2) if arguments.quick else (60, 4096, 8000, 6)
recoveries = [1.0, 3.0, 8.0]

# %% [markdown]
# Theory and simulation of the same networks, whose activities φ are compared with the pattern. Close to the border
# between staying and leaving, networks of finite size leave earlier than the theory, each at its own time.


# %%
def theory(recovery):
    units = D.ShortTermPlasticity(hj.LogCosh(beta), use, recovery, bits=True)
    model = D.PlasticNetwork(load=load, units=units)
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, key=jr.key(0), throw=False)


def simulation(recovery):
    units = D.ShortTermPlasticity(hj.LogCosh(beta), use, recovery, bits=True)
    model = D.PlasticNetwork(load=load, units=units)
    sizes = {"num_neurons": num_neurons, "num_trials": num_trials}
    return D.simulate(model, cue, num_steps=num_steps, key=jr.key(1), throw=False, **sizes)


print(f"α = {load}, β = {beta:g}, U = {use}, m₀ = 0.6, {num_steps} steps, N = {num_neurons}, {num_trials} networks")
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), constrained_layout=True)
for color, recovery in zip(("C0", "C1", "C3"), recoveries, strict=True):
    expected, found = theory(recovery), simulation(recovery)
    worst = np.max(np.abs(expected.activity - found.activity))
    print(f"τ_r = {recovery:g}: activity's overlap at the end {float(expected.activity[-1]):.3f} (theory), ", end="")
    print(f"{float(found.activity[-1]):.3f} ± {float(found.activity_error[-1]):.3f}; largest difference {worst:.3f}")
    left.plot(expected.times, expected.activity, color=color, label=f"$\\tau_r$ = {recovery:g}")
    points = found.times[::2], found.activity[::2], found.activity_error[::2]
    left.errorbar(*points, fmt="o", color=color, markersize=3, capsize=2)
left.axhline(0, color="0.8", zorder=0)
left.set(xlabel="step", ylabel="overlap of the activities", title=f"Depression, α = {load}")
left.legend()

# %% [markdown]
# Adaptation at a small load. One pattern alone: m' = tanh β(m − w), w' = w + (b m − w)/τ. Half a period lies between
# two changes of sign.

# %%
strength, taus = 1.2, np.array([4.0, 8.0, 16.0] if arguments.quick else [3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0])
num_steps = 60 if arguments.quick else 160


def period(m):
    """From the first to the last change of sign, interpolated."""
    at = np.flatnonzero(m[:-1] * m[1:] < 0)
    crossing = at + m[at] / (m[at] - m[at + 1])
    return 2 * (crossing[-1] - crossing[0]) / (len(crossing) - 1)


def adapting(tau, load):
    model = D.PlasticNetwork(load=load, units=D.Adaptation(hj.LogCosh(beta), strength, tau))
    run = D.solve(model, cue, num_steps=num_steps, num_samples=num_samples // 2, num_shifts=2, key=jr.key(0))
    return run.overlap


def alone(tau):
    m, w, found = 0.6, 0.0, [0.6]
    for _ in range(num_steps):
        x = m - w
        w += (strength * m - w) / tau
        m = np.tanh(beta * x)
        found.append(m)
    return np.array(found)


single = [period(alone(tau)) for tau in taus]
right.plot(taus, single, "k-", label="a single pattern")
for small, marker in ((1e-4, "o"), (0.005, "^"), (0.02, "s")):
    several = [period(np.asarray(adapting(tau, small))) for tau in taus]
    right.plot(taus, several, marker, label=f"theory, α = {small:g}")
    for tau, many, one in zip(taus, several, single, strict=True):
        print(f"adaptation, α = {small:g}, τ = {tau:g}: period {many:.2f}, of a single pattern {one:.2f}")
right.set(xlabel="time constant of adaptation τ", ylabel="period", title=f"Adaptation, b = {strength}")
right.legend()
figure.suptitle(f"β = {beta:g}; lines: theory, points: N = {num_neurons}")
figure.savefig(arguments.output, dpi=150)
