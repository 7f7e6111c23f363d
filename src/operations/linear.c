/* linear.c: rows times a matrix, LayerNorm of the rows before and everything after the sums included. */
#include "operations/finish.h"
#include "operations/operations.h"
#include "operations/real.h"
#include "operations/rows_in.h"

#include "base/size.h"

static const hc_op_kind LINEAR;

/* ---- building -----------------------------------------------------------------------------------------------------
 */

hc_tensor_id hc_weight(hc_network *net, const char *name, int n, int k, hc_matrix_options options)
{
    hc_tensor_id id =
        hc_network_tensor(net, name, "", HC_MATRIX, 2, options.transposed ? k : n, options.transposed ? n : k, 0, 0);
    net->tensors[id].transposed = options.transposed;
    net->tensors[id].keep_half = options.keep_half;
    return id;
}

hc_tensor_id hc_vector(hc_network *net, const char *name, int n) { return hc_network_vector(net, name, "", n); }

/* What is the same wherever the matrix is used. */
static void note_use(hc_network *net, hc_value x, hc_tensor_id matrix, hc_tensor_id bias, int bias_first)
{
    hc_tensor *t = &net->tensors[matrix];
    const hc_value_info *norm = hc_norm_info(net, x);
    hc_tensor_id norm_weight = norm ? norm->norm_weight : 0;
    if (!t->uses++) {
        t->norm_weight = norm_weight;
        t->norm_bias = norm ? norm->norm_bias : 0;
        t->bias = bias;
        t->bias_first = bias_first;
    }
    if (t->norm_weight != norm_weight) t->norm_weight = t->norm_bias = 0;
    if (t->bias != bias || t->bias_first != bias_first) t->bias = 0;
}

hc_value hc_multiply(hc_network *net, const char *name, hc_value x, hc_tensor_id matrix, hc_tensor_id bias, int first,
                     int n, hc_finish finish)
{
    const hc_tensor *t = &net->tensors[matrix];
    /* Only whole panels can be multiplied by: where a part begins within one, all of it is, and columns are taken. */
    if (first % HC_PANEL) {
        hc_value all = hc_multiply(net, name, x, matrix, bias, 0, (int)t->shape[t->transposed],
                                   (hc_finish){.bias_first = finish.bias_first});
        return hc_columns(net, all, first, n);
    }
    note_use(net, x, matrix, finish.fold ? 0 : bias, finish.bias_first);
    return hc_network_op(net, name,
                         (hc_op){.kind = &LINEAR,
                                 .in = {x, finish.add},
                                 .out = hc_network_like(net, x, n),
                                 .replaces = finish.add,
                                 .tensors = {matrix, bias, finish.gamma},
                                 .fold = finish.fold,
                                 .activation = finish.activation,
                                 .activate_last = finish.activate_last,
                                 .first = first,
                                 .bias_first = first + finish.bias_first});
}

hc_value hc_linear(hc_network *net, const char *name, hc_value x, hc_linear_options options)
{
    int k = net->values[x].width;
    hc_tensor_id matrix =
        hc_network_tensor(net, name, "weight", HC_MATRIX, options.convolution ? 4 : 2, options.n, k, 1, 1);
    net->tensors[matrix].keep_half = options.keep_half;
    hc_tensor_id bias = options.plain ? 0 : hc_network_vector(net, name, "bias", options.n);
    hc_tensor_id gamma = options.gamma ? hc_vector(net, options.gamma, options.n) : 0;
    return hc_multiply(net, name, x, matrix, bias, 0, options.n,
                       (hc_finish){.activation = options.activation, .gamma = gamma, .add = options.add});
}

/* ---- running ------------------------------------------------------------------------------------------------------
 */

static void run(hc_pass *pass, const hc_op *op)
{
    hc_span_of_rows out = hc_pass_value(pass, op->out);
    hc_matrix w = hc_matrix_part(&pass->net->tensors[op->tensors[0]].matrix, op->first, out.width);
    hc_epilogue epilogue = hc_finish_of(pass, op);
    hc_rows rows;
    hc_rows_in(pass, op, &w, &rows);
    hc_each_panel(pass->steps, &w, &rows, &epilogue, out.at, out.stride);
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    return hc_rows_in_bytes(net, op, batch);
}

static uint64_t multiplications(const hc_network *net, const hc_op *op)
{
    const hc_value_info *in = &net->values[op->in[0]];
    return hc_size_product(hc_size_product((uint64_t)in->rows, (uint64_t)in->width),
                           (uint64_t)net->values[op->out].width);
}

static const hc_op_kind LINEAR = {"linear", run, scratch, multiplications};
