/* tools.c: what reports need beyond exports.c, and no tower: how far a file is from a
 * config, the profile, the tensors of a tower, and pieces of a shard handed to the one function that a module imports.
 */
#include "checkpoint.h"
#include "load/fit.h"
#include "load/loader.h"

#define EXPORT(name) __attribute__((export_name(#name)))

__attribute__((import_module("env"), import_name("write"))) int hc_wasm_import_write(const void *bytes, size_t n);

/* hc_encoder_profile: the numbers in their own order, one double a field, and the two texts apart. */
EXPORT(hc_wasm_operation)
int hc_wasm_operation(const hc_encoder *encoder, size_t index, double out[6], const char *texts[2])
{
    hc_operation info;
    if (!hc_encoder_profile(encoder, index, &info)) return 0;
    const double fields[6] = {info.rows, info.height, info.width, info.n, info.k, (double)info.multiplications};
    for (int i = 0; i < 6; i++) out[i] = fields[i];
    texts[0] = info.kind;
    texts[1] = info.name;
    return 1;
}

/* hc_embed_result, one double a field: where it lies, its rows, their numbers, and the stride. */
EXPORT(hc_wasm_result) int hc_wasm_result(hc_encoder *encoder, int index, double out[4])
{
    hc_operation_result result;
    if (!hc_embed_result(encoder, index, &result)) return 0;
    const double fields[4] = {(double)(uintptr_t)result.at, result.rows, result.n, (double)result.stride};
    for (int i = 0; i < 4; i++) out[i] = fields[i];
    return 1;
}

/* hc_encoder_video, one double a field. */
EXPORT(hc_wasm_video) int hc_wasm_video(const hc_encoder *encoder, double out[4])
{
    hc_video_info info;
    if (!hc_encoder_video(encoder, &info)) return 0;
    const double fields[4] = {info.temporal, info.most_frames, info.seen, info.logit_scale};
    for (int i = 0; i < 4; i++) out[i] = fields[i];
    return 1;
}

/* Tensor `index` of the tower that a config asks for, as OpenCLIP's state dict has it: its name, and in out its rank
 * and shape. NULL behind the last. */
EXPORT(hc_wasm_tensor) const char *hc_wasm_tensor(const hc_loader *loader, size_t index, int out[5])
{
    if (index + 1 >= (size_t)loader->net.tensor_count) return NULL;
    const hc_tensor *tensor = &loader->net.tensors[index + 1];
    out[0] = tensor->rank;
    for (int i = 0; i < 4; i++) out[1 + i] = (int)tensor->shape[i];
    return tensor->name;
}

static int write_out(void *user, const void *bytes, size_t n)
{
    (void)user;
    return hc_wasm_import_write(bytes, n);
}

EXPORT(hc_wasm_shard_write)
hc_status hc_wasm_shard_write(const hc_encoder *encoder, const void *vocabulary, size_t vocabulary_length)
{
    return hc_shard_write(encoder, vocabulary, vocabulary_length, write_out, NULL);
}

/* hc_fit */
EXPORT(hc_wasm_checkpoint_fit)
double hc_wasm_checkpoint_fit(hc_wasm_checkpoint *checkpoint, hc_tower tower, const char *config, size_t length)
{
    return hc_fit(tower, config, length, &checkpoint->file);
}
