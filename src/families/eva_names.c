/* eva_names.c: what the authors of the towers of timm's class Eva call their tensors, as timm's checkpoint_filter_fn
 * reads it. */
#include "families/eva.h"

/* EVA-CLIP's own files: what is not named here they name as timm does. */
const hc_name_rule HC_EVA_CLIP[] = {HC_RULE("visual.trunk.blocks.#.attn.q_proj.bias", "blocks.#.attn.q_bias"),
                                    HC_RULE("visual.trunk.blocks.#.attn.v_proj.bias", "blocks.#.attn.v_bias"),
                                    HC_RULE("visual.trunk.blocks.#.attn.norm.*", "blocks.#.attn.inner_attn_ln.*"),
                                    HC_RULE("visual.trunk.blocks.#.mlp.fc1_g.*", "blocks.#.mlp.w1.*"),
                                    HC_RULE("visual.trunk.blocks.#.mlp.fc1_x.*", "blocks.#.mlp.w2.*"),
                                    HC_RULE("visual.trunk.blocks.#.mlp.norm.*", "blocks.#.mlp.ffn_ln.*"),
                                    HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "blocks.#.mlp.w3.*"),
                                    HC_RULE("visual.trunk.*", "*"),
                                    {0}};

/* Meta's own files of DINOv3, of which some have biases of keys, zeros; with a gate or without. */
#define DINO_RULES                                                                            \
    HC_RULE("visual.trunk.reg_token", "storage_tokens"),                                      \
        HC_RULE("visual.trunk.blocks.#.gamma_1", "blocks.#.ls1.gamma"),                       \
        HC_RULE("visual.trunk.blocks.#.gamma_2", "blocks.#.ls2.gamma"),                       \
        HC_PART_RULE("visual.trunk.blocks.#.attn.q_bias", "blocks.#.attn.qkv.bias", 0, 1, 3), \
        HC_PART_RULE("visual.trunk.blocks.#.attn.v_bias", "blocks.#.attn.qkv.bias", 2, 1, 3)
const hc_name_rule HC_DINO[] = {DINO_RULES, HC_RULE("visual.trunk.*", "*"), {0}};
const hc_name_rule HC_DINO_GATED[] = {DINO_RULES,
                                      HC_RULE("visual.trunk.blocks.#.mlp.fc1_g.*", "blocks.#.mlp.w1.*"),
                                      HC_RULE("visual.trunk.blocks.#.mlp.fc1_x.*", "blocks.#.mlp.w2.*"),
                                      HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "blocks.#.mlp.w3.*"),
                                      HC_RULE("visual.trunk.*", "*"),
                                      {0}};

/* Meta's own files of Sapiens2. */
const hc_name_rule HC_SAPIENS[] = {HC_RULE("visual.trunk.reg_token", "storage_tokens"),
                                   HC_RULE("visual.trunk.patch_embed.proj.*", "patch_embed.projection.*"),
                                   HC_RULE("visual.trunk.blocks.#.attn.q_proj.*", "blocks.#.attn.wq.*"),
                                   HC_RULE("visual.trunk.blocks.#.attn.k_proj.*", "blocks.#.attn.wk.*"),
                                   HC_RULE("visual.trunk.blocks.#.attn.v_proj.*", "blocks.#.attn.wv.*"),
                                   HC_RULE("visual.trunk.blocks.#.gamma_1", "blocks.#.attn.gamma.weight"),
                                   HC_RULE("visual.trunk.blocks.#.norm1.*", "blocks.#.ln1.*"),
                                   HC_RULE("visual.trunk.blocks.#.norm2.*", "blocks.#.ln2.*"),
                                   HC_RULE("visual.trunk.blocks.#.mlp.fc1.*", "blocks.#.ffn.w12.*"),
                                   HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "blocks.#.ffn.w3.*"),
                                   HC_RULE("visual.trunk.norm.*", "ln1.*"),
                                   HC_RULE("visual.trunk.*", "*"),
                                   {0}};

/* Meta's own files of the Perception Encoder, whose projection has no bias. */
const hc_name_rule HC_PERCEPTION_ENCODER[] = {
    HC_RULE("visual.trunk.patch_embed.proj.*", "conv1.*"),
    HC_RULE("visual.trunk.pos_embed", "positional_embedding"),
    HC_RULE("visual.trunk.cls_token", "class_embedding"),
    HC_RULE("visual.trunk.norm_pre.*", "ln_pre.*"),
    HC_RULE("visual.trunk.norm.*", "ln_post.*"),
    HC_RULE("visual.trunk.blocks.#.norm1.*", "transformer.resblocks.#.ln_1.*"),
    HC_RULE("visual.trunk.blocks.#.norm2.*", "transformer.resblocks.#.ln_2.*"),
    HC_RULE("visual.trunk.blocks.#.gamma_1", "transformer.resblocks.#.ls_1.gamma"),
    HC_RULE("visual.trunk.blocks.#.gamma_2", "transformer.resblocks.#.ls_2.gamma"),
    HC_RULE("visual.trunk.blocks.#.attn.qkv.*", "transformer.resblocks.#.attn.in_proj_*"),
    HC_RULE("visual.trunk.blocks.#.attn.proj.*", "transformer.resblocks.#.attn.out_proj.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.fc1.*", "transformer.resblocks.#.mlp.c_fc.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "transformer.resblocks.#.mlp.c_proj.*"),
    HC_RULE("visual.trunk.attn_pool.latent", "attn_pool.probe"),
    HC_PART_RULE("visual.trunk.attn_pool.q.*", "attn_pool.attn.in_proj_*", 0, 1, 3),
    HC_PART_RULE("visual.trunk.attn_pool.kv.*", "attn_pool.attn.in_proj_*", 1, 2, 3),
    HC_RULE("visual.trunk.attn_pool.proj.*", "attn_pool.attn.out_proj.*"),
    HC_RULE("visual.trunk.attn_pool.norm.*", "attn_pool.layernorm.*"),
    HC_RULE("visual.trunk.attn_pool.mlp.fc1.*", "attn_pool.mlp.c_fc.*"),
    HC_RULE("visual.trunk.attn_pool.mlp.fc2.*", "attn_pool.mlp.c_proj.*"),
    HC_LINEAR_RULE("visual.trunk.head.weight", "proj"),
    HC_ZEROS_RULE("visual.trunk.head.bias"),
    {0}};
