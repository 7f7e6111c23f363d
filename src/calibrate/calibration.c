/* calibration.c: a tower at fp32 becomes one of 4 and 8 bits, operation after operation: each matrix is rounded for
 * what it multiplies once those before it are rounded. The inputs go through the tower side by side, each batch in an
 * arena of its own. */
#include "calibrate/gptq.h"
#include "base/constants.h"
#include "calibrate/gram.h"
#include "halfclip.h"
#include "load/pack.h"
#include "load/stored.h"
#include "tower/encoder.h"

#include <stdlib.h>
#include <string.h>

/* What is added to the Hessian's diagonal, as a share of its mean. */
static const float DAMPING = 0.01f;

/* A batch of inputs under way. */
typedef struct batch {
    void *arena;
    hc_run run;
} batch;

/* A tensor that is quantised: the same at 4 and at 8 bits. */
typedef struct rounded {
    hc_tensor four, eight;
    void *memory; /* of both; NULL: it is not quantised */
    int bits;
    int done; /* rows of `four` that are rounded for what they multiply: those before this one */
} rounded;

struct hc_calibration {
    hc_encoder *encoder;
    hc_problem problem;
    rounded *tensors; /* as the network's */
    batch *batches;
    size_t batch_count, batch_room;
    int op; /* the next operation */
};

/* ---- tensors ------------------------------------------------------------------------------------------------------
 */

static int rows_of(const hc_tensor *t) { return (int)hc_stored_extent(t).rows; }

static void read_row(const hc_tensor *t, int row, float *out)
{
    if (t->kind == HC_TABLE) hc_table_row(&t->table, row, out);
    else if (hc_is_quantised(t->matrix.storage)) hc_dequantise_row(&t->matrix, row, out);
    else hc_unpack_row(&t->matrix, row, out);
}

static void write_row(hc_tensor *t, int row, const float *values)
{
    if (t->kind == HC_TABLE) hc_pack_table_row(&t->table, row, values);
    else hc_pack_row(&t->matrix, row, values);
}

typedef struct copy_job {
    const hc_tensor *from;
    hc_tensor *to;
    float *rows; /* of each thread */
    size_t k;
    int begin;
} copy_job;

static void copy_rows(void *context, int first, int last, int thread)
{
    const copy_job *j = context;
    float *row = j->rows + (size_t)thread * j->k;
    for (int r = j->begin + first; r < j->begin + last; r++) {
        read_row(j->from, r, row);
        write_row(j->to, r, row);
    }
}

/* Puts the numbers that one tensor holds in rows [begin, end) into another of its shape. 0 after a failure. */
static int copy_tensor(hc_calibration *c, const hc_tensor *from, hc_tensor *to, int begin, int end)
{
    hc_threads *threads = c->encoder->threads;
    size_t k = (size_t)hc_stored_extent(from).k;
    copy_job job = {.from = from, .to = to, .k = k, .begin = begin};
    job.rows = hc_allocate((uint64_t)hc_threads_count(threads) * k, sizeof *job.rows);
    if (!job.rows) return hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory: %m for rows", (uint64_t)k * 4);
    hc_parallel_for(threads, end - begin, HC_PANEL, copy_rows, &job);
    free(job.rows);
    return 1;
}

static hc_tensor *chosen(rounded *r) { return r->bits == 8 ? &r->eight : &r->four; }

/* The tower computes with rows [begin, end) of a tensor as they are at so many bits as were chosen. */
static void apply(hc_calibration *c, int index, int begin, int end)
{
    copy_tensor(c, chosen(&c->tensors[index]), &c->encoder->net.tensors[index], begin, end);
}

/* int4's scales are halves. */
static int fits(const hc_tensor *t)
{
    uint64_t bytes = t->kind == HC_TABLE ? hc_table_bytes(t->table.rows, t->table.width, HC_STORE_F32)
                                         : hc_matrix_bytes(t->matrix.n, t->matrix.k, HC_STORE_F32);
    return hc_largest_bits(t->kind == HC_TABLE ? t->table.data : t->matrix.data, (size_t)bytes / sizeof(float)) <=
           HC_LARGEST_HALF_BITS;
}

/* Rounds a tensor for itself, to both. */
static void round_plainly(hc_calibration *c, int index)
{
    const hc_tensor *t = &c->encoder->net.tensors[index];
    rounded *r = &c->tensors[index];
    uint64_t bytes = 0;
    r->four = r->eight = *t;
    r->bits = 4;
    hc_stored_place(&r->four, HC_STORE_I4, NULL, &bytes);
    hc_stored_place(&r->eight, HC_STORE_I8, NULL, &bytes);
    r->memory = hc_allocate_zeros(hc_size_sum(bytes, HC_ALIGN), 1);
    if (!r->memory) {
        hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory: %m for tensor %s at 4 and 8 bits", bytes, t->name);
        return;
    }
    if (!fits(t)) {
        hc_fail(&c->problem, HC_WEIGHTS_CORRUPT, "tensor %s holds a weight beyond 65504, which int4 cannot hold",
                t->name);
        return;
    }
    uint8_t *base = (uint8_t *)r->memory + (HC_ALIGN - (uintptr_t)r->memory % HC_ALIGN) % HC_ALIGN;
    uint64_t at = 0;
    hc_stored_place(&r->four, HC_STORE_I4, base, &at);
    hc_stored_place(&r->eight, HC_STORE_I8, base, &at);
    int rows = rows_of(t);
    if (copy_tensor(c, t, &r->four, 0, rows) && copy_tensor(c, t, &r->eight, 0, rows) && t->kind == HC_TABLE)
        apply(c, index, 0, rows);
}

/* ---- making one, inputs -------------------------------------------------------------------------------------------
 */

hc_calibration *hc_calibration_new(hc_encoder *encoder)
{
    hc_calibration *c = calloc(1, sizeof *c);
    const hc_network *net = &encoder->net;
    if (!c) return NULL;
    c->encoder = encoder;
    c->tensors = hc_allocate_zeros((uint64_t)net->tensor_count, sizeof *c->tensors);
    if (!c->tensors) hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory for a list of tensors");
    if (encoder->dtype != HC_FP32)
        hc_fail(&c->problem, HC_INPUT_TYPE, "the encoder to calibrate is loaded at %s, expected fp32",
                hc_dtype_name(encoder->dtype));
    for (int i = 1; i < net->tensor_count && c->problem.status == HC_OK; i++)
        if (net->tensors[i].kind != HC_FLOATS && !net->tensors[i].keep_half) round_plainly(c, i);
    return c;
}

hc_status hc_calibration_status(const hc_calibration *c) { return c->problem.status; }
const char *hc_calibration_message(const hc_calibration *c) { return c->problem.message; }

/* Changes places with the encoder's own pass; once more, and all is as before. */
static void change_places(hc_encoder *encoder, batch *b)
{
    batch own = {encoder->arena, encoder->run};
    encoder->arena = b->arena;
    encoder->run = b->run;
    *b = own;
}

static batch *new_batch(hc_calibration *c)
{
    if (c->batch_count == c->batch_room) {
        size_t room = 2 * c->batch_room + 8;
        batch *grown = hc_reallocate(c->batches, room, sizeof *grown);
        if (grown) {
            c->batches = grown;
            c->batch_room = room;
        }
    }
    void *arena = c->batch_count < c->batch_room ? hc_allocate_zeros(c->encoder->arena_bytes, 1) : NULL;
    if (!arena) {
        hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory: %m for the activations of %u batches of inputs",
                (uint64_t)c->encoder->arena_bytes * (c->batch_count + 1), (uint64_t)c->batch_count + 1);
        return NULL;
    }
    c->batches[c->batch_count] = (batch){.arena = arena};
    return &c->batches[c->batch_count++];
}

hc_status hc_calibration_add(hc_calibration *c, const void *inputs, size_t count)
{
    hc_encoder *e = c->encoder;
    const hc_network *net = &e->net;
    size_t values = net->tower == HC_IMAGE ? 3 * (size_t)net->image_height * (size_t)net->image_width
                                           : (size_t)net->text.context_length; /* ids are as wide as floats */
    while (count && c->problem.status == HC_OK) {
        batch *b = new_batch(c);
        if (!b) break;
        void *input;
        float *output;
        size_t n = count < (size_t)e->batch.inputs ? count : (size_t)e->batch.inputs;
        change_places(e, b);
        hc_encoder_buffers(e, &input, &output);
        memcpy(input, inputs, n * values * sizeof(float));
        hc_status status = hc_embed_begin(e, input, n, 0, output);
        if (status != HC_OK)
            hc_fail(&c->problem, status, "an input to calibrate with holds what is no pixel or no token's id");
        else hc_embed_operation(e);
        n = e->run.count = (size_t)e->run.taken;
        change_places(e, b);
        inputs = (const float *)inputs + n * values;
        count -= n;
    }
    c->op = 1;
    return c->problem.status;
}

/* ---- operations ---------------------------------------------------------------------------------------------------
 */

/* The memory of rounding one matrix. */
typedef struct workspace {
    float *h, *pivots, *errors;
} workspace;

static int allocate_workspace(hc_calibration *c, size_t width, workspace *work)
{
    int threads = hc_threads_count(c->encoder->threads);
    work->h = hc_allocate_zeros((uint64_t)width * width, sizeof(float));
    work->pivots = hc_allocate(width, sizeof(float));
    work->errors = hc_allocate(hc_size_product(width * HC_PANEL, (uint64_t)threads), sizeof(float));
    if (work->h && work->pivots && work->errors) return 1;
    return hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory: %m for the Hessian of %u inputs",
                   (uint64_t)width * width * sizeof(float), (uint64_t)width);
}

static void free_workspace(workspace *work)
{
    free(work->h);
    free(work->pivots);
    free(work->errors);
}

static void observe(hc_calibration *c, hc_gram *gram)
{
    for (size_t i = 0; i < c->batch_count; i++) {
        change_places(c->encoder, &c->batches[i]);
        hc_encoder_observe(c->encoder, hc_gram_add, gram);
        change_places(c->encoder, &c->batches[i]);
    }
}

/* Rounds rows [begin, end) of a matrix to 4 bits, for what the next operation multiplies by them. */
static void round_rows(hc_calibration *c, int index, int begin, int end)
{
    hc_encoder *e = c->encoder;
    hc_tensor *t = &e->net.tensors[index];
    workspace work = {0};
    hc_gram gram = {.threads = e->threads, .width = hc_gptq_width(t->matrix.k)};
    if (allocate_workspace(c, gram.width, &work)) {
        gram.h = work.h;
        observe(c, &gram);
        if (gram.failed) hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory for what %s multiplies", t->name);
    }
    if (c->problem.status == HC_OK) {
        hc_matrix w = hc_matrix_part(&t->matrix, begin, end - begin),
                  to = hc_matrix_part(&c->tensors[index].four.matrix, begin, end - begin);
        hc_gptq(e->threads, &w, work.h, DAMPING, work.pivots, work.errors, &to);
    }
    free_workspace(&work);
}

/* The rows of a matrix that an operation multiplies by, as far as none before it did. */
static void take_matrix(hc_calibration *c, const hc_op *op)
{
    int index = op->tensors[0];
    rounded *r = &c->tensors[index];
    if (!r->memory || r->four.kind != HC_MATRIX) return;
    int end = op->first + c->encoder->net.values[op->out].width,
        begin = r->done > op->first ? (int)hc_round_up((size_t)r->done, HC_PANEL) : op->first;
    if (begin >= end) return;
    if (r->bits == 4) round_rows(c, index, begin, end);
    apply(c, index, begin, end);
    r->done = end;
}

/* What no operation multiplied by is as it was rounded for itself. */
static void apply_all(hc_calibration *c)
{
    for (int i = 1; i < c->encoder->net.tensor_count; i++)
        if (c->tensors[i].memory) apply(c, i, 0, rows_of(&c->tensors[i].four));
}

int hc_calibration_step(hc_calibration *c)
{
    hc_encoder *e = c->encoder;
    if (c->problem.status != HC_OK || !c->batch_count || c->op >= e->net.op_count) return 0;
    take_matrix(c, &e->net.ops[c->op]);
    for (size_t i = 0; i < c->batch_count && c->problem.status == HC_OK; i++) {
        change_places(e, &c->batches[i]);
        hc_embed_operation(e);
        change_places(e, &c->batches[i]);
    }
    c->op++;
    if (c->op == e->net.op_count) apply_all(c);
    return c->problem.status == HC_OK && c->op < e->net.op_count;
}

/* ---- what came out ------------------------------------------------------------------------------------------------
 */

int hc_calibration_tensor(const hc_calibration *c, size_t index, hc_calibrated *out)
{
    const hc_network *net = &c->encoder->net;
    if (index + 1 >= (size_t)net->tensor_count) return 0;
    const rounded *r = &c->tensors[index + 1];
    hc_extent extent = hc_stored_extent(&net->tensors[index + 1]);
    *out = (hc_calibrated){.name = net->tensors[index + 1].name, .bits = r->bits};
    if (!r->memory) return 1;
    out->weights = hc_size_product(extent.rows, extent.k);
    for (int i = 0; i < 2; i++) {
        hc_stored_part parts[2];
        int n = hc_stored_parts(&net->tensors[index + 1], i ? HC_STORE_I8 : HC_STORE_I4, parts);
        while (n--)
            out->bytes[i] +=
                hc_size_product(hc_size_shape(parts[n].shape, parts[n].rank), hc_pack_element_bytes(parts[n].element));
    }
    return 1;
}

hc_status hc_calibration_choose(hc_calibration *c, size_t index, int bits)
{
    if (index + 1 < (size_t)c->encoder->net.tensor_count && c->tensors[index + 1].memory && (bits == 4 || bits == 8)) {
        rounded *r = &c->tensors[index + 1];
        r->bits = bits;
        /* Before the first step a matrix is still as it was loaded: it is rounded in its turn. */
        if (r->four.kind == HC_TABLE || c->op == c->encoder->net.op_count)
            apply(c, (int)index + 1, 0, rows_of(&r->four));
    }
    return c->problem.status;
}

/* What is written of each tensor is put in place of it. */
static void exchange(hc_calibration *c)
{
    for (int i = 1; i < c->encoder->net.tensor_count; i++) {
        if (!c->tensors[i].memory) continue;
        hc_tensor *held = chosen(&c->tensors[i]), own = c->encoder->net.tensors[i];
        c->encoder->net.tensors[i] = *held;
        *held = own;
    }
}

hc_status hc_calibration_write(hc_calibration *c, const void *vocabulary, size_t vocabulary_length,
                               int (*write)(void *user, const void *bytes, size_t n), void *user)
{
    if (c->problem.status != HC_OK) return c->problem.status;
    exchange(c);
    c->encoder->dtype = HC_INT4;
    hc_status status = hc_shard_write(c->encoder, vocabulary, vocabulary_length, write, user);
    c->encoder->dtype = HC_FP32;
    exchange(c);
    return status;
}

void hc_calibration_free(hc_calibration *c)
{
    if (!c) return;
    for (int i = 1; c->tensors && i < c->encoder->net.tensor_count; i++) free(c->tensors[i].memory);
    for (size_t i = 0; i < c->batch_count; i++) free(c->batches[i].arena);
    free(c->tensors);
    free(c->batches);
    free(c);
}
