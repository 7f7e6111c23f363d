/* hf_text.c: the options of OpenCLIP's HFTextEncoder, its poolers and its projection. */
#include "families/hf_text.h"
#include "families/keys.h"
#include "families/openclip.h"

#include <string.h>

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static int is_name(const hc_json *value, const char *name, const char *const *owners)
{
    if (hc_json_is(value, name)) return 1;
    for (; *owners && !memchr(name, '/', strlen(name)); owners++) {
        char whole[96];
        hc_format(whole, sizeof whole, "%s%s", *owners, name);
        if (hc_json_is(value, whole)) return 1;
    }
    return 0;
}

const void *hc_hf_find(const hc_options *o, const void *defaults, int default_count, const void *sizes, int size_count,
                       size_t stride, const char *const *owners)
{
    hc_json given = hc_option(o, "hf_config"), type = hc_json_get(&given, "model_type"),
            name = hc_option(o, "hf_model_name");
    int has_config = given.type == HC_JSON_OBJECT;
    const char *row = has_config ? defaults : sizes;
    for (int i = 0; i < (has_config ? default_count : size_count); i++, row += stride) {
        const hc_hf_row *is = (const hc_hf_row *)(const void *)row;
        if (has_config ? hc_json_is(&type, is->model_type) : is_name(&name, is->name, owners)) return row;
    }
    return NULL;
}

/* As hf_model.py chooses it: null is the class's own, and cls_pooler there is without the class's own pooler. */
static hc_hf_pooler read_pooler(hc_options *o, hc_hf_pooler own)
{
    static const char *const names[] = {"mean_pooler", "max_pooler", "cls_last_hidden_state_pooler", "cls_pooler",
                                        NULL};
    hc_json value = hc_option(o, "hf_pooler_type");
    if (value.type == HC_JSON_NULL) return own;
    return (hc_hf_pooler)hc_option_choice(o, "hf_pooler_type", names,
                                          "mean_pooler, max_pooler, cls_pooler or cls_last_hidden_state_pooler");
}

static hc_hf_proj read_projection(hc_options *o)
{
    static const char *const names[] = {"mlp", "linear", NULL};
    hc_json value = hc_option(o, "hf_proj_type");
    if (value.type == HC_JSON_NULL) return HC_HF_NONE;
    return (hc_hf_proj)hc_option_choice(o, "hf_proj_type", names, "mlp, linear or null");
}

void hc_hf_read(hc_options *o, hc_hf_pooler own, hc_hf_text *t, hc_text_rows *rows)
{
    hc_options_check_keys(o, &o->section, o->section_name, HC_TEXT_KEYS);
    t->embed_dim = hc_embed_dim(o);
    t->pooler = read_pooler(o, own);
    t->proj = read_projection(o);
    *rows = (hc_text_rows){.context_length = hc_option_integer(o, "context_length", 77, 1, HC_MAX_POSITIONS - 1),
                           .pool = HC_TEXT_FIRST,
                           .unpadded = 1};
    t->config = *o;
    t->config.section = hc_option(o, "hf_config");
    t->config.section_name = "text_cfg.hf_config";
    hc_json *config = &t->config.section;
    if (config->type != HC_JSON_ABSENT && config->type != HC_JSON_NULL && config->type != HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_CONFIG, "text_cfg.hf_config is %t, expected an object", config->text,
                config->length);
}

float hc_hf_eps(hc_hf_text *t, const char *key, float fallback)
{
    float eps = (float)hc_option_number(&t->config, key, fallback);
    if (!(eps >= 0 && eps <= 1))
        hc_fail(t->config.problem, HC_MODEL_UNSUPPORTED, "text_cfg.hf_config.%s is not a number from 0 to 1", key);
    return eps;
}

hc_activation hc_hf_activation_of(hc_hf_text *t, const char *key, const hc_json *name)
{
    static const struct {
        const char *name;
        hc_activation activation;
    } known[] = {{"gelu", HC_GELU},
                 {"gelu_python", HC_GELU},
                 {"gelu_new", HC_GELU_TANH},
                 {"gelu_fast", HC_GELU_TANH},
                 {"gelu_pytorch_tanh", HC_GELU_TANH},
                 {"gelu_python_tanh", HC_GELU_TANH},
                 {"gelu_accurate", HC_GELU_TANH},
                 {"quick_gelu", HC_QUICK_GELU},
                 {"relu", HC_RELU},
                 {"silu", HC_SILU},
                 {"swish", HC_SILU}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (hc_json_is(name, known[i].name)) return known[i].activation;
    hc_fail(t->config.problem, HC_MODEL_UNSUPPORTED,
            "text_cfg.hf_config.%s is %t, expected gelu, gelu_new, quick_gelu, relu or silu", key, name->text,
            name->length);
    return HC_GELU;
}

hc_activation hc_hf_activation(hc_hf_text *t, const char *key, hc_activation fallback)
{
    hc_json value = hc_option(&t->config, key);
    return value.type == HC_JSON_ABSENT ? fallback : hc_hf_activation_of(t, key, &value);
}

void hc_hf_check(hc_hf_text *t, const hc_text_rows *rows, int width, int inner, int mlp_width, int heads, int table)
{
    hc_problem *problem = t->config.problem;
    if (hc_option_flag(&t->config, "is_decoder"))
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "text_cfg.hf_config.is_decoder is on, expected an encoder");
    if (inner % heads)
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "text_cfg: a width of %d, which %d heads do not divide", inner, heads);
    if (rows->pad_id >= rows->vocab_size)
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "text_cfg: the padding is token %d, of a vocabulary of %d", rows->pad_id,
                rows->vocab_size);
    if ((int64_t)width * mlp_width > HC_MAX_MATRIX || (int64_t)width * inner > HC_MAX_MATRIX ||
        (int64_t)rows->vocab_size * width > HC_MAX_TABLE || (int64_t)table * width > HC_MAX_MATRIX)
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "text_cfg: sizes that are more than a tower may have here");
    if (t->proj == HC_HF_NONE && width != t->embed_dim)
        hc_fail(problem, HC_MODEL_UNSUPPORTED,
                "text_cfg.hf_proj_type is null, which needs embed_dim (%d) and the tower's width (%d) to be equal",
                t->embed_dim, width);
}

/* ---- the end of the tower -----------------------------------------------------------------------------------------
 */

int hc_hf_picks(const hc_hf_text *t) { return t->pooler == HC_HF_FIRST || t->pooler == HC_HF_FIRST_DENSE; }

void hc_hf_head(hc_network *net, const hc_hf_text *t, hc_value x)
{
    x = t->pooler == HC_HF_MEAN ? hc_mean(net, x, 0) : t->pooler == HC_HF_MOST ? hc_largest(net, x) : x;
    int width = net->values[x].width, dim = t->embed_dim;
    if (t->proj == HC_HF_MLP)
        x = hc_linear(net, "proj.0.", x,
                      (hc_linear_options){.n = (width + dim) / 2, .plain = 1, .activation = HC_GELU});
    if (t->proj != HC_HF_NONE)
        x = hc_linear(net, t->proj == HC_HF_MLP ? "proj.2." : "proj.", x,
                      (hc_linear_options){.n = dim, .plain = 1, .keep_half = 1});
    hc_result(net, x);
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

const hc_name_rule HC_HF_AS_IS[] = {HC_RULE("*", "*"), {0}}, HC_HF_IN_TEXT[] = {HC_RULE("*", "text.*"), {0}},
                   HC_HF_ENCODER[] = {HC_RULE("transformer.*", "encoder.*"), {0}},
                   HC_HF_SHARED[] = {HC_RULE("transformer.embed_tokens.weight", "shared.weight"),
                                     HC_RULE("transformer.*", "encoder.*"),
                                     {0}};
