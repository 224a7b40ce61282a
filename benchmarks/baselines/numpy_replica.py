"""What a user would write instead of `theory.phase_diagram`, in NumPy: damped iteration, point by point."""

import numpy as np

Z = np.linspace(-9, 9, 2001)
WEIGHT = np.exp(-Z * Z / 2) / np.sqrt(2 * np.pi) * (Z[1] - Z[0])


def iterate(load: float, temperature: float, overlap: float, signals=(1.0,), fractions=(1.0,), count=1) -> tuple:
    """(m, q, r) of Amit, Gutfreund and Sompolinsky's equations from an overlap, at a positive temperature."""
    m, q, deviation = overlap, 1.0, np.sqrt(load) + np.sqrt(2 / np.pi) * (overlap == 0)
    for _ in range(20_000):
        tanh = [np.tanh((s * m + deviation * Z) / temperature) for s in signals]
        new_m = sum(f * s / max(count, 1) * (WEIGHT @ t) for s, f, t in zip(signals, fractions, tanh, strict=True))
        q = sum(f * (WEIGHT @ t**2) for f, t in zip(fractions, tanh, strict=True))
        new_deviation = np.sqrt(load * q) + deviation * (1 - q) / temperature  # √(αr) with r = q/(1 − C)²
        change = max(abs(new_m - m), abs(new_deviation - deviation))
        m, deviation = 0.5 * (m + new_m), 0.5 * (deviation + new_deviation)
        if change < 1e-10:
            break
    return m, q, deviation**2 / load


def free_energy(load, temperature, m, q, r, signals=(1.0,), fractions=(1.0,), count=1) -> float:
    """Per neuron, as they write it; stationary in m, q and r."""
    c = (1 - q) / temperature
    field = np.sqrt(load * r) * Z
    logs = [np.logaddexp(h, -h) for h in ((s * m + field) / temperature for s in signals)]
    site = sum(f * (WEIGHT @ x) for f, x in zip(fractions, logs, strict=True))
    crosstalk = temperature * np.log(1 - c) - q / (1 - c)
    return load / 2 * (1 + r * c + crosstalk) + count * m**2 / 2 - temperature * site


def phase_point(load: float, temperature: float) -> tuple[float, float, float]:
    """Overlap of the retrieval state (about zero where there is none), its free energy, and that of the spin glass."""
    state, glass = (iterate(load, temperature, start) for start in (1.0, 0.0))
    return state[0], free_energy(load, temperature, *state), free_energy(load, temperature, *glass)
