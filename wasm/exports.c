/* exports.c: what JavaScript needs beyond halfclip.h: 64-bit offsets as doubles (exact up to 2^53, and free of BigInt),
 * structs as arrays of doubles instead of layouts.
 */
#include "load/loader.h"

#define EXPORT(name) __attribute__((export_name(#name)))

/* Whether the module uses relaxed SIMD. */
EXPORT(hc_wasm_relaxed) int hc_wasm_relaxed(void)
{
#ifdef __wasm_relaxed_simd__
    return 1;
#else
    return 0;
#endif
}

EXPORT(hc_wasm_file_size) void hc_wasm_file_size(hc_loader *loader, double size)
{
    hc_loader_file_size(loader, (uint64_t)size);
}

EXPORT(hc_wasm_header_need) double hc_wasm_header_need(const hc_loader *loader)
{
    return (double)hc_loader_header_need(loader);
}

/* The ranges as pairs of doubles, `capacity` of them at most; returns how many there are. */
EXPORT(hc_wasm_ranges) size_t hc_wasm_ranges(hc_loader *loader, double *out, size_t capacity)
{
    size_t count;
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    for (size_t i = 0; i < count && i < capacity; i++) {
        out[2 * i] = (double)ranges[i].begin;
        out[2 * i + 1] = (double)ranges[i].end;
    }
    return count;
}

EXPORT(hc_wasm_push) hc_status hc_wasm_push(hc_loader *loader, double offset, const void *bytes, size_t n)
{
    return hc_loader_push(loader, (uint64_t)offset, bytes, n);
}

/* hc_loader_place: *n in, and out what it was lowered to. */
EXPORT(hc_wasm_place) void *hc_wasm_place(hc_loader *loader, double offset, size_t *n)
{
    return hc_loader_place(loader, (uint64_t)offset, n);
}

/* hc_info in its own order, one double a field: out[12]. */
EXPORT(hc_wasm_info) void hc_wasm_info(const hc_encoder *encoder, double out[12])
{
    hc_info info;
    hc_encoder_info(encoder, &info);
    const double fields[12] = {info.tower,
                               info.dtype,
                               info.dim,
                               info.tokens_out,
                               info.context_length,
                               info.vocab_size,
                               info.image_height,
                               info.image_width,
                               info.threads,
                               info.batch,
                               (double)info.parameters,
                               (double)info.memory_bytes};
    for (int i = 0; i < 12; i++) out[i] = fields[i];
}

/* The threads of the encoder that is being loaded, for hc_threads_work and the like; NULL before its header is read,
 * and for one thread. */
EXPORT(hc_wasm_threads) hc_threads *hc_wasm_threads(const hc_loader *loader)
{
    return loader->encoder ? loader->encoder->threads : 0;
}

/* Numbers in the tensors of the tower that is being loaded; 0 before its header is read. */
EXPORT(hc_wasm_parameters) double hc_wasm_parameters(const hc_loader *loader)
{
    return loader->encoder ? (double)loader->encoder->parameters : 0;
}

/* A step of hc_embed_step that takes a thread some ten milliseconds. */
EXPORT(hc_wasm_embed_step) int hc_wasm_embed_step(hc_encoder *encoder)
{
    return hc_embed_step(encoder, (UINT64_C(1) << 28) * (uint64_t)hc_threads_count(encoder->threads));
}

/* The encoder's own input and output, see hc_encoder_buffers. */
EXPORT(hc_wasm_buffers) void hc_wasm_buffers(const hc_encoder *encoder, void *out[2])
{
    float *output;
    hc_encoder_buffers(encoder, &out[0], &output);
    out[1] = output;
}

/* hc_shard_read, with the vocabulary that the encoder itself has. Returns how many bytes there were, or -1 when no
 * memory is left. */
EXPORT(hc_wasm_shard_read) int hc_wasm_shard_read(const hc_encoder *encoder, double offset, void *bytes, size_t n)
{
    size_t length, got;
    const void *vocabulary = hc_encoder_vocabulary(encoder, &length);
    return hc_shard_read(encoder, vocabulary, length, (uint64_t)offset, bytes, n, &got) == HC_OK ? (int)got : -1;
}

/* hc_preprocessor_new with the configuration as JSON text. out: the status, and the height and width of what comes out.
 */
static hc_preprocessor *new_preprocessor(const char *config, size_t config_length, const hc_picture *picture,
                                         int out[3])
{
    hc_preprocess_cfg cfg = {0};
    hc_status status = hc_preprocess_parse(config, config_length, &cfg);
    hc_preprocessor *p = status == HC_OK ? hc_preprocessor_new(&cfg, picture, &status) : NULL;
    out[0] = (int)status;
    out[1] = cfg.height;
    out[2] = cfg.width;
    return p;
}

EXPORT(hc_wasm_preprocessor)
hc_preprocessor *hc_wasm_preprocessor(const char *config, size_t config_length, int width, int height, hc_mode mode,
                                      int orientation, int out[3])
{
    const hc_picture picture = {.width = width, .height = height, .mode = mode, .orientation = orientation};
    return new_preprocessor(config, config_length, &picture, out);
}

/* The same for the picture of a reader. */
EXPORT(hc_wasm_reader_preprocessor)
hc_preprocessor *hc_wasm_reader_preprocessor(const char *config, size_t config_length, const hc_picture_reader *reader,
                                             int orientation, int out[3])
{
    hc_picture picture = *hc_picture_reader_picture(reader);
    picture.orientation = orientation;
    return new_preprocessor(config, config_length, &picture, out);
}

EXPORT(hc_wasm_reader_size) void hc_wasm_reader_size(const hc_picture_reader *reader, int out[2])
{
    out[0] = hc_picture_reader_picture(reader)->width;
    out[1] = hc_picture_reader_picture(reader)->height;
}

/* hc_picture_info in its own order, one double a field: out[7]. */
EXPORT(hc_wasm_picture_info) void hc_wasm_picture_info(const uint8_t *file, size_t size, double out[7])
{
    hc_picture_info info;
    hc_picture_inspect(file, size, &info);
    const double fields[7] = {
        info.format, info.width, info.height, info.channels, info.ends, info.orientation, (double)info.orientation_at};
    for (int i = 0; i < 7; i++) out[i] = fields[i];
}
