"""Sequential retrieval: memories that lead to each other."""

from ._dwell import ExactDwell as ExactDwell
from ._gain import GainScan as GainScan
from ._gain import scan_gains as scan_gains
from ._map import SaliencyRun as SaliencyRun
from ._map import follow_transitions as follow_transitions
from ._network import InputDrivenNetwork as InputDrivenNetwork
from ._network import InputProtocol as InputProtocol
from ._network import SaliencyNetwork as SaliencyNetwork
from ._outcome import Ending as Ending
from ._outcome import Regime as Regime
from ._retrieve import SequenceRun as SequenceRun
from ._retrieve import retrieve_sequence as retrieve_sequence
from ._saliency import FixedPoints as FixedPoints
from ._saliency import count_transitions as count_transitions
from ._saliency import critical_gain as critical_gain
from ._saliency import escape_time as escape_time
from ._saliency import fixed_points as fixed_points
from ._saliency import gain_for_period as gain_for_period
from ._saliency import iterate as iterate
from ._saliency import period as period
from ._saliency import regime as regime
from ._saliency import saliency_map as saliency_map
from ._saliency import total_time as total_time
from ._transitions import chain as chain
from ._transitions import cycle as cycle
from ._transitions import transition_matrix as transition_matrix
