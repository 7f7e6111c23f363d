/* norm.c: LayerNorm and RMSNorm of rows, and of the heads' parts of rows; BatchNorm on its own. */
#include "operations/operations.h"
#include "operations/real.h"
#include "operations/rows_in.h"

#include "base/size.h"

/* A norm of x with these tensors, left to whoever reads it. */
static hc_value norm_of(hc_network *net, hc_value x, hc_tensor_id weight, hc_tensor_id bias, int centred, float eps)
{
    hc_value source = hc_real(net, x);
    hc_value out = hc_network_like(net, source, net->values[source].width);
    hc_value_info *normed = &net->values[out];
    normed->normed = source;
    normed->norm_weight = weight;
    normed->norm_bias = bias;
    normed->norm_centred = centred;
    normed->eps = eps;
    return out;
}

hc_value hc_norm(hc_network *net, const char *name, hc_value x, float eps)
{
    int width = net->values[x].width;
    hc_tensor_id weight = hc_network_vector(net, name, "weight", width);
    return norm_of(net, x, weight, hc_network_vector(net, name, "bias", width), 0, eps);
}

hc_value hc_rms_norm_of(hc_network *net, const char *name, hc_value x, float eps)
{
    return norm_of(net, x, hc_network_vector(net, name, "weight", net->values[x].width), 0, 0, eps);
}

hc_value hc_simple_norm(hc_network *net, const char *name, hc_value x, float eps)
{
    return norm_of(net, x, hc_network_vector(net, name, "weight", net->values[x].width), 0, 1, eps);
}

hc_value hc_normed(hc_network *net, const char *name, hc_value x, float eps)
{
    return hc_real(net, hc_norm(net, name, x, eps));
}

hc_value hc_rms_normed(hc_network *net, const char *name, hc_value x, float eps)
{
    return hc_real(net, hc_rms_norm_of(net, name, x, eps));
}

hc_value hc_norm_again(hc_network *net, hc_value normed, hc_value x)
{
    hc_value_info v = net->values[normed];
    return norm_of(net, x, v.norm_weight, v.norm_bias, v.norm_centred, v.eps);
}

static void run_norm(hc_pass *pass, const hc_op *op)
{
    hc_span_of_rows out = hc_pass_value(pass, op->out);
    hc_rows_normed(pass, op->in[0], out.at, out.stride);
}

static const hc_op_kind NORM = {.name = "norm", .run = run_norm};

hc_value hc_real(hc_network *net, hc_value x)
{
    hc_value_info v = net->values[x];
    if (!v.normed) return x;
    hc_op op = {.kind = &NORM, .in = {x}, .out = hc_network_like(net, x, v.width), .replaces = v.normed};
    return hc_network_op(net, "", op);
}

const hc_value_info *hc_norm_info(const hc_network *net, hc_value x)
{
    if (net->values[x].normed) return &net->values[x];
    for (int i = net->op_count; i-- > 0;)
        if (net->ops[i].kind == &NORM && net->ops[i].out == x) return &net->values[net->ops[i].in[0]];
    return NULL;
}

/* ---- BatchNorm ---- */

typedef struct batch_job {
    hc_span_of_rows x, out;
    const hc_fold *fold;
} batch_job;

static void do_batch_norm(void *context, int first, int last, int thread)
{
    (void)thread;
    const batch_job *j = context;
    for (int r = first; r < last; r++) {
        const float *x = j->x.at + (size_t)r * j->x.stride;
        float *out = j->out.at + (size_t)r * j->out.stride;
        for (int c = 0; c < j->x.width; c++) out[c] = x[c] * j->fold->scale[c] + j->fold->shift[c];
    }
}

static void run_batch_norm(hc_pass *pass, const hc_op *op)
{
    batch_job job = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), &pass->net->folds[op->fold]};
    hc_each(pass->steps, job.x.count, HC_ROWS_A_CHUNK, (uint64_t)job.x.width, do_batch_norm, &job);
}

static const hc_op_kind BATCH_NORM = {.name = "batch norm", .run = run_batch_norm};

hc_value hc_batch_normed(hc_network *net, const char *name, hc_value x, float eps)
{
    hc_value from = hc_real(net, x);
    int width = net->values[from].width;
    hc_op op = {.kind = &BATCH_NORM, .in = {from}, .out = hc_network_like(net, from, width), .replaces = from};
    op.fold = hc_batch_norm(net, name, width, eps);
    return hc_network_op(net, name, op);
}

/* ---- heads ---- */

typedef struct heads_job {
    const float *weight, *bias; /* no weight: to length 1; no bias: RMSNorm */
    float eps;
    hc_span_of_rows rows;
    int heads;
} heads_job;

static void do_heads(void *context, int first, int last, int thread)
{
    (void)thread;
    const heads_job *j = context;
    int dim = j->rows.width / j->heads;
    for (int r = first; r < last; r++)
        for (int head = 0; head < j->heads; head++) {
            float *at = j->rows.at + (size_t)r * j->rows.stride + (size_t)head * (size_t)dim;
            if (!j->weight) hc_normalise(at, dim);
            else if (j->bias) hc_layer_norm(at, dim, j->weight, j->bias, j->eps, at);
            else hc_rms_norm(at, dim, j->weight, j->eps, 0, at);
        }
}

static void run_heads(hc_pass *pass, const hc_op *op)
{
    heads_job job = {hc_pass_floats(pass, op->tensors[0]), hc_pass_floats(pass, op->tensors[1]), op->eps,
                     hc_pass_value(pass, op->out), op->heads};
    uint64_t cost = (uint64_t)job.rows.width * HC_VALUE_COST;
    hc_each(pass->steps, job.rows.count, HC_ROWS_A_CHUNK, cost, do_heads, &job);
}

static const hc_op_kind HEADS = {.name = "heads", .run = run_heads};

static hc_value norm_heads(hc_network *net, const char *name, hc_value x, int heads, float eps, int has_bias)
{
    int width = net->values[x].width;
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = &HEADS, .in = {from}, .out = hc_columns(net, from, 0, width), .heads = heads, .eps = eps};
    if (name) op.tensors[0] = hc_network_vector(net, name, "weight", width / heads);
    if (name && has_bias) op.tensors[1] = hc_network_vector(net, name, "bias", width / heads);
    return hc_network_op(net, name ? name : "", op);
}

hc_value hc_norm_heads(hc_network *net, const char *name, hc_value x, int heads, float eps)
{
    return norm_heads(net, name, x, heads, eps, 1);
}

hc_value hc_rms_norm_heads(hc_network *net, const char *name, hc_value x, int heads, float eps)
{
    return norm_heads(net, name, x, heads, eps, 0);
}
