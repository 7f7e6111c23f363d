/* gemm.h: what the GEMM's driver (gemm.c) and its kernels share. */
#ifndef HC_GEMM_H
#define HC_GEMM_H

#include "kernels/kernels.h"

enum { HC_BLOCK_ROWS = 128 }; /* the most rows whose sums lie on the stack */

/* Tiles [first, last) of a GEMM's left side. */
typedef struct hc_tiles {
    const hc_rows *a;
    int count; /* of all its tiles          */
    int first, last;
    int first_row;     /* of the first tile         */
    size_t next_panel; /* how many panels further in memory is what is read after this; 0 at the end */
} hc_tiles;

/* The rows of tile t begin at this one. */
static inline int hc_tiles_row(const hc_tiles *tiles, int t) { return hc_tile_first(tiles->a->count, tiles->count, t); }

/* Goes through them in order; a row is worked out by a division. */
typedef struct hc_tile {
    int index; /* among them */
    int row, rows;
} hc_tile;

static inline hc_tile hc_tiles_begin(const hc_tiles *tiles)
{
    int row = tiles->first_row;
    return (hc_tile){0, row, hc_tiles_row(tiles, tiles->first + 1) - row};
}

static inline int hc_tiles_end(const hc_tiles *tiles, const hc_tile *t)
{
    return t->index == tiles->last - tiles->first;
}

static inline void hc_tiles_next(const hc_tiles *tiles, hc_tile *t)
{
    t->index++;
    t->row += t->rows;
    t->rows = hc_tiles_row(tiles, tiles->first + t->index + 1) - t->row;
}

/* sums [rows of the tiles][8 panels] for `panels` panels of w from `panel` on: more than one only for a single tile of
 * as few rows as tile_panels says. fp32 and fp16: a · wᵀ. int4: the same of q_a and w, without the activations' scale
 * and zero point. int8: of q_a and q_w, int32_t in place of floats. What they hold before does not matter. */
typedef void hc_panel_kernel(const hc_matrix *w, const hc_tiles *tiles, int panel, int panels, float *sums);
hc_panel_kernel hc_panel_f32, hc_panel_i8, hc_panel_i4;

/* Finishes such sums, `width` a row, for the channels from `column` on, and writes out [rows, columns], columns at most
 * `width`. Row 0 is row `first_row` of a; `out` and the epilogue's residual point to its whole row. */
void hc_epilogue_apply(const hc_epilogue *epilogue, const hc_matrix *w, const hc_rows *a, float *sums, int first_row,
                       int rows, int width, int column, int columns, float *out, size_t out_stride);

#endif
