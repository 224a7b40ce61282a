"""What a user would write instead of asynchronous `hopfield_jax.classical.retrieve`, in NumPy: one neuron at a time."""

import numpy as np


def retrieve(
    couplings: np.ndarray, spins: np.ndarray, temperature: float, num_steps: int, seed: int, cached: bool
) -> np.ndarray:
    """Final spins after `num_steps` rounds in random order.

    `couplings` are one matrix without diagonal, `spins` have shape (neurons,). With `cached` the fields are kept and
    brought up to date when a spin flips, from a column; else each is a product with a row.
    """
    num_neurons = len(spins)
    columns = np.ascontiguousarray(couplings.T)
    spins, random = spins.copy(), np.random.default_rng(seed)
    fields = couplings @ spins
    for _ in range(num_steps):
        noise = 0.5 * temperature * random.logistic(size=num_neurons)
        for i in random.permutation(num_neurons):
            field = (fields[i] if cached else couplings[i] @ spins) + noise[i]
            new = 1.0 if field > 0 else -1.0 if field < 0 else spins[i]
            if new != spins[i]:
                if cached:
                    fields += (new - spins[i]) * columns[i]
                spins[i] = new
    return spins
