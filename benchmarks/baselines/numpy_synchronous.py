"""What a user would write instead of synchronous `hopfield_jax.classical.retrieve`, in NumPy."""

import numpy as np


def retrieve(patterns: np.ndarray, spins: np.ndarray, num_steps: int) -> np.ndarray:
    """Overlaps with all patterns after every step, of couplings without diagonal that are never formed.

    `patterns` has shape (patterns, neurons), `spins` (neurons,); the result (num_steps + 1, patterns).
    """
    num_patterns, num_neurons = patterns.shape
    overlaps = []
    for _ in range(num_steps + 1):
        products = patterns @ spins
        overlaps.append(products / num_neurons)
        field = products @ patterns - num_patterns * spins
        spins = np.where(field > 0, 1, np.where(field < 0, -1, spins)).astype(patterns.dtype)
    return np.array(overlaps)
