"""Types of the results of sequential retrieval, which verbs return and nobody constructs."""

from ._delay import SwitchDelay as SwitchDelay
from ._gain import CriticalGain as CriticalGain
from ._gain import GainScan as GainScan
from ._map import SaliencyRun as SaliencyRun
from ._retrieve import SequenceRun as SequenceRun
from ._saliency import FixedPoints as FixedPoints
from ._tune import TunedDwellTimes as TunedDwellTimes
from ._tune import TunedGain as TunedGain
