"""Types of the results of the verbs of all networks, which verbs return and nobody constructs."""

from ._follow import Branch as Branch
from ._follow import Folds as Folds
from ._lyapunov import LyapunovExponents as LyapunovExponents
from ._orbit import PeriodicOrbit as PeriodicOrbit
from ._results import Occurrences as Occurrences
from ._results import Setting as Setting
from ._results import Steps as Steps
from ._results import Trajectory as Trajectory
from ._stability import DescentReport as DescentReport
from ._stability import Linearisation as Linearisation
from ._steady_state import SteadyState as SteadyState
from ._threshold import Threshold as Threshold
from ._tune import Tuning as Tuning
