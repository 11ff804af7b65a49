"""The compiled look at many arrays before a kernel runs; ``_arrays_numpy.py`` is its specification.

With many small buffers, looking at each from Python would take longer than the sum.
"""

from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uintptr_t

from numpy import ndarray


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
