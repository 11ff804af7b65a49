"""The compiled look at many arrays before a kernel runs; ``_arrays_numpy.py`` is its specification.

With many small buffers, looking at each from Python would take longer than the sum.
"""

from cpython.buffer cimport PyBUF_ND, PyBUF_SIMPLE, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uintptr_t

from numpy import dtype as dtype_of, empty, float32, int64, ndarray

cdef object FLOAT32 = dtype_of(float32), INT64 = dtype_of(int64)


def alike(tuple buffers, dtype, out):
    """Tell whether all is as it should be; see `tierwise.ext._arrays_numpy.alike`."""
    cdef Py_buffer view
    cdef uintptr_t start, end, first, last
    cdef Py_ssize_t size, itemsize = dtype.itemsize
    if type(out) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(out, &view, PyBUF_ND | PyBUF_WRITABLE)
    except ValueError:
        return False
    if view.ndim != 1:
        PyBuffer_Release(&view)
        return False
    first, last, size = <uintptr_t>view.buf, <uintptr_t>view.buf + view.len, view.shape[0]
    PyBuffer_Release(&view)
    if first % <uintptr_t>out.itemsize != 0:
        return False
    for buffer in buffers:
        # A subclass, or a dtype that is equal but another object, needs a closer look.
        if type(buffer) is not ndarray or buffer.dtype is not dtype:
            return False
        try:
            PyObject_GetBuffer(buffer, &view, PyBUF_ND)  # C-contiguous, or an error
        except ValueError:
            return False
        start, end = <uintptr_t>view.buf, <uintptr_t>view.buf + view.len
        fits = view.ndim == 1 and view.shape[0] == size and start % itemsize == 0
        PyBuffer_Release(&view)
        if not fits or (start < last and first < end):
            return False
    return True


def quotients(weights, double divisor):
    """Return each weight over the divisor as float32; see `tierwise.ext._arrays_numpy.quotients`."""
    cdef Py_buffer view, room
    cdef Py_ssize_t k
    cdef const int64_t *whole
    cdef float *part
    if type(weights) is not ndarray or weights.dtype is not INT64:
        return None
    try:
        PyObject_GetBuffer(weights, &view, PyBUF_ND)  # C-contiguous, or an error
    except ValueError:
        return None
    try:
        if view.ndim != 1 or <uintptr_t>view.buf % sizeof(int64_t) != 0:
            return None
        result = empty(view.shape[0], FLOAT32)
        PyObject_GetBuffer(result, &room, PyBUF_SIMPLE | PyBUF_WRITABLE)
        whole, part = <const int64_t *>view.buf, <float *>room.buf
        for k in range(view.shape[0]):
            part[k] = <float>(<double>whole[k] / divisor)
        PyBuffer_Release(&room)
    finally:
        PyBuffer_Release(&view)
    return result
