"""The compiled order statistics. ``_order_numpy.py`` is their specification; both give the same bits.

Work goes block by block, so that all rows of a block stay in a core's cache; all loops are over a block's coordinates,
side by side in a vector. A rank is found by networks of comparators, as `tierwise.ext._network` plans them; among more
rows than it plans for by bisection of the values' bits, which takes 32 passes over a block however many rows there are
and however they lie: no attacker can make it slow.

Nothing is checked here: ``_checks.py`` has seen every argument before.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy

from tierwise.ext._network import LARGEST, plan

cdef extern from *:
    """
    #define TW_LANES 128 /* LANES, below */
    #define TW_LOOPS "_order_loops.h"
    #include "_levels.h"

    static void (*tw_sort_rows)(const float *const *, Py_ssize_t, float *, Py_ssize_t);
    static void (*tw_compare_rows)(float *, const tw_comparator *, Py_ssize_t, Py_ssize_t);
    static void (*tw_fold_pairs)(const float *, const tw_pair *, Py_ssize_t, int, float *, Py_ssize_t);
    static void (*tw_make_keys)(const float *const *, Py_ssize_t, int *, Py_ssize_t);
    static void (*tw_find_rank)(const int *, Py_ssize_t, Py_ssize_t, int *, int *, int *, Py_ssize_t);
    static void (*tw_find_next)(const int *, Py_ssize_t, Py_ssize_t, const int *, int *, int *, Py_ssize_t);
    static void (*tw_values_of)(const int *, float *, Py_ssize_t);
    static void (*tw_midway)(const float *, const float *, float *, Py_ssize_t);
    static void (*tw_add_clamped)(const float *const *, Py_ssize_t, const float *, const float *, double *, Py_ssize_t);
    static void (*tw_mean_within)(const double *, const float *, const float *, double, double, float *, Py_ssize_t);
    static void (*tw_measure)(const float *const *, Py_ssize_t, const float *, float *, Py_ssize_t);
    static void (*tw_mean_near)(const float *const *, const float *, Py_ssize_t, const float *, double, double *, int *,
                                float *, Py_ssize_t);

    static void tw_choose(int level)
    {
        TW_CHOOSE(level, tw_sort_rows);
        TW_CHOOSE(level, tw_compare_rows);
        TW_CHOOSE(level, tw_fold_pairs);
        TW_CHOOSE(level, tw_make_keys);
        TW_CHOOSE(level, tw_find_rank);
        TW_CHOOSE(level, tw_find_next);
        TW_CHOOSE(level, tw_values_of);
        TW_CHOOSE(level, tw_midway);
        TW_CHOOSE(level, tw_add_clamped);
        TW_CHOOSE(level, tw_mean_within);
        TW_CHOOSE(level, tw_measure);
        TW_CHOOSE(level, tw_mean_near);
    }
    """
    ctypedef struct tw_comparator:
        pass
    ctypedef struct tw_pair:
        pass
    int tw_levels() noexcept
    void tw_choose(int level) noexcept
    void tw_sort_rows(const float *const *rows, Py_ssize_t count, float *out, Py_ssize_t n) noexcept nogil
    void tw_compare_rows(float *rows, const tw_comparator *steps, Py_ssize_t count, Py_ssize_t n) noexcept nogil
    void tw_fold_pairs(const float *rows, const tw_pair *pairs, Py_ssize_t count, int least, float *out,
                       Py_ssize_t n) noexcept nogil
    void tw_make_keys(const float *const *rows, Py_ssize_t count, int *keys, Py_ssize_t n) noexcept nogil
    void tw_find_rank(const int *keys, Py_ssize_t count, Py_ssize_t rank, int *found, int *tried, int *below,
                      Py_ssize_t n) noexcept nogil
    void tw_find_next(const int *keys, Py_ssize_t count, Py_ssize_t rank, const int *found, int *following,
                      int *within, Py_ssize_t n) noexcept nogil
    void tw_values_of(const int *keys, float *out, Py_ssize_t n) noexcept nogil
    void tw_midway(const float *low, const float *high, float *out, Py_ssize_t n) noexcept nogil
    void tw_add_clamped(const float *const *rows, Py_ssize_t count, const float *low, const float *high,
                        double *sums, Py_ssize_t n) noexcept nogil
    void tw_mean_within(const double *sums, const float *low, const float *high, double trim, double kept,
                        float *out, Py_ssize_t n) noexcept nogil
    void tw_measure(const float *const *rows, Py_ssize_t count, const float *middle, float *distances,
                    Py_ssize_t n) noexcept nogil
    void tw_mean_near(const float *const *rows, const float *distances, Py_ssize_t count, const float *bound,
                      double kept, double *sums, int *counts, float *out, Py_ssize_t n) noexcept nogil

# Coordinates of a block: 16 KiB for 32 rows, and long enough for calls of loops to cost little.
cdef enum:
    LANES = 128

include "_levels.pxi"


cdef class _Ranks:
    """Finds two ranks among some rows: its plan, and where it works."""

    cdef Py_ssize_t count, low, high
    cdef object plan  # None among too many rows
    cdef const unsigned short[:, ::1] steps, low_pairs, high_pairs
    cdef const unsigned short[::1] groups
    cdef int low_is_least, high_is_least
    cdef float *rows

    def __cinit__(self, Py_ssize_t count, Py_ssize_t low, Py_ssize_t high):
        self.count, self.low, self.high = count, low, high
        self.rows = <float *>PyMem_Malloc(count * LANES * sizeof(float))
        if self.rows == NULL:
            raise MemoryError
        self.plan = plan(count, low, high) if count <= LARGEST else None
        if self.plan is not None:
            self.groups, self.steps = self.plan.groups, self.plan.steps
            self.low_pairs, self.high_pairs = self.plan.low, self.plan.high
            self.low_is_least, self.high_is_least = self.plan.low_is_least, self.plan.high_is_least

    def __dealloc__(self):
        PyMem_Free(self.rows)

    cdef void find(self, const float *const *rows, float *low, float *high, Py_ssize_t n) noexcept nogil:
        """Set `low` and `high` to the values of the two ranks among a block's `rows`."""
        if self.plan is None:
            self.count_ranks(rows, low, high, n)
            return
        cdef Py_ssize_t first = 0, group
        for group in range(self.groups.shape[0]):
            tw_sort_rows(rows + first, self.groups[group], self.rows + first * LANES, n)
            first += self.groups[group]
        if self.steps.shape[0]:
            tw_compare_rows(self.rows, <const tw_comparator *>&self.steps[0, 0], self.steps.shape[0], n)
        tw_fold_pairs(self.rows, <const tw_pair *>&self.low_pairs[0, 0], self.low_pairs.shape[0], self.low_is_least,
                      low, n)
        if self.low == self.high:
            memcpy(high, low, n * sizeof(float))
            return
        tw_fold_pairs(self.rows, <const tw_pair *>&self.high_pairs[0, 0], self.high_pairs.shape[0],
                      self.high_is_least, high, n)

    cdef void count_ranks(self, const float *const *rows, float *low, float *high, Py_ssize_t n) noexcept nogil:
        """Find the ranks by bisection, over keys instead of values."""
        cdef int found[LANES], following[LANES], tried[LANES], below[LANES]
        cdef int *keys = <int *>self.rows
        tw_make_keys(rows, self.count, keys, n)
        tw_find_rank(keys, self.count, self.low, found, tried, below, n)
        tw_values_of(found, low, n)
        if self.low == self.high:
            memcpy(high, low, n * sizeof(float))
            return
        if self.high == self.low + 1:
            tw_find_next(keys, self.count, self.low, found, following, below, n)
        else:
            tw_find_rank(keys, self.count, self.high, following, tried, below, n)
        tw_values_of(following, high, n)


cdef class _Rows:
    """Pointers to the buffers, which the caller's tuple keeps alive, and to the same block of each."""

    cdef Py_ssize_t count
    cdef const float **buffers
    cdef const float **block

    def __cinit__(self, tuple buffers):
        cdef Py_buffer view
        cdef Py_ssize_t k
        self.count = len(buffers)
        self.buffers = <const float **>PyMem_Malloc(self.count * sizeof(float *))
        self.block = <const float **>PyMem_Malloc(self.count * sizeof(float *))
        if self.buffers == NULL or self.block == NULL:
            raise MemoryError
        for k in range(self.count):
            PyObject_GetBuffer(buffers[k], &view, PyBUF_SIMPLE)
            self.buffers[k] = <const float *>view.buf
            PyBuffer_Release(&view)

    def __dealloc__(self):
        PyMem_Free(self.buffers)
        PyMem_Free(self.block)

    cdef const float *const *at(self, Py_ssize_t start) noexcept nogil:
        """Return pointers to the rows from a coordinate on, valid until the next call."""
        cdef Py_ssize_t k
        for k in range(self.count):
            self.block[k] = self.buffers[k] + start
        return self.block


def median(tuple buffers, float[::1] out):
    """Set `out` to each coordinate's median; see `tierwise.ext._order_numpy.median`. The GIL is released."""
    cdef Py_ssize_t count = len(buffers), start, n
    cdef _Rows rows = _Rows(buffers)
    cdef _Ranks ranks = _Ranks(count, (count - 1) // 2, count // 2)
    cdef float low[LANES], high[LANES]
    with nogil:
        start = 0
        while start < out.shape[0]:
            n = min(<Py_ssize_t>LANES, out.shape[0] - start)
            ranks.find(rows.at(start), low, high, n)
            tw_midway(low, high, &out[start], n)
            start += n


def trimmed_mean(tuple buffers, Py_ssize_t trim, float[::1] out):
    """Set `out` to each coordinate's trimmed mean; see `tierwise.ext._order_numpy.trimmed_mean`. The GIL is released."""
    cdef Py_ssize_t count = len(buffers), start, n
    cdef _Rows rows = _Rows(buffers)
    cdef _Ranks ranks = _Ranks(count, trim, count - 1 - trim)
    cdef float low[LANES], high[LANES]
    cdef double sums[LANES]
    cdef const float *const *block
    with nogil:
        start = 0
        while start < out.shape[0]:
            n = min(<Py_ssize_t>LANES, out.shape[0] - start)
            block = rows.at(start)
            ranks.find(block, low, high, n)
            tw_add_clamped(block, count, low, high, sums, n)
            tw_mean_within(sums, low, high, <double>trim, <double>(count - 2 * trim), &out[start], n)
            start += n


def mean_around_median(tuple buffers, Py_ssize_t kept, float[::1] out):
    """Set `out` to the mean of the values nearest to the median; see `tierwise.ext._order_numpy.mean_around_median`.

    The GIL is released.
    """
    cdef Py_ssize_t count = len(buffers), start, n, k
    cdef _Rows rows = _Rows(buffers)
    cdef _Ranks middles = _Ranks(count, (count - 1) // 2, count // 2)
    cdef _Ranks bounds = _Ranks(count, kept - 1, kept - 1)
    cdef float low[LANES], high[LANES], middle[LANES]
    cdef double sums[2 * LANES]
    cdef int counts[2 * LANES]
    cdef const float *const *block
    cdef float *distances = <float *>PyMem_Malloc(count * LANES * sizeof(float))
    cdef const float **distant = <const float **>PyMem_Malloc(count * sizeof(float *))
    try:
        if distances == NULL or distant == NULL:
            raise MemoryError
        for k in range(count):
            distant[k] = distances + k * LANES
        with nogil:
            start = 0
            while start < out.shape[0]:
                n = min(<Py_ssize_t>LANES, out.shape[0] - start)
                block = rows.at(start)
                middles.find(block, low, high, n)
                tw_midway(low, high, middle, n)
                tw_measure(block, count, middle, distances, n)
                bounds.find(<const float *const *>distant, low, high, n)
                tw_mean_near(block, distances, count, low, <double>kept, sums, counts, &out[start], n)
                start += n
    finally:
        PyMem_Free(distances)
        PyMem_Free(distant)
