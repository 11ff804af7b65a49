/* The loops of `_coded.pyx`, compiled once for each level of `_levels.h`. */

#ifndef TW_CODED
#define TW_CODED
#include <string.h>

static inline float tw_float_of(int32_t bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline int32_t tw_bits_of(float value)
{
    int32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

/* The float32 that a float16 stands for: its exponent and fraction moved into place, with the bias made up. What has
   the largest exponent, infinity or NaN, has it here too; what has none is subnormal there, and a difference of two
   normal numbers here, since many processors take a hundred cycles for each operation on subnormal ones. */
static inline float tw_from_half(uint16_t half)
{
    const int32_t rest = (int32_t)(half & 0x7fff) << 13, bias = (127 - 15) << 23, sign = (int32_t)(half & 0x8000) << 16;
    const int32_t special = rest >= (31 << 23) ? bias : 0;
    const int32_t small = rest < (1 << 23) ? -1 : 0;
    const float magnitude = tw_float_of(rest + bias + special + (small & (1 << 23)));
    return tw_float_of(tw_bits_of(magnitude - tw_float_of(small & ((127 - 14) << 23))) | sign);
}

/* The float32 whose upper half it is. */
static inline float tw_from_bfloat(uint16_t half)
{
    return tw_float_of((int32_t)((uint32_t)half << 16));
}

/* The finaliser of MurmurHash3. */
static inline uint32_t tw_mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return x ^ (x >> 16);
}
#endif

#define TW_NAME tw_eight_halves
#define TW_ITEM uint16_t
#define TW_WIDEN(x) tw_from_half(x)
#define TW_SPAN TW_BLOCK
#include "_eight.h"

#define TW_NAME tw_eight_bfloats
#define TW_ITEM uint16_t
#define TW_WIDEN(x) tw_from_bfloat(x)
#define TW_SPAN TW_BLOCK
#include "_eight.h"

#define TW_NAME tw_eight_steps
#define TW_ITEM int8_t
#define TW_WIDEN(x) ((float)(x))
#define TW_SPAN TW_SCALED
#include "_eight.h"

/* left[0:n] += right[0:n] */
TW_TARGET static void TW_AT_LEVEL(tw_add)(float *TW_RESTRICT left, const float *TW_RESTRICT right, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) left[i] = left[i] + right[i];
}

/* The bits of the largest magnitude; those of infinity or more where a value is not finite. */
TW_TARGET static int32_t TW_AT_LEVEL(tw_peak)(const float *values, Py_ssize_t n)
{
    int32_t peak = 0;
    Py_ssize_t i;
    for (i = 0; i < n; i++) {
        const int32_t bits = tw_bits_of(values[i]) & 0x7fffffff;
        peak = bits > peak ? bits : peak;
    }
    return peak;
}

/* steps[0:n] = values[0:n] * factor, which has 15 bits of fraction, rounded at random; `first` is the first's index. */
TW_TARGET static void TW_AT_LEVEL(tw_round)(const float *TW_RESTRICT values, float factor, uint32_t first, uint32_t key0,
                                            uint32_t key1, int8_t *TW_RESTRICT steps, Py_ssize_t n)
{
    const float whole = 12582912.0f; /* 1.5 * 2**23: what is added to it has no fraction afterwards */
    Py_ssize_t i;
    for (i = 0; i < n; i++) {
        const int32_t random = (int32_t)(tw_mix(tw_mix((first + (uint32_t)i) ^ key0) ^ key1) >> 17);
        const int32_t fixed = tw_bits_of(values[i] * factor + whole) - 0x4b400000 + random;
        /* an arithmetic shift, which floors */
        const int32_t step = fixed >> 15;
        steps[i] = (int8_t)(step > 127 ? 127 : step < -127 ? -127 : step);
    }
}

/* out[0:n] = scale * steps[0:n] */
TW_TARGET static void TW_AT_LEVEL(tw_unscale)(const int8_t *TW_RESTRICT steps, float scale, float *TW_RESTRICT out,
                                              Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) out[i] = scale * (float)steps[i];
}

/* The upper halves of the values' bits, rounded to nearest, to even; a NaN remains one. */
TW_TARGET static void TW_AT_LEVEL(tw_to_bfloat)(const float *TW_RESTRICT values, uint16_t *TW_RESTRICT out, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)tw_bits_of(values[i]), upper = bits >> 16;
        const uint32_t rounded = (bits + 0x7fffu + (upper & 1u)) >> 16;
        out[i] = (uint16_t)((int32_t)(bits & 0x7fffffffu) > 0x7f800000 ? upper | 0x40u : rounded);
    }
}

/* The float32 that the values are the upper halves of. */
TW_TARGET static void TW_AT_LEVEL(tw_widen)(const uint16_t *TW_RESTRICT values, float *TW_RESTRICT out, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) out[i] = tw_from_bfloat(values[i]);
}
