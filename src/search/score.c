/* score.c: products of a query with the rows of blocks. What limits it is how fast memory gives the rows: four are read
 * at a time, of four blocks, which lie in pages of their own, because a processor fetches several streams at once
 * faster than one. */
#include "search/search.h"

#include "kernels/simd.h"

enum { ROWS = 4 };

#ifdef HC_Q7_IS_BYTE
/* Byte products need one side from 0 to 127: the query's sizes, and the row with the query's signs. No sum of two
 * products leaves 16 bits. */
void hc_search_prepare(const int8_t *query, int width, void *prepared)
{
    uint8_t *sizes = prepared;
    for (int i = 0; i < width; i += 16) {
        i8x16 q = i8_load(query + i);
        u8_store(sizes + 2 * i, (u8x16)i8_abs(q));
        u8_store(sizes + 2 * i + 16, (u8x16)(q < 0));
    }
}

SIMD_INLINE void add_products(i32x4 sums[ROWS], const void *const rows[ROWS], const void *prepared, int i)
{
    const uint8_t *sizes = (const uint8_t *)prepared + 2 * i;
    u8x16 size = u8_load(sizes);
    i8x16 sign = (i8x16)u8_load(sizes + 16);
    for (int r = 0; r < ROWS; r++) {
        i8x16 x = i8_load((const int8_t *)rows[r] + i);
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

SIMD_INLINE void add_products(i32x4 sums[ROWS], const void *const rows[ROWS], const void *prepared, int i)
{
    const int16_t *wide = prepared;
    i16x8 low = i16_load(wide + i), high = i16_load(wide + i + 8);
    for (int r = 0; r < ROWS; r++) {
        const int8_t *x = (const int8_t *)rows[r] + i;
        sums[r] += i32_dot_i16(widen(x), low) + i32_dot_i16(widen(x + 8), high);
    }
}
#endif

/* The integer products of ROWS rows with a prepared query; exact in a double. */
static void dot_bytes(const void *const rows[ROWS], int width, const void *prepared, double dots[ROWS])
{
    i32x4 sums[ROWS] = {{0}};
    for (int i = 0; i < width; i += 16) add_products(sums, rows, prepared, i);
    for (int r = 0; r < ROWS; r++) dots[r] = (double)(sums[r][0] + sums[r][1] + sums[r][2] + sums[r][3]);
}

/* Number i goes to sum i % 8, in the order of the row; then these eight are added up. Never fused: the same bits
 * everywhere. */
static void dot_floats(const void *const rows[ROWS], int width, const float *query, double dots[ROWS])
{
    f32x4 low[ROWS] = {{0}}, high[ROWS] = {{0}};
    for (int i = 0; i < width; i += 8) {
        f32x4 q = f32_load(query + i), q4 = f32_load(query + i + 4);
        for (int r = 0; r < ROWS; r++) {
            const float *x = (const float *)rows[r] + i;
            low[r] += f32_load(x) * q;
            high[r] += f32_load(x + 4) * q4;
        }
    }
    for (int r = 0; r < ROWS; r++) dots[r] = (double)f32_sum(low[r] + high[r]);
}

void hc_search_score(void *blocks, size_t count, int width, int size, const void *query, double scale)
{
    size_t bytes = hc_block_bytes(width, size);
    for (size_t p = 0; p < count; p += ROWS) {
        float *scores[ROWS]; /* of the last block several times, where there are fewer */
        for (size_t i = 0; i < ROWS; i++)
            scores[i] = (float *)((char *)blocks + (p + i < count ? p + i : count - 1) * bytes);
        for (int r = 0; r < HC_BLOCK; r++) {
            const void *rows[ROWS];
            for (int i = 0; i < ROWS; i++)
                rows[i] = (const char *)(scores[i] + 2 * HC_BLOCK) + (size_t)r * (size_t)width * (size_t)size;
            double dots[ROWS];
            if (size == 1) dot_bytes(rows, width, query, dots);
            else dot_floats(rows, width, query, dots);
            for (int i = 0; i < ROWS; i++) scores[i][r] = (float)(dots[i] * (double)scores[i][HC_BLOCK + r] * scale);
        }
    }
}
