"""The compiled weighted sum. ``_average_numpy.py`` is its specification; both give the same bits.

One pass over memory is all that a sum of K buffers has to cost. So the coordinates are cut into blocks, and a
block is finished before the next begins: its part of the result stays in the first cache level while all K
buffers stream past it, eight at a time, so that it is loaded and stored once for eight buffers and not for
each.

The order of additions is that of the specification. For every coordinate it depends on K alone, so neither
the length of a block nor the width of the machine's vectors shows in the result; hence nothing here
may be reassociated or contracted to fused multiply-adds, and ``setup.py`` passes the flags that forbid it.

Nothing is checked here: ``_checks.py`` has seen every argument before.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc

# The loops over coordinates are C because Cython cannot say `restrict`, and without it the compiler does not
# vectorise them. One loop for each number of buffers, once storing and once adding to what is there.
cdef extern from *:
    """
    #include <float.h>

    #if defined(__FAST_MATH__) || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
    #error "the kernel promises IEEE float32 arithmetic, which this compiler's settings do not give"
    #endif

    #if defined(_MSC_VER)
    #define TW_RESTRICT __restrict
    #else
    #define TW_RESTRICT restrict
    #endif

    #define TW_P(k) (c##k * x##k[i])
    #define TW_1 TW_P(0)
    #define TW_2 (TW_P(0) + TW_P(1))
    #define TW_3 (TW_2 + TW_P(2))
    #define TW_4 (TW_2 + (TW_P(2) + TW_P(3)))
    #define TW_5 (TW_4 + TW_P(4))
    #define TW_6 (TW_4 + (TW_P(4) + TW_P(5)))
    #define TW_7 (TW_4 + ((TW_P(4) + TW_P(5)) + TW_P(6)))
    #define TW_8 (TW_4 + ((TW_P(4) + TW_P(5)) + (TW_P(6) + TW_P(7))))
    #define TW_CASE(r)                                                      \\
        case r:                                                             \\
            if (first) for (i = 0; i < n; i++) acc[i] = TW_##r;             \\
            else       for (i = 0; i < n; i++) acc[i] = acc[i] + TW_##r;    \\
            break;
    #define TW_LAST(k) (k < count ? k : 0)
    #define TW_LOAD(k)                                                      \\
        const float *TW_RESTRICT x##k = buffers[TW_LAST(k)] + start;        \\
        const float c##k = coefficients[TW_LAST(k)];

    /* acc[0:n] = or += the pairwise sum of `count` (1 to 8) products over coordinates start to start + n. */
    static void tw_add_eight(float *TW_RESTRICT acc, const float *const *buffers, const float *coefficients,
                             Py_ssize_t count, Py_ssize_t start, Py_ssize_t n, int first)
    {
        Py_ssize_t i;
        TW_LOAD(0) TW_LOAD(1) TW_LOAD(2) TW_LOAD(3) TW_LOAD(4) TW_LOAD(5) TW_LOAD(6) TW_LOAD(7)
        switch (count) {
            TW_CASE(1) TW_CASE(2) TW_CASE(3) TW_CASE(4) TW_CASE(5) TW_CASE(6) TW_CASE(7) TW_CASE(8)
        }
    }

    /* left[0:n] += right[0:n] */
    static void tw_add(float *TW_RESTRICT left, const float *TW_RESTRICT right, Py_ssize_t n)
    {
        Py_ssize_t i;
        for (i = 0; i < n; i++) left[i] = left[i] + right[i];
    }
    """
    void tw_add_eight(float *acc, const float *const *buffers, const float *coefficients,
                      Py_ssize_t count, Py_ssize_t start, Py_ssize_t n, int first) noexcept nogil
    void tw_add(float *left, const float *right, Py_ssize_t n) noexcept nogil

# 16 KiB of each of eight buffers and of the result: within any second-level cache, and long enough for the
# hardware's prefetcher to get going.
cdef enum:
    BLOCK = 4096
    EIGHT = 8
    PANEL = 64


cdef void _sum_block(
    const float *const *buffers,   # IN
    const float *coefficients,     # IN
    Py_ssize_t n_buffers,
    Py_ssize_t start,
    Py_ssize_t n,
    float *out,                    # OUT, from coordinate `start` on
    float *scratch,                # rows of BLOCK, one for each doubling of the panels
) noexcept nogil:
    """Sum coordinates `start` to `start + n` of all buffers: panels of eights, and the panels pairwise."""
    cdef Py_ssize_t first = 0, panels = 0, k, end, count, pairs
    cdef Py_ssize_t depth = 0  # sums that wait for a partner; the lowest of them lives in `out` itself
    cdef float *acc
    while first < n_buffers:
        acc = out if depth == 0 else scratch + (depth - 1) * BLOCK
        end = min(first + PANEL, n_buffers)
        k = first
        while k < end:
            count = min(<Py_ssize_t>EIGHT, end - k)
            tw_add_eight(acc, buffers + k, coefficients + k, count, start, n, k == first)
            k += count
        first = end
        depth += 1
        panels += 1
        pairs = panels
        while pairs % 2 == 0:  # each trailing zero bit of the count is a pair that is now complete
            depth = _join(out, scratch, depth, n)
            pairs //= 2
    while depth > 1:
        depth = _join(out, scratch, depth, n)


cdef inline Py_ssize_t _join(float *out, float *scratch, Py_ssize_t depth, Py_ssize_t n) noexcept nogil:
    """Add the last waiting sum to the one before it and return how many wait then."""
    cdef float *left = out if depth == 2 else scratch + (depth - 3) * BLOCK
    tw_add(left, scratch + (depth - 2) * BLOCK, n)
    return depth - 1


def weighted_sum(tuple buffers, const float[::1] coefficients, float[::1] out):
    """Set `out` to ``sum_k coefficients[k] * buffers[k]``; see `tierwise.ext._average_numpy.weighted_sum`.

    The GIL is released during the arithmetic; the tuple keeps the memory alive meanwhile.
    """
    cdef Py_ssize_t n_buffers = len(buffers), size = out.shape[0], levels = 0, k, start
    cdef const float **pointers = NULL
    cdef float *scratch = NULL
    cdef float *result
    cdef const float *factors
    cdef Py_buffer view
    if size == 0:
        return
    result = &out[0]
    factors = &coefficients[0]
    # Sums of 1, 2, 4, ... panels may wait at once, and one of them does so in `out`.
    while (<Py_ssize_t>PANEL << levels) < n_buffers:
        levels += 1
    try:
        pointers = <const float **>PyMem_Malloc(n_buffers * sizeof(float *))
        scratch = <float *>PyMem_Malloc(levels * BLOCK * sizeof(float))
        if pointers == NULL or scratch == NULL:
            raise MemoryError
        for k in range(n_buffers):
            PyObject_GetBuffer(buffers[k], &view, PyBUF_SIMPLE)
            pointers[k] = <const float *>view.buf
            PyBuffer_Release(&view)
        with nogil:
            start = 0
            while start < size:
                _sum_block(pointers, factors, n_buffers, start, min(<Py_ssize_t>BLOCK, size - start),
                           result + start, scratch)
                start += BLOCK
    finally:
        PyMem_Free(pointers)
        PyMem_Free(scratch)
