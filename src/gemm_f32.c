/* gemm_f32.c: out = a · wᵀ for weights in fp32 and fp16, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a block of rows
 * stays in the second-level cache while the panels pass, a stretch of a panel in the first-level cache while the rows of the block pass. */
#include "tile.h"
#include "vmath.h"

enum {
    BLOCK_ROWS = 96,         /* rows whose sums lie on the stack              */
    STRETCH = 512            /* floats of k a panel: 16 kB, half of a small first-level cache */
};

SIMD_INLINE void tiles(int panels, int most, int fused, const float *a, size_t a_stride, int m, int k, const float *b, size_t b_panel, float *sums)
{
    int count = tile_count(m, most);
    for (int i = 0; i < count; i++) {
        int first = tile_first_row(m, count, i), rows = tile_first_row(m, count, i + 1) - first;
        const float *from = a + (size_t)first * a_stride;
        float *to = sums + first * panels * HC_PANEL;
#define TILE(n)                                                                       \
    case n:                                                                           \
        if (n <= most)                                                                \
            tile_f32(n, panels, fused, from, a_stride, k, b, HC_PANEL, b_panel, to);  \
        break
        switch (rows) {
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
            TILE(5);
            TILE(6);
        }
#undef TILE
    }
}

/* The code of one number of panels and one kind of rounding. */
SIMD_INLINE void block(int panels, int fused, const float *a, size_t a_stride, int m, int k, const float *b, size_t b_panel, float *sums)
{
    int most = panels > 1 ? 4 / panels : fused ? TILE_ROWS_FUSED : TILE_ROWS;
    tiles(panels, most, fused, a, a_stride, m, k, b, b_panel, sums);
}

static void block_fused(int panels, const float *a, size_t a_stride, int m, int k, const float *b, size_t b_panel, float *sums)
{
    switch (panels) {
    case 4:
        block(4, 1, a, a_stride, m, k, b, b_panel, sums);
        break;
    case 2:
        block(2, 1, a, a_stride, m, k, b, b_panel, sums);
        break;
    default:
        block(1, 1, a, a_stride, m, k, b, b_panel, sums);
    }
}

static void block_exact(int panels, const float *a, size_t a_stride, int m, int k, const float *b, size_t b_panel, float *sums)
{
    switch (panels) {
    case 4:
        block(4, 0, a, a_stride, m, k, b, b_panel, sums);
        break;
    case 2:
        block(2, 0, a, a_stride, m, k, b, b_panel, sums);
        break;
    default:
        block(1, 0, a, a_stride, m, k, b, b_panel, sums);
    }
}

/* A stretch of `panels` panels of fp16 as floats, one panel after the other. */
static void widen(const uint16_t *from, size_t from_panel, int panels, int k, float *to)
{
    for (int p = 0; p < panels; p++)
        hc_halves_to_floats(from + (size_t)p * from_panel, to + p * k * HC_PANEL, (size_t)k * HC_PANEL);
}

void hc_gemm_f32(const hc_matrix *w, const float *a, size_t a_stride, int m, const hc_epilogue *epilogue, float *out, size_t out_stride, int fused)
{
    float sums[BLOCK_ROWS * HC_PANEL], widened[STRETCH * HC_PANEL];
    int all_panels = (w->n + HC_PANEL - 1) / HC_PANEL;
    size_t panel_size = (size_t)w->k * HC_PANEL;
    int blocks = tile_count(m, BLOCK_ROWS);
    for (int i = 0; i < blocks; i++) {
        int row = tile_first_row(m, blocks, i), rows = tile_first_row(m, blocks, i + 1) - row;
        hc_epilogue e = *epilogue;
        e.residual = e.residual ? e.residual + (size_t)row * out_stride : NULL;
        for (int panel = 0, panels; panel < all_panels; panel += panels) {
            panels = tile_panels(rows);
            panels = panels <= all_panels - panel ? panels : 1;
            int columns = w->n - panel * HC_PANEL < panels * HC_PANEL ? w->n - panel * HC_PANEL : panels * HC_PANEL;
            memset(sums, 0, (size_t)(rows * panels * HC_PANEL) * sizeof *sums);
            for (int at = 0, k; at < w->k; at += k) {
                k = w->k - at < STRETCH / panels ? w->k - at : STRETCH / panels;
                const float *from = a + (size_t)row * a_stride + at;
                size_t start = (size_t)panel * panel_size + (size_t)at * HC_PANEL, b_panel = panel_size;
                const float *b = (const float *)w->data + start;
                if (w->storage == HC_STORE_F16) {
                    widen((const uint16_t *)w->data + start, panel_size, panels, k, widened);
                    b = widened;
                    b_panel = (size_t)k * HC_PANEL;
                }
                (fused ? block_fused : block_exact)(panels, from, a_stride, rows, k, b, b_panel, sums);
            }
            hc_epilogue_apply(&e, sums, panels * HC_PANEL, rows, panel * HC_PANEL, columns, out + (size_t)row * out_stride, out_stride);
        }
    }
}
