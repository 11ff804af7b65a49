/* Loops over items of a ring: included once for each type of item and level, with TW_ITEM the type, TW_SIGNED the
   signed one of the same size, and TW_OF(name) what tells their functions apart. */

/* out[0:n] = or += the sum of `count` (1 to 8) buffers over coordinates start to start + n. */
TW_TARGET static void TW_AT_LEVEL(TW_OF(tw_eight))(void *out, const void *const *buffers, Py_ssize_t count,
                                                   Py_ssize_t start, Py_ssize_t n, int first)
{
    TW_ITEM *TW_RESTRICT acc = (TW_ITEM *)out + start;
    Py_ssize_t i;
    TW_RING_LOAD(0) TW_RING_LOAD(1) TW_RING_LOAD(2) TW_RING_LOAD(3)
    TW_RING_LOAD(4) TW_RING_LOAD(5) TW_RING_LOAD(6) TW_RING_LOAD(7)
    switch (count) {
        TW_RING_CASE(1) TW_RING_CASE(2) TW_RING_CASE(3) TW_RING_CASE(4)
        TW_RING_CASE(5) TW_RING_CASE(6) TW_RING_CASE(7) TW_RING_CASE(8)
    }
}

/* out[0:n] = weight times the values in steps, rounded half to even. */
TW_TARGET static void TW_AT_LEVEL(TW_OF(tw_encode))(const float *TW_RESTRICT values, double clip, double per_step,
                                                    uint64_t weight, void *out, Py_ssize_t n)
{
    const double whole = 4503599627370496.0; /* 2**52: a magnitude from here on has no fraction */
    TW_ITEM *TW_RESTRICT items = (TW_ITEM *)out;
    Py_ssize_t i;
    for (i = 0; i < n; i++) {
        const double value = values[i];
        const double clipped = value > clip ? clip : value < -clip ? -clip : value;
        const double steps = clipped * per_step; /* exact: a power of two */
        const double magnitude = steps < 0 ? -steps : steps;
        const double rounded = magnitude < whole ? (magnitude + whole) - whole : magnitude;
        items[i] = (TW_ITEM)(TW_SIGNED)(steps < 0 ? -rounded : rounded) * (TW_ITEM)weight;
    }
}

/* out[0:n] = the sums as signed integers, times step, over divisor. */
TW_TARGET static void TW_AT_LEVEL(TW_OF(tw_decode))(const void *sums, double step, double divisor,
                                                    float *TW_RESTRICT out, Py_ssize_t n)
{
    const TW_SIGNED *TW_RESTRICT items = (const TW_SIGNED *)sums;
    Py_ssize_t i;
    for (i = 0; i < n; i++) out[i] = (float)((double)items[i] * step / divisor);
}

#undef TW_ITEM
#undef TW_SIGNED
#undef TW_OF
