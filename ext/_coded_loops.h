/* The loops of `_coded.pyx`, compiled once for each level of `_levels.h`. */

#ifndef TW_CODED
#define TW_CODED
#include <stdint.h>
#include <string.h>

/* The float32 that a float16 stands for. The bits of exponent and fraction, moved into place, are its value times
   2**-112, subnormal or not; the product is exact, since nothing below 2**-126 comes out of it. */
static inline float tw_from_half(uint16_t half)
{
    const float two_to_112 = 5192296858534827628530496329220096.0f;
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = (uint32_t)(half & 0x7fffu) << 13;
    float value;
    uint32_t bits;
    memcpy(&value, &rest, 4);
    value *= two_to_112;
    memcpy(&bits, &value, 4);
    bits |= rest >= 0x0f800000u ? 0x7f800000u : 0; /* infinity and NaN have the largest exponent in both */
    bits |= sign;
    memcpy(&value, &bits, 4);
    return value;
}

/* The float32 whose upper half it is. */
static inline float tw_from_bfloat(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float tw_from_int8(int8_t step)
{
    return (float)step;
}

#define TW_P(k) (c##k * TW_WIDEN(x##k[i]))
#define TW_1 TW_P(0)
#define TW_2 (TW_P(0) + TW_P(1))
#define TW_3 (TW_2 + TW_P(2))
#define TW_4 (TW_2 + (TW_P(2) + TW_P(3)))
#define TW_5 (TW_4 + TW_P(4))
#define TW_6 (TW_4 + (TW_P(4) + TW_P(5)))
#define TW_7 (TW_4 + ((TW_P(4) + TW_P(5)) + TW_P(6)))
#define TW_8 (TW_4 + ((TW_P(4) + TW_P(5)) + (TW_P(6) + TW_P(7))))
