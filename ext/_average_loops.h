/* The loops of `_average.pyx` over coordinates, compiled once for each level of `_levels.h`.

   They are C because Cython cannot say `restrict`, and without it the compiler does not vectorise them. One loop
   for each number of buffers, once storing and once adding to what is there. */

#ifndef TW_EIGHT
#define TW_P(k) (c##k * x##k[i])
#define TW_1 TW_P(0)
#define TW_2 (TW_P(0) + TW_P(1))
#define TW_3 (TW_2 + TW_P(2))
#define TW_4 (TW_2 + (TW_P(2) + TW_P(3)))
#define TW_5 (TW_4 + TW_P(4))
#define TW_6 (TW_4 + (TW_P(4) + TW_P(5)))
#define TW_7 (TW_4 + ((TW_P(4) + TW_P(5)) + TW_P(6)))
#define TW_8 (TW_4 + ((TW_P(4) + TW_P(5)) + (TW_P(6) + TW_P(7))))
#define TW_EIGHT 8
#define TW_CASE(r)                                                      \
    case r:                                                             \
        if (first) for (i = 0; i < n; i++) acc[i] = TW_##r;             \
        else       for (i = 0; i < n; i++) acc[i] = acc[i] + TW_##r;    \
        break;
#define TW_LAST(k) (k < count ? k : 0)
#define TW_LOAD(k)                                                      \
    const float *TW_RESTRICT x##k = buffers[TW_LAST(k)] + start;        \
    const float c##k = coefficients[TW_LAST(k)];
#endif

/* acc[0:n] = or += the pairwise sum of `count` (1 to 8) products over coordinates start to start + n. */
TW_TARGET static void TW_AT_LEVEL(tw_add_eight)(
    float *TW_RESTRICT acc, const float *const *buffers, const float *coefficients,
    Py_ssize_t count, Py_ssize_t start, Py_ssize_t n, int first)
{
    Py_ssize_t i;
    TW_LOAD(0) TW_LOAD(1) TW_LOAD(2) TW_LOAD(3) TW_LOAD(4) TW_LOAD(5) TW_LOAD(6) TW_LOAD(7)
    switch (count) {
        TW_CASE(1) TW_CASE(2) TW_CASE(3) TW_CASE(4) TW_CASE(5) TW_CASE(6) TW_CASE(7) TW_CASE(8)
    }
}

/* left[0:n] += right[0:n] */
TW_TARGET static void TW_AT_LEVEL(tw_add)(float *TW_RESTRICT left, const float *TW_RESTRICT right, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) left[i] = left[i] + right[i];
}
