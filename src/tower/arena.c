/* arena.c: where values lie. Each lives from the operation that makes it to the last that reads it; what never lives at
 * the same time shares memory. */
#include "tower/network.h"

#include "base/size.h"
#include "base/sort.h"

#include <stdlib.h>

/* How much is worth computing at once: more rows make no GEMM faster. */
enum { MOST_INPUTS = 64, MOST_ROWS = 200 };

/* What an arena may have in any case, and beside large weights: beyond it, batches get smaller. */
enum { ARENA_BYTES = 32 << 20, ARENA_TIMES_WEIGHTS = 2 };

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- lives --------------------------------------------------------------------------------------------------------
 */

static void touch(hc_network *net, hc_value value, int op)
{
    hc_value_info *memory = &net->values[hc_network_memory(net, value)];
    if (op < memory->begin) memory->begin = op;
    if (op > memory->end) memory->end = op;
}

/* What lies in the rows of `from` lies in those of `to` from now on. */
static void move_in(hc_network *net, hc_value from, hc_value to)
{
    net->values[from].memory = to;
    touch(net, to, net->values[from].begin);
    touch(net, to, net->values[from].end);
}

/* Whether the value of an operation may lie where the one that it replaces does: nobody reads that any more, and its
 * rows are as wide and at least as many. */
static int may_replace(const hc_network *net, const hc_op *op, int index)
{
    hc_value memory = hc_network_memory(net, op->replaces);
    const hc_value_info *old = &net->values[memory], *made = &net->values[op->out];
    int as_many = old->span == made->span ? old->rows >= made->rows : old->span == HC_PACKED && made->rows == 1;
    return old->end == index && !old->tensor && !old->is_output && !old->is_input && !made->is_output &&
           made->memory == op->out && as_many && old->width == made->width && net->values[op->replaces].column == 0;
}

void hc_arena_find_lives(hc_network *net)
{
    for (int i = 1; i < net->value_count; i++) net->values[i].begin = net->op_count, net->values[i].end = -1;
    for (int i = 0; i < net->op_count; i++) {
        touch(net, net->ops[i].out, i);
        for (int j = 0; j < HC_OP_VALUES; j++) {
            hc_value in = net->ops[i].in[j];
            if (in) touch(net, net->values[in].normed ? net->values[in].normed : in, i);
        }
    }
    for (int i = 0; i < net->op_count; i++) {
        const hc_op *op = &net->ops[i];
        if (op->replaces && may_replace(net, op, i)) move_in(net, op->out, hc_network_memory(net, op->replaces));
    }
}

/* ---- places -------------------------------------------------------------------------------------------------------
 */

typedef struct buffer {
    uint64_t bytes;
    uint64_t *at;
    int begin, end; /* the first and the last operation that need it */
} buffer;

/* All that has to lie in the arena. */
typedef struct layout {
    buffer *buffers;
    int count;
} layout;

/* For each operation its value and what it needs while it runs, and the five that a pass has. */
static int most_buffers(const hc_network *net) { return 2 * net->op_count + 5; }

static void put(layout *l, uint64_t bytes, uint64_t *at, int begin, int end)
{
    *at = 0;
    if (bytes) l->buffers[l->count++] = (buffer){hc_size_round_up(bytes, HC_ALIGN), at, begin, end};
}

static int larger_first(const void *a, const void *b)
{
    const buffer *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->at > y->at) - (x->at < y->at);
}

static int meet(const buffer *a, const buffer *b)
{
    return a->begin <= b->end && b->begin <= a->end && *a->at < hc_size_sum(*b->at, b->bytes) &&
           *b->at < hc_size_sum(*a->at, a->bytes);
}

/* Largest first, each as low as those that live at the same time leave room. Returns where the last one ends. */
static uint64_t place(layout *l)
{
    uint64_t end = 0;
    hc_sort(l->buffers, (size_t)l->count, sizeof *l->buffers, larger_first);
    for (int i = 0; i < l->count; i++) {
        const buffer *b = &l->buffers[i];
        for (int j = 0; j < i; j++) {
            if (!meet(b, &l->buffers[j])) continue;
            *b->at = hc_size_sum(*l->buffers[j].at, l->buffers[j].bytes);
            j = -1; /* those before may be in the way there */
        }
        end = larger(end, hc_size_sum(*b->at, b->bytes));
    }
    return end;
}

/* Floats of so many rows, which may be loaded as whole panels. */
static uint64_t floats(uint64_t rows, uint64_t width)
{
    return hc_size_product(hc_size_round_up(hc_size_product(rows, width), HC_PANEL), sizeof(float));
}

/* What a pass knows of its inputs, the inputs, and the vectors. */
static void put_inputs(layout *l, hc_network *net, const hc_batch *batch)
{
    int image = net->tower != HC_TEXT, last = net->op_count - 1;
    uint64_t inputs = (uint64_t)batch->inputs;
    put(l, (MOST_INPUTS + 1) * sizeof(int), &net->first_at, 0, last);
    put(l, MOST_INPUTS * sizeof(int), &net->pooled_at, 0, last);
    put(l, image ? 0 : hc_size_product((uint64_t)batch->full, (uint64_t)net->row_most), &net->hidden_at, 0, last);
    /* A pass takes as many texts as there is room for: the ids of the others and the vectors of those before must
     * outlive it. */
    put(l, hc_size_product(hc_size_product(inputs, hc_network_input(net)), sizeof(float)), &net->input_at, 0,
        image ? net->input_end : last);
}

static void put_output(layout *l, hc_network *net, const hc_batch *batch, int begin)
{
    uint64_t rows = larger(hc_size_product((uint64_t)batch->full, (uint64_t)net->tokens_out), (uint64_t)batch->inputs);
    put(l, floats(rows, (uint64_t)net->dim), &net->output_at, begin, net->op_count - 1);
}

uint64_t hc_arena_plan(hc_network *net, const hc_batch *batch)
{
    layout l = {hc_allocate((uint64_t)most_buffers(net), sizeof *l.buffers), 0};
    if (!l.buffers) {
        hc_fail(net->problem, HC_OUT_OF_MEMORY, "out of memory: %m for the plan of the arena",
                (uint64_t)most_buffers(net) * sizeof *l.buffers);
        return HC_SIZE_TOO_LARGE;
    }
    int output_begin = net->tower != HC_TEXT ? net->values[hc_network_memory(net, net->output)].begin : 0;
    put_inputs(&l, net, batch);
    for (int i = 0; i < net->op_count; i++) {
        hc_op *op = &net->ops[i];
        hc_value memory = hc_network_memory(net, op->out);
        hc_value_info *v = &net->values[memory];
        if (i == output_begin) put_output(&l, net, batch, i);
        if (v->begin == i && !v->tensor && !v->is_output)
            put(&l, floats(hc_network_rows(net, memory, batch), (uint64_t)v->width), &v->at, i, v->end);
        put(&l, op->kind->scratch ? op->kind->scratch(net, op, batch) : 0, &op->scratch_at, i, i);
    }
    uint64_t bytes = place(&l);
    free(l.buffers);
    return bytes;
}

hc_batch hc_arena_batch(hc_network *net, int threads, uint64_t weights)
{
    int full = MOST_ROWS / net->row_most;
    hc_batch batch = {.full = full < 1 ? 1 : full > MOST_INPUTS ? MOST_INPUTS : full, .threads = threads};
    batch.inputs = net->tower != HC_TEXT ? batch.full : MOST_INPUTS;
    uint64_t most = larger(ARENA_BYTES, hc_size_product(weights, ARENA_TIMES_WEIGHTS));
    while (batch.inputs > 1 && hc_arena_plan(net, &batch) > most) {
        batch.inputs /= 2;
        batch.full = batch.full / 2 < 1 ? 1 : batch.full / 2;
    }
    return batch;
}
