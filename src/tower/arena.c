/* arena.c: where a pass's buffers lie. Each is needed from one step of the pass to another; buffers that are never
 * needed at the same time share memory. */
#include "families/transformer.h"

#include <string.h>

/* How much is worth computing at once: more rows make no GEMM faster. */
enum { MOST_INPUTS = 64, MOST_ROWS = 200 };

/* What an arena may have in any case, and beside large weights: beyond it, batches get smaller. */
enum { ARENA_BYTES = 32 << 20, ARENA_TIMES_WEIGHTS = 2 };

/* Patches of one picture that are rows at once: all of them, unless the picture is very large. */
enum { PATCH_BYTES = 4 << 20 };

/* The steps of a pass in order; those from NORM to PROJ are done again for each block. */
enum { EMBED, NORM, QKV, ATTEND, HEADS, OUT, FC, MLP, PROJ, POOL, PROJECT };

typedef struct buffer {
    uint64_t bytes, at;
    int from, to; /* the first and the last step that need it */
    void *field;  /* the pass's pointer */
} buffer;

enum { MOST_BUFFERS = 32 };

typedef struct plan {
    buffer buffers[MOST_BUFFERS];
    int count;
} plan;

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t product3(uint64_t a, uint64_t b, uint64_t c) { return hc_size_product(hc_size_product(a, b), c); }

static void add(plan *p, void *field, uint64_t bytes, int from, int to)
{
    if (bytes) p->buffers[p->count++] = (buffer){hc_size_round_up(bytes, HC_ALIGN), 0, from, to, field};
}

/* Rows of floats. Vectors may be loaded as whole panels. */
static void add_floats(plan *p, float **field, uint64_t rows, uint64_t width, int from, int to)
{
    add(p, field, hc_size_product(hc_size_round_up(hc_size_product(rows, width), HC_PANEL), sizeof(float)), from, to);
}

static void add_all(plan *p, hc_pass *pass, const hc_config *c, hc_dtype dtype, hc_batch batch)
{
    int quantised = dtype >= HC_INT8, image = c->tower == HC_IMAGE;
    uint64_t queries = c->attn_pool ? (uint64_t)c->attn_pooler_queries : 0, positions = (uint64_t)c->positions,
             longest = larger(positions, queries);
    uint64_t width = (uint64_t)c->width, mlp_width = (uint64_t)c->mlp_width, embed_dim = (uint64_t)c->embed_dim,
             dim = larger(embed_dim, (uint64_t)c->dim);
    uint64_t full = (uint64_t)batch.full, inputs = (uint64_t)batch.inputs, n = hc_size_product(full, positions);
    uint64_t outputs = larger(hc_size_product(full, (uint64_t)c->tokens_out), inputs),
             threads = (uint64_t)batch.threads;
    uint64_t picture = product3(3, (uint64_t)c->image_height, (uint64_t)c->image_width),
             patch = product3(3, (uint64_t)c->patch_height, (uint64_t)c->patch_width);

    add(p, &pass->first, (MOST_INPUTS + 1) * sizeof(int), EMBED, PROJECT);
    add(p, &pass->pooled, MOST_INPUTS * sizeof(int), EMBED, PROJECT);
    add(p, &pass->hidden, n, EMBED, PROJECT);
    /* A pass takes as many texts as there is room for: the ids of the others and the vectors of those before must
     * outlive it. */
    add(p, &pass->input, product3(inputs, image ? picture : (uint64_t)c->context_length, sizeof(float)), EMBED,
        image ? EMBED : PROJECT);
    add_floats(p, &pass->output, outputs, (uint64_t)c->dim, image ? PROJECT : EMBED, PROJECT);
    if (image) {
        uint64_t patches = (uint64_t)c->grid_height * (uint64_t)c->grid_width, bytes = hc_rows_bytes(1, patch, 0);
        pass->patches_at_once = (int)larger(smaller(patches, PATCH_BYTES / bytes), 1);
        add(p, &pass->patch_rows, hc_rows_bytes((uint64_t)pass->patches_at_once, patch, 0), EMBED, EMBED);
    }
    add_floats(p, &pass->x, n, width, EMBED, POOL);
    add(p, &pass->norm_rows, hc_rows_bytes(n, width, quantised), NORM, FC);
    add_floats(p, &pass->qkv, n, 3 * width, QKV, ATTEND);
    add_floats(p, &pass->heads, n, width, QKV, HEADS);
    add(p, &pass->head_rows, hc_rows_bytes(n, width, quantised), HEADS, OUT);
    if (c->scale_attn) add_floats(p, &pass->branch, n, width, OUT, OUT);
    add_floats(p, &pass->mlp, n, mlp_width, FC, MLP);
    add(p, &pass->mlp_rows, hc_rows_bytes(n, mlp_width, quantised), MLP, PROJ);
    add_floats(p, &pass->tail, outputs, larger(width, dim), POOL, PROJECT);
    uint64_t tail_rows = hc_rows_bytes(outputs, larger(width, dim), 0),
             scratch = hc_attention_scratch(c->positions, c->head_dim);
    if (queries) {
        tail_rows = larger(tail_rows, hc_rows_bytes(longest, larger(width, dim), quantised));
        scratch = larger(scratch, hc_attention_scratch((int)longest, c->embed_dim / c->attn_pooler_heads));
        add_floats(p, &pass->query, queries, 3 * dim, POOL, POOL);
        add_floats(p, &pass->context, longest, 3 * dim, POOL, POOL);
        add_floats(p, &pass->attended, queries, dim, POOL, POOL);
        add_floats(p, &pass->pools, queries, dim, POOL, POOL);
    }
    add(p, &pass->tail_rows, tail_rows, POOL, PROJECT);
    pass->row_size = (size_t)hc_size_round_up(larger(width, dim), HC_PANEL);
    pass->scratch_size = (size_t)hc_size_round_up(scratch, HC_PANEL);
    add_floats(p, &pass->row, threads, pass->row_size, EMBED, PROJECT);
    add_floats(p, &pass->scratch, threads, hc_size_round_up(scratch, HC_PANEL), ATTEND, POOL);
    uint64_t most = larger(larger(n, longest), outputs);
    add_floats(p, &pass->rows.scale, most, 1, EMBED, PROJECT);
    add(p, &pass->rows.zero, hc_size_product(most, sizeof(int32_t)), EMBED, PROJECT);
}

static int meet(const buffer *a, const buffer *b) { return a->from <= b->to && b->from <= a->to; }

static uint64_t end_of(const buffer *b) { return hc_size_sum(b->at, b->bytes); }

/* Largest first, each as low as those it meets leave room. Returns where the last one ends. */
static uint64_t place(plan *p)
{
    uint64_t end = 0;
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
            if (!meet(b, other) || end_of(other) <= b->at || end_of(b) <= other->at) continue;
            b->at = end_of(other);
            j = -1; /* those before may be in the way there */
        }
        end = larger(end, end_of(b));
    }
    return end;
}

uint64_t hc_pass_plan(hc_pass *pass, const hc_config *config, hc_dtype dtype, hc_batch batch, void *arena)
{
    plan p = {.count = 0};
    memset(pass, 0, sizeof *pass);
    pass->config = config;
    pass->exact = dtype >= HC_INT8;
    add_all(&p, pass, config, dtype, batch);
    uint64_t bytes = place(&p);
    for (int i = 0; arena && i < p.count; i++) {
        void *at = (char *)arena + (size_t)p.buffers[i].at;
        memcpy(p.buffers[i].field, &at, sizeof at); /* whatever type of pointer it is */
    }
    return bytes;
}

hc_batch hc_pass_batch(const hc_config *config, hc_dtype dtype, int threads, uint64_t weights)
{
    int full = MOST_ROWS / config->positions;
    hc_batch batch = {.full = full < 1 ? 1 : full > MOST_INPUTS ? MOST_INPUTS : full, .threads = threads};
    batch.inputs = config->tower == HC_IMAGE ? batch.full : MOST_INPUTS;
    uint64_t most = larger(ARENA_BYTES, hc_size_product(weights, ARENA_TIMES_WEIGHTS));
    hc_pass pass;
    while (batch.inputs > 1 && hc_pass_plan(&pass, config, dtype, batch, NULL) > most) {
        batch.inputs /= 2;
        batch.full = batch.full / 2 < 1 ? 1 : batch.full / 2;
    }
    return batch;
}
