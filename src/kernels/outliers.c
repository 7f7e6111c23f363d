/* outliers.c: which values of a row are outliers, and how they are listed. */
#include "kernels/levels.h"

#include <math.h>

/* ---- the bound ---- */

static int count_above(const hc_blocks *b, float bound)
{
    i32x4 count = i32_splat(0);
    for (int i = 0; i < b->count; i += 4) count -= f32_load(b->largest + i) > f32_splat(bound);
    return count[0] + count[1] + count[2] + count[3];
}

static float largest_up_to(const hc_blocks *b, float bound)
{
    f32x4 most = f32_splat(0);
    for (int i = 0; i < b->count; i += 4) {
        f32x4 v = f32_load(b->largest + i);
        most = f32_max(most, (f32x4)((i32x4)v & (v <= f32_splat(bound))));
    }
    return f32_largest(most);
}

float hc_outlier_bound(const hc_blocks *b, float largest, int allowed)
{
    enum { MOST_STEPS = 13 }; /* to 1/90 */
    float bound = largest, best = largest, lowest = largest * (1.0f / 120);
    int most = 0;
    for (int i = 1; i <= MOST_STEPS; i++) {
        bound *= 0.70710678f;
        int above = count_above(b, bound), gain = i * allowed - above;
        if (above > allowed) break;
        if (gain <= most) continue;
        most = gain;
        best = bound;
    }
    bound = largest_up_to(b, best);
    return bound > lowest ? bound : lowest;
}

/* ---- the list ---- */

static void put_outlier(const hc_rows *rows, int row, int at, i32x4 digits, size_t step)
{
    hc_outlier *to = rows->outliers + (size_t)row * (size_t)rows->most_outliers + at;
    for (int i = 0; i < HC_DEPTH; i++) to->digits[i] = (hc_q7)digits[i];
    to->step = (uint32_t)step;
}

void hc_rows_put_outliers(const hc_rows *rows, int row, const float *x, float bound, hc_levels to, size_t first,
                          hc_q7 *q, size_t step)
{
    i32x4 v[4];
    for (size_t j = 0; j < 4; j++) {
        f32x4 value = f32_load(x + 4 * j);
        i32x4 far = f32_abs(value) > f32_splat(bound), all = i32_round(value * to.inverse) + to.zero;
        all = (all & far) | (levels_of(value, to) & ~far);
        v[j] = all;
        if (rows->whole) continue;
        i32x4 above = (all & (all > 0)) >> 7, below = ((127 - all) & (all < 0)) >> 7;
        v[j] = all & 127;
        if (i32_any(above)) put_outlier(rows, row, rows->above[row]++, above, first + j);
        if (i32_any(below)) put_outlier(rows, row, rows->most_outliers - ++rows->below[row], below, first + j);
    }
    store_levels(v, q, step);
}

void hc_rows_end_outliers(const hc_rows *rows, int row)
{
    if (rows->above[row] & 1) put_outlier(rows, row, rows->above[row]++, i32_splat(0), 0);
    if (rows->below[row] & 1) put_outlier(rows, row, rows->most_outliers - ++rows->below[row], i32_splat(0), 0);
}
