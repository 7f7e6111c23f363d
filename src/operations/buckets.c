/* buckets.c: biases of attention by the distance between a query and a key of a text. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

static const hc_op_kind BUCKET_BIAS;

hc_value hc_bucket_bias(hc_network *net, hc_value table, int tokens, int farthest)
{
    hc_value from = hc_real(net, table);
    int heads = net->values[from].width, distances = 2 * tokens - 1;
    hc_op op = {.kind = &BUCKET_BIAS, .in = {from}, .first = 1 - tokens, .skip = farthest};
    /* The last of a key's rows are read in whole panels. */
    op.out = hc_network_value(net, HC_SHARED, heads, distances + HC_PANEL - 1);
    return hc_network_op(net, "relative_attention_bias", op);
}

typedef struct job {
    hc_span_of_rows table, out;
    int first, farthest;
} job;

/* The natural logarithm of x of at least 1. */
static double logarithm(double x)
{
    double whole = 0, sum = 0;
    for (; x > 1.5; x /= 2) whole += 0.69314718055994530942;
    double t = (x - 1) / (x + 1), power = 2 * t;
    for (int n = 1; n < 24; n += 2, power *= t * t) sum += power / n;
    return whole + sum;
}

/* MT5Attention._relative_position_bucket, whose floats round up to whole numbers what is a hair below them. */
static int bucket_of(int buckets, int farthest, int distance)
{
    int half = buckets / 2, exact = half / 2, behind = distance < 0, far = behind ? -distance : distance;
    if (far >= exact) {
        double ratio = logarithm((double)far / exact) / logarithm((double)farthest / exact);
        far = far >= farthest ? half - 1 : exact + (int)(ratio * (half - exact) + 1e-6);
        if (far > half - 1) far = half - 1;
    }
    return far + (behind ? half : 0);
}

static void fill(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (int i = first; i < last; i++) {
        const float *from =
            j->table.at + (size_t)bucket_of(j->table.count, j->farthest, j->first + i) * j->table.stride;
        for (int head = 0; head < j->out.count; head++)
            j->out.at[(size_t)head * j->out.stride + (size_t)i] = from[head];
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {.table = hc_pass_value(pass, op->in[0]),
             .out = hc_pass_value(pass, op->out),
             .first = op->first,
             .farthest = op->skip};
    hc_each(pass->steps, j.out.width, HC_PANEL, (uint64_t)j.out.count * HC_VALUE_COST, fill, &j);
}

static const hc_op_kind BUCKET_BIAS = {.name = "relative position bias", .run = run};
