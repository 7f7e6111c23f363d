/* gemm_i8.c: sums for int8 weights and 7-bit activations. They are exact, whichever instructions multiply: to the last
 * bit also where outliers, which 16 bits hold whole, are among them rather than added. */
#include "kernels/gemm.h"
#include "kernels/levels.h"
#include "kernels/tile.h"

/* How a tile multiplies. PAIRS adds 16-bit sums of two products to the 32-bit sums, FOURS adds two such sums first,
 * which not all weights allow, QUADS is the one instruction for it all. WIDE multiplies 16-bit numbers that were
 * widened once for many rows, WIDEN widens them for each tile. */
typedef enum multiply { PAIRS, FOURS, QUADS, WIDE, WIDEN } multiply;

enum {
    STEP = HC_PANEL * HC_DEPTH, /* values of a panel for one step of k                 */
    STRETCH = 256,              /* steps at once: 8 kB of bytes, 16 kB widened, half of a small first-level cache */
    FEW_ROWS = 4,               /* up to which a panel is not worth widening beforehand   */
    FOURS_ROWS = 12             /* from which a panel is worth the look whether it allows FOURS */
};

/* sums [rows][8 panels] = a · b over `steps` of k, added to what they hold unless `fresh`. Panels are b_panel bytes
 * apart. */
SIMD_INLINE void tile_i8(multiply how, int rows, int panels, const hc_q7 *a, int steps, const void *b, size_t b_panel,
                         int fresh, int32_t *sums, const ahead *next)
{
    i32x4 acc[TILE_MOST_ROWS][2 * TILE_MOST_PANELS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++)
            acc[r][c] = fresh ? i32_splat(0) : i32_load(sums + (r * panels * 2 + c) * 4);
    const char *line = next->at;
    const int8_t *bytes = b;
#ifdef HC_Q7_IS_BYTE
    i16x8 ones = (i16x8)i32_constant(0x00010001);
    NOT_UNROLLED
    for (int left = steps, now; left; left -= now) {
        now = next->pace < left ? next->pace : left;
        line = look(line);
        int i = 0;
        NOT_UNROLLED
        for (; how == FOURS && i + 2 <= now; i += 2, a += 2 * rows * HC_DEPTH, bytes += 2 * STEP)
            for (int c = 0; c < 2; c++) {
                i8x16 first = i8_load(bytes + c * 16), second = i8_load(bytes + c * 16 + STEP);
                for (int r = 0; r < rows; r++) {
                    const hc_q7 *x = a + r * HC_DEPTH;
                    i16x8 sum = i16_dot_bytes((u8x16)i32_load_splat(x), first) +
                                i16_dot_bytes((u8x16)i32_load_splat(x + rows * HC_DEPTH), second);
                    acc[r][c] += i32_dot_i16(sum, ones);
                }
            }
        NOT_UNROLLED
        for (; i < now; i++, a += rows * HC_DEPTH, bytes += STEP) {
            i8x16 w[2 * TILE_MOST_PANELS];
            for (int c = 0; c < 2 * panels; c++) w[c] = i8_load(bytes + (size_t)(c / 2) * b_panel + c % 2 * 16);
            for (int r = 0; r < rows; r++) {
                u8x16 x = (u8x16)i32_load_splat(a + r * HC_DEPTH);
                for (int c = 0; c < 2 * panels; c++)
                    acc[r][c] = how == QUADS ? i32_dot_quads(acc[r][c], x, w[c])
                                             : acc[r][c] + i32_dot_i16(i16_dot_bytes(x, w[c]), ones);
            }
        }
    }
#else
    const int16_t *wide = b;
    NOT_UNROLLED
    for (int left = steps, now; left; left -= now) {
        now = next->pace < left ? next->pace : left;
        line = look(line);
        NOT_UNROLLED
        for (int i = 0; i < now; i++, a += rows * HC_DEPTH, bytes += STEP, wide += STEP) {
            i16x8 w[2][2 * TILE_MOST_PANELS];
            for (int c = 0; c < 2 * panels; c++) {
                if (how == WIDEN) {
                    i16_widen_pairs(i8_load(bytes + (size_t)(c / 2) * b_panel + c % 2 * 16), &w[0][c], &w[1][c]);
                } else {
                    w[0][c] = i16_load(wide + c * 16);
                    w[1][c] = i16_load(wide + c * 16 + 8);
                }
            }
            for (int r = 0; r < rows; r++)
                for (int half = 0; half < 2; half++) {
                    i16x8 x = (i16x8)i32_load_splat(a + r * HC_DEPTH + 2 * half);
                    for (int c = 0; c < 2 * panels; c++) acc[r][c] += i32_dot_i16(x, w[half][c]);
                }
        }
    }
#endif
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++) i32_store(sums + (r * panels * 2 + c) * 4, acc[r][c]);
}

#define TILE(rows, panels, how)                                                                                   \
    NOT_INLINED void how##_##rows##x##panels(const hc_q7 *a, int steps, const void *b, size_t b_panel, int fresh, \
                                             int32_t *sums, const ahead *next)                                    \
    {                                                                                                             \
        tile_i8(how, rows, panels, a, steps, b, b_panel, fresh, sums, next);                                      \
    }

#ifdef HC_Q7_IS_BYTE
FEW_TILES(TILE, PAIRS)
TILE(3, 1, FOURS)
TILE(4, 1, FOURS)
FEW_TILES(TILE, QUADS)
TILE(5, 1, QUADS)
TILE(6, 1, QUADS)

static void tile(multiply how, int rows, int panels, const hc_q7 *a, int steps, const void *b, size_t b_panel,
                 int fresh, int32_t *sums, const ahead *next)
{
    if (how == FOURS) {
        (rows == 4 ? FOURS_4x1 : FOURS_3x1)(a, steps, b, b_panel, fresh, sums, next);
    } else if (how == PAIRS) {
        CALL_FEW(PAIRS, rows, panels, a, steps, b, b_panel, fresh, sums, next);
    } else if (rows > 4) {
        (rows == 6 ? QUADS_6x1 : QUADS_5x1)(a, steps, b, b_panel, fresh, sums, next);
    } else {
        CALL_FEW(QUADS, rows, panels, a, steps, b, b_panel, fresh, sums, next);
    }
}

/* Whether sums of four products of the panel fit 16 bits, those of two neighbours and of the same two in the next step:
 * 127 * 258 < 2^15. */
static int allows_fours(const int8_t *b, int steps)
{
    const u8x16 ones = (u8x16)i32_constant(0x01010101);
    i16x8 excess = i16_splat(0);
    for (int i = 0; i + 2 <= steps; i += 2, b += 2 * STEP)
        for (int c = 0; c < 2; c++) {
            i8x16 first = i8_load(b + c * 16), second = i8_load(b + c * 16 + STEP);
            i16x8 size = i16_dot_bytes(ones, i8_abs(first)) + i16_dot_bytes(ones, i8_abs(second));
            excess |= size > 258;
        }
    return !i32_any((i32x4)excess);
}

/* The bytes of a stretch as they are, and the best way to multiply them. */
static const void *prepare(const hc_rows *a, int rows, const int8_t *b, int steps, void *wide, multiply *how)
{
    (void)wide;
    *how = a->dot == HC_DOT_QUADS ? QUADS : rows >= FOURS_ROWS && allows_fours(b, steps) ? FOURS : PAIRS;
    return b;
}
#else
FEW_TILES(TILE, WIDEN)
TILE(2, 1, WIDE)
TILE(3, 1, WIDE)
TILE(4, 1, WIDE)

static void tile(multiply how, int rows, int panels, const hc_q7 *a, int steps, const void *b, size_t b_panel,
                 int fresh, int32_t *sums, const ahead *next)
{
    if (how == WIDEN) {
        CALL_FEW(WIDEN, rows, panels, a, steps, b, b_panel, fresh, sums, next);
    } else {
        (rows == 4 ? WIDE_4x1 : rows == 3 ? WIDE_3x1 : WIDE_2x1)(a, steps, b, b_panel, fresh, sums, next);
    }
}

/* A stretch as bytes, for few rows; else widened. */
static const void *prepare(const hc_rows *a, int rows, const int8_t *b, int steps, void *wide, multiply *how)
{
    (void)a;
    *how = rows > FEW_ROWS ? WIDE : WIDEN;
    if (*how == WIDEN) return b;
    int16_t *to = wide;
    for (int i = 0; i < steps * STEP; i += 16) {
        i16x8 first, last;
        i16_widen_pairs(i8_load(b + i), &first, &last);
        i16_store(to + i, first);
        i16_store(to + i + 8, last);
    }
    return wide;
}
#endif

/* ---- outliers ---- */

#ifdef HC_Q7_IS_BYTE
SIMD_INLINE void add_outlier(multiply how, const hc_outlier *o, const int8_t *panel, i32x4 sum[2])
{
    const int8_t *w = panel + (size_t)o->step * STEP;
    u8x16 x = (u8x16)i32_load_splat(o->digits);
    i16x8 ones = (i16x8)i32_constant(0x00010001);
    for (int c = 0; c < 2; c++, w += 16)
        sum[c] = how == QUADS ? i32_dot_quads(sum[c], x, i8_load(w))
                              : sum[c] + i32_dot_i16(i16_dot_bytes(x, i8_load(w)), ones);
}

/* Two at a time, as the list has an even number. */
SIMD_INLINE void add_list(multiply how, const hc_outlier *o, int count, const int8_t *panel, i32x4 sum[2])
{
    NOT_UNROLLED
    for (const hc_outlier *last = o + count; o < last; o += 2) {
        add_outlier(how, o, panel, sum);
        add_outlier(how, o + 1, panel, sum);
    }
}

/* sums [rows of the tiles][8 panels] += their outliers times the panels, which begin at b. */
SIMD_INLINE void add_outliers(multiply how, const hc_tiles *tiles, int panels, const int8_t *b, size_t b_panel,
                              int32_t *sums)
{
    const hc_rows *a = tiles->a;
    int end = hc_tiles_row(tiles, tiles->last);
    for (int row = tiles->first_row; row < end; row++, sums += panels * HC_PANEL) {
        int above = a->above[row], below = a->below[row];
        if (!(above | below)) continue;
        for (int p = 0; p < panels; p++) {
            i32x4 sum[2] = {i32_splat(0), i32_splat(0)};
            const int8_t *panel = b + (size_t)p * b_panel;
            int32_t *to = sums + p * HC_PANEL;
            add_list(how, hc_rows_outliers(a, row, 0), below, panel, sum);
            for (int c = 0; c < 2; c++) sum[c] = -sum[c];
            add_list(how, hc_rows_outliers(a, row, 1), above, panel, sum);
            for (int c = 0; c < 2; c++) i32_store(to + 4 * c, i32_load(to + 4 * c) + (sum[c] << 7));
        }
    }
}

#define OUTLIERS(how)                                                                                                  \
    NOT_INLINED void how##_outliers(const hc_tiles *tiles, int panels, const int8_t *b, size_t b_panel, int32_t *sums) \
    {                                                                                                                  \
        add_outliers(how, tiles, panels, b, b_panel, sums);                                                            \
    }
OUTLIERS(QUADS)
OUTLIERS(PAIRS)
#endif

void hc_panel_i8(const hc_matrix *w, const hc_tiles *tiles, int panel, int panels, float *sums)
{
    int32_t *exact = (int32_t *)(void *)sums; /* both are only ever loaded and stored as vectors */
#ifdef HC_Q7_IS_BYTE
    void *wide = NULL;
#else
    int16_t wide[STRETCH * STEP];
#endif
    const hc_rows *a = tiles->a;
    int steps = (w->k + HC_DEPTH - 1) / HC_DEPTH, rows = hc_tiles_row(tiles, tiles->last) - tiles->first_row,
        width = panels * HC_PANEL;
    size_t b_panel = (size_t)steps * STEP;
    for (int at = 0, count; at < steps; at += count) {
        count = steps - at < STRETCH ? steps - at : STRETCH;
        multiply how;
        const int8_t *from = (const int8_t *)w->data + (size_t)panel * b_panel + (size_t)at * STEP;
        const void *b = prepare(a, rows, from, count, wide, &how);
        ahead_of_all all = look_ahead(from + tiles->next_panel * b_panel, (size_t)(count * STEP * panels),
                                      tiles->last - tiles->first, count);
        if (how == FOURS) all.pace += all.pace % 2;
        for (hc_tile t = hc_tiles_begin(tiles); !hc_tiles_end(tiles, &t); hc_tiles_next(tiles, &t)) {
            ahead line = ahead_of_tile(&all, t.index);
            tile(how, t.rows, panels, a->q + (size_t)t.row * a->depth + (size_t)(at * HC_DEPTH * t.rows), count, b,
                 b_panel, !at, exact + (t.row - tiles->first_row) * width, &line);
        }
    }
#ifdef HC_Q7_IS_BYTE
    if (!a->most_outliers) return;
    const int8_t *b = (const int8_t *)w->data + (size_t)panel * b_panel;
    if (a->dot == HC_DOT_QUADS) QUADS_outliers(tiles, panels, b, b_panel, exact);
    else PAIRS_outliers(tiles, panels, b, b_panel, exact);
#endif
}
