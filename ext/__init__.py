"""Kernels over contiguous arrays: compiled if they were built, else their NumPy twins.

``TIERWISE_KERNELS`` in the environment decides at import: ``numpy`` takes the twins, ``cython`` insists on the
compiled kernels, and unset takes those if they are there. Results are the same.
"""

from tierwise.ext._choice import KERNELS, KernelsMissingWarning
from tierwise.ext.averaging import weighted_sum

__all__ = ["KERNELS", "KernelsMissingWarning", "weighted_sum"]
