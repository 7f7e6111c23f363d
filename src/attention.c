/* attention.c: one head of scaled dot-product attention (Vaswani et al., 2017). Keys and values are packed into panels once a head; then a few query rows at a
 * time go through scores, softmax and values while their scores stay in the first-level cache. */
#include "tile.h"
#include "vmath.h"

#include <math.h>

enum { BLOCK_ROWS = 16 };

static int padded(int n) { return (int)hc_round_up((size_t)n, HC_PANEL); }

/* scratch: keys [panels of kv][head_dim][8], values [panels of head_dim][kv][8], scores [BLOCK_ROWS][kv padded] */
size_t hc_attention_scratch(int kv_rows, int head_dim)
{
    size_t kv = (size_t)padded(kv_rows), dim = (size_t)padded(head_dim);
    return 2 * kv * dim + BLOCK_ROWS * kv;
}

/* sums [m][8] = a [m, k] · b, for one panel b. */
static void multiply(const float *a, size_t a_stride, int m, int k, const float *b, float *sums)
{
    int count = tile_count(m, TILE_ROWS);
    memset(sums, 0, (size_t)(m * HC_PANEL) * sizeof *sums);
    for (int i = 0; i < count; i++) {
        int first = tile_first_row(m, count, i), rows = tile_first_row(m, count, i + 1) - first;
        const float *from = a + (size_t)first * a_stride;
        float *to = sums + first * HC_PANEL;
        switch (rows) {
        case 1:
            tile_f32(1, 1, 0, from, a_stride, k, b, HC_PANEL, 0, to);
            break;
        case 2:
            tile_f32(2, 1, 0, from, a_stride, k, b, HC_PANEL, 0, to);
            break;
        case 3:
            tile_f32(3, 1, 0, from, a_stride, k, b, HC_PANEL, 0, to);
            break;
        default:
            tile_f32(4, 1, 0, from, a_stride, k, b, HC_PANEL, 0, to);
        }
    }
}

/* Keys as the columns of panels: 8 rows transposed at a time, zero padded. */
static void pack_keys(const float *k, size_t stride, int rows, int dim, float *to)
{
    for (int row = 0; row < rows; row += HC_PANEL, to += dim * HC_PANEL) {
        int valid = rows - row < HC_PANEL ? rows - row : HC_PANEL;
        if (valid < HC_PANEL)
            memset(to, 0, (size_t)(dim * HC_PANEL) * sizeof *to);
        for (int r = 0; r < valid; r++) {
            const float *from = k + (size_t)(row + r) * stride;
            for (int d = 0; d < dim; d++)
                to[d * HC_PANEL + r] = from[d];
        }
    }
}

/* Values in panels of 8 of their columns, zero padded. */
static void pack_values(const float *v, size_t stride, int rows, int dim, float *to)
{
    for (int d = 0; d < dim; d += HC_PANEL)
        for (int r = 0; r < rows; r++, to += HC_PANEL) {
            int valid = dim - d < HC_PANEL ? dim - d : HC_PANEL;
            const float *from = v + (size_t)r * stride + d;
            if (valid == HC_PANEL) {
                f32_store(to, f32_load(from));
                f32_store(to + 4, f32_load(from + 4));
            } else {
                for (int i = 0; i < HC_PANEL; i++)
                    to[i] = i < valid ? from[i] : 0;
            }
        }
}

/* Scores to weights that still lack the factor 1 / sum, which is returned (0 where every key is hidden). Keys from `seen` to `width`, a multiple of 4, get 0. */
static float softmax(float *scores, int seen, int width, float scale, const uint8_t *hidden)
{
    int visible = !hidden;
    for (int j = 0; hidden && j < seen; j++) {
        visible |= !hidden[j];
        scores[j] = hidden[j] ? -INFINITY : scores[j];
    }
    if (!visible) {
        memset(scores, 0, (size_t)width * sizeof *scores);
        return 0;
    }
    for (int j = seen; j < width; j++)
        scores[j] = -INFINITY;
    f32x4 most = f32_splat(-INFINITY), sum = f32_splat(0);
    for (int j = 0; j < width; j += 4)
        most = f32_max(most, f32_load(scores + j));
    float largest = f32_largest(most);
    for (int j = 0; j < width; j += 4) {
        f32x4 e = f32_exp((f32_load(scores + j) - largest) * scale);
        f32_store(scores + j, e);
        sum += e;
    }
    return 1.0f / f32_sum(sum);
}

void hc_attention_head(const hc_attention *t)
{
    int dim = t->head_dim, kv = t->kv_rows;
    if (t->causal && t->q_first + t->q_rows < kv)
        kv = t->q_first + t->q_rows;
    float *keys = t->scratch, *values = keys + (size_t)padded(kv) * (size_t)dim, *scores = values + (size_t)padded(dim) * (size_t)kv;
    float sums[BLOCK_ROWS * HC_PANEL], factor[BLOCK_ROWS];
    pack_keys(t->k, t->kv_stride, kv, dim, keys);
    pack_values(t->v, t->kv_stride, kv, dim, values);

    for (int row = 0, rows; row < t->q_rows; row += rows) {
        rows = t->q_rows - row < BLOCK_ROWS ? t->q_rows - row : BLOCK_ROWS;
        int first = t->q_first + row;
        int seen = t->causal && first + rows < kv ? first + rows : kv, width = padded(seen);

        for (int j = 0; j < seen; j += HC_PANEL) {
            multiply(t->q + (size_t)row * t->q_stride, t->q_stride, rows, dim, keys + (size_t)j * (size_t)dim, sums);
            for (int r = 0; r < rows; r++)
                memcpy(scores + r * width + j, sums + r * HC_PANEL, HC_PANEL * sizeof *sums);
        }
        for (int r = 0; r < rows; r++)
            factor[r] = softmax(scores + r * width, t->causal && first + r + 1 < seen ? first + r + 1 : seen, width, t->scale, t->hidden);
        for (int d = 0; d < dim; d += HC_PANEL) {
            multiply(scores, (size_t)width, rows, seen, values + (size_t)d * (size_t)kv, sums);
            int columns = dim - d < HC_PANEL ? dim - d : HC_PANEL;
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < columns; i++)
                    t->out[(size_t)(row + r) * t->out_stride + (size_t)(d + i)] = sums[r * HC_PANEL + i] * factor[r];
        }
    }
}
