/* math.c: the functions of vmath.h as functions of one value or of a vector, and half-precision conversion. */
#include "kernels/vmath.h"

#include <math.h>

float hc_expf(float x) { return f32_exp(f32_splat(x))[0]; }

static void activate(hc_activation activation, float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) f32_store(x + i, f32_activate(activation, f32_load(x + i)));
    for (; i < n; i++) x[i] = f32_activate(activation, f32_splat(x[i]))[0];
}

/* The switch stays outside of the loops. */
void hc_activate(hc_activation activation, float *x, size_t n)
{
    switch (activation) {
    case HC_GELU: activate(HC_GELU, x, n); break;
    case HC_GELU_TANH: activate(HC_GELU_TANH, x, n); break;
    case HC_QUICK_GELU: activate(HC_QUICK_GELU, x, n); break;
    case HC_RELU: activate(HC_RELU, x, n); break;
    case HC_SILU: activate(HC_SILU, x, n); break;
    case HC_IDENTITY: break;
    }
}

void hc_excite_row(hc_activation activation, const float *x, const float *gate, int n, float *out)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) f32_store(out + i, f32_times_sigmoid(f32_load(x + i), f32_load(gate + i)));
    for (; i < n; i++) out[i] = f32_times_sigmoid(f32_splat(x[i]), f32_splat(gate[i]))[0];
    hc_activate(activation, out, (size_t)n);
}

float hc_half_to_float(uint16_t half) { return f32_from_halves(i32_splat(half))[0]; }

void hc_halves_to_floats(const uint16_t *from, float *to, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        f32x4 low, high;
        f32_load_halves(from + i, &low, &high);
        f32_store(to + i, low);
        f32_store(to + i + 4, high);
    }
    for (; i < n; i++) to[i] = hc_half_to_float(from[i]);
}

uint16_t hc_float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude <
        0x38800000) { /* subnormal: adding 0.5 rounds to multiples of 2^-24, and leaves their number in the low bits */
        float rounded;
        memcpy(&rounded, &magnitude, sizeof rounded);
        rounded += 0.5f;
        memcpy(&bits, &rounded, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1); /* to nearest, ties to even */
    return (uint16_t)(sign | ((magnitude - 0x38000000) >> 13));
}

void hc_normalise(float *x, int n)
{
    f32x4 sums = f32_splat(0);
    int i = 0;
    for (; i + 4 <= n; i += 4) sums += f32_load(x + i) * f32_load(x + i);
    float sum = f32_sum(sums);
    for (; i < n; i++) sum += x[i] * x[i];
    float norm = sqrtf(sum);
    float factor = 1.0f / (norm > 1e-12f ? norm : 1e-12f);
    for (i = 0; i < n; i++) x[i] *= factor;
}
