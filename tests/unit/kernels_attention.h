/* kernels_attention.h: tests of attention. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H

#include "kernels_support.h"

/* The same bits where the rows lie in another order. */
static void check_order(const hc_attention *t, const float *expected)
{
    int q_order[128], kv_order[128], dim = t->head_dim;
    for (int i = 0; i < t->q_rows; i++) q_order[i] = t->q_rows - 1 - i;
    for (int j = 0; j < t->kv_rows; j++) kv_order[j] = j ^ (j / 2 * 2 + 1 < t->kv_rows);
    hc_attention u = *t;
    size_t kv = (size_t)t->kv_rows * t->kv_stride * sizeof(float);
    float *q = allocate((size_t)t->q_rows * t->q_stride * sizeof *q), *k = allocate(kv), *v = allocate(kv),
          *out = guarded(t->q_rows, dim);
    size_t bytes = (size_t)dim * sizeof *q;
    for (int i = 0; i < t->q_rows; i++)
        memcpy(q + (size_t)q_order[i] * t->q_stride, t->q + (size_t)i * t->q_stride, bytes);
    for (int j = 0; j < t->kv_rows; j++) {
        memcpy(k + (size_t)kv_order[j] * t->kv_stride, t->k + (size_t)j * t->kv_stride, bytes);
        memcpy(v + (size_t)kv_order[j] * t->kv_stride, t->v + (size_t)j * t->kv_stride, bytes);
    }
    u.q = q, u.k = k, u.v = v, u.out = out;
    u.q_order = q_order, u.kv_order = kv_order;
    hc_attention_head(&u);
    int wrong = 0;
    for (int i = 0; i < t->q_rows; i++)
        wrong += memcmp(out + (size_t)q_order[i] * t->out_stride, expected + (size_t)i * t->out_stride, bytes) != 0;
    CHECK(!wrong && guards_stand(out, t->q_rows, dim), "q %d kv %d dim %d: %d other rows in another order", t->q_rows,
          t->kv_rows, dim, wrong);
    free(out);
    free(v);
    free(k);
    free(q);
}

/* What is added to scores: 0, a number for each of them, or one for each distance. */
enum { NO_BIAS, BIAS_EACH, BIAS_BY_DISTANCE };

static void check_attention(int q_rows, int kv_rows, int dim, int causal, int hide, int biased, float size)
{
    size_t q_stride = (size_t)dim + 1, kv_stride = (size_t)dim + 2, out_stride = (size_t)(dim + GAP);
    float *q = random_rows(q_rows, dim, q_stride, size);
    float *k = random_rows(kv_rows, dim, kv_stride, size), *v = random_rows(kv_rows, dim, kv_stride, 1);
    float *scratch = allocate(hc_attention_scratch(kv_rows, dim) * sizeof *scratch);
    uint8_t *hidden = allocate((size_t)kv_rows);
    int panels = (int)hc_round_up((size_t)q_rows, HC_PANEL), by_distance = biased == BIAS_BY_DISTANCE,
        rows = by_distance ? 1 : kv_rows, columns = by_distance ? kv_rows - 1 + panels : panels;
    float *bias = biased ? random_rows(rows, columns, (size_t)columns, 4) : NULL;
    for (int j = 0; biased && j < rows; j++) /* what is beyond the queries must not matter */
        for (int i = columns - panels + q_rows; i < columns; i++) bias[j * columns + i] = NAN;
    double *weights = allocate((size_t)kv_rows * sizeof *weights), *expected = allocate((size_t)dim * sizeof *expected);
    for (int j = 0; j < kv_rows; j++) hidden[j] = hide == 2 || random_below(3) == 0;
    for (int exact = 0; exact < 2; exact++) {
        float *out = guarded(q_rows, dim);
        hc_attention t = {
            .q = q,
            .k = k,
            .v = v,
            .q_stride = q_stride,
            .kv_stride = kv_stride,
            .q_rows = q_rows,
            .kv_rows = kv_rows,
            .head_dim = dim,
            .scale = 1 / sqrtf((float)dim),
            .causal = causal,
            .q_first = causal ? kv_rows - q_rows : 0,
            .exact = exact,
            .bias = by_distance ? bias + kv_rows - 1 : bias,
            .bias_stride = by_distance ? -1 : columns,
            .hidden = hide ? hidden : NULL,
            .out = out,
            .out_stride = out_stride,
            .scratch = scratch,
        };
        for (size_t i = 0; i < hc_attention_scratch(kv_rows, dim); i++)
            scratch[i] = NAN; /* what scratch holds must not matter */
        hc_attention_head(&t);
        CHECK(guards_stand(out, q_rows, dim), "q %d kv %d dim %d: written beyond the row", q_rows, kv_rows, dim);
        if (exact) hash_rows(biased ? HASH_ATTENTION_BIAS : HASH_ATTENTION, out, q_rows, dim);
        double worst = 0;
        for (int r = 0; r < q_rows; r++) {
            reference_attention(&t, r, weights, expected);
            for (int d = 0; d < dim; d++) {
                double error = fabs((double)out[(size_t)r * out_stride + (size_t)d] - expected[d]);
                worst = error > worst || error != error ? error : worst;
            }
        }
        check_order(&t, out);
        /* 11 and 13 bits: a key's is the larger part of the error, 2^-12 of itself */
        double bound = (exact ? 0x1p-11 : 2e-6) * (1 + (double)(size * size));
        CHECK(worst < bound, "q %d kv %d dim %d causal %d hidden %d biased %d exact %d: %g", q_rows, kv_rows, dim,
              causal, hide, biased, exact, worst);
        free(out);
    }
    free(expected);
    free(weights);
    free(bias);
    free(hidden);
    free(scratch);
    free(v);
    free(k);
    free(q);
}

static void check_attentions(void)
{
    for (int dim = 1; dim <= 40; dim++) {
        int q_rows = 1 + random_below(20), kv_rows = 20 + random_below(20);
        check_attention(q_rows, kv_rows, dim, dim % 2, dim / 2 % 2, 0, 1);
    }
    for (int kv = 1; kv <= 20; kv++) {
        check_attention(kv, kv, 64, 1, 0, 0, 2);
        check_attention(1, kv, 5, 0, 1, 0, 1);
    }
    static const int dims[] = {64, 80, 88, 104, 256};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) check_attention(19, 77, dims[i], (int)i % 2, 0, 0, 1);
    check_attention(50, 50, 64, 0, 0, 0, 8);  /* peaked */
    check_attention(77, 77, 64, 1, 0, 0, 30); /* scores hundreds apart */
    check_attention(9, 12, 8, 0, 2, 0, 1);    /* every key is hidden */
    for (int q = 1; q <= 20; q++) check_attention(q, 3 * q, 12, q % 2, q / 2 % 2, BIAS_EACH, 1);
    for (int n = 1; n <= 20; n++) check_attention(n % 3 ? n : 1, n, 12, 0, n / 2 % 2, BIAS_BY_DISTANCE, 1);
}

/* ---- rotary positions ---- */

static void check_rotation(int heads, int half)
{
    size_t n = (size_t)(2 * heads * half);
    float *x = random_floats(n, 1), *first = random_floats(2 * (size_t)half, 1),
          *second = random_floats(2 * (size_t)half, 1), *out = allocate(n * sizeof *out);
    double worst = 0;
    memcpy(out, x, n * sizeof *out);
    hc_rotate(out, heads, half, first, second);
    hash(HASH_ROTATE, out, n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        size_t in_head = i % (2 * (size_t)half), at = in_head % (size_t)half;
        const float *by = in_head < (size_t)half ? first : second;
        double expected = (double)x[i] * (double)by[at] + (double)x[i ^ 1] * (double)by[(size_t)half + at];
        double error = fabs((double)out[i] - expected);
        worst = error > worst || error != error ? error : worst;
    }
    CHECK(worst < 3e-7, "%d heads of %d: %g", heads, 2 * half, worst);
    free(x);
    free(first);
    free(second);
    free(out);
}

static void check_rotation_of_halves(int heads, int half)
{
    size_t n = (size_t)(2 * heads * half), pairs = (size_t)half / 2;
    float *x = random_floats(n, 1), *first = random_floats((size_t)half, 1), *second = random_floats((size_t)half, 1),
          *out = allocate(n * sizeof *out);
    double worst = 0;
    memcpy(out, x, n * sizeof *out);
    hc_rotate_halves(out, heads, half, first, second);
    hash(HASH_ROTATE_HALVES, out, n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        size_t in_head = i % (2 * (size_t)half), pair = in_head % (size_t)half, at = pair % pairs;
        const float *by = pair < pairs ? first : second;
        int is_second = in_head >= (size_t)half;
        double other = (double)x[is_second ? i - (size_t)half : i + (size_t)half];
        double expected = (double)x[i] * (double)by[at] + (is_second ? other : -other) * (double)by[pairs + at];
        double error = fabs((double)out[i] - expected);
        worst = error > worst || error != error ? error : worst;
    }
    CHECK(worst < 3e-7, "%d heads of %d in halves: %g", heads, 2 * half, worst);
    free(x);
    free(first);
    free(second);
    free(out);
}

static void check_rotations(void)
{
    for (int half = 2; half <= 48; half += 2) check_rotation(1 + half % 5, half);
    for (int half = 2; half <= 48; half += 2) check_rotation_of_halves(1 + half % 5, half);
}

#endif
