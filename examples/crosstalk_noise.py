# %% [markdown]
# # Does the crosstalk noise stay Gaussian while the synapses are plastic?
#
# Mean-field theory assumes that the crosstalk of the other patterns is Gaussian, with a covariance that it predicts,
# plus a feedback of the site's own past. Here that feedback is subtracted from the field of every neuron of a simulated
# network and the excess kurtosis of the rest is measured, for weak plasticity and for strong plasticity that imprints
# the cue.

# %%
import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

D = hj.dmft
parser = argparse.ArgumentParser(description="Does the crosstalk noise stay Gaussian while the synapses are plastic?")
parser.add_argument("--quick", action="store_true", help="smaller networks, fewer steps")
parser.add_argument("--output", default="crosstalk_noise.png", help="file of the figure")
options = parser.parse_args()
num_neurons, num_trials, num_steps = (500, 2, 6) if options.quick else (8000, 6, 20)
load, cue, key = 0.12, 0.4, jax.random.key(0)

# %%
print(f"α = {load}, m_0 = {cue}, tanh units, β = 4, τ_A = 5; N = {num_neurons}, {num_trials} networks")
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for strength in (0.0, 0.5, 8.0, 16.0):  # the last two near the imprinting transition
    model = D.PlasticNetwork(load, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))
    theory = D.solve(model, D.SpinCue(cue), num_steps=num_steps, key=key)
    noise = D.crosstalk_noise(model, D.SpinCue(cue), theory, num_neurons=num_neurons, num_trials=num_trials, key=key)
    worst = int(np.argmax(np.abs(noise.excess_kurtosis)))
    ratio = np.asarray(noise.variance / noise.predicted_variance)
    print(
        f"λ = {strength:4.1f}: excess kurtosis at the end {noise.excess_kurtosis[-1]:+.3f} ± "
        f"{noise.excess_kurtosis_error[-1]:.3f}, largest {noise.excess_kurtosis[worst]:+.3f} ± "
        f"{noise.excess_kurtosis_error[worst]:.3f} at step {worst}; variance/theory "
        f"{ratio.min():.3f} to {ratio.max():.3f}"
    )
    left.errorbar(
        noise.times, noise.excess_kurtosis, noise.excess_kurtosis_error, marker=".", label=f"λ = {strength:g}"
    )
    right.errorbar(noise.times, ratio, noise.variance_error / noise.predicted_variance, marker=".")
left.axhline(0, color="0.5", linewidth=0.8)
right.axhline(1, color="0.5", linewidth=0.8)
left.set(xlabel="step", ylabel="excess kurtosis of the noise")
right.set(xlabel="step", ylabel="variance of the noise / theory")
left.legend(fontsize="small")
figure.suptitle(
    f"Crosstalk noise, feedback subtracted: α = {load}, $m_0$ = {cue}, {num_trials} networks of {num_neurons}"
)
figure.savefig(options.output, dpi=150)
