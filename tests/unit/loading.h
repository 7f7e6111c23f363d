/* loading.h: for the tests of weights: loading a tower from bytes, writing a shard to memory, and taking files apart to
 * build others. */
#ifndef LOADING_H
#define LOADING_H

#include "files.h"
#include "halfclip.h"
#include "checkpoint/safetensors.h"

#include <string.h>

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static inline bytes read_bytes(const char *path)
{
    bytes b;
    b.data = (uint8_t *)read_file(path, &b.size);
    return b;
}

static inline bytes golden_file(const char *folder, const char *name, const char *ending)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/%s/%s%s", folder, name, ending);
    return read_bytes(path);
}

static inline bytes golden_tower(const char *name, const char *ending) { return golden_file("towers", name, ending); }
static inline bytes golden_video(const char *name, const char *ending) { return golden_file("videos", name, ending); }

/* ---- loading ------------------------------------------------------------------------------------------------------
 */

/* How a load ended. */
typedef struct outcome {
    hc_status status;
    char message[512];
    size_t ranges, pushed;
} outcome;

/* Bytes to the loader: in turn as they lie in the file, and by way of the places that the loader has for them. */
static inline void push_part(hc_loader *loader, bytes file, uint64_t at, size_t n, int by_place)
{
    while (n) {
        size_t now = n;
        void *place = by_place ? hc_loader_place(loader, at, &now) : NULL;
        if (place) memcpy(place, file.data + at, now);
        hc_loader_push(loader, at, place ? place : file.data + at, now);
        at += now;
        n -= now;
    }
}

/* Loads as a caller would: the header first in 8 bytes, then whole, then the ranges in chunks, for two threads.
 * `config` may be NULL. `known`: whether the file's size is told. `sides`: height and width of pictures, or NULL. */
static inline hc_encoder *load_sized(hc_tower tower, bytes file, const char *config, hc_dtype dtype, size_t chunk,
                                     int known, const int sides[2], outcome *end)
{
    memset(end, 0, sizeof *end);
    hc_loader *loader = hc_loader_new(tower, config, config ? strlen(config) : 0, dtype);
    if (!loader) {
        end->status = HC_OUT_OF_MEMORY;
        return NULL;
    }
    hc_loader_set_threads(loader, 2);
    if (sides) hc_loader_set_image_size(loader, sides[0], sides[1]);
    if (known) hc_loader_file_size(loader, file.size);
    for (uint64_t need, asked = 0; (need = hc_loader_header_need(loader)) > asked; asked = need)
        hc_loader_header(loader, file.data, need < file.size ? (size_t)need : file.size);
    const hc_range *ranges = hc_loader_ranges(loader, &end->ranges);
    for (size_t i = 0; i < end->ranges; i++)
        for (uint64_t at = ranges[i].begin; at < ranges[i].end && at < file.size; at += chunk) {
            uint64_t stop = at + chunk < ranges[i].end ? at + chunk : ranges[i].end;
            if (stop > file.size) stop = file.size;
            push_part(loader, file, at, (size_t)(stop - at), (int)(at / chunk % 2));
            end->pushed += (size_t)(stop - at);
        }
    hc_encoder *encoder = hc_loader_finish(loader);
    end->status = hc_loader_status(loader);
    snprintf(end->message, sizeof end->message, "%s", hc_loader_message(loader));
    hc_loader_free(loader);
    return encoder;
}

static inline hc_encoder *load_bytes(hc_tower tower, bytes file, const char *config, hc_dtype dtype, size_t chunk,
                                     int known, outcome *end)
{
    return load_sized(tower, file, config, dtype, chunk, known, NULL, end);
}

/* A golden tower of one thread; without it a test has nothing to test. */
static inline hc_encoder *golden_encoder(const char *name, hc_tower tower, hc_dtype dtype)
{
    outcome end;
    const char *folder = tower == HC_VIDEO ? "videos" : "towers";
    bytes file = golden_file(folder, name, ".safetensors"), config = golden_file(folder, name, ".json");
    hc_encoder *encoder = load_bytes(tower, file, (char *)config.data, dtype, 4096, 1, &end);
    if (!encoder) {
        fprintf(stderr, "%s: %s\n", name, end.message);
        exit(1);
    }
    free(file.data);
    free(config.data);
    return encoder;
}

static inline int append_bytes(void *user, const void *data, size_t n)
{
    bytes *b = user;
    uint8_t *grown = realloc(b->data, b->size + n + 1);
    if (!grown) return 1;
    memcpy(grown + b->size, data, n);
    b->data = grown;
    b->size += n;
    b->data[b->size] = 0;
    return 0;
}

/* Everything that an encoder holds, to compare two of them and to load it again. */
static inline bytes shard_of(const hc_encoder *encoder)
{
    bytes shard = {NULL, 0};
    size_t length = 0;
    const void *vocabulary = encoder ? hc_encoder_vocabulary(encoder, &length) : NULL;
    if (encoder) hc_shard_write(encoder, vocabulary, length, append_bytes, &shard);
    return shard;
}

static inline int same_bytes(bytes a, bytes b) { return a.size && a.size == b.size && !memcmp(a.data, b.data, a.size); }

/* ---- files --------------------------------------------------------------------------------------------------------
 */

/* One tensor of a file: its name, and the rest as JSON text and bytes. */
typedef struct part {
    char name[128], dtype[16], shape[64];
    const uint8_t *data;
    size_t size;
} part;

/* The tensors of a file in the order of their names; `data` points into the file. Room for four more. */
static inline part *take_apart(bytes file, size_t *count)
{
    hc_safetensors header;
    hc_problem problem = {.status = HC_OK};
    if (hc_safetensors_parse(&header, (const char *)file.data + 8, (size_t)hc_safetensors_header_length(file.data),
                             &problem)) {
        fprintf(stderr, "%s\n", problem.message);
        exit(1);
    }
    part *parts = calloc(header.count + 4, sizeof *parts);
    *count = header.count;
    for (size_t i = 0; i < header.count; i++) {
        const hc_file_tensor *t = &header.tensors[i];
        hc_json_string(&t->name, parts[i].name, sizeof parts[i].name);
        hc_json_string(&t->dtype, parts[i].dtype, sizeof parts[i].dtype);
        snprintf(parts[i].shape, sizeof parts[i].shape, "%.*s", (int)t->shape.length, t->shape.text);
        parts[i].data = file.data + t->begin;
        parts[i].size = (size_t)(t->end - t->begin);
    }
    hc_safetensors_free(&header);
    return parts;
}

/* The metadata of a file as text, to be freed; NULL if it has none. */
static inline char *metadata_of(bytes file)
{
    hc_safetensors header;
    hc_problem problem = {.status = HC_OK};
    hc_safetensors_parse(&header, (char *)file.data + 8, (size_t)hc_safetensors_header_length(file.data), &problem);
    char *text = header.metadata.length ? calloc(1, header.metadata.length + 1) : NULL;
    if (text) memcpy(text, header.metadata.text, header.metadata.length);
    hc_safetensors_free(&header);
    return text;
}

static inline part *part_of(part *parts, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(parts[i].name, name)) return &parts[i];
    fprintf(stderr, "no tensor %s\n", name);
    exit(1);
}

/* A file of these tensors in this order; parts without a name are left out. `metadata`: a JSON object, or NULL. */
static inline bytes build_file(const part *parts, size_t count, const char *metadata)
{
    bytes file = {NULL, 0};
    char entry[512];
    size_t at = 0;
    append_bytes(&file, "\0\0\0\0\0\0\0\0{\"__metadata__\":", 24);
    append_bytes(&file, metadata ? metadata : "{}", metadata ? strlen(metadata) : 2);
    for (size_t i = 0; i < count; i++) {
        if (!*parts[i].name) continue;
        int n = snprintf(entry, sizeof entry, ",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                         parts[i].name, parts[i].dtype, parts[i].shape, at, at + parts[i].size);
        append_bytes(&file, entry, (size_t)n);
        at += parts[i].size;
    }
    append_bytes(&file, "}", 1);
    uint64_t length = file.size - 8;
    for (int i = 0; i < 8; i++) file.data[i] = (uint8_t)(length >> (8 * i));
    for (size_t i = 0; i < count; i++)
        if (*parts[i].name) append_bytes(&file, parts[i].data, parts[i].size);
    return file;
}

#endif
