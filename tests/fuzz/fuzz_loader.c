/* fuzz_loader.c: any bytes as a shard or a checkpoint, in any chunking. The first two bytes choose tower, dtype, chunks
 * and whether a directory of the file's tensors comes first; then comes the file. A load that succeeds computes a
 * vector and is written and loaded again, to the same bytes. */
#include "halfclip.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char CONFIG[] =
    "{\"model_cfg\":{\"embed_dim\":6,\"vision_cfg\":{\"image_size\":8,\"patch_size\":4,\"width\":12,\"layers\":1,"
    "\"head_width\":6,\"mlp_ratio\":1.5},"
    "\"text_cfg\":{\"context_length\":4,\"vocab_size\":9,\"width\":12,\"heads\":2,\"layers\":1,\"mlp_ratio\":1.5}}}";

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static int append(void *user, const void *piece, size_t n)
{
    bytes *b = user;
    b->data = realloc(b->data, b->size + n);
    memcpy(b->data + b->size, piece, n);
    b->size += n;
    return 0;
}

/* All bytes that the loader asks for, as far as there are any. */
static hc_encoder *push(hc_loader *loader, const uint8_t *file, size_t size, size_t chunk)
{
    size_t count;
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].begin >= ranges[i].end || (i && ranges[i].begin <= ranges[i - 1].end)) abort();
        uint64_t end = ranges[i].end < size ? ranges[i].end : size;
        size_t n;
        for (uint64_t at = ranges[i].begin; at < end; at += n) {
            n = end - at < chunk ? (size_t)(end - at) : chunk;
            void *place = chunk & 1 ? hc_loader_place(loader, at, &n) : NULL;
            if (place) memcpy(place, file + at, n);
            hc_loader_push(loader, at, place ? place : file + at, n);
        }
    }
    hc_encoder *encoder = hc_loader_finish(loader);
    if (!encoder != (hc_loader_status(loader) != HC_OK) || (!encoder && !*hc_loader_message(loader))) abort();
    hc_loader_free(loader);
    return encoder;
}

static hc_encoder *load(hc_tower tower, hc_dtype dtype, int given, const uint8_t *file, size_t size, size_t chunk)
{
    hc_loader *loader = hc_loader_new(tower, given ? CONFIG : NULL, given ? sizeof CONFIG - 1 : 0, dtype);
    if (!loader) abort();
    /* Without the size a header may promise gigabytes, which are then allocated. */
    hc_loader_file_size(loader, size);
    for (uint64_t need, asked = 0; (need = hc_loader_header_need(loader)) > asked; asked = need)
        hc_loader_header(loader, file, need < size ? (size_t)need : size);
    return push(loader, file, size, chunk);
}

/* A directory, its length in the first two bytes, and the file that it describes. */
static hc_encoder *load_directory(hc_tower tower, hc_dtype dtype, const uint8_t *bytes, size_t size, size_t chunk)
{
    if (size < 2) return NULL;
    size_t length = bytes[0] | (size_t)bytes[1] << 8;
    if (length > size - 2) length = size - 2;
    hc_loader *loader = hc_loader_new(tower, CONFIG, sizeof CONFIG - 1, dtype);
    if (!loader) abort();
    hc_loader_directory(loader, (const char *)bytes + 2, length);
    return push(loader, bytes + 2 + length, size - 2 - length, chunk);
}

static void embed(hc_encoder *encoder)
{
    hc_info info;
    hc_encoder_info(encoder, &info);
    hc_video_info video = {.seen = 1};
    hc_encoder_video(encoder, &video);
    size_t n = info.tower != HC_TEXT ? 3 * (size_t)video.seen * (size_t)info.image_height * (size_t)info.image_width
                                     : (size_t)info.context_length;
    float *out = malloc((size_t)info.dim * (size_t)info.tokens_out * sizeof *out);
    void *input = calloc(n, sizeof(float));
    if ((info.tower != HC_TEXT ? hc_embed_pixels(encoder, input, 1, 1, out)
                               : hc_embed_tokens(encoder, input, 1, 1, out)) != HC_OK)
        abort();
    if (info.tower == HC_VIDEO) {
        /* Weights may be so large that vectors are no numbers. */
        hc_status status = hc_embed_video(encoder, out, 1, 1, out);
        if (status != HC_OK && status != HC_INPUT_TYPE) abort();
    }
    free(input);
    free(out);
}

static bytes shard_of(const hc_encoder *encoder)
{
    bytes shard = {NULL, 0};
    size_t length;
    const void *vocabulary = hc_encoder_vocabulary(encoder, &length);
    if (hc_shard_write(encoder, vocabulary, length, append, &shard) != HC_OK) abort();
    return shard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    hc_tower tower = data[0] & 1 ? HC_TEXT : data[0] & 64 ? HC_VIDEO : HC_IMAGE;
    size_t chunk = data[1] ? data[1] : 1u << 20, n = size - 2;
    uint8_t *file = malloc(n + !n);
    memcpy(file, data + 2, n);
    hc_dtype dtype = (hc_dtype)((data[0] >> 1 & 3) + (data[0] >> 5 & 1));
    hc_encoder *encoder = data[0] & 16 ? load_directory(tower, dtype, file, n, chunk)
                                       : load(tower, dtype, data[0] >> 3 & 1, file, n, chunk);
    if (encoder) {
        embed(encoder);
        bytes shard = shard_of(encoder);
        hc_encoder *again = load(tower, HC_AUTO, 0, shard.data, shard.size, 1000);
        if (!again) abort();
        bytes same = shard_of(again);
        if (same.size != shard.size || memcmp(same.data, shard.data, same.size)) abort();
        hc_encoder_free(again);
        free(same.data);
        free(shard.data);
    }
    hc_encoder_free(encoder);
    free(file);
    return 0;
}
