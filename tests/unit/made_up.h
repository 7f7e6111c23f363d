/* made_up.h: towers of any config, from checkpoints that are made up while they are read: the header lists OpenCLIP's
 * tensors in halves, and the numbers follow a pattern, so that a file of gigabytes takes no memory and two builds read
 * the same one. tests/node/extreme.test.mjs makes up the same. */
#ifndef MADE_UP_H
#define MADE_UP_H

#include "base/size.h"
#include "halfclip.h"
#include "kernels/kernels.h"
#include "base/text_format.h"
#include "families/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MADE_UP_PERIOD = 4099, MADE_UP_CHUNK = 1 << 18 };

typedef struct made_up {
    hc_status status; /* of the config */
    char message[512];
    char *header; /* with the 8 bytes of its length; the numbers follow */
    size_t header_length;
    uint64_t bytes; /* of the numbers */
    int positive;   /* variances are among them, which are not negative */
} made_up;

/* Numbers from -0.125 to 0.125, of which no row is all zeros. */
static inline uint16_t made_up_half(uint64_t index)
{
    return hc_float_to_half((float)((int)(index % MADE_UP_PERIOD * 37 % 257) - 128) / 1024);
}

static inline void made_up_put(made_up *file, const char *text)
{
    size_t n = strlen(text);
    char *grown = realloc(file->header, file->header_length + n + 1);
    if (!grown) exit(1);
    file->header = grown;
    memcpy(file->header + file->header_length, text, n + 1);
    file->header_length += n;
}

/* The checkpoint that this config asks for. The caller frees `header`. */
static inline made_up made_up_file(hc_tower tower, const char *config)
{
    made_up file = {.header = NULL};
    hc_problem problem = {.status = HC_OK};
    hc_network net;
    hc_network_init(&net, tower, &problem);
    hc_family_build(&net, config, strlen(config));
    file.status = problem.status;
    memcpy(file.message, problem.message, sizeof file.message);
    made_up_put(&file, "        {");
    for (int i = 1; i < net.tensor_count && file.status == HC_OK; i++) {
        const hc_tensor *t = &net.tensors[i];
        if (t->sum) continue; /* its branches are there */
        char entry[320];
        uint64_t bytes = 2 * hc_size_shape(t->shape, t->rank);
        hc_format(entry, sizeof entry, "%s\"%s\":{\"dtype\":\"F16\",\"shape\":%x,\"data_offsets\":[%u,%u]}",
                  file.bytes ? "," : "", t->name, t->shape, t->rank, file.bytes, file.bytes + bytes);
        made_up_put(&file, entry);
        file.bytes += bytes;
    }
    file.positive = net.fold_count > 1;
    hc_network_free(&net);
    made_up_put(&file, "}");
    uint64_t length = file.header_length - 8;
    for (int i = 0; i < 8; i++) file.header[i] = (char)(length >> (8 * i));
    return file;
}

/* Loads it; with `whole` 0 only as far as its header. NULL after a failure, which *status and message [512] tell. */
static inline hc_encoder *made_up_load(const made_up *file, hc_tower tower, const char *config, hc_dtype dtype,
                                       int whole, hc_status *status, char *message)
{
    hc_loader *loader = hc_loader_new(tower, config, strlen(config), dtype);
    if (!loader) exit(1);
    hc_loader_file_size(loader, file->header_length + file->bytes);
    while (hc_loader_header_need(loader)) hc_loader_header(loader, file->header, file->header_length);
    size_t count;
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    uint16_t *chunk = malloc(MADE_UP_CHUNK * sizeof *chunk);
    if (!chunk) exit(1);
    for (size_t i = 0; whole && i < count; i++)
        for (uint64_t at = ranges[i].begin; at < ranges[i].end;) {
            uint64_t first = (at - file->header_length) / 2, left = (ranges[i].end - at) / 2,
                     n = left < MADE_UP_CHUNK ? left : MADE_UP_CHUNK;
            for (uint64_t j = 0; j < n; j++) chunk[j] = made_up_half(first + j) & (file->positive ? 0x7FFF : 0xFFFF);
            hc_loader_push(loader, at, chunk, (size_t)n * 2);
            at += n * 2;
        }
    free(chunk);
    hc_encoder *encoder = whole ? hc_loader_finish(loader) : NULL;
    *status = hc_loader_status(loader);
    memcpy(message, hc_loader_message(loader), strlen(hc_loader_message(loader)) + 1);
    hc_loader_free(loader);
    return encoder;
}

/* One input: pixels from -1 to 1, or ids of which the last is the highest. */
static inline void *made_up_input(const hc_info *info, size_t *count)
{
    *count = info->tower == HC_IMAGE ? 3 * (size_t)info->image_height * (size_t)info->image_width
                                     : (size_t)info->context_length;
    float *numbers = calloc(*count, sizeof *numbers);
    if (!numbers) exit(1);
    for (size_t i = 0; i < *count; i++) {
        if (info->tower == HC_IMAGE) {
            numbers[i] = (float)((int)(i % 2003) - 1001) / 1001;
            continue;
        }
        int32_t id = i + 1 == *count ? info->vocab_size - 1 : (int32_t)(i % 1009 % (size_t)info->vocab_size);
        memcpy(numbers + i, &id, sizeof id);
    }
    return numbers;
}

#endif
