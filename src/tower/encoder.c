/* encoder.c: the public face of a loaded tower: its description, and embeddings of checked input. */
#include "tower/tower.h"

#include <math.h>
#include <stdlib.h>

void hc_encoder_info(const hc_encoder *encoder, hc_info *info)
{
    const hc_config *c = &encoder->config;
    *info = (hc_info){
        .tower = c->tower,
        .dtype = encoder->dtype,
        .dim = c->dim,
        .tokens_out = c->tokens_out,
        .context_length = c->context_length,
        .vocab_size = c->vocab_size,
        .image_height = c->image_height,
        .image_width = c->image_width,
        .threads = hc_threads_count(encoder->threads),
        .batch = encoder->batch.inputs,
        .parameters = encoder->parameters,
        .memory_bytes = (uint64_t)encoder->packed_bytes + encoder->arena_bytes + encoder->vocabulary_bytes +
                        sizeof *encoder + (uint64_t)c->layers * sizeof(hc_block),
    };
}

/* The largest number of 32 bits that counts as finite: as many pixels as there are become sums. */
static const float LARGEST_PIXEL = 3.4e38f;

static hc_status check_pixels(const hc_config *c, const float *pixels, size_t count)
{
    size_t n = 3 * (size_t)c->image_height * (size_t)c->image_width;
    for (size_t picture = 0; picture < count; picture++, pixels += n)
        for (size_t i = 0; i < n; i++)
            if (!(fabsf(pixels[i]) <= LARGEST_PIXEL)) return HC_INPUT_TYPE;
    return HC_OK;
}

static hc_status check_ids(const hc_config *c, const int32_t *ids, size_t count)
{
    for (size_t text = 0; text < count; text++, ids += c->context_length)
        for (int i = 0; i < c->context_length; i++)
            if (ids[i] < 0 || ids[i] >= c->vocab_size) return HC_INPUT_TYPE;
    return HC_OK;
}

hc_status hc_embed_begin(hc_encoder *encoder, const void *input, size_t count, int normalize, float *out)
{
    const hc_config *c = &encoder->config;
    hc_status status = c->tower == HC_IMAGE ? check_pixels(c, input, count) : check_ids(c, input, count);
    encoder->run = (hc_run){.input = input,
                            .count = status == HC_OK ? count : 0,
                            .out = out,
                            .normalize = normalize,
                            .steps = {.threads = encoder->threads}};
    return status;
}

int hc_embed_step(hc_encoder *encoder, uint64_t multiplications) { return hc_tower_run(encoder, multiplications); }

static hc_status embed(hc_encoder *encoder, hc_tower tower, const void *input, size_t count, int normalize, float *out)
{
    if (encoder->config.tower != tower) return HC_INPUT_TYPE;
    hc_status status = hc_embed_begin(encoder, input, count, normalize, out);
    hc_embed_step(encoder, UINT64_MAX);
    return status;
}

hc_status hc_embed_pixels(hc_encoder *encoder, const float *pixels, size_t count, int normalize, float *out)
{
    return embed(encoder, HC_IMAGE, pixels, count, normalize, out);
}

hc_status hc_embed_tokens(hc_encoder *encoder, const int32_t *ids, size_t count, int normalize, float *out)
{
    return embed(encoder, HC_TEXT, ids, count, normalize, out);
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
    if (!encoder) return;
    hc_threads_free(encoder->threads);
    free(encoder->packed);
    free(encoder->arena);
    free(encoder->weights.blocks);
    free(encoder->config_json);
    free(encoder->vocabulary);
    free(encoder);
}
