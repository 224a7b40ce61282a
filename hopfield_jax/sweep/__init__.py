"""Sweeps: evaluates a function at every point of a grid on all devices, stores the results and resumes."""

from ._boundary import Bisection as Bisection
from ._boundary import boundary as boundary
from ._grid import Grid as Grid
from ._run import Plan as Plan
from ._run import plan as plan
from ._run import run as run
from ._store import open as open
