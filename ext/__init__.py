"""Kernels over contiguous arrays: compiled if they were built, else their NumPy twins.

``TIERWISE_KERNELS`` in the environment decides at import: ``numpy`` takes the twins, ``cython`` insists on the
compiled kernels, and unset takes those if they are there. Results are the same.
"""

from tierwise.ext._choice import KERNELS, KernelsMissingWarning
from tierwise.ext.averaging import weighted_sum
from tierwise.ext.distances import add_pairwise_sq_distances, add_sq_norms
from tierwise.ext.order_statistics import coordinate_median, mean_around_median, trimmed_mean

__all__ = [
    "KERNELS",
    "KernelsMissingWarning",
    "add_pairwise_sq_distances",
    "add_sq_norms",
    "coordinate_median",
    "mean_around_median",
    "trimmed_mean",
    "weighted_sum",
]
