/* response.c: Global Response Normalization (Woo et al., "ConvNeXt V2", 2023) of grids. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "kernels/grid.h"
#include "tower/pass.h"

typedef struct job {
    hc_span_of_rows x; /* of one input */
    const float *weight, *bias;
    float eps, *factors;
} job;

static void find_norms(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    hc_response_norms(j->x.at, j->x.stride, j->x.count, first, last, j->factors);
}

static void find_factors(void *context, int first, int last, int thread)
{
    (void)first, (void)last, (void)thread;
    const job *j = context;
    hc_response_factors(j->x.width, j->weight, j->eps, j->factors);
}

static void apply(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (int r = first; r < last; r++)
        hc_response_apply(j->x.width, j->factors, j->bias, j->x.at + (size_t)r * j->x.stride);
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {hc_pass_value(pass, op->out), hc_pass_floats(pass, op->tensors[0]), hc_pass_floats(pass, op->tensors[1]),
             op->eps, hc_pass_scratch(pass, op)};
    j.x.count /= pass->inputs;
    uint64_t width = (uint64_t)j.x.width;
    for (int i = 0; i < pass->inputs; i++, j.x.at += (size_t)j.x.count * j.x.stride) {
        hc_each(pass->steps, j.x.width, HC_PANEL, (uint64_t)j.x.count, find_norms, &j);
        hc_each(pass->steps, 1, 1, width, find_factors, &j);
        hc_each(pass->steps, j.x.count, HC_ROWS_A_CHUNK, width, apply, &j);
    }
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    (void)batch;
    return hc_size_product((uint64_t)net->values[op->out].width, sizeof(float));
}

static const hc_op_kind RESPONSE = {.name = "response norm", .run = run, .scratch = scratch};

hc_value hc_response_norm(hc_network *net, const char *name, hc_value x, float eps)
{
    hc_value from = hc_real(net, x);
    int width = net->values[from].width;
    hc_op op = {.kind = &RESPONSE, .in = {from}, .out = hc_columns(net, from, 0, width), .eps = eps};
    op.tensors[0] = hc_network_vector(net, name, "weight", width);
    op.tensors[1] = hc_network_vector(net, name, "bias", width);
    return hc_network_op(net, name, op);
}
