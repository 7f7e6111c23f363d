/* kernels_gemm.h: tests of the GEMM, of its tiles and its epilogue. */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include "kernels_support.h"

static void check_gemm_f32(int m, int n, int k, hc_storage storage, int which)
{
    size_t a_stride = (size_t)k + (which & 1), out_stride = (size_t)(n + GAP);
    test_matrix w = make_weights(n, k, storage, RANDOM);
    hc_epilogue e = make_epilogue(n, which);
    float *a = random_rows(m, k, a_stride, 1), *residual = random_floats((size_t)m * out_stride, 1);
    for (int exact = 0; exact <= (storage == HC_STORE_F16); exact++) {
        float *out = guarded(m, n);
        hc_rows rows = make_rows(m, &w.packed, exact, 0, HC_DOT_PAIRS);
        e.residual = which & RESIDUAL ? residual : NULL;
        if (which & IN_PLACE) { /* in place */
            for (int r = 0; r < m; r++)
                memcpy(out + (size_t)r * out_stride, residual + (size_t)r * out_stride, (size_t)n * sizeof *out);
            e.residual = out;
        }
        put_all(&rows, a, a_stride);
        hc_gemm(NULL, &w.packed, &rows, &e, out, out_stride);
        CHECK(guards_stand(out, m, n), "m %d n %d k %d: written beyond the row", m, n, k);
        if (exact) hash_rows(which < SCALE ? HASH_GEMM_F16 : HASH_EPILOGUE, out, m, n);
        double worst = 0;
        for (int r = 0; r < m; r++)
            for (int c = 0; c < n; c++) {
                double sum = 0, size = 0;
                for (int i = 0; i < k; i++) {
                    float x = a[(size_t)r * a_stride + (size_t)i];
                    double product =
                        (exact ? thirteen_bits(x) : (double)x) * w.plain[(size_t)c * (size_t)k + (size_t)i];
                    sum += product;
                    size += fabs(product);
                }
                double expected = reference_epilogue(
                    &e, sum, c, e.residual ? (double)residual[(size_t)r * out_stride + (size_t)c] : 0);
                double error = fabs((double)out[(size_t)r * out_stride + (size_t)c] - expected) / (size + 4);
                worst = error > worst ? error : worst;
            }
        CHECK(worst < 5e-7, "m %d n %d k %d storage %d epilogue %d exact %d: %g", m, n, k, (int)storage, which, exact,
              worst);
        free_rows(&rows);
        free(out);
    }
    free(residual);
    free(a);
    free_epilogue(&e);
    free_weights(&w);
}

/* How far the epilogue's value is from the reference's of the same sum, relative to it. */
static double finish_error(const hc_epilogue *e, float found, float sum, int column, float residual)
{
    double expected = reference_epilogue(e, (double)sum, column, e->residual ? (double)residual : 0);
    return fabs((double)found - expected) / (fabs((double)sum) + 4);
}

/* Bit for bit: the integers and what follows them are exact by definition. */
static void check_gemm_i8(int m, int n, int k, range what, int which)
{
    size_t out_stride = (size_t)(n + GAP);
    test_matrix w = make_weights(n, k, HC_STORE_I8, what);
    float *residual = random_floats((size_t)m * out_stride, 1);
    int *levels = allocate((size_t)k * sizeof *levels);
    hc_epilogue e = make_epilogue(n, which), plain = {0};
    uint32_t begin = random_state;
    for (int dot = 0; dot < 2; dot++) {
        float *out = guarded(m, n), *full = guarded(m, n);
        hc_rows rows = make_rows(m, &w.packed, 1, what == RANDOM, (hc_dot)dot);
        random_state = begin;
        make_levels(&rows, what);
        e.residual = which & RESIDUAL ? residual : NULL;
        hc_gemm(NULL, &w.packed, &rows, &plain, out, out_stride);
        hc_gemm(NULL, &w.packed, &rows, &e, full, out_stride);
        CHECK(guards_stand(out, m, n) && guards_stand(full, m, n), "m %d n %d k %d: written beyond the row", m, n, k);
        if (!dot) hash_rows(which < SCALE ? HASH_GEMM_I8 : HASH_EPILOGUE, full, m, n);
        int wrong = 0;
        double worst = 0;
        for (int r = 0; r < m; r++) {
            whole_levels(&rows, r, levels);
            for (int c = 0; c < n; c++) {
                int32_t exact = 0;
                for (int i = 0; i < k; i++) exact += levels[i] * (int32_t)w.plain[(size_t)c * (size_t)k + (size_t)i];
                float expected = w.packed.scale[c] * rows.scale[r] * (float)exact;
                size_t at = (size_t)r * out_stride + (size_t)c;
                wrong += out[at] != expected;
                double error = finish_error(&e, full[at], expected, c, residual[at]);
                worst = error > worst ? error : worst;
            }
        }
        CHECK(wrong == 0, "m %d n %d k %d dot %d: %d wrong integers", m, n, k, dot, wrong);
        CHECK(worst < 5e-7, "m %d n %d k %d dot %d epilogue %d: %g", m, n, k, dot, which, worst);
        free_rows(&rows);
        free(out);
        free(full);
    }
    free(levels);
    free(residual);
    free_epilogue(&e);
    free_weights(&w);
}

/* A row's result must not depend on the rows that are computed with it, nor on how they are multiplied. */
static void check_rows_alone(const hc_matrix *w, int rows, const float *a)
{
    size_t k = (size_t)w->k, stride = (size_t)(w->n + GAP);
    float *all = guarded(rows, w->n), *one = guarded(1, w->n);
    hc_epilogue plain = {0};
    hc_rows together = make_rows(rows, w, 1, 1, HC_DOT_QUADS), alone = make_rows(1, w, 1, 1, HC_DOT_PAIRS);
    put_all(&together, a, k);
    hc_gemm(NULL, w, &together, &plain, all, stride);
    for (int r = 0; r < rows; r += 1 + rows / 8) {
        put_all(&alone, a + (size_t)r * k, k);
        hc_gemm(NULL, w, &alone, &plain, one, stride);
        CHECK(!memcmp(one, all + (size_t)r * stride, (size_t)w->n * sizeof *one), "storage %d, row %d of %d, n %d k %d",
              (int)w->storage, r, rows, w->n, w->k);
    }
    free_rows(&together);
    free_rows(&alone);
    free(all);
    free(one);
}

static void check_all_alone(int rows, int n, int k)
{
    float *a = random_floats((size_t)rows * (size_t)k, 1);
    for (int storage = HC_STORE_F32; storage <= HC_STORE_I8; storage++) {
        test_matrix w = make_weights(n, k, (hc_storage)storage, RANDOM);
        check_rows_alone(&w.packed, rows, a);
        free_weights(&w);
    }
    free(a);
}

/* Weights of int4 with what pads them, which is not 0: activations are. */
static hc_matrix make_weights_i4(int n, int k, range what, int8_t *q, float *scale)
{
    size_t groups = hc_groups(k), count = hc_group_scales(n, k);
    hc_matrix w = {.n = n,
                   .k = k,
                   .storage = HC_STORE_I4,
                   .data = allocate(count * HC_GROUP_BYTES),
                   .group_scale = allocate(count * 2)};
    w.total = random_vector(n);
    for (size_t i = 0; i < count; i++) w.group_scale[i] = hc_float_to_half(random_float());
    for (size_t i = 0; i < count * HC_GROUP_BYTES; i++) {
        int extreme = random_bits() & 1 ? 0x88 : 0x77;
        ((uint8_t *)w.data)[i] = (uint8_t)(what == RANDOM ? random_below(256) : what == ANY_127 ? extreme : 0x88);
    }
    for (int c = 0; c < n; c++)
        for (int i = 0; i < k; i++) {
            size_t index = (size_t)(c / HC_PANEL) * groups + (size_t)(i / HC_GROUP), at = (size_t)(i % HC_GROUP);
            int byte = ((uint8_t *)w.data)[index * 128 + at / 4 * 16 + (size_t)(c % 4) * 4 + at % 4],
                nibble = c % 8 < 4 ? byte & 15 : byte >> 4;
            q[c * k + i] = (int8_t)(nibble < 8 ? nibble : nibble - 16);
            scale[(size_t)c * groups + (size_t)(i / HC_GROUP)] =
                hc_half_to_float(w.group_scale[index * HC_PANEL + (size_t)(c % HC_PANEL)]);
        }
    return w;
}

/* A channel's weights times a row's levels, in the order that gemm_i4.c states: for each stretch of 32 groups the sums
 * of its groups, then its outliers, those that are taken away before those that are added. */
static float reference_sum_i4(const hc_rows *rows, int row, const int8_t *q, const float *scale)
{
    enum { GROUPS = 32, STEPS = HC_GROUP / HC_DEPTH };
    size_t groups = hc_groups(rows->k), k = (size_t)rows->k;
    float sum = 0;
    for (size_t at = 0; at < groups; at += GROUPS) {
        for (size_t g = at; g < at + GROUPS && g < groups; g++) {
            int32_t exact = 0;
            for (size_t i = g * HC_GROUP; i < (g + 1) * HC_GROUP && i < k; i++) exact += *level(rows, row, i) * q[i];
            float scaled = (float)exact * scale[g];
            sum += scaled;
        }
        for (int n = 0; n < outlier_count(rows, row); n++) {
            int factor, exact = 0;
            const hc_outlier *o = outlier(rows, row, n, &factor);
            if (o->step / STEPS / GROUPS != at / GROUPS) continue;
            for (size_t i = 0; i < HC_DEPTH; i++)
                exact += o->step * HC_DEPTH + i < k ? o->digits[i] * q[o->step * HC_DEPTH + i] : 0;
            float scaled = (float)exact * (scale[o->step / STEPS] * (float)factor);
            sum += scaled;
        }
    }
    return sum;
}

/* Bit for bit, like check_gemm_i8: a group's sum is exact, and the order of the rest is fixed. */
static void check_gemm_i4(int m, int n, int k, range what, int which)
{
    size_t out_stride = (size_t)(n + GAP), groups = hc_groups(k);
    int8_t *q = allocate((size_t)(n * k));
    float *scale = allocate((size_t)n * groups * sizeof *scale);
    hc_matrix w = make_weights_i4(n, k, what, q, scale);
    float *residual = random_floats((size_t)m * out_stride, 1), *a = random_floats((size_t)(m * k), 1);
    hc_epilogue e = make_epilogue(n, which), plain = {0};
    uint32_t begin = random_state;
    for (int dot = 0; dot < 2; dot++) {
        float *out = guarded(m, n), *full = guarded(m, n);
        hc_rows rows = make_rows(m, &w, 1, 1, (hc_dot)dot);
        random_state = begin;
        make_levels(&rows, what);
        e.residual = which & RESIDUAL ? residual : NULL;
        hc_gemm(NULL, &w, &rows, &plain, out, out_stride);
        hc_gemm(NULL, &w, &rows, &e, full, out_stride);
        CHECK(guards_stand(out, m, n) && guards_stand(full, m, n), "m %d n %d k %d: written beyond the row", m, n, k);
        if (!dot) hash_rows(which < SCALE ? HASH_GEMM_I4 : HASH_EPILOGUE, full, m, n);
        int wrong = 0;
        double worst = 0;
        for (int r = 0; r < m; r++)
            for (int c = 0; c < n; c++) {
                float sum = reference_sum_i4(&rows, r, q + c * k, scale + (size_t)c * groups);
                float zero = w.total[c] * (float)rows.zero[r], expected = (sum - zero) * rows.scale[r];
                size_t at = (size_t)r * out_stride + (size_t)c;
                wrong += out[at] != expected;
                double error = finish_error(&e, full[at], expected, c, residual[at]);
                worst = error > worst ? error : worst;
            }
        CHECK(wrong == 0, "int4 m %d n %d k %d dot %d: %d wrong values", m, n, k, dot, wrong);
        CHECK(worst < 5e-7, "int4 m %d n %d k %d dot %d epilogue %d: %g", m, n, k, dot, which, worst);
        free_rows(&rows);
        free(out);
        free(full);
    }
    check_rows_alone(&w, m, a);
    free(a);
    free(residual);
    free_epilogue(&e);
    free(w.data);
    free(w.group_scale);
    free(w.total);
    free(scale);
    free(q);
}

static void check_gemms_i4(void)
{
    for (int m = 1; m <= 9; m++)
        for (int n = 1; n <= 40; n += 1 + n % 3) {
            int k = 1 + random_below(140), which = random_below(64);
            check_gemm_i4(m, n, k, RANDOM, which);
        }
    for (int k = 1; k <= 70; k++) {
        check_gemm_i4(5, 9, k, (range)(k % 3), k);
        check_gemm_i4(1, 33, k, (range)(k % 3), k);
    }
    static const int large[][3] = {{50, 24, 768}, {197, 9, 515}, {257, 8, 37}, {97, 17, 1030},
                                   {1, 40, 2050}, {2, 24, 1027}, {13, 8, 4100}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check_gemm_i4(large[i][0], large[i][1], large[i][2], (range)(i % 3), (int)i * 5);
}

static void check_gemms(void)
{
    for (int m = 1; m <= 9; m++)
        for (int n = 1; n <= 40; n++) {
            int k = 1 + random_below(70), which = random_below(64);
            check_gemm_f32(m, n, k, HC_STORE_F32, which);
            check_gemm_f32(m, n, k, HC_STORE_F16, which);
            check_gemm_i8(m, n, k, RANDOM, which);
        }
    for (int k = 1; k <= 70; k++) {
        check_gemm_f32(3, 9, k, HC_STORE_F32, k);
        check_gemm_f32(1, 33, k, HC_STORE_F16, k);
        check_gemm_i8(5, 9, k, (range)(k % 3), k);
        check_gemm_i8(1, 33, k, (range)(k % 3), k);
    }
    static const int large[][3] = {{50, 24, 768}, {197, 9, 515}, {257, 8, 37}, {97, 17, 1030},
                                   {1, 40, 2050}, {2, 24, 1027}, {13, 8, 4100}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        int m = large[i][0], n = large[i][1], k = large[i][2];
        check_gemm_f32(m, n, k, HC_STORE_F32, (int)i * 9);
        check_gemm_f32(m, n, k, HC_STORE_F16, (int)i * 7);
        check_gemm_i8(m, n, k, (range)(i % 3), (int)i * 5);
    }
    check_gemm_i8(5, 8, 16384, ALL_127, 0);
    check_gemm_i8(1, 32, 16384, ANY_127, 0);
    for (int k = 1; k <= 70; k++) check_gemm_i8(12 + k % 5, 9, k, (range)(SMALL + k % 3), k);
    check_all_alone(11, 37, 100);
    check_all_alone(7, 8, 1100);
    check_all_alone(300, 9, 33);
}

/* What a ResNet does to sums; and all of it together, with columns left over. */
static void check_epilogues(void)
{
    for (int n = 1; n <= 9; n++)
        for (int which = 0; which < 128; which++) {
            int parts = (which & 63) | SCALE | (which & 64 ? LAST : 0) | (random_bits() & 1 ? RELU : 0),
                m = 1 + random_below(9), k = 1 + random_below(40);
            check_gemm_f32(m, n, k, random_bits() & 1 ? HC_STORE_F32 : HC_STORE_F16, parts);
            check_gemm_i8(m, n, k, RANDOM, parts);
            check_gemm_i4(m, n, k, RANDOM, parts);
        }
    check_gemm_f32(150, 19, 20, HC_STORE_F16, SCALE | BIAS | RELU | LAST | RESIDUAL);
    check_gemm_i8(150, 19, 20, RANDOM, SCALE | BIAS | RELU | LAST | RESIDUAL);
}

#endif
