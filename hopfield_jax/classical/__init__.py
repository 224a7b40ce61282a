"""The classical associative memories: binary units, their couplings and learning rules, capacity and basins."""

from ._coding import Bits as Bits
from ._coding import Spins as Spins
from ._couplings import DenseCouplings as DenseCouplings
from ._couplings import OuterProducts as OuterProducts
from ._couplings import SparseCouplings as SparseCouplings
from ._network import BinaryNetwork as BinaryNetwork
from ._network import GradedEnergyNetwork as GradedEnergyNetwork
from ._network import GradedNetwork as GradedNetwork
from ._order import Asynchronous as Asynchronous
from ._order import Synchronous as Synchronous
from ._retrieve import Retrieval as Retrieval
from ._retrieve import retrieve as retrieve
from ._retrieve import settle as settle
from ._rules import covariance as covariance
from ._rules import dilute as dilute
from ._rules import hebbian as hebbian
from ._rules import palimpsest as palimpsest
from ._rules import pseudo_inverse as pseudo_inverse
from ._rules import sequence as sequence
from ._rules import storkey as storkey
from ._transition import FiniteSizeFit as FiniteSizeFit
from ._transition import RetrievalTransition as RetrievalTransition
from ._transition import basin as basin
from ._transition import capacity as capacity
from ._transition import finite_size as finite_size
from ._transition import recall as recall
