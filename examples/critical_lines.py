# %% [markdown]
# # Where are the critical lines, and which way do they run?
#
# A critical line is a root of equations, and the implicit function theorem gives its slope: no second root nearby and
# no step to choose. Three lines with their tangents: the load at which stationary retrieval ends, for spins in a heat
# bath (Amit, Gutfreund and Sompolinsky 1987) and for deterministic tanh units (Shiino and Fukai 1992), against the
# temperature or the inverse slope; and the largest load that plastic synapses retrieve from a cue within a few steps,
# against the strength of the plasticity.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

D, T = hj.dmft, hj.theory
parser = argparse.ArgumentParser(description="Where are the critical lines, and which way do they run?")
parser.add_argument("--quick", action="store_true", help="fewer points, paths and steps")
parser.add_argument("--output", default="critical_lines.png", help="file of the figure")
options = parser.parse_args()
num_points, num_strengths = (5, 4) if options.quick else (12, 9)
num_steps, num_samples = (6, 512) if options.quick else (12, 8192)
key = jax.random.key(0)


def line(function, points):
    """Values and slopes of a function of one number at all points, in one program."""
    return jax.jit(jax.vmap(lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))))(points)


def report(name, points, values, slopes):
    """Prints a line, and how far its tangents are from the chords between neighbours."""
    for x, value, slope in zip(points, values, slopes, strict=True):
        print(f"  {name[0]} = {x:.3f}   {name[1]} = {value:.6f}   slope {slope:+.5f}")
    chords, middle = np.diff(values) / np.diff(points), (slopes[1:] + slopes[:-1]) / 2
    print(f"  chords against the mean of the tangents at their ends: within {np.max(np.abs(chords - middle)):.1g}")


# %% [markdown]
# Stationary states. Both kinds of units have the activation tanh(x/T). For spins it is a thermal mean, and the reaction
# of the other patterns cancels the feedback of the mean. `curvature` measures how sharp a fold is: near zero the value
# and the slope are meaningless.

# %%
temperatures = jnp.linspace(0.04, 0.8, num_points)
lines = {}
for name, units in {"spins in a heat bath": hj.Glauber, "tanh units": hj.LogCosh}.items():

    def load(t, units=units):
        state = T.critical_load(units(1 / t), throw=False)
        return state.load, state.curvature

    (values, curvatures), (slopes, _) = line(load, temperatures)
    lines[name] = values, slopes
    print(f"{name} at rest, curvature of the fold at least {jnp.min(curvatures):.2f}")
    report(("T", "α_c"), temperatures, values, slopes)

# %% [markdown]
# Transients. In the mean-field theory with a fixed key the final overlap is a smooth function of load and strength, and
# the root of "final overlap = 0.8" has the slope −(∂m/∂λ)/(∂m/∂α).

# %%
strengths = jnp.linspace(0.0, 1.5, num_strengths)


def run(model, cue):
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, num_shifts=1, key=key, throw=False)


def largest(strength):
    model = D.PlasticNetwork(0.1, units=hj.LogCosh(beta=4.0), kernel=D.LeakyHebbian(strength, tau=5.0))
    return D.largest_load(run, model, D.SpinCue(0.7), throw=False).value


loads, slopes = line(largest, strengths)
print(f"plastic synapses, m_0 = 0.7, β = 4, τ_A = 5, {num_steps} steps, m ≥ 0.8")
report(("λ", "α_max"), strengths, loads, slopes)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), constrained_layout=True)


def draw(ax, points, found, label, colour):
    points, values, slopes = (np.asarray(x) for x in (points, *found))
    half = 0.3 * (points[1] - points[0])
    ends = np.stack([points - half, points + half])
    ax.plot(ends, values + slopes * (ends - points), color=colour, linewidth=2)
    ax.plot(points, values, "o", color=colour, markersize=4, label=label)


for colour, (name, found) in zip(("C0", "C1"), lines.items(), strict=True):
    draw(left, temperatures, found, name, colour)
left.axhline(0.1379, color="0.5", linestyle=":", label="0.1379: T = 0")
left.set(xlabel="temperature, or inverse slope, T = 1/β", ylabel="critical load $α_c$", title="At rest")
left.legend(fontsize="small")
draw(right, strengths, (loads, slopes), "theory, and its tangents", "C2")
right.set(xlabel="strength λ of the plasticity", ylabel="largest load $α_{max}$", title=f"Within {num_steps} steps")
right.legend(fontsize="small")
figure.savefig(options.output, dpi=150)
