/* eva_blocks.c: the blocks of timm's class Eva: attention with rotary positions, an MLP that is gated or not. */
#include "families/eva.h"

hc_value hc_eva_norm(hc_network *net, const hc_eva_trunk *t, const char *name, hc_value x)
{
    return hc_timm_norm(net, hc_eva_has(&t->c, HC_EVA_RMS_NORM), name, x, t->eps);
}

hc_value hc_eva_normed(hc_network *net, const hc_eva_trunk *t, const char *name, hc_value x)
{
    return hc_timm_normed(net, hc_eva_has(&t->c, HC_EVA_RMS_NORM), name, x, t->eps);
}

/* Queries (0), keys (1) or values (2) of x, `heads` of them, where each has a matrix of its own or biases of their own.
 */
static hc_value project(hc_network *net, const hc_eva_trunk *t, const hc_tensor_id tensors[4], int which, int heads,
                        hc_value x)
{
    static const char *const names[] = {"attn.q_proj.", "attn.k_proj.", "attn.v_proj."};
    int width = t->c.width / t->c.heads * heads, first = which * width;
    if (hc_eva_has(&t->c, HC_EVA_SPLIT_QKV))
        return hc_linear(net, names[which], x,
                         (hc_linear_options){.n = width, .plain = which == 1 && !hc_eva_has(&t->c, HC_EVA_K_BIAS)});
    return hc_multiply(net, "attn.qkv.", x, tensors[3], tensors[which], first, width,
                       (hc_finish){.bias_first = hc_eva_has(&t->c, HC_EVA_QV_BIAS) ? -first : 0});
}

static hc_value norm_heads(hc_network *net, const hc_eva_trunk *t, const char *name, int heads, hc_value x)
{
    if (!hc_eva_has(&t->c, HC_EVA_QK_NORM)) return x;
    return hc_timm_norm_heads(net, hc_eva_has(&t->c, HC_EVA_RMS_NORM), name, x, heads, t->eps);
}

static hc_value turned(hc_network *net, const hc_eva_trunk *t, int heads, hc_value x)
{
    if (hc_eva_has(&t->c, HC_EVA_MIXED)) return hc_rotate_mixed(net, t->table, x, heads, t->prefix, t->grid);
    return hc_eva_has(&t->c, HC_EVA_ROTARY) ? hc_rotate_heads(net, t->table, x, heads, t->prefix, t->grid) : x;
}

/* Attention of x; with `pick` of the first row of each input alone, which no position turns. */
static hc_value attend(hc_network *net, const hc_eva_trunk *t, int layer, hc_value x, int pick)
{
    hc_tensor_id tensors[4] = {0};
    int width = t->c.width, heads = t->c.heads, kv_heads = t->kv_heads[layer];
    if (!hc_eva_has(&t->c, HC_EVA_SPLIT_QKV))
        tensors[3] = hc_weight(net, "attn.qkv.weight", 3 * width, width, (hc_matrix_options){0});
    if (hc_eva_has(&t->c, HC_EVA_QV_BIAS)) {
        tensors[0] = hc_vector(net, "attn.q_bias", width);
        tensors[2] = hc_vector(net, "attn.v_bias", width);
    }
    if (hc_eva_has(&t->c, HC_EVA_QKV_BIAS))
        tensors[0] = tensors[1] = tensors[2] = hc_vector(net, "attn.qkv.bias", 3 * width);
    hc_value k, v;
    if (hc_eva_has(&t->c, HC_EVA_SPLIT_QKV) || hc_eva_has(&t->c, HC_EVA_QV_BIAS)) {
        k = project(net, t, tensors, 1, kv_heads, x);
        v = project(net, t, tensors, 2, kv_heads, x);
    } else {
        hc_value both = hc_multiply(net, "attn.qkv.", x, tensors[3], tensors[1], width, 2 * width, (hc_finish){0});
        k = hc_columns(net, both, 0, width);
        v = hc_columns(net, both, width, width);
    }
    k = turned(net, t, kv_heads, norm_heads(net, t, "attn.k_norm.", kv_heads, k));
    hc_value q = project(net, t, tensors, 0, heads, pick ? hc_pick(net, x) : x);
    q = norm_heads(net, t, "attn.q_norm.", heads, q);
    if (!pick) q = turned(net, t, heads, q);
    if (kv_heads != heads) {
        k = hc_repeat_heads(net, k, kv_heads, heads / kv_heads);
        v = hc_repeat_heads(net, v, kv_heads, heads / kv_heads);
    }
    hc_value seen = hc_attend(net, q, k, v, (hc_attention_options){.heads = heads});
    return hc_eva_has(&t->c, HC_EVA_SUB_NORM) ? hc_eva_norm(net, t, "attn.norm.", seen) : seen;
}

static hc_value hidden_of(hc_network *net, const hc_eva_trunk *t, hc_value x)
{
    int n = t->c.mlp_width;
    hc_value hidden;
    if (hc_eva_has(&t->c, HC_EVA_SPLIT_GLU)) {
        hidden = hc_timm_split_glu(net, x, n, HC_SILU, 0);
    } else if (hc_eva_has(&t->c, HC_EVA_GLU)) {
        hidden = hc_timm_glu(net, x, n, HC_SILU);
    } else {
        hidden = hc_linear(net, "mlp.fc1.", x, (hc_linear_options){.n = n, .activation = HC_GELU});
    }
    return hc_eva_has(&t->c, HC_EVA_MLP_NORM) ? hc_eva_norm(net, t, "mlp.norm.", hidden) : hidden;
}

/* x + gamma * f times a matrix, normed before it is added where that is so. */
static hc_value add(hc_network *net, const hc_eva_trunk *t, const char *name, const char *norm, const char *gamma,
                    hc_value f, hc_value x)
{
    return hc_timm_add(net, name, hc_eva_has(&t->c, HC_EVA_LAYER_SCALE) ? gamma : NULL,
                       hc_eva_has(&t->c, HC_EVA_POST_NORM) ? norm : NULL, t->eps, 0, f, x);
}

hc_value hc_eva_block(hc_network *net, const hc_eva_trunk *t, int layer, hc_value x, int pick)
{
    int post = hc_eva_has(&t->c, HC_EVA_POST_NORM);
    hc_value seen = attend(net, t, layer, post ? x : hc_eva_normed(net, t, "norm1.", x), pick);
    x = add(net, t, "attn.proj.", "norm1.", "gamma_1", seen, pick ? hc_pick(net, x) : x);
    hc_value hidden = hidden_of(net, t, post ? x : hc_eva_norm(net, t, "norm2.", x));
    return add(net, t, "mlp.fc2.", "norm2.", hc_eva_has(&t->c, HC_EVA_PLAIN_MLP) ? NULL : "gamma_2", hidden, x);
}
