/* preprocess_cfg.c: how pictures are prepared, read as open_clip_torch 3.3.0 reads it (PreprocessCfg). */
#include "checkpoint/options.h"

#include <math.h>

/* torchvision's Normalize: a list of three, a list of one, or a number for all channels. */
static void read_channels(hc_options *o, const char *key, const hc_json *value, float out[3])
{
    hc_json member;
    const char *cursor = NULL;
    int count = 0;
    if (!hc_json_truthy(value)) return;
    if (value->type == HC_JSON_NUMBER) {
        out[0] = out[1] = out[2] = (float)hc_json_number(value);
        count = 1;
    } else if (value->type == HC_JSON_ARRAY) {
        for (; hc_json_next(value, &cursor, NULL, &member); count++) {
            if (member.type != HC_JSON_NUMBER)
                hc_fail(o->problem, HC_MODEL_CONFIG, "preprocess_cfg.%s holds %t, expected a number", key, member.text,
                        member.length);
            if (count < 3) out[count] = (float)hc_json_number(&member);
        }
        if (count == 1) out[1] = out[2] = out[0];
    }
    if (count != 1 && count != 3)
        hc_fail(o->problem, HC_MODEL_CONFIG, "preprocess_cfg.%s is %t, expected three numbers", key, value->text,
                value->length);
    for (int i = 0; i < 3; i++)
        if (!(fabsf(out[i]) <= 3e38f))
            hc_fail(o->problem, HC_MODEL_CONFIG, "preprocess_cfg.%s is %t, which is beyond float32", key, value->text,
                    value->length);
}

hc_status hc_preprocess_parse(const char *config, size_t config_length, hc_preprocess_cfg *cfg)
{
    hc_problem problem = {.status = HC_OK};
    hc_json document, model, preprocess, vision;
    hc_json_error error;
    hc_options reading = {.section_name = "vision_cfg", .problem = &problem};
    hc_options *o = &reading;
    *cfg = (hc_preprocess_cfg){.mean = {0.48145466f, 0.4578275f, 0.40821073f},
                               .std = {0.26862954f, 0.26130258f, 0.27577711f}};
    if (!hc_json_parse(config, config_length, &document, &error) || document.type != HC_JSON_OBJECT)
        return HC_MODEL_CONFIG;

    /* The factory lets the visual tower's image_size win over preprocess_cfg.size. */
    model = hc_options_model(&document);
    preprocess = hc_json_get(&document, "preprocess_cfg");
    if (preprocess.type != HC_JSON_OBJECT && hc_json_truthy(&preprocess)) return HC_MODEL_CONFIG;
    vision = hc_json_get(&model, "vision_cfg");
    o->section = vision.type == HC_JSON_OBJECT ? vision : preprocess;
    hc_option_pair(o, vision.type == HC_JSON_OBJECT ? "image_size" : "size", 224, HC_MAX_SIDE, &cfg->height,
                   &cfg->width);

    o->section = preprocess;
    o->section_name = "preprocess_cfg";
    hc_json mean = hc_option(o, "mean"), std = hc_option(o, "std"), fill = hc_option(o, "fill_color"),
            mode = hc_option(o, "mode");
    read_channels(o, "mean", &mean, cfg->mean);
    read_channels(o, "std", &std, cfg->std);
    for (int i = 0; i < 3; i++)
        if (cfg->std[i] == 0) hc_fail(o->problem, HC_MODEL_CONFIG, "preprocess_cfg.std is 0");
    if (mode.type != HC_JSON_ABSENT && mode.type != HC_JSON_NULL && !hc_json_is(&mode, "RGB"))
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "preprocess_cfg.mode is %t, expected RGB", mode.text, mode.length);
    if (fill.type != HC_JSON_ABSENT && fill.type != HC_JSON_NULL)
        cfg->fill_color = hc_option_integer_of(o, "preprocess_cfg.", "fill_color", &fill, 0, 255);

    static const char *const filters[] = {"bicubic", "bilinear", "lanczos", "random", NULL};
    static const hc_filter filter[] = {HC_BICUBIC, HC_BILINEAR, HC_LANCZOS, HC_BICUBIC};
    static const char *const modes[] = {"shortest", "longest", "squash", NULL};
    if (hc_option_flag(o, "interpolation"))
        cfg->interpolation = filter[hc_option_choice(o, "interpolation", filters, "bicubic, bilinear or lanczos")];
    if (hc_option_flag(o, "resize_mode"))
        cfg->resize_mode = (hc_resize_mode)hc_option_choice(o, "resize_mode", modes, "shortest, longest or squash");
    return problem.status;
}
