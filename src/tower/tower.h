/* tower.h: a tower of OpenCLIP's own transformer classes (VisionTransformer, TextTransformer): its config, its weights,
 * and the list of its tensors. */
#ifndef HC_TOWER_H
#define HC_TOWER_H

#include "halfclip.h"
#include "kernels/kernels.h"
#include "tower/steps.h"
#include "kernels/tensor.h"

typedef enum hc_pool {
    HC_POOL_TOK,
    HC_POOL_AVG,
    HC_POOL_NONE,
    HC_POOL_FIRST,
    HC_POOL_LAST,
    HC_POOL_ARGMAX,
    HC_POOL_EOS
} hc_pool;
typedef enum hc_attn_pool {
    HC_ATTN_POOL_NO,
    HC_ATTN_POOL_YES,
    HC_ATTN_POOL_PARALLEL,
    HC_ATTN_POOL_CASCADE
} hc_attn_pool;
typedef enum hc_proj { HC_PROJ_NONE, HC_PROJ_MATRIX, HC_PROJ_LINEAR } hc_proj; /* LINEAR: nn.Linear with a bias */

/* CLIPVisionCfg or CLIPTextCfg, and what follows from them. */
typedef struct hc_config {
    hc_tower tower;
    int embed_dim;
    int width, layers, heads, head_dim, mlp_width;
    hc_activation activation;
    float eps;
    int layer_scale, qk_norm, scaled_cosine_attn, scale_heads, scale_attn_inner, scale_attn, scale_fc;
    hc_pool pool;
    hc_proj proj;
    int positions;       /* rows of positional_embedding: the longest sequence          */
    int dim, tokens_out; /* of one result                                               */
    /* image */
    int image_height, image_width, patch_height, patch_width, grid_height, grid_width;
    int ln_pre, final_ln_after_pool;
    hc_attn_pool attn_pool;
    int attn_pooler_queries, attn_pooler_heads;
    /* text */
    int context_length, vocab_size, causal, embed_cls, pad_id, eos_id;
} hc_config;

/* Reads the tower's part of a config text (see hc_loader_new). On failure `message` (of at least 512 bytes) says what
 * was found and expected. */
hc_status hc_config_parse(hc_config *config, hc_tower tower, const char *json, size_t length, char *message,
                          size_t message_size);

typedef struct hc_norm {
    float *weight, *bias;
} hc_norm;

/* ResidualAttentionBlock and CustomResidualAttentionBlock. Pointers are NULL where the config has no such part. */
typedef struct hc_block {
    hc_norm ln_1, ln_2, ln_attn, mlp_ln;
    hc_norm ln_q, ln_k, ln_inner;    /* of attn */
    float *logit_scale, *head_scale; /* of attn: [heads] */
    hc_matrix in_proj, out_proj, c_fc, c_proj;
    float *in_proj_bias, *out_proj_bias, *c_fc_bias, *c_proj_bias;
    float *ls_1, *ls_2;
} hc_block;

/* AttentionalPooler: nn.MultiheadAttention with its own width for keys and values, hence three matrices where kdim
 * differs from the width. */
typedef struct hc_attn_pooler {
    float *query; /* [queries, dim] */
    hc_norm ln_q, ln_k;
    hc_matrix in_proj; /* dim == context width: [3 dim, dim]; else n == 0 and the three below */
    hc_matrix q_proj, k_proj, v_proj;
    float *in_proj_bias; /* [3 dim] */
    hc_matrix out_proj;
    float *out_proj_bias;
} hc_attn_pooler;

typedef struct hc_weights {
    /* image */
    hc_matrix conv1;
    float *class_embedding;
    hc_norm ln_pre;
    hc_attn_pooler attn_pool, attn_pool_contrastive;
    /* text */
    hc_table token_embedding;
    float *cls_emb;
    /* both */
    float *positional_embedding; /* [positions, width] */
    hc_block *blocks;            /* [layers], allocated by the caller of hc_tower_tensors */
    hc_norm ln_final;            /* visual.ln_post or ln_final */
    hc_matrix projection;        /* n = dim, k = pooled width */
    float *projection_bias;
} hc_weights;

/* What a tensor of the checkpoint becomes. Shapes are OpenCLIP's. */
typedef enum hc_role {
    HC_ROLE_VECTOR, /* fp32, flat; `slot` is a float ** */
    HC_ROLE_MATRIX, /* [n, k …] row-major in the file, quantised at HC_INT8 and HC_INT4, fp16 at HC_FP16; `slot` is an
                       hc_matrix * */
    HC_ROLE_FILTER, /* like MATRIX, but fp16 where that is quantised: the patch embedding */
    HC_ROLE_PROJECTION, /* like FILTER, but [k, n] in the file: transposed while packing */
    HC_ROLE_TABLE       /* looked up by row; `slot` is an hc_table *       */
} hc_role;

typedef struct hc_tensor {
    char name[96]; /* OpenCLIP's `CLIP` state dict: visual.… for the image tower, no prefix for the text tower */
    hc_role role;
    int rank;
    uint32_t shape[4]; /* as the file has it */
    void *slot;
} hc_tensor;

/* Lists the tower's tensors, in the order of OpenCLIP's state dict, with slots that point into `weights`. Returns how
 * many there are; writes at most `capacity` of them (0 and NULL: only count). */
size_t hc_tower_tensors(const hc_config *config, hc_weights *weights, hc_tensor *tensors, size_t capacity);

/* What one pass takes. */
typedef struct hc_batch {
    int full;   /* inputs of full length: enough rows for the GEMMs, not so many that the arena grows large */
    int inputs; /* inputs in all: the same, and more texts, which may be short                              */
    int threads;
} hc_batch;

/* A call of hc_embed… under way: what is left of it. */
typedef struct hc_run {
    const void *input;
    size_t count;
    float *out;
    int normalize;
    hc_steps steps; /* of the pass under way */
} hc_run;

/* An encoder: one block of packed weights and one arena. Made by hc_loader_finish; the fields are for loader.c, shard.c
 * and encoder.c. */
struct hc_encoder {
    hc_config config;
    hc_dtype dtype;
    hc_dot dot;
    hc_batch batch;
    hc_threads *threads; /* or NULL: one thread               */
    hc_weights weights;
    void *packed; /* all weights, one allocation       */
    size_t packed_bytes;
    void *arena;
    size_t arena_bytes;
    char *config_json;   /* NUL-terminated                    */
    uint8_t *vocabulary; /* or NULL                           */
    size_t vocabulary_bytes;
    uint64_t parameters;
    hc_run run;
};

/* Room for the batch's inputs and for their vectors, within the arena. A run takes them from there and puts them there
 * just as well; what one call is given or gives is overwritten by the next, and pixels by the call that is given them.
 */
void hc_tower_buffers(const hc_encoder *encoder, void **input, float **output);

/* Goes on with encoder->run: as much of it as so many multiplications are. Returns whether anything is left. */
int hc_tower_run(hc_encoder *encoder, uint64_t multiplications);

#endif
