/* test_loader.c: one tower out of files of every family, in any chunking; the packed values against a second, plain
 * computation; and every way in which a file can be wrong. */
#include "check.h"
#include "checkpoint/json.h"
#include "kernels/kernels.h"
#include "loading.h"
#include "inside.h"

enum { WHOLE = 1 << 30 };

static const hc_tower TOWERS[] = {HC_IMAGE, HC_TEXT};

/* A golden file with its config. */
typedef struct fixture {
    bytes file, config;
    part *parts;
    size_t count;
} fixture;

static fixture open_fixture(const char *name)
{
    fixture f = {golden_tower(name, ".safetensors"), golden_tower(name, ".json"), NULL, 0};
    f.parts = take_apart(f.file, &f.count);
    return f;
}

static void close_fixture(fixture *f)
{
    free(f->file.data);
    free(f->config.data);
    free(f->parts);
}

static hc_encoder *load(const fixture *f, hc_tower tower, bytes file, hc_dtype dtype, outcome *end)
{
    return load_bytes(tower, file, (char *)f->config.data, dtype, 1000, 1, end);
}

/* What the tower of this file becomes, as a shard. */
static bytes loaded(const fixture *f, hc_tower tower, bytes file, hc_dtype dtype)
{
    outcome end;
    hc_encoder *encoder = load(f, tower, file, dtype, &end);
    CHECK(encoder, "%s", end.message);
    bytes shard = shard_of(encoder);
    hc_encoder_free(encoder);
    return shard;
}

/* Expects the load of this file to fail with a message that has the word. */
static void refuse(const fixture *f, hc_tower tower, bytes file, hc_dtype dtype, hc_status status, const char *word)
{
    outcome end;
    hc_encoder *encoder = load(f, tower, file, dtype, &end);
    CHECK(!encoder && end.status == status && strstr(end.message, word), "expected %s about %s, found %s: %s",
          hc_status_code(status), word, hc_status_code(end.status), end.message);
    hc_encoder_free(encoder);
}

static int in_tower(const part *p, hc_tower tower)
{
    return !strncmp(p->name, "visual.", 7) == (tower == HC_IMAGE) && strcmp(p->name, "logit_scale");
}

/* ---- what is loaded -----------------------------------------------------------------------------------------------
 */

/* All golden towers load, at each dtype, and the chunking makes no difference. */
static void test_chunks(void)
{
    bytes index = read_bytes("tests/golden/towers/index.json");
    hc_json root, entry, tower;
    hc_json_error error;
    CHECK(hc_json_parse((char *)index.data, index.size, &root, &error), "%s", error.reason);
    for (const char *cursor = NULL; hc_json_next(&root, &cursor, NULL, &entry);) {
        hc_json name_value = hc_json_get(&entry, "name"), towers = hc_json_get(&entry, "towers");
        char name[64];
        hc_json_string(&name_value, name, sizeof name);
        bytes file = golden_tower(name, ".safetensors"), config = golden_tower(name, ".json");
        for (const char *at = NULL; hc_json_next(&towers, &at, NULL, &tower);)
            for (int dtype = HC_FP32; dtype <= HC_INT8; dtype++) {
                static const size_t chunks[] = {WHOLE, 997, 61};
                bytes first = {NULL, 0};
                for (int i = 0; i < 3; i++) {
                    outcome end;
                    hc_encoder *encoder = load_bytes(hc_json_is(&tower, "image") ? HC_IMAGE : HC_TEXT, file,
                                                     (char *)config.data, (hc_dtype)dtype, chunks[i], i != 1, &end);
                    CHECK(encoder, "%s, dtype %d: %s", name, dtype, end.message);
                    bytes shard = shard_of(encoder);
                    if (i)
                        CHECK(same_bytes(first, shard), "%s, dtype %d: chunks of %zu bytes give another encoder", name,
                              dtype, chunks[i]);
                    hc_encoder_free(encoder);
                    free(i ? shard.data : NULL);
                    if (!i) first = shard;
                }
                free(first.data);
            }
        free(file.data);
        free(config.data);
    }
    free(index.data);
}

/* Tensors in reverse order, each cut into odd pieces that overlap, with pieces of two tensors taking turns. */
static void test_order(void)
{
    fixture f = open_fixture("clip");
    for (int t = 0; t < 2; t++) {
        bytes expected = loaded(&f, TOWERS[t], f.file, HC_INT8);
        hc_loader *loader = hc_loader_new(TOWERS[t], (char *)f.config.data, f.config.size, HC_INT8);
        while (hc_loader_header_need(loader)) hc_loader_header(loader, f.file.data, f.file.size);
        for (size_t i = f.count; i > 0; i -= i > 1 ? 2 : 1) {
            const part *pair[] = {&f.parts[i - 1], &f.parts[i > 1 ? i - 2 : 0]};
            for (size_t at = 0; at < pair[0]->size || at < pair[1]->size; at += 31)
                for (int k = 0; k < 2; k++) {
                    if (at >= pair[k]->size) continue;
                    size_t n = pair[k]->size - at < 53 ? pair[k]->size - at : 53;
                    hc_loader_push(loader, (uint64_t)(pair[k]->data - f.file.data) + at, pair[k]->data + at, n);
                }
        }
        hc_encoder *encoder = hc_loader_finish(loader);
        CHECK(encoder, "%s", hc_loader_message(loader));
        CHECK(!hc_loader_finish(loader), "an encoder is given away once");
        hc_loader_free(loader);
        bytes shard = shard_of(encoder);
        CHECK(same_bytes(expected, shard), "another order gives another encoder");
        hc_encoder_free(encoder);
        free(shard.data);
        free(expected.data);
    }
    close_fixture(&f);
}

/* A hole in the middle: what comes after it is not taken, and counts only when it comes again after the missing bytes.
 */
static void test_holes(void)
{
    fixture f = open_fixture("clip");
    const size_t begin = (size_t)hc_safetensors_header_length(f.file.data) + 8,
                 cuts[] = {begin, f.file.size / 3, f.file.size / 2, f.file.size};
    for (int filled = 0; filled < 2; filled++) {
        hc_loader *loader = hc_loader_new(HC_IMAGE, (char *)f.config.data, f.config.size, HC_FP32);
        while (hc_loader_header_need(loader)) hc_loader_header(loader, f.file.data, f.file.size);
        const int order[] = {0, 2, 1, 2};
        for (int i = 0; i < (filled ? 4 : 2); i++) {
            size_t at = cuts[order[i]], n = cuts[order[i] + 1] - at;
            uint8_t *piece = malloc(n); /* so that what is read before or after it is seen */
            memcpy(piece, f.file.data + at, n);
            CHECK(hc_loader_push(loader, at, piece, n) == HC_OK, "%s", hc_loader_message(loader));
            free(piece);
        }
        hc_encoder *encoder = hc_loader_finish(loader);
        if (filled) {
            bytes expected = loaded(&f, HC_IMAGE, f.file, HC_FP32), shard = shard_of(encoder);
            CHECK(same_bytes(expected, shard), "%s", hc_loader_message(loader));
            free(expected.data);
            free(shard.data);
        } else {
            CHECK(!encoder && hc_loader_status(loader) == HC_WEIGHTS_TRUNCATED &&
                      strstr(hc_loader_message(loader), "visual."),
                  "%s", hc_loader_message(loader));
        }
        hc_encoder_free(encoder);
        hc_loader_free(loader);
    }
    close_fixture(&f);
}

static float value_at(const part *p, size_t i)
{
    float value;
    memcpy(&value, p->data + 4 * i, 4);
    return value;
}

/* Quantised panels and rows against the definition: scale = max|w| / 127, q = w / scale rounded half to even. */
static void check_quantised(const part *weights, const part *q, const part *scale, size_t n, size_t k, int panels)
{
    size_t blocks = (k + 3) / 4, wrong = 0;
    CHECK(scale->size == 4 * n && q->size == (panels ? (n + 7) / 8 * blocks * 32 : n * k),
          "%s: %zu bytes, %zu of scales", q->name, q->size, scale->size);
    for (size_t row = 0; row < (panels ? (n + 7) / 8 * 8 : n); row++) {
        float largest = 0, expected_scale = 0;
        for (size_t j = 0; row < n && j < k; j++) largest = fmaxf(largest, fabsf(value_at(weights, row * k + j)));
        expected_scale = largest / 127.0f;
        wrong += row < n && value_at(scale, row) != expected_scale;
        for (size_t j = 0; j < (panels ? blocks * 4 : k); j++) {
            int expected = row < n && j < k ? (int)nearbyintf(value_at(weights, row * k + j) / expected_scale) : 0;
            size_t at = panels ? (row / 8 * blocks + j / 4) * 32 + row % 8 * 4 + j % 4 : row * k + j;
            wrong += (int8_t)q->data[at] != expected;
        }
    }
    CHECK(!wrong, "%s: %zu values are not as defined", q->name, wrong);
}

/* Every tensor of an fp32 file, as fp32, fp16 and int8, against the file. */
static void test_values(void)
{
    fixture f = open_fixture("clip-quick-gelu");
    for (int t = 0; t < 2; t++) {
        bytes shards[4];
        part *parts[4];
        size_t counts[4];
        for (int dtype = HC_FP32; dtype <= HC_INT8; dtype++) {
            shards[dtype] = loaded(&f, TOWERS[t], f.file, (hc_dtype)dtype);
            parts[dtype] = take_apart(shards[dtype], &counts[dtype]);
        }
        int matrices = 0;
        for (size_t i = 0; i < f.count; i++) {
            const part *p = &f.parts[i];
            if (!in_tower(p, TOWERS[t])) continue;
            const part *full = part_of(parts[HC_FP32], counts[HC_FP32], p->name),
                       *half = part_of(parts[HC_FP16], counts[HC_FP16], p->name);
            const part *q = part_of(parts[HC_INT8], counts[HC_INT8], p->name);
            CHECK(!strcmp(full->dtype, "F32") && full->size == p->size && !memcmp(full->data, p->data, p->size),
                  "%s at fp32", p->name);
            int vector = !strchr(p->shape, ',') || strstr(p->name, "positional") != NULL,
                kept = vector || strstr(p->name, "proj") == p->name + strlen(p->name) - 4 ||
                       !strcmp(p->name, "text_projection") || strstr(p->name, "conv1") != NULL;
            CHECK(!strcmp(half->dtype, vector ? "F32" : "F16"), "%s is %s at fp16", p->name, half->dtype);
            size_t wrong = 0;
            for (size_t j = 0; !vector && j < p->size / 4; j++) {
                uint16_t bits;
                memcpy(&bits, half->data + 2 * j, 2);
                wrong += bits != hc_float_to_half(value_at(p, j));
            }
            CHECK(!wrong && (!vector || !memcmp(half->data, p->data, p->size)), "%s at fp16: %zu values differ",
                  p->name, wrong);
            if (kept) {
                CHECK(!strcmp(q->dtype, half->dtype) && q->size == half->size && !memcmp(q->data, half->data, q->size),
                      "%s at int8", p->name);
                continue;
            }
            char scale_name[160];
            size_t n, k;
            snprintf(scale_name, sizeof scale_name, "%s.scale", p->name);
            CHECK(sscanf(p->shape, "[%zu,%zu]", &n, &k) == 2 && !strcmp(q->dtype, "I8"), "%s is %s at int8", p->name,
                  q->dtype);
            check_quantised(p, q, part_of(parts[HC_INT8], counts[HC_INT8], scale_name), n, k,
                            strncmp(p->name, "token", 5));
            matrices++;
        }
        CHECK(matrices == 4 * 2 + (TOWERS[t] == HC_TEXT), "%d quantised matrices", matrices);
        for (int dtype = HC_FP32; dtype <= HC_INT8; dtype++) {
            free(shards[dtype].data);
            free(parts[dtype]);
        }
    }
    close_fixture(&f);
}

/* The padding of panels and the sums of channels, which no shard shows. */
static void test_sums(void)
{
    fixture f = open_fixture("odd-widths");
    outcome end;
    for (int t = 0; t < 2; t++) {
        hc_encoder *e = load(&f, TOWERS[t], f.file, HC_INT8, &end);
        CHECK(e, "%s", end.message);
        if (!e) continue;
        hc_info info;
        hc_encoder_info(e, &info);
        CHECK(info.dtype == HC_INT8 && info.tower == TOWERS[t] && info.memory_bytes > e->packed_bytes, "info");
        const hc_matrix *m = &tensor_of(e, "resblocks.0.attn.out_proj.weight")->matrix;
        const int8_t *q = m->data;
        size_t blocks = ((size_t)m->k + 3) / 4, wrong = 0;
        CHECK((uintptr_t)m->data % HC_ALIGN == 0 && (uintptr_t)m->scale % HC_ALIGN == 0 && (m->n % 8 || m->k % 4),
              "alignment, and that something is padded");
        for (int row = 0; row < (m->n + 7) / 8 * 8; row++) {
            int sum = 0;
            for (size_t j = 0; j < blocks * 4; j++) {
                int value = q[((size_t)row / 8 * blocks + j / 4) * 32 + (size_t)row % 8 * 4 + j % 4];
                sum += value;
                wrong += (row >= m->n || j >= (size_t)m->k) && value;
            }
            wrong += m->sum[row] != sum || (row >= m->n && m->scale[row] != 0);
        }
        CHECK(!wrong, "%zu sums or paddings are wrong", wrong);
        hc_encoder_free(e);
    }
    close_fixture(&f);
}

/* ---- families of files --------------------------------------------------------------------------------------------
 */

static void test_prefixes(void)
{
    static const char *const prefixes[] = {"module.",       "clip.",      "module.clip.",
                                           "model.module.", "_orig_mod.", "module._orig_mod."};
    fixture f = open_fixture("clip");
    for (int t = 0; t < 2; t++) {
        bytes expected = loaded(&f, TOWERS[t], f.file, HC_FP16);
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
            part *parts = calloc(f.count, sizeof *parts);
            memcpy(parts, f.parts, f.count * sizeof *parts);
            for (size_t p = 0; p < f.count; p++)
                snprintf(parts[p].name, sizeof parts[p].name, "%s%s", prefixes[i], f.parts[p].name);
            bytes file = build_file(parts, f.count, NULL), shard = loaded(&f, TOWERS[t], file, HC_FP16);
            CHECK(same_bytes(expected, shard), "prefix %s", prefixes[i]);
            free(parts);
            free(file.data);
            free(shard.data);
        }
        free(expected.data);
    }
    close_fixture(&f);
}

/* A tower's own state dict: without the other tower, and the image tower without `visual.`. */
static void test_single_towers(void)
{
    fixture f = open_fixture("clip");
    for (int t = 0; t < 2; t++) {
        bytes expected = loaded(&f, TOWERS[t], f.file, HC_FP16);
        part *parts = calloc(f.count, sizeof *parts);
        memcpy(parts, f.parts, f.count * sizeof *parts);
        for (size_t i = 0; i < f.count; i++) {
            if (!in_tower(&parts[i], TOWERS[t])) *parts[i].name = '\0';
            else if (TOWERS[t] == HC_IMAGE) snprintf(parts[i].name, sizeof parts[i].name, "%s", f.parts[i].name + 7);
        }
        bytes file = build_file(parts, f.count, NULL), shard = loaded(&f, TOWERS[t], file, HC_FP16);
        CHECK(same_bytes(expected, shard), "tower %d alone", t);
        refuse(&f, TOWERS[!t], file, HC_FP16, HC_WEIGHTS_MISMATCH,
               t ? "holds the text tower, the image tower was asked for"
                 : "holds the image tower, the text tower was asked for");
        free(parts);
        free(file.data);
        free(shard.data);
        free(expected.data);
    }
    close_fixture(&f);
}

/* Float64 weights. */
static void test_doubles(void)
{
    fixture f = open_fixture("clip-quick-gelu");
    part *parts = calloc(f.count, sizeof *parts);
    memcpy(parts, f.parts, f.count * sizeof *parts);
    for (size_t i = 0; i < f.count; i++) {
        double *wide = malloc(2 * parts[i].size);
        for (size_t j = 0; j < parts[i].size / 4; j++) wide[j] = (double)value_at(&f.parts[i], j);
        parts[i].data = (uint8_t *)wide;
        parts[i].size *= 2;
        strcpy(parts[i].dtype, "F64");
    }
    bytes file = build_file(parts, f.count, NULL);
    for (int t = 0; t < 2; t++) {
        bytes expected = loaded(&f, TOWERS[t], f.file, HC_INT8), shard = loaded(&f, TOWERS[t], file, HC_INT8);
        CHECK(same_bytes(expected, shard), "F64");
        free(expected.data);
        free(shard.data);
    }
    for (size_t i = 0; i < f.count; i++) free((void *)(uintptr_t)parts[i].data);
    free(parts);
    free(file.data);
    close_fixture(&f);
}

static void test_ranges(void)
{
    fixture f = open_fixture("clip");
    uint8_t *filler = calloc(1, 200000);
    for (int large = 0; large < 2; large++) {
        part *parts = calloc(f.count + 1, sizeof *parts);
        size_t at = 0, needed = 0;
        for (size_t i = 0; i < f.count; i++) {
            if (!strcmp(f.parts[i].name, "visual.ln_post.bias"))
                parts[at++] = (part){"filler", "U8", "[]", filler, large ? 200000 : 60000};
            parts[at++] = f.parts[i];
            if (in_tower(&f.parts[i], HC_IMAGE)) needed += f.parts[i].size;
        }
        for (size_t i = 0; i < at; i++)
            if (!strcmp(parts[i].name, "filler"))
                snprintf(parts[i].shape, sizeof parts[i].shape, "[%zu]", parts[i].size);
        bytes file = build_file(parts, at, NULL), expected = loaded(&f, HC_IMAGE, f.file, HC_FP16);
        outcome end;
        hc_encoder *encoder = load(&f, HC_IMAGE, file, HC_FP16, &end);
        bytes shard = shard_of(encoder);
        CHECK(same_bytes(expected, shard), "%s", end.message);
        CHECK(end.ranges == (large ? 2 : 1) && end.pushed == needed + (large ? 0 : 60000),
              "%zu ranges, %zu bytes of %zu", end.ranges, end.pushed, needed);
        hc_encoder_free(encoder);
        free(shard.data);
        free(expected.data);
        free(file.data);
        free(parts);
    }
    free(filler);
    close_fixture(&f);
}

static void test_config_text(void)
{
    fixture f = open_fixture("clip");
    outcome end;
    hc_encoder *e = load(&f, HC_TEXT, f.file, HC_AUTO, &end);
    hc_info info;
    hc_encoder_info(e, &info);
    CHECK(info.dtype == HC_INT8, "int8 unless a shard says else");
    hc_json root, tokenizer, model, preprocess, clean;
    hc_json_error error;
    const char *text = hc_encoder_config(e);
    CHECK(hc_json_parse(text, strlen(text), &root, &error), "%s", text);
    model = hc_json_get(&root, "model_cfg");
    preprocess = hc_json_get(&root, "preprocess_cfg");
    tokenizer = hc_json_get(&root, "tokenizer");
    clean = hc_json_get(&tokenizer, "clean");
    CHECK(hc_json_get(&model, "text_cfg").type == HC_JSON_OBJECT &&
              hc_json_get(&preprocess, "mean").type == HC_JSON_ARRAY && hc_json_is(&clean, "lower"),
          "%s", text);
    hc_encoder_free(e);

    /* A bare model config, with a tokenizer of its own. */
    char bare[2048];
    model = (hc_json_parse((char *)f.config.data, f.config.size, &root, &error), hc_json_get(&root, "model_cfg"));
    snprintf(bare, sizeof bare, "%.*s", (int)model.length, model.text);
    e = load_bytes(HC_IMAGE, f.file, bare, HC_FP32, 100, 1, &end);
    CHECK(e && !strncmp(hc_encoder_config(e), "{\"model_cfg\":{", 14) &&
              strstr(hc_encoder_config(e), ",\"preprocess_cfg\":{}}"),
          "%s", end.message);
    hc_encoder_free(e);
    close_fixture(&f);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

/* Each tensor missing, of another shape or type, not finite. */
static void test_each_tensor(void)
{
    fixture f = open_fixture("clip-quick-gelu");
    uint8_t *spoiled = malloc(100000);
    for (size_t i = 0; i < f.count; i++) {
        hc_tower tower = in_tower(&f.parts[i], HC_IMAGE) ? HC_IMAGE : HC_TEXT;
        part kept = f.parts[i], *p = &f.parts[i];
        if (!in_tower(p, tower)) continue;

        *p->name = '\0';
        bytes file = build_file(f.parts, f.count, NULL);
        refuse(&f, tower, file, HC_INT8, HC_WEIGHTS_MISMATCH, kept.name);
        free(file.data);

        *p = kept;
        snprintf(p->shape, sizeof p->shape, "[1,%s", kept.shape + 1);
        file = build_file(f.parts, f.count, NULL);
        refuse(&f, tower, file, HC_INT8, HC_WEIGHTS_MISMATCH, kept.name);
        refuse(&f, tower, file, HC_INT8, HC_WEIGHTS_MISMATCH, p->shape);
        free(file.data);

        *p = kept;
        strcpy(p->dtype, "I32");
        file = build_file(f.parts, f.count, NULL);
        refuse(&f, tower, file, HC_INT8, HC_WEIGHTS_MISMATCH, "I32");
        free(file.data);

        static const uint32_t bad[] = {0x7FC00000, 0xFF800000, 0x7F800001};
        for (size_t b = 0; b < 3; b++) {
            *p = kept;
            memcpy(spoiled, p->data, p->size);
            memcpy(spoiled + (p->size / 4 - 1 - b % 2) * 4, &bad[b], 4);
            p->data = spoiled;
            file = build_file(f.parts, f.count, NULL);
            refuse(&f, tower, file, b == 1 ? HC_FP32 : HC_INT8, HC_WEIGHTS_CORRUPT, kept.name);
            free(file.data);
        }

        *p = kept;
    }
    free(spoiled);
    close_fixture(&f);
}

/* Vectors of a few inputs, of which none may be NaN. */
static void check_vectors(hc_encoder *e, const char *what)
{
    enum { INPUTS = 2 };
    hc_info info;
    hc_encoder_info(e, &info);
    size_t n = info.tower == HC_TEXT ? (size_t)info.context_length
                                     : 3 * (size_t)info.image_height * (size_t)info.image_width,
           bad = 0;
    float *pixels = calloc(INPUTS * n, sizeof *pixels),
          *out = malloc(INPUTS * (size_t)info.dim * (size_t)info.tokens_out * sizeof *out);
    int32_t *ids = calloc(INPUTS * n, sizeof *ids);
    for (size_t i = n; i < INPUTS * n; i++) { /* the first input is black, or of token 0 */
        pixels[i] = (float)(i % 17) / 8 - 1;
        ids[i] = (int32_t)(i * 7 % (size_t)(info.vocab_size + !info.vocab_size));
    }
    hc_status status =
        info.tower == HC_TEXT ? hc_embed_tokens(e, ids, INPUTS, 1, out) : hc_embed_pixels(e, pixels, INPUTS, 1, out);
    for (size_t i = 0; i < INPUTS * (size_t)info.dim * (size_t)info.tokens_out; i++) bad += !(fabsf(out[i]) <= 1.001f);
    CHECK(status == HC_OK && !bad, "%s: %zu values of the vectors are not numbers of a vector of length 1", what, bad);
    free(pixels);
    free(ids);
    free(out);
}

/* A tower loads at each dtype, and again from its shard, and gives vectors. */
static void accept(const fixture *f, hc_tower tower, const part *parts, size_t count, const char *what)
{
    bytes file = build_file(parts, count, NULL);
    for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
        outcome end;
        hc_encoder *e = load(f, tower, file, (hc_dtype)dtype, &end);
        CHECK(e, "%s, dtype %d: %s", what, dtype, end.message);
        if (!e) continue;
        check_vectors(e, what);
        bytes shard = shard_of(e);
        hc_encoder_free(e);
        e = load_bytes(tower, shard, NULL, HC_AUTO, 1000, 1, &end);
        CHECK(e, "%s, the shard of dtype %d: %s", what, dtype, end.message);
        if (e) check_vectors(e, what);
        hc_encoder_free(e);
        free(shard.data);
    }
    free(file.data);
}

static void refuse_zeros(const fixture *f, hc_tower tower, bytes file)
{
    for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++)
        refuse(f, tower, file, (hc_dtype)dtype, HC_WEIGHTS_CORRUPT,
               tower == HC_TEXT ? "the text tower holds nothing but zeros" : "the image tower holds nothing but zeros");
}

/* Any tensor may be zero, and any row of one, and all of them but one; a tower that is zero throughout is no
 * checkpoint. */
static void test_zeros(void)
{
    static const char *const names[] = {"clip-quick-gelu", "block-all", "attn-pool-cascade"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        fixture f = open_fixture(names[n]);
        uint8_t *zeros = calloc(1, f.file.size), *row = malloc(f.file.size);
        for (int t = 0; t < 2; t++) {
            part *parts = calloc(f.count, sizeof *parts);
            memcpy(parts, f.parts, f.count * sizeof *parts);
            part *last = NULL;
            for (size_t i = 0; i < f.count; i++) {
                if (!in_tower(&parts[i], TOWERS[t])) continue;
                last = &parts[i];
                const uint8_t *kept = last->data;
                last->data = zeros;
                accept(&f, TOWERS[t], parts, f.count, last->name);
                size_t rows = strtoul(last->shape + 1, NULL, 10);
                memcpy(row, kept, last->size);
                if (rows > 1) memset(row + last->size / rows, 0, last->size / rows);
                last->data = row;
                accept(&f, TOWERS[t], parts, f.count, last->name);
                last->data = kept;
            }
            CHECK(last, "%s holds the tower", names[n]);
            for (size_t i = 0; i < f.count; i++)
                if (in_tower(&parts[i], TOWERS[t]) && &parts[i] != last) parts[i].data = zeros;
            accept(&f, TOWERS[t], parts, f.count, "all but one");
            last->data = zeros;
            bytes file = build_file(parts, f.count, NULL);
            refuse_zeros(&f, TOWERS[t], file);
            free(loaded(&f, TOWERS[!t], file, HC_INT8).data);
            free(file.data);
            free(parts);
        }
        free(zeros);
        free(row);
        close_fixture(&f);
    }
}

static void test_large_halves(void)
{
    fixture f = open_fixture("clip-quick-gelu");
    part *p = part_of(f.parts, f.count, "visual.conv1.weight");
    uint8_t *data = malloc(p->size);
    static const struct {
        float value;
        int fits;
    } cases[] = {{65504, 1}, {-65519, 1}, {65520, 0}, {-1e30f, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(data, p->data, p->size);
        memcpy(data + 4, &cases[i].value, 4);
        const uint8_t *kept = p->data;
        p->data = data;
        bytes file = build_file(f.parts, f.count, NULL), shard = loaded(&f, HC_IMAGE, file, HC_FP32);
        if (cases[i].fits) free(loaded(&f, HC_IMAGE, file, HC_INT8).data);
        else refuse(&f, HC_IMAGE, file, HC_INT8, HC_WEIGHTS_CORRUPT, "visual.conv1.weight");
        free(shard.data);
        free(file.data);
        p->data = kept;
    }
    free(data);
    close_fixture(&f);
}

static void test_unexpected(void)
{
    fixture f = open_fixture("clip");
    f.parts[f.count] = *part_of(f.parts, f.count, "visual.transformer.resblocks.1.ln_1.bias");
    strcpy(f.parts[f.count].name, "visual.transformer.resblocks.2.ln_1.bias");
    bytes file = build_file(f.parts, f.count + 1, NULL);
    refuse(&f, HC_IMAGE, file, HC_INT8, HC_WEIGHTS_MISMATCH, "visual.transformer.resblocks.2.ln_1.bias");
    bytes shard = loaded(&f, HC_TEXT, file, HC_INT8);
    free(shard.data);
    free(file.data);
    strcpy(f.parts[f.count].name, "transformer.resblocks.2.ln_1.bias");
    file = build_file(f.parts, f.count + 1, NULL);
    refuse(&f, HC_TEXT, file, HC_INT8, HC_WEIGHTS_MISMATCH, "transformer.resblocks.2.ln_1.bias");
    free(file.data);

    static const struct {
        const char *name, *word;
    } others[] = {
        {"visual.trunk.cls_token", "timm"},
        {"visual.layer1.0.conv1.weight", "ResNet"},
        {"text.transformer.embeddings.word_embeddings.weight", "Hugging Face"},
        {"image_encoder.model.x", "MobileCLIP"},
        {"lm_head.weight", "1 tensors such as lm_head.weight"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        part one = f.parts[0];
        strcpy(one.name, others[i].name);
        file = build_file(&one, 1, NULL);
        refuse(&f, i == 2 ? HC_TEXT : HC_IMAGE, file, HC_INT8, HC_WEIGHTS_MISMATCH, others[i].word);
        free(file.data);
    }
    file = build_file(NULL, 0, NULL);
    memmove(file.data + 8, "{}", 2);
    memset(file.data + 10, ' ', file.size - 10);
    refuse(&f, HC_IMAGE, file, HC_INT8, HC_WEIGHTS_MISMATCH, "no tensors");
    free(file.data);
    close_fixture(&f);
}

static void test_truncated(void)
{
    fixture f = open_fixture("clip");
    outcome end;
    const size_t header = (size_t)hc_safetensors_header_length(f.file.data) + 8;
    size_t last[2] = {0, 0};
    for (size_t i = 0; i < f.count; i++) {
        size_t part_end = (size_t)(f.parts[i].data - f.file.data) + f.parts[i].size;
        for (int t = 0; t < 2; t++)
            if (in_tower(&f.parts[i], TOWERS[t]) && part_end > last[t]) last[t] = part_end;
    }
    const size_t sizes[] = {0, 1, 7, 8, 9, header - 1, header, header + 1, f.file.size / 2, f.file.size - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int known = 0; known < 2; known++)
            for (int t = 0; t < 2; t++) {
                bytes cut = {f.file.data, sizes[i]};
                hc_encoder *encoder = load_bytes(TOWERS[t], cut, (char *)f.config.data, HC_INT8, 1000, known, &end);
                if (!known && sizes[i] >= last[t]) {
                    CHECK(encoder, "what is cut off belongs to the other tower: %s", end.message);
                    hc_encoder_free(encoder);
                    continue;
                }
                CHECK(!encoder && end.status == HC_WEIGHTS_TRUNCATED && *end.message, "%zu bytes: %s: %s", sizes[i],
                      hc_status_code(end.status), end.message);
                if (known && sizes[i] > header) {
                    char number[32];
                    snprintf(number, sizeof number, "%zu", f.file.size);
                    CHECK(strstr(end.message, number), "both sizes: %s", end.message);
                }
            }
    bytes longer = {realloc(f.file.data, f.file.size + 8), f.file.size + 1};
    f.file.data = longer.data;
    refuse(&f, HC_IMAGE, longer, HC_INT8, HC_WEIGHTS_FORMAT, "bytes, expected");
    close_fixture(&f);
}

static void test_other_files(void)
{
    fixture f = open_fixture("clip");
    static const struct {
        const char *bytes;
        size_t n;
        const char *word;
    } files[] = {
        {"<!DOCTYPE html><html><body>Not Found</body></html>", 50, "HTML"},
        {"<html></html>", 13, "HTML"},
        {"<p>", 3, "HTML"},
        {"PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0archive/data.pkl", 32, "PyTorch"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0", 54, "Git LFS"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, "zeros"},
        {"{\"error\": \"not found\"}", 22, "JSON"},
        {"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}", 12, "pickle"},
        {"{}", 2, "JSON"},
        {"\x10\0\0\0\0\0\0\0not a header at all", 27, "does not begin"},
        {"\xFF\xFF\xFF\xFF\0\0\0\0{}", 10, "does not begin"},
        {"\1\0\0\0\0\0\0\0{ ", 10, "does not begin"},
        {"\4\0\0\0\0\0\0\0{\"a}", 12, "not JSON"},
        {"\5\0\0\0\0\0\0\0{\"a\":", 13, "not JSON"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bytes file = {(uint8_t *)calloc(1, files[i].n + 1), files[i].n};
        memcpy(file.data, files[i].bytes, files[i].n);
        for (int known = files[i].n < 8; known < 2; known++) {
            outcome end;
            hc_encoder *encoder = load_bytes(HC_TEXT, file, (char *)f.config.data, HC_INT8, 10, known, &end);
            CHECK(!encoder && end.status == HC_WEIGHTS_FORMAT && strstr(end.message, files[i].word), "%s: %s: %s",
                  files[i].word, hc_status_code(end.status), end.message);
        }
        free(file.data);
    }
    close_fixture(&f);
}

static void test_states(void)
{
    fixture f = open_fixture("clip");
    outcome end;
    hc_encoder *encoder = load_bytes(HC_TEXT, f.file, NULL, HC_INT8, 1000, 1, &end);
    CHECK(!encoder && end.status == HC_MODEL_CONFIG && strstr(end.message, "no model was given"), "%s", end.message);
    encoder =
        load_bytes(HC_TEXT, f.file, "{\"embed_dim\": 4, \"text_cfg\": {\"pool_type\": \"x\"}, \"vision_cfg\": {}}",
                   HC_INT8, 1000, 1, &end);
    CHECK(!encoder && end.status == HC_MODEL_UNSUPPORTED && strstr(end.message, "pool_type") && !end.pushed, "%s",
          end.message);
    encoder = load_bytes(HC_TEXT, f.file, "", HC_INT8, 1000, 1, &end);
    CHECK(!encoder && end.status == HC_MODEL_CONFIG, "%s", end.message);

    hc_loader *loader = hc_loader_new(HC_TEXT, (char *)f.config.data, f.config.size, HC_INT8);
    size_t count = 1;
    CHECK(hc_loader_status(loader) == HC_OK && !*hc_loader_message(loader) && hc_loader_header_need(loader) == 8,
          "a new loader");
    hc_loader_ranges(loader, &count);
    CHECK(count == 0 && hc_loader_push(loader, 0, "x", 1) == HC_OK, "nothing is wanted before the header");
    CHECK(hc_loader_header(loader, f.file.data, 3) == HC_OK && hc_loader_header_need(loader) == 8,
          "three bytes are no error");
    CHECK(hc_loader_header(loader, f.file.data, f.file.size) == HC_OK && !hc_loader_header_need(loader),
          "more than the header is no error");
    CHECK(hc_loader_header(loader, f.file.data, f.file.size) == HC_OK, "the header twice is no error");
    hc_loader_file_size(loader, f.file.size - 5);
    CHECK(hc_loader_status(loader) == HC_WEIGHTS_TRUNCATED, "a size that is known late");
    hc_loader_ranges(loader, &count);
    CHECK(count == 0 && hc_loader_push(loader, 0, f.file.data, f.file.size) == HC_WEIGHTS_TRUNCATED &&
              !hc_loader_finish(loader),
          "a failed loader does nothing");
    hc_loader_free(loader);
    hc_loader_free(NULL);
    close_fixture(&f);
}

int main(void)
{
    test_chunks();
    test_order();
    test_holes();
    test_values();
    test_sums();
    test_prefixes();
    test_single_towers();
    test_doubles();
    test_ranges();
    test_config_text();
    test_each_tensor();
    test_zeros();
    test_large_halves();
    test_unexpected();
    test_truncated();
    test_other_files();
    test_states();
    return check_result("loader");
}
