/* transformer.c: the residual attention blocks of OpenCLIP (ResidualAttentionBlock, CustomResidualAttentionBlock) and its AttentionalPooler,
 * after "Learning Transferable Visual Models From Natural Language Supervision" (Radford et al., 2021) and open_clip/transformer.py. */
#include "transformer.h"

#include <math.h>
#include <string.h>

enum { MAX_INPUTS_A_PASS = 64, ROWS_A_PASS = 200 };

/* AttentionalPooler is made with torch's default eps whatever norm_kwargs says. */
static const float POOLER_EPS = 1e-5f;

static int larger(int a, int b) { return a > b ? a : b; }

int hc_tower_batch(const hc_config *config)
{
    int batch = ROWS_A_PASS / config->positions;
    return batch < 1 ? 1 : batch > MAX_INPUTS_A_PASS ? MAX_INPUTS_A_PASS : batch;
}

/* The next `bytes` of the arena; with a NULL arena only the sum counts. */
static void *take(char *arena, size_t *used, size_t bytes)
{
    void *at = arena ? arena + *used : NULL;
    *used += hc_round_up(bytes, HC_ALIGN);
    return at;
}

static float *take_floats(char *arena, size_t *used, size_t count)
{
    return take(arena, used, hc_round_up(count, HC_PANEL) * sizeof(float));
}

size_t hc_pass_plan(hc_pass *pass, const hc_config *c, hc_dtype dtype, int count, void *arena)
{
    size_t used = 0, rows = (size_t)count * (size_t)c->positions, width = (size_t)c->width;
    size_t queries = c->attn_pool ? (size_t)c->attn_pooler_queries : 0;
    size_t dim = (size_t)larger(c->embed_dim, c->dim);
    size_t widest = (size_t)larger(3 * c->width, c->mlp_width);
    size_t outputs = (size_t)larger(count * c->tokens_out, MAX_INPUTS_A_PASS);
    size_t wide = rows * widest;
    if (c->tower == HC_IMAGE) {
        size_t patches = (size_t)c->grid_height * (size_t)c->grid_width * 3 * (size_t)c->patch_height * (size_t)c->patch_width;
        wide = patches > wide ? patches : wide;
        wide = queries * dim > wide ? queries * dim : wide;
    }

    memset(pass, 0, sizeof *pass);
    pass->config = c;
    pass->dtype = dtype;
    pass->first = take(arena, &used, (MAX_INPUTS_A_PASS + 1) * sizeof(int));
    pass->pooled = take(arena, &used, MAX_INPUTS_A_PASS * sizeof(int));
    pass->hidden = take(arena, &used, rows);
    pass->x = take_floats(arena, &used, rows * width);
    pass->h = take_floats(arena, &used, (rows > queries ? rows : queries) * (width > dim ? width : dim));
    pass->wide = take_floats(arena, &used, wide);
    pass->tail = take_floats(arena, &used, outputs * (width > dim ? width : dim));
    size_t scratch = hc_attention_scratch(c->positions, c->head_dim);
    if (queries) {
        size_t longest = (size_t)c->positions > queries ? (size_t)c->positions : queries;
        size_t pooler = hc_attention_scratch((int)longest, c->embed_dim / c->attn_pooler_heads);
        scratch = scratch > pooler ? scratch : pooler;
        pass->query = take_floats(arena, &used, queries * 3 * dim);
        pass->context = take_floats(arena, &used, longest * 3 * dim);
    }
    pass->row = take_floats(arena, &used, widest > dim ? widest : dim);
    pass->scratch = take_floats(arena, &used, scratch);
    if (dtype >= HC_INT8) {
        size_t depth = (size_t)larger(larger(c->width, c->mlp_width), (int)dim);
        size_t most = rows > queries ? rows : queries;
        pass->rows.q = take(arena, &used, most * hc_round_up(depth, HC_GROUP) * sizeof(hc_q7));
        pass->rows.scale = take_floats(arena, &used, most);
        pass->rows.zero = take(arena, &used, most * sizeof(int32_t));
    }
    return used;
}

size_t hc_tower_arena(const hc_config *config, hc_dtype dtype, int count)
{
    hc_pass pass;
    return hc_pass_plan(&pass, config, dtype, count, NULL);
}

void hc_tower_run(const hc_encoder *encoder, const void *input, int count, float *out)
{
    const hc_config *config = &encoder->config;
    hc_pass pass;
    int batch = hc_tower_batch(config);
    size_t result = (size_t)config->tokens_out * (size_t)config->dim;
    hc_pass_plan(&pass, config, encoder->dtype, batch, encoder->arena);
    pass.weights = &encoder->weights;
    pass.rows.dot = encoder->dot;
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
            int limit = config->tokens_out > 1 ? batch : MAX_INPUTS_A_PASS;
            taken = hc_text_run(&pass, ids, count < limit ? count : limit, batch * config->positions, out);
        }
    }
}

/* hc_rows of the pass for rows of k values. */
static hc_rows *quantised(hc_pass *pass, int k)
{
    pass->rows.stride = hc_round_up((size_t)k, HC_GROUP);
    return &pass->rows;
}

/* fp32 and fp16 may be contracted: int8 and int4 promise the same bits everywhere. */
static int may_fuse(const hc_pass *pass) { return pass->dtype < HC_INT8; }

static int is_quantised(const hc_matrix *w) { return w->storage == HC_STORE_I8 || w->storage == HC_STORE_I4; }

static void gemm_quantised(const hc_matrix *w, const hc_rows *rows, int m, const hc_epilogue *epilogue, float *out, size_t out_stride)
{
    if (w->storage == HC_STORE_I8) hc_gemm_i8(w, rows, m, epilogue, out, out_stride);
    else hc_gemm_i4(w, rows, m, epilogue, out, out_stride);
}

void hc_linear(hc_pass *pass, const hc_matrix *w, const float *a, int m, const hc_epilogue *epilogue, float *out, size_t out_stride)
{
    if (is_quantised(w)) {
        hc_rows *rows = quantised(pass, w->k);
        hc_quantise_rows(a, (size_t)w->k, m, w->k, rows);
        gemm_quantised(w, rows, m, epilogue, out, out_stride);
    } else {
        hc_gemm_f32(w, a, (size_t)w->k, m, epilogue, out, out_stride, may_fuse(pass));
    }
}

/* hc_linear of LayerNorm(x). */
static void norm_linear(hc_pass *pass, const hc_norm *norm, float eps, const hc_matrix *w, const float *x, int m, const hc_epilogue *epilogue,
                        float *out, size_t out_stride)
{
    size_t k = (size_t)w->k;
    if (is_quantised(w)) {
        hc_rows *rows = quantised(pass, w->k);
        hc_layer_norm_quantise(x, k, m, w->k, norm->weight, norm->bias, eps, pass->row, rows);
        gemm_quantised(w, rows, m, epilogue, out, out_stride);
    } else {
        hc_layer_norm(x, k, m, w->k, norm->weight, norm->bias, eps, pass->h, k);
        hc_gemm_f32(w, pass->h, k, m, epilogue, out, out_stride, may_fuse(pass));
    }
}

void hc_norm_rows(const hc_pass *pass, const hc_norm *norm, const float *x, int rows, int n, float *out)
{
    hc_layer_norm(x, (size_t)n, rows, n, norm->weight, norm->bias, pass->config->eps, out, (size_t)n);
}

/* x += gamma * y, gamma NULL for 1. */
static void add_scaled(float *x, const float *y, const float *gamma, int rows, int n)
{
    for (int r = 0; r < rows; r++, x += n, y += n)
        for (int i = 0; i < n; i++)
            x[i] += gamma ? gamma[i] * y[i] : y[i];
}

/* Query and key rows of all heads, in place: LayerNorm a head (qk_norm), or unit length (scaled_cosine_attn). */
static void prepare_heads(const hc_pass *pass, const hc_block *b, float *qkv, int rows)
{
    const hc_config *c = pass->config;
    size_t stride = 3 * (size_t)c->width;
    if (!c->qk_norm && !c->scaled_cosine_attn)
        return;
    for (int head = 0; head < 2 * c->heads; head++) {
        float *at = qkv + (size_t)head * (size_t)c->head_dim;
        const hc_norm *norm = head < c->heads ? &b->ln_q : &b->ln_k;
        if (c->qk_norm)
            hc_layer_norm(at, stride, rows, c->head_dim, norm->weight, norm->bias, c->eps, at, stride);
        else
            for (int r = 0; r < rows; r++)
                hc_normalise(at + (size_t)r * stride, c->head_dim);
    }
}

/* The factor of a head's scores. Swin V2's learned scale is bounded by 100. */
static float score_scale(const hc_config *c, const hc_block *b, int head)
{
    const float LOG_100 = 4.60517019f;
    if (!c->scaled_cosine_attn)
        return 1.0f / sqrtf((float)c->head_dim);
    return hc_expf(b->logit_scale[head] < LOG_100 ? b->logit_scale[head] : LOG_100);
}

/* pass->wide holds q, k and v of all rows; the heads' outputs go to pass->h: of all rows, or of the `only` row of each sequence. */
static void attend(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    size_t width = (size_t)c->width, dim = (size_t)c->head_dim;
    for (int i = 0; i < pass->inputs; i++) {
        int first = pass->first[i], rows = pass->first[i + 1] - first;
        const float *qkv = pass->wide + (size_t)first * 3 * width;
        int query = only ? only[i] - first : 0;
        for (int head = 0; head < c->heads; head++) {
            const float *q = qkv + (size_t)head * dim;
            hc_attention args = {
                .q = q + (size_t)query * 3 * width, .k = q + width, .v = q + 2 * width,
                .q_stride = 3 * width, .kv_stride = 3 * width,
                .q_rows = only ? 1 : rows, .kv_rows = rows, .head_dim = c->head_dim,
                .scale = score_scale(c, b, head),
                .causal = c->tower == HC_TEXT && c->causal, .q_first = query,
                .hidden = pass->hidden ? pass->hidden + first : NULL,
                .out = pass->h + (size_t)(only ? i : first) * width + (size_t)head * dim, .out_stride = width,
                .scratch = pass->scratch,
            };
            hc_attention_head(&args);
            if (b->head_scale)
                for (int r = 0; r < args.q_rows; r++)
                    for (size_t d = 0; d < dim; d++)
                        args.out[(size_t)r * width + d] *= b->head_scale[head];
        }
    }
}

static void block_run(hc_pass *pass, const hc_block *b, const int *only)
{
    const hc_config *c = pass->config;
    int rows = pass->first[pass->inputs];
    size_t width = (size_t)c->width, mlp_width = (size_t)c->mlp_width;

    hc_epilogue qkv = {.bias = b->in_proj_bias};
    norm_linear(pass, &b->ln_1, c->eps, &b->in_proj, pass->x, rows, &qkv, pass->wide, 3 * width);
    prepare_heads(pass, b, pass->wide, rows);
    attend(pass, b, only);
    if (only) {
        rows = pass->inputs;
        for (int i = 0; i < rows; i++)
            memmove(pass->x + (size_t)i * width, pass->x + (size_t)only[i] * width, width * sizeof(float));
    }
    if (c->scale_attn_inner)
        hc_norm_rows(pass, &b->ln_inner, pass->h, rows, c->width, pass->h);
    if (c->scale_attn) {
        hc_epilogue out = {.bias = b->out_proj_bias};
        hc_linear(pass, &b->out_proj, pass->h, rows, &out, pass->wide, width);
        hc_norm_rows(pass, &b->ln_attn, pass->wide, rows, c->width, pass->wide);
        add_scaled(pass->x, pass->wide, b->ls_1, rows, c->width);
    } else {
        hc_epilogue out = {.bias = b->out_proj_bias, .gamma = b->ls_1, .residual = pass->x};
        hc_linear(pass, &b->out_proj, pass->h, rows, &out, pass->x, width);
    }

    hc_epilogue fc = {.bias = b->c_fc_bias, .activation = c->activation};
    norm_linear(pass, &b->ln_2, c->eps, &b->c_fc, pass->x, rows, &fc, pass->wide, mlp_width);
    if (c->scale_fc)
        hc_norm_rows(pass, &b->mlp_ln, pass->wide, rows, c->mlp_width, pass->wide);
    hc_epilogue out = {.bias = b->c_proj_bias, .gamma = b->ls_2, .residual = pass->x};
    hc_linear(pass, &b->c_proj, pass->wide, rows, &out, pass->x, width);
}

void hc_blocks_run(hc_pass *pass)
{
    int layers = pass->config->layers;
    for (int i = 0; i < layers; i++)
        block_run(pass, pass->weights->blocks + i, i == layers - 1 ? pass->pooled : NULL);
}

void hc_pooler_run(hc_pass *pass, const hc_attn_pooler *p, int queries, const float *context, int rows, int context_width, float *out)
{
    const hc_config *c = pass->config;
    int dim = c->embed_dim, head_dim = dim / c->attn_pooler_heads, joint = p->in_proj.n > 0;
    size_t n = (size_t)dim, stride = joint ? 3 * n : 2 * n;
    float *q = pass->query, *k = pass->context + (joint ? n : 0), *v = k + n, *in = pass->h;

    hc_epilogue plain = {0};
    hc_layer_norm(p->query, n, queries, dim, p->ln_q.weight, p->ln_q.bias, POOLER_EPS, in, n);
    hc_linear(pass, joint ? &p->in_proj : &p->q_proj, in, queries, &plain, q, 3 * n);
    hc_layer_norm(context, (size_t)context_width, rows, context_width, p->ln_k.weight, p->ln_k.bias, POOLER_EPS, in, (size_t)context_width);
    if (joint) {
        hc_linear(pass, &p->in_proj, in, rows, &plain, pass->context, stride);
    } else {
        hc_linear(pass, &p->k_proj, in, rows, &plain, k, stride);
        hc_linear(pass, &p->v_proj, in, rows, &plain, v, stride);
    }
    for (int r = 0; r < queries; r++)
        add_scaled(q + (size_t)r * 3 * n, p->in_proj_bias, NULL, 1, dim);
    for (int r = 0; r < rows; r++)
        add_scaled(k + (size_t)r * stride, p->in_proj_bias + n, NULL, 1, 2 * dim);

    for (int head = 0; head < c->attn_pooler_heads; head++) {
        size_t at = (size_t)head * (size_t)head_dim;
        hc_attention args = {
            .q = q + at, .k = k + at, .v = v + at, .q_stride = 3 * n, .kv_stride = stride,
            .q_rows = queries, .kv_rows = rows, .head_dim = head_dim, .scale = 1.0f / sqrtf((float)head_dim),
            .out = in + at, .out_stride = n, .scratch = pass->scratch,
        };
        hc_attention_head(&args);
    }
    hc_epilogue last = {.bias = p->out_proj_bias};
    hc_linear(pass, &p->out_proj, in, queries, &last, out, n);
}

void hc_project(hc_pass *pass, int rows, float *out)
{
    const hc_config *c = pass->config;
    const hc_weights *w = pass->weights;
    hc_epilogue epilogue = {.bias = w->projection_bias};
    if (c->proj == HC_PROJ_NONE)
        memcpy(out, pass->tail, (size_t)rows * (size_t)c->dim * sizeof(float));
    else
        hc_linear(pass, &w->projection, pass->tail, rows, &epilogue, out, (size_t)c->dim);
}
