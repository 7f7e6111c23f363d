/* timm_blocks.c: timm's VisionTransformer (timm/models/vision_transformer.py), after "An Image is Worth 16x16 Words"
 * (Dosovitskiy et al., 2021), from the first block on. */
#include "families/timm_blocks.h"

/* ---- options ------------------------------------------------------------------------------------------------------
 */

float hc_timm_vit_eps(const hc_timm_vit_config *c) { return c->flags & HC_VIT_EPS_5 ? 1e-5f : 1e-6f; }

hc_value hc_timm_vit_norm(hc_network *net, const hc_timm_vit_config *c, const char *name, hc_value x)
{
    return c->flags & HC_VIT_RMS_NORM ? hc_rms_norm_of(net, name, x, hc_timm_vit_eps(c))
                                      : hc_norm(net, name, x, hc_timm_vit_eps(c));
}

/* Whether TimmModel makes the trunk with its own pool and changes that afterwards, in place of making it with the
 * pool that is asked for. */
static int is_changed_later(const hc_timm *t) { return t->proj == HC_TIMM_LINEAR || t->proj == HC_TIMM_MLP; }

static hc_timm_pool own_pool(const hc_timm_vit_config *c)
{
    return c->flags & HC_VIT_AVG ? HC_TIMM_AVG : c->flags & HC_VIT_MAP ? HC_TIMM_MAP : HC_TIMM_TOKEN;
}

/* The pool of the trunk, and where its last norm is. */
static void read_pool(hc_options *o, hc_timm_vit_config *c, hc_timm *t)
{
    hc_timm_pool own = own_pool(c), made = is_changed_later(t) || !hc_option_given(o, "timm_pool") ? own : t->pool;
    int prefix = c->registers > 0 || c->flags & HC_VIT_CLASS;
    if (made == HC_TIMM_AVG && !(c->flags & HC_VIT_NO_FC_NORM)) c->flags |= HC_VIT_FC_NORM;
    if (is_changed_later(t) && t->pool == HC_TIMM_OWN) t->pool = own;
    int attends = t->pool == HC_TIMM_ABS_ATTN || t->pool == HC_TIMM_ROT_ATTN,
        adds_map = t->pool == HC_TIMM_MAP && made != HC_TIMM_MAP,
        no_token = t->pool == HC_TIMM_TOKEN && !(c->flags & HC_VIT_CLASS);
    if (attends || adds_map || no_token || (t->pool == HC_TIMM_MAP && prefix))
        hc_timm_refuse(o, prefix ? "timm_pool token, avg or ''" : "timm_pool avg, '' or, with timm_proj none, map");
}

void hc_timm_vit_read(hc_options *o, hc_timm_vit_config *c, const char *const *keys, hc_timm *t)
{
    static const char *const names[] = {"gelu", "gelu_tanh", "quick_gelu", NULL};
    static const hc_activation activations[] = {HC_GELU, HC_GELU_TANH, HC_QUICK_GELU};
    hc_timm_read(o, c->image_size, keys, t);
    hc_options *args = &t->args;
    double ratio = (double)c->mlp_width / c->width;
    c->width = hc_option_integer(args, "embed_dim", c->width, 1, HC_MAX_WIDTH);
    c->layers = hc_option_integer(args, "depth", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(args, "num_heads", c->heads, 1, HC_MAX_WIDTH);
    c->patch_size = hc_option_integer(args, "patch_size", c->patch_size, 1, HC_MAX_SIDE);
    c->mlp_width = hc_timm_mlp_width(t, c->width, ratio);
    if (hc_option_given(args, "act_layer"))
        c->activation = activations[hc_option_choice(args, "act_layer", names, "gelu, gelu_tanh or quick_gelu")];
    hc_timm_check_sizes(t, c->width, c->heads, c->mlp_width, c->patch_size);
    read_pool(o, c, t);
}

/* ---- blocks -------------------------------------------------------------------------------------------------------
 */

/* x + gamma * f, normed before it is added where that is so. */
static hc_value add(hc_network *net, const hc_timm_vit_config *c, const char *name, const char *norm, const char *gamma,
                    hc_value f, hc_value x)
{
    return hc_timm_add(net, name, c->flags & HC_VIT_LAYER_SCALE ? gamma : NULL,
                       c->flags & HC_VIT_POST_NORM ? norm : NULL, hc_timm_vit_eps(c), c->flags & HC_VIT_NO_BIAS, f, x);
}

static hc_value attend(hc_network *net, const hc_timm_vit_config *c, hc_value x, hc_value *row, hc_value bias, int pick)
{
    int width = c->width, post = c->flags & HC_VIT_POST_NORM;
    hc_attention_options o = {.heads = c->heads, .bias = bias};
    hc_value normed = post ? x : hc_timm_vit_norm(net, c, "norm1.", x), q, k, v;
    hc_tensor_id matrix = hc_weight(net, "attn.qkv.weight", 3 * width, width, (hc_matrix_options){0}),
                 shift = c->flags & HC_VIT_NO_QKV_BIAS ? 0 : hc_vector(net, "attn.qkv.bias", 3 * width);
    int first = pick ? width : 0;
    hc_value all = hc_multiply(net, "attn.qkv.", normed, matrix, shift, first, 3 * width - first, (hc_finish){0});
    *row = pick ? hc_pick(net, x) : x;
    if (pick) {
        hc_value again = post ? *row : hc_norm_again(net, normed, *row);
        q = hc_multiply(net, "attn.qkv.", again, matrix, shift, 0, width, (hc_finish){0});
    } else {
        q = hc_columns(net, all, 0, width);
    }
    k = hc_columns(net, all, width - first, width);
    v = hc_columns(net, all, 2 * width - first, width);
    hc_value seen = hc_attend(net, q, k, v, o);
    return c->flags & HC_VIT_INNER_NORMS ? hc_timm_vit_norm(net, c, "attn.norm.", seen) : seen;
}

/* Everything of an MLP but its last matrix. The gates are GEGLU and SwiGLU (Shazeer, 2020). */
static hc_value mlp(hc_network *net, const hc_timm_vit_config *c, hc_value x)
{
    int n = c->mlp_width;
    if (c->flags & HC_VIT_GEGLU) {
        x = hc_norm(net, "mlp.norm.", x, hc_timm_vit_eps(c));
        hc_value gate = hc_linear(net, "mlp.w0.", x, (hc_linear_options){.n = n, .activation = c->activation});
        return hc_times(net, gate, hc_linear(net, "mlp.w1.", x, (hc_linear_options){.n = n}));
    }
    if (c->flags & HC_VIT_SWIGLU) return hc_timm_glu(net, x, n / 2, c->activation);
    if (c->flags & HC_VIT_SPLIT_GLU) return hc_timm_split_glu(net, x, n, c->activation, c->flags & HC_VIT_NO_BIAS);
    x = hc_linear(net, "mlp.fc1.", x, (hc_linear_options){.n = n, .activation = c->activation});
    return c->flags & HC_VIT_INNER_NORMS ? hc_timm_vit_norm(net, c, "mlp.norm.", x) : x;
}

hc_value hc_timm_vit_block(hc_network *net, const hc_timm_vit_config *c, hc_value x, hc_value bias, int pick)
{
    hc_value row, seen = attend(net, c, x, &row, bias, pick);
    x = add(net, c, "attn.proj.", "norm1.", "ls1.gamma", seen, row);
    hc_value normed = c->flags & HC_VIT_POST_NORM ? x : hc_timm_vit_norm(net, c, "norm2.", x);
    return add(net, c, c->flags & HC_VIT_GEGLU ? "mlp.w2." : "mlp.fc2.", "norm2.", "ls2.gamma", mlp(net, c, normed), x);
}

hc_value hc_timm_vit_blocks(hc_network *net, const hc_timm_vit_config *c, const hc_timm *t, hc_value x)
{
    for (int i = 0; i < c->layers; i++) HC_IN(net, "blocks.%d.", i)
    x = hc_timm_vit_block(net, c, x, 0, t->pool == HC_TIMM_TOKEN && i == c->layers - 1);
    return x;
}

/* ---- pooling ------------------------------------------------------------------------------------------------------
 */

void hc_timm_vit_finish(hc_network *net, const hc_timm_vit_config *c, const hc_timm *t, hc_value x)
{
    int prefix = c->registers + (c->flags & HC_VIT_CLASS ? 1 : 0), after = c->flags & HC_VIT_FC_NORM;
    HC_IN(net, "visual.trunk.", 0)
    {
        if (!after && !(c->flags & HC_VIT_NO_NORM)) x = hc_timm_vit_norm(net, c, "norm.", x);
        if (t->pool == HC_TIMM_MAP)
            x = hc_timm_map_pool(net, c->heads, c->mlp_width, c->activation, hc_timm_vit_eps(c), x);
        if (t->pool == HC_TIMM_AVG) x = hc_mean(net, x, prefix);
        if (after && !(c->flags & HC_VIT_NO_NORM)) x = hc_timm_vit_norm(net, c, "fc_norm.", x);
    }
    hc_timm_head(net, t, "head.", x);
}
