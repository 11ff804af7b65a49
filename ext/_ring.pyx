"""The compiled sums in an integer ring. ``_ring_numpy.py`` is their specification; both give the same bits.

Nothing is checked here: the public functions have seen every argument before.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #include "_pointers.h"
    #define TW_LOOPS "_ring_loops.h"
    #include "_levels.h"

    typedef void (*tw_eight)(void *, const void *const *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int);
    typedef void (*tw_encoding)(const float *, double, double, uint64_t, void *, Py_ssize_t);
    typedef void (*tw_decoding)(const void *, double, double, float *, Py_ssize_t);

    static tw_eight tw_eight_32, tw_eight_64;
    static tw_encoding tw_encode_32, tw_encode_64;
    static tw_decoding tw_decode_32, tw_decode_64;
    static int (*tw_finite)(const float *, Py_ssize_t);

    static void tw_choose(int level)
    {
        TW_CHOOSE(level, tw_eight_32);
        TW_CHOOSE(level, tw_eight_64);
        TW_CHOOSE(level, tw_encode_32);
        TW_CHOOSE(level, tw_encode_64);
        TW_CHOOSE(level, tw_decode_32);
        TW_CHOOSE(level, tw_decode_64);
        TW_CHOOSE(level, tw_finite);
    }
    """
    ctypedef void (*tw_eight)(void *, const void *const *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int) noexcept nogil
    ctypedef void (*tw_encoding)(const float *, double, double, uint64_t, void *, Py_ssize_t) noexcept nogil
    ctypedef void (*tw_decoding)(const void *, double, double, float *, Py_ssize_t) noexcept nogil
    const tw_eight tw_eight_32, tw_eight_64
    const tw_encoding tw_encode_32, tw_encode_64
    const tw_decoding tw_decode_32, tw_decode_64
    int tw_levels() noexcept
    void tw_choose(int level) noexcept
    int tw_pointers(tuple buffers, const void **pointers) except -1
    int tw_finite(const float *values, Py_ssize_t n) noexcept nogil

cdef enum:
    EIGHT = 8
    BLOCK_BYTES = 16384  # of the result; it and as much of eight buffers are within any second-level cache

include "_levels.pxi"


def ring_sum(tuple buffers, out):
    """Set `out` to the sum of the buffers, whose items have its size."""
    cdef Py_ssize_t count = len(buffers), itemsize = out.itemsize
    cdef const void **pointers
    cdef tw_eight add_eight = tw_eight_32 if itemsize == 4 else tw_eight_64
    cdef Py_buffer result
    if out.size == 0:
        return
    pointers = <const void **>PyMem_Malloc(count * sizeof(void *))
    if pointers == NULL:
        raise MemoryError
    try:
        tw_pointers(buffers, pointers)
        PyObject_GetBuffer(out, &result, PyBUF_SIMPLE | PyBUF_WRITABLE)
        with nogil:  # the tuple and the view keep the memory alive meanwhile
            _sum(pointers, count, add_eight, BLOCK_BYTES // itemsize, result.buf, result.len // itemsize)
        PyBuffer_Release(&result)
    finally:
        PyMem_Free(pointers)


cdef void _sum(const void **pointers, Py_ssize_t count, tw_eight add_eight, Py_ssize_t block, void *out,
               Py_ssize_t size) noexcept nogil:
    """Finish a block before the next begins, so that its part of the result stays in the first-level cache."""
    cdef Py_ssize_t start = 0, n, k
    while start < size:
        n = min(block, size - start)
        k = 0
        while k < count:
            add_eight(out, pointers + k, min(<Py_ssize_t>EIGHT, count - k), start, n, k == 0)
            k += EIGHT
        start += block


def encode(const float[::1] values, double clip, double per_step, uint64_t weight, out):
    """Set `out` to the weighted integers of values, or return False and write nothing where one is not finite."""
    cdef Py_ssize_t n = values.shape[0]
    cdef tw_encoding run = tw_encode_32 if out.itemsize == 4 else tw_encode_64
    cdef Py_buffer result
    cdef int finite
    if n == 0:
        return True
    PyObject_GetBuffer(out, &result, PyBUF_SIMPLE | PyBUF_WRITABLE)
    with nogil:
        finite = tw_finite(&values[0], n)
        if finite:
            run(&values[0], clip, per_step, weight, result.buf, n)
    PyBuffer_Release(&result)
    return bool(finite)


def decode(sums, double step, double divisor, float[::1] out):
    """Set `out` to the values of sums."""
    cdef Py_ssize_t n = out.shape[0]
    cdef tw_decoding run = tw_decode_32 if sums.itemsize == 4 else tw_decode_64
    cdef Py_buffer view
    if n == 0:
        return
    PyObject_GetBuffer(sums, &view, PyBUF_SIMPLE)
    with nogil:
        run(view.buf, step, divisor, &out[0], n)
    PyBuffer_Release(&view)
