/* test_profile.c: the list of operations as hc_encoder_profile tells it, and a tower computed operation by operation.
 */
#include "check.h"
#include "inside.h"
#include "loading.h"

#include <math.h>

/* A matrix [n, k] that is multiplied by `rows` rows takes as many multiplications as that has numbers; and all of the
 * list's tensors and values are somebody's. */
static void test_list(const char *name, hc_tower tower)
{
    hc_encoder *encoder = golden_encoder(name, tower, HC_INT8);
    hc_operation o;
    size_t count = 0;
    uint64_t all = 0;
    int used[512] = {0}, unused = 0;
    for (; hc_encoder_profile(encoder, count, &o); count++) {
        const hc_op *op = &encoder->net.ops[count];
        all += o.multiplications;
        CHECK(o.kind && o.name && o.rows > 0 && o.n > 0, "%s, operation %zu", name, count);
        CHECK(o.height * o.width == 0 || o.height * o.width == o.rows, "%s: a grid of other rows", o.name);
        if (!strcmp(o.kind, "linear"))
            CHECK(o.multiplications == (uint64_t)o.rows * (uint64_t)o.n * (uint64_t)o.k, "%s: multiplications", o.name);
        for (int i = 0; i < HC_OP_TENSORS; i++) used[op->tensors[i]] = 1;
        for (int i = 0; i < HC_OP_VALUES; i++) {
            const hc_value_info *v = &encoder->net.values[op->in[i]];
            used[v->norm_weight] = used[v->norm_bias] = used[v->tensor] = used[encoder->net.values[v->normed].tensor] =
                1;
        }
        const hc_fold *fold = &encoder->net.folds[op->fold];
        used[fold->weight] = used[fold->bias] = used[fold->mean] = used[fold->variance] = 1;
    }
    for (int i = 1; i < encoder->net.tensor_count; i++) unused += !used[i];
    CHECK(count > 10 && all > 1000 && !unused, "%s: %zu operations, %d tensors that none reads", name, count, unused);
    CHECK(!hc_encoder_profile(encoder, count + 1, &o) && !hc_encoder_profile(encoder, SIZE_MAX, &o), "behind the last");
    hc_encoder_free(encoder);
}

static void test_operations(const char *name, hc_tower tower, hc_dtype dtype)
{
    hc_encoder *encoder = golden_encoder(name, tower, dtype);
    hc_info info;
    hc_encoder_info(encoder, &info);
    size_t numbers = (size_t)(info.dim * info.tokens_out),
           item = tower == HC_IMAGE ? 3 * (size_t)info.image_height * (size_t)info.image_width
                                    : (size_t)info.context_length;
    size_t inputs = (size_t)info.batch + 3; /* more than one pass */
    int32_t *input = calloc(inputs * item, sizeof *input);
    float *expected = calloc(inputs * numbers, sizeof *expected), *out = calloc(inputs * numbers, sizeof *out);
    if (!input || !expected || !out) exit(1);
    for (size_t i = 0; i < inputs * item; i++) {
        float pixel = (float)(i % 97) / 97 - 0.5f;
        if (tower == HC_IMAGE) memcpy(input + i, &pixel, sizeof pixel);
        else input[i] = (int32_t)(i % (size_t)info.vocab_size);
    }
    hc_embed_begin(encoder, input, inputs, 1, expected);
    hc_embed_step(encoder, UINT64_MAX);
    hc_embed_begin(encoder, input, inputs, 1, out);
    int count = encoder->net.op_count, wrong = 0, done = 0, passes = 0;
    for (int op; (op = hc_embed_operation(encoder)) >= 0; done++) {
        wrong += op != done % count;
        passes += op == 0;
        hc_operation_result result;
        hc_operation made;
        int found = hc_embed_result(encoder, op, &result);
        wrong += found != (op < count - 1) || hc_embed_result(encoder, op - 1, &result);
        if (!found || !hc_encoder_profile(encoder, (size_t)op, &made)) continue;
        wrong += result.n != made.n || result.rows < 1 || result.stride < (size_t)result.n;
        for (int r = 0; r < result.rows; r++)
            for (int i = 0; i < result.n; i++) wrong += !isfinite(result.at[(size_t)r * result.stride + (size_t)i]);
    }
    CHECK(!wrong && done == passes * count && passes > 1, "%s: %d operations in %d passes of %d", name, done, passes,
          count);
    CHECK(!memcmp(out, expected, inputs * numbers * sizeof *out), "%s: other bits operation by operation", name);
    CHECK(hc_embed_operation(encoder) == -1, "%s: operations after the last", name);
    free(input);
    free(expected);
    free(out);
    hc_encoder_free(encoder);
}

int main(void)
{
    static const struct {
        const char *name;
        hc_tower tower;
    } cases[] = {{"clip", HC_IMAGE},         {"clip", HC_TEXT}, {"coca", HC_IMAGE},   {"coca", HC_TEXT},
                 {"resnet-plain", HC_IMAGE}, {"bert", HC_TEXT}, {"roberta", HC_TEXT}, {"timm-vit-siglip", HC_IMAGE},
                 {"block-all", HC_TEXT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_list(cases[i].name, cases[i].tower);
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++)
            test_operations(cases[i].name, cases[i].tower, (hc_dtype)dtype);
    }
    return check_result("profile");
}
