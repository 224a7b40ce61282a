"""Randomised quasi-Monte Carlo: scrambled Sobol points made inside the program, from direction numbers and a key."""

import functools

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import erfinv

from .._checks import at_least, fail
from .._misc import default_float
from .._types import Array, Float, PRNGKey

_BITS = 32
_MAX_DIMENSIONS = 21201  # of the table of Joe and Kuo (2008) that SciPy carries


def uniforms(num_dims: int, num_points: int, *, key: PRNGKey) -> Float[Array, "dims points"]:
    r"""Scrambled Sobol points in $(0, 1)$, one dimension a row.

    SciPy's direction numbers (Joe and Kuo 2008) under a random lower-triangular matrix scramble and a random digital
    shift (Matoušek 1998): each randomisation is an unbiased set of points, so that the spread of a few of them is an
    honest error. No point is 0 or 1, and no table larger than (dims, log2 points) enters the compiled program.
    """
    if num_points & (num_points - 1) or num_points < 1:
        near = 2 ** max(0, round(np.log2(max(1, num_points))))
        fail("num_samples", f"a power of two (such as {near}; a Sobol sequence is balanced only there)", num_points)
    at_least("num_dims", num_dims, 1)
    if num_dims > _MAX_DIMENSIONS:
        fail("num_steps", f"at most {_MAX_DIMENSIONS} Sobol dimensions", num_dims)
    num_bits = int(num_points).bit_length() - 1
    plain = jnp.asarray(_direction_numbers(num_dims, num_bits))
    matrix_key, shift_key = jr.split(key)
    noise = jr.bits(matrix_key, (num_dims, _BITS), jnp.uint32)
    scrambled = jnp.zeros_like(plain)
    for bit in range(_BITS):  # column `bit` of the matrix: one on the diagonal, random below it (the lower bits)
        column = jnp.uint32(1 << bit) | (noise[:, bit] & jnp.uint32((1 << bit) - 1))
        chosen = (plain >> bit) & jnp.uint32(1)
        scrambled ^= chosen * column[:, None]
    points = jnp.broadcast_to(jr.bits(shift_key, (num_dims, 1), jnp.uint32), (num_dims, num_points))
    index = jnp.arange(num_points, dtype=jnp.uint32)
    for bit in range(num_bits):
        points ^= ((index >> bit) & jnp.uint32(1))[None, :] * scrambled[:, bit, None]
    dtype = default_float()
    # float32 holds 24 bits: 23 of the point and the half step that keeps it off 0 and 1.
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
