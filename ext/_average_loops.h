/* The loops of `_average.pyx` over coordinates, compiled once for each level of `_levels.h`. */

#define TW_NAME tw_eight_floats
#define TW_ITEM float
#define TW_WIDEN(x) (x)
#define TW_SPAN TW_BLOCK
#include "_eight.h"

/* left[0:n] += right[0:n] */
TW_TARGET static void TW_AT_LEVEL(tw_add)(float *TW_RESTRICT left, const float *TW_RESTRICT right, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) left[i] = left[i] + right[i];
}
