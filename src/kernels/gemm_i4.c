/* gemm_i4.c: sums for int4 weights, in groups of 32 with a scale each, and 7-bit activations. A panel is widened once
 * for many rows, into the first-level cache, and in registers for few. Outliers come behind the groups of a stretch.
 *
 * A group's sum of q_a q_w is an exact integer, of at most 32 * 127 * 8 = 32,512, so that 16 bits hold any part of it.
 * Groups are scaled and added as floats, in the order of k and never contracted: the same bits everywhere.
 */
#include "kernels/gemm.h"
#include "kernels/levels.h"
#include "kernels/tile.h"

/* How a tile multiplies: by 16-bit sums of two products, by one instruction for four, or by 16-bit numbers. */
typedef enum multiply { PAIRS, QUADS, WIDE } multiply;

enum {
    FEW_ROWS = 4,                /* up to which a panel is widened in registers       */
    STRETCH = 32,                /* groups of k widened at once                       */
    STEPS = HC_GROUP / HC_DEPTH, /* of k in a group                                   */
    STEP = HC_PANEL * HC_DEPTH,  /* values of a panel in a step                       */
    PACKED_GROUP = HC_PANEL * HC_GROUP_BYTES
};

#ifdef HC_Q7_IS_BYTE
typedef int8_t wide_weight;
#else
typedef int16_t wide_weight;
#endif

/* A stretch of one or more panels: packed or widened weights, and the scales of its groups as floats. */
typedef struct stretch {
    int groups;
    const uint8_t *packed; /* or NULL: widened                     */
    const wide_weight *wide;
    size_t panel;       /* from one panel to the next, in bytes */
    const float *scale; /* [panels][STRETCH][8]                 */
} stretch;

/* The 32 values of a step: two vectors of four channels. With its sign bit turned a value is 8 too large, and positive.
 */
SIMD_INLINE void i8_unpack(const uint8_t *p, i32x4 eights, i32x4 fifteens, i8x16 w[2])
{
    i32x4 pairs = (i32x4)i8_load((const int8_t *)p) ^ (eights | eights << 4);
    w[0] = (i8x16)(pairs & fifteens) - (i8x16)eights;
    w[1] = (i8x16)((i32x4)((u32x4)pairs >> 4) & fifteens) - (i8x16)eights;
}

/* exact [rows][2 panels] = a · w over one group, whose first step is at `at`, packed or wide. */
SIMD_INLINE void group_sums(multiply how, int packed, int rows, int panels, const hc_q7 *a, const void *at,
                            size_t panel, i32x4 exact[TILE_MOST_ROWS][2 * TILE_MOST_PANELS])
{
    (void)how;
    i32x4 eights = i32_constant(0x08080808), fifteens = i32_constant(0x0F0F0F0F);
    const uint8_t *nibbles = at;
    const wide_weight *wide = at;
#ifdef HC_Q7_IS_BYTE
    i16x8 sums[TILE_MOST_ROWS][2 * TILE_MOST_PANELS];
#endif
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++) {
            exact[r][c] = i32_splat(0);
#ifdef HC_Q7_IS_BYTE
            sums[r][c] = i16_splat(0);
#endif
        }
    NOT_UNROLLED
    for (int step = 0; step < STEPS;
         step++, a += rows * HC_DEPTH, nibbles += packed ? HC_GROUP_BYTES : 0, wide += packed ? 0 : STEP) {
#ifdef HC_Q7_IS_BYTE
        i8x16 w[2 * TILE_MOST_PANELS];
        for (int p = 0; p < panels; p++) {
            if (packed) {
                i8_unpack(nibbles + (size_t)p * panel, eights, fifteens, w + 2 * p);
            } else {
                w[0] = i8_load(wide);
                w[1] = i8_load(wide + 16);
            }
        }
        for (int r = 0; r < rows; r++) {
            __asm__ volatile("" ::
                                 : "memory"); /* LLVM would load the values of all rows first, more than the registers
                                                 hold: a tenth of the speed */
            u8x16 x = (u8x16)i32_load_splat(a + r * HC_DEPTH);
            for (int c = 0; c < 2 * panels; c++) {
                if (how == QUADS) exact[r][c] = i32_dot_quads(exact[r][c], x, w[c]);
                else sums[r][c] += i16_dot_bytes(x, w[c]);
            }
        }
#else
        i16x8 w[2][2 * TILE_MOST_PANELS];
        for (int p = 0; p < panels; p++) {
            if (packed) {
                i8x16 bytes[2];
                i8_unpack(nibbles + (size_t)p * panel, eights, fifteens, bytes);
                for (int c = 0; c < 2; c++) i16_widen_pairs(bytes[c], &w[0][2 * p + c], &w[1][2 * p + c]);
            } else {
                for (int i = 0; i < 4; i++) w[i % 2][i / 2] = i16_load(wide + i * 8);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int half = 0; half < 2; half++) {
                i16x8 x = (i16x8)i32_load_splat(a + r * HC_DEPTH + 2 * half);
                for (int c = 0; c < 2 * panels; c++) exact[r][c] += i32_dot_i16(x, w[half][c]);
            }
#endif
    }
#ifdef HC_Q7_IS_BYTE
    i16x8 ones = (i16x8)i32_constant(0x00010001);
    for (int r = 0; r < rows && how == PAIRS; r++)
        for (int c = 0; c < 2 * panels; c++) exact[r][c] = i32_dot_i16(sums[r][c], ones);
#endif
}

/* sums [rows][8 panels] += a · w over a stretch. */
SIMD_INLINE void tile_i4(multiply how, int packed, int rows, int panels, const hc_q7 *a, const stretch *s, float *sums,
                         const ahead *next)
{
    const char *line = next->at;
    const uint8_t *nibbles = s->packed;
    const wide_weight *wide = s->wide;
    const float *scales = s->scale;
    NOT_UNROLLED
    for (int group = 0, wait = 0, groups = s->groups; group < groups; group++) {
        if (!wait--) {
            wait = next->pace - 1;
            line = look(line);
        }
        i32x4 exact[TILE_MOST_ROWS][2 * TILE_MOST_PANELS];
        group_sums(how, packed, rows, panels, a, packed ? (const void *)nibbles : wide, s->panel, exact);
        f32x4 scale[2 * TILE_MOST_PANELS];
        for (int c = 0; c < 2 * panels; c++) scale[c] = f32_load(scales + c / 2 * STRETCH * HC_PANEL + c % 2 * 4);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2 * panels; c++) {
                float *sum = sums + (r * panels * 2 + c) * 4;
                f32x4 scaled = f32_from_i32(exact[r][c]) * scale[c];
                f32_store(sum, f32_load(sum) + scaled);
            }
        a += rows * HC_GROUP;
        if (packed) nibbles += PACKED_GROUP;
        else wide += STEPS * STEP;
        scales += HC_PANEL;
    }
}

#define TILE(rows, panels, how, packed, name)                                                                   \
    NOT_INLINED void name##_##rows##x##panels(const hc_q7 *a, const stretch *s, float *sums, const ahead *next) \
    {                                                                                                           \
        tile_i4(how, packed, rows, panels, a, s, sums, next);                                                   \
    }

#ifdef HC_Q7_IS_BYTE
/* Few rows against packed weights: they are never two tiles. */
FEW_TILES(TILE, PAIRS, 1, PAIRS_packed)
TILE(2, 1, PAIRS, 0, PAIRS_wide)
TILE(3, 1, PAIRS, 0, PAIRS_wide)
TILE(4, 1, PAIRS, 0, PAIRS_wide)
FEW_TILES(TILE, QUADS, 1, QUADS_packed)
TILE(3, 1, QUADS, 0, QUADS_wide)
TILE(4, 1, QUADS, 0, QUADS_wide)
TILE(5, 1, QUADS, 0, QUADS_wide)
TILE(6, 1, QUADS, 0, QUADS_wide)

static void tile(hc_dot dot, int rows, int panels, const hc_q7 *a, const stretch *s, float *sums, const ahead *next)
{
    if (s->packed && dot == HC_DOT_QUADS) {
        CALL_FEW(QUADS_packed, rows, panels, a, s, sums, next);
    } else if (s->packed) {
        CALL_FEW(PAIRS_packed, rows, panels, a, s, sums, next);
    } else if (dot == HC_DOT_QUADS) {
        (rows == 6   ? QUADS_wide_6x1
         : rows == 5 ? QUADS_wide_5x1
         : rows == 4 ? QUADS_wide_4x1
                     : QUADS_wide_3x1)(a, s, sums, next);
    } else {
        (rows == 4 ? PAIRS_wide_4x1 : rows == 3 ? PAIRS_wide_3x1 : PAIRS_wide_2x1)(a, s, sums, next);
    }
}
#else
FEW_TILES(TILE, WIDE, 1, WIDE_packed)
TILE(2, 1, WIDE, 0, WIDE_wide)
TILE(3, 1, WIDE, 0, WIDE_wide)
TILE(4, 1, WIDE, 0, WIDE_wide)

static void tile(hc_dot dot, int rows, int panels, const hc_q7 *a, const stretch *s, float *sums, const ahead *next)
{
    (void)dot;
    if (s->packed) {
        CALL_FEW(WIDE_packed, rows, panels, a, s, sums, next);
    } else {
        (rows == 4 ? WIDE_wide_4x1 : rows == 3 ? WIDE_wide_3x1 : WIDE_wide_2x1)(a, s, sums, next);
    }
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

/* ---- outliers ---- */

/* sums [rows of the tiles][8 panels] += their outliers times the panels, as far as they lie in a stretch, which begins
 * at step `begin` and in the panels at `packed`: those that are taken away, then those that are added, each times its
 * group's scale. */
static void add_outliers(const hc_tiles *tiles, int panels, int begin, const uint8_t *packed, const stretch *s,
                         float *sums)
{
    const hc_rows *a = tiles->a;
    uint32_t steps = (uint32_t)(s->groups * STEPS);
    int end = hc_tiles_row(tiles, tiles->last);
    i32x4 eights = i32_constant(0x08080808), fifteens = i32_constant(0x0F0F0F0F);
#ifdef HC_Q7_IS_BYTE
    i16x8 ones = (i16x8)i32_constant(0x00010001);
#endif
    for (int row = tiles->first_row; row < end; row++)
        for (int p = 0; p < panels; p++, sums += HC_PANEL) {
            f32x4 sum[2] = {f32_load(sums), f32_load(sums + 4)};
            NOT_UNROLLED
            for (int above = 0; above < 2; above++) {
                const hc_outlier *o = hc_rows_outliers(a, row, above), *last = o + (above ? a->above : a->below)[row];
                float factor = above ? 128 : -128;
                NOT_UNROLLED
                for (; o < last; o++) {
                    size_t step = o->step - (uint32_t)begin;
                    if (step >= steps) continue;
                    const float *scale = s->scale + (size_t)p * STRETCH * HC_PANEL + step / STEPS * HC_PANEL;
                    i8x16 w[2];
                    i8_unpack(packed + (size_t)p * s->panel + step * HC_GROUP_BYTES, eights, fifteens, w);
                    for (int c = 0; c < 2; c++) {
#ifdef HC_Q7_IS_BYTE
                        i32x4 exact = i32_dot_i16(i16_dot_bytes((u8x16)i32_load_splat(o->digits), w[c]), ones);
#else
                        i16x8 low, high;
                        i16_widen_pairs(w[c], &low, &high);
                        i32x4 exact = i32_dot_i16((i16x8)i32_load_splat(o->digits), low) +
                                      i32_dot_i16((i16x8)i32_load_splat(o->digits + 2), high);
#endif
                        f32x4 scaled = f32_from_i32(exact) * (f32_load(scale + 4 * c) * factor);
                        sum[c] += scaled;
                    }
                }
            }
            for (int c = 0; c < 2; c++) f32_store(sums + 4 * c, sum[c]);
        }
}

void hc_panel_i4(const hc_matrix *w, const hc_tiles *tiles, int panel, int panels, float *sums)
{
    wide_weight wide[STRETCH * STEPS * STEP];
    float scale[TILE_MOST_PANELS * STRETCH * HC_PANEL];
    const hc_rows *a = tiles->a;
    size_t groups = hc_groups(w->k);
    int width = panels * HC_PANEL;
    memset(sums, 0, (size_t)((hc_tiles_row(tiles, tiles->last) - tiles->first_row) * width) * sizeof *sums);
    for (size_t at = 0; at < groups; at += STRETCH) {
        size_t first = (size_t)panel * groups + at, count = groups - at < STRETCH ? groups - at : STRETCH;
        const uint8_t *packed = (const uint8_t *)w->data + first * PACKED_GROUP;
        stretch s = {
            .groups = (int)count, .packed = packed, .wide = wide, .panel = groups * PACKED_GROUP, .scale = scale};
        for (int p = 0; p < panels; p++)
            hc_halves_to_floats(w->group_scale + (first + (size_t)p * groups) * HC_PANEL,
                                scale + p * STRETCH * HC_PANEL, count * HC_PANEL);
        if (a->count > FEW_ROWS) {
            widen(s.packed, s.groups, wide);
            s.packed = NULL;
        }
        ahead_of_all all = look_ahead(packed + tiles->next_panel * groups * PACKED_GROUP,
                                      count * PACKED_GROUP * (size_t)panels, tiles->last - tiles->first, s.groups);
        for (hc_tile t = hc_tiles_begin(tiles); !hc_tiles_end(tiles, &t); hc_tiles_next(tiles, &t)) {
            ahead line = ahead_of_tile(&all, t.index);
            tile(a->dot, t.rows, panels, a->q + (size_t)t.row * a->depth + at * HC_GROUP * (size_t)t.rows, &s,
                 sums + (t.row - tiles->first_row) * width, &line);
        }
        if (a->most_outliers) add_outliers(tiles, panels, (int)at * STEPS, packed, &s, sums);
    }
}
