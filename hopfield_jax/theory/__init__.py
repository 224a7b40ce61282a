"""Closed theory: functions of numbers and generating functions."""

from ._critical_load import critical_load as critical_load
from ._first_step import first_step_overlap as first_step_overlap
from ._phase_diagram import PhaseDiagram as PhaseDiagram
from ._phase_diagram import phase_diagram as phase_diagram
from ._phase_lines import PhaseLines as PhaseLines
from ._phase_lines import phase_lines as phase_lines
from ._phases import AbstractPhase as AbstractPhase
from ._phases import Mixture as Mixture
from ._phases import Paramagnet as Paramagnet
from ._phases import Retrieval as Retrieval
from ._phases import SpinGlass as SpinGlass
from ._random_matrix import marchenko_pastur_density as marchenko_pastur_density
from ._random_matrix import marchenko_pastur_edges as marchenko_pastur_edges
from ._random_matrix import zero_mass as zero_mass
from ._replica import ReplicaState as ReplicaState
from ._replica import replica_branch as replica_branch
from ._replica import replica_state as replica_state
from ._scsna import StationaryState as StationaryState
from ._scsna import scsna as scsna
from ._site import AbstractBranch as AbstractBranch
from ._site import Cue as Cue
from ._site import Maxwell as Maxwell
from ._site import Thermal as Thermal
from ._site import Upper as Upper
