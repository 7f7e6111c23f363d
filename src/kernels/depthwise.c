/* depthwise.c: convolution of each channel on its own. Of a panel of 8 output channels, the pixels that a band of rows
 * sees are laid side by side first, with the border's zeros; then a few output pixels at a time pass over the window's
 * rows, whose weights and whose sums stay in registers. A pixel's sum is taken in the order of the window, however many
 * pixels are computed at once. */
#include "kernels/gemm.h"
#include "kernels/grid.h"
#include "kernels/simd.h"
#include "kernels/vmath.h"

/* Output pixels at a time: with a row of 7 weights, as many sums as leave V8 a register to load into. */
enum { PIXELS = 6, BAND_BYTES = 64 << 10 };

/* A panel's weights, and the pixels that a band sees. */
typedef struct band {
    const hc_window *window;
    float *weights; /* [window's pixels][8] */
    float *pixels;  /* [rows][line][8]      */
    size_t line;    /* pixels in a row; the last tile may begin too late for all its windows to be on it */
} band;

static size_t line_of(const hc_window *window)
{
    size_t tiles = ((size_t)window->across + PIXELS - 1) / PIXELS * PIXELS;
    return (tiles - 1) * (size_t)window->stride + (size_t)window->width;
}

static uint64_t rows_seen(const hc_window *window, uint64_t rows)
{
    return (rows - 1) * (uint64_t)window->stride + (uint64_t)window->height;
}

uint64_t hc_depthwise_scratch(const hc_window *window, int rows)
{
    uint64_t weights = (uint64_t)window->height * (uint64_t)window->width;
    return HC_PANEL * (weights + rows_seen(window, (uint64_t)rows) * line_of(window));
}

int hc_depthwise_band(const hc_window *window)
{
    uint64_t fit = BAND_BYTES / (HC_PANEL * sizeof(float) * line_of(window)), first = (uint64_t)window->height;
    return fit <= first ? 1 : (int)((fit - first) / (uint64_t)window->stride + 1);
}

/* ---- a band's pixels ----------------------------------------------------------------------------------------------
 */

/* The panel's channels of one pixel, each as often as there are output channels that see it. */
SIMD_INLINE void put_pixel(const float *from, int channel, int valid, int times, float *to)
{
    if (times == 1 && valid == HC_PANEL) {
        f32_store(to, f32_load(from + channel));
        f32_store(to + 4, f32_load(from + channel + 4));
        return;
    }
    if (times == 2 && valid == HC_PANEL) {
        f32x4 v = f32_load(from + channel / 2), low, high;
        f32_interleave(v, v, &low, &high);
        f32_store(to, low);
        f32_store(to + 4, high);
        return;
    }
    for (int c = 0; c < HC_PANEL; c++) to[c] = c < valid ? from[(channel + c) / times] : 0;
}

static void put_pixels(const band *b, const hc_grid *grid, int channel, int valid, int times, int first, int rows)
{
    const hc_window *window = b->window;
    size_t before = (size_t)window->before, width = (size_t)grid->width,
           covered = b->line - before < width ? b->line - before : width;
    if (b->line < before) covered = 0;
    float *to = b->pixels;
    for (int y = 0; y < rows; y++, to += b->line * HC_PANEL) {
        int in_y = first * window->stride - window->above + y;
        if (in_y < 0 || in_y >= grid->height) {
            memset(to, 0, b->line * HC_PANEL * sizeof *to);
            continue;
        }
        const float *from = grid->at + (size_t)in_y * width * (size_t)grid->channels;
        size_t left = before < b->line ? before : b->line, end = left + covered;
        memset(to, 0, left * HC_PANEL * sizeof *to);
        for (size_t x = 0; x < covered; x++, from += grid->channels)
            put_pixel(from, channel, valid, times, to + (left + x) * HC_PANEL);
        memset(to + end * HC_PANEL, 0, (b->line - end) * HC_PANEL * sizeof *to);
    }
}

static void put_weights(const band *b, const hc_matrix *w, int panel)
{
    size_t at = (size_t)panel * (size_t)w->k * HC_PANEL, count = (size_t)w->k * HC_PANEL;
    if (w->storage == HC_STORE_F16) hc_halves_to_floats((const uint16_t *)w->data + at, b->weights, count);
    else memcpy(b->weights, (const float *)w->data + at, count * sizeof(float));
}

/* ---- sums ---------------------------------------------------------------------------------------------------------
 */

SIMD_INLINE f32x4 add_product(int exact, f32x4 a, f32x4 b, f32x4 sum)
{
    return exact ? sum + a * b : f32_fma(a, b, sum);
}

/* sums [PIXELS][8] at neighbouring output pixels, the first of which sees `in`: windows of this width, one beside the
 * other, so that a pixel is loaded once for all that see it. */
SIMD_INLINE void sum_beside(int exact, int width, const band *b, const float *in, float *sums)
{
    for (int c = 0; c < HC_PANEL; c += 4) {
        const float *w = b->weights + c, *row = in + c;
        f32x4 acc[PIXELS];
        for (int i = 0; i < PIXELS; i++) acc[i] = f32_splat(0);
        for (int y = 0; y < b->window->height; y++, row += b->line * HC_PANEL, w += width * HC_PANEL) {
            f32x4 weights[7];
            for (int x = 0; x < width; x++) weights[x] = f32_load(w + x * HC_PANEL);
            _Pragma("clang loop unroll(full)") for (int i = 0; i < PIXELS + width - 1; i++)
            {
                f32x4 pixel = f32_load(row + i * HC_PANEL);
                _Pragma("clang loop unroll(full)") for (int x = 0; x < width; x++) if (i - x >= 0 && i - x < PIXELS)
                    acc[i - x] = add_product(exact, pixel, weights[x], acc[i - x]);
            }
        }
        for (int i = 0; i < PIXELS; i++) f32_store(sums + i * HC_PANEL + c, acc[i]);
    }
}

/* The same of any windows. */
SIMD_INLINE void sum_any(int exact, const band *b, const float *in, float *sums)
{
    size_t step = (size_t)b->window->stride * HC_PANEL;
    for (int c = 0; c < HC_PANEL; c += 4) {
        const float *w = b->weights + c, *row = in + c;
        f32x4 acc[PIXELS];
        for (int i = 0; i < PIXELS; i++) acc[i] = f32_splat(0);
        for (int y = 0; y < b->window->height; y++, row += b->line * HC_PANEL)
            for (int x = 0; x < b->window->width; x++, w += HC_PANEL) {
                f32x4 weight = f32_load(w);
                for (int i = 0; i < PIXELS; i++)
                    acc[i] = add_product(exact, f32_load(row + (size_t)i * step + x * HC_PANEL), weight, acc[i]);
            }
        for (int i = 0; i < PIXELS; i++) f32_store(sums + i * HC_PANEL + c, acc[i]);
    }
}

/* Functions of their own, because V8 shares registers out by function. */
typedef void sum_tile(const band *b, const float *in, float *sums);

#define SUMS(name, call) \
    static void name(const band *b, const float *in, float *sums) { call; }
SUMS(sum_3, sum_beside(0, 3, b, in, sums))
SUMS(sum_3_exact, sum_beside(1, 3, b, in, sums))
SUMS(sum_7, sum_beside(0, 7, b, in, sums))
SUMS(sum_7_exact, sum_beside(1, 7, b, in, sums))
SUMS(sum_else, sum_any(0, b, in, sums))
SUMS(sum_else_exact, sum_any(1, b, in, sums))

static sum_tile *sums_of(const hc_window *window, int exact)
{
    static sum_tile *const tiles[3][2] = {{sum_else, sum_else_exact}, {sum_3, sum_3_exact}, {sum_7, sum_7_exact}};
    int beside = window->stride == 1;
    return tiles[beside && window->width == 3 ? 1 : beside && window->width == 7 ? 2 : 0][exact];
}

void hc_depthwise(const hc_grid *grid, const hc_window *window, const hc_matrix *w, int exact,
                  const hc_epilogue *epilogue, int panel, int first, int last, float *scratch, float *out)
{
    enum { AT_ONCE = HC_BLOCK_ROWS / PIXELS * PIXELS };
    const hc_matrix floats = {.storage = HC_STORE_F32};
    const hc_rows unscaled = {0};
    int channel = panel * HC_PANEL, valid = w->n - channel < HC_PANEL ? w->n - channel : HC_PANEL;
    size_t stride = (size_t)w->n;
    float sums[AT_ONCE * HC_PANEL];
    band b = {window, scratch, scratch + (size_t)w->k * HC_PANEL, line_of(window)};
    sum_tile *sum = sums_of(window, exact);
    put_weights(&b, w, panel);
    put_pixels(&b, grid, channel, valid, w->n / grid->channels, first,
               (int)rows_seen(window, (uint64_t)(last - first)));
    for (int y = first; y < last; y++)
        for (int x = 0, n; x < window->across; x += n) {
            n = window->across - x < AT_ONCE ? window->across - x : AT_ONCE;
            const float *row = b.pixels + (size_t)((y - first) * window->stride) * b.line * HC_PANEL;
            for (int i = 0; i < n; i += PIXELS)
                sum(&b, row + (size_t)(x + i) * (size_t)window->stride * HC_PANEL, sums + i * HC_PANEL);
            size_t at = ((size_t)y * (size_t)window->across + (size_t)x) * stride;
            hc_epilogue e = *epilogue;
            if (e.residual) e.residual += at;
            hc_epilogue_apply(&e, &floats, &unscaled, sums, 0, n, HC_PANEL, channel, valid, out + at, stride);
        }
}
