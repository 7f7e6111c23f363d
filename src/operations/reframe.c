/* reframe.c: a grid made larger or smaller at its end, as grids are that windows do not divide (Liu et al., "Swin
 * Transformer", 2021). */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <string.h>

typedef struct job {
    hc_span_of_rows x, out;
    int height, across, out_height, out_across;
} job;

static void put_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    size_t bytes = (size_t)j->x.width * sizeof(float);
    for (int r = first; r < last; r++) {
        int x = r % j->out_across, y = r / j->out_across % j->out_height, input = r / j->out_across / j->out_height;
        float *to = j->out.at + (size_t)r * j->out.stride;
        const float *from = j->x.at + (size_t)((input * j->height + y) * j->across + x) * j->x.stride;
        if (y < j->height && x < j->across) memcpy(to, from, bytes);
        else memset(to, 0, bytes);
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    const hc_value_info *in = &pass->net->values[op->in[0]], *out = &pass->net->values[op->out];
    job j = {
        hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), in->height, in->across, out->height, out->across};
    hc_each(pass->steps, j.out.count, HC_ROWS_A_CHUNK, (uint64_t)j.out.width, put_rows, &j);
}

static const hc_op_kind REFRAME = {.name = "reframe", .run = run};

hc_value hc_reframe(hc_network *net, hc_value x, int height, int across)
{
    hc_value from = hc_real(net, x);
    hc_value out = hc_network_grid(net, height, across, net->values[from].width);
    return hc_network_op(net, "", (hc_op){.kind = &REFRAME, .in = {from}, .out = out});
}
