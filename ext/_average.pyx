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

cdef extern from *:
    """
    #include <float.h>

    #if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
    #error "the kernel promises IEEE float32 arithmetic, which this compiler's settings do not give"
    #endif

    #define TW_LOOPS "_average_loops.h"
    #include "_levels.h"

    static void (*tw_add_eight)(float *, const float *const *, const float *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int);
    static void (*tw_add)(float *, const float *, Py_ssize_t);

    static void tw_choose(int level)
    {
        TW_CHOOSE(level, tw_add_eight);
        TW_CHOOSE(level, tw_add);
    }
    """
    int tw_levels() noexcept
    void tw_choose(int level) noexcept
    void tw_add_eight(float *acc, const float *const *buffers, const float *coefficients,
                      Py_ssize_t count, Py_ssize_t start, Py_ssize_t n, int first) noexcept nogil
    void tw_add(float *left, const float *right, Py_ssize_t n) noexcept nogil

LEVELS = tw_levels()


def use_level(int level):
    """Run the loops of a level from 0, plain, to LEVELS - 1, the widest vectors, from now on. Tests call this."""
    if not 0 <= level < LEVELS:
        raise ValueError(f"level is {level}, expected 0 to {LEVELS - 1}")
    tw_choose(level)


use_level(LEVELS - 1)

# 16 KiB of each of eight buffers and of the result: within any second-level cache, and long enough for the
# hardware's prefetcher to get going.
cdef enum:
    BLOCK = 4096
    EIGHT = 8
    PANEL = 64
    LINE = 64  # bytes


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
    cdef Py_ssize_t n_buffers = len(buffers), size = out.shape[0], levels = 0, k, start, end
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
            # Large arrays lie alike, at some bytes beyond a page: from where one is on a cache line, all are.
            end = min(BLOCK - (<Py_ssize_t>pointers[0] % LINE) // <Py_ssize_t>sizeof(float), size)
            while start < size:
                _sum_block(pointers, factors, n_buffers, start, end - start, result + start, scratch)
                start, end = end, min(end + BLOCK, size)
    finally:
        PyMem_Free(pointers)
        PyMem_Free(scratch)
