/* calibration.c: a tower at fp32 becomes one of 4 and 8 bits, operation after operation: each matrix is rounded for
 * what it multiplies once those before it are rounded. The inputs go through the tower side by side, each batch in an
 * arena of its own; frames of videos until they are vectors, and from there on each video. */
#include "calibrate/gptq.h"
#include "base/constants.h"
#include "calibrate/forms.h"
#include "calibrate/gram.h"
#include "halfclip.h"
#include "load/normed.h"
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
    float *frames; /* vectors of a video's frames, once they are there */
    size_t inputs;
    int video; /* whose frames they are */
    hc_run run;
} batch;

struct hc_calibration {
    hc_encoder *encoder;
    hc_problem problem;
    hc_forms *tensors; /* as the network's */
    batch *batches;
    size_t batch_count, batch_room;
    int videos; /* so far          */
    int op;     /* the next operation */
};

static int rows_of(const hc_calibration *c, int index)
{
    return (int)hc_stored_extent(&c->encoder->net.tensors[index]).rows;
}

/* The tower computes with rows [begin, end) of a tensor as they are rounded. */
static void apply(hc_calibration *c, int index, int begin, int end)
{
    hc_encoder *e = c->encoder;
    hc_forms *f = &c->tensors[index];
    hc_forms_apply(f, &e->net.tensors[index], begin, end, e->threads, &c->problem);
    for (int row = begin; f->taken && row < end; row++) {
        float *bias = hc_normed_bias(&e->net, &e->net.tensors[index], row);
        if (bias) *bias = f->biases[row] + (f->bits == 4 && row >= f->done ? f->taken[row] : 0);
    }
}

/* ---- making one, inputs -------------------------------------------------------------------------------------------
 */

/* What is no matrix that waits for an operation is rounded at once. */
static void make_forms(hc_calibration *c, int index)
{
    const hc_tensor *t = &c->encoder->net.tensors[index];
    if (!hc_forms_make(&c->tensors[index], &c->encoder->net, t, c->encoder->threads, &c->problem)) return;
    if (t->keep_half || t->kind == HC_TABLE) apply(c, index, 0, rows_of(c, index));
}

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
        if (net->tensors[i].kind != HC_FLOATS) make_forms(c, i);
    return c;
}

hc_status hc_calibration_status(const hc_calibration *c) { return c->problem.status; }
const char *hc_calibration_message(const hc_calibration *c) { return c->problem.message; }

/* Changes places with the encoder's own pass; once more, and all is as before. */
static void change_places(hc_encoder *encoder, batch *b)
{
    void *arena = encoder->arena;
    hc_run run = encoder->run;
    encoder->arena = b->arena;
    encoder->run = b->run;
    b->arena = arena;
    b->run = run;
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
    c->batches[c->batch_count] = (batch){.arena = arena, .video = c->videos};
    return &c->batches[c->batch_count++];
}

hc_status hc_calibration_add(hc_calibration *c, const void *inputs, size_t count)
{
    hc_encoder *e = c->encoder;
    const hc_network *net = &e->net;
    size_t values = hc_network_input(net); /* ids are as wide as floats */
    if (net->tower == HC_VIDEO && count > (size_t)net->most_frames)
        hc_fail(&c->problem, HC_INPUT_SIZE, "a video to calibrate with has %u frames, expected %d at most",
                (uint64_t)count, net->most_frames);
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
        b->inputs = n = e->run.count = (size_t)e->run.taken;
        change_places(e, b);
        inputs = (const float *)inputs + n * values;
        count -= n;
    }
    c->videos++;
    c->op = 1;
    return c->problem.status;
}

/* The vectors of the frames in `count` batches, which are one video's, go on as that in the first one's place. */
static void begin_video(hc_calibration *c, batch *b, size_t count)
{
    hc_encoder *e = c->encoder;
    size_t dim = (size_t)e->net.dim, frames = 0;
    for (size_t i = 0; i < count; i++) frames += b[i].inputs;
    size_t before = frames; /* of those in the batches before */
    float *vectors = b->frames = hc_allocate(hc_size_product(frames, dim), sizeof *vectors);
    if (!vectors) {
        hc_fail(&c->problem, HC_OUT_OF_MEMORY, "out of memory for the vectors of %u frames", (uint64_t)frames);
        return;
    }
    for (size_t i = count; i-- > 0;) { /* the first one last, whose place is the video's */
        void *input;
        float *output;
        change_places(e, &b[i]);
        hc_encoder_buffers(e, &input, &output);
        before -= b[i].inputs;
        memcpy(vectors + before * dim, output, b[i].inputs * dim * sizeof *vectors);
        if (!i && hc_embed_video_begin(e, vectors, frames, 0, output) != HC_OK)
            hc_fail(&c->problem, HC_INPUT_TYPE, "a video to calibrate with has frames whose vectors are no numbers");
        change_places(e, &b[i]);
        if (!i) continue;
        free(b[i].arena);
        b[i].arena = NULL;
    }
}

/* From here on a batch is a video. */
static void begin_videos(hc_calibration *c)
{
    size_t kept = 0;
    for (size_t i = 0, count; i < c->batch_count && c->problem.status == HC_OK; i += count) {
        for (count = 1; i + count < c->batch_count && c->batches[i + count].video == c->batches[i].video;) count++;
        begin_video(c, &c->batches[i], count);
        batch video = c->batches[i];
        c->batches[i].arena = c->batches[i].frames = NULL;
        c->batches[kept++] = video;
    }
    if (c->problem.status == HC_OK) c->batch_count = kept;
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
    hc_forms *f = &c->tensors[index];
    if (!hc_forms_have_choice(f) || f->four.kind != HC_MATRIX) return;
    int end = op->first + c->encoder->net.values[op->out].width,
        begin = f->done > op->first ? (int)hc_round_up((size_t)f->done, HC_PANEL) : op->first;
    if (begin >= end) return;
    if (f->bits == 4) round_rows(c, index, begin, end);
    f->done = end;
    apply(c, index, begin, end);
}

/* What no operation multiplied by is as it was rounded for itself. */
static void apply_all(hc_calibration *c)
{
    for (int i = 1; i < c->encoder->net.tensor_count; i++)
        if (c->tensors[i].memory) apply(c, i, 0, rows_of(c, i));
}

int hc_calibration_step(hc_calibration *c)
{
    hc_encoder *e = c->encoder;
    if (c->problem.status != HC_OK || c->op >= e->net.op_count) return 0;
    if (!c->batch_count) {
        c->op = e->net.op_count;
        apply_all(c);
        return 0;
    }
    if (e->net.video_op && c->op == e->net.video_op) begin_videos(c);
    if (c->problem.status != HC_OK) return 0;
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
    const hc_forms *f = &c->tensors[index + 1];
    hc_extent extent = hc_stored_extent(&net->tensors[index + 1]);
    *out = (hc_calibrated){.name = net->tensors[index + 1].name};
    if (!hc_forms_have_choice(f)) return 1;
    out->bits = f->bits;
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
    if (index + 1 < (size_t)c->encoder->net.tensor_count && hc_forms_have_choice(&c->tensors[index + 1]) &&
        (bits == 4 || bits == 8)) {
        hc_forms *f = &c->tensors[index + 1];
        f->bits = bits;
        /* Before the first step a matrix is still as it was loaded: it is rounded in its turn. */
        if (f->four.kind == HC_TABLE || c->op == c->encoder->net.op_count)
            apply(c, (int)index + 1, 0, rows_of(c, (int)index + 1));
    }
    return c->problem.status;
}

/* What is written of each tensor is put in place of it. */
static void exchange(hc_calibration *c)
{
    for (int i = 1; i < c->encoder->net.tensor_count; i++) {
        if (!c->tensors[i].memory) continue;
        hc_tensor *held = hc_forms_chosen(&c->tensors[i]), own = c->encoder->net.tensors[i];
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
    for (int i = 1; c->tensors && i < c->encoder->net.tensor_count; i++) hc_forms_free(&c->tensors[i]);
    for (size_t i = 0; i < c->batch_count; i++) {
        free(c->batches[i].arena);
        free(c->batches[i].frames);
    }
    free(c->tensors);
    free(c->batches);
    free(c);
}
