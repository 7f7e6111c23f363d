/* rows.c: puts rows of floats in the order of hc_rows, at 7 bits where the weights are quantised. */
#include "kernels/lane.h"
#include "kernels/simd.h"

#include <math.h>

/* The most rows of a tile: as many as leave enough of the 16 registers of x86-64 for a panel's values, a row's, and
 * products. A product that is added in the same instruction needs no register. */
static int most_rows(const hc_rows *rows, int quantised)
{
    int in_one = 0;
#ifdef HC_HAS_FMA
    in_one |= !quantised;
#endif
#ifdef HC_Q7_IS_BYTE
    in_one |= quantised && rows->dot == HC_DOT_QUADS;
#endif
    (void)rows, (void)quantised;
    return in_one ? 6 : 4;
}

void hc_rows_lay(hc_rows *rows, const hc_matrix *w, int count, void *values)
{
    int quantised = hc_is_quantised(w->storage);
    rows->count = count;
    rows->k = w->k;
    rows->most = most_rows(rows, quantised);
    rows->depth = quantised ? hc_round_up((size_t)w->k, HC_GROUP) : (size_t)w->k;
    rows->x = quantised ? NULL : values;
    rows->q = quantised ? values : NULL;
}

void hc_rows_put_part(const hc_rows *rows, int row, int first, const float *x, int n)
{
    hc_lane l = hc_lane_of(rows, row);
    size_t step = (size_t)l.rows;
    float *to = rows->x + l.begin + (size_t)first * step + (size_t)l.number;
    int i = 0;
    for (; i + 4 <= n; i += 4, to += 4 * step) {
        f32x4 v = f32_load(x + i);
        if (rows->exact) v = f32_round_to(13, v);
        for (int j = 0; j < 4; j++) to[(size_t)j * step] = v[j];
    }
    for (; i < n; i++, to += step) *to = rows->exact ? f32_round_to(13, f32_splat(x[i]))[0] : x[i];
}

/* ---- 7 bits ---- */

/* The smallest scale whose inverse is finite and normal. */
static const float SMALLEST_SCALE = 1e-37f;

/* Sixteen values to levels, four steps of k. Clamping comes first and turns NaN into a number, so that rounding stays
 * in range. */
SIMD_INLINE void quantise_16(const float *x, float inverse, int32_t zero, hc_q7 *q, size_t step)
{
    f32x4 lowest = f32_splat((float)-zero), highest = f32_splat((float)(127 - zero));
    i32x4 v[4];
    for (int j = 0; j < 4; j++)
        v[j] = i32_round(f32_min(highest, f32_max(lowest, f32_load(x + 4 * j) * inverse))) + zero;
    i16x8 low = i16_narrow(v[0], v[1]), high = i16_narrow(v[2], v[3]);
#ifdef HC_Q7_IS_BYTE
    i32x4 bytes = (i32x4)u8_narrow(low, high);
    for (int j = 0; j < 4; j++) {
        int32_t four = bytes[j];
        memcpy(q + (size_t)j * step, &four, sizeof four);
    }
#else
    i64x2 halves[2] = {(i64x2)low, (i64x2)high};
    for (int j = 0; j < 4; j++) {
        int64_t four = halves[j / 2][j % 2];
        memcpy(q + (size_t)j * step, &four, sizeof four);
    }
#endif
}

int hc_range_of(const float *x, int k, float *smallest, float *largest)
{
    f32x4 low[2] = {f32_splat(0), f32_splat(0)}, high[2] = {f32_splat(0), f32_splat(0)};
    i32x4 nan = i32_splat(0);
    int i = 0, bad = 0;
    for (; i + 8 <= k; i += 8)
        for (int j = 0; j < 2; j++) {
            f32x4 v = f32_load(x + i + 4 * j);
            low[j] = f32_min(low[j], v);
            high[j] = f32_max(high[j], v);
            nan |= v != v;
        }
    *smallest = f32_smallest(f32_min(low[0], low[1]));
    *largest = f32_largest(f32_max(high[0], high[1]));
    for (; i < k; i++) {
        *smallest = x[i] < *smallest ? x[i] : *smallest;
        *largest = x[i] > *largest ? x[i] : *largest;
        bad |= x[i] != x[i];
    }
    return !bad && !i32_any(nan) && *largest < INFINITY && *smallest > -INFINITY;
}

hc_levels hc_rows_set_range(const hc_rows *rows, int row, float smallest, float largest, int finite)
{
    float scale = largest * (1.0f / 127) - smallest * (1.0f / 127), inverse = 0;
    i32x4 nearest = i32_splat(0);
    if (scale >= SMALLEST_SCALE) {
        inverse = 1.0f / scale;
        nearest = i32_round(f32_min(f32_splat(127), f32_max(f32_splat(0), f32_splat(-smallest * inverse))));
    } else {
        scale = 0;
    }
    rows->scale[row] = finite ? scale : NAN; /* the row's results must not look sound */
    rows->zero[row] = nearest[0];
    return (hc_levels){inverse, nearest[0]};
}

static void put_quantised(const hc_rows *rows, int row, const float *x)
{
    hc_lane l = hc_lane_of(rows, row);
    size_t step = (size_t)l.rows * HC_DEPTH, steps = rows->depth / HC_DEPTH, at = 0;
    hc_q7 *q = rows->q + l.begin + (size_t)l.number * HC_DEPTH;
    int k = rows->k, i = 0;
    float smallest, largest;
    int finite = hc_range_of(x, k, &smallest, &largest);
    hc_levels to = hc_rows_set_range(rows, row, smallest, largest, finite);
    if (to.inverse > 0) {
        float rest[16] = {0};
        for (; i + 16 <= k; i += 16, at += 4) quantise_16(x + i, to.inverse, to.zero, q + at * step, step);
        if (i < k) {
            hc_q7 levels[16];
            memcpy(rest, x + i, (size_t)(k - i) * sizeof *rest);
            quantise_16(rest, to.inverse, to.zero, levels, HC_DEPTH);
            memset(levels + (k - i), 0, (size_t)(16 - (k - i)) * sizeof *levels);
            for (int j = 0; j < 4; j++, at++) memcpy(q + at * step, levels + j * HC_DEPTH, HC_DEPTH * sizeof *q);
        }
    }
    for (; at < steps; at++) memset(q + at * step, 0, HC_DEPTH * sizeof *q);
}

void hc_rows_put(const hc_rows *rows, int row, const float *x)
{
    if (rows->q) put_quantised(rows, row, x);
    else hc_rows_put_part(rows, row, 0, x, rows->k);
}
