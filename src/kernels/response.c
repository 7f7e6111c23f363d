/* response.c: Global Response Normalization (Woo et al., "ConvNeXt V2", 2023): each channel of a grid times how large
 * it is beside the others. */
#include "kernels/grid.h"
#include "kernels/simd.h"

#include <math.h>

void hc_response_norms(const float *x, size_t stride, int rows, int first, int last, float *norms)
{
    for (int c = first; c < last; c++) norms[c] = 0;
    for (int r = 0; r < rows; r++, x += stride) {
        int c = first;
        for (; c + 4 <= last; c += 4) {
            f32x4 v = f32_load(x + c);
            f32_store(norms + c, f32_load(norms + c) + v * v);
        }
        for (; c < last; c++) norms[c] += x[c] * x[c];
    }
    for (int c = first; c < last; c++) norms[c] = sqrtf(norms[c]);
}

void hc_response_factors(int n, const float *weight, float eps, float *norms)
{
    float sum = 0;
    for (int c = 0; c < n; c++) sum += norms[c];
    float mean = sum / (float)n + eps;
    for (int c = 0; c < n; c++) norms[c] = 1 + weight[c] * (norms[c] / mean);
}

void hc_response_apply(int n, const float *factors, const float *bias, float *x)
{
    int c = 0;
    for (; c + 4 <= n; c += 4) f32_store(x + c, f32_load(x + c) * f32_load(factors + c) + f32_load(bias + c));
    for (; c < n; c++) x[c] = x[c] * factors[c] + bias[c];
}
