/* levels.h: how a row becomes levels at 7 bits, and which of its values are outliers: what levels.c, outliers.c,
 * windows.c and the GEMM's kernels share. */
#ifndef HC_LEVELS_H
#define HC_LEVELS_H

#include "kernels/rows.h"
#include "kernels/simd.h"

/* A value's level is round-half-even(x * inverse) + zero, but at least 0 and at most 127. */
typedef struct hc_levels {
    float inverse; /* 0: all levels are 0 */
    int32_t zero;
} hc_levels;

/* The range of k values and 0. Returns whether all of them are finite. */
int hc_range_of(const float *x, int k, float *smallest, float *largest);

/* Sets a row's scale and zero point from its range. */
hc_levels hc_rows_set_range(const hc_rows *rows, int row, float smallest, float largest, int finite);

/* hc_rows_put at 7 bits. */
void hc_rows_put_levels(const hc_rows *rows, int row, const float *x);

/* Clamping comes first and turns NaN into a number, so that rounding stays in range. */
SIMD_INLINE i32x4 levels_of(f32x4 x, hc_levels to)
{
    f32x4 lowest = f32_splat((float)-to.zero), highest = f32_splat((float)(127 - to.zero));
    return i32_round(f32_min(highest, f32_max(lowest, x * to.inverse))) + to.zero;
}

/* Sixteen levels to their places: four steps of k, `step` from one to the next. */
SIMD_INLINE void store_levels(const i32x4 v[4], hc_q7 *q, size_t step)
{
    i16x8 low = i16_narrow(v[0], v[1]), high = i16_narrow(v[2], v[3]);
#ifdef HC_Q7_IS_BYTE
    i32x4 bytes = (i32x4)u8_narrow(low, high);
    for (int j = 0; j < 4; j++) {
        int32_t four = bytes[j];
        memcpy(q + (size_t)j * step, &four, sizeof four);
    }
#else
    i64x2 halves[2] = {(i64x2)low, (i64x2)high};
    for (int j = 0; j < 4; j++) {
        int64_t four = halves[j / 2][j % 2];
        memcpy(q + (size_t)j * step, &four, sizeof four);
    }
#endif
}

/* ---- outliers ---- */

/* Of blocks of 16 values one in eight may have outliers, but two in the shortest rows that have any: of a trained
 * Swin-B's first stage two channels of 128 are 40 times the median, and lie in two of its eight blocks. Rows so long
 * that their sums might not fit 32 bits, or their blocks the stack, have fewer or none. */
enum { HC_OUTLIER_BLOCK = 16, HC_MOST_OUTLIER_K = 16384, HC_MOST_OUTLIER_BLOCKS = 56, HC_LEAST_OUTLIER_BLOCKS = 2 };

static inline int hc_outlier_blocks(uint64_t k)
{
    uint64_t blocks = k > HC_MOST_OUTLIER_K ? 0 : k / (8 * HC_OUTLIER_BLOCK);
    if (blocks && blocks < HC_LEAST_OUTLIER_BLOCKS) return HC_LEAST_OUTLIER_BLOCKS;
    return (int)(blocks < HC_MOST_OUTLIER_BLOCKS ? blocks : HC_MOST_OUTLIER_BLOCKS);
}

/* Outliers of a block at most: in four steps, those that are added and those that are taken away; and of a row besides,
 * one that ends each of the two lists. */
enum { HC_BLOCK_OUTLIERS = 8, HC_LAST_OUTLIERS = 2 };

/* The largest magnitude of each of a row's blocks. */
typedef struct hc_blocks {
    int count; /* a multiple of four */
    float largest[HC_MOST_OUTLIER_K / HC_OUTLIER_BLOCK];
} hc_blocks;

/* The bound beyond which values are outliers: at most `allowed` blocks have any, and their second digits reach the
 * largest. A lower one is worth its outliers' products where all that are allowed make it smaller by the square root of
 * 2; so rows without values far larger than the others have few outliers or none. */
float hc_outlier_bound(const hc_blocks *blocks, float largest, int allowed);

/* The sixteen levels of a block, whose first step of k is `first`: what is beyond the bound keeps what 7 bits can't
 * hold as an outlier. */
void hc_rows_put_outliers(const hc_rows *rows, int row, const float *x, float bound, hc_levels to, size_t first,
                          hc_q7 *q, size_t step);

/* Fills both lists of a row up to even numbers, with an outlier that adds nothing: kernels take two at a time. */
void hc_rows_end_outliers(const hc_rows *rows, int row);

/* The first of a row's outliers, of those that are added or of those that are taken away. */
static inline const hc_outlier *hc_rows_outliers(const hc_rows *rows, int row, int above)
{
    size_t most = (size_t)rows->most_outliers, at = above ? 0 : most - (size_t)rows->below[row];
    return rows->outliers + (size_t)row * most + at;
}

#endif
