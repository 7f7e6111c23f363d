/* test_shard.c: a shard loads to the encoder that wrote it, bit for bit, and is written again byte for byte; other
 * dtypes are the numbers they should be; and shards that are wrong are refused. */
#include "check.h"
#include "checkpoint/json.h"
#include "loading.h"
#include "load/pack.h"
#include "inside.h"

static const hc_tower TOWERS[] = {HC_IMAGE, HC_TEXT};
static const char *const DTYPES[] = {"", "fp32", "fp16", "int8", "int4"};

static hc_encoder *load_shard(hc_tower tower, bytes shard, hc_dtype dtype, outcome *end)
{
    return load_bytes(tower, shard, NULL, dtype, 1000, 1, end);
}

static void refuse(hc_tower tower, bytes shard, hc_status status, const char *word)
{
    outcome end;
    hc_encoder *encoder = load_shard(tower, shard, HC_AUTO, &end);
    CHECK(!encoder && end.status == status && strstr(end.message, word), "expected %s about %s, found %s: %s",
          hc_status_code(status), word, hc_status_code(end.status), end.message);
    hc_encoder_free(encoder);
}

/* The vector of one made-up input, to be freed. */
static float *embed(hc_encoder *encoder, size_t *length)
{
    hc_info info;
    hc_encoder_info(encoder, &info);
    *length = (size_t)(info.dim * info.tokens_out) * sizeof(float);
    float *out = malloc(*length);
    size_t n =
        info.tower == HC_IMAGE ? 3 * (size_t)info.image_height * (size_t)info.image_width : (size_t)info.context_length;
    float *pixels = malloc(n * sizeof *pixels);
    int32_t *ids = malloc(n * sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        pixels[i] = (float)(i * 7919 % 256) / 64 - 2;
        ids[i] = (int32_t)(i * 31 % (size_t)(info.vocab_size + 1 - (info.vocab_size > 0)));
    }
    hc_status status =
        info.tower == HC_IMAGE ? hc_embed_pixels(encoder, pixels, 1, 1, out) : hc_embed_tokens(encoder, ids, 1, 1, out);
    CHECK(status == HC_OK, "%s", hc_status_code(status));
    free(pixels);
    free(ids);
    return out;
}

/* ---- there and back -----------------------------------------------------------------------------------------------
 */

static void check_round_trip(const char *name, hc_tower tower, hc_dtype dtype)
{
    outcome end;
    hc_encoder *first = golden_encoder(name, tower, dtype);
    if (!first) return;
    bytes shard = shard_of(first);
    hc_encoder *second = load_shard(tower, shard, HC_AUTO, &end);
    CHECK(second, "%s: %s", name, end.message);
    if (second) {
        hc_info a, b;
        size_t n;
        bytes again = shard_of(second);
        CHECK(same_bytes(shard, again), "%s %d %s: the shard changes when it is written again", name, tower,
              DTYPES[dtype]);
        hc_encoder_info(first, &a);
        hc_encoder_info(second, &b);
        CHECK(!memcmp(&a, &b, sizeof a) && b.dtype == dtype, "%s: info", name);
        CHECK(!strcmp(hc_encoder_config(first), hc_encoder_config(second)), "%s: %s", name, hc_encoder_config(second));
        float *x = embed(first, &n), *y = embed(second, &n);
        CHECK(!memcmp(x, y, n), "%s %d %s: another vector", name, tower, DTYPES[dtype]);
        free(x);
        free(y);
        free(again.data);
    }
    hc_encoder_free(first);
    hc_encoder_free(second);
    free(shard.data);
}

static void test_round_trips(void)
{
    size_t length;
    char *text = read_file("tests/golden/towers/index.json", &length);
    hc_json index, entry, tower;
    hc_json_error error;
    CHECK(hc_json_parse(text, length, &index, &error), "%s", error.reason);
    for (const char *cursor = NULL; hc_json_next(&index, &cursor, NULL, &entry);) {
        char name[64];
        hc_json name_value = hc_json_get(&entry, "name"), towers = hc_json_get(&entry, "towers");
        hc_json_string(&name_value, name, sizeof name);
        for (const char *at = NULL; hc_json_next(&towers, &at, NULL, &tower);)
            for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++)
                check_round_trip(name, hc_json_is(&tower, "image") ? HC_IMAGE : HC_TEXT, (hc_dtype)dtype);
    }
    free(text);
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

static void test_format(void)
{
    for (int t = 0; t < 2; t++)
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            hc_encoder *encoder = golden_encoder("clip", TOWERS[t], (hc_dtype)dtype);
            bytes shard = shard_of(encoder);
            hc_safetensors file;
            hc_problem problem = {.status = HC_OK};
            uint64_t length = hc_safetensors_header_length(shard.data);
            CHECK(length % 8 == 0 &&
                      hc_safetensors_parse(&file, (char *)shard.data + 8, (size_t)length, &problem) == HC_OK,
                  "%s", problem.message);
            CHECK(file.file_size == shard.size, "%zu bytes", shard.size);
            static const char *const keys[] = {"format", "halfclip", "tower", "dtype"};
            const char *const values[] = {"pt", "1", t ? "text" : "image", DTYPES[dtype]};
            for (int i = 0; i < 4; i++) {
                hc_json value = hc_json_get(&file.metadata, keys[i]);
                CHECK(hc_json_is(&value, values[i]), "%s is %.*s", keys[i], (int)value.length, value.text);
            }
            hc_json model = hc_json_get(&file.metadata, "model_cfg"),
                    tokenizer = hc_json_get(&file.metadata, "tokenizer");
            CHECK(model.type == HC_JSON_STRING && hc_json_get(&file.metadata, "preprocess_cfg").type == HC_JSON_STRING,
                  "configs as text");
            CHECK(t ? hc_json_is(&tokenizer, "{\"clean\":\"lower\"}") : tokenizer.type == HC_JSON_ABSENT,
                  "the tokenizer of a text shard");
            for (size_t i = 0; i < file.count; i++) {
                const hc_file_tensor *tensor = &file.tensors[i];
                uint64_t size = tensor->element == HC_F32 ? 4 : tensor->element == HC_F16 ? 2 : 1;
                CHECK(tensor->begin % size == 0, "%.*s is not aligned", (int)tensor->name.length, tensor->name.text);
            }
            hc_safetensors_free(&file);
            free(shard.data);
            hc_encoder_free(encoder);
        }
}

static void test_vocabulary(void)
{
    static const uint8_t merges[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int t = 0; t < 2; t++) {
        outcome end;
        size_t length = 0;
        bytes shard = {NULL, 0};
        hc_encoder *encoder = golden_encoder("clip", TOWERS[t], HC_INT8), *again;
        CHECK(!hc_encoder_vocabulary(encoder, &length) && length == 0, "a checkpoint has none");
        CHECK(hc_shard_write(encoder, merges, sizeof merges, append_bytes, &shard) == HC_OK, "written");
        again = load_shard(TOWERS[t], shard, HC_AUTO, &end);
        CHECK(again, "%s", end.message);
        if (again) {
            const void *held = hc_encoder_vocabulary(again, &length);
            CHECK(t ? length == sizeof merges && !memcmp(held, merges, length) : !held && !length,
                  "%zu bytes of vocabulary", length);
        }
        hc_encoder_free(again);
        free(shard.data);

        /* No list of merges of 16-bit ids is this long. */
        uint8_t *long_merges = calloc(1, 262148);
        shard = (bytes){NULL, 0};
        CHECK(hc_shard_write(encoder, long_merges, 262148, append_bytes, &shard) == HC_OK, "written");
        if (t) refuse(HC_TEXT, shard, HC_WEIGHTS_FORMAT, "halfclip.merges has shape [262148]");
        free(long_merges);
        free(shard.data);
        hc_encoder_free(encoder);
    }
}

typedef struct stopper {
    size_t calls, limit;
} stopper;

static int stop(void *user, const void *data, size_t n)
{
    stopper *s = user;
    (void)data;
    CHECK(n > 0, "an empty piece");
    return ++s->calls >= s->limit;
}

static void test_stopped(void)
{
    hc_encoder *encoder = golden_encoder("real-shape", HC_IMAGE, HC_FP32);
    stopper s = {0, 1000000};
    CHECK(hc_shard_write(encoder, NULL, 0, stop, &s) == HC_OK && s.calls > 3, "%zu pieces", s.calls);
    size_t all = s.calls;
    for (size_t limit = 1; limit <= all; limit++) {
        s = (stopper){0, limit};
        CHECK(hc_shard_write(encoder, NULL, 0, stop, &s) == HC_WEIGHTS_TRUNCATED && s.calls == limit,
              "%zu calls after piece %zu", s.calls, limit);
    }
    hc_encoder_free(encoder);
}

/* In parts of any size, from any byte, it is the same file. */
static void test_read(void)
{
    static const size_t sizes[] = {1, 7, 4096, 65536, 65537, 1 << 20};
    for (int t = 0; t < 2; t++)
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            hc_encoder *encoder = golden_encoder("clip", TOWERS[t], (hc_dtype)dtype);
            bytes shard = shard_of(encoder);
            uint8_t *part = malloc(shard.size + 1);
            size_t got;
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                size_t step = sizes[i] < 4096 ? shard.size / 61 + 1 : sizes[i], wrong = 0;
                for (size_t at = 0; at < shard.size; at += step) {
                    size_t left = shard.size - at, n = sizes[i] < shard.size ? sizes[i] : shard.size,
                           expected = n < left ? n : left;
                    memset(part, 0xAB, shard.size + 1);
                    wrong += hc_shard_read(encoder, NULL, 0, at, part, n, &got) != HC_OK || got != expected ||
                             memcmp(part, shard.data + at, got) || part[got] != 0xAB;
                }
                CHECK(!wrong, "%d %s: %zu parts of %zu bytes differ", t, DTYPES[dtype], wrong, sizes[i]);
            }
            CHECK(hc_shard_read(encoder, NULL, 0, shard.size, part, 1, &got) == HC_OK && got == 0,
                  "%zu bytes at the end", got);
            CHECK(hc_shard_read(encoder, NULL, 0, 1ull << 40, part, 1, &got) == HC_OK && got == 0,
                  "%zu bytes beyond the end", got);
            free(part);
            free(shard.data);
            hc_encoder_free(encoder);
        }
}

/* ---- other dtypes -------------------------------------------------------------------------------------------------
 */

/* The tensors of a file in their reverse order. */
static bytes reversed(bytes file)
{
    size_t count;
    part *parts = take_apart(file, &count), *copies = calloc(count, sizeof *copies);
    for (size_t i = 0; i < count; i++) copies[i] = parts[count - 1 - i];
    bytes turned = build_file(copies, count, NULL);
    free(copies);
    free(parts);
    return turned;
}

/* From one quantised dtype to another (or to fp16) is the same as by way of fp32, whether scales or values come first.
 */
static void test_requantised(hc_tower tower, bytes shard, hc_dtype dtype)
{
    outcome end;
    hc_encoder *wide = load_shard(tower, shard, HC_FP32, &end), *direct = load_shard(tower, shard, dtype, &end);
    bytes wide_shard = shard_of(wide), config = golden_tower("clip-quick-gelu", ".json"), turned = reversed(shard);
    hc_encoder *expected = load_shard(tower, wide_shard, dtype, &end);
    hc_encoder *last = load_bytes(tower, turned, (char *)config.data, dtype, 77, 1, &end);
    bytes a = shard_of(expected), b = shard_of(direct), c = shard_of(last);
    CHECK(same_bytes(a, b), "%s by way of fp32: %s", DTYPES[dtype], end.message);
    CHECK(c.size && b.size == c.size && !memcmp(b.data + b.size / 4, c.data + b.size / 4, b.size - b.size / 4),
          "%s, scales last: %s", DTYPES[dtype], end.message);
    hc_encoder *const encoders[] = {wide, direct, expected, last};
    for (size_t i = 0; i < 4; i++) hc_encoder_free(encoders[i]);
    uint8_t *const blocks[] = {wide_shard.data, config.data, turned.data, a.data, b.data, c.data};
    for (size_t i = 0; i < 6; i++) free(blocks[i]);
}

static void test_other_dtypes(void)
{
    static const char *const matrices[] = {"visual.transformer.resblocks.0.mlp.c_fc.weight", "token_embedding.weight"};
    for (int t = 0; t < 2; t++) {
        outcome end;
        hc_encoder *encoders[5];
        bytes shards[5];
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            encoders[dtype] = golden_encoder("clip-quick-gelu", TOWERS[t], (hc_dtype)dtype);
            shards[dtype] = shard_of(encoders[dtype]);
        }
        /* Narrowing goes the same way from a shard as from the checkpoint. */
        for (int dtype = HC_FP16; dtype <= HC_INT4; dtype++) {
            hc_encoder *narrowed = load_shard(TOWERS[t], shards[HC_FP32], (hc_dtype)dtype, &end);
            bytes shard = shard_of(narrowed);
            CHECK(same_bytes(shard, shards[dtype]), "fp32 to %s: %s", DTYPES[dtype], end.message);
            hc_encoder_free(narrowed);
            free(shard.data);
        }
        /* Widening multiplies by the scales, whether they come first (as they are written) or last. */
        for (int dtype = HC_FP32; dtype <= HC_FP16; dtype++)
            for (int reversed = 0; reversed < 2; reversed++) {
                size_t count, wide_count, n = 0, k = 0, wrong = 0;
                part *parts = take_apart(shards[HC_INT8], &count), *copies = calloc(count, sizeof *copies);
                const char metadata[] = "{}";
                for (size_t i = 0; i < count; i++) copies[i] = parts[reversed ? count - 1 - i : i];
                bytes config = golden_tower("clip-quick-gelu", ".json"), file = build_file(copies, count, metadata);
                hc_encoder *wide = load_bytes(TOWERS[t], file, (char *)config.data, (hc_dtype)dtype, 100, 1, &end);
                bytes wide_shard = shard_of(wide);
                CHECK(wide, "%s", end.message);
                if (wide) {
                    part *wide_parts = take_apart(wide_shard, &wide_count);
                    const part *w = part_of(wide_parts, wide_count, matrices[t]),
                               *q = part_of(parts, count, matrices[t]);
                    char scale_name[160];
                    snprintf(scale_name, sizeof scale_name, "%s.scale", matrices[t]);
                    const part *scale = part_of(parts, count, scale_name);
                    CHECK(sscanf(w->shape, "[%zu,%zu]", &n, &k) == 2 && scale->size == 4 * n, "%s", w->shape);
                    for (size_t i = 0; i < n * k; i++) {
                        size_t row = i / k, j = i % k,
                               at = t ? i : (row / 8 * ((k + 3) / 4) + j / 4) * 32 + row % 8 * 4 + j % 4;
                        float s, value;
                        memcpy(&s, scale->data + 4 * row, 4);
                        float expected = (float)(int8_t)q->data[at] * s;
                        if (dtype == HC_FP32) {
                            memcpy(&value, w->data + 4 * i, 4);
                        } else {
                            uint16_t half;
                            memcpy(&half, w->data + 2 * i, 2);
                            value = hc_half_to_float(half);
                            expected = hc_half_to_float(hc_float_to_half(expected));
                        }
                        wrong += value != expected;
                    }
                    CHECK(!wrong, "%s of int8 at %s: %zu values differ", matrices[t], DTYPES[dtype], wrong);
                    free(wide_parts);
                }
                hc_encoder_free(wide);
                free(wide_shard.data);
                free(file.data);
                free(config.data);
                free(copies);
                free(parts);
            }
        test_requantised(TOWERS[t], shards[HC_INT8], HC_INT4);
        test_requantised(TOWERS[t], shards[HC_INT4], HC_INT8);
        test_requantised(TOWERS[t], shards[HC_INT4], HC_FP16);
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            hc_encoder_free(encoders[dtype]);
            free(shards[dtype].data);
        }
    }
}

/* A convolution's kernel lies in the order [n][y][x][c] in memory and in quantised shards, and [n][c][y][x] in others:
 * quantised and widened, each number is where the checkpoint has it. */
static void test_convolutions(void)
{
    static const char name[] = "visual.layer1.0.conv2.weight";
    for (int from = HC_INT8; from <= HC_INT4; from++) {
        outcome end;
        size_t count;
        hc_encoder *encoder = golden_encoder("resnet-odd-widths", HC_IMAGE, (hc_dtype)from);
        bytes shard = shard_of(encoder);
        hc_encoder *wide = load_shard(HC_IMAGE, shard, HC_FP32, &end);
        bytes wide_shard = shard_of(wide);
        CHECK(wide, "%s", end.message);
        part *parts = take_apart(wide_shard, &count);
        const uint8_t *held = part_of(parts, count, name)->data;
        const hc_tensor *t = tensor_of(encoder, name);
        size_t channels = t->shape[1], positions = (size_t)t->positions, k = channels * positions, wrong = 0;
        CHECK(positions == 9 && channels > 1 && hc_is_quantised(t->matrix.storage), "%zu positions", positions);
        float *row = malloc(k * sizeof *row);
        for (int n = 0; n < t->matrix.n; n++) {
            hc_dequantise_row(&t->matrix, n, row);
            for (size_t i = 0; i < k; i++)
                wrong += memcmp(held + 4 * ((size_t)n * k + i), row + i % positions * channels + i / positions, 4) != 0;
        }
        CHECK(!wrong, "%s to fp32: %zu numbers of a convolution are elsewhere", DTYPES[from], wrong);
        hc_encoder *again = load_shard(HC_IMAGE, wide_shard, HC_AUTO, &end);
        size_t length;
        float *x = embed(wide, &length), *y = embed(again, &length);
        CHECK(!memcmp(x, y, length), "%s to fp32, written and loaded: another vector", DTYPES[from]);
        free(x);
        free(y);
        free(row);
        free(parts);
        free(wide_shard.data);
        free(shard.data);
        hc_encoder_free(again);
        hc_encoder_free(wide);
        hc_encoder_free(encoder);
    }
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

/* The shard's metadata with one piece replaced. */
static bytes with_metadata(bytes shard, const char *from, const char *to)
{
    size_t count;
    hc_safetensors file;
    hc_problem problem = {.status = HC_OK};
    char *metadata = calloc(1, 4096);
    part *parts = take_apart(shard, &count);
    hc_safetensors_parse(&file, (char *)shard.data + 8, (size_t)hc_safetensors_header_length(shard.data), &problem);
    memcpy(metadata, file.metadata.text, file.metadata.length);
    hc_safetensors_free(&file);
    char *at = strstr(metadata, from);
    if (!at) {
        fprintf(stderr, "no %s in %s\n", from, metadata);
        exit(1);
    }
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    memcpy(at, to, strlen(to));
    bytes edited = build_file(parts, count, metadata);
    free(metadata);
    free(parts);
    return edited;
}

static void test_metadata(void)
{
    static const struct {
        const char *from, *to;
        hc_status status;
        const char *word;
    } cases[] = {
        {"\"halfclip\":\"1\"", "\"halfclip\":\"2\"", HC_WEIGHTS_FORMAT, "version"},
        {"\"dtype\":\"int8\"", "\"dtype\":\"int2\"", HC_WEIGHTS_FORMAT, "int2"},
        {"\"tower\":\"text\"", "\"tower\":\"image\"", HC_WEIGHTS_MISMATCH, "holds the \"image\" tower"},
        {"\"model_cfg\":\"{", "\"model_cfg\":\"", HC_WEIGHTS_FORMAT, "model_cfg"},
        {"\"model_cfg\":\"{", "\"model_cfg\":\"[\",\"x\":\"{", HC_WEIGHTS_FORMAT, "model_cfg"},
        {"\"preprocess_cfg\":\"{", "\"preprocess_cfg\":\"", HC_WEIGHTS_FORMAT, "preprocess_cfg"},
        {"\"model_cfg\":", "\"other_cfg\":", HC_MODEL_CONFIG, "no model was given"},
        {"heads", "hands", HC_MODEL_UNSUPPORTED, "hands"},
    };
    outcome end;
    hc_encoder *encoder = golden_encoder("clip", HC_TEXT, HC_INT8);
    bytes shard = shard_of(encoder);
    refuse(HC_IMAGE, shard, HC_WEIGHTS_MISMATCH, "shard that holds the \"text\" tower, the image tower was asked for");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes edited = with_metadata(shard, cases[i].from, cases[i].to);
        refuse(HC_TEXT, edited, cases[i].status, cases[i].word);
        free(edited.data);
    }
    /* A given config comes first; what it does not say the shard adds. */
    const char *model = "{\"embed_dim\": 24, \"vision_cfg\": {}, \"text_cfg\": {\"context_length\": 12, "
                        "\"vocab_size\": 96, \"width\": 48, \"heads\": 6, \"layers\": 2}}";
    hc_encoder *given = load_bytes(HC_TEXT, shard, model, HC_AUTO, 100, 1, &end);
    CHECK(given && op_of(given, "attention")->heads == 6 && strstr(hc_encoder_config(given), "\"heads\": 6") &&
              strstr(hc_encoder_config(given), "0.48145466"),
          "%s", end.message);
    hc_encoder_free(given);
    model = "{\"embed_dim\": 24, \"vision_cfg\": {}, \"text_cfg\": {\"context_length\": 12, \"vocab_size\": 96, "
            "\"width\": 48, \"heads\": 6, \"layers\": 3}}";
    given = load_bytes(HC_TEXT, shard, model, HC_AUTO, 100, 1, &end);
    CHECK(!given && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, "resblocks.2"), "%s", end.message);
    hc_encoder_free(encoder);
    free(shard.data);
}

/* Quotes, backslashes, escapes and line breaks of a config go through a string of JSON and back. */
static void test_escapes(void)
{
    outcome end;
    bytes file = golden_tower("clip", ".safetensors");
    const char *model =
        "{\"embed_dim\": 24,\r\n\t\"vision_cfg\": {}, \"text_cfg\": {\"context_length\": 12, \"vocab_size\": 96, "
        "\"width\": 48, \"heads\": 3, \"layers\": 2, "
        "\"hf_tokenizer_name\": \"a\\\\b\\\"c\\u0001\xC3\xA9\", \"tokenizer_kwargs\": {\"clean\": \"canonicalize\"}}}";
    hc_encoder *first = load_bytes(HC_TEXT, file, model, HC_FP16, 1000, 1, &end);
    CHECK(first &&
              strstr(hc_encoder_config(first),
                     "\"tokenizer\":{\"clean\":\"canonicalize\",\"hf_tokenizer_name\":\"a\\\\b\\\"c\\u0001\xC3\xA9\"}"),
          "%s", end.message);
    bytes shard = shard_of(first);
    hc_encoder *second = load_shard(HC_TEXT, shard, HC_AUTO, &end);
    CHECK(second && !strcmp(hc_encoder_config(first), hc_encoder_config(second)), "%s", end.message);
    hc_encoder_free(first);
    hc_encoder_free(second);
    free(shard.data);
    free(file.data);
}

static void test_quantised_values(void)
{
    hc_encoder *encoder = golden_encoder("odd-widths", HC_TEXT, HC_INT8);
    bytes shard = shard_of(encoder);
    size_t count;
    part *parts = take_apart(shard, &count);
    static const struct {
        const char *name;
        size_t at;
        uint32_t value;
        size_t size;
        const char *word;
    } cases[] = {
        {"transformer.resblocks.0.mlp.c_fc.weight", 0, 0x80, 1, "-128"},
        {"token_embedding.weight", 5, 0x80, 1, "-128"},
        {"transformer.resblocks.0.mlp.c_fc.weight.scale", 4, 0x7FC00000, 4, "NaN"},
        {"transformer.resblocks.0.mlp.c_fc.weight.scale", 4, 0xBF800000, 4, "negative"},
        {"token_embedding.weight.scale", 8, 0x7F000000, 4, "too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t offset = (size_t)(part_of(parts, count, cases[i].name)->data - shard.data) + cases[i].at;
        uint8_t kept[4];
        memcpy(kept, shard.data + offset, sizeof kept);
        memcpy(shard.data + offset, &cases[i].value, cases[i].size);
        for (int dtype = HC_FP32; dtype <= HC_INT8; dtype++) {
            outcome end;
            hc_encoder *bad = load_shard(HC_TEXT, shard, (hc_dtype)dtype, &end);
            CHECK(!bad && end.status == HC_WEIGHTS_CORRUPT && strstr(end.message, cases[i].word) &&
                      strstr(end.message, cases[i].name),
                  "%s: %s", cases[i].name, end.message);
            hc_encoder_free(bad);
        }
        memcpy(shard.data + offset, kept, sizeof kept);
    }
    /* Rubbish in the padding of a panel does not reach the encoder. */
    const part *padded = part_of(parts, count, "transformer.resblocks.0.attn.out_proj.weight");
    size_t last = (size_t)(padded->data - shard.data) + padded->size - 1;
    CHECK(shard.data[last] == 0, "the last value is padding");
    shard.data[last] = 99;
    outcome end;
    hc_encoder *cleaned = load_shard(HC_TEXT, shard, HC_AUTO, &end);
    shard.data[last] = 0;
    bytes again = shard_of(cleaned);
    CHECK(same_bytes(shard, again), "%s", end.message);
    free(again.data);
    hc_encoder_free(cleaned);

    part *scale = part_of(parts, count, "transformer.resblocks.0.mlp.c_fc.weight.scale");
    *scale->name = '\0';
    bytes config = golden_tower("odd-widths", ".json"), file = build_file(parts, count, NULL);
    cleaned = load_bytes(HC_TEXT, file, (char *)config.data, HC_AUTO, 100, 1, &end);
    CHECK(!cleaned && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, "c_fc.weight.scale is missing"), "%s",
          end.message);
    free(file.data);
    free(config.data);
    free(parts);
    free(shard.data);
    hc_encoder_free(encoder);
}

static float half_at(const part *p, size_t i)
{
    uint16_t half;
    memcpy(&half, p->data + 2 * i, 2);
    return hc_half_to_float(half);
}

/* int4 shards: the shapes, each weight within half a step of what it was, and what is refused. */
static void test_int4(void)
{
    static const struct {
        hc_tower tower;
        const char *name;
    } cases[] = {
        {HC_IMAGE, "visual.transformer.resblocks.0.attn.out_proj.weight"},
        {HC_TEXT, "transformer.resblocks.0.mlp.c_fc.weight"},
        {HC_TEXT, "token_embedding.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome end;
        size_t count, wide_count, n, k, wrong = 0;
        char scale_name[160], shape[64], scale_shape[64];
        hc_encoder *full = golden_encoder("odd-widths", cases[i].tower, HC_FP32),
                   *encoder = golden_encoder("odd-widths", cases[i].tower, HC_INT4);
        bytes wide = shard_of(full), shard = shard_of(encoder);
        part *wide_parts = take_apart(wide, &wide_count), *parts = take_apart(shard, &count);
        snprintf(scale_name, sizeof scale_name, "%s.scale", cases[i].name);
        const part *w = part_of(wide_parts, wide_count, cases[i].name), *q = part_of(parts, count, cases[i].name),
                   *s = part_of(parts, count, scale_name);
        CHECK(sscanf(w->shape, "[%zu,%zu]", &n, &k) == 2, "%s", w->shape);
        size_t groups = (k + 31) / 32, panels = (n + 7) / 8;
        int table = i == 2;
        snprintf(shape, sizeof shape, table ? "[%zu,%zu,16]" : "[%zu,%zu,8,16]", table ? n : panels, groups);
        snprintf(scale_shape, sizeof scale_shape, table ? "[%zu,%zu]" : "[%zu,%zu,8]", table ? n : panels, groups);
        CHECK(!strcmp(q->shape, shape) && !strcmp(q->dtype, "U8") && !strcmp(s->shape, scale_shape) &&
                  !strcmp(s->dtype, "F16"),
              "%s %s, %s %s", q->dtype, q->shape, s->dtype, s->shape);
        double error = 0, square = 0;
        for (size_t row = 0; row < (table ? n : panels * 8); row++)
            for (size_t j = 0; j < groups * 32; j++) {
                size_t index = table ? row * groups + j / 32 : (row / 8 * groups + j / 32) * 8 + row % 8;
                size_t at = table ? index * 16 + j % 16
                                  : (row / 8 * groups + j / 32) * 128 + j % 32 / 4 * 16 + row % 4 * 4 + j % 4;
                int nibble = (table ? j % 32 < 16 : row % 8 < 4) ? q->data[at] & 15 : q->data[at] >> 4,
                    level = nibble < 8 ? nibble : nibble - 16;
                float scale = half_at(s, index), value = 0;
                if (row >= n || j >= k) {
                    wrong += level != 0;
                    continue;
                }
                memcpy(&value, w->data + 4 * (row * k + j), 4);
                double off = fabs((double)value - (double)level * (double)scale);
                /* Rounded to nearest, but for the ends of the range. */
                wrong += off > 0.5001 * fabs((double)scale) && level != -8 && level != 7;
                error += off * off;
                square += (double)value * (double)value;
            }
        CHECK(!wrong && error < 0.01 * square, "%s: %zu wrong values, error %g", cases[i].name, wrong, error / square);

        hc_encoder *bad;
        size_t at = (size_t)(s->data - shard.data) + 2;
        uint8_t kept[2] = {shard.data[at], shard.data[at + 1]};
        shard.data[at + 1] = 0x7E;
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            bad = load_shard(cases[i].tower, shard, (hc_dtype)dtype, &end);
            CHECK(!bad && end.status == HC_WEIGHTS_CORRUPT && strstr(end.message, "NaN") &&
                      strstr(end.message, scale_name),
                  "%s", end.message);
            hc_encoder_free(bad);
        }
        shard.data[at] = 0xFF, shard.data[at + 1] = 0x7B; /* 65504 */
        bad = load_shard(cases[i].tower, shard, HC_FP16, &end);
        CHECK(!bad && end.status == HC_WEIGHTS_CORRUPT && strstr(end.message, "beyond 65504"), "%s", end.message);
        hc_encoder_free(bad);
        memcpy(shard.data + at, kept, sizeof kept);
        part *scales = part_of(parts, count, scale_name);
        strcpy(scales->dtype, "BF16");
        bytes config = golden_tower("odd-widths", ".json"), file = build_file(parts, count, NULL);
        bad = load_bytes(cases[i].tower, file, (char *)config.data, HC_AUTO, 100, 1, &end);
        CHECK(!bad && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, "expected F16"), "%s", end.message);
        hc_encoder_free(bad);
        free(file.data);
        free(config.data);
        free(parts);
        free(wide_parts);
        free(shard.data);
        free(wide.data);
        hc_encoder_free(encoder);
        hc_encoder_free(full);
    }
}

/* Rubbish in the padding of int4 panels does not reach the encoder. */
static void test_int4_padding(void)
{
    outcome end;
    size_t count;
    hc_encoder *encoder = golden_encoder("odd-widths", HC_TEXT, HC_INT4);
    bytes shard = shard_of(encoder);
    part *parts = take_apart(shard, &count);
    const part *q = part_of(parts, count, "transformer.resblocks.0.attn.out_proj.weight");
    const part *scale = part_of(parts, count, "transformer.resblocks.0.attn.out_proj.weight.scale");
    const hc_matrix *m = &tensor_of(encoder, "resblocks.0.attn.out_proj.weight")->matrix;
    CHECK(m->n % 8 && m->n % 8 < 7 && m->k % 32, "%d x %d is padded", m->n, m->k);
    uint8_t *last = shard.data + (q->data - shard.data) + q->size - 1,
            *end_scale = shard.data + (scale->data - shard.data) + scale->size - 1;
    CHECK(*last == 0 && *end_scale == 0, "padding is 0");
    *last = 0x5A;
    *end_scale = 0x3C;
    hc_encoder *cleaned = load_shard(HC_TEXT, shard, HC_AUTO, &end);
    *last = *end_scale = 0;
    bytes again = shard_of(cleaned);
    CHECK(same_bytes(shard, again), "%s", end.message);
    CHECK(cleaned && !memcmp(tensor_of(cleaned, "resblocks.0.attn.out_proj.weight")->matrix.total, m->total,
                             hc_round_up((size_t)m->n, 8) * sizeof(float)),
          "totals");
    for (int row = 0; row < m->n; row++) {
        float *values = malloc((size_t)m->k * sizeof *values);
        double total = 0;
        hc_dequantise_row(m, row, values);
        for (int j = 0; j < m->k; j++) total += (double)values[j];
        CHECK(fabs(total - (double)m->total[row]) < 1e-4, "total of row %d: %g, expected %g", row,
              (double)m->total[row], total);
        free(values);
    }
    free(again.data);
    free(parts);
    free(shard.data);
    hc_encoder_free(cleaned);
    hc_encoder_free(encoder);
}

int main(void)
{
    test_round_trips();
    test_format();
    test_vocabulary();
    test_stopped();
    test_read();
    test_other_dtypes();
    test_convolutions();
    test_metadata();
    test_escapes();
    test_quantised_values();
    test_int4();
    test_int4_padding();
    return check_result("shard");
}
