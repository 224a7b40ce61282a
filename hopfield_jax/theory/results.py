"""Types of the results of closed theory, which verbs return and nobody constructs."""

from ._covariance import CovarianceState as CovarianceState
from ._overlap_dynamics import OverlapDynamics as OverlapDynamics
from ._phase_diagram import PhaseDiagram as PhaseDiagram
from ._phase_lines import PhaseLines as PhaseLines
from ._replica import ReplicaState as ReplicaState
from ._scsna import StationaryState as StationaryState
