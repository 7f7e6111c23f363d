/* gemm_i8.c: out = a · wᵀ for int8 weights and 7-bit activations. The integers are exact, whichever instructions multiply them; what follows is a fixed
 * sequence of float operations: the same bits everywhere.
 *
 * With w = scale_w q_w and a = scale_a (q_a - zero): the sum over k is scale_w scale_a (sum of q_a q_w - zero * sum of q_w).
 */
#include "tile.h"

/* How a tile multiplies. BYTE_PAIRS adds 16-bit sums of two products to the 32-bit sums, BYTE_FOURS adds two such sums first, which not all weights allow,
 * BYTE_QUADS is the one instruction for it all. WIDE multiplies 16-bit numbers that were widened once for many rows, WIDEN widens them for each tile. */
typedef enum multiply { BYTE_PAIRS, BYTE_FOURS, BYTE_QUADS, WIDE, WIDEN } multiply;

enum {
    BLOCK_ROWS = 128,        /* rows whose sums lie on the stack                       */
    STRETCH = 1024,          /* k of a widened panel: 16 kB, half of a small first-level cache */
    FEW_ROWS = 4,            /* up to which a panel is not worth widening beforehand   */
    FOURS_ROWS = 12          /* from which a panel is worth the look whether it allows BYTE_FOURS */
};

/* sums [rows][8 panels] += a · b over `groups` times HC_DEPTH of k. Panels are b_panel elements apart. */
SIMD_INLINE void tile_i8(multiply how, int rows, int panels, const hc_q7 *a, size_t a_stride, int groups, const void *b, size_t b_panel, int32_t *sums)
{
    i32x4 acc[TILE_ROWS][2 * TILE_PANELS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++)
            acc[r][c] = i32_load(sums + (r * panels * 2 + c) * 4);
#ifdef HC_Q7_IS_BYTE
    i16x8 ones = (i16x8)i32_constant(0x00010001);
    const int8_t *bytes = b;
    int g = 0;
    for (; how == BYTE_FOURS && g + 2 <= groups; g += 2, a += 2 * HC_DEPTH, bytes += 2 * HC_PANEL * HC_DEPTH)
        for (int c = 0; c < 2; c++) {
            i8x16 first = i8_load(bytes + c * 16), second = i8_load(bytes + c * 16 + HC_PANEL * HC_DEPTH);
            for (int r = 0; r < rows; r++) {
                const hc_q7 *x = a + (size_t)r * a_stride;
                i16x8 sum = i16_dot_bytes((u8x16)i32_load_splat(x), first) + i16_dot_bytes((u8x16)i32_load_splat(x + HC_DEPTH), second);
                acc[r][c] += i32_dot_i16(sum, ones);
            }
        }
    for (; g < groups; g++, a += HC_DEPTH, bytes += HC_PANEL * HC_DEPTH) {
        i8x16 w[2 * TILE_PANELS];
        for (int c = 0; c < 2 * panels; c++)
            w[c] = i8_load(bytes + (size_t)(c / 2) * b_panel + c % 2 * 16);
        for (int r = 0; r < rows; r++) {
            u8x16 x = (u8x16)i32_load_splat(a + (size_t)r * a_stride);
            for (int c = 0; c < 2 * panels; c++)
                acc[r][c] = how == BYTE_QUADS ? i32_dot_quads(acc[r][c], x, w[c]) : acc[r][c] + i32_dot_i16(i16_dot_bytes(x, w[c]), ones);
        }
    }
#else
    const int8_t *bytes = b;
    const int16_t *wide = b;
    for (int g = 0; g < groups; g++, a += HC_DEPTH, bytes += HC_PANEL * HC_DEPTH, wide += HC_PANEL * HC_DEPTH) {
        i16x8 w[2][2 * TILE_PANELS];
        for (int c = 0; c < 2 * panels; c++) {
            size_t at = (size_t)(c / 2) * b_panel + (size_t)(c % 2) * 16;
            if (how == WIDEN) {
                i16_widen_pairs(i8_load(bytes + at), &w[0][c], &w[1][c]);
            } else {
                w[0][c] = i16_load(wide + at);
                w[1][c] = i16_load(wide + at + 8);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int half = 0; half < 2; half++) {
                i16x8 x = (i16x8)i32_load_splat(a + (size_t)r * a_stride + 2 * half);
                for (int c = 0; c < 2 * panels; c++)
                    acc[r][c] += i32_dot_i16(x, w[half][c]);
            }
    }
#endif
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++)
            i32_store(sums + (r * panels * 2 + c) * 4, acc[r][c]);
}

SIMD_INLINE void tiles(multiply how, int panels, const hc_q7 *a, size_t a_stride, int m, int groups, const void *b, size_t b_panel, int32_t *sums)
{
    int most = panels > 1 ? 4 / panels : TILE_ROWS, count = tile_count(m, most);
    for (int i = 0; i < count; i++) {
        int first = tile_first_row(m, count, i), rows = tile_first_row(m, count, i + 1) - first;
        const hc_q7 *from = a + (size_t)first * a_stride;
        int32_t *to = sums + first * panels * HC_PANEL;
#define TILE(n)                                                                     \
    case n:                                                                         \
        if (n <= most)                                                              \
            tile_i8(how, n, panels, from, a_stride, groups, b, b_panel, to);        \
        break
        switch (rows) {
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
        }
#undef TILE
    }
}

SIMD_INLINE void few(multiply how, int panels, const hc_q7 *a, size_t a_stride, int m, int groups, const void *b, size_t b_panel, int32_t *sums)
{
    switch (panels) {
    case 4:
        tiles(how, 4, a, a_stride, m, groups, b, b_panel, sums);
        break;
    case 2:
        tiles(how, 2, a, a_stride, m, groups, b, b_panel, sums);
        break;
    default:
        tiles(how, 1, a, a_stride, m, groups, b, b_panel, sums);
    }
}

#ifdef HC_Q7_IS_BYTE
static void block_pairs(int panels, const hc_q7 *a, size_t a_stride, int m, int groups, const int8_t *b, size_t b_panel, int32_t *sums)
{
    few(BYTE_PAIRS, panels, a, a_stride, m, groups, b, b_panel, sums);
}

static void block_quads(int panels, const hc_q7 *a, size_t a_stride, int m, int groups, const int8_t *b, size_t b_panel, int32_t *sums)
{
    few(BYTE_QUADS, panels, a, a_stride, m, groups, b, b_panel, sums);
}

static void block_fours(const hc_q7 *a, size_t a_stride, int m, int groups, const int8_t *b, int32_t *sums)
{
    tiles(BYTE_FOURS, 1, a, a_stride, m, groups, b, 0, sums);
}

/* Whether sums of four products of the panel fit 16 bits, those of two neighbours and of the same two in the next group: 127 * 258 < 2^15. */
static int allows_fours(const int8_t *b, int groups)
{
    const u8x16 ones = (u8x16)i32_constant(0x01010101);
    i16x8 excess = i16_splat(0);
    for (int g = 0; g + 2 <= groups; g += 2, b += 2 * HC_PANEL * HC_DEPTH)
        for (int c = 0; c < 2; c++) {
            i8x16 first = i8_load(b + c * 16), second = i8_load(b + c * 16 + HC_PANEL * HC_DEPTH);
            i16x8 size = i16_dot_bytes(ones, i8_abs(first)) + i16_dot_bytes(ones, i8_abs(second));
            excess |= size > 258;
        }
    i32x4 any = (i32x4)excess;
    return !(any[0] | any[1] | any[2] | any[3]);
}

static void block_i8(hc_dot dot, int panels, const hc_q7 *a, size_t a_stride, int m, int groups, const int8_t *b, size_t b_panel, int32_t *sums)
{
    if (dot == HC_DOT_QUADS)
        block_quads(panels, a, a_stride, m, groups, b, b_panel, sums);
    else if (m >= FOURS_ROWS && allows_fours(b, groups))
        block_fours(a, a_stride, m, groups, b, sums);
    else
        block_pairs(panels, a, a_stride, m, groups, b, b_panel, sums);
}
#else
static void block_wide(const hc_q7 *a, size_t a_stride, int m, int groups, const int8_t *b, int32_t *sums)
{
    int16_t wide[STRETCH * HC_PANEL];
    for (int at = 0, count; at < groups; at += count) {
        count = groups - at < STRETCH / HC_DEPTH ? groups - at : STRETCH / HC_DEPTH;
        const int8_t *from = b + at * HC_PANEL * HC_DEPTH;
        for (int i = 0; i < count * HC_PANEL * HC_DEPTH; i += 16) {
            i16x8 first, last;
            i16_widen_pairs(i8_load(from + i), &first, &last);
            i16_store(wide + i, first);
            i16_store(wide + i + 8, last);
        }
        tiles(WIDE, 1, a + at * HC_DEPTH, a_stride, m, count, wide, 0, sums);
    }
}

static void block_i8(hc_dot dot, int panels, const hc_q7 *a, size_t a_stride, int m, int groups, const int8_t *b, size_t b_panel, int32_t *sums)
{
    (void)dot;
    if (m > FEW_ROWS)
        block_wide(a, a_stride, m, groups, b, sums);
    else
        few(WIDEN, panels, a, a_stride, m, groups, b, b_panel, sums);
}
#endif

/* scaled [rows][width] = the float values of the sums. */
static void scale_sums(const hc_matrix *w, const float *a_scale, const int32_t *a_zero, int rows, int width, int column, const int32_t *sums, float *scaled)
{
    for (int c = 0; c < width; c += 4) {
        f32x4 scale = f32_load(w->scale + column + c);
        i32x4 sum = i32_load(w->sum + column + c);
        for (int r = 0; r < rows; r++) {
            i32x4 exact = i32_load(sums + r * width + c) - a_zero[r] * sum;
            f32_store(scaled + r * width + c, scale * a_scale[r] * f32_from_i32(exact));
        }
    }
}

void hc_gemm_i8(const hc_matrix *w, const hc_rows *a, int m, const hc_epilogue *epilogue, float *out, size_t out_stride)
{
    int32_t sums[BLOCK_ROWS * HC_PANEL];
    float scaled[BLOCK_ROWS * HC_PANEL];
    int all_panels = (w->n + HC_PANEL - 1) / HC_PANEL, groups = (w->k + HC_DEPTH - 1) / HC_DEPTH;
    size_t panel_size = (size_t)groups * HC_PANEL * HC_DEPTH;
    int blocks = tile_count(m, BLOCK_ROWS);
    for (int i = 0; i < blocks; i++) {
        int row = tile_first_row(m, blocks, i), rows = tile_first_row(m, blocks, i + 1) - row;
        hc_epilogue e = *epilogue;
        e.residual = e.residual ? e.residual + (size_t)row * out_stride : NULL;
        for (int panel = 0, panels; panel < all_panels; panel += panels) {
            panels = tile_panels(rows);
            panels = panels <= all_panels - panel ? panels : 1;
            int width = panels * HC_PANEL, column = panel * HC_PANEL, columns = w->n - column < width ? w->n - column : width;
            memset(sums, 0, (size_t)(rows * width) * sizeof *sums);
            block_i8(a->dot, panels, a->q + (size_t)row * a->stride, a->stride, rows, groups, (const int8_t *)w->data + (size_t)panel * panel_size,
                     panel_size, sums);
            scale_sums(w, a->scale + row, a->zero + row, rows, width, column, sums, scaled);
            hc_epilogue_apply(&e, scaled, width, rows, column, columns, out + (size_t)row * out_stride, out_stride);
        }
    }
}
