"""What a user would write instead of `hopfield_jax.dmft.simulate`, in NumPy: couplings as one matrix."""

import numpy as np


def simulate(patterns: np.ndarray, spins: np.ndarray, beta: float, strength: float, tau: float, num_steps: int):
    """Overlaps with the first pattern under leaky Hebbian plasticity, synchronous tanh units, no self-couplings.

    `patterns` has shape (patterns, neurons), `spins` (neurons,).
    """
    num_neurons = patterns.shape[1]
    stored = patterns.T @ patterns / num_neurons
    np.fill_diagonal(stored, 0)
    plastic, phi, overlaps = np.zeros_like(stored), spins, []
    for _ in range(num_steps + 1):
        overlaps.append(patterns[0] @ phi / num_neurons)
        x = stored @ phi + plastic @ phi
        plastic *= 1 - 1 / tau
        plastic += (strength / tau / num_neurons) * np.outer(phi, phi)
        phi = np.tanh(beta * x)
    return np.array(overlaps)
