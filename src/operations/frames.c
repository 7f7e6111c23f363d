/* frames.c: the frames of a video, as rows of their vectors, and one vector of them. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "tower/pass.h"

#include <string.h>

hc_value hc_frames(hc_network *net, int most, int width)
{
    hc_value out = hc_network_value(net, HC_FRAMES, most, width);
    net->values[out].is_input = 1;
    return out;
}

typedef struct job {
    hc_span_of_rows x, out;
    float *row;
} job;

/* On one thread: the sum of so few rows is no work. */
static void average(void *context, int first, int last, int thread)
{
    (void)first, (void)last, (void)thread;
    const job *j = context;
    int width = j->x.width;
    for (int k = 0; k < width; k++) j->out.at[k] = 0;
    for (int r = 0; r < j->x.count; r++) {
        memcpy(j->row, j->x.at + (size_t)r * j->x.stride, (size_t)width * sizeof *j->row);
        hc_normalise(j->row, width);
        for (int k = 0; k < width; k++) j->out.at[k] += j->row[k];
    }
    for (int k = 0; k < width; k++) j->out.at[k] /= (float)j->x.count;
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), hc_pass_scratch(pass, op)};
    hc_each(pass->steps, 1, 1, (uint64_t)j.x.count * (uint64_t)j.x.width * HC_VALUE_COST, average, &j);
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    (void)batch;
    return hc_size_product((uint64_t)net->values[op->out].width, sizeof(float));
}

static const hc_op_kind MEAN_DIRECTION = {.name = "mean direction", .run = run, .scratch = scratch};

hc_value hc_mean_direction(hc_network *net, hc_value x)
{
    hc_value from = hc_real(net, x), out = hc_network_value(net, HC_EACH, 1, net->values[from].width);
    return hc_network_op(net, "", (hc_op){.kind = &MEAN_DIRECTION, .in = {from}, .out = out});
}
