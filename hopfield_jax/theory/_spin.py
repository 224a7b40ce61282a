"""One spin in a heat bath and a Gaussian field, at any temperature, zero included."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf

from .._misc import inner
from .._types import Array, Scalar

# Trapezoid sums over a range that depends on the float type. No poles within a strip of half-width π/2: errors of
# e^{−π²/step}.
_STEP = {"float64": 0.27, "float32": 0.5}
_REACH_NORMAL = {"float64": 8.64, "float32": 6.0}
_REACH_LOGISTIC = {"float64": 18.9, "float32": 10.0}


class SpinAverages(eqx.Module):
    """Averages over z of a spin's thermal mean φ = tanh(h/T) in the field h = mean + deviation z."""

    output: Scalar
    """⟨φ⟩"""
    square: Scalar
    """⟨φ²⟩"""
    susceptibility: Scalar
    """⟨∂φ/∂h⟩ = (1 − ⟨φ²⟩)/T"""
    entropy: Scalar
    """⟨log 2cosh(h/T) − (h/T) tanh(h/T)⟩"""
    curvature: Scalar
    """T⟨(∂φ/∂h)²⟩ = ⟨sech⁴(h/T)⟩/T"""


def spin_averages(mean: Scalar, deviation: Scalar, temperature: Scalar) -> SpinAverages:
    r"""Averages of a spin in a heat bath, smooth in all arguments down to temperature and deviation zero.

    tanh(h/T) is the mean of sign(h + Tℓ) over a logistic ℓ, of density ½sech²ℓ. Of the two noises z and ℓ the narrower
    is summed over, by the trapezoid rule, and the wider is integrated in closed form:

        ⟨φ⟩ = ∫Dz tanh((mean + deviation z)/T) = ∫½sech²x erf((mean − Tx)/(√2 deviation)) dx.

    The other averages are of even functions that fall off as e^{−2|x|}, x = h/T, so that for narrow thermal noise
    ⟨g(h/T)⟩ = T∫p(Tx)g(x)dx with the Gaussian density p of h: all of them have a limit at T = 0, and so have their
    derivatives.
    """
    kind = mean.dtype.name
    step = _STEP[kind]
    narrow = temperature < deviation  # the thermal noise
    warm = jnp.where(narrow, 1, temperature)
    z = _nodes(_REACH_NORMAL[kind], step, mean.dtype)
    weight = step / np.sqrt(2 * np.pi).item() * jnp.exp(-0.5 * z * z)
    x = (mean + jnp.where(narrow, 0, deviation) * z) / warm
    tanh, slope, entropy = _spin(x)
    by_normal = SpinAverages(
        inner(weight, tanh),
        inner(weight, tanh * tanh),
        inner(weight, slope) / warm,
        inner(weight, entropy),
        inner(weight, slope * slope) / warm,
    )
    spread = jnp.where(narrow, deviation, 1)
    cold = jnp.where(narrow, temperature, 0)
    x = _nodes(_REACH_LOGISTIC[kind], step, mean.dtype)
    _, slope, entropy = _spin(x)
    z = (mean - cold * x) / spread
    density = step / np.sqrt(2 * np.pi).item() * jnp.exp(-0.5 * z * z) / spread
    susceptibility = inner(density, slope)
    by_logistic = SpinAverages(
        0.5 * step * inner(slope, erf(z * np.sqrt(0.5).item())),
        1 - cold * susceptibility,
        susceptibility,
        cold * inner(density, entropy),
        inner(density, slope * slope),
    )
    choose = lambda a, b: jnp.where(narrow, a, b)  # noqa: E731
    return SpinAverages(
        *(choose(getattr(by_logistic, f), getattr(by_normal, f)) for f in SpinAverages.__dataclass_fields__)
    )


def _nodes(reach: float, step: float, dtype) -> Array:
    """Nodes without zero, so that |x| is not differentiated at its kink."""
    half = round(reach / step)
    return jnp.asarray(step * (np.arange(-half, half) + 0.5), dtype)


def _spin(x: Array) -> tuple[Array, Array, Array]:
    """tanh, its slope, and the entropy of a spin with that mean, without cancellation at large fields."""
    far = jnp.exp(-2 * jnp.abs(x))
    return jnp.tanh(x), 4 * far / jnp.square(1 + far), jnp.log1p(far) + 2 * jnp.abs(x) * far / (1 + far)
