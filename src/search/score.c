/* score.c: products of a query with the rows of blocks. Four rows at a time, so that a part of the query is read once
 * for all four; what limits it is how fast memory gives the rows. */
#include "search/search.h"

#include "kernels/simd.h"

enum { ROWS = 4, LINE = 64, AHEAD = 4096 };

#ifdef HC_Q7_IS_BYTE
/* Byte products need one side from 0 to 127: the query's sizes, and the row with the query's signs. No sum of two
 * products leaves 16 bits. */
void hc_search_prepare(const int8_t *query, int width, void *prepared)
{
    uint8_t *sizes = prepared, *signs = sizes + width;
    for (int i = 0; i < width; i += 16) {
        i8x16 q = i8_load(query + i);
        u8_store(sizes + i, (u8x16)i8_abs(q));
        u8_store(signs + i, (u8x16)(q < 0));
    }
}

SIMD_INLINE void add_products(i32x4 sums[ROWS], const int8_t *rows, int width, const void *prepared, int i)
{
    const uint8_t *sizes = prepared;
    u8x16 size = u8_load(sizes + i);
    i8x16 sign = (i8x16)u8_load(sizes + width + i);
    for (int r = 0; r < ROWS; r++) {
        i8x16 x = i8_load(rows + (size_t)r * (size_t)width + i);
        sums[r] = i32_dot_quads(sums[r], size, (x ^ sign) - sign);
    }
}
#else
void hc_search_prepare(const int8_t *query, int width, void *prepared)
{
    int16_t *wide = prepared;
    for (int i = 0; i < width; i++) wide[i] = query[i];
}

typedef int8_t i8x8 __attribute__((vector_size(8)));

SIMD_INLINE i16x8 widen(const int8_t *p)
{
    i8x8 v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, i16x8);
}

SIMD_INLINE void add_products(i32x4 sums[ROWS], const int8_t *rows, int width, const void *prepared, int i)
{
    const int16_t *wide = prepared;
    i16x8 low = i16_load(wide + i), high = i16_load(wide + i + 8);
    for (int r = 0; r < ROWS; r++) {
        const int8_t *x = rows + (size_t)r * (size_t)width + i;
        sums[r] += i32_dot_i16(widen(x), low) + i32_dot_i16(widen(x + 8), high);
    }
}
#endif

/* The integer products of ROWS rows with a prepared query; exact in a double. As many bytes from `later` on will be
 * needed soon. */
static void dot_bytes(const int8_t *rows, int width, const void *prepared, const char *later, double dots[ROWS])
{
    i32x4 sums[ROWS] = {{0}};
    for (int i = 0; i < width; i += LINE / ROWS, later += LINE) {
        prefetch(later);
        add_products(sums, rows, width, prepared, i);
    }
    for (int r = 0; r < ROWS; r++) dots[r] = (double)(sums[r][0] + sums[r][1] + sums[r][2] + sums[r][3]);
}

/* Number i goes to sum i % 8, in the order of the row; then these eight are added up. Never fused: the same bits
 * everywhere. */
static void dot_floats(const float *rows, int width, const float *query, const char *later, double dots[ROWS])
{
    f32x4 low[ROWS] = {{0}}, high[ROWS] = {{0}};
    for (int i = 0; i < width; i += 8, later += 2 * LINE) {
        prefetch(later);
        prefetch(later + LINE);
        f32x4 q = f32_load(query + i), q4 = f32_load(query + i + 4);
        for (int r = 0; r < ROWS; r++) {
            const float *x = rows + (size_t)r * (size_t)width + i;
            low[r] += f32_load(x) * q;
            high[r] += f32_load(x + 4) * q4;
        }
    }
    for (int r = 0; r < ROWS; r++) dots[r] = (double)f32_sum(low[r] + high[r]);
}

void hc_search_score(void *blocks, size_t count, int width, int size, const void *query, double scale)
{
    size_t bytes = hc_block_bytes(width, size), some = ROWS * (size_t)width * (size_t)size;
    const char *end = (const char *)blocks + count * bytes;
    for (size_t p = 0; p < count; p++) {
        float *scores = (float *)((char *)blocks + p * bytes);
        const float *scales = scores + HC_BLOCK, *rows = scales + HC_BLOCK;
        for (int r = 0; r < HC_BLOCK; r += ROWS) {
            const char *at = (const char *)rows + (size_t)r / ROWS * some;
            const char *later = (size_t)(end - at) >= AHEAD + some ? at + AHEAD : at;
            double dots[ROWS];
            if (size == 1) dot_bytes((const int8_t *)at, width, query, later, dots);
            else dot_floats((const float *)at, width, query, later, dots);
            for (int i = 0; i < ROWS; i++) scores[r + i] = (float)(dots[i] * (double)scales[r + i] * scale);
        }
    }
}
