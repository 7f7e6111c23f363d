/* vit_hybrid.c: timm's VisionTransformer behind a stem of convolutions: the image tower of MobileCLIP-B (Vasu et al.,
 * "MobileCLIP", 2024), vit_base_mci_224 (timm/models/vision_transformer_hybrid.py). */
#include "families/family.h"
#include "families/timm_blocks.h"

/* torch's nn.BatchNorm2d's. */
static const float BATCH_NORM_EPS = 1e-5f;

static const hc_timm_vit_config SIZES[] = {
#include "families/vit_hybrid_sizes.inc"
};

static const hc_timm_vit_config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ConvStem: three convolutions whose windows do not overlap, BatchNorm behind all but the last. */
static hc_value stem(hc_network *net, const hc_timm_vit_config *c)
{
    int narrow = c->width / 4;
    hc_value x = hc_pixels(net);
    HC_IN(net, "patch_embed.backbone.", 0)
    {
        hc_fold_id first = hc_batch_norm(net, "0.bn.", narrow, BATCH_NORM_EPS);
        x = hc_conv(net, "0.conv.", x,
                    (hc_conv_options){
                        .n = narrow, .kernel = 4, .stride = 4, .fold = first, .keep_half = 1, .activation = HC_GELU});
        hc_fold_id second = hc_batch_norm(net, "1.bn.", narrow, BATCH_NORM_EPS);
        x = hc_conv(net, "1.conv.", x,
                    (hc_conv_options){.n = narrow, .kernel = 2, .stride = 2, .fold = second, .activation = HC_GELU});
        x = hc_conv(net, "2.conv.", x, (hc_conv_options){.n = c->width, .kernel = 2, .stride = 2});
    }
    return x;
}

static void build(hc_network *net, hc_options *o)
{
    static const char *const keys[] = {"embed_dim", "depth", "num_heads", "mlp_ratio", "act_layer", NULL};
    hc_timm_vit_config c = *find(o);
    hc_timm t;
    hc_timm_vit_read(o, &c, keys, &t);
    if (c.width < 4)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg: a width of %d, expected at least 4", c.width);
    if (o->problem->status != HC_OK) return;
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = hc_prepend(net, stem(net, &c),
                       (hc_prepend_options){.class_embedding = "cls_token", .positions = "pos_embed"});
        x = hc_timm_vit_blocks(net, &c, &t, x);
    }
    hc_timm_vit_finish(net, &c, &t, x);
}

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

#define ANCHORS .anchors = {"visual.trunk.patch_embed.backbone.2.conv.weight"}

const hc_family hc_vit_hybrid = {
    "timm's VisionTransformer behind a stem of convolutions",
    HC_IMAGE,
    answers,
    build,
    {
        {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS, .unused = {"num_batches_tracked"}},
        {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE, .unused = {"num_batches_tracked"}},
        {ANCHORS, .owned = {"image_encoder."}, .rules = APPLE, .unused = {"num_batches_tracked"},
         .prefix = "image_encoder.model."},
    }};
