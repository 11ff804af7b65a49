/* What average.py compares with: a read pass, and the weighted sum as a C programmer would write it for this machine. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 4096 };

/* Read every buffer once and write nothing. */
float read_pass(const float *const *x, int count, size_t size)
{
    float total = 0;
    for (int k = 0; k < count; k++) {
        const float *a = x[k];
        float sum = 0;
        for (size_t i = 0; i < size; i++) sum += a[i];
        total += sum;
    }
    return total;
}

/* The same of integers, whose bits may be those of no float that is added at full speed. */
uint32_t read_integers(const uint32_t *const *x, int count, size_t size)
{
    uint32_t total = 0;
    for (int k = 0; k < count; k++) {
        const uint32_t *a = x[k];
        uint32_t sum = 0;
        for (size_t i = 0; i < size; i++) sum += a[i];
        total += sum;
    }
    return total;
}

/* Blocks, eight buffers a pass, in whatever order of additions the compiler likes best. */
void c_loop(const float *const *x, const float *w, int count, size_t size, float *out)
{
    for (size_t start = 0; start < size; start += BLOCK) {
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        float *restrict acc = out + start;
        int k = 0;
        memset(acc, 0, sizeof(float) * n);
        for (; k + 8 <= count; k += 8) {
            const float *a = x[k] + start, *b = x[k + 1] + start, *c = x[k + 2] + start, *d = x[k + 3] + start;
            const float *e = x[k + 4] + start, *f = x[k + 5] + start, *g = x[k + 6] + start, *h = x[k + 7] + start;
            for (int i = 0; i < n; i++)
                acc[i] += w[k] * a[i] + w[k + 1] * b[i] + w[k + 2] * c[i] + w[k + 3] * d[i] + w[k + 4] * e[i] +
                          w[k + 5] * f[i] + w[k + 6] * g[i] + w[k + 7] * h[i];
        }
        for (; k < count; k++) {
            const float *a = x[k] + start;
            for (int i = 0; i < n; i++) acc[i] += w[k] * a[i];
        }
    }
}
