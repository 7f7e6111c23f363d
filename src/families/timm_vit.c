/* timm_vit.c: timm's VisionTransformer with map pooling (AttentionPoolLatent): the image towers of SigLIP (Zhai et al.,
 * 2023) and SigLIP 2, as OpenCLIP's TimmModel has them, and Hugging Face's SiglipVisionModel. */
#include "families/family.h"
#include "families/timm.h"

static const float EPS = 1e-6f;

typedef struct config {
    const char *name; /* timm's; what follows is what it stands for */
    int width, layers, heads, mlp_width, patch_size, image_size;
    hc_activation activation;
} config;

static const config SIZES[] = {
#include "families/timm_vit_sizes.inc"
};

enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const config *find(const hc_options *o)
{
    for (int i = 0; i < SIZE_COUNT; i++)
        if (hc_timm_is(o, SIZES[i].name)) return &SIZES[i];
    return NULL;
}

static void read(hc_options *o, config *c, hc_timm *t)
{
    static const char *const keys[] = {"embed_dim", "depth", "num_heads", "mlp_ratio", "patch_size", "act_layer", NULL};
    static const char *const activations[] = {"gelu", "gelu_tanh", NULL};
    hc_timm_read(o, c->image_size, keys, t);
    hc_options *args = &t->args;
    double ratio = (double)c->mlp_width / c->width;
    c->width = hc_option_integer(args, "embed_dim", c->width, 1, HC_MAX_WIDTH);
    c->layers = hc_option_integer(args, "depth", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(args, "num_heads", c->heads, 1, HC_MAX_WIDTH);
    c->patch_size = hc_option_integer(args, "patch_size", c->patch_size, 1, HC_MAX_SIDE);
    c->mlp_width = hc_timm_mlp_width(t, c->width, ratio);
    if (hc_option_given(args, "act_layer"))
        c->activation = hc_option_choice(args, "act_layer", activations, "gelu or gelu_tanh") ? HC_GELU_TANH : HC_GELU;
    if (t->pool != HC_TIMM_MAP || t->proj != HC_TIMM_NONE) hc_timm_refuse(o, "timm_pool map and timm_proj none");
    hc_timm_check_sizes(t, c->width, c->heads, c->mlp_width, c->patch_size);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

static hc_value mlp(hc_network *net, const config *c, const char *norm, hc_value x)
{
    hc_value hidden = hc_linear(net, "mlp.fc1.", hc_norm(net, norm, x, EPS),
                                (hc_linear_options){.n = c->mlp_width, .activation = c->activation});
    return hc_linear(net, "mlp.fc2.", hidden, (hc_linear_options){.n = c->width, .add = x});
}

static hc_value block(hc_network *net, const config *c, hc_value x)
{
    int width = c->width;
    hc_value all = hc_linear(net, "attn.qkv.", hc_norm(net, "norm1.", x, EPS), (hc_linear_options){.n = 3 * width});
    hc_value seen = hc_attend(net, hc_columns(net, all, 0, width), hc_columns(net, all, width, width),
                              hc_columns(net, all, 2 * width, width), (hc_attention_options){.heads = c->heads});
    x = hc_linear(net, "attn.proj.", seen, (hc_linear_options){.n = width, .add = x});
    return mlp(net, c, "norm2.", x);
}

/* AttentionPoolLatent: one learned query looks at all patches. */
static hc_value map_pool(hc_network *net, const config *c, hc_value x)
{
    int width = c->width;
    hc_value query = hc_linear(net, "q.", hc_parameter(net, "latent", 3, 1, 1, width), (hc_linear_options){.n = width});
    hc_value all = hc_linear(net, "kv.", x, (hc_linear_options){.n = 2 * width});
    hc_value seen = hc_attend(net, query, hc_columns(net, all, 0, width), hc_columns(net, all, width, width),
                              (hc_attention_options){.heads = c->heads});
    return mlp(net, c, "norm.", hc_linear(net, "proj.", seen, (hc_linear_options){.n = width}));
}

static void build(hc_network *net, hc_options *o)
{
    config c = *find(o);
    hc_timm t;
    read(o, &c, &t);
    if (o->problem->status != HC_OK) return;
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = hc_patches(net, "patch_embed.proj.",
                       (hc_patches_options){.width = c.width,
                                            .patch_height = c.patch_size,
                                            .patch_width = c.patch_size,
                                            .positions = "pos_embed",
                                            .positions_rank = 3,
                                            .bias = 1});
        for (int i = 0; i < c.layers; i++) HC_IN(net, "blocks.%d.", i) x = block(net, &c, x);
        x = hc_norm(net, "norm.", x, EPS);
        HC_IN(net, "attn_pool.", 0) x = map_pool(net, &c, x);
    }
    hc_timm_head(net, &t, "head.", x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static const hc_name_rule AS_IS[] = {HC_RULE("visual.trunk.*", "visual.trunk.*"), {0}},
                          BARE[] = {HC_RULE("visual.trunk.*", "*"), {0}};

/* Hugging Face's SiglipVisionModel and Siglip2's; the pool's queries, keys and values are one tensor there. */
static const hc_name_rule HUGGING_FACE[] = {
    HC_RULE("visual.trunk.patch_embed.proj.*", "embeddings.patch_embedding.*"),
    HC_RULE("visual.trunk.pos_embed", "embeddings.position_embedding.weight"),
    HC_RULE("visual.trunk.blocks.#.norm1.*", "encoder.layers.#.layer_norm1.*"),
    HC_RULE("visual.trunk.blocks.#.norm2.*", "encoder.layers.#.layer_norm2.*"),
    HC_RULE("visual.trunk.blocks.#.attn.qkv.*", "encoder.layers.#.self_attn.@_proj.*"),
    HC_RULE("visual.trunk.blocks.#.attn.proj.*", "encoder.layers.#.self_attn.out_proj.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.*", "encoder.layers.#.mlp.*"),
    HC_RULE("visual.trunk.norm.*", "post_layernorm.*"),
    HC_RULE("visual.trunk.attn_pool.latent", "head.probe"),
    HC_PART_RULE("visual.trunk.attn_pool.q.*", "head.attention.in_proj_*", 0, 1, 3),
    HC_PART_RULE("visual.trunk.attn_pool.kv.*", "head.attention.in_proj_*", 1, 2, 3),
    HC_RULE("visual.trunk.attn_pool.proj.*", "head.attention.out_proj.*"),
    HC_RULE("visual.trunk.attn_pool.norm.*", "head.layernorm.*"),
    HC_RULE("visual.trunk.attn_pool.mlp.*", "head.mlp.*"),
    {0}};

#define ANCHORS .anchors = {"visual.trunk.attn_pool.latent", "visual.trunk.patch_embed.proj.weight"}

const hc_family hc_timm_vit = {
    "timm's VisionTransformer with map pooling",
    HC_IMAGE,
    answers,
    build,
    {
        /* OpenCLIP's. */
        {ANCHORS, .owned = {"visual."}, .rules = AS_IS},
        /* timm's own checkpoint. */
        {ANCHORS, .owned = {""}, .rules = BARE},
        /* SiglipModel, and SiglipVisionModel until transformers 5; then SiglipVisionModel since. */
        {ANCHORS, .owned = {"vision_model."}, .rules = HUGGING_FACE, .prefix = "vision_model."},
        {ANCHORS, .owned = {"embeddings.", "encoder.", "head.", "post_layernorm."}, .rules = HUGGING_FACE},
    }};
