/* image.c: OpenCLIP's VisionTransformer around its blocks: patches in, one pooled vector (or all tokens) out. */
#include "families/transformer.h"

#include <string.h>

typedef struct patch_job {
    const hc_pass *pass;
    const float *pixels; /* of one picture                      */
    int first;           /* of its patches that are rows now    */
    float *x;            /* where the rows of the picture begin */
} patch_job;

/* Patches as rows of the GEMM with conv1, straight from where their pixels lie in the picture, in the order of conv1's
 * weights. Pixels beyond the last whole patch are not seen, as in a convolution without padding. */
static void put_patches(void *context, int first, int last, int thread)
{
    (void)thread;
    const patch_job *j = context;
    const hc_config *c = j->pass->config;
    size_t across = (size_t)c->image_width, plane = (size_t)c->image_height * across;
    for (int i = first; i < last; i++) {
        int patch = j->first + i, at = 0, top = patch / c->grid_width * c->patch_height,
            left = patch % c->grid_width * c->patch_width;
        for (size_t channel = 0; channel < 3; channel++)
            for (int y = top; y < top + c->patch_height; y++, at += c->patch_width)
                hc_rows_put_part(&j->pass->rows, i, at, j->pixels + channel * plane + (size_t)y * across + (size_t)left,
                                 c->patch_width);
    }
}

/* Positions, and class_embedding in the first row. */
static void put_positions(void *context, int first, int last, int thread)
{
    (void)thread;
    const patch_job *j = context;
    const hc_weights *w = j->pass->weights;
    size_t width = (size_t)j->pass->config->width;
    memcpy(j->x + (size_t)first * width, w->positional_embedding + (size_t)first * width,
           (size_t)(last - first) * width * sizeof(float));
    for (size_t k = 0; !first && k < width; k++) j->x[k] += w->class_embedding[k];
}

/* class_embedding and the patches, plus positions, then ln_pre: [inputs, positions, width]. */
static void embed(hc_pass *pass, const float *pixels)
{
    const hc_config *c = pass->config;
    const hc_weights *w = pass->weights;
    size_t width = (size_t)c->width, patch = 3 * (size_t)c->patch_height * (size_t)c->patch_width;
    for (int i = 0; i < pass->inputs; i++, pixels += 3 * (size_t)c->image_height * (size_t)c->image_width) {
        patch_job job = {pass, pixels, 0, pass->x + (size_t)pass->first[i] * width};
        hc_each(pass->steps, c->positions, 1, width, put_positions, &job);
        for (int count; job.first < c->positions - 1; job.first += count) {
            count = c->positions - 1 - job.first < pass->patches_at_once ? c->positions - 1 - job.first
                                                                         : pass->patches_at_once;
            float *x = job.x + (size_t)(1 + job.first) * width;
            hc_epilogue add = {.residual = x};
            hc_rows_lay(&pass->rows, &w->conv1, count, pass->patch_rows);
            hc_each(pass->steps, count, 1, patch, put_patches, &job);
            hc_each_panel(pass->steps, &w->conv1, &pass->rows, &add, x, width);
        }
    }
    if (c->ln_pre) hc_norm_rows(pass, &w->ln_pre, pass->x, pass->first[pass->inputs], c->width, pass->x);
}

/* The mean of all rows but the first. */
typedef struct mean_job {
    const float *x;
    int rows, n;
    float *out;
} mean_job;

static void mean(void *context, int first, int last, int thread)
{
    (void)thread;
    const mean_job *j = context;
    size_t n = (size_t)j->n;
    for (int k = first; k < last; k++) j->out[k] = 0;
    for (int r = 1; r < j->rows; r++)
        for (int k = first; k < last; k++) j->out[k] += j->x[(size_t)r * n + (size_t)k];
    for (int k = first; k < last; k++) j->out[k] /= (float)(j->rows - 1);
}

/* _global_pool over one sequence: `rows` rows of n to one row, or to all of them. */
static void global_pool(hc_pass *pass, const float *x, int rows, int n, float *out)
{
    mean_job job = {x, rows, n, out};
    if (pass->config->pool == HC_POOL_AVG) hc_each(pass->steps, n, 16, (uint64_t)rows, mean, &job);
    else hc_copy_rows(pass, x, pass->config->pool == HC_POOL_NONE ? rows : 1, n, out);
}

/* _pool of one sequence x [rows, width], which it may overwrite, to out [tokens_out, pooled width]. */
static void pool(hc_pass *pass, float *x, int rows, float *out)
{
    const hc_config *c = pass->config;
    const hc_weights *w = pass->weights;
    int dim = c->embed_dim;
    if (c->attn_pool == HC_ATTN_POOL_YES) {
        int queries = c->pool == HC_POOL_TOK ? 1 : c->attn_pooler_queries;
        hc_pooler_run(pass, &w->attn_pool, queries, x, rows, pass->pools);
        hc_norm_rows(pass, &w->ln_final, pass->pools, queries, dim, pass->pools);
        global_pool(pass, pass->pools, queries, dim, out);
    } else if (c->attn_pool) {
        hc_norm_rows(pass, &w->ln_final, x, rows, c->width, x);
        if (c->attn_pool == HC_ATTN_POOL_CASCADE) {
            hc_pooler_run(pass, &w->attn_pool, c->attn_pooler_queries, x, rows, pass->pools);
            x = pass->pools;
            rows = c->attn_pooler_queries;
        }
        hc_pooler_run(pass, &w->attn_pool_contrastive, 1, x, rows, out);
    } else if (c->final_ln_after_pool) {
        global_pool(pass, x, rows, c->width, out);
        hc_norm_rows(pass, &w->ln_final, out, c->tokens_out, c->width, out);
    } else {
        hc_norm_rows(pass, &w->ln_final, x, rows, c->width, x);
        global_pool(pass, x, rows, c->width, out);
    }
}

void hc_image_run(hc_pass *pass, const float *pixels, int count, float *out)
{
    const hc_config *c = pass->config;
    int class_only = !c->attn_pool && c->pool == HC_POOL_TOK;
    int *class_rows = pass->pooled;
    size_t pooled_width = (size_t)(c->attn_pool ? c->embed_dim : c->width);
    pass->inputs = count;
    pass->hidden = NULL;
    for (int i = 0; i <= count; i++) pass->first[i] = i * c->positions;
    memcpy(class_rows, pass->first, (size_t)count * sizeof(int));
    if (!class_only) pass->pooled = NULL;
    embed(pass, pixels);
    hc_blocks_run(pass);
    for (int i = 0; i < count; i++) {
        int rows = class_only ? 1 : c->positions;
        pool(pass, pass->x + (size_t)i * (size_t)rows * (size_t)c->width, rows,
             pass->tail + (size_t)i * (size_t)c->tokens_out * pooled_width);
    }
    pass->pooled = class_rows;
    hc_project(pass, count * c->tokens_out, out);
}
