"""The compiled squared distances. ``_distance_numpy.py`` is their specification; both give the same bits.

Work goes stretch by stretch, so that the stretches of all buffers stay in a core's cache while each is compared with
each. Nothing is checked here: ``_checks.py`` has seen every argument before.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy

cdef extern from *:
    """
    #define TW_LOOPS "_distance_loops.h"
    #include "_levels.h"

    static void (*tw_add_distances)(const float *, const float *const *, Py_ssize_t, double *);

    static void tw_choose(int level)
    {
        TW_CHOOSE(level, tw_add_distances);
    }
    """
    int tw_levels() noexcept
    void tw_choose(int level) noexcept
    void tw_add_distances(const float *x, const float *const *others, Py_ssize_t count,
                          double *out) noexcept nogil

cdef enum:
    STRETCH = 256  # as in _distance_loops.h

include "_levels.pxi"


cdef class _Stretches:
    """The same stretch of each buffer, one after the other; the caller's tuple keeps the buffers alive."""

    cdef Py_ssize_t count, size
    cdef const float **buffers
    cdef const float **rows  # the stretch's
    cdef float *last  # which is filled up with zeros

    def __cinit__(self, tuple buffers):
        cdef Py_buffer view
        cdef Py_ssize_t k
        self.count = len(buffers)
        self.buffers = <const float **>PyMem_Malloc(self.count * sizeof(float *))
        self.rows = <const float **>PyMem_Malloc(self.count * sizeof(float *))
        self.last = <float *>PyMem_Calloc(self.count * STRETCH, sizeof(float))
        if self.buffers == NULL or self.rows == NULL or self.last == NULL:
            raise MemoryError
        for k in range(self.count):
            PyObject_GetBuffer(buffers[k], &view, PyBUF_SIMPLE)
            self.buffers[k] = <const float *>view.buf
            self.size = view.len // sizeof(float)
            PyBuffer_Release(&view)

    def __dealloc__(self):
        PyMem_Free(self.buffers)
        PyMem_Free(self.rows)
        PyMem_Free(self.last)

    cdef void turn_to(self, Py_ssize_t start) noexcept nogil:
        """Let the rows be those from a coordinate on."""
        cdef Py_ssize_t k, left = self.size - start
        for k in range(self.count):
            self.rows[k] = self.buffers[k] + start
            if left < STRETCH:
                memcpy(self.last + k * STRETCH, self.rows[k], left * sizeof(float))
                self.rows[k] = self.last + k * STRETCH


def add_pairwise_sq_distances(tuple buffers, double[:, ::1] out):
    """Add to `out`; see `tierwise.ext._distance_numpy.add_pairwise_sq_distances`. The GIL is released."""
    cdef Py_ssize_t count = len(buffers), start, i, j
    cdef _Stretches stretches = _Stretches(buffers)
    with nogil:
        start = 0
        while start < stretches.size:
            stretches.turn_to(start)
            for i in range(count - 1):
                tw_add_distances(stretches.rows[i], stretches.rows + i + 1, count - i - 1, &out[i, i + 1])
            start += STRETCH
        for i in range(count):
            for j in range(i):
                out[i, j] = out[j, i]


def add_sq_norms(tuple buffers, double[::1] out):
    """Add to `out`; see `tierwise.ext._distance_numpy.add_sq_norms`. The GIL is released."""
    cdef Py_ssize_t count = len(buffers), start, k
    cdef _Stretches stretches = _Stretches(buffers)
    cdef float zeros[STRETCH]
    cdef const float *origin = zeros
    with nogil:
        for k in range(STRETCH):
            zeros[k] = 0
        start = 0
        while start < stretches.size:
            stretches.turn_to(start)
            for k in range(count):
                tw_add_distances(stretches.rows[k], &origin, 1, &out[k])
            start += STRETCH
