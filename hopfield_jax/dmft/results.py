"""Types of the results of mean-field theory and simulation, which verbs return and nobody constructs."""

from ._crosstalk import NoiseStatistics as NoiseStatistics
from ._optimal import OptimalStrength as OptimalStrength
from ._order import OrderParameters as OrderParameters
from ._panel import Panel as Panel
from ._questions import Agreement as Agreement
from ._questions import StrengthScan as StrengthScan
from ._slopes import Slopes as Slopes
