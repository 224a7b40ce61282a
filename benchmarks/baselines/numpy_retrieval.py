"""What a user would write instead of `hopfield_jax.associative.retrieve`, in NumPy: all cues as one matrix."""

import numpy as np


def retrieve(patterns: np.ndarray, cues: np.ndarray, beta: float, num_steps: int) -> dict[str, np.ndarray]:
    """Steps of v ← Ξᵀ softmax(β Ξ v) from every cue, with overlaps, cosines and energy after each of them.

    `patterns` has shape (patterns, neurons), `cues` (cues, neurons). The result's `overlap` and `similarity` have shape
    (cues, times, patterns), `energy` (cues, times), `winner` (cues,), `output` (cues, neurons).
    """
    num_neurons = patterns.shape[1]
    norms = np.linalg.norm(patterns, axis=1)
    v, overlaps, similarities, energies = cues, [], [], []
    for step in range(num_steps + 1):
        h = v @ patterns.T
        top = h.max(axis=1, keepdims=True)
        weights = np.exp(beta * (h - top))
        total = weights.sum(axis=1, keepdims=True)
        overlaps.append(h / num_neurons)
        similarities.append(h / (norms * np.linalg.norm(v, axis=1, keepdims=True)))
        energies.append(0.5 * np.sum(v * v, axis=1) - top[:, 0] - np.log(total[:, 0]) / beta)
        if step < num_steps:
            v = (weights / total) @ patterns
    return {
        "overlap": np.stack(overlaps, axis=1),
        "similarity": np.stack(similarities, axis=1),
        "energy": np.stack(energies, axis=1),
        "winner": similarities[-1].argmax(axis=1),
        "output": v,
    }
