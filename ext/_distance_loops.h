/* Loops of the squared distances: included by _levels.h once for each level of vector instructions. */

#ifndef TW_DISTANCE_SHARED
#define TW_DISTANCE_SHARED

/* Coordinates of a stretch, which is summed in float32, in so many partial sums of so many squares each. */
#define TW_STRETCH 256
#define TW_PARTS 16

#define TW_DIFFERENCE(k) const float d##k = x[k * TW_PARTS + p] - y[k * TW_PARTS + p];
#define TW_SQUARE(k) (d##k * d##k)
#define TW_FOUR(a, b, c, d) ((TW_SQUARE(a) + TW_SQUARE(b)) + (TW_SQUARE(c) + TW_SQUARE(d)))
#endif

/* out[j] += the squared distance of the stretch `x` from that which `others[j]` points to, for all `count` of them. */
TW_TARGET static void TW_AT_LEVEL(tw_add_distances)(const float *TW_RESTRICT x, const float *const *others,
                                                    Py_ssize_t count, double *TW_RESTRICT out)
{
    Py_ssize_t j;
    for (j = 0; j < count; j++) {
        const float *TW_RESTRICT y = others[j];
        float sums[TW_PARTS];
        int p;
        for (p = 0; p < TW_PARTS; p++) {
            TW_DIFFERENCE(0) TW_DIFFERENCE(1) TW_DIFFERENCE(2) TW_DIFFERENCE(3)
            TW_DIFFERENCE(4) TW_DIFFERENCE(5) TW_DIFFERENCE(6) TW_DIFFERENCE(7)
            TW_DIFFERENCE(8) TW_DIFFERENCE(9) TW_DIFFERENCE(10) TW_DIFFERENCE(11)
            TW_DIFFERENCE(12) TW_DIFFERENCE(13) TW_DIFFERENCE(14) TW_DIFFERENCE(15)
            sums[p] = (TW_FOUR(0, 1, 2, 3) + TW_FOUR(4, 5, 6, 7)) + (TW_FOUR(8, 9, 10, 11) + TW_FOUR(12, 13, 14, 15));
        }
        for (p = 0; p < 8; p++) sums[p] = sums[p] + sums[p + 8];
        for (p = 0; p < 4; p++) sums[p] = sums[p] + sums[p + 4];
        out[j] = out[j] + (double)((sums[0] + sums[2]) + (sums[1] + sums[3]));
    }
}
