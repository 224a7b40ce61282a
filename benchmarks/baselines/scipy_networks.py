"""What a user would write with `scipy.integrate.solve_ivp` instead of `integrate` and `retrieve_sequence`."""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq


def slow_fast(patterns: np.ndarray, visible: np.ndarray, beta: float, tau: float, t1: float, tolerance: float):
    """Final states of tanh neurons with a hidden layer of softmax units and time constant `tau`, by LSODA."""
    num_neurons = patterns.shape[1]

    def rate(t, y):
        v, h = y[:num_neurons], y[num_neurons:]
        weights = np.exp(beta * (h - h.max()))
        return np.concatenate([weights / weights.sum() @ patterns - v, (patterns @ np.tanh(v) - h) / tau])

    start = np.concatenate([visible, np.zeros(len(patterns))])
    end = solve_ivp(rate, (0, t1), start, method="LSODA", rtol=tolerance, atol=tolerance).y[:, -1]
    return {"visible": end[:num_neurons], "hidden": end[num_neurons:]}


def last_dwell(patterns: np.ndarray, gain: float, tau: float, coupling: float, t1: float, method: str) -> float:
    """The last dwell time in a cycle through all patterns, from the solver's dense output."""
    num_neurons = patterns.shape[1]
    forward = np.roll(patterns, -1, axis=0)  # what each memory leads to

    def rate(t, y):
        x, u = y[:num_neurons], y[num_neurons:]
        m = patterns @ np.clip(x, -1, 1) / num_neurons
        fast = -x + (patterns @ u / num_neurons * m) @ patterns + coupling * u
        return np.concatenate([fast / tau, -u + gain * m @ forward])

    start = np.concatenate([(1 + coupling) * gain * patterns[0], gain * patterns[0]])
    solution = solve_ivp(rate, (0, t1), start, method=method, rtol=1e-6, atol=1e-8, dense_output=True)

    def overlaps(times):
        return np.abs(patterns @ np.clip(solution.sol(times)[:num_neurons], -1, 1))

    times = np.linspace(0, t1, 1001)
    leader = overlaps(times).argmax(axis=0)

    def switch(i: int) -> float:
        """The time after the i-th at which the next leader has as large an overlap as the last."""
        ahead = lambda t: np.subtract(*overlaps(t)[leader[[i + 1, i]]])  # noqa: E731
        return float(brentq(ahead, times[i], times[i + 1]))  # pyright: ignore[reportArgumentType]

    before, last = (switch(i) for i in np.flatnonzero(np.diff(leader))[-2:])
    return last - before
