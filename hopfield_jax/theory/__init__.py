"""Closed theory: functions of numbers and generating functions."""

from ._covariance import CovarianceState as CovarianceState
from ._covariance import covariance_capacity as covariance_capacity
from ._covariance import covariance_state as covariance_state
from ._critical_load import critical_load as critical_load
from ._first_step import first_step_overlap as first_step_overlap
from ._hierarchy import okada_hierarchy as okada_hierarchy
from ._overlap_dynamics import OverlapDynamics as OverlapDynamics
from ._overlap_dynamics import overlap_dynamics as overlap_dynamics
from ._palimpsest import palimpsest_oldest_age as palimpsest_oldest_age
from ._palimpsest import palimpsest_overlap as palimpsest_overlap
from ._random_matrix import critical_slope as critical_slope
from ._random_matrix import marchenko_pastur_density as marchenko_pastur_density
from ._random_matrix import marchenko_pastur_edges as marchenko_pastur_edges
from ._random_matrix import zero_mass as zero_mass
from ._scsna import StationaryState as StationaryState
from ._scsna import scsna as scsna
from ._site import AbstractBranch as AbstractBranch
from ._site import Cue as Cue
from ._site import Maxwell as Maxwell
from ._site import Thermal as Thermal
from ._site import Upper as Upper
from ._storage import AbstractStorage as AbstractStorage
from ._storage import Diluted as Diluted
from ._storage import Hebbian as Hebbian
from ._storage import Sequence as Sequence
