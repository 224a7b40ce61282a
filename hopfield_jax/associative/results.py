"""Types of the results of associative memories, which verbs return and nobody constructs."""

from ._memory import LearningRun as LearningRun
from ._prediction import LearningConditions as LearningConditions
from ._retrieve import RetrievalRun as RetrievalRun
from ._score import RetrievalScore as RetrievalScore
from ._spectrum import MemorySpectrum as MemorySpectrum
