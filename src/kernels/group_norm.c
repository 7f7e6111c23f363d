/* group_norm.c: Group Normalization (Wu and He, 2018) of grids: the channels of a group together over all pixels. */
#include "kernels/grid.h"
#include "kernels/simd.h"

#include <math.h>

enum { AT_ONCE = 64 }; /* pixels whose sums are single floats */

/* Sums are of what is beyond the first pixel, so that a mean that is large beside the deviation takes nothing of it. */
static void sum_four(const float *x, size_t stride, int rows, hc_moments *moments)
{
    const f32x4 first = f32_load(x);
    double sums[4] = {0}, squares[4] = {0};
    for (int r = 0; r < rows; r += AT_ONCE) {
        f32x4 sum = f32_splat(0), square = sum;
        for (int i = r; i < r + AT_ONCE && i < rows; i++, x += stride) {
            f32x4 v = f32_load(x) - first;
            sum += v;
            square += v * v;
        }
        for (int c = 0; c < 4; c++) {
            sums[c] += (double)sum[c];
            squares[c] += (double)square[c];
        }
    }
    for (int c = 0; c < 4; c++) {
        double mean = sums[c] / rows;
        moments[c] = (hc_moments){(double)first[c] + mean, squares[c] / rows - mean * mean};
    }
}

void hc_group_moments(const float *x, size_t stride, int rows, int first, int last, hc_moments *moments)
{
    for (int c = first; c < last; c += 4) sum_four(x + c, stride, rows, moments + c);
}

void hc_group_factors(const hc_moments *moments, int n, int groups, const float *weight, const float *bias, float eps,
                      float *factors, float *shifts)
{
    int size = n / groups;
    for (int first = 0; first < n; first += size) {
        double mean = 0, variance = 0;
        for (int c = first; c < first + size; c++) mean += moments[c].mean / size;
        for (int c = first; c < first + size; c++) {
            double off = moments[c].mean - mean;
            variance += (moments[c].variance + off * off) / size;
        }
        double inverse = 1 / sqrt(variance + (double)eps);
        for (int c = first; c < first + size; c++) {
            factors[c] = (float)((double)weight[c] * inverse);
            shifts[c] = (float)((double)bias[c] - mean * inverse * (double)weight[c]);
        }
    }
}

void hc_group_apply(int n, const float *factors, const float *shifts, const float *add, float *x)
{
    for (int c = 0; c < n; c += 4) {
        f32x4 v = f32_load(x + c) * f32_load(factors + c) + f32_load(shifts + c);
        f32_store(x + c, add ? v + f32_load(add + c) : v);
    }
}
