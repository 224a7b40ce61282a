"""Randomised quasi-Monte Carlo: scrambled Sobol points, generated in JAX from direction numbers and a key."""

import functools

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import erfinv

from .._checks import at_least, fail
from .._misc import default_float
from .._types import Array, Float, PRNGKey, UInt32

_BITS = 32
MAX_DIMENSIONS = 21201  # of SciPy's table of Joe and Kuo (2008)


def is_balanced(argument: str, num_points: int) -> None:
    """Validates that a number of Sobol points is a power of two, at least 2."""
    at_least(argument, num_points, 2)
    if int(num_points) & (int(num_points) - 1):
        near = 2 ** round(np.log2(num_points))
        fail(argument, f"a power of two (such as {near}; a Sobol sequence is balanced only there)", num_points)


def scrambled(num_dims: int, num_points: int, *, key: PRNGKey) -> UInt32[Array, "dims numbers"]:
    r"""Generator numbers for `uniforms`: `num_points` (a power of two) scrambled Sobol points, one row per dimension.

    SciPy's direction numbers (Joe and Kuo 2008) with a random lower-triangular matrix scramble and a random digital
    shift (Matoušek 1998), the last number of each row. Every randomisation is unbiased, so that the spread of several
    estimates the error.
    """
    at_least("num_dims", num_dims, 1)
    if num_dims > MAX_DIMENSIONS:
        fail("num_dims", f"at most {MAX_DIMENSIONS} Sobol dimensions", num_dims)
    plain = jnp.asarray(_direction_numbers(num_dims, int(num_points).bit_length() - 1))
    noise = jr.bits(key, (num_dims, _BITS + 1), jnp.uint32)
    diagonal = 1 << np.arange(_BITS, dtype=np.uint32)[None]
    columns = diagonal | (noise[:, :_BITS] & (diagonal - 1))  # of the scrambling matrix, random below its diagonal
    chosen = (plain[:, :, None] >> np.arange(_BITS, dtype=np.uint32)[None, None]) & 1
    mixed = jnp.bitwise_xor.reduce(chosen * columns[:, None, :], axis=2)
    return jnp.concatenate([mixed, noise[:, _BITS:]], axis=1)


def uniforms(numbers: UInt32[Array, "dims numbers"], num_points: int) -> Float[Array, "dims points"]:
    """Points in the open interval $(0, 1)$, one row per dimension, from the numbers of `scrambled`."""
    index = jnp.arange(num_points, dtype=jnp.uint32)
    points = jnp.broadcast_to(numbers[:, -1:], (len(numbers), num_points))
    for bit in range(numbers.shape[1] - 1):
        points ^= ((index >> bit) & jnp.uint32(1))[None, :] * numbers[:, bit, None]
    dtype = default_float()
    # float32 has 24 bits: 23 of the point, and half a step that keeps it away from 0 and 1.
    kept = 23 if dtype == jnp.float32 else _BITS
    return ((points >> (_BITS - kept)).astype(dtype) + 0.5) * 2.0**-kept


def normals(u: Float[Array, "dims points"]) -> Float[Array, "dims points"]:
    """Standard normals from uniforms, by inversion."""
    return jnp.sqrt(jnp.asarray(2, u.dtype)) * erfinv(2 * u - 1)


@functools.lru_cache(maxsize=32)
def _direction_numbers(num_dims: int, num_bits: int) -> np.ndarray:
    """Direction numbers, shape (dims, bits), as the points of an unscrambled sequence whose Gray code has one bit."""
    from scipy.stats import qmc

    engine, at, numbers = qmc.Sobol(num_dims, scramble=False, bits=_BITS), 0, []
    for bit in range(num_bits):
        index = 2 ** (bit + 1) - 1  # Gray code 2**bit
        engine.fast_forward(index - at)
        numbers.append(engine.random(1)[0] * 2.0**_BITS)
        at = index + 1
    return np.array(numbers, np.float64).reshape(num_bits, num_dims).T.astype(np.uint32)
