/* Loops of the order statistics: included by _levels.h once for each level of vector instructions.

   All of them work on a block: `n` coordinates of some rows. A row is either a stretch of a buffer or a row of the
   scratch, and rows of the scratch are TW_LANES apart, which is the most that `n` can be. */

#ifndef TW_ORDER_SHARED
#define TW_ORDER_SHARED

/* Without these gcc compares and blends instead of taking a minimum: it takes twice as long. They leave open which of
   two zeros comes out, and everything about NaN; sums and what they are made of stay as written. */
#if defined(__GNUC__) && !defined(__clang__)
#define TW_ORDERING __attribute__((optimize("finite-math-only", "no-signed-zeros")))
/* Without this gcc does not vectorise a choice: a comparison that nobody asked for could raise a flag. */
#define TW_CHOOSING __attribute__((optimize("no-trapping-math")))
#else
#define TW_ORDERING
#define TW_CHOOSING
#endif

/* A comparator of a sorting network: the lesser to the first, the greater to the second. */
#define TW_COMPARE(a, b)            \
    do {                            \
        float s = a, t = b;         \
        a = t < s ? t : s;          \
        b = t < s ? s : t;          \
    } while (0)

/* Green's network of 60 comparators for 16 values (Knuth, The Art of Computer Programming, volume 3, 5.3.4). One for
   fewer is what is left of it when the last values are infinitely large: a comparator with such a one does nothing. */
#define TW_GREEN(C)                                                                                       \
    C(0, 1) C(2, 3) C(4, 5) C(6, 7) C(8, 9) C(10, 11) C(12, 13) C(14, 15)                                 \
    C(0, 2) C(4, 6) C(8, 10) C(12, 14) C(1, 3) C(5, 7) C(9, 11) C(13, 15)                                 \
    C(0, 4) C(8, 12) C(1, 5) C(9, 13) C(2, 6) C(10, 14) C(3, 7) C(11, 15)                                 \
    C(0, 8) C(1, 9) C(2, 10) C(3, 11) C(4, 12) C(5, 13) C(6, 14) C(7, 15)                                 \
    C(5, 10) C(6, 9) C(3, 12) C(13, 14) C(4, 8) C(7, 11) C(1, 2)                                          \
    C(1, 4) C(7, 13) C(2, 8) C(11, 14)                                                                    \
    C(2, 4) C(5, 6) C(9, 10) C(11, 13) C(3, 8) C(7, 12)                                                   \
    C(6, 8) C(10, 12) C(3, 5) C(7, 9)                                                                     \
    C(3, 4) C(5, 6) C(7, 8) C(9, 10) C(11, 12)                                                            \
    C(6, 7) C(8, 9)

#define TW_IN(k) const float *TW_RESTRICT x##k = in[k < m ? k : 0];
#define TW_LOAD_ROW(k) float v##k = k < m ? x##k[i] : 0.0f;
#define TW_STORE_ROW(k) if (k < m) out[k * TW_LANES + i] = v##k;
#define TW_SIXTEEN(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define TW_IF_THERE(a, b) if (b < m) TW_COMPARE(v##a, v##b);

/* With a constant `m` the compiler drops what is not there and keeps the values in registers. */
#define TW_SORT_CASE(M)                      \
    case M: {                                \
        enum { m = M };                      \
        TW_SIXTEEN(TW_IN)                    \
        for (i = 0; i < n; i++) {            \
            TW_SIXTEEN(TW_LOAD_ROW)          \
            TW_GREEN(TW_IF_THERE)            \
            TW_SIXTEEN(TW_STORE_ROW)         \
        }                                    \
        break;                               \
    }

/* One step of a network between rows of the scratch: both outputs, or the one that is read later. */
typedef struct {
    unsigned short low, high;
    unsigned short kept; /* 0: both, 1: the lesser, in `low`, 2: the greater, in `high` */
} tw_comparator;

/* Two rows of the scratch. */
typedef struct {
    unsigned short first, second;
} tw_pair;

#define TW_LEAST(a, b) ((b) < (a) ? (b) : (a))
#define TW_GREATEST(a, b) ((a) < (b) ? (b) : (a))

/* `out` becomes the OUTER of all pairs' INNER, four pairs at a time; where there are fewer, the last one again. */
#define TW_PAIR(j)                                                                                      \
    const float *TW_RESTRICT x##j = rows + pairs[k + j < count ? k + j : count - 1].first * TW_LANES;   \
    const float *TW_RESTRICT y##j = rows + pairs[k + j < count ? k + j : count - 1].second * TW_LANES;
#define TW_FOLD(OUTER, INNER)                                                                            \
    for (k = 0; k < count; k += 4) {                                                                     \
        TW_PAIR(0) TW_PAIR(1) TW_PAIR(2) TW_PAIR(3)                                                      \
        for (i = 0; i < n; i++) {                                                                        \
            float p0 = INNER(x0[i], y0[i]), p1 = INNER(x1[i], y1[i]);                                    \
            float p2 = INNER(x2[i], y2[i]), p3 = INNER(x3[i], y3[i]);                                    \
            float q0 = OUTER(p0, p1), q1 = OUTER(p2, p3), q = OUTER(q0, q1), before = k ? out[i] : q;    \
            out[i] = OUTER(before, q);                                                                   \
        }                                                                                                \
    }

/* Integers in the order of the floats that they are made of, and back: the same operation. */
#define TW_KEY(bits) ((bits) ^ (((bits) >> 31) & 0x7fffffff))
#endif

/* Sort `count` (1 to 16) rows, coordinate by coordinate, from `in` to rows of the scratch. */
TW_TARGET TW_ORDERING static void TW_AT_LEVEL(tw_sort_rows)(const float *const *in, Py_ssize_t count, float *TW_RESTRICT out,
                                                Py_ssize_t n)
{
    Py_ssize_t i;
    switch (count) {
        TW_SORT_CASE(1) TW_SORT_CASE(2) TW_SORT_CASE(3) TW_SORT_CASE(4)
        TW_SORT_CASE(5) TW_SORT_CASE(6) TW_SORT_CASE(7) TW_SORT_CASE(8)
        TW_SORT_CASE(9) TW_SORT_CASE(10) TW_SORT_CASE(11) TW_SORT_CASE(12)
        TW_SORT_CASE(13) TW_SORT_CASE(14) TW_SORT_CASE(15) TW_SORT_CASE(16)
    }
}

/* Run comparators between rows of the scratch. */
TW_TARGET TW_ORDERING static void TW_AT_LEVEL(tw_compare_rows)(float *rows, const tw_comparator *steps, Py_ssize_t count,
                                                   Py_ssize_t n)
{
    Py_ssize_t i, k;
    for (k = 0; k < count; k++) {
        float *TW_RESTRICT low = rows + steps[k].low * TW_LANES;
        float *TW_RESTRICT high = rows + steps[k].high * TW_LANES;
        switch (steps[k].kept) {
        case 0:
            for (i = 0; i < n; i++) TW_COMPARE(low[i], high[i]);
            break;
        case 1:
            for (i = 0; i < n; i++) low[i] = TW_LEAST(low[i], high[i]);
            break;
        default:
            for (i = 0; i < n; i++) high[i] = TW_GREATEST(low[i], high[i]);
        }
    }
}

/* out = the greatest of all pairs' lesser ones; or with `least` the least of all pairs' greater ones. */
TW_TARGET TW_ORDERING static void TW_AT_LEVEL(tw_fold_pairs)(const float *rows, const tw_pair *pairs, Py_ssize_t count,
                                                             int least, float *TW_RESTRICT out, Py_ssize_t n)
{
    Py_ssize_t i, k;
    if (least) {
        TW_FOLD(TW_LEAST, TW_GREATEST)
    } else {
        TW_FOLD(TW_GREATEST, TW_LEAST)
    }
}

/* sums[0:n] = or += the values of 4 rows from `in`, or as many as there are, each brought between `low` and `high`. */
TW_TARGET TW_ORDERING static void TW_AT_LEVEL(tw_add_clamped)(const float *const *in, Py_ssize_t count,
                                                              const float *TW_RESTRICT low,
                                                              const float *TW_RESTRICT high, double *TW_RESTRICT sums,
                                                              Py_ssize_t n)
{
    Py_ssize_t i, k;
    for (i = 0; i < n; i++) sums[i] = 0.0;
    for (k = 0; k + 4 <= count; k += 4) {
        const float *TW_RESTRICT x0 = in[k], *TW_RESTRICT x1 = in[k + 1];
        const float *TW_RESTRICT x2 = in[k + 2], *TW_RESTRICT x3 = in[k + 3];
        for (i = 0; i < n; i++) {
            float a = low[i], b = high[i];
            float c0 = TW_GREATEST(x0[i], a), c1 = TW_GREATEST(x1[i], a);
            float c2 = TW_GREATEST(x2[i], a), c3 = TW_GREATEST(x3[i], a);
            double sum = sums[i] + (double)TW_LEAST(c0, b);
            sum = sum + (double)TW_LEAST(c1, b);
            sum = sum + (double)TW_LEAST(c2, b);
            sums[i] = sum + (double)TW_LEAST(c3, b);
        }
    }
    for (; k < count; k++) {
        const float *TW_RESTRICT x = in[k];
        for (i = 0; i < n; i++) {
            float c = TW_GREATEST(x[i], low[i]);
            sums[i] = sums[i] + (double)TW_LEAST(c, high[i]);
        }
    }
}

/* out = what is halfway between `low` and `high`; zero has no sign. */
TW_TARGET static void TW_AT_LEVEL(tw_midway)(const float *TW_RESTRICT low, const float *TW_RESTRICT high,
                                             float *TW_RESTRICT out, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) out[i] = (float)(((double)low[i] + (double)high[i]) * 0.5 + 0.0);
}

/* out = (sums - trim * (low + high)) / kept: what was clamped was as large as the bounds, and goes out again. */
TW_TARGET static void TW_AT_LEVEL(tw_mean_within)(const double *TW_RESTRICT sums, const float *TW_RESTRICT low,
                                                  const float *TW_RESTRICT high, double trim, double kept,
                                                  float *TW_RESTRICT out, Py_ssize_t n)
{
    Py_ssize_t i;
    for (i = 0; i < n; i++) out[i] = (float)((sums[i] - trim * ((double)low[i] + (double)high[i])) / kept);
}

/* Rows of keys of what is in `in`. */
TW_TARGET static void TW_AT_LEVEL(tw_make_keys)(const float *const *in, Py_ssize_t count, int *TW_RESTRICT keys,
                                                Py_ssize_t n)
{
    Py_ssize_t i, k;
    for (k = 0; k < count; k++) {
        const int *TW_RESTRICT bits = (const int *)in[k];
        int *TW_RESTRICT row = keys + k * TW_LANES;
        for (i = 0; i < n; i++) row[i] = TW_KEY(bits[i]);
    }
}

/* found[0:n] = the keys of a rank: bit by bit, the largest that no more than `rank` keys are below. */
TW_TARGET static void TW_AT_LEVEL(tw_find_rank)(const int *TW_RESTRICT keys, Py_ssize_t count, Py_ssize_t rank,
                                                int *TW_RESTRICT found, int *TW_RESTRICT tried,
                                                int *TW_RESTRICT below, Py_ssize_t n)
{
    Py_ssize_t i, k;
    int bit;
    for (i = 0; i < n; i++) found[i] = (int)0x80000000u;
    for (bit = 31; bit >= 0; bit--) {
        for (i = 0; i < n; i++) {
            tried[i] = (int)((unsigned)found[i] + (1u << bit));
            below[i] = 0;
        }
        for (k = 0; k + 4 <= count; k += 4) {
            const int *TW_RESTRICT x0 = keys + k * TW_LANES, *TW_RESTRICT x1 = x0 + TW_LANES;
            const int *TW_RESTRICT x2 = x1 + TW_LANES, *TW_RESTRICT x3 = x2 + TW_LANES;
            for (i = 0; i < n; i++)
                below[i] += (x0[i] < tried[i]) + (x1[i] < tried[i]) + (x2[i] < tried[i]) + (x3[i] < tried[i]);
        }
        for (; k < count; k++) {
            const int *TW_RESTRICT x = keys + k * TW_LANES;
            for (i = 0; i < n; i++) below[i] += x[i] < tried[i];
        }
        for (i = 0; i < n; i++) found[i] = below[i] <= rank ? tried[i] : found[i];
    }
}

/* next[0:n] = the keys of the rank after that of `found`, which is `rank`. */
TW_TARGET static void TW_AT_LEVEL(tw_find_next)(const int *TW_RESTRICT keys, Py_ssize_t count, Py_ssize_t rank,
                                                const int *TW_RESTRICT found, int *TW_RESTRICT next,
                                                int *TW_RESTRICT within, Py_ssize_t n)
{
    Py_ssize_t i, k;
    for (i = 0; i < n; i++) {
        next[i] = 0x7fffffff;
        within[i] = 0;
    }
    for (k = 0; k < count; k++) {
        const int *TW_RESTRICT x = keys + k * TW_LANES;
        for (i = 0; i < n; i++) {
            int above = x[i] > found[i];
            within[i] += !above;
            next[i] = above && x[i] < next[i] ? x[i] : next[i];
        }
    }
    for (i = 0; i < n; i++) next[i] = within[i] > rank + 1 ? found[i] : next[i];
}

/* The floats of keys. */
TW_TARGET static void TW_AT_LEVEL(tw_values_of)(const int *TW_RESTRICT keys, float *TW_RESTRICT out, Py_ssize_t n)
{
    int *TW_RESTRICT bits = (int *)out;
    Py_ssize_t i;
    for (i = 0; i < n; i++) bits[i] = TW_KEY(keys[i]);
}

/* Rows of the scratch = how far each value of `in` is from the middle. */
TW_TARGET static void TW_AT_LEVEL(tw_measure)(const float *const *in, Py_ssize_t count, const float *TW_RESTRICT middle,
                                              float *TW_RESTRICT distances, Py_ssize_t n)
{
    Py_ssize_t i, k;
    for (k = 0; k < count; k++) {
        const float *TW_RESTRICT x = in[k];
        float *TW_RESTRICT row = distances + k * TW_LANES;
        for (i = 0; i < n; i++) {
            float d = x[i] - middle[i];
            row[i] = d < 0.0f ? -d : d;
        }
    }
}

/* out = the mean of the `kept` values that are nearest to the middle, of which `bound` is the distance of the last; of
   several at that distance each has the same part. `sums` has room for two rows, `counts` as well. */
TW_TARGET TW_CHOOSING static void TW_AT_LEVEL(tw_mean_near)(const float *const *in,
                                                            const float *TW_RESTRICT distances,
                                                Py_ssize_t count, const float *TW_RESTRICT bound, double kept,
                                                double *TW_RESTRICT sums, int *TW_RESTRICT counts,
                                                float *TW_RESTRICT out, Py_ssize_t n)
{
    double *TW_RESTRICT inner = sums, *TW_RESTRICT outer = sums + TW_LANES;
    int *TW_RESTRICT inners = counts, *TW_RESTRICT outers = counts + TW_LANES;
    Py_ssize_t i, k;
    for (i = 0; i < n; i++) {
        inner[i] = outer[i] = 0.0;
        inners[i] = outers[i] = 0;
    }
    for (k = 0; k < count; k++) {
        const float *TW_RESTRICT x = in[k], *TW_RESTRICT d = distances + k * TW_LANES;
        for (i = 0; i < n; i++) {
            inners[i] += d[i] < bound[i];
            outers[i] += d[i] == bound[i];
        }
        for (i = 0; i < n; i++) {
            float value = x[i], far = d[i], b = bound[i];
            float within = far < b ? value : 0.0f, at = far == b ? value : 0.0f;
            inner[i] = inner[i] + (double)within;
            outer[i] = outer[i] + (double)at;
        }
    }
    for (i = 0; i < n; i++)
        out[i] = (float)((inner[i] + outer[i] * ((kept - (double)inners[i]) / (double)outers[i])) / kept);
}
