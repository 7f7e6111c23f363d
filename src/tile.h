/* tile.h: what hc_gemm_f32, hc_gemm_i8 and hc_attention_head share: the fp32 tile, how rows are cut into tiles, and a GEMM's epilogue.
 *
 * A tile is a few rows of `a` against one or more panels of 8 channels; its sums stay in registers over a stretch of k, and are added to `sums` in memory, so that
 * k can be cut into stretches that fit the first-level cache. The number of rows and panels are constants wherever a tile is called, so each is unrolled.
 */
#ifndef HC_TILE_H
#define HC_TILE_H

#include "kernels.h"
#include "simd.h"

/* The most rows of a tile: as many as leave enough of the 16 registers of x86-64 for `a`, the panel and products. A fused product needs no register. */
enum { TILE_ROWS = 4, TILE_ROWS_FUSED = 6, TILE_PANELS = 4 };

/* Cuts m rows into as few tiles (or blocks) as can be, of rows as even as can be: a tile of one row takes almost as long as one of four. */
SIMD_INLINE int tile_count(int m, int most) { return (m + most - 1) / most; }
SIMD_INLINE int tile_first_row(int m, int tiles, int i) { return (int)((int64_t)m * i / tiles); }

/* How many panels to take at once for tiles of few rows: sums that don't depend on each other keep the machine busy. */
SIMD_INLINE int tile_panels(int rows) { return rows == 1 ? 4 : rows == 2 ? 2 : 1; }

/* sums [rows][8 panels] += a [rows, k] · b, where the values of b for one k are 8 floats a panel, `b_step` floats after those for the k before. */
SIMD_INLINE void tile_f32(int rows, int panels, int fused, const float *a, size_t a_stride, int k, const float *b, size_t b_step, size_t b_panel, float *sums)
{
    f32x4 acc[TILE_ROWS_FUSED][2 * TILE_PANELS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++)
            acc[r][c] = f32_load(sums + (r * panels * 2 + c) * 4);
    for (int i = 0; i < k; i++, b += b_step) {
        f32x4 row[2 * TILE_PANELS];
        for (int c = 0; c < 2 * panels; c++)
            row[c] = f32_load(b + (size_t)(c / 2) * b_panel + c % 2 * 4);
        for (int r = 0; r < rows; r++) {
            f32x4 x = f32_splat(a[(size_t)r * a_stride + (size_t)i]);
            for (int c = 0; c < 2 * panels; c++)
                acc[r][c] = fused ? f32_fma(x, row[c], acc[r][c]) : acc[r][c] + x * row[c];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++)
            f32_store(sums + (r * panels * 2 + c) * 4, acc[r][c]);
}

/* out [rows, columns] = epilogue(sums [rows][width]), for the channels from `column`; width is a multiple of HC_PANEL, columns at most that.
 * `out` and the epilogue's residual point to whole rows. */
void hc_epilogue_apply(const hc_epilogue *epilogue, const float *sums, int width, int rows, int column, int columns, float *out, size_t out_stride);

#endif
