/* norm.c: LayerNorm (Ba et al., 2016) and the quantisation of activations to 7 bits, row by row. */
#include "kernels.h"
#include "simd.h"

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
    for (; i < n; i++)
        sum += power == 2 ? (x[i] - shift) * (x[i] - shift) : x[i] - shift;
    return sum;
}

/* Two passes: the mean first, so that the squares don't cancel. */
static void norm_row(const float *x, int n, const float *weight, const float *bias, float eps, float *out)
{
    float mean = sum_of_powers(x, n, 0, 1) / (float)n;
    float factor = 1.0f / sqrtf(sum_of_powers(x, n, mean, 2) / (float)n + eps);
    int i = 0;
    for (; i + 4 <= n; i += 4)
        f32_store(out + i, (f32_load(x + i) - mean) * factor * f32_load(weight + i) + f32_load(bias + i));
    for (; i < n; i++)
        out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}

void hc_layer_norm(const float *x, size_t stride, int rows, int n, const float *weight, const float *bias, float eps, float *out, size_t out_stride)
{
    for (int r = 0; r < rows; r++)
        norm_row(x + (size_t)r * stride, n, weight, bias, eps, out + (size_t)r * out_stride);
}

/* The smallest scale whose inverse is finite and normal. */
static const float SMALLEST_SCALE = 1e-37f;

/* Sixteen values to levels. Clamping comes first and turns NaN into a number, so that rounding stays in range. */
SIMD_INLINE void quantise_16(const float *x, float inverse, int32_t zero, hc_q7 *q)
{
    f32x4 lowest = f32_splat((float)-zero), highest = f32_splat((float)(127 - zero));
    i32x4 v[4];
    for (int j = 0; j < 4; j++)
        v[j] = i32_round(f32_min(highest, f32_max(lowest, f32_load(x + 4 * j) * inverse))) + zero;
    i16x8 low = i16_narrow(v[0], v[1]), high = i16_narrow(v[2], v[3]);
#ifdef HC_Q7_IS_BYTE
    u8_store(q, u8_narrow(low, high));
#else
    i16_store(q, low);
    i16_store(q + 8, high);
#endif
}

static void quantise_row(const float *x, int k, hc_q7 *q, size_t stride, float *scale, int32_t *zero)
{
    f32x4 low = f32_splat(0), high = f32_splat(0), poison = f32_splat(0);
    int i = 0;
    for (; i + 4 <= k; i += 4) {
        f32x4 v = f32_load(x + i);
        low = f32_min(low, v);
        high = f32_max(high, v);
        poison += v - v;
    }
    float smallest = f32_smallest(low), largest = f32_largest(high), poisoned = f32_sum(poison);
    for (; i < k; i++) {
        smallest = x[i] < smallest ? x[i] : smallest;
        largest = x[i] > largest ? x[i] : largest;
        poisoned += x[i] - x[i];
    }

    float step = largest * (1.0f / 127) - smallest * (1.0f / 127);
    if (!(step >= SMALLEST_SCALE)) {
        *scale = poisoned;
        *zero = 0;
        memset(q, 0, stride * sizeof *q);
        return;
    }
    float inverse = 1.0f / step;
    i32x4 nearest = i32_round(f32_min(f32_splat(127), f32_max(f32_splat(0), f32_splat(-smallest * inverse))));
    *scale = step + poisoned;    /* NaN where a value is NaN or infinite: the row's results must not look sound */
    *zero = nearest[0];
    for (i = 0; i + 16 <= k; i += 16)
        quantise_16(x + i, inverse, *zero, q + i);
    float rest[16] = {0};
    hc_q7 levels[16];
    memcpy(rest, x + i, (size_t)(k - i) * sizeof *rest);
    quantise_16(rest, inverse, *zero, levels);
    memcpy(q + i, levels, (size_t)(k - i) * sizeof *q);
    memset(q + k, 0, (stride - (size_t)k) * sizeof *q);
}

void hc_quantise_rows(const float *x, size_t stride, int rows, int k, const hc_rows *out)
{
    for (int r = 0; r < rows; r++)
        quantise_row(x + (size_t)r * stride, k, out->q + (size_t)r * out->stride, out->stride, out->scale + r, out->zero + r);
}

void hc_layer_norm_quantise(const float *x, size_t stride, int rows, int n, const float *weight, const float *bias, float eps, float *row, const hc_rows *out)
{
    for (int r = 0; r < rows; r++) {
        norm_row(x + (size_t)r * stride, n, weight, bias, eps, row);
        quantise_row(row, n, out->q + (size_t)r * out->stride, out->stride, out->scale + r, out->zero + r);
    }
}
