/* kernels_rows.h: tests of what is done to a row: LayerNorm, 7 bits, the order of a tile, normalisation. */
#ifndef KERNELS_ROWS_H
#define KERNELS_ROWS_H

#include "kernels_support.h"

static void check_layer_norm(int rows, int n, float scale, float shift)
{
    size_t stride = (size_t)n + GAP;
    float *x = random_floats((size_t)rows * stride, scale), *weight = random_vector(n), *bias = random_vector(n),
          *out = guarded(rows, n);
    double *expected = allocate((size_t)n * sizeof *expected), worst = 0;
    int same = 1;
    for (int r = 0; r < rows; r++) {
        float *row = x + (size_t)r * stride, *to = out + (size_t)r * stride;
        for (int i = 0; i < n; i++) row[i] += shift;
        hc_layer_norm(row, n, weight, bias, 1e-5f, to);
        reference_layer_norm(row, n, weight, bias, (double)1e-5f, expected);
        for (int i = 0; i < n; i++) {
            double error = fabs((double)to[i] - expected[i]) / (1 + fabs((double)(shift / scale)));
            worst = error > worst ? error : worst;
        }
        hc_layer_norm(row, n, weight, bias, 1e-5f, row);
        same &= !memcmp(row, to, (size_t)n * sizeof *row);
    }
    CHECK(guards_stand(out, rows, n), "n %d: written beyond the row", n);
    CHECK(same, "n %d: in place", n);
    CHECK(worst < 2e-6, "layer norm of %d, scale %g, shift %g: %g", n, (double)scale, (double)shift, worst);
    hash_rows(HASH_LAYER_NORM, out, rows, n);
    free(expected);
    free(out);
    free(bias);
    free(weight);
    free(x);
}

static void check_rms_norm(int n, float scale, int centred)
{
    float *x = random_floats((size_t)n, scale), *weight = random_vector(n), *out = guarded(1, n);
    double *expected = allocate((size_t)n * sizeof *expected), worst = 0;
    hc_rms_norm(x, n, weight, 1e-6f, centred, out);
    reference_rms_norm(x, n, weight, (double)1e-6f, centred, expected);
    for (int i = 0; i < n; i++) {
        double error = fabs((double)out[i] - expected[i]);
        worst = error > worst || error != error ? error : worst;
    }
    hc_rms_norm(x, n, weight, 1e-6f, centred, x);
    CHECK(guards_stand(out, 1, n) && !memcmp(x, out, (size_t)n * sizeof *x), "RMSNorm of %d: not its row alone", n);
    CHECK(worst < 2e-6, "RMSNorm of %d, scale %g: %g", n, (double)scale, worst);
    hash_rows(centred ? HASH_SIMPLE_NORM : HASH_RMS_NORM, out, 1, n);
    free(expected);
    free(out);
    free(weight);
    free(x);
}

static void check_quantise(int rows, int k, float scale, float shift, hc_storage storage)
{
    size_t stride = (size_t)k + 1;
    float *x = random_rows(rows, k, stride, scale);
    hc_matrix w = shape_of(k, storage);
    hc_rows q = make_rows(rows, &w, 1, 0, rows % 2 ? HC_DOT_QUADS : HC_DOT_PAIRS);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < k; i++) x[(size_t)r * stride + (size_t)i] += shift;
    put_all(&q, x, stride);
    hash(HASH_QUANTISE, q.scale, (size_t)rows * sizeof(float));
    hash(HASH_QUANTISE, q.zero, (size_t)rows * sizeof(int32_t));
    for (int r = 0; r < rows; r++) {
        double step = (double)q.scale[r], worst = 0;
        int in_range = q.zero[r] >= 0 && q.zero[r] <= 127, padded = 1;
        for (size_t i = 0; i < q.depth; i++) {
            int found = *level(&q, r, i);
            unsigned char byte = (unsigned char)found;
            hash(HASH_QUANTISE, &byte, 1);
            in_range &= found >= 0 && found <= 127;
            if (i >= (size_t)k) {
                padded &= found == 0;
            } else {
                double error = fabs(step * (found - q.zero[r]) - (double)x[(size_t)r * stride + i]);
                worst = error > worst ? error : worst;
            }
        }
        CHECK(in_range && padded, "k %d: levels out of range or padding not 0", k);
        /* half a step, and half a step more at one end, where the zero point was rounded */
        CHECK(worst <= step * 1.0001, "k %d scale %g shift %g: error of %g steps", k, (double)scale, (double)shift,
              worst / step);
    }
    free_rows(&q);
    free(x);
}

/* In the order of k; what ends a list adds nothing. */
static int follows(const hc_outlier *o, const hc_outlier *before)
{
    int nothing = !o->step;
    for (int i = 0; i < HC_DEPTH; i++) nothing &= !o->digits[i];
    return nothing || o->step > before->step;
}

static void check_lists(const hc_rows *q, int row)
{
    const hc_outlier *list = q->outliers + (size_t)row * (size_t)q->most_outliers;
    int above = q->above[row], below = q->below[row], in_order = 1;
    for (int i = 1; i < above; i++) in_order &= follows(&list[i], &list[i - 1]);
    for (int i = 1; i < below; i++) in_order &= follows(&list[q->most_outliers - i - 1], &list[q->most_outliers - i]);
    CHECK(above % 2 == 0 && below % 2 == 0 && above + below <= q->most_outliers && in_order,
          "k %d: lists of %d and %d, of at most %d in order", q->k, above, below, q->most_outliers);
}

/* Rows with a few values much larger than the rest: of `far` values in a row, up to `factor` times as large. */
static void check_outliers(int rows, int k, int far, float factor, hc_storage storage)
{
    float *x = random_rows(rows, k, (size_t)k, 1), *largest = allocate((size_t)k * sizeof *largest);
    int *found = allocate((size_t)k * sizeof *found), blocks = (k + 15) / 16, allowed = k / 128 == 1 ? 2 : k / 128;
    hc_matrix w = shape_of(k, storage);
    hc_rows q = make_rows(rows, &w, 1, 1, HC_DOT_PAIRS);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < far; i++) x[r * k + random_below(k)] *= 1 + factor * (random_float() + 1);
    put_all(&q, x, (size_t)k);
    hash(HASH_OUTLIERS, q.scale, (size_t)rows * sizeof(float));
    for (int r = 0; r < rows; r++) {
        const float *row = x + r * k;
        double step = (double)q.scale[r], worst = 0, most = 0;
        int beyond = 0;
        whole_levels(&q, r, found);
        hash(HASH_OUTLIERS, found, (size_t)k * sizeof *found);
        for (int b = 0; b < blocks; b++) {
            largest[b] = 0;
            for (int i = 16 * b; i < 16 * b + 16 && i < k; i++)
                largest[b] = fabsf(row[i]) > largest[b] ? fabsf(row[i]) : largest[b];
            most = (double)largest[b] > most ? (double)largest[b] : most;
        }
        for (int b = 0; b < blocks; b++) beyond += (double)largest[b] > 127 * step;
        for (int i = 0; i < k; i++) {
            double error = fabs(step * found[i] - (double)row[i]);
            worst = error > worst ? error : worst;
        }
        if (q.most_outliers) check_lists(&q, r);
        CHECK(worst <= step * 1.0001, "k %d, %d outliers of %g: error of %g steps", k, far, (double)factor,
              worst / step);
        CHECK(beyond <= allowed, "k %d: %d blocks beyond the bound", k, beyond);
        /* The rest lies within ±1, or within what second digits leave. Setting all that are allowed apart has to
         * lower the bound by the square root of 2, in steps of which bounds are tried. */
        double rest = most / 120 > 1 ? most / 120 : 1;
        CHECK(far > allowed || step <= 1.06 * 2 * rest / 127 * (1.42 + 0.58 * far / allowed),
              "k %d, %d outliers of %g: a step of %g", k, far, (double)factor, step);
    }
    free_rows(&q);
    free(found);
    free(largest);
    free(x);
}

static void check_quantise_special(void)
{
    float x[5][20] = {{0}};
    hc_matrix w = shape_of(20, HC_STORE_I8);
    hc_rows q = make_rows(5, &w, 1, 1, HC_DOT_PAIRS);
    x[1][19] = NAN;
    x[2][3] = INFINITY;
    x[3][17] = -INFINITY;
    x[4][1] = 3e38f;
    x[4][2] = -3e38f;
    put_all(&q, x[0], 20);
    int zeros = 1, in_range = 1;
    for (size_t i = 0; i < 20; i++) zeros &= *level(&q, 0, i) == 0;
    for (size_t i = 0; i < 100; i++)
        in_range &= *level(&q, (int)i / 20, i % 20) >= 0 && *level(&q, (int)i / 20, i % 20) <= 127;
    CHECK(zeros && q.scale[0] == 0 && q.zero[0] == 0, "a row of zeros");
    CHECK(in_range && isnan(q.scale[1]) && isnan(q.scale[2]) && isnan(q.scale[3]), "rows with NaN and infinity");
    CHECK(q.scale[4] > 4.7e36f && q.scale[4] < 4.8e36f && *level(&q, 4, 1) == 127 && *level(&q, 4, 2) == 0,
          "the largest range");
    free_rows(&q);

    w = shape_of(4, HC_STORE_I8);
    q = make_rows(1, &w, 1, 1, HC_DOT_PAIRS);
    float ties[4] = {0, 127, 2.5f, 3.5f};
    put_all(&q, ties, 4);
    CHECK(q.scale[0] == 1 && q.zero[0] == 0 && *level(&q, 0, 1) == 127 && *level(&q, 0, 2) == 2 &&
              *level(&q, 0, 3) == 4,
          "ties go to even");
    float below[4] = {-127, 0, -1, -1};
    put_all(&q, below, 4);
    CHECK(q.zero[0] == 127 && *level(&q, 0, 0) == 0 && *level(&q, 0, 1) == 127 && *level(&q, 0, 2) == 126,
          "all below zero");
    float both[4] = {-63.5f, 63.5f, 0, 0}; /* 64 on both sides of 0 would be one level too many */
    put_all(&q, both, 4);
    CHECK(q.scale[0] == 1 && q.zero[0] == 64 && *level(&q, 0, 0) == 0 && *level(&q, 0, 1) == 127, "the highest level");
    free_rows(&q);
}

/* fp32 rows: the same values in another order, all of a row or in parts. */
static void check_put(int count, int k, int exact)
{
    float *x = random_floats((size_t)(count * k), 1);
    hc_matrix w = shape_of(k, HC_STORE_F32);
    hc_rows whole = make_rows(count, &w, exact, 0, HC_DOT_PAIRS), parts = make_rows(count, &w, exact, 0, HC_DOT_PAIRS);
    if (k > 2) {
        x[0] = 0x1p-61f;
        x[1] = -0x1p-59f;
        x[2] = 1 + 0x1p-13f; /* halfway between two numbers of 13 bits */
    }
    put_all(&whole, x, (size_t)k);
    int wrong = 0, tiles = hc_tile_count(count, whole.most), seen = 0;
    for (int r = 0; r < count; r++)
        for (int at = 0, n; at < k; at += n) {
            n = 1 + random_below(k - at);
            hc_rows_put_part(&parts, r, at, x + r * k + at, n);
        }
    for (int t = 0; t < tiles; t++) {
        int first = hc_tile_first(count, tiles, t), rows = hc_tile_first(count, tiles, t + 1) - first;
        CHECK(rows > 0 && rows <= whole.most && first == seen, "tile %d of %d rows", t, count);
        seen += rows;
        for (int r = first; r < first + rows; r++) {
            wrong += hc_tile_of(count, tiles, r) != t;
            for (int i = 0; i < k; i++) {
                size_t at = (size_t)(first * k + i * rows + r - first);
                wrong += (double)whole.x[at] != (exact ? thirteen_bits(x[r * k + i]) : (double)x[r * k + i]) ||
                         parts.x[at] != whole.x[at];
            }
        }
    }
    CHECK(!wrong && seen == count, "%d rows of %d, exact %d: %d wrong", count, k, exact, wrong);
    free_rows(&whole);
    free_rows(&parts);
    free(x);
}

static void check_normalise(int n, float scale)
{
    float *x = random_floats((size_t)n, scale);
    double sum = 0, worst = 0;
    float *before = allocate((size_t)n * sizeof *before);
    memcpy(before, x, (size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    hc_normalise(x, n);
    hash(HASH_NORMALISE, x, (size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) {
        double norm = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12, error = fabs((double)x[i] - (double)before[i] / norm);
        worst = error > worst ? error : worst;
    }
    CHECK(worst < 1e-6, "normalise %d: %g", n, worst);
    free(before);
    free(x);
}

/* Rows of a table, as tensor.h says how they lie. */
static void check_table(int rows, int width, hc_storage storage)
{
    static const size_t sizes[] = {[HC_STORE_F32] = 4, [HC_STORE_F16] = 2, [HC_STORE_I8] = 1};
    size_t groups = hc_groups(width),
           row_bytes = storage == HC_STORE_I4 ? groups * HC_GROUP_BYTES : (size_t)width * sizes[storage],
           bytes = (size_t)rows * row_bytes;
    hc_table t = {.rows = rows, .width = width, .storage = storage, .data = allocate(bytes)};
    float *scale = random_floats((size_t)rows, 1), *out = guarded(1, width);
    uint16_t *group_scale = allocate((size_t)rows * groups * sizeof *group_scale);
    t.scale = scale;
    t.group_scale = group_scale;
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)t.data)[i] = (uint8_t)random_below(120);
    for (size_t i = 0; i < (size_t)rows * groups; i++) group_scale[i] = hc_float_to_half(random_float());
    int wrong = 0;
    for (int r = 0; r < rows; r++) {
        hc_table_row(&t, r, out);
        for (int i = 0; i < width; i++) {
            size_t at = (size_t)(r * width + i), group = (size_t)r * groups + (size_t)(i / HC_GROUP);
            int byte = ((uint8_t *)t.data)[storage == HC_STORE_I4 ? group * HC_GROUP_BYTES + (size_t)(i % 16) : 0],
                four = i % HC_GROUP < 16 ? byte & 15 : byte >> 4;
            float expected = storage == HC_STORE_F32   ? ((float *)t.data)[at]
                             : storage == HC_STORE_F16 ? (float)reference_half(((uint16_t *)t.data)[at])
                             : storage == HC_STORE_I8
                                 ? (float)((int8_t *)t.data)[at] * scale[r]
                                 : (float)(four < 8 ? four : four - 16) * hc_half_to_float(group_scale[group]);
            wrong += out[i] != expected;
        }
    }
    CHECK(!wrong && guards_stand(out, 1, width), "table of %d rows of %d, storage %d: %d wrong", rows, width,
          (int)storage, wrong);
    free(group_scale);
    free(out);
    free(scale);
    free(t.data);
}

static void check_norms(void)
{
    for (int width = 1; width <= 70; width += 3)
        for (int storage = HC_STORE_F32; storage <= HC_STORE_I4; storage++)
            check_table(1 + width % 4, width, (hc_storage)storage);
    for (int n = 1; n <= 40; n++) check_rms_norm(n, n % 2 ? 1 : 1e-3f, 0);
    check_rms_norm(768, 3, 0);
    for (int n = 2; n <= 40; n++) check_rms_norm(n, n % 2 ? 1 : 1e-2f, 1);
    check_rms_norm(768, 3, 1);
    random_state = 1; /* as what follows found it before */
    for (int n = 1; n <= 40; n++) {
        check_layer_norm(2, n, 1, 0);
        check_quantise(2 + n % 9, n, 3, (float)(n % 5 - 2), n % 2 ? HC_STORE_I8 : HC_STORE_I4);
        check_put(1 + n % 14, n, n % 2);
        check_normalise(n, n == 7 ? 0 : n == 8 ? 1e-10f : 5);
    }
    check_layer_norm(3, 768, 1, 0);
    check_layer_norm(3, 768, 1, 100);
    check_layer_norm(3, 1029, 1e-3f, 0);
    check_quantise(3, 768, 1e-3f, 0, HC_STORE_I8);
    check_put(50, 30, 1);
    check_put(197, 3, 0);
    check_quantise(3, 1029, 1e20f, 0, HC_STORE_I4);
    check_quantise_special();
    for (int k = 128; k < 1200; k += 61)
        for (int far = 0; far <= 8; far += 2) {
            check_outliers(5, k, far, 3, HC_STORE_I8);
            check_outliers(3, k, far, far ? 100 : 0, HC_STORE_I4);
        }
    check_outliers(2, 16384, 3000, 1e4f, HC_STORE_I8);
    check_outliers(2, 768, 768, 10, HC_STORE_I8);
    check_normalise(512, 1);
}

#endif
