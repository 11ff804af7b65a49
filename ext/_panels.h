/* The weighted sum of K buffers by the law of `_average_numpy.py`, whatever the type of their items.

   One pass over memory is all that a sum has to cost. So the coordinates are cut into blocks, and a block is finished
   before the next begins: its part of the result stays in the first cache level while all buffers stream past it, eight
   at a time, so that it is loaded and stored once for eight buffers and not for each.

   For every coordinate the order of additions depends on K alone, so neither the length of a block nor the width of the
   machine's vectors shows in the result; hence nothing may be reassociated or contracted, and ``setup.py`` passes
   the flags that forbid it. */

#include <float.h>
#include <stdint.h>
#include <stdlib.h>

#include "_pointers.h"

#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "the kernels promise IEEE float32 arithmetic, which this compiler's settings do not give"
#endif

enum {
    TW_EIGHT = 8,
    TW_PANEL = 64,
    TW_LINE = 64, /* bytes of a cache line */
    /* 16 KiB of the result, and no more of each of eight buffers: within any second-level cache, and long enough for
       the hardware's prefetcher to get going. */
    TW_BLOCK = 4096,
    TW_SCALED = 1024, /* coordinates that have a scale in common */
    TW_SPANS = TW_BLOCK / TW_SCALED
};

/* What `_eight.h` makes. */
typedef void (*tw_eight)(float *, const void *const *, const float *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int);

/* left[0:n] += right[0:n] */
typedef void (*tw_adding)(float *, const float *, Py_ssize_t);

/* The buffers of a sum, what to multiply them with, and where sums wait that have no partner yet. */
typedef struct {
    const void *const *buffers;
    const float *coefficients;
    const float *const *scales; /* NULL, or for each buffer one for each TW_SCALED coordinates */
    Py_ssize_t count;
    tw_eight add_eight;
    tw_adding add;
    float *scratch; /* rows of TW_BLOCK, one for each doubling of the panels */
    float *scaled;  /* the coefficients times the scales of a block: rows of TW_SPANS, one for each buffer */
} tw_sum;

/* Add the last waiting sum to the one before it and return how many wait then; the first of them is in `out`. */
static Py_ssize_t tw_join(const tw_sum *sum, float *out, Py_ssize_t depth, Py_ssize_t n)
{
    float *left = depth == 2 ? out : sum->scratch + (depth - 3) * TW_BLOCK;
    sum->add(left, sum->scratch + (depth - 2) * TW_BLOCK, n);
    return depth - 1;
}

/* Sum coordinates `start` to `start + n` of all buffers: panels of eights, and the panels pairwise. */
static void tw_sum_block(const tw_sum *sum, Py_ssize_t start, Py_ssize_t n, float *out)
{
    const float *factors = sum->scales ? sum->scaled : sum->coefficients;
    const Py_ssize_t row = sum->scales ? TW_SPANS : 1;
    Py_ssize_t first, depth = 0, panels = 0, k, end, pairs;
    for (first = 0; first < sum->count; first = end) {
        float *acc = depth == 0 ? out : sum->scratch + (depth - 1) * TW_BLOCK;
        end = first + TW_PANEL < sum->count ? first + TW_PANEL : sum->count;
        for (k = first; k < end; k += TW_EIGHT)
            sum->add_eight(acc, sum->buffers + k, factors + k * row, end - k < TW_EIGHT ? end - k : TW_EIGHT,
                           start, n, k == first);
        depth++;
        panels++;
        for (pairs = panels; pairs % 2 == 0; pairs /= 2) /* each trailing zero bit is a pair that is now complete */
            depth = tw_join(sum, out, depth, n);
    }
    while (depth > 1)
        depth = tw_join(sum, out, depth, n);
}

/* Multiply the coefficients with the scales of the block from `start` on. */
static void tw_scale(const tw_sum *sum, Py_ssize_t start, Py_ssize_t n)
{
    const Py_ssize_t first = start / TW_SCALED, spans = (n + TW_SCALED - 1) / TW_SCALED;
    Py_ssize_t k, span;
    for (k = 0; k < sum->count; k++)
        for (span = 0; span < spans; span++)
            sum->scaled[k * TW_SPANS + span] = sum->coefficients[k] * sum->scales[k][first + span];
}

/* out[0:size] = the sum; -1 where memory is lacking, else 0. Needs no GIL. */
static int tw_sum_all(tw_sum *sum, Py_ssize_t itemsize, Py_ssize_t size, float *out)
{
    Py_ssize_t rows = 0, start, end = TW_BLOCK;
    /* Sums of 1, 2, 4, ... panels may wait at once, and one of them does so in `out`. */
    while (((Py_ssize_t)TW_PANEL << rows) < sum->count)
        rows++;
    sum->scratch = (float *)malloc(((size_t)rows * TW_BLOCK + (size_t)sum->count * TW_SPANS) * sizeof(float));
    if (!sum->scratch)
        return -1;
    sum->scaled = sum->scratch + rows * TW_BLOCK;
    /* Large arrays lie alike, at some bytes beyond a page: from where one is on a cache line, all are. */
    if (!sum->scales)
        end -= (Py_ssize_t)((uintptr_t)sum->buffers[0] % TW_LINE) / itemsize;
    for (start = 0; start < size; start = end, end = start + TW_BLOCK) {
        if (end > size)
            end = size;
        if (sum->scales)
            tw_scale(sum, start, end - start);
        tw_sum_block(sum, start, end - start, out + start);
    }
    free(sum->scratch);
    return 0;
}
