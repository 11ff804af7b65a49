"""The compiled sums of coded updates, and coding. ``_coded_numpy.py`` is their specification; both give the same bits.

Sums are as in `_average.pyx`, with another type of item in `_eight.h`. Nothing is checked here, but for what the twin
checks as well: the public functions have seen every argument before.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int8_t, int32_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    """
    #define TW_LOOPS "_coded_loops.h"
    #include "_panels.h"
    #include "_levels.h"

    static tw_eight tw_eight_halves, tw_eight_bfloats, tw_eight_steps;
    static tw_adding tw_add;
    static int32_t (*tw_peak)(const float *, Py_ssize_t);
    static void (*tw_round)(const float *, float, uint32_t, uint32_t, uint32_t, int8_t *, Py_ssize_t);
    static void (*tw_unscale)(const int8_t *, float, float *, Py_ssize_t);
    static void (*tw_to_bfloat)(const float *, uint16_t *, Py_ssize_t);
    static void (*tw_widen)(const uint16_t *, float *, Py_ssize_t);

    static void tw_choose(int level)
    {
        TW_CHOOSE(level, tw_eight_halves);
        TW_CHOOSE(level, tw_eight_bfloats);
        TW_CHOOSE(level, tw_eight_steps);
        TW_CHOOSE(level, tw_add);
        TW_CHOOSE(level, tw_peak);
        TW_CHOOSE(level, tw_round);
        TW_CHOOSE(level, tw_unscale);
        TW_CHOOSE(level, tw_to_bfloat);
        TW_CHOOSE(level, tw_widen);
    }
    """
    enum:
        TW_SCALED
    ctypedef void (*tw_eight)(float *, const void *const *, const float *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int)
    ctypedef void (*tw_adding)(float *, const float *, Py_ssize_t)
    ctypedef struct tw_sum:
        const void *const *buffers
        const float *coefficients
        const float *const *scales
        Py_ssize_t count
        tw_eight add_eight
        tw_adding add
    const tw_eight tw_eight_halves, tw_eight_bfloats, tw_eight_steps
    const tw_adding tw_add
    int tw_levels() noexcept
    void tw_choose(int level) noexcept
    int tw_pointers(tuple buffers, const void **pointers) except -1
    int tw_sum_all(tw_sum *sum, Py_ssize_t itemsize, Py_ssize_t size, float *out) noexcept nogil
    float tw_float_of(int32_t bits) noexcept nogil
    int32_t tw_bits_of(float value) noexcept nogil
    int32_t tw_peak(const float *values, Py_ssize_t n) noexcept nogil
    void tw_round(const float *values, float factor, uint32_t first, uint32_t key0, uint32_t key1, int8_t *steps,
                  Py_ssize_t n) noexcept nogil
    void tw_unscale(const int8_t *steps, float scale, float *out, Py_ssize_t n) noexcept nogil
    void tw_to_bfloat(const float *values, uint16_t *out, Py_ssize_t n) noexcept nogil
    void tw_widen(const uint16_t *values, float *out, Py_ssize_t n) noexcept nogil

cdef enum:
    STEPS = 127
    FRACTION = 15
    INFINITE = 0x7F800000  # the bits of it
    SPARSE_BLOCK = 4096  # 32 KiB of float64, about what a first-level cache has

cdef float SMALLEST = 2.0**-100
include "_levels.pxi"


def weighted_sum_float16(tuple values, const float[::1] coefficients, float[::1] out):
    """Set `out` to ``sum_k coefficients[k] * values[k]``."""
    _sum(values, None, coefficients, out, tw_eight_halves, sizeof(uint16_t))


def weighted_sum_bfloat16(tuple values, const float[::1] coefficients, float[::1] out):
    """Set `out` to ``sum_k coefficients[k] * values[k]``."""
    _sum(values, None, coefficients, out, tw_eight_bfloats, sizeof(uint16_t))


def weighted_sum_int8(tuple values, tuple scales, const float[::1] coefficients, float[::1] out):
    """Set `out` to ``sum_k coefficients[k] * scales[k] * values[k]``."""
    _sum(values, scales, coefficients, out, tw_eight_steps, sizeof(int8_t))


cdef int _sum(tuple values, tuple scales, const float[::1] coefficients, float[::1] out, tw_eight add_eight,
              Py_ssize_t itemsize) except -1:
    """The sum by the law; the GIL is released during the arithmetic, and the tuples keep the memory alive meanwhile."""
    cdef tw_sum sum
    cdef Py_ssize_t count = len(values)
    cdef const void **pointers
    cdef int failed
    if out.shape[0] == 0:
        return 0
    pointers = <const void **>PyMem_Malloc(2 * count * sizeof(void *))
    if pointers == NULL:
        raise MemoryError
    try:
        tw_pointers(values, pointers)
        sum.buffers, sum.coefficients, sum.scales, sum.count = pointers, &coefficients[0], NULL, count
        if scales is not None:
            tw_pointers(scales, pointers + count)
            sum.scales = <const float *const *>(pointers + count)
        sum.add_eight, sum.add = add_eight, tw_add
        with nogil:
            failed = tw_sum_all(&sum, itemsize, out.shape[0], &out[0])
        if failed:
            raise MemoryError
    finally:
        PyMem_Free(pointers)
    return 0


cdef struct Sparse:
    const uint32_t *indices
    const float *values
    Py_ssize_t next
    Py_ssize_t end


def weighted_sum_sparse(tuple indices, tuple values, const float[::1] coefficients, float[::1] out, uint64_t start):
    """Set `out` to coordinates `start` to ``start + n`` of the sum, or return what is out of order."""
    cdef Py_ssize_t count = len(indices), k, n = out.shape[0], bad = -1, first
    cdef Sparse *sparse
    cdef double *total
    cdef const uint32_t[::1] where
    cdef const float[::1] what
    if n == 0:
        return -1
    sparse = <Sparse *>PyMem_Malloc(count * sizeof(Sparse))
    total = <double *>PyMem_Malloc(SPARSE_BLOCK * sizeof(double))
    try:
        if sparse == NULL or total == NULL:
            raise MemoryError
        for k in range(count):
            where, what = indices[k], values[k]
            sparse[k].next, sparse[k].end = 0, where.shape[0]
            if where.shape[0]:
                sparse[k].indices, sparse[k].values = &where[0], &what[0]
        with nogil:
            for k in range(count):
                if not _confine(&sparse[k], start, start + <uint64_t>n):
                    bad = k
                    break
            if bad < 0:
                first = 0
                while first < n:
                    _sum_sparse(sparse, &coefficients[0], count, start + <uint64_t>first,
                                min(<Py_ssize_t>SPARSE_BLOCK, n - first), total, &out[first])
                    first += SPARSE_BLOCK
    finally:
        PyMem_Free(sparse)
        PyMem_Free(total)
    return bad


cdef bint _confine(Sparse *one, uint64_t start, uint64_t stop) noexcept nogil:
    """Leave of one update what has its index between the two; tell whether all of that increases."""
    cdef Py_ssize_t i
    cdef int falls = 0
    one.next, one.end = _first_from(one, start), _first_from(one, stop)
    if one.next >= one.end:
        return one.next == one.end
    for i in range(one.next, one.end - 1):
        falls |= one.indices[i] >= one.indices[i + 1]
    return not falls and one.indices[one.next] >= start and one.indices[one.end - 1] < stop


cdef Py_ssize_t _first_from(const Sparse *one, uint64_t index) noexcept nogil:
    """Where the first is that is not less, by bisection."""
    cdef Py_ssize_t low = 0, high = one.end, middle
    while low < high:
        middle = (low + high) // 2
        if one.indices[middle] < index:
            low = middle + 1
        else:
            high = middle
    return low


cdef void _sum_sparse(Sparse *sparse, const float *coefficients, Py_ssize_t count, uint64_t start, Py_ssize_t n,
                      double *total, float *out) noexcept nogil:
    """Sum a block, whose indices come next in each update."""
    cdef Py_ssize_t k, i
    cdef uint64_t stop = start + <uint64_t>n
    cdef double coefficient
    memset(total, 0, n * sizeof(double))
    for k in range(count):
        coefficient = coefficients[k]
        i = sparse[k].next
        while i < sparse[k].end and sparse[k].indices[i] < stop:
            total[sparse[k].indices[i] - start] += coefficient * sparse[k].values[i]
            i += 1
        sparse[k].next = i
    for i in range(n):
        out[i] = <float>total[i]


def encode_int8(const float[::1] values, tuple key, int8_t[::1] steps, float[::1] scales):
    """Round a block's values at random to 127 steps of its largest magnitude, or return what is not finite."""
    cdef uint32_t key0 = key[0], key1 = key[1]
    cdef Py_ssize_t block, start, n
    cdef int32_t bits
    cdef float peak
    with nogil:
        for block in range(scales.shape[0]):
            start = block * TW_SCALED
            n = min(<Py_ssize_t>TW_SCALED, values.shape[0] - start)
            bits = tw_peak(&values[start], n)
            if bits >= INFINITE:
                with gil:
                    return block
            peak = tw_float_of(bits)
            if peak < SMALLEST:
                scales[block] = 0
                memset(&steps[start], 0, n)
                continue
            scales[block] = peak / <float>STEPS
            tw_round(&values[start], <float>(STEPS << FRACTION) / peak, <uint32_t>start, key0, key1, &steps[start], n)
    return -1


def decode_int8(const int8_t[::1] steps, const float[::1] scales, float[::1] out):
    """Set `out` to ``float32(scale * step)``."""
    cdef Py_ssize_t block, start
    with nogil:
        for block in range(scales.shape[0]):
            start = block * TW_SCALED
            tw_unscale(&steps[start], scales[block], &out[start], min(<Py_ssize_t>TW_SCALED, out.shape[0] - start))


def encode_bfloat16(const float[::1] values, uint16_t[::1] out):
    """Round to the upper halves."""
    if values.shape[0]:
        with nogil:
            tw_to_bfloat(&values[0], &out[0], values.shape[0])


def decode_bfloat16(const uint16_t[::1] values, float[::1] out):
    """Widen the upper halves."""
    if values.shape[0]:
        with nogil:
            tw_widen(&values[0], &out[0], values.shape[0])
