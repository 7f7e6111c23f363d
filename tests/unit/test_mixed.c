/* test_mixed.c: a shard of mixed bits, int4 with some tensors at int8: it loads as it is, to the numbers that either
 * dtype alone has, is written again byte for byte, and what is wrong with it is said. */
#include "check.h"
#include "inside.h"
#include "load/pack.h"
#include "loading.h"

static const char *const EIGHT[] = {"resblocks.0.mlp.c_fc.weight", "resblocks.1.attn.in_proj_weight",
                                    "token_embedding.weight"};

static int is_eight(const char *name)
{
    for (size_t i = 0; i < sizeof EIGHT / sizeof *EIGHT; i++)
        if (strstr(name, EIGHT[i])) return 1;
    return 0;
}

static bytes golden_shard(hc_tower tower, hc_dtype dtype)
{
    outcome end;
    bytes file = golden_tower("clip", ".safetensors"), config = golden_tower("clip", ".json");
    hc_encoder *encoder = load_bytes(tower, file, (char *)config.data, dtype, 4096, 1, &end);
    CHECK(encoder, "%s", end.message);
    bytes shard = shard_of(encoder);
    hc_encoder_free(encoder);
    free(file.data);
    free(config.data);
    return shard;
}

/* An int4 shard whose EIGHT are those of the int8 shard; `change` may spoil its tensors. */
static bytes mix(bytes four, bytes eight, void (*change)(part *parts, size_t count))
{
    size_t count, eight_count;
    part *parts = take_apart(four, &count), *others = take_apart(eight, &eight_count);
    char *metadata = metadata_of(four);
    for (size_t i = 0; i < count; i++)
        if (is_eight(parts[i].name)) parts[i] = *part_of(others, eight_count, parts[i].name);
    if (change) change(parts, count);
    bytes mixed = build_file(parts, count, metadata);
    free(metadata);
    free(parts);
    free(others);
    return mixed;
}

static void values_of(const hc_tensor *t, int row, float *out)
{
    if (t->kind == HC_TABLE) hc_table_row(&t->table, row, out);
    else hc_dequantise_row(&t->matrix, row, out);
}

/* Each tensor as it is at int4 or at int8. */
static void check_tensors(const hc_encoder *mixed, const hc_encoder *four, const hc_encoder *eight)
{
    int eights = 0, fours = 0;
    for (int i = 1; i < mixed->net.tensor_count; i++) {
        const hc_tensor *t = &mixed->net.tensors[i];
        if (t->kind == HC_FLOATS || t->keep_half) continue;
        const hc_tensor *same = &(is_eight(t->name) ? eight : four)->net.tensors[i];
        hc_storage storage = t->kind == HC_TABLE ? t->table.storage : t->matrix.storage;
        int rows = t->kind == HC_TABLE ? t->table.rows : t->matrix.n, wrong = 0;
        size_t k = (size_t)(t->kind == HC_TABLE ? t->table.width : t->matrix.k);
        float *a = malloc(k * sizeof *a), *b = malloc(k * sizeof *b);
        CHECK(storage == (is_eight(t->name) ? HC_STORE_I8 : HC_STORE_I4), "%s has storage %d", t->name, (int)storage);
        for (int row = 0; row < rows; row++) {
            values_of(t, row, a);
            values_of(same, row, b);
            wrong += memcmp(a, b, k * sizeof *a) != 0;
        }
        CHECK(!wrong, "%s: %d rows differ", t->name, wrong);
        eights += storage == HC_STORE_I8;
        fours += storage == HC_STORE_I4;
        free(a);
        free(b);
    }
    CHECK(eights > 1 && fours > 1, "%d tensors at int8, %d at int4", eights, fours);
}

static void test_loads(hc_tower tower)
{
    outcome end;
    bytes four = golden_shard(tower, HC_INT4), eight = golden_shard(tower, HC_INT8), shard = mix(four, eight, NULL);
    hc_encoder *fours = load_bytes(tower, four, NULL, HC_AUTO, 1000, 1, &end),
               *eights = load_bytes(tower, eight, NULL, HC_AUTO, 1000, 1, &end),
               *mixed = load_bytes(tower, shard, NULL, HC_AUTO, 1000, 1, &end);
    CHECK(mixed, "%s", end.message);
    hc_info info;
    hc_encoder_info(mixed, &info);
    CHECK(info.dtype == HC_INT4, "dtype %d", (int)info.dtype);
    check_tensors(mixed, fours, eights);

    bytes written = shard_of(mixed);
    hc_encoder *again = load_bytes(tower, written, NULL, HC_INT4, 77, 0, &end);
    bytes same = shard_of(again);
    CHECK(same_bytes(written, same), "the shard changes when it is written again: %s", end.message);
    CHECK(written.size > four.size && written.size < eight.size, "%zu bytes, between %zu and %zu", written.size,
          four.size, eight.size);
    free(same.data);
    hc_encoder_free(again);

    /* At another dtype nothing stays mixed. */
    for (int dtype = HC_FP32; dtype <= HC_INT8; dtype++) {
        hc_encoder *other = load_bytes(tower, written, NULL, (hc_dtype)dtype, 1000, 1, &end);
        CHECK(other, "%s", end.message);
        for (int i = 1; other && i < other->net.tensor_count; i++) {
            const hc_tensor *t = &other->net.tensors[i];
            if (t->kind == HC_MATRIX)
                CHECK(t->matrix.storage != HC_STORE_I4 && (dtype == HC_INT8 || t->matrix.storage != HC_STORE_I8),
                      "%s has storage %d at dtype %d", t->name, (int)t->matrix.storage, dtype);
        }
        hc_encoder_free(other);
    }
    free(written.data);
    hc_encoder_free(mixed);
    hc_encoder_free(fours);
    hc_encoder_free(eights);
    free(shard.data);
    free(four.data);
    free(eight.data);
}

static void say_i8(part *parts, size_t count)
{
    strcpy(part_of(parts, count, "visual.transformer.resblocks.0.attn.out_proj.weight")->dtype, "I8");
}

static void say_u8(part *parts, size_t count)
{
    strcpy(part_of(parts, count, "visual.transformer.resblocks.0.mlp.c_fc.weight")->dtype, "U8");
}

static void drop_scale(part *parts, size_t count)
{
    *part_of(parts, count, "visual.transformer.resblocks.0.mlp.c_fc.weight.scale")->name = 0;
}

/* The values of one dtype under the name of the other have another shape. */
static void test_refused(void)
{
    static const struct {
        void (*change)(part *parts, size_t count);
        const char *word;
    } cases[] = {{say_i8, "resblocks.0.attn.out_proj.weight has shape"},
                 {say_u8, "resblocks.0.mlp.c_fc.weight has shape"},
                 {drop_scale, "resblocks.0.mlp.c_fc.weight.scale is missing"}};
    bytes four = golden_shard(HC_IMAGE, HC_INT4), eight = golden_shard(HC_IMAGE, HC_INT8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome end;
        bytes shard = mix(four, eight, cases[i].change);
        hc_encoder *encoder = load_bytes(HC_IMAGE, shard, NULL, HC_AUTO, 1000, 1, &end);
        CHECK(!encoder && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, cases[i].word),
              "expected %s, found %s: %s", cases[i].word, hc_status_code(end.status), end.message);
        hc_encoder_free(encoder);
        free(shard.data);
    }
    free(four.data);
    free(eight.data);
}

int main(void)
{
    test_loads(HC_IMAGE);
    test_loads(HC_TEXT);
    test_refused();
    return check_result("mixed");
}
