/* loading.h: files and loaders for the tests of weights: reading a file, loading a tower from bytes, writing a shard to memory, making small files. */
#ifndef LOADING_H
#define LOADING_H

#include "halfclip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

/* A whole file, followed by a NUL; the program ends if it cannot be read. */
static inline bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    bytes b = {NULL, (size_t)ftell(file)};
    rewind(file);
    b.data = calloc(1, b.size + 1);
    if (fread(b.data, 1, b.size, file) != b.size) exit(2);
    fclose(file);
    return b;
}

static inline bytes golden_tower(const char *name, const char *ending)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/towers/%s%s", name, ending);
    return read_file(path);
}

/* How a load ended. */
typedef struct outcome {
    hc_status status;
    char message[512];
    uint64_t pushed;
} outcome;

/* Loads as a caller would, the header first in 8 bytes, then whole, then the ranges in chunks. `config` may be NULL. `known`: whether the size is told. */
static inline hc_encoder *load_bytes(hc_tower tower, bytes file, const char *config, hc_dtype dtype, size_t chunk, int known, outcome *end)
{
    hc_encoder *encoder = NULL;
    memset(end, 0, sizeof *end);
    hc_loader *loader = hc_loader_new(tower, config, config ? strlen(config) : 0, dtype);
    if (!loader) {
        end->status = HC_OUT_OF_MEMORY;
        return NULL;
    }
    if (known) hc_loader_file_size(loader, file.size);
    for (uint64_t need, asked = 0; (need = hc_loader_header_need(loader)) > asked; asked = need)
        hc_loader_header(loader, file.data, need < file.size ? (size_t)need : file.size);
    size_t count;
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    for (size_t i = 0; i < count; i++)
        for (uint64_t at = ranges[i].begin; at < ranges[i].end && at < file.size; at += chunk) {
            uint64_t stop = at + chunk < ranges[i].end ? at + chunk : ranges[i].end;
            if (stop > file.size) stop = file.size;
            hc_loader_push(loader, at, file.data + at, (size_t)(stop - at));
            end->pushed += stop - at;
        }
    encoder = hc_loader_finish(loader);
    end->status = hc_loader_status(loader);
    snprintf(end->message, sizeof end->message, "%s", hc_loader_message(loader));
    hc_loader_free(loader);
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

static inline hc_status shard_bytes(const hc_encoder *encoder, bytes vocabulary, bytes *shard)
{
    *shard = (bytes){NULL, 0};
    return hc_shard_write(encoder, vocabulary.data, vocabulary.size, append_bytes, shard);
}

/* A file of this header, padded to 8 bytes, and `data` zero bytes. */
static inline bytes make_file(const char *header, size_t data)
{
    size_t length = strlen(header), padded = (length + 7) / 8 * 8;
    bytes b = {calloc(1, 8 + padded + data + 1), 8 + padded + data};
    for (int i = 0; i < 8; i++) b.data[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    memset(b.data + 8, ' ', padded);
    memcpy(b.data + 8, header, length);
    return b;
}

static inline size_t header_length(bytes file)
{
    uint64_t length = 0;
    for (int i = 8; i-- > 0;) length = length << 8 | file.data[i];
    return (size_t)length;
}

/* The same file with one piece of its header replaced; the program ends if the piece is not there. */
static inline bytes edit_header(bytes file, const char *from, const char *to)
{
    size_t length = header_length(file);
    char *header = calloc(1, length + strlen(to) + 1);
    memcpy(header, file.data + 8, length);
    char *at = strstr(header, from);
    if (!at) {
        fprintf(stderr, "no %s in the header\n", from);
        exit(2);
    }
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    memcpy(at, to, strlen(to));
    bytes edited = make_file(header, file.size - 8 - length);
    memcpy(edited.data + edited.size - (file.size - 8 - length), file.data + 8 + length, file.size - 8 - length);
    free(header);
    return edited;
}

/* Where the data of a tensor begins and ends in the file. */
static inline uint8_t *tensor_data(bytes file, const char *name, size_t *size)
{
    char key[256];
    snprintf(key, sizeof key, "\"%s\"", name);
    char *at = strstr((char *)file.data + 8, key);
    at = at ? strstr(at, "data_offsets") : NULL;
    at = at ? strchr(at, '[') : NULL;
    if (!at) {
        fprintf(stderr, "no tensor %s\n", name);
        exit(2);
    }
    size_t begin = strtoul(at + 1, &at, 10), end = strtoul(at + 1, NULL, 10);
    if (size) *size = end - begin;
    return file.data + 8 + header_length(file) + begin;
}

#endif
