/* encoder.c: the public face of a loaded tower: its description, and embeddings of checked input. */
#include "tower.h"

#include <math.h>
#include <stdlib.h>

void hc_encoder_info(const hc_encoder *encoder, hc_info *info)
{
    const hc_config *c = &encoder->config;
    *info = (hc_info){
        .tower = c->tower, .dtype = encoder->dtype, .dim = c->dim, .tokens_out = c->tokens_out,
        .context_length = c->context_length, .vocab_size = c->vocab_size,
        .image_height = c->image_height, .image_width = c->image_width,
        .threads = hc_threads_count(encoder->threads), .batch = hc_tower_inputs(c),
        .parameters = encoder->parameters,
        .memory_bytes = (uint64_t)encoder->packed_bytes + encoder->arena_bytes + encoder->vocabulary_bytes + sizeof *encoder +
                        (uint64_t)c->layers * sizeof(hc_block),
    };
}

static void run(hc_encoder *encoder, const void *input, size_t count, int normalize, float *out)
{
    const hc_config *c = &encoder->config;
    hc_tower_run(encoder, input, (int)count, out);
    if (normalize)
        for (size_t i = 0; i < count * (size_t)c->tokens_out; i++)
            hc_normalise(out + i * (size_t)c->dim, c->dim);
}

hc_status hc_embed_pixels(hc_encoder *encoder, const float *pixels, size_t count, int normalize, float *out)
{
    const hc_config *c = &encoder->config;
    size_t n = count * 3 * (size_t)c->image_height * (size_t)c->image_width;
    if (c->tower != HC_IMAGE)
        return HC_INPUT_TYPE;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(pixels[i]) <= 3.4e38f))
            return HC_INPUT_TYPE;
    run(encoder, pixels, count, normalize, out);
    return HC_OK;
}

hc_status hc_embed_tokens(hc_encoder *encoder, const int32_t *ids, size_t count, int normalize, float *out)
{
    const hc_config *c = &encoder->config;
    if (c->tower != HC_TEXT)
        return HC_INPUT_TYPE;
    for (size_t i = 0; i < count * (size_t)c->context_length; i++)
        if (ids[i] < 0 || ids[i] >= c->vocab_size)
            return HC_INPUT_TYPE;
    run(encoder, ids, count, normalize, out);
    return HC_OK;
}

void hc_encoder_set_dot(hc_encoder *encoder, hc_dot dot) { encoder->dot = dot; }

const char *hc_encoder_config(const hc_encoder *encoder) { return encoder->config_json; }

const void *hc_encoder_vocabulary(const hc_encoder *encoder, size_t *length)
{
    *length = encoder->vocabulary_bytes;
    return encoder->vocabulary;
}

void hc_encoder_free(hc_encoder *encoder)
{
    if (!encoder)
        return;
    hc_threads_free(encoder->threads);
    free(encoder->packed);
    free(encoder->arena);
    free(encoder->weights.blocks);
    free(encoder->config_json);
    free(encoder->vocabulary);
    free(encoder);
}
