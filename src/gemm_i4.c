/* gemm_i4.c: out = a · wᵀ for int4 weights, in groups of 32 with a scale each, and 7-bit activations. A panel is widened once
 * for many rows, into the first-level cache, and in registers for few.
 *
 * With w = scale_g q_w and a = scale_a (q_a - zero): the sum over k is scale_a (sum over g of scale_g (sum of q_a q_w) - zero
 * (sum of w)). A group's sum of q_a q_w is an exact integer, of at most 32 * 127 * 8 = 32,512, so that 16 bits hold any part of
 * it; multiplications and additions of floats are never contracted and go in the order of k: the same bits everywhere.
 */
#include "tile.h"

/* How a tile multiplies: by 16-bit sums of two products, by one instruction for four, or by 16-bit numbers. */
typedef enum multiply { BYTE_PAIRS, BYTE_QUADS, WIDE } multiply;

enum {
    BLOCK_ROWS = 128,                       /* rows whose sums lie on the stack                  */
    FEW_ROWS = 4,                           /* up to which a panel is widened in registers       */
    STRETCH = 32,                           /* groups of k widened at once                       */
    STEPS = HC_GROUP / HC_DEPTH,            /* of k in a group                                   */
    STEP = HC_PANEL * HC_DEPTH,             /* values of a panel in a step                       */
    PACKED_GROUP = HC_PANEL * HC_GROUP_BYTES
};

/* LLVM unrolls the few steps of a group all at once and loads ahead, more than the registers hold. */
#ifdef __clang__
#define NOT_UNROLLED _Pragma("clang loop unroll(disable)")
#else
#define NOT_UNROLLED
#endif

#ifdef HC_Q7_IS_BYTE
typedef int8_t wide_weight;
#else
typedef int16_t wide_weight;
#endif

/* A stretch of one or more panels: packed or widened weights, and the scales of its groups as floats. */
typedef struct stretch {
    int groups;
    const uint8_t *packed;      /* or NULL: widened                     */
    const wide_weight *wide;
    size_t panel;               /* from one panel to the next, in bytes */
    const float *scale;         /* [panels][STRETCH][8]                 */
} stretch;

/* The 32 values of a step: two vectors of four channels. With its sign bit turned a value is 8 too large, and positive. */
SIMD_INLINE void i8_unpack(const uint8_t *p, i32x4 eights, i32x4 fifteens, i8x16 w[2])
{
    i32x4 pairs = (i32x4)i8_load((const int8_t *)p) ^ (eights | eights << 4);
    w[0] = (i8x16)(pairs & fifteens) - (i8x16)eights;
    w[1] = (i8x16)((i32x4)((u32x4)pairs >> 4) & fifteens) - (i8x16)eights;
}

/* exact [rows][2 panels] = a · w over one group. */
#ifdef HC_Q7_IS_BYTE
SIMD_INLINE void group_sums(multiply how, int packed, int rows, int panels, const hc_q7 *a, size_t a_stride, const stretch *s,
                            int group, i32x4 exact[TILE_ROWS][2 * TILE_PANELS])
{
    i32x4 eights = i32_constant(0x08080808), fifteens = i32_constant(0x0F0F0F0F);
    i16x8 sums[TILE_ROWS][2 * TILE_PANELS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++) {
            sums[r][c] = i16_splat(0);
            exact[r][c] = i32_splat(0);
        }
    NOT_UNROLLED
    for (int step = 0; step < STEPS; step++, a += HC_DEPTH) {
        i8x16 w[2 * TILE_PANELS];
        for (int p = 0; p < panels; p++) {
            size_t at = (size_t)p * s->panel + (size_t)(group * STEPS + step) * (packed ? HC_GROUP_BYTES : STEP);
            if (packed) {
                i8_unpack(s->packed + at, eights, fifteens, w + 2 * p);
            } else {
                w[2 * p] = i8_load(s->wide + at);
                w[2 * p + 1] = i8_load(s->wide + at + 16);
            }
        }
        for (int r = 0; r < rows; r++) {
            u8x16 x = (u8x16)i32_load_splat(a + (size_t)r * a_stride);
            for (int c = 0; c < 2 * panels; c++) {
                if (how == BYTE_QUADS) exact[r][c] = i32_dot_quads(exact[r][c], x, w[c]);
                else sums[r][c] += i16_dot_bytes(x, w[c]);
            }
        }
    }
    i16x8 ones = (i16x8)i32_constant(0x00010001);
    for (int r = 0; r < rows && how == BYTE_PAIRS; r++)
        for (int c = 0; c < 2 * panels; c++) exact[r][c] = i32_dot_i16(sums[r][c], ones);
}
#else
SIMD_INLINE void group_sums(multiply how, int packed, int rows, int panels, const hc_q7 *a, size_t a_stride, const stretch *s,
                            int group, i32x4 exact[TILE_ROWS][2 * TILE_PANELS])
{
    (void)how;
    i32x4 eights = i32_constant(0x08080808), fifteens = i32_constant(0x0F0F0F0F);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++) exact[r][c] = i32_splat(0);
    NOT_UNROLLED
    for (int step = 0; step < STEPS; step++, a += HC_DEPTH) {
        i16x8 w[2][2 * TILE_PANELS];
        for (int p = 0; p < panels; p++) {
            size_t index = (size_t)(group * STEPS + step);
            if (packed) {
                i8x16 bytes[2];
                i8_unpack(s->packed + (size_t)p * s->panel + index * HC_GROUP_BYTES, eights, fifteens, bytes);
                for (int c = 0; c < 2; c++) i16_widen_pairs(bytes[c], &w[0][2 * p + c], &w[1][2 * p + c]);
            } else {
                for (int i = 0; i < 4; i++) w[i % 2][i / 2] = i16_load(s->wide + index * STEP + (size_t)i * 8);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int half = 0; half < 2; half++) {
                i16x8 x = (i16x8)i32_load_splat(a + (size_t)r * a_stride + 2 * half);
                for (int c = 0; c < 2 * panels; c++) exact[r][c] += i32_dot_i16(x, w[half][c]);
            }
    }
}
#endif

/* sums [rows][8 panels] += a · w over a stretch. */
SIMD_INLINE void tile_i4(multiply how, int packed, int rows, int panels, const hc_q7 *a, size_t a_stride, const stretch *s,
                         float *sums)
{
    for (int group = 0; group < s->groups; group++, a += HC_GROUP) {
        i32x4 exact[TILE_ROWS][2 * TILE_PANELS];
        group_sums(how, packed, rows, panels, a, a_stride, s, group, exact);
        for (int c = 0; c < 2 * panels; c++) {
            f32x4 scale = f32_load(s->scale + (c / 2 * STRETCH + group) * HC_PANEL + c % 2 * 4);
            for (int r = 0; r < rows; r++) {
                float *sum = sums + (r * panels * 2 + c) * 4;
                f32x4 scaled = f32_from_i32(exact[r][c]) * scale;
                f32_store(sum, f32_load(sum) + scaled);
            }
        }
    }
}

/* m rows, of which a tile takes as many as fit the registers. */
SIMD_INLINE void tiles(multiply how, int packed, int panels, const hc_q7 *a, size_t a_stride, int m, const stretch *s, float *sums)
{
    int most = panels > 1 ? 4 / panels : TILE_ROWS, count = tile_count(m, most);
    for (int i = 0; i < count; i++) {
        int first = tile_first_row(m, count, i), rows = tile_first_row(m, count, i + 1) - first;
        const hc_q7 *from = a + (size_t)first * a_stride;
        float *to = sums + first * panels * HC_PANEL;
#define TILE(n)                                                                     \
    case n:                                                                         \
        if (n <= most) tile_i4(how, packed, n, panels, from, a_stride, s, to);      \
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

SIMD_INLINE void any_tiles(multiply how, int panels, const hc_q7 *a, size_t a_stride, int m, const stretch *s, float *sums)
{
    if (!s->packed) tiles(how, 0, 1, a, a_stride, m, s, sums);
    else if (panels == 4) tiles(how, 1, 4, a, a_stride, m, s, sums);
    else if (panels == 2) tiles(how, 1, 2, a, a_stride, m, s, sums);
    else tiles(how, 1, 1, a, a_stride, m, s, sums);
}

#ifdef HC_Q7_IS_BYTE
static void block_pairs(int panels, const hc_q7 *a, size_t a_stride, int m, const stretch *s, float *sums)
{
    any_tiles(BYTE_PAIRS, panels, a, a_stride, m, s, sums);
}

static void block_quads(int panels, const hc_q7 *a, size_t a_stride, int m, const stretch *s, float *sums)
{
    any_tiles(BYTE_QUADS, panels, a, a_stride, m, s, sums);
}

static void block_i4(hc_dot dot, int panels, const hc_q7 *a, size_t a_stride, int m, const stretch *s, float *sums)
{
    if (dot == HC_DOT_QUADS) block_quads(panels, a, a_stride, m, s, sums);
    else block_pairs(panels, a, a_stride, m, s, sums);
}
#else
static void block_i4(hc_dot dot, int panels, const hc_q7 *a, size_t a_stride, int m, const stretch *s, float *sums)
{
    (void)dot;
    any_tiles(WIDE, panels, a, a_stride, m, s, sums);
}
#endif

static void widen(const uint8_t *packed, int groups, wide_weight *wide)
{
    i32x4 eights = i32_constant(0x08080808), fifteens = i32_constant(0x0F0F0F0F);
    for (int step = 0; step < groups * STEPS; step++, packed += HC_GROUP_BYTES, wide += STEP) {
        i8x16 w[2];
        i8_unpack(packed, eights, fifteens, w);
        for (int c = 0; c < 2; c++) {
#ifdef HC_Q7_IS_BYTE
            memcpy(wide + 16 * c, &w[c], sizeof w[c]);
#else
            i16x8 first, last;
            i16_widen_pairs(w[c], &first, &last);
            i16_store(wide + 16 * c, first);
            i16_store(wide + 16 * c + 8, last);
#endif
        }
    }
}

/* sums [m][8 panels] of one or more panels from `panel` on. */
static void panel_sums(const hc_matrix *w, const hc_rows *rows, const hc_q7 *a, int m, int panel, int panels, float *sums)
{
    wide_weight wide[STRETCH * STEPS * STEP];
    float scale[TILE_PANELS * STRETCH * HC_PANEL];
    size_t groups = hc_groups(w->k);
    memset(sums, 0, (size_t)(m * panels * HC_PANEL) * sizeof *sums);
    for (size_t at = 0; at < groups; at += STRETCH) {
        size_t first = (size_t)panel * groups + at, count = groups - at < STRETCH ? groups - at : STRETCH;
        stretch s = {.groups = (int)count, .packed = (const uint8_t *)w->data + first * PACKED_GROUP, .wide = wide,
                     .panel = groups * PACKED_GROUP, .scale = scale};
        for (int p = 0; p < panels; p++)
            hc_halves_to_floats(w->group_scale + (first + (size_t)p * groups) * HC_PANEL, scale + p * STRETCH * HC_PANEL,
                                count * HC_PANEL);
        if (m > FEW_ROWS) {
            widen(s.packed, s.groups, wide);
            s.packed = NULL;
        }
        block_i4(rows->dot, panels, a + at * HC_GROUP, rows->stride, m, &s, sums);
    }
}

void hc_gemm_i4(const hc_matrix *w, const hc_rows *a, int m, const hc_epilogue *epilogue, float *out, size_t out_stride)
{
    float sums[BLOCK_ROWS * HC_PANEL];
    int all_panels = (w->n + HC_PANEL - 1) / HC_PANEL, blocks = tile_count(m, BLOCK_ROWS);
    for (int i = 0; i < blocks; i++) {
        int row = tile_first_row(m, blocks, i), rows = tile_first_row(m, blocks, i + 1) - row;
        hc_epilogue e = *epilogue;
        e.residual = e.residual ? e.residual + (size_t)row * out_stride : NULL;
        for (int panel = 0, panels; panel < all_panels; panel += panels) {
            panels = tile_panels(rows);
            panels = panels <= all_panels - panel ? panels : 1;
            int width = panels * HC_PANEL, column = panel * HC_PANEL, columns = w->n - column < width ? w->n - column : width;
            panel_sums(w, a, a->q + (size_t)row * a->stride, rows, panel, panels, sums);
            for (int c = 0; c < width; c += 4) {
                f32x4 total = f32_load(w->total + column + c);
                for (int r = 0; r < rows; r++) {
                    float *sum = sums + r * width + c;
                    f32_store(sum, (f32_load(sum) - total * (float)a->zero[row + r]) * a->scale[row + r]);
                }
            }
            hc_epilogue_apply(&e, sums, width, rows, column, columns, out + (size_t)row * out_stride, out_stride);
        }
    }
}
