/* arena.c: where a pass's buffers lie. Each is needed from one step of the pass to another; buffers that are never needed at the same time share memory. */
#include "transformer.h"

#include <string.h>

enum { MAX_INPUTS_A_PASS = 64, ROWS_A_PASS = 200 };

/* The steps of a pass in order; those from NORM to PROJ are done again for each block. */
enum { EMBED, NORM, QKV, ATTEND, HEADS, OUT, FC, MLP, PROJ, POOL, PROJECT };

typedef struct buffer {
    size_t bytes, at;
    int from, to;          /* the first and the last step that need it */
    void *field;           /* the pass's pointer */
} buffer;

enum { MOST_BUFFERS = 32 };

typedef struct plan {
    buffer buffers[MOST_BUFFERS];
    int count;
} plan;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static void add(plan *p, void *field, size_t bytes, int from, int to)
{
    if (bytes) p->buffers[p->count++] = (buffer){hc_round_up(bytes, HC_ALIGN), 0, from, to, field};
}

/* Vectors may be loaded as whole panels. */
static void add_floats(plan *p, float **field, size_t count, int from, int to)
{
    add(p, field, hc_round_up(count, HC_PANEL) * sizeof(float), from, to);
}

static void add_all(plan *p, hc_pass *pass, const hc_config *c, hc_dtype dtype, size_t threads)
{
    int batch = hc_tower_batch(c), quantised = dtype >= HC_INT8, rows = batch * c->positions, image = c->tower == HC_IMAGE;
    size_t queries = c->attn_pool ? (size_t)c->attn_pooler_queries : 0, longest = larger((size_t)c->positions, queries);
    size_t width = (size_t)c->width, mlp_width = (size_t)c->mlp_width, embed_dim = (size_t)c->embed_dim, dim = larger(embed_dim, (size_t)c->dim), n = (size_t)rows;
    size_t inputs = image ? (size_t)batch : MAX_INPUTS_A_PASS, outputs = larger(n / (size_t)c->positions * (size_t)c->tokens_out, MAX_INPUTS_A_PASS);
    size_t patches = image ? (size_t)c->grid_height * (size_t)c->grid_width : 0, patch = image ? 3 * (size_t)c->patch_height * (size_t)c->patch_width : 0;
    size_t ids = inputs * (size_t)c->context_length * sizeof(int32_t), pixels = inputs * 3 * (size_t)c->image_height * (size_t)c->image_width * sizeof(float);

    add(p, &pass->first, (MAX_INPUTS_A_PASS + 1) * sizeof(int), EMBED, PROJECT);
    add(p, &pass->pooled, MAX_INPUTS_A_PASS * sizeof(int), EMBED, PROJECT);
    add(p, &pass->hidden, n, EMBED, PROJECT);
    /* A pass takes as many texts as there is room for: the ids of the others and the vectors of those before must outlive it. */
    add(p, &pass->input, image ? pixels : ids, EMBED, image ? EMBED : PROJECT);
    add_floats(p, &pass->output, outputs * (size_t)c->dim, image ? PROJECT : EMBED, PROJECT);
    add(p, &pass->patch_rows, patches * patch * sizeof(float), EMBED, EMBED);
    add_floats(p, &pass->x, n * width, EMBED, POOL);
    add(p, &pass->norm_rows, hc_rows_bytes(rows, c->width, quantised), NORM, FC);
    add_floats(p, &pass->qkv, n * 3 * width, QKV, ATTEND);
    add_floats(p, &pass->heads, n * width, QKV, HEADS);
    add(p, &pass->head_rows, hc_rows_bytes(rows, c->width, quantised), HEADS, OUT);
    if (c->scale_attn) add_floats(p, &pass->branch, n * width, OUT, OUT);
    add_floats(p, &pass->mlp, n * mlp_width, FC, MLP);
    add(p, &pass->mlp_rows, hc_rows_bytes(rows, c->mlp_width, quantised), MLP, PROJ);
    add_floats(p, &pass->tail, outputs * larger(width, dim), POOL, PROJECT);
    size_t tail_rows = hc_rows_bytes((int)outputs, (int)larger(width, dim), 0), scratch = hc_attention_scratch(c->positions, c->head_dim);
    if (queries) {
        tail_rows = larger(tail_rows, hc_rows_bytes((int)longest, (int)larger(width, dim), quantised));
        scratch = larger(scratch, hc_attention_scratch((int)longest, c->embed_dim / c->attn_pooler_heads));
        add_floats(p, &pass->query, queries * 3 * dim, POOL, POOL);
        add_floats(p, &pass->context, longest * 3 * dim, POOL, POOL);
        add_floats(p, &pass->attended, queries * dim, POOL, POOL);
        add_floats(p, &pass->pools, queries * dim, POOL, POOL);
    }
    add(p, &pass->tail_rows, tail_rows, POOL, PROJECT);
    pass->row_size = hc_round_up(larger(width, dim), HC_PANEL);
    pass->scratch_size = hc_round_up(scratch, HC_PANEL);
    add_floats(p, &pass->row, threads * pass->row_size, EMBED, PROJECT);
    add_floats(p, &pass->scratch, threads * pass->scratch_size, ATTEND, POOL);
    size_t most = larger(larger(n, longest), outputs);
    add_floats(p, &pass->rows.scale, most, EMBED, PROJECT);
    add(p, &pass->rows.zero, most * sizeof(int32_t), EMBED, PROJECT);
}

static int meet(const buffer *a, const buffer *b) { return a->from <= b->to && b->from <= a->to; }

/* Largest first, each as low as those it meets leave room. Returns where the last one ends. */
static size_t place(plan *p)
{
    size_t end = 0;
    for (int i = 0; i < p->count; i++) {
        for (int j = i + 1; j < p->count; j++)
            if (p->buffers[j].bytes > p->buffers[i].bytes) {
                buffer swap = p->buffers[i];
                p->buffers[i] = p->buffers[j];
                p->buffers[j] = swap;
            }
        buffer *b = &p->buffers[i];
        for (int j = 0; j < i; j++) {
            const buffer *other = &p->buffers[j];
            if (!meet(b, other) || other->at + other->bytes <= b->at || b->at + b->bytes <= other->at) continue;
            b->at = other->at + other->bytes;
            j = -1;            /* those before may be in the way there */
        }
        end = larger(end, b->at + b->bytes);
    }
    return end;
}

int hc_tower_batch(const hc_config *config)
{
    int batch = ROWS_A_PASS / config->positions;
    return batch < 1 ? 1 : batch > MAX_INPUTS_A_PASS ? MAX_INPUTS_A_PASS : batch;
}

int hc_tower_inputs(const hc_config *config) { return config->tower == HC_IMAGE ? hc_tower_batch(config) : MAX_INPUTS_A_PASS; }

size_t hc_pass_plan(hc_pass *pass, const hc_config *config, hc_dtype dtype, int threads, void *arena)
{
    plan p = {.count = 0};
    memset(pass, 0, sizeof *pass);
    pass->config = config;
    pass->exact = dtype >= HC_INT8;
    add_all(&p, pass, config, dtype, (size_t)threads);
    size_t bytes = place(&p);
    for (int i = 0; arena && i < p.count; i++) {
        void *at = (char *)arena + p.buffers[i].at;
        memcpy(p.buffers[i].field, &at, sizeof at);    /* whatever type of pointer it is */
    }
    return bytes;
}
