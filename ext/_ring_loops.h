/* The loops of `_ring.pyx`, compiled once for each level of `_levels.h`. Unsigned integers wrap round, as C says, so
   every sum is modulo 2**32 or 2**64 and its order is free. */

#ifndef TW_RING
#define TW_RING
#define TW_R(k) x##k[i]
#define TW_R_1 TW_R(0)
#define TW_R_2 TW_R_1 + TW_R(1)
#define TW_R_3 TW_R_2 + TW_R(2)
#define TW_R_4 TW_R_3 + TW_R(3)
#define TW_R_5 TW_R_4 + TW_R(4)
#define TW_R_6 TW_R_5 + TW_R(5)
#define TW_R_7 TW_R_6 + TW_R(6)
#define TW_R_8 TW_R_7 + TW_R(7)
#define TW_RING_CASE(r)                                       \
    case r:                                                   \
        if (first) for (i = 0; i < n; i++) acc[i] = TW_R_##r; \
        else for (i = 0; i < n; i++) acc[i] += TW_R_##r;      \
        break;
#define TW_RING_LOAD(k) const TW_ITEM *TW_RESTRICT x##k = (const TW_ITEM *)buffers[k < count ? k : 0] + start;
#endif

#define TW_ITEM uint32_t
#define TW_SIGNED int32_t
#define TW_OF(name) TW_JOINED(name, _32)
#include "_ring_items.h"

#define TW_ITEM uint64_t
#define TW_SIGNED int64_t
#define TW_OF(name) TW_JOINED(name, _64)
#include "_ring_items.h"

/* Whether all values are finite. */
TW_TARGET static int TW_AT_LEVEL(tw_finite)(const float *values, Py_ssize_t n)
{
    int32_t peak = 0;
    Py_ssize_t i;
    for (i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, values + i, 4);
        bits &= 0x7fffffff;
        peak = bits > peak ? bits : peak;
    }
    return peak < 0x7f800000;
}
