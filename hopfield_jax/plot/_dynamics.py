"""Dynamics of any model: exponents and multipliers."""

import numpy as np

from .._checks import fail
from .._lyapunov import LyapunovExponents
from .._orbit import PeriodicOrbit
from ._style import ACCENT, FAINT, INK, Axes, axes_for, colour, finish


def exponents(found: LyapunovExponents, *, ax: Axes | None = None) -> Axes:
    """Plots Lyapunov exponents in order, with their standard errors.

    **Arguments:**

    - `found`: of `hopfield_jax.lyapunov_exponents`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    values, errors = (np.asarray(x, float) for x in (found.exponents, found.errors))
    if values.ndim != 1:
        fail("found", "exponents of one trajectory", f"a batch of shape {values.shape[:-1]}")
    axes = axes_for(ax)
    axes.axhline(0, color=FAINT, linewidth=1)
    axes.errorbar(np.arange(1, len(values) + 1), values, errors, fmt="o", markersize=3, color=colour(0), capsize=2)
    dimension = float(found.dimension)
    if np.isfinite(dimension):
        axes.axvline(dimension, color=ACCENT, linestyle=":", label=f"dimension {dimension:.3g}")
    shown = dict(title="Lyapunov exponents", x="index", y="exponent λ")
    return finish(axes, **shown, legend=bool(np.isfinite(dimension)))


def multipliers(orbit: PeriodicOrbit, *, ax: Axes | None = None) -> Axes:
    """Plots the Floquet multipliers of an orbit in the complex plane, with the unit circle, inside of which they are
    stable.

    **Arguments:**

    - `orbit`: of `hopfield_jax.periodic_orbit`.
    - `ax`: where to draw; default a new figure.

    **Returns:** the Axes.
    """
    values = np.asarray(orbit.multipliers)
    if values.ndim != 1:
        fail("orbit", "one orbit", f"a batch of shape {values.shape[:-1]}")
    axes, angle = axes_for(ax, (4.0, 4.0)), np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color=INK, linewidth=1)
    outside = np.abs(values) > 1 + 1e-6
    for shown, ink in ((~outside, colour(0)), (outside, ACCENT)):
        axes.plot(np.real(values[shown]), np.imag(values[shown]), "o", markersize=4, color=ink)
    axes.set_aspect("equal")
    return finish(axes, title=f"Multipliers, period {float(orbit.period):.4g}", x="Re μ", y="Im μ")
