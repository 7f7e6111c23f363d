/* shard.c: an encoder as a .safetensors file that holds one tower, written front to back or read in parts. fp32 and
 * fp16 shards hold OpenCLIP's own tensors; int8 and int4 shards hold matrices in the kernels' order, so that loading
 * one is a copy. */
#include "checkpoint/json.h"
#include "load/pack.h"
#include "base/size.h"
#include "base/text_format.h"
#include "tower/tower.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER = 64 * 1024 };

/* One tensor of the file: of one in the tower, or its scales. */
typedef struct entry {
    const hc_tensor *tensor; /* NULL for the vocabulary */
    int scales;
    hc_element element;
    int rank;
    uint32_t shape[4];
} entry;

typedef struct shard {
    const hc_encoder *encoder;
    const void *vocabulary;
    size_t vocabulary_length;
    entry *entries;
    size_t entry_count;
    int (*write)(void *user, const void *bytes, size_t n); /* NULL: only count */
    void *user;
    uint8_t *buffer;
    size_t held;
    uint64_t written;
    uint64_t begin; /* of the file: what lies before is not written */
    int stopped;
} shard;

/* ---- bytes --------------------------------------------------------------------------------------------------------
 */

static void flush(shard *s)
{
    if (s->held && !s->stopped) s->stopped = s->write(s->user, s->buffer, s->held);
    s->held = 0;
}

/* Gathers small pieces, because a call of `write` may cross into another language. */
static void emit(shard *s, const void *bytes, size_t n)
{
    uint64_t at = s->written;
    s->written += n;
    if (!s->write || s->written <= s->begin) return;
    if (at < s->begin) {
        bytes = (const uint8_t *)bytes + (s->begin - at);
        n -= (size_t)(s->begin - at);
    }
    if (s->held + n > BUFFER) flush(s);
    if (n > BUFFER) {
        if (!s->stopped) s->stopped = s->write(s->user, bytes, n);
        return;
    }
    memcpy(s->buffer + s->held, bytes, n);
    s->held += n;
}

static void emit_text(shard *s, const char *text) { emit(s, text, strlen(text)); }

static void emit_number(shard *s, uint64_t number)
{
    char digits[24];
    hc_format(digits, sizeof digits, "%u", number);
    emit_text(s, digits);
}

/* A JSON string whose value is this text. */
static void emit_string(shard *s, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    emit_text(s, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20) {
            if (c == '"' || c == '\\') emit_text(s, "\\");
            emit(s, &c, 1);
        } else {
            emit_text(s, c < 0x10 ? "\\u000" : "\\u001");
            emit(s, hex + c % 16, 1);
        }
    }
    emit_text(s, "\"");
}

/* ---- the list of tensors ------------------------------------------------------------------------------------------
 */

static const char *name_of(hc_element element)
{
    return element == HC_F32 ? "F32" : element == HC_F16 ? "F16" : element == HC_I8 ? "I8" : "U8";
}

static hc_storage storage_of(const hc_tensor *t)
{
    if (t->role == HC_ROLE_VECTOR) return HC_STORE_F32;
    return t->role == HC_ROLE_TABLE ? ((const hc_table *)t->slot)->storage : ((const hc_matrix *)t->slot)->storage;
}

static uint64_t bytes_of(const entry *e)
{
    uint64_t bytes = hc_pack_element_bytes(e->element);
    for (int i = 0; i < e->rank; i++) bytes *= e->shape[i];
    return bytes;
}

/* A tensor's values and, where it is quantised, its scales; the values last. Returns how many entries these are. */
static int entries_of(const hc_tensor *t, entry out[2])
{
    static const hc_element elements[] = {HC_F32, HC_F16, HC_I8, HC_U8};
    uint32_t rows = t->shape[0], k = t->shape[1], panels = (rows + HC_PANEL - 1) / HC_PANEL;
    uint32_t steps = (k + HC_DEPTH - 1) / HC_DEPTH, groups = (k + HC_GROUP - 1) / HC_GROUP;
    hc_storage storage = storage_of(t);
    entry e = {t, 0, elements[storage], t->rank, {t->shape[0], t->shape[1], t->shape[2], t->shape[3]}};
    int table = t->role == HC_ROLE_TABLE;
    switch (storage) {
    case HC_STORE_F32:
    case HC_STORE_F16: out[0] = e; return 1;
    case HC_STORE_I8:
        out[0] = (entry){t, 1, HC_F32, 1, {rows}};
        out[1] = table ? e : (entry){t, 0, HC_I8, 4, {panels, steps, HC_PANEL, HC_DEPTH}};
        return 2;
    case HC_STORE_I4:
        out[0] =
            table ? (entry){t, 1, HC_F16, 2, {rows, groups}} : (entry){t, 1, HC_F16, 3, {panels, groups, HC_PANEL}};
        out[1] = table ? (entry){t, 0, HC_U8, 3, {rows, groups, HC_GROUP_BYTES}}
                       : (entry){t, 0, HC_U8, 4, {panels, groups, HC_PANEL, HC_GROUP_BYTES}};
        return 2;
    }
    return 0;
}

/* Wide elements first, so that every tensor is aligned to its element, as readers that map files expect. */
static void list_entries(shard *s, const hc_tensor *tensors, size_t count)
{
    for (size_t size = sizeof(float); size; size /= 2)
        for (size_t i = 0; i < count; i++) {
            entry found[2];
            int n = entries_of(&tensors[i], found);
            for (int j = 0; j < n; j++)
                if (hc_pack_element_bytes(found[j].element) == size) s->entries[s->entry_count++] = found[j];
        }
    if (s->vocabulary_length)
        s->entries[s->entry_count++] = (entry){NULL, 0, HC_U8, 1, {(uint32_t)s->vocabulary_length}};
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

static void emit_metadata(shard *s, const char *key, const char *text, size_t n)
{
    emit_text(s, ",");
    emit_string(s, key, strlen(key));
    emit_text(s, ":");
    emit_string(s, text, n);
}

static void emit_header(shard *s)
{
    static const char *const dtypes[] = {"", "fp32", "fp16", "int8", "int4"}, *const keys[] = {"model_cfg",
                                                                                               "preprocess_cfg",
                                                                                               "tokenizer"};
    const hc_encoder *encoder = s->encoder;
    const char *tower = encoder->config.tower == HC_IMAGE ? "image" : "text", *dtype = dtypes[encoder->dtype];
    hc_json config = {HC_JSON_ABSENT, "", 0};
    hc_json_error error;
    emit_text(s, "{\"__metadata__\":{\"format\":\"pt\",\"halfclip\":\"1\"");
    emit_metadata(s, "tower", tower, strlen(tower));
    emit_metadata(s, "dtype", dtype, strlen(dtype));
    hc_json_parse(encoder->config_json, strlen(encoder->config_json), &config, &error);
    for (int i = 0; i < 3; i++) {
        hc_json value = hc_json_get(&config, keys[i]);
        if (value.type != HC_JSON_ABSENT) emit_metadata(s, keys[i], value.text, value.length);
    }
    emit_text(s, "}");
    uint64_t at = 0;
    for (size_t i = 0; i < s->entry_count; i++) {
        const entry *e = &s->entries[i];
        char shape[64];
        hc_format(shape, sizeof shape, "%x", e->shape, e->rank);
        emit_text(s, ",\"");
        emit_text(s, e->tensor ? e->tensor->name : "halfclip.merges");
        emit_text(s, e->scales ? ".scale\":{\"dtype\":\"" : "\":{\"dtype\":\"");
        emit_text(s, name_of(e->element));
        emit_text(s, "\",\"shape\":");
        emit_text(s, shape);
        emit_text(s, ",\"data_offsets\":[");
        emit_number(s, at);
        emit_text(s, ",");
        emit_number(s, at += bytes_of(e));
        emit_text(s, "]}");
    }
    emit_text(s, "}");
    while (s->written % 8) emit_text(s, " ");
}

static void emit_data(shard *s, const entry *e, void *row)
{
    const hc_tensor *t = e->tensor;
    size_t bytes = (size_t)bytes_of(e), size = hc_pack_element_bytes(e->element);
    if (!t) {
        emit(s, s->vocabulary, bytes);
    } else if (t->role == HC_ROLE_VECTOR) {
        emit(s, *(float *const *)t->slot, bytes);
    } else if (t->role == HC_ROLE_TABLE) {
        const hc_table *table = t->slot;
        const void *scales = table->scale ? (const void *)table->scale : table->group_scale;
        emit(s, e->scales ? scales : table->data, bytes);
    } else {
        const hc_matrix *matrix = t->slot;
        const void *scales = matrix->scale ? (const void *)matrix->scale : matrix->group_scale;
        if (scales) {
            emit(s, e->scales ? scales : matrix->data, bytes);
            return;
        }
        int by_column = t->role == HC_ROLE_PROJECTION, count = by_column ? matrix->k : matrix->n;
        size_t row_bytes = (size_t)(by_column ? matrix->n : matrix->k) * size;
        for (int i = 0; i < count && !s->stopped; i++) {
            int wanted = s->written + row_bytes > s->begin;
            if (wanted && by_column) hc_unpack_column(matrix, i, row);
            else if (wanted) hc_unpack_row(matrix, i, row);
            emit(s, row, row_bytes);
        }
    }
}

static size_t longest_row(const shard *s)
{
    size_t longest = 1;
    for (size_t i = 0; i < s->entry_count; i++) {
        const hc_tensor *t = s->entries[i].tensor;
        if (!t || t->role == HC_ROLE_VECTOR || t->role == HC_ROLE_TABLE) continue;
        const hc_matrix *matrix = t->slot;
        size_t values = (size_t)(matrix->k > matrix->n ? matrix->k : matrix->n);
        if (values > longest) longest = values;
    }
    return longest;
}

static void write_file(shard *s, int (*write)(void *user, const void *bytes, size_t n), void *row)
{
    emit_header(s);
    uint64_t length = s->written;
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (uint8_t)(length >> (8 * i));
    s->write = write;
    s->written = 0;
    emit(s, prefix, sizeof prefix);
    emit_header(s);
    for (size_t i = 0; i < s->entry_count && !s->stopped; i++) emit_data(s, &s->entries[i], row);
    flush(s);
}

/* The file from byte `begin` on; *stopped: whether `write` wanted no more. */
static hc_status write_from(const hc_encoder *encoder, const void *vocabulary, size_t vocabulary_length, uint64_t begin,
                            int (*write)(void *user, const void *bytes, size_t n), void *user, int *stopped)
{
    hc_weights weights = encoder->weights;
    shard s = {.encoder = encoder, .user = user, .begin = begin};
    if (vocabulary && encoder->config.tower == HC_TEXT) {
        s.vocabulary = vocabulary;
        s.vocabulary_length = vocabulary_length;
    }
    size_t count = hc_tower_tensors(&encoder->config, &weights, NULL, 0);
    hc_tensor *tensors = hc_allocate_zeros(count, sizeof *tensors);
    s.entries = hc_allocate_zeros(2 * (uint64_t)count + 1, sizeof *s.entries);
    s.buffer = malloc(BUFFER);
    hc_status status = HC_OUT_OF_MEMORY;
    if (tensors && s.entries && s.buffer) {
        hc_tower_tensors(&encoder->config, &weights, tensors, count);
        list_entries(&s, tensors, count);
        void *row = hc_allocate(longest_row(&s), sizeof(float));
        if (row) {
            write_file(&s, write, row);
            status = HC_OK;
        }
        free(row);
    }
    free(tensors);
    free(s.entries);
    free(s.buffer);
    *stopped = s.stopped;
    return status;
}

hc_status hc_shard_write(const hc_encoder *encoder, const void *vocabulary, size_t vocabulary_length,
                         int (*write)(void *user, const void *bytes, size_t n), void *user)
{
    int stopped;
    hc_status status = write_from(encoder, vocabulary, vocabulary_length, 0, write, user, &stopped);
    return status == HC_OK && stopped ? HC_WEIGHTS_TRUNCATED : status;
}

typedef struct part {
    uint8_t *bytes;
    size_t wanted, got;
} part;

static int copy_part(void *user, const void *bytes, size_t n)
{
    part *p = user;
    size_t missing = p->wanted - p->got, now = n < missing ? n : missing;
    memcpy(p->bytes + p->got, bytes, now);
    p->got += now;
    return p->got == p->wanted;
}

hc_status hc_shard_read(const hc_encoder *encoder, const void *vocabulary, size_t vocabulary_length, uint64_t offset,
                        void *bytes, size_t n, size_t *got)
{
    part p = {bytes, n, 0};
    int stopped;
    hc_status status = write_from(encoder, vocabulary, vocabulary_length, offset, copy_part, &p, &stopped);
    *got = p.got;
    return status;
}
