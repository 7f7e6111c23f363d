/* timm_vit.c: timm's VisionTransformer over patches: the image towers of SigLIP (Zhai et al., 2023) and SigLIP 2, also
 * as Hugging Face's SiglipVisionModel, CLIP's, DeiT's, DINOv2's (Oquab et al., 2023), AIMv2's (Fini et al., 2024),
 * BEiT-3's (Wang et al., 2022) and others of the same class. */
#include "families/family.h"
#include "families/timm_blocks.h"

static const hc_timm_vit_config SIZES[] = {
#include "families/timm_vit_sizes.inc"
};

static const hc_timm_vit_config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

/* PatchEmbed, the tokens before the patches, and positions. */
static hc_value embed(hc_network *net, const hc_timm_vit_config *c)
{
    int has_class = c->flags & HC_VIT_CLASS, patches_only = c->flags & HC_VIT_PATCH_POSITIONS,
        distilled = c->flags & HC_VIT_DISTILLED,
        apart = c->registers || distilled || (has_class && patches_only) || c->flags & HC_VIT_EMBED_NORM;
    hc_patches_options patches = {.width = c->width,
                                  .patch_height = c->patch_size,
                                  .patch_width = c->patch_size,
                                  .rank = 3,
                                  .bias = !(c->flags & HC_VIT_PRE_NORM)};
    if (!apart) {
        patches.class_embedding = has_class ? "cls_token" : NULL;
        patches.positions = "pos_embed";
        return hc_patches(net, "patch_embed.proj.", patches);
    }
    hc_value x = hc_patches(net, "patch_embed.proj.", patches);
    if (c->flags & HC_VIT_EMBED_NORM) x = hc_timm_vit_norm(net, c, "patch_embed.norm.", x);
    return hc_prepend(net, x,
                      (hc_prepend_options){.class_embedding = has_class ? "cls_token" : NULL,
                                           .registers = distilled      ? "dist_token"
                                                        : c->registers ? "reg_token"
                                                                       : NULL,
                                           .register_count = distilled ? 1 : c->registers,
                                           .positions = "pos_embed",
                                           .positions_of_all = !patches_only});
}

static void build(hc_network *net, hc_options *o)
{
    static const char *const keys[] = {"embed_dim", "depth", "num_heads", "mlp_ratio", "patch_size", "act_layer", NULL};
    hc_timm_vit_config c = *find(o);
    hc_timm t;
    hc_timm_vit_read(o, &c, keys, &t);
    if (o->problem->status != HC_OK) return;
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = embed(net, &c);
        if (c.flags & HC_VIT_PRE_NORM)
            x = hc_timm_normed(net, c.flags & HC_VIT_RMS_NORM, "norm_pre.", x, hc_timm_vit_eps(&c));
        x = hc_timm_vit_blocks(net, &c, &t, x);
    }
    hc_timm_vit_finish(net, &c, &t, x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

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
    "timm's VisionTransformer",
    HC_IMAGE,
    answers,
    build,
    {
        /* OpenCLIP's. */
        {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS},
        /* timm's own checkpoint. */
        {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE},
        /* SiglipModel, and SiglipVisionModel until transformers 5; then SiglipVisionModel since. */
        {ANCHORS, .owned = {"vision_model."}, .rules = HUGGING_FACE, .prefix = "vision_model."},
        {ANCHORS, .owned = {"embeddings.", "encoder.", "head.", "post_layernorm."}, .rules = HUGGING_FACE},
    }};
