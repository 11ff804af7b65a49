/* A loop over coordinates that adds the products of up to eight buffers: the law's first two rules.

   Included once for each type of buffer and level, with TW_NAME the function's name, TW_ITEM a buffer's type,
   TW_WIDEN(x) what makes a float of an item, and TW_SPAN the coordinates after which the coefficients change. There is one loop for each number of buffers, once storing and once adding
   to what is there. It is C because Cython cannot say `restrict`, without which the compiler does not vectorise. */

#ifndef TW_8
#define TW_P(k) (c##k * TW_WIDEN(x##k[i]))
#define TW_1 TW_P(0)
#define TW_2 (TW_P(0) + TW_P(1))
#define TW_3 (TW_2 + TW_P(2))
#define TW_4 (TW_2 + (TW_P(2) + TW_P(3)))
#define TW_5 (TW_4 + TW_P(4))
#define TW_6 (TW_4 + (TW_P(4) + TW_P(5)))
#define TW_7 (TW_4 + ((TW_P(4) + TW_P(5)) + TW_P(6)))
#define TW_8 (TW_4 + ((TW_P(4) + TW_P(5)) + (TW_P(6) + TW_P(7))))
#define TW_CASE(r)                                                      \
    case r:                                                             \
        if (first) for (i = 0; i < n; i++) acc[i] = TW_##r;             \
        else       for (i = 0; i < n; i++) acc[i] = acc[i] + TW_##r;    \
        break;
#define TW_LAST(k) (k < count ? k : 0)
#define TW_LOAD(k)                                                                            \
    const TW_ITEM *TW_RESTRICT x##k = (const TW_ITEM *)buffers[TW_LAST(k)] + start;           \
    const float c##k = coefficients[TW_LAST(k) * (TW_BLOCK / TW_SPAN)];
#endif

/* acc[0:n] = or += the pairwise sum of `count` (1 to 8) products over coordinates start to start + n.
   The coefficients are a row for each buffer, with one for each span of a block. */
TW_TARGET static void TW_AT_LEVEL(TW_NAME)(
    float *TW_RESTRICT acc, const void *const *buffers, const float *coefficients,
    Py_ssize_t count, Py_ssize_t start, Py_ssize_t length, int first)
{
    for (; length > 0; acc += TW_SPAN, start += TW_SPAN, length -= TW_SPAN, coefficients++) {
        const Py_ssize_t n = length < TW_SPAN ? length : TW_SPAN;
        Py_ssize_t i;
        TW_LOAD(0) TW_LOAD(1) TW_LOAD(2) TW_LOAD(3) TW_LOAD(4) TW_LOAD(5) TW_LOAD(6) TW_LOAD(7)
        switch (count) {
            TW_CASE(1) TW_CASE(2) TW_CASE(3) TW_CASE(4) TW_CASE(5) TW_CASE(6) TW_CASE(7) TW_CASE(8)
        }
    }
}

#undef TW_NAME
#undef TW_ITEM
#undef TW_WIDEN
#undef TW_SPAN
