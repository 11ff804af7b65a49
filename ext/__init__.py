"""Kernels over contiguous arrays: compiled if they were built, else their NumPy twins.

``TIERWISE_KERNELS`` in the environment decides at import: ``numpy`` takes the twins, ``cython`` insists on the
compiled kernels, and unset takes those if they are there. Results are the same.
"""

from tierwise.ext._choice import KERNELS, KernelsMissingWarning
from tierwise.ext._coded_numpy import INT8_BLOCK
from tierwise.ext.averaging import weighted_sum
from tierwise.ext.coded_sums import (
    weighted_sum_bfloat16,
    weighted_sum_float16,
    weighted_sum_int8,
    weighted_sum_sparse,
)
from tierwise.ext.coding import decode_bfloat16, decode_int8, encode_bfloat16, encode_int8
from tierwise.ext.distances import add_pairwise_sq_distances, add_sq_norms
from tierwise.ext.order_statistics import coordinate_median, mean_around_median, trimmed_mean
from tierwise.ext.ring_sums import RingGrid, decode_ring, encode_ring, ring_sum

__all__ = [
    "RingGrid",
    "INT8_BLOCK",
    "KERNELS",
    "KernelsMissingWarning",
    "add_pairwise_sq_distances",
    "add_sq_norms",
    "coordinate_median",
    "decode_ring",
    "decode_bfloat16",
    "decode_int8",
    "encode_ring",
    "encode_bfloat16",
    "encode_int8",
    "mean_around_median",
    "ring_sum",
    "trimmed_mean",
    "weighted_sum",
    "weighted_sum_bfloat16",
    "weighted_sum_float16",
    "weighted_sum_int8",
    "weighted_sum_sparse",
]
