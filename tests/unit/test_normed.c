/* test_normed.c: matrices that are multiplied with a norm's rows, at int4: the same bits in whatever order a file has
 * them and the norm, with errors that count as the norm's channels do, and biases that make up for their mean. */
#include "check.h"
#include "inside.h"
#include "load/normed.h"
#include "load/pack.h"
#include "loading.h"

#include <math.h>

static hc_encoder *load(hc_tower tower, bytes file, const char *config, hc_dtype dtype, size_t chunk)
{
    outcome end;
    hc_encoder *encoder = load_bytes(tower, file, config, dtype, chunk, 1, &end);
    CHECK(encoder, "%s", end.message);
    return encoder;
}

/* The same tensors, last ones first. */
static bytes reversed(bytes file)
{
    size_t count;
    part *parts = take_apart(file, &count);
    for (size_t i = 0; i < count / 2; i++) {
        part p = parts[i];
        parts[i] = parts[count - 1 - i];
        parts[count - 1 - i] = p;
    }
    char *metadata = metadata_of(file);
    bytes other = build_file(parts, count, metadata);
    free(metadata);
    free(parts);
    return other;
}

/* The same shard at int4 in any order, and cut anywhere. */
static void check_file(const char *name, hc_tower tower, bytes file, const char *config)
{
    bytes other = reversed(file), expected = {NULL, 0};
    for (int i = 0; i < 4; i++) {
        hc_encoder *encoder = load(tower, i % 2 ? other : file, config, HC_INT4, i < 2 ? 1000 : 7);
        bytes found = shard_of(encoder);
        if (!i) expected = found;
        CHECK(same_bytes(expected, found), "%s: other bits in %s order", name, i % 2 ? "another" : "the same");
        if (i) free(found.data);
        hc_encoder_free(encoder);
    }
    free(expected.data);
    free(other.data);
}

/* Out of a checkpoint, and out of what int8 left of it. */
static void check_order(const char *name, hc_tower tower)
{
    bytes file = golden_tower(name, ".safetensors"), config = golden_tower(name, ".json");
    hc_encoder *eight = load(tower, file, (char *)config.data, HC_INT8, 1000);
    bytes shard = shard_of(eight);
    check_file(name, tower, file, (char *)config.data);
    check_file(name, tower, shard, NULL);
    hc_encoder_free(eight);
    free(file.data);
    free(config.data);
    free(shard.data);
}

/* A matrix at int4 against its weights [k] a row. Returns how much smaller its errors are, counted, than those of
 * weights that are rounded for themselves. */
static double check_matrix(const hc_encoder *exact, const hc_encoder *four, int id, float *counts)
{
    const hc_tensor *t = &exact->net.tensors[id], *held = &four->net.tensors[id];
    const float *means = hc_normed_means(&exact->net, t);
    size_t k = (size_t)t->matrix.k;
    float *w = calloc(k, sizeof *w), *q = calloc(k, sizeof *q), *alone = calloc(k, sizeof *alone);
    hc_tensor plain = *held;
    uint64_t bytes = 0;
    hc_stored_place(&plain, HC_STORE_I4, NULL, &bytes);
    uint8_t *memory = aligned_alloc(HC_ALIGN, (size_t)hc_size_round_up(bytes, HC_ALIGN));
    memset(memory, 0, (size_t)bytes);
    bytes = 0;
    hc_stored_place(&plain, HC_STORE_I4, memory, &bytes);
    double errors[2] = {0, 0};
    for (int row = 0; row < t->matrix.n; row++) {
        hc_unpack_row(&t->matrix, row, w);
        hc_dequantise_row(&held->matrix, row, q);
        hc_pack_row(&plain.matrix, row, w);
        hc_dequantise_row(&plain.matrix, row, alone);
        double mean = 0, size = 0;
        for (size_t i = 0; i < k; i++) {
            double error = (double)w[i] - (double)q[i], other = (double)w[i] - (double)alone[i];
            errors[0] += (double)counts[i] * error * error;
            errors[1] += (double)counts[i] * other * other;
            mean += means ? (double)means[i] * error : 0;
            size += means ? fabs((double)means[i] * error) : 0;
        }
        const float *before = hc_normed_bias(&exact->net, t, row), *after = hc_normed_bias(&four->net, held, row);
        if (!before) continue;
        double found = (double)*after - (double)*before, slack = 1e-5 * (size + fabs((double)*before));
        CHECK(fabs(found - mean) <= slack, "%s: bias %d is moved by %g, expected %g", t->name, row, found, mean);
    }
    free(memory);
    free(w);
    free(q);
    free(alone);
    return errors[1] / errors[0];
}

/* `expected`: how many matrices are multiplied with norms. */
static void check_rounding(const char *name, hc_tower tower, int expected)
{
    hc_encoder *exact = golden_encoder(name, tower, HC_FP32), *four = golden_encoder(name, tower, HC_INT4);
    const hc_network *net = &exact->net;
    int normed = 0;
    double gain = 0;
    for (int id = 1; id < net->tensor_count; id++) {
        const hc_tensor *t = &net->tensors[id];
        if (t->kind != HC_MATRIX || hc_stored_as(t, HC_INT4) != HC_STORE_I4) continue;
        float *counts = calloc((size_t)t->matrix.k, sizeof *counts);
        if (hc_normed_counts(net, t, counts)) {
            normed++;
            gain += check_matrix(exact, four, id, counts);
        }
        free(counts);
    }
    CHECK(normed == expected, "%s: %d matrices, expected %d", name, normed, expected);
    CHECK(gain > 1.002 * normed, "%s: errors are smaller by a factor of %g", name, gain / normed);
    hc_encoder_free(exact);
    hc_encoder_free(four);
}

/* A norm that shuts off all channels or overflows: the matrix is as it is without one, and so is its bias. */
static void check_nothing_said(float factor)
{
    static const char *const norm_names[] = {"transformer.resblocks.0.ln_2.weight",
                                             "transformer.resblocks.0.ln_2.bias"};
    bytes file = golden_tower("clip", ".safetensors"), config = golden_tower("clip", ".json");
    size_t count;
    part *parts = take_apart(file, &count);
    float values[1024];
    for (int i = 0; i < 1024; i++) values[i] = factor;
    for (int i = 0; i < 2; i++) {
        part *norm = part_of(parts, count, norm_names[i]);
        norm->size = norm->size / (strcmp(norm->dtype, "F32") ? 2 : 4) * sizeof *values;
        norm->data = (const uint8_t *)values;
        strcpy(norm->dtype, "F32");
    }
    bytes changed = build_file(parts, count, NULL);
    hc_encoder *exact = load(HC_TEXT, changed, (char *)config.data, HC_FP32, 1000),
               *four = load(HC_TEXT, changed, (char *)config.data, HC_INT4, 1000);
    const hc_tensor *t = tensor_of(exact, "0.mlp.c_fc.weight"), *held = tensor_of(four, "0.mlp.c_fc.weight");
    float *w = calloc((size_t)t->matrix.k, sizeof *w), *q = calloc((size_t)t->matrix.k, sizeof *q);
    double far = 0, moved = 0;
    for (int row = 0; row < t->matrix.n; row++) {
        hc_unpack_row(&t->matrix, row, w);
        hc_dequantise_row(&held->matrix, row, q);
        double largest = 0;
        for (int i = 0; i < t->matrix.k; i++) largest = fmax(largest, fabs((double)w[i]));
        for (int i = 0; i < t->matrix.k; i++) far = fmax(far, fabs((double)w[i] - (double)q[i]) / largest);
        moved =
            fmax(moved, fabs((double)(*hc_normed_bias(&four->net, held, row) - *hc_normed_bias(&exact->net, t, row))));
    }
    CHECK(far < 0.15 && moved == 0, "with a norm of %g weights are off by %g of the largest, biases by %g",
          (double)factor, far, moved);
    free(w);
    free(q);
    free(parts);
    free(changed.data);
    free(file.data);
    free(config.data);
    hc_encoder_free(exact);
    hc_encoder_free(four);
}

int main(void)
{
    check_rounding("clip", HC_IMAGE, 4);
    check_rounding("clip", HC_TEXT, 4);
    check_rounding("bert", HC_TEXT, 8);
    check_rounding("mt5", HC_TEXT, 10);
    check_rounding("eva02-tiny", HC_IMAGE, 5);
    check_nothing_said(0);
    check_nothing_said(1e-20f);
    check_nothing_said(1e20f);
    check_order("clip", HC_IMAGE);
    check_order("clip", HC_TEXT);
    check_order("clip-bf16", HC_IMAGE);
    check_order("bert", HC_TEXT);
    check_order("vit-timm-dinov2", HC_IMAGE);
    return check_result("normed");
}
