/* config.c: open_clip_config.json, read as open_clip_torch 3.3.0 reads it (factory.py, CLIPVisionCfg, CLIPTextCfg,
 * PreprocessCfg).
 *
 * An option that no tower here computes is an error and never ignored, because the vectors would be silently wrong. */
#include "checkpoint/json.h"
#include "base/text_format.h"
#include "tower/tower.h"

#include <math.h>
#include <string.h>

/* Bounds far above every known model, within which no count of rows, columns or positions leaves an int. What memory
 * they take is checked where it is planned. */
enum {
    MAX_WIDTH = 1 << 13,
    MAX_MLP_WIDTH = 1 << 16,
    MAX_LAYERS = 1 << 8,
    MAX_SIDE = 1 << 14,
    MAX_PIXELS = 1 << 24,
    MAX_POSITIONS = 1 << 16,
    MAX_VOCABULARY = 1 << 22,
    MAX_MATRIX = 1 << 27,  /* numbers in one matrix                         */
    MAX_TABLE = 0x7FFFFFFF /* in the token table, whose rows are read alone */
};

static const char *const VISION_KEYS[] = {"layers",
                                          "width",
                                          "head_width",
                                          "mlp_ratio",
                                          "patch_size",
                                          "image_size",
                                          "ls_init_value",
                                          "patch_dropout",
                                          "attentional_pool",
                                          "attn_pooler_queries",
                                          "attn_pooler_heads",
                                          "no_ln_pre",
                                          "pos_embed_type",
                                          "final_ln_after_pool",
                                          "pool_type",
                                          "output_tokens",
                                          "act_kwargs",
                                          "norm_kwargs",
                                          "block_type",
                                          "qk_norm",
                                          "scaled_cosine_attn",
                                          "scale_heads",
                                          "scale_attn_inner",
                                          "scale_attn",
                                          "scale_fc",
                                          "timm_model_name",
                                          "timm_model_pretrained",
                                          "timm_pool",
                                          "timm_proj",
                                          "timm_proj_bias",
                                          "timm_drop",
                                          "timm_drop_path",
                                          NULL};

static const char *const TEXT_KEYS[] = {"context_length", "vocab_size",       "hf_tokenizer_name",
                                        "tokenizer_mode", "tokenizer_kwargs", "width",
                                        "heads",          "layers",           "mlp_ratio",
                                        "ls_init_value",  "embed_cls",        "pad_id",
                                        "eos_id",         "no_causal_mask",   "final_ln_after_pool",
                                        "pool_type",      "proj_bias",        "proj_type",
                                        "output_tokens",  "act_kwargs",       "norm_kwargs",
                                        "block_type",     "qk_norm",          "scaled_cosine_attn",
                                        "scale_heads",    "scale_attn_inner", "scale_attn",
                                        "scale_fc",       "hf_model_name",    "hf_model_pretrained",
                                        "hf_proj_type",   "hf_pooler_type",   NULL};

static const char *const MODEL_KEYS[] = {"embed_dim",   "vision_cfg",       "text_cfg",        "quick_gelu",
                                         "custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale",
                                         "output_dict", "multimodal_cfg",   "pad_id",          NULL};

/* What is being read, and the first failure, after which nothing changes any more. */
typedef struct reader {
    hc_json model, section;
    const char *section_name;
    hc_status status;
    char *message;
    size_t message_size;
} reader;

#define FAIL(r, code, ...)                                           \
    do {                                                             \
        if ((r)->status == HC_OK) {                                  \
            (r)->status = (code);                                    \
            hc_format((r)->message, (r)->message_size, __VA_ARGS__); \
        }                                                            \
    } while (0)

static int known(const char *const *keys, const hc_json *key)
{
    for (; *keys; keys++)
        if (hc_json_is(key, *keys)) return 1;
    return 0;
}

static void check_keys(reader *r, const hc_json *object, const char *name, const char *const *keys)
{
    const char *cursor = NULL;
    hc_json key, value;
    while (hc_json_next(object, &cursor, &key, &value))
        if (!known(keys, &key))
            FAIL(r, HC_MODEL_UNSUPPORTED, "%s.%t is no option of OpenCLIP 3.3.0", name, key.text + 1, key.length - 2);
}

/* ---- options of a section -----------------------------------------------------------------------------------------
 */

static hc_json option(const reader *r, const char *key) { return hc_json_get(&r->section, key); }

static int flag(const reader *r, const char *key)
{
    hc_json value = option(r, key);
    return hc_json_truthy(&value);
}

static int integer_of(reader *r, const char *section, const char *key, const hc_json *value, int low, int high)
{
    double number = hc_json_number(value);
    if (value->type != HC_JSON_NUMBER || number != floor(number)) {
        FAIL(r, HC_MODEL_CONFIG, "%s%s is %t, expected an integer", section, key, value->text, value->length);
        return low;
    }
    if (!(number >= low && number <= high)) {
        FAIL(r, HC_MODEL_UNSUPPORTED, "%s%s is %t, expected %d to %d", section, key, value->text, value->length, low,
             high);
        return low;
    }
    return (int)number;
}

static int integer(reader *r, const char *key, int fallback, int low, int high)
{
    hc_json value = option(r, key);
    if (value.type == HC_JSON_ABSENT) return fallback;
    char name[16];
    hc_format(name, sizeof name, "%s.", r->section_name);
    return integer_of(r, name, key, &value, low, high);
}

static double number(reader *r, const char *key, double fallback)
{
    hc_json value = option(r, key);
    if (value.type == HC_JSON_ABSENT) return fallback;
    if (value.type != HC_JSON_NUMBER)
        FAIL(r, HC_MODEL_CONFIG, "%s.%s is %t, expected a number", r->section_name, key, value.text, value.length);
    return hc_json_number(&value);
}

/* An integer for both sides, or [height, width]. */
static void pair(reader *r, const char *key, int fallback, int high, int *height, int *width)
{
    hc_json value = option(r, key), side;
    *height = *width = fallback;
    if (value.type != HC_JSON_ARRAY) {
        *height = *width = integer(r, key, fallback, 1, high);
        return;
    }
    const char *cursor = NULL;
    int count = 0;
    while (hc_json_next(&value, &cursor, NULL, &side)) {
        int n = integer_of(r, "vision_cfg.", key, &side, 1, high);
        if (count == 0) *height = n;
        if (count == 1) *width = n;
        count++;
    }
    if (count != 2)
        FAIL(r, HC_MODEL_CONFIG, "vision_cfg.%s is %t, expected an integer or [height, width]", key, value.text,
             value.length);
}

/* The index of a string among `choices`, which end with NULL; the first if there is no string. `allowed` says them in
 * the message. */
static int choice(reader *r, const char *key, const char *const *choices, const char *allowed)
{
    hc_json value = option(r, key);
    if (value.type == HC_JSON_ABSENT) return 0;
    for (int i = 0; choices[i]; i++)
        if (hc_json_is(&value, choices[i])) return i;
    FAIL(r, HC_MODEL_UNSUPPORTED, "%s.%s is %t, expected %s", r->section_name, key, value.text, value.length, allowed);
    return 0;
}

/* ---- parts of both towers -----------------------------------------------------------------------------------------
 */

static void read_activation(reader *r, hc_config *c)
{
    hc_json quick = hc_json_get(&r->model, "quick_gelu"), kwargs = option(r, "act_kwargs"), key, value;
    c->activation = hc_json_truthy(&quick) ? HC_QUICK_GELU : HC_GELU;
    if (kwargs.type == HC_JSON_ABSENT || kwargs.type == HC_JSON_NULL) return;
    if (kwargs.type != HC_JSON_OBJECT)
        FAIL(r, HC_MODEL_CONFIG, "%s.act_kwargs is %t, expected an object", r->section_name, kwargs.text,
             kwargs.length);
    const char *cursor = NULL;
    while (hc_json_next(&kwargs, &cursor, &key, &value)) {
        if (c->activation == HC_QUICK_GELU)
            FAIL(r, HC_MODEL_UNSUPPORTED, "%s.act_kwargs is %t, but QuickGELU (quick_gelu) takes no options",
                 r->section_name, kwargs.text, kwargs.length);
        else if (!hc_json_is(&key, "approximate"))
            FAIL(r, HC_MODEL_UNSUPPORTED, "%s.act_kwargs.%t is no option of GELU", r->section_name, key.text + 1,
                 key.length - 2);
        else if (hc_json_is(&value, "tanh")) c->activation = HC_GELU_TANH;
        else if (hc_json_is(&value, "none")) c->activation = HC_GELU;
        else
            FAIL(r, HC_MODEL_UNSUPPORTED, "%s.act_kwargs.approximate is %t, expected tanh or none", r->section_name,
                 value.text, value.length);
    }
}

static void read_norm(reader *r, hc_config *c)
{
    hc_json kwargs = option(r, "norm_kwargs"), key, value;
    c->eps = 1e-5f;
    if (!hc_json_truthy(&kwargs)) return;
    if (kwargs.type != HC_JSON_OBJECT)
        FAIL(r, HC_MODEL_CONFIG, "%s.norm_kwargs is %t, expected an object", r->section_name, kwargs.text,
             kwargs.length);
    const char *cursor = NULL;
    while (hc_json_next(&kwargs, &cursor, &key, &value)) {
        int affine = hc_json_is(&key, "elementwise_affine") || hc_json_is(&key, "bias");
        if (affine && hc_json_truthy(&value)) continue;
        if (!hc_json_is(&key, "eps")) {
            FAIL(r, HC_MODEL_UNSUPPORTED, "%s.norm_kwargs.%t is %t; of LayerNorm's options only eps can be chosen here",
                 r->section_name, key.text + 1, key.length - 2, value.text, value.length);
        } else if (value.type != HC_JSON_NUMBER || !(hc_json_number(&value) >= 0 && hc_json_number(&value) <= 1)) {
            FAIL(r, HC_MODEL_UNSUPPORTED, "%s.norm_kwargs.eps is %t, expected a number from 0 to 1", r->section_name,
                 value.text, value.length);
        } else {
            c->eps = (float)hc_json_number(&value);
        }
    }
}

/* int(d_model * mlp_ratio), in doubles. */
static void read_mlp(reader *r, hc_config *c)
{
    double width = c->width * number(r, "mlp_ratio", 4.0);
    if (!(width >= 1 && width < MAX_MLP_WIDTH + 1)) {
        FAIL(r, HC_MODEL_UNSUPPORTED,
             "%s.mlp_ratio makes the hidden layers too narrow or too wide, expected 1 to %d channels", r->section_name,
             (int)MAX_MLP_WIDTH);
        width = 1;
    }
    c->mlp_width = (int)width;
}

/* Transformer.__init__: any block_type but 'custom' is the default block, which has none of the options. */
static void read_blocks(reader *r, hc_config *c)
{
    hc_json type = option(r, "block_type"), scale = option(r, "ls_init_value");
    int chosen = type.type != HC_JSON_ABSENT && type.type != HC_JSON_NULL;
    if (!chosen || hc_json_is(&type, "custom")) {
        c->qk_norm = flag(r, "qk_norm");
        c->scaled_cosine_attn = flag(r, "scaled_cosine_attn");
        c->scale_heads = flag(r, "scale_heads");
        c->scale_attn_inner = flag(r, "scale_attn_inner");
        c->scale_attn = flag(r, "scale_attn");
        c->scale_fc = flag(r, "scale_fc");
    }
    if (c->qk_norm && c->scaled_cosine_attn)
        FAIL(r, HC_MODEL_UNSUPPORTED, "%s.qk_norm and %s.scaled_cosine_attn are both on, which OpenCLIP does not allow",
             r->section_name, r->section_name);
    c->layer_scale = scale.type != HC_JSON_ABSENT && scale.type != HC_JSON_NULL;
    if (c->layer_scale && scale.type != HC_JSON_NUMBER)
        FAIL(r, HC_MODEL_CONFIG, "%s.ls_init_value is %t, expected a number or null", r->section_name, scale.text,
             scale.length);
    read_activation(r, c);
    read_norm(r, c);
    read_mlp(r, c);
    if (c->heads < 1 || c->width % c->heads) {
        FAIL(r, HC_MODEL_UNSUPPORTED, "%s.width is %d, which %d heads do not divide", r->section_name, c->width,
             c->heads);
        c->heads = 1;
    }
    c->head_dim = c->width / c->heads;
}

/* After everything has been read. */
static void check_sizes(reader *r, const hc_config *c)
{
    if ((int64_t)c->width * c->mlp_width > MAX_MATRIX || 3 * (int64_t)c->width * c->width > MAX_MATRIX)
        FAIL(r, HC_MODEL_UNSUPPORTED, "%s: matrices of %d by %d numbers are more than a tower may have here",
             r->section_name, c->width, c->mlp_width);
    if (c->tower == HC_TEXT && (int64_t)c->vocab_size * c->width > MAX_TABLE)
        FAIL(r, HC_MODEL_UNSUPPORTED, "text_cfg: a table of %d tokens by %d numbers is more than a tower may have here",
             c->vocab_size, c->width);
    if (c->tower == HC_IMAGE && 3 * (int64_t)c->patch_height * c->patch_width * c->width > MAX_MATRIX)
        FAIL(r, HC_MODEL_UNSUPPORTED, "vision_cfg.patch_size is %d by %d, which is more than a tower may have here",
             c->patch_height, c->patch_width);
    if (c->positions > MAX_POSITIONS)
        FAIL(r, HC_MODEL_UNSUPPORTED, "%s: sequences of %d tokens are more than the %d that a tower may have here",
             r->section_name, c->positions, (int)MAX_POSITIONS);
}

/* ---- the two towers -----------------------------------------------------------------------------------------------
 */

static void read_attn_pool(reader *r, hc_config *c)
{
    hc_json pool = option(r, "attentional_pool");
    if (!hc_json_truthy(&pool)) return;
    if (pool.type != HC_JSON_STRING) c->attn_pool = HC_ATTN_POOL_YES;
    else if (hc_json_is(&pool, "parallel")) c->attn_pool = HC_ATTN_POOL_PARALLEL;
    else if (hc_json_is(&pool, "cascade")) c->attn_pool = HC_ATTN_POOL_CASCADE;
    else
        FAIL(r, HC_MODEL_UNSUPPORTED, "vision_cfg.attentional_pool is %t, expected true, false, parallel or cascade",
             pool.text, pool.length);

    c->attn_pooler_queries = integer(r, "attn_pooler_queries", 256, 1, MAX_POSITIONS);
    c->attn_pooler_heads = integer(r, "attn_pooler_heads", 8, 1, MAX_WIDTH);
    if (c->embed_dim % c->attn_pooler_heads)
        FAIL(r, HC_MODEL_UNSUPPORTED, "embed_dim is %d, which %d heads (vision_cfg.attn_pooler_heads) do not divide",
             c->embed_dim, c->attn_pooler_heads);
    if (c->attn_pool == HC_ATTN_POOL_YES) {
        if (c->pool == HC_POOL_AVG && c->attn_pooler_queries < 2)
            FAIL(r, HC_MODEL_UNSUPPORTED,
                 "vision_cfg.pool_type avg leaves out the first query, and vision_cfg.attn_pooler_queries is 1, "
                 "expected at least 2");
        return;
    }
    /* Both forms normalise the tokens by ln_post, which is as wide as the embedding. */
    if (c->embed_dim != c->width)
        FAIL(r, HC_MODEL_UNSUPPORTED,
             "vision_cfg.attentional_pool is %t, which needs embed_dim (%d) and vision_cfg.width (%d) to be equal",
             pool.text, pool.length, c->embed_dim, c->width);
    c->pool = HC_POOL_NONE;
}

static void read_image(reader *r, hc_config *c)
{
    hc_json timm = option(r, "timm_model_name"), layers = option(r, "layers");
    if (hc_json_truthy(&timm))
        FAIL(r, HC_MODEL_UNSUPPORTED, "vision_cfg.timm_model_name is %t: image towers from timm are not supported yet",
             timm.text, timm.length);
    if (layers.type == HC_JSON_ARRAY)
        FAIL(r, HC_MODEL_UNSUPPORTED,
             "vision_cfg.layers is %t: image towers of the ResNet family are not supported yet", layers.text,
             layers.length);
    check_keys(r, &r->section, r->section_name, VISION_KEYS);

    c->width = integer(r, "width", 768, 1, MAX_WIDTH);
    c->layers = integer(r, "layers", 12, 1, MAX_LAYERS);
    c->heads = c->width / integer(r, "head_width", 64, 1, MAX_WIDTH);
    read_blocks(r, c);
    double dropout = number(r, "patch_dropout", 0);
    if (!(dropout < 1)) FAIL(r, HC_MODEL_UNSUPPORTED, "vision_cfg.patch_dropout is not below 1");

    pair(r, "image_size", 224, MAX_SIDE, &c->image_height, &c->image_width);
    pair(r, "patch_size", 16, MAX_SIDE, &c->patch_height, &c->patch_width);
    c->grid_height = c->image_height / c->patch_height;
    c->grid_width = c->image_width / c->patch_width;
    if ((int64_t)c->image_height * c->image_width > MAX_PIXELS)
        FAIL(r, HC_MODEL_UNSUPPORTED, "vision_cfg.image_size is %d by %d, expected at most %d pixels", c->image_height,
             c->image_width, (int)MAX_PIXELS);
    if (!c->grid_height || !c->grid_width)
        FAIL(r, HC_MODEL_UNSUPPORTED, "vision_cfg.patch_size is %d by %d, which is larger than the picture of %d by %d",
             c->patch_height, c->patch_width, c->image_height, c->image_width);
    c->positions = c->grid_height * c->grid_width + 1;

    static const char *const positions[] = {"learnable", "sin_cos_2d", NULL};
    if (choice(r, "pos_embed_type", positions, "learnable or sin_cos_2d") && c->grid_height != c->grid_width)
        FAIL(r, HC_MODEL_UNSUPPORTED,
             "vision_cfg.pos_embed_type is sin_cos_2d, which needs a square grid of patches, not %d by %d",
             c->grid_height, c->grid_width);

    static const char *const names[] = {"tok", "avg", "none", NULL};
    static const hc_pool pools[] = {HC_POOL_TOK, HC_POOL_AVG, HC_POOL_NONE};
    c->pool = pools[choice(r, "pool_type", names, "tok, avg or none")];
    read_attn_pool(r, c);
    c->ln_pre = !flag(r, "no_ln_pre");
    c->final_ln_after_pool = !c->attn_pool && flag(r, "final_ln_after_pool");
    c->proj = HC_PROJ_MATRIX;
    c->dim = c->embed_dim;
    c->tokens_out = c->pool != HC_POOL_NONE            ? 1
                    : !c->attn_pool                    ? c->positions
                    : c->attn_pool == HC_ATTN_POOL_YES ? c->attn_pooler_queries
                                                       : 1;
}

static void read_text(reader *r, hc_config *c)
{
    hc_json family = option(r, "hf_model_name"), custom = hc_json_get(&r->model, "custom_text"),
            proj = option(r, "proj_type");
    if (hc_json_truthy(&family))
        FAIL(r, HC_MODEL_UNSUPPORTED,
             "text_cfg.hf_model_name is %t: text towers from Hugging Face transformers are not supported yet",
             family.text, family.length);
    check_keys(r, &r->section, r->section_name, TEXT_KEYS);

    c->width = integer(r, "width", 512, 1, MAX_WIDTH);
    c->layers = integer(r, "layers", 12, 1, MAX_LAYERS);
    c->heads = integer(r, "heads", 8, 1, MAX_WIDTH);
    read_blocks(r, c);
    c->context_length = integer(r, "context_length", 77, 1, MAX_POSITIONS - 1);
    c->vocab_size = integer(r, "vocab_size", 49408, 1, MAX_VOCABULARY);
    c->pad_id = integer(r, "pad_id", 0, -INT32_MAX, INT32_MAX);
    c->eos_id = integer(r, "eos_id", 2, -INT32_MAX, INT32_MAX);
    c->causal = !flag(r, "no_causal_mask");

    static const char *const names[] = {"argmax", "first", "last", "eos", "none", NULL};
    static const hc_pool pools[] = {HC_POOL_ARGMAX, HC_POOL_FIRST, HC_POOL_LAST, HC_POOL_EOS, HC_POOL_NONE};
    c->pool = pools[choice(r, "pool_type", names, "argmax, first, last, eos or none")];

    /* The mere presence of hf_model_name makes the factory build CustomTextCLIP. */
    c->embed_cls = flag(r, "embed_cls");
    if (c->embed_cls && !hc_json_truthy(&custom) && family.type == HC_JSON_ABSENT)
        FAIL(r, HC_MODEL_UNSUPPORTED,
             "text_cfg.embed_cls is on without custom_text: OpenCLIP's CLIP class adds %d positions to %d tokens and "
             "fails",
             c->context_length + 1, c->context_length);
    if (c->embed_cls) c->pool = HC_POOL_LAST;
    c->positions = c->context_length + c->embed_cls;
    c->proj = hc_json_is(&proj, "none") ? HC_PROJ_NONE : flag(r, "proj_bias") ? HC_PROJ_LINEAR : HC_PROJ_MATRIX;
    c->dim = c->proj == HC_PROJ_NONE ? c->width : c->embed_dim;
    c->tokens_out = c->pool == HC_POOL_NONE ? c->context_length : 1;
}

/* model_cfg, or the whole document where it is a bare model config. */
static hc_json model_of(const hc_json *document)
{
    hc_json model = hc_json_get(document, "model_cfg");
    return model.type == HC_JSON_ABSENT ? *document : model;
}

hc_status hc_config_parse(hc_config *config, hc_tower tower, const char *json, size_t length, char *message,
                          size_t message_size)
{
    hc_json document;
    hc_json_error error;
    reader reading = {.section_name = tower == HC_IMAGE ? "vision_cfg" : "text_cfg",
                      .message = message,
                      .message_size = message_size};
    reader *r = &reading;
    memset(config, 0, sizeof *config);
    if (message_size) message[0] = '\0';
    if (!hc_json_parse(json, length, &document, &error)) {
        FAIL(r, HC_MODEL_CONFIG, "the config is not JSON: %s at byte %u", error.reason, (uint64_t)error.position);
        return r->status;
    }
    r->model = model_of(&document);
    if (r->model.type != HC_JSON_OBJECT) {
        FAIL(r, HC_MODEL_CONFIG, "the config is %t, expected an object with embed_dim, vision_cfg and text_cfg",
             r->model.text, r->model.length);
        return r->status;
    }
    hc_json dim = hc_json_get(&r->model, "embed_dim");
    r->section = hc_json_get(&r->model, r->section_name);
    if (dim.type == HC_JSON_ABSENT || r->section.type != HC_JSON_OBJECT) {
        FAIL(r, HC_MODEL_CONFIG, "the config is not that of an OpenCLIP model: it has no %s",
             dim.type == HC_JSON_ABSENT ? "embed_dim" : r->section_name);
        return r->status;
    }
    config->tower = tower;
    config->embed_dim = integer_of(r, "", "embed_dim", &dim, 1, MAX_WIDTH);
    check_keys(r, &r->model, "model_cfg", MODEL_KEYS);
    if (tower == HC_IMAGE) read_image(r, config);
    else read_text(r, config);
    check_sizes(r, config);
    return r->status;
}

/* ---- preprocessing ------------------------------------------------------------------------------------------------
 */

/* torchvision's Normalize: a list of three, a list of one, or a number for all channels. */
static void read_channels(reader *r, const char *key, const hc_json *value, float out[3])
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
                FAIL(r, HC_MODEL_CONFIG, "preprocess_cfg.%s holds %t, expected a number", key, member.text,
                     member.length);
            if (count < 3) out[count] = (float)hc_json_number(&member);
        }
        if (count == 1) out[1] = out[2] = out[0];
    }
    if (count != 1 && count != 3)
        FAIL(r, HC_MODEL_CONFIG, "preprocess_cfg.%s is %t, expected three numbers", key, value->text, value->length);
    for (int i = 0; i < 3; i++)
        if (!(fabsf(out[i]) <= 3e38f))
            FAIL(r, HC_MODEL_CONFIG, "preprocess_cfg.%s is %t, which is beyond float32", key, value->text,
                 value->length);
}

hc_status hc_preprocess_parse(const char *config, size_t config_length, hc_preprocess_cfg *cfg)
{
    char message[512];
    hc_json document, model, preprocess, vision;
    hc_json_error error;
    reader reading = {.section_name = "vision_cfg", .message = message, .message_size = sizeof message};
    reader *r = &reading;
    *cfg = (hc_preprocess_cfg){.mean = {0.48145466f, 0.4578275f, 0.40821073f},
                               .std = {0.26862954f, 0.26130258f, 0.27577711f}};
    if (!hc_json_parse(config, config_length, &document, &error) || document.type != HC_JSON_OBJECT)
        return HC_MODEL_CONFIG;

    /* The factory lets the visual tower's image_size win over preprocess_cfg.size. */
    model = model_of(&document);
    preprocess = hc_json_get(&document, "preprocess_cfg");
    if (preprocess.type != HC_JSON_OBJECT && hc_json_truthy(&preprocess)) return HC_MODEL_CONFIG;
    vision = hc_json_get(&model, "vision_cfg");
    r->section = vision.type == HC_JSON_OBJECT ? vision : preprocess;
    pair(r, vision.type == HC_JSON_OBJECT ? "image_size" : "size", 224, MAX_SIDE, &cfg->height, &cfg->width);

    r->section = preprocess;
    r->section_name = "preprocess_cfg";
    hc_json mean = option(r, "mean"), std = option(r, "std"), fill = option(r, "fill_color"), mode = option(r, "mode");
    read_channels(r, "mean", &mean, cfg->mean);
    read_channels(r, "std", &std, cfg->std);
    for (int i = 0; i < 3; i++)
        if (cfg->std[i] == 0) FAIL(r, HC_MODEL_CONFIG, "preprocess_cfg.std is 0");
    if (mode.type != HC_JSON_ABSENT && mode.type != HC_JSON_NULL && !hc_json_is(&mode, "RGB"))
        FAIL(r, HC_MODEL_UNSUPPORTED, "preprocess_cfg.mode is %t, expected RGB", mode.text, mode.length);
    if (fill.type != HC_JSON_ABSENT && fill.type != HC_JSON_NULL)
        cfg->fill_color = integer_of(r, "preprocess_cfg.", "fill_color", &fill, 0, 255);

    static const char *const filters[] = {"bicubic", "bilinear", "lanczos", "random", NULL};
    static const hc_filter filter[] = {HC_BICUBIC, HC_BILINEAR, HC_LANCZOS, HC_BICUBIC};
    static const char *const modes[] = {"shortest", "longest", "squash", NULL};
    if (flag(r, "interpolation"))
        cfg->interpolation = filter[choice(r, "interpolation", filters, "bicubic, bilinear or lanczos")];
    if (flag(r, "resize_mode"))
        cfg->resize_mode = (hc_resize_mode)choice(r, "resize_mode", modes, "shortest, longest or squash");
    return r->status;
}
