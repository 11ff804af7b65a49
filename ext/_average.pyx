"""The compiled weighted sum. ``_average_numpy.py`` is its specification; both give the same bits.

The work is in `_panels.h`, over blocks, and `_eight.h`, over coordinates. Nothing is checked here: ``_checks.py`` has
seen every argument before.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

cdef extern from *:
    """
    #define TW_LOOPS "_average_loops.h"
    #include "_panels.h"
    #include "_levels.h"

    static tw_eight tw_eight_floats;
    static tw_adding tw_add;

    static void tw_choose(int level)
    {
        TW_CHOOSE(level, tw_eight_floats);
        TW_CHOOSE(level, tw_add);
    }
    """
    ctypedef void (*tw_eight)(float *, const void *const *, const float *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int)
    ctypedef void (*tw_adding)(float *, const float *, Py_ssize_t)
    ctypedef struct tw_sum:
        const void *const *buffers
        const float *coefficients
        const float *const *scales
        Py_ssize_t count
        tw_eight add_eight
        tw_adding add
    const tw_eight tw_eight_floats
    const tw_adding tw_add
    int tw_levels() noexcept
    void tw_choose(int level) noexcept
    int tw_pointers(tuple buffers, const void **pointers) except -1
    int tw_sum_all(tw_sum *sum, Py_ssize_t itemsize, Py_ssize_t size, float *out) noexcept nogil

include "_levels.pxi"


def weighted_sum(tuple buffers, const float[::1] coefficients, float[::1] out):
    """Set `out` to ``sum_k coefficients[k] * buffers[k]``; see `tierwise.ext._average_numpy.weighted_sum`.

    The GIL is released during the arithmetic; the tuple keeps the memory alive meanwhile.
    """
    cdef tw_sum sum
    cdef const void **pointers
    cdef int failed
    if out.shape[0] == 0:
        return
    pointers = <const void **>PyMem_Malloc(len(buffers) * sizeof(void *))
    if pointers == NULL:
        raise MemoryError
    try:
        tw_pointers(buffers, pointers)
        sum.buffers, sum.coefficients, sum.scales, sum.count = pointers, &coefficients[0], NULL, len(buffers)
        sum.add_eight, sum.add = tw_eight_floats, tw_add
        with nogil:
            failed = tw_sum_all(&sum, sizeof(float), out.shape[0], &out[0])
        if failed:
            raise MemoryError
    finally:
        PyMem_Free(pointers)
