/* family.c: the table of families, from a config to its tower, and what a file holds of which. */
#include "families/family.h"
#include "base/constants.h"
#include "families/keys.h"
#include "families/openclip.h"

#include <string.h>

/* The WebAssembly modules for OpenCLIP's own transformers alone (wasm/build.mk) go without the rest. */
static const hc_family *const FAMILIES[] = {
    &hc_vision_transformer, &hc_text_transformer,
#ifndef HC_FAMILIES_VIT
    &hc_modified_resnet,    &hc_timm_vit,         &hc_swin,     &hc_convnext,
    &hc_vit_hybrid,         &hc_fastvit,          &hc_eva,      &hc_vitamin,
    &hc_vit_relpos,         &hc_bert_text,        &hc_m2m_text, &hc_t5_text,
#endif
};

enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };
_Static_assert(FAMILY_COUNT <= HC_MOST_FAMILIES, "as many as callers have room for");

/* ---- from a config to a tower -------------------------------------------------------------------------------------
 */

int hc_embed_dim(hc_options *o)
{
    hc_json dim = hc_json_get(&o->model, "embed_dim");
    return hc_option_integer_of(o, "", "embed_dim", &dim, 1, HC_MAX_WIDTH);
}

/* The tower's section of a config. */
static void find_section(hc_options *o, hc_tower tower, const char *config, size_t length)
{
    hc_json document;
    hc_json_error error;
    o->section_name = tower == HC_TEXT ? "text_cfg" : "vision_cfg";
    if (!hc_json_parse(config, length, &document, &error)) {
        hc_fail(o->problem, HC_MODEL_CONFIG, "the config is not JSON: %s at byte %u", error.reason,
                (uint64_t)error.position);
        return;
    }
    o->model = hc_options_model(&document);
    if (o->model.type != HC_JSON_OBJECT) {
        hc_fail(o->problem, HC_MODEL_CONFIG,
                "the config is %t, expected an object with embed_dim, vision_cfg and text_cfg", o->model.text,
                o->model.length);
        return;
    }
    hc_json dim = hc_json_get(&o->model, "embed_dim");
    o->section = hc_json_get(&o->model, o->section_name);
    if (dim.type == HC_JSON_ABSENT || o->section.type != HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_CONFIG, "the config is not that of an OpenCLIP model: it has no %s",
                dim.type == HC_JSON_ABSENT ? "embed_dim" : o->section_name);
}

/* No family answers: what the config asks for, by name. */
static void refuse(hc_options *o)
{
#ifdef HC_FAMILIES_VIT
    hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
            "%s is not of OpenCLIP's own transformers, which are all that this module of WebAssembly has: expected "
            "halfclip-relaxed.wasm or halfclip-simd128.wasm",
            o->section_name);
#else
    static const struct {
        const char *key, *phrase;
    } foreign[] = {{"timm_model_name", "image towers from timm"},
                   {"hf_model_name", "text towers from Hugging Face transformers"}};
    hc_json given = hc_option(o, "hf_config"), type = hc_json_get(&given, "model_type");
    if (hc_option_given(o, "hf_config") && given.type != HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s.hf_config is %t, expected an object", o->section_name, given.text,
                given.length);
    if (given.type == HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "text_cfg.hf_config has the model_type %t: of Hugging Face transformers bert, m2m_100, "
                "mt5, roberta, t5 and xlm-roberta are supported",
                type.length ? type.text : "none", type.length ? type.length : 4);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        hc_json value = hc_option(o, foreign[i].key);
        if (hc_json_truthy(&value))
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.%s is %t: such %s are not supported yet", o->section_name,
                    foreign[i].key, value.text, value.length, foreign[i].phrase);
    }
#endif
}

int hc_family_find_video(const hc_safetensors *file, hc_tower tower, hc_temporal asked, hc_video *found,
                         hc_problem *problem)
{
    uint32_t shape[HC_MOST_RANK];
    for (size_t i = 0; tower != HC_TEXT && i < file->count; i++)
        if (hc_names_ends(&file->tensors[i].name, "visual.conv2.weight") &&
            hc_safetensors_shape(&file->tensors[i], shape) == 5)
            found->seen = 3;
#ifdef HC_FAMILIES_VIT
    (void)asked, (void)problem;
#else
    if (tower == HC_VIDEO) hc_clip4clip_find(file, asked, found, problem);
#endif
    return tower == HC_VIDEO || found->seen;
}

/* The tower that families build for a tower; a module without videos has none for them. */
static hc_tower of_family(hc_tower tower)
{
#ifndef HC_FAMILIES_VIT
    if (tower == HC_VIDEO) return HC_IMAGE;
#endif
    return tower;
}

const hc_family *hc_family_build(hc_network *net, const char *config, size_t length)
{
    hc_options o = {.problem = net->problem};
    find_section(&o, net->tower, config, length);
    if (o.problem->status != HC_OK) return NULL;
    hc_embed_dim(&o);
    hc_options_check_keys(&o, &o.model, "model_cfg", HC_MODEL_KEYS);
    for (int i = 0; i < FAMILY_COUNT; i++) {
        if (FAMILIES[i]->tower != of_family(net->tower) || !FAMILIES[i]->answers(&o)) continue;
        FAMILIES[i]->build(net, &o);
#ifndef HC_FAMILIES_VIT
        if (net->tower == HC_VIDEO) hc_clip4clip_build(net);
#endif
        return o.problem->status == HC_OK ? FAMILIES[i] : NULL;
    }
    refuse(&o);
    return NULL;
}

int hc_family_put_windows(const hc_network *net, int height, int width, char text[HC_WINDOWS_TEXT])
{
#ifdef HC_FAMILIES_VIT
    (void)net, (void)height, (void)width, (void)text;
    return 0;
#else
    if (!net->stage_windows.put_resized) return 0;
    net->stage_windows.put_resized(net, height, width, text);
    return 1;
#endif
}

/* ---- what a file holds --------------------------------------------------------------------------------------------
 */

static size_t name_count(const hc_family *family)
{
    size_t count = 0;
    while (count < HC_FAMILY_NAMES && family->names[count].anchors[0]) count++;
    return count;
}

hc_names_match hc_family_match(const hc_family *family, const hc_network *net, const hc_safetensors *file)
{
    return hc_names_find(file, family->names, name_count(family), net->tensors[1].name, sizeof *net->tensors,
                         (size_t)net->tensor_count - 1);
}

hc_names_match hc_family_match_of(const hc_names_match *match, const hc_network *net, const hc_tensor *tensor)
{
#ifdef HC_FAMILIES_VIT
    (void)net, (void)tensor;
#else
    if (tensor->is_beside) return hc_clip4clip_match_of(net, tensor);
#endif
    return *match;
}

void hc_family_match_all(const hc_safetensors *file, hc_names_match matches[HC_MOST_FAMILIES])
{
    for (int i = 0; i < FAMILY_COUNT; i++)
        matches[i] = hc_names_find(file, FAMILIES[i]->names, name_count(FAMILIES[i]), NULL, 0, 0);
}

int hc_family_tower_of(const hc_names_match matches[HC_MOST_FAMILIES], const hc_json *name)
{
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (matches[i].names && hc_names_own(&matches[i], name)) return (int)FAMILIES[i]->tower;
    /* Of a class that no family is of, by OpenCLIP's names for towers of any. */
    if (hc_json_begins(name, (const char *const[]){"visual."}, 1)) return HC_IMAGE;
    return hc_json_begins(name, (const char *const[]){"text."}, 1) ? HC_TEXT : -1;
}

/* A family of this tower, other than `family`, of which the file holds a tower; NULL if there is none. */
static const hc_family *find_other(const hc_names_match *matches, hc_tower tower, const hc_family *family)
{
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (FAMILIES[i]->tower == tower && FAMILIES[i] != family && matches[i].names) return FAMILIES[i];
    return NULL;
}

void hc_family_describe(const hc_safetensors *file, const hc_family *family, char *held, size_t held_size, char *asked,
                        size_t asked_size)
{
    static const struct {
        const char *beginning, *phrase;
    } foreign[] = {
        {"visual.trunk.", "an image tower from timm, which is not supported yet"},
        {"text.transformer.", "a text tower from Hugging Face transformers, which is not supported yet"},
        {"image_encoder.", "a MobileCLIP model under Apple's names, of a kind that is not supported"},
    };
    hc_tower tower = family->tower, opposite = tower == HC_IMAGE ? HC_TEXT : HC_IMAGE;
    hc_names_match matches[HC_MOST_FAMILIES];
    hc_family_match_all(file, matches);
    const hc_family *same = find_other(matches, tower, family);
    hc_format(asked, asked_size, "the %s tower", hc_tower_name(tower));
    if (same) {
        hc_format(held, held_size, "%s tower of the kind of %s", tower == HC_IMAGE ? "an image" : "a text", same->name);
        hc_format(asked, asked_size, "one of %s", family->name);
        return;
    }
    if (find_other(matches, opposite, family)) {
        hc_format(held, held_size, "the %s tower", hc_tower_name(opposite));
        return;
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (hc_names_begin(file, foreign[i].beginning)) {
            hc_format(held, held_size, "%s", foreign[i].phrase);
            return;
        }
    if (!file->count) hc_format(held, held_size, "no tensors");
    else
        hc_format(held, held_size, "%u tensors such as %t", (uint64_t)file->count, file->tensors[0].name.text + 1,
                  file->tensors[0].name.length - 2);
}
