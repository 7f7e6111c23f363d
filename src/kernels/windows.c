/* windows.c: puts the windows of a convolution in the order of hc_rows, straight from the grid, up to four rows of a
 * tile at a time: side by side in memory, they are written as whole vectors. */
#include "kernels/grid.h"
#include "kernels/lane.h"
#include "kernels/levels.h"

#include <math.h>

enum { AT_ONCE = 4 };

/* Up to four neighbouring rows of a tile, and where their windows begin. */
typedef struct piece {
    const hc_rows *rows;
    int n, row; /* the first one */
    hc_lane lane;
    int y[AT_ONCE], x[AT_ONCE];
    hc_levels levels[AT_ONCE];
} piece;

/* ---- `count` values of each of n rows, in their place; `step`: from one step of k to the next ---- */

SIMD_INLINE void put_f32(int n, int exact, const float *const *from, int count, float *to, size_t step)
{
    const float *x[AT_ONCE]; /* in registers, as what is written might be `from` for all that the compiler knows */
    for (int r = 0; r < n; r++) x[r] = from[r];
    int i = 0;
    for (; i + 4 <= count; i += 4, to += 4 * step) {
        f32x4 v[AT_ONCE];
        for (int r = 0; r < n; r++) v[r] = exact ? f32_round_to(13, f32_load(x[r] + i)) : f32_load(x[r] + i);
        if (n == 4) {
            f32_transpose(v);
            for (int j = 0; j < 4; j++) f32_store(to + (size_t)j * step, v[j]);
        } else if (n == 2) {
            f32_interleave(v[0], v[1], &v[0], &v[1]);
            for (int j = 0; j < 4; j++)
                memcpy(to + (size_t)j * step, (const char *)&v[j / 2] + j % 2 * 8, 2 * sizeof *to);
        } else {
            for (int j = 0; j < 4; j++) to[(size_t)j * step] = v[0][j];
        }
    }
    for (; i < count; i++, to += step)
        for (int r = 0; r < n; r++) to[r] = exact ? f32_round_to(13, f32_splat(x[r][i]))[0] : x[r][i];
}

/* `count` is a multiple of HC_DEPTH. Rounding is that of i32_round; values whose row has none that is out of range are
 * small enough for it, and clamped when they are narrow. */
SIMD_INLINE void put_q7(int n, const hc_levels *levels, const float *const *from, int count, hc_q7 *to, size_t step)
{
    const f32x4 magic = f32_constant(12582912.0f);
    const u8x16 most = (u8x16)i32_constant(0x7f7f7f7f);
    const float *x[AT_ONCE];
    f32x4 inverse[AT_ONCE];
    i32x4 zero[AT_ONCE];
    for (int r = 0; r < n; r++) {
        x[r] = from[r];
        inverse[r] = f32_splat(levels[r].inverse);
        zero[r] = levels[r].zero - (i32x4)magic;
    }
    for (int i = 0; i < count; i += HC_DEPTH, to += step) {
        i32x4 v[AT_ONCE];
        for (int r = 0; r < AT_ONCE; r++)
            v[r] = r < n ? (i32x4)(f32_load(x[r] + i) * inverse[r] + magic) + zero[r] : v[0];
        u8x16 q = u8_min(u8_narrow(i16_narrow(v[0], v[1]), i16_narrow(v[2], v[3])), most);
#ifdef HC_Q7_IS_BYTE
        memcpy(to, &q, (size_t)n * HC_DEPTH);
#else
        i16x8 low, high;
        i16_widen(q, &low, &high);
        memcpy(to, &low, (size_t)(n < 2 ? n : 2) * HC_DEPTH * sizeof *to);
        if (n > 2) i16_store(to + 2 * HC_DEPTH, high);
#endif
    }
}

/* Each number of rows is a function of its own, so that it is unrolled and its constants stay in registers. */
typedef void put_rows(const hc_levels *levels, const float *const *from, int count, void *to, size_t step);

#define PUT(n)                                                                                                     \
    static void put_f32_##n(const hc_levels *levels, const float *const *from, int count, void *to, size_t step)   \
    {                                                                                                              \
        (void)levels;                                                                                              \
        put_f32(n, 0, from, count, to, step);                                                                      \
    }                                                                                                              \
    static void put_exact_##n(const hc_levels *levels, const float *const *from, int count, void *to, size_t step) \
    {                                                                                                              \
        (void)levels;                                                                                              \
        put_f32(n, 1, from, count, to, step);                                                                      \
    }                                                                                                              \
    static void put_q7_##n(const hc_levels *levels, const float *const *from, int count, void *to, size_t step)    \
    {                                                                                                              \
        put_q7(n, levels, from, count, to, step);                                                                  \
    }
PUT(1)
PUT(2)
PUT(4)

enum { F32, EXACT, Q7 };
static put_rows *const PUT_ROWS[3][AT_ONCE + 1] = {{NULL, put_f32_1, put_f32_2, NULL, put_f32_4},
                                                   {NULL, put_exact_1, put_exact_2, NULL, put_exact_4},
                                                   {NULL, put_q7_1, put_q7_2, NULL, put_q7_4}};

/* ---- windows ---- */

static const float *pixel_at(const hc_grid *grid, int y, int x)
{
    return grid->at + ((size_t)y * (size_t)grid->width + (size_t)x) * (size_t)grid->channels;
}

static int covers(const hc_grid *grid, int y, int x) { return y >= 0 && y < grid->height && x >= 0 && x < grid->width; }

void hc_grid_range(const hc_grid *grid, int first, int last, float *range)
{
    for (int i = first; i < last; i++) {
        float *of = range + 2 * (size_t)i;
        if (!hc_range_of(grid->at + (size_t)i * (size_t)grid->channels, grid->channels, &of[0], &of[1]))
            of[1] = INFINITY;
    }
}

static int clip(int x, int limit) { return x < 0 ? 0 : x < limit ? x : limit; }

/* Lane 0 of the smallest and lane 1 of the largest are what the window spans. */
static hc_levels window_levels(const piece *p, int r, const hc_grid *grid, const hc_window *window)
{
    f32x4 smallest = f32_splat(0), largest = f32_splat(0);
    int left = clip(p->x[r], grid->width), right = clip(p->x[r] + window->width, grid->width),
        bottom = clip(p->y[r] + window->height, grid->height), finite = 1;
    for (int y = clip(p->y[r], grid->height); y < bottom; y++)
        for (int x = left; x < right; x++) {
            f32x4 range;
            if (grid->range) {
                const float *of = grid->range + 2 * ((size_t)y * (size_t)grid->width + (size_t)x);
                range = (f32x4){of[0], of[1], 0, 0};
            } else {
                float low, high;
                finite &= hc_range_of(pixel_at(grid, y, x), grid->channels, &low, &high);
                range = (f32x4){low, high, 0, 0};
            }
            smallest = f32_min(smallest, range);
            largest = f32_max(largest, range);
        }
    finite &= smallest[0] > -INFINITY && largest[1] < INFINITY;
    return hc_rows_set_range(p->rows, p->row + r, smallest[0], largest[1], finite);
}

/* Value `at` of the piece's rows, and from where on its values for the next step of k lie. */
static void *place(const piece *p, size_t at, size_t *step)
{
    size_t rows = (size_t)p->lane.rows, number = (size_t)p->lane.number;
    if (!p->rows->q) {
        *step = rows;
        return p->rows->x + p->lane.begin + at * rows + number;
    }
    *step = rows * HC_DEPTH;
    return p->rows->q + p->lane.begin + at * rows + number * HC_DEPTH;
}

/* A row of the window at a time where all of it lies on the grid, else a pixel at a time. */
static void put_piece(piece *p, const hc_grid *grid, const hc_window *window, const float *zeros)
{
    put_rows *put = PUT_ROWS[p->rows->q ? Q7 : p->rows->exact ? EXACT : F32][p->n];
    size_t at = 0, step;
    if (p->rows->q)
        for (int r = 0; r < p->n; r++) p->levels[r] = window_levels(p, r, grid, window);
    for (int y = 0; y < window->height; y++) {
        int whole = 1, pixels;
        for (int r = 0; r < p->n; r++)
            whole &= covers(grid, p->y[r] + y, p->x[r]) && p->x[r] + window->width <= grid->width;
        for (int x = 0; x < window->width; x += pixels) {
            const float *from[AT_ONCE];
            pixels = whole ? window->width : 1;
            for (int r = 0; r < p->n; r++)
                from[r] = covers(grid, p->y[r] + y, p->x[r] + x) ? pixel_at(grid, p->y[r] + y, p->x[r] + x) : zeros;
            void *to = place(p, at, &step);
            put(p->levels, from, pixels * grid->channels, to, step);
            at += (size_t)pixels * (size_t)grid->channels;
        }
    }
    if (!p->rows->q) return;
    hc_q7 *to = place(p, at, &step);
    for (; at < p->rows->depth; at += HC_DEPTH, to += step) memset(to, 0, (size_t)p->n * HC_DEPTH * sizeof *to);
}

/* At 7 bits, where a pixel's channels are not in whole steps of k: the row in its own order first. */
static void gather(const piece *p, const hc_grid *grid, const hc_window *window, float *row)
{
    size_t channels = (size_t)grid->channels;
    for (int y = p->y[0]; y < p->y[0] + window->height; y++)
        for (int x = p->x[0]; x < p->x[0] + window->width; x++, row += channels) {
            if (covers(grid, y, x)) memcpy(row, pixel_at(grid, y, x), channels * sizeof *row);
            else memset(row, 0, channels * sizeof *row);
        }
}

void hc_rows_put_windows(const hc_rows *rows, int first, int last, const hc_grid *grid, const hc_window *window,
                         int pixel, float *scratch)
{
    int gathered = rows->q && grid->channels % HC_DEPTH;
    if (!gathered) memset(scratch, 0, (size_t)grid->channels * sizeof *scratch);
    piece p = {.rows = rows};
    int out_y = (pixel + first) / window->across, out_x = (pixel + first) % window->across;
    for (p.row = first; p.row < last; p.row += p.n, p.lane.number += p.n) {
        if (p.lane.number == p.lane.rows || p.row == first) p.lane = hc_lane_of(rows, p.row);
        int left = p.lane.rows - p.lane.number < last - p.row ? p.lane.rows - p.lane.number : last - p.row;
        p.n = gathered || left < 2 ? 1 : left < 4 ? 2 : 4;
        for (int r = 0; r < p.n; r++) {
            p.y[r] = out_y * window->stride - window->above;
            p.x[r] = out_x * window->stride - window->before;
            if (++out_x < window->across) continue;
            out_x = 0;
            out_y++;
        }
        if (gathered) {
            gather(&p, grid, window, scratch);
            hc_rows_put(rows, p.row, scratch);
        } else {
            put_piece(&p, grid, window, scratch);
        }
    }
}
