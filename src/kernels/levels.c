/* levels.c: a row of floats at 7 bits: its range, and its levels. */
#include "kernels/levels.h"
#include "kernels/lane.h"

#include <math.h>

/* The smallest scale whose inverse is finite and normal. */
static const float SMALLEST_SCALE = 1e-37f;

/* ---- the range ---- */

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

/* ---- the range by blocks ---- */

enum { BLOCK = HC_OUTLIER_BLOCK, STRETCH = 4 * BLOCK };

/* A row's blocks, and the range of all of them and 0. */
typedef struct blocks {
    hc_blocks of;
    f32x4 low, high;
    i32x4 nan;
} blocks;

static void take_stretch(blocks *b, const float *x)
{
    f32x4 most[4];
    for (int i = 0; i < 4; i++, x += BLOCK) {
        f32x4 low = f32_load(x), high = low;
        b->nan |= low != low;
        for (int j = 1; j < BLOCK / 4; j++) {
            f32x4 v = f32_load(x + 4 * j);
            low = f32_min(low, v);
            high = f32_max(high, v);
            b->nan |= v != v;
        }
        most[i] = f32_max(f32_splat(0) - low, high);
        b->low = f32_min(b->low, low);
        b->high = f32_max(b->high, high);
    }
    f32_transpose(most);
    f32_store(b->of.largest + b->of.count, f32_max(f32_max(most[0], most[1]), f32_max(most[2], most[3])));
    b->of.count += 4;
}

static void take_blocks(blocks *b, const float *x, int k)
{
    float rest[STRETCH] = {0};
    b->of.count = 0;
    b->low = b->high = f32_splat(0);
    b->nan = i32_splat(0);
    int i = 0;
    for (; i + STRETCH <= k; i += STRETCH) take_stretch(b, x + i);
    if (i == k) return;
    memcpy(rest, x + i, (size_t)(k - i) * sizeof *rest);
    take_stretch(b, rest);
}

/* The range of a row without its outliers, which lie beyond *bound. */
static int range_within(blocks *b, const float *x, int k, float *smallest, float *largest, float *bound)
{
    take_blocks(b, x, k);
    float low = f32_smallest(b->low), high = f32_largest(b->high);
    int finite = !i32_any(b->nan) && high < INFINITY && low > -INFINITY;
    if (finite) *bound = hc_outlier_bound(&b->of, high > -low ? high : -low, hc_outlier_blocks((uint64_t)k));
    *smallest = low < -*bound ? -*bound : low;
    *largest = high > *bound ? *bound : high;
    return finite;
}

/* ---- levels ---- */

SIMD_INLINE void put_block(const float *x, hc_levels to, hc_q7 *q, size_t step)
{
    i32x4 v[4];
    for (int j = 0; j < 4; j++) v[j] = levels_of(f32_load(x + 4 * j), to);
    store_levels(v, q, step);
}

void hc_rows_put_levels(const hc_rows *rows, int row, const float *x)
{
    hc_lane l = hc_lane_of(rows, row);
    size_t step = (size_t)l.rows * HC_DEPTH, steps = rows->depth / HC_DEPTH, at = 0;
    hc_q7 *q = rows->q + l.begin + (size_t)l.number * HC_DEPTH;
    int k = rows->k, i = 0, finite;
    float smallest, largest, bound = INFINITY;
    blocks b;
    if (rows->most_blocks) {
        finite = range_within(&b, x, k, &smallest, &largest, &bound);
    } else {
        finite = hc_range_of(x, k, &smallest, &largest);
    }
    hc_levels to = hc_rows_set_range(rows, row, smallest, largest, finite);
    if (rows->most_outliers) rows->above[row] = rows->below[row] = 0;
    if (to.inverse > 0) {
        for (; i + BLOCK <= k; i += BLOCK, at += 4) {
            if (!rows->most_blocks || !(b.of.largest[i / BLOCK] > bound)) put_block(x + i, to, q + at * step, step);
            else hc_rows_put_outliers(rows, row, x + i, bound, to, at, q + at * step, step);
        }
        if (i < k) {
            float rest[BLOCK] = {0};
            hc_q7 levels[BLOCK];
            memcpy(rest, x + i, (size_t)(k - i) * sizeof *rest);
            hc_rows_put_outliers(rows, row, rest, bound, to, at, levels, HC_DEPTH);
            memset(levels + (k - i), 0, (size_t)(BLOCK - (k - i)) * sizeof *levels);
            for (int j = 0; j < 4; j++, at++) memcpy(q + at * step, levels + j * HC_DEPTH, HC_DEPTH * sizeof *q);
        }
    }
    if (rows->most_outliers) hc_rows_end_outliers(rows, row);
    for (; at < steps; at++) memset(q + at * step, 0, HC_DEPTH * sizeof *q);
}
