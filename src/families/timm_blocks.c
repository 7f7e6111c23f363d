/* timm_blocks.c: timm's VisionTransformer (timm/models/vision_transformer.py), after "An Image is Worth 16x16 Words"
 * (Dosovitskiy et al., 2021), from the first block on. */
#include "families/timm_blocks.h"

/* ---- options ------------------------------------------------------------------------------------------------------
 */

float hc_timm_vit_eps(const hc_timm_vit_config *c) { return c->flags & HC_VIT_EPS_5 ? 1e-5f : 1e-6f; }

hc_value hc_timm_vit_norm(hc_network *net, const hc_timm_vit_config *c, const char *name, hc_value x)
{
    return hc_timm_norm(net, c->flags & HC_VIT_RMS_NORM, name, x, hc_timm_vit_eps(c));
}

static hc_timm_pool own_pool(const hc_timm_vit_config *c)
{
    return c->flags & HC_VIT_AVG ? HC_TIMM_AVG : c->flags & HC_VIT_MAP ? HC_TIMM_MAP : HC_TIMM_TOKEN;
}

/* The pool of the trunk, and where its last norm is. */
static void read_pool(hc_options *o, hc_timm_vit_config *c, hc_timm *t)
{
    int distilled = c->flags & HC_VIT_DISTILLED, with_class = c->flags & HC_VIT_CLASS;
    hc_timm_pool made = hc_timm_made_with(o, t, own_pool(c));
    if (made == HC_TIMM_AVG && !(c->flags & HC_VIT_NO_FC_NORM)) c->flags |= HC_VIT_FC_NORM;
    int attends = t->pool == HC_TIMM_ABS_ATTN || t->pool == HC_TIMM_ROT_ATTN,
        adds_map = t->pool == HC_TIMM_MAP && made != HC_TIMM_MAP, no_token = t->pool == HC_TIMM_TOKEN && !with_class,
        of_both = distilled && t->pool != HC_TIMM_TOKEN;
    if (attends || adds_map || no_token || of_both)
        hc_timm_refuse(o, distilled    ? "timm_pool token or, with timm_proj linear or mlp, ''"
                          : with_class ? "timm_pool token, avg, '' or, with timm_proj none, map"
                                       : "timm_pool avg, '' or, with timm_proj none, map");
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
    int64_t beside = c->flags & HC_VIT_PARALLEL ? 3 * (int64_t)c->width : 0;
    hc_timm_check_sizes(t, c->width, c->heads, c->mlp_width, c->patch_size);
    if (c->width * (c->mlp_width + beside) > HC_MAX_MATRIX)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg: sizes that are more than a tower may have here");
    if (c->flags & HC_VIT_DIFFERENTIAL && c->width / c->heads % 2)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg: heads of %d channels, which differential attention needs 2 to divide",
                c->width / c->heads);
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

hc_value hc_timm_vit_block(hc_network *net, const hc_timm_vit_config *c, int layer, hc_value x, hc_value bias, int pick)
{
    hc_value rows, seen = hc_timm_vit_attend(net, c, layer, "norm1.", x, &rows, bias, pick);
    x = add(net, c, "attn.proj.", "norm1.", "ls1.gamma", seen, rows);
    hc_value normed = c->flags & HC_VIT_POST_NORM ? x : hc_timm_vit_norm(net, c, "norm2.", x);
    return add(net, c, c->flags & HC_VIT_GEGLU ? "mlp.w2." : "mlp.fc2.", "norm2.", "ls2.gamma", mlp(net, c, normed), x);
}

/* ParallelScalingBlock (Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters", 2023): the MLP's
 * hidden layer, queries, keys and values by one matrix. */
static hc_value parallel_block(hc_network *net, const hc_timm_vit_config *c, int layer, hc_value x, int pick)
{
    int width = c->width, n = c->mlp_width, plain = c->flags & HC_VIT_NO_QKV_BIAS;
    hc_value normed = hc_timm_vit_norm(net, c, "in_norm.", x), rows = pick ? hc_some_rows(net, x, 0, pick) : x,
             again = pick ? hc_norm_again(net, normed, rows) : normed;
    hc_tensor_id matrix = hc_weight(net, "in_proj.weight", n + 3 * width, width, (hc_matrix_options){0}),
                 shift = plain ? hc_vector(net, "mlp_bias", n) : hc_vector(net, "in_proj.bias", n + 3 * width),
                 shift_of_heads = plain ? 0 : shift;
    hc_value q = hc_multiply(net, "in_proj.", again, matrix, shift_of_heads, n, width, (hc_finish){0});
    hc_value both = hc_multiply(net, "in_proj.", normed, matrix, shift_of_heads, n + width, 2 * width, (hc_finish){0});
    hc_value hidden =
        hc_multiply(net, "in_proj.", again, matrix, shift, 0, n, (hc_finish){.activation = c->activation});
    hc_value seen =
        hc_timm_vit_look(net, c, layer, q, hc_columns(net, both, 0, width), hc_columns(net, both, width, width), 0);
    hc_tensor_id gamma = c->flags & HC_VIT_LAYER_SCALE ? hc_vector(net, "ls.gamma", width) : 0;
    if (c->flags & HC_VIT_DIFFERENTIAL)
        return hc_multiply(net, "out_proj.", hc_beside(net, seen, hidden),
                           hc_weight(net, "out_proj.weight", width, width + n, (hc_matrix_options){0}),
                           hc_vector(net, "out_proj.bias", width), 0, width, (hc_finish){.gamma = gamma, .add = rows});
    x = hc_multiply(net, "attn_out_proj.", seen,
                    hc_weight(net, "attn_out_proj.weight", width, width, (hc_matrix_options){0}),
                    hc_vector(net, "attn_out_proj.bias", width), 0, width, (hc_finish){.gamma = gamma, .add = rows});
    return hc_multiply(net, "mlp_out_proj.", hidden,
                       hc_weight(net, "mlp_out_proj.weight", width, n, (hc_matrix_options){0}),
                       hc_vector(net, "mlp_out_proj.bias", width), 0, width, (hc_finish){.gamma = gamma, .add = x});
}

/* ParallelThingsBlock (Touvron et al., "Three things everyone should know about Vision Transformers", 2022). */
static hc_value twofold_block(hc_network *net, const hc_timm_vit_config *c, int layer, hc_value x, int pick)
{
    enum { SIDES = 2 };
    hc_value rows, sum = 0;
    for (int i = 0; i < SIDES; i++) HC_IN(net, "attns.%d.", i)
        {
            hc_value seen = hc_timm_vit_attend(net, c, layer, "norm.", x, &rows, 0, pick);
            sum = add(net, c, "attn.proj.", NULL, "ls.gamma", seen, i ? sum : rows);
        }
    x = sum;
    for (int i = 0; i < SIDES; i++) HC_IN(net, "ffns.%d.", i)
        {
            hc_value hidden = mlp(net, c, hc_timm_vit_norm(net, c, "norm.", x));
            sum = add(net, c, "mlp.fc2.", NULL, "ls.gamma", hidden, sum);
        }
    return sum;
}

hc_value hc_timm_vit_blocks(hc_network *net, const hc_timm_vit_config *c, const hc_timm *t, hc_value x)
{
    int looked_at = t->pool != HC_TIMM_TOKEN ? 0 : c->flags & HC_VIT_DISTILLED ? 2 : 1;
    for (int i = 0; i < c->layers; i++) HC_IN(net, "blocks.%d.", i)
        {
            int pick = i == c->layers - 1 ? looked_at : 0;
            if (c->flags & HC_VIT_PARALLEL) x = parallel_block(net, c, i, x, pick);
            else if (c->flags & HC_VIT_TWICE) x = twofold_block(net, c, i, x, pick);
            else x = hc_timm_vit_block(net, c, i, x, 0, pick);
        }
    return x;
}

/* ---- pooling ------------------------------------------------------------------------------------------------------
 */

/* DeiT's two tokens (Touvron et al., 2021): their mean, or that of what a classifier each makes of them. */
static void finish_distilled(hc_network *net, const hc_timm *t, hc_value x)
{
    if (t->proj != HC_TIMM_CLASSIFIER) {
        hc_timm_head(net, t, "", hc_mean(net, x, 0));
        return;
    }
    hc_linear_options o = {.n = t->embed_dim, .keep_half = 1};
    HC_IN(net, "visual.trunk.", 0)
    {
        hc_value second = hc_some_rows(net, x, 1, 1);
        o.add = hc_linear(net, "head.", hc_some_rows(net, x, 0, 1), o);
        x = hc_scaled(net, hc_linear(net, "head_dist.", second, o), 0.5f);
    }
    hc_result(net, x);
}

void hc_timm_vit_finish(hc_network *net, const hc_timm_vit_config *c, const hc_timm *t, hc_value x)
{
    int prefix = c->registers + (c->flags & HC_VIT_CLASS ? 1 : 0), after = c->flags & HC_VIT_FC_NORM;
    HC_IN(net, "visual.trunk.", 0)
    {
        if (!after && !(c->flags & HC_VIT_NO_NORM)) x = hc_timm_vit_norm(net, c, "norm.", x);
        if (t->pool == HC_TIMM_MAP) {
            if (prefix && !(c->flags & HC_VIT_MAP_ALL)) x = hc_some_rows(net, x, prefix, net->values[x].rows - prefix);
            x = hc_timm_map_pool(net, c->heads, c->mlp_width, c->activation, hc_timm_vit_eps(c),
                                 c->flags & HC_VIT_RMS_NORM, x);
        }
        if (t->pool == HC_TIMM_AVG) x = hc_mean(net, x, prefix);
        if (after && !(c->flags & HC_VIT_NO_NORM)) x = hc_timm_vit_norm(net, c, "fc_norm.", x);
    }
    if (c->flags & HC_VIT_DISTILLED) finish_distilled(net, t, x);
    else hc_timm_head(net, t, "head.", x);
}
