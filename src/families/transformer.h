/* transformer.h: what image.c and text.c share: one pass's buffers, and the layers over them. */
#ifndef HC_TRANSFORMER_H
#define HC_TRANSFORMER_H

#include "tower/steps.h"
#include "tower/tower.h"

/* One pass: its buffers, carved out of the arena, and what is in them. A pass holds several inputs whose token rows
 * follow each other without padding. */
typedef struct hc_pass {
    const hc_config *config;
    const hc_weights *weights;
    hc_steps *steps;
    int exact;       /* int8 and int4 promise the same bits everywhere                   */
    int inputs;      /* sequences in this pass                                           */
    void *input;     /* pixels or ids of as many inputs as the batch has, for callers that want to put them there:
                        overwritten by the pass, pixels at least */
    int *first;      /* [inputs + 1] first row of each sequence; the last is the row count */
    int *pooled;     /* [inputs] the one row that pooling takes, or NULL: it takes them all */
    uint8_t *hidden; /* [rows] keys that no query may see, or NULL                       */
    float *x;        /* [rows, width] the residual stream                                */
    float *qkv;      /* [rows, 3 width]                                                  */
    float *heads;    /* [rows, width] attention's output                                 */
    float *mlp;      /* [rows, mlp_width]                                                */
    float *branch;   /* [rows, width] scale_attn only: a branch before its LayerNorm     */
    float *tail;     /* [outputs, max(width, dim)] pooled rows                           */
    float *output;   /* [outputs, dim] for callers that want them there                   */
    float *query, *context, *attended,
        *pools;           /* attentional pooling only: [queries, 3 dim], [positions, 3 dim], [queries, dim] twice */
    float *row, *scratch; /* one row, and memory for hc_attention_head: of each thread        */
    size_t row_size, scratch_size; /* of one thread, in floats                                 */
    hc_rows rows;                  /* the left side of the GEMM under way                              */
    int patches_at_once;           /* that patch_rows has room for                                     */
    void *patch_rows, *norm_rows, *head_rows, *mlp_rows, *tail_rows; /* its values, by what they are */
} hc_pass;

/* Lays the buffers of a pass into `arena`, aligned to HC_ALIGN (NULL: only measures). Returns the bytes used, which may
 * be more than there can be. */
uint64_t hc_pass_plan(hc_pass *pass, const hc_config *config, hc_dtype dtype, hc_batch batch, void *arena);

/* The batch that computes fast, or as much of it as leaves the arena in proportion to `weights` bytes of weights. */
hc_batch hc_pass_batch(const hc_config *config, hc_dtype dtype, int threads, uint64_t weights);

/* What follows is made of steps (steps.h), and so is whatever calls it. */

/* out [m, w->n] = a [m, w->k] · wᵀ, with the epilogue; quantises `a` first where w is int8 or int4. `values` is one of
 * the pass's *_rows, large enough. */
void hc_linear(hc_pass *pass, const hc_matrix *w, const float *a, int m, void *values, const hc_epilogue *epilogue,
               float *out, size_t out_stride);

/* All blocks over pass->x. Where pass->pooled is set, only those rows are computed in the last block, and they end as
 * rows 0 … inputs - 1. */
void hc_blocks_run(hc_pass *pass);

/* AttentionalPooler: `queries` of the pooler's queries look at `context` [rows, its width]; out [queries, dim]. */
void hc_pooler_run(hc_pass *pass, const hc_attn_pooler *pooler, int queries, const float *context, int rows,
                   float *out);

/* LayerNorm of `rows` rows of n floats that follow each other, with the tower's eps. */
void hc_norm_rows(const hc_pass *pass, const hc_norm *norm, const float *x, int rows, int n, float *out);

/* `rows` rows of n floats to another place. */
void hc_copy_rows(hc_pass *pass, const float *from, int rows, int n, float *to);

/* Rows of the final projection: pass->tail [rows, width in] to out [rows, dim]. */
void hc_project(hc_pass *pass, int rows, float *out);

/* One pass of each tower over `count` inputs, at most as many as the arena was planned for; out [count, tokens_out,
 * dim]. hc_text_run returns how many texts it took: they are packed by their own lengths, so that short ones go
 * together. */
void hc_image_run(hc_pass *pass, const float *pixels, int count, float *out);
int hc_text_run(hc_pass *pass, const int32_t *ids, int count, int row_limit, float *out);

#endif
