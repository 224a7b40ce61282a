"""Mean-field theory another way, as an oracle: all matrices, and the response by tangents along the paths.

Row by row: R = (1 − gG)⁻¹, the covariance αg² R C Rᵀ and its Cholesky factor, G_ts = ⟨φ'_t χ_t(s)⟩ with χ_{t+1}(·) =
(1 − dt) χ_t(·) + dt [e_t + Σ_u B_tu φ'_u χ_u(·)], B = F + λK∘C. For smooth units, one condensed pattern and spin cues.
"""

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc


def solve(fn, slope, *, load, cue, kernel, num_steps, dt=1.0, coupling=1.0, own=False, num_samples=4096, seed=0):
    """`fn` and `slope`, φ and φ'; `kernel`, λK of shape (times, times). Returns m, C and G."""
    times = num_steps + 1
    z = ndtri(qmc.Sobol(times, rng=np.random.default_rng(seed)).random(num_samples)).T
    weights = np.array([(1 + cue) / 2, (1 - cue) / 2])[:, None] / num_samples
    x = np.broadcast_to(np.array([[1.0], [-1.0]]), (2, num_samples))
    phi = np.zeros((times, 2, num_samples))
    slopes, tangents = np.zeros_like(phi), np.zeros((times, times, 2, num_samples))
    m, c, g = np.zeros(times), np.zeros((times, times)), np.zeros((times, times))
    tangent = np.zeros((times, 2, num_samples))
    for t in range(times):
        phi[t], slopes[t] = (x, 0 * x) if t == 0 else (fn(x), slope(x))
        tangents[t] = slopes[t] * tangent
        m[t] = np.sum(weights * phi[t])
        c[t, : t + 1] = c[: t + 1, t] = np.einsum("skm,km->s", phi[: t + 1], weights * phi[t])
        g[t] = np.einsum("skm,km->s", tangents[t], np.broadcast_to(weights, x.shape))
        here = slice(t + 1)
        r = np.linalg.inv(np.eye(t + 1) - coupling * g[here, here])
        noise = load * coupling**2 * r @ c[here, here] @ r.T
        row = np.linalg.cholesky(noise + 1e-10 * np.eye(t + 1))[t]
        feedback = load * coupling * (r[t] - (0 if own else np.eye(t + 1)[t])) + kernel[t, here] * c[t, here]
        field = coupling * m[t] + row @ z[here] + np.einsum("s,skm->km", feedback, phi[here])
        moved = np.einsum("u,uskm->skm", feedback, tangents[here])
        moved[t] += 1
        x, tangent = (1 - dt) * x + dt * field, (1 - dt) * tangent + dt * moved
    return m, c, g
