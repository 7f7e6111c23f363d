/* depthwise.c: convolution of each channel on its own. A panel of 8 channels passes along an output row, several pixels
 * at a time; a pixel's sum is taken in the order of the window and not contracted, so that it has the same bits
 * everywhere, however many pixels are computed at once. */
#include "kernels/gemm.h"
#include "kernels/grid.h"
#include "kernels/simd.h"

enum { PIXELS = 4, VECTORS = HC_PANEL / 4 };

/* The window's pixels that lie on the grid, from `first` to before `last`. */
typedef struct span {
    int first, last;
} span;

static span covered(int begin, int size, int limit)
{
    return (span){begin < 0 ? -begin : 0, begin + size > limit ? limit - begin : size};
}

typedef struct row {
    const hc_grid *grid;
    const hc_window *window;
    const float *weights; /* of the panel */
    size_t padded;        /* weights from one pixel of the window to the next */
    int channel, valid;   /* of the panel's 8 channels, how many are there */
    int y;                /* where the windows of the row begin */
    span rows;
} row;

SIMD_INLINE f32x4 load(const float *p, int n)
{
    f32x4 v = f32_splat(0);
    if (n >= 4) return f32_load(p);
    if (n > 0) memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

/* sums [pixels][8] at output pixels from x on, whose windows' columns `columns` lie on the grid. */
SIMD_INLINE void sum_windows(int pixels, int valid, const row *r, int x, span columns, float *sums)
{
    const hc_grid *grid = r->grid;
    const hc_window *window = r->window;
    size_t channels = (size_t)grid->channels, stride = (size_t)window->stride * channels;
    f32x4 acc[PIXELS][VECTORS];
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < VECTORS; c++) acc[i][c] = f32_splat(0);
    for (int y = r->rows.first; y < r->rows.last; y++) {
        size_t left = (size_t)(x * window->stride - window->padding + columns.first);
        const float *in = grid->at + ((size_t)(r->y + y) * (size_t)grid->width + left) * channels + r->channel,
                    *w = r->weights + (size_t)(y * window->width + columns.first) * r->padded;
        for (int left_over = columns.last - columns.first; left_over > 0; left_over--, in += channels, w += r->padded)
            for (int c = 0; c < VECTORS; c++) {
                f32x4 weight = f32_load(w + 4 * c);
                for (int i = 0; i < pixels; i++)
                    acc[i][c] += load(in + (size_t)i * stride + 4 * c, valid - 4 * c) * weight;
            }
    }
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < VECTORS; c++) f32_store(sums + i * HC_PANEL + 4 * c, acc[i][c]);
}

/* Functions of their own, because V8 shares registers out by function. */
static __attribute__((noinline)) void sum_several(const row *r, int x, float *sums)
{
    sum_windows(PIXELS, HC_PANEL, r, x, (span){0, r->window->width}, sums);
}

static __attribute__((noinline)) void sum_one(const row *r, int x, span columns, float *sums)
{
    if (r->valid == HC_PANEL) sum_windows(1, HC_PANEL, r, x, columns, sums);
    else sum_windows(1, r->valid, r, x, columns, sums);
}

static void sum_row(const row *r, int first, int last, float *sums)
{
    const hc_window *window = r->window;
    for (int x = first, n; x < last; x += n, sums += n * HC_PANEL) {
        int left = x * window->stride - window->padding, right = left + (PIXELS - 1) * window->stride + window->width;
        n = left >= 0 && right <= r->grid->width && x + PIXELS <= last && r->valid == HC_PANEL ? PIXELS : 1;
        if (n == PIXELS) sum_several(r, x, sums);
        else sum_one(r, x, covered(left, window->width, r->grid->width), sums);
    }
}

void hc_depthwise(const hc_grid *grid, const hc_window *window, const float *weights, const hc_epilogue *epilogue,
                  int first, int last, float *out)
{
    const hc_matrix floats = {.storage = HC_STORE_F32};
    const hc_rows unscaled = {0};
    int channels = grid->channels;
    size_t stride = (size_t)channels, padded = hc_round_up(stride, HC_PANEL);
    float sums[HC_BLOCK_ROWS * HC_PANEL];
    for (int y = first; y < last; y++)
        for (int x = 0, n; x < window->across; x += n) {
            n = window->across - x < HC_BLOCK_ROWS ? window->across - x : HC_BLOCK_ROWS;
            size_t at = ((size_t)y * (size_t)window->across + (size_t)x) * stride;
            hc_epilogue e = *epilogue;
            if (e.residual) e.residual += at;
            for (int c = 0; c < channels; c += HC_PANEL) {
                row r = {grid, window, weights + c, padded, c, channels - c < HC_PANEL ? channels - c : HC_PANEL,
                         0,    {0}};
                r.y = y * window->stride - window->padding;
                r.rows = covered(r.y, window->height, grid->height);
                sum_row(&r, x, x + n, sums);
                hc_epilogue_apply(&e, &floats, &unscaled, sums, 0, n, HC_PANEL, c, r.valid, out + at, stride);
            }
        }
}
