/* relaxed.c: two questions about the relaxed-SIMD instructions that the kernels use: whether they are right, and what the engine makes of one of them. web/wasm/simd.js holds this module in base64, built with
 *
 *     clang-19 --target=wasm32 -Os -fno-unroll-loops -msimd128 -mrelaxed-simd -ffreestanding -c relaxed.c
 *     wasm-ld-19 --no-entry --strip-all --no-growable-memory -z stack-size=0 relaxed.o -o relaxed.wasm
 */
#include <wasm_simd128.h>

/* 1 if every sum of products comes out right, each in a loop that carries its sum: Node.js 20's baseline compiler drops the accumulator there. Call it with 127. */
__attribute__((export_name("check"))) int check(int x)
{
    v128_t start = wasm_i32x4_splat(x), b = wasm_i8x16_splat((signed char)x), x_float = wasm_f32x4_convert_i32x4(start);
    v128_t quads = start, pairs = start, floats = x_float;
    for (int i = 1; i < 4; i++) {
        v128_t a = wasm_i8x16_splat((signed char)(-42 * i));
        quads = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, quads);
        pairs = wasm_i32x4_add(pairs, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_relaxed_dot_i8x16_i7x16(a, b)));
        floats = wasm_f32x4_relaxed_madd(wasm_f32x4_convert_i32x4(wasm_i32x4_splat(-168 * i)), x_float, floats);
    }
    v128_t right = wasm_i32x4_splat(x - 168 * 6 * x);
    v128_t equal = wasm_v128_and(wasm_i32x4_eq(quads, right), wasm_i32x4_eq(pairs, right));
    return wasm_i32x4_all_true(wasm_v128_and(equal, wasm_f32x4_eq(floats, wasm_f32x4_convert_i32x4(right))));
}

/* The sum of four products a * b. For b over 127 it is implementation-defined, and so tells what it is made of. */
__attribute__((export_name("dot"))) int dot(int a, int b)
{
    v128_t sums = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_i8x16_splat((signed char)a), wasm_i8x16_splat((signed char)b), wasm_i32x4_splat(0));
    return wasm_i32x4_extract_lane(sums, 0);
}
