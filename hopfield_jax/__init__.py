"""Differentiable dynamics of Hopfield networks in JAX."""

from importlib.metadata import PackageNotFoundError, version

from . import associative as associative
from . import classical as classical
from . import dmft as dmft
from . import plot as plot
from . import sequential as sequential
from . import sweep as sweep
from . import theory as theory
from ._checks import domain as domain
from ._couplings import MemoryQuadratic as MemoryQuadratic
from ._dynamics import AbstractDynamics as AbstractDynamics
from ._dynamics import AbstractEnergyDynamics as AbstractEnergyDynamics
from ._dynamics import Layer as Layer
from ._follow import Branch as Branch
from ._follow import Folds as Folds
from ._follow import follow as follow
from ._integrate import Event as Event
from ._integrate import Noise as Noise
from ._integrate import integrate as integrate
from ._misc import as_inexact as as_inexact
from ._patterns import add_noise as add_noise
from ._patterns import biased_patterns as biased_patterns
from ._patterns import correlated_patterns as correlated_patterns
from ._patterns import cosine_similarity as cosine_similarity
from ._patterns import flip as flip
from ._patterns import gaussian_patterns as gaussian_patterns
from ._patterns import hadamard_patterns as hadamard_patterns
from ._patterns import hierarchical_patterns as hierarchical_patterns
from ._patterns import mask as mask
from ._patterns import orthogonal_patterns as orthogonal_patterns
from ._patterns import overlap as overlap
from ._patterns import random_patterns as random_patterns
from ._patterns import sparse_patterns as sparse_patterns
from ._results import RESULTS as RESULTS
from ._results import Occurrences as Occurrences
from ._results import Setting as Setting
from ._results import Steps as Steps
from ._results import Trajectory as Trajectory
from ._results import is_okay as is_okay
from ._stability import DescentReport as DescentReport
from ._stability import Linearisation as Linearisation
from ._stability import check_descent as check_descent
from ._stability import jacobian as jacobian
from ._stability import linearise as linearise
from ._steady_state import SteadyState as SteadyState
from ._steady_state import steady_state as steady_state
from ._threshold import Threshold as Threshold
from ._threshold import bisect as bisect
from ._tune import Tuning as Tuning
from ._tune import forward_value_and_grad as forward_value_and_grad
from ._tune import tune as tune
from ._types import Parameter as Parameter
from ._units import AbstractElementwise as AbstractElementwise
from ._units import AbstractGeneratingFunction as AbstractGeneratingFunction
from ._units import AbstractSeparable as AbstractSeparable
from ._units import Elementwise as Elementwise
from ._units import Erf as Erf
from ._units import Exponential as Exponential
from ._units import Glauber as Glauber
from ._units import HardTanh as HardTanh
from ._units import LayerNorm as LayerNorm
from ._units import LogCosh as LogCosh
from ._units import LogSumExp as LogSumExp
from ._units import Power as Power
from ._units import Quadratic as Quadratic
from ._units import RectifiedPower as RectifiedPower
from ._units import Sign as Sign
from ._units import Softplus as Softplus
from ._units import Spherical as Spherical

try:
    __version__ = version("hopfield-jax")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"
del PackageNotFoundError, version
