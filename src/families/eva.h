/* eva.h: what the towers of timm's class Eva are made of: what their names stand for, their blocks, and the names of
 * their tensors in their authors' own files. */
#ifndef HC_EVA_H
#define HC_EVA_H

#include "checkpoint/names.h"
#include "families/timm.h"

/* What a name stands for beside sizes. */
enum {
    HC_EVA_CLASS_TOKEN = 1 << 0,
    HC_EVA_NO_POSITIONS = 1 << 1, /* no learned ones */
    HC_EVA_PRE_NORM = 1 << 2,     /* a LayerNorm before the blocks, and no bias of the patches */
    HC_EVA_SPLIT_QKV = 1 << 3,    /* q_proj, k_proj and v_proj, of which k_proj has no bias; else one matrix, … */
    HC_EVA_QV_BIAS = 1 << 4,      /* … with q_bias and v_bias */
    HC_EVA_QKV_BIAS = 1 << 5,     /* … with one bias for all */
    HC_EVA_SUB_NORM = 1 << 6,     /* a LayerNorm behind attention, before its projection */
    HC_EVA_GLU = 1 << 7,          /* SwiGLU, of one matrix */
    HC_EVA_SPLIT_GLU = 1 << 8,    /* SwiGLU, of two */
    HC_EVA_MLP_NORM = 1 << 9,     /* a LayerNorm within the MLP, before its second matrix */
    HC_EVA_POST_NORM = 1 << 10,   /* branches are normed before they are added, in place of their inputs */
    HC_EVA_LAYER_SCALE = 1 << 11,
    HC_EVA_ROTARY = 1 << 12,
    HC_EVA_X_FIRST = 1 << 13,         /* rope_grid_indexing 'xy' */
    HC_EVA_FROM_ONE = 1 << 14,        /* rope_grid_offset 1 */
    HC_EVA_COLD = 1 << 15,            /* rope_temperature 100, and not 10000 */
    HC_EVA_EPS_5 = 1 << 16,           /* LayerNorm's eps is 1e-5, and not 1e-6 */
    HC_EVA_MAP = 1 << 17,             /* the pool that the name stands for; … */
    HC_EVA_TOKEN = 1 << 18,           /* … with neither flag avg */
    HC_EVA_NO_FC_NORM = 1 << 19,      /* no LayerNorm after the pooling where that is avg; then there is one before … */
    HC_EVA_NO_NORM = 1 << 20,         /* … unless there is none at all */
    HC_EVA_PATCH_POSITIONS = 1 << 21, /* no_embed_class: the class token and registers are without learned positions */
    HC_EVA_WHOLE_TURNS = 1 << 22,     /* rope_type dinov3, with rope_rotate_half */
    HC_EVA_MIXED = 1 << 23,           /* rope_type mixed: its frequencies are learned */
    HC_EVA_K_BIAS = 1 << 24,          /* with HC_EVA_SPLIT_QKV k_proj has a bias, too */
    HC_EVA_QK_NORM = 1 << 25,         /* queries and keys are normed, head by head */
    HC_EVA_RMS_NORM = 1 << 26,        /* norms are RMSNorms */
    HC_EVA_PLAIN_MLP = 1 << 27,       /* LayerScale of attention alone */
    HC_EVA_PORTRAIT = 1 << 28         /* image_size is the height of pictures three quarters as wide */
};

typedef struct hc_eva_config {
    const char *name; /* timm's; what follows is what it stands for */
    int width, layers, heads, mlp_width, patch_size, image_size, registers;
    int reference;                  /* ref_feat_shape: the grid that rotary positions are stretched to; 0: none */
    int pool_heads, pool_mlp_width; /* of the map pool */
    int align;                      /* swiglu_align_to: what divides mlp_width; or 1 */
    int kv_heads; /* of keys and values, between the first and the last blocks; 0: as many as of queries */
    int flags;
} hc_eva_config;

/* What blocks need to know. */
typedef struct hc_eva_trunk {
    hc_eva_config c;
    float eps;
    int prefix; /* tokens before those of the grid */
    hc_rotary grid;
    hc_value table;           /* of rotary positions */
    hc_tensor_id frequencies; /* of learned ones       */
    int kv_heads[HC_MAX_LAYERS];
} hc_eva_trunk;

/* Whether the tower's name stands for that. */
static inline int hc_eva_has(const hc_eva_config *c, int flag) { return (c->flags & flag) != 0; }

/* A norm of x, left to whoever reads it, or done at once. */
hc_value hc_eva_norm(hc_network *net, const hc_eva_trunk *t, const char *name, hc_value x);
hc_value hc_eva_normed(hc_network *net, const hc_eva_trunk *t, const char *name, hc_value x);

/* A block of x; with `pick` of the first row of each input alone. `layer` is its number. */
hc_value hc_eva_block(hc_network *net, const hc_eva_trunk *t, int layer, hc_value x, int pick);

extern const hc_name_rule HC_EVA_CLIP[], HC_DINO[], HC_DINO_GATED[], HC_SAPIENS[], HC_PERCEPTION_ENCODER[];

#endif
