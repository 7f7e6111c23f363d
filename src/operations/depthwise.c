/* depthwise.c: convolution of each channel of a grid on its own. */
#include "operations/finish.h"
#include "operations/operations.h"
#include "operations/real.h"
#include "operations/sliding.h"

#include "base/size.h"
#include "kernels/grid.h"

static const hc_op_kind DEPTHWISE;

hc_value hc_depthwise_conv(hc_network *net, const char *name, hc_value x, hc_conv_options o)
{
    hc_value from = hc_real(net, x);
    hc_tensor_id matrix = hc_network_tensor(net, name, "weight", HC_MATRIX, 4, o.n, 1, o.kernel, o.kernel);
    net->tensors[matrix].keep_half = 1;
    net->tensors[matrix].standard_eps = o.standard_eps;
    hc_tensor_id bias = o.fold || o.plain ? 0 : hc_network_vector(net, name, "bias", o.n);
    hc_kernel_size size;
    hc_value out = hc_slide(net, from, o.n, o.kernel, o.stride ? o.stride : 1, o.padding, o.same, &size);
    return hc_network_op(net, name,
                         (hc_op){.kind = &DEPTHWISE,
                                 .in = {from, o.add},
                                 .out = out,
                                 .replaces = o.add != from ? o.add : 0,
                                 .tensors = {matrix, bias, o.gamma},
                                 .fold = o.fold,
                                 .activation = o.activation,
                                 .activate_last = o.activate_last,
                                 .kernel = size});
}

typedef struct job {
    hc_grid grid;
    hc_window window;
    const hc_matrix *w;
    hc_epilogue epilogue;
    int exact, rows, band, bands; /* of a panel, the output's rows are taken a band at a time */
    float *scratch;               /* of each thread */
    size_t scratch_size;
    float *out;
} job;

static void do_bands(void *context, int first, int last, int thread)
{
    const job *j = context;
    for (int i = first; i < last; i++) {
        int from = i % j->bands * j->band, to = from + j->band < j->rows ? from + j->band : j->rows;
        hc_depthwise(&j->grid, &j->window, j->w, j->exact, &j->epilogue, i / j->bands, from, to,
                     j->scratch + (size_t)thread * j->scratch_size, j->out);
    }
}

static int band_of(const hc_network *net, const hc_op *op)
{
    hc_window window = hc_sliding_window(net, op);
    int band = hc_depthwise_band(&window), rows = net->values[op->out].height;
    return band < rows ? band : rows;
}

static uint64_t scratch_of(const hc_network *net, const hc_op *op)
{
    hc_window window = hc_sliding_window(net, op);
    return hc_depthwise_scratch(&window, band_of(net, op));
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    return hc_size_product((uint64_t)batch->threads * sizeof(float), scratch_of(net, op));
}

static void run(hc_pass *pass, const hc_op *op)
{
    const hc_network *net = pass->net;
    const hc_value_info *in = &net->values[op->in[0]], *v = &net->values[op->out];
    job j = {.window = hc_sliding_window(net, op),
             .w = &net->tensors[op->tensors[0]].matrix,
             .epilogue = hc_finish_of(pass, op),
             .exact = pass->exact,
             .rows = v->height,
             .band = band_of(net, op),
             .scratch = hc_pass_scratch(pass, op),
             .scratch_size = (size_t)scratch_of(net, op)};
    hc_span_of_rows from = hc_pass_value(pass, op->in[0]), out = hc_pass_value(pass, op->out);
    const float *add = j.epilogue.residual;
    j.bands = (j.rows + j.band - 1) / j.band;
    int panels = (v->width + HC_PANEL - 1) / HC_PANEL;
    uint64_t cost = hc_size_product((uint64_t)j.band * HC_PANEL * (uint64_t)v->across, (uint64_t)j.w->k);
    for (int i = 0; i < pass->inputs; i++) {
        j.grid = (hc_grid){from.at + (size_t)(i * in->rows) * from.stride, in->height, in->across, in->width, NULL};
        size_t at = (size_t)(i * v->rows) * out.stride;
        j.out = out.at + at;
        j.epilogue.residual = add ? add + at : NULL;
        hc_each(pass->steps, panels * j.bands, 1, cost, do_bands, &j);
    }
}

static uint64_t multiplications(const hc_network *net, const hc_op *op)
{
    const hc_value_info *v = &net->values[op->out];
    return hc_size_product(hc_size_product((uint64_t)v->rows, (uint64_t)v->width),
                           (uint64_t)op->kernel.height * (uint64_t)op->kernel.width);
}

static const hc_op_kind DEPTHWISE = {"depthwise", run, scratch, multiplications};
