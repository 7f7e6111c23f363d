/* activation.c: functions of every number, where no multiplication comes before that could do them. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

/* ---- tanh ---- */

static void tanh_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const hc_span_of_rows *x = context;
    for (int r = first; r < last; r++)
        for (int k = 0; k < x->width; k++) {
            float *at = x->at + (size_t)r * x->stride + (size_t)k;
            /* e to twice the magnitude stays finite, and so does its inverse. */
            float size = *at < -40 ? 40 : *at > 40 ? 40 : *at < 0 ? -*at : *at, part = 1 - 2 / (hc_expf(2 * size) + 1);
            *at = *at < 0 ? -part : part;
        }
}

static void run_tanh(hc_pass *pass, const hc_op *op)
{
    hc_span_of_rows x = hc_pass_value(pass, op->out);
    hc_each(pass->steps, x.count, 1, (uint64_t)x.width * HC_VALUE_COST, tanh_rows, &x);
}

static const hc_op_kind TANH = {.name = "tanh", .run = run_tanh};

hc_value hc_tanh(hc_network *net, hc_value x)
{
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = &TANH, .in = {from}, .out = hc_columns(net, from, 0, net->values[from].width)};
    return hc_network_op(net, "", op);
}

/* ---- activations ---- */

typedef struct activation_job {
    hc_span_of_rows x;
    hc_activation activation;
} activation_job;

static void activate_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const activation_job *j = context;
    for (int r = first; r < last; r++)
        hc_activate(j->activation, j->x.at + (size_t)r * j->x.stride, (size_t)j->x.width);
}

static void run_activation(hc_pass *pass, const hc_op *op)
{
    activation_job j = {hc_pass_value(pass, op->out), op->activation};
    hc_each(pass->steps, j.x.count, HC_ROWS_A_CHUNK, (uint64_t)j.x.width * HC_VALUE_COST, activate_rows, &j);
}

static const hc_op_kind ACTIVATION = {.name = "activation", .run = run_activation};

hc_value hc_activated(hc_network *net, hc_value x, hc_activation activation)
{
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = &ACTIVATION, .in = {from}, .activation = activation};
    op.out = hc_columns(net, from, 0, net->values[from].width);
    return hc_network_op(net, "", op);
}

/* ---- factors ---- */

typedef struct scale_job {
    hc_span_of_rows x;
    float factor;
} scale_job;

static void scale_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const scale_job *j = context;
    for (int r = first; r < last; r++)
        for (int k = 0; k < j->x.width; k++) j->x.at[(size_t)r * j->x.stride + (size_t)k] *= j->factor;
}

static void run_scale(hc_pass *pass, const hc_op *op)
{
    scale_job j = {hc_pass_value(pass, op->out), op->scale};
    hc_each(pass->steps, j.x.count, HC_ROWS_A_CHUNK, (uint64_t)j.x.width, scale_rows, &j);
}

static const hc_op_kind SCALE = {.name = "scale", .run = run_scale};

hc_value hc_scaled(hc_network *net, hc_value x, float factor)
{
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = &SCALE, .in = {from}, .scale = factor};
    op.out = hc_columns(net, from, 0, net->values[from].width);
    return hc_network_op(net, "", op);
}
