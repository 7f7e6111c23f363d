/* group_norm.c: Group Normalization (Wu and He, 2018) of grids. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "kernels/grid.h"
#include "tower/pass.h"

typedef struct job {
    hc_span_of_rows x; /* of one input */
    const float *weight, *bias, *add;
    size_t add_stride;
    int groups;
    float eps;
    hc_activation activation;
    hc_moments *moments;
    float *factors, *shifts;
} job;

static void find_moments(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    hc_group_moments(j->x.at, j->x.stride, j->x.count, 4 * first, 4 * last, j->moments);
}

static void find_factors(void *context, int first, int last, int thread)
{
    (void)first, (void)last, (void)thread;
    const job *j = context;
    hc_group_factors(j->moments, j->x.width, j->groups, j->weight, j->bias, j->eps, j->factors, j->shifts);
}

static void apply(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (int r = first; r < last; r++) {
        float *x = j->x.at + (size_t)r * j->x.stride;
        const float *add = j->add ? j->add + (size_t)r * j->add_stride : NULL;
        hc_group_apply(j->x.width, j->factors, j->shifts, add, x);
        hc_activate(j->activation, x, (size_t)j->x.width);
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {.x = hc_pass_value(pass, op->out),
             .weight = hc_pass_floats(pass, op->tensors[0]),
             .bias = hc_pass_floats(pass, op->tensors[1]),
             .groups = op->heads,
             .eps = op->eps,
             .activation = op->activation,
             .moments = hc_pass_scratch(pass, op)};
    size_t width = (size_t)j.x.width;
    j.factors = (float *)(void *)(j.moments + width);
    j.shifts = j.factors + width;
    j.x.count /= pass->inputs;
    if (op->in[1]) {
        hc_span_of_rows add = hc_pass_value(pass, op->in[1]);
        j.add = add.at;
        j.add_stride = add.stride;
    }
    for (int i = 0; i < pass->inputs; i++, j.x.at += (size_t)j.x.count * j.x.stride) {
        hc_each(pass->steps, j.x.width / 4, 2, 4 * (uint64_t)j.x.count, find_moments, &j);
        hc_each(pass->steps, 1, 1, width, find_factors, &j);
        hc_each(pass->steps, j.x.count, HC_ROWS_A_CHUNK, width, apply, &j);
        if (j.add) j.add += (size_t)j.x.count * j.add_stride;
    }
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    (void)batch;
    return hc_size_product((uint64_t)net->values[op->out].width, sizeof(hc_moments) + 2 * sizeof(float));
}

static const hc_op_kind GROUP_NORM = {.name = "group norm", .run = run, .scratch = scratch};

hc_value hc_group_norm(hc_network *net, const char *name, hc_value x, hc_group_norm_options o)
{
    hc_value from = hc_real(net, x);
    int width = net->values[from].width;
    hc_op op = {.kind = &GROUP_NORM,
                .in = {from, o.add},
                .out = hc_columns(net, from, 0, width),
                .heads = o.groups,
                .eps = o.eps,
                .activation = o.activation};
    op.tensors[0] = hc_network_vector(net, name, "weight", width);
    op.tensors[1] = hc_network_vector(net, name, "bias", width);
    return hc_network_op(net, name, op);
}
