"""Closed theory: functions of numbers and generating functions."""

from ._random_matrix import marchenko_pastur_density as marchenko_pastur_density
from ._random_matrix import marchenko_pastur_edges as marchenko_pastur_edges
from ._random_matrix import zero_mass as zero_mass
