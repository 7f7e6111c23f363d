/* timm.c: the options of OpenCLIP's TimmModel, and its head. */
#include "families/timm.h"
#include "families/keys.h"
#include "families/openclip.h"

const void *hc_timm_find(const hc_options *o, const void *rows, size_t count, size_t size)
{
    hc_json given = hc_option(o, "timm_model_name");
    for (size_t i = 0; i < count; i++) {
        const void *row = (const char *)rows + i * size;
        if (hc_json_is(&given, *(const char *const *)row)) return row;
    }
    return NULL;
}

void hc_timm_refuse(const hc_options *o, const char *computed)
{
    hc_json name = hc_option(o, "timm_model_name");
    hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg: of towers such as %t only those with %s are supported",
            name.text, name.length, computed);
}

static hc_timm_proj read_proj(hc_options *o)
{
    static const char *const choices[] = {"linear", "mlp", "none", "", NULL};
    hc_json given = hc_option(o, "timm_proj");
    if (given.type == HC_JSON_NULL) return HC_TIMM_CLASSIFIER;
    return (hc_timm_proj)hc_option_choice(o, "timm_proj", choices, "linear, mlp, none or null");
}

void hc_timm_read(hc_options *o, int image_size, const char *const *keys, hc_timm *t)
{
    static const char *const pools[] = {"avg", "", "token", "map", "abs_attn", "rot_attn", NULL};
    hc_options_check_keys(o, &o->section, o->section_name, HC_VISION_KEYS);
    t->embed_dim = hc_embed_dim(o);
    hc_option_pair(o, "image_size", image_size, HC_MAX_SIDE, &t->image_height, &t->image_width);
    if ((int64_t)t->image_height * t->image_width > HC_MAX_PIXELS)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg.image_size is more than %d pixels", (int)HC_MAX_PIXELS);
    hc_json pool = hc_option(o, "timm_pool");
    t->pool = pool.type == HC_JSON_NULL
                  ? HC_TIMM_OWN
                  : (hc_timm_pool)hc_option_choice(o, "timm_pool", pools, "avg, token, map, abs_attn, rot_attn or ''");
    t->proj = read_proj(o);
    t->proj_bias = hc_option_flag(o, "timm_proj_bias");
    t->args = *o;
    t->args.section = hc_option(o, "timm_model_args");
    t->args.section_name = "vision_cfg.timm_model_args";
    hc_json *args = &t->args.section;
    if (args->type == HC_JSON_ABSENT || args->type == HC_JSON_NULL) return;
    if (args->type != HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_CONFIG, "vision_cfg.timm_model_args is %t, expected an object", args->text,
                args->length);
    hc_options_check_keys(&t->args, args, t->args.section_name, keys);
}

hc_timm_pool hc_timm_made_with(const hc_options *o, hc_timm *t, hc_timm_pool own)
{
    int projects = t->proj == HC_TIMM_LINEAR || t->proj == HC_TIMM_MLP;
    if (!projects && hc_option(o, "timm_pool").type != HC_JSON_NULL) return t->pool;
    if (t->pool == HC_TIMM_OWN) t->pool = own;
    return own;
}

void hc_timm_check_mean(const hc_options *o, const hc_timm *t)
{
    int own = t->pool == HC_TIMM_OWN && (t->proj == HC_TIMM_LINEAR || t->proj == HC_TIMM_MLP);
    if (t->pool != HC_TIMM_AVG && !own) hc_timm_refuse(o, "timm_pool avg, or '' with timm_proj linear or mlp");
}

enum { POOL_HEAD = 64 }; /* AttentionPool2d's head_dim */

int hc_timm_attends(const hc_timm *t) { return t->pool == HC_TIMM_ABS_ATTN || t->pool == HC_TIMM_ROT_ATTN; }

void hc_timm_check_grid(const hc_options *o, const hc_timm *t, int width)
{
    if (!hc_timm_attends(t)) hc_timm_check_mean(o, t);
    else if (width % POOL_HEAD || 3 * (int64_t)width * width > HC_MAX_MATRIX)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.timm_pool is attention over %d channels, expected a number that %d, the width of a head, "
                "divides, and matrices of at most %d numbers",
                width, (int)POOL_HEAD, (int)HC_MAX_MATRIX);
}

int hc_timm_list(hc_timm *t, const char *key, int *values, int least, int most, int high)
{
    hc_json list = hc_option(&t->args, key);
    if (list.type == HC_JSON_ABSENT) return most;
    int count = hc_option_list(&t->args, key, values, most, high);
    if (count >= least && count <= most) return count;
    hc_fail(t->args.problem, HC_MODEL_CONFIG, "vision_cfg.timm_model_args.%s is %t, expected %d to %d integers", key,
            list.text, list.length, least, most);
    return least;
}

int hc_timm_mlp_width(hc_timm *t, int width, double ratio)
{
    double mlp_width = width * hc_option_number(&t->args, "mlp_ratio", ratio);
    if (mlp_width >= 1 && mlp_width < HC_MAX_MLP_WIDTH + 1) return (int)mlp_width;
    hc_fail(t->args.problem, HC_MODEL_UNSUPPORTED,
            "vision_cfg.timm_model_args.mlp_ratio makes the hidden layers too narrow or too wide, expected 1 to %d "
            "channels",
            (int)HC_MAX_MLP_WIDTH);
    return 1;
}

void hc_timm_check_sizes(hc_timm *t, int width, int heads, int mlp_width, int patch_size)
{
    hc_problem *problem = t->args.problem;
    if (width % heads)
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "vision_cfg: a width of %d, which %d heads do not divide", width, heads);
    if (t->image_height < patch_size || t->image_width < patch_size)
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "vision_cfg: patches of %d, larger than the picture of %d by %d",
                patch_size, t->image_height, t->image_width);
    if ((int64_t)width * mlp_width > HC_MAX_MATRIX || 3 * (int64_t)width * width > HC_MAX_MATRIX ||
        3 * (int64_t)patch_size * patch_size * width > HC_MAX_MATRIX ||
        (int64_t)(t->image_height / patch_size) * (t->image_width / patch_size) > HC_MAX_POSITIONS)
        hc_fail(problem, HC_MODEL_UNSUPPORTED, "vision_cfg: sizes that are more than a tower may have here");
}

hc_value hc_timm_add(hc_network *net, const char *name, const char *gamma, const char *norm, float eps, int plain,
                     hc_value f, hc_value x)
{
    hc_linear_options o = {.n = net->values[x].width, .plain = plain, .gamma = gamma, .add = norm ? 0 : x};
    hc_value made = hc_linear(net, name, f, o);
    return norm ? hc_add(net, x, hc_norm(net, norm, made, eps), NULL) : made;
}

hc_value hc_timm_norm(hc_network *net, int rms, const char *name, hc_value x, float eps)
{
    return (rms ? hc_rms_norm_of : hc_norm)(net, name, x, eps);
}

hc_value hc_timm_normed(hc_network *net, int rms, const char *name, hc_value x, float eps)
{
    return (rms ? hc_rms_normed : hc_normed)(net, name, x, eps);
}

hc_value hc_timm_norm_heads(hc_network *net, int rms, const char *name, hc_value x, int heads, float eps)
{
    return (rms ? hc_rms_norm_heads : hc_norm_heads)(net, name, x, heads, eps);
}

hc_value hc_timm_glu(hc_network *net, hc_value x, int n, hc_activation activation)
{
    hc_tensor_id matrix = hc_weight(net, "mlp.fc1.weight", 2 * n, net->values[x].width, (hc_matrix_options){0}),
                 bias = hc_vector(net, "mlp.fc1.bias", 2 * n);
    hc_value gate = hc_multiply(net, "mlp.fc1.", x, matrix, bias, 0, n, (hc_finish){.activation = activation});
    return hc_times(net, gate, hc_multiply(net, "mlp.fc1.", x, matrix, bias, n, n, (hc_finish){0}));
}

hc_value hc_timm_split_glu(hc_network *net, hc_value x, int n, hc_activation activation, int plain)
{
    hc_linear_options gate = {.n = n, .plain = plain, .activation = activation}, other = {.n = n, .plain = plain};
    hc_value gated = hc_linear(net, "mlp.fc1_g.", x, gate);
    return hc_times(net, gated, hc_linear(net, "mlp.fc1_x.", x, other));
}

hc_value hc_timm_map_pool(hc_network *net, int heads, int mlp_width, hc_activation activation, float eps, int rms,
                          hc_value x)
{
    int width = net->values[x].width;
    HC_IN(net, "attn_pool.", 0)
    {
        hc_value query =
            hc_linear(net, "q.", hc_parameter(net, "latent", 3, 1, 1, width), (hc_linear_options){.n = width});
        hc_value all = hc_linear(net, "kv.", x, (hc_linear_options){.n = 2 * width});
        hc_value seen = hc_attend(net, query, hc_columns(net, all, 0, width), hc_columns(net, all, width, width),
                                  (hc_attention_options){.heads = heads});
        x = hc_linear(net, "proj.", seen, (hc_linear_options){.n = width});
        hc_value normed = hc_timm_norm(net, rms, "norm.", x, eps);
        hc_value hidden =
            hc_linear(net, "mlp.fc1.", normed, (hc_linear_options){.n = mlp_width, .activation = activation});
        x = hc_linear(net, "mlp.fc2.", hidden, (hc_linear_options){.n = width, .add = x});
    }
    return x;
}

/* AttentionPool2d and RotAttentionPool2d (timm/layers/attention_pool2d.py), after CLIP's: the mean of all pixels looks
 * at them, and at itself, with learned positions or with rotary ones, which the mean has none of. */
static hc_value attention_pool(hc_network *net, const hc_timm *t, hc_value x)
{
    const double LOG_10000 = 9.210340371976184;
    int width = net->values[x].width, heads = width / POOL_HEAD;
    hc_rotary grid = {
        .height = net->values[x].height, .across = net->values[x].across, .reference = 7, .log_temperature = LOG_10000};
    HC_IN(net, "visual.head.pool.", 0)
    {
        hc_value rows = hc_mean_first(net, t->pool == HC_TIMM_ABS_ATTN ? "pos_embed" : NULL, 1, x);
        hc_tensor_id matrix = hc_weight(net, "qkv.weight", 3 * width, width, (hc_matrix_options){0}),
                     bias = hc_vector(net, "qkv.bias", 3 * width);
        hc_value all = hc_multiply(net, "qkv.", rows, matrix, bias, width, 2 * width, (hc_finish){0});
        hc_value q = hc_multiply(net, "qkv.", hc_pick(net, rows), matrix, bias, 0, width, (hc_finish){0}),
                 k = hc_columns(net, all, 0, width), v = hc_columns(net, all, width, width);
        if (t->pool == HC_TIMM_ROT_ATTN)
            k = hc_rotate_heads(net, hc_rotary_table(net, POOL_HEAD, grid), k, heads, 1, grid);
        x = hc_attend(net, q, k, v, (hc_attention_options){.heads = heads});
        x = hc_linear(net, "proj.", x, (hc_linear_options){.n = t->embed_dim, .keep_half = 1});
    }
    return x;
}

void hc_timm_head(hc_network *net, const hc_timm *t, const char *classifier, hc_value x)
{
    int n = t->embed_dim;
    if (hc_timm_attends(t)) x = attention_pool(net, t, x);
    switch (t->proj) {
    case HC_TIMM_LINEAR:
        x = hc_linear(net, "visual.head.proj.", x, (hc_linear_options){.n = n, .plain = !t->proj_bias, .keep_half = 1});
        break;
    case HC_TIMM_MLP: {
        hc_value hidden =
            hc_linear(net, "visual.head.mlp.fc1.", x, (hc_linear_options){.n = 2 * n, .activation = HC_GELU});
        x = hc_linear(net, "visual.head.mlp.fc2.", hidden,
                      (hc_linear_options){.n = n, .plain = !t->proj_bias, .keep_half = 1});
        break;
    }
    case HC_TIMM_NONE: break;
    case HC_TIMM_CLASSIFIER:
        if (hc_timm_attends(t)) break; /* TimmModel takes it away */
        HC_IN(net, "visual.trunk.", 0)
        x = hc_linear(net, classifier, x, (hc_linear_options){.n = n, .keep_half = 1});
        break;
    }
    hc_result(net, x);
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

const hc_name_rule HC_TIMM_AS_IS[] = {HC_RULE("visual.trunk.*", "visual.trunk.*"),
                                      HC_RULE("visual.head.*", "visual.head.*"),
                                      {0}},
                   HC_TIMM_BARE[] = {HC_RULE("visual.trunk.*", "*"), {0}};
