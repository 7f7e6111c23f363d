/* attention.c: one head of scaled dot-product attention (Vaswani et al., 2017), eight queries at a time, one in each
 * lane of two vectors: scores are made key by key, so that softmax goes down the lanes and its weights are at once in
 * the order in which a tile reads them to sum the values. What a block of queries needs stays in the first-level cache.
 */
#include "kernels/tile.h"
#include "kernels/vmath.h"

#include <math.h>

enum { QUERIES = HC_PANEL, VALUE_ROWS = 4 };

static size_t padded(int n) { return hc_round_up((size_t)n, HC_PANEL); }

/* scratch: keys in tiles [dim][rows], values in panels [kv][8], queries [dim][8], scores [kv][8] */
uint64_t hc_attention_scratch(int kv_rows, int head_dim)
{
    uint64_t kv = (uint64_t)kv_rows, dim = padded(head_dim);
    return kv * dim + kv * dim + dim * QUERIES + kv * QUERIES;
}

#define SCORES(rows)                                                                                \
    NOT_INLINED void scores_##rows(const float *keys, int dim, const float *queries, float *scores) \
    {                                                                                               \
        tile_f32(rows, 1, keys, rows, dim, queries, 0, 1, scores, NULL);                            \
    }
SCORES(1)
SCORES(2)
SCORES(3)
SCORES(4)
#ifdef HC_HAS_FMA
SCORES(5)
SCORES(6)
enum { KEY_ROWS = 6 };
#else
enum { KEY_ROWS = 4 };
#endif

/* scores [rows][8] = keys · queries */
static void score(int rows, const float *keys, int dim, const float *queries, float *scores)
{
    switch (rows) {
#ifdef HC_HAS_FMA
    case 6: scores_6(keys, dim, queries, scores); break;
    case 5: scores_5(keys, dim, queries, scores); break;
#endif
    case 4: scores_4(keys, dim, queries, scores); break;
    case 3: scores_3(keys, dim, queries, scores); break;
    case 2: scores_2(keys, dim, queries, scores); break;
    default: scores_1(keys, dim, queries, scores);
    }
}

NOT_INLINED void sum_values(const float *weights, int kv, const float *values, float *sums)
{
    tile_f32(VALUE_ROWS, 1, weights, QUERIES, kv, values, 0, 1, sums, NULL);
}

/* Bits to which factors are rounded so that products are exact: as many as halves have for one, the rest of a float's
 * for the other. */
enum { QUERY_BITS = 13, KEY_BITS = 11, WEIGHT_BITS = 13, VALUE_BITS = 11 };

/* bits 0: left as it is */
SIMD_INLINE f32x4 rounded(int bits, f32x4 x) { return bits ? f32_round_to(bits, x) : x; }
static float rounded_one(int bits, float x) { return rounded(bits, f32_splat(x))[0]; }

/* Row i of those that a head has: `order` says which. */
static const float *row_of(const float *from, size_t stride, const int *order, int i)
{
    return from + (size_t)(order ? order[i] : i) * stride;
}

/* to[j * step + r] = factor * from[row r][j] for rows r from `first` on and n columns j. */
static void transpose(int bits, const float *from, size_t stride, const int *order, int first, int rows, int n,
                      float factor, float *to, size_t step)
{
    for (; rows > 0; rows -= 4, first += 4, to += 4) {
        const float *row[4];
        for (int r = 0; r < 4; r++) row[r] = row_of(from, stride, order, r < rows ? first + r : first);
        int j = 0;
        for (; rows >= 4 && j + 4 <= n; j += 4) {
            f32x4 v[4];
            for (int r = 0; r < 4; r++) v[r] = f32_load(row[r] + j);
            f32_transpose(v);
            for (int i = 0; i < 4; i++) f32_store(to + (size_t)(j + i) * step, rounded(bits, v[i] * factor));
        }
        for (; j < n; j++)
            for (int r = 0; r < rows && r < 4; r++)
                to[(size_t)j * step + (size_t)r] = rounded_one(bits, row[r][j] * factor);
    }
}

/* Values in panels of 8 of their columns, zero padded. */
static void pack_values(int bits, const float *v, size_t stride, const int *order, int rows, int dim, float *to)
{
    for (int d = 0; d < dim; d += HC_PANEL)
        for (int r = 0; r < rows; r++, to += HC_PANEL) {
            int valid = dim - d < HC_PANEL ? dim - d : HC_PANEL;
            const float *from = row_of(v, stride, order, r) + d;
            if (valid == HC_PANEL) {
                f32_store(to, rounded(bits, f32_load(from)));
                f32_store(to + 4, rounded(bits, f32_load(from + 4)));
            } else {
                for (int i = 0; i < HC_PANEL; i++) to[i] = i < valid ? rounded_one(bits, from[i]) : 0;
            }
        }
}

/* Scores [kv][8] plus the bias that `of` has for queries from `row` on, to weights that still lack the factors 1 / sum,
 * which go to `factor` [8]. Lane i sees the keys before seen + i, at most kv; of all of them none that is hidden. A
 * lane that sees none gets 0. */
static void softmax(const hc_attention *of, int row, float *scores, int kv, int seen, float *factor)
{
    const uint8_t *hidden = of->hidden;
    const float *bias = of->bias ? of->bias + row : NULL;
    int bits = of->exact ? WEIGHT_BITS : 0;
    f32x4 most[2], sum[2] = {f32_splat(0), f32_splat(0)};
    i32x4 lanes[2] = {{0, 1, 2, 3}, {4, 5, 6, 7}};
    most[0] = most[1] = f32_splat(-INFINITY);
    for (int j = 0; j < kv; j++)
        for (int c = 0; c < 2; c++) {
            f32x4 s = f32_load(scores + j * QUERIES + 4 * c);
            if (bias) s += f32_load(bias + j * of->bias_stride + 4 * c);
            if (j >= seen || hidden) {
                i32x4 unseen = (i32_splat(j - seen) >= lanes[c]) | i32_splat(hidden && hidden[j] ? -1 : 0);
                s = (f32x4)(((i32x4)s & ~unseen) | ((i32x4)f32_splat(-INFINITY) & unseen));
            }
            if (bias || j >= seen || hidden) f32_store(scores + j * QUERIES + 4 * c, s);
            most[c] = f32_max(most[c], s);
        }
    for (int c = 0; c < 2; c++)
        most[c] = f32_max(most[c], f32_splat(-3.4e38f)); /* where all is -infinity, differences shall not be NaN */
    for (int j = 0; j < kv; j++)
        for (int c = 0; c < 2; c++) {
            f32x4 e = rounded(bits, f32_exp_weight(f32_load(scores + j * QUERIES + 4 * c) - most[c]));
            f32_store(scores + j * QUERIES + 4 * c, e);
            sum[c] += e;
        }
    for (int c = 0; c < 2; c++) {
        i32x4 none = sum[c] == f32_splat(0);
        f32_store(factor + 4 * c, (f32x4)((i32x4)(1.0f / sum[c]) & ~none));
    }
}

void hc_attention_head(const hc_attention *t)
{
    int dim = t->head_dim, kv = t->kv_rows;
    if (t->causal && t->q_first + t->q_rows < kv) kv = t->q_first + t->q_rows;
    float *keys = t->scratch, *values = keys + (size_t)kv * padded(dim), *queries = values + (size_t)kv * padded(dim),
          *scores = queries + padded(dim) * QUERIES;
    int tiles = hc_tile_count(kv, KEY_ROWS);
    for (int i = 0; i < tiles; i++) {
        int first = hc_tile_first(kv, tiles, i), rows = hc_tile_first(kv, tiles, i + 1) - first;
        transpose(t->exact ? KEY_BITS : 0, t->k, t->kv_stride, t->kv_order, first, rows, dim, 1,
                  keys + (size_t)first * (size_t)dim, (size_t)rows);
    }
    pack_values(t->exact ? VALUE_BITS : 0, t->v, t->kv_stride, t->kv_order, kv, dim, values);

    for (int row = 0, rows; row < t->q_rows; row += rows) {
        rows = t->q_rows - row < QUERIES ? t->q_rows - row : QUERIES;
        int seen = t->causal ? t->q_first + row + 1 : kv,
            last = t->causal && seen + rows - 1 < kv ? seen + rows - 1 : kv;
        if (rows < QUERIES) memset(queries, 0, padded(dim) * QUERIES * sizeof *queries);
        transpose(t->exact ? QUERY_BITS : 0, t->q, t->q_stride, t->q_order, row, rows, dim, t->scale, queries, QUERIES);
        for (int i = 0, first; i < tiles && (first = hc_tile_first(kv, tiles, i)) < last; i++) {
            int key_rows = hc_tile_first(kv, tiles, i + 1) - first;
            score(key_rows, keys + (size_t)first * (size_t)dim, dim, queries, scores + first * QUERIES);
        }
        float factor[QUERIES], sums[VALUE_ROWS * HC_PANEL];
        softmax(t, row, scores, last, seen, factor);
        for (int half = 0; half < rows; half += VALUE_ROWS)
            for (int d = 0; d < dim; d += HC_PANEL) {
                sum_values(scores + half, last, values + (size_t)d * (size_t)kv, sums);
                for (int r = 0; r < VALUE_ROWS && half + r < rows; r++) {
                    int at = row + half + r;
                    float *out = t->out + (size_t)(t->q_order ? t->q_order[at] : at) * t->out_stride + d,
                          *from = sums + r * HC_PANEL;
                    if (d + HC_PANEL <= dim) {
                        f32_store(out, f32_load(from) * factor[half + r]);
                        f32_store(out + 4, f32_load(from + 4) * factor[half + r]);
                    } else {
                        for (int i = 0; i < dim - d; i++) out[i] = from[i] * factor[half + r];
                    }
                }
            }
    }
}
