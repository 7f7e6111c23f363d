/* vit_hybrid.c: timm's VisionTransformer behind convolutions (timm/models/vision_transformer_hybrid.py): behind a
 * ResNet, as in "An Image is Worth 16x16 Words" (Dosovitskiy et al., 2021) and "How to train your ViT?" (Steiner et
 * al., 2022), and the image tower of MobileCLIP-B (Vasu et al., "MobileCLIP", 2024), vit_base_mci_224, behind a stem.
 */
#include "families/vit_hybrid.h"
#include "families/family.h"
#include "families/timm_blocks.h"

/* torch's nn.BatchNorm2d's. */
static const float BATCH_NORM_EPS = 1e-5f;

/* Norms are of 32 groups, also within a bottleneck; a stem's first convolutions have an eighth of the channels. */
enum { LEAST_SIDE = 32, MULTIPLE_V2 = 128, MULTIPLE_D = 8, MOST_BLOCKS = 64 };

typedef enum backbone_kind { CONV_STEM, RESNET_V2, RESNET_D } backbone_kind;

typedef struct config {
    hc_timm_vit_config vit;
    backbone_kind backbone;
    hc_resnet resnet;
} config;

#define ROW(name, backbone, stages, b0, b1, b2, b3, ...)                                    \
    {                                                                                       \
        {name, __VA_ARGS__}, backbone, { stages, {b0, b1, b2, b3}, {256, 512, 1024, 2048} } \
    }
static const config SIZES[] = {
#include "families/vit_hybrid_sizes.inc"
};

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* The ResNet's sizes: blocks and channels of as many stages as the name stands for. */
static void read_resnet(config *c, hc_timm *t)
{
    hc_resnet *r = &c->resnet;
    int multiple = c->backbone == RESNET_V2 ? MULTIPLE_V2 : MULTIPLE_D;
    hc_timm_list(t, "layers", r->blocks, r->stages, r->stages, MOST_BLOCKS);
    hc_timm_list(t, "channels", r->channels, r->stages, r->stages, HC_MAX_WIDTH);
    for (int i = 0; i < r->stages; i++)
        if (r->channels[i] % multiple)
            hc_fail(t->args.problem, HC_MODEL_UNSUPPORTED,
                    "vision_cfg.timm_model_args.channels: %d, expected a multiple of %d", r->channels[i], multiple);
    if (t->image_height < LEAST_SIDE || t->image_width < LEAST_SIDE)
        hc_fail(t->args.problem, HC_MODEL_UNSUPPORTED, "vision_cfg.image_size is %d by %d, expected %d or more",
                t->image_height, t->image_width, (int)LEAST_SIDE);
}

static void read(hc_options *o, config *c, hc_timm *t)
{
    static const char *const keys[] = {"embed_dim", "depth", "num_heads", "mlp_ratio", "act_layer", NULL},
                             *const with_stages[] = {"embed_dim", "depth",  "num_heads", "mlp_ratio",
                                                     "act_layer", "layers", "channels",  NULL};
    hc_timm_vit_read(o, &c->vit, c->resnet.stages ? with_stages : keys, t);
    if (c->backbone != CONV_STEM) read_resnet(c, t);
    else if (c->vit.width < 4)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg: a width of %d, expected at least 4", c->vit.width);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

/* ConvStem: three convolutions whose windows do not overlap, BatchNorm behind all but the last. */
static hc_value stem(hc_network *net, int width, hc_value x)
{
    int narrow = width / 4;
    hc_fold_id first = hc_batch_norm(net, "0.bn.", narrow, BATCH_NORM_EPS);
    x = hc_conv(
        net, "0.conv.", x,
        (hc_conv_options){.n = narrow, .kernel = 4, .stride = 4, .fold = first, .keep_half = 1, .activation = HC_GELU});
    hc_fold_id second = hc_batch_norm(net, "1.bn.", narrow, BATCH_NORM_EPS);
    x = hc_conv(net, "1.conv.", x,
                (hc_conv_options){.n = narrow, .kernel = 2, .stride = 2, .fold = second, .activation = HC_GELU});
    return hc_conv(net, "2.conv.", x, (hc_conv_options){.n = width, .kernel = 2, .stride = 2});
}

/* HybridEmbed: what the convolutions make, and patches of that. */
static hc_value embed(hc_network *net, const config *c)
{
    hc_value x = hc_pixels(net);
    HC_IN(net, "patch_embed.backbone.", 0)
    switch (c->backbone) {
    case CONV_STEM: x = stem(net, c->vit.width, x); break;
    case RESNET_V2: x = hc_resnet_v2(net, &c->resnet, x); break;
    case RESNET_D: x = hc_resnet_d(net, &c->resnet, x); break;
    }
    if (c->backbone == CONV_STEM) return x;
    int patch = c->vit.patch_size / (c->resnet.stages ? 2 << c->resnet.stages : 4);
    const hc_value_info *grid = &net->values[x];
    if (grid->height % patch || grid->across % patch)
        hc_fail(net->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.image_size makes a grid of %d by %d, expected multiples of the patch of %d", grid->height,
                grid->across, patch);
    return hc_conv(net, "patch_embed.proj.", x, (hc_conv_options){.n = c->vit.width, .kernel = patch, .stride = patch});
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
        x = hc_prepend(net, embed(net, &c),
                       (hc_prepend_options){.class_embedding = "cls_token",
                                            .positions = "pos_embed",
                                            .positions_of_all = !(c.vit.flags & HC_VIT_PATCH_POSITIONS)});
        x = hc_timm_vit_blocks(net, &c.vit, &t, x);
    }
    hc_timm_vit_finish(net, &c.vit, &t, x);
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* Apple's MobileCLIP-B. */
static const hc_name_rule APPLE[] = {
    HC_RULE("visual.trunk.patch_embed.backbone.#.conv.*", "patch_emb.#.block.conv.*"),
    HC_RULE("visual.trunk.patch_embed.backbone.#.bn.*", "patch_emb.#.block.norm.*"),
    HC_RULE("visual.trunk.cls_token", "cls_token"),
    HC_RULE("visual.trunk.pos_embed", "pos_embed.pos_embed.pos_embed"),
    HC_RULE("visual.trunk.blocks.#.norm1.*", "transformer.#.pre_norm_mha.0.*"),
    HC_RULE("visual.trunk.blocks.#.attn.qkv.*", "transformer.#.pre_norm_mha.1.qkv_proj.*"),
    HC_RULE("visual.trunk.blocks.#.attn.proj.*", "transformer.#.pre_norm_mha.1.out_proj.*"),
    HC_RULE("visual.trunk.blocks.#.norm2.*", "transformer.#.pre_norm_ffn.0.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.fc1.*", "transformer.#.pre_norm_ffn.1.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "transformer.#.pre_norm_ffn.4.*"),
    HC_RULE("visual.trunk.norm.*", "post_transformer_norm.*"),
    HC_LINEAR_RULE("visual.trunk.head.weight", "classifier.proj"),
    HC_ZEROS_RULE("visual.trunk.head.bias"),
    {0}};

#define ANCHORS .anchors = {"visual.trunk.patch_embed.backbone.2.conv.weight", "visual.trunk.patch_embed.proj.weight"}

const hc_family hc_vit_hybrid = {
    "timm's VisionTransformer behind convolutions",
    HC_IMAGE,
    answers,
    build,
    {
        {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS, .unused = {"num_batches_tracked"}},
        {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE, .unused = {"num_batches_tracked"}},
        {ANCHORS, .owned = {"image_encoder."}, .rules = APPLE, .unused = {"num_batches_tracked"},
         .prefix = "image_encoder.model."},
    }};
