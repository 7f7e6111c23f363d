/* conv.c: convolutions and pooling over grids, channels last. */
#include "operations/finish.h"
#include "operations/operations.h"
#include "operations/real.h"
#include "operations/rows_in.h"
#include "operations/sliding.h"

#include "base/size.h"
#include "kernels/grid.h"

static const hc_op_kind CONV, AVERAGE_POOL, MAX_POOL;

/* ---- building -----------------------------------------------------------------------------------------------------
 */

hc_fold_id hc_batch_norm(hc_network *net, const char *name, int n, float eps)
{
    return hc_network_fold(net, hc_batch_norm_of(net, name, n, eps));
}

hc_value hc_conv(hc_network *net, const char *name, hc_value x, hc_conv_options o)
{
    int kernel = o.kernel ? o.kernel : 1, stride = o.stride ? o.stride : 1, plain = kernel == 1 && stride == 1;
    hc_value from = plain ? x : hc_real(net, x);
    hc_tensor_id matrix =
        hc_network_tensor(net, name, "weight", HC_MATRIX, 4, o.n, net->values[from].width, kernel, kernel);
    net->tensors[matrix].positions = kernel > 1 ? kernel * kernel : 0;
    net->tensors[matrix].keep_half = o.keep_half;
    net->tensors[matrix].standard_eps = o.standard_eps;
    hc_tensor_id bias = o.fold || o.plain ? 0 : hc_network_vector(net, name, "bias", o.n);
    if (plain)
        return hc_multiply(net, name, from, matrix, bias, 0, o.n,
                           (hc_finish){.fold = o.fold,
                                       .activation = o.activation,
                                       .gamma = o.gamma,
                                       .add = o.add,
                                       .activate_last = o.activate_last});
    hc_kernel_size size;
    hc_value out = hc_slide(net, from, o.n, kernel, stride, o.padding, o.same, &size);
    return hc_network_op(net, name,
                         (hc_op){.kind = &CONV,
                                 .in = {from, o.add},
                                 .out = out,
                                 .replaces = o.add != from ? o.add : 0, /* its windows are still read */
                                 .tensors = {matrix, bias, o.gamma},
                                 .fold = o.fold,
                                 .activation = o.activation,
                                 .activate_last = o.activate_last,
                                 .kernel = size});
}

static hc_value pool(hc_network *net, const hc_op_kind *kind, hc_value x, hc_pool_options o)
{
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = kind, .in = {from}};
    op.out = hc_slide(net, from, net->values[from].width, o.size, o.stride, o.padding, o.same, &op.kernel);
    return hc_network_op(net, "", op);
}

hc_value hc_average_pool(hc_network *net, hc_value x, hc_pool_options o) { return pool(net, &AVERAGE_POOL, x, o); }

hc_value hc_max_pool(hc_network *net, hc_value x, hc_pool_options o) { return pool(net, &MAX_POOL, x, o); }

/* ---- grids of a pass ----------------------------------------------------------------------------------------------
 */

static hc_grid grid_of(const hc_pass *pass, hc_value value, int input)
{
    const hc_value_info *v = &pass->net->values[value];
    hc_span_of_rows rows = hc_pass_value(pass, value);
    return (hc_grid){rows.at + (size_t)(input * v->rows) * rows.stride, v->height, v->across, v->width, NULL};
}

/* ---- convolution --------------------------------------------------------------------------------------------------
 */

/* What is put into rows at a time is to stay in the second-level cache; at least so many rows, which tiles of 4 and of
 * 6 divide. */
enum { BLOCK_BYTES = 512 << 10, LEAST_ROWS = 12 };

/* The memory of a convolution while it runs: a block of rows, the range of each pixel, a row of each thread. */
typedef struct conv_scratch {
    int block; /* rows */
    uint64_t rows_bytes, range_bytes, row_size;
    int quantised;
} conv_scratch;

static conv_scratch scratch_of(const hc_network *net, const hc_op *op)
{
    const hc_matrix *w = &net->tensors[op->tensors[0]].matrix;
    const hc_value_info *in = &net->values[op->in[0]], *out = &net->values[op->out];
    conv_scratch s = {.quantised = hc_is_quantised(w->storage)};
    uint64_t fit = BLOCK_BYTES / hc_rows_bytes(1, (uint64_t)w->k, s.quantised, 0);
    s.block = fit < LEAST_ROWS ? LEAST_ROWS : (int)(fit - fit % LEAST_ROWS);
    if (s.block > out->rows) s.block = out->rows;
    s.rows_bytes = hc_rows_bytes((uint64_t)s.block, (uint64_t)w->k, s.quantised, 0);
    s.range_bytes = s.quantised ? hc_size_round_up((uint64_t)in->rows * 2 * sizeof(float), HC_ALIGN) : 0;
    s.row_size = hc_size_round_up((uint64_t)w->k, HC_PANEL);
    return s;
}

static uint64_t bytes_of_scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    conv_scratch s = scratch_of(net, op);
    return s.rows_bytes + s.range_bytes + (uint64_t)batch->threads * s.row_size * sizeof(float);
}

typedef struct conv_job {
    hc_grid grid;
    hc_window window;
    const hc_rows *rows;
    int pixel;    /* of the first row  */
    float *range; /* of the grid       */
    float *row;   /* of each thread    */
    size_t row_size;
} conv_job;

static void find_range(void *context, int first, int last, int thread)
{
    (void)thread;
    const conv_job *j = context;
    hc_grid_range(&j->grid, first, last, j->range);
}

static void put_windows(void *context, int first, int last, int thread)
{
    const conv_job *j = context;
    hc_rows_put_windows(j->rows, first, last, &j->grid, &j->window, j->pixel, j->row + (size_t)thread * j->row_size);
}

/* The convolution of one picture, a block of output pixels at a time. */
static void convolve(hc_pass *pass, const hc_op *op, int input)
{
    const hc_network *net = pass->net;
    const hc_matrix *w = &net->tensors[op->tensors[0]].matrix;
    conv_scratch s = scratch_of(net, op);
    char *memory = hc_pass_scratch(pass, op);
    hc_rows rows = {.exact = pass->exact, .dot = pass->dot};
    conv_job job = {.grid = grid_of(pass, op->in[0], input), .window = hc_sliding_window(pass->net, op), .rows = &rows};
    job.range = (float *)(void *)(memory + (size_t)s.rows_bytes);
    job.row = (float *)(void *)(memory + (size_t)(s.rows_bytes + s.range_bytes));
    job.row_size = (size_t)s.row_size;
    if (s.quantised) {
        int pixels = job.grid.height * job.grid.width;
        hc_each(pass->steps, pixels, 64, (uint64_t)job.grid.channels, find_range, &job);
        job.grid.range = job.range;
    }
    hc_span_of_rows out = hc_pass_value(pass, op->out);
    int all = net->values[op->out].rows;
    float *to = out.at + (size_t)(input * all) * out.stride;
    hc_epilogue epilogue = hc_finish_of(pass, op);
    const float *add = op->in[1] ? grid_of(pass, op->in[1], input).at : NULL;
    for (int count; job.pixel < all; job.pixel += count) {
        count = all - job.pixel < s.block ? all - job.pixel : s.block;
        size_t at = (size_t)job.pixel * out.stride;
        epilogue.residual = add ? add + at : NULL;
        hc_rows_lay(&rows, w, count, memory);
        hc_each(pass->steps, count, LEAST_ROWS, (uint64_t)w->k * HC_VALUE_COST, put_windows, &job);
        hc_each_panel(pass->steps, w, &rows, &epilogue, to + at, out.stride);
    }
}

static void run_conv(hc_pass *pass, const hc_op *op)
{
    for (int i = 0; i < pass->inputs; i++) convolve(pass, op, i);
}

static uint64_t multiplications(const hc_network *net, const hc_op *op)
{
    const hc_value_info *in = &net->values[op->in[0]], *out = &net->values[op->out];
    uint64_t window = (uint64_t)op->kernel.height * (uint64_t)op->kernel.width * (uint64_t)in->width;
    return hc_size_product(hc_size_product((uint64_t)out->rows, (uint64_t)out->width), window);
}

static const hc_op_kind CONV = {"conv", run_conv, bytes_of_scratch, multiplications};

/* ---- pooling ------------------------------------------------------------------------------------------------------
 */

typedef struct pool_job {
    hc_pooling pooling;
    hc_grid grid;
    hc_window window;
    float *out;
} pool_job;

static void pool_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const pool_job *j = context;
    hc_pool(j->pooling, &j->grid, &j->window, first, last, j->out);
}

static void run_pool(hc_pass *pass, const hc_op *op)
{
    const hc_value_info *v = &pass->net->values[op->out];
    for (int i = 0; i < pass->inputs; i++) {
        pool_job job = {op->kind == &MAX_POOL ? HC_POOL_MAX : HC_POOL_AVERAGE, grid_of(pass, op->in[0], i),
                        hc_sliding_window(pass->net, op), NULL};
        hc_span_of_rows out = hc_pass_value(pass, op->out);
        job.out = out.at + (size_t)(i * v->rows) * out.stride;
        uint64_t cost = (uint64_t)v->across * (uint64_t)v->width * (uint64_t)(op->kernel.height * op->kernel.width);
        hc_each(pass->steps, v->height, 1, cost, pool_rows, &job);
    }
}

static const hc_op_kind AVERAGE_POOL = {.name = "average pool", .run = run_pool},
                        MAX_POOL = {.name = "max pool", .run = run_pool};
