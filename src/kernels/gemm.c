/* gemm.c: out = epilogue(a · wᵀ) for weights of every kind, after Goto and van de Geijn, "Anatomy of High-Performance
 * Matrix Multiplication" (2008): a block of rows stays in the second-level cache while the panels pass, a panel in the
 * first-level cache while the tiles of the block pass. Panels are shared out among threads. */
#include "kernels/gemm.h"
#include "kernels/tile.h"

typedef struct job {
    const hc_matrix *w;
    const hc_rows *a;
    const hc_epilogue *epilogue;
    float *out;
    size_t out_stride;
} job;

static void run_panels(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    const hc_matrix *w = j->w;
    hc_panel_kernel *kernel = w->storage == HC_STORE_I8   ? hc_panel_i8
                              : w->storage == HC_STORE_I4 ? hc_panel_i4
                                                          : hc_panel_f32;
    float sums[HC_BLOCK_ROWS * HC_PANEL];
    int all_panels = (w->n + HC_PANEL - 1) / HC_PANEL, most = tile_panels(j->a->count),
        tile_count = hc_tile_count(j->a->count, j->a->most),
        blocks = hc_tile_count(j->a->count, HC_BLOCK_ROWS - TILE_MOST_ROWS);
    for (int block = 0; block < blocks; block++) {
        hc_tiles tiles = {.a = j->a,
                          .count = tile_count,
                          .first = hc_tile_first(tile_count, blocks, block),
                          .last = hc_tile_first(tile_count, blocks, block + 1)};
        tiles.first_row = hc_tiles_row(&tiles, tiles.first);
        int rows = hc_tiles_row(&tiles, tiles.last) - tiles.first_row;
        float *out = j->out + (size_t)tiles.first_row * j->out_stride;
        hc_epilogue e = *j->epilogue;
        if (e.residual) e.residual += (size_t)tiles.first_row * j->out_stride;
        for (int panel = first, panels; panel < last; panel += panels) {
            panels = most <= last - panel ? most : 1;
            int width = panels * HC_PANEL, column = panel * HC_PANEL,
                columns = w->n - column < width ? w->n - column : width;
            tiles.next_panel = panel + 2 * panels <= all_panels ? (size_t)panels : 0;
            kernel(w, &tiles, panel, panels, sums);
            hc_epilogue_apply(&e, w, j->a, sums, tiles.first_row, rows, width, column, columns, out, j->out_stride);
        }
    }
}

void hc_gemm(hc_threads *threads, const hc_matrix *w, const hc_rows *a, const hc_epilogue *epilogue, float *out,
             size_t out_stride)
{
    job j = {w, a, epilogue, out, out_stride};
    hc_parallel_for(threads, (w->n + HC_PANEL - 1) / HC_PANEL, tile_panels(a->count), run_panels, &j);
}
