/* openclip.h: what OpenCLIP's own transformer classes (VisionTransformer, TextTransformer) share: options and blocks.
 */
#ifndef HC_OPENCLIP_H
#define HC_OPENCLIP_H

#include "checkpoint/options.h"
#include "operations/operations.h"

typedef enum hc_vision_pool { HC_POOL_TOK, HC_POOL_AVG, HC_POOL_NONE } hc_vision_pool;
typedef enum hc_attn_pool {
    HC_ATTN_POOL_NO,
    HC_ATTN_POOL_YES,
    HC_ATTN_POOL_PARALLEL,
    HC_ATTN_POOL_CASCADE
} hc_attn_pool;
typedef enum hc_proj { HC_PROJ_NONE, HC_PROJ_MATRIX, HC_PROJ_LINEAR } hc_proj; /* LINEAR: nn.Linear with a bias */

/* CLIPVisionCfg or CLIPTextCfg, and what follows from them. */
typedef struct hc_openclip_config {
    int embed_dim;
    int width, layers, heads, mlp_width;
    hc_activation activation;
    float eps;
    int layer_scale, qk_norm, scaled_cosine_attn, scale_heads, scale_attn_inner, scale_attn, scale_fc;
    int causal;
    /* image */
    int image_height, image_width, patch_height, patch_width, positions;
    int ln_pre, final_ln_after_pool;
    hc_vision_pool pool;
    hc_attn_pool attn_pool;
    int attn_pooler_queries, attn_pooler_heads;
    /* text */
    hc_text_rows text;
    hc_proj proj;
} hc_openclip_config;

/* embed_dim, which is read already, stays; the rest is set. */
void hc_vision_read(hc_options *o, hc_openclip_config *c);
void hc_text_read(hc_options *o, hc_openclip_config *c);

/* The part that both towers' sections have; the width and the heads are set before. */
void hc_openclip_read_blocks(hc_options *o, hc_openclip_config *c);

/* After everything has been read. */
void hc_openclip_check_sizes(hc_options *o, const hc_openclip_config *c, int positions);

/* The residual attention blocks over x, of such names, which have one %d. With `pick` only the rows that are pooled are
 * computed in the last one, and are its value. */
hc_value hc_openclip_blocks(hc_network *net, const hc_openclip_config *c, const char *names, hc_value x, int pick);

/* embed_dim of the config. */
int hc_embed_dim(hc_options *o);

/* The activation that the config asks for: GELU, or QuickGELU where the model says so. */
hc_activation hc_openclip_activation(hc_options *o);

#endif
