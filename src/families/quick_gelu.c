/* quick_gelu.c: which files were trained with QuickGELU. */
#include "families/family.h"

/* Everything that OpenAI published has these buffers, in which its archives keep the model's sizes. */
static int is_openai(const hc_safetensors *file, const char *outer, const char *inner)
{
    static const char *const buffers[] = {"input_resolution", "context_length", "vocab_size"};
    int found = 0;
    for (int i = 0; i < 3; i++) found += hc_names_get(file, outer, inner, buffers[i]) != NULL;
    return found >= 2;
}

/* CLIP4Clip is OpenAI's CLIP under "clip." and, beside it, what looks at several frames. With meanP there is nothing
 * beside it, and anybody may keep a model under that name; but CLIP4Clip leaves matrices in halves among floats, and
 * who asks for videos means it. */
static int is_clip4clip(const hc_safetensors *file, const char *outer, int is_video)
{
    static const char *const beside[] = {"frame_position_embeddings.", "transformerClip.", "lstm_visual.", "cross.",
                                         "similarity_dense."};
    const hc_file_tensor *conv = hc_names_get(file, outer, "clip.", "visual.conv1.weight"),
                         *norm = hc_names_get(file, outer, "clip.", "visual.ln_post.weight");
    if (conv && norm && (is_video || (conv->element == HC_F16 && norm->element == HC_F32))) return 1;
    if (!conv && !hc_names_get(file, outer, "clip.", "token_embedding.weight")) return 0;
    for (size_t t = 0; t < file->count; t++)
        for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
            if (hc_json_begins(&file->tensors[t].name, (const char *const[]){outer, "", beside[i]}, 3)) return 1;
    return 0;
}

const char *hc_family_quick_gelu(const hc_safetensors *file, int is_video)
{
    for (int i = 0; i < HC_PREFIX_COUNT * HC_PREFIX_COUNT; i++)
        if (is_openai(file, HC_PREFIXES[i % HC_PREFIX_COUNT], HC_PREFIXES[i / HC_PREFIX_COUNT]))
            return "one of OpenAI's (it holds context_length or input_resolution)";
    for (int i = 0; i < HC_PREFIX_COUNT; i++)
        if (is_clip4clip(file, HC_PREFIXES[i], is_video)) return "one of CLIP4Clip's";
    return NULL;
}
