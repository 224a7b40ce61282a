from ._couplings import AbstractCouplings as AbstractCouplings
from ._couplings import DenseCouplings as DenseCouplings
from ._couplings import OuterProducts as OuterProducts
from ._couplings import SparseCouplings as SparseCouplings
from ._couplings import couplings_fit as couplings_fit
from ._graded import GradedEnergyNetwork as GradedEnergyNetwork
from ._graded import GradedNetwork as GradedNetwork
from ._quadratic import MemoryQuadratic as MemoryQuadratic
