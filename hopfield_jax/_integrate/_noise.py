"""White noise for constant steps."""

from collections.abc import Callable

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import lineax as lx

from .._checks import takes
from .._types import PRNGKey, PyTree


class Noise(eqx.Module):
    r"""Gaussian white noise: $dy = f\,dt + \mathrm{diffusion}(t, y)\,dW$ (Itô, for the default solver).

    **Arguments:**

    - `diffusion`: `(t, y, args) -> ` standard deviation per square root of time, in the structure of `y` (independent
      noise for every component).
    - `key`: random key. Increments depend on the key and the starting time of the step: equal keys and steps give equal
      paths.
    """

    diffusion: Callable
    key: PRNGKey

    def __check_init__(self):
        takes("Noise.diffusion", self.diffusion, "t, y, args")


class Diagonal(eqx.Module):
    """The diffusion of a `Noise` as a linear operator."""

    diffusion: Callable

    def __call__(self, t, y, args):
        strength = self.diffusion(t, y, args)
        return lx.DiagonalLinearOperator(jtu.tree_map(lambda s, x: jnp.broadcast_to(s, x.shape), strength, y))


class StepNoise(dfx.AbstractBrownianPath):
    """Independent increments for constant steps, keyed by all bits of the step's starting time.

    Diffrax 0.7.2's own path for constant steps keeps 32 bits of a 64-bit time and so repeats increments (issue 733).
    """

    shape: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)
    key: PRNGKey
    levy_area: type = eqx.field(static=True, default=dfx.BrownianIncrement)

    @property
    def t0(self):  # pyright: ignore
        return -jnp.inf

    @property
    def t1(self):  # pyright: ignore
        return jnp.inf

    def evaluate(self, t0, t1=None, left: bool = True, use_levy: bool = False):
        t0, t1 = jax.lax.stop_gradient((t0, t1))
        words = jax.lax.bitcast_convert_type(t0, jnp.uint32).reshape(-1)
        key = self.key
        for i in range(words.size):
            key = jr.fold_in(key, words[i])
        leaves, structure = jtu.tree_flatten(self.shape)
        scale = jnp.sqrt(t1 - t0)  # pyright: ignore
        draws = [
            jr.normal(k, leaf.shape, leaf.dtype) * scale.astype(leaf.dtype)
            for k, leaf in zip(jr.split(key, len(leaves)), leaves, strict=True)
        ]
        increment = jtu.tree_unflatten(structure, draws)
        if not use_levy:
            return increment
        return dfx.BrownianIncrement(dt=t1 - t0, W=increment)  # pyright: ignore
