/* vmath.h: exp, the activations, and half to float, four values at a time. Only multiplication, addition and division
 * in a fixed order: the same bits on every machine. Errors are stated against the exact function;
 * tests/unit/test_kernels.c checks them.
 */
#ifndef HC_VMATH_H
#define HC_VMATH_H

#include "kernels/kernels.h"
#include "kernels/simd.h"

/* y * x + the constant c */
SIMD_INLINE f32x4 f32_horner(f32x4 y, f32x4 x, float c) { return y * x + f32_constant(c); }

/* e^x by Cody and Waite's reduction and a polynomial that is the best of its degree: at most 1.2e-7 of the exact value
 * for x in -87 … 88, and beyond what it is there. NaN stays NaN. */
SIMD_INLINE f32x4 f32_exp(f32x4 x)
{
    x = f32_min(f32_max(x, f32_constant(-87.0f)), f32_constant(88.0f));
    i32x4 n = i32_round(x * f32_constant(1.44269504088896341f));
    f32x4 whole = f32_from_i32(n);
    f32x4 r = x - whole * f32_constant(0.693359375f) - whole * f32_constant(-2.12194440e-4f);
    f32x4 y = f32_constant(1.3814600555e-3f);
    y = f32_horner(y, r, 8.3687173609e-3f);
    y = f32_horner(y, r, 4.1668388040e-2f);
    y = f32_horner(y, r, 1.6666520627e-1f);
    y = f32_horner(y, r, 4.9999993448e-1f);
    y = y * (r * r) + r + f32_constant(1.0f);
    return y * (f32x4)((n + i32_constant(127)) << 23); /* the bits of 2^n */
}

/* x * sigmoid(s) */
SIMD_INLINE f32x4 f32_times_sigmoid(f32x4 x, f32x4 s) { return x / (f32_constant(1.0f) + f32_exp(-s)); }

/* The same for softmax, where x is at most 0: what is less than e^-41 of the whole is 0. */
SIMD_INLINE f32x4 f32_exp_weight(f32x4 x)
{
    i32x4 vanishes = x < f32_constant(-41.0f);
    return (f32x4)((i32x4)f32_exp(x) & ~vanishes);
}

/* x Φ(x) = max(x, 0) - |x| / 2 · erfc(|x| / √2), and erfc as a polynomial to the power of -16 (Hastings,
 * "Approximations for Digital Computers", 1955; Abramowitz and Stegun 7.1.28), whose coefficients are fitted anew so
 * that the largest error of the product is least. At most 5.5e-7 from the exact value. */
SIMD_INLINE f32x4 f32_gelu(f32x4 x)
{
    f32x4 size = f32_abs(x), d = f32_constant(6.3328860e-06f);
    d = f32_horner(d, size, 4.1384437e-05f);
    d = f32_horner(d, size, 5.9716564e-05f);
    d = f32_horner(d, size, 3.2493167e-03f);
    d = f32_horner(d, size, 2.1157297e-02f);
    d = f32_horner(d, size, 4.9864137e-02f);
    d = f32_horner(d, size, 1.0f);
    d *= d;
    d *= d;
    d *= d;
    d *= d;
    return f32_max(x, f32_splat(0)) - size * f32_constant(0.5f) / d;
}

/* GELU (Hendrycks and Gimpel, 2016): exact; with tanh, where (1 + tanh(u)) / 2 = sigmoid(2u); and OpenAI's x *
 * sigmoid(1.702 x), which without the factor is SiLU. At most 5.5e-7 * max(1, |x|) from the exact value. */
SIMD_INLINE f32x4 f32_activate(hc_activation activation, f32x4 x)
{
    switch (activation) {
    case HC_GELU: return f32_gelu(x);
    case HC_GELU_TANH:
        return f32_times_sigmoid(x, f32_constant(1.5957691216057307f) * (x + f32_constant(0.044715f) * (x * x * x)));
    case HC_QUICK_GELU: return f32_times_sigmoid(x, f32_constant(1.702f) * x);
    case HC_RELU: return f32_max(x, f32_splat(0));
    case HC_SILU: return f32_times_sigmoid(x, x);
    case HC_IDENTITY: break;
    }
    return x;
}

/* Four halves in the low 16 bits of each lane. A half's bits, moved to a float's place and with the exponent's bias
 * changed, are its value where it is normal; for a subnormal that is too large, and the other way to read the bits (one
 * exponent higher, less 2^-14) is exact; for a normal that other way is the larger one. So the smaller is right, and no
 * subnormal float is ever computed with, which would be slow. */
SIMD_INLINE f32x4 f32_from_halves(i32x4 half)
{
    i32x4 bias = i32_constant(0x38000000), bits = (half << 13) & i32_constant(0x0fffe000),
          sign = (half << 16) & i32_constant(INT32_MIN);
    i32x4 infinite = (bits > i32_constant(0x0f7fffff)) & bias;
    f32x4 normal = (f32x4)(bits + bias),
          subnormal = (f32x4)(bits + i32_constant(0x38800000)) - f32_constant(6.103515625e-05f);
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
