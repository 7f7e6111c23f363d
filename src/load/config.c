/* config.c: the config in force: what the caller gave, and what a shard's metadata says of itself. */
#include "base/constants.h"
#include "load/loader.h"

#include <stdlib.h>
#include <string.h>

typedef struct piece {
    const char *text;
    size_t length;
} piece;

static piece piece_of(const char *text) { return (piece){text, strlen(text)}; }
static piece piece_of_json(const hc_json *value) { return (piece){value->text, value->length}; }

static char *join(hc_loader *loader, const piece *pieces, size_t count)
{
    uint64_t length = 0;
    for (size_t i = 0; i < count; i++) length += pieces[i].length;
    char *text = hc_loader_allocate(loader, length + 1, 1, "the config"), *at = text;
    for (size_t i = 0; text && i < count; i++) {
        memcpy(at, pieces[i].text, pieces[i].length);
        at += pieces[i].length;
    }
    return text;
}

/* The text of a JSON object that a shard's metadata holds as a string, which the caller frees; NULL if there is none.
 */
static char *metadata_object(hc_loader *loader, const hc_json *metadata, const char *key, hc_json *object)
{
    hc_json value = hc_json_get(metadata, key);
    hc_json_error error;
    *object = (hc_json){HC_JSON_ABSENT, "", 0};
    if (value.type == HC_JSON_ABSENT || loader->problem.status != HC_OK) return NULL;
    size_t length = hc_json_string(&value, NULL, 0);
    char *text = hc_loader_allocate(loader, length + 1, 1, "the shard's metadata");
    if (!text) return NULL;
    hc_json_string(&value, text, length + 1);
    if (!hc_json_parse(text, length, object, &error) || object->type != HC_JSON_OBJECT) {
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT, "the shard's metadata has a %s that is not a JSON object", key);
        *object = (hc_json){HC_JSON_ABSENT, "", 0};
    }
    return text;
}

/* What get_tokenizer of OpenCLIP would be told: `clean` is "lower" for its own tokenizer, "whitespace" for Hugging
 * Face's. */
static char *derive_tokenizer(hc_loader *loader, const hc_json *model)
{
    hc_json section = hc_json_get(model, "text_cfg"), kwargs = hc_json_get(&section, "tokenizer_kwargs");
    hc_json clean = hc_json_get(&kwargs, "clean"), family = hc_json_get(&section, "hf_tokenizer_name");
    int foreign = family.type == HC_JSON_STRING;
    piece pieces[] = {
        piece_of("{\"clean\":"),
        clean.type == HC_JSON_STRING ? piece_of_json(&clean) : piece_of(foreign ? "\"whitespace\"" : "\"lower\""),
        piece_of(foreign ? ",\"hf_tokenizer_name\":" : ""),
        foreign ? piece_of_json(&family) : piece_of(""),
        piece_of("}"),
    };
    return join(loader, pieces, sizeof pieces / sizeof *pieces);
}

/* The given model in up to three pieces, of which the second says that the activation is QuickGELU where the model
 * leaves it open and the file does not. A model that says otherwise than the file is a failure. `own` is a shard's. */
static void settle_activation(hc_loader *loader, const hc_safetensors *file, const hc_json *model, const hc_json *own,
                              piece pieces[3])
{
    hc_json asked = hc_json_get(model, "quick_gelu"), held = hc_json_get(own, "quick_gelu"), member;
    const char *source = own->type == HC_JSON_OBJECT ? "a shard whose own model_cfg"
                                                     : hc_family_quick_gelu(file, loader->tower == HC_VIDEO),
               *cursor = NULL;
    int quick = own->type == HC_JSON_OBJECT ? hc_json_truthy(&held) : source != NULL;
    int open = asked.type == HC_JSON_ABSENT || asked.type == HC_JSON_NULL,
        members = hc_json_next(model, &cursor, NULL, &member);
    pieces[0] = piece_of_json(model);
    pieces[1] = pieces[2] = piece_of("");
    if (source && !open && hc_json_truthy(&asked) != quick)
        hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH, "the model has quick_gelu %t, but the file is %s%s %s",
                asked.text, asked.length, source,
                own->type == HC_JSON_OBJECT ? " computes" : ", which were trained with", quick ? "QuickGELU" : "GELU");
    if (!quick || !open || !members) return;
    size_t at = asked.type == HC_JSON_NULL ? (size_t)(asked.text - model->text) : 1,
           skipped = asked.type == HC_JSON_NULL ? asked.length : 0;
    pieces[0].length = at;
    pieces[1] = piece_of(asked.type == HC_JSON_NULL ? "true" : "\"quick_gelu\":true,");
    pieces[2] = (piece){model->text + at + skipped, model->length - at - skipped};
}

char *hc_loader_config(hc_loader *loader, const hc_safetensors *file, int *settled)
{
    const hc_json *metadata = &file->metadata;
    hc_json given = {HC_JSON_ABSENT, "", 0}, model, preprocess, tokenizer, held[3];
    hc_json_error error;
    char *texts[4] = {NULL}, *config = NULL;
    static const char *const keys[] = {"model_cfg", "preprocess_cfg", "tokenizer"};
    for (int i = 0; i < 3; i++) texts[i] = metadata_object(loader, metadata, keys[i], &held[i]);
    if (loader->config && !hc_json_parse(loader->config, loader->config_length, &given, &error))
        given.type = HC_JSON_ABSENT;

    model = hc_json_get(&given, "model_cfg");
    if (model.type != HC_JSON_OBJECT) model = given.type == HC_JSON_OBJECT ? given : held[0];
    preprocess = hc_json_get(&given, "preprocess_cfg");
    if (preprocess.type != HC_JSON_OBJECT) preprocess = held[1];
    if (preprocess.type != HC_JSON_OBJECT) preprocess = hc_json_get(&given, "preprocess_default");
    tokenizer = hc_json_get(&given, "tokenizer");
    if (tokenizer.type != HC_JSON_OBJECT) tokenizer = held[2];

    if (model.type != HC_JSON_OBJECT) {
        hc_fail(&loader->problem, HC_MODEL_CONFIG,
                "no model was given, and the file is no shard, which would hold its own (model_cfg in __metadata__)");
    } else if (loader->problem.status == HC_OK) {
        int text = loader->tower == HC_TEXT;
        piece of_model[3];
        settle_activation(loader, file, &model, &held[0], of_model);
        *settled = of_model[1].length > 0;
        if (text && tokenizer.type == HC_JSON_ABSENT) texts[3] = derive_tokenizer(loader, &model);
        piece pieces[] = {
            piece_of("{\"model_cfg\":"),
            of_model[0],
            of_model[1],
            of_model[2],
            piece_of(",\"preprocess_cfg\":"),
            preprocess.type == HC_JSON_OBJECT ? piece_of_json(&preprocess) : piece_of("{}"),
            piece_of(text ? ",\"tokenizer\":" : ""),
            !text      ? piece_of("")
            : texts[3] ? piece_of(texts[3])
                       : piece_of_json(&tokenizer),
            piece_of("}"),
        };
        if (loader->problem.status == HC_OK) config = join(loader, pieces, sizeof pieces / sizeof *pieces);
    }
    for (int i = 0; i < 4; i++) free(texts[i]);
    return config;
}

/* Gives a member of an object in the config another value, or such a member if it has none. */
static void set_member(hc_loader *loader, char **config, const hc_json *object, const char *key, const char *value)
{
    hc_json given = hc_json_get(object, key), member;
    const char *cursor = NULL;
    int there = given.type != HC_JSON_ABSENT, others = hc_json_next(object, &cursor, NULL, &member);
    const char *at = there ? given.text : object->text + 1, *rest = there ? given.text + given.length : at;
    piece pieces[] = {{*config, (size_t)(at - *config)},
                      piece_of(there ? "" : "\""),
                      piece_of(there ? "" : key),
                      piece_of(there ? "" : "\":"),
                      piece_of(value),
                      piece_of(!there && others ? "," : ""),
                      piece_of(rest)};
    char *changed = join(loader, pieces, sizeof pieces / sizeof *pieces);
    free(*config);
    *config = changed;
}

/* The section of an image tower, if the config has one. */
static hc_json vision_of(const char *config)
{
    hc_json document, model;
    hc_json_error error;
    if (!hc_json_parse(config, strlen(config), &document, &error)) return (hc_json){HC_JSON_ABSENT, "", 0};
    model = hc_json_get(&document, "model_cfg");
    return hc_json_get(&model, "vision_cfg");
}

void hc_loader_config_size(hc_loader *loader, char **config, int height, int width, int asked)
{
    char size[32];
    hc_json vision = vision_of(*config), given = hc_json_get(&vision, "image_size");
    if (vision.type != HC_JSON_OBJECT || (given.type != HC_JSON_ABSENT && !asked)) return;
    if (height == width) hc_format(size, sizeof size, "%d", height);
    else hc_format(size, sizeof size, "[%d,%d]", height, width);
    set_member(loader, config, &vision, "image_size", size);
}

void hc_loader_config_windows(hc_loader *loader, char **config)
{
    const hc_network *own = &loader->net;
    int height = loader->image_height, width = loader->image_width;
    char sizes[HC_WINDOWS_TEXT], wrapped[HC_WINDOWS_TEXT + 32];
    if (own->image_height == height && own->image_width == width) return;
    if (!hc_family_put_windows(own, height, width, sizes)) return;
    hc_json vision = vision_of(*config), args = hc_json_get(&vision, "timm_model_args");
    int has_args = args.type == HC_JSON_OBJECT;
    hc_format(wrapped, sizeof wrapped, "{\"window_size\":%s}", sizes);
    if (has_args) set_member(loader, config, &args, "window_size", sizes);
    else set_member(loader, config, &vision, "timm_model_args", wrapped);
}

/* What a shard says about itself: which tower, and how its weights are held. */
void hc_loader_read_metadata(hc_loader *loader, const hc_json *metadata)
{
    hc_json version = hc_json_get(metadata, "halfclip"), tower = hc_json_get(metadata, "tower"),
            dtype = hc_json_get(metadata, "dtype");
    if (version.type == HC_JSON_ABSENT) {
        if (loader->dtype == HC_AUTO) loader->dtype = HC_INT8;
        return;
    }
    if (!hc_json_is(&version, "1"))
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT, "the file is a halfclip shard of version %t, expected \"1\"",
                version.text, version.length);
    /* Frames are pictures: an image tower is a video tower with meanP. */
    int is_for_frames = loader->tower == HC_VIDEO && hc_json_is(&tower, hc_tower_name(HC_IMAGE));
    if (!is_for_frames && !hc_json_is(&tower, hc_tower_name(loader->tower)))
        hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH,
                "the file is a shard that holds the %t tower, the %s tower was asked for", tower.text, tower.length,
                hc_tower_name(loader->tower));
    for (int i = HC_FP32; i <= HC_INT4; i++)
        if (hc_json_is(&dtype, hc_dtype_name((hc_dtype)i))) loader->held = (hc_dtype)i;
    if (loader->dtype == HC_AUTO) loader->dtype = loader->held;
    if (loader->dtype == HC_AUTO)
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT,
                "the file is a shard of dtype %t, expected fp32, fp16, int8 or int4", dtype.text, dtype.length);
}
