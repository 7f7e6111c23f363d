/* run.c: passes over as many inputs as a caller has, operation after operation, each in as many steps as it takes. */
#include "tower/encoder.h"
#include "tower/texts.h"

void hc_encoder_buffers(const hc_encoder *encoder, void **input, float **output)
{
    *input = (char *)encoder->arena + (size_t)encoder->net.input_at;
    *output = (float *)(void *)((char *)encoder->arena + (size_t)encoder->net.output_at);
}

typedef struct unit_job {
    float *vectors;
    int dim;
} unit_job;

static void make_unit(void *context, int first, int last, int thread)
{
    (void)thread;
    const unit_job *j = context;
    for (int i = first; i < last; i++) hc_normalise(j->vectors + (size_t)i * (size_t)j->dim, j->dim);
}

/* The pass under way, or a new one over the next inputs. */
static hc_pass pass_of(hc_encoder *encoder)
{
    hc_network *net = &encoder->net;
    hc_run *run = &encoder->run;
    char *arena = encoder->arena;
    hc_pass pass = {.net = net,
                    .steps = &run->steps,
                    .batch = encoder->batch,
                    .dot = encoder->dot,
                    .exact = encoder->dtype >= HC_INT8,
                    .arena = arena,
                    .input = run->input,
                    .out = run->out,
                    .first = (int *)(void *)(arena + (size_t)net->first_at),
                    .pooled = (int *)(void *)(arena + (size_t)net->pooled_at)};
    int image = net->tower != HC_TEXT,
        limit = image || net->tokens_out > 1 ? encoder->batch.full : encoder->batch.inputs;
    int count = run->taken ? run->taken : run->count < (size_t)limit ? (int)run->count : limit;
    pass.frames = run->frames;
    if (image) {
        pass.inputs = count;
    } else {
        pass.hidden = (uint8_t *)arena + (size_t)net->hidden_at;
        hc_texts_take(&pass, run->input, count, encoder->batch.full * net->row_most);
    }
    run->taken = pass.inputs;
    return pass;
}

/* Of which operations the pass is: up to this one. */
static int end_of(const hc_encoder *encoder)
{
    const hc_network *net = &encoder->net;
    return net->video_op && !encoder->run.frames ? net->video_op : net->op_count;
}

/* Goes on with the pass until its end, until there is no time left, or (`one`) until an operation is done. Returns
 * whether the pass is over. */
static int go_on(hc_encoder *encoder, int one)
{
    hc_network *net = &encoder->net;
    hc_run *run = &encoder->run;
    hc_pass pass = pass_of(encoder);
    int end = end_of(encoder);
    while (run->op <= end) {
        if (run->op < end) {
            net->ops[run->op].kind->run(&pass, &net->ops[run->op]);
        } else if (run->normalize) {
            unit_job unit = {run->out, net->dim};
            hc_each(&run->steps, pass.inputs * net->tokens_out, 1, (uint64_t)net->dim * 4, make_unit, &unit);
        }
        if (run->steps.stopped) return 0;
        run->op++;
        hc_steps_again(&run->steps, 1);
        if (one && run->op < end) return 0;
    }
    return 1;
}

/* The pass is over: the next one takes the inputs behind its own. */
static void advance(hc_encoder *encoder)
{
    const hc_network *net = &encoder->net;
    hc_run *run = &encoder->run;
    size_t taken = (size_t)run->taken;
    run->input = (const float *)run->input + taken * hc_network_input(net); /* ids are as wide */
    run->out += taken * (size_t)net->tokens_out * (size_t)net->dim;
    run->count -= taken;
    run->taken = 0;
    run->op = run->frames ? net->video_op : 0;
}

int hc_encoder_run(hc_encoder *encoder, uint64_t multiplications)
{
    hc_steps_begin(&encoder->run.steps, multiplications);
    while (encoder->run.count) {
        if (!go_on(encoder, 0)) return 1;
        advance(encoder);
    }
    return 0;
}

void hc_encoder_observe(hc_encoder *encoder, hc_observer *observer, void *context)
{
    hc_run *run = &encoder->run;
    hc_pass pass = pass_of(encoder);
    const hc_op *op = &encoder->net.ops[run->op];
    hc_steps_begin(&run->steps, UINT64_MAX);
    run->steps.observer = observer;
    run->steps.observed = context;
    op->kind->run(&pass, op);
    run->steps.observer = NULL;
    hc_steps_again(&run->steps, 1);
}

int hc_embed_operation(hc_encoder *encoder)
{
    int op = encoder->run.op;
    if (!encoder->run.count) return -1;
    hc_steps_begin(&encoder->run.steps, UINT64_MAX);
    if (go_on(encoder, 1)) advance(encoder);
    return op;
}

int hc_embed_result(hc_encoder *encoder, int index, hc_operation_result *out)
{
    if (!encoder->run.count || index < 0 || index + 1 != encoder->run.op) return 0;
    hc_pass pass = pass_of(encoder);
    hc_span_of_rows rows = hc_pass_value(&pass, encoder->net.ops[index].out);
    *out = (hc_operation_result){rows.at, rows.count, rows.width, rows.stride};
    return 1;
}
