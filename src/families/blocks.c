/* blocks.c: the residual attention blocks of OpenCLIP (ResidualAttentionBlock, CustomResidualAttentionBlock), after
 * "Learning Transferable Visual Models From Natural Language Supervision" (Radford et al., 2021) and
 * open_clip/transformer.py. */
#include "families/openclip.h"

/* ---- building -----------------------------------------------------------------------------------------------------
 */

/* The queries, keys and values of a block's attention, and the rows that they are added to. */
typedef struct heads {
    hc_value x, q, k, v;
} heads;

static heads project_heads(hc_network *net, const hc_openclip_config *c, hc_value x, int pick)
{
    int width = c->width;
    hc_value normed = hc_norm(net, "ln_1.", x, c->eps);
    hc_tensor_id matrix = hc_weight(net, "attn.in_proj_weight", 3 * width, width, (hc_matrix_options){0});
    hc_tensor_id bias = hc_vector(net, "attn.in_proj_bias", 3 * width);
    if (!pick) {
        hc_value all = hc_multiply(net, "attn.in_proj_", normed, matrix, bias, 0, 3 * width, (hc_finish){0});
        return (heads){x, hc_columns(net, all, 0, width), hc_columns(net, all, width, width),
                       hc_columns(net, all, 2 * width, width)};
    }
    hc_value seen = hc_multiply(net, "attn.in_proj_", normed, matrix, bias, width, 2 * width, (hc_finish){0});
    hc_value row = hc_pick(net, x), again = hc_norm_again(net, normed, row);
    hc_value query = hc_multiply(net, "attn.in_proj_", again, matrix, bias, 0, width, (hc_finish){0});
    return (heads){row, query, hc_columns(net, seen, 0, width), hc_columns(net, seen, width, width)};
}

static hc_value attend(hc_network *net, const hc_openclip_config *c, heads h)
{
    if (c->qk_norm) {
        h.q = hc_norm_heads(net, "attn.ln_q.", h.q, c->heads, c->eps);
        h.k = hc_norm_heads(net, "attn.ln_k.", h.k, c->heads, c->eps);
    } else if (c->scaled_cosine_attn) {
        h.q = hc_norm_heads(net, NULL, h.q, c->heads, c->eps);
        h.k = hc_norm_heads(net, NULL, h.k, c->heads, c->eps);
    }
    hc_attention_options options = {.heads = c->heads,
                                    .causal = c->causal,
                                    .logit_scale = c->scaled_cosine_attn ? "attn.logit_scale" : NULL,
                                    .head_scale = c->scale_heads ? "attn.head_scale" : NULL};
    hc_value seen = hc_attend(net, h.q, h.k, h.v, options);
    return c->scale_attn_inner ? hc_norm(net, "attn.ln_inner.", seen, c->eps) : seen;
}

static hc_value block(hc_network *net, const hc_openclip_config *c, hc_value x, int pick)
{
    const char *gamma_1 = c->layer_scale ? "ls_1.gamma" : NULL, *gamma_2 = c->layer_scale ? "ls_2.gamma" : NULL;
    heads h = project_heads(net, c, x, pick);
    hc_value seen = attend(net, c, h), hidden;
    if (c->scale_attn) {
        hc_value branch = hc_linear(net, "attn.out_proj.", seen, (hc_linear_options){.n = c->width});
        x = hc_add(net, h.x, hc_norm(net, "ln_attn.", branch, c->eps), gamma_1);
    } else {
        x = hc_linear(net, "attn.out_proj.", seen, (hc_linear_options){.n = c->width, .gamma = gamma_1, .add = h.x});
    }
    hidden = hc_linear(net, "mlp.c_fc.", hc_norm(net, "ln_2.", x, c->eps),
                       (hc_linear_options){.n = c->mlp_width, .activation = c->activation});
    if (c->scale_fc) hidden = hc_norm(net, "mlp.ln.", hidden, c->eps);
    return hc_linear(net, "mlp.c_proj.", hidden, (hc_linear_options){.n = c->width, .gamma = gamma_2, .add = x});
}

hc_value hc_openclip_blocks(hc_network *net, const hc_openclip_config *c, const char *names, hc_value x, int pick)
{
    for (int i = 0; i < c->layers; i++) HC_IN(net, names, i) x = block(net, c, x, pick && i == c->layers - 1);
    return x;
}

/* ---- options ------------------------------------------------------------------------------------------------------
 */

hc_activation hc_openclip_activation(hc_options *o)
{
    hc_activation activation;
    hc_json quick = hc_json_get(&o->model, "quick_gelu"), kwargs = hc_option(o, "act_kwargs"), key, value;
    activation = hc_json_truthy(&quick) ? HC_QUICK_GELU : HC_GELU;
    if (kwargs.type == HC_JSON_ABSENT || kwargs.type == HC_JSON_NULL) return activation;
    if (kwargs.type != HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s.act_kwargs is %t, expected an object", o->section_name, kwargs.text,
                kwargs.length);
    const char *cursor = NULL;
    while (hc_json_next(&kwargs, &cursor, &key, &value)) {
        if (activation == HC_QUICK_GELU)
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                    "%s.act_kwargs is %t, but QuickGELU (quick_gelu) takes no options", o->section_name, kwargs.text,
                    kwargs.length);
        else if (!hc_json_is(&key, "approximate"))
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.act_kwargs.%t is no option of GELU", o->section_name,
                    key.text + 1, key.length - 2);
        else if (hc_json_is(&value, "tanh")) activation = HC_GELU_TANH;
        else if (hc_json_is(&value, "none")) activation = HC_GELU;
        else
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.act_kwargs.approximate is %t, expected tanh or none",
                    o->section_name, value.text, value.length);
    }
    return activation;
}

static void read_norm(hc_options *o, hc_openclip_config *c)
{
    hc_json kwargs = hc_option(o, "norm_kwargs"), key, value;
    c->eps = 1e-5f;
    if (!hc_json_truthy(&kwargs)) return;
    if (kwargs.type != HC_JSON_OBJECT)
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s.norm_kwargs is %t, expected an object", o->section_name, kwargs.text,
                kwargs.length);
    const char *cursor = NULL;
    while (hc_json_next(&kwargs, &cursor, &key, &value)) {
        int affine = hc_json_is(&key, "elementwise_affine") || hc_json_is(&key, "bias");
        if (affine && hc_json_truthy(&value)) continue;
        if (!hc_json_is(&key, "eps")) {
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                    "%s.norm_kwargs.%t is %t; of LayerNorm's options only eps can be chosen here", o->section_name,
                    key.text + 1, key.length - 2, value.text, value.length);
        } else if (value.type != HC_JSON_NUMBER || !(hc_json_number(&value) >= 0 && hc_json_number(&value) <= 1)) {
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.norm_kwargs.eps is %t, expected a number from 0 to 1",
                    o->section_name, value.text, value.length);
        } else {
            c->eps = (float)hc_json_number(&value);
        }
    }
}

/* int(d_model * mlp_ratio), in doubles. */
static void read_mlp(hc_options *o, hc_openclip_config *c)
{
    double width = c->width * hc_option_number(o, "mlp_ratio", 4.0);
    if (!(width >= 1 && width < HC_MAX_MLP_WIDTH + 1)) {
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "%s.mlp_ratio makes the hidden layers too narrow or too wide, expected 1 to %d channels",
                o->section_name, (int)HC_MAX_MLP_WIDTH);
        width = 1;
    }
    c->mlp_width = (int)width;
}

/* Transformer.__init__: any block_type but 'custom' is the default block, which has none of the options. */
void hc_openclip_read_blocks(hc_options *o, hc_openclip_config *c)
{
    hc_json type = hc_option(o, "block_type"), scale = hc_option(o, "ls_init_value");
    int chosen = type.type != HC_JSON_ABSENT && type.type != HC_JSON_NULL;
    if (!chosen || hc_json_is(&type, "custom")) {
        c->qk_norm = hc_option_flag(o, "qk_norm");
        c->scaled_cosine_attn = hc_option_flag(o, "scaled_cosine_attn");
        c->scale_heads = hc_option_flag(o, "scale_heads");
        c->scale_attn_inner = hc_option_flag(o, "scale_attn_inner");
        c->scale_attn = hc_option_flag(o, "scale_attn");
        c->scale_fc = hc_option_flag(o, "scale_fc");
    }
    if (c->qk_norm && c->scaled_cosine_attn)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "%s.qk_norm and %s.scaled_cosine_attn are both on, which OpenCLIP does not allow", o->section_name,
                o->section_name);
    c->layer_scale = scale.type != HC_JSON_ABSENT && scale.type != HC_JSON_NULL;
    if (c->layer_scale && scale.type != HC_JSON_NUMBER)
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s.ls_init_value is %t, expected a number or null", o->section_name,
                scale.text, scale.length);
    c->activation = hc_openclip_activation(o);
    read_norm(o, c);
    read_mlp(o, c);
    if (c->heads < 1 || c->width % c->heads) {
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.width is %d, which %d heads do not divide", o->section_name,
                c->width, c->heads);
        c->heads = 1;
    }
}

void hc_openclip_check_sizes(hc_options *o, const hc_openclip_config *c, int positions)
{
    if ((int64_t)c->width * c->mlp_width > HC_MAX_MATRIX || 3 * (int64_t)c->width * c->width > HC_MAX_MATRIX)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "%s: matrices of %d by %d numbers are more than a tower may have here", o->section_name, c->width,
                c->mlp_width);
    if ((int64_t)c->text.vocab_size * c->width > HC_MAX_TABLE)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "text_cfg: a table of %d tokens by %d numbers is more than a tower may have here", c->text.vocab_size,
                c->width);
    if (positions > HC_MAX_POSITIONS)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "%s: sequences of %d tokens are more than the %d that a tower may have here", o->section_name,
                positions, (int)HC_MAX_POSITIONS);
}
