/* lstm.c: a layer of LSTM (Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997) over the frames of a video. What
 * the inputs do to the gates is one product for many frames; what the state does, one for each. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "tower/pass.h"

#include <string.h>

/* Frames whose gates are held at once. */
enum { AT_ONCE = 32 };

enum { INPUT, STATE, INPUT_BIAS, STATE_BIAS };

typedef struct job {
    hc_span_of_rows x, out;
    hc_rows inputs, state; /* of AT_ONCE frames, and of the one before */
    int first;             /* of the frames whose gates are held       */
    int frame;
    float *gates; /* [AT_ONCE][4 * width] */
    float *cell;  /* [width]              */
    float *zeros; /* the first state      */
} job;

static void put_inputs(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (int r = first; r < last; r++) hc_rows_put(&j->inputs, r, j->x.at + (size_t)(j->first + r) * j->x.stride);
}

static void put_state(void *context, int first, int last, int thread)
{
    (void)first, (void)last, (void)thread;
    const job *j = context;
    if (!j->frame) memset(j->zeros, 0, 2 * (size_t)j->x.width * sizeof *j->zeros); /* the cell, too */
    hc_rows_put(&j->state, 0, j->frame ? j->out.at + (size_t)(j->frame - 1) * j->out.stride : j->zeros);
}

static float sigmoid(float x) { return 1 / (1 + hc_expf(-x)); }

static float tanh_of(float x) { return 2 * sigmoid(2 * x) - 1; }

/* c' = f c + i g, h = o tanh(c') */
static void step(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    int width = j->x.width;
    const float *gates = j->gates + (size_t)(j->frame - j->first) * 4 * (size_t)width;
    float *out = j->out.at + (size_t)j->frame * j->out.stride;
    for (int k = first; k < last; k++) {
        float in = sigmoid(gates[k]), forget = sigmoid(gates[width + k]), made = tanh_of(gates[2 * width + k]);
        j->cell[k] = forget * j->cell[k] + in * made;
        out[k] = sigmoid(gates[3 * width + k]) * tanh_of(j->cell[k]);
    }
}

static size_t rows_bytes(int count, int width) { return (size_t)hc_rows_bytes((uint64_t)count, (uint64_t)width, 0, 0); }

static void run(hc_pass *pass, const hc_op *op)
{
    const hc_tensor *tensors = pass->net->tensors;
    const hc_matrix *of_input = &tensors[op->tensors[INPUT]].matrix, *of_state = &tensors[op->tensors[STATE]].matrix;
    job j = {.x = hc_pass_value(pass, op->in[0]), .out = hc_pass_value(pass, op->out)};
    size_t width = (size_t)j.x.width;
    char *at = hc_pass_scratch(pass, op);
    j.zeros = (float *)(void *)at;
    j.cell = j.zeros + width;
    j.gates = j.zeros + hc_round_up(2 * width, HC_PANEL);
    at = (char *)(void *)(j.gates + 4 * width * AT_ONCE);
    j.inputs = j.state = (hc_rows){.exact = pass->exact, .dot = pass->dot};
    for (int count; j.first < j.x.count; j.first += count) {
        count = j.x.count - j.first < AT_ONCE ? j.x.count - j.first : AT_ONCE;
        hc_epilogue plain = {.bias = hc_pass_floats(pass, op->tensors[INPUT_BIAS])};
        hc_rows_lay(&j.inputs, of_input, count, at);
        hc_each(pass->steps, count, 1, width, put_inputs, &j);
        hc_each_panel(pass->steps, of_input, &j.inputs, &plain, j.gates, 4 * width);
        for (j.frame = j.first; j.frame < j.first + count; j.frame++) {
            float *gates = j.gates + (size_t)(j.frame - j.first) * 4 * width;
            hc_epilogue add = {.bias = hc_pass_floats(pass, op->tensors[STATE_BIAS]), .residual = gates};
            hc_rows_lay(&j.state, of_state, 1, at + rows_bytes(AT_ONCE, j.x.width));
            hc_each(pass->steps, 1, 1, width, put_state, &j);
            hc_each_panel(pass->steps, of_state, &j.state, &add, gates, 4 * width);
            hc_each(pass->steps, j.x.width, HC_PANEL, HC_VALUE_COST, step, &j);
        }
    }
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    (void)batch;
    int width = net->values[op->out].width;
    uint64_t floats = hc_round_up(2 * (size_t)width, HC_PANEL) + 4 * (uint64_t)width * AT_ONCE;
    return floats * sizeof(float) + rows_bytes(AT_ONCE, width) + rows_bytes(1, width);
}

static uint64_t multiplications(const hc_network *net, const hc_op *op)
{
    uint64_t width = (uint64_t)net->values[op->out].width;
    return hc_size_product((uint64_t)net->values[op->out].rows, 8 * width * width);
}

static const hc_op_kind LSTM = {"lstm", run, scratch, multiplications};

hc_value hc_lstm(hc_network *net, const char *name, hc_value x)
{
    hc_value from = hc_real(net, x);
    int width = net->values[from].width;
    hc_op op = {.kind = &LSTM, .in = {from}, .out = hc_network_like(net, from, width)};
    HC_IN(net, name, 0)
    {
        const hc_matrix_options halves = {.keep_half = 1};
        op.tensors[INPUT] = hc_weight(net, "weight_ih_l0", 4 * width, width, halves);
        op.tensors[STATE] = hc_weight(net, "weight_hh_l0", 4 * width, width, halves);
        op.tensors[INPUT_BIAS] = hc_vector(net, "bias_ih_l0", 4 * width);
        op.tensors[STATE_BIAS] = hc_vector(net, "bias_hh_l0", 4 * width);
    }
    return hc_network_op(net, name, op);
}
