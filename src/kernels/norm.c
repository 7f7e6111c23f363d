/* norm.c: LayerNorm (Ba et al., 2016), RMSNorm (Zhang and Sennrich, 2019) and timm's SimpleNorm of one row. */
#include "kernels/kernels.h"
#include "kernels/simd.h"

#include <math.h>

/* The sum over i of (x[i] - shift)^power, power 1 or 2, in sixteen partial sums. */
SIMD_INLINE float sum_of_powers(const float *x, int n, float shift, int power)
{
    f32x4 sums[4] = {f32_splat(0), f32_splat(0), f32_splat(0), f32_splat(0)};
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 4; j++) {
            f32x4 d = f32_load(x + i + 4 * j) - shift;
            sums[j] += power == 2 ? d * d : d;
        }
    for (; i + 4 <= n; i += 4) {
        f32x4 d = f32_load(x + i) - shift;
        sums[0] += power == 2 ? d * d : d;
    }
    float sum = f32_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < n; i++) sum += power == 2 ? (x[i] - shift) * (x[i] - shift) : x[i] - shift;
    return sum;
}

/* Two passes: the mean first, so that the squares don't cancel. */
void hc_layer_norm(const float *x, int n, const float *weight, const float *bias, float eps, float *out)
{
    float mean = sum_of_powers(x, n, 0, 1) / (float)n;
    float factor = 1.0f / sqrtf(sum_of_powers(x, n, mean, 2) / (float)n + eps);
    int i = 0;
    for (; i + 4 <= n; i += 4)
        f32_store(out + i, (f32_load(x + i) - mean) * factor * f32_load(weight + i) + f32_load(bias + i));
    for (; i < n; i++) out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}

void hc_rms_norm(const float *x, int n, const float *weight, float eps, int centred, float *out)
{
    float mean = centred ? sum_of_powers(x, n, 0, 1) / (float)n : 0;
    float factor = 1.0f / sqrtf(sum_of_powers(x, n, mean, 2) / (float)(centred ? n - 1 : n) + eps);
    int i = 0;
    for (; i + 4 <= n; i += 4) f32_store(out + i, f32_load(x + i) * factor * f32_load(weight + i));
    for (; i < n; i++) out[i] = x[i] * factor * weight[i];
}
