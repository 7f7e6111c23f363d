/* transformer.c: the residual attention blocks of OpenCLIP (ResidualAttentionBlock, CustomResidualAttentionBlock) and
 * its AttentionalPooler, after "Learning Transferable Visual Models From Natural Language Supervision" (Radford et al.,
 * 2021) and open_clip/transformer.py. */
#include "families/transformer.h"

#include <math.h>
#include <string.h>

/* AttentionalPooler is made with torch's default eps whatever norm_kwargs says. */
static const float POOLER_EPS = 1e-5f;

enum { ROWS_A_CHUNK = 4 }; /* of loops over rows: enough work to be worth taking */

/* About how many multiplications a value takes that is normalised or put in place, and a score that becomes a weight.
 */
enum { VALUE_COST = 8, SCORE_COST = 32 };

/* A head's queries are done at once unless that would take more multiplications than this. */
enum { MOST_AT_ONCE = 1 << 27 };

static uint64_t cost_of(int rows, int width) { return (uint64_t)rows * (uint64_t)width * VALUE_COST; }

/* ---- rows ---- */

/* Rows on their way into a GEMM, or in place. */
typedef struct row_job {
    const hc_pass *pass;
    const hc_norm *norm; /* or NULL */
    float eps;
    const float *x;
    int n;
    float *out; /* NULL: into pass->rows */
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
    hc_each(pass->steps, rows, ROWS_A_CHUNK, cost_of(1, n), do_rows, &job);
}

/* pass->rows are m rows of a, or of LayerNorm(a), for a GEMM with w. */
static void put_rows(hc_pass *pass, const hc_norm *norm, float eps, const hc_matrix *w, const float *a, int m,
                     void *values)
{
    row_job job = {pass, norm, eps, a, w->k, NULL};
    hc_rows_lay(&pass->rows, w, m, values);
    hc_each(pass->steps, m, ROWS_A_CHUNK, cost_of(1, w->k), do_rows, &job);
}

/* Rows that follow each other, to where others do. */
typedef struct copy_job {
    const float *from;
    float *to;
    size_t n;
} copy_job;

static void copy_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const copy_job *j = context;
    memcpy(j->to + (size_t)first * j->n, j->from + (size_t)first * j->n, (size_t)(last - first) * j->n * sizeof(float));
}

void hc_copy_rows(hc_pass *pass, const float *from, int rows, int n, float *to)
{
    copy_job job = {from, to, (size_t)n};
    hc_each(pass->steps, rows, ROWS_A_CHUNK, (uint64_t)n, copy_rows, &job);
}

void hc_linear(hc_pass *pass, const hc_matrix *w, const float *a, int m, void *values, const hc_epilogue *epilogue,
               float *out, size_t out_stride)
{
    put_rows(pass, NULL, 0, w, a, m, values);
    hc_each_panel(pass->steps, w, &pass->rows, epilogue, out, out_stride);
}

/* ---- blocks ---- */

/* x += gamma * y, gamma NULL for 1, over rows `stride` apart; those of y are n apart, or the same one each time. */
typedef struct sum_job {
    float *x;
    size_t stride;
    const float *y, *gamma;
    int n, same;
} sum_job;

static void add_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const sum_job *j = context;
    for (int r = first; r < last; r++) {
        float *x = j->x + (size_t)r * j->stride;
        const float *y = j->y + (j->same ? 0 : (size_t)r * (size_t)j->n);
        for (int i = 0; i < j->n; i++) x[i] += j->gamma ? j->gamma[i] * y[i] : y[i];
    }
}

static void add_to_rows(hc_pass *pass, int rows, sum_job job)
{
    hc_each(pass->steps, rows, ROWS_A_CHUNK, (uint64_t)job.n, add_rows, &job);
}

/* Query or key rows of all heads, in place: LayerNorm a head (qk_norm), or unit length (scaled_cosine_attn). */
typedef struct head_job {
    const hc_config *config;
    const hc_norm *norm;
    float *rows;
    size_t stride;
} head_job;

static void do_heads(void *context, int first, int last, int thread)
{
    (void)thread;
    const head_job *j = context;
    const hc_config *c = j->config;
    for (int r = first; r < last; r++)
        for (int head = 0; head < c->heads; head++) {
            float *at = j->rows + (size_t)r * j->stride + (size_t)head * (size_t)c->head_dim;
            if (c->qk_norm) hc_layer_norm(at, c->head_dim, j->norm->weight, j->norm->bias, c->eps, at);
            else hc_normalise(at, c->head_dim);
        }
}

static void prepare_heads(hc_pass *pass, const hc_norm *norm, float *rows, size_t stride, int count)
{
    const hc_config *c = pass->config;
    head_job job = {c, norm, rows, stride};
    if (c->qk_norm || c->scaled_cosine_attn)
        hc_each(pass->steps, count, ROWS_A_CHUNK, cost_of(1, c->width), do_heads, &job);
}

/* Rows to the front of x, or of another buffer. */
typedef struct gather_job {
    const int *from;
    const float *x;
    size_t stride;
    float *to;
    size_t width;
} gather_job;

static void gather_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const gather_job *j = context;
    for (int i = first; i < last; i++)
        memmove(j->to + (size_t)i * j->width, j->x + (size_t)j->from[i] * j->stride, j->width * sizeof(float));
}

/* On one thread and at once: rows move over the places of others. */
static void gather(hc_pass *pass, gather_job job)
{
    hc_each(pass->steps, pass->inputs, pass->inputs, job.width, gather_rows, &job);
}

/* Queries, keys and values of all rows to pass->qkv. With `only`: queries of those rows alone, to pass->heads, and
 * pass->x keeps just those rows. */
static void project_heads(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    int rows = pass->first[pass->inputs], apart = only && c->width % HC_PANEL == 0;
    size_t width = (size_t)c->width;
    hc_epilogue bias = {.bias = b->in_proj_bias}, key_bias = {.bias = b->in_proj_bias + (apart ? width : 0)};
    hc_matrix keys = apart ? hc_matrix_part(&b->in_proj, c->width, 2 * c->width) : b->in_proj;
    put_rows(pass, &b->ln_1, c->eps, &b->in_proj, pass->x, rows, pass->norm_rows);
    hc_each_panel(pass->steps, &keys, &pass->rows, &key_bias, pass->qkv + (apart ? width : 0), 3 * width);
    prepare_heads(pass, &b->ln_k, pass->qkv + width, 3 * width, rows);
    if (!only) {
        prepare_heads(pass, &b->ln_q, pass->qkv, 3 * width, rows);
        return;
    }
    gather(pass, (gather_job){only, pass->x, width, pass->x, width});
    if (apart) {
        hc_matrix queries = hc_matrix_part(&b->in_proj, 0, c->width);
        put_rows(pass, &b->ln_1, c->eps, &queries, pass->x, pass->inputs, pass->norm_rows);
        hc_each_panel(pass->steps, &queries, &pass->rows, &bias, pass->heads, width);
    } else {
        gather(pass, (gather_job){only, pass->qkv, 3 * width, pass->heads, width});
    }
    prepare_heads(pass, &b->ln_q, pass->heads, width, pass->inputs);
}

/* The factor of a head's scores. Swin V2's learned scale is bounded by 100. */
static float score_scale(const hc_config *c, const hc_block *b, int head)
{
    const float LOG_100 = 4.60517019f;
    if (!c->scaled_cosine_attn) return 1.0f / sqrtf((float)c->head_dim);
    return hc_expf(b->logit_scale[head] < LOG_100 ? b->logit_scale[head] : LOG_100);
}

/* How attention is cut into iterations: by input, head and, in long sequences, blocks of queries. */
typedef struct cut {
    int rows, blocks;
    uint64_t cost;
} cut;

/* `queries` and `keys`: the most that a sequence has. */
static cut cut_attention(int queries, int keys, int head_dim)
{
    uint64_t row = (uint64_t)keys * (uint64_t)(2 * head_dim + SCORE_COST),
             rows = MOST_AT_ONCE / row / HC_PANEL * HC_PANEL;
    cut c = {rows<HC_PANEL ? HC_PANEL : rows>(uint64_t) queries ? queries : (int)rows, 0, 0};
    c.blocks = (queries + c.rows - 1) / c.rows;
    c.cost = row * (uint64_t)c.rows;
    return c;
}

/* From pass->qkv to pass->heads: of all rows, or of the `only` row of each sequence, in place of its queries. */
typedef struct attend_job {
    const hc_pass *pass;
    const hc_block *block;
    const int *only;
    cut cut;
} attend_job;

static void attend_heads(void *context, int begin, int end, int thread)
{
    const attend_job *j = context;
    const hc_pass *pass = j->pass;
    const hc_config *c = pass->config;
    size_t width = (size_t)c->width, dim = (size_t)c->head_dim;
    for (int i = begin; i < end; i++) {
        int block = i % j->cut.blocks, head = i / j->cut.blocks % c->heads, input = i / j->cut.blocks / c->heads;
        int first = pass->first[input], rows = pass->first[input + 1] - first;
        int query = j->only ? j->only[input] - first : block * j->cut.rows, queries = j->only ? 1
                                                                                      : rows - query < j->cut.rows
                                                                                          ? rows - query
                                                                                          : j->cut.rows;
        if (queries <= 0) continue;
        const float *qkv = pass->qkv + (size_t)first * 3 * width + (size_t)head * dim;
        float *out = pass->heads + (size_t)(j->only ? input : first + query) * width + (size_t)head * dim;
        hc_attention args = {
            .q = j->only ? out : qkv + (size_t)query * 3 * width,
            .k = qkv + width,
            .v = qkv + 2 * width,
            .q_stride = 3 * width,
            .kv_stride = 3 * width,
            .q_rows = queries,
            .kv_rows = rows,
            .head_dim = c->head_dim,
            .scale = score_scale(c, j->block, head),
            .causal = c->tower == HC_TEXT && c->causal,
            .q_first = query,
            .exact = pass->exact,
            .hidden = pass->hidden ? pass->hidden + first : NULL,
            .out = out,
            .out_stride = width,
            .scratch = pass->scratch + (size_t)thread * pass->scratch_size,
        };
        hc_attention_head(&args);
        if (j->block->head_scale)
            for (int r = 0; r < args.q_rows; r++)
                for (size_t d = 0; d < dim; d++) args.out[(size_t)r * width + d] *= j->block->head_scale[head];
    }
}

static void attend(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    int longest = 1;
    for (int i = 0; i < pass->inputs; i++)
        if (pass->first[i + 1] - pass->first[i] > longest) longest = pass->first[i + 1] - pass->first[i];
    attend_job job = {pass, b, only, cut_attention(only ? 1 : longest, longest, c->head_dim)};
    hc_each(pass->steps, pass->inputs * c->heads * job.cut.blocks, 1, job.cut.cost, attend_heads, &job);
}

static void block_run(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    int rows = only ? pass->inputs : pass->first[pass->inputs];
    size_t width = (size_t)c->width, mlp_width = (size_t)c->mlp_width;

    project_heads(pass, b, only);
    attend(pass, b, only);
    if (c->scale_attn_inner) hc_norm_rows(pass, &b->ln_inner, pass->heads, rows, c->width, pass->heads);
    if (c->scale_attn) {
        hc_epilogue out = {.bias = b->out_proj_bias};
        hc_linear(pass, &b->out_proj, pass->heads, rows, pass->head_rows, &out, pass->branch, width);
        hc_norm_rows(pass, &b->ln_attn, pass->branch, rows, c->width, pass->branch);
        add_to_rows(pass, rows, (sum_job){pass->x, width, pass->branch, b->ls_1, c->width, 0});
    } else {
        hc_epilogue out = {.bias = b->out_proj_bias, .gamma = b->ls_1, .residual = pass->x};
        hc_linear(pass, &b->out_proj, pass->heads, rows, pass->head_rows, &out, pass->x, width);
    }

    hc_epilogue fc = {.bias = b->c_fc_bias, .activation = c->activation};
    put_rows(pass, &b->ln_2, c->eps, &b->c_fc, pass->x, rows, pass->norm_rows);
    hc_each_panel(pass->steps, &b->c_fc, &pass->rows, &fc, pass->mlp, mlp_width);
    if (c->scale_fc) hc_norm_rows(pass, &b->mlp_ln, pass->mlp, rows, c->mlp_width, pass->mlp);
    hc_epilogue out = {.bias = b->c_proj_bias, .gamma = b->ls_2, .residual = pass->x};
    hc_linear(pass, &b->c_proj, pass->mlp, rows, pass->mlp_rows, &out, pass->x, width);
}

void hc_blocks_run(hc_pass *pass)
{
    int layers = pass->config->layers;
    for (int i = 0; i < layers; i++) block_run(pass, pass->weights->blocks + i, i == layers - 1 ? pass->pooled : NULL);
}

/* Heads of the pooler's attention, from pass->query and keys and values to pass->attended. */
typedef struct pooler_job {
    const hc_pass *pass;
    const float *k, *v;
    size_t stride; /* of keys and of values */
    int queries, rows;
    cut cut;
} pooler_job;

static void attend_pooler(void *context, int first, int last, int thread)
{
    const pooler_job *j = context;
    const hc_pass *pass = j->pass;
    const hc_config *c = pass->config;
    int head_dim = c->embed_dim / c->attn_pooler_heads;
    size_t n = (size_t)c->embed_dim;
    for (int i = first; i < last; i++) {
        int query = i % j->cut.blocks * j->cut.rows;
        size_t at = (size_t)(i / j->cut.blocks) * (size_t)head_dim;
        hc_attention args = {
            .q = pass->query + (size_t)query * 3 * n + at,
            .k = j->k + at,
            .v = j->v + at,
            .q_stride = 3 * n,
            .kv_stride = j->stride,
            .q_rows = j->queries - query < j->cut.rows ? j->queries - query : j->cut.rows,
            .kv_rows = j->rows,
            .head_dim = head_dim,
            .scale = 1.0f / sqrtf((float)head_dim),
            .exact = pass->exact,
            .out = pass->attended + (size_t)query * n + at,
            .out_stride = n,
            .scratch = pass->scratch + (size_t)thread * pass->scratch_size,
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
    hc_each_panel(pass->steps, to_q, &pass->rows, &plain, q, 3 * n);
    put_rows(pass, &p->ln_k, POOLER_EPS, to_k, context, rows, pass->tail_rows);
    if (joint) {
        hc_each_panel(pass->steps, to_k, &pass->rows, &plain, pass->context, stride);
    } else {
        hc_each_panel(pass->steps, to_k, &pass->rows, &plain, k, stride);
        hc_each_panel(pass->steps, &p->v_proj, &pass->rows, &plain, v, stride);
    }
    add_to_rows(pass, queries, (sum_job){q, 3 * n, p->in_proj_bias, NULL, dim, 1});
    add_to_rows(pass, rows, (sum_job){k, stride, p->in_proj_bias + n, NULL, 2 * dim, 1});

    pooler_job attention = {
        pass, k, v, stride, queries, rows, cut_attention(queries, rows, c->embed_dim / c->attn_pooler_heads)};
    hc_each(pass->steps, c->attn_pooler_heads * attention.cut.blocks, 1, attention.cut.cost, attend_pooler, &attention);
    hc_epilogue last = {.bias = p->out_proj_bias};
    hc_linear(pass, &p->out_proj, pass->attended, queries, pass->tail_rows, &last, out, n);
}

void hc_project(hc_pass *pass, int rows, float *out)
{
    const hc_config *c = pass->config;
    const hc_weights *w = pass->weights;
    hc_epilogue epilogue = {.bias = w->projection_bias};
    if (c->proj == HC_PROJ_NONE) hc_copy_rows(pass, pass->tail, rows, c->dim, out);
    else hc_linear(pass, &w->projection, pass->tail, rows, pass->tail_rows, &epilogue, out, (size_t)c->dim);
}
