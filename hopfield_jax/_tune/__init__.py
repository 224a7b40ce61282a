"""Tuning by gradient."""

from ._tune import Tuning as Tuning
from ._tune import ValueAndGradient as ValueAndGradient
from ._tune import forward_value_and_grad as forward_value_and_grad
from ._tune import tune as tune
