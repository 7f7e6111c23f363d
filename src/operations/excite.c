/* excite.c: squeeze-and-excitation's second half: channels of a grid, each by its input's gate. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

typedef struct job {
    hc_span_of_rows x, gate, out;
    int rows; /* of an input */
    hc_activation activation;
} job;

static void do_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (int r = first; r < last; r++)
        hc_excite_row(j->activation, j->x.at + (size_t)r * j->x.stride,
                      j->gate.at + (size_t)(r / j->rows) * j->gate.stride, j->x.width,
                      j->out.at + (size_t)r * j->out.stride);
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->in[1]), hc_pass_value(pass, op->out),
             pass->net->values[op->out].rows, op->activation};
    hc_each(pass->steps, j.x.count, HC_ROWS_A_CHUNK, (uint64_t)j.x.width * HC_VALUE_COST, do_rows, &j);
}

static const hc_op_kind EXCITE = {.name = "excite", .run = run};

hc_value hc_excite(hc_network *net, hc_value x, hc_value gate, hc_activation activation)
{
    hc_value from = hc_real(net, x), gates = hc_real(net, gate);
    return hc_network_op(net, "",
                         (hc_op){.kind = &EXCITE,
                                 .in = {from, gates},
                                 .out = hc_network_like(net, from, net->values[from].width),
                                 .activation = activation,
                                 .replaces = from});
}
