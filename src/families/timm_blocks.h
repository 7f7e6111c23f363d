/* timm_blocks.h: what the towers of timm's class VisionTransformer share, whatever comes before the blocks: their
 * sizes and options, the blocks, the pooling and the norm around it. */
#ifndef HC_TIMM_BLOCKS_H
#define HC_TIMM_BLOCKS_H

#include "families/timm.h"

/* What a name stands for beside sizes. */
enum {
    HC_VIT_CLASS = 1 << 0,           /* a class token                                                     */
    HC_VIT_PATCH_POSITIONS = 1 << 1, /* no_embed_class: class token and registers are without positions   */
    HC_VIT_PRE_NORM = 1 << 2,        /* a LayerNorm before the blocks, and no bias of the patches         */
    HC_VIT_NO_QKV_BIAS = 1 << 3,
    HC_VIT_LAYER_SCALE = 1 << 4, /* init_values                                                       */
    HC_VIT_POST_NORM = 1 << 5,   /* branches are normed before they are added, in place of their inputs */
    HC_VIT_FC_NORM = 1 << 6,     /* the last LayerNorm is after the pooling                           */
    HC_VIT_NO_FC_NORM = 1 << 7,  /* it is before; with neither flag after it where the pool is avg    */
    HC_VIT_NO_NORM = 1 << 8,     /* there is none                                                     */
    HC_VIT_AVG = 1 << 9,         /* the pool that the name stands for; with neither flag token        */
    HC_VIT_MAP = 1 << 10,
    HC_VIT_NO_POSITIONS = 1 << 11,
    HC_VIT_GEGLU = 1 << 12,        /* the MLP is gated, with a norm of its own: mlp.norm, w0, w1, w2 */
    HC_VIT_SWIGLU = 1 << 13,       /* it is gated: the first half of mlp.fc1 gates the second */
    HC_VIT_EPS_5 = 1 << 14,        /* LayerNorm's eps is 1e-5, and not 1e-6                             */
    HC_VIT_RMS_NORM = 1 << 15,     /* norms are RMSNorms                                             */
    HC_VIT_EMBED_NORM = 1 << 16,   /* patches are normed before positions are added                  */
    HC_VIT_NO_BIAS = 1 << 17,      /* the blocks' matrices have none                                 */
    HC_VIT_SPLIT_GLU = 1 << 18,    /* the MLP is gated, by a matrix of its own                       */
    HC_VIT_INNER_NORMS = 1 << 19,  /* attention's results, and the MLP's hidden layer, are normed    */
    HC_VIT_DISTILLED = 1 << 20,    /* a second class token (DeiT), and a classifier of its own       */
    HC_VIT_MAP_ALL = 1 << 21,      /* a map pool looks at registers, too                             */
    HC_VIT_QK_NORM = 1 << 22,      /* queries and keys are normed, head by head                      */
    HC_VIT_DIFFERENTIAL = 1 << 23, /* attention is a difference of two                               */
    HC_VIT_PARALLEL = 1 << 24,     /* attention and MLP side by side, behind one norm and one matrix */
    HC_VIT_TWICE = 1 << 25         /* two attentions side by side, and then two MLPs                 */
};

typedef struct hc_timm_vit_config {
    const char *name; /* timm's, where a row says no more than this; what follows is what it stands for */
    int width, layers, heads, mlp_width, patch_size, image_size;
    hc_activation activation;
    int registers, flags;
} hc_timm_vit_config;

/* Reads the section; `keys` are the arguments of timm's that the family computes. */
void hc_timm_vit_read(hc_options *o, hc_timm_vit_config *c, const char *const *keys, hc_timm *t);

float hc_timm_vit_eps(const hc_timm_vit_config *c);

/* A norm of x, left to whoever reads it. */
hc_value hc_timm_vit_norm(hc_network *net, const hc_timm_vit_config *c, const char *name, hc_value x);

/* Attention of x up to its last matrix, behind the norm of this name; `layer` is the block's number. With `pick` of the
 * first `pick` rows of each input alone: *rows are what they are of x, else x. `bias` is hc_attend's. */
hc_value hc_timm_vit_attend(hc_network *net, const hc_timm_vit_config *c, int layer, const char *norm, hc_value x,
                            hc_value *rows, hc_value bias, int pick);

/* The same of queries, keys and values, under the prefix of their norms and factors. */
hc_value hc_timm_vit_look(hc_network *net, const hc_timm_vit_config *c, int layer, hc_value q, hc_value k, hc_value v,
                          hc_value bias);

/* A plain block of x; only the first `pick` rows of each input where that is not 0. `bias` is hc_attend's. */
hc_value hc_timm_vit_block(hc_network *net, const hc_timm_vit_config *c, int layer, hc_value x, hc_value bias,
                           int pick);

/* All blocks, without a bias; only the first row of each input in the last one, where no other is looked at. */
hc_value hc_timm_vit_blocks(hc_network *net, const hc_timm_vit_config *c, const hc_timm *t, hc_value x);

/* From what the last block makes to the result. */
void hc_timm_vit_finish(hc_network *net, const hc_timm_vit_config *c, const hc_timm *t, hc_value x);

#endif
