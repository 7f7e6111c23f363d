/* merge.c: patch merging (Liu et al., "Swin Transformer", 2021): each square of four pixels as one of four times the
 * channels. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <string.h>

typedef struct job {
    hc_span_of_rows x, out;
    int height, across, out_height, out_across;
} job;

static void merge(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    size_t bytes = (size_t)j->x.width * sizeof(float);
    for (int r = first; r < last; r++) {
        int input = r / (j->out_height * j->out_across), top = r / j->out_across % j->out_height * 2,
            left = r % j->out_across * 2;
        float *to = j->out.at + (size_t)r * j->out.stride;
        for (int part = 0; part < 4; part++, to += j->x.width) { /* down first */
            int y = top + part % 2, x = left + part / 2;
            const float *from = j->x.at + (size_t)((input * j->height + y) * j->across + x) * j->x.stride;
            if (y < j->height && x < j->across) memcpy(to, from, bytes);
            else memset(to, 0, bytes);
        }
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    const hc_value_info *in = &pass->net->values[op->in[0]], *out = &pass->net->values[op->out];
    job j = {
        hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), in->height, in->across, out->height, out->across};
    hc_each(pass->steps, j.out.count, HC_ROWS_A_CHUNK, (uint64_t)j.out.width, merge, &j);
}

static const hc_op_kind MERGE = {.name = "merge", .run = run};

hc_value hc_merge(hc_network *net, hc_value x)
{
    hc_value from = hc_real(net, x);
    hc_value_info v = net->values[from];
    hc_value out = hc_network_grid(net, (v.height + 1) / 2, (v.across + 1) / 2, 4 * v.width);
    return hc_network_op(net, "", (hc_op){.kind = &MERGE, .in = {from}, .out = out});
}
