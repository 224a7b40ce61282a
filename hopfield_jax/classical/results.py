"""Types of the results of the classical memories, which verbs return and nobody constructs."""

from ._finite_size import FiniteSizeFit as FiniteSizeFit
from ._retrieve import BinaryRun as BinaryRun
from ._transition import RetrievalTransition as RetrievalTransition
