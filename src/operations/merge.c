/* merge.c: grids made of the pixels of others: patch merging (Liu et al., "Swin Transformer", 2021), each square of
 * four pixels as one of four times the channels; and a grid made larger or smaller at its end, as those are that
 * windows do not divide. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <string.h>

typedef struct job {
    hc_span_of_rows x, out;
    int height, across, out_height, out_across;
    int side; /* of the square of x's pixels that one of out's is */
} job;

static void put_squares(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    size_t bytes = (size_t)j->x.width * sizeof(float);
    for (int r = first; r < last; r++) {
        int input = r / (j->out_height * j->out_across), top = r / j->out_across % j->out_height * j->side,
            left = r % j->out_across * j->side;
        float *to = j->out.at + (size_t)r * j->out.stride;
        for (int part = 0; part < j->side * j->side; part++, to += j->x.width) { /* down first */
            int y = top + part % j->side, x = left + part / j->side;
            const float *from = j->x.at + (size_t)((input * j->height + y) * j->across + x) * j->x.stride;
            if (y < j->height && x < j->across) memcpy(to, from, bytes);
            else memset(to, 0, bytes);
        }
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    const hc_value_info *in = &pass->net->values[op->in[0]], *out = &pass->net->values[op->out];
    job j = {.x = hc_pass_value(pass, op->in[0]),
             .out = hc_pass_value(pass, op->out),
             .height = in->height,
             .across = in->across,
             .out_height = out->height,
             .out_across = out->across,
             .side = out->width > in->width ? 2 : 1};
    hc_each(pass->steps, j.out.count, HC_ROWS_A_CHUNK, (uint64_t)j.out.width, put_squares, &j);
}

static const hc_op_kind MERGE = {.name = "merge", .run = run}, REFRAME = {.name = "reframe", .run = run};

hc_value hc_merge(hc_network *net, hc_value x)
{
    hc_value from = hc_real(net, x);
    hc_value_info v = net->values[from];
    hc_value out = hc_network_grid(net, (v.height + 1) / 2, (v.across + 1) / 2, 4 * v.width);
    return hc_network_op(net, "", (hc_op){.kind = &MERGE, .in = {from}, .out = out});
}

hc_value hc_reframe(hc_network *net, hc_value x, int height, int across)
{
    hc_value from = hc_real(net, x);
    hc_value out = hc_network_grid(net, height, across, net->values[from].width);
    return hc_network_op(net, "", (hc_op){.kind = &REFRAME, .in = {from}, .out = out});
}
