/* simd.h: the 128-bit operations that the kernels are written in.
 *
 * Vectors are the compiler's own (GCC and clang): + - * / & | ~ << >> and comparisons work on them as they stand, in
 * WebAssembly, on x86-64 and elsewhere. Only what those operators can't say is a function here, mapped to WebAssembly
 * SIMD, to SSE, or to plain vector code. Every operation but f32_fma gives the same bits on every machine. Machines are
 * little-endian, as WebAssembly is.
 */
#ifndef HC_SIMD_H
#define HC_SIMD_H

#include <stdint.h>
#include <string.h>

#include "kernels/rows.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int64_t i64x2 __attribute__((vector_size(16)));
typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));

#define SIMD_INLINE static inline __attribute__((always_inline, unused))

/* ---- memory; addresses need no alignment ---- */

SIMD_INLINE f32x4 f32_load(const float *p)
{
    f32x4 v;
    memcpy(&v, p, sizeof v);
    return v;
}
SIMD_INLINE i32x4 i32_load(const int32_t *p)
{
    i32x4 v;
    memcpy(&v, p, sizeof v);
    return v;
}
SIMD_INLINE i16x8 i16_load(const int16_t *p)
{
    i16x8 v;
    memcpy(&v, p, sizeof v);
    return v;
}
SIMD_INLINE i8x16 i8_load(const int8_t *p)
{
    i8x16 v;
    memcpy(&v, p, sizeof v);
    return v;
}
SIMD_INLINE u8x16 u8_load(const uint8_t *p)
{
    u8x16 v;
    memcpy(&v, p, sizeof v);
    return v;
}
/* Eight bytes, and zeros after them. */
SIMD_INLINE u8x16 u8_load_half(const uint8_t *p)
{
#if defined(__wasm_simd128__)
    return (u8x16)wasm_v128_load64_zero(p);
#else
    u8x16 v = {0};
    memcpy(&v, p, sizeof v / 2);
    return v;
#endif
}
SIMD_INLINE void f32_store(float *p, f32x4 v) { memcpy(p, &v, sizeof v); }
SIMD_INLINE void i32_store(int32_t *p, i32x4 v) { memcpy(p, &v, sizeof v); }
SIMD_INLINE void i16_store(int16_t *p, i16x8 v) { memcpy(p, &v, sizeof v); }
SIMD_INLINE void u8_store(uint8_t *p, u8x16 v) { memcpy(p, &v, sizeof v); }
/* The first four bytes. */
SIMD_INLINE void u8_store_quarter(uint8_t *p, u8x16 v) { memcpy(p, &v, sizeof v / 4); }

SIMD_INLINE f32x4 f32_splat(float x) { return (f32x4){x, x, x, x}; }
SIMD_INLINE i32x4 i32_splat(int32_t x) { return (i32x4){x, x, x, x}; }
SIMD_INLINE i16x8 i16_splat(int16_t x) { return (i16x8){x, x, x, x, x, x, x, x}; }

/* The same for a constant in a loop. V8 builds a constant vector with several instructions wherever LLVM leaves one,
 * which is beside each use; a splat of a value that LLVM can't see through is moved out of the loop instead. */
SIMD_INLINE f32x4 f32_constant(float x)
{
#if defined(__wasm__)
    __asm__("" : "+r"(x));
#endif
    return f32_splat(x);
}

SIMD_INLINE i32x4 i32_constant(int32_t x)
{
#if defined(__wasm__)
    __asm__("" : "+r"(x));
#endif
    return i32_splat(x);
}

/* Four bytes at p, four times. */
SIMD_INLINE i32x4 i32_load_splat(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return i32_splat(x);
}

/* Asks for the 64 bytes at p, which will be needed soon. WebAssembly has no such instruction, but a load that nobody
 * waits for does the same. */
SIMD_INLINE void prefetch(const void *p)
{
#if defined(__wasm__)
    uint8_t byte = *(const volatile uint8_t *)p;
    (void)byte;
#else
    __builtin_prefetch(p);
#endif
}

/* ---- f32x4 ---- */

/* b < a ? b : a and a < b ? b : a: where one is NaN, the result is `a`. */
SIMD_INLINE f32x4 f32_min(f32x4 a, f32x4 b)
{
#if defined(__wasm_simd128__)
    return (f32x4)wasm_f32x4_pmin((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (f32x4)_mm_min_ps((__m128)b, (__m128)a);
#else
    i32x4 mask = b < a;
    return (f32x4)((mask & (i32x4)b) | (~mask & (i32x4)a));
#endif
}

SIMD_INLINE f32x4 f32_max(f32x4 a, f32x4 b)
{
#if defined(__wasm_simd128__)
    return (f32x4)wasm_f32x4_pmax((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (f32x4)_mm_max_ps((__m128)b, (__m128)a);
#else
    i32x4 mask = a < b;
    return (f32x4)((mask & (i32x4)b) | (~mask & (i32x4)a));
#endif
}

#if defined(__wasm_relaxed_simd__) || defined(__FMA__) || defined(__aarch64__)
#define HC_HAS_FMA 1
#endif

/* a * b + c, rounded once where the machine has that instruction, else twice. Where a * b is exact, that is the same.
 */
SIMD_INLINE f32x4 f32_fma(f32x4 a, f32x4 b, f32x4 c)
{
#if defined(__wasm_relaxed_simd__)
    return (f32x4)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c);
#elif defined(__FMA__)
    return (f32x4)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif defined(__aarch64__)
    return (f32x4)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return c + a * b;
#endif
}

SIMD_INLINE f32x4 f32_abs(f32x4 x) { return (f32x4)((i32x4)x & i32_splat(0x7fffffff)); }

/* To the nearest of the numbers with `bits` bits: products of a number with 13 bits and one with 11, as halves have,
 * are exact. What is nearer to 0 than 2^-60 becomes 0, so that no product is too small for that. */
SIMD_INLINE f32x4 f32_round_to(int bits, f32x4 x)
{
    i32x4 half = i32_splat(1 << (23 - bits)), small = f32_abs(x) < f32_splat(0x1p-60f);
    return (f32x4)(((i32x4)x + half) & -(half + half) & ~small);
}

/* To the nearest integer, ties to even, for |x| <= 2^22: adding 1.5 * 2^23 leaves the integer in the low bits. */
SIMD_INLINE i32x4 i32_round(f32x4 x)
{
    f32x4 magic = f32_constant(12582912.0f);
    return (i32x4)(x + magic) - (i32x4)magic;
}

SIMD_INLINE f32x4 f32_from_i32(i32x4 x) { return __builtin_convertvector(x, f32x4); }

/* Reductions of the four lanes, in this order. */
SIMD_INLINE float f32_sum(f32x4 x) { return (x[0] + x[2]) + (x[1] + x[3]); }

SIMD_INLINE float f32_smallest(f32x4 x)
{
    x = f32_min(x, __builtin_shufflevector(x, x, 2, 3, 0, 1));
    return f32_min(x, __builtin_shufflevector(x, x, 1, 0, 3, 2))[0];
}

SIMD_INLINE float f32_largest(f32x4 x)
{
    x = f32_max(x, __builtin_shufflevector(x, x, 2, 3, 0, 1));
    return f32_max(x, __builtin_shufflevector(x, x, 1, 0, 3, 2))[0];
}

/* Whether any bit is set. */
SIMD_INLINE int i32_any(i32x4 x)
{
#if defined(__wasm_simd128__)
    return wasm_v128_any_true((v128_t)x);
#else
    return (x[0] | x[1] | x[2] | x[3]) != 0;
#endif
}

/* a0 b0 a1 b1 and a2 b2 a3 b3. */
SIMD_INLINE void f32_interleave(f32x4 a, f32x4 b, f32x4 *low, f32x4 *high)
{
    *low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    *high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

/* Rows to columns. */
SIMD_INLINE void f32_transpose(f32x4 rows[4])
{
    f32x4 even[2], odd[2];
    f32_interleave(rows[0], rows[2], &even[0], &even[1]);
    f32_interleave(rows[1], rows[3], &odd[0], &odd[1]);
    f32_interleave(even[0], odd[0], &rows[0], &rows[1]);
    f32_interleave(even[1], odd[1], &rows[2], &rows[3]);
}

/* ---- integers ---- */

/* Eight values as 16-bit numbers, sixteen as bytes; what is out of range becomes the nearest that is not. */
SIMD_INLINE i16x8 i16_narrow(i32x4 a, i32x4 b)
{
#if defined(__wasm_simd128__)
    return (i16x8)wasm_i16x8_narrow_i32x4((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (i16x8)_mm_packs_epi32((__m128i)a, (__m128i)b);
#else
    i16x8 v;
    for (int i = 0; i < 8; i++) {
        int32_t x = i < 4 ? a[i] : b[i - 4];
        v[i] = (int16_t)(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
    }
    return v;
#endif
}

SIMD_INLINE u8x16 u8_narrow(i16x8 a, i16x8 b)
{
#if defined(__wasm_simd128__)
    return (u8x16)wasm_u8x16_narrow_i16x8((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (u8x16)_mm_packus_epi16((__m128i)a, (__m128i)b);
#else
    u8x16 v;
    for (int i = 0; i < 16; i++) {
        int16_t x = i < 8 ? a[i] : b[i - 8];
        v[i] = (uint8_t)(x < 0 ? 0 : x > UINT8_MAX ? UINT8_MAX : x);
    }
    return v;
#endif
}

SIMD_INLINE u8x16 u8_min(u8x16 a, u8x16 b)
{
#if defined(__wasm_simd128__)
    return (u8x16)wasm_u8x16_min((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (u8x16)_mm_min_epu8((__m128i)a, (__m128i)b);
#else
    u8x16 mask = (u8x16)(a < b);
    return (a & mask) | (b & ~mask);
#endif
}

/* Sums of neighbouring products: a[2i] * b[2i] + a[2i+1] * b[2i+1]. */
SIMD_INLINE i32x4 i32_dot_i16(i16x8 a, i16x8 b)
{
#if defined(__wasm_simd128__)
    return (i32x4)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#elif defined(__SSE2__)
    return (i32x4)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    i32x4 a_even = (i32x4)((u32x4)a << 16) >> 16, b_even = (i32x4)((u32x4)b << 16) >> 16;
    return a_even * b_even + ((i32x4)a >> 16) * ((i32x4)b >> 16);
#endif
}

/* a0 b0 a1 b1 … a7 b7, and a8 b8 … a15 b15. WebAssembly's instruction is named because compilers make another shuffle
 * of the operators' where not all bytes are read, and engines know only this one as a single instruction. */
SIMD_INLINE void u8_interleave(u8x16 a, u8x16 b, u8x16 *low, u8x16 *high)
{
#if defined(__wasm_simd128__)
    *low = (u8x16)wasm_i8x16_shuffle((v128_t)a, (v128_t)b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *high =
        (u8x16)wasm_i8x16_shuffle((v128_t)a, (v128_t)b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
    *low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#endif
}

/* Sixteen bytes from 0 on as 16-bit numbers. */
SIMD_INLINE void i16_widen(u8x16 x, i16x8 *low, i16x8 *high)
{
#if defined(__wasm_simd128__)
    *low = (i16x8)wasm_u16x8_extend_low_u8x16((v128_t)x);
    *high = (i16x8)wasm_u16x8_extend_high_u8x16((v128_t)x);
#else
    const u8x16 zeros = {0};
    *low = (i16x8)__builtin_shufflevector(x, zeros, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *high = (i16x8)__builtin_shufflevector(x, zeros, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#endif
}

#if defined(__wasm_simd128__) || defined(__SSSE3__) || defined(__aarch64__)
#define HC_HAS_PICK 1

/* The bytes of x whose numbers are in `index`: 0 to 15, or 128 and more for a zero. */
SIMD_INLINE u8x16 u8_pick(u8x16 x, u8x16 index)
{
#if defined(__wasm_relaxed_simd__)
    return (u8x16)wasm_i8x16_relaxed_swizzle((v128_t)x, (v128_t)index);
#elif defined(__wasm_simd128__)
    return (u8x16)wasm_i8x16_swizzle((v128_t)x, (v128_t)index);
#elif defined(__SSSE3__)
    return (u8x16)_mm_shuffle_epi8((__m128i)x, (__m128i)index);
#else
    return (u8x16)vqtbl1q_u8((uint8x16_t)x, (uint8x16_t)index);
#endif
}
#endif

/* Sums of four neighbouring bytes. */
SIMD_INLINE i32x4 i32_sum_quads(i8x16 x)
{
#if defined(__wasm_simd128__)
    return (i32x4)wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16((v128_t)x));
#else
    i32x4 v = (i32x4)x;
    u32x4 u = (u32x4)x;
    return ((i32x4)(u << 24) >> 24) + ((i32x4)(u << 16) >> 24) + ((i32x4)(u << 8) >> 24) + (v >> 24);
#endif
}

/* Sixteen bytes c0 c0 c0 c0 c1 … of four channels to 16-bit numbers: the first two of each channel, then the last two.
 */
SIMD_INLINE void i16_widen_pairs(i8x16 x, i16x8 *first, i16x8 *last)
{
#if defined(__wasm_simd128__)
    v128_t low = wasm_i16x8_extend_low_i8x16((v128_t)x), high = wasm_i16x8_extend_high_i8x16((v128_t)x);
    *first = (i16x8)wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
    *last = (i16x8)wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
#elif defined(__SSE2__)
    __m128 low = _mm_castsi128_ps(_mm_srai_epi16(_mm_unpacklo_epi8((__m128i)x, (__m128i)x), 8));
    __m128 high = _mm_castsi128_ps(_mm_srai_epi16(_mm_unpackhi_epi8((__m128i)x, (__m128i)x), 8));
    *first = (i16x8)_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
    *last = (i16x8)_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
#else
    for (int i = 0; i < 8; i++) {
        (*first)[i] = x[i / 2 * 4 + i % 2];
        (*last)[i] = x[i / 2 * 4 + 2 + i % 2];
    }
#endif
}

#ifdef HC_Q7_IS_BYTE
/* |x| for x in -127..127. */
SIMD_INLINE i8x16 i8_abs(i8x16 x)
{
#if defined(__wasm_simd128__)
    return (i8x16)wasm_i8x16_abs((v128_t)x);
#else
    return (i8x16)_mm_abs_epi8((__m128i)x);
#endif
}

/* Sums of two neighbouring products of u (0..127) and s: exact, because they stay below 2^15, where the instructions
 * would differ between machines. */
SIMD_INLINE i16x8 i16_dot_bytes(u8x16 u, i8x16 s)
{
#if defined(__wasm_relaxed_simd__)
    return (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16((v128_t)s, (v128_t)u);
#else
    return (i16x8)_mm_maddubs_epi16((__m128i)u, (__m128i)s);
#endif
}

/* acc + the sums of four neighbouring products: the same with one instruction where the machine has it (VNNI, ARM's dot
 * product), slower than two where not. */
SIMD_INLINE i32x4 i32_dot_quads(i32x4 acc, u8x16 u, i8x16 s)
{
#if defined(__wasm_relaxed_simd__)
    return (i32x4)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)s, (v128_t)u, (v128_t)acc);
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return (i32x4)_mm_dpbusd_epi32((__m128i)acc, (__m128i)u, (__m128i)s);
#elif defined(__AVXVNNI__)
    return (i32x4)_mm_dpbusd_avx_epi32((__m128i)acc, (__m128i)u, (__m128i)s);
#else
    return acc + i32_dot_i16(i16_dot_bytes(u, s), i16_splat(1));
#endif
}
#endif

#endif
