/* vit_relpos.c: timm's VisionTransformerRelPos (timm/models/vision_transformer_relpos.py): a VisionTransformer without
 * positions, whose attention has a bias that an MLP makes of the distance between query and key (Liu et al., "Swin
 * Transformer V2", 2022). */
#include "families/family.h"
#include "families/timm_blocks.h"

typedef struct config {
    const char *name;
    int hidden, shared; /* of the MLP: its width, and whether all blocks have the same */
    hc_timm_vit_config vit;
} config;

static const config SIZES[] = {
#include "families/vit_relpos_sizes.inc"
};

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* RelPosMlp. */
static hc_value relative_bias(hc_network *net, const config *c, hc_value coordinates, int rows, int columns)
{
    hc_value hidden = hc_linear(net, "mlp.fc1.", coordinates,
                                (hc_linear_options){.n = c->hidden, .keep_half = 1, .activation = HC_RELU});
    hc_value table = hc_linear(net, "mlp.fc2.", hidden, (hc_linear_options){.n = c->vit.heads, .keep_half = 1});
    return hc_relative_bias(net, table, rows, columns, c->vit.flags & HC_VIT_CLASS ? 1 : 0);
}

static hc_value blocks(hc_network *net, const config *c, const hc_timm *t, hc_value x)
{
    int rows = t->image_height / c->vit.patch_size, columns = t->image_width / c->vit.patch_size;
    hc_value coordinates = hc_relative_coordinates(net, rows, columns), bias = 0;
    if (c->shared) HC_IN(net, "shared_rel_pos.", 0) bias = relative_bias(net, c, coordinates, rows, columns);
    for (int i = 0; i < c->vit.layers; i++) HC_IN(net, "blocks.%d.", i)
        {
            if (!c->shared) HC_IN(net, "attn.rel_pos.", 0) bias = relative_bias(net, c, coordinates, rows, columns);
            x = hc_timm_vit_block(net, &c->vit, i, x, bias, t->pool == HC_TIMM_TOKEN && i == c->vit.layers - 1);
        }
    return x;
}

static void build(hc_network *net, hc_options *o)
{
    static const char *const keys[] = {"embed_dim",  "depth",     "num_heads",   "mlp_ratio",
                                       "patch_size", "act_layer", "rel_pos_dim", NULL};
    config c = *find(o);
    hc_timm t;
    hc_timm_vit_read(o, &c.vit, keys, &t);
    c.hidden = hc_option_integer(&t.args, "rel_pos_dim", c.hidden, 1, HC_MAX_WIDTH);
    if (t.pool == HC_TIMM_MAP) hc_timm_refuse(o, "timm_pool token, avg or ''");
    if (o->problem->status != HC_OK) return;
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = hc_patches(net, "patch_embed.proj.",
                       (hc_patches_options){.width = c.vit.width,
                                            .patch_height = c.vit.patch_size,
                                            .patch_width = c.vit.patch_size,
                                            .class_embedding = c.vit.flags & HC_VIT_CLASS ? "cls_token" : NULL,
                                            .rank = 3,
                                            .bias = 1});
        x = blocks(net, &c, &t, x);
    }
    hc_timm_vit_finish(net, &c.vit, &t, x);
}

#define ANCHORS \
    .anchors = {"visual.trunk.blocks.0.attn.rel_pos.mlp.fc1.weight", "visual.trunk.shared_rel_pos.mlp.fc1.weight"}

const hc_family hc_vit_relpos = {"timm's VisionTransformerRelPos",
                                 HC_IMAGE,
                                 answers,
                                 build,
                                 {
                                     {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS},
                                     {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE},
                                 }};
