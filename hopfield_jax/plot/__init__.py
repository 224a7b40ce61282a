"""Figures: one function per result type, which takes the result and an optional `ax` and returns the Axes.

Matplotlib is imported when a function is called (`pip install 'hopfield-jax[plot]'`).
"""

from ._classical import finite_size as finite_size
from ._classical import transition as transition
from ._cobweb import cobweb as cobweb
from ._dmft import feedback as feedback
from ._dmft import noise as noise
from ._dmft import optimal_strength as optimal_strength
from ._dmft import order_parameters as order_parameters
from ._dmft import strength_scan as strength_scan
from ._dmft import thresholds as thresholds
from ._dmft import two_times as two_times
from ._dynamics import exponents as exponents
from ._dynamics import multipliers as multipliers
from ._images import images as images
from ._memories import learning as learning
from ._memories import spectrum as spectrum
from ._panel import predictions as predictions
from ._panel import stationary as stationary
from ._retrieval import energy as energy
from ._retrieval import overlaps as overlaps
from ._retrieval import scores as scores
from ._sequential import dwell_times as dwell_times
from ._sequential import gain_scan as gain_scan
from ._sequential import saliencies as saliencies
from ._sequential import sequence as sequence
from ._style import COLOURS as COLOURS
from ._sweep import phase_diagram as phase_diagram
from ._sweep import profile as profile
from ._sweep import sweep as sweep
from ._theory import replica_phases as replica_phases
