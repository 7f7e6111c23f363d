/* timm_attention.c: attention of the blocks of timm's VisionTransformer (timm/layers/attention.py, diff_attention.py).
 */
#include "families/timm_blocks.h"

/* Where the factor of the attention that is taken away begins, by the block's number: 0.8 - 0.6 e^(-0.3 layer) (Ye et
 * al., "Differential Transformer", 2024). */
static float first_lambda(int layer)
{
    const double E_TO_MINUS_0_3 = 0.7408182206817179;
    double power = 1;
    for (int i = 0; i < layer; i++) power *= E_TO_MINUS_0_3;
    return (float)(0.8 - 0.6 * power);
}

/* Queries or keys, normed head by head. */
static hc_value norm_heads(hc_network *net, const hc_timm_vit_config *c, const char *name, hc_value x)
{
    int heads = c->flags & HC_VIT_DIFFERENTIAL ? 2 * c->heads : c->heads;
    return hc_timm_norm_heads(net, c->flags & HC_VIT_RMS_NORM, name, x, heads, hc_timm_vit_eps(c));
}

hc_value hc_timm_vit_look(hc_network *net, const hc_timm_vit_config *c, int layer, hc_value q, hc_value k, hc_value v,
                          hc_value bias)
{
    if (c->flags & HC_VIT_QK_NORM) {
        q = norm_heads(net, c, "q_norm.", q);
        k = norm_heads(net, c, "k_norm.", k);
    }
    if (c->flags & HC_VIT_DIFFERENTIAL) return hc_attend_difference(net, q, k, v, c->heads, first_lambda(layer));
    return hc_attend(net, q, k, v, (hc_attention_options){.heads = c->heads, .bias = bias});
}

hc_value hc_timm_vit_attend(hc_network *net, const hc_timm_vit_config *c, int layer, const char *norm, hc_value x,
                            hc_value *rows, hc_value bias, int pick)
{
    int width = c->width, post = c->flags & HC_VIT_POST_NORM;
    hc_value normed = post ? x : hc_timm_vit_norm(net, c, norm, x), q, k, v, seen = 0;
    hc_tensor_id matrix = hc_weight(net, "attn.qkv.weight", 3 * width, width, (hc_matrix_options){0}),
                 shift = c->flags & HC_VIT_NO_QKV_BIAS ? 0 : hc_vector(net, "attn.qkv.bias", 3 * width);
    int first = pick ? width : 0;
    hc_value all = hc_multiply(net, "attn.qkv.", normed, matrix, shift, first, 3 * width - first, (hc_finish){0});
    *rows = pick ? hc_some_rows(net, x, 0, pick) : x;
    if (pick) {
        hc_value again = post ? *rows : hc_norm_again(net, normed, *rows);
        q = hc_multiply(net, "attn.qkv.", again, matrix, shift, 0, width, (hc_finish){0});
    } else {
        q = hc_columns(net, all, 0, width);
    }
    k = hc_columns(net, all, width - first, width);
    v = hc_columns(net, all, 2 * width - first, width);
    HC_IN(net, "attn.", 0)
    {
        seen = hc_timm_vit_look(net, c, layer, q, k, v, bias);
        if (c->flags & HC_VIT_INNER_NORMS) seen = hc_timm_vit_norm(net, c, "norm.", seen);
    }
    return seen;
}
