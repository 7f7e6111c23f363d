/* encoder.c: the public face of a loaded tower: its description, and embeddings of checked input. */
#include "tower/encoder.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>

void hc_encoder_info(const hc_encoder *encoder, hc_info *info)
{
    const hc_network *net = &encoder->net;
    *info = (hc_info){
        .tower = net->tower,
        .dtype = encoder->dtype,
        .dim = net->dim,
        .tokens_out = net->tokens_out,
        .context_length = net->text.context_length,
        .vocab_size = net->text.vocab_size,
        .image_height = net->image_height,
        .image_width = net->image_width,
        .threads = hc_threads_count(encoder->threads),
        .batch = encoder->batch.inputs,
        .parameters = encoder->parameters,
        .memory_bytes = (uint64_t)encoder->packed_bytes + encoder->arena_bytes + encoder->vocabulary_bytes +
                        sizeof *encoder + hc_network_bytes(net),
    };
}

/* The largest number of 32 bits that counts as finite: as many pixels as there are become sums. */
static const float LARGEST_PIXEL = 3.4e38f;

static hc_status check_numbers(const float *numbers, size_t n, size_t count)
{
    for (size_t input = 0; input < count; input++, numbers += n)
        for (size_t i = 0; i < n; i++)
            if (!(fabsf(numbers[i]) <= LARGEST_PIXEL)) return HC_INPUT_TYPE;
    return HC_OK;
}

static hc_status check_ids(const hc_text_rows *text, const int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++, ids += text->context_length)
        for (int j = 0; j < text->context_length; j++)
            if (ids[j] < 0 || ids[j] >= text->vocab_size) return HC_INPUT_TYPE;
    return HC_OK;
}

hc_status hc_embed_begin(hc_encoder *encoder, const void *input, size_t count, int normalize, float *out)
{
    const hc_network *net = &encoder->net;
    hc_status status = net->tower == HC_TEXT ? check_ids(&net->text, input, count)
                                             : check_numbers(input, hc_network_input(net), count);
    encoder->run = (hc_run){.input = input,
                            .count = status == HC_OK ? count : 0,
                            .out = out,
                            .normalize = normalize,
                            .steps = {.threads = encoder->threads}};
    return status;
}

hc_status hc_embed_video_begin(hc_encoder *encoder, const float *frames, size_t count, int normalize, float *out)
{
    const hc_network *net = &encoder->net;
    hc_status status = net->tower != HC_VIDEO                          ? HC_INPUT_TYPE
                       : count < 1 || count > (size_t)net->most_frames ? HC_INPUT_SIZE
                                                                       : check_numbers(frames, (size_t)net->dim, count);
    encoder->run = (hc_run){.input = frames,
                            .count = status == HC_OK,
                            .out = out,
                            .normalize = normalize,
                            .frames = (int)count,
                            .op = net->video_op,
                            .steps = {.threads = encoder->threads}};
    return status;
}

hc_status hc_embed_video(hc_encoder *encoder, const float *frames, size_t count, int normalize, float *out)
{
    hc_status status = hc_embed_video_begin(encoder, frames, count, normalize, out);
    hc_embed_step(encoder, UINT64_MAX);
    return status;
}

int hc_encoder_video(const hc_encoder *encoder, hc_video_info *out)
{
    const hc_network *net = &encoder->net;
    if (net->tower != HC_VIDEO) return 0;
    *out = (hc_video_info){net->video.temporal, net->most_frames, net->seen ? net->seen : 1,
                           net->logit_scale ? hc_expf(net->tensors[net->logit_scale].floats[0]) : 0};
    return 1;
}

int hc_embed_step(hc_encoder *encoder, uint64_t multiplications) { return hc_encoder_run(encoder, multiplications); }

static hc_status embed(hc_encoder *encoder, hc_tower tower, const void *input, size_t count, int normalize, float *out)
{
    if ((encoder->net.tower == HC_TEXT) != (tower == HC_TEXT)) return HC_INPUT_TYPE;
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

hc_encoder *hc_encoder_twin(const hc_encoder *encoder)
{
    hc_encoder *twin = hc_allocate(1, sizeof *twin);
    if (!twin) return NULL;
    *twin = *encoder;
    twin->is_twin = 1;
    twin->threads = NULL;
    twin->run = (hc_run){0};
    twin->arena = hc_allocate(1, encoder->arena_bytes);
    if (twin->arena) return twin;
    free(twin);
    return NULL;
}

void hc_encoder_free(hc_encoder *encoder)
{
    if (!encoder) return;
    if (encoder->is_twin) {
        free(encoder->arena);
        free(encoder);
        return;
    }
    hc_threads_free(encoder->threads);
    hc_network_free(&encoder->net);
    free(encoder->packed);
    free(encoder->arena);
    free(encoder->config_json);
    free(encoder->vocabulary);
    free(encoder);
}
