/* gemm_f32.c: sums for weights in fp32 and fp16. Halves are widened once for all rows, a stretch at a time. */
#include "kernels/gemm.h"
#include "kernels/tile.h"
#include "kernels/vmath.h"

enum {
    STRETCH = 768
}; /* floats of k a panel: what a small first-level cache has no room for comes out of the second in time */

#define TILE(rows, panels, name)                                                                                \
    NOT_INLINED void name##_##rows##x##panels(const float *a, int k, const float *b, size_t b_panel, int fresh, \
                                              float *sums, const ahead *next)                                   \
    {                                                                                                           \
        tile_f32(rows, panels, a, rows, k, b, b_panel, fresh, sums, next);                                      \
    }
FEW_TILES(TILE, tile)
#ifdef HC_HAS_FMA
TILE(5, 1, tile)
TILE(6, 1, tile)
#endif

static void tile(int rows, int panels, const float *a, int k, const float *b, size_t b_panel, int fresh, float *sums,
                 const ahead *next)
{
#ifdef HC_HAS_FMA
    if (rows > 4) {
        (rows == 6 ? tile_6x1 : tile_5x1)(a, k, b, b_panel, fresh, sums, next);
        return;
    }
#endif
    CALL_FEW(tile, rows, panels, a, k, b, b_panel, fresh, sums, next);
}

void hc_panel_f32(const hc_matrix *w, const hc_tiles *tiles, int panel, int panels, float *sums)
{
    float widened[STRETCH * HC_PANEL];
    const hc_rows *a = tiles->a;
    size_t panel_size = (size_t)w->k * HC_PANEL, size = w->storage == HC_STORE_F16 ? sizeof(uint16_t) : sizeof(float);
    for (int at = 0, k; at < w->k; at += k) {
        k = w->k - at < STRETCH / panels ? w->k - at : STRETCH / panels;
        const char *from = (const char *)w->data + ((size_t)panel * panel_size + (size_t)at * HC_PANEL) * size,
                   *next = from + tiles->next_panel * panel_size * size;
        const float *b = (const float *)(const void *)from;
        size_t b_panel = panel_size;
        if (w->storage == HC_STORE_F16) {
            b = widened;
            b_panel = (size_t)k * HC_PANEL;
            for (int p = 0; p < panels; p++)
                hc_halves_to_floats((const uint16_t *)(const void *)from + (size_t)p * panel_size,
                                    widened + (size_t)p * b_panel, b_panel);
        }
        ahead_of_all all = look_ahead(next, (size_t)(k * HC_PANEL * panels) * size, tiles->last - tiles->first, k);
        for (hc_tile t = hc_tiles_begin(tiles); !hc_tiles_end(tiles, &t); hc_tiles_next(tiles, &t)) {
            ahead line = ahead_of_tile(&all, t.index);
            tile(t.rows, panels, a->x + (size_t)t.row * a->depth + (size_t)(at * t.rows), k, b, b_panel, !at,
                 sums + (t.row - tiles->first_row) * panels * HC_PANEL, &line);
        }
    }
}
