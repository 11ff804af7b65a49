/* What a loop over many arrays begins with. Included after Python.h, in no loops' file. */

/* Note where the items of each buffer of a tuple are; the tuple keeps them alive. -1 is an error that is set. */
static int tw_pointers(PyObject *buffers, const void **pointers)
{
    Py_ssize_t k;
    for (k = 0; k < PyTuple_GET_SIZE(buffers); k++) {
        Py_buffer view;
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(buffers, k), &view, PyBUF_SIMPLE) < 0)
            return -1;
        pointers[k] = view.buf;
        PyBuffer_Release(&view);
    }
    return 0;
}
