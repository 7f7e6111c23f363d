/* transformer.c: the residual attention blocks of OpenCLIP (ResidualAttentionBlock, CustomResidualAttentionBlock) and its AttentionalPooler,
 * after "Learning Transferable Visual Models From Natural Language Supervision" (Radford et al., 2021) and open_clip/transformer.py. */
#include "transformer.h"

#include <math.h>
#include <string.h>

/* AttentionalPooler is made with torch's default eps whatever norm_kwargs says. */
static const float POOLER_EPS = 1e-5f;

enum { ROWS_A_CHUNK = 4 };       /* of loops over rows: enough work to be worth taking */

void hc_tower_run(const hc_encoder *encoder, const void *input, int count, float *out)
{
    const hc_config *config = &encoder->config;
    hc_pass pass;
    int batch = hc_tower_batch(config);
    size_t result = (size_t)config->tokens_out * (size_t)config->dim;
    hc_pass_plan(&pass, config, encoder->dtype, hc_threads_count(encoder->threads), encoder->arena);
    pass.weights = &encoder->weights;
    pass.threads = encoder->threads;
    pass.rows.dot = encoder->dot;
    pass.rows.exact = pass.exact;
    if (config->tower == HC_IMAGE) {
        size_t picture = 3 * (size_t)config->image_height * (size_t)config->image_width;
        const float *pixels = input;
        for (int taken; count; count -= taken, pixels += (size_t)taken * picture, out += (size_t)taken * result) {
            taken = count < batch ? count : batch;
            hc_image_run(&pass, pixels, taken, out);
        }
    } else {
        const int32_t *ids = input;
        for (int taken; count; count -= taken, ids += taken * config->context_length, out += (size_t)taken * result) {
            int limit = config->tokens_out > 1 ? batch : hc_tower_inputs(config);
            taken = hc_text_run(&pass, ids, count < limit ? count : limit, batch * config->positions, out);
        }
    }
}

void hc_tower_buffers(const hc_encoder *encoder, void **input, float **output)
{
    hc_pass pass;
    hc_pass_plan(&pass, &encoder->config, encoder->dtype, hc_threads_count(encoder->threads), encoder->arena);
    *input = pass.input;
    *output = pass.output;
}

/* ---- rows ---- */

/* Rows on their way into a GEMM, or in place. */
typedef struct row_job {
    const hc_pass *pass;
    const hc_norm *norm;       /* or NULL */
    float eps;
    const float *x;
    int n;
    float *out;                /* NULL: into pass->rows */
} row_job;

static void do_rows(void *context, int first, int last, int thread)
{
    const row_job *j = context;
    float *row = j->pass->row + (size_t)thread * j->pass->row_size;
    for (int r = first; r < last; r++) {
        const float *x = j->x + (size_t)r * (size_t)j->n;
        float *to = j->out ? j->out + (size_t)r * (size_t)j->n : row;
        if (j->norm) {
            hc_layer_norm(x, j->n, j->norm->weight, j->norm->bias, j->eps, to);
            x = to;
        }
        if (!j->out) hc_rows_put(&j->pass->rows, r, x);
    }
}

void hc_norm_rows(const hc_pass *pass, const hc_norm *norm, const float *x, int rows, int n, float *out)
{
    row_job job = {pass, norm, pass->config->eps, x, n, out};
    hc_parallel_for(pass->threads, rows, ROWS_A_CHUNK, do_rows, &job);
}

/* pass->rows are m rows of a, or of LayerNorm(a), for a GEMM with w. */
static void put_rows(hc_pass *pass, const hc_norm *norm, float eps, const hc_matrix *w, const float *a, int m, void *values)
{
    row_job job = {pass, norm, eps, a, w->k, NULL};
    hc_rows_lay(&pass->rows, w, m, values);
    hc_parallel_for(pass->threads, m, ROWS_A_CHUNK, do_rows, &job);
}

void hc_linear(hc_pass *pass, const hc_matrix *w, const float *a, int m, void *values, const hc_epilogue *epilogue, float *out, size_t out_stride)
{
    put_rows(pass, NULL, 0, w, a, m, values);
    hc_gemm(pass->threads, w, &pass->rows, epilogue, out, out_stride);
}

/* ---- blocks ---- */

/* x += gamma * y, gamma NULL for 1. */
static void add_scaled(float *x, const float *y, const float *gamma, int rows, int n)
{
    for (int r = 0; r < rows; r++, x += n, y += n)
        for (int i = 0; i < n; i++)
            x[i] += gamma ? gamma[i] * y[i] : y[i];
}

/* Query or key rows of all heads, in place: LayerNorm a head (qk_norm), or unit length (scaled_cosine_attn). */
static void prepare_heads(const hc_pass *pass, const hc_norm *norm, float *rows, size_t stride, int count)
{
    const hc_config *c = pass->config;
    if (!c->qk_norm && !c->scaled_cosine_attn)
        return;
    for (int r = 0; r < count; r++, rows += stride)
        for (int head = 0; head < c->heads; head++) {
            float *at = rows + (size_t)head * (size_t)c->head_dim;
            if (c->qk_norm) hc_layer_norm(at, c->head_dim, norm->weight, norm->bias, c->eps, at);
            else hc_normalise(at, c->head_dim);
        }
}

/* Queries, keys and values of all rows to pass->qkv. With `only`: queries of those rows alone, to pass->heads, and pass->x keeps just those rows. */
static void project_heads(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    int rows = pass->first[pass->inputs], apart = only && c->width % HC_PANEL == 0;
    size_t width = (size_t)c->width;
    hc_epilogue bias = {.bias = b->in_proj_bias}, key_bias = {.bias = b->in_proj_bias + (apart ? width : 0)};
    hc_matrix keys = apart ? hc_matrix_part(&b->in_proj, c->width, 2 * c->width) : b->in_proj;
    put_rows(pass, &b->ln_1, c->eps, &b->in_proj, pass->x, rows, pass->norm_rows);
    hc_gemm(pass->threads, &keys, &pass->rows, &key_bias, pass->qkv + (apart ? width : 0), 3 * width);
    prepare_heads(pass, &b->ln_k, pass->qkv + width, 3 * width, rows);
    if (!only) {
        prepare_heads(pass, &b->ln_q, pass->qkv, 3 * width, rows);
        return;
    }
    for (int i = 0; i < pass->inputs; i++)
        memmove(pass->x + (size_t)i * width, pass->x + (size_t)only[i] * width, width * sizeof(float));
    if (apart) {
        hc_matrix queries = hc_matrix_part(&b->in_proj, 0, c->width);
        put_rows(pass, &b->ln_1, c->eps, &queries, pass->x, pass->inputs, pass->norm_rows);
        hc_gemm(pass->threads, &queries, &pass->rows, &bias, pass->heads, width);
    } else {
        for (int i = 0; i < pass->inputs; i++)
            memcpy(pass->heads + (size_t)i * width, pass->qkv + (size_t)only[i] * 3 * width, width * sizeof(float));
    }
    prepare_heads(pass, &b->ln_q, pass->heads, width, pass->inputs);
}

/* The factor of a head's scores. Swin V2's learned scale is bounded by 100. */
static float score_scale(const hc_config *c, const hc_block *b, int head)
{
    const float LOG_100 = 4.60517019f;
    if (!c->scaled_cosine_attn)
        return 1.0f / sqrtf((float)c->head_dim);
    return hc_expf(b->logit_scale[head] < LOG_100 ? b->logit_scale[head] : LOG_100);
}

/* From pass->qkv to pass->heads: of all rows, or of the `only` row of each sequence, in place of its queries. */
typedef struct attend_job {
    const hc_pass *pass;
    const hc_block *block;
    const int *only;
} attend_job;

/* Iteration i is head i % heads of sequence i / heads. */
static void attend_heads(void *context, int begin, int end, int thread)
{
    const attend_job *j = context;
    const hc_pass *pass = j->pass;
    const hc_config *c = pass->config;
    size_t width = (size_t)c->width, dim = (size_t)c->head_dim;
    for (int i = begin; i < end; i++) {
        int input = i / c->heads, head = i % c->heads, first = pass->first[input], rows = pass->first[input + 1] - first;
        int query = j->only ? j->only[input] - first : 0;
        const float *qkv = pass->qkv + (size_t)first * 3 * width + (size_t)head * dim;
        float *out = pass->heads + (size_t)(j->only ? input : first) * width + (size_t)head * dim;
        hc_attention args = {
            .q = j->only ? out : qkv, .k = qkv + width, .v = qkv + 2 * width,
            .q_stride = 3 * width, .kv_stride = 3 * width,
            .q_rows = j->only ? 1 : rows, .kv_rows = rows, .head_dim = c->head_dim,
            .scale = score_scale(c, j->block, head),
            .causal = c->tower == HC_TEXT && c->causal, .q_first = query, .exact = pass->exact,
            .hidden = pass->hidden ? pass->hidden + first : NULL,
            .out = out, .out_stride = width,
            .scratch = pass->scratch + (size_t)thread * pass->scratch_size,
        };
        hc_attention_head(&args);
        if (j->block->head_scale)
            for (int r = 0; r < args.q_rows; r++)
                for (size_t d = 0; d < dim; d++)
                    args.out[(size_t)r * width + d] *= j->block->head_scale[head];
    }
}

static void block_run(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    int rows = only ? pass->inputs : pass->first[pass->inputs];
    size_t width = (size_t)c->width, mlp_width = (size_t)c->mlp_width;

    project_heads(pass, b, only);
    attend_job attention = {pass, b, only};
    hc_parallel_for(pass->threads, pass->inputs * c->heads, 1, attend_heads, &attention);
    if (c->scale_attn_inner)
        hc_norm_rows(pass, &b->ln_inner, pass->heads, rows, c->width, pass->heads);
    if (c->scale_attn) {
        hc_epilogue out = {.bias = b->out_proj_bias};
        hc_linear(pass, &b->out_proj, pass->heads, rows, pass->head_rows, &out, pass->branch, width);
        hc_norm_rows(pass, &b->ln_attn, pass->branch, rows, c->width, pass->branch);
        add_scaled(pass->x, pass->branch, b->ls_1, rows, c->width);
    } else {
        hc_epilogue out = {.bias = b->out_proj_bias, .gamma = b->ls_1, .residual = pass->x};
        hc_linear(pass, &b->out_proj, pass->heads, rows, pass->head_rows, &out, pass->x, width);
    }

    hc_epilogue fc = {.bias = b->c_fc_bias, .activation = c->activation};
    put_rows(pass, &b->ln_2, c->eps, &b->c_fc, pass->x, rows, pass->norm_rows);
    hc_gemm(pass->threads, &b->c_fc, &pass->rows, &fc, pass->mlp, mlp_width);
    if (c->scale_fc)
        hc_norm_rows(pass, &b->mlp_ln, pass->mlp, rows, c->mlp_width, pass->mlp);
    hc_epilogue out = {.bias = b->c_proj_bias, .gamma = b->ls_2, .residual = pass->x};
    hc_linear(pass, &b->c_proj, pass->mlp, rows, pass->mlp_rows, &out, pass->x, width);
}

void hc_blocks_run(hc_pass *pass)
{
    int layers = pass->config->layers;
    for (int i = 0; i < layers; i++)
        block_run(pass, pass->weights->blocks + i, i == layers - 1 ? pass->pooled : NULL);
}

/* Heads of the pooler's attention, from pass->query and keys and values to pass->attended. */
typedef struct pooler_job {
    const hc_pass *pass;
    const float *k, *v;
    size_t stride;              /* of keys and of values */
    int queries, rows;
} pooler_job;

static void attend_pooler(void *context, int first, int last, int thread)
{
    const pooler_job *j = context;
    const hc_pass *pass = j->pass;
    const hc_config *c = pass->config;
    int head_dim = c->embed_dim / c->attn_pooler_heads;
    size_t n = (size_t)c->embed_dim;
    for (int head = first; head < last; head++) {
        size_t at = (size_t)head * (size_t)head_dim;
        hc_attention args = {
            .q = pass->query + at, .k = j->k + at, .v = j->v + at, .q_stride = 3 * n, .kv_stride = j->stride,
            .q_rows = j->queries, .kv_rows = j->rows, .head_dim = head_dim, .scale = 1.0f / sqrtf((float)head_dim), .exact = pass->exact,
            .out = pass->attended + at, .out_stride = n, .scratch = pass->scratch + (size_t)thread * pass->scratch_size,
        };
        hc_attention_head(&args);
    }
}

void hc_pooler_run(hc_pass *pass, const hc_attn_pooler *p, int queries, const float *context, int rows, float *out)
{
    const hc_config *c = pass->config;
    int dim = c->embed_dim, joint = p->in_proj.n > 0;
    size_t n = (size_t)dim, stride = joint ? 3 * n : 2 * n;
    float *q = pass->query, *k = pass->context + (joint ? n : 0), *v = k + n;
    const hc_matrix *to_q = joint ? &p->in_proj : &p->q_proj, *to_k = joint ? &p->in_proj : &p->k_proj;

    hc_epilogue plain = {0};
    put_rows(pass, &p->ln_q, POOLER_EPS, to_q, p->query, queries, pass->tail_rows);
    hc_gemm(pass->threads, to_q, &pass->rows, &plain, q, 3 * n);
    put_rows(pass, &p->ln_k, POOLER_EPS, to_k, context, rows, pass->tail_rows);
    if (joint) {
        hc_gemm(pass->threads, to_k, &pass->rows, &plain, pass->context, stride);
    } else {
        hc_gemm(pass->threads, to_k, &pass->rows, &plain, k, stride);
        hc_gemm(pass->threads, &p->v_proj, &pass->rows, &plain, v, stride);
    }
    for (int r = 0; r < queries; r++)
        add_scaled(q + (size_t)r * 3 * n, p->in_proj_bias, NULL, 1, dim);
    for (int r = 0; r < rows; r++)
        add_scaled(k + (size_t)r * stride, p->in_proj_bias + n, NULL, 1, 2 * dim);

    pooler_job attention = {pass, k, v, stride, queries, rows};
    hc_parallel_for(pass->threads, c->attn_pooler_heads, 1, attend_pooler, &attention);
    hc_epilogue last = {.bias = p->out_proj_bias};
    hc_linear(pass, &p->out_proj, pass->attended, queries, pass->tail_rows, &last, out, n);
}

void hc_project(hc_pass *pass, int rows, float *out)
{
    const hc_config *c = pass->config;
    const hc_weights *w = pass->weights;
    hc_epilogue epilogue = {.bias = w->projection_bias};
    if (c->proj == HC_PROJ_NONE)
        memcpy(out, pass->tail, (size_t)rows * (size_t)c->dim * sizeof(float));
    else
        hc_linear(pass, &w->projection, pass->tail, rows, pass->tail_rows, &epilogue, out, (size_t)c->dim);
}
