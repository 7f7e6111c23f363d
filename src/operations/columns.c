/* columns.c: rows of more columns: those of two values side by side, and heads several times. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <string.h>

/* ---- side by side ---- */

typedef struct beside_job {
    hc_span_of_rows x, y, out;
} beside_job;

static void put_beside(void *context, int first, int last, int thread)
{
    (void)thread;
    const beside_job *j = context;
    for (int r = first; r < last; r++) {
        float *out = j->out.at + (size_t)r * j->out.stride;
        memcpy(out, j->x.at + (size_t)r * j->x.stride, (size_t)j->x.width * sizeof *out);
        memcpy(out + j->x.width, j->y.at + (size_t)r * j->y.stride, (size_t)j->y.width * sizeof *out);
    }
}

static void run_beside(hc_pass *pass, const hc_op *op)
{
    beside_job job = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->in[1]), hc_pass_value(pass, op->out)};
    hc_each(pass->steps, job.out.count, HC_ROWS_A_CHUNK, (uint64_t)job.out.width, put_beside, &job);
}

static const hc_op_kind BESIDE = {.name = "beside", .run = run_beside};

hc_value hc_beside(hc_network *net, hc_value x, hc_value y)
{
    hc_value left = hc_real(net, x), right = hc_real(net, y);
    hc_op op = {.kind = &BESIDE, .in = {left, right}};
    op.out = hc_network_like(net, left, net->values[left].width + net->values[right].width);
    return hc_network_op(net, "", op);
}

/* ---- heads several times ---- */

typedef struct repeat_job {
    hc_span_of_rows x, out;
    int heads, times;
} repeat_job;

static void repeat_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const repeat_job *j = context;
    size_t width = (size_t)(j->x.width / j->heads);
    for (int r = first; r < last; r++)
        for (int head = 0; head < j->heads * j->times; head++)
            memcpy(j->out.at + (size_t)r * j->out.stride + (size_t)head * width,
                   j->x.at + (size_t)r * j->x.stride + (size_t)(head / j->times) * width, width * sizeof(float));
}

static void run_repeat(hc_pass *pass, const hc_op *op)
{
    repeat_job job = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), op->heads, op->first};
    hc_each(pass->steps, job.out.count, HC_ROWS_A_CHUNK, (uint64_t)job.out.width, repeat_rows, &job);
}

static const hc_op_kind REPEAT = {.name = "repeat", .run = run_repeat};

hc_value hc_repeat_heads(hc_network *net, hc_value x, int heads, int times)
{
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = &REPEAT, .in = {from}, .heads = heads, .first = times};
    op.out = hc_network_like(net, from, net->values[from].width * times);
    return hc_network_op(net, "", op);
}
