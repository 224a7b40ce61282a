# %% [markdown]
# # How large a perturbation switches the network from one memory to the next?
#
# The slow state is frozen during a dwell: the active memory's saliency a decays, its successor's is b = κ(1 − a/Z). The
# fast neurons relax from x = a ξ¹ + c ξ². While a > 1 a switch needs a finite perturbation c, c* = (a − 1)(a + b)/(a +
# b − 2) for HardTanh units, over a barrier of the frozen energy. Below 1 there is no barrier, and the sign of c decides
# between the successor and its negative. Input coupling gives c = ε b, always of the right sign.

# %%
import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import hopfield_jax as hj

S = hj.sequential
parser = argparse.ArgumentParser(description="How hard must the state be pushed to leave one memory for the next?")
parser.add_argument("--quick", action="store_true", help="a coarser grid")
parser.add_argument("--output", default="switch_geometry.png", help="file of the figure")
options = parser.parse_args()
num_saliencies, num_pushes = (17, 40) if options.quick else (81, 150)  # even, so that no push is exactly 0
gain, coupling = 5.0, 0.01
settled = float(S.fixed_points(gain).upper)  # stationary saliency Z at a switch
patterns = hj.hadamard_patterns(8, 64)
network = S.InputDrivenNetwork(patterns, gain=gain, transitions=S.cycle(8), tau_fast=1.0, input_coupling=0.0)
actives = jnp.linspace(1.4, 0.6, num_saliencies)
pushes = jnp.linspace(-1.5, 1.5, num_pushes)


def successor(active):
    return gain * (1 - active / settled)


def frozen(active):
    return network.frozen(active * patterns[0] + successor(active) * patterns[1])


# %% [markdown]
# The final state of the fast neurons over a and c: overlaps with the active memory and with its successor.


# %%
@jax.jit
@jax.vmap
@jax.vmap
def final_overlap(active, push):
    x = active * patterns[0] + push * patterns[1]
    end = hj.integrate(frozen(active), x, t1=60.0, max_steps=1024, throw=False)
    return patterns[:2] @ network.units.activation(end.final) / 64


grid = jnp.meshgrid(actives, pushes, indexing="ij")
ends = np.asarray(final_overlap(*grid))
spacing = float(pushes[1] - pushes[0])
print(
    f"κ = {gain}, Z+ = {settled:.4f}, N = 64, HardTanh; smallest push |c| that leads to the successor, to its negative"
)
for i in range(0, num_saliencies, num_saliencies // 8):
    a, b = float(actives[i]), float(successor(actives[i]))
    up, down = (min(abs(c) for c, m in zip(pushes, s * ends[i, :, 1], strict=True) if m > 0.5) for s in (1, -1))
    print(
        f"a = {a:.2f}, b = {b:.2f}: {abs(up - spacing / 2):.3f}, {abs(down - spacing / 2):.3f} ± {spacing / 2:.3f}, "
        f"c* = {max(a - 1, 0) * (a + b) / (a + b - 2):.3f}; the input coupling {coupling} gives {coupling * b:.3f}"
    )

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
image = left.pcolormesh(actives, pushes, ends[..., 1].T, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True)
figure.colorbar(image, ax=left).set_label("final overlap with the successor ξ²")
b = successor(actives)
edge = jnp.where(actives > 1, (actives - 1) * (actives + b) / (actives + b - 2), jnp.inf)
left.plot(actives, edge, "k:", label="±c*, closed form")
left.plot(actives, -edge, "k:")
left.plot(actives, coupling * b, color="#E69F00", linewidth=2, label=f"put there by input coupling {coupling}")
left.axvline(1, color="0.3", linestyle=(0, (5, 2)), linewidth=1)
left.invert_xaxis()
left.set(xlabel="saliency a of the active memory (it decays: time runs to the right)", ylabel="push c towards ξ²")
for x, y, text in ((1.29, 0.25, "stays at ξ¹"), (0.8, 1.0, "goes to +ξ²"), (0.8, -1.0, "goes to −ξ²")):
    left.text(x, y, text, ha="center", va="center", color="white" if abs(y) == 1 else "black")
left.legend(loc="lower left", fontsize="small", framealpha=0.9)

# %% [markdown]
# The frozen energy along the straight line from ξ¹ to ξ²; its barrier is (a − 1)²/[2(a + b − 2)] per neuron.

# %%
way = jnp.linspace(0, 1, 1001)
near = right.inset_axes([0.1, 0.1, 0.42, 0.42])
for active, colour in ((1.3, "#0072B2"), (1.0, "#E69F00"), (0.7, "#009E73")):
    model, b = frozen(active), float(successor(active))
    energy = np.asarray(jax.vmap(lambda s, e=model.energy: e((1 - s) * patterns[0] + s * patterns[1]))(way)) / 64
    energy -= energy[0]
    top = energy.argmax()
    print(
        f"a = {active}: barrier {energy[top]:.5f} per neuron at {way[top]:.3f} of the way (closed form "
        f"{max(active - 1, 0) ** 2 / 2 / (active + b - 2):.5f}), successor {energy[-1]:+.4f}"
    )
    right.plot(way, energy, color=colour, label=f"a = {active}, b = {b:.2f}: barrier {energy[top]:.3f}")
    near.plot(way, energy, color=colour)
    near.plot(way[top], energy[top], "o", color=colour, markersize=4)
near.set(xlim=(-0.01, 0.25), ylim=(-0.06, 0.03))
near.tick_params(labelsize="x-small")
right.indicate_inset_zoom(near)
right.axhline(0, color="0.5", linewidth=0.8)
right.set(ylim=(-1.75, 0.45), xlabel="way from ξ¹ to ξ²", ylabel="frozen energy per neuron, less that of ξ¹")
right.legend(fontsize="small", loc="upper right")
figure.suptitle(f"Geometry of a switch at κ = {gain:g}: b = κ(1 − a/Z+), N = 64, HardTanh units")
figure.savefig(options.output, dpi=150)
