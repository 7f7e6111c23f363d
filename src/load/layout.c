/* layout.c: one table from OpenCLIP's names to those of each family of checkpoints.
 *
 * In a rule '#' is the number of a layer, '*' the rest of the name, and '@' in the file's name stands for q, k and v in
 * turn. */
#include "load/layout.h"

#include "base/text_format.h"

#include <string.h>

typedef struct rule {
    const char *canonical, *file;
    int linear;
} rule;

struct hc_layout {
    hc_tower tower;
    rule rules[24];         /* the first that fits counts                                            */
    const char *anchors[2]; /* canonical names, one of which a file of this family surely has        */
    const char *owned[8];   /* beginnings of the file's names that belong to the tower; "": all      */
};

#define TEXT_NAMES    "transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "cls_emb"
#define IMAGE_ANCHORS {"visual.class_embedding", "visual.conv1.weight"}
#define TEXT_ANCHORS  {"token_embedding.weight", "ln_final.weight"}

static const hc_layout LAYOUTS[] = {
    /* OpenCLIP's CLIP, CustomTextCLIP and CoCa; OpenAI; CLIP4Clip. */
    {HC_IMAGE, {{"visual.*", "visual.*", 0}}, IMAGE_ANCHORS, {"visual."}},
    {HC_TEXT, {{"*", "*", 0}}, TEXT_ANCHORS, {TEXT_NAMES}},
    {HC_TEXT, {{"*", "text.*", 0}}, TEXT_ANCHORS, {"text."}},
    /* A VisionTransformer's own state dict. */
    {HC_IMAGE, {{"visual.*", "*", 0}}, IMAGE_ANCHORS, {""}},
    /* Hugging Face's CLIPModel, CLIPVisionModel, CLIPTextModel, and the two WithProjection. */
    {HC_IMAGE,
     {{"visual.class_embedding", "vision_model.embeddings.class_embedding", 0},
      {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", 0},
      {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", 0},
      {"visual.ln_pre.*", "vision_model.pre_layrnorm.*", 0},
      {"visual.ln_post.*", "vision_model.post_layernorm.*", 0},
      {"visual.proj", "visual_projection.weight", 1},
      {"visual.transformer.resblocks.#.ln_1.*", "vision_model.encoder.layers.#.layer_norm1.*", 0},
      {"visual.transformer.resblocks.#.ln_2.*", "vision_model.encoder.layers.#.layer_norm2.*", 0},
      {"visual.transformer.resblocks.#.attn.in_proj_weight", "vision_model.encoder.layers.#.self_attn.@_proj.weight",
       0},
      {"visual.transformer.resblocks.#.attn.in_proj_bias", "vision_model.encoder.layers.#.self_attn.@_proj.bias", 0},
      {"visual.transformer.resblocks.#.attn.out_proj.*", "vision_model.encoder.layers.#.self_attn.out_proj.*", 0},
      {"visual.transformer.resblocks.#.mlp.c_fc.*", "vision_model.encoder.layers.#.mlp.fc1.*", 0},
      {"visual.transformer.resblocks.#.mlp.c_proj.*", "vision_model.encoder.layers.#.mlp.fc2.*", 0}},
     IMAGE_ANCHORS,
     {"vision_model.", "visual_projection."}},
    {HC_TEXT,
     {{"token_embedding.weight", "text_model.embeddings.token_embedding.weight", 0},
      {"positional_embedding", "text_model.embeddings.position_embedding.weight", 0},
      {"ln_final.*", "text_model.final_layer_norm.*", 0},
      {"text_projection", "text_projection.weight", 1},
      {"text_projection.*", "text_projection.*", 0},
      {"transformer.resblocks.#.ln_1.*", "text_model.encoder.layers.#.layer_norm1.*", 0},
      {"transformer.resblocks.#.ln_2.*", "text_model.encoder.layers.#.layer_norm2.*", 0},
      {"transformer.resblocks.#.attn.in_proj_weight", "text_model.encoder.layers.#.self_attn.@_proj.weight", 0},
      {"transformer.resblocks.#.attn.in_proj_bias", "text_model.encoder.layers.#.self_attn.@_proj.bias", 0},
      {"transformer.resblocks.#.attn.out_proj.*", "text_model.encoder.layers.#.self_attn.out_proj.*", 0},
      {"transformer.resblocks.#.mlp.c_fc.*", "text_model.encoder.layers.#.mlp.fc1.*", 0},
      {"transformer.resblocks.#.mlp.c_proj.*", "text_model.encoder.layers.#.mlp.fc2.*", 0}},
     TEXT_ANCHORS,
     {"text_model.", "text_projection."}},
};

enum { LAYOUT_COUNT = sizeof LAYOUTS / sizeof *LAYOUTS };

/* What wrappers put before every name: DistributedDataParallel, CLIP4Clip and Lightning, torch.compile; at most two of
 * them. */
static const char *const PREFIXES[] = {"", "module.", "clip.", "model.", "_orig_mod."};

enum { PREFIX_COUNT = sizeof PREFIXES / sizeof *PREFIXES };

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Where '#' and '*' lie in a name, if it fits the pattern. */
static int fits(const char *pattern, const char *name, const char **number, const char **rest)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            *rest = name;
            return 1;
        }
        if (*pattern == '#') {
            *number = name;
            if (!is_digit(*name)) return 0;
            while (is_digit(*name)) name++;
        } else if (*pattern != *name++) {
            return 0;
        }
    }
    return !*name;
}

static void append(char *out, size_t *length, const char *text, size_t n)
{
    if (n > HC_LAYOUT_NAME - 1 - *length) n = HC_LAYOUT_NAME - 1 - *length;
    memcpy(out + *length, text, n);
    *length += n;
    out[*length] = '\0';
}

int hc_layout_names(const hc_layout_match *match, const char *canonical, char names[HC_LAYOUT_PARTS][HC_LAYOUT_NAME],
                    int *linear)
{
    const char *number = "", *rest = "";
    const rule *r = match->layout->rules;
    while (r->canonical && !fits(r->canonical, canonical, &number, &rest)) r++;

    /* What a family has no rule for it does not have; its own name then says what is missing. */
    const char *pattern = r->canonical ? r->file : canonical;
    int parts = memchr(pattern, '@', strlen(pattern)) ? HC_LAYOUT_PARTS : 1;
    size_t digits = 0;
    while (is_digit(number[digits])) digits++;
    *linear = r->canonical ? r->linear : 0;
    for (int part = 0; part < parts; part++) {
        size_t length = 0;
        append(names[part], &length, match->outer, strlen(match->outer));
        append(names[part], &length, match->inner, strlen(match->inner));
        for (const char *p = pattern; *p; p++) {
            if (*p == '*') append(names[part], &length, rest, strlen(rest));
            else if (*p == '#') append(names[part], &length, number, digits);
            else append(names[part], &length, *p == '@' ? &"qkv"[part] : p, 1);
        }
    }
    return parts;
}

/* ---- finding ------------------------------------------------------------------------------------------------------
 */

static int holds(const hc_safetensors *file, const hc_layout_match *match, const char *canonical)
{
    char names[HC_LAYOUT_PARTS][HC_LAYOUT_NAME];
    int linear;
    hc_layout_names(match, canonical, names, &linear);
    return hc_safetensors_find(file, names[0]) != NULL;
}

/* Enough of a tower's tensors to tell families apart. */
enum { SAMPLE = 256 };

hc_layout_match hc_layout_find(const hc_safetensors *file, hc_tower tower, const hc_tensor *tensors, size_t count)
{
    hc_layout_match best = {NULL, "", ""};
    size_t most = 0;
    for (int i = 0; i < LAYOUT_COUNT * PREFIX_COUNT * PREFIX_COUNT; i++) {
        const hc_layout *layout = &LAYOUTS[i % LAYOUT_COUNT];
        hc_layout_match match = {layout, PREFIXES[i / LAYOUT_COUNT % PREFIX_COUNT],
                                 PREFIXES[i / LAYOUT_COUNT / PREFIX_COUNT]};
        if (layout->tower != tower ||
            (!holds(file, &match, layout->anchors[0]) && !holds(file, &match, layout->anchors[1])))
            continue;
        size_t found = 1;
        for (size_t t = 0; t < count && t < SAMPLE; t++) found += (size_t)holds(file, &match, tensors[t].name);
        if (found > most) {
            most = found;
            best = match;
        }
    }
    return best;
}

static int begins(const hc_json *name, const char *outer, const char *inner, const char *beginning)
{
    const char *const parts[] = {outer, inner, beginning};
    return hc_json_begins(name, parts, 3);
}

/* Buffers that are no weights. */
static int is_buffer(const hc_json *name)
{
    static const char *const buffers[] = {"position_ids\"", "attn_mask\""};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(buffers[i]);
        if (name->length > length && !memcmp(name->text + name->length - length, buffers[i], length)) return 1;
    }
    return 0;
}

int hc_layout_owns(const hc_layout_match *match, const hc_json *name)
{
    if (is_buffer(name)) return 0;
    for (const char *const *owned = match->layout->owned; *owned; owned++)
        if (begins(name, match->outer, match->inner, *owned)) return 1;
    return 0;
}

/* ---- the activation -----------------------------------------------------------------------------------------------
 */

static int has_prefixed(const hc_safetensors *file, const char *outer, const char *inner, const char *name)
{
    char full[HC_LAYOUT_NAME];
    hc_format(full, sizeof full, "%s%s%s", outer, inner, name);
    return hc_safetensors_find(file, full) != NULL;
}

/* Everything that OpenAI published has these buffers, in which its archives keep the model's sizes. */
static int is_openai(const hc_safetensors *file, const char *outer, const char *inner)
{
    static const char *const buffers[] = {"input_resolution", "context_length", "vocab_size"};
    int found = 0;
    for (int i = 0; i < 3; i++) found += has_prefixed(file, outer, inner, buffers[i]);
    return found >= 2;
}

/* CLIP4Clip is OpenAI's CLIP under "clip." and, beside it, what looks at several frames. */
static int is_clip4clip(const hc_safetensors *file, const char *outer)
{
    static const char *const beside[] = {"frame_position_embeddings.", "transformerClip.", "lstm_visual.", "cross.",
                                         "similarity_dense."};
    if (!has_prefixed(file, outer, "clip.", "visual.conv1.weight") &&
        !has_prefixed(file, outer, "clip.", "token_embedding.weight"))
        return 0;
    for (size_t t = 0; t < file->count; t++)
        for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
            if (begins(&file->tensors[t].name, outer, "", beside[i])) return 1;
    return 0;
}

const char *hc_layout_quick_gelu(const hc_safetensors *file)
{
    for (int i = 0; i < PREFIX_COUNT * PREFIX_COUNT; i++)
        if (is_openai(file, PREFIXES[i % PREFIX_COUNT], PREFIXES[i / PREFIX_COUNT]))
            return "one of OpenAI's (it holds context_length or input_resolution)";
    for (int i = 0; i < PREFIX_COUNT; i++)
        if (is_clip4clip(file, PREFIXES[i])) return "one of CLIP4Clip's";
    return NULL;
}

/* ---- saying what a file holds instead -----------------------------------------------------------------------------
 */

void hc_layout_describe(const hc_safetensors *file, hc_tower asked, char *out, size_t size)
{
    static const struct {
        const char *beginning, *phrase;
    } families[] = {
        {"visual.trunk.", "an image tower from timm, which is not supported yet"},
        {"visual.layer1.", "an image tower of the ResNet family, which is not supported yet"},
        {"text.transformer.embeddings.", "a text tower from Hugging Face transformers, which is not supported yet"},
        {"text.transformer.encoder.", "a text tower from Hugging Face transformers, which is not supported yet"},
        {"image_encoder.", "a MobileCLIP model under Apple's names, which is not supported yet"},
    };
    hc_tower other = asked == HC_IMAGE ? HC_TEXT : HC_IMAGE;
    if (hc_layout_find(file, other, NULL, 0).layout) {
        hc_format(out, size, "the %s tower", other == HC_IMAGE ? "image" : "text");
        return;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (size_t t = 0; t < file->count; t++)
            if (begins(&file->tensors[t].name, "", "", families[i].beginning)) {
                hc_format(out, size, "%s", families[i].phrase);
                return;
            }
    if (!file->count) hc_format(out, size, "no tensors");
    else
        hc_format(out, size, "%u tensors such as %t", (uint64_t)file->count, file->tensors[0].name.text + 1,
                  file->tensors[0].name.length - 2);
}
