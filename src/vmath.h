/* vmath.h: exp, erf, the activations made of them, and half to float, four values at a time. Only multiplication, addition and division in a fixed order:
 * the same bits on every machine. Errors are stated against the exact function; tests/unit/test_kernels.c checks them.
 */
#ifndef HC_VMATH_H
#define HC_VMATH_H

#include "kernels.h"
#include "simd.h"

/* y * x + the constant c */
SIMD_INLINE f32x4 f32_horner(f32x4 y, f32x4 x, float c) { return y * x + f32_constant(c); }

/* e^x by Cody and Waite's reduction and the polynomial of Cephes' expf: at most 1 ulp. 0 below -87.33, where the result would be subnormal, infinity above 88.73. */
SIMD_INLINE f32x4 f32_exp(f32x4 x)
{
    f32x4 lowest = f32_constant(-87.33654f);
    i32x4 vanishes = x < lowest;
    x = f32_min(f32_max(x, lowest), f32_constant(89.0f));
    i32x4 n = i32_round(x * f32_constant(1.44269504088896341f));
    f32x4 whole = f32_from_i32(n);
    f32x4 r = x - whole * f32_constant(0.693359375f) - whole * f32_constant(-2.12194440e-4f);
    f32x4 y = f32_constant(1.9875691500e-4f);
    y = f32_horner(y, r, 1.3981999507e-3f);
    y = f32_horner(y, r, 8.3334519073e-3f);
    y = f32_horner(y, r, 4.1665795894e-2f);
    y = f32_horner(y, r, 1.6666665459e-1f);
    y = f32_horner(y, r, 5.0000001201e-1f);
    y = y * (r * r) + r + f32_constant(1.0f);
    /* 2^n in two factors, as n can be 128; 127 << 23 are the bits of 1 */
    i32x4 one = i32_constant(127 << 23), half = n >> 1;
    y = y * (f32x4)(one + (half << 23)) * (f32x4)(one + ((n - half) << 23));
    return (f32x4)((i32x4)y & ~vanishes);
}

/* erf(x) as the ratio of polynomials that Eigen and XLA use: at most 5e-7 from the exact value. */
SIMD_INLINE f32x4 f32_erf(f32x4 x)
{
    x = f32_min(f32_max(x, f32_constant(-4.0f)), f32_constant(4.0f));
    f32x4 s = x * x;
    f32x4 p = f32_constant(-2.72614225801306e-10f);
    p = f32_horner(p, s, 2.77068142495902e-08f);
    p = f32_horner(p, s, -2.10102402082508e-06f);
    p = f32_horner(p, s, -5.69250639462346e-05f);
    p = f32_horner(p, s, -7.34990630326855e-04f);
    p = f32_horner(p, s, -2.95459980854025e-03f);
    p = f32_horner(p, s, -1.60960333262415e-02f);
    f32x4 q = f32_constant(-1.45660718464996e-05f);
    q = f32_horner(q, s, -2.13374055278905e-04f);
    q = f32_horner(q, s, -1.68282697438203e-03f);
    q = f32_horner(q, s, -7.37332916720468e-03f);
    q = f32_horner(q, s, -1.42647390514189e-02f);
    return x * p / q;
}

/* x * sigmoid(s) */
SIMD_INLINE f32x4 f32_times_sigmoid(f32x4 x, f32x4 s) { return x / (f32_constant(1.0f) + f32_exp(-s)); }

/* GELU (Hendrycks and Gimpel, 2016): exact; with tanh, where (1 + tanh(u)) / 2 = sigmoid(2u); and OpenAI's x * sigmoid(1.702 x). At most 3e-7 * max(1, |x|) from
 * the exact value. */
SIMD_INLINE f32x4 f32_activate(hc_activation activation, f32x4 x)
{
    switch (activation) {
    case HC_GELU:
        return f32_constant(0.5f) * x * (f32_constant(1.0f) + f32_erf(x * f32_constant(0.70710678118654752f)));
    case HC_GELU_TANH:
        return f32_times_sigmoid(x, f32_constant(1.5957691216057307f) * (x + f32_constant(0.044715f) * (x * x * x)));
    case HC_QUICK_GELU:
        return f32_times_sigmoid(x, f32_constant(1.702f) * x);
    case HC_IDENTITY:
        break;
    }
    return x;
}

/* Four halves in the low 16 bits of each lane. A half's bits, moved to a float's place and with the exponent's bias changed, are its value where it is normal;
 * for a subnormal that is too large, and the other way to read the bits (one exponent higher, less 2^-14) is exact; for a normal that other way is the larger
 * one. So the smaller is right, and no subnormal float is ever computed with, which would be slow. */
SIMD_INLINE f32x4 f32_from_halves(i32x4 half)
{
    i32x4 bias = i32_constant(0x38000000), bits = (half << 13) & i32_constant(0x0fffe000), sign = (half << 16) & i32_constant(INT32_MIN);
    i32x4 infinite = (bits > i32_constant(0x0f7fffff)) & bias;
    f32x4 normal = (f32x4)(bits + bias), subnormal = (f32x4)(bits + i32_constant(0x38800000)) - f32_constant(6.103515625e-05f);
    return (f32x4)(((i32x4)f32_min(normal, subnormal) + infinite) | sign);
}

/* Eight halves in memory. */
SIMD_INLINE void f32_load_halves(const uint16_t *p, f32x4 *low, f32x4 *high)
{
    u16x8 h;
    memcpy(&h, p, sizeof h);
#if defined(__wasm_simd128__)
    *low = f32_from_halves((i32x4)wasm_u32x4_extend_low_u16x8((v128_t)h));
    *high = f32_from_halves((i32x4)wasm_u32x4_extend_high_u16x8((v128_t)h));
#elif defined(__SSE2__)
    *low = f32_from_halves((i32x4)_mm_unpacklo_epi16((__m128i)h, _mm_setzero_si128()));
    *high = f32_from_halves((i32x4)_mm_unpackhi_epi16((__m128i)h, _mm_setzero_si128()));
#else
    *low = f32_from_halves((i32x4){h[0], h[1], h[2], h[3]});
    *high = f32_from_halves((i32x4){h[4], h[5], h[6], h[7]});
#endif
}

#endif
