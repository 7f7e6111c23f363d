/* shard.c: an encoder as a .safetensors file that holds one tower, written front to back or read in parts. fp32 and
 * fp16 shards hold OpenCLIP's own tensors; int8 and int4 shards hold matrices in the kernels' order, so that loading
 * one is a copy. */
#include "checkpoint/json.h"
#include "checkpoint/json_writer.h"
#include "load/pack.h"
#include "base/size.h"
#include "load/stored.h"
#include "tower/encoder.h"
#include "base/constants.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER = 64 * 1024 };

/* One tensor of the file: of one in the tower, or its scales. */
typedef struct entry {
    const hc_tensor *tensor; /* NULL for the vocabulary */
    hc_stored_part part;
    const char *name; /* of the vocabulary */
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
static void emit(void *user, const void *bytes, size_t n)
{
    shard *s = user;
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

/* ---- the list of tensors ------------------------------------------------------------------------------------------
 */

static const char *name_of(hc_element element)
{
    return element == HC_F32 ? "F32" : element == HC_F16 ? "F16" : element == HC_I8 ? "I8" : "U8";
}

static hc_storage storage_of(const hc_tensor *t)
{
    return t->kind == HC_FLOATS ? HC_STORE_F32 : t->kind == HC_TABLE ? t->table.storage : t->matrix.storage;
}

static uint64_t bytes_of(const entry *e)
{
    return hc_size_product(hc_size_shape(e->part.shape, e->part.rank), hc_pack_element_bytes(e->part.element));
}

static const char *vocabulary_name(const shard *s)
{
    static const char mark[] = HC_VOCABULARY_MARK;
    const size_t n = sizeof mark - 1;
    int is_tokenizer = s->vocabulary_length >= n && !memcmp(s->vocabulary, mark, n);
    return is_tokenizer ? HC_VOCABULARY_TOKENIZER : HC_VOCABULARY_MERGES;
}

/* Wide elements first, so that every tensor is aligned to its element, as readers that map files expect. */
static void list_entries(shard *s)
{
    const hc_network *net = &s->encoder->net;
    for (size_t size = sizeof(float); size; size /= 2)
        for (int i = 1; i < net->tensor_count; i++) {
            hc_stored_part parts[2];
            if (net->tensors[i].part_of) continue;
            int n = hc_stored_parts(&net->tensors[i], storage_of(&net->tensors[i]), parts);
            while (n--)
                if (hc_pack_element_bytes(parts[n].element) == size)
                    s->entries[s->entry_count++] = (entry){&net->tensors[i], parts[n], NULL};
        }
    if (s->vocabulary_length)
        s->entries[s->entry_count++] =
            (entry){NULL, {"", HC_U8, 1, {(uint32_t)s->vocabulary_length}}, vocabulary_name(s)};
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

static void put_metadata(const hc_json_writer *w, const char *key, const char *text, size_t n)
{
    hc_json_put(w, ",");
    hc_json_put_string(w, key, strlen(key));
    hc_json_put(w, ":");
    hc_json_put_string(w, text, n);
}

static void put_entry(const hc_json_writer *w, const entry *e, uint64_t at)
{
    uint64_t shape[HC_MOST_RANK];
    for (int i = 0; i < e->part.rank; i++) shape[i] = e->part.shape[i];
    hc_json_put(w, ",\"");
    hc_json_put(w, e->tensor ? e->tensor->name : e->name);
    hc_json_put(w, e->part.ending);
    hc_json_put(w, "\":{\"dtype\":\"");
    hc_json_put(w, name_of(e->part.element));
    hc_json_put(w, "\",\"shape\":");
    hc_json_put_numbers(w, shape, e->part.rank);
    hc_json_put(w, ",\"data_offsets\":");
    hc_json_put_numbers(w, (const uint64_t[]){at, at + bytes_of(e)}, 2);
    hc_json_put(w, "}");
}

static void emit_header(shard *s)
{
    static const char *const keys[] = {"model_cfg", "preprocess_cfg", "tokenizer"};
    const hc_json_writer w = {emit, s};
    const hc_encoder *encoder = s->encoder;
    const char *tower = hc_tower_name(encoder->net.tower), *dtype = hc_dtype_name(encoder->dtype);
    hc_json config = {HC_JSON_ABSENT, "", 0};
    hc_json_error error;
    hc_json_put(&w, "{\"__metadata__\":{\"format\":\"pt\",\"halfclip\":\"1\"");
    put_metadata(&w, "tower", tower, strlen(tower));
    put_metadata(&w, "dtype", dtype, strlen(dtype));
    hc_json_parse(encoder->config_json, strlen(encoder->config_json), &config, &error);
    for (int i = 0; i < 3; i++) {
        hc_json value = hc_json_get(&config, keys[i]);
        if (value.type != HC_JSON_ABSENT) put_metadata(&w, keys[i], value.text, value.length);
    }
    hc_json_put(&w, "}");
    uint64_t at = 0;
    for (size_t i = 0; i < s->entry_count; at += bytes_of(&s->entries[i]), i++) put_entry(&w, &s->entries[i], at);
    hc_json_put(&w, "}");
    while (s->written % 8) hc_json_put(&w, " ");
}

/* A convolution's output channel from the kernels' order [y, x, c] to the checkpoint's, [c, y, x]. */
static void channels_first(const hc_tensor *t, const uint8_t *from, size_t size, uint8_t *to)
{
    size_t positions = (size_t)t->positions, channels = t->shape[1];
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < positions; p++)
            memcpy(to + (c * positions + p) * size, from + (p * channels + c) * size, size);
}

/* A matrix in the checkpoint's order; `row` has room for two of its rows or columns. */
static void emit_matrix(shard *s, const hc_tensor *t, size_t size, uint8_t *row)
{
    const hc_matrix *m = &t->matrix;
    int count = t->transposed ? m->k : m->n;
    size_t row_bytes = (size_t)(t->transposed ? m->n : m->k) * size;
    for (int i = 0; i < count && !s->stopped; i++) {
        int wanted = s->written + row_bytes > s->begin;
        if (wanted && t->transposed) hc_unpack_column(m, i, row);
        else if (wanted) hc_unpack_row(m, i, row);
        if (wanted && t->positions) channels_first(t, row, size, row + row_bytes);
        emit(s, t->positions ? row + row_bytes : row, row_bytes);
    }
}

static void emit_data(shard *s, const entry *e, void *row)
{
    const hc_tensor *t = e->tensor;
    const void *bytes = t ? hc_stored_at(t, &e->part) : s->vocabulary;
    if (bytes) emit(s, bytes, (size_t)bytes_of(e));
    else emit_matrix(s, t, hc_pack_element_bytes(e->part.element), row);
}

static size_t longest_row(const hc_network *net)
{
    uint64_t longest = 1;
    for (int i = 1; i < net->tensor_count; i++) {
        hc_extent extent = hc_stored_extent(&net->tensors[i]);
        if (net->tensors[i].kind != HC_MATRIX) continue;
        if (extent.k > longest) longest = extent.k;
        if (extent.rows > longest) longest = extent.rows;
    }
    return (size_t)longest;
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
    shard s = {.encoder = encoder, .user = user, .begin = begin};
    if (vocabulary && encoder->net.tower == HC_TEXT) {
        s.vocabulary = vocabulary;
        s.vocabulary_length = vocabulary_length;
    }
    s.entries = hc_allocate_zeros(2 * (uint64_t)encoder->net.tensor_count + 1, sizeof *s.entries);
    s.buffer = malloc(BUFFER);
    void *row = hc_allocate(2 * (uint64_t)longest_row(&encoder->net), sizeof(float));
    hc_status status = HC_OUT_OF_MEMORY;
    if (s.entries && s.buffer && row) {
        list_entries(&s);
        write_file(&s, write, row);
        status = HC_OK;
    }
    free(row);
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
